"""Run as a program on a cluster whose executors have a bare Python; prints as JSON what came out there and here."""

import json
import sys

import numpy as np

from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkRegressor, session
from tests.spark.conftest import NAMED, fit, make_rows


def main(master: str) -> None:
    def look(batches):
        """Yield what this executor has, and where its firesteel is from; inside, so that it travels by value."""
        import importlib.util

        import pyarrow

        import firesteel

        list(batches)
        has = [name for name in ("pandas", "scipy", "mlflow") if importlib.util.find_spec(name)]
        yield pyarrow.RecordBatch.from_pydict({"v": [f"{has} {firesteel.__file__}"]})

    spark = session(master, conf={"spark.ui.enabled": "false", "spark.executor.memory": "1g"})
    rows = make_rows(400)
    frame = rows.frame(spark, "dense").repartition(3)
    found = {"there": fit(frame, shards=2), "here": fit(rows.x, rows.y, shards=2)}
    for name, stage in (
        ("classes", NeuralNetworkClassifier(hiddenLayers=[8], maxIter=3, seed=1, **NAMED)),
        ("numbers", NeuralNetworkRegressor(labelCol="weight", hiddenLayers=[8], maxIter=3, seed=1, **NAMED)),
    ):
        model = stage.fit(frame)
        scored = [row.prediction for row in model.transform(frame).orderBy("id").collect()]
        outputs = model.network.predict(rows.x)
        expected = outputs.argmax(axis=1) if name == "classes" else outputs[:, 0]
        found[name] = float(np.abs(np.array(scored) - expected).max())
    found["executors"] = [row.v for row in frame.select("id").mapInArrow(look, "v string").collect()]
    print(json.dumps(found))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
