"""`harness export`: a method's results as a model card's metadata."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import UsageError

EPILOG = """\b
Examples:
  harness export "svm (squeezenet1_1)"
  harness export svm -o my-model/README.md --source-url https://example.org/boards
"""


def add_to(app: typer.Typer) -> None:
    app.command("export", epilog=EPILOG)(export)


def export(
    method: Annotated[str, typer.Argument(help="A method as the boards call it, or a model's name.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A model card to write the results into [default: print them]."),
    ] = None,
    runs: Annotated[
        Path, typer.Option("--runs", help="A folder of records, or one that holds them as 'runs'.")
    ] = Path("leaderboards"),
    name: Annotated[str | None, typer.Option(help="What the card calls the model [default: METHOD].")] = None,
    source_url: Annotated[
        str | None, typer.Option("--source-url", metavar="URL", help="Where the boards can be seen.")
    ] = None,
) -> None:
    """State a method's results on all boards as Hugging Face `model-index`, with intervals and seeds.

    With --out the card's text and its other metadata stay as they are.
    """
    from harness.cli.live import say
    from harness.model_cards import ranked_rows, update_card
    from harness.model_index import front_matter
    from harness.scoring import runs_folder, sound_records

    if source_url is not None and not re.fullmatch(r"https?://[^\s/]+\S*", source_url):
        raise UsageError(
            f"--source-url {source_url!r}: expected an address that begins with https:// or http://"
        )
    rows = ranked_rows(sound_records(runs_folder(runs)), method)
    called = rows[0][1].name if name is None else name
    if out is None:
        typer.echo(front_matter(called, rows, source_url), nl=False)
        return
    update_card(out, called, rows, source_url)
    say(f"written: {out}, the results of {called} on {len(rows)} boards")
