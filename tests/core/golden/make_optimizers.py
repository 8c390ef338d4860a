"""Writes optimizers.json: where Keras 3.15.1's optimisers go in 20 steps, and what its schedules give.

Run with Keras installed: KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/core/golden/make_optimizers.py

The parameters are a kernel (3, 2) and a bias (2,); the gradient of each number v is v^3 - 2 v + 0.2.
"""

import json
from pathlib import Path

import keras
import numpy as np

START = [[1.5, -0.7, 0.01, 0.0, 2.5, -1.1], [0.3, -2.0]]
CASES = [
    ["SGD", {}],
    ["SGD", {"learning_rate": 0.05, "momentum": 0.9}],
    ["SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}],
    ["SGD", {"learning_rate": 0.05, "clipnorm": 0.5}],
    ["SGD", {"learning_rate": 0.05, "clipvalue": 0.3}],
    ["SGD", {"learning_rate": 0.05, "global_clipnorm": 0.7}],
    ["SGD", {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.1}],
    ["RMSprop", {}],
    ["RMSprop", {"learning_rate": 0.02, "momentum": 0.5}],
    ["RMSprop", {"learning_rate": 0.02, "centered": True}],
    ["RMSprop", {"learning_rate": 0.02, "centered": True, "momentum": 0.5, "epsilon": 0.01}],
    ["Adagrad", {}],
    ["Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.5}],
    ["Adadelta", {}],
    ["Adadelta", {"learning_rate": 1.0, "rho": 0.8, "epsilon": 0.01}],
    ["Adam", {}],
    ["Adam", {"learning_rate": 0.1, "amsgrad": True}],
    ["Adam", {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.1}],
    ["Adam", {"learning_rate": 0.05, "weight_decay": 0.1, "exclude_from_weight_decay": ["bias"]}],
    ["AdamW", {}],
    ["AdamW", {"learning_rate": 0.1, "weight_decay": 0.2, "clipnorm": 0.5}],
    ["Adamax", {}],
    ["Adamax", {"learning_rate": 0.1}],
    ["Nadam", {}],
    ["Nadam", {"learning_rate": 0.1, "beta_1": 0.8}],
    ["Lion", {}],
    ["Lion", {"learning_rate": 0.02, "weight_decay": 0.1}],
    ["SGD", {"learning_rate": {"type": "ExponentialDecay", "arguments": [0.1, 3, 0.5]}, "momentum": 0.5}],
    ["Adam", {"learning_rate": {"type": "CosineDecay", "arguments": [0.1, 15]}, "weight_decay": 0.1}],
]
SCHEDULES = [
    ["ExponentialDecay", [0.1, 7, 0.9], {}],
    ["ExponentialDecay", [0.1, 7, 0.9], {"staircase": True}],
    ["InverseTimeDecay", [0.1, 7, 0.9], {}],
    ["InverseTimeDecay", [0.1, 7, 0.9], {"staircase": True}],
    ["PolynomialDecay", [0.1, 20], {}],
    ["PolynomialDecay", [0.1, 20], {"power": 2.0, "end_learning_rate": 0.01}],
    ["PolynomialDecay", [0.1, 20], {"power": 0.5, "cycle": True}],
    ["CosineDecay", [0.1, 20], {}],
    ["CosineDecay", [0.1, 20], {"alpha": 0.1}],
    ["CosineDecay", [0.01, 20], {"warmup_target": 0.1, "warmup_steps": 5}],
    ["CosineDecayRestarts", [0.1, 7], {}],
    ["CosineDecayRestarts", [0.1, 7], {"t_mul": 1.0, "m_mul": 0.8, "alpha": 0.05}],
    ["CosineDecayRestarts", [0.1, 7], {"t_mul": 1.5, "m_mul": 0.5}],
    ["PiecewiseConstantDecay", [[5, 12], [0.1, 0.05, 0.01]], {}],
]
STEPS = [0, 1, 2, 4, 5, 6, 9, 12, 13, 20, 21, 30, 41, 55, 77, 120]


def scheduled(value):
    if isinstance(value, dict):
        return getattr(keras.optimizers.schedules, value["type"])(*value["arguments"])
    return value


def path(kind, settings, dtype):
    settings = {name: scheduled(value) for name, value in settings.items()}
    excluded = settings.pop("exclude_from_weight_decay", [])
    optimizer = getattr(keras.optimizers, kind)(**settings)
    shapes, names = [(3, 2), (2,)], ["kernel", "bias"]
    variables = [
        keras.Variable(np.reshape(values, shape), dtype=dtype, name=name)
        for values, shape, name in zip(START, shapes, names, strict=True)
    ]
    optimizer.exclude_from_weight_decay(var_names=excluded)
    optimizer.build(variables)
    for _ in range(20):
        values = [np.asarray(variable) for variable in variables]
        gradients = [(v**3 - 2 * v + 0.2).astype(dtype) for v in values]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
    return [float(value) for variable in variables for value in np.ravel(np.asarray(variable))]


cases = []
for dtype in ("float64", "float32"):
    keras.config.set_floatx(dtype)
    cases += [[kind, settings, dtype, path(kind, settings, dtype)] for kind, settings in CASES]
keras.config.set_floatx("float64")
schedules = []
for kind, arguments, settings in SCHEDULES:
    schedule = getattr(keras.optimizers.schedules, kind)(*arguments, **settings)
    schedules.append([kind, arguments, settings, [[step, float(schedule(step))] for step in STEPS]])
written = {"start": START, "optimizers": cases, "schedules": schedules}
Path(__file__).with_name("optimizers.json").write_text(json.dumps(written) + "\n")
