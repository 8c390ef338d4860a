"""What the columns of a DataFrame are worth to a fitted stage."""

import json

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from firesteel.errors import ConfigError, DataError
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkClassifierModel, NeuralNetworkRegressor

KINDS = "noise double, town string, `a.b` double, one double, v array<double>, wt double, y string"
FEW = {"hiddenLayers": [8], "shards": 1, "maxIter": 6, "batchSize": 16, "learningRate": 0.02}


def table(rows=300):
    rng = np.random.default_rng(0)
    a, town, noise = rng.normal(size=rows), rng.integers(0, 12, rows), rng.random(rows)
    y = np.where(a + 0.3 * (town > 6) > 0, "yes", "no")
    return [
        (
            None if n % 7 == 0 else noise[n].item(),
            f"t{town[n]}",
            a[n].item(),
            1.0,
            [-a[n].item(), float(n % 5)],
            1.0,
            str(y[n]),
        )
        for n in range(rows)
    ]


@pytest.fixture(scope="module")
def frame(spark):
    return spark.createDataFrame(table(), KINDS).persist()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def model(frame, runs):
    return NeuralNetworkClassifier(labelCol="y", weightCol="wt", members=1, runDir=str(runs), **FEW).fit(frame)


def columns_of_arrays():
    noise, town, a, one, v, _, y = zip(*table(), strict=True)
    first, second = zip(*v, strict=True)
    x = {"noise": noise, "town": town, "a.b": a, "one": one, "v[0]": first, "v[1]": second}
    return {name: list(values) for name, values in x.items()}, [int(one == "yes") for one in y]


def test_feature_importances_are_shares_in_the_order_of_the_input_columns(model):
    shares = model.featureImportances.toArray()
    assert model.getInputCols() == ["noise", "town", "a.b", "one", "v"] and len(shares) == 5
    assert shares.sum() == pytest.approx(1) and shares[3] == 0 and shares[[2, 4]].sum() > 0.5
    assert model.importances() is model.importances() and model.importances().sampled == model.summary.heldOut


def test_rows_on_any_partitions_and_in_arrays_have_the_same_bits(frame, model, monkeypatch):
    found = model.importances(frame)
    assert found.sampled == 300 and [row["column"] for row in found.rows] == ["noise", "town", "a.b", "v"]
    assert model.network.importances(*columns_of_arrays()) == found
    monkeypatch.setattr("firesteel.spark.model.MOST_ROWS", 100)
    some = model.importances(frame)
    monkeypatch.setattr("firesteel.spark.tables.WIDE", 1)  # many columns: rows are brought together
    assert some.sampled == 100 and model.importances(frame.repartition(7)) == some
    monkeypatch.setattr("firesteel.spark.model.MOST_ROWS", model.summary.heldOut)
    assert model.importances(frame) == model.importances(), "the smallest keys are those that were held out"


@pytest.mark.slow
def test_rows_that_are_held_out_are_kept_whatever_the_partitions(frame, model):
    again = NeuralNetworkClassifier(labelCol="y", weightCol="wt", members=1, **FEW).fit(frame.repartition(3))
    assert again.importances() == model.importances()


def test_a_loaded_model_names_what_to_call(frame, model, tmp_path):
    model.save(str(tmp_path / "m"))
    back = NeuralNetworkClassifierModel.load(str(tmp_path / "m"))
    with pytest.raises(ConfigError, match=r"model\.importances\(df\)"):
        _ = back.featureImportances
    assert back.importances(frame) == model.importances(frame)


def test_the_report_is_of_columns_and_has_the_same_importances(model, runs):
    evidence = json.loads((runs / "001" / "metrics.json").read_text())["evidence"]
    columns = {one["column"]: one for one in evidence["table"]}
    assert list(columns) == ["noise", "town", "a.b", "v", "one"] and "left_out" in columns["one"]
    shown = {one["name"]: one["drop"] for one in evidence["importance"]["inputs"]}
    assert shown == {row["column"]: row["importance"] for row in model.importances().rows}
    assert "Effects of values" in (runs / "001" / "report.html").read_text()


CASES = {
    "label": (lambda rows: rows.drop("y"), "there is no column 'y' for labelCol"),
    "column": (lambda rows: rows.drop("town"), "there is no column 'town'"),
    "rows": (lambda rows: rows.where("1 = 0"), "no row of the DataFrame"),
    "known": (lambda rows: rows.withColumn("y", F.lit("perhaps")), "no row of the DataFrame"),
    "classes": (lambda rows: rows.withColumn("y", F.lit(7)), "a class outside the range"),
    "weights": (lambda rows: rows.withColumn("wt", F.lit(0.0)), "column 'wt' is 0 in every row used"),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_that_cannot_be_scored_are_refused(frame, model, case):
    change, said = CASES[case]
    with pytest.raises(DataError, match=said):
        model.importances(change(frame))


def test_vectors_have_features_for_columns(frame, tmp_path):
    rows = frame.select(
        array_to_vector(F.array("`a.b`", "one", F.col("v")[1])).alias("features"), F.col("`a.b`").alias("label")
    )
    stage = NeuralNetworkRegressor(hiddenLayers=[8], maxIter=3, shards=1, validationFraction=0.3)
    made = stage.setRunDir(str(tmp_path)).fit(rows)
    output = json.loads((tmp_path / "001" / "metrics.json").read_text())["evidence"]["outputs"][0]
    assert output["name"] == "label"
    assert made.featureImportances.toArray().argmax() == 0 and made.featureImportances.size == 3
    named = made.importances(rows)
    assert [row["column"] for row in named.rows] == ["0", "1", "2"] and named.rows[1]["importance"] == 0
    with pytest.raises(DataError, match="has 5 values in a row, but the network takes 3"):
        made.importances(rows.withColumn("features", F.array(*[F.col("label")] * 5)))


def test_members_are_asked_about_the_rows_that_they_were_trained_without(frame, tmp_path):
    stage = NeuralNetworkClassifier(labelCol="y", inputCols=["town", "a.b"], members=2, **FEW | {"maxIter": 2})
    made = stage.setRunDir(str(tmp_path)).fit(frame)
    assert made.importances().sampled == 300 and made.featureImportances.size == 2
    assert made.importances() != made.importances(frame)
    assert [path.name for path in tmp_path.iterdir()] == ["001"], "one model has one page"
    metrics = json.loads((tmp_path / "001" / "metrics.json").read_text())
    shown = {one["name"]: one["drop"] for one in metrics["evidence"]["importance"]["inputs"]}
    assert shown == {row["column"]: row["importance"] for row in made.importances().rows}
    assert metrics["evidence"]["score"] == pytest.approx(made.summary.comparison.network, abs=0.01)
    assert metrics["fingerprint"] == made.network.fingerprint() and len(metrics["members"]) == 2
    assert "members = 2" in (tmp_path / "001" / "config.toml").read_text()
