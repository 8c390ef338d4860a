"""Cross-entropies in which some rows count less: those that are right already, or those that may have wrong labels.

Shapes: B rows, O outputs.
"""

import numpy as np

from firesteel.core.layer import Layer
from firesteel.core.layers.activation import ACTIVATIONS
from firesteel.core.layout import ones
from firesteel.core.loss import BinaryCrossentropy, Crossentropy, Loss, SparseCategoricalCrossentropy, softmax_parts
from firesteel.core.spec import flag, number, numbers
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = ["BinaryFocalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy"]


class _BinaryFocal(Loss):
    """The arguments of the binary focal loss, in Keras's order."""

    apply_class_balancing: bool = flag(False)
    alpha: float = number(0.25, low=0.0, why="it is what a label of 1 weighs, and 1 - alpha what a label of 0 does")
    gamma: float = number(2.0, low=0.0, why="it is the power of what the probability lacks")


class BinaryFocalCrossentropy(BinaryCrossentropy, _BinaryFocal):
    """L = 1/O sum_k a_k m_k^gamma c_k: each output's cross-entropy c_k times a power of what its probability lacks.

    m = y (1 - p) + (1 - y) p with p = sigmoid(z), which is 1 less the probability of the label.  a is 1, or with
    apply_class_balancing y alpha + (1 - y) (1 - alpha).  Outputs that are right already count less, the more so the
    larger gamma; with gamma = 0 it is the cross-entropy.
    The derivative is a m^gamma (gamma (1 - 2 y) c p (1 - p) / m + p - y) / O.  Label smoothing is that of y and of
    1 - y, each by itself, so that neither loses digits.

    >>> float(BinaryFocalCrossentropy().rows(np.array([[0.0]]), np.array([[1.0]]))[0][0].round(4))
    0.1733

    Source: Lin et al. 2017, equations 4 and 5.
    """

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        yes, no = self.smoothed(y, 2), self.smoothed(1 - y, 2)
        size, e = np.abs(z), np.exp(-np.abs(z))
        log, near, far = np.log1p(e), 1 / (1 + e), e / (1 + e)
        p, rest = np.where(z >= 0, near, far), np.where(z >= 0, far, near)
        cost = yes * (np.where(z < 0, size, 0) + log) + no * (np.where(z >= 0, size, 0) + log)
        lack = yes * rest + no * p
        weight = lack**self.gamma
        if self.apply_class_balancing:
            weight *= yes * self.alpha + no * (1 - self.alpha)
        share = np.divide(p * rest, lack, out=np.zeros_like(z), where=lack > 0)
        part = z.dtype.type(1.0 / z.shape[1])
        slopes = weight * (self.gamma * share * (no - yes) * cost + (no * p - yes * rest))
        return (weight * cost).sum(axis=1) * part, z if self.from_logits else p, slopes * part


class _CategoricalFocal(Loss):
    """The arguments of the categorical focal loss, in Keras's order."""

    alpha: tuple[float, ...] = numbers((0.25,), low=0.0, why="it is what each class weighs, or one number for all")
    gamma: float = number(2.0, low=0.0, why="it is the power of what the probability lacks")


class CategoricalFocalCrossentropy(Crossentropy, _CategoricalFocal):
    """L = -sum_k alpha_k (1 - p_k)^gamma y_k log p_k with p = softmax(z); y is one-hot or a distribution, (B, O).

    alpha: the weight of all classes, or a list with one for each.
    The derivative is h_k (1 - p_k) - p_k sum_{j != k} h_j with
    h = -alpha y (1 - p)^gamma (1 - gamma p log p / (1 - p)); 1 - p of the largest p is the sum of the others.

    >>> float(CategoricalFocalCrossentropy(1.0).rows(np.zeros((1, 2)), np.array([[0.0, 1.0]]))[0][0].round(4))
    0.1733

    Source: Lin et al. 2017, equation 5.
    """

    exclusive = True
    targets = "unit"
    natural = "softmax"

    def check(self, end: Layer | str, outputs: int) -> None:
        super().check(end, outputs)
        self.weights(outputs)

    def weights(self, outputs: int) -> Array:
        """Return what each class weighs, (O,) or (1,).  Raises ConfigError where there is one for other classes."""
        if len(self.alpha) not in (1, outputs):
            raise ConfigError(
                f"{type(self).__name__}(alpha={self.alpha}) has {len(self.alpha)} numbers, and there are {outputs} "
                "outputs: give one number for each, or one for all",
                code="config-loss",
            )
        return np.array(self.alpha)

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        y = self.smoothed(y, z.shape[1]) * self.weights(z.shape[1]).astype(z.dtype)
        p, shifted, log, top, others = softmax_parts(z)
        one, log_p, rest = ones(z.shape[1], z.dtype), shifted - log[:, None], 1 - p
        rest.reshape(-1)[top] = others
        weight = y * rest**self.gamma
        costs = np.multiply(weight, -log_p, out=np.zeros_like(z), where=weight != 0)
        ratio = np.divide(p * log_p, rest, out=np.full_like(z, -1), where=rest > 0)
        h = -weight * (1 - self.gamma * ratio)
        own = h.reshape(-1)[top]
        slopes = h * rest - p * (np.dot(h, one)[:, None] - h)
        h.reshape(-1)[top] = 0
        slopes.reshape(-1)[top] = own * others - p.reshape(-1)[top] * np.dot(h, one)
        return np.dot(costs, one), z if self.from_logits else p, slopes


class CategoricalGeneralizedCrossEntropy(Loss):
    """L = (1 - p_y^q) / q with p = softmax(z) and y the number of the class, (B, 1): wrong labels count less.

    q: in (0, 1); near 0 it is the cross-entropy, near 1 the absolute error.  L is at most 1 / q.
    The derivative is p_y^q times that of the cross-entropy, p_k less 1 at the class.

    >>> float(CategoricalGeneralizedCrossEntropy().rows(np.zeros((1, 2)), np.array([[1.0]]))[0][0].round(4))
    0.5858

    Source: Zhang and Sabuncu 2018, equation 6.
    """

    exclusive = True
    targets = "class"
    natural = "softmax"
    q: float = number(0.5, above=0.0, below=1.0, why="it is the power of the probability")

    @property
    def link(self) -> type[Layer] | None:
        return type(ACTIVATIONS[self.natural])  # type: ignore[return-value]

    def columns(self, outputs: int) -> int:
        return 1

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        costs, p, slopes = SparseCategoricalCrossentropy().rows(z, y)
        return -np.expm1(-self.q * costs) / self.q, p, slopes * np.exp(-self.q * costs)[:, None]

    def scores(self, p: Array, y: Array) -> Array:
        own = np.take_along_axis(p, y.astype(np.intp), axis=1)[:, 0]
        return (1 - own**self.q) / self.q
