"""A gate for continuous integration: no model may have become worse beyond chance and beyond a stated margin.

`harness gate` asks it on a command line, `assert_no_worse` in a test. `docs/gate.md` says what is tested, and
how often it errs.
"""

from harness.gate.comparing import assert_no_worse, gate
from harness.gate.deciding import Finding, Gate, NothingToCompare

__all__ = ["Finding", "Gate", "NothingToCompare", "assert_no_worse", "gate"]
