"""Forms of figures and captions that publishers have and the first papers did not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_papers import SENTENCE, Paper, coloured, picture

from harness.figures.boxes import iou
from harness.figures.documents import read_document
from harness.figures.figure_files import as_json
from harness.figures.labels import label_at_start
from harness.figures.types import Document, Figure

TEXT = "Chest CT shows opacities in both lungs and in the lower lobes of the patient who had fever."
KEYS = {"ColorSpace": "/DeviceGray", "BitsPerComponent": "8"}


def read(paper: Paper, folder: Path) -> Document:
    return read_document(paper.save(folder / "paper.pdf"), folder / "out")


def said(figure: Figure) -> str:
    assert figure.caption is not None
    return figure.caption.text


# Names


@pytest.mark.parametrize(
    ("text", "label", "number"),
    [
        ("Figure: Chest CT of a man", "Figure", ""),
        ("Figure. Chest CT of a man", "Figure", ""),
        ("Fig. 2 A, B. Chest CT", "Fig. 2", "2"),
        ("Fig. 3 A 61-year-old man", "Fig. 3", "3"),
        ("Figure 1A. Chest CT", "Figure 1A", "1"),
        ("Figura 1 – Tomografia", "Figura 1", "1"),
        ("Abb. 3: Das CT", "Abb. 3", "3"),
        ("图1 胸部CT", "图1", "1"),
    ],
)
def test_more_names_of_figures_are_read(text: str, label: str, number: str) -> None:
    found = label_at_start(text)
    assert found is not None
    assert (found.text, found.number) == (label, number)


@pytest.mark.parametrize("text", ["Figure legends", "Figure — and so on", "Figure.", "Figure: the lungs"])
def test_a_word_without_a_number_is_no_name_by_itself(text: str) -> None:
    assert label_at_start(text) is None


@pytest.mark.parametrize(
    ("text", "bare", "continued"),
    [
        ("Fig. 1 (See legend on next page.)", True, False),
        ("Figure 1. Cont.", True, True),
        ("Figure 3 (continued)", True, True),
        ("Fig. 3 (continued)—56-year-old man", False, True),
        ("Figure 1. Continued enhancement of the lung", False, False),
    ],
)
def test_what_stands_elsewhere_is_said_to(text: str, bare: bool, continued: bool) -> None:
    found = label_at_start(text)
    assert found is not None
    assert (found.bare, found.continued) == (bare, continued)


def test_a_papers_only_figure_needs_no_number(tmp_path: Path) -> None:
    paper = Paper().image((50, 60, 450, 240), coloured()).caption(50, 258, "Figure:", TEXT, wide=400)
    document = read(paper.text((50, 300, 450, 640)), tmp_path)
    assert said(document.figures[0]) == f"Figure: {TEXT}"
    assert as_json(document)["figures"][0]["number"] is None  # type: ignore[index]


# Captions


def test_a_caption_with_the_wide_lines_of_a_manuscript_is_whole(tmp_path: Path) -> None:
    paper = Paper()
    for number in range(14):
        paper.words(60, 60 + 22 * number, SENTENCE[: 76 - number % 3], 11)
    paper.next_page().image((60, 60, 440, 240), coloured()).words(60, 262, "FIG. 1. " + SENTENCE[:80], 9.5)
    paper.words(60, 282, SENTENCE[:84], 9.5).words(60, 302, "and so to the end of it.", 9.5)
    (figure,) = read(paper, tmp_path).figures
    assert said(figure).endswith("to the end of it.")


def test_a_narrow_gutter_is_not_crossed(tmp_path: Path) -> None:
    paper = Paper()
    for number, line in enumerate(
        ["Figure 1: Chest CT of a man who had fever and a", TEXT[:48], "on that day."]
    ):
        paper.words(50, 60 + 12 * number, line, 10)
    paper.image((50, 110, 243, 220), coloured())
    for number in range(30):
        paper.words(252, 60 + 12 * number, SENTENCE[: 46 - number % 4], 10)
    paper.text((50, 240, 243, 640))
    (figure,) = read(paper, tmp_path).figures
    assert said(figure) == f"Figure 1: Chest CT of a man who had fever and a {TEXT[:48].strip()} on that day."


def test_the_words_below_a_figure_belong_to_the_title_above_it(tmp_path: Path) -> None:
    paper = (
        Paper()
        .words(50, 60, "Figure 1. Chest CT of a patient", 9, "hebo")
        .image((50, 70, 450, 240), coloured())
    )
    paper.words(50, 254, TEXT, 8, "helv").text((50, 290, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert said(figure) == f"Figure 1. Chest CT of a patient {TEXT}"


def test_a_caption_on_the_next_page_is_pointed_to(tmp_path: Path) -> None:
    paper = Paper().image((50, 60, 450, 560), coloured())
    paper.words(50, 580, "Fig. 1 (See legend on next page.)", 8, "tibo").next_page()
    paper.words(50, 60, "(See figure on previous page.)", 8).caption(50, 72, "Fig. 1", TEXT, wide=400)
    paper.text((50, 120, 450, 300)).image((50, 320, 450, 500), picture()).caption(50, 516, "Fig. 2", "Other.")
    document = read(paper, tmp_path)
    assert [(figure.page, said(figure)) for figure in document.figures] == [
        (1, f"Fig. 1 {TEXT}"),
        (2, "Fig. 2 Other."),
    ]


def test_each_page_of_a_figure_that_goes_on_has_its_part(tmp_path: Path) -> None:
    paper = Paper().image((50, 60, 450, 560), coloured()).caption(50, 580, "Figure 1.", TEXT, wide=400)
    paper.next_page().image((50, 60, 450, 400), picture()).caption(50, 420, "Figure 1 (continued).", "Day 9.")
    paper.text((50, 460, 450, 640))
    figures = read(paper, tmp_path).figures
    assert [(figure.page, figure.caption and figure.caption.number) for figure in figures] == [
        (1, "1"),
        (2, "1"),
    ]


def test_a_caption_in_the_texts_own_type_goes_on_over_the_page(tmp_path: Path) -> None:
    paper = Paper().words(50, 60, "All of this was seen. It is the end of the paragraph here.", 10)
    paper.image((50, 400, 450, 610), coloured())
    paper.words(50, 630, "Figure 1. " + SENTENCE[:74], 10).words(
        50, 642, SENTENCE[:84].strip(), 10
    ).next_page()
    paper.words(50, 60, "and this is the last of the caption.", 10).text((50, 90, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert said(figure).endswith("and this is the last of the caption.")


def test_an_address_below_a_caption_is_no_part_of_it(tmp_path: Path) -> None:
    paper = Paper().image((50, 60, 450, 240), coloured()).caption(50, 258, "Fig 1.", TEXT, wide=400)
    paper.words(50, 268, "https://doi.org/10.1234/journal.0230000.g001", 8).text((50, 300, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert said(figure) == f"Fig 1. {TEXT}"


def test_a_watermark_is_no_part_of_a_caption(tmp_path: Path) -> None:
    paper = Paper()
    for page in range(4):
        if page:
            paper.next_page()
        paper.words(80, 268, "ACCEPTED MANUSCRIPT", 14, "hebo")
        if page == 1:
            paper.image((50, 60, 450, 240), coloured()).caption(
                50, 258, "Figure 1.", TEXT + " " + TEXT, wide=300
            )
        paper.text((50, 320, 450, 640))
    (figure,) = read(paper, tmp_path).figures
    assert said(figure) == f"Figure 1. {TEXT} {TEXT}"


def test_letters_that_a_font_has_under_codes_of_control_are_read(tmp_path: Path) -> None:
    from harness.figures.pages import _line

    span = {"text": "A\x0bected \x0celd", "font": "CMR10", "size": 10.0, "flags": 0}
    assert _line((0, 0, 1, 1), [span], 0, 0).text == "Affected field"


# Figures


@pytest.mark.parametrize("bottom", [True, False])
def test_figures_above_each_other_keep_to_the_captions_beside_them(bottom: bool, tmp_path: Path) -> None:
    paper = Paper()
    for number, y in enumerate((60, 260), 1):
        for place in range(4):
            x, down = 50 + 130 * (place % 2), y + 97 * (place // 2)
            paper.image((x, down, x + 126, down + 93), picture() if number == 1 else coloured())
        paper.caption(320, y + 170 if bottom else y + 6, f"Fig. {number}", TEXT[:60], wide=140)
    document = read(paper.text((50, 470, 460, 640)), tmp_path)
    assert [round(figure.box[1]) for figure in document.figures] == [60, 260]


def test_sentences_in_the_boxes_of_a_flow_chart_belong_to_it(tmp_path: Path) -> None:
    paper = Paper().text((50, 40, 450, 150))
    for y in (170, 230):
        paper.page.draw_rect((50, y, 450, y + 38), color=(0, 0, 0))
        for row in range(3):
            paper.words(
                55, y + 12 + 10 * row, "Patients with suspected pneumonia who had a chest CT in the year 2020"
            )
        paper.page.draw_line((250, y + 38), (250, y + 60))
    paper.page.draw_rect((50, 290, 450, 310), color=(0, 0, 0))
    paper.words(55, 303, "Patients in the study").words(
        50, 326, "Figure 1. Flow chart of the study", 8, "tibi"
    )
    (figure,) = read(paper.text((50, 350, 450, 640)), tmp_path).figures
    assert iou(figure.box, (50, 170, 450, 310)) > 0.95


def test_a_numbered_heading_above_a_picture_is_no_part_of_it(tmp_path: Path) -> None:
    paper = Paper().text((50, 40, 450, 640)).next_page().words(50, 52, "3.2. CT findings", 10, "tiit")
    paper.image((50, 58, 450, 330), coloured()).caption(50, 346, "Figure 1.", TEXT, wide=400)
    (figure,) = read(paper, tmp_path).figures
    assert figure.box == pytest.approx((50, 58, 450, 330), abs=1)


def test_the_words_of_a_chart_do_not_turn_a_page(tmp_path: Path) -> None:
    paper = Paper().text((50, 40, 450, 640)).next_page().image((60, 58, 450, 500), coloured())
    for x in (45, 55):
        paper.words(x, 400, "number of the patients who were seen in the year of the study", 7, rotate=90)
    (figure,) = read(paper.caption(60, 516, "Figure 1.", "Short."), tmp_path).figures
    assert said(figure) == "Figure 1. Short."


def test_the_title_and_numbers_of_a_chart_at_the_top_of_a_page_belong_to_it(tmp_path: Path) -> None:
    paper = Paper()
    for page in range(2):
        if page:
            paper.next_page()
        top = 40 + 5 * page
        for x in (60, 260):
            paper.chart((x, top, x + 180, top + 150)).words(
                x + 40, top + 3, "Empirical and fitted", 9, "hebo"
            )
            paper.words(x + 10, top + 11, "50", 8, "helv")
        paper.caption(60, top + 170, f"Figure {page + 1}.", TEXT).text((60, top + 200, 440, 640))
    figures = read(paper, tmp_path).figures
    assert [round(figure.box[2] - figure.box[0], -1) for figure in figures] == [380, 380]


def test_a_drawing_of_short_strokes_is_a_figure(tmp_path: Path) -> None:
    paper = Paper().text((50, 40, 450, 150))
    shape = paper.page.new_shape()
    for number in range(900):
        x, y = 100 + number % 30 * 5, 180 + number // 30 * 4
        shape.draw_line((x, y), (x + 2, y + 1.5))
    shape.finish(color=(0, 0, 0))
    shape.commit()
    (figure,) = read(paper.caption(100, 320, "Figure 1.", TEXT).text((50, 350, 450, 640)), tmp_path).figures
    assert iou(figure.box, (100, 180, 247, 298)) > 0.9


def test_a_page_whose_only_picture_is_a_stencil_is_read(tmp_path: Path) -> None:
    paper = Paper().caption(100, 268, "Figure 1.", TEXT).text((60, 300, 440, 640))
    data = np.packbits(picture(80, 160) > 100, axis=1).tobytes()
    paper.raw_image((200, 0, 0, 150, 100, 450), 160, 80, data, ImageMask="true", BitsPerComponent="1")
    (figure,) = read(paper, tmp_path).figures
    assert iou(figure.box, (100, 100, 300, 250)) > 0.9


def test_strips_with_hair_wide_gaps_are_joined_without_seams(tmp_path: Path) -> None:
    paper = Paper().caption(100, 268, "Figure 1.", TEXT).text((60, 300, 440, 640))
    for number in range(5):
        bottom = 600 - 30.3 * (number + 1)
        strip = np.full((120, 800), 90, np.uint8).tobytes()
        paper.raw_image((200, 0, 0, 30, 100, bottom), 800, 120, strip, **KEYS)
    document = read(paper, tmp_path)
    from made_papers import decoded

    pixels = decoded(tmp_path / "out" / document.figures[0].image)
    assert document.figures[0].kind == "tiled"
    assert (pixels == 90).all()
