"""Files of rows, whole ones and broken ones: either they are read exactly, or the line and the column are named."""

import re
import time

import numpy as np
import pytest

from firesteel.cli.rows import Ask, load
from firesteel.datasets import write_idx
from firesteel.errors import DataError
from firesteel.tables.schema import NumberColumn

READ = {
    "header": ("csv", b"a,b,label\n1,2.5,0\n3,4.5,1\n"),
    "byte order mark": ("csv", b"\xef\xbb\xbfa,b,label\n1,2.5,0\n3,4.5,1\n"),
    "CRLF": ("csv", b"a,b,label\r\n1,2.5,0\r\n3,4.5,1\r\n"),
    "CR alone": ("csv", b"a,b,label\r1,2.5,0\r3,4.5,1\r"),
    "no newline at the end": ("csv", b"a,b,label\n1,2.5,0\n3,4.5,1"),
    "empty lines": ("csv", b"\n\na,b,label\n\n1,2.5,0\n\r\n3,4.5,1\n\n\n"),
    "quoted numbers": ("csv", b'"a","b","label"\n"1","2.5","0"\n"3","4.5","1"\n'),
    "spaces around": ("csv", b"a,b,label\n 1 ,\t2.5, 0\n3,4.5 ,1 \n"),
    "signs and exponents": ("csv", b"a,b,label\n+1,25e-1,0\n.3e1,4.50,1\n"),
    "a name with a comma": ("csv", b'a,"b, c",label\n1,2.5,0\n3,4.5,1\n'),
    "libsvm": ("libsvm", b"0 1:1 2:2.5\n1 1:3 2:4.5\n"),
    "libsvm CRLF, comments, empty lines": ("libsvm", b"# rows\r\n\r\n0 1:1 2:2.5\r\n   \n1 1:+3 2:45e-1"),
    "libsvm labels as floats": ("libsvm", b"0.0 1:1 2:2.5\n1. 1:3.0 2:4.5\n"),
    "libsvm queries and comments behind": ("libsvm", b"0 qid:1 1:1 2:2.5 # good\n1 qid:2 1:3 2:4.5#\n"),
    "libsvm comments in any alphabet": ("libsvm", "# \u00e9\n0 1:1 2:2.5 # \u03c0\n1 1:3 2:4.5\n".encode()),
    "text": ("text", b"1 2.5\n3 4.5\n"),
    "text CRLF, tabs": ("text", b" 1\t2.5 \r\n3  4.50"),
}
"""Files that hold the rows (1, 2.5) and (3, 4.5), of the labels 0 and 1."""

