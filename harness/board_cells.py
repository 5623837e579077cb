"""Cells as a board sees them: which records count, and their predictions, checked.

A record that is complete but whose predictions cannot be believed becomes a failed cell with
the reason; nothing is left out silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError, RecordError
from harness.manifests import check_manifest
from harness.metrics import Auc, Scores, check_probabilities, scores
from harness.resamples import units_of
from harness.types import digest_of

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Record

__all__ = ["Cell", "Entry", "chosen", "entry_of", "read_cells"]


@dataclass(frozen=True)
class Entry:
    """What a manifest says that decides where its record belongs."""

    record: Record
    key: str
    dataset: str
    content: str
    protocol: str
    fold: int
    folds: int
    split: str
    label: str
    variant: str | None
    recipe: str
    seed: int
    code: str
    setting: str
    finished: str
    failure: str | None

    @property
    def method(self) -> str:
        """The name a row bears: 'xdnn', 'xdnn (untuned)'."""
        return self.label if self.variant is None else f"{self.label} ({self.variant})"

    @property
    def slot(self) -> tuple[str, str, int, int]:
        """Of the records that share this, one counts."""
        return self.method, self.recipe, self.fold, self.seed

    @property
    def age(self) -> tuple[str, str]:
        """Sorts by time of completion; the key decides between records of the same moment."""
        return self.finished, self.key


@dataclass(frozen=True)
class Cell:
    """An entry with its N predictions, ordered by sample id; without any when it failed."""

    entry: Entry
    classes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    groups: tuple[str | None, ...] | None = None
    sources: tuple[str | None, ...] | None = None
    failure: str | None = None

    @property
    def grouped(self) -> bool:
        """True when the group of at least one image is known."""
        return any(group is not None for group in self.groups or ())

    @cached_property
    def units(self) -> tuple[str, ...]:
        """What is drawn together when the test part is resampled, of each image."""
        return units_of(self.ids, self.groups)

    @property
    def place(self) -> tuple[int, int]:
        """(seed, fold)."""
        return self.entry.seed, self.entry.fold

    @property
    def where(self) -> str:
        """Its seed and, where there are several, its fold, for a reader."""
        seed, fold = self.place
        return f"seed {seed} fold {fold}" if fold or self.entry.folds > 1 else f"seed {seed}"

    @property
    def manifest(self) -> dict[str, Any]:
        return self.entry.record.manifest

    def scores(self, positive: str | None, auc: Auc = "scores") -> Scores:
        """Return the metrics with the class named `positive` counted as such."""
        assert self.labels is not None
        assert self.probabilities is not None
        number = None if positive is None else self.classes.index(positive)
        return scores(self.labels, self.probabilities, positive=number, auc=auc)


def entry_of(record: Record) -> Entry:
    """Return what the manifest says. Raises `RecordError` naming what it lacks, is wrong, or was edited in it."""
    manifest = record.manifest
    check_manifest(manifest)
    record.check_digest()
    model, protocol = manifest["model"], manifest["protocol"]
    return Entry(
        record=record,
        key=str(manifest["key"]),
        dataset=manifest["dataset"]["name"],
        content=manifest["dataset"]["content"],
        protocol=protocol["name"],
        fold=protocol["fold"],
        folds=protocol.get("folds", 1),
        split=protocol["split"],
        label=model["label"],
        variant=model["variant"],
        recipe=manifest["recipe"],
        seed=manifest["seed"],
        code=digest_of([model["code"], manifest.get("engine")]),
        setting=_setting(manifest),
        finished=manifest["finished"],
        failure=_failure(manifest),
    )


def _failure(manifest: dict[str, Any]) -> str | None:
    if manifest["status"] == "complete":
        return None
    error = manifest["error"] or {}
    return " ".join(f"{error.get('type', 'failed')}: {error.get('message', 'no reason given')}".split())


def _setting(manifest: dict[str, Any]) -> str:
    """A digest of what was set for a finished cell, the values that tuning chose aside."""
    tuning = manifest["tuning"] or {}
    tuned = {name for trial in tuning.get("history", []) for name in trial["parameters"]}
    fixed = {name: v for name, v in manifest["model"]["parameters"].items() if name not in tuned}
    weights = [[w["network"], w["sha256"]] for w in manifest["weights"]]
    return digest_of([fixed, tuning.get("budget", {"trials": tuning.get("trials", 0)}), weights])


FILTERS: tuple[tuple[Callable[[Entry], Hashable], Callable[[Entry], Hashable]], ...] = (
    (lambda e: (e.dataset, e.protocol), lambda e: e.content),
    (lambda e: (e.fold, e.seed), lambda e: e.split),
    (lambda e: (e.method, e.recipe), lambda e: (e.code, e.setting)),
    (lambda e: e.slot, lambda e: e.key),
)
"""(place, version): at each place only records of the version that was completed last count.

