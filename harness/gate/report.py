"""What a gate found, in words: a table and a sentence a model, Markdown, JSON and GitHub's annotations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.board_markdown import escaped
from harness.board_tables import NONE, p_value
from harness.gate.deciding import DOUBTFUL, Finding, Gate
from harness.intervals import LEVEL
from harness.paired import ALPHA, POWER
from harness.types import unique

__all__ = ["SCHEMA_VERSION", "as_json", "as_markdown", "as_text", "commands", "headline", "sentence"]

SCHEMA_VERSION = 1

MOST_ANNOTATIONS = 10
"""Errors, and warnings, that GitHub shows of one step; the last of them then counts the rest."""

LONGEST_REASON = 300
"""Characters of why a model failed."""

LONGEST_NAME = 48
"""Characters of a model's name in the table, its middle left out: what tells variants apart is at the end."""

HEADINGS = ("Verdict", "Model", "Metric", "Before", "Now", "Points lost", "95 % interval", "p (Holm)")
NAMES = {"f1": "F1", "accuracy": "accuracy", "auc": "AUC"}


def headline(gate: Gate) -> str:
    """Return the outcome in one sentence."""
    where = f"{_plain(gate.dataset)}, {_plain(gate.protocol)}"
    count = len({(f.recipe, f.method) for f in gate.compared})
    models = f"{count} {_number('model', count)} compared"
    if gate.passed:
        doubt = f"; {len(gate.doubtful)} cannot be told" if gate.doubtful else ""
        return f"passed: {where}: nothing is worse beyond chance{_and_margin(gate)} ({models}{doubt})"
    return f"FAILED: {where}: {_counted(gate.failing)} ({models}, margin {_margin(gate)})"


def _counted(findings: Sequence[Finding]) -> str:
    counts = {
        verdict: len([f for f in findings if f.verdict == verdict])
        for verdict in ("worse", "failed", "missing")
    }
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)


def as_text(gate: Gate) -> str:
    """Return the table, a sentence for each finding, cautions and the outcome."""
    from tabulate import tabulate

    table = tabulate(_lines(gate), headers=HEADINGS, tablefmt="simple", disable_numparse=True)
    sentences = "\n".join(f"- {said}" for said in _sentences(gate))
    cautions = "\n".join(f"Note: {_plain(caution)}" for caution in gate.cautions)
    return "\n\n".join(part for part in (table, sentences, cautions, headline(gate)) if part) + "\n"


def as_markdown(gate: Gate) -> str:
    """Return a section for GitHub's summary of a job."""
    from tabulate import tabulate

    rows = [[escaped(cell) for cell in line] for line in _lines(gate)]
    table = tabulate(rows, headers=HEADINGS, tablefmt="github", disable_numparse=True)
    told = [*gate.failing, *gate.doubtful]
    sentences = "\n".join(f"- {escaped(sentence(finding, gate))}" for finding in told)
    cautions = "\n".join(f"> {escaped(caution)}" for caution in gate.cautions)
    parts = [f"### harness gate {escaped(headline(gate))}", sentences, table, cautions]
    return "\n\n".join(part for part in parts if part) + "\n\n"


def commands(gate: Gate) -> list[str]:
    """Return GitHub's workflow commands: an error for each failure, warnings for what may be one.

    What cannot be told is one warning in all: on a small test part that is said of every model at every commit.
    """
    open_ = [finding for finding in gate.doubtful if finding.verdict == "cannot tell"]
    perhaps = [sentence(finding, gate) for finding in gate.doubtful if finding.verdict != "cannot tell"]
    warnings = _few(perhaps, MOST_ANNOTATIONS - 1)
    if open_:
        names = ", ".join(unique(_name(finding, gate) for finding in open_))
        warnings.append(f"cannot tell whether these are worse{_by_margin(gate)}: {names}")
    errors = _few([sentence(finding, gate) for finding in gate.failing], MOST_ANNOTATIONS)
    return [_command("error", said) for said in errors] + [_command("warning", said) for said in warnings]


