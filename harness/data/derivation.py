"""The lists under `datasets/`: derived from what the authors of a dataset published, never typed.

    python -m harness.data.derivation covid-ct FOLDER --out datasets/covid-ct
    python -m harness.data.derivation sars-cov-2-ct FOLDER --out datasets/sars-cov-2-ct

writes `files.csv`: what each image is (file, label, patient, source, part of the authors' split) and
by what it is recognised (SHA-256 of its bytes and, for lossless formats, of its grey pixels).
The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import BadZipFile

from harness.data.adapters import PARTS
from harness.data.decoding import Decoded, decode, pixels_sha256, read
from harness.data.pixels import in_order
from harness.errors import DataError, HarnessError, UsageError

__all__ = ["Row", "covid_ct", "main", "sars_cov_2_ct", "write_list"]

MAX_PIXELS = 64_000_000
HEADER = ("file", "label", "group", "source", "split", "sha256", "pixels_sha256", "height", "width")

KNOWN_MISSING = frozenset({"non-COVID/Non-Covid (151).png"})
"""Named by the authors' split, in no release: the paper counts 1230 non-COVID images, there are 1229."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a list."""

    file: str
    label: str
    split: str
    group: str = ""
    source: str = ""
    sha256: str = ""
    pixels_sha256: str = ""
    height: int = 0
    width: int = 0


def covid_ct(folder: Path) -> list[Row]:
    """Return the list of COVID-CT (Zhao et al. 2020) from its repository's files, unpacked in `folder`.

    Read are `CT_COVID/` and `CT_NonCOVID/` (from `Images-processed/*.zip`), `Data-split/*/*.txt`,
    `COVID-CT-MetaInfo.xlsx` and `NonCOVID-CT-MetaInfo.csv`. The sheet names 83 of the 349 COVID
    images without their extension, one patient with a space at its end. The source of a COVID image
    is the preprint or paper in its file name; of the others the collection in the patient's id,
    'medpix' or 'crawled'. Raises `DataError` where an image has not exactly one part and one patient.
    """
    patients = _patients_of_covid(folder / "COVID-CT-MetaInfo.xlsx") | _patients_of_others(
        folder / "NonCOVID-CT-MetaInfo.csv"
    )
    rows = []
    for authors_class, label in (("COVID", "COVID"), ("NonCOVID", "non-COVID")):
        parts = _parts(folder / "Data-split" / authors_class, f"CT_{authors_class}")
        images = _names(folder / f"CT_{authors_class}")
        _check_same(images, parts, f"images in CT_{authors_class} and names in Data-split/{authors_class}")
        for name in images:
            patient = _patient_of(name, authors_class, patients)
            source = _preprint(name) if label == "COVID" else patient.split("_")[0]
            rows.append(Row(f"CT_{authors_class}/{name}", label, parts[name], patient, source))
    return _examined(folder, rows)


def sars_cov_2_ct(folder: Path) -> list[Row]:
    """Return the list of the SARS-CoV-2 CT-scan dataset (Soares et al. 2020) from `folder`.

    Read are the images, `original-files.csv` (class, file, bytes, mode, width, height and sha256 of
    the files that Kaggle gives out; the images in the folder may be stored in another way) and
    `splits/official.csv` (class, file, split), which was decoded from the MATLAB datastores that the
    authors published with their code. Its one name that no release contains is left out.
    No patients were ever published. Raises `DataError` where image, original and split do not agree.
    """
    originals = {
        _image(row): row
        for row in _table(folder / "original-files.csv", "class", "file", "height", "width", "sha256")
    }
    split = _table(folder / "splits" / "official.csv", "class", "file", "split")
    parts = {_image(row): row["split"] for row in split}
    for missing in KNOWN_MISSING - originals.keys():
        parts.pop(missing, None)
    images = [f"{label}/{name}" for label in ("COVID", "non-COVID") for name in _names(folder / label)]
    _check_same(images, originals, "images and names in original-files.csv")
    _check_same(images, parts, "images and names in splits/official.csv")
    rows = _examined(folder, [Row(file, file.split("/")[0], parts[file]) for file in images])
    for row in rows:
        size = (int(originals[row.file]["height"]), int(originals[row.file]["width"]))
        if size != (row.height, row.width):
            raise DataError(f"{row.file!r} has {row.height}x{row.width} pixels, the original has {size}")
    return [replace(row, sha256=originals[row.file]["sha256"]) for row in rows]


