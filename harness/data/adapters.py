"""Adapters: how a card and a folder become samples.

An adapter is a class `Adapter(card, root)` with `samples()`; strangers register theirs in the entry-point
group `harness.datasets`. It may have, besides:

- `prepare(progress)`: makes the files, for data that is generated; it is called before `samples()`;
- `expected()`: the checksums that the files must have, by sample id;
- `warnings`: a list of sentences, read after `samples()`.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from harness.data.cards import Card, unsafe_path
from harness.data.decoding import SUFFIXES, is_dicom
from harness.errors import CardError, DataError, UnknownName
from harness.registry import dataset_plugins
from harness.types import Sample

__all__ = [
    "PARTS",
    "Adapter",
    "Expected",
    "ImageFolder",
    "ImageList",
    "ListedImage",
    "counted_files",
    "make_adapter",
    "read_list",
]

PARTS = ("train", "val", "test")
REQUIRED = ("file", "label")
COLUMNS = (*REQUIRED, "id", "group", "source", "split", "sha256", "pixels_sha256", "height", "width")
IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
IGNORED_FOLDERS = frozenset({"__MACOSX"})


class Adapter(Protocol):
    """What every adapter can do."""

    def __init__(self, card: Card, root: Path) -> None: ...

    def samples(self) -> list[Sample]:
        """Return the samples in an order that never changes. Raises `DataError`."""
        ...


@dataclass(frozen=True, slots=True)
class Expected:
    """The checksums that recognise an image: of its bytes, or of its grey pixels; None where not known."""

    sha256: str | None = None
    pixels_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ListedImage:
    """A row of a list: one image, as its dataset's authors describe it."""

    id: str
    file: str
    label: str
    group: str | None = None
    source: str | None = None
    split: str | None = None
    expected: Expected = Expected()


def make_adapter(card: Card, root: Path) -> Any:
    """Return the card's adapter over the folder `root`. Raises `CardError`, `PluginBroken`."""
    plugins = dataset_plugins()
    if card.adapter not in plugins:
        unknown = UnknownName("adapter", card.adapter, plugins)
        raise CardError(f"card {str(card.path or card.name)!r}: key 'adapter': {unknown}")
    return plugins[card.adapter].load()(card, root)


class ImageFolder:
    """A folder a class. The id of an image is its path below the root."""

    def __init__(self, card: Card, root: Path) -> None:
        self.card = card
        self.root = Path(root)
        self.warnings: list[str] = []

    def samples(self) -> list[Sample]:
        """Return the images of the first class, sorted by id, then those of the next.

        Raises `DataError` for a missing or empty class folder and for images outside all of them.
        """
        folders = {name: self.card.folders.get(name, name) for name in self.card.classes}
        self._check_folders(folders)
        files, others = _walked(self.root)
        by_class = {name: _below(folder, files) for name, folder in folders.items()}
        self._check_images(folders, by_class, files)
        if unread := [file for folder in folders.values() for file in _below(folder, others)]:
            self.warnings.append(
                f"{counted_files(unread)} in the class folders {_is_are(unread)} no image that is read"
            )
        return [
            Sample(id=file, path=self.root / file, label=label)
            for label, name in enumerate(self.card.classes)
            for file in by_class[name]
        ]

    def _check_folders(self, folders: Mapping[str, str]) -> None:
        missing = [folder for folder in folders.values() if not (self.root / folder).is_dir()]
        if missing:
            raise DataError(
                f"dataset {self.card.name!r}: no folder {missing[0]!r} in {str(self.root)!r}; each of the classes "
                f"{list(self.card.classes)} needs one (or name it under [folders] on the card)"
            )

    def _check_images(
        self, folders: Mapping[str, str], by_class: Mapping[str, list[str]], files: list[str]
    ) -> None:
        counts = Counter(file for images in by_class.values() for file in images)
        if twice := [file for file, n in counts.items() if n > 1]:
            raise DataError(
                f"dataset {self.card.name!r}: {counted_files(twice)} in the folders of two classes; "
                "no class folder may lie in another"
            )
        if empty := [name for name, images in by_class.items() if not images]:
            raise DataError(
                f"dataset {self.card.name!r}: class {empty[0]!r} has no image in {folders[empty[0]]!r}; "
                "every class needs some"
            )
        if outside := [file for file in files if file not in counts]:
            raise DataError(
                f"dataset {self.card.name!r}: {counted_files(outside)} outside the class folders "
                f"{sorted(folders.values())}; name their folder under [folders] on the card or move them away"
            )


class ImageList:
    """A CSV file beside the card: columns file and label, and what else is known (see `read_list`)."""

    def __init__(self, card: Card, root: Path) -> None:
        self.card = card
        self.root = Path(root)
        self.warnings: list[str] = []
        self._rows: list[ListedImage] | None = None

    def samples(self) -> list[Sample]:
        """Return the images in the order of the list, less those the card knows to be missing."""
        files, _ = _walked(self.root, thoroughly=False)
        listed = {row.file for row in self._listed()}
        if extra := [file for file in files if file not in listed]:
            self.warnings.append(f"{counted_files(extra)} not on the list and left alone")
        labels = {name: label for label, name in enumerate(self.card.classes)}
        return [
            Sample(row.id, self.root / row.file, labels[row.label], row.group, row.source, row.split)
            for row in self._listed()
        ]

    def expected(self) -> dict[str, Expected]:
        """Return the checksums on the list by sample id."""
        return {row.id: row.expected for row in self._listed()}

    def _listed(self) -> list[ListedImage]:
        if self._rows is None:
            self._rows = read_list(self.card, self.warnings)
        return self._rows


