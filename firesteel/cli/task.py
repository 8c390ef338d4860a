"""The learning task, inferred from the labels: classification, multilabel classification or regression.

Text, true/false, and integers with few distinct values relative to the rows are classes; other numbers are regression
targets.  An explicit loss overrides this.  Arrays (`rows.py`) and DataFrames (`firesteel/spark/files.py`) follow the
same rules, which depend on values, not types: 1, 1.0, a decimal 1 and the text "1" are all integers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firesteel.cli.rows import FileRows
from firesteel.core import losses
from firesteel.errors import ConfigError, DataError

WORDS = {
    "text": "texts",
    "flag": "true and false",
    "whole": "whole numbers",
    "number": "numbers",
    "one-hot": "one-hot columns",
    "marks": "columns of 0 and 1",
    "numbers": "columns of numbers",
}
"""Names of the kinds of labels, for messages."""
MANY = 20
"""Greatest number of classes that are not numbered from 0 or 1."""
MOST_VALUES = 1_000
"""Greatest number of distinct values that are counted, and can be classes."""


@dataclass(frozen=True)
class Labels:
    """What is known of the labels: name, number, type and distinct values.

    Args:
        name: Name of the label, for messages.
        kind: "text", "flag", "whole" or "number"; for several columns "one-hot", "marks" (0 and 1) or "numbers".
        values: The distinct values, sorted; None if they are not counted or too many.
        names: Names of the columns, if there are several.
        columns: Number of columns.
        rows: Number of rows; 0 if they are not counted.
    """

    name: str
    kind: str
    values: tuple[Any, ...] | None = None
    names: tuple[str, ...] = ()
    columns: int = 1
    rows: int = 0

    @property
    def text(self) -> str:
        """Description of the labels' values for messages."""
        if self.columns > 1:
            count = f"{self.columns:,} "
        elif self.kind in ("flag", "number"):
            count = ""
        else:
            count = f"more than {MOST_VALUES:,} " if self.values is None else f"{len(self.values):,} "
        return f"{count}{WORDS[self.kind]}" + (f" in {self.rows:,} rows" if self.rows else "")


@dataclass(frozen=True)
class LearningTask:
    """A learning task: its kind, loss, metrics, outputs and class names.

    Args:
        kind: "classification", "multilabel" or "regression".
        loss: The loss.
        outputs: Number of outputs of the network.
        classes: Names of the classes in order; None if they are 0..O-1.
        codes: Class of each label in the file; None if labels are classes or numbers already.
        one_hot: Whether the label columns are one-hot.
        decision: What was decided, in one line.
    """

    kind: str
    loss: losses.Loss
    outputs: int
    classes: tuple[str, ...] | None = None
    codes: Mapping[Any, int] | None = None
    one_hot: bool = False
    decision: str = field(default="", compare=False)


def labels_of(rows: FileRows) -> Labels:
    """Profile the labels of rows in memory."""
    y, name = rows.y, rows.targets[0] if rows.targets else "the label"
    if y.ndim == 2:
        values = np.asarray(y, np.float64)
        binary = bool(((values == 0) | (values == 1)).all())
        kind = "numbers" if not binary else "one-hot" if bool((values.sum(axis=1) == 1).all()) else "marks"
        return Labels(", ".join(rows.targets) or name, kind, None, rows.targets, y.shape[1], len(y))
    kinds = {"U": "text", "b": "flag", "i": "whole", "u": "whole", "f": "number"}
    kind, distinct = kinds[y.dtype.kind], np.unique(y)
    if kind == "number" and bool((np.isfinite(distinct) & (distinct == np.floor(distinct))).all()):
        kind = "whole"
    few = len(distinct) <= MOST_VALUES and kind != "number"
    found = tuple(int(value) if kind == "whole" else value for value in distinct.tolist()) if few else None
    return Labels(name, kind, found, rows=len(y))


def are_classes(values: tuple[Any, ...] | None, rows: int) -> bool:
    """Decide whether integer labels are classes: only if there are few distinct values for the number of rows.

    Two values are; up to 10 if they are numbered from 0 or 1, or occur twice on average; up to 20 if they are at most
    a hundredth of the rows, or a tenth if numbered from 0 or 1; more than 20 if they are at most a hundredth and
    numbered from 0 or 1.

    >>> [are_classes(tuple(range(low, high)), 5_000) for low, high in ((0, 10), (18, 81), (1, 27))]
    [True, False, True]
    """
    if values is None:
        return False
    count = len(values)
    codes = values in (tuple(range(count)), tuple(range(1, count + 1)))
    if count <= MANY // 2:
        return count <= 2 or codes or 2 * count <= rows
    share = 10 if codes and count <= MANY else 100
    return share * count <= rows and (codes or count <= MANY)


