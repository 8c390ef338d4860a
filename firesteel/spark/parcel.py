"""Sends firesteel itself and tasks to executors, which need only NumPy and pyarrow.

The package is sent as a zip of 0.4 MB.  Its name contains a hash of its content, as Spark rejects another file with a
known name.  It contains the whole package, as Spark also puts it on the path of this process and its children.

A task travels in the closure of its job.  Large arrays travel separately, since Spark keeps large closures on the
driver's disk until the session ends and Spark Connect limits messages to 128 MiB: as a broadcast that is destroyed
after the job, or as a file on Spark Connect, which has no broadcasts.

Users' own classes travel by value: executors need not have them, and do not use their own module of that name.
"""

import atexit
import contextlib
import functools
import hashlib
import io
import itertools
import mmap
import pickle
import shutil
import sys
import tempfile
import threading
import types
import uuid
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.abc import Traversable
from importlib.resources import files
from pathlib import Path
from typing import Any

from pyspark import SparkContext, cloudpickle

import firesteel
from firesteel.core.elsewhere import OWN
from firesteel.core.network import Network
from firesteel.errors import ConfigError
from firesteel.extending import classes_in

# The package


ONE = threading.Lock()
BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"


@functools.cache
def archive() -> str:
    """Write the package as a zip once per process; return its path."""
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
    """Yield the names and contents of a package's files, from a folder or a zip."""
    for entry in folder.iterdir():
        inner = f"{name}/{entry.name}"
        if entry.is_file():
            yield inner, entry.read_bytes()
        elif entry.name != "__pycache__":
            yield from _files(entry, inner)


def ship(spark: Any) -> None:
    """Send the package to the session's executors, unless that was done.

    A lock serializes calls, as a Connect server fails if two threads send it the same file.

    Raises:
        ConfigError: `config-batch`, if the session does not limit the size of Arrow batches.
    """
    check_batch(spark)
    with ONE:
        if spark.version < "4":
            spark.sparkContext.addPyFile(archive())
        else:
            spark.addArtifacts(archive(), pyfile=True)


def check_batch(spark: Any) -> None:
    """Raise ConfigError if Arrow batches have no size limit: Spark 4.3 then reads cached frames forever."""
    rows = spark.conf.get(BATCH)
    if int(rows) <= 0:
        raise ConfigError(
            f"{BATCH} is {rows}, which means no limit, and Spark 4.3 then reads cached frames forever.  "
            f'To do: spark.conf.set("{BATCH}", 10000)',
            code="config-batch",
        )


# Tasks


BROADCAST_BYTES = 1 << 20
"""Larger arrays are broadcast on classic Spark, which would otherwise do so itself without cleaning up."""
FILE_BYTES = 64 << 20
"""Larger arrays are sent as a file on Spark Connect, whose messages are limited to 128 MiB."""
SMALL = 1 << 16
"""Smaller arrays always stay in the closure."""
ALIGNED = 64
"""Alignment of arrays in a file: at odd addresses NumPy's sums have other bits."""

APART = {"__main__", "builtins", "abc", "typing", "firesteel"}
"""Modules whose classes cloudpickle writes by value anyway, or that executors have."""
_PROCESS = uuid.uuid4().hex
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Parcel:
    """A pickled value for executors, with large arrays in a file.

    Args:
        head: The pickle.
        sizes: Sizes of the large arrays.
        apart: The large arrays, as a broadcast or as the name of a file; None if they are in the pickle.
    """

    head: bytes
    sizes: tuple[int, ...] = ()
    apart: Any = None

    def open(self) -> Any:
        """Unpickle the value on an executor; large arrays are read-only."""
        if self.apart is None:
            return pickle.loads(self.head)
        if not isinstance(self.apart, str):
            return pickle.loads(self.head, buffers=self.apart.value)
        whole = memoryview(_mapped(self.apart))
        starts = itertools.accumulate((size + -size % ALIGNED for size in self.sizes), initial=0)
        parts = [whole[start : start + size] for start, size in zip(starts, self.sizes, strict=False)]
        return pickle.loads(self.head, buffers=parts)


def classes_of(network: Network, *more: Any) -> tuple[type, ...]:
    """Return the users' own classes in a network, its parameters and further specs."""
    if not OWN:
        return ()
    learned = [param for owned in network.params for param in owned.values()]
    return tuple(classes_in(network.layers, learned, *more))


CLOUD: Any = cloudpickle


