"""The two sides of a gate: which cells of the new run stand against which of the stored board."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.board_cells import Cell, Entry, chosen, entry_of, read_cells
from harness.errors import RecordError, UnknownName, UsageError
from harness.gate.deciding import Finding, NothingToCompare, Verdict
from harness.gate.stored import StoredBoard, StoredCell, StoredRow, base_cell
from harness.records import read_records
from harness.types import unique

__all__ = ["Name", "New", "Pair", "asked", "outcome", "read_new", "runs_of"]

Name = tuple[str, str]
"""(recipe, method): what a row is found by."""


@dataclass(frozen=True)
class New:
    """The new run's cells of one model: those that are finished, and those that failed."""

    done: tuple[Cell, ...] = ()
    failed: tuple[Cell, ...] = ()

    @property
    def why(self) -> str:
        """Return why cells failed, each reason once."""
        return "; ".join(unique(f"{cell.where}: {cell.failure}" for cell in self.failed))


@dataclass(frozen=True)
class Pair:
    """A model that both sides finished, cells on the same places; `before` is None without the base's predictions."""

    row: StoredRow
    now: tuple[Cell, ...]
    before: tuple[Cell, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """True when every probability is the same bit for bit."""
        return self.before is not None and all(
            _array(one).tobytes() == _array(other).tobytes()
            for one, other in zip(self.before, self.now, strict=True)
        )


def _array(cell: Cell) -> np.ndarray:
    assert cell.probabilities is not None
    return cell.probabilities


def read_new(new: Path, board: StoredBoard) -> dict[Name, New]:
    """Return the cells in `new/runs` that are of the board's dataset and protocol, by row.

    Raises `RecordError` for records that were changed or are of other data than the board, `NothingToCompare` where
    there is none.
    """
    runs = new / "runs"
    if not runs.is_dir():
        raise UsageError(
            f"there are no runs in {str(new)!r}; expected the folder that 'harness run --out' wrote into"
        )
    entries = [entry_of(record) for record in read_records(runs)]
    wanted = board.dataset.name, board.protocol.name
    kept, _ = chosen([entry for entry in entries if (entry.dataset, entry.protocol) == wanted])
    if not kept:
        there = unique(f"{entry.dataset!r}, {entry.protocol!r}" for entry in entries)
        raise NothingToCompare(
            f"no record of the base's {wanted[0]!r}, {wanted[1]!r} in {str(runs)!r}; "
            f"it has {'; '.join(sorted(there)[:5]) or 'none at all'}"
        )
    for entry in kept:
        _check_data(entry, board)
    done, failed = defaultdict[Name, list[Cell]](list), defaultdict[Name, list[Cell]](list)
    for cell in read_cells(kept):
        if cell.failure is not None and cell.entry.failure is None:
            raise RecordError(
                f"record {cell.entry.key!r} of the new run ({cell.entry.method}): {cell.failure}"
            )
        side = done if cell.failure is None else failed
        side[cell.entry.recipe, cell.entry.method].append(cell)
    names = unique((entry.recipe, entry.method) for entry in kept)
    return {name: New(tuple(done[name]), tuple(failed[name])) for name in names}


def _check_data(entry: Entry, board: StoredBoard) -> None:
    """Raise `RecordError` for a finished cell on other images, labels or classes than the board's."""
    if entry.failure is not None:
        return
    told, base = entry.record.manifest["dataset"], board.dataset
    for what, ours, theirs in (
        ("images or labels (content)", entry.content, base.content),
        ("classes", list(told["classes"]), list(base.classes)),
        ("positive class", told.get("positive"), base.positive),
    ):
        if ours != theirs:
            raise RecordError(
                f"the new run has other {what} of {base.name!r} than the base: {_short(ours)}, there "
                f"{_short(theirs)}; scores on different data are not compared"
            )


def _short(value: object) -> str:
    return repr(value[:12] if isinstance(value, str) else value)


def asked(
    board: StoredBoard, run: Mapping[Name, New], models: Sequence[str], recipe: str | None
) -> tuple[dict[Name, StoredRow], list[str]]:
    """Return the rows of the base that are to be compared, and what is to be said of those that are not.

    `models` may be named as tables show them, 'net (a)' included: the letters are those of the base's board.
    Raises `UnknownName` for a model or recipe that neither side has, `UsageError` where no recipe is on both sides.
    """
    of_base = unique(row.recipe for row in board.rows)
    if recipe is not None and recipe not in of_base:
        raise UnknownName("recipe", recipe, of_base)
    recipes = [recipe] if recipe else [name for name in of_base if name in {r for r, _ in run}]
    if not recipes:
        raise UsageError(
            f"the new run has the recipe {_listed({r for r, _ in run})}, the base {_listed(of_base)}: "
            "rows of different recipes are not compared"
        )
    by_shown = {_bare(row.shown): row.method for row in board.rows if row.shown is not None}
    models = [by_shown.get(_bare(model), model) for model in models]
    for model in models:
        known = {row.method for row in board.rows} | {method for _, method in run}
        if not any(_is_named(method, [model]) for method in known):
            raise UnknownName("model", model, known)
    rows: dict[Name, StoredRow] = {}
    for row in sorted(board.rows, key=lambda row: not row.cells):  # a method may have failed on some seeds
        if row.recipe in recipes and (not models or _is_named(row.method, models)):
            rows.setdefault((row.recipe, row.method), row)
    left = [name for name in of_base if name not in recipes]
    said = f"Not compared: the base's rows of recipe {_listed(left)}, which the new run has not."
    return rows, [said] if left and recipe is None else []


def _is_named(method: str, names: Sequence[str]) -> bool:
    """True for 'svm (squeezenet1_1)' when it, or 'svm', is among the names, 'from scratch' as boards add it or not."""
    bare = [_bare(name) for name in names]
    return method in bare or method.partition(" (")[0] in bare


def _bare(name: str) -> str:
    """A name without what tables add to it."""
    return name.removesuffix(", from scratch")


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "none"


def runs_of(base: Path, base_runs: Path | str | None) -> list[Path]:
    """Return the folders in which the base's records may lie. Raises `UsageError` for one that is none."""
    if base_runs is None:
        return [folder / "runs" for folder in list(base.absolute().parents)[:2]]
    folder = Path(base_runs)
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r} with the base's runs")
    return [folder / "runs", folder]


