"""R52 and R53 on executors: after an upgrade they run new code, and what fails there changes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firesteel.fast.kernels import functions
from tests.support.upgrades import copied, upgraded

FIT = """
import json, sys
import numpy as np
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import session

def fingerprint(x, y=None):
    model = Sequential([Dense(200, "relu"), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, batch_size=100, seed=1, shards=1, verbose=0)
    return model.fingerprint()

x = np.random.default_rng(0).integers(0, 256, (600, 64)) / 255
y = np.arange(600) % 3
spark = session("local[2]", conf={"spark.ui.enabled": "false"})
rows = [(row, int(label)) for row, label in zip(x.tolist(), y)]
frame = spark.createDataFrame(rows, "features array<double>, label int")
print(json.dumps([fingerprint(x, y), fingerprint(frame)]))
spark.stop()
"""


def fitted(place, cache, **changes):
    """Fit in process and on Spark, by the package in this folder; return both fingerprints and all warnings."""
    environment = (
        os.environ | {"PYTHONPATH": str(place), "XDG_CACHE_HOME": str(cache), "NUMBA_CACHE_DIR": ""} | changes
    )
    command = [sys.executable, "-W", "always::RuntimeWarning", "-c", FIT]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(place))
    assert done.returncode == 0, done.stderr
    return *json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_r52_executors_run_new_code_after_an_upgrade(tmp_path):
    place, cache = copied(tmp_path / "place"), tmp_path / "cache"
    old, there, _ = fitted(place, cache)
    assert there == old
    upgraded(place, "dense.py")
    new, there, _ = fitted(place, cache)
    assert there == new and (new != old or not functions.blas("float32"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_r53_executors_whose_compiled_code_fails_have_the_same_bits(tmp_path):
    place = copied(tmp_path / "place")
    old, there, said = fitted(place, tmp_path / "cache")
    assert there == old and "NumPy computes" not in said
    plain = fitted(place, tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    assert plain[:2] == (old, old) and "NUMBA_DISABLE_JIT is set" in plain[2]
    kept = list((tmp_path / "cache" / "firesteel" / "kernels").iterdir())
    for file in kept:
        os.truncate(file, 99)
    damaged = fitted(place, tmp_path / "cache")
    assert damaged[:2] == (old, old) and ("damaged" in damaged[2]) == bool(kept)
    assert fitted(place, tmp_path / "cache")[:2] == (old, old)
