"""Raw columns on Spark: text, numbers, booleans, dates and times with nulls, and labels that are words."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyspark
import pytest
from pyspark.errors import PySparkException, PythonException
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from firesteel.errors import ConfigError, DataError
from firesteel.layers import Dense
from firesteel.search.members import members_of
from firesteel.spark import (
    NeuralNetworkClassifier,
    NeuralNetworkClassifierModel,
    NeuralNetworkRegressor,
    load_pack,
    pack,
    tables,
)
from firesteel.spark.columns import Columns, NamedColumns
from firesteel.spark.frames import Frame
from firesteel.spark.raw import RawColumns
from firesteel.spark.storage import _about
from firesteel.spark.tables import chosen, taken
from firesteel.spark.worker import Outputs
from firesteel.tables import profile
from firesteel.tables.containers import columns_of
from firesteel.tables.profile import Profile, learn
from firesteel.tables.schema import ColumnValues

KINDS = (
    "carrier string, flag boolean, small tinyint, count bigint, price decimal(10,2), day date, at timestamp, "
    "wall timestamp_ntz, temp double, `a.b` float, late string"
)
NAMES = ["carrier", "flag", "small", "count", "price", "day", "at", "wall", "temp", "a.b"]
BEGIN = datetime.datetime(2020, 1, 1)
SHORT = {"hiddenLayers": [4], "maxIter": 2, "shards": 1, "members": 1}


def table(rows=240):
    """Rows of every type, with nulls in each column but the label."""
    made = []
    for n in range(rows):
        carrier = ("UA", "DL", "AAé", "\N{AIRPLANE}", "WN")[n % 5]
        at = BEGIN + datetime.timedelta(hours=7 * n, microseconds=n)
        values = [carrier, n % 3 == 0, n % 4, 10**12 + n % 50, Decimal(n) / 4, at.date(), at, at, n / 7, n / 2]
        values = [None if (n + place) % 11 == 0 else value for place, value in enumerate(values)]
        made.append((*values, "late" if n % 5 < 2 else "on time"))
    return made


@pytest.fixture(scope="module")
def frame(spark):
    return spark.createDataFrame(table(), KINDS).persist()


@pytest.fixture(scope="module")
def fitted(frame):
    return NeuralNetworkClassifier(labelCol="late", **SHORT).fit(frame)


def arrays():
    """The same rows as columns of Python's values; a time on Spark has a zone."""
    columns = dict(zip(NAMES, zip(*table(), strict=True), strict=False))
    columns["at"] = [at and at.replace(tzinfo=datetime.UTC) for at in columns["at"]]
    columns["a.b"] = np.array(columns["a.b"], float)
    return columns_of({name: np.array(values, object) for name, values in columns.items()})


def learned(frame, partitions):
    columns = Columns(tuple(NAMES), "late", stage=True, classes=True, raw=True, zone="UTC")
    source = Frame(frame.repartition(partitions), columns, "float32")
    source.profile()
    return source


def test_every_column_but_the_label_is_taken_and_scored(frame, fitted):
    assert fitted.getInputCols() == NAMES and fitted.labels == ["late", "on time"]
    scored = fitted.transform(frame).select("late", "label_index", "prediction", "predictedLabel").toPandas()
    assert (scored["label_index"] == (scored["late"] == "on time")).all()
    assert (scored["predictedLabel"] == np.array(fitted.labels)[scored["prediction"].astype(int)]).all()


@pytest.mark.parametrize("partitions", [1, 7, pytest.param(200, marks=pytest.mark.slow)])
def test_the_schema_is_that_of_arrays_on_any_partitions(frame, partitions):
    columns, count = arrays()
    assert learned(frame, partitions).schema == learn(Profile.of(columns, count))


