"""`harness gate` as a pipeline meets it: what passes, what fails, what it refuses; planted changes of stored runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from planted import STORED, copied, flip
from record_factory import failed_record, on_disk, record_of
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import HarnessError
from harness.gate import NothingToCompare, assert_no_worse, gate
from harness.publishing import publish

SLICES, PATIENTS = "sars-cov-2-ct/official.json", "covid-ct/official.json"
GOOD, FAIR = [[92, 8], [8, 92]], [[75, 25], [25, 75]]
LATER = "2024-02-01T00:00:00.000+00:00"


@pytest.fixture(autouse=True)
def _no_github(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def run(*arguments: object):
    return CliRunner().invoke(app, ["gate", *map(str, arguments)])


def refusal(*arguments: object, code: int = 2) -> str:
    """The one line of a refused command; nothing else may have been printed."""
    done = run(*arguments)
    assert isinstance(done.exception, HarnessError), done.output
    assert done.exception.exit_code == code
    assert done.output == ""
    message = str(done.exception)
    assert "\n" not in message
    return message


def made(folder: Path, *records) -> Path:
    """A folder as `harness run` leaves it, boards included; returns the board of dataset 'made'."""
    for record in records:
        on_disk(record, folder / "runs")
    publish(folder)
    return folder / "made" / "official.json"


def both(tmp_path: Path, base: list, new: list) -> tuple[Path, Path]:
    for record in new:
        on_disk(record, tmp_path / "new" / "runs")
    return tmp_path / "new", made(tmp_path / "base", *base)


def stored_rows(board: str, recipe: str) -> list[dict]:
    rows = json.loads((STORED / board).read_text("utf-8"))["rows"]
    return [row for row in rows if row["recipe"] == recipe and row["cells"]]


def verdicts(found) -> dict[str, str]:
    return {finding.method: finding.verdict for finding in found.findings}


@pytest.fixture
def edited(tmp_path):
    """A sound pair of sides, with a function that edits the base's JSON, or gives its text."""
    two = [record_of(GOOD), record_of(FAIR, model__label="net")]
    new, base = both(tmp_path, two, [*two[1:], record_of(GOOD, finished=LATER)])

    def edit(change):
        document = json.loads(base.read_text("utf-8"))
        text = change(document)
        base.write_text(json.dumps(document) if text is None else text, "utf-8")
        return new, "--base", base

    return edit


# what is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no whole JSON"),
        ('{"schema_version": 2, "rows": [', "is no whole JSON"),
        ('{"schema_version": 2, "x": NaN}', "it holds NaN, which is no number"),
        ('{"schema_version": 2, "x": -Infinity}', "it holds -Infinity"),
        ('{"schema_version": 2, "schema_version": 2}', "'schema_version' is there twice"),
        ("[" * 100_000, "is no whole JSON"),
        ("[]", "is no board"),
        ("7", "is no board"),
        ('{"schema_version": "2"}', "is no board"),
        ('{"schema_version": true}', "is no board"),
        ('{"schema_version": 1}', "is no board"),
        ('{"schema_version": 1, "rows": []}', "schema_version 1, this harness reads 2 to"),
        ('{"schema_version": 99, "rows": []}', "schema_version 99, this harness reads 2 to"),
        ('{"schema_version": 2, "rows": []}', "dataset: is not there"),
    ],
)
def test_a_base_that_is_no_board_is_refused(text, said, edited):
    message = refusal(*edited(lambda _: text))
    assert said in message
    assert "official.json" in message


def first_cell(document):
    return document["rows"][0]["cells"][0]


def row_and_cell(document, metric, **changes):
    """The same in the first row and in its cell."""
    first_cell(document)["metrics"][metric].update(changes)
    document["rows"][0]["metrics"][metric].update(changes)


