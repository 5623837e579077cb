"""Where the files of a dataset lie. Reads cards and folders only, so that listing is quick."""

from __future__ import annotations

from pathlib import Path

from harness.data.cards import Card
from harness.folders import bundled, cache_folder, data_roots

__all__ = ["find_root"]


def find_root(card: Card, card_path: Path, data_root: Path | None = None) -> Path | None:
    """Return the folder of a dataset's files, None when it is not there.

    In this order: where files that are made on first use go (whether they are made yet or not);
    the card's `root`; for a card of the user's own, the card's folder; for a bundled one, the first
    data root with a folder of the dataset's name that is not empty.
    """
    if card.generated:
        return cache_folder() / "data" / card.name
    if card.root is not None:
        return _if_folder(card_path.parent / Path(card.root).expanduser())
    if not _is_bundled(card_path):
        return _if_folder(card_path.parent)
    folders = (root / card.name for root in data_roots(data_root))
    return next((folder for folder in folders if _holds_something(folder)), None)


def _is_bundled(card_path: Path) -> bool:
    return card_path.resolve().is_relative_to(bundled("datasets").resolve())


def _if_folder(path: Path) -> Path | None:
    return path if path.is_dir() else None


def _holds_something(folder: Path) -> bool:
    try:
        return folder.is_dir() and any(folder.iterdir())
    except PermissionError:
        return True  # it is there; opening it says why it cannot be read
