"""Makes metrics.json: what Keras 3.15.1 with JAX 64-bit floats makes of a few weighted rows.

    KERAS_BACKEND=jax JAX_ENABLE_X64=1 python make_metrics.py

Each case names rows, our metric and Keras's value of its own; F1 scores are asked where no outputs tie, since Keras
then tells a row to be of both classes.
"""

import json
from pathlib import Path

import numpy as np

ROWS, OUTPUTS = 24, 4
rng = np.random.default_rng(0)
Z = rng.normal(0, 1.5, (ROWS, OUTPUTS))
P = (np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)).round(6)
CLASSES = np.where(rng.uniform(size=ROWS) < 0.5, P.argmax(axis=1), rng.integers(0, OUTPUTS, ROWS))
LABELS = rng.integers(0, 2, (ROWS, OUTPUTS))
W = rng.uniform(0.5, 2.0, ROWS).round(3)
TRUTH = rng.normal([1.0, -2.0], [1.0, 3.0], (ROWS, 2)).round(6)
DATA = {
    "classes": (P, CLASSES[:, None]),
    "one_hot": (P, np.eye(OUTPUTS)[CLASSES]),
    "labels": ((1 / (1 + np.exp(-Z - LABELS))).round(6), LABELS),
    "ties": (P.round(1), CLASSES[:, None]),
    "ties_one_hot": (P.round(1), np.eye(OUTPUTS)[CLASSES]),
    "binary": ((1 / (1 + np.exp(-Z[:, :1] - LABELS[:, :1]))).round(6), LABELS[:, :1]),
    "numbers": ((TRUTH + rng.normal(0, 0.8, TRUTH.shape)).round(6), TRUTH),
}


def cases(metrics):
    """Give (rows, Keras's metric, our config)."""
    yield "classes", metrics.SparseCategoricalAccuracy(), {"type": "SparseCategoricalAccuracy"}
    yield "one_hot", metrics.CategoricalAccuracy(), {"type": "CategoricalAccuracy"}
    yield "labels", metrics.BinaryAccuracy(), {"type": "BinaryAccuracy"}
    yield "labels", metrics.BinaryAccuracy(threshold=0.7), {"type": "BinaryAccuracy", "threshold": 0.7}
    yield "binary", metrics.BinaryAccuracy(threshold=0.3), {"type": "BinaryAccuracy", "threshold": 0.3}
    yield "classes", metrics.SparseCategoricalCrossentropy(), {"type": "LogLoss"}
    yield "one_hot", metrics.CategoricalCrossentropy(), {"type": "LogLoss"}
    yield "labels", metrics.BinaryCrossentropy(), {"type": "LogLoss", "multi_label": True}
    yield "binary", metrics.BinaryCrossentropy(), {"type": "LogLoss"}
    for name in ("MeanAbsoluteError", "MeanSquaredError", "RootMeanSquaredError"):
        yield "numbers", getattr(metrics, name)(), {"type": name}
    for how in ("uniform_average", "variance_weighted_average", None):
        yield "numbers", metrics.R2Score(class_aggregation=how), {"type": "R2Score", "class_aggregation": how}
    tops = {"classes": "Sparse", "ties": "Sparse", "one_hot": "", "ties_one_hot": ""}
    for k in (1, 2, 3, 9):
        for rows, kind in tops.items():
            name = f"{kind}TopKCategoricalAccuracy"
            yield rows, getattr(metrics, name)(k=k), {"type": name, "k": k}
    for average in ("macro", "micro", "weighted", None):
        ours = {"type": "F1Score", "average": average}
        yield "one_hot", metrics.F1Score(average=average), ours
        yield "labels", metrics.F1Score(average=average, threshold=0.6), ours | {"threshold": 0.6}
    for name in ("Precision", "Recall"):
        for t in (0.3, 0.5):
            kind, ours = getattr(metrics, name), {"type": name, "threshold": t}
            for rows in ("one_hot", "labels"):
                yield rows, kind(thresholds=t), ours | {"average": "micro"}
            yield "binary", kind(thresholds=t), ours
            for k in (0, 3):
                yield "labels", kind(thresholds=t, class_id=k), ours | {"class_id": k}


def main():
    import keras

    keras.config.set_floatx("float64")
    made = []
    for rows, theirs, ours in cases(keras.metrics):
        p, y = DATA[rows]
        sparse = y.shape[1] < p.shape[1]
        theirs.update_state(y[:, 0] if sparse else y, p, sample_weight=W)
        made.append({"rows": rows, "metric": ours, "value": np.asarray(theirs.result()).tolist()})
    parts = [f'"keras": "{keras.__version__}"', f'"weights": {W.tolist()}', '"data": {']
    data = [f'"{name}": {json.dumps({"p": p.tolist(), "y": y.tolist()})}' for name, (p, y) in DATA.items()]
    text = "{\n" + ",\n".join(parts) + "\n" + ",\n".join(data) + '\n},\n"cases": [\n'
    text += ",\n".join(json.dumps(case) for case in made) + "\n]\n}\n"
    Path(__file__).with_name("metrics.json").write_text(text)


if __name__ == "__main__":
    main()
