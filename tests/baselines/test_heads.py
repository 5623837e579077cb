"""The classifiers on deep features."""

import os

import numpy as np
import pytest

from baselines.heads import SVM, AdaBoost, DecisionTree
from baselines.xdnn_head import ReleasedXDNNHead, XDNNHead
from harness.counters import since, snapshot
from harness.errors import ModelError
from harness.images import Images, MemoryStore
from harness.testing import check_model, toy_images
from harness.types import Explains

HEADS = [SVM, DecisionTree, AdaBoost, XDNNHead, ReleasedXDNNHead]


def embedded(backbone, images):
    """Features for tests: the four quarters of the image, brightest first in importance."""
    x = images.astype(np.float32) / 255 + 0.01
    half = x.shape[1] // 2
    quarters = [x[:, :half, :half], x[:, :half, half:], x[:, half:, :half], x[:, half:, half:]]
    return np.stack([quarter.mean(axis=(1, 2)) for quarter in quarters], axis=1)


def labelled(per_class=15, n_classes=2, seed=0, embed=embedded):
    labels = np.tile(np.arange(n_classes), per_class)
    return Images(MemoryStore(toy_images(labels.tolist(), seed), embed=embed)), labels


def head(factory, **parameters):
    if factory is ReleasedXDNNHead:
        parameters = {"radius": 0.0, **parameters}  # these features lie nearer to each other than 30 degrees
    return factory(**{"n_classes": 2, "backbone": "any", "size_px": 32, **parameters})


@pytest.mark.parametrize("factory", HEADS)
def test_keeps_the_contract(factory):
    check_model(factory)


@pytest.mark.parametrize("factory", HEADS)
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_learns_an_easy_task_of_any_number_of_classes(factory, n_classes):
    images, labels = labelled(n_classes=n_classes)
    model = head(factory, n_classes=n_classes).fit(images, labels)
    unseen, truth = labelled(n_classes=n_classes, seed=1)
    assert (model.predict_proba(unseen).argmax(axis=1) == truth).mean() > 0.9


@pytest.mark.parametrize("factory", HEADS)
def test_a_class_missing_from_training_keeps_a_column_of_zeros(factory):
    images, labels = labelled(n_classes=3)
    rows = np.flatnonzero(labels != 1)
    found = head(factory, n_classes=3).fit(images[rows], labels[rows]).predict_proba(images)
    assert found.shape == (45, 3)
    assert (found[:, 1] == 0).all()
    assert (found.argmax(axis=1) == labels)[rows].all()


@pytest.mark.parametrize("factory", [SVM, AdaBoost])
def test_one_class_alone_is_refused_in_one_line(factory):
    images, labels = labelled()
    with pytest.raises(ModelError, match="needs 2 classes in the training part, got only class 1") as caught:
        head(factory).fit(images, np.ones_like(labels))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("factory", [DecisionTree, XDNNHead, ReleasedXDNNHead])
def test_one_class_alone_is_a_valid_state_of_trees_and_prototypes(factory):
    images, labels = labelled()
    found = head(factory).fit(images, np.ones_like(labels)).predict_proba(images)
    assert found.tolist() == [[0.0, 1.0]] * len(images)


@pytest.mark.parametrize("factory", HEADS)
def test_asking_before_fitting_is_refused(factory):
    images, _ = labelled()
    with pytest.raises(ModelError, match="call fit before predict_proba"):
        head(factory).predict_proba(images)


@pytest.mark.parametrize("factory", HEADS)
def test_labels_outside_the_classes_are_refused(factory):
    images, labels = labelled()
    with pytest.raises(ModelError, match="expected labels 0 to 1, got 2"):
        head(factory).fit(images, labels + 1)


@pytest.mark.parametrize("factory", HEADS)
def test_features_that_are_not_finite_name_the_backbone_and_the_image(factory):
    def broken(backbone, images):
        found = embedded(backbone, images)
        found[3, 1] = np.nan
        return found

    images, labels = labelled(embed=broken)
    with pytest.raises(ModelError, match="backbone 'any': the features of image 3 of 30 are not finite"):
        head(factory).fit(images, labels)


