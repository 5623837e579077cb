"""What a paper's folder says of it: `document.json`, checked, as a person may have changed it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from harness.complaints import complaints
from harness.curation.reading import FILE, SCHEMA_VERSION, STEM
from harness.curation.types import CLASSES
from harness.errors import DataError

__all__ = ["checked_record", "paper_record", "write_failure"]

IMAGE = re.compile(rf"{STEM}-p[0-9]{{1,9}}-[A-Za-z0-9._-]+\.(?:png|jpg)")
LARGEST_PX = 1 << 30

Whole = Annotated[int, Field(ge=0, le=LARGEST_PX)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2,64}$")]
Side = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    """What all parts of the file are: known keys of known types, and others that are left alone."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class _Suggested(_Part):
    value: str | None
    confidence: Annotated[float, Field(ge=0, le=1)]
    reason: str


class _Label(_Suggested):
    @field_validator("value")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in CLASSES:
            raise ValueError(f"{value!r} is none of {list(CLASSES)}")
        return value


class _Panel(_Part):
    bbox: tuple[float, float, float, float]
    pixels: tuple[Whole, Whole, Whole, Whole]
    letter: str | None
    text: str
    content: Digest | None = None
    ct: _Suggested
    label: _Label
    patient: _Suggested

    @field_validator("pixels")
    @classmethod
    def _box(cls, pixels: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        if pixels[0] >= pixels[2] or pixels[1] >= pixels[3]:
            raise ValueError(f"{list(pixels)} is no box: left, top, right, bottom")
        return pixels


class _Figure(_Part):
    image: str
    page: Annotated[int, Field(ge=1)]
    page_size: tuple[Side, Side] | None
    label: str | None
    caption_text: str
    mentions: list[str]
    panels: list[_Panel]

    @field_validator("image")
    @classmethod
    def _ours(cls, image: str) -> str:
        if not IMAGE.fullmatch(image):
            raise ValueError(f"image {image!r} is no name of ours")
        return image


class _Record(_Part):
    schema_version: Literal[SCHEMA_VERSION]  # type: ignore[valid-type]
    name: str
    sha256: Digest
    reader: str
    failed: str | None
    problems: list[str]
    figures: list[_Figure]
    title: str = ""
    doi: str = ""


def checked_record(folder: Path) -> dict[str, Any]:
    """Return what a paper's folder says of it.

    Raises `DataError` in one line where that is missing, damaged, of another version, or not what its folder is
    called after.
    """
    path = folder / FILE
    try:
        record = _Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r}: {error.strerror}; remove its folder and build again"
        ) from error
    except ValidationError as error:
        raise DataError(
            f"{str(path)!r} is damaged: {_first(error)}; remove its folder and build again"
        ) from error
    return record.model_dump()


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and how many more there are."""
    first, *others = complaints(error)
    return f"{first} (and {len(others)} more)" if others else first


def paper_record(folder: Path) -> dict[str, Any] | None:
    """Return what a paper's folder says of it, None where that cannot be used."""
    try:
        return checked_record(folder)
    except DataError:
        return None


def write_failure(folder: Path, name: str, sha256: str, reader: str, reason: str) -> None:
    """Leave a note in a paper's folder that says why nothing of it could be read."""
    record = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "sha256": sha256,
        "reader": reader,
        "failed": reason,
        "problems": [],
        "figures": [],
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (folder / FILE).write_bytes(text.encode("utf-8", "replace"))
