"""Somebody else's arithmetic: scikit-learn's perceptron with the same weights."""

import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor

from firesteel.core import losses
from firesteel.core.layers import Dense
from firesteel.core.network import Network, Objective
from firesteel.models import Sequential

NAMES = {"relu": "relu", "tanh": "tanh", "logistic": "sigmoid", "identity": "linear"}
RATE = 1e-3
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 5))


def started(kind, y, activation):
    """An sklearn network after one small step, so that it has weights."""
    settings = dict(hidden_layer_sizes=(7, 4), activation=activation, solver="sgd", momentum=0.0, alpha=0.0)
    mlp = kind(**settings, learning_rate_init=RATE, batch_size=len(X), shuffle=False, random_state=1)
    return mlp.partial_fit(X, y, classes=np.unique(y)) if kind is MLPClassifier else mlp.partial_fit(X, y)


def flat(mlp):
    """Its weights in our order: kernel, bias, kernel, bias, ..."""
    return np.concatenate([part.ravel() for pair in zip(mlp.coefs_, mlp.intercepts_, strict=True) for part in pair])


def network(activation, outputs, last):
    hidden = NAMES[activation]
    return Network.chain((Dense(7, hidden), Dense(4, hidden), Dense(outputs, last)), 5, "float64")


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize(
    "kind, outputs, last, loss, y",
    [
        (MLPClassifier, 3, "softmax", "sparse_categorical_crossentropy", np.arange(60) % 3),
        (MLPClassifier, 1, "sigmoid", "binary_crossentropy", np.arange(60) % 2),
        (MLPRegressor, 2, "linear", "half_sse", np.column_stack([X[:, 0] * X[:, 1], X[:, 2]])),
    ],
)
def test_outputs_and_one_step_are_those_of_scikit_learn(activation, kind, outputs, last, loss, y):
    mlp = started(kind, y, activation)
    net = network(activation, outputs, last)
    theta = flat(mlp)
    views = net.layout.views(theta)
    ours = net.output(views, X)
    if kind is MLPClassifier:
        theirs = mlp.predict_proba(X)
        np.testing.assert_allclose(ours, theirs if outputs > 1 else theirs[:, 1:], rtol=1e-12, atol=1e-14)
    else:
        np.testing.assert_allclose(ours, mlp.predict(X), rtol=1e-12)

    gradient = np.zeros_like(theta)
    columns = y.reshape(60, -1).astype(float)
    objective = Objective(net, losses.get(loss))
    sums = objective.learn(views, X, columns, np.ones(60), 1 / 60, None, net.layout.views(gradient))
    if kind is MLPClassifier:
        assert objective.means(sums)["loss"] == pytest.approx(log_loss(y, mlp.predict_proba(X)), rel=1e-12)
    mlp.partial_fit(X, y)
    np.testing.assert_allclose((theta - flat(mlp)) / RATE, gradient, rtol=1e-7, atol=1e-11)


def test_a_model_given_the_weights_of_scikit_learn_predicts_the_same():
    y = np.arange(60) % 3
    mlp = started(MLPClassifier, y, "relu")
    model = Sequential([Dense(7, "relu", input_dim=5), Dense(4, "relu"), Dense(3, "softmax")], dtype="float64")
    model.set_weights([part for pair in zip(mlp.coefs_, mlp.intercepts_, strict=True) for part in pair])
    np.testing.assert_allclose(model.predict(X), mlp.predict_proba(X), rtol=1e-12, atol=1e-14)
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    loss, accuracy = model.evaluate(X, y, verbose=0)
    assert loss == pytest.approx(log_loss(y, mlp.predict_proba(X)), rel=1e-12)
    assert accuracy == pytest.approx(mlp.score(X, y))
