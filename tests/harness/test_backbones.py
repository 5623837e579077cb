from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from crossings import Crossings
from torch import nn

from harness import backbones
from harness.backbones import Normaliser, build, canonical, embed, minimum_size
from harness.catalogue import IMAGENET_MEAN, IMAGENET_STD, find_network
from harness.counters import since, snapshot
from harness.errors import ModelError, UnknownName, WeightsUnavailable
from harness.weights import checkpoints_folder, find

SQUEEZENET = "squeezenet1_1"
TIMM = "timm:test_resnet"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def images(n: int = 5, size_px: int = 32, seed: int = 0) -> np.ndarray:
    """Noise of another brightness and contrast in each image, so that features differ: uint8 (N, S, S)."""
    random = np.random.default_rng(seed)
    level, contrast = random.uniform(30, 220, (n, 1, 1)), random.uniform(5, 80, (n, 1, 1))
    noise = level + contrast * random.normal(size=(n, size_px, size_px))
    return noise.clip(0, 255).astype(np.uint8)


def file_of(network: str) -> Path:
    path = checkpoints_folder() / Path(find_network(network).urls[0]).name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def trained(network: str, seed: int = 7, **options: Any) -> nn.Module:
    """A network of torchvision as its makers have it, whose batch norms have seen images.

    Without that, nothing of an image reaches the end of a deep random network.
    """
    torch.manual_seed(seed)
    model = torchvision.models.get_model(network, weights=None, **options).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    if norms:
        with torch.no_grad():
            model(plain(images(12, 64, seed=1)))
    return model.eval()


def publish(network: str, model: nn.Module | None = None) -> nn.Module:
    """Let `find` find weights of a torchvision network; return the network that has them."""
    model = model or trained(network)
    torch.save(model.state_dict(), file_of(network))
    return model


def plain(x_NSS: np.ndarray) -> torch.Tensor:
    """The images as torchvision's own transforms prepare them."""
    from torchvision.transforms import functional

    x = torch.from_numpy(x_NSS)[:, None].expand(-1, 3, -1, -1).float() / 255
    return functional.normalize(x, list(IMAGENET_MEAN), list(IMAGENET_STD))


def entering(model: nn.Module, layer: str, x: torch.Tensor) -> np.ndarray:
    """What enters the module `layer` of a model when it sees x: an independent way to features."""
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].clone())
    )
    with torch.inference_mode():
        model(x)
    handle.remove()
    return seen[0].flatten(1).numpy()


def test_images_are_normalised_as_torchvision_does_it() -> None:
    x = images(3, 8)
    assert torch.allclose(Normaliser.on("cpu")(torch.from_numpy(x)), plain(x), atol=1e-6)


def test_black_and_white_are_normalised_by_hand() -> None:
    x = Normaliser.on("cpu", mean=(0.5, 0.2, 0.0), std=(0.5, 0.4, 1.0))(
        torch.tensor([[[0, 255]]], dtype=torch.uint8)
    )
    assert x.shape == (1, 3, 1, 2)
    assert torch.allclose(x[0, :, 0], torch.tensor([[-1.0, 1.0], [-0.5, 2.0], [0.0, 1.0]]))


