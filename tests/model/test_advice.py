"""Hints: each is given when its cause is there, and not otherwise."""

import numpy as np
import pytest

from firesteel.errors import ConfigError, DataError
from firesteel.layers import Activation, BatchNormalization, Dense, Dropout, GaussianDropout, Normalization, Rescaling
from firesteel.models import Sequential
from firesteel.utils import to_categorical

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 5))
K = np.arange(600) % 3
R = X[:, 0] + RNG.normal(size=600)


def hints(*layers, x=X, y=K, loss="sparse_categorical_crossentropy", fit=0):
    model = Sequential(list(layers))
    model.compile("adam", loss)
    if fit:
        model.fit(x, y, epochs=fit, verbose=0)
    return model.advise(x, y)


SOFTMAX = (Dense(8, "relu"), Dense(3, "softmax"))
CAUSES = {
    "large values, up to 992": lambda: hints(*SOFTMAX, x=X * [1, 1, 1, 1, 1000]),
    "5 of 5 inputs have large values": lambda: hints(*SOFTMAX, x=X + 100),
    "1 of 4 classes have no rows: 3": lambda: hints(Dense(4, "softmax")),
    "9 of 12 classes have no rows: 3, 4, 5, 6, 7, ...": lambda: hints(Dense(12, "softmax")),
    "1 of 4 classes have no rows: 0": lambda: hints(
        Dense(4, "softmax"), y=to_categorical(K + 1, 4), loss="categorical_crossentropy"
    ),
    "only 3 values, all integers: if they are classes, end with Dense(3": lambda: hints(Dense(1), loss="mse"),
    "only returns numbers between 0 and 1": lambda: hints(Dense(1, "sigmoid"), y=R, loss="mse"),
    "only returns numbers between -1 and 1": lambda: hints(Dense(1, "tanh"), y=R, loss="mae"),
    "guessing would give ln 3 = 1.10": lambda: hints(*SOFTMAX, x=X * 1000),
    "guessing would give ln 2 = 0.69": lambda: hints(
        Dense(1, "sigmoid"), x=X * 1000, y=K > 0, loss="binary_crossentropy"
    ),
    "compute no more than one": lambda: hints(Dense(4), Dropout(0.1), GaussianDropout(0.1), Dense(3, "softmax")),
    "makes gradients small": lambda: hints(Dense(4, "sigmoid"), Dense(3, "softmax")),
    "the model has no hidden layer": lambda: hints(Dense(3, "softmax")),
    "one hidden layer has 1,001 units": lambda: hints(Dense(1001, "relu"), Dense(3, "softmax")),
    "a hidden layer of 16 units follows one of 8": lambda: hints(
        Dense(8, "relu"), Dense(16, "relu"), Dense(3, "softmax")
    ),
    "2 of 5 inputs are constant": lambda: hints(*SOFTMAX, x=X * [1, 0, 1, 0, 1]),
    "2,406 parameters for 600 rows can overfit": lambda: hints(Dense(267, "relu"), Dense(3, "softmax")),
}


@pytest.mark.parametrize("text", CAUSES)
def test_every_cause_has_its_hint(text):
    found = CAUSES[text]()
    assert any(text in hint for hint in found), found
    assert all(len(hint) < 250 and "\n" not in hint for hint in found)


@pytest.mark.parametrize(
    "give",
    [
        lambda: hints(*SOFTMAX),
        lambda: hints(Normalization(), *SOFTMAX, x=X * 1000),
        lambda: hints(Rescaling(1e-3), *SOFTMAX, x=X * 1000),
        lambda: hints(BatchNormalization(), *SOFTMAX),
        lambda: hints(Dense(4, "relu"), Dense(1, "sigmoid"), y=K > 0, loss="binary_crossentropy"),
        lambda: hints(Dense(8, "tanh"), Dense(1), y=R, loss="mse"),
        lambda: hints(Dense(4, "relu"), Dense(1), y=RNG.poisson(30, 600), loss="mse"),
        lambda: hints(Dense(3, "relu"), Dense(8, "relu"), Dense(5), y=X, loss="mse"),
        lambda: hints(Dense(300, "relu", kernel_regularizer="l2"), Dense(3, "softmax")),
        lambda: hints(Dense(8), Activation("relu"), Dense(3, "softmax")),
        lambda: hints(Dense(4, "relu"), Dense(3, "softmax"), x=X * 5, fit=1),
    ],
)
def test_a_well_designed_network_gets_no_hints(give):
    assert give() == []


def test_a_trained_network_gets_no_hint_about_its_initial_loss():
    assert not any("guessing" in hint for hint in hints(*SOFTMAX, x=X * 1000, fit=1))


def test_advice_changes_nothing_and_refuses_what_fit_refuses():
    model, plain = (Sequential(list(SOFTMAX)) for _ in range(2))
    for made in (model, plain):
        made.compile("adam", "sparse_categorical_crossentropy")
    model.advise(X, K)
    for made in (model, plain):
        made.fit(X, K, verbose=0, seed=4)
    assert model.fingerprint() == plain.fingerprint()
    with pytest.raises(DataError, match="row 5"):
        model.advise(np.where(np.arange(600)[:, None] == 5, np.nan, X), K)
    with pytest.raises(ConfigError, match="not compiled"):
        Sequential([Dense(2)]).advise(X, K)
