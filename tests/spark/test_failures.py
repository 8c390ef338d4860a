"""Errors from the messages of failures of several versions of Spark."""

import pytest
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException

from firesteel.errors import DataError, SparkJobError, SparkSetupError
from firesteel.spark import NeuralNetworkRegressor, load_pack, pack
from firesteel.spark.checkpoints import SparkCheckpoints
from firesteel.spark.failures import CONNECTORS, alive, interrupted, translated
from firesteel.spark.files import read_files, write_files
from firesteel.spark.lines import paired
from tests.spark.conftest import NAMED

STACK = "\n\tat org.apache.spark.scheduler.Task.run(Task.scala:147)\n\tat java.lang.Thread.run(Thread.java:840)\n"
LOST = (
    "An error occurred while calling o395.getResult.\n: org.apache.spark.SparkException: Exception thrown in "
    f"awaitResult: {STACK}Caused by: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in "
    "stage 29.0 failed 4 times, most recent failure: Lost task 0.3 in stage 29.0 (TID 54) (127.0.0.1 executor 7): "
)
TRACEBACK = """An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "/opt/spark.zip/pyspark/worker.py", line 1247, in main
    process()
  File "/home/of/user/layers.py", line 12, in apply
    return x @ w
           ~~^~~
"""


@pytest.mark.parametrize(
    "text, code, said",
    [
        (
            f"{TRACEBACK}ValueError: wrong sizes\n{STACK}",
            "task",
            "ValueError: wrong sizes (layers.py, line 12, in apply)",
        ),
        (
            f"{TRACEBACK}numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB\n"
            f"firesteel: shard 1 of 2, 3 block(s) of 9.00 MiB together: 1, 3, 5\n{STACK}",
            "memory",
            "Unable to allocate 9 GiB (layers.py, line 12, in apply; shard 1 of 2, 3 block(s) of 9.00 MiB together",
        ),
        (
            f"{LOST}org.apache.spark.SparkException: Python worker exited unexpectedly (crashed). Consider{STACK}",
            "worker",
            "the Python worker of a task died in every attempt",
        ),
        (
            f"{LOST}ExecutorLostFailure (executor 7 exited caused by one of the running tasks) Reason: Command "
            f"exited with code 137\nDriver stacktrace:{STACK}",
            "executor-lost",
            "the executor of a task was lost in every attempt: Command exited with code 137.  ",
        ),
        (
            f"{LOST}java.lang.OutOfMemoryError: Java heap space{STACK}",
            "memory",
            "a JVM ran out of memory.  To do: increase",
        ),
        (
            f": org.apache.spark.SparkException: [FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error{STACK}",
            "job",
            "the job failed on Spark: [FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error",
        ),
        (f": java.io.IOException: No space left on device{STACK}", "job", "on Spark: No space left on device"),
    ],
)
def test_r03_a_failure_is_one_sentence_and_what_to_do(text, code, said):
    found = translated(PySparkException(text), None, "firesteel: epoch 2 of 3")
    assert isinstance(found, SparkJobError) and found.code == f"spark-{code}"
    assert str(found).startswith("firesteel: epoch 2 of 3: ") and said in str(found)
    assert not any(sign in str(found) for sign in ("Traceback", "\tat ", "org.apache", "\n"))


READ = ": org.apache.spark.SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file"


