"""Base class of losses, and the cross-entropies, which compute softmax or sigmoid together with the loss.

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
    """Validate the name of a loss: text or None; otherwise raise ConfigError."""
    if got is not None and (not isinstance(got, str) or not got):
        raise ConfigError(f"name={got!r}: name must be text", code="config-value")
    return got


NAME: dict[str, Any] = {"check": lambda owner, name, got: loss_name(got), "later": lambda name: name is not None}
REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none")


class Loss(Spec, kw_only=True):
    """Base class of losses: computes the loss of each row and its derivative by the outputs.

    A loss of your own is a subclass with a method `rows`; its fields are its arguments.

    Class attributes:

    - `targets`: what the targets must be: "real", "unit" (numbers in [0, 1]), "class" (integers 0..O-1, T = 1),
      "count" (numbers of at least 0) or "sign" (-1 and 1, or 0 and 1).
    - `natural`: the activation whose outputs suit the loss.
    - `exclusive`: whether the outputs are classes that exclude each other, so that there must be at least two.
    - `differences`: whether the loss depends on z - y alone, so that both may be shifted by the same number.

    Args:
        reduction: How a call combines the losses of the rows: their mean by number ("sum_over_batch_size" or "mean"),
            their mean by weight ("mean_with_sample_weight"), their "sum", or one value a row ("none" or None).
            Training always takes the mean by weight and refuses sums and "none".
        name: Name of the loss as a metric; by default its snake-case name, such as "mean_squared_error".

    Example:
        >>> from firesteel.losses import Loss
        >>> class QuarticError(Loss):
        ...     def rows(self, z, y):
        ...         r = z - y
        ...         return (r**4).mean(axis=1), z, 4 * r**3 / r.shape[1]
        >>> QuarticError()([[1.0]], [[3.0]])
        16.0
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
        """Activation that the loss computes itself and that must end the network; None if any output is allowed."""
        return None

    def check(self, end: Layer | str, outputs: int) -> None:
        """Raise ConfigError unless the network's last activation and number of outputs suit the loss.

        Args:
            end: The last layer; "nothing" for a network without one.
            outputs: The number of outputs.

        Raises:
            ConfigError: If it does not (`config-loss`).
        """
        kind = type(self).__name__
        if self.reduction in ("sum", "none", None):
            raise ConfigError(
                f"{kind}(reduction={self.reduction!r}) can only be called on arrays, because training takes the mean "
                "over the rows: leave out reduction; for a sum, multiply the learning rate instead",
                code="config-loss",
            )
        if self.link is not None and not isinstance(end, self.link):
            raise ConfigError(
                f"{kind} needs a last layer with activation {self.natural!r}, but this network ends in {end}",
                code="config-loss",
            )
        if (self.exclusive or self.targets == "class") and outputs < 2:
            raise ConfigError(
                f"{kind} needs at least 2 outputs, one for each class, but this network has {outputs}: for two "
                "classes use 2 outputs, or 1 output with activation='sigmoid' and loss='binary_crossentropy'",
                code="config-loss",
            )

    def columns(self, outputs: int) -> int:
        """Return T, the number of target columns for a number of outputs.

        Args:
            outputs: The number of outputs.
        """
        return outputs

    def legal(self, y: Array, outputs: int) -> Array:
        """Return a mask of the targets that are valid class indices, of the same shape.

        Args:
            y: The targets.
            outputs: The number of outputs: class numbers run from 0 to `outputs` - 1.
        """
        return (y == np.floor(y)) & (y >= 0) & (y < outputs)

    def lowered(self, centre: Sequence[float]) -> "Loss":
        """Return the loss for outputs and targets from which a centre has been subtracted.

        Args:
            centre: One number for each target column; empty for none.
        """
        return self

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """Compute the loss of each row and its derivative.

        Args:
            z: What the network outputs, (B, O): the logits where the loss includes an activation.
            y: The targets, (B, T).

        Returns:
            The losses (B,), the predictions (B, O) and d(loss)/dz (B, O).
        """
        raise NotImplementedError

    def scores(self, p: Array, y: Array) -> Array:
        """Return the loss of each row, (B,), from predictions p instead of logits.

        Args:
            p: The predictions, (B, O): probabilities if there is a `link`.
            y: The targets, (B, T).
        """
        return self.rows(p, y)[0]

    def of(self, y_true: Any, y_pred: Any) -> Array:
        """Return the loss of each row of predictions.

        Args:
            y_true: The targets, (..., O); class numbers, (...) or (..., 1), where the loss takes these.
            y_pred: The predictions, (..., O).

        Returns:
            The losses, (...).

        Raises:
            DataError: If either does not hold numbers (`data-text`), shapes do not match (`data-shape`), or a class
                number is out of range (`data-label-range`).

        Example:
            >>> from firesteel.losses import MeanAbsoluteError
            >>> MeanAbsoluteError().of([[1.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]])
            array([1., 0.])
        """
        p = floats("y_pred", y_pred)
        y = floats("y_true", y_true).astype(p.dtype)
        if not p.ndim or not p.shape[-1]:
            raise DataError(f"y_pred has shape {p.shape}: its last axis must hold the outputs", code="data-shape")
        outputs = p.shape[-1]
        columns = self.columns(outputs)
        if (*y.shape, 1) == (*p.shape[:-1], columns):
            y = y[..., None]
        if y.shape != (*p.shape[:-1], columns):
            raise DataError(
                f"y_true has shape {y.shape} and y_pred has shape {p.shape}: {type(self).__name__} needs y_true of "
                f"shape {(*p.shape[:-1], columns)}",
                code="data-shape",
            )
        if self.targets == "class" and not self.legal(y, outputs).all():
            raise DataError(f"y_true must hold class numbers from 0 to {outputs - 1}", code="data-label-range")
        return self.scores(p.reshape(-1, outputs), y.reshape(-1, columns)).reshape(p.shape[:-1])[()]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the weighted loss of rows, reduced to one number or not, as `reduction` says.

        Args:
            y_true: The targets, as in `of`.
            y_pred: The predictions, as in `of`.
            sample_weight: One weight for all rows, one for each row, (...) or (..., 1), or one for each index of the
                leading axes; None for 1.

        Returns:
            A number; an array with one value a row where `reduction` is "none" or None.

        Raises:
            DataError: If shapes do not match (`data-shape`).

        Example:
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
    """Convert sample weights to one weight for each row, in the shape of the rows.

    Args:
        sample_weight: One weight for all rows, one for each row, or one for each index of the leading axes; None for
        1.
        rows: The shape of the rows.

    Raises:
        DataError: If shapes do not match (`data-shape`).

    Example:
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
        found = (
            f"sample_weight has shape {weights.shape}, but the rows have shape {rows}: give one weight for each row"
        )
        raise DataError(found, code="data-shape") from None


def paired(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Array, Array, Array]:
    """Convert to float64 outputs (B, O), targets (B, T) and weights (B,); raise DataError if shapes differ."""
    p, y = floats("y_pred", y_pred), floats("y_true", y_true)
    if p.ndim < 2:
        p, y = p.reshape(-1, 1), (y if y.size == p.size else y[None]).reshape(-1, 1)
    *rows, outputs = p.shape
    if y.shape not in (p.shape, p.shape[:-1], (*rows, 1)):
        found = f"y_true has shape {y.shape} and y_pred has shape {p.shape}: give one target row for each output row"
        raise DataError(found, code="data-shape")
    weights = weights_of(sample_weight, tuple(rows)).astype(np.float64)
    return p.reshape(-1, outputs), y.reshape(-1, outputs if y.shape == p.shape else 1), weights.reshape(-1)


def floats(name: str, given: Any) -> Array:
    """Convert numbers to an array of floats; raise DataError for anything else."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be an array of numbers: {error}", code="data-text") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} must be an array of numbers, but its dtype is {array.dtype}", code="data-text")
    return array.astype(np.result_type(array.dtype, np.float32))