def test_images_that_were_changed_on_the_way_are_floats_and_normalised_too() -> None:
    x = torch.rand(2, 4, 4) * 255
    assert torch.allclose(
        Normaliser.on("cpu")(x)[:, 0] * IMAGENET_STD[0] + IMAGENET_MEAN[0], x / 255, atol=1e-6
    )


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Agreement to 1e-4 of how much a feature varies over the images, whatever its size."""
    spread = expected.std(axis=0).max()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4 * spread, spread


class TestFeatures:
    def test_of_squeezenet_are_the_averaged_channels_of_its_last_module(self) -> None:
        model = publish(SQUEEZENET)
        with torch.inference_mode():
            expected = model.features(plain(images())).mean((2, 3)).numpy()
        found = embed(SQUEEZENET, images())
        assert (found.shape, found.dtype) == ((5, 512), np.float32)
        assert_same(found, expected)

    def test_of_alexnet_are_the_4096_outputs_of_its_second_connected_layer_after_the_relu(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = trained("alexnet")
        monkeypatch.setattr(backbones, "_file_of", lambda network: Path("weights.pth"))
        monkeypatch.setattr(backbones, "_state", lambda file, network: model.state_dict())
        found = embed("alexnet", images(2, 64))
        assert found.shape == (2, 4096)
        assert found.min() == 0
        with torch.inference_mode():
            x = model.avgpool(model.features(plain(images(2, 64)))).flatten(1)
            expected = torch.relu(model.classifier[4](torch.relu(model.classifier[1](x))))
        assert_same(found, expected.numpy())

    def test_of_googlenet_come_from_images_on_its_own_scale_and_without_its_auxiliary_heads(self) -> None:
        model = trained("googlenet", init_weights=False, aux_logits=True, transform_input=True)
        publish("googlenet", model)
        found = embed("googlenet", images())
        assert found.shape == (5, 1024)
        assert_same(found, entering(model, "fc", plain(images())))

    def test_of_a_densenet_are_read_from_the_names_that_its_published_file_has(self) -> None:
        model = trained("densenet121")
        old = OrderedDict()
        for name, value in model.state_dict().items():
            parts = name.replace("norm1", "norm.1").replace("norm2", "norm.2")
            old[
                parts.replace("conv1", "conv.1").replace("conv2", "conv.2") if "denselayer" in name else name
            ] = value
        assert "features.denseblock1.denselayer1.norm.1.weight" in old
        torch.save(old, file_of("densenet121"))
        assert_same(embed("densenet121", images()), entering(model, "classifier", plain(images())))

    @pytest.mark.parametrize(
        ("network", "layer", "width"),
        [
            ("mobilenet_v3_small", "classifier.3", 1024),
            ("shufflenet_v2_x0_5", "fc", 1024),
            ("mnasnet0_5", "classifier.1", 1280),
        ],
    )
    def test_of_others_are_what_enters_their_last_layer(self, network: str, layer: str, width: int) -> None:
        model = publish(network)
        found = embed(network, images())
        assert found.shape == (5, width)
        assert_same(found, entering(model, layer, plain(images())))

    def test_are_the_same_each_time_and_leave_the_random_state_alone(self) -> None:
        publish(SQUEEZENET)
        torch.manual_seed(1)
        first = embed(SQUEEZENET, images())
        after_one = torch.rand(1)
        torch.manual_seed(1)
        assert torch.equal(after_one, torch.rand(1))
        torch.manual_seed(2)
        np.testing.assert_array_equal(first, embed(SQUEEZENET, images()))

    def test_do_not_depend_on_the_batch_or_on_other_images(self) -> None:
        publish(SQUEEZENET)
        whole = embed(SQUEEZENET, images(7))
        assert_same(embed(SQUEEZENET, images(7), batch_size=3), whole)
        assert_same(embed(SQUEEZENET, images(7)[4:6]), whole[4:6])

    def test_of_a_read_only_map_are_those_of_the_array(self, tmp_path: Path) -> None:
        publish(SQUEEZENET)
        np.save(tmp_path / "images.npy", images())
        mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
        np.testing.assert_array_equal(embed(SQUEEZENET, mapped), embed(SQUEEZENET, images()))

    def test_of_no_images_are_an_empty_array_of_the_right_width(self) -> None:
        publish(SQUEEZENET)
        assert embed(SQUEEZENET, images(0)).shape == (0, 512)

    def test_are_counted_and_told(self) -> None:
        publish(SQUEEZENET)
        told: list[tuple[str, float | None]] = []
        before = snapshot()
        embed(
            SQUEEZENET, images(5), batch_size=2, progress=lambda what, fraction: told.append((what, fraction))
        )
        assert since(before)["forwards"] == 5
        assert told == [("features of 5 images by squeezenet1_1", f) for f in (0.4, 0.8, 1.0)]

    @pytest.mark.parametrize(
        ("network", "size_px", "message"),
        [
            (SQUEEZENET, 16, "at least 17 px, got 16"),
            ("alexnet", 62, "at least 63 px, got 62"),
            ("vgg16", 31, "at least 32 px, got 31"),
            ("vit_b_16", 64, "exactly 224 px, got 64"),
            ("vit_b_16", 256, "exactly 224 px, got 256"),
        ],
    )
    def test_of_images_of_a_size_that_does_not_pass_are_refused(
        self, network: str, size_px: int, message: str
    ) -> None:
        with pytest.raises(
            ModelError, match=f"network '{network}' takes images of {message}; choose another size"
        ):
            embed(network, images(1, size_px))

    def test_of_a_size_that_the_makers_forgot_to_exclude_are_refused_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(SQUEEZENET)
        known = find_network(SQUEEZENET)
        object.__setattr__(known, "minimum_px", 1)
        monkeypatch.setattr(backbones, "find_network", lambda name: known)
        with pytest.raises(ModelError, match="cannot take images of 5 px: ") as error:
            embed(SQUEEZENET, images(1, 5))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        "wrong", [images()[0], images().astype(np.float32), images()[:, :, :20], images()[..., None]]
    )
    def test_need_square_grey_bytes(self, wrong: np.ndarray) -> None:
        with pytest.raises(ValueError, match=r"expected uint8 \(N, S, S\), got "):
            embed(SQUEEZENET, wrong)

    def test_never_come_from_random_weights(self) -> None:
        with pytest.raises(WeightsUnavailable, match="squeezenet1_1-b8a52dc0.pth is not on this disk; put "):
            embed(SQUEEZENET, images())

    def test_that_are_no_numbers_are_an_error(self) -> None:
        model = trained(SQUEEZENET)
        with torch.no_grad():
            model.features[0].weight.fill_(1e38)
            model.features[3].squeeze.weight.fill_(1e38)
        publish(SQUEEZENET, model)
        with pytest.raises(ModelError, match="its features are not finite; is its file of weights sound"):
            embed(SQUEEZENET, images())


class TestBuild:
    def test_keeps_all_but_the_classifier(self) -> None:
        model = publish("mobilenet_v3_small")
        built = build("mobilenet_v3_small", n_classes=3, pretrained=True)
        theirs = model.state_dict()
        for name, value in built.state_dict().items():
            if name.startswith("classifier.3."):
                assert value.shape[0] == 3
            else:
                assert torch.equal(value, theirs[name]), name

    def test_draws_the_rest_from_the_generator_that_the_caller_seeded(self) -> None:
        def weight(seed: int, pretrained: bool) -> torch.Tensor:
            torch.manual_seed(seed)
            return nn.utils.parameters_to_vector(
                build(SQUEEZENET, n_classes=2, pretrained=pretrained).parameters()
            )

        publish(SQUEEZENET)
        for pretrained in (False, True):
            assert torch.equal(weight(1, pretrained), weight(1, pretrained))
            assert not torch.equal(weight(1, pretrained), weight(2, pretrained))

    @pytest.mark.parametrize("network", ["googlenet", "inception_v3"])
    def test_of_networks_with_auxiliary_heads_returns_plain_scores(self, network: str) -> None:
        model = build(network, n_classes=2, pretrained=False).train()
        assert model(torch.rand(2, 3, 96, 96)).shape == (2, 2)

    def test_of_a_squeezenet_gives_scores_of_both_signs(self) -> None:
        torch.manual_seed(0)
        with torch.inference_mode():
            scores = build(SQUEEZENET, n_classes=8, pretrained=False).eval()(torch.rand(4, 3, 64, 64))
        assert scores.shape == (4, 8)
        assert (scores < 0).any()

    @pytest.mark.parametrize("network", [SQUEEZENET, "resnet18", "densenet121", "regnet_y_400mf", TIMM])
    @pytest.mark.parametrize(("n_classes", "in_channels"), [(2, 3), (5, 1)])
    def test_gives_as_many_scores_as_classes_from_as_many_channels_as_asked(
        self, network: str, n_classes: int, in_channels: int
    ) -> None:
        model = build(network, n_classes=n_classes, pretrained=False, in_channels=in_channels).eval()
        with torch.inference_mode():
            assert model(torch.rand(2, in_channels, 64, 64)).shape == (2, n_classes)

    @pytest.mark.parametrize("in_channels", [1, 2, 5])
    def test_lets_equal_channels_through_as_pretrained_on_three(self, in_channels: int) -> None:
        publish(SQUEEZENET)
        x = torch.rand(2, 1, 32, 32)
        rgb = build(SQUEEZENET, n_classes=2, pretrained=True).eval()
        other = build(SQUEEZENET, n_classes=2, pretrained=True, in_channels=in_channels).eval()
        with torch.inference_mode():
            expected = rgb.features(x.expand(-1, 3, -1, -1))
            found = other.features(x.expand(-1, in_channels, -1, -1))
        assert torch.allclose(found, expected, atol=1e-4)

    @pytest.mark.parametrize(("n_classes", "in_channels"), [(0, 3), (-1, 3), (2, 0)])
    def test_refuses_no_classes_and_no_channels(self, n_classes: int, in_channels: int) -> None:
        with pytest.raises(ModelError, match="expected at least 1 class and 1 channel"):
            build(SQUEEZENET, n_classes=n_classes, pretrained=False, in_channels=in_channels)

    def test_refuses_an_unknown_network(self) -> None:
        with pytest.raises(UnknownName, match="you probably meant 'squeezenet1_"):
            build("squeezenet", n_classes=2, pretrained=False)

    def test_refuses_to_start_from_weights_that_are_not_there(self) -> None:
        with pytest.raises(WeightsUnavailable, match="weights of 'resnet18' cannot be had"):
            build("resnet18", n_classes=2, pretrained=True)


class Evil:
    """Unpickled carelessly, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


