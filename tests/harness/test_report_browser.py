"""The report in a real Chromium: sorting, filtering, colours, keyboard, narrow screens, silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from record_factory import on_disk
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_report import published, records

from harness.report import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    stored = [on_disk(record, folder / "runs") for record in records()]
    return write_report(stored, published(), folder / "report.html")


@pytest.fixture
def page(fresh_chromium: Chrome, asked_for: Callable[[], list[str]], file: Path) -> Iterator[Chrome]:
    """The page, opened anew on a wide light screen; afterwards nothing may have been complained of or asked for."""
    fresh_chromium.get(file.as_uri())
    fresh_chromium.execute_script("localStorage.clear()")
    fresh_chromium.get(file.as_uri())
    yield fresh_chromium
    assert fresh_chromium.get_log("browser") == []
    assert [url for url in asked_for() if not url.startswith(("file://", "data:", "about:"))] == []


def prefer(driver: Chrome, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def narrow(driver: Chrome, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def order(driver: Chrome) -> list[str]:
    rows = driver.find_elements(By.CSS_SELECTOR, "table.ranking tbody.row")
    return [row.find_element(By.CSS_SELECTOR, ".label").text for row in rows if row.is_displayed()]


def sorter(driver: Chrome, name: str):
    headings = driver.find_elements(By.CSS_SELECTOR, "table.ranking thead th")
    return next(th for th in headings if th.text.split()[0] == name).find_element(By.TAG_NAME, "button")


def sorted_by(button) -> str | None:
    return button.find_element(By.XPATH, "..").get_attribute("aria-sort")


def background(driver: Chrome) -> str:
    return driver.execute_script("return getComputedStyle(document.body).backgroundColor")


def tab_to(driver: Chrome, wanted) -> None:
    """Press Tab until `wanted` has the focus."""
    for _ in range(120):
        if driver.switch_to.active_element == wanted:
            return
        driver.switch_to.active_element.send_keys(Keys.TAB)
    raise AssertionError("the Tab key never reaches it")


class TestSorting:
    def test_a_click_sorts_and_another_turns_it_around_with_rows_without_a_number_last(self, page) -> None:
        assert order(page) == ["svm", "xdnn", "tree", "chance", "broken"]
        button = sorter(page, "Model")
        button.click()
        assert sorted_by(button) == "ascending"
        assert order(page) == ["broken", "chance", "svm", "tree", "xdnn"]
        button.click()
        assert sorted_by(button) == "descending"
        assert order(page) == ["xdnn", "tree", "svm", "chance", "broken"]
        button = sorter(page, "F1")
        button.click()
        button.click()
        assert sorted_by(button) == "ascending"
        assert order(page)[-1] == "broken"
        assert len(page.find_elements(By.CSS_SELECTOR, "table.ranking th[aria-sort]")) == 1

    @pytest.mark.parametrize("key", [Keys.ENTER, Keys.SPACE])
    def test_the_keyboard_sorts_too(self, page, key: str) -> None:
        button = sorter(page, "Model")
        tab_to(page, button)
        page.switch_to.active_element.send_keys(key)
        assert sorted_by(button) == "ascending"
        assert order(page)[0] == "broken"
        assert page.find_element(By.ID, "said").get_attribute("textContent") == "Sorted by Model, ascending"

    def test_ties_are_joined_among_neighbours_only(self, page) -> None:
        joined = "return [...document.querySelectorAll('table.ranking .tied-up')].length"
        before = page.execute_script(joined)
        page.execute_script(
            "document.querySelectorAll('table.ranking tbody.row').forEach((b, i) => { b.dataset.rank = i % 2 })"
        )
        sorter(page, "F1").click()
        assert before != page.execute_script(joined) == 0


class TestFiltering:
    def test_every_word_must_occur(self, page) -> None:
        box = page.find_element(By.CSS_SELECTOR, "input.filter")
        box.send_keys("UNTUNED xd")
        assert order(page) == ["xdnn"]
        assert page.find_element(By.CSS_SELECTOR, ".count").text == "1 of 5 rows"
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(Keys.DELETE)
        assert len(order(page)) == 5

    def test_a_status_is_a_word_to_filter_by(self, page) -> None:
        page.find_element(By.CSS_SELECTOR, "input.filter").send_keys("failed")
        assert order(page) == ["broken"]

    def test_all_metrics_are_shown_on_demand(self, page) -> None:
        cell = page.find_element(By.CSS_SELECTOR, "table.ranking td.extra")
        assert not cell.is_displayed()
        page.find_element(By.CSS_SELECTOR, ".all-metrics").click()
        assert cell.is_displayed()


class TestProvenance:
    def test_a_row_opens_to_its_cells_and_closes(self, page) -> None:
        row = page.find_element(By.CSS_SELECTOR, "tbody.row")
        button, more = (
            row.find_element(By.CSS_SELECTOR, ".expand"),
            row.find_element(By.CSS_SELECTOR, ".more"),
        )
        assert not more.is_displayed()
        assert button.get_attribute("aria-expanded") == "false"
        tab_to(page, button)
        button.send_keys(Keys.ENTER)
        assert more.is_displayed()
        assert button.get_attribute("aria-expanded") == "true"
        assert "sha256 of predictions" in more.text
        button.send_keys(Keys.SPACE)
        assert not more.is_displayed()

    def test_a_verdict_leads_to_its_row_and_opens_it(self, page) -> None:
        link = page.find_element(By.CSS_SELECTOR, "table.verdicts a")
        page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", link)
        link.click()
        assert page.find_element(By.CSS_SELECTOR, "#b1s1r1 .more").is_displayed()

    def test_a_key_is_copied(self, page) -> None:
        page.find_element(By.CSS_SELECTOR, ".expand").click()
        page.find_element(By.CSS_SELECTOR, ".cell .copy").click()
        said = page.find_element(By.ID, "said")
        for _ in range(50):
            if said.get_attribute("textContent") in ("copied", "selected"):
                return
            page.execute_async_script("setTimeout(arguments[0], 20)")
        raise AssertionError(said.get_attribute("textContent"))


class TestColours:
    def test_the_button_turns_the_scheme_and_the_choice_is_kept(self, page) -> None:
        light = background(page)
        button = page.find_element(By.ID, "theme")
        assert (button.text, button.get_attribute("aria-pressed")) == ("Dark", "false")
        button.click()
        dark = background(page)
        assert dark != light
        assert button.get_attribute("aria-pressed") == "true"
        page.refresh()
        assert background(page) == dark

    def test_the_system_decides_at_first(self, page) -> None:
        light = background(page)
        prefer(page, "dark")
        assert background(page) != light


class TestCurves:
    def test_a_model_gets_its_colour_when_chosen(self, page) -> None:
        def colour() -> str:
            line = page.find_element(By.CSS_SELECTOR, ".curves .s.n4 .line")
            return line.value_of_css_property("stroke")

        grey = colour()
        page.find_element(By.CSS_SELECTOR, '.pick[value="4"]').click()
        assert colour() != grey
        page.find_element(By.CSS_SELECTOR, '[data-pick="none"]').click()
        assert colour() == grey

    def test_the_corner_is_enlarged_with_its_axis(self, page) -> None:
        axis = page.find_element(By.CSS_SELECTOR, ".curves .ticks.close")
        assert axis.value_of_css_property("display") == "none"
        page.find_element(By.CSS_SELECTOR, ".close-up").click()
        assert axis.value_of_css_property("display") == "inline"
        assert (
            page.find_element(By.CSS_SELECTOR, ".data.upper-left").value_of_css_property("transform")
            != "none"
        )

    def test_a_chosen_pair_is_told_in_words(self, page) -> None:
        cell = page.find_element(By.CSS_SELECTOR, ".pair-table.t1 td[title]")
        cell.click()
        words = page.find_element(By.CSS_SELECTOR, ".pairs .words").text
        assert words == cell.get_attribute("title")
        assert "difference" in words

    def test_pairs_are_shown_in_one_metric_at_a_time(self, page) -> None:
        def shown() -> list[str]:
            tables = page.find_elements(By.CSS_SELECTOR, ".pair-table")
            return [table.get_attribute("aria-label") for table in tables if table.is_displayed()]

        assert shown() == ["Pairs by F1"]
        page.find_element(By.CSS_SELECTOR, '.metric[value="3"]').click()
        assert shown() == ["Pairs by AUC"]


class TestScreens:
    @pytest.mark.parametrize("width", [320, 390, 768, 1300])
    def test_the_page_never_scrolls_sideways(self, page, width: int) -> None:
        narrow(page, width)
        for script in ("", "document.querySelectorAll('.expand').forEach(b => b.click())", OPEN_ALL):
            page.execute_script(script)
            assert page.execute_script("return document.documentElement.scrollWidth") <= width

    @pytest.mark.parametrize("width", [390, 1300])
    def test_text_of_twice_the_size_fits(self, page, width: int) -> None:
        narrow(page, width)
        page.execute_script("document.documentElement.style.fontSize = '200%'")
        page.execute_script(OPEN_ALL)
        assert page.execute_script("return document.documentElement.scrollWidth") <= width

    def test_the_overview_is_read_downwards_on_a_phone(self, page) -> None:
        box = page.find_element(By.CSS_SELECTOR, ".scroll:has(table.overview)")
        assert page.find_element(By.CSS_SELECTOR, ".overview thead").is_displayed()
        narrow(page, 320)
        assert page.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth", box)
        cell = page.find_element(By.CSS_SELECTOR, ".overview td.num")
        label = page.execute_script("return getComputedStyle(arguments[0], '::before').content", cell)
        assert label == '"F1 of the first"'

    def test_nothing_moves_for_who_asks_for_less_motion(self, page) -> None:
        moving = "return getComputedStyle(document.querySelector('.line')).transitionDuration"
        assert page.execute_script(moving) != "0s"
        features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        assert page.execute_script(moving) == "0s"

    def test_wide_tables_scroll_within_their_box(self, page) -> None:
        narrow(page, 390)
        box = page.find_element(By.CSS_SELECTOR, ".scroll:has(table.ranking)")
        assert page.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth", box)
        assert box.get_attribute("tabindex") == "0"

    def test_the_first_key_leads_past_the_contents(self, page) -> None:
        page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
        link = page.switch_to.active_element
        assert link.text == "Skip to the boards"
        assert link.rect["x"] >= 0
        outline = link.value_of_css_property("outline-style")
        assert outline != "none"
        link.send_keys(Keys.ENTER)
        assert page.switch_to.active_element.get_attribute("id") == "main"

    def test_without_scripts_everything_can_be_read_and_chosen(self, page, file: Path) -> None:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            page.get(file.as_uri())
            assert order(page) == ["svm", "xdnn", "tree", "chance", "broken"]
            assert not page.find_element(By.ID, "theme").is_displayed()
            summary = page.find_element(By.CSS_SELECTOR, ".more summary")
            assert summary.is_displayed()
            summary.click()
            assert "sha256 of predictions" in page.find_element(By.CSS_SELECTOR, ".more").text
            page.find_element(By.CSS_SELECTOR, '.metric[value="2"]').click()
            assert page.find_element(By.CSS_SELECTOR, ".pair-table.t2").is_displayed()
        finally:
            page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

    def test_it_prints(self, page) -> None:
        pdf = page.execute_cdp_cmd("Page.printToPDF", {"landscape": True})
        assert len(pdf["data"]) > 10_000

    def test_on_paper_every_metric_has_its_table_and_its_caption(self, page) -> None:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        captions = page.find_elements(By.CSS_SELECTOR, ".pair-table caption")
        assert [caption.text.split(",")[0] for caption in captions] == [
            "p-values of F1",
            "p-values of Accuracy",
            "p-values of AUC",
        ]
        assert all(caption.rect["height"] > 5 for caption in captions)


class TestScreenReader:
    """What Chromium tells a screen reader: its accessibility tree."""

    @pytest.mark.parametrize("width", [320, 1300])
    def test_everything_that_can_be_used_has_a_name(self, page, width: int) -> None:
        narrow(page, width)
        used = {"button", "checkbox", "radio", "searchbox", "link", "table", "region", "navigation", "figure"}
        found = [(role, name) for role, name in told(page) if role in used]
        assert {role for role, _ in found} >= {"button", "checkbox", "radio", "searchbox", "link", "table"}
        assert [role for role, name in found if not name] == []

    def test_headings_go_down_by_one_level_at_most(self, page) -> None:
        script = "return [...document.querySelectorAll('h1,h2,h3,h4,h5')].filter(h => h.checkVisibility())"
        levels = page.execute_script(script + ".map(h => +h.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))

    def test_a_table_that_is_stacked_on_a_phone_is_a_table_still(self, page) -> None:
        roles = {}
        for width in (1300, 320):
            narrow(page, width)
            roles[width] = Counter(
                role for role, _ in told(page) if role in ("table", "row", "rowheader", "cell")
            )
        assert roles[320] == roles[1300]
        assert roles[320]["rowheader"] > 5

    def test_a_row_says_what_its_button_opens(self, page) -> None:
        names = [name for role, name in told(page) if role == "button"]
        assert "2 cells behind xdnn (untuned)" in names


def told(driver: Chrome) -> list[tuple[str, str]]:
    """Return (role, name) of every node that is not ignored."""
    driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    driver.execute_cdp_cmd("Accessibility.disable", {})
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and "role" in node
    ]


OPEN_ALL = (
    "document.querySelectorAll('details, .all-metrics').forEach(e => { e.open = true; e.checked = true })"
)
