"""Which column a name means: a plain one or a field of a struct, by backticks and case, whatever its part is."""

import pytest
from pyspark.sql import functions as F

from firesteel.errors import ConfigError, DataError
from firesteel.spark import NeuralNetworkRegressor, pack
from firesteel.spark.columns import NamedColumns
from tests.spark.conftest import NAMED, fit, make_rows, network

MEANT = {
    "a.b": "`a`.`b`",
    "A.B": "`a`.`b`",
    "`a`.b": "`a`.`b`",
    "a.in.`c.d`": "`a`.`in`.`c.d`",
    "p.q": "`p.q`",
    "`p.q`": "`p.q`",
    "t`k": "`t``k`",
    "`t``k`": "`t``k`",
    "w.`p.q`": "`w.``p.q```",
}
NOTHING = ["a.c.d", "a.in.c.d", "a.b.c", "a.", ".a", "a..b", "", "m.k", "s.x", "v.values", "`a.b`", "`a", "z"]


@pytest.fixture(scope="module")
def table(spark):
    named = "named_struct('b', 1D, 'in', named_struct('c.d', 2D)) a, 3D `p.q`, 4D `t``k`, 5D `w.``p.q```"
    return spark.sql(f"select {named}, map('k', 1D) m, array(named_struct('x', 1D)) s, array(1D) v")


@pytest.mark.parametrize("name", MEANT)
def test_a_name_means_a_column_or_a_field(table, name):
    ((where, found),) = NamedColumns(table).matching(name)
    assert where == MEANT[name]
    assert table.select(NamedColumns(table).numbers([name], "features")).head()[0][0] >= 1.0


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_neither_is_refused_by_name(table, name):
    with pytest.raises(DataError, match="there is no column .* for featuresCol"):
        NamedColumns(table).column(name, "featuresCol")


def test_case_is_the_sessions(spark, table):
    spark.conf.set("spark.sql.caseSensitive", "TRUE")
    try:
        assert not NamedColumns(table).matching("A.b") and not NamedColumns(table).matching("a.B")
        both = spark.sql("select named_struct('x', 1D, 'X', 2D) a")
        assert [where for where, _ in NamedColumns(both).matching("a.X")] == ["`a`.`X`"]
    finally:
        spark.conf.unset("spark.sql.caseSensitive")
    with pytest.raises(DataError, match=r"2 columns are called 'a\.X': rename them, so that"):
        NamedColumns(both).column("a.X", "featuresCol")


def test_a_name_that_means_a_column_and_a_field_is_refused_and_backticks_tell_them_apart(spark):
    frame = spark.sql("select named_struct('b', 1D) a, 2D `a.b`, id % 2D label from range(20)")
    stage = NeuralNetworkRegressor(hiddenLayers=[], maxIter=1, **NAMED)
    with pytest.raises(
        DataError, match=r"2 columns are called 'a\.b': write `a\.b` or `a`\.`b`, so that featuresCol"
    ):
        stage.setFeaturesCol(["a.b"]).fit(frame)
    for name, value in {"`a.b`": 2.0, "a.`b`": 1.0}.items():
        assert frame.select(NamedColumns(frame).numbers([name], "features")).head()[0] == [value]
        assert stage.setFeaturesCol([name]).fit(frame).transform(frame).count() == 20


def test_arrays_of_every_front_take_fields(spark):
    rows = make_rows(200)
    frame = rows.frame(spark)
    inner = frame.select(F.struct(*frame.columns).alias("row"))
    expected = fit(frame, weight="weight")
    columns = {"features": "row.features", "label": "row.label"}
    assert fit(inner, weight="row.weight", **columns) == expected
    with pack(inner, weight="row.weight", **columns) as packed:
        assert fit(packed) == expected
    model = network()
    model.fit(rows.x, rows.y, epochs=1, verbose=0)
    assert model.evaluate(inner, verbose=0, **columns) == model.evaluate(frame, verbose=0)
    assert model.predict(inner, features="row.features").count() == 200


def test_names_of_features_are_compared_as_the_session_compares_them(spark):
    frame = spark.sql("select id * 1D Age, id % 3D label from range(20)")
    model = NeuralNetworkRegressor(featuresCol=["Age"], hiddenLayers=[], maxIter=1, **NAMED).fit(frame)
    model.setFeaturesCol(["AGE"])
    assert model.transform(frame).count() == 20


@pytest.mark.parametrize("outputs", [{"predictionCol": "Features"}, {"predictionCol": "LABEL"}])
def test_an_output_that_is_an_input_but_for_case_is_refused(spark, rows, outputs):
    frame = rows.frame(spark)
    with pytest.raises((DataError, ConfigError), match="already|differ"):
        NeuralNetworkRegressor(maxIter=1, **outputs).fit(frame)


def test_a_long_list_of_columns_takes_a_fixed_number_of_calls_to_the_jvm(spark, monkeypatch):
    from py4j.clientserver import ClientServerConnection

    calls, original = [], ClientServerConnection.send_command

    def counted(self, command):
        if not command.startswith("m\n"):  # of the garbage collector, which comes whenever it likes
            calls.append(command)
        return original(self, command)

    monkeypatch.setattr(ClientServerConnection, "send_command", counted)

    def cost(width):
        names = [f"c{number}" for number in range(width)]
        frame = spark.range(20).selectExpr("id % 2D label", *(f"id {name}" for name in names))
        assert len(frame.schema) == width + 1
        stage = NeuralNetworkRegressor(featuresCol=names, hiddenLayers=[], maxIter=1, **NAMED)
        before = len(calls)
        model = stage.fit(frame)
        fitted = len(calls)
        model.transform(frame)
        return fitted - before, len(calls) - fitted

    narrow, wide = cost(3), cost(300)
    assert wide[0] < narrow[0] + 150 and wide[1] < narrow[1] + 50, (narrow, wide)
