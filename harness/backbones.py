"""Networks of torchvision and timm: built with a new classifier, or asked for the features before it.

The features of an image are what reaches the classifier: for VGG-16 and AlexNet the 4096 outputs of the
second fully connected layer after its ReLU (fc7, dropout off), which is what Soares et al. (2020,
section 2.1) call the last fully connected layer of VGG-16; for SqueezeNet the 512 channels of the last
Fire module, averaged over the image; for GoogLeNet, ResNet, DenseNet and the others of torchvision the
averaged channels (1024, 2048, 1664 ...) that enter the last linear layer; for timm what a network
without a classifier (`num_classes=0`) returns.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.catalogue import IMAGENET_MEAN, IMAGENET_STD, Network, canonical, find_network
from harness.counters import count
from harness.errors import ModelError, WeightsUnavailable
from harness.types import Progress
from harness.weights import find, unavailable

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["build", "canonical", "embed", "minimum_size", "normalised"]

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


def build(network: str, *, n_classes: int, pretrained: bool, in_channels: int = 3) -> nn.Module:
    """Return `network` with a new classifier of `n_classes` outputs, on the CPU, in training mode.

    With `pretrained`, everything but the classifier comes from the weights that `harness.weights.find`
    finds. What is not loaded is drawn from torch's global generator, which the caller seeds. With
    other than 3 channels, a pretrained first convolution answers equal channels as it did before.
    Unlike torchvision's, a SqueezeNet has no ReLU after its classifier: with two classes, it kills
    both outputs of many a network.

    Raises `UnknownName`, `UsageError`, and `WeightsUnavailable` for weights that are absent, damaged or
    another network's.
    """
    known = find_network(network)
    if n_classes < 1 or in_channels < 1:
        raise ModelError(
            f"network {network!r}: expected at least 1 class and 1 channel, got {n_classes!r} and {in_channels!r}"
        )
    file = _file_of(known) if pretrained else None
    make = _from_timm if known.is_timm else _from_torchvision
    return make(known, n_classes, file, in_channels)


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
        width = _width(model, known, images_NSS.shape[1], device)
        for batch in _batches(images_NSS, batch_size, device):
            found.append(_features(model, known, batch))
            count("forwards", len(batch))
            if progress is not None:
                progress(what, min(1.0, len(found) * batch_size / len(images_NSS)))
        x_ND = torch.cat([torch.empty((0, width), device=device), *found]).cpu().numpy()
    if not np.isfinite(x_ND).all():
        raise ModelError(
            f"network {known.name!r}: its features are not finite; is its file of weights sound?"
        )
    return x_ND


def normalised(
    x_NSS: torch.Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> torch.Tensor:
    """Return float32 (N, 3, S, S) of grey images with values from 0 to 255, as ImageNet networks expect them.

    Each channel holds the grey value between 0 and 1, less `mean`, over `std`.
    """
    import torch

    scale = torch.tensor([1 / (255 * s) for s in std], device=x_NSS.device)
    offset = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=x_NSS.device)
    return torch.addcmul(offset[:, None, None], x_NSS[:, None].float(), scale[:, None, None])


def _file_of(network: Network) -> Path:
    weights = find(network.name)
    if weights.file is None:
        raise WeightsUnavailable(unavailable(weights))
    return weights.file


def _from_torchvision(network: Network, n_classes: int, file: Path | None, in_channels: int) -> nn.Module:
    from torch import nn
    from torchvision import models

    options: dict[str, Any] = {}
    if network.name in WITH_AUXILIARIES:
        # The published weights expect images that the network itself brings to its makers' scale.
        options = {
            "aux_logits": False,
            "init_weights": file is None,
            "transform_input": file is not None and in_channels == 3,
        }
    model = models.get_model(network.own_name, weights=None, num_classes=n_classes, **options)
    if isinstance(model, models.SqueezeNet):
        dropout, convolution, _, pool = model.classifier
        model.classifier = nn.Sequential(dropout, convolution, pool)
    if in_channels != 3:
        _replace_first_convolution(model, in_channels)
    if file is not None:
        _load(model, network, file, in_channels)
    return model


def _load(model: nn.Module, network: Network, file: Path, in_channels: int) -> None:
    """Load all but the classifier of a torchvision network, and nothing less. Raises `WeightsUnavailable`."""
    head = f"{_classifier_name(model)}."
    first = f"{_first_convolution(model)[0]}.weight"
    published = _state(file, network)
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for key, value in published.items():
        name = DENSE_LAYER.sub(r"\1\2", key)
        if not name.startswith(head) and not AUXILIARY.match(name):
            state[name] = _shared_out(value, in_channels) if name == first and in_channels != 3 else value
    # Versions of the modules that were saved: with them torch knows how to read older files.
    state._metadata = getattr(published, "_metadata", OrderedDict())  # type: ignore[attr-defined]
    try:
        result = model.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError) as error:
        raise _misfit(network, file, str(error)) from error
    missing = [key for key in result.missing_keys if not key.startswith(head)]
    if missing or result.unexpected_keys:
        raise _misfit(
            network,
            file,
            f"{len(missing)} tensors are missing (first: {next(iter(missing), None)!r}) and "
            f"{len(result.unexpected_keys)} unknown (first: {next(iter(result.unexpected_keys), None)!r})",
        )


def _from_timm(network: Network, n_classes: int, file: Path | None, in_channels: int) -> nn.Module:
    import timm

    if file is None:
        return timm.create_model(
            network.own_name, pretrained=False, num_classes=n_classes, in_chans=in_channels
        )
    # As a dictionary: timm then renames and adapts what it must, but never opens the file itself.
    overlay = {"state_dict": dict(_state(file, network)), "custom_load": False}
    try:
        # With the number of classes that the weights have, timm insists that every tensor fits.
        model: Any = timm.create_model(
            network.own_name, pretrained=True, pretrained_cfg_overlay=overlay, in_chans=in_channels
        )
    except (RuntimeError, ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
        raise _misfit(network, file, str(error)) from error
    model.pretrained_cfg.pop("state_dict", None)
    model.reset_classifier(n_classes)
    return model


def _state(file: Path, network: Network) -> Mapping[str, torch.Tensor]:
    """Return the tensors of a file by name; nothing in it is executed. Raises `WeightsUnavailable`."""
    import torch
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            found: Any = load_file(file)
        else:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _misfit(network, file, f"it cannot be read safely ({type(error).__name__}: {error})") from error
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found:
        raise _misfit(network, file, "it holds no tensors by name")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise _misfit(network, file, f"{name!r} is no tensor")
        if tensor.is_floating_point() and tensor.isnan().any():
            raise _misfit(network, file, f"{name!r} holds values that are no numbers")
    return found


def _misfit(network: Network, file: Path, why: str) -> WeightsUnavailable:
    line = " ".join(why.split())
    if len(line) > 200:
        line = f"{line[:200]}..."
    return WeightsUnavailable(
        f"weights of {network.name!r}: {str(file)!r} does not hold them: {line}; put the right file in its place"
    )


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
    """Return (out, in_channels, h, w) kernels that answer equal channels as the RGB kernels did."""
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


def _width(model: nn.Module, network: Network, size_px: int, device: str) -> int:
    """Return the number of features, from one black image. Raises `ModelError` when it does not pass."""
    import torch

    try:
        black = torch.zeros((1, size_px, size_px), dtype=torch.uint8, device=device)
        return _features(model, network, black).shape[1]
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ModelError(
            f"network {network.name!r} cannot take images of {size_px} px: {' '.join(str(error).split())[:200]}"
        ) from error


def _features(model: nn.Module, network: Network, x_NSS: torch.Tensor) -> torch.Tensor:
    import torch

    x_N3SS = normalised(x_NSS, network.mean, network.std).contiguous(memory_format=torch.channels_last)
    return model(x_N3SS).flatten(1).float()


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
