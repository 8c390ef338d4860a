"""How weights are drawn before the first update: frozen numbers with one method, `draw`.

Defaults and variants are Keras's: the glorot, he and lecun normals are cut at two standard deviations and widened
to keep their variance.  Which stream feeds a draw is decided in `network.py`.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from firesteel.core.elsewhere import unknown
from firesteel.core.seeds import rng_for
from firesteel.core.spec import Spec, choice, number, resolver, whole
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
]


class Initializer(Spec):
    """Base of initialisers."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of `shape`; a matrix is (fan in, fan out), a kernel (k, l, channels in, out)."""
        raise NotImplementedError

    def __call__(self, shape: int | Sequence[int], dtype: str = "float32", seed: int = 0) -> Array:
        """Return values of a shape, the same ones for the same seed.

        Args:
            shape: The shape, or the length of a vector.
            dtype: "float32" or "float64".
            seed: What they are drawn from, of at least 0.

        Raises:
            ConfigError: For anything else.

        >>> Constant(0.5)((2,))
        array([0.5, 0.5], dtype=float32)
        """
        given, start = shape if isinstance(shape, Sequence) else [shape], whole(seed)
        sides = tuple([side for side in map(whole, given) if side is not None and side >= 0])
        if len(sides) < len(given):
            raise ConfigError(f"shape={shape!r}: it must be integers of at least 0", code="config-value")
        if dtype not in ("float32", "float64") or start is None or start < 0:
            raise ConfigError(
                f"dtype={dtype!r}, seed={seed!r}: dtype must be 'float32' or 'float64', and seed an integer of at "
                "least 0",
                code="config-value",
            )
        return self.draw(rng_for(start, "initializer"), sides).astype(dtype)


class Zeros(Initializer):
    """All zeros: the usual start of biases.

    >>> Zeros().draw(np.random.default_rng(0), (2,))
    array([0., 0.])
    """

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape)


class Ones(Initializer):
    """All ones.

    >>> Ones().draw(np.random.default_rng(0), (2,))
    array([1., 1.])
    """

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.ones(shape)


class Constant(Initializer):
    """One value everywhere.

    >>> Constant(0.5).draw(np.random.default_rng(0), (2,))
    array([0.5, 0.5])
    """

    value: float = number(0.0, why="it is the value of every weight")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.full(shape, self.value)


class IdentityInitializer(Initializer):
    """gain times the identity matrix, with zeros around it where the matrix is not square.

    Raises ConfigError for an array that is no matrix.

    >>> IdentityInitializer(2.0).draw(np.random.default_rng(0), (2, 3))
    array([[2., 0., 0.],
           [0., 2., 0.]])
    """

    gain: float = number(1.0, why="it is the number on the diagonal")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return self.gain * np.eye(*_matrix(self, shape))


