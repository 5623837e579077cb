"""Figures of PDFs cut out into one folder, each PDF read by a process of its own with limits."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from harness.curation.building import MOST_PAGES, NO_SPACE, POLL_SECONDS, SCRATCH, Limits, Running, Task
from harness.curation.readers import Pool
from harness.curation.reading import FILE
from harness.errors import DataError
from harness.figures.figure_files import as_json
from harness.figures.types import Document

__all__ = ["extracted"]


def extracted(
    paths: Sequence[Path], stems: Sequence[str], out: Path, limits: Limits
) -> Generator[tuple[dict[str, Any], bool], None, None]:
    """Yield what each PDF holds, as `as_json` gives it, and whether nothing of it could be read.

    Pictures are moved to `out` when their PDF has been read whole. Whatever ends this generator ends its processes.
    """
    pool = Pool()
    scratch = out.resolve() / f"{SCRATCH}{os.getpid()}"
    try:
        for path, stem in zip(paths, stems, strict=True):
            _emptied(scratch, out)
            yield _one(path, stem, out, scratch, limits, pool)
    finally:
        pool.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _emptied(scratch: Path, out: Path) -> None:
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write into {str(out)!r}: {error.strerror or error}; name another folder with --out"
    )


def _one(
    path: Path, stem: str, out: Path, scratch: Path, limits: Limits, pool: Pool
) -> tuple[dict[str, Any], bool]:
    message = {
        "path": str(Path.cwd() / path),
        "folder": str(scratch),
        "stem": stem,
        "memory_bytes": limits.memory_mb << 20,
        "cpu_seconds": int(limits.seconds_for(MOST_PAGES)) + 60,
    }
    running = Running(Task(path, "", ""), pool.start(message), scratch, limits)
    try:
        while not running.has_ended():
            time.sleep(POLL_SECONDS)
    except BaseException:
        running.end()
        raise
    running.reader.close()
    if running.code != 0 or not (scratch / FILE).is_file():
        reason = running.reason()
        if reason.startswith(NO_SPACE):
            raise DataError(
                f"cannot write into {str(out)!r}: no space left; make room, or name another --out"
            )
        return as_json(Document(str(path), 0, problems=(reason,))), True
    document = json.loads((scratch / FILE).read_text("ascii"))
    failed = document.pop("failed") is not None
    document["file"] = str(path)
    _moved([one["image"] for one in document["figures"]], scratch, out)
    return document, failed


def _moved(names: Sequence[str], scratch: Path, out: Path) -> None:
    try:
        for name in names:
            (scratch / name).replace(out / name)
    except OSError as error:
        raise _unwritable(out, error) from error
