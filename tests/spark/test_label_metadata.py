"""What Spark's metadata say of a label or of features is compared with the rows, as Spark's own classifiers do."""

import json

import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import IndexToString, StringIndexer
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F

from firesteel.errors import ConfigError, DataError
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkRegressor, load_pack, pack
from tests.spark.conftest import NAMED


def small(**params):
    return NeuralNetworkClassifier(**{"hiddenLayers": [], "maxIter": 1, "seed": 1} | NAMED | params)


def labelled(spark, about, classes=3, rows=30):
    """Rows of so many classes, whose label has this metadata."""
    made = [
        (number, Vectors.dense([float(number % classes), 1.0]), float(number % classes)) for number in range(rows)
    ]
    frame = spark.createDataFrame(made, ["id", "features", "label"])
    return frame.withMetadata("label", {} if about is None else {"ml_attr": about})


NOMINAL, BINARY = {"type": "nominal", "name": "label"}, {"type": "binary", "name": "label"}
ACCEPTED = {
    "nothing": (None, 3, None),
    "numeric": ({"type": "numeric", "min": 0.0, "max": 1.0}, 3, None),
    "no type, which means numeric": ({"vals": ["a", "b"]}, 3, None),
    "nominal alone": (NOMINAL, 3, None),
    "as many names": (NOMINAL | {"vals": ["a", "b", "c"]}, 3, ["a", "b", "c"]),
    "more names": (NOMINAL | {"vals": ["a", "b", "c", "d"], "ord": False}, 4, ["a", "b", "c", "d"]),
    "as many values": (NOMINAL | {"num_vals": 3}, 3, None),
    "more values": (NOMINAL | {"num_vals": 5}, 5, None),
}
REFUSED = {
    "fewer names": (NOMINAL | {"vals": ["a", "b"]}, r"has 2 classes by its metadata \(a, b\), and holds class 2 at"),
    "no names": (NOMINAL | {"vals": []}, "has 0 classes by its metadata"),
    "fewer values": (NOMINAL | {"num_vals": 2}, "has 2 classes by its metadata, and holds class 2 at"),
    "binary": (BINARY, "has 2 classes by its metadata, and holds class 2 at"),
    "binary with names": (BINARY | {"vals": ["no", "yes"]}, r"\(no, yes\), and holds class 2 at the row with id=2"),
    "no object": ("label", "are not as Spark ML writes them: ml_attr is label"),
    "names that are none": (NOMINAL | {"vals": 3}, "are not as Spark ML writes them"),
    "names that are numbers": (NOMINAL | {"vals": [0, 1, 2]}, "are not as Spark ML writes them"),
    "a number that is none": (NOMINAL | {"num_vals": "3"}, "are not as Spark ML writes them"),
    "names and another number": (NOMINAL | {"num_vals": 4, "vals": ["a", "b", "c"]}, "are not as Spark ML"),
    "three names of two": (BINARY | {"vals": ["a", "b", "c"]}, "are not as Spark ML writes them"),
    "no type of Spark's": ({"type": "ordinal"}, "are not as Spark ML writes them"),
    "too many": (NOMINAL | {"num_vals": 10**9}, "has 1,000,000,000 classes by its metadata, too many"),
}


