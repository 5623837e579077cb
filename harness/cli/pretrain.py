"""`harness pretrain`: a network trained on some datasets, for later runs to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.pretraining import Pretraining, Report

EPILOG = """\b
Examples:
  harness pretrain resnet:18 -d sars-cov-2-ct --name lungs
  harness pretrain densenet:121 -d sars-cov-2-ct,my-ct/card.toml --name both --start xrv:densenet121-nih
"""


def add_to(app: typer.Typer) -> None:
    app.command("pretrain", epilog=EPILOG)(pretrain)


def pretrain(
    model: Annotated[str, typer.Argument(help="Network to train, such as resnet:18; see 'harness list'.")],
    dataset: Annotated[list[str], typer.Option("-d", "--dataset", help="Dataset names, or paths of cards.")],
    name: Annotated[
        str | None,
        typer.Option(help="What later runs call it: harness run --start NAME [default: that of --out]."),
    ] = None,
    recipe: options.Recipe = "auto",
    param: Annotated[
        list[str] | None, typer.Option("--param", help="PARAMETER=VALUE of the model, may be repeated.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="First stage to start from itself: a name, a file, or xrv:densenet121-nih."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training, and of splits that are drawn.")] = 0,
    device: options.Device = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write [default: NAME in the cache].")
    ] = None,
    data_root: options.DataRoot = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Train a network on the training parts of datasets, as a first stage for later runs.

    Test parts are not touched. After Ctrl-C or a crash the same command continues.
    """
    from harness.cli.live import Live
    from harness.pretraining import Pretraining
    from harness.pretraining import pretrain as train

    request = Pretraining(
        model=model,
        datasets=options.names(dataset),
        name=_name(name, out),
        out=out,
        recipe=recipe,
        seed=seed,
        device=device,
        start=start,
        parameters=options.parameters_of_one([text.removeprefix(f"{model}.") for text in param or []]),
        data_root=data_root,
        skip_bad=skip_bad,
    )
    with Live() as live:
        report = train(request, live.stage)
    _print(request, report)


def _name(name: str | None, out: Path | None) -> str:
    if name is None and out is None:
        raise UsageError("the stage needs a name: say --name NAME, or --out FILE.safetensors")
    return name if name is not None else Path(str(out)).stem


def _print(request: Pretraining, report: Report) -> None:
    from harness.cli.live import say

    training = report.stage.training
    assert training is not None
    verb = "written" if report.is_new else "already there, trained by the same command"
    typer.echo(f"{verb}: {report.stage.file}")
    for source in training.sources:
        typer.echo(
            f"  {source.dataset}: {source.protocol} split, {source.train} training and {source.val} validation images"
        )
    typer.echo(f"  classes: {', '.join(training.classes)}")
    if report.score is not None:
        typer.echo(f"  balanced accuracy on the validation parts, which chose it: {report.score:.3f}")
    for note in [*report.notes, *report.shared]:
        say(f"note: {note}", style="yellow")
    typer.echo(f"next: harness run -d DATASET -m {training.model} --start {request.called}")
