"""Run the named benchmarks, or all benchmarks of speed; --write saves their output in RESULTS.md."""

import argparse
import contextlib
import datetime
import importlib
import importlib.metadata
import io
import os
import platform
import sys
from pathlib import Path

from benchmarks.tables.command import main as tables
from firesteel.errors import FiresteelError
from firesteel.fast.threads import worker_threads
from firesteel.train.engine import machine

NAMES = (
    "peers",
    "kinds",
    "cores",
    "perceptron",
    "scoring",
    "rows",
    "overhead",
    "big",
    "sparse",
    "embeddings",
    "frozen",
)
"""Speed and memory: what `make bench` runs."""
OTHERS = ("columns", "raw", "shards", "lesson", "dense", "pictures")
"""Large tables, accuracy (hours) and convolutions (half an hour)."""
RESULTS = Path(__file__).parent / "RESULTS.md"
PACKAGES = ("firesteel", "numpy", "numba", "pyspark", "pyarrow", "scikit-learn", "torch", "jax", "keras")


class _Tee(io.TextIOBase):
    """A stream that copies what is printed."""

    def __init__(self, shown: io.TextIOBase) -> None:
        self.shown, self.text = shown, io.StringIO()

    def write(self, text: str) -> int:
        self.shown.write(text)
        self.shown.flush()
        return self.text.write(text)


def versions() -> str:
    """Return the versions of the measured packages."""
    found = []
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(found)


def write(sections: dict[str, str], about: str) -> None:
    """Write sections to RESULTS.md in the usual order, replacing older sections of the same names."""
    found: dict[str, str] = {}
    if RESULTS.exists():
        for part in RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]:
            name, _, text = part.partition("\n")
            found[name] = text.strip("\n")
    for name, text in sections.items():
        found[name] = f"{about}\n\n```\n{text.rstrip()}\n```"
    order = [*NAMES, *OTHERS]
    parts = [f"## {name}\n\n{found[name]}\n" for name in sorted(found, key=order.index)]
    head = "# Results\n\nThe last output of `make bench`. `python -m benchmarks NAME --write` updates one section."
    RESULTS.write_text("\n".join([head, "", *parts]), encoding="utf-8")


def main() -> None:
    if sys.argv[1:2] == ["tables"]:
        return tables(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join([*NAMES, *OTHERS])}")
    parser.epilog = "`tables FOLDER` scores networks and trees on mixed tables: see `python -m benchmarks tables -h`."
    parser.add_argument("--seeds", type=int, help="number of trainings per figure, for lesson and dense")
    parser.add_argument("--tables", metavar="FOLDER", help="folder with the tables, for raw")
    parser.add_argument("--write", action="store_true", help="save the output in RESULTS.md")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in (*NAMES, *OTHERS)]:
        sys.exit(f"no benchmark is called {', '.join(unknown)}: there are {', '.join([*NAMES, *OTHERS])}")
    options = {name: {"seeds": given.seeds} for name in ("lesson", "dense") if given.seeds}
    options["raw"] = {"folder": given.tables}
    about = f"{datetime.date.today()}: {machine()}, {worker_threads()} cores, Python {platform.python_version()}"
    about = f"{about}, {versions()}"
    print(about)
    if core := os.environ.get("OPENBLAS_CORETYPE"):
        print(f"OPENBLAS_CORETYPE={core} is set: NumPy does not choose the fastest products of this CPU")
    for name in given.names or NAMES:
        copy = _Tee(sys.stdout)  # type: ignore[arg-type]
        try:
            with contextlib.redirect_stdout(copy):  # type: ignore[type-var]
                importlib.import_module(f"benchmarks.{name}").main(**options.get(name, {}))
        except FiresteelError as error:
            sys.exit(f"benchmark {name}: {error}")
        if given.write or not given.names:
            write({name: copy.text.getvalue()}, about)


if __name__ == "__main__":
    main()
