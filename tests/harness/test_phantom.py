"""The phantom: the same everywhere, free of shortcuts, made once and made whole."""

from __future__ import annotations

import csv
import dataclasses
import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.cards import Card, load_card
from harness.data.dataset import open_dataset
from harness.data.decoding import pixels_sha256
from harness.data.phantom import (
    CLASSES,
    SEED,
    SLICES,
    Patient,
    PhantomAdapter,
    Slice,
    lists,
    patients,
    render,
    write_dataset,
    write_lists,
)
from harness.data.phantom import __main__ as command
from harness.data.phantom import adapter as making
from harness.data.phantom.anatomy import OUTLINE, Body
from harness.data.phantom.difficulty import probes
from harness.data.phantom.draws import Draws
from harness.data.phantom.fields import Grid, rods, union
from harness.data.phantom.scanner import Scan
from harness.errors import CardError, DataError, HarnessError, UsageError
from harness.folders import bundled

BUNDLED = bundled("datasets") / "ct-phantom"
DEVELOPMENT_SEED = 1000
FEW = 6
"""Patients of the datasets that the tests make: 24 slices."""

UNITS = [0.04828109515842993, 0.6630145556287496]
NORMALS = [-1.8068713008857233, -0.9855901904812321]
"""What Philox gives for these names, for good."""

COHORT = patients(DEVELOPMENT_SEED, 16)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of_finding(finding: str) -> Patient:
    return next(
        patient for seed in range(1000, 1020) for patient in patients(seed) if patient.finding == finding
    )


def without_finding(patient: Patient) -> Patient:
    return dataclasses.replace(patient, label="non-COVID", finding="none")


