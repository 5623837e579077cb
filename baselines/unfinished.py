"""What an interrupted training goes on from: one file, replaced in one rename, read without running what is in it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.whole_files import whole_file

if TYPE_CHECKING:
    import torch

__all__ = ["Unfinished", "fingerprint"]

KEEP_SECONDS = 15.0
"""The least time between two states that are kept: an interruption costs at most this much and a look."""

KEEP_SHARE = 20
"""Keeping may take a twentieth of the time: large networks on fast cards keep less often."""


@dataclass
class Unfinished:
    """The state of a training in a folder; without one, nothing is kept.

    `notes` say what a reader of the record must know: that a kept state could not be used.
    """

    file: Path | None = None
    identity: str = ""
    notes: list[str] = field(default_factory=list)
    _kept_at: float = field(default_factory=time.monotonic)
    _keeping_seconds: float = 0.0

    @classmethod
    def in_folder(cls, folder: Path | None, identity: Callable[[], str]) -> Unfinished:
        return cls() if folder is None else cls(folder / "training.pt", identity())

    def read(self, device: torch.device) -> dict[str, Any] | None:
        """Return the kept state, None when there is none of exactly this training."""
        import torch

        if self.file is None or not self.file.is_file():
            return None
        try:
            found = torch.load(self.file, map_location=device, weights_only=True)
            identity, state = found["identity"], dict(found["state"])
        except Exception as error:  # noqa: BLE001 - a damaged file may raise anything; the training starts anew
            self.notes.append(
                f"a kept state could not be read ({type(error).__name__}): trained from the start"
            )
            return None
        return state if identity == self.identity else None

    def keep(self, state: dict[str, Any]) -> None:
        """Replace what is kept, unless that was a moment ago. Raises `ModelError` when the disk refuses."""
        start = time.monotonic()
        if self.file is None or start - self._kept_at < max(KEEP_SECONDS, KEEP_SHARE * self._keeping_seconds):
            return
        self._write(self.file, state)
        self._kept_at = time.monotonic()
        self._keeping_seconds = self._kept_at - start

    def _write(self, file: Path, state: dict[str, Any]) -> None:
        import torch

        with whole_file(file, "the state of the training") as temporary:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"identity": self.identity, "state": state}, temporary)


def fingerprint(facts: Iterable[Any], tensors: Iterable[torch.Tensor]) -> str:
    """Return the SHA-256 of facts (by their `repr`) and tensors, and of torch's version."""
    import torch

    digest = hashlib.sha256(repr((torch.__version__, list(facts))).encode())
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
