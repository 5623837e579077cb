"""The numbers of the README are those of the committed boards: each line of its tables, cell by cell."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STORED = ROOT / "leaderboards"

MARKS = {"REPRODUCED": "=", "WITHIN INTERVAL": "~", "BETTER": "+", "WORSE": "-"}
METRICS = ("accuracy", "precision", "recall", "f1", "auc")


def tables(path: Path) -> list[list[list[str]]]:
    """Every table of a Markdown file: its rows of cells, the headings first, without the rule."""
    found: list[list[list[str]]] = []
    before = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            if not re.fullmatch(r"[|:\- ]+", line):
                found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = line
    return found


def table_of(path: Path, *headings: str) -> list[list[str]]:
    """The rows of the first table that begins with these headings."""
    return next(rows[1:] for rows in tables(path) if tuple(rows[0][: len(headings)]) == headings)


def boards() -> list[list[list[str]]]:
    return [table for table in tables(ROOT / "README.md") if table[0][:2] == ["Rank", "Method"]]


@pytest.mark.parametrize(("number", "dataset"), [(0, "sars-cov-2-ct"), (1, "covid-ct")])
def test_each_board_is_that_of_the_recipe_paper(number: int, dataset: str) -> None:
    stored = table_of(STORED / dataset / "official.md", "Rank", "Method")
    headings, *shown = boards()[number]
    assert headings == ["Rank", "Method", "F1 [95 %]", "AUC [95 %]", "Accuracy [95 %]"]
    assert shown == [row[:5] for row in stored]


def test_the_transfers_are_those_of_the_page_of_transfers() -> None:
    f1, _, auc = (
        {(row[0], row[1]): [cell.rstrip("†") for cell in row[2:]] for row in table[1:]}
        for table in tables(STORED / "external.md")[:3]
    )
    (shown,) = [table for table in tables(ROOT / "README.md") if table[0][:2] == ["Method", "Trained on"]]
    assert len(shown) == 5
    for method, trained_on, *cells in shown[1:]:
        assert cells == f1[method, trained_on] + auc[method, trained_on]


def test_figures_beside_the_published_ones_have_their_verdicts() -> None:
    (table,) = json.loads((STORED / "sars-cov-2-ct" / "verdicts.json").read_text("utf-8"))["tables"]
    judged = {(row["method"], row["ours"]): row["cells"] for row in table["verdicts"]}
    (shown,) = [table for table in tables(ROOT / "README.md") if table[0][:2] == ["Published", "Here"]]
    method, compared = "", 0
    for published, here, *cells in shown[1:]:
        if published:
            method = published.removesuffix(", published")
            (row,) = [row for row in table["rows"] if row["method"] == method]
            assert cells == [row["printed"][metric] for metric in METRICS]
            continue
        ours = here if here.endswith(", quick") else f"{here}, paper"
        found = {cell["name"]: cell for cell in judged[method, ours]}
        assert cells == [f"{found[m]['ours']:.2f} {MARKS[found[m]['verdict']]}" for m in METRICS]
        compared += 1
    assert compared >= 9


def test_intervals_in_the_text_on_transfers_are_on_their_page() -> None:
    there = (STORED / "external.md").read_text("utf-8")
    told = re.findall(r"\[[-+]?\d+\.\d, [-+]?\d+\.\d\]", (ROOT / "docs" / "external.md").read_text("utf-8"))
    assert len(told) > 10
    assert [bounds for bounds in told if bounds not in there] == []
