"""The package reaches executors as an archive, and what numba compiles there the next application finds again."""

import os
import shutil
import subprocess
import sys

import pytest

from firesteel.spark.parcel import archive

EXECUTOR = """
import sys
sys.path.insert(0, sys.argv[1])
from firesteel.fast import chain, compiling
from firesteel.fast.kernels import optimizers
from firesteel.layers import Dense
from firesteel.models import Sequential
assert chain.__file__.startswith(sys.argv[1])
import numpy as np
compiling.WORTH = 0
chain.loops = lambda dtype: None  # they take long to compile
model = Sequential([Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(np.eye(50, 4), np.arange(50) % 3, verbose=0)
adam = compiling.compiled(optimizers.adam, 1).dispatcher
print(sum(adam._cache_hits.values()), sum(adam._cache_misses.values()))
"""


def executor(folder, cache):
    """Run kernels as an executor with the archive in this folder does; return the hits and misses of each."""
    folder.mkdir()
    path = shutil.copy(archive(), folder)
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "NUMBA_CACHE_DIR": ""}
    output = subprocess.check_output([sys.executable, "-c", EXECUTOR, path], text=True, env=environment, cwd=folder)
    return output.split("\n")[:-1]


def test_an_executor_compiles_what_no_application_has_compiled_before(tmp_path):
    assert executor(tmp_path / "one", tmp_path / "cache") == ["0 1"]
    assert executor(tmp_path / "two", tmp_path / "cache") == ["1 0"]
    kept = {path.name.split("-")[0] for path in tmp_path.glob("cache/firesteel/kernels/*")}
    assert kept == {"adam", "gather"}


@pytest.mark.parametrize("kind", ["a file", "nothing that can be made"])
def test_where_the_cache_cannot_be_written_kernels_run_all_the_same(tmp_path, kind):
    place = tmp_path / "cache"
    if kind == "a file":
        place.write_text("")
    found = executor(tmp_path / "one", place if kind == "a file" else "/proc/nothing")
    assert found == ["0 1"], "there are no chains, which take long to compile"
