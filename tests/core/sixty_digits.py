"""What activations, losses and optimisers would give in arithmetic of 60 digits, and how far ours are from it.

A formula here is a list of terms whose sum is the true value.  Where there are several, they are of both signs and
may cancel, and an error is measured against the largest of them; where there is one, against the value itself.
`python -m tests.core.sixty_digits` prints the table of docs/reliability.md.
"""

import functools
import itertools

import mpmath
import numpy as np
from mpmath import mpf

from firesteel.core.layers import ACTIVATIONS, ELU, ReLU
from firesteel.core.layers.activation import Celu, Softmax
from firesteel.core.losses import (
    EPSILON,
    LOSSES,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    Huber,
    Quantile,
    SparseCategoricalCrossentropy,
    Standardized,
)
from firesteel.core.optimizers import LBFGS, OPTIMIZERS, SGD, Adam, RMSprop

mpmath.mp.dps = 60
DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
KINKS = [-3.0, -1.0, 0.0, 1.0, 3.0, 6.0, 0.46875 * 2**0.5, 4 * 2**0.5, -1.2784645427610738, -1.1924351, -0.7517915]
"""Where activations bend, change their formula or are level."""


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def softplus(x):
    return mpmath.log1p(mpmath.exp(x))


def normal(x):
    return mpf(x > 0) if abs(x) > 1000 else mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def density(x):
    return mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)


def elu(op, x):
    scale = mpf(getattr(op, "scale", 1))
    below = scale * mpf(op.alpha)
    return [scale * x if x > 0 else below * mpmath.expm1(x)], [scale if x > 0 else below * mpmath.exp(x)]


def mish(op, x):
    t = mpmath.tanh(softplus(x))
    return [x * t], [t, x * mpmath.sech(softplus(x)) ** 2 * sigmoid(x)]


def rectify(op, x):
    if x <= op.threshold:
        return [mpf(op.negative_slope) * (x - mpf(op.threshold))], [mpf(op.negative_slope)]
    cut = op.max_value is not None and x >= op.max_value
    return [mpf(op.max_value) if cut else x], [mpf(not cut)]


def celu(op, x):
    alpha = mpf(op.alpha)
    return [x if x > 0 else alpha * mpmath.expm1(x / alpha)], [mpf(1) if x > 0 else mpmath.exp(x / alpha)]


def squareplus(op, x):
    root = mpmath.sqrt(x * x + mpf(op.b))
    y = mpf(op.b) / 2 / (root - x) if x < 0 else (x + root) / 2
    return [y], [y / root]


def hard_silu(op, x):
    slopes = [x / 3, mpf(1) / 2] if abs(x) <= 3 else [mpf(x > 0)]
    return [x * min(max(x + 3, mpf(0)), mpf(6)) / 6], slopes


CURVES = {
    "Celu": celu,
    "ELU": elu,
    "Exponential": lambda op, x: ([mpmath.exp(x)], [mpmath.exp(x)]),
    "Gelu": lambda op, x: ([x * normal(x)], [normal(x), x * density(x)]),
    "HardSigmoid": lambda op, x: ([min(max(x + 3, mpf(0)), mpf(6)) / 6], [mpf(abs(x) < 3) / 6]),
    "HardShrink": lambda op, x: ([x * (abs(x) > op.threshold)], [mpf(abs(x) > op.threshold)]),
    "HardSilu": hard_silu,
    "HardTanh": lambda op, x: ([min(max(x, mpf(-1)), mpf(1))], [mpf(abs(x) < 1)]),
    "LogSigmoid": lambda op, x: ([-softplus(-x)], [sigmoid(-x)]),
    "Mish": mish,
    "LeakyReLU": rectify,
    "ReLU": rectify,
    "Relu": lambda op, x: ([max(x, mpf(0))], [mpf(x > 0)]),
    "Selu": elu,
    "Sigmoid": lambda op, x: ([sigmoid(x)], [sigmoid(x) * sigmoid(-x)]),
    "Silu": lambda op, x: ([x * sigmoid(x)], [sigmoid(x), x * sigmoid(x) * sigmoid(-x)]),
    "SoftShrink": lambda op, x: (
        [mpmath.sign(x) * max(abs(x) - mpf(op.threshold), mpf(0))],
        [mpf(abs(x) > op.threshold)],
    ),
    "Squareplus": squareplus,
    "Softplus": lambda op, x: ([softplus(x)], [sigmoid(x)]),
    "Softsign": lambda op, x: ([x / (1 + abs(x))], [1 / (1 + abs(x)) ** 2]),
    "Tanh": lambda op, x: ([mpmath.tanh(x)], [mpmath.sech(x) ** 2]),
}
"""Value and slope, by the name of the op."""
ACTIVATION_SAMPLES = {name: op for name, op in ACTIVATIONS.items() if op} | {
    "relu, leaky": ReLU(2.0, 0.5, 0.75),
    "elu, narrow": ELU(1e-3),
    "celu, narrow": Celu(1e-3),
}


