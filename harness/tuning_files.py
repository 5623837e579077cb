"""What `harness tune` leaves beside the journal of a study: a picture, and the data behind it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.planning import Cell
from harness.records import writable
from harness.studies import Study
from harness.tuning import Tuning, chosen
from harness.tuning_pictures import Sketch, picture

__all__ = ["Found", "found_for", "write_study"]


@dataclass(frozen=True)
class Found:
    """The choice for a cell, the values of parameters by trial, and their importance or why it cannot be told."""

    tuning: Tuning
    suggested: dict[int, dict[str, Any]]
    importances: dict[str, float]
    reason: str | None


def found_for(cell: Cell) -> Found | None:
    """Return what the study of a cell found, None when nothing was tuned. Raises as `chosen` does."""
    if not cell.shelf.journal.exists():
        return None
    study = Study(cell.shelf, seed=cell.seed, by_folds=False)
    tuning = chosen(study, cell.budget)
    try:
        importances, reason = study.importances(len(tuning.history)), None
    except ValueError as error:
        importances, reason = {}, str(error)
    return Found(tuning, study.suggested(len(tuning.history)), importances, reason)


def write_study(cell: Cell, found: Found) -> tuple[Path, Path]:
    """Return the paths of picture and data, written to the folder of the studies."""
    name = _name(cell)
    sketch = Sketch(
        title=f"{cell.dataset_name} · {cell.label}",
        subtitle=_subtitle(cell, found.tuning),
        tuning=found.tuning,
        importances=found.importances,
        reason=found.reason,
        suggested=found.suggested,
    )
    folder = cell.shelf.folder
    paths = folder / f"{name}.png", folder / f"{name}.json"
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _whole(paths[0]) as temporary:
            picture(sketch).savefig(temporary, format="png")
        with _whole(paths[1]) as temporary:
            text = json.dumps(_data(cell, found), indent=1, ensure_ascii=False)
            temporary.write_text(text + "\n", "utf-8")
    return paths


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name that becomes `path` in one piece; of a block that raises nothing stays."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _subtitle(cell: Cell, tuning: Tuning) -> str:
    fold = f", fold {cell.fold}" if cell.protocol == "group-kfold" else ""
    return f"{cell.protocol}{fold}, recipe {cell.recipe}, seed {cell.seed}, {tuning.judged_on}"


def _name(cell: Cell) -> str:
    """Return a file name that tells what it is, and the beginning of the study's key, which tells it apart."""
    fold = [f"fold-{cell.fold}"] if cell.protocol == "group-kfold" else []
    parts = [cell.dataset_name, cell.protocol, *fold, cell.model, f"seed-{cell.seed}", cell.study[:8]]
    return "-".join(re.sub(r"[^\w.]+", "-", part) for part in parts)


def _data(cell: Cell, found: Found) -> dict[str, Any]:
    return {
        "dataset": cell.dataset_name,
        "protocol": cell.protocol,
        "fold": cell.fold,
        "model": cell.model,
        "variant": cell.variant,
        "recipe": cell.recipe,
        "seed": cell.seed,
        "study": cell.study,
        "tuning": found.tuning.as_dict(),
        "suggested": found.suggested,
        "importances": found.importances or None,
        "no_importances_because": found.reason,
    }
