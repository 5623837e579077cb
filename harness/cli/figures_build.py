"""`harness figures build`, `write` and `review`: from papers to a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import DataError, UsageError

if TYPE_CHECKING:
    from harness.curation.building import Outcome, Task
    from harness.curation.dataset import Written

BUILD = """\b
Examples:
  harness figures build papers/*.pdf --out my-ct
  harness figures build papers --out my-ct --workers 8
  harness run -d my-ct/card.toml -m svm,xdnn
"""
WRITE = """\b
Example:
  harness figures write my-ct
"""
REVIEW = """\b
Examples:
  harness figures review my-ct
  harness figures review my-ct --port 8765
"""


def add_to(app: typer.Typer) -> None:
    app.command("build", epilog=BUILD)(build)
    app.command("write", epilog=WRITE)(write)
    app.command("review", epilog=REVIEW)(review)


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="What 'harness figures build' made.")]


def build(
    pdfs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PDF...", help="PDFs, folders or patterns of them, or a .txt that lists them."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the dataset grows.")],
    workers: Annotated[
        int | None, typer.Option(help="PDFs that are read side by side [default: one a CPU core].")
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            min=0.1, max=86_400, help="Seconds a PDF may take, and as many again for each 100 pages."
        ),
    ] = 120.0,
    memory_limit: Annotated[
        int, typer.Option(min=400, max=1_000_000, help="Megabytes of memory a PDF may take.")
    ] = 2000,
    retry: Annotated[bool, typer.Option("--retry", help="Read PDFs again that failed before.")] = False,
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rules for labels, instead of the built-in ones.")
    ] = None,
) -> None:
    """Read PDFs, find the CT slices in their figures, suggest labels and patients, write a dataset.

    A PDF that crashes or hangs costs only itself and is named with the reason; the command then exits with 1. After
    Ctrl-C or a crash the same command continues, and when everything is done it only writes.
    """
    from harness.cli.live import say
    from harness.curation.building import found_pdfs, tasks_of
    from harness.curation.dataset import check_place
    from harness.curation.reading import reader_digest
    from harness.executors import stoppable
    from harness.figures.rules import read_rules
    from harness.machine import granted_cores

    if workers is not None and workers < 1:
        raise UsageError(f"--workers must be at least 1, got {workers}")
    read_rules(rules)
    check_place(out)
    paths = found_pdfs(pdfs)
    tasks, remarks = tasks_of(paths, reader_digest(rules), rules)
    for remark in remarks:
        say(remark)
    with stoppable():
        failed = _build(tasks, out, workers or granted_cores(), time_limit, memory_limit, retry)
    written = _written(out)
    if failed or written is None or any("cannot be read" in remark for remark in remarks):
        raise typer.Exit(1)


def _build(
    tasks: Sequence[Task], out: Path, workers: int, seconds: float, memory_mb: int, retry: bool
) -> int:
    """Read the PDFs; return how many failed."""
    from harness.cli.live import Live, say
    from harness.curation.building import Limits, built

    failed = figures = 0
    with Live() as live:
        live.stage(f"{len(tasks)} PDFs", 0.0)
        ends = built(tasks, out, workers=workers, limits=Limits(seconds, memory_mb), retry=retry)
        for number, outcome in enumerate(ends, 1):
            live.stage(
                f"{number} of {len(tasks)} PDFs: {_shown(outcome.task.path.name)}", number / len(tasks)
            )
            failed += outcome.status == "failed"
            figures += outcome.figures
            _say(outcome, number, len(tasks))
    say(f"{len(tasks) - failed} of {len(tasks)} PDFs read, {figures} figures in {out}")
    return failed


def _say(outcome: Outcome, number: int, total: int) -> None:
    from harness.cli.live import duration, say

    how = {"read": f"{outcome.figures} figures in {duration(outcome.seconds)}", "kept": "read before"}
    text = how.get(outcome.status, f"FAILED: {outcome.message}")
    say(f"[{number}/{total}] {_shown(outcome.task.path.name)}: {text}")
    for problem in outcome.problems if outcome.status == "read" else ():
        say(f"problem: {_shown(outcome.task.path.name)}: {problem}")


def _shown(name: str) -> str:
    """A file's name on one line, whatever it is made of."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def write(folder: Folder) -> None:
    """Write the dataset again, as the decisions are now: images, list, provenance and card."""
    from harness.curation.dataset import write_dataset

    _tell(write_dataset(folder))


def _written(folder: Path) -> Written | None:
    from harness.cli.live import say
    from harness.curation.dataset import write_dataset

    try:
        written = write_dataset(folder)
    except DataError as error:
        say(f"no dataset was written: {error}")
        return None
    _tell(written)
    return written


def _tell(written: Written) -> None:
    from harness.cli.live import say

    for line in written.lines:
        say(line)
    typer.echo(str(written.card))


def review(
    folder: Folder,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 0,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Decide on the pictures by eye, in a page that only this machine can open.

    Every decision is kept at once; undo goes back as far as you like, also after a restart. Then write
    the dataset: by 'w' on the page, or with 'harness figures write'.
    """
    from harness.curation.review import serve

    serve(folder, port, typer.echo, open_page=open_page)
