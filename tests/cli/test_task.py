"""What labels mean: which task they make, with and without a loss that is given, and how they are numbered."""

import numpy as np
import pytest

from firesteel.cli.rows import FileRows
from firesteel.cli.task import decide, encode, labels_of
from firesteel.errors import ConfigError, DataError


def rows(y, by_value=False, targets=()):
    y = np.asarray(y)
    return FileRows("rows.csv", np.zeros((len(y), 2)), y, targets=targets, by_value=by_value)


def task(y, loss=None, names=None, **more):
    return decide(labels_of(rows(y, **more)), loss, names)


@pytest.mark.parametrize(
    "y, kind, outputs, loss, classes",
    [
        ([0, 1, 2, 1], "classification", 3, "SparseCategoricalCrossentropy", None),
        ([1, 2, 3], "classification", 3, "SparseCategoricalCrossentropy", ("1", "2", "3")),
        ([-1, 1], "classification", 2, "SparseCategoricalCrossentropy", ("-1", "1")),
        (["dog", "cat", "dog"], "classification", 2, "SparseCategoricalCrossentropy", ("cat", "dog")),
        ([True, False], "classification", 2, "SparseCategoricalCrossentropy", ("false", "true")),
        ([0.5, 1.0, 2.0], "regression", 1, "MeanSquaredError", None),
        ([0.0, 1.0, 2.0], "classification", 3, "SparseCategoricalCrossentropy", None),
        (np.arange(1500), "regression", 1, "MeanSquaredError", None),
        ([[1, 0], [0, 1]], "classification", 2, "SparseCategoricalCrossentropy", None),
        ([[1, 1], [0, 1]], "multilabel", 2, "BinaryCrossentropy", None),
        ([[1.5, 1], [0, 1]], "regression", 2, "MeanSquaredError", None),
    ],
)
def test_labels_make_a_task(y, kind, outputs, loss, classes):
    found = task(y)
    assert (found.kind, found.outputs, type(found.loss).__name__, found.classes) == (kind, outputs, loss, classes)


@pytest.mark.parametrize(
    "y, loss, kind, outputs",
    [
        ([0, 1, 2], "mean_squared_error", "regression", 1),
        ([3, 7, 9], "poisson", "regression", 1),
        ([0, 1], "binary_crossentropy", "classification", 1),
        (["no", "yes"], "binary_crossentropy", "classification", 1),
        ([-1, 1], "hinge", "classification", 1),
        ([0.0, 1.0, 2.0], "sparse_categorical_crossentropy", "classification", 3),
        ([0.25, 0.5], "binary_crossentropy", "regression", 1),
        ([[1, 0], [0, 1]], "mean_squared_error", "regression", 2),
        ([[1, 0], [0, 1]], "categorical_crossentropy", "classification", 2),
        ([[1, 0], [0, 1]], "binary_crossentropy", "multilabel", 2),
    ],
)
def test_a_loss_decides_otherwise(y, loss, kind, outputs):
    found = task(y, loss)
    assert (found.kind, found.outputs) == (kind, outputs)


@pytest.mark.parametrize(
    "y, loss, names, error, said",
    [
        (["a", "b"], "mse", None, ConfigError, "holds text, such as 'a', but MeanSquaredError predicts numbers"),
        ([0.5, 1.5], "sparse_categorical_crossentropy", None, DataError, "fractional numbers"),
        (np.arange(1500).astype(str), None, None, DataError, "more than 1,000 texts: choose a column of classes"),
        ([3, 3, 3], None, None, DataError, "is 3 in every row: there must be at least two classes"),
        ([0, 1, 2], "binary_crossentropy", None, ConfigError, "separates two classes, but the label has 3"),
        ([0, 1], "categorical_crossentropy", None, ConfigError, "for one class per row use sparse_categorical"),
        ([[1, 1], [0, 1]], "sparse_categorical_crossentropy", None, ConfigError, "are one-hot: leave out"),
        ([[1, 0], [0, 1]], None, ("a", "b", "c"), ConfigError, "class_names has 3 names"),
        (["a", "x"], None, ("a", "b"), DataError, "holds 'x', but the classes are a, b"),
        ([0, 5], None, ("a", "b"), DataError, "holds '0', but the classes are a, b"),
    ],
)
def test_what_does_not_go_together_is_refused(y, loss, names, error, said):
    with pytest.raises(error) as caught:
        task(y, loss, names)
    assert said in str(caught.value)


def test_it_is_the_value_that_is_whole_and_not_its_type():
    for by_value in (False, True):
        assert task([1.0, 2.0], by_value=by_value).classes == ("1", "2")
        assert task([1.0, 2.5], by_value=by_value).kind == "regression"


def test_labels_are_numbered_by_their_names():
    assert encode(task(["b", "a", "b"]), rows(["b", "a", "b"])).tolist() == [1, 0, 1]
    assert encode(task(["b", "a"], names=("b", "a", "c")), rows(["b", "a"])).tolist() == [0, 1]
    assert encode(task([7, 3, 7]), rows([3, 7])).tolist() == [0, 1]
    assert encode(task([0, 1], names=("off", "on")), rows([1, 0])).tolist() == [1, 0]
    assert encode(task([[1, 0], [0, 1]]), rows([[0, 1], [1, 0]])).tolist() == [1, 0]
    assert encode(task([0.5, 2]), rows([1.5])).tolist() == [1.5]


def test_a_class_unseen_in_training_is_reported_with_its_row():
    with pytest.raises(DataError, match="rows.csv: kind is 'c' at row 1, and 2 of 3 rows have a class"):
        encode(task(["a", "b"]), rows(["a", "c", "d"], targets=("kind",)))
