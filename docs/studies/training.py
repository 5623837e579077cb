"""The measurements of docs/training.md: ways to fine-tune, from equal initialisations, paired over seeds.

python docs/studies/training.py run -o FILE         # needs HARNESS_DATA and TORCH_HOME; goes on where it was
python docs/studies/training.py options -o FILE     # what options of the default do on the validation part
python docs/studies/training.py methods -o FILE     # Zhao et al. (2020) against the default, validation and test

Every arm starts, at each seed, from the same pretrained SqueezeNet with the same new classifier, sees the same number
of images of the same size, and is asked after its best look at the validation part.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from baselines.networks import TorchvisionNetwork
from harness.data.dataset import open_dataset
from harness.machine import limit_threads
from harness.metrics import scores
from harness.protocols import make_splits
from harness.runs import material_of

DATASETS = ("sars-cov-2-ct", "covid-ct")
SEEDS = range(5)
SHARED = {"variant": "squeezenet1_1", "size_px": 96, "images_seen": 4000, "looks": 8}
ARMS: dict[str, dict[str, Any]] = {
    "modern": {"batch_size": 16, "augmentation": 0.5},
    "zhao2020": {"method": "zhao2020"},
    "modern, no augmentation": {"batch_size": 16, "augmentation": 0.0},
    "modern, label smoothing 0.1": {"batch_size": 16, "augmentation": 0.5, "label_smoothing": 0.1},
    "modern, average 0.99": {"batch_size": 16, "augmentation": 0.5, "average": 0.99},
}
METRICS = ("accuracy", "f1", "auc")


def run(file: Path, threads: int) -> None:
    """Add what is not in the file yet, a JSON line a training, seed by seed."""
    limit_threads(threads)
    done = {(line["dataset"], line["arm"], line["seed"]) for line in lines(file)}
    for seed in SEEDS:
        for dataset in DATASETS:
            for arm in ARMS:
                if (dataset, arm, seed) not in done:
                    result = trained(dataset, arm, seed)
                    with file.open("a") as out:
                        print(json.dumps(result), file=out)
                    print(dataset, arm, seed, result["validation"], result["fit_seconds"], flush=True)


def trained(name: str, arm: str, seed: int) -> dict[str, Any]:
    """Train once; return the scores of both held-out parts, the card's positive class counted as positive."""
    dataset = open_dataset(name)
    (split,) = make_splits("official", dataset.samples, seed=seed)
    material = material_of(dataset, split, device="cpu", seed=seed)
    images, labels, _ = material.part("train")
    held_out = material.part("val")
    model = TorchvisionNetwork(n_classes=len(material.classes), seed=seed, **{**SHARED, **ARMS[arm]})
    model.fit(images, labels, validation=held_out[:2])
    if any("scratch" in note for note in model.notes_):
        raise SystemExit(f"not pretrained: {model.notes_}")
    positive = material.classes.index(dataset.card.positive)
    found: dict[str, Any] = {"dataset": name, "arm": arm, "seed": seed}
    for part, key in (("val", "validation"), ("test", "test")):
        part_images, _, _ = material.part(part)
        part_labels = dataset.labels[dataset.rows(getattr(split, part))]  # the material has no test labels
        scored = scores(part_labels, model.predict_proba(part_images), positive=positive)
        found[key] = {metric: getattr(scored, metric).value for metric in (*METRICS, "balanced_accuracy")}
    return {**found, "fit_seconds": model.training_["seconds"]}


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def options(file: Path) -> None:
    """Print balanced accuracy on the validation part, and each option's paired difference from the default."""
    print(
        "| dataset | arm | seeds | balanced accuracy, validation | minus modern [95 %] |\n|---|---|---|---|---|"
    )
    for dataset, arm, rows in arms_of(lines(file)):
        values = [row["validation"]["balanced_accuracy"] for row in rows]
        difference = paired(file, dataset, arm, "validation", "balanced_accuracy")
        print(f"| {dataset} | {arm} | {len(rows)} | {spread(values)} | {difference} |")


def methods(file: Path) -> None:
    """Print both methods on both held-out parts, and their paired differences."""
    print(
        "| dataset | part | metric | modern | zhao2020 | zhao2020 - modern [95 %] |\n|---|---|---|---|---|---|"
    )
    for dataset in DATASETS:
        for part in ("validation", "test"):
            for metric in METRICS:
                cells = []
                for arm in ("modern", "zhao2020"):
                    rows = [r for r in lines(file) if r["dataset"] == dataset and r["arm"] == arm]
                    cells.append(spread([row[part][metric] for row in rows]))
                difference = paired(file, dataset, "zhao2020", part, metric)
                print(f"| {dataset} | {part} | {metric} | {' | '.join(cells)} | {difference} |")


def arms_of(found: list[dict[str, Any]]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    for dataset in DATASETS:
        for arm in ARMS:
            rows = [row for row in found if row["dataset"] == dataset and row["arm"] == arm]
            if rows:
                yield dataset, arm, rows


def paired(file: Path, dataset: str, arm: str, part: str, metric: str) -> str:
    """Return the mean difference from 'modern' over the seeds that both have, with Student's interval."""
    values = {(r["arm"], r["seed"]): r[part][metric] for r in lines(file) if r["dataset"] == dataset}
    seeds = [seed for seed in SEEDS if (arm, seed) in values and ("modern", seed) in values]
    differences = [100 * (values[arm, seed] - values["modern", seed]) for seed in seeds]
    if arm == "modern" or len(differences) < 2:
        return ""
    half = student.ppf(0.975, len(differences) - 1) * stdev(differences) / len(differences) ** 0.5
    middle = mean(differences)
    return f"{middle:+.2f} [{middle - half:+.2f}, {middle + half:+.2f}]"


def spread(values: list[float]) -> str:
    deviation = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.2f}{deviation}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "options", "methods"))
    parser.add_argument("-o", "--out", type=Path, default=Path("training.jsonl"))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if given.what == "run":
        run(given.out, given.threads)
    else:
        (options if given.what == "options" else methods)(given.out)