@pytest.mark.parametrize("factory", HEADS)
def test_says_which_weights_it_needs(factory):
    assert factory.pretrained() == ("vgg16",)
    assert factory.pretrained(backbone="squeezenet1_1", size_px=96) == ("squeezenet1_1",)
    assert factory.pretrained(backbone="split-network") == ()


@pytest.mark.parametrize("factory", HEADS)
def test_asks_for_the_features_of_its_backbone_and_size(factory):
    asked = set()

    def watching(backbone, images):
        asked.add((backbone, images.shape[1]))
        return embedded(backbone, images)

    images, labels = labelled(embed=watching)
    head(factory, backbone="resnet18", size_px=40).fit(images, labels).predict_proba(images)
    assert asked == {("resnet18", 40)}


def test_only_xdnn_keeps_an_untuned_row():
    assert [getattr(factory, "untuned_row", False) for factory in HEADS] == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("factory", "parameters"),
    [
        (SVM, {"C": 0}),
        (SVM, {"gamma": 0}),
        (SVM, {"gamma": float("nan")}),
        (DecisionTree, {"min_samples_leaf": 0}),
        (DecisionTree, {"criterion": "guess"}),
        (DecisionTree, {"max_depth": 0}),
        (DecisionTree, {"bins": 1}),
        (AdaBoost, {"n_estimators": 0}),
        (AdaBoost, {"bins": 2.5}),
    ],
)
def test_a_parameter_that_cannot_work_is_one_line_that_names_it(factory, parameters):
    with pytest.raises(ModelError, match=next(iter(parameters))) as caught:
        head(factory, **parameters).fit(*labelled())
    assert "\n" not in str(caught.value)


# Support vector machine.


def test_svm_agrees_with_scikit_learn_on_the_features_themselves():
    from sklearn.svm import SVC

    images, labels = labelled(per_class=40)
    unseen, _ = labelled(seed=1)
    model = head(SVM, C=3.0, gamma=1.5).fit(images, labels)
    x = images.features("any", 32).astype(float)
    mean_distance = ((x[:, None] - x) ** 2).sum(axis=2).mean()
    reference = SVC(C=3.0, gamma=1.5 / mean_distance).fit(x, labels)
    values = reference.decision_function(unseen.features("any", 32).astype(float))
    odds = np.log(model.predict_proba(unseen)[:, 1] / model.predict_proba(unseen)[:, 0])
    np.testing.assert_allclose(odds, model.slope_ * values, rtol=1e-6, atol=1e-9)


def test_svm_probability_above_a_half_is_the_side_of_the_boundary():
    images, labels = labelled(per_class=40)
    flipped = np.where(np.arange(80) % 7 == 0, 1 - labels, labels)  # a task with errors
    model = head(SVM).fit(images, flipped)
    decided = model.machine_.predict(model._kernel(model._distances(images)))
    assert (model.predict_proba(images).argmax(axis=1) == decided).all()


def test_svm_multiplies_features_once_for_many_fits():
    images, labels = labelled()
    before = snapshot()
    for C in (0.1, 1.0, 10.0):
        head(SVM, C=C).fit(images[:20], labels[:20]).predict_proba(images[20:])
    assert since(before)["grams"] == 1


def test_svm_slope_is_smaller_where_labels_are_noisy():
    images, labels = labelled(per_class=60)
    noisy = np.where(np.random.default_rng(0).random(120) < 0.25, 1 - labels, labels)
    clean_model, noisy_model = head(SVM).fit(images, labels), head(SVM).fit(images, noisy)
    assert noisy_model.slope_ < clean_model.slope_
    found = noisy_model.predict_proba(images)
    assert 0.6 < found.max(axis=1).mean() < 0.95  # three labels of four are right


