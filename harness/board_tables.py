"""A board's tables and sentences as plain text, the same for every file format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.board_pairs import PAIRED, Pairs, Smallest
from harness.board_rows import RANKED_BY, Mean, Row
from harness.intervals import LEVEL, Interval
from harness.metrics import METRICS
from harness.paired import ALPHA, POWER
from harness.published import Reading
from harness.types import unique

if TYPE_CHECKING:
    from harness.boards import Board, Section

__all__ = [
    "HEADINGS",
    "NONE",
    "Table",
    "bounds_text",
    "cost_table",
    "facts",
    "legend",
    "other_metrics_table",
    "own_reading",
    "p_value",
    "pairs_table",
    "pairs_text",
    "percent",
    "probabilities_table",
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
"""The metrics beside the rank: what ranks, and what pairs are compared in. The others have tables of their own."""

OF_PROBABILITIES = ("brier",)
"""The metrics that more than decisions and order go into."""

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
    """Return the rows of one recipe: rank, and the metrics that models are compared in."""
    headings = ["Rank", "Method", *(HEADINGS[m] for m in MAIN), "Notes"]
    table = Table(headings, frozenset({"Rank", "Method", "Notes"}))
    for row in section.rows:
        rank = row.status if row.rank is None else str(row.rank)
        values = [with_interval(metric, (row.means or {}).get(metric)) for metric in MAIN]
        table.rows.append([rank, row.shown, *values, table.number(row.told)])
    return table


def cost_table(section: Section) -> Table:
    """Return what each row took: its seeds, the settings tried in tuning, and the seconds of the last fit."""
    table = Table(["Method", "Seeds", "Trials", "Fit s"], frozenset({"Method"}))
    for row in section.rows:
        if row.cells:
            seconds = NONE if row.fit_seconds is None else f"{row.fit_seconds:.1f}"
            tried = NONE if row.tried is None else str(row.tried)
            table.rows.append([row.shown, str(len(row.seeds)), tried, seconds])
    return table


def other_metrics_table(section: Section) -> Table:
    """Return the metrics of decisions that `section_table` has no room for, with their intervals."""
    return _metrics_table(section, [m for m in METRICS if m not in (*MAIN, *OF_PROBABILITIES)])


def probabilities_table(section: Section) -> Table:
    """Return what the probabilities are worth beyond the decisions and the order they give."""
    return _metrics_table(section, OF_PROBABILITIES)


def _metrics_table(section: Section, metrics: Sequence[str]) -> Table:
    table = Table(["Method", *(HEADINGS[metric] for metric in metrics)], frozenset({"Method"}))
    for row in section.rows:
        if row.means is not None:
            table.rows.append([row.shown, *(with_interval(metric, row.means[metric]) for metric in metrics)])
    return table


def seeds_table(section: Section) -> Table:
    """Return every metric's standard deviation over seeds; no rows where no method has several."""
    table = Table(["Method", *(HEADINGS[metric] for metric in METRICS), "Seeds"], frozenset({"Method"}))
    for row in section.rows:
        if row.means is not None and len(row.seeds) > 1:
            values = [_deviation(metric, row.means[metric]) for metric in METRICS]
            table.rows.append([row.shown, *values, str(len(row.seeds))])
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
    return f"{value} {bounds_text(mean.interval, brier=metric == 'brier')}"


def bounds_text(interval: Interval | None, *, brier: bool = False) -> str:
    """Return the bounds in brackets, in percent; Brier's as they are."""
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
        table.rows.append([str(number), row.shown, *others, *[""] * (len(columns) - len(others))])
    return table


def _adjusted_p(pairs: Pairs, row: Row, other: Row) -> str:
    pair = pairs.between(row.method, other.method)
    return p_value(None if pair is None else pair.adjusted[RANKED_BY])


def p_value(p: float | None) -> str:
    """Return a p-value as tables print it.

    >>> p_value(0.0004), p_value(0.0312), p_value(1.0), p_value(None)
    ('<.001', '.031', '1.000', '-')
    """
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
        f"The smallest difference these test images can show, found in {percent(POWER)} of such tests at two-sided "
        f"{percent(ALPHA)} (by the median pair's standard error): {', '.join(said)}."
    ]


def _in_points(metric: str, smallest: Smallest) -> str:
    return (
        f"{HEADINGS[metric]} {100 * smallest.alone:.1f} points for one pair alone, "
        f"{100 * smallest.adjusted:.1f} at Holm's first step"
    )


def legend(board: Board) -> list[str]:
    """Return what a reader needs to read the tables of a section."""
    sentences = [
        f"In brackets the {percent(LEVEL)} confidence interval: what other test images of this kind might have given. "
        f"A rank is 1 + the number of models whose {HEADINGS[RANKED_BY]} is better beyond chance on the same images "
        f"(Holm over all pairs of a recipe, {percent(ALPHA)}), "
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
        f"{HEADINGS[metric]} of {row.shown}: {mean.interval.reason}"
        for row in rows
        for metric, mean in (row.means or {}).items()
        if mean.value is not None and mean.interval is not None and mean.interval.low is None
    )
    return [f"No interval: {'; '.join(reasons)}."] if reasons else []


def percent(share: float) -> str:
    """Return a share in whole percent."""
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


def own_reading(board: Board) -> str:
    """Return how the board itself counts, where it compares with nothing."""
    if board.positive is None or len(board.classes) > 2:
        return f"means over {len(board.classes)} classes, each against the rest, AUC of scores"
    return Reading(positive=board.positive, auc="scores").words


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
    return f"{percent(LEVEL)}, {how}{caution if per_slice else ''}"


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
        ("Reading", own_reading(board) if board.classes else ""),
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
