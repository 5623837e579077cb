"""What is decided of losses: which are beyond chance and the margin, which are not, which cannot be told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError
from harness.gate.losses import Loss
from harness.paired import ALPHA, holm

__all__ = [
    "FAILING",
    "MARGIN",
    "Finding",
    "Gate",
    "NothingToCompare",
    "Verdict",
    "checked_margin",
    "decided",
]

MARGIN = 1.0
"""Points that a model may lose without anybody minding, where no other margin is stated."""

Verdict = Literal[
    "worse",
    "failed",
    "missing",
    "perhaps worse",
    "cannot tell",
    "no worse",
    "better",
    "unchanged",
    "new",
    "still failing",
]

FAILING: tuple[Verdict, ...] = ("worse", "failed", "missing")
"""The verdicts that a gate does not let pass."""

DOUBTFUL: tuple[Verdict, ...] = ("perhaps worse", "cannot tell")
"""Those that it lets pass with a warning."""


class NothingToCompare(HarnessError):
    """No model of the base was compared with a new one; pytest says the same of no tests."""

    exit_code = 5


@dataclass(frozen=True)
class Finding:
    """A model at a recipe, in one metric. `p` and the like are adjusted by Holm over the gate's `tests`.

    `p` is that of 'worse by the margin at most', `p_any` of 'not worse', `p_gain` of 'not better'; `smallest` is the
    true loss that would have been found with a power of 80 %. `reason` says why there is no loss.
    """

    method: str
    recipe: str
    metric: str
    verdict: Verdict
    loss: Loss | None = None
    p: float | None = None
    p_any: float | None = None
    p_gain: float | None = None
    smallest: float | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gate:
    """What a gate found. `margin` is a share, `tests` counts the losses that Holm's adjustment is for."""

    dataset: str
    protocol: str
    base: Path
    new: Path
    margin: float
    tests: int
    findings: tuple[Finding, ...]
    allow_missing: bool = False
    cautions: tuple[str, ...] = ()

    @property
    def failing(self) -> tuple[Finding, ...]:
        """Return what does not pass."""
        let_pass = ("missing",) if self.allow_missing else ()
        return tuple(f for f in self.findings if f.verdict in FAILING and f.verdict not in let_pass)

    @property
    def doubtful(self) -> tuple[Finding, ...]:
        """Return what passes with a warning."""
        return tuple(f for f in self.findings if f.verdict in DOUBTFUL)

    @property
    def compared(self) -> tuple[Finding, ...]:
        """Return what was held against the base at all."""
        return tuple(f for f in self.findings if f.verdict == "unchanged" or f.p is not None)

    @property
    def passed(self) -> bool:
        return not self.failing


def decided(findings: Sequence[Finding], margin: float) -> tuple[tuple[Finding, ...], int]:
    """Return the findings with their verdicts by loss, and how many tests Holm's adjustment is for.

    Those that have a verdict of another kind keep it. Models whose predictions are the same bit for bit are no part of
    the family: whatever is asked of them has p = 1 (Tarone 1990).
    """
    tested = [
        place
        for place, finding in enumerate(findings)
        if finding.verdict != "unchanged" and finding.loss is not None and finding.loss.p_any is not None
    ]
    adjusted = {
        name: dict(zip(tested, holm([getattr(findings[i].loss, f"p_{name}") for i in tested]), strict=True))
        for name in ("margin", "any", "gain")
    }
    judged = tuple(
        _judged(finding, {name: of[place] for name, of in adjusted.items()}, margin, len(tested))
        if place in adjusted["margin"]
        else finding
        for place, finding in enumerate(findings)
    )
    return judged, len(tested)


def _judged(finding: Finding, p: Mapping[str, float], margin: float, tests: int) -> Finding:
    assert finding.loss is not None
    return replace(
        finding,
        verdict=_verdict(finding.loss, p, margin),
        p=p["margin"],
        p_any=p["any"],
        p_gain=p["gain"],
        smallest=finding.loss.smallest(margin, tests),
    )


def _verdict(loss: Loss, p: Mapping[str, float], margin: float) -> Verdict:
    if p["margin"] <= ALPHA:
        return "worse"
    if p["gain"] <= ALPHA:
        return "better"
    if loss.high is not None and loss.high <= margin:
        return "no worse"
    return "perhaps worse" if p["any"] <= ALPHA else "cannot tell"


def checked_margin(margin: float) -> float:
    """Return a margin in points as a share. Raises `ValueError` for one that is none."""
    if not (math.isfinite(margin) and 0 <= margin < 100):
        raise ValueError(f"a margin of {margin!r}: expected points from 0 to below 100")
    return margin / 100
