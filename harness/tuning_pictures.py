"""A study as a picture: how its trials went, which parameters mattered, and where good values lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.studies import Trial
from harness.tuning import Tuning

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Sketch", "picture"]

COMPLETE, PRUNED, FAILED, DEFAULTS, CHOSEN = "#1f5fa8", "#9aa3ad", "#c0392b", "#111111", "#e08a00"
GREY = "#555555"
MOST_SLICES = 4
"""Parameters that get a panel of their own, the most important ones."""

LOG_FACTOR = 10
"""A parameter whose values span more than this factor is drawn on a logarithmic axis."""


FAR_OUT, LEAST_SPAN = 3.0, 0.02
"""The axis reaches so many times as far below the best as a quarter of the trials do, and at least this far."""


@dataclass(frozen=True)
class Sketch:
    """What a picture shows: the trials and their choice, what they are about, and the importance of parameters.

    `suggested` are the values of each trial by parameter as Optuna knows them, by the trial's number; `reason`
    says why `importances` is empty.
    """

    title: str
    subtitle: str
    tuning: Tuning
    importances: Mapping[str, float]
    reason: str | None
    suggested: Mapping[int, Mapping[str, Any]]

    @cached_property
    def levels(self) -> dict[int, float]:
        """The value of each trial by number; of one that was stopped, the mean of its folds or its last value."""
        by_folds = "fold" in (self.tuning.judged_on or "")
        found = {}
        for trial in self.tuning.history:
            values = [value for _, value in trial.intermediate]
            if trial.value is not None:
                found[trial.number] = trial.value
            elif values:
                found[trial.number] = sum(values) / len(values) if by_folds else values[-1]
        return found

    @cached_property
    def floor(self) -> float:
        """The lower end of the axis: far outliers stand on it, so that they do not flatten all others."""
        ordered = sorted(self.levels.values())
        top, quarter = ordered[-1], ordered[len(ordered) // 4]
        return max(
            top - max(FAR_OUT * (top - quarter), LEAST_SPAN), ordered[0] - 0.06 * (top - ordered[0]) - 1e-3
        )

    @cached_property
    def ceiling(self) -> float:
        top = max(self.levels.values())
        return top + 0.08 * (top - self.floor)


def picture(sketch: Sketch) -> Figure:
    """Return the figure: history and importance above, a panel a parameter below."""
    from matplotlib.figure import Figure

    names = _names(sketch)
    figure = Figure(figsize=(11, 7.4 if names else 4.2), dpi=130, layout="constrained")
    figure.suptitle(sketch.title, fontsize=14, fontweight="bold")
    ratios = [1.15, 1.0] if names else [1.0]
    parts = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    history, importance = parts[0].subplots(1, 2, width_ratios=[2.1, 1])
    _draw_history(history, sketch)
    _draw_importance(importance, sketch)
    by_label = dict(zip(*reversed(history.get_legend_handles_labels()), strict=True))
    parts[0].legend(by_label.values(), by_label.keys(), loc="outside lower center", ncols=6, fontsize=8.5)
    if names:
        panels = parts[1].subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            _draw_slice(axes, name, sketch)
        panels[0].set_ylabel(sketch.tuning.metric)
    return figure


def _names(sketch: Sketch) -> list[str]:
    """Return the parameters that get a panel, the most important first."""
    names = {name: None for values in sketch.suggested.values() for name in values}
    return sorted(names, key=lambda name: -sketch.importances.get(name, 0.0))[:MOST_SLICES]


def _draw_history(axes: Axes, sketch: Sketch) -> None:
    trials = sketch.tuning.history
    axes.set_title(sketch.subtitle, fontsize=9.5, loc="left", color=GREY)
    _draw_best_so_far(axes, trials)
    for trial in trials:
        _draw_trial(axes, trial, trial.number, sketch)
    axes.set_xlabel("trial")
    axes.set_ylabel(sketch.tuning.metric)
    axes.set_xlim(-0.7, max(len(trials), 2) - 0.3)
    axes.set_ylim(sketch.floor, sketch.ceiling)
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y", alpha=0.3)


def _draw_trial(axes: Axes, trial: Trial, x: Any, sketch: Sketch) -> None:
    """Mark a trial; one below the axis stands on it with its value, one without a value is a cross there."""
    level = sketch.levels.get(trial.number)
    if level is None:
        where = axes.get_xaxis_transform()
        axes.scatter(
            [x], [0.03], marker="x", s=40, color=FAILED, label=trial.state, transform=where, zorder=3
        )
        return
    complete, low = trial.value is not None, level < sketch.floor
    colour = DEFAULTS if trial.number == 0 else COMPLETE if complete else PRUNED
    label = "defaults" if trial.number == 0 else "complete" if complete else "stopped early (as far as known)"
    y = sketch.floor + 0.02 * (sketch.ceiling - sketch.floor) if low else level
    axes.scatter(
        [x],
        [y],
        s=44 if trial.number == 0 else 28,
        marker="D" if trial.number == 0 else "o" if complete else "v",
        color=colour if complete else "none",
        edgecolors=colour,
        label=label,
        zorder=3,
        clip_on=False,
    )
    if low:
        axes.annotate(
            f"{level:.2f}", (x, y), (0, 7), textcoords="offset points", ha="center", fontsize=7, color=GREY
        )
    if trial.number == sketch.tuning.best_trial:
        axes.scatter(
            [x], [y], s=150, facecolors="none", edgecolors=CHOSEN, linewidths=2, label="chosen", zorder=4
        )


def _draw_best_so_far(axes: Axes, trials: Sequence[Trial]) -> None:
    best: list[tuple[int, float]] = []
    for trial in trials:
        if trial.value is not None and (not best or trial.value > best[-1][1]):
            best.append((trial.number, trial.value))
    numbers = [number for number, _ in best] + [len(trials) - 1]
    values = [value for _, value in best] + [best[-1][1]]
    axes.step(numbers, values, where="post", color=COMPLETE, alpha=0.45, label="best so far")


def _draw_importance(axes: Axes, sketch: Sketch) -> None:
    axes.set_title("importance of parameters (fANOVA)", fontsize=9.5, loc="left", color=GREY)
    if not sketch.importances:
        axes.axis("off")
        axes.text(0.5, 0.5, f"cannot be told:\n{sketch.reason}", ha="center", va="center", color=GREY)
        return
    names = sorted(sketch.importances, key=lambda name: sketch.importances[name])
    bars = axes.barh(names, [sketch.importances[name] for name in names], color=COMPLETE, height=0.45)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
    axes.set_xlim(0, 1.18)
    axes.set_ylim(-0.7, max(len(names), 2) - 0.3)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xlabel("share of the differences")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_slice(axes: Axes, name: str, sketch: Sketch) -> None:
    """Draw the trials over the values of one parameter."""
    shown = [
        t
        for t in sketch.tuning.history
        if name in sketch.suggested.get(t.number, {}) and t.number in sketch.levels
    ]
    values = [sketch.suggested[t.number][name] for t in shown]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    numeric = len(numbers) == len(values)
    if numeric and numbers and min(numbers) > 0 and max(numbers) > LOG_FACTOR * min(numbers):
        axes.set_xscale("log")
    for trial, value in zip(shown, values, strict=True):
        _draw_trial(axes, trial, value if numeric else str(value), sketch)
    axes.set_xlabel(name)
    axes.set_ylim(sketch.floor, sketch.ceiling)
    axes.margins(x=0.12)
    axes.grid(alpha=0.25)
