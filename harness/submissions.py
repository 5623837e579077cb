"""Predictions alone: a CSV of somebody's model becomes records, scored and ranked like a model of ours."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from harness.data.dataset import Dataset
from harness.errors import PredictionError, UnknownName, UsageError
from harness.metrics import check_probabilities
from harness.protocols import splits_of
from harness.records import Predictions, Record, slot, write_record
from harness.registry import model_plugins
from harness.runs import of_dataset
from harness.types import Split, digest_of

__all__ = ["NOTE", "VARIANT", "Submission", "check_name", "read_submission", "record", "submitted_recipe"]

VARIANT = "predictions only"
NOTE = "predictions only: nothing is known of how they came about"

NAME = re.compile(
    r"[A-Za-z0-9][\w.+-]{0,59}", re.ASCII
)  # letters of other scripts may look like a model's name
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
LARGEST_FILE_BYTES = 200_000_000
LARGEST_ROWS = 1_000_000  # a thousand seeds of a thousand test images
PACKED = {
    b"\x1f\x8b": "compressed (gzip)",
    b"PK\x03\x04": "an archive or a spreadsheet (.xlsx)",
    b"PAR1": "Parquet",
}
"""By their first bytes."""

LARGEST_SUM_ERROR = 0.002
"""How far a row may be from 1: what rounding to three decimals does to a few classes."""

Place = tuple[int, int]
"""(seed, fold)."""


@dataclass(frozen=True)
class _Row:
    line: int
    id: str
    place: Place
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Submission:
    """Probabilities (N, C) of the test part of one split, in its order; `rounded` when rows had to be normalised."""

    split: Split
    probabilities: np.ndarray
    rounded: bool


def read_submission(path: Path, dataset: Dataset, protocol: str) -> list[Submission]:
    """Return the submissions in a CSV, one a seed and fold, each test image exactly once.

    Columns: `id`, one a class named as on the card, optionally `seed` and `fold` (whole numbers; without
    `seed` it is 0, without `fold` each image belongs to the fold that tests it). Nothing is returned of a
    file that is wrong anywhere: raises `PredictionError` in one line naming file and line, `UnknownName`
    for a protocol.
    """
    table = _Table(path, tuple(dataset.card.classes))
    rows = list(table.rows())
    if not rows:
        raise PredictionError(f"{path.name}: no predictions below the header")
    found: list[Submission] = []
    for seed in sorted({row.place[0] for row in rows}):
        splits = splits_of(dataset, protocol, seed=seed)
        of_seed = [row for row in rows if row.place[0] == seed]
        found += _matched(path.name, of_seed, splits, dataset, has_folds="fold" in table.header)
    return found


def record(
    runs: Path, submission: Submission, dataset: Dataset, *, name: str, recipe: str, source: str
) -> Record:
    """Write a submission below `runs` as a record under the name `name`; the same file gives the same record.

    Raises `UsageError` for a name that is no name or belongs to an installed model.
    """
    check_name(name)
    split = submission.split
    rows = dataset.rows(split.test)
    classes = list(dataset.card.classes)
    identity = {
        "submitted": name,
        "dataset": dataset.content,
        "split": split.digest,
        "protocol": [split.protocol, split.fold, split.folds],
        "recipe": recipe,
        "seed": split.seed,
        "predictions": digest_of(submission.probabilities.tolist()),
    }
    predictions = Predictions(
        ids=list(split.test),
        labels=[classes[label] for label in dataset.labels[rows]],
        groups=[dataset.groups[row] for row in rows],
        classes=classes,
        probabilities=submission.probabilities,
        sources=[dataset.samples[row].source for row in rows],
    )
    manifest = _manifest(submission, dataset, name, recipe, source, identity)
    return write_record(runs, digest_of(identity)[:32], manifest, predictions)


def check_name(name: str) -> None:
    """Raise `UsageError` for a name that cannot stand on a board, or that an installed model has."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r}: expected at most 60 letters (a to z), digits and . _ + -, the first a letter or digit"
        )
    if name in model_plugins():
        raise UsageError(f"--name {name!r} is an installed model; choose another name for the predictions")


