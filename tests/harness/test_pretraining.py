from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from toy_stages import install_networks
from toys import make_dataset
from waiting import interruptible, until

from harness import registry, stages
from harness.catalogue import find_network
from harness.counters import since, snapshot
from harness.data.dataset import open_dataset
from harness.errors import HarnessError, StageError, UnknownName, UsageError
from harness.images import Images, MemoryStore
from harness.planning import Request, make_plan
from harness.pretraining import JointStore, Pretraining, pretrain
from harness.protocols import make_splits
from harness.types import ImagesView

Run = Callable[..., subprocess.CompletedProcess[str]]


def quietly(what: str, fraction: float | None) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def _networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process find the toy networks."""
    monkeypatch.syspath_prepend(str(install_networks(tmp_path / "site")))
    registry._plugins.cache_clear()
    yield
    registry._plugins.cache_clear()
    sys.modules.pop("toy_stage_models", None)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "toy-ct")


def another(
    tmp_path: Path, name: str, *, shift: int = 41, classes: str | None = None, patients: int = 10
) -> Path:
    """A second dataset of other pixels, perhaps with other classes."""
    card = make_dataset(tmp_path / name, patients=patients, shift=shift)
    text = card.read_text().replace('"toy-ct"', f'"{name}"')
    if classes is not None:
        files = card.parent / "files.csv"
        files.write_text(files.read_text().replace(",bright,", f",{classes},"))
        text = text.replace('"bright"', f'"{classes}"')
    card.write_text(text)
    return card


def request(*cards: Path, **changes: Any) -> Pretraining:
    return Pretraining(model="toy-net", datasets=tuple(map(str, cards)), name="lungs", **changes)


def plan_of(card: Path, tmp_path: Path, **changes: Any) -> Any:
    asked: dict[str, Any] = {"datasets": (str(card),), "models": ("toy-net",), "start": "lungs"} | changes
    return make_plan(Request(out=tmp_path / "out", trials=0, **asked))


STORES = [MemoryStore([np.full((4 + n, 5), 10 * n + k, np.uint8) for k in range(n)]) for n in (2, 0, 3)]


class TestJointStore:
    def test_holds_the_images_of_its_parts_in_order(self) -> None:
        store = JointStore(STORES)
        view = Images(store)
        assert isinstance(view, ImagesView)
        assert len(view) == 5
        assert [int(image[0, 0]) for image in view] == [20, 21, 30, 31, 32]
        assert view[4].shape == (7, 5)

    def test_resizes_only_when_it_is_asked_and_then_once(self) -> None:
        store = JointStore(STORES)
        assert Images(store, np.array([4, 1])).resized(3)[:, 0, 0].tolist() == [32, 21]
        assert store.resized(3) is store.resized(3)

    def test_lays_features_and_their_products_together(self) -> None:
        def embed(backbone: str, x_NSS: np.ndarray) -> np.ndarray:
            return x_NSS.reshape(len(x_NSS), -1)[:, :2].astype(np.float32)

        parts = [MemoryStore([np.full((4, 4), k, np.uint8)], embed) for k in (3, 5)]
        view = Images(JointStore(parts))
        assert view.features("x", 4).tolist() == [[3, 3], [5, 5]]
        assert view.gram("x", 4).tolist() == [[18, 30], [30, 50]]

    def test_says_that_it_has_no_features_where_a_part_has_none(self) -> None:
        with pytest.raises(ValueError, match="no embedder"):
            JointStore(STORES).features("vgg16", 224)


@pytest.mark.usefixtures("_networks")
class TestPretrain:
    def test_keeps_the_network_and_says_what_it_was_trained_on(self, card: Path) -> None:
        report = pretrain(request(card, seed=3), quietly)
        stage = stages.read_stage("lungs")
        assert report.is_new
        assert report.stage == stage
        assert report.score == 0.5, "a toy that says the same of every image"
        assert stage.network == "squeezenet1_1"
        assert stage.training is not None
        assert (stage.training.model, stage.training.seed, stage.training.recipe) == ("toy-net", 3, "smoke")
        assert stage.training.classes == ("dark", "bright")
        (source,) = stage.training.sources
        dataset = open_dataset(str(card))
        assert (source.dataset, source.content, source.protocol) == ("toy-ct", dataset.content, "official")
        assert source.train + source.val == 48

    def test_has_seen_the_training_and_validation_parts_and_nothing_of_the_test_part(
        self, card: Path
    ) -> None:
        stage = pretrain(request(card), quietly).stage
        dataset = open_dataset(str(card))
        split = make_splits("official", dataset.samples)[0]
        assert stage.images == stages.image_digests(dataset, [*split.train, *split.val]).keys()
        assert not stage.images & stages.image_digests(dataset, split.test).keys()
        assert stage.groups == stages.group_digests(dataset, [*split.train, *split.val]).keys()

    def test_classes_of_the_same_name_are_one_and_others_stay_apart(self, card: Path, tmp_path: Path) -> None:
        same, other = another(tmp_path, "same-ct"), another(tmp_path, "other-ct", shift=42, classes="ill")
        training = pretrain(request(card, same, other), quietly).stage.training
        assert training is not None
        assert training.classes == ("dark", "bright", "ill")
        assert [source.dataset for source in training.sources] == ["toy-ct", "same-ct", "other-ct"]

    def test_labels_and_patients_of_several_datasets_are_told_apart(
        self, card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: dict[str, Any] = {}
        toy = registry.find_model("toy-net").load()

        def fit(
            self: Any, images: Any, labels: np.ndarray, *, validation: Any = None, groups: Any = None
        ) -> Any:
            seen.update(images=images, labels=labels, groups=groups, validation=validation)
            raise HarnessError("enough seen")

        monkeypatch.setattr(toy, "fit", fit)
        other = another(tmp_path, "other-ct", shift=42, classes="ill")
        with pytest.raises(HarnessError, match="enough seen"):
            pretrain(request(card, other), quietly)
        first, second = open_dataset(str(card)), open_dataset(str(other))
        n = len(make_splits("official", first.samples)[0].train)
        ids = make_splits("official", second.samples)[0].train
        expected = [{0: 0, 1: 2}[label] for label in second.labels[second.rows(ids)]]
        assert seen["labels"][n:].tolist() == expected
        assert np.array_equal(seen["images"][n], second.pixels().image(int(second.rows(ids[:1])[0])))
        assert {"toy-ct/p0", "other-ct/p0"} <= set(seen["groups"])

    def test_a_name_without_a_split_of_its_authors_keeps_patients_together(self, card: Path) -> None:
        files = card.parent / "files.csv"
        lines = files.read_text().splitlines()
        files.write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
        stage = pretrain(request(card), quietly).stage
        assert stage.training is not None
        assert stage.training.sources[0].protocol == "group-kfold"

    def test_the_same_command_again_trains_nothing(
        self, card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pretrain(request(card), quietly)
        monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
        again = pretrain(request(card), quietly)
        assert not again.is_new
        assert not (tmp_path / "log").exists()

    @pytest.mark.parametrize(
        "changes", [{"seed": 1}, {"recipe": "quick"}, {"parameters": {"pause": 0.001}}], ids=str
    )
    def test_another_command_does_not_take_its_name(self, card: Path, changes: dict[str, Any]) -> None:
        before = pretrain(request(card), quietly).stage.file.read_bytes()
        with pytest.raises(
            UsageError, match="first stage 'lungs' is there already and was trained otherwise"
        ):
            pretrain(request(card, **changes), quietly)
        assert stages.locate("lungs").read_bytes() == before

    def test_a_stage_above_another_has_seen_what_that_one_saw(self, card: Path, tmp_path: Path) -> None:
        below = pretrain(request(card), quietly).stage
        other = another(tmp_path, "other-ct")
        above = pretrain(replace(request(other, start="lungs"), name="above"), quietly).stage
        assert above.training is not None
        assert above.training.start == "lungs"
        assert [source.dataset for source in above.training.sources] == ["other-ct", "toy-ct"]
        assert below.images < above.images
        assert below.groups < above.groups

    def test_a_stage_above_one_of_unknown_origin_says_so(self, card: Path, tmp_path: Path) -> None:
        kept = pretrain(request(card), quietly).stage.file
        from safetensors.numpy import save_file

        save_file(load_file(kept), tmp_path / "mine.safetensors")
        start = str(tmp_path / "mine.safetensors")
        stage = pretrain(replace(request(card, start=start), name="above"), quietly).stage
        assert stage.training is not None
        assert stage.training.unknown == ("mine.safetensors",)
        assert str(tmp_path) not in stage.file.read_bytes()[:100_000].decode("latin-1"), (
            "no folder of this machine"
        )

    def test_images_that_another_dataset_tests_are_named(self, card: Path, tmp_path: Path) -> None:
        twin = make_dataset(tmp_path / "twin-ct")  # the same images
        twin.write_text(twin.read_text().replace('"toy-ct"', '"twin-ct"'))
        files = twin.parent / "files.csv"
        swapped = files.read_text().replace(",test", ",x").replace(",train", ",test").replace(",x", ",train")
        files.write_text(swapped)
        report = pretrain(request(card, twin), quietly)
        assert "48 training images of toy-ct are test images of twin-ct" in report.shared[0]

    def test_nothing_is_decoded_twice(self, card: Path) -> None:
        pretrain(request(card), quietly)
        before = snapshot()
        pretrain(replace(request(card), name="again"), quietly)
        assert since(before).get("decodes", 0) == 0


@pytest.mark.usefixtures("_networks")
class TestRefusals:
    @pytest.mark.parametrize(
        ("model", "what"),
        [
            ("svm", "no 'uses_validation' and no 'save'"),
            ("toy-forgetful", "no 'save'"),
            ("toy-hasty", "no 'uses_val"),
        ],
    )
    def test_of_a_model_that_cannot_be_a_stage_say_what_it_lacks(
        self, card: Path, model: str, what: str
    ) -> None:
        with pytest.raises(UsageError, match=f"model '{model}' cannot be a first stage: it has {what}"):
            pretrain(replace(request(card), model=model), quietly)

    def test_of_unknown_models_datasets_and_stages_come_with_close_names(self, card: Path) -> None:
        pretrain(request(card), quietly)
        for wrong in (
            replace(request(card), model="toy-nett"),
            request(Path("ct-fantom")),
            replace(request(card, start="lung"), name="x"),
        ):
            with pytest.raises(UnknownName, match="you probably meant"):
                pretrain(wrong, quietly)

    def test_of_an_unknown_parameter(self, card: Path) -> None:
        with pytest.raises(UnknownName, match="you probably meant 'pause'"):
            pretrain(request(card, parameters={"pauze": 1}), quietly)

    @pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden", "x\n"])
    def test_of_what_is_no_name(self, card: Path, name: str) -> None:
        with pytest.raises(UsageError, match="--name"):
            Pretraining(model="toy-net", datasets=(str(card),), name=name)

    @pytest.mark.parametrize("name", ["v1.pt", "lungs.safetensors", "x.PTH"])
    def test_of_a_name_that_would_be_taken_for_a_file(self, card: Path, name: str) -> None:
        with pytest.raises(UsageError, match="looks like a file; leave its ending out, or use --out"):
            Pretraining(model="toy-net", datasets=(str(card),), name=name)

    def test_of_nothing_to_train_on_and_of_other_files(self, card: Path) -> None:
        with pytest.raises(UsageError, match="name datasets with -d"):
            request()
        with pytest.raises(UsageError, match="ends in .safetensors"):
            request(card, out=Path("x.pth"))
        with pytest.raises(UsageError, match="unknown recipe 'slow'"):
            request(card, recipe="slow")

    def test_of_a_stage_of_another_network_leave_no_file(self, card: Path) -> None:
        pretrain(request(card), quietly)
        wrong = replace(request(card, start="lungs", parameters={"network": "resnet18"}), name="x")
        with pytest.raises(
            StageError, match="holds the network 'squeezenet1_1', the model asks for 'resnet18'"
        ):
            pretrain(wrong, quietly)
        assert [path.name for path in stages.folder().glob("[!.]*")] == ["lungs.safetensors"]

    def test_of_a_full_disk_are_one_line_and_leave_nothing(
        self, card: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        toy = registry.find_model("toy-net").load()
        open_dataset(str(card)).pixels().resized(8)
        monkeypatch.setattr(toy, "save", lambda self, path: full(0))
        with pytest.raises(StageError, match="cannot be written: No space left on device"):
            pretrain(request(card), quietly)
        monkeypatch.undo()
        assert [path.name for path in stages.folder().glob("*.safetensors")] == []
        assert not list(stages.folder().glob(".tmp-*"))

    def test_of_a_folder_that_is_in_the_way(self, card: Path, tmp_path: Path) -> None:
        out = tmp_path / "x.safetensors"
        out.mkdir()
        with pytest.raises(StageError, match="cannot be written: it is a folder"):
            pretrain(request(card, out=out), quietly)

    def test_of_a_file_in_place_of_the_folder(self, card: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(StageError, match="cannot be written"):
            pretrain(request(card, out=tmp_path / "file" / "x.safetensors"), quietly)

    def test_of_a_full_disk_that_the_file_format_notices(
        self, card: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from safetensors import SafetensorError

        def full(self: Any, path: Path) -> None:
            path.write_bytes(b"half")
            raise SafetensorError("No space left on device (os error 28)")

        monkeypatch.setattr(registry.find_model("toy-net").load(), "save", full)
        with pytest.raises(StageError, match="cannot be written: No space left on device"):
            pretrain(request(card), quietly)
        assert not list(stages.folder().glob("*.safetensors"))
        assert not list(stages.folder().glob(".tmp-*"))

    def test_what_a_killed_process_left_is_swept_and_what_another_writes_is_not(self, card: Path) -> None:
        stages.folder().mkdir(parents=True)
        stale = stages.folder() / ".tmp-lungs.safetensors-1.safetensors"
        others = stages.folder() / ".tmp-lungs-2.safetensors-1.safetensors"
        for path in (stale, others):
            path.write_bytes(b"half")
        pretrain(request(card), quietly)
        assert not stale.exists()
        assert others.exists()

    def test_of_a_damaged_file_under_the_name(self, card: Path) -> None:
        kept = pretrain(request(card), quietly).stage.file
        kept.write_bytes(b"")
        with pytest.raises(StageError, match="is no safetensors file"):
            pretrain(request(card), quietly)


@pytest.mark.usefixtures("_networks")
class TestPlans:
    def test_a_row_is_named_after_its_stage_and_says_what_that_was_trained_on(
        self, card: Path, tmp_path: Path
    ) -> None:
        pretrain(request(another(tmp_path, "other-ct")), quietly)
        (planned,) = plan_of(card, tmp_path).cells
        assert planned.cell.failure is None
        assert planned.cell.label == "toy-net (untuned, start=lungs)"
        assert planned.cell.notes == [
            "starts from 'lungs', trained on (images of training + validation): other-ct (official, 18 + 6)"
        ]
        (weight,) = planned.cell.weights
        assert weight["network"] == "stage:lungs"
        assert weight["sha256"] == planned.cell.identity["weights"][0][1]

    def test_the_key_knows_the_stage_by_its_bytes_and_not_by_its_folder(
        self, card: Path, tmp_path: Path
    ) -> None:
        kept = pretrain(request(another(tmp_path, "other-ct")), quietly).stage.file
        copy, moved = tmp_path / "a" / "x.safetensors", tmp_path / "b" / "x.safetensors"
        for path in (copy, moved):
            path.parent.mkdir()
            path.write_bytes(kept.read_bytes())
        keys = [plan_of(card, tmp_path, start=str(path)).cells[0].cell.key for path in (copy, moved)]
        assert keys[0] == keys[1]
        content = bytearray(copy.read_bytes())
        content[-1] ^= 1
        copy.write_bytes(bytes(content))
        assert plan_of(card, tmp_path, start=str(copy)).cells[0].cell.key != keys[0]
        assert plan_of(card, tmp_path, start=None).cells[0].cell.key not in keys

    def test_a_stage_that_has_seen_the_test_part_makes_the_cell_fail(
        self, card: Path, tmp_path: Path
    ) -> None:
        pretrain(request(card), quietly)
        official, drawn = (
            plan_of(card, tmp_path, protocols=(name,)).cells[0].cell for name in ("official", "random")
        )
        samples = open_dataset(str(card)).samples
        seen = sorted({*make_splits("random", samples)[0].test} - {*make_splits("official", samples)[0].test})
        assert official.failure is None
        assert drawn.failure is not None
        assert (
            f"first stage 'lungs' has seen the test part: {len(seen)} of its 12 images (first: {seen[0]!r})"
            in drawn.failure
        )
        assert "patients" not in drawn.failure, "by slice, training and test part share patients of their own"

    def test_a_stage_below_gives_it_away_too(self, card: Path, tmp_path: Path) -> None:
        pretrain(request(card), quietly)
        pretrain(replace(request(another(tmp_path, "other-ct"), start="lungs"), name="above"), quietly)
        cell = plan_of(card, tmp_path, start="above", protocols=("random",)).cells[0].cell
        assert "first stage 'above' has seen the test part" in str(cell.failure)

    def test_patients_give_a_stage_away_where_its_images_are_others(self, card: Path, tmp_path: Path) -> None:
        """The same patients, scanned again: p0 ... p9 of toy-ct, other pixels."""
        again = another(tmp_path, "again", shift=43)
        again.write_text(again.read_text().replace('"again"', '"toy-ct"'))
        pretrain(request(again), quietly)
        (planned,) = plan_of(card, tmp_path, protocols=("group-kfold",)).cells[:1]
        assert "patients (first: 'p" in str(planned.cell.failure)
        assert "images" not in str(planned.cell.failure)

    def test_a_damaged_stage_makes_the_cell_fail_and_an_unknown_one_stops_the_run(
        self, card: Path, tmp_path: Path
    ) -> None:
        kept = pretrain(request(card), quietly).stage.file
        kept.write_bytes(kept.read_bytes()[:-1])
        (planned,) = plan_of(card, tmp_path).cells
        assert "is no whole file of weights" in str(planned.cell.failure)
        with pytest.raises(UnknownName, match="you probably meant 'lungs'"):
            plan_of(card, tmp_path, start="lung")

    def test_a_parameter_starts_one_model_alone(self, card: Path, tmp_path: Path) -> None:
        pretrain(request(card), quietly)
        models = {"models": ("toy-net", "toy-hasty"), "start": None}
        cells = plan_of(card, tmp_path, **models, parameters={"toy-net": {"start": "lungs"}}).cells
        assert [planned.cell.variant for planned in cells] == ["untuned, start=lungs", "untuned"]

    def test_a_start_that_no_model_can_take_is_refused(self, card: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="none of these models starts from a first stage: svm"):
            plan_of(card, tmp_path, models=("svm",))


@pytest.fixture
def harness(tmp_path: Path) -> Run:
    """Run the real command in a process of its own, with the toy networks installed."""
    return lambda *arguments: subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def environment(tmp_path: Path) -> dict[str, str]:
    find_network("squeezenet1_1")  # so that no process asks timm for its networks again
    site = tmp_path / "site"
    if not site.exists():
        install_networks(site)
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


class TestCommand:
    @pytest.mark.slow
    def test_prints_what_to_type_next_and_that_works(self, harness: Run, card: Path, tmp_path: Path) -> None:
        other = another(tmp_path, "other-ct", classes="ill")
        done = harness(
            "pretrain", "toy-net", "-d", f"{other},{card}", "--name", "lungs", "--param", "pause=0"
        )
        assert done.returncode == 0, done.stderr
        assert "classes: dark, ill, bright" in done.stdout
        assert done.stdout.splitlines()[-1] == "next: harness run -d DATASET -m toy-net --start lungs"
        run = harness(
            "run",
            "-d",
            str(card),
            "-m",
            "toy-net",
            "--start",
            "lungs",
            "--trials",
            "0",
            "-o",
            f"{tmp_path}/out",
        )
        assert run.returncode == 0, run.stderr
        (manifest,) = (tmp_path / "out" / "runs").glob("[!.]*/manifest.json")
        said = json.loads(manifest.read_text())
        assert said["model"]["variant"] == "untuned, start=lungs"
        assert said["weights"][0]["network"] == "stage:lungs"
        assert "other-ct (official, 18 + 6), toy-ct (official, 42 + 6)" in " ".join(run.stdout.split())

    @pytest.mark.slow
    def test_a_cell_that_would_be_tested_on_seen_images_fails_in_one_line(
        self, harness: Run, card: Path, tmp_path: Path
    ) -> None:
        harness("pretrain", "toy-net", "-d", str(card), "--name", "lungs")
        arguments = ["-d", str(card), "-m", "toy-net", "-p", "random", "--start", "lungs", "--trials", "0"]
        run = harness("run", *arguments, "-o", f"{tmp_path}/out")
        assert run.returncode == 1
        assert (
            "failed: toy-ct random toy-net (untuned, start=lungs) seed 0: first stage 'lungs' has seen"
            in run.stderr
        )
        assert "Traceback" not in run.stderr
        (manifest,) = (tmp_path / "out" / "runs").glob("[!.]*/manifest.json")
        assert json.loads(manifest.read_text())["status"] == "failed"

    @pytest.mark.parametrize(
        ("arguments", "code", "line"),
        [
            (["svm", "--name", "x"], 2, "error: model 'svm' cannot be a first stage"),
            (["toy-net"], 2, "error: the stage needs a name"),
            (
                ["toy-net", "--name", "x", "--param", "size"],
                2,
                "error: --param 'size': expected PARAMETER=VALUE",
            ),
            (
                ["toy-net", "--name", "x", "--start", "/none/x.pth"],
                2,
                "error: first stage '/none/x.pth': there is no",
            ),
            (
                ["toy-net", "--out", "/proc/none/x.safetensors"],
                1,
                "error: first stage '/proc/none/x.safetensors' can",
            ),
        ],
        ids=str,
    )
    def test_bad_input_is_one_line(
        self, harness: Run, card: Path, arguments: list[str], code: int, line: str
    ) -> None:
        done = harness("pretrain", *arguments, "-d", str(card))
        assert done.returncode == code
        assert done.stderr.splitlines()[-1].startswith(line)
        assert "Traceback" not in done.stderr

    @pytest.mark.slow
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
    def test_killed_leaves_no_stage_and_goes_on_to_the_same_end(
        self, harness: Run, card: Path, tmp_path: Path, how: signal.Signals
    ) -> None:
        log = tmp_path / "log"
        out = tmp_path / "stages" / "lungs.safetensors"
        command = ["pretrain", "toy-net", "-d", str(card), "--out", str(out), "--param", "toy-net.pause=0.8"]
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *command],
            env=environment(tmp_path) | {"TOY_LOG": str(log)},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=interruptible,
        )
        assert until(lambda: log.exists() and len(log.read_text().splitlines()) == 3)
        process.send_signal(how)
        _, errors = process.communicate(timeout=30)
        if how == signal.SIGINT:
            assert process.returncode == 130
            assert "the same command continues" in errors
            assert "Traceback" not in errors
        assert not list(out.parent.glob("*.safetensors"))
        log.unlink()
        again = subprocess.run(
            [sys.executable, "-m", "harness", *command],
            env=environment(tmp_path) | {"TOY_LOG": str(log)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert again.returncode == 0, again.stderr
        assert [line.split()[1] for line in log.read_text().splitlines()] == ["3", "4"]
        whole = harness("pretrain", "toy-net", "-d", str(card), "--name", "whole", "--param", "pause=0")
        assert whole.returncode == 0, whole.stderr
        found, expected = load_file(out), load_file(stages.folder() / "whole.safetensors")
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
        unfinished = stages.folder() / ".unfinished"
        assert not unfinished.exists() or list(unfinished.iterdir()) == []

    @pytest.mark.slow
    def test_two_at_once_train_once(self, card: Path, tmp_path: Path) -> None:
        log = tmp_path / "log"
        command = ["pretrain", "toy-net", "-d", str(card), "--name", "lungs", "--param", "pause=0.3"]
        both = [
            subprocess.Popen(
                [sys.executable, "-m", "harness", *command],
                env=environment(tmp_path) | {"TOY_LOG": str(log)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        told = [process.communicate(timeout=120)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0]
        assert sorted(text.split(":")[0] for text in told) == [
            "already there, trained by the same command",
            "written",
        ]
        assert len(log.read_text().splitlines()) == 4


@pytest.mark.slow
def test_the_phantoms_own_stage_is_refused_where_its_images_are_tested(harness: Run, tmp_path: Path) -> None:
    assert harness("pretrain", "toy-net", "-d", "ct-phantom", "--name", "lungs").returncode == 0
    arguments = [
        "-d",
        "ct-phantom",
        "-m",
        "toy-net",
        "--start",
        "lungs",
        "--trials",
        "0",
        "-o",
        f"{tmp_path}/out",
    ]
    official = harness("run", *arguments, "-p", "official")
    assert official.returncode == 0, official.stderr
    folds = harness("run", *arguments, "-p", "group-kfold")
    assert folds.returncode == 1
    assert "first stage 'lungs' has seen the test part" in folds.stderr
    assert "patients (first: 'patient-" in folds.stderr


@pytest.mark.data
@pytest.mark.usefixtures("_networks")
class TestRealImages:
    def test_a_stage_of_one_hospital_serves_the_other_dataset(self, real_data: Path, tmp_path: Path) -> None:
        pretrain(request(Path("sars-cov-2-ct")), quietly)
        for name in ("sars-cov-2-ct", "covid-ct"):
            (planned,) = plan_of(Path(name), tmp_path, recipe="quick").cells
            assert planned.cell.failure is None

    def test_a_stage_is_refused_where_another_split_tests_what_it_saw(
        self, real_data: Path, tmp_path: Path
    ) -> None:
        pretrain(request(Path("covid-ct"), Path("sars-cov-2-ct")), quietly)
        for name, protocol in (
            ("sars-cov-2-ct", "random"),
            ("covid-ct", "random"),
            ("covid-ct", "group-kfold"),
        ):
            for planned in plan_of(Path(name), tmp_path, protocols=(protocol,)).cells:
                assert "first stage 'lungs' has seen the test part" in str(planned.cell.failure)
