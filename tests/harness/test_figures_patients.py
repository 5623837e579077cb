"""Patients that captions name, and the groups made of them."""

from __future__ import annotations

import pytest

from harness.figures.patients import groups, patient_of, patients_in, somebody_unnamed
from harness.figures.types import Suggestion


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Patient 3 on admission.", ("patient-3",)),
        ("case 3 and Case 4", ("patient-3", "patient-4")),
        ("patients 2 and 5", ("patient-2", "patient-5")),
        ("Cases 1, 2, and 4", ("patient-1", "patient-2", "patient-4")),
        ("Cases 1-3", ("patient-1", "patient-2", "patient-3")),
        ("Case II", ("patient-2",)),
        ("Case No. 7", ("patient-7",)),
        ("Patient A", ("patient-a",)),
        ("a 45-year-old man", ("man-45",)),
        ("a 70 year old previously healthy woman", ("woman-70",)),
        ("62-y-o male", ("man-62",)),
        ("a 6-month-old girl", ("woman-6-months",)),
        ("female aged 60", ("woman-60",)),
        ("male, 54 years", ("man-54",)),
        ("Patient 1 (age 3, boy)", ("patient-1", "man-3")),
        ("A 28-year-old patient", ("person-28",)),
    ],
)
def test_each_way_of_naming_a_patient_is_read(text: str, names: tuple[str, ...]) -> None:
    assert patients_in(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CT of 45 patients",
        "the patient 3 days after onset",
        "patients 50 years and older",
        "7 of 45 cases 12 men",
        "case 20%",
        "Figure of a case report",
        "a 3-day history of fever",
        "patient 38 of whom no age is known",
        "in case a drug fails",
    ],
)
def test_numbers_that_count_or_measure_name_nobody(text: str) -> None:
    assert patients_in(text) == ()


def test_where_nobody_is_named_the_paper_is_the_group() -> None:
    found = patient_of("", "Axial CT.", "papers/PMC1.pdf")
    assert (found.value, found.confidence) == ("PMC1", 0.5)


def test_the_group_is_unique_to_the_paper() -> None:
    values = {patient_of("Case 1.", "", name).value for name in ("a.pdf", "b.pdf")}
    assert values == {"a/patient-1", "b/patient-1"}


def test_hostile_names_of_papers_become_plain_ones() -> None:
    assert patient_of("", "", "10.1101/2020.02.10").value == "10.1101-2020.02.10"
    assert patient_of("", "", "../../etc/pass wd;.pdf").value == "pass-wd"
    assert patient_of("", "", "").value == "paper"


def test_a_panel_without_a_name_takes_that_of_the_panel_before_it() -> None:
    caption = "CT. (A) A 37-year-old man. (B) Magnified. (C) A 70-year-old man. (D) The same patient."
    found = [patient_of("", caption, "p.pdf", letter).value for letter in "abcd"]
    assert found == ["p/man-37", "p/man-37", "p/man-70", "p/man-70"]


def test_the_introduction_names_the_patient_of_all_panels() -> None:
    caption = "A 37-year-old man. (A) Day 1. (B) Day 9."
    assert {patient_of("Day 9.", caption, "p.pdf", letter).value for letter in "ab"} == {"p/man-37"}


def test_a_caption_that_lists_many_patients_makes_one_group() -> None:
    assert patient_of("", "CT of cases 1, 2, 3, 4, 5, 6 and 7.", "p.pdf").value == "p"


def named(*values: str) -> list[Suggestion]:
    return [Suggestion(value, 0.9, "panel") for value in values]


def test_two_patients_in_one_picture_are_one_group_with_each_of_them() -> None:
    found = groups(named("p/patient-2+patient-5", "p/patient-5", "p/patient-2", "p/patient-3"))
    assert [s.value for s in found] == ["p/patient-2", "p/patient-2", "p/patient-2", "p/patient-3"]


