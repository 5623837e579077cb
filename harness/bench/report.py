"""What `harness bench` found, as a table, as JSON and as GitHub's summary of a job."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.bench.racing import Race, Timing

__all__ = ["as_json", "as_markdown", "as_table"]

COLUMNS = ("workload", "ms", "spread", "images/s", "work of a call")
LEGEND = (
    "ratio: the time here over that before, its median over pairs of processes, each of which counts once; "
    "the interval covers what differs between processes and between rounds"
)
PAIRED = ("workload", "ms", "before", "ratio", "95 % interval", "work of a call", "verdict")


def as_table(races: Sequence[Race], *, paired: bool, format_: str = "simple") -> str:
    """Return one line a workload, in one of the formats of tabulate; below it, what a ratio is."""
    from tabulate import tabulate

    lines = [_paired_line(race) if paired else _line(race) for race in races]
    table = tabulate(lines, headers=PAIRED if paired else COLUMNS, tablefmt=format_, disable_numparse=True)
    return f"{table}\n\n{LEGEND}" if paired else table


def as_markdown(races: Sequence[Race], title: str, *, paired: bool) -> str:
    """Return a section with the table."""
    return f"### {title}\n\n{as_table(races, paired=paired, format_='github')}\n"


def as_json(races: Sequence[Race], **about: Any) -> dict[str, Any]:
    """Return everything that was measured, as JSON can hold it."""
    return {**about, "workloads": [_entry(race) for race in races]}


def _line(race: Race) -> list[str]:
    if race.ours is None:
        return [race.name, race.verdict, "", "", ""]
    return [
        race.name,
        _milliseconds(race.ours),
        f"± {race.ours.spread:.0%}",
        _throughput(race.ours),
        _work(race.ours.work, None),
    ]


def _paired_line(race: Race) -> list[str]:
    ours = _milliseconds(race.ours)
    if race.bounds is None or race.ours is None or race.other is None:
        return [race.name, ours, "", "", "", "", race.verdict]
    low, ratio, high = race.bounds
    interval = "none" if math.isinf(low) else f"{low:.3f} to {high:.3f}"
    work = _work(race.ours.work, race.other.work)
    return [race.name, ours, _milliseconds(race.other), f"{ratio:.3f}", interval, work, race.verdict]


def _milliseconds(timing: Timing | None) -> str:
    return "" if timing is None else f"{timing.median * 1e3:.4g}"


def _throughput(timing: Timing) -> str:
    return "" if timing.images is None else f"{timing.images / timing.median:.4g}"


def _work(ours: dict[str, int], other: dict[str, int] | None) -> str:
    """Return the counters of a call; where the other commit's differ, both: 'grams 4 (before: 2)'."""
    said = []
    for name in sorted({**ours, **(other or {})}):
        now, before = ours.get(name, 0), (ours if other is None else other).get(name, 0)
        said.append(f"{name} {now}" + (f" (before: {before})" if now != before else ""))
    return ", ".join(said)


def _entry(race: Race) -> dict[str, Any]:
    low, ratio, high = race.bounds or (None, None, None)
    settled = low is not None and math.isfinite(low)
    return {
        "name": race.name,
        "about": race.about,
        "verdict": race.verdict,
        "ratio": ratio,
        "interval": [low, high] if settled else None,
        "ratios": race.ratios,
        "rounds": sum(len(session) for session in race.sessions),
        "ours": _timing(race.ours),
        "other": _timing(race.other),
    }


def _timing(timing: Timing | None) -> dict[str, Any] | None:
    if timing is None:
        return None
    return {
        "seconds": timing.median,
        "spread": timing.spread,
        "images": timing.images,
        "work": timing.work,
        "rounds": timing.seconds,
    }
