"""Every format gives the fit that its rows give as arrays, to the bit: read in process, and through Spark."""

from contextlib import ExitStack

import numpy as np
import pytest

from firesteel.cli.parts import labels, part, read
from firesteel.cli.rows import READERS, Ask
from firesteel.cli.task import decide
from firesteel.datasets import write_idx, write_libsvm, write_text
from firesteel.datasets.arrays import write_npz
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
COLUMNS = dict(zip("abcde", X.T, strict=True)) | {"label": Y}


def pair(form, write):
    """Return what writes features and labels to two files."""

    def made(place):
        write(place / "x", X)
        write(place / "y", Y)
        return Ask(str(place / "x"), form, str(place / "y"))

    return made


def whole(form, ending, write):
    """Return what writes both to one file."""

    def made(place):
        path = place / f"rows{ending}"
        write(path)
        return Ask(str(path), form)

    return made


FORMATS = {
    "csv": whole("csv", ".csv", lambda path: write_csv(path, COLUMNS)),
    "idx": pair("idx", lambda path, values: write_idx(path, values.astype(">f8" if values.ndim > 1 else "u1"))),
    "libsvm": whole("libsvm", ".svm", lambda path: write_libsvm(path, X, Y)),
    "numpy": whole("numpy", ".npz", lambda path: write_npz(path, {"x": X, "y": Y})),
    "parquet": whole("parquet", ".parquet", lambda path: write_parquet(path, COLUMNS)),
    "parquet of arrays": whole(
        "parquet", ".parquet", lambda path: write_parquet(path, {"features": X, "label": Y.astype(float)})
    ),
    "text": pair("text", lambda path, values: write_text(path, [values.reshape(N, -1)])),
    "text of one-hot": pair(
        "text", lambda path, values: write_text(path, [values if values.ndim > 1 else np.eye(3)[values]])
    ),
}


def fingerprint(*rows, dtype, **columns):
    model = Sequential([Dense(4, "tanh"), Dense(3, "softmax")], dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*rows, **columns, epochs=1, verbose=0, shards=2, seed=1)
    return model.fingerprint()


def test_every_reader_is_here():
    assert {name.split()[0] for name in FORMATS} == set(READERS) - {"set"}


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_every_format_have_the_bits_of_the_same_arrays(spark, tmp_path, name, dtype):
    wanted = FORMATS[name](tmp_path)
    expected = fingerprint(X, Y, dtype=dtype)
    for session in (None, spark):
        with ExitStack() as stack:
            rows = read(wanted, session, stack)
            given = part(rows, decide(labels(rows), None), session)
            assert fingerprint(dtype=dtype, **given.arguments) == expected, session
