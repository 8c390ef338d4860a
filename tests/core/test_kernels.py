"""Compiled kernels are for speed alone: each gives the bits of the NumPy lines that it stands beside."""

import subprocess
import sys

import numpy as np
import pytest

from firesteel.core import metrics
from firesteel.core.layers import Activation, Dense, Dropout, Normalization, PiecewiseLinear, Rescaling, Table
from firesteel.core.layers.activation import (
    ACTIVATIONS,
    ELU,
    Celu,
    HardShrink,
    HardSilu,
    HardTanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    Relu,
    Softmax,
    SoftShrink,
    Squareplus,
)
from firesteel.core.layers.dense import Linear
from firesteel.core.layers.normalization import BatchNormalization, LayerNormalization
from firesteel.core.layout import read_only
from firesteel.core.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    HalfSumOfSquares,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    Standardized,
)
from firesteel.core.metrics import LogLoss
from firesteel.core.network import Network, Objective, alone
from firesteel.core.optimizers import SGD, Adam, AdamW, RMSprop
from firesteel.core.schedules import ExponentialDecay
from firesteel.core.seeds import stream_for
from firesteel.fast import chain, compiling
from firesteel.fast.kernels import activation, functions, losses, normalization, optimizers
from firesteel.models import Sequential
from firesteel.train.blocks import pack_arrays

SIZES = [1, 7, 8, 15, 16, 17, 63, 64, 65, 1000, 4099]


@pytest.fixture(params=[False, True], ids=["as Python", "compiled"])
def both(request, monkeypatch):
    """Return what calls a function without kernels, and with them."""
    assert compiling._numba()
    made = compiling._compiled if request.param else lambda kernel: kernel

    def results(function):
        monkeypatch.setattr(compiling, "_compiled", lambda kernel: None)
        without = function()
        met = []
        monkeypatch.setattr(compiling, "WORTH", 0)
        monkeypatch.setattr(compiling, "_compiled", lambda kernel: met.append(kernel) or made(kernel))
        with_them = function()
        assert met, "no kernel was called"
        return without, with_them

    return results


def test_there_is_a_compiler_to_test_with():
    assert compiling._compiled(optimizers.adam) is not None


STEPS = [
    *(
        Adam(0.01),
        AdamW(ExponentialDecay(0.1, 2, 0.5)),
        SGD(0.1),
        SGD(0.1, momentum=0.9),
        SGD(0.1, 0.7, nesterov=True),
    ),
    *(
        RMSprop(0.01),
        RMSprop(0.01, momentum=0.5),
        RMSprop(0.01, 0.8, centered=True),
        RMSprop(0.1, 0.0, 0.5, 1e-3, True),
    ),
]


def test_every_loop_of_an_optimizer_is_tried():
    assert {optimizer.loop for optimizer in STEPS} == set(optimizers.LOOPS)
    assert Adam(amsgrad=True).loop is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("optimizer", STEPS, ids=str)
