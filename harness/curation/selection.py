"""Which candidates make the dataset, under which names, and in which groups."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.curation.pictures import content_of, png
from harness.curation.types import Candidate, Decided
from harness.curation.verdicts import Standing
from harness.data.decoding import decode, pixels_sha256
from harness.figures.patients import groups
from harness.figures.types import Suggestion

__all__ = ["Chosen", "Selection", "image_names", "selected"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image of the dataset: the name of its file, and what is known of it."""

    decided: Decided
    file: str
    label: str
    group: str
    sha256: str
    pixels_sha256: str
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Selection:
    """The images of the dataset in the order of their papers, and how many candidates are not among them, by reason."""

    images: tuple[Chosen, ...]
    left_out: dict[str, int]


def selected(standing: Standing, folder: Path) -> Selection:
    """Return what goes into the dataset, after its images were written to an empty folder.

    A picture that is there several times goes in once, one that was decided on first; the groups of its papers
    become one, as the same patient may be in both. Where one of them was rejected, those without a decision are
    left out too.
    """
    left_out = Counter(reason for one in standing.by_id.values() if (reason := _reason(one)))
    wanted = list(_without_copies_of_rejected(standing, left_out))
    chosen = list(_chosen(wanted, folder, image_names(standing), _groups(wanted)))
    by_pixels: dict[str, list[Chosen]] = defaultdict(list)
    for one in chosen:
        by_pixels[one.pixels_sha256].append(one)
    kept = {min(same, key=lambda one: one.decided.verdict is None).file for same in by_pixels.values()}
    joined = _joined([[one.group for one in same] for same in by_pixels.values()])
    images = tuple(replace(one, group=joined[one.group]) for one in chosen if one.file in kept)
    for one in chosen:
        if one.file not in kept:
            (folder / one.file).unlink()
    if repeats := len(chosen) - len(images):
        left_out["the same picture again"] = repeats
    return Selection(images, dict(left_out))


def _without_copies_of_rejected(standing: Standing, left_out: Counter[str]) -> Iterable[Decided]:
    """What goes in, less pictures without a decision whose pixels were rejected elsewhere; those are counted."""
    rejected = {content_of(one.candidate) for one in standing.by_id.values() if one.verdict == "rejected"}
    for one in standing.by_id.values():
        if not one.in_dataset:
            continue
        if rejected and one.verdict is None and content_of(one.candidate) in rejected:
            left_out["the same as a rejected picture"] += 1
        else:
            yield one


def _reason(one: Decided) -> str:
    """Why a candidate is not in the dataset; nothing where it is."""
    if one.in_dataset:
        return ""
    if one.verdict == "rejected":
        return "rejected"
    return "CT without a label" if one.candidate.is_ct else "no CT"


def _chosen(
    wanted: Iterable[Decided], folder: Path, names: dict[str, str], group_of: dict[str, str]
) -> Iterable[Chosen]:
    for one in wanted:
        name = one.candidate.id
        data = png(one.candidate)
        (folder / names[name]).write_bytes(data)
        pixels = decode(data, names[name], max_pixels=1 << 30).pixels
        sha256, digest = hashlib.sha256(data).hexdigest(), pixels_sha256(pixels)
        label = one.final_label or ""
        yield Chosen(one, names[name], label, group_of[name], sha256, digest, *pixels.shape)


def image_names(standing: Standing) -> dict[str, str]:
    """File names as Zhao et al. (2020) gave them: source, page, object, and the panel where there are several."""
    figures: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for one in standing.by_id.values():
        figures[one.candidate.paper.sha256, one.candidate.image].append(one.candidate)
    names = {}
    for panels in figures.values():
        for number, candidate in enumerate(panels):
            panel = f"%{number}" if len(panels) > 1 else ""
            names[candidate.id] = f"{candidate.paper.stem}-p{candidate.page}-{candidate.object}{panel}.png"
    return names


def _groups(wanted: Sequence[Decided]) -> dict[str, str]:
    """The group of each picture: patients within a paper, the paper where one of its pictures may be anybody."""
    papers: dict[str, list[Decided]] = defaultdict(list)
    for one in wanted:
        papers[one.candidate.paper.group].append(one)
    found = {}
    for members in papers.values():
        texts = list(dict.fromkeys(text for one in members for text in one.candidate.paper.texts))
        joined = groups([_patient(one) for one in members], texts)
        for one, suggestion in zip(members, joined, strict=True):
            found[one.candidate.id] = suggestion.value or one.candidate.paper.group
    return found


def _patient(one: Decided) -> Suggestion:
    if one.patient is None:
        return one.candidate.patient
    return Suggestion(f"{one.candidate.paper.group}/{one.patient}", 1.0, "named by eye")


def _joined(together: Iterable[Sequence[str]]) -> dict[str, str]:
    """Groups that share a picture, called after the first of them in alphabetical order."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for names in together:
        for name in names:
            first, second = sorted((root(names[0]), root(name)))
            parent[second] = first
    return {name: root(name) for name in parent}
