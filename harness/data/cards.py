"""Cards: what a dataset says of itself, in a `card.toml`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from harness.errors import CardError
from harness.folders import bundled, data_roots

__all__ = ["Card", "Fetch", "Window", "known_cards", "load_card", "unsafe_path"]

NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
RESERVED = frozenset({"id", "label", "group", "source"})
"""Columns of predictions.parquet: no class may be called so."""

Text = Annotated[str, Field(min_length=1)]


def unsafe_path(path: str) -> str | None:
    """Return why `path` is no relative path that stays below its folder, None when it is one.

    Symbolic links are not looked at: a user may keep images wherever there is room.

    >>> unsafe_path("a/b.png") is None, unsafe_path("../b.png")
    (True, "leads out of the dataset's folder")
    """
    if not path or "\0" in path:
        return "is empty or holds a zero byte"
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        return "leads out of the dataset's folder"
    return None


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Window(_Table):
    """The grey scale of DICOM slices, in Hounsfield units: below the window black, above it white."""

    level: float = Field(default=-600.0, description="the middle of the window in HU, such as -600 for lungs")
    width: float = Field(
        default=1500.0, gt=0, description="the width of the window in HU, such as 1500 for lungs"
    )


class Fetch(_Table):
    """Where `harness fetch` gets the files."""

    kind: Literal["github-archive", "kaggle", "url"] = Field(
        description="who keeps the files: 'github-archive', 'kaggle' or 'url'"
    )
    urls: tuple[Text, ...] = Field(default=(), description="a list of addresses, each of one archive")
    archives: tuple[Text, ...] = Field(
        default=(),
        description="a list of zips inside the archives that are to be unpacked too, after `strip`",
    )
    manual: str = Field(
        default="", description="a text: what to do by hand where the download is not possible"
    )
    strip: int = Field(
        default=0, ge=0, description="how many leading folders of each archived path are dropped"
    )


class Card(_Table):
    """What is known of a dataset before any of its images is read."""

    schema_version: Literal[1] = Field(description="1, the version of this format")
    name: str = Field(
        pattern=NAME,
        description="a short name of lower-case letters, digits, '.', '_' and '-': also its folder's",
    )
    title: Text = Field(description="the name as people write it")
    description: Text = Field(description="a sentence or two on what the images are")
    adapter: Text = Field(
        description="'image-folder' (a folder a class), 'image-list' (a CSV) or a plugin's adapter by name"
    )
    classes: tuple[Text, ...] = Field(
        min_length=2, description="a list of the class names, in the order of the probability columns"
    )
    positive: str | None = Field(
        default=None,
        validate_default=True,
        description="the class whose recall is the sensitivity; must be stated when there are two classes",
    )
    shared_classes: dict[str, Text] = Field(
        default_factory=dict,
        description="a table: the name that a class has in all datasets which know it, for the protocol 'external'",
    )
    licence: Text = Field(description="the licence of the images, or that none is stated")
    citation: Text = Field(description="what to cite")
    doi: str = Field(default="", description="the DOI of what is cited")
    url: str = Field(default="", description="the address where the dataset is described")
    known_problems: tuple[Text, ...] = Field(
        default=(), description="a list of sentences: what a reader must know"
    )
    known_missing: tuple[Text, ...] = Field(
        default=(), description="a list of ids that the authors' lists name but no release contains"
    )
    folders: dict[str, Text] = Field(
        default_factory=dict,
        description="a table: the folder of each class, for 'image-folder' (default: the class's name)",
    )
    list_file: str | None = Field(
        default=None,
        alias="list",
        validate_default=True,
        description="the CSV file beside the card, for 'image-list': columns file, label and optionally "
        "id, group, source, split, sha256, pixels_sha256, height, width",
    )
    counts: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="a table: how many images each class has, 1 or more"
    )
    window: Window = Field(
        default=Window(), description="a table of level and width: the grey scale of DICOM slices"
    )
    auto_recipe: Literal["smoke", "quick", "paper"] = Field(
        default="quick", description="what the recipe 'auto' means without a GPU: 'smoke', 'quick' or 'paper'"
    )
    generated: bool = Field(False, description="true when the adapter makes the files itself on first use")
    max_pixels: int = Field(
        default=64_000_000, ge=1, le=10**9, description="the largest image that is decoded, in pixels"
    )
    root: str | None = Field(
        default=None, description="the folder of the images, where it is not the card's own"
    )
    fetch: Fetch | None = Field(default=None, description="a table: where `harness fetch` gets the files")
    options: dict[str, Any] = Field(
        default_factory=dict, description="a table: whatever else a plugin's adapter wants to be told"
    )

    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The file the card was loaded from, None for one made in memory."""
        return self._path

    def beside(self, file: str) -> Path:
        """Return the path of a file that lies beside the card. Raises `CardError` for a card in memory."""
        if self._path is None:
            raise CardError(f"card {self.name!r} was not loaded from a file: {file!r} cannot lie beside it")
        return self._path.parent / file

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        for name in classes:
            if name in RESERVED:
                raise ValueError(
                    f"no class may be called {name!r}: a column of the predictions is; rename it"
                )
            if name != name.strip() or not name.isprintable():
                raise ValueError(f"{name!r} has spaces at its ends or unprintable characters; remove them")
            if classes.count(name) > 1:
                raise ValueError(f"{name!r} is there twice; name each class once")
        return classes

    @field_validator("positive")
    @classmethod
    def _stated(cls, positive: str | None, info: ValidationInfo) -> str | None:
        classes = info.data.get("classes")
        if classes is None:
            return positive
        if positive is None and len(classes) == 2:
            raise ValueError(
                f"of two classes one must be stated to be positive; write one of {list(classes)}"
            )
        return positive if positive is None else _one_of(positive, classes)

    @field_validator("folders", "counts", "shared_classes")
    @classmethod
    def _by_class(cls, table: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in table if "classes" in info.data else ():
            _one_of(name, info.data["classes"])
        return table

    @field_validator("shared_classes")
    @classmethod
    def _not_merged(cls, shared: dict[str, str]) -> dict[str, str]:
        for name in shared.values():
            if name != name.strip() or not name.isprintable():
                raise ValueError(f"{name!r} has spaces at its ends or unprintable characters; remove them")
            twice = [mine for mine, said in shared.items() if said == name]
            if len(twice) > 1:
                raise ValueError(
                    f"{twice} all have the shared name {name!r}; classes are not merged, so give each its own"
                )
        return shared

    @field_validator("folders")
    @classmethod
    def _apart(cls, folders: dict[str, str]) -> dict[str, str]:
        for folder in folders.values():
            if why := unsafe_path(folder):
                raise ValueError(f"{folder!r} {why}; write a folder below it")
        return folders

    @field_validator("list_file")
    @classmethod
    def _listed(cls, file: str | None, info: ValidationInfo) -> str | None:
        adapter = info.data.get("adapter")
        if adapter == "image-list" and not file:
            raise ValueError("the adapter 'image-list' needs it; name the CSV file beside the card")
        if adapter == "image-folder" and file is not None:
            raise ValueError("the adapter 'image-folder' reads no list; remove it or use 'image-list'")
        if file is not None and (why := unsafe_path(file)):
            raise ValueError(f"{file!r} {why}; write the name of a file beside the card")
        return file


def _one_of(name: str, classes: tuple[str, ...]) -> str:
    if name not in classes:
        raise ValueError(f"{name!r} is none of the classes; write one of {list(classes)}")
    return name


def load_card(path: Path) -> Card:
    """Return the card in the TOML file `path`.

    Raises `CardError`: one line with the file, the key, what is wrong and what to do.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CardError(f"card {str(path)!r} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CardError(f"card {str(path)!r} is not valid TOML: {_one_line(error)}; correct it") from error
    try:
        card = Card(**table)
    except ValidationError as error:
        raise CardError(f"card {str(path)!r}: {_complaint(error)}") from error
    card._path = path
    return card


def known_cards(data_root: Path | None = None) -> dict[str, Path]:
    """Return the `card.toml` of each dataset by its name, which is that of the card's folder.

    The bundled cards first, then those in the folders of the data roots; a bundled card is
    never replaced by a file that happens to lie beside some images.
    """
    found: dict[str, Path] = {}
    for folder in (bundled("datasets"), *data_roots(data_root)):
        for path in sorted(folder.glob("*/card.toml")):
            if not path.parent.name.startswith("."):
                found.setdefault(path.parent.name, path)
    return found


NESTED: dict[str, type[BaseModel]] = {"fetch": Fetch, "window": Window}


def _complaint(error: ValidationError) -> str:
    """Return one of pydantic's complaints in the words of this project, and how many more there are.

    An unknown key comes first: a misspelt one is the reason why another is missing.
    """
    first, *others = sorted(error.errors(), key=lambda complaint: complaint["type"] != "extra_forbidden")
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "value_error":
        key = key.replace("list_file", "list")  # pydantic calls a key that is not there by its attribute
    rest = f" (and {len(others)} more)" if others else ""
    return f"key {key!r} {_what_is_wrong(first)}{rest}"


def _what_is_wrong(complaint: Mapping[str, Any]) -> str:
    fields, description = _field(complaint["loc"])
    if complaint["type"] == "missing":
        return f"is missing; write {description}"
    if complaint["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(complaint["loc"][-1]), fields, n=1)
        hint = f"you probably meant {close[0]!r}" if close else "known keys: " + ", ".join(fields)
        return f"is not a key of a card; {hint}"
    if complaint["type"] == "value_error":
        return f"is wrong: {complaint['ctx']['error']}"
    return f"is {_shortened(complaint['input'])}, expected {description}"


def _field(location: tuple[int | str, ...]) -> tuple[list[str], str]:
    """Return the keys known at the table of a location, and the description of the field there."""
    keys, description = _by_key(Card), ""
    for part in location:
        if part not in keys:
            break
        description = keys[str(part)].description or ""
        nested = NESTED.get(str(part))
        if nested is None or part == location[-1]:
            break
        keys = _by_key(nested)
    return sorted(keys), description


def _by_key(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _shortened(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
