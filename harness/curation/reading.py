"""One PDF read into a folder: the images of its figures, its pages in context, and `document.json` last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.curation.pictures import contents
from harness.figures.descriptions import Seen, describing
from harness.figures.documents import Unopened, figures_extra, open_pdf, read_document
from harness.figures.figure_files import as_json
from harness.figures.limits import broken, loaded_page
from harness.figures.patients import patient_of
from harness.figures.rules import label_of, read_rules
from harness.figures.types import Document, Figure, Suggestion
from harness.sources import normalised_source

__all__ = ["FILE", "SCHEMA_VERSION", "STEM", "page_image", "read_figures", "read_paper", "reader_digest"]

FILE = "document.json"
SCHEMA_VERSION = 1
STEM = "f"
"""The images in a paper's folder are called after nothing that a stranger chose."""

CONTEXT_PX = 900
"""Longer side of a page in context: its running text can just be read."""

PACKAGE = Path(__file__).parent.parent
CODE = ("figures/*.py", "figures/*.npz", "curation/reading.py", "curation/pictures.py", "data/decoding.py")


def reader_digest(rules: Path | None = None) -> str:
    """Return the SHA-256 of all that decides what is read out of a PDF: code, the small model, rules, PyMuPDF."""
    total = hashlib.sha256(_pymupdf().encode())
    for pattern in CODE:
        for path in sorted(PACKAGE.glob(pattern)):
            code = path.suffix == ".py"
            data = normalised_source(path.read_text("utf-8")).encode() if code else path.read_bytes()
            total.update(f"\0{path.name}\0{len(data)}\0".encode() + data)
    chosen = rules if rules is not None else PACKAGE / "figures" / "rules.toml"
    total.update(b"\0rules\0" + chosen.read_bytes())
    return total.hexdigest()


def _pymupdf() -> str:
    """The version of PyMuPDF, without the second that importing it takes. Raises `DataError` where there is none."""
    try:
        return version("pymupdf")
    except PackageNotFoundError:
        return str(figures_extra().__version__)


def page_image(page: int) -> str:
    """Return the name of the file that shows a page (from 1)."""
    return f"page-{page}.jpg"


def read_paper(path: Path, folder: Path, *, name: str, sha256: str, reader: str, rules: Path | None) -> None:
    """Read a PDF into `folder`; a PDF of which nothing can be read leaves its name and the reason there."""
    whole: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "sha256": sha256,
        "reader": reader,
        "failed": None,
        "problems": [],
        "figures": [],
    }
    try:
        whole |= _read(path, folder, name, rules)
    except Unopened as error:
        whole["failed"] = error.reason
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / FILE).write_bytes(text.encode("utf-8", "replace"))


def read_figures(path: Path, folder: Path, *, stem: str) -> None:
    """Read a PDF into `folder` as 'harness figures extract' writes it, with why nothing could be read as 'failed'."""
    try:
        with describing(path) as describe:
            whole = as_json(read_document(path, folder, stem=stem, describe=describe)) | {"failed": None}
    except Unopened as error:
        whole = as_json(Document(str(path), 0, problems=(error.reason,))) | {"failed": error.reason}
    text = json.dumps(whole, ensure_ascii=True, allow_nan=False)
    (folder / FILE).write_text(text, "ascii")


def _read(path: Path, folder: Path, name: str, rules: Path | None) -> dict[str, Any]:
    seen: Seen = {}
    with describing(path, seen) as describe:
        document = read_document(path, folder, stem=STEM, describe=describe)
    whole = as_json(document)
    sizes, problems = _contexts(path, folder, sorted({figure.page for figure in document.figures}))
    for figure, written in zip(document.figures, whole["figures"], strict=True):
        written["page_size"] = sizes.get(figure.page)
        for panel, more in zip(written["panels"], _panels(figure, document, name, seen, rules), strict=True):
            panel |= more
        for panel, digest in zip(written["panels"], _contents(folder, figure), strict=True):
            panel["content"] = digest
    del whole["file"]
    return whole | {"problems": [*whole["problems"], *problems]}


def _panels(
    figure: Figure, document: Document, name: str, seen: Seen, rules: Path | None
) -> list[dict[str, Any]]:
    """What is suggested of each panel of a figure."""
    caption = figure.caption.text if figure.caption else ""
    known = read_rules(rules)
    return [
        {
            "ct": _written(ct),
            "label": _written(label_of(panel.text, caption, figure.mentions, known)),
            "patient": _written(patient_of(panel.text, caption, document.doi or name, panel.letter)),
        }
        for panel, ct in zip(figure.panels, seen[figure.image], strict=True)
    ]


def _contents(folder: Path, figure: Figure) -> Sequence[str | None]:
    """Digests of the panels' pixels; None where there is no memory for them, and whoever needs one computes it."""
    try:
        return contents(folder / figure.image, [panel.pixels for panel in figure.panels])
    except MemoryError:
        return [None] * len(figure.panels)


def _written(suggestion: Suggestion) -> dict[str, Any]:
    return {"value": suggestion.value, "confidence": suggestion.confidence, "reason": suggestion.reason}


def _contexts(path: Path, folder: Path, pages: list[int]) -> tuple[dict[int, tuple[float, float]], list[str]]:
    """Draw pages small and grey; return their sizes in points by number, and what could not be drawn."""
    pymupdf = figures_extra()
    sizes: dict[int, tuple[float, float]] = {}
    problems: list[str] = []
    if not pages:
        return sizes, problems
    with open_pdf(path) as opened:
        for number in pages:
            try:
                page = loaded_page(opened, number - 1)
                sizes[number] = (round(page.rect.width, 2), round(page.rect.height, 2))
                scale = CONTEXT_PX / max(page.rect.width, page.rect.height)
                drawn = page.get_pixmap(
                    matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csGRAY, alpha=False
                )
                (folder / page_image(number)).write_bytes(drawn.tobytes("jpeg", jpg_quality=70))
            except broken() as error:
                problems.append(
                    f"page {number}: cannot be shown in context: {' '.join(str(error).split())[:200]}"
                )
    return sizes, problems
