"""How firesteel and its tasks reach the executors, which need only NumPy and pyarrow.

The package is pure Python, so a zip of it is all there is to send: 0.4 MB.  It is named after its content, because
Spark refuses another file under a name it knows.  It holds the whole package, since Spark puts it on the path of this
process and its children as well.
A task travels in the closure of its job, and its large arrays apart from it: Spark keeps what a large closure holds
on the driver's disk until the session ends, and Spark Connect takes no message above 128 MiB.  So large arrays travel
as a broadcast that is destroyed after the job; on Spark Connect, which has no broadcasts, as a file.  `engine.py`
sends, `worker.py` opens.
Classes of users' own travel by value, in the bytes that this process makes of a task or of what scores: executors
need not have them, and a module of that name that they do have is not used.
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


# Tasks


BROADCAST_BYTES = 1 << 20
"""Arrays that weigh more than this are broadcast on classic Spark, which would do it itself and not clean up."""
FILE_BYTES = 64 << 20
"""Arrays that weigh more than this are a file on Spark Connect, whose messages must stay below 128 MiB."""
SMALL = 1 << 16
"""Arrays below this stay in the closure always."""
ALIGNED = 64
"""Arrays in a file begin at multiples of this: at odd addresses NumPy's sums have other bits."""

APART = {"__main__", "builtins", "abc", "typing", "firesteel"}
"""Modules whose classes cloudpickle writes down anyway, or that executors have."""
_PROCESS = uuid.uuid4().hex
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Parcel:
    """A pickled value.  apart: its large arrays, as a broadcast or as the name of a file, with the size of each."""

    head: bytes
    sizes: tuple[int, ...] = ()
    apart: Any = None

    def open(self) -> Any:
        """Return the value, on an executor; large arrays cannot be written to."""
        if self.apart is None:
            return pickle.loads(self.head)
        if not isinstance(self.apart, str):
            return pickle.loads(self.head, buffers=self.apart.value)
        whole = memoryview(_mapped(self.apart))
        starts = itertools.accumulate((size + -size % ALIGNED for size in self.sizes), initial=0)
        parts = [whole[start : start + size] for start, size in zip(starts, self.sizes, strict=False)]
        return pickle.loads(self.head, buffers=parts)


def classes_of(network: Network, *more: Any) -> tuple[type, ...]:
    """Return users' classes in a network, in what it learns, and in more specs."""
    if not OWN:
        return ()
    learned = [param for owned in network.params for param in owned.values()]
    return tuple(classes_in(network.layers, learned, *more))


CLOUD: Any = cloudpickle


class Whole(CLOUD.CloudPickler):  # type: ignore[misc]
    """A pickler that writes what is in modules which travel by value, where they import one another, too."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, types.ModuleType) or obj.__name__.partition(".")[0] not in BY_VALUE():
            return super().reducer_override(obj)
        content = {name: one for name, one in vars(obj).items() if name not in LOADED}
        return types.ModuleType, (obj.__name__,), content, None, None, filled


BY_VALUE = CLOUD.list_registry_pickle_by_value
LOADED = {"__builtins__", "__cached__", "__file__", "__loader__", "__path__", "__spec__"}
"""What a module has of where it was loaded from."""


def filled(module: types.ModuleType, content: dict[str, Any]) -> None:
    """Put the content into a module that was empty."""
    vars(module).update(content)


def pickled(value: Any, kinds: Collection[type], **how: Any) -> bytes:
    """Return a value's bytes, with users' classes in it by value, and what these call of their packages.

    Raises ConfigError where such a class holds what cannot be pickled.
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
                f"{shown} cannot be sent to executors: {error}.  To do: have the methods use nothing but their "
                "arguments, fields, functions and modules",
                code="config-class",
            ) from None
        finally:
            for module in modules:
                CLOUD.unregister_pickle_by_value(module)


def revived(kind: type, head: bytes) -> Any:
    """Return the instance whose attributes these are the bytes of."""
    made: Any = object.__new__(kind)
    vars(made).update(pickle.loads(head))
    return made


@contextlib.contextmanager
def sent(spark: Any, value: Any, kinds: Collection[type] = ()) -> Iterator[Parcel]:
    """Give a value as a parcel that the executors can open until the end of the block.

    kinds: users' classes in it.
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
            with contextlib.suppress(Exception):  # where Spark is gone, so is the broadcast
                broadcast.destroy()


def context_of(spark: Any) -> SparkContext | None:
    """Return the context of a classic session; None where there is none to be had, as on Spark Connect."""
    try:
        found: SparkContext = spark.sparkContext
        return found
    except Exception:
        return None


def _uploaded(spark: Any, buffers: list[pickle.PickleBuffer]) -> str:
    """Send buffers as a file; return its name, which says the order of those of a thread: others may train too."""
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
    """Return the bytes of a file that was sent; delete the ones before it, whose jobs have ended, from the disk."""
    from pyspark import SparkFiles

    path = Path(SparkFiles.get(name))
    stem, _, number = path.stem.rpartition("-")
    for other in path.parent.glob(f"{stem}-*.task"):
        if int(other.stem.rpartition("-")[2]) < int(number):
            other.unlink(missing_ok=True)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
