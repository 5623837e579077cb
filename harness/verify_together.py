"""Whether the rows of a table can all be right about one test part.

Rows of one table are mostly results on the same images. Each may be possible by itself and still ask for a test part
that no other row allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.verify_findings import RowFinding

__all__ = ["Together", "together", "words"]

SHOWN = 3
"""Test parts, and groups of rows, that the words name."""

Part = tuple[int, int]
"""Positive and negative images."""


@dataclass(frozen=True)
class Together:
    """Which test parts of the range the most rows fit, of the `rows` that fit any by themselves.

    `fitting` is how many rows that is; `parts` are those test parts, each with the rows that fit it.
    """

    rows: tuple[str, ...]
    fitting: int
    parts: tuple[tuple[Part, tuple[str, ...]], ...]

    @property
    def at_odds(self) -> int:
        """Return how many of the rows must be wrong if one test part was used for all."""
        return len(self.rows) - self.fitting


def together(findings: Sequence[RowFinding]) -> Together | None:
    """Return the test parts that the most rows fit; None with fewer than two rows that fit any.

    Rows that fit nothing by themselves are left out, as they are wrong on any test part; so are rows that fit more test
    parts than are listed, as they rule out next to none.
    """
    known = [
        (f.claim.method, f.in_range.parts)
        for f in findings
        if f.in_range is not None and f.in_range.count and f.in_range.parts is not None
    ]
    if len(known) < 2:
        return None
    counts = Counter(part for _, parts in known for part in parts)
    most = max(counts.values())
    best = {part: list[str]() for part, count in counts.items() if count == most}
    for method, parts in known:
        for part in parts:
            if part in best:
                best[part].append(method)
    fitting = tuple((part, tuple(methods)) for part, methods in sorted(best.items()))
    return Together(tuple(method for method, _ in known), most, fitting)


def words(found: Together) -> str:
    """Return one or two sentences: the test parts that all rows fit, or that there is none and how near they come."""
    rows = len(found.rows)
    if not found.at_odds:
        which = "Both rows" if rows == 2 else f"All {rows} rows"
        parts = _few([f"{p} positive + {n}" for (p, n), _ in found.parts])
        return f"{which} that fit any test part fit {_counted(len(found.parts))} together: {parts}."
    wrong = f"if they were tested on the same images, at least {found.at_odds} of them {_are(found.at_odds)} wrong."
    if found.fitting == 1:
        return f"No two of the {rows} rows that fit any test part fit the same one: {wrong}"
    most = _few(list(_groups(found)))
    return f"No test part fits all {rows} rows that fit any: {wrong} The most, {found.fitting}, fit {most}."


def _groups(found: Together) -> Iterator[str]:
    """The test parts by the rows that fit them."""
    groups: dict[tuple[str, ...], list[Part]] = {}
    for part, methods in found.parts:
        groups.setdefault(methods, []).append(part)
    for methods, parts in groups.items():
        (p, n), others = parts[0], len(parts) - 1
        more = f" and {others} other test part{'s' if others > 1 else ''}" if others else ""
        yield f"{p} positive + {n}{more} ({', '.join(methods)})"


def _few(texts: list[str]) -> str:
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more


def _counted(parts: int) -> str:
    return "one test part" if parts == 1 else f"{parts:,} test parts"


def _are(rows: int) -> str:
    return "is" if rows == 1 else "are"
