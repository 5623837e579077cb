"""Hyper-parameters chosen with Optuna on the training and validation parts alone."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.budgets import Budget
from harness.errors import HarnessError, ModelError, RecordError, TrialPruned, UnknownName
from harness.journals import Shelf, quiet
from harness.registry import parameters_of
from harness.searches import METRIC, Search
from harness.studies import Claimed, Study, TimeIsUp, Trial, began
from harness.types import Progress

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

__all__ = ["Tuning", "chosen", "tune"]


@dataclass(frozen=True)
class Tuning:
    """The history of a search, its choice first of all.

    `trials` counts those that ended within the budget, `pruned` and `failed` are among them. A trial that the end
    of the time cut short is in the history, but not counted.
    """

    trials: int
    pruned: int
    failed: int
    best_trial: int
    best_value: float | None
    parameters: dict[str, Any]
    budget: dict[str, Any]
    judged_on: str | None = None
    seconds: float = 0.0
    history: list[Trial] = field(default_factory=list)
    metric: str = METRIC

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def tune(
    search: Search, budget: Budget, *, seed: int, shelf: Shelf | None = None, progress: Progress | None = None
) -> Tuning:
    """Return the best parameters that the budget finds; the first trial is always the defaults.

    Only a strictly better trial replaces an earlier one, so ties stay with the defaults. With one
    trial, or nothing to choose, no model is fitted: there is nothing to compare the defaults with.
    A study on a shelf goes on where it was left. Raises `ModelError` when no trial was completed or the
    search space is none, `StudyDamaged` for a damaged journal, `RecordError` for a folder that cannot be written.
    """
    space = _Space(search) if budget.tunes and search.search_space is not None else None
    if space is None or not space.distributions:
        only = 0 if budget == Budget(0) else 1
        return Tuning(only, 0, 0, 0, None, {}, budget.as_dict())
    study = Study(shelf, seed=seed, by_folds=search.folds > 0, judged_on=search.judged_on)
    while (claimed := study.claim(budget, space.defaults, space.ask, search.making)) is not None:
        if progress is not None:
            progress(*_stage(claimed.number, budget, study))
        _run(search, claimed)
    return chosen(study, budget)


def chosen(study: Study, budget: Budget) -> Tuning:
    """Return the choice among the trials that the budget counts. Raises `ModelError` when none was completed."""
    trials = study.trials()
    history = list(trials[: budget.counted(trials)])
    usable = [t for t in history if t.value is not None]
    if not usable:
        reason = history[0].failure if history else "none has begun"
        raise ModelError(f"all {len(history)} trials failed; the first: {reason}")
    best = max(usable, key=lambda t: (t.value, -t.number))
    cut = [t for t in trials[len(history) : len(history) + 1] if budget.seconds is not None]
    return Tuning(
        trials=len(history),
        pruned=sum(t.state == "pruned" for t in history),
        failed=sum(t.state == "failed" for t in history),
        best_trial=best.number,
        best_value=best.value,
        parameters=best.parameters,
        budget=budget.as_dict(),
        judged_on=study.judged_on,
        seconds=round(sum(t.seconds for t in [*history, *cut]), 3),
        history=[*history, *cut],
    )


def _stage(number: int, budget: Budget, study: Study) -> tuple[str, float | None]:
    if budget.seconds is None:
        return f"trial {number + 1} of {budget.trials}", number / budget.trials
    return f"trial {number + 1}, {budget}", min(1.0, study.spent_seconds() / budget.seconds)


def _run(search: Search, claimed: Claimed) -> None:
    """Carry out a trial. A folder that cannot be written is no fault of the trial, which is left to the next run."""
    try:
        _judge(search, claimed)
    except RecordError:
        with suppress(RecordError):  # the disk may be full still; the trial is released in any case
            claimed.leave()
        raise


def _judge(search: Search, claimed: Claimed) -> None:
    """Write down how a trial ended. What stops this process leaves it to the next one."""
    try:
        claimed.start()
        value = search.value(claimed.parameters, claimed)
    except TimeIsUp:
        claimed.leave()
    except RecordError:
        raise
    except TrialPruned as reason:
        claimed.end("pruned", reason=str(reason))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything; its trial says what
        claimed.end("failed", reason=_reason(error))
    except BaseException:
        claimed.leave()
        raise
    else:
        claimed.end("complete", value)


def _reason(error: BaseException) -> str:
    """Return one line that says what was raised and, of an error that isn't ours, where."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, HarnessError) or not frames:
        return said
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


class _Space:
    """A model's search space, tried out once: which parameters it may choose. Raises `ModelError` when it is none."""

    def __init__(self, search: Search) -> None:
        import optuna

        assert search.search_space is not None
        self._space, self._known = search.search_space, parameters_of(search.create)
        with quiet():
            probe = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
        self.ask(probe)
        self.distributions = probe.distributions
        self.defaults = self._expressed(dict(vars(search.create(**search.fixed))))

    def ask(self, trial: optuna.Trial) -> Mapping[str, Any]:
        """Return the parameters that the space makes of a trial's suggestions."""
        try:
            parameters = self._space(trial)
        except Exception as error:
            raise ModelError(f"its search_space raised {_reason(error)}") from error
        if not isinstance(parameters, Mapping):
            raise ModelError(f"its search_space returned {parameters!r}, no dict of parameters")
        for name in parameters:
            if self._known is not None and name not in self._known:
                raise ModelError(f"its search_space: {UnknownName('parameter', str(name), self._known)}")
        try:
            json.dumps(dict(parameters), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"its search_space returned parameters that JSON cannot hold: {error}"
            ) from error
        return parameters

    def _expressed(self, values: Mapping[str, Any]) -> FrozenTrial:
        """Return the trial of the defaults; the sampler knows their values where the space can express them."""
        import optuna

        fixed = optuna.trial.FixedTrial(dict(values))
        try:
            self._space(cast("optuna.Trial", fixed))
            found = fixed.distributions
            return began({}, {name: values[name] for name in found}, dict(found))
        except (ValueError, KeyError, TypeError):
            return began({}, {}, {})  # a default outside the space: the sampler starts without it
