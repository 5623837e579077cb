"""A board's tables and sentences as plain text, the same for every file format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.board_pairs import PAIRED, Pairs, Smallest
from harness.board_rows import RANKED_BY, Mean, Row
from harness.comparisons import Comparison, Context, Line
from harness.intervals import LEVEL, Interval
from harness.metrics import METRICS
from harness.paired import ALPHA, POWER
from harness.published import PUBLISHED_METRICS, PublishedTable, Reading
from harness.types import unique

if TYPE_CHECKING:
    from harness.boards import Board, Section

__all__ = [
    "HEADINGS",
    "Table",
    "comparison_table",
    "context_text",
    "facts",
    "legend",
    "other_metrics_table",
    "pairs_table",
    "pairs_text",
    "reading_text",
    "section_table",
    "seeds_table",
    "with_interval",
]

HEADINGS = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "auc": "AUC",
    "specificity": "Spec.",
    "balanced_accuracy": "Bal.",
    "brier": "Brier",
}

PROTOCOLS = {
    "official": "as the dataset's authors published it",
    "random": "80/20 within each class, drawn anew for each seed",
    "group-kfold": "{folds} folds, no patient (or other group) on two sides",
    "external": "trained on the official training part of one dataset, tested on that of another, all images where "
    "there is none",
}

LONGEST_NOTE = 400
"""Characters of a note that a table shows; the JSON holds all of it."""

MAIN = ("f1", "auc", "accuracy")
"""The metrics beside the rank: what ranks, and what pairs are compared in. The others have a table of their own."""

MOST_COLUMNS = 12
"""How many methods the table of pairs holds; the files of pairs hold any number."""

NO_INTERVAL = "(no interval)"
"""What stands beside a number that has none; the reason is told below the table."""

NONE = "-"
"""What stands where there is no number."""


@dataclass
class Table:
    """Headings, cells, and the notes that the last column numbers. Columns in `left` are flush left."""

    headings: Sequence[str]
    left: frozenset[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def number(self, notes: Iterable[str]) -> str:
        """Return the number of these notes taken together, added where they are new; '' when there is none."""
        note = _shortened("; ".join(" ".join(note.split()).rstrip(".") for note in notes))
        if not note:
            return ""
        if note not in self.notes:
            self.notes.append(note)
        return str(self.notes.index(note) + 1)


def _shortened(note: str) -> str:
    return (
        note if len(note) <= LONGEST_NOTE else f"{note[:LONGEST_NOTE].rstrip()} ... (all of it in the JSON)"
    )


def section_table(section: Section) -> Table:
    """Return the rows of one recipe: rank, the metrics that models are compared in, and what it took."""
    headings = ["Rank", "Method", *(HEADINGS[m] for m in MAIN), "Seeds", "Trials", "Fit s", "Notes"]
    table = Table(headings, frozenset({"Rank", "Method", "Notes"}))
    for row in section.rows:
        rank = row.status if row.rank is None else str(row.rank)
        seconds = NONE if row.fit_seconds is None else f"{row.fit_seconds:.1f}"
        values = [with_interval(metric, (row.means or {}).get(metric)) for metric in MAIN]
        counts = [str(len(row.seeds)) if row.cells else NONE, NONE if row.tried is None else str(row.tried)]
        table.rows.append([rank, row.name, *values, *counts, seconds, table.number(row.notes)])
    return table


def other_metrics_table(section: Section) -> Table:
    """Return the metrics that `section_table` has no room for, with their intervals."""
    others = [metric for metric in METRICS if metric not in MAIN]
    table = Table(["Method", *(HEADINGS[metric] for metric in others)], frozenset({"Method"}))
    for row in section.rows:
        if row.means is not None:
            values = [with_interval(metric, row.means[metric]) for metric in others]
            table.rows.append([row.name, *values])
    return table


def seeds_table(section: Section) -> Table:
    """Return every metric's standard deviation over seeds; no rows where no method has several."""
    table = Table(["Method", *(HEADINGS[metric] for metric in METRICS), "Seeds"], frozenset({"Method"}))
    for row in section.rows:
        if row.means is not None and len(row.seeds) > 1:
            values = [_deviation(metric, row.means[metric]) for metric in METRICS]
            table.rows.append([row.name, *values, str(len(row.seeds))])
    return table


