"""Plugins that decide by prototypes, honest and not, small enough to work out by hand."""

from __future__ import annotations

from pathlib import Path

MODELS = '''
import os
from dataclasses import dataclass
import numpy as np


@dataclass
class Rule:
    label: int
    prototypes: list
    supports: list


@dataclass
class Likeness:
    label: int
    sample: int
    support: int
    similarity: float


@dataclass
class Explanation:
    label: int
    winners: list


class Levels:
    """The darkest image of a class stands for the darker half of it, the brightest for the rest."""

    def __init__(self, *, n_classes, seed, device="cpu", power=2.0):
        self.n_classes, self.seed, self.device, self.power = n_classes, seed, device, power

    def fit(self, images, labels, *, validation=None, groups=None):
        level = self.levels(images)
        self.prototypes_ = []
        for label in range(self.n_classes):
            rows = np.flatnonzero(labels == label)
            order = rows[np.argsort(level[rows], kind="stable")]
            half = len(order) // 2
            self.prototypes_.append([(int(order[0]), level[order[0]], half),
                                     (int(order[-1]), level[order[-1]], len(order) - half)])
        return self

    def levels(self, images):
        return images.resized(8).reshape(len(images), -1).mean(axis=1)

    def nearest(self, images):
        return [[min(own, key=lambda p: abs(p[1] - x)) + (x,) for own in self.prototypes_]
                for x in self.levels(images)]

    def predict_proba(self, images):
        distance = np.array([[abs(p[1] - p[3]) for p in row] for row in self.nearest(images)])
        weight = 1 / (1 + distance ** self.power) ** float(os.environ.get("TOY_SHARPNESS", "1"))
        return weight / weight.sum(axis=1, keepdims=True)

    def rules(self):
        return [Rule(c, [p[0] for p in own], [p[2] for p in own]) for c, own in enumerate(self.prototypes_)]

    def explain(self, images):
        found = []
        for row in self.nearest(images):
            winners = [Likeness(c, p[0], p[2], 1 / (1 + (p[1] - p[3]) ** 2)) for c, p in enumerate(row)]
            winners.sort(key=lambda w: -w.similarity)
            found.append(Explanation(winners[0].label, winners))
        return found


class Watching(Levels):
    uses_validation = True


class Silent(Levels):
    rules = explain = None


class Lying(Levels):
    def explain(self, images):
        return [Explanation(1 - e.label, e.winners) for e in super().explain(images)]


class Elsewhere(Levels):
    def rules(self):
        return [Rule(0, [10**6], [1])]


class Raising(Levels):
    def rules(self):
        raise RuntimeError("no rules\\ntoday")
'''

ENTRY_POINTS = """
[harness.models]
levels = toy_prototypes_plugin:Levels
watching = toy_prototypes_plugin:Watching
silent = toy_prototypes_plugin:Silent
lying = toy_prototypes_plugin:Lying
elsewhere = toy_prototypes_plugin:Elsewhere
raising = toy_prototypes_plugin:Raising
"""

MODULE = "toy_prototypes_plugin"


def install(site: Path) -> Path:
    """Lay out an installed distribution below `site`; put `site` on the path to use it."""
    info = site / "toy_prototypes-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-prototypes\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (info / "RECORD").write_text(f"{MODULE}.py,,\n")
    (site / f"{MODULE}.py").write_text(MODELS)
    return site
