"""Tables to verify, in one form: those in published.toml, and those a user typed as CSV or Markdown."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from harness.errors import CardError, DataError, UnknownName, UsageError
from harness.feasibility import MOST_DECIMALS, MOST_IMAGES, VERIFIABLE, Figure
from harness.folders import bundled
from harness.metrics import Auc
from harness.published import (
    STATED_METRICS,
    Published,
    PublishedRow,
    PublishedTable,
    Reading,
    load_published,
    read_published,
)

__all__ = [
    "AROUND",
    "MOST_ROWS",
    "Claim",
    "ClaimTable",
    "Counts",
    "Settings",
    "claim_tables",
    "published_tables",
]

AROUND = 15
"""How many images more or fewer than the stated test part are searched where no range is stated."""

MOST_ROWS = 100
"""Of one table."""

MOST_BYTES = 1_000_000
"""Of one file."""

ALIASES = {
    "accuracy": ("acc", "accuracy", "overallaccuracy"),
    "precision": ("prec", "precision", "ppv", "positivepredictivevalue"),
    "recall": ("rec", "recall", "sens", "sensitivity", "tpr", "truepositiverate"),
    "f1": ("f1", "f1score", "fscore", "fmeasure", "f1measure"),
    "auc": ("auc", "auroc", "rocauc", "aucroc", "areaundercurve"),
    "specificity": ("spec", "specificity", "tnr", "truenegativerate"),
    "balanced_accuracy": ("balancedaccuracy", "balancedacc", "balacc", "bacc"),
}
METRIC_OF = {alias: metric for metric, aliases in ALIASES.items() for alias in aliases}
"""How metrics are called in headings, letters and digits only."""

NOT_REPORTED = frozenset({"", "-", "--", "–", "—", "n/a", "na"})

NUMBER = re.compile(r"(\d{1,3})(?:\.(\d+))?\s*(%?)", re.ASCII)

Counts = Mapping[str, int]
"""Test images by class: two of them."""


@dataclass(frozen=True)
class Settings:
    """What the command line says of a table; None leaves it to the table.

    `test` counts the positive and the negative images, `decimals` are those of a percentage.
    """

    test: tuple[int, int] | None = None
    sizes: tuple[int, int] | None = None
    positive: str | None = None
    auc: Auc | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Claim:
    """A row: every figure that was printed, by metric; in percent, or in fractions of 1.

    `row` is the published one it came from.
    """

    method: str
    figures: Mapping[str, Figure]
    printed: Mapping[str, str]
    percent: bool = True
    row: PublishedRow | None = None


@dataclass(frozen=True)
class ClaimTable:
    """Rows, the class counted as positive where it is known, and where matrices are looked for.

    `tests` are pairs (whose counts, test images by class), the table's own first.
    """

    title: str
    source: str
    rows: tuple[Claim, ...]
    reading: Reading
    tests: tuple[tuple[str, Counts], ...]
    sizes: tuple[int, int]
    why_sizes: str
    dataset: str | None = None
    published: PublishedTable | None = None

    def checkable(self, claim: Claim) -> dict[str, Figure]:
        """Return the figures of a row that its confusion matrix determines in this table's reading."""
        return {
            name: figure
            for name, figure in claim.figures.items()
            if name in VERIFIABLE and (name != "auc" or self.reading.auc == "hard-labels")
        }


def claim_tables(
    target: str, settings: Settings, leaderboards: Path | None = None
) -> tuple[list[ClaimTable], Published | None]:
    """Return the tables that `target` names, and the published file they came from.

    `target` is the key or id of a published table, or the path of a .toml, .csv, .tsv, .md or .txt file.
    Raises `UnknownName`, `UsageError`, `CardError` or `DataError` in one line.
    """
    path = Path(target)
    ending = path.suffix.lower()
    if ending == ".toml":
        _check_readable(path)
        published = read_published(path, target)
        return published_tables(published, settings), published
    if ending in (".csv", ".tsv", ".md", ".markdown", ".txt"):
        return _of_text(path, settings), None
    files = load_published(leaderboards or bundled("leaderboards")).values()
    for published in files:
        if target == published.key:
            return published_tables(published, settings), published
        for table in published.tables:
            if target == table.id:
                return [_of_published(published, table, settings)], published
    known = {p.key for p in files if p.key} | {table.id for p in files for table in p.tables}
    raise UnknownName("published table (or .toml, .csv or .md file)", target, known)