def read_list(card: Card, warnings: list[str] | None = None) -> list[ListedImage]:
    """Return the rows of the card's list, less the card's `known_missing`; unused columns go to `warnings`.

    The id of a row is its file where no column `id` says otherwise. Raises `DataError` naming the
    list and the line: for a label that is no class, an id or file that is there twice, a file
    outside the dataset's folder, a part that is not train, val or test.
    """
    if card.list_file is None:
        raise CardError(
            f"card {str(card.path or card.name)!r}: key 'list' is missing; name the CSV file beside it"
        )
    path = card.beside(card.list_file)
    where = f"list {str(path)!r}"
    (_, header), *lines = _lines(path, where)
    if unknown := [column for column in header if column not in COLUMNS]:
        (warnings if warnings is not None else []).append(
            f"{where}: column {unknown[0]!r} is not used; known: {', '.join(COLUMNS)}"
        )
    rows = [
        _row(dict(zip(header, fields, strict=True)), card, f"{where}, line {number}")
        for number, fields in lines
    ]
    if not rows:
        raise DataError(f"{where} names no image")
    _check_repeats(rows, where)
    return [row for row in rows if row.id not in card.known_missing]


def _lines(path: Path, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of each line that is not blank, the header first, all of its length."""
    header: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for fields in reader:
                if not any(fields):
                    continue
                if not header:
                    fields = header = [column.strip() for column in fields]
                    _check_header(header, where)
                if len(fields) != len(header):
                    raise DataError(
                        f"{where}, line {reader.line_num}: {len(fields)} fields, the header has {len(header)}"
                    )
                yield reader.line_num, fields
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where} is not a CSV file in UTF-8: {error}; save it as one") from error
    if not header:
        raise DataError(f"{where} is empty, expected a header with 'file' and 'label'")


def _check_header(header: list[str], where: str) -> None:
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise DataError(f"{where} is separated by {name}; save it with commas")
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r} in its first line {header!r}; write a header")
    if len(set(header)) < len(header):
        raise DataError(f"{where}: its header names a column twice: {header!r}")


def _row(fields: Mapping[str, str], card: Card, where: str) -> ListedImage:
    file, label = fields["file"], fields["label"].strip()
    if why := unsafe_path(file):
        raise DataError(f"{where}: the file {file!r} {why}")
    if label not in card.classes:
        raise DataError(f"{where}: the label {label!r} is none of the classes {list(card.classes)}")
    optional = {key: value.strip() or None for key, value in fields.items()}
    split = optional.get("split")
    if split is not None and split not in PARTS:
        raise DataError(f"{where}: the split {split!r} is none of {', '.join(PARTS)}")
    file = PurePosixPath(file).as_posix()
    return ListedImage(
        id=optional.get("id") or file,
        file=file,
        label=label,
        group=optional.get("group"),
        source=optional.get("source"),
        split=split,
        expected=Expected(_digest(optional, "sha256", where), _digest(optional, "pixels_sha256", where)),
    )


def _digest(fields: Mapping[str, str | None], column: str, where: str) -> str | None:
    digest = fields.get(column)
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest := digest.lower()):
        raise DataError(f"{where}: {column} is {digest!r}, expected 64 hexadecimal digits")
    return digest


def _check_repeats(rows: Iterable[ListedImage], where: str) -> None:
    ids: set[str] = set()
    parts: dict[str, str | None] = {}
    for row in rows:
        if row.file in parts:
            between = f" (in {parts[row.file]} and in {row.split})" if parts[row.file] != row.split else ""
            raise DataError(f"{where}: the file {row.file!r} is there twice{between}; an image is one sample")
        if row.id in ids:
            raise DataError(f"{where}: the id {row.id!r} is there twice; ids must be unique")
        ids.add(row.id)
        parts[row.file] = row.split


def _walked(root: Path, *, thoroughly: bool = True) -> tuple[list[str], list[str]]:
    """Return the images below a folder and its other files, as sorted paths with forward slashes.

    Hidden files and folders are left out. Symbolic links are followed, in a loop once. `thoroughly`
    finds DICOM files without an extension, and makes a folder that cannot be read an error.
    """
    images: list[str] = []
    others: list[str] = []
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(
        root, followlinks=True, onerror=_unreadable if thoroughly else None
    ):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if name[0] != "." and name not in IGNORED_FOLDERS)
        below = "" if Path(folder) == root else Path(folder).relative_to(root).as_posix() + "/"
        for name in files:
            if name[0] != ".":
                is_image = name.lower().endswith(IMAGE_SUFFIXES) or (
                    thoroughly and _bears_mark(Path(folder, name))
                )
                (images if is_image else others).append(below + name)
    return sorted(images), sorted(others)


def _bears_mark(path: Path) -> bool:
    try:
        return path.is_file() and is_dicom(path)
    except OSError:
        return False  # an unreadable file without an image's extension is none of the samples


def _unreadable(error: OSError) -> None:
    raise DataError(f"folder {str(error.filename)!r} cannot be read: {error.strerror}") from error


def _below(folder: str, files: Iterable[str]) -> list[str]:
    prefix = PurePosixPath(folder).as_posix() + "/"
    return [file for file in files if file.startswith(prefix)]


def counted_files(files: Sequence[str]) -> str:
    """Return how many files there are and the first.

    >>> counted_files(["a.png", "b.png"])
    "2 files (first: 'a.png')"
    """
    noun = "file" if len(files) == 1 else "files"
    return f"{len(files)} {noun} (first: {files[0]!r})"


def _is_are(files: Sequence[str]) -> str:
    return "is" if len(files) == 1 else "are"
