"""`python -m harness.data.phantom`: the phantom's lists, a dataset of another seed, its difficulty, its figure."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.data.phantom.difficulty import probes
from harness.data.phantom.figure import write_figure
from harness.data.phantom.lists import write_dataset, write_lists
from harness.data.phantom.patients import PATIENTS, SEED
from harness.errors import HarnessError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m harness.data.phantom", description=__doc__)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--list", type=Path, metavar="FOLDER", help="write files.csv and patients.csv there")
    task.add_argument(
        "--dataset", type=Path, metavar="FOLDER", help="the same and a card: for 'harness run -d FOLDER'"
    )
    task.add_argument("--difficulty", action="store_true", help="print what simple classifiers reach")
    task.add_argument(
        "--figure", type=Path, metavar="FILE", help="write eight slices with their lesions outlined"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--patients", type=int, default=PATIENTS)
    asked = parser.parse_args()
    try:
        _do(asked)
    except (HarnessError, OSError, ValueError) as error:
        parser.error(str(error))


def _do(asked: argparse.Namespace) -> None:
    if asked.list:
        write_lists(asked.list, asked.seed, asked.patients)
    elif asked.dataset:
        write_dataset(asked.dataset, asked.seed, asked.patients)
    elif asked.figure:
        write_figure(asked.figure, asked.seed)
    else:
        print_difficulty(asked.seed)


def print_difficulty(seed: int) -> None:
    print(f"seed {seed}, 6 folds by patient\n{'features':34}{'classifier':12}{'AUC':>6}{'accuracy':>10}")
    for probe in probes(seed):
        print(f"{probe.features:34}{probe.classifier:12}{probe.auc:6.3f}{probe.accuracy:10.3f}")


if __name__ == "__main__":
    main()