def published_tables(published: Published, settings: Settings | None = None) -> list[ClaimTable]:
    """Return the tables of a published file to verify. Raises `UsageError` or `CardError` in one line."""
    return [_of_published(published, table, settings or Settings()) for table in published.tables]


def _of_published(published: Published, table: PublishedTable, settings: Settings) -> ClaimTable:
    where = f"published table {table.id!r}"
    reading = _reading(table.reading, settings)
    tests = _published_tests(published, table, settings, where)
    sizes, why = _sizes(settings, table, [counts for _, counts in tests], where)
    rows = tuple(_published_claim(row, table, settings, where) for row in table.rows)
    if reading.positive is not None and tests and reading.positive not in tests[0][1]:
        raise UsageError(
            f"{where}: the positive class {reading.positive!r} is none of {sorted(tests[0][1])!r}"
        )
    return ClaimTable(table.title, table.source, rows, reading, tests, sizes, why, published.dataset, table)


def _reading(reading: Reading, settings: Settings) -> Reading:
    """Return the reading with what the command line says instead."""
    said = {"positive": settings.positive, "auc": settings.auc}
    return reading.model_copy(update={name: value for name, value in said.items() if value is not None})


def _published_tests(
    published: Published, table: PublishedTable, settings: Settings, where: str
) -> tuple[tuple[str, Counts], ...]:
    official = official_test(published.dataset) if table.protocol == "official" else None
    if settings.test is not None:
        names = _class_names(settings.positive or table.reading.positive, table.test or official)
        return (("the counts given", dict(zip(names, settings.test, strict=True))),)
    found: list[tuple[str, Counts]] = []
    if table.test is not None:
        found.append(("the test part the table speaks of", table.test))
    if official is not None and official != table.test:
        found.append((f"the official test part of {published.dataset!r}", official))
    for _, counts in found:
        if len(counts) != 2:
            raise CardError(f"{where}: its test part has the classes {sorted(counts)!r}; expected two")
        _check_counts(tuple(counts.values()), where)
    return tuple(found)


def _class_names(positive: str | None, known: Counts | None) -> tuple[str, str]:
    if positive is None:
        return "positive", "negative"
    others = [name for name in known or () if name != positive]
    return positive, others[0] if known is not None and positive in known and len(others) == 1 else "other"


def official_test(dataset: str) -> Counts | None:
    """Return the test images by class of a known dataset's official split, read from its list; None without."""
    from harness.data.cards import known_cards, load_card

    cards = known_cards()
    if dataset not in cards:
        return None
    card = load_card(cards[dataset])
    if card.list_file is None:
        return None
    with card.beside(card.list_file).open(encoding="utf-8", newline="") as file:
        counts = Counter(row["label"] for row in csv.DictReader(file) if row.get("split") == "test")
    return {name: counts[name] for name in card.classes} if counts else None


def _published_claim(row: PublishedRow, table: PublishedTable, settings: Settings, where: str) -> Claim:
    decimals = table.digits(row) if settings.decimals is None else settings.decimals
    printed, figures = {}, {}
    for metric in STATED_METRICS:
        value = row[metric]
        if value is None:
            continue
        units = Decimal(str(value)).scaleb(decimals)
        if units != units.to_integral_value():
            raise CardError(
                f"{where}, row {row.method!r}: {metric} = {value!r} has more than the {decimals} decimals "
                "that 'decimals' states; correct one of them"
            )
        printed[metric] = f"{value:.{decimals}f}"
        figures[metric] = Figure(int(units), 100 * 10**decimals)
    return Claim(row.method, figures, printed, row=row)


