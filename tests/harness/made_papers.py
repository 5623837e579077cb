"""PDFs for the tests of figures: pages with running text, captions, and images in the forms that PDFs have."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
from PIL import Image

SENTENCE = (
    "The patient was admitted with fever and cough on the first day of the year and was seen again later. "
)
WIDE, HIGH = 500.0, 700.0


def picture(height: int = 90, width: int = 120) -> np.ndarray:
    """Grey pixels that look different after every flip, turn and inversion."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = (40 + x * 100 / width + y * 70 / height).astype(np.uint8)
    pixels[: height // 4, : width // 4] = 5
    pixels[-height // 5 :, -width // 3 :] = 235
    return pixels


def coloured(height: int = 90, width: int = 120) -> np.ndarray:
    grey = picture(height, width)
    return np.stack([grey, grey[::-1], 255 - grey], axis=-1)


def encoded(pixels: np.ndarray, form: str, mode: str | None = None, **options: Any) -> bytes:
    data = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(data, form, **options)
    return data.getvalue()


def decoded(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


@cache
def _length(word: str, font: str, size: float) -> float:
    return float(pymupdf.get_text_length(word, font, size))


def _broken(words: list[str], wide: float, indent: float, font: str, size: float) -> list[str]:
    """Words in lines of a width, the first of them shorter."""
    lines: list[list[str]] = [[]]
    used = indent
    for word in words:
        length = _length(word + " ", font, size)
        if used + length > wide:
            lines.append([])
            used = 0.0
        lines[-1].append(word)
        used += length
    return [" ".join(line) for line in lines]


class Paper:
    """A PDF that is being written. Boxes are from the top left, in points."""

    def __init__(self, width: float = WIDE, height: float = HIGH) -> None:
        self.document = pymupdf.open()
        self.size = (width, height)
        self.page = self.document.new_page(width=width, height=height)

    def next_page(self) -> Paper:
        self.page = self.document.new_page(width=self.size[0], height=self.size[1])
        return self

    def text(
        self, box: tuple[float, float, float, float], text: str = SENTENCE * 30, size: float = 10
    ) -> Paper:
        """Running text that fills a box; what does not fit is left out."""
        y = box[1] + size
        for line in _broken(text.split(), box[2] - box[0], 0.0, "tiro", size):
            if y > box[3]:
                break
            self.page.insert_text((box[0], y), line, fontname="tiro", fontsize=size)
            y += 1.2 * size
        return self

    def words(
        self, x: float, y: float, text: str, size: float = 8, font: str = "tiro", rotate: int = 0
    ) -> Paper:
        self.page.insert_text((x, y), text, fontname=font, fontsize=size, rotate=rotate)
        return self

    def caption(self, x: float, y: float, label: str, text: str, size: float = 8, wide: float = 300) -> Paper:
        """A caption with a bold label; `text` breaks into lines of a width."""
        self.words(x, y, label, size, "tibo")
        first = _length(label + " ", "tibo", size)
        for number, line in enumerate(_broken(text.split(), wide, first, "tiro", size)):
            self.words(x if number else x + first, y + 1.2 * size * number, line, size)
        return self

    def image(self, box: tuple[float, float, float, float], pixels: np.ndarray) -> Paper:
        """An image as PyMuPDF writes one: deflated, without loss."""
        self.page.insert_image(pymupdf.Rect(box), stream=encoded(pixels, "PNG"), keep_proportion=False)
        return self

    def chart(self, box: tuple[float, float, float, float]) -> Paper:
        """Axes, a line and numbers beside them."""
        x0, y0, x1, y1 = box
        shape = self.page.new_shape()
        shape.draw_line((x0 + 20, y0), (x0 + 20, y1 - 15))
        shape.draw_line((x0 + 20, y1 - 15), (x1, y1 - 15))
        shape.draw_polyline(
            [
                (x0 + 20 + k * (x1 - x0 - 25) / 9, y1 - 20 - (k * 37 % 50) * (y1 - y0 - 30) / 50)
                for k in range(10)
            ]
        )
        shape.finish(color=(0, 0, 1), width=1)
        shape.commit()
        for k in range(4):
            self.words(x0, y1 - 16 - k * (y1 - y0 - 30) / 3, str(10 * k), 7)
            self.words(x0 + 20 + k * (x1 - x0 - 40) / 3, y1 - 3, str(k), 7)
        return self

    def object(self, dictionary: str, data: bytes, **keys: str) -> int:
        """The number of a new stream object; `keys` (Filter, SMask ...) are set after its data."""
        number = self.document.get_new_xref()
        self.document.update_object(number, f"<<{dictionary}>>")
        self.document.update_stream(number, data, new=True, compress=False)
        for key, value in keys.items():
            self.document.xref_set_key(number, key, value)
        return int(number)

    def raw_image(self, matrix: tuple[float, ...], width: int, height: int, data: bytes, **keys: str) -> int:
        """An image object drawn with a matrix of the PDF's own frame (from the bottom left); returns its number."""
        number = self.object(f"/Type/XObject/Subtype/Image/Width {width}/Height {height}", data, **keys)
        self.resource(f"Im{number}", number)
        self.operations(f"q {' '.join(map(str, matrix))} cm /Im{number} Do Q")
        return number

    def resource(self, name: str, number: int) -> Paper:
        """Give a stream object a name on the page."""
        holder, path = self.page.xref, "Resources"
        for part in ("Resources", "XObject"):
            kind, value = self.document.xref_get_key(holder, path)
            if kind == "xref":
                holder, path = int(value.split()[0]), ""
            path = f"{path}/XObject".lstrip("/") if part == "Resources" else path
        self.document.xref_set_key(holder, f"{path}/{name}".lstrip("/"), f"{number} 0 R")
        return self

    def operations(self, text: str | bytes) -> Paper:
        """Add drawing operations to the page."""
        data = text if isinstance(text, bytes) else text.encode()
        number = self.object("", data)
        before = [*self.page.get_contents(), number]
        self.document.xref_set_key(
            self.page.xref, "Contents", "[" + " ".join(f"{n} 0 R" for n in before) + "]"
        )
        return self

    def save(self, path: Path, **options: Any) -> Path:
        self.document.save(path, **options)
        self.document.close()
        return path


def with_figure(paper: Paper, label: str = "Figure 1.") -> Paper:
    """Add the caption and the text below a figure that lies within (100, 100, 300, 250)."""
    return paper.caption(100, 268, label, "Chest CT of the patient on the first day.").text(
        (60, 300, 440, 640)
    )
