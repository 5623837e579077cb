"""A tree of source files and the process that times it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.errors import HarnessError
from harness.machine import THREAD_VARIABLES

__all__ = ["Refused", "Side", "Tree", "opened"]

LAST_WORDS = 200  # characters of what a process that died said last


class Refused(HarnessError):
    """What a side could not do, as it said it."""


@dataclass(frozen=True)
class Tree:
    """The files of a commit, or of the working tree: what is imported of them is what is measured."""

    name: str
    folder: Path

    @property
    def python_path(self) -> list[str]:
        """The folders that packages are imported from: the tree itself, before it `src` where there is one."""
        return [str(folder) for folder in (self.folder / "src", self.folder) if folder.is_dir()]

    def holds(self, file: str) -> bool:
        path = Path(file)
        return path.is_relative_to(self.folder) and "site-packages" not in path.parts


class Side:
    """A running worker. Every method raises `Refused` with what the worker said, or that it died."""

    def __init__(self, tree: Tree, process: subprocess.Popen[str], errors: IO[bytes]) -> None:
        self.tree = tree
        self._process = process
        self._errors = errors

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def load(self) -> dict[str, str]:
        """Return the workloads of the suite: what each is about, by its name."""
        found: dict[str, str] = self._ask("load")["workloads"]
        return found

    def prepare(self, name: str, calls: int | None = None) -> dict[str, Any]:
        """Return `calls` of a sample, `images` a call, `work` of a call, and the `files` of all modules."""
        return self._ask("prepare", name=name, calls=calls)

    def sample(self, name: str, calls: int) -> dict[str, float]:
        """Return seconds a call, 'cpu' and 'wall'."""
        return self._ask("sample", name=name, calls=calls)

    def _ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died, and has answered no more
        line = self._process.stdout.readline()
        if not line:
            raise Refused(f"the process ended with {self._process.wait()}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def _last_words(self) -> str:
        self._errors.seek(0)
        said = " ".join(self._errors.read().decode("utf-8", "replace").split())
        return said[-LAST_WORDS:] or "it said nothing"


@contextmanager
def opened(tree: Tree, suite: Path) -> Iterator[Side]:
    """Start the worker of a tree; it ends with the block, or with this process."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1"), "PYTHONDONTWRITEBYTECODE": "1"}
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    environment["PYTHONPATH"] = os.pathsep.join([*tree.python_path, *before])
    worker = Path(__file__).with_name("worker.py")
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", str(worker), str(suite)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
            start_new_session=True,
        )
        try:
            yield Side(tree, process, errors)
        finally:
            process.kill()
            process.communicate()
