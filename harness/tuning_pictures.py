"""A study as a picture: how its trials went, which parameters mattered, and where good values lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.studies import Trial
from harness.tuning import Tuning

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Sketch", "picture"]

COMPLETE, PRUNED, FAILED, DEFAULTS, CHOSEN = "#1f5fa8", "#9aa3ad", "#c0392b", "#111111", "#e08a00"
MOST_SLICES = 4
"""Parameters that get a panel of their own, the most important ones."""

LOG_DECADES = 10
"""A parameter whose values span more than this factor is drawn on a logarithmic axis."""


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


def picture(sketch: Sketch) -> Figure:
    """Return the figure: history and importance above, a panel a parameter below."""
    from matplotlib.figure import Figure

    names = _names(sketch)
    figure = Figure(figsize=(11, 7.4 if names else 4.4), dpi=130, layout="constrained")
    figure.suptitle(f"{sketch.title}\n", fontsize=14, fontweight="bold")
    upper, *lower = figure.subfigures(
        2 if names else 1, 1, squeeze=False, height_ratios=[1.15, 1][: 1 + bool(names)]
    )[:, 0]
    history, importance = upper.subplots(1, 2, width_ratios=[2.1, 1])
    history.set_title(sketch.subtitle, fontsize=9.5, loc="left", color="#444444")
    _draw_history(history, sketch.tuning)
    _draw_importance(importance, sketch)
    for part in lower:
        for axes, name in zip(
            part.subplots(1, len(names), sharey=True, squeeze=False)[0], names, strict=True
        ):
            _draw_slice(axes, name, sketch)
        part.axes[0].set_ylabel(sketch.tuning.metric)
    return figure


def _names(sketch: Sketch) -> list[str]:
    """Return the parameters that get a panel, the most important first."""
    names = {name: None for values in sketch.suggested.values() for name in values}
    return sorted(names, key=lambda name: -sketch.importances.get(name, 0.0))[:MOST_SLICES]


def _draw_history(axes: Axes, tuning: Tuning) -> None:
    trials = tuning.history
    done = [t for t in trials if t.value is not None]
    pruned = [t for t in trials if t.value is None and t.intermediate]
    axes.scatter(
        [t.number for t in done], [_level(t) for t in done], s=26, color=COMPLETE, label="complete", zorder=3
    )
    if pruned:
        label = "stopped early (last known)"
        axes.scatter(
            [t.number for t in pruned],
            [_level(t) for t in pruned],
            s=34,
            marker="v",
            facecolors="none",
            edgecolors=PRUNED,
            label=label,
            zorder=2,
        )
    _draw_best_so_far(axes, done, len(trials))
    _draw_failed(axes, [t for t in trials if t.value is None and not t.intermediate])
    defaults = trials[0]
    if defaults.value is not None:
        axes.scatter([0], [defaults.value], marker="D", s=46, color=DEFAULTS, label="defaults", zorder=4)
    assert tuning.best_value is not None
    axes.scatter(
        [tuning.best_trial],
        [tuning.best_value],
        s=150,
        facecolors="none",
        edgecolors=CHOSEN,
        linewidths=2,
        label="chosen",
        zorder=5,
    )
    axes.set_xlabel("trial")
    axes.set_ylabel(tuning.metric)
    axes.set_xlim(-0.7, max(len(trials), 2) - 0.3)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8, loc="best", framealpha=0.9)


def _draw_best_so_far(axes: Axes, done: Sequence[Trial], count: int) -> None:
    best: list[tuple[int, float]] = []
    for trial in done:
        assert trial.value is not None
        if not best or trial.value > best[-1][1]:
            best.append((trial.number, trial.value))
    numbers = [number for number, _ in best] + [count - 1]
    axes.step(
        numbers,
        [v for _, v in best] + [best[-1][1]],
        where="post",
        color=COMPLETE,
        alpha=0.45,
        label="best so far",
    )


def _draw_failed(axes: Axes, failed: Sequence[Trial]) -> None:
    """Mark trials without any value at the lower edge."""
    for kind, colour, marker in (
        ("failed", FAILED, "x"),
        ("unfinished", PRUNED, "+"),
        ("pruned", PRUNED, "v"),
    ):
        numbers = [t.number for t in failed if t.state == kind]
        if numbers:
            axes.scatter(
                numbers,
                [0.03] * len(numbers),
                marker=marker,
                s=40,
                color=colour,
                label=kind,
                transform=axes.get_xaxis_transform(),
                zorder=3,
            )


def _draw_importance(axes: Axes, sketch: Sketch) -> None:
    axes.set_title("importance of parameters (fANOVA)", fontsize=9.5, loc="left", color="#444444")
    if not sketch.importances:
        axes.axis("off")
        axes.text(0.5, 0.5, f"cannot be told:\n{sketch.reason}", ha="center", va="center", color="#666666")
        return
    names = sorted(sketch.importances, key=lambda name: sketch.importances[name])
    bars = axes.barh(names, [sketch.importances[name] for name in names], color=COMPLETE, height=0.55)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
    axes.set_xlim(0, 1.18)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xlabel("share of the differences")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_slice(axes: Axes, name: str, sketch: Sketch) -> None:
    """Draw the trials over the values of one parameter."""
    tuning = sketch.tuning
    shown = [
        t
        for t in tuning.history
        if name in sketch.suggested.get(t.number, {}) and (t.value or t.intermediate)
    ]
    values = [sketch.suggested[t.number][name] for t in shown]
    for trial, value in zip(shown, values, strict=True):
        complete = trial.value is not None
        colour = DEFAULTS if trial.number == 0 else COMPLETE if complete else PRUNED
        marker = "D" if trial.number == 0 else "o" if complete else "v"
        axes.scatter(
            [value],
            [_level(trial)],
            s=30,
            marker=marker,
            color=colour if complete else "none",
            edgecolors=colour,
        )
        if trial.number == tuning.best_trial:
            axes.scatter([value], [_level(trial)], s=150, facecolors="none", edgecolors=CHOSEN, linewidths=2)
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if (
        len(numbers) == len(values)
        and numbers
        and min(numbers) > 0
        and max(numbers) > LOG_DECADES * min(numbers)
    ):
        axes.set_xscale("log")
    axes.set_xlabel(name)
    axes.margins(x=0.12)
    axes.grid(alpha=0.25)


def _level(trial: Trial) -> float:
    """Return the height at which a trial is drawn: its value, else the last that was known of it."""
    if trial.value is not None:
        return trial.value
    return trial.intermediate[-1][1]
