"""Run the benchmarks that are named, or all of speed; what those print is kept in RESULTS.md, as with --write."""

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
"""Very large tables, what needs tables, how good networks get, which takes hours, and convolutions, half an hour."""
RESULTS = Path(__file__).parent / "RESULTS.md"
PACKAGES = ("firesteel", "numpy", "numba", "pyspark", "pyarrow", "scikit-learn", "torch", "jax", "keras")


class _Both(io.TextIOBase):
    """What is printed, kept as well."""

    def __init__(self, shown: io.TextIOBase) -> None:
        self.shown, self.kept = shown, io.StringIO()

    def write(self, text: str) -> int:
        self.shown.write(text)
        self.shown.flush()
        return self.kept.write(text)


def versions() -> str:
    """Return the versions of what is measured and what it is measured against."""
    found = []
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(found)


def write(sections: dict[str, str], about: str) -> None:
    """Put the sections into RESULTS.md, in order, in place of older ones of the same names."""
    kept: dict[str, str] = {}
    if RESULTS.exists():
        for part in RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]:
            name, _, text = part.partition("\n")
            kept[name] = text.strip("\n")
    for name, text in sections.items():
        kept[name] = f"{about}\n\n```\n{text.rstrip()}\n```"
    order = [*NAMES, *OTHERS]
    parts = [f"## {name}\n\n{kept[name]}\n" for name in sorted(kept, key=order.index)]
    head = "# Results\n\nWhat `make bench` printed last; `python -m benchmarks NAME --write` renews one part."
    RESULTS.write_text("\n".join([head, "", *parts]), encoding="utf-8")


def main() -> None:
    if sys.argv[1:2] == ["tables"]:
        return tables(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join([*NAMES, *OTHERS])}")
    parser.epilog = "`tables FOLDER` scores networks and trees on mixed tables: see `python -m benchmarks tables -h`."
    parser.add_argument("--seeds", type=int, help="how many trainings a figure of lesson and dense is made of")
    parser.add_argument("--tables", metavar="FOLDER", help="where `raw` finds the tables")
    parser.add_argument("--write", action="store_true", help="keep what is printed in RESULTS.md")
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
        told = _Both(sys.stdout)  # type: ignore[arg-type]
        try:
            with contextlib.redirect_stdout(told):  # type: ignore[type-var]
                importlib.import_module(f"benchmarks.{name}").main(**options.get(name, {}))
        except FiresteelError as error:
            sys.exit(f"benchmark {name}: {error}")
        if given.write or not given.names:
            write({name: told.kept.getvalue()}, about)


if __name__ == "__main__":
    main()
