"""The files of a board: complete, escaped, whole or absent."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_factory import failed_record, record_of

from harness import board_latex, board_markdown
from harness.board_files import write_board
from harness.boards import build_boards
from harness.errors import RecordError
from harness.published import load_published
from harness.records import Record

GOOD, BETTER, COIN = [[18, 2], [2, 18]], [[19, 1], [1, 19]], [[10, 10], [10, 10]]
NASTY = 'a|b_c %d #5 {x} ~y^2 \\input{z} $q$ <b> *s* `t` & é漢\u202e --- "u" [v]\n- w\n\n# x'


def written(tmp_path: Path, *records: Record, dataset: str = "made") -> dict[str, str]:
    published = {}
    if (tmp_path / "published").is_dir():
        published = load_published(tmp_path / "published")
    (board,) = build_boards(records, published)
    paths = write_board(board, tmp_path / "out")
    return {path.name.removeprefix("official"): path.read_text("utf-8") for path in paths}


def nasty_records() -> list[Record]:
    classes = [f"one {NASTY}", f"two {NASTY}"]
    common = {
        "dataset__classes": classes,
        "dataset__positive": classes[0],
        "dataset__title": NASTY,
        "dataset__licence": NASTY,
        "dataset__known_problems": [NASTY],
        "dataset__skipped": [NASTY],
        "recipe": NASTY,
    }
    return [
        record_of(GOOD, model__label=NASTY, notes=[NASTY, "long " * 20_000], **common),
        record_of(COIN, model__label="x", model__parameters={"backbone": NASTY}, **common),
        failed_record(("Error", NASTY), model__label="y", recipe=NASTY),
    ]


def tables_of(markdown: str) -> list[list[list[str]]]:
    """The cells of each Markdown table, split where GitHub splits them."""
    found: list[list[list[str]]] = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def check_latex(text: str) -> None:
    """Raise unless braces and environments are balanced, rows are full and nothing special is bare."""
    text = re.sub(r"^%.*\n", "", text.removeprefix(board_latex.HEAD), flags=re.MULTILINE)
    text = text.replace("\\boardtable{%\n", "\\boardtable{\n")
    commands = set(re.findall(r"\\([A-Za-z]+)", text))
    assert commands <= {
        *("begin", "end", "centering", "footnotesize", "setlength", "tabcolsep", "caption", "toprule"),
        *("midrule", "bottomrule", "par", "raggedright", "pm", "ifdefined", "Umathchar", "else", "fi"),
        *("boardtable", "label", "ref", "hspace", "smallskip"),
        *("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"),
    }
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    bare = re.sub(r"\\[\\&%$#_{}]|\$\\pm\$|Table~", "", text)
    assert not re.search(r"[%#_^~$]", bare)
    depth = 0
    for character in re.sub(r"\\[{}]", "", text):
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL
    ):
        rows = [line for line in body.strip().splitlines() if not re.fullmatch(r"\\\w+rule", line)]
        assert all(len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1 for row in rows)
        assert all(row.endswith(r" \\") for row in rows)


def test_a_folder_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(RecordError) as error:
        written(tmp_path, record_of(GOOD))
    assert "\n" not in str(error.value)
    assert str(tmp_path / "out") in str(error.value)


def test_a_disk_that_fills_up_leaves_the_old_file_and_no_half_of_a_new_one(tmp_path, monkeypatch):
    before = written(tmp_path, record_of(GOOD))

    def full(path: Path, text: str, *args: object, **kwargs: object) -> int:
        path.write_bytes(text.encode()[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RecordError, match="No space left on device"):
        written(tmp_path, record_of(BETTER))
    folder = tmp_path / "out" / "made"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"official.{e}" for e in ("csv", "json", "md", "pairs.csv", "tex")
    ]
    assert (folder / "official.md").read_text("utf-8") == before[".md"]


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", "a/b", "x" * 300, "con\0trol"])
def test_a_name_never_leaves_the_folder(tmp_path, name):
    (board,) = build_boards([record_of(GOOD, dataset__name=name, protocol__name=f"p:{name}")], {})
    if not re.search(r"\w", name):
        with pytest.raises(RecordError, match="cannot be the name"):
            write_board(board, tmp_path / "out")
        return
    for path in write_board(board, tmp_path / "out"):
        assert path.is_file()
        assert path.resolve().parent.parent == (tmp_path / "out").resolve()


def test_markdown_tables_keep_their_columns_whatever_the_names(tmp_path):
    markdown = written(tmp_path, *nasty_records())[".md"]
    tables = tables_of(markdown)
    assert [{len(row) for row in table} for table in tables] == [{6}, {5}, {2}, {5}, {5}, {4}]
    assert [len(table) for table in tables] == [2 + 3, *[2 + 2] * 5]


def test_nothing_in_a_name_becomes_markdown(tmp_path):
    markdown = written(tmp_path, *nasty_records())[".md"]
    assert "<b>" not in markdown.replace("\\<b>", "")
    assert not re.search(
        r"(?<!\\)[`$*](?!\*|\*\*)", re.sub(r"^- \*\*[^*]+\*\*|^  ", "", markdown, flags=re.M)
    )
    assert [line for line in markdown.splitlines() if line.startswith("#")][1:] == [
        f"## Recipe {board_markdown.escaped(NASTY)}",
        "### Other metrics",
        "### Probabilities",
        "### Worst group",
        "### Calibration",
        "### What it took",
    ]


def test_a_huge_note_is_cut_in_the_tables_and_whole_in_the_json(tmp_path):
    texts = written(tmp_path, *nasty_records())
    assert len(texts[".md"]) < 10_000
    assert len(texts[".tex"]) < 13_000
    assert "long " * 20_000 in texts[".json"]


def test_no_line_of_prose_is_wider_than_a_terminal(tmp_path):
    records = [record_of(GOOD, notes=["word " * 60]), record_of(BETTER, model__label="xdnn")]
    markdown = written(tmp_path, *records)[".md"]
    assert max(len(line) for line in markdown.splitlines() if not line.startswith("|")) <= 110
    assert max(len(line) for line in markdown.splitlines()) <= 140


def test_latex_is_well_formed_whatever_the_names(tmp_path):
    check_latex(written(tmp_path, *nasty_records())[".tex"])


def test_the_latex_check_itself_sees_what_is_wrong():
    good = "\\begin{tabular}{ll}\na & b \\\\\n\\end{tabular}\n"
    check_latex(good)
    for bad in (
        good.replace("a &", "a"),
        good.replace("b ", "50% "),
        good.replace("b ", "b_c "),
        good.replace("b ", "{b "),
        good.replace("b ", "\\input{x} "),
        good.replace("\\end{tabular}", ""),
    ):
        with pytest.raises(AssertionError):
            check_latex(bad)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    text = written(tmp_path, *nasty_records())[".tex"]
    document = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}{text}\\end{{document}}"
    (tmp_path / "paper.tex").write_text(document, "utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_long_table_goes_on_on_another_page_and_no_row_leaves_its_interval(tmp_path):
    (tmp_path / "published" / "made").mkdir(parents=True)
    (tmp_path / "published" / "made" / "published.toml").write_text(PUBLISHED)
    records = [record_of(GOOD, model__label=f"model {number:02d}") for number in range(30)]
    text = written(tmp_path, *records)[".tex"]
    check_latex(text)
    beside = text[text.index("beside Table 1.") :]
    bodies = re.findall(r"\\midrule\n(.*?)\\bottomrule", beside, flags=re.DOTALL)
    assert [len(body.splitlines()) for body in bodies] == [47, 20]  # 7 lines, then 20 models of two
    assert "The same table, part 2 of 2." in beside
    assert bodies[1].startswith("model 20 & ")
    assert beside.count(r"\caption{") == 0  # its caption is before it, and the only one


@given(st.text(max_size=40))
@settings(max_examples=80, deadline=None)
def test_any_text_is_one_balanced_line_in_latex(text):
    escaped = board_latex.escaped(text)
    assert "\n" not in escaped
    check_latex(escaped)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
@settings(max_examples=80, deadline=None)
def test_any_text_is_one_cell_in_markdown(text):
    escaped = board_markdown.escaped(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(\\\\)*\|", escaped)


def test_csv_has_one_line_a_row_and_every_digit(tmp_path):
    records = [record_of([[17, 3], [4, 16]]), failed_record(model__label="vgg16")]
    lines = list(csv.DictReader(written(tmp_path, *records)[".csv"].splitlines()))
    assert [(line["method"], line["status"]) for line in lines] == [("svm", "ranked"), ("vgg16", "failed")]
    assert float(lines[0]["f1"]) == 34 / 41
    assert lines[1]["f1"] == ""


def test_csv_survives_nasty_names(tmp_path):
    text = written(tmp_path, *nasty_records())[".csv"]
    lines = list(csv.DictReader(text.splitlines(keepends=True)))
    assert lines[0]["method"] == NASTY


def test_json_says_everything_and_no_number_that_is_none(tmp_path):
    undefined = record_of([[30, 0], [0, 0]], model__label="x")
    records = [record_of(GOOD, seed=0), failed_record(model__label="y")]
    said = json.loads(written(tmp_path, *records)[".json"])
    assert said["schema_version"] == 2
    cell = said["rows"][0]["cells"][0]
    assert cell["key"] == records[0].key
    assert cell["confusion"] == GOOD
    assert said["rows"][1]["metrics"] is None
    text = written(tmp_path, undefined)[".json"]
    assert "NaN" not in text
    auc = json.loads(text)["rows"][0]["metrics"]["auc"]
    assert auc["value"] is None
    assert auc["reason"].startswith("every image is of class 'COVID'")


PUBLISHED = """
schema_version = 1
dataset = "made"
[[table]]
id = "one"
title = "Table 1"
source = "A paper"
protocol = "official"
decimals = 2
named_without_row = ["svm"]
reading = { positive = "non-COVID", auc = "hard-labels" }
[[table.row]]
method = "Net"
models = ["resnet"]
accuracy = 90.0
f1 = 91.5
auc = 90.0
[[table.row]]
method = "Other"
accuracy = 50.0
decimals = 0
[[table]]
id = "two"
title = "Table 2"
source = "Another paper"
protocol = "official"
decimals = 0
other_images = "an earlier cut"
[[table.row]]
method = "Net"
f1 = 85
"""


@pytest.fixture
def compared(tmp_path):
    (tmp_path / "published" / "made").mkdir(parents=True)
    (tmp_path / "published" / "made" / "published.toml").write_text(PUBLISHED)
    return written(tmp_path, record_of(GOOD, model__label="resnet"), record_of(BETTER))[".md"]


def test_each_published_row_is_followed_by_ours_with_interval_difference_and_verdict(compared):
    table = tables_of(compared)[-1]
    assert [row[:2] for row in table[2:]] == [
        ["Net, published", "90.00"],
        ["resnet", "90.00"],
        ["- 95 % interval", "[76.9, 96.0]"],
        ["- ours minus published", "+0.00"],
        ["- verdict", "REPRODUCED"],
        ["Other, published", "50"],
        ["not run", "-"],
        ["- verdict", "NOT RUN"],
        ["no published row", "-"],
        ["svm", "95.00"],
        ["- 95 % interval", "[83.5, 98.6]"],
    ]
    of_f1 = [row[4] for row in table[2:7]]
    assert [of_f1[0], of_f1[1], of_f1[3], of_f1[4]] == ["91.50", "90.00", "-1.50", "WITHIN"]
    assert [row[2] for row in table[2:7]][-2:] == ["-", "-"]  # no precision was published


def test_a_row_whose_possibility_was_looked_into_says_so(tmp_path):
    (tmp_path / "published" / "made").mkdir(parents=True)
    (tmp_path / "published" / "made" / "published.toml").write_text(PUBLISHED)
    published = load_published(tmp_path / "published")
    (board,) = build_boards([record_of(GOOD, model__label="resnet")], published)
    possible = {"Net": "impossible on this test part", "Other": "possible"}
    (comparison,) = board.comparisons
    judged = replace(board, comparisons=(replace(comparison, possible=possible),))
    markdown = board_markdown.page(judged)
    names = [row[0] for row in tables_of(markdown)[-1]]
    assert names[2:4] == ["Net, published", "- as printed: impossible"]
    assert "- as printed: possible" in names
    assert "1. impossible on this test part" in markdown


def test_a_cell_that_is_not_judged_says_why(tmp_path):
    (tmp_path / "published" / "made").mkdir(parents=True)
    unknown = PUBLISHED.replace('reading = { positive = "non-COVID", auc = "hard-labels" }\n', "")
    (tmp_path / "published" / "made" / "published.toml").write_text(unknown)
    markdown = written(tmp_path, record_of(GOOD, model__label="resnet"))[".md"]
    table = tables_of(markdown)[-1]
    (verdict,) = (row for row in table[:7] if row[0] == "- verdict")
    assert verdict == ["- verdict", "REPRODUCED", "-", "-", "NOT RUN", "NOT RUN", "1"]
    assert "1. how it was computed is not known" in markdown


def test_the_reading_of_a_comparison_stands_above_it_beside_our_own(compared):
    text = " ".join(compared.split())
    assert "in the reading of the source: non-COVID counted as positive, AUC of hard labels" in text
    assert "The ranking above: COVID counted as positive, AUC of scores" in text


def test_a_method_named_without_a_row_is_told(compared):
    assert "svm: the source names this method and reports no row of it" in compared


def test_what_is_not_comparable_is_shown_as_such(compared):
    text = " ".join(compared.split())
    assert "Table 2. Net: F1 85. Not comparable: other images: an earlier cut." in text


def test_rows_without_a_rank_say_so_in_its_place(tmp_path):
    records = [record_of(GOOD), record_of(COIN, model__label="coin"), failed_record(model__label="f")]
    table = tables_of(written(tmp_path, *records)[".md"])[0]
    assert [row[:2] for row in table[2:]] == [["1", "svm"], ["under-trained", "coin"], ["failed", "f"]]


def test_a_row_from_scratch_says_so_in_its_name(tmp_path):
    weights = [{"network": "vgg16", "sha256": None, "reason": "no network"}]
    table = tables_of(written(tmp_path, record_of(GOOD, model__label="vgg16", weights=weights))[".md"])[0]
    assert table[2][1] == "vgg16, from scratch"


def test_several_seeds_show_their_deviation_apart_from_the_interval(tmp_path):
    records = [record_of(GOOD, seed=0), record_of(BETTER, seed=1)]
    ranks, *_, seeds = tables_of(written(tmp_path, *records)[".md"])
    assert ranks[2][2].startswith("92.50 [")
    assert seeds[0][:2] == ["Method", "Accuracy"]
    assert seeds[2][:2] == ["svm", "3.54"]


def test_one_seed_has_no_table_of_deviations(tmp_path):
    assert "over seeds" not in written(tmp_path, record_of(GOOD))[".md"]


def test_every_number_stands_with_its_interval(tmp_path):
    """Wilson (1927) of 36 of 40 and of 18 of 20, by hand: .7695 to .9604 and .6990 to .9721."""
    ranks, others = tables_of(written(tmp_path, record_of(GOOD))[".md"])[:2]
    assert ranks[2][4] == "90.00 [76.9, 96.0]"
    assert others[0][:4] == ["Method", "Precision", "Recall", "Spec."]
    assert others[2][2:4] == ["90.00 [69.9, 97.2]"] * 2


def test_intervals_are_read_as_text_and_not_as_links(tmp_path):
    markdown = written(tmp_path, record_of(GOOD))[".md"]
    assert "90.00 [76.9, 96.0]" in markdown
    assert board_markdown.escaped("[1, 2](x)") == "\\[1, 2\\](x)"
    assert board_markdown.escaped("<.001 <b>") == "<.001 \\<b\\>"


def test_slices_without_patients_are_said_to_make_the_intervals_too_narrow(tmp_path):
    groups = [f"patient {row // 2}" for row in range(40)]
    assert "Per slice: too narrow" in written(tmp_path / "a", record_of(GOOD))[".md"]
    grouped = written(tmp_path / "b", record_of(GOOD, groups))[".md"]
    assert "Per slice" not in grouped
    assert "bootstrap over 20 groups" in " ".join(grouped.split())


def test_a_number_without_an_interval_says_why(tmp_path):
    """The one patient of a class says nothing of how patients differ."""
    groups = ["patient 0"] * 20 + [f"patient {row}" for row in range(1, 21)]
    texts = written(tmp_path, record_of(GOOD, groups))
    assert "90.00 (no interval)" in texts[".md"]
    reason = "one class has a single unit: its spread is not known"
    assert f"Accuracy of svm: {reason}" in " ".join(texts[".md"].split())
    said = json.loads(texts[".json"])["rows"][0]["metrics"]["accuracy"]["interval"]
    assert said == {"low": None, "high": None, "method": "none", "per_slice": False, "reason": reason}


def test_pairs_show_their_adjusted_p_and_what_the_test_part_can_show(tmp_path):
    records = [
        record_of(GOOD, model__label="a"),
        record_of(GOOD, model__label="b"),
        record_of([[15, 5], [4, 16]], model__label="c"),
    ]
    texts = written(tmp_path, *records)
    *_, pairs = tables_of(texts[".md"])
    assert [row[:2] for row in pairs[2:]] == [["1", "a"], ["2", "b"], ["3", "c"]]
    assert pairs[3][2] == "1.000"
    prose = " ".join(texts[".md"].split())
    assert "Accuracy: McNemar, mid-p; AUC: DeLong" in prose
    assert "The smallest difference these test images can show" in prose
    check_latex(texts[".tex"])


def test_the_file_of_pairs_holds_each_pair_once_a_metric(tmp_path):
    records = [record_of(c, model__label=name) for name, c in {"a": GOOD, "b": BETTER, "c": GOOD}.items()]
    texts = written(tmp_path, *records)
    lines = list(csv.DictReader(texts[".pairs.csv"].splitlines()))
    assert [(line["metric"], line["first"], line["second"]) for line in lines[:3]] == [
        ("f1", "b", "a"),
        ("f1", "b", "c"),
        ("f1", "a", "c"),
    ]
    assert len(lines) == 9
    tests = json.loads(texts[".json"])["pairs"]["quick"]["tests"]
    of_json = [test["metrics"][metric]["p_holm"] for metric in ("f1", "accuracy", "auc") for test in tests]
    assert [float(line["p_holm"]) for line in lines] == of_json


def test_more_methods_than_a_page_has_room_for_have_no_table_of_pairs(tmp_path):
    records = [record_of(GOOD, model__label=f"m{number:02d}") for number in range(13)]
    texts = written(tmp_path, *records)
    assert "### Pairs" not in texts[".md"]
    assert len(texts[".pairs.csv"].splitlines()) == 1 + 3 * 78


def test_csv_and_json_hold_the_same_bounds(tmp_path):
    texts = written(tmp_path, record_of(GOOD))
    (line,) = csv.DictReader(texts[".csv"].splitlines())
    said = json.loads(texts[".json"])["rows"][0]["metrics"]["f1"]["interval"]
    assert [float(line["f1_low"]), float(line["f1_high"]), line["f1_interval"]] == [
        said["low"],
        said["high"],
        "bootstrap over 40 images",
    ]
