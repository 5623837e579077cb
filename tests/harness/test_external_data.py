"""On real images: both ways between COVID-CT and SARS-CoV-2 CT, and what the committed page says of them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.data.dataset import open_dataset
from harness.data.joined import join
from harness.protocols import splits_of
from harness.runs import on_two_sides

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"


@pytest.mark.data
def test_both_ways_have_the_official_parts_and_share_no_image() -> None:
    datasets = {name: open_dataset(name) for name in ("covid-ct", "sars-cov-2-ct")}
    sizes = {}
    for home, away in (("covid-ct", "sars-cov-2-ct"), ("sars-cov-2-ct", "covid-ct")):
        joined = join(datasets[home], datasets[away])
        (split,) = splits_of(joined, f"external:{away}")
        (at_home,), (there,) = (splits_of(datasets[name], "official") for name in (home, away))
        assert tuple(joined.home_id(i) for i in split.train) == at_home.train
        assert tuple(joined.home_id(i) for i in split.val) == at_home.val
        assert split.test == there.test
        assert on_two_sides(joined, split)["identical"] == []
        sizes[home] = (len(split.train), len(split.val), len(split.test))
    assert sizes == {"covid-ct": (425, 118, 496), "sars-cov-2-ct": (1688, 297, 203)}


def test_the_committed_page_has_all_four_squares_of_each_head() -> None:
    with (LEADERBOARDS / "external.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    pairs = {(line["trained_on"], line["tested_on"]) for line in lines}
    assert len(pairs) == 4
    for method in ("svm (squeezenet1_1)", "xdnn (squeezenet1_1)", "ada-boost (squeezenet1_1)"):
        rows = [line for line in lines if line["method"] == method]
        assert {(line["trained_on"], line["tested_on"]) for line in rows} == pairs
        away = [line for line in rows if line["trained_on"] != line["tested_on"]]
        assert all(float(line["f1_same_images_high"]) < 0 for line in away)
