"""Initializers, which draw a network's initial weights: immutable settings with one method, `draw`.

Defaults and variants are Keras's: the Glorot, He and LeCun normals are truncated at two standard deviations and
widened to keep their variance.  `network.py` decides which random stream each array is drawn from.
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
    """Base class of initializers.

    An initializer of your own is a subclass with a method `draw`; its fields are its arguments.

    Example:
        >>> from firesteel.initializers import Initializer
        >>> class RandomExponential(Initializer):
        ...     def draw(self, rng, shape):
        ...         return rng.exponential(0.1, shape)
        >>> RandomExponential()((2, 3), seed=7).shape
        (2, 3)
    """

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Draw the initial values of an array of weights, in float64.

        Args:
            rng: The random generator.
            shape: The shape: (inputs, outputs) of a matrix, (height, width, channels in, channels out) of a kernel.
        """
        raise NotImplementedError

    def __call__(self, shape: int | Sequence[int], dtype: str = "float32", seed: int = 0) -> Array:
        """Draw values of a shape; the same seed gives the same values.

        Args:
            shape: The shape, or the length of a vector.
            dtype: "float32" or "float64".
            seed: The seed, an integer of at least 0.

        Raises:
            ConfigError: For any other argument (`config-value`).

        Example:
            >>> Constant(0.5)((2,))
            array([0.5, 0.5], dtype=float32)
        """
        given, start = shape if isinstance(shape, Sequence) else [shape], whole(seed)
        sides = tuple([side for side in map(whole, given) if side is not None and side >= 0])
        if len(sides) < len(given):
            raise ConfigError(f"shape={shape!r}: shape must be integers of at least 0", code="config-value")
        if dtype not in ("float32", "float64") or start is None or start < 0:
            raise ConfigError(
                f"dtype={dtype!r}, seed={seed!r}: dtype must be 'float32' or 'float64', and seed an integer of at "
                "least 0",
                code="config-value",
            )
        return self.draw(rng_for(start, "initializer"), sides).astype(dtype)


class Zeros(Initializer):
    """All zeros: the usual start of biases.

    Example:
        >>> from firesteel.initializers import Zeros
        >>> Zeros()((2,))
        array([0., 0.], dtype=float32)
    """

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape)


class Ones(Initializer):
    """All ones.

    Example:
        >>> from firesteel.initializers import Ones
        >>> Ones()((2,))
        array([1., 1.], dtype=float32)
    """

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.ones(shape)


class Constant(Initializer):
    """Sets all weights to one value.

    Args:
        value: The value.

    Example:
        >>> from firesteel.initializers import Constant
        >>> Constant(0.5)((2,))
        array([0.5, 0.5], dtype=float32)
    """

    value: float = number(0.0, why="value is the value of every weight")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.full(shape, self.value)


class IdentityInitializer(Initializer):
    """The identity matrix times a number; a matrix that is not square has zeros elsewhere.

    Args:
        gain: The value on the diagonal.

    Raises:
        ConfigError: When the network is built, if the array is not a matrix (`config-shape`).

    Example:
        >>> from firesteel.initializers import IdentityInitializer
        >>> IdentityInitializer(2.0)((2, 3))
        array([[2., 0., 0.],
               [0., 2., 0.]], dtype=float32)
    """

    gain: float = number(1.0, why="gain is the value on the diagonal")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return self.gain * np.eye(*_matrix(self, shape))


