"""`harness gate`: whether a run became worse than a stored board."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import DataError, HarnessError, UsageError

if TYPE_CHECKING:
    from harness.gate import Gate

EPILOG = """\b
Examples:
  harness run -d covid-ct -o new && harness gate new --base leaderboards/covid-ct/official.json
  harness gate new --base leaderboards/covid-ct/official.json --margin 2 -m my-model --metric f1,auc
  harness gate new --base board.json --base-runs archive/runs --json gate.json

\b
Exit codes:
  0  no model is worse beyond chance and beyond the margin (what cannot be told is a warning)
  1  a model is worse, fails where it did not, or is missing
  2  the two cannot be compared: a wrong option, damaged or changed files, other data
  3  an error in the harness itself, with a traceback
  5  nothing was compared: the two have no model in common
"""

INTERNAL = 3


def add_to(app: typer.Typer) -> None:
    app.command("gate", epilog=EPILOG)(gate)


def gate(
    base: Annotated[
        Path, typer.Option("--base", metavar="FILE", help="The stored board: DATASET/PROTOCOL.json.")
    ],
    new: Annotated[
        Path, typer.Argument(metavar="NEW", help="Folder that the new run was written into.")
    ] = Path("leaderboards"),
    margin: Annotated[float, typer.Option(help="Points that a model may lose without failing.")] = 1.0,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="f1, accuracy, auc or several of them [default: f1].")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            help="Only these rows, named as on the board, or without what is in brackets there [default: all].",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Only rows of this recipe [default: those that both sides have].")
    ] = None,
    base_runs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where the base's records are [default: runs beside or above it]."
        ),
    ] = None,
    unpaired: Annotated[
        bool,
        typer.Option(
            "--unpaired", help="Compare without the base's predictions, which finds larger losses only."
        ),
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Let models of the base be absent in the new run.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything found to FILE too.")
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append Markdown to FILE [default: $GITHUB_STEP_SUMMARY, if set]."),
    ] = None,
) -> None:
    """Compare a run with a stored board, model by model on the same images; fail when one became worse.

    Worse is a loss that is surely larger than the margin: one-sided at 5 % after Holm over all models. In GitHub's
    workflows failures are annotated.
    """
    from harness.gate import gate as compared

    try:
        found = compared(
            new,
            base,
            margin=margin,
            metrics=options.names(metric) or ("f1",),
            models=tuple(dict.fromkeys(model or ())),
            recipe=recipe,
            base_runs=base_runs,
            unpaired=unpaired,
            allow_missing=allow_missing,
        )
        _publish(found, json_file, summary)
    except HarnessError as error:
        if error.exit_code == 1:  # here 1 says that a model is worse
            raise UsageError(str(error)) from error
        raise
    except Exception:  # noqa: BLE001  a crash must not look like a worse model
        typer.echo(traceback.format_exc(), err=True)
        raise typer.Exit(INTERNAL) from None
    raise typer.Exit(0 if found.passed else 1)


def _publish(found: Gate, json_file: Path | None, summary: Path | None) -> None:
    import json

    from harness.board_files import replaced
    from harness.gate.report import as_json, as_markdown, as_text, commands

    if json_file is not None:
        text = json.dumps(as_json(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            replaced(json_file, text)
        except OSError as error:
            raise _unwritable(json_file, "--json", error) from error
    stated = os.environ.get("GITHUB_STEP_SUMMARY")
    page = summary or (Path(stated) if stated else None)
    if page is not None:
        try:
            with page.open("a", encoding="utf-8") as file:
                file.write(as_markdown(found))
        except OSError as error:
            raise _unwritable(page, "--summary", error) from error
    typer.echo(as_text(found), nl=False)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in commands(found):
            typer.echo(line)


def _unwritable(path: Path, option: str, error: OSError) -> DataError:
    return DataError(f"cannot write {str(path)!r}: {error.strerror}; name another file with {option}")
