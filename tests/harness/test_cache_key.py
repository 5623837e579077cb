"""The cache that cannot lie: whatever can change a number changes the key, whatever cannot leaves it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from toys import install_plugin, make_dataset

from harness import machine, planning, registry, sources
from harness.planning import Request, make_plan
from harness.records import Predictions, finished, write_record

Change = Callable[["Bench"], None]

PREDICTIONS = Predictions(["1"], ["dark"], [None], ["dark", "bright"], np.array([[0.5, 0.5]]))

NEIGHBOUR = "def scale():\n    return 1.0\n"


@dataclass
class Bench:
    """A dataset, a plugin, weights and a request, all of which a test may change before it asks for the key."""

    root: Path
    patch: pytest.MonkeyPatch
    model: str = "toy-bright"
    asked: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.card = make_dataset(self.root / "toy-ct", patients=10, slices=2)
        self.site = install_plugin(self.root / "site")
        self.write_code(lambda code: f"import toy_neighbour\n{code}")
        (self.site / "toy_neighbour.py").write_text(NEIGHBOUR)
        record = self.site / "toy_models-0.1.dist-info/RECORD"
        record.write_text(record.read_text() + "toy_neighbour.py,,\n")
        self.write_weights(seed=0)

    def write_code(self, change: Callable[[str], str], module: str = "toy_models") -> None:
        path = self.site / f"{module}.py"
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before, "the change changes nothing"

    def write_weights(self, seed: int) -> None:
        path = self.root / "torch/hub/checkpoints/squeezenet1_1-b8a52dc0.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(weights_file(seed))

    def pixels(self, name: str, change: Callable[[np.ndarray], None]) -> None:
        path = self.card.parent / name
        pixels = np.array(Image.open(path))
        change(pixels)
        Image.fromarray(pixels).save(path)

    def edit(self, name: str, old: str, new: str, count: int = 1) -> None:
        path = self.card.parent / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, count))

    def edit_engine(self, module: str) -> None:
        """Let a module of the harness be a copy with one more statement."""
        real = sources._path_of(module)
        assert real is not None
        copy = self.root / real.name
        copy.write_text(real.read_text("utf-8") + "\nADDED = 1\n")
        found = sources._path_of
        self.patch.setattr(sources, "_path_of", lambda name: copy if name == module else found(name))

    def version(self, name: str) -> None:
        installed = machine.versions()
        assert name in installed
        self.patch.setattr(machine, "versions", lambda: {**installed, name: "0.0.1"})

    def key(self) -> str:
        return self.cell().key

    def cell(self) -> planning.Cell:
        forget()
        self.patch.setenv("TORCH_HOME", str(self.root / "torch"))
        self.patch.setenv("HARNESS_CACHE", str(self.root / "cache"))
        self.patch.syspath_prepend(str(self.site))
        request = Request(**{"datasets": (str(self.card),), "models": (self.model,), **self.given()})
        cells = [planned.cell for planned in make_plan(request).cells]
        chosen = cells[-1] if self.model == "xdnn" else cells[0]
        assert chosen.failure is None, chosen.failure
        return chosen

    def given(self) -> dict[str, Any]:
        asked = {"out": self.root / "out", "device": "cpu", "backbone": "squeezenet1_1", **self.asked}
        return {name: value for name, value in asked.items() if name != "model"}


@cache
def weights_file(seed: int) -> bytes:
    torch.manual_seed(seed)
    file = io.BytesIO()
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), file)
    return file.getvalue()


def forget() -> None:
    """What a new process would not know."""
    registry._plugins.cache_clear()
    for cached in (sources.engine_digest, sources.module_digest, machine._versions):
        cached.cache_clear()
    for name in ("toy_models", "toy_neighbour"):
        sys.modules.pop(name, None)
    getattr(sources._path_of, "cache_clear", lambda: None)()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        yield Bench(tmp_path / "changed", patch)
    forget()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Return the key of a model on an unchanged bench, which lies in another folder."""
    with pytest.MonkeyPatch.context() as patch:
        made = Bench(tmp_path_factory.mktemp("base"), patch)
        known: dict[str, str] = {}

        def key(model: str) -> str:
            if model not in known:
                made.model = model
                known[model] = made.key()
            return known[model]

        for model in ("toy-bright", "svm"):
            key(model)
        yield key
    forget()


def asks(**changes: Any) -> Change:
    return lambda bench: bench.asked.update(changes)


def code(change: Callable[[str], str], module: str = "toy_models") -> Change:
    return lambda bench: bench.write_code(change, module)


def darker(pixels: np.ndarray) -> None:
    pixels[0, 0] = 255 - pixels[0, 0]


def swap_pixels_of_two_images(bench: Bench) -> None:
    first, second = (bench.card.parent / name for name in ("0-0.png", "1-0.png"))
    pixels = [np.array(Image.open(path)) for path in (first, second)]
    Image.fromarray(pixels[1]).save(first)
    Image.fromarray(pixels[0]).save(second)


