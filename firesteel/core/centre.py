"""Centres: constants subtracted from columns far from zero, so that float32 keeps their digits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from firesteel.core.csr import CSR, Features
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = ["UNCENTRED", "Centre", "less", "plus"]


@dataclass(frozen=True)
class Centre:
    """The constant subtracted from each column of inputs and targets: 0 unless the column is far from zero.

    Args:
        features: One number for each of the I inputs, or none at all.
        targets: One number for each of the T target columns, or none at all.
    """

    features: tuple[float, ...] = ()
    targets: tuple[float, ...] = ()

    def to_config(self) -> dict[str, list[float]]:
        """Return the configuration, which JSON can hold."""
        return {name: list(part) for name, part in vars(self).items() if part}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> "Centre":
        """Return the centre that `to_config` described.

        Raises ConfigError unless all its values are finite numbers.
        """
        parts = [config.get(name, ()) for name in ("features", "targets")]
        if not all(type(value) is float and np.isfinite(value) for part in parts for value in part):
            raise ConfigError("this config describes no network: its centre holds no numbers", code="config-field")
        return Centre(*map(tuple, parts))


UNCENTRED = Centre()


def less(values: Features, centre: Sequence[float], dtype: np.dtype[Any]) -> Any:
    """Subtract a centre from the columns of values, (n, I), and convert them to `dtype`; None subtracts nothing.

    Example:
        >>> less(np.array([[1.7e9 + 60.5, 3.0]]), (1.7e9, 0.0), np.dtype("f4"))
        array([[60.5,  3. ]], dtype=float32)
    """
    if not any(centre):
        return values
    columns, values = np.flatnonzero(centre), values.dense() if isinstance(values, CSR) else values
    middle, far = np.array(centre)[columns], values[:, columns]
    near = far.astype(np.float64) - middle
    if far.dtype.kind in "iu" and far.dtype.itemsize == 8:  # float64 would round these
        words = np.array([int(value) % 2**64 for value in middle], np.uint64)
        exact = (far.astype(far.dtype.newbyteorder("=")).view(np.uint64) - words).view(np.int64)
        near = np.where(np.abs(near) < 2.0**52, exact - np.fmod(middle, 1), near)
    with np.errstate(over="ignore"):
        out = values.astype(dtype)
        out[:, columns] = near
    return out


def plus(values: Array, centre: Sequence[float]) -> Array:
    """Add a centre that was subtracted before, in float64; return the values unchanged if it is None."""
    return values + np.array(centre, np.float64) if np.any(centre) else values
