"""What a PDF may ask for at most: a small file can unpack to more than any machine holds."""

from __future__ import annotations

import struct
import zlib
from typing import Any

__all__ = ["MOST_PIXELS", "TooLarge", "broken", "check_page", "declared_pixels"]

MOST_PIXELS = 120_000_000
"""Pixels of one image: a large figure of 1200 dpi has 80 million."""

MOST_CONTENT = 200_000_000
"""Bytes of the drawing operations of a page, unpacked."""

SAFE_RAW = MOST_CONTENT // 1032
"""Deflate packs at most 1032 to 1, so that shorter streams need not be tried."""


def broken() -> tuple[type[Exception], ...]:
    """Return what PyMuPDF raises on broken files: its own errors, and Python's from what it made of them."""
    from pymupdf import mupdf

    python = (
        ArithmeticError,
        AssertionError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    )
    return (*python, mupdf.FzErrorBase)


class TooLarge(ValueError):
    """A part of a page that is left alone; `str()` says which and how large."""


def check_page(document: Any, page: Any) -> None:
    """Raise `TooLarge` when a page's contents unpack to more than is safe, without unpacking them whole."""
    forms = [xref for xref, *_ in page.get_xobjects()]
    for xref in dict.fromkeys([*page.get_contents(), *forms]):
        raw = document.xref_stream_raw(xref)
        if raw is None or len(raw) < 1000:
            continue
        filters = document.xref_get_key(xref, "Filter")[1]
        packed = filters.count("Decode")
        if packed > 1 or (packed == 1 and "FlateDecode" not in filters and len(raw) > SAFE_RAW):
            raise TooLarge(f"content {xref} is packed {packed} times ({len(raw)} bytes)")
        if packed == 1 and "FlateDecode" in filters and len(raw) > SAFE_RAW:
            size = _unpacked(raw)
            if size > MOST_CONTENT:
                raise TooLarge(f"content {xref} unpacks from {len(raw)} to more than {MOST_CONTENT} bytes")


def _unpacked(raw: bytes) -> int:
    """The unpacked size of a deflated stream, counted piece by piece and no further than the limit."""
    size, rest, unpacker = 0, raw, zlib.decompressobj()
    try:
        while rest and size <= MOST_CONTENT:
            size += len(unpacker.decompress(rest, 1 << 20))
            rest = unpacker.unconsumed_tail
    except zlib.error:
        return size  # damaged: the reader stops there too
    return size


def declared_pixels(document: Any, xref: int) -> int:
    """Return the pixels of an image object: what it declares, or what a JPEG 2000 stream does if that is more."""
    width, height = (_integer(document.xref_get_key(xref, key)[1]) for key in ("Width", "Height"))
    found = width * height
    if "JPXDecode" in document.xref_get_key(xref, "Filter")[1]:
        raw = document.xref_stream_raw(xref) or b""
        at = raw.find(b"\xff\x4f\xff\x51")
        if 0 <= at <= len(raw) - 24:
            x, y, x0, y0 = struct.unpack(">4I", raw[at + 8 : at + 24])
            found = max(found, max(0, x - x0) * max(0, y - y0))
    return found


def _integer(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else 0