def test_svm_decides_the_same_without_calibration_and_says_nothing_of_it():
    images, labels = labelled(per_class=60)
    noisy = np.where(np.random.default_rng(0).random(120) < 0.25, 1 - labels, labels)
    calibrated, quick = head(SVM).fit(images, noisy), head(SVM, calibration_folds=0).fit(images, noisy)
    assert (quick.slope_, quick.notes_) == (1.0, [])
    assert calibrated.slope_ != 1.0
    decisions = [model.predict_proba(images).argmax(axis=1) for model in (calibrated, quick)]
    assert np.array_equal(*decisions)


def test_svm_says_when_there_is_too_little_to_calibrate_on():
    images, labels = labelled(per_class=1)
    model = head(SVM).fit(images, labels)
    assert model.notes_ == ["too few training images to calibrate probabilities"]
    assert model.slope_ == 1.0


def test_svm_calibrates_across_groups_where_they_are_given():
    # Each patient's two images are alike, labels are of patients by chance: only unlike patients tell that.
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 2)
    labels = rng.integers(0, 2, 40)[patients]
    values = rng.normal(size=(40, 6))[patients] + 0.01 * rng.normal(size=(80, 6))
    images = Images(MemoryStore(toy_images(labels.tolist()), embed=lambda backbone, x: values))
    names = [f"patient {number}" for number in patients]
    with_groups = head(SVM).fit(images, labels, groups=names)
    without = head(SVM).fit(images, labels)
    assert with_groups.slope_ < 0.5 * without.slope_


def test_svm_refuses_features_that_are_all_alike():
    images, labels = labelled(embed=lambda backbone, x: np.ones((len(x), 3), np.float32))
    with pytest.raises(ModelError, match="all training images have the same features"):
        head(SVM).fit(images, labels)


def test_svm_predicts_images_of_another_dataset():
    images, labels = labelled()
    model = head(SVM).fit(images, labels)
    unseen, truth = labelled(per_class=3, seed=4)
    assert (model.predict_proba(unseen).argmax(axis=1) == truth).all()


# AdaBoost, tree, xDNN.


def test_ada_boost_has_a_hundred_trees_of_the_depth_that_is_asked():
    images, labels = labelled(per_class=30)
    noisy = np.where(np.arange(60) % 5 == 0, 1 - labels, labels)
    assert len(head(AdaBoost, max_depth=1).fit(images, noisy).boosting_.estimators_) == 100
    for depth in (1, 3):
        trees = head(AdaBoost, max_depth=depth).fit(images, noisy).boosting_.estimators_
        assert max(tree.get_depth() for tree in trees) == depth


def test_ada_boosts_trees_have_a_leaf_for_each_class():
    images, labels = labelled(per_class=20, n_classes=4)
    trees = head(AdaBoost, n_classes=4, max_depth=1).fit(images, labels).boosting_.estimators_
    assert max(tree.get_depth() for tree in trees) == 2


def test_features_are_cut_at_the_quantiles_of_the_training_images_by_hand():
    features = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 6.0]], np.float32)
    images, labels = labelled(per_class=2, embed=lambda backbone, x: features)
    tree = head(DecisionTree, bins=2).fit(images, labels)
    assert tree.edges_.tolist() == [[2.5], [5.0]]
    assert tree._cut(features).tolist() == [[0, 0], [0, 0], [1, 0], [1, 1]]


def test_a_tree_on_as_many_levels_as_values_is_the_tree_on_the_features_themselves():
    from sklearn.tree import DecisionTreeClassifier

    images, labels = labelled(per_class=30)
    noisy = np.where(np.arange(60) % 5 == 0, 1 - labels, labels)
    x = images.features("any", 32)
    reference = DecisionTreeClassifier(max_depth=4, random_state=0).fit(x, noisy)
    mine = head(DecisionTree, bins=600, max_depth=4).fit(images, noisy)
    assert np.array_equal(mine.predict_proba(images), reference.predict_proba(x))


