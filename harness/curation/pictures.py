"""The pixels of candidates: cut out of the images of figures that lie in a paper's folder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.curation.types import Candidate
from harness.errors import DataError
from harness.figures.limits import MOST_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.figures.types import PixelBox

__all__ = ["content_of", "contents", "picture", "png", "thumbnail"]


PNG_LEVEL = 2
"""Of 0 to 9: 40 % faster than 6 on slices of papers, 9 % larger."""


def picture(candidate: Candidate) -> Image:
    """Return a candidate's pixels, grey or RGB. Raises `DataError` where its figure's image is damaged."""
    path = candidate.paper.folder / candidate.image
    figure = _figure(path)
    if candidate.pixels[2] > figure.width or candidate.pixels[3] > figure.height:
        raise DataError(
            f"{str(path)!r} has {figure.width} x {figure.height} pixels and no box {list(candidate.pixels)}; "
            f"remove its folder and build again"
        )
    return figure.crop(candidate.pixels)


@lru_cache(maxsize=4)
def _figure(path: Path) -> Image:
    return _opened(path)


def _opened(path: Path) -> Image:
    from PIL import Image

    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise DataError(f"{str(path)!r} has more than {MOST_PIXELS} pixels")
            return opened.convert("L" if opened.mode in ("1", "L") else "RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{str(path)!r} is damaged: {error}; remove its folder and build again") from error


def png(candidate: Candidate) -> bytes:
    """Return a candidate as a PNG file: grey where it has no colours."""
    return _saved(_plain(picture(candidate)), "PNG", compress_level=PNG_LEVEL)


def contents(path: Path, boxes: Sequence[PixelBox]) -> list[str]:
    """Return the SHA-256 of boxes of an image: the same for the same pixels, grey or as RGB without colours."""
    whole = _opened(path)
    return [_digest(whole.crop(box)) for box in boxes]


def content_of(candidate: Candidate) -> str:
    """Return the SHA-256 of a candidate's pixels, computed where it is not known."""
    return candidate.content or _digest(picture(candidate))


def _digest(pixels: Image) -> str:
    plain = _plain(pixels)
    return hashlib.sha256(f"{plain.mode} {plain.size}".encode() + plain.tobytes()).hexdigest()


def _plain(pixels: Image) -> Image:
    from PIL import ImageChops

    if pixels.mode != "RGB":
        return pixels
    red, green, blue = pixels.split()
    coloured = ImageChops.difference(red, green).getbbox() or ImageChops.difference(red, blue).getbbox()
    return pixels if coloured else red


def thumbnail(candidate: Candidate, side_px: int = 144) -> bytes:
    """Return a candidate small, as a JPEG file."""
    small = picture(candidate).copy()
    small.thumbnail((side_px, side_px))
    return _saved(small, "JPEG", quality=80)


def _saved(pixels: Image, form: str, **options: int) -> bytes:
    data = io.BytesIO()
    pixels.save(data, form, **options)
    return data.getvalue()
