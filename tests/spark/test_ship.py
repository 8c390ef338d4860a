"""The package reaches executors as an archive, and what numba compiles there the next application finds again."""

import os
import shutil
import subprocess
import sys

import pytest

from firesteel.core import chain
from firesteel.spark.ship import archive

EXECUTOR = """
import sys
sys.path.insert(0, sys.argv[1])
from firesteel.core import chain, kernels
from firesteel.spark.ship import settle
assert chain.__file__.startswith(sys.argv[1])
settle()
import numpy as np
adam, loops, one = kernels.compiled(kernels.adam, kernels.WORTH), chain.loops("float32"), np.ones(20, "f4")
adam(*np.ones((4, 9), "f4"), *np.ones(4, "f4"))
if loops is not None:
    loops.forward(np.ones((5, 2), "f4"), np.ones((2, 3), "f4"), one[:5], np.array([[2, 3, 0, 1]]), one[:15])
for compiled in [adam] if loops is None else [adam, loops.forward]:
    print(sum(compiled.stats.cache_hits.values()), sum(compiled.stats.cache_misses.values()))
"""


def executor(folder, cache):
    """Run kernels as an executor with the archive in this folder does; return the hits and misses of each."""
    folder.mkdir()
    path = shutil.copy(archive(), folder)
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    told = subprocess.check_output([sys.executable, "-c", EXECUTOR, path], text=True, env=environment, cwd=folder)
    return told.split("\n")[:-1]


def test_an_executor_compiles_what_no_application_has_compiled_before(tmp_path):
    kernels = 1 + bool(chain.blas("float32"))
    assert executor(tmp_path / "one", tmp_path / "cache") == ["0 1"] * kernels
    assert executor(tmp_path / "two", tmp_path / "cache") == ["1 0"] * kernels
    assert {path.name for path in tmp_path.glob("cache/firesteel/kernels/*/*.py")} == {"kernels.py", "chain.py"}


@pytest.mark.parametrize("kind", ["a file", "nothing that can be made"])
def test_where_the_cache_cannot_be_written_kernels_run_all_the_same(tmp_path, kind):
    place = tmp_path / "cache"
    if kind == "a file":
        place.write_text("")
    found = executor(tmp_path / "one", place if kind == "a file" else "/proc/nothing")
    assert found == ["0 1"], "there are no chains, which take long to compile"
