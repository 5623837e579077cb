"""Many PDFs read side by side, each in a process of its own with limits, so that one costs only itself.

A paper that is read is a folder that appears whole, by one rename; the next build does not read it again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.curation.child import PAGES
from harness.curation.collection import DOCUMENTS, paper_folder
from harness.curation.papers import paper_record, write_failure
from harness.curation.readers import ERRORS, Pool, Reader
from harness.curation.reading import FILE
from harness.errors import DataError, UsageError

__all__ = [
    "MOST_PAGES",
    "NO_SPACE",
    "SCRATCH",
    "Limits",
    "Outcome",
    "Running",
    "Task",
    "built",
    "found_pdfs",
    "tasks_of",
]

PAGES_A_LIMIT = 100
"""A PDF may take the time limit, and the same again for each hundred pages that it has."""

MOST_PAGES = 5000
"""What a PDF says of its pages is believed up to here."""

NO_SPACE = "no space left on the disk"
POLL_SECONDS = 0.02
BLOCK = 1 << 20
SCRATCH = ".reading-"
LOCK = ".build.lock"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one PDF may cost."""

    seconds: float = 120.0
    memory_mb: int = 2000

    def seconds_for(self, pages: int) -> float:
        return self.seconds * (1 + min(pages, MOST_PAGES) / PAGES_A_LIMIT)


@dataclass(frozen=True, slots=True)
class Task:
    """A PDF to be read, known by its content."""

    path: Path
    sha256: str
    reader: str
    rules: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a PDF ended; `message` is the reason of a failure, `problems` what could not be read of it."""

    task: Task
    status: Literal["read", "kept", "failed"]
    figures: int = 0
    message: str = ""
    problems: tuple[str, ...] = ()
    seconds: float = 0.0


def found_pdfs(paths: Sequence[Path]) -> list[Path]:
    """Return the PDFs that are named, each once: files, those in folders, patterns, and lists in text files.

    A list ends in .txt and names one path a line, from the list's folder; empty lines and those that begin with '#'
    are left out. What is no regular file is among them, for `tasks_of` to name. Raises `UsageError` for a path where
    nothing is, and where there is no PDF at all.
    """
    found: dict[Path, None] = {}
    try:
        for path in _named(paths):
            if path.is_dir():
                inside = (one for one in path.rglob("*") if one.suffix.lower() == ".pdf" and not one.is_dir())
                found |= dict.fromkeys(sorted(inside))
            elif os.path.lexists(path):
                found[path] = None
            else:
                raise UsageError(f"{str(path)!r} is not there; name PDFs, or folders that hold some")
    except OSError as error:
        raise UsageError(f"{str(error.filename)[:80]!r} cannot be looked at: {error.strerror}") from error
    if not found:
        raise UsageError(f"no PDF in {', '.join(repr(str(path)) for path in paths)}; their names end in .pdf")
    return list(found)


def _named(paths: Sequence[Path]) -> Iterator[Path]:
    """Paths with patterns that no shell has filled in, and lists, replaced by what they name."""
    for path in paths:
        if path.suffix.lower() == ".txt" and path.is_file():
            yield from _listed(path)
        elif not path.exists() and any(sign in str(path) for sign in "*?["):
            anchor = Path(path.anchor)
            matches = sorted(anchor.glob(str(path.relative_to(anchor))))
            if not matches:
                raise UsageError(f"nothing is like {str(path)!r}; name PDFs, or folders that hold some")
            yield from matches
        else:
            yield path


def _listed(path: Path) -> Iterator[Path]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the list {str(path)!r}: {error}") from error
    for line in lines:
        if line.strip() and not line.startswith("#"):
            yield path.parent / line.strip()


def tasks_of(paths: Sequence[Path], reader: str, rules: Path | None = None) -> tuple[list[Task], list[str]]:
    """Return one task a content, and a line for each file that is a copy of another or cannot be read."""
    tasks: dict[str, Task] = {}
    remarks = []
    for path in paths:
        try:
            if not path.is_file():  # a pipe or a device would never end
                remarks.append(f"{str(path)!r}: cannot be read: no regular file is there; left out")
                continue
            sha256 = _digest(path)
        except OSError as error:
            remarks.append(f"{str(path)!r}: cannot be read: {error.strerror}; left out")
            continue
        if sha256 in tasks:
            remarks.append(f"{str(path)!r}: the same file as {str(tasks[sha256].path)!r}; read once")
            continue
        tasks[sha256] = Task(path, sha256, reader, rules)
    return list(tasks.values()), remarks


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
    return total.hexdigest()


def built(
    tasks: Sequence[Task],
    out: Path,
    *,
    workers: int,
    limits: Limits | None = None,
    retry: bool = False,
    reader: Sequence[str] | None = None,
) -> Iterator[Outcome]:
    """Read PDFs into the collection `out`, `workers` at a time; yield how each ended, as it ends.

    `reader` is another command that reads one. Papers that are there already, read by the same code, are kept; with
    `retry` failed ones are read again. Whatever ends this generator, be it Ctrl-C, ends the processes it started.
    """
    waiting = []
    with _prepared(out):
        for task in tasks:
            earlier = _earlier(task, out, retry)
            if earlier is None:
                waiting.append(task)
            else:
                yield earlier
        running: list[Running] = []
        pool = Pool(reader)
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    running.append(Running.start(waiting.pop(0), out, limits or Limits(), pool))
                ended = [one for one in running if one.has_ended()]
                for one in ended:
                    outcome = one.outcome(out)
                    running.remove(one)
                    yield outcome
                if not ended:
                    time.sleep(POLL_SECONDS)
        finally:
            for one in running:
                one.end()
            pool.close()
            _swept(out)


@contextmanager
def _prepared(out: Path) -> Iterator[None]:
    """Make the folder, keep other builds away from it, and remove what a killed build left."""
    from filelock import FileLock, Timeout

    try:
        (out / DOCUMENTS).mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(f"another build works in {str(out)!r}; wait for it, or name another --out") from None
    except OSError as error:
        raise DataError(
            f"cannot write into {str(out)!r}: {error.strerror or error}; name another folder with --out"
        ) from error
    try:
        _swept(out)
        yield
    finally:
        lock.release()


def _swept(out: Path) -> None:
    """Remove what readers were at, also one that Ctrl-C met while it was being started; the lock says it's all ours."""
    for left in (out / DOCUMENTS).glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


