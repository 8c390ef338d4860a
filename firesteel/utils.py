"""Small things that people who know Keras look for here."""

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel._drawing import plot_model
from firesteel.core.spec import whole
from firesteel.errors import ConfigError, DataError

__all__ = ["averaged_over_shifts", "normalize", "plot_model", "set_random_seed", "to_categorical"]

SEEDS = [0]
"""The seed of what names none."""


def set_random_seed(seed: int) -> None:
    """Set the seed of later fits that name none, and of the first weights of models, in this process.

    Every random number of firesteel comes from the seed of a fit and what the number is for, and never from a
    generator that is shared; those of Python and NumPy are left alone.  Stages have their own Param `seed`.

    Args:
        seed: An integer of at least 0; 0 is the default.

    Raises:
        ConfigError: If it is anything else.

    >>> set_random_seed(7); SEEDS
    [7]
    >>> set_random_seed(0)
    """
    if (number := whole(seed)) is None or number < 0:
        raise ConfigError(f"seed={seed!r}: it must be an integer of at least 0", code="config-value")
    SEEDS[:] = [number]


def averaged_over_shifts(model: Any, pixels: int = 1) -> Any:
    """Return a model whose outputs are the means of this one's for each picture and for four that are shifted.

    They are shifted by some pixels up, down, left and right, with zeros beyond the edges.  Its weights are those of
    the model, in five branches, so that training one trains the other; it predicts in five times the time.

    Args:
        model: Takes one picture, as `Input` says, and has one output.
        pixels: How far pictures are shifted.

    Returns:
        A `Model`, which is compiled as this one is.

    Raises:
        ConfigError: If it takes no pictures, or has several outputs, or pictures are smaller than the shift.

    >>> from firesteel import Input, Sequential, layers
    >>> model = Sequential([Input((4, 4, 1)), layers.Flatten(), layers.Dense(2, "softmax")])
    >>> averaged_over_shifts(model).predict(np.ones((1, 4, 4, 1))).shape
    (1, 2)

    Source: Krizhevsky, Sutskever and Hinton 2012, section 4.1, who average over cut-outs.
    """
    return importlib.import_module("firesteel.search.shifts").averaged_over_shifts(model, pixels)


def normalize(x: Any, axis: int = -1, order: float = 2) -> npt.NDArray[np.float64]:
    """Return x / ||x|| along an axis; what is 0 stays 0.

    Args:
        x: Numbers, of any shape but ().
        axis: The axis whose numbers are a vector.
        order: Which norm: 2 for the Euclidean one, 1 for the sum of sizes, np.inf for the largest size.

    Raises:
        DataError: If x holds no numbers, or has no such axis.

    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    try:
        norms = np.linalg.norm(array := np.asarray(x, np.float64), order, axis, keepdims=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"x has no vectors along {axis=} of {order=}: {error}", code="data-shape") from None
    return array / np.where(norms == 0, 1.0, norms)


def to_categorical(y: Any, num_classes: int | None = None) -> npt.NDArray[np.float64]:
    """Return class numbers as one-hot rows, (n, num_classes).

    y: (n,) or (n, 1) integers >= 0.  num_classes: the largest plus one, if not given.
    Raises DataError for a number that is not a class.

    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    try:
        classes = np.asarray(y, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"y must hold the numbers of classes: {error}", code="data-text") from None
    classes = classes[:, 0] if classes.ndim == 2 and classes.shape[1] == 1 else classes
    if classes.ndim != 1:
        raise DataError(f"y has shape {classes.shape}: give the number of one class a row", code="data-shape")
    if num_classes is not None and (whole(num_classes) or 0) < 1:
        raise ConfigError(f"num_classes={num_classes!r}: it must be an integer of at least 1", code="config-value")
    proper = np.isfinite(classes) & (classes >= 0) & (classes == np.floor(classes))
    count = int(classes[proper].max(initial=-1)) + 1 if num_classes is None else num_classes
    if (wrong := ~proper | (classes >= count)).any():
        row = int(wrong.argmax())
        top = "" if num_classes is None else f" to {count - 1}"
        raise DataError(
            f"y holds {classes[row]:g} at row {row}: classes must be whole numbers from 0{top}, and "
            f"{int(wrong.sum()):,} of {len(classes):,} rows hold something else",
            code="data-label-range",
        )
    return np.equal.outer(classes, np.arange(count)).astype(np.float64)