def second_key(document):
    return document["rows"].pop(1)["cells"][0]["key"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: first_cell(d).update(key="../../etc"), "rows.0.cells.0.key: expected text of the form"),
        (lambda d: first_cell(d).update(key="a" * 31 + "/"), "rows.0.cells.0.key"),
        (lambda d: first_cell(d).update(seed=-1), "rows.0.cells.0.seed"),
        (lambda d: first_cell(d).update(seed=0.5), "rows.0.cells.0.seed"),
        (lambda d: first_cell(d).update(confusion=[[1, "2"]]), "rows.0.cells.0.confusion"),
        (lambda d: d["rows"][0].update(metrics=None), "has cells, but not every metric"),
        (lambda d: d["rows"][0].update(metrics={}), "has cells, but not every metric"),
        (lambda d: d["rows"][0]["metrics"]["f1"].update(value=92.0), "rows.0.metrics.f1.value"),
        (lambda d: d["rows"].append(d["rows"][0]), "the row ('quick', 'svm') is there twice"),
        (lambda d: d["rows"][0]["cells"].append(first_cell(d)), "is there twice"),
        (lambda d: d["dataset"].update(positive="flu"), "positive class 'flu' is none of"),
        (lambda d: d["dataset"].update(content="0" * 64), "other images or labels (content) of 'made'"),
        (lambda d: d["dataset"].update(classes=["a", "b"], positive="a"), "other classes"),
        (lambda d: d["dataset"].update(positive="non-COVID"), "other positive class"),
        (lambda d: first_cell(d).update(confusion=[[100, 0], [0, 100]]), "another confusion matrix than"),
        (lambda d: row_and_cell(d, "brier", value=0.2, interval=None), "another brier than the board says"),
        (lambda d: d["rows"][0]["metrics"]["f1"].update(value=0.2), "has f1 0.2, its cells give"),
        (
            lambda d: row_and_cell(d, "f1", interval={"low": 0.9, "high": 0.1, "method": "x"}),
            "in its own interval",
        ),
        (lambda d: first_cell(d)["metrics"]["auc"].update(value=None), "another auc than the board says"),
        (lambda d: first_cell(d).update(key=second_key(d)), "but the board says"),
    ],
)
def test_a_base_that_contradicts_itself_or_its_records_is_refused(change, said, edited):
    assert said in refusal(*edited(change))


def test_a_base_that_is_a_folder_or_is_not_there_is_refused(tmp_path):
    new, base = both(tmp_path, [record_of(GOOD)], [record_of(GOOD)])
    assert "is a folder; name one of its boards" in refusal(new, "--base", tmp_path / "base")
    assert str(base) in refusal(new, "--base", tmp_path / "base")
    assert "there is no such file" in refusal(new, "--base", tmp_path / "absent.json")
    assert "no UTF-8 text" in refusal(new, "--base", next((tmp_path / "base").glob("runs/*/*.parquet")))


@pytest.mark.parametrize("margin", ["-1", "nan", "inf", "100"])
def test_a_margin_that_is_none_is_refused(margin, edited):
    assert "expected points from 0 to below 100" in refusal(*edited(lambda _: None), "--margin", margin)


def test_names_that_neither_side_has_are_refused_with_the_close_one(edited):
    arguments = edited(lambda _: None)
    assert "unknown metric 'acuracy'; you probably meant 'accuracy'" in refusal(
        *arguments, "--metric", "acuracy"
    )
    assert "unknown model 'smv'; you probably meant 'svm'" in refusal(*arguments, "-m", "smv")
    assert "unknown recipe 'quik'; you probably meant 'quick'" in refusal(*arguments, "--recipe", "quik")
    assert "there is no folder 'absent'" in refusal(*arguments, "--base-runs", "absent")


def test_a_new_run_without_runs_is_refused(tmp_path):
    _, base = both(tmp_path, [record_of(GOOD)], [record_of(GOOD)])
    assert "there are no runs in" in refusal(tmp_path, "--base", base)


@pytest.mark.parametrize("side", ["new", "base"])
def test_predictions_that_were_changed_since_are_refused(side, tmp_path):
    new, base = both(tmp_path, [record_of(GOOD)], [record_of(GOOD)])
    (path,) = (tmp_path / side / "runs").glob("*/predictions.parquet")
    path.write_bytes(path.read_bytes() + b"x")
    json_file = tmp_path / "gate.json"
    assert "was changed after it was written" in refusal(new, "--base", base, "--json", json_file)
    assert not json_file.exists()


