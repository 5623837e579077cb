"""Extracted figures held against those found by hand.

A figure is right when page and number are and the boxes overlap with IoU of at least 0.8 (the criterion of Clark and
Divvala, 2016). Captions, panels and the CT decision are judged on top of that, each with its own count.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import DataError
from harness.figures.boxes import iou, matched_pairs
from harness.figures.figure_files import NAME
from harness.figures.labels import bare_number
from harness.figures.types import Box

__all__ = ["BOX_IOU", "CAPTION", "PANEL_IOU", "Counts", "DocumentScore", "Scored", "read_figures", "scored"]

BOX_IOU = 0.8
PANEL_IOU = 0.7
CAPTION = 0.95
"""Least similarity of a caption's text (twice the matching letters over all letters of both)."""

MOST_POINTS = 1e9
"""No page is larger; also keeps out what is no number."""

MOST_BYTES = 500_000_000


@dataclass(slots=True)
class Counts:
    """How many of what: figures found, true and right; captions right of those asked; panels; CT decisions."""

    found: int = 0
    true: int = 0
    right: int = 0
    captions_right: int = 0
    captions: int = 0
    panels_found: int = 0
    panels_true: int = 0
    panels_right: int = 0
    ct_right: int = 0
    ct: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


@dataclass(frozen=True, slots=True)
class DocumentScore:
    file: str
    counts: Counts
    misses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of all documents of the ground truth; `ignored` are files that it doesn't know."""

    documents: tuple[DocumentScore, ...]
    ignored: tuple[str, ...] = ()
    whole: Counts = field(default_factory=Counts)


