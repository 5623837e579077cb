"""Figures of a typed table: which metric each column is, and what each cell printed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from harness.claims import AVERAGES, Average, Claim, averaged
from harness.errors import DataError
from harness.feasibility import MOST_DECIMALS
from harness.matrices import VERIFIABLE, Figure
from harness.typed_grids import Line

__all__ = ["MOST_ROWS", "claims"]

MOST_ROWS = 100
"""Of one table."""

ALIASES = {
    "accuracy": ("acc", "accuracy", "overallaccuracy", "testaccuracy", "testacc", "accuracyrate"),
    "precision": ("prec", "precision", "ppv", "positivepredictivevalue"),
    "recall": ("rec", "recall", "sens", "sensitivity", "sen", "tpr", "truepositiverate", "detectionrate"),
    "f1": ("f1", "f1score", "f1scores", "fscore", "fmeasure", "f1measure", "dice"),
    "auc": (
        "auc",
        "auroc",
        "rocauc",
        "aucroc",
        "aucscore",
        "areaundercurve",
        "areaunderthecurve",
        "areaunderroc",
        "areaundertheroccurve",
    ),
    "specificity": ("spec", "specificity", "spe", "tnr", "truenegativerate", "selectivity"),
    "balanced_accuracy": ("balancedaccuracy", "balancedacc", "balacc", "bacc"),
    "npv": ("npv", "negativepredictivevalue"),
    "kappa": ("kappa", "cohenkappa", "cohenskappa", "kappascore", "κ"),
    "mcc": ("mcc", "matthewscorrelation", "matthewscorrelationcoefficient"),
}
METRIC_OF = {alias: metric for metric, aliases in ALIASES.items() for alias in aliases}
"""How metrics are called in headings, letters and digits only."""

COEFFICIENTS = ("kappa", "mcc")
"""Printed as fractions beside percentages too."""

UNITS = re.compile(r"%|in %|percent|in percent|95\s?% ?ci|95\s?% confidence interval", re.IGNORECASE)
"""What may stand in a heading's brackets and say nothing of which metric it is."""

NOT_REPORTED = frozenset(
    {"", "-", "--", "–", "—", "−", "n/a", "na", "n.a.", "nr", "n.r.", "n/r", "not reported", "?", "...", "…"}
)

ANOTHER = r"[\d.,·]+\s*%?"
NUMBER = re.compile(
    r"(?P<whole>\d{0,3})(?:[.,·](?P<decimals>\d+))?\s*(?P<percent>%?)\s*"
    rf"(?:(?P<spread>(?:±|\+/-|\+-)\s*{ANOTHER}|\(\s*(?:±|\+/-|\+-)?\s*{ANOTHER}\s*\))|"
    rf"[(\[]\s*(?:95\s*%\s*CI:?)?\s*{ANOTHER}\s*(?:-|–|—|to|,|;|/)\s*{ANOTHER}\s*[)\]])?",
    re.ASCII | re.IGNORECASE,
)
"""A number, perhaps with a deviation (of runs, folds or the mean) or the bounds of an interval behind it."""

MARKS = re.compile(r"<sup>.*?</sup>|<[^>]*>|\^\S+$|[*_`†‡§¶#¹²³⁰⁴-⁹↑↓]")
"""Of bold type, footnotes and the like; none of them is part of a number."""

WHOLLY_MARKED = re.compile(r"^(\*{1,3}|_{1,2}|`)(.+)\1$")


def claims(
    grid: Sequence[Line], title: str, decimals: int | None = None, average: Average | None = None
) -> Iterator[Claim]:
    """Yield the rows of a typed table. Raises `DataError` in one line naming table, line and metric."""
    (_, headings), *lines = _upright(grid)
    if not lines:
        raise DataError(f"{title!r}: headings without a row below them")
    if len(lines) > MOST_ROWS:
        raise DataError(f"{title!r} has {len(lines)} rows; at most {MOST_ROWS} are verified at once")
    metrics, percent_columns = _columns(headings, title, average)
    methods, table = [], []
    for number, cells in lines:
        where = f"{title!r}, line {number}"
        if len(cells) != len(headings):
            hint = "; decimal commas need quotes, or ; between columns" if len(cells) > len(headings) else ""
            raise DataError(f"{where}: {len(cells)} cells under {len(headings)} headings{hint}")
        name = WHOLLY_MARKED.sub(r"\2", cells[0])
        methods.append(name or f"line {number}")
        table.append(_row_cells(cells, metrics, percent_columns, f"{where} ({name!r})"))
    fractions = _fractions(table, {metrics[place] for place in percent_columns})
    for method, row in zip(methods, table, strict=True):
        yield _claim(method, row, fractions, decimals)


