"""The review in a real Chromium, by keyboard alone, on papers that were really read; the server dies midway."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from demo_papers import demo_paper
from made_collections import Made, Panel, collection
from waiting import command, until

from harness.curation.collection import DECISIONS, open_collection
from harness.curation.dataset import write_dataset
from harness.curation.decisions import read_events
from harness.curation.verdicts import Standing

ENTER, ESCAPE, RIGHT, LEFT, UP, DOWN = "\ue007", "\ue00c", "\ue014", "\ue012", "\ue013", "\ue015"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


@dataclass
class Review:
    """The server of one collection; `url` changes with each start."""

    folder: Path
    url: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self, port: int = 0) -> str:
        arguments = command("figures", "review", self.folder, "--port", port)
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        return self.url

    def kill(self) -> None:
        """As the system kills: nothing is said, nothing tidied up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def decided(self) -> list[tuple[str, Any]]:
        return [(one.action, one.value) for one in read_events(self.folder / DECISIONS)]

    def standing(self) -> Standing:
        return Standing(open_collection(self.folder).candidates, read_events(self.folder / DECISIONS))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two papers, read by the command; ten pictures in all."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "papers").mkdir()
    demo_paper(folder / "papers" / "a.pdf", 1)
    demo_paper(folder / "papers" / "b.pdf", 3, covid=False)
    arguments = command("figures", "build", folder / "papers", "-o", folder / "my-ct")
    subprocess.run(arguments, check=True, capture_output=True, timeout=200)
    return folder / "my-ct"


@dataclass
class Browser:
    """What a person sees and presses."""

    driver: Any
    review: Review

    def open(self) -> None:
        self.driver.get(self.review.url)
        self.until(lambda: self.text("count") != "")
        self.settled()

    def press(self, keys: str) -> None:
        """Press keys one after the other, each once the page has done what the last one asked for."""
        for key in keys:
            self.settled()
            self.driver.switch_to.active_element.send_keys(key)
        self.settled()

    def settled(self) -> None:
        """Wait until nothing is under way: `busy` is the queue of the page."""
        done = "const done = arguments[0]; busy.then(() => setTimeout(() => busy.then(() => done(true)), 30))"
        assert self.driver.execute_async_script(done)

    def text(self, name: str) -> str:
        return str(self.driver.execute_script("return document.getElementById(arguments[0]).innerText", name))

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    @staticmethod
    def until(claim: Callable[[], bool], seconds: float = 15.0) -> None:
        assert until(claim, seconds), "it did not happen"


@pytest.fixture
def browser(
    fresh_chromium: Any, asked_for: Callable[[], list[str]], built: Path, tmp_path: Path
) -> Iterator[Browser]:
    """The page of a collection of its own; afterwards nothing may have been asked for elsewhere."""
    review = Review(shutil.copytree(built, tmp_path / "my-ct"))
    review.start()
    browser = Browser(fresh_chromium, review)
    browser.open()
    yield browser
    fresh_chromium.get("about:blank")
    review.kill()
    assert [url for url in asked_for() if not url.startswith(("http://127.0.0.1:", "data:", "about:"))] == []


def complaints(browser: Browser) -> list[str]:
    return [entry["message"] for entry in browser.driver.get_log("browser")]


def test_accepting_relabelling_and_rejecting_by_keyboard_are_kept_at_once(browser: Browser) -> None:
    assert browser.text("count") == "0 of 10 decided"
    browser.press("a")
    assert browser.review.decided() == [("accept", None)]
    browser.press("1r")
    assert browser.review.decided() == [("accept", None), ("label", "non-COVID"), ("reject", None)]
    assert browser.text("count") == "3 of 10 decided"
    verdicts = [one.verdict for one in browser.review.standing().by_id.values()]
    assert verdicts[:4] == ["accepted", "relabelled", "rejected", None]
    assert "rejected" in browser.text("said")
    assert complaints(browser) == []


