"""The report as a file: what it refuses, what it holds, and that it is safe to open."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import html5lib
import numpy as np
import pytest
from record_factory import MadeRecord, failed_record, frame_of, manifest, on_disk, record_of
from typer.testing import CliRunner

from harness.boards import build_boards
from harness.cli import app
from harness.errors import CardError, HarnessError, RecordError
from harness.metrics import METRICS
from harness.published import Published
from harness.report import explanations_in, report_html, rows, write_report
from harness.report.misses import misses_of
from harness.report.rows import row_views
from harness.report.thumbnails import Thumbnails
from harness.verdict_files import verified_tables

XHTML = "{http://www.w3.org/1999/xhtml}"
HOSTILE = "<script>alert(1)</script>"
TABLE = {
    "schema_version": 1,
    "dataset": "made",
    "table": [
        {
            "id": "mine",
            "title": "My table",
            "source": "A paper",
            "protocol": "official",
            "decimals": 2,
            "test": {"COVID": 40, "non-COVID": 40},
            "reading": {"positive": "COVID", "auc": "hard-labels"},
            "tolerance": {"reproduced": 0.5, "reason": "one image is 1.25 points"},
            "row": [
                {"method": "SVM", "models": ["svm"], "accuracy": 95.0, "fit_seconds": 84.0},
                {"method": "Odd", "models": ["odd"], "accuracy": 95.01},
                {"method": "Absent", "models": ["absent"], "accuracy": 90.0},
            ],
        }
    ],
}


def noisy(name: str, quality: float = 1.5, **changes) -> MadeRecord:
    rng = np.random.default_rng(int(10 * quality))
    labels = [0] * 40 + [1] * 40
    p = 1 / (1 + np.exp(-(rng.normal(size=80) + quality * (np.array(labels) == 0) - quality / 2)))
    changes = {"dataset__n": {"train": 300, "val": 40, "test": 80}} | changes
    made = manifest(model__name=name, model__label=name, **changes)
    return MadeRecord(
        made, Path(made["key"]), frame_of(labels, np.column_stack([p, 1 - p]), made["dataset"]["classes"])
    )


def records() -> list[MadeRecord]:
    note = "77 prototypes of 288 training images"
    return [
        noisy("svm", 4.0),
        noisy("tree", 2.5),
        noisy("xdnn", 3.0, notes=[note], model__variant="untuned"),
        noisy("xdnn", 3.0, notes=[note], model__variant="untuned", seed=1),
        noisy("chance", 0.0),
        failed_record(model__name="broken", model__label="broken"),
    ]


def published() -> dict[str, Published]:
    return {"made": Published.model_validate(TABLE)}


def html(of: list[MadeRecord] | None = None, **more) -> str:
    boards = build_boards(records() if of is None else of, published())
    return report_html(boards, [*chain(*verified_tables(boards, published()).values())], **more)


def parsed(text: str):
    """The document as HTML's own rules read it; raises at the first fault."""
    return html5lib.HTMLParser(strict=True).parse(text)


def text_of(node) -> str:
    return " ".join("".join(node.itertext()).split())


@pytest.fixture(scope="module")
def page() -> str:
    return html()