def model(name: str) -> Change:
    def change(bench: Bench) -> None:
        bench.model = name

    return change


MISSES: dict[str, Change] = {
    "one pixel": lambda b: b.pixels("0-0.png", darker),
    "the pixels of two images of different classes swapped": swap_pixels_of_two_images,
    "the label of an image": lambda b: b.edit("files.csv", "0-0.png,dark", "0-0.png,bright"),
    "an image less": lambda b: b.edit("files.csv", "0-0.png,dark,p0,train\n", ""),
    "an image moved to the test part": lambda b: b.edit(
        "files.csv",
        "2-0.png,dark,p2,train\n2-1.png,dark,p2,train",
        "2-0.png,dark,p2,test\n2-1.png,dark,p2,test",
    ),
    "the order of the classes": lambda b: b.edit("card.toml", '["dark", "bright"]', '["bright", "dark"]'),
    "the name of a class": lambda b: (
        b.edit("card.toml", "bright", "light", 2),
        b.edit("files.csv", "bright", "light", 99),
    )[0],
    "the patients, under group-kfold": lambda b: (
        b.edit("files.csv", ",p0,", ",p1,", 2),
        b.asked.update(protocols=("group-kfold",)),
    )[0],
    "the protocol": asks(protocols=("random",)),
    "the seed": asks(seeds=(1,)),
    "the recipe": asks(recipe="quick", trials=1),
    "the trials": asks(trials=3),
    "no trials at all": asks(trials=0),
    "a budget of time": asks(time_budget=60.0),
    "the patients, who share a fold in tuning": lambda b: b.edit("files.csv", ",p0,", ",p2,", 3),
    "a parameter": asks(parameters={"toy-bright": {"slope": 0.3}}),
    "a parameter by one unit in the last place": asks(
        parameters={"toy-bright": {"slope": float(np.nextafter(0.2, 1))}}
    ),
    "the kind of device": lambda b: b.patch.setattr(machine, "choose_device", lambda requested: "cuda:0"),
    "another model of the same module": model("toy-slow"),
    "another model of the same code": lambda b: (
        (b.site / "toy_models-0.1.dist-info/entry_points.txt").write_text(
            "[harness.models]\ntoy-other = toy_models:Bright\n"
        ),
        model("toy-other")(b),
    )[0],
    "a constant of the model": code(lambda text: text.replace("slope=0.2", "slope=0.25")),
    "an operator of the model": code(lambda text: text.replace("means - self", "means + self")),
    "a call of the model": code(lambda text: text.replace("np.mean([", "np.max([")),
    "the size of the images that the model asks for": code(
        lambda text: text.replace("resized(8)", "resized(9)", 1)
    ),
    "an attribute of the class": code(
        lambda text: text.replace("class Bright:", "class Bright:\n    uses_validation = True")
    ),
    "a decorator": code(lambda text: text.replace("@staticmethod", "@staticmethod\n    @(lambda f: f)")),
    "the neighbour that the model imports": code(lambda text: text.replace("1.0", "1.1"), "toy_neighbour"),
    "a new function in the neighbour": code(
        lambda text: f"{text}\ndef more():\n    return 2\n", "toy_neighbour"
    ),
    "the order of two statements": code(
        lambda text: text.replace("import os, time\n", "").replace(
            "import toy", "import os, time\nimport toy"
        )
    ),
    **{f"the engine's {name}": (lambda b, name=name: b.edit_engine(name)) for name in sources.ENGINE},
    **{
        f"the version of {name}": (lambda b, name=name: b.version(name))
        for name in ("python", *machine.NUMERICAL)
    },
}

SVM_MISSES: dict[str, Change] = {
    "the weights of the backbone": lambda b: b.write_weights(seed=1),
    "no weights any more": lambda b: (
        (b.root / "torch/hub/checkpoints/squeezenet1_1-b8a52dc0.pth").unlink(),
        b.patch.setattr(planning.weights, "obtain", lambda name, progress=None: planning.weights.find(name)),
        b.asked.update(backbone=None),
    )[0],
    "a parameter of the head": asks(parameters={"svm": {"C": 3.0}}),
    "the size of the images": asks(parameters={"svm": {"size_px": 64}}),
    "the first-party code": lambda b: b.edit_engine("baselines.heads"),
    "what the first-party code imports": lambda b: b.edit_engine("baselines.labels"),
}

