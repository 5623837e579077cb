"""Progress for people: a live bar on a terminal, one line an event elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from rich.progress import TaskID

    from harness.planning import Cell, Plan
    from harness.runs import Outcome

__all__ = ["Live", "duration", "say"]

console = Console(stderr=True, highlight=False, soft_wrap=True)
QUIET_SECONDS = 10.0


def say(text: str, style: str | None = None) -> None:
    """Print one line for people, on standard error; what boards say goes to standard output."""
    console.print(text, style=style, markup=False)


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(4.2), duration(75), duration(4000)
    ('4 s', '1 min 15 s', '1 h 7 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Live:
    """Shows the cells of a plan as they run; without a plan, the stages of the planning."""

    def __init__(self, plan: Plan | None = None) -> None:
        self._total = len(plan.pending) if plan is not None else None
        self._ended = 0
        self._said: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )
            self._overall = self._bar.add_task("all cells", total=self._total, visible=bool(self._total))

    def __enter__(self) -> Live:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, what: str, fraction: float | None) -> None:
        """Show a stage of the work."""
        self._show("", what, fraction)

    def report(self, cell: Cell, what: str, fraction: float | None) -> None:
        """Show what is being done for a cell."""
        self._show(cell.title, f"{cell.title}: {what}", fraction)

    def ended(self, outcome: Outcome) -> None:
        """Say that a cell ended, and how."""
        self._ended += 1
        if self._bar is not None:
            self._bar.update(self._overall, completed=self._ended)
            if outcome.cell.title in self._tasks:
                self._bar.remove_task(self._tasks.pop(outcome.cell.title))
        verb = {"done": "done", "already": "done by another run", "failed": "FAILED"}[outcome.status]
        why = f": {outcome.message}" if outcome.message else f" in {duration(outcome.seconds)}"
        say(f"[{self._ended}/{self._total}] {outcome.cell.title}: {verb}{why}")

    def _show(self, subject: str, text: str, fraction: float | None) -> None:
        """Show what is being done for one of the things that are going on at once."""
        if self._bar is not None:
            if subject not in self._tasks:
                self._tasks[subject] = self._bar.add_task(text, total=None)
            total, completed = (None, 0.0) if fraction is None else (1.0, fraction)
            self._bar.update(self._tasks[subject], description=text, total=total, completed=completed)
        elif time.monotonic() - self._said.get(subject, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._said[subject] = time.monotonic()
            say(text)
