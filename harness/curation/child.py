"""The process that reads one PDF and may die of it: `python -m harness.curation.child [JSON]`.

It limits itself before the PDF is opened, works in an empty folder, and ends with its parent. The parent looks at
the clock (`harness.curation.building`). Without a task, tasks are taken from standard input, one a line, and each
is read by a process that is forked off for it (`harness.curation.readers`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.curation.readers import ERRORS

__all__ = ["PAGES", "import_used", "main", "serve"]

PAGES = "pages"
"""The file in which the child says how many pages there are, before it reads them."""

LARGEST_FILE = 1 << 30

PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""


USED = (
    "harness.curation.reading", "harness.figures.documents", "harness.figures.limits",
    "scipy.ndimage", "PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.ImageChops", "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin", "PIL.PpmImagePlugin",
)  # fmt: skip
"""What reading a PDF imports sooner or later."""


def main(task: dict[str, Any]) -> None:
    """Read the PDF of a task into its folder, the current one."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _die_with_parent()
    _limit(task["memory_bytes"], task["cpu_seconds"])
    import_used()
    from harness.curation.reading import read_figures, read_paper

    path, folder = Path(task["path"]), Path.cwd()
    _say_pages(path, folder)
    if "stem" in task:
        read_figures(path, folder, stem=task["stem"])
        return
    rules = Path(task["rules"]) if task["rules"] else None
    read_paper(path, folder, name=task["name"], sha256=task["sha256"], reader=task["reader"], rules=rules)


def serve() -> None:
    """Fork off a reader for each task that comes, one after the other, and say its number and how it ended."""
    _die_with_parent()
    for line in iter(sys.stdin.buffer.readline, b""):
        task = json.loads(line)
        os.chdir(task["folder"])
        with Path(ERRORS).open("wb") as errors:  # also takes what goes wrong before there is a reader
            os.dup2(errors.fileno(), 2)
        import_used()
        reader = os.fork()
        if reader == 0:
            _read_alone(task)
        _, status = os.waitpid(reader, 0)
        _say(f"ended {os.waitstatus_to_exitcode(status)}")


def _read_alone(task: dict[str, Any]) -> None:
    """Be a reader: lead a group, so that it can be killed with all it starts, and leave without tidying up."""
    parent = os.getppid()
    os.setsid()
    _say(f"pid {os.getpid()}")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _die_with_parent()
    if os.getppid() != parent:  # died before it could take this process with it
        os._exit(1)
    main(task)
    os._exit(0)


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def import_used() -> None:
    """Import what reading a PDF takes, before there is a PDF: what is forked off has it."""
    from harness.figures.documents import figures_extra

    figures_extra()
    for name in USED:
        import_module(name)


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Let the system refuse more memory, end what computes forever unseen, and write no core file."""
    try:
        import resource
    except ImportError:  # Windows has none of these; the parent's clock is all there is
        return
    limits = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_FSIZE: (LARGEST_FILE, LARGEST_FILE),
        resource.RLIMIT_CPU: (cpu_seconds, cpu_seconds + 5),
        resource.RLIMIT_AS: (memory_bytes, memory_bytes),
    }
    for which, wanted in limits.items():
        _, granted = resource.getrlimit(which)  # a batch system may have granted less; it cannot be raised
        top = max(wanted) if granted == resource.RLIM_INFINITY else granted
        resource.setrlimit(which, (min(wanted[0], top), min(wanted[1], top)))


def _die_with_parent() -> None:
    """Have Linux kill this process with its parent: while a parser loops in C, no thread of Python runs."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _end_with_parent() -> None:
    """Wait for the end of standard input, which the parent holds open, be it closed or dead; then end."""
    while os.read(0, 1):
        continue
    os._exit(1)


def _say_pages(path: Path, folder: Path) -> None:
    """Tell the parent how long to wait; a PDF that cannot be opened is reported when it is read."""
    from harness.figures.documents import open_pdf
    from harness.figures.limits import broken

    try:
        with open_pdf(path) as opened:
            count = 0 if opened.needs_pass else opened.page_count
    except broken():
        count = 0
    (folder / PAGES).write_text(str(count))


if __name__ == "__main__":
    main(json.loads(sys.argv[1])) if len(sys.argv) > 1 else serve()
