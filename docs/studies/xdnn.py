"""The measurements of docs/xdnn.md, one command each; the tables there are their output.

python docs/studies/xdnn.py orders      # needs HARNESS_DATA and TORCH_HOME
python docs/studies/xdnn.py scores      # likewise
python docs/studies/xdnn.py scaling
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from baselines.xdnn import XDNN
from harness.data.dataset import Dataset, open_dataset
from harness.machine import peak_memory_mb, reset_peak_memory
from harness.protocols import make_splits
from harness.store import DatasetStore

BACKBONE, SIZE_PX = "squeezenet1_1", 224
ORDERS = 20
SHARPNESSES = (1, 2, 4, 8, 12, 16, 24, 32)
CV_FOLDS = 5
SIZES = (500, 1000, 2000, 4000, 8000, 16000, 20000)
N_FEATURES = 4096
N_QUERIES = 496


@dataclass(frozen=True)
class Part:
    """Features (N, d) in double precision and labels (N,)."""

    X: np.ndarray
    y: np.ndarray

    def rows(self, rows: np.ndarray) -> Part:
        return Part(self.X[rows], self.y[rows])


def parts(dataset: Dataset, protocol: str, seed: int) -> tuple[Part, Part]:
    """Return what a final fit sees (training and validation parts, in the dataset's order) and the test part."""
    features = DatasetStore(dataset).features(BACKBONE, SIZE_PX).astype(np.float64)
    everything = Part(features, dataset.labels)
    (split,) = make_splits(protocol, dataset.samples, seed=seed)
    return (
        everything.rows(np.sort(dataset.rows([*split.train, *split.val]))),
        everything.rows(dataset.rows(split.test)),
    )


def print_row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def print_header(*cells: str) -> None:
    print_row(*cells)
    print_row(*["---"] * len(cells))


def orders(_arguments: argparse.Namespace) -> None:
    """Accuracy and number of prototypes over shuffled orders and over splits, with 1-nearest neighbour beside."""
    dataset = open_dataset("sars-cov-2-ct")
    train, test = parts(dataset, "official", 0)
    shuffled = [np.random.default_rng(seed).permutation(len(train.y)) for seed in range(ORDERS)]
    print_header("split", "order", "method", "accuracy", "lowest to highest", "prototypes", "fewest to most")
    for order, cases in (
        ("as given", [(train, test)]),
        (f"{ORDERS} shuffled", [(train.rows(rows), test) for rows in shuffled]),
    ):
        print_methods("official", order, cases)
    print_methods(
        f"random, {ORDERS} seeds", "as given", [parts(dataset, "random", seed) for seed in range(ORDERS)]
    )


def print_methods(split: str, order: str, cases: list[tuple[Part, Part]]) -> None:
    methods: dict[str, Callable[[Part, Part], tuple[float, int]]] = {
        "xDNN, paper": lambda train, test: xdnn_result("paper", train, test),
        "xDNN, released": lambda train, test: xdnn_result("released", train, test),
        "1-NN, Euclidean": lambda train, test: neighbour_result("euclidean", train, test),
        "1-NN, cosine": lambda train, test: neighbour_result("cosine", train, test),
    }
    for name, method in methods.items():
        accuracies, counts = zip(*[method(train, test) for train, test in cases], strict=True)
        print_row(
            split,
            order,
            name,
            f"{np.mean(accuracies):.4f}",
            f"{min(accuracies):.4f} to {max(accuracies):.4f}",
            f"{np.mean(counts):.0f} of {len(cases[0][0].y)}",
            f"{min(counts)} to {max(counts)}",
        )


def xdnn_result(variant: str, train: Part, test: Part) -> tuple[float, int]:
    model = XDNN(variant).fit(train.X, train.y)
    return float(np.mean(model.predict(test.X) == test.y)), sum(map(len, model.prototypes_))


def neighbour_result(metric: str, train: Part, test: Part) -> tuple[float, int]:
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(1, metric=metric).fit(train.X, train.y)
    return float(model.score(test.X, test.y)), len(train.y)


def scores(_arguments: argparse.Namespace) -> None:
    """How well scores order and how far they can be believed, within the official training part, cross-validated."""
    print_header("dataset", "variant", "score", "AUC", "different values", "log loss", "calibration error")
    for name in ("sars-cov-2-ct", "covid-ct"):
        train, _ = parts(open_dataset(name), "official", 0)
        for variant in ("paper", "released"):
            distances, softmax = held_out(variant, train)
            for label, probability in [
                ("softmax(-distance²)", softmax),
                *((f"distance^-{k}", sharpened(distances, k)) for k in SHARPNESSES),
            ]:
                print_row(name, variant, label, *quality(probability, train.y))


def held_out(variant: str, train: Part) -> tuple[np.ndarray, np.ndarray]:
    """Return distances (N, 2) to the nearest prototypes and the released score of class 1, all out of fold."""
    from sklearn.model_selection import StratifiedKFold

    distances, softmax = np.empty((len(train.y), 2)), np.empty(len(train.y))
    for fit, rest in StratifiedKFold(CV_FOLDS, shuffle=True, random_state=0).split(train.X, train.y):
        model = XDNN(variant).fit(train.X[fit], train.y[fit])
        softmax[rest] = model.released_scores(train.X[rest])[:, 1]
        for row, explanation in zip(rest, model.explain(train.X[rest]), strict=True):
            for winner in explanation.winners:
                distances[row, winner.label] = winner.distance
    return distances, softmax


def sharpened(distances: np.ndarray, sharpness: int) -> np.ndarray:
    nearest = distances.min(axis=1, keepdims=True)
    ratios = np.divide(nearest, distances, out=np.ones_like(distances), where=distances > 0)
    weights = ratios**sharpness
    probability: np.ndarray = weights[:, 1] / weights.sum(axis=1)
    return probability


def quality(probability: np.ndarray, y: np.ndarray) -> Iterator[str]:
    from sklearn.metrics import log_loss, roc_auc_score

    yield f"{roc_auc_score(y, probability):.4f}"
    yield f"{len(np.unique(probability))} of {len(y)}"
    yield f"{log_loss(y, np.clip(probability, 1e-15, 1 - 1e-15)):.3f}"
    yield f"{calibration_error(probability, y):.3f}"


def calibration_error(probability: np.ndarray, y: np.ndarray) -> float:
    """Return the expected calibration error over ten equal bins of the confidence in the decision."""
    confidence = np.maximum(probability, 1 - probability)
    right = (probability > 0.5) == y
    bins = np.minimum(((confidence - 0.5) * 20).astype(int), 9)
    gaps = [
        np.sum(bins == k) * abs(right[bins == k].mean() - confidence[bins == k].mean())
        for k in np.unique(bins)
    ]
    return float(np.sum(gaps) / len(y))


def scaling(arguments: argparse.Namespace) -> None:
    """Time and memory over the number of samples, two classes, every sample a prototype; a process each."""
    print_header(
        "N", "variant", "input (MB)", "peak (MB)", "fit (s)", f"predict {N_QUERIES} (s)", "prototypes"
    )
    context = multiprocessing.get_context("spawn")
    for n in arguments.sizes:
        for variant in ("paper", "released"):
            with context.Pool(1) as pool:
                print_row(f"{n:,}", variant, *pool.apply(measured, (n, variant)))


def measured(n: int, variant: str) -> list[str]:
    rng = np.random.default_rng(0)
    X = np.maximum(rng.standard_normal((n, N_FEATURES), dtype=np.float32), 0)
    queries = np.maximum(rng.standard_normal((N_QUERIES, N_FEATURES), dtype=np.float32), 0)
    y = rng.integers(0, 2, n)
    reset_peak_memory()
    start = time.perf_counter()
    model = XDNN(variant).fit(X, y)
    fitted = time.perf_counter()
    model.predict(queries)
    predicted = time.perf_counter()
    return [
        f"{X.nbytes / 1e6:.0f}",
        f"{peak_memory_mb():.0f}",
        f"{fitted - start:.2f}",
        f"{predicted - fitted:.2f}",
        f"{sum(map(len, model.prototypes_)):,}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for command in (orders, scores, scaling):
        sub = commands.add_parser(command.__name__, help=command.__doc__)
        sub.set_defaults(command=command)
        if command is scaling:
            sub.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
