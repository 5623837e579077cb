"""What the scanner and the picture's maker do to a slice; drawn without a look at the patient's class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.data.phantom.draws import Draws
from harness.data.phantom.fields import Grid, blurred, coverage

__all__ = ["Scan"]


@dataclass(frozen=True)
class Scan:
    """The settings of one patient's scan: picture in pixels, field of view in mm, grey window in HU."""

    width_px: int
    height_px: int
    view_mm: float
    centre_mm: tuple[float, float]
    level_hu: float
    window_hu: float
    noise_hu: float
    smoothing: float
    passes: int
    streaks: float
    motion_mm: float
    table_mm: float | None
    round_view: bool

    @classmethod
    def drawn(cls, draws: Draws, breadth_mm: float) -> Scan:
        """Return settings for a body `breadth_mm` wide."""
        cropped = draws.chance(0.75)
        width = draws.integer(160, 256)
        aspect = draws.uniform(0.66, 0.82) if cropped else draws.uniform(0.8, 1.0)
        return cls(
            width_px=width,
            height_px=min(max(int(width * aspect), 128), 256),
            view_mm=breadth_mm * (draws.uniform(0.73, 0.92) if cropped else draws.uniform(0.98, 1.12)),
            centre_mm=(draws.uniform(-8, 8), draws.uniform(-6, 14)),
            level_hu=draws.uniform(-660, -520),
            window_hu=draws.uniform(1150, 1650),
            noise_hu=draws.uniform(15, 55),
            smoothing=draws.uniform(-0.06, 0.16),
            passes=draws.integer(1, 2),
            streaks=draws.uniform(0, 1),
            motion_mm=draws.uniform(1.5, 5) if draws.chance(0.08) else 0.0,
            table_mm=draws.uniform(8, 24) if draws.chance(0.75) else None,
            round_view=not cropped and draws.chance(0.5),
        )

    def grid(self, size: float, depth: float, turn: tuple[float, float], shift: tuple[float, float]) -> Grid:
        """Return the grid in the coordinates of a body of that size and depth."""
        across = self.view_mm / self.width_px / size
        centre = (self.centre_mm[0] + shift[0], self.centre_mm[1] + shift[1])
        return Grid(self.height_px, self.width_px, (across, across / depth), centre, turn)

    def picture(self, hu: np.ndarray, level: float, draws: Draws) -> np.ndarray:
        """Return the uint8 picture (H, W) of a slice in HU (H, W)."""
        if self.motion_mm:
            hu = _doubled(hu, max(round(self.motion_mm * self.width_px / self.view_mm), 1))
        hu = blurred(blurred(hu, 0.12) + self._quanta(hu.shape, level, draws), self.smoothing, self.passes)
        if self.round_view:
            hu = _cut_round(hu)
        low = self.level_hu - self.window_hu / 2
        grey = np.minimum(np.maximum((hu - low) / self.window_hu, 0.0), 1.0)
        return np.floor(grey * 255.0 + 0.5).astype(np.uint8)

    def _quanta(self, shape: tuple[int, ...], level: float, draws: Draws) -> np.ndarray:
        """Return noise in HU (H, W): band-limited as back-projection makes it, streaky at the shoulders."""
        white = draws.normals(*shape).astype(np.float32)
        grain = blurred(white, 0.1) - 0.6 * blurred(white, 0.25, 2)
        shoulders = self.streaks * max(1.0 - level / 0.35, 0.15)
        rows = draws.normals(shape[0], shape[1] // 16 + 2).astype(np.float32)
        grain += 0.5 * shoulders * np.repeat(rows, 16, axis=1)[:, : shape[1]]
        v, u = (((2 * np.arange(n) + 1) / n - 1).astype(np.float32) for n in shape)
        return self.noise_hu * (1.3 - 0.6 * np.minimum(v[:, None] * v[:, None] + u * u, 1.0)) * grain


def _doubled(hu: np.ndarray, step: int) -> np.ndarray:
    """Return the slice with the ghost that a breath leaves."""
    ghost = np.pad(hu, [(step, 0), (0, 0)], mode="edge")[: hu.shape[0]]
    return 0.62 * hu + 0.38 * ghost


def _cut_round(hu: np.ndarray) -> np.ndarray:
    """Return the slice inside the circle that was reconstructed, nothing outside."""
    height, width = hu.shape
    v, u = (np.arange(height) - (height - 1) / 2)[:, None], (np.arange(width) - (width - 1) / 2)[None, :]
    inside = coverage((0.5 * width - np.sqrt(u * u + v * v)).astype(np.float32), 1.0)
    return hu * inside - 3000.0 * (1.0 - inside)
