"""Models and dataset adapters by name, found through entry points.

First-party baselines come in by the same door as strangers' plugins. Listing reads metadata
only; nothing is imported until it is asked for.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from harness.errors import PluginBroken, UnknownName, UsageError

__all__ = [
    "BASELINES",
    "DatasetPlugin",
    "ModelPlugin",
    "dataset_plugins",
    "find_model",
    "model_plugins",
    "parameters_of",
]

BASELINES = (
    "xdnn",
    "resnet",
    "googlenet",
    "vgg16",
    "alexnet",
    "decision-tree",
    "ada-boost",
    "svm",
    "densenet",
)
"""What `--all` runs: the rows of Soares et al. (2020), Table 1, the SVM of its text and Zhao et al.'s DenseNet."""


@dataclass(frozen=True)
class Plugin:
    """An entry point: known by its metadata, imported on `load()`."""

    name: str
    entry_point: EntryPoint = field(repr=False)

    @property
    def location(self) -> str:
        """`module:attribute` of the factory."""
        return self.entry_point.value

    @property
    def module(self) -> str:
        return self.entry_point.module

    @cached_property
    def distribution(self) -> str:
        """Name and version of the distribution it came with, 'unknown' when metadata has none."""
        dist = self.entry_point.dist
        return f"{dist.name} {dist.version}" if dist is not None else "unknown"

    def load(self) -> Any:
        """Import and return the factory. Raises `PluginBroken` with the plugin's own error in one line."""
        try:
            return self.entry_point.load()
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise PluginBroken(
                f"plugin {self.name!r} ({self.location}, from {self.distribution}) cannot be imported: {reason}"
            ) from error


@dataclass(frozen=True)
class ModelPlugin(Plugin):
    """A model family. `variant` is what follows the colon of `timm:convnext_tiny`."""

    variant: str | None = None

    @property
    def label(self) -> str:
        """The name a row of the board bears."""
        return self.name if self.variant is None else f"{self.name}:{self.variant}"

    @property
    def fixed(self) -> dict[str, Any]:
        """Parameters that the name itself sets."""
        return {} if self.variant is None else {"variant": self.variant}

    def create(self, **parameters: Any) -> Any:
        """Return a new model. Raises `UsageError` when the factory does not know a parameter."""
        factory: Callable[..., Any] = self.load()
        try:
            return factory(**parameters)
        except TypeError as error:
            if "argument" not in str(error):
                raise
            raise UsageError(f"model {self.label!r}: {error}") from error


@dataclass(frozen=True)
class DatasetPlugin(Plugin):
    """A dataset adapter: a callable that turns a card and a folder into samples."""


@cache
def _plugins(group: str) -> dict[str, EntryPoint]:
    """Return what this environment registers; what is installed later belongs to the next process."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda p: (p.name, p.value)):
        clash = found.get(point.name)
        if clash is not None and clash.value != point.value:
            raise UsageError(
                f"two plugins call themselves {point.name!r} in {group!r}: {clash.value} and {point.value}; "
                "uninstall one of them"
            )
        found[point.name] = point
    return found


def model_plugins() -> dict[str, ModelPlugin]:
    """Return every registered model by name, without importing any."""
    return {name: ModelPlugin(name, point) for name, point in _plugins("harness.models").items()}


def dataset_plugins() -> dict[str, DatasetPlugin]:
    """Return every registered dataset adapter by name, without importing any."""
    return {name: DatasetPlugin(name, point) for name, point in _plugins("harness.datasets").items()}


def find_model(name: str) -> ModelPlugin:
    """Return the plugin for `svm`, or for `family:variant` such as `timm:convnext_tiny`.

    Raises `UnknownName` with close names.
    """
    known = model_plugins()
    family, _, variant = name.partition(":")
    if family not in known:
        raise UnknownName("model", name, known)
    if variant and not re.fullmatch(r"[\w.\-/]+", variant):
        raise UsageError(f"model {name!r}: what follows the colon must be a plain name")
    if ":" in name and not variant:
        raise UsageError(f"model {name!r}: nothing follows the colon")
    return ModelPlugin(family, known[family].entry_point, variant or None)


def parameters_of(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Return the parameters of a model's factory by name; None when it takes any name."""
    known = inspect.signature(factory).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    return None if takes_any else known
