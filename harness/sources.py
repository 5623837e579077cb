"""Digests of code: what the interpreter sees, formatting, comments and docstrings aside."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution
from pathlib import Path

from harness.errors import PluginBroken

__all__ = ["code_digest", "engine_digest", "module_digest", "normalised_source"]

ENGINE = (
    "harness.backbones",
    "harness.budgets",
    "harness.catalogue",
    "harness.checkpoints",
    "harness.data.decoding",
    "harness.data.pixels",
    "harness.execution",
    "harness.folds",
    "harness.images",
    "harness.journals",
    "harness.metrics",
    "harness.protocols",
    "harness.searches",
    "harness.split_network",
    "harness.stages",
    "harness.store",
    "harness.studies",
    "harness.tuning",
    "harness.types",
    "harness.weights",
)
"""The modules of the harness that can change a number on a board."""


@cache
def engine_digest() -> str:
    """Return the SHA-256 of the harness's own modules that can change a prediction."""
    return _digest({name: _path_of(name) for name in ENGINE})


@cache
def module_digest(module: str) -> str:
    """Return the SHA-256 of one module alone."""
    return _digest({module: _path_of(module)})


def code_digest(module: str, distribution: Distribution | None = None) -> str:
    """Return the SHA-256 of a module and of all that it imports from its own distribution.

    Imports inside functions count; `harness` itself does not, `engine_digest` covers it.
    Raises `PluginBroken` when the source of `module` cannot be found or parsed.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    packages = _packages(module, distribution)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _path_of(name)
        if path is None:
            if name == module:
                raise PluginBroken(f"module {module!r}: no source file found, so its results cannot be keyed")
            continue
        found[name] = path
        waiting += [i for i in _facts(name, path).imports if i.partition(".")[0] in packages]
    return _digest(dict(found))


def normalised_source(source: str) -> str:
    """Return the syntax tree of Python source as text, without positions, comments and docstrings.

    >>> normalised_source("x = 1  # one") == normalised_source("x   =  1")
    True
    """
    return _normalised(ast.parse(source))


def _normalised(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return ast.dump(tree)


@dataclass(frozen=True)
class _Facts:
    """A module's normalised source, and the names it may import."""

    text: str
    imports: tuple[str, ...]


def _facts(module: str, path: Path) -> _Facts:
    stat = path.stat()
    return _read_facts(module, path, stat.st_mtime_ns, stat.st_size)


@cache
def _read_facts(module: str, path: Path, mtime_ns: int, size: int) -> _Facts:  # noqa: ARG001 - part of the key
    """Parse a module once, however many models share it."""
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise PluginBroken(f"source file {path.name!r} cannot be parsed: {error}") from error
    imports = tuple(_imports(tree, module, path.name == "__init__.py"))
    return _Facts(_normalised(tree), imports)


def _digest(paths: Mapping[str, Path | None]) -> str:
    total = hashlib.sha256()
    for name in sorted(paths):
        path = paths[name]
        text = _facts(name, path).text if path is not None else ""
        total.update(f"{name}\0{text}\0".encode())
    return total.hexdigest()


@cache
def _path_of(module: str) -> Path | None:
    """Source file of a module, found without importing anything."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    for part in rest:
        if path.name != "__init__.py":
            return None
        path = path.parent / part
        path = path / "__init__.py" if path.is_dir() else path.with_name(f"{part}.py")
    return path if path.suffix == ".py" and path.is_file() else None


def _packages(module: str, distribution: Distribution | None) -> set[str]:
    """Top-level packages of the distribution that `module` came with, without `harness`."""
    packages = {module.partition(".")[0]}
    for file in (distribution.files or []) if distribution is not None else []:
        if file.suffix == ".py":
            packages.add(file.parts[0].removesuffix(".py"))
    path = _path_of(module)
    if path is not None and "site-packages" not in path.parts:
        root = path.parents[module.count(".") + (path.name == "__init__.py")]
        packages |= {p.parent.name for p in root.glob("*/__init__.py")}
    return packages - {"harness"}


def _imports(tree: ast.Module, module: str, is_package: bool) -> list[str]:
    """Names that may be modules: `from a import b` gives both a and a.b."""
    package = module if is_package else module.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")]
    return [name for name in names if name]
