"""`harness report`: everything that the records say, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options

EPILOG = """\b
Examples:
  harness report
  harness report leaderboards -o report.html
  harness report --images --data-root ~/data -o with-images.html
"""


def add_to(app: typer.Typer) -> None:
    app.command("report", epilog=EPILOG)(report)


def report(
    runs: Annotated[
        Path,
        typer.Argument(metavar="[RUNS]", help="Folder of boards and runs, or the folder of runs itself."),
    ] = Path("leaderboards"),
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file to write.")] = Path("report.html"),
    images: Annotated[
        bool, typer.Option("--images", help="Put thumbnails of missed images and prototypes into the file.")
    ] = False,
    data_root: options.DataRoot = None,
) -> None:
    """Write one HTML file that needs no network: boards, curves, costs, verdicts, and the cells behind each number.

    Made from records alone. With --images the datasets are opened too, and the file holds small copies of
    their images: pass it on only as their licences allow, which it states.
    """
    from harness.cli.live import Live, say
    from harness.folders import bundled
    from harness.published import load_published
    from harness.records import read_records
    from harness.report import write_report
    from harness.scoring import runs_folder

    folder = runs_folder(runs)
    with Live() as live:
        path = write_report(
            read_records(folder),
            load_published(bundled("leaderboards")),
            out,
            explanations=folder.parent / "explanations",
            images=images,
            data_root=data_root,
            progress=live.stage,
        )
    say(f"written: {path} ({path.stat().st_size / 1e6:.2f} MB)")
