"""A package with one working model, for somebody to start from."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import shutil
import tempfile
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.registry import model_plugins

__all__ = ["new_model"]

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "NAME"
version = "0.1.0"
description = "MODEL, a model for ct-harness"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["ct-harness", "numpy"]

[project.optional-dependencies]
test = ["pytest"]

# How the harness finds the model: nothing else has to be registered.
[project.entry-points."harness.models"]
NAME = "MODULE:MODEL"

[tool.hatch.build.targets.wheel]
packages = ["src/MODULE"]
"""

SOURCE = '''\
"""MODEL: the nearest mean image. Replace it by your idea."""

import numpy as np


class MODEL:
    """Every class is its mean image; the nearer the mean, the likelier the class."""

    def __init__(self, *, n_classes, seed=0, device="cpu", size_px=32):
        self.n_classes, self.seed, self.device, self.size_px = n_classes, seed, device, size_px

    def _vectors(self, images):
        return images.resized(self.size_px).reshape(len(images), -1) / 255.0

    def fit(self, images, labels, *, validation=None, groups=None):
        x = self._vectors(images)
        self.seen_ = np.unique(labels)
        self.means_ = np.stack([x[labels == label].mean(axis=0) for label in self.seen_])
        return self

    def predict_proba(self, images):
        distances = ((self._vectors(images)[:, None] - self.means_) ** 2).sum(axis=2)
        closeness = np.exp(distances.min(axis=1, keepdims=True) - distances)
        probabilities = np.zeros((len(images), self.n_classes))
        probabilities[:, self.seen_] = closeness / closeness.sum(axis=1, keepdims=True)
        return probabilities
'''

TEST = """\
from MODULE import MODEL

from harness.testing import check_model


def test_MODULE_keeps_the_contract():
    check_model(MODEL)
"""

README = """\
# NAME

A model for ct-harness, which finds it by the entry point in `pyproject.toml`. The model itself is in
`src/MODULE/__init__.py`.

    pip install -e '.[test]' && pytest
    harness check NAME
    harness run -d ct-phantom -m NAME,svm

The first tests the contract, the second prints it rule by rule, the third ranks the model beside a baseline.
Its parameters (`size_px`) are set by `--param NAME.size_px=64`; a static `search_space(trial)` lets Optuna choose them.
"""

FILES = {
    "pyproject.toml": PYPROJECT,
    "README.md": README,
    "src/MODULE/__init__.py": SOURCE,
    "tests/test_MODULE.py": TEST,
}


def new_model(name: str, folder: Path) -> list[Path]:
    """Write a package with a model called `name` into `folder` and return its files.

    All of it appears at once or nothing does. Raises `UsageError` for a name that cannot be one
    or is taken and for a folder that exists, `HarnessError` where it cannot be written.
    """
    _check_name(name)
    target = Path.cwd() / Path(folder).expanduser()
    if target.is_symlink() or target.exists():
        raise UsageError(f"{str(folder)!r} is there already; name a folder that is not")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            written = _write(name, unfinished)
            unfinished.chmod(0o755)  # mkdtemp keeps others out
            unfinished.rename(target)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except OSError as error:
        raise HarnessError(f"cannot write a package to {str(folder)!r}: {error.strerror or error}") from error
    return [target / path for path in written]


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(
            f"model name {name!r}: expected lower-case words joined by hyphens, such as 'my-net'"
        )
    module = name.replace("-", "_")
    if name in model_plugins():
        raise UsageError(f"model name {name!r}: an installed model bears it; choose another one")
    if keyword.iskeyword(module) or keyword.iskeyword(_class_name(name)):
        raise UsageError(f"model name {name!r}: it is a word of the Python language; choose another one")
    if importlib.util.find_spec(module) is not None or _is_installed(name):
        raise UsageError(f"model name {name!r}: an installed package is called so; choose another one")


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _write(name: str, folder: Path) -> list[Path]:
    """Write the files; return their paths below `folder`."""
    words = {"NAME": name, "MODULE": name.replace("-", "_"), "MODEL": _class_name(name)}
    written = []
    for template, text in FILES.items():
        path = Path(_filled(template, words))
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(_filled(text, words), encoding="utf-8")
        written.append(path)
    return written


def _filled(template: str, words: dict[str, str]) -> str:
    return re.sub("NAME|MODULE|MODEL", lambda match: words[match[0]], template)


def _class_name(name: str) -> str:
    """Return the name as a class has it.

    >>> _class_name("my-net-2")
    'MyNet2'
    """
    return "".join(word.capitalize() for word in name.split("-"))
