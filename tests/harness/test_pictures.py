"""Letters and thumbnails: what fits, what is replaced, what keeps its shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.pictures import MOUNT, broken, font, printable, shortened, thumbnail, wrapped

FONT = font(11)
HOSTILE = ["a\nb.png", "a\tb", "\u202egnp.exe", "half \udcff.png", "\x00"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_cannot_be_drawn_are_drawn_without_what_they_hide(name: str) -> None:
    for lines in ([shortened(name, FONT, 200)], wrapped(name, FONT, 200), broken(name, FONT, 200, 3)):
        assert all(line.isprintable() for line in lines)
        assert FONT.getlength("".join(lines)) > 0
    assert "�" in printable(name)
    printable(name).encode("utf-8")


class TestShortened:
    def test_a_text_that_fits_is_left_alone(self) -> None:
        assert shortened("images/1.png", FONT, 300) == "images/1.png"

    def test_a_long_one_loses_its_middle(self) -> None:
        short = shortened("CT_COVID/2020.02.10.20021584-p6-52%0.png", FONT, 120)
        first, last = short.split("…")
        assert "CT_COVID/2020.02.10.20021584-p6-52%0.png".startswith(first)
        assert "CT_COVID/2020.02.10.20021584-p6-52%0.png".endswith(last)
        assert first
        assert last.endswith("%0.png")

    @pytest.mark.parametrize("width_px", [1, 12, 40, 90, 200])
    def test_what_is_left_fits(self, width_px: int) -> None:
        short = shortened("folder/" + "m" * 80 + ".png", FONT, width_px)
        assert short == "…" or FONT.getlength(short) <= width_px


class TestBroken:
    def test_a_name_that_fits_is_one_line(self) -> None:
        assert broken("COVID/1.png", FONT, 300, 3) == ["COVID/1.png"]

    def test_a_long_one_is_broken_after_its_folder(self) -> None:
        assert broken("non-COVID/Non-Covid (1104).png", FONT, 130, 3) == [
            "non-COVID/",
            "Non-Covid (1104).png",
        ]

    def test_one_without_a_slash_is_broken_where_the_line_ends(self) -> None:
        lines = broken("2020.02.10.20021584-p6-52%0.png", FONT, 100, 3)
        assert "".join(lines) == "2020.02.10.20021584-p6-52%0.png"
        assert len(lines) == 2

    @given(st.text(max_size=80), st.integers(20, 200), st.integers(1, 4))
    def test_lines_fit_and_leave_nothing_out_but_the_middle_of_the_last(
        self, text: str, width_px: int, most: int
    ) -> None:
        lines = broken(text, FONT, width_px, most)
        assert len(lines) <= most
        assert all(FONT.getlength(line) <= width_px for line in lines)
        whole = "".join(lines)
        assert whole == printable(text) or "…" in lines[-1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 1000), (900, 3), (50, 50)])
def test_a_thumbnail_is_a_square_with_the_image_in_its_shape(shape: tuple[int, int]) -> None:
    square = np.asarray(thumbnail(np.full(shape, 9, np.uint8), 100))
    height, width = (max(round(side * 100 / max(shape)), 1) for side in shape)
    assert square.shape == (100, 100)
    assert (square == 9).sum() == height * width
    assert (square == MOUNT).sum() == 100 * 100 - height * width