def submitted_recipe(records: Sequence[Record], dataset: Dataset, protocol: str) -> str:
    """Return the one recipe that this board's rows have. Raises `UsageError` where there are several.

    Rows of different recipes are not ranked together, so a submission joins one of them; 'paper'
    where no row is there yet.
    """
    known = {
        record.manifest["recipe"]
        for record in records
        if slot(record.manifest)[:2] == (dataset.name, protocol)
    }
    if len(known) > 1:
        raise UsageError(
            f"the board of {dataset.name!r}, {protocol!r} has rows of several recipes "
            f"({', '.join(sorted(known))}); say with --recipe which to be ranked with"
        )
    return known.pop() if known else "paper"


def _manifest(
    submission: Submission,
    dataset: Dataset,
    name: str,
    recipe: str,
    source: str,
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    notes = [NOTE, *(["its rows were rounded, and divided by their sums"] if submission.rounded else [])]
    return {
        **of_dataset(dataset, submission.split),
        "status": "complete",
        "model": {
            "name": name,
            "label": name,
            "distribution": None,
            "location": None,
            "code": identity["predictions"],
            "parameters": {},
            "trial_parameters": {},
            "tuned": False,
            "variant": VARIANT,
            "source": source,
        },
        "recipe": recipe,
        "seed": submission.split.seed,
        "tuning": None,
        "weights": [],
        "notes": notes,
        "harness": None,
        "engine": None,
        "versions": {},
        "device": None,
        "durations": {},
        "peak_memory_mb": None,
        "error": None,
        "started": now,
        "finished": now,
    }


@dataclass(frozen=True)
class _Table:
    """A CSV of predictions: its header, then rows checked one by one."""

    path: Path
    classes: tuple[str, ...]

    @cached_property
    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yields (line number, cells) of every line that isn't empty, once."""
        return self._read()

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        found = 0
        reader = csv.reader(self._text(), strict=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    found += 1
                    yield reader.line_num, cells
                if found > LARGEST_ROWS:
                    raise PredictionError(
                        f"{self.path.name}: more than {LARGEST_ROWS} lines; expected one a test image"
                    )
        except csv.Error as error:
            raise self._wrong(reader.line_num, f"no CSV: {error}") from error

    def _text(self) -> TextIO:
        """Return the file, read into memory up to the limit: a pipe or device has no size to ask for."""
        try:
            with self.path.open("rb") as file:
                content = file.read(LARGEST_FILE_BYTES + 1)
        except OSError as error:
            raise PredictionError(f"{str(self.path)!r} cannot be read: {error.strerror}") from error
        if len(content) > LARGEST_FILE_BYTES:
            raise PredictionError(
                f"{self.path.name}: larger than {LARGEST_FILE_BYTES / 1e6:.0f} MB; expected a line a test image"
            )
        packed = next((what for mark, what in PACKED.items() if content.startswith(mark)), None)
        if packed is not None:
            raise PredictionError(f"{self.path.name} is {packed}, no text; expected a CSV in UTF-8")
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        try:
            return io.StringIO(content.decode(encoding), newline="")
        except UnicodeDecodeError as error:
            raise PredictionError(
                f"{self.path.name} is no text in UTF-8: {error.reason} at byte {error.start}; save it as UTF-8"
            ) from error

    @cached_property
    def header(self) -> list[str]:
        _, cells = next(self._lines, (0, []))
        if not cells:
            raise PredictionError(
                f"{self.path.name}: empty; expected the columns {', '.join(('id', *self.classes))}"
            )
        header = [cell.strip() for cell in cells]
        allowed = ("id", *self.classes, "seed", "fold")
        separator = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), None)
        if separator is not None:
            raise PredictionError(
                f"{self.path.name}: its columns are separated by {separator!r}; expected commas, and points in numbers"
            )
        if "" in header:
            raise PredictionError(
                f"{self.path.name}: column {header.index('') + 1} has no name; remove it (pandas: index=False)"
            )
        for name in header:
            if name not in allowed:
                raise PredictionError(f"{self.path.name}: {UnknownName('column', name, allowed)}")
            if header.count(name) > 1:
                raise PredictionError(f"{self.path.name}: two columns are named {name!r}")
        for name in ("id", *self.classes):
            if name not in header:
                raise PredictionError(
                    f"{self.path.name}: no column {name!r}; "
                    f"expected {', '.join(allowed[:-2])}, and optionally seed and fold"
                )
        return header

    def rows(self) -> Iterator[_Row]:
        """Yield the rows; raises `PredictionError` at the first that is wrong."""
        width = len(self.header)
        seen: dict[tuple[Place, str], int] = {}
        for line, cells in self._lines:
            if len(cells) != width:
                raise self._wrong(line, f"{len(cells)} cells, the header has {width}")
            row = dict(zip(self.header, cells, strict=True))
            probabilities = tuple(self._probability(line, name, row[name]) for name in self.classes)
            if abs(sum(probabilities) - 1) > LARGEST_SUM_ERROR:
                raise self._wrong(line, f"the probabilities sum to {sum(probabilities):.6g}, expected 1")
            place = (self._whole(line, row, "seed"), self._whole(line, row, "fold"))
            before = seen.setdefault((place, row["id"]), line)
            if before != line:
                raise self._wrong(line, f"{row['id']!r} was there in line {before} already")
            yield _Row(line, row["id"], place, probabilities)

    def _probability(self, line: int, name: str, text: str) -> float:
        if NUMBER.fullmatch(text.strip()) is None:
            raise self._wrong(line, f"{text[:40]!r} in column {name!r} is no number")
        value = float(text)
        if not 0 <= value <= 1:
            hint = "; divide percentages by 100" if 2 <= value <= 100 else ""
            raise self._wrong(
                line, f"{text.strip()[:40]} in column {name!r} is no probability (0 to 1){hint}"
            )
        return abs(value)  # of -0

    def _whole(self, line: int, row: Mapping[str, str], name: str) -> int:
        text = row.get(name, "0").strip()
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
            raise self._wrong(line, f"{name} {text!r} is no whole number of at most nine digits")
        return int(text)

    def _wrong(self, line: int, what: str) -> PredictionError:
        return PredictionError(f"{self.path.name}, line {line}: {what}")