def test_a_number_and_an_age_said_of_one_patient_are_joined() -> None:
    texts = ["Case 1, a 45-year-old man, had fever. Case 2, a 45-year-old woman, had none."]
    found = groups(named("p/patient-1", "p/man-45", "p/patient-2", "p/woman-45"), texts)
    assert [s.value for s in found] == ["p/man-45", "p/man-45", "p/patient-2", "p/patient-2"]


def test_a_person_of_unknown_sex_may_be_the_man_of_that_age() -> None:
    assert len({s.value for s in groups(named("p/person-28", "p/man-28"))}) == 1


def test_a_picture_of_nobody_named_makes_the_paper_one_group() -> None:
    found = groups(named("p/patient-1", "p", "p/patient-2"))
    assert {s.value for s in found} == {"p"}
    assert "names nobody" in found[0].reason


def test_no_pictures_make_no_groups() -> None:
    assert groups([]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "Another patient.",
        "Case 1 and another patient.",
        "A healthy control.",
        "The second patient, day 3.",
        "The mother of patient 3.",
        "Case 1's brother.",
        "Four patients, one a 45-year-old man.",
        "Several cases.",
    ],
)
def test_somebody_shown_without_a_name_is_noticed(text: str) -> None:
    assert somebody_unnamed(text)


@pytest.mark.parametrize(
    "text",
    [
        "The same patient, day 9.",
        "Another patient, a 45-year-old man.",
        "Two patients: a 37-year-old man and a 50-year-old woman.",
        "Patients 1 and 2.",
        "Day 9.",
    ],
)
def test_who_is_named_or_meant_again_is_not(text: str) -> None:
    assert not somebody_unnamed(text)


def test_a_panel_of_another_patient_does_not_take_the_one_before_it() -> None:
    caption = "CT. (A) A 37-year-old man. (B) Another patient. (C) Day 9."
    found = [patient_of("", caption, "p.pdf", letter).value for letter in "abc"]
    assert found == ["p/man-37", "p", "p"]


def test_a_healthy_control_is_not_in_the_patients_group() -> None:
    caption = "(A) A 37-year-old man with COVID-19. (B) Normal control."
    assert patient_of("", caption, "p.pdf", "b").value == "p"


def test_a_man_in_his_fifties_may_be_the_man_of_54_and_not_the_woman_or_the_man_of_61() -> None:
    found = groups(named("p/man-50s", "p/man-54", "p/woman-54", "p/man-61"))
    assert [s.value for s in found] == ["p/man-50s", "p/man-50s", "p/woman-54", "p/man-61"]


def test_a_number_without_an_age_may_be_anybody_whose_number_is_not_told() -> None:
    found = groups(
        named("p/patient-1", "p/man-45", "p/woman-60", "p/patient-2"), ["Case 1, a 45-year-old man."]
    )
    assert [s.value for s in found] == ["p/man-45", "p/man-45", "p/patient-2", "p/patient-2"]


def test_what_a_person_named_is_not_joined_because_no_age_is_told() -> None:
    by_eye = Suggestion("p/patient-7", 1.0, "named by eye")
    assert [s.value for s in groups([*named("p/man-40"), by_eye])] == ["p/man-40", "p/patient-7"]


def test_an_age_with_units_or_decimals_is_read_and_a_span_of_time_is_not() -> None:
    assert patients_in("a 3.5-year-old boy") == ("man-3",)
    assert patients_in("CT 3 weeks after a first scan of a woman") == ()
    assert patients_in("a network with 25M parameters") == ()


@pytest.mark.parametrize("words", ["patient 1, ", "45-year-old ", "M/4", "another ", "patients A and "])
def test_a_long_hostile_text_is_read_at_once(words: str) -> None:
    patients_in(words * 5000)
    somebody_unnamed(words * 5000)


def test_a_paper_of_many_numbers_and_many_ages_is_grouped_at_once() -> None:
    numbers = [f"p/patient-{number}" for number in range(1, 2001)]
    found = groups(
        named(
            *numbers, *(f"p/man-{age}" for age in range(1, 100)), *(f"p/woman-{age}" for age in range(1, 100))
        )
    )
    assert {s.value for s in found} == {"p/man-1"}
