"""`harness verify` as a user meets it: what it refuses, what it reads, what it says."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from record_factory import on_disk, record_of
from typer.testing import CliRunner

from harness.claims import Settings
from harness.cli import app
from harness.errors import HarnessError
from harness.matrices import Figure
from harness.typed_tables import MOST_ROWS
from harness.verify_tables import AROUND, claim_tables

XDNN_CSV = "Method,Accuracy,Precision,Recall,F1,AUC\nxDNN,97.38,99.16,95.53,97.31,97.36\n"
SPLIT = Settings(test=(246, 250))
TOML = """
schema_version = 1
dataset = "made"
[[table]]
id = "mine"
title = "My table"
source = "A paper"
protocol = "official"
decimals = 2
test = { "COVID" = 250, "non-COVID" = 246 }
[table.reading]
positive = "non-COVID"
auc = "hard-labels"
[[table.row]]
method = "xDNN"
models = ["xdnn"]
accuracy = 97.38
recall = 95.53
"""


def written(folder: Path, text: str, name: str = "table.csv") -> str:
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)


def run(*arguments: str):
    return CliRunner().invoke(app, ["verify", *arguments])


def refusal(*arguments: str) -> str:
    """The one line of a refused command; nothing else may have been printed."""
    done = run(*arguments)
    assert isinstance(done.exception, HarnessError), done.output
    assert done.output == ""
    message = str(done.exception)
    assert "\n" not in message
    return message


def one_row(text: str) -> str:
    return f"Method,Accuracy,F1\nNet,{text}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("\n\n  \n", "no rows"),
        ("Method,Accuracy\n", "headings without a row"),
        ("Accuracy,F1\n90.0,90.0\n", "first column holds the method's name"),
        ("Method\nNet\n", "no column of a metric"),
        ("Method,Acuracy\nNet,90.0\n", "unknown metric 'Acuracy'; you probably meant 'accuracy'"),
        ("Method,Sensitvity\nNet,90.0\n", "unknown metric 'Sensitvity'; you probably meant 'recall'"),
        ("Method,Loss\nNet,90.0\n", "unknown metric 'Loss'; known: accuracy"),
        ("Method,F1 (micro)\nNet,90.0\n", "'micro' in the heading 'F1 (micro)' is no unit"),
        ("Method,Recall (non-COVID)\nNet,90.0\n", "remove columns of the other class"),
        ("Method,Weighted accuracy\nNet,90.0\n", "unknown metric 'Weighted accuracy'"),
        ("Method,Recall/Precision\nNet,90.0\n", "unknown metric 'Recall/Precision'"),
        ("Method,Acc\nNet,97,38\n", "3 cells under 2 headings; decimal commas need quotes"),
        ("Method,Acc\nNet,97.38 (95.1)x\n", "accuracy is '97.38 (95.1)x'"),
        ("Method,Acc\nNet,.\n", "accuracy is '.'"),
        ("Method,Acc\nNet,%\n", "accuracy is '%'"),
        ("Method,Acc\nNet,>97\n", "accuracy is '>97'"),
        ("Method,Recall,Sensitivity\nNet,90,90\n", "'Sensitivity' is a second column of recall"),
        ("Method,Accuracy,F1\nNet,90.0\n", "line 2: 2 cells under 3 headings"),
        (one_row("97.38,0.97"), "'0.97' is a fraction, but '97.38'"),
        (one_row("0.97,97 %"), "'0.97' is a fraction, but '97 %'"),
        (one_row("nan,90"), "accuracy is 'nan'; expected a plain number"),
        (one_row("inf,90"), "accuracy is 'inf'"),
        (one_row("1e308,90"), "accuracy is '1e308'"),
        (one_row("-3,90"), "accuracy is '-3'"),
        (one_row("1000,90"), "accuracy is '1000'"),
        (one_row("100.01,90"), "'100.01' is above 100 %"),
        (one_row("٩٧,90"), "accuracy is"),
        (one_row("97.38,90\nB,0.95,0.9"), "'0.95' is a fraction, but '97.38'"),
        ("Method," + ",".join(f"x{n}" for n in range(5000)) + "\nNet\n", "unknown metric 'x0'"),
        ("Method,Accuracy\n" + "N" * 200_000 + ",90\n", "line 2: no CSV: field larger than field limit"),
        (one_row("97.1234567,90"), "has 7 decimals of a percentage, at most 6"),
        ('Method,F1\nNet,"90\n', "no CSV"),
        ("Method,F1\n" + "Net,90\n" * (MOST_ROWS + 1), f"at most {MOST_ROWS} are verified"),
        ("Method,F1\n" + "Net,90\n" * 200_000, "bytes; a table to verify has at most"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_in_one_line(tmp_path, text, said):
    assert said in refusal(written(tmp_path, text), "--test", "246,250")


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_refused(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00")
    assert "no UTF-8 text" in refusal(str(tmp_path / "table.csv"), "--size", "9")
    for name in ("absent.csv", "absent.toml", "absent.md"):
        assert "cannot be read" in refusal(str(tmp_path / name), "--size", "9")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--test", "246"], "--test '246': expected POSITIVES,NEGATIVES"),
        (["--test", "0,0"], "expected 1 to"),
        (["--test", "99999,99999"], "199998 test images"),
        (["--size", "510-480"], "the smaller size first"),
        (["--size", "many"], "expected a number of test images"),
        (["--size", "0"], "expected 1 to"),
        (["--size", "50000-100000"], "name fewer sizes"),
        (["--size", "9", "--rounding", "neerest"], "you probably meant 'nearest'"),
        (["--size", "9", "--auc", "hard"], "known: hard-labels, scores"),
        ([], "add --test POSITIVES,NEGATIVES (such as 246,250) or --size"),
        (["--test", "246,250", "--decimals", "1"], "has 2 decimals of a percentage, at most 1"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(tmp_path, arguments, said):
    assert said in refusal(written(tmp_path, XDNN_CSV), *arguments)


def test_a_misspelt_key_is_told_the_close_ones():
    assert "you probably meant 'soares2020'" in refusal("soares202")


def test_a_file_without_a_markdown_table_is_refused(tmp_path):
    assert "no Markdown table" in refusal(written(tmp_path, "just words | here", "t.md"), "--size", "9")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("accuracy = 97.38", "acuracy = 97.38", "acuracy"),
        ("accuracy = 97.38", "accuracy = 97.385", "more than the 2 decimals"),
        ("accuracy = 97.38", "accuracy = nan", "accuracy"),
        ('test = { "COVID" = 250, ', 'test = { "a" = 1, "b" = 2, ', "expected two"),
        ("= 250", "= 9999999", "expected 1 to"),
        ('positive = "non-COVID"', 'positive = "NonCOVID"', "is none of"),
        (
            "decimals = 2",
            "decimals = 2\nsearch = { sizes = [9, 8], reason = 'x' }",
            "smaller size comes first",
        ),
        ("decimals = 2", "decimals = 2\ntolerance = { reproduced = 0.5 }", "tolerance.reason"),
        ("[[table.row]]", "[[table.row]", "no valid TOML"),
    ],
)
def test_a_wrong_toml_table_is_refused_in_one_line(tmp_path, old, new, said):
    assert said in refusal(written(tmp_path, TOML.replace(old, new), "mine.toml"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", XDNN_CSV),
        ("t.csv", "\ufeff" + XDNN_CSV.replace(",", ";")),
        ("t.tsv", XDNN_CSV.replace(",", "\t")),
        ("t.csv", "model,Acc.,PREC (%),Sensitivity,F1-score,AUROC\nxDNN,97.38%,99.16,95.53 %,97.31,97.36\n"),
        ("t.csv", "model,acc,ppv,tpr,f-measure,roc_auc\nxDNN,0.9738,0.9916,0.9553,0.9731,0.9736\n"),
        (
            "t.md",
            "Some text.\n\n| Method | Acc | Precision | Recall | F1 | AUC |\n|:--|--:|---|---|---|---|\n"
            "| xDNN | **97.38** | 99.16 | 95.53 | 97.31 | 97.36 |\n\nMore.\n",
        ),
    ],
)
def test_one_table_written_in_many_ways_fits_the_same_matrix(tmp_path, name, text):
    done = run(written(tmp_path, text, name), "--test", "246,250", "--auc", "hard-labels")
    assert done.exit_code == 0
    assert "- 246 positive (positive) + 250: one matrix fits: 235/11/2/248." in done.output


@pytest.mark.parametrize(
    "cell",
    [
        "97.38",
        "**97.38**",
        "97.38*",
        "97.38†",
        "97.38¹",
        "97.38^a",
        "97.38<sup>a</sup>",
        "97.38 %",
        "97.38\N{NO-BREAK SPACE}%",
        '"97,38"',
        "97·38",
        "97.38 (95.1-98.2)",
        "97.38 [95.1; 98.2]",
        "97.38% (95% CI: 95.1% – 98.2%)",
    ],
)
def test_a_cell_with_marks_or_an_interval_is_its_number(tmp_path, cell):
    (table,), _ = claim_tables(written(tmp_path, f"m,acc\nNet,{cell}\n"), SPLIT)
    assert table.rows[0].figures == {"accuracy": Figure(9738, 10_000)}
    assert not table.rows[0].spread


@pytest.mark.parametrize("cell", ["0.95 ± 0.02", ".95±.02", "0.95 (0.02)", "0.95 (±0.02)", "0.95 +/- 0.02"])
def test_a_figure_with_a_deviation_is_shown_but_not_held_to_a_matrix(tmp_path, cell):
    path = written(tmp_path, f"m,acc,f1\nNet,{cell},0.95\n")
    (table,), _ = claim_tables(path, SPLIT)
    assert table.rows[0].figures["accuracy"] == Figure(95, 100)
    assert list(table.checkable(table.rows[0])) == ["f1"]
    assert "Not held to the matrix: accuracy (printed with a deviation" in run(path, "--test", "60,60").output


@pytest.mark.parametrize(
    ("heading", "metric"),
    [
        ("Sens.", "recall"),
        ("Recall (Sensitivity)", "recall"),
        ("Sensitivity/Recall", "recall"),
        ("Spec. (%)", "specificity"),
        ("PPV", "precision"),
        ("ACC (%)", "accuracy"),
        ("F-score", "f1"),
        ("F1-score [%]", "f1"),
        ("F1 (macro)", "macro_f1"),
        ("Macro-averaged F1", "macro_f1"),
        ("Weighted avg. precision", "weighted_precision"),
        ("Cohen's kappa", "kappa"),
        ("MCC", "mcc"),
        ("NPV (95% CI)", "npv"),
        ("**Accuracy**", "accuracy"),
    ],
)
def test_a_heading_is_a_metric_however_it_is_written(tmp_path, heading, metric):
    (table,), _ = claim_tables(written(tmp_path, f"m,{heading}\nNet,55.0\n"), SPLIT)
    assert list(table.rows[0].figures) == [metric]


def test_average_says_of_what_precision_recall_and_f1_are_means(tmp_path):
    """40/10/20/30: F1 is 8/11 and 2/3, their mean 69.7 %."""
    path = written(tmp_path, "m,acc,f1\nNet,70.0,69.7\n")
    exits = [
        run(path, "--test", "50,50", "--strict", *more).exit_code for more in ([], ["--average", "macro"])
    ]
    assert exits == [1, 0]
    assert "'macroo'" in refusal(path, "--test", "9,9", "--average", "macroo")
    assert "names its metrics" in refusal("soares2020", "--average", "macro")


def test_columns_in_percent_and_in_fractions_are_told_apart_by_their_headings(tmp_path):
    text = "m,Acc (%),AUC,MCC\nA,97.38,0.97,0.9\nB,1,1,1\n"
    (table,), _ = claim_tables(written(tmp_path, text), SPLIT)
    assert [row.fractions for row in table.rows] == [{"auc", "mcc"}] * 2
    assert table.rows[1].figures["accuracy"] == Figure(1, 100)


def test_a_coefficient_in_fractions_does_not_make_a_table_of_percentages_mixed(tmp_path):
    (table,), _ = claim_tables(written(tmp_path, "m,Acc,Kappa\nA,97.38,0.95\n"), SPLIT)
    assert table.rows[0].figures == {"accuracy": Figure(9738, 10_000), "kappa": Figure(95, 100)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "Method;Acc;F1\r\nA;97,38;95,0\r\nB;90,00;91,2\r\n".encode("utf-8-sig")),
        ("t.csv", "Method\tAcc\tF1\nA\t97.38\t95.0\nB\t90.00\t91.2\n".encode("utf-16")),
        ("t.csv", b'sep=;\nMethod;Acc;F1\nA;"97.38";95.0\n;;\nB;90.00;91.2;\n'.replace(b"91.2;", b"91.2")),
        ("t.csv", b"Method,Acc,F1,\nA,97.38,95.0,\n,,,\nB,90.00,91.2,\n"),
        ("t.csv", b",Test set,\nMethod,Acc,F1\nA,97.38,95.0\nB,90.00,91.2\n"),
        ("t.csv", b"Metric,A,B\nAcc,97.38,90.00\nF1,95.0,91.2\n"),
        (
            "t.md",
            b"| Method | Acc | F1 |\n|:--|--:|:-:|\n| **A** | **97.38** | 95.0 |\n| | | |\n| B | 90.00 | 91.2 |\n",
        ),
        ("t.md", b"Metric|A|B\n-|-|-\nAcc|97.38|90.00\nF1|95.0|91.2\n"),
        (
            "t.tex",
            rb"""\begin{table}\caption{Results \% of us}
