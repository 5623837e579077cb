"""Small pictures of a dataset's images, for a page that is asked to hold them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.board_sides import Side, sides_of
from harness.data.pictures import Pixels, thumbnail
from harness.errors import DataError, DatasetMissing, UnknownName
from harness.types import Progress

if TYPE_CHECKING:
    from harness.boards import Board

__all__ = ["SIDE_PX", "Thumbnails", "pictured", "thumbnails_of"]

SIDE_PX = 128
QUALITY = 82
"""Of the JPEGs: about 4 kB an image."""


@dataclass
class Thumbnails:
    """The images of a dataset by sample id, under a licence that the page states."""

    title: str
    licence: str
    pixels: Pixels
    row_of: dict[str, int]
    _made: dict[str, str] = field(default_factory=dict)

    def uri(self, name: str) -> str | None:
        """Return a data URI of a grey JPEG of `SIDE_PX`, None for an id that the dataset has not."""
        if name not in self.row_of:
            return None
        if name not in self._made:
            file = io.BytesIO()
            picture = thumbnail(self.pixels.image(self.row_of[name]), SIDE_PX)
            picture.save(file, format="JPEG", quality=QUALITY)
            self._made[name] = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
        return self._made[name]


def pictured(board: Board) -> tuple[Side, Side]:
    """Return the datasets whose images a board learned from and was tested on: one twice, but for `external`."""
    manifests = (cell.manifest for row in board.rows for cell in row.cells)
    sides = next((sides_of(manifest) for manifest in manifests), None)
    if sides is not None:
        return sides.trained_on, sides.tested_on
    own = Side(name=board.dataset, title=board.title, content=board.content)
    return own, own


def thumbnails_of(
    wanted: Side, data_root: Path | None, progress: Progress | None = None, *, skip_bad: bool = False
) -> Thumbnails:
    """Return the images of a dataset; with `skip_bad` files that cannot be read are left out, as the records did.

    Raises `DatasetMissing` where it is not found, `DataError` when its images are not those of the records.
    """
    from harness.data.dataset import open_dataset

    try:
        dataset = open_dataset(wanted.name, data_root=data_root, skip_bad=skip_bad, progress=progress)
    except UnknownName as error:
        raise DatasetMissing(
            f"no dataset is called {wanted.name!r} here, so its images cannot be shown; leave out --images"
        ) from error
    if dataset.content != wanted.content:
        raise DataError(
            f"dataset {wanted.name!r}: other images than the records speak of (content {dataset.content[:12]}, "
            f"records {wanted.content[:12]}); point --data-root at those, or leave out --images"
        )
    row_of = {sample.id: row for row, sample in enumerate(dataset.samples)}
    # of two datasets as one, `harness.data.joined` puts the name of the first before its ids
    row_of |= {f"{wanted.name}:{name}": row for name, row in row_of.items()}
    return Thumbnails(wanted.title, dataset.card.licence, dataset.pixels(progress=progress), row_of)
