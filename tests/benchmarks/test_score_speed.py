"""`harness score` of two datasets, twelve models and five seeds: the promise is a minute."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from many_records import write_many

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LIMIT_CPU_SECONDS = 30
"""Half of the promised minute: CPU time leaves out what a busy machine adds. docs/scoring.md says what was measured."""


def test_a_hundred_and_twenty_records_take_less_than_half_a_minute(tmp_path: Path) -> None:
    assert write_many(tmp_path / "runs") == 120
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "harness", "score", str(tmp_path / "runs"), "-o", str(tmp_path / "out")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert (tmp_path / "out" / "sars-cov-2-ct" / "official.md").is_file()
    assert spent < LIMIT_CPU_SECONDS, f"{spent:.1f} CPU seconds"
