"""How strong random views should be where networks train from scratch in `quick`: the validation part decides.

python docs/studies/views.py run -o FILE        # needs HARNESS_DATA; goes on where it was; three minutes a line
python docs/studies/views.py table -o FILE      # the table of docs/training.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from harness.data.dataset import open_dataset
from harness.machine import limit_threads
from harness.protocols import make_splits
from harness.registry import find_model
from harness.runs import material_of

DATASETS = ("sars-cov-2-ct", "covid-ct")
NETWORKS = ("alexnet", "googlenet")
STRENGTHS = (0.0, 0.5, 0.82)


def run(file: Path) -> None:
    """Add what is not in the file yet, a JSON line a training."""
    limit_threads(1)
    done = {(line["dataset"], line["network"], line["strength"]) for line in lines(file)}
    for network in NETWORKS:
        for dataset in DATASETS:
            for strength in STRENGTHS:
                if (dataset, network, strength) not in done:
                    with file.open("a") as out:
                        print(json.dumps(trained(dataset, network, strength)), file=out, flush=True)


def trained(name: str, network: str, strength: float) -> dict[str, Any]:
    """Train once by the recipe `quick`; return balanced accuracy and loss of the best look at the validation part."""
    dataset = open_dataset(name)
    (split,) = make_splits("official", dataset.samples, seed=0)
    material = material_of(dataset, split, device="cpu", seed=0)
    factory = find_model(network).load()
    recipe = {key: value for key, value in factory.recipes["quick"].items() if key != "trial"}
    model = factory(
        n_classes=len(material.classes), **{**recipe, "weights": "none", "augmentation": strength}
    )
    images, labels, _ = material.part("train")
    model.fit(images, labels, validation=material.part("val")[:2])
    best = max(model.looks_)
    return {
        "dataset": name,
        "network": network,
        "strength": strength,
        "balanced_accuracy": best.balanced_accuracy,
        "loss": -best.negative_loss,
    }


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def table(file: Path) -> None:
    print(
        "| dataset | network | strength of views | balanced accuracy, validation | loss |\n|---|---|---|---|---|"
    )
    for line in sorted(lines(file), key=lambda line: (line["dataset"], line["network"], line["strength"])):
        accuracy = f"{100 * line['balanced_accuracy']:.1f}"
        print(
            f"| {line['dataset']} | {line['network']} | {line['strength']} | {accuracy} | {line['loss']:.3f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("-o", "--out", type=Path, default=Path("views.jsonl"))
    given = parser.parse_args()
    (run if given.what == "run" else table)(given.out)
