"""The second layer that guards speed: real functions against frozen kernels, in one process. docs/benchmarks.md.

pytest tests/benchmarks -m slow --benchmark-enable
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workloads
from workloads import Workload

from harness.bench import compare, slowed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Make = Callable[[Path], Workload]

WATCHED: dict[str, Make] = {
    "xdnn-fit": lambda folder: workloads.xdnn_fit(),
    "scorer": lambda folder: workloads.scorer(),
    "feature-cache": lambda folder: workloads.feature_cache(folder / "dataset", folder / "cache"),
}

PROMISED: dict[str, Make] = {
    "extraction": lambda folder: workloads.extraction(folder / "dataset", folder / "cache"),
    "training": lambda folder: workloads.training(),
}


def measured(benchmark: Any, workload: Workload, **options: Any) -> None:
    """Report absolute times with pytest-benchmark, and fail unless the ratio is within the limit."""
    benchmark.pedantic(workload.function, rounds=3)
    found = workload.compared(**options)
    benchmark.extra_info["comparison"] = str(found)
    assert found.passed, found


@pytest.mark.parametrize("name", WATCHED)
def test_it_takes_no_longer_than_it_did(benchmark: Any, tmp_path: Path, name: str) -> None:
    measured(benchmark, WATCHED[name](tmp_path))


@pytest.mark.parametrize("name", PROMISED)
def test_it_is_nearly_as_fast_as_a_bare_loop(benchmark: Any, tmp_path: Path, name: str) -> None:
    measured(benchmark, PROMISED[name](tmp_path), looks=workloads.LONG_LOOKS)


@pytest.mark.parametrize("name", WATCHED)
def test_the_gate_is_silent_where_nothing_differs(tmp_path: Path, name: str) -> None:
    workload = WATCHED[name](tmp_path)
    for seed in range(2):
        found = compare(workload.function, workload.function, limit=workloads.SLACK, seed=seed)
        assert found.passed, found


@pytest.mark.parametrize("name", WATCHED)
def test_the_gate_finds_a_function_that_does_15_percent_more(tmp_path: Path, name: str) -> None:
    workload = WATCHED[name](tmp_path)
    found = workload.compared(slowed(workload.function, 0.15, workload.unit))
    assert found.verdict == "slower", found