def test_raw_rows_have_the_bits_of_the_vectors_that_they_become(spark, frame):
    same = {"solver": "adamw", "learningRate": 0.01, "batchSize": 32, "maxIter": 2, "shards": 2}
    same |= {"labelCol": "late", "validationFraction": 0.2, "earlyStoppingRounds": 5, "seed": 3}
    fitted = NeuralNetworkClassifier(hiddenLayers=[4], **same).fit(frame.repartition(5))
    schema = fitted.network.schema
    x, labels = schema.encode(*arrays()).tolist(), [row[-1] for row in table()]
    vectors = spark.createDataFrame(list(zip(x, labels, strict=True)), "features array<float>, late string")
    again = NeuralNetworkClassifier(layers=list(fitted.network.layers), standardization=False, **same)
    model = again.fit(vectors.repartition(3))
    assert model.labels == fitted.labels
    assert (model.network.theta == fitted.network.theta).all()


def test_a_table_is_scored_in_any_order_with_more_columns_nulls_and_words_that_are_new(frame, fitted):
    backwards = [F.col(f"`{name}`") for name in reversed(frame.columns)]
    odd = frame.select(F.lit(1).alias("more"), *backwards)
    odd = odd.withColumn("carrier", F.lit("new")).withColumn("temp", F.lit(None)).withColumn("day", F.lit(None))
    wide = odd.withColumn("small", F.col("small").cast("bigint")).drop("late")
    wanted = [row.prediction for row in fitted.transform(frame).select("prediction").collect()]
    turned = fitted.transform(frame.select(*backwards)).select("prediction")
    assert [row.prediction for row in turned.collect()] == wanted
    scored = fitted.transform(wide)
    assert "label_index" not in scored.columns
    assert scored.where("prediction is null or probability is null").count() == 0


REFUSED = {
    "a column that is gone": (lambda rows: rows.drop("temp", "day"), "there is no column 'day'", "nor 1 more"),
    "text for numbers": (lambda rows: rows.withColumn("temp", F.lit("warm")), "column 'temp' is string", "cast it"),
    "a number for text": (
        lambda rows: rows.withColumn("carrier", F.lit(1)),
        "column 'carrier' is int",
        "text or category values",
    ),
    "a moment for a date": (lambda rows: rows.withColumn("day", F.col("at")), "column 'day' is timestamp", "date"),
}


def test_a_stage_from_a_network_reads_the_columns_of_its_table(frame, fitted):
    again = NeuralNetworkClassifierModel.fromNetwork(fitted.network)
    assert (again.getInputCols(), again.labels) == (NAMES, None)
    scored = [model.transform(frame).select("prediction", "probability").collect() for model in (again, fitted)]
    assert scored[0] == scored[1]


@pytest.mark.parametrize("case", REFUSED)
def test_columns_that_are_gone_or_of_another_type_are_refused_before_any_job(frame, fitted, case):
    change, *said = REFUSED[case]
    with pytest.raises(DataError) as refused:
        fitted.transform(change(frame))
    assert all(part in str(refused.value) for part in said) and "To do: " in str(refused.value)


LAST, DAYS = 2**63 - 1, "date_from_unix_date"
HOSTILE = {
    "decimal": f"cast('{'9' * 38}' as decimal(38,0)), cast('-{'9' * 38}' as decimal(38,0)), null",
    "fraction": f"cast('0.{'9' * 38}' as decimal(38,38)), cast('-0.{'0' * 37}1' as decimal(38,38)), null",
    "moment": f"timestamp_micros({LAST}), timestamp_micros(-{LAST} - 1), timestamp'0001-01-01 00:00:00', null",
    "year": "timestamp'-0044-03-15 12:00:00', timestamp'9999-12-31 23:59:59.999999', timestamp'1970-01-01 00:00:00'",
    "clock": f"cast(timestamp_micros({LAST}) as timestamp_ntz), cast(timestamp_micros(-{LAST}) as timestamp_ntz), "
    "timestamp_ntz'1883-11-18 12:00:00', null",
    "date": f"{DAYS}({2**31 - 1}), {DAYS}({-(2**31)}), date'0001-01-01', null",
    "word": "'', 'a\\u0000b', '🚀', '\u202e', repeat('x', 5000), null",
    "no UTF-8": "cast(X'80' as string), cast(X'EDA080' as string), 'ok', null",
    **({} if pyspark.__version__ < "4" else {"collated": "'a' collate UTF8_LCASE, 'A' collate UTF8_LCASE, 'b'"}),
    "infinite": "double('inf'), double('-inf'), double('nan'), 1.0D, null",
    "void": "null",
    "list": "array(1.0D, null), array(null, double('nan')), array(2.0D, 3.0D), null",
    "no list": "cast(null as array<double>)",
    "empty": "cast(array() as array<int>)",
    "binary": "X'00', X'01FF', null",
    "map": "map('a', 1), map()",
    "struct": "named_struct('a', 1), null",
    "interval": "interval '1' day, interval '2' hour, null",
    "words": "array('a'), array('b')",
}
"""Values in Spark's SQL, which rows have in turn."""


