"""The server of the review: only for the page it made, each decision on the disk before the answer."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from made_collections import Made, Panel, collection
from waiting import command, interruptible

from harness.curation.collection import DECISIONS
from harness.curation.decisions import read_events
from harness.curation.review import Server
from harness.curation.session import reviewing
from harness.errors import DataError

CAPTION = "Figure 1. Chest CT of two men. (A) A man with COVID-19. (B) A healthy control, on day 9."


@dataclass
class Page:
    """What a browser would do."""

    server: Server
    folder: Path

    def ask(
        self, method: str, place: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        path = place if place.startswith("/") else f"/{self.server.token}/{place}"
        connection.request(
            method, path, body, {key.replace("_", "-"): value for key, value in headers.items()}
        )
        answer = connection.getresponse()
        found = answer.status, answer.read(), dict(answer.getheaders())
        connection.close()
        return found

    def get(self, place: str) -> Any:
        status, data, _ = self.ask("GET", place)
        assert status == 200, data
        return json.loads(data)

    def decide(
        self, action: str, target: str = "", value: Any = None, version: int | None = None
    ) -> tuple[int, Any]:
        current = self.get("version")["version"] if version is None else version
        body = json.dumps({"version": current, "action": action, "target": target, "value": value}).encode()
        status, data, _ = self.ask("POST", "decide", body, Content_Type="application/json")
        return status, json.loads(data)

    def ids(self) -> list[str]:
        return [one["id"] for one in self.get("state")["items"]]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    panels = [
        Panel(10, letter="a", text="A man with COVID-19"),
        Panel(20, None, letter="b", text="A healthy control, on day 9"),
    ]
    folder = collection(
        tmp_path / "my-ct",
        Made("paper.pdf", panels, caption=CAPTION),
        Made("second.pdf", [Panel(30, ct="other")]),
    )
    with reviewing(folder) as session:
        server = Server(0, session)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Page(server, folder)
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_listens_on_the_loopback_address_alone(page: Page) -> None:
    assert page.server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/state", "/wrong/state", "/wrong/", "//", "/%2e%2e/state"])
def test_without_the_token_there_is_nothing(page: Page, path: str) -> None:
    assert page.ask("GET", path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1", "[::1]:1"])
def test_another_host_name_is_refused(page: Page, host: str) -> None:
    assert page.ask("GET", "state", Host=host)[0] == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_a_decision_from_another_page_is_refused(page: Page, origin: str) -> None:
    body = json.dumps({"version": 0, "action": "accept", "target": page.ids()[0]}).encode()
    assert page.ask("POST", "decide", body, Content_Type="application/json", Origin=origin)[0] == 403
    assert read_events(page.folder / DECISIONS) == ()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_form_can_send_is_no_decision(page: Page, kind: str) -> None:
    assert page.ask("POST", "decide", b"{}", Content_Type=kind)[0] == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"\xff\xfe",
        b"{}",
        b'{"version": "0", "action": "accept"}',
        b'{"version": true, "action": "accept"}',
        b'{"version": 0, "action": "drop"}',
        b'{"version": 0, "action": "accept", "target": 3}',
        b'{"version": 0, "action": ["accept"]}',
        b"[" * 60000,
    ],
)
def test_nonsense_is_refused_in_one_line_and_kept_nowhere(page: Page, body: bytes) -> None:
    status, data, _ = page.ask("POST", "decide", body, Content_Type="application/json")
    assert status == 400
    assert json.loads(data)["error"].startswith("expected")
    assert read_events(page.folder / DECISIONS) == ()


def test_a_body_that_never_ends_is_not_read(page: Page) -> None:
    status, _, _ = page.ask(
        "POST", "decide", b"{}", Content_Type="application/json", Content_Length="999999999"
    )
    assert status == 413


@pytest.mark.parametrize(
    "place",
    [
        "item/x",
        "picture/../../x",
        "picture/%2e%2e",
        "page/0",
        "thumbnail/",
        "../review.js",
        "review.html",
        "item",
    ],
)
def test_what_is_not_there_is_not_found(page: Page, place: str) -> None:
    assert page.ask("GET", place)[0] == 404


def test_the_page_may_load_nothing_from_elsewhere_and_is_not_framed(page: Page) -> None:
    status, data, headers = page.ask("GET", "")
    assert status == 200
    assert b"<!doctype html>" in data
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert b"http" not in data.replace(b"http-equiv", b"")
    assert b"style=" not in data


def test_a_decision_is_on_the_disk_before_the_answer(page: Page) -> None:
    target = page.ids()[0]
    status, answer = page.decide("accept", target)
    assert (status, answer["version"], answer["counts"]["decided"]) == (200, 1, 1)
    assert [(one.action, one.target) for one in read_events(page.folder / DECISIONS)] == [("accept", target)]


def test_a_decision_on_an_older_state_is_refused(page: Page) -> None:
    first, second, _ = page.ids()
    assert page.decide("accept", first, version=0)[0] == 200
    status, answer = page.decide("reject", second, version=0)
    assert status == 409
    assert "elsewhere" in answer["error"]
    assert len(read_events(page.folder / DECISIONS)) == 1


def test_what_cannot_be_decided_is_refused_with_the_reason(page: Page) -> None:
    status, answer = page.decide("accept", page.ids()[1])
    assert status == 422
    assert answer["error"].startswith("no label is suggested")
    assert page.decide("undo")[1]["error"] == "nothing to undo"
    assert page.decide("split", page.ids()[0], [[0, 0, 1, 1]])[0] == 422
    assert read_events(page.folder / DECISIONS) == ()


def test_many_at_once_are_kept_one_after_the_other(page: Page) -> None:
    target = page.ids()[0]
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(page.decide("accept", target, version=0)[0]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [409] * 7


def test_the_passage_of_the_panel_and_the_words_behind_the_label_are_marked(page: Page) -> None:
    found = page.get(f"item/{page.ids()[1]}")
    marked = [found["caption"][start:stop] for start, stop in found["spoken_of"]]
    assert marked == ["A healthy control, on day 9."] or marked == ["A healthy control, on day 9"]
    assert [found["caption"][start:stop] for start, stop in found["decisive"]] == ["COVID-19"]


def test_pictures_pages_and_thumbnails_are_images(page: Page) -> None:
    name = page.ids()[0]
    assert page.ask("GET", f"picture/{name}")[1].startswith(b"\x89PNG")
    for place in ("thumbnail", "page"):
        assert page.ask("GET", f"{place}/{name}")[1].startswith(b"\xff\xd8")


def test_splitting_merging_and_undoing_change_the_list(page: Page) -> None:
    first, second, other = page.ids()
    _, answer = page.decide("split", first, [[0, 0, 20, 40], [20, 0, 40, 40]])
    assert answer["structure"]
    assert page.ids()[0] == answer["focus"]
    assert len(page.ids()) == 4
    page.decide("undo")
    assert page.ids() == [first, second, other]
    page.decide("merge", first, second)
    assert len(page.ids()) == 2
    assert page.decide("undo")[1]["undone"] == "merge"


def test_a_second_review_of_a_folder_is_refused(page: Page) -> None:
    with pytest.raises(DataError, match="another review of"), reviewing(page.folder):
        pass


def test_while_another_process_writes_the_page_is_told_at_once(page: Page) -> None:
    from filelock import FileLock

    with FileLock(page.folder / ".write.lock"):
        status, data, _ = page.ask("POST", "write", b"{}", Content_Type="application/json")
    assert status == 423
    assert "another process writes the dataset" in json.loads(data)["error"]
    assert page.ask("POST", "write", b"{}", Content_Type="application/json")[0] == 200


def test_copies_of_a_rejected_picture_need_no_decision(tmp_path: Path) -> None:
    papers = [Made(name, [Panel(1)], digests=True) for name in ("a.pdf", "b.pdf")]
    folder = collection(tmp_path / "my-ct", *papers, Made("c.pdf", [Panel(2)], digests=True))
    with reviewing(folder) as session:
        first, second, third = session.state()["items"]
        assert first["content"] == second["content"] != third["content"]
        assert session.decide(0, "reject", first["id"])["counts"]["to_decide"] == 2
        assert session.decide(1, "accept", second["id"])["counts"]["to_decide"] == 3


def test_a_write_that_was_cut_off_is_said_where_the_review_starts(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("paper.pdf", [Panel(1)]))
    (folder / ".old-images-1").mkdir()
    with reviewing(folder) as session:
        assert session.state()["cut_off"]
        session.write()
        assert not session.state()["cut_off"]
    (folder / ".old-images-1").mkdir()
    review = subprocess.Popen(
        command("figures", "review", folder), stdout=subprocess.PIPE, text=True, preexec_fn=interruptible
    )
    assert review.stdout is not None
    lines = [review.stdout.readline() for _ in range(2)]
    review.send_signal(signal.SIGINT)
    review.communicate(timeout=20)
    assert lines[1].startswith("the last write of the dataset was cut off: write it again")


def test_the_command_prints_its_address_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    folder = collection(tmp_path / "my-ct", Made("paper.pdf", [Panel(1)]))
    review = subprocess.Popen(
        command("figures", "review", folder), stdout=subprocess.PIPE, text=True, preexec_fn=interruptible
    )
    assert review.stdout is not None
    assert review.stdout.readline().startswith("review: http://127.0.0.1:")
    review.send_signal(signal.SIGINT)
    said, _ = review.communicate(timeout=20)
    assert review.returncode == 0
    assert "0 of 1 decided" in said


def test_a_port_that_is_taken_is_one_line(page: Page, tmp_path: Path) -> None:
    folder = collection(tmp_path / "second", Made("paper.pdf", [Panel(1)]))
    arguments = command("figures", "review", folder, "--port", page.server.server_port)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "name another, or 0 for a free one" in done.stderr
    assert "Traceback" not in done.stderr