def _earlier(task: Task, out: Path, retry: bool) -> Outcome | None:
    record = paper_record(paper_folder(out, task.sha256))
    if record is None or record["reader"] != task.reader or (retry and record["failed"]):
        return None
    if record["failed"]:
        return Outcome(task, "failed", message=f"{record['failed']} (as before; --retry reads it again)")
    return Outcome(task, "kept", len(record["figures"]), problems=tuple(record["problems"]))


@dataclass(eq=False)
class Running:
    """A process that reads one PDF, the folder it works in, and the clock over it."""

    task: Task
    reader: Reader
    scratch: Path
    limits: Limits
    started: float = field(default_factory=time.monotonic)
    late: float | None = None
    code: int | None = None

    @classmethod
    def start(cls, task: Task, out: Path, limits: Limits, pool: Pool) -> Running:
        scratch = out.resolve() / DOCUMENTS / f"{SCRATCH}{task.sha256[:16]}-{os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        message = {
            "path": str(task.path.resolve()),
            "folder": str(scratch),
            "name": task.path.name,
            "sha256": task.sha256,
            "reader": task.reader,
            "rules": str(task.rules.resolve()) if task.rules else None,
            "memory_bytes": limits.memory_mb << 20,
            "cpu_seconds": int(limits.seconds_for(MOST_PAGES)) + 60,
        }
        return cls(task, pool.start(message), scratch, limits)

    def has_ended(self) -> bool:
        """Whether the reader is over; one over its time is killed."""
        self.code = self.reader.poll()
        if self.code is not None:
            return True
        limit = self.limits.seconds_for(self._pages())
        if time.monotonic() - self.started <= limit:
            return False
        self.late = limit
        self.reader.kill()
        return True

    def _pages(self) -> int:
        try:
            return int((self.scratch / PAGES).read_text())
        except (OSError, ValueError):
            return 0

    def end(self) -> None:
        """Stop the reader."""
        self.reader.kill()
        self.reader.close()

    def outcome(self, out: Path) -> Outcome:
        """Put the paper where it belongs, or a note of why it could not be read."""
        self.reader.close()
        seconds = time.monotonic() - self.started
        record = paper_record(self.scratch) if self.code == 0 else None
        if record is None:
            reason = self.reason()
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir()
            write_failure(self.scratch, self.task.path.name, self.task.sha256, self.task.reader, reason)
            record = paper_record(self.scratch)
        assert record is not None
        for name in (PAGES, ERRORS):
            (self.scratch / name).unlink(missing_ok=True)
        _put(self.scratch, paper_folder(out, self.task.sha256))
        if record["failed"]:
            return Outcome(self.task, "failed", message=record["failed"], seconds=seconds)
        figures, problems = len(record["figures"]), tuple(record["problems"])
        return Outcome(self.task, "read", figures, problems=problems, seconds=seconds)

    def reason(self) -> str:
        """Why nothing came of a reader that has ended."""
        if self.late is not None:
            return f"took more than {self.late:.0f} s and was stopped (--time-limit)"
        code = self.code or 0
        if code < 0:
            return f"its reader died of {_signal(-code)}"
        said = (self.scratch / ERRORS).read_text("utf-8", "replace").strip().splitlines()
        if said and re.match(r"[\w.]*MemoryError\b", said[-1]):
            return f"needs more than {self.limits.memory_mb} MB of memory (--memory-limit)"
        if said and "No space left on device" in said[-1]:
            return f"{NO_SPACE}; make room, then --retry"
        return f"its reader ended with {code}: {said[-1][:200] if said else f'without {FILE}'}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _put(scratch: Path, place: Path) -> None:
    """Rename a folder into its place; what an older reader left there goes first."""
    if place.exists():
        old = scratch.with_name(f"{SCRATCH}old-{scratch.name}")
        place.rename(old)
        scratch.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    else:
        scratch.rename(place)