def _claim(method: str, row: Mapping[str, _Cell], fractions: frozenset[str], decimals: int | None) -> Claim:
    figures = {metric: cell.figure(metric not in fractions, decimals) for metric, cell in row.items()}
    for metric, figure in figures.items():
        if figure.units > figure.scale:
            raise DataError(f"{row[metric].where}: {row[metric].text!r} is above 100 %")
    return Claim(
        method,
        figures,
        {metric: cell.text for metric, cell in row.items()},
        fractions & figures.keys(),
        frozenset(metric for metric, cell in row.items() if cell.spread),
    )


def _upright(grid: Sequence[Line]) -> Sequence[Line]:
    """The table with metrics as headings: turned where they are its rows, without a line over several headings."""
    if len(grid) < 2 or any(map(_metric, grid[0][1])):
        return grid
    if any(map(_metric, grid[1][1][1:])):
        return grid[1:]
    width = max(len(cells) for _, cells in grid)
    if any(_metric(cells[0]) for _, cells in grid[1:]) and all(len(cells) == width for _, cells in grid):
        turned = zip(*(cells for _, cells in grid), strict=True)
        return [(number, list(cells)) for number, cells in enumerate(turned, start=1)]
    return grid


def _columns(headings: Sequence[str], title: str, average: Average | None) -> tuple[dict[int, str], set[int]]:
    """The metric of each column after the first, and the columns whose heading says percent."""
    metrics: dict[int, str] = {}
    percent = set()
    if _metric(headings[0]) is not None:
        raise DataError(f"{title!r}: the first column holds the method's name, not {headings[0]!r}")
    for place, heading in enumerate(headings[1:], start=1):
        metric = _metric(heading)
        if metric is None:
            raise DataError(f"{title!r}: {_unknown(heading)}")
        metric = averaged(metric, average)
        if metric in metrics.values():
            raise DataError(f"{title!r}: {heading!r} is a second column of {metric.replace('_', ' ')}")
        metrics[place] = metric
        if "%" in re.sub(r"95\s?%", "", heading) or "percent" in heading.casefold():
            percent.add(place)
    if not metrics:
        raise DataError(f"{title!r}: no column of a metric beside {headings[0]!r}")
    return metrics, percent


def _metric(heading: str) -> str | None:
    """The metric of a heading such as 'F1-score (%)', 'Sensitivity/Recall' or 'F1 (macro)'."""
    inside = re.findall(r"[(\[](.*?)[)\]]", heading)
    average: Average | None = None
    for text in inside:
        said = next((name for name in AVERAGES if name in text.casefold()), None)
        average = said or average
        if said is None and UNITS.fullmatch(text.strip()) is None and _plain(text) not in METRIC_OF:
            return None
    names = [_plain(name) for name in re.split(r"/|\bor\b", re.sub(r"[(\[].*?[)\]]", "", heading))]
    found = {_named(name, average) for name in names}
    found |= {_named(_plain(text), average) for text in inside if _plain(text) in METRIC_OF}
    return found.pop() if len(found) == 1 else None


def _named(plain: str, average: Average | None) -> str | None:
    """The metric of a name of letters and digits; 'macrof1', 'weightedavgprecision' are averages."""
    for name in AVERAGES:
        match = re.fullmatch(rf"{name}(?:averaged?|avg)?(.+?)|(.+?){name}(?:averaged?|avg)?", plain)
        if match is not None:
            average, plain = name, match[1] or match[2]
    metric = METRIC_OF.get(plain)
    if metric is None or (average is not None and averaged(metric, average) == metric):
        return None
    return averaged(metric, average)


def _plain(text: str) -> str:
    return "".join(c for c in MARKS.sub("", text).casefold() if c.isalnum())


def _unknown(heading: str) -> str:
    within = re.search(r"[(\[](.*?)[)\]]", heading)
    outside = re.sub(r"[(\[].*?[)\]]", "", heading)
    if within is not None and _plain(outside) in METRIC_OF:
        return (
            f"{within[1]!r} in the heading {heading!r} is no unit; a table has one positive class (--positive) and "
            "one column a metric: leave it out, and remove columns of the other class"
        )
    close = difflib.get_close_matches(_plain(outside), METRIC_OF, n=1, cutoff=0.6)
    if close:
        return f"unknown metric {heading!r}; you probably meant {METRIC_OF[close[0]]!r}"
    known = ", ".join(name.replace("_", " ") for name in VERIFIABLE)
    return f"unknown metric {heading!r}; known: {known}; remove other columns"


