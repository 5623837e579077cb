"""The insides of the lungs: parenchyma, branching vessels, bronchi and fissures."""

from __future__ import annotations

import numpy as np

from harness.data.phantom.anatomy import AIR_HU, HILUM_LEVEL, LUNG_HEIGHT_MM, SIDES, Body, Chest
from harness.data.phantom.draws import Draws
from harness.data.phantom.fields import noise, rods

__all__ = ["draw_airways", "draw_vessels", "parenchyma"]

HILUM = (36.0, 3.0)
"""Where the left lung's vessels come from, at `HILUM_LEVEL`; the right one's mirrored."""

BRONCHI = 14
VESSEL_MM2 = 340.0
"""Area of lung for each vessel that is drawn."""

SLAB_MM = 4.5
"""How much of a slanting vessel a slice shows; thick slices show more."""

VESSEL_HU = 35.0

Rods = tuple[np.ndarray, np.ndarray]
"""Ends (N, 4) and radii (N, 2), as `fields.rods` draws them."""


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
    line = np.maximum(1.0 - np.abs(away) / draws.uniform(0.9, 2.2), 0.0) * (side * x > 0)
    hu += draws.uniform(20, 110) * line


def draw_vessels(hu: np.ndarray, here: Chest, draws: Draws) -> None:
    """Draw arteries and veins into the lungs, in place: streaks near the hilum's level, dots far from it."""
    start_N2, depth_N = _seeds(here, draws)
    branches, trunks = _vessels(start_N2, depth_N, here.level, draws), _hilar_vessels(here.level, draws)
    hu += rods(here.grid, *_joined(branches, trunks)) * (VESSEL_HU - hu)


def _seeds(here: Chest, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Return points in the lungs (N, 2) and their depth below the pleura, mm (N,)."""
    inside = np.flatnonzero((here.lungs > 3.0) & (here.air > 0.9))
    wanted = int(len(inside) * here.grid.pixel_mm[0] * here.grid.pixel_mm[1] / VESSEL_MM2)
    chosen = inside[(draws.units(wanted) * len(inside)).astype(np.intp)]
    x, y = (axis.reshape(-1)[chosen] for axis in here.grid.coordinates())
    return np.stack([x, y], axis=1), here.lungs.reshape(-1)[chosen]


def _vessels(start_N2: np.ndarray, depth_N: np.ndarray, level: float, draws: Draws) -> Rods:
    """Return the sections of N vessels that come from the hila, and the forks at their ends."""
    u_N5 = draws.units(len(depth_N), 5)
    radial_N2, far_N = _from_hilum(start_N2)
    above_N = (level - HILUM_LEVEL) * LUNG_HEIGHT_MM + 150 * (u_N5[:, 0] - 0.5)
    slant_N = far_N / np.maximum(np.abs(above_N), 4.0)
    length_N = np.minimum(SLAB_MM * slant_N, np.minimum(0.6 * depth_N + 2, 17.0)) * (0.25 + 0.95 * u_N5[:, 1])
    wide_N = np.minimum(depth_N, 45.0) / 45.0 * (1 - np.minimum(far_N, 120.0) / 180.0)
    radius_N = (0.25 + 1.8 * wide_N) * (0.6 + 0.9 * u_N5[:, 2])
    along_N2 = length_N[:, None] * _turned(radial_N2, 1.2 * (u_N5[:, 3] - 0.5))
    trunks = _straight(start_N2, along_N2, radius_N, 0.75 * radius_N)
    forked = np.flatnonzero(length_N > 8)
    start, along, radius = (start_N2 + along_N2)[forked], along_N2[forked], radius_N[forked]
    turn = 0.35 + 0.4 * u_N5[forked, 4]
    return _joined(
        trunks,
        _straight(start, 0.65 * _turned(along, turn), 0.68 * radius, 0.4 * radius),
        _straight(start, 0.5 * _turned(along, -0.5 * turn), 0.68 * radius, 0.4 * radius),
    )


def _straight(start_N2: np.ndarray, along_N2: np.ndarray, first_N: np.ndarray, last_N: np.ndarray) -> Rods:
    return np.concatenate([start_N2, start_N2 + along_N2], axis=1), np.stack([first_N, last_N], axis=1)


def _joined(*sections: Rods) -> Rods:
    ends, radii = zip(*sections, strict=True)
    return np.concatenate(ends), np.concatenate(radii)


def _hilar_vessels(level: float, draws: Draws) -> Rods:
    """Return the few thick trunks that leave the hila near their level, each in three pieces."""
    off = abs(level - HILUM_LEVEL)
    pieces: list[tuple[float, ...]] = []
    for side in SIDES:
        for _ in range(draws.integer(2, 4) if off < 0.2 else 0):
            pieces += _trunk(side, draws.uniform(2.8, 5.0) * (1 - 3 * off), draws)
    table = np.array(pieces).reshape(-1, 6)
    return table[:, :4], table[:, 4:]


def _trunk(side: int, radius: float, draws: Draws) -> list[tuple[float, ...]]:
    """Return x0, y0, x1, y1 and the radii of three pieces of a bent and tapering vessel."""
    dx, dy = draws.direction()
    dx = side * abs(dx)
    x, y = side * HILUM[0], HILUM[1] + draws.uniform(-14, 14)
    pieces: list[tuple[float, ...]] = []
    for _ in range(3):
        bent, step = draws.uniform(-0.4, 0.4), draws.uniform(8, 17)
        dx, dy = dx - bent * dy, dy + bent * dx
        pieces.append((x, y, x + step * dx, y + step * dy, radius, 0.68 * radius))
        x, y, radius = x + step * dx, y + step * dy, 0.68 * radius
    return pieces


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
    below = abs(here.level - HILUM_LEVEL)
    lumen_N = np.maximum(3.4 - far_N / 26.0 - 4.0 * below, 0.9) * (0.8 + 0.4 * draws.units(len(chosen)))
    beside_N2 = (2 * lumen_N + 1.6)[:, None] * np.array([draws.direction() for _ in chosen]).reshape(-1, 2)
    for shift, radius_N, value in (
        (0.0, lumen_N + 1.1, -250.0),
        (0.0, lumen_N, AIR_HU + 20),
        (1.0, 1.15 * lumen_N, VESSEL_HU),
    ):
        dots = _straight(centre_N2 + shift * beside_N2, 0.0 * beside_N2, radius_N, radius_N)
        hu += rods(here.grid, *dots) * (value - hu)
