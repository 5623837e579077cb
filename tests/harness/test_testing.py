"""The conformance suite catches what it says it catches: one broken model a rule."""

import os
import random

import numpy as np
import pytest

from harness.errors import ModelError
from harness.images import Images, MemoryStore
from harness.testing import check_model, model_checks, toy_images


class NearestMean:
    """A model that keeps the contract; the broken ones below change one thing each."""

    recipes = {"smoke": {"size_px": 8, "trial": {"size_px": 4}}, "quick": {}}  # noqa: RUF012

    def __init__(self, *, n_classes, seed=0, device="cpu", size_px=16):
        self.n_classes, self.seed, self.device, self.size_px = n_classes, seed, device, size_px

    @staticmethod
    def search_space(trial):
        return {"size_px": trial.suggest_int("size_px", 4, 16)}

    def vectors(self, images):
        return images.resized(self.size_px).reshape(len(images), -1) / 255

    def fit(self, images, labels, *, validation=None, groups=None):
        x = self.vectors(images)
        self.seen_ = np.unique(labels)
        self.means_ = np.stack([x[labels == label].mean(axis=0) for label in self.seen_])
        return self

    def predict_proba(self, images):
        distances = ((self.vectors(images)[:, None] - self.means_) ** 2).sum(axis=2)
        weights = np.exp(distances.min(axis=1, keepdims=True) - distances)
        probabilities = np.zeros((len(images), self.n_classes))
        probabilities[:, self.seen_] = weights / weights.sum(axis=1, keepdims=True)
        return probabilities


def failures(factory, parameters=None, **options):
    """Return {rule: message} of the rules that a model breaks."""
    outcomes = model_checks(factory, parameters, **options)
    return {rule: str(error) for rule, error in outcomes if error is not None}


def assert_caught(factory, rule, message):
    found = failures(factory)
    relevant = [text for name, text in found.items() if name.startswith(rule)]
    assert relevant, f"not caught; broken rules: {found}"
    assert all(message in text for text in relevant), relevant
    assert all("\n" not in text for text in found.values())


def test_a_model_that_keeps_the_contract_passes():
    assert failures(NearestMean, n_classes=(2, 3, 5)) == {}
    assert check_model(NearestMean) is None


def test_a_factory_need_not_be_a_class():
    check_model(lambda *, n_classes, seed=0, device="cpu": NearestMean(n_classes=n_classes, seed=seed))


def test_every_rule_is_reported_once_with_its_class_count():
    rules = [rule for rule, _ in model_checks(NearestMean)]
    assert len(rules) == len(set(rules)) > 15
    assert {rule[-11:] for rule in rules} == {"(2 classes)", "(3 classes)"}


def test_check_model_names_the_model_and_every_broken_rule():
    class Broken(NearestMean):
        recipes = {"slow": {}}  # noqa: RUF012
        expected_seconds = {"quick": -1}  # noqa: RUF012

    with pytest.raises(ModelError) as caught:
        check_model(Broken)
    assert "Broken' breaks 2 of the contract's rules: has recipes that it accepts" in str(caught.value)
    assert "recipe 'slow' is not one of" in str(caught.value)
    assert "seconds above 0, got {'quick': -1}" in str(caught.value)


def test_wrong_shape_is_caught():
    class OneColumn(NearestMean):
        def predict_proba(self, images):
            return super().predict_proba(images)[:, :1]

    assert_caught(OneColumn, "gives finite probabilities", "expected shape (")


def test_hard_labels_are_caught():
    class Labels(NearestMean):
        def predict_proba(self, images):
            return super().predict_proba(images).argmax(axis=1)

    assert_caught(Labels, "gives finite probabilities", "expected a numpy array of float64 or float32")


def test_nan_is_caught():
    class NotANumber(NearestMean):
        def predict_proba(self, images):
            found = super().predict_proba(images)
            found[-1] = np.nan
            return found

    assert_caught(NotANumber, "gives finite probabilities", "not finite")


def test_rows_that_do_not_sum_to_one_are_caught():
    class Unnormalised(NearestMean):
        def predict_proba(self, images):
            return super().predict_proba(images) * 0.9

    assert_caught(Unnormalised, "gives finite probabilities", "does not sum to 1")


def test_swapped_columns_are_caught():
    class Swapped(NearestMean):
        def predict_proba(self, images):
            return super().predict_proba(images)[:, ::-1].copy()

    assert_caught(Swapped, "puts the probability of label k in column k", "labels [0, 1")


def test_two_swapped_columns_of_three_are_caught():
    class Swapped(NearestMean):
        def predict_proba(self, images):
            found = super().predict_proba(images)
            return found[:, [0, 2, 1]] if self.n_classes == 3 else found

    found = failures(Swapped)
    assert next(iter(found)) == "puts the probability of label k in column k (3 classes)"


