"""Datasets: found by name or path, verified once, refused in one line when they are not what the card says."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_images import class_folders, encoded, grey, png_that_claims, write_card, write_files

from harness.counters import since, snapshot
from harness.data.cards import Card, load_card
from harness.data.dataset import Dataset, open_dataset
from harness.data.decoding import pixels_sha256
from harness.data.roots import find_root
from harness.errors import CardError, DataError, DatasetMissing, HarnessError, UnknownName
from harness.folders import bundled, cache_folder
from harness.types import Sample

NAMES = ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png")
FETCH = "[fetch]\nkind = 'url'\nurls = ['http://127.0.0.1/x.zip']\n"


def listed_dataset(root: Path, *, more: str = "", checksums: bool = True) -> Path:
    """Write a dataset of six images with a list: alternating labels, two parts, three patients."""
    lines = ["file,label,group,split,sha256,pixels_sha256"]
    for number, name in enumerate(NAMES):
        pixels = grey(number, 6 + number, 9)
        data = encoded(pixels)
        write_files(root, {name: data})
        digests = (hashlib.sha256(data).hexdigest(), pixels_sha256(pixels)) if checksums else ("", "")
        label, part = ("dark", "bright")[number % 2], "train" if number < 4 else "test"
        lines.append(f"{name},{label},patient {number // 2},{part},{digests[0]},{digests[1]}")
    return write_card(root, name="listed", more=more, listed="\n".join(lines) + "\n")


def refusal(path: Path | str, kind: type[HarnessError] = DataError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        open_dataset(str(path), **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


def leftovers() -> list[Path]:
    return [path for path in cache_folder().rglob("*") if ".tmp-" in path.name]


# Files that are not what the card says


def test_files_that_differ_are_counted_and_the_way_out_is_said(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path, more=FETCH)
    for name in ("b.png", "d.png"):
        (tmp_path / name).write_bytes(encoded(grey(99)))
    assert refusal(card) == (
        "dataset 'listed': 2 of 6 files differ from the card (first: b.png); "
        "delete them and run 'harness fetch listed', or leave them out with --skip-bad"
    )
    assert not leftovers()


def test_missing_files_are_counted_with_the_folder(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path, more=FETCH)
    for name in ("c.png", "d.png", "e.png"):
        (tmp_path / name).unlink()
    assert refusal(card) == (
        f"dataset 'listed': 3 of 6 files are missing from {str(tmp_path)!r} (first: c.png); "
        "run 'harness fetch listed', or leave them out with --skip-bad"
    )


def test_a_list_of_one_s_own_that_names_missing_images_is_to_be_mended(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path)
    (tmp_path / "c.png").unlink()
    assert "1 of 6 files is missing from" in refusal(card)
    assert refusal(card).endswith(
        "(first: c.png); mend the files or the list of them, or leave them out with --skip-bad"
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "'c.png' is an empty file"),
        (b"<html>404</html>", "'c.png' is none of PNG, JPEG, TIFF, BMP, DICOM (it begins with b'<html>40')"),
        (encoded(grey(2, 8, 9))[:-40], "'c.png' cannot be decoded as PNG: image file is truncated"),
        (
            png_that_claims(60_000, 60_000),
            "'c.png' is oversized: 60000x60000 pixels, at most 64000000 are decoded",
        ),
    ],
)
def test_a_file_that_is_no_image_is_named_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    card = listed_dataset(tmp_path)
    (tmp_path / "c.png").write_bytes(data)
    assert f"1 of 6 files cannot be used (first: {reason}" in refusal(card)


def test_all_kinds_of_problems_are_in_one_line(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path)
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").write_bytes(encoded(grey(99)))
    (tmp_path / "c.png").write_bytes(b"x")
    line = refusal(card)
    assert "1 of 6 files differs from the card (first: b.png), 1 of 6 files is missing from" in line
    assert "1 of 6 files cannot be used (first: 'c.png' is none of PNG" in line


def test_bad_files_are_left_out_and_listed_when_the_user_says_so(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path)
    (tmp_path / "b.png").write_bytes(b"x")
    (tmp_path / "c.png").unlink()
    dataset = open_dataset(str(card), skip_bad=True)
    assert [sample.id for sample in dataset.samples] == ["a.png", "d.png", "e.png", "f.png"]
    assert dataset.skipped == (
        "b.png: is none of PNG, JPEG, TIFF, BMP, DICOM (it begins with b'x')",
        "c.png: is missing",
    )
    assert len(dataset.pixels()) == len(dataset) == 4
    np.testing.assert_array_equal(dataset.pixels().image(1), grey(3, 9, 9))


def test_leaving_out_may_not_empty_a_class_or_a_part_of_the_split(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path)
    (tmp_path / "e.png").unlink()
    assert "no image of class 'dark' is left in the test part without the bad files" in refusal(
        card, skip_bad=True
    )
    for name in NAMES[::2]:
        (tmp_path / name).unlink(missing_ok=True)
    assert "no image of class 'dark' is left without the bad files; mend them" in refusal(card, skip_bad=True)


def test_a_class_without_images_is_an_error(tmp_path: Path) -> None:
    card = write_card(tmp_path, name="x", listed="file,label\na.png,dark\nb.png,dark\n")
    assert refusal(card) == "dataset 'x': class 'bright' has no image; every class needs some"


def test_counts_that_are_not_the_card_s_are_an_error(tmp_path: Path) -> None:
    card = class_folders(tmp_path / "squares")
    card.write_text(card.read_text() + "[counts]\nbright = 4\n")
    assert "class 'bright' has 3 images, the card says 4; complete the files or correct [counts]" in refusal(
        card
    )


def test_a_name_that_cannot_be_written_down_is_an_error(tmp_path: Path) -> None:
    card = class_folders(tmp_path / "squares")
    (card.parent / "dark" / "a\nb.png").write_bytes(encoded(grey(1)))
    assert "sample 'dark/a\\nb.png' has an id that cannot be written down; rename the file" in refusal(card)
    (card.parent / "dark" / "a\nb.png").rename(card.parent / "dark" / os.fsdecode(b"\xff.png"))
    assert "has an id that cannot be written down" in refusal(card)


class Stranger:
    """An adapter that returns whatever a test wants."""

    returned: tuple[Sample, ...] = ()

    def __init__(self, card: Card, root: Path) -> None: ...

    def samples(self) -> list[Sample]:
        return list(self.returned)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([], "class 'dark' has no image"),
        ([("a", 0), ("a", 1)], "the id 'a' is there twice"),
        ([("a", 0), ("b", 2)], "sample 'b' has the label 2, expected 0 to 1"),
        ([("a", 0), ("b", -1)], "sample 'b' has the label -1, expected 0 to 1"),
        ([("a", 0), ("", 1)], "sample '' has an id that cannot be written down"),
        (
            [("a", 0), ("b", 1, "validation")],
            "sample 'b' is in the part 'validation', expected one of train, val",
        ),
    ],
)
def test_impossible_samples_of_a_stranger_s_adapter_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: list[Any], reason: str
) -> None:
    Stranger.returned = tuple(
        Sample(s[0], tmp_path / s[0], s[1], split=s[2] if s[2:] else None) for s in samples
    )
    monkeypatch.setattr("harness.data.dataset.make_adapter", Stranger)
    assert reason in refusal(write_card(tmp_path / "strange"))


# Where a dataset is


def test_an_unknown_name_is_suggested() -> None:
    assert refusal("covid-tc", UnknownName) == "unknown dataset 'covid-tc'; you probably meant 'covid-ct'"


@pytest.mark.parametrize("name", ["nowhere/card.toml", "card.toml", "./x", "x" * 300 + "/y"])
def test_a_path_without_a_card_is_an_error(name: str) -> None:
    assert f"there is no card at {name!r}" in refusal(name, CardError)


def test_a_name_too_long_for_a_file_is_unknown() -> None:
    assert refusal("x" * 5000, UnknownName).startswith("unknown dataset 'xxx")


def test_a_folder_without_a_card_is_an_error(tmp_path: Path) -> None:
    assert f"folder {str(tmp_path)!r} holds no card.toml" in refusal(tmp_path, CardError)


def test_data_that_is_nowhere_is_said_with_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    (tmp_path / "covid-ct").mkdir()
    cached = cache_folder() / "data" / "covid-ct"
    assert refusal("covid-ct", DatasetMissing) == (
        f"dataset 'covid-ct' was not found in {tmp_path / 'covid-ct'}, {cached}; let HARNESS_DATA (or --data-root) "
        "name the folder that holds 'covid-ct', or run 'harness fetch covid-ct'"
    )


def test_the_first_data_root_that_holds_something_is_taken(tmp_path: Path) -> None:
    path = bundled("datasets") / "covid-ct" / "card.toml"
    card = load_card(path)
    assert find_root(card, path, tmp_path) is None
    cached = cache_folder() / "data" / "covid-ct"
    write_files(cached, {"CT_COVID/a.png": b""})
    (tmp_path / "covid-ct").mkdir()
    assert find_root(card, path, tmp_path) == cached
    write_files(tmp_path / "covid-ct", {"CT_COVID/a.png": b""})
    assert find_root(card, path, tmp_path) == tmp_path / "covid-ct"


def test_a_wrong_folder_of_the_right_name_is_told_by_its_missing_files(tmp_path: Path) -> None:
    write_files(tmp_path / "sars-cov-2-ct", {"archive/COVID/Covid (1).png": encoded(grey(1))})
    line = refusal("sars-cov-2-ct", data_root=tmp_path)
    assert "2481 of 2481 files are missing from" in line
    assert line.endswith("run 'harness fetch sars-cov-2-ct', or leave them out with --skip-bad")


def test_one_s_own_card_is_opened_by_name_file_and_folder(tmp_path: Path) -> None:
    card = class_folders(tmp_path / "squares")
    by_name = open_dataset("squares", data_root=tmp_path)
    assert by_name.root == card.parent
    for path in (card, card.parent):
        assert open_dataset(str(path)).content == by_name.content


def test_the_images_may_lie_where_the_card_says(tmp_path: Path) -> None:
    class_folders(tmp_path / "images")
    card = write_card(tmp_path / "cards" / "squares")
    card.write_text(f"root = '../../images'\n{card.read_text()}")
    assert len(open_dataset(str(card))) == 6
    card.write_text(card.read_text().replace("../../images", "gone"))
    assert "the folder 'gone' that its card" in refusal(card, DatasetMissing)


def test_a_card_found_by_its_folder_must_bear_that_name(tmp_path: Path) -> None:
    class_folders(tmp_path / "squares").rename(tmp_path / "moved.toml")
    write_card(tmp_path / "squares", name="circles")
    line = refusal("squares", CardError, data_root=tmp_path)
    assert "key 'name' is 'circles', its folder is 'squares'; they must be the same" in line


class Generator(Stranger):
    """Makes its files itself."""

    def __init__(self, card: Card, root: Path) -> None:
        self.root = root

    def prepare(self, progress: object) -> None:
        write_files(self.root, {"a.png": encoded(grey(1)), "b.png": encoded(grey(2))})

    def samples(self) -> list[Sample]:
        return [Sample("a", self.root / "a.png", 0), Sample("b", self.root / "b.png", 1)]


class Plugin:
    def load(self) -> type:
        return Generator


def test_generated_files_lie_in_the_cache_and_are_made_on_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.data.adapters.dataset_plugins", lambda: {"made": Plugin()})
    path = write_card(tmp_path / "made", adapter="made", more="generated = true\n")
    root = cache_folder() / "data" / "made"
    assert find_root(load_card(path), path) == root
    assert not root.exists()
    assert open_dataset(str(path)).root == root
    assert (root / "a.png").exists()


# What a dataset is


def test_a_dataset_knows_labels_groups_sizes_and_rows(tmp_path: Path) -> None:
    dataset = open_dataset(str(listed_dataset(tmp_path)))
    assert dataset.name == "listed"
    assert dataset.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert dataset.labels.dtype == np.int64
    assert dataset.groups == ("patient 0", "patient 0", "patient 1", "patient 1", "patient 2", "patient 2")
    assert dataset.sizes[:2] == ((6, 9), (7, 9))
    assert dataset.pixel_digests[0] == pixels_sha256(grey(0, 6, 9))
    assert dataset.rows(["c.png", "a.png"]).tolist() == [2, 0]
    assert dataset.rows([]).dtype == np.intp
    assert dataset.warnings == dataset.skipped == ()
    with pytest.raises(DataError, match="dataset 'listed' has no sample 'z.png'"):
        dataset.rows(["z.png"])


def test_content_is_of_pixels_and_labels_and_not_of_names(tmp_path: Path) -> None:
    content = open_dataset(str(class_folders(tmp_path / "squares"))).content
    renamed = class_folders(tmp_path / "renamed")
    for path in sorted(renamed.parent.glob("*/*.png")):
        path.write_bytes(path.read_bytes() + b"trailing bytes change no pixel")
        path.rename(path.with_name(f"patient-{path.name}"))
    assert open_dataset(str(renamed)).content == content
    (renamed.parent / "dark" / "patient-0.png").write_bytes(encoded(grey(77)))
    assert open_dataset(str(renamed)).content != content
    swapped = class_folders(tmp_path / "swapped")
    swapped.write_text(swapped.read_text() + "[folders]\ndark = 'bright'\nbright = 'dark'\n")
    assert open_dataset(str(swapped)).content != content


def test_odd_files_that_are_used_are_told_in_one_warning_each(tmp_path: Path) -> None:
    card = class_folders(tmp_path / "squares")
    for number in range(2):
        (card.parent / "dark" / f"{number}.png").write_bytes(encoded(grey(50 + number), "JPEG"))
    (card.parent / "bright" / "0.png").write_bytes(encoded(np.zeros((5, 5), np.uint8)))
    expected = (
        "2 files (first: 'dark/0.png') named as another format, read as what they are (JPEG)",
        "1 file (first: 'bright/0.png') of one single grey value",
    )
    assert open_dataset(str(card)).warnings == expected
    before = snapshot()
    assert open_dataset(str(card)).warnings == expected
    assert since(before)["decodes"] == 0


# Once, and whoever interferes


def test_each_image_is_decoded_once_ever(tmp_path: Path) -> None:
    card = class_folders(tmp_path / "squares")
    before = snapshot()
    dataset = open_dataset(str(card))
    for row in range(len(dataset)):
        assert pixels_sha256(dataset.pixels().image(row)) == dataset.pixel_digests[row]
    open_dataset(str(card)).pixels().resized(4)
    assert since(before)["decodes"] == 6


def test_the_pack_is_made_again_where_the_cache_lost_it(tmp_path: Path) -> None:
    dataset = open_dataset(str(class_folders(tmp_path / "squares")))
    pack = dataset.pixels().folder
    expected = np.array(dataset.pixels().image(2))
    (pack / "native.bin").write_bytes(b"damaged")
    np.testing.assert_array_equal(dataset.pixels().image(2), expected)
    for path in pack.iterdir():
        path.unlink()
    np.testing.assert_array_equal(dataset.pixels().image(2), expected)
    assert not leftovers()


def test_a_file_that_changes_after_it_was_verified_is_noticed(tmp_path: Path) -> None:
    card = class_folders(tmp_path / "squares")
    dataset = open_dataset(str(card))
    (dataset.pixels().folder / "index.npy").unlink()
    (card.parent / "bright" / "1.png").write_bytes(encoded(grey(77)))
    with pytest.raises(
        DataError, match="'bright/1.png' changed since it was verified; run the command again"
    ):
        dataset.pixels()
    assert not leftovers()


def test_the_cache_may_lie_anywhere(tmp_path: Path) -> None:
    dataset = open_dataset(str(class_folders(tmp_path / "squares")), cache=tmp_path / "cache")
    assert dataset.pixels().folder.is_relative_to(tmp_path / "cache")
    assert not cache_folder().exists()


def test_after_an_error_only_the_mended_files_are_read_again(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path)
    good = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(b"x")
    refusal(card)
    (tmp_path / "b.png").write_bytes(good)
    before = snapshot()
    dataset = open_dataset(str(card))
    assert since(before)["decodes"] == 1
    assert len(dataset.pixels()) == 6


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    line = refusal(class_folders(tmp_path / "squares"), HarnessError, cache=tmp_path / "cache")
    assert line.startswith(f"the cache folder {str(tmp_path / 'cache')!r} cannot be written: ")
    assert "HARNESS_CACHE" in line


def test_an_interruption_leaves_nothing_half_written_and_no_work_lost(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path)

    def interrupt(what: str, done: float | None) -> None:
        if done is not None and done > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_dataset(str(card), progress=interrupt)
    assert not leftovers()
    before = snapshot()
    open_dataset(str(card))
    assert since(before)["decodes"] == 2
    assert len(open_dataset(str(card)).pixels()) == 6


OPENING = textwrap.dedent(
    """
    import sys, time
    from harness.counters import snapshot
    from harness.data.dataset import open_dataset

    pause = float(sys.argv[2])

    def progress(what, done):
        print(what, flush=True)
        time.sleep(pause)

    dataset = open_dataset(sys.argv[1], progress=progress)
    print(dataset.content, len(dataset.pixels()), snapshot()["decodes"])
    """
)


def opening(card: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPENING, str(card), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_open_at_once_share_the_work(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path)
    said = [
        process.communicate(timeout=60)[0].splitlines()
        for process in [opening(card, 0.05), opening(card, 0.05)]
    ]
    (one, n_one, decodes_one), (two, n_two, decodes_two) = (lines[-1].split() for lines in said)
    assert one == two
    assert n_one == n_two == "6"
    assert int(decodes_one) + int(decodes_two) == 6
    assert not leftovers()


def test_a_killed_opening_is_begun_again_and_its_rest_removed(tmp_path: Path) -> None:
    card = listed_dataset(tmp_path)
    process = opening(card, 30)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stdout.close()
    assert leftovers()
    assert len(open_dataset(str(card)).pixels()) == 6
    assert not leftovers()


def test_opening_imports_nothing_heavy(tmp_path: Path) -> None:
    code = """
        import sys
        from harness.data.dataset import open_dataset
        open_dataset(sys.argv[1]).pixels().resized(4)
        heavy = {"torch", "torchvision", "timm", "sklearn", "scipy", "pandas", "optuna", "pyarrow", "pydicom"}
        print(sorted(heavy & set(sys.modules)))
    """
    card = class_folders(tmp_path / "squares")
    command = [sys.executable, "-c", textwrap.dedent(code), str(card)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


# The real datasets


def opened(name: str, real_data: Path) -> Dataset:
    return open_dataset(name, data_root=real_data)


@pytest.mark.data
def test_covid_ct_is_what_its_authors_count(real_data: Path) -> None:
    dataset = opened("covid-ct", real_data)
    splits = [sample.split for sample in dataset.samples]
    classes = [dataset.card.classes[label] for label in dataset.labels]
    assert (len(dataset), dataset.skipped) == (746, ())
    assert {
        (part, name): sum(s == part and c == name for s, c in zip(splits, classes, strict=True))
        for part in ("train", "val", "test")
        for name in ("COVID", "non-COVID")
    } == {
        ("train", "COVID"): 191,
        ("val", "COVID"): 60,
        ("test", "COVID"): 98,
        ("train", "non-COVID"): 234,
        ("val", "non-COVID"): 58,
        ("test", "non-COVID"): 105,
    }
    assert dataset.warnings[0].startswith("34 files (first: 'CT_COVID/")
    assert len(dataset.warnings) == 1


@pytest.mark.data
def test_sars_cov_2_ct_is_recognised_by_its_pixels(real_data: Path) -> None:
    dataset = opened("sars-cov-2-ct", real_data)
    assert (len(dataset), dataset.warnings, dataset.skipped) == (2481, (), ())
    assert set(dataset.groups) == {None}
    original = json.loads(next((cache_folder() / "verified").glob("sars*.json")).read_text())
    listed = (bundled("datasets") / "sars-cov-2-ct" / "files.csv").read_text()
    assert not any(seen["sha256"] in listed for seen in original["seen"].values())


@pytest.mark.data
@pytest.mark.parametrize("name", ["covid-ct", "sars-cov-2-ct"])
def test_a_verified_dataset_opens_in_half_a_second(real_data: Path, name: str) -> None:
    first = opened(name, real_data)
    before, begin = snapshot(), time.process_time()  # not the clock: other work may share the cores
    second = opened(name, real_data)
    assert time.process_time() - begin < 0.5
    assert second.content == first.content
    assert since(before)["decodes"] == 0
