"""Compare this tree with another commit, bit by bit: run every fit of `gate.py` on both.

    python -m tests.against REF [WORD ...]

Each tree trains with and without compiled code, and on Spark.  Weights, losses, predictions and fingerprints must
equal those of REF, and be the same with and without compiled code.  Fits that fail with REF are new and are not
compared. WORD: only fits whose names contain one.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WAYS = {"compiled": ("--frames",), "plain": ("--plain",)}
Fits = dict[str, dict[str, Any]]


def unpack(ref: str, place: Path) -> Path:
    """Write the package of a commit to a folder and return the folder."""
    data = subprocess.run(["git", "archive", ref, "firesteel"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(place, filter="data")
    return place


def fits(tree: Path, *arguments: str) -> Fits:
    """Return the results of the fits with the firesteel of a tree.  Raises RuntimeError with the child's errors."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("gate.py")), *arguments],
        env=os.environ | {"PYTHONPATH": str(tree)},
        cwd=tree,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    assert Path(found["tree"]).resolve() == tree.resolve(), f"{found['tree']} was imported instead of {tree}"
    results: Fits = found["fits"]
    return results


def differences(before: Fits, after: Fits) -> dict[str, str]:
    """Return the differences by the name of the fit.

    >>> differences({"a": {"loss": "0f"}, "b": {"loss": "3c"}}, {"a": {"loss": "1e"}, "b": {"loss": "3c"}})
    {'a': 'loss'}
    """
    found = {}
    for name, result in after.items():
        old = before.get(name, {"error": "missing"})
        if "error" in old and "error" not in result:
            continue
        if "error" in result and "error" not in old:
            found[name] = result["error"]
        elif "error" not in result and old != result:
            found[name] = ", ".join(key for key in result if old.get(key) != result[key])
    return found | {name: "is missing" for name in before if name not in after}


def compare(ref: str, words: list[str]) -> int:
    """Print the differences and return their number."""
    with tempfile.TemporaryDirectory(prefix="firesteel-") as folder, ThreadPoolExecutor(2) as pool:
        trees = {"before": unpack(ref, Path(folder)), "after": ROOT}
        jobs = {
            (when, way): pool.submit(fits, tree, *arguments, *words)
            for way, arguments in WAYS.items()
            for when, tree in trees.items()
        }
        found = {key: job.result() for key, job in jobs.items()}
    wrong = 0
    for way in WAYS:
        before, after = found["before", way], found["after", way]
        differing = differences(before, after)
        new = sum("error" in before.get(name, {"error": ""}) for name in after)
        print(f"{way}: {len(after)} fits, {len(differing)} differ from {ref}, {new} cannot be compared")
        for name, what in differing.items():
            print(f"  {name}: {what}")
        wrong += len(differing)
    both = {name: result for name, result in found["after", "compiled"].items() if name in found["after", "plain"]}
    differing = differences(found["after", "plain"], both)
    print(f"without compiled code: {len(both)} fits, {len(differing)} differ from those with it")
    for name, what in differing.items():
        print(f"  {name}: {what}")
    broken = {name: result["error"] for name, result in found["after", "compiled"].items() if "error" in result}
    for name, error in broken.items():
        print(f"  {name} does not train: {error}")
    return wrong + len(differing) + len(broken)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ref")
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    return 1 if compare(given.ref, given.words) else 0


if __name__ == "__main__":
    sys.exit(main())
