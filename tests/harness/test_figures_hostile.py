"""PDFs that hide words, show other pictures than they hold, or never end; folders that belong to somebody else."""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from made_papers import Paper, coloured, decoded, encoded, picture, with_figure
from typer.testing import CliRunner, Result

from harness.cli import app
from harness.errors import DataError
from harness.figures.documents import Unopened, read_document
from harness.figures.figure_files import earlier_pictures

PLACE = (200, 0, 0, 150, 100, 450)
"""The matrix of an image within (100, 100, 300, 250)."""


def extract(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["figures", "extract", *map(str, arguments)])


def with_resource(paper: Paper, path: str, value: str) -> Paper:
    kind, holder = paper.document.xref_get_key(paper.page.xref, "Resources")
    assert kind == "xref"
    paper.document.xref_set_key(int(holder.split()[0]), path, value)
    return paper


def with_font(paper: Paper) -> Paper:
    paper.words(20, 20, "x")
    return with_resource(paper, "Font/F0", "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")


def laughs(path: Path) -> Path:
    """Forms that call each other twice, forty levels deep."""
    paper = with_figure(Paper())
    inner = paper.object("/Type/XObject/Subtype/Form/BBox[0 0 500 700]", b"0 0 10 10 re f")
    for _ in range(40):
        call = f"/Type/XObject/Subtype/Form/BBox[0 0 500 700]/Resources<</XObject<</F {inner} 0 R>>>>"
        inner = paper.object(call, b"/F Do /F Do")
    return paper.resource("F", inner).operations("/F Do").save(path)


@pytest.mark.slow
def test_a_pdf_that_never_ends_costs_only_itself(tmp_path: Path) -> None:
    good = with_figure(Paper().image((100, 100, 300, 250), picture())).save(tmp_path / "good.pdf")
    out = tmp_path / "out"
    done = extract(laughs(tmp_path / "laughs.pdf"), good, "--out", out, "--time-limit", 3)
    assert done.exit_code == 1
    assert "laughs.pdf: took more than 3 s and was stopped (--time-limit)" in done.output
    assert [len(one["figures"]) for one in json.loads((out / "figures.json").read_text())["documents"]] == [
        0,
        1,
    ]
    assert sorted(path.suffix for path in out.iterdir()) == [".json", ".png"], "nothing else is left"


@pytest.mark.parametrize("ink", ["3 Tr", "1 1 1 rg"])
def test_words_that_the_page_does_not_show_are_no_caption(tmp_path: Path, ink: str) -> None:
    paper = with_font(Paper().image((100, 100, 300, 250), picture()))
    paper.operations(f"BT {ink} /F0 8 Tf 100 432 Td (Figure 7. COVID-19 in a man.) Tj ET").text(
        (60, 300, 440, 640)
    )
    (figure,) = read_document(paper.save(tmp_path / "a.pdf"), tmp_path / "out").figures
    assert figure.caption is None


def test_white_words_on_a_dark_ground_are_read(tmp_path: Path) -> None:
    paper = with_font(Paper().image((100, 100, 300, 250), picture())).operations(
        "0 0 0.4 rg 0 425 500 20 re f"
    )
    paper.operations("BT 1 1 1 rg /F0 8 Tf 100 432 Td (Figure 7. CT of a man.) Tj ET").text(
        (60, 300, 440, 640)
    )
    figures = read_document(paper.save(tmp_path / "a.pdf"), tmp_path / "out").figures
    assert [figure.caption.number for figure in figures if figure.caption] == ["7"]


def test_words_without_ink_on_a_scan_are_those_that_were_recognised(tmp_path: Path) -> None:
    paper = with_font(Paper().image((0, 0, 500, 700), np.full((700, 500), 230, np.uint8)))
    paper.operations("BT 3 Tr /F0 10 Tf 100 432 Td (Figure 7. CT of a man.) Tj ET")
    document = read_document(paper.save(tmp_path / "a.pdf"), tmp_path / "out")
    told = [figure.caption.label for figure in document.figures if figure.caption] + list(document.problems)
    assert any("Figure 7" in one for one in told)


def shown(path: Path, tmp_path: Path) -> np.ndarray:
    (figure,) = read_document(path, tmp_path / "out").figures
    return decoded(tmp_path / "out" / figure.image)


