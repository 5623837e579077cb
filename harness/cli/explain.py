"""`harness explain`: rules and decisions of finished runs, as pictures and pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import DatasetMissing, HarnessError, ModelError, RecordError, UnknownName, UsageError

if TYPE_CHECKING:
    from harness.board_cells import Entry
    from harness.cli.live import Live
    from harness.data.dataset import Dataset
    from harness.explaining import Wanted
    from harness.explanation_data import Explained

EPILOG = """\b
Examples:
  harness explain
  harness explain -d sars-cov-2-ct -m xdnn -p official
  harness explain -m xdnn --id 'COVID/Covid (135).png' --prototypes 24
"""

NAMED_PROTOTYPES = 3
"""How many prototypes of a class are printed; the files name all."""


def add_to(app: typer.Typer) -> None:
    app.command("explain", epilog=EPILOG)(explain)


def explain(
    dataset: Annotated[
        list[str] | None, typer.Option("-d", "--dataset", help="Dataset name, or path of a card.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("-m", "--model", help="Model name [default: all that can explain].")
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option("-p", "--protocol", help="official, random, group-kfold.")
    ] = None,
    recipe: Annotated[list[str] | None, typer.Option(help="smoke, quick or paper.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of the runs [default: all].")] = None,
    fold: Annotated[int | None, typer.Option(help="The fold of the runs [default: all].")] = None,
    prototypes: Annotated[int, typer.Option(help="Prototypes shown a class, the largest supports.")] = 12,
    queries: Annotated[
        int, typer.Option(help="Test images shown, wrong decisions first, then a draw of right ones.")
    ] = 12,
    image_ids: Annotated[
        list[str] | None, typer.Option("--id", help="Show this test image instead; may be repeated.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Where the explanations go [default: OUT/explanations].")
    ] = None,
    out: options.Out = Path("leaderboards"),
    data_root: options.DataRoot = None,
) -> None:
    """Show why finished runs decided as they did: prototypes, rules and single decisions.

    For models that decide by prototypes. Each is fitted again and must give the recorded
    probabilities; then its pictures (PNG), a page (HTML) and the data (JSON) are written.
    """
    from harness.explaining import Wanted

    for option, count in (("--prototypes", prototypes), ("--queries", queries)):
        if count < 1:
            raise UsageError(f"{option} must be 1 or more, got {count}")
    opened = _Opened(options.names(dataset), out, data_root)
    wanted = Wanted(
        datasets=opened.names,
        models=options.names(model),
        protocols=options.names(protocol),
        recipes=options.names(recipe),
        seed=seed,
        fold=fold,
    )
    raise typer.Exit(
        _explain(wanted, opened, to or out / "explanations", prototypes, queries, image_ids or [])
    )


class _Opened:
    """The datasets of the runs, each opened once, by name or by the path of a card."""

    def __init__(self, named: tuple[str, ...], out: Path, data_root: Path | None) -> None:
        from harness.board_cells import entry_of
        from harness.protocols import other_dataset
        from harness.records import read_records

        self._data_root = data_root
        self._open: dict[str, Dataset] = {}
        self.records = read_records(out / "runs")
        if not self.records:
            raise RecordError(
                f"no records in {str(out / 'runs')!r}: nothing to explain; 'harness run' makes them"
            )
        entries = [entry_of(record) for record in self.records]
        of_records = {entry.dataset for entry in entries}
        names = [name if name in of_records else self._name_of(name) for name in named]
        only_tested = {other_dataset(entry.protocol) for entry in entries} - of_records
        self.names = tuple(name for name in names if name not in only_tested)

    def dataset(self, entry: Entry, live: Live) -> Dataset:
        """Return the dataset of a run, of `external` the two as one.

        Raises `DatasetMissing` where no card of its name is known.
        """
        from harness.data.joined import join
        from harness.protocols import other_dataset

        skip_bad = bool(entry.record.manifest["dataset"].get("skipped"))
        dataset, other = self._named(entry.dataset, skip_bad, live), other_dataset(entry.protocol)
        return dataset if other is None else join(dataset, self._named(other, skip_bad, live))

    def _named(self, name: str, skip_bad: bool, live: Live) -> Dataset:
        if name not in self._open:
            try:
                self._add(name, skip_bad, live)
            except UnknownName as error:
                raise DatasetMissing(
                    f"no dataset is called {name!r} here; name its card with -d PATH/card.toml"
                ) from error
        return self._open[name]

    def _name_of(self, path: str) -> str:
        from harness.cli.live import Live

        with Live() as live:
            return self._add(path, True, live)

    def _add(self, name_or_path: str, skip_bad: bool, live: Live) -> str:
        from harness.data.dataset import open_dataset

        dataset = open_dataset(
            name_or_path, data_root=self._data_root, skip_bad=skip_bad, progress=live.stage
        )
        self._open[dataset.name] = dataset
        return dataset.name


def _explain(wanted: Wanted, opened: _Opened, to: Path, prototypes: int, queries: int, ids: list[str]) -> int:
    """Return the exit code: 0 when every run that was asked for is explained."""
    from harness.cli.live import Live, say
    from harness.explaining import explained, finished_runs, title_of
    from harness.explanation_files import write_explanation
    from harness.protocols import other_dataset

    entries, failures = _able(finished_runs(opened.records, wanted), bool(wanted.models))
    licences: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        say(f"[{number}/{len(entries)}] {title_of(entry)}")
        try:
            with Live() as live:
                dataset = opened.dataset(entry, live)
                found = explained(entry, dataset, queries=queries, ids=ids, progress=live.stage)
                pixels = dataset.pixels(progress=live.stage)
                paths = write_explanation(found, pixels, to, prototypes=prototypes)
        except HarnessError as error:
            failures.append(f"{title_of(entry)}: {error}")
            continue
        _print_rules(found)
        for path in paths:
            say(f"written: {path}")
        joined = other_dataset(found.protocol) is not None  # then the licence names both datasets
        licences.add(found.licence if joined else f"{found.title}: {found.licence}")
    for licence in sorted(licences):
        say(f"the pictures show images of {licence}")
    for failure in failures:
        say(f"error: {failure}", style="red")
    return 1 if failures else 0


def _able(entries: list[Entry], named: bool) -> tuple[list[Entry], list[str]]:
    """Return the runs whose model can explain, and why others that were asked for by name cannot.

    Raises `ModelError` when there is none.
    """
    from harness.explaining import can_explain, title_of

    able: list[Entry] = []
    unable: list[Entry] = []
    problems: list[str] = []
    for entry in entries:
        try:
            (able if can_explain(entry) else unable).append(entry)
        except HarnessError as error:
            problems.append(f"{title_of(entry)}: {error}")
    if unable:
        models = ", ".join(sorted({entry.label for entry in unable}))
        problems.append(f"these models do not decide by prototypes, so there is nothing to show: {models}")
    if not able:
        raise ModelError(f"{'; '.join(problems)}; models that can explain: {_known_able()}")
    return able, problems if named else []


def _known_able() -> str:
    """Return the installed models that can explain, for an error."""
    from harness.explaining import is_able
    from harness.registry import model_plugins

    found = []
    for name, plugin in model_plugins().items():
        try:
            factory = plugin.load()
        except HarnessError:
            continue  # 'harness list --check' says what is broken
        if is_able(factory):
            found.append(name)
    return ", ".join(found) or "none is installed"


def _print_rules(found: Explained) -> None:
    typer.echo(f"{found.summary}")
    for rule in found.rules:
        typer.echo(f"  {rule.text(NAMED_PROTOTYPES)}")
