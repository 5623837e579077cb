"""Networks that start from a first stage: what is loaded, how it is fed, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hostile_files import cut, malicious, whole_module
from made_images import nothing_is_forbidden
from safetensors.torch import save_file
from torch import nn

from harness import stages
from harness.backbones import Input, Normaliser, build, embed, input_of
from harness.catalogue import IMAGENET_MEAN, IMAGENET_STD, find_network
from harness.errors import StageError, UnknownName
from harness.weights import checkpoints_folder, choose_backbone, find, obtain

NETWORK = "squeezenet1_1"
XRV = "xrv:densenet121-nih"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def keep(name: str, model: nn.Module, **metadata: str) -> Path:
    path = stages.folder() / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path, metadata=metadata or None)
    return path


def fresh(network: str = NETWORK, seed: int = 7, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build(network, **{"n_classes": 3, "pretrained": False, **options})


def differing(one: nn.Module, other: nn.Module) -> set[str]:
    """Names of tensors that differ."""
    pairs = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
    return {name for (name, a), b in pairs if a.shape != b.shape or not torch.equal(a, b)}


class TestBuild:
    @pytest.mark.parametrize(
        ("network", "classifier"),
        [
            (NETWORK, "classifier.1"),
            ("resnet18", "fc"),
            ("timm:test_resnet", "fc"),
            ("timm:test_vit", "head"),
        ],
    )
    def test_takes_everything_but_the_classifier(self, network: str, classifier: str) -> None:
        kept = fresh(network)
        keep("lungs", kept, network=network)
        torch.manual_seed(1)
        found = build(network, n_classes=2, pretrained=False, start="stage:lungs")
        assert differing(found, kept) == {f"{classifier}.weight", f"{classifier}.bias"}
        assert found.get_submodule(classifier).bias.shape == (2,)
        assert found.training

    def test_takes_the_stage_in_place_of_published_weights(self) -> None:
        keep("lungs", fresh(), network=NETWORK)
        assert find(NETWORK).file is None, "there are none, and none are asked for"
        build(NETWORK, n_classes=2, pretrained=True, start="lungs")

    def test_draws_a_new_classifier_even_for_as_many_classes(self) -> None:
        kept = fresh()
        keep("lungs", kept, network=NETWORK)
        torch.manual_seed(1)
        assert "classifier.1.weight" in differing(
            build(NETWORK, n_classes=3, pretrained=True, start="lungs"), kept
        )

    def test_takes_a_checkpoint_of_torchvision_from_a_data_parallel_training(self, tmp_path: Path) -> None:
        theirs = torchvision.models.resnet18(num_classes=9)
        state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
        torch.save({"epoch": 3, "state_dict": state}, tmp_path / "mine.pth")
        found = build("resnet18", n_classes=2, pretrained=True, start=str(tmp_path / "mine.pth"))
        assert differing(found, theirs) == {"fc.weight", "fc.bias"}

    @pytest.mark.parametrize(("had", "wanted"), [(1, 3), (3, 1), (1, 1)])
    def test_answers_equal_channels_alike_whatever_their_number(
        self, tmp_path: Path, had: int, wanted: int
    ) -> None:
        kept = fresh("resnet18", in_channels=had).eval()
        torch.save(kept.state_dict(), tmp_path / "mine.pth")
        path = str(tmp_path / "mine.pth")
        found = build("resnet18", n_classes=2, pretrained=True, in_channels=wanted, start=path).eval()
        x = torch.randn(2, 1, 64, 64)
        kept.fc, found.fc = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        with torch.inference_mode():
            answers = [model(x.expand(-1, n, -1, -1)) for model, n in ((kept, had), (found, wanted))]
        assert torch.allclose(*answers, atol=1e-4)

    def test_takes_a_stage_of_the_same_architecture_by_another_name(self) -> None:
        keep("nih", fresh("densenet121", in_channels=1), network=XRV)
        build("densenet121", n_classes=2, pretrained=True, start="nih")


class TestInput:
    def test_of_a_published_network_is_what_its_makers_say(self) -> None:
        assert input_of("resnet18") == Input(3, IMAGENET_MEAN, IMAGENET_STD)
        assert input_of(XRV) == Input(1, (0.5,), (1 / 2048,))

    def test_of_a_stage_is_how_it_was_trained(self) -> None:
        keep("grey", fresh(in_channels=1), **Input(1, (0.4,), (0.2,)).metadata)
        assert input_of(NETWORK, "grey") == Input(1, (0.4,), (0.2,))
        assert build(NETWORK, n_classes=2, pretrained=True, start="grey").features[0].in_channels == 1

    def test_of_a_stage_that_says_nothing_is_the_networks(self, tmp_path: Path) -> None:
        torch.save(fresh().state_dict(), tmp_path / "x.pth")
        assert input_of(NETWORK, str(tmp_path / "x.pth")) == input_of(NETWORK)

    def test_of_chest_radiographs_runs_from_minus_to_plus_1024(self) -> None:
        fed = input_of("densenet121", XRV)
        x = Normaliser.on("cpu", fed.mean, fed.std)(torch.tensor([[[0, 255]]], dtype=torch.uint8))
        assert torch.allclose(x, torch.tensor([[[[-1024.0, 1024.0]]]]))


class TestRefusals:
    def test_of_an_unknown_name_come_with_close_ones(self) -> None:
        keep("lungs", fresh())
        with pytest.raises(UnknownName, match="you probably meant 'lungs'"):
            build(NETWORK, n_classes=2, pretrained=True, start="lungss")

    def test_of_another_network_name_both(self) -> None:
        keep("lungs", fresh(), network=NETWORK)
        with pytest.raises(StageError) as error:
            build("resnet18", n_classes=2, pretrained=True, start="lungs")
        assert str(error.value) == (
            "first stage 'lungs' holds the network 'squeezenet1_1', the model asks for 'resnet18'"
        )

    def test_of_a_network_that_nobody_knows_say_so(self) -> None:
        keep("lungs", fresh(), network="my-secret-net")
        with pytest.raises(StageError, match="holds 'my-secret-net': unknown network"):
            build(NETWORK, n_classes=2, pretrained=True, start="lungs")

    @pytest.mark.parametrize("network", ["resnet18", "resnet34", "timm:test_resnet"])
    def test_of_tensors_of_another_architecture_are_one_line(self, tmp_path: Path, network: str) -> None:
        torch.save(fresh().state_dict(), tmp_path / "x.pth")
        with pytest.raises(StageError, match=rf"first stage 'x.pth' does not hold '{network}'") as error:
            build(network, n_classes=2, pretrained=True, start=str(tmp_path / "x.pth"))
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400

    def test_never_fall_back_to_other_weights(self) -> None:
        """`WeightsUnavailable` is what lets a network start from scratch: a stage must not raise it."""
        from harness.errors import WeightsUnavailable

        assert not issubclass(StageError, WeightsUnavailable)

    @pytest.mark.parametrize("kind", ["bare pickle", "archive", "legacy", "class of a module"])
    def test_of_files_that_would_run_code_run_none(self, tmp_path: Path, kind: str) -> None:
        (tmp_path / "x.pth").write_bytes(malicious(tmp_path / "victim")[kind])
        with pytest.raises(StageError, match="cannot be read safely"):
            build(NETWORK, n_classes=2, pretrained=True, start=str(tmp_path / "x.pth"))
        assert not (tmp_path / "victim").exists()

    def test_of_values_that_are_no_numbers(self) -> None:
        model = fresh()
        with torch.no_grad():
            model.features[0].weight[0] = torch.nan
        keep("burnt", model)
        with pytest.raises(StageError, match="'features.0.weight' holds values that are no numbers"):
            build(NETWORK, n_classes=2, pretrained=True, start="burnt")

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    def test_of_files_that_were_cut_off_come_with_the_plan(
        self, tmp_path: Path, suffix: str, share: float
    ) -> None:
        path = tmp_path / f"x{suffix}"
        state = fresh().state_dict()
        save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
        path.write_bytes(cut(path.read_bytes(), share))
        with pytest.raises(StageError, match="is no whole file of weights"):
            find(f"stage:{path}")

    def test_of_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "x.pth").mkdir()
        with pytest.raises(StageError, match="is a folder"):
            find(f"stage:{tmp_path / 'x.pth'}")

    @pytest.mark.skipif(nothing_is_forbidden(), reason="this user reads everything")
    def test_of_what_may_not_be_read(self) -> None:
        keep("lungs", fresh()).chmod(0)
        with pytest.raises(StageError, match="cannot be read: Permission denied"):
            find("stage:lungs")


class TestFind:
    def test_gives_the_digest_of_a_stage_and_no_folder(self) -> None:
        path = keep("lungs", fresh())
        by_name, by_path = find("stage:lungs"), obtain(f"stage:{path}")
        assert by_name.network == "stage:lungs"
        assert by_path.network == "stage:lungs.safetensors"
        assert by_name.file == by_path.file == path
        assert by_name.sha256 == by_path.sha256 is not None

    def test_does_not_take_a_stage_for_a_backbone_of_features(self) -> None:
        keep("lungs", fresh())
        with pytest.raises(UnknownName, match="unknown network 'stage:lungs'"):
            choose_backbone("stage:lungs", fetch=False)


class TestChestRadiographs:
    @pytest.fixture
    def theirs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
        """A DenseNet-121 with one channel whose batch norms have seen images, published as a pickled module."""
        torch.manual_seed(3)
        model = torchvision.models.densenet121(num_classes=18)
        model.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.momentum = 1.0
        with torch.no_grad():
            model(torch.randn(6, 1, 64, 64) * 500)
        layers = nn.Sequential()  # pickled by classes that torchxrayvision has, too
        layers._modules = {name: _plain(module) for name, module in model.features.named_children()}
        path = checkpoints_folder() / Path(find_network(XRV).urls[0]).name
        path.parent.mkdir(parents=True)
        whole_module(path, layers, tmp_path / "site", monkeypatch, zipped=False)
        return model.eval()

    def test_are_found_whole_though_their_file_is_an_old_pickle_without_a_digest_in_its_name(
        self, theirs: nn.Module
    ) -> None:
        found = find(XRV)
        assert found.file is not None
        assert found.reason is None
        found.file.write_bytes(cut(found.file.read_bytes(), 0.9))
        assert "damaged" in str(find(XRV).reason)

    def test_give_the_features_of_their_own_network_from_images_on_their_scale(
        self, theirs: nn.Module
    ) -> None:
        random = np.random.default_rng(0)
        x_NSS = (
            (random.uniform(30, 220, (4, 1, 1)) + random.normal(size=(4, 64, 64)) * 40)
            .clip(0, 255)
            .astype(np.uint8)
        )
        found = embed(XRV, x_NSS)
        x = torch.from_numpy(x_NSS)[:, None].float() / 255 * 2048 - 1024
        with torch.inference_mode():
            expected = torch.relu(theirs.features(x)).mean((2, 3)).numpy()
        assert found.shape == (4, 1024)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        assert expected.std(axis=0).max() > 0.01 * np.abs(expected).max(), "images differ by their features"

    def test_are_fine_tuned_with_a_new_classifier(self, theirs: nn.Module) -> None:
        for network, start in ((XRV, None), ("densenet121", XRV), ("densenet121", f"stage:{XRV}")):
            found = build(network, n_classes=2, pretrained=True, start=start)
            assert torch.equal(found.features.conv0.weight, theirs.features.conv0.weight)
            assert found.classifier.out_features == 2

    def test_of_another_architecture_are_refused(self, theirs: nn.Module) -> None:
        with pytest.raises(
            StageError, match="holds the network 'xrv:densenet121-nih', the model asks for 'densenet169'"
        ):
            build("densenet169", n_classes=2, pretrained=True, start=XRV)

    def test_that_are_absent_say_where_the_file_belongs(self) -> None:
        with pytest.raises(
            StageError, match="put nih-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt into"
        ):
            build("densenet121", n_classes=2, pretrained=True, start=XRV)

    def test_are_found_where_torchxrayvision_keeps_them(
        self, theirs: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = find(XRV).file
        assert file is not None
        place = tmp_path / ".torchxrayvision" / "models_data"
        place.mkdir(parents=True)
        file.rename(place / file.name)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert find(XRV).file == place / file.name

    def test_have_names_with_suggestions(self) -> None:
        assert [find_network(f"xrv:densenet121-{name}").architecture for name in ("all", "nih", "rsna")] == [
            "densenet121"
        ] * 3
        with pytest.raises(UnknownName, match="'xrv:densenet121-nih'"):
            find_network("xrv:densenet121-hin")


def _plain(module: nn.Module) -> nn.Module:
    """The same parameters and children under classes that `torch.nn` has."""
    if not any(True for _ in module.children()):
        return module
    plain = nn.Sequential()
    plain._modules = {name: _plain(child) for name, child in module.named_children()}
    return plain


def test_metadata_of_an_input_can_be_read_back() -> None:
    fed = Input(1, (0.5,), (1 / 2048,))
    keep("x", fresh(in_channels=1), **fed.metadata)
    assert json.loads(fed.metadata["normalisation"])["std"] == [1 / 2048]
    assert input_of(NETWORK, "x") == fed
