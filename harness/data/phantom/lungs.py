"""The insides of the lungs: parenchyma, branching vessels, bronchi and fissures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.data.phantom.anatomy import AIR_HU, HILUM_LEVEL, LUNG_HEIGHT_MM, SIDES, Body, Chest, lung
from harness.data.phantom.draws import Draws
from harness.data.phantom.fields import capsule, coverage, noise

__all__ = ["draw_airways", "draw_vessels", "parenchyma"]

HILUM = (34.0, 3.0)
"""Where the left lung's vessels come from, at `HILUM_LEVEL`; the right one's mirrored."""

SPACING_MM = 9.0
SLAB_MM = 9.0
"""How much of a slanting vessel a slice shows; thick slices show more."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Twig:
    """A piece of a vessel in the slice: where it starts and ends, mm, and its radii there."""

    start: Point
    end: Point
    radii: tuple[float, float]


def parenchyma(body: Body, here: Chest, draws: Draws) -> np.ndarray:
    """Return HU (H, W) of lung tissue without vessels: denser to the back, mottled, with faint fissures."""
    x, y = here.grid.coordinates()
    hu = body.lung_hu + body.gravity_hu * (0.3 + y / 130.0)
    hu += 14.0 * noise(draws, x, y, 26.0) + 20.0 * noise(draws, x, y, 5.0)
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


def draw_vessels(hu: np.ndarray, here: Chest, body: Body, draws: Draws) -> None:
    """Draw arteries and veins into the lungs, in place: streaks near the hilum's level, dots far from it."""
    for twig in _twigs(here, draws):
        _draw_rod(hu, here, twig, 35.0)


def _twigs(here: Chest, draws: Draws) -> list[Twig]:
    """Return one vessel, with its fork, for about every other cell of a jittered lattice over the lungs."""
    twigs: list[Twig] = []
    for x, y, depth in _seeds(here, draws):
        twigs += _vessel(x, y, depth, here.level, draws)
    return twigs


def _seeds(here: Chest, draws: Draws) -> list[tuple[float, float, float]]:
    """Return points in the lungs and their depth below the pleura, mm."""
    x, y = here.grid.coordinates()
    inside = np.argwhere((here.lungs > 3.0) & (here.air > 0.9))
    area_mm2 = len(inside) * here.grid.pixel_mm[0] * here.grid.pixel_mm[1]
    wanted = int(area_mm2 / (SPACING_MM * SPACING_MM) * 0.62)
    if not wanted:
        return []
    chosen = inside[(draws.units(wanted) * len(inside)).astype(np.intp)]
    return [(float(x[r, c]), float(y[r, c]), float(here.lungs[r, c])) for r, c in chosen]


def _vessel(x: float, y: float, depth: float, level: float, draws: Draws) -> list[Twig]:
    side = 1 if x > 0 else -1
    rx, ry = x - side * HILUM[0], y - HILUM[1]
    radial = max(math.sqrt(rx * rx + ry * ry), 1.0)
    above = (level - HILUM_LEVEL) * LUNG_HEIGHT_MM + draws.uniform(-35, 35)
    in_plane = radial / math.sqrt(radial * radial + above * above)
    radius = (0.5 + 1.9 * min(depth, 45.0) / 45.0 * (1 - min(radial, 120.0) / 190.0)) * draws.uniform(0.6, 1.5)
    length = min(SLAB_MM * in_plane / (1.02 - in_plane), 0.8 * depth + 5, 34.0) * draws.uniform(0.5, 1.2)
    bent = draws.uniform(-0.5, 0.5)
    dx, dy = rx / radial - bent * ry / radial, ry / radial + bent * rx / radial
    end = (x + length * dx, y + length * dy)
    trunk = Twig((x, y), end, (radius, 0.72 * radius))
    if length < 9:
        return [trunk]
    fork = draws.uniform(0.35, 0.75) * (1 if draws.chance(0.5) else -1)
    return [trunk, *(_branch(end, (dx, dy), sign * fork, 0.6 * length, 0.66 * radius) for sign in (1, -0.5))]


def _branch(start: Point, along: Point, turn: float, length: float, radius: float) -> Twig:
    dx, dy = along[0] - turn * along[1], along[1] + turn * along[0]
    return Twig(start, (start[0] + length * dx, start[1] + length * dy), (radius, 0.6 * radius))


def _draw_rod(hu: np.ndarray, here: Chest, twig: Twig, value: float) -> None:
    middle = ((twig.start[0] + twig.end[0]) / 2, (twig.start[1] + twig.end[1]) / 2)
    dx, dy = twig.end[0] - twig.start[0], twig.end[1] - twig.start[1]
    box = here.grid.box(*middle, math.sqrt(dx * dx + dy * dy) / 2 + twig.radii[0] + 1)
    patch = hu[box]
    x, y = here.grid.coordinates(box)
    rod = coverage(capsule(x, y, twig.start, twig.end, twig.radii), 1.7)
    patch += rod * (value - patch)


def draw_airways(hu: np.ndarray, here: Chest, draws: Draws) -> None:
    """Draw bronchi with the artery beside them, in place: rings, finer the farther from the hilum."""
    x, y = here.grid.coordinates()
    inside = np.argwhere(here.lungs > 12.0)
    for _ in range(14 if len(inside) else 0):
        r, c = inside[int(draws.uniform(0, len(inside)))]
        _bronchus(hu, here, float(x[r, c]), float(y[r, c]), draws)


def _bronchus(hu: np.ndarray, here: Chest, x: float, y: float, draws: Draws) -> None:
    side = 1 if x > 0 else -1
    rx, ry = x - side * HILUM[0], y - HILUM[1]
    far = math.sqrt(rx * rx + ry * ry) + 0.4 * LUNG_HEIGHT_MM * max(here.level - HILUM_LEVEL, HILUM_LEVEL - here.level)
    lumen = max(3.6 - far / 26.0, 0.9) * draws.uniform(0.8, 1.2)
    dx, dy = draws.direction()
    for radius, value in ((lumen + 1.1, -250.0), (lumen, AIR_HU + 20)):
        _draw_rod(hu, here, Twig((x, y), (x + 0.8 * dx, y + 0.8 * dy), (radius, radius)), value)
    beside = (x + dx * (2 * lumen + 1.6), y + dy * (2 * lumen + 1.6))
    _draw_rod(hu, here, Twig(beside, beside, (1.15 * lumen, 1.15 * lumen)), 35.0)
