"""A model card's metadata from records: where a method is ranked, and what it reached there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, UnknownName, UsageError
from harness.folders import bundled
from harness.model_index import model_index
from harness.records import Record, writable

if TYPE_CHECKING:
    from harness.board_rows import Row
    from harness.boards import Board

__all__ = ["ranked_rows", "update_card"]

KEY = "model-index"


def ranked_rows(records: Sequence[Record], method: str) -> list[tuple[Board, Row]]:
    """Return the ranked rows of a method, with their boards.

    `method` is what a board calls it, or a model's name where one method alone bears it. Raises `UnknownName`
    for another, `UsageError` when it is ranked nowhere or several methods bear the name.
    """
    from harness.boards import build_boards
    from harness.published import load_published

    boards = build_boards(records, load_published(bundled("leaderboards")))
    rows = [(board, row) for board in boards for row in board.rows]
    meant = _meant([row for _, row in rows], method)
    found = [(board, row) for board, row in rows if row.method == meant and row.rank is not None]
    if not found:
        status = ", ".join(
            f"{board.dataset} {board.protocol}: {row.status}" for board, row in rows if row.method == meant
        )
        raise UsageError(f"{meant!r} is ranked on no board ({status}), so there is no result to state")
    return found


def _meant(rows: Sequence[Row], method: str) -> str:
    for row in rows:
        if method in (row.method, row.name):
            return row.method
    lettered = {
        row.method for row in rows if method in (row.short, row.shown)
    }  # 'net (a)', a board's own letter
    of_label = sorted(lettered or {row.method for row in rows if row.label == method})
    if len(of_label) > 1:
        raise UsageError(f"several methods are {method!r}; name one of {', '.join(map(repr, of_label))}")
    if not of_label:
        raise UnknownName("method on the boards", method, {row.method for row in rows})
    return of_label[0]


def update_card(path: Path, name: str, rows: Sequence[tuple[Board, Row]], source_url: str | None) -> None:
    """Write the results into a model card, whole or not at all; its text and other metadata stay as they are.

    Raises `DataError` for a card whose metadata cannot be read, `RecordError` when it cannot be written.
    """
    from huggingface_hub import metadata_save

    known = _metadata(path)
    entry = model_index(name, rows, source_url)
    temporary = path.with_name(f".{path.name}.new")
    with writable(path.parent):
        try:
            if path.exists():
                shutil.copyfile(path, temporary)
            else:
                temporary.write_bytes(b"")
            metadata_save(temporary, {**known, KEY: [entry]})
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _metadata(path: Path) -> dict[str, Any]:
    """What a card says already; empty where there is none."""
    import yaml
    from huggingface_hub import metadata_load

    if not path.exists():
        return {}
    try:
        return metadata_load(path) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        said = re.sub(r"\s+", " ", str(error))
        raise DataError(f"{str(path)!r}: its metadata cannot be read: {said}") from error
