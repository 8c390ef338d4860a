"""Sparse vectors reach training, scoring and storage without their zeros, and end where arrays end."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.feature import HashingTF, Tokenizer
from pyspark.ml.linalg import DenseVector, SparseVector, Vectors

from firesteel.core.csr import CSR
from firesteel.errors import DataError
from firesteel.layers import Dense, Dropout
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkClassifierModel, pack
from firesteel.spark.arrow import vectors, widths
from firesteel.spark.packing import ReadOptions, profile_rows
from firesteel.spark.worker import Outputs
from tests.spark.conftest import NAMED

WIDTH, ROWS = 4200, 120
LISTS = (("indices", pa.int32()), ("values", pa.float64()))


def made():
    rng = np.random.default_rng(0)
    x = np.zeros((ROWS, WIDTH), np.float32)
    for row in x:
        row[rng.choice(WIDTH, rng.integers(0, 30), replace=False)] = rng.integers(-4, 5) / 2
    return x, (x @ rng.normal(size=(WIDTH, 3))).argmax(axis=1)


X, Y = made()


def sparse(row):
    at = np.flatnonzero(row)
    return Vectors.sparse(len(row), at.tolist(), row[at].astype(float).tolist())


def frame(spark, form="sparse", order=slice(None)):
    kinds = {"sparse": sparse, "dense": Vectors.dense, "array": lambda row: row.tolist()}
    kinds["mixed"] = lambda row: sparse(row) if row[:9].any() else Vectors.dense(row)
    return spark.createDataFrame(
        [(kinds[form](x), int(y)) for x, y in zip(X[order], Y[order], strict=True)], ["features", "label"]
    )


def network():
    net = Sequential([Dense(6, "tanh"), Dropout(0.2), Dense(3, "softmax")])
    net.compile("adam", "sparse_categorical_crossentropy", ["accuracy", "auc"])
    return net


def fitted(*rows, **settings):
    net = network()
    net.fit(*rows, **{"epochs": 2, "shards": 3, "batch_size": 16, "verbose": 0, "seed": 1} | settings)
    return net


@pytest.fixture(scope="module")
def rows(spark):
    kept = frame(spark).persist()
    yield kept
    kept.unpersist()


@pytest.fixture(scope="module")
def expected():
    return fitted(X, Y)


@pytest.mark.parametrize(
    "form", ["mixed", "array", *(pytest.param(form, marks=pytest.mark.slow) for form in ("sparse", "dense"))]
)
def test_the_fit_is_that_in_process_whatever_the_column_and_its_partitions(spark, form, expected):
    rows = frame(spark, form, np.random.default_rng(1).permutation(ROWS)).repartition(3)
    net = fitted(rows)
    assert net.network.sparse and net.fingerprint() == expected.fingerprint()
    assert net.history.rows[-1]["loss"] == expected.history.rows[-1]["loss"]


@pytest.mark.parametrize(
    "settings", [pytest.param({"shards": 1}, marks=pytest.mark.slow), {"strategy": "gradient", "shards": 2}]
)
def test_either_strategy_ends_where_it_ends_in_process(rows, settings):
    assert fitted(rows, **settings).fingerprint() == fitted(X, Y, **settings).fingerprint()


def test_rows_packed_on_storage_stay_sparse(rows, expected, tmp_path):
    with pack(rows, path=str(tmp_path / "packed")) as packed:
        assert packed.profile().sparse and packed.profile().nonzeros == np.count_nonzero(X)
        assert fitted(packed).fingerprint() == expected.fingerprint()


def test_predictions_do_not_depend_on_how_a_row_is_stored(spark, rows, expected):
    found = [
        np.array([list(row[0]) for row in expected.predict(one).select("prediction").collect()], np.float32)
        for one in (frame(spark, "mixed"), frame(spark, "array"))
    ]
    assert all(np.array_equal(one, expected.predict(X)) for one in found)
    assert expected.evaluate(rows, verbose=0) == expected.evaluate(X, Y, verbose=0)


def test_a_hashed_text_classifier_of_full_width_trains_scores_and_is_saved(spark, tmp_path):
    rng = np.random.default_rng(0)
    topics = [[f"{topic}{n}" for n in range(200)] for topic in ("sea", "sky")]
    texts = [(" ".join(rng.choice(topics[n % 2], 20)), float(n % 2)) for n in range(200)]
    stages = [Tokenizer(inputCol="text", outputCol="words"), HashingTF(inputCol="words", outputCol="features")]
    text = Pipeline(stages=stages).fit(spark.createDataFrame(texts, ["text", "label"]))
    made = text.transform(spark.createDataFrame(texts, ["text", "label"])).persist()
    classifier = NeuralNetworkClassifier(
        **NAMED | {"hiddenLayers": [4], "maxIter": 3, "batchSize": 16, "learningRate": 0.01, "seed": 1}
    )
    model = classifier.fit(made)
    assert model.numFeatures == 1 << 18 and model.network.network.sparse
    assert model.summary.accuracy > 0.95
    scored = model.transform(made)
    assert scored.filter("prediction = label").count() > 190
    model.save(str(tmp_path / "model"))
    again = NeuralNetworkClassifierModel.load(str(tmp_path / "model"))
    assert again.network.fingerprint() == model.network.fingerprint()
    assert again.transform(made).select("probability").head() == scored.select("probability").head()
    made.unpersist()


# Bad rows, and rows as Arrow has them


def column(*rows):
    """Vectors as Spark's Arrow has them: (size, indices, values), values alone, or None."""
    kind = pa.struct(
        [
            ("type", pa.int8()),
            ("size", pa.int32()),
            ("indices", pa.list_(pa.int32())),
            ("values", pa.list_(pa.float64())),
        ]
    )
    made = [
        None
        if row is None
        else dict(zip(("type", "size", "indices", "values"), (0, *row), strict=True))
        if isinstance(row, tuple)
        else {"type": 1, "size": None, "indices": None, "values": row}
        for row in rows
    ]
    return pa.array(made, kind)


