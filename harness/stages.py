"""First stages: files of weights that later trainings start from, and what they were trained on.

`harness pretrain` writes them to `CACHE/first-stages/NAME.safetensors`; any file of weights is one, too. The metadata
of those that we write carry, beside what `Model.save` says of the network, the key `training`: datasets, splits,
classes, seed, recipe, parameters, and shortened SHA-256 digests of every image and patient that was trained on or
chosen by. With these, a test image that a stage has seen is found whatever its file is called.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.catalogue import IMAGENET_MEAN, IMAGENET_STD
from harness.checkpoints import header
from harness.complaints import expectation
from harness.errors import StageError, UnknownName, UsageError
from harness.folders import cache_folder

if TYPE_CHECKING:
    from harness.data.dataset import Dataset
    from harness.types import Split

__all__ = [
    "PREFIX",
    "Source",
    "Stage",
    "Training",
    "folder",
    "group_digests",
    "image_digests",
    "is_stage",
    "leak",
    "locate",
    "packed",
    "plain",
    "read_stage",
    "relabel",
    "shown",
]

PREFIX = "stage:"
"""What distinguishes a first stage from a published network among the names of weights."""

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
NAME = re.compile(r"\w[\w.\-]{0,99}")

DIGEST_BYTES = 16
"""Of each SHA-256: among a million images, two share as many by chance once in 10^26 cases."""

MOST_SHOWN = 300  # characters of a note on a board

Text = Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Packed = Annotated[str, Field(max_length=50_000_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Source(_Strict):
    """A dataset that a stage was trained on: its content's digest, its split, how many images of each part."""

    dataset: Text
    content: Text
    protocol: Text
    split: Text
    train: Annotated[int, Field(ge=0)]
    val: Annotated[int, Field(ge=0)]


class Training(_Strict):
    """What `harness pretrain` did. `start` is the stage below this one, `weights` the published ones that it had.

    `unknown` names stages below whose training data nobody knows.

    `images` and `groups` are what `packed` makes of `image_digests` and `group_digests`, of the stages below too.
    """

    schema_version: Annotated[int, Field(ge=1, le=1)]
    model: Text
    identity: Text
    sources: Annotated[tuple[Source, ...], Field(max_length=100, strict=False)]
    classes: Annotated[tuple[Text, ...], Field(max_length=10_000, strict=False)]
    recipe: Text
    seed: int
    parameters: dict[Text, str | int | float | bool | None]
    harness: Text
    start: Text | None
    weights: Annotated[tuple[Text, ...], Field(max_length=100, strict=False)]
    unknown: Annotated[tuple[Text, ...], Field(max_length=100, strict=False)]
    images: Packed
    groups: Packed


@dataclass(frozen=True)
class Stage:
    """A file of weights, and what its metadata say: None where they say nothing.

    `network` is the name of the network that it holds, `mean` and `std` how it wants its images;
    `transforms_input` says of a GoogLeNet or Inception whether it brings them to its makers' scale itself.
    """

    name: str
    file: Path
    network: str | None = None
    in_channels: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    training: Training | None = None
    transforms_input: bool | None = None

    @property
    def is_from_scratch(self) -> bool:
        """Whether nothing published went into it, as far as is known."""
        return self.training is not None and not self.training.weights and not self.training.unknown

    @property
    def note(self) -> str:
        """What a reader of the board must know of a row that starts from it."""
        if self.training is None:
            return f"starts from {self.name!r}: what it was trained on is not known"
        trained = ", ".join(f"{s.dataset} ({s.protocol}, {s.train} + {s.val})" for s in self.training.sources)
        note = f"starts from {self.name!r}, trained on (images of training + validation): {trained}"
        if self.training.start is not None:
            note += f", itself from {self.training.start!r}"
        if self.training.unknown:
            note += f"; what {', '.join(map(repr, self.training.unknown))} was trained on is not known"
        return note if len(note) <= MOST_SHOWN else f"{note[:MOST_SHOWN]}..."

    @cached_property
    def images(self) -> frozenset[bytes]:
        """Digests of the images that it has seen."""
        return self._unpacked("images")

    @cached_property
    def groups(self) -> frozenset[bytes]:
        """Digests of the patients that it has seen."""
        return self._unpacked("groups")

    def _unpacked(self, what: str) -> frozenset[bytes]:
        text = getattr(self.training, what) if self.training is not None else ""
        try:
            content = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise _damaged(self.name, f"{what} are no base64") from error
        if len(content) % DIGEST_BYTES:
            raise _damaged(self.name, f"{what} are no list of digests")
        return frozenset(content[i : i + DIGEST_BYTES] for i in range(0, len(content), DIGEST_BYTES))


