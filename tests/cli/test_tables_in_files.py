"""A table of columns of any kind from the command line: trained, scored and looked at as it is, CSV or Parquet."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from firesteel.layers import Dense, Dropout, Table
from firesteel.models import Sequential
from firesteel.optimizers import AdamW

QUICK = ("--hidden", "8", "--epochs", "3")


def flights(rows=300, seed=0):
    """Columns of every kind: a word, a word of many, a moment, a number with gaps; and what came of it."""
    rng = np.random.default_rng(seed)
    carrier, departs = rng.choice(["AA", "DL", "WN"], rows), rng.integers(0, 525_600, rows)
    temp = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(12, 9, rows).round(1))
    risk = (carrier == "WN") + departs % 1440 / 720 + np.nan_to_num(temp) / 20
    return {
        "carrier": carrier,
        "tail, number": [f"N{number}" for number in rng.integers(0, 40, rows)],
        "departs": np.datetime64("2024-01-01T00:00", "s") + departs * 60,
        "temp": pa.array(temp, from_pandas=True),
        "early": departs % 1440 < 720,
        "delay": (60 * risk).round(1),
        "late": np.where(risk > 1.7, "yes", "no"),
    }


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    """The same table as a file of either format, and as Arrow's."""
    made = pa.table(flights())
    path = tmp_path / f"flights.{request.param}"
    (pa.csv.write_csv if request.param == "csv" else pa.parquet.write_table)(made, path)
    return path, made


def fingerprint(out):
    return out.splitlines()[-1].removeprefix("fingerprint ")


def test_a_table_trains_the_network_that_python_trains(run, table):
    path, made = table
    argv = ("--label", "late", "--ignore-cols", "delay", "--validation-split", "0")
    code, out, err = run("train", "--data", path, *QUICK, *argv)
    assert (code, err) == (0, "")
    decided, columns, *_ = out.splitlines()
    assert decided == "late: 2 texts in 300 rows: classification"
    assert columns == "features: 2 texts (carrier, tail, number), 1 time (departs), 2 numbers (temp, early)"
    model = Sequential([Table(), Dense(8, "silu"), Dropout(0.15), Dense(2, "softmax")])
    model.compile(AdamW(0.002, use_ema=True, ema_momentum=0.99), "sparse_categorical_crossentropy", ["accuracy"])
    y = np.array(made["late"].to_pylist()) == "yes"
    model.fit(made.drop_columns(["late", "delay"]), y, epochs=3, batch_size=64, verbose=0)
    assert fingerprint(out) == model.fingerprint()
