"""How often the speed gate is wrong: comparisons of equal functions, and of functions made 15 % slower.

    python docs/studies/benchmarks.py [--equal 80,40,80] [--unchanged 20] [--planted 20] [--promised 3] [--only scorer]

The functions, kernels and limits are those of tests/benchmarks. The output is in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "harness"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "benchmarks"))

import workloads
from workloads import LONG_LOOKS, SLACK, Workload

from harness.bench import Comparison, compare, slowed

PLANTED = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--equal", default="80,40,80", help="A/A comparisons of xDNN, scorer and feature cache"
    )
    parser.add_argument(
        "--unchanged", type=int, default=20, help="comparisons of each function with its kernel"
    )
    parser.add_argument("--planted", type=int, default=20, help="comparisons of each function made slower")
    parser.add_argument("--promised", type=int, default=3, help="comparisons of extraction and training")
    parser.add_argument("--only", help="one of xdnn-fit, scorer, feature-cache, extraction, training")
    asked = parser.parse_args()
    equal = [int(n) for n in asked.equal.split(",")]
    print(f"load when it began: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        f"{'workload':14} {'candidate':22} {'limit':>6} {'alarms':>9} {'median':>7} {'range':>16} rounds  s each"
    )
    with made() as found:
        for workload, n in zip(found, equal, strict=True):
            if asked.only not in (None, workload.name):
                continue
            show(workload.name, "itself (A/A)", SLACK, n, lambda seed, w=workload: itself(w, seed))
            show(
                workload.name,
                "unchanged",
                workload.limit,
                asked.unchanged,
                lambda seed, w=workload: w.compared(seed=seed),
            )
            slow = slowed(workload.function, PLANTED, workload.unit)
            show(
                workload.name,
                f"{PLANTED:.0%} more work",
                workload.limit,
                asked.planted,
                lambda seed, w=workload, f=slow: w.compared(f, seed=seed),
            )
    if asked.promised and asked.only in (None, "extraction", "training"):
        promised(asked.only, asked.promised)
    print(f"load when it ended: {os.getloadavg()[0]:.1f}")


def promised(only: str | None, n: int) -> None:
    with home() as folder:
        made = {
            "extraction": lambda: workloads.extraction(folder / "dataset", folder / "cache"),
            "training": workloads.training,
        }
        for name, make in made.items():
            if only in (None, name):
                workload = make()
                show(
                    name,
                    "unchanged",
                    workload.limit,
                    n,
                    lambda seed, w=workload: w.compared(seed=seed, looks=LONG_LOOKS),
                )


@contextmanager
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(TORCH_HOME=str(folder / "torch"), HARNESS_CACHE=str(folder / "cache"))
        yield folder


@contextmanager
def made() -> Iterator[list[Workload]]:
    with home() as folder:
        yield [
            workloads.xdnn_fit(),
            workloads.scorer(),
            workloads.feature_cache(folder / "dataset", folder / "cache"),
        ]


def itself(workload: Workload, seed: int) -> Comparison:
    return compare(workload.function, workload.function, limit=SLACK, seed=seed)


def show(name: str, what: str, limit: float, n: int, comparison: Callable[[int], Comparison]) -> None:
    start = time.perf_counter()
    found = [comparison(seed) for seed in range(n)]
    seconds = (time.perf_counter() - start) / max(n, 1)
    if not found:
        return
    ratios = [each.ratio for each in found]
    alarms = sum(not each.passed for each in found)
    rounds = [each.rounds for each in found]
    print(
        f"{name:14} {what:22} {limit:6.3f} {alarms:4} of {n:<3} {np.median(ratios):6.3f}  "
        f"{min(ratios):.3f} to {max(ratios):.3f} {int(np.median(rounds)):4}-{max(rounds):<4} {seconds:4.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
