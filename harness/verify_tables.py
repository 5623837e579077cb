"""Tables to verify, in one form: those in published.toml, and those a user typed as CSV, Markdown or LaTeX."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from harness.claims import Claim, ClaimTable, Counts, Settings
from harness.errors import CardError, DataError, UnknownName, UsageError
from harness.feasibility import MOST_IMAGES
from harness.folders import bundled
from harness.matrices import Figure
from harness.published import (
    STATED_METRICS,
    Published,
    PublishedRow,
    PublishedTable,
    Reading,
    load_published,
    read_published,
)
from harness.typed_grids import TYPED, check_readable, grids
from harness.typed_tables import claims

__all__ = ["AROUND", "claim_tables", "published_tables"]

AROUND = 15
"""How many images more or fewer than the stated test part are searched where no range is stated."""


def claim_tables(
    target: str, settings: Settings, leaderboards: Path | None = None
) -> tuple[list[ClaimTable], Published | None]:
    """Return the tables that `target` names, and the published file they came from.

    `target` is the key or id of a published table, or the path of a .toml, .csv, .tsv, .md, .txt or .tex file.
    Raises `UnknownName`, `UsageError`, `CardError` or `DataError` in one line.
    """
    path = Path(target)
    ending = path.suffix.lower()
    if ending == ".toml":
        check_readable(path)
        published = read_published(path, target)
        return published_tables(published, settings), published
    if ending in TYPED:
        return _of_text(path, settings), None
    files = load_published(leaderboards or bundled("leaderboards")).values()
    for published in files:
        if target == published.key:
            return published_tables(published, settings), published
        for table in published.tables:
            if target == table.id:
                return [_of_published(published, table, settings)], published
    if path.exists():
        raise DataError(
            f"{target!r} is none of {', '.join(('.toml', *TYPED))}; save the table as one of them"
        )
    known = {p.key for p in files if p.key} | {table.id for p in files for table in p.tables}
    raise UnknownName("published table (or .toml, .csv, .md or .tex file)", target, known)


def published_tables(published: Published, settings: Settings | None = None) -> list[ClaimTable]:
    """Return the tables of a published file to verify. Raises `UsageError` or `CardError` in one line."""
    return [_of_published(published, table, settings or Settings()) for table in published.tables]


def _of_published(published: Published, table: PublishedTable, settings: Settings) -> ClaimTable:
    where = f"published table {table.id!r}"
    if settings.average is not None:
        raise UsageError(
            f"{where}: --average is for tables in CSV, Markdown or LaTeX; this one names its metrics"
        )
    reading = _reading(table.reading, settings)
    tests = _published_tests(published, table, settings, where)
    sizes, why = _sizes(settings, table, [counts for _, counts in tests], where)
    rows = tuple(_published_claim(row, table, settings, where) for row in table.rows)
    known = table.test or official_test(published.dataset) or (tests[0][1] if tests else None)
    if reading.positive is not None and known and reading.positive not in known:
        raise UsageError(f"{where}: the positive class {reading.positive!r} is none of {sorted(known)!r}")
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


def _of_text(path: Path, settings: Settings) -> list[ClaimTable]:
    found = grids(path)
    positive, negative = _class_names(settings.positive, None)
    tests: tuple[tuple[str, Counts], ...] = ()
    if settings.test is not None:
        tests = (("the counts given", {positive: settings.test[0], negative: settings.test[1]}),)
    sizes, why = _sizes(settings, None, [counts for _, counts in tests], repr(str(path)))
    reading = Reading(positive=positive if settings.test else settings.positive, auc=settings.auc)
    tables = []
    for number, grid in enumerate(found, start=1):
        title = path.name if len(found) == 1 else f"{path.name}, table {number}"
        rows = tuple(claims(grid, title, settings.decimals, settings.average))
        tables.append(ClaimTable(title, str(path), rows, reading, tests, sizes, why))
    return tables
