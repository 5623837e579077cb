"""What is written of papers: pictures with safe names, and one figures.json. Files are whole or absent."""

from __future__ import annotations

import io
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.figures.types import Box, Document, Figure, Panel, Suggestion

if TYPE_CHECKING:
    from harness.figures.pictures import Picture

__all__ = [
    "NAME",
    "SCHEMA_VERSION",
    "as_json",
    "earlier_pictures",
    "file_stem",
    "picture_name",
    "stems_of",
    "write_documents",
    "write_picture",
]

NAME = "figures.json"
SCHEMA_VERSION = 1
LONGEST = 80
OWN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*-p\d+-(?:r\d+|\d+(?:\.\d+)?)\.(?:png|jpg)")
"""Names that `picture_name` gives."""

RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


def file_stem(path: Path) -> str:
    """Return a PDF's name without its ending, of letters, digits, '.', '_' and '-' alone.

    >>> file_stem(Path("a/2020.02.10.20021584v1.full.pdf")), file_stem(Path("..%2f..; rm -rf.pdf"))
    ('2020.02.10.20021584v1.full', '2f-rm-rf')
    """
    name = re.sub(r"\.pdf$", "", path.name, flags=re.IGNORECASE)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = re.sub(r"(?:\.\.+|[^A-Za-z0-9._])+", "-", plain).strip(".-_")[:LONGEST].strip(".-_") or "paper"
    return f"paper-{safe}" if RESERVED.match(safe) else safe


def stems_of(paths: Sequence[Path]) -> list[str]:
    """Return one stem a file, different for all, also where letters differ in case only.

    >>> stems_of([Path("a/x.pdf"), Path("b/X.pdf"), Path("x-2.pdf")])
    ['x', 'X-2', 'x-2-2']
    """
    taken: set[str] = set()
    found = []
    for path in paths:
        stem = own = file_stem(path)
        number = 2
        while stem.lower() in taken:
            stem, number = f"{own}-{number}", number + 1
        taken.add(stem.lower())
        found.append(stem)
    return found


def write_picture(out: Path, name: str, picture: Picture) -> str:
    """Write a figure's picture under a name without its ending; return the name with it."""
    ending = "jpg" if picture.jpeg is not None else "png"
    _replaced(out / f"{name}.{ending}", picture.jpeg or _png(picture))
    return f"{name}.{ending}"


def picture_name(stem: str, page: int, picture: Picture, taken: set[str]) -> str:
    """Return STEM-pPAGE-OBJECT as Zhao et al. (2020) name theirs, and add it to the names taken.

    The object is the number of the image object; 'r' and a counter where the figure is made of several or rendered.
    """
    single = len(picture.objects) == 1 and picture.kind == "raster"
    base = f"{stem}-p{page}-{picture.objects[0]}" if single else f"{stem}-p{page}-r"
    name, number = base if single else f"{base}1", 1
    while name in taken:
        number += 1
        name = f"{base}.{number}" if single else f"{base}{number}"
    taken.add(name)
    return name


def earlier_pictures(out: Path) -> set[str]:
    """Return the pictures that an earlier run left in a folder; none where there is no figures.json.

    Raises `DataError` where a figures.json is not of this command, or the folder is a dataset.
    """
    if any((out / name).exists() for name in ("card.toml", "decisions.jsonl", ".build.lock")):
        raise DataError(f"{str(out)!r} is a dataset; name another folder with --out")
    try:
        whole = json.loads((out / NAME).read_text("utf-8"))
        if whole["schema_version"] != SCHEMA_VERSION:
            raise ValueError
        named = {one["image"] for document in whole["documents"] for one in document["figures"]}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"{str(out / NAME)!r} was not written by this command; move it, or name another folder with --out"
        ) from error
    return {name for name in named if isinstance(name, str) and OWN.fullmatch(name)}


def _png(picture: Picture) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture.pixels).save(data, "PNG", compress_level=4)
    return data.getvalue()


def _replaced(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot write {str(path)!r}: {error.strerror}; name another folder with --out"
        ) from error


def write_documents(out: Path, documents: Iterable[dict[str, Any]]) -> Path:
    """Write figures.json of documents as `as_json` gives them; return its path."""
    whole = {"schema_version": SCHEMA_VERSION, "documents": list(documents)}
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _replaced(out / NAME, text.encode("utf-8", "replace"))
    return out / NAME


def as_json(document: Document) -> dict[str, Any]:
    """Return a document as figures.json holds it."""
    return {
        "file": document.file,
        "title": document.title,
        "doi": document.doi,
        "pages": document.pages,
        "problems": list(document.problems),
        "left_out": list(document.left_out),
        "figures": [_figure(figure) for figure in document.figures],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    caption = figure.caption
    return {
        "label": caption.label if caption else None,
        "number": _number(caption.number) if caption else None,
        "supplementary": caption.supplementary if caption else False,
        "page": figure.page,
        "bbox": _box(figure.box),
        "kind": figure.kind,
        "objects": list(figure.objects),
        "image": figure.image,
        "width": figure.width,
        "height": figure.height,
        "caption_text": caption.text if caption else "",
        "caption_page": caption.page if caption else None,
        "caption_boxes": [_box(box) for box in caption.boxes] if caption else [],
        "confidence": figure.confidence,
        "mentions": list(figure.mentions),
        "panel_boxes": [_box(panel.box) for panel in figure.panels],
        "panels": [_panel(panel) for panel in figure.panels],
        "has_ct": _claim(figure.has_ct),
        "ct_confidence": figure.has_ct.confidence if figure.has_ct else None,
        "ct_reason": figure.has_ct.reason if figure.has_ct else None,
    }


def _number(number: str) -> int | str | None:
    """A number as the ground truth has it: an integer where it is one, none where a paper's only figure has none."""
    return int(number) if number.isdecimal() else number or None


def _box(box: Box) -> list[float]:
    return [round(value, 1) for value in box]


def _panel(panel: Panel) -> dict[str, Any]:
    return {"bbox": _box(panel.box), "pixels": list(panel.pixels), "letter": panel.letter, "text": panel.text}


def _claim(suggestion: Suggestion | None) -> bool | None:
    if suggestion is None or suggestion.value is None:
        return None
    return suggestion.value in ("CT", "ct", "yes", "true", "True")
