"""Decisions: on the disk before they count, undone at will, and no crash loses more than the line in flight."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_collections import Made, Panel, candidates, collection

from harness.curation.decisions import Event, EventFile, effective, read_events
from harness.curation.types import CLASSES, Candidate
from harness.curation.verdicts import NotPossible, Standing, patient_name
from harness.errors import DataError


@pytest.fixture
def four(tmp_path: Path) -> tuple[Candidate, ...]:
    """Four panels: two with a label, one without, one that is no CT."""
    panels = [Panel(10), Panel(20, "non-COVID"), Panel(30, None), Panel(40, ct="other")]
    return candidates(collection(tmp_path / "four", Made("paper.pdf", panels)))


def standing(of: tuple[Candidate, ...], *decisions: tuple[object, ...]) -> Standing:
    return Standing(of, [Event(n, *one) for n, one in enumerate(decisions, 1)])  # type: ignore[arg-type]


def test_there_are_no_decisions_where_there_is_no_file(tmp_path: Path) -> None:
    assert read_events(tmp_path / "decisions.jsonl") == ()


def test_what_is_added_is_there_for_the_next_reader_at_once(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "d.jsonl")
    file.add("label", "ab", "COVID", "2026-01-01")
    assert read_events(tmp_path / "d.jsonl") == (Event(1, "label", "ab", "COVID", "2026-01-01"),)
    file.close()


@pytest.mark.parametrize("torn", [b'{"number": 2, "act', b"{", b"\0\0\0"])
def test_a_last_line_that_a_crash_cut_off_is_left_out_and_overwritten(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "d.jsonl"
    first = b'{"number": 1, "action": "accept", "target": "a"}\n'
    path.write_bytes(first + torn)
    assert [event.target for event in read_events(path)] == ["a"]
    file = EventFile(path)
    file.add("reject", "c")
    file.close()
    assert path.read_bytes() == first + b'{"number": 2, "action": "reject", "target": "c", "made": ""}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'{"number": 1, "action": "delete", "target": "a"}',
        b'{"number": 7, "action": "accept", "target": "a"}',
        b"[" * 50000,
    ],
)
def test_a_damaged_line_before_the_last_is_an_error_that_names_it(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(line + b'\n{"number": 2, "action": "accept", "target": "a"}\n')
    with pytest.raises(DataError, match=r"d.jsonl', line 1: no decision"):
        read_events(path)


def test_a_decision_that_the_disk_does_not_take_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = EventFile(tmp_path / "d.jsonl")
    file.add("accept", "a")
    monkeypatch.setattr(os, "write", lambda *_: 5)
    with pytest.raises(DataError, match="nothing was decided"):
        file.add("accept", "b")
    assert len(file.events) == 1
    file.close()
    assert len(read_events(tmp_path / "d.jsonl")) == 1


def test_undoing_takes_back_the_event_it_names() -> None:
    events = [Event(1, "accept", "a"), Event(2, "reject", "b"), Event(3, "undo", "1")]
    assert [event.number for event in effective(events)] == [2]


def test_nothing_decided_leaves_the_suggestions(four: tuple[Candidate, ...]) -> None:
    assert [one.in_dataset for one in standing(four).by_id.values()] == [True, True, False, False]
    assert standing(four).counts().to_decide == 3


def test_accepting_takes_a_picture_that_was_not_suggested_as_ct(four: tuple[Candidate, ...]) -> None:
    found = standing(four, ("accept", four[3].id)).by_id[four[3].id]
    assert (found.in_dataset, found.final_label, found.verdict) == (True, "COVID", "accepted")


def test_a_picture_without_a_label_cannot_be_accepted(four: tuple[Candidate, ...]) -> None:
    with pytest.raises(NotPossible, match="no label is suggested"):
        standing(four).apply(Event(1, "accept", four[2].id))


def test_a_label_by_eye_goes_before_the_suggested_one(four: tuple[Candidate, ...]) -> None:
    found = standing(four, ("label", four[0].id, "non-COVID"), ("label", four[1].id, "non-COVID")).by_id
    assert (found[four[0].id].verdict, found[four[0].id].final_label) == ("relabelled", "non-COVID")
    assert found[four[1].id].verdict == "accepted"


def test_a_rejected_picture_can_be_taken_after_all(four: tuple[Candidate, ...]) -> None:
    assert not standing(four, ("reject", four[0].id)).by_id[four[0].id].in_dataset
    assert standing(four, ("reject", four[0].id), ("accept", four[0].id)).by_id[four[0].id].in_dataset


def test_splitting_puts_the_parts_where_the_whole_was(four: tuple[Candidate, ...]) -> None:
    found = standing(four, ("split", four[1].id, [[40, 0, 60, 40], [60, 0, 80, 40]]))
    boxes = [one.candidate.pixels for one in found.by_id.values()]
    assert boxes == [(0, 0, 40, 40), (40, 0, 60, 40), (60, 0, 80, 40), (80, 0, 120, 40), (120, 0, 160, 40)]
    assert list(found.by_id.values())[1].candidate.box == (
        140,
        100,
        160,
        140,
    )  # points: 40 pixels are 40 points
    assert list(found.by_id.values())[1].candidate.label == four[1].label


def test_merging_makes_one_of_two_and_undoing_brings_both_back(four: tuple[Candidate, ...]) -> None:
    merged = ("merge", four[0].id, four[1].id)
    found = standing(four, merged)
    assert next(one.candidate.pixels for one in found.by_id.values()) == (0, 0, 80, 40)
    assert len(found.by_id) == 3
    assert list(standing(four, merged, ("undo", "1")).by_id) == [one.id for one in four]


def test_splitting_and_merging_the_parts_gives_the_picture_back(four: tuple[Candidate, ...]) -> None:
    split = standing(four, ("split", four[0].id, [[0, 0, 20, 40], [20, 0, 40, 40]]))
    left, right = list(split.by_id)[:2]
    split.apply(Event(2, "merge", left, right))
    assert next(iter(split.by_id)) == four[0].id


@pytest.mark.parametrize(
    "boxes",
    [
        None,
        [],
        [[0, 0, 40, 40]],
        [[0, 0, 20, 40], [0, 0, 20, 40]],
        [[0, 0, 20, 40], [20, 0, 41, 40]],
        [[-1, 0, 20, 40], [20, 0, 40, 40]],
        [[0, 0, 20, 40], [20, 0, 27, 40]],
        [[0, 0, 20.0, 40], [20, 0, 40, 40]],
        [[0, 0, True, 40], [20, 0, 40, 40]],
        [["0", 0, 20, 40], [20, 0, 40, 40]],
        [[20, 0, 0, 40], [20, 0, 40, 40]],
        [[0, 0, 20, 40]] * 65,
        "split",
        [[0, 0, 20], [20, 0, 40, 40]],
    ],
)
def test_boxes_that_are_no_parts_are_refused_and_change_nothing(
    four: tuple[Candidate, ...], boxes: object
) -> None:
    found = standing(four)
    before = dict(found.by_id)
    with pytest.raises(NotPossible):
        found.apply(Event(1, "split", four[0].id, boxes))
    assert found.by_id == before


def test_pictures_of_two_figures_are_not_merged(tmp_path: Path) -> None:
    both = candidates(collection(tmp_path / "two", Made("a.pdf", [Panel(1)]), Made("b.pdf", [Panel(2)])))
    with pytest.raises(NotPossible, match="one figure"):
        standing(both).apply(Event(1, "merge", both[0].id, both[1].id))


def test_decisions_on_pictures_that_are_gone_are_counted(four: tuple[Candidate, ...]) -> None:
    assert standing(four, ("accept", "0" * 16), ("label", four[0].id, "flu")).lost == 2


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Patient 3", "patient-3"),
        (" Case  2b ", "case-2b"),
        ("../../etc", "etc"),
        ("=cmd|' /C calc'", "cmd-c-calc"),
        ("", None),
        ("--", None),
        ("é\0\n3", "é-3"),
        ("x" * 900, "x" * 60),
    ],
)
def test_a_patients_name_is_plain(typed: str, name: str | None) -> None:
    assert patient_name(typed) == name


@pytest.mark.parametrize("typed", [None, 3, ["a"], "x" * 1001])
def test_a_patients_name_is_a_short_text(typed: object) -> None:
    with pytest.raises(NotPossible):
        patient_name(typed)


choice = st.tuples(
    st.sampled_from(["accept", "reject", "label", "patient", "split", "merge", "undo"]), st.integers(0, 5)
)


@given(st.lists(choice, max_size=12))
@settings(max_examples=40, deadline=None)
def test_undoing_everything_is_the_same_as_having_decided_nothing(made: list[tuple[str, int]]) -> None:
    of = _MADE
    events: list[Event] = []
    for action, which in made:
        now = Standing(of, events)
        ids = list(now.by_id)
        target = ids[which % len(ids)]
        x0, y0, x1, y1 = now.by_id[target].candidate.pixels
        middle = (x0 + x1) // 2
        values = {
            "label": CLASSES[which % 2],
            "patient": f"p{which}",
            "split": [[x0, y0, middle, y1], [middle, y0, x1, y1]],
            "merge": ids[-1],
        }
        if action == "undo":
            holding = effective(events)
            events += [Event(len(events) + 1, "undo", str(holding[-1].number))] if holding else []
            continue
        event = Event(len(events) + 1, action, target, values.get(action))  # type: ignore[arg-type]
        try:
            now.apply(event)
        except NotPossible:
            continue
        events.append(event)
        assert Standing(of, events).by_id == now.by_id  # step by step, or all at once
    for event in reversed(effective(events)):
        events.append(Event(len(events) + 1, "undo", str(event.number)))
    assert Standing(of, events).by_id == Standing(of).by_id
    assert Standing(of, events).lost == 0


@pytest.fixture(scope="module", autouse=True)
def _made(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _MADE
    _MADE = candidates(
        collection(tmp_path_factory.mktemp("made"), Made("paper.pdf", [Panel(10), Panel(20), Panel(30)]))
    )


_MADE: tuple[Candidate, ...] = ()


def test_a_last_line_that_is_whole_and_wrong_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    text = '{"number":1,"action":"accept","target":"a"}\n{"number":2,"action":"accept","target":"b"\n'
    path.write_text(text)
    with pytest.raises(DataError, match="line 2: no decision"):
        EventFile(path)
    assert path.read_text() == text


def test_a_last_decision_without_its_end_of_line_holds(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text('{"number":1,"action":"accept","target":"a"}')
    file = EventFile(path)
    file.add("reject", "b")
    file.close()
    assert [event.target for event in read_events(path)] == ["a", "b"]


def test_a_file_that_was_taken_away_keeps_no_decision_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    file = EventFile(path)
    path.unlink()
    with pytest.raises(DataError, match="was replaced or removed; start the review anew"):
        file.add("accept", "a")
    file.close()
