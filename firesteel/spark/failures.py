"""Translates Spark's errors into one sentence with cause and remedy, without Java's stack trace.

Spark retries a task and reports the last failed attempt, wrapped in pages of Java.  This module asks Spark's status
store for the first attempt.
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
"""Timeout for Spark to record the status of its tasks."""
ATTEMPTS = 1000
"""Maximum number of failed attempts of a stage to search."""
ENDING_SECONDS = 2.0
"""Timeout for an unreachable JVM to exit, whose exit code shows the reason."""
CONNECTORS = {
    "gs": (".fs.gs.", "com.google.cloud.bigdataoss:gcs-connector"),
    "s3a": (".s3a.", "org.apache.hadoop:hadoop-aws"),
    "s3": (".s3.", "org.apache.hadoop:hadoop-aws, and write s3a://"),
    "abfss": (".azurebfs.", "org.apache.hadoop:hadoop-azure"),
    "wasbs": (".fs.azure.", "org.apache.hadoop:hadoop-azure"),
    "adl": (".fs.adl.", "org.apache.hadoop:hadoop-azure-datalake"),
    "oss": (".aliyun.oss.", "org.apache.hadoop:hadoop-aliyun"),
}
"""By the scheme of a path: a part of the name of the Java class that reads it, and the package of that class."""
UNREACHABLE = ("spark-gone", "spark-connector")
"""Codes of errors that do not depend on the content of a path."""
CLOSED = re.compile(r"on a stopped SparkContext|SparkContext was shut down|INVALID_HANDLE\.SESSION_")
"""Messages of a stopped session, or of a restarted server."""
LONGEST = 300
"""Maximum length of a quoted message."""
TASKS = ("Python worker", "Job aborted", "failed, most recent", "failed 1 times")
"""Messages about a failed task, as opposed to a failed plan or driver."""
TRACEBACK = r'(?s:.*)File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<name>.+)\n(?:[ \t].*\n)*(?P<error>\S.*)'
MORE_MEMORY = (
    "To do: process less at a time (more shards=..., a smaller spark.sql.execution.arrow.maxRecordsPerBatch, "
    "fewer spark.executor.cores), or give Python more memory outside the executor's JVM "
    "(spark.executor.memoryOverhead, and spark.executor.pyspark.memory if it is set)"
)
MORE_HEAP = (
    "To do: increase spark.executor.memory (spark.driver.memory if Spark runs in this process), or process fewer "
    "rows at a time (spark.sql.execution.arrow.maxRecordsPerBatch)"
)


def interrupted(error: BaseException | None, before: BaseException | None) -> bool:
    """Return whether an error was caused by Ctrl-C, after which Spark cancels its jobs and reports a failure.

    Args:
        error: The error.
        before: The exception that was being handled when the job began.
    """
    while error is not before and not isinstance(error, KeyboardInterrupt | None):
        error = error.__context__
    return error is not before and error is not None


def translated(error: Exception, spark: Any = None, title: str = "firesteel: a Spark job") -> Exception:
    """Return the error to raise for a failed job: a worker's firesteel error, a SparkJobError, or the same error.

    Spark's own errors that are clear, such as those about the user's plan, are returned unchanged.

    Args:
        error: The error.
        spark: The session.
        title: Description of the job.
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
    """Context manager: translate errors caused by an ended Spark driver, a stopped session or Ctrl-C.

    Ctrl-C raises KeyboardInterrupt, although Spark's own handler may fail in the middle of a call to the JVM.
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
    """Return the session of a DataFrame.  Raises DataError for any other object, such as a pandas DataFrame."""
    if not hasattr(frame, "sparkSession"):
        kind = f"{type(frame).__module__.partition('.')[0]}.{type(frame).__name__}".removeprefix("builtins.")
        raise DataError(
            f"expected a Spark DataFrame, got {kind}: spark.createDataFrame(...) converts pandas DataFrames, "
            "Arrow tables and lists of rows",
            code="data-frame",
        )
    return frame.sparkSession


def release_quietly(release: Callable[[], object]) -> None:
    """Release a resource of Spark, ignoring errors.

    It does nothing if Spark is known to be unreachable: Spark Connect would retry for minutes.
    """
    if getattr(sys.exception(), "code", None) != "spark-gone":
        with contextlib.suppress(Exception):
            release()


def gone(error: Exception, spark: Any, title: str) -> FiresteelError | None:
    """Return the error to raise if a stopped session or an ended Spark driver caused this one; otherwise None."""
    if not _of_spark(error):
        return None
    text = str(error)
    if isinstance(error, Py4JNetworkError | ConnectionError | EOFError) or "StatusCode.UNAVAILABLE" in text:
        state: str | None = "gone"
    else:
        state = "stopped" if CLOSED.search(text) else _state(spark)
    if state == "stopped" and "shut down" in text and _ended() is not None:  # the JVM ended during a job
        state = "gone"
    if state == "stopped":
        return SparkJobError(
            f"{title}: the Spark session is stopped.  To do: create a new one with firesteel.spark.session() and "
            "read the rows again, as a DataFrame ends with its session",
            code="spark-gone",
        )
    if state == "gone":
        return SparkJobError(f"{title}: {_lost(spark)}", code="spark-gone")
    if re.match(r"\[(NO_ACTIVE_\w*SESSION|SESSION_OR_CONTEXT_NOT_EXISTS)\]", text):
        return ConfigError("no Spark session is active: create one first", code="config-session")
    return None


def _of_spark(error: Exception) -> bool:
    """Return whether an error was raised in Spark's Python code."""
    if isinstance(error, PySparkException | Py4JError):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in ("pyspark", "py4j", "grpc")


