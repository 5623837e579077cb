"""Where things lie: caches, data roots, the cards and tables that ship with the package."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["bundled", "cache_folder", "data_roots"]

PACKAGE = Path(__file__).parent


def bundled(kind: str) -> Path:
    """Return the folder of the cards (`datasets`) or published tables (`leaderboards`).

    In an installed wheel they lie inside the package, in a checkout beside it.
    """
    inside = PACKAGE / "bundled" / kind
    return inside if inside.is_dir() else PACKAGE.parent / kind


def cache_folder() -> Path:
    """Return the folder of everything that can be made again (`HARNESS_CACHE`, else the user's cache)."""
    override = os.environ.get("HARNESS_CACHE")
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_dir("ct-harness"))


def data_roots(data_root: Path | None = None) -> list[Path]:
    """Return the folders that are searched for a dataset, in this order.

    `--data-root`, else `HARNESS_DATA`, then where `harness fetch` puts things.
    """
    roots = []
    if data_root is not None:
        roots.append(Path(data_root).expanduser())
    elif os.environ.get("HARNESS_DATA"):
        roots.append(Path(os.environ["HARNESS_DATA"]).expanduser())
    return [*roots, cache_folder() / "data"]
