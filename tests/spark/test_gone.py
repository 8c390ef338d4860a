"""A driver that is gone and a session that is stopped are said to be so, and by no error of somebody else's."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.spark.conftest import JAVA_TOOL_OPTIONS

ROOT = Path(__file__).parents[2]
STOPPED = r"the Spark session is stopped\.  To do: create a new one .* \[spark-gone\]$"
NONE = r"no Spark session is active: create one first \[config-session\]$"
GONE = {
    "classic": r"the JVM of this program, has ended: it was killed, .*  To do: restart Python .* \[spark-gone\]$",
    "connect": r"Spark's server cannot be reached any more\.  To do: check that it runs.* \[spark-gone\]$",
}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=["classic", pytest.param("connect", marks=pytest.mark.slow)])
def found(request):
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "JAVA_TOOL_OPTIONS": JAVA_TOOL_OPTIONS}
    program = [sys.executable, "-m", "tests.spark.gone", request.param]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return request.param, json.loads(done.stdout.splitlines()[-1])


def all_say(calls, text, but=()):
    for name, (kind, message) in calls.items():
        if name not in but:
            assert kind in ("SparkJobError", "ConfigError") and re.search(text, message), f"{name}: {kind}: {message}"
            assert not re.search(r"\n|py4j|org\.apache|grpc", message)


def test_r02_a_driver_that_is_killed_in_a_fit_is_said_to_be_gone(found):
    mode, calls = found
    all_say({"fit": calls["killed in a fit"]}, GONE[mode])
    assert calls["seconds"] < 60


def test_everything_says_that_a_driver_is_gone(found):
    mode, calls = found
    all_say(calls["killed"], GONE[mode], but=["let go"])
    assert calls["killed"]["let go"] == ["", ""], "rows that are gone with their driver need no freeing"


def test_everything_says_that_a_session_is_stopped(found):
    _, calls = found
    all_say({"fit": calls["stopped in a fit"]}, STOPPED)
    without = ["load_pack", "save", "overwrite", "load"]
    all_say(calls["stopped"], STOPPED, but=[*without, "let go"])
    all_say({name: calls["stopped"][name] for name in without}, NONE)
    assert calls["stopped"]["let go"] == ["", ""]


def test_rows_of_a_session_that_was_stopped_are_named_beside_a_new_one(found):
    _, calls = found
    all_say(calls["of another session"], STOPPED, but=["save", "overwrite", "load", "let go"])


@pytest.mark.slow
def test_r02_a_command_whose_jvm_is_killed_ends_in_a_line():
    command = [
        sys.executable,
        "-m",
        "firesteel",
        "train",
        "--data",
        "digits",
        "--epochs",
        "5000",
        "--engine",
        "spark",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        next(line for line in run.stdout if line.startswith("epoch 2/"))
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        (java,) = [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().startswith("java")]
        os.kill(java, signal.SIGKILL)
        killed = time.monotonic()
        _, err = run.communicate(timeout=60)
    (said,) = err.splitlines()
    assert run.returncode == 1 and "the JVM of this program, has ended: it was killed" in said
    assert said.endswith("[spark-gone]") and time.monotonic() - killed < 20