class Whole(CLOUD.CloudPickler):  # type: ignore[misc]
    """Pickler that includes the content of the user's modules, even if they import one another."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, types.ModuleType) or obj.__name__.partition(".")[0] not in BY_VALUE():
            return super().reducer_override(obj)
        content = {name: one for name, one in vars(obj).items() if name not in LOADED}
        return types.ModuleType, (obj.__name__,), content, None, None, filled


BY_VALUE = CLOUD.list_registry_pickle_by_value
LOADED = {"__builtins__", "__cached__", "__file__", "__loader__", "__path__", "__spec__"}
"""Attributes of a module that depend on where it was loaded from."""


def filled(module: types.ModuleType, content: dict[str, Any]) -> None:
    """Fill an empty module with unpickled content."""
    vars(module).update(content)


def pickled(value: Any, kinds: Collection[type], **how: Any) -> bytes:
    """Pickle a value, with the users' own classes and the modules that they use by value.

    Args:
        value: The value.
        kinds: The users' own classes in it.
        how: Further arguments of the pickler.

    Raises:
        ConfigError: `config-class`, if such a class contains something that cannot be pickled.
    """
    if not kinds:
        plain: bytes = CLOUD.dumps(value, protocol=5, **how)
        return plain
    packages = {base.__module__.partition(".")[0] for kind in kinds for base in kind.__mro__} & sys.modules.keys()
    with ONE:
        modules = [sys.modules[name] for name in packages - APART - BY_VALUE()]
        for module in modules:
            CLOUD.register_pickle_by_value(module)
        file = io.BytesIO()
        try:
            Whole(file, protocol=5, **how).dump(value)
            return file.getvalue()
        except Exception as error:
            shown = ", ".join(kind.__name__ for kind in kinds)
            raise ConfigError(
                f"{shown} cannot be sent to executors: {error}.  To do: let its methods use only their arguments, "
                "fields, functions and modules",
                code="config-class",
            ) from None
        finally:
            for module in modules:
                CLOUD.unregister_pickle_by_value(module)


def revived(kind: type, head: bytes) -> Any:
    """Unpickle an instance from its class and pickled attributes."""
    made: Any = object.__new__(kind)
    vars(made).update(pickle.loads(head))
    return made


@contextlib.contextmanager
def sent(spark: Any, value: Any, kinds: Collection[type] = ()) -> Iterator[Parcel]:
    """Context manager: a value as a `Parcel` that executors can open within the block.

    Args:
        spark: The session.
        value: The value.
        kinds: The users' own classes in it.
    """
    context = context_of(spark)
    large: list[pickle.PickleBuffer] = []

    def in_closure(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes >= SMALL:
            large.append(buffer)
        return buffer.raw().nbytes < SMALL

    head = pickled(value, kinds, buffer_callback=in_closure)
    sizes = tuple(buffer.raw().nbytes for buffer in large)
    if sum(sizes) <= (FILE_BYTES if context is None else BROADCAST_BYTES):
        yield Parcel(pickled(value, kinds) if large else head)
    elif context is None:
        yield Parcel(head, sizes, _uploaded(spark, large))
    else:
        broadcast = context.broadcast(large)
        try:
            yield Parcel(head, sizes, broadcast)
        finally:
            with contextlib.suppress(Exception):  # if Spark has ended, so has the broadcast
                broadcast.destroy()


def context_of(spark: Any) -> SparkContext | None:
    """Return the SparkContext of a classic session; None on Spark Connect."""
    try:
        found: SparkContext = spark.sparkContext
        return found
    except Exception:
        return None


def _uploaded(spark: Any, buffers: list[pickle.PickleBuffer]) -> str:
    """Send buffers to executors as a file; return its name, which is unique to this thread."""
    with tempfile.TemporaryDirectory(prefix="firesteel-") as folder:
        path = Path(folder, f"firesteel-{_PROCESS}-{threading.get_ident()}-{next(_NUMBERS)}.task")
        with path.open("wb") as file:
            for buffer in buffers:
                file.write(buffer.raw())
                file.write(bytes(-buffer.raw().nbytes % ALIGNED))
        spark.addArtifacts(str(path), file=True)
    return path.name


@functools.lru_cache(maxsize=1)
def _mapped(name: str) -> mmap.mmap:
    """Map a sent file into memory; delete earlier files of the same thread, whose jobs have ended."""
    from pyspark import SparkFiles

    path = Path(SparkFiles.get(name))
    stem, _, number = path.stem.rpartition("-")
    for other in path.parent.glob(f"{stem}-*.task"):
        if int(other.stem.rpartition("-")[2]) < int(number):
            other.unlink(missing_ok=True)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
