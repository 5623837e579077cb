"""Networks by name: every image classifier of torchvision and timm, and where its pretrained weights are.

Names that begin with 'xrv:' are DenseNets with torchxrayvision's weights, trained on chest radiographs.

Asking torchvision and timm takes seconds, so their answer is kept in the cache, by their versions;
after that a name is known without importing torch.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from harness.data.pixels import cache_errors
from harness.errors import UnknownName, UsageError
from harness.folders import cache_folder
from harness.machine import versions
from harness.types import digest_of

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Network", "canonical", "find_network", "save_json"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TORCHVISION_WEIGHTS = ("IMAGENET1K_V1", "IMAGENET1K_V2", "IMAGENET1K_SWAG_LINEAR_V1")
"""Best first: V1 is what the papers fine-tuned; all of these take 224 px images and classify."""

HUB = "https://huggingface.co"
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
SCHEMA = 2

XRV_URL = "https://github.com/mlmed/torchxrayvision/releases/download/v1"
XRV_FILES = {
    "all": "nih-pc-chex-mimic_ch-google-openi-kaggle",
    "nih": "nih",
    "pc": "pc",
    "chex": "chex",
    "rsna": "kaggle",
    "mimic_nb": "mimic_nb",
    "mimic_ch": "mimic_ch",
}
"""How the files begin in `model_urls` of torchxrayvision 1.5.7, by what they were trained on: nih is ChestX-ray14."""
XRV_ENDING = "-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt"

# torchxrayvision's utils.normalize: [0, 255] becomes [-1024, 1024].
XRV_MEAN, XRV_STD = (0.5,), (1 / 2048,)

# Numbers depend on neither; they decide which names exist.
LIBRARIES = ("torch", "torchvision", "timm")


@dataclass(frozen=True)
class Network:
    """A classifier by its canonical name: 'vgg16' (torchvision), 'timm:NAME' or 'xrv:densenet121-NAME'.

    `urls` say where its pretrained weights are, best first; none means that there are none.
    `minimum_px` is the least width and height of an image that its makers state; `fixed` says
    that it takes no other. `mean` and `std` are the statistics that its weights expect, one a channel, of
    intensities between 0 and 1.
    """

    name: str
    urls: tuple[str, ...]
    minimum_px: int = 1
    fixed: bool = False
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @property
    def is_timm(self) -> bool:
        return self.name.startswith("timm:")

    @property
    def is_xrv(self) -> bool:
        return self.name.startswith("xrv:")

    @property
    def own_name(self) -> str:
        """What its library calls it; torchvision builds torchxrayvision's DenseNets."""
        return self.name.partition("-")[0][4:] if self.is_xrv else self.name.removeprefix("timm:")

    @property
    def architecture(self) -> str:
        """What two networks share that can take each other's weights but for the classifier."""
        return self.own_name if self.is_xrv else self.name.partition(".")[0]


def find_network(name: str) -> Network:
    """Return the classifier of that name: 'vgg16', 'torchvision:vgg16', 'timm:NAME' or 'xrv:densenet121-nih'.

    Raises `UnknownName` with close names, and `UsageError` for a network of torchvision that is
    no image classifier.
    """
    known = _catalogue(_catalogue_path())
    short = name.removeprefix("torchvision:")
    entry = known["networks"].get(short)
    if entry is not None:
        return _network(known["aliases"].get(short, short), entry)
    kind = known["others"].get(short)
    if kind is not None:
        raise UsageError(
            f"network {name!r} is a {kind} of torchvision, not a plain image classifier; take one such as 'resnet50'"
        )
    raise UnknownName("network", short, _close(short.lower(), known["networks"]) or _examples())


def canonical(network: str) -> str:
    """Return the one name of a network that has several, such as 'vgg16' for 'torchvision:vgg16'.

    Raises as `find_network` does.
    """
    return find_network(network).name


def _close(name: str, known: Mapping[str, Any]) -> list[str]:
    """Return the names that a user may have meant, the untagged ones of timm first."""
    close = difflib.get_close_matches(name, [n for n in known if "." not in n], n=2)
    return close or difflib.get_close_matches(name, known, n=2)


def _examples() -> list[str]:
    return ["any classifier of torchvision such as 'vgg16'", "any of timm such as 'timm:convnext_tiny'"]