def test_a_model_that_has_learned_nothing_yet_is_not_taken_for_swapped():
    class Constant(NearestMean):
        def predict_proba(self, images):
            return np.full((len(images), self.n_classes), 1 / self.n_classes)

    check_model(Constant)


def test_columns_counted_from_the_labels_are_caught():
    class FromLabels(NearestMean):
        def predict_proba(self, images):
            return super().predict_proba(images)[:, self.seen_]

    assert_caught(FromLabels, "keeps its columns when training lacks a class", "expected shape (")


def test_columns_that_close_ranks_over_a_missing_class_are_caught():
    class ClosesRanks(NearestMean):
        def predict_proba(self, images):
            found = super().predict_proba(images)[:, self.seen_]
            return np.pad(found, ((0, 0), (0, self.n_classes - found.shape[1])))

    found = failures(ClosesRanks)
    assert "are found in columns [0, 1]" in found["keeps its columns when training lacks a class (3 classes)"]


def test_refusing_one_class_alone_in_one_line_is_allowed():
    class Refuses(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            if len(np.unique(labels)) < 2:
                raise ModelError("needs 2 classes, got only 1")
            return super().fit(images, labels)

    check_model(Refuses)


def test_crashing_on_one_class_alone_is_caught():
    class Crashes(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            assert len(np.unique(labels)) > 1
            return super().fit(images, labels)

    assert_caught(Crashes, "keeps its columns when training lacks a class", "it raised AssertionError")


def test_ignoring_the_seed_is_caught():
    class Entropy(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            super().fit(images, labels)
            noise = np.random.default_rng(int.from_bytes(os.urandom(4))).normal(size=self.means_.shape)
            self.means_ = self.means_ + 0.05 * noise
            return self

    assert_caught(Entropy, "gives the same probabilities for the same seed", "second model of the same seed")


@pytest.mark.parametrize("draw", [lambda: np.random.rand(), random.random])  # noqa: NPY002
def test_depending_on_a_global_random_state_is_caught(draw):
    class Global(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            super().fit(images, labels)
            self.means_ = self.means_ * (0.5 + draw())
            return self

    assert_caught(Global, "gives the same probabilities for the same seed", "draw from `seed` alone")


def test_the_global_random_states_are_left_as_they_were():
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    check_model(NearestMean)
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002


def test_predictions_that_change_are_caught():
    class Drifts(NearestMean):
        def predict_proba(self, images):
            self.means_ = self.means_ * 0.9
            return super().predict_proba(images)

    assert_caught(Drifts, "gives the same probabilities for the same seed", "second prediction")


def test_judging_an_image_by_its_neighbours_is_caught():
    class Batch(NearestMean):
        def vectors(self, images):
            found = super().vectors(images)
            return found - found.mean(axis=0)

    assert_caught(Batch, "judges each image by itself", "image by itself differ")


def test_answering_in_another_order_is_caught():
    class Sorted(NearestMean):
        def predict_proba(self, images):
            found = super().predict_proba(images)
            return found[np.argsort(found[:, 0])]

    assert_caught(Sorted, "judges each image by itself", "differ from those of the image")


def test_crashing_on_a_single_image_is_caught():
    class Squeezes(NearestMean):
        def predict_proba(self, images):
            return super().predict_proba(images).squeeze()

    assert_caught(Squeezes, "judges each image by itself", "expected shape (1, 2)")


def test_images_of_one_size_only_are_caught():
    class OneSize(NearestMean):
        def vectors(self, images):
            return np.stack([image[:40, :40].ravel() for image in images]) / 255

    assert_caught(OneSize, "takes images of any size", "it raised ValueError")


def test_changed_labels_are_caught():
    class Relabels(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            super().fit(images, labels)
            labels[:] = 0
            return self

    assert_caught(Relabels, "leaves images and labels as they were", "it changed the labels")


def test_changed_pixels_are_caught():
    class Paints(NearestMean):
        def predict_proba(self, images):
            images[0][:] = 0
            return super().predict_proba(images)

    assert_caught(Paints, "leaves images and labels as they were", "it changed the pixels")


def test_remembering_an_earlier_fit_is_caught():
    class Remembers(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            old = getattr(self, "means_", 0)
            super().fit(images, labels)
            self.means_ = self.means_ + old
            return self

    assert_caught(Remembers, "forgets what it learned", "fit must start anew")


def test_fit_that_returns_nothing_is_caught():
    class ReturnsNone(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            super().fit(images, labels)

    assert_caught(
        ReturnsNone, "is fitted on images and labels alone", "return the model itself (self), got None"
    )


def test_fit_that_needs_validation_without_saying_so_is_caught():
    class Needs(NearestMean):
        def fit(self, images, labels, *, validation, groups=None):
            return super().fit(images, labels)

    assert_caught(Needs, "is fitted on images and labels alone", "missing 1 required keyword-only argument")

    class Says(Needs):
        uses_validation = True

    check_model(Says)


def test_fit_that_knows_no_groups_is_caught():
    class NoGroups(NearestMean):
        def fit(self, images, labels, *, validation=None):
            return super().fit(images, labels)

    assert_caught(NoGroups, "gives finite probabilities", "unexpected keyword argument 'groups'")


def test_a_constructor_that_needs_more_is_caught():
    class Needs(NearestMean):
        def __init__(self, *, n_classes, depth, seed=0, device="cpu", size_px=16):
            super().__init__(n_classes=n_classes, size_px=size_px)

    assert_caught(Needs, "is made from keywords", "give every other parameter a default")


def test_a_constructor_without_a_seed_is_caught():
    class NoSeed(NearestMean):
        def __init__(self, *, n_classes, size_px=16):
            super().__init__(n_classes=n_classes, size_px=size_px)

    assert_caught(NoSeed, "is made from keywords", "accept n_classes, seed and device")


def test_a_constructor_that_learns_is_caught():
    class Eager(NearestMean):
        def __init__(self, *, n_classes, seed=0, device="cpu", size_px=16):
            super().__init__(n_classes=n_classes, size_px=size_px)
            self.means_ = np.zeros((n_classes, size_px**2))

    assert_caught(Eager, "is made from keywords", "already sets ['means_']")


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ([], "recipes must map recipe names to parameters"),
        ({"smoke": 3}, "recipe 'smoke' must map parameters to values, got 3"),
        ({"medium": {}}, "recipe 'medium' is not one of check, smoke, quick, paper"),
        ({"quick": {"depth": 3}}, "names a parameter that the factory does not accept"),
        ({"quick": {"trial": {"depth": 3}}}, "names a parameter that the factory does not accept"),
        ({"quick": {"trial": 3}}, "'trial' must map parameters to values"),
        ({"quick": {"seed": 3}}, "sets ['seed'], which the harness sets"),
        ({"quick": {"size_px": {4, 5}}}, "a value that JSON cannot hold"),
        ({"quick": {"size_px": float("nan")}}, "a value that JSON cannot hold"),
    ],
)
def test_unusable_recipes_are_caught(recipes, message):
    factory = type("Model", (NearestMean,), {"recipes": recipes})
    assert_caught(factory, "has recipes that it accepts", message)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (lambda trial: None, "must return a dict of parameters, got None"),
        (lambda trial: {"depth": 3}, "names a parameter that the factory does not accept"),
        (lambda trial: {"seed": trial.suggest_int("seed", 0, 9)}, "sets ['seed'], which the harness sets"),
        (lambda trial: {"size_px": -trial.suggest_int("s", 1, 2)}, "it raised ValueError"),
        (lambda *, trial: {}, "it raised TypeError"),
    ],
)
def test_unusable_search_spaces_are_caught(space, message):
    members = {"search_space": staticmethod(space), "recipes": {}}
    assert_caught(type("Model", (NearestMean,), members), "has a search_space that it accepts", message)


@pytest.mark.parametrize("notes", ["one", [3], ["two\nlines"], [""], ("a",)])
def test_notes_that_no_board_can_print_are_caught(notes):
    class Notes(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            self.notes_ = notes
            return super().fit(images, labels)

    assert_caught(Notes, "writes notes_ as lines of text", "notes_ must be a list of lines of text")


def test_a_single_name_in_place_of_the_networks_is_caught():
    class OneName(NearestMean):
        @staticmethod
        def pretrained(**_):
            return "vgg16"

    assert_caught(
        OneName, "names the pretrained networks", "must return a tuple of network names, got 'vgg16'"
    )


def test_given_parameters_come_before_those_of_the_cheapest_recipe():
    seen = set()

    class Watched(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            seen.add(self.size_px)
            return super().fit(images, labels)

    list(model_checks(Watched, {"size_px": 5}))
    assert seen == {5}
    seen.clear()
    list(
        model_checks(
            type("Checked", (Watched,), {"search_space": None, "recipes": {"check": {"size_px": 6}}})
        )
    )
    assert seen == {6}
    seen.clear()
    list(model_checks(type("Searched", (Watched,), {"search_space": None})))
    assert seen == {4}


def test_an_interrupt_is_not_an_outcome():
    class Interrupted(NearestMean):
        def fit(self, images, labels, *, validation=None, groups=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(model_checks(Interrupted))


def test_toy_images_show_their_class():
    labels = np.arange(40) % 4
    images = Images(MemoryStore(toy_images(labels.tolist())))
    vectors = images.resized(8).reshape(40, -1).astype(float)
    means = np.stack([vectors[:20][labels[:20] == k].mean(axis=0) for k in range(4)])
    nearest = ((vectors[20:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels[20:]).all()
    assert len({images[row].shape for row in range(40)}) > 30
