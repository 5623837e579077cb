"""Fewer weights for small images: what a pooling layer would repeat is added up once.

VGG pools its features to 7 x 7, AlexNet to 6 x 6, and a linear layer takes them all. Of images so small
that the features are a single pixel, that layer gets 49 or 36 copies of it: 100 of VGG-16's 134 million weights
and two thirds of AlexNet's 57 million do the work of a fraction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["fold_repeats", "unfolded"]


def fold_repeats(network: nn.Module, size_px: int) -> bool:
    """Let the first linear layer take one pixel where it would get copies of one; return whether it did.

    For networks with `features`, `avgpool` and `classifier`, as torchvision's VGG and AlexNet. The network
    computes the same function of images of `size_px`, but for rounding: the new weights are the sums of
    the old. Training differs: in one step Adam moves a sum of n weights n times as far.
    """
    import torch
    from torch import nn

    features, classifier = (
        network.get_submodule("features"),
        cast("nn.Sequential", network.get_submodule("classifier")),
    )
    first = next(k for k, layer in enumerate(classifier) if isinstance(layer, nn.Linear))
    linear = cast("nn.Linear", classifier[first])
    features.eval()
    with torch.no_grad():
        in_channels = next(m.in_channels for m in features.modules() if isinstance(m, nn.Conv2d))
        channels, *map_size = features(torch.zeros(1, in_channels, size_px, size_px)).shape[1:]
        if map_size != [1, 1] or linear.in_features == channels:
            return False
        folded = nn.Linear(channels, linear.out_features)
        folded.weight.copy_(linear.weight.view(linear.out_features, channels, -1).sum(dim=2))
        folded.bias.copy_(linear.bias)
    classifier[first] = folded
    network.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    folded.repeats = linear.in_features // channels
    return True


def unfolded(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of a network with the weights that `fold_repeats` added up shared out again.

    It fits the network as its library builds it, and computes the same function of images of the same size.
    """
    state = dict(network.state_dict())
    for name, module in network.named_modules():
        repeats = getattr(module, "repeats", 1)
        if repeats > 1:
            state[f"{name}.weight"] = (state[f"{name}.weight"] / repeats).repeat_interleave(repeats, dim=1)
    return state
