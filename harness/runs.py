"""Cells carried out: claimed by a lock, computed, recorded; several runs on one folder share the work."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__, machine
from harness.counters import since, snapshot
from harness.data.dataset import Dataset, open_dataset
from harness.data.joined import Joined, join
from harness.errors import HarnessError, RecordError
from harness.execution import Material, Result, run_model, tune_model
from harness.planning import Cell
from harness.protocols import splits_of
from harness.records import Predictions, finished, writable, write_record
from harness.registry import find_model
from harness.types import Progress, Split

if TYPE_CHECKING:
    from harness.images import PixelStore

__all__ = ["Outcome", "Report", "carry_out", "execute", "material_of", "of_dataset", "tune_cell"]

WAIT_SECONDS = 0.5

Report = Callable[[Cell, str, float | None], None]
"""Told of a cell what is being done and which fraction of it."""


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: 'done', 'failed', 'already' (somebody else's record) or 'busy' (another run has it)."""

    cell: Cell
    status: str
    seconds: float = 0.0
    message: str = ""


Executor = Callable[[Sequence[Cell], Report], Iterator[Outcome]]
"""The seam for clusters: takes independent cells, yields their outcomes as they end."""


def carry_out(cells: Sequence[Cell], executor: Executor, report: Report) -> Iterator[Outcome]:
    """Yield the outcome of every cell; those that another run holds are waited for.

    A cell whose other run dies is taken over: its lock goes with its process.
    """
    waiting = list(cells)
    while waiting:
        busy: list[Cell] = []
        for outcome in executor(waiting, report):
            if outcome.status == "busy":
                busy.append(outcome.cell)
            else:
                yield outcome
        if busy and len(busy) == len(waiting):
            report(busy[0], "waiting for another run", None)
            time.sleep(WAIT_SECONDS)
        waiting = busy


def execute(cell: Cell, report: Report) -> Outcome:
    """Compute and record one cell, unless another process has it or had it.

    What the model raises becomes a failed record; what the output folder raises is raised.
    """
    with _claim(cell) as mine:
        if not mine:
            return Outcome(cell, "busy")
        if finished(cell.runs, cell.key):
            return Outcome(cell, "already")
        _sweep(cell)
        machine.reset_peak_memory(cell.device)
        start = time.perf_counter()
        error = _attempt(cell, lambda what, fraction: report(cell, what, fraction))
        seconds = time.perf_counter() - start
        if error is None:
            return Outcome(cell, "done", seconds)
        return Outcome(cell, "failed", seconds, error)


def tune_cell(cell: Cell, report: Report) -> Outcome:
    """Take part in the search for a cell's parameters until its budget is spent; the study on its shelf has the rest.

    What the model raises is the outcome; what the output folder raises is raised.
    """
    start = time.perf_counter()

    def progress(what: str, fraction: float | None) -> None:
        report(cell, what, fraction)

    try:
        dataset, split = _material(cell, progress)
        tune_model(
            find_model(cell.model).load(),
            material_of(dataset, split, device=cell.device, seed=cell.seed, progress=progress),
            {**cell.parameters, **cell.trial_parameters},
            budget=cell.budget,
            seed=cell.seed,
            device=cell.device,
            shelf=cell.shelf,
            progress=progress,
        )
    except RecordError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything
        return Outcome(cell, "failed", time.perf_counter() - start, _message(error))
    return Outcome(cell, "done", time.perf_counter() - start)


@contextmanager
def _claim(cell: Cell) -> Iterator[bool]:
    """Hold the cell's lock; yields False when another process holds it."""
    from filelock import FileLock, Timeout

    with writable(cell.runs):
        locks = cell.runs / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{cell.key}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
    try:
        yield True
    finally:
        lock.release()


def _sweep(cell: Cell) -> None:
    """Remove what a killed process left of this cell."""
    for leftover in [*cell.runs.glob(f".tmp-{cell.key}-*"), *cell.runs.glob(f".old-{cell.key}-*")]:
        shutil.rmtree(leftover, ignore_errors=True)


