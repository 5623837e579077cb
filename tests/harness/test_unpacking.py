"""Archives made to lead out, to blow up, to lie, and good ones."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import unpacking
from harness.errors import FetchError
from harness.unpacking import DamagedArchive, Limits, unpack

IMAGE = os.urandom(70_000)


def zipped(path: Path, files: dict[str, bytes], **about: int) -> Path:
    """Write a zip whose entries have these names, as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo("placeholder")
            entry.filename = name
            entry.compress_type = about.get("compress_type", zipfile.ZIP_DEFLATED)
            entry.external_attr = about.get("mode", 0) << 16
            archive.writestr(entry, content)
    return path


def tarred(path: Path, files: dict[str, bytes], **about: object) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in about.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(content))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive: Path, match: str, limits: Limits | None = None) -> str:
    """Assert that an archive is refused with one line and leaves nothing anywhere; return the line."""
    before = tree(archive.parent.parent)
    target = archive.parent / "target"
    with pytest.raises(DamagedArchive, match=match) as error:
        unpack(archive, target, limits=limits)
    assert tree(archive.parent.parent) == before
    assert not target.exists()
    assert [p for p in archive.parent.iterdir() if p.name.startswith(".")] == []
    assert "\n" not in str(error.value)
    assert repr(archive.name) in str(error.value)
    return str(error.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inside").mkdir()
    return tmp_path / "inside"


Maker = Callable[..., Path]
both = pytest.mark.parametrize("make", [zipped, tarred])


# Good archives


@both
def test_files_and_folders_are_unpacked(folder: Path, make: Maker) -> None:
    files = {"a/b/c.png": IMAGE, "a/d.txt": b"", "top.csv": b"x,y\n", "50%0 (1).png": b"p", "ünï.png": b"u"}
    assert tree(unpack(make(folder / "archive", files), folder / "target")) == files


@both
def test_leading_folders_are_dropped(folder: Path, make: Maker) -> None:
    archive = make(folder / "archive", {"repo-main/x/a.png": b"a", "repo-main/b.png": b"b"})
    assert tree(unpack(archive, folder / "target", strip=1)) == {"x/a.png": b"a", "b.png": b"b"}


@both
def test_a_file_above_the_folders_to_drop_is_named(folder: Path, make: Maker) -> None:
    archive = make(folder / "archive", {"repo-main/a.png": b"a", "loose.png": b"b"})
    with pytest.raises(DamagedArchive, match="'loose.png' does not lie in the 1 folders"):
        unpack(archive, folder / "target", strip=1)


@both
def test_what_macos_adds_is_left_out(folder: Path, make: Maker) -> None:
    files = {"a/x.png": b"x", "__MACOSX/a/._x.png": b"?", "a/.DS_Store": b"?", "a/._x.png": b"?"}
    assert tree(unpack(make(folder / "archive", files), folder / "target")) == {"a/x.png": b"x"}


def test_folders_of_their_own_are_made_once(folder: Path) -> None:
    archive = zipped(folder / "archive", {"a/": b"", "a/b/": b"", "a/b/x": b"x", "empty/": b""})
    target = unpack(archive, folder / "target")
    assert tree(target) == {"a/b/x": b"x"}
    assert (target / "empty").is_dir()


def test_a_tar_of_the_current_folder_is_fine(folder: Path) -> None:
    archive = tarred(folder / "archive", {"./a/x": b"x", "./y": b"y"})
    assert tree(unpack(archive, folder / "target")) == {"a/x": b"x", "y": b"y"}


def test_an_empty_zip_gives_an_empty_folder(folder: Path) -> None:
    assert tree(unpack(zipped(folder / "archive", {}), folder / "target")) == {}


def test_progress_ends_at_one(folder: Path) -> None:
    told: list[float | None] = []
    archive = zipped(folder / "archive", {f"{i}.png": b"x" for i in range(45)})
    unpack(archive, folder / "target", progress=lambda _, fraction: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_target_that_exists_is_left_alone(folder: Path) -> None:
    archive = zipped(folder / "archive", {"a": b"new"})
    (folder / "target").mkdir()
    (folder / "target" / "a").write_bytes(b"old")
    with pytest.raises(FetchError, match="is there already"):
        unpack(archive, folder / "target")
    assert tree(folder / "target") == {"a": b"old"}


# Names that lead out


@both
@pytest.mark.parametrize(
    "name",
    [
        "../escape",
        "a/../../escape",
        "a/..",
        "..",
        "/tmp/escape",
        "//host/share/escape",
        "a//b",
        "C:/escape",
        "C:escape",
        "..\\escape",
        "a\\..\\..\\escape",
        "\\\\host\\share",
        "a/.. /escape",
        "a/.../escape",
        "a/ /escape",
        "file:stream",
        "bell\x07",
        "new\nline",
        "x" * 300,
        "/".join("x" * 600),
        "ä" * 200,
    ],
)
def test_a_name_that_may_lead_out_is_refused(folder: Path, make: Maker, name: str) -> None:
    refused(make(folder / "archive", {"good.png": b"g", name: b"evil"}), "entry '")


def test_a_zero_byte_does_not_hide_the_rest_of_a_name(folder: Path) -> None:
    archive = zipped(folder / "archive", {"good.pngX.exe": b"g"})
    archive.write_bytes(archive.read_bytes().replace(b"good.pngX.exe", b"good.png\0.exe"))
    refused(archive, "has a control character")


def test_an_empty_name_is_refused(folder: Path) -> None:
    archive = zipped(folder / "archive", {"x": b"g"})
    content = archive.read_bytes()
    central = content.index(b"PK\x01\x02")
    name_length = central + 28
    content = (
        content[:name_length] + b"\0\0" + content[name_length + 2 : central + 46] + content[central + 47 :]
    )
    end = content.index(b"PK\x05\x06")
    content = content[: end + 12] + struct.pack("<L", end - central) + content[end + 16 :]
    archive.write_bytes(content)
    refused(archive, "entry ''")


def test_a_name_that_is_no_utf8_is_refused(folder: Path) -> None:
    refused(tarred(folder / "archive", {"caf\udce9.png": b"x"}), "is not UTF-8")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_a_link_or_device_in_a_zip_is_refused(folder: Path, kind: int) -> None:
    archive = zipped(folder / "archive", {"link": b"/etc/passwd"}, mode=kind | 0o777)
    refused(archive, "'link' is a link or a device")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"]
)
def test_a_link_or_device_in_a_tar_is_refused(folder: Path, kind: bytes) -> None:
    archive = tarred(folder / "archive", {"link": b""}, type=kind, linkname="/etc/passwd")
    refused(archive, "'link' is a link or a device")


@both
@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "A.PNG"),
        ("A/x", "a/y"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("stra\u00dfe", "STRASSE"),
        ("\u00e9", "e\u0301"),
        ("a", "a. "),
    ],
)
def test_names_that_clash_are_refused(folder: Path, make: Maker, names: tuple[str, str]) -> None:
    refused(make(folder / "archive", dict.fromkeys(names, b"x")), "has the name of")