def test_hostile_columns_are_read_or_left_out_and_said(spark):
    rows = spark.range(60).selectExpr("id % 3 = 0 as late", "id * 1.5D as `a``b`", *HOSTILE_SQL).coalesce(2)
    model = NeuralNetworkClassifier(labelCol="late", **SHORT).fit(rows)
    assert dict(model.network.schema.left_out) == dict.fromkeys(
        ["void", "no list[0]", "empty[0]"], "every value is missing"
    )
    read = [name for name in HOSTILE if name not in ("void", "no list", "empty", *list(HOSTILE)[-5:])]
    found = ["a`b", *(one for name in read for one in (["list[0]", "list[1]"] if name == "list" else [name]))]
    assert model.network.schema.names == found
    scored = model.transform(rows).select("probability").toPandas()["probability"]
    assert np.isfinite(np.stack(scored)).all()


HOSTILE_SQL = [
    f"element_at(array({values}), cast(id % size(array({values})) as int) + 1) as `{name}`"
    for name, values in HOSTILE.items()
]


@pytest.mark.parametrize("name", ["list", "it's"])
def test_arrays_of_another_length_than_in_training_are_refused(lists, name):
    rows, model = lists
    longer = F.expr("array(1.0D, 2.0D, 3.0D)")
    odd = rows.withColumn(name, longer if name == "list" else array_to_vector(longer))
    with pytest.raises(PySparkException, match=f"column .{name}.* trained on 2 values there.  To do: "):
        model.transform(odd).select("prediction").collect()


def test_an_element_of_what_is_no_array_any_more_is_refused_or_missing(lists):
    rows, model = lists
    with pytest.raises(DataError, match="column 'list' is double, and .*To do: "):
        model.transform(rows.withColumn("list", F.lit(1.0)))
    nothing = model.transform(
        rows.withColumn("list", F.lit(None)).withColumn("it's", F.when(F.rand() > 2, F.col("it's")))
    )
    assert nothing.where("prediction is null").count() == 0


@pytest.fixture(scope="module")
def lists(frame):
    rows = frame.select("late", F.array("temp", F.lit(None).cast("double")).alias("list"))
    rows = rows.withColumn("it's", array_to_vector(F.array(F.lit(1.0), F.rand(1))))
    return rows, NeuralNetworkClassifier(labelCol="late", **SHORT).fit(rows)


STRANGE = {
    "a word that is new": ("new", 1, 1.0, "column 'carrier' holds 'new'"),
    "a word that was too seldom": ("once", 1, 1.0, ""),
    "a null among words that had none": (None, 1, 1.0, "column 'carrier' holds a null"),
    "a number that is a word": ("UA", 9, 1.0, "column 'zip' holds '9'"),
    "a null where some were null": ("UA", None, 1.0, ""),
    "numbers are never invalid": ("UA", 1, None, ""),
    "nor is NaN": ("UA", 1, float("nan"), ""),
}
"""Rows to score, and what `error` says of them; "" where they are fine."""


@pytest.fixture(scope="module")
def words_and_numbers(spark):
    rows = [("once" if n == 7 else ("UA", "DL")[n % 2], n % 4 or None, float(n % 5), n % 2 > 0) for n in range(60)]
    frame = spark.createDataFrame(rows, "carrier string, zip int, temp double, label boolean").coalesce(1)
    return NeuralNetworkClassifier(columnKinds={"zip": "category"}, **SHORT).fit(frame)