class Crossentropy(Loss):
    """Base class of cross-entropies, computed from logits together with softmax or sigmoid.

    Args:
        from_logits: Whether the network outputs logits.  If so, the last layer needs no activation, and the model
            predicts logits, as in Keras.
        label_smoothing: Share of each target that is spread evenly over all classes, in [0, 1).
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default its snake-case name.
    """

    from_logits: bool = flag(False)
    label_smoothing: float = number(
        0.0, low=0.0, below=1.0, why="label_smoothing is the share of a target spread over all classes"
    )

    @property
    def link(self) -> type[Layer] | None:
        return None if self.from_logits else type(ACTIVATIONS[self.natural])  # type: ignore[return-value]

    def check(self, end: Layer | str, outputs: int) -> None:
        super().check(end, outputs)
        if (one := getattr(self, "ignore_class", None)) is not None:
            raise ConfigError(
                f"{type(self).__name__}(ignore_class={one}) can only be called on arrays: for training, leave out "
                "ignore_class and these rows, or give the rows weight 0 with class_weight={number: 0.0} or "
                "sample_weight",
                code="config-loss",
            )
        if self.link is None and end == ACTIVATIONS[self.natural]:
            raise ConfigError(
                f"{type(self).__name__}(from_logits=True) needs a last layer that outputs logits, but this network "
                f"ends in {end}: leave out from_logits, or the activation",
                code="config-loss",
            )

    def smoothed(self, y: Array, classes: int) -> Array:
        """Return the targets after label smoothing."""
        return y * (1 - self.label_smoothing) + self.label_smoothing / classes if self.label_smoothing else y

    def logits(self, p: Array) -> Array:
        """Convert probabilities to logits, (B, O), after raising those near 0 to the smallest normal number."""
        return np.log(np.maximum(p, np.finfo(p.dtype).tiny))

    def scores(self, p: Array, y: Array) -> Array:
        return self.rows(p if self.from_logits else self.logits(p), y)[0]


