"""Files of weights that are damaged, lie, or would run code if somebody let them."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

XRV_MODULE = '''
from collections import OrderedDict
from torch import nn


class _DenseLayer(nn.Sequential):
    """One layer."""

    def __init__(self, width):
        super().__init__(OrderedDict(norm1=nn.BatchNorm2d(width), relu1=nn.ReLU(), conv1=nn.Conv2d(width, 4, 1)))
        self.drop_rate = 0


class _DenseBlock(nn.Sequential):
    """Some layers."""


class _Transition(nn.Sequential):
    """Halves the size."""


class DenseNet(nn.Module):
    """Whatever network is called so; its parts have the names that the published one's have."""

    def __init__(self, features, n_classes=18):
        super().__init__()
        self.features = features
        self.classifier = nn.Linear(1024, n_classes)
        self.register_buffer("op_threshs", None)
        self.targets = ["Atelectasis", ""]
'''


def whole_module(
    file: Path, features: nn.Module, site: Path, monkeypatch: pytest.MonkeyPatch, *, zipped: bool
) -> dict[str, torch.Tensor]:
    """Write a network as torchxrayvision publishes its own, a pickle of its classes; return its tensors.

    Afterwards no module of that name can be imported any more.
    """
    (site / "torchxrayvision").mkdir(parents=True)
    (site / "torchxrayvision" / "__init__.py").write_text("")
    (site / "torchxrayvision" / "models.py").write_text(XRV_MODULE)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(site))
        models = importlib.import_module("torchxrayvision.models")
        network = models.DenseNet(features)
        with pytest.MonkeyPatch.context():
            torch.save(network, file, _use_new_zipfile_serialization=zipped)
    for name in ("torchxrayvision.models", "torchxrayvision"):
        sys.modules.pop(name, None)
    return network.state_dict()


class Payload:
    """Creates a file when it is unpickled by a reader that trusts it."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.victim}",)


def malicious(victim: Path) -> dict[str, bytes]:
    """Return files by kind that create `victim` when they are read unsafely."""
    payload = Payload(victim)
    files = {"bare pickle": pickle.dumps(payload, protocol=2)}
    for kind, zipped in (("archive", True), ("legacy", False)):
        file = io.BytesIO()
        state = {"weight": torch.ones(3), "more": payload}
        torch.save(state, file, _use_new_zipfile_serialization=zipped)
        files[kind] = file.getvalue()
    files["class of a module"] = _legacy_with(b"cposix\nsystem\n", f"touch {victim}")
    return files


def _legacy_with(named: bytes, argument: str) -> bytes:
    """Return a legacy file whose module's class is something to call."""
    text = argument.encode()
    unicode = b"X" + len(text).to_bytes(4, "little") + text
    source = b"X\x01\x00\x00\x00s"
    module = b"(X\x06\x00\x00\x00module" + named + source + source + b"tQ"
    content = io.BytesIO()
    torch.save({}, content, _use_new_zipfile_serialization=False)
    start = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    start += pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)
    return start + b"\x80\x02" + module + unicode + b"\x85R." + pickle.dumps([], 2)


def cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


def bomb(file: Path) -> None:
    """Write an archive whose member is not what it says it is."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("x/version", b"3\n")
