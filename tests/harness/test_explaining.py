"""`harness explain`: what it refuses first, then that rules and decisions are those of the finished run."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import toy_prototypes
from PIL import Image
from record_factory import failed_record, record_of
from toys import make_dataset

from harness import registry, sources
from harness.cli import main
from harness.errors import RecordError
from harness.explaining import Wanted, finished_runs
from harness.explanation_files import FILES

MODELS = "levels,watching,silent,lying,elsewhere,raising"
CONFUSION = [[3, 1], [2, 4]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugins, a dataset and a finished run of each plugin on it."""
    folder = tmp_path_factory.mktemp("finished")
    site = toy_prototypes.install(folder / "site")
    card = make_dataset(folder / "toy-ct", shift=1)
    environment = {**os.environ, "PYTHONPATH": str(site), "HARNESS_CACHE": str(folder / "cache")}
    arguments = [
        "run",
        "-d",
        str(card),
        "-m",
        MODELS,
        "--trials",
        "1",
        "-o",
        str(folder / "out"),
        "--workers",
        "1",
    ]
    subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return folder


@dataclass
class Toy:
    """A copy of the finished runs, and the command on it."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def card(self) -> Path:
        return self.folder / "toy-ct" / "card.toml"

    def explain(self, *arguments: str, dataset: bool = True) -> tuple[int, str]:
        """Run the command; return its exit code and all that it says."""
        chosen = ["-d", str(self.card)] if dataset else []
        self.patch.setattr(sys, "argv", ["harness", "explain", *chosen, "-o", str(self.out), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = self.capture.readouterr()
        assert "Traceback" not in said.err
        return int(ended.value.code or 0), said.out + said.err

    def record(self, model: str) -> Path:
        for path in (self.out / "runs").glob("[!.]*/manifest.json"):
            if json.loads(path.read_text())["model"]["label"] == model:
                return path.parent
        raise AssertionError(model)

    def data(self, model: str) -> dict:
        return json.loads((self.written(model) / "explanation.json").read_text())

    def written(self, model: str) -> Path:
        return self.out / "explanations" / f"toy-ct-official-{model}-smoke-seed0"

    def files(self) -> list[dict[str, str]]:
        with (self.folder / "toy-ct" / "files.csv").open() as file:
            return list(csv.DictReader(file))


@pytest.fixture
def toy(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Toy]:
    shutil.copytree(finished, tmp_path / "toy")
    monkeypatch.syspath_prepend(str(tmp_path / "toy" / "site"))
    monkeypatch.setenv("COLUMNS", "500")

    def forget() -> None:
        """Caches of one process: each test has an installation of its own."""
        registry._plugins.cache_clear()
        sources._path_of.cache_clear()
        sys.modules.pop(toy_prototypes.MODULE, None)

    forget()
    yield Toy(tmp_path / "toy", capsys, monkeypatch)
    forget()


def change(path: Path, edit: Callable[[str], str]) -> None:
    path.write_text(edit(path.read_text()))


class TestTheSecondFitIsHeldAgainstTheRecord:
    def test_other_probabilities_are_refused_with_how_far_they_are(self, toy: Toy) -> None:
        toy.patch.setenv("TOY_SHARPNESS", "1.5")
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert f"differ from the recorded ones by up to {self.expected_difference(toy):.2g} " in said
        assert "(allowed: 1e-09)" in said
        assert "run the model again" in said
        assert not toy.written("levels").exists()

    @staticmethod
    def expected_difference(toy: Toy) -> float:
        """Odds o become o^1.5."""
        import pandas as pd

        frame = pd.read_parquet(toy.record("levels") / "predictions.parquet")
        odds = (frame["bright"] / frame["dark"]) ** 1.5
        return float((odds / (1 + odds) - frame["bright"]).abs().max())

    def test_a_difference_of_a_millionth_is_refused(self, toy: Toy) -> None:
        toy.patch.setenv("TOY_SHARPNESS", "1.000001")
        assert toy.explain("-m", "levels")[0] == 1

    def test_changed_code_is_named(self, toy: Toy) -> None:
        change(
            toy.folder / "site" / "toy_prototypes_plugin.py",
            lambda text: text.replace("power=2.0", "power=3.0"),
        )
        change(
            toy.folder / "site" / "toy_prototypes_plugin.py",
            lambda text: text.replace("(1 + distance", "(2 + distance"),
        )
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert "changed since: the code of 'levels'" in said

    def test_changed_code_that_gives_the_same_probabilities_is_explained(self, toy: Toy) -> None:
        change(toy.folder / "site" / "toy_prototypes_plugin.py", lambda text: text + "\nUNUSED = 1\n")
        assert toy.explain("-m", "levels")[0] == 0

    def test_the_parameters_are_those_of_the_record_not_the_defaults(self, toy: Toy) -> None:
        change(
            toy.folder / "site" / "toy_prototypes_plugin.py",
            lambda text: text.replace("power=2.0", "power=3.0"),
        )
        assert toy.explain("-m", "levels")[0] == 0

    def test_a_parameter_that_is_gone_is_named(self, toy: Toy) -> None:
        plugin = toy.folder / "site" / "toy_prototypes_plugin.py"
        change(
            plugin, lambda text: text.replace("power=2.0", "exponent=2.0").replace(", power", ", exponent")
        )
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert "model 'levels' no longer takes its parameter 'power'" in said

    def test_edited_predictions_are_refused(self, toy: Toy) -> None:
        path = toy.record("levels") / "predictions.parquet"
        path.write_bytes(path.read_bytes() + b"0")
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert "predictions.parquet was changed after it was written" in said

    def test_a_changed_image_is_refused(self, toy: Toy) -> None:
        name = toy.files()[0]["file"]
        Image.fromarray(np.zeros((20, 24), np.uint8)).save(toy.card.parent / name)
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert "is not that of the record" in said

    def test_a_changed_split_is_refused(self, toy: Toy) -> None:
        change(toy.card.parent / "files.csv", lambda text: text.replace("p4,test", "p4,train"))
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert "no longer gives the split" in said

    def test_renamed_classes_are_refused(self, toy: Toy) -> None:
        change(toy.card, lambda text: text.replace('["dark", "bright"]', '["dim", "bright"]'))
        change(toy.card.parent / "files.csv", lambda text: text.replace(",dark,", ",dim,"))
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert "the card of 'toy-ct' now ['dim', 'bright']" in said


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["-m", "levles"], 1, "no finished run of model 'levles'; there are: "),
            (["-p", "random"], 1, "no finished run of protocol 'random'; there are: official"),
            (["--seed", "7"], 1, "no finished run of seed 7; there are: 0"),
            (["-m", "silent"], 1, "so there is nothing to show: silent; models that can explain: "),
            (["-m", "levels", "--prototypes", "0"], 2, "--prototypes must be 1 or more, got 0"),
            (["-m", "levels", "--queries", "-1"], 2, "--queries must be 1 or more, got -1"),
            (["-m", "lying"], 1, "its probabilities say"),
            (["-m", "elsewhere"], 1, "names row 1000000 as a prototype, its fit got 48 images"),
            (["-m", "raising"], 1, "model 'raising' failed: RuntimeError: no rules today"),
            (["-m", "levels", "--id", "4-O.png"], 1, " or '4-0.png'"),
            (["-m", "levels", "--id", "0-0.png"], 1, "part; decisions are explained on the test part"),
            (["-m", "levels", "--id", "<zzz>"], 1, "'harness show toy-ct --ids' lists all images"),
        ],
    )
    def test_they_are_one_line(self, toy: Toy, arguments: list[str], code: int, message: str) -> None:
        ended, said = toy.explain(*arguments)
        assert ended == code
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert message in errors[0]
        assert not (toy.out / "explanations").exists()

    def test_models_that_can_explain_are_named_to_one_who_asks_another(self, toy: Toy) -> None:
        _, said = toy.explain("-m", "silent")
        models_that_can = said.partition("models that can explain: ")[2]
        assert "levels" in models_that_can
        assert "xdnn" in models_that_can
        assert "silent" not in models_that_can

    def test_a_failing_model_does_not_stop_the_others(self, toy: Toy) -> None:
        code, said = toy.explain("-m", "raising,levels,silent")
        assert code == 1
        assert (toy.written("levels") / "rules.png").is_file()
        assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 2

    def test_an_empty_folder_says_what_makes_runs(self, toy: Toy) -> None:
        shutil.rmtree(toy.out / "runs")
        code, said = toy.explain()
        assert code == 1
        assert "nothing to explain; 'harness run' makes them" in said

    def test_a_dataset_known_by_no_name_asks_for_its_card(self, toy: Toy) -> None:
        code, said = toy.explain("-m", "levels", dataset=False)
        assert code == 1
        assert "no dataset is called 'toy-ct' here; name its card with -d PATH/card.toml" in said

    def test_a_plugin_that_is_gone_is_said_when_it_was_asked_for(self, toy: Toy) -> None:
        entry_points = toy.folder / "site" / "toy_prototypes-0.1.dist-info" / "entry_points.txt"
        change(entry_points, lambda text: text.replace("watching =", "watched ="))
        assert toy.explain("-m", "levels,watching")[0] == 1
        assert (toy.written("levels") / "rules.png").is_file()


class TestWriting:
    def test_a_file_in_the_way_is_one_line(self, toy: Toy) -> None:
        (toy.out / "explanations").write_text("a file")
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert "cannot write to" in said
        assert "with --to" in said

    def test_a_full_disk_leaves_the_old_explanation_and_nothing_else(self, toy: Toy) -> None:
        assert toy.explain("-m", "levels")[0] == 0
        before = {path.name: path.read_bytes() for path in toy.written("levels").iterdir()}

        def full(self: Image.Image, path: Path, **options: object) -> None:
            Path(path).write_bytes(b"half of it")
            raise OSError(28, "No space left on device")

        toy.patch.setattr("harness.explanation_html.page", lambda *rest: "")
        toy.patch.setattr("harness.explanation_files.page", lambda *rest: "")
        toy.patch.setattr(Image.Image, "save", full)
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert "No space left on device" in said
        assert {path.name: path.read_bytes() for path in toy.written("levels").iterdir()} == before
        assert [path.name for path in (toy.out / "explanations").iterdir()] == [toy.written("levels").name]

    def test_a_folder_with_files_of_others_is_not_replaced(self, toy: Toy) -> None:
        toy.written("levels").mkdir(parents=True)
        (toy.written("levels") / "thesis.tex").write_text("mine")
        code, said = toy.explain("-m", "levels")
        assert code == 1
        assert "holds 'thesis.tex', which no explanation wrote" in said
        assert [path.name for path in toy.written("levels").iterdir()] == ["thesis.tex"]

    def test_the_same_command_writes_the_same_bytes(self, toy: Toy) -> None:
        for folder in ("a", "b"):
            assert toy.explain("-m", "levels", "--to", str(toy.folder / folder))[0] == 0
        name = toy.written("levels").name
        for file in FILES:
            assert (toy.folder / "a" / name / file).read_bytes() == (
                toy.folder / "b" / name / file
            ).read_bytes()

    def test_the_paths_the_rules_and_the_licence_are_said(self, toy: Toy) -> None:
        code, said = toy.explain("-m", "levels")
        assert code == 0
        for file in FILES:
            assert str(toy.written("levels") / file) in said
        assert "THEN bright" in said
        assert "Bright and dark squares: CC0-1.0" in said

    def test_all_that_can_explain_is_explained_by_default(self, toy: Toy) -> None:
        for model in ("lying", "elsewhere", "raising"):
            shutil.rmtree(toy.record(model))
        code, said = toy.explain()
        assert code == 0
        assert sorted(path.name for path in (toy.out / "explanations").iterdir()) == [
            "toy-ct-official-levels-smoke-seed0",
            "toy-ct-official-watching-smoke-seed0",
        ]
        assert "silent" not in said


class TestRules:
    """The darkest image of a class stands for the darker half of the images that the fit got."""

    @pytest.mark.parametrize(("model", "uses_validation"), [("levels", False), ("watching", True)])
    def test_prototypes_are_the_darkest_and_brightest_of_what_the_fit_got(
        self, toy: Toy, model: str, uses_validation: bool
    ) -> None:
        assert toy.explain("-m", model)[0] == 0
        found = toy.data(model)
        fitted = self.fitted(toy, uses_validation)
        assert found["fitted"] == len(fitted)
        for rule in found["rules"]:
            own = {name: self.level(toy, name) for name, label in fitted.items() if label == rule["name"]}
            assert {p["id"] for p in rule["prototypes"]} == {min(own, key=own.get), max(own, key=own.get)}
            assert sum(p["support"] for p in rule["prototypes"]) == len(own)

    def test_rows_are_those_of_the_dataset(self, toy: Toy) -> None:
        toy.explain("-m", "levels")
        names = [file["file"] for file in toy.files()]
        for rule in toy.data("levels")["rules"]:
            assert all(names[p["row"]] == p["id"] for p in rule["prototypes"])
        assert all(names[d["row"]] == d["id"] for d in toy.data("levels")["decisions"])

    def test_the_largest_supports_come_first(self, toy: Toy) -> None:
        toy.explain("-m", "watching")
        for rule in toy.data("watching")["rules"]:
            supports = [p["support"] for p in rule["prototypes"]]
            assert supports == sorted(supports, reverse=True)

    @staticmethod
    def fitted(toy: Toy, uses_validation: bool) -> dict[str, str]:
        from harness.data.dataset import open_dataset
        from harness.protocols import make_splits

        (split,) = make_splits("official", open_dataset(str(toy.card)).samples)
        ids = split.train if uses_validation else split.train + split.val
        return {file["file"]: file["label"] for file in toy.files() if file["file"] in ids}

    @staticmethod
    def level(toy: Toy, name: str) -> float:
        with Image.open(toy.card.parent / name) as image:
            return float(np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR)).mean())


class TestDecisions:
    def test_probabilities_and_classes_are_those_of_the_record(self, toy: Toy) -> None:
        import pandas as pd

        toy.explain("-m", "levels")
        frame = pd.read_parquet(toy.record("levels") / "predictions.parquet").set_index("id")
        decisions = toy.data("levels")["decisions"]
        assert len(decisions) == 12
        for decision in decisions:
            row = frame.loc[decision["id"]]
            assert decision["true"] == row["label"]
            assert decision["probability"] == max(row["dark"], row["bright"])
            assert decision["predicted"] == ("dark" if row["dark"] > row["bright"] else "bright")
        wrong = (frame[["dark", "bright"]].idxmax(axis=1) != frame["label"]).sum()
        assert toy.data("levels")["wrong"] == wrong

    def test_wrong_ones_come_first_and_the_surest_of_them_before_others(self, toy: Toy) -> None:
        toy.explain("-m", "levels")
        found = toy.data("levels")
        assert found["wrong"] >= 2
        is_wrong = [d["true"] != d["predicted"] for d in found["decisions"]]
        assert is_wrong == sorted(is_wrong, reverse=True)
        sure = [d["probability"] for d in found["decisions"][: found["wrong"]]]
        assert sure == sorted(sure, reverse=True)

    def test_the_winner_of_the_class_that_was_called_is_the_most_similar(self, toy: Toy) -> None:
        toy.explain("-m", "levels")
        for decision in toy.data("levels")["decisions"]:
            best = max(decision["winners"], key=lambda winner: winner["similarity"])
            assert best["name"] == decision["predicted"]
            assert [winner["name"] for winner in decision["winners"]] == ["dark", "bright"]

    def test_images_that_were_asked_for_are_shown_in_that_order_once(self, toy: Toy) -> None:
        arguments = ["--id", "9-1.png", "--id", "4-0.png", "--id", "9-1.png"]
        assert toy.explain("-m", "levels", *arguments)[0] == 0
        assert [d["id"] for d in toy.data("levels")["decisions"]] == ["9-1.png", "4-0.png"]

    def test_no_image_is_shown_twice_however_many_are_asked_for(self, toy: Toy) -> None:
        toy.explain("-m", "levels", "--queries", "1000")
        counts = Counter(d["id"] for d in toy.data("levels")["decisions"])
        assert sorted(counts) == sorted(f["file"] for f in toy.files() if f["split"] == "test")
        assert set(counts.values()) == {1}


class TestWhichRuns:
    def test_the_newest_of_a_slot_counts(self) -> None:
        old = record_of(CONFUSION, finished="2024-01-01T00:00:00.000+00:00")
        new = record_of(CONFUSION, finished="2024-01-02T00:00:00.000+00:00")
        for records in ([old, new], [new, old]):
            assert [entry.key for entry in finished_runs(records, Wanted())] == [new.key]

    def test_a_newer_failure_does_not_hide_a_finished_run(self) -> None:
        done = record_of(CONFUSION)
        failed = failed_record(finished="2024-02-01T00:00:00.000+00:00")
        assert [entry.key for entry in finished_runs([done, failed], Wanted())] == [done.key]

    def test_boards_are_told_apart(self) -> None:
        records = [record_of(CONFUSION, dataset__name=name, dataset__content=name) for name in ("a", "b")]
        assert len(finished_runs(records, Wanted())) == 2

    def test_the_tuned_and_the_untuned_row_of_a_model_are_two(self) -> None:
        records = [record_of(CONFUSION, model__variant=variant) for variant in (None, "untuned")]
        assert [e.method for e in finished_runs(records, Wanted(models=("svm",)))] == ["svm", "svm (untuned)"]

    def test_no_run_that_is_all_that_was_asked_for_lists_what_there_is(self) -> None:
        records = [
            record_of(CONFUSION, model__label="a", seed=1),
            record_of(CONFUSION, model__label="b", seed=2),
        ]
        with pytest.raises(RecordError, match="made official a quick seed 1; made official b quick seed 2"):
            finished_runs(records, Wanted(models=("a",), seed=2))

    def test_failed_runs_alone_are_none(self) -> None:
        with pytest.raises(RecordError, match="there is no finished run"):
            finished_runs([failed_record()], Wanted())


@pytest.mark.data
def test_xdnn_explains_its_run_on_the_real_images(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [
        "run",
        "-d",
        "sars-cov-2-ct",
        "-m",
        "xdnn,xdnn-released",
        "--backbone",
        "squeezenet1_1",
    ]
    for arguments in ([*run, "--recipe", "quick", "--workers", "1"], ["explain"]):
        monkeypatch.setattr(sys, "argv", ["harness", *arguments, "-o", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, capsys.readouterr().err
    folders = sorted((tmp_path / "explanations").iterdir())
    assert [folder.name for folder in folders] == [
        "sars-cov-2-ct-official-xdnn-released-squeezenet1_1-quick-seed0",
        "sars-cov-2-ct-official-xdnn-squeezenet1_1-quick-seed0",
        "sars-cov-2-ct-official-xdnn-untuned-squeezenet1_1-quick-seed0",
    ]
    released, _, printed = (json.loads((folder / "explanation.json").read_text()) for folder in folders)
    assert printed["fitted"] == released["fitted"] == 1985
    assert sum(p["support"] for rule in printed["rules"] for p in rule["prototypes"]) == 1985
    # On features of a real network the released code keeps every training image.
    assert sum(len(rule["prototypes"]) for rule in released["rules"]) == 1985
    for rule in printed["rules"]:
        assert all(p["id"].startswith(f"{rule['name']}/") for p in rule["prototypes"])
    assert printed["wrong"] / 496 <= 0.045
