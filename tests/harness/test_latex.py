"""LaTeX of boards, compiled: the committed ones and those of hostile names fit their pages."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from record_factory import failed_record, record_of

from harness import board_latex
from harness.boards import build_boards

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
GOOD = [[18, 2], [2, 18]]
HOSTILE = [
    "a_b & c % d # e",
    r"\input{/etc/passwd} \end{tabular} \\ $x^2$",
    "漢字 é ß ﬁ 😀 \u202e",
    "^^M ~ | < > \" ' ` ``''",
    "{[()]} -- --- *",
    "x" * 200,
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed"),
]


def compiled(folder: Path, text: str, packages: str = "booktabs,graphicx", options: str = "") -> str:
    """Compile twice, for references; return the log of the second time."""
    (folder / "board.tex").write_text(text, "utf-8")
    (folder / "paper.tex").write_text(
        f"\\documentclass[{options}]{{article}}\\usepackage{{{packages}}}\\begin{{document}}\\input{{board}}\\end{{document}}"
    )
    command = ["pdflatex", "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    for _ in range(2):
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=120, check=False, stdin=subprocess.DEVNULL
        )
        log = done.stdout.decode("latin-1")
        assert done.returncode == 0, log[-2000:]
    return log


def faults(log: str) -> list[str]:
    """What runs over a margin by more than a point, is too high for a page, or refers to nothing."""
    found = re.findall(r"Overfull \\[hv]box \(([\d.]+)pt", log)
    return [f"{points} pt over" for points in found if float(points) > 1] + re.findall(
        r"Float too large.*|.*undefined.*", log
    )


@pytest.mark.parametrize(
    "path", sorted(LEADERBOARDS.glob("*/*.tex")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_the_committed_tables_compile_and_fit_the_page(tmp_path, path):
    assert faults(compiled(tmp_path, path.read_text("utf-8"))) == []


def test_two_boards_go_into_one_paper_of_two_columns(tmp_path):
    text = "".join(path.read_text("utf-8") for path in sorted(LEADERBOARDS.glob("*/*.tex")))
    assert faults(compiled(tmp_path, text, options="twocolumn")) == []


def test_without_graphicx_they_compile_too(tmp_path):
    for path in LEADERBOARDS.glob("*/*.tex"):
        compiled(tmp_path, path.read_text("utf-8"), packages="booktabs")


def test_hostile_names_compile_and_fit_the_page(tmp_path):
    records = [record_of(GOOD, model__label=name, model__variant=name, notes=[name]) for name in HOSTILE]
    records.append(failed_record(("Error", HOSTILE[1]), model__label=HOSTILE[0] + HOSTILE[1]))
    (board,) = build_boards(records, {})
    log = compiled(tmp_path, board_latex.tables(board))
    assert faults(log) == []
    assert "(/etc/passwd" not in log


def test_a_table_of_a_hundred_rows_runs_over_pages(tmp_path):
    (board,) = build_boards([record_of(GOOD, model__label=f"model {number}") for number in range(100)], {})
    text = board_latex.tables(board)
    assert "The same table, part 3 of 3" in text
    assert faults(compiled(tmp_path, text)) == []
