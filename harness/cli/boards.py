"""`harness score` and `harness board`: boards, verdicts and exports from records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.errors import UsageError

SCORE = """\b
Examples:
  harness score leaderboards
  harness score results/runs -o paper
"""


def add_to(app: typer.Typer) -> None:
    app.command("score", epilog=SCORE)(score)
    app.command("board", epilog="Examples: harness board; harness board leaderboards")(board)


def score(
    runs: Annotated[Path, typer.Argument(help="A folder of records, or one that holds them as 'runs'.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Where to write [default: the folder that holds the records' folder]."
        ),
    ] = None,
    seal: Annotated[
        bool,
        typer.Option(
            "--seal",
            help="First give records of older harnesses, which have none, a digest of their manifests.",
        ),
    ] = False,
) -> None:
    """Rebuild every board, verdict and export from RUNS alone: the same records give the same bytes.

    Needs no images, models or GPU. Writes nothing when a record is damaged, and names each that is.
    """
    from harness import scoring
    from harness.cli.live import say

    folder = scoring.runs_folder(runs)
    out = folder.resolve().parent if out is None else out
    try:
        newly = scoring.seal(folder) if seal else None
        done = scoring.rescore(folder, out)
    except scoring.Faulty as error:
        for fault in error.faults:
            typer.echo(f"error: {' '.join(fault.split())}", err=True)
        typer.echo(f"error: {len(error.faults)} of {error.of} records; nothing was written", err=True)
        raise typer.Exit(error.exit_code) from error
    for path in done.files:
        typer.echo(path)
    if newly is not None:
        say(f"{newly} records have a digest of their manifests from now on; of edits before nothing is known")
    say(f"{len(done.files)} files from {done.records} records")


def board(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="Folder of boards and runs [default: leaderboards]."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The same, as other commands name it.")
    ] = None,
) -> None:
    """Print the boards in OUT, brought up to date with the records in OUT/runs first.

    On a terminal that is narrower than a table the table is told row by row; the files are not changed by that.
    """
    from harness.cli.live import say
    from harness.cli.terminal import show
    from harness.publishing import publish

    if folder is not None and out is not None and folder != out:
        raise UsageError(f"two folders: {str(folder)!r} and --out {str(out)!r}; name one")
    for path in publish(folder or out or Path("leaderboards")):
        show(path.read_text("utf-8"))
        say(f"written: {path} (.csv, .pairs.csv, .tex, .json beside it)")
