"""Everything that is made of records: boards, verdicts, exports. Read, build, write; nothing when nothing changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import RecordError
from harness.folders import bundled
from harness.records import MANIFEST, PREDICTIONS, read_records, writable
from harness.types import digest_of

if TYPE_CHECKING:
    from harness.boards import Board
    from harness.records import Record

__all__ = ["publish", "texts_of", "write_all"]

STAMP = ".boards.json"
"""What the files in an output folder were made of, and their digests."""


def publish(out: Path) -> list[Path]:
    """Write everything that is made of the records in `out/runs`; return the boards' Markdown files.

    A repeated call on unchanged records, tables and files reads no predictions and writes nothing.
    Raises `RecordError` when there is no record at all.
    """
    state, stamp = state_of(out / "runs"), _stamp(out)
    if stamp.get("state") != state or not _unchanged(out, stamp):
        records = read_records(out / "runs")
        if not records:
            raise RecordError(f"no records in {str(out / 'runs')!r}: nothing to make a board of")
        write_all(out, texts_of(records), state)
    return [out / name for name in _stamp(out)["boards"]]


def texts_of(records: Iterable[Record]) -> dict[str, str]:
    """Return every file that is made of records, by its path below the output folder.

    This is the one place that knows all kinds of files: a new kind is one more line in `made`. Pure: no clock, no
    image, no model. Raises `RecordError` and `CardError` in one line.
    """
    from harness import board_files, model_index, schemas, transfer_files, verdict_files
    from harness.boards import build_boards
    from harness.published import load_published
    from harness.report import report_html

    published = load_published(bundled("leaderboards"))
    boards = build_boards(records, published)
    verified = verdict_files.verified_tables(boards, published)
    boards = [verdict_files.with_possible(board, verified.get(board.dataset, ())) for board in boards]
    made = [
        *(board_files.texts(board) for board in boards),
        *(model_index.texts(board) for board in boards),
        verdict_files.texts(verified),
        transfer_files.texts(boards),
        {"index.md": board_files.index(boards, tuple(verified)) + transfer_files.index_line(boards)},
        {"report.html": report_html(boards, [*chain(*verified.values())])},
        schemas.texts(),
    ]
    return _joined(made, boards)


def _joined(made: Sequence[Mapping[str, str]], boards: Sequence[Board]) -> dict[str, str]:
    """One mapping of all; raises where two files would have one name."""
    texts: dict[str, str] = {}
    for files in made:
        twice = sorted(texts.keys() & files.keys())
        if twice:
            names = ", ".join(f"{board.dataset!r} {board.protocol!r}" for board in boards)
            raise RecordError(
                f"two files would be {twice[0]!r}; the boards are {names}: rename a dataset or protocol"
            )
        texts |= files
    return texts


def write_all(out: Path, texts: Mapping[str, str], state: str) -> list[Path]:
    """Write these files below `out`, each whole or not at all, and remove those of before that are none of them.

    A file of before that was edited since is left alone.
    """
    from harness.board_files import replaced

    before = _stamp(out)
    with writable(out):
        paths = [replaced(out / name, text) for name, text in texts.items()]
        for name, digest in before.get("files", {}).items():
            if name not in texts and _digest(out / name) == digest:
                _remove(out / name)
        digests = {name: _sha256(text.encode()) for name, text in texts.items()}
        boards = [name for name in texts if name.endswith(".md") and name[:-3] + ".pairs.csv" in texts]
        stamp = {"state": state, "boards": boards, "files": digests}
        replaced(out / STAMP, json.dumps(stamp, indent=1) + "\n")
    return paths


def _remove(path: Path) -> None:
    path.unlink()
    with contextlib.suppress(OSError):  # other files are in it
        path.parent.rmdir()


def state_of(runs: Path) -> str:
    """Return a digest of what files are made from: records, tables and code, all by content."""
    from harness import __version__

    package = Path(__file__).parent
    records = [
        [path.parent.name, _digest(path), _digest(path.parent / PREDICTIONS)]
        for path in sorted(runs.glob(f"[!.]*/{MANIFEST}"))
    ]
    tables = [path.read_text("utf-8") for path in sorted(bundled("leaderboards").glob("*/published.toml"))]
    sources = [path for of in ("*.py", "report/**/*.*", "schemas/*.json") for path in package.glob(of)]
    code = [path.read_text("utf-8") for path in sorted(sources) if path.suffix != ".pyc"]
    return digest_of([__version__, code, records, tables])


def _unchanged(out: Path, stamp: Mapping[str, Any]) -> bool:
    return all(_digest(out / name) == digest for name, digest in stamp["files"].items())


def _stamp(out: Path) -> dict[str, Any]:
    """What the files were made of; empty when that is not known."""
    try:
        said = json.loads((out / STAMP).read_text("utf-8"))
        known = isinstance(said["state"], str) and all(
            _below(name) for name in [*said["boards"], *said["files"]]
        )
        return dict(said) if known and isinstance(said["files"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _below(name: str) -> bool:
    """True for a path that does not lead out of its folder."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def _digest(path: Path) -> str | None:
    """The SHA-256 of a file, None where there is none."""
    try:
        return _sha256(path.read_bytes()) if path.is_file() else None  # a pipe would be waited for
    except OSError:
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
