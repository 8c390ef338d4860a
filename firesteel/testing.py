"""Checks for your own layers, losses, metrics and networks: correct derivatives, same bits.

firesteel's own tests run these checks over everything in its registries.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from firesteel.core import losses
from firesteel.core.layer import Layer
from firesteel.core.losses import Loss
from firesteel.core.metrics import Metric, Ranking
from firesteel.core.network import DTYPES, Network, Node, Objective, alone
from firesteel.core.seeds import rng_for, stream_for
from firesteel.core.spec import Spec
from firesteel.core.types import Array, Shape, Stream
from firesteel.errors import ConfigError
from firesteel.extending import check_fields

__all__ = ["check_gradient", "check_layer", "check_loss", "check_metric", "check_same_bits"]

ROWS = 7
"""The rows of a test batch."""
STEP = 1e-6
"""The step of a finite difference."""


def check_gradient(
    objective: Objective, x: Any, y: Any, w: Any = None, *, theta: Array | None = None, tolerance: float = 1e-6
) -> float:
    """Compare the gradient of an objective with central differences, in float64.

    Every parameter is checked separately, and all together along one random direction.

    Args:
        objective: The network and its loss.
        x: The inputs, (B, I).
        y: The targets, (B, T).
        w: The weights of the rows, (B,); ones by default.
        theta: The parameters at which to check, (P,); by default the initial weights for seed 0.
        tolerance: The largest relative error that passes.

    Returns:
        The largest relative error.

    Raises:
        AssertionError: If an error exceeds `tolerance`.

    Example:
        >>> from firesteel.core import losses
        >>> from firesteel.core.network import Network, Objective
        >>> from firesteel.layers import Dense
        >>> network = Network.chain((Dense(3, "tanh"), Dense(1)), inputs=2, dtype="float64")
        >>> error = check_gradient(Objective(network, losses.get("mse")), [[0.5, -1.0]], [[2.0]])
        >>> error < 1e-6
        True
    """
    network = objective.network
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    w = np.ones(len(x)) if w is None else np.asarray(w, np.float64)
    theta = network.init(0).astype(np.float64) if theta is None else theta

    def random(op: int) -> Stream:
        return stream_for(0, "check", op)

    def value(at: Array) -> float:
        scratch = network.layout.views(np.zeros_like(at))
        return float(objective.learn(network.layout.views(at), x, y, w, 1.0, random, scratch)[0])

    gradient = np.zeros_like(theta)
    objective.learn(network.layout.views(theta), x, y, w, 1.0, random, network.layout.views(gradient))
    for where, _ in network.statistics:  # holds statistics of the batch, not a gradient
        gradient[where] = 0
    step = 1e-6
    directions = [*np.eye(len(theta)), rng_for(0, "direction").standard_normal(len(theta))]
    worst = 0.0
    for u in directions:
        slope = (value(theta + step * u) - value(theta - step * u)) / (2 * step)
        error = abs(slope - gradient @ u) / max(1.0, abs(slope))
        assert error <= tolerance, f"along {u}: finite differences give {slope}, the gradient {gradient @ u}"
        worst = max(worst, error)
    return float(worst)


def check_same_bits(runs: Sequence[Callable[[], str]]) -> str:
    """Check that several runs train bit-identical models.

    Args:
        runs: Functions that train a model and return `model.fingerprint()`.

    Returns:
        The common fingerprint.

    Raises:
        AssertionError: If two fingerprints differ.

    Example:
        >>> check_same_bits([lambda: "abc", lambda: "abc"])
        'abc'
    """
    found = [run() for run in runs]
    assert len(set(found)) == 1, f"{len(set(found))} different results from {len(found)} runs: {found}"
    return found[0]


def check_layer(layer: Layer, *shapes: Shape, given: Sequence[Any] | None = None, tolerance: float = 1e-5) -> None:
    """Check a layer on random rows: shapes, dtype, derivatives, and the absence of side effects.

    The derivatives with respect to inputs and parameters are compared with finite differences in float64, along
    random directions.  At inference, the output of a row must not depend on the other rows, but for the last bits of
    a product. Two calls must give the same bits.  The pull-back must overwrite each derivative, never add to it.
    Inputs and parameters must stay unchanged, and the layer must survive a round trip through JSON.

    Args:
        layer: The layer.
        shapes: The shape of each input, without the batch axis: `check_layer(Add(), (3,), (3,))`.
        given: The inputs, each (B, *shape), if random numbers are unsuitable.  Integer inputs get no derivative.
        tolerance: The largest relative error of a derivative.

    Raises:
        AssertionError: If a check fails; the message says which.
        ConfigError: If the layer does not accept these shapes.

    Example:
        >>> from firesteel.layers import Dense
        >>> check_layer(Dense(4, "tanh"), (3,))
    """
    _check_json(layer)
    if not shapes or not all(isinstance(shape, tuple) for shape in shapes):
        raise ConfigError(f"shapes={shapes}: give the shape of each input, such as (3,)", code="config-shape")
    networks = {dtype: Network((Node(layer, tuple(range(len(shapes))), 0),), shapes, dtype) for dtype in DTYPES}
    for seed in range(3):
        rng = rng_for(seed, "check", "layer")
        wanted = [rng.choice([-1.0, 1.0], (ROWS, *shape)) * rng.uniform(0.1, 1.5, (ROWS, *shape)) for shape in shapes]
        arrays = wanted if given is None else [np.asarray(one) for one in given]
        x = np.concatenate([np.float64(one).reshape(len(one), -1) for one in arrays], axis=1)
        start = networks["float64"].init(seed)
        theta = start + 0.1 * rng.normal(size=start.shape)
        continuous = np.concatenate([np.full(one[0].size, one.dtype.kind == "f") for one in arrays])
        for dtype, network in networks.items():
            numbers = theta.astype(dtype), x.astype(dtype)
            for array in numbers:
                array.flags.writeable = False
            try:
                _check_calls(layer, network, *numbers)
            except ValueError as error:
                if isinstance(error, ConfigError):
                    raise
                wrote = "read-only" in str(error)
                what = "writes to its inputs or parameters" if wrote else f"fails for inputs of shape {shapes}"
                raise AssertionError(f"{layer} {what}: {error}") from error
        _check_derivatives(layer, networks["float64"], theta, x, continuous, tolerance)


def _check_json(spec: Spec) -> None:
    """Assert that a spec survives a round trip through JSON."""
    try:
        check_fields(spec)
    except ConfigError as error:
        raise AssertionError(str(error)) from None


def _random(op: int) -> Stream:
    return stream_for(0, "check", op)


def _ran(network: Network, theta: Array, x: Array, training: bool = True) -> tuple[Array, Any, int]:
    """Run a network forward; return outputs, pull-backs (backward functions), and the number of the output value."""
    p, last = network.layout.views(theta), network.read_by()
    values, pulls = alone(network.forward(p, x, _random if training else None, network.plan, keep=True))
    return values[last], pulls, last


def _pulled(network: Network, theta: Array, x: Array, d: Array, entries: bool = True) -> tuple[Array, list[Any]]:
    """Run a network backward; return the derivatives by all parameters (NaN if not written) and by the inputs."""
    y, pulls, last = _ran(network, theta, x)
    g = np.full_like(theta, np.nan)
    back = alone(network.backward(pulls, last, d.astype(y.dtype), network.layout.views(g), entries))
    return g, [one for one in back if one is not None] if entries else []


def _check_calls(layer: Layer, network: Network, theta: Array, x: Array) -> None:
    """Assert the properties of each call: shapes, dtype, same bits, independent rows, unchanged arguments."""
    dtype, shape = x.dtype, tuple(network.shapes[network.read_by()])
    used = _ran(network, theta, x, training=False)[0]
    assert used.shape == (len(x), *shape), f"{layer}: output_shape is {shape}, but apply returns {used.shape[1:]}"
    y = _ran(network, theta, x)[0]
    assert {used.dtype, y.dtype} == {dtype}, f"{layer}: {dtype} inputs give {y.dtype} outputs: keep x.dtype"
    assert np.isfinite(y).all() and np.isfinite(used).all(), f"{layer}: outputs are not finite"
    again = _ran(network, theta, x, training=False)[0], _ran(network, theta, x)[0]
    assert (used.tobytes(), y.tobytes()) == tuple(map(np.ndarray.tobytes, again)), (
        f"{layer}: two calls give different bits"
    )
    rows = np.concatenate([_ran(network, theta, x[n : n + 1], training=False)[0] for n in range(len(x))])
    close = np.isclose(used, rows, rtol=1e3 * np.finfo(dtype).eps, atol=1e3 * np.finfo(dtype).eps)
    assert close.all(), f"{layer}: a row's output depends on the batch: {rows[~close][0]}, {used[~close][0]}"
    g, back = _pulled(network, theta, x, np.cos(y))
    names = [name for _, name, _, where in network.layout.slices if np.isnan(g[where]).any()]
    assert not names, f"{layer}: the pull-back must write all of g[{names[0]!r}], and never add to it"
    kinds = {one.dtype for one in back} - {dtype}
    assert not kinds, f"{layer}: for {dtype} inputs the derivatives are {kinds.pop()}: keep x.dtype"
    for one, entry in zip(back, network.entries, strict=False):
        assert one.shape == (len(x), *entry), f"{layer}: inputs of {entry} have a derivative of {one.shape[1:]}"
    less = _pulled(network, theta, x, np.cos(y), entries=False)[0]
    assert g.tobytes() == less.tobytes(), f"{layer}: wants_x=False changes the derivatives of the parameters"


def _check_derivatives(
    layer: Layer, network: Network, theta: Array, x: Array, continuous: Array, tolerance: float
) -> None:
    """Assert that the pull-back agrees with finite differences, for the inputs and for each parameter."""
    rng = rng_for(0, "check", "directions")
    c = rng.normal(size=_ran(network, theta, x)[0].shape)
    g, back = _pulled(network, theta, x, c.copy())
    d_x = np.concatenate([one.reshape(len(x), -1) for one in back], axis=1) if back else np.zeros_like(x)

    def value(of: Array, at: Array) -> float:
        return float((c * _ran(network, of, at)[0]).sum())

    def check(what: str, u: Array, v: Array) -> None:
        slope = (value(theta + STEP * u, x + STEP * v) - value(theta - STEP * u, x - STEP * v)) / (2 * STEP)
        pulled = float(g @ u) + float((d_x * v).sum())
        error = abs(slope - pulled) / max(1.0, abs(slope))
        assert error <= tolerance, (
            f"{layer}: the derivative with respect to {what} is {pulled:.6g}, but finite differences give {slope:.6g}"
        )

    still, g = np.zeros_like(x), np.where(np.isfinite(g), g, 0.0)
    for owner, name, shape, where in network.layout.slices:
        if network.params[owner][name].average is None:
            for _ in range(min(4, math.prod(shape))):
                u = np.zeros_like(theta)
                u[where] = rng.normal(size=math.prod(shape))
                check(f"{name}", u, still)
    if continuous.any():
        for _ in range(4):
            check("the inputs", np.zeros_like(theta), rng.normal(size=x.shape) * continuous)


def check_loss(loss: Loss, outputs: int = 3, *, tolerance: float = 1e-5) -> None:
    """Check a loss on random outputs and targets: shapes, dtype, derivative, and the absence of side effects.

    The derivative with respect to each output is compared with finite differences in float64.  The loss of a row must
    not depend on other rows, the arguments must stay unchanged, and the loss must survive a round trip through JSON.

    Args:
        loss: The loss; its `targets` says what kind of targets to draw.
        outputs: The number of outputs per row.
        tolerance: The largest relative error of a derivative.

    Raises:
        AssertionError: If a check fails; the message says which.

    Example:
        >>> from firesteel.losses import Huber
        >>> check_loss(Huber(0.5))
    """
    _check_json(loss)
    for seed in range(3):
        rng = rng_for(seed, "check", "loss")
        z, y = rng.normal(0, 2, (ROWS, outputs)), _targets(loss, outputs, rng)
        for dtype in DTYPES:
            _check_rows(loss, z.astype(dtype), y.astype(dtype))
        d = loss.rows(z.copy(), y.copy())[2]
        for k in range(outputs):
            step = STEP * np.eye(outputs)[k]
            slopes = (loss.rows(z + step, y.copy())[0] - loss.rows(z - step, y.copy())[0]) / (2 * STEP)
            errors = np.abs(slopes - d[:, k]) / np.maximum(1.0, np.abs(slopes))
            row = int(errors.argmax())
            assert errors[row] <= tolerance, (
                f"{loss}: the derivative with respect to output {k} for z={z[row]}, y={y[row]} is {d[row, k]:.6g}, "
                f"but finite differences give {slopes[row]:.6g}"
            )
        if loss.differences:
            moved = loss.rows(z + 2.0, y + 2.0)[0]
            assert np.allclose(moved, loss.rows(z.copy(), y.copy())[0]), (
                f"{loss}: differences=True, but adding 2 to outputs and targets changes the loss"
            )


def _targets(loss: Loss, outputs: int, rng: np.random.Generator) -> Array:
    """Return random targets, (B, T), of the kind that a loss declares."""
    shape = ROWS, loss.columns(outputs)
    kinds: dict[str, Callable[[], Array]] = {
        "real": lambda: rng.normal(size=shape),
        "unit": lambda: rng.uniform(0.05, 0.95, shape),
        "class": lambda: rng.integers(0, outputs, shape).astype(np.float64),
        "count": lambda: rng.poisson(2.0, shape).astype(np.float64),
        "sign": lambda: rng.choice([-1.0, 1.0], shape),
    }
    assert loss.targets in kinds, f"{loss}: targets = {loss.targets!r} must be one of {', '.join(kinds)}"
    return kinds[loss.targets]()


def _check_rows(loss: Loss, z: Array, y: Array) -> None:
    """Assert the properties of each call of `rows`."""
    before = z.copy(), y.copy()
    found = loss.rows(z, y)
    assert isinstance(found, tuple) and len(found) == 3, f"{loss}: rows must return losses, outputs and derivatives"
    for what, one, shape in zip(
        ("losses", "outputs", "derivatives"), found, (z.shape[:1], z.shape, z.shape), strict=True
    ):
        assert one.shape == shape, f"{loss}: {what} have shape {one.shape}, but must have {shape}"
        assert one.dtype == z.dtype, f"{loss}: for {z.dtype} outputs {what} are {one.dtype}: keep z.dtype"
        assert np.isfinite(one).all(), f"{loss}: {what} are not finite"
    assert all(a.tobytes() == b.tobytes() for a, b in zip(before, (z, y), strict=True)), (
        f"{loss}: rows writes to z or y"
    )
    for n in range(len(z)):
        for whole, one in zip(found, loss.rows(z[n : n + 1].copy(), y[n : n + 1].copy()), strict=True):
            close = np.allclose(whole[n], one[0], rtol=1e3 * np.finfo(z.dtype).eps, atol=1e3 * np.finfo(z.dtype).eps)
            assert close, f"{loss}: a row's loss depends on the other rows: {whole[n]} in a batch, {one[0]} alone"


def check_metric(metric: Metric, outputs: int = 3, *, loss: str | Loss = "mse") -> None:
    """Check a metric on random outputs and targets: its sums must add up over rows and respect weights.

    Args:
        metric: The metric.
        outputs: The number of outputs per row.
        loss: The loss of the network being measured; it decides which outputs and targets to draw.

    Raises:
        AssertionError: If a check fails; the message says which.
        ConfigError: If the metric ranks rows, so that it is not a sum over rows, or does not fit (`config-metric`).

    Example:
        >>> from firesteel.metrics import R2Score
        >>> check_metric(R2Score())
    """
    _check_json(metric)
    of: Loss = losses.get(loss)
    metric = metric.suited(of, outputs)
    if isinstance(metric, Ranking):
        raise ConfigError(f"{metric} is not a sum over rows", code="config-metric")
    rng, size = rng_for(0, "check", "metric"), metric.size(outputs)
    y = _targets(of, outputs, rng)
    p, w = of.rows(rng.normal(size=(ROWS, outputs)), y.copy())[1], rng.integers(1, 4, ROWS).astype(np.float64)
    before = p.copy(), y.copy(), w.copy()
    sums = metric.sums(p, y, w)
    assert sums.shape == (size,), f"{metric}: sums have shape {sums.shape}, but size() says {(size,)}"
    assert sums.dtype == np.float64, f"{metric}: sums are {sums.dtype}, but must be float64"
    given = zip(before, (p, y, w), strict=True)
    assert all(a.tobytes() == b.tobytes() for a, b in given), f"{metric}: sums writes to p, y or w"

    def check(what: str, other: Array) -> None:
        assert np.allclose(sums, other, rtol=1e-9, atol=1e-12), f"{metric}: {what}: {sums} against {other}"

    check(
        "the sums of two parts of the rows do not add up",
        metric.sums(p[:3], y[:3], w[:3]) + metric.sums(p[3:], y[3:], w[3:]),
    )
    each = np.repeat(np.arange(ROWS), w.astype(int))
    check("a row of weight 2 does not count as two rows", metric.sums(p[each], y[each], np.ones(len(each))))
    more, still = np.arange(ROWS + 2) % ROWS, np.append(w, [0.0, 0.0])
    check("rows of weight 0 count", metric.sums(p[more], y[more], still))
    low = metric.sums(p.astype(np.float32), y.astype(np.float32), w)
    assert low.dtype == np.float64, f"{metric}: for float32 outputs sums are {low.dtype}, but must be float64"
    value = metric.result(sums, np.float64(w.sum()))
    assert isinstance(value, float | list), (
        f"{metric}: result returns {type(value).__name__}: return a float or a list"
    )
    json.dumps(value)
