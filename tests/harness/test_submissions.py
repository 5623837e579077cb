from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toys import make_dataset

from harness.data.dataset import Dataset, open_dataset
from harness.errors import PredictionError, UnknownName, UsageError
from harness.protocols import make_splits
from harness.publishing import publish
from harness.records import read_records
from harness.submissions import VARIANT, check_name, read_submission, record, submitted_recipe

Write = Callable[..., Path]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return open_dataset(str(make_dataset(tmp_path / "toy-ct", patients=10, slices=2)))


@pytest.fixture
def tested(dataset: Dataset) -> tuple[str, ...]:
    return make_splits("official", dataset.samples)[0].test


@pytest.fixture
def write(tmp_path: Path, tested: tuple[str, ...]) -> Write:
    """Write a sound file, but for what a test changes: the header, or cells by line (the first row is line 2)."""

    def made(changes: dict[int, list[str]] | None = None, header: str = "id,dark,bright") -> Path:
        lines = [header.split(","), *([sample_id, "0.25", "0.75"] for sample_id in tested)]
        for line, cells in (changes or {}).items():
            lines[line - 1 : line] = [cells] if cells else []
        path = tmp_path / "mine.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(lines)
        return path

    return made


def refused(path: Path, dataset: Dataset, protocol: str = "official") -> str:
    with pytest.raises(PredictionError) as error:
        read_submission(path, dataset, protocol)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("bad", ["nan", "inf", "-0.1", "1.1", "1e308"])
def test_what_is_no_probability_is_refused_by_line_and_column(
    bad: str, write: Write, dataset: Dataset
) -> None:
    path = write({3: ["4-1.png", bad, "0.5"]})
    assert refused(path, dataset) == f"mine.csv, line 3: {bad} in column 'dark' is no probability (0 to 1)"


@pytest.mark.parametrize("bad", ["", "half", "0,5", "0.5%", "0x1", "0_0.5", "٠.٥", "0.5 0.5", "--1", "True"])
def test_what_is_no_number_is_refused(bad: str, write: Write, dataset: Dataset) -> None:
    assert f"line 3: {bad!r} in column 'dark' is no number" in refused(
        write({3: ["4-1.png", bad, "0.5"]}), dataset
    )


def test_percentages_are_told_what_to_do(write: Write, dataset: Dataset) -> None:
    complaint = refused(write({2: ["4-0.png", "25", "75"]}), dataset)
    assert complaint.endswith("25 in column 'dark' is no probability (0 to 1); divide percentages by 100")


def test_a_number_too_small_for_a_float_is_nothing_and_minus_zero_is_zero(
    write: Write, dataset: Dataset
) -> None:
    path = write({2: ["4-0.png", "1e-400", "1"], 3: ["4-1.png", "-0", "1"]})
    (found,) = read_submission(path, dataset, "official")
    assert not np.signbit(found.probabilities).any()
    assert found.probabilities[:2].tolist() == [[0, 1], [0, 1]]


def test_probabilities_that_do_not_sum_to_one_are_refused(write: Write, dataset: Dataset) -> None:
    assert "line 2: the probabilities sum to 0.9, expected 1" in refused(
        write({2: ["4-0.png", "0.5", "0.4"]}), dataset
    )


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("id,dark,brigth", "unknown column 'brigth'; you probably meant 'bright'"),
        ("id,dark,dark", "two columns are named 'dark'"),
        ("name,dark,bright", "unknown column 'name'"),
        ("id,dark", "no column 'bright'"),
    ],
)
def test_a_wrong_header_is_refused_by_name(
    header: str, complaint: str, write: Write, dataset: Dataset
) -> None:
    assert complaint in refused(write(header=header), dataset)


def test_a_line_that_is_too_short_is_refused(write: Write, dataset: Dataset) -> None:
    assert "line 2: 2 cells, the header has 3" in refused(write({2: ["4-0.png", "1"]}), dataset)


