"""Networks of torchvision and timm: built with a new classifier, or asked for the features before it.

The features of an image are what reaches the classifier: for VGG-16 and AlexNet the 4096 outputs of the
second fully connected layer after its ReLU (fc7, dropout off), which is what Soares et al. (2020,
section 2.1) call the last fully connected layer of VGG-16; for SqueezeNet the 512 channels of the last
Fire module, averaged over the image; for GoogLeNet, ResNet, DenseNet and the others of torchvision the
averaged channels (1024, 2048, 1664 ...) that enter the last linear layer; for timm what a network
without a classifier (`num_classes=0`) returns.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.catalogue import IMAGENET_MEAN, IMAGENET_STD, Network, canonical, find_network
from harness.checkpoints import tensors
from harness.counters import count
from harness.errors import ModelError, StageError, UsageError, WeightsUnavailable
from harness.stages import PREFIX, Stage, plain, read_stage
from harness.types import Progress
from harness.weights import find, is_published, unavailable

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Input",
    "Normaliser",
    "build",
    "canonical",
    "embed",
    "input_of",
    "minimum_size",
]

WITH_AUXILIARIES = ("googlenet", "inception_v3")
"""Networks that were trained with further classifiers on the way, which nobody needs afterwards."""

AUXILIARY = re.compile(r"aux[12]\.|AuxLogits\.")

# Published DenseNet weights still have the dots in 'norm.1' that modules may no longer have.
DENSE_LAYER = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")

BFLOAT16_CAPABILITY = 8
"""Major compute capability from which NVIDIA's cards have bfloat16 (Ampere)."""


def minimum_size(network: str) -> int:
    """Return the least width and height, in px, of the images that `network` takes, as its makers state it.

    Transformers take exactly that size. Raises `UnknownName` and `UsageError` as `canonical` does.
    """
    return find_network(network).minimum_px


@dataclass(frozen=True)
class Input:
    """What a network expects of an image: how many equal channels, and the statistics for `Normaliser`."""

    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def metadata(self) -> dict[str, str]:
        """What `Model.save` writes into a file's metadata, so that a first stage is fed as it was trained."""
        statistics = {"mean": list(self.mean), "std": list(self.std)}
        return {"in_channels": str(self.in_channels), "normalisation": json.dumps(statistics)}


def input_of(network: str, start: str | None = None) -> Input:
    """Return what images must be for `network`, starting from the first stage `start` if one is given.

    A stage whose metadata say how it was fed decides; the others are fed as the published weights are.
    Raises as `canonical` does, and `StageError` for a stage that cannot be used.
    """
    known = find_network(network)
    if start is not None:
        if is_published(start):
            known = find_network(plain(start))
        elif (stage := read_stage(start)).mean is not None and stage.std is not None:
            return Input(len(stage.mean), stage.mean, stage.std)
    return Input(len(known.mean), known.mean, known.std)


def build(
    network: str,
    *,
    n_classes: int,
    pretrained: bool,
    in_channels: int | None = None,
    start: str | None = None,
) -> nn.Module:
    """Return `network` with a new classifier of `n_classes` outputs, on the CPU, in training mode.

    With `pretrained`, everything but the classifier comes from the weights that `harness.weights.find`
    finds; with `start`, 'stage:NAME_OR_PATH' or a bare name or path, from that first stage instead. What is not
    loaded is drawn from torch's global generator, which the caller seeds. `in_channels` None is what `input_of`
    says; with others than the weights have, a first convolution answers equal channels as it did before.
    Unlike torchvision's, a SqueezeNet has no ReLU after its classifier: with two classes, it kills
    both outputs of many a network.

    Raises `UnknownName`, `UsageError`, `WeightsUnavailable` for published weights that are absent, damaged or
    another network's, and `StageError` for such a first stage.
    """
    known = find_network(network)
    if n_classes < 1 or (in_channels is not None and in_channels < 1):
        raise ModelError(
            f"network {network!r}: expected at least 1 class and 1 channel, got {n_classes!r} and {in_channels!r}"
        )
    file = _Origin.of(known, pretrained, start)
    make = _from_timm if known.is_timm else _from_torchvision
    return make(known, n_classes, file, in_channels or input_of(network, start).in_channels)


