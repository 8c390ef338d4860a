"""How weights are drawn before the first update: frozen numbers with one method, `draw`.

Defaults and variants are Keras's: the glorot, he and lecun normals are cut at two standard deviations and widened
to keep their variance.  Which stream feeds a draw is decided in `network.py`.
"""

import math
from dataclasses import dataclass

import numpy as np

from firesteel.core.spec import Spec, number, resolver
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = [
    "INITIALIZERS",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "RandomNormal",
    "RandomUniform",
    "Zeros",
    "get",
]


class Initializer(Spec):
    """Base of initialisers."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of `shape`; a matrix is (fan in, fan out)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Zeros(Initializer):
    """All zeros: the usual start of biases.

    >>> Zeros().draw(np.random.default_rng(0), (2,))
    array([0., 0.])
    """

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation; Keras's "normal" is N(0, 0.05).

    >>> RandomNormal(stddev=0.1).draw(np.random.default_rng(0), (1,)).round(4)
    array([0.0126])
    """

    mean: float = number(0.0, why="it is the centre of the draw")
    stddev: float = number(0.05, low=0.0, why="it is the standard deviation of the draw")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


@dataclass(frozen=True)
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


class _Scaled(Initializer):
    """Variance `scale / fan`, fan being a function of the matrix's two sides."""

    scale: float
    fan: str
    uniform: bool

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        fan_in, fan_out = shape[0], shape[-1]
        fan = fan_in if self.fan == "in" else (fan_in + fan_out) / 2
        variance = self.scale / max(fan, 1.0)
        if self.uniform:
            limit = math.sqrt(3.0 * variance)
            return rng.uniform(-limit, limit, shape)
        return truncated_normal(rng, shape) * (math.sqrt(variance) / TRUNCATED_STDDEV)


@dataclass(frozen=True)
class GlorotUniform(_Scaled):
    """Uniform on +-sqrt(6 / (I + O)).

    >>> bool(abs(GlorotUniform().draw(np.random.default_rng(0), (3, 3))).max() < 1.0)
    True

    Source: Glorot and Bengio 2010, equation 16.
    """

    scale, fan, uniform = 1.0, "average", True


@dataclass(frozen=True)
class GlorotNormal(_Scaled):
    """Normal cut at two standard deviations, with variance 2 / (I + O).

    >>> GlorotNormal().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: Glorot and Bengio 2010, equation 12.
    """

    scale, fan, uniform = 1.0, "average", False


@dataclass(frozen=True)
class HeUniform(_Scaled):
    """Uniform on +-sqrt(6 / I), for relu.

    >>> HeUniform().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: He et al. 2015, equation 10.
    """

    scale, fan, uniform = 2.0, "in", True


@dataclass(frozen=True)
class HeNormal(_Scaled):
    """Normal cut at two standard deviations, with variance 2 / I, for relu.

    >>> HeNormal().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: He et al. 2015, equation 10.
    """

    scale, fan, uniform = 2.0, "in", False


@dataclass(frozen=True)
class LecunUniform(_Scaled):
    """Uniform on +-sqrt(3 / I).

    >>> LecunUniform().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.6.
    """

    scale, fan, uniform = 1.0, "in", True


@dataclass(frozen=True)
class LecunNormal(_Scaled):
    """Normal cut at two standard deviations, with variance 1 / I.

    >>> LecunNormal().draw(np.random.default_rng(0), (3, 3)).shape
    (3, 3)

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.6.
    """

    scale, fan, uniform = 1.0, "in", False


INITIALIZERS: dict[str, Spec] = {
    "glorot_normal": GlorotNormal(),
    "glorot_uniform": GlorotUniform(),
    "he_normal": HeNormal(),
    "he_uniform": HeUniform(),
    "lecun_normal": LecunNormal(),
    "lecun_uniform": LecunUniform(),
    "normal": RandomNormal(),
    "random_normal": RandomNormal(),
    "random_uniform": RandomUniform(),
    "uniform": RandomUniform(),
    "zeros": Zeros(),
}

get = resolver("an initializer", Initializer, INITIALIZERS)
