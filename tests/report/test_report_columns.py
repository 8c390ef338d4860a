"""A table in a report: by its own columns, whatever their names hold."""

import datetime

import numpy as np
import pytest

from firesteel.layers import Dense, Table
from firesteel.models import Sequential
from firesteel.report import RunFolder
from firesteel.report.columns import described, effects, encoded_columns
from firesteel.report.evidence import examine
from firesteel.report.page import render
from firesteel.report.verdict import verdict
from firesteel.tables.containers import columns_of
from firesteel.tables.profile import schema_of
from firesteel.tables.schema import DAY, ColumnValues
from tests.report import runs

HOSTILE = "<script>a.b</script>"
DAYS = [datetime.date(2020, 1, 1) + datetime.timedelta(days=n) for n in range(400)]


def table(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    size, town = rng.normal(100, 20, rows), rng.integers(0, 30, rows)
    return {
        HOSTILE: [None if n % 5 == 0 else float(value) for n, value in enumerate(size)],
        "kind": [("a", "b", "c", None)[n % 4] for n in range(rows)],
        "yes": [("no", "yes")[n % 2] for n in range(rows)],
        "town": [f"town {n}" for n in town],
        "rooms": [n % 4 for n in range(rows)],
        "day": [DAYS[n] for n in rng.integers(0, 400, rows)],
        "v[0]": list(rng.normal(size=rows).round(1) + 0.0),
        "v[1]": list(rng.normal(size=rows)),
        "one": [1.0] * rows,
    }, np.array([float(s > 100 or t > 20) for s, t in zip(size, town, strict=True)])


@pytest.fixture(scope="module")
def schema():
    return schema_of(*columns_of(table()[0]))


@pytest.fixture(scope="module")
def rows(schema):
    return schema.encode(*columns_of(table()[0]))


@pytest.fixture(scope="module")
def model():
    made = Sequential([Table(), Dense(16, "silu"), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    made.fit(*table(), epochs=10, verbose=0)
    return made


def test_a_row_is_read_back_as_it_was(schema, rows):
    given, columns = table()[0], encoded_columns(schema)
    assert set(columns) == {*given, "v"} - {"one", "v[0]", "v[1]"} and len(columns["v"]) == 2
    for at in range(0, 400, 7):
        for name, (part, *_) in columns.items():
            value, found = given["v[0]" if name == "v" else name][at], part.value(rows[at])
            assert found == (
                "missing" if value is None else f"{value:.4g}" if isinstance(value, int | float) else str(value)
            )


def test_what_each_column_was(schema, rows):
    new = table()[0] | {"town": ["a new town"] * 400, "kind": ["d"] * 400, "yes": ["perhaps"] * 400}
    found = {one["column"]: one for one in described(schema, rows, schema.encode(*columns_of(new)))}
    assert found["one"] == {"column": "one", "left_out": "one value in all rows"}
    assert [found[name]["kind"] for name in (HOSTILE, "town", "day", "v")] == [
        "number",
        "words",
        "date",
        "2 elements",
    ]
    assert found[HOSTILE]["missing"] == pytest.approx(0.2) and found["kind"]["missing"] == 0
    assert [found[name]["unseen"] for name in ("town", "kind", "yes")] == [1, 1, 1]
    assert [found[name]["levels"] for name in ("town", "kind", "yes", HOSTILE)] == [30, 3, 2, None] and found[
        "rooms"
    ]["levels"] == 4
    assert found["town"]["new"] == 1 and found["town"]["rare"] == 0
    alike = {one["column"]: one for one in described(schema, rows, rows[:200])}
    assert alike["town"]["new"] == alike["town"]["unseen"] == 0 and "new" not in described(schema, rows, None)[0]


def test_days_that_training_did_not_have_are_new():
    rng = np.random.default_rng(0)
    days = np.repeat(np.arange(18_000, 18_040), 50)
    times = {"t": ColumnValues("timestamp", days * DAY + rng.integers(0, DAY, 2000))}
    schema = schema_of(times, 2000, y=rng.normal(size=40)[days - 18_000] + rng.normal(size=2000))
    training = schema.encode(times, 2000)
    later = schema.encode({"t": ColumnValues("timestamp", times["t"].data + 30 * DAY)}, 2000)
    (found,) = described(schema, training, later)
    assert (found["kind"], found["levels"], found["rare"]) == ("time", 40, 0) and found["new"] == 0.75
    (column,) = encoded_columns(schema)["t"]
    assert column.value(training[0]) == "2019-04-14"


def test_effects_are_means_over_rows_that_have_one_value(schema, rows, model):
    found = model.importances(*table())
    seen = []

    def mean(x, w):
        seen.append(x)
        return float(model.predict(x)[:, 1] @ w / w.sum())

    shown = {one["column"]: one["points"] for one in effects(schema, rows, np.ones(400), found, mean)}
    assert {HOSTILE, "town"} <= set(shown) and "v" not in shown
    predictions = [point["prediction"] for point in shown[HOSTILE]]
    assert len(predictions) == 10 and predictions[-1] > predictions[0] + 0.2
    assert len(shown["town"]) == 10 and shown["town"][0]["rows"] >= shown["town"][-1]["rows"] > 0
    assert all((x == x[:1]).all(axis=0).any() for x in seen)


def test_a_run_of_a_table_has_a_page_of_its_columns(model, tmp_path):
    again = Sequential([Table(), Dense(16, "silu"), Dense(2, "softmax")])
    again.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    folder = RunFolder(tmp_path / "run", class_names=["<no>", "<yes>"])
    again.fit(*table(), epochs=10, validation_split=0.25, verbose=0, callbacks=[folder])
    page = render(tmp_path / "run")
    assert "<script>" not in page and "&lt;script&gt;a.b" in page and "&lt;yes&gt;" in page
    for part in ("Columns", "Effects of values", "left out: one value in all rows", "±"):
        assert part in page


def leaking(**more):
    """What is found of a table in which one column says it all."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    x = {"answer": y * 2.0 - 1, "noise": rng.normal(size=600), "town": [f"t{n}" for n in rng.integers(0, 20, 600)]}
    made = Sequential([Table(), Dense(8, "silu"), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    made.fit(x, y, epochs=30, verbose=0)
    training = made.schema.encode(*columns_of(x))
    other = made.schema.encode(*columns_of(x | more))
    evidence = examine(made, runs.rows("validation", other, y), runs.rows("training", training, y))
    return verdict({"status": "finished", "task": "classification", "epochs": 1, "evidence": evidence})[2]


def test_a_column_that_determines_everything_is_a_warning():
    assert "“answer” alone determines nearly everything" in leaking() and "drift" not in leaking()


def test_words_that_training_did_not_have_are_drift():
    new = [f"t{n % 20}" if n % 3 else "somewhere else" for n in range(600)]
    assert "drift: 33.3\u00a0% of these rows have a value of “town”" in leaking(town=new)
