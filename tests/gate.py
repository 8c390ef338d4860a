"""A table of some 400 small fits, to compare two commits bit by bit: `make test-against REF=COMMIT`.

The script trains every network of the table with the firesteel on the path.  For each it prints the SHA-256 of the
weights, the exact losses, the model's fingerprint and a hash of the predictions.  It uses public names only, so that
the same table runs on both commits.

    python tests/gate.py [--plain] [--frames] [WORD ...]

--plain: without numba.  --frames: also the fits on Spark.  WORD: only fits whose names contain one.
"""

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Result = dict[str, Any]
FITS: dict[str, Callable[[], Result]] = {}
"""Name: a function that trains and returns the result.  Names have the form `family/member/variant`."""
FRAMES: dict[str, Callable[[Any], Result]] = {}
"""The same on Spark; each function takes the session."""
REGISTRIES = (
    "activations",
    "constraints",
    "initializers",
    "layers",
    "losses",
    "optimizers",
    "regularizers",
    "schedules",
)


def fit_of(name: str) -> Callable[[Callable[[], Result]], Callable[[], Result]]:
    """Add a function to the table."""

    def put(function: Callable[[], Result]) -> Callable[[], Result]:
        assert name not in FITS, name
        FITS[name] = function
        return function

    return put


# Rows


def rows(n: int, inputs: int, seed: int = 0) -> np.ndarray:
    """Return n rows of normal random numbers with three decimals."""
    return np.round(np.random.default_rng([seed, n, inputs]).normal(size=(n, inputs)), 3)


def classes(x: np.ndarray, count: int) -> np.ndarray:
    """Return a class for each row, determined by some of its values."""
    return (np.abs(x[:, :3]).sum(axis=1) * 7).astype(int) % count


def pixels(n: int, inputs: int = 784) -> np.ndarray:
    """Return random bytes, four fifths of them 0."""
    rng = np.random.default_rng([1, n, inputs])
    x = rng.integers(1, 256, (n, inputs), dtype=np.uint8)
    x[rng.random((n, inputs)) < 0.8] = 0
    return x


