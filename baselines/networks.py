"""Networks fine-tuned whole: DenseNet, ResNet, GoogleNet, VGG-16, AlexNet, and any of timm or torchvision.

Reproduces the fine-tuned rows of Soares, Angelov et al. (2020), Table 1 (accuracy: ResNet 94.96 %, GoogleNet
91.73 %, VGG-16 94.96 %, AlexNet 93.75 %; no training details are printed), and the DenseNet-169 of Zhao et al.
(2020; F1 0.85, tuned on the validation part, 224 px, batch 4, Adam at 1e-4, cosine schedule, affine maps, crops and
flips). Measured: see leaderboards/.

All networks share one training loop (`baselines.training`) and one of two ways to go through it
(`baselines.methods`): unlike the papers, AdamW with warm-up and cosine decay, batches of 16 or 32 and classes
weighted alike, or, with `method="zhao2020"`, what Zhao et al. print. In both, the weights of the best look at the
validation part are kept. Unlike Zhao et al., DenseNet starts from ImageNet, not from chest radiographs;
`densenet-zhao2020` starts from those. Where no pretrained weights can be had, a network is trained from scratch,
and `notes_` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from baselines import search_spaces
from baselines.arithmetic import seeded
from baselines.folding import fold_repeats, unfolded
from baselines.labels import checked_labels
from baselines.memory import NO_MEMORY, check_room, memory_named
from baselines.methods import find_method
from baselines.training import Settings, Tensors, Training, probabilities, train
from baselines.whole_files import whole_file
from harness.backbones import Normaliser, build, canonical, input_of
from harness.errors import ModelError, UnknownName, WeightsUnavailable
from harness.types import ImagesView, Session

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn

__all__ = [
    "VGG16",
    "AlexNet",
    "DenseNet",
    "DenseNetZhao2020",
    "GoogleNet",
    "ResNet",
    "TimmNetwork",
    "TorchvisionNetwork",
]

T = TypeVar("T")

PAPER_SIZE_PX = 224
LARGEST_PX = 10**8

WEIGHTS = ("imagenet", "none")


def _recipes(
    *,
    smoke_images: int,
    quick_images: int,
    trial_images: int,
    size_px: int = 64,
    smoke_batch: int = 16,
    augmentation: float = 0.5,
) -> dict[str, Any]:
    """Return the recipes of one network: small images and batches on a CPU, the papers' size on a GPU.

    Numbers of images are what one AVX2 core trains on in about a minute (smoke) or three (quick); the column
    'Fit s' of a board has the times. `check` is for the conformance suite.
    """
    laptop = {"size_px": size_px, "batch_size": 16, "looks": 4, "augmentation": augmentation}
    trial = {"images_seen": trial_images, "looks": 2}
    return {
        "check": {**laptop, "images_seen": 32, "looks": 1},
        "smoke": {**laptop, "batch_size": smoke_batch, "images_seen": smoke_images, "trial": trial},
        "quick": {**laptop, "images_seen": quick_images, "trial": trial},
        "paper": {
            "size_px": PAPER_SIZE_PX,
            "batch_size": 32,
            "images_seen": 80_000,
            "looks": 20,
            "trial": {"images_seen": 16_000, "looks": 4},
        },
    }


@dataclass(kw_only=True, eq=False)
class Network:
    """What the networks share: how they are built, trained and asked.

    `learning_rate_scale` multiplies the network's own learning rate, which is the first of `rates` from scratch and
    the second from pretrained weights; `augmentation` every random change of the images, see
    `baselines.augmentation`. What `method` fixes goes before the parameters: see `baselines.methods`.
    `start` is a first stage to start from, see `harness.stages`; without one `weights` "imagenet" takes the
    published weights and "none" leaves them alone.
    """

    session = Session()

    uses_validation: ClassVar[bool] = True
    expected_seconds: ClassVar[Mapping[str, float]] = {"smoke": 30, "quick": 150, "paper": 600}
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]]
    family: ClassVar[str]
    variants: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[float, float]] = (1e-3, 2e-4)
    first_stage: ClassVar[str | None] = None
    """What training starts from where neither `start` nor `weights` says otherwise, in place of ImageNet."""

    n_classes: int
    seed: int = 0
    device: str = "cpu"
    variant: str = ""
    size_px: int = PAPER_SIZE_PX
    images_seen: int = 80_000
    batch_size: int = 32
    looks: int = 20
    learning_rate_scale: float = 1.0
    weight_decay: float = 0.05
    augmentation: float = 0.5
    label_smoothing: float = 0.0
    average: float = 0.0
    method: str = "modern"
    weights: str = "imagenet"
    start: str | None = None

    @classmethod
    def network(cls, variant: str) -> str:
        """Return the name by which `harness.backbones` builds a variant; raise `UnknownName` for no variant."""
        if str(variant) not in (cls.variants or ("",)):
            raise UnknownName(f"{cls.family} variant", str(variant), cls.variants)
        return f"{cls.family}{variant}"

    @classmethod
    def pretrained(
        cls, variant: str | None = None, weights: str = "imagenet", start: str | None = None, **_: Any
    ) -> tuple[str, ...]:
        """Return the name of the network, or 'stage:NAME' of the first stage, whose weights training starts from."""
        name = cls.network(cls.variant if variant is None else variant)
        stage = cls.stage_of(start, weights)
        if stage is not None:
            return (f"stage:{stage.removeprefix('stage:')}",)
        return (name,) if weights != "none" else ()

    @classmethod
    def stage_of(cls, start: str | None, weights: str) -> str | None:
        """Return the first stage that training starts from, None for published weights or none at all."""
        return cls.first_stage if start is None and weights != "none" else start

    @staticmethod
    def search_space(trial: optuna.Trial) -> dict[str, Any]:
        return search_spaces.network(trial)

    def fit(
        self,
        images: ImagesView,
        labels: np.ndarray,
        *,
        validation: tuple[ImagesView, np.ndarray] | None = None,
        groups: Sequence[str] | None = None,  # noqa: ARG002 - the contract's
    ) -> Network:
        """Train on N images, keep the weights that did best on the validation part.

        Raises `ModelError` without a validation part, for a size that the network cannot take and when
        the loss is no number any more; `UnknownName` for a network that isn't there.
        """
        import torch

        name = self.network(self.variant)
        if validation is None:
            raise ModelError(
                f"{name!r} chooses its epoch on a validation part: pass validation=(images, labels)"
            )
        if type(self.size_px) is not int or not 1 <= self.size_px <= LARGEST_PX:
            raise ModelError(
                f"size_px must be a whole number above 0 and at most {LARGEST_PX}, got {self.size_px!r}"
            )
        device = _device(self.device)
        with memory_named(name, self.size_px, self._batch_size, device):
            training = self._tensors(images, labels, device, part="training")
            held_out = self._tensors(*validation, device, part="validation")
            with seeded(self.seed, device):
                network, note = self._start(name)
                self._fit_to_size(network, name)
                network = network.to(device).to(memory_format=torch.channels_last)
                self._input = input_of(name, self.stage_of(self.start, self.weights))
                self._normaliser = Normaliser.on(device, self._input.mean, self._input.std)
                _check_takes(network, name, self.size_px, self._normaliser)
                course = train(
                    network,
                    training,
                    held_out,
                    self._settings(from_scratch=note is not None),
                    n_classes=self.n_classes,
                    seed=self.seed,
                    normaliser=self._normaliser,
                    session=self.session,
                )
        self.training_, self.looks_ = course.as_dict(), course.looks
        self.notes_ = self._notes(note, course)
        self.network_, self._device = network, device
        self.absent_ = sorted(set(range(self.n_classes)) - set(training.labels.tolist()))
        return self

    def predict_proba(self, images: ImagesView) -> np.ndarray:
        """Return float64 (N, n_classes); a class that training never showed has probability 0."""
        import torch

        if not hasattr(self, "network_"):
            raise ModelError(f"{type(self).__name__}: call fit before predict_proba")
        name = self.network(self.variant)
        with memory_named(name, self.size_px, self._batch_size, self._device):
            pixels = torch.from_numpy(np.array(images.resized(self.size_px)))
            return probabilities(self.network_, pixels.to(self._device), self.absent_, self._normaliser)

    def save(self, path: Path) -> None:
        """Write the weights of the best look as safetensors; the header says of which network.

        Raises `ModelError` before `fit` and when the disk refuses.
        """
        from safetensors.torch import save_file

        if not hasattr(self, "network_"):
            raise ModelError(f"{type(self).__name__}: call fit before save")
        facts = {
            "network": canonical(self.network(self.variant)),
            "n_classes": str(self.n_classes),
            "size_px": str(self.size_px),
            **self._input.metadata,
        }
        if hasattr(self.network_, "transform_input"):
            facts["transform_input"] = str(bool(self.network_.transform_input)).lower()
        state = {name: value.cpu().contiguous() for name, value in unfolded(self.network_).items()}
        with whole_file(path, f"weights of {facts['network']!r}") as temporary:
            save_file(state, temporary, metadata=facts)

    def _notes(self, note: str | None, course: Training) -> list[str]:
        """Return what a reader of the board must know of the training."""
        size_note = f"{self.size_px} px images" if self.size_px != PAPER_SIZE_PX else None
        method_note = f"trained by {self.method}" if self.method != "modern" else None
        unrepeatable = ", ".join(course.unrepeatable)
        device_note = (
            f"not repeatable to the last digit on {self.device}: {unrepeatable}" if unrepeatable else None
        )
        resumed = course.resumed_from
        resumed_note = (
            f"interrupted: went on after step {resumed}, its seconds are of the rest" if resumed else None
        )
        notes = [note, size_note, method_note, device_note, resumed_note, *course.notes]
        return [text for text in notes if text is not None]

    def _tensors(self, images: ImagesView, labels: np.ndarray, device: torch.device, *, part: str) -> Tensors:
        checked = checked_labels(labels, len(images), self.n_classes, part=part)
        check_room(len(images), self.network(self.variant), self.size_px, self._batch_size, device)
        return Tensors.on(device, images.resized(self.size_px), checked)

    def _start(self, name: str) -> tuple[nn.Module, str | None]:
        """Return the network, and a note where it doesn't start from pretrained weights."""
        if self.weights not in WEIGHTS:
            raise UnknownName("weights", str(self.weights), WEIGHTS)
        stage = self.stage_of(self.start, self.weights)
        if stage is None and self.weights == "none":
            reason = "weights='none' was asked for"
        else:
            try:
                return build(name, n_classes=self.n_classes, pretrained=True, start=stage), None
            except WeightsUnavailable as error:
                reason = str(error)
        network = build(name, n_classes=self.n_classes, pretrained=False)
        self._prepare_from_scratch(network)
        return network, f"trained from scratch: {reason}"

    def _prepare_from_scratch(self, network: nn.Module) -> None:
        """Change the initial weights of a network that starts from none; nothing unless a family overrides it."""

    def _fit_to_size(self, network: nn.Module, name: str) -> None:
        """Make a network cheaper for `size_px` where that leaves what it computes; nothing unless a family can."""

    @property
    def _batch_size(self) -> int:
        return _first(find_method(self.method).batch_size, self.batch_size)

    def _settings(self, *, from_scratch: bool) -> Settings:
        method = find_method(self.method)
        own_rate = self.rates[0 if from_scratch else 1]
        return Settings(
            images_seen=self.images_seen,
            batch_size=self._batch_size,
            learning_rate=self.learning_rate_scale * _first(method.learning_rate, own_rate),
            weight_decay=_first(method.weight_decay, self.weight_decay),
            augmentation=_first(method.augmentation, self.augmentation),
            looks=self.looks,
            label_smoothing=self.label_smoothing,
            average=self.average,
            method=method,
        )


