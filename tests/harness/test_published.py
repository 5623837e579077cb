"""Published tables: what a file may say, and that ours say what was printed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from harness.errors import CardError
from harness.folders import bundled
from harness.published import PUBLISHED_METRICS, Reading, load_published

GOOD = """
schema_version = 1
dataset = "made"
[[table]]
id = "one"
title = "A table"
source = "A paper, Table 1"
protocol = "official"
decimals = 2
[[table.row]]
method = "Net"
f1 = 85.0
"""


def written(folder: Path, text: str, dataset: str = "made") -> Path:
    (folder / dataset).mkdir()
    (folder / dataset / "published.toml").write_text(text, "utf-8")
    return folder


def test_a_small_file_is_read(tmp_path):
    table = load_published(written(tmp_path, GOOD))["made"].tables[0]
    assert table.rows[0]["f1"] == 85.0
    assert table.rows[0]["accuracy"] is None
    with pytest.raises(KeyError):
        table.rows[0]["method"]


def test_no_file_is_no_table(tmp_path):
    assert load_published(tmp_path) == {}
    assert load_published(tmp_path / "absent") == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("f1 = 85.0", "f1 = 185.0", "table.0.row.0.f1"),
        ("f1 = 85.0", "f1 = nan", "table.0.row.0.f1"),
        ("f1 = 85.0", "", "a row without any number"),
        ("f1 = 85.0", "f1 = 85.0\nspecificty = 1.0", "specificty"),
        ("decimals = 2", "decimals = -1", "table.0.decimals"),
        ("schema_version = 1", "schema_version = 2", "schema_version"),
        ('method = "Net"', 'method = ""', "table.0.row.0.method"),
        ('protocol = "official"', "", "table.0.protocol: is not there"),
        ('dataset = "made"', 'dataset = "other"', "dataset is 'other', the folder 'made'"),
        ("[[table.row]]", "[[table.row]", "no valid TOML"),
        ("f1 = 85.0", 'f1 = 85.0\n[[table.row]]\nmethod = "Net"\nf1 = 1.0', "two rows of the same method"),
        ("decimals = 2", 'decimals = 2\nreading = { auc = "soft" }', "table.0.reading.auc"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_it(tmp_path, old, new, said):
    with pytest.raises(CardError) as error:
        load_published(written(tmp_path, GOOD.replace(old, new, 1)))
    message = str(error.value)
    assert message.startswith("made/published.toml: ")
    assert said in message
    assert "\n" not in message


def test_two_tables_of_one_id_are_refused(tmp_path):
    twice = GOOD + GOOD[GOOD.index("[[table]]") :]
    with pytest.raises(CardError, match="two tables bear the same id"):
        load_published(written(tmp_path, twice))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (written(tmp_path, "") / "made" / "published.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match="no valid TOML"):
        load_published(tmp_path)


def test_an_unknown_positive_class_covers_accuracy_alone():
    reading = Reading()
    assert [m for m in PUBLISHED_METRICS if reading.covers(m)] == ["accuracy"]
    assert reading.words == "positive class not known, origin of AUC not known"


def test_an_unknown_origin_of_auc_covers_all_but_auc():
    assert [m for m in PUBLISHED_METRICS if not Reading(positive="COVID").covers(m)] == ["auc"]


def test_the_digits_that_were_printed_may_differ_by_row(tmp_path):
    table = load_published(written(tmp_path, GOOD + "decimals = 0\n"))["made"].tables[0]
    assert table.digits(table.rows[0]) == 0


@pytest.fixture(scope="module")
def ours():
    return load_published(bundled("leaderboards"))


def test_table_1_of_soares_stands_as_printed(ours):
    """Every number, written out a second time from the text of the paper."""
    printed = """
    xDNN          97.38 99.16 95.53 97.31 97.36
    ResNet        94.96 93.00 97.15 95.03 94.98
    GoogleNet     91.73 90.20 93.50 91.82 91.79
    VGG-16        94.96 94.02 95.43 94.97 94.96
    AlexNet       93.75 94.98 92.28 93.61 93.68
    Decision-Tree 79.44 76.81 83.13 79.84 79.51
    AdaBoost      95.16 93.63 96.71 95.14 95.19
    """
    table = ours["sars-cov-2-ct"].tables[0]
    stated = [
        f"{row.method.replace(' ', '-')} " + " ".join(f"{row[m]:.2f}" for m in PUBLISHED_METRICS)
        for row in table.rows
    ]
    assert stated == [" ".join(line.split()) for line in printed.strip().splitlines()]
    assert table.reading.words == "non-COVID counted as positive, AUC of hard labels"
    assert table.named_without_row == ("svm",)


def test_what_is_not_known_of_zhao_is_absent(ours):
    tables = {table.id: table for table in ours["covid-ct"].tables}
    for name in ("zhao2020-v1", "zhao2020-later-abstract"):
        assert tables[name].reading == Reading()
        assert tables[name].other_images
    assert tables["zhao2020-v1"].rows[0].accuracy is None
    assert tables["zhao2020-v1"].rows[0].f1 == 85


def test_only_the_tables_of_our_test_part_are_compared(ours):
    test = {"COVID": 98, "non-COVID": 105}
    compared = [t.id for t in ours["covid-ct"].tables if t.not_compared("official", test) is None]
    assert compared == ["zhao2020-baselines"]
    assert ours["covid-ct"].tables[0].not_compared("random", test) is not None
    smaller = ours["covid-ct"].tables[0].not_compared("official", {"COVID": 97, "non-COVID": 105})
    assert smaller == "another test part: 98 COVID, 105 non-COVID there, 97 COVID, 105 non-COVID here"


def test_every_model_that_a_row_names_is_one_of_ours(ours):
    from harness.registry import model_plugins

    named = {m for p in ours.values() for t in p.tables for row in t.rows for m in row.models}
    named |= {name for p in ours.values() for t in p.tables for name in t.named_without_row}
    assert named <= set(model_plugins())


def test_the_test_log_of_zhao_fits_97_covid_images_and_no_other_count_nearby():
    """recall .8667, precision .8426, F1 .8545, accuracy .8465: why the log is not compared."""
    fits = []
    for positives, negatives in itertools.product(range(90, 121), repeat=2):
        for tp in range(positives + 1):
            if f"{tp / positives:.4f}" != "0.8667":
                continue
            for fp in range(negatives + 1):
                printed = (
                    f"{tp / max(tp + fp, 1):.4f}",
                    f"{2 * tp / max(tp + fp + positives, 1):.4f}",
                    f"{(tp + negatives - fp) / (positives + negatives):.4f}",
                )
                if printed == ("0.8426", "0.8545", "0.8465"):
                    fits.append((positives, negatives, tp, fp))
    assert fits == [(105, 97, 91, 17)]
