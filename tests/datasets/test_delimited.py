"""CSV: what is read is what pandas reads, and what is broken is refused with its file and line."""

import io
import os

import numpy as np
import pandas as pd
import pytest

from firesteel import _files as files
from firesteel.datasets import delimited, read_csv, write_csv
from firesteel.datasets.delimited import csv_columns, find_cell
from firesteel.datasets.files import written
from firesteel.datasets.marks import is_number
from firesteel.errors import DataError

GOOD = '\ufeffsize,count,on,kind\r\n1.5,1,true,a\r\n\r\n-2e3,2,FALSE,"b, or ""c"""\r\n.5,+3,true," d"\r\n'


def wrote(tmp_path, content):
    path = tmp_path / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("chunk", [1, 2, 20_000])
def test_columns_have_the_narrowest_kind(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(delimited, "CHUNK", chunk)
    path = wrote(tmp_path, GOOD)
    assert csv_columns(path) == ["size", "count", "on", "kind"]
    found = read_csv(path, ["kind", "size", "count", "on"])
    assert found["size"].tolist() == [1.5, -2000.0, 0.5]
    assert found["count"].tolist() == [1, 2, 3] and found["count"].dtype == np.int64
    assert found["on"].tolist() == [True, False, True]
    assert found["kind"].tolist() == ["a", 'b, or "c"', " d"]


@pytest.mark.parametrize("chunk", [1, 2])
def test_text_late_in_a_column_makes_all_of_it_text_as_it_stands(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(delimited, "CHUNK", chunk)
    assert read_csv(wrote(tmp_path, "k\n01\n2\ntrue\nx\n"), ["k"])["k"].tolist() == ["01", "2", "true", "x"]


def test_it_reads_what_pandas_reads(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=500) * 10.0 ** rng.integers(-200, 200, 500), "b": rng.integers(-9, 9, 500)}
    )
    frame.to_csv(tmp_path / "rows.csv", index=False)
    found = read_csv(tmp_path / "rows.csv", ["a", "b"])
    expected = pd.read_csv(tmp_path / "rows.csv", float_precision="round_trip")
    np.testing.assert_array_equal(found["a"], expected["a"])
    np.testing.assert_array_equal(found["b"], expected["b"])


def test_what_is_written_is_read_again(tmp_path):
    columns = {
        "x": np.array([0.1, 1e-300, -2.0]),
        'na"me, odd': np.array([1, -2, 3]),
        "small": np.array([0.1, 0.2, 3.0], np.float32),
        "on": np.array([True, False, True]),
        "kind": np.array(["a, b", 'q"', " line\nbreak"]),
    }
    write_csv(tmp_path / "x.csv", columns)
    found = read_csv(tmp_path / "x.csv", list(columns))
    assert os.listdir(tmp_path) == ["x.csv"]
    for name, values in columns.items():
        got = found[name].astype(np.float32) if name == "small" else found[name]
        assert got.tolist() == values.tolist(), name
    assert pd.read_csv(tmp_path / "x.csv")["kind"].tolist() == columns["kind"].tolist()


@pytest.mark.parametrize(
    "content, code, said",
    [
        ("", "data-csv", "line 1: the file is empty"),
        ("a,b\n", "data-empty", "no rows below the header"),
        ("a,b\n1,2\n3\n4,5,6\n", "data-csv", "line 3: 1 cells, but the header has 2 columns; 2 of 3 rows"),
        ('a,b\n1,"2\n3,4\n', "data-csv", "look for an unclosed quote"),
        ('a,b\n1,"2"x\n', "data-csv", "line 2: "),
        ("1,2\n3,4\n", "data-csv", "line 1: the first line must name the columns, but holds numbers: 1,2"),
        ("a,a\n1,2\n", "data-csv", "two columns are called 'a'"),
        ("a,\n1,2\n", "data-csv", "column 2 has no name"),
        ("a;b\n1;2\n", "data-csv", "cells are separated by ';'"),
        ("a,b\n1,2\n3,\n4,\n", "data-missing-value", None),
        ("a,b\nx,2\n,3\ny,4\n", "data-missing-value", "line 3: column 'a' is empty; 1 of 3 rows"),
        (b"a,b\n1,2\n\xff,3\n", "data-csv", "line 3: byte 1 is ff, which is not UTF-8"),
        (b"a,b\n1,\x00\n", "data-csv", None),
    ],
)
def test_what_is_broken_is_refused_with_its_line(tmp_path, content, code, said):
    path = wrote(tmp_path, content)
    if content == b"a,b\n1,\x00\n":  # newer Pythons take it for text
        assert "b" in csv_columns(path)
        return
    with pytest.raises(DataError) as caught:
        read_csv(path, ["a", "b"])
    assert caught.value.code == code and str(caught.value).startswith(str(path))
    assert said is None or said in str(caught.value)


def test_gaps_in_columns_that_nobody_asked_for_do_no_harm(tmp_path):
    assert read_csv(wrote(tmp_path, "a,b\n1,\n2,x\n"), ["a"])["a"].tolist() == [1, 2]


def test_the_first_wrong_cell_is_found(tmp_path):
    path = wrote(tmp_path, "a\n1\nx\n3\ny\n")
    assert find_cell(path, "a", lambda cell: not is_number(cell)) == (3, "x", 2, 4)


@pytest.mark.parametrize("cell, number", [("1_0", False), ("1,5", False), ("nan", False), ("1.", True), ("", False)])
def test_what_a_number_is(cell, number):
    assert is_number(cell) is number


def test_a_file_that_cannot_be_read_or_is_there_already(tmp_path):
    with pytest.raises(DataError, match="No such file") as caught:
        csv_columns(tmp_path / "none.csv")
    assert caught.value.code == "data-file"
    path = wrote(tmp_path, GOOD)
    with pytest.raises(DataError, match="already exists"):
        write_csv(path, {"x": np.arange(3)})
    assert path.read_bytes() == GOOD.encode()


@pytest.mark.parametrize("links", [True, False])
def test_r38_of_two_that_write_one_file_the_second_is_refused(tmp_path, monkeypatch, links):
    def none(*_):
        raise OSError(95, "Operation not supported")

    if not links:
        monkeypatch.setattr(os, "link", none)
    path = tmp_path / "x.csv"
    with written(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole" and os.listdir(tmp_path) == ["x.csv"]
    path.unlink()
    if links:
        with pytest.raises(DataError, match="already exists") as caught, written(path) as file:
            file.write(b"second")
            path.write_bytes(b"first")
        assert caught.value.code == "data-exists"
        assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["x.csv"]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_part", lambda folder, stem: Full(os.path.join(folder, "part"), "xb"))
    with pytest.raises(DataError, match="No space left"):
        write_csv(tmp_path / "x.csv", {"x": np.arange(3)})
    assert os.listdir(tmp_path) == []