class TestFilesThatAreNotTheWeights:
    @staticmethod
    def refused(network: str = SQUEEZENET) -> str:
        with pytest.raises(WeightsUnavailable) as error:
            build(network, n_classes=2, pretrained=True)
        line = str(error.value)
        assert line.startswith(f"weights of '{network}': ")
        assert "\n" not in line
        assert len(line) < 600
        return line

    def test_of_another_architecture_are_refused(self) -> None:
        torch.save(trained("mobilenet_v3_small").state_dict(), file_of(SQUEEZENET))
        assert "tensors are missing" in self.refused()

    def test_of_a_sister_with_other_shapes_are_refused(self) -> None:
        torch.save(trained("mnasnet0_75").state_dict(), file_of("mnasnet0_5"))
        assert "size mismatch" in self.refused("mnasnet0_5")

    def test_with_a_tensor_less_or_more_are_refused(self) -> None:
        state = trained(SQUEEZENET).state_dict()
        torch.save({k: v for k, v in state.items() if k != "features.0.bias"}, file_of(SQUEEZENET))
        assert "1 tensors are missing (first: 'features.0.bias')" in self.refused()
        torch.save({**state, "surprise": torch.zeros(1)}, file_of(SQUEEZENET))
        assert "1 unknown (first: 'surprise')" in self.refused()

    def test_without_the_classifier_are_enough(self) -> None:
        state = trained(SQUEEZENET).state_dict()
        torch.save({k: v for k, v in state.items() if not k.startswith("classifier")}, file_of(SQUEEZENET))
        assert build(SQUEEZENET, n_classes=2, pretrained=True) is not None

    def test_with_values_that_are_no_numbers_are_refused(self) -> None:
        model = trained(SQUEEZENET)
        with torch.no_grad():
            model.features[0].weight[0, 0, 0, 0] = torch.nan
        publish(SQUEEZENET, model)
        assert "'features.0.weight' holds values that are no numbers" in self.refused()

    @pytest.mark.parametrize(
        "content",
        [
            {},
            [torch.zeros(2)],
            torch.zeros(3),
            {"a": 1},
            {"state_dict": {"a": "b"}},
            {1: torch.zeros(1)},
            None,
        ],
    )
    def test_that_hold_something_else_are_refused(self, content: object) -> None:
        torch.save(content, file_of(SQUEEZENET))
        assert "does not hold them" in self.refused()

    def test_that_would_run_code_are_refused_and_do_not_run_it(self, tmp_path: Path) -> None:
        torch.save({"features.0.weight": Evil(tmp_path / "owned")}, file_of(SQUEEZENET))
        assert find(SQUEEZENET).file is not None
        assert "it cannot be read safely" in self.refused()
        assert not (tmp_path / "owned").exists()

    def test_that_are_a_bare_hostile_pickle_are_refused_before_they_are_opened(self, tmp_path: Path) -> None:
        file_of(SQUEEZENET).write_bytes(pickle.dumps({"a": Evil(tmp_path / "owned")}))
        with pytest.raises(WeightsUnavailable, match="is damaged"):
            build(SQUEEZENET, n_classes=2, pretrained=True)
        assert not (tmp_path / "owned").exists()

    def test_that_are_wrapped_in_a_dictionary_are_the_weights(self) -> None:
        torch.save({"state_dict": trained(SQUEEZENET).state_dict()}, file_of(SQUEEZENET))
        assert build(SQUEEZENET, n_classes=2, pretrained=True) is not None


