"""What a loss is, and the cross-entropies, which take logits and are fused with the softmax or sigmoid before them.

Shapes: B rows, O outputs, T target columns.
"""

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any, ClassVar

import numpy as np

from firesteel.core.layer import Layer
from firesteel.core.layers.activation import ACTIVATIONS
from firesteel.core.layout import ones, row_starts
from firesteel.core.spec import Spec, flag, integer, later, number, optional, word
from firesteel.core.types import Array, Shape
from firesteel.errors import ConfigError, DataError

__all__ = [
    "NAME",
    "REDUCTIONS",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Crossentropy",
    "Loss",
    "SparseCategoricalCrossentropy",
    "exclusive",
    "floats",
    "loss_name",
    "middle",
    "on_logits",
    "paired",
    "softmax_parts",
    "weights_of",
]


def loss_name(got: object) -> str | None:
    """Return what a loss is to be called.  Raises ConfigError for what is no text."""
    if got is not None and (not isinstance(got, str) or not got):
        raise ConfigError(f"name={got!r}: it must be text", code="config-value")
    return got


NAME: dict[str, Any] = {"check": lambda owner, name, got: loss_name(got), "later": lambda name: name is not None}
REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none")


class Loss(Spec, kw_only=True):
    """Base of losses.

    reduction: what a call of the loss makes of the rows: their mean, by number ("sum_over_batch_size", "mean") or by
    weight ("mean_with_sample_weight"), their "sum", or "none".  Training takes the mean by weight.
    name: what the loss is called as a metric; None for the name of its kind.
    targets: what the targets must be: "real", "unit" (numbers in [0, 1]), "class" (integers 0..O-1, T = 1), "count"
    (numbers of at least 0) or "sign" (-1 and 1, or 0 and 1).
    natural: the activation whose outputs suit the loss.
    exclusive: whether outputs are classes that exclude each other, so that there must be two.
    differences: whether it depends on z - y alone, so that both may be counted from any number.
    """

    larger_is_better: ClassVar[bool] = False
    differences: ClassVar[bool] = False
    exclusive: ClassVar[bool] = False
    targets: ClassVar[str] = "real"
    natural: ClassVar[str] = "linear"

    reduction: str | None = later(word(*REDUCTIONS, None))
    name: str | None = field(default=None, metadata=NAME, compare=False)

    @property
    def link(self) -> type[Layer] | None:
        """The op that must come last and is fused into the loss, or None where any output will do."""
        return None

    def check(self, end: Layer | str, outputs: int) -> None:
        """Raise ConfigError where the loss does not go with so many outputs of this last layer, or of "nothing"."""
        kind = type(self).__name__
        if self.reduction in ("sum", "none", None):
            raise ConfigError(
                f"{kind}(reduction={self.reduction!r}) can be called, and training takes the mean over the rows: "
                "leave out reduction, and for a sum multiply the learning rate",
                code="config-loss",
            )
        if self.link is not None and not isinstance(end, self.link):
            raise ConfigError(
                f"{kind} goes with a last layer of activation {self.natural!r}, and this network ends in {end}",
                code="config-loss",
            )
        if (self.exclusive or self.targets == "class") and outputs < 2:
            raise ConfigError(
                f"{kind} needs at least 2 outputs, one a class, and this network has {outputs}: for two classes use "
                "2 outputs, or 1 with sigmoid and binary_crossentropy",
                code="config-loss",
            )

    def columns(self, outputs: int) -> int:
        """Return T, the number of target columns, for a network of so many outputs."""
        return outputs

    def legal(self, y: Array, outputs: int) -> Array:
        """Return which targets are numbers of classes, of which there are as many as outputs."""
        return (y == np.floor(y)) & (y >= 0) & (y < outputs)

    def lowered(self, centre: Sequence[float]) -> "Loss":
        """Return the loss of outputs and targets that a centre has been subtracted from."""
        return self

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return each row's loss (B,), the network's outputs (B, O) and d(loss)/dz (B, O).

        z: (B, O), the logits if there is a link, else the outputs themselves.  y: (B, T).
        """
        raise NotImplementedError

    def scores(self, p: Array, y: Array) -> Array:
        """Return each row's loss (B,), given the predictions p (B, O): probabilities if there is a link."""
        return self.rows(p, y)[0]

    def of(self, y_true: Any, y_pred: Any) -> Array:
        """Return the loss of each row of predictions (..., O), as an array (...).

        Args:
            y_true: The targets, (..., O); class numbers, (...) or (..., 1), where the loss takes these.
            y_pred: The predictions.

        Raises:
            DataError: If the two are not numbers, or do not fit each other.

        >>> from firesteel.losses import MeanAbsoluteError
        >>> MeanAbsoluteError().of([[1.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]])
        array([1., 0.])
        """
        p = floats("y_pred", y_pred)
        y = floats("y_true", y_true).astype(p.dtype)
        if not p.ndim or not p.shape[-1]:
            raise DataError(f"y_pred has shape {p.shape}: its last axis must be that of outputs", code="data-shape")
        outputs = p.shape[-1]
        columns = self.columns(outputs)
        if (*y.shape, 1) == (*p.shape[:-1], columns):
            y = y[..., None]
        if y.shape != (*p.shape[:-1], columns):
            raise DataError(
                f"y_true has shape {y.shape} and y_pred {p.shape}: {type(self).__name__} needs targets of shape "
                f"{(*p.shape[:-1], columns)}",
                code="data-shape",
            )
        if self.targets == "class" and not self.legal(y, outputs).all():
            raise DataError(f"y_true must hold class numbers from 0 to {outputs - 1}", code="data-label-range")
        return self.scores(p.reshape(-1, outputs), y.reshape(-1, columns)).reshape(p.shape[:-1])[()]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the mean over rows of the loss times the row's weight, or what `reduction` says.

        y_true, y_pred: those of `of`.  sample_weight: a number, or one for each row, (...) or (..., 1), or for each
        place of the first axes.  Raises DataError where shapes do not fit.

        >>> from firesteel.losses import MeanAbsoluteError
        >>> MeanAbsoluteError()([[1.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]])
        0.5
        """
        losses = np.asarray(self.of(y_true, y_pred))
        weights = weights_of(sample_weight, losses.shape)
        losses = losses * weights
        if self.reduction in ("none", None):
            return losses
        count = weights.sum() if self.reduction == "mean_with_sample_weight" else losses.size
        return float(losses.sum() if self.reduction == "sum" else losses.sum() / count if count else 0.0)


def weights_of(sample_weight: Any, rows: Shape) -> Array:
    """Return a weight for each row, in the shape of the rows, given one for all, for each, or for each place of the
    first axes; None means 1.  Raises DataError where shapes do not fit.

    >>> weights_of([[2.0], [3.0]], (2,))
    array([2., 3.])
    """
    weights = floats("sample_weight", 1.0 if sample_weight is None else sample_weight)
    axes = len(rows) - weights.ndim
    try:
        weights = weights[..., 0] if axes == -1 and weights.shape[-1] == 1 else weights
        weights = weights.reshape(weights.shape + (1,) * max(axes, 0)) if weights.ndim else weights
        return np.broadcast_to(weights, rows)
    except ValueError:
        raise DataError(f"sample_weight has shape {weights.shape}, and the rows {rows}", code="data-shape") from None


def paired(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Array, Array, Array]:
    """Return outputs (B, O), targets (B, T) and weights (B,), float64.  Raises DataError where they do not fit."""
    p, y = floats("y_pred", y_pred), floats("y_true", y_true)
    if p.ndim < 2:
        p, y = p.reshape(-1, 1), (y if y.size == p.size else y[None]).reshape(-1, 1)
    *rows, outputs = p.shape
    if y.shape not in (p.shape, p.shape[:-1], (*rows, 1)):
        raise DataError(f"y_true has shape {y.shape} and y_pred {p.shape}: they do not fit", code="data-shape")
    weights = weights_of(sample_weight, tuple(rows)).astype(np.float64)
    return p.reshape(-1, outputs), y.reshape(-1, outputs if y.shape == p.shape else 1), weights.reshape(-1)


def floats(name: str, given: Any) -> Array:
    """Return numbers as an array of floats.  Raises DataError for anything else."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be an array of numbers: {error}", code="data-text") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} must be an array of numbers, and is one of {array.dtype}", code="data-text")
    return array.astype(np.result_type(array.dtype, np.float32))


