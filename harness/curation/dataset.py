"""The dataset as it is written: images, their list, where each comes from, and the card."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.curation.collection import DECISIONS, DOCUMENTS, open_collection
from harness.curation.decisions import read_events
from harness.curation.division import divided
from harness.curation.selection import Chosen, Selection, selected
from harness.curation.types import CLASSES, POSITIVE
from harness.curation.verdicts import Standing
from harness.data.cards import Card, load_card
from harness.errors import DataError

__all__ = ["Busy", "Written", "check_place", "is_cut_off", "safe_cell", "write_dataset"]

CARD, LIST, PROVENANCE, IMAGES = "card.toml", "images.csv", "provenance.csv", "images"
LICENCE = "not stated: fill in (the images belong to the papers that provenance.csv names)"
CITATION = "the papers that provenance.csv names"
WRITE_LOCK, OLD = ".write.lock", f".old-{IMAGES}-"
KEPT = ("title", "description", "licence", "citation", "doi", "url")
"""What a person may have written on the card stays when it is written again."""

LIST_COLUMNS = (
    "file", "label", "group", "source", "split", "sha256", "pixels_sha256", "height", "width",
)  # fmt: skip
PROVENANCE_COLUMNS = (
    "file", "label", "group", "caption", "letter", "panel_text", "pdf", "pdf_sha256", "page", "box", "pixels",
    "object", "figure", "doi", "title", "decided", "label_reason", "group_reason", "ct_reason",
)  # fmt: skip
LONGEST_CELL = 8000
PATIENCE_SECONDS = 60.0


class Busy(DataError):
    """Another process writes the dataset."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: images by class, by part and groups, what was left out and why, and what a reader must know."""

    card: Path
    classes: dict[str, int]
    parts: dict[str, int]
    groups: int
    reviewed: int
    left_out: dict[str, int]
    remarks: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What was written, in a few lines for people."""
        images = f"{sum(self.classes.values())} images ({_counted(self.classes)}) in {self.groups} groups"
        parts = f"; {_counted(self.parts)}" if self.parts else ""
        left = (f"left out: {_counted(self.left_out)}",) if self.left_out else ()
        notes = (f"note: {remark}" for remark in self.remarks)
        return (images + parts, *left, f"reviewed by eye: {self.reviewed}", *notes)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def check_place(folder: Path) -> None:
    """Raise `DataError` where images or a card are not ours to replace, as no provenance is beside them."""
    try:
        theirs = [name for name in (PROVENANCE, IMAGES, CARD, LIST) if (folder / name).exists()]
        ours = theirs[:1] == [PROVENANCE] and _is_ours(folder / PROVENANCE)
    except OSError as error:
        raise DataError(f"cannot look into {str(folder)!r}: {error.strerror}") from error
    if theirs and not ours:
        raise DataError(
            f"{str(folder / theirs[0])!r} was not written by this command; move it, or name another folder"
        )


def _is_ours(provenance: Path) -> bool:
    """True for a file that begins with the columns which this command writes."""
    columns = ",".join(PROVENANCE_COLUMNS).encode()
    with provenance.open("rb") as file:
        return file.read(len(columns) + 1).rstrip(b"\r\n") == columns


def write_dataset(
    folder: Path, *, say: Callable[[str], object] | None = None, patience: float | None = None
) -> Written:
    """Write the dataset of a collection into its folder; what was written before is replaced.

    `say` is told when another process writes it, for which this waits at most `patience` seconds (a minute). Raises
    `Busy` after that, `DataError` where no picture is a CT slice with a label, and leaves what is there as it is.
    """
    if not (folder / DOCUMENTS).is_dir():
        return _written(folder)  # says that it is no collection
    try:
        with _alone(folder, say, PATIENCE_SECONDS if patience is None else patience):
            return _written(folder)
    except OSError as error:
        raise DataError(f"cannot write into {str(folder)!r}: {error.strerror or error}") from error


@contextmanager
def _alone(folder: Path, say: Callable[[str], object] | None, patience: float) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / WRITE_LOCK)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if say is not None:
                say(
                    f"another process writes the dataset of {str(folder)!r}: waiting, at most {patience:.0f} s"
                )
            lock.acquire(timeout=patience)
    except Timeout:
        raise Busy(f"another process writes the dataset of {str(folder)!r}; wait for it") from None
    try:
        yield
    finally:
        lock.release()


def is_cut_off(folder: Path) -> bool:
    """Return whether a write of the dataset was killed while it replaced the one before, and none came after it."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / WRITE_LOCK, timeout=0):
            return _is_cut_off(folder)
    except (Timeout, OSError):  # it's being written, or nobody can write here
        return False