def _deviation(metric: str, mean: Mean) -> str:
    if mean.sd is None:
        return NONE
    return f"{mean.sd:.3f}" if metric == "brier" else f"{100 * mean.sd:.2f}"


def with_interval(metric: str, mean: Mean | None) -> str:
    """Percent with two decimals and the interval with one; Brier as it is, with three."""
    if mean is None or mean.value is None:
        return NONE
    value = f"{mean.value:.3f}" if metric == "brier" else f"{100 * mean.value:.2f}"
    return f"{value} {_bounds(mean.interval, brier=metric == 'brier')}"


def _bounds(interval: Interval | None, *, brier: bool = False) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return NO_INTERVAL
    low, high = interval.low, interval.high
    return f"[{low:.3f}, {high:.3f}]" if brier else f"[{100 * low:.1f}, {100 * high:.1f}]"


def pairs_table(section: Section) -> Table:
    """Return the adjusted p-values of the ranking metric: each row's method against those above it.

    No rows where there is no pair, or more methods than a page has room for.
    """
    ranked = [row for row in section.rows if row.rank is not None]
    columns = ranked[:-1] if 1 < len(ranked) <= MOST_COLUMNS else []
    headings = ["", "Method", *(str(number) for number, _ in enumerate(columns, start=1))]
    table = Table(headings, frozenset({"Method"}))
    for number, row in enumerate(ranked if columns else [], start=1):
        others = [_adjusted_p(section.pairs, row, other) for other in columns[: number - 1]]
        table.rows.append([str(number), row.method, *others, *[""] * (len(columns) - len(others))])
    return table


def _adjusted_p(pairs: Pairs, row: Row, other: Row) -> str:
    pair = pairs.between(row.method, other.method)
    p = None if pair is None else pair.adjusted[RANKED_BY]
    if p is None:
        return NONE
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def pairs_text(section: Section) -> list[str]:
    """Return how the pairs were compared, how many differ, and what the test part can show at all."""
    if not section.pairs.pairs:
        return []
    methods = {
        HEADINGS[metric]: unique(test.method for test in section.pairs.tested(metric)) for metric in PAIRED
    }
    how = "; ".join(f"{name}: {', '.join(by)}" for name, by in methods.items() if by)
    counts = ", ".join(
        f"{sum(pair.better(metric) is not None for pair in section.pairs.pairs)} of "
        f"{len(section.pairs.tested(metric))} by {HEADINGS[metric]}"
        for metric in PAIRED
    )
    return [
        f"p-values of {HEADINGS[RANKED_BY]}, adjusted by Holm for all pairs of ranked models: at most "
        f"{f'{ALPHA:.3f}'.removeprefix('0')} tells two apart. Compared on the same images ({how}). "
        f"Told apart: {counts}. The file of pairs holds all p-values.",
        *_smallest_text(section.pairs),
    ]


def _smallest_text(pairs: Pairs) -> list[str]:
    found = {metric: pairs.smallest(metric) for metric in PAIRED}
    said = [_in_points(metric, smallest) for metric, smallest in found.items() if smallest is not None]
    if not said:
        return []
    return [
        f"The smallest difference these test images can show, found in {_percent(POWER)} of such tests at two-sided "
        f"{_percent(ALPHA)} (by the median pair's standard error): {', '.join(said)}."
    ]


def _in_points(metric: str, smallest: Smallest) -> str:
    return (
        f"{HEADINGS[metric]} {100 * smallest.alone:.1f} points for one pair alone, "
        f"{100 * smallest.adjusted:.1f} at Holm's first step"
    )


