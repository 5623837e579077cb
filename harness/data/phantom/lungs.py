"""The insides of the lungs: parenchyma, branching vessels, bronchi and fissures."""

from __future__ import annotations

import math

import numpy as np

from harness.data.phantom.anatomy import AIR_HU, HILUM_LEVEL, LUNG_HEIGHT_MM, SIDES, Body, Chest
from harness.data.phantom.draws import Draws
from harness.data.phantom.fields import noise, rods

__all__ = ["draw_airways", "draw_vessels", "parenchyma"]

HILUM = (36.0, 3.0)
"""Where the left lung's vessels come from, at `HILUM_LEVEL`; the right one's mirrored."""

VESSEL_MM2 = 320.0
"""Area of lung for each vessel that is drawn."""

SLAB_MM = 4.5
"""How much of a slanting vessel a slice shows; thick slices show more."""

VESSEL_HU = 35.0
BRONCHI = 14


def parenchyma(body: Body, here: Chest, draws: Draws) -> np.ndarray:
    """Return HU (H, W) of lung tissue without vessels: denser to the back, mottled, with faint fissures."""
    x, y = here.grid.coordinates()
    hu = body.lung_hu + body.gravity_hu * (0.3 + y / 130.0)
    hu += 14.0 * noise(draws, here.grid, 26.0) + 20.0 * noise(draws, here.grid, 5.0)
    for side in SIDES:
        _fissure(hu, here, x, y, side, draws)
    return hu


def _fissure(hu: np.ndarray, here: Chest, x: np.ndarray, y: np.ndarray, side: int, draws: Draws) -> None:
    """Draw the oblique fissure, which runs from the back above to the front below."""
    back = 70 - 120 * here.level + draws.uniform(-12, 12)
    slope, bend = draws.uniform(-0.3, 0.15), draws.uniform(-0.004, 0.004)
    across = side * x - 60
    away = y - back - slope * across - bend * across * across
    line = np.maximum(1.0 - np.maximum(away, -away) / draws.uniform(0.9, 2.2), 0.0) * (side * x > 0)
    hu += draws.uniform(20, 110) * line


def draw_vessels(hu: np.ndarray, here: Chest, draws: Draws) -> None:
    """Draw arteries and veins into the lungs, in place: streaks near the hilum's level, dots far from it."""
    start_N2, depth_N = _seeds(here, draws)
    sections = _vessels(start_N2, depth_N, here.level, draws), _hilar_vessels(here.level, draws)
    ends, radii = (np.concatenate(parts) for parts in zip(*sections, strict=True))
    hu += rods(here.grid, ends, radii) * (VESSEL_HU - hu)


