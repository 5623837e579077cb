"""JSON documents with their schema: `NAME.schema.json` beside this file describes documents of the kind NAME.

A document names its schema by a relative path in `$schema`, and the schemas are written beside the boards: an
editor or a validator finds them without a network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "document", "portable", "schema", "texts"]

FOLDER = "schemas"
"""Where schemas lie below the output folder."""


def document(kind: str, content: Mapping[str, Any], *, folders: int = 1) -> str:
    """Return `content` as JSON that names its schema, for a file so many folders deep."""
    said = {"$schema": f"{'../' * folders}{FOLDER}/{kind}.schema.json", **content}
    return json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def schema(kind: str) -> dict[str, Any]:
    """Return the schema of one kind of document: 'board', 'verdicts' or 'external'."""
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name(f"{kind}.schema.json").read_text("utf-8"))
    return loaded


def texts() -> dict[str, str]:
    """Return all schemas by their path below the output folder."""
    files = sorted(Path(__file__).parent.glob("*.schema.json"))
    return {f"{FOLDER}/{path.name}": path.read_text("utf-8") for path in files}


def portable(value: float | None) -> float | None:
    """Return a number that went through logarithms and sums of thousands of terms, with nine digits.

    Its last digits depend on the processor: so the same records give the same bytes everywhere. Shares of
    images need no such thing.

    >>> portable(0.1234567891234)
    0.123456789
    """
    return None if value is None else float(f"{value:.9g}")
