"""Sparse rows stay sparse: what is stored decides nothing, and only what a step touches moves."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from firesteel.callbacks import BackupAndRestore, LambdaCallback
from firesteel.core import losses
from firesteel.core import optimizers as catalogue
from firesteel.core.csr import CSR, joined
from firesteel.core.layers.dense import product
from firesteel.core.network import Network, Objective
from firesteel.core.update import update
from firesteel.errors import ConfigError, DataError
from firesteel.layers import BatchNormalization, Dense, Dropout, Normalization, Rescaling
from firesteel.models import Sequential, load_model
from firesteel.optimizers import SGD, Adam
from firesteel.regularizers import L1L2
from firesteel.tables.arrays import Arrays
from firesteel.train.blocks import SPARSE_PART, SPARSE_WIDTH, Block, is_sparse, pack_arrays, row_keys
from firesteel.train.partial import Changed, Task
from firesteel.train.recipe import Recipe
from firesteel.train.rounds import step_for
from firesteel.train.rowwise import entering, narrowed
from firesteel.train.source import RowProfile
from firesteel.train.state import TrainState
from firesteel.train.strategies import STRATEGIES, Average

WIDTH = SPARSE_WIDTH + 104
ROWS = 300
F4 = np.dtype("f4")


def made(rows=ROWS, width=WIDTH, seed=0):
    """Rows of 0 to 40 non-zeros, and classes that depend on them."""
    rng = np.random.default_rng(seed)
    x = np.zeros((rows, width), np.float32)
    for row in x:
        row[rng.choice(width, rng.integers(0, 41), replace=False)] = rng.integers(-4, 5)
    return x, (x @ rng.normal(size=(width, 3)).astype("f4")).argmax(axis=1)


X, Y = made()
SCIPY = csr_matrix(X)
DROPOUT = (Dropout(0.2),)


def model(*front, optimizer="adam", kernel=None, dtype="float32", middle=DROPOUT):
    net = Sequential([*front, Dense(6, "tanh", kernel_regularizer=kernel), *middle, Dense(3, "softmax")], dtype=dtype)
    net.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return net


def fitted(x, y, *front, epochs=3, seed=1, **settings):
    kept = {name: settings.pop(name) for name in ("optimizer", "kernel", "middle") if name in settings}
    net = model(*front, **kept)
    net.fit(x, y, epochs=epochs, seed=seed, verbose=0, **{"batch_size": 16} | settings)
    return net


def with_zeros(x, y):
    """Rows of which nobody has counted the non-zeros."""
    source = Arrays(x, y, None, "float64")
    source.profiled = replace(source.profile(), nonzeros=None)
    return source


# Rows


def test_rows_without_their_zeros_are_chosen_joined_and_flipped_like_the_rows_themselves():
    rows = CSR.of(X)
    for chosen in (slice(3, 9), slice(5, 2), slice(0, 300, 7), [4, 4, 0], X[:, 0] >= 0, np.array([299])):
        assert np.array_equal(rows[chosen].dense(), X[chosen])
    assert np.array_equal(joined([rows[:7], rows[7:7], rows[7:]]).dense(), X)
    assert np.array_equal(rows.flipped().dense(), X.T)
    assert np.array_equal(rows.times(np.arange(WIDTH, dtype="f4")).dense(), X * np.arange(WIDTH, dtype="f4"))
    assert not len(CSR.of(X[:0])) and CSR.of(X[:0]).width == WIDTH


def test_values_that_are_0_in_the_networks_dtype_are_not_kept():
    x = csr_matrix((np.array([1e-60, 2.0, -0.0, 3.0]), [0, 1, 2, 1], [0, 2, 3, 4]), shape=(3, 4))
    kept = CSR(x.indptr, x.indices, x.data, 4).cast(F4)
    assert kept.values.tolist() == [2.0, 3.0] and kept.indptr.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("units", [1, 7])
def test_a_product_is_the_dense_one_and_a_row_of_it_depends_on_that_row_alone(units):
    w = np.random.default_rng(0).normal(size=(WIDTH, units)).astype("f4")
    rows = CSR.of(X)
    whole = product(rows, w)
    np.testing.assert_allclose(whole, X @ w, rtol=2e-5, atol=2e-5)
    assert all(np.array_equal(product(rows[at : at + 1], w)[0], whole[at]) for at in range(0, ROWS, 11))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_hash_and_pack_alike_however_they_are_stored(dtype):
    kind = np.dtype(dtype)
    x, y, w = np.vstack([X, X[:40], X[:40]]), np.zeros((ROWS + 80, 1), dtype), np.ones(ROWS + 80, dtype)
    rows = CSR.of(x.astype(np.float64))
    assert np.array_equal(row_keys(x, y), row_keys(rows, y))
    order = np.random.default_rng(1).permutation(len(x))
    packed = [
        [block.to_bytes() for block in pack_arrays(given, y, w, kind, words=50)] for given in (rows, rows[order])
    ]
    assert packed[0] == packed[1]
    blocks = [Block.from_bytes(np.frombuffer(data, np.uint8)) for data in packed[0]]
    assert [block.to_bytes() for block in blocks] == packed[0]
    dense = [block for block in pack_arrays(x, y, w, kind, words=50)]
    for one, other in zip(blocks, dense, strict=True):
        both = np.empty((2, len(one), WIDTH), kind)
        one.features(slice(None), both[0])
        other.features(slice(None), both[1])
        assert np.array_equal(*both) and one.fingerprint == other.fingerprint


def test_very_many_copies_of_one_row_are_spread_over_the_blocks():
    x, y = np.vstack([X, np.repeat(X[:1], 900, axis=0)]), np.zeros((1200, 1))
    blocks = pack_arrays(CSR.of(x), y, np.ones(1200), F4, words=50)
    assert max(len(block) for block in blocks) < 90


# The rule


def test_the_rule_is_about_width_and_the_share_of_zeros_of_all_rows():
    assert is_sparse(SPARSE_WIDTH, SPARSE_WIDTH * 10 // SPARSE_PART, 10)
    assert not is_sparse(SPARSE_WIDTH - 1, 0, 10) and not is_sparse(SPARSE_WIDTH, None, 10)
    assert not is_sparse(SPARSE_WIDTH, SPARSE_WIDTH * 10 // SPARSE_PART + 1, 10)


class AsManyAsBlocks(Average):
    """A strategy that would have a shard for each block."""

    def default_shards(self, rows, batch_size, blocks):
        return blocks


def test_shards_and_rounds_of_sparse_rows_are_fat():
    recipe = Recipe(strategy=AsManyAsBlocks())
    profile = RowProfile(1_000_000, 0, 1 << 18, 1, {}, {}, 50_000_000)
    assert profile.sparse and profile.words == 100
    assert [profile.shards(recipe, blocks) for blocks in (1, 2, 32)] == [1, 2, 2]
    assert (
        replace(profile, width=1 << 12).shards(recipe, 32) == 32
        and replace(profile, nonzeros=None).shards(recipe, 32) == 32
    )
    assert [STRATEGIES["average"].sparse_rounds(rounds) for rounds in (1, 16, 70)] == [1, 1, 4]
    assert STRATEGIES["gradient"].sparse_rounds(70) == 70


FORMS = {
    "float64": X.astype(np.float64),
    "int8": X.astype(np.int8),
    "csr_array": csr_array(X),
    "csc": SCIPY.tocsc(),
    "coo, float64": SCIPY.tocoo().astype(np.float64),
    "with zeros": csr_matrix(
        (np.append(SCIPY.data, 0.0), np.append(SCIPY.indices, 7), [*SCIPY.indptr, SCIPY.nnz + 1])
    ),
}
FORMS["with zeros"].resize(ROWS, WIDTH)


@pytest.mark.parametrize("form", FORMS)
def test_how_rows_are_stored_does_not_move_a_bit(form):
    expected = fitted(X, Y, validation_split=0.2)
    assert expected.network.sparse
    assert fitted(FORMS[form], Y, validation_split=0.2).fingerprint() == expected.fingerprint()
    assert np.array_equal(expected.predict(FORMS[form]), expected.predict(X))
    assert expected.evaluate(FORMS[form], Y, verbose=0) == expected.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize("settings", [{}, {"shards": 3}, {"strategy": "gradient", "shards": 2}])
def test_the_order_of_rows_does_not_move_a_bit(settings):
    order = np.random.default_rng(2).permutation(ROWS)
    assert fitted(SCIPY, Y, **settings).fingerprint() == fitted(X[order], Y[order], **settings).fingerprint()


def test_narrow_or_crowded_sparse_matrices_train_as_dense_ones():
    for x in (X[:, :200], np.random.default_rng(0).normal(size=(60, SPARSE_WIDTH)).astype("f4")):
        dense = fitted(x, Y[: len(x)], epochs=1)
        assert not dense.network.sparse
        assert fitted(csr_matrix(x), Y[: len(x)], epochs=1).fingerprint() == dense.fingerprint()
        assert np.array_equal(dense.predict(csr_matrix(x)), dense.predict(x))


# The mathematics


def objective(*layers):
    net = Network.chain(tuple(layers), WIDTH, "float64", sparse=True)
    return Objective(net, losses.get("sparse_categorical_crossentropy"))


def test_the_gradient_is_that_of_finite_differences_and_of_the_dense_network():
    target = objective(Rescaling(0.5), Dense(4, "tanh"), Dense(3, "softmax"))
    net, theta = target.network, target.network.init(3)
    x, y, w = CSR.of(X[:20].astype("f8")), Y[:20, None].astype("f8"), np.linspace(1.0, 2.0, 20)
    g = np.zeros_like(theta)
    views = net.layout.views
    target.learn(views(theta), entering(net, x, theta.dtype), y, w, 1.0, None, views(g))
    dense = np.zeros_like(theta)
    plain = replace(target, network=replace(net, sparse=False))
    plain.learn(views(theta), X[:20].astype("f8"), y, w, 1.0, None, views(dense))
    np.testing.assert_allclose(g, dense, rtol=1e-10, atol=1e-12)
    for at in (int(x.indices[0]) * 4, int(x.indices[30]) * 4 + 3, len(theta) - 17, len(theta) - 1):
        ends = []
        for way in (1e-6, -1e-6):
            moved = theta.copy()
            moved[at] += way
            ends.append(target.score(views(moved), entering(net, x, theta.dtype), y, w)[0])
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(g[at], rel=1e-5, abs=1e-8)


STEPPING = {name: one for name, one in catalogue.OPTIMIZERS.items() if not one.searches} | {
    "momentum": SGD(0.1, momentum=0.9, nesterov=True),
    "amsgrad": Adam(amsgrad=True),
    "clipnorm": Adam(clipnorm=0.01),
    "clipvalue": Adam(clipvalue=0.001),
    "global_clipnorm": SGD(0.1, global_clipnorm=0.01),
    "averaged": Adam(0.1, use_ema=True),
}


@pytest.mark.parametrize("name", STEPPING)
def test_a_step_from_the_start_is_the_dense_one_on_touched_rows_and_none_on_others(name):
    """Decay apart, which AdamW's untouched rows are spared."""
    last = Dense(3, "softmax", kernel_constraint="non_neg")
    target = objective(Dense(4, "tanh"), BatchNormalization(), last)
    net, optimizer = target.network, STEPPING[name]
    x, y = X[:20].astype("f8"), Y[:20, None].astype("f8")
    blocks = pack_arrays(CSR.of(x), y, np.ones(20), np.dtype("f8"))
    theta = net.init(3)
    slots = TrainState.start(theta, optimizer).slots
    task = Task(target, theta, slots, optimizer, seed=5)
    lazy, lazy_slots = theta.copy(), slots.copy()
    step = step_for(task, blocks, 20, lazy, lazy_slots, map)
    (number,) = step.plan([(block, np.arange(len(block))) for block in blocks], None)
    step.learn(number, 0, 0)
    step.move(1)

    order = blocks[0].x.dense()
    g = np.zeros_like(theta)
    plain = replace(target, network=replace(net, sparse=False))
    views = net.layout.views
    random = lambda op: np.random.default_rng(0)  # noqa: E731  # batch normalisation asks whether, not what
    plain.learn(views(theta), order, blocks[0].y, np.ones(20), 1 / 20, random, views(g))
    dense, dense_slots = theta.copy(), slots.copy()
    update(net, optimizer, dense, g, dense_slots, 1)
    cut = WIDTH * 4
    touched = (order != 0).any(axis=0)
    for a, b, before in zip([lazy, *lazy_slots], [dense, *dense_slots], [theta, *slots], strict=True):
        np.testing.assert_allclose(a[cut:], b[cut:], rtol=1e-7, atol=1e-12)
        rows, expected, start = (part[:cut].reshape(WIDTH, 4) for part in (a, b, before))
        np.testing.assert_allclose(rows[touched], expected[touched], rtol=1e-7, atol=1e-12)
        assert np.array_equal(rows[~touched], start[~touched])