def test_a_picture_that_is_clipped_askew_is_what_the_page_shows(tmp_path: Path) -> None:
    paper = Paper()
    number = paper.raw_image((0, 0, 0, 0, 0, 0), 120, 90, zlib.compress(picture().tobytes()), Filter="/FlateDecode",
        BitsPerComponent="8", ColorSpace="/DeviceGray")  # fmt: skip
    paper.operations(
        f"q 200 450 m 300 525 l 200 600 l 100 525 l h W n 200 0 0 150 100 450 cm /Im{number} Do Q"
    )
    pixels = shown(with_figure(paper).save(tmp_path / "a.pdf"), tmp_path)
    assert pixels[5, 5] == 255, "the corner is outside of the clip"


def test_a_jpeg_that_says_it_is_not_ycc_is_not_kept_as_it_is(tmp_path: Path) -> None:
    paper = Paper()
    paper.raw_image(PLACE, 120, 90, encoded(coloured(), "JPEG", quality=95), BitsPerComponent="8",
        ColorSpace="/DeviceRGB", Filter="/DCTDecode", DecodeParms="<</ColorTransform 0>>")  # fmt: skip
    paper = with_figure(paper)
    drawn = paper.page.get_pixmap(clip=(100, 100, 300, 250)).samples
    expected = np.frombuffer(drawn, np.uint8).reshape(150, 200, 3).mean(axis=(0, 1))
    pixels = shown(paper.save(tmp_path / "a.pdf"), tmp_path)
    assert np.abs(pixels.mean(axis=(0, 1)) - expected).max() < 5


def test_a_picture_under_white_paint_is_no_picture(tmp_path: Path) -> None:
    paper = Paper().image((100, 100, 300, 250), picture()).operations("1 g 100 450 200 150 re f")
    document = read_document(with_figure(paper).save(tmp_path / "a.pdf"), tmp_path / "out")
    assert document.figures == ()
    assert "Figure 1 (page 1): no picture: nothing of it can be seen on its page" in document.problems


def test_a_rotation_of_a_thousand_million_degrees_takes_no_time(tmp_path: Path) -> None:
    paper = with_figure(Paper().image((100, 100, 300, 250), picture()))
    paper.document.xref_set_key(paper.page.xref, "Rotate", "1000000170")
    started = time.process_time()
    (figure,) = read_document(paper.save(tmp_path / "a.pdf"), tmp_path / "out").figures
    assert time.process_time() - started < 5
    assert tuple(round(value) for value in figure.box) == (450, 100, 600, 300), "a quarter turn"


def test_ten_thousand_places_of_a_picture_are_named_and_left(tmp_path: Path) -> None:
    paper = with_figure(Paper().image((100, 100, 110, 110), picture()))
    (name,) = [entry[7] for entry in paper.page.get_images()]
    paper.operations(f"q 10 0 0 10 100 450 cm /{name} Do Q\n" * 10_000)
    document = read_document(paper.save(tmp_path / "a.pdf"), tmp_path / "out")
    assert document.problems == ("page 1: 10001 images, more than 4000; not looked at",)


def test_a_file_whose_end_is_cut_off_is_read_as_far_as_it_goes_and_named(tmp_path: Path) -> None:
    path = with_figure(Paper().image((100, 100, 300, 250), picture())).save(tmp_path / "a.pdf")
    path.write_bytes(path.read_bytes()[:-1500])
    document = read_document(path, tmp_path / "out")
    assert document.problems[0] == "the file is damaged; what could be mended of it was read"
    assert not any("cannot be read" in problem for problem in document.problems)


def test_a_pdf_without_a_page_that_can_be_read_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[2 0 R]/Count 1>>"
        b"endobj\ntrailer<</Root 1 0 R>>\n")  # fmt: skip
    with pytest.raises(Unopened, match="no page can be read"):
        read_document(path, tmp_path / "out")


@pytest.mark.parametrize(
    "text", ["mine", "[1]", '{"documents": [{"file": "a.pdf", "figures": [{"image": "mine-p1-2.png"}]}]}']
)
def test_a_figures_json_of_somebody_else_is_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "figures.json").write_text(text)
    (tmp_path / "mine-p1-2.png").write_text("mine")
    with pytest.raises(DataError, match="not written by this command"):
        earlier_pictures(tmp_path)


def test_only_pictures_with_names_of_this_command_are_taken_for_its_own(tmp_path: Path) -> None:
    figures = [{"image": name} for name in ("a-p1-5.png", "a-p1-r2.png", "../x-p1-5.png", "mine.png", 3)]
    whole = {"schema_version": 1, "documents": [{"figures": figures}]}
    (tmp_path / "figures.json").write_text(json.dumps(whole))
    assert earlier_pictures(tmp_path) == {"a-p1-5.png", "a-p1-r2.png"}


def test_a_dataset_is_no_place_for_figures(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text("")
    with pytest.raises(DataError, match="is a dataset"):
        earlier_pictures(tmp_path)
