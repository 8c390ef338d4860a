"""Writes layers.json: what Keras 3.15.1's layers with statistics, and its constraints, make of fixed numbers.

Run with Keras installed: KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/core/golden/make_layers.py
"""

import json
from pathlib import Path

import keras
import numpy as np

keras.config.set_floatx("float64")
RNG = np.random.default_rng(0)
X = RNG.normal(1.0, 2.0, (6, 3)).round(3)
W = RNG.normal(0.0, 3.0, (3, 2)).round(3)


def batch_normalization(settings):
    layer = keras.layers.BatchNormalization(dtype="float64", **settings)
    trained = np.asarray(layer(X, training=True))
    used = np.asarray(layer(X, training=False))
    averages = [np.asarray(v).tolist() for v in layer.non_trainable_variables]
    return {"trained": trained.tolist(), "used": used.tolist(), "averages": averages}


written = {
    "x": X.tolist(),
    "w": W.tolist(),
    "BatchNormalization": [
        [settings, batch_normalization(settings)]
        for settings in ({}, {"momentum": 0.5, "epsilon": 0.1}, {"center": False, "scale": False})
    ],
    "LayerNormalization": [
        [settings, np.asarray(keras.layers.LayerNormalization(dtype="float64", **settings)(X)).tolist()]
        for settings in ({}, {"epsilon": 0.1})
    ],
    "constraints": [
        [kind, settings, np.asarray(getattr(keras.constraints, kind)(**settings)(W)).tolist()]
        for kind, settings in (
            ("MaxNorm", {}),
            ("MaxNorm", {"max_value": 1.0, "axis": 1}),
            ("MinMaxNorm", {}),
            ("MinMaxNorm", {"min_value": 4.0, "max_value": 4.5, "rate": 0.5, "axis": 1}),
            ("NonNeg", {}),
            ("UnitNorm", {}),
            ("UnitNorm", {"axis": 1}),
        )
    ],
}
Path(__file__).with_name("layers.json").write_text(json.dumps(written) + "\n")
