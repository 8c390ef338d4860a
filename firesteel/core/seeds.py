"""Random streams without state: each has an address that says what its numbers are for.

The same address gives the same numbers on any machine, in any order and after any retry, so there is no generator
state to ship or save.  All randomness in firesteel comes from here.  Initial weights and the order of rows come from
NumPy generators; masks and noise come from streams of counted words, which compiled code can compute from the same
few lines (`fast/kernels/random.py`).
"""

import functools
import math
import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CACHED", "FIRST", "SECOND", "STEP", "Stream", "rng_for", "stream_for"]


def rng_for(seed: int, *path: str | int) -> np.random.Generator:
    """Return a NumPy random generator for a seed and an address, such as ("blocks", epoch, shard).

    Args:
        seed: An integer of at least 0.
        *path: Words and integers of at least 0, such as `("rows", epoch, shard, round)`.

    Example:
        >>> a, b = rng_for(7, "rows", 2, 0), rng_for(7, "rows", 2, 0)
        >>> bool(a.random() == b.random())
        True
        >>> bool(a.random() == rng_for(7, "rows", 2, 1).random())
        False

    Source: NumPy's SeedSequence, whose spawn key is the address (words enter as their CRC-32).
    """
    key = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in path]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def _number(part: str | int) -> int:
    return part if isinstance(part, int) else zlib.crc32(part.encode())


STEP, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""The constants of SplitMix64: the increment of its counter, and the factors of its words."""
WORD = (1 << 64) - 1
CACHED = 8192
"""Number of elements to draw at a time, so that they fit in a core's cache."""


def word(key: int, number: int) -> int:
    """Return word `number` of a key's random stream, as `Stream.words` does for many."""
    z = (key + (number + 1) * STEP) & WORD
    z = (z ^ z >> 30) * FIRST & WORD
    z = (z ^ z >> 27) * SECOND & WORD
    return z ^ z >> 31


class Stream(NamedTuple):
    """A random stream: word i, 64 random bits, depends only on the key and on i.

    z = key + (i + 1) STEP;  z = (z ^ z >> 30) FIRST;  z = (z ^ z >> 27) SECOND;  word = z ^ z >> 31, modulo 2^64.

    >>> stream = stream_for(7, "op", 2, 0)
    >>> stream.words(2).tolist() == [word(stream.key, 0), word(stream.key, 1)]
    True

    Source: SplitMix64 (Steele, Lea and Flood 2014) as a function of its counter, with Stafford's variant 13 of the
    mixing function.
    """

    key: int

    def inside(self, name: str, number: int) -> "Stream":
        """Derive another random stream from this one by a name and a number."""
        return Stream(word(self.key, (_number(name) << 31) + number))

    def words(self, count: int, first: int = 0) -> npt.NDArray[np.uint64]:
        """Return `count` random words, (count,), from word number `first` on."""
        number = np.uint64
        z = np.arange(first + 1, first + count + 1, dtype=np.uint64)
        z *= number(STEP)
        z += number(self.key)
        z ^= z >> number(30)
        z *= number(FIRST)
        z ^= z >> number(27)
        z *= number(SECOND)
        z ^= z >> number(31)
        return z

    def halves(self, count: int, first: int = 0) -> npt.NDArray[np.uint32]:
        """Return `count` random 32-bit numbers: the low half of each word, then the high half.

        Args:
            count: The number of elements.
            first: The first element; an even number.
        """
        return self.words((count + 1) // 2, first // 2).astype("<u8", copy=False).view("<u4")[:count]

    def normal(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Draw numbers from N(0, 1), two from each word by the Box-Muller transform.

        `r = sqrt(-2 log((low + 1/2) / 2^32))` and `a = 2 pi high / 2^32`, from the halves of the word, in float32.

        Source: Box and Muller 1958.
        """
        count = math.prod(shape)
        found = np.empty(count + count % 2, np.float32)
        for first in range(0, count, CACHED):
            part = found[first : first + CACHED]
            halves = self.halves(len(part), first).astype(np.float32)
            r, angle = halves[::2] + np.float32(0.5), halves[1::2] * np.float32(2 * np.pi * 2.0**-32)
            r *= np.float32(2.0**-32)
            np.log(r, out=r)
            r *= np.float32(-2)
            np.sqrt(r, out=r)
            np.multiply(r, np.cos(angle), out=part[::2])
            np.multiply(r, np.sin(angle, out=angle), out=part[1::2])
        return found[:count].reshape(shape)


def stream_for(seed: int, *path: str | int) -> Stream:
    """Return the random stream for a seed and an address, both as in `rng_for`.

    The key of a stream is a word of the stream of the address without its last part, the word whose number that part
    is.

    Example:
        >>> stream_for(7, "op", 2, 0) == stream_for(7, "op", 2, 0)
        True
        >>> stream_for(7, "op", 2, 0) == stream_for(7, "op", 2, 1)
        False
    """
    key = count = max(1, -(-seed.bit_length() // 64))
    for number in (*(seed >> 64 * n & WORD for n in range(count)), *map(_number, path)):
        key = cached_word(key, number)
    return Stream(key)


cached_word = functools.lru_cache(4096)(word)
"""`word` with a cache: addresses share most of their parts with the address before."""
