"""The scorer as it was on 2026-11-26: what the speed of today's is measured by.

A copy, not a kernel: its time goes into large arrays, whose speed depends on how they are allocated; the ratio to
shorter code was 0.98 in one process and 1.11 in another. Frozen: take a new copy when the
scorer has to do more, and say so in docs/benchmarks.md.
"""
