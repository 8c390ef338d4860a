"""Training data in NumPy arrays or sparse matrices, for training in this process (without Spark)."""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from firesteel.core.centre import UNCENTRED, Centre, less
from firesteel.core.csr import Features, suited
from firesteel.core.types import Array
from firesteel.errors import DataError
from firesteel.fast.blas import one_blas_thread
from firesteel.tables.holdout import HoldOut
from firesteel.tables.targets import OutputRule, output_findings
from firesteel.train import checks
from firesteel.train.blocks import Keys, count_nonzeros, n_blocks, pack_arrays, pack_in_order, row_keys
from firesteel.train.centring import Sample
from firesteel.train.checks import refuse
from firesteel.train.engine import LocalEngine, check_shards
from firesteel.train.recipe import Recipe
from firesteel.train.source import RowProfile, check_weights


class Arrays:
    """Training data in memory: inputs, targets and row weights, split into training and validation rows.

    Args:
        x: The inputs, (n, I), dense or sparse.
        y: The targets, (n,) or (n, T).
        w: The row weights, (n,); None is 1.
        dtype: The dtype of the network.
        split: Share of the rows, at the end, that is held out.
        names: Names of the parts in messages.
        out: Which rows are held out, (n,), if not the last ones.
        rules: Rules for the targets of several outputs.
    """

    names: Mapping[str, str] = {"features": "x", "label": "y", "weight": "sample_weight"}

    def __init__(
        self,
        x: Features,
        y: Array,
        w: Array | None,
        dtype: str,
        split: float = 0.0,
        names: Mapping[str, str] = names,
        out: npt.NDArray[np.bool_] | None = None,
        rules: Sequence[OutputRule] = (),
    ) -> None:
        self.dtype, self.split, self.names, self.rules = np.dtype(dtype), split, names, rules
        self.profiled: RowProfile | None = None
        self.middle: tuple[float, ...] | None = None
        self.x, self.y = x, y[:, None] if y.ndim == 1 else y
        self.w = np.ones(len(x)) if w is None else w
        n, last = len(x), int(len(x) * (1.0 - split))
        self.out, self.train = out, last if out is None else n - int(np.count_nonzero(out))
        self.parts = (slice(0, last), slice(last, None)) if out is None else (~out, out)
        if not self.train:
            raise DataError(
                f"{names['features']} has {len(self.x):,} rows, so no training rows remain: give more rows"
                + (f", or a validation_split below {split:g}" if len(self.x) else ""),
                code="data-empty",
            )
        if split and self.train == len(self.x):
            raise DataError(
                f"validation_split={split:g} of {len(self.x):,} rows is less than one row: increase it, or omit it",
                code="data-empty",
            )

    def folded(self, fold: int, folds: int) -> Self:
        """Return a copy whose validation rows are fold `fold` of `folds`; a hash of each row determines its fold.

        Args:
            fold: Number of the part, from 0.
            folds: Number of parts.

        Raises:
            DataError: If a side has no rows.
        """
        middle = self.profile().centre.features
        out = HoldOut(fold=(fold, folds)).rows(self.keys, self.y)
        if out.all() or not out.any():
            what = "training" if out.all() else "validation"
            raise DataError(
                f"ensemble member {fold} of {folds} has no {what} rows ({len(out):,} rows in all): use fewer members",
                code="data-empty",
            )
        made = copy.copy(self)
        made.out, made.parts, made.train = out, (~out, out), int(np.count_nonzero(~out))
        made.split, made.profiled, made.middle = 1 / folds, None, middle
        return made

    def profile(self) -> RowProfile:
        """Validate the rows and return their summary: counts of rows, columns, classes and invalid values."""
        if self.profiled is not None:
            return self.profiled
        found = checks.find_faults(self.x, self.y, self.w, self.dtype, "row {}".format)
        refuse(found, len(self.x), self.names)
        found |= output_findings(self.y, self.rules, "row {}".format) if self.rules else {}
        w, (n, width), (rows, out) = self.w.astype(self.dtype), self.x.shape, self.parts
        check_weights(float(w[rows].sum(dtype=np.float64)), self.names["weight"])
        if self.train < n:
            check_weights(float(w[out].sum(dtype=np.float64)), self.names["weight"], "held out")
        held_out = np.arange(n) >= self.train if self.out is None else self.out
        classes = checks.count_classes(self.y, held_out, "row {}".format)
        nonzeros = count_nonzeros(self.x, self.dtype)
        if not hasattr(self, "keys"):
            self.keys: Keys = row_keys(self.x, self.y)
        sample = Sample.of(self.keys, self.x, self.y, held_out)
        profiled = RowProfile(self.train, n - self.train, width, self.y.shape[1], found, classes, nonzeros)
        self.profiled = profiled.sampled(sample, self.middle) if self.dtype == np.float32 else profiled
        return self.profiled

    def shards_of(self, recipe: Recipe) -> int:
        """Return the number of shards that the training settings `recipe` ask for; 1 by default."""
        return 1 if recipe.shards is None else recipe.shards

    @contextlib.contextmanager
    def engine(
        self, shards: int | None = None, *, held: bool = False, shuffle: bool = True, centre: Centre = UNCENTRED
    ) -> Iterator[LocalEngine]:
        """Yield a `LocalEngine` that computes over the training rows, or over the validation rows if `held`."""
        rows = self.parts[held]
        pack = pack_arrays if shuffle else pack_in_order
        count = 1 if shards is None else shards
        profile = self.profile()
        words = profile.words
        taken = self.x[rows]
        x = taken if isinstance(taken, np.ndarray) and not profile.sparse else suited(taken, profile.sparse)
        x = less(x, centre.features, self.dtype)
        check_shards(count, n_blocks(len(x), words))
        y = less(self.y[rows], centre.targets, self.dtype)
        blocks = pack(x, y, self.w[rows], self.dtype, words, self.keys[rows])
        engine = LocalEngine(blocks, count, centre)
        try:
            with one_blas_thread():  # for the whole fit: other libraries' limits must not interleave with it
                yield engine
        finally:
            engine.close()
