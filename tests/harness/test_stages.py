from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_images import nothing_is_forbidden
from safetensors import safe_open
from safetensors.torch import save_file
from toys import make_dataset

from harness import stages
from harness.catalogue import IMAGENET_MEAN, IMAGENET_STD
from harness.data.dataset import Dataset, open_dataset
from harness.errors import StageError, UnknownName, UsageError
from harness.protocols import make_splits
from harness.stages import Stage, leak, locate, read_stage, relabel
from harness.types import Split

TRAINING: dict[str, Any] = {
    "schema_version": 1,
    "model": "toy-net",
    "identity": "00",
    "sources": [
        {"dataset": "toy", "content": "11", "protocol": "official", "split": "22", "train": 30, "val": 6}
    ],
    "classes": ["dark", "bright"],
    "recipe": "smoke",
    "seed": 0,
    "parameters": {"size_px": 8},
    "harness": "0.1.0",
    "start": None,
    "weights": [],
    "unknown": [],
    "images": "",
    "groups": "",
}


def write(path: Path, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": torch.ones(2)}, path, metadata=metadata or None)
    return path


def named(name: str, **metadata: str) -> Path:
    return write(stages.folder() / f"{name}.safetensors", **metadata)


def trained(**changes: Any) -> str:
    return json.dumps(TRAINING | changes)


class TestNames:
    def test_a_name_is_a_file_in_the_cache(self) -> None:
        path = named("lungs")
        assert locate("lungs") == locate("stage:lungs") == path

    @pytest.mark.parametrize("file", ["x.safetensors", "x.pth", "x.pt", "x.bin", "X.PTH"])
    def test_a_path_is_known_by_its_ending(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
    ) -> None:
        (tmp_path / file).write_bytes(b"x")
        monkeypatch.chdir(tmp_path)
        assert locate(file) == Path(file)

    def test_a_path_is_known_by_its_folders(self, tmp_path: Path) -> None:
        (tmp_path / "weights").write_bytes(b"x")
        assert locate(str(tmp_path / "weights")) == tmp_path / "weights"

    def test_an_unknown_name_comes_with_close_ones(self) -> None:
        named("lungs")
        with pytest.raises(UnknownName, match="unknown first stage 'lungz'; you probably meant 'lungs'"):
            locate("lungz")

    def test_a_path_that_leads_nowhere_is_the_users_slip(self, tmp_path: Path) -> None:
        named("lungs")
        with pytest.raises(UsageError, match=r"there is no such file; known by name: lungs"):
            locate(str(tmp_path / "none.pth"))

    def test_a_folder_is_no_stage(self, tmp_path: Path) -> None:
        (tmp_path / "x.pth").mkdir()
        with pytest.raises(StageError, match="is a folder or a device"):
            locate(str(tmp_path / "x.pth"))

    @pytest.mark.parametrize(
        "name", ["", "..", "a b", "lungs\n", "-x", "x" * 300, "\0", "x/" + "y" * 5000, "\0.pth"]
    )
    def test_what_can_be_no_name_is_refused_in_one_line(self, name: str) -> None:
        with pytest.raises(UsageError) as error:
            locate(name)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400 + len(name)

    def test_nothing_above_the_folder_of_stages_has_a_name(self) -> None:
        write(stages.folder().parent / "secret.safetensors")
        with pytest.raises(UsageError):
            locate("..secret")

    def test_a_row_shows_no_folder(self) -> None:
        assert stages.shown("stage:/home/me/lungs.pth") == "lungs.pth"


class TestMetadata:
    def test_say_what_the_network_is_and_how_it_is_fed(self) -> None:
        named("x", network="resnet18", in_channels="1", normalisation='{"mean": [0.5], "std": [0.25]}')
        stage = read_stage("x")
        assert (stage.network, stage.in_channels, stage.mean, stage.std) == ("resnet18", 1, (0.5,), (0.25,))
        assert stage.training is None

    def test_may_name_the_statistics_of_imagenet(self) -> None:
        named("x", normalisation="imagenet")
        assert (read_stage("x").mean, read_stage("x").std) == (IMAGENET_MEAN, IMAGENET_STD)

    def test_that_are_missing_leave_everything_unknown(self) -> None:
        path = named("x")
        assert read_stage("x") == Stage("x", path)
        assert read_stage("x").note == "starts from 'x': what it was trained on is not known"

    def test_of_a_pickle_are_not_looked_for(self, tmp_path: Path) -> None:
        torch.save({"w": torch.ones(2)}, tmp_path / "x.pth")
        assert read_stage(str(tmp_path / "x.pth")) == Stage("x.pth", tmp_path / "x.pth")

    def test_tell_the_reader_of_a_board_what_it_was_trained_on(self) -> None:
        named("x", training=trained(start="below", unknown=["below"]))
        assert read_stage("x").note == (
            "starts from 'x', trained on (images of training + validation): toy (official, 30 + 6), "
            "itself from 'below'; what 'below' was trained on is not known"
        )

    def test_of_many_datasets_make_no_endless_note(self) -> None:
        named("x", training=trained(sources=TRAINING["sources"] * 90))
        assert len(read_stage("x").note) < 400

    @pytest.mark.parametrize(
        "changes",
        [
            {"schema_version": 2},
            {"schema_version": "1"},
            {"model": 3},
            {"model": "x" * 101},
            {"model": "two\nlines"},
            {"sources": "toy"},
            {"sources": [{"dataset": "toy"}]},
            {"sources": TRAINING["sources"] * 101},
            {"classes": [None]},
            {"parameters": {"deep": {"deeper": []}}},
            {"seed": 1.5},
            {"seed": None},
            {"images": 7},
            {"more": "keys"},
        ],
        ids=str,
    )
    def test_of_another_form_are_refused_in_one_short_line(self, changes: dict[str, Any]) -> None:
        named("x", training=trained(**changes))
        with pytest.raises(StageError, match="its metadata are damaged: training") as error:
            read_stage("x")
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "null", "3", "[" * 100_000, '{"images": ' + "9" * 5000 + "}"]
    )
    def test_that_are_no_json_object_are_refused(self, text: str) -> None:
        named("x", training=text)
        with pytest.raises(StageError, match="its metadata are damaged"):
            read_stage("x")

    @pytest.mark.parametrize("what", ["images", "groups"])
    @pytest.mark.parametrize("text", ["not base64!", "AAAA", "é"])
    def test_digests_that_are_none_are_refused(self, what: str, text: str) -> None:
        named("x", training=trained(**{what: text}))
        with pytest.raises(StageError, match=f"its metadata are damaged: {what}"):
            getattr(read_stage("x"), what)

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("network", "../../etc/passwd\n"),
            ("network", "x" * 101),
            ("network", ""),
            ("in_channels", "0"),
            ("in_channels", "-3"),
            ("in_channels", "99999"),
            ("in_channels", "three"),
            ("normalisation", "cifar"),
            ("normalisation", "{}"),
            ("normalisation", '{"mean": [0.5], "std": [0]}'),
            ("normalisation", '{"mean": [0.5], "std": [NaN]}'),
            ("normalisation", '{"mean": [Infinity], "std": [1]}'),
            ("normalisation", '{"mean": [], "std": []}'),
            ("normalisation", '{"mean": [1, 2], "std": [1]}'),
            ("normalisation", '{"mean": 1, "std": 1}'),
        ],
    )
    def test_of_the_network_that_make_no_sense_are_refused(self, key: str, text: str) -> None:
        named("x", **{key: text})
        with pytest.raises(StageError, match=f"its metadata are damaged: {key}"):
            read_stage("x")

    @pytest.mark.parametrize("said", ["a text", [1], {"network": 3}, {"training": {}}])
    def test_that_are_no_texts_are_refused(self, said: object) -> None:
        text = json.dumps({"__metadata__": said}).encode()
        path = named("x")
        path.write_bytes(len(text).to_bytes(8, "little") + text)
        with pytest.raises(StageError, match="expected texts by name"):
            read_stage("x")

    @pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"<html>no such file</html>"])
    def test_of_a_file_that_is_no_safetensors_are_not_read(self, content: bytes) -> None:
        named("x").write_bytes(content)
        with pytest.raises(StageError, match="first stage 'x' is no safetensors file"):
            read_stage("x")

    @pytest.mark.skipif(nothing_is_forbidden(), reason="this user reads everything")
    def test_of_a_forbidden_file_cannot_be_read(self) -> None:
        named("x").chmod(0)
        with pytest.raises(StageError, match="cannot be read: Permission denied"):
            read_stage("x")


