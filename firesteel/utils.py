"""Small things that people who know Keras look for here."""

from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.errors import DataError

__all__ = ["to_categorical"]


def to_categorical(y: Any, num_classes: int | None = None) -> npt.NDArray[np.float64]:
    """Return class numbers as one-hot rows, (n, num_classes).

    y: (n,) or (n, 1) integers >= 0.  num_classes: the largest plus one, if not given.
    Raises DataError for a number that is not a class.

    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    classes = np.asarray(y)
    if classes.ndim == 2 and classes.shape[1] == 1:
        classes = classes[:, 0]
    top = int(classes.max(initial=-1)) + 1 if classes.dtype.kind in "uif" else 0
    count = top if num_classes is None else num_classes
    wrong = (
        (classes < 0) | (classes >= count) | (classes != np.floor(classes)) if top else np.ones(len(classes), bool)
    )
    if classes.ndim != 1 or wrong.any():
        row = int(wrong.argmax()) if classes.ndim == 1 else 0
        raise DataError(
            f"y holds {classes[row]!r} at row {row}: classes must be the integers 0 to {count - 1}, and "
            f"{int(wrong.sum()):,} of {len(classes):,} rows hold something else",
            code="data-label-range",
        )
    return np.eye(count)[classes.astype(np.intp)]
