"""A review under way: what the page is told, and decisions kept one after the other."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.curation.collection import DECISIONS, open_collection
from harness.curation.dataset import is_cut_off, write_dataset
from harness.curation.decisions import Action, Event, EventFile, effective
from harness.curation.pictures import picture
from harness.curation.selection import image_names
from harness.curation.types import CLASSES, Candidate, Decided, Paper
from harness.curation.verdicts import NotPossible, Standing
from harness.errors import DataError
from harness.figures.passages import passages
from harness.figures.types import Suggestion

__all__ = ["Session", "Stale", "reviewing"]

CHANGES_THE_LIST = ("split", "merge", "undo")
LEAST_MARKED = 8
"""Letters of a sentence that are enough to find it in the caption."""


class Stale(DataError):
    """A decision that was made on an older state than the one that is."""


@contextmanager
def reviewing(folder: Path) -> Iterator[Session]:
    """Lend the review of a collection. Raises `DataError` while another process has it."""
    from filelock import FileLock, Timeout

    collection = open_collection(folder)
    lock = FileLock(folder / ".review.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(f"another review of {str(folder)!r} is open; end it first") from None
    except OSError as error:
        raise DataError(f"cannot write into {str(folder)!r}: {error.strerror}") from error
    try:
        events = EventFile(folder / DECISIONS)
        try:
            yield Session(folder, collection.candidates, events)
        finally:
            events.close()
    finally:
        lock.release()


class Session:
    """The candidates, the file of decisions, and one decision at a time. `version` grows by one with each."""

    def __init__(self, folder: Path, candidates: tuple[Candidate, ...], events: EventFile) -> None:
        self.title = folder.resolve().name
        self._folder = folder
        self._candidates = candidates
        self._events = events
        self._lock = threading.Lock()
        self._standing = Standing(candidates, events.events)

    @property
    def version(self) -> int:
        return len(self._events.events)

    def state(self) -> dict[str, Any]:
        """Return the list of all pictures as they stand, short, and how far the review is."""
        with self._lock:
            names = image_names(self._standing)
            items = [_item(one, names[name]) for name, one in self._standing.by_id.items()]
            papers = {one.candidate.paper.stem: one.candidate.paper for one in self._standing.by_id.values()}
            return self._progress() | {
                "title": self.title,
                "classes": CLASSES,
                "items": items,
                "papers": [_paper(paper) for paper in papers.values()],
                "lost": self._standing.lost,
                "cut_off": is_cut_off(self._folder),
            }

    def _progress(self) -> dict[str, Any]:
        return {"version": self.version, "counts": asdict(self._standing.counts())}

    def find(self, name: str) -> Decided | None:
        """Return a picture by its id, None where there is none (any more)."""
        return self._standing.by_id.get(name)

    def decide(self, version: int, action: Action, target: str, value: Any = None) -> dict[str, Any]:
        """Keep a decision and return what changed.

        Raises `Stale` when `version` is not the present one, `NotPossible` for a decision that makes no sense; both
        change nothing.
        """
        with self._lock:
            if version != self.version:
                raise Stale("decided elsewhere in the meantime; look again")
            made = datetime.now(UTC).isoformat(timespec="seconds")
            if action == "undo":
                return self._undo(made)
            changed = self._standing.apply(Event(version + 1, action, target, value))
            try:
                self._events.add(action, target, value, made)
            except DataError:
                self._standing = Standing(self._candidates, self._events.events)
                raise
            return self._answer(changed, structure=action in CHANGES_THE_LIST)

    def _undo(self, made: str) -> dict[str, Any]:
        holding = effective(self._events.events)
        if not holding:
            raise NotPossible("nothing to undo")
        last = holding[-1]
        self._events.add("undo", str(last.number), made=made)
        self._standing = Standing(self._candidates, self._events.events)
        back = self._standing.by_id.get(last.target)
        return self._answer([back] if back else [], structure=True) | {"undone": last.action}

    def _answer(self, changed: list[Decided], *, structure: bool) -> dict[str, Any]:
        items = [] if structure else [_item(one, "") for one in changed]
        focus = changed[0].candidate.id if changed else None
        return self._progress() | {"changed": items, "structure": structure, "focus": focus}

    def write(self) -> tuple[str, ...]:
        """Write the dataset as it is decided now; return what was written, in lines.

        Raises `Busy` while another process writes it.
        """
        return write_dataset(self._folder, patience=0.0).lines

    def detail(self, name: str) -> dict[str, Any] | None:
        """Return all that is known of a picture, for the eye."""
        decided = self.find(name)
        if decided is None:
            return None
        one = decided.candidate
        caption = " ".join(one.caption.split())
        paper = one.paper.group
        patients = sorted(
            {
                value.partition("/")[2]
                for other in self._standing.by_id.values()
                if other.candidate.paper is one.paper and (value := other.candidate.patient.value or "")
            }
            - {""}
        )
        return _item(decided, "") | {
            "pixels": one.pixels,
            "image": one.image,
            "page_box": [
                one.box[0] / one.page_size[0],
                one.box[1] / one.page_size[1],
                one.box[2] / one.page_size[0],
                one.box[3] / one.page_size[1],
            ],
            "sha256": one.paper.sha256,
            "caption": caption,
            "spoken_of": _spans(caption, one),
            "decisive": _decisive(caption, one.label),
            "panel_text": one.text,
            "mentions": one.mentions,
            "suggestions": {"ct": asdict(one.ct), "label": asdict(one.label), "patient": asdict(one.patient)},
            "group": f"{paper}/{decided.patient}" if decided.patient else one.patient.value,
            "patients": patients,
            "paper_details": _paper(one.paper),
        }

    def cuts(self, name: str) -> list[tuple[int, int, int, int]]:
        """Return where a picture could be split, in pixels of its figure; nothing where no gutter is seen."""
        import numpy as np

        from harness.figures.panels import boxes

        decided = self.find(name)
        if decided is None:
            return []
        x, y, _, _ = decided.candidate.pixels
        found = boxes(np.asarray(picture(decided.candidate), np.uint8))
        return [(x0 + x, y0 + y, x1 + x, y1 + y) for x0, y0, x1, y1 in found] if len(found) > 1 else []


def _item(decided: Decided, name: str) -> dict[str, Any]:
    one = decided.candidate
    return {
        "id": one.id,
        "name": name.removesuffix(".png"),
        "verdict": decided.verdict,
        "label": decided.label if decided.verdict != "rejected" else None,
        "suggested": one.label.value,
        "ct": one.is_ct,
        "confidence": min(one.ct.confidence, one.label.confidence) if one.is_ct else one.ct.confidence,
        "paper": one.paper.stem,
        "content": one.content[:16] if one.content else None,
        "whole": f"{one.paper.sha256[:16]}/{one.image}",
        "figure": one.figure,
        "page": one.page,
        "letter": one.letter,
        "patient": decided.patient,
        "size": [one.pixels[2] - one.pixels[0], one.pixels[3] - one.pixels[1]],
    }


def _paper(paper: Paper) -> dict[str, Any]:
    return {"stem": paper.stem, "file": paper.name, "title": paper.title, "doi": paper.doi}


def _spans(caption: str, one: Candidate) -> list[tuple[int, int]]:
    """Where the caption speaks of this panel: the whole passage, else those of its sentences that are found."""
    for text in (passages(one.caption).of(one.letter), one.text):
        if text and (at := caption.find(text)) >= 0:
            return [(at, at + len(text))]
    sentences = [part for part in re.split(r"(?<=[.;])\s+", one.text) if len(part) >= LEAST_MARKED]
    return sorted((at, at + len(part)) for part in sentences if (at := caption.find(part)) >= 0)


def _decisive(caption: str, label: Suggestion) -> list[tuple[int, int]]:
    """Where the words stand that the suggested label rests on."""
    words = re.findall(r"'([^']+)'", label.reason)
    places = (re.search(re.escape(word), caption, re.IGNORECASE) for word in words)
    return sorted(place.span() for place in places if place)
