"""The dataset that is written: names, groups, parts, provenance, and a card that `harness run` takes."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from made_collections import Made, Panel, candidates, collection, several
from PIL import Image

from harness.curation.collection import DECISIONS, open_collection
from harness.curation.dataset import Busy, check_place, is_cut_off, safe_cell, write_dataset
from harness.curation.decisions import EventFile, read_events
from harness.curation.verdicts import Standing
from harness.data.cards import load_card
from harness.data.dataset import open_dataset
from harness.errors import CardError, DataError


def decide(folder: Path, *decisions: tuple[Any, ...]) -> None:
    file = EventFile(folder / DECISIONS)
    for one in decisions:
        file.add(*one)
    file.close()


def rows(folder: Path, name: str = "images.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_that_was_not_built_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no collection; make one with: harness figures build"):
        write_dataset(tmp_path)


def test_a_damaged_paper_is_named(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(1))
    (record,) = folder.rglob("document.json")
    record.write_text("{}")
    with pytest.raises(DataError, match="is damaged: .*remove its folder and build again"):
        write_dataset(folder)


def test_an_image_outside_the_papers_folder_is_never_opened(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)], image="../../secret.png"))
    with pytest.raises(DataError, match="is no name of ours"):
        write_dataset(folder)


def edited(folder: Path, key: str, value: Any) -> None:
    """Change document.json as a person might: `key` is the way to the value, its parts with dots between."""
    (path,) = folder.rglob("document.json")
    table = whole = json.loads(path.read_text())
    *way, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in way:
        table = table[part]
    if value is GONE:
        del table[last]
    else:
        table[last] = value
    path.write_text(json.dumps(whole))


GONE = object()
PANEL = "figures.0.panels.0"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("figures", {"a": 1}, "figures: expected a list"),
        ("figures", [None], "figures.0: "),
        ("figures.0.image", 5, "figures.0.image: "),
        ("figures.0.image", "a.png", "image 'a.png' is no name of ours"),
        ("figures.0.page", "six", "figures.0.page: "),
        ("figures.0.page", 0, "figures.0.page: "),
        ("figures.0.page", 6.5, "figures.0.page: "),
        ("figures.0.page_size", [0, 0], "figures.0.page_size.0: "),
        ("figures.0.page_size", [500], "figures.0.page_size"),
        ("figures.0.mentions", "text", "figures.0.mentions: "),
        ("figures.0.caption_text", None, "figures.0.caption_text: "),
        (f"{PANEL}.pixels", [0, 0, 0, 40], "is no box: left, top, right, bottom"),
        (f"{PANEL}.pixels", [40, 0, 0, 40], "is no box"),
        (f"{PANEL}.pixels", [-40, 0, 40, 40], f"{PANEL}.pixels.0: "),
        (f"{PANEL}.pixels", [0, 0, 10**12, 40], f"{PANEL}.pixels.2: "),
        (f"{PANEL}.pixels", [0, 0, 40], f"{PANEL}.pixels"),
        (f"{PANEL}.bbox", [0, 0, float("nan"), 1], f"{PANEL}.bbox.2: "),
        (f"{PANEL}.ct", "CT", f"{PANEL}.ct: "),
        (f"{PANEL}.ct.confidence", 90, f"{PANEL}.ct.confidence: "),
        (f"{PANEL}.label.value", "covid", "'covid' is none of ['non-COVID', 'COVID']"),
        (f"{PANEL}.label", GONE, f"{PANEL}.label: is not there"),
        (f"{PANEL}.patient.value", ["a"], f"{PANEL}.patient.value: "),
        ("name", None, "name: "),
        ("sha256", "../..", "sha256: "),
        ("doi", 10.1101, "doi: "),
        ("schema_version", 2, "schema_version: "),
    ],
)
def test_a_record_edited_by_hand_in_odd_ways_is_one_line(
    tmp_path: Path, key: str, value: object, said: str
) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]))
    edited(folder, key, value)
    with pytest.raises(
        DataError, match=r"document.json' is damaged: .*; remove its folder and build again"
    ) as caught:
        write_dataset(folder)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["", "null", "[]", '{"name":', "[" * 100_000, '{"name": "\\ud800"}', "\x00"])
def test_a_record_that_is_no_table_is_one_line(tmp_path: Path, text: str) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]))
    next(folder.rglob("document.json")).write_text(text)
    with pytest.raises(DataError, match="is damaged: ") as caught:
        write_dataset(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_that_holds_another_paper_is_named(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]))
    edited(folder, "sha256", "ab" * 32)
    with pytest.raises(DataError, match="holds another paper than it is called after"):
        write_dataset(folder)


def test_a_box_outside_its_image_is_one_line(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]))
    edited(folder, f"{PANEL}.pixels", [0, 0, 4000, 40])
    with pytest.raises(DataError, match=r"has 40 x 40 pixels and no box \[0, 0, 4000, 40\]"):
        write_dataset(folder)


def test_keys_that_a_person_added_are_left_alone(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]))
    edited(folder, "remark", "looked at by me")
    assert write_dataset(folder).classes == {"COVID": 1}


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(1))
    (image,) = folder.rglob("f-p6-52.png")
    image.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"f-p6-52.png' is damaged"):
        write_dataset(folder)


def test_without_a_labelled_slice_nothing_is_written_and_the_numbers_say_why(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1, None), Panel(2, ct="other")]))
    with pytest.raises(DataError, match=r"1 CT without a label, 1 no CT.*harness figures review"):
        write_dataset(folder)
    assert not (folder / "card.toml").exists()
    assert not (folder / "images").exists()


def test_images_are_named_after_the_doi_page_object_and_panel(tmp_path: Path) -> None:
    two = Made("x.pdf", [Panel(1), Panel(2)], doi="10.1101/2020.02.10.20021584")
    write_dataset(collection(tmp_path / "my-ct", two, Made("Some Paper.pdf", [Panel(3)])))
    assert sorted(path.name for path in (tmp_path / "my-ct" / "images").iterdir()) == [
        "2020.02.10.20021584-p6-52%0.png",
        "2020.02.10.20021584-p6-52%1.png",
        "Some-Paper-p6-52.png",
    ]


def test_rejecting_a_panel_does_not_rename_the_others(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1), Panel(2)]))
    decide(folder, ("reject", candidates(folder)[0].id))
    write_dataset(folder)
    assert [row["file"] for row in rows(folder)] == ["a-p6-52%1.png"]


HOSTILE = [
    "../../../etc/passwd.pdf",
    "..\\..\\x.pdf",
    "=cmd|' /C calc'!A0.pdf",
    "a\nb.pdf",
    "x" * 300 + ".pdf",
    "\u202egnp.exe.pdf",
    "con.pdf",
    ".hidden.pdf",
    "-rf.pdf",
    "%2e%2e%2f.pdf",
    "\U0001f9a0.pdf",
    "café.pdf",
    '"; rm -rf "$HOME".pdf',
    "a,b;c\td.pdf",
]


def test_hostile_names_stay_inside_the_folder_and_harmless_in_a_spreadsheet(tmp_path: Path) -> None:
    made = [
        Made(
            name,
            [Panel(10 + k, "COVID" if k % 2 else "non-COVID")],
            title=name,
            doi=f"10.1/{name}" if k % 3 == 0 else "",
            caption=f"={name}",
        )
        for k, name in enumerate(HOSTILE)
    ]
    folder = collection(tmp_path / "my-ct", *made)
    write_dataset(folder)
    assert {path.name for path in tmp_path.iterdir()} == {"my-ct"}
    images = [path.name for path in (folder / "images").iterdir()]
    assert len(images) == len(HOSTILE)
    for name in images:
        assert len(name) < 130
        assert name.isascii()
        assert name.isprintable()
        assert name[0].isalnum()
    for row in rows(folder) + rows(folder, "provenance.csv"):
        for value in row.values():
            assert value.isprintable()
            assert value[:1] not in ("=", "+", "@", "-"), value
    assert len(open_dataset(str(folder / "card.toml")).samples) == len(HOSTILE)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'=1"),
        ("\r\n=1", "'=1"),
        ("\0=1", "'=1"),
        ("a=1", "a=1"),
        (" ", ""),
    ],
)
def test_no_cell_is_a_formula(text: str, cell: str) -> None:
    assert safe_cell(text) == cell


def test_two_papers_of_one_name_have_images_of_two_names(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]), Made("A.pdf", [Panel(2)]))
    write_dataset(folder)
    assert len({row["file"].lower() for row in rows(folder)}) == 2


def test_no_group_is_in_two_parts_and_both_classes_are_in_each(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(10), *several(10, "non-COVID", 100))
    written = write_dataset(folder)
    parts, classes = defaultdict(set), defaultdict(set)
    for row in rows(folder):
        parts[row["group"]].add(row["split"])
        classes[row["split"]].add(row["label"])
    assert all(len(found) == 1 for found in parts.values())
    assert classes == {part: {"COVID", "non-COVID"} for part in ("train", "val", "test")}
    assert written.parts == {"train": 24, "val": 8, "test": 8}  # 60/20/20 of 40


def test_too_few_groups_leave_the_split_out_and_say_so(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(2), *several(2, "non-COVID", 100))
    written = write_dataset(folder)
    assert written.parts == {}
    assert {row["split"] for row in rows(folder)} == {""}
    assert "no split: 4 groups are too few for a train, val and test part" in " ".join(written.remarks)
    assert any("There is no split" in problem for problem in load_card(folder / "card.toml").known_problems)


def test_a_missing_class_is_said(tmp_path: Path) -> None:
    written = write_dataset(collection(tmp_path / "my-ct", *several(3)))
    assert "no picture is non-COVID: 'harness run' needs both classes" in written.remarks[0]


def test_patients_are_groups_only_where_every_picture_of_a_paper_has_one(tmp_path: Path) -> None:
    named = Made("named.pdf", [Panel(1, patient="man-40"), Panel(2, patient="woman-50")])
    partly = Made("partly.pdf", [Panel(3, patient="man-40"), Panel(4)])
    folder = collection(tmp_path / "my-ct", named, partly)
    write_dataset(folder)
    assert [row["group"] for row in rows(folder)] == ["named/man-40", "named/woman-50", "partly", "partly"]


def test_naming_the_last_patient_by_eye_parts_the_paper(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(3, patient="man-40"), Panel(4)]))
    decide(folder, ("patient", candidates(folder)[1].id, "Patient 7"))
    write_dataset(folder)
    assert [row["group"] for row in rows(folder)] == ["a/man-40", "a/patient-7"]


def test_one_picture_in_two_papers_is_there_once_and_joins_their_groups(tmp_path: Path) -> None:
    first, second = Made("a.pdf", [Panel(1), Panel(2)]), Made("b.pdf", [Panel(2), Panel(3)])
    folder = collection(tmp_path / "my-ct", first, second)
    written = write_dataset(folder)
    assert [row["file"] for row in rows(folder)] == ["a-p6-52%0.png", "a-p6-52%1.png", "b-p6-52%1.png"]
    assert {row["group"] for row in rows(folder)} == {"a"}
    assert written.left_out == {"the same picture again": 1}


@pytest.mark.parametrize("digests", [True, False])
def test_copies_of_a_rejected_picture_stay_out_unless_they_were_accepted(
    tmp_path: Path, digests: bool
) -> None:
    papers = [
        Made("a.pdf", [Panel(1), Panel(2)], digests=digests),
        Made("b.pdf", [Panel(1), Panel(3)], digests=digests),
        Made("c.pdf", [Panel(1), Panel(4)], digests=digests),
    ]
    folder = collection(tmp_path / "my-ct", *papers)
    first, _, second, _, third, _ = (one.id for one in candidates(folder))
    decide(folder, ("reject", first))
    written = write_dataset(folder)
    assert [row["file"] for row in rows(folder)] == ["a-p6-52%1.png", "b-p6-52%1.png", "c-p6-52%1.png"]
    assert written.left_out == {"rejected": 1, "the same as a rejected picture": 2}
    decide(folder, ("accept", third))
    write_dataset(folder)
    assert "c-p6-52%0.png" in [row["file"] for row in rows(folder)]
    assert "b-p6-52%0.png" not in [row["file"] for row in rows(folder)]
    decide(folder, ("undo", "1"), ("undo", "2"))
    assert write_dataset(folder).left_out == {"the same picture again": 2}
    assert second


def test_a_part_of_a_split_picture_is_compared_too(tmp_path: Path) -> None:
    """Two panels in one box in the second paper, cut apart by eye."""
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]), Made("b.pdf", [Panel(1), Panel(2)]))
    one, left, right = (one.id for one in candidates(folder))
    decide(folder, ("merge", left, right))
    whole = next(
        name for name in Standing(candidates(folder), read_events(folder / DECISIONS)).by_id if name != one
    )
    decide(folder, ("split", whole, [[0, 0, 40, 40], [40, 0, 80, 40]]), ("reject", one))
    assert write_dataset(folder).left_out == {"rejected": 1, "the same as a rejected picture": 1}


def test_provenance_says_where_each_image_is_from_and_how_it_was_decided(tmp_path: Path) -> None:
    paper = Made(
        "x.pdf",
        [Panel(1, letter="a", text="On day 1."), Panel(2)],
        doi="10.1/abc",
        title="A title",
        caption="Figure 1. Two\nslices.",
    )
    folder = collection(tmp_path / "my-ct", paper)
    decide(folder, ("label", candidates(folder)[0].id, "non-COVID"))
    write_dataset(folder)
    first, second = rows(folder, "provenance.csv")
    said = {
        key: first[key]
        for key in (
            "label",
            "caption",
            "letter",
            "panel_text",
            "pdf",
            "page",
            "object",
            "doi",
            "title",
            "decided",
        )
    }
    assert said == {
        "label": "non-COVID",
        "caption": "Figure 1. Two slices.",
        "letter": "a",
        "panel_text": "On day 1.",
        "pdf": "x.pdf",
        "page": "6",
        "object": "52",
        "doi": "10.1/abc",
        "title": "A title",
        "decided": "relabelled",
    }
    assert (first["box"], second["decided"]) == ("100.0 100.0 140.0 140.0", "suggested")
    assert len(first["pdf_sha256"]) == 64


def test_the_card_says_how_much_was_reviewed(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(2))
    write_dataset(folder)
    card = load_card(folder / "card.toml")
    assert card.known_problems[0] == "unreviewed: labels are suggestions by rules"
    assert (card.positive, card.counts, card.adapter) == ("COVID", {"COVID": 4}, "image-list")
    assert card.licence.startswith("not stated: fill in")
    decide(folder, ("accept", candidates(folder)[0].id))
    write_dataset(folder)
    problem = load_card(folder / "card.toml").known_problems[0]
    assert problem == "1 of 4 images reviewed by eye, the labels of the others are suggestions by rules"


def test_what_a_person_wrote_on_the_card_stays(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(2))
    write_dataset(folder)
    text = (folder / "card.toml").read_text().replace('title = "my-ct"', 'title = "Fälle \\"A\\""')
    (folder / "card.toml").write_text(text)
    write_dataset(folder)
    assert load_card(folder / "card.toml").title == 'Fälle "A"'


def test_line_breaks_that_a_person_wrote_on_the_card_stay(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(2))
    write_dataset(folder)
    text = 'Slices of "A".\n\n  - indented\n\twith a tab, C:\\new, """three""" and \u00e4.\n'
    card = (folder / "card.toml").read_text()
    whole = f"description = {json.dumps(text, ensure_ascii=False)}\n"
    (folder / "card.toml").write_text(re.sub("(?m)^description = .*\n", lambda _: whole, card))
    for _ in range(2):
        write_dataset(folder)
        assert load_card(folder / "card.toml").description == text
    assert "\n  - indented\n" in (folder / "card.toml").read_text(), "as lines, for people"


def test_signs_that_nobody_sees_become_blanks_on_the_card(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(2))
    write_dataset(folder)
    card = (
        (folder / "card.toml").read_text().replace('title = "my-ct"', 'title = "a\\u0007b\\u202Ec\\u007fd"')
    )
    (folder / "card.toml").write_text(card)
    write_dataset(folder)
    assert load_card(folder / "card.toml").title == "a b c d"


def test_a_card_that_a_person_broke_is_not_overwritten(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(2))
    write_dataset(folder)
    (folder / "card.toml").write_text("licence = ")
    with pytest.raises(CardError, match="correct it"):
        write_dataset(folder)
    assert (folder / "card.toml").read_text() == "licence = "


@pytest.mark.parametrize("name", ["images", "card.toml", "images.csv"])
def test_what_somebody_else_put_there_is_not_replaced(tmp_path: Path, name: str) -> None:
    folder = collection(tmp_path / "my-ct", *several(2))
    (folder / name).write_text("mine")
    with pytest.raises(DataError, match="was not written by this command"):
        write_dataset(folder)
    assert (folder / name).read_text() == "mine"


def test_a_dataset_that_a_crash_left_half_is_written_again(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(2), *several(2, "non-COVID", 100))
    write_dataset(folder)
    (folder / "card.toml").unlink()
    (folder / "images").rename(folder / ".old-images-1")
    write_dataset(folder)
    assert len(open_dataset(str(folder / "card.toml")).samples) == 8
    assert not (folder / ".old-images-1").exists()


def test_images_of_an_earlier_dataset_go_with_it(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1), Panel(2)]))
    write_dataset(folder)
    decide(folder, ("reject", candidates(folder)[0].id))
    write_dataset(folder)
    assert [path.name for path in (folder / "images").iterdir()] == ["a-p6-52%1.png"]
    assert not [path for path in folder.iterdir() if path.name.startswith((".images", ".old"))]


def test_the_same_collection_gives_the_same_bytes(tmp_path: Path) -> None:
    made = [*several(4), *several(4, "non-COVID", 100)]
    written = []
    for name, order in (("one", made), ("two", made[::-1])):
        folder = collection(tmp_path / name / "my-ct", *order)
        write_dataset(folder)
        files = [
            path for path in sorted(folder.rglob("*")) if path.is_file() and "documents" not in path.parts
        ]
        written.append([(path.name, path.read_bytes()) for path in files])
    assert written[0] == written[1]


def test_the_written_pixels_are_those_of_the_box(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(7), Panel(9)]))
    write_dataset(folder)
    with Image.open(folder / "images" / "a-p6-52%1.png") as image:
        assert (image.size, image.mode, image.getpixel((0, 0)), image.getpixel((15, 15))) == (
            (40, 40),
            "L",
            9,
            246,
        )


def test_failed_papers_are_kept_apart(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", *several(1), Made("broken.pdf", [], failed="has no pages"))
    found = open_collection(folder)
    assert [(one.name, one.reason) for one in found.failures] == [("broken.pdf", "has no pages")]
    assert len(found.papers) == 1


def test_nothing_of_a_dataset_that_cannot_be_written_stays_behind(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]), Made("b.pdf", [Panel(2, "non-COVID")]))
    next(folder.rglob("f-p6-52.png")).write_bytes(b"no picture")
    with pytest.raises(DataError, match="is damaged"):
        write_dataset(folder)
    assert {one.name for one in folder.iterdir()} <= {"documents", ".write.lock"}


def test_two_writers_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]))
    monkeypatch.setattr("harness.curation.dataset.PATIENCE_SECONDS", 0.1)
    with (
        FileLock(folder / ".write.lock"),
        pytest.raises(DataError, match="another process writes the dataset"),
    ):
        write_dataset(folder)
    assert write_dataset(folder).classes == {"COVID": 1}


def test_waiting_for_another_writer_is_said(tmp_path: Path) -> None:
    from filelock import FileLock

    folder = collection(tmp_path / "my-ct", Made("a.pdf", [Panel(1)]))
    said: list[str] = []
    with FileLock(folder / ".write.lock"), pytest.raises(Busy):
        write_dataset(folder, say=said.append, patience=0.1)
    assert said == [f"another process writes the dataset of {str(folder)!r}: waiting, at most 0 s"]
    write_dataset(folder, say=said.append)
    assert len(said) == 1


KILLED = """
import os, sys
from pathlib import Path
import harness.curation.dataset as dataset

