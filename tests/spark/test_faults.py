"""Killed workers, killed executors, tasks that raise, clusters that shrink: the bits are the same, or an error says
in a sentence what happened.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest

from tests.spark.clusters import standalone
from tests.spark.disturbed import EPOCHS, ROWS
from tests.spark.faults import STRAGGLE_SECONDS
from tests.support import graphs

ROOT = Path(__file__).parents[2]
LOCAL, CLUSTER = "local[2,4]", "local-cluster[2,1,1024]"

pytestmark = pytest.mark.timeout(420)


def run(folder: Path, master: str, *faults: str, conf: Any = (), **settings: Any) -> dict[str, Any]:
    """Run disturbed.py with the tests on every worker's path; return what it printed."""
    (folder / "faults").mkdir(exist_ok=True)
    environment = os.environ | {
        "FIRESTEEL_FAULTS": str(folder / "faults"),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
    }
    arguments = {"master": master, "conf": dict(conf), "faults_": faults} | settings
    program = [sys.executable, "-m", "tests.spark.disturbed", json.dumps(arguments)]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def unharmed(found: dict[str, Any], *faults: str) -> None:
    """Check that the faults happened, and that each fit has the bits of the one in process and saw each row once."""
    expected = found["local"][0]["bits"]
    for name in ("undisturbed", *faults):
        print(name, [round(one["seconds"], 1) for one in found[name]])
        for one in found[name]:
            assert one["bits"] == expected and one["rows"] == [ROWS] * EPOCHS, f"{name}: {one}"
            assert name == "undisturbed" or one["happened"], f"{name} did not fall inside the fit"
    usual = found["undisturbed"][-1]["seconds"]
    for name in faults:
        same = sum(one["bits"] == expected for one in found[name])
        added = mean(one["seconds"] for one in found[name]) - usual
        print(f"{name}: same bits {same} of {len(found[name])}, {added:+.1f} s over {usual:.1f} s")


def error(found: dict[str, Any], fault: str, most: float = 30.0) -> str:
    """Return the text of the one error that a fault came to, which holds nothing of Java and no traceback."""
    reported = found[fault][0]["error"]
    assert found[fault][0]["seconds"] <= most
    assert not re.search(r"org\.apache|\bat \w+\.|Traceback|py4j|\n", reported["text"]), reported["text"]
    print(f"{fault}, after {found[fault][0]['seconds']:.1f} s: {reported['kind']}: {reported['text']}")
    return str(reported["text"])


@pytest.mark.slow
def test_r02_r03_a_killed_worker_and_a_task_that_raises(tmp_path):
    found = run(tmp_path, LOCAL, "kill_worker", "raise_once", "raise_always")
    unharmed(found, "kill_worker", "raise_once")
    text = error(found, "raise_always")
    assert re.match(
        r"firesteel: epoch 1 of 3: a task failed in every attempt: ValueError: attempt 1 of a layer that", text
    )
    assert re.search(r"\(faults.py, line \d+, in raise_always; shard \d of 4, 7 block.* \[spark-task\]$", text)


@pytest.mark.slow
def test_r02_r03_ten_killed_workers_and_one_that_always_dies(tmp_path):
    found = run(tmp_path, LOCAL, "kill_worker*10", "die_always", "raise_once")
    unharmed(found, "kill_worker", "raise_once")
    text = error(found, "die_always")
    assert re.match(
        r"firesteel: epoch 1 of 3: the Python worker of a task died in every attempt .* To do: process less at",
        text,
    )


@pytest.mark.slow
@pytest.mark.parametrize("runs", ["1 to 5", "6 to 10"])
def test_r01_an_executor_killed_in_an_epoch(tmp_path, runs):
    unharmed(run(tmp_path, CLUSTER, "kill_executor*5"), "kill_executor")


@pytest.mark.slow
@pytest.mark.parametrize("graph", graphs.CALLED)
def test_an_executor_killed_while_a_graph_is_trained(tmp_path, graph):
    unharmed(run(tmp_path, CLUSTER, "kill_executor", graph=graph), "kill_executor")


@pytest.mark.slow
def test_r01_both_executors_killed_in_turn(tmp_path):
    found = run(tmp_path, CLUSTER, "kill_both_executors")
    unharmed(found, "kill_both_executors")
    assert {"executor", "other executor"} <= found["kill_both_executors"][0]["happened"].keys()


@pytest.mark.slow
def test_r01_r02_r06_r07_faults_before_the_first_epoch_and_what_is_lost_with_an_executor(tmp_path):
    faults = ("validation", "packing", "shuffle", "kill_worker")
    found = run(tmp_path, CLUSTER, *faults, "shifting")
    unharmed(found, *faults)
    assert re.match(
        r"block \d+ no longer has the rows with which it was packed: .* \[data-shift", error(found, "shifting")
    )


