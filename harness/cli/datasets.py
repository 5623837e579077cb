"""`harness show` and `harness fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import UsageError, WeightsUnavailable

if TYPE_CHECKING:
    from harness.data.summary import Range, Summary


def add_to(app: typer.Typer) -> None:
    app.command(
        "show",
        epilog="Examples: harness show covid-ct; harness show my-ct/card.toml --sheet my-ct.png; "
        "harness show covid-ct --ids -p external:sars-cov-2-ct",
    )(show)
    app.command(
        "fetch", epilog="Examples: harness fetch covid-ct; harness fetch --weights vgg16,densenet169"
    )(fetch)


def show(
    dataset: Annotated[str, typer.Argument(help="Dataset name, or path of a card.")],
    sheet: Annotated[
        Path | None, typer.Option(help="Where the contact sheet goes [default: ./DATASET-sheet.png].")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the sample ids instead, one a line.")] = False,
    protocol: Annotated[
        str | None,
        typer.Option("-p", "--protocol", help="With --ids: those of the test part alone (of seed 0)."),
    ] = None,
    data_root: options.DataRoot = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Print what a dataset holds, verified file by file, and write a contact sheet."""
    from harness.cli.live import Live, say
    from harness.data.dataset import open_dataset
    from harness.data.sheet import contact_sheet
    from harness.data.summary import summary
    from harness.records import writable

    if ids and sheet is not None:
        raise UsageError("--ids prints ids and draws no sheet; leave out --ids or --sheet")
    if protocol is not None:
        if not ids:
            raise UsageError("--protocol goes with --ids: it chooses whose ids are printed")
        _print_tested(dataset, protocol, data_root, skip_bad)
        return
    with Live() as live:
        found = open_dataset(dataset, data_root=data_root, skip_bad=skip_bad, progress=live.stage)
    if ids:
        for sample in found.samples:
            typer.echo(sample.id)
        return
    _print_summary(summary(found))
    path = sheet or Path(f"{found.name}-sheet.png")
    with writable(path.parent):
        contact_sheet(found, path)
    say(f"written: {path}")


def _print_tested(dataset: str, protocol: str, data_root: Path | None, skip_bad: bool) -> None:
    """Print the ids of the test images of a protocol, fold after fold."""
    from harness.cli.live import Live
    from harness.external import open_for
    from harness.protocols import splits_of

    with Live() as live:
        found, protocol = open_for(
            dataset, protocol, data_root=data_root, skip_bad=skip_bad, progress=live.stage
        )
    for split in splits_of(found, protocol):
        for sample_id in split.test:
            typer.echo(sample_id)


def _print_summary(found: Summary) -> None:
    """Print the facts as plain text: a table of counts, a table of sizes, then what must be known."""
    from tabulate import tabulate

    typer.echo(f"{found.title} ({found.name})\n{found.description}\n")
    rows = [*found.classes, found.overall]
    headers = ["class", "images", *found.parts, "patients", *(f"in {part}" for part in found.parts)]
    counts = [
        [
            _class_name(row.label, found),
            row.total.images,
            *(row.parts[part].images for part in found.parts),
            _known(row.total.groups),
            *(_known(row.parts[part].groups) for part in found.parts),
        ]
        for row in rows
    ]
    typer.echo(tabulate(counts, headers, tablefmt="github", disable_numparse=True, stralign="right"))
    sizes = [
        [
            _class_name(row.label, found),
            *(f"{v:.0f}" for side in (row.height, row.width) for v in _range(side)),
        ]
        for row in rows
    ]
    headers = ["px", *(f"{what} {side}" for side in ("height", "width") for what in ("min", "mean", "max"))]
    typer.echo(
        "\n" + tabulate(sizes, headers, tablefmt="github", disable_numparse=True, stralign="right") + "\n"
    )
    for line in _remarks(found):
        typer.echo(line)


def _class_name(label: str | None, found: Summary) -> str:
    if label is None:
        return "all"
    return f"{label} (positive)" if label == found.positive else label


def _range(side: Range) -> tuple[float, float, float]:
    return side.minimum, side.mean, side.maximum


def _known(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def _remarks(found: Summary) -> list[str]:
    across = found.groups_on_two_sides
    known = found.overall.total.groups is not None
    lines = [f"patients in more than one part: {len(across) if known else 'unknown'}"]
    lines += [f"  {name}" for name in across[:5]]
    if known and found.images_without_group:
        lines.append(f"images whose patient is not known: {found.images_without_group}")
    if found.sources is not None:
        lines.append(f"sources: {found.sources}")
    lines += [f"known missing: {name}" for name in found.known_missing]
    lines += [f"left out: {what}" for what in found.skipped]
    lines += [f"note: {what}" for what in found.warnings]
    lines += [f"known problem: {what}" for what in found.known_problems]
    return [*lines, f"licence: {found.licence}", f"cite: {found.citation}"]


def fetch(
    dataset: Annotated[list[str] | None, typer.Argument(help="Dataset names.")] = None,
    weights: Annotated[
        list[str] | None, typer.Option("--weights", help="Pretrained networks to fetch, such as vgg16.")
    ] = None,
    data_root: options.DataRoot = None,
) -> None:
    """Download datasets and pretrained weights; a broken download is resumed."""
    from harness.cli.live import Live, say

    datasets, networks = options.names(dataset), options.names(weights)
    if not datasets and not networks:
        raise UsageError("nothing to fetch: name a dataset, or networks with --weights")
    with Live() as live:
        for name in datasets:
            from harness.fetch import fetch_dataset

            say(f"{name}: {fetch_dataset(name, data_root=data_root, progress=live.stage)}")
        for network in networks:
            from harness.weights import obtain

            got = obtain(network, live.stage)
            if got.file is None:
                raise WeightsUnavailable(f"weights of {network!r} cannot be had: {got.reason}")
            say(f"{network}: {got.file}")
