"""Models written with the functional API: the registry for tests of its properties."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from firesteel.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Dense,
    Dot,
    Dropout,
    Flatten,
    Input,
    Permute,
    RepeatVector,
    Reshape,
)
from firesteel.models import Model, Sequential

ROWS = 240
RNG = np.random.default_rng(22)
A, B = RNG.normal(size=(ROWS, 6)), RNG.normal(size=(ROWS, 4))
MATRIX = RNG.normal(size=(ROWS, 2, 3))
SUM = (A @ RNG.normal(size=(6, 1)))[:, 0] + 0.1 * RNG.normal(size=ROWS)
CLASS = np.digitize(A[:, 0] + B[:, 1], [-0.7, 0.7])
SEVERAL = np.stack([A[:, :3], A[:, 3:]], axis=1) * 0.5


@dataclass
class Case:
    """A model, its rows, and its compile arguments."""

    make: Any
    x: Any
    y: Any
    loss: Any = "mse"
    metrics: Any = None
    joint: bool = False
    """Whether a layer uses batch statistics, which exclude exact gradients."""


def past(dtype):
    """A skip connection."""
    x = Input((6,), name="row")
    hidden = Dense(6, activation="relu", kernel_regularizer="l2")(x)
    return Model(x, Dense(1)(Dropout(0.2)(hidden) + x), dtype=dtype)


def shared(dtype):
    """One layer, called three times."""
    x, layer = Input((6,)), Dense(6, activation="tanh", name="again")
    return Model(x, Dense(1)(layer(layer(layer(x)))), dtype=dtype)


def siamese(dtype):
    """A model, called on two inputs."""
    x = Input((6,))
    tower = Model(x, Dense(3, activation="tanh")(Dense(4, activation="relu")(x)), name="tower")
    left, right = Input((6,), name="left"), Input((6,), name="right")
    return Model([left, right], Dense(1)(tower(left) - tower(right)), dtype=dtype)


def two_inputs(dtype):
    """Two inputs of different widths, each with its own layer."""
    a, b = Input((6,), name="a"), Input((4,), name="b")
    joined = Concatenate()([Dense(5, activation="tanh")(a), BatchNormalization()(b)])
    return Model({"a": a, "b": b}, Dense(3, activation="softmax", name="cls")(joined), dtype=dtype)


def two_outputs(dtype):
    """A classification and a regression output with a common trunk."""
    a, b = Input((6,), name="a"), Input((4,), name="b")
    trunk = Dropout(0.1)(Dense(5, activation="relu")(Concatenate()([a, b])))
    ends = {"cls": Dense(3, activation="softmax")(trunk), "reg": Dense(1)(trunk)}
    return Model([a, b], ends, dtype=dtype)


def used_inside(dtype):
    """An output that another layer reads after its activation."""
    x = Input((6,), name="row")
    first = Dense(3, activation="softmax", name="cls")(Dense(5, activation="tanh")(x))
    second = Dense(1, name="reg")(Concatenate()([first, x]))
    return Model(x, [first, second], dtype=dtype)


def nested(dtype):
    """Nested models, three deep, with a chain inside."""
    x = Input((6,))
    inner = Model(x, Dense(4, activation="tanh")(x), name="inner")
    x = Input((6,))
    chain = Sequential([Dense(5, activation="relu"), BatchNormalization(), Dense(4)], name="chain")
    middle = Model(x, Add()([inner(x), chain(x)]), name="middle")
    x = Input((6,))
    return Model(x, Dense(1)(middle(x)), name="outer", dtype=dtype)


def several_axes(dtype):
    """Values with several axes: Reshape, Flatten, Permute, RepeatVector, Dot."""
    x = Input((2, 3), name="matrix")
    again = RepeatVector(2)(Dense(3, activation="tanh")(Flatten()(x)))
    product = Dot(axes=(2, 2))([x, again])
    both = Concatenate()([Flatten()(product), Flatten()(Permute((2, 1))(again)), Reshape((6,))(x)])
    return Model(x, Dense(1, activation="linear")(both), dtype=dtype)


def wide_output(dtype):
    """Outputs with several axes, and with one."""
    x = Input((6,), name="row")
    hidden = Dense(6, activation="tanh")(x)
    return Model(x, {"rows": Reshape((2, 3), name="rows")(Dense(6)(hidden)), "one": Dense(1)(hidden)}, dtype=dtype)


def decoder(dtype):
    """A model that starts in the middle of another graph."""
    x = Input((6,))
    code = Dense(3, activation="tanh")(x)
    made = Dense(6)(Dense(5, activation="relu")(code))
    Model(x, made)  # the whole model, which shares its weights
    return Model(code, made, dtype=dtype)


def frozen(dtype):
    """Frozen layers before, after and next to layers that train."""
    x = Input((6,), name="row")
    still = BatchNormalization(trainable=False)(Dense(5, activation="tanh", trainable=False)(x))
    trains = Dense(5, activation="relu", kernel_regularizer="l2")(still)
    behind = Dense(4, activation="tanh", trainable=False)(trains)
    return Model(x, Dense(1)(Concatenate()([behind, Dense(2, trainable=False)(x)])), dtype=dtype)


BOTH = {"cls": "sparse_categorical_crossentropy", "reg": "mse"}
CASES = {
    "skip": Case(past, A, SUM, metrics=["mae"]),
    "shared": Case(shared, A, SUM),
    "siamese": Case(siamese, [A, -A[:, ::-1]], SUM),
    "two inputs": Case(two_inputs, {"a": A, "b": B}, CLASS, "sparse_categorical_crossentropy", ["accuracy"], True),
    "two outputs": Case(two_outputs, [A, B], {"cls": CLASS, "reg": SUM}, BOTH, {"cls": ["accuracy"], "reg": ["mae"]}),
    "used inside": Case(used_inside, A, [CLASS, SUM], list(BOTH.values()), [["accuracy"], []]),
    "nested": Case(nested, A, SUM, joint=True),
    "several axes": Case(several_axes, MATRIX, SUM),
    "wide output": Case(wide_output, A, {"rows": SEVERAL, "one": SUM}, {"rows": "huber", "one": "mse"}),
    "decoder": Case(decoder, A[:, :3], A),
    "frozen": Case(frozen, A, SUM),
}


def built(name, dtype="float32", optimizer="adam"):
    """Return a compiled model of the registry."""
    case = CASES[name]
    model = case.make(dtype)
    model.compile(optimizer, case.loss, metrics=case.metrics)
    return model


def part(given, where):
    """Return some input rows of a model."""
    if isinstance(given, dict):
        return {name: array[where] for name, array in given.items()}
    return [array[where] for array in given] if isinstance(given, list) else given[where]


def fitted(name, model=None, **settings):
    """Return a fitted model."""
    model, case = model or built(name), CASES[name]
    model.fit(case.x, case.y, **{"epochs": 3, "batch_size": 40, "seed": 5, "verbose": 0} | settings)
    return model


def same(a, b):
    """Return whether two predictions are bit-identical."""
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
