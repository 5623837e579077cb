"""What `harness verify` says of the published tables of a dataset, as files beside its boards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness import schemas
from harness.board_files import file_name
from harness.boards import Board
from harness.claims import ClaimTable
from harness.errors import CardError
from harness.published import Published, PublishedTable
from harness.verdicts import table_verdicts
from harness.verify_findings import findings_of
from harness.verify_json import as_json
from harness.verify_report import Verified, report
from harness.verify_tables import published_tables

__all__ = ["texts", "verified_tables", "with_possible"]


def verified_tables(boards: Sequence[Board], published: Mapping[str, Published]) -> dict[str, list[Verified]]:
    """Return the published tables of each dataset that has a board, with what is found of them."""
    found: dict[str, list[Verified]] = {}
    for dataset in dict.fromkeys(board.dataset for board in boards):
        if dataset in published:
            of_dataset = [board for board in boards if board.dataset == dataset]
            found[dataset] = [
                _verified(claims, of_dataset) for claims in published_tables(published[dataset])
            ]
    return found


def _verified(claims: ClaimTable, boards: Sequence[Board]) -> Verified:
    table = claims.published
    assert table is not None
    nothing = f"there is no record of {claims.dataset!r} under the protocol {table.protocol!r}"
    try:
        findings = findings_of(claims)
    except ValueError as error:
        raise CardError(f"published table {table.id!r}: {error}") from error
    return Verified(claims, "nearest", findings, table_verdicts(table, boards, nothing))


def with_possible(board: Board, verified: Sequence[Verified]) -> Board:
    """Return the board, its comparisons saying of each published row whether it is possible."""
    words = {
        _id(each.table.published): {finding.claim.method: finding.word for finding in each.findings}
        for each in verified
    }
    comparisons = (replace(each, possible=words.get(each.table.id, {})) for each in board.comparisons)
    return replace(board, comparisons=tuple(comparisons))


def _id(table: PublishedTable | None) -> str | None:
    return None if table is None else table.id


def texts(verified: Mapping[str, Sequence[Verified]]) -> dict[str, str]:
    """Return `DATASET/verdicts.md` and `.json` of each dataset with published tables, by their path."""
    made = {}
    for dataset, tables in verified.items():
        made[f"{file_name(dataset)}/verdicts.md"] = report(tables)
        made[f"{file_name(dataset)}/verdicts.json"] = schemas.document("verdicts", as_json(tables))
    return made
