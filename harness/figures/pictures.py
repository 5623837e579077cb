"""The picture of a figure: the image object itself where it is one, tiles joined, else the page rendered.

An image object that stands upright and is a plain JPEG keeps its bytes. Everything else becomes grey or RGB pixels
as a reader sees them: soft masks on white, CMYK and Lab turned to RGB, flips and quarter turns applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.figures.boxes import area, grown, intersection, iou, overlaps, share_inside, union
from harness.figures.limits import MOST_PIXELS, TooLarge
from harness.figures.objects import Unreadable, found_object, object_pixels, original_jpeg
from harness.figures.pages import Page, Placed
from harness.figures.pairing import Pair
from harness.figures.regions import Atom
from harness.figures.sightings import as_shown
from harness.figures.types import Box, Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Picture", "picture_of"]

RENDERED_DPI = 300
MOST_RENDERED = 40_000_000
"""Pixels of a rendered figure: 300 dpi of a page are 9 million."""

MOST_LAID_OVER = 12
"""Letters of panels and arrows on an image; more drawing than that is a drawing with a picture in it."""

HAIR = 0.6
"""Points: tiles of one picture stand no further apart."""

WHITE = 250
"""Ink is what is darker than this in any channel."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure's pixels (H, W) or (H, W, 3) uint8, its box on the page as shown, and what it is made of.

    `jpeg` holds the bytes of the image object where they can be kept as they are.
    """

    pixels: np.ndarray
    box: Box
    kind: Kind
    objects: tuple[int, ...]
    jpeg: bytes | None = None


def picture_of(document: Any, page: Any, layout_page: Page, pair: Pair) -> Picture:
    """Return the picture of a figure.

    Raises `TooLarge` where it has more pixels than is safe, `Unseen` where the page shows white paper instead.
    """
    images = [layout_page.images[atom.image] for atom in pair.atoms if atom.image is not None]
    drawn = [atom for atom in pair.atoms if atom.image is None]
    if not pair.atoms:  # a place between text: on a scan the image of the page lies under it
        under = [one for one in layout_page.images if overlaps(one.box, pair.box)]
        _check_sizes(document, under, ())
        box = layout_page.shown(pair.box)
        return _rendered(page, box, "mixed" if under else "vector", (), _placed(layout_page, under))
    objects = tuple(
        dict.fromkeys(xref for xref in (found_object(document, page, one) for one in images) if xref)
    )
    _check_sizes(document, images, objects)
    box = layout_page.shown(pair.box)
    plain = bool(images) and (not (drawn or pair.labels) or _laid_over(pair, images, drawn))
    if plain:
        made = _from_objects(document, page, layout_page, images, objects)
        if made is not None:
            return made
    kind: Kind = (
        "vector" if not images else "raster" if plain and len(images) == 1 else "tiled" if plain else "mixed"
    )
    return _rendered(page, box, kind, objects, _placed(layout_page, images))


def _placed(page: Page, images: Sequence[Placed]) -> list[tuple[Placed, Box]]:
    return [(one, page.shown(one.box)) for one in images]


def _laid_over(pair: Pair, images: Sequence[Placed], drawn: Sequence[Atom]) -> bool:
    """Whether a few letters and marks on one image are all there is besides it: then the image is the figure."""
    inside = all(share_inside(atom.box, grown(images[0].box, 2.0)) >= 1.0 for atom in drawn)
    few = pair.labels <= MOST_LAID_OVER and sum(atom.drawn for atom in drawn) <= MOST_LAID_OVER
    return len(images) == 1 and inside and few and share_inside(pair.box, grown(images[0].box, 3.0)) > 0.995


def _check_sizes(document: Any, images: Sequence[Placed], objects: Sequence[int]) -> None:
    from harness.figures.limits import declared_pixels

    sizes = [one.width * one.height for one in images] + [declared_pixels(document, xref) for xref in objects]
    if sizes and max(sizes) > MOST_PIXELS:
        raise TooLarge(f"an image of {max(sizes)} pixels, more than {MOST_PIXELS}")


def _from_objects(
    document: Any, page: Any, layout_page: Page, images: Sequence[Placed], objects: tuple[int, ...]
) -> Picture | None:
    """The picture made of image objects alone, None where that cannot be had."""
    boxes = [layout_page.shown(one.box) for one in images]
    if any(not _inside(box, tuple(page.rect)) for box in boxes):
        return None  # the page shows a part of it
    if len(images) > 1 and any(one.cropped for one in images):
        return None
    try:
        if len(images) == 1:
            return _single(document, page, images[0], boxes[0], objects)
        joined = _joined(document, page, images, boxes, objects)
    except Unreadable:
        return None
    return joined if joined is not None and as_shown(page, joined.box, joined.pixels) else None


def _inside(box: Box, outer: Box) -> bool:
    return area(intersection(box, outer)) > 0.98 * area(box)


def _single(document: Any, page: Any, image: Placed, box: Box, objects: tuple[int, ...]) -> Picture | None:
    turn = orientation(image)
    plain = turn == (False, False, False) and not image.cropped
    jpeg = original_jpeg(document, objects[0]) if objects and plain else None
    if jpeg is not None and as_shown(page, box, jpeg.pixels):
        return Picture(jpeg.pixels, box, "raster", objects, jpeg.data)
    pixels = turned(object_pixels(document, page, image, objects[0] if objects else 0), turn)
    if image.cropped:
        pixels = _seen_part(pixels, image, box)
    return Picture(_greyed(pixels), box, "raster", objects) if as_shown(page, box, pixels) else None


def _seen_part(pixels: np.ndarray, image: Placed, box: Box) -> np.ndarray:
    """The pixels of an image in the part of it that the page shows, `box` on the page as shown."""
    a, b, c, d, e, f = image.matrix
    x0, y0 = e + min(0.0, a, c), f + min(0.0, b, d)
    wide, high = max(abs(a), abs(c)), max(abs(b), abs(d))
    height, width = pixels.shape[:2]
    left, right = (round((x - x0) / wide * width) for x in (box[0], box[2]))
    top, bottom = (round((y - y0) / high * height) for y in (box[1], box[3]))
    return pixels[max(0, top) : max(top + 1, bottom), max(0, left) : max(left + 1, right)]


def orientation(image: Placed) -> tuple[bool, bool, bool]:
    """Return (transposed, flipped left to right, flipped upside down) of an image on its page.

    Raises `Unreadable` for one that is skewed or turned by another angle.
    """
    a, b, c, d, _, _ = image.matrix
    small = 0.01 * max(abs(a), abs(b), abs(c), abs(d))
    if abs(b) <= small and abs(c) <= small:
        return False, a < 0, d < 0
    if abs(a) <= small and abs(d) <= small:
        return True, c < 0, b < 0
    raise Unreadable("stands askew")


def turned(pixels: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    """Return pixels as the page shows them."""
    import numpy as np

    transposed, mirrored, upside_down = turn
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    if mirrored:
        pixels = pixels[:, ::-1]
    if upside_down:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _joined(
    document: Any, page: Any, images: Sequence[Placed], boxes: Sequence[Box], objects: tuple[int, ...]
) -> Picture | None:
    """Tiles side by side at their own resolution, None where they lie over each other or differ in resolution."""
    import numpy as np

    scales = [_scale(image, box) for image, box in zip(images, boxes, strict=True)]
    scale = max(max(pair) for pair in scales)
    whole = union(boxes)
    width, height = (round((whole[axis + 2] - whole[axis]) * scale) for axis in (0, 1))
    even = all(min(pair) > 0.97 * scale for pair in scales)
    lying = any(iou(a, b) > 0.1 for n, a in enumerate(boxes) for b in boxes[:n] if overlaps(a, b))
    if lying or not even or any(image.mask for image in images) or width * height > MOST_PIXELS:
        return None
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    covered = np.zeros((height, width), dtype=bool)
    for image, box in zip(images, boxes, strict=True):
        xref = found_object(document, page, image)
        tile = _rgb(turned(object_pixels(document, page, image, xref), orientation(image)))
        x = min(max(0, round((box[0] - whole[0]) * scale)), width)
        y = min(max(0, round((box[1] - whole[1]) * scale)), height)
        right, bottom = round((box[2] - whole[0]) * scale), round((box[3] - whole[1]) * scale)
        part = _sized(tile, max(1, right - x), max(1, bottom - y))[: height - y, : width - x]
        place = canvas[y : y + part.shape[0], x : x + part.shape[1]]
        np.minimum(place, part, out=place)  # tiles share an edge of pixels that fades to white in one of them
        covered[y : y + part.shape[0], x : x + part.shape[1]] = True
    _close_seams(canvas, covered, max(1, round(HAIR * scale)))
    return Picture(_greyed(canvas), whole, "tiled", objects)


def _sized(tile: np.ndarray, width: int, height: int) -> np.ndarray:
    """A tile in the pixels of its place: repeated or left out where more than a rounded one is amiss."""
    import numpy as np

    if abs(tile.shape[0] - height) > 1:
        tile = tile[np.arange(height) * tile.shape[0] // height]
    if abs(tile.shape[1] - width) > 1:
        tile = tile[:, np.arange(width) * tile.shape[1] // width]
    return tile


def _close_seams(canvas: np.ndarray, covered: np.ndarray, reach: int) -> None:
    """Fill what rounding and hair-wide gaps left between tiles, and at the edge, with the pixels beside it."""
    for axis in (0, 1):
        for way in (1, -1):
            pixels, known = canvas.swapaxes(0, axis)[::way], covered.swapaxes(0, axis)[::way]
            narrow = known.copy()
            for step in range(1, reach + 1):
                narrow[:-step] |= known[step:]
            narrow[-reach:] = True
            for _ in range(reach):
                seam = ~known[1:] & known[:-1] & narrow[1:]
                pixels[1:][seam] = pixels[:-1][seam]
                known[1:] |= seam


def _scale(image: Placed, box: Box) -> tuple[float, float]:
    """Pixels a point, along x and y of the page."""
    wide, high = (image.height, image.width) if orientation(image)[0] else (image.width, image.height)
    return wide / max(0.1, box[2] - box[0]), high / max(0.1, box[3] - box[1])


def _rgb(pixels: np.ndarray) -> np.ndarray:
    import numpy as np

    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _greyed(pixels: np.ndarray) -> np.ndarray:
    """Pixels without their colours where they have none."""
    import numpy as np

    if pixels.ndim == 2 or any(not np.array_equal(pixels[..., 0], pixels[..., n]) for n in (1, 2)):
        return pixels
    return np.ascontiguousarray(pixels[..., 0])


def _rendered(
    page: Any, box: Box, kind: Kind, objects: tuple[int, ...], images: Sequence[tuple[Placed, Box]]
) -> Picture:
    """A part of the page at 300 dpi, or at the resolution of its images where that is higher, cut to its ink."""
    import numpy as np
    import pymupdf

    wide = (box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2)
    box = intersection(wide, tuple(page.rect))
    scale = RENDERED_DPI / 72
    large = [(image, where) for image, where in images if area(where) > 0.05 * area(box)]
    scale = max([scale, *(max(_rough_scale(image)) for image, _ in large)])
    scale = min(scale, (MOST_RENDERED / max(1.0, area(box))) ** 0.5)
    pixmap = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), clip=pymupdf.Rect(box), alpha=False)
    rows = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)
    pixels = rows[:, : pixmap.width * pixmap.n].reshape(pixmap.height, pixmap.width, pixmap.n)
    x, y = pixmap.x / scale, pixmap.y / scale
    keep = [
        ((w[0] - x) * scale, (w[1] - y) * scale, (w[2] - x) * scale, (w[3] - y) * scale)
        for _, w in images
        if share_inside(w, box) > 0.9
    ]
    x0, y0, x1, y1 = _inked(pixels, keep)
    shown = (x + x0 / scale, y + y0 / scale, x + x1 / scale, y + y1 / scale)
    return Picture(_greyed(pixels[y0:y1, x0:x1]), shown, kind, objects)


def _rough_scale(image: Placed) -> tuple[float, float]:
    a, b, c, d, _, _ = image.matrix
    return image.width / max(0.1, (a * a + b * b) ** 0.5), image.height / max(0.1, (c * c + d * d) ** 0.5)


def _inked(pixels: np.ndarray, keep: Sequence[Box]) -> tuple[int, int, int, int]:
    """The pixel box of all ink and of all placed images; the whole where there is none."""
    import numpy as np

    ink = pixels.min(axis=2) < WHITE
    columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    height, width = ink.shape
    found = list(keep)
    if len(columns) and len(rows):
        found.append((float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)))
    if not found:
        return 0, 0, width, height
    x0, y0, x1, y1 = union(found)
    return max(0, int(x0)), max(0, int(y0)), min(width, int(-(-x1 // 1))), min(height, int(-(-y1 // 1)))