@pytest.mark.parametrize(
    "text, code, said",
    [
        (
            f"{READ} file:///a/b%20c.gz.  SQLSTATE: KD001{STACK}\nCaused by: java.io.EOFException: cut short.{STACK}",
            "data-file",
            "rows: /a/b c.gz cannot be read: cut short.  To do: check that it is complete",
        ),
        (
            f"{READ} hdfs://h/b.parquet.  SQLSTATE: KD001{STACK}\n"
            f"Caused by: java.io.IOException: no 'size'! Struct: org.apache.parquet.A$B@1fce{STACK}",
            "data-file",
            "rows: hdfs://h/b.parquet cannot be read: no 'size'.  To do",
        ),
        (
            f"{READ} file:/a.parquet.  SQLSTATE: KD001{STACK}\nCaused by: java.lang.NullPointerException{STACK}",
            "data-file",
            "rows: /a.parquet cannot be read: it is damaged.  To do",
        ),
        (
            f'{LOST}java.lang.NumberFormatException: For input string: "qid"{STACK}\n'
            "\tat org.apache.spark.mllib.util.MLUtils$.parseLibSVMRecord(MLUtils.scala:134)\n"
            f'Caused by: java.lang.NumberFormatException: For input string: "qid"{STACK}',
            "data-libsvm",
            'rows: Spark cannot read a line as LIBSVM (it supports neither qid nor comments): For input string: "q',
        ),
    ],
)
def test_a_damaged_file_is_an_error_in_the_data(text, code, said):
    found = translated(PySparkException(text), None, "rows")
    assert isinstance(found, DataError) and found.code == code and str(found).startswith(said)
    assert "org.apache" not in str(found) and "\n" not in str(found)


@pytest.mark.parametrize("scheme", CONNECTORS)
def test_a_path_without_its_connector_is_named_with_the_package_to_add(spark, scheme):
    frame = spark.createDataFrame([([1.0], 0.0)] * 9, "features array<double>, label double")
    place, stage = f"{scheme}://bucket/place", NeuralNetworkRegressor(maxIter=1, hiddenLayers=[], **NAMED)

    def read_text():
        with paired(spark, place, place):
            pass

    for call in (
        lambda: stage.save(place),
        lambda: stage.write().overwrite().save(place),
        lambda: NeuralNetworkRegressor.load(place),
        lambda: pack(frame, path=place),
        lambda: load_pack(place),
        lambda: stage.copy({stage.checkpointDir: place}).fit(frame),
        lambda: read_files(spark, place, "csv"),
        lambda: write_files(frame, place, "parquet"),
        lambda: SparkCheckpoints(spark, place).read(f"{place}/a"),
        lambda: SparkCheckpoints(spark, place).write(f"{place}/a", b""),
        read_text,
    ):
        with pytest.raises(SparkSetupError) as caught:
            call()
        text = str(caught.value)
        assert f"this Spark has no connector for {scheme}:// paths.  To do: start Spark with" in text
        assert CONNECTORS[scheme][1] in text and caught.value.code == "spark-connector"
        assert not any(sign in text for sign in ("\n", "java.lang", "calling o"))


def test_r03_errors_that_read_well_and_those_of_firesteel_stay_as_they_are():
    plain = PySparkException("[CAST_INVALID_INPUT] The value 'x' cannot be cast")
    assert translated(plain) is plain
    other = OSError("of this program")
    assert translated(other) is other
    ours = translated(PySparkException(f"{TRACEBACK}firesteel.errors.DataError: no such row [data-row]\n{STACK}"))
    assert type(ours) is DataError and str(ours) == "no such row [data-row]"


def test_r03_a_driver_that_is_gone_is_said_to_be():
    assert translated(Py4JNetworkError("Answer from Java side is empty")).code == "spark-gone"


def test_r15_an_error_that_came_of_ctrl_c_is_known_and_one_that_came_after_it_is_not():
    def raised(error, context):
        error.__context__ = context
        return error

    pressed = KeyboardInterrupt()
    error = raised(ValueError(), raised(OSError(), pressed))
    assert interrupted(error, None) and not interrupted(error, pressed) and not interrupted(OSError(), None)


def test_an_error_that_came_of_ctrl_c_between_two_jobs_is_ctrl_c():
    with pytest.raises(KeyboardInterrupt), alive(None):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise Py4JError("Gateway must be connected to send cancel cmd.")  # noqa: B904
    with pytest.raises(OSError), alive(None):
        raise OSError