def _network(name: str, entry: Mapping[str, Any]) -> Network:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    return Network(**{**values, "name": name})


def _catalogue_path() -> Path:
    made_by = {name: versions().get(name) for name in LIBRARIES}
    return cache_folder() / f"networks-{digest_of([SCHEMA, made_by])[:16]}.json"


@lru_cache(maxsize=4)
def _catalogue(path: Path) -> dict[str, Any]:
    """Return what `path` holds, made anew where it holds nothing usable."""
    found = _read(path)
    if found is None:
        found = _asked()
        save_json(path, found)
    return found


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
        for name, entry in found["networks"].items():
            _network(name, entry)
        if all(isinstance(found[key], dict) for key in ("aliases", "others")):
            return dict(found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass  # not there, or not what was written: it is made again
    return None


def save_json(path: Path, value: Mapping[str, Any]) -> None:
    """Let `path`, a file in the cache, hold a JSON value in one rename. Raises `HarnessError` when it cannot."""
    temporary = path.with_name(f".tmp-{path.name}-{uuid4().hex}")
    with cache_errors(cache_folder()):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(value), "utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@cache
def _asked() -> dict[str, Any]:
    """Ask torchvision and timm for all they have: seconds, once for each version."""
    found = [*_of_torchvision(), *_of_timm(), *_of_xrv()]
    networks = {network.name: asdict(network) for network in found}
    aliases = {name: short for name, short in _timm_defaults() if name in networks}
    return {"networks": networks, "aliases": aliases, "others": _other_kinds()}


def _of_torchvision() -> Iterator[Network]:
    from torchvision import models

    for name in models.list_models(module=models):
        enum = models.get_model_weights(name)
        weights = [enum[key].value for key in TORCHVISION_WEIGHTS if key in enum.__members__]
        minimum_px = min(weights[0].meta["min_size"]) if weights else 1
        # Their position embeddings and windows are made for one size.
        fixed = name.startswith(("vit_", "maxvit_"))
        yield Network(name, tuple(w.url for w in weights), minimum_px, fixed)


def _of_timm() -> Iterator[Network]:
    import timm

    for name in sorted({*timm.list_models(), *timm.list_pretrained()}):
        cfg = timm.get_pretrained_cfg(name)
        if cfg is None:
            yield Network(f"timm:{name}", ())
            continue
        fixed = bool(cfg.fixed_input_size)
        least = cfg.input_size if fixed else cfg.min_input_size or (1,)
        yield Network(f"timm:{name}", _timm_urls(cfg), int(least[-1]), fixed, tuple(cfg.mean), tuple(cfg.std))


def _of_xrv() -> Iterator[Network]:
    from torchvision import models

    minimum_px = min(models.DenseNet121_Weights.IMAGENET1K_V1.meta["min_size"])
    for name, file in XRV_FILES.items():
        url = f"{XRV_URL}/{file}{XRV_ENDING}"
        yield Network(f"xrv:densenet121-{name}", (url,), minimum_px, mean=XRV_MEAN, std=XRV_STD)


def _timm_urls(cfg: Any) -> tuple[str, ...]:
    """Return where timm's weights are: on the Hugging Face hub, else where its authors put them."""
    urls = []
    if cfg.hf_hub_id:
        repository, _, revision = cfg.hf_hub_id.partition("@")
        files = (cfg.hf_hub_filename,) if cfg.hf_hub_filename else HUB_FILES
        urls += [f"{HUB}/{repository}/resolve/{revision or 'main'}/{file}" for file in files]
    if cfg.url and not cfg.custom_load:
        urls.append(cfg.url)
    return tuple(urls)


def _timm_defaults() -> Iterator[tuple[str, str]]:
    """Yield (name with the default tag, name without) of timm's networks."""
    import timm

    for name in timm.list_models():
        cfg = timm.get_pretrained_cfg(name)
        if cfg is not None and cfg.tag:
            yield f"timm:{name}.{cfg.tag}", f"timm:{name}"


def _other_kinds() -> dict[str, str]:
    """Return, by name, what torchvision's networks do that are no image classifiers."""
    from torchvision import models

    classifiers = set(models.list_models(module=models))
    return {
        name: models.get_model_builder(name).__module__.split(".")[2].replace("_", " ") + " model"
        for name in models.list_models()
        if name not in classifiers
    }
