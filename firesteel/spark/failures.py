"""What Spark says of a job that failed, in one sentence: what happened first, and what to do, without Java's stack.

Spark tries a task again and then reports the last attempt, and a JVM wraps that in pages of its own.  So the status
that Spark keeps of each task is asked for the first one.  `engine.py` is what runs jobs.
"""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark import SparkContext
from pyspark.errors import PySparkException

from firesteel import errors
from firesteel.errors import ConfigError, DataError, FiresteelError, SparkJobError, SparkSetupError
from firesteel.spark.worker import NOTE

LISTENER_MS = 5000
"""How long Spark may take to have noted what became of its tasks."""
ATTEMPTS = 1000
"""How many failed attempts at a stage's tasks are looked through."""
ENDING_SECONDS = 2.0
"""How long a JVM that cannot be reached is given to end, which says how it ended."""
CONNECTORS = {
    "gs": (".fs.gs.", "com.google.cloud.bigdataoss:gcs-connector"),
    "s3a": (".s3a.", "org.apache.hadoop:hadoop-aws"),
    "s3": (".s3.", "org.apache.hadoop:hadoop-aws, and write s3a://"),
    "abfss": (".azurebfs.", "org.apache.hadoop:hadoop-azure"),
    "wasbs": (".fs.azure.", "org.apache.hadoop:hadoop-azure"),
    "adl": (".fs.adl.", "org.apache.hadoop:hadoop-azure-datalake"),
    "oss": (".aliyun.oss.", "org.apache.hadoop:hadoop-aliyun"),
}
"""Schemes of paths, what is in the name of the Java class that reads them, and the package that it comes in."""
UNREACHABLE = ("spark-gone", "spark-connector")
"""Codes of errors that say nothing of what lies at a path."""
CLOSED = re.compile(r"on a stopped SparkContext|SparkContext was shut down|INVALID_HANDLE\.SESSION_")
"""What is said where a session has been stopped, or its server was started anew."""
LONGEST = 300
"""Characters of somebody else's message that are shown."""
TASKS = ("Python worker", "Job aborted", "failed, most recent", "failed 1 times")
"""What is said where a task failed, and not the plan or its driver."""
TRACEBACK = r'(?s:.*)File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<name>.+)\n(?:[ \t].*\n)*(?P<error>\S.*)'
MORE_MEMORY = (
    "To do: less at a time (more shards=..., a smaller spark.sql.execution.arrow.maxRecordsPerBatch, fewer "
    "spark.executor.cores), or more memory outside the executor's JVM (spark.executor.memoryOverhead, and "
    "spark.executor.pyspark.memory where that is set)"
)
MORE_HEAP = (
    "To do: a larger spark.executor.memory (spark.driver.memory, where Spark runs in this program), or fewer rows at "
    "a time, spark.sql.execution.arrow.maxRecordsPerBatch"
)


def interrupted(error: BaseException | None, before: BaseException | None) -> bool:
    """Return whether an error came of Ctrl-C, upon which Spark cancels its jobs and then reports failed.

    before: what was being handled already when the job began.
    """
    while error is not before and not isinstance(error, KeyboardInterrupt | None):
        error = error.__context__
    return error is not before and error is not None


def translated(error: Exception, spark: Any = None, title: str = "firesteel: a Spark job") -> Exception:
    """Return what to raise for an error of a job: the firesteel error of a worker, or SparkJobError, or itself.

    An error of Spark's that reads well by itself, such as one about the user's own plan, stays as it is.
    title: what the job is called.
    """
    if (lost := gone(error, spark, title)) is not None:
        return lost
    if not isinstance(error, PySparkException | Py4JError):
        return error
    said = str(error).partition("\n\nJVM stacktrace:")[0]
    text = (any(sign in said for sign in TASKS) and _first_failure(spark, title)) or said
    return plain(text, title) if "\tat " in said else _found(text, title) or error


