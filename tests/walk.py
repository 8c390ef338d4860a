"""Count the calls, functions, files and moves of a small fit: how far a reader has to jump in the code.

    python -m tests.walk

The fit has three steps, and follows another that has imported and compiled everything.  A move is a call from one
file of the package into another.  A fit of thirteen steps gives the calls per step.
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import firesteel

PACKAGE = str(Path(firesteel.__file__).parent)
MOST = {"calls": 507, "files": 45, "moves": 272}
"""The limits that `test_walk.py` checks.  They only decrease."""


def walked(function: Callable[[], Any]) -> Counter[tuple[str, str, str]]:
    """Return the number of calls of each function of the package: {(calling file, file, function): count}."""
    calls: Counter[tuple[str, str, str]] = Counter()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(PACKAGE):
            caller = caller.f_back
        code = frame.f_code
        calls[_file(caller.f_code.co_filename) if caller else "", _file(code.co_filename), code.co_qualname] += 1

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def _file(path: str) -> str:
    return str(Path(path).relative_to(PACKAGE))


def fit(rows: int = 96) -> None:
    """Train a network of two dense layers for one epoch, in batches of 32."""
    from firesteel.layers import Dense
    from firesteel.models import Sequential

    x = np.random.default_rng(0).normal(size=(rows, 8))
    model = Sequential([Dense(16, "relu"), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x, np.arange(rows) % 3, verbose=0)


def counted(calls: Counter[tuple[str, str, str]]) -> dict[str, int]:
    """Return the numbers of calls, functions, files and moves.

    >>> counted(Counter({("a.py", "b.py", "f"): 3, ("b.py", "b.py", "g"): 2}))
    {'calls': 5, 'functions': 2, 'files': 1, 'moves': 3}
    """
    return {
        "calls": calls.total(),
        "functions": len({key[1:] for key in calls}),
        "files": len({file for _, file, _ in calls}),
        "moves": sum(count for (caller, file, _), count in calls.items() if caller != file),
    }


def measured(rows: int = 96) -> Counter[tuple[str, str, str]]:
    """Return the calls of a fit, after one that has imported and compiled everything."""
    fit(rows)
    return walked(lambda: fit(rows))


def main() -> None:
    three, thirteen = measured(96), walked(lambda: fit(416))
    each = Counter({key: (thirteen[key] - three[key]) // 10 for key in thirteen if thirteen[key] - three[key] >= 10})
    for title, calls in (("a fit of three steps", three), ("each further step", each)):
        print(title + ":", ", ".join(f"{count:,} {name}" for name, count in counted(calls).items()))
    print("by file, in a fit of three steps:")
    files: Counter[str] = Counter()
    for (_, file, _), count in three.items():
        files[file] += count
    for file, count in files.most_common():
        print(f"{count:8,}  {file}")


if __name__ == "__main__":
    main()
