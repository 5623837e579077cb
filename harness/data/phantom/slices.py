"""One slice of one patient: anatomy, findings and scan put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.data.phantom.anatomy import OUTLINE, Body, Chest, chest
from harness.data.phantom.fields import Grid, coverage
from harness.data.phantom.findings import add_background, effusion, opacity_of
from harness.data.phantom.lungs import draw_airways, draw_vessels, parenchyma
from harness.data.phantom.patients import SLICES, Patient
from harness.data.phantom.scanner import Scan

__all__ = ["Slice", "render"]

TISSUE_HU = 35.0


@dataclass(frozen=True)
class Slice:
    """`image` uint8 (H, W); `lesion` and `lungs` bool (H, W): COVID-19's opacities, and what they may lie in."""

    image: np.ndarray
    lesion: np.ndarray
    lungs: np.ndarray


def render(patient: Patient, index: int) -> Slice:
    """Return a patient's slice, 0 to 3 from the apex down.

    Only `opacity_of` looks at the class, with streams of its own: the same patient without the finding has the
    same body, scan and noise to the last bit.
    """
    body = Body.drawn(patient.draws("body"))
    scan = Scan.drawn(patient.draws("scan"), 2 * (OUTLINE[2][1] + body.fat_mm) * body.size)
    place = patient.draws("place", index)
    level = (index + place.uniform(0.25, 0.95)) / (SLICES + 0.15)
    grid = scan.grid(body.size, body.depth, body.turn, (place.uniform(-4, 4), place.uniform(-4, 4)))
    here = chest(body, level, grid, patient.draws("wall", index))
    hu, lesion = _with_lungs(patient, index, body, here)
    if scan.table_mm is not None:
        _table(hu, body, grid, scan.table_mm)
    image = scan.picture(hu, level, patient.draws("quanta", index))
    return Slice(image, lesion, here.air > 0.5)


def _with_lungs(patient: Patient, index: int, body: Body, here: Chest) -> tuple[np.ndarray, np.ndarray]:
    """Return HU (H, W) of the whole slice and the lesion's mask (H, W)."""
    tissue = parenchyma(body, here, patient.draws("tissue", index))
    illness = patient.draws("illness", patient.finding)
    opacity = opacity_of(patient.finding, here, illness, patient.draws("illness", patient.finding, index))
    besides = patient.draws("besides"), patient.draws("besides", index)
    add_background(tissue, opacity, patient.background, here, *besides)
    draw_vessels(tissue, here, patient.draws("vessels", index))
    draw_airways(tissue, here, patient.draws("airways", index))
    tissue += opacity.density * (TISSUE_HU - tissue)
    fluid = effusion(patient.background, here, patient.draws("fluid"))
    if fluid is not None:
        wet = coverage(fluid, 3.0)
        tissue += wet * (8.0 - tissue)
        opacity.lesion &= wet < 0.5
    return here.hu + here.air * (tissue - here.hu), opacity.lesion


def _table(hu: np.ndarray, body: Body, grid: Grid, gap_mm: float) -> None:
    """Lay the patient on a table: a thin hollow curve below the back."""
    x, y = grid.coordinates()
    top = OUTLINE[2][2] + 0.55 * body.fat_mm + gap_mm - 14
    sag = y - top - 26 + x * x / 1900
    for depth, value in ((0.0, -150.0), (14.0, -420.0)):
        away = sag - depth
        line = coverage(1.6 - np.abs(away), 1.6) * (hu < -900)
        hu += line * (value - hu)