@contextlib.contextmanager
def alive(spark: Any, title: str = "firesteel") -> Iterator[None]:
    """Say in a sentence where a Spark that is gone, or a session that is stopped, is what an error came of.

    An error that came of Ctrl-C, between two jobs too, is Ctrl-C: Spark's handler may fail amid a call to the JVM.
    """
    before = sys.exception()
    try:
        yield
    except Exception as error:
        if interrupted(error, before):
            raise KeyboardInterrupt from None
        lost = gone(error, spark, title)
        if lost is None:
            raise
        raise lost from None


def session_of(frame: Any) -> Any:
    """Return the session of a DataFrame.  Raises DataError for what is none, one of pandas among it."""
    if not hasattr(frame, "sparkSession"):
        kind = f"{type(frame).__module__.partition('.')[0]}.{type(frame).__name__}".removeprefix("builtins.")
        raise DataError(
            f"{kind} was given in place of a Spark DataFrame: spark.createDataFrame(...) makes one of rows, pandas' "
            "and Arrow's",
            code="data-frame",
        )
    return frame.sparkSession


def let_go(release: Callable[[], object]) -> None:
    """Call what frees something of Spark's.

    What fails there takes the place of no other error, and nothing is asked of a Spark that is known to be gone:
    Spark Connect would try for minutes to reach it.
    """
    if getattr(sys.exception(), "code", None) != "spark-gone":
        with contextlib.suppress(Exception):
            release()


def gone(error: Exception, spark: Any, title: str) -> FiresteelError | None:
    """Return the error for a Spark that is not there any more, if that is what an error came of."""
    if not _of_spark(error):
        return None
    text = str(error)
    if isinstance(error, Py4JNetworkError | ConnectionError | EOFError) or "StatusCode.UNAVAILABLE" in text:
        state: str | None = "gone"
    else:
        state = "stopped" if CLOSED.search(text) else _state(spark)
    if (
        state == "stopped" and "shut down" in text and _ended() is not None
    ):  # in the middle of a job, by the JVM's end
        state = "gone"
    if state == "stopped":
        return SparkJobError(
            f"{title}: the Spark session is stopped.  To do: make one, firesteel.spark.session(), and read the rows "
            "again with it: a DataFrame lives as long as its session",
            code="spark-gone",
        )
    if state == "gone":
        return SparkJobError(f"{title}: {_lost(spark)}", code="spark-gone")
    if re.match(r"\[(NO_ACTIVE_\w*SESSION|SESSION_OR_CONTEXT_NOT_EXISTS)\]", text):
        return ConfigError("no Spark session is active: create one first", code="config-session")
    return None


def _of_spark(error: Exception) -> bool:
    """Return whether an error was raised in Spark's own Python, and not in a user's or in ours."""
    if isinstance(error, PySparkException | Py4JError):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in ("pyspark", "py4j", "grpc")


def _state(spark: Any) -> str | None:
    """Return what became of a session: "stopped", or "gone" with its JVM; None where it lives, or is none."""
    if spark is None or not hasattr(spark, "_jsparkSession"):  # on Spark Connect
        return "stopped" if getattr(spark, "is_stopped", False) else None
    try:
        return "stopped" if spark._jsparkSession.sparkContext().isStopped() else None
    except Exception:
        return "gone"


def _lost(spark: Any) -> str:
    """Return what to say of a driver that cannot be reached any more."""
    if "connect" in type(spark).__module__:
        return (
            "Spark's server cannot be reached any more.  To do: see that it runs, then make a new session and read "
            "the rows again"
        )
    ended = _ended()
    why = {52: "it ran out of memory", -9: "it was killed, most often by the system for its memory"}
    return (
        "Spark's driver, the JVM of this program, is gone: "
        f"{why.get(ended or 0, 'its log or that of the system says why; most often it is memory')}.  To do: start "
        "Python and a session again, with another spark.driver.memory"
    )


def _ended() -> int | None:
    """Return with what code the JVM of this program ends, within some seconds; None where it goes on, or is none."""
    with contextlib.suppress(Exception):
        return int(SparkContext._gateway.proc.wait(ENDING_SECONDS))  # type: ignore[union-attr]
    return None


