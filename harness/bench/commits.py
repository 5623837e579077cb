"""The files of another commit, beside the repository and without a trace in it.

Git writes them from an index of their own into a temporary folder: neither the repository's index nor its list
of working trees changes, so that nothing has to be undone when the process is killed.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError, UnknownName, UsageError

__all__ = ["Commit", "is_dirty", "repository_of", "resolved", "written_out"]

MOST_NAMES = 10
"""Branches and tags that are listed where none is close to what was asked for."""

Commit = str
"""40 hexadecimal digits."""


def repository_of(folder: Path) -> Path:
    """Return the top folder of the Git repository that `folder` is in. Raises `UsageError` when it is in none."""
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel").strip()).resolve()
    except HarnessError as error:
        raise UsageError(
            f"{str(folder)!r} is in no Git repository; --against compares two commits of one"
        ) from error


def resolved(repository: Path, ref: str) -> Commit:
    """Return the commit that `ref` names. Raises `UnknownName` with close names."""
    try:
        if ref.startswith("-"):
            raise HarnessError("an option is no name")
        return _git(
            repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
        ).strip()
    except HarnessError as error:
        names = _git(repository, "for-each-ref", "--format=%(refname:short)").split()
        close = difflib.get_close_matches(ref, names, n=2)
        raise UnknownName("commit, branch or tag", ref, close or names[:MOST_NAMES]) from error


def is_dirty(repository: Path) -> bool:
    """Return whether the working tree differs from its commit, new files included."""
    # Otherwise `git status` writes the index anew, which is the repository's.
    return bool(_git(repository, "status", "--porcelain", environment={"GIT_OPTIONAL_LOCKS": "0"}).strip())


@contextmanager
def written_out(repository: Path, commit: Commit) -> Iterator[Path]:
    """Yield a temporary folder that holds the commit's files."""
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as temporary:
        folder = Path(temporary).resolve() / "tree"
        folder.mkdir()
        index = {"GIT_INDEX_FILE": str(folder.with_name("index"))}
        _git(repository, "read-tree", commit, environment=index)
        _git(repository, "checkout-index", "--all", "--force", f"--prefix={folder}/", environment=index)
        yield folder


def _git(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    # Variables that Git sets for its hooks would name another repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env={**clean, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise HarnessError("git is not installed; --against needs it") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise HarnessError(f"git {arguments[0]}: {said}")
    return done.stdout
