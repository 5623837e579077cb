"""Networks made cheaper for small images compute what they computed before."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from baselines.folding import fold_repeats, unfolded
from harness.backbones import build

SMALL = {"vgg11": 32, "alexnet": 64}


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("name", "size_px"), SMALL.items())
def test_of_images_with_more_than_one_pixel_of_features_nothing_is_folded(name: str, size_px: int) -> None:
    network = getattr(models, name)(num_classes=3)
    before = parameters(network)
    assert not fold_repeats(network, 4 * size_px)
    assert parameters(network) == before


@pytest.mark.parametrize(("name", "size_px"), SMALL.items())
def test_a_folded_network_computes_the_same_with_far_fewer_weights(name: str, size_px: int) -> None:
    torch.manual_seed(0)
    network = getattr(models, name)(num_classes=3).eval()
    images = torch.rand(4, 3, size_px, size_px)
    with torch.no_grad():
        expected = network(images)
        before = parameters(network)
        assert fold_repeats(network, size_px)
        torch.testing.assert_close(network.eval()(images), expected, rtol=1e-4, atol=1e-6)
    assert parameters(network) < 0.4 * before


def test_a_folded_network_is_not_folded_again() -> None:
    network = models.alexnet(num_classes=2)
    assert [fold_repeats(network, 64), fold_repeats(network, 64)] == [True, False]


# two whole VGGs are half a gigabyte of random numbers
@pytest.mark.parametrize(
    ("name", "size_px"), [pytest.param("vgg11", 32, marks=pytest.mark.slow), ("alexnet", 64)]
)
def test_unfolded_weights_fit_the_network_as_it_is_built_and_compute_the_same(name, size_px):
    torch.manual_seed(0)
    network = build(name, n_classes=2, pretrained=False).eval()
    assert fold_repeats(network, size_px)
    images = torch.rand(2, 3, size_px, size_px)
    whole = build(name, n_classes=2, pretrained=False).eval()
    whole.load_state_dict(unfolded(network))
    with torch.inference_mode():
        torch.testing.assert_close(whole(images), network.eval()(images), rtol=1e-4, atol=1e-5)


def test_nothing_is_unfolded_where_nothing_was_folded():
    network = build("squeezenet1_1", n_classes=2, pretrained=False)
    assert all(
        value is network.state_dict()[name] or torch.equal(value, network.state_dict()[name])
        for name, value in unfolded(network).items()
    )