def legend(board: Board) -> list[str]:
    """Return what a reader needs to read the tables of a section."""
    sentences = [
        f"In brackets the {_percent(LEVEL)} confidence interval: what other test images of this kind might have given. "
        f"A rank is 1 + the number of models whose {HEADINGS[RANKED_BY]} is better beyond chance on the same images "
        f"(Holm over all pairs of a recipe, {_percent(ALPHA)}), "
        "and at least that of every model above: models that cannot be told apart may share one.",
        "Percent, Brier excepted; every metric is computed per cell (seed and fold), then averaged.",
    ]
    if any(len(row.seeds) > 1 for row in board.rows):
        sentences.append(
            "What training with another seed changes is not in the intervals but in the table of deviations over seeds."
        )
    sentences.append(
        "Spec. is specificity, Bal. balanced accuracy, Trials the settings tried in tuning a cell, those stopped "
        "early or failed among them (0 or 1: the defaults), "
        "Fit s the seconds of the last fit, without tuning and without features and products kept for all models."
    )
    return [" ".join(sentences), *_without_interval(board.rows), *_rule(board.rows)]


def _without_interval(rows: Sequence[Row]) -> list[str]:
    """Why a value stands without one."""
    reasons = unique(
        f"{HEADINGS[metric]} of {row.method}: {mean.interval.reason}"
        for row in rows
        for metric, mean in (row.means or {}).items()
        if mean.value is not None and mean.interval is not None and mean.interval.low is None
    )
    return [f"No interval: {'; '.join(reasons)}."] if reasons else []


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _rule(rows: Sequence[Row]) -> list[str]:
    """The rule for being ranked, with its numbers."""
    tested = [(r.test_images, r.majority_share) for r in rows if r.test_images and r.majority_share]
    if not tested:
        return []
    images = _span([images for images, _ in tested], "d")
    shares = _span([100 * share for _, share in tested], ".1f")
    return [
        "Only a row clearly above the majority class is ranked: the lower end of its accuracy's interval where "
        "patients are known, else the one-sided 95 % lower bound (Wilson), must exceed that class's share of the "
        f"{images} test images, {shares} %. The others are under-trained."
    ]


