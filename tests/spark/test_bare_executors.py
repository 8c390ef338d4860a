"""Executors need only NumPy and pyarrow: a standalone cluster whose workers have nothing else fits and scores."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spark.clusters import bare_python, standalone

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_stages_fit_and_score_on_executors_with_a_bare_python(tmp_path):
    program = "import sys; sys.path.insert(0, sys.argv[1]); from tests.spark.bare import main; main(sys.argv[2])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYSPARK_PYTHON": str(bare_python(tmp_path / "bare"))}
    with standalone(tmp_path) as master:
        command = [sys.executable, "-c", program, str(ROOT), master]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["there"] == found["here"]
    assert found["classes"] == 0.0 and found["numbers"] < 1e-5
    assert all(text.startswith("[] ") and ".zip/firesteel" in text for text in found["executors"]), found["executors"]
