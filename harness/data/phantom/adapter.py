"""The phantom as a dataset: files that are made on first use and compared with the card's list."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import numpy as np
from PIL import Image

from harness.data.adapters import Expected, ListedImage, read_list
from harness.data.cards import Card
from harness.data.decoding import pixels_sha256
from harness.data.phantom.patients import PATIENTS, SLICES, Patient, patients
from harness.data.phantom.slices import Slice, render
from harness.data.pixels import cache_errors, locked
from harness.errors import CardError, DataError
from harness.types import Progress, Sample, digest_of

__all__ = ["PhantomAdapter", "image_file"]

MADE = "made.json"
"""Written last: the SHA-256 of each file's bytes, and of the list that they were made for."""


def image_file(patient: Patient, index: int) -> str:
    """Return the id of a patient's slice (0 to 3), its path below the dataset's folder."""
    return f"images/{patient.group}-{index + 1}.png"


def mask_file(sample_id: str) -> str:
    return "masks/" + sample_id.removeprefix("images/")


class PhantomAdapter:
    """Chest slices that are computed: the card's `options` say `seed` and how many `patients`.

    The files are made anew when some of them are missing, damaged or were made for another list.
    """

    def __init__(self, card: Card, root: Path) -> None:
        self.card = card
        self.root = Path(root)
        self.warnings: list[str] = []

    def prepare(self, progress: Progress | None = None) -> None:
        """Make the files where they are not there yet: under a temporary name, renamed when complete.

        Raises `DataError` when this machine computes other pixels than the list states or the folder
        holds files of somebody else, `HarnessError` when it cannot be written.
        """
        if self._is_complete():
            return
        parent, what = self.root.parent, f"making {self.card.name}"
        with locked(parent / f".{self.root.name}.lock", parent, what, progress):
            if not self._is_complete():
                with cache_errors(parent):
                    self._make(progress or _silent)

    def samples(self) -> list[Sample]:
        """Return the slices in the order of the list: by patient, from the apex down."""
        labels = {name: label for label, name in enumerate(self.card.classes)}
        return [
            Sample(row.id, self.root / row.file, labels[row.label], row.group, row.source, row.split)
            for row in self._listed
        ]

    def expected(self) -> dict[str, Expected]:
        """Return the checksums on the list by sample id."""
        return self._expected

    def lesion_mask(self, sample_id: str) -> np.ndarray:
        """Return bool (H, W), where COVID-19's opacities are; all False for the other class.

        Raises `DataError` for an unknown sample, or before `prepare`.
        """
        if sample_id not in self._expected:
            raise DataError(f"dataset {self.card.name!r} has no sample {sample_id!r}")
        path = self.root / mask_file(sample_id)
        try:
            with Image.open(path) as image:
                return np.array(image, dtype=bool)
        except OSError as error:
            raise DataError(
                f"dataset {self.card.name!r}: the mask {str(path)!r} cannot be read: {error}; delete it and "
                "open the dataset again"
            ) from error

    @cached_property
    def _listed(self) -> list[ListedImage]:
        return read_list(self.card, self.warnings)

    @cached_property
    def _expected(self) -> dict[str, Expected]:
        return {row.id: row.expected for row in self._listed}

    @cached_property
    def _list_digest(self) -> str:
        return digest_of({row.id: row.expected.pixels_sha256 for row in self._listed})

    def _is_complete(self) -> bool:
        """Return whether every file is there, bit for bit as it was made for this list."""
        try:
            made = json.loads((self.root / MADE).read_text(encoding="utf-8"))
            return made["list"] == self._list_digest and all(
                hashlib.sha256((self.root / file).read_bytes()).hexdigest() == digest
                for file, digest in made["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _make(self, progress: Progress) -> None:
        self._remove_stale()
        self._check_folder()
        what = f"making {self.card.name}"
        if self.root.exists():
            what += " again, for files are missing or damaged"
        temporary = self._temporary("new")
        try:
            self._write(temporary, lambda fraction: progress(what, fraction))
            if self.root.exists():
                self.root.rename(self._temporary("old"))
            temporary.rename(self.root)
        finally:
            self._remove_stale()

    def _check_folder(self) -> None:
        """Raise `DataError` for a folder that holds more than what is made here: it will be replaced."""
        others = sorted({path.name for path in self.root.glob("*")} - {"images", "masks", MADE})
        if others:
            raise DataError(
                f"dataset {self.card.name!r}: the folder {str(self.root)!r} that its files are made in holds "
                f"{others[0]!r}, which is none of them; write generated = true on the card, or move it away"
            )

    def _temporary(self, which: str) -> Path:
        return self.root.parent / f".tmp-{self.root.name}-{which}-{uuid4().hex}"

    def _remove_stale(self) -> None:
        """Remove what a killed process, or this one, left unfinished; called under the lock only."""
        for stale in self.root.parent.glob(f".tmp-{self.root.name}-*"):
            shutil.rmtree(stale, ignore_errors=True)

    def _write(self, folder: Path, done: Callable[[float], None]) -> None:
        cohort, digests = _cohort(self.card), {}
        for number, (sample_id, made) in enumerate(_slices(cohort), start=1):
            self._check(sample_id, made.image)
            for file, pixels in ((sample_id, made.image), (mask_file(sample_id), made.lesion)):
                digests[file] = _saved(folder / file, pixels)
            done(number / (len(cohort) * SLICES))
        made_for = {"list": self._list_digest, "files": digests}
        (folder / MADE).write_text(json.dumps(made_for), encoding="utf-8")

    def _check(self, sample_id: str, image: np.ndarray) -> None:
        listed = self._expected.get(sample_id, Expected()).pixels_sha256
        if listed not in (None, pixels_sha256(image)):
            raise DataError(
                f"dataset {self.card.name!r}: this machine computes other pixels than its list states (first: "
                f"{sample_id!r}, numpy {np.__version__}); please report it"
            )


def _silent(_what: str, _fraction: float | None) -> None:
    pass


def _cohort(card: Card) -> list[Patient]:
    """Return the patients that the card's options ask for. Raises `CardError`."""
    where = f"card {str(card.path or card.name)!r}"
    if unknown := sorted(set(card.options) - {"seed", "patients"}):
        raise CardError(f"{where}: key 'options.{unknown[0]}' is none of 'seed' and 'patients'")
    values = {"seed": card.options.get("seed"), "patients": card.options.get("patients", PATIENTS)}
    for key, value in values.items():
        if type(value) is not int or value < 0:
            raise CardError(f"{where}: key 'options.{key}' is {value!r}, expected a whole number")
    try:
        return patients(values["seed"], values["patients"])
    except ValueError as error:
        raise CardError(f"{where}: key 'options.patients' is wrong: {error}") from error


def _slices(cohort: Iterable[Patient]) -> Iterator[tuple[str, Slice]]:
    for patient in cohort:
        for index in range(SLICES):
            yield image_file(patient, index), render(patient, index)


def _saved(path: Path, pixels: np.ndarray) -> str:
    """Write a PNG and return the SHA-256 of its bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue())
    return hashlib.sha256(file.getvalue()).hexdigest()
