"""What the speed of the real functions is measured by: the same work on the same data, and nothing else.

Frozen: a change here changes what the limits of `workloads` mean, so it needs new ones, measured anew.
No kernel imports the harness or the baselines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


def xdnn_fit(X: np.ndarray, y: np.ndarray) -> list[int]:
    """Learn as the paper variant does: unit rows, one product a class, a loop; no near ties, no merging."""
    squares = np.empty(len(X))
    for start in range(0, len(X), 16):
        rows = X[start : start + 16]
        squares[start : start + 16] = np.sum(rows * rows, axis=1)
    lengths = np.sqrt(squares)
    return [_Class(X, lengths, np.flatnonzero(y == k)).count for k in (0, 1)]


class _Class:
    """The prototypes of a class, every row of which becomes one: the calls and the arithmetic of the real loop."""

    def __init__(self, X: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> None:
        n = len(rows)
        self.units = np.empty((n, X.shape[1]))
        for out, row in zip(self.units, rows.tolist(), strict=True):
            np.divide(X[row], lengths[row], out=out)
        self.product = self.units @ self.units.T
        self.limit = 2 - 2 * np.cos(np.pi / 6) + 1e-9
        self.founders, self.scales = np.empty(n, dtype=np.intp), np.empty(n)
        self.buffer, self.seen = np.empty(n), np.zeros(n)
        self.squares, self.dots, self.spans, self.bounds = (np.empty(n) for _ in range(4))
        self.supports, self.indices = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        self.at, self.totals = np.arange(n).tolist(), np.zeros(n).tolist()
        self.count = 0
        numbers = rows.tolist()
        diagonal = np.diagonal(self.product).tolist()
        for row, (unit, square) in enumerate(zip(self.units, diagonal, strict=True)):
            products, total = self.products(row)
            dots = self.dots[: self.count]
            dots += products
            arrival = _Arrival(unit, square, total)
            if self.host(arrival, products) is None:
                self.add(arrival, numbers[row])
                self.found(row)

    def products(self, row: int) -> tuple[np.ndarray, float]:
        at = self.at[row]
        of_row = self.product[at]
        products = self.buffer[: self.count]
        of_row.take(self.founders[: self.count], out=products, mode="clip")
        self.seen[at] = 1.0
        return products, self.totals[row] + 1.0 * float(of_row.dot(self.seen))

    def host(self, arrival: _Arrival, products: np.ndarray) -> int | None:
        if not self.count:
            return None
        products *= -2.0
        products += self.squares[: self.count]
        chosen = self.choose(products)
        return None if float(products[chosen]) + arrival.square > self.limit else chosen

    def choose(self, distances: np.ndarray) -> int:
        return int(distances.argmin())

    def add(self, arrival: _Arrival, index: int) -> None:
        slot = self.count
        self.indices[slot] = index
        self.supports[slot] = 1
        self.spans[slot] = self.limit
        self.squares[slot] = arrival.square
        self.dots[slot] = arrival.total
        self.bounds[slot] = arrival.square**0.5

    def found(self, row: int) -> None:
        at = self.at[row]
        self.founders[self.count] = at
        self.scales[self.count] = self.seen[at]
        self.count += 1


@dataclass(frozen=True)
class _Arrival:
    features: np.ndarray
    square: float
    total: float


def xdnn_bare_fit(X: np.ndarray, y: np.ndarray) -> list[int]:
    """Learn without guard and bookkeeping: unit rows, one product a class, the scalar loop."""
    units = X / np.sqrt(np.einsum("ij,ij->i", X, X))[:, None]
    classes = [units[y == k] for k in (0, 1)]
    return [xdnn_loop(rows @ rows.T) for rows in classes]


def xdnn_refit(X: np.ndarray, y: np.ndarray, products: list[np.ndarray]) -> list[int]:
    """Learn from given products: what is left is the unit rows, which become centres, and the loop."""
    units = X / np.sqrt(np.einsum("ij,ij->i", X, X))[:, None]
    kept = [units[y == k] for k in (0, 1)]
    return [xdnn_loop(product) for product, _ in zip(products, kept, strict=True)]


def xdnn_copies(X: np.ndarray, y: np.ndarray) -> list[float]:
    """Copy the rows, which become centres, and take their distances to one of them."""
    squares = np.einsum("ij,ij->i", X, X)
    classes = [(X[y == k], squares[y == k]) for k in (0, 1)]
    return [float((norms + norms[0] - 2 * rows @ rows[0])[1:].min()) for rows, norms in classes]


def xdnn_loop(product: np.ndarray) -> int:
    """Return the number of prototypes, from products of unit rows."""
    limit = 2 - 2 * np.cos(np.pi / 6)
    founders = np.zeros(len(product), dtype=np.intp)
    sums = np.zeros(len(product))
    count = 0
    for i, row in enumerate(product):
        products = row.take(founders[:count])
        sums[:count] += products
        total = row[: i + 1].sum()
        if count and (2 - 2 * products).min() <= limit:
            spreads = 1 - 2 / (i + 1) * sums[:count]
            if spreads.min() <= 1 - 2 / (i + 1) * total <= spreads.max():
                continue
        founders[count] = i
        sums[count] = total
        count += 1
    return count


def rows_of_file(path: Path, rows: np.ndarray) -> np.ndarray:
    """Return rows of an array on the disk, mapped into memory."""
    found: np.ndarray = np.lib.format.open_memmap(path, mode="r")[rows]
    return found


def extracted(network: Any, images_NSS: np.ndarray, batch_size: int) -> np.ndarray:
    """Return what a network says of images that lie in memory, batch by batch."""
    import torch

    found = []
    with torch.inference_mode():
        for start in range(0, len(images_NSS), batch_size):
            x_N3SS = _as_imagenet(torch.from_numpy(images_NSS[start : start + batch_size]))
            found.append(network(x_N3SS).flatten(1))
    array: np.ndarray = torch.cat(found).numpy()
    return array


def trained(network: Any, optimiser: Any, images_NSS: Any, labels: Any, batches: Sequence[Any]) -> float:
    """Take one step of the optimiser a batch; return the last loss."""
    import torch

    network.train()
    for rows in batches:
        optimiser.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(network(_as_imagenet(images_NSS[rows])), labels[rows])
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def _as_imagenet(x_NSS: Any) -> Any:
    import torch

    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    grey = x_NSS[:, None].float() / 255
    return ((grey - mean) / std).contiguous(memory_format=torch.channels_last)
