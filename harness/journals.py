"""Where a study lies: Optuna's journal in a file, under locks that die with their process.

`FOLDER/KEY.journal` is the journal. Optuna's two locks of such a file are files whose owner's death nobody notices
for 30 seconds; ours is the operating system's, which goes with its process.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.errors import RecordError, StudyDamaged

if TYPE_CHECKING:
    import optuna
    from filelock import BaseFileLock

__all__ = ["Shelf", "damage_named", "opened", "quiet"]

CREATES_STUDY = 0
"""What a journal's first record does; Optuna passes over trials of a study that was never created."""


@dataclass(frozen=True)
class Shelf:
    """Where the journal of one study lies."""

    folder: Path
    key: str

    @property
    def journal(self) -> Path:
        return self.folder / f"{self.key}.journal"

    def unfinished(self, number: int) -> Path:
        """Return the folder of what a killed process leaves of the training of a trial."""
        return self.folder / ".unfinished" / self.key / f"trial-{number}"

    def sweep(self) -> None:
        """Remove what trials left of their trainings, save those that another process runs."""
        from filelock import Timeout

        of_study = self.unfinished(0).parent
        for left in of_study.glob("trial-*"):
            with suppress(Timeout), self.lock(left.name).acquire(timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        for folder in (of_study, of_study.parent):
            with suppress(OSError):  # absent, or not empty
                folder.rmdir()

    def lock(self, what: str) -> BaseFileLock:
        from filelock import FileLock

        locks = self.folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{self.key}.{what}.lock")


@contextmanager
def quiet() -> Iterator[None]:
    """Let Optuna keep to itself what it says of new studies and of its experimental parts."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class _JournalLock:
    """The operating system's lock of a journal; whoever takes it mends what its last owner left."""

    def __init__(self, shelf: Shelf) -> None:
        self._lock, self._journal = shelf.lock("journal"), shelf.journal

    def acquire(self) -> bool:
        self._lock.acquire()
        _cut_torn_line(self._journal)
        return True

    def release(self) -> None:
        self._lock.release()


def opened(shelf: Shelf) -> optuna.storages.JournalStorage:
    """Return the storage over the journal of a shelf. Raises `StudyDamaged` when it is none."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    lock = _JournalLock(shelf)
    lock.acquire()
    try:
        _check_lines(shelf)
    finally:
        lock.release()
    with damage_named(shelf):
        return JournalStorage(JournalFileBackend(str(shelf.journal), lock_obj=cast(Any, lock)))


def _cut_torn_line(journal: Path) -> None:
    """Remove what follows the last line's end: a record that was never whole."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        end = file.seek(0, 2)
        if end == 0:
            return
        file.seek(end - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def _check_lines(shelf: Shelf) -> None:
    """Raise `StudyDamaged` for the first line that is no record of a journal."""
    if not shelf.journal.exists():
        return
    with shelf.journal.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict) or (number == 1 and record.get("op_code") != CREATES_STUDY):
                raise StudyDamaged(
                    f"study {str(shelf.journal)!r}: line {number} is no record; delete the file to tune anew"
                )


@contextmanager
def damage_named(shelf: Shelf | None) -> Iterator[None]:
    """Turn what Optuna stumbles over in a journal into one line that names the file."""
    try:
        yield
    except (RecordError, OSError):
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        AssertionError,
        RuntimeError,
    ) as error:
        if shelf is None:
            raise
        raise StudyDamaged(
            f"study {str(shelf.journal)!r} does not make sense ({type(error).__name__}: {error}); "
            "delete the file to tune anew"
        ) from error