HITS: dict[str, Change] = {
    "nothing but the folder": lambda b: None,
    "a comment in the model": code(lambda text: text.replace("class Bright:", "class Bright:  # of the sun")),
    "a docstring of the model": code(lambda text: text.replace("Calls an image", "Names an image")),
    "white space in the model": code(
        lambda text: text.replace("a, b", "a,  b").replace("self.seed, ", "self.seed,   ")
    ),
    "a comment in the neighbour": code(lambda text: f"# one\n{text}", "toy_neighbour"),
    "a file beside the model that it does not import": lambda b: (b.site / "toy_else.py").write_text(
        "X = 1\n"
    ),
    "a README": lambda b: (b.card.parent / "README.md").write_text("Read me."),
    "the title of the dataset": lambda b: b.edit("card.toml", "Bright and dark squares", "Squares"),
    "the licence of the dataset": lambda b: b.edit("card.toml", "CC0-1.0", "MIT"),
    "the encoding of an image": lambda b: Image.open(b.card.parent / "0-0.png").save(
        b.card.parent / "0-0.png", compress_level=0
    ),
    "the weights of a network that the model does not use": lambda b: b.write_weights(seed=1),
    "the name of the recipe's default trials": asks(trials=1),
    "the folder of the output": lambda b: b.asked.update(out=b.root / "elsewhere"),
}


def test_at_least_thirty_changes_are_tried() -> None:
    assert len(MISSES) + len(SVM_MISSES) >= 30


@pytest.mark.parametrize("what", MISSES)
def test_a_change_of_what_can_change_a_number_misses(
    what: str, bench: Bench, base: Callable[[str], str]
) -> None:
    unchanged = base("toy-bright")
    MISSES[what](bench)
    assert bench.key() != unchanged


@pytest.mark.parametrize("what", SVM_MISSES)
def test_a_change_below_a_head_misses(what: str, bench: Bench, base: Callable[[str], str]) -> None:
    unchanged = base("svm")
    bench.model = "svm"
    SVM_MISSES[what](bench)
    assert bench.key() != unchanged


@pytest.mark.parametrize("what", HITS)
def test_a_change_of_what_cannot_change_a_number_hits(
    what: str, bench: Bench, base: Callable[[str], str]
) -> None:
    HITS[what](bench)
    assert bench.key() == base("toy-bright")


STUDY_HITS: dict[str, Change] = {
    "more trials": asks(trials=40),
    "time instead of trials": asks(time_budget=60.0),
    "the labels of the test part": lambda b: b.edit("files.csv", "4-0.png,dark", "4-0.png,bright"),
    "the pixels of the test part": lambda b: b.pixels("4-0.png", lambda pixels: pixels.fill(9)),
    "the patients of the test part": lambda b: b.edit("files.csv", ",p4,", ",p9,", 3),
    "the folder of the output": lambda b: b.asked.update(out=b.root / "elsewhere"),
}

STUDY_MISSES: dict[str, Change] = {
    "a label of the training part": lambda b: b.edit("files.csv", "0-0.png,dark", "0-0.png,bright"),
    "a pixel of the training part": lambda b: b.pixels("0-0.png", lambda pixels: pixels.fill(9)),
    "a patient of the training part": lambda b: b.edit("files.csv", ",p0,", ",p2,", 3),
    "the seed": asks(seeds=(1,)),
    "the recipe": asks(recipe="quick"),
    "a parameter": asks(parameters={"toy-bright": {"slope": 0.3}}),
    "the model": model("toy-slow"),
    "the search space": code(lambda text: text.replace("0.01, 1.0, log", "0.01, 2.0, log")),
    **{f"the engine's {name}": (lambda b, name=name: b.edit_engine(name)) for name in sources.ENGINE},
    "the version of optuna": lambda b: b.version("optuna"),
}


@pytest.mark.parametrize("what", STUDY_HITS)
def test_a_study_goes_on_whatever_the_budget_and_the_test_part(
    what: str, bench: Bench, tmp_path: Path
) -> None:
    before = bench.cell().study
    STUDY_HITS[what](bench)
    assert bench.cell().study == before


@pytest.mark.parametrize("what", STUDY_MISSES)
def test_a_study_begins_anew_with_what_can_change_a_trial(what: str, bench: Bench) -> None:
    before = bench.cell().study
    STUDY_MISSES[what](bench)
    assert bench.cell().study != before


def test_no_two_models_share_a_key(bench: Bench) -> None:
    keys = []
    for name in (
        "toy-bright",
        "toy-slow",
        "toy-nan",
        "svm",
        "decision-tree",
        "ada-boost",
        "xdnn",
        "xdnn-released",
    ):
        bench.model = name
        keys.append(bench.key())
    assert len(set(keys)) == len(keys)


def test_a_record_under_the_key_of_another_is_not_believed(tmp_path: Path) -> None:
    written = write_record(tmp_path, "a" * 32, {"status": "complete"}, PREDICTIONS)
    assert finished(tmp_path, "a" * 32)
    written.folder.rename(tmp_path / ("b" * 32))
    assert not finished(tmp_path, "b" * 32)