def outcome(
    board: StoredBoard, row: StoredRow, run: New, folders: Sequence[Path], new_runs: Path, *, unpaired: bool
) -> Pair | Finding | None:
    """Return the cells to compare, or what there is to say instead; None for a row that never worked and is gone.

    Raises `UsageError` without the base's predictions unless `unpaired`, `RecordError` where the two sides were tested
    on different images.
    """
    places = {cell.place for cell in row.cells}
    broken = New(failed=tuple(cell for cell in run.failed if cell.place in places or not places))
    now = tuple(sorted((c for c in run.done if c.place in places), key=lambda cell: cell.place))
    if not row.cells:
        if run.done:
            return _told(row, "new", "it failed in the base and works now")
        return _told(row, "still failing", broken.why) if run.failed else None
    if broken.failed:
        return _told(row, "failed", broken.why)
    if not now:
        why = "none of the base's seeds and folds" if run.done or run.failed else "no record of it"
        return _told(row, "missing", why)
    shared = {cell.place for cell in now}
    stored = sorted((cell for cell in row.cells if cell.place in shared), key=lambda cell: cell.place)
    both = _both(board, row, stored, now, folders, new_runs)
    if both is None and not unpaired:
        looked = ", ".join(repr(str(folder)) for folder in [*folders, new_runs])
        raise UsageError(
            f"the base's predictions of {row.method!r} (record {stored[0].key}) are in none of {looked}; say where "
            "they are with --base-runs, or compare without them by --unpaired, which finds only larger losses"
        )
    fewer = len(places) - len(shared)
    notes = (f"on {len(shared)} of the base's {len(places)} seeds and folds",) if fewer else ()
    if both is None:
        return Pair(row, now, None, notes)
    return Pair(row, tuple(ours for _, ours in both), tuple(theirs for theirs, _ in both), notes)


def _told(row: StoredRow, verdict: Verdict, reason: str) -> Finding:
    return Finding(row.method, row.recipe, "", verdict, reason=reason)


def _both(
    board: StoredBoard,
    row: StoredRow,
    stored: Sequence[StoredCell],
    now: Sequence[Cell],
    folders: Sequence[Path],
    new_runs: Path,
) -> list[tuple[Cell, Cell]] | None:
    """The base's and the new cells by place, None unless all predictions of the base are at hand."""
    found = []
    for said, cell in zip(stored, now, strict=True):
        theirs = base_cell(board, row, said, folders, new_runs)
        if theirs is None:
            return None
        _check_part(theirs, cell)
        found.append(_alike(theirs, cell))
    return found


def _check_part(before: Cell, now: Cell) -> None:
    """Raise `RecordError` unless both were tested on the same images with the same labels."""
    where = f"{now.entry.method}, {now.where}"
    if before.ids != now.ids:
        strange = sorted(set(before.ids) ^ set(now.ids))[0]
        raise RecordError(
            f"{where}: other test images than in the base ({len(now.ids)}, there {len(before.ids)}; only on one side: "
            f"{strange!r}); pairs need the same images"
        )
    assert before.labels is not None
    assert now.labels is not None
    if not np.array_equal(before.labels, now.labels):
        place = int(np.flatnonzero(before.labels != now.labels)[0])
        raise RecordError(f"{where}: image {now.ids[place]!r} has another label than in the base")


def _alike(before: Cell, now: Cell) -> tuple[Cell, Cell]:
    """The two with the same groups, the new one's where it knows them: the units that are drawn must be the same.

    The base's has a key of its own, since the keys are equal when training is not repeatable to the bit.
    """
    groups = now.groups if now.grouped else before.groups
    entry = replace(before.entry, key=f"base {before.entry.key}")
    return replace(before, entry=entry, groups=groups), replace(now, groups=groups)
