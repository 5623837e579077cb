"""Tables, sentences and values of calibration and worst subgroups, the same for every file format of a board."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.board_tables import NO_INTERVAL, NONE, Table
from harness.intervals import LEVEL, Interval
from harness.paired import ALPHA
from harness.schemas import portable
from harness.subgroups import FEWEST_IMAGES, FEWEST_PATIENTS, OTHER_SOURCES

if TYPE_CHECKING:
    from harness.board_reliability import Reliability
    from harness.board_rows import Row
    from harness.boards import Section
    from harness.calibration import Calibration, Estimate

__all__ = ["reliability_cells", "reliability_json", "reliability_tables"]

LONGEST_NAME = 32
"""Characters of a subgroup's name that a table shows; the JSON holds all of it."""


def reliability_tables(section: Section) -> dict[str, tuple[Table, list[str]]]:
    """Return both tables by their titles, each with what is to be said below it."""
    return {
        "Worst group": (_worst_group_table(section), _worst_group_text(section)),
        "Calibration": (_calibration_table(section), _calibration_text(section)),
    }


def _worst_group_table(section: Section) -> Table:
    """Return the subgroup that each row does worst on; no rows where every subgroup is too small."""
    table = Table(
        ["Method", "Worst group", "Accuracy there", "Images", "Patients"],
        frozenset({"Method", "Worst group"}),
    )
    for name, subgroups in _of(section, lambda row: row.subgroups):
        worst = subgroups.worst
        if worst is not None:
            patients = str(worst.units) if subgroups.grouped else "unknown"
            accuracy = f"{100 * worst.accuracy:.2f} {_percents(worst.chosen)}"
            table.rows.append([name, _short(worst.name), accuracy, str(worst.images), patients])
    return table


def _worst_group_text(section: Section) -> list[str]:
    """Return how the subgroups were made, and what choosing the lowest does to it."""
    found = [subgroups for _, subgroups in _of(section, lambda row: row.subgroups)]
    if not found:
        return []
    by_source, grouped = any(s.by_source for s in found), any(s.grouped for s in found)
    patients = f" and {FEWEST_PATIENTS} patients" if grouped else ""
    least = f"at least {FEWEST_IMAGES} images{patients}"
    made = (
        f"class and source, with {least} (smaller ones: '{OTHER_SOURCES}' of their class)"
        if by_source
        else f"the classes, since no record says which source an image comes from; {least}"
    )
    counts = sorted({len(s.groups) for s in found})
    left_out = max(s.left_out for s in found)
    return [
        f"Groups: {made}; {' or '.join(map(str, counts))} of them. The worst is the one with the lowest accuracy, and "
        "looks worse than it is for being chosen so. In brackets, therefore, its interval at level "
        f"1 - {100 * ALPHA:.0f} % / number of groups (Bonferroni), which allows for the choice."
        + (f" {left_out} images belong to groups that are too small." if left_out else "")
    ]


def _calibration_table(section: Section) -> Table:
    """Return the calibration of each row that has any."""
    table = Table(["Method", "Cal. error", "ECE (chance)", "Slope", "Intercept"], frozenset({"Method"}))
    for name, found in _of(section, lambda row: row.calibration):
        chance = NONE if found.ece_if_calibrated is None else f"{100 * found.ece_if_calibrated:.1f}"
        ece = NONE if found.ece.value is None else f"{100 * found.ece.value:.1f} ({chance})"
        table.rows.append(
            [name, _estimate(found.error, 100), ece, _estimate(found.slope), _estimate(found.intercept)]
        )
    return table


def _calibration_text(section: Section) -> list[str]:
    """Return what the columns of `_calibration_table` mean, and why values are missing."""
    found = _of(section, lambda row: row.calibration)
    if not found:
        return []
    bins = sorted({calibration.bins for _, calibration in found if calibration.bins})
    what = (
        "the largest probability against whether the decision is right"
        if any(calibration.top_label for _, calibration in found)
        else "the positive class's probability against its presence"
    )
    over = (
        f"over {' or '.join(map(str, bins))} bins of equally many images" if bins else "over bins of images"
    )
    return [
        f"Calibration compares {what}. Cal. error (points) is the root mean square difference {over}, less what chance "
        "makes of it. ECE is the mean absolute difference, as papers report it: test parts of this size make it "
        "large even of a perfectly calibrated model, on average as large as the number beside it. Slope 1 and "
        "intercept 0 are perfect: a slope below 1 says that the probabilities are too extreme, an intercept above 0 "
        "that they are too low.",
        *_missing(found),
    ]


