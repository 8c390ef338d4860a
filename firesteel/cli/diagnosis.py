"""The checks of `firesteel doctor`, one function per problem; each yields findings with their remedies.

`doctor.py` runs and prints them.  The last ones check a small Spark job (`firesteel/spark/probe.py`) and rows.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firesteel._advice import sizes
from firesteel.cli.rows import TABLES, Ask, FileRows, load, unfit
from firesteel.cli.task import are_classes, decide, labels_of, spelled
from firesteel.cli.words import counted, kind_of
from firesteel.errors import DataError
from firesteel.spark.session import java_problem
from firesteel.tables.schema import CategoryColumn, ColumnValues, TableColumn, TimeColumn, local

if TYPE_CHECKING:
    from firesteel.spark.probe import Probe


GIBIBYTE = 2**30
LEAST_DISK = 2 * GIBIBYTE
LEAST_MEMORY = 1.5 * GIBIBYTE
QUIET = ("ERROR", "FATAL", "OFF")
MOST_LISTED = 20
"""Greatest number of columns that are listed."""
ASK = """\
import importlib.util, json, sys
print(json.dumps({"python": "%d.%d" % sys.version_info[:2],
                  "missing": [n for n in ("numpy", "pyarrow") if importlib.util.find_spec(n) is None]}))
"""
"""Program that reports the version and the missing packages of a worker's Python."""


@dataclass(frozen=True)
class Diagnosis:
    """One line that `firesteel doctor` prints: what was found, whether it is a problem, and the remedy.

    Args:
        what: The finding, in one line.
        todo: The remedy, in one line; None if there is no problem.
        stops: Whether the problem prevents running.
    """

    what: str
    todo: str | None = None
    stops: bool = False


def before_spark() -> Iterator[Diagnosis]:
    """Yield findings that do not need Spark to run."""
    yield Diagnosis(f"Python {sys.version.split()[0]}, NumPy {np.__version__}, {sys.executable}")
    yield from _packages()
    if "SPARK_REMOTE" in os.environ:
        yield Diagnosis(
            f"SPARK_REMOTE is set: Spark runs on the server {os.environ['SPARK_REMOTE'].partition(';')[0]}"
        )
        return
    yield _java()
    yield _worker()
    yield from _plain_python()
    yield _disk()


def _packages() -> Iterator[Diagnosis]:
    missing = [name for name in ("pyspark", "pandas", "pyarrow") if find_spec(name) is None]
    if missing:
        yield Diagnosis(f"{' and '.join(missing)} not installed", 'pip install "firesteel[spark]"', stops=True)
        return
    yield Diagnosis(", ".join(f"{name} {_version(name)}" for name in ("pyspark", "pandas", "pyarrow")))
    if int(_version("pandas").partition(".")[0]) >= 3:
        yield Diagnosis(f"pandas {_version('pandas')} is newer than Spark supports", 'pip install "pandas>=2.2.2,<3"')


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "0 (version unknown)"


def _java() -> Diagnosis:
    problem = java_problem()
    if problem is None:
        home = os.environ.get("JAVA_HOME")
        return Diagnosis(f"Java is suitable: {Path(home, 'bin', 'java') if home else shutil.which('java')}")
    what, _, remedy = problem.rpartition(": ")
    return Diagnosis(what, remedy, stops=True)


def _worker() -> Diagnosis:
    """Check the Python that PYSPARK_PYTHON names for workers."""
    named = os.environ.get("PYSPARK_PYTHON")
    if named is None:
        return Diagnosis("workers run this Python")
    whose = f"PYSPARK_PYTHON={named}"
    remedy = f"unset PYSPARK_PYTHON, or export PYSPARK_PYTHON={sys.executable}"
    answer = _asked(named)
    if isinstance(answer, str):
        return Diagnosis(f"{whose}: workers cannot run it ({answer})", remedy, stops=True)
    if answer["missing"]:
        missing = " and ".join(answer["missing"])
        return Diagnosis(
            f"{whose}: {missing} not installed there", f"install {missing} there, or {remedy}", stops=True
        )
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if str(answer["python"]) != here:
        what = f"{whose} is Python {answer['python']}, but the driver is {here}: Spark requires the same version"
        return Diagnosis(what, remedy, stops=True)
    return Diagnosis(f"workers run {named}, Python {answer['python']} with NumPy and pyarrow")


def _plain_python() -> Iterator[Diagnosis]:
    """Check the Python that Spark uses by default: `python3` on the PATH."""
    if "PYSPARK_PYTHON" in os.environ:
        return
    found = shutil.which("python3")
    answer = None if found is None else _asked(found)
    if isinstance(answer, dict) and answer["missing"]:
        yield Diagnosis(
            f"Spark sessions that firesteel does not create would run {found}, which has no "
            f"{' and '.join(answer['missing'])}",
            f"before using spark-submit or SparkSession.builder: export PYSPARK_PYTHON={sys.executable}",
        )


