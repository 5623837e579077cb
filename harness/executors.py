"""Where cells run: in this process, or in several on this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from harness import machine
from harness.errors import UsageError
from harness.planning import Cell
from harness.runs import Executor, Outcome, Report, execute

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = [
    "WORKER_MEMORY_MB",
    "executor_of",
    "in_process",
    "local_processes",
    "sensible_workers",
    "stoppable",
]

WORKER_MEMORY_MB = 3000
"""What a worker is given where their number is chosen; the largest baseline stays below it in `quick` on a CPU."""

Job = Callable[[Cell, Report], Outcome]
"""What a worker does with a cell; a function of a module, so that another process finds it."""

REPORT_SECONDS = 0.2
LAST_WORDS_SECONDS = 1.0
PARTING_SECONDS = (
    2.0  # what a worker has to leave its trial to others; one that computes in C may not see them
)
LONGEST_REPORT = 200  # characters; with its key far below the 4096 bytes that a pipe takes in one piece


def sensible_workers(device: str, n_cells: int) -> int:
    """Return how many processes to run cells in: on the CPU one a core, as far as memory and cells go.

    Small networks and trees leave a second core of the same cell half idle. A GPU is not shared.
    """
    if device != "cpu":
        return 1
    fitting = machine.available_memory_mb() / WORKER_MEMORY_MB
    return max(1, int(min(machine.granted_cores(), fitting, n_cells)))


def executor_of(workers: int, job: Job = execute) -> Executor:
    """Return the executor for so many worker processes; 1 is this process itself."""
    if workers < 1:
        raise UsageError(f"--workers must be at least 1, got {workers}")
    return in_process(job) if workers == 1 else local_processes(workers, job)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM, which schedulers send some time before they kill, end what is inside as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def in_process(job: Job) -> Executor:
    """Return the executor that does the cells here, one after the other, on all granted cores."""

    def run(cells: Sequence[Cell], report: Report) -> Iterator[Outcome]:
        machine.limit_threads(machine.granted_cores())
        for cell in cells:
            yield job(cell, report)

    return run


def local_processes(workers: int, job: Job = execute) -> Executor:
    """Return an executor over `workers` processes which share the granted cores between them."""
    threads = max(1, machine.granted_cores() // workers)

    def run(cells: Sequence[Cell], report: Report) -> Iterator[Outcome]:
        cells = [replace(cell, threads=threads) for cell in cells]
        for outcome in _pooled(cells, workers, report, job):
            if outcome.status != "died":
                yield outcome
                continue
            report(outcome.cell, "its process died; once more, alone", None)
            (again,) = _pooled([outcome.cell], 1, report, job)
            yield again if again.status != "died" else replace(again, status="failed")

    return run


def _pooled(cells: Sequence[Cell], workers: int, report: Report, job: Job) -> Iterator[Outcome]:
    """Yield outcomes from a fresh pool; cells whose pool broke have the status 'died'."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    life, lifeline = context.Pipe(duplex=False)
    listener = threading.Thread(target=_listen, args=(heard, {c.key: c for c in cells}, report), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(workers, context, initializer=_Worker.start, initargs=(told, life))
    try:
        futures = {pool.submit(_Worker.do, job, cell): cell for cell in cells}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Outcome(futures[future], "died", message="its process was killed (out of memory?)")
        pool.shutdown()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        lifeline.close()
        told.close()
        listener.join(LAST_WORDS_SECONDS)


def _listen(heard: Connection, cells: dict[str, Cell], report: Report) -> None:
    """Pass on what the workers report, until the last of them has ended."""
    while True:
        try:
            key, what, fraction = heard.recv()
        except (EOFError, OSError):
            return
        report(cells[key], what, fraction)


@dataclass
class _Worker:
    """One process of a pool: it tells its parent what it does, and ends with it."""

    told: Connection
    said: tuple[str, float] = ("", 0.0)

    this: ClassVar[_Worker]

    @classmethod
    def start(cls, told: Connection, life: Connection) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then ends its workers
        signal.signal(signal.SIGTERM, _stop)
        threading.Thread(target=_end_with_parent, args=(life,), daemon=True).start()
        cls.this = cls(told)

    @classmethod
    def do(cls, job: Job, cell: Cell) -> Outcome:
        machine.limit_threads(cell.threads)
        try:
            return job(cell, cls.this.tell)
        except KeyboardInterrupt:  # its trial is left to whoever goes on
            os._exit(1)

    def tell(self, cell: Cell, what: str, fraction: float | None) -> None:
        key, when = self.said
        now = time.monotonic()
        if cell.key != key or now - when >= REPORT_SECONDS:
            self.said = (cell.key, now)
            # Several processes write into one pipe without a lock, which a killed one would keep.
            self.told.send((cell.key, what[:LONGEST_REPORT], fraction))


def _end_with_parent(life: Connection) -> None:
    """Wait until the other end is closed, be it by the parent or by its death; then end, by force if need be."""
    try:
        life.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PARTING_SECONDS)
        os._exit(1)


def _stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not disturb the leaving
    raise KeyboardInterrupt