def test_vectors_come_out_of_arrow_as_their_non_zeros():
    made = column((4, [1, 3], [5.0, 0.0]), [0.0, 7.0, 0.0, 8.0], (4, [], []))
    assert widths(column((9, [], []), [1.0], None)).tolist() == [9, 1, 0]
    for rows, start in ((made, 0), (made[1:], 1)):
        found = vectors(rows)
        assert isinstance(found, CSR)
        assert np.array_equal(found.dense(), np.array([[0, 5, 0, 0], [0, 7, 0, 8], [0, 0, 0, 0.0]])[start:])


BAD = {
    "data-index-range": ((9, [1, 9], [1.0, 1.0]), "9, of 9 columns, at the row with id=1"),
    "data-index-order": ((9, [4, 4], [1.0, 1.0]), "4 after 4 at the row with id=1"),
    "data-nan": ((9, [1, 4], [1.0, np.nan]), "position 4, holds NaN"),
}


@pytest.mark.parametrize("code", BAD)
def test_what_is_wrong_inside_a_vector_is_found_with_its_row(code):
    row, words = BAD[code]
    batch = pa.RecordBatch.from_pydict(
        {"x": column((9, [2], [1.0]), row), "y": [[0.0], [1.0]], "w": [1.0, 1.0], "where0": [0, 1]}
    )
    report = (
        next(iter(profile_rows(ReadOptions("float32", where=("id",)), iter([batch])))).column("report")[0].as_py()
    )
    found = json.loads(report)["found"]
    assert list(found) == [code.removeprefix("data-")]
    assert found[code.removeprefix("data-")]["where"] == "the row with id=1"
    if code != "data-nan":
        with pytest.raises(DataError) as caught:
            Outputs(network_of(9), network_of(9).init(0), "column 'f'")(column(row))
        assert caught.value.code == code


def network_of(width):
    net = network()
    net.build((None, width))
    return net.network


@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_a_bad_value_in_a_wide_column_is_refused_with_column_row_and_place(spark, form):
    values = X[:40].astype(float)
    values[7, 4000] = np.nan
    kind = sparse if form == "sparse" else Vectors.dense
    rows = spark.createDataFrame([(n, kind(x), 0) for n, x in enumerate(values)], ["id", "features", "label"])
    with pytest.raises(DataError) as caught:
        network().fit(rows, verbose=0)
    assert caught.value.code == "data-nan"
    assert "column 'features', position 4000, holds NaN: nan at the row with id=7" in str(caught.value)
    assert isinstance(rows.head().features, SparseVector if form == "sparse" else DenseVector)
