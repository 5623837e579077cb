"""A stranger's plugin and dataset, small enough to watch: an installed distribution and a folder of images."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image

MODELS = '''
import os, time
from pathlib import Path
import numpy as np


def begun():
    if os.environ.get("TOY_LOG_EARLY"):
        with open(os.environ["TOY_LOG_EARLY"], "a") as log:
            log.write(f"{os.getpid()}\\n")


def meet():
    """Wait until as many processes as TOY_MEET says have logged a look: on a loaded machine one starts late."""
    until = time.monotonic() + 60
    while len({line.split()[2] for line in open(os.environ["TOY_LOOKS"])}) < int(os.environ["TOY_MEET"]):
        assert time.monotonic() < until, "nobody else came"
        time.sleep(0.02)


class Bright:
    """Calls an image COVID when it is brighter than halfway between the class means."""

    def __init__(self, *, n_classes, seed, device="cpu", slope=0.2, pause=0.0):
        self.n_classes, self.seed, self.device, self.slope, self.pause = n_classes, seed, device, slope, pause

    def fit(self, images, labels, *, validation=None, groups=None):
        begun()
        time.sleep(self.pause)
        if os.environ.get("TOY_LOG"):
            with open(os.environ["TOY_LOG"], "a") as log:
                log.write(f"{type(self).__name__} {os.getpid()}\\n")
        means = images.resized(8).reshape(len(images), -1).mean(axis=1)
        self.threshold_ = np.mean([means[labels == c].mean() for c in range(self.n_classes)])
        return self

    def predict_proba(self, images):
        means = images.resized(8).reshape(len(images), -1).mean(axis=1)
        p = 1 / (1 + np.exp(-self.slope * (means - self.threshold_)))
        return np.stack([1 - p, p], axis=1)

    @staticmethod
    def search_space(trial):
        return {"slope": trial.suggest_float("slope", 0.01, 1.0, log=True)}


class Crash(Bright):
    def fit(self, images, labels, *, validation=None, groups=None):
        raise RuntimeError("the card caught fire")


class Exit(Bright):
    def fit(self, images, labels, *, validation=None, groups=None):
        raise SystemExit("bye")


class NotANumber(Bright):
    def predict_proba(self, images):
        return np.full((len(images), 2), np.nan)


class WrongShape(Bright):
    def predict_proba(self, images):
        return np.full((len(images), 3), 1 / 3)


class Slow(Bright):
    def __init__(self, *, n_classes, seed, device="cpu", slope=0.2, pause=3.0):
        super().__init__(n_classes=n_classes, seed=seed, device=device, slope=slope, pause=pause)


class Looks(Bright):
    """Looks at the validation part four times; goes on where a killed process stopped. Logs each look it takes."""

    uses_validation = True
    session = None

    def fit(self, images, labels, *, validation=None, groups=None):
        begun()
        state = self.session.folder / "looks" if self.session.folder else None
        taken = int(state.read_text()) if state and state.exists() else 0
        for look in range(taken, 4):
            if look == 1 and os.environ.get("TOY_MEET"):
                meet()
            time.sleep(self.pause)
            if os.environ.get("TOY_LOOKS"):
                with open(os.environ["TOY_LOOKS"], "a") as log:
                    log.write(f"{look} {self.slope!r} {os.getpid()}\\n")
            self.session.report((look + 1) / 4, 1 - abs(self.slope - 0.05) - 0.1 * (3 - look))
            if state:
                state.parent.mkdir(parents=True, exist_ok=True)
                state.with_name("new").write_text(str(look + 1))
                os.replace(state.with_name("new"), state)
        return super().fit(images, labels)


class DiesInTrials(Bright):
    def fit(self, images, labels, *, validation=None, groups=None):
        if self.slope != 0.2:
            os.kill(os.getpid(), 9)
        return super().fit(images, labels)


class BadSpace(Bright):
    @staticmethod
    def search_space(trial):
        raise KeyError("nobody knows")


class UnknownSpace(Bright):
    @staticmethod
    def search_space(trial):
        return {"slop": trial.suggest_float("slop", 0.01, 1.0)}


class EmptySpace(Bright):
    @staticmethod
    def search_space(trial):
        return {}


class Dying(Bright):
    def fit(self, images, labels, *, validation=None, groups=None):
        os.kill(os.getpid(), 9)
'''

ENTRY_POINTS = """
[harness.models]
toy-bright = toy_models:Bright
toy-crash = toy_models:Crash
toy-exit = toy_models:Exit
toy-nan = toy_models:NotANumber
toy-shape = toy_models:WrongShape
toy-slow = toy_models:Slow
toy-dying = toy_models:Dying
toy-looks = toy_models:Looks
toy-dies-in-trials = toy_models:DiesInTrials
toy-bad-space = toy_models:BadSpace
toy-unknown-space = toy_models:UnknownSpace
toy-empty-space = toy_models:EmptySpace
toy-broken = toy_broken:Model
"""

CARD = """
schema_version = 1
name = "toy-ct"
title = "Bright and dark squares"
description = "Noise of two levels."
adapter = "image-list"
classes = ["dark", "bright"]
positive = "bright"
licence = "CC0-1.0"
citation = "none"
list = "files.csv"
auto_recipe = "smoke"
"""


def install_plugin(site: Path) -> Path:
    """Lay out an installed distribution below `site`; put `site` on the path to use it."""
    modules = {"toy_models": textwrap.dedent(MODELS), "toy_broken": "import a_package_nobody_has\n"}
    return install(site, "toy-models", modules, ENTRY_POINTS)


def install(site: Path, distribution: str, modules: dict[str, str], entry_points: str) -> Path:
    """Lay out an installed distribution of these modules, by their source, below `site`."""
    info = site / f"{distribution.replace('-', '_')}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(entry_points)
    (info / "RECORD").write_text("".join(f"{name}.py,,\n" for name in modules))
    for name, source in modules.items():
        (site / f"{name}.py").write_text(source)
    return site


def make_dataset(folder: Path, *, patients: int = 20, slices: int = 3, shift: int = 40) -> Path:
    """Write a dataset of bright and dark noise with patients and a split; return its card."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,label,group,split"]
    for patient in range(patients):
        bright = patient % 2
        split = "test" if patient % 5 == 4 else "train"
        for number in range(slices):
            name = f"{patient}-{number}.png"
            level = random.normal(110 + shift * bright, 25, size=(20 + number, 24)).clip(0, 255)
            Image.fromarray(level.astype(np.uint8)).save(folder / name)
            lines.append(f"{name},{'bright' if bright else 'dark'},p{patient},{split}")
    (folder / "files.csv").write_text("\n".join(lines) + "\n")
    (folder / "card.toml").write_text(CARD)
    return folder / "card.toml"
