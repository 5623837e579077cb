from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness import machine
from harness.errors import UsageError
from harness.machine import (
    available_memory_mb,
    choose_device,
    device_name,
    granted_cores,
    limit_threads,
    peak_memory_mb,
    versions,
)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_affinity", lambda: 8)


def system(root: Path, cgroup: str, **files: str) -> Path:
    """Lay out a /proc and a /sys below `root`; `__` in a file's name stands for a slash, `_DOT_` for a dot."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.usefixtures("eight_cores")
class TestGrantedCores:
    def test_are_those_of_the_affinity_where_no_quota_is_set(self, tmp_path: Path) -> None:
        assert granted_cores(tmp_path) == 8
        assert granted_cores(system(tmp_path, "0::/\n", cpu_DOT_max="max 100000\n")) == 8

    def test_obey_the_quota_of_version_2(self, tmp_path: Path) -> None:
        root = system(tmp_path, "0::/job\n", job__cpu_DOT_max="300000 100000\n")
        assert granted_cores(root) == 3

    def test_round_a_fraction_down_but_never_to_none(self, tmp_path: Path) -> None:
        assert granted_cores(system(tmp_path / "a", "0::/\n", cpu_DOT_max="250000 100000")) == 2
        assert granted_cores(system(tmp_path / "b", "0::/\n", cpu_DOT_max="20000 100000")) == 1

    def test_obey_the_smallest_quota_of_all_groups_above(self, tmp_path: Path) -> None:
        root = system(
            tmp_path,
            "0::/batch/job\n",
            batch__job__cpu_DOT_max="max 100000",
            batch__cpu_DOT_max="200000 100000",
            cpu_DOT_max="600000 100000",
        )
        assert granted_cores(root) == 2

    @pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
    def test_obey_the_quota_of_version_1(self, tmp_path: Path, mount: str) -> None:
        root = system(
            tmp_path,
            "4:memory:/m\n3:cpu,cpuacct:/docker/1\n",
            **{
                f"{mount}__docker__1__cpu_DOT_cfs_quota_us": "400000\n",
                f"{mount}__docker__1__cpu_DOT_cfs_period_us": "100000\n",
            },
        )
        assert granted_cores(root) == 4

    def test_ignore_a_quota_of_minus_one(self, tmp_path: Path) -> None:
        root = system(
            tmp_path, "1:cpu:/\n", cpu__cpu_DOT_cfs_quota_us="-1", cpu__cpu_DOT_cfs_period_us="100000"
        )
        assert granted_cores(root) == 8

    @pytest.mark.parametrize("content", ["", "x", "5", "5 0", "a b", "1 2 3 4"])
    def test_survive_a_file_that_makes_no_sense(self, tmp_path: Path, content: str) -> None:
        assert 1 <= granted_cores(system(tmp_path, "0::/\nnonsense\n\n", cpu_DOT_max=content)) <= 8

    def test_never_exceed_the_affinity(self, tmp_path: Path) -> None:
        assert granted_cores(system(tmp_path, "0::/\n", cpu_DOT_max="6400000 100000")) == 8


class TestAvailableMemory:
    def test_is_without_limit_where_the_system_says_nothing(self, tmp_path: Path) -> None:
        assert available_memory_mb(tmp_path) == float("inf")

    def test_is_what_is_free_without_swapping(self, tmp_path: Path) -> None:
        root = system(tmp_path, "0::/\n", memory_DOT_max="max\n", memory_DOT_current="5\n")
        (root / "proc/meminfo").write_text("MemTotal:       20000 kB\nMemAvailable:    4000 kB\n")
        assert available_memory_mb(root) == 4.096

    def test_obeys_the_limit_of_version_2_with_cached_files_given_up(self, tmp_path: Path) -> None:
        files = {"memory_DOT_max": "9000000\n", "memory_DOT_current": "8000000\n"}
        root = system(tmp_path, "0::/job\n", **{f"job__{name}": text for name, text in files.items()})
        assert available_memory_mb(root) == 1.0
        (root / "sys/fs/cgroup/job/memory.stat").write_text("anon 1000000\ninactive_file 6500000\n")
        assert available_memory_mb(root) == 7.5

    def test_obeys_the_limit_of_version_1(self, tmp_path: Path) -> None:
        files = {"limit_in_bytes": "9000000\n", "usage_in_bytes": "9500000\n"}
        root = system(
            tmp_path, "4:memory:/job\n", **{f"memory__job__memory_DOT_{k}": v for k, v in files.items()}
        )
        assert available_memory_mb(root) == 0.0


def test_granted_cores_of_this_machine_are_at_least_one() -> None:
    assert 1 <= granted_cores() <= (os.cpu_count() or 1)


def test_the_peak_covers_memory_that_is_held_no_longer() -> None:
    before = peak_memory_mb()
    block = np.ones(15_000_000)
    del block
    assert peak_memory_mb() >= max(before, 120)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can reset the peak")
def test_the_peak_can_be_counted_from_now_on() -> None:
    code = """
