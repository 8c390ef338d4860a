"""scikit-learn estimators that train a network on a table, for pipelines, searches and cross-validation.

They take tables of raw columns (numbers, text, times, with missing values) or arrays.  The fitted `network_` is a
`Sequential` that begins with a `Table`; it can be saved, and predicts without scikit-learn, which is imported when
one of the classes is first used.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel._model import Model
from firesteel.core.layers import Dense, Dropout, Normalization, Table
from firesteel.core.losses import MeanSquaredError, Standardized
from firesteel.core.spec import whole
from firesteel.errors import ConfigError, DataError, imported
from firesteel.models import Sequential
from firesteel.search.members import fit_members
from firesteel.tables import policy
from firesteel.tables.arrays import Arrays
from firesteel.tables.containers import columns_of, is_table
from firesteel.tables.profile import schema_of
from firesteel.train.callbacks import EarlyStopping
from firesteel.train.recipe import Recipe
from firesteel.train.stopping import Stopping

__all__ = ["NeuralNetworkClassifier", "NeuralNetworkRegressor"]  # noqa: F822  (created on first use)

ABOUT = """Neural-network {what} for tables, trained with AdamW and averaged weights.

    Missing numbers, and categories unseen in training, need no preprocessing.  Arguments that are None depend on the
    number of rows.

    Args:
        hidden_layer_sizes: Units of each hidden layer; an integer for a single layer.
        max_iter: Maximum number of epochs.
        batch_size: Rows per step.
        learning_rate_init: Learning rate of AdamW.  None is 0.002, and up to ten times as much if training has fewer
            than 1,000 steps.
        alpha: Weight decay of AdamW: each step multiplies the weights by 1 - rate * alpha.
        random_state: Root of all randomness: an integer, a `RandomState`, or None for 0, so that results repeat.
        early_stopping: Whether to hold out validation rows, stop when their loss no longer improves, and keep the
            weights of the best epoch.  Tables of fewer than {few} rows hold out none.
        validation_fraction: Share of the rows to hold out.
        n_iter_no_change: Number of epochs without improvement of the validation loss after which training stops.
        warm_start: Whether `fit` continues from the previous network.
        members: Number of networks in the ensemble, whose outputs are averaged.  Each one holds out a different part
            of the rows for early stopping.  None is 1 without held-out rows, with `warm_start` and with
            `validation_fraction`.

    Attributes:
        network_: The `Sequential`, or the ensemble; None if the training rows had a single class.
        n_iter_: Number of epochs.
        n_features_in_: Number of columns.
        feature_names_in_: Names of the columns, if they have names.{more}

    Example:
        >>> import numpy as np
        >>> from firesteel.sklearn import {name}
        >>> x = np.random.default_rng(0).normal(size=(200, 2))
        >>> {name}(max_iter=2, members=1).fit(x, {y}).predict(x).shape
        (200,)
    """


def _part(name: str) -> Any:
    """Return a module of scikit-learn.  Raises ConfigError if it is not installed."""
    return imported(f"sklearn.{name}", "firesteel.sklearn", "sklearn", ConfigError, "config-package")


class _Estimator:
    """The parameters and the training that both estimators share."""

    network_: Model | None

    def __init__(
        self,
        hidden_layer_sizes: Any = None,
        *,
        max_iter: int | None = None,
        batch_size: int | None = None,
        learning_rate_init: float | None = None,
        alpha: float = 0.004,
        random_state: Any = None,
        early_stopping: bool = True,
        validation_fraction: float | None = None,
        n_iter_no_change: int | None = None,
        warm_start: bool = False,
        members: int | None = None,
    ) -> None:
        self.hidden_layer_sizes, self.max_iter, self.batch_size = hidden_layer_sizes, max_iter, batch_size
        self.learning_rate_init, self.alpha, self.random_state = learning_rate_init, alpha, random_state
        self.early_stopping, self.validation_fraction = early_stopping, validation_fraction
        self.n_iter_no_change, self.warm_start, self.members = n_iter_no_change, warm_start, members

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = True
        return tags

    def _checked(self, x: Any, first: bool, least: int = 1) -> Any:
        """Validate X: return a table unchanged, and convert anything else to an array.

        Args:
            x: The inputs.
            first: Whether this is the training table, whose columns are recorded rather than compared.
            least: Least number of rows.

        Raises:
            ValueError: If the columns differ from those of training.
            DataError: If x is a dictionary.
        """
        check = _part("utils.validation").validate_data
        if isinstance(x, Mapping) and is_table(x):
            raise DataError(
                "X is a dictionary, whose rows scikit-learn cannot select: convert it to a DataFrame, or use "
                "network_.predict",
                code="data-type",
            )
        if is_table(x):
            check(self, x, reset=first, skip_check_array=True)
            return x
        return check(self, x, reset=first, dtype=None, ensure_all_finite=False, ensure_min_samples=least)

    def _columns(self, x: Any) -> dict[str, Any]:
        """Return the columns of a table by name; unnamed columns are called x0, x1, ..."""
        names = getattr(self, "feature_names_in_", [f"x{at}" for at in range(self.n_features_in_)])  # type: ignore[attr-defined]
        if hasattr(x, "iloc"):  # pandas
            return {name: x.iloc[:, at] for at, name in enumerate(names)}
        return {name: x[name] if is_table(x) else x[:, at] for at, name in enumerate(names)}

    def _weights(self, x: Any, given: Any) -> Any:
        """Return the sample weights, (n,), or None.  Raises ValueError if they are invalid."""
        if given is None:
            return None
        return _part("utils.validation")._check_sample_weight(given, x, dtype=np.float64, ensure_non_negative=True)

    def _trained(self, x: Any, y: Any, w: Any, last: list[Any], loss: Any, classes: Any) -> None:
        """Train the network on a table and its targets.

        Args:
            x: The table or array.
            y: The targets, (n,).
            w: The sample weights, (n,), or None.
            last: The layers after the hidden ones.
            loss: The loss.
            classes: The classes by which to stratify the held-out rows, (n,), or None.
        """
        found = policy.defaults_for(len(y))
        seed = self.random_state or 0
        if not isinstance(seed, int | np.integer):
            seed = _part("utils").check_random_state(seed).randint(2**31)
        network = getattr(self, "network_", None) if self.warm_start else None
        sizes = found.hidden if self.hidden_layer_sizes is None else np.atleast_1d(self.hidden_layer_sizes).tolist()
        hidden = [layer for units in sizes for layer in (Dense(units, policy.ACTIVATION), Dropout(policy.DROPOUT))]
        epochs = found.epochs if self.max_iter is None else self.max_iter
        batch_size = self.batch_size or found.batch_size
        optimizer = replace(
            policy.optimizer_for(len(y), whole(batch_size), whole(epochs) or 1), weight_decay=self.alpha
        )
        if self.learning_rate_init is not None:
            optimizer = optimizer.at_rate(self.learning_rate_init)

        def build(front: Table) -> Model:
            made = Sequential([front, *hidden, *last])
            made.compile(optimizer, loss)
            return made

        patience = found.patience if self.n_iter_no_change is None else self.n_iter_no_change
        holds = self.early_stopping and len(y) >= policy.FEW
        count = self._members(found.members if holds else 1)
        if count > 1:
            columns, rows = columns_of(self._columns(x))
            schema = schema_of(columns, rows, y=y)
            front = schema.layer(Table(output_dim=found.output_dim))
            source = Arrays(schema.encode(columns, rows), y.astype(np.float64), w, "float32")
            recipe = Recipe(epochs, batch_size, seed=int(seed), stopping=Stopping("val_loss", patience=patience))
            average, history = fit_members(lambda number: build(copy.copy(front)), source, recipe, count)
            average.schema, self.network_, self.n_iter_ = schema, average, len(history.rows)
            return
        if network is None:
            network = build(Table(output_dim=found.output_dim))
        how: dict[str, Any] = {"batch_size": batch_size, "verbose": 0, "seed": int(seed), "epochs": epochs}
        if holds:
            share = found.held if self.validation_fraction is None else self.validation_fraction
            shared = classes if _shared(classes, share) else None
            split = _part("model_selection").train_test_split
            used, out = split(np.arange(len(y)), test_size=share, random_state=int(seed) % 2**32, stratify=shared)
            weights = () if w is None else (w[out],)
            how["validation_data"] = (self._columns(_taken(x, out)), y[out], *weights)
            x, y, w = _taken(x, used), y[used], None if w is None else w[used]
            how["callbacks"] = [EarlyStopping(patience=patience, restore_best_weights=True)]
        self.n_iter_ = len(network.fit(self._columns(x), y, sample_weight=w, **how).rows)
        self.network_ = network

    def _members(self, usual: int) -> int:
        """Return the number of networks to train.  Raises ConfigError for an invalid number."""
        alone = self.warm_start or self.validation_fraction is not None
        if self.members is None:
            return 1 if alone else usual
        count = whole(self.members)
        if count is None or count < 1 or (count > 1 and (alone or not self.early_stopping)):
            raise ConfigError(
                f"members={self.members!r}: it must be an integer of at least 1; and 1 with warm_start or "
                "validation_fraction (each member holds out its own part), or without early_stopping",
                code="config-value",
            )
        return count

    def _outputs(self, x: Any) -> Any:
        _part("utils.validation").check_is_fitted(self)
        x = self._checked(x, first=False)
        return len(x) if self.network_ is None else self.network_.predict(self._columns(x))


def _taken(x: Any, rows: Any) -> Any:
    """Return the chosen rows of a table or an array."""
    if hasattr(x, "column_names"):  # Arrow
        return x.take(rows)
    return x.iloc[rows] if hasattr(x, "iloc") else x[rows]


def _shared(classes: Any, share: float) -> bool:
    """Return whether there are enough rows for training and held-out rows to contain every class."""
    if classes is None:
        return False
    counts = np.bincount(classes)
    out = np.ceil(share * len(classes))
    return bool(counts.min() >= 2 and min(out, len(classes) - out) >= len(counts))


class _Classifier(_Estimator):
    """The methods of a classifier."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on a table and the class of each row.

        Args:
            X: The table: a DataFrame (pandas, polars, Arrow) or an array, (n, columns).
            y: The classes, (n,): numbers, text or booleans.
            sample_weight: Weight of each row, (n,), in training and validation; None is 1.

        Returns:
            The estimator.
        """
        check = _part("utils.validation")
        before = getattr(self, "classes_", None) if self.warm_start else None
        X = self._checked(X, first=True, least=2)
        y = check.column_or_1d(y, warn=True)
        check.check_consistent_length(X, y)
        check.assert_all_finite(y)
        w = self._weights(X, sample_weight)
        _part("utils.multiclass").check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if before is not None and not np.array_equal(before, self.classes_):
            raise ConfigError(
                f"warm_start continues with the classes {before.tolist()}, but y has {self.classes_.tolist()}: give "
                "the same classes, or set warm_start=False",
                code="config-value",
            )
        if len(self.classes_) == 1:
            self.network_, self.n_iter_ = None, 1
            return self
        last = [Dense(len(self.classes_), "softmax")]
        self._trained(X, numbers.reshape(-1), w, last, "sparse_categorical_crossentropy", numbers.reshape(-1))
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class.

        Args:
            X: The table or array.

        Returns:
            The probabilities, (n, k), in the order of `classes_`.
        """
        found = self._outputs(X)
        return np.ones((found, 1)) if self.network_ is None else found

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each row.

        Args:
            X: The table or array.

        Returns:
            The classes, (n,).
        """
        found = self.predict_proba(X).argmax(axis=1)
        return self.classes_[found]


class _Regressor(_Estimator):
    """The methods of a regressor."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on a table and the target of each row.

        Args:
            X: The table: a DataFrame (pandas, polars, Arrow) or an array, (n, columns).
            y: The targets, (n,).
            sample_weight: Weight of each row, (n,), in training and validation; None is 1.

        Returns:
            The estimator.
        """
        check = _part("utils.validation")
        X = self._checked(X, first=True, least=2)
        y = check.column_or_1d(y, warn=True)
        check.check_consistent_length(X, y)
        y = np.asarray(y, np.float64)
        check.assert_all_finite(y)
        self._trained(
            X,
            y,
            self._weights(X, sample_weight),
            [Dense(1), Normalization(invert=True, bounds=(float(y.min()), float(y.max())))],
            Standardized(MeanSquaredError()),
            None,
        )
        return self

    def predict(self, X: Any) -> Any:
        """Return the prediction for each row.

        Args:
            X: The table or array.

        Returns:
            The predictions, (n,).
        """
        return self._outputs(X)[:, 0]


KINDS = {
    "NeuralNetworkClassifier": (
        _Classifier,
        "ClassifierMixin",
        "classifier",
        "\n        classes_: The classes, ascending.",
    ),
    "NeuralNetworkRegressor": (_Regressor, "RegressorMixin", "regressor", ""),
}


def __getattr__(name: str) -> Any:
    """Return one of the classes, created on first use as a subclass of scikit-learn's base classes."""
    if name not in KINDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kind, mixin, what, more = KINDS[name]
    base = _part("base")
    y = "x[:, 0] > 0" if kind is _Classifier else "x[:, 0]"
    text = ABOUT.format(name=name, what=what, more=more, few=policy.FEW, y=y)
    members = {"__module__": __name__, "__doc__": text}
    globals()[name] = made = type(name, (kind, getattr(base, mixin), base.BaseEstimator), members)
    return made
