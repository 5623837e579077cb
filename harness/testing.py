"""The conformance suite: what every model must do before its numbers mean anything.

In a plugin's own tests::

    from harness.testing import check_model
    from my_net import MyNet

    def test_my_net_keeps_the_contract():
        check_model(MyNet)

Images are small, synthetic and easy, and the parameters are those of the model's recipe "check" or,
without one, of a tuning trial of "smoke": pass `parameters` to make a model cheaper still. That a
model seeds a global random state is no fault; that its result depends on one is.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from harness.errors import HarnessError, ModelError
from harness.images import Images, MemoryStore, resized_array
from harness.metrics import check_probabilities

__all__ = ["check_model", "model_checks", "toy_images"]

Factory = Callable[..., Any]
Labelled = tuple[Images, np.ndarray]

RECIPES = ("check", "smoke", "quick", "paper")
CONTEXT = ("n_classes", "seed", "device")

PER_CLASS = {"train": 8, "val": 4, "test": 5}

SAME = 1e-6
"""How far probabilities of one seed may differ between two fits on one device."""

ALONE = 1e-3
"""How far an image's probabilities may move with the batch it is in: float32 rounding of deep networks."""

SWAPPED = 0.45
"""Balanced accuracy that another order of the columns must gain before the order counts as wrong."""