def plain(text: str, title: str) -> FiresteelError:
    """Return the error for what Spark said: that of a worker or a file, of a task that failed, or SparkJobError."""
    return _found(text, title) or SparkJobError(f"{title}: the job failed on Spark: {cause(text)}")


def _found(text: str, title: str) -> FiresteelError | None:
    """Return the error for what Spark said, where it is one that is known."""
    return _own(text, title) or _connector(text, title) or _known(text, title)


def _own(text: str, title: str) -> FiresteelError | None:
    """Return the firesteel error that a worker raised."""
    own = re.search(r"firesteel\.errors\.(\w+): (.*?) \[([a-z-]+)\]", text, re.DOTALL)
    kind: type[FiresteelError] | None = getattr(errors, own[1], None) if own else None
    if own and kind is not None:
        return kind(own[2], code=own[3])
    missing = re.search(r"ModuleNotFoundError: No module named '(numpy|pyarrow)[.']", text + "'")
    if missing:
        return SparkSetupError(
            f"the executors' Python has no {missing[1]}: firesteel ships itself, but NumPy and pyarrow must be "
            "installed there (PYSPARK_PYTHON decides which Python they use)",
            code="spark-executor",
        )
    other = re.search(r"ModuleNotFoundError: No module named '(\w+)", text)
    if other and "parcel.py" in text:
        return SparkJobError(
            f"{title}: the executors have no module {other[1]!r}, which a class of your own uses.  To do: send it: "
            f"spark.addArtifacts('{other[1]}.py', pyfile=True), before Spark 4 spark.sparkContext.addPyFile(...); or "
            "move what the class uses into its own module",
            code="spark-module",
        )
    return None


def _known(text: str, title: str) -> FiresteelError | None:
    """Return the error for a line that Spark could not read, an exception in a worker, or for one that died."""
    if "MALFORMED" in text:
        record = re.search(r"MALFORMED_\w*[^\]]*\] .*?: ?\[?(.{0,80})", text)
        shown = f", such as {record[1].strip()!r}" if record else ""
        return DataError(f"{title}: a line is not as the others are{shown}: mend it, or drop it", code="data-csv")
    unread = re.search(r"\[FAILED_READ_FILE\S*\] .*? file (?:file:/*(?=/))?(\S+?)\.?\s", text)
    if unread:
        return DataError(
            f"{title}: {unquote(unread[1])} cannot be read: {_deepest(text, 'it is damaged')[:LONGEST]}.  To do: see "
            "that it is whole, and of the format that is named, or leave it out",
            code="data-file",
        )
    if re.search(r"(^|: )empty collection\b", text):
        return DataError(f"{title}: there is no row in it: give at least one", code="data-empty")
    if "MLUtils$.parseLibSVMRecord" in text:
        return DataError(
            f"{title}: a line is no LIBSVM as Spark reads it, which knows neither qid nor comments: "
            f"{_deepest(text, 'it is damaged')[:LONGEST]}.  To do: mend it, or read the file in process",
            code="data-libsvm",
        )
    raised = re.search(TRACEBACK, text)
    if raised:
        file = raised["file"].replace("\\", "/").rpartition("/")[2]
        where = f"{file}, line {raised['line']}, in {raised['name']}"
        note = re.search(rf"^{NOTE}(.+)", text[raised.end() :], re.MULTILINE)
        at = f"; {note[1]}" if note else ""
        what, code = "a task failed each time that Spark tried it", "spark-task"
        remedy = "To do: mend what is at that place; the log of its executor has the whole traceback"
        if re.match(r"[\w.]*MemoryError\b", raised["error"]):
            what, code, remedy = "a Python worker found no more memory", "spark-memory", MORE_MEMORY
        return SparkJobError(f"{title}: {what}: {raised['error'][:LONGEST]} ({where}{at}).  {remedy}", code=code)
    if "java.lang.OutOfMemoryError" in text:
        return SparkJobError(f"{title}: a JVM had no more memory.  {MORE_HEAP}", code="spark-memory")
    if "Python worker exited unexpectedly" in text or "Python worker failed" in text:
        return SparkJobError(
            f"{title}: the Python worker of a task died each time that Spark tried it, without a word, as one does "
            f"that the system ends for its memory, or that crashes in native code.  {MORE_MEMORY}",
            code="spark-worker",
        )
    lost = re.search(r"ExecutorLostFailure \((.*?)\)(?: Reason: (.+))?", text)
    if lost:
        reason = f": {lost[2].strip().rstrip('.')[:LONGEST]}" if lost[2] else ""
        return SparkJobError(
            f"{title}: the executor of a task was lost each time that Spark tried it{reason}.  Where the cluster "
            f"ends executors for their memory: {MORE_MEMORY}",
            code="spark-executor-lost",
        )
    return None


