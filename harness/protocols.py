"""Splits: named ways to divide a dataset into training, validation and test parts.

Which sample goes where is decided by the order of SHA-256(salt, id): the same on every machine
and for every library version, and hardly changed when a sample is added or removed.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.data.joined import Joined
from harness.errors import ProtocolSkipped, SplitError, UnknownName, UsageError
from harness.types import Sample, Split

if TYPE_CHECKING:
    from harness.data.dataset import Dataset

__all__ = [
    "EXTERNAL",
    "PROTOCOLS",
    "check_protocol",
    "external",
    "group_kfold",
    "make_splits",
    "official",
    "other_dataset",
    "random_split",
    "splits_of",
]

EXTERNAL = "external"
"""`external:NAME`: trained on the dataset at hand, tested on the one of that name; alone, on every other at hand."""

TEST_SHARE = 0.2  # Soares et al. (2020), section 4: 80 % for training, 20 % for validation
VAL_SHARE = 0.15  # of the training part, where the authors give no validation part
FOLDS = 5


def make_splits(protocol: str, samples: Sequence[Sample], *, seed: int = 0) -> list[Split]:
    """Return the folds of `protocol`, one `Split` each.

    Raises `UnknownName`, `ProtocolSkipped` when the protocol has no meaning for these samples,
    `SplitError` when it has one but a part would be empty or a class would be missing in training.
    """
    if protocol not in PROTOCOLS:
        raise UnknownName("protocol", protocol, PROTOCOLS)
    splits = PROTOCOLS[protocol](samples, seed)
    for split in splits:
        _check_classes(split, samples)
    return splits


def splits_of(dataset: Dataset, protocol: str, *, seed: int = 0) -> list[Split]:
    """Return the folds of `protocol` for a dataset, or for two that were joined. Raises as `make_splits` does."""
    if not isinstance(dataset, Joined):
        return make_splits(protocol, dataset.samples, seed=seed)
    home = [replace(s, id=dataset.home_id(s.id)) for s in dataset.home.samples]
    train, val, test = external(home, dataset.away.samples)
    here = {dataset.home_id(s.id): s for s in dataset.home.samples}
    ours = [[here[s.id] for s in part] for part in (train, val)]
    split = _split(protocol, 0, 1, seed, ours[0], ours[1], test)
    _check_classes(split, dataset.samples)
    return [split]


def _check_classes(split: Split, samples: Iterable[Sample]) -> None:
    labels = {s.id: s.label for s in samples}
    missing = set(labels.values()) - {labels[i] for i in split.train}
    if missing:
        raise SplitError(
            f"protocol {split.protocol!r}, fold {split.fold}: no sample of class number {min(missing)} "
            "in the training part; every class must be there"
        )


def other_dataset(protocol: str) -> str | None:
    """Return the dataset that `external:NAME` tests on, None for every other protocol and for 'external' alone.

    >>> other_dataset("external:covid-ct"), other_dataset("official"), other_dataset("external")
    ('covid-ct', None, None)
    """
    prefix, _, name = protocol.partition(":")
    return name if prefix == EXTERNAL and name else None


def check_protocol(protocol: str) -> None:
    """Raise `UnknownName` for what is no protocol, `UsageError` for 'external:' without a name behind it."""
    prefix, colon, name = protocol.partition(":")
    if prefix == EXTERNAL and colon and not name:
        raise UsageError(f"protocol {protocol!r}: name the dataset to test on, such as 'external:covid-ct'")
    if protocol not in PROTOCOLS and prefix != EXTERNAL:
        known = (*PROTOCOLS, EXTERNAL, f"{EXTERNAL}:DATASET")
        raise UnknownName("protocol", prefix if colon else protocol, known)


def official(samples: Sequence[Sample], seed: int = 0) -> list[Split]:
    """Return the authors' split; a validation part is carved where they give none, the same for every seed."""
    parts = _authors_parts(samples)
    if not parts:
        raise ProtocolSkipped("its authors give no split")
    train, val = _learned(parts)
    return [_split("official", 0, 1, seed, train, val, parts["test"])]


def external(
    home: Sequence[Sample], away: Sequence[Sample]
) -> tuple[Sequence[Sample], Sequence[Sample], Sequence[Sample]]:
    """Return training and validation part, of one dataset, and test part, of another; the same for every seed.

    They are those of the official splits where the authors give them, so that a model is the one of the first
    dataset's own board and is tested on the images of the second's. Else all images of `home` are learned
    from, with a validation part carved by patient, and all of `away` are tested.
    """
    ours, theirs = _authors_parts(home), _authors_parts(away)
    train, val = _learned(ours) if ours else carved(home, VAL_SHARE, salt="external-validation")
    return train, val, theirs["test"] if theirs else away


