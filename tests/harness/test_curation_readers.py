"""Readers that are forked off one process: a crash, a hang or a limit costs one PDF, and nothing outlives the build."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from demo_papers import demo_paper
from made_papers import Paper, picture, with_figure
from waiting import until

import harness.curation.readers as readers
from harness.curation.building import Limits, Outcome, Task, built
from harness.curation.collection import DOCUMENTS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a reader is started anew for each PDF"
)


def drawn(path: Path) -> Path:
    """A PDF of one page with a grey picture and its caption."""
    return with_figure(Paper().image((100, 100, 300, 250), picture(300, 400))).save(path)


def endless(path: Path) -> Task:
    """A PDF that is never read to its end: its rules are a pipe that nobody writes into."""
    os.mkfifo(path.with_suffix(".toml"))
    return Task(drawn(path), "ab" * 32, "code", path.with_suffix(".toml"))


def task(path: Path) -> Task:
    return Task(path, f"{path.stem.encode().hex():0<64}", "code")


def scratch_of(out: Path) -> list[int]:
    """The processes that work in a folder of a PDF that is being read."""
    found = []
    for one in Path("/proc").iterdir():
        try:
            here = one.name.isdigit() and f"{out}/{DOCUMENTS}/.reading-" in str((one / "cwd").readlink())
        except OSError:
            continue
        if here:
            found.append(int(one.name))
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def readers_in(out: Path) -> list[int]:
    """Those of them that were forked off another."""
    pids = scratch_of(out)
    return [pid for pid in pids if parent_of(pid) in pids]


def when_a_reader_is_there(out: Path, act: Callable[[int], object]) -> threading.Thread:
    def wait() -> None:
        assert until(lambda: readers_in(out))
        act(readers_in(out)[0])

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[readers._Worker]:
    """Every process that was started to fork off readers."""
    started: list[readers._Worker] = []

    class Counted(readers._Worker):
        def __init__(self) -> None:
            super().__init__()
            started.append(self)

    monkeypatch.setattr(readers, "_Worker", Counted)
    return started


def ends(found: list[Outcome]) -> list[tuple[str, str]]:
    return [(one.task.path.stem, one.status) for one in found]


def test_a_reader_that_dies_of_a_signal_costs_one_pdf_and_its_worker_goes_on(
    tmp_path: Path, workers: list[readers._Worker]
) -> None:
    tasks = [endless(tmp_path / "bad.pdf"), task(drawn(tmp_path / "good.pdf"))]
    killing = when_a_reader_is_there(tmp_path / "out", lambda pid: os.kill(pid, signal.SIGSEGV))
    found = list(built(tasks, tmp_path / "out", workers=1, limits=Limits(60.0)))
    killing.join()
    assert ends(found) == [("bad", "failed"), ("good", "read")]
    assert found[0].message == "its reader died of SIGSEGV"
    assert found[1].figures == 1
    assert len(workers) == 1


def test_a_reader_that_hangs_is_stopped_and_the_next_pdf_gets_another_worker(
    tmp_path: Path, workers: list[readers._Worker]
) -> None:
    tasks = [endless(tmp_path / "bad.pdf"), task(drawn(tmp_path / "good.pdf"))]
    found = list(built(tasks, tmp_path / "out", workers=1, limits=Limits(10.0)))
    assert ends(found) == [("bad", "failed"), ("good", "read")]
    assert found[0].message == "took more than 10 s and was stopped (--time-limit)"
    assert len(workers) == 2
    assert not scratch_of(tmp_path / "out")


def test_a_worker_that_dies_itself_costs_one_pdf(tmp_path: Path, workers: list[readers._Worker]) -> None:
    tasks = [endless(tmp_path / "bad.pdf"), task(drawn(tmp_path / "good.pdf"))]
    killing = when_a_reader_is_there(tmp_path / "out", lambda pid: os.kill(parent_of(pid), signal.SIGKILL))
    found = list(built(tasks, tmp_path / "out", workers=1, limits=Limits(60.0)))
    killing.join()
    assert ends(found) == [("bad", "failed"), ("good", "read")]
    assert found[0].message == "its reader died of SIGKILL"
    assert until(lambda: not scratch_of(tmp_path / "out"))


def test_a_worker_that_dies_while_it_waits_costs_nothing(
    tmp_path: Path, workers: list[readers._Worker]
) -> None:
    tasks = [task(drawn(tmp_path / name)) for name in ("a.pdf", "b.pdf")]
    outcomes = built(tasks, tmp_path / "out", workers=1)
    assert next(outcomes).status == "read"
    workers[0].kill()
    assert next(outcomes).status == "read"
    outcomes.close()
    assert len(workers) == 2


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "READER", (sys.executable, "-c", "import sys; sys.exit(4)"))
    (end,) = built([task(drawn(tmp_path / "a.pdf"))], tmp_path / "out", workers=1, limits=Limits(60.0))
    assert end.message.startswith("its reader ended with 4")


def test_one_worker_reads_several_pdfs_and_nothing_of_one_is_seen_in_the_next(
    tmp_path: Path, workers: list[readers._Worker]
) -> None:
    for name in ("a.pdf", "b.pdf", "c.pdf"):
        drawn(tmp_path / name)
    tasks = [task(tmp_path / name) for name in ("a.pdf", "b.pdf", "c.pdf")]
    list(built(tasks, tmp_path / "one", workers=1))
    assert len(workers) == 1
    list(built(tasks[2:], tmp_path / "alone", workers=1, reader=readers.READER))
    folder = f"{DOCUMENTS}/{tasks[2].sha256[:16]}"
    files = sorted(path.name for path in (tmp_path / "alone" / folder).iterdir())
    assert "document.json" in files
    for name in files:
        assert (tmp_path / "one" / folder / name).read_bytes() == (
            tmp_path / "alone" / folder / name
        ).read_bytes()
    assert sorted(path.name for path in (tmp_path / "one" / folder).iterdir()) == files


def test_killing_the_build_ends_its_workers_and_their_readers(tmp_path: Path) -> None:
    bad = endless(tmp_path / "bad.pdf")
    build = f"""
