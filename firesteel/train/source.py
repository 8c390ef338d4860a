"""Where rows come from: a source is surveyed (the third gate), then opened as an engine that holds its blocks.

`Arrays` is the source in process; frames have theirs in `firesteel/spark/frames.py`.  The rows held out for
validation are part of the source, so that both halves are checked in one look.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Number
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from firesteel.core.sparse import CSR, Features, suited
from firesteel.errors import ConfigError, DataError
from firesteel.train.blas import one_blas_thread
from firesteel.train.blocks import count_nonzeros, is_sparse, n_blocks, pack_arrays, pack_in_order
from firesteel.train.checks import (
    MOST_CLASSES,
    Classes,
    Findings,
    Rule,
    beyond,
    count_classes,
    look,
    misplaced,
    refuse,
)
from firesteel.train.engine import Engine, LocalEngine, check_shards
from firesteel.train.strategies import Strategy

__all__ = [
    "Arrays",
    "Source",
    "Survey",
    "check_kind",
    "check_targets",
    "check_weights",
    "check_width",
    "features_array",
]


@dataclass(frozen=True)
class Survey:
    """What is known of the rows once they have been looked at: how many to train on and held out, and their shape.

    width: I.  targets: T.  found: what is wrong with the targets, if they are meant for one kind of loss or another.
    classes: how often each occurs, if the targets can be classes.
    nonzeros: how many of the features of all rows are not 0, if they were counted.
    few: whether a source of vectors keeps most rows without their zeros, so that they are read sooner as they are.
    """

    rows: int
    held: int
    width: int
    targets: int
    found: Findings
    classes: Classes
    nonzeros: int | None = None
    few: bool = False

    @property
    def sparse(self) -> bool:
        """Whether rows are packed as their non-zeros."""
        return is_sparse(self.width, self.nonzeros, self.rows + self.held)

    def shards(self, usual: int) -> int:
        """Return S where the user gave none and a strategy would have so many, a power of two.

        Of sparse rows each shard gets 64 non-zeros or more for each column, on the average: every round it sends back
        as much of the first kernel as its rows have touched.
        """
        while self.sparse and usual > 1 and (self.nonzeros or 0) < 64 * usual * self.width:
            usual //= 2
        return usual

    @property
    def words(self) -> int:
        """How many words of 4 bytes a packed row is counted as."""
        if not self.sparse or self.nonzeros is None:
            return self.width
        return max(1, -(-2 * self.nonzeros // (self.rows + self.held)))


@runtime_checkable
class Source(Protocol):
    """Rows that can be checked, and then packed into blocks.

    names: what "features", "label" and "weight" are called there.  dtype: of the networks they are for.
    split: the share of them that is held out.
    """

    @property
    def names(self) -> Mapping[str, str]: ...

    @property
    def dtype(self) -> Any: ...

    @property
    def split(self) -> float: ...

    def survey(self) -> Survey:
        """Look at every row, once; raise DataError for anything that no network can be trained on."""
        ...

    def default_shards(self, strategy: Strategy, batch_size: int | None) -> int:
        """Return S where the user gave none."""
        ...

    def engine(
        self, shards: int | None = None, *, held: bool = False, shuffle: bool = True
    ) -> contextlib.AbstractContextManager[Engine]:
        """Give the engine that holds the rows to train on, or those held out, packed.

        shards: None where they are only evaluated, and the source may choose.
        """
        ...


def check_kind(survey: Survey, rule: Rule, name: str) -> None:
    """Raise DataError unless the targets are what a loss and its network take.  name: what they are called."""
    rows = survey.rows + survey.held
    refuse(survey.found, rows, {"label": name}, targets=rule.targets)
    if rule.targets == "class" and len(survey.classes) > MOST_CLASSES:
        raise DataError(
            f"{name} has more than {MOST_CLASSES:,} classes: is it a number to predict?", code="data-label-range"
        )
    if rule.targets == "class" and rule.classes is not None:
        beyond(survey.classes, rule.classes, rows, name)


class Arrays:
    """x: (n, I) numbers, or a sparse matrix of scipy's.  y: (n,) or (n, T).  weight: (n,) or None.

    split: share of the last rows held out.

    Raises DataError for anything but numbers of fitting shapes.
    """

    names = {"features": "x", "label": "y", "weight": "sample_weight"}

    def __init__(self, x: Any, y: Any, weight: Any, dtype: str, split: float = 0.0) -> None:
        self.dtype, self.split = np.dtype(dtype), split
        self.surveyed: Survey | None = None
        self.x = features_array(x)
        self.y = _numbers("y", y)
        self.w = np.ones(len(self.x)) if weight is None else _numbers("sample_weight", weight)
        if self.y.ndim == 1:
            self.y = self.y[:, None]
        for name, array, ndim in (("y", self.y, 2), ("sample_weight", self.w, 1)):
            if array.ndim != ndim:
                raise DataError(f"{name} has {array.ndim} axes: it must have {ndim}", code="data-shape")
            if len(array) != len(self.x):
                raise DataError(
                    f"x has {len(self.x):,} rows and {name} has {len(array):,}: they must be as many, a row of each "
                    "belonging together",
                    code="data-lengths",
                )
        self.train = int(len(self.x) * (1.0 - split))
        if not self.train:
            raise DataError(
                f"x has {len(self.x):,} rows and none is left to train on: give some rows"
                + (f", or a validation_split below {split:g}" if len(self.x) else ""),
                code="data-empty",
            )
        if split and self.train == len(self.x):
            raise DataError(
                f"validation_split={split:g} of {len(self.x):,} rows is no row at all: raise it, or leave it out",
                code="data-empty",
            )

    def survey(self) -> Survey:
        if self.surveyed is not None:
            return self.surveyed
        found = look(self.x, self.y, self.w, self.dtype, lambda row: f"row {row}")
        refuse(found, len(self.x), self.names)
        w = self.w.astype(self.dtype)
        check_weights(float(w[: self.train].sum(dtype=np.float64)), "sample_weight")
        if self.train < len(self.x):
            check_weights(float(w[self.train :].sum(dtype=np.float64)), "sample_weight", "held out")
        n, width = self.x.shape
        classes = count_classes(self.y, np.arange(n) >= self.train, lambda row: f"row {row}")
        nonzeros = count_nonzeros(self.x, self.dtype)
        self.surveyed = Survey(self.train, n - self.train, width, self.y.shape[1], found, classes, nonzeros)
        return self.surveyed

    def default_shards(self, strategy: Strategy, batch_size: int | None) -> int:
        return 1

    @contextlib.contextmanager
    def engine(self, shards: int | None = None, *, held: bool = False, shuffle: bool = True) -> Iterator[LocalEngine]:
        rows = slice(self.train, None) if held else slice(0, self.train)
        pack = pack_arrays if shuffle else pack_in_order
        count = 1 if shards is None else shards
        survey = self.survey()
        x = suited(self.x[rows], survey.sparse)
        check_shards(count, n_blocks(len(x), survey.words))
        engine = LocalEngine(pack(x, self.y[rows], self.w[rows], self.dtype, survey.words), count)
        try:
            with one_blas_thread():  # throughout: another library's limit that begins inside seldom ends outside
                yield engine
        finally:
            engine.close()


def features_array(x: Any) -> Features:
    """Return x as an array of numbers, (n, I), or as its non-zeros if it is a sparse matrix, which `tocsr` tells.

    Raises DataError where it is none of the two.
    """
    if hasattr(x, "tocsr") and len(x.shape) == 2:
        return _sparse(x.tocsr())
    array = _numbers("x", x, keep=True)
    if array.ndim != 2:
        shape = "x.reshape(len(x), -1)" if array.ndim > 2 else "x.reshape(-1, 1)"
        raise DataError(
            f"x has shape {array.shape}: a network takes rows of numbers, (rows, inputs); write {shape}",
            code="data-shape",
        )
    if not array.shape[1]:
        raise DataError("x has no columns: give at least one", code="data-shape")
    return array


def _sparse(x: Any) -> CSR:
    """Return a matrix's non-zeros; raise DataError where they are no numbers, or not where they should be."""
    if x.dtype.kind not in "uifb":
        raise DataError(
            f"x holds {x.dtype} values, in all of its {x.shape[0]:,} rows: turn them into numbers first",
            code="data-text",
        )
    if not 0 < x.shape[1] < 1 << 31:
        raise DataError(f"x has {x.shape[1]:,} columns: give at least one, and less than 2^31", code="data-shape")
    values = x.data.astype(np.float64) if x.dtype.kind == "b" or x.dtype == np.float16 else x.data
    rows = CSR(x.indptr.astype(np.int64), x.indices, values, x.shape[1])
    refuse(misplaced(rows, lambda row: f"row {row}")[0], len(rows), {"features": "x"})
    return replace(rows, indices=x.indices.astype(np.int32, copy=False))


