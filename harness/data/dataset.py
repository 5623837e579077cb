"""Datasets: verified images with their labels, found by name or by a card's path."""

from __future__ import annotations

import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from harness.data.adapters import PARTS, Expected, counted_files, make_adapter
from harness.data.cards import Card, known_cards, load_card
from harness.data.decoding import has_wrong_suffix
from harness.data.pixels import (
    DiskPixels,
    NativePixels,
    PackWriter,
    cache_errors,
    in_order,
    locked,
    pack_folder,
)
from harness.data.roots import find_root
from harness.data.verification import Memory, Problem, Seen, examined, memory_path, recalled, verified
from harness.errors import CardError, DataError, DatasetMissing, UnknownName
from harness.folders import cache_folder, data_roots
from harness.types import Progress, Sample, digest_of

__all__ = ["Dataset", "find_card", "open_dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """The verified images of a dataset.

    `samples`, `pixel_digests` (SHA-256 of the grey pixels) and `sizes` (height, width) run in the same
    order. `skipped` says 'id: reason' of each bad file that was left out.
    """

    card: Card
    root: Path
    samples: tuple[Sample, ...]
    pixel_digests: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    warnings: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    cache: Path | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def name(self) -> str:
        return self.card.name

    @cached_property
    def content(self) -> str:
        """SHA-256 over the pixel digests and labels in sample order; names do not enter it."""
        return digest_of([self.pixel_digests, self.labels.tolist()])

    @cached_property
    def labels(self) -> np.ndarray:
        """int64 (N,), indices into the card's classes."""
        labels = np.array([sample.label for sample in self.samples], dtype=np.int64)
        labels.flags.writeable = False
        return labels

    @cached_property
    def groups(self) -> tuple[str | None, ...]:
        """The group (patient) of each sample, None where it is not known."""
        return tuple(sample.group for sample in self.samples)

    @property
    def tested(self) -> Dataset:
        """The dataset that test parts are taken from: itself, unless another was joined to it."""
        return self

    def patients(self, ids: Iterable[str]) -> set[tuple[str, str]]:
        """Return (dataset, group) of the known groups of these samples: names mean nothing beyond a dataset."""
        return {(self.name, group) for row in self.rows(ids) if (group := self.groups[row]) is not None}

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """Return the intp (len(ids),) positions of these samples. Raises `DataError` for an unknown id."""
        try:
            return np.array([self._row_of[sample_id] for sample_id in ids], dtype=np.intp)
        except KeyError as error:
            raise DataError(f"dataset {self.name!r} has no sample {error.args[0]!r}") from error

    def hiding(self, ids: Iterable[str]) -> Self:
        """Return the dataset with the label -1 for these samples; its `content` stays that of the whole."""
        hidden = set(ids)
        return self.retold(replace(s, label=-1) if s.id in hidden else s for s in self.samples)

    def retold(self, samples: Iterable[Sample]) -> Self:
        """Return the dataset with other words about the same images, in their order; `content` stays."""
        other = replace(self, samples=tuple(samples))
        other.__dict__["content"] = self.content  # where `cached_property` keeps it
        return other

    def pixels(self, cache: Path | None = None, progress: Progress | None = None) -> NativePixels:
        """Return the images on disk, decoded again only where the cache lost them.

        Raises `HarnessError` when the cache cannot be written, `DataError` when a file changed meanwhile.
        """
        cache = cache or self.cache or cache_folder()
        folder = pack_folder(cache, self.content)
        found = self._pack(folder)
        if found is None:
            with locked(folder.with_suffix(".lock"), cache, f"reading the images of {self.name}", progress):
                found = self._pack(folder) or self._packed(cache, progress)
        return found

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {sample.id: row for row, sample in enumerate(self.samples)}

    def _pack(self, folder: Path) -> DiskPixels | None:
        try:
            found = DiskPixels(folder)
        except ValueError:
            return None
        return found if len(found) == len(self) else None

    def _packed(self, cache: Path, progress: Progress | None) -> DiskPixels:
        """Return a pack made from the files, in place of one that is damaged or none."""
        damaged = pack_folder(cache, self.content)
        with cache_errors(cache):
            if damaged.exists():
                shutil.rmtree(damaged)
        writer = PackWriter(cache, self.content)
        try:
            looked = in_order(lambda sample: examined(sample, self.card), self.samples)
            for row, (seen, pixels) in enumerate(looked):
                if seen.pixels_sha256 != self.pixel_digests[row]:
                    raise DataError(
                        f"dataset {self.name!r}: {self.samples[row].id!r} changed since it was verified; "
                        "run the command again"
                    )
                writer.append(pixels)
                if progress is not None:
                    progress(f"reading {len(self)} images of {self.name}", (row + 1) / len(self))
            return DiskPixels(writer.publish(self.content))
        finally:
            writer.discard()


def open_dataset(
    name_or_path: str,
    *,
    data_root: Path | None = None,
    cache: Path | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Return the dataset of that name, or of the card (or the folder with a card) at that path.

    Every file is compared with the card; what was compared before and has not changed is not read
    again. `skip_bad` leaves bad and missing files out and lists them in `Dataset.skipped`.

    Raises `UnknownName`, `CardError`, `DatasetMissing` when the files are nowhere, `DataError`
    when they are not what the card says, `HarnessError` when the cache cannot be written.
    """
    card = find_card(name_or_path, data_root)
    card_path = _card_path(name_or_path, data_root)
    root = find_root(card, card_path, data_root)
    if root is None:
        raise DatasetMissing(_where_it_was_looked_for(card, card_path, data_root))
    root = root.absolute()
    adapter = make_adapter(card, root)
    if hasattr(adapter, "prepare"):
        adapter.prepare(progress)
    samples = tuple(adapter.samples())
    _check_samples(card, samples)
    expected = adapter.expected() if hasattr(adapter, "expected") else {}
    warnings = tuple(getattr(adapter, "warnings", ()))
    opening = _Opening(
        card, root, samples, expected, warnings, Path(cache or cache_folder()), skip_bad, progress
    )
    return opening.dataset()


def find_card(name_or_path: str, data_root: Path | None = None) -> Card:
    """Return the card that `open_dataset` would go by; no image is looked at. Raises `UnknownName`, `CardError`."""
    path = _card_path(name_or_path, data_root)
    card = load_card(path)
    _check_folder_name(card, path, data_root)
    return card


@dataclass(frozen=True)
class _Opening:
    """One opening of a dataset: from the samples that are listed to those that were seen."""

    card: Card
    root: Path
    samples: tuple[Sample, ...]
    expected: Mapping[str, Expected]
    warnings: tuple[str, ...]
    cache: Path
    skip_bad: bool
    progress: Progress | None

    def dataset(self) -> Dataset:
        path = memory_path(self.cache, self.card, self.root)
        memory = Memory(path, self.card)
        if len(recalled(self.samples, memory)) == len(self.samples):
            return self._judged(verified(self.samples, self.expected, memory, self.card))
        with locked(path.with_suffix(".lock"), self.cache, f"reading {self.card.name}", self.progress):
            # Loaded again: another process may have read the files while this one waited.
            return self._read(Memory(path, self.card))

    def _read(self, memory: Memory) -> Dataset:
        """Return the dataset after looking at what is not remembered; at first sight pack the pixels as well."""
        is_first_sight = not any(isinstance(f, Seen) for f in recalled(self.samples, memory).values())
        writer = PackWriter(self.cache, memory.path.stem) if is_first_sight else None
        keep = writer.append if writer is not None else None
        try:
            try:
                found = verified(
                    self.samples, self.expected, memory, self.card, progress=self.progress, keep=keep
                )
            finally:
                memory.save(self.cache)
            dataset = self._judged(found)
            if writer is not None:
                writer.publish(dataset.content)
            return dataset
        finally:
            if writer is not None:
                writer.discard()

    def _judged(self, found: Mapping[str, Seen | Problem]) -> Dataset:
        problems = [what for what in found.values() if isinstance(what, Problem)]
        if problems and not self.skip_bad:
            raise DataError(_problems_line(self.card, self.root, problems, len(self.samples)))
        seen = {sample_id: what for sample_id, what in found.items() if isinstance(what, Seen)}
        left = tuple(sample for sample in self.samples if sample.id in seen)
        _check_what_is_left(self.card, self.samples, left)
        return Dataset(
            card=self.card,
            root=self.root,
            samples=left,
            pixel_digests=tuple(seen[sample.id].pixels_sha256 for sample in left),
            sizes=tuple((seen[sample.id].height, seen[sample.id].width) for sample in left),
            warnings=(*self.warnings, *_remarks(left, seen)),
            skipped=tuple(f"{problem.id}: {problem.reason}" for problem in problems),
            cache=self.cache,
        )


def _card_path(name_or_path: str, data_root: Path | None) -> Path:
    known = known_cards(data_root)
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path).expanduser()
    if _is_there(path.is_dir):
        if not (path / "card.toml").is_file():
            raise CardError(
                f"folder {name_or_path!r} holds no card.toml; write one that describes its images"
            )
        return path / "card.toml"
    if _is_there(path.is_file):
        return path
    if path.name != name_or_path or path.suffix == ".toml":
        raise CardError(
            f"there is no card at {name_or_path!r}; write the path of a card.toml or of its folder"
        )
    raise UnknownName("dataset", name_or_path, known)


def _is_there(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:
        return False  # a name longer than the file system allows, say


def _check_folder_name(card: Card, card_path: Path, data_root: Path | None) -> None:
    """Raise `CardError` when a card that is found by its folder's name calls itself otherwise."""
    if card_path in known_cards(data_root).values() and card.name != card_path.parent.name:
        raise CardError(
            f"card {str(card_path)!r}: key 'name' is {card.name!r}, its folder is {card_path.parent.name!r}; "
            "they must be the same"
        )


def _where_it_was_looked_for(card: Card, card_path: Path, data_root: Path | None) -> str:
    if card.root is not None:
        return f"dataset {card.name!r}: the folder {card.root!r} that its card {str(card_path)!r} names is not there"
    places = ", ".join(str(root / card.name) for root in data_roots(data_root))
    ways = f"let HARNESS_DATA (or --data-root) name the folder that holds {card.name!r}"
    if card.fetch is not None:
        ways += f", or run 'harness fetch {card.name}'"
    return f"dataset {card.name!r} was not found in {places}; {ways}"


def _check_samples(card: Card, samples: Sequence[Sample]) -> None:
    """Raise `DataError` for samples that no honest adapter returns, and for counts that are not the card's."""
    repeated = [sample_id for sample_id, n in Counter(sample.id for sample in samples).items() if n > 1]
    if repeated:
        raise DataError(f"dataset {card.name!r}: the id {repeated[0]!r} is there twice; ids must be unique")
    for sample in samples:
        if why := _is_impossible(sample, len(card.classes)):
            raise DataError(f"dataset {card.name!r}: sample {sample.id!r} {why}")
    counts = Counter(card.classes[sample.label] for sample in samples)
    for name in card.classes:
        if not counts[name]:
            raise DataError(f"dataset {card.name!r}: class {name!r} has no image; every class needs some")
        if counts[name] != card.counts.get(name, counts[name]):
            raise DataError(
                f"dataset {card.name!r}: class {name!r} has {counts[name]} images, the card says {card.counts[name]}; "
                "complete the files or correct [counts] on the card"
            )


def _is_impossible(sample: Sample, n_classes: int) -> str | None:
    if not sample.id or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in sample.id):
        return "has an id that cannot be written down; rename the file"
    if not 0 <= sample.label < n_classes:
        return f"has the label {sample.label}, expected 0 to {n_classes - 1}"
    if sample.split is not None and sample.split not in PARTS:
        return f"is in the part {sample.split!r}, expected one of {', '.join(PARTS)}"
    return None


def _problems_line(card: Card, root: Path, problems: Sequence[Problem], n_samples: int) -> str:
    """Return one line on all bad files: how many of each kind, the first of each, and what to do."""
    by_kind = {
        kind: [problem for problem in problems if problem.kind == kind]
        for kind in ("different", "missing", "unreadable")
    }
    said = ", ".join(_said(bad, root, n_samples) for bad in by_kind.values() if bad)
    if card.fetch is None:
        remedy = "mend the files or the list of them"
    elif len(by_kind["missing"]) == len(problems):
        remedy = f"run 'harness fetch {card.name}'"
    else:
        remedy = f"delete them and run 'harness fetch {card.name}'"
    return f"dataset {card.name!r}: {said}; {remedy}, or leave them out with --skip-bad"


def _said(bad: Sequence[Problem], root: Path, n_samples: int) -> str:
    first, counted = bad[0], f"{len(bad)} of {n_samples} files"
    if first.kind == "different":
        return f"{counted} {'differs' if len(bad) == 1 else 'differ'} from the card (first: {first.id})"
    if first.kind == "missing":
        return f"{counted} {'is' if len(bad) == 1 else 'are'} missing from {str(root)!r} (first: {first.id})"
    return f"{counted} cannot be used (first: {first.id!r} {first.reason})"


def _check_what_is_left(card: Card, samples: Sequence[Sample], left: Sequence[Sample]) -> None:
    """Raise `DataError` when leaving files out emptied a class, or a class in one of the authors' parts."""

    def places(some: Sequence[Sample]) -> dict[tuple[str | None, int], None]:
        return dict.fromkeys((part, sample.label) for sample in some for part in (None, sample.split))

    kept = places(left)
    for part, label in places(samples):
        if (part, label) not in kept:
            where = f" in the {part} part" if part else ""
            raise DataError(
                f"dataset {card.name!r}: no image of class {card.classes[label]!r} is left{where} "
                "without the bad files; mend them"
            )


def _remarks(samples: Sequence[Sample], seen: Mapping[str, Seen]) -> list[str]:
    """Return what is odd about files that are used nevertheless."""
    misnamed = [s.id for s in samples if has_wrong_suffix(s.path.name, seen[s.id].format)]
    flat = [s.id for s in samples if seen[s.id].flat]
    remarks = []
    if misnamed:
        really = seen[misnamed[0]].format
        remarks.append(f"{counted_files(misnamed)} named as another format, read as what they are ({really})")
    if flat:
        remarks.append(f"{counted_files(flat)} of one single grey value")
    return remarks
