"""Saves that are killed, refused or meet another: what was there before stays whole until the new one is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.files import KINDS

ROOT = Path(__file__).parents[2]


def counted(*words):
    """What the program of forks counts."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.saves", *map(str, words)],
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


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_r36_a_save_killed_at_any_moment_leaves_the_old_or_the_new(tmp_path, kind, count):
    for _ in range(3):  # on a busy machine a sweep may miss the middle of a save
        found = counted("swept", kind, tmp_path, count)
        assert sum(found.values()) == count and set(found) <= {"old", "old and a part", "new", "new and a part"}
        if min(found.get("new", 0), found.get("old and a part", 0)) >= count // 20:
            return
    pytest.fail(f"the sweeps missed the end or the middle of a save: {found}")


@pytest.mark.parametrize("kind", KINDS)
def test_r36_a_save_killed_at_each_call_leaves_the_old_or_the_new(tmp_path, kind):
    found = counted("at each call", kind, tmp_path)
    assert set(found) <= {"old", "old and a part", "new"} and found["old and a part"] >= 6 and found["new"] >= 6


@pytest.mark.parametrize("count", [15, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_r38_two_processes_that_save_one_file_leave_one_of_both(tmp_path, kind, count):
    found = counted("met", kind, tmp_path, count)
    assert sum(found.values()) == count and set(found) <= {"old", "new"}


def check_runs(found, count):
    assert found.pop("whole") == count and set(found) <= {"finished", "owner"} and sum(found.values()) == count


def test_r38_of_two_runs_in_one_folder_one_is_whole_and_the_other_is_refused(tmp_path):
    check_runs(counted("runs", "model", tmp_path, 2), 2)


@pytest.mark.slow
def test_r38_of_two_runs_in_one_folder_one_is_whole_and_the_other_is_refused_fifty_times(tmp_path):
    check_runs(counted("runs", "model", tmp_path, 50), 50)


@pytest.mark.slow
def test_r36_a_run_killed_at_any_moment_can_be_looked_at_and_goes_on_to_the_same_bits(tmp_path):
    found = counted("killed runs", "model", tmp_path, 40)
    assert found.pop("the same bits") == 40 and found["went on"] >= 20 and found["a page"] >= 10
    assert set(found) <= {"a page", "no page: store-read", "a model", "went on"}


SMALL_DISK = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"']
"""Runs a command with 8 MB of disk in the place of a folder, where the system lets one do that."""
SAYS = {
    "limit": "File too large",
    "full": "No space left on device",
    "locked": "denied",
    "flush": "Input/output error",
}


def cramped(folder, hows, before=()):
    """What every writer says where there is no room."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(folder)}
    words = [*before, sys.executable, "-m", "tests.support.cramped", str(folder), *hows]
    run = subprocess.run(words, capture_output=True, text=True, timeout=200, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def check_cramped(found):
    for how, writers in found.items():
        for name, done in writers.items():
            told = (how, name, done)
            assert SAYS[how] in done["said"] and name in done["said"] and "\n" not in done["said"], told
            assert done["code"] in ("store-write", "data-write", "exit-3"), told
            assert not done["lost"] and all(path.startswith("run/") for path in done["left"]), told
            assert "part" not in str(done["left"]), told


def test_r37_without_room_every_writer_says_so_and_leaves_all_as_it_was(tmp_path):
    check_cramped(cramped(tmp_path, ["flush", "limit", "locked"]))


def test_r37_on_a_full_disk_every_writer_says_so_and_leaves_all_as_it_was(tmp_path):
    """Where the system makes no small disk for us, files are limited in their size instead."""
    small = [*SMALL_DISK, str(tmp_path)]
    made = subprocess.run([*small, "true"], capture_output=True).returncode == 0
    check_cramped(cramped(tmp_path, ["full"], small) if made else cramped(tmp_path, ["limit"]))
