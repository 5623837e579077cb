"""Boards as Hugging Face `model-index`: what a model card says of a model's results, with interval and seeds.

One metadata entry a ranked row, in the form that `huggingface_hub` reads; a row that is not ranked has none.
The form has no place for an interval, so it stands in each metric's `args`, and in its name for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.board_rows import Mean, Row
from harness.board_tables import HEADINGS
from harness.intervals import LEVEL
from harness.schemas import portable

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from harness.boards import Board

__all__ = ["METRIC_TYPES", "front_matter", "model_index", "texts"]

METRIC_TYPES = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "auc": "roc_auc",
    "brier": "brier_score",
}
"""Our metrics by the names that Hugging Face's hub has for them; it has none for the others."""


def texts(board: Board) -> dict[str, str]:
    """Return `DATASET/PROTOCOL.model-index.yml` by its path: every ranked row of the board; nothing without one."""
    from harness.board_files import place

    entries = [model_index(row.name, [(board, row)]) for row in board.rows if row.rank is not None]
    if not entries:
        return {}
    return {place(board, ".model-index.yml"): _yaml({"model-index": entries})}


def front_matter(name: str, rows: Sequence[tuple[Board, Row]], source_url: str | None = None) -> str:
    """Return the YAML that begins a model card: the results of one model, on one board or several."""
    return f"---\n{_yaml({'model-index': [model_index(name, rows, source_url)]})}---\n"


def model_index(
    name: str, rows: Sequence[tuple[Board, Row]], source_url: str | None = None
) -> dict[str, Any]:
    """Return the `model-index` entry of a model from its rows. `source_url` is where the boards can be seen."""
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = [result for board, row in rows for result in _results(board, row, source_url)]
    entry: dict[str, Any] = eval_results_to_model_index(name, results)[0]
    return entry


def _results(board: Board, row: Row, source_url: str | None) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    for metric, kind in METRIC_TYPES.items():
        mean = (row.means or {})[metric]
        if mean.value is None:
            continue
        yield EvalResult(
            task_type="image-classification",
            task_name="CT image classification",
            dataset_type=board.dataset,
            dataset_name=board.title,
            dataset_config=f"{board.protocol} split, recipe {row.recipe}",
            dataset_split="test",
            dataset_args=_dataset_args(board, row),
            metric_type=kind,
            metric_value=round(mean.value, 6),
            metric_name=_named(metric, mean, board),
            metric_args=_metric_args(row, mean),
            source_name=None if source_url is None else "ct-harness",
            source_url=source_url,
        )


def _dataset_args(board: Board, row: Row) -> dict[str, Any]:
    return {
        "protocol": board.protocol,
        "folds": board.folds,
        "recipe": row.recipe,
        "content_sha256": board.content,
        "test_images": dict(board.test),
        "positive_class": board.positive,
    }


def _named(metric: str, mean: Mean, board: Board) -> str:
    """What a reader sees beside the value: how it is counted, and its interval."""
    counted = (
        "mean over classes"
        if board.positive is None or len(board.classes) > 2
        else f"{board.positive} positive"
    )
    said = [] if metric == "accuracy" else [counted]
    if mean.interval is not None and mean.interval.low is not None and mean.interval.high is not None:
        said.append(f"{100 * LEVEL:.0f} % interval {mean.interval.low:.3f} to {mean.interval.high:.3f}")
    return f"{HEADINGS[metric]} ({', '.join(said)})" if said else HEADINGS[metric]


def _metric_args(row: Row, mean: Mean) -> dict[str, Any]:
    interval = mean.interval
    return {
        "seeds": row.seeds,
        "sd_over_seeds": portable(mean.sd),
        "interval_level": LEVEL,
        "interval_low": None if interval is None else portable(interval.low),
        "interval_high": None if interval is None else portable(interval.high),
        "interval_method": None if interval is None else interval.method,
        "rank": row.rank,
    }


def _yaml(document: dict[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    return text
