"""Opens files that mean harm, and watches what Python does: a program of its own, for such a watch is for ever.

`python -m tests.support.hostile FOLDER` opens every file and run folder in FOLDER by the reader that its name begins
with; on good ones first, in FOLDER/good, so that whatever is loaded late is loaded then. It prints one line of JSON:
for each file what was said of it, and every import, call of code, socket and process, and every file opened or
changed outside FOLDER.
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
"""What has no effect, and no other file's content."""


def command(*words: str) -> Callable[[str], None]:
    """Return what runs a command on a run folder."""

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
        return  # a literal is parsed, and never run
    seen.append(f"{event} {str(given)[:150]}")


def opened(path: Path) -> list[str]:
    """Return what each reader of a file says of it."""
    told = []
    for read in READERS[path.name.split("-")[0]]:
        try:
            read(str(path))
            told.append("good")
        except FiresteelError as error:
            told.append(f"{error.code}: {error}")
    return told


if __name__ == "__main__":
    folder = os.path.abspath(sys.argv[1])
    warnings.simplefilter("ignore")
    os.chdir(folder)
    for path in sorted(Path(folder, "good").iterdir()):
        if path.name.split("-")[0] in READERS:
            told = opened(path)
            assert told == ["good"] * len(told), (path, told)
            told = opened(path)  # what is kept from the first time differs from what the first time made
    sys.addaudithook(watch)
    found = {}
    for path in sorted(Path(folder).iterdir()):
        if path.name.split("-")[0] in READERS:
            seen.clear()
            told = opened(path)
            found[path.name] = {"told": told, "seen": list(seen)}
    seen.clear()
    builtins.eval("1")
    open(__file__).close()
    socket.socket().close()
    subprocess.run([sys.executable, "-c", ""], check=True)
    pickle.loads(pickle.dumps(os.getcwd))
    with contextlib.suppress(ImportError):
        builtins.__import__("nowhere_to_be_found")
    print(json.dumps({"found": found, "sees": seen}))
