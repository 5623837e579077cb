"""A training that was interrupted ends as one that was not."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from test_training import CPU, bright_and_dark, settings, with_batch_norm

import baselines.unfinished as unfinished
from baselines.arithmetic import seeded
from baselines.training import train
from harness.counters import since, snapshot
from harness.errors import ModelError
from harness.types import Session


@pytest.fixture(autouse=True)
def _keep_always(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(unfinished, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(unfinished, "KEEP_SHARE", 0)


class Interrupted(Exception):
    pass


def run(folder=None, *, interrupted_after=None, **changes):
    """Return (state of the network, how the training went), with an interruption after so many looks."""
    looks = []

    def report(done, score):
        looks.append((done, score))
        if len(looks) == interrupted_after:
            raise Interrupted

    values = {"augmentation": 1.0, "weight_decay": 0.1, "average": 0.9, **changes}
    with seeded(3, CPU):
        network = with_batch_norm()  # with dropout, whose draws must go on where they were
        course = train(
            network,
            bright_and_dark(),
            bright_and_dark(seed=1),
            settings(**values),
            n_classes=2,
            seed=3,
            session=Session(report=report, folder=folder),
        )
    return network.state_dict(), course


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("interrupted_after", [1, 2, 3])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path, interrupted_after, average
):
    whole, _ = run(average=average)
    with pytest.raises(Interrupted):
        run(tmp_path, interrupted_after=interrupted_after, average=average)
    before = snapshot()
    resumed, course = run(tmp_path, average=average)
    assert since(before)["steps"] == 8 - 2 * interrupted_after
    assert course.resumed_from == 2 * interrupted_after
    assert_same(whole, resumed)


def test_two_interruptions_are_as_good_as_none(tmp_path):
    whole, undisturbed = run()
    for _ in range(2):
        with pytest.raises(Interrupted):
            run(tmp_path, interrupted_after=1)
    resumed, course = run(tmp_path)
    assert course.looks == undisturbed.looks
    assert_same(whole, resumed)


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 0.02}, {"augmentation": 0.5}, {"looks": 2}, {"images_seen": 72}]
)
def test_what_another_training_left_is_not_taken_up(tmp_path, changes):
    with pytest.raises(Interrupted):
        run(tmp_path, interrupted_after=1)
    whole, _ = run(**changes)
    found, course = run(tmp_path, **changes)
    assert course.resumed_from == 0
    assert_same(whole, found)


@pytest.mark.parametrize("damage", [b"", b"not a file of tensors", None])
def test_a_damaged_state_is_told_and_the_training_starts_anew(tmp_path, damage):
    with pytest.raises(Interrupted):
        run(tmp_path, interrupted_after=2)
    file = tmp_path / "training.pt"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if damage is None else damage)
    whole, _ = run()
    found, course = run(tmp_path)
    assert [note.partition(" (")[0] for note in course.notes] == ["a kept state could not be read"]
    assert_same(whole, found)


def test_nothing_in_a_state_is_executed(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"identity": "x", "state": Payload()}, tmp_path / "training.pt")
    _, course = run(tmp_path)
    assert course.notes
    assert not (tmp_path / "executed").exists()


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        ModelError, match=r"state of the training cannot be written to .*training\.pt.*No space left"
    ):
        run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_states_are_kept_no_more_often_than_every_few_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "KEEP_SECONDS", 1000.0)
    run(tmp_path)
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
import torch
from harness.images import Images, MemoryStore
from harness.testing import toy_images
from harness.types import Session
import baselines.unfinished as unfinished
from baselines.networks import TorchvisionNetwork

torch.set_num_threads(1)
unfinished.KEEP_SECONDS = unfinished.KEEP_SHARE = 0
out, folder, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def report(done, score):
    print("look", done, flush=True)
    time.sleep(pause)

def part(per_class, seed):
    labels = np.tile([0, 1], per_class)
    return Images(MemoryStore(toy_images(labels.tolist(), seed))), labels

model = TorchvisionNetwork(n_classes=2, weights="none", size_px=64, images_seen=64, batch_size=8, looks=8)
model.session = Session(report=report, folder=folder)
model.fit(*part(4, 0), validation=part(2, 1))
model.save(out)
print("resumed from", model.training_["resumed_from"])
"""


@pytest.mark.slow
def test_a_network_whose_process_is_killed_ends_with_the_same_weights(tmp_path):
    from safetensors.numpy import load_file

    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(name, pause):
        arguments = [sys.executable, str(script), str(tmp_path / name), str(tmp_path / "state"), str(pause)]
        return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)

    killed = start("killed.safetensors", pause=0.5)
    for _ in range(3):
        assert killed.stdout.readline().startswith("look")
    time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed.safetensors").exists()

    said, _ = start("resumed.safetensors", pause=0).communicate()
    assert "resumed from 3" in said
    (tmp_path / "state" / "training.pt").unlink()
    said, _ = start("whole.safetensors", pause=0).communicate()
    assert "resumed from 0" in said
    resumed, whole = (load_file(tmp_path / f"{name}.safetensors") for name in ("resumed", "whole"))
    assert resumed.keys() == whole.keys()
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole)