@pytest.mark.parametrize("invalid", [None, "keep", "skip", "error"])
def test_handle_invalid_has_spark_s_meaning_for_words(spark, words_and_numbers, invalid):
    rows = [(case, *values[:3]) for case, values in STRANGE.items()]
    frame = spark.createDataFrame(rows, "case string, carrier string, zip int, temp double").coalesce(1)
    model = words_and_numbers.copy({words_and_numbers.handleInvalid: invalid} if invalid else {})
    fine = [case for case, values in STRANGE.items() if not values[3]]
    if invalid == "error":
        with pytest.raises(
            PythonException, match="'carrier' holds 'new', and .*; 2 of 7 rows in this batch .*To do: "
        ):
            model.transform(frame).collect()
        frame = frame.where(F.col("case").isin(fine))
    found = model.transform(frame).select("case", "prediction").collect()
    assert [row.case for row in found] == (fine if invalid in ("skip", "error") else list(STRANGE))
    assert all(row.prediction is not None for row in found)


@pytest.mark.parametrize("case", STRANGE)
def test_a_word_that_is_new_is_refused_by_its_name(words_and_numbers, case):
    network, (*values, said) = words_and_numbers.network, STRANGE[case]
    raw = RawColumns(tuple(network.schema.names), ("text", "integer", "float"), schema=network.schema)
    outputs = Outputs(network.network, network.theta, "", "error", raw)
    struct = raw.of_pandas([pd.Series([value]) for value in values])
    if not said:
        assert len(outputs(struct)) == 1
        return
    with pytest.raises(DataError, match=rf"{said}, and .*; 1 of 1 rows in this batch .*To do: "):
        outputs(struct)


def test_many_columns_go_to_python_as_one_and_before_spark_4_1_by_pandas(frame, fitted, monkeypatch):
    wanted = fitted.transform(frame).select("count", "probability").collect()
    monkeypatch.setattr(tables, "MOST_ARGUMENTS", 1)
    assert fitted.transform(frame).select("count", "probability").collect() == wanted
    monkeypatch.delattr(F, "arrow_udf", raising=False)
    assert fitted.transform(frame).select("count", "probability").collect() == wanted
    monkeypatch.undo()
    monkeypatch.delattr(F, "arrow_udf", raising=False)
    assert fitted.transform(frame).select("count", "probability").collect() == wanted


@pytest.fixture(scope="module")
def wide(spark):
    """Sixty rows of 300 columns: numbers with nulls, whole numbers, words, dates and a label."""
    kinds = (
        "if((id + {0}) % 7 = 0, null, sin(id * {0} + 1))",
        "id * {0} % 11",
        "concat('k', id * {0} % 5)",
        "date_add(date'2020-01-01', int(id * {0} % 90))",
    )
    columns = [f"{kinds[min(3, n % 100)].format(n)} as c{n}" for n in range(300)]
    return spark.range(0, 60, 1, 4).selectExpr("if(id % 5 < 2, 'a', 'b') as label", *columns).persist()


def test_few_rows_of_very_many_columns_have_their_bits_from_few_tasks(wide, monkeypatch):
    def fitted(partitions):
        sources.clear()
        network = NeuralNetworkClassifier(labelCol="label", **SHORT).fit(wide.repartition(partitions)).network
        return network.fingerprint(), len(sources[0].reports)

    sources, checked = [], Frame._checked
    monkeypatch.setattr(Frame, "_checked", lambda *given: sources.append(given[0]) or checked(*given))
    bits, tasks = fitted(9)
    assert tasks == 9
    monkeypatch.setattr(tables, "WIDE", 300)
    for values, most in ((300 * 20, 3), (300, 9)):
        monkeypatch.setattr(tables, "TASK_VALUES", values)
        assert fitted(9) == (bits, most)


