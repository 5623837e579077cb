"""A model as a plan needs it: what its plugin and its factory say, before any model is made."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from harness.errors import HarnessError, UnknownName, UsageError
from harness.registry import ModelPlugin, parameters_of
from harness.sources import code_digest

__all__ = ["FoundModel"]

CONTEXT = frozenset(("n_classes", "seed", "device"))
"""Parameters of a factory that the harness gives."""


class FoundModel:
    """A plugin with what its factory says of itself; a broken one says why."""

    def __init__(self, plugin: ModelPlugin) -> None:
        self.plugin = plugin
        self.failure: str | None = None
        self.factory: Callable[..., Any] | None = None
        self.code = ""
        try:
            self.factory = plugin.load()
            self.code = code_digest(plugin.module, plugin.entry_point.dist)
        except HarnessError as error:
            self.failure = str(error)

    @property
    def untuned_row(self) -> bool:
        return bool(getattr(self.factory, "untuned_row", False))

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the factory's parameters."""
        return frozenset(inspect.signature(self.factory).parameters) if self.factory else frozenset()

    def recipe(self, recipe: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (parameters, those that hold in tuning trials only) of a recipe."""
        given = dict(getattr(self.factory, "recipes", {}).get(recipe, {}))
        trial = dict(given.pop("trial", {}))
        return given, trial

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Raise `UsageError` for a parameter that the factory doesn't have, or text where it has a number."""
        assert self.factory is not None
        known = parameters_of(self.factory)
        if known is None:
            return
        for name, value in parameters.items():
            if name not in known or name in CONTEXT:
                raise UnknownName(f"parameter of {self.plugin.label!r}", name, set(known) - CONTEXT)
            self._check_value(name, value, known[name].default)

    def _check_value(self, name: str, value: Any, default: Any) -> None:
        what = f"parameter {name!r} of {self.plugin.label!r}"
        if isinstance(value, list | dict) or (isinstance(value, float) and not math.isfinite(value)):
            raise UsageError(f"{what}: expected a finite number or a text, got {value!r}")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(default, int | float) and not isinstance(default, bool) and not is_number:
            raise UsageError(f"{what}: expected a number as {default!r} is, got {value!r}")

    def pretrained(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        asks = getattr(self.factory, "pretrained", None)
        return tuple(asks(**parameters)) if asks is not None else ()
