"""Cross-entropies that give less weight to rows that are predicted well, or whose labels may be wrong.

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
    alpha: float = number(0.25, low=0.0, why="alpha is the weight of labels 1, and 1 - alpha that of labels 0")
    gamma: float = number(2.0, low=0.0, why="gamma is the exponent of 1 - p (p: probability of the true class)")


class BinaryFocalCrossentropy(BinaryCrossentropy, _BinaryFocal):
    """Binary focal cross-entropy, which gives less weight to outputs that are already right.

    `L = 1/O sum_k a_k m_k^gamma c_k`, where `c_k` is the binary cross-entropy of output k, `p = sigmoid(z)`, and
    `m = y (1 - p) + (1 - y) p` is 1 minus the probability of the true label.  a is 1, or with `apply_class_balancing`
    it is `y alpha + (1 - y) (1 - alpha)`.  The last layer has `activation="sigmoid"`, which the loss includes.

    Args:
        apply_class_balancing: Whether labels of 1 have weight alpha, and labels of 0 weight 1 - alpha.
        alpha: The weight of labels of 1, at least 0.
        gamma: The power of m, at least 0: the larger, the less correct outputs count.  0 gives the cross-entropy.
        from_logits: Whether the network outputs the logits z, so that its last layer has no activation.
        label_smoothing: Share of each target that is moved to 1/2, in [0, 1).
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "binary_focal_crossentropy".

    Example:
        >>> from firesteel.losses import BinaryFocalCrossentropy
        >>> y_true, y_pred = [[1.0], [1.0]], [[0.5], [0.9]]
        >>> round(BinaryFocalCrossentropy(gamma=2.0)(y_true, y_pred), 4)
        0.0872
        >>> BinaryFocalCrossentropy(gamma=2.0).of(y_true, y_pred).round(4)
        array([0.1733, 0.0011])

    Source: Lin et al. 2017, equations 4 and 5.
    """

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        # dL/dz = a m^gamma (gamma (1 - 2 y) c p (1 - p) / m + p - y) / O.  y and 1 - y are smoothed each by itself,
        # so that neither loses digits.
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

    alpha: tuple[float, ...] = numbers((0.25,), low=0.0, why="alpha is the weight of each class, or of all classes")
    gamma: float = number(2.0, low=0.0, why="gamma is the exponent of 1 - p (p: probability of the true class)")


class CategoricalFocalCrossentropy(Crossentropy, _CategoricalFocal):
    """Categorical focal cross-entropy, which gives less weight to rows that are already classified well.

    `L = -sum_k alpha_k (1 - p_k)^gamma y_k log p_k`, where `p = softmax(z)` are the predicted probabilities and y the
    targets, one-hot or a distribution, (B, O).  The last layer has `activation="softmax"`, which the loss includes.

    Args:
        alpha: The weight of every class, or a list with one for each; at least 0.
        gamma: The power of 1 - p, at least 0: the larger, the less correct rows count.  0 gives the cross-entropy.
        from_logits: Whether the network outputs the logits z, so that its last layer has no activation.
        label_smoothing: Share of each target that is spread evenly over all classes, in [0, 1).
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "categorical_focal_crossentropy".

    Example:
        >>> from firesteel.losses import CategoricalFocalCrossentropy
        >>> y_true, y_pred = [[0.0, 1.0], [0.0, 1.0]], [[0.5, 0.5], [0.1, 0.9]]
        >>> round(CategoricalFocalCrossentropy(alpha=1.0)(y_true, y_pred), 4)
        0.0872
        >>> CategoricalFocalCrossentropy(alpha=1.0).of(y_true, y_pred).round(4)
        array([0.1733, 0.0011])

    Source: Lin et al. 2017, equation 5.
    """

    exclusive = True
    targets = "unit"
    natural = "softmax"

    def check(self, end: Layer | str, outputs: int) -> None:
        super().check(end, outputs)
        self.weights(outputs)

    def weights(self, outputs: int) -> Array:
        """Return the weight of each class, (O,) or (1,).

        Args:
            outputs: The number of outputs.

        Raises:
            ConfigError: If alpha has neither one number nor one for each output (`config-loss`).
        """
        if len(self.alpha) not in (1, outputs):
            raise ConfigError(
                f"{type(self).__name__}(alpha={self.alpha}) has {len(self.alpha)} numbers, but there are {outputs} "
                "outputs: give one number for each output, or one for all",
                code="config-loss",
            )
        return np.array(self.alpha)

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        # dL/dz_k = h_k (1 - p_k) - p_k sum_{j != k} h_j with
        # h = -alpha y (1 - p)^gamma (1 - gamma p log p / (1 - p)); 1 - p of the largest p is the sum of the others
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
    """Generalized cross-entropy for class numbers: robust against wrong labels.

    `L = (1 - p_y^q) / q`, where `p = softmax(z)` are the predicted probabilities and y is the number of the class,
    0..O-1.  A row's loss is at most 1 / q, so that wrong labels count less than in the cross-entropy.  The last layer
    has `activation="softmax"`, which the loss includes.

    Args:
        q: The power of the probability, in (0, 1): near 0 the loss is the cross-entropy, near 1 the absolute error.
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "categorical_generalized_cross_entropy".

    Example:
        >>> from firesteel.losses import CategoricalGeneralizedCrossEntropy
        >>> y_true, y_pred = [1, 0], [[0.5, 0.5], [0.75, 0.25]]
        >>> round(CategoricalGeneralizedCrossEntropy(q=0.5)(y_true, y_pred), 4)
        0.4269
        >>> CategoricalGeneralizedCrossEntropy(q=0.5).of(y_true, y_pred).round(4)
        array([0.5858, 0.2679])

    Source: Zhang and Sabuncu 2018, equation 6.
    """

    exclusive = True
    targets = "class"
    natural = "softmax"
    q: float = number(0.5, above=0.0, below=1.0, why="q is the exponent of the probability of the true class")

    @property
    def link(self) -> type[Layer] | None:
        return type(ACTIVATIONS[self.natural])  # type: ignore[return-value]

    def columns(self, outputs: int) -> int:
        return 1

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        # the derivative is p_y^q times that of the cross-entropy
        costs, p, slopes = SparseCategoricalCrossentropy().rows(z, y)
        return -np.expm1(-self.q * costs) / self.q, p, slopes * np.exp(-self.q * costs)[:, None]

    def scores(self, p: Array, y: Array) -> Array:
        own = np.take_along_axis(p, y.astype(np.intp), axis=1)[:, 0]
        return (1 - own**self.q) / self.q
