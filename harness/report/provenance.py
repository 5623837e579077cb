"""Where each number of a row comes from: its cells, with everything their manifests say."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.board_cells import Cell

__all__ = ["CellFacts", "facts_of", "number_of"]

DURATIONS = {
    "cache_seconds": "kept for all models",
    "tune_seconds": "tuning",
    "fit_seconds": "fit",
    "predict_seconds": "prediction",
}


@dataclass(frozen=True, slots=True)
class CellFacts:
    """One cell: its key, its place, its confusion matrix in words, and (what, text) of its manifest.

    `digests` are hexadecimal and whole, for copying.
    """

    key: str
    where: str
    facts: tuple[tuple[str, str], ...]
    digests: tuple[tuple[str, str], ...]


def facts_of(cell: Cell) -> CellFacts:
    """Return what is known of a finished cell; what its manifest lacks is left out."""
    manifest = cell.manifest
    facts = tuple((what, text) for what, text in _facts(manifest) if text)
    digests = tuple((what, text) for what, text in _digests(manifest) if text)
    return CellFacts(cell.entry.key, cell.where, facts, digests)


def _facts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    model, protocol, images = manifest["model"], manifest["protocol"], manifest["dataset"].get("n", {})
    yield "model", _joined(f"{model.get('name')}", model.get("distribution"), model.get("location"))
    yield "parameters", _parameters(model.get("parameters"))
    folds = protocol.get("folds", 1)
    fold = f"fold {protocol['fold']} of {folds}, counted from 0" if folds > 1 else ""
    yield "protocol", _joined(protocol["name"], fold)
    yield "recipe and seed", f"{manifest['recipe']}, seed {manifest['seed']}"
    yield "images", ", ".join(f"{count} {part}" for part, count in images.items())
    yield "tuning", _tuning(manifest.get("tuning"))
    yield "durations", _durations(manifest.get("durations") or {})
    yield "peak memory", _memory(manifest)
    yield "device", _device(manifest.get("device"))
    yield "versions", ", ".join(f"{name} {v}" for name, v in (manifest.get("versions") or {}).items())
    yield "weights", "; ".join(_weights(weights) for weights in manifest.get("weights") or ())
    yield "notes", "; ".join(manifest.get("notes") or ())
    yield "ran", _joined(manifest.get("started"), manifest.get("finished"), by=" to ")


def _digests(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "predictions", str((manifest.get("predictions") or {}).get("sha256") or "")
    yield "dataset", str(manifest["dataset"].get("content") or "")
    yield "split", str(manifest["protocol"].get("split") or "")
    yield "model code", str(manifest["model"].get("code") or "")
    yield "engine code", str(manifest.get("engine") or "")


def number_of(value: Any) -> float | None:
    """Return what a manifest gives as a number; None for anything else, so that nothing is made of it."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if known else None


def _joined(*parts: Any, by: str = ", ") -> str:
    return by.join(str(part) for part in parts if part)


def _parameters(parameters: Mapping[str, Any] | None) -> str:
    pairs = (parameters or {}).items()
    return ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in pairs)


def _tuning(tuning: Mapping[str, Any] | None) -> str:
    if not tuning:
        return "none: the defaults"
    counts = ((tuning.get(name), name) for name in ("trials", "pruned", "failed"))
    return ", ".join(f"{name}: {count}" for count, name in counts if count)


def _durations(durations: Mapping[str, Any]) -> str:
    known = [(words, number_of(durations.get(name))) for name, words in DURATIONS.items()]
    return ", ".join(f"{words} {value:.4g} s" for words, value in known if value is not None)


def _memory(manifest: Mapping[str, Any]) -> str:
    found = [("process", manifest.get("peak_memory_mb")), ("device", manifest.get("peak_device_memory_mb"))]
    known = [(what, number_of(value)) for what, value in found]
    return ", ".join(f"{what} {value:,.0f} MB" for what, value in known if value is not None)


def _device(device: Mapping[str, Any] | None) -> str:
    if not device:
        return ""
    threads = device.get("threads")
    return _joined(device.get("kind"), device.get("name"), f"threads: {threads}" if threads else "")


def _weights(weights: Mapping[str, Any]) -> str:
    digest = f"sha256 {weights['sha256']}" if weights.get("sha256") else "none: trained from scratch"
    reason = f" ({weights['reason']})" if weights.get("reason") else ""
    return f"{weights.get('network')}: {digest}{reason}"
