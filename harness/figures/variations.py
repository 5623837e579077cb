"""A picture as papers may print it: parts, windows, negatives, colours laid over it, letters, screens, poor JPEG.

What the model of CT is trained on is changed in these ways at random, CT and everything else alike where it makes
sense, so that a colour or a letter tells nothing about what lies under it.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["varied"]

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]


def varied(picture: Pixels, random: np.random.Generator, *, medical: bool = False) -> Pixels:
    """The picture changed at random: uint8, RGB. `medical` adds the changes that only slices undergo."""
    picture = np.asarray(Image.fromarray(picture).convert("RGB"))
    changes = [*ALL, *SLICES] if medical else ALL
    for chance, change in sorted(changes, key=lambda pair: ORDER.index(pair[1])):
        if random.random() < chance:
            picture = change(picture, random)
    return picture


def _part(picture: Pixels, random: np.random.Generator) -> Pixels:
    return _cut(picture, random, random.uniform(0.3, 1.0))


def _detail(picture: Pixels, random: np.random.Generator) -> Pixels:
    """A small part of a slice, enlarged: papers magnify lesions."""
    part = _cut(picture, random, random.uniform(0.15, 0.35))
    side = int(random.integers(100, 300))
    return np.asarray(Image.fromarray(part).resize((side, side * part.shape[0] // part.shape[1] + 1)))


def _cut(picture: Pixels, random: np.random.Generator, share: float) -> Pixels:
    height, width = picture.shape[:2]
    high, wide = max(int(height * share), 16), max(int(width * share * random.uniform(0.8, 1.25)), 16)
    high, wide = min(high, height), min(wide, width)
    top, left = int(random.integers(height - high + 1)), int(random.integers(width - wide + 1))
    return picture[top : top + high, left : left + wide]


def _window(picture: Pixels, random: np.random.Generator) -> Pixels:
    """What is left of a lung window when soft tissue is spread over all greys: lungs turn black."""
    low = np.quantile(picture, random.uniform(0.35, 0.65))
    high = max(float(np.quantile(picture, random.uniform(0.95, 1.0))), low + 8)
    spread = np.clip((picture - low) / (high - low), 0, 1) * random.uniform(0.6, 1.0)
    grain = random.normal(scale=random.uniform(0, 0.05), size=picture.shape[:2])[..., None]
    return np.asarray(np.clip(spread + grain * (spread > 0), 0, 1) * 255, np.uint8)


def _brightness(picture: Pixels, random: np.random.Generator) -> Pixels:
    return np.asarray((picture / 255.0) ** random.uniform(0.6, 1.6) * 255, np.uint8)


def _negative(picture: Pixels, _: np.random.Generator) -> Pixels:
    return 255 - picture


def _noise_field(shape: tuple[int, int], random: np.random.Generator, grain: int) -> NDArray[np.float64]:
    """Smooth noise in 0 to 1; `grain` is about how many hills lie along a side."""
    coarse = Image.fromarray(random.random((grain, grain)).astype(np.float32))
    field = np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float64)
    return (field - field.min()) / max(float(np.ptp(field)), 1e-9)


def _segmented(picture: Pixels, random: np.random.Generator) -> Pixels:
    """Areas under one or two colours, as segmentations are shown."""
    mixed = picture.astype(np.float64)
    for _ in range(int(random.integers(1, 3))):
        field = _noise_field((picture.shape[0], picture.shape[1]), random, int(random.integers(4, 24)))
        area = field > np.quantile(field, random.uniform(0.7, 0.97))
        colour = random.choice([0.0, 128.0, 255.0], size=3)
        share = random.uniform(0.3, 0.9)
        mixed[area] = mixed[area] * (1 - share) + colour * share
    return np.asarray(mixed, np.uint8)


def _heated(picture: Pixels, random: np.random.Generator) -> Pixels:
    """Under the colours of a heat map, from blue over green to red."""
    heat = _noise_field((picture.shape[0], picture.shape[1]), random, int(random.integers(3, 9)))[..., None]
    colours = np.clip(1.5 - np.abs(4 * heat - np.array([3.0, 2.0, 1.0])), 0, 1) * 255
    share = random.uniform(0.2, 0.55)
    return np.asarray(picture * (1 - share) + colours * share, np.uint8)


def _flat(picture: Pixels, random: np.random.Generator) -> Pixels:
    """Of little contrast, around any grey."""
    middle = random.uniform(60, 200)
    dull = middle + (picture - picture.mean()) * random.uniform(0.2, 0.6)
    return np.asarray(np.clip(dull, 0, 255), np.uint8)


def _jpeg(picture: Pixels, random: np.random.Generator) -> Pixels:
    kept = io.BytesIO()
    Image.fromarray(picture).save(kept, "JPEG", quality=int(random.integers(12, 60)))
    return np.asarray(Image.open(kept).convert("RGB"))


def _round(picture: Pixels, random: np.random.Generator) -> Pixels:
    """The round field of view on white."""
    y, x = np.mgrid[-1 : 1 : picture.shape[0] * 1j, -1 : 1 : picture.shape[1] * 1j]
    white = np.hypot(x, y)[..., None] > random.uniform(0.95, 1.1)
    return np.where(white, np.uint8(255), picture)


def _screen(picture: Pixels, random: np.random.Generator) -> Pixels:
    """On the black screen of a viewer, with what it prints in the corners."""
    height, width = picture.shape[:2]
    wide, high = (int(n * random.uniform(1.0, 1.35)) for n in (width, height))
    screen = Image.new("RGB", (wide, high))
    screen.paste(Image.fromarray(picture), ((wide - width) // 2, (high - height) // 2))
    draw = ImageDraw.Draw(screen)
    size = max(high // int(random.integers(20, 40)), 6)
    font = ImageFont.load_default(size)
    colour = tuple(int(v) for v in random.choice([120, 255], size=3))
    for number in range(int(random.integers(2, 8))):
        for left in (3, int(wide * 0.68)):
            line = f"Im {random.integers(999)} W {random.integers(999)}"
            draw.text((left, 3 + number * int(size * 1.2)), line, fill=colour, font=font)
    return np.asarray(screen)


def _marked(picture: Pixels, random: np.random.Generator) -> Pixels:
    """With a letter in a box and an arrow, each in some of the cases."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    side = max(min(image.size) // 8, 6)
    if random.random() < 0.6:
        draw.rectangle((0, 0, side, side), fill=(255, 255, 255))
        draw.text((side // 3, side // 4), "A", fill=tuple(int(v) for v in random.integers(0, 120, size=3)))
    for _ in range(int(random.integers(0, 4))):
        x, y = (int(random.integers(0, n)) for n in image.size)
        colour = tuple(int(v) for v in random.choice([0, 255], size=3))
        draw.line((x, y, x + side, y + side), fill=colour, width=max(side // 5, 1))
    return np.asarray(image)


def _tinted(picture: Pixels, random: np.random.Generator) -> Pixels:
    """With coloured noise as JPEG leaves it."""
    noise = random.normal(scale=random.uniform(0.3, 2.5), size=(1, 1, 3))
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


ORDER: list[Change] = [
    _window, _part, _detail, _brightness, _negative, _round, _segmented, _heated, _flat, _screen, _marked,
    _tinted, _jpeg,
]  # fmt: skip
"""What comes first: the scanner, then who cuts and colours, then the viewer, the printer and the file."""

ALL: list[tuple[float, Change]] = [
    (0.5, _part), (0.3, _brightness), (0.05, _negative), (0.1, _segmented), (0.1, _heated), (0.12, _flat),
    (0.1, _screen), (0.15, _jpeg),
]  # fmt: skip
SLICES: list[tuple[float, Change]] = [
    (0.18, _window), (0.16, _detail), (0.05, _round), (0.4, _marked), (0.5, _tinted),
]  # fmt: skip
"""How often each change is made."""