def write_list(rows: Iterable[Row], path: Path) -> None:
    """Write a list: CSV in UTF-8 with line feeds, under a temporary name first. Raises `HarnessError`."""
    temporary = path.with_name(f".tmp-{path.name}-{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("x", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(HEADER)
                writer.writerows([getattr(row, column) for column in HEADER] for row in rows)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise HarnessError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error


DERIVATIONS: dict[str, Callable[[Path], list[Row]]] = {"covid-ct": covid_ct, "sars-cov-2-ct": sars_cov_2_ct}


def main(arguments: Sequence[str] | None = None) -> int:
    """Derive a list; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.data.derivation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("dataset", choices=sorted(DERIVATIONS))
    parser.add_argument("folder", type=Path, help="where the authors' files lie, unpacked")
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder of the card; files.csv is written there"
    )
    chosen = parser.parse_args(arguments)
    try:
        rows = DERIVATIONS[chosen.dataset](chosen.folder)
        write_list(rows, chosen.out / "files.csv")
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(rows)} images listed in {chosen.out / 'files.csv'}")
    return 0


def _image(row: dict[str, Any]) -> str:
    return f"{row['class']}/{row['file']}"


def _patients_of_covid(sheet: Path) -> dict[tuple[str, str], str]:
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise UsageError("reading the authors' sheet needs openpyxl; run: pip install openpyxl") from error
    try:
        rows = list(load_workbook(sheet, read_only=True).worksheets[0].iter_rows(min_row=2, values_only=True))
    except (OSError, KeyError, IndexError, BadZipFile, InvalidFileException) as error:
        raise DataError(f"sheet {str(sheet)!r} cannot be read: {error}") from error
    named = [(str(row[0]).strip(), str(row[1]).strip()) for row in rows if row[0] is not None]
    return {("COVID", name): patient for name, patient in named}


def _patients_of_others(table: Path) -> dict[tuple[str, str], str]:
    return {
        ("NonCOVID", row["image name"]): row["patient id"].strip()
        for row in _table(table, "image name", "patient id")
    }


def _patient_of(name: str, authors_class: str, patients: dict[tuple[str, str], str]) -> str:
    """Return the patient that the tables name under the file's name, or under it without extension."""
    written = {patients.get((authors_class, key)) for key in (name, Path(name).stem)} - {None}
    if len(written) != 1:
        raise DataError(
            f"CT_{authors_class}/{name}: expected one patient in the authors' tables, got {len(written)}"
        )
    return str(written.pop())


def _parts(folder: Path, suffix: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in PARTS:
        for name in _text(folder / f"{part}{suffix}.txt").splitlines():
            if not name.strip():
                continue
            if name in parts:
                raise DataError(f"{name!r} is in {parts[name]} and in {part} of {str(folder)!r}")
            parts[name] = part
    return parts


def _preprint(name: str) -> str:
    """Return what a COVID image was cut from, as its name tells: the preprint's DOI less its prefix 10.1101,
    or the file of another paper.

    >>> _preprint("2020.02.10.20021584-p6-52%0.png"), _preprint("kjr-21-e24-p5-29.png")
    ('2020.02.10.20021584', 'kjr-21-e24')
    >>> _preprint("PIIS0140673620301549_0%1.png"), _preprint("PIIS0140673620303603%8.png")
    ('PIIS0140673620301549', 'PIIS0140673620303603')
    """
    return re.sub(r"(-p\d+-\d+|_\d+)?(%\d+)?\.(png|jpg)$", "", name)


def _examined(folder: Path, rows: Sequence[Row]) -> list[Row]:
    """Return the rows with checksums and sizes, in the order of their files."""

    def looked(row: Row) -> Row:
        data = read(folder / row.file, row.file, MAX_PIXELS)
        return _with_pixels(row, data, decode(data, row.file, max_pixels=MAX_PIXELS))

    return list(in_order(looked, sorted(rows, key=lambda row: row.file)))


def _with_pixels(row: Row, data: bytes, decoded: Decoded) -> Row:
    height, width = decoded.pixels.shape
    return replace(
        row,
        sha256=hashlib.sha256(data).hexdigest(),
        # Of a JPEG the pixels depend on the decoder: only its bytes recognise it.
        pixels_sha256=pixels_sha256(decoded.pixels) if decoded.lossless else "",
        height=height,
        width=width,
    )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(
            path.name for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg")
        )
    except OSError as error:
        raise DataError(f"folder {str(folder)!r} cannot be read: {error.strerror or error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(path)!r} cannot be read: {error}") from error


def _table(path: Path, *columns: str) -> list[dict[str, Any]]:
    table = csv.DictReader(_text(path).splitlines())
    if missing := sorted(set(columns) - set(table.fieldnames or ())):
        raise DataError(f"{str(path)!r} has no column {missing[0]!r}")
    return list(table)


def _check_same(images: Iterable[str], named: Iterable[str], what: str) -> None:
    if odd := sorted(set(images) ^ set(named)):
        raise DataError(f"{what} differ in {len(odd)} (first: {odd[0]!r})")


if __name__ == "__main__":
    sys.exit(main())
