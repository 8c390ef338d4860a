"""Networks that are no chains: gradients, bits, descriptions, and what does not compose."""

import json
import threading

import numpy as np
import pytest

from firesteel.core import losses
from firesteel.core.layers import BatchNormalization, Dense
from firesteel.core.layers.wrapper import Wrapper
from firesteel.core.network import Network, Node, Objective, alone
from firesteel.errors import ConfigError
from firesteel.fast import compiling
from firesteel.testing import check_gradient, check_same_bits
from firesteel.train.step import SUB_BATCH, together
from tests.support import graphs
from tests.support.graphs import GRAPHS

X, Y = graphs.rows()
PIECES = 3
"""How many pieces a batch of all rows is cut into."""


def objective(name, dtype="float64"):
    return Objective(graphs.network(name, dtype=dtype), losses.get("sparse_categorical_crossentropy"))


def fitted(name, **settings):
    """Return the fingerprint of a fit."""
    model = graphs.model(name)
    model.fit(X, Y, **{"epochs": 4, "batch_size": 50, "seed": 3, "verbose": 0} | settings)
    return model.fingerprint()


@pytest.mark.parametrize("name", GRAPHS)
def test_the_gradient_is_the_finite_difference(name):
    assert check_gradient(objective(name), X[:12], Y[:12, None]) < 1e-6


@pytest.mark.parametrize("name", GRAPHS)
def test_it_learns(name):
    model = graphs.model(name)
    before = model.evaluate(X, Y, verbose=0)[0]
    model.fit(X, Y, epochs=15, batch_size=20, verbose=0)
    assert model.evaluate(X, Y, verbose=0)[0] < 0.9 * before
    assert model.predict(X[:5]).shape == (5, 3)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", GRAPHS)
def test_the_bits_are_the_same_in_a_thread_and_without_compiled_code(name, shards, monkeypatch):
    def in_a_thread():
        found = []
        thread = threading.Thread(target=lambda: found.append(fitted(name, shards=shards)))
        thread.start()
        thread.join()
        return found[0]

    def plain():
        monkeypatch.setattr(compiling, "ON", False)
        return fitted(name, shards=shards)

    check_same_bits([lambda: fitted(name, shards=shards), in_a_thread, plain])


WAYS = [(name, "average") for name in GRAPHS]
WAYS += [(name, "gradient") for name in GRAPHS if not graphs.network(name).statistics]
"""Graphs and how they are trained: gradients of all rows know no batches to be normalized."""


@pytest.mark.parametrize("name, strategy", WAYS)
def test_an_interrupted_training_resumes_with_the_same_bits(tmp_path, name, strategy):
    def halves():
        settings = {"checkpoint": tmp_path / "kept", "strategy": strategy}
        with pytest.raises(ZeroDivisionError):
            model = graphs.model(name)
            model.fit(X, Y, epochs=4, batch_size=50, seed=3, verbose=0, callbacks=[graphs.Stop()], **settings)
        return fitted(name, callbacks=[graphs.Stop(False)], **settings)

    check_same_bits([lambda: fitted(name, strategy=strategy), halves])


def test_a_layer_that_is_used_three_times_has_one_set_of_parameters_and_all_their_derivatives():
    network = graphs.network("shared", dtype="float64")
    assert [(owner, name) for owner, name, _, _ in network.layout.slices] == [
        (0, "w"),
        (0, "b"),
        (2, "w"),
        (2, "b"),
    ]
    assert network.penalized[0][:2] == (0, "w") and len(network.penalized) == 1


@pytest.mark.parametrize("rows", [PIECES * SUB_BATCH, 2 * SUB_BATCH + 44])
def test_sums_over_a_batch_are_those_of_all_its_pieces(rows):
    """What is learned in pieces is what is learned from all rows at once, but for the order of sums."""
    one, y, weights = objective("joint"), np.resize(Y, rows)[:, None].astype(float), np.full(rows, 1 / rows)
    x, theta = np.resize(X, (rows, 8)), one.network.init(0)
    p = one.network.layout.views(theta)
    whole, parts = np.zeros_like(theta), np.zeros((PIECES, len(theta)))

    def learned(rows, g):
        return one.rows(p, x[rows], y[rows], weights[rows], lambda part: None, one.network.layout.views(g))

    losses_at_once, _ = alone(learned(slice(None), whole))
    cuts = [slice(at, at + SUB_BATCH) for at in range(0, rows, SUB_BATCH)]
    pieces = together(map, [learned(cut, g) for cut, g in zip(cuts, parts, strict=True)])
    np.testing.assert_allclose(np.concatenate([piece[0] for piece in pieces]), losses_at_once, rtol=1e-12)
    np.testing.assert_allclose(parts.sum(axis=0), whole, rtol=1e-9, atol=1e-15)


