"""Models of several inputs and outputs on frames: which columns are which, what is refused, and the same bits."""

import numpy as np
import pytest
from pyspark.errors import PySparkException
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from firesteel.errors import ConfigError, DataError
from firesteel.spark import pack
from tests.support import graphs

SETTINGS = {"epochs": 2, "batch_size": 16, "shards": 3, "seed": 1, "verbose": 0}


@pytest.fixture(scope="module")
def frame(spark):
    return graphs.framed(spark).persist()


@pytest.fixture(scope="module")
def here():
    """The model that is trained in process."""
    model = graphs.called("kind_and_size")
    model.fit(*graphs.parted(model), **SETTINGS)
    return model


FORMS = {
    "an array and a list of columns": (lambda frame: frame, graphs.COLUMNS),
    "lists in the order of inputs and outputs": (
        lambda frame: frame,
        {"features": ["a", graphs.COLUMNS["features"]["b"]], "label": ["kind", "size"]},
    ),
    "vectors": (
        lambda frame: frame.withColumn("a", array_to_vector("a")).withColumn("size", F.array("size")),
        graphs.COLUMNS,
    ),
    "columns of the names themselves": (
        lambda frame: frame.withColumn("b", F.array(*[f"b{number}" for number in range(5)])),
        {},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_columns_are_the_inputs_and_outputs_that_they_are_named_for(frame, here, form):
    made, columns = FORMS[form]
    model, rows = graphs.called("kind_and_size"), made(frame)
    history = model.fit(rows, validation_data=rows, **columns, **SETTINGS)
    assert model.fingerprint() == here.fingerprint()
    assert {"kind_loss", "val_kind_accuracy", "val_size_loss"} < history.rows[-1].keys()
    scores = model.evaluate(rows, **columns, verbose=0, return_dict=True)
    assert scores == pytest.approx(here.evaluate(*graphs.parted(here), verbose=0, return_dict=True), rel=1e-12)


def test_predict_adds_a_column_for_each_output_by_its_name(frame, here):
    features = graphs.COLUMNS["features"]
    scored = here.predict(frame.drop("kind", "size"), features=features)
    assert scored.columns[-2:] == ["kind", "size"]
    expected = here.predict(graphs.parted(here)[0])
    found = scored.toPandas()
    for name in ("kind", "size"):
        np.testing.assert_allclose(found[name].tolist(), expected[name], atol=1e-6)


def test_a_single_output_is_called_prediction_whatever_the_inputs(frame):
    model = graphs.called("twice")
    found = model.predict(frame, features=graphs.COLUMNS["features"]).toPandas()["prediction"]
    expected = model.predict(graphs.parted(model)[0])
    np.testing.assert_allclose(found.tolist(), expected, atol=1e-6)


def test_rows_are_packed_once_for_many_models(frame, here, tmp_path):
    for path in (None, str(tmp_path / "packed")):
        with pack(frame, **graphs.COLUMNS, path=path) as rows:
            model = graphs.called("kind_and_size")
            model.fit(rows, **SETTINGS)
            assert model.fingerprint() == here.fingerprint()


def test_packed_rows_of_other_inputs_are_refused(frame):
    features = dict(reversed(graphs.COLUMNS["features"].items()))
    with pack(frame, features, graphs.COLUMNS["label"]) as rows:
        with pytest.raises(ConfigError, match=r"with features \('b', 'a'\), of \(5, 3\) numbers, but the model has"):
            graphs.called("kind_and_size").fit(rows, **SETTINGS)


def given(**changed):
    return {part: graphs.COLUMNS[part] | changed.get(part, {}) for part in graphs.COLUMNS}


REFUSED = {
    "no column of an input": (
        given() | {"features": {"a": "a"}},
        ConfigError,
        "inputs are named a, b, but the keys are a: give a column for each name",
    ),
    "one column for two inputs": (
        given() | {"features": "a"},
        ConfigError,
        "the model has 2 inputs, a, b, and was given a str: give a list of columns in this order, or a dictionary",
    ),
    "no column's name": (given(features={"b": 3}), ConfigError, "the columns of 'b' are 3: give a column name"),
    "a column that is missing": (given(features={"a": "A1"}), DataError, "there is no column 'A1' for input 'a': "),
    "a label that is missing": (given(label={"size": "x"}), DataError, "there is no column 'x' for output 'size': "),
    "columns that are too few": (
        given(features={"b": ["b0", "b1"]}),
        DataError,
        "columns b0, b1 for input 'b' has 2 values in a row, but 5 are needed",
    ),
    "a number for an input of five": (
        given(features={"b": "b0"}),
        DataError,
        "column 'b0' for input 'b' has 1 values in a row, but 5 are needed",
    ),
    "arrays of another length": (
        given(features={"b": "a"}),
        DataError,
        "column 'a' for input 'b' has 3 values in a row, but 5 are needed",
    ),
    "text": (given(features={"b": ["b0", "b1", "b2", "b3", "text"]}), DataError, "column 'text' holds text, such as"),
    "bytes": (
        given(features={"a": "bytes"}),
        DataError,
        "column 'bytes' for input 'a' is binary: each of several",
    ),
    "a class too many": (
        given(label={"kind": "four"}),
        DataError,
        r"the target of output 'kind' holds a class outside the range: 3 at the row with b0=.*; \d+ of 400 rows have",
    ),
    "no class": (
        given(label={"kind": "b1"}),
        DataError,
        "the target of output 'kind' holds a number that is not a class: .* at the row with b0=",
    ),
    "a null inside": (
        given(features={"a": "gap"}),
        DataError,
        "columns gap, b0, b1, b2, b3, b4.* holds a null",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_columns_that_do_not_fit_are_refused_by_the_input_or_output(frame, what):
    columns, kind, text = REFUSED[what]
    rows = frame.withColumns(
        {
            "text": F.lit("t"),
            "bytes": F.lit(b"abc"),
            "four": F.col("kind") + 1,
            "gap": F.array(F.lit(1.0), F.lit(None).cast("double"), F.lit(2.0)),
        }
    )
    model = graphs.called("kind_and_size")
    with pytest.raises(kind, match=text):
        model.fit(rows, **columns, **SETTINGS)


def test_arrays_of_another_length_are_refused_where_rows_are_scored(frame, here):
    scored = here.predict(frame.drop("kind", "size"), features={"a": "a", "b": "a"})
    with pytest.raises(PySparkException, match="column 'a' for input 'b' has 3 values in a row, but 5 are needed"):
        scored.collect()


def test_a_column_that_is_called_as_an_output_is_refused(frame, here):
    with pytest.raises(DataError, match="the DataFrame has a column 'kind' already: drop or rename it"):
        here.predict(frame, features=graphs.COLUMNS["features"])


def test_packed_rows_of_classes_that_an_output_has_not_are_refused(frame):
    with pack(frame.withColumn("kind", F.col("kind") + 1), **graphs.COLUMNS) as rows:
        with pytest.raises(DataError, match="a target of output 'kind' is 3, but its 3 classes are integers"):
            graphs.called("kind_and_size").fit(rows, **SETTINGS)


def test_targets_of_several_outputs_are_validated_in_process_too():
    model = graphs.called("kind_and_size")
    x, y = graphs.parted(model)
    before = model.fingerprint()
    with pytest.raises(DataError, match=r"output 'kind' holds a class outside the range: 3 at row \d+; \d+ of 400"):
        model.fit(x, y | {"kind": y["kind"] + 1}, **SETTINGS)
    assert model.fingerprint() == before
