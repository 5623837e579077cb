"""The datasets of a request, opened once each, and the splits they are run under."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.data.dataset import Dataset, open_dataset
from harness.data.joined import join
from harness.errors import DataError, ProtocolSkipped
from harness.external import Way
from harness.protocols import splits_of
from harness.types import Progress, Split, unique

if TYPE_CHECKING:
    from harness.planning import Plan, Request

__all__ = ["Opened", "arms", "best_protocol"]


class Opened:
    """The datasets of a request, each opened once; what is wrong with one is a problem of the plan."""

    def __init__(self, request: Request, plan: Plan, progress: Progress | None) -> None:
        self.plan = plan
        self._request, self._progress = request, progress
        self._open: dict[str, Dataset | None] = {}

    def __call__(self, name: str) -> Dataset | None:
        """Return the dataset, None when it cannot be used. Raises what is wrong with the only one."""
        if name not in self._open:
            self._open[name] = self._dataset(name)
        return self._open[name]

    def on(self, way: Way) -> Dataset | None:
        """Return what a protocol runs on: the dataset, or the two of `external` as one; None when it cannot."""
        dataset = self(way.dataset)
        if dataset is None or way.other is None:
            return dataset
        away = self(way.other)
        if away is None:
            return None
        try:
            return join(dataset, away)
        except DataError as error:
            if way.asked:
                self.plan.problems.append(str(error))
            else:
                self.plan.skipped.append(f"{dataset.name}, protocol {way.protocol!r}: skipped, {error}")
            return None

    def _dataset(self, name: str) -> Dataset | None:
        request, plan = self._request, self.plan
        try:
            dataset = open_dataset(
                name, data_root=request.data_root, skip_bad=request.skip_bad, progress=self._progress
            )
        except DataError as error:
            if set(request.datasets) == {name}:
                raise
            plan.problems.append(str(error))
            return None
        plan.warnings += [f"{dataset.name}: {warning}" for warning in dataset.warnings]
        plan.warnings += [f"{dataset.name}: left out {what}" for what in dataset.skipped]
        return dataset


def arms(request: Request, ways: Sequence[Way], opened: Opened) -> Iterator[tuple[Way, Dataset, Split]]:
    """Yield each way with what it runs on and each of its splits; what cannot be split is a problem of the plan."""
    plan = opened.plan
    for way in ways:
        dataset = opened.on(way)
        if dataset is None:
            continue
        protocol = way.protocol or _best_protocol(dataset, plan)
        for seed in unique(request.seeds):
            try:
                for split in splits_of(dataset, protocol, seed=seed):
                    yield way, dataset, split
            except ProtocolSkipped as reason:
                message = f"{dataset.name}, protocol {protocol!r}: skipped, {reason}"
                if message not in plan.skipped:
                    plan.skipped.append(message)
            except DataError as error:
                plan.problems.append(f"dataset {dataset.name!r}: {error}")


def _best_protocol(dataset: Dataset, plan: Plan) -> str:
    protocol = best_protocol(dataset)
    if protocol != "official":
        plan.warnings.append(f"{dataset.name}: its authors give no split, so it runs under {protocol!r}")
    return protocol


def best_protocol(dataset: Dataset) -> str:
    """Return 'official' where the dataset has a split, else what keeps patients together, else 'random'."""
    if any(sample.split is not None for sample in dataset.samples):
        return "official"
    return "group-kfold" if len(set(dataset.groups) - {None}) > 1 else "random"
