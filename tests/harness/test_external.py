"""Trained on one dataset, tested on another: what is refused, which images are which, and what may be seen."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_prototypes
from PIL import Image
from toys import install_plugin
from two_datasets import SHARED, dark_and_bright, light_and_night

from harness import split_network, stages
from harness.budgets import Budget
from harness.cli import main
from harness.data.dataset import Dataset, open_dataset
from harness.data.joined import Joined, join, matched_classes
from harness.errors import DataError, DatasetMissing, SealedPart, UnknownName, UsageError
from harness.execution import run_model
from harness.journals import Shelf
from harness.planning import Cell, Plan, Request, make_plan
from harness.protocols import splits_of
from harness.runs import material_of, of_dataset
from harness.types import Split


@pytest.fixture
def cards(tmp_path: Path) -> tuple[Path, Path]:
    return dark_and_bright(tmp_path), light_and_night(tmp_path)


@pytest.fixture
def joined(cards: tuple[Path, Path]) -> Joined:
    home, away = (open_dataset(str(card)) for card in cards)
    return join(home, away)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    from harness import registry

    made = install_plugin(tmp_path / "site")
    monkeypatch.syspath_prepend(str(made))
    registry._plugins.cache_clear()
    yield made
    registry._plugins.cache_clear()
    sys.modules.pop("toy_models", None)


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def plan_of(tmp_path: Path, *datasets: Path | str, protocols: tuple[str, ...], **asked: Any) -> Plan:
    request = Request(
        datasets=tuple(map(str, datasets)),
        models=("toy-bright",),
        out=tmp_path / "out",
        protocols=protocols,
        device="cpu",
        **asked,
    )
    return make_plan(request)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("protocol", "said"),
        [
            ("external:", "name the dataset to test on, such as 'external:covid-ct'"),
            ("externl:covid-ct", "unknown protocol 'externl'; you probably meant 'external'"),
            ("official:covid-ct", "unknown protocol 'official'"),
        ],
    )
    def test_what_is_no_protocol(self, protocol: str, said: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=said):
            plan_of(tmp_path, "ct-phantom", protocols=(protocol,))

    def test_a_misspelt_dataset_is_answered_with_a_close_name(self, tmp_path: Path, site: Path) -> None:
        with pytest.raises(
            UnknownName, match="unknown dataset 'sars-cov-ct'; you probably meant 'sars-cov-2-ct'"
        ):
            plan_of(tmp_path, "ct-phantom", protocols=("external:sars-cov-ct",))

    def test_the_same_dataset_on_both_sides(
        self, tmp_path: Path, site: Path, cards: tuple[Path, Path]
    ) -> None:
        for other in (cards[0], cards[0].parent):
            with pytest.raises(UsageError, match="'toy-ct' would be trained on and tested on"):
                plan_of(tmp_path, cards[0], protocols=(f"external:{other}",))

    def test_external_alone_with_one_dataset(
        self, tmp_path: Path, site: Path, cards: tuple[Path, Path]
    ) -> None:
        for datasets in (cards[:1], (cards[0], cards[0].parent)):
            with pytest.raises(UsageError, match="'external' needs two datasets"):
                plan_of(tmp_path, *datasets, protocols=("external",))

    def test_another_dataset_whose_files_are_nowhere_leaves_the_rest(
        self, tmp_path: Path, site: Path, cards: tuple[Path, Path]
    ) -> None:
        plan = plan_of(tmp_path, cards[0], protocols=("official", "external:covid-ct"))
        assert [planned.cell.protocol for planned in plan.cells] == ["official"]
        assert len(plan.problems) == 1
        assert plan.problems[0].startswith("dataset 'covid-ct' was not found")

    @pytest.mark.parametrize(
        ("shared", "said"),
        [
            ("", "dataset 'other-ct': the class 'light' has no shared name"),
            (
                '\n[shared_classes]\nlight = "high"\n',
                "dataset 'other-ct': the class 'night' has no shared name",
            ),
            (
                '\n[shared_classes]\nlight = "high"\nnight = "lo"\n',
                "the classes of 'toy-ct' and 'other-ct' do not match: 'dark' of 'toy-ct' is 'low', and 'other-ct' has "
                "none of that shared name, only 'high', 'lo'",
            ),
            (
                '\n[shared_classes]\nlight = "low"\nnight = "high"\n',
                "the positive classes differ: 'high' of 'toy-ct', 'low' of 'other-ct'",
            ),
        ],
    )
    def test_classes_that_do_not_match_are_named(self, shared: str, said: str, tmp_path: Path) -> None:
        home = open_dataset(str(dark_and_bright(tmp_path)))
        away = open_dataset(str(light_and_night(tmp_path, shared=shared)))
        with pytest.raises(DataError) as error:
            join(home, away)
        assert said in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_pair_that_was_asked_for_is_a_problem_one_of_all_pairs_is_left_out(
        self, tmp_path: Path, site: Path, cards: tuple[Path, Path]
    ) -> None:
        third = light_and_night(tmp_path, name="third-ct", shared="")
        plan = plan_of(tmp_path, *cards, third, protocols=("external",))
        pairs = [(planned.cell.dataset_name, planned.cell.protocol) for planned in plan.cells]
        assert pairs == [("toy-ct", "external:other-ct"), ("other-ct", "external:toy-ct")]
        assert len(plan.skipped) == 4
        assert plan.skipped[0].startswith(
            "toy-ct, protocol 'external:third-ct': skipped, dataset 'third-ct': the class"
        )
        assert plan.problems == []
        asked = plan_of(tmp_path, cards[0], protocols=(f"external:{third}",))
        assert (asked.cells, asked.skipped, len(asked.problems)) == ([], [], 1)

    def test_an_id_that_reads_like_one_of_the_other_dataset(self, tmp_path: Path) -> None:
        home, away = (open_dataset(str(c)) for c in (dark_and_bright(tmp_path), light_and_night(tmp_path)))
        from dataclasses import replace

        clashing = away.retold(replace(s, id=f"toy-ct:{s.id}") for s in away.samples)
        with pytest.raises(DataError, match=r"the id 'toy-ct:0-0\.png' reads like one of 'toy-ct'"):
            join(home, clashing)

    def test_more_classes_than_two_are_matched_one_to_one(self, tmp_path: Path) -> None:
        home, away = (
            open_dataset(str(c)).card for c in (dark_and_bright(tmp_path), light_and_night(tmp_path))
        )
        three = {"classes": ("a", "b", "c"), "positive": None}
        ours = home.model_copy(update={**three, "shared_classes": {"a": "x", "b": "y", "c": "z"}})
        theirs = away.model_copy(update={**three, "shared_classes": {"a": "z", "b": "x", "c": "y"}})
        assert matched_classes(ours, theirs) == {"a": "c", "b": "a", "c": "b"}


class TestWhichImages:
    def test_both_sides_are_those_of_the_official_splits(
        self, joined: Joined, cards: tuple[Path, Path]
    ) -> None:
        (split,) = splits_of(joined, "external:other-ct")
        home, away = (splits_of(open_dataset(str(card)), "official")[0] for card in cards)
        assert split.train == tuple(f"toy-ct:{i}" for i in home.train)
        assert split.val == tuple(f"toy-ct:{i}" for i in home.val)
        assert split.test == away.test
        assert (split.protocol, split.fold, split.folds) == ("external:other-ct", 0, 1)

    def test_every_seed_has_the_same_split(self, joined: Joined) -> None:
        first, second = (splits_of(joined, "external:other-ct", seed=seed)[0] for seed in (0, 1))
        assert (first.train, first.val, first.test) == (second.train, second.val, second.test)

    def test_without_a_split_all_images_are_learned_from_and_patients_stay_together(
        self, tmp_path: Path
    ) -> None:
        home = open_dataset(str(light_and_night(tmp_path, split=False)))
        away = open_dataset(str(dark_and_bright(tmp_path)))
        (split,) = splits_of(join(home, away), "external:toy-ct")
        assert len(split.train) + len(split.val) == len(home)
        patients = [{i.rpartition("-")[0] for i in part} for part in (split.train, split.val)]
        assert not patients[0] & patients[1]

    def test_without_a_split_all_images_of_the_other_are_tested(self, tmp_path: Path) -> None:
        home = open_dataset(str(dark_and_bright(tmp_path)))
        away = open_dataset(str(light_and_night(tmp_path, split=False)))
        (split,) = splits_of(join(home, away), "external:other-ct")
        assert split.test == tuple(sample.id for sample in away.samples)

    def test_labels_are_in_the_words_of_the_dataset_trained_on(self, joined: Joined) -> None:
        away = joined.away
        for sample_id in ("0-0.png", "1-0.png"):  # patient 0 is dark, patient 1 bright
            (row,) = joined.rows([sample_id]).tolist()
            assert row >= len(joined.home)
            assert joined.card.classes[joined.labels[row]] == ("dark", "bright")[int(sample_id[0])]
        assert away.labels.tolist() == joined.labels[len(joined.home) :].tolist()

    def test_the_contents_of_both_datasets_stay_so_that_nothing_is_read_twice(
        self, joined: Joined, cards: tuple[Path, Path]
    ) -> None:
        alone = [open_dataset(str(card)).content for card in cards]
        assert [joined.home.content, joined.away.content] == alone
        assert joined.content not in alone

    def test_pixels_of_both_are_found_by_row(self, joined: Joined) -> None:
        pixels = joined.pixels()
        assert len(pixels) == len(joined)
        for row in (0, len(joined.home) - 1, len(joined.home), len(joined) - 1):
            own = np.array(Image.open(joined.samples[row].path))
            np.testing.assert_array_equal(pixels.image(row), own)
        assert pixels.resized(8).shape == (len(joined), 8, 8)

    def test_patients_of_the_same_name_are_not_the_same(self, joined: Joined) -> None:
        (split,) = splits_of(joined, "external:other-ct")
        found = of_dataset(joined, split)["dataset"]["on_two_sides"]
        assert found["groups"] == 0
        assert found["tested_groups"] > 0
        told = stages.group_digests(joined, split.test).keys()
        assert told == stages.group_digests(joined.away, split.test).keys()
        assert not told & stages.group_digests(joined.home, split.train).keys()

    def test_identical_images_in_both_are_found(self, cards: tuple[Path, Path]) -> None:
        shutil.copy(cards[0].parent / "0-0.png", cards[1].parent / "4-1.png")
        joined = join(*(open_dataset(str(card)) for card in cards))
        (split,) = splits_of(joined, "external:other-ct")
        found = of_dataset(joined, split)["dataset"]["on_two_sides"]
        assert found["identical"] == [["4-1.png", "toy-ct:0-0.png"]]


class TestWhatMayBeSeen:
    @pytest.fixture
    def split(self, joined: Joined) -> Split:
        return splits_of(joined, "external:other-ct")[0]

    def test_the_test_part_is_sealed_while_tuning(self, joined: Joined, split: Split, tmp_path: Path) -> None:
        seen: list[Any] = []

        class Curious:
            def __init__(self, *, n_classes: int, seed: int, device: str, depth: int = 1) -> None:
                self.depth = depth

            @staticmethod
            def search_space(trial: Any) -> dict[str, Any]:
                return {"depth": trial.suggest_int("depth", 1, 3)}

            def fit(
                self, images: Any, labels: np.ndarray, *, validation: Any = None, groups: Any = None
            ) -> Any:
                seen.append(len(images))
                return self

            def predict_proba(self, images: Any) -> np.ndarray:
                seen.append(len(images))
                return np.full((len(images), 2), 0.5)

        material = material_of(joined, split, device="cpu", seed=0)
        from dataclasses import replace

        with pytest.raises(SealedPart):
            replace(material, sealed=True).part("test")
        run_model(
            Curious,
            material,
            {},
            trial_parameters={},
            budget=Budget(3),
            seed=0,
            device="cpu",
            progress=lambda what, fraction: None,
            shelf=Shelf(tmp_path / "studies", "study"),
        )
        assert seen[-1] == len(split.test)
        assert all(count <= len(split.train) + len(split.val) for count in seen[:-1])

    def test_the_parts_are_images_of_the_two_datasets(self, joined: Joined, split: Split) -> None:
        material = material_of(joined, split, device="cpu", seed=0)
        images, labels, groups = material.part("train", "val")
        assert len(images) == len(split.train) + len(split.val)
        assert labels.tolist() == joined.labels[joined.rows([*split.train, *split.val])].tolist()
        np.testing.assert_array_equal(images[0], np.array(Image.open(joined.home.samples[0].path)))
        tested, hidden, _ = material.part("test")
        assert hidden.tolist() == [-1] * len(split.test)
        path = joined.samples[joined.rows(split.test)[0]].path
        np.testing.assert_array_equal(tested[0], np.array(Image.open(path)))
        assert len(groups) == len(images)

    def test_features_of_the_split_network_are_those_of_one_trained_on_the_first_dataset(
        self, joined: Joined, split: Split, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(split_network, "images_to_see", lambda n_images: 32)
        seen: list[Any] = []
        real = split_network.train

        def watched(images_NSS: np.ndarray, labels: np.ndarray, **options: Any) -> Any:
            seen.append((images_NSS, labels))
            return real(images_NSS, labels, **options)

        monkeypatch.setattr(split_network, "train", watched)
        material = material_of(joined, split, device="cpu", seed=0)
        for part in ("train", "test"):
            assert len(material.part(part)[0].features("split-network")) == len(getattr(split, part))
        rows = joined.rows(split.train)
        for images, labels in seen:
            np.testing.assert_array_equal(images, joined.home.pixels().resized(split_network.SIZE_PX)[rows])
            assert labels.tolist() == joined.labels[rows].tolist()

    def test_products_across_the_datasets_are_those_of_their_features(
        self, joined: Joined, split: Split, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(split_network, "images_to_see", lambda n_images: 32)
        material = material_of(joined, split, device="cpu", seed=0)
        train, test = material.part("train")[0], material.part("test")[0]
        product = test.gram("split-network", other=train)
        features = [each.features("split-network").astype(np.float64) for each in (test, train)]
        np.testing.assert_allclose(product, features[0] @ features[1].T)


def cell_of(tmp_path: Path, cards: tuple[Path, Path], protocol: str = "", **asked: Any) -> Cell:
    plan = plan_of(tmp_path, cards[0], protocols=(protocol or f"external:{cards[1]}",), **asked)
    (planned,) = plan.cells
    return planned.cell


def pixel(path: Path) -> None:
    pixels = np.array(Image.open(path))
    pixels[0, 0] = 255 - pixels[0, 0]
    Image.fromarray(pixels).save(path)


MISSES: dict[str, Callable[[Path, Path], None]] = {
    "a pixel of a training image": lambda home, away: pixel(home.parent / "0-0.png"),
    "a pixel of a test image": lambda home, away: pixel(away.parent / "4-0.png"),
    "a label of a test image": lambda home, away: edit(
        away.parent / "files.csv", "4-0.png,night", "4-0.png,light"
    ),
    "the split of the dataset trained on": lambda home, away: edit(
        home.parent / "files.csv", "p0,train", "p0,test"
    ),
    "the split of the dataset tested on": lambda home, away: edit(
        away.parent / "files.csv", "p0,train", "p0,test"
    ),
    "what the classes of one card are in the other": lambda home, away: (
        edit(away, SHARED.format(dark="night", bright="light"), SHARED.format(dark="light", bright="night")),
        edit(away, 'positive = "light"', 'positive = "night"'),
    )[0],
    "the name of a class of the dataset tested on": lambda home, away: (
        edit(away, "night", "gloom"),
        edit(away.parent / "files.csv", "night", "gloom"),
    )[0],
    "the shared name of a class on both cards": lambda home, away: (
        edit(home, '"low"', '"little"'),
        edit(away, '"low"', '"little"'),
    )[0],
}


@pytest.mark.parametrize("what", MISSES)
def test_whatever_can_change_a_number_or_its_meaning_changes_the_key(
    what: str, tmp_path: Path, site: Path, cards: tuple[Path, Path]
) -> None:
    before = cell_of(tmp_path, cards).key
    MISSES[what](*cards)
    assert cell_of(tmp_path, cards).key != before


def test_the_title_of_the_other_dataset_leaves_the_key(
    tmp_path: Path, site: Path, cards: tuple[Path, Path]
) -> None:
    before = cell_of(tmp_path, cards).key
    edit(cards[1], "CC0-1.0", "MIT")
    assert cell_of(tmp_path, cards).key == before


def test_trials_are_those_of_the_first_datasets_own_board(
    tmp_path: Path, site: Path, cards: tuple[Path, Path]
) -> None:
    away, home = cell_of(tmp_path, cards), cell_of(tmp_path, cards, "official")
    assert away.study == home.study
    assert away.key != home.key


def run(folder: Path, *arguments: str, site: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "HARNESS_CACHE": str(folder / "cache"),
        "COLUMNS": "200",
    }
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with two datasets, both ways run between them and at home, and what the command printed."""
    folder = tmp_path_factory.mktemp("external")
    site = toy_prototypes.install(folder / "site")
    datasets = f"{dark_and_bright(folder)},{light_and_night(folder)}"
    done = run(
        folder,
        *(
            "run",
            "-d",
            datasets,
            "-m",
            "levels",
            "-p",
            "official,external",
            "--trials",
            "1",
            "--workers",
            "1",
        ),
        *("-o", str(folder / "out")),
        site=site,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def manifests(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = [json.loads(p.read_text()) for p in (folder / "out/runs").glob("[!.]*/manifest.json")]
    return {(m["dataset"]["name"], m["protocol"]["name"]): m for m in found}


class TestARun:
    def test_records_name_both_datasets(self, finished: tuple[Path, str]) -> None:
        found = manifests(finished[0])
        assert len(found) == 4
        dataset = found["toy-ct", "external:other-ct"]["dataset"]
        assert (dataset["name"], dataset["classes"], dataset["positive"]) == (
            "toy-ct",
            ["dark", "bright"],
            "bright",
        )
        assert dataset["title"] == "Trained on Bright and dark squares, tested on Nights and days"
        sides = dataset["sides"]
        assert [sides[side]["name"] for side in ("trained_on", "tested_on")] == ["toy-ct", "other-ct"]
        homes = [found[name, "official"]["dataset"]["content"] for name in ("toy-ct", "other-ct")]
        assert [sides[side]["content"] for side in ("trained_on", "tested_on")] == homes
        assert sides["classes"] == [
            {"shared": "low", "trained_on": "dark", "tested_on": "night"},
            {"shared": "high", "trained_on": "bright", "tested_on": "light"},
        ]

    def test_predictions_bear_the_ids_of_the_dataset_tested_on(self, finished: tuple[Path, str]) -> None:
        import pandas as pd

        found = manifests(finished[0])
        away, home = (
            pd.read_parquet(finished[0] / "out/runs" / found[key]["key"] / "predictions.parquet")
            for key in (("toy-ct", "external:other-ct"), ("other-ct", "official"))
        )
        assert away["id"].tolist() == home["id"].tolist()
        assert away["group"].tolist() == home["group"].tolist()
        words = {"dark": "night", "bright": "light"}
        assert [words[label] for label in away["label"]] == home["label"].tolist()

    def test_the_board_says_what_was_trained_on_and_tested_on(self, finished: tuple[Path, str]) -> None:
        folder, printed = finished
        text = (folder / "out/toy-ct/external-other-ct.md").read_text()
        assert text.startswith(
            "# Trained on Bright and dark squares, tested on Nights and days: external:other-ct"
        )
        assert "no image of the second was used" in " ".join(text.split())
        assert "external-other-ct" in (folder / "out/index.md").read_text()
        assert "[external](external.md)" in (folder / "out/index.md").read_text()
        assert "# Trained on Bright and dark squares, tested on Nights and days" in printed
        assert "# Trained on one dataset, tested on another" in printed

    def test_the_square_of_both_datasets_is_complete(self, finished: tuple[Path, str]) -> None:
        with (finished[0] / "out/external.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert [(line["trained_on"], line["tested_on"]) for line in lines] == [
            ("other-ct", "other-ct"),
            ("other-ct", "toy-ct"),
            ("toy-ct", "other-ct"),
            ("toy-ct", "toy-ct"),
        ]
        for line in lines:
            at_home = line["trained_on"] == line["tested_on"]
            assert (line["f1_same_images"] == "") == at_home

    def test_the_same_command_does_nothing_again(self, finished: tuple[Path, str]) -> None:
        folder = finished[0]
        datasets = f"{folder / 'toy-ct'},{folder / 'other-ct'}"
        done = run(
            folder,
            *("run", "-d", datasets, "-m", "levels", "-p", "external,official", "--trials", "1", "--dry-run"),
            *("-o", str(folder / "out")),
            site=folder / "site",
        )
        assert "plan: 4 cells, 4 already done" in " ".join((done.stdout + done.stderr).split())

    def test_explain_shows_prototypes_of_the_one_beside_images_of_the_other(
        self, finished: tuple[Path, str]
    ) -> None:
        folder = finished[0]
        cards = ["-d", str(folder / "toy-ct"), "-d", str(folder / "other-ct")]
        done = run(
            folder,
            *(
                "explain",
                *cards,
                "-p",
                "external:other-ct",
                "-o",
                str(folder / "out"),
                "--to",
                str(folder / "why"),
            ),
            site=folder / "site",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (path,) = (folder / "why").glob("toy-ct-external-other-ct-levels-*/explanation.json")
        told = json.loads(path.read_text())
        assert {rule["prototypes"][0]["id"].partition(":")[0] for rule in told["rules"]} == {"toy-ct"}
        tested = set(splits_of(open_dataset(str(folder / "other-ct")), "official")[0].test)
        assert {decision["id"] for decision in told["decisions"]} <= tested

    def test_the_report_takes_the_images_of_both_datasets(
        self, finished: tuple[Path, str], tmp_path: Path
    ) -> None:
        folder, page = finished[0], tmp_path / "report.html"
        where = ("--images", "--data-root", str(folder), "-o", str(page))
        done = run(folder, "report", str(folder / "out"), *where, site=folder / "site")
        assert done.returncode == 0, done.stdout + done.stderr
        told = re.findall(r"This file holds images of <bdi>(.*?)</bdi>", page.read_text())
        assert sorted(told) == ["Bright and dark squares", "Nights and days"]

    def test_tune_takes_up_the_trials(self, finished: tuple[Path, str]) -> None:
        folder = finished[0]
        arguments = [
            "tune",
            "-d",
            str(folder / "toy-ct"),
            "-m",
            "levels",
            "-p",
            f"external:{folder / 'other-ct'}",
        ]
        done = run(folder, *arguments, "--trials", "2", "-o", str(folder / "out"), site=folder / "site")
        assert "Traceback" not in done.stderr
        assert "toy-ct external:other-ct levels" in " ".join((done.stdout + done.stderr).split())


class TestPredictionsAlone:
    @pytest.fixture
    def harness(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., tuple[int, str, str]]:
        def call(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["harness", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
            said = capsys.readouterr()
            return int(ended.value.code or 0), said.out, said.err

        return call

    def test_ids_of_the_test_part_are_printed_and_taken(
        self,
        harness: Callable[..., tuple[int, str, str]],
        cards: tuple[Path, Path],
        tmp_path: Path,
    ) -> None:
        protocol = f"external:{cards[1]}"
        code, out, _ = harness("show", str(cards[0]), "--ids", "-p", protocol)
        ids = out.splitlines()
        assert code == 0
        assert ids == list(splits_of(open_dataset(str(cards[1])), "official")[0].test)
        path = tmp_path / "mine.csv"
        path.write_text("id,bright,dark\n" + "".join(f"{i},0.75,0.25\n" for i in ids))
        arguments = ["submit", str(path), "-d", str(cards[0]), "-p", protocol, "--name", "mine"]
        code, out, err = harness(*arguments, "-o", str(tmp_path / "out"))
        assert code == 0, err
        (made,) = (json.loads(p.read_text()) for p in (tmp_path / "out/runs").glob("*/manifest.json"))
        assert made["protocol"]["name"] == "external:other-ct"
        assert made["dataset"]["sides"]["tested_on"]["name"] == "other-ct"

    @pytest.mark.parametrize(
        ("sample_id", "said"),
        [
            ("toy-ct:0-0.png", "'toy-ct:0-0.png' is in the training part of 'external:other-ct'"),
            ("0-0.png", "'0-0.png' is not in the test part of 'external:other-ct'"),
            ("19-2.png", "'other-ct' has no image '19-2.png'"),
        ],
    )
    def test_an_id_that_is_not_tested_is_refused(
        self,
        sample_id: str,
        said: str,
        harness: Callable[..., tuple[int, str, str]],
        cards: tuple[Path, Path],
        tmp_path: Path,
    ) -> None:
        path = tmp_path / "mine.csv"
        path.write_text(f"id,bright,dark\n{sample_id},0.75,0.25\n")
        code, _, err = harness(
            *("submit", str(path), "-d", str(cards[0]), "-p", f"external:{cards[1]}", "--name", "mine"),
            *("-o", str(tmp_path / "out")),
        )
        assert code == 1
        assert said in " ".join(err.split())
        assert not (tmp_path / "out").exists()

    def test_a_protocol_without_ids_is_refused(
        self, harness: Callable[..., tuple[int, str, str]], cards: tuple[Path, Path]
    ) -> None:
        code, _, err = harness("show", str(cards[0]), "-p", "official")
        assert (code, "--protocol goes with --ids" in " ".join(err.split())) == (2, True)

    def test_external_alone_is_refused(
        self, harness: Callable[..., tuple[int, str, str]], cards: tuple[Path, Path]
    ) -> None:
        code, _, err = harness("show", str(cards[0]), "--ids", "-p", "external")
        assert (code, "needs two datasets" in " ".join(err.split())) == (2, True)


def test_nothing_to_run_says_why_in_one_line(
    tmp_path: Path, site: Path, cards: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(cards[1], '"low"', '"little"')
    arguments = ["run", "-d", str(cards[0]), "-m", "toy-bright", "-p", f"external:{cards[1]}"]
    monkeypatch.setattr(sys, "argv", ["harness", *arguments, "-o", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == DatasetMissing.exit_code
    assert not (tmp_path / "out").exists()


def test_joining_changes_neither_dataset(joined: Joined, cards: tuple[Path, Path]) -> None:
    home: Dataset = open_dataset(str(cards[0]))
    join(home, open_dataset(str(cards[1])))
    assert [sample.id for sample in home.samples][:2] == ["0-0.png", "0-1.png"]
    assert joined.name == "toy-ct"