BROKEN = {
    "no header": ("csv", b"1,2.5,0\n3,4.5,1\n", 1, "but holds numbers: 1,2.5,0"),
    "no header, text": ("csv", b"1,2.5,cat\n3,4.5,dog\n", None, "choose the column to predict with --label"),
    "empty": ("csv", b"", 1, "the file is empty"),
    "empty lines alone": ("csv", b"\n\r\n\n", 1, "the file is empty"),
    "a header alone": ("csv", b"a,label\n", None, "contains no rows below the header"),
    "semicolons": ("csv", b"a;label\n1;0\n", 1, "cells are separated by ';'"),
    "tabs": ("csv", b"a\tlabel\n1\t0\n", 1, "cells are separated by '\\t'"),
    "a name twice": ("csv", b"a,a,label\n1,2,0\n", 1, "two columns are called 'a'"),
    "a name missing": ("csv", b"a,,label\n1,2,0\n", 1, "column 2 has no name"),
    "short row": ("csv", b"a,label\n1,0\n\n2\n3,1\n", 4, "1 cells, but the header has 2 columns; 1 of 3 rows"),
    "long rows": ("csv", b"a,label\n1,0,\n2,1,\n3,1\n", 2, "3 cells, but the header has 2 columns; 2 of 3 rows"),
    "a row of spaces": ("csv", b"a,label\n1,0\n   \n", 3, "1 cells, but the header has 2 columns; 1 of 2 rows"),
    "1,5 unquoted": ("csv", b"a,label\n1,5,0\n2,5,1\n", 2, "3 cells, but the header has 2 columns; 2 of 2 rows"),
    "1,5 as the label": ("csv", b'a,label\n2,"0,5"\n3,"1,5"\n', 2, "column 'label' holds '0,5'"),
    "text among labels to predict": ("csv", b"a,label\n1,0.5\n2,n/a\n3,1.5\n", 3, "column 'label' holds 'n/a'"),
    "an open quote": ("csv", b'a,label\n1,0\n"2,1\n3,0\n', 4, "look for an unclosed quote"),
    "letters behind a quote": ("csv", b'a,label\n1,0\n"2"x,1\n', 3, "expected after '\"'"),
    "empty label": ("csv", b"a,label\n1,0\n2,\n", 3, "column 'label' is empty; 1 of 2 rows"),
    "Latin-1": ("csv", b"a,label\n1,0\n2,caf\xe9\n", 3, "byte 6 is e9, which is not UTF-8; 1 of 3 lines"),
    "UTF-16": ("csv", "a,label\n1,0\n".encode("utf-16"), 1, "byte 1 is ff, which is not UTF-8"),
    "a long text": ("csv", b"a,label\n1," + b"x" * 100_000 + b"\n", 2, "column 'label' holds 100,000 characters"),
    "too long a cell": ("csv", b"a,label\n" + b"1" * 200_000 + b",0\n", 2, "field larger than"),
    "index 0": ("libsvm", b"0 1:1\n1 0:1\n1 0:2\n", 2, "index 0, but LIBSVM indices start at 1: add 1"),
    "a negative index": ("libsvm", b"0 -1:1\n", 1, "'-1:1' is not index:value"),
    "unsorted": ("libsvm", b"0 1:1\n1 3:1 2:1\n", 2, "index 2 comes after 3"),
    "an index twice": ("libsvm", b"0 1:1\n\n1 2:1 2:1\n", 3, "index 2 comes after 2"),
    "index 2^31": (
        "libsvm",
        b"0 1:1\n1 2147483648:1\n",
        2,
        "with index 2,147,483,648, 2 dense rows take more than 4 GiB",
    ),
    "index 2^64": ("libsvm", b"0 18446744073709551616:1\n", 1, "'18446744073709551616:1' is not index:value"),
    "an index as a fraction": ("libsvm", b"0 1.5:1\n", 1, "'1.5:1' is not index:value"),
    "libsvm 1,5": ("libsvm", b"0 1:1\n1 1:1,5\n1 1:2,5\n", 2, "'1:1,5' is not index:value"),
    "libsvm NaN": ("libsvm", b"0 1:nan\n", 1, "'1:nan' is not index:value"),
    "libsvm too large": ("libsvm", b"0 1:1e999\n", 1, "a number is too large for float64"),
    "no label": ("libsvm", b"0 1:1\n1:1 2:1\n", 2, "'1:1' is not a label"),
    "several labels": ("libsvm", b"0,1 1:1\n", 1, "'0,1' is not a label"),
    "libsvm Latin-1": ("libsvm", b"0 1:1\n\xe9 1:1\n", 2, "'\\\\xe9' is not a label"),
    "libsvm of comments": ("libsvm", b"# none\n\n", None, "contains no rows"),
    "a long index": ("libsvm", b"0 " + b"1" * 100_000 + b"x:1\n", 1, "is not index:value"),
    "a long value": ("libsvm", b"0 1:" + b"1" * 100_000 + b"x\n", 1, "is not index:value"),
    "a web page": ("libsvm", b"<!DOCTYPE html>\n<html>\n", 1, "'<!DOCTYPE' is not a label"),
    "short line": ("text", b"1 2\n3\n4 5\n6\n", 2, "the line has 1 numbers, but the first line has 2; 2 of 4 lines"),
    "an empty line": ("text", b"1 2\n\n3 4\n", 2, "the line is empty; 1 of 3 lines"),
    "words": ("text", b"1 2\n3 x\n", 2, "'x' is not a finite number; 1 of 2 lines"),
    "text 1,5": ("text", b"1,5 2\n3 4\n", 1, "'1,5' is not a finite number; 1 of 2 lines"),
    "text NaN": ("text", b"1 2\n3 nan\n", 2, "'nan' is not a finite number; 1 of 2 lines"),
    "text too large": ("text", b"1 2\n3 1e999\n", 2, "'1e999' is not a finite number; 1 of 2 lines"),
    "text Latin-1": ("text", b"1 2\n3 \xe9\n", 2, "'\\\\xe9' is not a finite number; 1 of 2 lines"),
    "nothing": ("text", b"", None, "contains no rows"),
}
"""Broken files, with the line that is to blame and what is said of it."""


CELLS = {
    "1,5": '"1,5"',
    "an open quote closed later": '"2,1\n3"',
    "text": "x",
    "hexadecimal": "0x10",
    "underscore": "1_0",
    "thousands": '"1,000"',
    "other digits": "٣",
    "true": "true",
    "a null byte": "1\x00",
    "a long number": "1" * 1000 + "x",
}
"""What is no number, in a column of numbers."""


