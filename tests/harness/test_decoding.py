"""Decoding: one path for every format, and a line that names the file for whatever is no image."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_images import encoded, grey, nothing_is_forbidden, png_that_claims
from PIL import Image

from harness.counters import since, snapshot
from harness.data.decoding import decode, has_wrong_suffix, is_dicom, pixels_sha256, quiet_decoders, read
from harness.errors import BadImage

PIXELS = grey(1, 20, 30)
COLOURS = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
SIXTEEN_BITS = (PIXELS.astype(np.uint16) << 8) | 0x7F


def refusal(data: bytes, max_pixels: int = 64_000_000) -> str:
    with pytest.raises(BadImage) as caught:
        decode(data, "a/b.png", max_pixels=max_pixels)
    line = str(caught.value)
    assert line.startswith("'a/b.png' ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            b"Not Found: the server said so",
            "is none of PNG, JPEG, TIFF, BMP, DICOM (it begins with b'Not Foun')",
        ),
        (encoded(PIXELS, "GIF"), "is none of PNG, JPEG"),
        (encoded(PIXELS, "WEBP"), "is none of PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n", "cannot be decoded as PNG"),
        (b"BM", "cannot be decoded as BMP"),
        (encoded(PIXELS)[:-40], "cannot be decoded as PNG: image file is truncated"),
        (encoded(PIXELS, "JPEG")[:-60], "cannot be decoded as JPEG: image file is truncated"),
        (encoded(PIXELS, "BMP")[:-60], "cannot be decoded as BMP: image file is truncated"),
        (encoded(PIXELS, "TIFF")[:-60], "cannot be decoded as TIFF: image file is truncated"),
        (
            encoded(PIXELS, "TIFF", save_all=True, append_images=[Image.fromarray(PIXELS)]),
            "has 2 frames; save the",
        ),
        (
            encoded(PIXELS, save_all=True, append_images=[Image.fromarray(255 - PIXELS)]),
            "has 2 frames; save the",
        ),
        (
            encoded(COLOURS, "MPO", save_all=True, append_images=[Image.fromarray(COLOURS)]),
            "has 2 frames; save the",
        ),
        (encoded(PIXELS.astype(np.int32) * 300, "TIFF"), "expected 16 bits: 0 to 65535"),
        (encoded(PIXELS.astype(np.int32) - 1, "TIFF"), "holds values from -1 to 254, expected 16 bits"),
        (encoded(PIXELS.astype(np.float32), "TIFF"), "holds floating-point greys, whose range is not stated"),
        (encoded(Image.fromarray(COLOURS).convert("LAB"), "TIFF"), "has the unknown colour mode 'LAB'"),
    ],
)
def test_what_is_no_image_is_refused_by_name(data: bytes, reason: str) -> None:
    with quiet_decoders():
        assert reason in refusal(data)


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (10_000, 9_000), (2**31 - 1, 2**31 - 1)])
def test_an_oversized_image_is_refused_from_its_header_without_a_warning(width: int, height: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f"is oversized: {width}x{height} pixels" in refusal(png_that_claims(width, height))


def test_the_limit_is_the_card_s(tmp_path: Path) -> None:
    assert "is oversized: 30x20 pixels, at most 599 are" in refusal(encoded(PIXELS), max_pixels=599)
    assert decode(encoded(PIXELS), "a", max_pixels=600).pixels.shape == (20, 30)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_grey_image_keeps_its_values_however_it_is_stored(kind: str, mode: str) -> None:
    decoded = decode(encoded(Image.fromarray(PIXELS).convert(mode), kind), "a")
    np.testing.assert_array_equal(decoded.pixels, PIXELS)
    assert (decoded.format, decoded.lossless, decoded.pixels.dtype) == (kind, True, np.uint8)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_dropped_and_not_blended(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    image.putalpha(Image.fromarray(grey(9, 20, 30)))
    np.testing.assert_array_equal(decode(encoded(image), "a").pixels, PIXELS)


def test_transparency_in_a_palette_or_a_colour_key_is_dropped() -> None:
    palette = Image.fromarray(PIXELS).convert("P")
    for image, options in (
        (palette, {"transparency": bytes(range(256))}),
        (palette, {"transparency": 3}),
        (Image.fromarray(PIXELS), {"transparency": 3}),
        (Image.fromarray(PIXELS).convert("RGB"), {"transparency": (3, 3, 3)}),
    ):
        np.testing.assert_array_equal(decode(encoded(image, **options), "a").pixels, PIXELS)


def test_colours_become_grey_by_luma() -> None:
    pure = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert decode(encoded(pure), "a").pixels.tolist() == [[76, 150, 29]]  # 0.299, 0.587 and 0.114 of 255


def test_colours_give_the_same_grey_in_a_palette() -> None:
    few = COLOURS // 128 * 200
    palette = Image.fromarray(few).quantize(8, dither=Image.Dither.NONE)
    np.testing.assert_array_equal(palette.convert("RGB"), few)
    np.testing.assert_array_equal(decode(encoded(palette), "a").pixels, decode(encoded(few), "a").pixels)
    np.testing.assert_array_equal(
        decode(encoded(palette.convert("PA"), "TIFF"), "a").pixels, decode(encoded(few), "a").pixels
    )


def test_black_and_white_become_0_and_255() -> None:
    image = Image.fromarray(PIXELS > 127)
    np.testing.assert_array_equal(decode(encoded(image), "a").pixels, np.where(PIXELS > 127, 255, 0))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_of_16_bits_the_high_byte_is_kept(dtype: type) -> None:
    np.testing.assert_array_equal(decode(encoded(SIXTEEN_BITS.astype(dtype), "TIFF"), "a").pixels, PIXELS)
    if dtype is np.uint16:
        np.testing.assert_array_equal(decode(encoded(SIXTEEN_BITS), "a").pixels, PIXELS)


def test_big_endian_16_bits_are_read_alike() -> None:
    image = Image.frombytes("I;16B", (30, 20), SIXTEEN_BITS.astype(">u2").tobytes())
    np.testing.assert_array_equal(decode(encoded(image, "TIFF"), "a").pixels, PIXELS)


@pytest.mark.parametrize("pixels", [PIXELS, SIXTEEN_BITS])
def test_a_tiff_that_counts_from_white_is_turned_round(pixels: np.ndarray) -> None:
    """Pillow writes 8 bits inverted under that tag and 16 as they are, so that only the first survive the way back."""
    decoded = decode(encoded(pixels, "TIFF", tiffinfo={262: 0}), "a").pixels
    np.testing.assert_array_equal(decoded, PIXELS if pixels is PIXELS else 255 - PIXELS)


def test_jpeg_is_read_and_known_to_be_lossy() -> None:
    for image in (
        Image.fromarray(PIXELS),
        Image.fromarray(COLOURS),
        Image.fromarray(COLOURS).convert("CMYK"),
    ):
        decoded = decode(encoded(image, "JPEG"), "a")
        assert (decoded.format, decoded.lossless, decoded.pixels.shape) == ("JPEG", False, (20, 30))
    assert not decode(encoded(PIXELS, "TIFF", compression="jpeg"), "a").lossless
    assert decode(encoded(PIXELS, "TIFF", compression="tiff_lzw"), "a").lossless


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_is_either_decoded_or_a_bad_image(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]))
    damaged = bytearray(encoded(PIXELS, kind))
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)), max_size=6)
    ):
        damaged[position] = value
    length = data.draw(st.integers(0, len(damaged)))
    with quiet_decoders(), suppress(BadImage):
        decoded = decode(bytes(damaged[:length]), "x", max_pixels=10_000)
        assert decoded.pixels.dtype == np.uint8
        assert 0 < decoded.pixels.size <= 10_000


def test_the_digest_is_over_the_size_and_the_bytes_row_by_row() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    expected = hashlib.sha256(b"2x3;\x00\x01\x02\x03\x04\x05").hexdigest()
    assert pixels_sha256(pixels) == expected
    assert pixels_sha256(np.asfortranarray(pixels)) == expected
    assert pixels_sha256(pixels.reshape(3, 2)) != expected


def test_each_decoding_is_counted_whatever_the_thread() -> None:
    before = snapshot()
    data = encoded(PIXELS)
    threads = [threading.Thread(target=lambda: [decode(data, "a") for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert since(before)["decodes"] == 80


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "empty.png").touch()
    for name, reason in {
        "folder.png": "is a folder, not a file",
        "pipe.png": "is a pipe, not a file",
        "loop.png": "cannot be read: Too many levels of symbolic links",
        "empty.png": "is an empty file",
        "nowhere.png": "cannot be read: No such file or directory",
        "a\0b.png": "cannot be read: ",
    }.items():
        with pytest.raises(BadImage) as caught:
            read(tmp_path / name, name, 100)
        assert f"{name!r} {reason}" in str(caught.value)


def test_a_file_too_large_for_its_pixels_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BadImage, match="'huge.png' has 1099511627776 bytes: too many for 100 pixels"):
        read(tmp_path / "huge.png", "huge.png", 100)


@pytest.mark.skipif(nothing_is_forbidden(), reason="nothing is forbidden to this user")
def test_a_forbidden_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(PIXELS))
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(BadImage, match=r"'a.png' cannot be read: Permission denied"):
        read(tmp_path / "a.png", "a.png", 10_000)


def test_a_device_is_not_read() -> None:
    with pytest.raises(BadImage, match="'zero' is a device, not a file"):
        read(Path("/dev/zero"), "zero", 100)


@pytest.mark.parametrize(
    ("name", "kind", "wrong"),
    [
        ("a.png", "PNG", False),
        ("a.png", "JPEG", True),
        ("a.JPG", "JPEG", False),
        ("a.jpg", "DICOM", True),
        ("a.dcm", "DICOM", False),
        ("IM0001", "DICOM", False),
        ("1.2.840.113619", "DICOM", False),
        ("a", "PNG", False),
    ],
)
def test_only_an_extension_that_claims_another_format_is_wrong(name: str, kind: str, wrong: bool) -> None:
    assert has_wrong_suffix(name, kind) is wrong


def test_a_short_file_is_not_dicom(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"DICM")
    assert not is_dicom(tmp_path / "a")