def test_the_caption_shows_what_it_says_of_this_panel_and_why_the_label_is_suggested(
    browser: Browser,
) -> None:
    marks = browser.run(
        "return [...document.querySelectorAll('#caption mark')].map((m) => [m.className, m.innerText])"
    )
    assert ["", "A 45-year-old man, on the first day and on the fifth day."] in marks
    assert ["why", "confirmed COVID-19"] in marks
    assert "man-45" in browser.text("suggestions")


def test_the_page_in_context_shows_where_the_picture_stands(browser: Browser) -> None:
    browser.until(lambda: browser.run("return document.getElementById('page').naturalWidth") > 0)
    box, page = browser.run(
        "const r = (id) => { const b = document.getElementById(id).getBoundingClientRect();"
        " return [b.x, b.y, b.width, b.height] };"
        "return [r('page-box'), r('page')]"
    )
    across, down = (box[0] - page[0]) / page[2], (box[1] - page[1]) / page[3]
    assert abs(across - 80 / 500) < 0.02
    assert abs(down - 150 / 700) < 0.04


def test_splitting_by_keyboard_and_undoing_it(browser: Browser) -> None:
    before = list(browser.review.standing().by_id)
    browser.press("s")
    assert browser.run("return document.querySelectorAll('#cuts i').length") == 2
    browser.press("s" + ESCAPE)
    assert browser.review.decided() == []
    browser.press("s" + RIGHT + ENTER)
    ((action, boxes),) = browser.review.decided()
    assert action == "split"
    assert len(boxes) == 2
    assert boxes[0][2] == boxes[1][0]
    assert boxes[0][2] - boxes[0][0] > boxes[1][2] - boxes[1][0]  # moved to the right by a step
    assert browser.text("count") == "0 of 11 decided"
    browser.press("u")
    assert list(browser.review.standing().by_id) == before
    assert browser.text("said") == "Undone: split."


def test_merging_by_keyboard_takes_the_next_picture_of_the_figure(browser: Browser) -> None:
    browser.press("m")
    assert [action for action, _ in browser.review.decided()] == ["merge"]
    first = next(iter(browser.review.standing().by_id.values())).candidate
    assert browser.text("name") == f"{first.paper.stem}-p1-{first.object}%0"
    assert browser.text("count") == "0 of 9 decided"
    browser.press("jjj")  # the figure of one picture on page 2
    browser.press("m")
    assert "nothing to merge with" in browser.text("said")
    assert len(browser.review.decided()) == 1


def test_naming_the_patient_by_keyboard(browser: Browser) -> None:
    browser.press("p")
    assert (
        browser.run("return document.activeElement.id + document.activeElement.value") == "patient-nameman-45"
    )
    browser.driver.switch_to.active_element.send_keys("Patient 7" + ENTER)
    browser.settled()
    assert browser.review.decided() == [("patient", "Patient 7")]
    assert browser.text("said") == "Patient: patient-7."
    assert "patient-7 by eye" in browser.text("suggestions")


@pytest.fixture
def twice(chromium: Any, tmp_path: Path) -> Iterator[Browser]:
    """The page of two papers that hold the same picture, and another each."""
    papers = [
        Made(f"{name}.pdf", [Panel(1), Panel(grey)], digests=True) for name, grey in (("a", 2), ("b", 3))
    ]
    review = Review(collection(tmp_path / "twice", *papers))
    review.start()
    browser = Browser(chromium, review)
    browser.open()
    yield browser
    chromium.get("about:blank")
    review.kill()


def test_a_copy_of_a_rejected_picture_says_so_and_can_be_taken_all_the_same(twice: Browser) -> None:
    assert twice.text("copies") == "The same picture, pixel for pixel: b-p6-52%0 (suggested: COVID)"
    twice.press("r")
    assert twice.run("return document.getElementById('copies').hidden")
    assert twice.text("count") == "1 of 3 decided"
    twice.press("j")
    assert twice.text("badge") == "not taken: the same picture was rejected"
    assert twice.text("copies") == "The same picture, pixel for pixel: a-p6-52%0 (rejected)"
    twice.press("a")
    assert [one.verdict for one in twice.review.standing().by_id.values()] == [
        "rejected",
        None,
        "accepted",
        None,
    ]
    twice.press("kkk")
    twice.run("document.querySelector('#copies button')?.click()")
    twice.settled()
    assert twice.text("name") == "b-p6-52%0", "the copy is opened"