def _asked(python: str) -> dict[str, Any] | str:
    """Run a Python interpreter; return its version and missing packages, or why it cannot run."""
    try:
        done = subprocess.run(
            [python, "-c", ASK], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    except subprocess.TimeoutExpired:
        return "no answer in 20 s"
    except OSError as error:
        return str(error.strerror)
    except ValueError:
        return f"exit code {done.returncode}"


def _disk() -> Diagnosis:
    """Check the folder in which Spark stores shuffled and cached rows."""
    place = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0]
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        remedy = "set SPARK_LOCAL_DIRS to a folder with free space"
        return Diagnosis(f"{place}, Spark's local folder, cannot be used: {error.strerror}", remedy, stops=True)
    if not os.access(place, os.W_OK):
        remedy = "set SPARK_LOCAL_DIRS to a folder that you can write to"
        return Diagnosis(f"{place}, Spark's local folder, is not writable", remedy, stops=True)
    remedy = "free space, or set SPARK_LOCAL_DIRS to a folder with more"
    room = f"{place}, Spark's local folder, has {free / GIBIBYTE:.1f} GiB of free space"
    return Diagnosis(room, remedy if free < LEAST_DISK else None)


def of_session(found: "Probe") -> Iterator[Diagnosis]:
    """Yield findings about a Spark session, for which a small job is run."""
    worker = found.worker
    yield Diagnosis(
        f"Spark {found.version} ran a job; a worker is Python {worker['python']}, NumPy {worker['numpy']}, "
        f"pyarrow {worker['pyarrow']}"
    )
    if found.memory is not None:
        memory = f"the driver's memory is {found.memory / GIBIBYTE:.1f} GiB"
        small = found.memory < LEAST_MEMORY
        yield Diagnosis(
            memory, "set --driver-memory 4g, or spark.driver.memory before Spark starts" if small else None
        )
    if found.log is not None and found.log not in QUIET:
        remedy = 'spark.sparkContext.setLogLevel("ERROR"), or create the session with firesteel.spark.session()'
        yield Diagnosis(f"Spark's log level is {found.log}: its lines hide the progress of a training", remedy)
    if found.progress:
        yield Diagnosis(
            "Spark's progress bar overwrites firesteel's", "set --conf spark.ui.showConsoleProgress=false"
        )


def of_file(wanted: Ask) -> Iterator[Diagnosis]:
    """Yield findings about the columns of a file, and about the rows of its valid columns.

    Raises:
        ConfigError: If the settings do not fit the file.
        DataError: If there are no columns to check.
    """
    if wanted.format not in TABLES or "://" in wanted.path:
        yield from of_rows(load(wanted, finite=False))
        return
    picked, faults = unfit(wanted)
    path, sound = wanted.path, tuple(name for name in picked.features if name not in faults)
    rows: FileRows | None = None
    wrong = ""
    try:
        rows = load(replace(wanted, features=sound)) if sound else None
    except DataError as error:
        wrong = str(error).removesuffix(f" [{error.code}]")
    count = len(picked.features) + len(picked.label)
    if faults or wrong:
        what = f"{path}: {len(faults) + bool(wrong):,} of {count:,} columns cannot be trained on"
        yield Diagnosis(what, "see the findings below", stops=True)
    if wrong:
        yield Diagnosis(wrong, "fix this, or drop those rows", stops=True)
    for fault in list(faults.values())[:MOST_LISTED]:
        yield Diagnosis(fault, "fix this, or leave the column out", stops=True)
    if more := list(faults)[MOST_LISTED:]:
        left = ", ".join(map(repr, more[:MOST_LISTED]))
        yield Diagnosis(f"{path}: and {len(more):,} more, such as {left}", "check those too", stops=True)
    if faults and sound:
        shown = ",".join(sound[:MOST_LISTED]) + (",..." if len(sound) > MOST_LISTED else "")
        yield Diagnosis(f"{path}: valid features: {len(sound):,}", f"to train on those only: --features {shown}")
    if rows is not None:
        yield from of_rows(rows)