def _seeds(here: Chest, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Return points in the lungs (N, 2) and their depth below the pleura, mm (N,)."""
    inside = np.flatnonzero((here.lungs > 3.0) & (here.air > 0.9))
    wanted = int(len(inside) * here.grid.pixel_mm[0] * here.grid.pixel_mm[1] / VESSEL_MM2)
    chosen = inside[(draws.units(wanted) * len(inside)).astype(np.intp)]
    x, y = (axis.reshape(-1)[chosen] for axis in here.grid.coordinates())
    return np.stack([x, y], axis=1), here.lungs.reshape(-1)[chosen]


def _vessels(
    start_N2: np.ndarray, depth_N: np.ndarray, level: float, draws: Draws
) -> tuple[np.ndarray, np.ndarray]:
    """Return ends (M, 4) and radii (M, 2) of N vessels and the forks at their ends."""
    u_N5 = draws.units(len(depth_N), 5)
    radial_N2, far_N = _from_hilum(start_N2)
    above_N = (level - HILUM_LEVEL) * LUNG_HEIGHT_MM + 150 * (u_N5[:, 0] - 0.5)
    slant_N = far_N / np.maximum(np.sqrt(above_N * above_N), 4.0)
    length_N = np.minimum(SLAB_MM * slant_N, np.minimum(0.6 * depth_N + 2, 20.0)) * (0.25 + 0.95 * u_N5[:, 1])
    wide_N = np.minimum(depth_N, 45.0) / 45.0 * (1 - np.minimum(far_N, 120.0) / 180.0)
    radius_N = (0.3 + 2.1 * wide_N) * (0.6 + 0.9 * u_N5[:, 2])
    along_N2 = _turned(radial_N2, 1.2 * (u_N5[:, 3] - 0.5))
    end_N2 = start_N2 + length_N[:, None] * along_N2
    ends, radii = [np.concatenate([start_N2, end_N2], axis=1)], [np.stack([radius_N, 0.75 * radius_N], axis=1)]
    forked = np.flatnonzero(length_N > 8)
    fork = 0.35 + 0.4 * u_N5[forked, 4]
    for turn, share in ((fork, 0.65), (-0.5 * fork, 0.5)):
        tip = end_N2[forked] + (share * length_N[forked])[:, None] * _turned(along_N2[forked], turn)
        ends.append(np.concatenate([end_N2[forked], tip], axis=1))
        radii.append(np.stack([0.68 * radius_N[forked], 0.4 * radius_N[forked]], axis=1))
    return np.concatenate(ends), np.concatenate(radii)


def _hilar_vessels(level: float, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Return ends (M, 4) and radii (M, 2) of the few thick trunks that leave the hila near their level."""
    off = max(level - HILUM_LEVEL, HILUM_LEVEL - level)
    ends, radii = [], []
    for side in SIDES:
        for _ in range(draws.integer(2, 4) if off < 0.2 else 0):
            dx, dy = draws.direction()
            dx = side * math.sqrt(dx * dx)
            wide = draws.uniform(2.8, 5.0) * (1 - 3 * off)
            x, y = side * HILUM[0], HILUM[1] + draws.uniform(-14, 14)
            for _ in range(3):
                bent, step = draws.uniform(-0.4, 0.4), draws.uniform(8, 17)
                dx, dy = dx - bent * dy, dy + bent * dx
                ends.append([x, y, x + step * dx, y + step * dy])
                radii.append([wide, 0.68 * wide])
                x, y, wide = x + step * dx, y + step * dy, 0.68 * wide
    return np.array(ends).reshape(-1, 4), np.array(radii).reshape(-1, 2)


def _from_hilum(points_N2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors from each point's hilum (N, 2), and the distances, mm (N,)."""
    side = np.where(points_N2[:, 0] > 0, 1.0, -1.0)
    x, y = points_N2[:, 0] - side * HILUM[0], points_N2[:, 1] - HILUM[1]
    far = np.maximum(np.sqrt(x * x + y * y), 1.0)
    return np.stack([x / far, y / far], axis=1), far


def _turned(along_N2: np.ndarray, tangent_N: np.ndarray) -> np.ndarray:
    """Return the vectors turned by an angle of that tangent, a little longer."""
    x, y = along_N2[:, 0], along_N2[:, 1]
    return np.stack([x - tangent_N * y, y + tangent_N * x], axis=1)


def draw_airways(hu: np.ndarray, here: Chest, draws: Draws) -> None:
    """Draw bronchi with the artery beside them, in place: rings, finer the farther from the hilum."""
    inside = np.flatnonzero(here.lungs > 12.0)
    chosen = inside[(draws.units(BRONCHI if len(inside) else 0) * len(inside)).astype(np.intp)]
    centre_N2 = np.stack([axis.reshape(-1)[chosen] for axis in here.grid.coordinates()], axis=1)
    _, far_N = _from_hilum(centre_N2)
    below = max(here.level - HILUM_LEVEL, HILUM_LEVEL - here.level)
    lumen_N = np.maximum(3.4 - far_N / 26.0 - 4.0 * below, 0.9) * (0.8 + 0.4 * draws.units(len(chosen)))
    beside_N2 = (2 * lumen_N + 1.6)[:, None] * np.array([draws.direction() for _ in chosen]).reshape(-1, 2)
    for shift, radius_N, value in (
        (0.0, lumen_N + 1.1, -250.0),
        (0.0, lumen_N, AIR_HU + 20),
        (1.0, 1.15 * lumen_N, VESSEL_HU),
    ):
        point = centre_N2 + shift * beside_N2
        ends, radii = np.concatenate([point, point], axis=1), np.stack([radius_N, radius_N], axis=1)
        hu += rods(here.grid, ends, radii) * (value - hu)
