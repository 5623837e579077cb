from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import toys
from waiting import wait_for

from harness import split_network, store
from harness.backbones import embed
from harness.counters import since, snapshot
from harness.data.dataset import Dataset, open_dataset
from harness.errors import HarnessError, ModelError, UnknownName, WeightsUnavailable
from harness.folders import cache_folder
from harness.images import Images, PixelStore
from harness.protocols import make_splits
from harness.store import DatasetStore
from harness.types import Split
from harness.weights import checkpoints_folder

BACKBONE = "squeezenet1_1"
SIZE = 32


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return open_dataset(str(toys.make_dataset(tmp_path / "toy", patients=10, slices=2)))


@pytest.fixture
def split(dataset: Dataset) -> Split:
    return make_splits("official", dataset.samples, seed=0)[0]


@pytest.fixture(autouse=True)
def _weights(request: pytest.FixtureRequest) -> None:
    if not request.node.get_closest_marker("data"):
        publish(seed=0)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the small network for two batches only."""
    monkeypatch.setattr(split_network, "images_to_see", lambda n: 2 * min(32, n))


def publish(seed: int) -> None:
    torch.manual_seed(seed)
    path = checkpoints_folder() / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)


def feature_files(suffix: str = ".npy") -> list[Path]:
    found = (cache_folder() / "features").rglob(f"*{suffix}")
    return sorted(p for p in found if (suffix == ".gram.npy") == p.name.endswith(".gram.npy"))


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_it_is_a_pixel_store_over_the_images_of_the_dataset(dataset: Dataset) -> None:
    made: PixelStore = DatasetStore(dataset)
    assert len(made) == len(dataset) == 20
    np.testing.assert_array_equal(made.image(3), dataset.pixels().image(3))
    np.testing.assert_array_equal(made.resized(16), dataset.pixels().resized(16))


class TestFeatures:
    def test_are_those_of_the_backbone(self, dataset: Dataset) -> None:
        found = DatasetStore(dataset).features(BACKBONE, SIZE)
        assert (found.shape, found.dtype, found.flags.writeable) == ((20, 512), np.float32, False)
        np.testing.assert_array_equal(found, embed(BACKBONE, dataset.pixels().resized(SIZE)))

    def test_are_computed_once_whatever_the_number_of_views_names_and_stores(self, dataset: Dataset) -> None:
        before = snapshot()
        for name in (BACKBONE, f"torchvision:{BACKBONE}"):
            for seed in range(3):
                images = Images(DatasetStore(dataset, seed=seed))
                for view in (images, images[:5], images[np.array([7, 3])]):
                    assert view.features(name, SIZE).shape == (len(view), 512)
        assert since(before)["forwards"] == 20
        assert len(feature_files()) == 1

    def test_are_not_computed_again_in_another_process(self, dataset: Dataset) -> None:
        DatasetStore(dataset).features(BACKBONE, SIZE)
        DatasetStore(dataset).gram(BACKBONE, SIZE)
        code = f"""