def _missing(found: Sequence[tuple[str, Calibration]]) -> list[str]:
    """Why a value or an interval is not there, each reason once with the methods it holds of."""
    columns: dict[str, Callable[[Calibration], Estimate]] = {
        "calibration error": lambda calibration: calibration.error,
        "slope": lambda calibration: calibration.slope,
        "intercept": lambda calibration: calibration.intercept,
    }
    methods: dict[tuple[str, str], list[str]] = {}
    for name, calibration in found:
        told: dict[str, list[str]] = {}
        for column, estimate_of in columns.items():
            if (reason := _reason(estimate_of(calibration))) is not None:
                told.setdefault(reason, []).append(column)
        for reason, missing in told.items():
            methods.setdefault((" and ".join(missing), reason), []).append(name)
    return [f"No {what} of {', '.join(names)}: {reason}." for (what, reason), names in methods.items()]


def _reason(estimate: Estimate) -> str | None:
    if estimate.value is None:
        return estimate.reason
    return None if estimate.interval is None else estimate.interval.reason


def _of(section: Section, part: Callable[[Reliability], Any]) -> list[tuple[str, Any]]:
    return [(row.shown, part(row.reliability)) for row in section.rows if row.reliability is not None]


def _estimate(estimate: Estimate, factor: int = 1) -> str:
    """Percent with one decimal, or as it is with two; the interval with as many."""
    if estimate.value is None:
        return NONE
    digits = 1 if factor > 1 else 2
    value = f"{factor * estimate.value + 0.0:.{digits}f}"
    interval = estimate.interval
    if interval is None or interval.low is None or interval.high is None:
        return f"{value} {NO_INTERVAL}"
    return f"{value} [{factor * interval.low:.{digits}f}, {factor * interval.high:.{digits}f}]"


def _percents(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return NO_INTERVAL
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3].rstrip()}..."


def reliability_json(row: Row) -> dict[str, Any]:
    """Return all that is known of a row's calibration and of its subgroups, null where it failed."""
    if row.reliability is None:
        return {"calibration": None, "subgroups": None}
    found, subgroups = row.reliability.calibration, row.reliability.subgroups
    groups = [asdict(group) for group in subgroups.groups]
    return _rounded(
        {
            "calibration": asdict(found) | {"level": LEVEL},
            "subgroups": {
                "by": "class and source" if subgroups.by_source else "class",
                "fewest_images": FEWEST_IMAGES,
                "fewest_patients": FEWEST_PATIENTS if subgroups.grouped else None,
                "left_out": subgroups.left_out,
                "reason": subgroups.reason,
                "groups": groups,
            },
        }
    )


def reliability_cells(row: Row) -> dict[str, Any]:
    """Return the columns of a CSV's line: worst group, calibration error, ECE, slope, intercept, with their bounds."""
    reliability = row.reliability
    worst = None if reliability is None else reliability.subgroups.worst
    line: dict[str, Any] = {
        "worst_group": None if worst is None else worst.name,
        "worst_group_images": None if worst is None else worst.images,
        "worst_group_accuracy": None if worst is None else worst.accuracy,
        **_bounds("worst_group_accuracy", None if worst is None else worst.chosen),
    }
    calibration = None if reliability is None else reliability.calibration
    for name in ("calibration_error", "calibration_slope", "calibration_intercept"):
        estimate = None if calibration is None else getattr(calibration, name.removeprefix("calibration_"))
        line[name] = None if estimate is None else estimate.value
        line |= _bounds(name, None if estimate is None else estimate.interval)
    line["ece"] = None if calibration is None else calibration.ece.value
    line["ece_if_calibrated"] = None if calibration is None else calibration.ece_if_calibrated
    return _rounded(line)


def _bounds(name: str, interval: Interval | None) -> dict[str, Any]:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {f"{name}_low": low, f"{name}_high": high}


def _rounded(value: Any) -> Any:
    """Nine digits of every number: the last ones differ between processors."""
    if isinstance(value, float):
        return portable(value)
    if isinstance(value, Mapping):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
