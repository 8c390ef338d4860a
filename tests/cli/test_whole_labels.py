"""Labels that are whole numbers: classes or numbers by their values, whatever type a file gives them; never a gap."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from firesteel.cli.rows import Ask, load
from firesteel.cli.task import are_classes, decide, encode, labels_of
from firesteel.datasets.marks import MISSING
from firesteel.errors import DataError

ROWS = 600
GRADES = np.arange(ROWS) % 3 + 1
AGES = 18 + np.arange(ROWS) * 8 % 63


def csv(cells):
    def write(path, y):
        path.write_text("x,y\n" + "".join(f"0.5,{cells(v)}\n" for v in y))
        return Ask(str(path), "csv", label=("y",))

    return write


def parquet(make):
    def write(path, y):
        pa.parquet.write_table(pa.table({"x": np.full(len(y), 0.5), "y": make(y)}), path)
        return Ask(str(path), "parquet", label=("y",))

    return write


def npz(make):
    def write(path, y):
        np.savez(path.with_suffix(".npz"), x=np.full((len(y), 1), 0.5), y=make(y))
        return Ask(str(path.with_suffix(".npz")), "numpy")

    return write


def libsvm(path, y):
    path.write_text("".join(f"{v} 1:0.5\n" for v in y))
    return Ask(str(path), "libsvm")


def text(path, y):
    path.write_text("0.5\n" * len(y))
    path.with_suffix(".y").write_text("".join(f"{v}.0\n" for v in y))
    return Ask(str(path), "text", str(path.with_suffix(".y")))


ARROW, NUMPY = ("int8", "int64", "uint16", "float", "double"), ("u1", "i8", "f2", "f4", "f8", "U9", ">i4")
TYPES = {
    "CSV": csv(str),
    "CSV, 1.0": csv(lambda v: f"{v}.0"),
    "CSV, 1e0": csv(lambda v: f"{v}e0"),
    "CSV, quoted": csv(lambda v: f'" {v} "'),
    **{
        f"Parquet, {name}": parquet(lambda y, name=name: pa.array(y).cast(name))
        for name in ("int8", "int64", "uint16")
    },
    **{f"Parquet, {name}": parquet(lambda y, name=name: pa.array(y).cast(name)) for name in ("float", "double")},
    "Parquet, decimal": parquet(lambda y: pa.array([Decimal(int(v)) for v in y], pa.decimal128(20, 4))),
    "Parquet, text": parquet(lambda y: pa.array([str(v) for v in y])),
    "Parquet, text 1.0": parquet(lambda y: pa.array([f" {v}.0" for v in y])),
    "Parquet, large text": parquet(lambda y: pa.array([str(v) for v in y], pa.large_string())),
    "Parquet, dictionary": parquet(lambda y: pa.array([str(v) for v in y]).dictionary_encode()),
    "Parquet, dictionary of numbers": parquet(lambda y: pa.array(y).dictionary_encode()),
    **{
        f"NumPy, {kind}": npz(lambda y, kind=kind: y.astype(kind))
        for kind in ("u1", "i8", "f2", "f4", "f8", "U9", ">i4")
    },
    "LIBSVM": libsvm,
    "text": text,
}


def task_of(ask):
    rows = load(ask)
    return rows, decide(labels_of(rows), None)


@pytest.mark.parametrize("name", TYPES)
def test_few_whole_numbers_are_classes_whatever_their_type(tmp_path, name):
    rows, task = task_of(TYPES[name](tmp_path / "rows", GRADES))
    assert (task.kind, task.outputs, task.classes) == ("classification", 3, ("1", "2", "3"))
    assert encode(task, rows).tolist() == (GRADES - 1).tolist()
    assert "3 whole numbers in 600 rows: classification; for numbers give --loss mean_squared_error" in task.decision


@pytest.mark.parametrize("name", TYPES)
def test_many_whole_numbers_are_numbers_whatever_their_type(tmp_path, name):
    rows, task = task_of(TYPES[name](tmp_path / "rows", AGES))
    assert (task.kind, task.outputs, type(task.loss).__name__) == ("regression", 1, "MeanSquaredError")
    assert encode(task, rows).tolist() == AGES.tolist()
    said = ": 63 whole numbers in 600 rows: regression; for classes give --loss sparse_categorical_crossentropy"
    assert said in task.decision


@pytest.mark.parametrize("name", TYPES)
def test_a_loss_makes_many_whole_numbers_classes(tmp_path, name):
    rows = load(TYPES[name](tmp_path / "rows", AGES))
    task = decide(labels_of(rows), "sparse_categorical_crossentropy")
    assert task.outputs == 63 and task.classes[0] == "18"
    assert task.decision.endswith("classification, as the loss says")


@pytest.mark.parametrize(
    "values, rows, classes",
    [
        (range(2), 2, True),
        ((7, 1_000_000), 5, True),
        (range(10), 12, True),
        (range(1, 4), 3, True),
        ((3, 5, 9), 6, True),
        ((3, 5, 9), 5, False),
        (range(18, 81), 5_000, False),
        (range(18, 81), 1_000_000, False),
        (range(1, 64), 5_000, False),
        (range(26), 20_000, True),
        (range(1, 101), 50_000, True),
        (range(101), 5_000, False),
        (range(15), 150, True),
        (range(15), 149, False),
        (range(3, 18), 1_500, True),
        (range(3, 18), 1_499, False),
        (range(1922, 2012), 515_345, False),
        (range(-1, 1), 10, True),
        (None, 10**6, False),
    ],
)
def test_the_share_of_distinct_values_decides(values, rows, classes):
    assert are_classes(None if values is None else tuple(values), rows) is classes


def test_names_and_zip_codes_stay_names(tmp_path):
    for name, texts in {"names": ["a", "b"], "codes": ["007", "017"], "mixed": ["1", "b"]}.items():
        ask = parquet(lambda y, texts=texts: pa.array([texts[v % 2] for v in y]))(tmp_path / name, GRADES)
        assert decide(labels_of(load(ask)), None).classes == tuple(sorted(texts))


def test_numbers_that_are_text_are_numbers(tmp_path):
    ask = parquet(lambda y: pa.array([f"{v}.5" for v in y]))(tmp_path / "rows", GRADES)
    rows, task = task_of(ask)
    assert task.kind == "regression" and encode(task, rows).tolist() == (GRADES + 0.5).tolist()


# What is missing


def holed(values, gap, at=(4, 9)):
    return [gap if number in at else value for number, value in enumerate(values)]


@pytest.mark.parametrize("upper", [str, str.upper, str.title], ids=["small", "capital", "title"])
@pytest.mark.parametrize("mark", [mark for mark in MISSING if mark])
def test_a_mark_for_no_value_is_no_class(tmp_path, mark, upper):
    for values in (["cat", "dog"] * 5, ["1", "2"] * 5, ["true", "false"] * 5, ["0.5", "2"] * 5):
        for kind, write in {"CSV": csv(str), "Parquet": parquet(pa.array), "NumPy": npz(np.array)}.items():
            with pytest.raises(DataError) as caught:
                load(write(tmp_path / f"rows{kind}", holed(values, f" {upper(mark)} ")))
            said = str(caught.value)
            place = "line 6: " if kind == "CSV" else "at row 4"
            assert (
                place in said and f"holds {f' {upper(mark)} '!r}" in said and "2 of 10 rows have this error" in said
            )
            assert caught.value.code == "data-missing-value" and said.startswith(str(tmp_path / f"rows{kind}"))
            (tmp_path / "rowsNumPy.npz").unlink(missing_ok=True)


@pytest.mark.parametrize("stray", ["unknown", "x", "inf", "> 80", "12 years", "1e999", "1_000", "0x1f"])
@pytest.mark.parametrize("values", [AGES, AGES * 1.5, AGES[:25]], ids=["ages", "fractions", "few rows"])
def test_a_text_among_many_numbers_is_no_class(tmp_path, values, stray):
    """A word made 63 ages 64 classes."""
    for kind, write in {"CSV": csv(str), "Parquet": parquet(pa.array), "NumPy": npz(np.array)}.items():
        with pytest.raises(DataError, match="holds") as caught:
            load(write(tmp_path / f"rows{kind}", holed(map(str, values), stray)))
        said = str(caught.value)
        assert f"holds {stray!r}" in said and f"of {len(values)} rows" in said and "is not a number" in said
        assert ("line 6: " if kind == "CSV" else "at row 4") in said
        (tmp_path / "rowsNumPy.npz").unlink(missing_ok=True)


def test_texts_that_may_be_classes_stay_some(tmp_path):
    some = {"few numbers": [*"0123456789", "other"] * 20, "codes": [*map(str, range(100, 150)), "007", "017"] * 20}
    some |= {"many texts": [*map(str, range(100, 130)), "a", "b", "c", "d"] * 20}
    for name, values in some.items():
        asked = parquet(pa.array)(tmp_path / name, values)
        assert decide(labels_of(load(asked)), None).outputs == len(set(values))


@pytest.mark.parametrize("cell", ["", '""', "   "])
def test_an_empty_cell_is_no_class(tmp_path, cell):
    with pytest.raises(DataError, match="line 6: column 'y'.*2 of 10 rows ") as caught:
        load(csv(str)(tmp_path / "rows", holed(["cat", "dog"] * 5, cell)))
    assert caught.value.code == "data-missing-value"


@pytest.mark.parametrize("kind", ["float", "double", "string", "int64", "bool"])
def test_a_null_is_no_class(tmp_path, kind):
    cast = {"string": str, "bool": bool}.get(kind, int)
    values = pa.array(holed([cast(v) for v in GRADES[:10]], None), kind)
    with pytest.raises(DataError, match=r"column 'y' holds no value \(null\) at row 4; 2 of 10 rows"):
        load(parquet(lambda y: values)(tmp_path / "rows", GRADES[:10]))


@pytest.mark.parametrize("name, write", {"Parquet": parquet(np.array), "NumPy": npz(np.array)}.items())
@pytest.mark.parametrize("gap, shown", [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_labels_that_are_not_finite_are_reported_with_file_column_and_row(tmp_path, name, write, gap, shown):
    column = "column 'y'" if name == "Parquet" else "the label"
    with pytest.raises(DataError) as caught:
        load(write(tmp_path / "rows", np.array(holed(GRADES[:10] * 1.0, gap))))
    said = str(caught.value)
    assert f": {column} holds {shown} at row 4; 2 of 10 rows" in said and said.startswith(str(tmp_path / "rows"))


def test_features_that_are_not_finite_are_reported_with_file_column_and_row(tmp_path):
    x = np.ones((10, 3))
    x[4, 2] = np.inf
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.arange(10) % 2)
    with pytest.raises(DataError, match=r"x.npy: input 2 holds inf at row 4; 1 of 10 rows"):
        load(Ask(str(tmp_path / "x.npy"), "numpy", str(tmp_path / "y.npy")))


def test_invalid_weights_are_reported_with_file_column_and_row(tmp_path):
    for wrong, said, code in ((-1.5, "a negative number: -1.5", "negative-weight"), (np.nan, "NaN", "nan")):
        table = pa.table({"a": np.arange(10.0), "w": holed(np.ones(10), wrong), "label": np.arange(10) % 2})
        pa.parquet.write_table(table, tmp_path / "rows.parquet")
        with pytest.raises(
            DataError, match=f"rows.parquet: column 'w' holds {said} at row 4; 2 of 10 rows"
        ) as caught:
            load(Ask(str(tmp_path / "rows.parquet"), "parquet", weight="w"))
        assert caught.value.code == f"data-{code}"


# The command line


def test_the_first_line_says_what_was_decided(run, tmp_path):
    rng = np.random.default_rng(0)
    ages = rng.integers(18, 81, 5_000)
    income = ages * 2.0 + rng.normal(size=5_000)
    rows = "".join(f"{i:.3f},{a}\n" for i, a in zip(income, ages, strict=True))
    (tmp_path / "people.csv").write_text("income,age\n" + rows)
    code, out, err = run("train", "--data", tmp_path / "people.csv", "--label", "age", "--epochs", "2")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == (
        "age: 63 whole numbers in 5,000 rows: regression; for classes give --loss sparse_categorical_crossentropy"
    )
    _, out, _ = run("train", "--data", tmp_path / "people.csv", "--label", "age", "--dry-run")
    assert "63 whole numbers in 5,000 rows: regression" in out
    _, out, err = run("train", "--data", tmp_path / "people.csv", "--label", "age", "--epochs", "1", "--json")
    assert "63 whole numbers" in err and "whole" not in out
