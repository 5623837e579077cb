"""Papers that nobody wrote, with slices of the phantom as their figures: for tests, and for pictures in the docs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_papers import Paper

from harness.data.phantom.patients import Patient, patients
from harness.data.phantom.slices import render

GUTTER = 6


def demo_paper(path: Path, seed: int, covid: bool = True, doi: str = "") -> Path:
    """A paper of two pages: a figure of four panels of two patients, and one of a single slice."""
    wanted = [one for one in patients(seed, 24) if (one.label == "COVID") == covid]
    first, second, third = wanted[:3]
    paper = Paper()
    paper.words(60, 60, "Slices of patients who never lived", 16, "tibo")
    if doi:
        paper.words(60, 76, f"https://doi.org/{doi}", 8)
    paper.text((60, 80, 440, 130))
    paper.image(
        (80, 150, 420, 490), _grid([_slice(first, 0), _slice(first, 2), _slice(second, 0), _slice(second, 2)])
    )
    paper.caption(60, 510, "Figure 1.", _first(covid), wide=380).text((60, 560, 440, 660))
    paper.next_page().text((60, 60, 440, 120), "As Figure 2 shows, the third patient had little to see. " * 8)
    paper.image((130, 150, 370, 390), _slice(third, 1))
    paper.caption(60, 412, "Figure 2.", _second(covid), wide=380).text((60, 450, 440, 640))
    return paper.save(path)


def _first(covid: bool) -> str:
    what = "confirmed COVID-19 pneumonia" if covid else "no evidence of COVID-19, healthy controls"
    return (
        f"Axial chest CT images of two patients with {what}. (A, B) A 45-year-old man, on the first day and "
        "on the fifth day. (C, D) A 61-year-old woman, on the second day and on the ninth day."
    )


def _second(covid: bool) -> str:
    return f"Chest CT of a 33-year-old woman{' with COVID-19' if covid else ', a healthy control'}, without contrast."


def _slice(patient: Patient, index: int) -> np.ndarray:
    return render(patient, index).image


def _grid(pictures: list[np.ndarray]) -> np.ndarray:
    """Four pictures of a size, two and two, with a white gutter."""
    high, wide = (min(one.shape[axis] for one in pictures) for axis in (0, 1))
    canvas = np.full((2 * high + GUTTER, 2 * wide + GUTTER), 255, np.uint8)
    for number, one in enumerate(pictures):
        y, x = (number // 2) * (high + GUTTER), (number % 2) * (wide + GUTTER)
        canvas[y : y + high, x : x + wide] = one[:high, :wide]
    return canvas
