"""A new run held against a stored board, model by model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.board_cells import Cell
from harness.board_draws import draws_of
from harness.board_pairs import PAIRED
from harness.board_rows import RANKED_BY, means
from harness.errors import UnknownName, UsageError
from harness.gate.deciding import MARGIN, Finding, Gate, NothingToCompare, checked_margin, decided
from harness.gate.losses import Loss, mean_score, paired_loss, unpaired_loss
from harness.gate.report import sentence
from harness.gate.sides import Name, New, Pair, asked, outcome, read_new, runs_of
from harness.gate.stored import StoredBoard, read_board

__all__ = ["assert_no_worse", "gate"]


def gate(
    new: Path | str,
    base: Path | str,
    *,
    margin: float = MARGIN,
    metrics: Sequence[str] = (RANKED_BY,),
    models: Sequence[str] = (),
    recipe: str | None = None,
    base_runs: Path | str | None = None,
    unpaired: bool = False,
    allow_missing: bool = False,
) -> Gate:
    """Return what became worse in the folder `new` (with records in `runs`) since the board in the file `base`.

    `margin` is in points, `metrics` are of `harness.board_pairs.PAIRED`, `models` are names of methods, with or
    without what is in brackets there (all without any), `recipe` one of the base's (without it every one that both
    have). The base's records are looked for in `base_runs`, else in `runs` beside or above its board, else in the
    new run's; without them the models are compared only if `unpaired`. Raises `HarnessError` in one line for what
    does not belong together or was changed, `NothingToCompare` where the two have no model in common.
    """
    new, base = Path(new), Path(base)
    share = _checked(margin, metrics)
    board = read_board(base)
    run = read_new(new, board)
    rows, cautions = asked(board, run, models, recipe)
    folders = runs_of(base, base_runs)
    told: list[Finding] = []
    pairs: list[Pair] = []
    for name, row in rows.items():
        found = outcome(board, row, run.get(name, New()), folders, new / "runs", unpaired=unpaired)
        if isinstance(found, Pair):
            pairs.append(found)
        elif found is not None:
            told += [replace(found, metric=metric) for metric in metrics]
    if not models:
        recipes = {recipe for recipe, _ in rows}
        strangers = [name for name in run if name not in rows and name[0] in recipes]
        told += [finding for name in strangers for finding in _newcomer(name, run[name], metrics, board)]
    judged, tests = decided([*_findings(pairs, metrics, board, share), *told], share)
    about = (board.dataset.name, board.protocol.name, base, new)
    cautions += _cautions(pairs, base, new)
    result = Gate(*about, share, tests, judged, allow_missing, tuple(cautions))
    if not result.compared and result.passed:
        said = "; ".join(sentence(finding, result) for finding in judged) or "no row was asked for"
        raise NothingToCompare(f"nothing was compared with {str(base)!r}: {said}")
    return result


def assert_no_worse(new: Path | str, base: Path | str, **options: Any) -> Gate:
    """Return what `gate` found if all of it passes; raise `AssertionError` with every failing model in words.

    `options` are those of `gate`. What cannot be compared raises `HarnessError`, as there. A test in a model's own
    repository::

        def test_my_model_is_no_worse_than_the_stored_board():
            assert_no_worse("out", "leaderboards/covid-ct/official.json", margin=2.0, models=["my-model"])
    """
    found = gate(new, base, **options)
    lines = [f"- {sentence(finding, found)}" for finding in found.failing]
    if lines:
        raise AssertionError("\n".join([f"worse than {str(base)!r}:", *lines]))
    return found


def _checked(margin: float, metrics: Sequence[str]) -> float:
    for metric in metrics:
        if metric not in PAIRED:
            raise UnknownName("metric", metric, PAIRED)
    if not metrics:
        raise UsageError(f"no metric to compare in; known: {', '.join(PAIRED)}")
    try:
        return checked_margin(margin)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _findings(
    pairs: Sequence[Pair], metrics: Sequence[str], board: StoredBoard, margin: float
) -> Iterator[Finding]:
    """The loss of every model that both sides finished, in every metric, not yet judged."""
    positive = board.dataset.positive
    changed = [pair for pair in pairs if not pair.same]
    cells = [cell for pair in changed for cell in (*(pair.before or ()), *pair.now)]
    # areas of scores in 2000 resamples take ten times as long as all else
    draws = draws_of(cells, positive, "scores" if "auc" in metrics else "hard-labels")
    for pair in pairs:
        ours = means(pair.now, positive) if pair.before is None else {}
        for metric in metrics:
            if pair.same:
                loss = _no_loss(metric, pair.now, positive)
            elif pair.before is None:
                loss = unpaired_loss((pair.row.metrics or {})[metric].mean, ours[metric], margin)
            else:
                loss = paired_loss(metric, pair.before, pair.now, draws, margin)
            yield Finding(
                method=pair.row.method,
                recipe=pair.row.recipe,
                metric=metric,
                verdict="unchanged" if pair.same else "cannot tell",
                loss=loss,
                reason=loss.reason,
                notes=pair.notes,
            )


def _no_loss(metric: str, cells: Sequence[Cell], positive: str | None) -> Loss:
    value = mean_score(metric, cells, {cell.entry.key: cell.scores(positive) for cell in cells})
    return Loss(value, value, "the same predictions", True, 0.0, 0.0)


def _newcomer(name: Name, run: New, metrics: Sequence[str], board: StoredBoard) -> Iterator[Finding]:
    """A model that the base does not have; nothing is asked of it."""
    recipe, method = name
    scored = {cell.entry.key: cell.scores(board.dataset.positive) for cell in run.done}
    for metric in metrics:
        now = mean_score(metric, run.done, scored)
        reason = run.why if run.failed else None
        yield Finding(method, recipe, metric, "new", Loss(None, now, "none", False), reason=reason)


def _cautions(pairs: Sequence[Pair], base: Path, new: Path) -> Iterator[str]:
    """What a reader must know before believing that all is well."""
    alone = [pair.row.method for pair in pairs if pair.before is None]
    if alone:
        yield (
            f"Compared without the base's predictions, by two intervals: {', '.join(alone)}. What images have in "
            "common does not cancel, so only larger losses are found, and that both were tested on the same "
            "images cannot be checked."
        )
    if pairs and all(pair.same for pair in pairs):
        where = (
            " The base lies in the new run's own folder."
            if base.resolve().is_relative_to(new.resolve())
            else ""
        )
        yield f"Every model's predictions are the base's bit for bit: nothing was run anew, or nothing changed.{where}"
    if any(not cell.grouped for pair in pairs for cell in pair.now):
        yield "No patients are known, so slices are taken for independent: intervals are too narrow, p too small."
