"""Many PDFs: what hangs, crashes or eats memory costs only itself; what is done is not done again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from demo_papers import demo_paper
from made_papers import Paper
from waiting import command, interruptible, running, until, wait_for

from harness.curation.building import Limits, Outcome, Task, built, found_pdfs, tasks_of
from harness.curation.collection import DOCUMENTS, open_collection
from harness.data.dataset import open_dataset
from harness.errors import DataError, UsageError
from harness.protocols import make_splits

QUICK = """
import json, os, pathlib, sys, time
task = json.loads(sys.argv[1])
name = task["name"]
pathlib.Path("f-p1-1.png").write_bytes(b"")
BEHAVIOUR
record = {k: task[k] for k in ("name", "sha256", "reader")}
record |= {"schema_version": 1, "failed": None, "problems": [], "figures": [], "title": "", "doi": ""}
pathlib.Path("document.json").write_text(json.dumps(record))
"""


def reader(behaviour: str = "") -> Sequence[str]:
    """A reader that takes no time, except for what `behaviour` does with some names."""
    return (sys.executable, "-c", QUICK.replace("BEHAVIOUR", behaviour))


def some_pdfs(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.pdf").write_bytes(b"%PDF-1.7 " + name.encode())
    return [folder / f"{name}.pdf" for name in names]


def tasks(paths: Sequence[Path], code: str = "code") -> list[Task]:
    return tasks_of(paths, code)[0]


def by_name(outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    return {one.task.path.stem: one for one in outcomes}


def test_a_path_where_nothing_is_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there; name PDFs"):
        found_pdfs([*some_pdfs(tmp_path / "in", "a"), tmp_path / "b.pdf"])


def test_a_folder_without_pdfs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no PDF in"):
        found_pdfs([tmp_path])


def test_folders_are_searched_and_each_file_is_taken_once(tmp_path: Path) -> None:
    a, b = some_pdfs(tmp_path / "in", "a", "b")
    assert found_pdfs([b, tmp_path, a]) == [b, a]


def test_a_pattern_that_no_shell_filled_in_is_filled_in(tmp_path: Path) -> None:
    a, b, _ = some_pdfs(tmp_path / "in", "a1", "a2", "b")
    assert found_pdfs([tmp_path / "*" / "a?.pdf"]) == [a, b]
    with pytest.raises(UsageError, match="nothing is like"):
        found_pdfs([tmp_path / "*.djvu"])


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (odd, _) = some_pdfs(tmp_path / "in", "[ab]", "a")
    assert found_pdfs([odd]) == [odd]


def test_a_text_file_lists_paths_from_where_it_lies(tmp_path: Path) -> None:
    a, b = some_pdfs(tmp_path / "in", "a", "b")
    (tmp_path / "list.txt").write_text(f"# of today\n\nin/b.pdf\n{a}\n")
    assert found_pdfs([tmp_path / "list.txt"]) == [b, a]
    (tmp_path / "list.txt").write_text("in/c.pdf\n")
    with pytest.raises(UsageError, match=r"c\.pdf' is not there"):
        found_pdfs([tmp_path / "list.txt"])


def test_a_list_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot read the list"):
        found_pdfs([tmp_path / "list.txt"])


def test_copies_of_a_file_are_read_once_and_named(tmp_path: Path) -> None:
    (a,) = some_pdfs(tmp_path / "in", "a")
    copy = tmp_path / "copy.pdf"
    copy.write_bytes(a.read_bytes())
    found, remarks = tasks_of([a, copy], "code")
    assert [one.path for one in found] == [a]
    assert remarks == [f"{str(copy)!r}: the same file as {str(a)!r}; read once"]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("if name == 'bad.pdf': time.sleep(600)", "took more than 1 s and was stopped"),
        ("while name == 'bad.pdf': pass", "took more than 1 s and was stopped"),
        ("if name == 'bad.pdf': os.kill(os.getpid(), 11)", "its reader died of SIGSEGV"),
        ("if name == 'bad.pdf': os.abort()", "its reader died of SIGABRT"),
        ("if name == 'bad.pdf': raise MemoryError", "needs more than 2000 MB of memory"),
        ("if name == 'bad.pdf': sys.exit(3)", "its reader ended with 3: without document.json"),
        ("if name == 'bad.pdf': raise SystemExit", "its reader ended with 0: without document.json"),
        ("if name == 'bad.pdf': raise ValueError('x' * 10**6)", "its reader ended with 1: ValueError: xxx"),
    ],
)
def test_a_reader_that_hangs_or_dies_costs_only_its_pdf(tmp_path: Path, behaviour: str, reason: str) -> None:
    paths = some_pdfs(tmp_path / "in", "good", "bad", "better")
    limits = Limits(seconds=1.0 if "more than 1 s" in reason else 60.0)
    found = by_name(
        list(built(tasks(paths), tmp_path / "out", workers=2, limits=limits, reader=reader(behaviour)))
    )
    assert {name: one.status for name, one in found.items()} == {
        "good": "read",
        "bad": "failed",
        "better": "read",
    }
    assert found["bad"].message.startswith(reason)
    assert len(found["bad"].message) < 300
    assert [one.name for one in open_collection(tmp_path / "out").failures] == ["bad.pdf"]


def test_a_reader_that_leaves_children_takes_them_with_it(tmp_path: Path) -> None:
    orphan = "import subprocess; p = subprocess.Popen(['sleep', '600']); "
    behaviour = orphan + f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(p.pid)); time.sleep(600)"
    list(
        built(
            tasks(some_pdfs(tmp_path / "in", "a")),
            tmp_path / "out",
            workers=1,
            limits=Limits(5.0),
            reader=reader(behaviour),
        )
    )
    pid = int((tmp_path / "pid").read_text())
    assert until(lambda: not running(pid))


def test_the_time_limit_grows_with_the_pages_and_believes_no_absurd_number() -> None:
    limits = Limits(seconds=100)
    assert limits.seconds_for(0) == 100
    assert limits.seconds_for(2000) == 2100
    assert limits.seconds_for(10**9) == limits.seconds_for(5000)


def test_a_second_build_reads_nothing_again(tmp_path: Path) -> None:
    paths = some_pdfs(tmp_path / "in", "a", "b")
    list(built(tasks(paths), tmp_path / "out", workers=2, reader=reader()))
    again = list(built(tasks(paths), tmp_path / "out", workers=2, reader=reader("os.abort()")))
    assert [one.status for one in again] == ["kept", "kept"]


def test_other_code_or_other_content_is_read_again(tmp_path: Path) -> None:
    paths = some_pdfs(tmp_path / "in", "a", "b")
    list(built(tasks(paths), tmp_path / "out", workers=2, reader=reader()))
    paths[0].write_bytes(b"%PDF-1.7 changed")
    again = by_name(list(built(tasks(paths), tmp_path / "out", workers=2, reader=reader())))
    assert (again["a"].status, again["b"].status) == ("read", "kept")
    changed = list(built(tasks(paths, "other code"), tmp_path / "out", workers=2, reader=reader()))
    assert [one.status for one in changed] == ["read", "read"]


def test_a_failure_is_remembered_until_it_is_to_be_tried_again(tmp_path: Path) -> None:
    paths = some_pdfs(tmp_path / "in", "a")
    list(built(tasks(paths), tmp_path / "out", workers=1, reader=reader("os.abort()")))
    (again,) = built(tasks(paths), tmp_path / "out", workers=1, reader=reader())
    assert again.status == "failed"
    assert again.message.startswith("its reader died of SIGABRT (as before")
    (retried,) = built(tasks(paths), tmp_path / "out", workers=1, reader=reader(), retry=True)
    assert retried.status == "read"


def test_a_damaged_folder_of_a_paper_is_read_again(tmp_path: Path) -> None:
    paths = some_pdfs(tmp_path / "in", "a")
    list(built(tasks(paths), tmp_path / "out", workers=1, reader=reader()))
    (record,) = (tmp_path / "out" / DOCUMENTS).glob("*/document.json")
    record.write_text(record.read_text()[:20])
    assert [one.status for one in built(tasks(paths), tmp_path / "out", workers=1, reader=reader())] == [
        "read"
    ]


def test_two_builds_do_not_work_in_one_folder(tmp_path: Path) -> None:
    first = built(tasks(some_pdfs(tmp_path / "in", "a", "b")), tmp_path / "out", workers=1, reader=reader())
    next(first)
    with pytest.raises(DataError, match="another build works in"):
        list(built(tasks(some_pdfs(tmp_path / "in", "c")), tmp_path / "out", workers=1, reader=reader()))
    first.close()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot write into .*name another folder with --out"):
        list(built(tasks(some_pdfs(tmp_path / "in", "a")), tmp_path / "file", workers=1, reader=reader()))


def test_leaving_midway_ends_the_readers_and_removes_what_they_made(tmp_path: Path) -> None:
    paths = some_pdfs(tmp_path / "in", "a", "b")
    behaviour = f"""