@dataclass(kw_only=True, eq=False)
class DenseNet(Network):
    """DenseNet (Huang et al., 2017), 169 layers as in Zhao et al. (2020)."""

    family = "densenet"
    variants = ("121", "161", "169", "201")
    recipes = _recipes(smoke_images=1100, quick_images=4500, trial_images=450, size_px=48)

    variant: str = "169"


@dataclass(kw_only=True, eq=False)
class DenseNetZhao2020(DenseNet):
    """The baseline of Zhao et al. (2020) as printed: batches of 4, Adam at 1e-4, cosine, their random views, untuned.

    Unlike the paper's DenseNet-169, 121 layers: of those, weights from chest radiographs are published.
    """

    variant: str = "121"
    method: str = "zhao2020"
    first_stage = "xrv:densenet121-nih"
    search_space = None  # type: ignore[assignment] # as printed: there is nothing to choose


@dataclass(kw_only=True, eq=False)
class ResNet(Network):
    """ResNet (He et al., 2016), 50 layers; Soares et al. (2020) don't say how many they took."""

    family = "resnet"
    variants = ("18", "34", "50", "101", "152")
    recipes = _recipes(smoke_images=900, quick_images=3600, trial_images=400, size_px=48, smoke_batch=8)

    variant: str = "50"

    def _prepare_from_scratch(self, network: nn.Module) -> None:
        """Let every block start as the identity, as Goyal et al. (2017, section 5.1) do for short trainings."""
        from torch import nn

        for block in network.modules():
            if hasattr(block, "downsample"):  # a residual block
                last = block.get_submodule("bn3" if hasattr(block, "bn3") else "bn2")
                nn.init.zeros_(last.get_parameter("weight"))


