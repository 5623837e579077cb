"""Pretrained weights: which file a network starts from, on this disk or from its makers.

Files lie where torch and the Hugging Face hub keep them (`TORCH_HOME`, `HF_HOME`), so that nothing is
downloaded twice. A file is believed when its name carries the beginning of its SHA-256, as torchvision's
do, or when it is whole by its own checksums and lengths; a truncated one is neither. What was looked at is
remembered by path, size and time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from harness.catalogue import HUB, XRV_URL, Network, canonical, find_network, save_json
from harness.checkpoints import header, is_whole_pickle
from harness.errors import FetchError, NoNetwork, StageError, WeightsUnavailable
from harness.folders import cache_folder
from harness.stages import PREFIX, is_stage, locate, plain, shown
from harness.types import Progress, digest_of, unique

__all__ = [
    "ALTERNATIVES",
    "SPLIT_NETWORK",
    "SPLIT_NETWORK_NOTE",
    "Weights",
    "checkpoints_folder",
    "choose_backbone",
    "find",
    "is_published",
    "obtain",
    "unavailable",
]

ALTERNATIVES = (
    "vgg16",
    "vgg19",
    "resnet50",
    "densenet169",
    "densenet121",
    "resnet18",
    "alexnet",
    "googlenet",
    "squeezenet1_1",
    "squeezenet1_0",
)
"""Backbones that take the place of the default's absent weights: the first whose weights are on the disk."""

SPLIT_NETWORK = "split-network"
SPLIT_NETWORK_NOTE = (
    "no pretrained backbone could be had: features from a small network trained on the training part "
    "of the same split"
)

# What torch.hub calls HASH_REGEX: the digits before the suffix are the beginning of the SHA-256.
DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")

XRV_CACHE = Path("~/.torchxrayvision/models_data")
"""Where torchxrayvision keeps what it downloads."""

_failures: dict[str, str] = {}
"""Why a host (no network) or a URL cannot be had: in one process nothing is waited for twice."""


@dataclass(frozen=True)
class Weights:
    """The pretrained weights of a network: an intact file, or the reason why there is none.

    With a file, `reason` is None or says how the file differs from what its makers published.
    """

    network: str
    file: Path | None
    sha256: str | None
    reason: str | None

    @property
    def identity(self) -> str:
        """What a cache key needs to know: the digest, 'none' without weights."""
        return self.sha256 or "none"


def find(network: str) -> Weights:
    """Return the weights of `network` that are on this disk; the network is not asked, torch not imported.

    'stage:NAME_OR_PATH' means a first stage: see `harness.stages`. After 'stage:' may stand a network of
    torchxrayvision, too.

    Raises `UnknownName` and `UsageError` as `harness.catalogue.find_network` and `harness.stages.locate` do, and
    `StageError` for a stage that cannot be read.
    """
    if is_stage(network):
        return _of_stage(network, None)
    return _on_disk(find_network(network))[0]


def obtain(network: str, progress: Progress | None = None) -> Weights:
    """Return the weights of `network` from the disk, else download them; absent ones say why.

    That there is no network is known within 10 seconds, and then remembered by this process.
    """
    if is_stage(network):
        return _of_stage(network, lambda name: obtain(name, progress))
    known = find_network(network)
    found, problems = _on_disk(known)
    if found.file is not None or not known.urls:
        return found
    for url in known.urls:
        try:
            _fetched(url, progress)
            return find(network)
        except FetchError as error:
            problems.append(str(error).partition(";")[0])  # what follows is advice on other files
            if isinstance(error, NoNetwork):
                break
    return _absent(known, ", ".join(unique(problems)))


def is_published(start: str) -> bool:
    """Return whether a first stage is a network of torchxrayvision, known by its name."""
    return plain(start).startswith("xrv:")


def _of_stage(name: str, get: Callable[[str], Weights] | None) -> Weights:
    """Return a first stage as weights; one of torchxrayvision's is found, or got, as theirs are."""
    if is_published(name):
        found = (get or find)(plain(name))
        if found.file is None:
            raise StageError(f"first stage {plain(name)!r}: {unavailable(found)}")
        return replace(found, network=name)
    path = locate(name)
    try:
        looked = _looked_at(path)
    except OSError as error:
        raise StageError(f"first stage {plain(name)!r} cannot be read: {error.strerror or error}") from error
    if not looked.is_believable:
        raise StageError(
            f"first stage {plain(name)!r} is no whole file of weights: it is cut off, empty or something else"
        )
    return Weights(f"{PREFIX}{shown(name)}", path, looked.sha256, looked.difference)