def sparse(n: int, width: int) -> Any:
    """Return sparse rows, one value in a thousand not 0, with `tocsr`."""
    rng = np.random.default_rng([2, n, width])
    each = max(1, width // 1000)
    indices = np.sort(np.array([rng.choice(width, each, replace=False) for _ in range(n)]), axis=1)
    values = rng.normal(size=(n, each))

    class Rows:
        shape, dtype = (n, width), values.dtype
        indptr, data = np.arange(0, n * each + 1, each), values.reshape(-1)

        def tocsr(self) -> "Rows":
            return self

    made = Rows()
    made.indices = indices.reshape(-1).astype(np.int32)
    return made


# One fit


def figures(model: Any, history: Any, x: Any) -> Result:
    """Return the figures to compare."""
    weights = hashlib.sha256()
    for array in model.get_weights():
        weights.update(np.ascontiguousarray(array).tobytes())
    names = [name for name in history.history if "seconds" not in name]
    numbers = {name: [_exact(value) for value in history.history[name]] for name in sorted(names)}
    outputs = np.ascontiguousarray(model.predict(x))
    return {
        "weights": weights.hexdigest(),
        "history": numbers,
        "fingerprint": model.fingerprint(),
        "predictions": hashlib.sha256(outputs.tobytes()).hexdigest(),
    }


def _exact(value: Any) -> Any:
    return float(value).hex() if isinstance(value, float | np.floating) else str(value)


def train(
    layers: list[Any],
    loss: Any = "mse",
    optimizer: Any = "adam",
    *,
    x: Any = None,
    y: Any = None,
    dtype: str = "float32",
    metrics: list[Any] | None = None,
    epochs: int = 2,
    again: dict[str, Any] | None = None,
    **more: Any,
) -> Result:
    """Train a network, on 203 rows of 12 numbers by default, and return the figures to compare.

    again: arguments of a second fit of the same model.
    """
    x = rows(203, 12) if x is None else x
    if y is None:
        y = np.round(np.sin(x[:, :2]), 3)
    model = modelled(layers, dtype)
    model.compile(optimizer, loss, metrics or [])
    history = model.fit(x, y, epochs=epochs, seed=3, verbose=0, **more)
    if again is not None:
        history = model.fit(x, y, seed=4, verbose=0, **again)
    return figures(model, history, x)


def modelled(layers: list[Any], dtype: str) -> Any:
    """Return a chain of layers; if the first is several layers, the second merges them."""
    from firesteel._model import Model
    from firesteel.core.network import Network, Node
    from firesteel.models import Sequential

    if not isinstance(layers[0], tuple):
        return Sequential(layers, dtype=dtype)
    first, merge, *rest = layers
    several = len(first)
    nodes = [Node(layer, (0,), number) for number, layer in enumerate(first)]
    nodes.append(Node(merge, tuple(range(1, several + 1)), several))
    nodes += [Node(layer, (number,), number) for number, layer in enumerate(rest, several + 1)]
    return Model(Network(tuple(nodes), ((12,),), dtype))


def net(*units: int, out: int = 2, activation: Any = "relu", last: Any = None, **more: Any) -> list[Any]:
    """Return dense layers with these units."""
    from firesteel.layers import Dense

    return [*(Dense(n, activation, **more) for n in units), Dense(out, last)]


def add(name: str, layers: Callable[[], list[Any]], *args: Any, **more: Any) -> None:
    """Add a fit to the table; functions that create layers or optimizers are called when it runs."""

    @fit_of(name)
    def run() -> Result:
        made = {key: value() if callable(value) and key != "optimizer" else value for key, value in more.items()}
        optimizer = made.get("optimizer")
        if callable(optimizer):
            made["optimizer"] = optimizer()
        return train(layers(), *args, **made)


# The families


def softmax_net(*units: int, **more: Any) -> Callable[[], list[Any]]:
    return lambda: net(*units, out=5, last="softmax", **more)


CLASSES = {"loss": "sparse_categorical_crossentropy", "y": lambda: classes(rows(203, 12), 5)}


def activations() -> None:
    from firesteel.core.layers import ACTIVATIONS

    for name in ACTIVATIONS:
        add(f"activations/{name}", lambda name=name: net(16, 8, activation=name))
        add(f"activations/{name}/float64", lambda name=name: net(9, activation=name), dtype="float64", shards=3)


def pictured(shape: tuple[int, ...], *layers: Callable[[], Any]) -> Callable[[], list[Any]]:
    """Return a function that creates layers for a network that first reshapes its 12 inputs."""
    from firesteel.layers import Dense, Flatten, Reshape

    return lambda: [Reshape(shape), *[make() for make in layers], Flatten(), Dense(2)]


def layers() -> None:
    from firesteel import layers as L

    positive = lambda: rows(203, 12) ** 2  # noqa: E731
    both = lambda: (L.Dense(8, "relu"), L.Dense(8, "tanh"))  # noqa: E731
    categories = lambda: (np.abs(rows(203, 4)) * 9).astype(int) % 11  # noqa: E731
    table = lambda: np.hstack([rows(203, 3), categories()[:, :1], categories()[:, 1:2] % 4])  # noqa: E731
    made: dict[str, tuple[Callable[[], list[Any]], dict[str, Any]]] = {
        "Activation": (lambda: [L.Dense(8), L.Activation("tanh"), L.Dense(2)], {}),
        "Add": (lambda: [both(), L.Add(), L.Dense(2)], {}),
        "AlphaDropout": (lambda: [L.Dense(32, "selu"), L.AlphaDropout(0.1), L.Dense(2)], {}),
        "Average": (lambda: [L.Dense(8, "relu"), L.Average(), L.Dense(2)], {}),
        "BatchNormalization": (lambda: [L.Dense(8), L.BatchNormalization(), L.ReLU(), L.Dense(2)], {}),
        "Heads": (lambda: [L.Dense(2), L.Heads((2,), ("linear",))], {}),
        "Concatenate": (lambda: [both(), L.Concatenate(), L.Dense(2)], {}),
        "Dense": (lambda: [L.Dense(8, use_bias=False), L.Dense(2)], {}),
        "Dot": (lambda: [both(), L.Dot(1, normalize=True), L.Dense(2)], {}),
        "Dropout": (lambda: [L.Dense(32, "relu"), L.Dropout(0.3), L.Dense(2)], {}),
        "ELU": (lambda: [L.Dense(8), L.ELU(0.7), L.Dense(2)], {}),
        "Embedding": (
            lambda: [L.Embedding(11, 3), L.Flatten(), L.Dense(2)],
            {"x": categories, "y": lambda: rows(203, 2)},
        ),
        "Flatten": (
            lambda: [L.Flatten(input_shape=(3, 4)), L.Dense(2)],
            {"x": lambda: rows(203, 12).reshape(-1, 3, 4), "y": lambda: rows(203, 2)},
        ),
        "GaussianDropout": (lambda: [L.Dense(8, "relu"), L.GaussianDropout(0.3), L.Dense(2)], {}),
        "GaussianNoise": (lambda: [L.GaussianNoise(0.2), L.Dense(8, "relu"), L.GaussianNoise(0.1), L.Dense(2)], {}),
        "InUse": (lambda: [L.Dense(8), L.InUse(L.BatchNormalization()), L.Dense(2)], {}),
        "Input": (lambda: [L.Input((12,)), L.Dense(8, "relu"), L.Dense(2)], {}),
        "LayerNormalization": (lambda: [L.Dense(8), L.LayerNormalization(), L.ReLU(), L.Dense(2)], {}),
        "LeakyReLU": (lambda: [L.Dense(8), L.LeakyReLU(0.2), L.Dense(2)], {}),
        "Logarithm": (lambda: [L.Dense(8, "softplus"), L.Logarithm(), L.Dense(2)], {}),
        "Maximum": (lambda: [both(), L.Maximum(), L.Dense(2)], {}),
        "Minimum": (lambda: [both(), L.Minimum(), L.Dense(2)], {}),
        "Multiply": (lambda: [both(), L.Multiply(), L.Dense(2)], {}),
        "Normalization": (lambda: [L.Normalization(), L.Dense(8, "relu"), L.Dense(2)], {"x": positive}),
        "PReLU": (lambda: [L.Dense(8), L.PReLU(alpha_regularizer="l2"), L.Dense(2)], {}),
        "Permute": (lambda: [L.Dense(8), L.Reshape((2, 4)), L.Permute((2, 1)), L.Reshape((-1,)), L.Dense(2)], {}),
        "PiecewiseLinear": (lambda: [L.PiecewiseLinear([[-1.0, 0.0, 0.5, 1.0]] * 12), L.Dense(2)], {}),
        "ReLU": (lambda: [L.Dense(8), L.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2), L.Dense(2)], {}),
        "RepeatVector": (lambda: [L.Dense(8, "relu"), L.RepeatVector(3), L.Reshape((-1,)), L.Dense(2)], {}),
        "Rescaling": (lambda: [L.Rescaling(0.5, 0.25), L.Dense(8, "relu"), L.Dense(2)], {}),
        "Reshape": (lambda: [L.Reshape((3, -1)), L.ReLU(), L.Reshape((12,)), L.Dense(2)], {}),
        "Softmax": (lambda: [L.Dense(8), L.Softmax(), L.Dense(2)], {}),
        "Subtract": (lambda: [both(), L.Subtract(), L.Dense(2)], {}),
        "Table": (
            lambda: [L.Table([[-1.0, 0.0, 1.0], []], 1, [11, 4]), L.Dense(8, "silu"), L.Dense(2)],
            {"x": table, "y": lambda: rows(203, 2)},
        ),
    }
    pictures: dict[str, Callable[[], Any]] = {
        "AveragePooling2D": lambda: L.AveragePooling2D(2, 1, "same"),
        "Conv2D": lambda: L.Conv2D(5, 2, activation="relu"),
        "GlobalAveragePooling2D": lambda: L.GlobalAveragePooling2D(),
        "GlobalMaxPooling2D": lambda: L.GlobalMaxPooling2D(),
        "MaxPooling2D": lambda: L.MaxPooling2D(),
        "Conv2DTranspose": lambda: L.Conv2DTranspose(3, 2, 2),
        "DepthwiseConv2D": lambda: L.DepthwiseConv2D(2),
        "SeparableConv2D": lambda: L.SeparableConv2D(4, 2),
        "SpatialDropout2D": lambda: L.SpatialDropout2D(0.3),
        "UpSampling2D": lambda: L.UpSampling2D(2, interpolation="bilinear"),
        "ZeroPadding2D": lambda: L.ZeroPadding2D(),
        "Cropping2D": lambda: L.Cropping2D(((1, 0), (1, 1))),
        "RandomBrightness": lambda: L.RandomBrightness(0.3, (-2, 2)),
        "RandomContrast": lambda: L.RandomContrast(0.3, (-2, 2)),
        "RandomFlip": lambda: L.RandomFlip(),
        "RandomRotation": lambda: L.RandomRotation(0.1),
        "RandomShear": lambda: L.RandomShear(0.2, 0.1),
        "RandomTranslation": lambda: L.RandomTranslation(0.2, 0.1, "wrap"),
        "RandomZoom": lambda: L.RandomZoom(0.2, fill_mode="constant"),
        "RandomElasticTransform": lambda: L.RandomElasticTransform(value_range=(-9, 9)),
    }
    sequences: dict[str, Callable[[], Any]] = {
        "AveragePooling1D": lambda: L.AveragePooling1D(3),
        "Conv1D": lambda: L.Conv1D(5, 2, padding="causal"),
        "GlobalAveragePooling1D": lambda: L.GlobalAveragePooling1D(),
        "GlobalMaxPooling1D": lambda: L.GlobalMaxPooling1D(),
        "MaxPooling1D": lambda: L.MaxPooling1D(3, 1),
    }
    made |= {name: (pictured((3, 4, 1), make), {}) for name, make in pictures.items()}
    made |= {name: (pictured((6, 2), make), {}) for name, make in sequences.items()}
    for name, (build, more) in made.items():
        add(f"layers/{name}", build, **more)
        for dtype, shards in (("float32", 3), ("float64", 1)):
            add(f"layers/{name}/{dtype} {shards}", build, dtype=dtype, shards=shards, **more)
    lazy = lambda: [L.Embedding(11, 3, sparse_steps=True), L.Dense(128, "relu"), L.Dense(2)]  # noqa: E731
    for shards in (1, 3):
        add(f"layers/Embedding by row/{shards}", lazy, x=categories, y=lambda: rows(203, 2), shards=shards)
    add("layers/Embedding by row/gradient", lazy, x=categories, y=lambda: rows(203, 2), strategy="gradient")
    several = lambda: [L.Dense(9), L.BatchNormalization(), L.ReLU(), L.Dropout(0.2), L.Dense(2)]  # noqa: E731
    for batch in (32, 127, 128, 129, 203):
        add(f"layers/BatchNormalization/batch {batch}", several, batch_size=batch)
    picture = (
        *(lambda: L.Conv2D(8, 2), lambda: L.BatchNormalization(), lambda: L.ReLU(), lambda: L.MaxPooling2D(2, 1)),
        lambda: L.Dropout(0.2),
    )
    for batch in (1, 32, 127, 203):
        add(f"layers/Conv2D/batch {batch}", pictured((3, 4, 1), *picture), batch_size=batch, shards=1 + batch % 2)
    for batch in (63, 64, 127, 128, 129, 203):
        add(f"layers/Dropout/batch {batch}", lambda: [*net(40)[:1], L.Dropout(0.25), L.Dense(2)], batch_size=batch)


