"""What several commands share: option types, and the parsing of lists and parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import UsageError

DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        help="Folder that holds one folder a dataset [default: $HARNESS_DATA, then the user's cache].",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where boards and runs are kept.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out bad files; the record names them.")]

Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--protocol",
        help="official, random, group-kfold, external:DATASET (tested on that one), external (every pair of -d) "
        "[default: official; group-kfold or random without a split].",
    ),
]
Seeds = Annotated[str, typer.Option(help="How many seeds, or which: 5; 0,1,2; 10-14.")]
Recipe = Annotated[str, typer.Option(help="How much work: auto, smoke, quick or paper.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Backbone = Annotated[
    str | None, typer.Option(help="Network whose features the heads use [default: vgg16 if it can be had].")
]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", help="MODEL.PARAMETER=VALUE, may be repeated.")
]

Trials = Annotated[
    int | None, typer.Option(help="Optuna trials a model [default: smoke 1, quick 5, paper 20].")
]
TimeBudget = Annotated[
    str | None,
    typer.Option(help="Tune each model this long instead, the same for every model: 90s, 10m, 1.5h."),
]

Start = Annotated[
    str | None,
    typer.Option(
        help="First stage that networks start from: a name that 'harness pretrain' gave, or a file."
    ),
]


def names(values: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of options that may be repeated, joined by commas, or both.

    >>> names(["svm,xdnn", "resnet"])
    ('svm', 'xdnn', 'resnet')
    """
    found = [part.strip() for value in values or () for part in value.split(",")]
    if "" in found:
        raise UsageError("an empty name in a list of names; join names by single commas")
    return tuple(dict.fromkeys(found))


def seed_list(text: str) -> tuple[int, ...]:
    """Return the seeds that '3' (0, 1, 2), '4,7' or '10-12' stand for.

    >>> seed_list("3"), seed_list("4,7"), seed_list("10-12"), seed_list("5,")
    ((0, 1, 2), (4, 7), (10, 11, 12), (5,))
    """
    seeds: list[int] = []
    try:
        if text.strip().isdigit():
            seeds = list(range(int(text)))
        else:
            for part in filter(None, (p.strip() for p in text.split(","))):
                first, _, last = part.partition("-")
                if int(last or first) < int(first):
                    raise UsageError(f"--seeds {text!r}: {part!r} runs backwards")
                seeds += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise UsageError(
            f"--seeds {text!r}: expected a number of seeds, or seeds such as 0,1,2 or 10-12"
        ) from error
    if not seeds or len(seeds) > 1000:
        raise UsageError(f"--seeds {text!r}: expected between 1 and 1000 seeds, got {len(seeds)}")
    return tuple(dict.fromkeys(seeds))


def time_budget(text: str | None) -> float | None:
    """Return the seconds of a `--time-budget`, None where there is none."""
    from harness.budgets import seconds_of

    return None if text is None else seconds_of(text)


def model_parameters(values: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return {model: {parameter: value}} of options such as `svm.C=3`; values are JSON, else text.

    >>> model_parameters(["svm.C=3", "densenet:121.size_px=96", "xdnn.backbone=vgg16"])
    {'svm': {'C': 3}, 'densenet:121': {'size_px': 96}, 'xdnn': {'backbone': 'vgg16'}}
    """
    found: dict[str, dict[str, Any]] = {}
    for text in values:
        target, equals, value = text.partition("=")
        model, dot, parameter = target.strip().rpartition(".")
        if not (equals and dot and model and parameter.isidentifier()):
            raise UsageError(f"--param {text!r}: expected MODEL.PARAMETER=VALUE, such as svm.C=3")
        try:
            found.setdefault(model, {})[parameter] = json.loads(value)
        except ValueError:
            found.setdefault(model, {})[parameter] = value
    return found


def parameters_of_one(values: Sequence[str]) -> dict[str, Any]:
    """Return {parameter: value} of options such as `size_px=96`, for a command that has one model.

    >>> parameters_of_one(["size_px=96", "weights=none"])
    {'size_px': 96, 'weights': 'none'}
    """
    for text in values:
        name, equals, _ = text.partition("=")
        if not (equals and name.strip().isidentifier()):
            raise UsageError(f"--param {text!r}: expected PARAMETER=VALUE, such as size_px=96")
    return model_parameters([f"model.{text}" for text in values]).get("model", {})
