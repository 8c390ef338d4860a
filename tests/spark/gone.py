"""Sessions that are stopped and drivers that are killed, and what everything that takes a DataFrame says of it.

Run as a program, with "classic" or "connect": prints a line of JSON, what each call came to in each state.
"""

import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession

from firesteel.callbacks import LambdaCallback
from firesteel.spark import (
    NeuralNetworkClassifier,
    NeuralNetworkClassifierModel,
    load_pack,
    pack,
    session,
)
from firesteel.spark.lines import paired
from tests.spark.conftest import NAMED, fit, make_rows, network


def start(mode: str) -> SparkSession:
    if mode == "classic":
        return session(conf={"spark.ui.enabled": "false"})
    os.environ["SPARK_TESTING"] = "1"  # a port of its own
    spark = SparkSession.builder.remote("local[2]").getOrCreate()
    from pyspark.sql.connect.client.retries import DefaultPolicy

    spark.client.set_retry_policies([DefaultPolicy(max_retries=1)])  # Spark's own take ten minutes
    return spark


def kill() -> None:
    """Kill the JVM that this process has started."""
    gateway: Any = SparkContext._gateway
    gateway.proc.send_signal(signal.SIGKILL)
    gateway.proc.wait()


def said(call: Callable[[], object]) -> list[str]:
    """Return the class and the text of what a call raises."""
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["", ""]


class Calls:
    """All that is made while the session lives, and the calls that then are tried on it."""

    def __init__(self, spark: SparkSession, folder: str) -> None:
        self.spark, self.folder, self.frame = spark, folder, make_rows(300).frame(spark)
        self.model = self.stage().fit(self.frame)
        self.model.write().overwrite().save(f"{folder}/model")
        self.network = network()
        self.network.fit(self.frame, epochs=1, verbose=0)
        self.rows = pack(self.frame)
        if not Path(folder, "pack").exists():
            pack(self.frame, path=f"{folder}/pack")
        Path(folder, "text").write_text("0 1\n")

    def stage(self, **params: Any) -> NeuralNetworkClassifier:
        return NeuralNetworkClassifier(**{"maxIter": 1, "hiddenLayers": [2]} | NAMED | params)

    def text(self) -> int:
        with paired(self.spark, f"{self.folder}/text", f"{self.folder}/text") as found:
            return found.rows

    def tried(self) -> dict[str, list[str]]:
        frame, folder = self.frame, self.folder
        return {
            "stage": said(lambda: self.stage().fit(frame)),
            "stage with checkpoints": said(lambda: self.stage(checkpointDir=f"{folder}/kept").fit(frame)),
            "stage on packed rows": said(lambda: self.stage().fit(self.rows)),
            "candidates": said(lambda: next(self.stage().fitMultiple(frame, [{}]))),
            "fit": said(lambda: fit(frame)),
            "fit on packed rows": said(lambda: fit(self.rows)),
            "evaluate": said(lambda: self.network.evaluate(frame, verbose=0)),
            "predict": said(lambda: self.network.predict(frame)),
            "transform": said(lambda: self.model.transform(frame)),
            "pack": said(lambda: pack(frame)),
            "pack to a path": said(lambda: pack(frame, path=f"{folder}/another")),
            "text": said(self.text),
            "load_pack": said(lambda: load_pack(f"{folder}/pack")),
            "save": said(lambda: self.model.save(f"{folder}/another")),
            "overwrite": said(lambda: self.model.write().overwrite().save(f"{folder}/model")),
            "load": said(lambda: NeuralNetworkClassifierModel.load(f"{folder}/model")),
            "let go": said(self.rows.unpersist),
        }


def in_epoch(frame: DataFrame, act: Callable[[], None]) -> list[str]:
    """Return what a fit says in whose second epoch something happens."""

    def now(epoch: int, logs: Any) -> None:
        if epoch == 1:
            act()

    return said(lambda: fit(frame, epochs=9, validation_split=0.2, callbacks=LambdaCallback(on_epoch_end=now)))


def main(mode: str) -> None:
    warnings.simplefilter("ignore")
    folder = tempfile.mkdtemp()
    first = start(mode)
    calls, found = Calls(first, folder), {}
    found["stopped in a fit"] = in_epoch(calls.frame, first.stop)
    found["stopped"] = calls.tried()
    second = start(mode)
    found["of another session"] = {name: one for name, one in calls.tried().items() if "pack" not in name}
    calls = Calls(second, folder)
    began = time.perf_counter()
    found["killed in a fit"] = in_epoch(calls.frame, kill)
    found["seconds"] = time.perf_counter() - began
    found["killed"] = calls.tried()
    found["session"] = said(session)
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # without what Spark would still try to stop


if __name__ == "__main__":
    main(sys.argv[1])
