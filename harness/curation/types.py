"""The nouns of this package: papers, candidates for the dataset, and what was decided on them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.figures.types import Box, PixelBox, Suggestion

__all__ = ["CLASSES", "POSITIVE", "Candidate", "Decided", "Paper", "Verdict", "candidate_id"]

CLASSES = ("non-COVID", "COVID")
POSITIVE = "COVID"

Verdict = Literal["accepted", "relabelled", "rejected"]


@dataclass(frozen=True, slots=True)
class Paper:
    """One PDF that was read: its content, its name, what it says of itself, and the folder of its pictures.

    `stem` begins the names of its images, `group` those of its patients; `texts` are what it says of its pictures.
    """

    sha256: str
    name: str
    title: str
    doi: str
    stem: str
    group: str
    folder: Path
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that may go into the dataset: a box of pixels in the image of a figure.

    `object` is what PDF object it is ('52', or 'r1' for the first rendered figure of a page), `box` its place on the
    page of `page_size` points, `panels` how many pictures its figure has. `ct`, `label` and `patient` are suggestions.
    `content` is the SHA-256 of its pixels where that is known: copies of a picture have the same.
    """

    id: str
    paper: Paper
    image: str
    page: int
    object: str
    pixels: PixelBox
    box: Box
    page_size: tuple[float, float]
    figure: str
    letter: str | None
    text: str
    caption: str
    mentions: tuple[str, ...]
    ct: Suggestion
    label: Suggestion
    patient: Suggestion
    content: str | None = None

    @property
    def is_ct(self) -> bool:
        """Whether it is suggested that this is a CT slice."""
        return self.ct.value == "CT"


@dataclass(frozen=True, slots=True)
class Decided:
    """A candidate and what was decided on it by eye: nothing where `verdict` is None.

    `label` is set for a candidate that is in, `patient` where a person named the patient.
    """

    candidate: Candidate
    verdict: Verdict | None = None
    label: str | None = None
    patient: str | None = None

    @property
    def in_dataset(self) -> bool:
        """Whether it goes into the dataset: accepted, or a CT slice that nobody rejected, with a label."""
        wanted = self.candidate.is_ct if self.verdict is None else self.verdict != "rejected"
        return wanted and self.final_label is not None

    @property
    def final_label(self) -> str | None:
        """The label: the one that was decided on, else the suggested one."""
        return self.label or self.candidate.label.value


def candidate_id(sha256: str, image: str, pixels: PixelBox) -> str:
    """Return the name of a picture: the same as long as the PDF, the figure's image and the box are.

    >>> candidate_id("ab", "f-p1-5.png", (0, 0, 10, 10)) == candidate_id("ab", "f-p1-5.png", (0, 0, 10, 11))
    False
    """
    place = "|".join([sha256, image, *map(str, pixels)])
    return hashlib.sha256(place.encode()).hexdigest()[:16]
