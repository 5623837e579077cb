"""`harness figures build`, `write` and `review`: from papers to a dataset."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import DataError, UsageError

if TYPE_CHECKING:
    from harness.curation.building import Outcome, Task
    from harness.curation.dataset import Written

FEW = 20
"""After more PDFs than this, those that failed are named again at the end."""

MOST_PROBLEMS = 5
"""Of one PDF on the screen."""

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


TimeLimit = Annotated[
    float,
    typer.Option(min=0.1, max=86_400, help="Seconds a PDF may take, and as many again for each 100 pages."),
]
MemoryLimit = Annotated[int, typer.Option(min=400, max=1_000_000, help="Megabytes of memory a PDF may take.")]


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
    time_limit: TimeLimit = 120.0,
    memory_limit: MemoryLimit = 2000,
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

    progress = _Progress(len(tasks))
    with Live() as live:
        live.stage(f"{len(tasks)} PDFs", 0.0)
        for outcome in built(tasks, out, workers=workers, limits=Limits(seconds, memory_mb), retry=retry):
            progress.add(outcome)
            live.stage(progress.text(shown(outcome.task.path.name)), progress.ended / len(tasks))
    progress.say_kept()
    failed = progress.failures
    say(f"{len(tasks) - len(failed)} of {len(tasks)} PDFs read, {progress.figures} figures in {out}")
    if failed and len(tasks) > FEW:
        say(f"{len(failed)} could not be read:")
        for outcome in failed:
            say(f"  {shown(outcome.task.path.name)}: {outcome.message}")
    return len(failed)


@dataclass
class _Progress:
    """How far a build is: what it says of each PDF, and when it will be through."""

    total: int
    ended: int = 0
    kept: int = 0
    earlier: int = 0
    figures: int = 0
    failures: list[Outcome] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Count a PDF and say how it ended; those that were read before are said in one line."""
        self.ended += 1
        self.figures += outcome.figures
        self.earlier += outcome.seconds == 0.0  # kept, or failed as before
        if outcome.status == "kept":
            self.kept += 1
            return
        if outcome.seconds:  # else it failed before, among those that were read before
            self.say_kept()
        if outcome.status == "failed":
            self.failures.append(outcome)
        _say(outcome, self.ended, self.total)

    def say_kept(self) -> None:
        """Say once how many PDFs were read before."""
        from harness.cli.live import say

        if self.kept:
            say(f"{self.kept} of {self.total} PDFs: read before")
        self.kept = 0

    def text(self, name: str) -> str:
        """What is shown while it goes on: how far it is, and how long the rest takes at this pace."""
        from harness.cli.live import duration

        left = self.total - self.ended
        read = self.ended - self.earlier
        rest = (
            f", about {duration(left * (time.monotonic() - self.started) / read)} left"
            if left and read
            else ""
        )
        return f"{self.ended} of {self.total} PDFs{rest}: {name}"


def _say(outcome: Outcome, number: int, total: int) -> None:
    from harness.cli.live import duration, say

    name = shown(outcome.task.path.name)
    read = f"{outcome.figures} figures in {duration(outcome.seconds)}"
    say(f"[{number}/{total}] {name}: {read if outcome.status == 'read' else f'FAILED: {outcome.message}'}")
    for problem in outcome.problems[:MOST_PROBLEMS]:
        say(f"problem: {name}: {problem}")
    if more := outcome.problems[MOST_PROBLEMS:]:
        say(f"problem: {name}: {len(more)} more; all are in its document.json")


def shown(name: str) -> str:
    """A file's name on one line, whatever it is made of."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def write(folder: Folder) -> None:
    """Write the dataset again, as the decisions are now: images, list, provenance and card."""
    from harness.cli.live import say
    from harness.curation.dataset import write_dataset

    _tell(write_dataset(folder, say=say))


def _written(folder: Path) -> Written | None:
    from harness.cli.live import say
    from harness.curation.dataset import write_dataset

    try:
        written = write_dataset(folder, say=say)
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
