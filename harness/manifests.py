"""What of a manifest is read again, checked: boards are made of records that anybody may have edited or sent in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.complaints import expectation
from harness.errors import RecordError

__all__ = ["Side", "Sides", "check_manifest"]

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    """Strict: a seed written as "0" is none. What is not named here is not read, and not checked."""

    model_config = ConfigDict(strict=True, frozen=True)


class _Sizes(_Part):
    train: Count
    val: Count
    test: Annotated[int, Field(gt=0)]


class _Shared(_Part):
    groups: Count
    tested_groups: Count
    identical: list[Annotated[list[str], Field(min_length=2, max_length=2)]]


class _Named(_Part):
    name: Text
    content: Text


class Side(_Named):
    """One of the two datasets of the protocol `external`: its name, title and the digest of its content."""

    title: Text


class Match(_Part):
    """A class by its shared name, and what the two datasets call it."""

    shared: Text
    trained_on: Text
    tested_on: Text


class Sides(_Part):
    """The dataset that was trained on, the one that was tested on, and their classes in the order of the first."""

    trained_on: Side
    tested_on: Side
    classes: Annotated[list[Match], Field(min_length=2)]


class _Dataset(_Named):
    classes: Annotated[list[Text], Field(min_length=2)]
    n: _Sizes
    title: str | None = None
    positive: str | None = None
    licence: str | None = None
    known_problems: list[str] = []
    skipped: list[str] = []
    on_two_sides: _Shared | None = None
    sides: Sides | None = None

    @model_validator(mode="after")
    def _classes_are_classes(self) -> _Dataset:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("the same class twice")
        if self.positive is not None and self.positive not in self.classes:
            raise ValueError(f"the positive class {self.positive!r} is none of {self.classes!r}")
        return self

    @model_validator(mode="after")
    def _sides_know_the_classes(self) -> _Dataset:
        matches = () if self.sides is None else self.sides.classes
        if matches and [match.trained_on for match in matches] != self.classes:
            raise ValueError(f"the classes of its sides are not {self.classes!r}")
        if len({match.tested_on for match in matches}) < len(matches):
            raise ValueError("its sides name a class of the dataset tested on twice")
        return self


class _Protocol(_Part):
    name: Text
    fold: Count
    split: Text
    folds: Annotated[int, Field(gt=0)] = 1


class _Model(_Part):
    label: Text
    variant: Text | None
    code: str | None
    parameters: dict[str, Any]


class _Trial(_Part):
    parameters: dict[str, Any]


class _Tuning(_Part):
    trials: Count = 0
    pruned: Count = 0
    failed: Count = 0
    budget: dict[str, Any] | None = None
    history: list[_Trial] = []


class _Weights(_Part):
    network: Text
    sha256: str | None
    reason: str | None


class _Device(_Part):
    kind: Text
    name: str
    threads: int | None = None


class _Predictions(_Part):
    sha256: Text


class _Manifest(_Part):
    """Of a failed cell little need be known, since it may have failed at opening its dataset."""

    status: str
    dataset: _Named
    protocol: _Protocol
    model: _Model
    recipe: Text
    seed: Seed
    tuning: _Tuning | None
    weights: list[_Weights]
    finished: str
    engine: str | None = None
    error: dict[str, Any] | None = None

    @field_validator("finished")
    @classmethod
    def _is_a_moment(cls, text: str) -> str:
        return _moment(text)


class _Complete(_Manifest):
    dataset: _Dataset
    notes: list[str]
    versions: dict[str, str]
    device: _Device | None
    durations: dict[str, Seconds | None]
    predictions: _Predictions | None
    started: str

    @field_validator("started")
    @classmethod
    def _began(cls, text: str) -> str:
        return _moment(text)


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} is no time") from error
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} is a time without a time zone")
    return text


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise `RecordError` in one line, naming the record, the place in it and what is wrong there."""
    kind = _Complete if manifest.get("status") == "complete" else _Manifest
    try:
        kind.model_validate(dict(manifest))
    except ValidationError as error:
        said = " ".join(_fault(error).split())
        raise RecordError(
            f"record {manifest.get('key')!r}: {said}; delete the folder and run again"
        ) from error


def _fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    more = f" (and {error.error_count() - 1} more faults)" if error.error_count() > 1 else ""
    if fault["type"] == "missing":
        return f"its manifest has no {fault['loc'][-1]!r} ({place}){more}"
    return f"its manifest is damaged: {place}: {expectation(fault)}{more}"