def test_base_predictions_that_were_changed_with_their_digest_are_refused(tmp_path):
    record = record_of(GOOD)
    new, base = both(tmp_path, [record], [record])
    flip(tmp_path / "base", record.key, right_to_wrong=3)
    assert "give another confusion matrix than the board says" in refusal(new, "--base", base)


def test_a_damaged_manifest_is_refused(tmp_path):
    new, base = both(tmp_path, [record_of(GOOD)], [record_of(GOOD)])
    (path,) = (new / "runs").glob("*/manifest.json")
    path.write_text(path.read_text("utf-8")[:50], "utf-8")
    assert "manifest.json is damaged" in refusal(new, "--base", base)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (record_of(GOOD, dataset__content="d" * 64), "other images or labels (content) of 'made'"),
        (record_of(GOOD, dataset__positive="non-COVID"), "other positive class of 'made'"),
        (record_of([[90, 8], [8, 92]]), "other test images than in the base"),
        (record_of([[92, 7], [9, 92]]), "has another label than in the base"),
        (record_of(GOOD, recipe="paper"), "rows of different recipes are not compared"),
    ],
)
def test_what_does_not_belong_together_is_refused(new, said, tmp_path):
    folder, base = both(tmp_path, [record_of(GOOD)], [new])
    assert said in refusal(folder, "--base", base)


@pytest.mark.parametrize(
    "new", [record_of(GOOD, protocol__name="random"), record_of(GOOD, dataset__name="other")]
)
def test_another_protocol_or_dataset_is_nothing_to_compare(new, tmp_path):
    base = made(tmp_path / "base", record_of(GOOD))
    on_disk(new, tmp_path / "new" / "runs")
    assert "no record of the base's 'made', 'official'" in refusal(tmp_path / "new", "--base", base, code=5)


def test_a_gate_that_compared_nothing_does_not_pass(tmp_path):
    new, base = both(tmp_path, [record_of(GOOD)], [record_of(GOOD, model__label="other")])
    message = refusal(new, "--base", base, "--allow-missing", code=5)
    assert "nothing was compared" in message
    assert "svm: missing in the new run (no record of it)" in message
    with pytest.raises(NothingToCompare):
        assert_no_worse(new, base, allow_missing=True)


def test_without_the_bases_predictions_nothing_is_compared_unless_it_is_asked_for(tmp_path):
    new, base = both(tmp_path, [record_of(GOOD)], [record_of(FAIR, finished=LATER)])
    shutil.rmtree(tmp_path / "base" / "runs")
    message = refusal(new, "--base", base)
    assert "the base's predictions of 'svm'" in message
    assert "--base-runs" in message
    found = gate(new, base, unpaired=True)
    assert verdicts(found) == {"svm": "worse"}
    assert not found.findings[0].loss.paired
    assert "only larger losses are found" in found.cautions[0]


def test_a_file_that_cannot_be_written_is_one_line(edited, tmp_path):
    arguments = edited(lambda _: None)
    for option in ("--json", "--summary"):
        message = str(run(*arguments, option, tmp_path / "base").exception)
        assert f"name another file with {option}" in message


