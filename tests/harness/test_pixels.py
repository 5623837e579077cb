"""Pixels on disk: what was put in comes out, and a cache that cannot be written is one line."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL
import pytest
from made_images import grey, nothing_is_forbidden

from harness.data.pixels import DiskPixels, PackWriter, in_order, locked, pack_folder
from harness.errors import HarnessError
from harness.images import resized_array
from harness.machine import granted_cores

IMAGES = [grey(seed, 5 + seed, 9 - seed) for seed in range(4)]


def resized_name(size_px: int) -> str:
    return f"resized-{size_px}.pillow-{PIL.__version__}.npy"


def packed(cache: Path, images: list[np.ndarray] = IMAGES, content: str = "c0ffee") -> Path:
    writer = PackWriter(cache, "test")
    for image in images:
        writer.append(image)
    return writer.publish(content)


def leftovers(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if ".tmp-" in path.name]


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow beyond 64 KB: writing fails as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_images_come_back_as_they_went_in(tmp_path: Path) -> None:
    pixels = DiskPixels(packed(tmp_path))
    assert len(pixels) == 4
    for row, image in enumerate(IMAGES):
        np.testing.assert_array_equal(pixels.image(row), image)
    assert not leftovers(tmp_path)


def test_an_image_cannot_be_written_to(tmp_path: Path) -> None:
    pixels = DiskPixels(packed(tmp_path))
    with pytest.raises(ValueError, match="read-only"):
        pixels.image(0)[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        pixels.resized(4)[0, 0, 0] = 1


def test_resized_images_are_those_of_the_one_resizing_function(tmp_path: Path) -> None:
    resized = DiskPixels(packed(tmp_path)).resized(4)
    np.testing.assert_array_equal(resized, np.stack([resized_array(image, 4) for image in IMAGES]))
    assert isinstance(resized.base, np.memmap)


def test_a_size_is_made_once(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    DiskPixels(folder).resized(4)
    made = (folder / resized_name(4)).stat()
    DiskPixels(folder).resized(4)
    assert (folder / resized_name(4)).stat().st_mtime_ns == made.st_mtime_ns
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [b"", b"\x93NUMPY", b"nonsense" * 50, b"PK\x03\x04" + b"x" * 90, b"\x93NUMPY\x01\x00\x08\x00{\"de('\n"],
)
def test_a_damaged_resized_file_is_made_again(tmp_path: Path, damage: bytes) -> None:
    folder = packed(tmp_path)
    expected = np.array(DiskPixels(folder).resized(4))
    (folder / resized_name(4)).write_bytes(damage)
    np.testing.assert_array_equal(DiskPixels(folder).resized(4), expected)


def test_a_resized_file_of_other_images_is_made_again(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    np.save(folder / resized_name(4), np.zeros((3, 4, 4), np.uint8))
    assert DiskPixels(folder).resized(4).shape == (4, 4, 4)


@pytest.mark.parametrize("file", ["native.bin", "index.npy"])
@pytest.mark.parametrize("left", [0, 1, -1])
def test_a_pack_with_a_truncated_or_missing_file_is_not_read(tmp_path: Path, file: str, left: int) -> None:
    path = packed(tmp_path) / file
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"holds no sound images|its index does not fit its pixels"):
        DiskPixels(path.parent)
    path.unlink()
    with pytest.raises(ValueError, match="holds no sound images"):
        DiskPixels(path.parent)


@pytest.mark.parametrize(
    "index", [[[0, 2**40, 2**40]], [[0, -1, -169]], [[1, 13, 13]], [0, 13, 13], [[0, 13]]]
)
def test_an_index_that_leads_out_of_the_pixels_is_damaged(tmp_path: Path, index: list[object]) -> None:
    folder = packed(tmp_path)
    np.save(folder / "index.npy", np.array(index))
    with pytest.raises(ValueError, match="its index does not fit its pixels"):
        DiskPixels(folder)


def test_a_pack_that_is_there_already_stays(tmp_path: Path) -> None:
    first = packed(tmp_path)
    inode = (first / "native.bin").stat().st_ino
    assert packed(tmp_path) == first
    assert (first / "native.bin").stat().st_ino == inode
    assert not leftovers(tmp_path)


def test_a_discarded_pack_leaves_nothing(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path, "test")
    writer.append(IMAGES[0])
    assert leftovers(tmp_path)
    writer.discard()
    assert list((tmp_path / "pixels").iterdir()) == []


def test_what_a_killed_maker_left_is_removed_by_the_next(tmp_path: Path) -> None:
    PackWriter(tmp_path, "test").append(IMAGES[0])  # never finished, as after kill -9
    other = PackWriter(tmp_path, "testing-another")
    writer = PackWriter(tmp_path, "test")
    assert len([path for path in leftovers(tmp_path) if path.is_dir()]) == 2
    writer.discard()
    other.append(IMAGES[0])
    assert len(DiskPixels(other.publish("c"))) == 1


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path, "test")
    with pytest.raises(HarnessError) as caught:
        writer.append(grey(0, 512, 512))
    line = str(caught.value)
    assert line.startswith(f"the cache folder {str(tmp_path)!r} cannot be written: ")
    assert line.endswith("let HARNESS_CACHE name another folder")
    assert "\n" not in line
    writer.discard()
    assert list((tmp_path / "pixels").iterdir()) == []


def test_a_disk_that_fills_up_while_resizing_is_one_line(tmp_path: Path, full_disk: None) -> None:
    folder = packed(tmp_path)
    with pytest.raises(HarnessError, match="cannot be written: File too large"):
        DiskPixels(folder).resized(200)
    assert not leftovers(tmp_path)
    assert not (folder / resized_name(200)).exists()
    assert DiskPixels(folder).resized(100).shape == (4, 100, 100)


def test_a_cache_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(HarnessError, match=r"the cache folder '.*/cache' cannot be written: Not a directory"):
        PackWriter(tmp_path / "cache", "test")
    with (
        pytest.raises(HarnessError, match="cannot be written: (Not a directory|File exists)"),
        locked(tmp_path / "cache" / "x.lock", tmp_path / "cache", "reading"),
    ):
        pass


@pytest.mark.skipif(nothing_is_forbidden(), reason="nothing is forbidden to this user")
def test_a_read_only_cache_serves_what_it_has(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    DiskPixels(folder).resized(4)
    folder.chmod(0o555)
    assert DiskPixels(folder).resized(4).shape == (4, 4, 4)
    with pytest.raises(HarnessError, match="cannot be written: Permission denied"):
        DiskPixels(folder).resized(5)
    folder.chmod(0o755)


def test_processes_that_resize_at_once_share_the_work(tmp_path: Path) -> None:
    folder = packed(tmp_path, [grey(seed, 40, 40) for seed in range(60)])
    code = """
        import sys
        from pathlib import Path
        from harness.data.pixels import DiskPixels
        DiskPixels(Path(sys.argv[1])).resized(64)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(folder)]
    workers = [subprocess.Popen(command) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert DiskPixels(folder).resized(64).shape == (60, 64, 64)
    assert not leftovers(tmp_path)


def test_a_killed_resizing_leaves_no_half_written_file(tmp_path: Path) -> None:
    folder = packed(tmp_path, [grey(seed, 200, 200) for seed in range(300)])
    code = """
        import sys
        from pathlib import Path
        from harness.data.pixels import DiskPixels
        DiskPixels(Path(sys.argv[1])).resized(400, lambda what, done: print(done, flush=True))
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    worker.stdout.readline()
    worker.send_signal(signal.SIGKILL)
    worker.wait(30)
    worker.stdout.close()
    assert not (folder / resized_name(400)).exists()
    assert DiskPixels(folder).resized(400).shape == (300, 400, 400)
    assert not leftovers(tmp_path)


def test_the_second_holder_of_a_lock_waits_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    path, entered = tmp_path / "x.lock", threading.Event()

    def second() -> None:
        with locked(path, tmp_path, "reading covid-ct", lambda what, done: said.append(what)):
            entered.set()

    with locked(path, tmp_path, "reading covid-ct"):
        waiting = threading.Thread(target=second)
        waiting.start()
        for _ in range(500):
            if said:
                break
            time.sleep(0.01)
        assert not entered.is_set()
    waiting.join(30)
    assert entered.is_set()
    assert said == ["waiting for another process: reading covid-ct"]


def test_results_keep_the_order_of_their_items() -> None:
    def slow_when_even(item: int) -> int:
        time.sleep(0.002 * (item % 2 == 0))
        return item * item

    assert list(in_order(slow_when_even, range(50))) == [item * item for item in range(50)]


def test_few_results_are_ahead_of_the_one_that_is_used() -> None:
    begun: list[int] = []
    results = in_order(begun.append, range(10_000))
    next(results)
    results.close()
    assert len(begun) <= 2 * min(granted_cores(), 16) + 2


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def fail(item: int) -> int:
        if item == 3:
            raise KeyError(item)
        return item

    with pytest.raises(KeyError):
        list(in_order(fail, range(10)))


def test_a_pack_lies_under_its_content(tmp_path: Path) -> None:
    assert packed(tmp_path, content="abc") == pack_folder(tmp_path, "abc") == tmp_path / "pixels" / "abc"