def embed(
    network: str,
    images_NSS: np.ndarray,
    *,
    device: str = "cpu",
    batch_size: int = 32,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return float32 (N, d), the pretrained features of uint8 (N, S, S) images.

    Computed in float32 on the CPU, under bfloat16 autocast on graphics cards that have it. The same
    images on the same machine with the same number of threads give the same features; torch's global
    generator is left as it was.

    Raises `ModelError` when the network cannot take images of this size or its features are no numbers,
    and as `build` does.
    """
    import torch

    known = find_network(network)
    _check_images(known, images_NSS)
    with torch.random.fork_rng(devices=[]):
        model = _without_classifier(known)
    model = model.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
    what = f"features of {len(images_NSS)} images by {known.name}"
    found = []
    with torch.inference_mode(), _arithmetic(device):
        normaliser = Normaliser.on(device, known.mean, known.std)
        width = _width(model, known, images_NSS.shape[1], normaliser)
        for batch in _batches(images_NSS, batch_size, device):
            found.append(_features(model, normaliser, batch))
            count("forwards", len(batch))
            if progress is not None:
                progress(what, min(1.0, len(found) * batch_size / len(images_NSS)))
        x_ND = torch.cat([torch.empty((0, width), device=device), *found]).cpu().numpy()
    if not np.isfinite(x_ND).all():
        raise ModelError(
            f"network {known.name!r}: its features are not finite; is its file of weights sound?"
        )
    return x_ND


@dataclass(frozen=True)
class Normaliser:
    """What a network expects of grey images: `scale` and `offset` (C, 1, 1) on the device that computes.

    Made once: numbers that come from Python at each call would make a graphics card wait for the host.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    @classmethod
    def on(
        cls,
        device: torch.device | str,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> Normaliser:
        """Return the one for these statistics of intensities between 0 and 1, a pair of them a channel."""
        import torch

        scale = torch.tensor([1 / (255 * s) for s in std], device=device)
        offset = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
        return cls(scale[:, None, None], offset[:, None, None])

    def __call__(self, x_NSS: torch.Tensor) -> torch.Tensor:
        """Return float32 (N, C, S, S) of values from 0 to 255, channels last in memory.

        Each channel holds the grey value between 0 and 1, less its mean, over its standard deviation.
        """
        import torch

        x_NCSS = torch.addcmul(self.offset, x_NSS[:, None].float(), self.scale)
        return x_NCSS.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class _Origin:
    """A file that a network starts from; `stage` is the first stage's name, None for published weights.

    `is_published` says that training began with published weights, which some networks feed otherwise.
    """

    file: Path
    stage: str | None = None
    is_published: bool = True

    @classmethod
    def of(cls, network: Network, pretrained: bool, start: str | None) -> _Origin | None:
        """Return where the weights come from, None where they are drawn. Raises as `build` does."""
        if start is None:
            return cls(_file_of(network)) if pretrained else None
        if not is_published(start):
            stage = read_stage(start)
            _check_same_network(network, stage)
            fed_as_published = stage.transforms_input
            if fed_as_published is None:
                fed_as_published = not stage.is_from_scratch
            return cls(stage.file, stage.name, fed_as_published)
        if find_network(plain(start)).architecture != network.architecture:
            raise _other_network(plain(start), plain(start), network)
        found = find(f"{PREFIX}{plain(start)}")
        assert found.file is not None
        return cls(found.file, plain(start))

    def misfit(self, network: Network, why: str) -> WeightsUnavailable | StageError:
        """Return the error that says in one line why the file does not hold this network."""
        line = " ".join(why.split())
        if len(line) > 200:
            line = f"{line[:200]}..."
        if self.stage is not None:
            return StageError(f"first stage {self.stage!r} does not hold {network.name!r}: {line}")
        return WeightsUnavailable(
            f"weights of {network.name!r}: {str(self.file)!r} does not hold them: {line}; "
            "put the right file in its place"
        )


def _check_same_network(network: Network, stage: Stage) -> None:
    """Raise `StageError` when a stage says that it holds another network, or one that nobody knows."""
    if stage.network is None:
        return
    try:
        held = find_network(stage.network)
    except UsageError as error:
        raise StageError(f"first stage {stage.name!r} holds {stage.network!r}: {error}") from error
    if held.architecture != network.architecture:
        raise _other_network(stage.name, held.name, network)


def _other_network(stage: str, held: str, network: Network) -> StageError:
    return StageError(
        f"first stage {stage!r} holds the network {held!r}, the model asks for {network.name!r}"
    )


def _file_of(network: Network) -> Path:
    weights = find(network.name)
    if weights.file is None:
        raise WeightsUnavailable(unavailable(weights))
    return weights.file


def _from_torchvision(
    network: Network, n_classes: int, origin: _Origin | None, in_channels: int
) -> nn.Module:
    from torch import nn
    from torchvision import models

    options: dict[str, Any] = {}
    if network.name in WITH_AUXILIARIES:
        # The published weights expect images that the network itself brings to its makers' scale.
        options = {
            "aux_logits": False,
            "init_weights": origin is None,
            "transform_input": origin is not None and origin.is_published and in_channels == 3,
        }
    model = models.get_model(network.own_name, weights=None, num_classes=n_classes, **options)
    if isinstance(model, models.SqueezeNet):
        dropout, convolution, _, pool = model.classifier
        model.classifier = nn.Sequential(dropout, convolution, pool)
    if in_channels != 3:
        _replace_first_convolution(model, in_channels)
    if origin is not None:
        _load(model, network, origin, in_channels)
    return model


def _load(model: nn.Module, network: Network, origin: _Origin, in_channels: int) -> None:
    """Load all but the classifier of a torchvision network, and nothing less. Raises as `build` does."""
    head = f"{_classifier_name(model)}."
    first = f"{_first_convolution(model)[0]}.weight"
    published = _state(origin, network)
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for key, value in published.items():
        name = DENSE_LAYER.sub(r"\1\2", key)
        if not name.startswith(head) and not AUXILIARY.match(name):
            state[name] = _shared_out(value, in_channels) if name == first else value
    # Versions of the modules that were saved: with them torch knows how to read older files.
    state._metadata = getattr(published, "_metadata", OrderedDict())  # type: ignore[attr-defined]
    try:
        result = model.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError) as error:
        raise origin.misfit(network, str(error)) from error
    missing = [key for key in result.missing_keys if not key.startswith(head)]
    if missing or result.unexpected_keys:
        raise origin.misfit(
            network,
            f"{len(missing)} tensors are missing (first: {next(iter(missing), None)!r}) and "
            f"{len(result.unexpected_keys)} unknown (first: {next(iter(result.unexpected_keys), None)!r})",
        )


def _from_timm(network: Network, n_classes: int, origin: _Origin | None, in_channels: int) -> nn.Module:
    import timm

    if origin is None:
        return timm.create_model(
            network.own_name, pretrained=False, num_classes=n_classes, in_chans=in_channels
        )
    # As a dictionary: timm then renames and adapts what it must, but never opens the file itself.
    state = dict(_state(origin, network))
    overlay: dict[str, Any] = {"state_dict": state, "custom_load": False}
    options: dict[str, Any] = {}
    if origin.stage is not None and (classes := _classes_in(state, network)):
        overlay["num_classes"] = options["num_classes"] = classes
    try:
        # With the number of classes that the weights have, timm insists that every tensor fits.
        model: Any = timm.create_model(
            network.own_name, pretrained=True, pretrained_cfg_overlay=overlay, in_chans=in_channels, **options
        )
    except (RuntimeError, ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
        raise origin.misfit(network, str(error)) from error
    model.pretrained_cfg.pop("state_dict", None)
    model.reset_classifier(n_classes)
    return model


def _classes_in(state: Mapping[str, torch.Tensor], network: Network) -> int:
    """Return how many classes the classifier of a timm network's weights has, 0 where it has none."""
    import timm

    cfg = timm.get_pretrained_cfg(network.own_name)
    first = cfg.classifier if cfg is not None and isinstance(cfg.classifier, str) else ""
    weight = state.get(f"{first}.weight")
    return len(weight) if weight is not None else 0


def _state(origin: _Origin, network: Network) -> Mapping[str, torch.Tensor]:
    """Return the tensors of a file by name; nothing in it is executed. Raises as `build` does."""
    try:
        return tensors(origin.file)
    except WeightsUnavailable as error:
        raise origin.misfit(network, str(error)) from error


def _classifier_name(model: nn.Module) -> str:
    """Return the name of a torchvision network's last layer that weighs features."""
    from torch import nn

    last = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return last[-1] if last else "classifier.1"  # SqueezeNet's is a convolution


def _first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d]:
    from torch import nn

    return next((name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d))


def _replace_first_convolution(model: nn.Module, in_channels: int) -> None:
    from torch import nn

    name, old = _first_convolution(model)
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        kernel_size=old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    _set_module(model, name, new)


def _shared_out(kernels: torch.Tensor, in_channels: int) -> torch.Tensor:
    """Return (out, in_channels, h, w) kernels that answer equal channels as kernels of other channels did."""
    if kernels.ndim != 4 or kernels.shape[1] == in_channels:
        return kernels
    return kernels.sum(1, keepdim=True).repeat(1, in_channels, 1, 1) / in_channels


def _set_module(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def _without_classifier(network: Network) -> nn.Module:
    """Return the pretrained network whose output is what its classifier was given."""
    from torch import nn
    from torchvision import models

    model = build(network.name, n_classes=1, pretrained=True)
    if network.is_timm:
        model.reset_classifier(0)  # type: ignore[operator]
    elif isinstance(model, models.SqueezeNet):
        model.classifier = nn.AdaptiveAvgPool2d(1)
    else:
        _set_module(model, _classifier_name(model), nn.Identity())
    return model


def _check_images(network: Network, images_NSS: np.ndarray) -> None:
    shape = images_NSS.shape
    if images_NSS.dtype != np.uint8 or len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(f"expected uint8 (N, S, S), got {images_NSS.dtype} {shape}")
    least = network.minimum_px
    if shape[1] < least or (network.fixed and shape[1] != least):
        wants = f"exactly {least}" if network.fixed else f"at least {least}"
        raise ModelError(
            f"network {network.name!r} takes images of {wants} px, got {shape[1]}; choose another size"
        )


def _width(model: nn.Module, network: Network, size_px: int, normaliser: Normaliser) -> int:
    """Return the number of features, from one black image. Raises `ModelError` when it does not pass."""
    import torch

    try:
        black = torch.zeros((1, size_px, size_px), dtype=torch.uint8, device=normaliser.scale.device)
        return _features(model, normaliser, black).shape[1]
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ModelError(
            f"network {network.name!r} cannot take images of {size_px} px: {' '.join(str(error).split())[:200]}"
        ) from error


def _features(model: nn.Module, normaliser: Normaliser, x_NSS: torch.Tensor) -> torch.Tensor:
    return model(normaliser(x_NSS)).flatten(1).float()


def _batches(images_NSS: np.ndarray, batch_size: int, device: str) -> Iterator[torch.Tensor]:
    """Yield the images on the device, batch by batch; moved there at once where they fit."""
    import torch

    if device.startswith("cuda") and images_NSS.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        count("device_bytes", images_NSS.nbytes)
        yield from torch.from_numpy(np.array(images_NSS)).to(device).split(batch_size)
        return
    for start in range(0, len(images_NSS), batch_size):
        # A copy: torch warns of arrays that cannot be written, and caches are such.
        batch = torch.from_numpy(np.array(images_NSS[start : start + batch_size]))
        count("device_bytes", batch.nbytes)
        yield batch.to(device)


@contextmanager
def _arithmetic(device: str) -> Iterator[None]:
    """Choose the precision, and on a graphics card the algorithms that repeat their results."""
    import torch

    if not device.startswith("cuda"):
        yield
        return
    has_bfloat16 = torch.cuda.get_device_capability(device)[0] >= BFLOAT16_CAPABILITY
    repeatable = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with repeatable, torch.autocast("cuda", torch.bfloat16, enabled=has_bfloat16):
        yield
