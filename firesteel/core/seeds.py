"""Randomness has an address, not a history: every stream is named by what it is for.

The same address gives the same numbers on any machine, in any order and after any retry, so there is no
generator state to ship or to save.  Everything random in firesteel comes from here; see `layout.py` next.
"""

import zlib

import numpy as np

__all__ = ["rng_for"]


def rng_for(seed: int, *path: str | int) -> np.random.Generator:
    """Return the generator that lives at `path` under the root `seed`.

    seed: any integer >= 0.  path: words and integers >= 0, for example `("dropout", layer, epoch, shard, step)`.

    >>> a, b = rng_for(7, "dropout", 2, 0), rng_for(7, "dropout", 2, 0)
    >>> bool(a.random() == b.random())
    True
    >>> bool(a.random() == rng_for(7, "dropout", 2, 1).random())
    False

    Source: NumPy's SeedSequence, whose spawn key is the address (words enter as their CRC-32).
    """
    key = tuple(part if isinstance(part, int) else zlib.crc32(part.encode()) for part in path)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
