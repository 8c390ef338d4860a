"""Embeddings with sparse_steps: a step moves the rows that its batch touches, and is the dense one on these."""

import time
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from firesteel._model import Model
from firesteel.callbacks import BoldDriver, LambdaCallback
from firesteel.core import losses
from firesteel.core import optimizers as catalogue
from firesteel.core.network import Network, Node, Objective
from firesteel.core.update import update
from firesteel.errors import ConfigError, DataError
from firesteel.fast import compiling
from firesteel.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, GaussianNoise, Rescaling
from firesteel.models import Sequential, load_model
from firesteel.optimizers import SGD, Adam, AdamW, RMSprop
from firesteel.report.settings import plain, to_toml
from firesteel.testing import check_same_bits
from firesteel.train.blocks import pack_arrays
from firesteel.train.partial import Task, tree_sum
from firesteel.train.rounds import average, step_for
from firesteel.train.rowwise import spread
from firesteel.train.step import SUB_BATCH, batches, cut
from tests.support import graphs

SIZE, ROWS = 300, 500
RNG = np.random.default_rng(0)
X = RNG.integers(0, 40, (ROWS, 3)) * 7
"""Categories, of which only every seventh occurs."""
Y = (X.sum(axis=1) // 7) % 3
IDLE = np.setdiff1d(np.arange(SIZE), X)


def model(lazy=True, optimizer="adam", dtype="float32", penalty=None, between=()):
    table = Embedding(SIZE, 4, "normal", embeddings_regularizer=penalty, sparse_steps=lazy)
    made = Sequential([table, Flatten(), *between, Dense(8, "tanh"), Dense(3, "softmax")], dtype=dtype)
    made.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return made


def fitted(lazy=True, x=X, y=Y, **settings):
    kept = {name: settings.pop(name) for name in ("optimizer", "dtype", "penalty", "between") if name in settings}
    made = model(lazy, **kept)
    made.fit(x, y, **{"epochs": 3, "batch_size": 32, "seed": 1, "verbose": 0} | settings)
    return made


# Where it is the dense step


PLAIN = {
    "batches of 32": {},
    "several sub-batches": {"batch_size": 300},
    "float64": {"dtype": "float64"},
    "clipped": {"optimizer": SGD(0.1, clipvalue=0.001)},
    "dropout and batch normalization": {"between": (Dropout(0.3), BatchNormalization())},
    "averaged": {"optimizer": SGD(0.1, use_ema=True, ema_momentum=0.0)},
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_sgd_has_the_bits_of_dense_steps(name):
    settings = {"optimizer": SGD(0.1)} | PLAIN[name]
    dense, lazy = fitted(False, **settings), fitted(**settings)
    assert dense.theta.tobytes() == lazy.theta.tobytes()
    assert dense.history.history["loss"] == lazy.history.history["loss"]


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("shards", [1, 3])
def test_gradients_for_the_driver_have_the_bits_of_dense_ones(shards, optimizer):
    settings = {"strategy": "gradient", "shards": shards, "optimizer": optimizer, "penalty": "l2", "batch_size": None}
    assert fitted(False, **settings).theta.tobytes() == fitted(**settings).theta.tobytes()


@pytest.mark.parametrize("form, settings", [("safe", {}), ("seed", {"strategy": "gradient", "batch_size": None})])
def test_the_bold_driver_finds_the_rates_that_it_finds_with_dense_steps(form, settings):
    made = [fitted(lazy, optimizer="sgd", callbacks=[BoldDriver(form)], **settings) for lazy in (True, False)]
    assert made[0].theta.tobytes() == made[1].theta.tobytes() and made[0].learning_rate != 0.01


STEPPING = {name: one for name, one in catalogue.OPTIMIZERS.items() if not one.searches} | {
    "momentum": SGD(0.1, momentum=0.9, nesterov=True),
    "amsgrad": Adam(amsgrad=True),
    "clipnorm": Adam(clipnorm=0.01),
    "global_clipnorm": SGD(0.1, global_clipnorm=0.01),
    "decay": SGD(0.1, weight_decay=0.1),
    "average": RMSprop(use_ema=True),
}


@pytest.mark.parametrize("name", STEPPING)
def test_a_step_from_the_start_is_the_dense_one_on_touched_rows_and_none_on_others(name):
    net, optimizer = graphs.network("tables", dtype="float64"), STEPPING[name]
    target = Objective(net, losses.get("sparse_categorical_crossentropy"))
    x, y = graphs.rows(20)
    blocks = pack_arrays(x, y[:, None].astype("f8"), np.ones(20), np.dtype("f8"))
    theta = net.init(3)
    slots = np.zeros((len(optimizer.slots), len(theta)))
    lazy, lazy_slots, dense, dense_slots, g = theta.copy(), slots.copy(), theta.copy(), slots.copy(), theta.copy()
    step = step_for(Task(target, theta, slots, optimizer), blocks, 20, lazy, lazy_slots, map)
    (number,) = step.plan([(block, np.arange(len(block))) for block in blocks], None)
    step.learn(number, 0, 0)
    assert step.penalty() == pytest.approx(net.penalty(net.layout.views(theta)), rel=1e-12)
    step.move(1)

    views, rows = net.layout.views, np.empty((20, 8))
    blocks[0].features(slice(None), rows)
    target.learn(views(theta), rows, blocks[0].y, np.ones(20), 1 / 20, None, views(g))
    net.penalty(views(theta), views(g))
    update(net, optimizer, dense, g, dense_slots, 1)
    moved = np.ones(len(theta), bool)
    views(moved)[1]["e"][:] = np.isin(np.arange(3), rows[:, 0])[:, None]
    views(moved)[2]["e"][:] = np.isin(np.arange(9), rows[:, [0, 7]])[:, None]
    assert not moved.all()
    for a, b, before in zip([lazy, *lazy_slots], [dense, *dense_slots], [theta, *slots], strict=True):
        np.testing.assert_allclose(a[moved], b[moved], rtol=1e-7, atol=1e-12)
        assert np.array_equal(a[~moved], before[~moved])
    step.learn(number, 0, 1)
    assert step.penalty() == pytest.approx(net.penalty(views(lazy)), rel=1e-12)


# What is lazy


@pytest.mark.parametrize("optimizer", [AdamW(0.01, weight_decay=0.1), SGD(0.1, momentum=0.9, use_ema=True)])
def test_rows_that_no_batch_touches_stay_as_they_are(optimizer):
    made = fitted(optimizer=optimizer, penalty="l2")
    start = Network.chain(made.network.layers, 3).init(1)[: SIZE * 4].reshape(SIZE, 4)
    table = made.get_weights()[0]
    assert np.array_equal(table[IDLE], start[IDLE]) and not np.isin(table[X], start[X]).any()
    slots = made._state.slots[:, : SIZE * 4].reshape(-1, SIZE, 4)
    assert not slots[: len(optimizer.moments), IDLE].any() and slots[0, X].all()


def test_the_penalty_in_the_history_is_that_of_all_weights():
    made = fitted(optimizer=SGD(0.0), penalty="l2", epochs=1)
    assert made.history.rows[-1]["loss"] == pytest.approx(made.evaluate(X, Y, verbose=0)[0], rel=1e-5)


# Bits


@pytest.mark.parametrize("settings", [{}, {"shards": 3}, {"strategy": "gradient", "shards": 2}])
def test_neither_the_order_of_rows_nor_being_called_after_each_batch_moves_a_bit(settings):
    order = np.random.default_rng(2).permutation(ROWS)
    called = []
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: called.append(batch))
    check_same_bits(
        [
            lambda: fitted(**settings).fingerprint(),
            lambda: fitted(x=X[order], y=Y[order], **settings).fingerprint(),
            lambda: fitted(callbacks=[watch], **settings).fingerprint(),
        ]
    )
    assert called


def test_dense_layers_behind_a_table_have_the_same_bits_with_and_without_compiled_code(monkeypatch):
    settings = {"between": (Dense(128, "relu"), Dropout(0.2), Dense(64, "relu")), "batch_size": 200}
    compiled = fitted(**settings).fingerprint()
    monkeypatch.setattr(compiling, "ON", False)
    assert fitted(**settings).fingerprint() == compiled


def test_a_saved_model_goes_on_as_it_was(tmp_path):
    made = fitted(epochs=2)
    made.save(tmp_path / "m.firesteel")
    loaded = load_model(tmp_path / "m.firesteel")
    assert loaded.layers[0].sparse_steps and loaded.fingerprint() == made.fingerprint()
    for one in (made, loaded):
        one.fit(X, Y, epochs=2, seed=4, verbose=0, batch_size=32)
    assert loaded.fingerprint() == made.fingerprint() and np.array_equal(loaded.predict(X), made.predict(X))


def test_descriptions_without_sparse_steps_are_those_of_before():
    assert "sparse_steps" not in Embedding(3, 2).to_config()
    lazy = Embedding(3, 2, sparse_steps=True)
    for described in (lazy.to_config(), tomllib.loads(to_toml({"x": plain(lazy)}))["x"]):
        assert Embedding.from_config(described) == lazy != Embedding(3, 2)


# Cost


def test_what_moves_row_by_row_does_not_count_where_a_batch_is_cut():
    def halves(lazy):
        net = Network.chain((Embedding(100_000, 16, sparse_steps=lazy), Dense(1)), 1)
        return cut(Objective(net, losses.get("mse")), SUB_BATCH)

    assert halves(False) == SUB_BATCH // 2 and halves(True) == SUB_BATCH


def seconds(size, lazy=True):
    """Return the least computing that one of some steps of 128 rows takes."""
    net = Network.chain((Embedding(size, 4, "zeros", sparse_steps=lazy), Dense(1)), 2)
    x = np.random.default_rng(0).integers(0, size, (SUB_BATCH * 12, 2)).astype("f4")
    blocks = pack_arrays(x, x[:, :1] / size, np.ones(len(x), "f4"), np.dtype("f4"))
    theta = net.init(0)
    task = Task(Objective(net, losses.get("mse")), theta, optimizer=Adam())
    step = step_for(task, blocks, SUB_BATCH, theta.copy(), np.zeros((2, len(theta)), "f4"), map)
    found = []
    for planned in batches([(block, np.arange(len(block))) for block in blocks], step.planned):
        for number in step.plan(planned, None):
            start = time.thread_time()
            step.learn(number, 0, 0)
            step.move(1)
            found.append(time.thread_time() - start)
    return min(found)


def test_a_step_takes_as_long_however_many_categories_there_are():
    assert seconds(500_000) < 5 * seconds(500) < seconds(500_000, lazy=False)


# What cannot be


def refused(*layers, width=3):
    with pytest.raises(ConfigError) as caught:
        Network.chain(layers, width)
    assert caught.value.code == "config-sparse" and "leave sparse_steps out" in str(caught.value)


LAZY = Embedding(9, 2, sparse_steps=True)


@pytest.mark.parametrize("front", [Dense(3), Dropout(0.5), GaussianNoise(1.0), BatchNormalization()], ids=repr)
def test_rows_that_are_not_known_before_a_step_are_refused(front):
    refused(front, LAZY, Dense(1))
    refused(front, Rescaling(1.0), LAZY, Dense(1))


def test_tables_inside_other_layers_and_of_constraints_over_all_rows_are_refused():
    refused(graphs.Residual(LAZY))
    with pytest.raises(ConfigError, match="axis=1"):
        replace(LAZY, embeddings_constraint="unit_norm")


@pytest.mark.parametrize("constraint", ["non_neg", {"type": "MaxNorm", "max_value": 0.01, "axis": 1}])
def test_constraints_on_each_row_hold_on_the_rows_that_are_touched(constraint):
    made = Sequential([replace(LAZY, embeddings_constraint=constraint), Dense(1)])
    made.compile("adam", "mse")
    x = X[:, :1] % 4
    made.fit(x, x / 4, epochs=1, verbose=0)
    table = made.get_weights()[0]
    bound = replace(LAZY, embeddings_constraint=constraint).embeddings_constraint
    expected = table.copy()
    bound.apply(expected)
    np.testing.assert_allclose(table[:4], expected[:4], rtol=1e-5)
    assert np.abs(table[4:] - expected[4:]).max() > 1e-3


@pytest.mark.parametrize("wrong", [SIZE, -1, 1.5])
def test_numbers_that_are_no_category_are_refused(wrong):
    x = X.astype(float)
    x[5, 1] = wrong
    with pytest.raises(DataError, match=f"an embedding of {SIZE} categories was given {wrong:g}; 1 of"):
        fitted(x=x)


@pytest.mark.parametrize("lazy", [True, False])
def test_the_inputs_may_have_several_axes(lazy):
    table = replace(LAZY, sparse_steps=lazy)
    net = Network((Node(table, (0,), 0),), ((4, 3),), "float64")
    views, x = net.layout.views(net.init(0)), RNG.integers(0, 9, (5, 12)).astype(float)
    assert net.shapes[-1] == (4, 6) and net.output(views, x).shape == (5, 4, 6)
    assert np.array_equal(net.output(views, x)[1, 2, 2:4], views[0]["e"][int(x[1, 7])])


def test_wide_rows_of_few_categories_that_are_not_0_are_looked_up_too():
    x = np.zeros((60, 4200))
    x[np.arange(60), np.arange(60) * 7] = np.arange(60) % 9
    thetas = []
    for lazy in (True, False):
        made = Sequential([replace(LAZY, sparse_steps=lazy), Dense(1)])
        made.compile(SGD(1e-4), "mse")
        made.fit(x, x.sum(axis=1), epochs=1, seed=1, verbose=0)
        thetas.append(made.theta.tobytes())
    assert thetas[0] == thetas[1]


def test_one_table_may_be_read_by_several_nodes():
    both = Embedding(SIZE, 2, sparse_steps=True)
    nodes = (Node(both, (0,), 0), Node(both, (1,), 0), Node(graphs.Join(), (2, 3), 1), Node(Dense(1), (4,), 2))
    thetas = []
    for lazy in (True, False):
        named = tuple(replace(n, layer=replace(both, sparse_steps=lazy)) if n.owner == 0 else n for n in nodes)
        made = Model(Network(named, ((1,), (1,))))
        made.compile(SGD(0.1), "mse")
        made.fit(X[:, :2], X[:, 0] / 300, epochs=2, seed=1, verbose=0)
        thetas.append(made.theta.tobytes())
    assert thetas[0] == thetas[1]


def test_of_several_shards_a_row_is_the_mean_of_those_that_touched_it():
    net = Network.chain((Embedding(5, 2, "normal", sparse_steps=True), Dense(1)), 1)
    theta, slots = net.init(1), np.zeros((2, net.layout.size), np.float32)
    task = Task(Objective(net, losses.get("mse")), theta, slots, Adam(0.1), 4, shards=3, weight=12.0)

    def shard(number, categories, weight=1.0):
        x = np.repeat(np.array(categories, float), 2)[:, None]
        (block,) = pack_arrays(x, x + 1, np.full(len(x), weight), np.dtype("float32"))
        return average(task, [replace(block, id=number)], map)

    parts = [shard(0, [0, 2, 2]), shard(1, [1, 2, 1]), shard(2, [4], weight=0.0)]
    after = net.layout.views(spread(tree_sum(parts), task).vectors[0])[0]["e"]
    alone = [
        net.layout.views(spread(replace(part, changed=whole(part)), task).vectors[0])[0]["e"] for part in parts[:2]
    ]
    before = net.layout.views(theta)[0]["e"]
    np.testing.assert_array_equal(after[[0, 1]], [alone[0][0], alone[1][1]])
    np.testing.assert_allclose(after[2], (alone[0][2] + alone[1][2]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(after[3:], before[3:])
    assert (np.abs(after[:3] - before[:3]) > 0.05).all()


def whole(part):
    """Return the rows that a shard has changed, as if it were the only one."""
    return tuple(
        replace(one, values=one.values / one.share[0], share=one.share / one.share[0]) for one in part.changed
    )
