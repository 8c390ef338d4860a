"""Killed workers, killed executors and speculation change nothing but the time."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.spark.clusters import standalone
from tests.spark.faults import STRAGGLE_SECONDS

ROOT = Path(__file__).parents[2]


def run(tmp_path: Path, master: str, *faults: str) -> dict[str, dict[str, object]]:
    """Run disturbed.py with the tests on every worker's path; return what it printed."""
    environment = os.environ | {
        "FIRESTEEL_FAULT_MARKER": str(tmp_path / "marker"),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
    }
    program = [sys.executable, "-m", "tests.spark.disturbed", master, *faults]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(found: dict[str, dict[str, object]], faults: list[str]) -> None:
    for fault in faults:
        assert str(found[fault]["happened"]).startswith("epoch 1"), f"{fault} did not fall inside the fit"
    assert len({part["fingerprint"] for part in found.values()}) == 1, found


@pytest.mark.timeout(420)
def test_a_killed_python_worker_changes_nothing(tmp_path):
    check(run(tmp_path, "local[2,4]", "kill_worker"), ["kill_worker"])


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_killed_executor_changes_nothing(tmp_path):
    check(run(tmp_path, "local-cluster[2,1,1024]", "kill_executor"), ["kill_executor"])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A standalone master with two workers on hosts of their own, where Spark will start speculative copies."""
    with standalone(tmp_path, FIRESTEEL_FAULT_MARKER=str(tmp_path / "marker")) as master:
        yield master


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_speculative_copy_changes_nothing(tmp_path, cluster):
    found = run(tmp_path, cluster, "straggle")
    check(found, ["straggle"])
    seconds = float(str(found["straggle"]["seconds"]))
    assert seconds < STRAGGLE_SECONDS, "the straggler was waited for, so nothing was speculative"
