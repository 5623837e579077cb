"""Scores of extracted figures: worked out by hand, every miss named, bad files refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import DataError
from harness.figures.boxes import iou, matched_pairs
from harness.figures.score_report import as_json, measures, report
from harness.figures.scoring import Counts, read_figures, scored, similarity
from harness.intervals import wilson


def figure(
    number: int | str = 1, page: int = 1, box: list[float] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "label": f"Figure {number}",
        "number": number,
        "page": page,
        "bbox": box or [0, 0, 100, 100],
        "caption_text": f"Figure {number}. Chest CT of a patient.",
        **more,
    }


def documents(*figures: dict[str, Any], file: str = "papers/a.pdf") -> list[dict[str, Any]]:
    return [{"file": file, "figures": list(figures)}]


def counts(found: list[dict[str, Any]], true: list[dict[str, Any]]) -> Counts:
    return scored(found, true).whole


# Bad files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[1, 2]", "'documents'"),
        ('{"documents": 3}', "'documents'"),
        ('{"documents": [4]}', "without 'file'"),
        ('{"documents": [{"file": "a.pdf"}]}', "'figures'"),
        ('{"documents": [{"file": "a.pdf", "figures": [1]}]}', "expected an object"),
        ('{"documents": [{"file": "a.pdf", "figures": [{"page": "1", "bbox": [0, 0, 1, 1]}]}]}', "'page'"),
        ('{"documents": [{"file": "a.pdf", "figures": [{"page": 1, "bbox": [0, 0, 1]}]}]}', "no box"),
        ('{"documents": [{"file": "a.pdf", "figures": [{"page": 1, "bbox": [0, 0, NaN, 1]}]}]}', "no box"),
        (
            '{"documents": [{"file": "a.pdf", "figures": [{"page": 1, "bbox": [0, 0, 1, 1], "panel_boxes": 3}]}]}',
            "a list of boxes",
        ),
        (
            '{"documents": [{"file": "a.pdf", "figures": [{"page": 1, "bbox": [0, 0, 1, 1], "number": [1]}]}]}',
            "a number or text",
        ),
        (
            '{"documents": [{"file": "a.pdf", "figures": [{"page": 1, "bbox": [0, 0, 1, 1], "caption_text": 5}]}]}',
            "expected text",
        ),
        (
            '{"documents": [{"file": "a.pdf", "figures": [{"page": 1, "bbox": [0, 0, 1, 1], "has_ct": "yes"}]}]}',
            "true or false",
        ),
        (
            '{"documents": [{"file": "a.pdf", "figures": [{"page": 1, "bbox": [0, 0, 1, 1], "label": {}}]}]}',
            "expected text",
        ),
        ('{"documents": [{"file": "a.pdf", "figures": [{"page": 0, "bbox": [0, 0, 1, 1]}]}]}', "first page"),
        ('{"documents": [{"file": "a.pdf", "figures": [{"page": 1, "bbox": [3, 0, 1, 1]}]}]}', "ends before"),
        ('{"documents": [{"file": "", "figures": []}]}', "without 'file'"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as error:
        read_figures(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="figures.json"):
        read_figures(tmp_path)


def test_two_files_of_one_name_cannot_be_told_apart() -> None:
    two = documents(figure()) + documents(figure(), file="other/a.pdf")
    with pytest.raises(DataError, match="two files of the name 'a.pdf'"):
        scored(two, documents(figure()))


# Figures


def test_page_number_and_box_make_a_figure_right() -> None:
    true = documents(figure(1), figure(2), figure(3), figure("S1", supplementary=True))
    found = documents(
        figure("1", box=[0, 0, 100, 90]),  # IoU 0.9
        figure(2, box=[0, 0, 100, 79]),  # IoU 0.79
        figure(3, page=2),
        figure(1, supplementary=True),
        figure(9),
        file="elsewhere/a.pdf",
    )
    made = counts(found, true)
    assert (made.true, made.found, made.right) == (4, 5, 2)
    values = measures(made)
    assert (values["precision"], values["recall"]) == (0.4, 0.5)
    assert values["f1"] == pytest.approx(4 / 9)


def test_one_found_figure_is_right_once_only() -> None:
    assert counts(documents(figure(1)), documents(figure(1), figure(1))).right == 1
    assert counts(documents(figure(1), figure(1)), documents(figure(1))).right == 1


def test_of_several_found_the_best_box_is_taken() -> None:
    found = documents(figure(1, box=[0, 0, 50, 50]), figure(1))
    assert counts(found, documents(figure(1))).right == 1


def test_misses_are_named_with_the_reason() -> None:
    true = documents(figure(1), figure(2, page=4), figure(3), figure(4, page=7))
    found = documents(figure(1, box=[0, 0, 100, 50]), figure(2, page=5), figure(8, box=[0, 0, 99, 99]))
    (document,) = scored(found, true).documents
    said = "\n".join(document.misses)
    assert "Figure 1 (page 1): box (0, 0, 100, 50), expected (0, 0, 100, 100): IoU 0.50" in said
    assert "Figure 2 (page 4): found on page 5 instead" in said
    assert "Figure 3 (page 1): its place is taken by Figure 8" in said
    assert "Figure 4 (page 7): not found" in said
    assert "Figure 8 (page 1): found, but not in the ground truth" in said


def test_a_document_that_was_not_extracted_loses_all_its_figures() -> None:
    result = scored([], documents(figure(1), figure(2)))
    assert measures(result.whole)["recall"] == 0.0
    assert measures(result.whole)["precision"] is None
    assert "the file is not among the extracted ones" in result.documents[0].misses


def test_files_that_the_ground_truth_does_not_know_are_left_out() -> None:
    result = scored(documents(figure()) + documents(figure(), file="b.pdf"), documents(figure()))
    assert result.ignored == ("b.pdf",)
    assert result.whole.found == 1


# Captions


def test_white_space_and_control_characters_do_not_count() -> None:
    assert similarity("Figure 1. \x07Chest CT\n of a man", "Figure 1.Chest CT of  a man") == 1.0


def test_a_caption_that_lacks_a_tenth_is_wrong() -> None:
    text = "abcdefghij" * 10
    assert similarity(text[:90], text) == pytest.approx(180 / 190)  # just below .95
    found = documents(figure(1, caption_text=text[:90]), figure(2, caption_text=text[:95]))
    true = documents(figure(1, caption_text=text), figure(2, caption_text=text))
    made = counts(found, true)
    assert (made.captions_right, made.captions) == (1, 2)


def test_a_figure_that_was_not_found_has_no_right_caption() -> None:
    made = counts(documents(figure(1)), documents(figure(1), figure(2)))
    assert (made.captions_right, made.captions) == (1, 2)


# Panels and CT


def test_panels_are_pooled_over_composites_with_ct() -> None:
    left, right = [0, 0, 50, 100], [50, 0, 100, 100]
    true = documents(
        figure(1, has_ct=True, panel_boxes=[left, right]),
        figure(2, has_ct=True, panel_boxes=[[0, 0, 100, 100]]),  # not composite
        figure(3, has_ct=False, panel_boxes=[left, right]),
        figure(4, has_ct=True, panel_boxes=[left, right]),
    )
    found = documents(
        figure(1, panel_boxes=[left, [50, 0, 100, 80], [0, 0, 100, 100]]),
        figure(2, panel_boxes=[left]),
        figure(3, panel_boxes=[left]),
    )
    made = counts(found, true)
    assert (made.panels_true, made.panels_found, made.panels_right) == (4, 3, 2)


def test_a_panel_is_matched_once() -> None:
    box, near = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 9.0)
    assert matched_pairs([box, box], [box], 0.7) == [(0, 0)]
    assert matched_pairs([box, near], [near, box], 0.7) in ([(0, 0), (1, 1)], [(0, 1), (1, 0)])
    assert matched_pairs([(0.0, 0.0, 10.0, 7.5), box], [box, (0.0, 0.0, 10.0, 5.5)], 0.7) == [(0, 1), (1, 0)]
    assert iou(box, box) == 1.0


def test_ct_is_judged_on_figures_that_were_found_and_decided() -> None:
    true = documents(*(figure(n, has_ct=n < 3) for n in range(1, 6)))
    found = documents(
        figure(1, has_ct=True), figure(2, has_ct=False), figure(3, has_ct=False), figure(4, has_ct=None)
    )
    result = scored(found, true)
    assert (result.whole.ct_right, result.whole.ct) == (2, 3)
    low, high = wilson(2, 3)
    assert f"2 of 3 right, 0.667 (95 % Wilson {low:.3f} to {high:.3f})" in report(result)
    assert "Figure 2 (page 1): no CT, expected CT" in report(result)


def test_the_json_holds_all_that_the_table_does() -> None:
    result = scored(documents(figure(1)), documents(figure(1), figure(2, page=2)))
    whole = json.loads(json.dumps(as_json(result), allow_nan=False))
    assert whole["all"]["right"] == 1
    assert whole["documents"][0]["misses"] == ["Figure 2 (page 2): not found"]


# The command


def test_the_command_prints_the_table_and_the_misses(tmp_path: Path) -> None:
    for name, made in (
        ("figures.json", documents(figure(1))),
        ("truth.json", documents(figure(1), figure(2, page=2))),
    ):
        (tmp_path / name).write_text(json.dumps({"documents": made}))
    arguments = [
        "figures",
        "score",
        str(tmp_path),
        str(tmp_path / "truth.json"),
        "--json",
        str(tmp_path / "s.json"),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    assert "| all " in done.output
    assert "a.pdf: Figure 2 (page 2): not found" in done.output
    assert json.loads((tmp_path / "s.json").read_text())["all"]["recall"] == 0.5


def test_a_name_with_control_characters_stays_on_its_line() -> None:
    told = report(scored([], [{"file": "a\x1b[2J\nb.pdf", "figures": []}]))
    assert "\x1b" not in told
    assert "\nb.pdf" not in told