def test_the_gradient_strategy_is_that_of_dense_rows_for_every_optimiser():
    theta = []
    for sparse in (True, False):
        net = model(dtype="float64", optimizer="lbfgs", kernel=L1L2(l2=0.01), middle=())
        if sparse:
            net.fit(X, Y, epochs=3, verbose=0)
        else:
            net._source = lambda x, y, *rest: with_zeros(x, y)
            net.fit(X, Y, epochs=3, verbose=0)
        assert net.network.sparse == sparse
        theta.append(net.theta)
    np.testing.assert_allclose(*theta, rtol=1e-7, atol=1e-9)


def test_the_price_in_the_history_is_that_of_all_weights():
    price = L1L2(l1=1e-3, l2=1e-3)
    net = fitted(X, Y, kernel=price, epochs=1, batch_size=ROWS, middle=(), optimizer=SGD(0.0))
    expected = net.evaluate(X, Y, verbose=0)[0]
    assert net.network.sparse
    assert net.history.rows[-1]["loss"] == pytest.approx(expected, rel=1e-6)
    many = fitted(X, Y, kernel=price, epochs=1, batch_size=4, middle=(), optimizer=SGD(0.0))
    assert many.history.rows[-1]["loss"] == pytest.approx(expected, rel=1e-6)


def test_only_touched_rows_move_and_only_they_travel():
    used = np.flatnonzero((X != 0).any(axis=0))
    idle = np.setdiff1d(np.arange(WIDTH), used)
    net = fitted(X, Y, shards=2, optimizer="rmsprop")
    first = Network.chain(net.network.layers, WIDTH, sparse=True).init(1)[: WIDTH * 6].reshape(WIDTH, 6)
    assert len(idle) and np.array_equal(net.get_weights()[0][idle], first[idle])
    a, b = (
        Changed(np.array(rows), np.full((1, 2, 3), value, "f4"), np.full(2, 0.5))
        for rows, value in (([1, 4], 1.0), ([4, 9], 2.0))
    )
    total, other = Changed.from_bytes(Changed.to_bytes([a + b, b]))
    assert total.rows.tolist() == [1, 4, 9] and total.values[0, :, 0].tolist() == [1.0, 3.0, 2.0]
    assert total.share.tolist() == [0.5, 1.0, 0.5] and other.rows.tolist() == [4, 9]


