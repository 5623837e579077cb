"""Random views of a batch of grey images, made on the device that trains.

What Zhao et al. (2020) name for their baseline - random affine maps, crops, flips - in one resampling,
and a change of window (brightness and contrast), because CT figures come in many windows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["augmented"]

# The largest change at strength 1.
ROTATION_RADIANS = math.radians(15)  # the middle of the 5, 15 and 25 degrees of Zhao et al.
TRANSLATION = 0.1  # fraction of the side
SCALING = 0.15  # a factor of exp(+-0.15); zooming in is a crop
CONTRAST = 0.2
BRIGHTNESS = 0.1  # fraction of full white


def augmented(x_BSS: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Return a random view of each image, uint8 (B, S, S) like `x_BSS`.

    `strength` scales every change but the horizontal flip; 0 gives the images back untouched.
    Random numbers are drawn on the CPU, so every device sees the same views.
    """
    from torch.nn.functional import affine_grid, grid_sample

    if strength == 0:
        return x_BSS
    maps_B23, window_B2 = _drawn(len(x_BSS), strength, generator)
    x_B1SS = x_BSS.unsqueeze(1).float()
    grid = affine_grid(maps_B23.to(x_BSS.device), list(x_B1SS.shape), align_corners=False)
    x_B1SS = grid_sample(x_B1SS, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    contrast, brightness = window_B2.to(x_BSS.device)[:, :, None, None, None].unbind(1)
    x_B1SS = (x_B1SS - 127.5) * contrast + 127.5 + 255 * brightness
    return x_B1SS.round_().clamp_(0, 255).to(x_BSS.dtype).squeeze(1)


def _drawn(n: int, strength: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return n affine maps (n, 2, 3) from output to input coordinates, and n (contrast, brightness) pairs."""
    import torch

    uniform = torch.rand(7, n, generator=generator) * 2 - 1
    flip = uniform[0].sign()
    angle, left, up = (
        uniform[1] * ROTATION_RADIANS * strength,
        uniform[2] * 2 * TRANSLATION * strength,
        uniform[3] * 2 * TRANSLATION * strength,
    )
    scale = (uniform[4] * SCALING * strength).exp()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = [torch.stack([flip * cos, -sin, left], dim=1), torch.stack([flip * sin, cos, up], dim=1)]
    window = torch.stack([1 + uniform[5] * CONTRAST * strength, uniform[6] * BRIGHTNESS * strength], dim=1)
    return torch.stack(rows, dim=1), window
