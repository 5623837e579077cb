"""The report's file: whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from harness.board_files import replaced
from harness.board_sides import Side
from harness.boards import Board, build_boards
from harness.errors import RecordError
from harness.published import Published
from harness.records import Record, writable
from harness.report.pages import report_html
from harness.report.rules import explanations_in
from harness.report.thumbnails import Thumbnails, pictured, thumbnails_of
from harness.types import Progress
from harness.verdict_files import verified_tables

__all__ = ["write_report"]


def write_report(
    records: Iterable[Record],
    published: Mapping[str, Published],
    out: Path,
    *,
    explanations: Path | None = None,
    images: bool = False,
    data_root: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the page of these records to `out`; return its path.

    `explanations` is the folder that `harness explain` wrote to. With `images` the datasets are opened and
    the page holds pictures of them, under the licences that it states.

    Raises `RecordError` when there is no record or the file cannot be written, `CardError` for a published
    table that cannot be used, and what `harness.report.thumbnails.thumbnails_of` raises.
    """
    if out.is_dir():
        raise RecordError(f"{str(out)!r} is a folder; name a file with --out, such as report.html")
    boards = build_boards(records, published)
    if not boards:
        raise RecordError("no records: nothing to make a report of; 'harness run' makes them")
    pictures = _pictures(boards, data_root, progress) if images else {}
    rules = {} if explanations is None else explanations_in(explanations)
    verified = verified_tables(boards, published)
    text = report_html(boards, [*chain(*verified.values())], rules=rules, images=pictures)
    with writable(out.parent):
        return replaced(out, text)


def _pictures(
    boards: Sequence[Board], data_root: Path | None, progress: Progress | None
) -> dict[str, Thumbnails]:
    """The images of each dataset; opened once, however many boards speak of the same images."""
    wanted: dict[tuple[str, str], tuple[Side, bool]] = {}
    for board in boards:
        skipped = any(cell.manifest["dataset"].get("skipped") for row in board.rows for cell in row.cells)
        for side in pictured(board):
            before = wanted.get((side.name, side.content), (side, False))
            wanted[side.name, side.content] = side, before[1] or skipped
    return {
        side.name: thumbnails_of(side, data_root, progress, skip_bad=skip_bad)
        for side, skip_bad in wanted.values()
    }