def test_what_is_joint_cannot_be_inside_another_layer():
    with pytest.raises(ConfigError, match="cannot be inside another layer"):
        Network((Node(graphs.Residual(graphs.Centred()), (0,), 0),), ((4,),))


def test_the_streams_of_layers_inside_another_differ():
    class Pair(Wrapper):
        @property
        def inner(self):
            return {"a": graphs.Dropout(0.5), "b": graphs.Dropout(0.5)}

        def apply(self, p, x, rng=None):
            a, b = (self.run(name, p, x, rng=rng)[0] for name in ("a", "b"))
            return np.hstack([a, b]), None

    network = Network((Node(Pair(), (0,), 0),), ((50,),))
    values, _ = alone(network.forward([{}], np.ones((4, 50), "f4"), lambda part: graphs.stream(), network.plan))
    a, b = np.hsplit(values[1], 2)
    assert (a == 0).any() and (a != b).any()


# Descriptions


@pytest.mark.parametrize("name", ["shared", "unread"])
def test_its_config_makes_the_same_network(name):
    network = graphs.network(name)
    again = Network.from_config(json.loads(json.dumps(network.to_config())))
    assert again == network and again.fingerprint(network.init(0)) == network.fingerprint(network.init(0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_chain_of_nodes_is_the_chain(dtype):
    layers = (Dense(4, "relu"), BatchNormalization(), Dense(2))
    chain = Network.chain(layers, 8, dtype)
    nodes = Network(tuple(Node(layer, (n,), n) for n, layer in enumerate(layers)), ((8,),), dtype)
    assert chain == nodes and "layers" in nodes.to_config()


DAMAGED = [
    {"nodes": 5, "entries": [[3]]},
    {"nodes": [{"layer": {"type": "Dense", "units": 2}, "from": [0]}], "entries": [[3]]},
    {"nodes": [{"layer": {"type": "Dense", "units": 2}, "from": [-1], "owner": 0}], "entries": [[3]]},
    {"nodes": [{"layer": {"type": "Dense", "units": 2}, "from": [1], "owner": 0}], "entries": [[3]]},
    {"nodes": [{"layer": {"type": "Dense", "units": 2}, "from": [True], "owner": 0}], "entries": [[3]]},
    {"nodes": [{"layer": {"type": "Dense", "units": 2}, "from": [], "owner": 0}], "entries": [[3]]},
    {"nodes": [{"layer": {"type": "Nothing"}, "from": [0], "owner": 0}], "entries": [[3]]},
    {"nodes": [{"layer": {"type": "Dense", "units": 2}, "from": [0], "owner": 0}], "entries": []},
    {"nodes": [{"layer": {"type": "Dense", "units": 2}, "from": [0], "owner": 0}], "entries": [3]},
    {"nodes": [], "entries": [[3]]},
]


@pytest.mark.parametrize("config", DAMAGED)
def test_a_config_that_describes_no_network_is_refused(config):
    with pytest.raises(ConfigError):
        Network.from_config({"dtype": "float32"} | config)


@pytest.mark.parametrize(
    "nodes, entries, match",
    [
        ([(Dense(2), (1,), 0)], ((3,),), "reads values that no layer before it returns"),
        ([(Dense(2), (), 0)], ((3,),), "reads values that no layer before it returns"),
        ([(Dense(2), (0,), 0), (Dense(2), (1,), 0)], ((3,),), "shares parameters with a layer of another shape"),
        ([(Dense(2), (0,), 0), (Dense(2, input_dim=3), (1,), 1)], ((3,),), "takes 3 inputs, but receives 2 values"),
        ([], ((3,),), "at least one layer"),
    ],
)
def test_nodes_that_do_not_fit_together_are_refused(nodes, entries, match):
    with pytest.raises(ConfigError, match=match):
        Network(tuple(Node(*node) for node in nodes), entries)