def _is_cut_off(folder: Path) -> bool:
    return any(folder.glob(f"{OLD}*"))


def _written(folder: Path) -> Written:
    collection = open_collection(folder)
    check_place(folder)
    standing = Standing(collection.candidates, read_events(folder / DECISIONS))
    was_cut_off = _is_cut_off(folder)
    with _fresh(folder) as fresh:
        selection = selected(standing, fresh)
        if not selection.images:
            left = _counted(selection.left_out) or "no figures"
            raise DataError(
                f"no picture of {str(folder)!r} is a CT slice with a label ({left}); give labels with: "
                f"harness figures review {folder}"
            )
        written = _put(folder, fresh, selection, standing.lost)
    if not was_cut_off:
        return written
    remark = "the write before this one was cut off; this one is whole"
    return replace(written, remarks=(*written.remarks, remark))


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """Lend a folder for images that is gone afterwards unless it was renamed; what killed writers made goes too."""
    for left in folder.glob(f".{IMAGES}-*"):
        shutil.rmtree(left)
    fresh = folder / f".{IMAGES}-{os.getpid()}"
    fresh.mkdir()
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _put(folder: Path, fresh: Path, selection: Selection, lost: int) -> Written:
    images = selection.images
    labels = [CLASSES.index(one.label) for one in images]
    parts, no_split = divided([one.file for one in images], labels, [one.group for one in images])
    reviewed = sum(one.decided.verdict is not None for one in images)
    remarks = _remarks(selection, no_split, lost)
    card = _card(folder, selection, reviewed, [one for one in (no_split,) if one])
    _replace(folder, fresh, images, parts, card)
    return Written(
        folder / CARD,
        dict(Counter(one.label for one in images)),
        dict(Counter(parts.values())),
        len({one.group for one in images}),
        reviewed,
        selection.left_out,
        tuple(remarks),
    )


def _remarks(selection: Selection, no_split: str, lost: int) -> list[str]:
    remarks = []
    counts = Counter(one.label for one in selection.images)
    for missing in (name for name in CLASSES if not counts[name]):
        remarks.append(
            f"no picture is {missing}: 'harness run' needs both classes; label some in the review, or add papers"
        )
    if unlabelled := selection.left_out.get("CT without a label"):
        remarks.append(f"{unlabelled} CT slices have no label and stay out until they are reviewed")
    if no_split:
        remarks.append(f"no split: {no_split}; 'harness run' then splits by itself")
    if lost:
        remarks.append(f"{lost} decisions are on pictures that are no longer there")
    return remarks


