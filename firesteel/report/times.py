"""Where the time of a training went, from the rows of its history.

The page of a run and the terminal's board both show it.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def time_split(rows: Sequence[Mapping[str, Any]], shards: int) -> tuple[float, float, float]:
    """Return the seconds of computing, of waiting for the slowest shard, and of engine and driver; together all.

    >>> time_split([{"seconds": 2.0, "shard_seconds": 1.5, "slowest_seconds": 1.0, "wait_seconds": 1.0}], 2)
    (0.75, 0.25, 1.0)
    """
    names = ("seconds", "shard_seconds", "slowest_seconds", "wait_seconds")
    whole, computed, slowest, engine = (sum(float(row.get(name, 0)) for row in rows) for name in names)
    waiting = max(0.0, min(slowest - computed / shards, whole - engine))
    return whole - engine - waiting, waiting, engine
