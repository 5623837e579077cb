"""Captions taken apart: the ways papers print letters, and what is no letter."""

from __future__ import annotations

import pytest

from harness.figures.passages import passages


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        ("(A) Axial. (B, C) Coronal.", {"a": "Axial.", "b": "Coronal.", "c": "Coronal."}),
        (
            "Figure 2. CT. (a-c) Day 1. (d) Day 9.",
            {"a": "Day 1.", "b": "Day 1.", "c": "Day 1.", "d": "Day 9."},
        ),
        (
            "Fig. 2 | a, Chest CT of day 5. b, The same after 9 days.",
            {"a": "Chest CT of day 5.", "b": "The same after 9 days."},
        ),
        (
            "Fig. 1 A man. a Axial image. b, c Images of day 3.",
            {"a": "Axial image.", "b": "Images of day 3.", "c": "Images of day 3."},
        ),
        ("A: CT at admission. B: CT at discharge.", {"a": "CT at admission.", "b": "CT at discharge."}),
        ("Fig. 3: a) axial CT b) coronal CT", {"a": "axial CT", "b": "coronal CT"}),
        (
            "A-B) Observed. C-D) Expected.",
            {"a": "Observed.", "b": "Observed.", "c": "Expected.", "d": "Expected."},
        ),
        ("Panel A shows CT. Panel B shows MRI.", {"a": "shows CT.", "b": "shows MRI."}),
        (
            "Chest X-ray of a man (a). CT of the chest (b).",
            {"a": "Chest X-ray of a man", "b": "CT of the chest"},
        ),
        ("Chest CT (a-b) and X-ray (c) of a man (n = 3).", {"a": "Chest CT", "b": "Chest CT", "c": "X-ray"}),
        ("[A] axial [B] sagittal", {"a": "axial", "b": "sagittal"}),
        ("(A–C) Slices; (D) follow-up.", {"a": "Slices", "b": "Slices", "c": "Slices", "d": "follow-up."}),
        ("CT images (left) and X-ray (right).", {"left": "CT images", "right": "X-ray"}),
        ("Top row: day 1. Bottom row: day 9.", {"top row": "day 1.", "bottom row": "day 9."}),
    ],
)
def test_each_way_of_printing_letters_is_read(caption: str, parts: dict[str, str]) -> None:
    assert dict(passages(caption).parts) == parts


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "Figure 1. Axial CT of the chest.",
        "Figure 1 A 45-year-old man with fever.",
        "Survival (n = 3, P < 0.05) of patients (B cells).",
        "Vitamin C and B. A patient. B cells.",
        "(B) and (C) without the first letter.",
        "(A) alone.",
        "Concentrations of (D) and (F).",
    ],
)
def test_what_is_no_sequence_of_letters_is_left_whole(caption: str) -> None:
    assert passages(caption).parts == ()


def test_the_introduction_holds_what_stands_before_the_letters() -> None:
    assert passages("Fig. 4. A 37-year-old man. (A) Day 1. (B) Day 9.").introduction == "A 37-year-old man."


def test_sentences_before_the_one_that_a_letter_closes_belong_to_all() -> None:
    said = passages(
        "A 50-year-old man with fever. At first nothing was seen (A). Later a shadow appeared (B)."
    )
    assert said.introduction == "A 50-year-old man with fever."
    assert said.of("b") == "Later a shadow appeared"


def test_a_letter_named_twice_keeps_both_passages() -> None:
    assert passages("(A) Axial. (B) Coronal. (A) Arrow: nodule.").of("a") == "Axial. Arrow: nodule."


def test_upper_and_lower_case_letters_are_not_mixed() -> None:
    assert passages("(A) Axial (a, aorta). (B) Coronal (b, bronchus).").names == ("a", "b")
    assert passages("(A) Axial (a, aorta). (B) Coronal (b, bronchus).").of("a").startswith("Axial")


def test_a_range_that_runs_backwards_is_no_letter() -> None:
    assert passages("(C-A) Odd. (B) Even.").parts == ()


def test_the_label_of_the_figure_is_no_letter() -> None:
    assert passages("Figure 3a. Axial CT.").introduction == "Axial CT."
    assert passages("Supplementary Figure S3: Axial CT.").introduction == "Axial CT."


@pytest.mark.parametrize("words", ["(A, ", "a) ", "A-B-C-", "A, ", "a and ", "Fig. 1a ", "(i, ", "left: "])
def test_a_long_hostile_caption_is_read_at_once(words: str) -> None:
    passages(words * (20_000 // len(words)))


def test_letters_of_the_figures_themselves_are_read() -> None:
    said = passages("Figure 1a and b Axial CT. Figure 1c Coronal CT.")
    assert said.parts == (("a", "Axial CT."), ("b", "Axial CT."), ("c", "Coronal CT."))


def test_ordinals_alone_are_no_places() -> None:
    assert passages("First, CT was made. Second, a swab was taken.").parts == ()


def test_an_unknown_roman_numeral_is_no_letter() -> None:
    assert passages("(i) One. (iiii) Two.").parts == ()