def _card(folder: Path, selection: Selection, reviewed: int, problems: Sequence[str]) -> str:
    """The text of the card; what a person wrote on an earlier one stays."""
    total = len(selection.images)
    state = (
        "unreviewed: labels are suggestions by rules"
        if not reviewed
        else f"{reviewed} of {total} images reviewed by eye"
        + ("" if reviewed == total else ", the labels of the others are suggestions by rules")
    )
    papers = {one.decided.candidate.paper.sha256 for one in selection.images}
    table: dict[str, Any] = {
        "schema_version": 1,
        "name": _name(folder),
        "title": folder.resolve().name or "from papers",
        "description": "CT slices cut out of the figures of papers, by 'harness figures build'.",
        "adapter": "image-list",
        "list": LIST,
        "root": IMAGES,
        "classes": list(CLASSES),
        "positive": POSITIVE,
        "licence": LICENCE,
        "citation": CITATION,
    }
    table |= _kept(folder / CARD)
    table["known_problems"] = [
        state,
        f"The images come from figures of {len(papers)} papers: sizes and grey scales as printed, no Hounsfield units.",
        "The classes may come from different papers: a model may tell the papers apart instead of the disease.",
        "Groups are the patients that captions name, and the whole paper where nobody is named.",
        *(f"There is no split: {problem}." for problem in problems),
    ]
    counts = Counter(one.label for one in selection.images)
    table["counts"] = {name: counts[name] for name in CLASSES if counts[name]}
    return "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def _kept(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    card: Card = load_card(path)
    return {key: value for key in KEPT if (value := getattr(card, key))}


def _name(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._")[:64]
    return name or "from-papers"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[\n" + "".join(f"    {_toml(one)},\n" for one in value) + "]"
    if isinstance(value, str):
        return _toml_text(value)
    return str(value)


def _toml_text(text: str) -> str:
    """A text with the line breaks that a person wrote; other signs that nobody sees become blanks."""
    lines = [
        json.dumps("".join(c if c.isprintable() or c == "\t" else " " for c in line), ensure_ascii=False)
        for line in text.replace("\r\n", "\n").split("\n")
    ]
    if len(lines) == 1:
        return lines[0]
    return '"""\n' + "\n".join(line[1:-1] for line in lines) + '"""'


def _replace(
    folder: Path, fresh: Path, images: Sequence[Chosen], parts: Mapping[str, str], card: str
) -> None:
    """Put a new dataset where an old one is: the images in one rename, the card last.

    Old images are there under another name until all is done, so that a write that was cut off can be told.
    """
    old = folder / f"{OLD}{os.getpid()}"
    if (folder / IMAGES).exists():
        (folder / IMAGES).rename(old)
    _write(folder / PROVENANCE, _csv(PROVENANCE_COLUMNS, (_provenance(one) for one in images)))
    fresh.rename(folder / IMAGES)
    _write(folder / LIST, _csv(LIST_COLUMNS, (_listed(one, parts) for one in images)))
    _write(folder / CARD, card)
    for left in folder.glob(f"{OLD}*"):
        shutil.rmtree(left, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.write_bytes(text.encode("utf-8", "replace"))
    temporary.replace(path)


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: safe_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def safe_cell(value: object) -> str:
    """Return a text that a spreadsheet shows and never computes: on one line, no formula at its start.

    >>> safe_cell("=cmd|' /C calc'!A0"), safe_cell("a\\n\\x00b"), safe_cell(3)
    ("'=cmd|' /C calc'!A0", 'a b', '3')
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())[:LONGEST_CELL]
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _listed(one: Chosen, parts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "file": one.file,
        "label": one.label,
        "group": one.group,
        "source": one.decided.candidate.paper.stem,
        "split": parts.get(one.file, ""),
        "sha256": one.sha256,
        "pixels_sha256": one.pixels_sha256,
        "height": one.height,
        "width": one.width,
    }


def _provenance(one: Chosen) -> dict[str, Any]:
    candidate = one.decided.candidate
    paper = candidate.paper
    return {
        "file": one.file,
        "label": one.label,
        "group": one.group,
        "caption": candidate.caption,
        "letter": candidate.letter or "",
        "panel_text": candidate.text,
        "pdf": paper.name,
        "pdf_sha256": paper.sha256,
        "page": candidate.page,
        "box": " ".join(f"{value:.1f}" for value in candidate.box),
        "pixels": " ".join(map(str, candidate.pixels)),
        "object": candidate.object,
        "figure": candidate.figure,
        "doi": paper.doi,
        "title": paper.title,
        "decided": one.decided.verdict or "suggested",
        "label_reason": candidate.label.reason,
        "group_reason": "named by eye" if one.decided.patient else candidate.patient.reason,
        "ct_reason": candidate.ct.reason,
    }
