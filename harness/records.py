"""Records: one folder a finished cell, written whole or not at all.

`RUNS/KEY/manifest.json` says what ran, on which bytes, with which code; `RUNS/KEY/predictions.parquet`
holds one row a test image. Boards read nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import RecordError
from harness.types import digest_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCHEMA_VERSION",
    "Predictions",
    "Record",
    "finished",
    "read_record",
    "read_records",
    "sealed",
    "write_record",
]

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
PREDICTIONS = "predictions.parquet"

DIGEST = "manifest_sha256"
"""The entry of a manifest that is the digest of all others; older records have none."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities (N, C) of N test images, with what is needed to score them.

    `sources` say where each image comes from, None where that is not known (of one image, or of all).
    """

    ids: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[str | None]
    classes: Sequence[str]
    probabilities: np.ndarray
    sources: Sequence[str | None] | None = None

    def write(self, path: Path) -> None:
        """Write them as Parquet: id, label, group, source where any is known, then one float64 column a class."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {
            "id": pa.array(self.ids, pa.string()),
            "label": pa.array(self.labels, pa.string()),
            "group": pa.array(self.groups, pa.string()),
        }
        if any(source is not None for source in self.sources or ()):
            columns["source"] = pa.array(self.sources, pa.string())
        for number, name in enumerate(self.classes):
            columns[name] = pa.array(np.asarray(self.probabilities[:, number], dtype=np.float64))
        pq.write_table(pa.table(columns), path, compression="zstd")


@dataclass(frozen=True)
class Record:
    """A record on disk. `manifest` is checked for its schema version, predictions when they are read."""

    manifest: dict[str, Any]
    folder: Path

    @property
    def key(self) -> str:
        return str(self.manifest["key"])

    @property
    def complete(self) -> bool:
        return self.manifest["status"] == "complete"

    @property
    def digested(self) -> bool:
        """True when the manifest states a digest of itself; without it an edit that is plausible is not found."""
        return DIGEST in self.manifest

    def check_digest(self) -> None:
        """Raise `RecordError` when the manifest is not what its digest was taken of."""
        if self.digested and sealed(self.manifest)[DIGEST] != self.manifest[DIGEST]:
            raise RecordError(
                f"record {self.key!r}: {MANIFEST} was changed after it was written (its {DIGEST} is of another); "
                "delete the folder and run again"
            )

    def predictions(self) -> pd.DataFrame:
        """Return the table of `Predictions.write`. Raises `RecordError` when the file was changed since."""
        import pandas as pd

        said = self.manifest["predictions"]
        path = self.folder / PREDICTIONS
        if said is None:
            raise RecordError(f"record {self.key!r} has no predictions: the cell {self.manifest['status']}")
        try:
            _check_file(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise RecordError(
                f"record {self.key!r}: {PREDICTIONS} cannot be read: {error.strerror}"
            ) from error
        if digest != said["sha256"]:
            raise RecordError(
                f"record {self.key!r}: {PREDICTIONS} was changed after it was written "
                f"(sha256 {digest[:12]}, manifest says {said['sha256'][:12]}); delete the folder and run again"
            )
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError, KeyError, NotImplementedError) as error:  # what pyarrow and pandas raise
            raise RecordError(
                f"record {self.key!r}: {PREDICTIONS} is no Parquet file of predictions: {error}"
            ) from error


def write_record(
    runs: Path, key: str, manifest: dict[str, Any], predictions: Predictions | None = None
) -> Record:
    """Write `runs/key` under a temporary name, then rename it; an earlier record of this key is replaced.

    Raises `RecordError` in one line when the disk is full or the folder cannot be written; nothing is left behind.
    """
    with writable(runs), whole_folder(runs / key) as temporary:
        stored = dict(manifest, schema_version=SCHEMA_VERSION, key=key, predictions=None)
        if predictions is not None:
            path = temporary / PREDICTIONS
            predictions.write(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            stored["predictions"] = {"sha256": digest, "rows": len(predictions.ids)}
        stored = sealed(stored)
        (temporary / MANIFEST).write_text(manifest_text(stored), "utf-8")
    return Record(stored, runs / key)


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with the digest of everything else in it: of its JSON with sorted keys, without spaces."""
    said = {name: value for name, value in manifest.items() if name != DIGEST}
    as_read = json.loads(json.dumps(said, allow_nan=False))  # keys are text, tuples are lists
    return said | {DIGEST: digest_of(as_read)}


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """Return what the file of a manifest holds."""
    return json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `target` in one rename; of a block that raises nothing stays."""
    temporary = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        _sync(temporary)
        _replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def writable(folder: Path, option: str = "--out") -> Iterator[None]:
    """Turn the operating system's refusals to write below `folder` into one line that names the option to change."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RecordError(
            f"cannot write to {str(folder)!r}: {reason}; choose another folder with {option}"
        ) from error


def read_record(folder: Path) -> Record:
    """Return the record in `folder`. Raises `RecordError` naming it when it is damaged or of another schema."""
    try:
        _check_file(folder / MANIFEST)
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"), parse_constant=_no_number)
        json.dumps(
            manifest, ensure_ascii=False
        ).encode()  # half a character can be read, but not written again
        version, status = manifest["schema_version"], manifest["status"]
    except OSError as error:
        raise RecordError(f"record {folder.name!r}: no {MANIFEST}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordError(
            f"record {folder.name!r}: {MANIFEST} is damaged ({error}); delete the folder and run again"
        ) from error
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"record {folder.name!r}: schema_version {version!r}, this harness reads {SCHEMA_VERSION}"
        )
    if status not in ("complete", "failed") or manifest.get("key") != folder.name:
        raise RecordError(
            f"record {folder.name!r}: {MANIFEST} says key {manifest.get('key')!r} and status {status!r}; "
            "delete the folder and run again"
        )
    return Record(manifest, folder)


def _check_file(path: Path) -> None:
    """Raise `OSError` for a pipe or a device, which would be waited for without end."""
    if not path.is_file() and not path.is_dir() and path.exists():
        raise OSError(errno.EINVAL, "no file")


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def read_records(runs: Path) -> list[Record]:
    """Return every record below `runs`, in the order of their keys; an absent folder holds none."""
    if not runs.is_dir():
        return []
    folders = sorted(p for p in runs.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [read_record(folder) for folder in folders]


def finished(runs: Path, key: str) -> bool:
    """True when `runs/key` is a complete record with its predictions beside it; a damaged or edited one is not."""
    folder = runs / key
    if not (folder / MANIFEST).is_file() or not (folder / PREDICTIONS).is_file():
        return False
    try:
        record = read_record(folder)
        record.check_digest()
        return record.complete
    except RecordError:
        return False


def forget_failures(runs: Path, slots: Collection[tuple[Any, ...]], keep: Collection[str]) -> None:
    """Remove failed records of these slots, unless their key is in `keep`: their cause is not asked for any more.

    A slot is what one row of a board is about: see `slot`.
    """
    for record in read_records(runs):
        if not record.complete and record.key not in keep and slot(record.manifest) in slots:
            shutil.rmtree(record.folder, ignore_errors=True)


def slot(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return (dataset, protocol, fold, model's label, variant, recipe, seed) of a manifest."""
    protocol, model = manifest["protocol"], manifest["model"]
    return (
        manifest["dataset"]["name"],
        protocol["name"],
        protocol["fold"],
        model["label"],
        model["variant"],
        manifest["recipe"],
        manifest["seed"],
    )


def _sync(folder: Path) -> None:
    """Make sure that the bytes are on the disk before the name says that they are."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _replace(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    old = target.with_name(f".old-{target.name}-{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