def asked(tmp_path, form, content):
    path = tmp_path / "rows"
    path.write_bytes(content)
    if form == "text":
        (tmp_path / "labels").write_bytes(b"1 0\n0 1\n")
        return Ask(str(path), form, str(tmp_path / "labels"))
    return Ask(str(path), form)


def test_r43_there_are_enough_files():
    assert len(READ) + len(BROKEN) >= 60


@pytest.mark.parametrize("name", READ)
def test_r43_whole_files_are_read_exactly(tmp_path, name):
    form, content = READ[name]
    rows = load(asked(tmp_path, form, content))
    assert np.asarray(rows.x, np.float64).tolist() == [[1, 2.5], [3, 4.5]]
    y = rows.y[:, 1] if rows.y.ndim == 2 else rows.y
    assert y.tolist() == [0, 1]


@pytest.mark.parametrize("name", BROKEN)
def test_r43_broken_files_are_refused_with_line_and_column(tmp_path, name):
    form, content, line, said = BROKEN[name]
    begun = time.perf_counter()
    with pytest.raises(ValueError) as caught:
        load(asked(tmp_path, form, content))
    assert time.perf_counter() - begun < 5
    message = str(caught.value)
    place = f"{tmp_path / 'rows'}, line {line}: " if line else f"{tmp_path / 'rows'}: "
    assert message.startswith(place) and said in message and "\n" not in message and len(message) < 500
    code = caught.value.code
    assert isinstance(caught.value, DataError) and re.fullmatch("data-[a-z-]+", code) or code == "config-label"


@pytest.mark.parametrize("name", CELLS)
def test_r43_a_cell_that_is_no_number_among_others_is_refused_with_line_and_column(tmp_path, name):
    cells = [f"{number / 8}" for number in range(40)]
    cells[6] = CELLS[name]
    rows = "".join(f"{cell},{number % 2}\n" for number, cell in enumerate(cells))
    with pytest.raises(DataError) as caught:
        load(asked(tmp_path, "csv", f"a,label\n{rows}".encode()))
    message, line = str(caught.value), 9 if "\n" in CELLS[name] else 8
    assert message.startswith(f"{tmp_path / 'rows'}, line {line}: column 'a' holds ") and "\n" not in message
    assert "1 of 40 rows" in message and "--ignore-cols a" in message and "--column-kinds a=category" in message


@pytest.mark.parametrize("cell", ["", "  ", "NaN", "n/a", "-inf", "1e999"])
def test_what_is_missing_or_infinite_stays_a_number(tmp_path, cell):
    rows = "".join(f"{cell if number == 6 else number / 8},{number % 2}\n" for number in range(40))
    found = load(asked(tmp_path, "csv", f"a,label\n{rows}".encode()))
    (column,) = found.schema.columns
    assert isinstance(column, NumberColumn) and column.missing == (cell not in ("-inf", "1e999"))
    assert np.isfinite(found.x).all()


def test_r43_the_five_parts_are_there(tmp_path):
    """Place, value, how many, and what to do: of every error that a single cell or line is to blame for."""
    for form, content, line, said in BROKEN.values():
        with pytest.raises(ValueError) as caught:
            load(asked(tmp_path, form, content))
        blamed = line and caught.value.code in ("data-text", "data-missing-value", "data-libsvm", "data-numbers")
        if blamed:
            assert re.search(r"\d[\d,]* of \d[\d,]* (rows|lines)", str(caught.value)), said
            assert re.search(
                r": .*(choose|correct|drop|fill|give|look|name|quote|separate|use|write)", str(caught.value)
            ), said


@pytest.mark.parametrize("labels", [0, 1, 5, 7])
def test_r42_as_many_labels_as_images_are_wanted(tmp_path, labels):
    write_idx(tmp_path / "x.idx", np.zeros((6, 2, 2), np.uint8))
    write_idx(tmp_path / "y.idx", np.zeros(labels, np.uint8))
    with pytest.raises(DataError, match=f"x.idx has 6 rows, but .*y.idx has {labels} labels.*same order") as caught:
        load(Ask(str(tmp_path / "x.idx"), "idx", str(tmp_path / "y.idx")))
    assert caught.value.code == "data-lengths"


def test_r42_images_in_the_place_of_labels_are_refused(tmp_path):
    write_idx(tmp_path / "x.idx", np.zeros((6, 2, 2), np.uint8))
    with pytest.raises(DataError, match=r"labels are uint8 of shape \(6, 2, 2\)"):
        load(Ask(str(tmp_path / "x.idx"), "idx", str(tmp_path / "x.idx")))
