"""Killed and concurrent saves; a separate program, because it forks and must not have other threads.

`python -m tests.support.saves WHAT KIND FOLDER` prints its counts as one line of JSON.
"""

import builtins
import fcntl
import json
import os
import signal
import statistics
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from firesteel.errors import ConfigError, StoreError
from firesteel.models import load_model
from tests.support.files import KINDS, Kind, model

OLD, NEW = 0, 1
X, Y = np.arange(80.0).reshape(20, 4) / 80, np.arange(20) % 3
CALLS = (
    *((builtins, "open"), (fcntl, "flock"), (os, "fsync"), (os, "replace")),
    *((os, "unlink"), (os, "open"), (os, "close")),
)
"""The system calls of a save; the built-in `open` returns the file to write."""


def forked(work: Callable[[], object]) -> int:
    """Run work in a forked child, which then exits; return its process id."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def found(kind: Kind, path: Path) -> str:
    """Return which copy exists, "old" or "new", and whether a part exists as well; the next save removes it."""
    try:
        content = kind.load(path)
        which = next(
            (name for name, data in zip(("old", "new"), kind.large, strict=True) if data == content), "mixed"
        )
    except StoreError as error:
        which = error.code
    beside = [other for other in path.parent.iterdir() if other != path]
    kind.save(path, OLD)
    assert list(path.parent.iterdir()) == [path]
    path.unlink()
    return which + (" and a part" if beside else "")


def swept(kind: Kind, path: Path, count: int) -> Counter[str]:
    """Kill a save over an old copy `count` times, after delays from zero to more than the duration of a save."""
    ready, tell = os.pipe()

    def work() -> None:
        os.write(tell, b"!")
        kind.save(path, NEW)

    def save(delay: float | None) -> float:
        path.write_bytes(kind.large[OLD])
        child = forked(work)
        os.read(ready, 1)
        begun = time.perf_counter()
        if delay is not None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return time.perf_counter() - begun

    def killed(delay: float) -> str:
        save(delay)
        return found(kind, path)

    span = 1.3 * statistics.median(save(None) for _ in range(5))
    counted: Counter[str] = Counter()
    for _ in range(count // 20):
        swept = Counter(killed(span * number / 20) for number in range(20))
        new = sum(times for which, times in swept.items() if which.startswith("new"))
        span *= 1.5 if new < 4 else 0.67 if new > 12 else 1.0  # adjust to the machine's speed
        counted += swept
    return counted


def at_each_call(kind: Kind, path: Path) -> Counter[str]:
    """Kill a save before and after each of its system calls, and in the middle of writing."""
    counted: Counter[str] = Counter()
    for call in CALLS:
        for nth in range(2):
            for after in (False, True):
                path.write_bytes(kind.large[OLD])
                os.waitpid(forked(lambda c=call, n=nth, a=after: doomed(kind, path, *c, n, a)), 0)
                counted[found(kind, path)] += 1
    return counted


def doomed(kind: Kind, path: Path, owner: ModuleType, call: str, nth: int, after: bool) -> None:
    """Save, and kill this process at the nth call of this name."""
    real, seen = getattr(owner, call), 0

    def watched(*given: object, **named: object) -> object:
        nonlocal seen
        seen += 1
        if seen <= nth:
            return real(*given, **named)
        if after:
            made = real(*given, **named)
            if owner is builtins:  # half of the data
                made.write(kind.large[NEW][: len(kind.large[NEW]) // 2])
                made.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, call, watched)
    kind.save(path, NEW)


def met(kind: Kind, path: Path, count: int) -> Counter[str]:
    """Let two processes save to one file at the same time, while this one loads it."""
    counted: Counter[str] = Counter()
    for _ in range(count):
        children = [forked(lambda n=number: kind.save(path, n)) for number in (OLD, NEW)]
        codes = [os.waitpid(child, 0)[1] for child in children]
        assert codes == [0, 0]
        counted[found(kind, path)] += 1
    return counted


def runs(kind: Kind, path: Path, count: int) -> Counter[str]:
    """Let two processes train with one run folder at the same time; return the folder's state and their messages."""
    from firesteel.report import RunFolder
    from firesteel.report.page import render  # a large import, before the fork

    assert render

    def train(place: Path, seed: int) -> None:
        made = model(seed)
        said = "finished"
        try:
            made.fit(X, Y, epochs=2, batch_size=8, seed=seed, verbose=0, callbacks=[RunFolder(place)])
        except ConfigError as error:
            said = str(error)
        path.with_name(f"{place.name}.{seed}").write_text(f"{os.getpid()}\n{made.fingerprint()}\n{said}")

    counted: Counter[str] = Counter()
    for number in range(count):
        place = path.with_name(f"run{number}")
        for child in [forked(lambda p=place, n=seed: train(p, n)) for seed in (1, 2)]:
            assert os.waitpid(child, 0)[1] == 0
        reports = [path.with_name(f"{place.name}.{seed}").read_text().split("\n") for seed in (1, 2)]
        won = [at for at, (_, _, said) in enumerate(reports) if said == "finished"]
        assert len(won) == 1, reports
        (owner, fingerprint, _), (_, _, said) = reports[won[0]], reports[1 - won[0]]
        metrics, env = (json.loads((place / name).read_text()) for name in ("metrics.json", "env.json"))
        config = tomllib.loads((place / "config.toml").read_text())
        rows = [json.loads(line)["epoch"] for line in (place / "history.jsonl").read_text().splitlines()]
        whole = (
            load_model(place / "model.firesteel").fingerprint() == metrics["fingerprint"] == fingerprint
            and (env["process"], env["fingerprint"]) == (int(owner), fingerprint)
            and config["training"]["seed"] == won[0] + 1
            and metrics["status"] == "finished"
            and rows == [0, 1]
        )
        counted["whole" if whole else "mixed"] += 1
        ways = {
            "finished": "contains a complete run",
            "owner": f"by process {owner}:",
            "no owner": "by process another:",
        }
        counted[next((way for way, words in ways.items() if words in said), said)] += 1
    return counted


