"""What a PDF may ask for at most: a small file can unpack to more than any machine holds."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["MOST_PIXELS", "TooLarge", "broken", "check_page", "declared_pixels", "loaded_page"]

MOST_PIXELS = 120_000_000
"""Pixels of one image: a large figure of 1200 dpi has 80 million."""

MOST_CONTENT = 200_000_000
"""Bytes of the drawing operations of a page, unpacked."""

SAFE_RAW = MOST_CONTENT // 1032
"""Deflate packs at most 1032 to 1, other filters of text about as much: shorter streams are safe."""

PIECE = 1 << 20
"""Bytes that are unpacked at a time."""


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
        raw = document.xref_stream_raw(xref) if xref < document.xref_length() else None
        if raw is None:  # no stream, or cut off with the end of the file
            continue
        try:
            _check(raw, _filters(document, xref))
        except TooLarge as error:
            raise TooLarge(f"content {xref} {error}") from None


def loaded_page(document: Any, number: int) -> Any:
    """Return a page (from 0) of a pymupdf document, its rotation brought below a turn.

    Readers count down: a /Rotate of 10^9, its own or inherited, took 40 s.
    """
    from pymupdf import mupdf

    page = mupdf.pdf_lookup_page_obj(mupdf.pdf_document_from_fz_document(document), number)
    key = mupdf.pdf_new_name("Rotate")
    turn = mupdf.pdf_to_int(mupdf.pdf_dict_get_inheritable(page, key))
    if abs(turn) > 360:
        mupdf.pdf_dict_put_int(page, key, turn % 360)
    return document.load_page(number)


def _filters(document: Any, xref: int) -> list[str]:
    """The filters of a stream in the order in which they are undone."""
    kind, text = document.xref_get_key(xref, "Filter")
    if kind == "xref":
        text = document.xref_object(int(text.split()[0]))
    return [name for name in re.findall(r"/(\w+)", text) if name != "Crypt"]


def _check(raw: bytes, filters: Sequence[str]) -> None:
    """Undo all filters but the last, no further than is safe, and count what that gives. Raises `TooLarge`."""
    data = raw
    for number, name in enumerate(filters, 1):
        last = number == len(filters)
        if name not in UNDOING and (not last or len(data) > SAFE_RAW):
            raise TooLarge(
                f"is packed by {' and '.join(filters)} ({len(raw)} bytes), which may hide too much"
            )
        if last:
            size = sum(map(len, _inflated(data))) if name in DEFLATE and len(data) > SAFE_RAW else 0
        else:
            data = UNDOING[name](data)
            size = len(data)
        if size > MOST_CONTENT:
            raise TooLarge(f"unpacks from {len(raw)} to more than {MOST_CONTENT} bytes")


def _inflated(data: bytes) -> Iterator[bytes]:
    """What deflated bytes unpack to, in pieces, not much further than is safe; damaged ones as far as they go."""
    size, rest, unpacker = 0, data, zlib.decompressobj()
    while rest and size <= MOST_CONTENT:
        try:
            piece = unpacker.decompress(rest, PIECE)
        except zlib.error:
            return  # the reader stops there too
        yield piece
        size, rest = size + len(piece), unpacker.unconsumed_tail


def _from_ascii85(data: bytes) -> bytes:
    """What ASCII85 stands for; of damaged text the length is an upper bound all the same."""
    text = data.partition(b"~>")[0]
    try:
        return base64.a85decode(text, ignorechars=b" \t\n\r\v\f\0")
    except ValueError:
        return text


def _from_hex(data: bytes) -> bytes:
    text = re.sub(rb"[^0-9A-Fa-f]", b"", data.partition(b">")[0])
    return bytes.fromhex((text + b"0" * (len(text) % 2)).decode())


DEFLATE = ("FlateDecode", "Fl")
UNDOING: dict[str, Callable[[bytes], bytes]] = {
    **dict.fromkeys(DEFLATE, lambda data: b"".join(_inflated(data))),
    "ASCII85Decode": _from_ascii85,
    "A85": _from_ascii85,
    "ASCIIHexDecode": _from_hex,
    "AHx": _from_hex,
}


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
