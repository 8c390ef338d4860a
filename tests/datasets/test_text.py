import io
import os

import numpy as np
import pytest

from firesteel.datasets import text, write_text
from firesteel.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3, 4)) * 10.0 ** RNG.integers(-300, 300, (50, 3, 4))
X[::3] = 0
FLAT = X.reshape(50, 12)


@pytest.mark.parametrize("chunk", [1, 37, 2**20])
@pytest.mark.parametrize("cuts", [[], [20], [0, 1, 50]])
def test_every_value_comes_back_exactly(tmp_path, monkeypatch, chunk, cuts):
    monkeypatch.setattr(text, "CHUNK", chunk)
    write_text(tmp_path / "x.txt", (part for part in np.split(X, cuts)))
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "x.txt"), FLAT)
    assert os.listdir(tmp_path) == ["x.txt"]


def test_it_writes_a_line_a_row_with_one_space_between_values(tmp_path):
    write_text(tmp_path / "x.txt", [FLAT])
    lines = (" ".join(repr(float(v)).removesuffix(".0") for v in row) + "\n" for row in FLAT)
    assert (tmp_path / "x.txt").read_text() == "".join(lines)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int32", "float32"])
def test_other_types_of_numbers(tmp_path, dtype):
    x = RNG.integers(0, 200, (5, 7)).astype(dtype)
    write_text(tmp_path / "x.txt", [x])
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "x.txt").astype(dtype), x)


def test_the_extremes(tmp_path):
    x = np.array([[np.inf, -np.inf, np.nan, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e22]])
    write_text(tmp_path / "x.txt", [x])
    found = np.loadtxt(tmp_path / "x.txt", ndmin=2)
    np.testing.assert_array_equal(found, x)
    assert np.signbit(found[0, 3])


def test_the_pixels_of_a_picture_read_the_same_in_float32_as_their_quotient(tmp_path):
    pixels = np.arange(256, dtype=np.uint8)[None]
    write_text(tmp_path / "x.txt", [pixels / 255])
    expected = pixels.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "x.txt", ndmin=2).astype(np.float32), expected)


def test_no_rows_make_an_empty_file(tmp_path):
    write_text(tmp_path / "x.txt", [])
    assert (tmp_path / "x.txt").read_bytes() == b""


@pytest.mark.parametrize(
    "parts, said",
    [
        ([np.zeros(3)], "rows of numbers"),
        ([np.zeros((3, 0))], "rows of numbers"),
        ([np.array([["a"]])], "they must be numbers"),
        ([np.zeros((2, 3)), np.zeros((1, 4))], "4 values per row, but earlier ones have 3"),
    ],
)
def test_what_is_no_table_is_refused_and_leaves_nothing(tmp_path, parts, said):
    with pytest.raises(DataError, match=said) as caught:
        write_text(tmp_path / "x.txt", parts)
    assert caught.value.code == "data-shape" and os.listdir(tmp_path) == []


def test_parts_that_fail_leave_nothing(tmp_path):
    def parts():
        yield np.zeros((2, 2))
        raise KeyError("lost")

    with pytest.raises(KeyError):
        write_text(tmp_path / "x.txt", parts())
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "x.txt").write_text("mine")
    with pytest.raises(DataError) as caught:
        write_text(tmp_path / "x.txt", [X])
    assert caught.value.code == "data-exists" and (tmp_path / "x.txt").read_text() == "mine"


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(DataError) as caught:
        write_text(tmp_path / "none" / "x.txt", [X])
    assert caught.value.code == "data-write" and "none" in str(caught.value)


def test_it_reads_like_numpy_s_own_text(tmp_path):
    own = io.StringIO()
    np.savetxt(own, FLAT)
    write_text(tmp_path / "x.txt", [X])
    np.testing.assert_array_equal(np.loadtxt(io.StringIO(own.getvalue())), np.loadtxt(tmp_path / "x.txt"))
