"""Training of the small model that tells CT from other pictures, and its test on papers it has not seen.

    python -m harness.figures.training --ct DIR [--ct DIR] [--other DIR] [--papers DIR] [--out FILE]

Pictures of CT come from folders; those of everything else are made (`harness.figures.lookalikes`) or come from
folders. Papers lie in one folder each, with `ct` and `other` in it; none of their pictures is trained on, unless
`--leave-one-out` asks for a model a paper that was trained on the other papers too.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import DatasetMissing, HarnessError
from harness.figures.features import features
from harness.figures.forests import Forest, grown, write
from harness.figures.lookalikes import KINDS, lookalike
from harness.figures.variations import varied

__all__ = ["Evaluation", "evaluated", "main", "rows"]

Pixels = NDArray[np.uint8]

MOST = 1000  # pictures of one folder
OF_A_KIND = 250
TIMES = 2  # that each slice is shown, changed in other ways
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}


class Evaluation(dict[str, tuple[int, int]]):
    """Right answers and pictures of each paper."""

    @property
    def right(self) -> int:
        return sum(right for right, _ in self.values())

    @property
    def count(self) -> int:
        return sum(count for _, count in self.values())


def rows(ct: Sequence[Path], other: Sequence[Path]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features and truth of all training pictures, each changed at random by a fixed seed."""
    generator = np.random.default_rng(0)
    found = [
        (features(varied(p, generator, medical=True)), True)
        for folder in ct
        for p in _pictures(folder)
        for _ in range(TIMES)
    ]
    found += [(features(varied(p, generator)), False) for folder in other for p in _pictures(folder)]
    for kind in KINDS:
        made = (lookalike(kind, generator) for _ in range(OF_A_KIND))
        found += [(features(varied(picture, generator)), False) for picture in made]
    return np.array([row for row, _ in found], np.float32), np.array([truth for _, truth in found], bool)


def _pictures(folder: Path) -> Iterator[Pixels]:
    """Up to MOST pictures below a folder, drawn by a fixed seed, in one order on every machine."""
    files = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    if not files:
        raise DatasetMissing(
            f"no pictures in {str(folder)!r}; expected PNG, JPEG, TIFF or BMP files below it"
        )
    random.Random(0).shuffle(files)
    for path in files[:MOST]:
        with Image.open(path) as image:
            yield np.asarray(image.convert("RGB"))


def evaluated(
    base: tuple[NDArray[np.float32], NDArray[np.bool_]], papers: Path, *, leave_one_out: bool
) -> Evaluation:
    """How many pictures of each paper a model gets right that has seen none of that paper."""
    seen = {folder.name: _paper(folder) for folder in sorted(papers.iterdir()) if folder.is_dir()}
    if not seen:
        raise DatasetMissing(f"no folder of a paper in {str(papers)!r}; expected PAPER/ct and PAPER/other")
    shared = None if leave_one_out else grown(*base, "")
    found = Evaluation()
    for name, (rows_, truth) in seen.items():
        forest = shared or _without(base, seen, name)
        answers = [forest.probability(row) >= 0.5 for row in rows_]
        found[name] = (sum(a == t for a, t in zip(answers, truth, strict=True)), len(truth))
    return found


def _paper(folder: Path) -> tuple[list[NDArray[np.float32]], list[bool]]:
    kinds = [(folder / kind, kind == "ct") for kind in ("ct", "other") if (folder / kind).is_dir()]
    found = [(features(picture), is_ct) for part, is_ct in kinds for picture in _pictures(part)]
    return [row for row, _ in found], [truth for _, truth in found]


def _without(
    base: tuple[NDArray[np.float32], NDArray[np.bool_]],
    seen: dict[str, tuple[list[NDArray[np.float32]], list[bool]]],
    name: str,
) -> Forest:
    others = [both for paper, both in seen.items() if paper != name and both[1]]
    grid = np.concatenate([base[0], *(np.array(r, np.float32) for r, _ in others)])
    truth = np.concatenate([base[1], *(np.array(t, bool) for _, t in others)])
    return grown(grid, truth, "")


def _report(found: Evaluation, title: str) -> str:
    from harness.intervals import wilson

    low, high = wilson(found.right, found.count)
    lines = [f"{title}: {found.right} of {found.count} right, accuracy {found.right / found.count:.3f}"]
    lines[0] += f" (95 % Wilson interval {low:.3f} to {high:.3f})"
    lines += [f"  {name}: {right} of {count}" for name, (right, count) in found.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, test and write, as the command line says; 0, or 1 after an error in one line."""
    options = _parser().parse_args(arguments)
    try:
        base = rows(options.ct, options.other)
        about = f"{int(base[1].sum())} views of CT from {', '.join(p.name for p in options.ct)}; "
        about += f"{int((~base[1]).sum())} others: " + ", ".join([*KINDS, *(p.name for p in options.other)])
        sys.stdout.write(about + "\n")
        if options.papers:
            print_ = sys.stdout.write
            print_(
                _report(evaluated(base, options.papers, leave_one_out=False), "no paper trained on") + "\n"
            )
        if options.papers and options.leave_one_out:
            print_(_report(evaluated(base, options.papers, leave_one_out=True), "one paper left out") + "\n")
        if options.out:
            write(grown(*base, about), options.out)
    except (HarnessError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m harness.figures.training", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--ct", type=Path, action="append", required=True, help="folder of CT slices")
    parser.add_argument("--other", type=Path, action="append", default=[], help="folder of other pictures")
    parser.add_argument("--papers", type=Path, help="folder of papers to test on, PAPER/ct and PAPER/other")
    parser.add_argument("--leave-one-out", action="store_true", help="also train on the other papers")
    parser.add_argument("--out", type=Path, help="file to write the model to (.npz)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
