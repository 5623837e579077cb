"""Real papers against their figures by hand.

HARNESS_PDFS is a folder that holds papers/, malformed/ and ground_truth.json.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from harness.figures.documents import Unopened, read_document
from harness.figures.figure_files import as_json
from harness.figures.score_report import measures, report
from harness.figures.scoring import read_figures, scored

PDFS = Path(os.environ.get("HARNESS_PDFS", ""))

pytestmark = pytest.mark.data("pdfs")

LEAST_F1 = 0.92
LEAST_CAPTIONS = 0.9
LEAST_PAGES_A_SECOND = 3.0
SECONDS_A_FILE = 60.0


def test_real_papers_reach_the_figures_asked_for(tmp_path: Path) -> None:
    begun = time.process_time()
    found = [as_json(read_document(path, tmp_path)) for path in sorted((PDFS / "papers").glob("*.pdf"))]
    seconds = time.process_time() - begun
    result = scored(found, read_figures(PDFS / "ground_truth.json"))
    values = measures(result.whole)
    said = report(result)
    assert values["f1"] is not None
    assert values["captions"] is not None
    assert values["f1"] >= LEAST_F1, said
    assert values["captions"] >= LEAST_CAPTIONS, said
    assert sum(one["pages"] for one in found) / seconds >= LEAST_PAGES_A_SECOND


def test_malformed_files_pass_without_a_crash_or_a_hang(tmp_path: Path) -> None:
    paths = sorted((PDFS / "malformed").iterdir())
    assert paths
    for path in paths:
        begun = time.process_time()
        with contextlib.suppress(Unopened):
            read_document(path, tmp_path)
        assert time.process_time() - begun < SECONDS_A_FILE, path
