"""The files of a dataset, from where its authors publish them to where `open_dataset` finds them.

The addresses, and what is to be unpacked, are on the dataset's card under `[fetch]`.
`HARNESS_MIRROR`, a base URL, takes the place of scheme and host of every address, for a place
without access to the outside.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.data.cards import Card, Fetch, known_cards, load_card, unsafe_path
from harness.data.dataset import open_dataset
from harness.data.roots import find_root
from harness.download import Refused, download, mirrored, sole_use
from harness.errors import CardError, DataError, FetchError, NoNetwork, UnknownName, UsageError
from harness.folders import cache_folder
from harness.types import Progress, digest_of
from harness.unpacking import DamagedArchive, unpack

__all__ = ["fetch_dataset"]


def fetch_dataset(
    name: str, *, data_root: Path | None = None, base_url: str | None = None, progress: Progress | None = None
) -> Path:
    """Return the folder of the dataset's files, fetched unless they are there and verified.

    They go where `open_dataset` already finds some of them, else to `data_root`/NAME, else to the
    user's cache. A file that is there is never replaced: one that differs from the card is reported,
    as `open_dataset` does, and fetched anew once it is deleted. `base_url` overrides `HARNESS_MIRROR`.

    Raises `UnknownName`; `UsageError` for a dataset that is not to be fetched; `NoNetwork`; `FetchError`
    for a download that fails, a server that wants a login, an archive that is damaged or unsafe, files
    that differ from the card, and a disk that is full or not writable.
    """
    job = _job(name, data_root, progress)
    with _told(job), sole_use(cache_folder() / "downloads" / name, progress):
        if job.is_complete():
            if progress is not None:
                progress(f"{name} is complete in {str(job.place)!r}: nothing to fetch", 1.0)
            return job.place
        with job.workplace() as workplace:  # before the download: a place that cannot be written is known now
            archives = [job.downloaded(mirrored(url, base_url)) for url in job.fetch.urls]
            job.install(job.unpacked(archives, workplace))
        for archive in archives:  # should the files be wrong, another try must not meet the same bytes
            archive.unlink(missing_ok=True)
        return job.verified()


def _job(name: str, data_root: Path | None, progress: Progress | None) -> _Job:
    cards = known_cards(data_root)
    if name not in cards:
        raise UnknownName("dataset", name, cards)
    card = load_card(cards[name])
    if card.generated:
        raise UsageError(f"dataset {name!r} is not fetched: its files are made on first use")
    if card.fetch is None or not card.fetch.urls:
        by_hand = _by_hand(card) or "put its files in place by hand (HARNESS_DATA)"
        raise UsageError(f"dataset {name!r} is not fetched: its card names no address; {by_hand}")
    for nested in card.fetch.archives:
        if why := unsafe_path(nested):
            raise CardError(f"card {str(cards[name])!r}: key 'fetch.archives': {nested!r} {why}")
    return _Job(card, card.fetch, _place(card, cards[name], data_root), data_root, progress)


def _place(card: Card, card_path: Path, data_root: Path | None) -> Path:
    """Return the folder that is to hold the files: the one that `open_dataset` will look into."""
    found = find_root(card, card_path, data_root)
    if found is not None:
        return found.resolve()
    if card.root is not None:
        return card_path.parent / Path(card.root).expanduser()
    root = cache_folder() / "data" if data_root is None else Path(data_root).expanduser()
    return root / card.name


@dataclass(frozen=True)
class _Job:
    """One dataset, the folder it goes to, and the steps from one to the other."""

    card: Card
    fetch: Fetch
    place: Path
    data_root: Path | None
    progress: Progress | None

    def is_complete(self) -> bool:
        if not self.place.is_dir():
            return False
        try:
            open_dataset(self.card.name, data_root=self.data_root, progress=self.progress)
        except CardError:
            raise
        except DataError:
            return False
        return True

    def verified(self) -> Path:
        name = self.card.name
        try:
            return open_dataset(name, data_root=self.data_root, progress=self.progress).root
        except CardError:
            raise
        except DataError as error:
            what = str(error).removeprefix(f"dataset {name!r}: ")
            raise FetchError(f"fetched to {str(self.place)!r}, but {what}") from error

    def downloaded(self, url: str) -> Path:
        target = cache_folder() / "downloads" / digest_of(url)[:16] / f"{self.card.name}.archive"
        return download(url, target, progress=self.progress, authorization=_kaggle_login(url))

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """Give an empty folder beside the place, on the same disk, that is gone afterwards.

        Its name is the same each time for one cache, whose lock is held: what a killed process left is removed.
        """
        folder = self.place.with_name(f".{self.place.name}.fetching-{digest_of(str(cache_folder()))[:8]}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def unpacked(self, archives: list[Path], workplace: Path) -> list[Path]:
        """Return the folders that the archives, and those that the card names inside them, unpack to."""
        folders = []
        for i, archive in enumerate(archives):
            try:
                folders.append(
                    unpack(archive, workplace / f"{i}", strip=self.fetch.strip, progress=self.progress)
                )
            except DamagedArchive:
                archive.unlink(missing_ok=True)
                raise
        for j, nested in enumerate(self.fetch.archives):
            inside = next((folder / nested for folder in folders if (folder / nested).is_file()), None)
            if inside is None:
                raise FetchError(f"what was fetched does not hold {nested!r}, which the card names")
            folders.append(unpack(inside, workplace / f"{len(archives)}-{j}", progress=self.progress))
            inside.unlink()
        return folders

    def install(self, folders: list[Path]) -> None:
        """Move what is missing to its place; at once where there is nothing yet."""
        first, *others = folders
        for other in others:
            _move_missing(other, first)
        if self.place.exists():
            _move_missing(first, self.place)
        else:
            first.rename(self.place)


def _move_missing(source: Path, target: Path) -> None:
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        there = target / file.relative_to(source)
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            file.rename(there)


@contextmanager
def _told(job: _Job) -> Iterator[None]:
    """Name the dataset in what goes wrong, and say what can be done by hand."""
    name, by_hand = job.card.name, _by_hand(job.card)
    advice = f"; {by_hand}" if by_hand else ""
    try:
        yield
    except NoNetwork as error:
        raise NoNetwork(f"dataset {name!r}: {error}{advice}") from error
    except FetchError as error:
        if job.fetch.kind == "kaggle" and isinstance(error, Refused) and error.status in (401, 403):
            advice = f"; log in with KAGGLE_USERNAME and KAGGLE_KEY or ~/.kaggle/kaggle.json{advice}"
        raise FetchError(f"dataset {name!r}: {error}{advice}") from error
    except OSError as error:
        raise FetchError(
            f"dataset {name!r}: cannot write below {str(job.place.parent)!r}: {error.strerror or error}; "
            "free some space or choose another folder (--data-root, HARNESS_CACHE)"
        ) from error


def _by_hand(card: Card) -> str:
    manual = " ".join(card.fetch.manual.split()) if card.fetch is not None else ""
    return f"by hand: {manual}" if manual else ""


def _kaggle_login(url: str) -> str | None:
    """Return the user's login as a header for Kaggle's own hosts, None for others or without one.

    Raises `UsageError` for a `kaggle.json` that holds no login.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not f".{parts.hostname}".endswith(".kaggle.com"):
        return None
    login = (os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY"))
    if not all(login):
        login = _kaggle_file()
    if not all(login):
        return None
    return "Basic " + base64.b64encode(":".join(map(str, login)).encode()).decode()


def _kaggle_file() -> tuple[str | None, str | None]:
    folder = os.environ.get("KAGGLE_CONFIG_DIR")
    path = (Path(folder) if folder else Path.home() / ".kaggle") / "kaggle.json"
    if not path.is_file():
        return None, None
    try:
        said = json.loads(path.read_text("utf-8"))
        return str(said["username"]), str(said["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{str(path)!r} holds no Kaggle login; expected {{'username': ..., 'key': ...}}: mend or remove it"
        ) from error
