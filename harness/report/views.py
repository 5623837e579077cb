"""What the page's templates see: boards, sections and rows with their curves, panels, pairs and costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.board_comparisons import context_text
from harness.board_pairs import PAIRED, Smallest
from harness.board_rows import RANKED_BY
from harness.board_tables import Table, facts, legend, pairs_text
from harness.boards import Board, Section
from harness.protocols import other_dataset
from harness.reliability_tables import reliability_tables
from harness.report.costs import Cost, cost_panels, costs_of
from harness.report.curves import Curves, curves_of
from harness.report.figures import Figure, figure, heading, scale_of
from harness.report.misses import Misses, misses_of
from harness.report.panels import Panel, curve_panels
from harness.report.rows import Confusion, PairTable, RowView, confusion_of, pair_tables, row_views
from harness.report.rules import Rules, RulesOfRow, rules_of
from harness.report.thumbnails import Thumbnails, pictured
from harness.report.transfers import TransferView, transfer_views
from harness.report.verdicts import PaperTable, paper_tables
from harness.types import digest_of
from harness.verdicts import name_of
from harness.verify_report import Verified

__all__ = ["BoardView", "Report", "SectionView", "is_leak", "report_of"]


@dataclass(frozen=True)
class SectionView:
    """One recipe of a board; `id` begins the anchors of its parts."""

    id: str
    section: Section
    rows: tuple[RowView, ...]
    pairs: tuple[PairTable, ...]
    curves: tuple[tuple[RowView, Curves], ...]
    panels: tuple[Panel, ...]
    confusions: tuple[Confusion, ...]
    costs: tuple[Cost, ...]
    cost_panels: tuple[Panel, ...]
    misses: Misses | None
    rules: tuple[RulesOfRow, ...]
    smallest: tuple[tuple[str, Smallest], ...]
    reliability: tuple[tuple[str, Table, tuple[str, ...]], ...]
    paired_how: str

    @property
    def best(self) -> tuple[RowView, ...]:
        """The rows of rank 1."""
        return tuple(view for view in self.rows if view.row.rank == 1)

    @property
    def averaged(self) -> bool:
        """True when a row has several cells, so that its curves are means."""
        return any(len(view.row.cells) > 1 for view in self.rows)

    @property
    def grouped(self) -> bool:
        """True when patients are known."""
        return any(cell.grouped for view in self.rows for cell in view.row.cells)


@dataclass(frozen=True)
class BoardView:
    """A board with what stands above and below its tables, and the names of its datasets, one but for `external`."""

    id: str
    board: Board
    facts: tuple[tuple[str, str], ...]
    cautions: tuple[str, ...]
    sections: tuple[SectionView, ...]
    legend: tuple[str, ...]
    context: tuple[str, ...]
    per_slice: bool
    trained_on: str
    tested_on: str

    @property
    def leaks(self) -> bool:
        return any(map(is_leak, self.cautions))

    @property
    def elsewhere(self) -> bool:
        """True when it is tested on another dataset than trained on."""
        return other_dataset(self.board.protocol) is not None


@dataclass(frozen=True)
class Report:
    """All that the templates see."""

    boards: tuple[BoardView, ...]
    papers: tuple[PaperTable, ...]
    transfers: tuple[TransferView, ...] = ()
    images: Mapping[str, Thumbnails] = field(default_factory=dict)

    @property
    def firsts(self) -> dict[str, Figure]:
        """The best score of each section, all on one scale, by the section's id."""
        best = {s.id: s.best[0].row.means for b in self.boards for s in b.sections if s.best}
        means = {name: found[RANKED_BY] for name, found in best.items() if found is not None}
        scale = scale_of(means.values())
        return {name: figure(RANKED_BY, mean, scale) for name, mean in means.items()}

    @property
    def cells(self) -> int:
        return sum(len(row.cells) for board in self.boards for row in board.board.rows)

    @property
    def newest(self) -> str:
        """When the newest of the cells was finished, as its record says."""
        return max(self._finished, default="")

    @property
    def digest(self) -> str:
        """Return a digest of the keys: two reports that share it rest on the same cells."""
        keys = [
            cell.key for board in self.boards for s in board.sections for row in s.rows for cell in row.cells
        ]
        return digest_of(sorted(keys))[:16]

    @property
    def anchors(self) -> dict[tuple[str, str], dict[str, str]]:
        """Where the rows are that verdicts speak of: by (dataset, protocol), then by what verdicts call them."""
        found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for view in self.boards:
            for section in view.sections:
                for row in section.rows:
                    place = found[view.board.dataset, view.board.protocol]
                    place.setdefault(name_of(row.row), f"{section.id}r{row.number}")
        return found

    @property
    def at_home(self) -> tuple[BoardView, ...]:
        """The boards that train and test on one dataset."""
        return tuple(view for view in self.boards if not view.elsewhere)

    @property
    def elsewhere(self) -> tuple[BoardView, ...]:
        """The boards that test on another dataset than they train on."""
        return tuple(view for view in self.boards if view.elsewhere)

    @property
    def _finished(self) -> list[str]:
        return [cell.entry.finished for b in self.boards for row in b.board.rows for cell in row.cells]


