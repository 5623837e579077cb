"""One side of `harness bench`: a process that prepares and times the workloads of a suite when it is told to.

Run by its path, not as a module, with PYTHONPATH naming the tree to be measured: what it imports of the harness
is that tree's, which may know nothing of this file. So it uses the standard library and `sampling` beside it.
Requests and answers are JSON, one a line; what workloads print goes to the standard error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "bench_"

Answer = dict[str, Any]


class Served:
    """A suite, and those of its workloads that were prepared."""

    def __init__(self, suite: Path, sampling: ModuleType) -> None:
        self._suite = suite
        self._sampling = sampling
        self._functions: dict[str, Callable[[], Any]] = {}
        self._prepared: dict[str, Callable[[], Any]] = {}
        self._work: dict[str, int] = {}

    def answer(self, request: Answer) -> Answer:
        return getattr(self, request.pop("do"))(**request)

    def load(self) -> Answer:
        """Run the suite's file; return its workloads in their order."""
        module = _module(self._suite, "harness_bench_suite")
        self._functions = {
            name.removeprefix(PREFIX).replace("_", "-"): function
            for name, function in vars(module).items()
            if name.startswith(PREFIX) and callable(function)
        }
        about = {name: _first_line(function) for name, function in self._functions.items()}
        return {"workloads": about, "files": _files()}

    def prepare(self, name: str, calls: int | None) -> Answer:
        """Return how many calls make a sample, images a call, what a call counts, and the files of all modules."""
        made = self._functions[name]()
        function, images = made if isinstance(made, tuple) else (made, None)
        if not callable(function):
            raise TypeError(
                f"bench_{name.replace('-', '_')} returned {made!r}, expected the function to be timed"
            )
        function()  # what is filled only once is not the work
        before = _counts()
        result = function()
        work = _moved_since(before)
        if result is None and not work:
            raise ValueError("it measures nothing: its function returned nothing and moved no counter")
        try:
            calls = calls or self._sampling.calls_of(function)
        except ValueError as error:
            raise ValueError(f"it measures nothing: {error}") from error
        self._prepared = {name: function}  # one at a time: the memory of the last is free
        self._work = work
        return {"calls": calls, "images": images, "work": work, "files": _files()}

    def sample(self, name: str, calls: int) -> Answer:
        """Return seconds a call, of calls that did the work of the one that was prepared."""
        before = _counts()
        with self._sampling.undisturbed():
            sample = self._sampling.sampled(self._prepared[name], calls)
        moved, expected = _moved_since(before), {what: calls * n for what, n in self._work.items()}
        if moved != expected:
            raise ValueError(
                f"it measures nothing: {calls} timed calls counted {moved}, expected {expected} after the first"
            )
        return {"cpu": sample.cpu, "wall": sample.wall}


def _module(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _first_line(function: Callable[[], Any]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]


def _files() -> list[str]:
    found = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return sorted({str(Path(file).resolve()) for file in found if isinstance(file, str)})


def _counts() -> dict[str, int]:
    counters = sys.modules.get("harness.counters")
    return dict(counters.snapshot()) if counters is not None else {}


def _moved_since(before: dict[str, int]) -> dict[str, int]:
    return {what: n - before.get(what, 0) for what, n in _counts().items() if n != before.get(what, 0)}


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def main() -> None:
    """Answer requests until there are no more: the other end closes when it has finished, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then ends its workers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    here = Path(__file__).resolve()
    served = Served(Path(sys.argv[1]), _module(here.with_name("sampling.py"), "harness_bench_sampling"))
    for line in sys.stdin:
        try:
            answer = served.answer(json.loads(line))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a suite may raise anything; its line says what
            answer = {"error": _said(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
