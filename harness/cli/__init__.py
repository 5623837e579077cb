"""The command line. Each command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

import os
import sys

import click
import typer

from harness.cli import boards, datasets, models, run
from harness.errors import HarnessError

__all__ = ["app", "main"]

app = typer.Typer(
    name="harness",
    help="Benchmark CT image classifiers: train, score and rank them under the same rules.",
    epilog="Start with: harness run --all",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
run.add_to(app)
boards.add_to(app)
datasets.add_to(app)
models.add_to(app)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from harness import __version__

        typer.echo(f"ct-harness {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line: expected errors become one line, anything else keeps its traceback."""
    try:
        code = app(standalone_mode=False)
    except HarnessError as error:
        _complain(str(error))
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted; finished cells are kept, the same command continues")
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> None:
    typer.echo("error: " + " ".join(message.split()), err=True)