def _sizes(
    settings: Settings, table: PublishedTable | None, tests: Sequence[Counts], where: str
) -> tuple[tuple[int, int], str]:
    """The range that is searched, and why that one."""
    if settings.sizes is not None:
        return settings.sizes, "as --size says"
    if table is not None and table.search is not None and settings.test is None:
        return _checked_sizes(table.search.sizes, where), table.search.reason
    if not tests:
        raise UsageError(
            f"{where}: nothing says how many test images there were; "
            "add --test POSITIVES,NEGATIVES (such as 246,250) or --size LEAST-MOST (such as 480-510)"
        )
    size = sum(tests[0].values())
    sizes = max(1, size - AROUND), min(MOST_IMAGES, size + AROUND)
    return sizes, f"up to {AROUND} images more or fewer than {size}"


def _checked_sizes(sizes: tuple[int, int], where: str) -> tuple[int, int]:
    if sizes[1] > MOST_IMAGES:
        raise CardError(f"{where}: test sizes up to {sizes[1]}, at most {MOST_IMAGES} are searched")
    return sizes


def _check_counts(counts: tuple[int, ...], where: str) -> None:
    if not 0 < sum(counts) <= MOST_IMAGES:
        raise CardError(f"{where}: {sum(counts)} test images; expected 1 to {MOST_IMAGES}")


