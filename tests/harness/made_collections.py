"""Collections without PDFs: candidates and folders as the reader leaves them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.curation.collection import DOCUMENTS, open_collection
from harness.curation.pictures import contents
from harness.curation.types import Candidate


@dataclass
class Panel:
    """A panel of 40 x 40 pixels: its grey level, and what is suggested of it."""

    grey: int
    label: str | None = "COVID"
    ct: str = "CT"
    patient: str = ""
    letter: str | None = None
    text: str = ""


@dataclass
class Made:
    """A paper with one figure, its panels side by side."""

    name: str
    panels: Sequence[Panel]
    doi: str = ""
    title: str = ""
    caption: str = "Figure 1. Chest CT."
    image: str = "f-p6-52.png"
    failed: str | None = None
    mentions: Sequence[str] = field(default_factory=list)
    digests: bool = False

    @property
    def group(self) -> str:
        from harness.figures.patients import patient_of

        return str(patient_of("", "", self.doi or self.name).value)


def collection(folder: Path, *papers: Made) -> Path:
    """Write a collection and return its folder."""
    (folder / DOCUMENTS).mkdir(parents=True, exist_ok=True)
    for paper in papers:
        sha256 = hashlib.sha256(repr(paper).encode()).hexdigest()
        place = folder / DOCUMENTS / sha256[:16]
        place.mkdir()
        if paper.panels:
            Image.fromarray(pixels(paper.panels)).save(place / "f-p6-52.png")
        Image.new("L", (50, 70), 250).save(place / "page-6.jpg")
        found = record(paper, sha256)
        if paper.digests:
            (figure,) = found["figures"]
            for panel in figure["panels"]:
                (panel["content"],) = contents(place / "f-p6-52.png", [tuple(panel["pixels"])])
        (place / "document.json").write_text(json.dumps(found))
    return folder


def pixels(panels: Sequence[Panel]) -> np.ndarray:
    """A frame of another grey around each, so that no two are the same picture unless they are."""
    made = np.zeros((40, 40 * len(panels)), np.uint8)
    for number, panel in enumerate(panels):
        made[:, 40 * number : 40 * number + 40] = panel.grey
        made[10:30, 40 * number + 10 : 40 * number + 30] = 255 - panel.grey
    return made


def record(paper: Made, sha256: str) -> dict[str, Any]:
    panels = [
        {
            "bbox": [100 + 40 * n, 100, 140 + 40 * n, 140],
            "pixels": [40 * n, 0, 40 * n + 40, 40],
            "letter": panel.letter,
            "text": panel.text,
            "ct": {"value": panel.ct, "confidence": 0.9, "reason": "picture 0.90"},
            "label": {"value": panel.label, "confidence": 0.8, "reason": "caption: 'COVID-19'"},
            "patient": {
                "value": "/".join(filter(None, [paper.group, panel.patient])),
                "confidence": 0.9,
                "reason": "r",
            },
        }
        for n, panel in enumerate(paper.panels)
    ]
    figure = {
        "image": paper.image,
        "page": 6,
        "page_size": [500, 700],
        "label": "Figure 1",
        "caption_text": paper.caption,
        "mentions": list(paper.mentions),
        "panels": panels,
    }
    return {
        "schema_version": 1,
        "name": paper.name,
        "sha256": sha256,
        "reader": "code",
        "failed": paper.failed,
        "problems": [],
        "figures": [] if paper.failed else [figure],
        "title": paper.title,
        "doi": paper.doi,
    }


def candidates(folder: Path) -> tuple[Candidate, ...]:
    return open_collection(folder).candidates


def several(papers: int = 8, label: str = "COVID", start: int = 0) -> list[Made]:
    """Papers of two panels each, no two pictures alike."""
    return [
        Made(f"{label}-{k}.pdf", [Panel(10 + start + 2 * k, label), Panel(11 + start + 2 * k, label)])
        for k in range(papers)
    ]
