"""What is wrong with the lungs: COVID-19's opacities, other diseases, and what either class may have besides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.data.phantom.anatomy import HILUM_LEVEL, Chest
from harness.data.phantom.draws import Draws
from harness.data.phantom.fields import WHOLE, Box, Ellipse, Grid, coverage, noise

__all__ = ["Opacity", "add_background", "effusion", "opacity_of"]

Point = tuple[float, float]

EXTENTS = {"subtle": (2, 4, 9.0, 16.0), "moderate": (4, 9, 12.0, 30.0), "extensive": (8, 14, 16.0, 40.0)}
"""Fewest and most opacities a slice, least and greatest radius in mm."""


@dataclass
class Opacity:
    """Which part of the air is replaced (H, W), 0 to 1, and the mask of COVID-19's lesions."""

    density: np.ndarray
    lesion: np.ndarray

    @classmethod
    def none(cls, here: Chest) -> Opacity:
        return cls(np.zeros(here.hu.shape, np.float32), np.zeros(here.hu.shape, dtype=bool))


def opacity_of(finding: str, here: Chest, illness: Draws, draws: Draws) -> Opacity:
    """Return what a finding puts into this slice. `illness` is the patient's stream, `draws` the slice's."""
    opacity = Opacity.none(here)
    if finding in EXTENTS:
        _covid(opacity, finding, here, illness, draws)
    elif finding == "pneumonia":
        _lobar_pneumonia(opacity, here, illness, draws)
    elif finding == "oedema":
        _oedema(opacity, here, illness, draws)
    return opacity


def _covid(opacity: Opacity, extent: str, here: Chest, illness: Draws, draws: Draws) -> None:
    """Add ground glass: rounded, mostly at the pleura, at the back and below, often on both sides."""
    fewest, most, least, greatest = EXTENTS[extent]
    faint, mature = illness.uniform(0.18, 0.34), illness.chance(0.4)
    one_side = illness.pick({0: 6, -1: 1, 1: 1}) if extent == "subtle" else 0
    weights = _covid_weights(here, one_side)
    for _ in range(draws.integer(fewest, most)):
        place = draws.place(weights)
        if place is None:
            return
        density = faint + (draws.uniform(0, 0.06) if extent == "subtle" else draws.uniform(0.05, 0.32))
        radius = draws.uniform(least, greatest)
        _ground_glass(opacity, here, _point(here, place), radius, density, mature, draws)


def _covid_weights(here: Chest, one_side: int) -> np.ndarray:
    """Return int64 weights (H, W): high near the pleura and towards the back."""
    x, y = here.grid.coordinates()
    rim = np.maximum(1.0 - here.lungs / 28.0, 0.12)
    back = np.maximum(0.35 + y / 110.0, 0.12)
    allowed = (here.lungs > 3.0) & (here.air > 0.9) & (one_side * x >= 0)
    return (1000 * rim * back * allowed).astype(np.int64)


def _ground_glass(
    opacity: Opacity, here: Chest, centre: Point, radius: float, density: float, mature: bool, draws: Draws
) -> None:
    """Add one opacity; `mature` ones may have a consolidated core."""
    box = here.grid.box(*centre, 1.5 * radius)
    field, air = _ragged_blob(here.grid, box, centre, radius, draws), here.air[box]
    alpha = coverage(field - 0.12, draws.uniform(0.3, 0.8)) * air
    value = alpha * density * _texture(here.grid, box, draws)
    if mature and draws.chance(0.6):
        core = coverage(field - draws.uniform(0.35, 0.6), 0.5) * air
        value = np.maximum(value, core * draws.uniform(0.55, 0.95))
    opacity.density[box] = np.minimum(np.maximum(opacity.density[box], value), 1.0)
    opacity.lesion[box] |= (alpha > 0.35) & (air > 0.5)


def _ragged_blob(grid: Grid, box: Box, centre: Point, radius: float, draws: Draws) -> np.ndarray:
    """Return a field (h, w) of about 1 in the middle, 0 on a ragged edge."""
    shape = Ellipse(*centre, radius, radius * draws.uniform(0.55, 0.95), *draws.direction())
    coarse, fine = noise(draws, grid, 0.55 * radius + 2, box), noise(draws, grid, 4.0, box)
    return 1.0 - shape.radius(*grid.coordinates(box)) + 0.5 * coarse + 0.2 * fine


def _texture(grid: Grid, box: Box, draws: Draws) -> np.ndarray:
    """Return factors (h, w) around 1; in about every third opacity with the net of thickened septa."""
    mottled = 1.0 + 0.3 * noise(draws, grid, 6.0, box)
    return mottled + 0.9 * _net(draws, grid, box) if draws.chance(0.35) else mottled


def _net(draws: Draws, grid: Grid, box: Box = WHOLE) -> np.ndarray:
    """Return thin lines (0 to 1) a few mm apart: thickened septa, the paving of "crazy paving"."""
    grains = [noise(draws, grid, spacing, box) for spacing in (5.0, 7.0)]
    return np.maximum(1.0 - np.minimum(*(np.abs(grain) for grain in grains)) / 0.14, 0.0)


def _point(here: Chest, place: tuple[int, int]) -> Point:
    row, column = place
    x, y = here.grid.coordinates((slice(row, row + 1), slice(column, column + 1)))
    return float(x[0, 0]), float(y[0, 0])