def grown(mask: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        wide = np.pad(mask, 1)
        mask = wide[1:-1, 1:-1] | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    return mask


@pytest.fixture(scope="module")
def slices() -> list[tuple[Patient, Slice]]:
    return [(patient, render(patient, index)) for patient in COHORT for index in range(SLICES)]


@pytest.fixture(scope="module")
def drawn_card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """The card of a small phantom as it is."""
    folder = tmp_path_factory.mktemp("phantom")
    write_dataset(folder, DEVELOPMENT_SEED, FEW)
    return load_card(folder / "card.toml")


@pytest.fixture
def renders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was rendered, in order: work is counted, not timed. Each slice is a few pixels only."""
    seen: list[str] = []

    def counted(patient: Patient, index: int) -> Slice:
        seen.append(f"{patient.group}-{index + 1}")
        grey = Draws(patient.seed, patient.number, index).units(5, 7) * 256
        return Slice(grey.astype(np.uint8), grey > 200, grey > 100)

    monkeypatch.setattr(making, "render", counted)
    monkeypatch.setattr(lists, "render", counted)
    return seen


@pytest.fixture
def card(tmp_path: Path, renders: list[str]) -> Card:
    """The card of a phantom of a few pixels: for what is done with the files."""
    write_dataset(tmp_path / "card", DEVELOPMENT_SEED, FEW)
    renders.clear()
    return load_card(tmp_path / "card/card.toml")


def changed(card: Card, **fields: object) -> Card:
    copy = card.model_copy(update=fields)
    copy._path = card.path
    return copy


class TestTheSameEverywhere:
    def test_a_stream_is_known_by_its_names(self) -> None:
        assert Draws("ct-phantom", 1, "body").units(2).tolist() == UNITS
        assert Draws("ct-phantom", 1, "body").normals(2).tolist() == NORMALS

    def test_a_slice_is_drawn_to_the_same_bits(self) -> None:
        first, second = render(COHORT[0], 1), render(COHORT[0], 1)
        assert (first.image == second.image).all()
        assert (first.lesion == second.lesion).all()

    def test_another_seed_draws_another_slice(self) -> None:
        other = dataclasses.replace(COHORT[0], seed=DEVELOPMENT_SEED + 1)
        assert pixels_sha256(render(other, 1).image) != pixels_sha256(render(COHORT[0], 1).image)

    def test_the_committed_lists_name_the_cohort(self) -> None:
        cohort = patients(SEED)
        people = [dataclasses.asdict(patient) | {"group": patient.group} for patient in cohort]
        columns = ("group", "label", "split", "finding", "background")
        assert rows_of(BUNDLED / "patients.csv") == [{c: person[c] for c in columns} for person in people]
        images = [(making.image_file(p, i), p.label, p.group, p.split) for p in cohort for i in range(SLICES)]
        listed = rows_of(BUNDLED / "files.csv")
        assert [(r["file"], r["label"], r["group"], r["split"]) for r in listed] == images

    @pytest.mark.parametrize("number", [1, 20, 41, 62, 83, 96])
    def test_this_machine_computes_the_committed_pixels(self, number: int) -> None:
        listed = rows_of(BUNDLED / "files.csv")[(number - 1) * SLICES : number * SLICES]
        images = [render(patients(SEED)[number - 1], index).image for index in range(SLICES)]
        assert [row["pixels_sha256"] for row in listed] == [pixels_sha256(image) for image in images]

    @pytest.mark.slow
    def test_the_command_makes_the_committed_lists(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["phantom", "--list", str(tmp_path)])
        command.main()
        for name in ("files.csv", "patients.csv"):
            assert (tmp_path / name).read_bytes() == (BUNDLED / name).read_bytes()

    def test_drawing_needs_numpy_and_pillow_alone(self) -> None:
        heavy = ("torch", "torchvision", "sklearn", "scipy", "pandas")
        code = (
            "import sys; from harness.data.phantom import patients, render; render(patients(1000)[0], 0); "
            f"print([name for name in {heavy} if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestDraws:
    def test_normals_have_mean_zero_and_variance_one(self) -> None:
        values = Draws("normals").normals(200, 500)
        assert abs(values.mean()) < 0.02
        assert abs(values.var() - 1) < 0.02

    def test_integers_reach_both_ends(self) -> None:
        draws = Draws("integers")
        assert Counter(draws.integer(2, 4) for _ in range(300)).keys() == {2, 3, 4}

    def test_pick_follows_the_weights(self) -> None:
        draws = Draws("pick")
        counts = Counter(draws.pick({"often": 9, "seldom": 1, "never": 0}) for _ in range(2000))
        assert counts["never"] == 0
        assert 120 < counts["seldom"] < 280

    def test_directions_have_length_one(self) -> None:
        draws = Draws("direction")
        assert all(abs(x * x + y * y - 1) < 1e-12 for x, y in (draws.direction() for _ in range(50)))

    def test_a_place_without_weight_is_never_drawn(self) -> None:
        weights = np.array([[0, 3, 0], [0, 0, 5]])
        draws = Draws("place")
        assert {draws.place(weights) for _ in range(60)} == {(0, 1), (1, 2)}

    def test_there_is_no_place_where_all_weights_are_zero(self) -> None:
        assert Draws("place").place(np.zeros((2, 2), np.int64)) is None


class TestFields:
    def test_a_box_holds_every_pixel_within_reach(self) -> None:
        grid = Grid(40, 60, (1.5, 1.2), centre=(4.0, -3.0), turn=(0.8, 0.6))
        x, y = grid.coordinates()
        near = (x - 6) ** 2 + (y - 2) ** 2 < 9.0**2
        inside = np.zeros(near.shape, bool)
        inside[grid.box(6, 2, 9.0)] = True
        assert near.any()
        assert not (near & ~inside).any()

    def test_a_box_off_the_grid_is_empty(self) -> None:
        x, _ = (grid := Grid(10, 10, (1.0, 1.0))).coordinates(grid.box(500, 500, 3))
        assert x.size == 0

    def test_a_rod_that_is_cut_up_is_one_rod(self) -> None:
        grid = Grid(21, 81, (1.0, 1.0))
        long = rods(grid, np.array([[-30.0, 0.0, 30.0, 0.0]]), np.array([[3.0, 3.0]]))
        assert (long[10, 10:71] == 1.0).all()
        assert (long[:, :6] == 0).all()
        assert (long[10 + 5 :] == 0).all()

    def test_a_union_holds_both_shapes(self) -> None:
        first, second = np.float32([-5, 2, -5]), np.float32([-5, -5, 3])
        assert (union(first, second, 1.0) > 0).tolist() == [False, True, True]


class TestCohort:
    def test_half_of_the_patients_have_covid(self) -> None:
        assert Counter(patient.label for patient in patients()) == {"COVID": 48, "non-COVID": 48}

    def test_both_classes_are_split_alike_by_patient(self) -> None:
        counts = Counter((patient.label, patient.split) for patient in patients())
        assert counts == {
            (label, split): n for label in CLASSES for split, n in (("train", 29), ("val", 7), ("test", 12))
        }

    def test_each_patient_is_on_one_side_only(self) -> None:
        sides: dict[str, set[str]] = {}
        for row in rows_of(BUNDLED / "files.csv"):
            sides.setdefault(row["group"], set()).add(row["split"])
        assert len(sides) == 96
        assert all(len(side) == 1 for side in sides.values())

    @pytest.mark.parametrize("count", [0, 4, 7])
    def test_a_cohort_that_cannot_be_split_is_refused(self, count: int) -> None:
        with pytest.raises(ValueError, match="cannot be split"):
            patients(DEVELOPMENT_SEED, count)

    def test_findings_belong_to_their_class(self) -> None:
        found = {(patient.label, patient.finding) for patient in patients()}
        assert {finding for label, finding in found if label == "COVID"} <= {
            "subtle",
            "moderate",
            "extensive",
        }
        assert {finding for label, finding in found if label != "COVID"} <= {"none", "pneumonia", "oedema"}


class TestNoShortcut:
    @pytest.mark.parametrize("finding", ["subtle", "moderate", "extensive", "pneumonia", "oedema"])
    def test_a_finding_changes_nothing_outside_the_lungs(self, finding: str) -> None:
        patient = of_finding(finding)
        ill, well = render(patient, 2), render(without_finding(patient), 2)
        differs = ill.image != well.image
        assert ill.image.shape == well.image.shape
        assert differs.any()
        assert not (differs & ~grown(well.lungs, 10)).any()

    def test_body_scan_and_background_are_drawn_alike_for_both_classes(self) -> None:
        by_class = {label: self.nuisances(label) for label in CLASSES}
        covid, other = by_class["COVID"], by_class["non-COVID"]
        error = np.sqrt(covid.var(axis=0) / len(covid) + other.var(axis=0) / len(other))
        z = (covid.mean(axis=0) - other.mean(axis=0)) / error
        assert z.shape[0] > 20
        assert np.abs(z).max() < 3.5

    @staticmethod
    def nuisances(label: str) -> np.ndarray:
        """Return what was drawn for the patients of a class (N, d), lesions apart."""
        table = []
        for patient in (p for seed in range(2000, 2016) for p in patients(seed) if p.label == label):
            body = Body.drawn(patient.draws("body"))
            scan = Scan.drawn(patient.draws("scan"), 2 * OUTLINE[2][1] * body.size)
            values = [*dataclasses.asdict(body).values(), *dataclasses.asdict(scan).values()]
            kinds = [patient.background == kind for kind in ("none", "emphysema", "effusion", "nodule")]
            table.append([float(value or 0.0) for value in [*values, *kinds] if not isinstance(value, tuple)])
        return np.array(table)

    def test_sizes_vary_from_patient_to_patient(self, slices: list[tuple[Patient, Slice]]) -> None:
        shapes = {made.image.shape for _, made in slices}
        assert len(shapes) > len(COHORT) // 2
        assert all(128 <= height <= 256 and 160 <= width <= 256 for height, width in shapes)

    @pytest.mark.slow
    def test_without_findings_nothing_tells_the_classes_apart(self) -> None:
        auc = {probe.features: probe.auc for probe in probes(DEVELOPMENT_SEED, ["svm"])}
        assert all(value < 0.62 for name, value in auc.items() if name.endswith("no findings"))
        assert auc["global statistics"] < 0.65
        assert 0.65 < auc["gradient histograms"] < 0.97


class TestLesions:
    def test_there_are_some_in_every_covid_slice(self, slices: list[tuple[Patient, Slice]]) -> None:
        assert all(made.lesion.sum() >= 12 for patient, made in slices if patient.label == "COVID")

    def test_there_are_none_in_the_other_class(self, slices: list[tuple[Patient, Slice]]) -> None:
        assert not any(made.lesion.any() for patient, made in slices if patient.label != "COVID")

    def test_they_lie_in_the_lungs(self, slices: list[tuple[Patient, Slice]]) -> None:
        assert not any((made.lesion & ~made.lungs).any() for _, made in slices)

    def test_masks_have_the_size_of_their_image(self, slices: list[tuple[Patient, Slice]]) -> None:
        assert all(made.lesion.shape == made.image.shape for _, made in slices)

    @pytest.mark.parametrize("finding", ["subtle", "moderate", "extensive"])
    def test_they_are_brighter_than_the_same_lung_without_them(self, finding: str) -> None:
        patient = of_finding(finding)
        ill, well = render(patient, 2), render(without_finding(patient), 2)
        assert ill.image[ill.lesion].mean() > well.image[ill.lesion].mean() + 8


class TestFiles:
    def test_they_are_what_was_rendered(self, drawn_card: Card, tmp_path: Path) -> None:
        phantom = PhantomAdapter(drawn_card, tmp_path / "made")
        phantom.prepare()
        patient = patients(DEVELOPMENT_SEED, FEW)[2]
        sample = phantom.samples()[2 * SLICES]
        assert (sample.id, sample.group, sample.split) == (
            "images/patient-003-1.png",
            "patient-003",
            patient.split,
        )
        assert drawn_card.classes[sample.label] == patient.label
        assert (phantom.lesion_mask(sample.id) == render(patient, 0).lesion).all()

    def test_they_are_verified_when_the_dataset_is_opened(self, drawn_card: Card) -> None:
        dataset = open_dataset(str(drawn_card.path))
        assert len(dataset) == FEW * SLICES
        assert dataset.warnings == ()
        assert dataset.pixel_digests == tuple(
            pixels_sha256(render(patient, index).image)
            for patient in patients(DEVELOPMENT_SEED, FEW)
            for index in range(SLICES)
        )

    def test_they_are_made_once(self, card: Card, tmp_path: Path, renders: list[str]) -> None:
        for _ in range(2):
            PhantomAdapter(card, tmp_path / "made").prepare()
        assert len(renders) == FEW * SLICES

    def test_making_them_again_gives_the_same_bytes(self, card: Card, tmp_path: Path) -> None:
        for name in ("a", "b"):
            PhantomAdapter(card, tmp_path / name).prepare()
        assert (tmp_path / "a/made.json").read_bytes() == (tmp_path / "b/made.json").read_bytes()

    def test_progress_rises_to_one(self, card: Card, tmp_path: Path) -> None:
        told: list[float | None] = []
        PhantomAdapter(card, tmp_path / "made").prepare(lambda _, fraction: told.append(fraction))
        assert told == [number / (FEW * SLICES) for number in range(1, FEW * SLICES + 1)]

    @pytest.mark.parametrize("file", ["images/patient-002-3.png", "masks/patient-002-3.png", "made.json"])
    @pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
    def test_a_missing_or_damaged_file_is_noticed_and_made_again(
        self, card: Card, tmp_path: Path, renders: list[str], file: str, harm: Callable[[Path], object]
    ) -> None:
        phantom = PhantomAdapter(card, tmp_path / "made")
        phantom.prepare()
        sound = (tmp_path / "made" / file).read_bytes()
        harm(tmp_path / "made" / file)
        told: list[str] = []
        phantom.prepare(lambda what, _: told.append(what))
        assert (tmp_path / "made" / file).read_bytes() == sound
        assert len(renders) == 2 * FEW * SLICES
        assert "again, for files are missing or damaged" in told[0]

    def test_files_made_for_another_list_are_made_again(
        self, card: Card, tmp_path: Path, renders: list[str]
    ) -> None:
        root = tmp_path / "made"
        PhantomAdapter(card, root).prepare()
        write_dataset(tmp_path / "other", DEVELOPMENT_SEED + 1, FEW)
        renders.clear()
        PhantomAdapter(load_card(tmp_path / "other/card.toml"), root).prepare()
        assert len(renders) == FEW * SLICES

    def test_a_process_that_was_killed_half_way_leaves_nothing_that_counts(
        self, drawn_card: Card, tmp_path: Path
    ) -> None:
        root = tmp_path / "made"
        code = (
            "import sys, pathlib; from harness.data.cards import load_card; from harness.data.phantom import *\n"
            "card = load_card(pathlib.Path(sys.argv[1]))\n"
            "PhantomAdapter(card, sys.argv[2]).prepare(lambda _, fraction: print(fraction, flush=True))\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(drawn_card.path), str(root)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(5):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        assert not root.exists()
        assert len(list(tmp_path.glob(".tmp-made-*"))) == 1
        (phantom := PhantomAdapter(drawn_card, root)).prepare()
        assert all(sample.path.is_file() for sample in phantom.samples())
        assert list(tmp_path.glob(".tmp-made-*")) == []

    def test_an_interruption_leaves_no_file_behind(
        self, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(patient: Patient, index: int) -> Slice:
            if index == 2:
                raise KeyboardInterrupt
            return made(patient, index)

        made = making.render
        monkeypatch.setattr(making, "render", interrupted)
        with pytest.raises(KeyboardInterrupt):
            PhantomAdapter(card, tmp_path / "made").prepare()
        assert {path.name for path in tmp_path.iterdir()} <= {"card", ".made.lock"}

    def test_two_at_a_time_share_the_work(self, card: Card, tmp_path: Path, renders: list[str]) -> None:
        threads = [threading.Thread(target=PhantomAdapter(card, tmp_path / "made").prepare) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(renders) == FEW * SLICES

    def test_a_folder_that_cannot_be_written_is_one_line(self, card: Card, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(HarnessError, match="cannot be written") as caught:
            PhantomAdapter(card, tmp_path / "file/made").prepare()
        assert "\n" not in str(caught.value)

    def test_a_folder_with_files_of_somebody_else_is_left_alone(self, card: Card) -> None:
        assert card.path is not None
        with pytest.raises(DataError, match="holds 'card.toml', which is none of them"):
            PhantomAdapter(card, card.path.parent).prepare()
        assert {path.name for path in card.path.parent.iterdir()} == {
            "card.toml",
            "files.csv",
            "patients.csv",
        }

    def test_other_pixels_than_the_list_states_are_refused(self, card: Card, tmp_path: Path) -> None:
        wrong = changed(card, options={"seed": DEVELOPMENT_SEED + 1, "patients": FEW})
        with pytest.raises(DataError, match="computes other pixels than its list states"):
            PhantomAdapter(wrong, tmp_path / "made").prepare()
        assert not (tmp_path / "made").exists()

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({}, "'options.seed' is None, expected a whole number"),
            ({"seed": "x"}, "'options.seed' is 'x', expected a whole number"),
            ({"seed": True}, "'options.seed' is True"),
            ({"seed": 1, "patients": 5}, "5 patients cannot be split"),
            ({"seed": 1, "colour": 2}, "'options.colour' is none of"),
        ],
    )
    def test_options_that_make_no_sense_are_named(
        self, card: Card, tmp_path: Path, options: dict[str, object], complaint: str
    ) -> None:
        with pytest.raises(CardError, match=complaint):
            PhantomAdapter(changed(card, options=options), tmp_path / "made").prepare()

    def test_an_unknown_sample_has_no_mask(self, card: Card, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="has no sample 'images/nobody.png'"):
            PhantomAdapter(card, tmp_path / "made").lesion_mask("images/nobody.png")

    def test_a_mask_that_was_not_made_is_named(self, card: Card, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"masks/patient-001-1\.png.* cannot be read"):
            PhantomAdapter(card, tmp_path / "made").lesion_mask("images/patient-001-1.png")

    def test_the_made_file_names_every_image_and_mask(self, card: Card, tmp_path: Path) -> None:
        PhantomAdapter(card, tmp_path / "made").prepare()
        named = set(json.loads((tmp_path / "made/made.json").read_text())["files"])
        there = {
            path.relative_to(tmp_path / "made").as_posix() for path in (tmp_path / "made").rglob("*.png")
        }
        assert named == there
        assert len(there) == 2 * FEW * SLICES

    @pytest.mark.slow
    def test_the_bundled_phantom_opens_whole(self) -> None:
        dataset = open_dataset("ct-phantom")
        phantom = PhantomAdapter(dataset.card, dataset.root)
        has_lesion = [phantom.lesion_mask(sample.id).any() for sample in dataset.samples]
        assert has_lesion == [sample.label == 1 for sample in dataset.samples]
        assert dataset.warnings == ()


class TestCommand:
    def test_a_card_is_never_overwritten(self, card: Card) -> None:
        assert card.path is not None
        with pytest.raises(UsageError, match="is there already"):
            write_dataset(card.path.parent, DEVELOPMENT_SEED, FEW)

    def test_lists_are_written_where_they_are_asked_for(
        self, tmp_path: Path, renders: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arguments = ["--list", str(tmp_path / "new"), "--seed", "1003", "--patients", "6"]
        monkeypatch.setattr(sys, "argv", ["phantom", *arguments])
        command.main()
        write_lists(tmp_path / "same", 1003, 6)
        for name in ("files.csv", "patients.csv"):
            assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "same" / name).read_bytes()

    def test_a_cohort_that_cannot_be_split_is_a_usage_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["phantom", "--list", str(tmp_path), "--patients", "7"])
        with pytest.raises(SystemExit) as caught:
            command.main()
        assert caught.value.code == 2
        assert "7 patients cannot be split" in capsys.readouterr().err

    def test_the_figure_is_a_small_picture(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "images/figure.png"
        monkeypatch.setattr(sys, "argv", ["phantom", "--figure", str(path), "--seed", "1000"])
        command.main()
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 300_000