def _matched(
    name: str, rows: Sequence[_Row], splits: Sequence[Split], dataset: Dataset, *, has_folds: bool
) -> list[Submission]:
    """Return a submission a fold. `rows` are those of one seed, `splits` the folds of that seed."""
    tested = [frozenset(split.test) for split in splits]
    fold_of = {sample_id: split.fold for split in splits for sample_id in split.test}
    by_fold: list[dict[str, _Row]] = [{} for _ in splits]
    for row in rows:
        fold = row.place[1] if has_folds else fold_of.get(row.id, 0)
        where = f"{name}, line {row.line}: "
        if fold >= len(splits):
            raise PredictionError(f"{where}fold {fold}, but the split has {len(splits)}, counted from 0")
        if row.id not in tested[fold]:
            raise PredictionError(where + _stranger(row.id, splits[fold], dataset))
        by_fold[fold][row.id] = row
    return [_complete(name, by_fold[split.fold], split) for split in splits]


def _stranger(sample_id: str, split: Split, dataset: Dataset) -> str:
    """Say why an id is not one of the test part."""
    for part, what in (("train", "training"), ("val", "validation")):
        if sample_id in getattr(split, part):
            return (
                f"{sample_id!r} is in the {what} part of {split.protocol!r}; only test images are predicted"
            )
    tested = dataset.tested
    known = [sample.id for sample in tested.samples]
    if sample_id in known:
        elsewhere = (
            "tested in another fold" if split.folds > 1 else f"not in the test part of {split.protocol!r}"
        )
        return f"{sample_id!r} is {elsewhere}"
    close = difflib.get_close_matches(sample_id, known, n=1)
    hint = f"you probably meant {close[0]!r}" if close else f"'harness show {tested.name} --ids' lists them"
    return f"{tested.name!r} has no image {sample_id!r}; {hint}"


def _complete(name: str, rows: Mapping[str, _Row], split: Split) -> Submission:
    missing = [sample_id for sample_id in split.test if sample_id not in rows]
    if missing:
        where = f" of seed {split.seed}" + (f", fold {split.fold}" if split.folds > 1 else "")
        raise PredictionError(
            f"{name}: {len(missing)} of {len(split.test)} test images{where} are missing (first: {missing[0]!r})"
        )
    given = np.array([rows[sample_id].probabilities for sample_id in split.test])
    sums = given.sum(axis=1, keepdims=True)
    rounded = bool((np.abs(sums - 1) > 1e-6).any())
    probabilities = given / sums if rounded else given
    return Submission(split, check_probabilities(probabilities, len(split.test), given.shape[1]), rounded)