def choose_backbone(
    explicit: str | None, default: str = "vgg16", fetch: bool = True, progress: Progress | None = None
) -> tuple[str, str | None]:
    """Return (backbone whose features can be had, note for the reader of the row or None).

    A backbone that was asked for is taken or, with `WeightsUnavailable`, refused. In place of the
    default come, in this order: one of `ALTERNATIVES` that is on the disk, and the network that is
    trained on the training part of the split. Random weights never do. Without `fetch`, only the
    disk is asked.
    """
    if explicit == SPLIT_NETWORK:
        return SPLIT_NETWORK, "features from a small network trained on the training part of the same split"
    wanted = canonical(explicit or default)
    got = obtain(wanted, progress) if fetch else find(wanted)
    if got.file is not None:
        return wanted, None
    if explicit is not None:
        raise WeightsUnavailable(unavailable(got))
    for name in ALTERNATIVES:
        if find(name).file is not None:
            return name, f"features from {name}: {wanted}'s weights cannot be had ({_briefly(got)})"
    return SPLIT_NETWORK, f"{SPLIT_NETWORK_NOTE} ({wanted}: {_briefly(got)})"


def _briefly(weights: Weights) -> str:
    """Return the reason as the note of a row needs it: which host did not answer is in the record."""
    reason = weights.reason or ""
    return "no network" if reason.startswith("no network") else reason


def unavailable(weights: Weights) -> str:
    """Return one line that says which weights are absent, why, and what to do.

    It stands on boards too, so it names no folder of this machine.
    """
    urls = find_network(weights.network).urls
    if not urls:
        return f"weights of {weights.network!r} cannot be had: {weights.reason}; take another network"
    return (
        f"weights of {weights.network!r} cannot be had: {weights.reason}; put {_file_name(urls[0])} into "
        "hub/checkpoints of TORCH_HOME, or connect to a network"
    )


def checkpoints_folder() -> Path:
    """Return where torch.hub keeps the files it downloads."""
    home = os.environ.get("TORCH_HOME") or os.path.join(  # noqa: PTH118 - torch.hub expands '~' afterwards
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch"
    )
    return Path(home).expanduser() / "hub" / "checkpoints"


def _on_disk(network: Network) -> tuple[Weights, list[str]]:
    """Return the weights of a network on this disk, and what is wrong with files that should be some."""
    problems = []
    for path in (place for url in network.urls for place in _places(url)):
        try:
            looked = _looked_at(path) if path.is_file() else None
        except OSError as error:
            problems.append(f"{path.name} cannot be read ({error.strerror or error})")
            continue
        if looked is None:
            continue
        if looked.is_believable:
            return Weights(network.name, path, looked.sha256, looked.difference), []
        problems.append(f"{path.name} is damaged: {looked.difference or 'it is not a whole file of weights'}")
    return _absent(network, ", ".join(problems) or _why_not(network)), problems


def _why_not(network: Network) -> str:
    if not network.urls:
        return f"{'timm' if network.is_timm else 'torchvision'} has no pretrained weights for it"
    return f"{_file_name(network.urls[0])} is not on this disk"


def _absent(network: Network, reason: str) -> Weights:
    return Weights(network.name, None, None, reason)


def _places(url: str) -> Iterator[Path]:
    """Yield the paths at which other tools, or we, keep the file of a URL."""
    yield checkpoints_folder() / _file_name(url)
    if url.startswith(XRV_URL):
        yield XRV_CACHE.expanduser() / _file_name(url)
    if url.startswith(HUB):
        organisation, repository, _, revision, file = urlsplit(url).path.strip("/").split("/", 4)
        folder = _hub_cache() / f"models--{organisation}--{repository}"
        yield folder / "snapshots" / _commit(folder / "refs" / revision, revision) / file


def _hub_cache() -> Path:
    """Return the cache of the Hugging Face hub, by its own variables."""
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser() / "hub"


def _commit(reference: Path, revision: str) -> str:
    """Return the commit that a branch pointed to when it was last downloaded."""
    try:
        commit = reference.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return revision
    return commit if re.fullmatch(r"\w+", commit) else revision


