"""The pictures of figures: original bytes where they can be kept, else pixels as a reader sees them."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from made_papers import Paper, coloured, decoded, encoded, picture, with_figure
from PIL import Image

from harness.figures.documents import read_document
from harness.figures.types import Figure

UPRIGHT = (200, 0, 0, 150, 100, 450)  # the box (100, 100, 300, 250) of a page 700 points high


def read(paper: Paper, folder: Path, name: str = "paper") -> tuple[Figure, np.ndarray, np.ndarray]:
    """The only figure of a paper, its pixels, and the page rendered there at the same size."""
    path = paper.save(folder / f"{name}.pdf")
    document = read_document(path, folder / "out")
    assert document.problems == ()
    (figure,) = document.figures
    with pymupdf.open(path) as opened:
        page = opened[figure.page - 1]
        wide = figure.box[2] - figure.box[0]
        scale = figure.width / wide
        pixmap = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), clip=pymupdf.Rect(figure.box))
        seen = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)
    return figure, decoded(folder / "out" / figure.image), seen


def assert_alike(pixels: np.ndarray, seen: np.ndarray, most: float = 6.0) -> None:
    """Whether a picture is the rendered page but for its edges."""
    rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    resized = np.asarray(Image.fromarray(seen).resize((rgb.shape[1], rgb.shape[0])))
    assert np.abs(rgb[3:-3, 3:-3].astype(int) - resized[3:-3, 3:-3]).mean() < most


def test_a_plain_jpeg_keeps_its_bytes(tmp_path: Path) -> None:
    data = encoded(coloured(), "JPEG", quality=90)
    paper = with_figure(Paper())
    number = paper.raw_image(
        UPRIGHT, 120, 90, data, Filter="/DCTDecode", ColorSpace="/DeviceRGB", BitsPerComponent="8"
    )
    figure, pixels, seen = read(paper, tmp_path)
    assert (tmp_path / "out" / figure.image).read_bytes() == data
    assert (figure.kind, figure.objects, figure.image) == ("raster", (number,), f"paper-p1-{number}.jpg")
    assert (figure.width, figure.height) == (120, 90)
    assert figure.box == pytest.approx((100, 100, 300, 250), abs=0.5)
    assert_alike(pixels, seen)


def test_a_jpeg_inside_deflate_keeps_its_bytes(tmp_path: Path) -> None:
    data = encoded(picture(), "JPEG")
    paper = with_figure(Paper())
    paper.raw_image(
        UPRIGHT, 120, 90, zlib.compress(data),
        Filter="[/FlateDecode/DCTDecode]", ColorSpace="/DeviceGray", BitsPerComponent="8",
    )  # fmt: skip
    figure, _, _ = read(paper, tmp_path)
    assert (tmp_path / "out" / figure.image).read_bytes() == data


def forms() -> dict[str, tuple[bytes, dict[str, str]]]:
    """Images in the forms that PDFs have, all 120 by 90, with the keys of their objects."""
    grey, rgb = picture(), coloured()
    inks = np.asarray(Image.fromarray(rgb).convert("CMYK"))
    bits = np.packbits(picture() > 128, axis=1).tobytes()
    palette = bytes(v for k in range(256) for v in (k, 255 - k, k // 2)).hex()
    eight = {"BitsPerComponent": "8"}
    lossless = {"Filter": "/FlateDecode", **eight}
    return {
        "grey": (zlib.compress(grey.tobytes()), {"ColorSpace": "/DeviceGray", **lossless}),
        "rgb": (zlib.compress(rgb.tobytes()), {"ColorSpace": "/DeviceRGB", **lossless}),
        "unpacked": (rgb.tobytes(), {"ColorSpace": "/DeviceRGB", **eight}),
        "four inks": (zlib.compress(inks.tobytes()), {"ColorSpace": "/DeviceCMYK", **lossless}),
        "inverted": (
            zlib.compress(grey.tobytes()), {"ColorSpace": "/DeviceGray", "Decode": "[1 0]", **lossless}
        ),
        "inverted jpeg": (
            encoded(grey, "JPEG"),
            {"ColorSpace": "/DeviceGray", "Decode": "[1 0]", "Filter": "/DCTDecode", **eight},
        ),
        "jpeg of four inks": (
            encoded(rgb, "JPEG", "CMYK"), {"ColorSpace": "/DeviceCMYK", "Filter": "/DCTDecode", **eight}
        ),
        "tint": (
            encoded(grey, "JPEG"),
            {
                "ColorSpace": "[/Separation/Black/DeviceGray<</FunctionType 2/Domain[0 1]/C0[1]/C1[0]/N 1>>]",
                "Filter": "/DCTDecode",
                **eight,
            },
        ),
        "jpeg 2000": (encoded(rgb, "JPEG2000"), {"ColorSpace": "/DeviceRGB", "Filter": "/JPXDecode", **eight}),
        "palette": (
            zlib.compress(grey.tobytes()), {"ColorSpace": f"[/Indexed/DeviceRGB 255<{palette}>]", **lossless}
        ),
        "one bit": (
            zlib.compress(bits),
            {"ColorSpace": "/DeviceGray", "BitsPerComponent": "1", "Filter": "/FlateDecode"},
        ),
        "sixteen bits": (
            zlib.compress((grey.astype(">u2") * 257).tobytes()),
            {"ColorSpace": "/DeviceGray", "BitsPerComponent": "16", "Filter": "/FlateDecode"},
        ),
        "lab": (
            zlib.compress(rgb.tobytes()),
            {"ColorSpace": "[/Lab<</WhitePoint[0.95 1 1.08]/Range[-100 100 -100 100]>>]", **lossless},
        ),
        "colour key": (
            zlib.compress(grey.tobytes()), {"ColorSpace": "/DeviceGray", "Mask": "[0 10]", **lossless}
        ),
    }  # fmt: skip


@pytest.mark.parametrize("form", list(forms()))
def test_an_image_object_looks_as_the_page_does(form: str, tmp_path: Path) -> None:
    data, keys = forms()[form]
    paper = with_figure(Paper())
    paper.raw_image(UPRIGHT, 120, 90, data, **keys)
    figure, pixels, seen = read(paper, tmp_path)
    assert figure.kind == "raster"
    assert_alike(pixels, seen, 8.0)
    if form != "colour key":  # that one is rendered, as masks by colour have no picture of their own
        assert (figure.width, figure.height) == (120, 90)


def test_a_fax_is_read(tmp_path: Path) -> None:
    data = encoded(np.where(picture() > 128, 255, 0).astype(np.uint8), "TIFF", "1", compression="group4")
    with Image.open(tmp_path / "fax.tif") if (tmp_path / "fax.tif").write_bytes(data) else None as opened:  # type: ignore[union-attr]
        offset, count = opened.tag_v2[273][0], opened.tag_v2[279][0]
        black = opened.tag_v2[262] == 1
    paper = with_figure(Paper())
    parameters = f"<</K -1/Columns 120/Rows 90/BlackIs1 {'true' if black else 'false'}>>"
    paper.raw_image(
        UPRIGHT, 120, 90, data[offset : offset + count],
        Filter="/CCITTFaxDecode", DecodeParms=parameters, ColorSpace="/DeviceGray", BitsPerComponent="1",
    )  # fmt: skip
    _, pixels, seen = read(paper, tmp_path)
    assert_alike(pixels, seen)


MATRICES = {
    "mirrored": (-200, 0, 0, 150, 300, 450),
    "upside down": (200, 0, 0, -150, 100, 600),
    "turned by 180": (-200, 0, 0, -150, 300, 600),
    "turned left": (0, 150, -200, 0, 300, 450),
    "turned right": (0, -150, 200, 0, 100, 600),
    "transposed": (0, 150, 200, 0, 100, 450),
}


@pytest.mark.parametrize("name", MATRICES)
def test_flips_and_quarter_turns_come_out_as_seen(name: str, tmp_path: Path) -> None:
    paper = with_figure(Paper())
    keys = {"ColorSpace": "/DeviceGray", "BitsPerComponent": "8", "Filter": "/DCTDecode"}
    paper.raw_image(MATRICES[name], 120, 90, encoded(picture(), "JPEG", quality=95), **keys)
    figure, pixels, seen = read(paper, tmp_path)
    turned = MATRICES[name][0] == 0
    assert (figure.width, figure.height) == ((90, 120) if turned else (120, 90))
    assert_alike(pixels, seen)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_page_that_is_shown_rotated_gives_pictures_and_boxes_as_shown(
    rotation: int, tmp_path: Path
) -> None:
    paper = with_figure(Paper()).image((100, 100, 300, 250), coloured())
    paper.page.set_rotation(rotation)
    figure, pixels, seen = read(paper, tmp_path)
    boxes = {90: (450, 100, 600, 300), 180: (200, 450, 400, 600), 270: (100, 200, 250, 400)}
    assert figure.box == pytest.approx(boxes[rotation], abs=1)
    assert figure.caption is not None
    assert figure.caption.number == "1"
    assert_alike(pixels, seen)


def test_boxes_count_from_the_crop_box(tmp_path: Path) -> None:
    paper = with_figure(Paper()).image((100, 100, 300, 250), coloured())
    paper.page.set_cropbox(pymupdf.Rect(40, 50, 480, 680))
    figure, pixels, seen = read(paper, tmp_path)
    assert figure.box == pytest.approx((60, 50, 260, 200), abs=1)
    assert_alike(pixels, seen)


def test_an_image_turned_by_an_odd_angle_is_rendered(tmp_path: Path) -> None:
    paper = with_figure(Paper())
    keys = {"ColorSpace": "/DeviceGray", "BitsPerComponent": "8"}
    paper.raw_image((150, 40, -30, 110, 140, 450), 120, 90, picture().tobytes(), **keys)
    figure, pixels, seen = read(paper, tmp_path)
    assert figure.width / (figure.box[2] - figure.box[0]) == pytest.approx(300 / 72, rel=0.02)
    assert_alike(pixels, seen)


def test_what_a_soft_mask_hides_is_white(tmp_path: Path) -> None:
    paper = with_figure(Paper())
    mask = np.full((90, 120), 255, np.uint8)
    mask[:, :60] = 0
    hidden = paper.object(
        "/Type/XObject/Subtype/Image/Width 120/Height 90/ColorSpace/DeviceGray/BitsPerComponent 8",
        mask.tobytes(),
    )
    data = encoded(np.full((90, 120, 3), 60, np.uint8), "JPEG")
    keys = {"ColorSpace": "/DeviceRGB", "BitsPerComponent": "8", "Filter": "/DCTDecode"}
    paper.raw_image(UPRIGHT, 120, 90, data, SMask=f"{hidden} 0 R", **keys)
    figure, pixels, _ = read(paper, tmp_path)
    assert figure.image.endswith(".png")
    assert (pixels[:, :58] == 255).all()
    assert (np.abs(pixels[:, 62:].astype(int) - 60) < 4).all()


def test_an_inline_image_is_a_figure(tmp_path: Path) -> None:
    rows = b"BI /W 120 /H 90 /CS /G /BPC 8 ID " + picture().tobytes() + b"\nEI"
    paper = with_figure(Paper())
    paper.operations(b"q 200 0 0 150 100 450 cm\n" + rows + b"\nQ")
    figure, pixels, seen = read(paper, tmp_path)
    assert figure.objects == ()
    assert np.array_equal(pixels, picture())
    assert_alike(pixels, seen)


def test_tiles_are_joined_at_their_own_resolution(tmp_path: Path) -> None:
    whole = coloured(180, 240)
    paper = with_figure(Paper())
    for y in (0, 1):
        for x in (0, 1):
            tile = whole[90 * y : 90 * y + 90, 120 * x : 120 * x + 120]
            box = (100 + 100 * x, 100 + 75 * y, 200 + 100 * x, 175 + 75 * y)
            paper.image(box, tile)
    figure, pixels, _ = read(paper, tmp_path)
    assert (figure.kind, len(figure.objects)) == ("tiled", 4)
    assert np.array_equal(pixels, whole)


def test_an_image_that_the_page_crops_is_what_the_page_shows(tmp_path: Path) -> None:
    paper = with_figure(Paper())
    keys = {"ColorSpace": "/DeviceGray", "BitsPerComponent": "8"}
    paper.operations("q 140 450 120 150 re W n")
    paper.raw_image((320, 0, 0, 150, 60, 450), 960, 450, picture(450, 960).tobytes(), **keys)
    paper.operations("Q")
    figure, pixels, _ = read(paper, tmp_path)
    assert figure.box == pytest.approx((140, 100, 260, 250), abs=1)
    assert np.array_equal(pixels, picture(450, 960)[:, 240:600])


def test_images_that_clips_crop_each_keep_to_their_own(tmp_path: Path) -> None:
    paper = with_figure(Paper())
    keys = {"ColorSpace": "/DeviceGray", "BitsPerComponent": "8"}
    for x in (100, 202):
        paper.operations(f"q {x} 450 98 150 re W n")
        paper.raw_image((300, 0, 0, 150, x - 100, 450), 900, 450, picture(450, 900).tobytes(), **keys)
        paper.operations("Q")
    figure, _, _ = read(paper, tmp_path)
    assert figure.box == pytest.approx((100, 100, 300, 250), abs=1)


def test_an_image_outside_its_clip_is_not_there(tmp_path: Path) -> None:
    paper = with_figure(Paper()).image((100, 100, 300, 250), coloured())
    keys = {"ColorSpace": "/DeviceGray", "BitsPerComponent": "8"}
    paper.operations("q 10 10 5 5 re W n")
    paper.raw_image((80, 0, 0, 150, 310, 450), 90, 120, picture(120, 90).tobytes(), **keys)
    paper.operations("Q")
    figure, pixels, _ = read(paper, tmp_path)
    assert figure.box == pytest.approx((100, 100, 300, 250), abs=1)
    assert np.array_equal(pixels, coloured())


def test_letters_on_an_image_do_not_make_it_a_screenshot(tmp_path: Path) -> None:
    paper = with_figure(Paper()).image((100, 100, 300, 250), coloured()).words(105, 112, "A", 10, "hebo")
    figure, pixels, _ = read(paper, tmp_path)
    assert figure.kind == "raster"
    assert np.array_equal(pixels, coloured())


def test_an_image_among_drawings_is_rendered_at_its_own_resolution_or_more(tmp_path: Path) -> None:
    paper = with_figure(Paper()).image((100, 100, 190, 250), coloured(900, 540)).chart((200, 100, 300, 250))
    figure, _, _ = read(paper, tmp_path)
    assert figure.kind == "mixed"
    assert figure.width / (figure.box[2] - figure.box[0]) == pytest.approx(6.0, rel=0.02)


def test_a_drawing_is_rendered_at_300_dpi_and_cut_to_its_ink(tmp_path: Path) -> None:
    paper = with_figure(Paper()).chart((100, 100, 300, 250))
    figure, pixels, _ = read(paper, tmp_path)
    assert figure.kind == "vector"
    assert figure.width / (figure.box[2] - figure.box[0]) == pytest.approx(300 / 72, rel=0.02)
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    assert all(edge.min() < 250 for edge in edges)


def test_the_right_one_of_several_images_of_one_size_is_taken(tmp_path: Path) -> None:
    paper = with_figure(Paper())
    keys = {"ColorSpace": "/DeviceGray", "BitsPerComponent": "8"}
    other = paper.object(
        "/Type/XObject/Subtype/Image/Width 120/Height 90", (255 - picture()).tobytes(), **keys
    )
    paper.resource("Other", other)
    number = paper.raw_image(UPRIGHT, 120, 90, picture().tobytes(), **keys)
    figure, pixels, _ = read(paper, tmp_path)
    assert figure.objects == (number,)
    assert np.array_equal(pixels, picture())


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    paper = with_figure(Paper())
    keys = {"ColorSpace": "/DeviceGray", "BitsPerComponent": "8", "Filter": "/FlateDecode"}
    paper.raw_image(UPRIGHT, 60_000, 60_000, zlib.compress(bytes(1000)), **keys)
    document = read_document(paper.save(tmp_path / "bomb.pdf"), tmp_path / "out")
    assert document.figures == ()
    assert any("3600000000 pixels" in problem and "page 1" in problem for problem in document.problems)
