"""Processes that read one PDF each: forked off one that has imported all it takes, or started anew.

Starting Python and importing PyMuPDF takes longer than reading a small PDF. On Linux each worker therefore has one
process that imports, opens no PDF itself, and forks off a fresh reader for every PDF: what a PDF does to its reader,
be it a crash, a leak or a limit, ends with that reader. Elsewhere a reader is a process that was started for it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

__all__ = ["ERRORS", "READER", "Fresh", "Pool", "Reader"]

READER = (sys.executable, "-m", "harness.curation.child")
"""The command of a reader: with a task it reads that, without one it forks off readers."""

ERRORS = "errors"
"""The file in a reader's folder that takes what it says before it dies."""


class Reader(Protocol):
    """A process that reads one PDF."""

    def poll(self) -> int | None:
        """Return how it ended, None while it runs: 0, an exit code, or a signal's number below 0."""

    def kill(self) -> None:
        """End it, and all that it started."""

    def close(self) -> None:
        """Let go of what is held for a reader that has ended."""


class Fresh:
    """A reader that is a process of its own from the start."""

    def __init__(self, command: Sequence[str], task: Mapping[str, Any]) -> None:
        with Path(task["folder"], ERRORS).open("wb") as errors:
            self._process = _started((*command, json.dumps(task)), task["folder"], subprocess.DEVNULL, errors)

    def poll(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        _end(self._process.pid)
        self._process.wait()

    def close(self) -> None:
        _close(self._process)


class _Forked:
    """A reader that its worker's process forks off; killing it takes that process along, as it is soon replaced."""

    def __init__(self, worker: _Worker, pool: Pool) -> None:
        self._worker, self._pool = worker, pool
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._worker.ended()
        return self._code

    def kill(self) -> None:
        self._worker.kill()
        self._code = -signal.SIGKILL

    def close(self) -> None:
        self._pool.take_back(self._worker)


class _Worker:
    """A process that forks off one reader at a time: a task a line goes in, 'pid N' and 'ended CODE' come out."""

    def __init__(self) -> None:
        self._process = _started(READER, None, subprocess.PIPE, subprocess.DEVNULL)
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._reader_pid: int | None = None
        self._said = b""

    def read(self, task: Mapping[str, Any]) -> None:
        """Have a PDF read; a worker that died in the meantime is noticed when its reader is asked how it ended."""
        assert self._process.stdin is not None
        self._reader_pid = None
        try:
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def ended(self) -> int | None:
        """Return how the reader ended, None while it runs; the worker's own end counts as its reader's."""
        died = self._process.poll()  # before the last words are read, so that none are missed
        self._listen()
        *lines, self._said = self._said.split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"ended":
                self._reader_pid = None
                return int(number)
            self._reader_pid = int(number)
        return died

    def _listen(self) -> None:
        assert self._process.stdout is not None
        self._said += self._process.stdout.read() or b""

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End the worker and its reader with all that it started."""
        self.ended()
        if self._reader_pid is not None:
            _end(self._reader_pid)
        _end(self._process.pid)
        self._process.wait()
        self.close()

    def close(self) -> None:
        _close(self._process)


class Pool:
    """Readers for PDFs, by `command` or, where the system can fork safely, off workers that are ready."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = tuple(command or READER)
        self._forks = command is None and sys.platform == "linux"
        self._idle: list[_Worker] = []

    def start(self, task: Mapping[str, Any]) -> Reader:
        """Return a reader that works on a task in the folder it names."""
        Path(task["folder"], ERRORS).touch()
        if not self._forks:
            return Fresh(self._command, task)
        worker = self._ready() or _Worker()
        worker.read(task)
        return _Forked(worker, self)

    def _ready(self) -> _Worker | None:
        """A worker that waits and was not killed meanwhile."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            worker.close()
        return None

    def take_back(self, worker: _Worker) -> None:
        """Keep a worker for another PDF, unless it is gone."""
        if worker.is_alive:
            self._idle.append(worker)
        else:
            worker.close()

    def close(self) -> None:
        """End the workers that wait."""
        while self._idle:
            self._idle.pop().kill()


def _started(command: Sequence[str], folder: str | None, output: int, errors: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=errors,
        start_new_session=True,  # Ctrl-C is the parent's
    )


def _environment() -> dict[str, str]:
    """The reader's environment: one thread, and this same code."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)}


def _end(pid: int) -> None:
    """Kill a process that leads a group, and its group."""
    try:
        os.killpg(pid, signal.SIGKILL) if hasattr(os, "killpg") else os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # a task that a dead worker did not take is still in the pipe
                pipe.close()
