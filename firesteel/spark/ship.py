"""Ships firesteel to the executors by itself: they need only NumPy and pyarrow.

The package is pure Python, so a zip of it is all there is to send: 0.4 MB.  It is named after its content, because
Spark refuses another file under a name it knows.  It holds the whole package, since Spark puts it on the path of this
process and its children as well.
"""

import atexit
import functools
import hashlib
import io
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from importlib.abc import Traversable
from importlib.resources import files
from pathlib import Path
from typing import Any

import firesteel
from firesteel.errors import ConfigError

ONE = threading.Lock()
BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"


@functools.cache
def archive() -> str:
    """Write the zip, once a process; return its path."""
    sources = dict(sorted(_files(files(firesteel), "firesteel")))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in sources.items():
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    digest = hashlib.sha256(b"".join(name.encode() + data for name, data in sources.items())).hexdigest()
    folder = tempfile.mkdtemp(prefix="firesteel-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, f"firesteel-{firesteel.__version__}-{digest[:8]}.zip")
    path.write_bytes(buffer.getvalue())
    return str(path)


def _files(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of a package's files, which may lie in a folder or in a zip."""
    for entry in folder.iterdir():
        inner = f"{name}/{entry.name}"
        if entry.is_file():
            yield inner, entry.read_bytes()
        elif entry.name != "__pycache__":
            yield from _files(entry, inner)


def ship(spark: Any) -> None:
    """Send the package to the session's executors; a second time costs next to nothing.

    One at a time: a Connect server fails when two threads bring it the same file at once.
    Raises ConfigError where the session sets no bound to the rows that Spark hands to Python at a time.
    """
    check_batch(spark)
    with ONE:
        if spark.version < "4":
            spark.sparkContext.addPyFile(archive())
        else:
            spark.addArtifacts(archive(), pyfile=True)


def check_batch(spark: Any) -> None:
    """Refuse batches without a bound: from a cached frame Spark 4.3 never ends to make one."""
    rows = spark.conf.get(BATCH)
    if int(rows) <= 0:
        raise ConfigError(
            f"{BATCH} is {rows}: no bound, with which Spark 4.3 reads cached frames for ever.  "
            f'To do: spark.conf.set("{BATCH}", 10000)',
            code="config-batch",
        )
