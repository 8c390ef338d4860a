"""Open files with limited memory; a separate program, because the limit applies to the whole process.

`python -m tests.support.limited` reads lines "READER PATH" and prints a line of JSON for each: the error's code and
message, seconds, and the peak memory in MiB. Arguments of that form are good files, which are opened first without a
limit, to complete all imports.
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
    """Write the report of the run next to a file, with that file in place of one of the run's."""
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
    """Read lines of numbers as a Spark task does."""
    import pyarrow as pa

    from firesteel.spark.lines import _validated, parse

    lines = pa.array(Path(path).read_bytes().split(b"\n"), pa.binary()).view(pa.string())
    columns = [lines, pa.array([path] * len(lines)), pa.array([0] * len(lines))]
    batch = pa.RecordBatch.from_arrays(columns, ["value", "file_path", "file_block_start"])
    chunks = parse(firesteel.__version__, "features", iter([batch]))
    return _validated(path, None, [row for chunk in chunks for row in chunk.to_pylist()])


DIGITS = (FOLDER / "labels-idx1-ubyte.gz").read_bytes()
PACKED = hashlib.sha256(DIGITS).hexdigest()
RUN = ("config.toml", "history.jsonl", "metrics.json", "env.json")
"""The files of a run folder from which the report is made."""
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
    """Return a number of bytes from the status of this process."""
    words = next(found for found in Path("/proc/self/status").read_text().splitlines() if found.startswith(line))
    return int(words.split()[1]) << 10


def opened(reader: str, path: str, limited: bool = True) -> dict[str, object]:
    """Open a file and return the result.  limited: whether memory is limited in proportion to the file's size."""
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
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
    np.linalg.norm(np.ones((50, 50)) @ np.ones((50, 50)))  # complete all imports and caches
    for good in sys.argv[1:]:
        reader, path = good.split(" ", 1)
        READERS[reader](path)
    for line in sys.stdin:
        print(json.dumps(opened(*line.rstrip("\n").split(" ", 1))), flush=True)