SLOW = ("numeric", "nominal alone", "as many values")
"""What others of them hold too."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ACCEPTED]
)
def test_what_agrees_with_the_rows_decides_the_classes_as_in_spark(spark, name):
    about, classes, names = ACCEPTED[name]
    frame = labelled(spark, about)
    model = small().fit(frame)
    assert (model.numClasses, model._metadata()["classes"]) == (classes, names)
    assert LogisticRegression(maxIter=1).fit(frame).numClasses == classes


@pytest.mark.parametrize("name", REFUSED)
def test_what_contradicts_the_rows_or_itself_is_refused_at_fit(spark, name):
    about, message = REFUSED[name]
    frame = labelled(spark, about)
    with pytest.raises(DataError, match=message) as caught:
        small().fit(frame)
    assert caught.value.code == "data-metadata"
    if "holds class" in message or name == "no names":
        assert f"; {30 if name == 'no names' else 10} of 30 rows hold such a class.  To do: " in str(caught.value)
        with pytest.raises(Exception, match="."):
            LogisticRegression(maxIter=1).fit(frame)


def test_a_regressor_takes_numbers_whatever_the_label_s_metadata_say(spark):
    for about in (NOMINAL | {"vals": ["a", "b"]}, "label"):
        assert NeuralNetworkRegressor(maxIter=1).fit(labelled(spark, about)).summary.loss > 0


def test_a_union_of_two_indexers_is_refused_in_every_way_to_a_fit(spark, tmp_path):
    def indexed(words):
        made = [(Vectors.dense([float(number)]), word) for number, word in enumerate(words * 10)]
        frame = spark.createDataFrame(made, ["features", "word"])
        return StringIndexer(inputCol="word", outputCol="label").fit(frame).transform(frame)

    union = indexed(["a", "b"]).union(indexed(["c", "d", "e"]))
    estimator = small()
    grid = ParamGridBuilder().addGrid(estimator.learningRate, [0.1, 0.2]).build()
    evaluator = MulticlassClassificationEvaluator()
    search = CrossValidator(estimator=estimator, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2)
    pack(union, path=str(tmp_path / "rows")).unpersist()
    for fit in (
        lambda: estimator.fit(union),
        lambda: search.fit(union),
        lambda: estimator.fit(load_pack(str(tmp_path / "rows"))),
        lambda: small(validationFraction=0.3).fit(union),
        lambda: small(layers=[1, 3], hiddenLayers=None).fit(union),
    ):
        with pytest.raises(
            DataError, match=r"has 2 classes by its metadata \([ab], [ab]\), and holds class 2 at .* rows hold"
        ):
            fit()


def test_classes_that_the_rows_lack_and_one_class_alone_come_back_as_words(spark, tmp_path):
    named = IndexToString(inputCol="prediction", outputCol="word")
    for vals, classes in ((["a", "b", "c", "d"], 3), (["a"], 1)):
        frame = labelled(spark, NOMINAL | {"vals": vals}, classes)
        model = small(runDir=str(tmp_path / "runs")).fit(frame)
        about = model.transform(frame).schema["prediction"].metadata["ml_attr"]
        assert len(about["vals"]) == model.numClasses == max(2, len(vals))
        assert about["vals"][: len(vals)] == vals
        assert named.transform(model.transform(frame)).filter("word is null").count() == 0


def test_layers_that_end_in_other_classes_than_the_metadata_know(spark, tmp_path):
    frame = labelled(spark, NOMINAL | {"vals": ["a", "b"]}, 2)
    with pytest.raises(ConfigError, match="layers end in 3 classes, and column 'label' has 2 by its metadata"):
        small(layers=[2, 3], hiddenLayers=None).fit(frame)
    many = labelled(spark, NOMINAL | {"vals": ["a", "b", "c"]}, 2)
    model = small(layers=[2, 2], hiddenLayers=None, runDir=str(tmp_path / "runs")).fit(many)
    assert model._metadata()["classes"] == ["a", "b"]


@pytest.mark.parametrize(
    "about, message",
    [
        ({"num_attrs": 3}, "has 3 features by its metadata, and 2 values in its 30 rows"),
        ({"attrs": {"numeric": [{"idx": 0, "name": "a"}]}, "num_attrs": 1}, "has 1 features by its metadata"),
        ({"attrs": [1], "num_attrs": 2}, "are not as Spark ML writes them"),
        ({"num_attrs": "two"}, "are not as Spark ML writes them"),
        ("features", "are not as Spark ML writes them"),
    ],
    ids=json.dumps,
)
def test_metadata_of_features_that_contradict_the_rows_are_refused_at_fit(spark, about, message):
    frame = labelled(spark, None).withMetadata("features", {"ml_attr": about})
    for kind in (NeuralNetworkClassifier, NeuralNetworkRegressor):
        with pytest.raises(DataError, match=message):
            kind(maxIter=1).fit(frame)


def test_a_name_is_not_looked_for_where_the_metadata_have_fewer_than_a_bad_row(spark):
    about = {"attrs": {"numeric": [{"idx": 0, "name": "a"}]}, "num_attrs": 1}
    made = [(1.0, Vectors.dense([1.0])), (0.0, Vectors.dense([1.0, float("nan")]))] * 9
    frame = spark.createDataFrame(made, ["label", "features"]).withMetadata("features", {"ml_attr": about})
    with pytest.raises(DataError):
        small().fit(frame.repartition(4, F.col("label")))