def _authors_parts(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by the part their authors put them in, none without a split. Raises `SplitError` for a partial one."""
    parts: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.split is not None:
            parts[sample.split].append(sample)
    without = [s.id for s in samples if s.split is None]
    if parts and without:
        raise SplitError(
            f"{len(without)} samples are in no part of the official split (first: {without[0]!r})"
        )
    return parts


def _learned(parts: Mapping[str, list[Sample]]) -> tuple[list[Sample], list[Sample]]:
    """Training and validation part of the official split; the second is carved where the authors give none."""
    train, val = parts["train"], parts["val"]
    return (train, val) if val else carved(train, VAL_SHARE, salt="official-validation")


def random_split(samples: Sequence[Sample], seed: int = 0) -> list[Split]:
    """Return the stratified 80/20 split by slice of Soares et al. (2020), drawn anew for each seed.

    Patients are not kept together here: that is the published protocol, and its weakness.
    The validation part is 15 % of the training part, by patient where known.
    """
    rest, test = [], []
    for label in _labels(samples):
        of_class = _shuffled([s for s in samples if s.label == label], f"random-test:{seed}")
        n_test = max(1, round(TEST_SHARE * len(of_class)))
        test += of_class[:n_test]
        rest += of_class[n_test:]
    train, val = carved(rest, VAL_SHARE, salt=f"random-validation:{seed}")
    return [_split("random", 0, 1, seed, train, val, test)]


def group_kfold(samples: Sequence[Sample], seed: int = 0) -> list[Split]:
    """Return five folds (or as many as there are groups) with no group on two sides, classes balanced greedily.

    Large groups are placed first, each into the fold where the class shares stay most even.
    """
    if all(s.group is None for s in samples):
        raise ProtocolSkipped("no patient or other group is known for its samples")
    groups = _groups(samples)
    n_folds = min(FOLDS, len(groups))
    if n_folds < 2:
        raise ProtocolSkipped(f"only {len(groups)} group")
    totals = Counter(s.label for s in samples)
    folds: list[list[Sample]] = [[] for _ in range(n_folds)]
    filled: list[Counter[int]] = [Counter() for _ in range(n_folds)]

    def unevenness(fold: int, added: Counter[int]) -> tuple[float, int]:
        after = filled[fold] + added
        return sum((after[c] / totals[c]) ** 2 - (filled[fold][c] / totals[c]) ** 2 for c in totals), fold

    order = sorted(groups, key=lambda name: (-len(groups[name]), _rank(f"group-kfold:{seed}", name)))
    for name in order:
        added = Counter(s.label for s in groups[name])
        best = min(range(n_folds), key=lambda fold: unevenness(fold, added))
        folds[best] += groups[name]
        filled[best] += added
    splits = []
    for fold, test in enumerate(folds):
        inside = {s.id for s in test}
        rest = [s for s in samples if s.id not in inside]
        train, val = carved(rest, VAL_SHARE, salt=f"group-kfold-validation:{seed}:{fold}")
        splits.append(_split("group-kfold", fold, n_folds, seed, train, val, test))
    return splits


PROTOCOLS: dict[str, Callable[[Sequence[Sample], int], list[Split]]] = {
    "official": official,
    "random": random_split,
    "group-kfold": group_kfold,
}


def carved(samples: Sequence[Sample], share: float, *, salt: str) -> tuple[list[Sample], list[Sample]]:
    """Return (rest, part): `part` is about `share` of each class, whole groups where groups are known.

    A group is taken while every class it holds stays within its share; then, for a class that got
    nothing, the smallest group that holds it, as long as another sample of the class remains.
    Raises `SplitError` when a class has too few samples or groups to be in both.
    """
    groups = _groups(samples)
    totals = Counter(s.label for s in samples)
    room = {label: max(1, round(share * n)) for label, n in totals.items()}
    taken: set[str] = set()
    have: Counter[int] = Counter()
    for name in sorted(groups, key=lambda name: _rank(salt, name)):
        inside = Counter(s.label for s in groups[name])
        if all(have[c] + n <= room[c] and have[c] + n < totals[c] for c, n in inside.items()):
            taken.add(name)
            have += inside
    for label in sorted(totals):
        if have[label]:
            continue
        usable = [
            name
            for name, members in groups.items()
            if any(s.label == label for s in members)
            and all(have[c] + n < totals[c] for c, n in Counter(s.label for s in members).items())
        ]
        if not usable:
            raise SplitError(
                f"no validation part can be carved: class number {label} has {totals[label]} training samples "
                "in too few groups to be in both parts"
            )
        name = min(usable, key=lambda name: (len(groups[name]), _rank(salt, name)))
        taken.add(name)
        have += Counter(s.label for s in groups[name])
    part_ids = {s.id for name in taken for s in groups[name]}
    return [s for s in samples if s.id not in part_ids], [s for s in samples if s.id in part_ids]


def _rank(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}|{name}".encode()).hexdigest()


def _shuffled(samples: Iterable[Sample], salt: str) -> list[Sample]:
    return sorted(samples, key=lambda s: _rank(salt, s.id))


def _groups(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by group; one without a group is a group of its own."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        name = f"sample|{sample.id}" if sample.group is None else f"group|{sample.group}"
        groups[name].append(sample)
    return groups


def _labels(samples: Iterable[Sample]) -> list[int]:
    return sorted({s.label for s in samples})


def _split(
    protocol: str,
    fold: int,
    folds: int,
    seed: int,
    train: Sequence[Sample],
    val: Sequence[Sample],
    test: Sequence[Sample],
) -> Split:
    train_ids, val_ids, test_ids = (tuple(s.id for s in part) for part in (train, val, test))
    return Split(protocol, fold, folds, seed, train_ids, val_ids, test_ids)
