"""`harness show` and `harness fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import UsageError, WeightsUnavailable

if TYPE_CHECKING:
    from harness.data.summary import Summary


def add_to(app: typer.Typer) -> None:
    app.command(
        "show", epilog="Examples: harness show covid-ct; harness show my-ct/card.toml --sheet my-ct.png"
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
    data_root: options.DataRoot = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Print what a dataset holds, verified file by file, and write a contact sheet."""
    from harness.cli.live import Live, say
    from harness.data.dataset import open_dataset
    from harness.data.sheet import contact_sheet
    from harness.data.summary import summary
    from harness.records import writable

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


def _print_summary(summary: Summary) -> None:
    raise UsageError(str(summary))


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