def numbers(dtype, count):
    """Some `count` numbers over all that the dtype holds but denormals: all sizes, both signs, around kinks."""
    info = np.finfo(dtype)
    low, high = np.log10(float(info.tiny)), np.log10(float(info.max))
    top = 120.0 if dtype == "float32" else 760.0
    rng = np.random.default_rng(1)
    with np.errstate(over="ignore"):
        size = 10 ** np.linspace(low, high, count // 4)
    around = (np.array(KINKS)[:, None] * (1 + rng.uniform(-1, 1, 6) * [1e-1, 1e-2, 1e-4, 1e-6, 1e-7, 1e-12])).ravel()
    steps = [np.nextafter(np.array(KINKS, dtype), side, dtype=dtype) for side in (np.inf, -np.inf)]
    ends = [info.tiny, info.max, 1 - info.epsneg, 1 + info.eps]
    parts = [size, -size, np.linspace(-top, top, count // 3), rng.normal(0, 3, count // 6), KINKS, around, *steps]
    with np.errstate(over="ignore"):
        found = np.concatenate([*parts, ends, np.negative(ends)]).astype(dtype)
    found = found[np.isfinite(found)]
    return np.unique(found[(np.abs(found) >= info.tiny) | (found == 0)])


def off(found, terms, size=None):
    """How far a number is from the sum of these terms, as a share of it, or of the largest one where several are.

    size: what the error is a share of, if it is not that.  A sum beyond the range must be infinite, and one below it
    (a denormal) must be no farther away than the smallest number that is none.
    """
    info, true = np.finfo(found.dtype), mpmath.fsum(terms)
    most, least = mpf(float(info.max)), mpf(float(info.tiny))
    size = size or max(abs(term) for term in terms)
    if abs(true) > most * (1 - mpf(TOLERANCE[found.dtype.name])) and np.isinf(found):
        return 0.0 if (found > 0) == (true > 0) else np.inf
    if size > most and not np.isfinite(found):
        return 0.0  # infinity less infinity
    if not np.isfinite(found):
        return np.inf
    gap = abs(mpf(float(found)) - true)
    return float(gap / size) if size >= least else 0.0 if gap <= least else np.inf


def worst(found, terms, at):
    """The largest error, and where it is."""
    errors = [off(number, some) for number, some in zip(found, terms, strict=True)]
    number = int(np.argmax(errors))
    return errors[number], at[number]


def curve(name, dtype, count):
    """Worst errors of an activation that bends each value by itself: (what, error, where)."""
    op, x = ACTIVATION_SAMPLES[name], numbers(dtype, count)
    if type(op).__name__ not in CURVES:
        yield from whole_rows(op, dtype, count // 4)
        return
    with np.errstate(over="ignore"):
        y, pull = op.apply({}, x[:, None], None)
        slope = pull(np.ones_like(y), {}, True)
    true = [CURVES[type(op).__name__](op, mpf(float(value))) for value in x]
    yield "value", *worst(y[:, 0], [value for value, _ in true], x)
    yield "slope", *worst(slope[:, 0], [slope for _, slope in true], x)


def whole_rows(op, dtype, count):
    """Likewise of one that takes rows: values, and the derivatives of each output by each input."""
    z = logits(dtype, count)
    y, errors = op.apply({}, z, None)[0], {"value": [], "slope": []}
    slopes = np.stack([op.apply({}, z, None)[1](unit, {}, True) for unit in units(z)])
    for row, values, derivatives in zip(z, y, slopes.swapaxes(0, 1), strict=True):
        p, log_p = softmax(row)
        true = p if isinstance(op, Softmax) else log_p
        errors["value"] += [(off(value, [t]), row) for value, t in zip(values, true, strict=True)]
        for k, j in itertools.product(range(len(row)), repeat=2):
            true = mpmath.fsum(p[:k] + p[k + 1 :]) if j == k else -p[j]
            errors["slope"].append((off(derivatives[k, j], [p[k] * true if isinstance(op, Softmax) else true]), row))
    for what, found in errors.items():
        yield what, *max(found, key=lambda pair: pair[0])


def units(z):
    """For each output, the derivative of it alone in every row."""
    for k in range(z.shape[1]):
        unit = np.zeros_like(z)
        unit[:, k] = 1
        yield unit


def softmax(row):
    """The probabilities of a row of logits, and their logarithms."""
    z = [mpf(float(value)) for value in row]
    top = z.index(max(z))
    e = [mpmath.exp(value - z[top]) for value in z]
    others = mpmath.fsum(e[:top] + e[top + 1 :])
    total, log = 1 + others, mpmath.log1p(others)
    return [value / total for value in e], [value - max(z) - log for value in z]


def logits(dtype, count):
    """Rows of three logits: near each other and far apart, small and huge."""
    rng = np.random.default_rng(2)
    top = 86 if dtype == "float32" else 705
    z = rng.normal(size=(count, 3)) * 10 ** rng.uniform(-6, np.log10(top / 4), (count, 1))
    z[::4] += 10 ** rng.uniform(-3, 4, (len(z[::4]), 1))
    z[1::4] /= 10
    z[1::4, 0] += rng.uniform(0, 0.9 * top, len(z[1::4]))
    ends = [[0, 0, 0], [top, 0, -5], [-1e30, 0, 1], [1e30, 0, 1], [20, 0, 0], [-20, 0, 0], [17, 17, 0]]
    return np.concatenate([z, np.array(ends, float)]).astype(dtype)


# Losses: of each output, or of a row.  z: what the network gives.  y: the target.  least: 1e-7, as the dtype has it.


def binary(loss, z, y, least):
    share = mpf(loss.label_smoothing)
    y = y * (1 - share) + share / 2
    return [max(z, mpf(0)) * (1 - y) - min(z, mpf(0)) * y + softplus(-abs(z))], [
        (1 - y) * sigmoid(z),
        -y * sigmoid(-z),
    ]


def binary_focal(loss, z, y, least):
    share = mpf(loss.label_smoothing)
    yes, no = (part * (1 - share) + share / 2 for part in (y, 1 - y))
    p, rest = sigmoid(z), sigmoid(-z)
    cost, lack = yes * softplus(-z) + no * softplus(z), yes * rest + no * p
    alpha = mpf(loss.alpha)
    weight = lack ** mpf(loss.gamma) * (yes * alpha + no * (1 - alpha) if loss.apply_class_balancing else 1)
    bend = weight * mpf(loss.gamma) * cost * p * rest / lack
    return [weight * cost], [bend * no, -bend * yes, weight * no * p, -weight * yes * rest]


def huber(loss, z, y, least):
    r, delta = z - y, mpf(loss.delta)
    near = max(min(r, delta), -delta)
    return [near * (r - near / 2)], [near]


def poisson(loss, z, y, least):
    rate = max(z, mpf(0))
    moved = rate + least
    return [rate, -y * mpmath.log(moved)], [(rate - y) / moved, least / moved] if z >= 0 else [mpf(0)]


def divergence(loss, z, y, least):
    t, p = (min(max(value, least), mpf(1)) for value in (y, z))
    return [t * mpmath.log(t / p)], [-t / p if p == z else mpf(0)]


def hinge(loss, z, y, least):
    sign = y or mpf(-1)
    return [max(1 - sign * z, mpf(0))], [-sign * (sign * z < 1)]


def squared_hinge(loss, z, y, least):
    sign = y or mpf(-1)
    lack = max(1 - sign * z, mpf(0))
    return [lack**2], [-2 * sign * lack]


def quantile(loss, z, y, least):
    r, q = z - y, mpf(loss.q)
    slope = (1 - q) * (r > 0) - q * (r < 0)
    return [r * slope], [slope]


def log_cosh(loss, z, y, least):
    r = abs(z - y)
    # cosh r - 1 = 2 sinh(r / 2)^2, and far out exp(-2 r) is next to nothing
    value = (
        r - mpmath.log(2) + mpmath.log1p(mpmath.exp(-2 * r)) if r > 1 else mpmath.log1p(2 * mpmath.sinh(r / 2) ** 2)
    )
    return [value], [mpmath.tanh(z - y)]


def percentage(loss, z, y, least):
    size = max(abs(y), least)
    return [100 * abs(z - y) / size], [100 * mpmath.sign(z - y) / size]


def logarithmic(loss, z, y, least):
    p, t = max(z, least), max(y, least)
    d = mpmath.log1p(p) - mpmath.log1p(t)
    return [d * d], [2 * d / (1 + p) if z >= least else mpf(0)]


def standardized(loss, z, y, least):
    """Of squares: the square of a difference of two numbers that were rounded."""
    mean, factor = mpf(loss.mean[0]), 1 / mpf(loss.deviation[0])
    a, b = (z - mean) * factor, (y - mean) * factor
    return [a * a, -2 * a * b, b * b], [2 * factor * a, -2 * factor * b]


ELEMENTS = {
    "BinaryCrossentropy": binary,
    "BinaryFocalCrossentropy": binary_focal,
    "HalfSumOfSquares": lambda loss, z, y, least: ([(z - y) ** 2 / 2], [z - y]),
    "Hinge": hinge,
    "Huber": huber,
    "KLDivergence": divergence,
    "LogCosh": log_cosh,
    "MeanAbsoluteError": lambda loss, z, y, least: ([abs(z - y)], [mpmath.sign(z - y)]),
    "MeanAbsolutePercentageError": percentage,
    "MeanSquaredLogarithmicError": logarithmic,
    "MeanSquaredError": lambda loss, z, y, least: ([(z - y) ** 2], [2 * (z - y)]),
    "Poisson": poisson,
    "Quantile": quantile,
    "SquaredHinge": squared_hinge,
    "Standardized": standardized,
}
"""Value and slope of each output's part, by the name of the loss."""


def categorical(loss, z, y, least):
    """Value and derivatives of a row: its logits, and a share for each class."""
    p, log_p = softmax(z)
    share, mass = mpf(loss.label_smoothing), len(y)
    y = [value * (1 - share) + share / mass for value in y]
    value = [-mpmath.fsum(share * log for share, log in zip(y, log_p, strict=True))]
    others = [mpmath.fsum(p[:k] + p[k + 1 :]) for k in range(mass)]
    if sorted(y) == [0, 0, 1]:
        return value, [[-others[k] if y[k] else p[k]] for k in range(mass)]
    return value, [[p[k] * mpmath.fsum(y), -y[k]] for k in range(mass)]


def categorical_focal(loss, z, y, least):
    """Likewise, with a power of what each probability lacks."""
    p, log_p = softmax(z)
    share, gamma, classes = mpf(loss.label_smoothing), mpf(loss.gamma), range(len(y))
    alpha = [mpf(one) for one in loss.alpha * (len(y) if len(loss.alpha) == 1 else 1)]
    y = [alpha[k] * (y[k] * (1 - share) + share / len(y)) for k in classes]
    rest = [mpmath.fsum(p[:k] + p[k + 1 :]) for k in classes]
    h = [-y[k] * rest[k] ** gamma * (1 - gamma * p[k] * log_p[k] / rest[k]) for k in classes]
    value = mpmath.fsum(-y[k] * rest[k] ** gamma * log_p[k] for k in classes)
    return [value], [[h[k] * rest[k], -p[k] * mpmath.fsum(h[:k] + h[k + 1 :])] for k in classes]


def generalized(loss, z, y, least):
    """Likewise, of a power of the class's probability."""
    p, log_p = softmax(z)
    own, q = y.index(1), mpf(loss.q)
    power, others = mpmath.exp(q * log_p[own]), mpmath.fsum(p[:own] + p[own + 1 :])
    return [-mpmath.expm1(q * log_p[own]) / q], [
        [-power * others if k == own else power * p[k]] for k in range(len(y))
    ]


def cosine(loss, z, y, least):
    """Likewise of the angle between the two."""
    (u, _), (v, length) = (
        ([value / max(norm, least) for value in x], norm)
        for x, norm in ((x, mpmath.sqrt(mpmath.fsum(value**2 for value in x))) for x in (y, z))
    )
    parts = [a * b for a, b in zip(u, v, strict=True)]
    along = [[part * value for part in parts] if length > least else [] for value in v]
    slopes = [[term / max(length, least) for term in (-a, *terms)] for a, terms in zip(u, along, strict=True)]
    return [-part for part in parts], slopes


def categorical_hinge(loss, z, y, least):
    """Likewise of the distance between the share's output and the largest other one."""
    others = [(1 - b) * a for a, b in zip(z, y, strict=True)]
    top = others.index(max(others))
    terms = [mpf(1), others[top], *(-a * b for a, b in zip(z, y, strict=True))]
    if mpmath.fsum(terms) <= 0:
        return [mpf(0)], [[mpf(0)] for _ in y]
    return terms, [[-b, 1 - b] if k == top else [-b] for k, b in enumerate(y)]


ROWS = {
    "CategoricalFocalCrossentropy": categorical_focal,
    "CategoricalGeneralizedCrossEntropy": generalized,
    "CategoricalHinge": categorical_hinge,
    "CosineSimilarity": cosine,
}
"""Value and derivatives of a row, by the name of the loss; of others, `categorical`."""


LOSS_SAMPLES = LOSSES | {
    "binary_crossentropy, from_logits": BinaryCrossentropy(from_logits=True),
    "binary_crossentropy, smoothed": BinaryCrossentropy(label_smoothing=0.2),
    "binary_crossentropy, hardly smoothed": BinaryCrossentropy(label_smoothing=1e-6),
    "categorical_crossentropy, from_logits": CategoricalCrossentropy(from_logits=True),
    "categorical_crossentropy, smoothed": CategoricalCrossentropy(label_smoothing=0.2),
    "sparse_categorical_crossentropy, from_logits": SparseCategoricalCrossentropy(from_logits=True),
    "sparse_categorical_crossentropy, smoothed": SparseCategoricalCrossentropy(label_smoothing=0.2),
    "binary_focal_crossentropy, balanced and smoothed": BinaryFocalCrossentropy(True, 0.3, 0.5, label_smoothing=0.1),
    "categorical_focal_crossentropy, smoothed": CategoricalFocalCrossentropy((1, 0.2, 3), 0.5, label_smoothing=0.1),
    "categorical_generalized_cross_entropy, low": CategoricalGeneralizedCrossEntropy(0.1),
    "huber, narrow": Huber(1e-3),
    "quantile, high": Quantile(0.999999),
    "quantile, low": Quantile(1e-6),
    "standardized, far": Standardized("mse", 1000.0, 3.0),
}


def outputs_and_targets(loss, dtype, count):
    """Pairs of an output and a target over what a loss takes: z (n,), y (n,)."""
    rng, z = np.random.default_rng(3), numbers(dtype, count)
    if loss.natural == "softmax":
        z = np.concatenate([z, rng.random(count), 1 - 10 ** rng.uniform(-16, 0, count), [1e-7, 0, 1]]).astype(dtype)
    with np.errstate(over="ignore"):
        near = z * (1 + 10 ** rng.uniform(-15, 0, len(z)) * rng.choice([-1, 1], len(z))).astype(dtype)
    near[~np.isfinite(near)] = 1
    other = rng.permutation(z)
    chosen = {
        "real": [0, 1, near, near, other],
        "unit": [0, 1, 0.5, 1e-3, 1 - 1e-3, 1e-7, rng.random(len(z)), np.clip(near, 0, 1)],
        "count": [0, 1, 2, 7, 1e4, 0.5, np.clip(near, 0, 1e9)],
        "sign": [-1, 1, 0],
    }[loss.targets]
    y = np.stack([np.broadcast_to(part, z.shape) for part in chosen]).astype(dtype)
    return z, y[rng.integers(len(chosen), size=len(z)), np.arange(len(z))]


def loss(name, dtype, count):
    """Worst errors of a loss: (what, error, where)."""
    given = LOSS_SAMPLES[name]
    if type(given).__name__ not in ELEMENTS:
        yield from loss_of_rows(given, dtype, count // 4)
        return
    z, y = outputs_and_targets(given, dtype, count)
    with np.errstate(over="ignore", invalid="ignore"):
        values, _, slopes = given.rows(z[:, None], y[:, None])
    formula, least = ELEMENTS[type(given).__name__], mpf(float(np.dtype(dtype).type(EPSILON)))
    true = [formula(given, mpf(float(a)), mpf(float(b)), least) for a, b in zip(z, y, strict=True)]
    where = list(zip(z, y, strict=True))
    yield "value", *worst(values, [value for value, _ in true], where)
    yield "slope", *worst(slopes[:, 0], [slope for _, slope in true], where)


def loss_of_rows(given, dtype, count):
    """Likewise of one whose outputs share a sum: three logits a row."""
    rng, z = np.random.default_rng(4), logits(dtype, count)
    labels = rng.integers(0, 3, len(z))
    shares = np.eye(3)[labels]
    if given.targets == "unit":
        shares[::2] = rng.dirichlet([1, 1, 1], len(shares[::2]))
    y = labels[:, None] if given.targets == "class" else shares
    values, _, slopes = given.rows(z, y.astype(dtype))
    shares = shares.astype(dtype)
    formula, least = ROWS.get(type(given).__name__, categorical), mpf(float(np.dtype(dtype).type(EPSILON)))
    pairs = zip(z.tolist(), shares.tolist(), strict=True)
    true = [formula(given, list(map(mpf, row)), list(map(mpf, share)), least) for row, share in pairs]
    where = list(zip(z, shares, strict=True))
    yield "value", *worst(values, [value for value, _ in true], where)
    flat = [terms for _, row in true for terms in row]
    yield "slope", *worst(slopes.reshape(-1), flat, [at for at in where for _ in range(3)])


# Optimisers: the step of each as its paper has it, of one parameter, in 60 digits; with the size of the largest term


class Exact:
    """State and step t of one parameter: moments by name, and of each that may cancel the size of its terms too."""

    def __init__(self, optimizer):
        self.o, self.s = optimizer, {}

    def mean(self, name, value, kept, size=None):
        """The running mean of values, and of their sizes."""
        old, wide = self.s.get(name, (mpf(0), mpf(0)))
        kept = mpf(kept)
        new = kept * old + (1 - kept) * value, kept * wide + (1 - kept) * (abs(value) if size is None else size)
        self.s[name] = new
        return new

    def step(self, g, t):
        """What is added to theta, and the size of its terms."""
        return getattr(self, type(self.o).__name__.lower())(g, t, mpf(self.o.rate(t)))

    def sgd(self, g, t, rate):
        v, size = self.s.get("v", (mpf(0), mpf(0)))
        mu = mpf(self.o.momentum)
        v, size = self.s["v"] = mu * v - rate * g, mu * size + rate * abs(g)
        return (mu * v - rate * g, mu * size + rate * abs(g)) if self.o.nesterov else (v, size)

    def rmsprop(self, g, t, rate):
        v, _ = self.mean("v", g * g, self.o.rho)
        below, lost = v + mpf(self.o.epsilon), mpf(1)
        if self.o.centered:
            a, size = self.mean("a", g, self.o.rho)
            lost = (below + size * size) / (below - a * a)
            below -= a * a
        d = rate * g / mpmath.sqrt(below)
        if not self.o.momentum:
            return -d, abs(d) * lost
        old, size = self.s.get("d", (mpf(0), mpf(0)))
        d, size = self.s["d"] = mpf(self.o.momentum) * old + d, mpf(self.o.momentum) * size + abs(d) * lost
        return -d, size

    def adagrad(self, g, t, rate):
        v = self.s["v"] = self.s.get("v", mpf(self.o.initial_accumulator_value)) + g * g
        step = -rate * g / mpmath.sqrt(v + mpf(self.o.epsilon))
        return step, abs(step)

    def adadelta(self, g, t, rate):
        epsilon = mpf(self.o.epsilon)
        v, _ = self.mean("v", g * g, self.o.rho)
        u, _ = self.s.get("u", (mpf(0), mpf(0)))
        d = g * mpmath.sqrt(u + epsilon) / mpmath.sqrt(v + epsilon)
        self.mean("u", d * d, self.o.rho)
        return -rate * d, rate * abs(d)

    def adam(self, g, t, rate):
        b1, b2 = mpf(self.o.beta_1), mpf(self.o.beta_2)
        m, size = self.mean("m", g, b1)
        v, _ = self.mean("v", g * g, b2)
        if self.o.amsgrad:
            v = self.s["top"] = max(v, self.s.get("top", mpf(0)))
        scale = rate * mpmath.sqrt(1 - b2**t) / (1 - b1**t) / (mpmath.sqrt(v) + mpf(self.o.epsilon))
        return -scale * m, scale * size

    adamw = adam

    def adamax(self, g, t, rate):
        b1 = mpf(self.o.beta_1)
        m, size = self.mean("m", g, b1)
        u = self.s["u"] = max(mpf(self.o.beta_2) * self.s.get("u", mpf(0)), abs(g))
        scale = rate / (1 - b1**t) / (u + mpf(self.o.epsilon))
        return -scale * m, scale * size

    def nadam(self, g, t, rate):
        b1, b2 = mpf(self.o.beta_1), mpf(self.o.beta_2)
        m, size = self.mean("m", g, b1)
        v, _ = self.mean("v", g * g, b2)
        now, ahead, before = warming(b1, t), warming(b1, t + 1), warmed(b1, t)
        parts = ahead / (1 - before * ahead), (1 - now) / (1 - before)
        scale = rate / (mpmath.sqrt(v / (1 - b2**t)) + mpf(self.o.epsilon))
        return -scale * (parts[0] * m + parts[1] * g), scale * (parts[0] * size + parts[1] * abs(g))

    def lion(self, g, t, rate):
        old, _ = self.s.get("m", (mpf(0), mpf(0)))
        step = -rate * mpmath.sign(mpf(self.o.beta_1) * old + (1 - mpf(self.o.beta_1)) * g)
        self.mean("m", g, self.o.beta_2)
        return step, rate


def warming(b1, t):
    """mu_t of Nadam."""
    return b1 * (1 - mpf("0.96") ** t / 2)


@functools.cache
def warmed(b1, t):
    """mu_1 ... mu_t, which is 0 in all digits after some thousand."""
    return mpmath.fprod(warming(b1, n) for n in range(1, t + 1)) if t < 3000 else mpf(0)


OPTIMIZER_SAMPLES = OPTIMIZERS | {
    "sgd, momentum": SGD(momentum=0.9),
    "sgd, nesterov": SGD(momentum=0.9, nesterov=True),
    "rmsprop, momentum": RMSprop(momentum=0.9),
    "rmsprop, centered": RMSprop(centered=True),
    "adam, amsgrad": Adam(amsgrad=True),
}
STARTS, STEPS = (1, 1000, 10**6), 10


def gradients(dtype, count):
    """Gradients of some steps, (STEPS, count): of all sizes whose squares add up, of both signs."""
    rng = np.random.default_rng(5)
    low, high = (-37, 18) if dtype == "float32" else (-307, 150)
    g = (
        10 ** np.linspace(low, high, count)
        * rng.uniform(0.5, 2, (STEPS, count))
        * rng.choice([-1, 1], (STEPS, count))
    )
    return g.astype(dtype)


def steps(name, dtype, count):
    """Worst errors of how far an optimiser goes from 0 in one step and in several: (what, error, where)."""
    optimizer, g, found = OPTIMIZER_SAMPLES[name], gradients(dtype, count), []
    if optimizer.searches:
        yield from lbfgs(dtype)
        return
    for start in STARTS:
        theta, slots = np.zeros(count, dtype), np.zeros((len(optimizer.slots), count), dtype)
        exact, true, size = [Exact(optimizer) for _ in range(count)], [mpf(0)] * count, [mpf(0)] * count
        for number in range(STEPS):
            optimizer.step(theta, g[number].copy(), slots, start + number)
            for at, one in enumerate(exact):
                moved, terms = one.step(mpf(float(g[number, at])), start + number)
                true[at], size[at] = true[at] + moved, size[at] + terms
                if number in (0, STEPS - 1):
                    found.append(
                        (number, off(theta[at], [true[at]], size[at]), (start, g[: number + 1, at].tolist()))
                    )
    for what, last in (("value", 0), ("slope", STEPS - 1)):
        yield what, *max((error, at) for number, error, at in found if number == last)


def lbfgs(dtype):
    """Likewise of L-BFGS: its direction, as a whole, without a memory and with one, at gradients of all sizes."""
    rng, optimizer, found = np.random.default_rng(6), LBFGS(memory=3), {"value": [], "slope": []}
    for size in 10.0 ** np.linspace(*((-30, 30) if dtype == "float32" else (-140, 140)), 21):
        slots = np.zeros((len(optimizer.slots), 4), dtype)
        for what in found:
            g = (rng.normal(size=4) * size).astype(dtype)
            ours, true = optimizer.direction(slots, g), two_loops(optimizer, slots, g)
            gap = [abs(mpf(float(a)) - b) for a, b in zip(ours, true, strict=True)]
            found[what].append((float(max(gap) / max(map(abs, true))), size))
            for _ in range(3):
                s = rng.normal(size=4)
                y = s * [1, 2, 3, 0.5] + rng.normal(0, 0.1, 4)
                optimizer.remember(slots, (s * size**0.5).astype(dtype), (y * size**0.5).astype(dtype))
    for what, errors in found.items():
        yield what, *max(errors)


def two_loops(optimizer, slots, g):
    """Nocedal and Wright 2006, algorithm 7.4, with their scaling, or without pairs at most one long in all."""
    g, *rows = ([mpf(float(value)) for value in row] for row in (g, *slots[1:]))
    pairs = [pair for pair in zip(rows[: optimizer.memory], rows[optimizer.memory :], strict=True) if any(pair[1])]
    if not pairs:
        return [-value * min(mpf(1), 1 / mpmath.fsum(map(abs, g))) for value in g]
    q, shares = g, []
    for s, y in pairs:
        shares.append(mpmath.fdot(s, q) / mpmath.fdot(s, y))
        q = [a - shares[-1] * b for a, b in zip(q, y, strict=True)]
    s, y = pairs[0]
    q = [value * mpmath.fdot(s, y) / mpmath.fdot(y, y) for value in q]
    for (s, y), share in zip(reversed(pairs), reversed(shares), strict=True):
        share -= mpmath.fdot(y, q) / mpmath.fdot(s, y)
        q = [a + share * b for a, b in zip(q, s, strict=True)]
    return [-value for value in q]


MEASURED = {
    "activation": (ACTIVATION_SAMPLES, curve),
    "loss": (LOSS_SAMPLES, loss),
    "optimizer": (OPTIMIZER_SAMPLES, steps),
}
"""What is measured, by kind: samples by name, and what measures one."""
MANY = 5000


def names(kind):
    """The names of what is measured; of those that mean the same, the longest."""
    samples = MEASURED[kind][0]
    return sorted({samples[name]: name for name in sorted(samples, key=len)}.values())


def errors(kind, name, count):
    """The worst errors of one: dtype, "value" or "slope" (of an optimiser: one step, or several), error, where."""
    for dtype in DTYPES:
        for found in MEASURED[kind][1](name, dtype, count if kind != "optimizer" else count // 10):
            yield dtype, *found


def table():
    """The lines of the table in docs/reliability.md, without its head; errors are rounded up."""
    for kind in MEASURED:
        for name in names(kind):
            found = [error for _, _, error, _ in errors(kind, name, MANY if kind != "optimizer" else MANY // 10)]
            yield f"| {kind} | {name} | {' | '.join(map(rounded, found))} |"


def rounded(error):
    """Two digits of it, rounded up."""
    return f"{float(mpmath.nstr(mpf(error) * mpf('1.05'), 2)):.1e}".replace("e-0", "e-")


if __name__ == "__main__":
    print(*table(), sep="\n")
