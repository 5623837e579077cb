"""Other processes: how the harness is started, waiting until a claim is true, a file is written, one has ended."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path


def command(*arguments: object) -> list[str]:
    """What starts the harness with these arguments in a process of its own."""
    return [sys.executable, "-m", "harness", *map(str, arguments)]


def until(claim: Callable[[], object], seconds: float = 60.0) -> bool:
    """True as soon as the claim is; False when it is not within these seconds."""
    end = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def wait_for(path: Path) -> None:
    """Wait until the file is there and not empty."""
    assert until(lambda: path.exists() and path.read_text()), f"{path.name} was not written"


def running(pid: int) -> bool:
    """True while the process lives; one that has ended and was not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def interruptible() -> None:
    """A shell starts its background jobs deaf to Ctrl-C, and tests may be one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
