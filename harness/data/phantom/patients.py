"""The cohort: who has what, and on which side of the split. Pixels know nothing of this but the finding."""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.phantom.draws import Draws

__all__ = ["CLASSES", "PATIENTS", "SEED", "SLICES", "Patient", "patients"]

SEED = 20200424
"""The seed of the dataset that boards show: the date of the first preprint. Development used seeds from 1000 on."""

PATIENTS = 96
SLICES = 4
CLASSES = ("non-COVID", "COVID")

PARTS = {"train": 29, "val": 7, "test": 12}
"""Patients of each class in each part of the official split: 60, 15 and 25 percent."""

FINDINGS: dict[str, dict[str, int]] = {
    "COVID": {"subtle": 20, "moderate": 45, "extensive": 35},
    "non-COVID": {"none": 80, "pneumonia": 12, "oedema": 8},
}
"""What is wrong with the lungs, in percent of the class's patients."""

BACKGROUNDS = {"none": 56, "emphysema": 12, "atelectasis": 12, "effusion": 8, "nodule": 12}
"""What else is to be seen, in percent of either class's patients."""


@dataclass(frozen=True, slots=True)
class Patient:
    """One numbered patient; `finding` is a key of `FINDINGS[label]`, `background` one of `BACKGROUNDS`."""

    seed: int
    number: int
    label: str
    finding: str
    background: str
    split: str

    @property
    def group(self) -> str:
        return f"patient-{self.number:03d}"

    def draws(self, what: str, *more: object) -> Draws:
        """Return the patient's stream for one thing. What one thing draws never moves another's stream."""
        return Draws("ct-phantom", self.seed, self.number, what, *more)


def patients(seed: int = SEED) -> list[Patient]:
    """Return the cohort in the order of its numbers: half of each class, the split balanced by class."""
    half = PATIENTS // 2
    labels = Draws("ct-phantom", seed, "labels").shuffled([name for name in CLASSES for _ in range(half)])
    parts = {
        name: Draws("ct-phantom", seed, "split", name).shuffled([p for p, n in PARTS.items() for _ in range(n)])
        for name in CLASSES
    }
    return [_patient(seed, number, label, parts[label].pop()) for number, label in enumerate(labels, start=1)]


def _patient(seed: int, number: int, label: str, split: str) -> Patient:
    draws = Draws("ct-phantom", seed, number, "history")
    background = draws.pick(BACKGROUNDS)
    return Patient(seed, number, label, draws.pick(FINDINGS[label]), background, split)