@dataclass(kw_only=True, eq=False)
class GoogleNet(Network):
    """GoogLeNet (Szegedy et al., 2015) in torchvision's form: with batch norm, without auxiliary classifiers."""

    family = "googlenet"
    recipes = _recipes(smoke_images=1700, quick_images=7000, trial_images=800)


@dataclass(kw_only=True, eq=False)
class VGG16(Network):
    """VGG (Simonyan and Zisserman, 2015), 16 layers, without batch norm."""

    family = "vgg"
    variants = ("11", "13", "16", "19")
    rates = (1e-4, 5e-5)
    recipes = _recipes(smoke_images=900, quick_images=3600, trial_images=400, size_px=32)

    variant: str = "16"

    def _fit_to_size(self, network: nn.Module, name: str) -> None:
        with _named_size(name, self.size_px):
            fold_repeats(network, self.size_px)


@dataclass(kw_only=True, eq=False)
class AlexNet(Network):
    """AlexNet (Krizhevsky et al., 2012) in torchvision's form; takes images of 63 pixels or more."""

    family = "alexnet"
    rates = (3e-4, 1e-4)
    recipes = _recipes(smoke_images=3000, quick_images=12000, trial_images=1400)

    def _fit_to_size(self, network: nn.Module, name: str) -> None:
        with _named_size(name, self.size_px):
            fold_repeats(network, self.size_px)


