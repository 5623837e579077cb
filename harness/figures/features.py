"""Numbers that tell kinds of pictures apart: tones, edges, colours, symmetry, and a small view of the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["COUNT", "features"]

SIDE = 96  # pixels of the square that edges are measured on
VIEW = 12  # pixels of the square that the model sees as it is
LEVELS = 16  # of grey

GRAIN = 6  # cells of a side that fine structure is counted in

COUNT = 33 + LEVELS + 2 * 8 + VIEW * VIEW + GRAIN * GRAIN


def features(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features of one picture (uint8, grey or RGB): float32, (COUNT,), each about -3 to 3."""
    picture = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    colour = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    grey, view = _small(picture, SIDE), _small(picture, VIEW)
    shape = np.log(picture.width / picture.height)
    parts = [_tones(grey), _edges(grey), _colours(colour), _symmetry(grey), _rings(grey), np.array([shape])]
    clear = _stretched(grey)
    parts += [_edges(clear), _symmetry(clear), _rings(clear), _quantiles(clear), _grain(clear)]
    levels = np.histogram(grey, bins=LEVELS, range=(0, 1))[0] / grey.size
    normal = (view - view.mean()) / (view.std() + 0.05)
    return np.concatenate([*parts, np.sqrt(levels), normal.ravel()]).astype(np.float32)


def _small(picture: Image.Image, side: int) -> NDArray[np.float32]:
    small = picture.convert("L").resize((side, side), Image.Resampling.BOX)
    return np.asarray(np.asarray(small, np.float32) / 255, np.float32)


def _stretched(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The greys spread from 0 to 1, so that a picture of little contrast looks like any other."""
    low, high = np.quantile(grey, [0.02, 0.98])
    return np.asarray(np.clip((grey - low) / max(high - low, 0.02), 0, 1), np.float32)


def _quantiles(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.quantile(grey, [0.25, 0.75]))


def _grain(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much fine structure each cell of a grid holds: what a pixel differs from those around it."""
    around = (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]) / 4
    fine = np.abs(grey[1:-1, 1:-1] - around)
    side = fine.shape[0] // GRAIN
    cells = fine[: side * GRAIN, : side * GRAIN].reshape(GRAIN, side, GRAIN, side)
    return np.asarray(np.sqrt(cells.mean(axis=(1, 3))).ravel() * 3)


def _tones(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    fine = np.sort(np.histogram(grey, bins=32, range=(0, 1))[0])[::-1] / grey.size
    return np.array(
        [grey.mean(), grey.std(), fine[0], fine[:2].sum(), (grey > 0.95).mean(), (grey < 0.05).mean()]
    )


def _edges(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    across, down = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))
    both = np.maximum(across[:-1], down[:, :-1])
    straight = max(across.mean(axis=0).max(), 1e-6), max(down.mean(axis=1).max(), 1e-6)
    return np.array(
        [
            across.mean() * 10,
            down.mean() * 10,
            (both > 0.2).mean(),
            ((both > 0.01) & (both < 0.1)).mean(),
            (both < 0.004).mean(),
            straight[0] * 3,
            straight[1] * 3,
            np.log((across.mean() + 1e-4) / (down.mean() + 1e-4)),
        ]
    )


def _colours(colour: NDArray[np.float32]) -> NDArray[np.float64]:
    saturation = (colour.max(axis=2) - colour.min(axis=2)) / 255
    return np.array([saturation.mean() * 3, (saturation > 0.12).mean()])


def _symmetry(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """How like its mirror images a picture is, and whether its borders are darker than its middle."""
    middle = grey[24:72, 24:72].mean()
    return np.array([_likeness(grey, grey[:, ::-1]), _likeness(grey, grey[::-1]), middle - grey[:8].mean()])


def _likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (np.sqrt((a * a).sum() * (b * b).sum()) + 1e-6))


def _rings(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean grey of eight rings around the middle: bodies and fields of view are round."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    number = np.minimum((np.hypot(x, y) * 7).astype(int), 7)
    return np.asarray(np.bincount(number.ravel(), grey.ravel(), 8) / np.bincount(number.ravel(), minlength=8))
