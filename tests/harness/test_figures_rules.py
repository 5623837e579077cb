"""What captions say of COVID: sentences with the answer that a reader would give, negations above all."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.figures.rules import RulesBroken, label_of, read_rules

COVID = [
    "Chest CT images of a 44-year-old woman with COVID-19.",
    "CT of a patient infected with SARS-CoV-2.",
    "Axial CT of a man with confirmed 2019-nCoV infection.",
    "Novel coronavirus pneumonia, early stage.",
    "The RT-PCR test was positive.",
    "COVID-19 was confirmed by RT-PCR.",
    "RT-PCR was initially negative but later positive.",
    "The first RT-PCR was negative; a second test was positive two days later.",
    "Throat swabs were negative twice before turning positive.",
    "RT-PCR was positive on admission and later negative.",
    "A false-negative RT-PCR result delayed the diagnosis.",
    "Suspected COVID-19, which RT-PCR confirmed: SARS-CoV-2 was detected and the patient was positive for COVID-19.",
    "COVID-19 pneumonia without pleural effusion.",
    "No pleural effusion was seen in this patient with COVID-19.",
    "Patient with COVID-19 and no history of smoking.",
    "COVID-19 pneumonia with bacterial superinfection.",
    "COVID-19 pneumonia in a man with a history of lung cancer.",
    "Normal CT in a patient with COVID-19.",
    "There was no doubt: the swab was positive.",
    "A patient who was not negative for SARS-CoV-2.",
    "CT of a COVID-19-positive nurse.",
    "He was tested positive for SARS-CoV-2 by RT-PCR.",
    "Not only COVID-19 but also its sequelae are seen.",
    "The disease was not a non-COVID pneumonia.",
    "Influenza was excluded; the patient had COVID-19.",
    "Coronavirus disease 2019 in a 60-year-old man.",
    "SARS-CoV-2 RNA was detected in sputum.",
    "CT shows crazy paving, typical of COVID-19.",
    "Chest CT of a 63-year-old woman who died of COVID-19.",
    "Patient with laboratory-confirmed SARS-CoV-2 pneumonia on day 10.",
    "A COVID-19 survivor three months after discharge.",
    "Typical COVID-19 pneumonia in a patient whose first swab was negative.",
    "Diagnosis of COVID-19 was made despite negative RT-PCR.",
    "CT findings of COVID-19 in different stages: early (A), progressive (B).",
    "CT before (A) and after COVID-19 (B).",
    "No lesion is seen in this asymptomatic carrier of SARS-CoV-2.",
    "COVID19-positive patient.",
    "Severe acute respiratory syndrome coronavirus 2 infection.",
    "The nasopharyngeal swab returned positive.",
    "Absence of COVID-19 lesions on follow-up in a recovered COVID-19 patient.",
    "Chest CT of a patient recovering from COVID-19.",
    "Chest CT images from a 52-year-old man whose throat swab tested positive for SARS-CoV-2.",
    "Early COVID-19 with no fever and no cough.",
    "Family cluster of SARS-CoV-2 infection: father.",
    "Follow-up CT after two negative RT-PCR tests in a patient with COVID-19.",
    "Asymptomatic infection with SARS-CoV-2.",
]

NON_COVID = [
    "There was no evidence of COVID-19.",
    "The patient was negative for SARS-CoV-2.",
    "Negative for influenza, RSV and SARS-CoV-2.",
    "COVID-19 was excluded.",
    "COVID-19 was ruled out by two RT-PCR tests.",
    "RT-PCR ruled out COVID-19.",
    "After exclusion of COVID-19, organizing pneumonia was diagnosed.",
    "Ground-glass opacities not related to COVID-19.",
    "Opacities unrelated to COVID-19.",
    "Non-COVID pneumonia.",
    "A non-COVID-19 patient with fever.",
    "A COVID-19-negative patient.",
    "A patient without COVID-19.",
    "Patients without any sign of COVID-19.",
    "Lymphoma, which differs from COVID-19 pneumonia.",
    "Findings that mimic COVID-19 pneumonia.",
    "Influenza A pneumonia, similar to COVID-19.",
    "Pneumonia other than COVID-19.",
    "Bacterial pneumonia rather than COVID-19.",
    "Unlike COVID-19, the opacities are central.",
    "CT of a healthy volunteer.",
    "CT acquired before the COVID-19 pandemic.",
    "A pre-pandemic CT of the same man.",
    "Pre-COVID CT.",
    "Nucleic acid tests were negative.",
    "SARS-CoV-2 RNA was not detected.",
    "The patient did not have COVID-19.",
    "Neither COVID-19 nor influenza was found.",
    "Pulmonary oedema and heart failure.",
    "Lung adenocarcinoma in the right upper lobe.",
    "Normal chest CT.",
    "He was positive for influenza A and negative for SARS-CoV-2.",
    "COVID-19 (-) patient.",
    "Suspected COVID-19; RT-PCR was negative.",
    "Control subject.",
    "No history of COVID-19.",
    "Two RT-PCR tests failed to detect SARS-CoV-2.",
    "SARS-CoV-2 infection was not confirmed by RT-PCR.",
    "The patient had never been exposed to COVID-19 and had organizing pneumonia.",
    "Chest CT performed in 2018 for another reason.",
    "Cryptogenic organizing pneumonia misdiagnosed as COVID-19.",
    "A false-positive COVID-19 CT: the final diagnosis was heart failure.",
    "Immunocompromised man with Pneumocystis jirovecii pneumonia; COVID-19 PCR negative x3.",
    "A 40-year-old man suspected of having COVID-19, in whom the nucleic acid test was negative.",
    "Non–COVID-19 viral pneumonia.",
    "H1N1 pneumonia in 2009.",
    "The woman did not develop COVID-19 after contact.",
    "Radiation pneumonitis.",
    "Chest CT in a SARS-CoV-2–negative patient.",
    "Lung CT of an uninfected control.",
    "SARS-CoV-2 was not found in any sample.",
    "All PCR tests for SARS-CoV-2 came back negative.",
    "This was not COVID-19 but pulmonary alveolar proteinosis.",
    "Images of influenza pneumonia for comparison with COVID-19.",
    "COVID-19 was considered but then excluded.",
    "Patients who tested negative for the novel coronavirus.",
    "Pulmonary tuberculosis in a 30-year-old.",
    "Healthy lung.",
    "A patient with no known COVID-19 exposure and lung cancer.",
]

NEITHER = [
    "",
    "Axial CT of the chest.",
    "COVID-19 could not be excluded.",
    "COVID-19 cannot be ruled out.",
    "The findings do not exclude COVID-19.",
    "Suspected COVID-19.",
    "A suspected case of COVID-19.",
    "Admission during the COVID-19 pandemic.",
    "A man vaccinated against COVID-19.",
    "COVID-19 patients and healthy controls.",
    "COVID-19: Coronavirus disease 2019.",
    "CT on day 3 and on day 9.",
    "Probable COVID-19 pneumonia.",
    "It remains unclear whether the opacities are due to COVID-19.",
    "Distribution of lesions.",
    "COVID-19 remained a possibility.",
    "CT taken during recovery shows complete absorption.",
    "COVID-19 pneumonia cannot be distinguished from influenza pneumonia on this CT.",
]


@pytest.mark.parametrize("sentence", COVID)
def test_a_sentence_that_speaks_of_covid_is_covid(sentence: str) -> None:
    assert label_of(sentence).value == "COVID", label_of(sentence)


@pytest.mark.parametrize("sentence", NON_COVID)
def test_a_sentence_that_denies_it_or_names_another_disease_is_not(sentence: str) -> None:
    assert label_of(sentence).value == "non-COVID", label_of(sentence)


@pytest.mark.parametrize("sentence", NEITHER)
def test_a_sentence_that_leaves_it_open_gives_no_value(sentence: str) -> None:
    assert label_of(sentence).value is None, label_of(sentence)


def test_the_panels_own_words_count_before_the_caption() -> None:
    caption = "Pneumonia of two patients. (A) COVID-19. (B) Influenza."
    assert label_of("Influenza.", caption).value == "non-COVID"
    assert label_of("COVID-19.", caption).value == "COVID"


def test_a_panel_that_says_nothing_takes_the_introduction_and_not_the_other_panels() -> None:
    caption = "CT of patients with COVID-19. (A) Axial view. (B) Healthy control."
    found = label_of("Axial view.", caption)
    assert found.value == "COVID"
    assert found.reason.startswith("introduction of the caption")


def test_where_the_caption_is_silent_the_citing_sentence_decides_with_less_confidence() -> None:
    mention = "All had COVID-19 in the end. Figure 2 shows a patient with influenza."
    found = label_of("", "Axial CT.", [mention])
    assert found.value == "non-COVID"
    assert found.confidence < label_of("Patient with influenza.").confidence


def test_the_reason_quotes_the_words() -> None:
    assert "'no evidence of COVID-19'" in label_of("There was no evidence of COVID-19.").reason


def test_confidence_is_lower_where_the_diagnosis_was_only_suspected_first() -> None:
    sure, doubtful = label_of("RT-PCR was negative."), label_of("Suspected COVID-19; RT-PCR was negative.")
    assert doubtful.confidence < sure.confidence


def test_own_rules_replace_the_built_in_ones(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[[rule]]\nname = 'mine'\nsays = 'COVID'\nconfidence = 0.7\npatterns = ['plague']\n")
    rules = read_rules(path)
    assert label_of("CT of the plague", rules=rules).confidence == 0.7
    assert label_of("COVID-19", rules=rules).value is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[rule]]\nsays = 'maybe'\npatterns = ['x']", "'maybe'"),
        ("[[rule]]\nsays = 'COVID'\npatterns = ['(']", "cannot be compiled"),
        ("[[rule]]\nsays = 'COVID'\nconfidence = 2\npatterns = ['x']", "confidence 2"),
        ("[[rule]]\nsays = 'COVID'\npattern = 'x'", "unknown key 'pattern'"),
        ("[[rule]]\nsays = 'COVID'\npatterns = 'x'", "expected a list"),
        ("[words]\nvirus = 3\n[[rule]]\nsays = 'COVID'\npatterns = ['x']", "'virus'"),
        ("", "no rule"),
        ("rule = 3", "no rule"),
        ("rule = [1, 2]", "no rule"),
        ("words = 3\n[[rule]]\nsays = 'COVID'\npatterns = ['x']", "words is 3"),
        ("[[rule", "not TOML"),
    ],
)
def test_a_file_of_rules_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(RulesBroken, match=r"broken\.toml") as error:
        read_rules(path)
    assert complaint in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesBroken, match="absent"):
        read_rules(tmp_path / "absent.toml")


def test_where_a_rule_settles_the_others_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    rule = "[[rule]]\nname = '{0}'\nsays = '{1}'\nconfidence = {2}\npatterns = ['{0}']\n"
    path.write_text(
        rule.format("plague", "COVID", 0.9) + rule.format("pox", "non-COVID", 0.6) + "settles = true\n"
    )
    rules = read_rules(path)
    assert label_of("plague or pox", rules=rules).value == "non-COVID"
    assert label_of("plague", rules=rules).value == "COVID"


def test_words_may_be_made_of_words_before_them(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    words = "[words]\nbeast = ['ox', 'ass']\nherd = ['many\\s+{beast}en']\n"
    path.write_text(
        words + "[[rule]]\nname = 'herd'\nsays = 'COVID'\nconfidence = 0.5\npatterns = ['{herd}']\n"
    )
    assert label_of("Many oxen.", rules=read_rules(path)).value == "COVID"


@pytest.mark.parametrize(
    "words",
    [
        "no evidence of ",
        "positive negative ",
        "influenza and ",
        "COVID-19 with ",
        "tests for rsv, ",
        "post covid ",
        "negative, but ",
        "(",
    ],
)
def test_a_long_hostile_caption_is_read_in_seconds(words: str) -> None:
    """Lazy gaps must not multiply: a page of words without an end comes back at once."""
    label_of(words * (20_000 // len(words)))


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("PCR negative, mimicking nothing; COVID-19 in her husband was denied.", None),
        ("COVID-19 patients and emphysema patients.", None),
        ("A first swab was negative. Two days later a second swab was positive.", "COVID"),
        ("PCR was negative for COVID-19 but positive for influenza.", "non-COVID"),
        ("SARS-CoV infection in 2003.", "non-COVID"),
        ("Severe acute respiratory syndrome coronavirus 2 (SARS-CoV-2) pneumonia.", "COVID"),
        ("Viral pneumonia.", "non-COVID"),
        ("PCR confirmed COVID-19 as the cause of this viral pneumonia.", "COVID"),
        ("RT-PCR became negative after COVID-19.", "COVID"),
        ("The network called this influenza pneumonia COVID-19.", "non-COVID"),
    ],
)
def test_further_turns_of_phrase(sentence: str, value: str | None) -> None:
    assert label_of(sentence).value == value, label_of(sentence)
