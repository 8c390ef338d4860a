"""Spark's daemon of Python workers, whose collector leaves alone what outlives a task.

Spark has each worker collect its garbage after every task, over the objects of all modules: 30 ms of processor time,
most of what a task of these tests costs.
"""

import gc
from types import SimpleNamespace

from pyspark import daemon


def collect() -> None:
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    daemon.gc = SimpleNamespace(collect=collect)
    daemon.manager()