class BinaryCrossentropy(Crossentropy):
    """Binary cross-entropy, for one yes-or-no label or several independent ones.

    `L = -1/O sum_k (y_k log p_k + (1 - y_k) log(1 - p_k))`, where `p = sigmoid(z)` are the predicted probabilities
    and y the targets, in [0, 1].  The last layer has `activation="sigmoid"`, which the loss includes.

    Args:
        from_logits: Whether the network outputs the logits z, so that its last layer has no activation.
        label_smoothing: Share s of each target that is moved to 1/2, in [0, 1): y becomes `y (1 - s) + s / 2`.
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "binary_crossentropy".

    Example:
        >>> from firesteel.losses import BinaryCrossentropy
        >>> y_true, y_pred = [[1.0], [0.0]], [[0.5], [0.5]]
        >>> round(BinaryCrossentropy()(y_true, y_pred), 4)
        0.6931
        >>> BinaryCrossentropy().of(y_true, y_pred).round(4)
        array([0.6931, 0.6931])

    Variant: as in Keras, the mean over the outputs; smoothing is towards 1/2.
    """

    targets = "unit"
    natural = "sigmoid"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        # L = |z| |s - y| + log(1 + e) with e = exp(-|z|) and s = 1[z >= 0], where no term is negative.
        # dL/dz = (p - y) / O = (p (1 + e) - y - y e) / (1 + e) / O, where p (1 + e) is 1 or e: near 0 both terms keep
        # their digits, for y = 1 too.  Both are linear in y, so label smoothing mixes them with those of y = 1/2.
        size, yes = np.abs(z), z >= 0
        e = np.exp(-size)
        above, total = np.maximum(e, yes), 1 + e
        apart, gap, slopes = np.abs(yes - y), np.zeros_like(z), above - y - y * e
        np.multiply(apart, size, out=gap, where=apart != 0)  # avoids 0 * inf for an infinite, correct logit
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
    """Categorical cross-entropy, for one-hot targets or distributions over classes that exclude each other.

    `L = -sum_k y_k log p_k`, where `p = softmax(z)` are the predicted probabilities and y the targets, (B, O).  The
    last layer has `activation="softmax"`, which the loss includes.

    Args:
        from_logits: Whether the network outputs the logits z, so that its last layer has no activation.
        label_smoothing: Share s of each target that is spread evenly over the O classes, in [0, 1): y becomes
            `y (1 - s) + s / O`.
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "categorical_crossentropy".

    Example:
        >>> from firesteel.losses import CategoricalCrossentropy
        >>> y_true, y_pred = [[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]
        >>> round(CategoricalCrossentropy()(y_true, y_pred), 4)
        0.6931
        >>> CategoricalCrossentropy().of(y_true, y_pred).round(4)
        array([0.6931, 0.6931])

    Source: label smoothing is that of Szegedy et al. 2016, section 7.
    """

    exclusive = True
    targets = "unit"
    natural = "softmax"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        # dL/dz = p s - y with s = sum_k y_k; where p is the largest and y more than s/2, (s - y) - (1 - p) s instead,
        # where 1 - p is the sum of the others
        y = self.smoothed(y, z.shape[1])
        p, shifted, log, top, others = softmax_parts(z)
        one = ones(z.shape[1], z.dtype)
        mass = np.dot(y, one)
        slopes, own, parts = p * mass[:, None] - y, y.reshape(-1)[top], np.zeros_like(z)
        slopes.reshape(-1)[top] = np.where(own + own > mass, mass - own - others * mass, slopes.reshape(-1)[top])
        np.multiply(y, shifted, out=parts, where=y != 0)
        return log * mass - np.dot(parts, one), z if self.from_logits else p, slopes


