"""The fine-tuned networks: names, sizes, weights and notes. Learning itself is tested in test_training."""

import os
import subprocess
import sys

import numpy as np
import pytest

import baselines.networks as networks
from baselines.networks import (
    VGG16,
    AlexNet,
    DenseNet,
    DenseNetZhao2020,
    GoogleNet,
    ResNet,
    TimmNetwork,
    TorchvisionNetwork,
)
from harness.counters import since, snapshot
from harness.errors import ModelError, UnknownName, UsageError, WeightsUnavailable
from harness.images import Images, MemoryStore
from harness.registry import find_model
from harness.testing import check_model, toy_images

FAMILIES = [DenseNet, ResNet, GoogleNet, VGG16, AlexNet, TimmNetwork, TorchvisionNetwork]
TINY = {"weights": "none", "size_px": 64, "images_seen": 32, "batch_size": 8, "looks": 2}


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


def labelled(per_class=4, n_classes=2, seed=0):
    labels = np.tile(np.arange(n_classes), per_class)
    return Images(MemoryStore(toy_images(labels.tolist(), seed))), labels


def fitted(factory=TorchvisionNetwork, **parameters):
    model = factory(**{"n_classes": 2, **TINY, **parameters})
    return model.fit(*labelled(n_classes=model.n_classes), validation=labelled(2, model.n_classes, seed=1))


