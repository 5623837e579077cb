"""Pixels of a file, by the one path that every image of every dataset goes: decode, drop alpha, grey, uint8.

What a file is, is decided by its first bytes, never by its name.

- PNG, JPEG, TIFF and BMP are read by Pillow. Colours become grey by ITU-R 601-2 luma, as Pillow
  computes it; a grey image stored as RGB keeps its values exactly. Transparency is ignored.
- Of 16 bits the high byte is kept. A 32-bit integer file is read as 16 bits in a wider box: a value
  outside 0 to 65535 is an error, it does not wrap. Floating-point greys have no stated range and
  are refused.
- DICOM is read by pydicom: stored values to Hounsfield units by the file's rescale slope and
  intercept, these to grey by the card's window; MONOCHROME1 is inverted.
- Files of several frames are refused by name: which frame is the sample is not ours to guess.
"""

from __future__ import annotations

import hashlib
import io
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from harness.counters import count
from harness.data.cards import Window
from harness.errors import BadImage

if TYPE_CHECKING:
    from pydicom import FileDataset

__all__ = [
    "SUFFIXES",
    "VERSION",
    "Decoded",
    "decode",
    "has_wrong_suffix",
    "is_dicom",
    "pixels_sha256",
    "read",
]

VERSION = 1
"""Raised when the same file would decode to other pixels: what was remembered is then forgotten."""

SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "DICOM": (".dcm", ".dicom", ".ima"),
}
MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
# Made directly rather than by Image.open, whose guard against oversized images only warns.
PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": jpeg_factory,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
}
PHOTOMETRIC_INTERPRETATION = 262
LOSSY_TIFF = frozenset({"jpeg", "tiff_jpeg", "webp"})
EXPLICIT_VR_DEFLATED = b"1.2.840.10008.1.2.1.99\0"
LOSSLESS_DICOM = frozenset(
    {
        "1.2.840.10008.1.2",  # implicit little endian
        "1.2.840.10008.1.2.1",  # explicit little endian
        "1.2.840.10008.1.2.2",  # explicit big endian
        "1.2.840.10008.1.2.5",  # run-length encoding
        "1.2.840.10008.1.2.4.57",  # JPEG lossless
        "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
        "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
        "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    }
)
BYTES_PER_PIXEL = 8
"""No format here needs more (RGBA of 16 bits each): a larger file is not read at all."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The grey pixels of a file.

    `pixels` is uint8 (height, width). `lossless` says that any decoder gives these same pixels, so that
    their digest recognises the image however it is stored.
    """

    pixels: np.ndarray
    format: str
    lossless: bool


def pixels_sha256(pixels: np.ndarray) -> str:
    """Return the SHA-256 (hex) over the text 'HxW;' and the bytes of a uint8 image, row by row.

    >>> pixels_sha256(np.zeros((2, 3), np.uint8)) == hashlib.sha256(b"2x3;" + bytes(6)).hexdigest()
    True
    """
    digest = hashlib.sha256(b"%dx%d;" % pixels.shape)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def read(path: Path, name: str, max_pixels: int) -> bytes:
    """Return the bytes of an image file.

    Raises `BadImage` for what is no regular file, cannot be read, is empty, or is larger than any
    image of `max_pixels` pixels.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadImage(f"{name!r} is {_kind(status.st_mode)}, not a file")
        if status.st_size > max_pixels * BYTES_PER_PIXEL + 2**20:
            raise BadImage(
                f"{name!r} has {status.st_size} bytes: too many for {max_pixels} pixels (max_pixels)"
            )
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise BadImage(f"{name!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not data:
        raise BadImage(f"{name!r} is an empty file")
    return data


def decode(data: bytes, name: str, *, window: Window | None = None, max_pixels: int = 64_000_000) -> Decoded:
    """Return the grey pixels of an image file's bytes; `name` is for messages.

    Raises `BadImage` naming the file when it is not PNG, JPEG, TIFF, BMP or DICOM, is truncated or
    damaged, has several frames or more than `max_pixels` pixels.
    """
    count("decodes")
    kind = _format(data)
    try:
        if kind is None:
            raise BadImage(f"{name!r} is none of {', '.join(SUFFIXES)} (it begins with {data[:8]!r})")
        if kind == "DICOM":
            return _from_dicom(data, name, window or Window(), max_pixels)
        return _from_pillow(data, name, kind, max_pixels)
    except BadImage:
        raise
    except Exception as error:  # a damaged file makes a decoder raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadImage(f"{name!r} cannot be decoded as {kind}: {reason}") from error


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Keep the decoders' Python warnings off the screen: a file is either decoded or a `BadImage` that says why.

    For the thread that waits while others decode: warning filters are the whole process's.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")
        yield


def is_dicom(path: Path) -> bool:
    """Return whether a file bears the mark of DICOM, whatever its name. Raises `OSError`."""
    with path.open("rb") as file:
        return _format(file.read(132)) == "DICOM"


def has_wrong_suffix(name: str, format: str) -> bool:  # noqa: A002 - the word that Pillow uses
    """Return whether a file's name claims another format; no extension claims nothing.

    >>> has_wrong_suffix("a.PNG", "PNG"), has_wrong_suffix("a.png", "JPEG"), has_wrong_suffix("IM0001", "DICOM")
    (False, True, False)
    """
    claimed = [other for other, suffixes in SUFFIXES.items() if name.lower().endswith(suffixes)]
    return bool(claimed) and format not in claimed


def _format(data: bytes) -> str | None:
    # First, since the 128 bytes before the mark are free and may imitate another format.
    if data[128:132] == b"DICM":
        return "DICOM"
    return next((kind for magic, kind in MAGIC.items() if data.startswith(magic)), None)


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((word for is_kind, word in kinds.items() if is_kind(mode)), "a device")


def _check_size(name: str, height: int, width: int, max_pixels: int) -> None:
    if height < 1 or width < 1:
        raise BadImage(f"{name!r} is empty: {width}x{height} pixels")
    if height * width > max_pixels:
        raise BadImage(
            f"{name!r} is oversized: {width}x{height} pixels, at most {max_pixels} are decoded (max_pixels on the card)"
        )


def _from_pillow(data: bytes, name: str, kind: str, max_pixels: int) -> Decoded:
    with PLUGINS[kind](io.BytesIO(data)) as image:
        _check_size(name, image.height, image.width, max_pixels)
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise BadImage(f"{name!r} has {frames} frames; save the one that is meant as a file of its own")
        lossless = kind != "JPEG" and image.info.get("compression") not in LOSSY_TIFF
        image.load()
        pixels = _grey(image, name)
    _check_size(name, pixels.shape[0], pixels.shape[1], max_pixels)
    return Decoded(pixels, kind, lossless)


def _grey(image: Image.Image, name: str) -> np.ndarray:
    image.info.pop("transparency", None)
    if image.mode == "L":
        return np.array(image)
    if image.mode.startswith("I"):
        grey = _high_byte(np.asarray(image), name)
        return 255 - grey if _is_white_zero(image) else grey
    if image.mode == "F":
        raise BadImage(f"{name!r} holds floating-point greys, whose range is not stated; save 8 or 16 bits")
    if image.mode == "PA":
        image = image.convert("RGBA")
    if image.mode in ("P", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"):
        image = image.convert("RGB")
    if image.mode not in ("1", "LA", "RGB"):
        raise BadImage(f"{name!r} has the unknown colour mode {image.mode!r}; save it as grey")
    return np.array(image.convert("L"))


def _is_white_zero(image: Image.Image) -> bool:
    """Return whether a TIFF counts from white to black. Pillow turns 8 bits round itself, 16 it leaves."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0


def _high_byte(values: np.ndarray, name: str) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFF:
        raise BadImage(f"{name!r} holds values from {low} to {high}, expected 16 bits: 0 to 65535")
    return (values >> 8).astype(np.uint8)


def _from_dicom(data: bytes, name: str, window: Window, max_pixels: int) -> Decoded:
    from pydicom import dcmread

    # Inflating is not bounded by the size of the image: a small file may fill the memory.
    if EXPLICIT_VR_DEFLATED in data[132:4096]:
        raise BadImage(f"{name!r} is a deflated DICOM file, which is not read; save it uncompressed")
    slice_ = dcmread(io.BytesIO(data))
    _check_slice(slice_, name, max_pixels)
    stored = _stored_values(slice_, name)
    if stored.ndim != 2:
        raise BadImage(f"{name!r} has pixels of shape {stored.shape}, expected one grey slice")
    _check_size(name, stored.shape[0], stored.shape[1], max_pixels)
    syntax = str(slice_.file_meta.TransferSyntaxUID)
    return Decoded(_windowed(stored, slice_, name, window), "DICOM", syntax in LOSSLESS_DICOM)


def _check_slice(slice_: FileDataset, name: str, max_pixels: int) -> None:
    if not any(tag in slice_ for tag in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise BadImage(f"{name!r} is a DICOM file without pixel data")
    _check_size(name, int(slice_.Rows), int(slice_.Columns), max_pixels)
    if (frames := int(slice_.get("NumberOfFrames") or 1)) > 1:
        raise BadImage(f"{name!r} has {frames} frames; save the one that is meant as a file of its own")
    photometric = slice_.PhotometricInterpretation
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise BadImage(f"{name!r} is {photometric!r}, expected a grey slice: MONOCHROME1 or MONOCHROME2")


def _stored_values(slice_: FileDataset, name: str) -> np.ndarray:
    from pydicom.pixels.decoders.base import get_decoder

    syntax = slice_.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        raise BadImage(
            f"{name!r} is compressed ({syntax.name}) and no decoder of it is installed; "
            "run: pip install 'ct-harness[dicom]'"
        )
    return slice_.pixel_array


def _windowed(stored: np.ndarray, slice_: FileDataset, name: str, window: Window) -> np.ndarray:
    """Return grey uint8: 0 at level - width / 2 and below, 255 at level + width / 2 and above."""
    slope, intercept = _number(slice_, "RescaleSlope", 1.0), _number(slice_, "RescaleIntercept", 0.0)
    if not (np.isfinite([slope, intercept]).all() and slope != 0):
        raise BadImage(f"{name!r} has a rescale slope of {slope} and an intercept of {intercept}")
    hounsfield = stored.astype(np.float64) * slope + intercept
    if not np.isfinite(hounsfield).all():
        raise BadImage(f"{name!r} holds values that are not finite")
    fraction = (hounsfield - (window.level - window.width / 2)) / window.width
    grey = np.floor(np.clip(fraction, 0, 1) * 255 + 0.5).astype(np.uint8)
    return 255 - grey if slice_.PhotometricInterpretation == "MONOCHROME1" else grey


def _number(slice_: FileDataset, keyword: str, default: float) -> float:
    value: Any = slice_.get(keyword)
    return default if value is None else float(value)
