"""The first layer that guards speed: exact counts of work over whole runs, across processes. No clock."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
import toys
from torchvision import models

from harness.bench import default_suite
from harness.counters import COUNTED, since, snapshot
from harness.executors import executor_of
from harness.planning import Request, make_plan
from harness.records import read_records
from harness.runs import carry_out
from harness.weights import checkpoints_folder

BACKBONE = "squeezenet1_1"
HEADS = ("svm", "xdnn", "decision-tree")
IMAGES = {"ct-phantom": 384, "covid-ct": 746, "sars-cov-2-ct": 2481}


@pytest.fixture
def weights() -> None:
    """SqueezeNet's weights, drawn at random, where torch looks for them."""
    path = checkpoints_folder() / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(weights=None).state_dict(), path)


def work_of(request: Request, workers: int) -> Counter[str]:
    """Run what is not there yet; return what this process and, by their records, its workers counted."""
    before = snapshot()
    pending = make_plan(request).pending
    outcomes = list(carry_out(pending, executor_of(workers), lambda *_: None))
    assert [outcome.message for outcome in outcomes if outcome.status != "done"] == []
    work = since(before)
    if workers > 1:
        keys = {cell.key for cell in pending}
        for record in read_records(request.runs):
            if record.key in keys:
                work.update(record.manifest["work"])
    return Counter({what: work[what] for what in COUNTED if work[what]})


def heads(dataset: str, out: Path, seeds: int, trials: int, recipe: str) -> Request:
    return Request(
        datasets=(dataset,),
        models=HEADS,
        out=out,
        protocols=("official",),
        seeds=tuple(range(seeds)),
        recipe=recipe,
        trials=trials,
        backbone=BACKBONE,
        device="cpu",
    )


def once(images: int, size_px: int) -> dict[str, int]:
    """What a dataset costs the heads, whatever the numbers of seeds, trials and models."""
    return {
        "decodes": images,
        "resizes": images,
        "forwards": images,
        "grams": 1,
        "device_bytes": images * size_px**2,
    }


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_heads_decode_embed_and_multiply_each_image_once(tmp_path: Path, weights: None, workers: int) -> None:
    first = work_of(heads("ct-phantom", tmp_path, seeds=2, trials=2, recipe="smoke"), workers)
    assert first == once(IMAGES["ct-phantom"], 96)
    again = work_of(heads("ct-phantom", tmp_path, seeds=2, trials=2, recipe="smoke"), workers)
    assert again == {}
    more = work_of(heads("ct-phantom", tmp_path, seeds=4, trials=3, recipe="smoke"), workers)
    assert more == {}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("dataset", ["covid-ct", "sars-cov-2-ct"])
def test_real_images_are_decoded_and_embedded_once(tmp_path: Path, dataset: str) -> None:
    first = work_of(heads(dataset, tmp_path, seeds=3, trials=2, recipe="quick"), workers=2)
    assert first == once(IMAGES[dataset], 224)
    assert work_of(heads(dataset, tmp_path, seeds=5, trials=2, recipe="quick"), workers=2) == {}


@pytest.mark.parametrize("name", ["bench_xdnn_fit", "bench_svm_fit"])
def test_each_timed_fit_of_the_default_suite_multiplies_its_features(name: str) -> None:
    fit, _ = getattr(default_suite, name)()
    before = snapshot()
    fit()
    fit()
    assert since(before) == {"grams": 2}


def network(card: Path, out: Path, seeds: int) -> Request:
    return Request(
        datasets=(str(card),),
        models=("resnet:18",),
        out=out,
        protocols=("official",),
        seeds=tuple(range(seeds)),
        recipe="smoke",
        trials=0,
        device="cpu",
        parameters={
            "resnet:18": {"images_seen": 48, "batch_size": 16, "size_px": 32, "looks": 1, "weights": "none"}
        },
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_network_takes_the_steps_of_its_recipe_and_no_more(tmp_path: Path, workers: int) -> None:
    card = toys.make_dataset(tmp_path / "toy", patients=10, slices=2)
    work = work_of(network(card, tmp_path / "out", seeds=2), workers)
    assert (work["steps"], work["decodes"], work["resizes"]) == (2 * 3, 20, 20)
    assert (work["forwards"], work["grams"]) == (0, 0)
    assert work_of(network(card, tmp_path / "out", seeds=2), workers) == {}


@pytest.mark.slow
def test_a_record_says_what_its_cell_counted(tmp_path: Path) -> None:
    card = toys.make_dataset(tmp_path / "toy", patients=10, slices=2)
    work_of(network(card, tmp_path / "out", seeds=1), workers=2)
    (record,) = read_records(tmp_path / "out" / "runs")
    assert record.manifest["work"]["steps"] == 3
