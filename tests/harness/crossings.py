"""Counts what passes between host and device, seen through torch's dispatcher: on the CPU, too."""

from __future__ import annotations

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

READS = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique2", "unique_dim"}
"""Operations whose result, or its size, the host has to know."""

COPIES = {"_to_copy", "copy_", "_copy_from", "lift_fresh"}
"""Operations that may bring data to another device; `lift_fresh` is a tensor made from Python's numbers."""


class Crossings(TorchDispatchMode):
    """Counts scalar reads, and copies that change the device or come from Python."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        result = function(*args, **kwargs)
        if name in READS:
            self.counts["reads"] += 1
        if name in COPIES and (name == "lift_fresh" or kwargs.get("device") is not None or crosses(args)):
            self.counts["copies"] += 1
        return result


def crosses(args):
    return len({tensor.device for tensor in args if isinstance(tensor, torch.Tensor)}) > 1
