"""Tensors out of files of weights, whoever wrote them: nothing of a file is ever executed.

Read are safetensors, the archives of `torch.save`, and what it wrote before torch 1.6, one pickle after the
other. Files that hold a whole module, as torchxrayvision publishes them, are read too: inert stand-ins take the
place of the classes that they name, and `torch.load(weights_only=True)` refuses every other.
"""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.errors import WeightsUnavailable

if TYPE_CHECKING:
    import torch

__all__ = ["header", "is_whole_pickle", "tensors"]

DAMAGE = (
    ValueError,
    OSError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    MemoryError,
    OverflowError,
)
"""What reading instructions that make no sense may raise; a length of 2**62 bytes is one."""

MOST_HEADER_BYTES = 100_000_000  # of a safetensors file, by its specification

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PICKLES = 5
"""Magic number, version, byte order and sizes, the object, the keys of its storages; then their bytes."""

STORAGE_BYTES = {
    "Double": 8,
    "Long": 8,
    "Float": 4,
    "Int": 4,
    "Half": 2,
    "BFloat16": 2,
    "Short": 2,
    "Byte": 1,
    "Char": 1,
    "Bool": 1,
}
"""Bytes an element, by the name of torch's class without 'Storage'."""

STAND_INS = {
    "torchxrayvision.models": ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition"),
    "torch.nn.backends.thnn": ("_get_thnn_function_backend",),
    "torch.nn.modules.activation": ("ReLU",),
    "torch.nn.modules.batchnorm": ("BatchNorm2d",),
    "torch.nn.modules.container": ("Sequential",),
    "torch.nn.modules.conv": ("Conv2d",),
    "torch.nn.modules.linear": ("Linear",),
    "torch.nn.modules.pooling": ("AvgPool2d", "MaxPool2d"),
    "torch.nn.parallel.data_parallel": ("DataParallel",),
}
"""What a pickled DenseNet of torchxrayvision names, by module. Modules of torch 1.4 and older name a backend, too."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts keep a network beside their optimiser."""

PARALLEL = "module."  # what DataParallel puts before every name


def tensors(file: Path) -> Mapping[str, torch.Tensor]:
    """Return the tensors of a file by name, without the wrappers that training scripts put around them.

    Raises `WeightsUnavailable`, whose text says only why: the file cannot be read or holds no network,
    or numbers that are none.
    """
    try:
        found = _unwrapped(_read(file))
        _check(found)
    except WeightsUnavailable:
        raise
    except Exception as error:
        raise WeightsUnavailable(_reason(error)) from error
    if all(name.startswith(PARALLEL) for name in found):
        return _renamed(found)
    return found


def header(file: Path) -> dict[str, Any]:
    """Return the header of a safetensors file; raise `ValueError` when there is none that fits into the file."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, MOST_HEADER_BYTES):
            raise ValueError("its header is longer than the file")
        try:
            found = json.loads(stream.read(length))
        except (ValueError, RecursionError) as error:
            raise ValueError("its header is no JSON") from error
    if not isinstance(found, dict):
        raise ValueError("its header is no JSON object")
    return found


def is_whole_pickle(file: Path) -> bool:
    """Return whether a file is complete that torch wrote before 1.6: its storages end where it ends."""
    try:
        with file.open("rb") as stream:
            legacy = _Legacy.of(stream)
            return legacy is not None and legacy.storages_end(stream) == file.stat().st_size
    except DAMAGE:
        return False  # whatever a damaged pickle makes of itself


def _read(file: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    if file.suffix == ".safetensors":
        return load_file(file)
    with _stand_ins(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with file.open("rb") as stream:
            legacy = _legacy_or_none(stream)
            source = file if legacy is None else legacy.without_sources(stream)
        return torch.load(source, map_location="cpu", weights_only=True)


def _stand_ins() -> AbstractContextManager[Any]:
    """Let torch's safe reader put inert objects where a file names the classes of `STAND_INS`."""
    import torch

    if not hasattr(torch.serialization, "safe_globals"):  # before torch 2.5: such files are refused
        return nullcontext()
    classes: list[Any] = [
        type(name, (_Inert,), {"__module__": module}) for module, names in STAND_INS.items() for name in names
    ]
    return torch.serialization.safe_globals(classes)


class _Inert:
    """What stands for a class that a file names: keeps what the file says of the object, does nothing."""

    def __new__(cls, *_: Any) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *_: Any) -> None:
        """Take whatever the class would take."""


def _unwrapped(found: Any) -> Any:
    """Return the state of a network that a training script wrapped, or kept as a whole module."""
    if isinstance(found, Mapping):
        for key in WRAPPERS:
            if isinstance(found.get(key), Mapping | _Inert):
                return _unwrapped(found[key])
    return OrderedDict(_state_of(found, "", set())) if isinstance(found, _Inert) else found