def _file_name(url: str) -> str:
    """Return the name of a URL's file in the folder of all checkpoints."""
    path = PurePosixPath(urlsplit(url).path)
    if not url.startswith(HUB):
        return path.name
    organisation, repository = path.parts[1:3]
    return f"{organisation}--{repository}{path.suffix}"


@dataclass(frozen=True)
class _Look:
    """What was seen of a file: its digest, and whether it is whole by what it says of itself."""

    name: str
    sha256: str
    whole: bool

    @property
    def difference(self) -> str | None:
        """How the digest contradicts the name, None when it does not."""
        stated = DIGEST_IN_NAME.search(self.name)
        if stated is None or self.sha256.startswith(stated[1]):
            return None
        return f"its SHA-256 begins with {self.sha256[: len(stated[1])]}, its name says {stated[1]}"

    @property
    def is_published(self) -> bool:
        return DIGEST_IN_NAME.search(self.name) is not None and self.difference is None

    @property
    def is_believable(self) -> bool:
        return self.is_published or self.whole


def _looked_at(path: Path) -> _Look:
    """Look at a file, once for each path, size and time."""
    state = path.stat()
    facts = {"path": str(path.absolute()), "size": state.st_size, "mtime_ns": state.st_mtime_ns}
    memory = cache_folder() / "weights" / f"{digest_of(facts['path'])[:32]}.json"
    known = _remembered(memory)
    if any(known.get(key) != value for key, value in facts.items()):
        known = facts | {"sha256": _sha256(path), "whole": _is_whole(path)}
        save_json(memory, known)
    return _Look(path.name, str(known["sha256"]), bool(known["whole"]))


def _remembered(memory: Path) -> dict[str, object]:
    try:
        facts = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    is_sound = isinstance(facts, dict) and re.fullmatch(r"[0-9a-f]{64}", str(facts.get("sha256")))
    return facts if is_sound and isinstance(facts.get("whole"), bool) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole(path: Path) -> bool:
    """Return whether a file is complete by its own account; a bare pickle gives none."""
    if path.suffix == ".safetensors":
        return _is_whole_safetensors(path)
    return _is_whole_archive(path) or is_whole_pickle(path)


def _is_whole_archive(path: Path) -> bool:
    """Return whether a file is a zip archive, as torch writes them, with all check sums right."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            fits = sum(member.file_size for member in members) <= path.stat().st_size
            return stored and fits and archive.testzip() is None
    except (zipfile.BadZipFile, struct.error, RuntimeError, EOFError, ValueError, OSError):
        return False  # all that zipfile says of damaged archives; that the file can be read is known


def _is_whole_safetensors(path: Path) -> bool:
    """Return whether the tensors that the header lists end where the file ends."""
    try:
        entries = header(path)
        ends = [entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"]
        with path.open("rb") as file:
            begin = 8 + int.from_bytes(file.read(8), "little")
        return bool(ends) and begin + max(ends) == path.stat().st_size
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return False


def _fetched(url: str, progress: Progress | None) -> None:
    """Download the file of `url` to its place. Raises `FetchError`, again at once for what failed before."""
    from harness.download import mirrored

    source = mirrored(url)
    host = urlsplit(source).netloc
    for what, error in ((host, NoNetwork), (source, FetchError)):
        if what in _failures:
            raise error(_failures[what])
    try:
        _download(source, checkpoints_folder() / _file_name(url), progress)
    except FetchError as error:
        _failures[host if isinstance(error, NoNetwork) else source] = str(error)
        raise


def _download(url: str, target: Path, progress: Progress | None) -> None:
    """Let `target` appear when its bytes agree with its name; a damaged one is replaced, not trusted."""
    from harness.download import download, sole_use

    arriving = target.with_name(f"{target.stem}.unverified{target.suffix}")
    try:
        with sole_use(target, progress):
            if target.is_file() and _looked_at(target).is_believable:
                return
            download(url, arriving, progress=progress)
            look = _Look(target.name, _sha256(arriving), _is_whole(arriving))
            if look.difference is not None or not look.is_believable:
                arriving.unlink()
                what = look.difference or "it is not a whole file of weights"
                raise FetchError(f"what {urlsplit(url).netloc!r} sent as {target.name} is damaged: {what}")
            arriving.replace(target)
    except OSError as error:
        raise FetchError(f"cannot write {str(target)!r}: {error.strerror or error}") from error
