"""Contact sheets: what is on them, where, and that no half-written file stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.cards import Card
from harness.data.dataset import open_dataset
from harness.data.sheet import COLUMNS, GAP_PX, THUMBNAIL_PX, contact_sheet
from harness.errors import HarnessError
from harness.types import Sample

DARK, BRIGHT = 31, 200


@dataclass
class StandIn:
    """Flat images: those of the first class dark, those of the second bright."""

    samples: tuple[Sample, ...]
    shape: tuple[int, int] = (20, 30)
    asked: list[int] = field(default_factory=list)
    licence: str = "CC0-1.0"

    @property
    def card(self) -> Card:
        return Card(
            schema_version=1,
            name="squares",
            title="Squares",
            description="Flat ones.",
            adapter="image-folder",
            classes=("dark", "bright"),
            positive="bright",
            licence=self.licence,
            citation="none",
        )

    def pixels(self) -> StandIn:
        return self

    def image(self, row: int) -> np.ndarray:
        self.asked.append(row)
        return np.full(self.shape, (DARK, BRIGHT)[self.samples[row].label], np.uint8)


def squares(n_dark: int, n_bright: int, name: Callable[[int], str] = "{}.png".format) -> StandIn:
    labels = [0] * n_dark + [1] * n_bright
    return StandIn(tuple(Sample(name(n), Path(name(n)), label) for n, label in enumerate(labels)))


def grey(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.array(image)


def runs_of(marked: np.ndarray) -> list[int]:
    """Return the lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.pad(marked.astype(int), 1)))
    return (edges[1::2] - edges[::2]).tolist()


class TestWhatIsOnIt:
    def test_each_class_has_as_many_images_as_asked_for(self, tmp_path: Path) -> None:
        contact_sheet(dataset := squares(30, 20), tmp_path / "sheet.png", per_class=4)
        assert len(dataset.asked) == 8
        assert sum(row < 30 for row in dataset.asked) == 4

    def test_a_small_class_is_shown_whole(self, tmp_path: Path) -> None:
        contact_sheet(dataset := squares(2, 9), tmp_path / "sheet.png", per_class=5)
        assert sum(row < 2 for row in dataset.asked) == 2

    def test_no_image_is_shown_twice(self, tmp_path: Path) -> None:
        contact_sheet(dataset := squares(15, 15), tmp_path / "sheet.png")
        assert len(set(dataset.asked)) == len(dataset.asked) == 24

    def test_the_same_seed_draws_the_same_sheet(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.png"):
            contact_sheet(squares(40, 40), tmp_path / name, seed=3)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_another_seed_draws_other_images(self, tmp_path: Path) -> None:
        drawn = []
        for seed in (0, 1):
            contact_sheet(dataset := squares(40, 40), tmp_path / "sheet.png", seed=seed)
            drawn.append(dataset.asked)
        assert drawn[0] != drawn[1]

    def test_the_path_is_returned(self, tmp_path: Path) -> None:
        assert contact_sheet(squares(1, 1), tmp_path / "sheet.png") == tmp_path / "sheet.png"

    def test_no_image_at_all_is_a_mistake(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="per_class is 0"):
            contact_sheet(squares(1, 1), tmp_path / "sheet.png", per_class=0)


class TestWhereItIs:
    @pytest.mark.parametrize("shape", [(20, 30), (900, 80), (60, 1000)])
    def test_thumbnails_keep_their_shape_and_do_not_touch(
        self, tmp_path: Path, shape: tuple[int, int]
    ) -> None:
        dataset = squares(COLUMNS + 1, 1)
        dataset.shape = shape
        is_dark = grey(contact_sheet(dataset, tmp_path / "sheet.png")) == DARK
        height, width = (round(side * THUMBNAIL_PX / max(shape)) for side in shape)
        columns, rows = is_dark.sum(axis=0) >= height, is_dark.sum(axis=1) >= width
        assert runs_of(columns) == [width] * COLUMNS
        assert runs_of(rows) == [height] * 2

    def test_ids_stay_below_their_own_thumbnail(self, tmp_path: Path) -> None:
        dataset = squares(COLUMNS, COLUMNS, name=lambda n: f"folder/{'W' * 90}-{n}.png")
        sheet = grey(contact_sheet(dataset, tmp_path / "sheet.png"))
        gaps = [GAP_PX + k * (THUMBNAIL_PX + GAP_PX) - GAP_PX + 1 for k in range(COLUMNS + 1)]
        ids = sheet[np.flatnonzero((sheet == DARK).any(axis=1))[-1] + 60 :]
        assert (ids < 250).any()
        assert all((ids[:, gap : gap + GAP_PX - 2] == 255).all() for gap in gaps)

    def test_a_long_licence_is_broken_into_lines_that_fit(self, tmp_path: Path) -> None:
        dataset = squares(1, 1)
        dataset.licence = "as its page says " * 40 + "X" * 400
        sheet = grey(contact_sheet(dataset, tmp_path / "long.png"))
        short = grey(contact_sheet(squares(1, 1), tmp_path / "short.png"))
        assert len(sheet) > len(short) + 60
        assert (sheet[:, -GAP_PX:] == 255).all()


class TestFailure:
    def test_a_folder_that_is_not_there_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(HarnessError, match="cannot be written: No such file") as caught:
            contact_sheet(squares(1, 1), tmp_path / "nowhere/sheet.png")
        assert "\n" not in str(caught.value)

    def test_a_full_disk_leaves_the_old_sheet_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contact_sheet(squares(1, 1), tmp_path / "sheet.png")
        before = (tmp_path / "sheet.png").read_bytes()

        def full(self: Image.Image, path: Path, **options: object) -> None:
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Image.Image, "save", full)
        with pytest.raises(HarnessError, match="No space left on device"):
            contact_sheet(squares(2, 2), tmp_path / "sheet.png")
        assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
        assert (tmp_path / "sheet.png").read_bytes() == before


@pytest.mark.data
@pytest.mark.parametrize("name", ["covid-ct", "sars-cov-2-ct"])
def test_real_datasets_fit_on_a_sheet(name: str, tmp_path: Path) -> None:
    sheet = grey(contact_sheet(open_dataset(name), tmp_path / "sheet.png"))
    assert (sheet[:, -GAP_PX:] == 255).all()
    assert len(np.unique(sheet)) > 200
