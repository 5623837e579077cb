"""The command line. Each command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

import os
import sys

import typer

from harness.cli import (
    bench,
    boards,
    datasets,
    explain,
    export,
    figures,
    gate,
    models,
    pretrain,
    report,
    run,
    submit,
    tune,
    verify,
)
from harness.errors import HarnessError

__all__ = ["app", "main"]

INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended, and typer too

app = typer.Typer(
    name="harness",
    help="Benchmark CT image classifiers: train, score and rank them under the same rules.",
    epilog="Start with: harness run --all",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
run.add_to(app)
tune.add_to(app)
pretrain.add_to(app)
boards.add_to(app)
bench.add_to(app)
explain.add_to(app)
gate.add_to(app)
report.add_to(app)
submit.add_to(app)
figures.add_to(app)
datasets.add_to(app)
models.add_to(app)
verify.add_to(app)
export.add_to(app)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from harness import __version__

        typer.echo(f"ct-harness {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line: expected errors become one line, anything else keeps its traceback."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the core to others
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # without it cuBLAS does not repeat its results
    try:
        app()
    except HarnessError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _complain("interrupted; finished cells are kept, the same command continues")
        raise
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(INTERRUPTED)


def _complain(message: str) -> None:
    typer.echo("error: " + " ".join(message.split()), err=True)
