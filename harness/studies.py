"""Studies: the trials of one search in a journal that outlives its process and that several processes share.

The claim of a trial is a lock of the operating system: a trial that is running and that nobody holds was left by a
killed process, and is run again with the parameters it had, which were written in one line with its number.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.budgets import Budget
from harness.errors import TrialPruned
from harness.journals import Shelf, damage_named, opened, quiet
from harness.records import writable

if TYPE_CHECKING:
    import optuna
    from filelock import BaseFileLock
    from optuna.trial import FrozenTrial

__all__ = ["Claimed", "Study", "Trial", "began"]

STARTUP_TRIALS = 5
"""Trials, the defaults among them, before TPE (Bergstra et al., 2011) sets in; its default of 10 is half of `paper`.

`quick` has no more than these: it is the defaults and four draws at random.
"""

MEDIAN_STARTUP = 4
MEDIAN_WARM_UP = 20  # hundredths of a training, the warm-up of the learning rate
FOLD_P = 0.2
"""Wilcoxon's signed-rank test stops a trial whose folds are worse than the best trial's: 0.2 takes three of three."""

LEAST_FOR_IMPORTANCE = 5
"""Complete trials from which the importance of parameters is told."""

MOST_DEATHS = 3
"""A trial that takes its process with it so often, without getting further, has failed."""

WAIT_SECONDS = 0.2

Ask = Callable[["optuna.Trial"], Mapping[str, Any]]
"""A search space: suggests values, returns parameters."""


@dataclass(frozen=True)
class Trial:
    """One set of parameters and how it ended: 'complete', 'pruned', 'failed' or, cut short, 'unfinished'.

    `value` is None for all but complete trials. `intermediate` are (step, value) pairs in the order of their
    steps: hundredths of a training, or folds.
    """

    number: int
    parameters: dict[str, Any]
    state: str
    value: float | None
    seconds: float
    failure: str | None = None
    intermediate: tuple[tuple[int, float], ...] = ()

    @property
    def ended(self) -> bool:
        return self.state != "unfinished"


@dataclass
class Claimed:
    """A trial that this process runs."""

    study: Study
    frozen: FrozenTrial
    lock: BaseFileLock | None
    budget: Budget
    making: Callable[[], float]
    reported: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        self.reported = dict(self.frozen.intermediate_values)
        self._earlier = float(self.frozen.user_attrs.get("seconds", 0.0))
        self._start, self._made = perf_counter(), self.making()

    @property
    def number(self) -> int:
        return self.frozen.number

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.frozen.user_attrs["parameters"])

    @property
    def folder(self) -> Path | None:
        return self.study.shelf.unfinished(self.number) if self.study.shelf is not None else None

    @property
    def seconds(self) -> float:
        """Time that this trial has taken, in processes that died before as well; filling caches is not its doing."""
        made = self.making() - self._made
        return self._earlier + max(0.0, perf_counter() - self._start - made)

    def taken_up(self) -> bool:
        """Count a death of the trial's process; False, and the trial has failed, when it was one too many."""
        attributes, reported = self.frozen.user_attrs, len(self.reported)
        deaths = 0 if attributes.get("left") else 1
        if deaths and attributes.get("died_at") == reported:
            deaths += attributes["deaths"]
        if deaths >= MOST_DEATHS:
            self.end("failed", reason=f"its process died {deaths} times at the same place (out of memory?)")
            return False
        trial = self.study.running(self.frozen)
        for name, value in {"left": True, "died_at": reported, "deaths": deaths}.items():
            trial.set_user_attr(name, value)
        return True

    def start(self) -> None:
        """Begin to work: from here until it is left or ends, the end of the process is a death."""
        with self.study.writing():
            self.study.running(self.frozen).set_user_attr("left", False)

    def report(self, step: int, value: float, *, last: bool = False) -> None:
        """Keep a value. Raises `TrialPruned` when the trial is not worth going on or the time is up.

        After the last value there is nothing to save any more. A value that is known already is not written
        again, but judged: the process that wrote it may have died before it judged.
        """
        known = step in self.reported
        self.reported.setdefault(step, float(value))
        with self.study.writing():
            trial = self.study.running(self.frozen)
            if not known:
                trial.report(value, step)
                trial.set_user_attr("seconds", round(self.seconds, 3))
            if last or step < max(self.reported):  # earlier values were judged, or the next was never known
                return
            if self.number > 0 and self.study.spent_seconds() >= (self.budget.seconds or np.inf):
                raise TimeIsUp(f"the time is up after {len(self.reported)} reports")
            if trial.should_prune():
                raise TrialPruned(f"stopped after {len(self.reported)} reports")

    def end(self, state: str, value: float | None = None, reason: str | None = None) -> None:
        """Write down how the trial ended; what it left unfinished goes."""
        from optuna.trial import TrialState

        with self.study.writing():
            trial = self.study.running(self.frozen)
            trial.set_user_attr("seconds", round(self.seconds, 3))
            if reason is not None:
                trial.set_user_attr("reason", reason)
            states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
            self.study.tell(trial, value, states[state])
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def leave(self) -> None:
        """Leave the trial to whoever goes on with the study: nobody died."""
        try:
            with self.study.writing():
                trial = self.study.running(self.frozen)
                trial.set_user_attr("seconds", round(self.seconds, 3))
                trial.set_user_attr("left", True)
        finally:
            self.release()

    def release(self) -> None:
        if self.lock is not None:
            self.lock.release()


