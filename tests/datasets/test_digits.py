import shutil

import numpy as np
import pytest
import sklearn.datasets

from firesteel.datasets import load_digits, sets
from firesteel.errors import DataError


def test_shapes_types_and_ranges():
    (x_train, y_train), (x_test, y_test) = load_digits()
    assert (x_train.shape, y_train.shape) == ((1438, 8, 8), (1438,))
    assert (x_test.shape, y_test.shape) == ((359, 8, 8), (359,))
    assert {part.dtype for part in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert (x_train.min(), x_train.max()) == (x_test.min(), x_test.max()) == (0, 16)


def test_the_rows_are_those_of_scikit_learn_in_order():
    theirs = sklearn.datasets.load_digits()
    (x_train, y_train), (x_test, y_test) = load_digits()
    rows = [row for row in range(1797) if row % 5 == 4]
    np.testing.assert_array_equal(x_test, theirs.images[rows])
    np.testing.assert_array_equal(y_test, theirs.target[rows])
    np.testing.assert_array_equal(x_train, np.delete(theirs.images, rows, axis=0))
    np.testing.assert_array_equal(y_train, np.delete(theirs.target, rows))


def test_sum_and_balance():
    (x_train, y_train), (x_test, y_test) = load_digits()
    assert int(x_train.sum(dtype=np.int64) + x_test.sum(dtype=np.int64)) == 561718
    # the class counts UCI gives for its test part
    counts = np.bincount(y_train) + np.bincount(y_test)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # uneven: the rows often run 0 to 9, and every fifth of those is a 4 or a 9
    assert np.bincount(y_test).tolist() == [27, 21, 34, 52, 34, 28, 31, 43, 47, 42]


def test_a_changed_installation_is_refused(tmp_path, monkeypatch):
    for name in ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"):
        shutil.copy(sets.FOLDER / name, tmp_path)
    monkeypatch.setattr(sets, "FOLDER", tmp_path)
    load_digits()
    shutil.copy(tmp_path / "labels-idx1-ubyte.gz", tmp_path / "images-idx3-ubyte.gz")
    with pytest.raises(DataError, match="images-idx3.*install firesteel again") as caught:
        load_digits()
    assert caught.value.code == "data-hash"


def test_the_attribution_is_in_the_folder_of_the_data():
    text = (sets.FOLDER / "README.md").read_text(encoding="utf-8")
    for word in (
        "Alpaydin",
        "Kaynak",
        "10.24432/C50P49",
        "creativecommons.org/licenses/by/4.0/",
        "What was changed",
    ):
        assert word in text
