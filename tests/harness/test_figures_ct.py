"""CT or not: the small model, its file, its training, and the caption's words beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.figures import sorting_study, training
from harness.figures.ct import MODEL, ct_of, probability, words_for_ct
from harness.figures.features import COUNT, features
from harness.figures.forests import grown, read, write
from harness.figures.lookalikes import KINDS, lookalike
from harness.figures.types import Panel
from harness.figures.variations import varied


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Chest CT of a man", 1),
        ("HRCT scans", 1),
        ("Computed tomography", 1),
        ("computerized tomographic images", 1),
        ("CTA chest", 1),
        ("PET/CT of a man", 1),
        ("Chest X-ray", -1),
        ("Chest radiograph", -1),
        ("MRI of the head", -1),
        ("Kaplan-Meier curves", -1),
        ("Discs stained with DAPI", -1),
        ("Immunofluorescence of lung tissue", -1),
        ("Fluorescent cells", -1),
        ("Sustained opacities", 0),
        ("X-ray (a) and CT (b)", 0),
        ("Ct values of the CTD domain", 0),
        ("ACT scans, doctors", 0),
        ("CT scores and CT severity scores by age", 0),
        ("", 0),
    ],
)
def test_words_speak_for_ct_for_other_pictures_or_for_neither(text: str, answer: int) -> None:
    assert words_for_ct(text)[0] == answer


@pytest.mark.parametrize("shape", [(1, 1), (5, 400), (16, 16), (60, 80, 1), (60, 80, 3)])
def test_features_are_finite_and_of_one_length_for_any_picture(shape: tuple[int, ...]) -> None:
    for value in (0, 255):
        found = features(np.full(shape, value, np.uint8))
        assert found.shape == (COUNT,)
        assert np.isfinite(found).all()


def test_made_charts_and_diagrams_are_no_ct() -> None:
    random = np.random.default_rng(99)
    seen = [probability(lookalike(kind, random)) for kind in KINDS for _ in range(2)]
    assert max(seen) < 0.5


def test_words_move_the_answer_by_a_step_and_are_quoted() -> None:
    image = lookalike("radiograph", np.random.default_rng(1))
    whole = [Panel((0, 0, 1, 1), (0, 0, image.shape[1], image.shape[0]))]
    plain, named = ct_of(image, whole), ct_of(image, whole, "Chest radiograph.")
    assert (plain.value, named.value) == ("other", "other")
    assert named.confidence > plain.confidence
    assert "'radiograph'" in named.reason


def test_a_chart_of_ct_scores_is_no_ct() -> None:
    random = np.random.default_rng(3)
    for _ in range(8):
        chart = lookalike("chart", random)
        assert ct_of(chart, [], "CT scores of the two groups over time.").value == "other"


def test_a_panels_own_words_count_before_the_caption() -> None:
    image = np.zeros((100, 100), np.uint8)
    panel = Panel((0, 0, 1, 1), (0, 0, 100, 100), "a", "Chest radiograph.")
    assert "'radiograph'" in ct_of(image, [panel], "Chest CT.").reason


def test_a_figure_without_panels_is_looked_at_as_a_whole() -> None:
    assert ct_of(np.zeros((50, 50), np.uint8), []).reason.startswith("picture")


def test_a_picture_too_small_to_see_is_no_ct() -> None:
    assert probability(np.zeros((4, 300), np.uint8)) == 0.0


def test_the_shipped_model_is_small_and_says_what_it_was_trained_on() -> None:
    assert MODEL.stat().st_size < 400 * 1024
    assert "sars-cov-2-ct" in read(MODEL).about


def test_looking_imports_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, numpy as np; from harness.figures.ct import probability;"
        "probability(np.zeros((60, 60), np.uint8)); print({'torch', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_forest_read_back_answers_as_scikit_learn_does(tmp_path: Path) -> None:
    from sklearn.ensemble import ExtraTreesClassifier

    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 6)).astype(np.float32)
    truth = rows[:, 0] + rows[:, 1] ** 2 > 0.5
    write(grown(rows, truth, "test", trees=12, leaves=20), tmp_path / "forest.npz")
    forest = read(tmp_path / "forest.npz")
    model = ExtraTreesClassifier(
        12, max_leaf_nodes=20, min_samples_leaf=2, class_weight="balanced", random_state=0
    )
    expected = model.fit(rows, truth).predict_proba(rows)[:, 1]
    assert [forest.probability(row) for row in rows] == pytest.approx(expected, abs=1e-6)
    assert forest.about == "test"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of three grey pictures, and a training that makes three of each other kind."""
    monkeypatch.setattr(training, "OF_A_KIND", 3)
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 70), np.uint8)
        (tmp_path / "slices").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "slices" / f"{number}.png")
    return tmp_path


def test_training_twice_gives_the_same_file(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.npz", "b.npz"):
        assert training.main(["--ct", str(few / "slices"), "--out", str(few / name)]) == 0
    assert (few / "a.npz").read_bytes() == (few / "b.npz").read_bytes()
    assert "6 views of CT from slices" in capsys.readouterr().out


def test_papers_are_scored_one_by_one_with_an_interval(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("ct", "other"):
        (few / "papers" / "one" / kind).mkdir(parents=True)
        Image.fromarray(np.zeros((50, 50), np.uint8)).save(few / "papers" / "one" / kind / "0.png")
    arguments = ["--ct", str(few / "slices"), "--papers", str(few / "papers"), "--leave-one-out"]
    assert training.main(arguments) == 0
    out = capsys.readouterr().out
    assert "no paper trained on: 1 of 2 right, accuracy 0.500 (95 % Wilson interval" in out
    assert "one paper left out" in out


def test_each_kind_of_picture_is_counted_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, truth in (("blank", "other"), ("black", "ct")):
        (tmp_path / kind / truth).mkdir(parents=True)
        Image.fromarray(np.zeros((50, 50), np.uint8)).save(tmp_path / kind / truth / "0.png")
    assert sorting_study.main(["--kinds", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "other blank" in out
    assert "all   1 of 2 right, 0.500" in out


def test_a_folder_without_kinds_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorting_study.main(["--kinds", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: no pictures in")


@pytest.mark.parametrize("medical", [False, True])
def test_a_varied_picture_is_one_that_can_be_looked_at_and_the_same_each_time(*, medical: bool) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    for seed in range(40):
        first, again = (varied(picture, np.random.default_rng(seed), medical=medical) for _ in range(2))
        assert first.dtype == np.uint8
        assert first.shape[2] == 3
        assert min(first.shape[:2]) >= 8
        assert (first == again).all()


def test_made_pictures_hold_no_undefined_numbers() -> None:
    random = np.random.default_rng(4)
    with np.errstate(all="raise", under="ignore"):
        for kind in ("projection", "emission", "resonance", "tissue"):
            assert len({lookalike(kind, random).std() > 1 for _ in range(5)} - {True}) == 0


def test_an_empty_folder_is_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert training.main(["--ct", str(tmp_path / "empty"), "--out", str(tmp_path / "m.npz")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: no pictures in")
    assert error.count("\n") == 1
    assert not (tmp_path / "m.npz").exists()


@pytest.mark.data
def test_real_slices_are_ct(real_data: Path) -> None:
    files = sorted((real_data / "covid-ct").rglob("*.png"))[::20]
    seen = [probability(np.asarray(Image.open(f).convert("RGB"))) >= 0.5 for f in files]
    assert np.mean(seen) > 0.9