def check_model(
    factory: Factory,
    *,
    n_classes: Sequence[int] = (2, 3),
    parameters: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> None:
    """Raise `ModelError` naming every rule that the model breaks, and how; return None when it keeps them all.

    `factory` is what the entry point names; `parameters` are added to those of its recipe.
    """
    broken = [
        f"{rule}: {error}"
        for rule, error in model_checks(factory, parameters, n_classes=n_classes, device=device)
        if error is not None
    ]
    if broken:
        raise ModelError(
            f"{_name(factory)} breaks {len(broken)} of the contract's rules: " + "; ".join(broken)
        )


def model_checks(
    factory: Factory,
    parameters: Mapping[str, Any] | None = None,
    *,
    n_classes: Sequence[int] = (2, 3),
    device: str = "cpu",
) -> Iterator[tuple[str, Exception | None]]:
    """Yield (rule, None or what broke it) as each rule is tried; what a model raises is caught and yielded.

    The first class count meets every rule, the others those in which it can matter.
    """
    given = {**_cheap_parameters(factory), **(parameters or {})}
    for position, classes in enumerate(n_classes):
        bench = Bench(factory, given, classes, device)
        for rule, check in RULES if position == 0 else RULES_OF_CLASSES:
            yield f"{rule} ({classes} classes)", _outcome(check, bench)


def toy_images(labels: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """Return one grey image a label, uint8 of varying sizes: a bright spot whose place tells the class."""
    rng = np.random.default_rng(seed)
    return [_toy_image(int(label), rng) for label in labels]


@dataclass
class Bench:
    """A factory with its parameters, small images to try it on, and one fitted model that rules share."""

    factory: Factory
    parameters: Mapping[str, Any]
    n_classes: int
    device: str
    parts: dict[str, Labelled] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = {part: np.repeat(np.arange(self.n_classes), n) for part, n in PER_CLASS.items()}
        view = _view(np.concatenate(list(labels.values())), seed=0)
        start = 0
        for part, of_part in labels.items():
            shuffled = np.random.default_rng(len(of_part)).permutation(len(of_part))
            self.parts[part] = view[start + shuffled], of_part[shuffled].astype(np.int64)
            start += len(of_part)

    def part(self, name: str) -> Labelled:
        """Return the images of a part and labels that a model may spoil."""
        images, labels = self.parts[name]
        return images, labels.copy()

    def model(self, **parameters: Any) -> Any:
        context = {"n_classes": self.n_classes, "seed": 7, "device": self.device}
        return self.factory(**context, **{**self.parameters, **parameters})

    def fit(self, model: Any, part: Labelled, *, plain: bool = False) -> Any:
        """Fit as the harness does in tuning; `plain` as in the final fit of a model that keeps no validation part."""
        images, labels = part
        if plain and not getattr(self.factory, "uses_validation", False):
            return model.fit(images, labels)
        groups = [None if row % 5 == 4 else f"patient {row // 2}" for row in range(len(images))]
        return model.fit(images, labels, validation=self.part("val"), groups=groups)

    def predict(self, model: Any, images: Images) -> np.ndarray:
        return check_probabilities(model.predict_proba(images), len(images), self.n_classes)

    @cached_property
    def fitted(self) -> Any:
        """The shared model. Rules that fit or change one make their own."""
        with _global_random_state(1):
            model = self.model()
            self.fit(model, self.part("train"))
        return model

    @cached_property
    def probabilities(self) -> np.ndarray:
        """What the shared model says of the test part."""
        return self.predict(self.fitted, self.part("test")[0])


def _is_made(bench: Bench) -> None:
    context = {"n_classes": bench.n_classes, "seed": 7, "device": bench.device}
    own = dict(bench.parameters)
    kept = copy.deepcopy(own)
    for keywords in (context, {**context, **own}):
        try:
            model = bench.factory(**keywords)
        except TypeError as error:
            raise ModelError(
                f"cannot be called with the keywords {sorted(keywords)} ({error}); "
                "accept n_classes, seed and device, and give every other parameter a default"
            ) from error
    _require(own == kept, "it changed a parameter that it was given; copy it in fit")
    learned = [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    _require(not learned, f"the constructor already sets {learned}; learn in fit, only store before")


def _fits(bench: Bench) -> None:
    model = bench.model()
    returned = bench.fit(model, bench.part("train"), plain=True)
    _require(returned is model, f"fit must return the model itself (self), got {returned!r}")
    bench.predict(model, bench.part("test")[0])


def _gives_probabilities(bench: Bench) -> None:
    bench.predict(bench.fitted, bench.part("test")[0])


def _orders_columns(bench: Bench) -> None:
    images, labels = bench.part("train")
    _require_columns(bench.predict(bench.fitted, images), labels)


def _judges_alone(bench: Bench) -> None:
    images, _ = bench.part("test")
    for row in (0, len(images) - 1):
        alone = bench.predict(bench.fitted, images[row : row + 1])
        _require_same(
            alone, bench.probabilities[row : row + 1], ALONE, "image by itself", "image among others"
        )
    backwards = bench.predict(bench.fitted, images[::-1])[::-1]
    _require_same(backwards, bench.probabilities, ALONE, "reversed images", "images in order")


def _takes_any_image(bench: Bench) -> None:
    rng = np.random.default_rng(5)
    shapes = [(30, 200), (150, 40), (64, 64), (1, 1)]
    strangers = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    bench.predict(bench.fitted, Images(MemoryStore(strangers, embed=_embedded)))


def _leaves_inputs(bench: Bench) -> None:
    _, labels = bench.part("train")
    pixels = toy_images(labels.tolist(), seed=3)
    kept_pixels, kept_labels = copy.deepcopy(pixels), labels.copy()
    images = Images(MemoryStore(pixels, embed=_embedded))
    model = bench.model()
    bench.fit(model, (images, labels))
    model.predict_proba(images)
    _require(np.array_equal(labels, kept_labels), "it changed the labels; work on a copy")
    same = all(np.array_equal(now, before) for now, before in zip(pixels, kept_pixels, strict=True))
    _require(same, "it changed the pixels of an image; work on a copy")


def _repeats(bench: Bench) -> None:
    images, _ = bench.part("test")
    _require_same(
        bench.predict(bench.fitted, images), bench.probabilities, SAME, "second prediction", "first one"
    )
    with _global_random_state(2):
        again = bench.model()
        bench.fit(again, bench.part("train"))
        found = bench.predict(again, images)
    _require_same(
        found,
        bench.probabilities,
        SAME,
        "second model of the same seed",
        "first one (draw from `seed` alone)",
    )


def _forgets(bench: Bench) -> None:
    images, labels = bench.part("train")
    model = bench.model()
    with _global_random_state(3):
        bench.fit(model, (images, (labels + 1) % bench.n_classes))
        bench.fit(model, (images, labels))
    found = bench.predict(model, bench.part("test")[0])
    _require_same(
        found, bench.probabilities, SAME, "model fitted a second time", "new one (fit must start anew)"
    )


def _misses_a_class(bench: Bench) -> None:
    images, labels = bench.part("train")
    rows = np.flatnonzero(labels != (1 if bench.n_classes > 2 else 0))
    part = images[rows], labels[rows]
    model = bench.model()
    try:
        bench.fit(model, part, plain=True)
    except HarnessError as error:
        _require(
            bench.n_classes == 2, f"two of {bench.n_classes} classes in the training part are enough: {error}"
        )
        return  # one class alone may be refused, in one line
    found = bench.predict(model, part[0])
    if bench.n_classes > 2:
        _require_columns(found, part[1])


def _writes_notes(bench: Bench) -> None:
    notes = getattr(bench.fitted, "notes_", [])
    right = isinstance(notes, list) and all(isinstance(n, str) and n and "\n" not in n for n in notes)
    _require(right, f"notes_ must be a list of lines of text, got {notes!r}")


def _lists_recipes(bench: Bench) -> None:
    recipes = getattr(bench.factory, "recipes", {})
    _require(isinstance(recipes, Mapping), f"recipes must map recipe names to parameters, got {recipes!r}")
    for name, recipe in recipes.items():
        _require(name in RECIPES, f"recipe {name!r} is not one of {', '.join(RECIPES)}")
        _require(
            isinstance(recipe, Mapping), f"recipe {name!r} must map parameters to values, got {recipe!r}"
        )
        own = dict(recipe)
        trial = own.pop("trial", {})
        _require(isinstance(trial, Mapping), f"recipe {name!r}: 'trial' must map parameters to values")
        for parameters in (own, {**own, **trial}):
            _require_accepted(bench, parameters, f"recipe {name!r}")


def _searches(bench: Bench) -> None:
    search_space = getattr(bench.factory, "search_space", None)
    if search_space is None:
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        chosen = search_space(study.ask())
        _require(
            isinstance(chosen, dict), f"search_space(trial) must return a dict of parameters, got {chosen!r}"
        )
        _require_accepted(bench, chosen, "search_space")
    model = bench.model(**{name: value for name, value in chosen.items() if name not in bench.parameters})
    bench.fit(model, bench.part("train"))
    bench.predict(model, bench.part("test")[0])


def _names_networks(bench: Bench) -> None:
    pretrained = getattr(bench.factory, "pretrained", None)
    if pretrained is None:
        return
    for recipe in ({}, *getattr(bench.factory, "recipes", {}).values(), bench.parameters):
        parameters = {name: value for name, value in recipe.items() if name != "trial"}
        names = pretrained(**parameters)
        right = isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)
        _require(right, f"pretrained(**parameters) must return a tuple of network names, got {names!r}")


def _expects_seconds(bench: Bench) -> None:
    expected = getattr(bench.factory, "expected_seconds", {})
    right = isinstance(expected, Mapping) and all(
        name in RECIPES and isinstance(seconds, int | float) and seconds > 0
        for name, seconds in expected.items()
    )
    _require(right, f"expected_seconds must map recipe names to seconds above 0, got {expected!r}")


RULES_OF_CLASSES = (
    ("gives finite probabilities, a row an image, a column a class, rows summing to 1", _gives_probabilities),
    ("puts the probability of label k in column k", _orders_columns),
    ("gives the same probabilities for the same seed", _repeats),
    ("keeps its columns when training lacks a class", _misses_a_class),
)

RULES = (
    ("is made from keywords, which it only stores", _is_made),
    ("is fitted on images and labels alone, and returns itself", _fits),
    *RULES_OF_CLASSES,
    ("judges each image by itself", _judges_alone),
    ("takes images of any size, of another dataset", _takes_any_image),
    ("leaves images and labels as they were", _leaves_inputs),
    ("forgets what it learned when it is fitted again", _forgets),
    ("writes notes_ as lines of text", _writes_notes),
    ("has recipes that it accepts", _lists_recipes),
    ("has a search_space that it accepts", _searches),
    ("names the pretrained networks it starts from", _names_networks),
    ("says how many seconds to expect", _expects_seconds),
)


def _outcome(check: Callable[[Bench], None], bench: Bench) -> Exception | None:
    try:
        check(bench)
    except HarnessError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a stranger's model may raise anything
        described = ModelError(" ".join(f"it raised {type(error).__name__}: {error}".split()))
        described.__cause__ = error
        return described
    return None


def _require(kept: bool, message: str) -> None:
    if not kept:
        raise ModelError(message)


def _require_same(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str, other: str) -> None:
    difference = float(np.abs(found - expected).max())
    _require(
        difference <= tolerance,
        f"probabilities of the {what} differ from those of the {other} by {difference:.3g}",
    )


def _require_columns(p_NC: np.ndarray, labels: np.ndarray) -> None:
    """Raise when some other assignment of columns fits the labels far better than column k to label k."""
    present = np.unique(labels)
    hits = np.stack([np.eye(p_NC.shape[1])[p_NC[labels == k].argmax(axis=1)].mean(axis=0) for k in present])
    rows = np.arange(len(present))
    orders = list(itertools.permutations(range(p_NC.shape[1]), len(present)))
    best = max(orders, key=lambda order: float(hits[rows, list(order)].mean()))
    own, gained = hits[rows, present].mean(), hits[rows, list(best)].mean()
    _require(
        gained - own <= SWAPPED,
        f"on its own training images labels {present.tolist()} are found in columns {list(best)} "
        f"(balanced accuracy {gained:.2f}, in their own columns {own:.2f})",
    )


def _require_accepted(bench: Bench, parameters: Mapping[str, Any], where: str) -> None:
    taken = [name for name in parameters if name in CONTEXT]
    _require(not taken, f"{where} sets {taken}, which the harness sets")
    try:
        json.dumps(dict(parameters), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{where} has a value that JSON cannot hold: {dict(parameters)!r}") from error
    try:
        bench.model(**parameters)
    except TypeError as error:
        raise ModelError(f"{where} names a parameter that the factory does not accept: {error}") from error


def _cheap_parameters(factory: Factory) -> dict[str, Any]:
    """Return the parameters of recipe "check", else those of a tuning trial of "smoke", else none."""
    recipes = getattr(factory, "recipes", {})
    recipe = recipes.get("check", recipes.get("smoke", {})) if isinstance(recipes, Mapping) else {}
    if not isinstance(recipe, Mapping):
        return {}
    own = dict(recipe)
    trial = own.pop("trial", {})
    return {**own, **trial} if isinstance(trial, Mapping) else own


@contextmanager
def _global_random_state(number: int) -> Iterator[None]:
    """Seed the global generators with `number`, and put them back as they were."""
    torch = sys.modules.get("torch")
    kept_python, kept_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    kept_torch = torch.get_rng_state() if torch else None
    try:
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002
        if torch:
            torch.manual_seed(number)
        yield
    finally:
        random.setstate(kept_python)
        np.random.set_state(kept_numpy)  # noqa: NPY002
        if torch:
            torch.set_rng_state(kept_torch)


def _view(labels: np.ndarray, seed: int) -> Images:
    return Images(MemoryStore(toy_images(labels.tolist(), seed), embed=_embedded))


def _toy_image(label: int, rng: np.random.Generator) -> np.ndarray:
    height, width = (int(side) for side in rng.integers(40, 97, size=2))
    angle = label * 2.39996  # the golden angle: apart for any number of classes
    row, column = 0.5 + 0.28 * np.sin(angle), 0.5 + 0.28 * np.cos(angle)
    down = (np.arange(height)[:, None] + 0.5) / height - row
    across = (np.arange(width)[None, :] + 0.5) / width - column
    spot = 170 * np.exp(-(down**2 + across**2) / (2 * 0.12**2))
    return np.clip(spot + 40 + rng.normal(0, 12, (height, width)), 0, 255).astype(np.uint8)


def _embedded(backbone: str, images_NSS: np.ndarray) -> np.ndarray:
    """Return float32 (N, 64): the image at 8 x 8 pixels, which is all the toy task needs."""
    del backbone
    small = [resized_array(image, 8).ravel() for image in images_NSS]
    return (np.stack(small) if small else np.empty((0, 64))).astype(np.float32) / 255 + 0.01


def _name(factory: Factory) -> str:
    return repr(getattr(factory, "__qualname__", factory))
