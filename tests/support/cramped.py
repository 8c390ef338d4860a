"""Run every writer without disk space; a separate program, because limits apply to a whole process.

`python -m tests.support.cramped FOLDER HOW ...` prints one line of JSON: for each HOW and each writer, its error and
the files that it leaves behind. HOW is "limit" (no file above 4 KiB), "full" (the folder is on a small, full disk),
"locked" (the folder is read-only) or "flush" (the disk fails to flush).
"""

import contextlib
import io
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firesteel.callbacks import Callback
from firesteel.cli import main
from firesteel.datasets import write_csv, write_idx, write_libsvm, write_text
from firesteel.errors import FiresteelError
from firesteel.report import RunFolder
from tests.support.files import KINDS, model

X = np.random.default_rng(0).integers(0, 256, (4_000, 4)).astype(np.uint8)
Y = (X[:, 0] > 100).astype(np.uint8)


def train(place: str, *more: Callback) -> None:
    run = RunFolder(place)
    model(1).fit(X[:300], Y[:300], epochs=3, verbose=0, callbacks=[*more, run])


def command(*words: str) -> None:
    """Run a command; raise its error."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            main(list(words))
    except SystemExit as end:
        if end.code:
            raise FiresteelError(said.getvalue().strip(), code=f"exit-{end.code}") from None


WRITERS: dict[str, Callable[[], None]] = {
    **{f"old-{name}": lambda name=name: KINDS[name].save(Path(f"old-{name}"), 1) for name in KINDS},
    "run": lambda: train("run"),
    "x.csv": lambda: write_csv(Path("x.csv"), {"a": X[:, 0], "b": X[:, 1]}),
    "x.idx": lambda: write_idx("x.idx", X),
    "x.svm": lambda: write_libsvm("x.svm", X, Y),
    "x.txt": lambda: write_text("x.txt", [X / 255]),
    "d": lambda: command("data", "convert", "digits", "d", "--to", "npz"),
    **{
        f"p{ending}": lambda ending=ending: command("predict", "m", "--data", "rows.csv", "--out", f"p{ending}")
        for ending in (".csv", ".npy", ".parquet")
    },
}
"""The writers, by the name of the file or folder that they write."""


def prepare() -> None:
    """Write the initial files: old copies, a model, and rows to predict."""
    for name, kind in KINDS.items():
        kind.save(Path(f"old-{name}"), 0)
    model(1).save("m")
    rows = "\n".join(",".join(map(str, row)) for row in X.tolist())
    Path("rows.csv").write_text(f"a,b,c,d\n{rows}\n")


def cramp(how: str) -> None:
    """Take away the disk space."""
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    if how == "full":
        with contextlib.suppress(OSError), open("filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))
    if how == "locked":
        os.chmod(".", 0o555)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresuid(65534, 65534, 65534)
    if how == "flush":

        def refused(descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        os.fsync = refused


def tried(name: str) -> dict[str, object]:
    """Return the error of a writer, and whether all files are unchanged."""
    before = everything()
    try:
        WRITERS[name]()
        code, said = "", ""
    except FiresteelError as error:
        code, said = error.code, str(error)
    left = {path: content for path, content in everything().items() if before.get(path) != content}
    lost = sorted(set(before) - set(everything()))
    return {"code": code, "said": said, "left": sorted(left), "lost": lost}


def everything() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(".").rglob("*") if path.is_file()}


def report(how: str) -> dict[str, dict[str, object]]:
    """Return the result of every writer, each in its own folder and child process; some limits are irreversible."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.mkdir(how)
            os.chdir(how)
            prepare()
            cramp(how)
            with open(theirs, "w") as file:
                json.dump({name: tried(name) for name in WRITERS}, file)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(theirs)
    with open(ours) as file:
        text = file.read()
    assert os.waitpid(child, 0)[1] == 0, how
    return json.loads(text)


if __name__ == "__main__":
    folder, *hows = sys.argv[1:]
    os.chdir(folder)
    os.mkdir("warm")
    os.chdir("warm")
    prepare()
    for write in WRITERS.values():  # complete all late imports
        write()
    os.chdir("..")
    print(json.dumps({how: report(how) for how in hows}))
