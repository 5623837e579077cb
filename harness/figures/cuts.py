"""Where a picture could be cut: gutters and seams across it, each with what speaks for it.

A gutter is a run of lines of one colour. Its two sides are hard where the pictures beside it end abruptly along
much of their length (a printed edge), soft where they fade into it (a body on black ground). A seam is a line at
which grey levels jump along much of its length although nothing lies between: two pictures that touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HARD", "Cut", "cuts", "gutters", "margins"]

Grey = NDArray[np.float32]

FLAT = 14.0  # grey levels: JPEG noise around a uniform gutter stays below
PURE = 0.975  # share of a line that must have its colour: letters may reach into a gutter
STEP = 22.0  # grey levels of a jump that is no noise
HARD = 0.3  # share of a side; the apex of a round body touches a straight line along about a fifth
DARK = 30.0  # grey levels of black ground
PINCHED = 0.6  # share of a column that is black where two round fields touch
JUMP = 14.0  # the same between means over a stretch of a line
STRETCHES = 48  # of a line
NEAR = 6  # lines on each side that a seam must stand out of


@dataclass(frozen=True, slots=True)
class Cut:
    """Lines start to stop (not included) that may part two pictures; `stop == start` for a seam.

    `before` and `after` are the hard shares of the two sides, `jump` that of a seam above its surroundings,
    `colour` the grey level of a gutter.
    """

    start: int
    stop: int
    before: float
    after: float
    jump: float
    colour: float

    @property
    def middle(self) -> float:
        return (self.start + self.stop) / 2


def cuts(grey: Grey) -> tuple[Cut, ...]:
    """All places where columns of `grey` (height, width) may be parted, from left to right.

    For rows give the transposed picture.
    """
    if grey.shape[0] < 8 or grey.shape[1] < 8:
        return ()
    found = list(gutters(grey))
    runs = [(cut.start, cut.stop) for cut in found]
    found += _seams(grey, runs) + _pinches(grey, runs)
    return tuple(sorted(found, key=lambda cut: cut.middle))


def gutters(grey: Grey) -> tuple[Cut, ...]:
    """Only the runs of columns of one colour, those at the edges left out."""
    if min(grey.shape) < 2:
        return ()
    runs = [run for run in _runs(grey) if run[0] > 0 and run[1] < grey.shape[1]]
    return tuple(_gutter(grey, start, stop) for start, stop in runs)


def margins(grey: Grey) -> tuple[int, int, float, float]:
    """Columns of one colour at the left and at the right edge, and how hard the picture ends there.

    (left, right, hardness left, hardness right): the picture spans columns left to right, the right one not
    included. A picture of one colour only has no extent: (0, 0, 0, 0).
    """
    width = grey.shape[1]
    if min(grey.shape) < 2:
        return 0, 0, 0.0, 0.0
    left, right = 0, width
    for start, stop in _runs(grey):
        left = stop if start == 0 else left
        right = start if stop == width else right
    if left >= right:
        return 0, 0, 0.0, 0.0
    hard_left = _hardness(grey, left, float(grey[:, left - 1].mean()), 1) if left else 1.0
    hard_right = _hardness(grey, right - 1, float(grey[:, right].mean()), -1) if right < width else 1.0
    return left, right, hard_left, hard_right


def _runs(grey: Grey) -> list[tuple[int, int]]:
    """Runs of columns of one colour; a run ends where its colour changes."""
    means = _means(grey)
    flat = _means(np.abs(grey[:: grey.shape[0] // 64 + 1] - means) <= FLAT) >= PURE - 0.1
    candidates = np.flatnonzero(flat)  # few, by some of the rows: the others need not be looked at
    flat[candidates] = _means(np.abs(grey[:, candidates] - means[candidates]) <= FLAT) >= PURE
    same = flat[1:] & flat[:-1] & (np.abs(np.diff(means)) <= FLAT)
    runs, start = [], None
    for column, is_flat in enumerate(flat):
        if start is not None and not (is_flat and same[column - 1]):
            runs.append((start, column))
            start = None
        if is_flat and start is None:
            start = column
    if start is not None:
        runs.append((start, len(flat)))
    return runs


def _means(values: NDArray[Any]) -> Grey:
    """Means of columns; as a product with a vector they take a third of the time."""
    height = values.shape[0]
    return np.asarray(np.full(height, 1 / height, np.float32) @ values.astype(np.float32, copy=False))


def _gutter(grey: Grey, start: int, stop: int) -> Cut:
    colour = float(grey[:, start:stop].mean())
    before = _hardness(grey, start - 1, colour, -1)
    after = _hardness(grey, stop, colour, 1)
    return Cut(start, stop, before, after, 0.0, colour)


def _hardness(grey: Grey, column: int, colour: float, direction: int) -> float:
    """Share of the rows that leave the gutter's colour within three columns of it."""
    last = column + 2 * direction
    low, high = max(min(column, last), 0), min(max(column, last) + 1, grey.shape[1])
    return float((np.abs(grey[:, low:high] - colour) > STEP).any(axis=1).mean())


def _seams(grey: Grey, runs: list[tuple[int, int]]) -> list[Cut]:
    """Lines along which means over short stretches jump: texture and noise average out, an edge does not."""
    stretches = _stretches(grey)
    share = _means(np.abs(stretches[:, 3:] - stretches[:, :-3]) > JUMP)
    share = np.convolve(share, np.full(3, 1 / 3), "same")[1:-1].astype(np.float32)
    above = share - _surroundings(share)
    taken = np.zeros(len(above), bool)
    for start, stop in runs:
        taken[max(start - 4, 0) : stop + 3] = True
    found = []
    for place in np.argsort(-above, kind="stable")[:24]:
        if above[place] < 0.06:
            break
        if not taken[place] and 4 <= place < len(above) - 4:
            found.append(Cut(int(place) + 3, int(place) + 3, 0.0, 0.0, float(above[place]), 0.0))
        taken[max(place - 5, 0) : place + 6] = True
    return found


def _pinches(grey: Grey, runs: list[tuple[int, int]]) -> list[Cut]:
    """Where round fields of view on black ground touch: columns nearly black, and blacker than those around."""
    size = grey.shape[1]
    dark = _means(grey < DARK)
    reach = max(4, size // 30)
    padded = np.pad(dark, reach, mode="edge")
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    rise = dark - np.maximum(padded[: -2 * reach], padded[2 * reach :])
    found: list[Cut] = []
    for place in np.flatnonzero((dark >= PINCHED) & (dark == highest) & (rise >= 0.1)):
        near = any(start - reach <= place <= stop + reach for start, stop in runs)
        if not near and not (found and place - found[-1].stop < reach):
            found.append(Cut(int(place), int(place) + 1, 0.0, 0.0, 0.0, 0.0))
    return found


def _stretches(grey: Grey) -> Grey:
    length = max(2, grey.shape[0] // STRETCHES)
    whole = grey.shape[0] // length * length
    rows = grey[:whole].reshape(-1, length, grey.shape[1])
    return np.asarray(np.full(length, 1 / length, np.float32) @ rows)


def _surroundings(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """The higher of the mean shares just before and just after each line: slanting edges rise slowly, seams do not."""
    padded = np.pad(share, 4 + NEAR, mode="edge")
    sums = np.cumsum(np.concatenate([[0.0], padded.astype(np.float64)]))
    means = (sums[NEAR:] - sums[:-NEAR]) / NEAR
    before, after = means[: len(share)], means[NEAR + 8 - NEAR + NEAR + 1 - 1 :][: len(share)]
    return np.asarray(np.maximum(before, after), np.float32)
