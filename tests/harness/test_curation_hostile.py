"""Hostile input of the building and the review: reasons, names, parsers that do not let go, browsers that go on."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_papers import demo_paper
from made_collections import Made, Panel, collection
from made_papers import Paper, picture, with_figure
from waiting import command, running, until

from harness.curation.building import Limits, Task, built, tasks_of
from harness.curation.collection import DECISIONS, DOCUMENTS
from harness.curation.decisions import read_events
from harness.curation.papers import paper_record
from harness.curation.reading import read_paper
from harness.curation.review import Server
from harness.curation.session import reviewing
from harness.figures.documents import read_document

FAR_LATER = 600

PDF_ENCRYPT_AES_256 = 5
"""Of MuPDF; the module names it without a type."""


def drawn(path: Path, **options: object) -> Path:
    """A PDF of one page with a grey picture and its caption."""
    return with_figure(Paper().image((100, 100, 300, 250), picture(300, 400))).save(path, **options)


def unopenable(path: Path, kind: str) -> Path:
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "no PDF":
            path.write_bytes(b"dear diary")
        case "truncated":
            path.write_bytes(drawn(path).read_bytes()[:40])
        case "encrypted":
            drawn(path, encryption=PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="more")
        case "a lie of a page count":
            whole = drawn(path).read_bytes()
            path.write_bytes(whole.replace(b"/Count 1", b"/Count 999999999"))
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "the file is empty"),
        ("no PDF", "not a PDF that can be read"),
        ("truncated", "not a PDF that can be read"),
        ("encrypted", "is encrypted and asks for a password; save it without one"),
        ("a lie of a page count", "not a PDF that can be read: Invalid number of pages"),
    ],
)
def test_a_pdf_that_cannot_be_opened_leaves_a_record_with_the_reason(
    tmp_path: Path, kind: str, reason: str
) -> None:
    path = unopenable(tmp_path / "bad.pdf", kind)
    (tmp_path / "work").mkdir()
    read_paper(path, tmp_path / "work", name=path.name, sha256="ab", reader="code", rules=None)
    record = paper_record(tmp_path / "work")
    assert record is not None
    assert record["failed"].startswith(reason)
    assert (record["figures"], record["problems"]) == ([], [])
    assert str(tmp_path) not in record["failed"], "the folders of this machine are nobody's business"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are Unicode")
def test_a_name_that_is_no_unicode_is_read_like_any_other(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.pdf"))
    drawn(tmp_path / "plain.pdf").rename(path)
    assert len(read_document(path, tmp_path / "out").figures) == 1


def test_memory_that_numpy_does_not_get_is_the_limit_too(tmp_path: Path) -> None:
    raising = "import numpy; numpy.zeros(1 << 45)"
    (end,) = built(*_task(tmp_path), workers=1, limits=Limits(60.0), reader=(sys.executable, "-c", raising))
    assert end.message == "needs more than 2000 MB of memory (--memory-limit)"


def _task(tmp_path: Path) -> tuple[list[Task], Path]:
    return tasks_of([drawn(tmp_path / "a.pdf")], "code")[0], tmp_path / "out"


STUCK = f"""
import ctypes, json, pathlib, sys
import harness.curation.child as child

def loop_in_c(path, folder):
    pathlib.Path(sys.argv[2]).write_text(str(__import__("os").getpid()))
    ctypes.PyDLL(None).sleep({FAR_LATER})  # a parser that loops: the interpreter is not released

child._say_pages = loop_in_c
child.main(json.loads(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process with its parent")
def test_a_parser_that_loops_in_c_ends_when_the_build_is_killed(tmp_path: Path) -> None:
    task = json.dumps(
        {"path": "a", "name": "a", "sha256": "", "reader": "", "rules": None}
        | {"memory_bytes": 1 << 31, "cpu_seconds": FAR_LATER}
    )
    build = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {STUCK!r}, {task!r}, {str(tmp_path / "pid")!r}], stdin=subprocess.PIPE,
    start_new_session=True)
time.sleep({FAR_LATER})
"""
    parent = subprocess.Popen([sys.executable, "-c", build])
    assert until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    pid = int((tmp_path / "pid").read_text())
    assert running(pid)
    parent.kill()
    parent.wait()
    assert until(lambda: not running(pid))


@pytest.mark.slow
def test_forms_that_call_each_other_twice_forty_times_are_stopped_and_named(tmp_path: Path) -> None:
    """A billion laughs: two calls a level are 2^40 drawings in a file of 7 kB."""
    paper = Paper()
    inner = paper.object("/Type/XObject/Subtype/Form/BBox[0 0 500 700]", b"0 0 10 10 re f")
    for _ in range(40):
        call = f"/Type/XObject/Subtype/Form/BBox[0 0 500 700]/Resources<</XObject<</F {inner} 0 R>>>>"
        inner = paper.object(call, b"/F Do /F Do")
    paper.resource("F", inner).operations("/F Do")
    paper.save(tmp_path / "laughs.pdf")
    tasks, _ = tasks_of([tmp_path / "laughs.pdf"], "code")
    (end,) = built(tasks, tmp_path / "out", workers=1, limits=Limits(4.0))
    assert end.status == "failed"
    assert "was stopped (--time-limit)" in end.message


@pytest.mark.slow
def test_a_name_of_control_characters_stays_on_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    demo_paper(folder / "a.pdf", 1).rename(folder / "two\nlines \x1b[2J.pdf")
    arguments = command("figures", "build", folder, "--out", tmp_path / "out")
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("lines")]
    (record,) = (tmp_path / "out" / DOCUMENTS).glob("*/document.json")
    assert json.loads(record.read_text())["name"] == "two\nlines \x1b[2J.pdf"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = collection(tmp_path / "made", Made("a.pdf", [Panel(10), Panel(20)]))
    with reviewing(folder) as session:
        made = Server(0, session)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
        made.server_close()


def decide(server: Server, body: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/{server.token}/decide", body.encode(), headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("action", ["accept", "reject"])
@pytest.mark.parametrize("value", ["NaN", "1e999", '"' + "\u00e9" * 25_000 + '"', "[]"])
def test_a_decision_carries_nothing_that_the_file_could_not_hold(
    server: Server, tmp_path: Path, action: str, value: str
) -> None:
    """A line longer than a line may be, or a number that is none, would make the file unreadable at the next start."""
    target = server.session.state()["items"][0]["id"]
    body = f'{{"version": 0, "action": "{action}", "target": "{target}", "value": {value}}}'
    assert decide(server, body) == (422, {"error": f"to {action} takes no value"})
    assert server.session.state()["items"][0]["verdict"] is None
    assert read_events(tmp_path / "made" / DECISIONS) == ()


def test_a_browser_that_goes_on_before_the_picture_came_is_no_error(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    target = server.session.state()["items"][0]["id"]
    request = f"GET /{server.token}/picture/{target} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n"
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.server_port)) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not closed
            made.sendall(request.encode() * 50)
            time.sleep(0.02)
    status, _ = decide(server, json.dumps({"version": 0, "action": "reject", "target": target}))
    assert status == 200
    assert "Traceback" not in capfd.readouterr().err