def _attempt(cell: Cell, progress: Progress) -> str | None:
    """Run and record the cell; return None, or why it failed."""
    started, counted = datetime.now(UTC), snapshot()
    manifest = _manifest(cell)
    try:
        dataset, split = _material(cell, progress)
        manifest |= of_dataset(dataset, split)
        result = _computed(cell, dataset, split, progress)
    except RecordError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything; its row says what
        shutil.rmtree(_unfinished(cell), ignore_errors=True)  # it would go on to the same failure
        message = _message(error)
        manifest["error"] = {
            "type": type(error).__name__,
            "message": message,
            "traceback": None if isinstance(error, HarnessError) else traceback.format_exc(),
        }
        ended = _times(started) | {"work": dict(since(counted)), "status": "failed"}
        write_record(cell.runs, cell.key, manifest | ended)
        return message if isinstance(error, HarnessError) else f"{type(error).__name__}: {message}"
    ended = _times(started) | {"work": dict(since(counted)), "status": "complete"}
    found = manifest | _of_result(cell, manifest, result) | ended
    write_record(cell.runs, cell.key, found, _predictions(dataset, split, result))
    _forget_unfinished(cell)
    return None


def _message(error: BaseException) -> str:
    """Return one line that says what was raised and, of an error that isn't ours, where."""
    said = " ".join(f"{error}".split()) or type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, HarnessError) or not frames:
        return said
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


def _material(cell: Cell, progress: Progress) -> tuple[Dataset, Split]:
    """Return what a cell works on. Raises what keeps it from being started, and what opening the dataset raises."""
    if cell.failure is not None:
        raise HarnessError(cell.failure)
    progress("opening", None)
    dataset = _opened(cell.dataset, cell.other, cell.data_root, cell.skip_bad)
    return dataset, _split(cell, dataset)


@lru_cache(maxsize=8)
def _opened(name: str, other: str | None, data_root: Path | None, skip_bad: bool) -> Dataset:
    if other is None:
        return open_dataset(name, data_root=data_root, skip_bad=skip_bad)
    return join(_opened(name, None, data_root, skip_bad), _opened(other, None, data_root, skip_bad))


def _split(cell: Cell, dataset: Dataset) -> Split:
    split = splits_of(dataset, cell.protocol, seed=cell.seed)[cell.fold]
    if dataset.content != cell.identity["dataset"] or split.digest != cell.identity["split"]:
        raise HarnessError(
            f"dataset {dataset.name!r} changed since the run was planned; run the command again"
        )
    return split


def _computed(cell: Cell, dataset: Dataset, split: Split, progress: Progress) -> Result:
    if cell.threads:
        machine.limit_threads(cell.threads)
    plugin = find_model(cell.model)
    return run_model(
        plugin.load(),
        material_of(dataset, split, device=cell.device, seed=cell.seed, progress=progress),
        cell.parameters,
        trial_parameters=cell.trial_parameters,
        budget=cell.budget,
        seed=cell.seed,
        device=cell.device,
        progress=progress,
        shelf=cell.shelf,
        folder=_unfinished(cell),
        checkpoint=cell.runs.parent / "checkpoints" / f"{cell.key}.safetensors",
    )


def _unfinished(cell: Cell) -> Path:
    """Return the folder of what a killed process leaves for the next one to go on from."""
    return cell.runs / ".unfinished" / cell.key


def _forget_unfinished(cell: Cell) -> None:
    """Remove what the cell's fit left, and the trial that the end of its time cut short."""
    shutil.rmtree(_unfinished(cell), ignore_errors=True)
    with suppress(OSError):  # absent, or other cells have something in it
        _unfinished(cell).parent.rmdir()
    cell.shelf.sweep()


def material_of(
    dataset: Dataset, split: Split, *, device: str, seed: int, progress: Progress | None = None
) -> Material:
    """Return what a model is trained and tested on: these images, divided by this split, without the test labels."""
    from harness.store import DatasetStore

    if not isinstance(dataset, Joined):
        blind = dataset.hiding(split.test)
        return _material_in(
            DatasetStore(blind, device=device, split=split, seed=seed, progress=progress), blind, split
        )
    learned = {*split.train, *split.val}
    blind = dataset.hiding(sample.id for sample in dataset.samples if sample.id not in learned)
    home = DatasetStore(blind.home, device=device, split=split, seed=seed, progress=progress)
    away = DatasetStore(blind.away, device=device, progress=progress, trained_with=home)
    return replace(_material_in(home, blind.home, split), elsewhere=_material_in(away, blind.away, split))