def test_a_name_that_is_there_twice_is_refused(folder: Path) -> None:
    path = folder / "archive"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.png", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.png", b"two")
    refused(path, "'x.png' has the name of 'x.png'")


# Bombs


@both
def test_a_bomb_is_stopped_before_it_fills_the_disk(
    folder: Path, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "SMALL_BYTES", 1000)
    archive = make(folder / "archive", {"a.png": b"ok", "zeros": bytes(20_000_000)})
    assert archive.stat().st_size < 50_000
    refused(archive, "as bombs do")


def test_a_bomb_that_lies_about_its_size_is_stopped(folder: Path) -> None:
    archive = zipped(folder / "archive", {"zeros": bytes(3_000_000)})
    content = archive.read_bytes().replace(struct.pack("<L", 3_000_000), struct.pack("<L", 10))
    archive.write_bytes(content)
    refused(archive, "entry 'zeros'")


def overlapping(path: Path, n: int, zeros: int) -> Path:
    """Write the bomb of Fifield (2019): each entry quotes the next one's header, and all share one kernel."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data, content = packer.compress(bytes(zeros)) + packer.flush(), bytes(zeros)
    tail, entries = b"", []
    for i in reversed(range(n)):
        name = f"{i:04}".encode()
        sizes = struct.pack("<LLLHH", zlib.crc32(content), len(data), len(content), len(name), 0)
        local = struct.pack("<4s5H", b"PK\x03\x04", 20, 0, 8, 0, 33) + sizes + name
        tail = local + (tail or data)
        entries.append((name, sizes, len(tail)))
        quote = struct.pack("<BHH", 0, len(local), len(local) ^ 0xFFFF)
        tail = quote + tail if i else tail
        content, data = local + content, quote + local + data
    directory = b"".join(
        struct.pack("<4s6H", b"PK\x01\x02", 20, 20, 0, 8, 0, 33)
        + sizes
        + struct.pack("<HHHLL", 0, 0, 0, 0, len(tail) - end)
        + name
        for name, sizes, end in entries
    )
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, n, n, len(directory), len(tail), 0)
    path.write_bytes(tail + directory + last)
    return path


def test_entries_that_share_their_bytes_are_counted_each(folder: Path) -> None:
    assert len(tree(unpack(overlapping(folder / "small", 1, 1000), folder / "plain"))) == 1
    bomb = overlapping(folder / "archive", 30, 1_000_000)
    assert bomb.stat().st_size < 10_000
    refused(bomb, "as bombs do|Overlapped", Limits(ratio=20))


@both
def test_more_bytes_than_the_limit_are_refused(folder: Path, make: Maker) -> None:
    archive = make(folder / "archive", {"a": bytes(60_000), "b": bytes(60_000)})
    refused(archive, "more than 100000, as bombs do", Limits(total_bytes=100_000))
    assert len(tree(unpack(archive, folder / "target", limits=Limits(total_bytes=200_000)))) == 2


@both
def test_more_files_than_the_limit_are_refused(folder: Path, make: Maker) -> None:
    archive = make(folder / "archive", {f"{i}": b"" for i in range(11)})
    refused(archive, "more than 10 files", Limits(files=10))


@both
def test_more_folders_than_the_limit_are_refused(folder: Path, make: Maker) -> None:
    archive = make(folder / "archive", {"a/b/c/d/e": b""})
    refused(archive, "more than 4 files", Limits(files=4))


def test_what_is_left_out_counts_towards_the_limits(folder: Path) -> None:
    archive = tarred(folder / "archive", {"__MACOSX/zeros": bytes(4_000_000), "a": b"a"})
    refused(archive, "as bombs do", Limits(ratio=3.5))
    refused(
        zipped(folder / "other", {f"__MACOSX/{i}": b"" for i in range(11)}), "more than", Limits(files=10)
    )


def test_a_left_out_file_of_terabytes_is_not_skipped_through(folder: Path) -> None:
    header = tarfile.TarInfo("__MACOSX/zeros")
    header.size = 1 << 40
    archive = folder / "archive"
    archive.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(100_000)))
    refused(archive, "as bombs do")


def test_a_header_of_gigabytes_is_not_read(folder: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 5 << 30
    archive = folder / "archive"
    archive.write_bytes(gzip.compress(header.tobuf() + bytes(100_000)))
    refused(archive, "says it is 5368709120 bytes long")


def test_a_negative_size_does_not_loop(folder: Path) -> None:
    entry = tarfile.TarInfo("a")
    buffer = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    buffer[124:136] = b"\xff" * 10 + b"\xfc\x00"
    buffer[148:156] = b"        "
    buffer[148:156] = b"%06o\0 " % sum(buffer)
    archive = folder / "archive"
    archive.write_bytes(gzip.compress(bytes(tarfile.TarInfo("first").tobuf()) + bytes(buffer) + bytes(2048)))
    started = time.monotonic()
    refused(archive, "size of -1024 bytes|damaged")
    assert time.monotonic() - started < 5


def test_a_chain_of_long_names_does_not_overflow(folder: Path) -> None:
    link = tarfile.TarInfo("././@LongLink")
    link.type, link.size = tarfile.GNUTYPE_LONGNAME, 1
    archive = folder / "archive"
    archive.write_bytes(gzip.compress((link.tobuf() + b"x".ljust(512, b"\0")) * 3000))
    refused(archive, "damaged")


# Damage


def test_a_failing_checksum_names_the_entry(folder: Path) -> None:
    archive = zipped(
        folder / "archive", {"good.png": b"g", "bad.png": IMAGE}, compress_type=zipfile.ZIP_STORED
    )
    content = bytearray(archive.read_bytes())
    content[content.index(IMAGE[:50]) + 33_000] ^= 1
    archive.write_bytes(content)
    refused(archive, r"damaged: entry 'bad.png': Bad CRC-32")


def test_a_failing_checksum_of_gzip_is_found(folder: Path) -> None:
    archive = tarred(folder / "archive", {"a.png": IMAGE})
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1
    archive.write_bytes(content)
    refused(archive, "damaged: .*CRC check failed")


@both
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(folder: Path, make: Maker, kept: float) -> None:
    archive = make(folder / "archive", {"a.png": IMAGE, "b.png": IMAGE[::-1]})
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * kept)])
    refused(archive, "damaged|neither zip nor tar.gz")


def test_an_encrypted_entry_is_refused(folder: Path) -> None:
    archive = zipped(folder / "archive", {"x.png": b"x"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    refused(archive, "'x.png' is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_whose_pieces_cannot_be_bounded_is_refused(folder: Path, method: int) -> None:
    archive = zipped(folder / "archive", {"x.png": b"x"}, compress_type=method)
    refused(archive, f"is compressed by method {method}")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "a file that begins with b''"),
        (b"\n <!DOCTYPE html><title>Log in", "a web page, perhaps a login"),
        (b"Rar!\x1a\x07\x00", "a file that begins with b'Rar!"),
        (b"PK\x03\x04 only the beginning", "a file that begins with b'PK"),
    ],
)
def test_what_is_no_archive_is_told(folder: Path, content: bytes, what: str) -> None:
    (folder / "archive").write_bytes(content)
    refused(folder / "archive", f"neither zip nor tar.gz but {what}")


@pytest.mark.parametrize("inner", [b"", b"no tar at all" * 100, bytes(10)])
def test_a_gzip_that_holds_no_tar_is_refused(folder: Path, inner: bytes) -> None:
    (folder / "archive").write_bytes(gzip.compress(inner))
    refused(folder / "archive", "damaged")


@both
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_bytes_are_flipped_nothing_but_one_line_happens(
    tmp_path_factory: pytest.TempPathFactory, make: Maker, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flipped") / "inside"
    folder.mkdir()
    archive = make(folder / "archive", {"a/x.png": IMAGE[:300], "b.csv": b"1,2\n" * 50})
    content = bytearray(archive.read_bytes())
    if make is tarred:
        content = bytearray(zlib.decompress(content, 31))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    archive.write_bytes(gzip.compress(content) if make is tarred else content)
    said = ""
    try:
        unpack(archive, folder / "target")
    except DamagedArchive as error:
        said = str(error)
    assert "\n" not in said
    assert {p.name for p in folder.iterdir()} <= {"archive", "target"}
    assert {p.name for p in folder.parent.iterdir()} == {"inside"}


# Disks


def test_a_full_disk_is_one_line_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(folder / "archive", {"a.png": IMAGE})
    opened = Path.open

    def full(path: Path, mode: str = "r", *about: object, **more: object) -> object:
        return opened(Path("/dev/full"), "wb") if mode == "xb" else opened(path, mode, *about, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(FetchError, match="No space left on device; free some space") as error:
        unpack(archive, folder / "target")
    assert not isinstance(error.value, DamagedArchive)
    assert [p.name for p in folder.iterdir()] == ["archive"]


def test_a_place_that_cannot_be_written_is_one_line(folder: Path) -> None:
    archive = zipped(folder / "archive", {"a.png": IMAGE})
    with pytest.raises(FetchError, match="cannot write below") as error:
        unpack(archive, archive / "below" / "target")
    assert "\n" not in str(error.value)