def test_a_narrowed_network_has_the_parameters_of_the_inputs_it_sees():
    net = objective(Dense(4, "relu", kernel_regularizer="l2"), BatchNormalization(), Dense(3, "softmax")).network
    small = narrowed(net, {0: 10})
    assert small.layout.size == net.layout.size - (WIDTH - 10) * 4
    assert [where.stop - where.start for where, _ in small.statistics] == [4, 4]
    assert narrowed(small, {0: WIDTH}).layout == net.layout


# Scaling


def test_sparse_rows_are_scaled_by_the_largest_size_of_each_column_and_not_centred():
    net = fitted(SCIPY, Y, Normalization(), shards=2)
    scale = net.layers[0]
    assert net.network.sparse and not any(scale.mean)
    assert np.array_equal(np.sqrt(scale.variance), np.abs(X).max(axis=0))
    assert fitted(X, Y, Normalization(), shards=2).fingerprint() == net.fingerprint()


@pytest.mark.parametrize("front", [Rescaling(0.5, 1.0), Normalization([1.0], [4.0]), BatchNormalization()])
def test_what_leaves_no_zeros_takes_the_dense_path(front):
    net = fitted(SCIPY[:40], Y[:40], front, epochs=1)
    assert not net.network.sparse
    assert fitted(X[:40], Y[:40], front, epochs=1).fingerprint() == net.fingerprint()