def test_ada_boost_depends_on_its_seed_alone():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 300)).astype(np.float32)
    images, labels = labelled(per_class=30, embed=lambda backbone, x: features)
    found = [head(AdaBoost, seed=seed).fit(images, labels).predict_proba(images) for seed in (1, 1, 2)]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_tree_leaves_hold_at_least_what_is_asked():
    images, labels = labelled(per_class=30)
    noisy = np.where(np.arange(60) % 5 == 0, 1 - labels, labels)
    tree = head(DecisionTree, min_samples_leaf=10).fit(images, noisy).tree_.tree_
    assert tree.n_node_samples[tree.children_left == -1].min() >= 10


def test_xdnn_learns_in_the_order_of_the_images_and_notes_its_prototypes():
    from baselines.xdnn import XDNN

    images, labels = labelled(per_class=20)
    order = np.random.default_rng(0).permutation(40)
    model = head(XDNNHead, radius=0.05).fit(images[order], labels[order])
    reference = XDNN(radius=0.05).fit(images.features("any", 32)[order], labels[order])
    expected = [indices.tolist() for indices in reference.prototype_indices_]
    assert [indices.tolist() for indices in model.estimator_.prototype_indices_] == expected
    assert model.notes_ == [f"{sum(map(len, expected))} prototypes of 40 training images"]


def test_xdnn_takes_the_product_from_the_cache():
    images, labels = labelled()
    images.gram("any", 32)
    before = snapshot()
    for radius in (0.1, 0.2, 0.3):
        head(XDNNHead, radius=radius).fit(images, labels)
    assert since(before)["grams"] == 0


def test_released_xdnn_learns_without_any_product():
    from baselines.xdnn import XDNN

    images, labels = labelled(per_class=20)
    before = snapshot()
    model = head(ReleasedXDNNHead).fit(images, labels)
    assert since(before)["grams"] == 0
    reference = XDNN(variant="released", radius=0.0).fit(images.features("any", 32), labels)
    np.testing.assert_array_equal(
        model.predict_proba(images), reference.predict_proba(images.features("any", 32))
    )


@pytest.mark.parametrize("factory", [XDNNHead, ReleasedXDNNHead])
def test_xdnn_says_by_its_rules_and_winners_why_it_decided(factory):
    images, labels = labelled(per_class=10)
    model = head(factory).fit(images, labels)
    assert isinstance(model, Explains)
    rules, explanations = model.rules(), model.explain(images[:4])
    assert [rule.label for rule in rules] == [0, 1]
    assert all(sum(rule.supports) == 10 for rule in rules)
    assert [e.label for e in explanations] == model.predict_proba(images[:4]).argmax(axis=1).tolist()
    for explanation in explanations:
        assert {likeness.label for likeness in explanation.winners} == {0, 1}
        assert explanation.winners[0].label == explanation.label


@pytest.mark.data
def test_svm_and_tree_reach_the_known_accuracy_on_sars_cov_2_ct(tmp_path):
    from harness.data.dataset import open_dataset
    from harness.protocols import make_splits
    from harness.store import DatasetStore

    assert os.environ.get("TORCH_HOME"), "TORCH_HOME must say where the SqueezeNet weights are"
    dataset = open_dataset("sars-cov-2-ct", cache=tmp_path)
    (split,) = make_splits("official", dataset.samples, seed=0)
    view = Images(DatasetStore(dataset, cache=tmp_path, split=split))
    training, test = dataset.rows([*split.train, *split.val]), dataset.rows(split.test)
    accuracy = {}
    for factory in (SVM, DecisionTree):
        model = factory(n_classes=2, backbone="squeezenet1_1", size_px=224)
        found = model.fit(view[training], dataset.labels[training]).predict_proba(view[test])
        accuracy[factory] = (found.argmax(axis=1) == dataset.labels[test]).mean()
    assert accuracy[SVM] >= 0.97
    assert 0.74 <= accuracy[DecisionTree] <= 0.85