import sys
from harness.counters import snapshot
from harness.data.dataset import open_dataset
from harness.store import DatasetStore
store = DatasetStore(open_dataset({str(dataset.root / "card.toml")!r}))
store.features({BACKBONE!r}, {SIZE}), store.gram({BACKBONE!r}, {SIZE})
print(snapshot()["forwards"], snapshot()["grams"], snapshot()["decodes"], "torch" in sys.modules)
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
        )
        assert done.stdout.split() == ["0", "0", "0", "False"]

    def test_of_other_weights_are_others(self, dataset: Dataset) -> None:
        first = np.array(DatasetStore(dataset).features(BACKBONE, SIZE))
        publish(seed=1)
        assert not np.array_equal(first, DatasetStore(dataset).features(BACKBONE, SIZE))
        publish(seed=0)
        before = snapshot()
        np.testing.assert_array_equal(first, DatasetStore(dataset).features(BACKBONE, SIZE))
        assert since(before)["forwards"] == 0

    def test_of_another_size_are_others(self, dataset: Dataset) -> None:
        made = DatasetStore(dataset)
        assert not np.array_equal(made.features(BACKBONE, SIZE), made.features(BACKBONE, 40))

    @pytest.mark.parametrize(
        ("what", "answer"),
        [
            ("versions", lambda: {"torch": "99"}),
            ("module_digest", lambda module: f"another {module}"),
        ],
    )
    def test_of_other_versions_or_code_are_computed_anew(
        self, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, what: str, answer: Any
    ) -> None:
        DatasetStore(dataset).features(BACKBONE, SIZE)
        monkeypatch.setattr(store, what, answer)
        before = snapshot()
        DatasetStore(dataset).features(BACKBONE, SIZE)
        assert since(before)["forwards"] == 20

    def test_of_another_kind_of_device_are_kept_apart(
        self, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def fake(backbone: str, images_NSS: np.ndarray, *, device: str, progress: object) -> np.ndarray:
            asked.append(device)
            return np.full((len(images_NSS), 3), len(asked), np.float32)

        monkeypatch.setattr(store, "embed", fake)
        values = [
            DatasetStore(dataset, device=device).features(BACKBONE, SIZE)[0, 0]
            for device in ("cpu", "cuda:0", "cuda:1", "cpu")
        ]
        assert values == [1, 2, 2, 1]
        assert asked == ["cpu", "cuda:0"]

    def test_do_not_depend_on_the_names_of_the_files(self, dataset: Dataset, tmp_path: Path) -> None:
        DatasetStore(dataset).features(BACKBONE, SIZE)
        card = toys.make_dataset(tmp_path / "moved", patients=10, slices=2)
        before = snapshot()
        DatasetStore(open_dataset(str(card))).features(BACKBONE, SIZE)
        assert since(before)["forwards"] == 0

    def test_without_weights_are_refused_and_leave_nothing(self, dataset: Dataset) -> None:
        with pytest.raises(WeightsUnavailable, match="weights of 'resnet18' cannot be had") as error:
            DatasetStore(dataset).features("resnet18", SIZE)
        one_line(error)
        assert feature_files() == []

    def test_of_an_unknown_network_are_refused(self, dataset: Dataset) -> None:
        with pytest.raises(UnknownName):
            DatasetStore(dataset).features("squeezenet", SIZE)

    def test_of_images_that_are_too_small_are_refused_and_leave_nothing(self, dataset: Dataset) -> None:
        with pytest.raises(ModelError, match="at least 17 px, got 8"):
            DatasetStore(dataset).features(BACKBONE, 8)
        assert feature_files() == []

    def test_tell_how_far_they_are(self, dataset: Dataset) -> None:
        told: list[str] = []
        made = DatasetStore(dataset, progress=lambda what, fraction: told.append(what))
        made.features(BACKBONE, SIZE)
        assert "features of 20 images by squeezenet1_1" in told


class TestGram:
    def test_is_the_product_of_the_features_in_double_precision(self, dataset: Dataset) -> None:
        made = DatasetStore(dataset)
        x_ND = made.features(BACKBONE, SIZE).astype(np.float64)
        found = made.gram(BACKBONE, SIZE)
        assert (found.shape, found.dtype) == ((20, 20), np.float64)
        np.testing.assert_allclose(found, np.einsum("nd,md->nm", x_ND, x_ND), rtol=1e-12)
        np.testing.assert_array_equal(found, found.T)

    def test_is_multiplied_once_whatever_the_number_of_views_and_stores(self, dataset: Dataset) -> None:
        before = snapshot()
        for _ in range(3):
            images = Images(DatasetStore(dataset))
            assert images[:5].gram(BACKBONE, SIZE).shape == (5, 5)
            assert images[:5].gram(BACKBONE, SIZE, images[5:9]).shape == (5, 4)
        assert since(before)["grams"] == 1
        assert since(before)["forwards"] == 20

    def test_of_other_weights_is_another(self, dataset: Dataset) -> None:
        first = np.array(DatasetStore(dataset).gram(BACKBONE, SIZE))
        publish(seed=1)
        assert not np.array_equal(first, DatasetStore(dataset).gram(BACKBONE, SIZE))

    def test_that_is_damaged_is_multiplied_again_from_the_features(self, dataset: Dataset) -> None:
        first = np.array(DatasetStore(dataset).gram(BACKBONE, SIZE))
        (path,) = feature_files(".gram.npy")
        path.write_bytes(path.read_bytes()[:-8])
        before = snapshot()
        np.testing.assert_array_equal(first, DatasetStore(dataset).gram(BACKBONE, SIZE))
        assert (since(before)["grams"], since(before)["forwards"]) == (1, 0)


DAMAGES = {
    "truncated": lambda content: content[:-1],
    "cut within the header": lambda content: content[:40],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\0",
    "something else": lambda content: b"PK\x03\x04" + content[4:],
    "zeros": lambda content: bytes(len(content)),
    "a header that cannot be parsed": lambda content: content.replace(b"(20, 512)", b"(20, 10**"),
    "more columns than there are": lambda content: content.replace(b"(20, 512)", b"(20,9999)"),
    "more columns than memory has": lambda content: content.replace(b"(20, 512), }   ", b"(20,9999999999)}"),
    "another number of rows": lambda content: content.replace(b"(20, 512)", b"(10,1024)"),
    "another type": lambda content: content.replace(b"<f4", b"<i4"),
    "Fortran's order and fewer dimensions": lambda content: content.replace(b"(20, 512)", b"(10240,) "),
    "objects": lambda content: content.replace(b"'<f4'", b"'|O' "),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_computed_again_and_not_believed(dataset: Dataset, damage: str) -> None:
    first = np.array(DatasetStore(dataset).features(BACKBONE, SIZE))
    (path,) = feature_files()
    sound = path.read_bytes()
    damaged = DAMAGES[damage](sound)
    assert damaged != sound
    path.write_bytes(damaged)
    before = snapshot()
    np.testing.assert_array_equal(first, DatasetStore(dataset).features(BACKBONE, SIZE))
    assert since(before)["forwards"] == 20
    assert path.read_bytes() == sound


class TestSplitNetwork:
    pytestmark = pytest.mark.usefixtures("short")

    def test_is_trained_once_for_a_training_part_whatever_the_views_sizes_and_stores(
        self, dataset: Dataset, split: Split
    ) -> None:
        before = snapshot()
        for _ in range(2):
            images = Images(DatasetStore(dataset, split=split))
            assert images[:4].features("split-network", 224).shape == (4, split_network.WIDTH)
            assert images.features("split-network", 64).shape == (20, split_network.WIDTH)
            assert images.gram("split-network", 224).shape == (20, 20)
        assert since(before)["steps"] == 2
        assert (since(before)["forwards"], since(before)["grams"]) == (20, 1)

    def test_sees_the_training_part_and_nothing_else(
        self, dataset: Dataset, split: Split, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: dict[str, Any] = {}
        real = split_network.train

        def watched(images_NSS: np.ndarray, labels: np.ndarray, **options: Any) -> Any:
            seen.update(images=images_NSS, labels=labels, **options)
            return real(images_NSS, labels, **options)

        monkeypatch.setattr(split_network, "train", watched)
        DatasetStore(dataset, split=split, seed=3).features("split-network", 224)
        rows = dataset.rows(split.train)
        np.testing.assert_array_equal(seen["images"], dataset.pixels().resized(96)[rows])
        np.testing.assert_array_equal(seen["labels"], dataset.labels[rows])
        assert (seen["n_classes"], seen["seed"], seen["device"]) == (2, 3, "cpu")

    def test_is_the_same_for_splits_that_differ_in_their_other_parts_only(
        self, dataset: Dataset, split: Split
    ) -> None:
        swapped = Split("official", 0, 1, 0, split.train, val=split.test, test=split.val)
        DatasetStore(dataset, split=split).features("split-network", 224)
        before = snapshot()
        DatasetStore(dataset, split=swapped).features("split-network", 224)
        assert since(before) == {}

    def test_is_trained_anew_for_another_training_part_and_another_seed(
        self, dataset: Dataset, split: Split
    ) -> None:
        other = Split("official", 0, 1, 0, split.train[:-1], split.val, split.test)
        features = [
            np.array(DatasetStore(dataset, split=s, seed=seed).features("split-network", 224))
            for s, seed in ((split, 0), (split, 1), (other, 0))
        ]
        assert not any(np.array_equal(features[0], others) for others in features[1:])

    def test_needs_a_split(self, dataset: Dataset) -> None:
        with pytest.raises(ModelError, match="trained on the training part of a split, and none was given"):
            DatasetStore(dataset).features("split-network", 224)

    def test_needs_no_weights(self, dataset: Dataset, split: Split) -> None:
        (checkpoints_folder() / "squeezenet1_1-b8a52dc0.pth").unlink()
        assert DatasetStore(dataset, split=split).features("split-network", 224).shape[0] == 20


class TestACacheThatCannotBeWritten:
    def test_is_named_in_one_line_and_holds_no_half_file(
        self, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        DatasetStore(dataset).resized(SIZE)

        def full(*arguments: object, **options: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(np, "save", full)
        with pytest.raises(HarnessError) as error:
            DatasetStore(dataset).features(BACKBONE, SIZE)
        line = one_line(error)
        assert str(cache_folder()) in line
        assert "No space left on device" in line
        assert "HARNESS_CACHE" in line
        assert [
            p for p in (cache_folder() / "features").rglob("*") if p.is_file() and p.suffix != ".lock"
        ] == []

    def test_is_named_when_its_folder_is_a_file(self, dataset: Dataset) -> None:
        (cache_folder() / "features").write_text("no folder")
        with pytest.raises(HarnessError, match="cannot be written.*HARNESS_CACHE") as error:
            DatasetStore(dataset).features(BACKBONE, SIZE)
        one_line(error)

    def test_is_good_enough_when_everything_is_there(
        self, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        DatasetStore(dataset).gram(BACKBONE, SIZE)

        def refused(*arguments: object, **options: object) -> None:
            raise AssertionError("something was written")

        monkeypatch.setattr(store, "locked", refused)
        monkeypatch.setattr(store._Array, "save", refused)
        assert DatasetStore(dataset).features(BACKBONE, SIZE).shape == (20, 512)
        assert DatasetStore(dataset).gram(BACKBONE, SIZE).shape == (20, 20)


MAKE_SLOWLY = """
import sys, time
from pathlib import Path
import numpy as np
from harness.store import _Array

folder = Path(sys.argv[1])

def make():
    with (folder / "made.log").open("a") as log:
        log.write("made\\n")
    time.sleep(float(sys.argv[2]))
    return np.full((4, 3), 7, np.float32)

array = _Array(folder / "features" / "key.npy", (4, None), np.float32)
print(float(array.kept(folder, make, "a slow array", None).sum()))
"""


def slowly(folder: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKE_SLOWLY, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def test_of_two_processes_at_the_same_time_one_computes_and_both_get_it(tmp_path: Path) -> None:
    first, second = slowly(tmp_path, 1.0), slowly(tmp_path, 1.0)
    assert [p.communicate()[0].strip() for p in (first, second)] == ["84.0", "84.0"]
    assert (tmp_path / "made.log").read_text() == "made\n"


def test_a_process_that_is_killed_leaves_the_work_to_the_next(tmp_path: Path) -> None:
    killed = slowly(tmp_path, 60)
    wait_for(tmp_path / "made.log")
    (tmp_path / "features" / ".tmp-key.npy-left-behind").write_bytes(b"half")
    killed.kill()
    killed.communicate()
    assert slowly(tmp_path, 0).communicate()[0].strip() == "84.0"
    assert sorted(p.name for p in (tmp_path / "features").iterdir()) == ["key.lock", "key.npy"]


@pytest.mark.data
@pytest.mark.slow
def test_real_features_of_the_real_dataset_let_an_svm_reach_what_was_measured() -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if "TORCH_HOME" not in os.environ:
        pytest.skip("needs TORCH_HOME")
    dataset = open_dataset("sars-cov-2-ct")
    split = make_splits("official", dataset.samples, seed=0)[0]
    images = Images(DatasetStore(dataset, split=split))
    train, test = dataset.rows((*split.train, *split.val)), dataset.rows(split.test)
    model = make_pipeline(StandardScaler(), SVC(C=10))
    model.fit(images[train].features(BACKBONE), dataset.labels[train])
    accuracy = model.score(images[test].features(BACKBONE), dataset.labels[test])
    assert 0.97 <= accuracy <= 0.99
