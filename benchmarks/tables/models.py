"""All models by name.  The names of firesteel's models begin with `firesteel`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tables import peers, spark
from benchmarks.tables.data import Kind
from benchmarks.tables.peers import Model

if TYPE_CHECKING:
    from pandas import DataFrame


def firesteel(**settings: Any) -> Callable[["DataFrame", str, "DataFrame", Kind], np.ndarray]:
    """Return firesteel's model for tables with these settings, otherwise defaults."""

    def fit_predict(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
        from firesteel.sklearn import NeuralNetworkClassifier, NeuralNetworkRegressor

        made = NeuralNetworkRegressor if kind == "regression" else NeuralNetworkClassifier
        model = made(**settings).fit(train.drop(columns=target), train[target])
        return peers.predictions(model, test, kind)

    return fit_predict


def sharded(shards: int) -> Callable[["DataFrame", str, "DataFrame", Kind], np.ndarray]:
    """Return one such network with several shards, as Spark trains it on large tables."""

    def fit_predict(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
        from firesteel.callbacks import EarlyStopping
        from firesteel.core.losses import MeanSquaredError, Standardized
        from firesteel.layers import Dense, Dropout, Normalization, Table
        from firesteel.models import Sequential
        from firesteel.tables import policy

        x, known = train.drop(columns=target), policy.defaults_for(len(train), shards)
        hidden = [layer for n in known.hidden for layer in (Dense(n, policy.ACTIVATION), Dropout(policy.DROPOUT))]
        if kind == "regression":
            y, loss = train[target].to_numpy(float), Standardized(MeanSquaredError())
            last = [Dense(1), Normalization(invert=True, bounds=(y.min(), y.max()))]
        else:
            names, y = np.unique(train[target], return_inverse=True)
            last, loss = [Dense(len(names), "softmax")], "sparse_categorical_crossentropy"
        model = Sequential([Table(output_dim=known.output_dim), *hidden, *last])
        model.compile(policy.OPTIMIZER, loss)
        stop = EarlyStopping(patience=known.patience, restore_best_weights=True)
        how = {"epochs": known.epochs, "batch_size": known.batch_size, "validation_split": known.held}
        model.fit(x, y, **how, shards=shards, strategy=policy.STRATEGY, callbacks=[stop], verbose=0)
        found = model.predict(test)
        return found[:, 0] if kind == "regression" else found

    return fit_predict


FIRESTEEL = {
    "firesteel": Model(firesteel(), ("firesteel.sklearn",)),
    "firesteel-1": Model(firesteel(members=1), ("firesteel.sklearn",)),
    "firesteel-4": Model(firesteel(members=4), ("firesteel.sklearn",)),
    "firesteel-1-shard": Model(sharded(1), ()),
    "firesteel-8-shards": Model(sharded(8), ()),
}
"""Defaults; one network; an ensemble of four; one network with one shard or with eight."""
MODELS = FIRESTEEL | peers.PEERS | spark.PEERS