def spelled(value: Any) -> str:
    """Return the name of a class as text: whole floats without decimals.

    >>> [spelled(value) for value in ("cat", True, -1, 2.0)]
    ['cat', 'true', '-1', '2']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) else str(value)


def decide(labels: Labels, given: Any, class_names: tuple[str, ...] | None = None) -> LearningTask:
    """Infer the learning task from the labels and the user's loss, if set.

    Args:
        labels: The profile of the labels.
        given: The loss, or None.
        class_names: Names of the classes, if known.

    Raises:
        ConfigError: If the loss does not suit the labels.
        DataError: If labels must be classes and are not.
    """
    loss = None if given is None else losses.get(given)
    task = _decided(labels, loss, class_names)
    other = "mean_squared_error" if task.kind == "classification" else "sparse_categorical_crossentropy"
    hint = f"; for {'numbers' if task.kind == 'classification' else 'classes'} give --loss {other}"
    by = ", as the loss says" if loss is not None else hint if labels.kind == "whole" and labels.columns == 1 else ""
    return replace(task, decision=f"{labels.name}: {labels.text}: {task.kind}{by}")


def _decided(labels: Labels, loss: losses.Loss | None, class_names: tuple[str, ...] | None) -> LearningTask:
    if labels.columns > 1:
        return _columns(labels, loss, class_names)
    if loss is None:
        few = labels.kind == "whole" and (class_names is not None or are_classes(labels.values, labels.rows))
        classes = few or labels.kind in ("text", "flag")
    else:
        classes = loss.targets == "class" or (loss.targets in ("unit", "sign") and labels.values is not None)
    if classes:
        return _classes(labels, loss, class_names)
    if labels.kind == "text":
        such, hint = "", ""
        if labels.values:
            such, hint = f", such as {labels.values[0]!r}", ": leave out the loss to use the text as classes"
        text = f"{labels.name} holds text{such}, but {type(loss).__name__} predicts numbers{hint}"
        raise ConfigError(text, code="config-loss")
    return LearningTask("regression", loss or losses.get("mean_squared_error"), 1)


def _unfit(loss: losses.Loss, why: str) -> ConfigError:
    return ConfigError(f"{type(loss).__name__} {why}", code="config-loss")


def _columns(labels: Labels, loss: losses.Loss | None, class_names: tuple[str, ...] | None) -> LearningTask:
    names = class_names or labels.names or None
    if class_names is not None and len(class_names) != labels.columns:
        raise ConfigError(
            f"class_names has {len(class_names)} names, but there are {labels.columns} labels per row",
            code="config-class-names",
        )
    if labels.kind == "one-hot" and (loss is None or loss.targets == "class"):
        sparse = loss or losses.get("sparse_categorical_crossentropy")
        return LearningTask("classification", sparse, labels.columns, names, one_hot=True)
    if loss is not None and loss.targets == "class":
        raise _unfit(
            loss, f"needs one class per row, but not all rows of {labels.name} are one-hot: leave out the loss"
        )
    if labels.kind in ("one-hot", "marks") and (loss is None or loss.targets == "unit"):
        chosen = loss or losses.get("binary_crossentropy")
        kind = "classification" if chosen.natural == "softmax" else "multilabel"
        return LearningTask(kind, chosen, labels.columns, names)
    return LearningTask("regression", loss or losses.get("mean_squared_error"), labels.columns, labels.names or None)


def _classes(labels: Labels, loss: losses.Loss | None, class_names: tuple[str, ...] | None) -> LearningTask:
    values = labels.values
    if values is None:
        what = "fractional numbers" if labels.kind == "number" else f"more than {MOST_VALUES:,} values"
        todo = "for regression use --loss mean_squared_error"
        if labels.kind == "text":
            what, todo = f"more than {MOST_VALUES:,} texts", "choose a column of classes or numbers with --label"
        raise DataError(f"{labels.name} holds {what}: {todo}", code="data-label-range")
    chosen = loss or losses.get("sparse_categorical_crossentropy")
    codes, names = _coded(labels.name, labels.kind, values, class_names)
    count = len(values) if names is None else len(names)
    if count < 2:
        raise DataError(
            f"{labels.name} is {spelled(values[0])} in every row: there must be at least two classes",
            code="data-label-range",
        )
    if chosen.targets == "class":
        return LearningTask("classification", chosen, count, names, codes)
    if chosen.natural == "softmax":
        raise _unfit(chosen, "takes one-hot rows: for one class per row use sparse_categorical_crossentropy")
    if count > 2:
        hint = "use sparse_categorical_crossentropy"
        raise _unfit(chosen, f"separates two classes, but {labels.name} has {count}: {hint}")
    return LearningTask("classification", chosen, 1, names, codes)


def _coded(
    name: str, kind: str, values: tuple[Any, ...], class_names: tuple[str, ...] | None
) -> tuple[Mapping[Any, int] | None, tuple[str, ...] | None]:
    """Return (class index by label value, class names); the first is None if labels are class indices already."""
    counted = kind in ("whole", "number") and all(0 <= value for value in values)
    if class_names is None:
        if counted and values == tuple(range(len(values))):
            return None, None
        return {value: number for number, value in enumerate(values)}, tuple(spelled(value) for value in values)
    if all(spelled(value) in class_names for value in values):
        return {value: class_names.index(spelled(value)) for value in values}, class_names
    if counted and max(values) < len(class_names):
        return None, class_names
    strange = next(value for value in values if spelled(value) not in class_names)
    raise DataError(
        f"{name} holds {spelled(strange)!r}, but the classes are {', '.join(class_names)}", code="data-label-range"
    )


def encode(task: LearningTask, rows: FileRows) -> NDArray[np.float64]:
    """Encode the labels of rows as targets for the task's loss, (n,) or (n, T).

    Raises DataError for a label that the training rows do not have, with its row.
    """
    y = rows.y
    if task.one_hot:
        return y.argmax(axis=1).astype(np.float64)
    if task.codes is None:
        return y.astype(np.float64)
    distinct, where = np.unique(y, return_inverse=True)
    classes = [task.codes.get(value, -1) for value in distinct.tolist()]
    encoded = np.array(classes, np.float64)[where]
    if -1 in classes:
        bad = encoded == -1
        row = int(bad.argmax())
        raise DataError(
            f"{rows.source}: {rows.targets[0] if rows.targets else 'the label'} is {spelled(y[row].item())!r} at row "
            f"{row}, and {int(bad.sum()):,} of {len(y):,} rows have a class that the training rows do not have: drop "
            "those rows, or train on rows with this class",
            code="data-label-range",
        )
    return encoded