def killed_runs(kind: Kind, path: Path, count: int) -> Counter[str]:
    """Kill a run `count` times, at different moments; check the folder, and run it again to its end."""
    from firesteel.report import RunFolder
    from firesteel.report.page import render

    def train(place: Path) -> None:
        run = RunFolder(place)
        model(1).fit(X, Y, epochs=20, verbose=0, callbacks=[run], checkpoint=place / "checkpoint")

    begun = time.perf_counter()
    os.waitpid(forked(lambda: train(path.with_name("whole"))), 0)
    span = time.perf_counter() - begun
    fingerprint = load_model(path.with_name("whole") / "model.firesteel").fingerprint()
    counted: Counter[str] = Counter()
    for number in range(count):
        place = path.with_name(f"run{number}")
        child = forked(lambda p=place: train(p))
        time.sleep(span * number / count)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        try:
            render(place)
            counted["a page"] += 1
        except StoreError as error:
            counted[f"no page: {error.code}"] += 1
        if (place / "model.firesteel").exists():
            assert load_model(place / "model.firesteel").fingerprint() == fingerprint
            counted["a model"] += 1
        if (
            not (place / "metrics.json").exists()
            or json.loads((place / "metrics.json").read_text())["status"] != "finished"
        ):
            assert os.waitpid(forked(lambda p=place: train(p)), 0)[1] == 0
            counted["went on"] += 1
        assert load_model(place / "model.firesteel").fingerprint() == fingerprint
        assert not [other for other in place.iterdir() if other.name.startswith(".")]
        counted["the same bits"] += 1
    return counted


WHAT = {"swept": swept, "at each call": at_each_call, "met": met, "runs": runs, "killed runs": killed_runs}

if __name__ == "__main__":
    what, kind, folder, *count = sys.argv[1:]
    print(json.dumps(WHAT[what](KINDS[kind], Path(folder) / "m", *map(int, count))))
