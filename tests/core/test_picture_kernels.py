"""Compiled convolution, pooling and normalisation of pictures have the bits of the layers that they stand for."""

import os
import subprocess
import sys

import numpy as np
import pytest

from firesteel.core.layer import Joint
from firesteel.core.layers import (
    Activation,
    BatchNormalization,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling1D,
    MaxPooling2D,
    ReLU,
    SpatialDropout2D,
)
from firesteel.core.seeds import stream_for
from firesteel.fast import compiling
from firesteel.fast.chain import Chain, compiled_parts
from firesteel.fast.kernels import joint
from firesteel.fast.kernels.functions import blas, linked
from firesteel.models import Sequential

HAS_BLAS = bool(blas("float32"))
CONVOLUTIONS = {
    "one channel": ((13, 12, 1), Conv2D(5, 3), MaxPooling2D()),
    "one channel and a rectifier": ((28, 28, 1), Conv2D(8, 4, activation="relu"), MaxPooling2D()),
    "several pieces": ((26, 26, 32), Conv2D(16, 3, activation="relu"), MaxPooling2D()),
    "no pooling": ((12, 12, 8), Conv2D(7, 3, padding="same", activation="relu")),
    "no rectifier": ((7, 9, 3), Conv2D(6, (2, 3), strides=2, padding="same")),
    "another rectifier": ((7, 9, 3), Conv2D(6, 3, use_bias=False), ReLU(), MaxPooling2D((2, 3))),
    "dilated": ((13, 11, 2), Conv2D(5, (2, 3), dilation_rate=(2, 3), activation="relu"), MaxPooling2D((3, 2))),
    "strides": ((14, 14, 4), Conv2D(4, 3, strides=(2, 1), activation="relu", padding="same"), MaxPooling2D(2, 3)),
    "pools that share pixels": ((9, 9, 3), Conv2D(4, 2, activation="relu"), MaxPooling2D(3, 2)),
    "pools beyond the picture": ((9, 9, 3), Conv2D(4, 2, activation="relu"), MaxPooling2D(3, padding="same")),
    "sequences": ((40, 3), Conv1D(6, 5, padding="causal", activation="relu"), MaxPooling1D(3)),
    "one pixel": ((6, 6, 5), Conv2D(4, 1, activation="relu")),
    "normalized": ((9, 8, 3), BatchNormalization(), Activation("relu"), MaxPooling2D()),
    "normalized, no pooling": ((9, 8, 3), BatchNormalization(scale=False), ReLU()),
    "normalized alone": ((30, 31, 7), BatchNormalization(center=False, epsilon=0.1)),
    "normalized and pooled": ((9, 8, 4), BatchNormalization(center=False, scale=False), MaxPooling2D(3)),
    "normalized sequences": ((20, 3), BatchNormalization(), Activation("relu"), MaxPooling1D(4)),
    "normalized numbers": ((16,), BatchNormalization(), Activation("relu")),
}
"""The shape of a picture and layers: the last ones are those that are compiled together, where they can be."""
SEVERAL = {"pools that share pixels", "pools beyond the picture"}
"""Where NumPy does the pooling."""


def network(shape, layers, dtype):
    """A network in which windows slide before the layers."""
    front = {
        1: [Conv2D(4, 3, use_bias=False), Flatten()],
        2: [MaxPooling1D(1)],
        3: [MaxPooling2D(1)],
    }[len(shape)]
    start = Input(shape if len(shape) > 1 else (4, 4, 2))
    return Sequential([start, *front, *layers, *([Flatten()] if len(shape) > 1 else []), Dense(3)], dtype=dtype)


def loops(how, dtype):
    bind = compiling.bound if how == "as Python" else compiling.compiled_with
    return linked(bind, blas(dtype), joint.LOOPS)


def run(layer, p, pieces, slopes):
    """What a layer, or several, makes of the pieces of a batch, and all derivatives."""
    layers = list(zip(layer, p, strict=True)) if isinstance(layer, list) else [(layer, p[0])]
    values, pulls = pieces, []
    for one, views in layers:
        joined = one.joint
        total = [sum(one.batch_sums(x) for x in values)] if joined else []
        made = [one.apply(views, x, *total, rng=stream_for(0, "op", n)) for n, x in enumerate(values)]
        values = [y for y, _ in made]
        pulls.append((views, [pull for _, pull in made]))
    found, d = [np.concatenate(values)], [slope.copy() for slope in slopes]
    for views, pull in reversed(pulls):
        gradients = [{name: np.full_like(array, np.nan) for name, array in views.items()} for _ in d]
        if isinstance(pull[0], Joint):
            total = sum([one.batch_sums(slope).copy() for one, slope in zip(pull, d, strict=True)])
            d = [one.pull(slope, g, True, total) for one, slope, g in zip(pull, d, gradients, strict=True)]
        else:
            d = [one(slope, g, True) for one, slope, g in zip(pull, d, gradients, strict=True)]
        found += [g[name] for g in gradients for name in sorted(g)]
    return [array.tobytes() for array in [*found, *d]]


