"""What Spark says of a job that failed, in one sentence: what happened first, and what to do, without Java's stack.

Spark tries a task again and then tells of the last attempt, and a JVM wraps that in pages of its own.  So the status
that Spark keeps of each task is asked for the first one.  `engine.py` is what runs jobs.
"""

import contextlib
import re
from typing import Any

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException

from firesteel import errors
from firesteel.errors import DataError, FiresteelError, SparkJobError, SparkSetupError
from firesteel.spark.worker import NOTE

__all__ = ["interrupted", "plain", "translated"]

LISTENER_MS = 5000
"""How long Spark may take to have noted what became of its tasks."""
ATTEMPTS = 1000
"""How many failed attempts at a stage's tasks are looked through."""
LONGEST = 300
"""Characters of somebody else's message that are shown."""
TASKS = ("Python worker", "Job aborted", "failed, most recent", "failed 1 times")
"""What is said where a task failed, and not the plan or its driver."""
TRACEBACK = r'(?s:.*)File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<name>.+)\n(?:[ \t].*\n)*(?P<error>\S.*)'
MORE_MEMORY = (
    "To do: less at a time (more shards=..., a smaller spark.sql.execution.arrow.maxRecordsPerBatch, fewer "
    "spark.executor.cores), or more memory beside the executor's JVM (spark.executor.memoryOverhead, and "
    "spark.executor.pyspark.memory where that is set)"
)
MORE_HEAP = (
    "To do: a larger spark.executor.memory (spark.driver.memory, where Spark runs in this program), or fewer rows at "
    "a time, spark.sql.execution.arrow.maxRecordsPerBatch"
)


def interrupted(error: BaseException | None, before: BaseException | None) -> bool:
    """Return whether an error came of Ctrl-C, upon which Spark cancels its jobs and then tells that they failed.

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
    if isinstance(error, Py4JNetworkError | ConnectionError | EOFError):
        return SparkJobError(
            f"{title}: Spark's driver, the JVM beside this program, is gone.  Its log or the system's says why; most "
            "often it is memory.  To do: start Python and a session again, with another spark.driver.memory",
            code="spark-gone",
        )
    if not isinstance(error, PySparkException | Py4JError):
        return error
    said = str(error).partition("\n\nJVM stacktrace:")[0]
    text = said
    if any(sign in text for sign in TASKS):
        text = _first_failure(spark, title) or text
    return plain(text, title) if "\tat " in said else _own(text) or _known(text, title) or error


def plain(text: str, title: str) -> FiresteelError:
    """Return the error for what Spark said: that of a worker or a file, of a task that failed, or SparkJobError."""
    return _own(text) or _known(text, title) or _other(text, title)


def _own(text: str) -> FiresteelError | None:
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
    return None


def _known(text: str, title: str) -> FiresteelError | None:
    """Return the error for a line that Spark could not read, an exception in a worker, or for one that died."""
    if "MALFORMED" in text:
        record = re.search(r"MALFORMED_\w*[^\]]*\] .*?: ?\[?(.{0,80})", text)
        shown = f", such as {record[1].strip()!r}" if record else ""
        return DataError(f"{title}: a line is not as the others are{shown}: mend it, or drop it", code="data-csv")
    raised = re.search(TRACEBACK, text)
    if raised:
        file = raised["file"].replace("\\", "/").rpartition("/")[2]
        where = f"{file}, line {raised['line']}, in {raised['name']}"
        note = re.search(rf"^{NOTE}(.+)", text[raised.end() :], re.MULTILINE)
        at = f"; {note[1]}" if note else ""
        if re.match(r"[\w.]*MemoryError\b", raised["error"]):
            return SparkJobError(
                f"{title}: a Python worker found no more memory: {raised['error'][:LONGEST]} ({where}{at}).  "
                f"{MORE_MEMORY}",
                code="spark-memory",
            )
        return SparkJobError(
            f"{title}: a task failed each time that Spark tried it: {raised['error'][:LONGEST]} ({where}{at}).  "
            "To do: mend what is at that place; the log of its executor has the whole traceback",
            code="spark-task",
        )
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


def _other(text: str, title: str) -> FiresteelError:
    """Return the error for what else went wrong in a JVM: Spark's own message with a code, else the deepest cause."""
    coded = re.search(r"\[[A-Z][A-Z0-9_.]+\] (.+)", text)
    causes = re.findall(r"(?:Caused by|^): [\w.$]+: (.+)", text, re.MULTILINE)
    cause = coded[0] if coded else causes[-1] if causes else text.strip().partition("\n")[0]
    return SparkJobError(f"{title}: the job failed on Spark: {cause.strip()[:LONGEST]}")


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
    told = job.description()
    return str(told.get()) if told.isDefined() else ""
