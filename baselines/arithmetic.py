"""In which numbers, and how repeatably, a device trains.

bfloat16 where the hardware multiplies it (NVIDIA from Ampere on, Intel with AMX), float16 with scaled gradients on
older graphics cards, float32 everywhere else. Probabilities are computed in float32 on every device.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Arithmetic", "arithmetic_of", "repeatable", "seeded"]

BFLOAT16_CAPABILITY = 8
"""Major compute capability from which NVIDIA's cards multiply bfloat16 (Ampere)."""

UNREPEATABLE = re.compile(
    r"^(.+?) (?:does not have a deterministic implementation|defaults to a non-deterministic)"
)
"""How torch warns of an operation whose result may differ from run to run."""


@dataclass(frozen=True)
class Arithmetic:
    """The numbers that the products of a training step are computed in: 'bfloat16', 'float16' or 'float32'."""

    name: str

    @property
    def scales_gradients(self) -> bool:
        """True where gradients would vanish unscaled: float16 has five bits of exponent."""
        return self.name == "float16"

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        import torch

        if self.name == "float32":
            return nullcontext()
        return torch.autocast(device.type, dtype=getattr(torch, self.name))


def arithmetic_of(device: torch.device) -> Arithmetic:
    """Return the fastest arithmetic that a device trains well in."""
    import torch

    if device.type == "cuda":
        capability, _ = torch.cuda.get_device_capability(device)
        return Arithmetic("bfloat16" if capability >= BFLOAT16_CAPABILITY else "float16")
    capabilities: Mapping[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # torch 2.4 cannot say
    return Arithmetic("bfloat16" if device.type == "cpu" and capabilities.get("amx_bf16") else "float32")


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Give initialisation and dropout the random state of `seed`; afterwards the old state is back."""
    import torch

    gpus = range(torch.cuda.device_count()) if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=gpus),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


@contextmanager
def repeatable(device: torch.device) -> Iterator[list[str]]:
    """Let a graphics card repeat its results where it can; yield a list that afterwards names what it cannot.

    The CPU repeats all that is used here, with the same number of threads. cuBLAS repeats its results where the
    environment has CUBLAS_WORKSPACE_CONFIG, which the command line sets.
    """
    unrepeatable: list[str] = []
    if device.type != "cuda":
        yield unrepeatable
        return
    said: dict[str, tuple[Warning | str, type[Warning], str, int]] = {}

    def keep(message: Warning | str, kind: type[Warning], file: str, line: int, *_: object) -> None:
        said.setdefault(str(message), (message, kind, file, line))

    try:
        with warnings.catch_warnings(), _deterministic():
            warnings.simplefilter("always")
            # Each once: a training says the same at every step.
            warnings.showwarning = keep  # type: ignore[assignment]
            yield unrepeatable
    finally:
        unrepeatable += unrepeatable_operations(list(said))
        for text, warning in said.items():
            if UNREPEATABLE.match(text) is None:
                warnings.warn_explicit(*warning)  # type: ignore[arg-type]


@contextmanager
def _deterministic() -> Iterator[None]:
    """Let torch take algorithms that repeat their results, and warn each time where it has none."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    always = torch.is_warn_always_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_warn_always(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned_only)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        torch.set_warn_always(always)


def unrepeatable_operations(messages: list[str]) -> list[str]:
    """Return the operations that torch's warnings name, sorted, each once.

    >>> unrepeatable_operations(["max_pool does not have a deterministic implementation, but you set", "other"])
    ['max_pool']
    """
    return sorted({found[1] for found in map(UNREPEATABLE.match, messages) if found})
