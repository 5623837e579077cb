"""Every number of the committed boards as a reader sees it in a real Chromium, against the boards' JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.folders import bundled
from harness.published import load_published
from harness.records import read_records
from harness.report import write_report

pytestmark = pytest.mark.slow

STORED = Path(__file__).parents[2] / "leaderboards"

COLUMNS = {
    "F1": "f1",
    "AUC": "auc",
    "Accuracy": "accuracy",
    "Precision": "precision",
    "Recall": "recall",
    "Specificity": "specificity",
    "Balanced accuracy": "balanced_accuracy",
    "Brier": "brier",
}
CELLS = """
return [...document.querySelectorAll(arguments[0])].map(table => ({
  title: table.closest('section.board')?.querySelector('h2').textContent,
  label: table.closest('[aria-label]')?.getAttribute('aria-label'),
  head: [...table.tHead.rows[0].cells].map(c => c.textContent.trim()),
  rows: [...table.querySelectorAll('tbody tr:not(.more)')].map(r => [...r.cells].map(c => {
    const plain = c.cloneNode(true);
    plain.querySelectorAll('.hidden, .weak, .notes, .no, .expand').forEach(e => e.remove());
    return plain.textContent.replace(/\\s+/g, ' ').trim();
  })),
}))
"""


@pytest.fixture(scope="module")
def boards() -> list[dict[str, Any]]:
    found = [json.loads(path.read_text("utf-8")) for path in sorted(STORED.glob("*/*.json"))]
    return [board for board in found if "rows" in board]


@pytest.fixture(scope="module")
def page(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("numbers") / "report.html"
    write_report(read_records(STORED / "runs"), load_published(bundled("leaderboards")), out)
    chromium.get(out.as_uri())
    return chromium


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+(?:\.\d+)?", text.replace(",", " "))]


def agrees(text: str, values: Sequence[float | None], digits: Sequence[int]) -> bool:
    """True when the text shows these values, rounded to these digits; '-' stands for None."""
    if values[0] is None:
        return text == "-"
    wanted = [value for value in values if value is not None]
    shown = numbers(text)
    return len(shown) == len(wanted) and all(
        abs(one - value) <= 0.5001 * 10**-places
        for one, value, places in zip(shown, wanted, digits, strict=False)
    )


def with_bounds(metric: dict[str, Any], factor: float = 100) -> list[float | None]:
    found = metric.get("interval", metric) or {}
    values = (metric["value"], found.get("low"), found.get("high"))
    return [None if value is None else factor * value for value in values]


def recipes(boards: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    for board in boards:
        for recipe in dict.fromkeys(row["recipe"] for row in board["rows"]):
            yield board, recipe


def same_board(title: str, board: dict[str, Any]) -> bool:
    return title.startswith(f"{board['dataset']['title']} ") and f"{board['protocol']['name']} split" in title


def test_rankings(page: Any, boards: list[dict[str, Any]]) -> None:
    tables = page.execute_script(CELLS, "table.ranking")
    compared = 0
    for board, recipe in recipes(boards):
        rows = [row for row in board["rows"] if row["recipe"] == recipe]
        (table,) = [
            one
            for one in tables
            if same_board(one["title"], board)
            and len(one["rows"]) == len(rows)
            and names(one) == methods(rows)
        ]
        for row, cells in zip(rows, table["rows"], strict=True):
            assert cells[0] == (str(row["rank"]) if row["rank"] is not None else row["status"])
            for column, text in zip(table["head"], cells, strict=True):
                if metric := COLUMNS.get(re.sub("[^A-Za-z0-9 ]", "", column).strip()):
                    brier = metric == "brier"
                    values = with_bounds(row["metrics"][metric], 1 if brier else 100)
                    assert agrees(text, values, (3, 3, 3) if brier else (2, 1, 1)), (row["method"], metric)
                    compared += 1
    assert compared == len(COLUMNS) * sum(len(board["rows"]) for board in boards) > 400


def names(table: dict[str, Any]) -> list[str]:
    """What the second column calls the rows: model and settings, without punctuation."""
    return [re.sub(r"[(), ]+", " ", cells[1]).replace("from scratch", "").strip() for cells in table["rows"]]


def methods(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [re.sub(r"[(), ]+", " ", row["method"]).strip() for row in rows]


def test_transfers(page: Any) -> None:
    (stored,) = json.loads((STORED / "external.json").read_text("utf-8"))["recipes"]
    titles = stored["datasets"]
    squares = {(s["method"], titles[s["trained_on"]], titles[s["tested_on"]]): s for s in stored["squares"]}
    tables = page.execute_script(CELLS, "table.transfer")
    compared = 0
    for metric, table in zip(("f1", "balanced_accuracy", "auc"), tables, strict=True):
        for name, trained_on, *cells in table["rows"]:
            for heading, text in zip(table["head"][2:], cells, strict=True):
                square = squares[name, trained_on, heading.removeprefix("on ")]
                assert agrees(text, with_bounds(square["metrics"][metric]), (2, 1, 1)), (name, metric)
                compared += 1
    assert compared == 3 * len(squares) > 0


def test_changes_between_datasets(page: Any) -> None:
    (stored,) = json.loads((STORED / "external.json").read_text("utf-8"))["recipes"]
    titles = stored["datasets"]
    tables = page.execute_script(CELLS, "table.changes")
    for kind, table in zip(("same_images", "same_training"), tables, strict=True):
        for change, (name, *places, f1, balanced, auc) in zip(stored[kind], table["rows"], strict=True):
            assert name == change["method"]
            sides = [titles[change["tested_on"]], titles[change["trained_on"]]]
            assert places == (sides if kind == "same_images" else sides[::-1])
            for metric, text in (("f1", f1), ("balanced_accuracy", balanced), ("auc", auc)):
                found = change["differences"][metric]
                said, _, p = text.partition(" p ")
                assert agrees(said, with_bounds(found), (1, 1, 1)), (name, metric)
                assert (p == "") == (found["p_holm"] is None)
                assert p in ("", "<.001") or abs(float(p) - found["p_holm"]) <= 0.0005001


def test_pairs(page: Any, boards: list[dict[str, Any]]) -> None:
    """Each p-value of the tables of pairs; those of a row against a column and back are the same."""
    tables = page.execute_script(CELLS, "table.heat:not(.probabilities)")
    wanted = sorted(
        shown_p(test["p_holm"])
        for board in boards
        for recipe in board["pairs"].values()
        for pair in recipe["tests"]
        for test in pair["metrics"].values()
        for _ in range(2)
    )
    shown = sorted(text.lstrip("▲▼") for table in tables for row in table["rows"] for text in row[1:] if text)
    assert shown == wanted
    assert len(wanted) > 100


def shown_p(p: float | None) -> str:
    return "-" if p is None else "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def test_verdicts(page: Any) -> None:
    """Each of our figures beside a printed one, with its difference, interval and verdict."""
    stored = [json.loads(path.read_text("utf-8")) for path in sorted(STORED.glob("*/verdicts.json"))]
    tables = page.execute_script(CELLS, "table.verdicts")
    texts = [text for table in tables for row in table["rows"] for text in row[1:] if "[" in text]
    cells = [
        cell
        for document in stored
        for table in document["tables"]
        for row in table["verdicts"] or ()
        for cell in row["cells"]
        if cell.get("interval")
    ]
    assert len(cells) == len(texts) > 50
    unmatched = list(texts)
    for cell in cells:
        low, high = bounds(cell["interval"])
        values = [cell["ours"], cell["ours"] - cell["published"], low, high]
        match = next(
            (t for t in unmatched if t.endswith(cell["verdict"]) and agrees(t, values, (2, 2, 1, 1))), None
        )
        assert match is not None, cell
        unmatched.remove(match)


def bounds(interval: Any) -> tuple[float, float]:
    return (interval["low"], interval["high"]) if isinstance(interval, dict) else tuple(interval)