def test_a_missing_image_is_named(write: Write, dataset: Dataset, tested: tuple[str, ...]) -> None:
    complaint = refused(write({2: []}), dataset)
    assert f"1 of {len(tested)} test images of seed 0 are missing (first: {tested[0]!r})" in complaint


def test_an_image_that_is_there_twice_is_named_with_both_lines(
    write: Write, dataset: Dataset, tested: tuple[str, ...]
) -> None:
    complaint = refused(write({3: [tested[0], "0.5", "0.5"]}), dataset)
    assert f"line 3: {tested[0]!r} was there in line 2 already" in complaint


@pytest.mark.parametrize(
    ("sample_id", "complaint"),
    [
        ("0-0.png", "'0-0.png' is in the training part of 'official'; only test images are predicted"),
        ("4-0.pgn", "'toy-ct' has no image '4-0.pgn'; you probably meant '4-0.png'"),
        (
            "of-another-dataset",
            "'toy-ct' has no image 'of-another-dataset'; 'harness show toy-ct --ids' lists them",
        ),
        ("../../../etc/passwd", "'toy-ct' has no image '../../../etc/passwd'"),
        ("./4-0.png", "'toy-ct' has no image './4-0.png'; you probably meant '4-0.png'"),
        (" 4-0.png", "'toy-ct' has no image ' 4-0.png'; you probably meant '4-0.png'"),
        ("4-0.рng", "'toy-ct' has no image '4-0.рng'; you probably meant '4-0.png'"),
        ("\x1b[31m4-0\n", "'toy-ct' has no image '\\x1b[31m4-0\\n'"),
    ],
)
def test_an_image_that_is_not_tested_is_refused(
    sample_id: str, complaint: str, write: Write, dataset: Dataset
) -> None:
    assert complaint in refused(write({2: [sample_id, "0.5", "0.5"]}), dataset)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty; expected the columns id, dark, bright"),
        (b"id,dark,bright\n", "no predictions below the header"),
        (b"PK\x03\x04\xff\xfe\x00", "is an archive or a spreadsheet (.xlsx), no text"),
        (b"\x1f\x8b\x08\x00", "is compressed (gzip), no text"),
        (b"PAR1\x15\x04", "is Parquet, no text"),
        (b"id,dark,bright\n4-0.png\xff,0,1\n", "is no text in UTF-8: invalid start byte at byte 22"),
        (b'id,dark,bright\n"4-0.png,0,1', "line 2: no CSV: unexpected end of data"),
        ("id,dark,bright\n4-0.png,0,1\n".encode("utf-16"), "test images of seed 0 are missing"),
        (b",id,dark,bright\n0,4-0.png,0,1\n", "column 1 has no name; remove it (pandas: index=False)"),
        (b"id,dark,bright,\n4-0.png,0,1,\n", "column 4 has no name"),
        (b"id,Dark,bright\n4-0.png,0,1\n", "unknown column 'Dark'; you probably meant 'dark'"),
        (b"id,dark,bright\n" + b"4-0.png,0,1\n" * 1_000_001, "line 3: '4-0.png' was there in line 2 already"),
        (b"id,dark,bright\n" + b"x" * 200_000 + b",0,1\n", "field larger than field limit"),
        (b"id,dark,bright," + b",".join(b"x%d" % n for n in range(5000)) + b"\n", "unknown column 'x0'"),
        (b"id;dark;bright\n4-0.png;0;1\n", "columns are separated by ';'; expected commas, and points"),
        (b"id\tdark\tbright\n4-0.png\t0\t1\n", "columns are separated by '\\t'"),
        (b"id,dark,bright\n4-0.png,0,1,\n", "line 2: 4 cells, the header has 3"),
        (b"4-0.png,0,1\n", "unknown column '4-0.png'"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    content: bytes, complaint: str, tmp_path: Path, dataset: Dataset
) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    assert complaint in refused(path, dataset)


