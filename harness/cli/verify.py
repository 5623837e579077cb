"""`harness verify`: whether a published table is possible, and whether our runs bear it out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import DataError, UnknownName, UsageError

if TYPE_CHECKING:
    from harness.claims import Average, ClaimTable, Settings
    from harness.matrices import Rounding
    from harness.metrics import Auc
    from harness.published import Published
    from harness.verdicts import RowVerdicts
    from harness.verify_findings import RowFinding
    from harness.verify_report import Verified

BOARDS = Path("leaderboards")
"""Where boards are unless it is said; they need not be there."""

EPILOG = """\b
Examples:
  harness verify soares2020
  harness verify zhao2020 --json zhao.json
  harness verify table.csv --test 246,250 --auc hard-labels
  harness verify table.md --size 480-510 --strict
  harness verify table.tex --test 60,60 --average macro
"""


def add_to(app: typer.Typer) -> None:
    app.command("verify", epilog=EPILOG)(verify)


def verify(
    table: Annotated[
        str, typer.Argument(help="soares2020, zhao2020, a table's id, or a .toml, .csv, .md or .tex file.")
    ],
    test: Annotated[
        str | None, typer.Option(metavar="POS,NEG", help="Positive and negative test images: 246,250.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="N or N-N", help="Test sizes to search: 496, or 480-510.")
    ] = None,
    positive: Annotated[str | None, typer.Option(help="The class that the table counts as positive.")] = None,
    auc: Annotated[
        str | None, typer.Option(metavar="KIND", help="What AUC was computed from: scores or hard-labels.")
    ] = None,
    decimals: Annotated[
        int | None, typer.Option(min=0, max=6, help="Printed decimals of a percentage [default: as written].")
    ] = None,
    average: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Precision, recall and F1 are means over the classes: macro or weighted [default: as headings say].",
        ),
    ] = None,
    rounding: Annotated[
        str, typer.Option(metavar="HOW", help="How figures were shortened: nearest, truncate or either.")
    ] = "nearest",
    runs: Annotated[
        Path, typer.Option("--runs", help="Folder of our boards and runs, for the verdicts.")
    ] = BOARDS,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything found to FILE too.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when a row is impossible.")] = False,
) -> None:
    """Say of each row of a published table whether it is possible, and of each cell whether it holds."""
    from harness.cli.terminal import show
    from harness.verify_report import Verified, report
    from harness.verify_tables import claim_tables

    how = _rounding(rounding)
    tables, published = claim_tables(table, _settings(test, size, positive, auc, decimals, average))
    verified = []
    for claimed in tables:
        verdicts = None if published is None else _verdicts(claimed, published, runs)
        verified.append(Verified(claimed, how, _findings(claimed, how), verdicts))
    if json_file is not None:
        _write(json_file, verified)
    show(report(verified), nl=False)
    if strict and any(finding.possible is False for each in verified for finding in each.findings):
        raise typer.Exit(1)


def _settings(
    test: str | None,
    size: str | None,
    positive: str | None,
    auc: str | None,
    decimals: int | None,
    average: str | None,
) -> Settings:
    from harness.claims import Settings

    return Settings(_test(test), _sizes(size), positive, _auc(auc), decimals, _average(average))


def _test(text: str | None) -> tuple[int, int] | None:
    from harness.feasibility import MOST_IMAGES

    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*", text, re.ASCII)
    if match is None:
        raise UsageError(f"--test {text!r}: expected POSITIVES,NEGATIVES, such as 246,250")
    positives, negatives = int(match[1]), int(match[2])
    if not 0 < positives + negatives <= MOST_IMAGES:
        raise UsageError(f"--test {text!r}: {positives + negatives} test images; expected 1 to {MOST_IMAGES}")
    return positives, negatives


def _sizes(text: str | None) -> tuple[int, int] | None:
    from harness.feasibility import MOST_IMAGES

    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", text, re.ASCII)
    if match is None:
        raise UsageError(f"--size {text!r}: expected a number of test images such as 496, or 480-510")
    least, most = int(match[1]), int(match[2] or match[1])
    if not 0 < least <= most <= MOST_IMAGES:
        raise UsageError(f"--size {text!r}: expected 1 to {MOST_IMAGES} test images, the smaller size first")
    return least, most


def _auc(text: str | None) -> Auc | None:
    kinds: tuple[Auc, ...] = ("scores", "hard-labels")
    for known in kinds:
        if text == known:
            return known
    if text is None:
        return None
    raise UnknownName("--auc", text, kinds)


def _average(text: str | None) -> Average | None:
    from harness.claims import AVERAGES

    for known in AVERAGES:
        if text == known:
            return known
    if text is None:
        return None
    raise UnknownName("--average", text, AVERAGES)


def _rounding(text: str) -> Rounding:
    from harness.matrices import ROUNDINGS

    for known in ROUNDINGS:
        if text == known:
            return known
    raise UnknownName("--rounding", text, ROUNDINGS)


def _findings(table: ClaimTable, rounding: Rounding) -> tuple[RowFinding, ...]:
    from harness.verify_findings import findings_of

    try:
        return findings_of(table, rounding)
    except ValueError as error:
        raise UsageError(f"{table.title!r}: {error}") from error


def _verdicts(table: ClaimTable, published: Published, runs: Path) -> tuple[RowVerdicts, ...]:
    from harness.records import read_records
    from harness.verdicts import verdicts_of

    assert table.published is not None
    if runs != BOARDS and not runs.is_dir():
        raise UsageError(f"--runs {str(runs)!r}: there is no such folder")
    said = table.published.model_copy(update={"reading": table.reading})
    nothing = f"no record of {published.dataset!r} under {said.protocol!r} in {str(runs / 'runs')!r}"
    return verdicts_of(said, published, read_records(runs / "runs"), nothing)


def _write(path: Path, verified: list[Verified]) -> None:
    import json

    from harness.board_files import replaced
    from harness.schemas import schema
    from harness.verify_json import as_json

    said = {"$schema": schema("verdicts")["$id"], **as_json(verified)}
    text = json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        replaced(path, text)
    except OSError as error:
        raise DataError(
            f"cannot write {str(path)!r}: {error.strerror}; name another file with --json"
        ) from error
