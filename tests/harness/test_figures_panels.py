"""Composite figures split into pictures: made ones with known boxes, and single pictures that must stay whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from harness.figures.composites import composite
from harness.figures.grids import Strip, division
from harness.figures.lookalikes import lookalike
from harness.figures.panels import boxes, panels_of
from harness.figures.sorting_study import Tally, matched, overlap
from harness.figures.types import PixelBox

Pixels = NDArray[np.uint8]


def slice_(seed: int, width: int = 160, height: int = 130) -> Pixels:
    """A body on black with two lungs, a table line below it, and grain."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    body = np.hypot(x / random.uniform(0.85, 0.98), y / random.uniform(0.8, 0.95)) < 1
    image = np.where(body, random.uniform(140, 220), 8.0)
    for side in (-1, 1):
        lung = np.hypot((x - side * 0.42) / random.uniform(0.26, 0.34), y / random.uniform(0.5, 0.68)) < 1
        image = np.where(lung, random.uniform(40, 80), image)
    table = (np.abs(x) < 0.7) & (np.abs(y - 0.93 - 0.05 * x**2) < 0.02)
    image = np.where(table, 120, image)
    return np.asarray(np.clip(image + random.normal(scale=7, size=image.shape), 0, 255), np.uint8)


def tiled(rows: int, columns: int, gutter: int, ground: int) -> tuple[Pixels, list[PixelBox]]:
    image = np.full((rows * (130 + gutter) - gutter, columns * (160 + gutter) - gutter), ground, np.uint8)
    there: list[PixelBox] = []
    for number in range(rows * columns):
        top, left = number // columns * (130 + gutter), number % columns * (160 + gutter)
        image[top : top + 130, left : left + 160] = slice_(number)
        there.append((left, top, left + 160, top + 130))
    return image, there


@pytest.mark.parametrize("ground", [255, 0, 128])
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 2), (3, 4)])
@pytest.mark.parametrize("gutter", [4, 12])
def test_a_grid_is_split_at_its_gutters(rows: int, columns: int, gutter: int, ground: int) -> None:
    image, there = tiled(rows, columns, gutter, ground)
    assert matched(boxes(image), there) == len(there) == len(boxes(image))


@pytest.mark.parametrize("gutter", [0, 1, 2])
def test_pictures_that_touch_are_split_too(gutter: int) -> None:
    image, there = tiled(3, 3, gutter, 255)
    assert matched(boxes(image), there) == 9


def test_rows_of_different_numbers_are_cut_before_columns() -> None:
    three, four = (np.full((h, 640), 255, np.uint8) for h in (170, 125))
    there: list[PixelBox] = []
    for row, count, top, image in ((0, 3, 0, three), (1, 4, 182, four)):
        wide, high = (640 - 12 * (count - 1)) // count, image.shape[0]
        for number in range(count):
            left = number * (wide + 12)
            image[:, left : left + wide] = np.clip(slice_(7 * row + number, wide, high) + 45.0, 0, 255)
            there.append((left, top, left + wide, top + high))
    whole = np.concatenate([three, np.full((12, 640), 255, np.uint8), four])
    assert matched(boxes(whole), there) == len(boxes(whole)) == 7


@pytest.mark.parametrize("seed", [1, 5])
def test_beside_a_gutter_that_cannot_be_missed_a_faint_edge_parts_nothing(seed: int) -> None:
    row = np.full((130, 480), 255, np.float32)
    for number, (x0, x1) in enumerate([(0, 316), (324, 480)]):  # one picture twice as wide as the other
        row[:, x0:x1] = np.clip(slice_(2 * seed + number, x1 - x0).astype(np.float32) + 45.0, 0, 255)
    row[35:95, 158:316] -= 20  # where equal parts would have a boundary
    parts = division(Strip(row, "columns", 30), bonus=1.0, wanted=3)
    assert parts is not None
    assert parts.parts == ((0, 316), (324, 480))


def test_boxes_come_in_reading_order() -> None:
    image, there = tiled(2, 3, 8, 255)
    for found, expected in zip(boxes(image), there, strict=True):
        assert overlap(found, expected) > 0.9


def test_hard_edges_are_met_to_a_pixel() -> None:
    image, there = tiled(1, 2, 10, 255)
    sides = np.array(boxes(image))[:, [0, 2]]  # above and below, the slices end in black
    assert np.abs(sides - np.array(there)[:, [0, 2]]).max() <= 1


