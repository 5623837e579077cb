from __future__ import annotations

import pytest

from harness import machine
from harness.errors import UsageError
from harness.executors import WORKER_MEMORY_MB, executor_of, sensible_workers


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "granted_cores", lambda: 8)
    monkeypatch.setattr(machine, "available_memory_mb", lambda: float("inf"))


@pytest.mark.parametrize("workers", [0, -1])
def test_no_worker_at_all_is_refused(workers: int) -> None:
    with pytest.raises(UsageError, match=f"--workers must be at least 1, got {workers}"):
        executor_of(workers)


@pytest.mark.usefixtures("eight_cores")
class TestSensibleWorkers:
    def test_leave_a_gpu_to_one_cell_at_a_time(self) -> None:
        assert sensible_workers("cuda:0", 10) == 1

    def test_are_no_more_than_there_are_cells_or_cores(self) -> None:
        assert [sensible_workers("cpu", n) for n in (0, 1, 3, 20)] == [1, 1, 3, 8]

    def test_fit_into_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "available_memory_mb", lambda: 2.5 * WORKER_MEMORY_MB)
        assert sensible_workers("cpu", 20) == 2
        monkeypatch.setattr(machine, "available_memory_mb", lambda: 0.5 * WORKER_MEMORY_MB)
        assert sensible_workers("cpu", 20) == 1
