"""Inner products of feature vectors: where they are computed, looked up and kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

__all__ = ["EPS", "Block", "GramRows", "Product", "grown", "make_product"]

EPS = float(np.finfo(np.float64).eps)

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""float64 (A, d), (B, d) -> float64 (A, B), the inner products of their rows."""


def make_product(device: str) -> Product:
    """Return the function that computes inner products: NumPy's on the "cpu", torch's on another device."""
    if device == "cpu":
        return _numpy_product
    import torch

    def torch_product(a_AD: np.ndarray, b_BD: np.ndarray) -> np.ndarray:
        a = torch.as_tensor(a_AD, dtype=torch.float64, device=device)
        b = a if a_AD is b_BD else torch.as_tensor(b_BD, dtype=torch.float64, device=device)
        product: np.ndarray = (a @ b.T).cpu().numpy()
        return product

    return torch_product


def _numpy_product(a_AD: np.ndarray, b_BD: np.ndarray) -> np.ndarray:
    product: np.ndarray = a_AD @ b_BD.T
    return product


class GramRows:
    """Some rows and columns of a product of raw features, as products of rows divided by `lengths_N`."""

    def __init__(
        self, gram_NN: np.ndarray, rows: np.ndarray, columns: np.ndarray, lengths_N: np.ndarray | None
    ) -> None:
        self._gram = gram_NN
        self._rows = rows
        self._columns = columns
        self._lengths = lengths_N
        self._column_lengths = None if lengths_N is None else lengths_N[columns]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> np.ndarray:
        at = self._rows[row]
        products: np.ndarray = self._gram[at].take(self._columns)
        if self._lengths is not None:
            products /= self._lengths[at]
            products /= self._column_lengths
        return products

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def diagonal(self) -> np.ndarray:
        """Return the squared norms (B,), where rows and columns are the same."""
        diagonal: np.ndarray = np.diagonal(self._gram)[self._rows]
        return diagonal if self._lengths is None else diagonal / self._lengths[self._rows] ** 2


class Block:
    """Inner products of a block's rows with each other and with every prototype, kept up to date.

    Parameters
    ----------
    gram_BB : products of the block's rows with each other, by row.
    old_BP : products of the block's rows with the prototypes there were before the block, if any.
    totals_B : products of the block's rows with the sum of all samples before the block.
    """

    def __init__(
        self, gram_BB: np.ndarray | GramRows, old_BP: np.ndarray | None, totals_B: np.ndarray
    ) -> None:
        self.squares = gram_BB.diagonal()
        self._gram = gram_BB
        self._old = old_BP
        self._n_old = 0 if old_BP is None else old_BP.shape[1]
        self._totals = totals_B
        self._row = gram_BB[0]
        self._founders = np.empty(len(gram_BB), dtype=np.intp)
        self._n_new = 0
        self._merged_places: dict[int, int] = {}
        self._merged_slots = np.empty(0, dtype=np.intp)
        self._merged = np.empty((0, len(gram_BB)))
        self._products = np.empty(self._n_old + len(gram_BB))
        self._ones = np.ones(len(gram_BB))

    def products(self, row: int) -> tuple[np.ndarray, float]:
        """Return the products of a row with all prototypes of now (P,) and with the sum of all samples up to it.

        Rows are asked for in their order. The array is the caller's until the next call.
        """
        self._row = self._gram[row]
        products = self._products[: self._n_old + self._n_new]
        if self._old is not None:
            products[: self._n_old] = self._old[row]
        self._row.take(self._founders[: self._n_new], out=products[self._n_old :], mode="clip")
        n_merged = len(self._merged_places)
        if n_merged:
            products[self._merged_slots[:n_merged]] = self._merged[:n_merged, row]
        within = self._row[: row + 1].dot(self._ones[: row + 1])
        return products, float(self._totals[row] + within)

    def add(self, row: int) -> None:
        """Make the last row that was asked for the newest prototype."""
        self._founders[self._n_new] = row
        self._n_new += 1

    def merge(self, slot: int, keep: float, take: float) -> None:
        """Turn prototype `slot` into `keep` times itself plus `take` times the last row that was asked for."""
        if slot not in self._merged_places:
            self._start_merging(slot)
        products = self._merged[self._merged_places[slot]]
        products *= keep
        products += take * self._row

    def _start_merging(self, slot: int) -> None:
        place = len(self._merged_places)
        if place == len(self._merged):
            self._merged = grown(self._merged, max(8, 2 * place))
            self._merged_slots = grown(self._merged_slots, max(8, 2 * place))
        if self._old is not None and slot < self._n_old:
            self._merged[place] = self._old[:, slot]
        else:
            self._merged[place] = self._gram[self._founders[slot - self._n_old]]
        self._merged_slots[place] = slot
        self._merged_places[slot] = place


def grown(array: np.ndarray, capacity: int) -> np.ndarray:
    """Return a copy with room for `capacity` rows; what the new ones hold is arbitrary."""
    larger = np.empty((capacity, *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