@pytest.mark.slow
def test_r04_a_speculative_copy_changes_nothing(tmp_path):
    speculation = {
        "spark.speculation": "true",
        "spark.speculation.multiplier": "1.1",
        "spark.speculation.quantile": "0.1",
        "spark.speculation.interval": "50ms",
        "spark.speculation.minTaskRuntime": "100ms",
    }
    with standalone(tmp_path, FIRESTEEL_FAULTS=str(tmp_path / "faults")) as master:
        found = run(tmp_path, master, "straggle", conf=speculation)
    unharmed(found, "straggle")
    seconds = found["straggle"][0]["seconds"]
    assert seconds < STRAGGLE_SECONDS, "the straggler was waited for, so nothing was speculative"


@pytest.mark.slow
def test_r08_executors_that_go_and_are_sent_away_change_nothing(tmp_path):
    scaling = {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.timeout": "2s",
        "spark.dynamicAllocation.executorIdleTimeout": "2s",
        "spark.dynamicAllocation.cachedExecutorIdleTimeout": "2s",
        "spark.dynamicAllocation.minExecutors": "0",
        "spark.dynamicAllocation.maxExecutors": "2",
        "spark.decommission.enabled": "true",
        "spark.storage.decommission.enabled": "true",
    }
    found = run(tmp_path, CLUSTER, "idle", "decommission", conf=scaling)
    print("executors after each epoch, none was at work:", found["idle"][0]["executors"])
    assert 0 in found["idle"][0]["executors"], "no executor ever left"
    found["idle"][0]["happened"] = found["idle"][0]["executors"]
    unharmed(found, "idle", "decommission")


@pytest.mark.slow
def test_r10_one_slot_and_many_partitions_change_nothing(tmp_path):
    unharmed(run(tmp_path, "local[1]", partitions=64))


@pytest.mark.slow
def test_r13_fresh_workers_that_are_allowed_eight_threads_change_nothing(tmp_path):
    settings = {"spark.python.worker.reuse": "false", "spark.executorEnv.OMP_NUM_THREADS": "8"}
    found = run(tmp_path, "local[2]", "count_threads", conf=settings)
    unharmed(found, "count_threads")
    counted = [json.loads(text) for text in found["count_threads"][0]["happened"].values()]
    assert len({one["pid"] for one in counted}) == len(counted) == 4 * EPOCHS, "workers were used again"
    print("threads allowed and busy besides the task's own:", max((one["allowed"], one["busy"]) for one in counted))
    assert all((one["asked"], one["allowed"], one["busy"]) == ("8", 1, 0) for one in counted)


@pytest.mark.slow
def test_r15_fits_in_a_row_leave_memory_flat_and_nothing_cached(tmp_path):
    """On a local master, whose one JVM is the driver and the executor; Spark is to forget jobs that have ended.

    Spark's pools of threads keep an idle one for a minute, and with it the copy of a session that it last worked for:
    some 0.3 MB a fit until the first of them go.  So the pools are of two here, and what is left can be seen.
    """
    names = ("retainedJobs", "retainedStages", "retainedTasks")
    forgetful = {f"spark.ui.{name}": "10" for name in names} | {"spark.sql.ui.retainedExecutions": "10"}
    pools = ("shuffleExchange", "resultQueryStage", "broadcastExchange")
    small = {f"spark.sql.{name}.maxThreadThreshold": "2" for name in pools}
    found = run(tmp_path, "local[2]", "sixteen", conf=forgetful | small)["sixteen"][0]
    assert not any(found["cached"])
    grown = {}
    for what in ("held", "others"):
        for who in ("python", "heap", "worker"):
            sizes = [held[who] for held in found[what]]
            print(f"{who}, MB after each {'fit' if what == 'held' else 'cache'}:", *(f"{size:.1f}" for size in sizes))
            grown[what, who] = median(sizes[-5:]) - median(sizes[2:7])  # two fits warm up
    assert grown["held", "python"] <= 1 and grown["held", "worker"] <= 2
    assert grown["held", "heap"] <= grown["others", "heap"] + 1.5


@pytest.mark.slow
def test_r45_everything_encrypted_and_no_port_of_our_own(tmp_path):
    encryption = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": "of these tests",
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.cipher": "AES/GCM/NoPadding",
        "spark.io.encryption.enabled": "true",
    }
    seconds = []
    for conf in ({}, encryption):
        found = run(tmp_path, CLUSTER, "ports", "kill_worker", conf=conf, fits=5)
        ports = found["ports"][0]
        print("listening at most, in a plain job and in a fit:", ports["plain"], ports["ours"])
        ports["happened"] = ports["ours"]
        unharmed(found, "ports", "kill_worker")
        assert {kind for kind, count in ports["ours"].items() if count > ports["plain"].get(kind, 0)} == set()
        assert ports["ours"].get("python", 0) <= 1, "PySpark's own, for accumulators"
        assert ports["ours"]["daemon"] and ports["ours"]["jvm"], "nothing was checked"
        seconds.append(median(one["seconds"] for one in found["undisturbed"][1:]))
    print(f"a fit takes {seconds[0]:.2f} s, encrypted {seconds[1]:.2f} s: {seconds[1] / seconds[0] - 1:+.0%}")
