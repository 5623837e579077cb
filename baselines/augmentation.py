"""Random views of a batch of grey images, made on the device that trains.

All that moves pixels is one affine map, so a view costs one resampling. What is random is drawn beforehand, on the
CPU and for many steps at once: every device sees the same views, and no step waits for the host.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["WINDOWED", "ZHAO_2020", "Changes", "Views", "augmented", "draw_views"]


@dataclass(frozen=True)
class Changes:
    """The largest changes at strength 1.

    `rotations` are angles in degrees of which each view draws one, then turns by at most as much; `translation`
    and `brightness` are fractions of the side and of full white; scales lie in exp(+-`scaling`); `crop`
    is the least share of the area that a crop keeps (1: no crop); contrasts lie in 1 +- `contrast`.
    """

    rotations: tuple[float, ...]
    translation: float
    scaling: float = 0.0
    crop: float = 1.0
    contrast: float = 0.0
    brightness: float = 0.0


WINDOWED = Changes(rotations=(15,), translation=0.1, scaling=0.15, contrast=0.2, brightness=0.1)
"""Besides what moves, a change of window (contrast and brightness): CT figures come in many windows."""

ZHAO_2020 = Changes(rotations=(5, 15, 25), translation=0.1, crop=0.5)
"""Translation, rotation by 5, 15 or 25 degrees, crop and flip, as Zhao et al. (2020) name them. Unlike the paper,
which prints neither, translations are at most a tenth of the side and crops keep at least half of the area."""


@dataclass(frozen=True)
class Views:
    """Random views of B images: affine maps (B, 2, 3) from output to input, and (contrast, brightness) (B, 2)."""

    maps: torch.Tensor
    window: torch.Tensor

    def to(self, device: torch.device) -> Views:
        return Views(self.maps.to(device), self.window.to(device))

    def split(self, size: int) -> list[Views]:
        """Return the views batch by batch."""
        parts = zip(self.maps.split(size), self.window.split(size), strict=True)
        return [Views(maps, window) for maps, window in parts]


def draw_views(n: int, changes: Changes, strength: float, generator: torch.Generator) -> Views | None:
    """Return n random views on the CPU; None at strength 0, which leaves the images untouched.

    `strength` scales every change but the horizontal flip, which half of the views have.
    """
    import torch

    if strength == 0:
        return None
    uniform = torch.rand(9, n, generator=generator) * 2 - 1
    choice = torch.randint(len(changes.rotations), (n,), generator=generator)
    largest = torch.tensor([math.radians(degrees) for degrees in changes.rotations])[choice]
    angle = uniform[1] * largest * strength
    kept_area = 1 - (1 - changes.crop) * strength * (uniform[2] + 1) / 2
    side = kept_area.clamp_min(0.01).sqrt()
    scale = (uniform[3] * changes.scaling * strength).exp() * side
    # In units of half a side: a crop lies anywhere in the image, a translation moves it further.
    shift = uniform[4:6] * (1 - side) + uniform[6:8] * 2 * changes.translation * strength
    flip = uniform[0].sign()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = [torch.stack([flip * cos, -sin, shift[0]], dim=1), torch.stack([flip * sin, cos, shift[1]], dim=1)]
    contrast = 1 + uniform[8] * changes.contrast * strength
    brightness = (torch.rand(n, generator=generator) * 2 - 1) * changes.brightness * strength
    return Views(torch.stack(rows, dim=1), torch.stack([contrast, brightness], dim=1))


def augmented(x_BSS: torch.Tensor, views: Views) -> torch.Tensor:
    """Return the views of uint8 (B, S, S), float32 with values from 0 to 255; what comes from outside is black."""
    from torch.nn.functional import affine_grid, grid_sample

    x_B1SS = x_BSS.unsqueeze(1).float()
    grid = affine_grid(views.maps, list(x_B1SS.shape), align_corners=False)
    x_B1SS = grid_sample(x_B1SS, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    contrast, brightness = views.window[:, :, None, None, None].unbind(1)
    x_B1SS = (x_B1SS - 127.5) * contrast + (127.5 + 255 * brightness)
    return x_B1SS.clamp_(0, 255).squeeze(1)
