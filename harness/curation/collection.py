"""The folder of a collection: a folder a paper, named by its content, and the decisions beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.curation.papers import checked_record
from harness.curation.types import Candidate, Paper, candidate_id
from harness.errors import DataError
from harness.figures.figure_files import file_stem
from harness.figures.patients import patient_of
from harness.figures.types import Suggestion

__all__ = [
    "DECISIONS",
    "DOCUMENTS",
    "Collection",
    "Failure",
    "open_collection",
    "paper_folder",
]

DOCUMENTS = "documents"
DECISIONS = "decisions.jsonl"


@dataclass(frozen=True, slots=True)
class Failure:
    """A PDF of which nothing could be read, and why."""

    name: str
    sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class Collection:
    """What was read so far, in an order that depends on the papers alone."""

    folder: Path
    papers: tuple[Paper, ...]
    candidates: tuple[Candidate, ...]
    failures: tuple[Failure, ...]


def paper_folder(out: Path, sha256: str) -> Path:
    """Return the folder of a PDF's content in a collection."""
    return out / DOCUMENTS / sha256[:16]


def open_collection(folder: Path) -> Collection:
    """Return the papers and candidates of a folder that `harness figures build` made.

    Raises `DataError` where there is none, and for a paper whose files are damaged.
    """
    if not (folder / DOCUMENTS).is_dir():
        raise DataError(
            f"{str(folder)!r} is no collection; make one with: harness figures build PDF... --out DIR"
        )
    records = []
    for place in sorted((folder / DOCUMENTS).iterdir()):
        if not re.fullmatch("[0-9a-f]{16}", place.name):
            continue  # somebody else's
        record = checked_record(place)
        if record["sha256"][:16] != place.name:
            raise DataError(
                f"{str(place)!r} holds another paper than it is called after; remove it and build again"
            )
        records.append((place, record))
    return _collected(folder, records)


def _collected(folder: Path, records: Sequence[tuple[Path, Mapping[str, Any]]]) -> Collection:
    papers, candidates, failures = [], [], []
    for (place, record), stem in _with_stems(records):
        if record["failed"]:
            failures.append(Failure(record["name"], record["sha256"], record["failed"]))
            continue
        paper = _paper(place, record, stem)
        papers.append(paper)
        candidates += list(_candidates(paper, record))
    return Collection(folder, tuple(papers), tuple(candidates), tuple(failures))


def _with_stems(
    records: Sequence[tuple[Path, Mapping[str, Any]]],
) -> Iterator[tuple[tuple[Path, Mapping[str, Any]], str]]:
    """Records in the order of their stems; papers with one stem get the beginning of their SHA-256 behind it."""
    stems = [_stem(record) for _, record in records]
    counts = Counter(stem.lower() for stem in stems)
    named = [
        f"{stem}-{record['sha256'][:8]}" if counts[stem.lower()] > 1 else stem
        for stem, (_, record) in zip(stems, records, strict=True)
    ]
    pairs = zip(records, named, strict=True)
    yield from sorted(pairs, key=lambda pair: (pair[1].lower(), pair[0][1]["sha256"]))


def _stem(record: Mapping[str, Any]) -> str:
    """The DOI's suffix as Zhao et al. (2020) took it, else the file's name."""
    suffix = record["doi"].partition("/")[2]
    return file_stem(Path(f"{suffix}.pdf".replace("/", "-") if suffix else record["name"]))


def _paper(place: Path, record: Mapping[str, Any], stem: str) -> Paper:
    texts = [text for figure in record["figures"] for text in (figure["caption_text"], *figure["mentions"])]
    return Paper(
        record["sha256"],
        record["name"],
        record["title"],
        record["doi"],
        stem,
        str(patient_of("", "", record["doi"] or record["name"]).value),
        place,
        tuple(dict.fromkeys(texts)),
    )


def _candidates(paper: Paper, record: Mapping[str, Any]) -> Iterator[Candidate]:
    for figure in record["figures"]:
        for panel in figure["panels"]:
            yield _candidate(paper, figure, figure["image"], panel)


def _candidate(paper: Paper, figure: Mapping[str, Any], image: str, panel: Mapping[str, Any]) -> Candidate:
    pixels = panel["pixels"]
    size = figure["page_size"] or (1.0, 1.0)
    return Candidate(
        candidate_id(paper.sha256, image, pixels),
        paper,
        image,
        figure["page"],
        image.rpartition(".")[0].split("-", 2)[2],
        pixels,
        panel["bbox"],
        size,
        figure["label"] or "",
        panel["letter"],
        panel["text"],
        figure["caption_text"],
        tuple(figure["mentions"]),
        Suggestion(**panel["ct"]),
        Suggestion(**panel["label"]),
        Suggestion(**panel["patient"]),
        panel["content"],
    )


def with_box(candidate: Candidate, pixels: tuple[int, int, int, int], reason: str) -> Candidate:
    """Return another box of the same figure as a candidate, with the suggestions of this one."""
    x0, y0, x1, y1 = candidate.pixels
    across = (candidate.box[2] - candidate.box[0]) / (x1 - x0)
    down = (candidate.box[3] - candidate.box[1]) / (y1 - y0)
    left, top = candidate.box[0] - x0 * across, candidate.box[1] - y0 * down
    box = (
        left + pixels[0] * across,
        top + pixels[1] * down,
        left + pixels[2] * across,
        top + pixels[3] * down,
    )
    ct = replace(candidate.ct, reason=f"{reason}: {candidate.ct.reason}")
    made = candidate_id(candidate.paper.sha256, candidate.image, pixels)
    return replace(candidate, id=made, pixels=pixels, box=box, ct=ct, content=None)