def test_importing_the_module_imports_nothing_heavy():
    script = (
        "import sys, baselines.networks, baselines.heads; "
        "heavy = ('torch', 'torchvision', 'timm', 'sklearn', 'scipy', 'pandas', 'optuna'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert (shown.stdout.strip(), shown.returncode) == ("[]", 0), shown.stderr


def test_keeps_the_contract():
    check_model(TorchvisionNetwork, parameters=TINY)


@pytest.mark.slow
@pytest.mark.parametrize("factory", FAMILIES)
def test_every_family_keeps_the_contract(factory):
    check_model(factory, parameters={"weights": "none"})


@pytest.mark.parametrize(
    ("factory", "variant", "name"),
    [
        (DenseNet, None, "densenet169"),
        (DenseNet, "121", "densenet121"),
        (DenseNet, 121, "densenet121"),
        (ResNet, None, "resnet50"),
        (ResNet, "18", "resnet18"),
        (GoogleNet, None, "googlenet"),
        (VGG16, None, "vgg16"),
        (VGG16, "19", "vgg19"),
        (AlexNet, None, "alexnet"),
        (TimmNetwork, None, "timm:convnext_tiny"),
        (TimmNetwork, "resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        (TorchvisionNetwork, None, "torchvision:squeezenet1_1"),
    ],
)
def test_names_the_network_whose_weights_it_starts_from(factory, variant, name):
    given = {} if variant is None else {"variant": variant}
    assert factory.pretrained(**given, size_px=64) == (name,)
    assert factory.pretrained(**given, weights="none") == ()


def test_the_part_after_the_colon_on_the_command_line_is_the_variant():
    plugin = find_model("densenet:121")
    assert plugin.load().pretrained(**plugin.fixed) == ("densenet121",)


def test_an_unknown_variant_is_known_before_anything_runs():
    with pytest.raises(UnknownName) as caught:
        DenseNet.pretrained(variant="170")
    assert str(caught.value) == "unknown densenet variant '170'; known: 121, 161, 169, 201"
    with pytest.raises(UnknownName, match="known: none"):
        GoogleNet.pretrained(variant="v2")
    with pytest.raises(UnknownName, match="unknown resnet variant '51'"):
        fitted(ResNet, variant="51")


def test_a_network_that_timm_does_not_have_is_a_usage_error_with_suggestions():
    with pytest.raises(UsageError, match="convnext_tiny"):
        fitted(TimmNetwork, variant="convnext_tinny")


def test_unknown_weights_are_refused():
    with pytest.raises(UnknownName, match="unknown weights 'imagenette'; you probably meant 'imagenet'"):
        fitted(weights="imagenette")


def test_a_validation_part_is_required():
    with pytest.raises(
        ModelError, match="'torchvision:squeezenet1_1' chooses its epoch on a validation part"
    ):
        TorchvisionNetwork(n_classes=2, **TINY).fit(*labelled())


def test_says_that_it_was_trained_from_scratch_and_on_which_size():
    assert fitted().notes_ == [
        "trained from scratch: weights='none' was asked for",
        "64 px images",
    ]


def test_absent_weights_are_a_note_with_the_reason(monkeypatch):
    asked = []

    def build(name, *, n_classes, pretrained, start=None, in_channels=None):
        asked.append(pretrained)
        if pretrained:
            raise WeightsUnavailable("weights of 'x' cannot be had: no network")
        return original(name, n_classes=n_classes, pretrained=False)

    original = networks.build
    monkeypatch.setattr(networks, "build", build)
    notes = fitted(weights="imagenet").notes_
    assert notes == ["trained from scratch: weights of 'x' cannot be had: no network", "64 px images"]
    assert asked == [True, False]


def test_weights_that_are_there_are_used_and_not_noted(monkeypatch):
    asked = []

    def build(name, *, n_classes, pretrained, start=None, in_channels=None):
        asked.append((name, pretrained))
        return original(name, n_classes=n_classes, pretrained=False)

    original = networks.build
    monkeypatch.setattr(networks, "build", build)
    assert fitted(weights="imagenet").notes_ == ["64 px images"]
    assert asked == [("torchvision:squeezenet1_1", True)]


def test_the_learning_rate_is_a_multiple_of_the_networks_own():
    model = AlexNet(n_classes=2, learning_rate_scale=0.5)
    assert model._settings(from_scratch=True).learning_rate == 0.5 * AlexNet.rates[0]
    assert model._settings(from_scratch=False).learning_rate == 0.5 * AlexNet.rates[1]


@pytest.mark.parametrize("variant", ["18", "50"])
def test_blocks_of_a_resnet_from_scratch_start_as_the_identity(variant):
    network, note = ResNet(n_classes=2, variant=variant, weights="none")._start(f"resnet{variant}")
    last = "bn3" if variant == "50" else "bn2"
    scales = [module.weight for name, module in network.named_modules() if name.endswith(last)]
    assert note is not None
    assert scales
    assert all((scale == 0).all() for scale in scales)
    assert (network.bn1.weight == 1).all()


def test_images_too_small_for_the_network_are_one_line_before_any_step():
    before = snapshot()
    with pytest.raises(ModelError, match="'alexnet' does not take images of 32 px; set size_px") as caught:
        fitted(AlexNet, size_px=32)
    assert "\n" not in str(caught.value)
    assert since(before)["steps"] == 0


@pytest.mark.parametrize("size_px", [0, -4, 64.0])
def test_a_size_that_is_none_is_one_line(size_px):
    with pytest.raises(ModelError, match="size_px must be a whole number above 0"):
        fitted(size_px=size_px)


def test_a_network_of_one_size_says_so():
    with pytest.raises(ModelError, match="does not take images of 64 px; set size_px"):
        fitted(TimmNetwork, variant="vit_tiny_patch16_224")


def test_a_missing_cuda_device_is_one_line():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ModelError, match="device 'cuda': no CUDA device was found; use device='cpu'"):
        fitted(device="cuda")


def test_a_device_that_is_none_is_one_line():
    with pytest.raises(ModelError, match="device 'gpu'"):
        fitted(device="gpu")


def test_a_class_missing_from_training_has_probability_zero():
    images, labels = labelled(n_classes=3)
    rows = np.flatnonzero(labels != 1)
    model = TorchvisionNetwork(n_classes=3, **TINY).fit(
        images[rows], labels[rows], validation=labelled(2, n_classes=3)
    )
    found = model.predict_proba(images)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_wrong_validation_labels_name_the_part():
    with pytest.raises(ModelError, match="validation part: expected labels 0 to 1, got 2"):
        TorchvisionNetwork(n_classes=2, **TINY).fit(*labelled(), validation=labelled(2, n_classes=3))


def test_asking_before_fitting_is_refused():
    with pytest.raises(ModelError, match="TorchvisionNetwork: call fit before predict_proba"):
        TorchvisionNetwork(n_classes=2).predict_proba(labelled()[0])


@pytest.mark.parametrize("factory", FAMILIES)
def test_tuning_trials_cost_less_than_the_fit_they_are_for(factory):
    for recipe in ("smoke", "quick", "paper"):
        values = factory.recipes[recipe]
        assert values["trial"]["images_seen"] < values["images_seen"]
    assert factory.recipes["smoke"]["images_seen"] < factory.recipes["quick"]["images_seen"]


def test_defaults_are_those_of_the_paper_recipe():
    for factory in FAMILIES:
        model = factory(n_classes=2)
        wanted = {name: value for name, value in factory.recipes["paper"].items() if name != "trial"}
        assert {name: getattr(model, name) for name in wanted} == wanted


def test_a_first_stage_goes_before_published_weights():
    assert ResNet.pretrained(start="lungs") == ("stage:lungs",)
    assert ResNet.pretrained(start="stage:lungs", weights="none") == ("stage:lungs",)


def test_the_baseline_of_zhao_et_al_starts_from_chest_radiographs_unless_told_otherwise():
    assert DenseNetZhao2020.pretrained() == ("stage:xrv:densenet121-nih",)
    assert DenseNetZhao2020.pretrained(start="lungs") == ("stage:lungs",)
    assert DenseNetZhao2020.pretrained(weights="none") == ()
    assert fitted(DenseNetZhao2020, size_px=32, images_seen=8).notes_ == [
        "trained from scratch: weights='none' was asked for",
        "32 px images",
        "trained by zhao2020",
    ]


def test_a_network_starts_from_what_another_one_saved(tmp_path):
    first = fitted(images_seen=8)
    first.save(tmp_path / "first.safetensors")
    second = fitted(start=str(tmp_path / "first.safetensors"), images_seen=8, learning_rate_scale=1e-9)
    assert not any("scratch" in note for note in second.notes_)
    kernel = "features.0.weight"
    trained, started = (model.network_.state_dict()[kernel] for model in (first, second))
    np.testing.assert_allclose(started, trained, atol=1e-6)


def test_a_googlenet_from_scratch_that_is_a_start_is_fed_as_it_was_trained(tmp_path):
    fitted(GoogleNet, images_seen=8).save(tmp_path / "first.safetensors")
    second = fitted(GoogleNet, start=str(tmp_path / "first.safetensors"), images_seen=8)
    second.save(tmp_path / "second.safetensors")
    third = fitted(GoogleNet, start=str(tmp_path / "second.safetensors"), images_seen=8)
    assert [model.network_.transform_input for model in (second, third)] == [False, False]


def test_saving_before_fitting_is_refused(tmp_path):
    with pytest.raises(ModelError, match="TorchvisionNetwork: call fit before save"):
        TorchvisionNetwork(n_classes=2).save(tmp_path / "x.safetensors")


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(
        ModelError, match=r"weights of 'squeezenet1_1' cannot be written to .*x\.safetensors'"
    ):
        fitted().save(tmp_path / "nowhere" / "x.safetensors")


def test_what_is_saved_says_of_which_network_it_is_and_predicts_the_same(tmp_path):
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    model = fitted()
    path = tmp_path / "net.safetensors"
    model.save(path)
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    assert facts["network"] == "squeezenet1_1"
    assert (facts["n_classes"], facts["size_px"], facts["in_channels"]) == ("2", "64", "3")
    images, _ = labelled(2, seed=1)
    before = model.predict_proba(images)
    torch.manual_seed(9)
    model.network_ = networks.build("squeezenet1_1", n_classes=2, pretrained=False)
    model.network_.load_state_dict(load_file(path))
    np.testing.assert_allclose(model.predict_proba(images), before, atol=1e-6)


def test_how_the_training_went_can_be_written_as_json():
    import json

    facts = json.loads(json.dumps(fitted().training_, allow_nan=False))
    assert facts["steps"] == 4
    assert facts["best_step"] in (2, 4)
    assert facts["arithmetic"] in ("float32", "bfloat16")


@pytest.mark.data
def test_pretrained_squeezenet_learns_sars_cov_2_ct_within_quick(tmp_path):
    from harness.data.dataset import open_dataset
    from harness.protocols import make_splits
    from harness.store import DatasetStore

    assert os.environ.get("TORCH_HOME"), "TORCH_HOME must say where the SqueezeNet weights are"
    dataset = open_dataset("sars-cov-2-ct", cache=tmp_path)
    (split,) = make_splits("official", dataset.samples, seed=0)
    view = Images(DatasetStore(dataset, cache=tmp_path, split=split))
    parts = {name: dataset.rows(getattr(split, name)) for name in ("train", "val")}
    values = {name: value for name, value in TorchvisionNetwork.recipes["quick"].items() if name != "trial"}
    model = TorchvisionNetwork(n_classes=2, **values)
    (images, labels), held_out = [(view[rows], dataset.labels[rows]) for rows in parts.values()]
    model.fit(images, labels, validation=held_out)
    assert not any("scratch" in note for note in model.notes_)
    assert max(model.looks_).balanced_accuracy > 0.8
