"""Text of numbers: exact, and every line that is not as the others is refused with its number."""

import numpy as np
import pytest

from firesteel.datasets import read_numbers, write_text
from firesteel.errors import DataError


def test_what_is_written_is_read_again(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 7)) * 10.0 ** rng.integers(-300, 300, (40, 7))
    write_text(tmp_path / "x.txt", [x])
    np.testing.assert_array_equal(read_numbers(tmp_path / "x.txt"), x)


def test_spaces_and_line_ends_of_any_kind(tmp_path):
    (tmp_path / "x.txt").write_bytes(b" 1  2\t3 \r\n4 5 6")
    assert read_numbers(tmp_path / "x.txt").tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "content, code, said",
    [
        (b"", "data-empty", "no rows"),
        (b"1 2\n3 x\n", "data-numbers", "line 2: 'x' is not a finite number"),
        (b"1 2\n3 nan\n", "data-numbers", "line 2: 'nan'"),
        (b"1 2\n3 1e999\n", "data-numbers", "line 2: '1e999'"),
        (b"1 2\n3 1_0\n", "data-numbers", "line 2: '1_0'"),
        (b"1 2\n\n3 4\n", "data-numbers", "line 2: the line is empty"),
        (
            b"1 2\n3\n4 5 6\n7 8\n",
            "data-numbers",
            "line 2: the line has 1 numbers, but the first line has 2; 2 of 4 lines",
        ),
        (b"1,2\n", "data-numbers", "line 1: '1,2'"),
        (b"1 \xff\n", "data-numbers", "line 1: '\\\\xff'"),
    ],
)
def test_what_is_broken_is_refused_with_its_line(tmp_path, content, code, said):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_numbers(tmp_path / "x.txt")
    assert caught.value.code == code and said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "x.txt"))


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_numbers(tmp_path / "x.txt")
