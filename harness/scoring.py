"""`harness score`: everything made anew from records alone, or nothing where a record cannot be believed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.board_cells import Entry, chosen, entry_of, read_cells
from harness.board_files import replaced
from harness.errors import DataError, HarnessError, RecordError
from harness.publishing import state_of, texts_of, write_all
from harness.records import MANIFEST, Record, manifest_text, read_record, sealed, writable

__all__ = ["Faulty", "faults_of", "rescore", "runs_folder", "seal", "sound_records"]


class Faulty(RecordError):
    """Records that cannot be believed: `faults` holds one line for each."""

    def __init__(self, faults: Sequence[str], of: int) -> None:
        super().__init__(
            f"{len(faults)} of {of} records cannot be believed: {faults[0]}; nothing was written"
        )
        self.faults, self.of = tuple(faults), of


@dataclass(frozen=True)
class Rescored:
    """What was read, and the files that were written."""

    records: int
    files: tuple[Path, ...]


def rescore(runs: Path, out: Path) -> Rescored:
    """Write everything that is made of the records in `runs` below `out`.

    Unlike a run, which shows a damaged record as a failed row and goes on, this writes nothing unless every record
    is sound. Raises `Faulty` naming all that are not, `DataError` for a folder without records.
    """
    records = sound_records(runs)
    files = write_all(out, texts_of(records), state_of(runs))
    return Rescored(len(records), tuple(files))


def seal(runs: Path) -> int:
    """Give each record without a digest of its manifest one, and return how many that were.

    From then on an edit is found; of edits before it nothing is known. Raises `Faulty` as `sound_records` does.
    """
    bare = [record for record in sound_records(runs) if not record.digested]
    with writable(runs):
        for record in bare:
            replaced(record.folder / MANIFEST, manifest_text(sealed(record.manifest)))
    return len(bare)


def runs_folder(given: Path) -> Path:
    """Return the folder of records that `given` is or holds as `runs`. Raises `DataError` where there is none."""
    if not given.is_dir():
        raise DataError(f"{str(given)!r} is no folder; name a folder of records, or one that holds 'runs'")
    for folder in (given / "runs", given):
        if any(folder.glob(f"[!.]*/{MANIFEST}")):
            return folder
    raise DataError(f"no records in {str(given)!r}: expected KEY/{MANIFEST} or runs/KEY/{MANIFEST} below it")


def sound_records(runs: Path) -> list[Record]:
    """Return every record below `runs`. Raises `Faulty` in which each one that cannot be believed has a line."""
    records, faults = [], []
    folders = sorted(path for path in runs.iterdir() if path.is_dir() and not path.name.startswith("."))
    for folder in folders:
        try:
            records.append(read_record(folder))
        except HarnessError as error:
            faults.append(str(error))
    faults += faults_of(records)
    if faults:
        raise Faulty(faults, len(folders))
    return records


def faults_of(records: Sequence[Record]) -> list[str]:
    """Return a line for each record whose manifest or predictions cannot be believed, older ones included."""
    faults = []
    by_board: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for record in records:
        try:
            entry = entry_of(record)
        except RecordError as error:
            faults.append(str(error))
        else:
            by_board[entry.dataset, entry.protocol].append(entry)
    for entries in by_board.values():
        counted, _ = chosen(entries)
        older = [entry for entry in entries if entry not in counted]
        # older ones may be of another test part: each is held to itself alone
        for together in [counted, *([entry] for entry in older)]:
            faults += [
                _line(cell.entry.key, cell.failure)
                for cell in read_cells(together)
                if cell.failure is not None and cell.entry.failure is None
            ]
    return sorted(faults)


def _line(key: str, failure: str) -> str:
    said = failure.partition(": ")[2] or failure
    return said if said.startswith("record ") else f"record {key!r}: {said}"