class SparseCategoricalCrossentropy(Crossentropy):
    """Categorical cross-entropy for targets that are class indices.

    `L = -log p_y`, where `p = softmax(z)` are the predicted probabilities and y is the number of the class, 0..O-1.
    The last layer has `activation="softmax"`, which the loss includes.

    Args:
        from_logits: Whether the network outputs the logits z, so that its last layer has no activation.
        label_smoothing: Share of each target that is spread evenly over all classes, in [0, 1).
        ignore_class: A class number, such as -1 or 255, whose rows have loss 0 and do not count in the mean, where
            the loss is called on arrays.  Training refuses it: there, give such rows no weight, with
            `class_weight={2: 0.0}` or `sample_weight`.
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "sparse_categorical_crossentropy".

    Example:
        >>> from firesteel.losses import SparseCategoricalCrossentropy
        >>> y_true, y_pred = [1, 0], [[0.5, 0.5], [0.75, 0.25]]
        >>> round(SparseCategoricalCrossentropy()(y_true, y_pred), 4)
        0.4904
        >>> SparseCategoricalCrossentropy().of(y_true, y_pred).round(4)
        array([0.6931, 0.2877])
        >>> SparseCategoricalCrossentropy(ignore_class=-1).of([1, -1], [[0.5, 0.5], [0.5, 0.5]]).round(4)
        array([0.6931, 0.    ])

    Source: label smoothing is that of Szegedy et al. 2016, section 7.
    """

    exclusive = True
    targets = "class"
    natural = "softmax"

    ignore_class: int | None = later(optional(integer(low=-(2**31), why="ignore_class is the number of a class")))

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
        # p - 1 as minus the sum of the others where p is the largest
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
    """Compute softmax(z), (B, O), and terms of its logarithm that the cross-entropies need.

    The sum of the exponentials is 1 plus that of the others.  Where the others nearly vanish, what the sum lost to
    rounding is added to its logarithm.

    Returns:
        softmax(z); z less the row's maximum; the logarithm of the sum of the exponentials of that, (B,); the flat
        indices of the maxima, (B,); and the sum of the other probabilities, (B,), which keeps the digits that 1 - p
        loses.
    """
    # NumPy finds the argmax of short rows five times faster than the maximum
    top = row_starts(*z.shape) + z.argmax(axis=1)
    shifted = z - z.reshape(-1)[top][:, None]
    e, one = np.exp(shifted), ones(z.shape[1], z.dtype)
    total = np.dot(e, one)
    p = e / total[:, None]
    e.reshape(-1)[top] = 0
    others = np.dot(e, one)
    return p, shifted, np.log(total) + (others - (total - 1)), top, others / total


def exclusive(loss: Loss, outputs: int) -> bool:
    """Return whether the outputs are mutually exclusive classes, not independent labels."""
    return outputs > 1 and not isinstance(loss, BinaryCrossentropy)


def on_logits(loss: Loss) -> bool:
    """Return whether the loss expects a network that outputs logits."""
    return bool(getattr(loss, "from_logits", False))


def middle(loss: Loss) -> float:
    """Return the decision threshold of outputs: 0.5 for probabilities, 0 for logits and signs."""
    return 0.0 if on_logits(loss) or loss.targets == "sign" else 0.5