def _few(messages: list[str], most: int) -> list[str]:
    if len(messages) <= most:
        return messages
    return [*messages[: most - 1], f"and {len(messages) - most + 1} more, see the log"]


def _command(level: str, message: str) -> str:
    return f"::{level} title=harness gate::{_command_data(message)}"


def _command_data(text: str) -> str:
    """Escaped as GitHub's own toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _sentences(gate: Gate) -> Iterator[str]:
    """A sentence a finding, but one for all that are unchanged."""
    unchanged = unique(_name(finding, gate) for finding in gate.findings if finding.verdict == "unchanged")
    yield from (sentence(finding, gate) for finding in _ordered(gate) if finding.verdict != "unchanged")
    if unchanged:
        yield f"unchanged, every prediction is the same: {', '.join(unchanged)}"


def _ordered(gate: Gate) -> list[Finding]:
    """What fails first, then what cannot be told."""
    first = [*gate.failing, *gate.doubtful]
    return first + [finding for finding in gate.findings if finding not in first]


def _lines(gate: Gate) -> list[list[str]]:
    """A line a finding, what fails first."""
    return [_line(finding, gate) for finding in _ordered(gate)]


def _line(finding: Finding, gate: Gate) -> list[str]:
    loss = finding.loss
    verdict = finding.verdict.upper() if finding in gate.failing else finding.verdict
    cells = [verdict, _shortened(_name(finding, gate)), NAMES.get(finding.metric, finding.metric)]
    if loss is None:
        return [*cells, NONE, NONE, NONE, NONE, NONE]
    lost = NONE if loss.value is None else f"{100 * loss.value:.1f}".replace("-0.0", "0.0")
    bounds = _bounds(finding) or NONE
    return [*cells, _percent(loss.before), _percent(loss.now), lost, bounds, p_value(finding.p)]


def _name(finding: Finding, gate: Gate) -> str:
    """The method, with its recipe where there are several."""
    several = len({finding.recipe for finding in gate.findings}) > 1
    return _plain(finding.method) + (f" [{_plain(finding.recipe)}]" if several else "")


def _shortened(name: str) -> str:
    half = (LONGEST_NAME - 3) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}...{name[-half:]}"


def sentence(finding: Finding, gate: Gate) -> str:
    """Return what was found of one model, in words and on one line."""
    name = _name(finding, gate)
    reason = _plain(finding.reason or "")[:LONGEST_REASON]
    notes = "".join(f" ({_plain(note)})" for note in finding.notes)
    loss, metric = finding.loss, NAMES.get(finding.metric, finding.metric)
    if finding.verdict == "failed":
        return f"{name}: failed now, but not in the base: {reason}"
    if finding.verdict == "missing":
        allowed = ", which is allowed" if gate.allow_missing else ""
        return f"{name}: missing in the new run ({reason}){allowed}"
    if finding.verdict == "still failing":
        return f"{name}: fails, as in the base: {reason}"
    if finding.verdict == "new":
        now = "" if loss is None or loss.now is None else f", {metric} {_percent(loss.now)}"
        return f"{name}: new{now}" + (f"; {reason}" if reason else ", not in the base")
    if finding.verdict == "unchanged":
        value = "undefined" if loss is None else _percent(loss.now)
        return f"{name}: {metric} {value}, unchanged: every prediction is the same{notes}"
    assert loss is not None
    said = f"{name}: {metric} {_percent(loss.before)} -> {_percent(loss.now)}"
    if loss.value is None or finding.p is None:
        return f"{said}: cannot be compared: {reason or 'no test'}{notes}"
    return f"{said}, {_lost(loss.value)} {_bounds(finding)}{notes}{_weaker(finding)}: {_judgement(finding, gate)}"


def _judgement(finding: Finding, gate: Gate) -> str:
    by_margin = _by_margin(gate)
    holm = f" after Holm over {gate.tests} {_tests(gate)}" if gate.tests > 1 else ""
    p, p_any, p_gain = (f"p = {p_value(p)}{holm}" for p in (finding.p, finding.p_any, finding.p_gain))
    if finding.verdict == "worse":
        return f"worse beyond chance{_and_margin(gate)}, {p}"
    if finding.verdict == "better":
        return f"better beyond chance, {p_gain}"
    if finding.verdict == "no worse":
        return f"not worse{by_margin}, by the whole interval"
    if finding.verdict == "perhaps worse":
        return f"worse beyond chance ({p_any}), but not surely{by_margin} ({p}){_smallest(finding)}"
    return f"cannot tell whether it is worse{by_margin}, {p}{_smallest(finding)}"


def _smallest(finding: Finding) -> str:
    if finding.smallest is None:
        return ""
    smallest = f"{100 * finding.smallest:.1f}"
    return f"; a true loss of {smallest} points would be found in {100 * POWER:.0f} % of such gates"


def _tests(gate: Gate) -> str:
    metrics = {finding.metric for finding in gate.findings}
    return "models" if len(metrics) == 1 else "tests of models and metrics"


def _weaker(finding: Finding) -> str:
    return "" if finding.loss is None or finding.loss.paired else ", unpaired"


def _lost(loss: float) -> str:
    points = f"{100 * abs(loss):.1f}"
    if points == "0.0":
        return "0.0 points apart"
    return f"{points} points {'worse' if loss > 0 else 'better'}"


def _bounds(finding: Finding) -> str:
    loss = finding.loss
    if loss is None or loss.low is None or loss.high is None:
        return ""
    return f"[{100 * loss.low:.1f}, {100 * loss.high:.1f}]"


def _margin(gate: Gate) -> str:
    """Return it in points, as it was typed but for a whole number's '.0'."""
    points = round(100 * gate.margin, 9)
    return f"{points:.1f}" if points == round(points, 1) else f"{points:g}"