def _lobar_pneumonia(opacity: Opacity, here: Chest, illness: Draws, draws: Draws) -> None:
    """Fill a part of one lung, from its middle to the pleura, with air left in its bronchi."""
    side, centre_level = illness.pick({-1: 3, 1: 2}), illness.uniform(0.3, 0.85)
    x0, y0 = side * illness.uniform(50, 100), illness.uniform(-35, 60)
    density, reach = illness.uniform(0.35, 0.95), illness.uniform(30, 55)
    off = (here.level - centre_level) / 0.4
    size = reach * math.sqrt(max(1.0 - off * off, 0.12))
    x, y = here.grid.coordinates()
    ragged = 0.4 * noise(draws, here.grid, 14.0) + 0.2 * noise(draws, here.grid, 5.0)
    field = 1.0 - Ellipse(x0, y0, size, 0.75 * size).radius(x, y) + ragged
    alpha = coverage(field - 0.1, 0.5) * (side * x > 0)
    bronchi = _net(draws, here.grid) * 0.6
    opacity.density = alpha * density * (1.0 + 0.25 * noise(draws, here.grid, 7.0)) * (1.0 - bronchi)
    opacity.density = np.minimum(np.maximum(opacity.density, 0.0), 1.0) * here.air


def _oedema(opacity: Opacity, here: Chest, illness: Draws, draws: Draws) -> None:
    """Haze around the hila, on both sides, sparing the rim; thicker to the back."""
    strength = illness.uniform(0.1, 0.32)
    x, y = here.grid.coordinates()
    near = 1.0 - 0.6 * abs(here.level - HILUM_LEVEL)
    haze = np.zeros(x.shape, np.float32)
    for side in (-1, 1):
        wings = Ellipse(side * 62, 10, 50, 68).radius(x, y) + 0.35 * noise(draws, here.grid, 20.0)
        haze = np.maximum(haze, coverage(1.0 - wings, 1.1))
    haze *= (0.75 + 0.35 * noise(draws, here.grid, 12.0)) * (1.0 + y / 200.0) + 0.5 * _net(draws, here.grid)
    opacity.density = np.minimum(strength * near * haze, 1.0) * here.air


def effusion(background: str, here: Chest, patient: Draws) -> np.ndarray | None:
    """Return the field (H, W) of fluid behind the lungs, None when there is none: a layer with a hollow surface."""
    if background != "effusion":
        return None
    x, y = here.grid.coordinates()
    field = np.full(x.shape, -60.0, np.float32)
    for side in (-1, 1):
        depth = patient.uniform(4, 38) if patient.chance(0.65) else 0.0
        surface = 92 - depth * min(here.level * 1.4, 1.0)
        away = (side * x - 66) / 60
        layer = y - surface + 16 * away * away
        field = np.where((side * x > 0) & (depth > 0), layer, field)
    return field


def add_background(
    hu: np.ndarray, opacity: Opacity, background: str, here: Chest, patient: Draws, draws: Draws
) -> None:
    """Add what patients of either class may have besides, in place: to the tissue's HU or to the opacity."""
    if background == "emphysema":
        _emphysema(hu, here, patient, draws)
    elif background == "atelectasis":
        _dependent_atelectasis(opacity, here, patient, draws)
    elif background == "nodule":
        _nodule(opacity, here, patient, draws)


def _emphysema(hu: np.ndarray, here: Chest, patient: Draws, draws: Draws) -> None:
    """Dark holes, more of them above."""
    severity = patient.uniform(0.25, 0.9) * (1.2 - 0.7 * here.level)
    holes = np.maximum(noise(draws, here.grid, 9.0), noise(draws, here.grid, 17.0))
    hu -= 90 * severity * coverage(holes - 0.75 + 0.5 * severity, 0.35)


def _dependent_atelectasis(opacity: Opacity, here: Chest, patient: Draws, draws: Draws) -> None:
    """A thin dense band along the pleura where the lung lies on its back."""
    depth, density = patient.uniform(3, 12), patient.uniform(0.12, 0.5)
    _, y = here.grid.coordinates()
    band = coverage(depth * (1 + 0.7 * noise(draws, here.grid, 18.0)) - here.lungs, 1.2 * depth)
    band *= coverage(y - 42 - 12 * noise(draws, here.grid, 30.0), 24.0) * here.air
    opacity.density = np.maximum(opacity.density, density * band * (1 + 0.3 * noise(draws, here.grid, 6.0)))


def _nodule(opacity: Opacity, here: Chest, patient: Draws, draws: Draws) -> None:
    """One round dense nodule, in about half of the patient's slices."""
    if not draws.chance(0.5):
        return
    place = draws.place(((here.lungs > 6) & (here.air > 0.9)).astype(np.int64))
    if place is None:
        return
    radius = patient.uniform(3.0, 11.0)
    centre = _point(here, place)
    box = here.grid.box(*centre, 2 * radius)
    x, y = here.grid.coordinates(box)
    bumps = 0.2 * radius * noise(draws, here.grid, 4.0, box)
    ball = coverage(Ellipse(*centre, radius, 0.9 * radius).field(x, y) + bumps, 2.2)
    opacity.density[box] = np.maximum(opacity.density[box], ball * here.air[box])