pathlib.Path({str(tmp_path)!r}, name + '.pid').write_text(str(os.getpid()))
if name == 'b.pdf': time.sleep(600)
"""
    outcomes = built(tasks(paths), tmp_path / "out", workers=2, reader=reader(behaviour))
    assert next(outcomes).task.path.stem == "a"
    wait_for(tmp_path / "b.pdf.pid")
    outcomes.close()
    assert not running(int((tmp_path / "b.pdf.pid").read_text()))
    assert len(list((tmp_path / "out" / DOCUMENTS).iterdir())) == 1


def test_a_reader_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """The real reader, on a pipe that nobody opens for writing: it waits forever, in Python."""
    code = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import sys, threading, time; sys.argv = ['x']; "
    "from harness.curation.child import _end_with_parent; "
    "threading.Thread(target=_end_with_parent, daemon=True).start(); time.sleep(600)"],
    stdin=subprocess.PIPE, start_new_session=True)
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(tmp_path / "pid")
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    pid = int((tmp_path / "pid").read_text())
    assert until(lambda: not running(pid))


def test_a_pdf_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    """The real reader."""
    (tmp_path / "empty.pdf").write_bytes(b"")
    (tmp_path / "text.pdf").write_bytes(b"no PDF at all")
    Paper().save(tmp_path / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="x", owner_pw="y")
    found = by_name(list(built(tasks(found_pdfs([tmp_path])), tmp_path / "out", workers=2)))
    assert found["empty"].message == "the file is empty"
    assert found["text"].message.startswith("not a PDF that can be read")
    assert found["locked"].message.startswith("is encrypted and asks for a password")


def test_a_thing_that_is_no_file_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pdf")
    (tmp_path / "gone.pdf").symlink_to(tmp_path / "nowhere")
    (tmp_path / "there.pdf").write_bytes(b"%PDF-1.7")
    found, remarks = tasks_of(found_pdfs([tmp_path]), "reader")
    assert [task.path.name for task in found] == ["there.pdf"]
    assert [remark.split("'")[1].rpartition("/")[2] for remark in remarks] == ["gone.pdf", "pipe.pdf"]
    assert all("no regular file is there; left out" in remark for remark in remarks)


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be looked at"):
        found_pdfs([tmp_path / ("x" * 300 + ".pdf")])


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    folder.mkdir()
    demo_paper(folder / "one.pdf", 1)
    demo_paper(folder / "two.pdf", 3, covid=False)
    return folder


def harness(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=600, **options)  # type: ignore[call-overload, no-any-return]


def content(out: Path) -> dict[str, bytes]:
    """All that is in a collection, by place; the card's title is the folder's name."""
    files = (one for one in out.rglob("*") if one.is_file() and not one.name.endswith((".lock", "card.toml")))
    return {one.relative_to(out).as_posix(): one.read_bytes() for one in files}


def test_of_many_pdfs_those_that_failed_are_named_again_at_the_end(tmp_path: Path) -> None:
    paths = some_pdfs(tmp_path / "in", *(f"bad-{number}" for number in range(21)))
    done = harness("figures", "build", tmp_path / "in", "--out", tmp_path / "out", "--workers", 2)
    assert done.returncode == 1
    _, _, end = done.stderr.partition("21 could not be read:\n")
    named = re.findall(r"^  (bad-\d+\.pdf): not a PDF that can be read", end, re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in paths)


def test_what_is_left_is_told_by_the_pace_of_what_was_read_now() -> None:
    from harness.cli.figures_build import _Progress

    task = Task(Path("a.pdf"), "ab", "code")
    progress = _Progress(total=100, started=time.monotonic() - 60)
    for _ in range(50):
        progress.add(Outcome(task, "kept"))
    assert progress.text("a.pdf") == "50 of 100 PDFs: a.pdf"
    for _ in range(10):
        progress.add(Outcome(task, "read", seconds=6.0))
    assert re.fullmatch(r"60 of 100 PDFs, about 4 min \d s left: a\.pdf", progress.text("a.pdf"))


@pytest.mark.slow
def test_one_worker_and_several_give_the_same_bytes(papers: Path, tmp_path: Path) -> None:
    for workers in (1, 3):
        done = harness("figures", "build", papers, "--out", tmp_path / f"w{workers}", "--workers", workers)
        assert done.returncode == 0, done.stderr
    assert content(tmp_path / "w1") == content(tmp_path / "w3")


@pytest.mark.slow
def test_memory_that_is_not_granted_costs_the_picture_that_asks_for_it(papers: Path, tmp_path: Path) -> None:
    """An image of 100 million pixels in 100 kB; the limit does not hold it."""
    paper = Paper()
    data = zlib.compress(bytes(100_000_000), 9)
    keys = {"ColorSpace": "/DeviceGray", "BitsPerComponent": "8", "Filter": "/FlateDecode"}
    paper.raw_image((200, 0, 0, 150, 100, 450), 10000, 10000, data, **keys)
    paper.caption(100, 268, "Figure 1.", "Chest CT.").text((60, 300, 440, 640)).save(papers / "large.pdf")
    done = harness("figures", "build", papers, "--out", tmp_path / "out", "--memory-limit", 400)
    assert "[3/3]" in done.stderr
    assert "Traceback" not in done.stderr
    assert "large.pdf: Figure 1 (page 1): no picture: " in done.stderr or "large.pdf: FAILED" in done.stderr
    assert done.stderr.count("2 figures in") == 2


@pytest.mark.slow
def test_a_killed_build_loses_only_what_was_in_flight(papers: Path, tmp_path: Path) -> None:
    arguments = command("figures", "build", papers, "--out", tmp_path / "out", "--workers", "1")
    killed = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    folder = tmp_path / "out" / DOCUMENTS
    assert until(lambda: len(list(folder.glob("[!.]*"))) == 1, 120)
    killed.kill()
    killed.wait()
    done = harness("figures", "build", papers, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("read before") == 1
    assert not list(folder.glob(".reading-*"))


@pytest.mark.slow
def test_ctrl_c_ends_a_build_with_one_line_and_its_readers_with_it(papers: Path, tmp_path: Path) -> None:
    arguments = command("figures", "build", papers, "--out", tmp_path / "out")
    build = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible)
    folder = tmp_path / "out" / DOCUMENTS
    assert until(lambda: bool(list(folder.glob(".reading-*"))), 60)
    build.send_signal(signal.SIGINT)
    _, said = build.communicate(timeout=60)
    assert build.returncode == 130
    assert said.splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in said
    assert not list(folder.glob(".reading-*"))


@pytest.mark.slow
def test_many_small_pdfs_good_and_bad(tmp_path: Path) -> None:
    """Forty of the thousand: one in four is broken in some way, and each of those is named."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(40):
        path = folder / f"paper-{number:02d}.pdf"
        if number % 4 == 3:
            path.write_bytes([b"", b"no PDF", b"%PDF-1.7\n" + bytes(500)][number % 3])
            continue
        paper = Paper()
        paper.words(60, 80, f"Paper {number}")
        paper.caption(100, 268, "Figure 1.", "A chart.").chart((100, 100, 300, 250)).text((60, 300, 440, 640))
        paper.save(path)
    done = harness("figures", "build", folder, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert (
        done.stderr.count("FAILED") == sum(number % 4 == 3 for number in range(40)) - 7
    )  # copies are read once
    assert "30 figures" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_hostile_pdfs_are_named_and_nothing_is_written_elsewhere(papers: Path, tmp_path: Path) -> None:
    """Cut off, scanned, with scripts and launch actions, with names that are paths, formulas and terminal codes."""
    whole = (papers / "one.pdf").read_bytes()
    (papers / "two.pdf").unlink()
    (papers / "cut.pdf").write_bytes(whole[: len(whole) // 3])
    Paper().image((0, 0, 500, 700), np.tile(np.arange(200, dtype=np.uint8), (280, 1))).save(
        papers / "scan.pdf"
    )
    scripted = Paper().text((60, 60, 440, 200))
    action = f"<</S/Launch/F({tmp_path / 'run.sh'})/Next<</S/JavaScript/JS(app.alert\\(1\\))>>>>"
    scripted.document.xref_set_key(scripted.document.pdf_catalog(), "OpenAction", action)
    scripted.document.embfile_add("..\\..\\evil.sh", b"rm -rf /", filename="../../evil.sh")
    scripted.save(papers / "script.pdf")
    for name in ("=cmd|' calc'.pdf", "a\n\x1b[31mred.pdf", "-rf.pdf", "é" * 100 + ".pdf", "%2e%2e%2fx.pdf"):
        (papers / name).write_bytes(whole + name.encode())
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    done = harness("figures", "build", papers, "--out", tmp_path / "out")
    assert "[9/9]" in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert {path for path in tmp_path.rglob("*") if (tmp_path / "out") not in (path, *path.parents)} == before
    names = [path.name for path in (tmp_path / "out" / "images").iterdir()]
    assert all(re.fullmatch(r"[A-Za-z0-9][\w.%-]*\.png", name) for name in names), names
    assert len(names) == 5  # the copies hold the same pictures


@pytest.mark.slow
def test_two_thousand_pages_are_read(tmp_path: Path) -> None:
    paper = Paper()
    for number in range(1999):
        paper.words(60, 80, f"Page {number}").next_page()
    (tmp_path / "in").mkdir()
    paper.caption(100, 268, "Figure 1.", "A chart.").chart((100, 100, 300, 250)).text((60, 300, 440, 640))
    paper.save(tmp_path / "in" / "long.pdf")
    done = harness("figures", "build", tmp_path / "in", "--out", tmp_path / "out")
    assert "[1/1] long.pdf: 1 figures" in done.stderr


@pytest.mark.data("pdfs")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_papers_become_a_dataset_that_opens(tmp_path: Path) -> None:
    done = harness(
        "figures", "build", Path(os.environ["HARNESS_PDFS"]) / "papers", "--out", tmp_path / "my-ct"
    )
    assert done.returncode == 0, done.stderr
    dataset = open_dataset(str(tmp_path / "my-ct" / "card.toml"))
    assert {sample.label for sample in dataset.samples} == {0, 1}
    (split,) = make_splits("official", dataset.samples)
    group = {sample.id: sample.group for sample in dataset.samples}
    parts = [{group[one] for one in part} for part in (split.train, split.val, split.test)]
    assert all(parts)
    assert not (parts[0] & parts[1])
    assert not (parts[0] & parts[2])
    assert not (parts[1] & parts[2])


@pytest.mark.data("pdfs")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_malformed_pdfs_pass_through(tmp_path: Path) -> None:
    folder = Path(os.environ["HARNESS_PDFS"]) / "malformed"
    count = len(list(folder.glob("*.pdf")))
    arguments = command("figures", "build", folder, "--out", tmp_path / "out")
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=880)
    assert f"[{count}/{count}]" in done.stderr
    assert "Traceback" not in done.stderr
    records = [json.loads(one.read_text()) for one in (tmp_path / "out" / DOCUMENTS).glob("*/document.json")]
    assert len(records) == count
    reasons = [one["failed"] for one in records if one["failed"]]
    assert not [reason for reason in reasons if "its reader" in reason or "took more" in reason]
    assert {one.name for one in tmp_path.iterdir()} == {"out"}
