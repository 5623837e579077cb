"""`harness figures`: from papers to a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import figures_build

EXTRACT = """\b
Examples:
  harness figures extract paper.pdf --out figures
  harness figures extract papers/*.pdf --out figures
"""
SCORE = """\b
Example:
  harness figures score figures ground_truth.json
"""

app = typer.Typer(help="Figures and captions out of PDFs.", no_args_is_help=True, rich_markup_mode=None)


def add_to(parent: typer.Typer) -> None:
    app.command("extract", epilog=EXTRACT)(extract)
    app.command("score", epilog=SCORE)(score)
    figures_build.add_to(app)
    parent.add_typer(app, name="figures")


def extract(
    pdfs: Annotated[list[Path], typer.Argument(metavar="PDF...", help="PDFs of papers.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where figures and figures.json go.")
    ],
    time_limit: figures_build.TimeLimit = 120.0,
    memory_limit: figures_build.MemoryLimit = 2000,
) -> None:
    """Cut every figure out of PDFs, with its caption and the paragraphs that cite it.

    A PDF that can't be read is named with the reason, the others go on, and the command exits with 1.
    """
    from harness.cli.live import Live, say
    from harness.curation.building import Limits
    from harness.curation.extracting import extracted
    from harness.executors import stoppable
    from harness.figures.documents import figures_extra
    from harness.figures.figure_files import earlier_pictures, stems_of, write_documents

    figures_extra()
    earlier = earlier_pictures(out)
    documents, failed = [], 0
    with stoppable(), Live() as live:
        reading = extracted(pdfs, stems_of(pdfs), out, Limits(time_limit, memory_limit))
        for number, path in enumerate(pdfs):
            live.stage(f"reading {figures_build.shown(path.name)}", number / len(pdfs))
            document, unread = next(reading)
            documents.append(document)
            failed += unread
        reading.close()
    write_documents(out, documents)
    for name in earlier - {one["image"] for document in documents for one in document["figures"]}:
        (out / name).unlink(missing_ok=True)
    for document in documents:
        for problem in document["problems"]:
            file = document["file"] if document["file"].isprintable() else repr(document["file"])
            typer.echo(f"problem: {file}: {problem}", err=True)
    say(f"{sum(len(one['figures']) for one in documents)} figures of {len(pdfs) - failed} PDFs in {out}")
    if failed:
        raise typer.Exit(1)


def score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What 'harness figures extract' wrote.")],
    truth: Annotated[Path, typer.Argument(metavar="GROUND_TRUTH.json", help="The figures by hand.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all of it to FILE too.")
    ] = None,
) -> None:
    """Hold extracted figures against those found by hand, and name each miss."""
    from harness.figures.score_report import as_json, report
    from harness.figures.scoring import read_figures, scored

    result = scored(read_figures(folder), read_figures(truth))
    if json_file is not None:
        _write(json_file, as_json(result))
    typer.echo(report(result), nl=False)


def _write(path: Path, whole: dict[str, Any]) -> None:
    import json

    from harness.board_files import replaced
    from harness.errors import DataError

    try:
        replaced(path, json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise DataError(
            f"cannot write {str(path)!r}: {error.strerror}; name another file with --json"
        ) from error