def test_letters_below_panels_are_no_part_of_them() -> None:
    image, there = tiled(1, 2, 10, 255)
    page = Image.new("L", (image.shape[1], image.shape[0] + 34), 255)
    page.paste(Image.fromarray(image))
    for (x0, _, x1, y1), letter in zip(there, ("(a)", "(b)"), strict=True):
        ImageDraw.Draw(page).text(((x0 + x1) // 2, y1 + 12), letter, fill=0)
    found = boxes(np.asarray(page))
    assert [overlap(f, t) > 0.9 for f, t in zip(found, there, strict=True)] == [True, True]


@pytest.mark.parametrize("seed", range(6))
def test_a_single_slice_with_its_table_stays_whole(seed: int) -> None:
    image = slice_(seed, 320, 260)
    assert len(boxes(image)) == 1


def test_black_bands_above_and_below_do_not_split_a_slice() -> None:
    image = np.zeros((420, 320), np.uint8)
    image[80:340] = slice_(3, 320, 260)
    assert len(boxes(image)) == 1


@pytest.mark.parametrize("kind", ["chart", "table", "diagram", "radiograph", "photograph"])
def test_one_picture_of_another_kind_stays_whole(kind: str) -> None:
    random = np.random.default_rng(5)
    assert [len(boxes(lookalike(kind, random))) for _ in range(6)].count(1) >= 5


@pytest.mark.parametrize("value", [0, 127, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 3), (40, 40), (200, 300), (80, 90, 3)])
def test_an_empty_picture_of_any_size_is_one_panel(shape: tuple[int, ...], value: int) -> None:
    assert boxes(np.full(shape, value, np.uint8)) == ((0, 0, shape[1], shape[0]),)


def test_grey_and_colour_give_the_same_boxes() -> None:
    image, _ = tiled(2, 2, 8, 255)
    assert boxes(image) == boxes(np.repeat(image[..., None], 3, axis=2)) == boxes(image[..., None])


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6))
def test_boxes_lie_within_the_figure_apart_and_are_found_again(seed: int) -> None:
    random = np.random.default_rng(seed)
    made = composite([slice_(n) for n in range(8)], random)
    found = boxes(made.image)
    assert found == boxes(made.image)
    for x0, y0, x1, y1 in found:
        assert 0 <= x0 < x1 <= made.image.shape[1]
        assert 0 <= y0 < y1 <= made.image.shape[0]
    pairs = [(a, b) for n, a in enumerate(found) for b in found[n + 1 :]]
    assert all(overlap(a, b) < 0.05 for a, b in pairs)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 10**6))
def test_noise_of_any_size_gives_at_least_one_box(width: int, height: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    assert len(boxes(image)) >= 1


def test_panels_carry_their_place_on_the_page_letter_and_text() -> None:
    image, _ = tiled(1, 2, 10, 255)
    caption = "Figure 1. CT. (A) A 37-year-old man. (B) Follow-up."
    found = panels_of(image, (50.0, 100.0, 50.0 + 330 / 2, 100.0 + 130 / 2), caption)
    assert [panel.letter for panel in found] == ["a", "b"]
    assert [panel.text for panel in found] == ["A 37-year-old man.", "Follow-up."]
    assert found[1].box == pytest.approx((135.0, 100.0, 215.0, 165.0), abs=1.0)


def test_a_figure_that_nothing_parts_is_one_panel_without_a_letter() -> None:
    found = panels_of(slice_(1, 320, 260), (0.0, 0.0, 320.0, 260.0), "Figure 1. Axial CT.")
    assert [p.letter for p in found] == [None]
    assert overlap(found[0].pixels, (0, 0, 320, 260)) > 0.9


def test_the_share_of_right_boxes_on_made_composites_stays_up() -> None:
    random = np.random.default_rng(11)
    pictures, tally = [slice_(n) for n in range(12)], Tally()
    for _ in range(30):
        made = composite(pictures, random)
        tally.add(boxes(made.image), made.panels, 0.0)
    assert tally.right / tally.found > 0.8
    assert tally.right / tally.there > 0.8


@pytest.mark.data
def test_real_slices_are_split_and_left_whole(real_data: Path) -> None:
    random = np.random.default_rng(3)
    files = sorted((real_data / "sars-cov-2-ct").rglob("*.png"))[::25]
    pictures, tally = [np.asarray(Image.open(f).convert("L")) for f in files], Tally()
    for _ in range(80):
        made = composite(pictures, random)
        tally.add(boxes(made.image), made.panels, 0.0)
    assert tally.right / tally.found >= 0.8  # what panels are to reach on papers
    assert tally.right / tally.there >= 0.8
    assert sum(len(boxes(picture)) == 1 for picture in pictures) >= 0.97 * len(pictures)
