"""Stages leave the session as they found it, after success, error and interrupt, and do not disturb each other."""

import os
import signal
import tempfile
import threading
import warnings

import pytest
from pyspark import SparkContext
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F

from firesteel.callbacks import LambdaCallback
from firesteel.errors import ConfigError, DataError
from firesteel.layers import Dense
from firesteel.spark import NeuralNetworkClassifier, pack, parcel
from firesteel.spark.engine import SparkEngine
from firesteel.spark.parcel import archive
from tests.spark.conftest import LAYERED, fit, make_rows
from tests.spark.contract import numeric, small

pytestmark = pytest.mark.usefixtures("on_executors")


@pytest.fixture
def frame(spark):
    return numeric(spark)


@pytest.fixture
def left_as_found(spark, tmp_path, monkeypatch):
    """Compare what the session holds before and after the test: caches, broadcasts, files, views, settings."""
    archive()  # is written once a process
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def state():
        catalog, context = spark.catalog, spark.sparkContext
        return (
            context._jsc.getPersistentRDDs().size(),
            sorted(table.name for table in catalog.listTables()),
            dict(context.getConf().getAll()),
            dict(spark.conf.getAll),
            context.getLocalProperty("spark.job.description"),
            context.getLocalProperty("spark.jobGroup.id"),
            sorted(os.listdir(context._temp_dir)),  # where broadcasts lie
            sorted(path.name for path in tmp_path.glob("firesteel-*")),
            SparkContext._active_spark_context is context and not context._jsc.sc().isStopped(),
        )

    before = state()
    yield
    assert state() == before


def test_r15_after_a_fit_and_scores(left_as_found, frame):
    small(validationFraction=0.3).fit(frame).transform(frame).count()


def test_r15_after_a_search(left_as_found, frame):
    estimator = small(maxIter=1)
    grid = ParamGridBuilder().addGrid(estimator.learningRate, [0.01, 0.02]).build()
    evaluator = MulticlassClassificationEvaluator()
    search = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2, parallelism=2
    )
    search.fit(frame)


def test_r15_after_candidates_of_which_one_fails(left_as_found, frame):
    estimator = small(maxIter=1)
    models = estimator.fitMultiple(frame, [{}, {estimator.activation: "rellu"}, {}])
    assert next(models)[0] == 0
    with pytest.raises(ConfigError, match="did you mean 'relu'"):
        next(models)
    with pytest.raises(ConfigError, match="another candidate failed: .*did you mean 'relu'"):
        next(models)


def test_r15_after_candidates_that_nobody_asks_for(left_as_found, frame):
    estimator = small(maxIter=1)
    models = estimator.fitMultiple(frame, [{}, {}, {}])
    next(models)
    del models


@pytest.mark.parametrize(
    "params", [{"labelCol": "grams"}, {"layers": [3, 3]}, {"learningRate": 1e30, "solver": "sgd"}]
)
def test_r15_after_an_error_before_or_in_training(left_as_found, frame, params):
    with pytest.raises((ConfigError, DataError, RuntimeError)):
        small(maxIter=30, **params).fit(frame)


