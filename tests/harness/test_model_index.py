"""Boards as Hugging Face model-index: read back by its own library, and written into model cards."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from record_factory import failed_record, on_disk, record_of
from typer.testing import CliRunner

from harness.boards import build_boards
from harness.cli import app
from harness.errors import DataError, UnknownName, UsageError
from harness.model_cards import ranked_rows, update_card
from harness.model_index import front_matter, model_index, texts

GOOD, BETTER, COIN = [[18, 2], [2, 18]], [[19, 1], [1, 19]], [[10, 10], [10, 10]]
NAME = "made/official.model-index.yml"


def rows_of(*records):
    (board,) = build_boards(records, {})
    return [(board, row) for row in board.rows if row.rank is not None]


def test_a_board_without_a_ranked_row_has_no_model_index():
    (board,) = build_boards([record_of(COIN), failed_record(model__label="f")], {})
    assert texts(board) == {}


def test_a_method_that_is_ranked_nowhere_is_refused():
    with pytest.raises(UsageError, match=r"'coin' is ranked on no board \(made official: under-trained\)"):
        ranked_rows([record_of(COIN, model__label="coin")], "coin")


def test_an_unknown_method_is_refused_with_close_names():
    with pytest.raises(UnknownName, match="you probably meant 'resnet'"):
        ranked_rows([record_of(GOOD, model__label="resnet")], "resnt")


def test_a_name_that_several_methods_bear_is_refused():
    records = [record_of(GOOD, model__variant="one"), record_of(GOOD, model__variant="two")]
    with pytest.raises(UsageError, match=r"name one of 'svm \(one\)', 'svm \(two\)'"):
        ranked_rows(records, "svm")
    assert [row.method for _, row in ranked_rows(records, "svm (two)")] == ["svm (two)"]


def test_a_method_is_found_by_the_letter_that_tables_give_it():
    settings = ["images_seen=30000, looks=15, size_px=160", "images_seen=60000, looks=15, size_px=160"]
    records = [record_of(GOOD, model__label="net", model__variant=setting) for setting in settings]
    assert [row.method for _, row in ranked_rows(records, "net (b)")] == [f"net ({settings[1]})"]
    other = record_of(GOOD, model__label="net", model__variant=settings[0] * 2, dataset__name="other")
    with pytest.raises(UsageError, match="several methods are 'net \\(a\\)'"):
        ranked_rows([*records, other], "net (a)")


def test_a_card_whose_metadata_is_damaged_is_left_alone(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: [mit\n---\n# Mine\n")
    with pytest.raises(DataError, match="its metadata cannot be read"):
        update_card(card, "svm", rows_of(record_of(GOOD)), None)
    assert card.read_text() == "---\nlicense: [mit\n---\n# Mine\n"
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_an_address_that_is_none_is_refused(tmp_path):
    on_disk(record_of(GOOD), tmp_path / "runs")
    done = CliRunner().invoke(app, ["export", "svm", "--runs", str(tmp_path), "--source-url", "boards"])
    assert isinstance(done.exception, UsageError)


def test_hugging_faces_library_reads_back_what_was_written():
    (board,) = build_boards([record_of(GOOD), record_of(BETTER, model__label="b", seed=0)], {})
    entries = yaml.safe_load(texts(board)[NAME])["model-index"]
    assert [entry["name"] for entry in entries] == ["b", "svm"]
    for entry in entries:
        name, results = model_index_to_eval_results([entry])
        assert eval_results_to_model_index(name, results) == [entry]


def test_a_card_carries_the_results_into_model_card_data():
    card = ModelCard(front_matter("mine", rows_of(record_of(GOOD))) + "# Mine\n")
    assert card.data.model_name == "mine"
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found == {
        "accuracy": 0.9,
        "precision": 0.9,
        "recall": 0.9,
        "f1": 0.9,
        "roc_auc": 0.9,
        "brier_score": 0.09,
    }
    result = card.data.eval_results[0]
    assert (result.task_type, result.dataset_type, result.dataset_split) == (
        "image-classification",
        "made",
        "test",
    )
    assert result.dataset_config == "official split, recipe quick"


def test_a_metric_has_its_interval_and_seeds_beside_it():
    """Wilson (1927) of 36 of 40, by hand: .7695 to .9604; the seeds' deviation is that of .9 and .95."""
    (one,) = rows_of(record_of(GOOD))
    accuracy = model_index("svm", [one])["results"][0]["metrics"][0]
    assert accuracy["name"] == "Accuracy (95 % interval 0.769 to 0.960)"
    assert accuracy["args"]["interval_method"] == "Wilson"
    assert accuracy["args"]["interval_low"] == pytest.approx(0.7695, abs=1e-4)
    two = rows_of(record_of(GOOD), record_of(BETTER, seed=1))
    args = model_index("svm", two)["results"][0]["metrics"][0]["args"]
    assert args["seeds"] == [0, 1]
    assert args["sd_over_seeds"] == pytest.approx(0.05 / 2**0.5)


