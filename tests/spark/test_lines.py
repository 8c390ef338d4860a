"""Two text files become rows: paired by line whatever the splits, and refused with file and line."""

import gzip
import re

import numpy as np
import pyarrow as pa
import pytest

from firesteel.core.layers import Dense
from firesteel.datasets import write_text
from firesteel.errors import DataError
from firesteel.models import Sequential
from firesteel.spark import lines
from firesteel.spark.lines import paired

ROWS, INPUTS, CLASSES = 300, 5, 3
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (ROWS, INPUTS)) / 255
X[:, 0] = np.arange(ROWS)  # identifies a row
Y = RNG.integers(0, CLASSES, ROWS)


@pytest.fixture
def files(tmp_path):
    """Paths of images and labels."""
    write_text(tmp_path / "images.csv", [X])
    write_text(tmp_path / "labels.csv", [np.eye(CLASSES)[Y]])
    return str(tmp_path / "images.csv"), str(tmp_path / "labels.csv")


@pytest.fixture
def cut_files(spark):
    """Makes Spark cut files into pieces of so many bytes."""
    name, before = "spark.sql.files.maxPartitionBytes", spark.conf.get("spark.sql.files.maxPartitionBytes")
    yield lambda size: spark.conf.set(name, str(size))
    spark.conf.set(name, before)


def rows(spark, images, labels):
    """The rows in the order of the lines, by their first value."""
    with paired(spark, images, labels) as given:
        assert (given.inputs, given.classes) == (INPUTS, CLASSES)
        found = sorted(given.frame.collect(), key=lambda row: row.features[0])
        assert len(found) == given.rows
    return np.array([row.features for row in found]), np.array([row.label for row in found])


def same(found, x=X, y=Y):
    np.testing.assert_array_equal(found[0], x)
    np.testing.assert_array_equal(found[1], y)


@pytest.mark.parametrize("size", [2000, 10**8])
def test_lines_of_the_same_number_belong_together_however_the_files_are_cut(spark, files, cut_files, size):
    cut_files(size)
    if size < 10**8:
        assert spark.read.text(files[0]).rdd.getNumPartitions() > 2
    same(rows(spark, *files))