def test_days_begin_where_they_did_in_training_whatever_the_session_says(spark, frame):
    settings = {"labelCol": "late", "inputCols": ["at", "carrier"], **SHORT}
    zone = spark.conf.get("spark.sql.session.timeZone")
    try:
        spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
        model = NeuralNetworkClassifier(**settings).fit(frame)
        there = model.transform(frame).select("probability").collect()
        spark.conf.set("spark.sql.session.timeZone", "+01:00")
        with pytest.raises(ConfigError, match=r"timeZone='\+01:00': Python does not know this time zone"):
            NeuralNetworkClassifier(**settings).fit(frame)
        spark.conf.set("spark.sql.session.timeZone", "America/New_York")
        assert model.transform(frame).select("probability").collect() == there
        again = NeuralNetworkClassifier(timeZone="Asia/Tokyo", **settings).fit(frame)
    finally:
        spark.conf.set("spark.sql.session.timeZone", zone)
    assert again.network.fingerprint() == model.network.fingerprint() and model.getTimeZone() == "Asia/Tokyo"
    assert "Asia/Tokyo" in str(model.network.schema.to_config())


def test_words_too_many_to_keep_are_counted_by_spark(frame, monkeypatch):
    odd = "case count % 20 when 0 then cast(X'80' as string) when 1 then cast(X'81' as string)"
    odd += " when 2 then repeat('x', 300)"
    rows = frame.withColumn("carrier", F.expr(f"concat(carrier, {odd} else cast(count % 20 as string) end)"))
    rows = rows.withColumn("temp", F.expr("case when flag then double('nan') else count % 30 - 1.0D end"))

    def levels():
        columns = Columns(
            ("carrier", "temp"), "late", kinds=(("temp", "category"),), stage=True, classes=True, raw=True
        )
        source = Frame(rows.repartition(3), columns, "float32")
        source.profile()
        return [one.levels for one in source.schema.columns]

    wanted = levels()
    monkeypatch.setattr(profile, "FEWEST_WORDS", 16)
    monkeypatch.setattr(profile, "MOST_VALUES", 100)
    assert levels() == wanted and "-1" in wanted[1] and any("\ufffd" in one for one in wanted[0])


def test_what_tuning_and_other_stages_have_made_is_no_feature(frame):
    more = frame.withColumn("CrossValidator_0123456789ab_rand", F.rand(1)).withColumn("prediction", F.lit(1.0))
    more = more.withColumn("parts", F.struct("temp")).withMetadata("temp", {"ml_attr": {"type": "numeric"}})
    table = NamedColumns(more)
    found, left = taken(table, Columns("features", "late", "small", id="count"), ["price"])
    assert found == ["carrier", "flag", "day", "at", "wall", "a.b"]
    assert {left["temp"], left["prediction"]} == {"made by another stage"}
    assert left["CrossValidator_0123456789ab_rand"] == "the folds" and left["parts"] == "struct<temp:double>"
    assert [left[name] for name in ("late", "small", "count", "price")] == [
        *["the label", "the weight", "the identifier"],
        "ignored",
    ]


def test_the_log_says_which_columns_are_features_and_how_to_leave_one_out(frame, caplog):
    rows = NamedColumns(frame.select("temp", "late", "price", F.lit(1).alias("fold")))
    caplog.set_level("INFO", "firesteel")
    assert chosen(rows, Columns("features", "late"), [], "stage") == ("temp", "price", "fold")
    assert chosen(rows, Columns("features", "late"), ["fold"], "stage") == ("temp", "price")
    more = "ignoreCols leaves more out"
    assert caplog.messages == [
        "stage: 3 columns are features: temp, price, fold; not late (the label); " + more,
        "stage: 2 columns are features: temp, price; not late (the label), fold (ignored); " + more,
    ]


def test_a_boolean_label_has_a_boolean_prediction_and_an_empty_name_switches_columns_off(frame):
    rows = frame.withColumn("flag", F.col("late") == "late").select("flag", "carrier", "temp")
    model = NeuralNetworkClassifier(labelCol="flag", **SHORT).fit(rows)
    scored = model.transform(rows)
    assert model.labels == ["false", "true"] and dict(scored.dtypes)["predictedLabel"] == "boolean"
    assert scored.where("predictedLabel != (prediction = 1) or label_index != int(flag)").count() == 0
    quiet = model.copy({model.predictedLabelCol: "", model.labelIndexCol: ""}).transform(rows)
    assert quiet.columns == [*rows.columns, "rawPrediction", "probability", "prediction"]