def _check_readable(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    if size > MOST_BYTES:
        raise DataError(f"{str(path)!r} has {size} bytes; a table to verify has at most {MOST_BYTES}")


def _of_text(path: Path, settings: Settings) -> list[ClaimTable]:
    _check_readable(path)
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is no UTF-8 text: {error.reason} at byte {error.start}") from error
    separated = path.suffix.lower() in (".csv", ".tsv")
    grids = [_separated(text, str(path))] if separated else list(_pipe_tables(text))
    if not grids or not grids[0]:
        what = (
            "no rows"
            if separated
            else "no Markdown table (lines with | and a line of dashes under the headings)"
        )
        raise DataError(f"{str(path)!r}: {what}")
    positive, negative = _class_names(settings.positive, None)
    tests: tuple[tuple[str, Counts], ...] = ()
    if settings.test is not None:
        tests = (("the counts given", {positive: settings.test[0], negative: settings.test[1]}),)
    sizes, why = _sizes(settings, None, [counts for _, counts in tests], repr(str(path)))
    reading = Reading(positive=positive if settings.test else settings.positive, auc=settings.auc)
    tables = []
    for number, grid in enumerate(grids, start=1):
        title = path.name if len(grids) == 1 else f"{path.name}, table {number}"
        rows = tuple(_claims(grid, title, settings.decimals))
        tables.append(ClaimTable(title, str(path), rows, reading, tests, sizes, why))
    return tables


Line = tuple[int, list[str]]
"""The number of a line in its file, and its cells."""


def _separated(text: str, where: str) -> list[Line]:
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        return [
            (reader.line_num, [cell.strip() for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise DataError(f"{where!r}, line {reader.line_num}: no CSV: {error}") from error


def _pipe_tables(text: str) -> Iterator[list[Line]]:
    """Each Markdown table: a line of headings, a line of dashes, then its rows."""
    lines = [_pipe_cells(line) for line in text.splitlines()]
    place = 0
    while place < len(lines):
        table: list[Line] = []
        if lines[place] and place + 1 < len(lines) and _is_rule(lines[place + 1]):
            table.append((place + 1, lines[place]))
            place += 2
            while place < len(lines) and lines[place]:
                table.append((place + 1, lines[place]))
                place += 1
            yield table
        else:
            place += 1


def _pipe_cells(line: str) -> list[str]:
    if "|" not in line:
        return []
    inner = line.strip().removeprefix("|").removesuffix("|")
    cells = re.split(r"(?<!\\)\|", inner)  # a pipe after a backslash belongs to a name
    return [cell.replace("\\|", "|").strip().strip("*`").strip() for cell in cells]


def _is_rule(cells: Sequence[str]) -> bool:
    return bool(cells) and all(re.fullmatch(r":?-+:?", cell) for cell in cells)


@dataclass(frozen=True)
class _Cell:
    """A printed number: digits before and after the point, and whether a percent sign says what it is."""

    where: str
    text: str
    whole: str
    decimals: str
    percent: bool

    @property
    def value(self) -> Decimal:
        return Decimal(f"{self.whole}.{self.decimals or 0}")

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
                f"{self.where}: {self.text!r} has {printed} decimals of a percentage, at most {most} are taken; "
                "write the number as it was printed"
            )
        units = int(self.whole + self.decimals) * 10 ** (wanted - printed)
        return Figure(units, 10 ** (wanted + 2))


def _claims(grid: Sequence[Line], title: str, decimals: int | None) -> Iterator[Claim]:
    """The rows of a typed table, in percent or in fractions throughout."""
    (_, headings), *lines = grid
    if not lines:
        raise DataError(f"{title!r}: headings without a row below them")
    if len(lines) > MOST_ROWS:
        raise DataError(f"{title!r} has {len(lines)} rows; at most {MOST_ROWS} are verified at once")
    metrics, percent_columns = _columns(headings, title)
    methods, table = [], []
    for number, cells in lines:
        where = f"{title!r}, line {number}"
        if len(cells) != len(headings):
            raise DataError(f"{where}: {len(cells)} cells under {len(headings)} headings")
        methods.append(cells[0] or f"line {number}")
        table.append(_row_cells(cells, metrics, percent_columns, f"{where} ({cells[0]!r})"))
    percent = _in_percent([cell for row in table for cell in row.values()])
    for method, row in zip(methods, table, strict=True):
        figures = {metric: cell.figure(percent, decimals) for metric, cell in row.items()}
        for metric, figure in figures.items():
            if figure.units > figure.scale:
                raise DataError(f"{row[metric].where}: {row[metric].text!r} is above 100 %")
        yield Claim(method, figures, {metric: cell.text for metric, cell in row.items()}, percent)


def _columns(headings: Sequence[str], title: str) -> tuple[dict[int, str], set[int]]:
    """The metric of each column after the first, and the columns whose heading says percent."""
    metrics: dict[int, str] = {}
    percent = set()
    if _metric(headings[0]) is not None:
        raise DataError(f"{title!r}: the first column holds the method's name, not {headings[0]!r}")
    for place, heading in enumerate(headings[1:], start=1):
        metric = _metric(heading)
        if metric is None:
            raise DataError(f"{title!r}: {_unknown(heading)}")
        if metric in metrics.values():
            raise DataError(f"{title!r}: {heading!r} is a second column of {metric}")
        metrics[place] = metric
        if "%" in heading:
            percent.add(place)
    if not metrics:
        raise DataError(f"{title!r}: no column of a metric beside {headings[0]!r}")
    return metrics, percent


def _metric(heading: str) -> str | None:
    """The metric of a heading such as 'F1-score (%)'."""
    return METRIC_OF.get(_plain(heading))


def _plain(heading: str) -> str:
    return "".join(c for c in re.sub(r"\(.*?\)|\[.*?\]", "", heading).casefold() if c.isalnum())


def _unknown(heading: str) -> str:
    close = difflib.get_close_matches(_plain(heading), METRIC_OF, n=1, cutoff=0.6)
    if close:
        return f"unknown metric {heading!r}; you probably meant {METRIC_OF[close[0]]!r}"
    return f"unknown metric {heading!r}; known: {', '.join(VERIFIABLE)}; remove other columns"


def _row_cells(
    cells: Sequence[str], metrics: Mapping[int, str], percent_columns: set[int], where: str
) -> dict[str, _Cell]:
    found = {}
    for place, metric in metrics.items():
        text = cells[place]
        if text.casefold() in NOT_REPORTED:
            continue
        match = NUMBER.fullmatch(text)
        if match is None:
            raise DataError(
                f"{where}: {metric} is {text[:40]!r}; expected a plain number from 0 to 100 such as 97.38, or nothing"
            )
        percent = bool(match[3]) or place in percent_columns
        found[metric] = _Cell(f"{where}, {metric}", text, match[1], match[2] or "", percent)
    return found


def _in_percent(cells: Sequence[_Cell]) -> bool:
    """True when the table is in percent. Raises `DataError` when one cell is and another is not."""
    first = {kind: next((c for c in cells if c.kind == kind), None) for kind in ("percent", "fraction")}
    percent, fraction = first["percent"], first["fraction"]
    if percent is not None and fraction is not None:
        raise DataError(
            f"{fraction.where}: {fraction.text!r} is a fraction, but {percent.text!r} ({percent.where}) is a "
            "percentage; write the table in one of the two, or mark each percentage with %"
        )
    return percent is not None
