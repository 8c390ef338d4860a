"""Writes pictures.json: what Keras 3.15.1 and torch make of fixed pictures, values and derivatives.

Run with both installed: KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/core/golden/make_pictures.py
"""

import json
from pathlib import Path

import jax
import keras
import numpy as np
import torch

keras.config.set_floatx("float64")
RNG = np.random.default_rng(0)
PICTURES = RNG.normal(size=(2, 7, 6, 4)).round(2)
SEQUENCES = RNG.normal(size=(2, 9, 4)).round(2)
LAYERS = [
    ["Conv2D", {"filters": 3, "kernel_size": 3}],
    ["Conv2D", {"filters": 3, "kernel_size": [2, 3], "strides": 2, "padding": "same"}],
    ["Conv2D", {"filters": 4, "kernel_size": [3, 2], "dilation_rate": [2, 1], "groups": 2, "use_bias": False}],
    ["Conv2D", {"filters": 2, "kernel_size": 4, "padding": "same", "activation": "relu"}],
    ["Conv1D", {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}],
    ["Conv1D", {"filters": 2, "kernel_size": 4, "padding": "same", "strides": 3}],
    ["DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}],
    ["DepthwiseConv2D", {"kernel_size": [2, 3], "strides": 2, "padding": "same"}],
    ["SeparableConv2D", {"filters": 3, "kernel_size": 3, "depth_multiplier": 2, "padding": "same"}],
    ["Conv2DTranspose", {"filters": 3, "kernel_size": 3}],
    ["Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same"}],
    ["Conv2DTranspose", {"filters": 2, "kernel_size": 2, "strides": 3}],
    ["Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1}],
    ["MaxPooling2D", {}],
    ["MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}],
    ["MaxPooling1D", {"pool_size": 2}],
    ["AveragePooling2D", {"pool_size": [2, 3], "strides": 1}],
    ["AveragePooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}],
    ["AveragePooling1D", {"pool_size": 4, "padding": "same"}],
    ["GlobalMaxPooling2D", {}],
    ["GlobalMaxPooling2D", {"keepdims": True}],
    ["GlobalAveragePooling1D", {}],
    ["UpSampling2D", {"size": [2, 3]}],
    ["UpSampling2D", {"size": 2, "interpolation": "bilinear"}],
    ["ZeroPadding2D", {"padding": [[0, 2], [1, 0]]}],
]


def numbers(shape):
    """The numbers that weights and derivatives of a shape are set to."""
    return np.cos(np.arange(np.prod(shape), dtype=float)).reshape(shape)


def measured(kind, settings):
    x = SEQUENCES if kind.endswith("1D") else PICTURES
    layer = getattr(keras.layers, kind)(dtype="float64", **settings)
    layer.build(x.shape)
    layer.set_weights([numbers(w.shape) for w in layer.get_weights()])
    weights = [v.value for v in layer.trainable_variables]

    def value(weights, x):
        y, _ = layer.stateless_call(weights, [], x)
        return (y * numbers(y.shape)).sum(), y

    (g, d_x), y = jax.grad(value, argnums=(0, 1), has_aux=True)(weights, x)
    found = {"y": np.asarray(y), "d_x": np.asarray(d_x), "g": np.concatenate([np.ravel(one) for one in g] or [[]])}
    return {name: [list(one.shape), one.ravel().tolist()] for name, one in found.items()}


def ties():
    """What torch makes of pools with equal values and NaN."""
    x = torch.tensor([[1.0, 1.0, 2.0, np.nan], [1.0, 0.0, 2.0, 5.0], [0.0, 0.0, -1.0, -1.0], [0.0, 0.0, -1.0, -2.0]])
    x = x[None, None].double().requires_grad_()
    y = torch.nn.functional.max_pool2d(x, 2)
    y.nansum().backward()
    return {"x": x.detach().ravel().tolist(), "y": y.detach().ravel().tolist(), "d_x": x.grad.ravel().tolist()}


written = {
    "pictures": PICTURES.tolist(),
    "sequences": SEQUENCES.tolist(),
    "layers": [[kind, settings, measured(kind, settings)] for kind, settings in LAYERS],
    "ties": ties(),
}
Path(__file__).with_name("pictures.json").write_text(json.dumps(written) + "\n")
