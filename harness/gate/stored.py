"""The board that a run is compared with, as `harness run` wrote it in JSON, and the records of its cells."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.board_cells import Cell, entry_of, read_cells
from harness.board_files import SCHEMA_VERSION
from harness.board_rows import Mean
from harness.complaints import complaints
from harness.errors import RecordError, UsageError
from harness.intervals import Interval
from harness.metrics import METRICS
from harness.records import MANIFEST, read_record

__all__ = ["StoredBoard", "StoredCell", "StoredRow", "base_cell", "read_board"]

FIRST_VERSION = 2
"""The oldest `schema_version` that has what is read here."""

MOST_BYTES = 100_000_000
"""Of a board; one of 12 models and 5 seeds has a few."""

SAME = 2e-9
"""How far a stored metric may be from that of its record: boards have nine digits of what is summed up."""

Share = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Bound = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1, max_length=300)]


class _Part(BaseModel):
    """Of a board only what a gate needs is read and checked."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class StoredInterval(_Part):
    low: Bound | None
    high: Bound | None
    method: str
    reason: str | None = None


class StoredScore(_Part):
    value: Share | None
    reason: str | None = None
    interval: StoredInterval | None = None

    @property
    def mean(self) -> Mean:
        """Return it as a board has it."""
        found = self.interval
        interval = (
            None if found is None else Interval(found.low, found.high, found.method, reason=found.reason)
        )
        return Mean(self.value, reason=self.reason, interval=interval)


class StoredCell(_Part):
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    seed: Count
    fold: Count
    metrics: Mapping[str, StoredScore]
    confusion: Sequence[Sequence[Count]]

    @property
    def place(self) -> tuple[int, int]:
        """(seed, fold)."""
        return self.seed, self.fold


class StoredRow(_Part):
    """A row; a failed one has no cells, and notes that say why. `shown` is what tables call it."""

    recipe: Text
    method: Text
    shown: Text | None = None
    status: Text
    metrics: Mapping[str, StoredScore] | None
    notes: Sequence[str]
    cells: Sequence[StoredCell]


class StoredDataset(_Part):
    name: Text
    classes: Sequence[Text]
    positive: Text | None
    content: Text
    test: Mapping[str, Count]


class StoredProtocol(_Part):
    name: Text
    folds: Count


class StoredBoard(_Part):
    dataset: StoredDataset
    protocol: StoredProtocol
    rows: Sequence[StoredRow]


def read_board(path: Path) -> StoredBoard:
    """Return the board in a JSON file. Raises `RecordError` or `UsageError` in one line for one that is none."""
    where = f"base {str(path)!r}"
    document = _document(path, where)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or "rows" not in document:
        raise RecordError(f"{where} is no board: expected DATASET/PROTOCOL.json, as 'harness run' writes it")
    if not FIRST_VERSION <= version <= SCHEMA_VERSION:
        raise RecordError(
            f"{where}: schema_version {version}, this harness reads {FIRST_VERSION} to {SCHEMA_VERSION}; "
            "write the board anew with 'harness board'"
        )
    try:
        board = StoredBoard.model_validate(document)
    except ValidationError as error:
        faults = list(complaints(error))
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise RecordError(f"{where}: {faults[0]}{more}; write the board anew with 'harness board'") from error
    _check_rows(board, where)
    return board


def _document(path: Path, where: str) -> Any:
    try:
        if path.is_dir():
            raise UsageError(f"{where} is a folder; name one of its boards: {_boards_in(path)}")
        if not path.is_file():
            raise UsageError(f"{where}: there is no such file")
        if path.stat().st_size > MOST_BYTES:
            raise RecordError(f"{where}: larger than {MOST_BYTES / 1e6:.0f} MB, so no board")
        text = path.read_text("utf-8")
    except OSError as error:
        raise RecordError(f"{where} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{where} is no UTF-8 text: {error.reason} at byte {error.start}") from error
    try:
        return json.loads(text, parse_constant=_refused, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where} is no whole JSON: {error}") from error


def _refused(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is no number")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:60]!r} is there twice")
    return found


def _boards_in(folder: Path) -> str:
    found = sorted([*folder.glob("*.json"), *folder.glob("*/*.json")])
    # a board has its pairs beside it
    names = [str(path) for path in found if path.with_suffix(".pairs.csv").is_file()]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") if names else "it holds none"


