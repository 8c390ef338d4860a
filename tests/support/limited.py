"""Opens files in as much memory as their size justifies: a program of its own, for a limit holds for a whole process.

`python -m tests.support.limited` reads lines "READER PATH" and prints a line of JSON for each: the error's code and
message, seconds, and the mebibytes that were taken at most. Arguments of that form are sound files, opened before
without a limit, so that what is imported once is there.
"""

import hashlib
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import firesteel
from firesteel import _store as store
from firesteel.cli import rows
from firesteel.cli.config import resolve
from firesteel.cli.rows import Ask, load
from firesteel.datasets.binary import read_packed, read_pinned
from firesteel.datasets.sets import FOLDER, LABELS, REMEDY
from firesteel.errors import FiresteelError
from firesteel.models import load_model
from firesteel.report.page import render
from tests.support.files import KINDS

SPARE = 64 << 20


def drawn(path: Path, name: str) -> str:
    """Draw the page of the run in the folder beside a file, with that file in the place of one of the run's."""
    run = path.parent / "run"
    kept = (run / name).read_bytes()
    shutil.copyfile(path, run / name)
    try:
        if name == "config.toml":
            resolve(run / name, {}, {})
        return render(run)
    finally:
        (run / name).write_bytes(kept)


def split(path: str) -> object:
    """Read lines of numbers as a task of Spark's does, which is given them as they are."""
    import pyarrow as pa

    from firesteel.spark.lines import _looked_at, parse

    lines = pa.array(Path(path).read_bytes().split(b"\n"), pa.binary()).view(pa.string())
    columns = [lines, pa.array([path] * len(lines)), pa.array([0] * len(lines))]
    batch = pa.RecordBatch.from_arrays(columns, ["value", "file_path", "file_block_start"])
    chunks = parse(firesteel.__version__, "features", iter([batch]))
    return _looked_at(path, None, [row for chunk in chunks for row in chunk.to_pylist()])


DIGITS = (FOLDER / "labels-idx1-ubyte.gz").read_bytes()
PACKED = hashlib.sha256(DIGITS).hexdigest()
RUN = ("config.toml", "history.jsonl", "metrics.json", "env.json")
"""The files of a run's folder that its page is made of."""
READERS: dict[str, Callable[[str], object]] = {
    **{name: lambda path, kind=kind: kind.opened(store.read(path)) for name, kind in KINDS.items()},
    "weights": lambda path: load_model(path).count_params(),
    **{form: lambda path, form=form: load(Ask(path, form, labelled=False)) for form in rows.READERS},
    **{form: lambda path: load(Ask(path, "numpy", labelled=False)) for form in ("npy", "npz")},
    "set": lambda path: read_pinned(Path(path), LABELS, REMEDY),
    "packed-set": lambda path: read_packed(Path(path), PACKED, REMEDY),
    "lines": split,
    "toml": lambda path: resolve(Path(path), {}, {}),
    **{name: lambda path, name=name: drawn(Path(path), name) for name in RUN},
}
PAGE = os.sysconf("SC_PAGE_SIZE")


def memory(line: str) -> int:
    """Return bytes that the system says of this process."""
    words = next(found for found in Path("/proc/self/status").read_text().splitlines() if found.startswith(line))
    return int(words.split()[1]) << 10


def opened(reader: str, path: str, limited: bool = True) -> dict[str, object]:
    """Open a file; return what came of it.  limited: whether it gets no more memory than its size justifies."""
    Path("/proc/self/clear_refs").write_text("5")  # the highest is counted from here on
    most, before = memory("VmSize:") + 2 * os.path.getsize(path) + SPARE, memory("VmRSS:")
    resource.setrlimit(resource.RLIMIT_AS, (most if limited else resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    begun, code, said = time.perf_counter(), "", ""
    try:
        READERS[reader](path)
    except FiresteelError as error:
        code, said = error.code, str(error)
    except Exception as error:
        code, said = type(error).__name__, str(error)[:300]
    seconds = time.perf_counter() - begun
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return {"code": code, "said": said, "seconds": seconds, "mib": (memory("VmHWM:") - before) >> 20}


if __name__ == "__main__":
    np.linalg.norm(np.ones((50, 50)) @ np.ones((50, 50)))  # what is made once is made now
    for good in sys.argv[1:]:
        reader, path = good.split(" ", 1)
        READERS[reader](path)
    for line in sys.stdin:
        print(json.dumps(opened(*line.rstrip("\n").split(" ", 1))), flush=True)
