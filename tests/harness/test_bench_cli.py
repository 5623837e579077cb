from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.bench import worker
from harness.bench.commits import is_dirty
from harness.bench.racing import Race, Timing
from harness.bench.report import as_table
from harness.cli import main

Run = Callable[..., subprocess.CompletedProcess[str]]

SUITE = '''
def bench_add_up():
    """Numbers are added up."""
    from made_package import add_up
    return add_up, 5

def bench_only_here():
    from made_package import added_later
    return added_later

def bench_always_broken():
    raise RuntimeError("no luck")

def bench_nothing():
    import made_package
    return lambda: None

def bench_too_quick():
    import made_package
    return lambda: 1

def bench_not_a_function():
    return 7

def bench_elsewhere():
    return lambda: sum(range(1000))

def bench_always_ours():
    import pathlib, sys
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    from made_package import add_up
    return add_up

def bench_fails_later():
    import gc, made_package
    def function():
        if not gc.isenabled():  # a sample is being taken
            raise RuntimeError("no more")
        return made_package.add_up()
    return function

def bench_kills_its_process():
    import made_package, os
    return lambda: os._exit(9)

def bench_keeps_what_it_found():
    import gc, made_package
    from harness.counters import count
    def function():
        if gc.isenabled():  # what a sample asks for is at hand
            count("made-work", 1)
        return made_package.add_up()
    return function
'''