def _matrix(initializer: Initializer, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the shape of a matrix.  Raises ConfigError for any other."""
    if len(shape) != 2:
        raise ConfigError(
            f"{type(initializer).__name__} draws matrices, and this array has {len(shape)} "
            f"{'axis' if len(shape) == 1 else 'axes'}: give biases another initializer",
            code="config-shape",
        )
    return shape


class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation; Keras's "normal" is N(0, 0.05).

    >>> RandomNormal(stddev=0.1).draw(np.random.default_rng(0), (1,)).round(4)
    array([0.0126])
    """

    mean: float = number(0.0, why="it is the centre of the draw")
    stddev: float = number(0.05, low=0.0, why="it is the standard deviation of the draw")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


class RandomUniform(Initializer):
    """Uniform on [minval, maxval); Keras's "uniform" is [-0.05, 0.05).

    >>> RandomUniform(0.0, 1.0).draw(np.random.default_rng(0), (1,)).round(4)
    array([0.637])
    """

    minval: float = number(-0.05, why="it is the lower end of the draw")
    maxval: float = number(0.05, why="it is the upper end of the draw")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minval > self.maxval:
            raise ConfigError(f"{self}: minval must not be above maxval", code="config-value")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.uniform(self.minval, self.maxval, shape)


TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of N(0, 1) cut at +-2."""


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw N(0, 1), drawing again whatever lies beyond +-2."""
    x = rng.standard_normal(shape)
    while (beyond := np.abs(x) > 2.0).any():
        x[beyond] = rng.standard_normal(np.count_nonzero(beyond))
    return x


class TruncatedNormal(Initializer):
    """Normal, cut at two standard deviations; `stddev` is that before the cut.

    >>> TruncatedNormal(stddev=0.1).draw(np.random.default_rng(0), (1,)).round(4)
    array([0.0126])
    """

    mean: float = number(0.0, why="it is the centre of the draw")
    stddev: float = number(0.05, low=0.0, why="it is the standard deviation before the cut")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return self.mean + self.stddev * truncated_normal(rng, shape)


MODES = ("fan_avg", "fan_in", "fan_out")
DISTRIBUTIONS = ("truncated_normal", "uniform", "untruncated_normal")


class _Scaled:
    """Variance scale / fan, fan being a function of a matrix's two sides, or of a kernel's channels and pixels."""

    scale: float
    mode: str
    distribution: str

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        places = math.prod(shape[:-2])
        fan_in, fan_out = places * shape[-2 if len(shape) > 2 else 0], places * shape[-1]
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(fan, 1.0)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return rng.normal(0.0, math.sqrt(variance), shape)
        return truncated_normal(rng, shape) * (math.sqrt(variance) / TRUNCATED_STDDEV)


def one_of(what: str, names: tuple[str, ...]) -> Callable[[object], str]:
    """Return what lets only these names pass, and raises ConfigError for others."""

    def resolve(given: object) -> str:
        if not isinstance(given, str) or given not in names:
            raise unknown(what, given, dict.fromkeys(names))
        return given

    return resolve


class VarianceScaling(_Scaled, Initializer):
    """Variance scale / fan: the family of which the glorot, he and lecun draws are members.

    mode: "fan_in" (I), "fan_out" (O) or "fan_avg" (their mean).  distribution: "truncated_normal" (cut at two
    standard deviations and widened to keep its variance), "untruncated_normal" or "uniform".
    Raises ConfigError for anything else.

    >>> drawn = [i.draw(np.random.default_rng(0), (3, 3)) for i in (VarianceScaling(2.0), HeNormal())]
    >>> np.array_equal(*drawn)
    True
    """

    scale: float = number(1.0, above=0.0, why="it is the variance times the fan")
    mode: str = choice("fan_in", one_of("a mode of VarianceScaling", MODES))
    distribution: str = choice("truncated_normal", one_of("a distribution of VarianceScaling", DISTRIBUTIONS))


class Orthogonal(Initializer):
    """gain q, q being random with orthonormal columns, or orthonormal rows if they are fewer.

    A normal draw is made orthogonal row after row, without BLAS, whose number of threads would decide the last bits.
    Raises ConfigError for an array that is no matrix.

    >>> q = Orthogonal().draw(np.random.default_rng(0), (3, 2))
    >>> bool(np.allclose(q.T @ q, np.eye(2)))
    True

    Source: Saxe et al. 2014; modified Gram-Schmidt.
    """

    gain: float = number(1.0, why="it is the length of a column")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        shape = _matrix(self, shape)
        q = rng.standard_normal((min(shape), max(shape)))
        for k, row in enumerate(q):
            row /= math.sqrt(np.square(row).sum())
            q[k + 1 :] -= np.einsum("ij,j->i", q[k + 1 :], row)[:, None] * row
        return self.gain * (q if shape[0] < shape[1] else q.T)


class GlorotUniform(_Scaled, Initializer):
    """Uniform on +-sqrt(6 / (I + O)).

    >>> bool(abs(GlorotUniform().draw(np.random.default_rng(0), (3, 3))).max() < 1.0)
    True

    Source: Glorot and Bengio 2010, equation 16.
    """

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class GlorotNormal(_Scaled, Initializer):
    """Normal cut at two standard deviations, with variance 2 / (I + O).

    >>> GlorotNormal().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: Glorot and Bengio 2010, equation 12.
    """

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


class HeUniform(_Scaled, Initializer):
    """Uniform on +-sqrt(6 / I), for relu.

    >>> HeUniform().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: He et al. 2015, equation 10.
    """

    scale, mode, distribution = 2.0, "fan_in", "uniform"


class HeNormal(_Scaled, Initializer):
    """Normal cut at two standard deviations, with variance 2 / I, for relu.

    >>> HeNormal().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: He et al. 2015, equation 10.
    """

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class LecunUniform(_Scaled, Initializer):
    """Uniform on +-sqrt(3 / I).

    >>> LecunUniform().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.6.
    """

    scale, mode, distribution = 1.0, "fan_in", "uniform"


class LecunNormal(_Scaled, Initializer):
    """Normal cut at two standard deviations, with variance 1 / I.

    >>> LecunNormal().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.6.
    """

    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


INITIALIZERS: dict[str, Spec] = {
    "constant": Constant(),
    "glorot_normal": GlorotNormal(),
    "glorot_uniform": GlorotUniform(),
    "he_normal": HeNormal(),
    "he_uniform": HeUniform(),
    "identity": IdentityInitializer(),
    "lecun_normal": LecunNormal(),
    "lecun_uniform": LecunUniform(),
    "normal": RandomNormal(),
    "ones": Ones(),
    "orthogonal": Orthogonal(),
    "random_normal": RandomNormal(),
    "random_uniform": RandomUniform(),
    "truncated_normal": TruncatedNormal(),
    "uniform": RandomUniform(),
    "variance_scaling": VarianceScaling(),
    "zeros": Zeros(),
}

get = resolver("an initializer", Initializer, INITIALIZERS)