@pytest.mark.parametrize("how", ["as Python", "compiled"] if HAS_BLAS else [])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_layers_of_pictures(how, dtype, name):
    shape, *layers = CONVOLUTIONS[name]
    if how == "as Python" and np.prod(shape) > 1000:
        shape = (8, 7, shape[-1])  # Python is slow
    net = network(shape, layers, dtype).network
    made = joint.pictured(net.plan, net.shapes, loops(how, dtype))
    first = min(at for at in made if net.shapes[net.plan[at].reads[0]] == shape)
    unit = made[first]
    assert unit.span == len([part for layer in layers for part in layer.parts()]) - (name in SEVERAL)
    parts, rng = net.plan[first : first + unit.span], np.random.default_rng(0)
    p = [
        {key: rng.normal(size=param.shape).astype(dtype) for key, param in net.params[part.owner].items()}
        for part in parts
    ]
    sizes = (3, 2) if how == "as Python" else (2, 65, 33)
    pieces = [rng.normal(size=(n, *shape)).astype(dtype) for n in sizes]
    pieces[0].reshape(-1)[:9] = [-0.0, 0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1e-40, 2.0]
    made_of = net.shapes[parts[-1].makes[0]]
    slopes = [rng.normal(size=(n, *made_of)).astype(dtype) for n in sizes]
    slopes[0].reshape(-1)[:4] = [-0.0, 0.0, 1e30, -1e-40]
    for given in (pieces, [np.nan_to_num(one, posinf=3.0, neginf=-3.0) for one in pieces]):
        with np.errstate(all="ignore"):
            one = run([part.layer for part in parts], p, given, slopes)
            other = run(unit, p, given, slopes)
        assert [len(array) for array in one] == [len(array) for array in other]
        kinds = [np.frombuffer(a, dtype) for a in one], [np.frombuffer(b, dtype) for b in other]
        for a, b in zip(*kinds, strict=True):
            np.testing.assert_array_equal(a, b)  # NaN may have any sign
            np.testing.assert_array_equal(np.signbit(a[~np.isnan(a)]), np.signbit(b[~np.isnan(b)]))


FITS = {
    "dense behind": [Conv2D(8, 3, activation="relu"), MaxPooling2D(), Flatten(), Dense(12, "relu"), Dropout(0.2)],
    "a run of dense layers behind": [Conv2D(8, 3), Flatten(), Dense(60, "relu"), Dense(20, "relu")],
    "normalized": [
        Conv2D(6, 3, use_bias=False), BatchNormalization(), ReLU(), MaxPooling2D(), SpatialDropout2D(0.2),
        Conv2D(9, 2, padding="same"), BatchNormalization(), Activation("relu"), Flatten(), Dense(8),
        BatchNormalization(),
    ],
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FITS)
def test_a_fit_of_pictures_has_the_same_bits_without_compiled_code(name, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 14, 13, 2)), rng.integers(0, 3, 150)

    def fit():
        model = Sequential([Input((14, 13, 2)), *FITS[name], Flatten(), Dense(3, "softmax")], dtype=dtype)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=64, epochs=2, verbose=0, seed=3)
        return model

    compiling.RUNS.clear()
    one = fit()
    assert compiling.RUNS["forward"] and compiling.RUNS["backward"]
    assert (compiling.RUNS["normalize"] > 0) == (name == "normalized")
    monkeypatch.setattr(compiling, "ON", False)
    compiling.RUNS.clear()
    assert fit().theta.tobytes() == one.theta.tobytes() and not compiling.RUNS
    monkeypatch.setattr(compiling, "ON", True)
    made = compiled_parts(one.network, len(one.network.plan))
    assert made and any(isinstance(unit, Chain) for unit in made.values()) == ("run" in name)


CORES = """
import os, sys
os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:int(sys.argv[1])]))
import numpy as np
from firesteel.layers import *
from firesteel.models import Sequential
rng = np.random.default_rng(0)
x, y = rng.normal(size=(300, 28, 28, 1)), rng.integers(0, 3, 300)
model = Sequential([
    Input((28, 28, 1)), RandomRotation(0.1), RandomTranslation(0.1, 0.1), Conv2D(16, 5, use_bias=False),
    BatchNormalization(), ReLU(), MaxPooling2D(), Conv2D(24, 3, activation="relu"), BatchNormalization(),
    Dropout(0.2), Flatten(), Dense(3, "softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, batch_size=128, epochs=2, verbose=0, seed=3)
print(model.fingerprint())
"""


@pytest.mark.linux
def test_one_core_and_several_have_the_same_bits_with_and_without_compiled_code():
    def fingerprint(cores, **more):
        command, given = [sys.executable, "-c", CORES, cores], os.environ | more
        done = subprocess.run(command, capture_output=True, text=True, env=given)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    expected = fingerprint("1")
    assert len(expected) == 64
    assert fingerprint("2") == expected
    assert fingerprint("2", NUMBA_DISABLE_JIT="1") == expected


def test_what_two_layers_read_is_not_made_in_one():
    from firesteel.models import Model

    x = Input((8, 8, 2))
    seen = Conv2D(4, 3)(x)
    bent = Activation("relu")(seen)
    made = Model(x, Dense(2)(Flatten()(MaxPooling2D()(bent) + MaxPooling2D()(seen)))).network
    units = joint.pictured(made.plan, made.shapes, dict.fromkeys(("forward", "backward")))
    assert [unit.span for unit in units.values()] == [1]


def test_products_that_numpy_makes_otherwise_are_left_to_it():
    for layers in ([Conv2D(1, 3)], [Conv2D(4, 1, groups=2)], [Conv2D(4, 8)], [Conv2D(4, 1), BatchNormalization()]):
        made = Sequential([Input((8, 8, 2)), *layers, Flatten(), Dense(2)]).network
        units = joint.pictured(made.plan, made.shapes, {})
        assert len(units) == (len(layers) > 1) * 2