def read_figures(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a figures.json or of a ground truth, checked; a folder means its figures.json.

    Raises `DataError` in one line for a file that is none.
    """
    path = path / NAME if path.is_dir() else path
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{str(path)!r}: {path.stat().st_size} bytes; expected a figures.json")
        whole = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r}: {error.strerror}; expected a file such as {NAME}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{str(path)!r} is not JSON: {str(error)[:100]}") from error
    if not isinstance(whole, dict) or not isinstance(whole.get("documents"), list):
        raise DataError(f"{str(path)!r}: expected an object with a list 'documents'")
    for document in whole["documents"]:
        if problem := _problem(document):
            raise DataError(f"{str(path)!r}: {problem}")
    return list(whole["documents"])


def _problem(document: Any) -> str | None:
    """What is wrong with a document, None where it can be scored."""
    if not isinstance(document, dict) or not isinstance(document.get("file"), str) or not document["file"]:
        return "a document without 'file'"
    name = document["file"]
    if not isinstance(document.get("figures"), list):
        return f"{name!r}: expected a list 'figures'"
    for figure in document["figures"]:
        if not isinstance(figure, dict):
            return f"{name!r}: a figure that is {type(figure).__name__}, expected an object"
        label = figure.get("label")
        if not isinstance(figure.get("page"), int) or isinstance(figure.get("page"), bool):
            return f"{name!r}, {label!r}: 'page' is {figure.get('page')!r}, expected a number"
        if problem := _wrong_kind(figure):
            return f"{name!r}, {label!r}: {problem}"
        panels = figure.get("panel_boxes") or []
        for box in [figure.get("bbox"), *(panels if isinstance(panels, list) else [panels])]:
            if not _is_box(box):
                return (
                    f"{name!r}, {label!r}: {str(box)[:100]} is no box, expected four numbers x0, y0, x1, y1"
                )
            if box[0] > box[2] or box[1] > box[3]:
                return f"{name!r}, {label!r}: the box {box!r} ends before it begins, expected x0, y0, x1, y1"
    return None


KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "label": ((str,), "text"),
    "number": ((str, int), "a number or text"),
    "caption_text": ((str,), "text"),
    "panel_boxes": ((list,), "a list of boxes"),
    "has_ct": ((bool,), "true or false"),
}
"""What the keys of a figure hold where they are there and not null."""


def _wrong_kind(figure: dict[str, Any]) -> str | None:
    if figure["page"] < 1:
        return f"'page' is {figure['page']}, expected 1 for the first page"
    for key, (kinds, expected) in KINDS.items():
        value = figure.get(key)
        if value is not None and type(value) not in kinds:
            return f"{key!r} is {str(value)[:60]!r}, expected {expected}"
    return None


def _is_box(box: Any) -> bool:
    numbers = isinstance(box, list) and len(box) == 4
    return numbers and all(type(value) in (int, float) and abs(value) < MOST_POINTS for value in box)


def scored(found: Sequence[dict[str, Any]], truth: Sequence[dict[str, Any]]) -> Scored:
    """Return the scores of documents, matched by the name of the file without its folder.

    Raises `DataError` where two files of one name can't be told apart.
    """
    by_name = _by_name(found, "the extracted figures")
    wanted = _by_name(truth, "the ground truth")
    whole = Counts()
    documents = []
    for name, true in wanted.items():
        one = _document(name, by_name.get(name), true)
        whole += one.counts
        documents.append(one)
    return Scored(tuple(documents), tuple(sorted(set(by_name) - set(wanted))), whole)


def _by_name(documents: Sequence[dict[str, Any]], what: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for document in documents:
        name = PurePosixPath(document["file"].replace("\\", "/")).name
        if name in found:
            raise DataError(f"{what}: two files of the name {name!r}; score them one at a time")
        found[name] = document
    return found


def _document(name: str, found: dict[str, Any] | None, true: dict[str, Any]) -> DocumentScore:
    own = [] if found is None else found["figures"]
    pairs = _pairs(own, true["figures"])
    counts = Counts(found=len(own), true=len(true["figures"]))
    misses = [] if found is not None else ["the file is not among the extracted ones"]
    for number, wanted in enumerate(true["figures"]):
        mine = own[pairs[number]] if number in pairs else None
        misses += _figure(counts, mine, wanted, own if found is not None else [])
    taken = set(pairs.values())
    for number, mine in enumerate(own):
        if number not in taken:
            misses.append(
                f"{_name(mine)} (page {mine['page']}): found, but not in the ground truth at this page and number"
            )
    return DocumentScore(name, counts, tuple(misses))


def _key(figure: dict[str, Any]) -> tuple[int, str, bool]:
    number = "" if figure.get("number") is None else figure["number"]  # a paper's only figure may have none
    supplementary = bool(figure.get("supplementary"))
    return figure["page"], bare_number(str(number).strip()), supplementary


def _pairs(found: Sequence[dict[str, Any]], true: Sequence[dict[str, Any]]) -> dict[int, int]:
    """{number of a true figure: number of the found one of its page and name with the best box}."""
    options = [
        (iou(mine["bbox"], wanted["bbox"]), t, f)
        for t, wanted in enumerate(true)
        for f, mine in enumerate(found)
        if _key(mine) == _key(wanted)
    ]
    pairs: dict[int, int] = {}
    for _, t, f in sorted(options, key=lambda option: (-option[0], option[1], option[2])):
        if t not in pairs and f not in pairs.values():
            pairs[t] = f
    return pairs


def _figure(
    counts: Counts, mine: dict[str, Any] | None, wanted: dict[str, Any], own: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """Count one true figure; yield what is wrong with it."""
    name = f"{_name(wanted)} (page {wanted['page']})"
    counts.captions += 1
    if mine is None:
        yield f"{name}: {_why_missing(wanted, own)}"
    else:
        overlap = iou(mine["bbox"], wanted["bbox"])
        if overlap >= BOX_IOU:
            counts.right += 1
        else:
            yield f"{name}: box {_shown(mine['bbox'])}, expected {_shown(wanted['bbox'])}: IoU {overlap:.2f}"
        likeness = similarity(str(mine.get("caption_text") or ""), str(wanted.get("caption_text") or ""))
        if likeness >= CAPTION:
            counts.captions_right += 1
        else:
            yield f"{name}: caption alike by {likeness:.2f}: {str(mine.get('caption_text'))[:60]!r}"
    yield from _panels(counts, mine, wanted, name)
    yield from _ct(counts, mine, wanted, name)


def _why_missing(wanted: dict[str, Any], own: Sequence[dict[str, Any]]) -> str:
    same_name = [mine["page"] for mine in own if _key(mine)[1:] == _key(wanted)[1:]]
    if same_name:
        return f"found on page {', '.join(map(str, same_name))} instead"
    lying = [
        _name(mine)
        for mine in own
        if mine["page"] == wanted["page"] and iou(mine["bbox"], wanted["bbox"]) > 0.5
    ]
    return f"its place is taken by {', '.join(lying)}" if lying else "not found"


def _panels(counts: Counts, mine: dict[str, Any] | None, wanted: dict[str, Any], name: str) -> Iterator[str]:
    """Panels count where the ground truth has a composite figure with CT."""
    true = [_as_box(box) for box in wanted.get("panel_boxes") or []]
    if not wanted.get("has_ct") or len(true) < 2:
        return
    found = [] if mine is None else [_as_box(box) for box in mine.get("panel_boxes") or []]
    right = len(matched_pairs(found, true, PANEL_IOU))
    counts.panels_found += len(found)
    counts.panels_true += len(true)
    counts.panels_right += right
    if right < max(len(true), len(found)):
        yield f"{name}: {right} of {len(true)} panels right, {len(found)} found"


def _ct(counts: Counts, mine: dict[str, Any] | None, wanted: dict[str, Any], name: str) -> Iterator[str]:
    """CT or not counts on the figures that were extracted and decided on."""
    if mine is None or not isinstance(wanted.get("has_ct"), bool) or not isinstance(mine.get("has_ct"), bool):
        return
    counts.ct += 1
    if mine["has_ct"] == wanted["has_ct"]:
        counts.ct_right += 1
    else:
        yield f"{name}: {'CT' if mine['has_ct'] else 'no CT'}, expected {'CT' if wanted['has_ct'] else 'none'}"


def similarity(a: str, b: str) -> float:
    """Return how alike two texts are once white space and control characters are gone: 0 to 1.

    >>> similarity("Figure 1. \\x07Chest CT", "Figure 1.Chest  CT")
    1.0
    """
    mine, other = ("".join(c for c in text if c.isprintable() and not c.isspace()) for text in (a, b))
    if not mine and not other:
        return 1.0
    return difflib.SequenceMatcher(None, mine, other, autojunk=False).ratio()


def _as_box(box: Sequence[float]) -> Box:
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])


def _name(figure: dict[str, Any]) -> str:
    return str(figure.get("label") or "a figure without a name")


def _shown(box: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.0f}" for value in box) + ")"
