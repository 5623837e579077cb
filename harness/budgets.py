"""How long a model may be tuned: a number of trials, or seconds; the same for every model of a board."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.errors import UsageError

__all__ = ["Budget", "Spent", "seconds_of"]

UNITS = {"s": 1, "m": 60, "h": 3600}


class Spent(Protocol):
    """What a budget looks at in a trial."""

    @property
    def number(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def ended(self) -> bool: ...


@dataclass(frozen=True)
class Budget:
    """A number of trials or, where `seconds` is given, the time that all trials of a cell may take together."""

    trials: int = 0
    seconds: float | None = None

    def __str__(self) -> str:
        """Return it as the name of a row says it.

        >>> str(Budget(20)), str(Budget(seconds=600)), str(Budget(seconds=90)), str(Budget(seconds=0.5))
        ('20 trials', '10 min of tuning', '90 s of tuning', '0.5 s of tuning')
        """
        if self.seconds is None:
            return f"{self.trials} trials"
        whole_minutes = self.seconds >= 60 and self.seconds % 60 == 0
        return f"{self.seconds / 60:g} min of tuning" if whole_minutes else f"{self.seconds:g} s of tuning"

    @property
    def tunes(self) -> bool:
        """True when parameters are looked for; a single trial has nothing to be compared with."""
        return self.seconds is not None or self.trials > 1

    def as_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds} if self.seconds is not None else {"trials": self.trials}

    def allows(self, number: int, spent_seconds: float) -> bool:
        """Return whether trial `number` may begin when all others together took `spent_seconds`."""
        if self.seconds is not None:
            return number == 0 or spent_seconds < self.seconds
        return number < self.trials

    def counted(self, trials: Sequence[Spent]) -> int:
        """Return how many of the first trials count: with a budget of time those that ended within it.

        The defaults, trial 0, always count. `trials` run in the order of their numbers.
        """
        if self.seconds is None:
            return min(self.trials, len(trials))
        spent = 0.0
        for trial in trials:
            spent += trial.seconds
            if trial.number > 0 and (spent > self.seconds or not trial.ended):
                return trial.number
        return len(trials)


def seconds_of(text: str) -> float:
    """Return the seconds that '90s', '10m' or '1.5h' stand for. Raises `UsageError` for anything else.

    >>> seconds_of("90s"), seconds_of("10m"), seconds_of("1.5h")
    (90.0, 600.0, 5400.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise UsageError(f"--time-budget {text!r}: expected a time above 0 such as 90s, 10m or 1.5h")
    return seconds