def weights() -> None:
    from firesteel.core.constraints import CONSTRAINTS
    from firesteel.core.initializers import INITIALIZERS
    from firesteel.core.regularizers import REGULARIZERS

    for name in INITIALIZERS:
        add(f"initializers/{name}", lambda name=name: net(8, kernel_initializer=name, bias_initializer="zeros"))
    for name in CONSTRAINTS:
        add(f"constraints/{name}", lambda name=name: net(8, kernel_constraint=name), optimizer="sgd")
        add(f"constraints/{name}/3", lambda name=name: net(8, kernel_constraint=name), shards=3)
    for name in REGULARIZERS:
        priced = lambda name=name: net(8, kernel_regularizer=name, bias_regularizer="l2")  # noqa: E731
        add(f"regularizers/{name}", priced)
        add(f"regularizers/{name}/3", priced, shards=3, dtype="float64")
        add(f"regularizers/{name}/gradient", priced, strategy="gradient", batch_size=64)


def losses() -> None:
    from firesteel.core.losses import LOSSES

    chances = lambda: np.round(1 / (1 + np.exp(-rows(203, 2))), 3)  # noqa: E731
    one_hot = lambda: np.eye(5)[classes(rows(203, 12), 5)]  # noqa: E731
    signs = lambda: np.sign(rows(203, 2))  # noqa: E731
    counts = lambda: np.floor(np.abs(rows(203, 2)) * 3)  # noqa: E731
    shares = lambda: one_hot() * 0.8 + 0.04  # noqa: E731
    how: dict[str, dict[str, Any]] = {
        "bce": {"y": chances, "last": "sigmoid"},
        "binary_crossentropy": {"y": lambda: (chances() > 0.5) * 1.0, "last": "sigmoid"},
        "binary_focal_crossentropy": {"y": chances, "last": "sigmoid"},
        "categorical_crossentropy": {"y": one_hot, "last": "softmax", "out": 5},
        "categorical_focal_crossentropy": {"y": one_hot, "last": "softmax", "out": 5},
        "categorical_generalized_cross_entropy": {
            "y": lambda: classes(rows(203, 12), 5),
            "last": "softmax",
            "out": 5,
        },
        "categorical_hinge": {"y": one_hot, "out": 5},
        "hinge": {"y": signs},
        "kl_divergence": {"y": shares, "last": "softmax", "out": 5},
        "kld": {"y": shares, "last": "softmax", "out": 5},
        "mean_squared_logarithmic_error": {"y": counts, "last": "softplus"},
        "msle": {"y": counts, "last": "softplus"},
        "poisson": {"y": counts, "last": "exponential"},
        "sparse_categorical_crossentropy": {"y": lambda: classes(rows(203, 12), 5), "last": "softmax", "out": 5},
        "squared_hinge": {"y": signs},
    }
    for name in LOSSES:
        more = dict(how.get(name, {}))
        last, out = more.pop("last", None), more.pop("out", 2)
        build = lambda last=last, out=out: net(10, out=out, last=last)  # noqa: E731
        add(f"losses/{name}", build, name, **more)
        add(f"losses/{name}/float64", build, name, dtype="float64", shards=3, **more)

    def logits(name: str, **settings: Any) -> Any:
        from firesteel import losses as module

        return getattr(module, name)(from_logits=True, **settings)

    for smoothing in (0.0, 0.1):
        for name, y, out in (
            ("BinaryCrossentropy", chances, 2),
            ("CategoricalCrossentropy", one_hot, 5),
            ("SparseCategoricalCrossentropy", lambda: classes(rows(203, 12), 5), 5),
        ):
            add(
                f"losses/{name} from logits/{smoothing}",
                lambda out=out: net(10, out=out),
                loss=lambda name=name, smoothing=smoothing: logits(name, label_smoothing=smoothing),
                y=y,
            )


