"""`harness run`: plan, carry out, publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import DatasetMissing, UsageError

if TYPE_CHECKING:
    from harness.planning import Plan, Request
    from harness.runs import Outcome

PHANTOM = "ct-phantom"
"""What `--all` runs when no real dataset is found."""

EPILOG = """\b
Examples:
  harness run --all
  harness run -d sars-cov-2-ct -m svm,xdnn --backbone squeezenet1_1
  harness run -d covid-ct -m svm,xdnn,ada-boost --time-budget 2m
  harness run -d covid-ct -m timm:convnext_tiny -p official,random --seeds 3
  harness run -d covid-ct,sars-cov-2-ct -m svm,xdnn -p official,external
  harness run -d covid-ct -m resnet:18 --start lungs
  harness run -d my-ct/card.toml -m resnet:18 --recipe quick --param resnet:18.size_px=96
"""


def add_to(app: typer.Typer) -> None:
    app.command("run", epilog=EPILOG)(run)


def run(
    everything: Annotated[
        bool,
        typer.Option("--all", help="The nine baselines on every dataset found (the phantom if none is)."),
    ] = False,
    dataset: Annotated[
        list[str] | None, typer.Option("-d", "--dataset", help="Dataset name, or path of a card.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("-m", "--model", help="Model name, see 'harness list'.")
    ] = None,
    protocol: options.Protocols = None,
    seeds: options.Seeds = "1",
    recipe: options.Recipe = "auto",
    trials: options.Trials = None,
    time_budget: options.TimeBudget = None,
    backbone: options.Backbone = None,
    start: options.Start = None,
    device: options.Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that run cells side by side [default: one a CPU core; 1 on a GPU]."),
    ] = None,
    param: options.Parameters = None,
    out: options.Out = Path("leaderboards"),
    data_root: options.DataRoot = None,
    skip_bad: options.SkipBad = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Train and score models on datasets, then write the leaderboards.

    Finished cells are kept at once: after Ctrl-C or a crash the same command continues, and
    when everything is done it does nothing.
    """
    from harness.executors import stoppable
    from harness.planning import Request

    request = Request(
        datasets=_datasets(options.names(dataset), everything or bool(model), data_root),
        models=_models(options.names(model), everything or bool(dataset)),
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
        raise typer.Exit(_run(request, workers, dry_run))


def _models(named: tuple[str, ...], otherwise_all: bool) -> tuple[str, ...]:
    from harness.registry import BASELINES, find_model

    if not named and not otherwise_all:
        raise UsageError("nothing to run: say --all, or name datasets with -d and models with -m")
    for name in named:
        find_model(name)
    return named or BASELINES


def _datasets(named: tuple[str, ...], otherwise_all: bool, data_root: Path | None) -> tuple[str, ...]:
    if named:
        return named
    if not otherwise_all:
        raise UsageError("nothing to run: say --all, or name datasets with -d and models with -m")
    from harness.data.cards import known_cards, load_card
    from harness.data.roots import find_root

    found = []
    for name, path in known_cards(data_root).items():
        card = load_card(path)
        if not card.generated and find_root(card, path, data_root) is not None:
            found.append(name)
    return tuple(found) or (PHANTOM,)


def _run(request: Request, workers: int | None, dry_run: bool) -> int:
    """Return the exit code: 0 when every cell has a complete record."""
    from harness.cli.live import Live, say
    from harness.executors import executor_of, sensible_workers
    from harness.machine import choose_device
    from harness.planning import make_plan
    from harness.records import forget_failures, writable
    from harness.runs import carry_out

    if workers is not None:
        executor_of(workers)  # refuses a wrong number before the planning
    with Live() as live:
        plan = make_plan(request, progress=live.stage)
    workers = workers or sensible_workers(choose_device(request.device), len(plan.pending))
    _print_plan(plan, request, workers)
    if not plan.cells:
        raise DatasetMissing("; ".join(plan.problems or plan.skipped) or "nothing to run")
    if dry_run:
        return 0
    with writable(request.out):
        request.runs.mkdir(parents=True, exist_ok=True)
        forget_failures(request.runs, {p.cell.slot for p in plan.cells}, keep={c.key for c in plan.pending})
    failed: list[Outcome] = []
    try:
        with Live(plan) as live:
            cells = plan.pending if workers == 1 else plan.longest_first
            for outcome in carry_out(cells, executor_of(workers), live.report):
                live.ended(outcome)
                if outcome.status == "failed":
                    failed.append(outcome)
    finally:
        if any(request.runs.glob("[!.]*")):
            _publish(request.out, {(p.cell.dataset_name, p.cell.protocol) for p in plan.cells})
    for outcome in failed:
        say(f"failed: {outcome.cell.title}: {outcome.message}", style="red")
    for problem in plan.problems:
        say(f"error: {problem}", style="red")
    return 1 if failed or plan.problems else 0


def _publish(out: Path, asked: set[tuple[str, str]]) -> None:
    """Write every board, print those that were asked for."""
    from harness.board_files import file_name
    from harness.cli.live import say
    from harness.cli.terminal import show
    from harness.protocols import other_dataset
    from harness.publishing import publish
    from harness.transfer_files import FILE

    places = {(file_name(dataset), file_name(protocol)) for dataset, protocol in asked}
    for path in publish(out):
        if (path.parent.name, path.stem) in places:
            typer.echo()
            show(path.read_text("utf-8"))
            say(f"written: {path} (.csv, .pairs.csv, .tex, .json beside it)")
    if any(other_dataset(protocol) is not None for _, protocol in asked) and (out / FILE).is_file():
        typer.echo()
        show((out / FILE).read_text("utf-8"))
        say(f"written: {out / FILE} (.csv, .json beside it)")


def _print_plan(plan: Plan, request: Request, workers: int) -> None:
    from harness.cli.live import duration, say

    done = len(plan.cells) - len(plan.pending)
    unknown = sum(p.expected_seconds is None and not p.done for p in plan.cells)
    say(
        f"plan: {len(plan.cells)} cells, {done} already done"
        + (f", {len(plan.pending)} to run" if plan.pending else "")
        + (f" in {workers} processes" if plan.pending and workers > 1 else "")
        + (f" in about {duration(plan.expected_seconds(workers))}" if plan.pending else "")
        + (f" (no guess for {unknown})" if unknown else "")
        + f"; records in {request.runs}"
    )
    for line in _overview(plan):
        say(line)
    for warning in dict.fromkeys(plan.warnings):
        say(f"note: {warning}", style="yellow")
    for reason in [*plan.skipped, *plan.problems]:
        say(f"left out: {reason}", style="yellow")


def _overview(plan: Plan) -> list[str]:
    """One line a board: its models, finished ones with a tick."""
    lines: dict[str, list[str]] = {}
    for planned in plan.cells:
        cell = planned.cell
        board = f"{cell.dataset_name} {cell.protocol} ({cell.recipe})"
        lines.setdefault(board, []).append(cell.label + (" ✓" if planned.done else ""))
    return [f"  {board}: {', '.join(dict.fromkeys(labels))}" for board, labels in lines.items()]
