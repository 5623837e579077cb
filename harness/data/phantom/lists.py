"""The phantom's lists, as they are committed, and datasets of other seeds."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from harness.data.decoding import pixels_sha256
from harness.data.phantom.adapter import image_file
from harness.data.phantom.patients import PATIENTS, SLICES, patients
from harness.data.phantom.slices import render
from harness.errors import UsageError

__all__ = ["write_dataset", "write_lists"]

CARD = """\
schema_version = 1
name = "{name}"
title = "CT phantom, seed {seed}"
description = "The phantom with another seed, for development."
adapter = "ct-phantom"
classes = ["non-COVID", "COVID"]
positive = "COVID"
licence = "CC0-1.0"
citation = "ct-harness, docs/phantom.md"
list = "files.csv"
auto_recipe = "smoke"
generated = true
options = {{ seed = {seed}, patients = {count} }}
"""


def write_lists(folder: Path, seed: int, count: int = PATIENTS) -> None:
    """Write `files.csv`, the images with their checksums, and `patients.csv`, who has what, into a folder."""
    cohort = patients(seed, count)
    images = []
    for patient in cohort:
        for index in range(SLICES):
            pixels = render(patient, index).image
            place = (image_file(patient, index), patient.label, patient.group, patient.split)
            images.append((*place, *pixels.shape, pixels_sha256(pixels)))
    people = [(p.group, p.label, p.split, p.finding, p.background) for p in cohort]
    _write_csv(
        folder / "files.csv", ("file", "label", "group", "split", "height", "width", "pixels_sha256"), images
    )
    _write_csv(folder / "patients.csv", ("group", "label", "split", "finding", "background"), people)


def write_dataset(folder: Path, seed: int, count: int) -> None:
    """Write the card and the lists of a phantom of its own. Raises `UsageError` where a card is already."""
    path = folder / "card.toml"
    if path.exists():
        raise UsageError(f"{str(path)!r} is there already; name another folder")
    write_lists(folder, seed, count)
    path.write_text(CARD.format(name=f"ct-phantom-{seed}-{count}", seed=seed, count=count), encoding="utf-8")


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
