"""Tables that others published, as `leaderboards/DATASET/published.toml` states them.

A number is kept as it was printed, with where it was printed. A reading (which class was
counted as positive, what AUC was computed from) that is not known is absent: the figures
that depend on it are then shown, but never compared.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.complaints import complaints
from harness.errors import CardError
from harness.metrics import Auc

__all__ = [
    "PUBLISHED_METRICS",
    "PUBLISHED_TIMES",
    "STATED_METRICS",
    "Published",
    "PublishedRow",
    "PublishedTable",
    "Reading",
    "Search",
    "Tolerance",
    "load_published",
    "read_published",
]

PUBLISHED_METRICS = ("accuracy", "precision", "recall", "f1", "auc")
"""What the papers' tables report, in their order."""

STATED_METRICS = (*PUBLISHED_METRICS, "specificity", "balanced_accuracy")
"""What a row may report, in percent."""

PUBLISHED_TIMES = ("fit_seconds", "predict_seconds_per_image")
"""What a row may report of time, in seconds."""

Text = Annotated[str, Field(min_length=1)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reading(_Part):
    """How a table counts: the class it calls positive, and what its AUC orders the images by."""

    positive: Text | None = None
    auc: Auc | None = None
    source: Text | None = None

    def covers(self, metric: str) -> bool:
        """True when it is known how `metric` was computed. Accuracies need no positive class."""
        if metric in ("accuracy", "balanced_accuracy"):
            return True
        return self.positive is not None and (metric != "auc" or self.auc is not None)

    @property
    def words(self) -> str:
        """What a reader is told.

        >>> Reading(positive="non-COVID", auc="hard-labels").words
        'non-COVID counted as positive, AUC of hard labels'
        """
        positive = (
            "positive class not known" if self.positive is None else f"{self.positive} counted as positive"
        )
        auc = {
            "scores": "AUC of scores",
            "hard-labels": "AUC of hard labels",
            None: "origin of AUC not known",
        }
        return f"{positive}, {auc[self.auc]}"


class Tolerance(_Part):
    """How far ours may lie from a printed figure, in percentage points, and still reproduce it; and why.

    `written` is when this was written down: of older runs it is no forecast.
    """

    reproduced: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
    reason: Text
    written: AwareDatetime | None = None


class Search(_Part):
    """The sizes of test parts, least and most, that are searched for a matrix; and why these."""

    sizes: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
    reason: Text

    @model_validator(mode="after")
    def _in_order(self) -> Search:
        if self.sizes[0] > self.sizes[1]:
            raise ValueError("the smaller size comes first")
        return self


class PublishedRow(_Part):
    """One line of a table, metrics in percent, times in seconds; what it does not report is None.

    `models` are our names of the method, `decimals` how many were printed where the table's does not hold.
    """

    method: Text
    models: tuple[Text, ...] = ()
    accuracy: Percent | None = None
    precision: Percent | None = None
    recall: Percent | None = None
    f1: Percent | None = None
    auc: Percent | None = None
    specificity: Percent | None = None
    balanced_accuracy: Percent | None = None
    fit_seconds: Seconds | None = None
    predict_seconds_per_image: Seconds | None = None
    decimals: Annotated[int, Field(ge=0, le=4)] | None = None
    notes: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _reports_something(self) -> PublishedRow:
        if all(self[metric] is None for metric in STATED_METRICS):
            raise ValueError("a row without any number")
        return self

    def __getitem__(self, metric: str) -> float | None:
        """Return one of `STATED_METRICS` in percent, or of `PUBLISHED_TIMES` in seconds, by name."""
        if metric not in (*STATED_METRICS, *PUBLISHED_TIMES):
            raise KeyError(metric)
        value: float | None = getattr(self, metric)
        return value


class PublishedTable(_Part):
    """A table, its source and its reading.

    `test` counts its test images by class, where known; `other_images` says why it speaks of
    other images than the dataset's, and makes it context instead of a comparison.
    `decimals` is how many of a percentage were printed. `named_without_row` are our names of
    methods that the text names and no row reports. `tolerance` and `search` are what `harness verify`
    judges by, written down before anything is run.
    """

    id: Text
    title: Text
    source: Text
    protocol: Text
    decimals: Annotated[int, Field(ge=0, le=4)]
    test: dict[Text, Annotated[int, Field(ge=0)]] | None = None
    other_images: Text | None = None
    reading: Reading = Reading()
    tolerance: Tolerance | None = None
    search: Search | None = None
    rows: Annotated[tuple[PublishedRow, ...], Field(min_length=1, alias="row")]
    named_without_row: tuple[Text, ...] = ()
    notes: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _methods_differ(self) -> PublishedTable:
        methods = [row.method for row in self.rows]
        if len(set(methods)) < len(methods):
            raise ValueError(f"table {self.id!r} has two rows of the same method")
        return self

    def digits(self, row: PublishedRow) -> int:
        """Return how many decimals of a percentage were printed."""
        return self.decimals if row.decimals is None else row.decimals

    def not_compared(self, protocol: str, test: dict[str, int]) -> str | None:
        """Return why this table says nothing about a test part with these counts by class, None when it does.

        Counts that are not known yet (none) do not speak against it.
        """
        if self.other_images is not None:
            return f"other images: {self.other_images}"
        if self.protocol != protocol:
            return f"another split: it speaks of the protocol {self.protocol!r}"
        if test and self.test is not None and self.test != test:
            return f"another test part: {_counts(self.test)} there, {_counts(test)} here"
        return None


class Published(_Part):
    """The published tables of one dataset; `key` names them all at once: 'zhao2020'."""

    schema_version: Literal[1]
    dataset: Text
    key: Text | None = None
    tables: Annotated[tuple[PublishedTable, ...], Field(alias="table")]

    @model_validator(mode="after")
    def _ids_differ(self) -> Published:
        ids = [table.id for table in self.tables]
        if len(set(ids)) < len(ids):
            raise ValueError("two tables bear the same id")
        return self


def load_published(leaderboards: Path) -> dict[str, Published]:
    """Return the published tables below a folder by dataset: one `DATASET/published.toml` each.

    Raises `CardError` in one line: file, place in it, what is wrong.
    """
    return {path.parent.name: _of_folder(path) for path in sorted(leaderboards.glob("*/published.toml"))}


def _of_folder(path: Path) -> Published:
    where = f"{path.parent.name}/{path.name}"
    published = read_published(path, where)
    if published.dataset != path.parent.name:
        raise CardError(f"{where}: dataset is {published.dataset!r}, the folder {path.parent.name!r}")
    return published


def read_published(path: Path, where: str) -> Published:
    """Return the tables of one file of this format, whatever its name; errors as of `load_published`.

    `where` is what errors call the file.
    """
    try:
        return Published.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise CardError(f"{where}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CardError(f"{where}: no valid TOML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise CardError(f"{where}: {'; '.join(complaints(error, _entries()))}") from error


def _entries() -> set[str]:
    """The names of all entries that such a file may have."""
    parts = (Published, PublishedTable, PublishedRow, Reading, Tolerance, Search)
    return {field.alias or name for part in parts for name, field in part.model_fields.items()}


def _counts(test: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(test.items()))
