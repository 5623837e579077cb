"""Verification: a file is recognised by bytes or pixels, and what was seen is remembered until it changes."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_images import class_folders, encoded, grey, write_card

from harness.counters import since, snapshot
from harness.data.adapters import Expected
from harness.data.cards import Card, load_card
from harness.data.decoding import pixels_sha256
from harness.data.verification import Memory, Problem, Seen, examined, is_recognised, memory_path, verified
from harness.errors import BadImage, HarnessError
from harness.types import Sample

PIXELS = grey(5, 12, 10)
SEEN = Seen(10, 20, "a" * 64, "b" * 64, 12, 10, "PNG", True, False)


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return load_card(write_card(tmp_path / "squares"))


def samples_of(folder: Path, names: list[str]) -> list[Sample]:
    return [Sample(name, folder / name, 0) for name in names]


def looked_at(folder: Path, card: Card, names: list[str], expected: dict[str, Expected] | None = None) -> Any:
    memory = Memory(folder / "memory.json", card)
    found = verified(samples_of(folder, names), expected or {}, memory, card)
    memory.save(folder)
    return found


@pytest.mark.parametrize(
    ("expected", "lossless", "recognised"),
    [
        (None, True, True),
        (Expected(), True, True),
        (Expected(sha256="a" * 64), True, True),
        (Expected(sha256="a" * 64, pixels_sha256="c" * 64), True, True),
        (Expected(sha256="c" * 64, pixels_sha256="b" * 64), True, True),
        (Expected(pixels_sha256="b" * 64), True, True),
        (Expected(sha256="c" * 64), True, False),
        (Expected(sha256="c" * 64, pixels_sha256="c" * 64), True, False),
        (Expected(sha256="c" * 64, pixels_sha256="b" * 64), False, False),
        (Expected(sha256="a" * 64), False, True),
    ],
)
def test_bytes_or_lossless_pixels_recognise_a_file(
    expected: Expected | None, lossless: bool, recognised: bool
) -> None:
    assert is_recognised(replace(SEEN, lossless=lossless), expected) is recognised


def test_what_is_seen_in_a_file(tmp_path: Path, card: Card) -> None:
    data = encoded(PIXELS, "TIFF")
    (tmp_path / "a.png").write_bytes(data)
    seen, pixels = examined(samples_of(tmp_path, ["a.png"])[0], card)
    np.testing.assert_array_equal(pixels, PIXELS)
    assert seen == Seen(
        size=len(data),
        mtime_ns=(tmp_path / "a.png").stat().st_mtime_ns,
        sha256=hashlib.sha256(data).hexdigest(),
        pixels_sha256=pixels_sha256(PIXELS),
        height=12,
        width=10,
        format="TIFF",
        lossless=True,
        flat=False,
    )


def test_an_image_of_one_grey_is_seen_to_be_flat(tmp_path: Path, card: Card) -> None:
    (tmp_path / "a.png").write_bytes(encoded(np.full((4, 4), 7, np.uint8)))
    assert examined(samples_of(tmp_path, ["a.png"])[0], card)[0].flat


def test_a_file_that_vanishes_is_a_bad_image(tmp_path: Path, card: Card) -> None:
    with pytest.raises(BadImage, match="'a.png' cannot be read: No such file"):
        examined(samples_of(tmp_path, ["a.png"])[0], card)


def test_a_re_encoded_image_is_the_same_image(tmp_path: Path, card: Card) -> None:
    original = encoded(PIXELS, compress_level=9)
    (tmp_path / "a.png").write_bytes(encoded(PIXELS, "BMP"))
    expected = {"a.png": Expected(hashlib.sha256(original).hexdigest(), pixels_sha256(PIXELS))}
    assert isinstance(looked_at(tmp_path, card, ["a.png"], expected)["a.png"], Seen)


def test_each_kind_of_problem_is_told(tmp_path: Path, card: Card) -> None:
    (tmp_path / "different.png").write_bytes(encoded(PIXELS))
    (tmp_path / "text.png").write_text("not found")
    (tmp_path / "cut.png").write_bytes(encoded(PIXELS)[:-30])
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "file").touch()
    names = [
        "different.png",
        "text.png",
        "cut.png",
        "folder.png",
        "dangling.png",
        "loop.png",
        "file/below.png",
    ]
    found = looked_at(tmp_path, card, names, {"different.png": Expected("c" * 64)})
    assert [found[name].kind for name in names] == [
        "different",
        "unreadable",
        "unreadable",
        "unreadable",
        "missing",
        "unreadable",
        "missing",
    ]
    assert found["cut.png"] == Problem(
        "cut.png", "unreadable", "cannot be decoded as PNG: image file is truncated"
    )


def test_what_was_seen_is_not_decoded_again(tmp_path: Path, card: Card) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(PIXELS))
    first = looked_at(tmp_path, card, ["a.png", "b.png"])
    before = snapshot()
    assert looked_at(tmp_path, card, ["a.png", "b.png"]) == first
    assert since(before)["decodes"] == 0


def test_only_the_file_that_changed_is_decoded_again(tmp_path: Path, card: Card) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(PIXELS))
    looked_at(tmp_path, card, ["a.png", "b.png"])
    before = snapshot()
    (tmp_path / "b.png").write_bytes(encoded(255 - PIXELS))
    found = looked_at(tmp_path, card, ["a.png", "b.png"])
    assert found["b.png"].pixels_sha256 == pixels_sha256(255 - PIXELS)
    os.utime(tmp_path / "a.png", (1, 1))
    looked_at(tmp_path, card, ["a.png", "b.png"])
    assert since(before)["decodes"] == 2


def test_a_corrected_list_is_believed_at_once(tmp_path: Path, card: Card) -> None:
    (tmp_path / "a.png").write_bytes(encoded(PIXELS))
    assert isinstance(looked_at(tmp_path, card, ["a.png"], {"a.png": Expected("c" * 64)})["a.png"], Problem)
    before = snapshot()
    right = {"a.png": Expected(None, pixels_sha256(PIXELS))}
    assert isinstance(looked_at(tmp_path, card, ["a.png"], right)["a.png"], Seen)
    assert since(before)["decodes"] == 0


def test_another_window_or_another_pillow_forgets_what_was_seen(
    tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(encoded(PIXELS))
    looked_at(tmp_path, card, ["a.png"])
    before = snapshot()
    looked_at(tmp_path, load_card(write_card(tmp_path / "other", more="[window]\nlevel = 40\n")), ["a.png"])
    monkeypatch.setattr("PIL.__version__", "0.1")
    looked_at(tmp_path, card, ["a.png"])
    assert since(before)["decodes"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"seen": {}}',
        '{"decoding": 1, "seen": 2}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_damaged_memory_is_an_empty_one(tmp_path: Path, card: Card, text: str) -> None:
    (tmp_path / "memory.json").write_bytes(text.encode(errors="surrogateescape"))
    assert len(Memory(tmp_path / "memory.json", card)) == 0


@pytest.mark.parametrize(("key", "value"), [("size", "10"), ("sha256", None), ("flat", 0), ("height", 1.5)])
def test_a_memory_of_the_wrong_types_is_an_empty_one(
    tmp_path: Path, card: Card, key: str, value: object
) -> None:
    memory = Memory(tmp_path / "memory.json", card)
    memory.remember(tmp_path / "a.png", SEEN)
    memory.save(tmp_path)
    assert len(Memory(tmp_path / "memory.json", card)) == 1
    table = json.loads((tmp_path / "memory.json").read_text())
    table["seen"][str(tmp_path / "a.png")][key] = value
    (tmp_path / "memory.json").write_text(json.dumps(table))
    assert len(Memory(tmp_path / "memory.json", card)) == 0


def test_a_memory_that_cannot_be_written_is_one_line_and_spoils_nothing(tmp_path: Path, card: Card) -> None:
    (tmp_path / "verified").write_text("a file where a folder should be")
    memory = Memory(tmp_path / "verified" / "x.json", card)
    memory.remember(tmp_path / "a.png", SEEN)
    with pytest.raises(HarnessError, match=r"the cache folder .* cannot be written: .*HARNESS_CACHE"):
        memory.save(tmp_path)


def test_pixels_are_kept_in_the_order_of_the_samples_and_without_the_unrecognised(tmp_path: Path) -> None:
    path = class_folders(tmp_path / "squares")
    card = load_card(path)
    names = [f"dark/{number}.png" for number in range(3)]
    kept: list[np.ndarray] = []
    memory = Memory(tmp_path / "memory.json", card)
    verified(
        samples_of(path.parent, names), {"dark/1.png": Expected("c" * 64)}, memory, card, keep=kept.append
    )
    assert [image.shape for image in kept] == [(6, 8), (8, 8)]


def test_progress_is_told_up_to_the_end(tmp_path: Path) -> None:
    path = class_folders(tmp_path / "squares")
    told: list[float | None] = []
    verified(
        samples_of(path.parent, ["dark/0.png", "dark/1.png"]),
        {},
        Memory(tmp_path / "memory.json", load_card(path)),
        load_card(path),
        progress=lambda what, done: told.append(done),
    )
    assert told == [0.5, 1.0]


def test_the_same_dataset_in_two_folders_has_two_memories(tmp_path: Path, card: Card) -> None:
    one, two = (memory_path(tmp_path, card, tmp_path / name) for name in ("one", "two"))
    assert one != two
    assert one.parent == tmp_path / "verified"
