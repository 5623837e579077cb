from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import catalogue
from harness.catalogue import IMAGENET_MEAN, canonical, find_network
from harness.errors import HarnessError, UnknownName, UsageError
from harness.folders import cache_folder


def index() -> Path:
    (path,) = cache_folder().glob("networks-*.json")
    return path


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("vgg16", "vgg16"),
        ("torchvision:vgg16", "vgg16"),
        ("timm:resnet18", "timm:resnet18"),
        ("timm:resnet18.a1_in1k", "timm:resnet18"),
        ("timm:resnet18.fb_swsl_ig1b_ft_in1k", "timm:resnet18.fb_swsl_ig1b_ft_in1k"),
    ],
)
def test_a_network_has_one_canonical_name(given: str, name: str) -> None:
    assert canonical(given) == name
    assert canonical(canonical(given)) == name


def test_weights_of_the_first_publication_come_first() -> None:
    urls = find_network("resnet50").urls
    assert [url.rpartition("/")[2] for url in urls] == ["resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"]


def test_weights_that_classify_nothing_or_need_another_size_are_left_out() -> None:
    names = [url.rpartition("/")[2] for name in ("vgg16", "vit_b_16") for url in find_network(name).urls]
    assert names == ["vgg16-397923af.pth", "vit_b_16-c867db91.pth", "vit_b_16_lc_swag-4e70ced5.pth"]


def test_weights_of_timm_are_looked_for_on_the_hub_first() -> None:
    urls = find_network("timm:resnet18").urls
    assert urls[0] == "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"


def test_sizes_and_statistics_are_those_of_the_makers() -> None:
    vit = find_network("timm:vit_tiny_patch16_224")
    assert (vit.minimum_px, vit.fixed, vit.mean) == (224, True, (0.5, 0.5, 0.5))
    vgg = find_network("vgg16")
    assert (vgg.minimum_px, vgg.fixed, vgg.mean) == (32, False, IMAGENET_MEAN)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnt50", "'resnet50'"),
        ("VGG16", "vgg16"),
        ("timm:rsnet50", "'timm:resnet50'"),
        ("convnextv2_tiny", "'timm:convnextv2_tiny'"),
        ("torchvision:alexnt", "'alexnet'"),
        ("../../etc/passwd", "'timm:convnext_tiny'"),
        ("", "'vgg16'"),
        ("timm:", ""),
        ("no\nline", ""),
    ],
)
def test_an_unknown_name_comes_with_close_ones_in_one_line(name: str, hint: str) -> None:
    with pytest.raises(UnknownName) as error:
        find_network(name)
    assert str(error.value).startswith(f"unknown network {name.removeprefix('torchvision:')!r}; ")
    assert hint in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fasterrcnn_resnet50_fpn", "a detection model"),
        ("deeplabv3_resnet50", "a segmentation model"),
        ("r3d_18", "a video model"),
    ],
)
def test_a_network_that_does_not_classify_images_is_named_as_what_it_is(name: str, kind: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' is {kind} of torchvision, not a plain image classifier"):
        find_network(name)


def test_a_name_is_known_without_torch_once_the_index_is_made() -> None:
    canonical("vgg16")
    code = """
import sys
from harness.catalogue import canonical
print(canonical("torchvision:resnet50"), *({"torch", "torchvision", "timm"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "resnet50"


def test_other_versions_of_the_libraries_get_an_index_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    canonical("vgg16")
    monkeypatch.setattr(catalogue, "versions", lambda: {"torch": "99"})
    canonical("vgg16")
    assert len(list(cache_folder().glob("networks-*.json"))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        '{"networks": []}',
        '{"networks": {"vgg16": {"surprise": 1}}, "aliases": {}, "others": {}}',
        '{"networks": {}, "aliases": 3, "others": {}}',
        "\x00\x00\x00",
    ],
)
def test_a_damaged_index_is_made_anew(damage: str) -> None:
    canonical("vgg16")
    path = index()
    sound = path.read_text()
    path.write_text(damage)
    catalogue._catalogue.cache_clear()
    assert canonical("vgg16") == "vgg16"
    assert json.loads(path.read_text()) == json.loads(sound)


def test_a_cache_that_cannot_be_written_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(HarnessError, match="cannot be written.*HARNESS_CACHE") as error:
        canonical("vgg16")
    assert "\n" not in str(error.value)
