"""Rules of prototype models: what a record says of them, and what `harness explain` wrote beside the records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RecordError
from harness.explanation_data import SCHEMA_VERSION, ClassRule, Prototype
from harness.report.rows import RowView

__all__ = ["Rules", "RulesOfRow", "explanations_in", "rules_of"]

COUNTED = re.compile(r"(\d+) prototypes of (\d+) training images")
"""How the note of a model that decides by prototypes begins."""


@dataclass(frozen=True)
class Rules:
    """The rules of one cell, the largest supports first, over `fitted` training images."""

    key: str
    fitted: int
    rules: tuple[ClassRule, ...]


@dataclass(frozen=True)
class RulesOfRow:
    """What a row says of its prototypes: (cell, sentence, share of the training images) and the rules at hand."""

    view: RowView
    counts: tuple[tuple[str, str, float], ...]
    known: tuple[tuple[str, Rules], ...]


def rules_of(views: Sequence[RowView], known: Mapping[str, Rules]) -> tuple[RulesOfRow, ...]:
    """Return the rows whose cells say that they decide by prototypes; `known` are rules by the key of a cell."""
    found = []
    for view in views:
        counts = tuple(
            (cell.where, note, share) for cell in view.row.cells for note, share in _counted(cell.manifest)
        )
        at_hand = tuple((c.where, known[c.entry.key]) for c in view.row.cells if c.entry.key in known)
        if counts or at_hand:
            found.append(RulesOfRow(view, counts, at_hand))
    return tuple(found)


def _counted(manifest: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for note in manifest["notes"]:
        counted = COUNTED.match(note)
        if counted is not None and int(counted[2]):
            yield note, int(counted[1]) / int(counted[2])


def explanations_in(folder: Path) -> dict[str, Rules]:
    """Return the rules that `harness explain` wrote below a folder, by key of the cell; {} where it is absent.

    Raises `RecordError` in one line for a file that is no explanation.
    """
    files = sorted(folder.glob("*/explanation.json")) if folder.is_dir() else []
    return {rules.key: rules for rules in map(_read, files)}


def _read(path: Path) -> Rules:
    where = f"{path.parent.name}/{path.name}"
    try:
        said = json.loads(path.read_text("utf-8"))
        if said["schema_version"] != SCHEMA_VERSION:
            raise RecordError(
                f"{where}: schema_version {said['schema_version']!r}, expected {SCHEMA_VERSION}"
            )
        return Rules(str(said["key"]), int(said["fitted"]), tuple(map(_rule, said["rules"])))
    except OSError as error:
        raise RecordError(f"{where}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{where}: no explanation ({type(error).__name__}: {error}); delete its folder and run "
            "'harness explain' again"
        ) from error


def _rule(said: Mapping[str, Any]) -> ClassRule:
    prototypes = (Prototype(str(p["id"]), int(p["row"]), int(p["support"])) for p in said["prototypes"])
    return ClassRule(str(said["name"]), tuple(prototypes))
