"""A stranger's network, installed as a distribution, that keeps the contract of first stages in a second."""

from __future__ import annotations

import textwrap
from pathlib import Path

from toys import install

MODELS = '''
import json, os, time
import numpy as np
from harness.types import Session


class Net:
    """Draws a SqueezeNet, or takes it from a stage; each of four epochs adds its number to the first bias."""

    uses_validation = True
    session = Session()
    recipes = {"smoke": {}, "quick": {}}

    def __init__(self, *, n_classes, seed, device="cpu", network="squeezenet1_1", pause=0.0, start=None):
        self.n_classes, self.seed, self.device = n_classes, seed, device
        self.network, self.pause, self.start = network, pause, start

    def fit(self, images, labels, *, validation=None, groups=None):
        import torch
        from harness.backbones import build

        torch.manual_seed(self.seed)
        self.network_ = build(self.network, n_classes=self.n_classes, pretrained=False, start=self.start)
        self.seen_ = (len(images), len(validation[0]), labels.tolist(), groups)
        images.resized(8)
        done = self._resumed()
        with torch.no_grad():
            for epoch in range(1, done + 1):
                self._first_bias().add_(epoch)
            for epoch in range(done + 1, 5):
                if os.environ.get("TOY_LOG"):
                    with open(os.environ["TOY_LOG"], "a") as log:
                        log.write(f"epoch {epoch} of {len(images)}\\n")
                time.sleep(self.pause)
                self._first_bias().add_(epoch)
                self._remember(epoch)
        self.notes_ = ["a toy"]
        return self

    def predict_proba(self, images):
        return np.full((len(images), self.n_classes), 1 / self.n_classes)

    def save(self, path):
        from safetensors.torch import save_file

        facts = {"network": self.network, "n_classes": str(self.n_classes), "size_px": "8"}
        save_file(self.network_.state_dict(), path, metadata=facts)

    def _first_bias(self):
        return next(p for name, p in self.network_.named_parameters() if name.endswith("bias"))

    def _resumed(self):
        folder = self.session.folder
        if folder is None or not (folder / "epochs").exists():
            return 0
        return json.loads((folder / "epochs").read_text())

    def _remember(self, epoch):
        if self.session.folder is not None:
            self.session.folder.mkdir(parents=True, exist_ok=True)
            (self.session.folder / "epochs").write_text(json.dumps(epoch))


class Forgetful(Net):
    save = None


class Hasty(Net):
    uses_validation = False
'''

ENTRY_POINTS = """
[harness.models]
toy-net = toy_stage_models:Net
toy-forgetful = toy_stage_models:Forgetful
toy-hasty = toy_stage_models:Hasty
"""


def install_networks(site: Path) -> Path:
    """Lay out an installed distribution below `site`; put `site` on the path to use it."""
    modules = {"toy_stage_models": textwrap.dedent(MODELS)}
    return install(site, "toy-stage-models", modules, ENTRY_POINTS)