@dataclass(frozen=True)
class _Cell:
    """A printed number: digits before and after the point, and whether a percent sign says what it is."""

    where: str
    text: str
    whole: str
    decimals: str
    percent: bool
    spread: bool

    @property
    def value(self) -> Decimal:
        return Decimal(f"{self.whole or 0}.{self.decimals or 0}")

    @property
    def kind(self) -> str | None:
        """'percent', 'fraction', or None for a zero, which is either."""
        if self.percent or self.value > 1:
            return "percent"
        return "fraction" if self.value else None

    def figure(self, percent: bool, decimals: int | None) -> Figure:
        """Return it exactly; `decimals` of a percentage, where given, replace those that are printed."""
        printed = len(self.decimals) - (0 if percent else 2)
        wanted = printed if decimals is None else decimals
        if wanted < printed or wanted > MOST_DECIMALS:
            most = MOST_DECIMALS if decimals is None else decimals
            raise DataError(
                f"{self.where}: {self.text[:40]!r} has {printed} decimals of a percentage, at most {most} are taken; "
                "write the number as it was printed"
            )
        units = int(self.whole + self.decimals) * 10 ** (wanted - printed)
        return Figure(units, 10 ** (wanted + 2))


def _row_cells(
    cells: Sequence[str], metrics: Mapping[int, str], percent_columns: set[int], where: str
) -> dict[str, _Cell]:
    found = {}
    for place, metric in metrics.items():
        text = " ".join(cells[place].split())
        plain = _unmarked(text)
        if plain.casefold() in NOT_REPORTED:
            continue
        match = NUMBER.fullmatch(plain)
        if match is None or not (match["whole"] or match["decimals"]):
            raise DataError(
                f"{where}: {metric} is {text[:40]!r}; expected a plain number from 0 to 100 such as 97.38, or nothing"
            )
        spread = match["spread"] or ""
        percent = bool(match["percent"]) or "%" in spread or place in percent_columns
        number = match["whole"], match["decimals"] or ""
        found[metric] = _Cell(f"{where}, {metric}", plain, *number, percent, bool(spread))
    return found


def _unmarked(text: str) -> str:
    """A cell without marks of bold type and footnotes at its ends or in it."""
    return MARKS.sub("", text).strip()


def _fractions(table: Sequence[Mapping[str, _Cell]], marked: set[str]) -> frozenset[str]:
    """The metrics that the table prints as fractions of 1; all others are in percent.

    Raises `DataError` when a table mixes the two, unless the headings (`marked`) say which columns are in percent.
    """
    columns: dict[str, list[_Cell]] = {}
    for row in table:
        for metric, cell in row.items():
            columns.setdefault(metric, []).append(cell)
    kinds = {metric: _kind(cells) for metric, cells in columns.items()}
    others = [
        (metric, cell) for metric, cells in columns.items() if metric not in COEFFICIENTS for cell in cells
    ]
    percents = [(metric, cell) for metric, cell in others if cell.kind == "percent"]
    fractions = [cell for _, cell in others if cell.kind == "fraction"]
    unmarked = [cell for metric, cell in percents if metric not in marked]
    if fractions and unmarked:
        raise _mixed(fractions[0], unmarked[0])
    default = "percent" if percents else "fraction"
    of_zeros = {metric: default for metric in kinds if metric not in COEFFICIENTS}
    of_zeros |= dict.fromkeys(COEFFICIENTS, "fraction")
    return frozenset(metric for metric, kind in kinds.items() if (kind or of_zeros[metric]) == "fraction")


def _kind(cells: Sequence[_Cell]) -> str | None:
    """What a column is printed in, None where it holds nothing but zeros. Raises `DataError` for both."""
    first = {kind: next((c for c in cells if c.kind == kind), None) for kind in ("percent", "fraction")}
    percent, fraction = first["percent"], first["fraction"]
    if percent is not None and fraction is not None:
        raise _mixed(fraction, percent)
    return "percent" if percent is not None else "fraction" if fraction is not None else None


def _mixed(fraction: _Cell, percent: _Cell) -> DataError:
    return DataError(
        f"{fraction.where}: {fraction.text!r} is a fraction, but {percent.text!r} ({percent.where}) is a "
        "percentage; write the table in one of the two, or put (%) into the headings of columns in percent"
    )