@pytest.mark.parametrize("round_", [0, 1, 3])
def test_r15_after_an_interrupt_in_any_round(left_as_found, frame, monkeypatch, round_):
    original, rounds = SparkEngine.map, []

    def interrupted(self, work, task):
        rounds.append(work)
        if len(rounds) > round_:
            raise KeyboardInterrupt
        return original(self, work, task)

    monkeypatch.setattr(SparkEngine, "map", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small(validationFraction=0.3).fit(frame)


def test_r15_after_tasks_that_travel_as_broadcasts_and_an_error_in_the_middle(left_as_found, frame, monkeypatch):
    monkeypatch.setattr(parcel, "BROADCAST_BYTES", 200)
    monkeypatch.setattr(parcel, "SMALL", 200)
    fit(frame, shards=1)

    def fail(epoch, logs):
        raise OSError("of a callback")

    with pytest.raises(OSError, match="of a callback"):
        fit(frame, shards=1, callbacks=LambdaCallback(on_epoch_end=fail))


def test_r15_after_ctrl_c_in_a_job(left_as_found, spark):
    rows = make_rows()
    frame = rows.frame(spark)
    expected, begun = fit(frame), []

    def press(epoch, logs):
        if epoch == 1:
            begun.append(epoch)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        fit(frame, epochs=200, callbacks=LambdaCallback(on_epoch_end=press))
    assert begun and fit(frame) == expected


@pytest.mark.slow
def test_r14_twenty_fits_in_two_threads_are_each_as_if_alone(left_as_found, spark):
    frames = [make_rows(900, seed).frame(spark).repartition(3).persist() for seed in (1, 2)]
    alone = [fit(frame, epochs=3) for frame in frames]
    found = [[], []]

    def ten(number):
        for _ in range(10):
            found[number].append(fit(frames[number], epochs=3))

    threads = [threading.Thread(target=ten, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same = sum(one == alone[number] for number in range(2) for one in found[number])
    print(f"as if alone: {same} of 20")
    assert same == 20
    for frame in frames:
        frame.unpersist()


def test_packed_rows_stay_until_they_are_let_go(left_as_found, spark, frame):
    rows = pack(frame)
    assert spark.sparkContext._jsc.getPersistentRDDs().size() >= 1
    small(maxIter=1).fit(rows)
    rows.unpersist()
    rows.unpersist()
    with pytest.raises(ConfigError, match="released by unpersist: pack them again"):
        small(maxIter=1).fit(rows)


def test_r15_half_a_pack_does_not_stay_after_an_interrupt(left_as_found, frame, tmp_path, monkeypatch):
    def interrupted(frame):
        assert (tmp_path / "packed").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("firesteel.spark.packed.known_blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack(frame, path=str(tmp_path / "packed"))
    assert not (tmp_path / "packed").exists()


def test_packed_rows_are_refused_where_they_do_not_fit(left_as_found, frame):
    for wrong in (
        {"validation_split": 1.0},
        {"validation_split": 0.1, "validation_indicator": "held"},
        {"dtype": "f2"},
    ):
        with pytest.raises(ConfigError, match="must be"):
            pack(frame, **wrong)
    with pack(frame, dtype="float64") as rows, pytest.raises(ConfigError, match="packed as float64"):
        small().fit(rows)
    with pack(frame) as rows:
        expected = small(maxIter=1).fit(rows).network.fingerprint()
        assert small(maxIter=1, handleInvalid="keep").fit(rows).network.fingerprint() == expected
        with pytest.raises(ConfigError, match="weight='w'"):
            small(weightCol="w").fit(rows)


def test_r14_two_fits_at_once_are_each_as_if_alone(left_as_found, frame):
    settings = [{"seed": 1, "hiddenLayers": [8]}, {"seed": 2, "hiddenLayers": [4, 4], "solver": "rmsprop"}]
    alone = [small(**one).fit(frame).network.fingerprint() for one in settings]
    found = {}

    def fit(number):
        found[number] = small(**settings[number % 2]).fit(frame).network.fingerprint()

    threads = [threading.Thread(target=fit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(6)] == alone * 3


def test_a_session_that_refuses_to_cache_is_warned_of_unless_rows_lie_on_storage(frame, tmp_path, monkeypatch):
    from pyspark.errors import PySparkException

    expected = small().fit(frame).network.fingerprint()

    def refuse(self, *level):
        raise PySparkException("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported")

    monkeypatch.setattr(type(frame), "persist", refuse)
    with pytest.warns(UserWarning, match=r"every round packs the rows again.*pack\(df, path=...\)"):
        assert small().fit(frame).network.fingerprint() == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pack(frame, path=str(tmp_path / "packed")) as rows:
            assert small().fit(rows).network.fingerprint() == expected


def test_the_constructor_shows_every_param_and_knows_what_others_call_it():
    import inspect

    shown = set(inspect.signature(NeuralNetworkClassifier).parameters)
    stage = NeuralNetworkClassifier()
    assert shown == {param.name for param in stage.params}
    for param in stage.params:
        capital = param.name[0].upper() + param.name[1:]
        assert param.doc and callable(getattr(stage, f"get{capital}")) and callable(getattr(stage, f"set{capital}"))
    with pytest.raises(ConfigError, match="did you mean 'hiddenLayers'"):
        NeuralNetworkClassifier(hidden_layer_sizes=[3])
    with pytest.raises(ConfigError, match="did you mean 'learningRate'"):
        NeuralNetworkClassifier(learning_rate=0.1)
    with pytest.raises(ConfigError, match="hiddenLayers"):
        NeuralNetworkClassifier(hiddenLayers="64")
    assert stage.setHiddenLayers([3]).getHiddenLayers() == [3]
    assert "hiddenLayers: numbers of units" in stage.explainParams()


@pytest.mark.parametrize(
    "params, message",
    [
        ({"regParam": -1.0}, "regParam=-1.0: it must be a number of at least 0"),
        ({"elasticNetParam": 2.0}, r"elasticNetParam=2.0: it must be in \[0, 1\]"),
        ({"dropout": 1.0}, r"dropout=1.0: it must be in \[0, 1\)"),
        ({"validationFraction": 1.0}, r"validationFraction=1.0: it must be in \[0, 1\)"),
        ({"validationFraction": 0.1, "validationIndicatorCol": "held"}, "validationIndicatorCol is set too"),
        ({"solver": "gd"}, "solver='gd': it must be one of adadelta, adagrad, adam"),
        ({"solver": "l-bfgs", "batchSize": 8}, "needs all rows at once: leave out batch_size and sample"),
        ({"solver": "l-bfgs", "strategy": "average"}, "needs all rows at once"),
        ({"strategy": "avrage"}, "did you mean 'average'"),
        ({"loss": "mse"}, "label"),
        ({"loss": "standardized"}, "name the loss without Standardized"),
        ({"evalMetric": "auc"}, "evalMetric='auc': it must be one of loss, accuracy"),
        ({"handleInvalid": "drop"}, "handleInvalid='drop': it must be error, skip or keep"),
        ({"layers": [2, 4, 3], "hiddenLayers": [4]}, "hiddenLayers is set too"),
        ({"layers": [5, 4, 3], "hiddenLayers": None}, "column 'features' has 2 features, so the first size must be"),
        ({"layers": [2, 4, 2], "hiddenLayers": None}, "a class outside the range: 2"),
        ({"stepSize": 0.1, "learningRate": 0.2}, "learningRate is set too, to 0.2"),
        ({"predictionCol": "probability"}, "they must differ"),
        ({"classWeights": {7: 1.0}}, "there is no class 7"),
        ({"classWeights": {0.5: 1.0}}, "must be class numbers 0, 1, 2"),
        ({"classWeights": {"lemon": 1.0}}, "there is no class 'lemon'"),
        ({"layers": [Dense(1)], "loss": "mse", **LAYERED}, "a classifier's network must end in softmax"),
        ({"idCol": "id_of_some"}, "column 'id_of_some' holds no value"),
        ({"classWeights": {0: -1.0}}, "weights must be at least 0"),
        ({"shards": 1000}, "and each shard needs at least one"),
        ({"seed": None, "tol": float("nan")}, "tol=nan"),
    ],
)
def test_params_that_cannot_work_are_refused_in_one_sentence(left_as_found, frame, params, message):
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        small(**params).fit(frame.withColumn("id_of_some", F.when(F.col("id") != 7, F.col("id"))))
    assert len(str(caught.value)) < 400


def test_step_size_is_another_word_for_the_learning_rate(frame):
    found = {name: small(**{name: 0.02}).fit(frame).network.fingerprint() for name in ("stepSize", "learningRate")}
    assert len(set(found.values())) == 1