def test_a_network_that_cannot_take_sparse_rows_is_not_said_to():
    with pytest.raises(ConfigError, match="layers that keep zeros"):
        Network.chain((Rescaling(1.0, 2.0), Dense(3)), WIDTH, sparse=True)
    with pytest.raises(ConfigError, match="layers that keep zeros"):
        Network.chain((Dense(3, kernel_constraint="non_neg"),), WIDTH, sparse=True)


# Keeping


def test_a_saved_network_goes_on_as_it_was(tmp_path):
    net = fitted(X, Y)
    net.save(tmp_path / "m.firesteel")
    loaded = load_model(tmp_path / "m.firesteel")
    assert loaded.network.sparse and loaded.fingerprint() == net.fingerprint()
    assert np.array_equal(loaded.predict(SCIPY), net.predict(X))


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does():
    whole, parts = fitted(X, Y, shards=2, epochs=4), model()
    for end in (2, 4):
        parts.fit(SCIPY, Y, initial_epoch=end - 2, epochs=end, seed=1, shards=2, batch_size=16, verbose=0)
    assert parts.fingerprint() == whole.fingerprint()


def test_a_training_that_was_cut_off_goes_on_to_the_bit(tmp_path):
    def cut(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    settings = dict(optimizer=SGD(0.1, momentum=0.9), shards=2, epochs=4)
    with pytest.raises(KeyboardInterrupt):
        stop = LambdaCallback(on_epoch_end=cut)
        fitted(X, Y, callbacks=[BackupAndRestore(tmp_path), stop], **settings)
    assert list(tmp_path.iterdir())
    go_on = LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    went_on = fitted(SCIPY, Y, callbacks=[BackupAndRestore(tmp_path), go_on], **settings)
    assert went_on.fingerprint() == fitted(X, Y, **settings).fingerprint()


# Rows that cannot be


def broken(**changes):
    x = SCIPY.copy()
    for name, (at, value) in changes.items():
        getattr(x, name)[at] = value
    return x


ROW = int(np.flatnonzero(np.diff(SCIPY.indptr) > 3)[5])
AT = int(SCIPY.indptr[ROW]) + 1
BAD = {
    "nan": (dict(data=(AT, np.nan)), "data-nan", ("NaN", f"position {SCIPY.indices[AT]}", f"row {ROW}; 1 of 300")),
    "infinite": (
        dict(data=(AT, np.inf)),
        "data-infinite",
        ("infinite", f"position {SCIPY.indices[AT]}", f"row {ROW}"),
    ),
    "beyond": (dict(indices=(AT, WIDTH)), "data-index-range", (f"{WIDTH}, of 4,200 columns", f"row {ROW}; 1 of 300")),
    "below": (dict(indices=(AT, -1)), "data-index-range", ("-1, of 4,200 columns", f"row {ROW}; 1 of 300")),
    "twice": (
        dict(indices=(AT, SCIPY.indices[AT - 1])),
        "data-index-order",
        (f"{SCIPY.indices[AT - 1]} after {SCIPY.indices[AT - 1]}", f"row {ROW}; 1 of 300", "sum_duplicates"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_sparse_rows_are_refused_with_row_and_place(name):
    changes, code, words = BAD[name]
    net = model()
    with pytest.raises(DataError) as caught:
        net.fit(broken(**changes), Y, verbose=0)
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("name", ["beyond", "below", "twice"])
def test_a_prediction_refuses_indices_that_no_row_has(name):
    changes, code, words = BAD[name]
    net = model()
    net.build((None, WIDTH))
    with pytest.raises(DataError) as caught:
        net.predict(broken(**changes))
    assert caught.value.code == code and words[0] in str(caught.value)


def test_a_sparse_matrix_of_truths_is_one_of_ones():
    assert np.array_equal(model_of_all().predict(SCIPY.astype(bool)), model_of_all().predict((X != 0).astype("f4")))


def model_of_all():
    net = model()
    net.build((None, WIDTH))
    return net