class TestTimm:
    @pytest.fixture
    def model(self) -> nn.Module:
        """A network of timm whose weights, with their 1000 classes, lie where they would be downloaded."""
        import timm
        from safetensors.torch import save_file

        torch.manual_seed(3)
        model: nn.Module = timm.create_model("test_resnet", pretrained=False)
        save_file(model.state_dict(), checkpoints_folder_of(TIMM))
        return model.eval()

    def test_features_are_what_the_network_returns_without_a_classifier(self, model: nn.Module) -> None:
        found = embed(TIMM, images(3, 64))
        known = find_network(TIMM)
        x = Normaliser.on("cpu", known.mean, known.std)(torch.from_numpy(images(3, 64)))
        with torch.inference_mode():
            expected = model.forward_head(model.forward_features(x), pre_logits=True).numpy()  # type: ignore[operator]
        assert_same(found, expected)

    def test_a_new_classifier_stands_on_the_pretrained_weights(self, model: nn.Module) -> None:
        built = build(TIMM, n_classes=3, pretrained=True)
        theirs = model.state_dict()
        changed = [name for name, value in built.state_dict().items() if not torch.equal(value, theirs[name])]
        assert {name.rpartition(".")[0] for name in changed} == {"fc"}
        assert built(torch.rand(2, 3, 64, 64)).shape == (2, 3)

    def test_weights_of_another_network_are_refused(self, model: nn.Module) -> None:
        from safetensors.torch import save_file

        save_file({"surprise": torch.zeros(3)}, checkpoints_folder_of(TIMM))
        with pytest.raises(WeightsUnavailable, match=f"weights of '{TIMM}': .* does not hold them") as error:
            build(TIMM, n_classes=2, pretrained=True)
        assert "\n" not in str(error.value)

    def test_the_weights_are_not_held_twice(self, model: nn.Module) -> None:
        assert "state_dict" not in build(TIMM, n_classes=2, pretrained=True).pretrained_cfg  # type: ignore[operator]

    def test_names_with_and_without_the_default_tag_are_one(self) -> None:
        assert canonical("timm:test_resnet.r160_in1k") == TIMM


def checkpoints_folder_of(network: str) -> Path:
    """Where a file of the hub would be downloaded to."""
    repository = find_network(network).urls[0].split("/")[3:5]
    path = checkpoints_folder() / ("--".join(repository) + ".safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_minimum_sizes_are_known_before_a_network_is_built() -> None:
    found = {name: minimum_size(name) for name in ("alexnet", "vgg16", "densenet169", "vit_b_16", "resnet50")}
    assert found == {"alexnet": 63, "vgg16": 32, "densenet169": 29, "vit_b_16": 224, "resnet50": 1}


def test_features_are_computed_without_a_read_or_a_copy_a_batch() -> None:
    publish(SQUEEZENET)
    with Crossings() as few:
        embed(SQUEEZENET, images(2, 64), batch_size=1)
    with Crossings() as many:
        embed(SQUEEZENET, images(6, 64), batch_size=1)
    assert many.counts["reads"] == few.counts["reads"]
    assert many.counts["copies"] - few.counts["copies"] == 4  # the images of four more batches, nothing else
