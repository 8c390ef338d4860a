"""Which rows are held out for validation: a share of them, drawn by their keys.

So equal rows go to one side, and both engines hold out the same ones.
"""

import numpy as np
import numpy.typing as npt

from firesteel.train.blocks import Keys

__all__ = ["held_out"]


def held_out(keys: Keys, share: float) -> npt.NDArray[np.bool_]:
    """Return which rows are held out, (n,): those whose keys, read as fractions in [0, 1), are below the share.

    >>> held_out(np.array([0, 2**62, 2**63], np.uint64), 0.5)
    array([ True,  True, False])
    """
    return (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53 < share