def _span(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def comparison_table(comparison: Comparison) -> Table:
    """Return published rows, each followed by ours with the difference, to the digits that were printed."""
    source = comparison.table
    headings = ["Published", "Here", *(HEADINGS[metric] for metric in PUBLISHED_METRICS), "Notes"]
    table = Table(headings, frozenset({"Published", "Here", "Notes"}))
    told: set[str] = set()
    for line in comparison.lines:
        if line.published is not None and line.published.method not in told:
            told.add(line.published.method)
            values = [_printed(line.published[m], source.digits(line.published)) for m in PUBLISHED_METRICS]
            table.rows.append([line.published.method, "", *values, table.number(line.published.notes)])
        first = NONE if line.published is None else ""
        table.rows.append([first, *_ours(line, source), table.number(_line_notes(line, source))])
        if line.ours:
            bounds = [_bounds_of(line.ours.get(metric)) for metric in PUBLISHED_METRICS]
            table.rows.append(["", f"{_percent(LEVEL)} interval", *bounds, ""])
    return table


def _bounds_of(mean: Mean | None) -> str:
    return NONE if mean is None or mean.value is None else _bounds(mean.interval)


def _printed(value: float | None, decimals: int) -> str:
    return NONE if value is None else f"{value:.{decimals}f}"


def _ours(line: Line, source: PublishedTable) -> list[str]:
    if line.row is None:
        return ["not run", *[NONE] * len(PUBLISHED_METRICS)]
    status = "" if line.row.status == "ranked" else f", {line.row.status}"
    digits = source.decimals if line.published is None else source.digits(line.published)
    values = [
        _with_difference(line.ours.get(metric), line.differences.get(metric), digits)
        for metric in PUBLISHED_METRICS
    ]
    return [f"{line.row.name}, {line.row.recipe}{status}", *values]


def _with_difference(mean: Mean | None, difference: float | None, decimals: int) -> str:
    if mean is None or mean.value is None:
        return NONE
    ours = f"{100 * mean.value:.{decimals}f}"
    # adding 0.0 turns the -0.0 of a rounded difference into 0.0
    return ours if difference is None else f"{ours} ({round(100 * difference, decimals) + 0.0:+.{decimals}f})"


def _line_notes(line: Line, source: PublishedTable) -> Iterable[str]:
    if line.row is None:
        return
    if line.published is None and line.row.label in source.named_without_row:
        yield f"{line.row.label}: the source names this method and reports no row of it"
    for metric in PUBLISHED_METRICS:
        mean = line.ours.get(metric)
        if mean is not None and mean.reason is not None:
            yield f"{HEADINGS[metric]} undefined in this reading: {mean.reason}"
        if (
            line.published is not None
            and line.published[metric] is not None
            and not source.reading.covers(metric)
        ):
            yield f"{HEADINGS[metric]} not compared: how it was computed is not known"


def reading_text(board: Board, reading: Reading) -> str:
    """Return how a published table counts, beside how the rest of the board does."""
    return (
        f"Both sides in the reading of the source: {reading.words}. (The ranking above: {_own_reading(board)}.) "
        "In brackets ours minus published, in percentage points; of each method the most thorough recipe."
    )


def _own_reading(board: Board) -> str:
    if board.positive is None or len(board.classes) > 2:
        return f"means over {len(board.classes)} classes, each against the rest, AUC of scores"
    return Reading(positive=board.positive, auc="scores").words


def context_text(context: Context) -> str:
    """Return the rows of a table that nothing here can be compared with, and why not."""
    rows = []
    for row in context.table.rows:
        digits = context.table.digits(row)
        printed = {HEADINGS[m]: row[m] for m in PUBLISHED_METRICS if row[m] is not None}
        figures = ", ".join(f"{name} {_printed(value, digits)}" for name, value in printed.items())
        rows.append(f"{row.method}: {figures}")
    return f"{context.table.title}. {'; '.join(rows)}. Not comparable: {context.reason}."


def _intervals_text(board: Board) -> str:
    """How the intervals were made, and whether they are too narrow."""
    found = [
        (m, mean.interval) for row in board.rows for m, mean in (row.means or {}).items() if mean.interval
    ]
    made = [(metric, interval.method) for metric, interval in found if interval and interval.low is not None]
    if not made:
        return ""
    by_method: dict[str, list[str]] = {}
    for metric, method in unique(made):
        by_method.setdefault(method, []).append(HEADINGS[metric].rstrip("."))
    how = "; ".join(f"{method} ({', '.join(names)})" for method, names in by_method.items())
    per_slice = any(interval.per_slice for _, interval in found if interval)
    caution = ". Per slice: too narrow, since no patients are known and slices of one resemble each other"
    return f"{_percent(LEVEL)}, {how}{caution if per_slice else ''}"


def facts(board: Board) -> list[tuple[str, str]]:
    """Return (what, text) of all that is to be known of a board before its rows."""
    names = {"train": "training", "val": "validation", "test": "test"}
    images = ", ".join(
        f"{_span(board.images[p], 'd')} {name}" for p, name in names.items() if p in board.images
    )
    by_class = ", ".join(f"{count} {name}" for name, count in board.test.items())
    tested = f" a fold (in all {by_class})" if board.folds > 1 else f" ({by_class})"
    split = PROTOCOLS.get(board.protocol.partition(":")[0], "").format(folds=board.folds)
    seeds = f"seed{'s' * (len(board.seeds) > 1)} {', '.join(map(str, board.seeds))}"
    said = [
        ("Split", f"{board.protocol} ({split})" if split else board.protocol),
        ("Images", f"{images}{tested}" if images else "no cell is finished"),
        ("Reading", _own_reading(board) if board.classes else ""),
        ("Intervals", _intervals_text(board)),
        ("Ran", "; ".join([seeds, *board.devices, *_no_gpu(board.devices)]) if board.seeds else ""),
        ("Versions", ", ".join(f"{name} {' / '.join(v)}" for name, v in board.versions.items())),
        ("Licence of the images", board.licence or ""),
        ("Older records", f"{board.superseded}, superseded by newer ones" if board.superseded else ""),
        *(("Caution", caution) for caution in board.cautions),
    ]
    return [(what, text) for what, text in said if text]


def _no_gpu(devices: Sequence[str]) -> list[str]:
    """Say so where no row had a graphics card."""
    return ["no GPU"] if all(device.startswith("cpu") for device in devices) else []
