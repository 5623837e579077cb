"""What panels, letters and the model of CT are worth, measured.

    python -m harness.figures.sorting_study --ct DIR [--ct DIR] [--count 300] [--seed 0]
    python -m harness.figures.sorting_study --truth GROUND_TRUTH.json [--cut DIR]
    python -m harness.figures.sorting_study --kinds DIR [--model FILE]

The first splits synthetic composites of real slices, whose boxes are known exactly. The second takes figures of real
PDFs at the boxes that a ground truth gives, splits them, and sorts them by picture, by words and by both; `--cut`
writes the panels to DIR/PAPER/ct and DIR/PAPER/other (those of figures of several kinds to DIR/PAPER/mixed, to be
sorted by hand) for `harness.figures.training --papers`. The third asks the model of CT about pictures in
DIR/KIND/ct and DIR/KIND/other.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import DatasetMissing, HarnessError
from harness.figures.composites import composite
from harness.figures.ct import MODEL, ct_of, probability, words_for_ct
from harness.figures.features import features
from harness.figures.forests import read
from harness.figures.letters import Word
from harness.figures.panels import boxes, panels_of
from harness.figures.passages import passages
from harness.figures.types import Box, Panel

__all__ = ["Tally", "main", "matched", "overlap"]

Pixels = NDArray[np.uint8]
IOU = 0.7


@dataclass
class Tally:
    """Boxes found, boxes there, boxes matched; figures split without a mistake, figures."""

    found: int = 0
    there: int = 0
    right: int = 0
    whole: int = 0
    figures: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, found: Sequence[Sequence[float]], there: Sequence[Sequence[float]], seconds: float) -> None:
        right = matched(found, there)
        self.found, self.there, self.right = (
            self.found + len(found),
            self.there + len(there),
            self.right + right,
        )
        self.whole += right == len(found) == len(there)
        self.figures += 1
        self.seconds.append(seconds)

    def line(self, name: str) -> str:
        precision, recall = self.right / max(self.found, 1), self.right / max(self.there, 1)
        whole = f"without a mistake {self.whole} of {self.figures}"
        return f"{name:14} precision {precision:.3f}  recall {recall:.3f}  {whole}"


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high)


def matched(found: Sequence[Sequence[float]], there: Sequence[Sequence[float]], least: float = IOU) -> int:
    """Boxes found that overlap one that is there by at least `least`, one to one, the best pairs first."""
    pairs = sorted(
        ((overlap(f, t), i, j) for i, f in enumerate(found) for j, t in enumerate(there)), reverse=True
    )
    left, right = set[int](), set[int]()
    for share, i, j in pairs:
        if share >= least and i not in left and j not in right:
            left.add(i)
            right.add(j)
    return len(left)


def _synthetic(folders: Sequence[Path], count: int, seed: int) -> Iterator[str]:
    random = np.random.default_rng(seed)
    pictures = _slices(folders, random)
    tallies: dict[str, Tally] = defaultdict(Tally)
    for _ in range(count):
        made = composite(pictures, random)
        start = time.process_time()
        found = boxes(made.image, len(passages(made.caption).names))
        seconds = time.process_time() - start
        width = "gutter 0" if made.gutter == 0 else ("gutter 1 to 3" if made.gutter < 4 else "gutter 4 to 20")
        for name in ("all", made.layout, width):
            tallies[name].add(found, made.panels, seconds)
    yield from (tally.line(name) for name, tally in tallies.items())
    milliseconds = 1000 * np.quantile(tallies["all"].seconds, [0.5, 0.95])
    yield f"milliseconds a figure: median {milliseconds[0]:.0f}, 95 % below {milliseconds[1]:.0f}"
    whole = sum(len(boxes(picture)) == 1 for picture in pictures)
    yield f"single slices left whole: {whole} of {len(pictures)}"


def _slices(folders: Sequence[Path], random: np.random.Generator, most: int = 250) -> list[Pixels]:
    files = sorted(
        p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in {".png", ".jpg", ".jpeg"}
    )
    if not files:
        raise DatasetMissing(f"no PNG or JPEG files below {[str(folder) for folder in folders]}")
    chosen = random.permutation(len(files))[:most]
    return [np.asarray(Image.open(files[int(n)]).convert("L")) for n in chosen]


@dataclass(frozen=True)
class _Seen:
    """A figure of the ground truth: where it comes from, its pixels, the words around, the truth itself."""

    paper: str
    image: Pixels
    box: Box
    words: tuple[Word, ...]
    truth: dict[str, Any]


def _figures(truth: Path, dpi: int = 250) -> Iterator[_Seen]:
    import pymupdf

    for document in json.loads(truth.read_text("utf-8"))["documents"]:
        with pymupdf.open(truth.parent / document["file"]) as pdf:
            for figure in document["figures"]:
                page = pdf[figure["page"] - 1]
                box = pymupdf.Rect(figure["bbox"])
                pixmap = page.get_pixmap(clip=box, dpi=dpi, alpha=False)
                image = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.h, pixmap.w, pixmap.n)
                near = pymupdf.Rect(box.x0 - 15, box.y0 - 15, box.x1 + 15, box.y1 + 15)
                words = [w[:5] for w in page.get_text("words") if near.intersects(pymupdf.Rect(w[:4]))]
                place = (box.x0, box.y0, box.x1, box.y1)
                yield _Seen(Path(document["file"]).stem, image, place, tuple(words), figure)


def _real(truth: Path, cut: Path | None) -> Iterator[str]:
    tally, letters, sorted_by = Tally(), [0, 0], {"picture": 0, "words": 0, "both": 0}
    figures = 0
    for seen in _figures(truth):
        caption, is_ct = seen.truth["caption_text"], bool(seen.truth["has_ct"])
        start = time.process_time()
        found = panels_of(seen.image, seen.box, caption, seen.words)
        if is_ct and seen.truth.get("panel_boxes"):
            tally.add([p.box for p in found], seen.truth["panel_boxes"], time.process_time() - start)
        letters[0] += max(len(passages(caption).names), 1) == seen.truth.get("panels_lettered")
        figures += 1
        answers = _answers(seen, found, caption)
        for name, answer in answers.items():
            sorted_by[name] += answer == is_ct
        if answers["both"] != is_ct:
            yield f"missed: {seen.paper} {seen.truth['label']}"
        if cut is not None:
            _cut(seen, found, cut)
    yield tally.line("panels of CT")
    yield f"captions with all their letters: {letters[0]} of {figures}"
    yield from (_share(name, right, figures) for name, right in sorted_by.items())


def _answers(seen: _Seen, found: Sequence[Panel], caption: str) -> dict[str, bool]:
    by_picture = max(probability(_pixels(seen.image, panel)) for panel in found) >= 0.5
    return {
        "picture": by_picture,
        "words": words_for_ct(caption)[0] == 1 or (words_for_ct(caption) == (0, "") and "CT" in caption),
        "both": ct_of(seen.image, found, caption).value == "CT",
    }


def _share(name: str, right: int, count: int) -> str:
    from harness.intervals import wilson

    low, high = wilson(right, count)
    interval = f"95 % Wilson {low:.3f} to {high:.3f}"
    return f"CT or not by {name:8} {right} of {count} figures, {right / count:.3f} ({interval})"


def _pixels(image: Pixels, panel: Panel) -> Pixels:
    x0, y0, x1, y1 = panel.pixels
    return image[y0:y1, x0:x1]


def _cut(seen: _Seen, found: Sequence[Panel], folder: Path) -> None:
    kind = "ct" if seen.truth["has_ct"] else "other"
    if "+" in str(seen.truth.get("modality", "")):
        kind = "mixed" if seen.truth["has_ct"] else kind
    place = folder / seen.paper / kind
    place.mkdir(parents=True, exist_ok=True)
    for number, panel in enumerate(found):
        name = f"{seen.truth['label']}-{number}.png".replace(" ", "-")
        Image.fromarray(_pixels(seen.image, panel)).save(place / name)


def _kinds(root: Path, model: Path | None) -> Iterator[str]:
    """How many pictures of each kind the model gets right, and of all."""
    forest = read(MODEL if model is None else model)
    totals = [0, 0]
    for kind in sorted(folder for folder in root.iterdir() if folder.is_dir()):
        for truth in ("ct", "other"):
            files = sorted(
                p for p in (kind / truth).glob("*") if p.suffix.lower() in {".png", ".jpg", ".jpeg"}
            )
            chances = [forest.probability(features(np.asarray(Image.open(f).convert("RGB")))) for f in files]
            right = sum((chance >= 0.5) == (truth == "ct") for chance in chances)
            totals = [totals[0] + right, totals[1] + len(files)]
            if files:
                yield f"{truth:5} {kind.name:40} {right} of {len(files)}"
    if not totals[1]:
        raise DatasetMissing(
            f"no pictures in {str(root)!r}; expected DIR/KIND/ct/*.png and DIR/KIND/other/*.png"
        )
    yield f"all   {totals[0]} of {totals[1]} right, {totals[0] / totals[1]:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was asked for; 0, or 1 after an error in one line."""
    parser = argparse.ArgumentParser(prog="python -m harness.figures.sorting_study", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--ct", type=Path, action="append", default=[], help="folder of CT slices")
    parser.add_argument("--count", type=int, default=300, help="synthetic composites")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--truth", type=Path, help="ground truth of figures, beside its PDFs")
    parser.add_argument("--cut", type=Path, help="write the panels of these PDFs here")
    parser.add_argument("--kinds", type=Path, help="folder of pictures, KIND/ct and KIND/other")
    parser.add_argument("--model", type=Path, help="another model of CT than the shipped one")
    options = parser.parse_args(arguments)
    try:
        if options.ct:
            sys.stdout.writelines(f"{line}\n" for line in _synthetic(options.ct, options.count, options.seed))
        if options.truth:
            sys.stdout.writelines(f"{line}\n" for line in _real(options.truth, options.cut))
        if options.kinds:
            sys.stdout.writelines(f"{line}\n" for line in _kinds(options.kinds, options.model))
    except (HarnessError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
