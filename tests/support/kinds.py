"""Train one epoch, in process or on a cluster, and print the result as JSON; for runs on other types of CPU."""

import json
import sys
import warnings
from typing import Any

import numpy as np

from firesteel.layers import Dense
from firesteel.models import Sequential


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Return x (6000, 20) and classes y (6000,)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, 20)).astype(np.float32)
    return x, (x @ rng.normal(size=(20, 3))).argmax(axis=1)


def trained(dtype: str, x: Any, y: Any = None) -> dict[str, Any]:
    """Train one epoch in four shards; return the weights, the machines and the warnings."""
    model = Sequential([Dense(64, "relu"), Dense(32, "tanh"), Dense(3, "softmax")], dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        history = model.fit(x, y, epochs=1, shards=4, batch_size=16, seed=1, verbose=0)
    theta = np.concatenate([weights.reshape(-1) for weights in model.get_weights()]).astype(np.float64)
    said = [str(one.message) for one in heard if issubclass(one.category, UserWarning)]
    return {"theta": theta.tolist(), "machines": sorted(history.machines), "warnings": said}


def main(master: str | None = None) -> None:
    x, y = rows()
    found = {dtype: trained(dtype, x, y) for dtype in ("float32", "float64")}
    if master is not None:
        from firesteel.spark import session

        spark = session(master, conf={"spark.ui.enabled": "false", "spark.executor.memory": "1g"})
        kept = [(row, int(label)) for row, label in zip(x.tolist(), y, strict=True)]
        frame = spark.createDataFrame(kept, "features array<float>, label int").repartition(4).persist()
        found |= {f"{dtype} there": trained(dtype, frame) for dtype in ("float32", "float64")}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