class TestRefusals:
    def test_no_record_is_one_line_and_writes_nothing(self, tmp_path: Path) -> None:
        out = tmp_path / "report.html"
        with pytest.raises(RecordError, match="no records: nothing to make a report of"):
            write_report([], {}, out)
        assert list(tmp_path.iterdir()) == []

    def test_an_output_that_is_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(RecordError, match="is a folder; name a file with --out"):
            write_report(records(), {}, tmp_path)

    def test_a_table_that_cannot_be_searched_is_refused_and_the_old_file_stays(self, tmp_path: Path) -> None:
        out = tmp_path / "report.html"
        out.write_text("old")
        wrong = json.loads(json.dumps(TABLE))
        wrong["table"][0]["row"][0]["accuracy"] = 95.123
        with pytest.raises(CardError, match="more than the 2 decimals"):
            write_report(records(), {"made": Published.model_validate(wrong)}, out)
        assert out.read_text() == "old"

    @pytest.mark.parametrize(
        "text",
        ["{", "[]", '{"schema_version": 1}', '{"schema_version": 1, "key": "k", "fitted": "x", "rules": []}'],
    )
    def test_a_file_that_is_no_explanation_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "explanation.json").write_text(text)
        with pytest.raises(
            RecordError, match=r"^mine/explanation.json: no explanation .*'harness explain' again"
        ):
            explanations_in(tmp_path)

    def test_an_explanation_of_another_schema_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "explanation.json").write_text('{"schema_version": 2}')
        with pytest.raises(RecordError, match="schema_version 2, expected 1"):
            explanations_in(tmp_path)

    def test_the_command_refuses_a_folder_without_records(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(tmp_path / "r.html")])
        assert isinstance(done.exception, HarnessError)
        assert "\n" not in str(done.exception)
        assert list(tmp_path.iterdir()) == []

    def test_images_of_an_unknown_dataset_are_refused_in_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(HarnessError, match="no dataset is called 'made' here"):
            write_report(records(), {}, tmp_path / "r.html", images=True, data_root=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_manifests_with_words_for_numbers_make_no_number(self) -> None:
        text = html([noisy("svm", 4.0, peak_memory_mb="much", versions={}), noisy("tree", 2.5)])
        assert "much" not in text


class TestSafety:
    def test_it_is_valid_html(self, page: str) -> None:
        parsed(page)

    def test_it_refers_to_nothing_outside(self, page: str) -> None:
        document = parsed(page)
        for node in document.iter():
            for name in ("src", "href", "srcset", "action", "poster", "data"):
                target = node.attrib.get(name)
                assert target is None or target.startswith(("#", "data:image/")), (node.tag, target)
        style = "".join(node.text or "" for node in document.iter(f"{XHTML}style"))
        assert "@import" not in style
        assert not re.search(r"url\((?!#)", style)

    def test_its_policy_allows_its_own_script_only(self, page: str) -> None:
        import base64
        import hashlib

        document = parsed(page)
        (script,) = document.iter(f"{XHTML}script")
        digest = base64.b64encode(hashlib.sha256((script.text or "").encode()).digest()).decode()
        policies = [n.attrib["content"] for n in document.iter(f"{XHTML}meta") if "http-equiv" in n.attrib]
        assert policies == [
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        ]

    def test_no_attribute_runs_code(self, page: str) -> None:
        assert not [n for n in parsed(page).iter() for name in n.attrib if name.startswith("on")]

    def test_hostile_names_make_the_same_elements_as_plain_ones(self) -> None:
        def named(evil: bool) -> str:
            word = (lambda plain: HOSTILE + "\"'&</style>" + plain) if evil else (lambda plain: plain)
            made = {
                "dataset__title": word("title"),
                "dataset__licence": word("l"),
                "dataset__known_problems": [word("p")],
                "dataset__classes": [word("a"), word("b")],
                "dataset__positive": word("a"),
                "recipe": word("r"),
                "model__parameters": {word("k"): word("v")},
                "versions": {word("n"): word("1")},
                "device": {"kind": word("cpu"), "name": word("x"), "threads": 1},
            }
            of = [noisy(word("svm"), 4.0, notes=[word("n")], **made), noisy(word("tree"), 2.5, **made)]
            of.append(failed_record((word("E"), word("m")), model__name=word("b"), model__label=word("b")))
            for record in of[:2]:
                record.frame["id"] = [word(f"{row:02d}") for row in range(80)]
            boards = build_boards(of, {})
            return report_html(boards)

        plain, evil = (parsed(named(evil)) for evil in (False, True))
        assert [node.tag for node in evil.iter()] == [node.tag for node in plain.iter()]
        assert [sorted(node.attrib) for node in evil.iter()] == [sorted(node.attrib) for node in plain.iter()]
        assert HOSTILE in text_of(evil)

    def test_what_turns_text_around_or_cannot_be_encoded_is_replaced(self) -> None:
        text = html([noisy("svm", 4.0, notes=["a\u202eb\ud800c"]), noisy("tree", 2.5)])
        text.encode("utf-8")
        assert "a\ufffdb\ufffdc" in text


class TestSameBytes:
    def test_the_order_of_records_changes_nothing(self, page: str) -> None:
        assert html(records()[::-1]) == page

    @pytest.mark.slow
    def test_two_processes_write_the_same_bytes(self, tmp_path: Path) -> None:
        for record in records():
            on_disk(record, tmp_path / "runs")
        written = []
        for seed in ("1", "2"):
            out = tmp_path / f"{seed}.html"
            command = [sys.executable, "-m", "harness", "report", str(tmp_path), "-o", str(out)]
            done = subprocess.run(
                command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            written.append(out.read_bytes())
        assert written[0] == written[1]

    def test_no_clock_and_no_path_is_in_it(self, page: str, tmp_path: Path) -> None:
        dates = set(re.findall(r"\b20\d\d-\d\d-\d\d", page))
        assert dates == {"2024-01-01"}
        assert str(Path.cwd()) not in page


class TestContents:
    def test_every_metric_is_a_column_and_every_row_a_row(self, page: str) -> None:
        (table,) = [t for t in parsed(page).iter(f"{XHTML}table") if t.attrib.get("class") == "ranking"]
        headings = next(table.iter(f"{XHTML}thead")).iter(f"{XHTML}th")
        assert len(list(headings)) == len(METRICS) + 5
        bodies = list(table.iter(f"{XHTML}tbody"))
        names = [text_of(next(b.iter(f"{XHTML}bdi"))) for b in bodies]
        assert sorted(names) == ["broken", "chance", "svm", "tree", "xdnn"]
        assert all(th.attrib.get("scope") for th in table.iter(f"{XHTML}th"))

    def test_a_figure_reads_as_on_the_markdown_board(self, page: str) -> None:
        from harness.board_tables import with_interval

        (board,) = build_boards(records(), published())
        for row in board.rows:
            for metric in METRICS if row.means else ():
                value, _, bounds = with_interval(metric, row.means[metric]).partition(" ")
                assert f'<span class="val">{value}</span> <span class="ci">{bounds}</span>' in page

    def test_failed_and_under_trained_rows_say_so_in_words(self, page: str) -> None:
        assert "failed: no cell is finished" in page
        assert "under-trained: not clearly above the majority class" in page

    def test_every_cell_is_there_with_its_key_and_the_digest_of_its_predictions(self, tmp_path: Path) -> None:
        stored = [on_disk(record, tmp_path / "runs") for record in records()]
        boards = build_boards(stored, {})
        text = report_html(boards)
        for record in stored:
            if record.complete:
                assert record.key in text
                assert record.manifest["predictions"]["sha256"] in text

    def test_rows_that_share_a_rank_are_joined(self) -> None:
        text = html([noisy("svm", 3.0), noisy("tree", 3.0), noisy("chance", 0.0)])
        assert len(re.findall(r'<tbody class="row ranked tied-down"', text)) == 1
        assert len(re.findall(r'<tbody class="row ranked tied-up"', text)) == 1

    def test_a_split_that_leaks_is_flagged_at_a_glance(self) -> None:
        twins = {"groups": 0, "tested_groups": 0, "identical": [["a.png", "b.png"]]}
        text = html([noisy("svm", 4.0, dataset__on_two_sides=twins), noisy("tree", 2.5)])
        assert '<span class="flag">leaks</span>' in text
        assert "<strong>Leak.</strong> This split leaks" in text
        assert '<span class="flag">leaks</span>' not in html()

    def test_pairs_are_told_in_words_both_ways(self, page: str) -> None:
        (board,) = build_boards(records(), published())
        pair = next(p for p in board.sections[0].pairs.pairs if p.better("f1"))
        assert (
            page.count(f"{pair.first} and {pair.second}") + page.count(f"{pair.second} and {pair.first}") >= 6
        )
        assert "first is better; difference +" in page
        assert "second is better; difference -" in page

    def test_verdicts_and_feasibility_of_each_printed_row(self, page: str) -> None:
        (table,) = [t for t in parsed(page).iter(f"{XHTML}table") if "verdicts" in t.attrib.get("class", "")]
        svm, odd, absent = (text_of(body) for body in table.iter(f"{XHTML}tbody"))
        assert "possible" in svm
        assert "84× faster BETTER" in svm
        assert "impossible" in odd
        assert "none of 40 COVID (positive) + 40 test images" in odd
        assert "at least 1 of its figures must be wrong" in odd
        assert "NOT RUN no record of 'absent'" in absent

    def test_test_parts_that_rows_fit_together_are_told_above_their_table(self, page: str) -> None:
        above = page.partition('<table class="plain verdicts">')[0]
        assert "Both rows that fit any test part fit 81 test parts together: 0 positive + 80; " in above

    def test_a_verdict_leads_to_its_row(self, page: str) -> None:
        document = parsed(page)
        ids = {node.attrib["id"] for node in document.iter() if "id" in node.attrib}
        links = [n.attrib["href"][1:] for n in document.iter(f"{XHTML}a")]
        assert set(links) <= ids
        (table,) = [t for t in document.iter(f"{XHTML}table") if "verdicts" in t.attrib.get("class", "")]
        assert [a.attrib["href"] for a in table.iter(f"{XHTML}a")] == ["#b1s1r1"]

    def test_ids_are_unique(self, page: str) -> None:
        ids = [node.attrib["id"] for node in parsed(page).iter() if "id" in node.attrib]
        assert len(ids) == len(set(ids))

    def test_prototypes_are_counted_and_rules_shown_where_explained(self, tmp_path: Path) -> None:
        key = records()[2].key
        (tmp_path / "x").mkdir()
        rule = {"name": "COVID", "prototypes": [{"id": "proto.png", "row": 3, "support": 9}]}
        said = {"schema_version": 1, "key": key, "fitted": 288, "rules": [rule]}
        (tmp_path / "x" / "explanation.json").write_text(json.dumps(said))
        assert "77 prototypes of 288 training images (27 %)" in html()
        assert "IF (image ~ proto.png, support 9) THEN COVID" in html(rules=explanations_in(tmp_path))

    def test_a_report_of_one_failed_row_is_a_page_too(self) -> None:
        parsed(html([failed_record()]))

    def test_a_dataset_of_three_classes_is_a_page_too(self) -> None:
        made = record_of(
            [[9, 1, 0], [1, 8, 1], [0, 2, 8]],
            dataset__classes=["a", "b", "c"],
            dataset__positive=None,
            dataset__name="x",
        )
        text = html([made])
        parsed(text)
        assert "mean over classes" in text

    def test_folds_are_added_up_and_seeds_averaged(self) -> None:
        made = [
            record_of(
                [[8, 2], [3, 7]] if seed else [[9, 1], [3, 7]],
                seed=seed,
                protocol__fold=fold,
                protocol__folds=2,
                protocol__name="group-kfold",
            )
            for seed in range(2)
            for fold in range(2)
        ]
        for record in made:
            record.frame["id"] = [f"{record.manifest['protocol']['fold']}-{row}" for row in range(20)]
        document = parsed(html(made))
        (matrix,) = [t for t in document.iter(f"{XHTML}table") if t.attrib.get("class") == "matrix"]
        assert [text_of(td) for td in matrix.iter(f"{XHTML}td")][1:] == ["17", "3", "6", "14"]


class TestMuch:
    def test_many_models_do_not_make_a_table_of_all_pairs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows, "MOST_PAIRED", 3)
        text = html([noisy(f"m{k}", 4.0 + k / 100) for k in range(5)])
        parsed(text)
        assert "The first 3 ranked models; 2 more are in the files of pairs" in text

    def test_many_classes_have_no_matrix_but_a_word(self) -> None:
        names = [f"c{k}" for k in range(13)]
        matrix = [[3 if a == b else 0 for b in range(13)] for a in range(13)]
        made = record_of(matrix, dataset__classes=names, dataset__positive=None, dataset__name="x")
        text = html([made])
        parsed(text)
        assert "More than 12 classes" in text

    @pytest.mark.slow
    def test_two_datasets_twelve_models_five_seeds_take_seconds_and_stay_small(self) -> None:
        many = [
            noisy(f"model-{k}", 5 - k / 4, seed=seed, dataset__name=name, model__parameters={"size_px": 224})
            for name in ("made", "other")
            for k in range(12)
            for seed in range(5)
        ]
        begun = time.process_time()
        text = html(many)
        assert time.process_time() - begun < 30
        assert len(text.encode()) < 2_000_000


class TestMisses:
    def test_images_that_all_get_wrong_are_listed_the_surest_first(self) -> None:
        one = record_of([[8, 2], [3, 7]])
        other = record_of([[9, 1], [2, 8]], model__name="tree", model__label="tree")
        other.frame["id"] = one.frame["id"]
        (board,) = build_boards([one, other], {})
        found = misses_of(row_views(board.sections[0]))
        assert found is not None
        wrong = [set(r.frame["id"][r.frame.apply(_is_wrong, axis=1)]) for r in (one, other)]
        assert {miss.id for miss in found.listed} == wrong[0] & wrong[1]
        assert found.all_wrong == len(found.listed) == 3
        assert all(miss.given == pytest.approx((0.1, 0.1)) for miss in found.listed)

    def test_where_none_is_missed_by_all_the_most_missed_are_listed(self) -> None:
        one, other = (
            record_of([[9, 1], [0, 10]]),
            record_of([[10, 0], [1, 9]], model__name="t", model__label="t"),
        )
        (board,) = build_boards([one, other], {})
        found = misses_of(row_views(board.sections[0]))
        assert found is not None
        assert not found.by_all
        assert {miss.count for miss in found.listed} == {1}

    def test_pictures_come_with_their_licence_and_only_when_given(self) -> None:
        class Flat:
            def image(self, row: int) -> np.ndarray:
                return np.full((20, 30), row, np.uint8)

        one, other = (
            record_of([[8, 2], [3, 7]]),
            record_of([[8, 2], [3, 7]], model__name="t", model__label="t"),
        )
        row_of = {name: row for row, name in enumerate(one.frame["id"])}
        images = {"made": Thumbnails("Made", "CC BY-NC-SA 4.0", Flat(), row_of)}
        assert "<img" not in html([one, other])
        text = html([one, other], images=images)
        assert text.count("<img") == 5
        assert text.count("CC BY-NC-SA 4.0") == 2


def luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


class TestColours:
    """WCAG 2.1: 4.5 to 1 for text (1.4.3), 3 to 1 for what is drawn (1.4.11), in both schemes."""

    TEXT = tuple((ink, on) for ink in ("ink", "soft", "faint", "link") for on in ("paper", "raised", "sunk"))
    CHIPS = tuple((name, f"{name}-bg") for name in ("good", "near", "up", "bad", "idle", "warn"))
    DRAWN = tuple((f"h{number}", on) for number in range(1, 9) for on in ("paper", "raised"))

    @pytest.fixture(params=["light", "dark"])
    def colours(self, request, page: str) -> dict[str, str]:
        style = next(parsed(page).iter(f"{XHTML}style")).text or ""
        start = style.index(":root {" if request.param == "light" else ':root[data-theme="dark"] {')
        return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", style[start : style.index("}", start)]))

    def test_text_can_be_read(self, colours: dict[str, str]) -> None:
        found = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in self.TEXT + self.CHIPS}
        assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}

    def test_what_is_drawn_can_be_seen(self, colours: dict[str, str]) -> None:
        found = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in self.DRAWN}
        assert {pair: ratio for pair, ratio in found.items() if ratio < 3} == {}

    def test_the_dark_scheme_is_the_same_by_choice_and_by_system(self, page: str) -> None:
        style = next(parsed(page).iter(f"{XHTML}style")).text or ""
        bodies = re.findall(
            r":root(?:\[data-theme=\"dark\"\]|:not\(\[data-theme=\"light\"\]\)) \{([^}]*--[^}]*)\}", style
        )
        assert len(bodies) == 2
        assert len({" ".join(body.split()) for body in bodies}) == 1


class TestPlaces:
    def test_the_command_writes_the_page(self, tmp_path: Path) -> None:
        for record in records():
            on_disk(record, tmp_path / "runs")
        out = tmp_path / "deep" / "r.html"
        done = CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(out)])
        assert done.exit_code == 0, done.output
        parsed(out.read_text("utf-8"))


def _is_wrong(row) -> bool:
    return row["label"] != max(("COVID", "non-COVID"), key=lambda name: row[name])