from harness import machine
block = bytearray(300_000_000)
high = machine.peak_memory_mb()
del block
print(machine.reset_peak_memory(), high > 300, machine.peak_memory_mb() < 200)
"""
    assert run(code) == "True True True"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is inherited on Linux")
def test_a_process_does_not_inherit_the_peak_of_its_parent() -> None:
    code = """
import subprocess, sys
block = bytearray(400_000_000)
subprocess.run([sys.executable, "-c", "from harness.machine import peak_memory_mb; print(peak_memory_mb())"])
"""
    assert float(run(code)) < 200


def test_versions_name_what_computes_numbers_and_import_none_of_it() -> None:
    code = """
import sys
from harness.machine import versions
found = versions()
print(*sorted(found), *({"torch", "numpy", "sklearn", "scipy", "PIL"} & set(sys.modules)))
"""
    assert run(code) == "numpy optuna pillow python scikit-learn scipy timm torch torchvision"


def test_versions_leave_out_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "NUMERICAL", ("numpy", "no-such-distribution"))
    machine._versions.cache_clear()
    try:
        assert set(versions()) == {"python", "numpy"}
    finally:
        machine._versions.cache_clear()


def test_the_processor_has_a_name_of_one_line() -> None:
    name = device_name("cpu")
    assert name == name.strip() != ""
    assert "\n" not in name


class TestChooseDevice:
    def test_takes_the_processor_when_asked_to(self) -> None:
        assert choose_device("cpu") == "cpu"

    def test_answers_auto_without_torch_where_there_is_no_driver(self) -> None:
        code = """
import sys
from harness import machine
machine.DRIVER_LIBRARIES = ("libno-such-driver.so.1",)
print(machine.choose_device("auto"), "torch" in sys.modules)
"""
        assert run(code) == "cpu False"

    @pytest.mark.parametrize(("devices", "expected"), [(0, "cpu"), (2, "cuda")])
    def test_answers_auto_by_what_torch_can_use_where_there_is_a_driver(
        self, monkeypatch: pytest.MonkeyPatch, devices: int, expected: str
    ) -> None:
        monkeypatch.setattr(machine, "_driver_is_there", lambda: True)
        monkeypatch.setattr(machine, "_cuda_devices", lambda: devices)
        assert choose_device("auto") == expected

    @pytest.mark.parametrize("requested", ["cuda", "cuda:0", "cuda:7"])
    def test_refuses_a_graphics_card_that_is_not_there(
        self, monkeypatch: pytest.MonkeyPatch, requested: str
    ) -> None:
        monkeypatch.setattr(machine, "_cuda_devices", lambda: 0)
        with pytest.raises(UsageError, match=f"device '{requested}' is not there: torch finds none here"):
            choose_device(requested)

    def test_counts_devices_from_zero(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "_cuda_devices", lambda: 2)
        assert [choose_device(d) for d in ("cuda", "cuda:0", "cuda:01")] == ["cuda", "cuda:0", "cuda:1"]
        with pytest.raises(UsageError, match="this machine has 2, counted from 0"):
            choose_device("cuda:2")

    @pytest.mark.parametrize("requested", ["gpu", "", "mps", "cuda:", "cuda:-1", "cuda:x", "CPU", "cuda:1\n"])
    def test_refuses_what_is_no_device(self, requested: str) -> None:
        with pytest.raises(UsageError, match="expected 'auto', 'cpu', 'cuda' or 'cuda:N'") as error:
            choose_device(requested)
        assert "\n" not in str(error.value)


class TestLimitThreads:
    @pytest.fixture(autouse=True)
    def _restored(self) -> Iterator[None]:
        before = {name: os.environ.get(name) for name in machine.THREAD_VARIABLES}
        yield
        limit_threads(int(before["OMP_NUM_THREADS"] or 1))
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def test_holds_for_torch_and_for_processes_started_later(self) -> None:
        import torch

        limit_threads(1)
        assert torch.get_num_threads() == 1
        assert run("import os; print(os.environ['OMP_NUM_THREADS'])") == "1"

    def test_holds_for_a_blas_that_is_loaded_already(self) -> None:
        from threadpoolctl import threadpool_info

        np.ones((4, 4)) @ np.ones((4, 4))
        limit_threads(1)
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}

    def test_does_not_import_torch(self) -> None:
        assert (
            run("import sys; from harness.machine import *; limit_threads(1); print('torch' in sys.modules)")
            == "False"
        )

    @pytest.mark.parametrize("n", [0, -2])
    def test_refuses_less_than_one(self, n: int) -> None:
        with pytest.raises(UsageError, match="expected at least 1 thread"):
            limit_threads(n)


def test_the_memory_of_a_processor_is_not_told_as_that_of_a_graphics_card():
    assert machine.peak_device_memory_mb("cpu") is None


def test_a_graphics_card_is_asked_for_its_own_peak(monkeypatch):
    import torch

    reset = []
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: {"cuda:1": 2_500_000_000}[device])
    monkeypatch.setattr(torch.cuda, "init", lambda: reset.append("init"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    machine.reset_peak_memory("cuda:1")
    assert reset == ["init", "cuda:1"]
    assert machine.peak_device_memory_mb("cuda:1") == 2500.0
