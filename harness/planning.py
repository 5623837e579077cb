"""From names on a command line to cells: what would run, under which key, and what is already there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import machine, stages, weights
from harness.budgets import Budget
from harness.data.dataset import Dataset
from harness.data.joined import Joined
from harness.errors import HarnessError, StageError, UnknownName, UsageError
from harness.external import Way, ways_of
from harness.journals import Shelf
from harness.models import FoundModel
from harness.openings import Opened, arms
from harness.protocols import check_protocol
from harness.records import finished
from harness.registry import find_model
from harness.sources import engine_digest
from harness.timings import Timings
from harness.types import Progress, Split, digest_of, unique

__all__ = ["TRIALS", "Cell", "Plan", "PlannedCell", "Request", "make_plan"]

TRIALS = {"smoke": 1, "quick": 5, "paper": 20}
USUAL_BACKBONES = ("vgg16", weights.SPLIT_NETWORK)
"""The papers' backbone and what stands in for it; any other is named on the row."""
RECIPES = ("auto", *TRIALS)


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    `time_budget` (seconds) takes the place of `trials`; without both it is the recipe's number. No protocol means
    the best that a dataset has.
    """

    datasets: tuple[str, ...]
    models: tuple[str, ...]
    out: Path
    protocols: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    recipe: str = "auto"
    trials: int | None = None
    time_budget: float | None = None
    backbone: str | None = None
    start: str | None = None
    device: str = "auto"
    data_root: Path | None = None
    skip_bad: bool = False
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise UsageError(f"unknown recipe {self.recipe!r}; known: {', '.join(RECIPES)}")
        for name in self.protocols:
            check_protocol(name)
        if self.trials is not None and self.trials < 0:
            raise UsageError(f"--trials must be 0 or more, got {self.trials}")
        if self.trials is not None and self.time_budget is not None:
            raise UsageError(
                "--trials and --time-budget exclude each other: every model gets one or the other"
            )
        names = {name for model in self.models for name in (model, model.partition(":")[0])}
        for name in self.parameters:
            if name not in names:
                raise UnknownName("model in --param", name, names)
        if self.data_root is not None and not self.data_root.expanduser().is_dir():
            raise UsageError(f"--data-root {str(self.data_root)!r} is no folder")

    @property
    def runs(self) -> Path:
        return self.out / "runs"


@dataclass(frozen=True)
class Cell:
    """Dataset x protocol x fold x model x seed: all that any process needs to compute it, and its key.

    `failure` says why it cannot even be started (a plugin that does not import, absent weights). `other` is the
    dataset that it is tested on, by name or path, where that is another one.
    """

    key: str
    identity: dict[str, Any]
    runs: Path
    dataset: str
    dataset_name: str
    data_root: Path | None
    skip_bad: bool
    protocol: str
    fold: int
    seed: int
    model: str
    variant: str | None
    recipe: str
    budget: Budget
    study: str
    device: str
    parameters: dict[str, Any]
    trial_parameters: dict[str, Any]
    weights: list[dict[str, str | None]]
    notes: list[str]
    threads: int = 0
    failure: str | None = None
    other: str | None = None

    @property
    def label(self) -> str:
        return self.model if self.variant is None else f"{self.model} ({self.variant})"

    @property
    def shelf(self) -> Shelf:
        """Where the trials of its tuning lie, for `harness tune` and `harness run` alike."""
        return Shelf(self.runs.parent / "studies", self.study)

    @property
    def title(self) -> str:
        """What a reader calls it: dataset, protocol, model, and fold and seed where they tell it apart."""
        fold = f" fold {self.fold}" if self.protocol == "group-kfold" else ""
        return f"{self.dataset_name} {self.protocol} {self.label} seed {self.seed}{fold}"

    @property
    def slot(self) -> tuple[Any, ...]:
        """What its row is about, as `harness.records.slot` says it of a manifest."""
        return (self.dataset_name, self.protocol, self.fold, self.model, self.variant, self.recipe, self.seed)


@dataclass(frozen=True)
class PlannedCell:
    """A cell, whether its record is there, and a guess of its time (None when nothing is known)."""

    cell: Cell
    done: bool
    expected_seconds: float | None


@dataclass
class Plan:
    """All cells of a request; what was left out and why; datasets that could not be used."""

    cells: list[PlannedCell] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def pending(self) -> list[Cell]:
        return [p.cell for p in self.cells if not p.done]

    @property
    def longest_first(self) -> list[Cell]:
        """What is to do, in the order that leaves the fewest workers idle at the end."""
        cells = sorted((p for p in self.cells if not p.done), key=lambda p: -(p.expected_seconds or 0.0))
        return [p.cell for p in cells]

    def expected_seconds(self, workers: int = 1) -> float:
        """Seconds that what is known of the cells to do takes so many workers."""
        times = [p.expected_seconds or 0.0 for p in self.cells if not p.done]
        return max([sum(times) / workers, *times])


def make_plan(request: Request, *, progress: Progress | None = None) -> Plan:
    """Return the plan of a request; datasets are opened and verified, no model is made.

    A dataset that cannot be used becomes a problem of the plan, the others go on; when it is the
    only one, its error is raised.
    """
    plan = Plan()
    ways = ways_of(request.datasets, request.protocols, request.data_root)
    device = machine.choose_device(request.device)
    models = [FoundModel(find_model(name)) for name in unique(request.models)]
    _check_start(request, models)
    timings = Timings(request.runs)
    opened = Opened(request, plan, progress)
    for name in unique(request.datasets):
        if opened(name) is None:
            continue
        for way, dataset, split in arms(request, ways[name], opened):
            for model in models:
                for untuned in (False, True) if model.untuned_row and request.trials != 0 else (False,):
                    setup = _Setup(request, way, dataset, split, model, untuned, device)
                    cell, done = _resolved(setup, progress)
                    plan.cells.append(
                        PlannedCell(cell, done, timings.guess(cell.dataset_name, model, cell.recipe))
                    )
    plan.warnings += _absent_then(plan)
    return plan


def _check_start(request: Request, models: Sequence[FoundModel]) -> None:
    """Raise `UsageError` when there is no such first stage, or none of the models can start from one."""
    if request.start is None:
        return
    if not any("start" in model.names for model in models):
        names = ", ".join(model.plugin.label for model in models)
        raise UsageError(
            f"--start {request.start!r}: none of these models starts from a first stage: {names}"
        )
    if not weights.is_published(request.start):
        stages.locate(request.start)


def _absent_then(plan: Plan) -> list[str]:
    """Return a warning about finished cells whose networks had no pretrained weights."""
    networks = {
        str(weight["network"]): None
        for planned in plan.cells
        for weight in planned.cell.weights
        if planned.done and weight["sha256"] is None
    }
    if not networks:
        return []
    names = ",".join(networks)
    return [f"finished cells did without the weights of {names}; 'harness fetch --weights {names}' gets them"]


@dataclass(frozen=True)
class _Setup:
    """One cell before it is known which weights can be had."""

    request: Request
    way: Way
    dataset: Dataset
    split: Split
    model: FoundModel
    untuned: bool
    device: str

    @property
    def recipe(self) -> str:
        if self.request.recipe != "auto":
            return self.request.recipe
        return "paper" if self.device.startswith("cuda") else self.dataset.card.auto_recipe

    @property
    def budget(self) -> Budget:
        if self.untuned:
            return Budget(0)
        if self.request.time_budget is not None:
            return Budget(seconds=self.request.time_budget)
        return Budget(TRIALS[self.recipe] if self.request.trials is None else self.request.trials)

    def variant(self, parameters: Mapping[str, Any]) -> str | None:
        """Return what tells the row from that of the same model as it comes: None when nothing does."""
        asked, backbone = self.asked_parameters, parameters.get("backbone", USUAL_BACKBONES[0])
        start = parameters.get("start")
        differing = [
            "untuned" if self.budget == Budget(0) else "",
            str(self.budget) if self.budget not in (Budget(0), Budget(TRIALS[self.recipe])) else "",
            str(backbone) if backbone not in USUAL_BACKBONES else "",
            f"start={stages.shown(str(start))}" if start is not None else "",
            *(
                f"{name}={value}"
                for name, value in sorted(asked.items())
                if name not in ("backbone", "start")
            ),
        ]
        return ", ".join(filter(None, differing)) or None

    @property
    def asked_parameters(self) -> dict[str, Any]:
        """What `--param` says of this model."""
        plugin, given = self.model.plugin, self.request.parameters
        return {**given.get(plugin.name, {}), **given.get(plugin.label, {})}

    def cell(self, *, fetch: bool, progress: Progress | None) -> Cell:
        """Return the cell with the weights that are on the disk or, with `fetch`, can be downloaded."""
        plugin = self.model.plugin
        parameters, trial_parameters = self.model.recipe(self.recipe)
        parameters |= plugin.fixed
        parameters |= self.asked_parameters
        notes: list[str] = []
        found: list[weights.Weights] = []
        failure = self.model.failure
        if failure is None:
            self.model.check(parameters)
            try:
                if "backbone" in self.model.names:
                    explicit = parameters.get("backbone") or self.request.backbone
                    parameters |= {} if explicit is None else {"backbone": explicit}
                    parameters["backbone"], note = weights.choose_backbone(
                        explicit, fetch=fetch, progress=progress
                    )
                    notes += [note] if note else []
                if "start" in self.model.names:
                    start = parameters.get("start", self.request.start)
                    parameters |= {} if start is None else {"start": str(start)}
                names = self._pretrained(parameters)
                found = [weights.obtain(n, progress) if fetch else weights.find(n) for n in names]
                notes += self._checked_stages(names)
            except UsageError:
                raise  # a name that nothing has is the user's, not a model that failed
            except HarnessError as error:
                failure = str(error)
        identity = self._identity(parameters, trial_parameters, found)
        return Cell(
            key=digest_of(identity)[:32],
            identity=identity,
            runs=self.request.runs,
            dataset=self.way.dataset,
            dataset_name=self.dataset.name,
            data_root=self.request.data_root,
            skip_bad=self.request.skip_bad,
            protocol=self.split.protocol,
            fold=self.split.fold,
            seed=self.split.seed,
            model=plugin.label,
            variant=self.variant(parameters),
            recipe=self.recipe,
            budget=self.budget,
            study=self._study(identity),
            device=self.device,
            parameters=parameters,
            trial_parameters=trial_parameters,
            weights=[{"network": w.network, "sha256": w.sha256, "reason": w.reason} for w in found],
            notes=notes,
            failure=failure,
            other=self.way.other,
        )

    def _pretrained(self, parameters: Mapping[str, Any]) -> list[str]:
        """Return the names of the weights that the model starts from, of a first stage whatever the model says."""
        start = parameters.get("start")
        stage = [] if start is None else [f"{stages.PREFIX}{stages.plain(str(start))}"]
        return unique([*stage, *self.model.pretrained(parameters)])

    def _checked_stages(self, names: Sequence[str]) -> list[str]:
        """Return what a reader must know of first stages; raise `StageError` for one that has seen the test part."""
        notes = []
        for name in filter(stages.is_stage, names):
            if weights.is_published(name):
                notes.append(f"starts from {stages.plain(name)}, trained on chest radiographs")
                continue
            stage = stages.read_stage(name)
            if (seen := stages.leak(stage, self.dataset, self.split)) is not None:
                raise StageError(seen)
            notes.append(stage.note)
        return notes

    def _identity(
        self,
        parameters: Mapping[str, Any],
        trial_parameters: Mapping[str, Any],
        found: Sequence[weights.Weights],
    ) -> dict[str, Any]:
        """Everything that can change the numbers, and nothing else; file names are not among it."""
        return {
            "dataset": self.dataset.content,
            "classes": list(self.dataset.card.classes),
            "split": self.split.digest,
            "protocol": [self.split.protocol, self.split.fold, self.split.folds, *self._sides],
            "model": [self.model.plugin.label, self.model.plugin.location],
            "code": self.model.code,
            "engine": engine_digest(),
            "parameters": _without_folders(parameters),
            "trial_parameters": dict(trial_parameters),
            "budget": self.budget.as_dict(),
            "groups": self._known("group"),
            "recipe": self.recipe,
            "seed": self.split.seed,
            "weights": [[w.network, w.identity] for w in found],
            "versions": machine.versions(),
            "device": self.device.partition(":")[0],
        }

    @property
    def _sides(self) -> list[Any]:
        """Which class of the dataset that is tested is which of the one that is trained on, and by which name."""
        return [self.dataset.sides] if isinstance(self.dataset, Joined) else []

    def _study(self, identity: Mapping[str, Any]) -> str:
        """Return the key of everything that can change the value of a trial: nothing of the test part is in it.

        Nor is the budget, so that more trials go on where fewer ended.
        """
        beside = ("dataset", "split", "protocol", "groups", "budget")
        blind = {name: value for name, value in identity.items() if name not in beside}
        rows = [self.dataset.rows(part) for part in (self.split.train, self.split.val)]
        samples, pixels = self.dataset.samples, self.dataset.pixel_digests
        learned = [[[pixels[row], samples[row].label, samples[row].group] for row in part] for part in rows]
        return digest_of({**blind, "learned": learned})[:32]

    def _known(self, attribute: str) -> str:
        """Return a digest of what is known of the images that a model may learn from."""
        rows = self.dataset.rows([*self.split.train, *self.split.val])
        return digest_of([getattr(self.dataset.samples[row], attribute) for row in rows])


def _without_folders(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with a first stage by its name alone: its digest is in the key, where it lies is not."""
    start = parameters.get("start")
    return {**parameters, **({} if start is None else {"start": stages.shown(str(start))})}


def _resolved(setup: _Setup, progress: Progress | None) -> tuple[Cell, bool]:
    """Return (cell, done). The network is asked only for a cell that is not finished without it."""
    cell = setup.cell(fetch=False, progress=progress)
    if cell.failure is None and finished(cell.runs, cell.key):
        return cell, True
    if cell.failure is None and all(w["sha256"] for w in cell.weights) and not cell.notes:
        return cell, False
    cell = setup.cell(fetch=True, progress=progress)
    return cell, cell.failure is None and finished(cell.runs, cell.key)