def test_an_error_of_our_own_keeps_its_traceback_and_is_no_worse_model(edited, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("harness.gate.comparing.draws_of", broken)
    done = run(*edited(lambda _: None))
    assert done.exit_code == 3
    assert "ZeroDivisionError: ours" in done.stderr


# what fails, and what passes


def test_a_model_that_fails_now_fails_the_gate_with_its_reason(tmp_path):
    new, base = both(tmp_path, [record_of(GOOD)], [failed_record(finished=LATER)])
    done = run(new, "--base", base)
    assert done.exit_code == 1
    assert "- svm: failed now, but not in the base: seed 0: ValueError: no luck" in done.output
    assert "FAILED: made, official: 1 failed" in done.output


def test_a_seed_that_fails_now_fails_the_gate(tmp_path):
    seeds = [record_of(GOOD, seed=seed) for seed in (0, 1)]
    new, base = both(tmp_path, seeds, [seeds[0], failed_record(seed=1, finished=LATER)])
    assert verdicts(gate(new, base)) == {"svm": "failed"}


def test_a_model_that_failed_before_too_does_not(tmp_path):
    sides = [record_of(GOOD), failed_record(model__label="net")]
    new, base = both(tmp_path, sides, sides)
    found = gate(new, base)
    assert verdicts(found) == {"svm": "unchanged", "net": "still failing"}
    assert found.passed


def test_a_missing_model_fails_unless_it_is_allowed(tmp_path):
    two = [record_of(GOOD), record_of(FAIR, model__label="net")]
    new, base = both(tmp_path, two, two[:1])
    assert run(new, "--base", base).exit_code == 1
    allowed = run(new, "--base", base, "--allow-missing")
    assert allowed.exit_code == 0
    assert "net: missing in the new run (no record of it), which is allowed" in allowed.output
    assert run(new, "--base", base, "-m", "svm").exit_code == 0


def test_a_model_is_named_with_or_without_what_is_in_brackets(tmp_path):
    two = [record_of(GOOD, model__variant="untuned"), record_of(FAIR, model__label="net")]
    new, base = both(tmp_path, two, two)
    for name in ("svm", "svm (untuned)"):
        assert verdicts(gate(new, base, models=[name])) == {"svm (untuned)": "unchanged"}


def test_a_model_is_named_by_the_letter_that_the_bases_tables_give_it(tmp_path):
    settings = ["images_seen=30000, looks=15, size_px=160", "images_seen=60000, looks=15, size_px=160"]
    two = [record_of(GOOD, model__label="net", model__variant=setting) for setting in settings]
    new, base = both(tmp_path, two, two)
    assert verdicts(gate(new, base, models=["net (b)"])) == {f"net ({settings[1]})": "unchanged"}
    assert "unknown model 'net (c)'" in refusal(new, "--base", base, "-m", "net (c)")


def test_a_model_with_none_of_the_bases_seeds_is_missing(tmp_path):
    new, base = both(tmp_path, [record_of(GOOD)], [record_of(GOOD, seed=7)])
    (finding,) = gate(new, base).findings
    assert (finding.verdict, finding.reason) == ("missing", "none of the base's seeds and folds")


def test_a_new_model_is_told_and_asks_nothing(tmp_path):
    new, base = both(
        tmp_path,
        [record_of(GOOD)],
        [record_of(GOOD), record_of(FAIR, model__label="net"), failed_record(model__label="bad")],
    )
    done = run(new, "--base", base)
    assert done.exit_code == 0
    assert "- net: new, F1 75.0, not in the base" in done.output
    assert "- bad: new; seed 0: ValueError: no luck" in done.output


def test_a_model_that_is_mended_is_new(tmp_path):
    new, base = both(
        tmp_path,
        [record_of(GOOD), failed_record(model__label="net")],
        [record_of(GOOD), record_of(FAIR, model__label="net")],
    )
    found = {finding.method: finding for finding in gate(new, base).findings}
    assert (found["net"].verdict, found["net"].reason) == ("new", "it failed in the base and works now")


def test_seeds_are_compared_by_their_mean_on_those_that_both_have(tmp_path):
    base = [record_of(GOOD, seed=seed) for seed in (0, 1, 2)]
    new = [record_of(FAIR, seed=seed, finished=LATER) for seed in (0, 1)]
    folder, board = both(tmp_path, base, new)
    (finding,) = gate(folder, board).findings
    assert finding.verdict == "worse"
    assert finding.loss.method == "paired bootstrap over images"
    assert finding.notes == ("on 2 of the base's 3 seeds and folds",)


def test_folds_have_the_corrected_t_test(tmp_path):
    def folds(confusions, **changes):
        return [
            record_of(c, protocol__fold=k, protocol__folds=3, protocol__name="group-kfold", **changes)
            for k, c in enumerate(confusions)
        ]

    base = folds([[[92, 8], [8, 92]], [[91, 8], [8, 92]], [[90, 8], [8, 92]]])
    new = folds([[[52, 48], [8, 92]], [[50, 49], [8, 92]], [[49, 49], [8, 92]]], finished=LATER)
    new_folder, board = both(tmp_path, base, new)
    (finding,) = gate(new_folder, board.with_name("group-kfold.json")).findings
    assert finding.loss.method == "corrected resampled t-test over 3 test parts"
    assert finding.verdict == "worse"


def test_the_same_key_with_other_predictions_is_compared(tmp_path):
    record = record_of(GOOD)
    new, base = both(tmp_path, [record], [record])
    flip(new, record.key, right_to_wrong=40)
    assert verdicts(gate(new, base)) == {"svm": "worse"}


def test_patients_known_on_one_side_are_used_for_both(tmp_path):
    groups = [f"patient {row // 5}" for row in range(200)]
    new, base = both(tmp_path, [record_of(GOOD, groups)], [record_of(FAIR, finished=LATER)])
    (finding,) = gate(new, base).findings
    assert finding.loss.method == "paired bootstrap over groups"


# planted changes of the stored boards


@pytest.mark.parametrize("board", [SLICES, PATIENTS])
def test_a_stored_board_is_no_worse_than_itself(board):
    done = run(STORED, "--base", STORED / board)
    assert done.exit_code == 0
    assert "every prediction is the same" in done.output
    assert "Every model's predictions are the base's bit for bit" in done.output
    assert "The base lies in the new run's own folder." in done.output


def planted(tmp_path, board, right_to_wrong, wrong_to_right, models=3):
    """The first models of a stored board run anew; the first of them lost and won this many decisions."""
    rows = stored_rows(board, "quick")[:models]
    keys = [cell["key"] for row in rows for cell in row["cells"]]
    new = copied(board, tmp_path / "new", keys)
    flip(new, keys[0], right_to_wrong, wrong_to_right)
    return new, [row["method"] for row in rows]


@pytest.mark.parametrize(("board", "wrong"), [(SLICES, 30), (PATIENTS, 35)])
@pytest.mark.parametrize("metric", ["f1", "accuracy"])
def test_a_planted_loss_is_found_and_nobody_else_is_blamed(board, wrong, metric, tmp_path):
    new, methods = planted(tmp_path, board, wrong, 0)
    found = gate(new, STORED / board, models=methods, metrics=[metric], recipe="quick")
    assert verdicts(found) == {methods[0]: "worse", methods[1]: "unchanged", methods[2]: "unchanged"}
    done = run(new, "--base", STORED / board, "--allow-missing", "--metric", metric)
    assert done.exit_code == 1
    assert re.search(
        r"points worse \[.*\]: worse beyond chance and beyond the margin of 1.0, p = ", done.output
    )


def test_a_larger_margin_lets_the_same_loss_pass(tmp_path):
    new, methods = planted(tmp_path, SLICES, 30, 0)
    found = gate(new, STORED / SLICES, models=methods, recipe="quick", margin=5.5)
    assert verdicts(found)[methods[0]] == "perhaps worse"
    assert found.passed
    found = gate(new, STORED / SLICES, models=methods, recipe="quick", margin=12)
    assert verdicts(found)[methods[0]] == "no worse"


def test_a_model_that_is_worse_by_chance_only_passes_with_a_warning(tmp_path):
    new, methods = planted(tmp_path, SLICES, 7, 2)
    found = gate(new, STORED / SLICES, models=methods, recipe="quick", metrics=["accuracy"])
    assert verdicts(found)[methods[0]] == "cannot tell"
    assert found.findings[0].loss.value > 0.01  # beyond the margin, but not beyond chance
    assert found.passed


def test_a_model_that_became_better_is_said_so(tmp_path):
    rows = stored_rows(SLICES, "quick")
    worst = rows[-1]["cells"][0]["key"]
    new = copied(SLICES, tmp_path / "new", [worst])
    flip(new, worst, 0, 60)
    found = gate(new, STORED / SLICES, models=[rows[-1]["method"]], recipe="quick")
    assert verdicts(found) == {rows[-1]["method"]: "better"}


# what is written


@pytest.fixture
def worse(tmp_path):
    names = ("svm", "a|b <b>::error::x</b>\x1b[31m\n::error::injected 100%")
    base = [record_of(GOOD, model__label=name) for name in names]
    new = [record_of(FAIR, model__label=name, finished=LATER) for name in names]
    return both(tmp_path, base, new)


def test_json_holds_everything_and_no_nan(worse, tmp_path):
    new, base = worse
    path = tmp_path / "gate.json"
    assert run(new, "--base", base, "--json", path, "--metric", "f1,auc").exit_code == 1
    document = json.loads(path.read_text("utf-8"))
    assert (document["schema_version"], document["passed"], document["tests"]) == (1, False, 4)
    first = document["findings"][0]
    assert first["fails"]
    assert first["loss"] == pytest.approx(first["before"] - first["now"])
    assert first["interval"][0] < first["loss"] < first["interval"][1]
    assert first["p_beyond_margin"] <= first["p_beyond_margin_holm"] <= 0.05


def test_the_summary_is_appended_and_names_are_kept_harmless(worse, tmp_path, monkeypatch):
    new, base = worse
    page = tmp_path / "summary.md"
    page.write_text("before\n", "utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    run(new, "--base", base)
    text = page.read_text("utf-8")
    assert text.startswith("before\n### harness gate FAILED: made, official: 2 worse")
    assert "\x1b" not in text
    assert "<b>" not in text.replace("\\<b\\>", "")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {9}


def test_without_github_nothing_is_written_and_nothing_annotated(worse, tmp_path):
    new, base = worse
    before = set(tmp_path.rglob("*"))
    done = run(new, "--base", base)
    assert set(tmp_path.rglob("*")) == before
    assert not any(line.startswith("::") for line in done.output.splitlines())


def test_annotations_are_one_line_each_and_cannot_be_forged(worse, monkeypatch):
    new, base = worse
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = run(new, "--base", base)
    commands = [line for line in done.output.splitlines() if line.startswith("::")]
    assert len(commands) == 2
    assert all(command.startswith("::error title=harness gate::") for command in commands)
    assert "100%25" in done.output
    assert "\x1b" not in done.output


def test_what_cannot_be_told_is_one_warning_in_all(tmp_path, monkeypatch):
    names = ("a", "b", "c")
    near = [[91, 9], [9, 91]]
    new, base = both(
        tmp_path,
        [record_of(GOOD, model__label=name) for name in names],
        [record_of(near, model__label=name, finished=LATER) for name in names],
    )
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = run(new, "--base", base)
    assert done.exit_code == 0
    commands = [line for line in done.output.splitlines() if line.startswith("::")]
    assert commands == [
        "::warning title=harness gate::cannot tell whether these are worse by more than the margin of 1.0: a, b, c"
    ]


def test_many_failures_are_ten_annotations(tmp_path, monkeypatch):
    names = [f"net-{number}" for number in range(12)]
    new, base = both(
        tmp_path,
        [record_of(GOOD, model__label="svm"), *(record_of(GOOD, model__label=name) for name in names)],
        [record_of(GOOD, model__label="svm")],
    )
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = run(new, "--base", base)
    commands = [line for line in done.output.splitlines() if line.startswith("::error")]
    assert len(commands) == 10
    assert commands[-1].endswith("and 3 more, see the log")


def test_without_a_margin_the_words_speak_of_chance_alone(worse):
    new, base = worse
    done = run(new, "--base", base, "--margin", "0")
    assert done.exit_code == 1
    assert "worse beyond chance, p = " in done.output
    assert "margin of" not in done.output


# in a test


def test_a_test_fails_with_every_worse_model_in_words(worse):
    new, base = worse
    with pytest.raises(AssertionError, match="svm: F1 92.0 -> 75.0, 17.0 points worse") as error:
        assert_no_worse(new, base)
    assert len(str(error.value).splitlines()) == 3
    assert assert_no_worse(new, base, margin=40).passed


def test_the_gate_of_equal_runs_is_the_same_whatever_the_order_of_images(tmp_path):
    new, methods = planted(tmp_path, SLICES, 12, 3)
    first = gate(new, STORED / SLICES, models=methods, recipe="quick")
    assert first == gate(new, STORED / SLICES, models=methods, recipe="quick")
    assert np.isfinite(first.findings[0].p)