So a board never mixes images, splits, code or settings that bear the same name.
"""


def chosen(entries: Sequence[Entry]) -> tuple[list[Entry], int]:
    """Return the entries that count on one board, and how many older ones do not.

    A failed attempt counts while no newer record of its slot is complete.
    """
    done = [entry for entry in entries if entry.failure is None]
    for place, version in FILTERS:
        done = _newest(done, place, version)
    completed = {entry.slot: entry.age for entry in done}
    failed = [
        entry
        for entry in _newest([e for e in entries if e.failure is not None], lambda e: e.slot, lambda e: e.key)
        if entry.slot not in completed or completed[entry.slot] < entry.age
    ]
    kept = sorted(done + failed, key=lambda e: (e.slot, e.age))
    return kept, len(entries) - len(kept)


def _newest(
    entries: Sequence[Entry], place: Callable[[Entry], Hashable], version: Callable[[Entry], Hashable]
) -> list[Entry]:
    newest = {place(entry): version(entry) for entry in sorted(entries, key=lambda e: e.age)}
    return [entry for entry in entries if newest[place(entry)] == version(entry)]


def read_cells(entries: Sequence[Entry]) -> list[Cell]:
    """Return the cells with their predictions; those on another test part than most of their fold are failed."""
    cells = [_read_cell(entry) for entry in entries]
    usual: dict[tuple[int, int], str] = {}
    for place in {c.place for c in cells}:
        parts = Counter(_part(c) for c in cells if c.place == place and c.failure is None)
        if parts:
            usual[place] = max(parts, key=lambda part: (parts[part], part))
    strange = "its predictions are for other images, or other labels, than those of the other rows"
    return [
        replace(c, failure=f"RecordError: {strange}")
        if c.failure is None and _part(c) != usual[c.place]
        else c
        for c in cells
    ]


def _part(cell: Cell) -> str:
    assert cell.labels is not None
    return digest_of([cell.classes, cell.ids, cell.labels.tolist()])


def _read_cell(entry: Entry) -> Cell:
    if entry.failure is not None:
        return Cell(entry, failure=entry.failure)
    try:
        return _believed(entry, entry.record.predictions())
    except (HarnessError, OSError, ValueError) as error:
        return Cell(entry, failure=" ".join(f"{type(error).__name__}: {error}".split()))


def _believed(entry: Entry, frame: pd.DataFrame) -> Cell:
    """Return the cell of these predictions. Raises `RecordError` or `PredictionError` when they cannot be scored."""
    import pandas as pd

    dataset = entry.record.manifest["dataset"]
    classes, n_test = list(dataset["classes"]), dataset["n"]["test"]
    named, columns = ["id", "label", "group"], list(frame.columns)
    if columns not in ([*named, *classes], [*named, "source", *classes]):  # older records know no sources
        raise RecordError(
            f"predictions have the columns {columns!r}, expected {[*named, *classes]!r}, with or without 'source' "
            "behind 'group'"
        )
    frame = frame.sort_values("id", kind="stable", ignore_index=True)
    if len(frame) != n_test or frame["id"].duplicated().any() or frame["id"].isna().any():
        raise RecordError(
            f"predictions have {len(frame)} rows of {frame['id'].nunique()} images, the test part has {n_test}"
        )
    unknown = frame[~frame["label"].isin(classes)]
    if len(unknown):
        raise RecordError(
            f"predictions give image {unknown['id'].iloc[0]!r} the label {unknown['label'].iloc[0]!r}, "
            f"which is none of {classes!r}"
        )
    if len(columns) > len(named) + len(classes):
        named.append("source")
    texts = [value for name in named for value in frame[name]]
    strange = next((value for value in texts if not isinstance(value, str) and not pd.isna(value)), None)
    if strange is not None:
        raise RecordError(f"predictions name an image, a group or a source {strange!r}, expected text")
    number = {name: index for index, name in enumerate(classes)}
    return Cell(
        entry=entry,
        classes=tuple(classes),
        ids=tuple(frame["id"]),
        labels=np.array([number[name] for name in frame["label"]], dtype=np.int64),
        probabilities=check_probabilities(frame[classes].to_numpy(), n_test, len(classes)),
        groups=_texts(frame["group"]),
        sources=_texts(frame["source"]) if "source" in named else None,
    )


def _texts(values: pd.Series[str]) -> tuple[str | None, ...]:
    """The texts of a column, None where it has none."""
    return tuple(value if isinstance(value, str) else None for value in values)