def _check_rows(board: StoredBoard, where: str) -> None:
    """Raise `RecordError` for what no board has: a model or key twice, a cell without its row's numbers."""
    if board.dataset.positive not in (None, *board.dataset.classes):
        raise RecordError(
            f"{where}: the positive class {board.dataset.positive!r} is none of {list(board.dataset.classes)!r}"
        )
    finished = [row for row in board.rows if row.cells]
    names = [repr((row.recipe, row.method)) for row in finished]
    keys = [repr(cell.key) for row in finished for cell in row.cells]
    for what, values in (("row", names), ("cell", keys)):
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise RecordError(f"{where}: the {what} {twice[0]} is there twice")
    for row in finished:
        if row.metrics is None or not set(METRICS) <= row.metrics.keys():
            raise RecordError(f"{where}: the row {row.method!r} has cells, but not every metric")
        for metric in METRICS:
            _check_score(row, metric, where)


def _check_score(row: StoredRow, metric: str, where: str) -> None:
    """Raise `RecordError` for a row whose score is not that of its cells, or not in its own interval."""
    assert row.metrics is not None
    said, interval = row.metrics[metric].value, row.metrics[metric].interval
    if said is None:
        return
    by_seed: dict[int, list[float]] = defaultdict(list)
    for cell in row.cells:
        score = cell.metrics.get(metric)
        if score is None or score.value is None:
            return
        by_seed[cell.seed].append(score.value)
    mean = math.fsum(math.fsum(values) / len(values) for values in by_seed.values()) / len(by_seed)
    if abs(said - mean) > SAME:
        raise RecordError(
            f"{where}: the row {row.method!r} has {metric} {said:.6g}, its cells give {mean:.6g}; "
            "write the board anew with 'harness board'"
        )
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    if low is not None and high is not None and not low - SAME <= said <= high + SAME:
        raise RecordError(
            f"{where}: the {metric} {said:.6g} of row {row.method!r} is not in its own interval "
            f"[{low:.6g}, {high:.6g}]; write the board anew with 'harness board'"
        )


def base_cell(
    board: StoredBoard, row: StoredRow, stored: StoredCell, folders: Sequence[Path], elsewhere: Path
) -> Cell | None:
    """Return a cell of a row with its predictions, None where these are not at hand.

    Its record is looked for by key in `folders`, then in `elsewhere`: the new run's, which may hold the old
    cells too, or new ones of the same key. Raises `RecordError` for one in `folders` that gives other numbers
    than the board, and for predictions that were changed.
    """
    for folder in folders:
        cell = _cell(board, row, stored, folder, strict=True)
        if cell is not None:
            return cell
    return _cell(board, row, stored, elsewhere, strict=False)


def _cell(
    board: StoredBoard, row: StoredRow, stored: StoredCell, folder: Path, *, strict: bool
) -> Cell | None:
    if not (folder / stored.key / MANIFEST).is_file():
        return None
    entry = entry_of(read_record(folder / stored.key))
    dataset, protocol = board.dataset, board.protocol
    said = (dataset.name, dataset.content, protocol.name, row.recipe, row.method, *stored.place)
    about = entry.recipe, entry.method, entry.seed, entry.fold
    told = (entry.dataset, entry.content, entry.protocol, *about)
    where = f"record {stored.key!r} of the base"
    if told != said:
        raise RecordError(f"{where} is {told!r}, but the board says {said!r}")
    (cell,) = read_cells([entry])
    if cell.failure is not None:
        raise RecordError(f"{where}: {cell.failure}")
    differing = _differing(board, stored, cell)
    if differing is None:
        return cell
    if not strict:
        return None
    raise RecordError(
        f"{where}: its predictions give another {differing} than the board says; one of the two was changed"
    )


def _differing(board: StoredBoard, stored: StoredCell, cell: Cell) -> str | None:
    """The first number that the record does not bear out."""
    if cell.classes != tuple(board.dataset.classes):
        return "list of classes"
    result = cell.scores(board.dataset.positive)
    if result.confusion.tolist() != [list(line) for line in stored.confusion]:
        return "confusion matrix"
    for metric in METRICS:
        ours, theirs = result[metric].value, stored.metrics.get(metric, StoredScore(value=None)).value
        if ours is None or theirs is None:
            if ours is not theirs:
                return metric
        elif abs(ours - theirs) > SAME:
            return metric
    return None
