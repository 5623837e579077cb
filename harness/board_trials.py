"""What a row says of its tuning: how many settings were tried for each cell, and in which budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.budgets import Budget
from harness.errors import RecordError

__all__ = ["Tried", "tried_in"]


@dataclass(frozen=True)
class Tried:
    """Trials of each cell of a row, those among them that were stopped early or failed, and the budget of them all.

    >>> str(Tried((20, 20), (5, 7), (0, 0), Budget(20))), str(Tried((23,), (0,), (1,), Budget(seconds=600)))
    ('20 (5-7 pruned)', '23 in 10 min (1 failed)')
    """

    trials: tuple[int, ...]
    pruned: tuple[int, ...]
    failed: tuple[int, ...]
    budget: Budget

    def __str__(self) -> str:
        beside = [f"{_range(n)} {what}" for what, n in self._beside.items() if any(n)]
        time = f" in {str(self.budget).removesuffix(' of tuning')}" if self.budget.seconds is not None else ""
        return _range(self.trials) + time + (f" ({', '.join(beside)})" if beside else "")

    @property
    def _beside(self) -> dict[str, tuple[int, ...]]:
        return {"pruned": self.pruned, "failed": self.failed}

    def as_dict(self) -> dict[str, Any]:
        """Return lists with one number a cell, and the budget."""
        return {"trials": list(self.trials), **{k: list(v) for k, v in self._beside.items()}} | {
            "budget": self.budget.as_dict()
        }


def tried_in(manifests: Sequence[Mapping[str, Any]]) -> Tried | None:
    """Return what these finished cells of a row tried; None for no cells.

    Raises `RecordError` for a manifest whose budget is none that this harness knows.
    """
    if not manifests:
        return None
    tunings = [manifest["tuning"] or {} for manifest in manifests]
    trials, pruned, failed = (
        tuple(int(tuning.get(name, 0)) for tuning in tunings) for name in ("trials", "pruned", "failed")
    )
    return Tried(trials, pruned, failed, _budget(manifests[0], trials[0]))


def _budget(manifest: Mapping[str, Any], trials: int) -> Budget:
    """Return the budget of a cell; records of before have trials alone."""
    said = (manifest["tuning"] or {}).get("budget") or {"trials": trials}
    try:
        return Budget(**said)
    except TypeError as error:
        raise RecordError(
            f"record {manifest.get('key')!r}: its tuning has the budget {said!r}, expected trials or seconds; "
            "delete the folder and run again"
        ) from error


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"
