"""A network for tables with scikit-learn's words and contract: in pipelines, searches and cross-validation.

What it takes are tables of raw columns, such as DataFrames of numbers, words and times with gaps, or arrays.  The
network is a `Sequential` that begins with a `Table`: `network_`, which saves, and scores without scikit-learn.
scikit-learn is imported when one of the classes is asked for.
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

__all__ = ["NeuralNetworkClassifier", "NeuralNetworkRegressor"]  # noqa: F822  (made when they are asked for)

ABOUT = """A network that predicts {what} from a table, trained with AdamW and averaged weights.

    Numbers that are missing, and words that training has not seen, need no step before it.

    Args:
        hidden_layer_sizes: Units of the hidden layers; of one layer a number will do.
        max_iter: The most passes over the rows.
        batch_size: Rows a step.
        learning_rate_init: AdamW's rate; None is 0.002, or up to ten times as much where a fit has fewer than 1,000
            steps.
        alpha: AdamW's weight decay: a step takes its rate times alpha of the weights off.
        random_state: The root of everything random; the same numbers come out for None, which is 0.
        early_stopping: Whether some rows are held out, which choose the pass whose weights are kept, and end the
            training when none has been better for a while.  Nothing is held out of fewer than {few} rows.
        validation_fraction: The share of the rows that is held out.
        n_iter_no_change: How many passes without a better loss of these rows end the training.
        warm_start: Whether a further `fit` goes on from the network that there is.
        members: How many networks are trained, each without another part of the rows, which chooses its pass; their
            outputs are averaged.  If it is not given, 1 where nothing is held out, with warm_start and with
            validation_fraction.

    None is what is good for so many rows: see `firesteel/tables/policy.py`.

    Attributes:
        network_: The `Sequential`, or the average of the members; None where training had one class.
        n_iter_: How many passes were made.
        n_features_in_: How many columns there are.
        feature_names_in_: Their names, if there are some.{more}
    """


def _part(name: str) -> Any:
    """Return one of scikit-learn's modules.  Raises ConfigError where it is missing."""
    return imported(f"sklearn.{name}", "firesteel.sklearn", "sklearn", ConfigError, "config-package")


class _Estimator:
    """What both have in common."""

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
        """Return a table, or an array for all else.  Raises ValueError unless its columns are those of the first."""
        check = _part("utils.validation").validate_data
        if isinstance(x, Mapping) and is_table(x):
            raise DataError(
                "X is of type dict, which scikit-learn cannot cut into rows: make a DataFrame of it; only "
                "network_.predict takes it as it is",
                code="data-type",
            )
        if is_table(x):
            check(self, x, reset=first, skip_check_array=True)
            return x
        return check(self, x, reset=first, dtype=None, ensure_all_finite=False, ensure_min_samples=least)

    def _columns(self, x: Any) -> dict[str, Any]:
        """Return the columns of a table by their names, or of one without names by their places."""
        names = getattr(self, "feature_names_in_", [f"x{at}" for at in range(self.n_features_in_)])  # type: ignore[attr-defined]
        if hasattr(x, "iloc"):  # pandas
            return {name: x.iloc[:, at] for at, name in enumerate(names)}
        return {name: x[name] if is_table(x) else x[:, at] for at, name in enumerate(names)}

    def _weights(self, x: Any, given: Any) -> Any:
        """Return the weights of a table's rows, (n,), or None.  Raises ValueError for those that are none."""
        if given is None:
            return None
        return _part("utils.validation")._check_sample_weight(given, x, dtype=np.float64, ensure_non_negative=True)

    def _trained(self, x: Any, y: Any, w: Any, last: list[Any], loss: Any, classes: Any) -> None:
        """Train the network on a table and its targets.

        w: the rows' weights, or None.  last: the layers behind the hidden ones.  classes: what rows to hold out in
        equal shares, or None.
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
            used, held = split(np.arange(len(y)), test_size=share, random_state=int(seed) % 2**32, stratify=shared)
            weights = () if w is None else (w[held],)
            how["validation_data"] = (self._columns(_taken(x, held)), y[held], *weights)
            x, y, w = _taken(x, used), y[used], None if w is None else w[used]
            how["callbacks"] = [EarlyStopping(patience=patience, restore_best_weights=True)]
        self.n_iter_ = len(network.fit(self._columns(x), y, sample_weight=w, **how).rows)
        self.network_ = network

    def _members(self, usual: int) -> int:
        """Return how many networks to train.  Raises ConfigError for a number that cannot be."""
        alone = self.warm_start or self.validation_fraction is not None
        if self.members is None:
            return 1 if alone else usual
        count = whole(self.members)
        if count is None or count < 1 or (count > 1 and (alone or not self.early_stopping)):
            raise ConfigError(
                f"members={self.members!r}: it must be an integer of at least 1, and 1 with warm_start, with "
                "validation_fraction (each member holds out its own part) or without early_stopping",
                code="config-value",
            )
        return count

    def _outputs(self, x: Any) -> Any:
        _part("utils.validation").check_is_fitted(self)
        x = self._checked(x, first=False)
        return len(x) if self.network_ is None else self.network_.predict(self._columns(x))


def _taken(x: Any, rows: Any) -> Any:
    """Return some rows of a table or an array."""
    if hasattr(x, "column_names"):  # Arrow
        return x.take(rows)
    return x.iloc[rows] if hasattr(x, "iloc") else x[rows]


def _shared(classes: Any, share: float) -> bool:
    """Return whether both parts can have rows of each class."""
    if classes is None:
        return False
    counts = np.bincount(classes)
    held = np.ceil(share * len(classes))
    return bool(counts.min() >= 2 and min(held, len(classes) - held) >= len(counts))


class _Classifier(_Estimator):
    """Predicts classes."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on a table X of n rows and their classes y, (n,): numbers, words or booleans.

        sample_weight: what each row counts, (n,), in training and among the rows held out; 1 if not given.
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
                f"warm_start goes on with the classes {before.tolist()}, and y has {self.classes_.tolist()}: give "
                "it the same, or set warm_start=False",
                code="config-value",
            )
        if len(self.classes_) == 1:
            self.network_, self.n_iter_ = None, 1
            return self
        last = [Dense(len(self.classes_), "softmax")]
        self._trained(X, numbers.reshape(-1), w, last, "sparse_categorical_crossentropy", numbers.reshape(-1))
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes, (n, k), in the order of `classes_`."""
        found = self._outputs(X)
        return np.ones((found, 1)) if self.network_ is None else found

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each row, (n,)."""
        found = self.predict_proba(X).argmax(axis=1)
        return self.classes_[found]


class _Regressor(_Estimator):
    """Predicts numbers."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on a table X of n rows and their numbers y, (n,).

        sample_weight: what each row counts, (n,), in training and among the rows held out; 1 if not given.
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
        """Return a number for each row, (n,)."""
        return self._outputs(X)[:, 0]


KINDS = {
    "NeuralNetworkClassifier": (
        _Classifier,
        "ClassifierMixin",
        "classes",
        "\n        classes_: What there is to predict.",
    ),
    "NeuralNetworkRegressor": (_Regressor, "RegressorMixin", "numbers", ""),
}


def __getattr__(name: str) -> Any:
    """Return one of the classes, which stands on scikit-learn's."""
    if name not in KINDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kind, mixin, what, more = KINDS[name]
    base = _part("base")
    about = {"__module__": __name__, "__doc__": ABOUT.format(what=what, more=more, few=policy.FEW)}
    globals()[name] = made = type(name, (kind, getattr(base, mixin), base.BaseEstimator), about)
    return made
