"""All models by name; those of firesteel have names that begin with `firesteel`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tables import peers, spark
from benchmarks.tables.data import Kind
from benchmarks.tables.peers import Model

if TYPE_CHECKING:
    from pandas import DataFrame


def firesteel(**settings: Any) -> Callable[["DataFrame", str, "DataFrame", Kind], np.ndarray]:
    """Return what trains firesteel's network for tables on raw columns, with these settings and defaults else."""

    def fit_predict(train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
        from firesteel.sklearn import NeuralNetworkClassifier, NeuralNetworkRegressor

        made = NeuralNetworkRegressor if kind == "regression" else NeuralNetworkClassifier
        model = made(**settings).fit(train.drop(columns=target), train[target])
        return peers.predictions(model, test, kind)

    return fit_predict


FIRESTEEL = {
    "firesteel": Model(firesteel(), ("firesteel.sklearn",)),
    "firesteel-1": Model(firesteel(members=1), ("firesteel.sklearn",)),
    "firesteel-4": Model(firesteel(members=4), ("firesteel.sklearn",)),
}
"""At its defaults; one network; and four members of an average."""
MODELS = FIRESTEEL | peers.PEERS | spark.PEERS
