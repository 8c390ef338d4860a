"""Spark Connect: the same code on a real server, started from pyspark's own jars, with the same bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spark.conftest import fit
from tests.spark.test_estimator import pipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found():
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"}
    program = [sys.executable, "-m", "tests.spark.connected", "local[2]"]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_was_a_connect_session(found):
    assert found["connect"]


def test_a_pipeline_fits_transforms_and_comes_back_with_the_same_bits(spark, rows, found):
    frame = rows.frame(spark, "columns")
    fitted = pipeline().fit(frame)
    assert found["pipeline"] == found["loaded"] == fitted.stages[-1].network.fingerprint()
    assert found["predictions"] == [row.prediction for row in fitted.transform(frame).orderBy("id").collect()]


def test_fit_on_a_frame_has_the_same_bits(spark, rows, found):
    assert found["fit"] == fit(rows.frame(spark), weight="weight", validation_split=0.2)


def test_errors_are_the_same(found):
    assert found["refused"].startswith("DataError: there is no column 'nothing' for label=")