def _state_of(module: Any, prefix: str, met: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the names and tensors of a module as `state_dict` would; no module may be in two places.

    Else a file of a few lines could hold one in itself, or more of them than there is time to list.
    """
    if id(module) in met:
        raise WeightsUnavailable("it holds a module in two places")
    met.add(id(module))
    held = module.__dict__
    for kind in ("_parameters", "_buffers"):
        there = {name: value for name, value in held.get(kind, {}).items() if value is not None}
        yield from ((f"{prefix}{name}", value) for name, value in there.items())
    for name, child in held.get("_modules", {}).items():
        if isinstance(child, _Inert):
            yield from _state_of(child, f"{prefix}{name}.", met)


def _check(found: Any) -> None:
    import torch

    if not isinstance(found, Mapping) or not found:
        raise WeightsUnavailable("it holds no tensors by name")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise WeightsUnavailable(f"{str(name)[:80]!r} is no tensor")
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            raise WeightsUnavailable(f"{name[:80]!r} is no plain array of numbers")
        if tensor.is_floating_point() and tensor.isnan().any():
            raise WeightsUnavailable(f"{name[:80]!r} holds values that are no numbers")


def _renamed(found: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    renamed = OrderedDict((name.removeprefix(PARALLEL), tensor) for name, tensor in found.items())
    versions = getattr(found, "_metadata", {})
    renamed._metadata = OrderedDict(  # type: ignore[attr-defined]
        (str(name).removeprefix(PARALLEL), value) for name, value in versions.items()
    )
    return renamed


def _reason(error: Exception) -> str:
    """Return one line on what went wrong, without torch's advice to read the file unsafely."""
    if isinstance(error.__context__, pickle.UnpicklingError):
        error = error.__context__  # what torch wraps its advice around
    told = re.split(r"Please use|\n", str(error).strip())[0].strip()
    return f"it cannot be read safely ({type(error).__name__}: {told})"


def _legacy_or_none(stream: BinaryIO) -> _Legacy | None:
    try:
        return _Legacy.of(stream)
    except DAMAGE:
        return None  # torch's own reader says what is wrong with it


@dataclass(frozen=True)
class _Legacy:
    """The pickles of a file that torch wrote before 1.6, as instructions that nobody follows."""

    pickles: list[list[Any]]
    ends: list[int]

    @classmethod
    def of(cls, stream: BinaryIO) -> _Legacy | None:
        """Return what the file holds, None when it doesn't begin as such a file does."""
        stream.seek(0)
        pickles, ends = [], []
        for number in range(LEGACY_PICKLES):
            pickles.append(list(pickletools.genops(stream)))
            ends.append(stream.tell())
            if number == 0 and LEGACY_MAGIC not in (value for _, value, _ in pickles[0]):
                return None
        return cls(pickles, ends)

    def storages_end(self, stream: BinaryIO) -> int:
        """Return where the file would end that holds all storages; less when one of them has another length."""
        sizes = {
            str(values[2]): (
                int(values[4]),
                STORAGE_BYTES[str(values[1]).removesuffix("Storage").split()[-1]],
            )
            for _, _, values in _persistent_ids(self.pickles[3])
            if values[0] == "storage"
        }
        position = self.ends[-1]
        for key in (
            value for op, value, _ in self.pickles[4] if isinstance(value, str) and "PUT" not in op.name
        ):
            stream.seek(position)
            length = int.from_bytes(stream.read(8), "little")
            expected, width = sizes[key]
            if length != expected:
                return -1
            position += 8 + length * width
        return position

    def without_sources(self, stream: BinaryIO) -> io.BytesIO:
        """Return the file with a class alone where it has a class with its source, which the safe reader refuses."""
        ops = self.pickles[3]
        stream.seek(0)
        content, parts, position = stream.read(), [], 0
        for first, last, values in _persistent_ids(ops):
            if values[0] != "module":
                continue
            named = next(i for i in range(first, last) if ops[i][0].name == "GLOBAL")
            parts += [content[position : ops[first][2]], content[ops[named][2] : ops[named + 2][2]]]
            position = ops[last][2] + 1
        return io.BytesIO(b"".join([*parts, content[position:]]))


def _persistent_ids(ops: list[Any]) -> Iterator[tuple[int, int, list[Any]]]:
    """Yield (first instruction, last instruction, values) of each tuple that names something outside of a pickle."""
    memo: dict[Any, Any] = {}
    open_lists: list[tuple[int, list[Any]]] = [(0, [])]
    closed: tuple[int, list[Any]] = (0, [])
    for number, (op, value, _) in enumerate(ops):
        if op.name == "MARK":
            open_lists.append((number, []))
        elif op.name in ("TUPLE", "SETITEMS", "APPENDS", "LIST", "DICT"):
            closed = open_lists.pop()
            open_lists[-1][1].append(None)
        elif op.name == "BINPERSID":
            yield closed[0], number, closed[1]
        elif op.name in ("BINPUT", "LONG_BINPUT"):
            memo[value] = open_lists[-1][1][-1] if open_lists[-1][1] else None
        elif op.name in ("BINGET", "LONG_BINGET"):
            open_lists[-1][1].append(memo.get(value))
        else:
            open_lists[-1][1].append(value)