def _state(spark: Any) -> str | None:
    """Return "stopped" for a stopped session, "gone" if its JVM cannot be reached, otherwise None."""
    if spark is None or not hasattr(spark, "_jsparkSession"):  # on Spark Connect
        return "stopped" if getattr(spark, "is_stopped", False) else None
    try:
        return "stopped" if spark._jsparkSession.sparkContext().isStopped() else None
    except Exception:
        return "gone"


def _lost(spark: Any) -> str:
    """Return the message for an unreachable driver."""
    if "connect" in type(spark).__module__:
        return (
            "Spark's server cannot be reached any more.  To do: check that it runs, then create a new session and "
            "read the rows again"
        )
    ended = _ended()
    why = {52: "it ran out of memory", -9: "it was killed, most likely by the operating system for its memory"}
    return (
        "Spark's driver, the JVM of this program, has ended: "
        f"{why.get(ended or 0, 'its log or the system log has the reason, most often memory')}.  To do: restart "
        "Python and Spark with another spark.driver.memory"
    )


def _ended() -> int | None:
    """Return the exit code of the JVM of this program; None if it does not exit within seconds, or does not exist."""
    with contextlib.suppress(Exception):
        return int(SparkContext._gateway.proc.wait(ENDING_SECONDS))  # type: ignore[union-attr]
    return None


def plain(text: str, title: str) -> FiresteelError:
    """Return the error that explains a message of Spark; SparkJobError if the message is not known."""
    return _found(text, title) or SparkJobError(f"{title}: the job failed on Spark: {cause(text)}")


def _found(text: str, title: str) -> FiresteelError | None:
    """Return the error that explains a message of Spark; None if the message is not known."""
    return _own(text, title) or _connector(text, title) or _known(text, title)


def _own(text: str, title: str) -> FiresteelError | None:
    """Return the firesteel error that a worker raised; None if it raised another error."""
    own = re.search(r"firesteel\.errors\.(\w+): (.*?) \[([a-z-]+)\]", text, re.DOTALL)
    kind: type[FiresteelError] | None = getattr(errors, own[1], None) if own else None
    if own and kind is not None:
        return kind(own[2], code=own[3])
    missing = re.search(r"ModuleNotFoundError: No module named '(numpy|pyarrow)[.']", text + "'")
    if missing:
        return SparkSetupError(
            f"the executors' Python has no {missing[1]}: install NumPy and pyarrow there (firesteel ships itself; "
            "PYSPARK_PYTHON selects their Python)",
            code="spark-executor",
        )
    other = re.search(r"ModuleNotFoundError: No module named '(\w+)", text)
    if other and "parcel.py" in text:
        return SparkJobError(
            f"{title}: the executors have no module {other[1]!r}, which a class of your own uses.  To do: send it "
            f"with spark.addArtifacts('{other[1]}.py', pyfile=True), before Spark 4 spark.sparkContext.addPyFile(...)"
            "; or move the code that the class uses into its own module",
            code="spark-module",
        )
    return None