def is_leak(caution: str) -> bool:
    """True when a caution of `harness.boards` says that training has seen what is tested."""
    return caution.startswith(("This split leaks", "This split ignores patients"))


def report_of(
    boards: Sequence[Board],
    verified: Sequence[Verified],
    rules: Mapping[str, Rules],
    images: Mapping[str, Thumbnails],
) -> Report:
    """Return all that the page shows: boards that test where they train first, then those that test elsewhere."""
    ordered = sorted(boards, key=lambda board: other_dataset(board.protocol) is not None)
    views = tuple(_board_view(number, board, rules) for number, board in enumerate(ordered, start=1))
    places = {
        tuple(cell.key for cell in view.cells): f"{section.id}r{view.number}"
        for board in views
        for section in board.sections
        for view in section.rows
    }
    return Report(views, paper_tables(verified), transfer_views(boards, places), images)


def _board_view(number: int, board: Board, rules: Mapping[str, Rules]) -> BoardView:
    """Return a board as the page shows it; `number` makes its anchors."""
    told = facts(board)
    trained_on, tested_on = pictured(board)
    intervals = [m.interval for row in board.rows for m in (row.means or {}).values() if m.interval]
    return BoardView(
        id=f"b{number}",
        board=board,
        facts=tuple((what, text) for what, text in told if what != "Caution"),
        cautions=tuple(text for what, text in told if what == "Caution"),
        sections=tuple(
            _section_view(f"b{number}s{place}", section, board, rules)
            for place, section in enumerate(board.sections, start=1)
        ),
        legend=tuple(legend(board)),
        context=tuple(map(context_text, board.context)),
        per_slice=any(interval.per_slice for interval in intervals),
        trained_on=trained_on.name,
        tested_on=tested_on.name,
    )


def _section_view(name: str, section: Section, board: Board, rules: Mapping[str, Rules]) -> SectionView:
    rows = row_views(section)
    positive = board.positive if len(board.classes) == 2 else None
    curves = tuple((view, curves_of(view.row.cells, positive)) for view in rows if view.row.cells)
    costs = costs_of(rows)
    return SectionView(
        id=name,
        section=section,
        rows=rows,
        pairs=pair_tables(section, rows),
        curves=curves,
        panels=curve_panels([(v.number, v.name, c) for v, c in curves], positive) if curves else (),
        confusions=tuple(c for view in rows if (c := confusion_of(view, board.positive)) is not None),
        costs=costs,
        cost_panels=cost_panels(costs),
        misses=misses_of(rows),
        rules=rules_of(rows, rules),
        smallest=tuple(
            (heading(m), found) for m in PAIRED if (found := section.pairs.smallest(m)) is not None
        ),
        reliability=tuple(
            (title, table, tuple(said))
            for title, (table, said) in reliability_tables(section).items()
            if table.rows
        ),
        paired_how=next(iter(pairs_text(section)), ""),
    )
