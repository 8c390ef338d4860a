"""Utilities under the names that they have in Keras."""

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel._drawing import plot_model
from firesteel.core.spec import whole
from firesteel.errors import ConfigError, DataError

__all__ = ["averaged_over_shifts", "normalize", "plot_model", "set_random_seed", "to_categorical"]

SEEDS = [0]
"""The seed of fits and models that are given none."""


def set_random_seed(seed: int) -> None:
    """Set the default seed of fits and of initial weights in this process.

    Every random number of firesteel derives from the seed of its fit and from its purpose, never from a shared
    generator; the generators of Python and NumPy are not touched.  Spark ML stages have their own Param `seed`.

    Args:
        seed: An integer of at least 0; 0 is the default.

    Raises:
        ConfigError: If `seed` is anything else (`config-value`).

    Example:
        >>> set_random_seed(7); SEEDS
        [7]
        >>> set_random_seed(0)
    """
    if (number := whole(seed)) is None or number < 0:
        raise ConfigError(f"seed={seed!r}: it must be an integer of at least 0", code="config-value")
    SEEDS[:] = [number]


def averaged_over_shifts(model: Any, pixels: int = 1) -> Any:
    """Return a model that averages the outputs for each image and four shifted copies: test-time augmentation.

    The copies are shifted by `pixels` up, down, left and right, with zeros beyond the edges.  The five branches share
    the weights of the given model, so training one model trains the other.  Prediction takes five times as long.

    Args:
        model: A model with one input, of images, and one output.
        pixels: The shift in pixels, at least 1.

    Returns:
        A `Model`, compiled like the given one.

    Raises:
        ConfigError: If the model's input is not an image, it has several inputs or outputs, or its images are not
            larger than the shift.

    Example:
        >>> from firesteel import Input, Sequential, layers
        >>> model = Sequential([Input((4, 4, 1)), layers.Flatten(), layers.Dense(2, "softmax")])
        >>> averaged_over_shifts(model).predict(np.ones((1, 4, 4, 1))).shape
        (1, 2)

    Source: Krizhevsky, Sutskever and Hinton 2012, section 4.1, who average over crops.
    """
    return importlib.import_module("firesteel.search.shifts").averaged_over_shifts(model, pixels)


def normalize(x: Any, axis: int = -1, order: float = 2) -> npt.NDArray[np.float64]:
    """Divide vectors by their norm, x / ||x||; zero vectors stay zero.

    Args:
        x: An array with at least one axis.
        axis: The axis along which the vectors lie.
        order: The order of the norm: 2 for the Euclidean norm, 1 for the sum of absolute values, `np.inf` for the
            largest absolute value.

    Returns:
        An array of the shape of `x`.

    Raises:
        DataError: If `x` is not numeric or has no such axis (`data-shape`).

    Example:
        >>> normalize([[3.0, 4.0], [0.0, 0.0]])
        array([[0.6, 0.8],
               [0. , 0. ]])
    """
    try:
        norms = np.linalg.norm(array := np.asarray(x, np.float64), order, axis, keepdims=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"cannot normalize x along {axis=} with {order=}: {error}", code="data-shape") from None
    return array / np.where(norms == 0, 1.0, norms)


def to_categorical(y: Any, num_classes: int | None = None) -> npt.NDArray[np.float64]:
    """Convert class indices to one-hot rows.

    Args:
        y: Class indices, integers of at least 0, of shape (n,) or (n, 1).
        num_classes: The number of classes; by default the largest index plus one.

    Returns:
        An array of shape (n, num_classes).

    Raises:
        DataError: If `y` has another shape (`data-shape`), or a value that is not a class index (`data-text`,
            `data-label-range`).
        ConfigError: If `num_classes` is not an integer of at least 1 (`config-value`).

    Example:
        >>> to_categorical([0, 2])
        array([[1., 0., 0.],
               [0., 0., 1.]])
    """
    try:
        classes = np.asarray(y, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"y must hold class indices: {error}", code="data-text") from None
    classes = classes[:, 0] if classes.ndim == 2 and classes.shape[1] == 1 else classes
    if classes.ndim != 1:
        raise DataError(f"y has shape {classes.shape}: give one class index per row", code="data-shape")
    if num_classes is not None and (whole(num_classes) or 0) < 1:
        raise ConfigError(f"num_classes={num_classes!r}: it must be an integer of at least 1", code="config-value")
    proper = np.isfinite(classes) & (classes >= 0) & (classes == np.floor(classes))
    count = int(classes[proper].max(initial=-1)) + 1 if num_classes is None else num_classes
    if (wrong := ~proper | (classes >= count)).any():
        row = int(wrong.argmax())
        top = "" if num_classes is None else f" to {count - 1}"
        raise DataError(
            f"y holds {classes[row]:g} at row {row}: class indices must be integers from 0{top}, and "
            f"{int(wrong.sum()):,} of {len(classes):,} rows are not",
            code="data-label-range",
        )
    return np.equal.outer(classes, np.arange(count)).astype(np.float64)