def _numbers(name: str, values: Any, keep: bool = False) -> npt.NDArray[Any]:
    """Return the values as an array; of float64, or with `keep` of any real dtype."""
    if values is None:
        raise ConfigError(f"{name} is missing: arrays are fitted with fit(x, y)", code="config-missing")
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(
            f"{name} is ragged: its rows differ in length, and must all have as many values", code="data-shape"
        ) from None
    text = array.dtype.kind == "U" and not isinstance(values, np.ndarray)
    if text:
        array = np.asarray(values, object)  # so that numbers among text are not called text
    if not array.ndim and array.dtype.kind not in "uifb":
        raise DataError(
            f"{name} is a {type(values).__name__}, and no array of numbers: give an array, or a list of rows",
            code="data-shape",
        )
    if array.dtype == bool or (array.dtype == object and array.size):
        array = _converted(name, array, text)
    if array.dtype.kind not in "uif":
        first = array.reshape(-1)[0] if array.size else ""
        raise DataError(
            f"{name} holds {array.dtype} values, such as {str(first)!r} at row 0, in all of its {len(array):,} rows: "
            "turn them into numbers first (a class for each name, a 0/1 column for each category)",
            code="data-text",
        )
    return array if keep and array.dtype != np.float16 else array.astype(np.float64)