def test_a_step(both, optimizer, dtype, size):
    def steps():
        rng = np.random.default_rng(size)
        theta, slots = rng.normal(size=size).astype(dtype), np.zeros((len(optimizer.slots), size), dtype)
        for t in range(1, 6):
            g = (rng.normal(size=size) * 10.0 ** rng.integers(-30, 6, size)).astype(dtype)
            g[:: max(1, size // 3)] = 0
            optimizer.step(theta, g, slots, t)
        return theta.tobytes() + slots.tobytes()

    without, with_them = both(steps)
    assert without == with_them


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("optimizer", STEPS, ids=str)
def test_a_step_where_a_fit_diverges(both, optimizer, bad):
    def step():
        theta, slots = np.ones(20, "f4"), np.zeros((len(optimizer.slots), 20), "f4")
        g = np.ones(20, "f4")
        g[3] = bad
        with np.errstate(all="ignore"):
            optimizer.step(theta, g, slots, 1)
        return theta, slots

    (theta, slots), (fast_theta, fast_slots) = both(step)
    np.testing.assert_array_equal(fast_theta, theta)
    np.testing.assert_array_equal(fast_slots, slots)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [1e-9, 0.1, 0.5, 0.999, 1 - 1e-15])
@pytest.mark.parametrize("size", SIZES)
def test_mask(both, dtype, rate, size):
    def masks():
        with np.errstate(over="ignore"):  # whole numbers that go round
            return [
                Dropout(rate).mask(stream_for(seed, "op", size), (size, width), np.dtype(dtype)).tobytes()
                for seed, width in ((0, 1), (2**70, 3))
            ]

    without, with_them = both(masks)
    assert without == with_them


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("divisor", [1, 16, 255])
@pytest.mark.parametrize("rows", [slice(None), slice(3, 40), np.array([5, 0, 5, 17])], ids=["all", "slice", "chosen"])
def test_gather(both, dtype, divisor, rows):
    rng = np.random.default_rng(divisor)
    x = (rng.integers(0, 256, (60, 33)) / divisor).astype(dtype)
    block = pack_arrays(x, np.zeros((60, 1), dtype), np.ones(60, dtype), np.dtype(dtype))[0]
    assert block.divisor == divisor
    rows = np.array([min(row, len(block) - 1) for row in rows]) if isinstance(rows, np.ndarray) else rows

    def gathered():
        out = np.empty((len(block.y[rows]), 33), dtype)
        block.features(rows, out, np.empty(out.shape, np.uint8))
        return out.tobytes()

    without, with_them = both(gathered)
    assert without == with_them


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 130])
def test_bins(both, dtype, rows):
    edges = [np.unique(np.random.default_rng(n).normal(size=n).astype("f4")).astype(float) for n in range(40)]
    front, more = Table(edges, plain=3), np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40])
    x = np.random.default_rng(0).normal(size=(rows, 43)).astype(dtype)
    x.flat[:: max(1, x.size // 60)] = more[np.arange(len(x.flat[:: max(1, x.size // 60)])) % len(more)]

    def binned():
        return [front.apply({}, x)[0].tobytes(), PiecewiseLinear(edges).apply({}, x[:, :40].copy())[0].tobytes()]

    without, with_them = both(binned)
    assert without == with_them


def test_who_only_predicts_does_not_load_numba():
    program = (
        "import sys, numpy as np; from firesteel.layers import Dense, Table; from firesteel.models import Sequential;"
        "model = Sequential([Table([[0.0, 1.0, 2.0]] * 60), Dense(1)]); model.predict(np.zeros((500, 60)));"
        "sys.exit('numba' in sys.modules or 'firesteel.fast' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


# Chains

HAS_BLAS = bool(functions.blas("float32"))


def test_the_products_of_numpy_are_found_where_its_wheels_have_them():
    assert HAS_BLAS or sys.platform != "linux"
    assert bool(chain.loops("float32")) == bool(chain.loops("float64")) == HAS_BLAS


def made(how, dtype, layers):
    """Return the chain of these layers, [(inputs, units, bias, ReLU)], compiled or as Python."""
    known = functions.blas(dtype) | functions.ufuncs(dtype)
    loops = chain.loops(dtype) if how == "compiled" else chain.wired(compiling.bound, known)
    return chain.Chain(np.array(layers, np.int64), loops)


def learned(objective, chains, p, x, y, w, views):
    """Learn through chains, if there are any; return the sums."""
    fused = (
        chain.Fused(objective.network, objective.loss, objective.metrics, compiled=chains) if chains else objective
    )
    return objective.sums(*alone(fused.rows(p, x, y, w * 0.01, None, views)), y, w)


CHAINS = {
    "seed B": [(784, 20, 1, 1), (20, 15, 1, 1), (15, 10, 1, 0)],
    "wide": [(300, 200, 1, 1), (200, 130, 1, 0)],
    "alone": [(17, 33, 1, 0)],
    "ends in ReLU": [(5, 3, 0, 1), (3, 2, 1, 1)],
    "no bias": [(2, 2, 0, 0), (2, 64, 0, 1), (64, 3, 0, 0)],
    "one unit": [(300, 40, 1, 1), (40, 1, 1, 0)],
    "one unit that is bent, without bias": [(5, 3, 1, 1), (3, 1, 0, 1)],
}
LEARNED = [
    *(SparseCategoricalCrossentropy(), CategoricalCrossentropy(), BinaryCrossentropy(), MeanSquaredError()),
    *(
        HalfSumOfSquares(),
        MeanAbsoluteError(),
        Huber(),
        Huber(0.01),
        Standardized("mse", 3.0, 0.3),
        Standardized("huber"),
    ),
]
LEARNED = {f"{loss}, {name}": (loss, CHAINS[name]) for loss in LEARNED[:2] for name in list(CHAINS)[:5]} | {
    f"{loss}, {name}": (loss, CHAINS[name])
    for loss in LEARNED[2:]
    for name in ("ends in ReLU", "one unit that is bent, without bias")
}
ODD = {"usual": [], "-0 and small": [-0.0, 1e-42, -1e-42], "NaN and infinite": [np.nan, np.inf, -np.inf]}


@pytest.mark.parametrize("how", ["as Python", "compiled"] if HAS_BLAS else [])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("odd", list(ODD))
@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
def test_a_chain_has_the_bits_of_its_parts(how, dtype, odd, layers):
    parts = [
        part for _, units, bias, bent in layers for part in (Linear(units, bool(bias)), *([Relu()] if bent else []))
    ]
    network = Network.chain(
        tuple(Dense(units, "relu" if bent else None, bool(bias)) for _, units, bias, bent in layers), layers[0][0]
    )
    assert network.parts == tuple(parts)
    for rows in (2, 3, 50, 64, 100, 128):
        for wants_x in (False, True):
            rng = np.random.default_rng(rows)
            theta = rng.normal(0, 0.1, network.layout.size).astype(dtype)
            x = rng.normal(size=(rows, layers[0][0])).astype(dtype)
            x[rng.random(x.shape) < 0.3] = 0
            d = rng.normal(size=(rows, layers[-1][1])).astype(dtype)
            for array in (theta, x, d):
                array.reshape(-1)[: len(ODD[odd])] = ODD[odd][: array.size]
            p, results = network.layout.views(read_only(theta)), []
            for many in (True, False):
                g = np.full_like(theta, np.nan)
                views, derivative, pulls, y = network.layout.views(g), d.copy(), [], x.copy()
                with np.errstate(all="ignore"):
                    for number, part in enumerate(parts) if many else [(0, made(how, dtype, layers))]:
                        y, pull = part.apply(p[number], y)
                        pulls.append((number, pull))
                    for number, pull in reversed(pulls):
                        derivative = pull(derivative, views[number], wants_x or number > 0)
                results.append([y, g, *([derivative] if wants_x else [])])
            for a, b in zip(*results, strict=True):
                np.testing.assert_array_equal(a, b)
                assert odd == "NaN and infinite" or a.tobytes() == b.tobytes()


@pytest.mark.parametrize("how", ["as Python", "compiled"] if HAS_BLAS else [])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("odd", list(ODD))
@pytest.mark.parametrize(("loss", "layers"), LEARNED.values(), ids=LEARNED)
def test_a_chain_learns_with_the_loss_as_its_parts_do(how, dtype, odd, layers, loss):
    classes = layers[-1][1]
    hidden = [Dense(units, "relu" if bent else None, bool(bias)) for _, units, bias, bent in layers]
    network = Network.chain((*hidden, Activation(loss.natural)), layers[0][0], dtype)
    objective = Objective(
        network, loss, (("m", LogLoss() if loss.targets != "real" else metrics.MeanSquaredError()),)
    )
    assert losses.chosen(loss, classes, dtype) is not None
    for rows in (2, 3, 50, 64, 100, 128):
        rng = np.random.default_rng(rows)
        theta = rng.normal(0, 0.1, network.layout.size).astype(dtype)
        x = rng.normal(size=(rows, layers[0][0])).astype(dtype)
        y = rng.integers(0, classes, (rows, 1)) if loss.targets == "class" else rng.random((rows, classes))
        y[::3] = np.round(y[::3])
        y = y.astype(dtype)
        if rows == 100:  # probabilities of nearly 1, and a share of 1
            theta *= 10
            if isinstance(loss, CategoricalCrossentropy):
                y[::2] = np.eye(classes)[rng.integers(0, classes, 50)]
        for array in (theta, x):
            array.reshape(-1)[: len(ODD[odd])] = ODD[odd][: array.size]
        if rows == 3:
            x[:] = 0  # where all outputs are the biases, and without any there is no largest one
        w, results = rng.random(rows), []
        for chains in ({}, {0: made(how, dtype, layers)}):
            g = np.full_like(theta, np.nan)
            views = network.layout.views(g)
            with np.errstate(all="ignore"):
                sums = learned(objective, chains, network.layout.views(theta), x, y, w, views)
            results.append((sums, g))
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)
            assert odd == "NaN and infinite" or a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_chain_hands_on_the_derivative_by_its_inputs(dtype):
    rng = np.random.default_rng(0)
    layers = (Dense(30, "tanh"), Dense(20, "relu"), Dense(3, "softmax"))
    objective = Objective(Network.chain(layers, 40, dtype), SparseCategoricalCrossentropy())
    network, rows = objective.network, 100
    theta = rng.normal(0, 0.1, network.layout.size).astype(dtype)
    x, y = rng.normal(size=(rows, 40)).astype(dtype), rng.integers(0, 3, (rows, 1)).astype(dtype)
    found = []
    for chains in ({}, {2: made("compiled", dtype, [(30, 20, 1, 1), (20, 3, 1, 0)])} if HAS_BLAS else {}):
        g = np.full_like(theta, np.nan)
        views = network.layout.views(g)
        sums = learned(objective, chains, network.layout.views(theta), x, y, np.ones(rows), views)
        found.append(sums.tobytes() + g.tobytes())
    assert found[0] == found[1]


def test_which_parts_are_a_chain(monkeypatch):
    monkeypatch.setattr(compiling, "WORTH", 0)
    monkeypatch.setattr(chain, "loops", lambda dtype: chain.Loops(*[None] * 5))
    layers = (
        *(Normalization((0.0,), (2.0,)), Dense(8, "relu"), Dense(6), Dropout(0.5), Dense(6, "tanh")),
        *(Dense(5, "relu"), Activation("relu"), Dense(5)),
        *(Dense(4, "relu"), Dense(1), Dense(3), Dense(2, "softmax")),
    )
    network = Network.chain(layers, 5)
    assert [str(part).split("(")[0] for part in network.parts] == (
        "Standardize Linear Relu Linear Dropout Linear Tanh Linear Relu Relu Linear Linear Relu Linear Linear Linear "
        "Softmax".split()
    )
    found = chain.compiled_parts(network, -1)
    runs = {number: one.span for number, one in found.items() if isinstance(one, chain.Chain)}
    assert runs == {1: 3, 5: 1, 7: 2, 10: 4, 15: 1}
    assert set(found) - set(runs) == ({6, 9} if HAS_BLAS else set())
    monkeypatch.setattr(compiling, "WORTH", 10**6)
    assert not chain.compiled_parts(network, -1), "not worth a compiler"


@pytest.mark.parametrize("strategy", ["average", "gradient"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_a_fit_has_the_same_bits_with_chains(monkeypatch, strategy, dtype, loss):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(301, 30)), rng.integers(0, 3, 301)
    hidden = [
        Dense(40, "relu", kernel_regularizer="l2"),
        Dropout(0.3),
        Dense(20, "tanh"),
        Dense(20, "relu"),
        Activation("relu"),
        Dense(9, "relu"),
    ]

    def trained():
        model = Sequential([Normalization(), *hidden, Dense(3, "softmax")], dtype=dtype)
        model.compile(Adam(0.01), loss, ["accuracy"])
        targets = y if loss.startswith("sparse") else np.eye(3)[y]
        how = {"strategy": strategy, "validation_split": 0.1}
        model.fit(x, targets, epochs=3, batch_size=50, verbose=0, seed=1, **how)
        return model.fingerprint()

    monkeypatch.setattr(compiling, "WORTH", 0)
    compiling.RUNS.clear()
    with_them = trained()
    names = {"forward", "backward", "head", "hyperbolic", "hyperbolic_slope", "relu", "relu_slope", "mask"}
    assert set(compiling.RUNS) >= (names if HAS_BLAS else set())
    monkeypatch.setattr(compiling, "ON", False)
    compiling.RUNS.clear()
    assert trained() == with_them
    assert not compiling.RUNS


# Layers by themselves

BENT = [
    *(one for one in ACTIVATIONS.values() if type(one) in activation.CURVES),
    *(ReLU(2.0, 0.1, 0.5), ReLU(), LeakyReLU(0.0), ELU(0.7)),
]
NORMS = [
    *(BatchNormalization(), BatchNormalization(center=False), LayerNormalization(), LayerNormalization(scale=False)),
    *(LayerNormalization(0.1, center=False), BatchNormalization(epsilon=0.1, center=False, scale=False)),
]


SELDOM = {Celu, HardShrink, HardSilu, HardTanh, LogSigmoid, SoftShrink, Squareplus}
"""Activations that are too seldom used for loops of their own: NumPy computes them."""


def test_all_activations_but_those_of_whole_rows_and_seldom_ones_are_compiled():
    kinds = {type(one) for one in ACTIVATIONS.values()} - {type(None)}
    assert kinds - set(activation.CURVES) == {Softmax, LogSoftmax} | SELDOM
    assert set(activation.CURVES) - kinds == set()


def alone_as(how, layer, dtype):
    """Return a layer by itself, compiled or as Python."""
    if how == "compiled":
        return chain.compiled_layer(layer, dtype, (100,))
    known = functions.blas(dtype) | functions.ufuncs(dtype)
    loops = functions.linked(compiling.bound, known, (*functions.LOOPS, *activation.LOOPS, *normalization.LOOPS))
    return chain.KINDS[type(layer)](layer, loops, dtype)


def same(a, b):
    """Assert that arrays have the same bits, but that any NaN is like another."""
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.signbit(a) & (a == a), np.signbit(b) & (b == b))


@pytest.mark.parametrize("how", ["as Python", "compiled"] if HAS_BLAS else [])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", BENT, ids=str)
def test_an_activation(how, dtype, layer):
    rng, tiny = np.random.default_rng(0), np.finfo(dtype).tiny
    odd = [0.0, -0.0, np.nan, np.inf, -np.inf, tiny / 8, -tiny / 8, np.finfo(dtype).max, -np.finfo(dtype).max]
    for scale in (1, 10, 100):
        x, d = (rng.normal(size=(9, 13)) * scale).astype(dtype), rng.normal(size=(9, 13)).astype(dtype)
        x.reshape(-1)[: len(odd)] = odd
        found = []
        for one in (layer, alone_as(how, layer, dtype)):
            with np.errstate(all="ignore"):
                y, pull = one.apply({}, x.copy())
                found.append((y, pull(d.copy(), {}, True)))
        for a, b in zip(*found, strict=True):
            same(a, b)


@pytest.mark.parametrize("how", ["as Python", "compiled"] if HAS_BLAS else [])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", NORMS, ids=str)
def test_a_normalization(how, dtype, layer):
    for rows, width in ((2, 2), (3, 17), (64, 9), (7, 300)):
        rng = np.random.default_rng(width)
        x, d = rng.normal(size=(rows, width)).astype(dtype), rng.normal(size=(rows, width)).astype(dtype)
        p = {name: rng.normal(size=width).astype(dtype) for name in layer.params((width,))}
        x[:, 0] = 1.5  # a column without variance
        found = []
        for one in (layer, alone_as(how, layer, dtype)):
            g = {name: np.full(width, np.nan, dtype) for name in p}
            y, pull = one.apply(p, x.copy(), rng=stream_for(0, "op") if layer.random else None)
            found.append((y, pull(d.copy(), g, True), *g.values()))
        for a, b in zip(*found, strict=True):
            same(a, b)


@pytest.mark.parametrize("layer", [*BENT, *NORMS], ids=str)
def test_a_fit_of_a_layer_by_itself(layer, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 12)), rng.integers(0, 3, 200)

    def trained():
        kind = next((name for name, one in ACTIVATIONS.items() if one == layer), None)
        model = Sequential([Dense(12), layer if kind is None else Activation(kind), Dense(3, "softmax")])
        model.compile(Adam(0.01), "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, batch_size=50, verbose=0, seed=1)
        return model.fingerprint()

    monkeypatch.setattr(compiling, "WORTH", 0)
    compiling.RUNS.clear()
    with_them, counted = trained(), set(compiling.RUNS)
    assert (
        not HAS_BLAS
        or counted & {one.__name__ for one in (*activation.LOOPS, *normalization.LOOPS)}
        or layer == Relu()
    )
    monkeypatch.setattr(compiling, "ON", False)
    assert trained() == with_them


# What is said of it

SAID = {
    "a step": ([Dense(200, "relu"), Dense(1)], "mse", ["step", "step"], {"serve"}),
    "runs and loops": (
        [
            Rescaling(0.5),
            Dense(200, "tanh"),
            BatchNormalization(),
            Dropout(0.2),
            Dense(100, "relu"),
            Dense(3, "softmax"),
        ],
        "categorical_crossentropy",
        ["NumPy", "run + loop", "loop", "loop", "run", "run + loop"],
        {"forward", "backward", "hyperbolic", "by_columns", "by_columns_back", "mask", "head"},
    ),
    "another loss": ([Dense(200), Dense(2)], "log_cosh", ["run", "run"], {"forward", "backward"}),
    "nothing": ([Dense(4), Dense(3, "softmax")], "categorical_crossentropy", ["NumPy", "NumPy"], set()),
}


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("name", SAID)
def test_the_summary_says_what_runs_in_compiled_code(name, on, monkeypatch):
    layers, loss, expected, kernels = SAID[name]
    monkeypatch.setattr(compiling, "ON", on)
    model = Sequential(layers)
    model.compile("adam", loss)
    compiling.RUNS.clear()
    rng = np.random.default_rng(0)
    y = np.eye(3)[rng.integers(0, 3, 256)] if loss.startswith("cat") else rng.normal(size=(256, layers[-1].units))
    model.fit(rng.normal(size=(256, 60)), y, batch_size=128, verbose=0)
    lines = []
    model.summary(compiled=True, print_fn=lines.append)
    on = on and HAS_BLAS
    assert [line.split("│")[4].strip() for line in lines if line.startswith("│")] == (
        expected if on else ["NumPy"] * len(expected)
    )
    assert set(compiling.RUNS) - {"adam", "gather"} >= kernels if on else not compiling.RUNS
