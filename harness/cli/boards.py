"""`harness board`: boards from records alone."""

from __future__ import annotations

from pathlib import Path

import typer

from harness.cli import options


def add_to(app: typer.Typer) -> None:
    app.command("board", epilog="Example: harness board --out leaderboards")(board)


def board(out: options.Out = Path("leaderboards")) -> None:
    """Rebuild and print the boards from the records in OUT/runs, without images, models or a GPU."""
    from harness.cli.live import say
    from harness.publishing import publish

    for path in publish(out):
        typer.echo(path.read_text("utf-8"))
        say(f"written: {path} (.csv, .pairs.csv, .tex, .json beside it)")
