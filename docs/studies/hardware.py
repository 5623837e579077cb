"""What records say of the hardware: images a second, seconds a row, peak memory.

python docs/studies/hardware.py OUT             # OUT/runs holds the records, as 'harness run -o OUT' leaves them
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from tabulate import tabulate

from harness.records import read_records

HEADINGS = (
    "dataset",
    "row",
    "recipe",
    "device",
    "arithmetic",
    "seeds",
    "images/s",
    "tune s",
    "fit s",
    "MB",
    "device MB",
)


def rows(out: Path) -> list[list[Any]]:
    """Return a row a method, dataset and recipe: means over its finished cells, '-' for what was not recorded."""
    cells = defaultdict(list)
    for record in read_records(out / "runs"):
        manifest = record.manifest
        if record.complete and manifest["durations"]:
            model = manifest["model"]
            name = model["label"] if model["variant"] is None else f"{model['label']} ({model['variant']})"
            cells[manifest["dataset"]["name"], name, manifest["recipe"], manifest["device"]["name"]].append(
                manifest
            )
    return [
        [
            *place,
            next((m["training"]["arithmetic"] for m in found if m.get("training")), "-"),
            len(found),
            average([m["training"]["images_per_second"] for m in found if m.get("training")]),
            average([m["durations"].get("tune_seconds") for m in found]),
            average([m["durations"].get("fit_seconds") for m in found]),
            average([m["peak_memory_mb"] for m in found]),
            average([m.get("peak_device_memory_mb") for m in found]),
        ]
        for place, found in sorted(cells.items())
    ]


def average(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.1f}" if known else "-"


if __name__ == "__main__":
    print(
        tabulate(
            rows(Path(sys.argv[1] if len(sys.argv) > 1 else "leaderboards")), HEADINGS, tablefmt="github"
        )
    )
