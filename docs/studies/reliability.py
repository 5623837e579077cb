"""The simulations of calibration and worst groups in docs/statistics.md; the tables there are their output.

python docs/studies/reliability.py calibration
python docs/studies/reliability.py worst-group
python docs/studies/reliability.py patients leaderboards/runs    # of a folder of records: is the worst patient noise?
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from uncertainty import Sample, World, print_row, sample_of

from harness.board_cells import Entry, entry_of, read_cells
from harness.calibration import Calibration, calibration
from harness.records import read_records
from harness.subgroups import Image, subgroups_of

WORLDS = {
    "images": World((105, 98), 1.2, grouped=False),
    "images, good": World((246, 250), 1.6, grouped=False),
    "patients": World((42, 53), 1.2, grouped=True),
    "few patients": World((20, 20), 1.2, grouped=True),
}

SHARPNESS = {"calibrated": 1.0, "a little too sure": 1.5, "far too sure": 3.0, "not sure enough": 0.4}
"""What the logits of the calibrated probabilities are multiplied by: 1 / the true slope."""

TRUTH_REPEATS = 1500
"""Test parts that the truth is computed from, together."""


def stated(sample: Sample, world: World, sharpness: float, rng: np.random.Generator) -> np.ndarray:
    """Return probabilities (N, 2) that are calibrated but for their sharpness.

    Evidence is normal around plus or minus skill, so its log-likelihood ratio is 2 x skill x evidence / variance.
    """
    own = rng.standard_normal(len(sample.labels)) * math.sqrt(0.5)
    evidence = world.skill * (2 * sample.labels - 1) + sample.shared + own
    variance = 1 + (world.patient**2 if world.grouped else 0)
    odds = 2 * world.skill * evidence / variance + math.log(world.units[1] / world.units[0])
    positive = 1 / (1 + np.exp(-np.clip(sharpness * odds, -30, 30)))  # beyond, 1 - p is 0
    return np.column_stack([1 - positive, positive])


@dataclass(frozen=True)
class Found:
    """Of 2000 test parts: the truth, the means of what was found, and how often intervals held the truth."""

    true: dict[str, float]
    mean: dict[str, float]
    covered: dict[str, float]


def covered(world: World, sharpness: float, runs: int, seed: int = 0) -> Found:
    """Return how good calibration error, slope and intercept are in this world."""
    rng = np.random.default_rng(seed)
    names = ("error", "slope", "intercept")
    found = [_calibration(world, sharpness, rng) for _ in range(runs)]
    true = _truth(world, sharpness, found[0].bins, rng)
    mean = {name: float(np.mean([getattr(one, name).value for one in found])) for name in (*names, "ece")}
    mean["by chance"] = float(np.mean([one.ece_if_calibrated for one in found]))
    held = {
        name: float(np.mean([_holds(getattr(one, name).interval, true[name]) for one in found]))
        for name in names
    }
    return Found(true, mean, held)


def _holds(interval: object, truth: float) -> bool:
    low, high = getattr(interval, "low", None), getattr(interval, "high", None)
    return low is not None and high is not None and low <= truth <= high


def _calibration(world: World, sharpness: float, rng: np.random.Generator) -> Calibration:
    sample = sample_of(world, rng)
    predicted = stated(sample, world, sharpness, rng)
    return calibration(sample.labels, predicted, positive=1, groups=sample.groups if world.grouped else None)


def _truth(world: World, sharpness: float, bins: int, rng: np.random.Generator) -> dict[str, float]:
    """The same on as good as endlessly many patients, with the bins that the test parts have."""
    samples = [sample_of(world, rng) for _ in range(TRUTH_REPEATS)]
    predicted = np.concatenate([stated(sample, world, sharpness, rng) for sample in samples])[:, 1]
    happened = np.concatenate([sample.labels for sample in samples])
    order = np.array_split(np.argsort(predicted), bins)
    gaps = np.array([happened[rows].mean() - predicted[rows].mean() for rows in order])
    whole = calibration(happened, np.column_stack([1 - predicted, predicted]), positive=1)
    assert whole.slope.value is not None
    assert whole.intercept.value is not None
    return {
        "error": float(np.sqrt((gaps**2).mean())),
        "ece": float(np.abs(gaps).mean()),
        "slope": whole.slope.value,
        "intercept": whole.intercept.value,
    }


@dataclass(frozen=True)
class Sites:
    """Subgroups of so many patients with 1 to 9 images each (grouped), or of so many images; their true accuracies."""

    patients: tuple[int, ...]
    accuracy: tuple[float, ...]
    grouped: bool


SITES = {
    "4 groups alike, images": Sites((50, 50, 50, 50), (0.8,) * 4, grouped=False),
    "10 groups alike, images": Sites((30,) * 10, (0.8,) * 10, grouped=False),
    "4 groups, one worse, images": Sites((50, 50, 50, 50), (0.9, 0.9, 0.9, 0.7), grouped=False),
    "4 groups alike, patients": Sites((20, 20, 20, 40), (0.8,) * 4, grouped=True),
    "4 groups alike, few patients": Sites((10, 10, 12, 20), (0.8,) * 4, grouped=True),
    "4 groups, one worse, patients": Sites((20, 20, 20, 40), (0.9, 0.9, 0.9, 0.7), grouped=True),
}


def worst_of(sites: Sites, runs: int, seed: int = 0) -> tuple[float, float, float, float]:
    """Return the mean lowest accuracy, the mean truth of the subgroup that had it, and how often two intervals hold.

    The first interval is that of the subgroup for itself (95 %), the second the one that allows for the choice.
    """
    rng = np.random.default_rng(seed)
    lowest, true, alone, chosen = [], [], [], []
    for _ in range(runs):
        images, tested = _drawn(sites, rng)
        worst = subgroups_of(images, tested, grouped=sites.grouped).worst
        assert worst is not None
        truth = sites.accuracy[int(worst.name.split(", site ")[1])]
        lowest.append(worst.accuracy)
        true.append(truth)
        alone.append(_holds(worst.alone, truth))
        chosen.append(_holds(worst.chosen, truth))
    return float(np.mean(lowest)), float(np.mean(true)), float(np.mean(alone)), float(np.mean(chosen))


def _drawn(sites: Sites, rng: np.random.Generator) -> tuple[dict[str, Image], list[tuple[str, bool]]]:
    """Patients of each site: a patient's accuracy follows a beta distribution around the site's."""
    images: dict[str, Image] = {}
    tested = []
    for site, (patients, accuracy) in enumerate(zip(sites.patients, sites.accuracy, strict=True)):
        for patient in range(patients):
            n = min(int(rng.geometric(0.47)), 9) if sites.grouped else 1
            own = rng.beta(2 * accuracy, 2 * (1 - accuracy)) if sites.grouped else accuracy
            for image in range(n):
                name = f"{site} {patient} {image}"
                images[name] = Image("class", f"site {site}", f"{site} {patient}")
                tested.append((name, bool(rng.random() < own)))
    return images, tested


def worst_patients(runs: Path) -> Iterator[tuple[str, int, float, float, float]]:
    """Return of each finished record: method, patients, accuracy, the worst patient's, and what chance makes of that.

    Chance: the mean lowest share over 2000 draws in which every image is right with the same probability.
    """
    rng = np.random.default_rng(0)
    entries = [entry_of(record) for record in read_records(runs)]
    boards: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.failure is None:
            boards[entry.dataset, entry.protocol].append(entry)
    for cell in (cell for board in boards.values() for cell in read_cells(board)):
        if cell.failure is not None or not cell.grouped or cell.labels is None or cell.probabilities is None:
            continue
        right = cell.probabilities.argmax(axis=1) == cell.labels
        of_patient: dict[str | None, list[bool]] = defaultdict(list)
        for group, decided in zip(cell.groups or (), right.tolist(), strict=True):
            of_patient[group].append(decided)
        sizes = np.array([len(images) for images in of_patient.values()])
        chance = (rng.binomial(sizes, right.mean(), (2000, len(sizes))) / sizes).min(axis=1).mean()
        lowest = min(float(np.mean(images)) for images in of_patient.values())
        yield (
            f"{cell.entry.dataset} {cell.entry.method}",
            len(sizes),
            float(right.mean()),
            lowest,
            float(chance),
        )


def _calibration_table(arguments: argparse.Namespace) -> None:
    print_row(
        "world",
        "probabilities",
        "true",
        "cal. error",
        "held",
        "true ECE",
        "ECE",
        "by chance",
        "slope held",
        "intercept held",
    )
    for name in arguments.world or WORLDS:
        for probabilities, sharpness in SHARPNESS.items():
            found = covered(WORLDS[name], sharpness, arguments.runs)
            points = [found.true["error"], found.mean["error"], found.covered["error"], found.true["ece"]]
            points += [
                found.mean["ece"],
                found.mean["by chance"],
                found.covered["slope"],
                found.covered["intercept"],
            ]
            print_row(name, probabilities, *(f"{100 * value:.1f}" for value in points))


def _worst_group_table(arguments: argparse.Namespace) -> None:
    print_row(
        "groups",
        "lowest accuracy, mean",
        "true accuracy there",
        "95 % interval holds",
        "interval for the choice holds",
    )
    for name in arguments.world or SITES:
        print_row(name, *(f"{100 * value:.1f}" for value in worst_of(SITES[name], arguments.runs)))


def _patients_table(arguments: argparse.Namespace) -> None:
    print_row("row", "patients", "accuracy", "worst patient", "by chance")
    for name, patients, *shares in worst_patients(arguments.folder):
        print_row(name, patients, *(f"{100 * share:.1f}" for share in shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, command, worlds in (
        ("calibration", _calibration_table, WORLDS),
        ("worst-group", _worst_group_table, SITES),
    ):
        sub = commands.add_parser(name)
        sub.add_argument("--runs", type=int, default=2000)
        sub.add_argument("--world", nargs="+", help=f"of {', '.join(worlds)}")
        sub.set_defaults(command=command)
    sub = commands.add_parser("patients")
    sub.add_argument("folder", type=Path)
    sub.set_defaults(command=_patients_table)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
