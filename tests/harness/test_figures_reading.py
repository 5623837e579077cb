"""Captions as papers write them, with a reader's answer: labels, patients, parts; and the study that counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import DatasetMissing
from harness.figures.reading_study import (
    halves,
    judged_label,
    judged_parts,
    judged_patients,
    lines_of,
    main,
)

CAPTIONS = Path(__file__).with_name("captions")


@pytest.mark.parametrize("line", lines_of(CAPTIONS / "labels.tsv"), ids=lambda line: line[1][:60])
def test_a_caption_gets_the_label_that_a_reader_gives(line: tuple[str, ...]) -> None:
    assert judged_label(line)[0] == "right", judged_label(line)


@pytest.mark.parametrize("line", lines_of(CAPTIONS / "patients.tsv"), ids=lambda line: line[1][:60])
def test_a_phrase_names_the_patients_that_a_reader_finds(line: tuple[str, ...]) -> None:
    assert judged_patients(line)[0] == "right", judged_patients(line)


@pytest.mark.parametrize("line", lines_of(CAPTIONS / "parts.tsv"), ids=lambda line: line[1][:60])
def test_a_caption_falls_into_the_parts_that_a_reader_sees(line: tuple[str, ...]) -> None:
    assert judged_parts(line)[0] == "right", judged_parts(line)


def test_a_wrong_label_is_told_from_a_missing_one() -> None:
    assert judged_label(("non-COVID", "CT of COVID-19."))[0] == "wrong"
    assert judged_label(("none", "CT of COVID-19."))[0] == "wrong"
    assert judged_label(("COVID", "CT of the chest."))[0] == "missing"


def test_somebody_named_who_is_not_there_is_wrong_and_nobody_is_missing() -> None:
    assert judged_patients(("patient-1", "Case 2."))[0] == "wrong"
    assert judged_patients(("-", "Case 2."))[0] == "wrong"
    assert judged_patients(("patient-1", "A man."))[0] == "missing"


def test_parts_count_only_with_their_own_words_and_no_others() -> None:
    assert judged_parts(("a=Axial | b=Coronal", "(A) Axial and coronal. (B) Coronal."))[0] == "wrong"
    assert judged_parts(("a=Axial | b=Coronal", "Axial, coronal."))[0] == "missing"


def test_the_halves_hold_every_line_once_and_are_the_same_each_time() -> None:
    lines = [(str(n), "x") for n in range(11)]
    learnt, held = halves(lines)
    assert sorted(learnt + held) == sorted(lines)
    assert (len(learnt), len(held)) == (5, 6)
    assert halves(lines) == (learnt, held)


def test_the_study_prints_right_wrong_and_missing_of_both_halves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.tsv").write_text("# comment\nCOVID\tCOVID-19.\nCOVID\tA man.\n")
    assert main(["--labels", str(tmp_path / "s.tsv"), "--misses"]) == 0
    out = capsys.readouterr().out
    assert "1 of 1 right, 0 wrong, 0 missing" in out
    assert "0 of 1 right, 0 wrong, 1 missing" in out
    assert "expected COVID, read none" in out


@pytest.mark.parametrize("text", ["no tab", None])
def test_a_file_that_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    if text:
        (tmp_path / "bad.tsv").write_text(text)
    assert main(["--labels", str(tmp_path / "bad.tsv")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "bad.tsv" in error
    assert error.count("\n") == 1
    with pytest.raises(DatasetMissing):
        lines_of(tmp_path / "bad.tsv")
