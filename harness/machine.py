"""What this machine grants a process: cores, memory, devices, and the versions that change numbers."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from harness.errors import UsageError

__all__ = [
    "NUMERICAL",
    "available_memory_mb",
    "choose_device",
    "device_name",
    "granted_cores",
    "limit_threads",
    "peak_device_memory_mb",
    "peak_memory_mb",
    "reset_peak_memory",
    "versions",
]

NUMERICAL = ("numpy", "scipy", "scikit-learn", "torch", "torchvision", "timm", "pillow", "optuna")
"""Distributions whose version can change a prediction."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
DRIVER_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")


def granted_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, at least 1.

    The smaller of its affinity and the CPU quota of its control groups (versions 1 and 2), which is
    how containers and batch systems limit a job; a quota of 2.5 cores counts as 2. `root` is where
    `proc` and `sys` are looked for.
    """
    return max(1, int(min([_affinity(), *_quotas(root)])))


def available_memory_mb(root: Path = Path("/")) -> float:
    """Return how much memory this process may still take, in 10^6 bytes; infinite where the system doesn't say.

    The smaller of what is free without swapping and what the control groups leave.
    """
    match = re.search(r"^MemAvailable:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    free = int(match[1]) * 1024 / 1e6 if match else float("inf")
    return min([free, *_memory_left_mb(root)])


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in 10^6 bytes.

    So far: since its start, or since `reset_peak_memory`.
    """
    # Unlike ru_maxrss, which a child inherits from its parent, this belongs to the process alone.
    match = re.search(r"^VmHWM:\s*(\d+) kB", _text(Path("/proc/self/status")), re.MULTILINE)
    if match:
        return int(match[1]) * 1024 / 1e6
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def peak_device_memory_mb(device: str) -> float | None:
    """Return the most memory that torch took of a graphics card since `reset_peak_memory`, in 10^6 bytes.

    None for the CPU, whose memory `peak_memory_mb` tells.
    """
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device) / 1e6


def reset_peak_memory(device: str = "cpu") -> bool:
    """Let `peak_memory_mb` count from now on, and what is said of a graphics card too.

    Return whether the system can do the first (Linux can).
    """
    if device.startswith("cuda"):
        import torch

        torch.cuda.init()  # before that there is nothing to reset, and 'cuda:0' raises
        torch.cuda.reset_peak_memory_stats(device)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def device_name(kind: str) -> str:
    """Return what the processor ('cpu') or graphics card ('cuda', 'cuda:1') calls itself."""
    if kind.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(kind))
    match = re.search(r"^model name\s*:\s*(.+)$", _text(Path("/proc/cpuinfo")), re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine() or "unknown"


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for name in NUMERICAL:
        with suppress(PackageNotFoundError):  # an absent distribution changes nothing
            found.append((name, version(name)))
    return tuple(found)


def versions() -> dict[str, str]:
    """Return the versions of Python and of what computes numbers, without importing any of it."""
    return dict(_versions())


def choose_device(requested: str) -> str:
    """Return 'cpu', 'cuda' or 'cuda:N' for 'auto' or one of these.

    'auto' takes the graphics card that torch can use, else the processor; where there is no
    NVIDIA driver it answers without importing torch. Raises `UsageError` for a device that is
    not there.
    """
    if requested == "cpu":
        return "cpu"
    if requested == "auto":
        return "cuda" if _driver_is_there() and _cuda_devices() else "cpu"
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", requested)
    if match is None:
        raise UsageError(f"unknown device {requested!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:N'")
    number = int(match[1] or 0)
    devices = _cuda_devices()
    if number >= devices:
        there = f"this machine has {devices}, counted from 0" if devices else "torch finds none here"
        raise UsageError(f"device {requested!r} is not there: {there}; use 'cpu' or 'auto'")
    return requested if match[1] is None else f"cuda:{number}"


def limit_threads(n: int) -> None:
    """Let BLAS, OpenMP and torch use at most `n` threads, in this process and in those it starts."""
    if n < 1:
        raise UsageError(f"expected at least 1 thread, got {n!r}")
    for name in THREAD_VARIABLES:
        os.environ[name] = str(n)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(n)
    if "numpy" in sys.modules:
        # Libraries that are loaded already have read their variables.
        from threadpoolctl import threadpool_limits

        threadpool_limits(n)


def _driver_is_there() -> bool:
    """Return whether NVIDIA's driver library can be loaded; nothing is initialised."""
    for name in DRIVER_LIBRARIES:
        with suppress(OSError):
            ctypes.CDLL(name)
            return True
    return False


def _cuda_devices() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> list[float]:
    """Return the CPU quotas, in cores, of the control groups that this process is in."""
    found: list[float | None] = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            found += [_quota_v2(folder) for folder in _upwards(root / "sys/fs/cgroup", group)]
        elif "cpu" in controllers.split(","):
            for mount in (controllers, "cpu"):
                found += [_quota_v1(folder) for folder in _upwards(root / "sys/fs/cgroup" / mount, group)]
    return [quota for quota in found if quota is not None]


def _memory_left_mb(root: Path) -> list[float]:
    """Return what the control groups (versions 1 and 2) that this process is in leave of their limits."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            folders = _upwards(root / "sys/fs/cgroup", group)
            found += [_left_mb(folder, "memory.max", "memory.current", "inactive_file") for folder in folders]
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            found += [_left_mb(f, *names) for f in _upwards(root / "sys/fs/cgroup/memory", group)]
    return found


def _left_mb(folder: Path, limit_name: str, used_name: str, cached_name: str) -> float:
    """Return a limit less what is used of it; cached files are given up on demand and don't count as used."""
    limit, used = _text(folder / limit_name).strip(), _text(folder / used_name).strip()
    if not limit.isdecimal() or not used.isdecimal():
        return float("inf")
    match = re.search(rf"^{cached_name} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
    cached = int(match[1]) if match else 0
    return max(0, int(limit) - int(used) + cached) / 1e6


def _upwards(mount: Path, group: str) -> list[Path]:
    """Return the folders of a control group and of all above it: each of them limits."""
    path = PurePosixPath("/", group.lstrip("/"))
    return [mount / str(part).lstrip("/") for part in (path, *path.parents)]


def _quota_v2(folder: Path) -> float | None:
    return _ratio(*[*_text(folder / "cpu.max").split(), "", ""][:2])


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _ratio(quota_us: str, period_us: str) -> float | None:
    """Return the quotient of two positive integers, None for 'max', '-1' and absent files."""
    quota, period = quota_us.strip(), period_us.strip()
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _text(path: Path) -> str:
    """Return what a file of the system says, '' when it is not there."""
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