def _known(text: str, title: str) -> FiresteelError | None:
    """Return the error for an unreadable file, an exception in a worker, or a lost worker or executor."""
    if "MALFORMED" in text:
        record = re.search(r"MALFORMED_\w*[^\]]*\] .*?: ?\[?(.{0,80})", text)
        shown = f", such as {record[1].strip()!r}" if record else ""
        return DataError(
            f"{title}: a line does not have the format of the others{shown}: correct or delete it", code="data-csv"
        )
    unread = re.search(r"\[FAILED_READ_FILE\S*\] .*? file (?:file:/*(?=/))?(\S+?)\.?\s", text)
    if unread:
        return DataError(
            f"{title}: {unquote(unread[1])} cannot be read: {_deepest(text, 'it is damaged')[:LONGEST]}.  To do: "
            "check that it is complete and has the named format, or leave it out",
            code="data-file",
        )
    if re.search(r"(^|: )empty collection\b", text):
        return DataError(f"{title}: contains no rows: give at least one", code="data-empty")
    if "MLUtils$.parseLibSVMRecord" in text:
        return DataError(
            f"{title}: Spark cannot read a line as LIBSVM (it supports neither qid nor comments): "
            f"{_deepest(text, 'it is damaged')[:LONGEST]}.  To do: correct it, or read the file in process",
            code="data-libsvm",
        )
    raised = re.search(TRACEBACK, text)
    if raised:
        file = raised["file"].replace("\\", "/").rpartition("/")[2]
        where = f"{file}, line {raised['line']}, in {raised['name']}"
        note = re.search(rf"^{NOTE}(.+)", text[raised.end() :], re.MULTILINE)
        at = f"; {note[1]}" if note else ""
        what, code = "a task failed in every attempt", "spark-task"
        remedy = "To do: correct the code or data there; the executor's log has the full traceback"
        if re.match(r"[\w.]*MemoryError\b", raised["error"]):
            what, code, remedy = "a Python worker ran out of memory", "spark-memory", MORE_MEMORY
        return SparkJobError(f"{title}: {what}: {raised['error'][:LONGEST]} ({where}{at}).  {remedy}", code=code)
    if "java.lang.OutOfMemoryError" in text:
        return SparkJobError(f"{title}: a JVM ran out of memory.  {MORE_HEAP}", code="spark-memory")
    if "Python worker exited unexpectedly" in text or "Python worker failed" in text:
        return SparkJobError(
            f"{title}: the Python worker of a task died in every attempt without a message, as when the operating "
            f"system kills it for its memory or native code crashes.  {MORE_MEMORY}",
            code="spark-worker",
        )
    lost = re.search(r"ExecutorLostFailure \((.*?)\)(?: Reason: (.+))?", text)
    if lost:
        reason = f": {lost[2].strip().rstrip('.')[:LONGEST]}" if lost[2] else ""
        return SparkJobError(
            f"{title}: the executor of a task was lost in every attempt{reason}.  If the cluster kills executors for "
            f"their memory: {MORE_MEMORY}",
            code="spark-executor-lost",
        )
    return None


def _connector(text: str, title: str) -> FiresteelError | None:
    """Return the error for a path whose scheme needs a connector that Spark does not have."""
    named = re.search(r'No FileSystem for scheme "?([\w+.-]+)', text)
    missing = re.search(r"ClassNotFoundException: Class (\S*FileSystem\S*) not found", text)
    if not named and not missing:
        return None
    found = (scheme for scheme, (sign, _) in CONNECTORS.items() if missing and sign in missing[1])
    scheme = named[1] if named else next(found, None)
    package = f"the package {CONNECTORS[scheme][1]}" if scheme in CONNECTORS else "the package that contains it"
    return SparkSetupError(
        f"{title}: this Spark has no connector for {f'{scheme}:// paths' if scheme else missing and missing[1]}.  "
        f"To do: start Spark with {package}, in the version of its Hadoop (spark.jars.packages)",
        code="spark-connector",
    )


def cause(text: str) -> str:
    """Return the part of a failure's text that names its cause: Spark's message with an error code, or Java's."""
    coded = re.search(r"\[[A-Z][A-Z0-9_.]+\] (.+)", text)
    found: str = coded[0] if coded else _deepest(text, text.strip().partition("\n")[0])
    return found.strip()[:LONGEST]


def _deepest(text: str, default: str) -> str:
    """Return the message of the deepest Java cause, without class names."""
    causes = re.findall(r"(?:Caused by|^): [\w.$]+: (?!\[FAILED_READ_FILE)(.+)", text, re.MULTILINE)
    return re.sub(r"!? Struct: \S+", "", causes[-1]).strip().removesuffix(".") if causes else default


def _first_failure(spark: Any, title: str) -> str | None:
    """Return the first error of the task that failed the last job with this title; None if unknown.

    Spark stores it with or without the web UI.  Spark Connect has no access to it.
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
