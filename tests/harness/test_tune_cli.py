"""`harness tune` as a command: killed, shared, blind, taken up by `harness run`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image
from toys import install_plugin, make_dataset
from typer.testing import CliRunner
from waiting import until

from harness import tuning_files
from harness.cli import app
from harness.cli import tune as cli_tune
from harness.errors import RecordError
from harness.journals import Shelf
from harness.planning import Cell, Request
from harness.studies import MOST_DEATHS
from harness.tuning import Tuning
from harness.tuning_files import Found

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "toy-ct", shift=8)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    site = install_plugin(tmp_path / "site")
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def command(name: str, card: Path, out: Path, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "harness",
        name,
        "-d",
        str(card),
        "-o",
        str(out),
        "--device",
        "cpu",
        *arguments,
    ]


@pytest.fixture
def harness(card: Path, tmp_path: Path, environment: dict[str, str]) -> Run:
    """Run a real command on the toy dataset in a process of its own."""

    def run(name: str, *arguments: str, out: str = "out", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(name, card, tmp_path / out, *arguments),
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def journal(out: Path) -> list[dict[str, Any]]:
    (path,) = (out / "studies").glob("*.journal")
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def study(out: Path) -> dict[str, Any]:
    """What `harness tune` wrote, without times."""
    (path,) = (out / "studies").glob("*.json")
    found = json.loads(path.read_text())
    found["tuning"].pop("seconds")
    for trial in found["tuning"]["history"]:
        trial.pop("seconds")
    return found


def ended(out: Path) -> Counter[int]:
    """How often each trial was ended, by its number."""
    return Counter(op["trial_id"] for op in journal(out) if op["op_code"] == 6)


# What cannot work


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-m", "toy-bright", "--trials", "3", "--time-budget", "9s"], 2, "exclude each other"),
        (["-m", "toy-bright", "--time-budget", "soon"], 2, "expected a time above 0"),
        (["-m", "toy-bright", "--trials", "1"], 2, "nothing to tune with less than two trials"),
        (["-m", "toy-bright", "--trials", "0"], 2, "nothing to tune with less than two trials"),
        (["-m", "toy-bright", "--trials", "3", "--workers", "0"], 2, "--workers must be at least 1"),
        (["-m", "toy-bright", "--start", "lungs"], 2, "none of these models starts from a first stage"),
        (["-m", "toy-brigt", "--trials", "3"], 2, "you probably meant 'toy-bright'"),
        (["-m", "toy-bad-space", "--trials", "3"], 1, "its search_space raised KeyError: 'nobody knows'"),
        (
            ["-m", "toy-unknown-space", "--trials", "3"],
            1,
            "unknown parameter 'slop'; you probably meant 'slope'",
        ),
        (
            ["-m", "toy-crash", "--trials", "3"],
            1,
            "all 3 trials failed; the first: RuntimeError: the card caught",
        ),
        (["-m", "toy-broken", "--trials", "3"], 1, "cannot be imported"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(
    harness: Run, arguments: list[str], code: int, message: str
) -> None:
    done = harness("tune", *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(harness: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "studies").write_text("a file")
    for name in ("tune", "run"):
        done = harness(name, "-m", "toy-bright", "--trials", "3")
        assert done.returncode == 1
        assert "cannot write to" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_damaged_study_is_a_failed_cell_and_the_others_go_on(harness: Run, tmp_path: Path) -> None:
    harness("tune", "-m", "toy-bright", "--trials", "3")
    (path,) = (tmp_path / "out" / "studies").glob("*.journal")
    path.write_text("garbage\n")
    done = harness("run", "-m", "toy-bright,toy-slow", "--trials", "3", "--param", "toy-slow.pause=0")
    assert done.returncode == 1
    assert re.search(
        r"failed: toy-ct official toy-bright .*line 1 is no record; delete the file", done.stderr
    )
    assert "toy-slow (3 trials, pause=0)" in done.stdout


def test_a_model_without_choices_says_so(harness: Run, tmp_path: Path) -> None:
    done = harness("tune", "-m", "toy-empty-space", "--trials", "3")
    assert (done.returncode, "there is nothing to choose" in done.stderr) == (0, True)
    assert not list(tmp_path.glob("out/studies/*.journal"))


# What it shows and leaves


def test_what_is_worth_knowing_of_the_plan_is_said(harness: Run, card: Path) -> None:
    lines = (card.parent / "files.csv").read_text().splitlines()
    (card.parent / "files.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    asked = ["-m", "toy-empty-space", "--trials", "3"]
    assert "note: toy-ct: its authors give no split, so it runs under 'group-kfold'" in (
        harness("tune", *asked).stderr
    )
    done = harness("tune", *asked, "-p", "official,random")
    assert done.returncode == 0, done.stderr
    assert "left out: toy-ct, protocol 'official': skipped" in done.stderr


def test_the_first_stage_that_networks_start_from_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []
    monkeypatch.setattr(cli_tune, "_tune", lambda request, workers: asked.append(request) or 0)
    done = CliRunner().invoke(app, ["tune", "-d", "covid-ct", "-m", "resnet:18", "--start", "lungs"])
    assert done.exit_code == 0, done.output
    assert asked[0].start == "lungs"


def test_it_prints_the_trials_and_the_choice_and_draws_them(harness: Run, tmp_path: Path) -> None:
    done = harness("tune", "-m", "toy-bright", "--trials", "6")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^0 +default ", done.stdout, re.MULTILINE)
    assert re.search(r"^5 +0\.", done.stdout, re.MULTILINE)
    assert "chosen: " in done.stdout
    assert "5 folds of training and validation parts; 6 trials, " in done.stdout
    (picture,) = (tmp_path / "out" / "studies").glob("toy-ct-official-toy-bright-seed-0-*.png")
    with Image.open(picture) as image:
        assert min(image.size) > 500
    found = study(tmp_path / "out")
    assert [t["number"] for t in found["tuning"]["history"]] == list(range(6))
    assert (found["model"], found["seed"], found["dataset"]) == ("toy-bright", 0, "toy-ct")


def test_a_picture_that_cannot_be_finished_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def savefig(self, path: Path, **_: Any) -> None:
            path.write_text("hal")
            raise OSError(28, "No space left on device")

    shelf = Shelf(tmp_path, "0123456789")
    cell = SimpleNamespace(
        dataset_name="toy-ct", protocol="official", model="svm", label="svm", recipe="smoke",
        seed=0, study=shelf.key, shelf=shelf,
    )  # fmt: skip
    tuning = Tuning(1, 0, 0, 0, None, {}, {"trials": 1})
    earlier = tmp_path / "toy-ct-official-svm-seed-0-01234567.png"
    earlier.write_text("earlier")
    monkeypatch.setattr(tuning_files, "picture", lambda sketch: Full())
    with pytest.raises(RecordError, match="No space left on device"):
        tuning_files.write_study(cast(Cell, cell), Found(tuning, {}, {}, None))
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(earlier.name, "earlier")]


@pytest.mark.slow
def test_a_run_takes_up_what_was_tuned(harness: Run, tmp_path: Path) -> None:
    harness("tune", "-m", "toy-bright", "--trials", "4")
    log = tmp_path / "log"
    done = harness("run", "-m", "toy-bright", "--trials", "4", TOY_LOG=str(log))
    assert done.returncode == 0, done.stderr
    assert len(log.read_text().splitlines()) == 1  # the final fit
    (manifest,) = [json.loads(p.read_text()) for p in tmp_path.glob("out/runs/*/manifest.json")]
    assert manifest["tuning"]["parameters"] == study(tmp_path / "out")["tuning"]["parameters"]
    assert manifest["tuning"]["budget"] == {"trials": 4}


@pytest.mark.slow
def test_equal_time_is_on_the_row_in_the_record_and_on_the_board(harness: Run, tmp_path: Path) -> None:
    done = harness(
        "run", "-m", "toy-bright,toy-looks", "--time-budget", "5s", "--param", "toy-looks.pause=0.6"
    )
    assert done.returncode == 0, done.stderr
    assert "toy-bright (5 s of tuning)" in done.stdout
    assert re.search(r"\| \d+ in 5 s", done.stdout)
    for path in tmp_path.glob("out/runs/*/manifest.json"):
        tuning = json.loads(path.read_text())["tuning"]
        assert tuning["budget"] == {"seconds": 5.0}
        assert tuning["seconds"] >= 4.5
    assert not [*tmp_path.glob("out/*/.unfinished")]  # the trial that was cut short is not gone on with


# Killed and shared


LOOKS = ["-m", "toy-looks", "--param", "toy-looks.pause=0.1", "--trials", "6"]


@pytest.mark.slow
def test_a_study_that_was_killed_goes_on_and_ends_as_one_that_was_not(
    harness: Run, card: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert harness("tune", *LOOKS, out="whole").returncode == 0
    log = tmp_path / "log"
    environment |= {"TOY_LOOKS": str(log)}
    for looks in (6, 13):  # in the middle of the second trial, then of the fourth
        victim = subprocess.Popen(command("tune", card, tmp_path / "out", *LOOKS), env=environment)
        assert until(lambda: log.exists() and len(log.read_text().splitlines()) >= looks)  # noqa: B023
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
    done = harness("tune", *LOOKS)
    assert done.returncode == 0, done.stderr
    assert study(tmp_path / "out") == study(tmp_path / "whole")
    assert set(ended(tmp_path / "out").values()) == {1}
    looked = Counter(tuple(line.split()[:2]) for line in log.read_text().splitlines())
    assert max(looked.values()) <= 2  # a look that was being taken when the process died is taken once more
    assert sum(n - 1 for n in looked.values()) <= 2
    assert not list(tmp_path.glob("out/studies/.unfinished/*/*"))


@pytest.mark.slow
def test_two_commands_at_once_share_the_trials(
    harness: Run, card: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    log = tmp_path / "log"
    both = [
        subprocess.Popen(
            command("tune", card, tmp_path / "out", *LOOKS),
            env=environment | {"TOY_LOOKS": str(log), "TOY_MEET": "2"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    choices = [
        process.communicate(timeout=120)[0].splitlines()[-1].split("; 6 trials")[0] for process in both
    ]
    assert [process.returncode for process in both] == [0, 0]
    assert choices[0] == choices[1]
    assert ended(tmp_path / "out") == Counter(range(6))
    assert len({line.split()[2] for line in log.read_text().splitlines()}) == 2


@pytest.mark.slow
def test_several_workers_share_one_study(harness: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = harness("tune", *LOOKS, "--workers", "2", TOY_LOOKS=str(log), TOY_MEET="2")
    assert done.returncode == 0, done.stderr
    assert ended(tmp_path / "out") == Counter(range(6))
    assert len({line.split()[2] for line in log.read_text().splitlines()}) == 2


@pytest.mark.slow
def test_of_two_commands_one_may_be_killed_and_the_other_takes_its_trial_over(
    harness: Run, card: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    log = tmp_path / "log"
    slow = [*LOOKS[:2], "--param", "toy-looks.pause=0.4", "--trials", "3"]
    both = [
        subprocess.Popen(
            command("tune", card, tmp_path / "out", *slow),
            env=environment | {"TOY_LOOKS": str(log), "TOY_MEET": "2"},
        )
        for _ in range(2)
    ]
    assert until(
        lambda: log.exists() and len({line.split()[2] for line in log.read_text().splitlines()}) == 2
    )
    os.kill(both[0].pid, signal.SIGKILL)
    assert both[1].wait(timeout=120) == 0
    assert ended(tmp_path / "out") == Counter(range(3))


@pytest.mark.slow
def test_trials_that_kill_their_process_fail_in_the_end_and_the_rest_is_judged(
    harness: Run, tmp_path: Path
) -> None:
    for _ in range(4):
        done = harness("tune", "-m", "toy-dies-in-trials", "--trials", "2")
        if done.returncode == 0:
            break
    assert done.returncode == 0
    assert done.stdout.count("its process died 3 times at the same place") == 1
    assert "chosen: the defaults" in done.stdout


# Interrupted


def attributes(out: Path, name: str) -> list[Any]:
    """The values that trials were given for an attribute, in the order of the journal."""
    if not list(out.glob("studies/*.journal")):
        return []
    return [op["user_attr"][name] for op in journal(out) if name in op.get("user_attr", {})]


def lefts(out: Path) -> list[bool]:
    """Whether each trial that was begun was left to others at last, by number."""
    last: dict[int, bool] = {}
    for op in journal(out):
        if "left" in op.get("user_attr", {}):
            last[op["trial_id"]] = op["user_attr"]["left"]
    return [last[number] for number in sorted(last)]


def interrupted(arguments: list[str], log: Path, environment: dict[str, str], sent: signal.Signals) -> str:
    """Run a command that ends in its number of workers, stop it when all of them fit, return what it said."""
    fits = int(arguments[-1])
    earlier = len(log.read_text().splitlines()) if log.exists() else 0
    victim = subprocess.Popen(
        arguments,
        env=environment | {"TOY_LOG_EARLY": str(log)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert until(lambda: log.exists() and len(log.read_text().splitlines()) >= earlier + fits)
    if sent == signal.SIGINT:
        os.killpg(victim.pid, sent)  # as a terminal does
    else:
        victim.terminate()
    said = victim.communicate(timeout=60)[1]
    assert victim.returncode == 130
    return said


PAUSING = ["-m", "toy-looks", "--param", "toy-looks.pause=60", "--trials", "2"]


@pytest.mark.slow
def test_ctrl_c_is_no_death_however_often_it_comes(
    card: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    pausing = command("tune", card, tmp_path / "out", *PAUSING, "--workers", "2")
    for _ in range(MOST_DEATHS):
        interrupted(pausing, tmp_path / "log", environment, signal.SIGINT)
    assert ended(tmp_path / "out") == {}
    assert set(attributes(tmp_path / "out", "deaths")) == {0}
    assert lefts(tmp_path / "out") == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "workers"), [("tune", "1"), ("tune", "2"), ("run", "1")])
def test_sigterm_ends_a_command_as_ctrl_c_does(
    card: Path, tmp_path: Path, environment: dict[str, str], name: str, workers: str
) -> None:
    pausing = command(name, card, tmp_path / "out", *PAUSING, "--workers", workers)
    said = interrupted(pausing, tmp_path / "log", environment, signal.SIGTERM)
    assert "error: interrupted; finished cells are kept, the same command continues" in said
    assert "Traceback" not in said
    assert lefts(tmp_path / "out") == [True] * int(workers)


# Blind


def relabelled(card: Path, flip: Callable[[int], bool]) -> None:
    """Turn the labels of some test images, leaving everything else as it is."""
    path = card.parent / "files.csv"
    lines = path.read_text().splitlines()
    turned = []
    for number, line in enumerate(lines):
        if line.endswith(",test") and flip(number):
            old, new = ("bright", "dark") if ",bright," in line else ("dark", "bright")
            line = line.replace(f",{old},", f",{new},")
        turned.append(line)
    assert turned != lines
    path.write_text("\n".join(turned) + "\n")


VOLATILE = ("worker_id", "datetime_start", "datetime_complete")


def steady(operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A journal without clocks and names of processes."""
    kept = [op for op in operations if "seconds" not in op.get("user_attr", {})]
    return [{name: value for name, value in op.items() if name not in VOLATILE} for op in kept]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["toy-bright", "toy-looks", "svm"])
def test_noise_in_place_of_test_labels_changes_no_trial_and_no_choice(
    harness: Run, card: Path, tmp_path: Path, model: str
) -> None:
    small = ["-m", model, "--trials", "4", "--recipe", "smoke"] + (
        ["--backbone", "split-network"] if model == "svm" else []
    )
    assert harness("run", *small, out="true").returncode == 0
    relabelled(card, lambda number: number % 3 == 0)
    assert harness("run", *small, out="noise").returncode == 0
    of_true, of_noise = (
        next(iter([json.loads(p.read_text()) for p in (tmp_path / out).glob("runs/*/manifest.json")]))
        for out in ("true", "noise")
    )
    assert of_true["dataset"]["content"] != of_noise["dataset"]["content"]
    assert of_true["model"]["parameters"] == of_noise["model"]["parameters"]
    assert steady(journal(tmp_path / "true")) == steady(journal(tmp_path / "noise"))
    names = [[p.name for p in (tmp_path / out).glob("studies/*.journal")] for out in ("true", "noise")]
    assert names[0] == names[1]
