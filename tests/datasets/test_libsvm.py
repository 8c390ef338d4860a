import io
import os

import numpy as np
import pytest
from sklearn.datasets import load_svmlight_file

from firesteel import _files as files
from firesteel.datasets import load_digits, read_libsvm, text, write_libsvm
from firesteel.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (50, 3, 4), dtype=np.uint8)
X[::3] = 0
X[1::3, 1] = 0
Y = np.arange(50, dtype=np.uint8) * np.uint8(5)


def by_hand(x, y):
    for row, label in zip(x.reshape(len(x), -1).tolist(), y.tolist(), strict=True):
        yield " ".join([str(label), *(f"{at}:{value}" for at, value in enumerate(row, 1) if value)]) + "\n"


@pytest.mark.parametrize("chunk", [1, 37, 2**20])
def test_it_writes_a_line_a_row(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(text, "CHUNK", chunk)
    write_libsvm(tmp_path / "x.txt", X, Y)
    assert (tmp_path / "x.txt").read_bytes() == "".join(by_hand(X, Y)).encode()
    assert os.listdir(tmp_path) == ["x.txt"]


def test_every_value_of_a_byte_is_written_and_read(tmp_path):
    x = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 3)
    write_libsvm(tmp_path / "x.txt", x, np.arange(256, dtype=np.uint8))
    found, labels = load_svmlight_file(str(tmp_path / "x.txt"), n_features=3)
    np.testing.assert_array_equal(found.toarray(), x)
    np.testing.assert_array_equal(labels, np.arange(256))


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1)])
def test_small_shapes(tmp_path, shape):
    write_libsvm(tmp_path / "x.txt", np.zeros(shape, np.uint8), np.full(shape[0], 7, np.uint8))
    assert (tmp_path / "x.txt").read_text() == "7\n" * shape[0]


def test_the_digits_come_back_from_the_reader_of_the_lesson(tmp_path):
    (x, y), _ = load_digits()
    write_libsvm(tmp_path / "x.txt", x, y)
    found, labels = load_svmlight_file(str(tmp_path / "x.txt"), n_features=64)
    np.testing.assert_array_equal(found.toarray(), x.reshape(-1, 64))
    np.testing.assert_array_equal(labels, y)


@pytest.mark.parametrize("x, y", [(X.astype(str), Y), (X, Y.astype(str)), (X, Y[:1])])
def test_anything_but_numbers_is_refused(tmp_path, x, y):
    with pytest.raises(DataError, match="must be (finite )?numbers"):
        write_libsvm(tmp_path / "x.txt", x, y)
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "x.txt").write_text("mine")
    with pytest.raises(DataError, match="already exists; delete it") as caught:
        write_libsvm(tmp_path / "x.txt", X, Y)
    assert caught.value.code == "data-exists"
    assert (tmp_path / "x.txt").read_text() == "mine" and os.listdir(tmp_path) == ["x.txt"]


@pytest.mark.parametrize("place", ["no folder/x.txt", "file/x.txt"])
def test_a_place_that_cannot_be_written_to(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written") as caught:
        write_libsvm(tmp_path / place, X, Y)
    assert caught.value.code == "data-write"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_half_a_file_is_never_left(tmp_path, monkeypatch, error):
    class Full(io.FileIO):
        def write(self, data):
            if self.tell():
                raise error
            return super().write(data)

    monkeypatch.setattr(text, "CHUNK", 100)
    monkeypatch.setattr(files, "_part", lambda folder, stem: Full(os.path.join(folder, "part"), "xb"))
    with pytest.raises((DataError, KeyboardInterrupt)) as caught:
        write_libsvm(tmp_path / "x.txt", X, Y)
    assert isinstance(caught.value, KeyboardInterrupt) or "No space left" in str(caught.value)
    assert os.listdir(tmp_path) == []


# Reading


@pytest.mark.parametrize("y", [Y, np.linspace(-2, 2, 50), np.arange(50) % 2 == 1])
@pytest.mark.parametrize("x", [X, X / 7, X.astype(int) - 100, X / np.float32(3)])
def test_what_is_written_is_read_again(tmp_path, x, y):
    write_libsvm(tmp_path / "x.txt", x, y)
    found, labels = read_libsvm(tmp_path / "x.txt", 12)
    np.testing.assert_array_equal(found, x.reshape(50, 12))
    np.testing.assert_array_equal(labels, y)


def test_it_reads_what_scikit_learn_reads(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"# a comment\n+1 1:.5 4:-2e-3\n\n-1 2:7 \r\n0.5\n")
    x, y = read_libsvm(tmp_path / "x.txt")
    expected, labels = load_svmlight_file(str(tmp_path / "x.txt"), zero_based=False)
    np.testing.assert_array_equal(x, expected.toarray())
    np.testing.assert_array_equal(y, labels)


@pytest.mark.parametrize(
    "line, said",
    [
        (b"1 0:2", "index 0, but LIBSVM indices start at 1"),
        (b"1 3:1 2:1", "index 2 comes after 3"),
        (b"1 2:1 2:1", "index 2 comes after 2"),
        (b"1 9:1", "index 9 is above the number of inputs, 5"),
        (b"a 1:1", "'a' is not a label"),
        (b"1 1:x", "'1:x' is not index:value"),
        (b"1 1:nan", "'1:nan' is not index:value"),
        (b"1 1", "'1' is not index:value"),
        (b"1 -1:1", "'-1:1' is not index:value"),
        (b"1 1:1,5", "'1:1,5' is not index:value"),
        (b"1 1:1e999", "too large for float64"),
        (b"1 1:1 qid:2", "'qid:2' is not index:value"),
        (b"1 qid:x 1:1", "'qid:x' is not index:value"),
        (b"1 \xff:1", "is not index:value"),
        (b"<html>", "'<html>' is not a label"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, said):
    (tmp_path / "x.txt").write_bytes(b"1 1:1\n\n" + line + b"\n")
    with pytest.raises(DataError) as caught:
        read_libsvm(tmp_path / "x.txt", 5)
    assert str(caught.value).startswith(f"{tmp_path / 'x.txt'}, line 3: ") and said in str(caught.value)
    assert caught.value.code == "data-libsvm"


def test_an_index_that_makes_rows_too_wide_is_refused_before_they_are_made(tmp_path):
    (tmp_path / "x.txt").write_text("1 1:1\n0 2147483647:1\n")
    with pytest.raises(DataError, match="line 2: with index 2,147,483,647, 2 dense rows take more than 4 GiB"):
        read_libsvm(tmp_path / "x.txt")


@pytest.mark.parametrize("content, said", [(None, "No such file"), ("# none\n\n", "no rows")])
def test_nothing_to_read(tmp_path, content, said):
    if content is not None:
        (tmp_path / "x.txt").write_text(content)
    with pytest.raises(DataError, match=said):
        read_libsvm(tmp_path / "x.txt")
