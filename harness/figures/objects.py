"""Image objects of a PDF: which one stands on a page, its own JPEG bytes, its pixels."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.figures.limits import MOST_PIXELS, TooLarge, broken, declared_pixels
from harness.figures.pages import Placed

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Jpeg", "Unreadable", "found_object", "object_pixels", "original_jpeg"]


class Unreadable(Exception):
    """An image object that gives no pixels by itself; the page is rendered instead."""


@dataclass(frozen=True, slots=True)
class Jpeg:
    data: bytes
    pixels: np.ndarray


def found_object(document: Any, page: Any, image: Placed) -> int:
    """Return the object number of an image on a page, 0 for an inline image or where it can't be told.

    Images are told apart by size and depth; only where that leaves several are pixels compared.
    """
    alike = [
        entry[0]
        for entry in page.get_images(full=True)
        if (entry[2], entry[3]) == (image.width, image.height)
        and (entry[4] == image.bits or 0 in (entry[4], image.bits))
    ]
    alike = list(dict.fromkeys(alike))
    if len(alike) <= 1:
        return int(alike[0]) if alike else 0
    if sum(declared_pixels(document, xref) for xref in alike) > MOST_PIXELS:
        return 0
    for info in page.get_image_info(xrefs=True):
        if info["number"] == image.number:
            return int(info["xref"]) if info["xref"] in alike else 0
    return 0


def _key(document: Any, xref: int, name: str) -> str:
    kind, value = document.xref_get_key(xref, name)
    if kind == "xref":
        return str(document.xref_object(int(value.split()[0]), compressed=True))
    return "" if kind == "null" else str(value)


def original_jpeg(document: Any, xref: int) -> Jpeg | None:
    """Return the JPEG of an image object where its bytes alone look as the page does, else None.

    That is: grey or RGB, no mask, no /Decode that changes values, and a stream that decodes whole.
    """
    import numpy as np
    from PIL import Image

    filters = re.findall(r"/(\w+)", _key(document, xref, "Filter"))
    if not filters or filters[-1] not in ("DCTDecode", "DCT") or len(filters) > 2:
        return None
    if _key(document, xref, "SMask") or _key(document, xref, "Mask") or not _plain_decode(document, xref):
        return None
    if not _plain_colours(document, xref):
        return None
    data = document.extract_image(xref).get("image", b"")
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.format != "JPEG" or opened.mode not in ("L", "RGB") or _turned_by_exif(opened):
                return None
            return Jpeg(data, np.asarray(opened))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _turned_by_exif(opened: Any) -> bool:
    """Whether the file says by EXIF that it be turned, which a PDF reader does not do."""
    return opened.getexif().get(0x0112, 1) not in (0, 1)


def _plain_decode(document: Any, xref: int) -> bool:
    values = [float(value) for value in re.findall(r"[-\d.]+", _key(document, xref, "Decode"))]
    return all(value == number % 2 for number, value in enumerate(values))


def _plain_colours(document: Any, xref: int) -> bool:
    colours = _key(document, xref, "ColorSpace")
    if re.fullmatch(r"/?(DeviceGray|DeviceRGB|G|RGB|CalGray|CalRGB)", colours):
        return True
    calibrated = re.match(r"\[\s*/(CalGray|CalRGB|ICCBased)\b\s*(\d+)?", colours)
    if calibrated is None:
        return False
    if calibrated[1] != "ICCBased":
        return True
    return bool(calibrated[2]) and _key(document, int(calibrated[2]), "N") in ("1", "3")


def object_pixels(document: Any, page: Any, image: Placed, xref: int) -> np.ndarray:
    """Return the pixels of an image, (H, W) or (H, W, 3) uint8, its masks laid on white.

    `xref` is its object number, 0 for an inline image. Raises `Unreadable` where it gives none, and `TooLarge`.
    """
    import pymupdf

    if xref and declared_pixels(document, xref) > MOST_PIXELS:
        raise TooLarge(f"image object {xref} of {declared_pixels(document, xref)} pixels")
    try:
        if not xref:
            return _inline_pixels(page, image)
        if _key(document, xref, "ImageMask") == "true":
            raise Unreadable("a stencil has no colour of its own")
        pixels = _pixmap_pixels(pymupdf.Pixmap(document, xref))
        mask = _mask_object(document, xref)
        return pixels if mask is None else _on_white(pixels, _pixmap_pixels(pymupdf.Pixmap(document, mask)))
    except TooLarge:
        raise
    except broken() as error:
        raise Unreadable(str(error)) from error


def _mask_object(document: Any, xref: int) -> int | None:
    """The number of a soft mask's object. Raises `Unreadable` for other masks, which rendering knows."""
    kind, value = document.xref_get_key(xref, "SMask")
    if kind == "xref":
        number = int(value.split()[0])
        if declared_pixels(document, number) > MOST_PIXELS:
            raise TooLarge(f"mask {number} of {declared_pixels(document, number)} pixels")
        return number
    if document.xref_get_key(xref, "Mask")[0] != "null":
        raise Unreadable("masked by a stencil or by colours")
    return None