class Crossentropy(Loss):
    """Base of the cross-entropies, which take logits and fuse the link that would make probabilities of them.

    from_logits: whether the network gives logits itself; then there is no link, and it predicts logits, as in Keras.
    label_smoothing: share of each target that is spread over all classes.
    """

    from_logits: bool = flag(False)
    label_smoothing: float = number(0.0, low=0.0, below=1.0, why="it is the share spread over all classes")

    @property
    def link(self) -> type[Layer] | None:
        return None if self.from_logits else type(ACTIVATIONS[self.natural])  # type: ignore[return-value]

    def check(self, end: Layer | str, outputs: int) -> None:
        super().check(end, outputs)
        if (one := getattr(self, "ignore_class", None)) is not None:
            raise ConfigError(
                f"{type(self).__name__}(ignore_class={one}) can be called: in training leave it out, and such rows, "
                "or give them no weight, with class_weight={number: 0.0} or sample_weight",
                code="config-loss",
            )
        if self.link is None and end == ACTIVATIONS[self.natural]:
            raise ConfigError(
                f"{type(self).__name__}(from_logits=True) goes with a last layer that gives logits, and this "
                f"network ends in {end}: leave out from_logits, or the activation",
                code="config-loss",
            )

    def smoothed(self, y: Array, classes: int) -> Array:
        """Return the targets with the share spread."""
        return y * (1 - self.label_smoothing) + self.label_smoothing / classes if self.label_smoothing else y

    def logits(self, p: Array) -> Array:
        """Return logits (B, O) of which the link makes these probabilities, of at least the smallest number."""
        return np.log(np.maximum(p, np.finfo(p.dtype).tiny))

    def scores(self, p: Array, y: Array) -> Array:
        return self.rows(p if self.from_logits else self.logits(p), y)[0]