def _and_margin(gate: Gate) -> str:
    return f" and beyond the margin of {_margin(gate)}" if gate.margin else ""


def _by_margin(gate: Gate) -> str:
    return f" by more than the margin of {_margin(gate)}" if gate.margin else ""


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f}"


def _number(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _plain(text: str) -> str:
    """One line of printable characters: names come from files that anybody may have written."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def as_json(gate: Gate) -> dict[str, Any]:
    """Return everything that was found; losses and margins are shares."""
    return {
        "schema_version": SCHEMA_VERSION,
        "passed": gate.passed,
        "headline": headline(gate),
        "dataset": gate.dataset,
        "protocol": gate.protocol,
        "base": str(gate.base),
        "new": str(gate.new),
        "margin": gate.margin,
        "alpha": ALPHA,
        "level": LEVEL,
        "power": POWER,
        "tests": gate.tests,
        "allow_missing": gate.allow_missing,
        "cautions": gate.cautions,
        "findings": [_entry(finding, gate) for finding in gate.findings],
    }


def _entry(finding: Finding, gate: Gate) -> dict[str, Any]:
    loss = finding.loss
    return {
        "method": finding.method,
        "recipe": finding.recipe,
        "metric": finding.metric,
        "verdict": finding.verdict,
        "fails": finding in gate.failing,
        "warns": finding.verdict in DOUBTFUL,
        "in_words": sentence(finding, gate),
        "before": None if loss is None else loss.before,
        "now": None if loss is None else loss.now,
        "loss": None if loss is None else loss.value,
        "interval": None if loss is None or loss.low is None else [loss.low, loss.high],
        "standard_error": None if loss is None else loss.error,
        "degrees": None if loss is None else loss.degrees,
        "paired": None if loss is None else loss.paired,
        "method_of_test": None if loss is None else loss.method,
        "p_beyond_margin": None if loss is None else loss.p_margin,
        "p_beyond_margin_holm": finding.p,
        "p_worse_holm": finding.p_any,
        "p_better_holm": finding.p_gain,
        "smallest_loss": finding.smallest,
        "reason": finding.reason,
        "notes": finding.notes,
    }
