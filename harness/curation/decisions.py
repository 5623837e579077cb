"""What was decided by eye: a file of lines that only grows, each line on the disk before it counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from harness.errors import DataError

__all__ = ["Action", "Event", "EventFile", "effective", "read_events"]

Action = Literal["accept", "reject", "label", "patient", "split", "merge", "undo"]

MOST_BYTES = 1 << 16
"""Of a line: what is longer was not written by us."""


@dataclass(frozen=True, slots=True)
class Event:
    """One decision. `target` is a candidate's id, for 'undo' the number of the event that no longer holds.

    `value` is a class for 'label', a name for 'patient', pixel boxes for 'split', the other candidate for 'merge'.
    `made` is the time it was made, for people.
    """

    number: int
    action: Action
    target: str
    value: Any = None
    made: str = ""


def read_events(path: Path) -> tuple[Event, ...]:
    """Return the events of a file, none where there is no file; a last line that a crash cut off is left out.

    Raises `DataError` with the line for anything else that is no event.
    """
    return tuple(event for event, _ in _read(path))


def _read(path: Path) -> Iterator[tuple[Event, int]]:
    """Events, and where in the file each of them ends."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}") from error
    end = 0
    *lines, tail = data.split(b"\n")
    if _event(tail, len(lines) + 1) is not None:
        lines.append(tail)  # whole: only its end of line is missing
    elif len(tail) > MOST_BYTES:
        raise DataError(f"{str(path)!r}, line {len(lines) + 1}: longer than any decision; restore the file")
    for number, line in enumerate(lines, 1):
        end += len(line) + 1
        event = _event(line, number)
        if event is None:
            raise DataError(
                f"{str(path)!r}, line {number}: no decision: {line[:60]!r}; restore the file or remove the line"
            )
        yield event, end


def _event(line: bytes, number: int) -> Event | None:
    try:
        table = json.loads(line) if len(line) <= MOST_BYTES else None
        event = Event(**table) if isinstance(table, dict) else None
    except (ValueError, TypeError, RecursionError):
        return None
    if event is None or event.number != number or event.action not in get_args(Action):
        return None
    return event if isinstance(event.target, str) else None


def effective(events: Sequence[Event]) -> list[Event]:
    """Return the events that hold: without those that were undone, and without the undoing."""
    undone = {event.target for event in events if event.action == "undo"}
    return [event for event in events if event.action != "undo" and str(event.number) not in undone]


class EventFile:
    """The file, opened for more; a line that a crash cut off is removed first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = list(_read(path))
        self.events = [event for event, _ in found]
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            end, size = found[-1][1] if found else 0, os.fstat(self._file).st_size
            if size > end:
                os.ftruncate(self._file, end)
            elif size < end:
                os.write(self._file, b"\n")
            os.fsync(self._file)
        except OSError as error:
            raise DataError(f"cannot write {str(path)!r}: {error.strerror}") from error

    def add(self, action: Action, target: str, value: Any = None, made: str = "") -> Event:
        """Return the new event once it is on the disk. Raises `DataError` when it cannot be kept."""
        event = Event(len(self.events) + 1, action, target, value, made)
        line = json.dumps(_told(asdict(event)), ensure_ascii=True, allow_nan=False).encode() + b"\n"
        if len(line) > MOST_BYTES:
            raise DataError(f"a decision of {len(line)} bytes; at most {MOST_BYTES} are kept")
        self._check_there()
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(28, "no space left")
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise DataError(
                f"cannot write {str(self.path)!r}: {error.strerror}; nothing was decided"
            ) from error
        self.events.append(event)
        return event

    def _check_there(self) -> None:
        """Raise `DataError` when another file has taken this one's place, or none: what is added would be lost."""
        mine = os.fstat(self._file)
        try:
            there = self.path.stat()
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise DataError(f"{str(self.path)!r} was replaced or removed; start the review anew")

    def close(self) -> None:
        os.close(self._file)


def _told(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}
