"""DICOM slices: stored values to Hounsfield units to the grey of the lung window."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest

from harness.data.cards import Window
from harness.data.decoding import decode
from harness.errors import BadImage

pydicom = pytest.importorskip("pydicom")

EXPLICIT = "1.2.840.10008.1.2.1"
HOUNSFIELD = np.array([[-3000, -1350, -1349, -600, 0], [100, 149, 150, 151, 3000]], np.int16)
# (HU + 1350) / 1500 * 255, rounded to the nearest grey, clipped: by hand
GREYS = [[0, 0, 0, 128, 230], [247, 255, 255, 255, 255]]


def dicom(stored: np.ndarray, syntax: str = EXPLICIT, **tags: Any) -> bytes:
    """Return a CT slice's bytes; a tag that is None is left out."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    slice_ = pydicom.Dataset()
    slice_.file_meta = meta
    bits = stored.dtype.itemsize * 8
    values: dict[str, Any] = {
        "Rows": stored.shape[-2],
        "Columns": stored.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": stored.tobytes(),
    } | tags
    for tag, value in values.items():
        if value is not None:
            setattr(slice_, tag, value)
    file = io.BytesIO()
    pydicom.dcmwrite(file, slice_, enforce_file_format=True)
    return file.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode(data, "slice.dcm")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_hounsfield_units_become_the_grey_of_the_lung_window() -> None:
    decoded = decode(dicom(HOUNSFIELD), "slice.dcm")
    assert decoded.pixels.tolist() == GREYS
    assert (decoded.format, decoded.lossless, decoded.pixels.dtype) == ("DICOM", True, np.uint8)


def test_slope_and_intercept_are_applied() -> None:
    stored = (HOUNSFIELD + 3000).astype(np.uint16)
    decoded = decode(dicom(stored, RescaleSlope=1, RescaleIntercept=-3000), "slice.dcm")
    assert decoded.pixels.tolist() == GREYS
    halved = decode(dicom(np.array([[-1200, 0]], np.int16), RescaleSlope="0.5"), "slice.dcm")
    assert halved.pixels.tolist() == [[128, 230]]


def test_monochrome1_is_inverted() -> None:
    decoded = decode(dicom(HOUNSFIELD, PhotometricInterpretation="MONOCHROME1"), "slice.dcm")
    assert decoded.pixels.tolist() == [[255 - grey for grey in row] for row in GREYS]


def test_the_window_is_the_card_s() -> None:
    window = Window(level=40, width=400)
    decoded = decode(dicom(np.array([[-160, 40, 240]], np.int16)), "slice.dcm", window=window)
    assert decoded.pixels.tolist() == [[0, 128, 255]]


def test_a_slice_is_recognised_by_its_mark_whatever_imitates_another_format() -> None:
    data = b"\x89PNG\r\n\x1a\n".ljust(128, b"\0") + dicom(HOUNSFIELD)[128:]
    assert decode(data, "slice").format == "DICOM"


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"PixelData": None}, "'slice.dcm' is a DICOM file without pixel data"),
        (
            {"NumberOfFrames": 2, "PixelData": HOUNSFIELD.tobytes() * 2},
            "'slice.dcm' has 2 frames; save the one",
        ),
        ({"PhotometricInterpretation": "RGB"}, "'slice.dcm' is 'RGB', expected a grey slice"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is 'PALETTE COLOR', expected a grey slice"),
        ({"RescaleSlope": 0}, "has a rescale slope of 0.0 and an intercept of 0.0"),
        ({"Rows": 65535, "Columns": 65535}, "'slice.dcm' is oversized: 65535x65535 pixels"),
        ({"Rows": 0}, "'slice.dcm' is empty: 5x0 pixels"),
        ({"Rows": None}, "'slice.dcm' cannot be decoded as DICOM: "),
        ({"PhotometricInterpretation": None}, "'slice.dcm' cannot be decoded as DICOM: "),
        ({"PixelData": HOUNSFIELD.tobytes()[:-4]}, "'slice.dcm' cannot be decoded as DICOM: "),
    ],
)
def test_a_slice_that_cannot_be_used_is_refused_by_name(tags: dict[str, Any], reason: str) -> None:
    assert reason in refusal(dicom(HOUNSFIELD, **tags))


def test_a_truncated_slice_is_refused() -> None:
    data = dicom(HOUNSFIELD)
    for length in (132, 140, 300, len(data) - 3):
        assert refusal(data[:length]).startswith("'slice.dcm' ")


def test_a_compressed_slice_without_a_decoder_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unavailable:
        is_available = False

    monkeypatch.setattr("pydicom.pixels.decoders.base.get_decoder", lambda syntax: Unavailable())
    encapsulated = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(20)])
    data = dicom(HOUNSFIELD, "1.2.840.10008.1.2.4.90", PixelData=encapsulated)
    line = refusal(data)
    assert "'slice.dcm' is compressed (JPEG 2000 Image Compression (Lossless Only))" in line
    assert line.endswith("run: pip install 'ct-harness[dicom]'")


def test_run_length_encoding_needs_nothing_installed() -> None:
    source = pydicom.dcmread(io.BytesIO(dicom(HOUNSFIELD)))
    source.compress("1.2.840.10008.1.2.5")
    file = io.BytesIO()
    pydicom.dcmwrite(file, source)
    decoded = decode(file.getvalue(), "slice.dcm")
    assert (decoded.pixels.tolist(), decoded.lossless) == (GREYS, True)


def test_a_deflated_slice_is_refused_before_it_is_inflated() -> None:
    syntax = b"\x02\x00\x10\x00UI\x18\x001.2.840.10008.1.2.1.99\x00\x00"
    bomb = zlib.compress(bytes(50_000_000), 9)
    assert "is a deflated DICOM file, which is not read" in refusal(bytes(128) + b"DICM" + syntax + bomb)
