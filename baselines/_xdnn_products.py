"""Inner products of feature vectors: where they are computed, looked up and kept up to date."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["EPS", "Block", "Product", "grown", "make_product"]

EPS = float(np.finfo(np.float64).eps)

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(A, d), (B, d) -> (A, B), the inner products of their rows, in their precision or a higher one."""


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


class Block:
    """Inner products of a block's rows with each other and with every prototype, kept up to date.

    Parameters
    ----------
    gram_NN : products that contain those of the block's rows with each other.
    at_B : which of its rows and columns are the block's.
    scale_N : factors by which each row and column is to be multiplied, None for 1.
    old_BP : products of the block's rows with the prototypes there were before the block, if any.
    totals_B : products of the block's rows with the sum of all samples before the block.

    Attributes
    ----------
    squares : squared norms of the block's rows (B,).
    """

    def __init__(
        self,
        gram_NN: np.ndarray,
        at_B: np.ndarray,
        scale_N: np.ndarray | None,
        old_BP: np.ndarray | None,
        totals_B: np.ndarray,
    ) -> None:
        self._gram = gram_NN
        self._at = at_B
        self._at_list = at_B.tolist()  # Python's numbers: reading single ones from an array is slow
        self._scale = scale_N
        self._scale_list = None if scale_N is None else scale_N[at_B].tolist()
        self._old = old_BP
        self._n_old = 0 if old_BP is None else old_BP.shape[1]
        self._total_list = totals_B.tolist()
        self.squares = np.diagonal(gram_NN)[at_B]
        if scale_N is not None:
            self.squares = self.squares * scale_N[at_B] ** 2
        self._seen = np.zeros(len(gram_NN))  # the factors of the rows seen so far
        self._founders = np.empty(len(at_B), dtype=np.intp)
        self._founder_scales = np.empty(len(at_B))
        self._n_new = 0
        self._merged_places: dict[int, int] = {}
        self._merged_slots = np.empty(0, dtype=np.intp)
        self._merged = np.empty((0, len(at_B)))
        self._products = np.empty(self._n_old + len(at_B))

    def products(self, row: int) -> tuple[np.ndarray, float]:
        """Return the products of a row with all prototypes of now (P,) and with the sum of all samples up to it.

        Rows are asked for in their order. The array is the caller's until the next call.
        """
        n_old, n_new = self._n_old, self._n_new
        at = self._at_list[row]
        gram_N = self._gram[at]
        products = self._products[: n_old + n_new]
        if self._old is not None:
            products[:n_old] = self._old[row]
        new = products[n_old:]
        gram_N.take(self._founders[:n_new], out=new, mode="clip")
        scale = 1.0
        if self._scale_list is not None:
            scale = self._scale_list[row]
            new *= self._founder_scales[:n_new]
            new *= scale
        n_merged = len(self._merged_places)
        if n_merged:
            products[self._merged_slots[:n_merged]] = self._merged[:n_merged, row]
        self._seen[at] = scale
        return products, self._total_list[row] + scale * float(gram_N.dot(self._seen))

    def add(self, row: int) -> None:
        """Make a row the newest prototype."""
        at = self._at_list[row]
        self._founders[self._n_new] = at
        self._founder_scales[self._n_new] = self._seen[at]
        self._n_new += 1

    def merge(self, slot: int, row: int, keep: float, take: float) -> None:
        """Turn prototype `slot` into `keep` times itself plus `take` times a row."""
        if slot not in self._merged_places:
            self._start_merging(slot)
        products = self._merged[self._merged_places[slot]]
        products *= keep
        products += take * self._with_block(self._at_list[row])

    def _with_block(self, at: int) -> np.ndarray:
        """Return the products of a row of the matrix with the block's rows (B,)."""
        products: np.ndarray = self._gram[at].take(self._at)
        if self._scale is not None:
            products *= self._scale[self._at]
            products *= self._scale[at]
        return products

    def _start_merging(self, slot: int) -> None:
        place = len(self._merged_places)
        if place == len(self._merged):
            self._merged = grown(self._merged, max(8, 2 * place))
            self._merged_slots = grown(self._merged_slots, max(8, 2 * place))
        if self._old is not None and slot < self._n_old:
            self._merged[place] = self._old[:, slot]
        else:
            self._merged[place] = self._with_block(self._founders[slot - self._n_old])
        self._merged_slots[place] = slot
        self._merged_places[slot] = place


def grown(array: np.ndarray, capacity: int) -> np.ndarray:
    """Return a copy with room for `capacity` rows; what the new ones hold is arbitrary."""
    larger = np.empty((capacity, *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