def of_rows(rows: FileRows) -> Iterator[Diagnosis]:
    """Yield findings about rows of numbers that need no encoding."""
    if rows.table is not None:
        yield from _of_table(rows)
        return
    x = np.asarray(rows.x, np.float64)
    yield Diagnosis(f"{rows.source}: {len(x):,} rows of {x.shape[1]:,} inputs")
    wrong = ~np.isfinite(x)
    bad, columns = wrong.any(axis=1), wrong.sum(axis=0)
    if bad.any():
        most = np.flatnonzero(columns)
        shown = [
            f"{rows.names[at] if rows.names else f'input {at}'}: {columns[at]:,}"
            for at in most[:MOST_LISTED].tolist()
        ]
        more = f", and {len(most) - MOST_LISTED:,} more" if len(most) > MOST_LISTED else ""
        yield Diagnosis(
            f"{rows.source}: {int(bad.sum()):,} rows hold NaN or infinite values, the first in row {bad.argmax()} "
            f"({', '.join(shown)}{more})",
            "drop those rows, or fill them in",
            stops=True,
        )
        x = x[~bad]
    size, wide = sizes(x.mean(axis=0), x.std(axis=0)) if len(x) else (np.zeros(x.shape[1]), 0)
    if wide:
        at = int(size.argmax())
        name = repr(rows.names[at]) if rows.names else f"input {at}"
        yield Diagnosis(
            f"{rows.source}: inputs are not scaled: {wide:,} of {len(size):,} have large values, {name} up to "
            f"{size[at]:.3g}",
            "`firesteel train` scales them; in Python start with Normalization(), or Rescaling(1 / 255) for pixels",
        )
    if rows.y is not None:
        yield from _labels(rows)


def _of_table(rows: FileRows) -> Iterator[Diagnosis]:
    """Yield findings about a table: its features, the columns left out, and the label."""
    assert rows.table is not None and rows.schema is not None
    columns = rows.schema.columns
    features = f"{counted(len(columns), 'feature')} of {counted(len(rows.table), 'column')}"
    yield Diagnosis(f"{rows.source}: {counted(len(rows.x), 'row')}, {features}")
    for column in columns[:MOST_LISTED]:
        values = rows.table[column.name]
        yield Diagnosis(f"{column.name}: {_described(column, values)}")
    if (more := len(columns) - MOST_LISTED) > 0:
        yield Diagnosis(f"and {more:,} more features")
    for name, why in rows.schema.left_out[:MOST_LISTED]:
        yield Diagnosis(f"{name}: left out: {why}")
    if (more := len(rows.schema.left_out) - MOST_LISTED) > 0:
        yield Diagnosis(f"and {more:,} more columns are left out")
    if rows.y is not None:
        yield _balance(rows)
        return
    few = [one.name for one in columns if isinstance(one, CategoryColumn) and one.one_hot][:5]
    shown = f"; columns with few values: {', '.join(few)}" if few else ""
    yield Diagnosis(f"no label given{shown}", "choose the column to predict with --label")


def _balance(rows: FileRows) -> Diagnosis:
    """Describe the learning task and how frequent each class is."""
    try:
        task = decide(labels_of(rows), None)
    except DataError as error:
        return Diagnosis(str(error).removesuffix(f" [{error.code}]"), "choose another with --label", stops=True)
    if task.kind != "classification" or rows.y.ndim > 1:
        return Diagnosis(task.decision)
    found, counts = np.unique(rows.y, return_counts=True)
    shares = [f"{spelled(found[at].item())} {counts[at] / counts.sum():.1%}" for at in np.argsort(-counts)[:5]]
    return Diagnosis(f"{task.decision}: {', '.join(shares)}{', ...' if len(found) > 5 else ''}")


def _described(column: TableColumn, values: ColumnValues) -> str:
    """Describe a table's column: its kind, values and missing values."""
    words, there = [kind_of(column)], ~values.absent
    if isinstance(column, CategoryColumn):
        words.append(f"{len(column.levels):,} values, such as {', '.join(map(repr, column.levels[:3]))}")
    elif isinstance(column, TimeColumn):
        some = local(values, column.zone)[there]
        words.append(" to ".join(str(np.datetime64(int(end), "us"))[:10] for end in (some.min(), some.max())))
    else:
        some = values.data[there]
        words.append(f"{some.min():g} to {some.max():g}")
    if gone := int(values.absent.sum()):
        words.append(f"{gone / len(values):.1%} missing")
    return ", ".join(words)


def _labels(rows: FileRows) -> Iterator[Diagnosis]:
    labels = labels_of(rows)
    if labels.columns > 1 or labels.kind == "number":
        return
    if labels.kind == "whole" and not are_classes(labels.values, labels.rows):
        yield Diagnosis(f"{rows.source}: {labels.name} holds {labels.text}: a regression target, not classes")
    elif labels.values is None:
        yield Diagnosis(
            f"{rows.source}: {labels.name} holds {labels.text}: too many for classes",
            "choose another with --label",
        )
    elif labels.values != tuple(range(len(labels.values))):
        shown = ", ".join(spelled(value) for value in labels.values[:5]) + (", ..." if len(labels.values) > 5 else "")
        yield Diagnosis(
            f"{rows.source}: labels are not 0 to {len(labels.values) - 1}: {labels.name} holds {shown}",
            "`firesteel train` numbers them; in Python use StringIndexer, or np.unique(y, return_inverse=True)",
        )