class TestRelabel:
    def test_keeps_every_tensor_and_what_was_said_before(self, tmp_path: Path) -> None:
        state = {"a": torch.randn(3, 5), "b": torch.tensor(4), "c": torch.randn(7).half()}
        save_file(state, tmp_path / "old.safetensors", metadata={"network": "x"})
        relabel(tmp_path / "old.safetensors", tmp_path / "new.safetensors", {"training": "ü" * 1001})
        with safe_open(tmp_path / "new.safetensors", "pt") as file:
            assert file.metadata() == {"network": "x", "training": "ü" * 1001}
            assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in state.items())

    def test_says_in_one_line_that_the_disk_is_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = write(tmp_path / "old.safetensors")

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StageError, match="cannot be written: No space left on device"):
            relabel(old, tmp_path / "new.safetensors", {})
        assert [path.name for path in tmp_path.iterdir()] == ["old.safetensors"]

    def test_says_that_its_folder_is_a_file(self, tmp_path: Path) -> None:
        old = write(tmp_path / "old.safetensors")
        with pytest.raises(StageError, match="cannot be written"):
            relabel(old, old / "new.safetensors", {})


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """20 patients of 3 images; each fifth patient is tested."""
    return open_dataset(str(make_dataset(tmp_path / "toy-ct")))


