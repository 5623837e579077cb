"""Captions and the figures they speak of, in the layouts that journals and manuscripts have."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from made_papers import SENTENCE, Paper, coloured, picture

from harness.figures.boxes import iou
from harness.figures.documents import read_document
from harness.figures.labels import citations, label_at_start
from harness.figures.types import Box, Document, Figure

LEFT, RIGHT = (50, 245), (265, 460)
TEXT = "Chest CT shows opacities in both lungs and in the lower lobes of the patient who had fever."


def read(paper: Paper, folder: Path) -> Document:
    return read_document(paper.save(folder / "paper.pdf"), folder / "out")


def named(document: Document) -> dict[str, Figure]:
    assert all(figure.caption for figure in document.figures)
    return {figure.caption.label: figure for figure in document.figures if figure.caption}


def assert_at(figure: Figure, box: Box, least: float = 0.9) -> None:
    assert iou(figure.box, box) >= least, figure.box


# Names


@pytest.mark.parametrize(
    ("text", "number", "supplementary"),
    [
        ("Figure 3. Chest CT", "3", False),
        ("Fig 3 Chest CT", "3", False),
        ("Fig.3: Chest CT", "3", False),
        ("FIG. 3 | Chest CT", "3", False),
        ("FIGURE 12—Chest CT", "12", False),
        ("Supplementary Figure S3. Chest CT", "S3", True),
        ("Supplemental Fig. 3. Chest CT", "3", True),
        ("Figure S1: Chest CT", "S1", True),
        ("Extended Data Fig. 1 | Chest CT", "1", True),
        ("eFigure 2. Chest CT", "2", True),
        ("Figure A1. Chest CT", "A1", False),
        ("Figure 2.1 Chest CT", "2.1", False),
        ("Fig. IV. Chest CT", "IV", False),
        ("\u25a0 Figure 4. Chest CT", "4", False),
    ],
)
def test_names_of_figures_are_read(text: str, number: str, supplementary: bool) -> None:
    label = label_at_start(text)
    assert label is not None
    assert (label.number, label.supplementary) == (number, supplementary)


@pytest.mark.parametrize(
    "text", ["Figures 1 and 2 show", "Table 1. Values", "The figure 1", "Figure out", "Figured 3"]
)
def test_other_beginnings_are_no_names(text: str) -> None:
    assert label_at_start(text) is None


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("(Fig. 2A)", {("2", False)}),
        ("Figures 1 and 2", {("1", False), ("2", False)}),
        ("Figs. 1-3", {("1", False), ("2", False), ("3", False)}),
        ("Figs. 2a, b and 4", {("2", False), ("4", False)}),
        ("Supplementary Fig. S3 and Figure 1", {("3", True), ("1", False)}),
        ("no figures at all", set()),
    ],
)
def test_citations_are_read(text: str, cited: set[tuple[str, bool]]) -> None:
    assert citations(text) == cited


def test_a_text_of_blanks_is_searched_for_citations_at_once() -> None:
    start = time.process_time()
    assert citations(" " * 50_000 + "Fig. 2") == {("2", False)}
    assert time.process_time() - start < 2


def test_a_supplementary_figure_with_e_for_electronic_is_cited() -> None:
    assert citations("eFigure 4 and eFigs. 5, 6 in the Supplement; the refig 7") == {
        ("4", True),
        ("5", True),
        ("6", True),
    }


# What is no caption


def test_a_sentence_that_begins_with_a_figures_name_is_no_caption(tmp_path: Path) -> None:
    paper = Paper().image((50, 60, 450, 240), coloured()).caption(50, 258, "Figure 2.", TEXT, wide=400)
    paper.text((50, 290, 450, 420))
    paper.text((50, 430, 450, 470), "Figure 2C shows the values of the patients who were seen. " + SENTENCE)
    paper.text((50, 480, 450, 640), "Figure 1 illustrates this for all of them. " + SENTENCE * 8)
    document = read(paper, tmp_path)
    assert list(named(document)) == ["Figure 2."[:-1]]
    assert_at(document.figures[0], (50, 60, 450, 240))
    assert document.figures[0].caption is not None
    assert document.figures[0].caption.text == f"Figure 2. {TEXT}"


def test_a_table_is_no_figure(tmp_path: Path) -> None:
    paper = Paper().text((50, 50, 450, 150))
    paper.caption(50, 170, "Table 1.", "Values of the patients.")
    for row in range(6):
        paper.page.draw_rect((50, 180 + 15 * row, 450, 194 + 15 * row), color=(0, 0, 0), fill=(0.9, 0.9, 0.9))
        paper.words(60, 190 + 15 * row, f"row {row}        {row * 7}        {row * 3}")
    paper.image((50, 300, 250, 420), coloured()).caption(50, 436, "Figure 1.", TEXT).text((50, 480, 450, 640))
    document = read(paper, tmp_path)
    assert list(named(document)) == ["Figure 1"]
    assert_at(document.figures[0], (50, 300, 250, 420))


def test_logos_that_come_back_and_pictures_without_a_caption_are_no_figures(tmp_path: Path) -> None:
    paper = Paper()
    for page in range(3):
        if page:
            paper.next_page()
        paper.image((50, 20, 110, 45), picture()).words(300, 30, f"Journal of Tests 12 ({page})", 8)
        paper.text((50, 260, 450, 640))
        if page == 1:
            paper.image((50, 60, 250, 210), coloured()).caption(50, 226, "Figure 1.", TEXT)
        if page == 2:
            paper.image((400, 210, 440, 240), coloured())
    document = read(paper, tmp_path)
    assert [figure.page for figure in document.figures] == [2]
    assert_at(document.figures[0], (50, 60, 250, 210))


def test_an_unknown_picture_is_said_to_be_left_out(tmp_path: Path) -> None:
    paper = (
        Paper()
        .image((50, 60, 250, 210), coloured())
        .caption(50, 226, "Figure 1.", TEXT)
        .text((50, 260, 450, 640))
    )
    paper.next_page().image((50, 60, 250, 210), picture()).text((50, 260, 450, 640))
    document = read(paper, tmp_path)
    assert len(document.figures) == 1
    assert document.left_out == ("page 2: graphics at (50, 60, 250, 210) without a caption",)


# Where captions stand


def test_captions_below_in_two_columns(tmp_path: Path) -> None:
    paper = Paper()
    for number, (x0, x1) in enumerate((LEFT, RIGHT), 1):
        paper.image((x0, 60, x1, 200), coloured()).caption(x0, 216, f"Fig. {number}.", TEXT, wide=x1 - x0)
        paper.text((x0, 260, x1, 640))
    found = named(read(paper, tmp_path))
    assert_at(found["Fig. 1"], (50, 60, 245, 200))
    assert_at(found["Fig. 2"], (265, 60, 460, 200))
    assert all(figure.caption and figure.caption.text.endswith("had fever.") for figure in found.values())


def test_captions_above_are_told_from_captions_below(tmp_path: Path) -> None:
    paper = Paper().caption(50, 60, "Figure 1.", TEXT).image((50, 80, 250, 220), coloured())
    paper.caption(50, 250, "Figure 2.", TEXT).chart((50, 270, 250, 410)).text((50, 450, 450, 640))
    found = named(read(paper, tmp_path))
    assert_at(found["Figure 1"], (50, 80, 250, 220))
    assert_at(found["Figure 2"], (50, 270, 250, 410), 0.8)


@pytest.mark.parametrize(("picture_x", "caption_x"), [((50, 270), 290), ((230, 450), 50)])
def test_captions_beside(picture_x: tuple[float, float], caption_x: float, tmp_path: Path) -> None:
    paper = Paper().image((picture_x[0], 60, picture_x[1], 220), coloured())
    paper.caption(caption_x, 150, "Figure 1.", TEXT, wide=160).text((50, 260, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert_at(figure, (picture_x[0], 60, picture_x[1], 220))
    assert figure.caption is not None
    assert figure.caption.text == f"Figure 1. {TEXT}"


def test_two_figures_side_by_side_are_two(tmp_path: Path) -> None:
    paper = Paper()
    for number, x in enumerate((50, 260), 1):
        paper.image((x, 60, x + 180, 200), coloured()).caption(x, 216, f"Figure {number}.", TEXT, wide=180)
    found = named(read(paper.text((50, 300, 450, 640)), tmp_path))
    assert_at(found["Figure 1"], (50, 60, 230, 200))
    assert_at(found["Figure 2"], (260, 60, 440, 200))


def test_panels_far_apart_under_one_caption_are_one_figure(tmp_path: Path) -> None:
    paper = Paper()
    for x in (50, 260):
        for y in (60, 180):
            paper.image((x, y, x + 180, y + 100), coloured()).words(x + 85, y + 112, "(a)")
    paper.caption(150, 310, "Figure 1.", "A short caption.").text((50, 340, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert_at(figure, (50, 60, 440, 294))


def test_a_caption_set_in_two_columns_is_whole(tmp_path: Path) -> None:
    paper = Paper().image((50, 60, 460, 220), coloured())
    words = (TEXT + " " + TEXT).split()
    paper.caption(50, 240, "Fig. 1", " ".join(words[:20]), wide=195)
    paper.text((265, 232, 460, 300), " ".join(words[20:]), size=8)
    for x0, x1 in (LEFT, RIGHT):
        paper.text((x0, 320, x1, 640))
    (figure,) = read(paper, tmp_path).figures
    assert figure.caption is not None
    assert figure.caption.text == f"Fig. 1 {TEXT} {TEXT}"
    assert len(figure.caption.boxes) == 2


def test_a_caption_ends_where_the_text_begins(tmp_path: Path) -> None:
    paper = Paper().image((50, 60, 450, 240), coloured())
    paper.caption(50, 258, "Figure 1.", TEXT, size=10, wide=400).text((50, 290, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert figure.caption is not None
    assert figure.caption.text == f"Figure 1. {TEXT}"


def test_a_frame_around_figure_and_caption_is_no_part_of_the_figure(tmp_path: Path) -> None:
    paper = Paper().image((60, 60, 440, 240), coloured()).caption(60, 258, "FIGURE 1 |", TEXT, wide=380)
    paper.page.draw_rect((50, 50, 450, 280), color=(0.5, 0.5, 0.5), width=0.5)
    (figure,) = read(paper.text((50, 300, 450, 640)), tmp_path).figures
    assert figure.kind == "raster"
    assert_at(figure, (60, 60, 440, 240), 0.99)


def test_a_page_that_stands_sideways_is_read(tmp_path: Path) -> None:
    paper = Paper().text((50, 60, 450, 640)).next_page().image((80, 150, 280, 450), coloured())
    for number, line in enumerate(
        ("Figure 1. Chest CT of the patient, in the order of", "the days on which it was taken.")
    ):
        paper.words(300 + 10 * number, 500, line, rotate=90)
    (figure,) = read(paper, tmp_path).figures
    assert figure.page == 2
    assert_at(figure, (80, 150, 280, 450))
    assert figure.caption is not None
    assert figure.caption.text.endswith("on which it was taken.")


# Figures apart from their captions


def manuscript(labels: bool) -> Paper:
    paper = Paper()
    paper.text((80, 50, 450, 300), "The first is large (Figure 1). " + SENTENCE * 12)
    for number in (1, 2, 3):
        paper.caption(
            80, 320 + 60 * number, f"Figure {number}.", f"It is number {number}. {TEXT}", size=10, wide=370
        )
    for number in (1, 2, 3):
        paper.next_page().image((100, 100, 400, 250 + 50 * number), coloured())
        if labels:
            paper.words(80, 70, f"Figure {4 - number}", 10)
    return paper


def test_figures_at_the_end_are_joined_by_order(tmp_path: Path) -> None:
    document = read(manuscript(labels=False), tmp_path)
    assert [(f.page, f.caption.number, f.caption.page) for f in document.figures if f.caption] == [
        (2, "1", 1),
        (3, "2", 1),
        (4, "3", 1),
    ]
    assert all("It is number" in figure.caption.text for figure in document.figures if figure.caption)
    assert all(0 < figure.confidence < 0.8 for figure in document.figures)
    assert len(document.figures[0].mentions) == 1


def test_names_on_the_pages_of_figures_go_before_order(tmp_path: Path) -> None:
    document = read(manuscript(labels=True), tmp_path)
    assert [(f.page, f.caption.number) for f in document.figures if f.caption] == [
        (2, "3"),
        (3, "2"),
        (4, "1"),
    ]
    assert all(f"It is number {f.caption.number}" in f.caption.text for f in document.figures if f.caption)


def test_the_numbers_of_lines_are_no_part_of_a_caption(tmp_path: Path) -> None:
    paper = Paper().image((80, 60, 450, 240), coloured())
    paper.caption(80, 262, "Figure 1.", TEXT + " " + TEXT, size=10, wide=370).text((80, 330, 450, 640))
    for number in range(30):
        paper.words(50, 262 + 12 * number, str(number + 101), 8)
    (figure,) = read(paper, tmp_path).figures
    assert figure.caption is not None
    assert figure.caption.text == f"Figure 1. {TEXT} {TEXT}"


def test_a_caption_without_graphics_is_named(tmp_path: Path) -> None:
    document = read(Paper().caption(50, 60, "Figure 1.", TEXT, wide=400).text((50, 120, 450, 640)), tmp_path)
    assert document.figures == ()
    assert document.problems == ("Figure 1 (page 1): a caption without graphics",)


# Over breaks

LONG = ("Chest CT shows opacities in both lungs and " * 6).strip().split()


def test_a_caption_goes_on_in_the_next_column(tmp_path: Path) -> None:
    paper = Paper().text((50, 50, 245, 430)).image((50, 460, 245, 590), coloured())
    paper.caption(50, 606, "Figure 1.", " ".join(LONG), wide=195)
    paper.words(265, 56, "of the patient who had fever.", 8).text((265, 80, 460, 640))
    (figure,) = read(paper, tmp_path).figures
    assert figure.caption is not None
    assert figure.caption.text == f"Figure 1. {' '.join(LONG)} of the patient who had fever."
    assert len(figure.caption.boxes) == 2


def test_a_caption_goes_on_on_the_next_page(tmp_path: Path) -> None:
    paper = Paper().text((50, 50, 450, 430)).image((50, 460, 450, 590), coloured())
    paper.caption(50, 606, "Figure 1.", " ".join(LONG), wide=400).next_page()
    paper.words(50, 56, "of the patient who had fever.", 8).text((50, 80, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert figure.caption is not None
    assert figure.caption.text.endswith("lungs and of the patient who had fever.")
    assert figure.caption.page == 1


def test_a_caption_that_ends_takes_nothing_from_the_next_page(tmp_path: Path) -> None:
    paper = Paper().text((50, 50, 450, 430)).image((50, 460, 450, 590), coloured())
    paper.caption(50, 606, "Figure 1.", TEXT, wide=400).next_page()
    paper.words(50, 56, "of the patient who had fever.", 8).text((50, 80, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert figure.caption is not None
    assert figure.caption.text == f"Figure 1. {TEXT}"


# Figures without graphics of their own


def test_a_listing_set_as_text_is_a_figure_of_low_confidence(tmp_path: Path) -> None:
    paper = Paper().text((50, 50, 450, 200))
    for number in range(6):
        paper.words(100, 240 + 11 * number, f"step {number}: x = {number}", font="cour")
    paper.caption(100, 320, "Figure 1.", TEXT).text((50, 360, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert figure.kind == "vector"
    assert 0 < figure.confidence < 0.5
    assert_at(figure, (100, 234, 190, 297), 0.6)


def test_a_figure_on_a_scan_is_what_lies_between_the_text(tmp_path: Path) -> None:
    paper = (
        Paper()
        .text((50, 50, 450, 200))
        .caption(50, 420, "Figure 1.", TEXT, wide=400)
        .text((50, 460, 450, 640))
    )
    scan = np.full((1400, 1000), 255, np.uint8)
    scan[460:780, 200:800] = 90
    paper.image((0, 0, 500, 700), scan)
    (figure,) = read(paper, tmp_path).figures
    assert figure.kind == "mixed"
    assert_at(figure, (100, 230, 400, 390), 0.9)