PACKAGE = """
def add_up():
    return sum(range({n}))
"""


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=made", "-c", "user.email=made@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *settings, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def two_commits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two commits; the second adds up five times as much and has a function more."""
    folder = tmp_path_factory.mktemp("made") / "repository"
    (folder / "made_package").mkdir(parents=True)
    git(folder.parent, "init", "-q", "-b", "trunk", str(folder))
    package = folder / "made_package" / "__init__.py"
    package.write_text(PACKAGE.format(n=20_000))
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    git(folder, "tag", "v1")
    package.write_text(PACKAGE.format(n=100_000) + "\nadded_later = add_up\n")
    (folder / "speed.py").write_text(SUITE)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "second")
    return folder


@pytest.fixture
def repository(two_commits: Path, tmp_path: Path) -> Path:
    """A copy of `two_commits` that the test may change."""
    return Path(shutil.copytree(two_commits, tmp_path / "repository"))


@pytest.fixture
def bench(repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `harness bench --suite speed.py` in the repository, in this process; its workloads have their own."""
    monkeypatch.chdir(repository)

    def run(*arguments: str, suite: str = "speed.py", **more: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        for name, value in environment(**more).items():
            monkeypatch.setenv(name, value)
        command = ["harness", "bench", "--suite", suite, *arguments]
        monkeypatch.setattr(sys, "argv", command)
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return subprocess.CompletedProcess(command, int(end.value.code or 0), *capfd.readouterr())

    return run


def environment(**more: str) -> dict[str, str]:
    """This environment, with the folder that `harness` is imported from on the path."""
    own = str(Path(worker.__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if name != "GITHUB_STEP_SUMMARY"}
    return {**kept, "PYTHONPATH": own, "COLUMNS": "200", **more}


def leftovers() -> list[str]:
    return [path.name for path in Path(tempfile.gettempdir()).glob("harness-bench-*")]


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.slow
def test_a_commit_that_does_five_times_the_work_is_slower(
    bench: Run, repository: Path, tmp_path: Path
) -> None:
    said, summary = tmp_path / "speed.json", tmp_path / "summary.md"
    done = bench("--against", "v1", "-w", "add-up", "--json", str(said), GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(said.read_text())["workloads"]
    low, high = found["interval"]
    assert 1.5 < low <= found["ratio"] <= high
    assert found["verdict"].startswith("slower by")
    assert found["verdict"] in done.stdout
    assert found["verdict"] in summary.read_text()
    assert found["ours"]["images"] == 5
    assert "comparing the working tree with v1" in done.stderr
    assert git(repository, "worktree", "list").count("\n") == 1
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.slow
def test_fail_above_turns_a_slower_workload_into_an_exit_code(bench: Run) -> None:
    assert bench("--against", "v1", "-w", "add-up", "--fail-above", "1.5").returncode == 1
    assert bench("--against", "HEAD", "-w", "add-up", "--fail-above", "1.9").returncode == 0


@pytest.mark.parametrize("more", [[], ["--fail-above", "1.5"]])
def test_where_no_workload_ran_on_both_commits_nothing_was_compared(bench: Run, more: list[str]) -> None:
    done = bench("--against", "v1", "-w", "only-here", "--rounds", "6", *more)
    assert done.returncode == 1
    assert error_of(done) == "error: no workload ran on both commits: nothing was compared"


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ("fails-later", "fails here: RuntimeError: no more"),
        ("kills-its-process", "fails here: the process ended with 9"),
        ("keeps-what-it-found", "fails here: ValueError: it measures nothing"),
    ],
)
def test_a_workload_that_fails_on_the_way_leaves_the_others_measured(
    bench: Run, tmp_path: Path, workload: str, message: str
) -> None:
    said = tmp_path / "speed.json"
    done = bench("-w", f"{workload},elsewhere", "--rounds", "2", "--json", str(said))
    assert message in error_of(done)
    failed, other = sorted(
        json.loads(said.read_text())["workloads"], key=lambda each: each["name"] == "elsewhere"
    )
    assert failed["ours"] is None
    assert len(other["ours"]["rounds"]) == 2


def test_a_side_that_dies_is_started_anew_for_the_next_workload(bench: Run, repository: Path) -> None:
    (repository / "other.py").write_text(
        "import made_package, os\n"
        "def bench_dies_there():\n"
        "    made_package.added_later if hasattr(made_package, 'added_later') else os._exit(7)\n"
        "    return made_package.add_up\n"
        "def bench_lives():\n    return made_package.add_up\n"
    )
    done = bench("--against", "v1", "--rounds", "2", suite="other.py")
    assert done.returncode == 0, done.stderr
    dies, lives = [line for line in done.stdout.splitlines() if line.startswith(("dies", "lives"))]
    assert "fails on the other commit: the process ended with 7" in dies
    assert "2 rounds are too few" in lives


def test_looking_for_changes_leaves_the_index_as_it_is(repository: Path) -> None:
    index = repository / ".git" / "index"
    os.utime(repository / "speed.py", (1, 1))  # what makes git write a newer index
    before = index.read_bytes()
    assert not is_dirty(repository)
    assert index.read_bytes() == before


@pytest.mark.slow
def test_changes_that_are_not_committed_are_what_is_measured(bench: Run, repository: Path) -> None:
    (repository / "made_package" / "__init__.py").write_text(PACKAGE.format(n=200_000))
    done = bench("--against", "HEAD", "-w", "add-up")
    assert "the working tree, with changes that are not committed" in done.stderr
    assert "slower by" in done.stdout


@pytest.mark.slow
def test_what_the_other_commit_lacks_is_said_and_the_others_go_on(bench: Run) -> None:
    done = bench("--against", "v1", "-w", "only-here,add-up", "--rounds", "8")
    assert done.returncode == 0, done.stderr
    assert "fails on the other commit: ImportError: cannot import name 'added_later'" in done.stdout
    assert "add-up" in done.stdout


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ("always-broken", "fails here: RuntimeError: no luck"),
        ("nothing", "it measures nothing: its function returned nothing and moved no counter"),
        ("too-quick", "it measures nothing: a call takes"),
        ("not-a-function", "returned 7, expected the function to be timed"),
    ],
)
def test_a_workload_that_measures_nothing_fails(bench: Run, workload: str, message: str) -> None:
    done = bench("-w", workload, "--rounds", "2")
    assert done.returncode == 1
    assert message in error_of(done)


def test_a_workload_that_imports_nothing_of_the_repository_compares_nothing(bench: Run) -> None:
    done = bench("--against", "v1", "-w", "elsewhere", "--rounds", "2")
    assert done.returncode == 1
    assert "it imports no module of that tree" in error_of(done)