def optimizers() -> None:
    from firesteel import optimizers as O
    from firesteel.core.optimizers import OPTIMIZERS
    from firesteel.core.schedules import SCHEDULES

    for name in OPTIMIZERS:
        strategy = {"strategy": "gradient"} if name == "lbfgs" else {}
        for dtype in ("float32", "float64"):
            for shards in (1, 3):
                add(
                    f"optimizers/{name}/{dtype} {shards}",
                    softmax_net(12),
                    optimizer=name,
                    dtype=dtype,
                    shards=shards,
                    **strategy,
                    **CLASSES,
                )
        if not strategy:
            add(f"optimizers/{name}/large", softmax_net(200, 80), optimizer=name, **CLASSES)
            add(
                f"optimizers/{name}/gradient",
                softmax_net(12),
                optimizer=name,
                strategy="gradient",
                batch_size=50,
                **CLASSES,
            )
    variants: dict[str, Callable[[], Any]] = {
        "SGD momentum": lambda: O.SGD(0.05, momentum=0.9),
        "SGD nesterov": lambda: O.SGD(0.05, momentum=0.9, nesterov=True),
        "RMSprop centered": lambda: O.RMSprop(0.01, momentum=0.5, centered=True),
        "Adam amsgrad": lambda: O.Adam(0.01, amsgrad=True),
        "Adam clipnorm": lambda: O.Adam(0.01, clipnorm=0.1),
        "Adam clipvalue": lambda: O.Adam(0.01, clipvalue=0.01),
        "Adam global_clipnorm": lambda: O.Adam(0.01, global_clipnorm=0.1),
        "Adam weight_decay": lambda: O.Adam(0.01, weight_decay=0.05),
        "AdamW excluded": lambda: O.AdamW(0.01, weight_decay=0.05, exclude_from_weight_decay=("bias",)),
        "SGD weight_decay": lambda: O.SGD(0.01, weight_decay=0.05),
        "Adam averaged": lambda: O.Adam(0.01, use_ema=True),
        "SGD averaged": lambda: O.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.9),
    }
    for name, make in variants.items():
        add(f"optimizers/{name}", softmax_net(150, 80), optimizer=make, **CLASSES)
        add(f"optimizers/{name}/3", softmax_net(12), optimizer=make, shards=3, **CLASSES)
    for name, spec in SCHEDULES.items():
        add(f"schedules/{name}", softmax_net(12), optimizer=lambda spec=spec: O.SGD(spec), epochs=4, **CLASSES)
        add(f"schedules/{name}/3", softmax_net(12), optimizer=lambda spec=spec: O.Adam(spec), shards=3, **CLASSES)