from pathlib import Path
from harness.curation.building import Task, built
task = Task(Path({str(bad.path)!r}), "ab" * 32, "code", Path({str(bad.rules)!r}))
list(built([task], Path({str(tmp_path / "out")!r}), workers=1))
"""
    parent = subprocess.Popen([sys.executable, "-c", build])
    assert until(lambda: readers_in(tmp_path / "out"))
    parent.kill()
    parent.wait()
    assert until(lambda: not scratch_of(tmp_path / "out"), 10.0)


def test_what_reading_imports_was_imported_before_and_the_network_for_layouts_is_not(tmp_path: Path) -> None:
    demo_paper(tmp_path / "a.pdf", 1)
    code = f"""
import json, sys
from pathlib import Path
from harness.curation import child
child.import_used()
before = set(sys.modules)
from harness.curation.reading import read_paper
read_paper(Path({str(tmp_path / "a.pdf")!r}), Path({str(tmp_path)!r}), name="a", sha256="ab", reader="c", rules=None)
ours = ("harness", "PIL", "scipy", "numpy", "pymupdf")
print(json.dumps([sorted(one for one in set(sys.modules) - before if one.split(".")[0] in ours),
    sorted({{"pymupdf.layout", "pymupdf4llm"}} & {{name for name, one in sys.modules.items() if one}})]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]


def test_a_task_that_a_dead_worker_did_not_take_raises_nothing(tmp_path: Path) -> None:
    worker = readers._Worker()
    os.kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()
    worker.read({"folder": str(tmp_path)})
    assert worker.ended() == -signal.SIGKILL
    worker.close()
