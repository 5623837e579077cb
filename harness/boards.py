"""Boards from records: one per dataset and protocol, as data. Nothing here reads an image or a clock.

`harness.board_cells` says which records count, `harness.board_rows` makes and ranks the rows,
`harness.comparisons` sets them beside published tables, `harness.board_files` writes the files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.board_cells import Cell, Entry, chosen, entry_of, read_cells
from harness.board_names import shown_names
from harness.board_pairs import Pairs
from harness.board_reliability import reliability_of, sources_of
from harness.board_rows import Row, rows_of
from harness.board_sides import elsewhere
from harness.comparisons import Comparison, Context, comparisons_of
from harness.protocols import other_dataset
from harness.published import Published
from harness.records import Record
from harness.types import unique

__all__ = ["Board", "Section", "build_boards"]

RECIPES = ("paper", "quick", "smoke")
"""The order of the sections; other recipes follow by name."""

SHOWN = 5
"""How many of the skipped files are named."""


@dataclass(frozen=True)
class Section:
    """The rows of one recipe; rows of different recipes are never ranked against each other."""

    recipe: str
    rows: tuple[Row, ...]
    pairs: Pairs = field(default_factory=Pairs)

    @property
    def uneven(self) -> bool:
        """True when rows rest on different seeds or folds."""
        return len({frozenset(cell.place for cell in row.cells) for row in self.rows if row.cells}) > 1


@dataclass(frozen=True)
class Board:
    """One dataset under one protocol.

    `images` counts the training, validation and test images of a cell (least, most), `test` the
    test images of one seed by class. `superseded` records are older than those that count.
    """

    dataset: str
    title: str
    classes: tuple[str, ...]
    positive: str | None
    licence: str | None
    content: str
    protocol: str
    folds: int
    images: Mapping[str, tuple[int, int]]
    test: Mapping[str, int]
    sections: tuple[Section, ...]
    comparisons: tuple[Comparison, ...]
    context: tuple[Context, ...]
    cautions: tuple[str, ...]
    devices: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]
    superseded: int

    @property
    def rows(self) -> list[Row]:
        return [row for section in self.sections for row in section.rows]

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for row in self.rows for seed in row.seeds})


def build_boards(records: Iterable[Record], published: Mapping[str, Published]) -> list[Board]:
    """Return the boards of these records, by dataset and protocol; their order changes nothing.

    `published` maps datasets to their published tables (`harness.published.load_published`). Raises
    `RecordError` for a manifest that lacks something; a record with bad predictions becomes a failed row.
    """
    by_board: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for record in records:
        entry = entry_of(record)
        by_board[entry.dataset, entry.protocol].append(entry)
    return [_board(entries, published.get(dataset)) for (dataset, _), entries in sorted(by_board.items())]


def _board(entries: Sequence[Entry], published: Published | None) -> Board:
    kept, superseded = chosen(entries)
    cells = read_cells(kept)
    done = [cell for cell in cells if cell.failure is None]
    dataset = _dataset(cells)
    positive = dataset.get("positive")
    classes = tuple(dataset.get("classes", ()))
    sources = sources_of(done)
    sections = tuple(
        _section(recipe, [c for c in cells if c.entry.recipe == recipe], positive, sources)
        for recipe in sorted({c.entry.recipe for c in cells}, key=_recipe_order)
    )
    sections = _named(sections)
    rows = [row for section in sections for row in section.rows]
    test = _test_counts(done, classes)
    protocol = kept[0].protocol
    comparisons, context = comparisons_of(rows, published, protocol, test)
    return Board(
        dataset=kept[0].dataset,
        title=dataset.get("title") or kept[0].dataset,
        classes=classes,
        positive=positive,
        licence=dataset.get("licence"),
        content=kept[0].content,
        protocol=protocol,
        folds=max(entry.folds for entry in kept),
        images=_images(done),
        test=test,
        sections=sections,
        comparisons=comparisons,
        context=context,
        cautions=tuple(unique(filter(None, _cautions(dataset, done, sections, protocol)))),
        devices=tuple(sorted({_device(cell.manifest["device"]) for cell in done if cell.manifest["device"]})),
        versions=_versions(done),
        superseded=superseded,
    )


def _section(recipe: str, cells: Sequence[Cell], positive: str | None, sources: Mapping[str, str]) -> Section:
    rows, pairs = rows_of(cells, positive)
    whole = (
        replace(row, reliability=reliability_of(row.cells, positive, sources)) if row.cells else row
        for row in rows
    )
    return Section(recipe, tuple(whole), pairs)


def _named(sections: Sequence[Section]) -> tuple[Section, ...]:
    """The sections, each row with the name it has in tables."""
    names = shown_names((row.label, row.method) for section in sections for row in section.rows)
    return tuple(
        replace(section, rows=tuple(replace(row, short=names[row.method]) for row in section.rows))
        for section in sections
    )


def _dataset(cells: Sequence[Cell]) -> dict[str, Any]:
    """What the newest finished cell says of the dataset; failed ones may know its name only."""
    told = max(cells, key=lambda cell: (cell.failure is None, cell.entry.age))
    dataset: dict[str, Any] = told.manifest["dataset"]
    return dataset


def _recipe_order(recipe: str) -> tuple[int, str]:
    return (RECIPES.index(recipe) if recipe in RECIPES else len(RECIPES)), recipe


def _images(cells: Sequence[Cell]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for part in ("train", "val", "test"):
        counts = [cell.manifest["dataset"]["n"][part] for cell in cells]
        if counts:
            found[part] = min(counts), max(counts)
    return found


def _test_counts(cells: Sequence[Cell], classes: tuple[str, ...]) -> dict[str, int]:
    """Test images by class, of the lowest seed, each once."""
    if not cells:
        return {}
    seed = min(cell.entry.seed for cell in cells)
    labels: dict[str, int] = {}
    for cell in cells:
        if cell.entry.seed == seed and cell.labels is not None:
            labels.update(zip(cell.ids, cell.labels.tolist(), strict=True))
    counts = Counter(labels.values())
    return {name: counts[number] for number, name in enumerate(classes)}


def _cautions(
    dataset: Mapping[str, Any], cells: Sequence[Cell], sections: Sequence[Section], protocol: str
) -> Iterable[str]:
    """What a reader must know before believing a figure."""
    external = other_dataset(protocol) is not None
    if cells and external:
        yield elsewhere(cells[-1].manifest)
    problems = list(dataset.get("known_problems", ()))
    yield from problems
    grouped = any(cell.grouped for cell in cells)
    if protocol == "random" and grouped:
        yield "This split ignores patients: images of one patient lie in the training and in the test part."
    if cells and not grouped and not problems and not external:
        yield "No patients are known: images of one patient may lie in the training and in the test part."
    yield from unique(_shared(cell.manifest["dataset"].get("on_two_sides")) for cell in cells)
    skipped = unique(str(name) for cell in cells for name in cell.manifest["dataset"].get("skipped", ()))
    if skipped:
        more = f" and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
        yield f"Left out as unreadable (--skip-bad): {', '.join(skipped[:SHOWN])}{more}."
    if any(section.uneven for section in sections):
        yield "Not every row rests on the same seeds and folds: see the column 'Seeds' and the notes."
    bare = sum(not cell.entry.record.digested for cell in cells)
    if bare:
        yield (
            f"No digest: {bare} of {len(cells)} finished records say nothing by which an edit of their manifests "
            "would be found."
        )
    if len({cell.manifest["engine"] for cell in cells if cell.manifest.get("engine")}) > 1:
        yield "The rows were computed by different versions of the harness's own code."


def _shared(found: Mapping[str, Any] | None) -> str:
    """Say what the test part shares with the others, '' when nothing is known or shared."""
    said = []
    if found and found["groups"]:
        said.append(
            f"{found['groups']} of the {found['tested_groups']} patients that are tested are trained on too"
        )
    if found and found["identical"]:
        pairs = [f"{test} = {other}" for test, other in found["identical"][:SHOWN]]
        more = f" and {len(found['identical']) - SHOWN} more" if len(found["identical"]) > SHOWN else ""
        said.append(f"test images that are identical to images trained on: {', '.join(pairs)}{more}")
    return f"This split leaks: {'; '.join(said)}." if said else ""


def _device(device: Mapping[str, Any]) -> str:
    count = device.get("threads")
    threads = f", {count} thread{'s' * (count > 1)}" if count else ""
    return f"{device['kind']} ({device['name']}{threads})"


def _versions(cells: Sequence[Cell]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        for name, version in cell.manifest["versions"].items():
            found[name].add(str(version))
    return {name: tuple(sorted(found[name])) for name in sorted(found)}