def test_a_damaged_description_of_a_label_is_refused():
    assert _about({"firesteel": {"label": "text"}}) == {"label": "text"}
    with pytest.raises(ValueError, match="neither text nor boolean"):
        _about({"firesteel": {"label": ["text"]}})


def test_members_are_averaged_and_come_back(frame, tmp_path):
    stage = NeuralNetworkClassifier(labelCol="late", inputCols=["carrier", "temp", "at"], **{**SHORT, "members": 3})
    model = stage.fit(frame)
    assert [len(one.get_weights()) for one in members_of(model.network)] == [4, 4, 4]
    assert {row["member"] for row in model.history.rows} == {0, 1, 2} and model.summary.comparison.network is not None
    assert "3 members, each validated on its own part of 240 rows" in str(model.summary)
    model.save(str(tmp_path / "members"))
    back = NeuralNetworkClassifierModel.load(str(tmp_path / "members"))
    wanted = model.transform(frame).select("probability").collect()
    assert back.transform(frame).select("probability").collect() == wanted


def test_arrays_and_vectors_are_as_many_columns_as_they_have_elements(frame):
    rows = frame.select("late", F.array("temp", F.col("small").cast("double")).alias("list"), "carrier")
    rows = rows.withColumn(
        "vector", F.when(F.col("carrier").isNotNull(), array_to_vector(F.array(F.lit(1.0), F.rand(1))))
    )
    model = NeuralNetworkClassifier(labelCol="late", **SHORT).fit(rows)
    assert model.getInputCols() == ["list", "carrier", "vector"]
    assert model.network.schema.names == ["list[0]", "list[1]", "carrier", "vector[0]", "vector[1]"]
    flat = rows.select("late", *(F.col("list")[n].alias(f"list[{n}]") for n in (0, 1)), "carrier")
    assert model.transform(rows).where("prediction is null").count() == 0
    plain = NeuralNetworkClassifier(labelCol="late", **SHORT).fit(flat)
    listed = NeuralNetworkClassifier(labelCol="late", inputCols=["list", "carrier"], **SHORT).fit(rows)
    assert plain.network.fingerprint() == listed.network.fingerprint()


def test_weights_of_classes_go_by_their_words(frame):
    rows = frame.select("carrier", F.col("late").alias("label"))
    stage = NeuralNetworkClassifier(classWeights={"late": 9.0}, **SHORT)
    by_number = stage.copy({stage.classWeights: {0: 9.0}})
    assert stage.fit(rows).network.fingerprint() == by_number.fit(rows).network.fingerprint()
    with pytest.raises(ConfigError, match="classWeights: there is no class 'never'"):
        stage.copy({stage.classWeights: {"never": 2.0}}).fit(rows)


def test_a_regressor_takes_raw_columns_and_numbers_that_are_names(frame):
    rows = frame.select("carrier", "small", "at", F.coalesce(F.col("price"), F.lit(1)).cast("double").alias("price"))
    stage = NeuralNetworkRegressor(labelCol="price", columnKinds={"small": "category"}, maxIter=3, shards=1)
    model = stage.fit(rows)
    assert model.network.schema.columns[1].levels == ("0", "1", "2", "3")
    assert model.getHiddenLayers() == [64, 64] and model.getSolver() == "adamw" and model.getBatchSize() == 64
    assert model.getMembers() == len(members_of(model.network)) == 8
    assert all(one.layers[-1].bounds == (0.0, 59.75) for one in members_of(model.network))
    far = rows.withColumn("at", F.col("at") + F.expr("INTERVAL 90 YEARS")).union(rows)
    assert far.count() == model.transform(far).where("prediction between 0 and 59.75").count()