def test_a_file_that_is_too_large_is_refused_without_being_read_to_its_end(
    tmp_path: Path, dataset: Dataset
) -> None:
    path = tmp_path / "mine.csv"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # one line of 1 GB, on no disk
    assert "mine.csv: larger than 200 MB" in refused(path, dataset)
    if Path("/dev/zero").exists():
        assert "zero: larger than 200 MB" in refused(Path("/dev/zero"), dataset)


def test_too_many_lines_are_refused(write: Write, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.submissions.LARGEST_ROWS", 3)
    assert "mine.csv: more than 3 lines; expected one a test image" in refused(write(), dataset)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_endings_quotes_and_a_byte_order_mark_change_nothing(
    ending: str, mark: str, write: Write, dataset: Dataset
) -> None:
    path = write()
    expected = read_submission(path, dataset, "official")[0].probabilities
    rows = [line.split(",") for line in path.read_text("utf-8").splitlines()]
    text = ending.join(",".join(f'"{cell}"' for cell in row) for row in rows)
    path.write_text(mark + text + ending, "utf-8", newline="")
    assert (read_submission(path, dataset, "official")[0].probabilities == expected).all()


def test_a_file_that_is_not_there_is_named(tmp_path: Path, dataset: Dataset) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "absent.csv", dataset)


@pytest.mark.parametrize("seed", ["-1", "one", "1.0", "1234567890", "", "+1", "١", "nan"])
def test_a_seed_that_is_no_whole_number_is_refused(seed: str, write: Write, dataset: Dataset) -> None:
    path = write({2: ["4-0.png", "0.5", "0.5", seed]}, header="id,dark,bright,seed")
    assert f"line 2: seed {seed!r} is no whole number" in refused(path, dataset)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "../mine",
        "-mine",
        "x" * 61,
        "mine\n",
        "svm",
        "xdnn",
        "\x1b[31mred",
        "ѕvm",
        "sνm",
        "a\u202eb",
    ],
)
def test_a_name_that_cannot_stand_on_a_board_or_is_taken_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        check_name(name)


def test_an_unknown_protocol_is_refused(write: Write, dataset: Dataset) -> None:
    with pytest.raises(UnknownName, match="unknown protocol 'offical'"):
        read_submission(write(), dataset, "offical")


