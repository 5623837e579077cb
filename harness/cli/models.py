"""`harness list`, `harness check`, `harness new-model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.errors import HarnessError, ModelError


def add_to(app: typer.Typer) -> None:
    app.command("list", epilog="Examples: harness list; harness list --check")(list_all)
    app.command("check", epilog="Example: harness check svm")(check)
    app.command("new-model", epilog="Example: harness new-model my-net")(new_model)


def list_all(
    check: Annotated[
        bool, typer.Option("--check", help="Import each plugin and say what is broken.")
    ] = False,
    data_root: options.DataRoot = None,
) -> None:
    """List models, datasets and protocols."""
    from harness.registry import BASELINES, model_plugins

    broken = 0
    typer.echo("models")
    for name, plugin in model_plugins().items():
        status = ""
        if check:
            try:
                plugin.load()
                status = "  ok"
            except HarnessError as error:
                broken += 1
                status = f"  BROKEN: {error}"
        role = "  baseline" if name in BASELINES else ""
        family = (
            "  any classifier by name, as in timm:convnext_tiny" if name in ("timm", "torchvision") else ""
        )
        typer.echo(f"  {name:<15}{plugin.distribution}{role}{family}{status}")
    _list_datasets(data_root)
    typer.echo("protocols\n  official, random, group-kfold, external, external:DATASET")
    if broken:
        raise typer.Exit(1)


def _list_datasets(data_root: Path | None) -> None:
    from harness.data.cards import known_cards, load_card
    from harness.data.roots import find_root

    typer.echo("datasets")
    for name, path in known_cards(data_root).items():
        try:
            card = load_card(path)
        except HarnessError as error:
            typer.echo(f"  {name:<15}BROKEN: {error}")
            continue
        root = find_root(card, path, data_root)
        if root is None:
            where = f"not found; 'harness fetch {name}' gets it"
        else:
            where = "made on first use" if card.generated else str(root)
        typer.echo(f"  {name:<15}{card.title}  [{where}]")


def check(
    model: Annotated[str, typer.Argument(help="Model name, see 'harness list'.")],
    param: Annotated[
        list[str] | None, typer.Option("--param", help="PARAMETER=VALUE, may be repeated.")
    ] = None,
) -> None:
    """Test that a model keeps the contract, rule by rule."""
    from harness.registry import find_model
    from harness.testing import model_checks

    plugin = find_model(model)
    given = options.model_parameters([f"{plugin.label}.{text}" for text in param or []])
    parameters = {**plugin.fixed, **given.get(plugin.label, {})}
    failures = 0
    for rule, error in model_checks(plugin.load(), parameters):
        failures += error is not None
        typer.echo(f"{'ok  ' if error is None else 'FAIL'}  {rule}" + (f": {error}" if error else ""))
    if failures:
        raise ModelError(f"model {plugin.label!r} breaks {failures} rule(s) of the contract")


def new_model(
    name: Annotated[str, typer.Argument(help="Name of the model, such as my-net.")],
    folder: Annotated[Path | None, typer.Option(help="Where to write the package [default: ./NAME].")] = None,
) -> None:
    """Write a small working package with a model to start from."""
    from harness.scaffold import new_model as write

    target = folder or Path(name)
    for path in write(name, target):
        typer.echo(f"written: {path}")
    typer.echo(
        f"next: pip install -e {target} && harness check {name} && harness run -d ct-phantom -m {name}"
    )