def is_stage(name: str) -> bool:
    """Return whether a name of weights means a first stage."""
    return name.startswith(PREFIX)


def plain(start: str) -> str:
    """Return what a user types for a stage: a name or a path, without the prefix."""
    return start.removeprefix(PREFIX)


def shown(start: str) -> str:
    """Return what a row or a record calls a stage: no folder of this machine.

    >>> shown("stage:lungs"), shown("/home/me/lungs.pth")
    ('lungs', 'lungs.pth')
    """
    return Path(plain(start)).name


def folder() -> Path:
    """Return where `harness pretrain` puts stages by name."""
    return cache_folder() / "first-stages"


def locate(start: str) -> Path:
    """Return the file that a name or a path means, with or without its prefix.

    Raises `UnknownName` with close names, `UsageError` when a path leads nowhere, and `StageError` when it leads to
    what is no file.
    """
    named = plain(start)
    path = _path(named)
    try:
        if path.is_file():
            return path
        is_there = path.exists()
    except (OSError, ValueError) as error:
        raise UsageError(f"first stage {named[:80]!r}: no file can have this name") from error
    if is_there:
        raise StageError(f"first stage {named!r} is a folder or a device; name a file of weights")
    if path.parent == folder():
        raise UnknownName("first stage", named, _known())
    raise UsageError(
        f"first stage {named!r}: there is no such file; known by name: {', '.join(_known()) or 'none'}"
    )


def read_stage(start: str) -> Stage:
    """Return a stage with what its metadata say. Raises as `locate`, and `StageError` when they are damaged."""
    path, name = locate(start), shown(start)
    if path.suffix != ".safetensors":
        return Stage(name, path)
    said = _metadata(path, name)
    mean, std = _normalisation(said.get("normalisation"), name)
    return Stage(
        name=name,
        file=path,
        network=_short(said.get("network"), "network", name),
        in_channels=_channels(said.get("in_channels"), name),
        mean=mean,
        std=std,
        training=_training(said.get("training"), name),
        transforms_input={"true": True, "false": False}.get(str(said.get("transform_input"))),
    )


def relabel(file: Path, target: Path, metadata: Mapping[str, str]) -> None:
    """Let `target` appear in one rename with the tensors of `file` and further metadata.

    Raises `StageError` in one line when it cannot be written; nothing is left under either name.
    """
    with _written(target) as temporary:
        old = header(file)
        new = {**old, "__metadata__": {**old.get("__metadata__", {}), **metadata}}
        text = json.dumps(new, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with file.open("rb") as source, temporary.open("xb") as copy:
            source.seek(8 + int.from_bytes(source.read(8), "little"))
            copy.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())


def packed(digests: Iterable[bytes]) -> str:
    """Return digests as text for the metadata, sorted and without repeats."""
    return base64.b64encode(b"".join(sorted(set(digests)))).decode()


def image_digests(dataset: Dataset, ids: Iterable[str]) -> dict[bytes, str]:
    """Return {shortened digest of its pixels: id} of these samples, the first id of those that share their pixels."""
    found: dict[bytes, str] = {}
    for sample_id, row in zip(ids, dataset.rows(ids), strict=True):
        found.setdefault(bytes.fromhex(dataset.pixel_digests[row])[:DIGEST_BYTES], sample_id)
    return found