\begin{tabular}{l|c@{ }c} % two metrics
\toprule
& \multicolumn{2}{c}{Test set} \\ \cmidrule(lr){2-3}
Method~\cite{x} & Acc (\%) & $F_1$-score \\ \midrule
\textbf{A} & $\mathbf{97.38}$ & 95.0\% \\[2pt]
\hline
B & 90.00 & 91.2 \\ \bottomrule
\end{tabular}\end{table}""",
        ),
    ],
)
def test_one_table_in_the_forms_that_people_have_it_in(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (table,), _ = claim_tables(str(tmp_path / name), SPLIT)
    assert [row.method for row in table.rows] == ["A", "B"]
    assert [row.figures for row in table.rows] == [
        {"accuracy": Figure(9738, 10_000), "f1": Figure(950, 1000)},
        {"accuracy": Figure(9000, 10_000), "f1": Figure(912, 1000)},
    ]


@pytest.mark.parametrize("name", ["t.xlsx", "t.pdf", "table"])
def test_a_file_of_another_kind_is_told_which_are_read(tmp_path, name):
    assert "save the table as one of them" in refusal(written(tmp_path, "x", name), "--size", "9")


def test_a_folder_and_utf_16_without_a_mark_are_refused(tmp_path):
    (tmp_path / "d.csv").mkdir()
    assert "is no file" in refusal(str(tmp_path / "d.csv"), "--size", "9")
    (tmp_path / "t.csv").write_bytes("m,acc\nA,90\n".encode("utf-16-le"))
    assert "save it as UTF-8" in refusal(str(tmp_path / "t.csv"), "--size", "9")
    assert "no LaTeX table" in refusal(written(tmp_path, "x", "t.tex"), "--size", "9")


def test_a_positive_class_that_a_shipped_table_does_not_know_is_refused_with_counts_too():
    for more in ([], ["--test", "98,105"], ["--size", "203"]):
        assert "'zzz' is none of ['COVID', 'non-COVID']" in refusal("zhao2020", "--positive", "zzz", *more)


def test_the_smallest_set_of_wrong_cells_is_named_over_a_range_without_a_test_part(tmp_path):
    """50 + 50: recall 98 and specificity 90 need accuracy 94."""
    done = run(written(tmp_path, "m,acc,rec,spec\nNet,99.00,98.00,90.00\n"), "--size", "100")
    said = " ".join(done.output.split())
    assert "no matrix fits; at least one cell must be wrong: accuracy (" in said
    assert "(50 positive + 50)" in said


def test_a_row_that_is_possible_only_as_averages_says_so(tmp_path):
    """40/10/20/30: the F1 of both classes are 8/11 and 2/3, their mean 69.7 %."""
    path = written(tmp_path, "m,acc,f1\nNet,70.0,69.7\n")
    said = " ".join(run(path, "--test", "50,50").output.split())
    assert (
        "F1 as macro averages over the classes: 2 matrices fit: 30/20/10/40 (50 positive + 50), 40/10/20/30"
        in said
    )
    assert "averages over the classes:" not in run(path, "--test", "50,50", "--average", "macro").output
    with_specificity = written(tmp_path, "m,acc,f1,spec\nNet,70.0,69.7,60.0\n")
    assert "averages over the classes:" not in run(with_specificity, "--test", "50,50").output


def test_an_accuracy_outside_recall_and_specificity_contradicts_the_row(tmp_path):
    path = written(tmp_path, "m,acc,rec,spec\nA,97.0,90.0,95.0\nB,93.0,90.0,95.0\nC,88.0,90.0,95.0\n")
    output = run(path, "--size", "200").output
    assert "97.0 is not between recall 90.0 and specificity 95.0" in output
    assert output.count("accuracy contradicts the row itself") == 2


def test_zeros_at_the_end_are_digits(tmp_path):
    """93 is 92.5 to 93.5 %, 93.00 is 92.995 to 93.005 %."""
    count = {}
    for text in ("93", "93.0", "93.00"):
        (table,), _ = claim_tables(written(tmp_path, f"m,recall\nNet,{text}\n"), SPLIT)
        count[text] = table.rows[0].figures["recall"].scale
    assert count == {"93": 100, "93.0": 1000, "93.00": 10_000}
    (table,), _ = claim_tables(written(tmp_path, "m,recall\nNet,93\n"), Settings(test=(9, 9), decimals=2))
    assert table.rows[0].figures["recall"].scale == 10_000


def test_cells_that_say_nothing_are_not_reported(tmp_path):
    (table,), _ = claim_tables(written(tmp_path, "m,acc,f1,spec\nNet,-,,90\n"), SPLIT)
    assert list(table.rows[0].figures) == ["specificity"]
    done = run(written(tmp_path, "m,acc,auc\nNet,-,90\n"), "--test", "9,9", "--strict")
    assert done.exit_code == 0
    assert "Net: not decided" in done.output


def test_zero_is_neither_percent_nor_fraction(tmp_path):
    (table,), _ = claim_tables(written(tmp_path, "m,acc,f1\nNet,0,0.5\n"), SPLIT)
    assert table.rows[0].fractions == {"accuracy", "f1"}


def test_auc_is_held_to_the_matrix_only_when_it_is_of_hard_labels(tmp_path):
    path = written(tmp_path, XDNN_CSV.replace("97.36", "99.99"))
    assert (
        "Not held to the matrix: AUC (of scores" in run(path, "--test", "246,250", "--auc", "scores").output
    )
    assert "is not known" in run(path, "--test", "246,250").output
    done = run(path, "--test", "246,250", "--auc", "hard-labels", "--strict")
    assert done.exit_code == 1
    assert (
        "at least one cell must be wrong: AUC (235/11/2/248 fits the rest and gives AUC 97.36)"
        in " ".join(done.output.split())
    )


def test_the_range_is_printed_whatever_it_came_from(tmp_path):
    path = written(tmp_path, XDNN_CSV)
    assert f"up to {AROUND} images more or fewer than 496" in " ".join(
        run(path, "--test", "246,250").output.split()
    )
    done = run(path, "--size", "490-500", "--auc", "hard-labels")
    assert "all test parts of 490 to 500 images" in done.output
    assert "one matrix fits: 235/11/2/248 (246 positive + 250)" in done.output


def test_a_truncated_table_fits_only_as_truncated(tmp_path):
    """17 of 18 is 94.44 %, 5 of 18 is 27.77 % cut off and 27.78 % rounded."""
    path = written(tmp_path, "m,recall,specificity\nNet,94.44,27.77\n")
    exits = {
        how: run(path, "--test", "18,18", "--rounding", how, "--strict").exit_code
        for how in ("nearest", "truncate", "either")
    }
    assert exits == {"nearest": 1, "truncate": 0, "either": 0}


def test_a_search_that_is_too_large_is_said_to_be_not_done(tmp_path):
    start = time.perf_counter()
    done = run(written(tmp_path, "m,acc\n" + "Net,90.0\n" * MOST_ROWS), "--test", "50000,49000")
    assert done.exit_code == 0
    assert done.output.count("not searched") == MOST_ROWS
    assert time.perf_counter() - start < 60


def test_a_file_may_hold_several_tables(tmp_path):
    table = "| m | f1 |\n|---|---|\n| Net | 90.0 |\n"
    done = run(written(tmp_path, f"{table}\n\n{table}", "t.md"), "--test", "50,50")
    assert "# t.md, table 1" in done.output
    assert "# t.md, table 2" in done.output


def test_a_latex_table_without_rows_is_left_out(tmp_path):
    table = r"\begin{tabular}{lc} M & F1 \\ Net & 90.0 \\ \end{tabular}"
    (only,), _ = claim_tables(written(tmp_path, table + r"\begin{tabular}{l}\end{tabular}", "t.tex"), SPLIT)
    assert [claim.method for claim in only.rows] == ["Net"]


def test_a_comment_right_after_the_end_of_a_latex_row_is_none_of_the_next(tmp_path):
    text = "\\begin{tabular}{lc}\nM & F1 \\\\% of the test part\nNet & 97.3\\% \\\\\n\\end{tabular}\n"
    (table,), _ = claim_tables(written(tmp_path, text, "t.tex"), SPLIT)
    assert [(claim.method, claim.printed) for claim in table.rows] == [("Net", {"f1": "97.3%"})]


def test_a_latex_table_is_refused_with_the_number_of_its_line(tmp_path):
    good = "\\begin{tabular}{lc}\nM & F1 \\\\\nA & 90.0 \\\\\n\\end{tabular}\n\n"
    path = written(tmp_path, good + good.replace("90.0", "x"), "t.tex")
    assert "t.tex, table 2', line 8 ('A'): f1 is 'x'" in refusal(path, "--size", "9")


LATEX = r"\begin{tabular}{l} M & X\end{tabular}"
MARKDOWN = "| m | f1 |\n|---|---|\n| Net | 90.0 |\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "t.md",
            f"| m | {'(' * 100_000} |\n|---|---|\n| Net | 90 |\n",
            "line 1: a cell of 100000 characters",
        ),
        ("t.md", MARKDOWN.replace("90.0", "^" * 100_000 + " x"), "line 3: a cell of 100002 characters"),
        ("t.md", MARKDOWN.replace("90.0", "<sup>" * 20_000), "line 3: a cell of 100000 characters"),
        ("t.tex", r"\begin{tabular}" * 50_000, "no LaTeX table"),
        ("t.tex", LATEX.replace("X", r"\hline[" * 50_000), "a cell of 50000"),
        ("t.tex", LATEX.replace("X", r"\cite[" * 50_000), "a cell of 50000"),
        ("t.tex", LATEX.replace("X", r"\\[" * 50_000), "at most 100 are verified"),
        ("t.tex", LATEX.replace("X", r"\multirow{" * 50_000), "headings without a row"),
        ("t.md", f"{MARKDOWN}\n" * 101, "has 101 tables; at most 100"),
        ("t.tsv", "m\tf1\n" + "\t" * 20_000 + "x\n", "line 2: 20001 cells; expected at most 10000"),
    ],
)
def test_a_hostile_table_is_refused_at_once(tmp_path, name, text, said):
    start = time.perf_counter()
    assert said in refusal(written(tmp_path, text, name), "--size", "9")
    assert time.perf_counter() - start < 5


def test_an_escaped_pipe_in_a_markdown_table_belongs_to_the_name(tmp_path):
    text = "| Method | F1 |\n|---|---|\n| a \\| b | 97.31 |\n"
    (table,), _ = claim_tables(written(tmp_path, text, "t.md"), SPLIT)
    assert [claim.method for claim in table.rows] == ["a | b"]


def test_names_of_any_script_and_markdown_in_names_are_kept_harmless(tmp_path):
    done = run(written(tmp_path, "方法,f1\n残差|网络 *x*,90.0\n"), "--test", "50,50")
    assert "残差\\|网络 \\*x\\*" in done.output


def test_soares_is_verified_row_by_row(tmp_path):
    done = run("soares2020", "--runs", str(tmp_path))
    text = " ".join(done.output.split())
    assert done.exit_code == 0
    assert "all test parts of 480 to 510 images" in text
    for sentence in (
        "one matrix fits: 235/11/2/248.",
        "one matrix fits: 239/7/18/232.",
        "at least one cell must be wrong: AUC (230/16/25/225 fits the rest and gives AUC 91.75)",
        "at least one cell must be wrong: AUC (227/19/12/238 fits the rest and gives AUC 93.74)",
        "recall and AUC (236/10/15/235 fits the rest and gives recall 95.93, AUC 94.97)",
        "precision 94.02 and recall 95.43 give 94.72, not 94.97",
        "at least 2 of them are wrong. The most, 2, fit 243 positive + 253 (Decision Tree, AdaBoost)",
        "training, s, prediction, s an image): no record of 'sars-cov-2-ct' under 'official'",
    ):
        assert sentence in text
    assert "What this cannot tell" in text
    assert run("soares2020", "--runs", str(tmp_path), "--strict").exit_code == 1


def test_the_test_log_of_zhao_fits_97_and_not_98_covid_images(tmp_path):
    text = " ".join(run("zhao2020-test-log", "--runs", str(tmp_path)).output.split())
    assert "105 non-COVID (positive) + 97: one matrix fits: 91/14/17/80." in text
    assert (
        "105 non-COVID (positive) + 98: no matrix fits; at least one cell must be wrong: accuracy "
        "(91/14/17/81 fits the rest and gives accuracy 84.73)" in text
    )
    assert run("zhao2020", "--runs", str(tmp_path)).output.count("\n# ") == 3


def test_a_users_toml_table_is_judged_by_the_records(tmp_path):
    on_disk(record_of([[248, 2], [11, 235]], model__label="xdnn"), tmp_path / "runs")
    path = written(
        tmp_path, TOML + "[table.tolerance]\nreproduced = 0.5\nreason = 'an example'\n", "mine.toml"
    )
    found = tmp_path / "found.json"
    done = run(path, "--runs", str(tmp_path), "--json", str(found))
    assert re.search(r"\| xDNN, ours xdnn, quick +\|.*\n\| - accuracy +\| +97.38 \|", done.output)
    document = json.loads(found.read_text("utf-8"))
    assert document["$schema"] == "urn:ct-harness:schema:verdicts:1"
    table = document["tables"][0]
    assert [cell["verdict"] for cell in table["verdicts"][0]["cells"]] == ["REPRODUCED", "REPRODUCED"]
    assert table["rows"][0]["splits"][0]["fits"]["matrices"][0] == {"tp": 235, "fn": 11, "fp": 2, "tn": 248}


def test_a_positive_class_on_the_command_line_replaces_that_of_the_table(tmp_path):
    path = written(tmp_path, TOML, "mine.toml")
    assert "COVID counted as positive" in run(path, "--positive", "COVID", "--runs", str(tmp_path)).output
    done = run(path, "--positive", "COVID", "--test", "250,246", "--runs", str(tmp_path))
    assert "And the counts given: 250 COVID + 246 non-COVID" in done.output
    assert "is none of" in refusal(path, "--positive", "covid", "--runs", str(tmp_path))


def test_json_that_cannot_be_written_is_one_line(tmp_path):
    path = written(tmp_path, XDNN_CSV)
    (tmp_path / "file").write_text("in the way", "utf-8")
    assert "cannot write" in refusal(path, "--test", "246,250", "--json", str(tmp_path / "file" / "x.json"))


def test_the_documentation_shows_what_the_command_prints(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "verify.md").read_text("utf-8")
    shown = [part.partition("\n```")[0] for part in page.split("```markdown\n")[1:]]
    printed = "".join(run(key, "--runs", str(tmp_path)).output for key in ("soares2020", "zhao2020"))
    assert len(shown) == 5
    assert [block for block in shown if block not in printed] == []
