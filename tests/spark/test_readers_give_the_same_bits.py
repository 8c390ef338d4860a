"""Every format gives the fit that its rows give as arrays, to the bit: read in process, and through Spark."""

from contextlib import ExitStack

import numpy as np
import pytest

from firesteel.cli.parts import labels, part, read
from firesteel.cli.rows import READERS, Ask
from firesteel.cli.task import decide
from firesteel.datasets import write_idx, write_libsvm, write_text
from firesteel.datasets.binary import write_npz
from firesteel.datasets.delimited import write_csv
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark.parquet import write_parquet

RNG = np.random.default_rng(0)
N = 150
Y = RNG.integers(0, 3, N)
X = np.column_stack(
    [
        RNG.integers(0, 256, N) / 255,  # which float32 rounds
        1.7e9 + RNG.integers(0, 86_400_000, N) / 1000,  # which it flattens
        RNG.normal(size=N) * 1e-3,
        2**24 + RNG.integers(0, 9, N).astype(float),
        RNG.integers(0, 4, N) / 4 * (RNG.random(N) < 0.5),
    ]
)
NUMBERS = 1.7e9 + RNG.integers(0, 86_400_000, N) / 1000


def columns(y):
    return dict(zip("abcde", X.T, strict=True)) | {"label": y}


def pair(form, write):
    """Return what writes features and labels to two files."""

    def made(place, y):
        write(place / "x", X)
        write(place / "y", y)
        return Ask(str(place / "x"), form, str(place / "y"))

    return made


def whole(form, ending, write):
    """Return what writes both to one file."""

    def made(place, y):
        path = place / f"rows{ending}"
        write(path, y)
        return Ask(str(path), form)

    return made


def idx(path, values):
    write_idx(path, values.astype("u1" if values.dtype.kind == "i" else ">f8"))


def one_hot(path, values):
    write_text(path, [values if values.ndim > 1 else np.eye(3)[values]])


FORMATS = {
    "csv": whole("csv", ".csv", lambda path, y: write_csv(path, columns(y))),
    "idx": pair("idx", idx),
    "libsvm": whole("libsvm", ".svm", lambda path, y: write_libsvm(path, X, y)),
    "numpy": whole("numpy", ".npz", lambda path, y: write_npz(path, {"x": X, "y": y})),
    "parquet": whole("parquet", ".parquet", lambda path, y: write_parquet(path, columns(y))),
    "parquet of arrays": whole(
        "parquet", ".parquet", lambda path, y: write_parquet(path, {"features": X, "label": y.astype(float)})
    ),
    "text": pair("text", lambda path, values: write_text(path, [values.reshape(N, -1)])),
    "text of one-hot": pair("text", one_hot),
}


def fingerprint(kind, dtype, *rows, **named):
    model = Sequential([Dense(4, "tanh"), Dense(3, "softmax") if kind == "classification" else Dense(1)], dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy" if kind == "classification" else "mean_squared_error")
    model.fit(*rows, **named, epochs=1, verbose=0, shards=2, seed=1)
    return model.fingerprint()


def must_agree(spark, place, name, y, dtype):
    """Assert that a file's rows, in process and through Spark, have the bits of the arrays."""
    wanted = FORMATS[name](place, y)
    for session in (None, spark):
        with ExitStack() as stack:
            rows = read(wanted, session, stack)
            task = decide(labels(rows), None)
            assert task.kind == ("classification" if y is Y else "regression")
            given = part(rows, task, session).arguments
            assert fingerprint(task.kind, dtype, **given) == fingerprint(task.kind, dtype, X, y), session


def test_every_reader_is_here():
    assert {name.split()[0] for name in FORMATS} == set(READERS) - {"set"}


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_every_format_have_the_bits_of_the_same_arrays(spark, tmp_path, name, dtype):
    must_agree(spark, tmp_path, name, Y, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "text of one-hot"])
def test_numbers_to_predict_have_the_bits_of_the_same_arrays(spark, tmp_path, name, dtype):
    must_agree(spark, tmp_path, name, NUMBERS, dtype)
