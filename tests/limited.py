"""Opens files in as much memory as their size justifies: a program of its own, for a limit holds for a whole process.

`python -m tests.limited` reads lines "READER PATH" and prints a line of JSON for each: the error's code and message,
seconds, and the mebibytes that were taken at most.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firesteel import store
from firesteel.cli.config import resolve
from firesteel.cli.rows import Ask, load
from firesteel.errors import FiresteelError
from firesteel.models import load_model
from tests.files import KINDS

SPARE = 64 << 20

READERS: dict[str, Callable[[str], object]] = {
    **{name: lambda path, kind=kind: kind.opened(store.read(path)) for name, kind in KINDS.items()},
    "weights": lambda path: load_model(path).count_params(),
    **{
        form: lambda path, form=form: load(Ask(path, form, labelled=False))
        for form in ("csv", "idx", "libsvm", "text")
    },
    **{form: lambda path: load(Ask(path, "numpy", labelled=False)) for form in ("npy", "npz")},
    "toml": lambda path: resolve(Path(path), {}, {}),
}
PAGE = os.sysconf("SC_PAGE_SIZE")


def memory(line: str) -> int:
    """Return bytes that the system says of this process."""
    words = next(found for found in Path("/proc/self/status").read_text().splitlines() if found.startswith(line))
    return int(words.split()[1]) << 10


def opened(reader: str, path: str) -> dict[str, object]:
    Path("/proc/self/clear_refs").write_text("5")  # the highest is counted from here on
    most, before = memory("VmSize:") + 2 * os.path.getsize(path) + SPARE, memory("VmRSS:")
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
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
    for line in sys.stdin:
        print(json.dumps(opened(*line.rstrip("\n").split(" ", 1))), flush=True)