def group_digests(dataset: Dataset, ids: Iterable[str]) -> dict[bytes, str]:
    """Return {shortened digest: group} of the groups of these samples; patients are told apart by dataset."""
    return {
        hashlib.sha256(f"{name}\0{group}".encode()).digest()[:DIGEST_BYTES]: group
        for name, group in sorted(dataset.patients(ids))
    }


def leak(stage: Stage, dataset: Dataset, split: Split) -> str | None:
    """Return one line on the test images or patients of a split that a stage has seen, None when it has seen none.

    What training and validation part of the split itself share with its test part is not the stage's doing: every
    model sees it, and the record counts it.
    """
    own = (*split.train, *split.val)
    images = _seen(stage.images, image_digests(dataset, split.test), image_digests(dataset, own))
    groups = _seen(stage.groups, group_digests(dataset, split.test), group_digests(dataset, own))
    if not images and not groups:
        return None
    found = [
        f"{len(some)} of its {total} {what} (first: {some[0]!r})"
        for some, total, what in (
            (images, len(split.test), "images"),
            (groups, len(group_digests(dataset, split.test)), "patients"),
        )
        if some
    ]
    return (
        f"first stage {stage.name!r} has seen the test part: {' and '.join(found)}; "
        "start from one that was trained without them"
    )


def _seen(stage: frozenset[bytes], tested: Mapping[bytes, str], own: Mapping[bytes, str]) -> list[str]:
    return sorted(name for digest, name in tested.items() if digest in stage and digest not in own)


def _path(named: str) -> Path:
    if os.sep in named or named.startswith("~") or named.lower().endswith(SUFFIXES):
        return Path(named).expanduser()
    if not NAME.fullmatch(named):
        raise UsageError(
            f"first stage {named[:80]!r}: expected a name of letters, digits, '.', '-' and '_', or the path of a file "
            f"that ends in {', '.join(SUFFIXES)}"
        )
    return folder() / f"{named}.safetensors"


def _known() -> list[str]:
    return sorted(path.stem for path in folder().glob("[!.]*.safetensors"))


def _metadata(path: Path, name: str) -> dict[str, Any]:
    try:
        said = header(path).get("__metadata__", {})
    except OSError as error:
        raise StageError(f"first stage {name!r} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise StageError(f"first stage {name!r} is no safetensors file: {error}") from error
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise _damaged(name, "expected texts by name")
    return said


def _training(text: str | None, name: str) -> Training | None:
    if text is None:
        return None
    try:
        return Training.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part)[:40] for part in first["loc"])
        raise _damaged(name, f"training.{where}: {expectation(first)}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(name, "training is no JSON") from error


def _short(text: str | None, key: str, name: str) -> str | None:
    if text is not None and not re.fullmatch(r"[\w.:\-/]{1,100}", text):
        raise _damaged(name, f"{key} is {text[:40]!r}, expected a plain name")
    return text


def _channels(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise _damaged(name, f"in_channels is {text[:40]!r}, expected a number")
    return int(text)


def _normalisation(text: str | None, name: str) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return (mean, std), one value a channel, of JSON such as {"mean": [0.5], "std": [0.25]}, or of 'imagenet'."""
    if text is None:
        return None, None
    if text == "imagenet":
        return IMAGENET_MEAN, IMAGENET_STD
    try:
        said = json.loads(text)
        mean, std = (tuple(float(value) for value in said[key]) for key in ("mean", "std"))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise _damaged(name, "normalisation is no JSON object with lists 'mean' and 'std'") from error
    usable = len(mean) == len(std) > 0 and all(0 < s < 1e6 for s in std) and all(abs(m) < 1e6 for m in mean)
    if not usable:
        raise _damaged(name, "normalisation has no usable numbers")
    return mean, std


def _damaged(name: str, why: str) -> StageError:
    return StageError(
        f"first stage {name!r}: its metadata are damaged: {why}; make it again with 'harness pretrain'"
    )


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f".tmp-{target.name}-{uuid4().hex}")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise StageError(
            f"first stage {str(target)!r} cannot be written: {error.strerror or error}"
        ) from error
    finally:
        with suppress(OSError):  # a folder that isn't one: nothing was written
            temporary.unlink(missing_ok=True)
