"""Run as a program on a real Spark Connect session; prints as JSON what the classic tests compare with."""

import json
import sys
import tempfile

from pyspark.errors import PySparkException
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession

from firesteel.errors import DataError
from tests.spark.conftest import fit, make_rows
from tests.spark.test_estimator import pipeline


def main(remote: str) -> None:
    spark = SparkSession.builder.remote(remote).getOrCreate()
    rows = make_rows()
    frame = rows.frame(spark, "columns")
    fitted = pipeline().fit(frame)
    scored = fitted.transform(frame).orderBy("id").collect()
    path = f"{tempfile.mkdtemp()}/pipeline"
    fitted.write().save(path)
    fitted.stages[-1].write().overwrite().save(f"{path}/alone")
    fitted.stages[-1].write().overwrite().save(f"{path}/alone")
    try:
        fit(frame, features=["x0", "x1"], label="nothing")
        refused = ""
    except (DataError, PySparkException) as error:
        refused = f"{type(error).__name__}: {error}"
    found = {
        "connect": "connect" in type(spark).__module__,
        "pipeline": fitted.stages[-1].network.fingerprint(),
        "loaded": PipelineModel.load(path).stages[-1].network.fingerprint(),
        "predictions": [row.prediction for row in scored],
        "fit": fit(rows.frame(spark, "sparse").repartition(5), weight="weight", validation_split=0.2),
        "refused": refused,
    }
    print(json.dumps(found))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
