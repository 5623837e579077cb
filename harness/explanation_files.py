"""The files of an explanation: one folder a run, whole or absent."""

from __future__ import annotations

import json
import re
from pathlib import Path

from harness.data.pictures import Pixels
from harness.errors import RecordError
from harness.explanation_data import Explained, as_json
from harness.explanation_html import page
from harness.explanation_pictures import decisions_picture, rules_picture
from harness.records import whole_folder, writable

__all__ = ["FILES", "folder_name", "write_explanation"]

FILES = ("rules.png", "decisions.png", "explanation.html", "explanation.json")


def folder_name(found: Explained) -> str:
    """Return DATASET-PROTOCOL-MODEL[-untuned]-RECIPE-seedN[-foldK], usable as one part of a path."""
    parts = [found.dataset, found.protocol, found.label, found.variant, found.recipe, f"seed{found.seed}"]
    if found.folds > 1:
        parts.append(f"fold{found.fold}")
    return re.sub(r"[^\w.-]+", "-", "-".join(part for part in parts if part)).strip(".-")


def write_explanation(found: Explained, pixels: Pixels, to: Path, *, prototypes: int) -> list[Path]:
    """Write the pictures, the page and the data into a folder below `to`; return their paths.

    The folder appears in one rename and replaces an earlier explanation of the run. Raises
    `RecordError` in one line when it cannot be written, or when it holds other files.
    """
    folder = to / folder_name(found)
    pictures = {
        "rules.png": rules_picture(found, pixels, prototypes),
        "decisions.png": decisions_picture(found, pixels),
    }
    texts = {
        "explanation.html": page(found, pixels, prototypes),
        "explanation.json": json.dumps(as_json(found), indent=1, allow_nan=False) + "\n",
    }
    with writable(to, option="--to"):
        _refuse_other_files(folder)
        with whole_folder(folder) as temporary:
            for name, picture in pictures.items():
                picture.save(temporary / name, format="PNG", optimize=True)
            for name, text in texts.items():
                (temporary / name).write_text(text, "utf-8")
    return [folder / name for name in FILES]


def _refuse_other_files(folder: Path) -> None:
    """Raise `RecordError` when replacing the folder would lose what is not of an explanation."""
    others = (
        sorted(path.name for path in folder.iterdir() if path.name not in FILES) if folder.exists() else []
    )
    if others:
        raise RecordError(
            f"{str(folder)!r} holds {others[0]!r}, which no explanation wrote; move it, or choose another "
            "folder with --to"
        )
