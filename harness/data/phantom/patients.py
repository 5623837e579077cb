"""The cohort: who has what, and on which side of the split. Pixels know nothing of this but the finding."""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.phantom.draws import Draws

__all__ = ["CLASSES", "PATIENTS", "SEED", "SLICES", "Patient", "patients"]

SEED = 20200424
"""The seed of the dataset that boards show. Everything was settled on seeds from 1000 on, before this one was used."""

PATIENTS = 96
SLICES = 4
CLASSES = ("non-COVID", "COVID")
VAL_SHARE, TEST_SHARE = 0.15, 0.25
"""Shares of each class's patients in the official split; the rest is for training."""

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


def patients(seed: int = SEED, count: int = PATIENTS) -> list[Patient]:
    """Return the cohort in the order of its numbers: half of each class, the split balanced by class.

    Raises `ValueError` for an odd count, or one below 6: each part needs a patient of each class.
    """
    if count < 6 or count % 2:
        raise ValueError(
            f"{count} patients cannot be split in halves and three parts; write an even number from 6 on"
        )
    half = count // 2
    sides = _sides(half)
    labels = Draws("ct-phantom", seed, "labels").shuffled([name for name in CLASSES for _ in range(half)])
    parts = {name: Draws("ct-phantom", seed, "split", name).shuffled(sides) for name in CLASSES}
    return [
        _patient(seed, number, label, parts[label].pop(0)) for number, label in enumerate(labels, start=1)
    ]


def _sides(patients_of_a_class: int) -> list[str]:
    """Return the part of each of a class's patients, in order."""
    val = max(1, round(VAL_SHARE * patients_of_a_class))
    test = max(1, round(TEST_SHARE * patients_of_a_class))
    return ["train"] * (patients_of_a_class - val - test) + ["val"] * val + ["test"] * test


def _patient(seed: int, number: int, label: str, split: str) -> Patient:
    draws = Draws("ct-phantom", seed, number, "history")
    background = draws.pick(BACKGROUNDS)
    return Patient(seed, number, label, draws.pick(FINDINGS[label]), background, split)
