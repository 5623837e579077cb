"""Archives turned into folders, trusting nothing that they say of themselves.

Nothing is written outside the target, whatever the names inside; the target appears complete, in
one rename, or not at all.
"""

from __future__ import annotations

import gzip
import io
import re
import secrets
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from harness.errors import FetchError
from harness.types import Progress

__all__ = ["STAGING", "DamagedArchive", "Limits", "unpack"]

STAGING = ".unpacking-"
"""What the temporary folder beside a target has in its name: a killed process leaves one behind."""

PIECE_BYTES = 1 << 20

SMALL_BYTES = 1 << 20
"""A smaller archive may hold as much as one of this size: a ratio says little of small ones."""

SEPARATORS = re.compile(r"[\x00-\x1f\x7f\\:]")
"""Control characters, and what separates folders, drives and streams on Windows."""

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises on reading an archive that is broken, on purpose or not."""


class DamagedArchive(FetchError):
    """An archive that is broken, or that no honest tool would make: the file is of no use."""


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to; counted while it is written, whatever its headers say.

    `ratio` is unpacked bytes by packed bytes; Deflate reaches 1030 on zeros, images stay below 3.
    """

    files: int = 200_000
    total_bytes: int = 64 << 30
    ratio: float = 200.0


def unpack(
    archive: Path,
    target: Path,
    *,
    strip: int = 0,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the new folder `target` with the files of `archive`, a zip or tar.gz.

    The first `strip` folders of each path are dropped; what macOS adds (`__MACOSX`, `.DS_Store`,
    `._NAME`) is left out.

    Raises `DamagedArchive`, naming the entry: a name that is absolute, leads out (`..`) or means
    something else on another system, a link or device, names that clash (also by case), encryption, a
    checksum that fails, more than the `limits`. Raises `FetchError` when `target` exists or cannot
    be written.
    """
    if target.exists() or target.is_symlink():
        raise FetchError(f"cannot unpack {archive.name!r}: {str(target)!r} is there already; move it away")
    with archive.open("rb") as file, _staging(target) as folder:
        writer = _Writer(archive, folder, strip, limits or Limits(), progress)
        _reader(archive, file)(file, writer)
        folder.rename(target)
    return target


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Give a folder beside the target that is gone afterwards, unless it was renamed."""
    folder = target.with_name(f".{target.name}{STAGING}{secrets.token_hex(4)}")
    try:
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise FetchError(
            f"cannot write below {str(target.parent)!r}: {error.strerror or error}; "
            "free some space or choose another folder"
        ) from error


@contextmanager
def _damage(archive: Path, entry: str | None = None) -> Iterator[None]:
    """Turn what reading an archive raises into one line that names the entry."""
    try:
        yield
    except DAMAGE as error:
        where = "its list of files" if entry is None else f"entry {entry!r}"
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedArchive(f"{archive.name!r} is damaged: {where}: {reason}") from error


def _reader(archive: Path, file: BinaryIO) -> Callable[[BinaryIO, _Writer], None]:
    """Return what reads this kind of archive, told by its bytes and not by its name."""
    begin = file.read(16)
    file.seek(0)
    if begin.startswith(b"\x1f\x8b"):
        return _read_tar
    with _damage(archive):
        if zipfile.is_zipfile(file):
            return _read_zip
    page = begin.lstrip().startswith(b"<")
    what = "a web page, perhaps a login" if page else f"a file that begins with {begin!r}"
    raise DamagedArchive(f"{archive.name!r} is neither zip nor tar.gz but {what}")


def _read_zip(file: BinaryIO, writer: _Writer) -> None:
    with _damage(writer.archive):
        opened = zipfile.ZipFile(file)
    entries = opened.infolist()
    for i, entry in enumerate(entries):
        if writer.takes(entry.filename):
            _write_zipped(entry, opened, writer)
        writer.tell((i + 1) / len(entries))


def _write_zipped(entry: zipfile.ZipInfo, opened: zipfile.ZipFile, writer: _Writer) -> None:
    # The first name is the one in the file: zipfile cuts it at a zero byte, and on Windows turns `\` to `/`.
    name = entry.orig_filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if SEPARATORS.search(name):
        raise writer.refusal(name, "has a control character, a backslash or a colon in its name")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise writer.refusal(name, "is a link or a device")
    if entry.flag_bits & 0x1:
        raise writer.refusal(name, "is encrypted")
    # zipfile bounds what it unpacks at once for these two only.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise writer.refusal(name, f"is compressed by method {entry.compress_type}; known are 0 and 8")
    if entry.filename.endswith("/") or kind == stat.S_IFDIR:
        writer.folder(entry.filename)
    else:
        writer.file(entry.filename, partial(opened.open, entry))


def _read_tar(file: BinaryIO, writer: _Writer) -> None:
    with gzip.GzipFile(fileobj=file) as unzipped:
        metered = _Metered(unzipped, writer)
        with _damage(writer.archive):
            opened = tarfile.open(fileobj=cast(Any, metered), mode="r:")  # noqa: SIM115 - owns nothing
        while (entry := _next_of_tar(opened, writer)) is not None:
            if writer.takes(entry.name):
                _write_tarred(entry, opened, writer)
            writer.tell(file.tell() / writer.archive_bytes)
        with _damage(writer.archive, "the end"):
            while metered.read(PIECE_BYTES):  # the checksum of gzip comes last
                pass


def _next_of_tar(opened: tarfile.TarFile, writer: _Writer) -> tarfile.TarInfo | None:
    with _damage(writer.archive):
        entry = opened.next()
    if entry is not None and entry.size < 0:
        raise writer.refusal(entry.name, f"has a size of {entry.size} bytes")
    return entry


def _write_tarred(entry: tarfile.TarInfo, opened: tarfile.TarFile, writer: _Writer) -> None:
    if entry.isdir():
        writer.folder(entry.name)
    elif entry.isreg() and not entry.issparse():
        writer.file(entry.name, partial(opened.extractfile, entry))
    else:
        raise writer.refusal(entry.name, "is a link or a device")


class _Metered:
    """The unzipped bytes of a tar: no more than the limits allow, read or skipped."""

    def __init__(self, unzipped: gzip.GzipFile, writer: _Writer) -> None:
        self._unzipped = unzipped
        self._writer = writer

    def read(self, size: int) -> bytes:
        # The size field of a header decides how much tarfile wants in one piece.
        if not 0 <= size <= 4 * PIECE_BYTES:
            raise self._writer.refusal("a header", f"says it is {size} bytes long")
        data = self._unzipped.read(size)
        self._writer.check_bytes(self.tell(), "a header")
        return data

    def tell(self) -> int:
        return self._unzipped.tell()

    def seek(self, position: int) -> int:
        self._writer.check_bytes(position, "a file that is left out")
        return self._unzipped.seek(position, io.SEEK_SET)


class _Writer:
    """The only one that writes: below `root`, each name once, within the limits."""

    def __init__(
        self, archive: Path, root: Path, strip: int, limits: Limits, progress: Progress | None
    ) -> None:
        self.archive = archive
        self.archive_bytes = max(archive.stat().st_size, 1)
        self.root = root
        self.strip = strip
        self.most_files = limits.files
        self.most_bytes = int(min(limits.total_bytes, limits.ratio * max(self.archive_bytes, SMALL_BYTES)))
        self.progress = progress
        self.written_bytes = 0
        self.seen = 0
        self.claims: dict[tuple[str, ...], tuple[tuple[str, ...], bool]] = {}

    def takes(self, entry: str) -> bool:
        """Count an entry; return whether it is to be unpacked."""
        self.seen += 1
        self._check_files(entry, self.seen)
        *folders, name = entry.rstrip("/").split("/")
        return not ("__MACOSX" in (*folders, name) or name == ".DS_Store" or name.startswith("._"))

    def folder(self, entry: str) -> None:
        parts = self._parts(entry.removesuffix("/"))
        if parts:
            self._claim(entry, parts, is_folder=True)
            self.root.joinpath(*parts).mkdir(parents=True, exist_ok=True)

    def file(self, entry: str, open_entry: Callable[[], IO[bytes] | None]) -> None:
        """Write one file, read to its end so that its checksum is tested."""
        parts = self._parts(entry)
        if not parts:
            raise self.refusal(entry, f"does not lie in the {self.strip} folders that are to be dropped")
        self._claim(entry, parts, is_folder=False)
        path = self.root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            for piece in self._pieces(entry, open_entry):
                self.written_bytes += len(piece)
                self.check_bytes(self.written_bytes, entry)
                out.write(piece)

    def tell(self, fraction: float) -> None:
        if self.progress is not None and (self.seen % 20 == 0 or fraction >= 1):
            self.progress(f"unpacking {self.archive.name}", min(fraction, 1.0))

    def refusal(self, entry: str, why: str) -> DamagedArchive:
        shown = repr(entry) if len(entry) <= 200 else repr(entry[:200]) + "..."
        return DamagedArchive(f"{self.archive.name!r}: entry {shown} {why}; nothing was unpacked")

    def check_bytes(self, unpacked: int, entry: str) -> None:
        if unpacked > self.most_bytes:
            raise self.refusal(
                entry, f"makes {self.archive_bytes} bytes unpack to more than {self.most_bytes}, as bombs do"
            )

    def _pieces(self, entry: str, open_entry: Callable[[], IO[bytes] | None]) -> Iterator[bytes]:
        with _damage(self.archive, entry):
            source = open_entry()
        assert source is not None  # tarfile has none for folders and links only
        with source:
            while True:
                with _damage(self.archive, entry):
                    piece = source.read(PIECE_BYTES)
                if not piece:
                    return
                yield piece

    def _parts(self, entry: str) -> tuple[str, ...]:
        """Return the folders and name below the root. Raises `DamagedArchive` for an unsafe path."""
        parts = [part for part in entry.split("/") if part != "."]
        if entry.startswith("/") or SEPARATORS.search(entry):
            raise self.refusal(
                entry, "is absolute or has a backslash, colon or control character in its name"
            )
        # Windows ignores dots and spaces at the end, so `.. ` would lead out there.
        if any(not part.rstrip(". ") for part in parts):
            raise self.refusal(
                entry, "has an empty or dotted folder in its path: it may lead out of the target"
            )
        try:
            sizes = [len(part.encode()) for part in parts]
        except UnicodeEncodeError:
            raise self.refusal(entry, "has a name that is not UTF-8") from None
        if max(sizes, default=0) > 255 or sum(sizes) > 1000 or len(sizes) > 64:
            raise self.refusal(entry, "has a path that is too long or too deep")
        return tuple(parts[self.strip :])

    def _claim(self, entry: str, parts: tuple[str, ...], is_folder: bool) -> None:
        """Take the name of an entry and of its folders. Raises `DamagedArchive` when another has it."""
        for depth in range(1, len(parts) + 1):
            spelled = parts[:depth]
            wanted = (spelled, is_folder or depth < len(parts))
            key = tuple(unicodedata.normalize("NFC", part.rstrip(". ")).casefold() for part in spelled)
            owner = self.claims.setdefault(key, wanted)
            is_new = owner is wanted
            if not is_new and (owner != wanted or not wanted[1]):
                other = "/".join(owner[0])
                raise self.refusal(entry, f"has the name of {other!r}, here or where case does not count")
        self._check_files(entry, len(self.claims))

    def _check_files(self, entry: str, count: int) -> None:
        if count > self.most_files:
            raise self.refusal(entry, f"is one too many: more than {self.most_files} files and folders")