def _converted(name: str, array: npt.NDArray[Any], text: bool) -> npt.NDArray[Any]:
    """Return object or bool values as float64, None as NaN; raise DataError at the first that is no number."""
    with contextlib.suppress(TypeError, ValueError):
        if not text:
            return array.astype(np.float64)
    fine = (Number, list, tuple, type(None))
    bad = [(row, item) for row, value in enumerate(array) for item in np.ravel(value) if not isinstance(item, fine)]
    if bad:
        row, item = bad[0]
        count = len({row for row, _ in bad})
        raise DataError(
            f"{name} holds {str(item)!r} at row {row}, and {count:,} of {len(array):,} rows hold something like it: "
            "turn them into numbers first (a class for each name, a 0/1 column for each category)",
            code="data-text",
        )
    raise DataError(
        f"{name} is ragged: its rows are lists, and must all have as many values; np.stack makes one array of them",
        code="data-shape",
    )


def check_weights(total: float, name: str, rows: str = "to train on") -> None:
    """Raise DataError when all weights are zero.  rows: which rows, in words."""
    if not total > 0:
        raise DataError(
            f"{name} is 0 in every row {rows}: give at least one row a weight above 0", code="data-zero-weight"
        )


def check_width(width: int, inputs: int, name: str) -> None:
    """Raise DataError when rows do not have as many values as the network has inputs."""
    if width != inputs:
        raise DataError(
            f"{name} has {width} values a row, and the network takes {inputs}: give it rows of {inputs}, or make its "
            f"first layer with input_dim={width}",
            code="data-width",
        )


def check_targets(columns: int, expected: int, outputs: int, name: str) -> None:
    """Raise DataError when the targets do not have the columns that the loss wants."""
    if columns != expected:
        remedy = (
            "give class numbers, or use categorical_crossentropy for one-hot rows"
            if expected == 1 and outputs > 1
            else f"give {expected} a row, or change the last layer's {outputs} outputs"
        )
        raise DataError(
            f"{name} has {columns} values a row, and this loss with {outputs} outputs takes {expected}: {remedy}",
            code="data-label-width",
        )