class BinaryCrossentropy(Crossentropy):
    """L = -1/O sum_k (y_k log p_k + (1 - y_k) log(1 - p_k)) with p = sigmoid(z), as Keras.

    Computed as |z| |s - y| + log(1 + e) with e = exp(-|z|) and s = 1[z >= 0], where no term is negative.  The
    derivative is (p - y) / O, computed as (p (1 + e) - y - y e) / (1 + e) / O, where p (1 + e) is 1 or e: near 0 both
    keep their digits, for y = 1 too.  Both are linear in y, so label smoothing mixes them with those of y = 1/2.

    >>> float(BinaryCrossentropy().rows(np.array([[0.0]]), np.array([[1.0]]))[0][0].round(4))
    0.6931
    """

    targets = "unit"
    natural = "sigmoid"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        size, yes = np.abs(z), z >= 0
        e = np.exp(-size)
        above, total = np.maximum(e, yes), 1 + e
        apart, gap, slopes = np.abs(yes - y), np.zeros_like(z), above - y - y * e
        np.multiply(apart, size, out=gap, where=apart != 0)  # of an infinite logit on the right side too
        if share := self.label_smoothing:
            gap = gap * (1 - share) + size * (0.5 * share)
            slopes = slopes * (1 - share) + np.sign(z) * (1 - e) * (0.5 * share)
        part = z.dtype.type(1.0 / z.shape[1])
        losses = np.dot(gap + np.log1p(e), ones(z.shape[1], z.dtype)) * part
        return losses, z if self.from_logits else above / total, slopes / total * part

    def logits(self, p: Array) -> Array:
        least = np.finfo(p.dtype)
        p = np.clip(p, least.tiny, 1 - least.eps)
        return np.log(p) - np.log1p(-p)


class CategoricalCrossentropy(Crossentropy):
    """L = -sum_k y_k log p_k with p = softmax(z); y is one-hot or a distribution, (B, O).

    The derivative is p s - y with s = sum_k y_k, or where p is the largest and y more than s/2, (s - y) - (1 - p) s,
    where 1 - p is the sum of the others.

    >>> float(CategoricalCrossentropy().rows(np.zeros((1, 2)), np.array([[0.0, 1.0]]))[0][0].round(4))
    0.6931

    Source of label smoothing: Szegedy et al. 2016, section 7.
    """

    exclusive = True
    targets = "unit"
    natural = "softmax"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        y = self.smoothed(y, z.shape[1])
        p, shifted, log, top, others = softmax_parts(z)
        one = ones(z.shape[1], z.dtype)
        mass = np.dot(y, one)
        slopes, own, parts = p * mass[:, None] - y, y.reshape(-1)[top], np.zeros_like(z)
        slopes.reshape(-1)[top] = np.where(own + own > mass, mass - own - others * mass, slopes.reshape(-1)[top])
        np.multiply(y, shifted, out=parts, where=y != 0)
        return log * mass - np.dot(parts, one), z if self.from_logits else p, slopes


