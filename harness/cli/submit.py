"""`harness submit`: predictions alone onto the board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.errors import UsageError

EPILOG = """\b
The file has a column 'id' (as 'harness show DATASET --ids' prints them), one column a class with its
probability, and optionally 'seed' and 'fold'; a line for each test image:
  id,non-COVID,COVID
  COVID/Covid (1010).png,0.03,0.97

\b
Examples:
  harness submit preds.csv -d covid-ct -p official --name my-model
  harness submit folds.csv -d covid-ct -p group-kfold --name my-model --recipe quick
  harness submit other.csv -d covid-ct -p external:sars-cov-2-ct --name my-model
"""


def add_to(app: typer.Typer) -> None:
    app.command("submit", epilog=EPILOG)(submit)


def submit(
    predictions: Annotated[Path, typer.Argument(help="A CSV of probabilities.")],
    name: Annotated[str, typer.Option(help="What the row is called.")],
    dataset: Annotated[str, typer.Option("-d", "--dataset", help="Dataset name, or path of a card.")],
    protocol: Annotated[
        str, typer.Option("-p", "--protocol", help="official, random, group-kfold or external:DATASET.")
    ] = "official",
    recipe: Annotated[
        str | None,
        typer.Option(help="The recipe to be ranked with [default: that of the board, paper if it is empty]."),
    ] = None,
    out: options.Out = Path("leaderboards"),
    data_root: options.DataRoot = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Score predictions that were made elsewhere, and rank them like a model, marked 'predictions only'."""
    from harness.cli.boards import board
    from harness.cli.live import Live, say
    from harness.external import open_for
    from harness.planning import TRIALS
    from harness.records import read_records, writable
    from harness.submissions import check_name, read_submission, record, submitted_recipe

    check_name(name)
    if recipe is not None and recipe not in TRIALS:
        raise UsageError(f"unknown recipe {recipe!r}; known: {', '.join(TRIALS)}")
    with Live() as live:
        opened, protocol = open_for(
            dataset, protocol, data_root=data_root, skip_bad=skip_bad, progress=live.stage
        )
    found = read_submission(predictions, opened, protocol)
    recipe = recipe or submitted_recipe(read_records(out / "runs"), opened, protocol)
    with writable(out):
        (out / "runs").mkdir(parents=True, exist_ok=True)
    for one in found:
        made = record(out / "runs", one, opened, name=name, recipe=recipe, source=predictions.name)
        say(f"taken: {name}, seed {one.split.seed}, fold {one.split.fold}, recipe {recipe}: {made.folder}")
    board(out)
