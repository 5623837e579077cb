"""The figure of the documentation: some slices, and those with lesions again with these outlined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from harness.data.phantom.patients import Patient, patients
from harness.data.phantom.slices import render

__all__ = ["write_figure"]

WIDTH_PX, HEIGHT_PX, CAPTION_PX = 208, 184, 16
OUTLINE_COLOUR = (255, 200, 0)
EXAMPLES = (
    ("COVID", "subtle", 1),
    ("COVID", "moderate", 2),
    ("COVID", "extensive", 3),
    ("COVID", "extensive", 0),
    ("non-COVID", "none", 1),
    ("non-COVID", "none", 3),
    ("non-COVID", "pneumonia", 2),
    ("non-COVID", "oedema", 2),
)
"""Label, finding and slice of each example."""


def write_figure(path: Path, seed: int) -> None:
    """Write a PNG of eight slices, those with COVID-19 above themselves with the lesions outlined."""
    cohort = patients(seed)
    figure = Image.new("RGB", (WIDTH_PX * 4, 3 * HEIGHT_PX + 2 * CAPTION_PX), "black")
    used: set[int] = set()
    for place, (label, finding, index) in enumerate(EXAMPLES):
        patient = next(p for p in cohort if (p.label, p.finding) == (label, finding) and p.number not in used)
        used.add(patient.number)
        corner = (place % 4 * WIDTH_PX, place // 4 * (2 * HEIGHT_PX + CAPTION_PX))
        _draw_example(figure, corner, patient, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)


def _draw_example(figure: Image.Image, corner: tuple[int, int], patient: Patient, index: int) -> None:
    x, y = corner
    made = render(patient, index)
    caption = f"{patient.label}: {patient.finding}"
    if patient.background != "none":
        caption += f", {patient.background}"
    ImageDraw.Draw(figure).text((x + 4, y + 2), caption, fill="white")
    colours = np.stack([made.image] * 3, axis=-1)
    figure.paste(_fitted(colours), (x, y + CAPTION_PX))
    if made.lesion.any():
        colours[_outline(made.lesion)] = OUTLINE_COLOUR
        figure.paste(_fitted(colours), (x, y + CAPTION_PX + HEIGHT_PX))


def _fitted(colours: np.ndarray) -> Image.Image:
    image = Image.fromarray(colours)
    scale = min((WIDTH_PX - 4) / image.width, (HEIGHT_PX - 4) / image.height)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)


def _outline(mask: np.ndarray) -> np.ndarray:
    """Return the mask's pixels that touch one outside."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