def test_predictions_come_in_the_order_of_the_test_part_whatever_that_of_the_file(
    dataset: Dataset, tested: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "mine.csv"
    lines = [f"{k / 10:.1f},{sample_id},{1 - k / 10:.1f}" for k, sample_id in enumerate(tested)]
    path.write_text("\ufeffbright,id,dark\r\n" + "\r\n".join(reversed(lines)) + "\r\n\r\n", "utf-8")
    (found,) = read_submission(path, dataset, "official")
    assert found.probabilities[:, 1].tolist() == [k / 10 for k in range(len(tested))]
    assert not found.rounded


def test_rows_rounded_to_three_decimals_are_divided_by_their_sums(write: Write, dataset: Dataset) -> None:
    (found,) = read_submission(write({2: ["4-0.png", "0.333", "0.666"]}), dataset, "official")
    assert found.rounded
    assert found.probabilities.sum(axis=1).tolist() == pytest.approx([1.0] * len(found.split.test), abs=1e-15)


@pytest.mark.parametrize("with_folds", [True, False])
def test_all_folds_of_all_seeds_come_from_one_file(
    with_folds: bool, dataset: Dataset, tmp_path: Path
) -> None:
    lines = ["id,dark,bright,seed" + ",fold" * with_folds]
    for seed in (0, 7):
        for split in make_splits("group-kfold", dataset.samples, seed=seed):
            end = f",{split.fold}" if with_folds else ""
            lines += [f"{sample_id},0.5,0.5,{seed}{end}" for sample_id in split.test]
    path = tmp_path / "folds.csv"
    path.write_text("\n".join(lines))
    found = read_submission(path, dataset, "group-kfold")
    assert [(s.split.seed, s.split.fold) for s in found] == [(seed, k) for seed in (0, 7) for k in range(5)]


def test_a_fold_that_is_not_there_is_refused(write: Write, dataset: Dataset) -> None:
    path = write({2: ["4-0.png", "0.5", "0.5", "1"]}, header="id,dark,bright,fold")
    path.write_text(path.read_text().replace("0.25,0.75", "0.25,0.75,0"))
    assert "line 2: fold 1, but the split has 1, counted from 0" in refused(path, dataset)


def test_the_same_predictions_give_the_same_record_and_others_another(
    write: Write, dataset: Dataset, tmp_path: Path
) -> None:
    def keys() -> set[str]:
        return {made.key for made in read_records(tmp_path / "runs")}

    def submitted(path: Path) -> None:
        for one in read_submission(path, dataset, "official"):
            record(tmp_path / "runs", one, dataset, name="mine", recipe="quick", source="mine.csv")

    submitted(write())
    first = keys()
    submitted(write())
    assert keys() == first
    submitted(write({2: ["4-0.png", "0.5", "0.5"]}))
    assert len(keys()) == 2


def test_a_submission_joins_the_one_recipe_of_its_board(
    write: Write, dataset: Dataset, tmp_path: Path
) -> None:
    assert submitted_recipe([], dataset, "official") == "paper"
    (one,) = read_submission(write(), dataset, "official")
    records = [
        record(tmp_path, one, dataset, name=f"m{k}", recipe=recipe, source="mine.csv")
        for k, recipe in enumerate(("quick", "smoke"))
    ]
    assert submitted_recipe(records[:1], dataset, "official") == "quick"
    with pytest.raises(UsageError, match="several recipes .quick, smoke.; say with --recipe"):
        submitted_recipe(records, dataset, "official")


def test_an_image_of_a_seed_that_others_have_is_missed(
    write: Write, dataset: Dataset, tested: tuple[str, ...]
) -> None:
    rows = {line: [name, "0.5", "0.5", "0"] for line, name in enumerate(tested, start=2)}
    rows[2] = [tested[0], "0.5", "0.5", "1"]
    complaint = refused(write(rows, header="id,dark,bright,seed"), dataset)
    assert f"1 of {len(tested)} test images of seed 0 are missing (first: {tested[0]!r})" in complaint


def test_a_test_part_of_one_class_has_no_auc_but_the_reason(tmp_path: Path) -> None:
    card = make_dataset(tmp_path / "toy-ct", patients=10, slices=2)
    files = card.with_name("files.csv")
    files.write_text(files.read_text().replace("bright,p9,test", "bright,p9,train"))
    dataset = open_dataset(str(card))
    path = tmp_path / "mine.csv"
    path.write_text("id,dark,bright\n4-0.png,0.75,0.25\n4-1.png,0.25,0.75\n")
    (found,) = read_submission(path, dataset, "official")
    record(tmp_path / "out" / "runs", found, dataset, name="mine", recipe="quick", source="mine.csv")
    (page,) = publish(tmp_path / "out")
    (row,) = json.loads(page.with_suffix(".json").read_text("utf-8"))["rows"]
    assert row["metrics"]["auc"]["value"] is None
    assert "no image is of class 'bright'" in row["metrics"]["auc"]["reason"]
    assert "auc undefined: no image is of class 'bright'" in page.read_text("utf-8").replace("\n", " ")


def test_the_command_ranks_predictions_and_marks_them(write: Write, dataset: Dataset, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "submit", str(write()), "--name", "mine"]
    command += ["-d", str(dataset.root / "card.toml"), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"mine ({VARIANT})" in done.stdout
    assert "nothing is known of how they came about" in done.stdout


def test_a_refused_file_leaves_nothing_behind(write: Write, dataset: Dataset, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "submit", str(write({2: []})), "--name", "mine"]
    command += ["-d", str(dataset.root / "card.toml"), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") <= 2
    assert "are missing" in done.stderr
    assert not (tmp_path / "out").exists()