def _pixmap_pixels(pixmap: Any) -> np.ndarray:
    import numpy as np
    import pymupdf

    if pixmap.colorspace is None:
        raise Unreadable("has no colours")
    alpha = None
    if pixmap.colorspace.n != 1 or pixmap.colorspace.name not in ("DeviceGray", pymupdf.csGRAY.name):
        wanted = pymupdf.csGRAY if _is_grey(pixmap) else pymupdf.csRGB
        pixmap = pymupdf.Pixmap(wanted, pixmap)
    rows = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)
    pixels = rows[:, : pixmap.width * pixmap.n].reshape(pixmap.height, pixmap.width, pixmap.n)
    if pixmap.alpha:
        pixels, alpha = pixels[..., :-1], pixels[..., -1]
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return pixels.copy() if alpha is None else _on_white(pixels, alpha)


def _is_grey(pixmap: Any) -> bool:
    return pixmap.colorspace.n == 1 and "Gray" in (pixmap.colorspace.name or "")


def _on_white(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pixels laid over white as a mask (255 where they are seen) says; the larger of the two gives the size."""
    import numpy as np
    from PIL import Image

    if mask.ndim == 3:
        mask = mask[..., 0]
    height, width = max(pixels.shape[0], mask.shape[0]), max(pixels.shape[1], mask.shape[1])
    if height * width > MOST_PIXELS:
        raise TooLarge(f"image and mask of {width}x{height} pixels")
    resized = [
        one if one.shape[:2] == (height, width) else np.asarray(Image.fromarray(one).resize((width, height)))
        for one in (pixels, mask)
    ]
    share = resized[1].astype(np.float32)[(...,) + (None,) * (pixels.ndim - 2)] / 255
    return np.asarray(np.rint(resized[0] * share + 255 * (1 - share)), dtype=np.uint8)


def _inline_pixels(page: Any, image: Placed) -> np.ndarray:
    """Pixels of an image that stands in the drawing operations themselves."""
    import pymupdf

    for block in _image_blocks(page):
        if block["number"] == image.number:
            if block.get("mask") or image.mask:
                raise Unreadable("masked")
            if block["ext"] in ("jpeg", "jpg", "jpx") and "CMYK" in image.colours:
                raise Unreadable("four inks")
            return _pixmap_pixels(pymupdf.Pixmap(block["image"]))
    raise Unreadable("not found among the images of its page")


def _image_blocks(page: Any) -> Iterator[dict[str, Any]]:
    import pymupdf

    flags = pymupdf.TEXT_PRESERVE_IMAGES
    return (block for block in page.get_text("dict", flags=flags)["blocks"] if block["type"] == 1)
