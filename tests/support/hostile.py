"""Open hostile files and record audit events; a separate program, because an audit hook cannot be removed.

`python -m tests.support.hostile FOLDER` opens every file and run folder in FOLDER with the reader named by its
prefix, after the good ones in FOLDER/good, which complete all late imports. It prints one line of JSON: for each file
the result, and every import, executed code, socket, process, and file opened or changed outside FOLDER.
"""

import builtins
import contextlib
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from firesteel import _store as store
from firesteel.cli import main
from firesteel.cli.config import resolve
from firesteel.cli.rows import Ask, load
from firesteel.errors import FiresteelError
from tests.support.files import KINDS

FILES = (
    "open",
    "tempfile.mkstemp",
    "os.rename",
    "os.remove",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.truncate",
    "os.mkdir",
    "os.rmdir",
    "fcntl.flock",
)
HARMLESS = (
    "os.listdir",
    "os.scandir",
    "os.utime",
    "sys.",
    "object.",
    "array.",
    "builtins.id",
    "cpython.",
    "code.__new__",
)
"""Events without effect that reveal no other file's content."""


def command(*words: str) -> Callable[[str], None]:
    """Return a function that runs a command on a run folder."""

    def run(path: str) -> None:
        here, out = os.path.dirname(path), f"{path}.csv"
        Path(out).unlink(missing_ok=True)
        given = [word.format(run=path, rows=os.path.join(here, "rows.csv"), out=out) for word in words]
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                main(given)
        except SystemExit as end:
            if end.code:
                raise FiresteelError(said.getvalue(), code=f"exit-{end.code}") from None

    return run


READERS: dict[str, tuple[Callable[[str], object], ...]] = {
    **{name: (lambda path, kind=kind: kind.opened(store.read(path)),) for name, kind in KINDS.items()},
    **{
        form: (lambda path, form=form: load(Ask(path, form, labelled=False)),)
        for form in ("csv", "idx", "libsvm", "text")
    },
    "npy": (lambda path: load(Ask(path, "numpy", labelled=False)),),
    "npz": (lambda path: load(Ask(path, "numpy", labelled=False)),),
    "toml": (lambda path: resolve(Path(path), {}, {}),),
    "run": (
        command("inspect", "{run}"),
        command("report", "{run}"),
        command("evaluate", "{run}", "--data", "{rows}", "--label", "y"),
        command("predict", "{run}", "--data", "{rows}", "--features", "a,b,c,d", "--out", "{out}"),
    ),
}

seen: list[str] = []
folder = ""


def watch(event: str, given: tuple[object, ...]) -> None:
    if event.startswith(HARMLESS):
        return
    if event in FILES and given and isinstance(given[0], int | str | bytes | os.PathLike):
        if isinstance(given[0], int) or os.path.abspath(os.fsdecode(given[0])).startswith((folder, os.devnull)):
            return
    if event == "compile" and given[1] == "<unknown>":
        return  # literals are parsed, not executed
    seen.append(f"{event} {str(given)[:150]}")


def opened(path: Path) -> list[str]:
    """Return the result of each reader of a file."""
    results = []
    for read in READERS[path.name.split("-")[0]]:
        try:
            read(str(path))
            results.append("good")
        except FiresteelError as error:
            results.append(f"{error.code}: {error}")
    return results


if __name__ == "__main__":
    folder = os.path.abspath(sys.argv[1])
    warnings.simplefilter("ignore")
    os.chdir(folder)
    for path in sorted(Path(folder, "good").iterdir()):
        if path.name.split("-")[0] in READERS:
            results = opened(path)
            assert results == ["good"] * len(results), (path, results)
            results = opened(path)  # cached results differ from first results
    sys.addaudithook(watch)
    found = {}
    for path in sorted(Path(folder).iterdir()):
        if path.name.split("-")[0] in READERS:
            seen.clear()
            results = opened(path)
            found[path.name] = {"results": results, "seen": list(seen)}
    seen.clear()
    builtins.eval("1")
    open(__file__).close()
    socket.socket().close()
    subprocess.run([sys.executable, "-c", ""], check=True)
    pickle.loads(pickle.dumps(os.getcwd))
    with contextlib.suppress(ImportError):
        builtins.__import__("nowhere_to_be_found")
    print(json.dumps({"found": found, "sees": seen}))