class TimeIsUp(TrialPruned):
    """The time of a cell's tuning is spent; the trial goes on where there is more of it."""


class Study:
    """The trials of one search, best first asked for by TPE whose random state follows from seed and number.

    Without a shelf it lives in memory. Raises `StudyDamaged` for a journal that is none, `RecordError` for a
    folder that cannot be written.
    """

    def __init__(
        self, shelf: Shelf | None, *, seed: int, by_folds: bool, judged_on: str | None = None
    ) -> None:
        import optuna

        self.shelf, self._seed = shelf, seed
        with self.writing(), self._alone():
            storage = optuna.storages.InMemoryStorage() if shelf is None else opened(shelf)
            with damage_named(shelf):
                self.optuna = optuna.create_study(
                    storage=storage,
                    study_name=shelf.key if shelf is not None else None,
                    load_if_exists=True,
                    direction="maximize",
                    pruner=_pruner(by_folds),
                )
                self._frozen()
                if judged_on is not None and self.judged_on != judged_on:
                    self.optuna.set_user_attr("judged_on", judged_on)

    @property
    def judged_on(self) -> str | None:
        """What the value of a trial comes from, in words."""
        return self.optuna.user_attrs.get("judged_on")

    def importances(self, count: int) -> dict[str, float]:
        """Return each parameter's share of the differences among the first `count` trials.

        By fANOVA (Hutter et al., 2014). Raises `ValueError` with the reason where it cannot be told.
        """
        import optuna

        usable = [t for t in self._frozen()[:count] if t.state.name == "COMPLETE" and t.params]
        if len(usable) < LEAST_FOR_IMPORTANCE:
            raise ValueError(f"only {len(usable)} complete trials")
        if len({trial.value for trial in usable}) == 1:
            raise ValueError("all complete trials are equally good")
        with quiet():
            scratch = optuna.create_study(direction="maximize")
            scratch.add_trials(usable)
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            return optuna.importance.get_param_importances(scratch, evaluator=evaluator)

    def suggested(self, count: int) -> dict[int, dict[str, Any]]:
        """Return what Optuna knows of the parameters of the first `count` trials, by number."""
        return {frozen.number: dict(frozen.params) for frozen in self._frozen()[:count]}

    def trials(self) -> list[Trial]:
        """Return all trials in the order of their numbers."""
        return [_seen(frozen) for frozen in self._frozen()]

    def spent_seconds(self) -> float:
        return sum(float(frozen.user_attrs.get("seconds", 0.0)) for frozen in self._frozen())

    def claim(
        self, budget: Budget, defaults: FrozenTrial, ask: Ask, making: Callable[[], float]
    ) -> Claimed | None:
        """Return the next trial to run, None when the budget is spent; trials of other processes are waited for.

        Trials whose process died come first, then a new one.
        """
        while True:
            with self.writing(), self._alone():
                frozen = self._frozen()
                left = self._left(frozen, budget, making)
                if left is not None:
                    return left
                if budget.allows(len(frozen), self.spent_seconds()):
                    return self._new(frozen, budget, defaults, ask, making)
                if not self._held(frozen, budget):
                    return None
            sleep(WAIT_SECONDS)

    def running(self, frozen: FrozenTrial) -> optuna.Trial:
        """Return Optuna's handle of a trial that is running, whichever process began it."""
        import optuna

        return optuna.trial.Trial(self.optuna, frozen._trial_id)

    def tell(self, trial: optuna.Trial, value: float | None, state: optuna.trial.TrialState) -> None:
        with quiet():
            self.optuna.tell(trial, value, state=state)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what the operating system refuses into one line."""
        with writable(self.shelf.folder) if self.shelf is not None else nullcontext(), quiet():
            yield

    def _frozen(self) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time begin trials."""
        with self.shelf.lock("study") if self.shelf is not None else nullcontext():
            yield

    def _left(self, frozen: list[FrozenTrial], budget: Budget, making: Callable[[], float]) -> Claimed | None:
        """Return a running trial that nobody runs and the budget has room for."""
        spent = self.spent_seconds()
        for trial in frozen:
            if trial.state.is_finished() or not budget.allows(trial.number, spent):
                continue
            lock = self._lock_of(trial)
            if lock is None:
                continue
            claimed = Claimed(self, trial, lock, budget, making)
            if claimed.taken_up():
                return claimed
        return None

    def _held(self, frozen: list[FrozenTrial], budget: Budget) -> bool:
        """True when another process runs a trial that the budget counts."""
        for trial in frozen if self.shelf is not None else []:
            if trial.state.is_finished() or (budget.seconds is None and trial.number >= budget.trials):
                continue
            lock = self._lock_of(trial)
            if lock is None:
                return True
            lock.release()
        return False

    def _lock_of(self, trial: FrozenTrial) -> BaseFileLock | None:
        """Return the lock of a trial, held; None while another process holds it."""
        from filelock import Timeout

        assert self.shelf is not None  # in memory a trial ends before the next one begins
        lock = self.shelf.lock(f"trial-{trial.number}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def _new(
        self,
        frozen: list[FrozenTrial],
        budget: Budget,
        defaults: FrozenTrial,
        ask: Ask,
        making: Callable[[], float],
    ) -> Claimed:
        """Begin a trial: its parameters are written in one piece, and it is held before anybody can see it."""
        number = len(frozen)
        lock = None
        if self.shelf is not None:
            lock = self.shelf.lock(f"trial-{number}")
            lock.acquire(timeout=0)
        self.optuna.add_trial(defaults if number == 0 else self._asked(frozen, ask))
        return Claimed(self, self._frozen()[number], lock, budget, making)

    def _asked(self, frozen: list[FrozenTrial], ask: Ask) -> FrozenTrial:
        """Return a running trial with the parameters that TPE proposes after these trials."""
        import optuna

        sampler = optuna.samplers.TPESampler(
            seed=_seed_of(self._seed, len(frozen)),
            n_startup_trials=STARTUP_TRIALS,
            multivariate=True,
            constant_liar=True,  # trials of other processes are taken for bad ones, so that nobody repeats them
        )
        scratch = optuna.create_study(direction="maximize", sampler=sampler)
        scratch.add_trials(frozen)
        trial = scratch.ask()
        parameters = ask(trial)
        return began(parameters, trial.params, trial.distributions)