def test_letters_typed_as_a_name_decide_nothing(browser: Browser) -> None:
    browser.press("p")
    browser.driver.switch_to.active_element.send_keys("aru12sm?")
    browser.driver.switch_to.active_element.send_keys(ESCAPE)
    browser.settled()
    assert browser.review.decided() == []


def test_killing_the_server_loses_nothing_that_was_shown_as_kept(browser: Browser) -> None:
    browser.press("ar")
    port = int(re.findall(r":(\d+)/", browser.review.url)[0])
    browser.review.kill()
    browser.press("a")
    assert "nothing is kept" in browser.text("banner")
    assert browser.review.decided() == [("accept", None), ("reject", None)]
    browser.review.start(port)
    browser.open()
    assert browser.text("count") == "2 of 10 decided"
    browser.press("na")  # on to the first without a decision
    assert browser.text("count") == "3 of 10 decided"
    browser.press("uu")
    assert browser.text("count") == "1 of 10 decided"
    assert [one.verdict for one in browser.review.standing().by_id.values()][:3] == ["accepted", None, None]


def test_a_line_torn_by_a_crash_is_forgotten_and_the_review_goes_on(browser: Browser) -> None:
    browser.press("a")
    browser.review.kill()
    with (browser.review.folder / DECISIONS).open("ab") as file:
        file.write(b'{"number": 2, "acti')
    browser.review.start()
    browser.open()
    assert browser.text("count") == "1 of 10 decided"
    browser.press("jr")
    assert browser.review.decided() == [("accept", None), ("reject", None)]


def test_two_tabs_show_the_same_and_a_stale_one_decides_nothing(browser: Browser) -> None:
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.open()
    browser.run("get = ((old) => (place) => (place === 'version' ? new Promise(() => {}) : old(place)))(get)")
    time.sleep(2.5)  # the second tab's last look at the version has ended
    second = browser.driver.current_window_handle
    browser.driver.switch_to.window(first)
    browser.press("r")
    browser.driver.switch_to.window(second)
    assert browser.text("count") == "0 of 10 decided"
    browser.press("a")
    assert "look again" in browser.text("said")
    assert browser.text("count") == "1 of 10 decided"
    assert browser.review.decided() == [("reject", None)]
    browser.press("a")
    browser.driver.switch_to.window(first)
    browser.until(lambda: browser.text("count") == "1 of 10 decided")
    assert browser.review.decided()[-1][0] == "accept"
    browser.driver.switch_to.window(second)
    browser.driver.close()
    browser.driver.switch_to.window(first)


def test_filters_show_what_they_say(browser: Browser) -> None:
    browser.press("ar")
    shown = []
    for value in ("ct", "open", "in", "rejected", "other", "all"):
        browser.run(
            f"const f = document.getElementById('filter'); f.value = '{value}'; f.dispatchEvent(new Event('change'))"
        )
        browser.settled()
        shown.append(browser.run("return document.querySelectorAll('#strip li').length"))
    assert shown == [10, 8, 1, 1, 0, 10]


def choose(browser: Browser, value: str) -> list[str]:
    """Choose a filter; return what stands under the pictures that it shows."""
    browser.run(
        f"const f = document.getElementById('filter'); f.value = '{value}'; f.dispatchEvent(new Event('change'))"
    )
    browser.settled()
    told = browser.run("return [...document.querySelectorAll('#strip span')].map((one) => one.textContent)")
    return [str(one) for one in told]


def test_filters_by_class_follow_decisions_and_doubt_follows_suggestions(browser: Browser) -> None:
    names = browser.run("return [...document.getElementById('filter').options].map((one) => one.text)")
    assert {"COVID", "non-COVID", "unsure"} <= set(names)
    browser.press("1")
    assert len(choose(browser, "class0")) == 6  # five of the second paper, and the one just relabelled
    assert choose(browser, "class1") == ["suggested: COVID"] * 4
    unsure = [one for one in browser.review.standing().by_id.values() if one.candidate.is_ct]
    doubts = [min(one.candidate.ct.confidence, one.candidate.label.confidence) for one in unsure]
    assert len(choose(browser, "unsure")) == sum(doubt < 0.75 for doubt in doubts)


