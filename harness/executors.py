"""Where cells run: in this process, or in several on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness import machine
from harness.errors import UsageError
from harness.planning import Cell
from harness.runs import Executor, Outcome, Report, execute

__all__ = ["executor_of", "in_process", "local_processes"]


def executor_of(workers: int) -> Executor:
    """Return the executor for so many worker processes; 1 is this process itself."""
    if workers < 1:
        raise UsageError(f"--workers must be at least 1, got {workers}")
    return in_process if workers == 1 else local_processes(workers)


def in_process(cells: Sequence[Cell], report: Report) -> Iterator[Outcome]:
    """Execute the cells here, one after the other, on all granted cores."""
    machine.limit_threads(machine.granted_cores())
    for cell in cells:
        yield execute(cell, report)


def local_processes(workers: int) -> Executor:
    """Return an executor over `workers` processes which share the granted cores between them."""
    threads = max(1, machine.granted_cores() // workers)

    def run(cells: Sequence[Cell], report: Report) -> Iterator[Outcome]:
        cells = [replace(cell, threads=threads) for cell in cells]
        for outcome in _pooled(cells, workers):
            if outcome.status != "died":
                yield outcome
                continue
            report(outcome.cell, "its process died; once more, alone", None)
            (again,) = _pooled([outcome.cell], 1)
            yield again if again.status != "died" else replace(again, status="failed")

    return run


def _pooled(cells: Sequence[Cell], workers: int) -> Iterator[Outcome]:
    """Yield outcomes from a fresh pool; cells whose pool broke have the status 'died'."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = {pool.submit(_in_worker, cell): cell for cell in cells}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Outcome(futures[future], "died", message="its process was killed (out of memory?)")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_worker(cell: Cell) -> Outcome:
    return execute(cell, lambda cell, what, fraction: None)  # noqa: ARG005
