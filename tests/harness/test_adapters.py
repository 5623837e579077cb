"""Adapters: a folder a class, or a list; whatever is odd about either is one clear line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from made_images import class_folders, encoded, grey, nothing_is_forbidden, write_card, write_files

from harness.data.adapters import Expected, ImageFolder, ImageList, make_adapter, read_list
from harness.data.cards import Card, load_card
from harness.errors import CardError, DataError, PluginBroken
from harness.types import Sample

PNG = encoded(grey(0))
SHA = "0" * 64


def folder_samples(root: Path, more: str = "") -> list[Sample]:
    return ImageFolder(load_card(write_card(root, more=more)), root).samples()


def list_complaint(tmp_path: Path, listed: str | bytes) -> str:
    card = write_card(tmp_path, name="listed", listed="")
    (tmp_path / "files.csv").write_bytes(listed if isinstance(listed, bytes) else listed.encode())
    with pytest.raises(DataError) as caught:
        read_list(load_card(card))
    line = str(caught.value)
    assert "\n" not in line
    assert "files.csv" in line
    return line


def test_a_folder_a_class_gives_samples_in_class_order(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"dark/b.png": PNG, "dark/a/c.PNG": PNG, "bright/x.jpg": PNG, "dark/.hidden.png": PNG}
    )
    samples = folder_samples(tmp_path)
    assert [(s.id, s.label) for s in samples] == [("dark/a/c.PNG", 0), ("dark/b.png", 0), ("bright/x.jpg", 1)]
    assert samples[0].path == tmp_path / "dark/a/c.PNG"
    assert (samples[0].group, samples[0].split) == (None, None)


def test_the_card_may_name_the_folders(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/0/1.png": PNG, "b/1.png": PNG})
    samples = folder_samples(tmp_path, "[folders]\ndark = 'a/0'\nbright = './b/'\n")
    assert [s.id for s in samples] == ["a/0/1.png", "b/1.png"]


def test_dicom_without_an_extension_is_found_by_its_mark(tmp_path: Path) -> None:
    mark = bytes(128) + b"DICM"
    write_files(
        tmp_path, {"dark/IM0001": mark, "dark/1.2.840.5": mark, "dark/README": b"text", "bright/1.png": PNG}
    )
    card = load_card(write_card(tmp_path))
    adapter = ImageFolder(card, tmp_path)
    assert [s.id for s in adapter.samples()] == ["dark/1.2.840.5", "dark/IM0001", "bright/1.png"]
    assert adapter.warnings == ["1 file (first: 'dark/README') in the class folders is no image that is read"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "no folder 'dark' in "),
        (["dark/1.png"], "no folder 'bright' in "),
        (
            ["dark/1.png", "bright/notes.txt"],
            "class 'bright' has no image in 'bright'; every class needs some",
        ),
        (["dark/1.png", "bright/1.png", "2.png"], "1 file (first: '2.png') outside the class folders"),
        (
            ["dark/1.png", "bright/1.png", "new/1.png", "new/2.png"],
            "2 files (first: 'new/1.png') outside the class",
        ),
    ],
)
def test_a_folder_that_is_not_as_the_card_says_is_an_error(
    tmp_path: Path, files: list[str], reason: str
) -> None:
    write_files(tmp_path, dict.fromkeys(files, PNG))
    with pytest.raises(DataError) as caught:
        folder_samples(tmp_path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_folder_in_another_is_an_error(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/1.png": PNG, "a/b/1.png": PNG})
    with pytest.raises(DataError, match=r"1 file \(first: 'a/b/1.png'\) in the folders of two classes"):
        folder_samples(tmp_path, "[folders]\ndark = 'a'\nbright = 'a/b'\n")


def test_links_are_followed_and_a_loop_of_them_ends(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write_files(elsewhere, {"patient/1.png": PNG})
    root = tmp_path / "root"
    write_files(root, {"bright/2.png": PNG})
    (root / "dark").symlink_to(elsewhere)
    (elsewhere / "again").symlink_to(elsewhere)
    (root / "bright" / "up").symlink_to(root)
    assert [s.id for s in folder_samples(root)] == ["dark/patient/1.png", "bright/2.png"]


@pytest.mark.skipif(nothing_is_forbidden(), reason="nothing is forbidden to this user")
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path)
    (tmp_path / "dark" / "secret").mkdir(mode=0)
    with pytest.raises(DataError, match="secret' cannot be read: Permission denied"):
        folder_samples(tmp_path)


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("", "is empty, expected a header with 'file' and 'label'"),
        ("\n\n", "is empty, expected a header"),
        ("file,label\n", "names no image"),
        (
            "a.png,dark\nb.png,bright\n",
            "no column 'file' in its first line ['a.png', 'dark']; write a header",
        ),
        ("file,lable\na.png,dark\n", "no column 'label' in its first line"),
        ("file;label\na.png;dark\n", "is separated by semicolons; save it with commas"),
        ("file;label\na,b.png;dark\n", "is separated by semicolons; save it with commas"),
        ("file\tlabel\na.png\tdark\n", "is separated by tabs; save it with commas"),
        ("file,label,file\na,dark,b\n", "its header names a column twice"),
        ("file,label\na.png\n", "line 2: 1 fields, the header has 2"),
        ("file,label\na.png,dark,x\n", "line 2: 3 fields, the header has 2"),
        ("file,label\na.png,grey\n", "line 2: the label 'grey' is none of the classes ['dark', 'bright']"),
        ("file,label\na.png,\n", "line 2: the label '' is none of the classes"),
        ("file,label\n,dark\n", "line 2: the file '' is empty"),
        ("file,label\n../a.png,dark\n", "line 2: the file '../a.png' leads out of the dataset's folder"),
        (
            "file,label\nb/../../a.png,dark\n",
            "line 2: the file 'b/../../a.png' leads out of the dataset's folder",
        ),
        ("file,label\n/etc/a.png,dark\n", "line 2: the file '/etc/a.png' leads out of the dataset's folder"),
        ("file,label\na.png,dark\na.png,dark\n", "the file 'a.png' is there twice; an image is one sample"),
        ("file,label\na.png,dark\n./a.png,dark\n", "the file 'a.png' is there twice"),
        ("file,label,id\na.png,dark,1\nb.png,dark,1\n", "the id '1' is there twice; ids must be unique"),
        ("file,label,id\na.png,dark,b.png\nb.png,dark,\n", "the id 'b.png' is there twice"),
        (
            "file,label,id,split\na.png,dark,1,train\na.png,dark,2,test\n",
            "the file 'a.png' is there twice (in train and in test); an image is one sample",
        ),
        (
            "file,label,split\na.png,dark,validation\n",
            "line 2: the split 'validation' is none of train, val, test",
        ),
        ("file,label,sha256\na.png,dark,abc\n", "line 2: sha256 is 'abc', expected 64 hexadecimal digits"),
        ('file,label\n"a.png,dark\n', "is not a CSV file in UTF-8"),
        ("file,label\na.png,dark\n".encode("utf-16"), "is not a CSV file in UTF-8"),
        (b"file,label\nCovid\xe9.png,dark\n", "is not a CSV file in UTF-8"),
    ],
)
def test_a_list_with_a_mistake_is_an_error_that_names_the_line(
    tmp_path: Path, listed: str | bytes, reason: str
) -> None:
    assert reason in list_complaint(tmp_path, listed)


def test_a_list_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    card = load_card(write_card(tmp_path, name="listed", listed=""))
    (tmp_path / "files.csv").unlink()
    with pytest.raises(DataError, match=r"files.csv' cannot be read: No such file"):
        read_list(card)


def test_a_card_without_a_list_has_none_to_read(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="key 'list' is missing; name the CSV file beside it"):
        read_list(load_card(write_card(tmp_path, name="x", adapter="ct-phantom")))


def test_a_list_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    card = load_card(write_card(tmp_path, name="listed", listed=""))
    (tmp_path / "files.csv").write_bytes(
        '\ufefffile, label ,group,split,source\r\n"a, b.png",dark, p1 ,train,Wuhan\r\n\r\nc.png,bright,,,\r\n'.encode()
    )
    first, second = read_list(card)
    assert (first.id, first.file, first.label) == ("a, b.png", "a, b.png", "dark")
    assert (first.group, first.split, first.source) == ("p1", "train", "Wuhan")
    assert (second.group, second.split, second.source, second.expected) == (None, None, None, Expected())


def test_a_list_becomes_samples_and_checksums(tmp_path: Path) -> None:
    listed = f"id,file,label,pixels_sha256\none,x/a.png,bright,{SHA}\ntwo,x/b.png,dark,\n"
    adapter = ImageList(load_card(write_card(tmp_path, name="listed", listed=listed)), tmp_path / "root")
    assert [(s.id, s.path, s.label) for s in adapter.samples()] == [
        ("one", tmp_path / "root/x/a.png", 1),
        ("two", tmp_path / "root/x/b.png", 0),
    ]
    assert adapter.expected() == {"one": Expected(None, SHA), "two": Expected()}


def test_one_patient_may_have_both_labels(tmp_path: Path) -> None:
    listed = "file,label,group\na.png,dark,p1\nb.png,bright,p1\n"
    card = load_card(write_card(tmp_path, name="listed", listed=listed))
    assert [row.group for row in read_list(card)] == ["p1", "p1"]


def test_images_that_are_not_listed_and_columns_that_are_not_used_are_warnings(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.png": PNG, "x/b.png": PNG, "x/c.txt": PNG})
    card = load_card(write_card(tmp_path, name="listed", listed="file,label,patient\na.png,dark,7\n"))
    adapter = ImageList(card, tmp_path)
    assert len(adapter.samples()) == 1
    column, extra = adapter.warnings
    assert "column 'patient' is not used; known: file, label, id, group" in column
    assert extra == "1 file (first: 'x/b.png') not on the list and left alone"


def test_what_the_card_knows_to_be_missing_is_no_sample(tmp_path: Path) -> None:
    listed = "file,label\na.png,dark\nb.png,bright\nc.png,bright\n"
    card = load_card(write_card(tmp_path, name="listed", listed=listed, more="known_missing = ['b.png']\n"))
    assert [row.id for row in read_list(card)] == ["a.png", "c.png"]


def test_an_unknown_adapter_is_suggested(tmp_path: Path) -> None:
    card = load_card(write_card(tmp_path, name="x", adapter="image-foldr"))
    with pytest.raises(
        CardError, match="key 'adapter': unknown adapter 'image-foldr'; you probably meant 'image-f"
    ):
        make_adapter(card, tmp_path)


class Plugin:
    """Stands for the entry point of a stranger's adapter."""

    def __init__(self, loaded: Any) -> None:
        self.loaded = loaded

    def load(self) -> Any:
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


class Generator:
    def __init__(self, card: Card, root: Path) -> None: ...

    def prepare(self, progress: object) -> None: ...

    def samples(self) -> Iterable[Sample]:
        return []


def test_an_adapter_that_prepares_makes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = load_card(write_card(tmp_path, name="x", adapter="made"))
    plugins = {"made": Plugin(Generator)}
    monkeypatch.setattr("harness.data.adapters.dataset_plugins", lambda: plugins)
    assert isinstance(make_adapter(card, tmp_path), Generator)


def test_a_broken_plugin_spoils_its_own_dataset_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = load_card(write_card(tmp_path, name="x", adapter="broken"))
    plugins = {"broken": Plugin(PluginBroken("plugin 'broken' cannot be imported: no such thing"))}
    monkeypatch.setattr("harness.data.adapters.dataset_plugins", lambda: plugins)
    with pytest.raises(PluginBroken, match="no such thing"):
        make_adapter(card, tmp_path)
