"""The third promise: a fit in process and a fit on Spark give the same bits, whatever the network's shape."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spark.shapes import SHAPES, bits, framed, made

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def frame(spark):
    kept = framed(spark, *made(600)).persist()
    yield kept
    kept.unpersist()


@pytest.mark.parametrize("name", SHAPES)
def test_r28_every_shape_has_the_bits_of_the_fit_in_process(frame, name):
    assert bits(name, frame, epochs=1) == bits(name, *made(600), epochs=1)


def test_r28_shapes_settings_and_epochs_have_bits_of_their_own():
    found = [bits(name, *made(300), epochs=epochs) for name in SHAPES for epochs in (1, 2)]
    assert len(set(found)) == len(found)


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("master", ["local[2,4]", "local-cluster[2,1,1024]"])
def test_r28_threads_and_executors_have_the_bits_of_the_fit_in_process(master):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    program = [sys.executable, "-m", "tests.spark.shapes", master, "6000"]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    there = json.loads(done.stdout.splitlines()[-1])
    here = {name: bits(name, *made(6000)) for name in SHAPES}
    print(f"{master}: same {sum(there[name] == here[name] for name in SHAPES)}/{len(SHAPES)}")
    assert there == here