@pytest.fixture
def split(dataset: Dataset) -> Split:
    return make_splits("official", dataset.samples)[0]


def stage_that_saw(dataset: Dataset, ids: list[str], *, patients: list[str] | None = None) -> Stage:
    images = stages.packed(stages.image_digests(dataset, ids))
    groups = stages.packed(stages.group_digests(dataset, ids if patients is None else patients))
    training = stages.Training.model_validate(TRAINING | {"images": images, "groups": groups})
    return Stage("lungs", Path("lungs.safetensors"), training=training)


class TestLeaks:
    def test_none_from_the_training_and_validation_parts(self, dataset: Dataset, split: Split) -> None:
        assert leak(stage_that_saw(dataset, [*split.train, *split.val]), dataset, split) is None

    def test_none_that_is_known_from_a_stage_of_unknown_origin(self, dataset: Dataset, split: Split) -> None:
        assert leak(Stage("x", Path("x")), dataset, split) is None

    def test_are_counted_and_the_first_image_is_named(self, dataset: Dataset, split: Split) -> None:
        seen = [*split.train, *split.test[:5]]
        found = leak(stage_that_saw(dataset, seen, patients=[]), dataset, split)
        assert found == (
            "first stage 'lungs' has seen the test part: 5 of its 12 images (first: "
            f"{min(split.test[:5])!r}); start from one that was trained without them"
        )

    def test_of_patients_alone_are_found(self, dataset: Dataset, split: Split) -> None:
        found = leak(stage_that_saw(dataset, [], patients=list(split.test)), dataset, split)
        assert found is not None
        assert "has seen the test part: 4 of its 4 patients (first: 'p14')" in found

    def test_are_found_by_pixels_whatever_the_dataset_and_the_file_are_called(
        self, dataset: Dataset, split: Split, tmp_path: Path
    ) -> None:
        card = make_dataset(tmp_path / "other-ct")
        card.write_text(card.read_text().replace('"toy-ct"', '"other-ct"'))
        other = open_dataset(str(card))
        found = leak(stage_that_saw(other, list(split.test)), dataset, split)
        assert found is not None
        assert "12 of its 12 images" in found
        assert "patients" not in found, "patients of another dataset are other patients"

    def test_that_the_split_has_itself_are_not_the_stages(self, dataset: Dataset, split: Split) -> None:
        """An image that lies in the training and in the test part is seen by every model."""
        twin, tested = dataset.rows([split.train[0], split.test[0]])
        digests = list(dataset.pixel_digests)
        digests[tested] = digests[twin]
        doubled = replace(dataset, pixel_digests=tuple(digests))
        assert leak(stage_that_saw(doubled, list(split.train)), doubled, split) is None
        both = leak(stage_that_saw(doubled, [*split.train, *split.test]), doubled, split)
        assert both is not None
        assert "11 of its 12 images" in both

    def test_a_million_digests_take_no_more_than_their_bytes(self) -> None:
        text = stages.packed(number.to_bytes(16, "little") for number in range(10_000))
        assert len(text) < 10_000 * 22
