"""Run the benchmarks that are named, or all."""

import importlib
import platform
import sys

from firesteel.errors import FiresteelError
from firesteel.train.engine import machine, worker_threads

NAMES = ("seed_b", "rounds", "shards", "perceptron")

if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in NAMES]
    if unknown:
        sys.exit(f"no benchmark is called {', '.join(unknown)}: there are {', '.join(NAMES)}")
    print(f"{machine()}, {worker_threads()} cores, Python {platform.python_version()}")
    for name in sys.argv[1:] or NAMES:
        try:
            importlib.import_module(f"benchmarks.{name}").main()
        except FiresteelError as error:
            sys.exit(f"benchmark {name}: {error}")