def began(
    parameters: Mapping[str, Any], params: dict[str, Any], distributions: dict[str, Any]
) -> FrozenTrial:
    """Return a trial that begins: `parameters` are the model's, `params` what Optuna knows of them."""
    import optuna

    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params=params,
        distributions=distributions,
        user_attrs={"parameters": json.loads(json.dumps(dict(parameters))), "left": True},
    )


def _seen(frozen: FrozenTrial) -> Trial:
    states = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    state = states.get(frozen.state.name, "unfinished")
    return Trial(
        number=frozen.number,
        parameters=dict(frozen.user_attrs["parameters"]),
        state=state,
        value=frozen.value if state == "complete" else None,
        seconds=float(frozen.user_attrs.get("seconds", 0.0)),
        failure=frozen.user_attrs.get("reason"),
        intermediate=tuple(sorted(frozen.intermediate_values.items())),
    )


def _seed_of(seed: int, number: int) -> int:
    """Return 32 bits that follow from both: a study that goes on draws what it would have drawn."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


def _pruner(by_folds: bool) -> optuna.pruners.BasePruner:
    """Return what stops a trial early.

    Folds are the same images in each trial, so trials are compared fold by fold, as Optuna's documentation says of
    cross-validation; a training is compared with the median of the earlier ones at the same point.
    """
    import optuna

    with quiet():
        if by_folds:
            return optuna.pruners.WilcoxonPruner(p_threshold=FOLD_P)
        return optuna.pruners.MedianPruner(n_startup_trials=MEDIAN_STARTUP, n_warmup_steps=MEDIAN_WARM_UP)
