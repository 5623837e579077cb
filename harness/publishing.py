"""Boards from records on disk: read, build, write; nothing is done when nothing changed."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import RecordError
from harness.folders import bundled
from harness.records import MANIFEST, read_records, writable
from harness.types import digest_of

__all__ = ["publish"]

STAMP = ".boards.json"


def publish(out: Path) -> list[Path]:
    """Write every board of the records in `out/runs`; return the Markdown files.

    A repeated call on unchanged records and tables reads no predictions and writes nothing.
    Raises `RecordError` when there is no record at all.
    """
    state = _state(out)
    known, names = _stamp(out)
    if known == state and all((out / name).is_file() for name in names):
        return [out / name for name in names]

    from harness.board_files import index, replaced, write_board
    from harness.boards import build_boards
    from harness.published import load_published
    from harness.transfer_files import index_line, write_transfers

    records = read_records(out / "runs")
    if not records:
        raise RecordError(f"no records in {str(out / 'runs')!r}: nothing to make a board of")
    boards = build_boards(records, load_published(bundled("leaderboards")))
    files = []
    with writable(out):
        for board in boards:
            files += [path for path in write_board(board, out) if path.suffix == ".md"]
        write_transfers(boards, out)
        replaced(out / "index.md", index(boards) + index_line(boards))
        names = [str(path.relative_to(out)) for path in files]
        replaced(out / STAMP, json.dumps({"state": state, "files": names}))
    return files


def _state(out: Path) -> str:
    """A digest of what boards are made from: manifests by name, size and time, tables and code by content."""
    from harness import __version__

    manifests = [
        [path.parent.name, path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted((out / "runs").glob(f"[!.]*/{MANIFEST}"))
    ]
    tables = [path.read_text("utf-8") for path in sorted(bundled("leaderboards").glob("*/published.toml"))]
    code = [path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    return digest_of([__version__, code, manifests, tables])


def _stamp(out: Path) -> tuple[str | None, list[str]]:
    """The state the boards were made of, and their Markdown files; None when that is not known."""
    try:
        known = json.loads((out / STAMP).read_text("utf-8"))
        return str(known["state"]), [str(name) for name in known["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None, []
