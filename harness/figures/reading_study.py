"""How captions are read, measured on sentences with a reader's answer.

    python -m harness.figures.reading_study [--labels FILE] [--patients FILE] [--parts FILE] [--rules FILE] [--misses]

A file has one sentence a line, after the answer and a tab (`tests/harness/captions` says how). A fixed seed parts the
lines in two: half to learn from, half held out until the rules were settled. What is wrong is counted apart from what
is missing: a label that is wrong spoils a dataset, one that is missing costs a look.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from harness.errors import DatasetMissing, HarnessError
from harness.figures.passages import passages
from harness.figures.patients import patients_in
from harness.figures.rules import Rule, label_of, read_rules

__all__ = ["halves", "judged_label", "judged_parts", "judged_patients", "lines_of", "main"]

SEED = 2026
Line = tuple[str, ...]
Judge = Callable[[Line], tuple[str, str]]


def lines_of(path: Path) -> list[Line]:
    """The lines of a file of sentences, each parted at its tabs; those that begin with # are comments.

    Raises DatasetMissing when the file cannot be read or a line has no tab.
    """
    try:
        texts = [text for text in path.read_text("utf-8").splitlines() if text and text[0] != "#"]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetMissing(f"cannot read the sentences {str(path)!r}: {error}") from None
    lines = [tuple(text.split("\t")) for text in texts]
    for line in lines:
        if len(line) < 2:
            raise DatasetMissing(
                f"{str(path)!r} holds a line {line[0][:60]!r} without a tab; expected an answer, a tab, a sentence"
            )
    return lines


def halves(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The lines to learn from and those held out, by a fixed seed."""
    order = list(range(len(lines)))
    random.Random(SEED).shuffle(order)
    learnt = set(order[: len(order) // 2])
    return (
        [line for n, line in enumerate(lines) if n in learnt],
        [line for n, line in enumerate(lines) if n not in learnt],
    )


def judged_label(line: Line, rules: Sequence[Rule] | None = None) -> tuple[str, str]:
    """("right", "wrong" or "missing", what was read) for a line of labels."""
    found = label_of(line[1], line[2] if len(line) > 2 else "", rules=rules)
    value = found.value or "none"
    if value == line[0]:
        return "right", value
    return ("missing" if value == "none" else "wrong"), f"{value} ({found.reason})"


def judged_patients(line: Line) -> tuple[str, str]:
    """The same for a line of patients; nobody where somebody is named is missing, anything else wrong."""
    expected = () if line[0] == "-" else tuple(line[0].split())
    found = patients_in(line[1])
    if set(found) == set(expected):
        return "right", ""
    return ("wrong" if found else "missing"), " ".join(found) or "nobody"


def judged_parts(line: Line) -> tuple[str, str]:
    """The same for a line of parts: all names in order, each with its words and without those of another."""
    expected = [tuple(pair.split("=", 1)) for pair in line[0].split(" | ") if pair != "-"]
    said = passages(line[1])
    found = f"{dict(said.parts)}"
    if list(said.names) != [name for name, _ in expected]:
        return ("wrong" if said.names else "missing"), found
    for name, words in expected:
        others = {other for _, other in expected} - {words}
        if not _holds(said.of(name), words) or any(_holds(said.of(name), other) for other in others):
            return "wrong", found
    return "right", found


def _holds(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text, re.IGNORECASE) is not None


def _report(title: str, path: Path, judge: Judge, *, misses: bool) -> str:
    out = []
    for half, lines in zip(("learnt from", "held out"), halves(lines_of(path)), strict=True):
        judged = [(line, *judge(line)) for line in lines]
        counts = Counter(verdict for _, verdict, _ in judged)
        out.append(
            f"{title}, {half}: {counts['right']} of {len(lines)} right, {counts['wrong']} wrong, "
            f"{counts['missing']} missing"
        )
        if misses:
            out += [
                f"  {verdict}: {line[1:]!r}: expected {line[0]}, read {read}"
                for line, verdict, read in judged
                if verdict != "right"
            ]
    return "\n".join(out) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the command line asks for; 0, or 1 after an error in one line."""
    parser = argparse.ArgumentParser(prog="python -m harness.figures.reading_study", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name in ("labels", "patients", "parts"):
        parser.add_argument(f"--{name}", type=Path, help=f"file of sentences with their {name}")
    parser.add_argument("--rules", type=Path, help="rules other than the built-in ones")
    parser.add_argument("--misses", action="store_true", help="print each sentence that was not read rightly")
    options = parser.parse_args(arguments)
    try:
        judges: list[tuple[str, Path | None, Judge]] = [
            ("labels", options.labels, partial(judged_label, rules=read_rules(options.rules))),
            ("patients", options.patients, judged_patients),
            ("parts", options.parts, judged_parts),
        ]
        for title, path, judge in judges:
            if path:
                sys.stdout.write(_report(title, path, judge, misses=options.misses))
    except HarnessError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
