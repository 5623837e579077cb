"""The protocol `external`: which datasets are trained on and tested on, from names on a command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.cards import Card
from harness.data.dataset import Dataset, find_card, open_dataset
from harness.data.joined import join
from harness.errors import CardError, UsageError
from harness.protocols import EXTERNAL, check_protocol, other_dataset
from harness.types import Progress, unique

__all__ = ["Way", "open_for", "ways_of"]


@dataclass(frozen=True)
class Way:
    """A dataset under a protocol, None for the best it has; `other` is what it is tested on, if another dataset.

    Both are names or paths as they were given; `asked` is False where 'external' alone paired them.
    """

    dataset: str
    protocol: str | None = None
    other: str | None = None
    asked: bool = True


def ways_of(
    datasets: Sequence[str], protocols: Sequence[str], data_root: Path | None = None
) -> dict[str, list[Way]]:
    """Return the ways to run each dataset, by its name or path as given; 'external' becomes one for each other dataset.

    Raises `UsageError` where a dataset would be on both sides or 'external' has no other one, `UnknownName` for a
    dataset that nobody knows.
    """
    datasets = unique(datasets)
    asks = any(protocol.partition(":")[0] == EXTERNAL for protocol in protocols)
    names = {name: _name(name, data_root) for name in datasets} if asks else {}
    if EXTERNAL in protocols and len(set(names.values())) < 2:
        raise UsageError(
            f"protocol {EXTERNAL!r} needs two datasets: name the one to test on, such as "
            f"'{EXTERNAL}:covid-ct', or several with -d for every pair of them"
        )
    found: dict[str, list[Way]] = {}
    for dataset in datasets:
        ways = [way for p in unique(protocols) for way in _ways(dataset, p, names, data_root)]
        first = {way.protocol: way for way in reversed(ways)}
        found[dataset] = (
            [first[p] for p in unique(way.protocol for way in ways)] if protocols else [Way(dataset)]
        )
    return found


def _ways(dataset: str, protocol: str, names: dict[str, str], data_root: Path | None) -> list[Way]:
    if protocol == EXTERNAL:
        return [
            Way(dataset, f"{EXTERNAL}:{name}", other, asked=False)
            for other, name in names.items()
            if name != names[dataset]
        ]
    other = other_dataset(protocol)
    if other is None:
        return [Way(dataset, protocol)]
    return [Way(dataset, _canonical(names[dataset], other, data_root), other)]


def _name(name_or_path: str, data_root: Path | None) -> str:
    """Return the name of a dataset, from its card; of a card that cannot be read what was given."""
    try:
        return find_card(name_or_path, data_root).name
    except CardError:
        return name_or_path  # opening it says what is wrong


def _canonical(name: str, other: str, data_root: Path | None) -> str:
    """Return `external:NAME` with the name on the other dataset's card. Raises `UsageError` for the same one twice."""
    card: Card = find_card(other, data_root)
    if card.name == name:
        raise UsageError(
            f"protocol '{EXTERNAL}:{other}': {name!r} would be trained on and tested on; "
            f"name another dataset, or say '-p {EXTERNAL}' for every pair of those with -d"
        )
    return f"{EXTERNAL}:{card.name}"


def open_for(
    dataset: str,
    protocol: str,
    *,
    data_root: Path | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> tuple[Dataset, str]:
    """Return (dataset, protocol), for `external:NAME` the two datasets as one and the protocol by the other's name.

    Raises as `ways_of`, `harness.data.dataset.open_dataset` and `harness.data.joined.join` do.
    """
    check_protocol(protocol)
    (way,) = ways_of((dataset,), (protocol,), data_root)[dataset]
    opened = open_dataset(dataset, data_root=data_root, skip_bad=skip_bad, progress=progress)
    if way.other is not None:
        other = open_dataset(way.other, data_root=data_root, skip_bad=skip_bad, progress=progress)
        opened = join(opened, other)
    return opened, way.protocol or protocol
