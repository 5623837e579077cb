"""Memory that runs out, told in one line with the numbers in it; nothing is made smaller instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import ModelError
from harness.machine import available_memory_mb

if TYPE_CHECKING:
    import torch

__all__ = ["NO_MEMORY", "check_room", "memory_named"]

NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|Unable to allocate|STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
"""How torch's allocators and numpy say it; torch's one for the CPU raises a plain RuntimeError."""

WANTED = re.compile(r"(?:allocate|allocate memory: you tried to allocate)\s+([\d.]+ ?\w+)", re.IGNORECASE)


@contextmanager
def memory_named(network: str, size_px: int, batch_size: int, device: torch.device) -> Iterator[None]:
    """Turn an allocation that was refused into a `ModelError` with the sizes of what was asked for."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = " ".join(str(error).split())
        if not isinstance(error, MemoryError) and NO_MEMORY.search(said) is None:
            raise
        wanted = WANTED.search(said)
        raise _refused(network, size_px, batch_size, device, wanted[1] if wanted else None) from error


def check_room(n_images: int, network: str, size_px: int, batch_size: int, device: torch.device) -> None:
    """Raise `ModelError` when so many images alone are more than the device has left.

    A system that promises memory it does not have would end the process later, without a word.
    """
    needed = n_images * size_px**2
    if needed > _free(device)[0]:
        raise _refused(network, size_px, batch_size, device, f"{needed / 1e6:.0f} MB")


def _refused(
    network: str, size_px: int, batch_size: int, device: torch.device, wanted: str | None
) -> ModelError:
    free, total = _free(device)
    asked = f", where {wanted} were asked for" if wanted else ""
    of_total = f" of {total / 1e6:.0f}" if total else ""
    return ModelError(
        f"{network!r}: no memory left on {device} with {size_px} px images and batches of {batch_size}{asked}; "
        f"{free / 1e6:.0f}{of_total} MB are free; set a smaller size_px or batch_size"
    )


def _free(device: torch.device) -> tuple[float, float | None]:
    """Return how many bytes are free and, of a graphics card, how many it has."""
    if device.type == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused, total  # what torch keeps of earlier cells it gives to the next
    return available_memory_mb() * 1e6, None
