from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toys import install_plugin, make_dataset
from waiting import interruptible, until

from harness.counters import since, snapshot

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return install_plugin(tmp_path / "site")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "toy-ct")


@pytest.fixture
def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def command(card: Path, out: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness", "run", "-d", str(card), "-o", str(out), *arguments]


@pytest.fixture
def harness(card: Path, tmp_path: Path, environment: dict[str, str]) -> Run:
    """Run the real command on the toy dataset in a process of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(card, tmp_path / "out", *arguments),
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def manifests(out: Path) -> dict[str, dict]:
    found = [json.loads(p.read_text()) for p in (out / "runs").glob("[!.]*/manifest.json")]
    return {m["model"]["label"]: m for m in found}


def leftovers(out: Path) -> list[str]:
    return [p.name for p in (out / "runs").iterdir() if p.name.startswith((".tmp", ".old"))]


def test_a_failing_model_is_a_row_and_the_others_go_on(harness: Run, tmp_path: Path) -> None:
    done = harness("-m", "toy-crash,toy-nan,toy-shape,toy-broken,toy-bright", "--trials", "0")
    assert done.returncode == 1
    found = manifests(tmp_path / "out")
    assert {name: m["status"] for name, m in found.items()} == {
        "toy-crash": "failed",
        "toy-nan": "failed",
        "toy-shape": "failed",
        "toy-broken": "failed",
        "toy-bright": "complete",
    }
    assert "the card caught fire" in found["toy-crash"]["error"]["message"]
    assert "toy_models.py" in found["toy-crash"]["error"]["traceback"]
    assert "a_package_nobody_has" in found["toy-broken"]["error"]["message"]
    assert found["toy-nan"]["error"]["type"] == "PredictionError"
    assert "the card caught fire" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_failed_cell_is_tried_again_and_a_finished_one_is_not(harness: Run, tmp_path: Path) -> None:
    harness("-m", "toy-crash,toy-bright", "--trials", "0")
    before = manifests(tmp_path / "out")
    again = harness("-m", "toy-crash,toy-bright", "--trials", "0")
    after = manifests(tmp_path / "out")
    assert again.returncode == 1
    assert "1 already done" in again.stderr
    assert after["toy-bright"] == before["toy-bright"]
    assert after["toy-crash"]["started"] > before["toy-crash"]["started"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-m", "toy-brihgt"], 2, "unknown model 'toy-brihgt'; you probably meant 'toy-bright'"),
        (["-m", "toy-bright", "-p", "oficial"], 2, "you probably meant 'official'"),
        (["-m", "toy-bright", "--recipe", "huge"], 2, "unknown recipe 'huge'"),
        (["-m", "toy-bright", "--seeds", "x"], 2, "--seeds 'x'"),
        (["-m", "toy-bright", "--trials", "-1"], 2, "--trials must be 0 or more"),
        (["-m", "toy-bright", "--device", "tpu"], 2, "tpu"),
        (["-m", "toy-bright", "--workers", "0"], 2, "--workers"),
        (["-m", "toy-bright", "-d", "no-such-set"], 2, "no-such-set"),
    ],
)
def test_bad_arguments_are_one_line(
    harness: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = harness(*arguments)
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--param", "toy-bright.slop=3"],
            "unknown parameter of 'toy-bright' 'slop'; you probably meant 'slope'",
        ),
        (["--param", "toy-bright.slope=steep"], "expected a number as 0.2 is, got 'steep'"),
        (["--param", "toy-bright.slope=true"], "expected a number as 0.2 is, got True"),
        (["--param", "toy-bright.slope=NaN"], "expected a finite number or a text, got nan"),
        (["--param", "toy-bright.slope=1e999"], "expected a finite number or a text, got inf"),
        (["--param", "toy-bright.slope=[1]"], "expected a finite number or a text, got [1]"),
        (
            ["--param", "toy-brigth.slope=3"],
            "unknown model in --param 'toy-brigth'; you probably meant 'toy-bright'",
        ),
        (["--param", "svm.C=3"], "unknown model in --param 'svm'; known: toy-bright"),
        (["--data-root", "absent"], "--data-root 'absent' is no folder"),
    ],
)
def test_a_slip_of_the_pen_stops_the_run_before_anything_is_run(
    harness: Run, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    done = harness("-m", "toy-bright", "--trials", "0", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_row_with_parameters_of_its_own_stands_beside_the_one_without(harness: Run, tmp_path: Path) -> None:
    harness("-m", "toy-bright")
    done = harness("-m", "toy-bright", "--param", "toy-bright.slope=0.9")
    assert "toy-bright (slope=0.9)" in done.stdout
    assert "| toy-bright  " in done.stdout


def test_a_row_with_another_number_of_trials_stands_beside_the_one_without(harness: Run) -> None:
    harness("-m", "toy-bright")
    harness("-m", "toy-bright", "--trials", "0")
    done = harness("-m", "toy-bright", "--trials", "2")
    for row in ("| toy-bright  ", "toy-bright (untuned)", "toy-bright (2 trials)"):
        assert row in done.stdout


def test_a_model_that_ends_the_program_costs_only_its_row(harness: Run, tmp_path: Path) -> None:
    done = harness("-m", "toy-exit,toy-bright", "--trials", "0", "--workers", "1")
    assert done.returncode == 1
    assert "SystemExit: bye (toy_models.py, line" in done.stderr
    assert manifests(tmp_path / "out")["toy-bright"]["status"] == "complete"


def test_without_a_split_of_its_authors_a_dataset_runs_by_patient(
    harness: Run, card: Path, tmp_path: Path
) -> None:
    lines = (card.parent / "files.csv").read_text().splitlines()
    (card.parent / "files.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    done = harness("-m", "toy-bright", "--trials", "0")
    assert "its authors give no split, so it runs under 'group-kfold'" in done.stderr
    assert (tmp_path / "out/toy-ct/group-kfold.md").is_file()


def test_a_split_that_leaks_is_called_so_on_the_board(harness: Run, card: Path, tmp_path: Path) -> None:
    lines = (card.parent / "files.csv").read_text()
    (card.parent / "files.csv").write_text(lines.replace("4-0.png,dark,p4,test", "4-0.png,dark,p0,test"))
    (card.parent / "9-0.png").write_bytes((card.parent / "1-0.png").read_bytes())
    done = harness("-m", "toy-bright", "--trials", "0")
    assert "This split leaks: 1 of the 5 patients that are tested are trained on too" in done.stdout
    assert "test images that are identical to images trained on" in " ".join(done.stdout.split())
    shared = manifests(tmp_path / "out")["toy-bright"]["dataset"]["on_two_sides"]
    assert shared == {"groups": 1, "tested_groups": 5, "identical": [["9-0.png", "1-0.png"]]}


def test_a_failure_is_forgotten_when_its_cause_is_gone(harness: Run, tmp_path: Path) -> None:
    harness("-m", "toy-bright", "--trials", "0", "--param", "toy-bright.slop=3")
    done = harness("-m", "toy-bright", "--trials", "0")
    assert done.returncode == 0
    assert "'slop'" not in done.stdout
    assert [m["status"] for m in manifests(tmp_path / "out").values()] == ["complete"]


def test_a_folder_that_cannot_be_written_is_one_line(harness: Run, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    done = harness("-m", "toy-bright", "--trials", "0")
    assert done.returncode == 1
    assert "error: cannot write to" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_finished_run_repeated_does_nothing(harness: Run, tmp_path: Path) -> None:
    first = harness("-m", "toy-bright", "--trials", "3")
    assert first.returncode == 0, first.stderr
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file()}
    again = harness("-m", "toy-bright", "--trials", "3")
    assert again.returncode == 0
    assert "1 cells, 1 already done" in again.stderr
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file()} == stamps
    assert again.stdout == first.stdout


def test_the_record_says_what_was_tuned_and_on_what(harness: Run, tmp_path: Path) -> None:
    harness("-m", "toy-bright", "--trials", "4")
    manifest = manifests(tmp_path / "out")["toy-bright"]
    assert manifest["tuning"]["trials"] == len(manifest["tuning"]["history"]) == 4
    assert manifest["tuning"]["history"][0]["parameters"] == {}
    assert manifest["model"]["parameters"]["slope"] > 0
    assert manifest["dataset"]["n"] == {"train": 42, "val": 6, "test": 12}
    assert manifest["predictions"]["rows"] == 12
    assert manifest["device"]["kind"] == "cpu"


def test_a_killed_run_is_continued_by_the_same_command(
    card: Path, tmp_path: Path, environment: dict[str, str], harness: Run
) -> None:
    arguments = ["-m", "toy-bright,toy-slow", "--trials", "0"]
    process = subprocess.Popen(
        command(card, tmp_path / "out", *arguments),
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    assert until(lambda: len(list((tmp_path / "out" / "runs").glob("[!.]*/manifest.json"))) == 1)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert set(manifests(tmp_path / "out")) == {"toy-bright"}
    done = harness(*arguments)
    assert done.returncode == 0, done.stderr
    assert "2 cells, 1 already done" in done.stderr
    assert set(manifests(tmp_path / "out")) == {"toy-bright", "toy-slow"}
    assert leftovers(tmp_path / "out") == []


def test_an_interrupted_run_says_how_to_go_on(
    card: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    process = subprocess.Popen(
        command(card, tmp_path / "out", "-m", "toy-slow", "--trials", "0", "--param", "toy-slow.pause=60"),
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=interruptible,
    )
    assert until(lambda: list((tmp_path / "out" / "runs" / ".locks").glob("*")))
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    assert leftovers(tmp_path / "out") == []


def test_two_runs_at_once_share_the_work(card: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    log = tmp_path / "fits.log"
    arguments = ["-m", "toy-slow,toy-bright", "--trials", "0", "-p", "random", "--seeds", "2"]
    both = [
        subprocess.Popen(
            [*command(card, tmp_path / "out", *arguments), "--param", "toy-slow.pause=1.5"],
            env={**environment, "TOY_LOG": str(log)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    lines = log.read_text().splitlines()
    assert len(lines) == 4, "each of the four cells is fitted once"


def test_cells_run_in_several_processes_too(harness: Run, tmp_path: Path) -> None:
    done = harness("-m", "toy-bright", "--trials", "0", "-p", "random", "--seeds", "3", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "runs").glob("[!.]*/manifest.json"))) == 3


def test_a_worker_that_is_killed_costs_only_its_cell(harness: Run, tmp_path: Path) -> None:
    done = harness("-m", "toy-dying,toy-bright", "--trials", "0", "--workers", "2")
    assert done.returncode == 1
    assert "its process was killed" in done.stderr
    assert manifests(tmp_path / "out")["toy-bright"]["status"] == "complete"


def test_workers_report_what_they_do(harness: Run) -> None:
    done = harness("-m", "toy-bright", "--trials", "0", "-p", "random", "--seeds", "2", "--workers", "2")
    assert "toy-ct random toy-bright (untuned) seed 0: opening" in done.stderr
    assert "toy-ct random toy-bright (untuned) seed 1: opening" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_run(
    card: Path, tmp_path: Path, environment: dict[str, str], how: signal.Signals
) -> None:
    log = tmp_path / "log"
    slow = ["-m", "toy-slow", "--trials", "0", "-p", "random", "--seeds", "2", "--workers", "2"]
    process = subprocess.Popen(
        command(card, tmp_path / "out", *slow, "--param", "toy-slow.pause=60"),
        env={**environment, "TOY_LOG_EARLY": str(log)},
        stderr=subprocess.DEVNULL,
        preexec_fn=interruptible,
    )
    assert until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    process.send_signal(how)
    assert process.wait(10) != 0
    for pid in map(int, log.read_text().split()):
        assert until(lambda pid=pid: not is_running(pid), 10)


def is_running(pid: int) -> bool:
    """A process that ended but wasn't waited for (state Z) runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_dry_run_writes_nothing(harness: Run, tmp_path: Path) -> None:
    done = harness("-m", "toy-bright", "--dry-run")
    assert done.returncode == 0
    assert "plan: 1 cells" in done.stderr
    assert not (tmp_path / "out").exists()


def test_group_kfold_runs_every_fold(harness: Run, tmp_path: Path) -> None:
    done = harness("-m", "toy-bright", "--trials", "0", "-p", "group-kfold")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "runs").glob("[!.]*/manifest.json"))) == 5


def test_a_repeated_run_decodes_nothing(card: Path) -> None:
    from harness.data.dataset import open_dataset

    first = open_dataset(str(card))
    first.pixels().image(0)
    before = snapshot()
    again = open_dataset(str(card))
    again.pixels().image(0)
    assert since(before)["decodes"] == 0
    assert again.content == first.content