def test_a_workload_that_finds_its_way_back_to_the_working_tree_compares_nothing(bench: Run) -> None:
    done = bench("--against", "v1", "-w", "always-ours", "--rounds", "2")
    assert done.returncode == 1
    assert "fails on the other commit: it measures nothing of v1" in done.stdout
    assert "is the working tree's" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--against", "trnk"], 2, "unknown commit, branch or tag 'trnk'; you probably meant 'trunk'"),
        (["--against", "--help-me"], 2, "unknown commit"),
        (["--rounds", "0"], 2, "--rounds 0: expected at least 1"),
        (["-w", "ad-up"], 2, "unknown workload 'ad-up'; you probably meant 'add-up'"),
        (["--fail-above", "1.1"], 2, "--fail-above needs --against"),
        (["--against", "v1", "--fail-above", "0.9"], 2, "expected a ratio above 1"),
        (
            ["--against", "v1", "--fail-above", "1.1", "--rounds", "5"],
            2,
            "--fail-above needs at least 6 --rounds for an interval",
        ),
        (["--json", "/no/such/folder/x.json", "-w", "add-up", "--rounds", "1"], 1, "cannot write"),
    ],
)
def test_bad_arguments_are_one_line(bench: Run, arguments: list[str], code: int, message: str) -> None:
    done = bench(*arguments)
    assert (done.returncode, message in error_of(done)) == (code, True), done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "has no workload: write functions whose names begin with 'bench_'"),
        ("raise ValueError('two\\nlines')", "cannot be loaded with this folder: ValueError: two lines"),
        ("def (", "cannot be loaded with this folder: SyntaxError"),
        ("import os; os._exit(3)", "the process ended with 3"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        (None, "there is no suite at"),
    ],
)
def test_a_suite_that_cannot_be_run_is_one_line(
    bench: Run, repository: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (repository / "other.py").write_text(text)
    done = bench(suite="other.py")
    assert (done.returncode, message in error_of(done)) == (2, True), done.stderr


def test_a_suite_that_only_the_other_commit_cannot_import_is_one_line(bench: Run, repository: Path) -> None:
    (repository / "other.py").write_text(
        "from made_package import added_later\ndef bench_x(): return added_later"
    )
    done = bench("--against", "v1", suite="other.py")
    assert "cannot be loaded with v1" in error_of(done)


def test_outside_of_a_repository_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    (tmp_path / "speed.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "bench", "--suite", "speed.py", "--against", "HEAD"],
        cwd=tmp_path,
        env=environment(GIT_CEILING_DIRECTORIES=str(tmp_path.parent)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "is in no Git repository" in error_of(done)


def test_workloads_are_listed_with_what_they_are_about(bench: Run) -> None:
    done = bench("--list")
    assert done.stdout.splitlines()[0] == "add-up: Numbers are added up."


def test_what_a_workload_prints_does_not_disturb(bench: Run, repository: Path) -> None:
    (repository / "other.py").write_text(
        "import os\ndef bench_loud():\n"
        "    def loud():\n        print('loud')\n        os.write(1, b'louder')\n        return sum(range(9999))\n"
        "    return loud\n"
    )
    done = bench("--rounds", "2", suite="other.py")
    assert done.returncode == 0, done.stderr
    assert "loud\n" not in done.stdout


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(repository: Path, tmp_path: Path) -> None:
    (repository / "other.py").write_text(
        "import made_package, pathlib, time\ndef bench_slow():\n"
        f"    pathlib.Path({str(tmp_path / 'begun')!r}).touch()\n    time.sleep(60)\n"
    )
    home = tmp_path / "temporary"
    home.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "bench", "--suite", "other.py", "--against", "v1"],
        cwd=repository,
        env=environment(TMPDIR=str(home)),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "error: interrupted; nothing is left of the other commit"
    assert list(home.iterdir()) == []
    assert git(repository, "worktree", "list").count("\n") == 1


def race(sessions: list[list[float]]) -> Race:
    timing = Timing([0.01] * len(sessions), 100, {"grams": 2})
    return Race("made", "", timing, Timing([0.01], 100, {"grams": 1}), sessions=sessions)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.15] * 6, "slower by 15%"),
        ([0.8] * 6, "faster by 20%"),
        ([0.99, 1.01] * 3, "unchanged"),
        ([0.7, 1.3] * 6, "not settled; more --rounds would say more"),
        ([1.15] * 5, "not settled: 5 rounds are too few for an interval, it takes 6"),
    ],
)
def test_the_verdict_is_in_words(ratios: list[float], verdict: str) -> None:
    assert race([[ratio] * 3 for ratio in ratios]).verdict == verdict


def test_rounds_of_one_pair_of_processes_count_once() -> None:
    assert race([[1.15] * 100, [1.0] * 100]).bounds == (-math.inf, 1.075, math.inf)
    assert race([[1.0, 1.1, 9.0]] * 6).bounds == (1.1, 1.1, 1.1)


def test_counters_that_differ_are_shown_side_by_side() -> None:
    assert "grams 2 (before: 1)" in as_table([race([[1.0]] * 6)], paired=True)
