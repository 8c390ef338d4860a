"""Training on small tables in the driver's process, with rows that are collected once.

A fit on executors runs a Spark job of 0.2 to 0.4 s per pass, longer than a pass over few rows in process.  Blocks and
shards are the same as on executors, so the bits are too.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from firesteel.core.centre import UNCENTRED, Centre
from firesteel.spark.engine import RESULT_SHARE, most_result
from firesteel.spark.frames import Frame, blocks_of, parts_of
from firesteel.tables.arrays import Arrays
from firesteel.train import checks
from firesteel.train.centring import Sample
from firesteel.train.engine import LocalEngine
from firesteel.train.recipe import Recipe
from firesteel.train.source import RowProfile, check_weights

MOST_ROWS = 20_000
"""Limit of a small table: a pass of the default network then takes 0.5 s of one core, as long as a job."""
MOST_BYTES = 64 << 20
"""Limit of their size in the driver's memory as float32."""


def is_small(source: Frame, profile: RowProfile) -> bool:
    """Return whether the rows of a source are few enough to collect."""
    rows, most = profile.rows + profile.held, RESULT_SHARE * most_result(source.sparkSession)
    return rows < MOST_ROWS and 4 * rows * profile.words <= min(MOST_BYTES, most)


class Collected(Arrays):
    """Rows of a small DataFrame, collected to the driver in one job."""

    def __init__(self, source: Frame, profile: RowProfile) -> None:
        rows = source.read()
        out = rows.held if rows.held.any() else None
        super().__init__(rows.x, rows.y, rows.w, source.dtype, names=source.names, out=out)
        self.keys, self.prints, self.split = rows.keys, rows.prints, source.split
        self.feature_names, self.sparkSession = source.feature_names, source.sparkSession
        self.whole = self.profiled = profile
        self.sampled = rows.x if source.schema is None else np.empty((len(rows.x), 0))

    def profile(self) -> RowProfile:
        if self.profiled is None:
            assert self.out is not None, "only rows with a hold-out are profiled again"
            weights = [float(self.w[rows].astype(self.dtype).sum(dtype=np.float64)) for rows in self.parts]
            check_weights(weights[0], self.names["weight"])
            check_weights(weights[1], self.names["weight"], "held out")
            classes = checks.count_classes(self.y, self.out, "row {}".format)
            part = replace(self.whole, rows=self.train, held=len(self.y) - self.train, classes=classes)
            sample = Sample.of(self.prints, self.sampled, self.y, self.out)
            self.profiled = part.sampled(sample, self.middle)
        return self.profiled

    def shards_of(self, recipe: Recipe) -> int:
        return self.profile().shards(recipe, blocks_of(self.profile()))

    @contextlib.contextmanager
    def engine(
        self, shards: int | None = None, *, held: bool = False, shuffle: bool = True, centre: Centre = UNCENTRED
    ) -> Iterator[LocalEngine]:
        with super().engine(parts_of(self.profile(), shards, held), held=held, centre=centre) as engine:
            yield engine
