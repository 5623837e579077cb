"""What a validator finds is said in plain words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.complaints import complaints, expectation


class Inner(BaseModel):
    name: str


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    whole: Annotated[int, Field(ge=0, lt=10)] = 0
    number: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    text: Annotated[str, Field(min_length=1)] = "x"
    yes: bool = True
    items: Annotated[list[str], Field(min_length=1)] = ["x"]
    inner: Inner = Inner(name="x")
    one_of: Literal["a", "b"] = "a"
    moment: AwareDatetime | None = None

    @field_validator("text")
    @classmethod
    def _no_capitals(cls, text: str) -> str:
        if text != text.lower():
            raise ValueError("capitals")
        return text


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        ("whole", "3", "expected a whole number, got '3'"),
        ("whole", -1, "expected at least 0, got '-1'"),
        ("whole", 10, "expected less than 10, got '10'"),
        ("number", "x", "expected a number, got 'x'"),
        ("number", float("nan"), "expected a finite number, got 'nan'"),
        ("number", 0.0, "expected more than 0.0, got '0.0'"),
        ("number", 101.0, "expected at most 100.0, got '101.0'"),
        ("text", 3, "expected text, got '3'"),
        ("text", "", "expected at least 1 characters, got ''"),
        ("text", "X", "capitals"),
        ("yes", "yes", "expected true or false, got 'yes'"),
        ("items", "x", "expected a list, got 'x'"),
        ("items", [], "expected at least 1 entries, got '[]'"),
        ("inner", 3, "expected named entries, got '3'"),
        ("inner", {}, "is not there"),
        ("one_of", "c", "expected 'a' or 'b', got 'c'"),
        ("moment", 3, "expected a date and time such as 2026-01-31T12:00:00Z, got '3'"),
        ("itmes", [], "is no entry that is known here; you probably meant 'items'"),
        ("other", [], "is no entry that is known here; correct its name or remove it"),
    ],
)
def test_a_fault_is_said_in_plain_words(entry: str, value: Any, said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Document.model_validate({entry: value})
    assert expectation(error.value.errors()[0], Document.model_fields) == said


def test_complaints_name_their_places() -> None:
    with pytest.raises(ValidationError) as error:
        Document.model_validate({"whole": "3", "inner": {"name": 5}})
    assert list(complaints(error.value)) == [
        "whole: expected a whole number, got '3'",
        "inner.name: expected text, got '5'",
    ]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_no_json_is_said_of_the_file(text: str) -> None:
    with pytest.raises(ValidationError) as error:
        Document.model_validate_json(text)
    (said,) = complaints(error.value)
    assert said.startswith("file: is no JSON: ")
    assert len(said) < 200
