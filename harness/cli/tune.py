"""`harness tune`: look for parameters and show the search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.errors import DatasetMissing, HarnessError, UsageError

if TYPE_CHECKING:
    from harness.planning import Cell, Plan, Request
    from harness.studies import Trial
    from harness.tuning import Tuning

EPILOG = """\b
Examples:
  harness tune -d covid-ct -m svm --trials 40
  harness tune -d covid-ct -m densenet --workers 2
  harness tune -d sars-cov-2-ct -m ada-boost,xdnn --time-budget 5m --backbone squeezenet1_1
"""


def add_to(app: typer.Typer) -> None:
    app.command("tune", epilog=EPILOG)(tune)


def tune(
    dataset: Annotated[list[str], typer.Option("-d", "--dataset", help="Dataset name, or path of a card.")],
    model: Annotated[list[str], typer.Option("-m", "--model", help="Model name, see 'harness list'.")],
    protocol: options.Protocols = None,
    seeds: options.Seeds = "1",
    recipe: options.Recipe = "auto",
    trials: options.Trials = None,
    time_budget: options.TimeBudget = None,
    backbone: options.Backbone = None,
    start: options.Start = None,
    device: options.Device = "auto",
    workers: Annotated[
        int, typer.Option(help="Processes that share the trials of a study; one alone is repeatable.")
    ] = 1,
    param: options.Parameters = None,
    out: options.Out = Path("leaderboards"),
    data_root: options.DataRoot = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Choose the parameters of models on training and validation parts, and show the search.

    Trials are kept in OUT/studies: the same command goes on after Ctrl-C or a crash, a larger budget
    continues a smaller one, commands that run at once share the trials, and 'harness run' takes the choice up.
    """
    from harness.executors import stoppable
    from harness.planning import Request

    request = Request(
        datasets=options.names(dataset),
        models=options.names(model),
        out=out,
        protocols=options.names(protocol),
        seeds=options.seed_list(seeds),
        recipe=recipe,
        trials=trials,
        time_budget=options.time_budget(time_budget),
        backbone=backbone,
        start=start,
        device=device,
        data_root=data_root,
        skip_bad=skip_bad,
        parameters=options.model_parameters(param or []),
    )
    with stoppable():
        raise typer.Exit(_tune(request, workers))


def _tune(request: Request, workers: int) -> int:
    """Return the exit code: 0 when every search came to a choice."""
    from harness.cli.live import Live, say
    from harness.executors import executor_of
    from harness.planning import make_plan
    from harness.runs import tune_cell

    executor = executor_of(workers, tune_cell)
    with Live() as live:
        plan = make_plan(request, progress=live.stage)
    for warning in dict.fromkeys(plan.warnings):
        say(f"note: {warning}", style="yellow")
    for reason in plan.skipped:
        say(f"left out: {reason}", style="yellow")
    cells = _cells(plan)
    failures = [*plan.problems]
    for number, cell in enumerate(cells, start=1):
        say(f"[{number}/{len(cells)}] {cell.title}: up to {cell.budget}")
        with Live() as live:
            outcomes = list(executor([cell] * workers, live.report))
        failed = [outcome.message for outcome in outcomes if outcome.status == "failed"]
        try:
            if not failed:
                _show(cell)
        except HarnessError as error:
            failed = [str(error)]
        failures += [f"{cell.title}: {message}" for message in failed[:1]]
    for failure in failures:
        say(f"error: {failure}", style="red")
    return 1 if failures else 0


def _cells(plan: Plan) -> list[Cell]:
    """Return the cells that tune. Raises `UsageError` when the budget leaves nothing to tune."""
    if not plan.cells:
        raise DatasetMissing("; ".join(plan.problems or plan.skipped) or "nothing to tune")
    cells = [planned.cell for planned in plan.cells if planned.cell.budget.tunes]
    if not cells:
        raise UsageError("nothing to tune with less than two trials: say --trials or --time-budget")
    return cells


def _show(cell: Cell) -> None:
    """Print the trials and the choice, and draw them."""
    from harness.cli.live import say
    from harness.tuning_files import found_for, write_study

    found = found_for(cell)
    if found is None:
        say(f"{cell.title}: it has no search space, so there is nothing to choose")
        return
    typer.echo(_table(found.tuning))
    typer.echo(_choice(found.tuning))
    for path in write_study(cell, found):
        say(f"written: {path}")


def _table(tuning: Tuning) -> str:
    """Return the trials as text, one a line."""
    from tabulate import tabulate

    names = list(dict.fromkeys(name for trial in tuning.history for name in trial.parameters))
    rows = [
        [
            t.number,
            *(_shown(t.parameters.get(name)) for name in names),
            _value(t),
            _state(t, tuning),
            f"{t.seconds:.1f}",
        ]
        for t in tuning.history
    ]
    return tabulate(rows, ["trial", *names, tuning.metric, "", "s"], disable_numparse=True)


def _shown(value: Any) -> str:
    return "default" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _value(trial: Trial) -> str:
    return "-" if trial.value is None else f"{trial.value:.4f}"


def _state(trial: Trial, tuning: Tuning) -> str:
    if trial.number == tuning.best_trial:
        return "chosen"
    if trial.state == "complete":
        return ""
    return f"{trial.state}: {trial.failure}" if trial.failure else trial.state


def _choice(tuning: Tuning) -> str:
    chosen = (
        ", ".join(f"{name}={_shown(value)}" for name, value in tuning.parameters.items()) or "the defaults"
    )
    defaults = tuning.history[0].value
    beside = "" if defaults is None or not tuning.parameters else f" (the defaults: {defaults:.4f})"
    return (
        f"chosen: {chosen}; {tuning.metric} {tuning.best_value:.4f}{beside} on {tuning.judged_on}; "
        f"{tuning.trials} trials, {tuning.pruned} pruned, {tuning.failed} failed, {tuning.seconds:.1f} s"
    )