def _matrix(initializer: Initializer, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a shape if it is that of a matrix; otherwise raise ConfigError."""
    if len(shape) != 2:
        raise ConfigError(
            f"{type(initializer).__name__} draws matrices, but this array has {len(shape)} "
            f"{'axis' if len(shape) == 1 else 'axes'}: use another initializer for it",
            code="config-shape",
        )
    return shape


class RandomNormal(Initializer):
    """Normal distribution, N(mean, stddev^2).

    Args:
        mean: The mean.
        stddev: The standard deviation, at least 0.

    Example:
        >>> from firesteel.initializers import RandomNormal
        >>> RandomNormal(stddev=0.1)((3, 3), seed=7).shape
        (3, 3)
    """

    mean: float = number(0.0, why="mean is the mean")
    stddev: float = number(0.05, low=0.0, why="stddev is the standard deviation")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


class RandomUniform(Initializer):
    """Uniform distribution on [minval, maxval).

    Args:
        minval: The lower end.
        maxval: The upper end, at least minval.

    Raises:
        ConfigError: If minval is above maxval (`config-value`).

    Example:
        >>> from firesteel.initializers import RandomUniform
        >>> w = RandomUniform(0.0, 1.0)((3, 3), seed=7)
        >>> bool((w >= 0).all() and (w < 1).all())
        True
    """

    minval: float = number(-0.05, why="minval is the lower end of the range")
    maxval: float = number(0.05, why="maxval is the upper end of the range")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minval > self.maxval:
            raise ConfigError(f"{self}: minval must not be above maxval", code="config-value")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.uniform(self.minval, self.maxval, shape)


TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of N(0, 1) truncated at +-2."""


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw from N(0, 1), and redraw values outside [-2, 2] until none is left."""
    x = rng.standard_normal(shape)
    while (beyond := np.abs(x) > 2.0).any():
        x[beyond] = rng.standard_normal(np.count_nonzero(beyond))
    return x


class TruncatedNormal(Initializer):
    """Normal distribution, truncated at two standard deviations.

    Args:
        mean: The mean.
        stddev: The standard deviation before the truncation, at least 0.

    Example:
        >>> from firesteel.initializers import TruncatedNormal
        >>> w = TruncatedNormal(stddev=0.1)((3, 3), seed=7)
        >>> bool((abs(w) <= 0.2).all())
        True
    """

    mean: float = number(0.0, why="mean is the mean")
    stddev: float = number(0.05, low=0.0, why="stddev is the standard deviation before the truncation")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return self.mean + self.stddev * truncated_normal(rng, shape)


MODES = ("fan_avg", "fan_in", "fan_out")
DISTRIBUTIONS = ("truncated_normal", "uniform", "untruncated_normal")


class _Scaled:
    """Base class of initializers with mean 0 and variance scale / fan, where fan is a number of inputs or outputs."""

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
    """Return a validator that accepts only the given names, and raises ConfigError for others."""

    def resolve(given: object) -> str:
        if not isinstance(given, str) or given not in names:
            raise unknown(what, given, dict.fromkeys(names))
        return given

    return resolve


class VarianceScaling(_Scaled, Initializer):
    """Variance scaling: mean 0 and variance scale / fan, the general form of Glorot, He and LeCun initializers.

    Fan is the number of inputs I, of outputs O, or their mean; of a convolution kernel, channels times pixels.

    Args:
        scale: The variance times the fan, above 0.
        mode: "fan_in" (I), "fan_out" (O) or "fan_avg" (their mean).
        distribution: "truncated_normal" (truncated at two standard deviations and widened to keep its variance),
            "untruncated_normal" or "uniform".

    Raises:
        ConfigError: For any other mode or distribution (`config-unknown`).

    Example:
        >>> from firesteel.initializers import HeNormal, VarianceScaling
        >>> bool((VarianceScaling(2.0)((3, 3)) == HeNormal()((3, 3))).all())
        True
    """

    scale: float = number(1.0, above=0.0, why="scale is the variance of the weights times the fan")
    mode: str = choice("fan_in", one_of("a mode of VarianceScaling", MODES))
    distribution: str = choice("truncated_normal", one_of("a distribution of VarianceScaling", DISTRIBUTIONS))


class Orthogonal(Initializer):
    """Random matrix with orthonormal columns, or orthonormal rows if there are fewer rows, times a number.

    A normal draw is orthogonalized row after row.

    Args:
        gain: The length of each column or row.

    Raises:
        ConfigError: When the network is built, if the array is not a matrix (`config-shape`).

    Example:
        >>> from firesteel.initializers import Orthogonal
        >>> q = Orthogonal()((3, 2), dtype="float64", seed=7)
        >>> abs(q.T @ q).round(6)
        array([[1., 0.],
               [0., 1.]])

    Source: Saxe et al. 2014; by modified Gram-Schmidt.
    """

    gain: float = number(1.0, why="gain is the Euclidean norm of each column")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        # Gram-Schmidt without BLAS, whose last bits depend on the number of threads
        shape = _matrix(self, shape)
        q = rng.standard_normal((min(shape), max(shape)))
        for k, row in enumerate(q):
            row /= math.sqrt(np.square(row).sum())
            q[k + 1 :] -= np.einsum("ij,j->i", q[k + 1 :], row)[:, None] * row
        return self.gain * (q if shape[0] < shape[1] else q.T)


class GlorotUniform(_Scaled, Initializer):
    """Glorot (Xavier) uniform: uniform on +-sqrt(6 / (I + O)), for I inputs and O outputs.

    It is the default initializer of kernels.

    Example:
        >>> from firesteel.initializers import GlorotUniform
        >>> bool((abs(GlorotUniform()((3, 3), seed=7)) <= 1.0).all())
        True

    Source: Glorot and Bengio 2010, equation 16.
    """

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class GlorotNormal(_Scaled, Initializer):
    """Glorot (Xavier) normal: truncated normal with variance 2 / (I + O), for I inputs and O outputs.

    It is truncated at two standard deviations and widened to keep its variance, as in Keras.

    Example:
        >>> from firesteel.initializers import GlorotNormal
        >>> GlorotNormal()((3, 3), seed=7).shape
        (3, 3)

    Source: Glorot and Bengio 2010, equation 12.
    """

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


class HeUniform(_Scaled, Initializer):
    """He (Kaiming) uniform: uniform on +-sqrt(6 / I), for I inputs; for layers with relu.

    Example:
        >>> from firesteel.initializers import HeUniform
        >>> bool((abs(HeUniform()((6, 3), seed=7)) <= 1.0).all())
        True

    Source: He et al. 2015, equation 10.
    """

    scale, mode, distribution = 2.0, "fan_in", "uniform"


class HeNormal(_Scaled, Initializer):
    """He (Kaiming) normal: truncated normal with variance 2 / I, for I inputs; for layers with relu.

    It is truncated at two standard deviations and widened to keep its variance, as in Keras.

    Example:
        >>> from firesteel.initializers import HeNormal
        >>> HeNormal()((3, 3), seed=7).shape
        (3, 3)

    Source: He et al. 2015, equation 10.
    """

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class LecunUniform(_Scaled, Initializer):
    """LeCun uniform: uniform on +-sqrt(3 / I), for I inputs.

    Example:
        >>> from firesteel.initializers import LecunUniform
        >>> bool((abs(LecunUniform()((3, 3), seed=7)) <= 1.0).all())
        True

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.6.
    """

    scale, mode, distribution = 1.0, "fan_in", "uniform"


class LecunNormal(_Scaled, Initializer):
    """LeCun normal: truncated normal with variance 1 / I, for I inputs; for layers with selu.

    It is truncated at two standard deviations and widened to keep its variance, as in Keras.

    Example:
        >>> from firesteel.initializers import LecunNormal
        >>> LecunNormal()((3, 3), seed=7).shape
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
