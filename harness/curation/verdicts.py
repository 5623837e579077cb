"""Candidates as they stand after the decisions on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.curation.collection import with_box
from harness.curation.decisions import Event, effective
from harness.curation.types import CLASSES, Candidate, Decided, Verdict
from harness.errors import UsageError
from harness.figures.types import PixelBox

__all__ = ["Counts", "NotPossible", "Standing", "patient_name"]

SMALLEST_PX = 8
MOST_PIECES = 64
LONGEST_NAME = 60


class NotPossible(UsageError):
    """A decision that cannot be made on a candidate as it stands."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How far the review is. `to_decide`: CT slices, less copies of rejected ones, and all that was decided on."""

    decided: int
    to_decide: int
    accepted: int
    relabelled: int
    rejected: int


@dataclass
class Standing:
    """All candidates by id with what was decided on them, in reading order within a figure.

    `lost` counts decisions on pictures that are no longer there, as another reader cut the figure otherwise.
    """

    candidates: Sequence[Candidate]
    events: Sequence[Event] = ()
    lost: int = 0
    by_id: dict[str, Decided] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_id = {one.id: Decided(one) for one in self.candidates}
        for event in effective(self.events):
            try:
                self.apply(event)
            except NotPossible:
                self.lost += 1

    def apply(self, event: Event) -> list[Decided]:
        """Change the standing by one decision; return the candidates that are new or changed.

        Raises `NotPossible`, and changes nothing, where the decision makes no sense.
        """
        decided = self.by_id.get(event.target)
        if decided is None:
            raise NotPossible(f"no picture {event.target!r}; it was split, merged or read anew")
        if event.action in ("accept", "reject") and event.value is not None:
            raise NotPossible(f"to {event.action} takes no value")
        return _ACTIONS[event.action](self, decided, event.value)

    def _accept(self, decided: Decided, _: Any) -> list[Decided]:
        if decided.candidate.label.value is None and decided.label is None:
            raise NotPossible("no label is suggested; choose one to take the picture")
        verdict: Verdict = (
            "relabelled" if decided.label not in (None, decided.candidate.label.value) else "accepted"
        )
        return [self._set(replace(decided, verdict=verdict))]

    def _reject(self, decided: Decided, _: Any) -> list[Decided]:
        return [self._set(replace(decided, verdict="rejected"))]

    def _label(self, decided: Decided, value: Any) -> list[Decided]:
        if value not in CLASSES:
            raise NotPossible(f"the label {value!r} is none of {list(CLASSES)}")
        verdict: Verdict = "accepted" if value == decided.candidate.label.value else "relabelled"
        return [self._set(replace(decided, verdict=verdict, label=value))]

    def _patient(self, decided: Decided, value: Any) -> list[Decided]:
        return [self._set(replace(decided, patient=patient_name(value)))]

    def _split(self, decided: Decided, value: Any) -> list[Decided]:
        boxes = _pieces(decided.candidate.pixels, value)
        parts = [with_box(decided.candidate, box, "part of a picture that was split") for box in boxes]
        if any(part.id in self.by_id and part.id != decided.candidate.id for part in parts):
            raise NotPossible("one of the parts is a picture already")
        return self._replace([decided], [Decided(part, patient=decided.patient) for part in parts])

    def _merge(self, decided: Decided, value: Any) -> list[Decided]:
        other = self.by_id.get(value) if isinstance(value, str) else None
        if other is None or other is decided or not _same_figure(decided, other):
            raise NotPossible("only two pictures of one figure can be merged")
        a, b = decided.candidate.pixels, other.candidate.pixels
        box = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
        whole = with_box(decided.candidate, box, "merged by eye")
        if whole.id in self.by_id and whole.id not in (decided.candidate.id, other.candidate.id):
            raise NotPossible("the merged picture is there already")
        return self._replace([decided, other], [Decided(whole, patient=decided.patient)])

    def _set(self, decided: Decided) -> Decided:
        self.by_id[decided.candidate.id] = decided
        return decided

    def _replace(self, old: Sequence[Decided], new: Sequence[Decided]) -> list[Decided]:
        """Put candidates where others stood, in reading order."""
        gone = {one.candidate.id for one in old}
        items: dict[str, Decided] = {}
        for name, one in self.by_id.items():
            if name == old[0].candidate.id:
                items |= {made.candidate.id: made for made in new}
            elif name not in gone:
                items[name] = one
        self.by_id = items
        return list(new)

    def counts(self) -> Counts:
        """Return how far the review is."""
        verdicts = Counter(one.verdict for one in self.by_id.values())
        rejected = {
            one.candidate.content
            for one in self.by_id.values()
            if one.verdict == "rejected" and one.candidate.content is not None
        }
        open_ones = sum(
            one.verdict is None and one.candidate.is_ct and one.candidate.content not in rejected
            for one in self.by_id.values()
        )
        decided = sum(verdicts.values()) - verdicts[None]
        return Counts(
            decided, decided + open_ones, verdicts["accepted"], verdicts["relabelled"], verdicts["rejected"]
        )


_ACTIONS: dict[str, Callable[[Standing, Decided, Any], list[Decided]]] = {
    "accept": Standing._accept,
    "reject": Standing._reject,
    "label": Standing._label,
    "patient": Standing._patient,
    "split": Standing._split,
    "merge": Standing._merge,
}


def patient_name(value: Any) -> str | None:
    """Return a patient's name in the form that suggestions have, None for an empty one.

    >>> patient_name("  Patient 3 "), patient_name("=cmd|x"), patient_name("")
    ('patient-3', 'cmd-x', None)
    """
    if not isinstance(value, str) or len(value) > 1000:
        raise NotPossible(f"a patient's name is a short text, got {str(value)[:40]!r}")
    name = "-".join("".join(c if c.isalnum() else " " for c in value.lower()).split())
    return name[:LONGEST_NAME].strip("-") or None


def _pieces(whole: PixelBox, value: Any) -> list[PixelBox]:
    if not isinstance(value, list) or not 2 <= len(value) <= MOST_PIECES:
        raise NotPossible(f"a picture is split into 2 to {MOST_PIECES} boxes")
    return [_piece(whole, one) for one in _distinct(value)]


def _distinct(value: list[Any]) -> Iterable[Any]:
    if len({str(one) for one in value}) < len(value):
        raise NotPossible("two of the boxes are the same")
    return value


def _piece(whole: PixelBox, value: Any) -> PixelBox:
    if not isinstance(value, list) or len(value) != 4 or not all(type(v) is int for v in value):
        raise NotPossible(f"a box is four whole numbers, got {str(value)[:60]!r}")
    x0, y0, x1, y1 = value
    inside = whole[0] <= x0 and whole[1] <= y0 and x1 <= whole[2] and y1 <= whole[3]
    if not inside or x1 - x0 < SMALLEST_PX or y1 - y0 < SMALLEST_PX:
        raise NotPossible(f"the box {value} does not lie in {list(whole)}, or is below {SMALLEST_PX} pixels")
    return x0, y0, x1, y1


def _same_figure(a: Decided, b: Decided) -> bool:
    return a.candidate.paper.sha256 == b.candidate.paper.sha256 and a.candidate.image == b.candidate.image