def sizes() -> None:
    """Networks and batches on both sides of each threshold that decides how a batch is divided."""
    from firesteel import layers as L

    images = {"x": lambda: pixels(700), "loss": "sparse_categorical_crossentropy"}
    labels = {"y": lambda: np.arange(700) % 10}

    def scaled(*units: int, dropout: float = 0.0) -> list[Any]:
        dense = [[L.Dense(n, "relu"), *([L.Dropout(dropout)] if dropout else [])] for n in units]
        return [L.Rescaling(1 / 255, input_dim=784), *(one for some in dense for one in some), L.Dense(10, "softmax")]

    for units in ((20, 15), (20,), (21,), (126,), (127,), (128, 64)):  # 16,000 and 100,000 parameters
        for batch in (63, 64, 100, 127, 128, 129, 256):
            add(
                f"sizes/{'-'.join(map(str, units))}/batch {batch}",
                lambda units=units: scaled(*units),
                batch_size=batch,
                **images,
                **labels,
            )
    for batch in (100, 128, 200, 700):
        add(f"sizes/dropout/batch {batch}", lambda: scaled(64, dropout=0.2), batch_size=batch, **images, **labels)
        one_hot = {"loss": "categorical_crossentropy", "y": lambda: np.eye(10)[np.arange(700) % 10]}
        add(f"sizes/one-hot/batch {batch}", lambda: scaled(64), batch_size=batch, **{**images, **one_hot})
        add(f"sizes/float64/batch {batch}", lambda: scaled(32), batch_size=batch, dtype="float64", **images, **labels)
    wide = {"x": lambda: rows(2200, 20), "y": lambda: classes(rows(2200, 20), 5)}
    wide["loss"] = "sparse_categorical_crossentropy"
    for batch in (2047, 2048, 2049, 2176, 2200):  # sixteen sub-batches at a time
        add(f"sizes/sub-batches/{batch}", softmax_net(40), batch_size=batch, **wide)
    many = {"x": lambda: rows(4500, 6), "y": lambda: rows(4500, 6)[:, :2]}
    for batch in (1, 2, 4096, 4097):
        add(f"sizes/planned/{batch}", lambda: net(5), batch_size=batch, epochs=1, **many)
    for units in (832, 833):  # 10,000 numbers
        add(f"sizes/kernels/{units}", lambda units=units: net(units, out=1), y=lambda: rows(203, 1), batch_size=32)
    add("sizes/one unit", lambda: net(1, out=1), y=lambda: rows(203, 1))
    add("sizes/one input", lambda: net(4, out=1), x=lambda: rows(203, 1), y=lambda: rows(203, 1))
    add("sizes/one row", lambda: net(4), x=lambda: rows(1, 12))
    add("sizes/784-512-512-10", lambda: scaled(512, 512), batch_size=256, epochs=1, **images, **labels)
    add("sizes/784-512-512-10/gradient", lambda: scaled(512, 512), strategy="gradient", **images, **labels)
    add("sizes/deep", softmax_net(30, 30, 30, 30, 30, 30), **CLASSES)