def _connector(text: str, title: str) -> FiresteelError | None:
    """Return the error for a path whose scheme Spark has no Java class for."""
    named = re.search(r'No FileSystem for scheme "?([\w+.-]+)', text)
    missing = re.search(r"ClassNotFoundException: Class (\S*FileSystem\S*) not found", text)
    if not named and not missing:
        return None
    found = (scheme for scheme, (sign, _) in CONNECTORS.items() if missing and sign in missing[1])
    scheme = named[1] if named else next(found, None)
    package = f"the package {CONNECTORS[scheme][1]}" if scheme in CONNECTORS else "the package that has it"
    return SparkSetupError(
        f"{title}: this Spark has no connector for {f'{scheme}:// paths' if scheme else missing and missing[1]}.  "
        f"To do: start Spark with {package}, in the version of its Hadoop (spark.jars.packages)",
        code="spark-connector",
    )


def cause(text: str) -> str:
    """Return Spark's own message with a code, else the deepest cause."""
    coded = re.search(r"\[[A-Z][A-Z0-9_.]+\] (.+)", text)
    found: str = coded[0] if coded else _deepest(text, text.strip().partition("\n")[0])
    return found.strip()[:LONGEST]


def _deepest(text: str, default: str) -> str:
    """Return the message of the deepest cause that Java gives besides the failure, without Java's own words."""
    causes = re.findall(r"(?:Caused by|^): [\w.$]+: (?!\[FAILED_READ_FILE)(.+)", text, re.MULTILINE)
    return re.sub(r"!? Struct: \S+", "", causes[-1]).strip().removesuffix(".") if causes else default


def _first_failure(spark: Any, title: str) -> str | None:
    """Return what was said of the first attempt at the task that ended the last job of a title; None if unknown.

    Spark keeps it whether or not there is a web page; through Spark Connect there is no asking.
    """
    with contextlib.suppress(Exception):
        context = spark.sparkContext._jsc.sc()
        context.listenerBus().waitUntilEmpty(LISTENER_MS)
        api, one = spark._jvm.org.apache.spark, spark._jvm.java.util.Collections.singletonList
        store = context.statusStore()
        jobs = store.jobsList(one(api.JobExecutionStatus.FAILED))
        named = [job for job in map(jobs.apply, range(jobs.size())) if _description(job).endswith(title)]
        stages = max(named, key=lambda job: job.jobId()).stageIds()
        v1 = api.status.api.v1
        by, failed = v1.TaskSorting.ID, one(v1.TaskStatus.FAILED)
        for number in map(stages.apply, range(stages.size())):
            stage = store.lastStageAttempt(number)
            if stage.status().toString() != "FAILED":
                continue
            found = store.taskList(number, stage.attemptId(), 0, ATTEMPTS, by, failed)
            tasks = [found.apply(at) for at in range(found.size())]
            if tasks:
                last = max(tasks, key=lambda task: task.attempt()).index()
                text: str = next(task for task in tasks if task.index() == last).errorMessage().get()
                return text
    return None


def _description(job: Any) -> str:
    text = job.description()
    return str(text.get()) if text.isDefined() else ""