def test_a_metric_of_a_class_says_which_class_is_positive():
    names = [m["name"] for m in model_index("svm", rows_of(record_of(GOOD)))["results"][0]["metrics"]]
    assert names[2].startswith("Recall (COVID positive, ")
    three = record_of(
        [[9, 1, 0], [0, 9, 1], [1, 0, 9]], dataset__classes=["a", "b", "c"], dataset__positive=None
    )
    names = [m["name"] for m in model_index("svm", rows_of(three))["results"][0]["metrics"]]
    assert names[2].startswith("Recall (mean over classes, ")


def test_an_undefined_metric_is_left_out():
    """A row of one class would not be ranked, so its AUC is taken away here."""
    ((board, row),) = rows_of(record_of(GOOD))
    undefined = dataclasses.replace(row.means["auc"], value=None, reason="one class", interval=None)
    changed = dataclasses.replace(row, means=row.means | {"auc": undefined})
    types = [m["type"] for m in model_index("svm", [(board, changed)])["results"][0]["metrics"]]
    assert "roc_auc" not in types
    assert len(types) == 5


def test_results_on_two_boards_are_two_results_with_their_source():
    rows = ranked_rows([record_of(GOOD), record_of(GOOD, protocol__name="random")], "svm")
    entry = model_index("svm", rows, "https://example.org/boards")
    assert [result["dataset"]["config"] for result in entry["results"]] == [
        "official split, recipe quick",
        "random split, recipe quick",
    ]
    assert entry["results"][0]["source"] == {"url": "https://example.org/boards", "name": "ct-harness"}


def test_a_cards_text_and_other_metadata_stay(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: mit\nmodel-index:\n- old\n---\n# Mine é\n\n--- text\n", "utf-8")
    update_card(card, "svm", rows_of(record_of(GOOD)), None)
    head, text = card.read_text("utf-8").removeprefix("---\n").split("---\n", 1)
    said = yaml.safe_load(head)
    assert said["license"] == "mit"
    assert [entry["name"] for entry in said["model-index"]] == ["svm"]
    assert text == "# Mine é\n\n--- text\n"
    before = card.read_bytes()
    update_card(card, "svm", rows_of(record_of(GOOD)), None)
    assert card.read_bytes() == before


def test_the_command_prints_or_writes_a_card(tmp_path):
    on_disk(record_of(GOOD), tmp_path / "runs")
    done = CliRunner().invoke(app, ["export", "svm", "--runs", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.stdout == front_matter("svm", rows_of(record_of(GOOD)))
    card = tmp_path / "README.md"
    CliRunner().invoke(
        app, ["export", "svm", "--runs", str(tmp_path / "runs"), "-o", str(card), "--name", "mine"]
    )
    assert ModelCard.load(card).data.model_name == "mine"


def test_hostile_names_survive_yaml():
    name = "a: [b] #c 'd' \"e\" - f\n--- g"
    (board,) = build_boards([record_of(GOOD, model__label=name)], {})
    (entry,) = yaml.safe_load(texts(board)[NAME])["model-index"]
    assert entry["name"] == name