calls = 0
def killing(act):
    def wrapped(*arguments, **options):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os._exit(9)
        return act(*arguments, **options)
    return wrapped

dataset._write = killing(dataset._write)
Path.rename = killing(Path.rename)
dataset.shutil.rmtree = killing(dataset.shutil.rmtree)
dataset.write_dataset(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("step", range(1, 8))
def test_a_write_that_is_killed_at_any_step_is_noticed_and_the_next_is_whole(
    tmp_path: Path, step: int
) -> None:
    """The steps: two renames, three files, and what is removed."""
    folder = collection(tmp_path / "my-ct", *several(2), *several(2, "non-COVID", 100))
    write_dataset(folder)
    decide(folder, ("reject", candidates(folder)[0].id))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(step)], check=False)
    assert killed.returncode in (0, 9)
    broken = is_cut_off(folder)
    assert broken == any(folder.glob(".old-images-*"))
    if not broken:
        assert len(open_dataset(str(folder / "card.toml")).samples) in (7, 8)
    written = write_dataset(folder)
    assert ("the write before this one was cut off; this one is whole" in written.remarks) == broken
    assert len(open_dataset(str(folder / "card.toml")).samples) == 7
    assert not is_cut_off(folder)
    left = {one.name for one in folder.iterdir()} - {".write.lock"}
    assert left == {"card.toml", "decisions.jsonl", "documents", "images", "images.csv", "provenance.csv"}


def test_a_provenance_of_somebody_else_protects_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "provenance.csv").write_text("MY OWN NOTES\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.png").write_text("precious")
    with pytest.raises(DataError, match=r"provenance.csv' was not written by this command"):
        check_place(tmp_path)
