"""Run the benchmarks that are named, or all."""

import argparse
import importlib
import platform
import sys

from firesteel.errors import FiresteelError
from firesteel.train.engine import machine, worker_threads

NAMES = ("seed_b", "rounds", "shards", "perceptron", "lesson", "dense", "sparse")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--seeds", type=int, help="how many trainings a figure of lesson and dense is made of")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in NAMES]:
        sys.exit(f"no benchmark is called {', '.join(unknown)}: there are {', '.join(NAMES)}")
    options = {name: {"seeds": given.seeds} for name in ("lesson", "dense") if given.seeds}
    print(f"{machine()}, {worker_threads()} cores, Python {platform.python_version()}")
    for name in given.names or NAMES:
        try:
            importlib.import_module(f"benchmarks.{name}").main(**options.get(name, {}))
        except FiresteelError as error:
            sys.exit(f"benchmark {name}: {error}")