@dataclass(kw_only=True, eq=False)
class TimmNetwork(Network):
    """Any image classifier of timm by name: `timm:convnext_tiny`."""

    family = "timm"
    recipes = _recipes(smoke_images=800, quick_images=2400, trial_images=300)

    variant: str = "convnext_tiny"

    @classmethod
    def network(cls, variant: str) -> str:
        return f"{cls.family}:{variant}"


@dataclass(kw_only=True, eq=False)
class TorchvisionNetwork(TimmNetwork):
    """Any image classifier of torchvision by name: `torchvision:squeezenet1_1`.

    On a CPU without augmentation, which costs accuracy where only 4000 images are seen: `docs/training.md`.
    """

    family = "torchvision"
    rates = (1e-3, 3e-4)
    recipes = _recipes(smoke_images=800, quick_images=4000, trial_images=400, size_px=128, augmentation=0.0)

    variant: str = "squeezenet1_1"


def _first(fixed: T | None, given: T) -> T:
    """Return what a method fixes, else what was given."""
    return given if fixed is None else fixed


def _device(name: str) -> torch.device:
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"device {name!r}: there is no such kind; use 'cpu' or 'cuda'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {name!r}: no CUDA device was found; use device='cpu'")
    return device


def _check_takes(network: nn.Module, name: str, size_px: int, normaliser: Normaliser) -> None:
    """Raise `ModelError` when the network cannot take images of this size: some have a least size, some one size."""
    import torch

    network.eval()
    black = torch.zeros(2, size_px, size_px, dtype=torch.uint8, device=normaliser.scale.device)
    with _named_size(name, size_px), torch.inference_mode():
        network(normaliser(black))


@contextmanager
def _named_size(name: str, size_px: int) -> Iterator[None]:
    """Turn what torch says of images that are too small, or of the wrong size, into one line."""
    try:
        yield
    except (RuntimeError, AssertionError, ValueError) as error:
        if NO_MEMORY.search(str(error)):
            raise  # no fault of the size: `memory_named` tells it
        reason = " ".join(str(error).split())
        raise ModelError(f"{name!r} does not take images of {size_px} px; set size_px ({reason})") from error