class SparseCategoricalCrossentropy(Crossentropy):
    """L = -log p_y with p = softmax(z) and y the number of the class, (B, 1).

    The derivative is p, less 1 at the class: minus the sum of the others where p is the largest.  Smoothed, it is the
    CategoricalCrossentropy of one-hot targets.
    ignore_class: a class number, such as -1 or 255, whose rows count 0 and have no part in a mean, where the loss is
    called on arrays.  Training gives such rows no weight: `class_weight={2: 0.0}`, or weights of 0.

    >>> float(SparseCategoricalCrossentropy().rows(np.zeros((1, 2)), np.array([[1.0]]))[0][0].round(4))
    0.6931
    >>> round(SparseCategoricalCrossentropy(ignore_class=-1)([0, -1], [[0.5, 0.5], [0.5, 0.5]]), 4)
    0.6931
    """

    exclusive = True
    targets = "class"
    natural = "softmax"

    ignore_class: int | None = later(optional(integer(low=-(2**31), why="it is the number of a class")))

    def columns(self, outputs: int) -> int:
        return 1

    def legal(self, y: Array, outputs: int) -> Array:
        return super().legal(y, outputs) | (y == self.ignore_class)

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        if self.ignore_class is not None:
            rest, ignored = replace(self, ignore_class=None), y == self.ignore_class
            losses, outputs, slopes = rest.rows(z, np.where(ignored, 0, y))
            return np.where(ignored[:, 0], 0, losses), outputs, np.where(ignored, 0, slopes)
        at = row_starts(*z.shape) + y[:, 0].astype(np.intp)
        if self.label_smoothing:
            one_hot = np.zeros_like(z)
            one_hot.reshape(-1)[at] = 1
            return CategoricalCrossentropy(self.from_logits, self.label_smoothing).rows(z, one_hot)
        p, shifted, log, top, others = softmax_parts(z)
        losses = log - shifted.reshape(-1)[at]
        slopes = p.copy()
        slopes.reshape(-1)[at] = np.where(at == top, 0 - others, p.reshape(-1)[at] - 1)
        return losses, z if self.from_logits else p, slopes

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if self.ignore_class is None:
            return super().__call__(y_true, y_pred, sample_weight)
        rows = np.shape(y_pred)[:-1]
        counted = np.reshape(y_true, rows) != self.ignore_class
        found = super().__call__(y_true, y_pred, weights_of(sample_weight, rows) * counted)
        if self.reduction in ("sum_over_batch_size", "mean") and counted.any():
            return float(found * counted.size / np.count_nonzero(counted))
        return found


def softmax_parts(z: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return softmax(z), z less its row maximum, and the logarithm of the sum of the exponentials of that.

    The sum is 1 and the others; where these are next to nothing its rounding is added to the logarithm again.
    Also return where the maxima lie, and the sums of the other probabilities, which keep the digits that 1 - p loses.
    """
    # z at its argmax, because NumPy finds the argmax of short rows five times faster than the maximum
    top = row_starts(*z.shape) + z.argmax(axis=1)
    shifted = z - z.reshape(-1)[top][:, None]
    e, one = np.exp(shifted), ones(z.shape[1], z.dtype)
    total = np.dot(e, one)
    p = e / total[:, None]
    e.reshape(-1)[top] = 0
    others = np.dot(e, one)
    return p, shifted, np.log(total) + (others - (total - 1)), top, others / total


def exclusive(loss: Loss, outputs: int) -> bool:
    """Return whether the outputs are classes that exclude each other, and not labels of their own."""
    return outputs > 1 and not isinstance(loss, BinaryCrossentropy)


def on_logits(loss: Loss) -> bool:
    """Return whether the loss takes a network that ends in logits."""
    return bool(getattr(loss, "from_logits", False))


def middle(loss: Loss) -> float:
    """Return the output of a network that is undecided about a label."""
    return 0.0 if on_logits(loss) or loss.targets == "sign" else 0.5
