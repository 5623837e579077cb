"""Files that are whole or absent: written under another name, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import ModelError

__all__ = ["whole_file"]


@contextmanager
def whole_file(target: Path, what: str) -> Iterator[Path]:
    """Yield the temporary path of a file that takes the place of `target` in one rename.

    Raises `ModelError` in one line, and leaves nothing behind, when the disk refuses.
    """
    from safetensors import SafetensorError

    temporary = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    try:
        yield temporary
        temporary.replace(target)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch turns a full disk into a RuntimeError
        reason = " ".join(str(error).split())
        raise ModelError(f"{what} cannot be written to {str(target)!r}: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)