def rows_of_all_kinds() -> None:
    """Sparse rows, weights, byte codes, validation rows, row orders."""
    from firesteel import layers as L

    wide = {
        "x": lambda: sparse(300, 5000),
        "y": lambda: np.arange(300) % 3,
        "loss": "sparse_categorical_crossentropy",
    }
    for name, optimizer in (("adam", "adam"), ("sgd", "sgd"), ("momentum", None), ("rmsprop", "rmsprop")):
        from firesteel.optimizers import SGD

        chosen = optimizer or SGD(0.05, momentum=0.9)
        for shards in (1, 3):
            add(
                f"sparse/{name}/{shards}",
                lambda: net(8, out=3, last="softmax"),
                optimizer=chosen,
                shards=shards,
                **wide,
            )
    drop = lambda: [L.Dense(16, "relu"), L.Dropout(0.3), L.Dense(3, "softmax")]  # noqa: E731
    add("sparse/dropout", drop, **wide)
    add("sparse/normalization", lambda: [L.Normalization(), *net(8, out=3, last="softmax")], **wide)
    add("sparse/l2", lambda: net(8, out=3, last="softmax", kernel_regularizer="l2"), **wide)
    add("sparse/gradient", lambda: net(8, out=3, last="softmax"), strategy="gradient", **wide)
    add("sparse/float64", lambda: net(8, out=3, last="softmax"), dtype="float64", **wide)
    weight = lambda: np.round(np.abs(rows(203, 1)[:, 0]), 2)  # noqa: E731
    for shards in (1, 3):
        add(f"rows/weights/{shards}", softmax_net(12), sample_weight=weight, shards=shards, **CLASSES)
        add(
            f"rows/class_weight/{shards}",
            softmax_net(12),
            class_weight=lambda: {0: 2.0, 3: 0.5},
            shards=shards,
            **CLASSES,
        )
    add("rows/balanced", softmax_net(12), class_weight="balanced", **CLASSES)
    add("rows/held out", softmax_net(12), validation_split=0.2, metrics=["accuracy"], **CLASSES)
    add("rows/order kept", softmax_net(12), shuffle=False, **CLASSES)
    add("rows/batch beyond the rows", softmax_net(12), batch_size=1000, **CLASSES)
    add("rows/codes", lambda: net(8), x=lambda: np.round(rows(203, 12) * 4) / 8)
    add("rows/few values", lambda: net(8), x=lambda: np.array([0.3, 1.7, 22.25])[pixels(203, 12) % 3])
    add("rows/one row many times", lambda: net(8), x=lambda: np.repeat(rows(3, 12), [190, 12, 1], axis=0))
    add("rows/integers", lambda: net(8), x=lambda: np.round(rows(203, 12) * 100).astype(np.int64))
    add("rows/float64 network", lambda: net(8), x=lambda: rows(203, 12) / 3, dtype="float64")
    add("rows/metrics", lambda: net(8), metrics=["mae", "rmse", "r2_score"], validation_split=0.25)
    add(
        "rows/ranked",
        lambda: net(8, out=1, last="sigmoid"),
        "binary_crossentropy",
        y=lambda: classes(rows(203, 12), 2),
        metrics=["auc", "average_precision", "precision", "recall", "f1_score"],
        validation_split=0.25,
    )