def test_the_grid_decides_by_the_same_keys_and_opens_a_picture(browser: Browser) -> None:
    browser.press("g")
    assert browser.run("return document.getElementById('stage').offsetParent") is None
    places = browser.run(
        "return [...document.querySelectorAll('#strip li')].map((one) => [one.offsetLeft, one.offsetTop])"
    )
    columns = sum(top == places[0][1] for _, top in places)
    assert 2 <= columns < len(places) == 10
    browser.press("a" + LEFT + DOWN)
    assert (
        browser.run(
            "return [...document.querySelectorAll('#strip button')].indexOf(document.querySelector('#strip .now'))"
        )
        == columns
    )
    browser.press("r" + UP)
    verdicts = [one.verdict for one in browser.review.standing().by_id.values()]
    assert (verdicts[0], verdicts[columns]) == ("accepted", "rejected")
    browser.press(ENTER)
    assert browser.run("return document.getElementById('stage').offsetParent !== null")
    assert browser.run("return document.getElementById('frame').offsetWidth") > 100
    assert complaints(browser) == []


def test_splitting_from_the_grid_shows_the_picture(browser: Browser) -> None:
    browser.press("gs")
    assert browser.run("return document.getElementById('frame').offsetWidth") > 100
    assert browser.run("return document.querySelectorAll('#cuts i').length") == 2


def test_the_dataset_is_written_from_the_page_as_it_is_decided_now(browser: Browser) -> None:
    browser.press("rw")
    browser.until(lambda: browser.text("said").startswith("Written: 9 images"), 60)
    assert "1 rejected" in browser.text("said")
    assert len(list((browser.review.folder / "images").iterdir())) == 9


def test_a_dataset_that_cannot_be_written_is_said(browser: Browser) -> None:
    (browser.review.folder / "card.toml").write_text("mine, and broken")
    browser.press("w")
    browser.until(lambda: browser.text("said").startswith("Nothing was written: "), 60)


def test_everything_can_be_reached_and_seen_without_a_mouse(browser: Browser) -> None:
    browser.press("?")
    assert browser.run("return document.getElementById('help').open")
    browser.driver.switch_to.active_element.send_keys(ESCAPE)
    unnamed = browser.run(
        "return [...document.querySelectorAll('button, select, input, img')].filter((e) => e.offsetParent && "
        "!(e.innerText || e.ariaLabel || e.labels?.length || e.hasAttribute('alt'))).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    assert browser.run("return document.querySelector('[role=status]').getAttribute('aria-live')") == "polite"


@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024), (1280, 900), (1920, 1080)])
def test_nothing_sticks_out_at_any_width(browser: Browser, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(0.3)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    wide = browser.run(
        "const right = (id) => document.getElementById(id).getBoundingClientRect().right;"
        "return right('frame') - right('stage')"
    )
    assert wide <= 0
    assert (
        browser.run("return document.querySelector('[data-act=accept]').getBoundingClientRect().bottom")
        < height - 60
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_light_and_on_dark(browser: Browser, scheme: str) -> None:
    """The contrast of WCAG 2.2, 4.5 to 1, of every text that is shown."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.press("r")
    time.sleep(0.3)
    assert browser.run(CONTRAST) == []


def test_the_dataset_is_written_as_it_was_decided(browser: Browser) -> None:
    browser.press("ar1")
    written = write_dataset(browser.review.folder)
    assert written.left_out == {"rejected": 1}
    assert (written.classes["COVID"], written.classes["non-COVID"], written.reviewed) == (3, 6, 2)


CONTRAST = """
const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, k) => sum + v * [.2126, .7152, .0722][k], 0);
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > .99) return c;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const bad = [];
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !e.offsetParent || e.closest('.skip, :disabled, option')) continue;
  const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) bad.push([walker.currentNode.data.trim().slice(0, 30), ratio.toFixed(2)]);
}
return bad;
"""
