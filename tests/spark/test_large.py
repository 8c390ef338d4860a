"""Many rows, wide rows and little memory: the driver does not grow, blocks may be evicted, and what cannot be held is
refused in a sentence.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import columns

ROOT = Path(__file__).parents[2]
CLUSTER = "local-cluster[2,1,1024]"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def run(master: str, conf: dict[str, str], **settings: int) -> dict[str, Any]:
    """Run large.py; return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    program = [sys.executable, "-m", "tests.spark.large", json.dumps({"master": master, "conf": conf} | settings)]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print({name: round(value, 1) if isinstance(value, float) else value for name, value in found.items()})
    return found


def test_r05_blocks_that_do_not_stay_in_memory_change_nothing():
    size = {"rows": 500_000, "width": 100, "shards": 16}
    squeezed = {"spark.driver.memory": "512m", "spark.memory.storageFraction": "0.05"}
    kept, evicted = run("local[2,4]", {"spark.driver.memory": "3g"}, **size), run("local[2,4]", squeezed, **size)
    print(f"an epoch takes {evicted['epoch'] / kept['epoch']:.1f} times as long")
    assert not kept["disk"] and evicted["disk"] > 50, "the blocks stayed where they were"
    assert evicted["bits"] == kept["bits"]
    assert evicted["rows"] == kept["rows"] == [size["rows"]] * 2


def test_r11_the_driver_holds_no_more_for_ten_times_the_rows_and_refuses_what_it_may_not_take():
    conf = {
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": "-Xms1g -XX:+AlwaysPreTouch",
        "spark.driver.maxResultSize": "8m",
        "spark.executor.memory": "1g",
    }
    few, many = (run(CLUSTER, conf, rows=n, width=16, shards=16, big=60_000) for n in (200_000, 2_000_000))
    for who in ("python", "jvm", "heap"):
        print(f"{who}: {few[who]:.0f} MB and {many[who]:.0f} MB, {many[who] / few[who]:.2f} times as much")
        assert many[who] <= 1.1 * few[who]
    assert many["rows"] == [2_000_000] * 2
    for found in (few, many):
        text = r"ConfigError: each round of this network sends \d+ MiB .*maxResultSize is 8 MiB: start Spark with "
        assert re.match(text, found["refused"]), found["refused"]


@pytest.mark.parametrize(("rows", "width"), [(2_000_000, 50), (2_000, 50_000)], ids=["many", "wide"])
def test_r11_rows_that_would_fill_the_only_jvm_are_kept_on_disk(rows, width):
    found = run("local[2]", {"spark.driver.memory": "1g"}, rows=rows, width=width, shards=8)
    assert found["disk"] > 300 and found["rows"] == [rows] * 2


def test_r12_wide_rows_in_little_memory_fit_or_are_refused_in_a_sentence():
    conf = {"spark.executor.memory": "1g", "spark.task.maxFailures": "2"}
    wide = {"rows": 64, "width": 200_000, "shards": 2}
    refused, fitted = (
        run(CLUSTER, conf | {"spark.executor.pyspark.memory": size}, **wide) for size in ("256m", "1g")
    )
    assert fitted["rows"] == [64] * 2
    assert "Unable to allocate" in refused["error"] and "spark.executor.pyspark.memory" in refused["error"]


def test_a_column_of_millions_of_different_words_is_left_out_and_said_in_little_memory():
    found = columns.run("words", "3e6", "3e6", "profile")
    print(found)
    assert found["left out"] == {"word": "nearly every row has a word of its own"}
    assert found["python"] < 400 and found["worker"] < 500


def test_a_fit_of_thousands_of_columns_takes_little_memory_of_the_driver():
    found = columns.run("wide", "400", "2000", "8")
    print(found)
    assert found["left out"] == {} and 0 < found["python"] < 600 and 0 < found["worker"] < 600
