"""The scores of extracted figures as a table for people, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.figures.scoring import BOX_IOU, CAPTION, PANEL_IOU, Counts, Scored
from harness.intervals import wilson

__all__ = ["as_json", "measures", "report"]

LEVEL = 0.95


def measures(counts: Counts) -> dict[str, float | None]:
    """Return the shares of a document or of all; None where there is nothing to divide by.

    >>> measures(Counts(found=4, true=5, right=4))["f1"]
    0.8888888888888888
    """
    low, high = wilson(counts.ct_right, counts.ct, LEVEL) if counts.ct else (None, None)
    return {
        "precision": _share(counts.right, counts.found),
        "recall": _share(counts.right, counts.true),
        "f1": _share(2 * counts.right, counts.found + counts.true),
        "captions": _share(counts.captions_right, counts.captions),
        "panel_precision": _share(counts.panels_right, counts.panels_found),
        "panel_recall": _share(counts.panels_right, counts.panels_true),
        "ct_accuracy": _share(counts.ct_right, counts.ct),
        "ct_low": low,
        "ct_high": high,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def report(result: Scored) -> str:
    """Return the table, a line a document, and the misses by name."""
    from tabulate import tabulate

    rows = [_row(one.file, one.counts) for one in result.documents]
    rows.append(_row("all", result.whole))
    lines = [
        f"Figures: page and number right, box IoU >= {BOX_IOU}. Captions: similarity >= {CAPTION}. Panels of CT "
        f"composites: IoU >= {PANEL_IOU}.",
        "",
        tabulate(rows, _HEADINGS, tablefmt="github", disable_numparse=True),
        "",
        _ct_line(result.whole),
    ]
    misses = [f"- {_line(one.file)}: {_line(miss)}" for one in result.documents for miss in one.misses]
    lines += ["", f"Misses: {len(misses)}" if misses else "No misses.", *misses]
    if result.ignored:
        lines.append(f"Not in the ground truth, left out: {', '.join(map(_line, result.ignored))}")
    return "\n".join(lines) + "\n"


_HEADINGS = (
    "document",
    "true",
    "found",
    "right",
    "precision",
    "recall",
    "F1",
    "captions",
    "panels P",
    "panels R",
    "CT",
)


def _line(text: str) -> str:
    """Text of a file on one line of a terminal, whatever it holds."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _row(name: str, counts: Counts) -> list[str]:
    values = measures(counts)
    shown = [
        _shown(values[key])
        for key in ("precision", "recall", "f1", "captions", "panel_precision", "panel_recall", "ct_accuracy")
    ]
    return [_line(name), str(counts.true), str(counts.found), str(counts.right), *shown]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _ct_line(counts: Counts) -> str:
    if not counts.ct:
        return "CT or not: no figure was decided on."
    low, high = wilson(counts.ct_right, counts.ct, LEVEL)
    share = counts.ct_right / counts.ct
    return f"CT or not: {counts.ct_right} of {counts.ct} right, {share:.3f} (95 % Wilson {low:.3f} to {high:.3f})."


def as_json(result: Scored) -> dict[str, Any]:
    """Return counts, shares and misses of every document and of all together."""
    return {
        "thresholds": {"box_iou": BOX_IOU, "caption_similarity": CAPTION, "panel_iou": PANEL_IOU},
        "all": asdict(result.whole) | measures(result.whole),
        "documents": [
            {"file": one.file, **asdict(one.counts), **measures(one.counts), "misses": list(one.misses)}
            for one in result.documents
        ],
        "ignored": list(result.ignored),
    }
