"""The report: boards, curves, verdicts and provenance as one HTML text that needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.board_rows import RANKED_BY
from harness.boards import Board
from harness.data.pictures import printable
from harness.paired import ALPHA, POWER
from harness.report.figures import LOWER_IS_BETTER, heading
from harness.report.panels import SIDE
from harness.report.rows import MOST_CLASSES, shown_metrics
from harness.report.rules import Rules
from harness.report.views import is_leak, report_of
from harness.verify_report import CANNOT_TELL, Verified

if TYPE_CHECKING:
    from jinja2 import Environment

    from harness.report.thumbnails import Thumbnails

__all__ = ["report_html"]

SELECTED = 3
"""Curves that stand out at first: more colours than that are hard to tell apart."""

HUES = 8
"""Colours in the style sheet; the ninth row begins anew with another dash."""


def report_html(
    boards: Sequence[Board],
    verified: Sequence[Verified] = (),
    *,
    rules: Mapping[str, Rules] | None = None,
    images: Mapping[str, Thumbnails] | None = None,
) -> str:
    """Return the page: the same boards and verdicts give the same bytes.

    `verified` are the published tables (`harness.verdict_files.verified_tables`), `rules` those of prototype models by
    the key of a cell (`harness.report.explanations_in`), `images` the datasets whose images are to be shown,
    by name; without them no image is in the page. Whatever comes from a record, a card or a table is escaped.
    """
    report = report_of(boards, verified, rules or {}, images or {})
    style, script = _part("report.css"), _part("report.js")
    page = _environment().get_template("report.html")
    return page.render(report=report, style=style, script=script, script_digest=_digest(script))


@cache
def _part(name: str) -> str:
    return (files("harness.report") / "templates" / name).read_text("utf-8")


def _digest(script: str) -> str:
    """What the page's policy knows its own script by; no other runs."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


_GLOBALS: dict[str, Any] = {
    "version": __version__,
    "metrics": shown_metrics(),
    "heading": heading,
    "lower_is_better": LOWER_IS_BETTER,
    "ranked_by": heading(RANKED_BY),
    "alpha": ALPHA,
    "power": POWER,
    "cannot_tell": CANNOT_TELL,
    "is_leak": is_leak,
    "most_classes": MOST_CLASSES,
    "selected": SELECTED,
    "side": SIDE,
    "hue": lambda number: (number - 1) % HUES + 1,
    "dash": lambda number: (number - 1) // HUES,
}
"""What the templates know besides the report."""


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalised,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["px"] = _px
    environment.globals |= _GLOBALS
    return environment


def _finalised(value: Any) -> Any:
    """Return what is put into the page for a value: text without what cannot be encoded or hides its order."""
    return printable(value) if type(value) is str else value


def _px(value: float) -> str:
    """A coordinate or a percentage with no more digits than can be seen."""
    return f"{value:.1f}".removesuffix(".0")
