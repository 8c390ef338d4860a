"""Saves that are killed, refused or meet another: what was there before stays whole until the new one is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.files import KINDS

ROOT = Path(__file__).parents[1]


def counted(*words):
    """What the program of forks counts."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "tests.saves", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    print(f"\n{words[0]}: {found}")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_r36_a_save_killed_at_any_moment_leaves_the_old_or_the_new(tmp_path, kind):
    found = counted("swept", kind, tmp_path, 200)
    assert sum(found.values()) == 200 and set(found) <= {"old", "old and a part", "new", "new and a part"}
    assert found["new"] >= 10 and found["old and a part"] >= 10  # the sweep hits both, and the middle of a save


@pytest.mark.parametrize("kind", KINDS)
def test_r36_a_save_killed_at_each_call_leaves_the_old_or_the_new(tmp_path, kind):
    found = counted("at each call", kind, tmp_path)
    assert set(found) <= {"old", "old and a part", "new"} and found["old and a part"] >= 6 and found["new"] >= 6


@pytest.mark.parametrize("kind", KINDS)
def test_r38_two_processes_that_save_one_file_leave_one_of_both(tmp_path, kind):
    found = counted("met", kind, tmp_path, 50)
    assert sum(found.values()) == 50 and set(found) <= {"old", "new"}