def strategies() -> None:
    from firesteel.train.strategies import Gradient

    for shards in (1, 2, 3, 6):
        for name in ("average", "gradient"):
            add(f"strategies/{name}/{shards}", softmax_net(12), strategy=name, shards=shards, **CLASSES)
        add(
            f"strategies/sample/{shards}",
            softmax_net(12),
            strategy=Gradient(sample=0.7),
            shards=shards,
            epochs=4,
            **CLASSES,
        )
        add(
            f"strategies/batches/{shards}",
            softmax_net(12),
            strategy="gradient",
            batch_size=40,
            shards=shards,
            **CLASSES,
        )


def callbacks() -> None:
    from firesteel import callbacks as C
    from firesteel.optimizers import SGD

    held = {"validation_split": 0.2, "epochs": 6, **CLASSES}

    def halve(epoch: int, rate: float) -> float:
        return rate * 0.5

    made: dict[str, Callable[[], list[Any]]] = {
        "EarlyStopping": lambda: [C.EarlyStopping(patience=1, restore_best_weights=True)],
        "EarlyStopping min_delta": lambda: [C.EarlyStopping("loss", min_delta=0.5, patience=1)],
        "ReduceLROnPlateau": lambda: [C.ReduceLROnPlateau(patience=1, factor=0.3, min_delta=0.2)],
        "LearningRateScheduler": lambda: [C.LearningRateScheduler(halve)],
        "BoldDriver": lambda: [C.BoldDriver()],
        "TerminateOnNaN": lambda: [C.TerminateOnNaN()],
    }
    for name, make in made.items():
        for shards in (1, 3):
            add(
                f"callbacks/{name}/{shards}",
                softmax_net(12),
                optimizer=SGD(0.2, momentum=0.8),
                callbacks=make,
                shards=shards,
                **held,
            )
    add(
        "callbacks/BoldDriver seed",
        softmax_net(12),
        optimizer=SGD(0.2),
        strategy="gradient",
        epochs=6,
        callbacks=lambda: [C.BoldDriver("seed")],
        **CLASSES,
    )
    add("callbacks/second fit", softmax_net(12), again={"epochs": 2}, **CLASSES)
    add("callbacks/initial_epoch", softmax_net(12), again={"epochs": 5, "initial_epoch": 2}, **CLASSES)

    for shards in (1, 3):
        for name in ("adam", "sgd"):

            @fit_of(f"resume/{name}/{shards}")
            def resumed(shards: int = shards, name: str = name) -> Result:
                class Stop(C.Callback):
                    stops = True

                    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                        if epoch == 2 and Stop.stops:
                            Stop.stops = False
                            raise KeyboardInterrupt

                with tempfile.TemporaryDirectory() as folder:
                    more = {"checkpoint": Path(folder, "progress"), "shards": shards, "epochs": 4, **CLASSES}
                    made = {key: value() if callable(value) else value for key, value in more.items()}
                    with contextlib.suppress(KeyboardInterrupt):
                        train(softmax_net(12)(), optimizer=name, callbacks=[Stop()], **made)
                    assert not Stop.stops
                    return train(softmax_net(12)(), optimizer=name, callbacks=[Stop()], **made)

    @fit_of("saved/and loaded")
    def saved() -> Result:
        from firesteel.models import Sequential, load_model

        model = Sequential(net(8, out=5, last="softmax"))
        model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
        x = rows(203, 12)
        history = model.fit(x, classes(x, 5), epochs=2, verbose=0, seed=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model")
            model.save(path)
            return figures(load_model(path), history, x)


# On Spark


def frames() -> None:
    from firesteel import layers as L

    def frame(spark: Any, x: np.ndarray, y: np.ndarray, kind: str) -> Any:
        if kind == "columns":
            names = [f"c{i}" for i in range(x.shape[1])]
            data = [(*map(float, row), int(label)) for row, label in zip(x, y, strict=True)]
            return spark.createDataFrame(data, ", ".join(f"{n} double" for n in names) + ", label int")
        if kind == "bytes":
            data = [(bytearray(row.tobytes()), int(label)) for row, label in zip(x, y, strict=True)]
            return spark.createDataFrame(data, "features binary, label int")
        data = [(list(map(float, row)), int(label)) for row, label in zip(x, y, strict=True)]
        made = spark.createDataFrame(data, "features array<double>, label int")
        if kind == "vectors":
            from pyspark.ml.functions import array_to_vector

            made = made.withColumn("features", array_to_vector("features"))
        return made

    def put(name: str, function: Callable[[Any], Result]) -> None:
        FRAMES[f"frames/{name}"] = function

    def sequential(spark: Any, kind: str, shards: int, layers: Callable[[], list[Any]]) -> Result:
        from firesteel.models import Sequential

        x = pixels(400, 30) if kind == "bytes" else rows(400, 12)
        y = classes(rows(400, 12), 5)
        names = [f"c{i}" for i in range(12)] if kind == "columns" else "features"
        model = Sequential(layers())
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        there = frame(spark, x, y, kind).repartition(3)
        history = model.fit(there, features=names, label="label", epochs=2, shards=shards, seed=3, verbose=0)
        return figures(model, history, x)

    dropped = lambda: [L.Dense(16, "relu"), L.Dropout(0.2), L.Dense(5, "softmax")]  # noqa: E731
    normal = lambda: [L.Dense(9), L.BatchNormalization(), L.ReLU(), L.Dense(5, "softmax")]  # noqa: E731
    for kind in ("columns", "bytes", "arrays", "vectors"):
        for shards in (1, 3):
            put(f"{kind}/{shards}", lambda spark, k=kind, s=shards: sequential(spark, k, s, softmax_net(12)))
    put("dropout", lambda spark: sequential(spark, "arrays", 3, dropped))
    put("normalization", lambda spark: sequential(spark, "arrays", 3, normal))

    def stage(spark: Any, regression: bool, **params: Any) -> Result:
        from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkRegressor

        x = rows(700, 12)
        kind = NeuralNetworkRegressor if regression else NeuralNetworkClassifier
        batch = {} if "strategy" in params else {"batchSize": 32}
        usual = {"activation": "relu", "dropout": 0.0, "solver": "adam", "members": 1} | batch
        usual |= {"validationFraction": 0.1, "earlyStoppingRounds": 5}
        made = kind(hiddenLayers=[12], maxIter=4, seed=3, **{**usual, **params})
        model = made.fit(frame(spark, x, classes(x, 5), "vectors").repartition(4))
        losses = [_exact(float(value)) for value in model.summary.objectiveHistory]
        network = model.network
        outputs = np.ascontiguousarray(network.predict(x))
        return {
            "weights": hashlib.sha256(b"".join(a.tobytes() for a in network.get_weights())).hexdigest(),
            "history": losses,
            "fingerprint": network.fingerprint(),
            "predictions": hashlib.sha256(outputs.tobytes()).hexdigest(),
        }

    for regression in (False, True):
        name = "regressor" if regression else "classifier"
        put(f"{name}", lambda spark, r=regression: stage(spark, r))
        put(
            f"{name}/plain",
            lambda spark, r=regression: stage(spark, r, validationFraction=0.0, earlyStoppingRounds=0),
        )
        put(f"{name}/gradient", lambda spark, r=regression: stage(spark, r, strategy="gradient", shards=2))
        put(
            f"{name}/all",
            lambda spark, r=regression: stage(
                spark, r, dropout=0.1, regParam=0.01, shards=3, validationFraction=0.2, earlyStoppingRounds=2
            ),
        )


if __name__ == "__main__" and "--plain" in sys.argv:
    sys.modules["numba"] = None  # type: ignore[assignment]
for family in (
    activations,
    layers,
    weights,
    losses,
    optimizers,
    sizes,
    rows_of_all_kinds,
    strategies,
    callbacks,
    frames,
):
    family()


# Running


def outcome(function: Callable[..., Result], *arguments: Any) -> Result:
    """Return the result of a fit, or its error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return {"error": f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"}


def chosen(table: dict[str, Any], words: list[str]) -> dict[str, Any]:
    return {name: function for name, function in table.items() if not words or any(word in name for word in words)}


def run(words: list[str], with_frames: bool = False) -> dict[str, Result]:
    """Run the fits whose names contain one of the words, or all fits."""
    results = {name: outcome(function) for name, function in chosen(FITS, words).items()}
    on_spark = chosen(FRAMES, words) if with_frames else {}
    if on_spark:
        from firesteel.spark import session

        spark = session("local[2]")
        spark.sparkContext.setLogLevel("ERROR")
        results |= {name: outcome(function, spark) for name, function in on_spark.items()}
        spark.stop()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    import firesteel

    print(json.dumps({"tree": str(Path(firesteel.__file__).parent.parent), "fits": run(given.words, given.frames)}))


if __name__ == "__main__":
    main()