def _material_in(store: PixelStore, blind: Dataset, split: Split) -> Material:
    return Material(
        store=store,
        labels=blind.labels,
        groups=blind.groups,
        classes=tuple(blind.card.classes),
        rows={sample.id: row for row, sample in enumerate(blind.samples)},
        split=split,
    )


def _manifest(cell: Cell) -> dict[str, Any]:
    """What is known of a cell before it runs; the rest is filled in as it becomes known."""
    plugin = find_model(cell.model)
    return {
        "dataset": {"name": cell.dataset_name, "content": cell.identity["dataset"]},
        "protocol": {"name": cell.protocol, "fold": cell.fold, "split": cell.identity["split"]},
        "model": {
            "name": plugin.name,
            "label": cell.model,
            "distribution": plugin.distribution,
            "location": plugin.location,
            "code": cell.identity["code"],
            "parameters": cell.parameters,
            "trial_parameters": cell.trial_parameters,
            "tuned": False,
            "variant": cell.variant,
        },
        "recipe": cell.recipe,
        "seed": cell.seed,
        "tuning": None,
        "training": None,
        "weights": cell.weights,
        "notes": cell.notes,
        "harness": __version__,
        "engine": cell.identity["engine"],
        "versions": cell.identity["versions"],
        "device": {
            "kind": cell.device,
            "name": machine.device_name(cell.device),
            "threads": cell.threads or machine.granted_cores(),
        },
        "durations": {},
        "peak_memory_mb": None,
        "peak_device_memory_mb": None,
        "error": None,
    }


def of_dataset(dataset: Dataset, split: Split) -> dict[str, Any]:
    """Return the parts of a manifest that speak of the dataset and its split."""
    card = dataset.card
    return {
        "dataset": {
            "name": card.name,
            "title": card.title,
            "content": dataset.content,
            "classes": list(card.classes),
            "positive": card.positive,
            "licence": card.licence,
            "known_problems": list(card.known_problems),
            "n": {"train": len(split.train), "val": len(split.val), "test": len(split.test)},
            "skipped": list(dataset.skipped),
            "on_two_sides": on_two_sides(dataset, split),
            **({"sides": dataset.sides} if isinstance(dataset, Joined) else {}),
        },
        "protocol": {
            "name": split.protocol,
            "fold": split.fold,
            "folds": split.folds,
            "split": split.digest,
        },
    }


def _of_result(cell: Cell, manifest: dict[str, Any], result: Result) -> dict[str, Any]:
    tuned = result.tuning is not None and len(result.tuning.history) > 0
    tuning = result.tuning.as_dict() if result.tuning is not None else None
    return {
        "model": manifest["model"] | {"parameters": result.parameters, "tuned": tuned},
        "tuning": tuning,
        "training": result.training,
        "notes": [*cell.notes, *result.notes],
        "durations": result.durations,
        "peak_memory_mb": round(machine.peak_memory_mb(), 1),
        "peak_device_memory_mb": _rounded(machine.peak_device_memory_mb(cell.device)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def on_two_sides(dataset: Dataset, split: Split) -> dict[str, Any]:
    """Return what the test part shares with training and validation: groups, and pairs of identical images."""
    seen, tested = dataset.rows([*split.train, *split.val]), dataset.rows(split.test)
    twins = {dataset.pixel_digests[row]: dataset.samples[row].id for row in seen}
    known = [dataset.patients(ids) for ids in ([*split.train, *split.val], split.test)]
    return {
        "groups": len(known[0] & known[1]),
        "tested_groups": len(known[1]),
        "identical": [
            [dataset.samples[row].id, twins[dataset.pixel_digests[row]]]
            for row in tested
            if dataset.pixel_digests[row] in twins
        ],
    }


def _times(started: datetime) -> dict[str, str]:
    return {
        "started": started.isoformat(timespec="milliseconds"),
        "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def _predictions(dataset: Dataset, split: Split, result: Result) -> Predictions:
    rows = dataset.rows(split.test)
    classes = dataset.card.classes
    return Predictions(
        ids=list(split.test),
        labels=[classes[label] for label in dataset.labels[rows]],
        groups=[dataset.groups[row] for row in rows],
        classes=list(classes),
        probabilities=result.probabilities,
        sources=[dataset.samples[row].source for row in rows],
    )
