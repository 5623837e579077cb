"""How long cells took, to guess how long the next ones will."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HarnessError
from harness.models import FoundModel
from harness.records import Record, read_record

__all__ = ["Timings"]


class Timings:
    """What earlier cells took, to guess what the next ones will."""

    def __init__(self, runs: Path) -> None:
        self._seconds: dict[tuple[str, str, str], float] = {}
        for folder in sorted(runs.glob("[!.]*")) if runs.is_dir() else []:
            try:
                self._add(read_record(folder))
            except HarnessError:
                continue  # boards complain about damaged records; a guess does not need them

    def _add(self, record: Record) -> None:
        if record.complete:
            manifest = record.manifest
            where = (manifest["dataset"]["name"], manifest["model"]["label"], manifest["recipe"])
            self._seconds[where] = sum(manifest["durations"].values())

    def guess(self, dataset: str, model: FoundModel, recipe: str) -> float | None:
        """Seconds: the last such cell's, else what the model says of its recipe."""
        known = self._seconds.get((dataset, model.plugin.label, recipe))
        if known is not None:
            return known
        return getattr(model.factory, "expected_seconds", {}).get(recipe)
