"""Two small datasets of bright and dark squares that call the same two classes by other names, in another order."""

from __future__ import annotations

from pathlib import Path

from toys import make_dataset

SHARED = '\n[shared_classes]\n{dark} = "low"\n{bright} = "high"\n'


def dark_and_bright(root: Path, *, shared: str = SHARED, shift: int = 40) -> Path:
    """Write 'toy-ct': classes dark, bright; 20 patients, 3 slices each, every fifth patient tested; return its card."""
    card = make_dataset(root / "toy-ct", shift=shift)
    card.write_text(card.read_text() + shared.format(dark="dark", bright="bright"))
    return card


def light_and_night(
    root: Path, *, name: str = "other-ct", shared: str = SHARED, split: bool = True, patients: int = 10
) -> Path:
    """Write a dataset with the classes light and night; ids and patients are named as in toy-ct. Return its card."""
    card = make_dataset(root / name, patients=patients, slices=2, shift=60)
    text = card.read_text().replace('["dark", "bright"]', '["light", "night"]')
    text = text.replace('positive = "bright"', 'positive = "light"').replace('"toy-ct"', f'"{name}"')
    text = text.replace("Bright and dark squares", "Nights and days")
    card.write_text(text + shared.format(dark="night", bright="light"))
    files = card.parent / "files.csv"
    lines = files.read_text().replace(",bright,", ",light,").replace(",dark,", ",night,").splitlines()
    if not split:
        lines = [line.rpartition(",")[0] for line in lines]
    files.write_text("\n".join(lines) + "\n")
    return card