@pytest.mark.parametrize("stored", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_packed_tables_have_the_bits_of_the_rows(frame, tmp_path, stored):
    rows = frame.select("carrier", "temp", "at", "late")
    stage = NeuralNetworkClassifier(labelCol="late", validationFraction=0.25, earlyStoppingRounds=3, **SHORT)
    wanted = stage.fit(rows)
    path = str(tmp_path / "packed")
    with pack(rows, label="late", validation_split=0.25, path=path if stored else None) as packed:
        again = stage.fit(load_pack(path) if stored else packed)
    assert again.network.fingerprint() == wanted.network.fingerprint() and again.labels == wanted.labels


WRONG = {
    "both": ({"inputCols": ["temp"], "featuresCol": "x"}, ConfigError, "inputCols=.*featuresCol is set too"),
    "a kind of no column": (
        {"inputCols": ["temp"], "columnKinds": {"zip": "category"}},
        ConfigError,
        "columnKinds=.*'zip' is not a feature column",
    ),
    "no such column": ({"inputCols": ["tempo"]}, DataError, "no column 'tempo' for inputCols"),
    "too few classes": (
        {"labelCol": "words", "inputCols": ["temp"], "layers": [Dense(2, "softmax")]},
        ConfigError,
        "layers=.*2 classes, .* 8 distinct words",
    ),
    "members and a share": (
        {"members": 2, "validationFraction": 0.1},
        ConfigError,
        "members=2: each member holds out its own rows",
    ),
    "the label": ({"inputCols": ["temp", "late"]}, ConfigError, "inputCols=.*'late' is the label"),
    "a map": ({"inputCols": ["map"]}, DataError, "column 'map' is map<string,int>: inputCols takes text"),
    "an element's name": ({"inputCols": ["pair", "pair[1]"]}, DataError, "'pair.1.' has the name of an element of"),
    "ragged": ({"inputCols": ["parts"]}, DataError, "column 'parts' has between 1 and 2 values per row"),
    "nothing to learn": ({"inputCols": ["same"]}, DataError, "same: one value in all rows"),
    "no column": (
        {"ignoreCols": [*NAMES, "parts", "same", "words", "pair", "pair[1]"]},
        DataError,
        "has no feature column",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_no_table_can_be_is_refused(frame, case):
    params, error, said = WRONG[case]
    parts = F.when(F.col("flag"), F.array("temp")).otherwise(F.array("temp", "temp"))
    rows = frame.withColumn("parts", parts).withColumn("same", F.lit("a"))
    rows = rows.withColumn("pair", F.array("temp", "temp")).withColumn("pair[1]", F.col("temp"))
    rows = rows.withColumn("map", F.create_map(F.lit("a"), F.lit(1)))
    rows = rows.withColumn("words", F.concat("late", F.coalesce("small", F.lit(0)).cast("string")))
    with pytest.raises(error, match=said):
        NeuralNetworkClassifier(**{"labelCol": "late", **params}).fit(rows)


@pytest.mark.parametrize("label", ["word string", "number double", "flag boolean"])
def test_days_that_say_much_of_the_label_are_those_of_arrays(spark, label):
    name, kind = label.split()
    rng = np.random.default_rng(0)
    day = rng.integers(0, 20, 600)
    at = [BEGIN + datetime.timedelta(days=int(one), minutes=n) for n, one in enumerate(day)]
    high = (rng.normal(size=20) > 0)[day] ^ (rng.random(600) < 0.1)
    y = {"string": np.where(high, "ä", "b"), "double": high * 3.5, "boolean": high}[kind]
    rows = [(one, value.item()) for one, value in zip(at, y, strict=True)]
    frame = spark.createDataFrame([*rows, (BEGIN, None)], f"at timestamp, {label}").repartition(3)
    columns = Columns(("at",), name, stage=True, classes=kind != "double", raw=True, zone="UTC", skip=True)
    source = Frame(frame, columns, "float32")
    source.profile()
    times = np.array([*at, BEGIN], "M8[us]").astype(np.int64)
    y = np.append(high.astype(float), np.nan)
    expected = learn(Profile.of({"at": ColumnValues("timestamp", times)}, 601, y))
    assert source.schema == expected and len(expected.columns[0].days) == 20