def test_lines_are_counted_over_chunks_and_packs(spark, files, cut_files, monkeypatch):
    names = {"file": "f", "start": 0, "at": 5, "data": Y[5:].tobytes()}
    monkeypatch.setattr(lines, "CHUNK", 16)
    batch = lines.record_batch(**{name: [value] for name, value in names.items()})
    packs = [pack.to_pylist()[0] for pack in lines.cut(lines.firesteel.__version__, {("f", 0): 30}, iter([batch]))]
    for pack in packs:
        begin, end = pack["label_line"], pack["label_line"] + pack["label_rows"]
        assert pack["pack"] * 16 <= begin < end <= (pack["pack"] + 2) * 16
        np.testing.assert_array_equal(np.frombuffer(pack["labels"], np.int64), Y[begin - 30 : end - 30])
    needed = {(line, line + count) for line in range(35, 330) for count in (1, 16) if line + count <= 330}
    held = {pack["pack"]: (pack["label_line"], pack["label_line"] + pack["label_rows"]) for pack in packs}
    assert all(held[low // 16][0] <= low and high <= held[low // 16][1] for low, high in needed)


def test_labels_may_be_numbers_where_that_is_said(spark, files, tmp_path, cut_files):
    cut_files(3000)
    values = RNG.normal(size=ROWS)
    write_text(tmp_path / "numbers.csv", [values[:, None]])
    with paired(spark, files[0], str(tmp_path / "numbers.csv"), numbers=True) as given:
        found = sorted(given.frame.collect(), key=lambda row: row.features[0])
    assert given.classes == 1 and [row.label for row in found] == values.tolist()
    with pytest.raises(DataError, match="is not a one-hot label; 300 of 300"):
        with paired(spark, files[0], str(tmp_path / "numbers.csv")):
            pass


def test_a_folder_is_read_in_the_order_of_its_files_names(spark, tmp_path, files):
    for name, values, cuts in (("x", X, [250, 260]), ("y", np.eye(CLASSES)[Y], [100])):
        (tmp_path / name).mkdir()
        for number, part in enumerate(np.split(values, cuts)):
            write_text(tmp_path / name / f"part-{number:05}", [part])
        (tmp_path / name / "_SUCCESS").touch()
    same(rows(spark, str(tmp_path / "x"), str(tmp_path / "y")))


def test_gzip_other_spaces_and_the_original_s_number_format(spark, tmp_path, files):
    with gzip.open(tmp_path / "x.csv.gz", "wt") as file:
        np.savetxt(file, X)
    (tmp_path / "y z.csv").write_text("".join(f" {'  '.join(map(str, one))}\t\r\n" for one in np.eye(CLASSES)[Y]))
    same(rows(spark, str(tmp_path / "x.csv.gz"), str(tmp_path / "y z.csv")))


def test_it_trains_like_the_same_rows_in_memory(spark, files):
    def model():
        made = Sequential([Dense(4, "tanh"), Dense(CLASSES, "softmax")])
        made.compile("adam", "sparse_categorical_crossentropy")
        return made

    here, there = model(), model()
    here.fit(X, Y, epochs=2, verbose=0, shards=1)
    with paired(spark, *files) as given:
        there.fit(given.frame, epochs=2, verbose=0, shards=1)
    assert here.fingerprint() == there.fingerprint()


def cached(spark):
    return spark._jsc.sc().getPersistentRDDs().size()


def test_nothing_stays_in_the_cache(spark, files):
    before = cached(spark)
    with paired(spark, *files) as given:
        given.frame.count()
        assert cached(spark) > before
    assert cached(spark) == before


# What is refused


def edit(path, line, text):
    """Put a text in the place of a line, numbered from 1; None takes the line away."""
    with open(path) as file:
        every = file.read().splitlines()
    every[line - 1 : line] = [] if text is None else [text]
    with open(path, "w") as file:
        file.write("".join(one + "\n" for one in every))


def refusal(spark, files):
    before = cached(spark)
    with pytest.raises(DataError) as caught, paired(spark, *files):
        raise AssertionError("it was not refused")
    assert cached(spark) == before
    return caught.value.code, str(caught.value)


WRONG = {
    "a word": (0, 211, "1 2 x 4 5", "data-number", "line 211: 'x' is not a finite number; 1 of 300"),
    "NaN": (0, 7, "1 2 3 nan 5", "data-number", "line 7: 'nan' is not a finite number; 1 of 300"),
    "too large for float32": (0, 300, "1e300 2 3 4 5", "data-number", "line 300: '1e300' is not a finite number"),
    "commas": (0, 9, "1,2,3,4,5", "data-number", "line 9: '1,2,3,4,5' is not a finite number"),
    "a long word": (0, 9, "x" * 99, "data-number", f"line 9: '{'x' * 37}...' is not a finite number"),
    "a short line": (0, 40, "1 2 3 4", "data-ragged", "line 40: 4 values, where most lines have 5; 1 of 300"),
    "a long line": (0, 1, "1 2 3 4 5 6", "data-ragged", "line 1: 6 values, where most lines have 5"),
    "an empty line": (0, 300, "", "data-ragged", "line 300: 0 values, where most lines have 5"),
    "a short label": (1, 2, "0 1", "data-ragged", "line 2: 2 values, where most lines have 3"),
    "two ones": (1, 155, "1 0 1", "data-label", "line 155: '1 0 1' is not a one-hot label; 1 of 300"),
    "no one": (1, 155, "0 0 0", "data-label", "line 155: '0 0 0' is not a one-hot label"),
    "halves": (1, 155, "0.5 0.5 0", "data-label", "line 155: '0.5 0.5 0' is not a one-hot label"),
}


def validated(path, kind, pieces):
    """The profile of a file that tasks read in so many pieces, without Spark."""
    with open(path) as file:
        every = file.read().splitlines()
    chunks, start = [], 0
    for part in np.array_split(np.array(every, object), pieces):
        columns = [pa.array(part, pa.string()), pa.array([path] * len(part)), pa.array([start] * len(part))]
        batch = pa.RecordBatch.from_arrays(columns, ["value", "file_path", "file_block_start"])
        for chunk in lines.parse(lines.firesteel.__version__, kind, iter([batch])):
            chunks += chunk.to_pylist()
        start += sum(len(line) + 1 for line in part)
    return lines._validated(path, None, chunks)


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("which, line, text, code, said", WRONG.values(), ids=WRONG)
def test_a_wrong_line_is_named(files, pieces, which, line, text, code, said):
    kind = ("features", "one-hot")[which]
    assert validated(files[which], kind, pieces).rows == ROWS
    edit(files[which], line, text)
    with pytest.raises(DataError) as caught:
        validated(files[which], kind, pieces)
    message = str(caught.value)
    assert caught.value.code == code and f"{files[which]}, {said}" in message and "To do: " in message


@pytest.mark.parametrize("name", ["a word", "an empty line", "two ones"])
def test_a_wrong_line_is_named_by_tasks_too(spark, files, cut_files, name):
    cut_files(2000)
    which, line, text, code, said = WRONG[name]
    edit(files[which], line, text)
    found, message = refusal(spark, files)
    assert found == code and f"{files[which]}, {said}" in message


def test_the_first_of_several_wrong_lines_is_named_and_all_are_counted(spark, files, cut_files):
    cut_files(6000)
    for line in (290, 120, 121, 7):
        edit(files[0], line, "1 2 3 4 y y" if line != 7 else "z 2")
    assert "line 7: 'z' is not a finite number; 4 of 300 lines" in refusal(spark, files)[1]
    for line in (120, 121, 7, 290):
        edit(files[0], line, "1 2")
    assert "line 7: 2 values, where most lines have 5; 4 of 300 lines" in refusal(spark, files)[1]


def test_a_line_in_a_folder_is_named_by_its_own_file(spark, tmp_path, files):
    (tmp_path / "x").mkdir()
    for number, part in enumerate(np.split(X, [200])):
        write_text(tmp_path / "x" / f"part {number}", [part])
    edit(tmp_path / "x" / "part 1", 50, "0")
    message = refusal(spark, (str(tmp_path / "x"), files[1]))[1]
    assert re.search(r"x/part 1, line 50: 1 values", message)


@pytest.mark.parametrize("which", [0, 1])
def test_lines_without_a_partner(spark, files, which):
    edit(files[which], 17, None)
    code, message = refusal(spark, files)
    assert code == "data-rows" and "299 lines and the other file 300; lines without a partner: 1." in message
    assert message.startswith(f"{files[1 - which]}, line 300: {files[which]} has no line 300")


def test_files_that_are_swapped(spark, files):
    assert "is not a one-hot label; 300 of 300" in refusal(spark, files[::-1])[1]


def test_a_file_that_is_not_there(spark, files):
    code, message = refusal(spark, (files[0], files[1] + ".gone"))
    assert code == "data-file" and files[1] + ".gone" in message and "\n" not in message


def test_an_empty_file(spark, files):
    open(files[1], "w").close()
    code, message = refusal(spark, files)
    assert code == "data-empty" and files[1] in message


def test_what_is_no_text(spark, files):
    with open(files[0], "wb") as file:
        file.write(bytes(range(128, 256)) * 20)
    assert refusal(spark, files)[0] == "data-number"


@pytest.mark.parametrize("odd, kind", [(None, "float"), (0, "double"), (4999, "double")])
def test_numbers_are_floats_where_those_hold_them_all_and_doubles_where_one_needs_it(spark, tmp_path, odd, kind):
    x = np.arange(10_000.0).reshape(5_000, 2)
    if odd is not None:
        x[odd, 0] = 0.1
    np.savetxt(tmp_path / "x.txt", x, "%.17g")
    np.savetxt(tmp_path / "y.txt", np.arange(5_000) % 7, "%d")
    with paired(spark, str(tmp_path / "x.txt"), str(tmp_path / "y.txt"), numbers=True) as given:
        assert given.frame.schema["features"].dataType.elementType.typeName() == kind
        found = np.array(given.frame.toPandas()["features"].tolist())
    np.testing.assert_array_equal(found[np.argsort(found[:, 1])], x)
