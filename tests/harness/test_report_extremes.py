"""The report of extreme boards in a real Chromium: hostile names, one row, many rows, one class, folds and seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from record_factory import MadeRecord, record_of
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from test_report import noisy

from harness.report import write_report

pytestmark = pytest.mark.slow

NAMES = {
    "markup": "<script>document.title='ran'</script><img src=x onerror=alert(1)>",
    "quotes": "\"';--></title></style> onclick='alert(1)' \\",
    "right to left": "نموذج \u202eXDNN\u202c מודל",
    "three hundred characters": "x" * 300,
    "three hundred words": "net " * 75,
    "emoji": "🫁🩻 👩🏽‍⚕️ model",
    "template": "{{ 7 * 7 }} {% raw %} ${7*7} %s",
    "white space": "a\n\n\tb\u2028c\u00a0d",
}


@pytest.fixture
def opened(
    fresh_chromium: Chrome, asked_for: Callable[[], list[str]], tmp_path: Path
) -> Iterator[Callable[[Sequence[MadeRecord]], Chrome]]:
    """A function that opens the report of records; afterwards nothing may have been complained of or asked for."""

    def page(records: Sequence[MadeRecord]) -> Chrome:
        out = write_report(records, {}, tmp_path / "report.html")
        fresh_chromium.get(out.as_uri())
        return fresh_chromium

    yield page
    assert fresh_chromium.get_log("browser") == []
    assert [url for url in asked_for() if not url.startswith(("file://", "data:", "about:"))] == []


def narrow(driver: Chrome, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def shown(driver: Chrome) -> list[str]:
    script = "return [...document.querySelectorAll('table.ranking tbody.row')].filter(b => !b.hidden)"
    script += ".map(b => b.querySelector('.label').textContent)"
    return driver.execute_script(script)


def too_wide(driver: Chrome) -> int:
    return driver.execute_script("return document.documentElement.scrollWidth - innerWidth")


class TestHostileNames:
    @pytest.fixture
    def page(self, opened: Any) -> Chrome:
        records = [noisy(name, 4 - k / 4, model__variant=name) for k, name in enumerate(NAMES.values())]
        for record in records:
            record.manifest["dataset"]["title"] = NAMES["quotes"] + NAMES["markup"]
        return opened(records)

    def test_none_of_them_runs_or_becomes_markup(self, page: Chrome) -> None:
        assert page.title.startswith("Boards of ")
        assert page.find_elements(By.CSS_SELECTOR, "main script, main img, [onclick], [onerror]") == []
        assert {"<script>", "{{ 7 * 7 }}"} <= {word for text in shown(page) for word in (text[:8], text[:11])}

    @pytest.mark.parametrize("width", [320, 1300])
    def test_the_page_never_scrolls_sideways(self, page: Chrome, width: int) -> None:
        narrow(page, width)
        assert too_wide(page) <= 0
        page.execute_script("document.querySelectorAll('.expand').forEach(b => b.click())")
        assert too_wide(page) <= 0

    def test_a_name_from_right_to_left_does_not_turn_its_neighbours_around(self, page: Chrome) -> None:
        labels = page.find_elements(By.CSS_SELECTOR, "table.ranking bdi.label")
        assert len(labels) == len(NAMES)
        assert "\u202e" not in page.page_source

    def test_they_can_be_filtered_by(self, page: Chrome) -> None:
        page.find_element(By.CSS_SELECTOR, "input.filter").send_keys("מודל")
        assert len(shown(page)) == 1


@pytest.fixture(scope="module")
def many() -> list[MadeRecord]:
    """Two hundred models, of which twenty are clearly better than chance."""
    good = [[[19 - k % 3, 1 + k % 3], [1 + k % 4, 19 - k % 4]] for k in range(20)]
    poor = [[[11 - k % 3, 9 + k % 3], [9 + k % 2, 11 - k % 2]] for k in range(180)]
    names = [f"model-{k:03d}" for k in range(200)]
    return [
        record_of(confusion, model__name=name, model__label=name)
        for name, confusion in zip(names, good + poor, strict=True)
    ]


class TestManyRows:
    def test_sorting_and_filtering_keep_working_together(self, opened: Any, many: list[MadeRecord]) -> None:
        page = opened(many)
        box = page.find_element(By.CSS_SELECTOR, "input.filter")
        box.send_keys("model-01")
        assert sorted(shown(page)) == [f"model-{k:03d}" for k in range(10, 20)]
        by_name = page.find_elements(By.CSS_SELECTOR, "table.ranking thead th button")[1]
        by_name.click()
        assert shown(page) == [f"model-{k:03d}" for k in range(10, 20)]
        by_name.click()
        assert shown(page) == [f"model-{k:03d}" for k in range(19, 9, -1)]
        box.clear()
        box.send_keys("2")
        descending = [name for k in range(199, -1, -1) if "2" in (name := f"model-{k:03d}")]
        assert [name for name in shown(page) if "2" in name] == descending
        box.clear()
        box.send_keys(" ")
        assert shown(page) == [f"model-{k:03d}" for k in range(199, -1, -1)]
        narrow(page, 320)
        assert too_wide(page) <= 0


class TestFew:
    def test_one_row_is_a_page_without_pairs(self, opened: Any) -> None:
        page = opened([noisy("svm", 4.0)])
        assert shown(page) == ["svm"]
        assert page.find_elements(By.CSS_SELECTOR, ".pairs") == []
        assert page.find_elements(By.ID, "papers") == []
        assert page.find_elements(By.CSS_SELECTOR, ".rules") == []

    def test_one_class_in_the_test_part_has_no_auc_and_says_why(self, opened: Any) -> None:
        page = opened([record_of([[15, 5], [0, 0]]), record_of([[18, 2], [0, 0]], model__label="b")])
        script = (
            "const t = document.querySelector('table.ranking');"
            "const n = [...t.tHead.rows[0].cells].findIndex(c => c.textContent.startsWith('AUC'));"
            "return [...t.querySelectorAll('tr.main')].map(r => [r.cells[n].textContent.trim(), r.cells[n].title])"
        )
        cells = page.execute_script(script)
        assert [text for text, _ in cells] == ["-", "-"]
        assert all(title.startswith("undefined: every image is of class 'COVID'") for _, title in cells)
        words = page.find_element(By.CSS_SELECTOR, ".entries").text
        assert "lacks a class" in words

    def test_fifty_cells_of_a_row_all_open(self, opened: Any) -> None:
        of = [
            noisy(
                "svm", 3.0, seed=seed, protocol__name="group-kfold", protocol__fold=fold, protocol__folds=10
            )
            for seed in range(5)
            for fold in range(10)
        ]
        page = opened(of)
        page.find_element(By.CSS_SELECTOR, ".expand").click()
        cells = page.find_elements(By.CSS_SELECTOR, ".cell")
        assert len(cells) == 50
        assert cells[-1].is_displayed()
        assert "over 5 seeds" in page.find_element(By.CSS_SELECTOR, ".cells").text
