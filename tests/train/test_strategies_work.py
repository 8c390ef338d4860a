"""The work functions: every row once, the same bits however they are run, and the plain loop as their reference."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from firesteel.core import losses, metrics
from firesteel.core.layers import Dense, Dropout
from firesteel.core.layout import read_only
from firesteel.core.network import Network, Objective
from firesteel.core.optimizers import SGD, Adam
from firesteel.core.seeds import rng_for, stream_for
from firesteel.train import step
from firesteel.train.blocks import Block, pack_arrays, pack_in_order
from firesteel.train.engine import LocalEngine
from firesteel.train.partial import Task, tree_sum
from firesteel.train.rounds import average, evaluate, gradient, predict, round_blocks
from firesteel.train.state import TrainState
from firesteel.train.step import SUB_BATCH
from firesteel.train.strategies import STRATEGIES, Gradient

ROWS = 430
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4))
Y = (np.arange(ROWS) % 3)[:, None].astype(float)
W = RNG.uniform(0.5, 2.0, ROWS)
DROPPING = (Dense(6, "tanh"), Dropout(0.4), Dense(3, "softmax"))
PLAIN = (Dense(6, "tanh"), Dense(3, "softmax"))
METRICS = (("accuracy", metrics.get("sparse_categorical_accuracy")),)


def setup(dtype="float64", layers=PLAIN, x=X, y=Y, w=W, optimizer=None, pack=pack_arrays, **settings):
    """Blocks, and a task to train on them."""
    objective = Objective(
        Network.chain(tuple(layers), x.shape[1], dtype), losses.get("sparse_categorical_crossentropy"), METRICS
    )
    optimizer = Adam(0.01) if optimizer is None else optimizer
    state = TrainState.start(objective.network.init(1), optimizer)
    blocks = pack(x, y, w, np.dtype(dtype))
    task = Task(objective, read_only(state.theta), state.slots, optimizer, **{"weight": float(w.sum()), **settings})
    return blocks, task


def shards_of(blocks, shards):
    return [[block for block in blocks if block.id % shards == s] for s in range(shards)]


def total(work, task, blocks, run=map):
    return tree_sum([work(task, shard, run) for shard in shards_of(blocks, task.shards)])


def backwards(function, items):
    """A map that computes the last item first."""
    return list(reversed([function(item) for item in reversed(list(items))]))


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max())


def same_bits(a, b):
    assert a.vectors.tobytes() == b.vectors.tobytes() and a.vectors.dtype == b.vectors.dtype
    assert a.sums.tobytes() == b.sums.tobytes() and a.steps == b.steps


def features(block, rows):
    out = np.empty((len(rows), block.x.shape[1]), block.y.dtype)
    block.features(rows, out)
    return out


# Every row once


@pytest.mark.parametrize("batch_size", [1, 32, 100, 430, 10_000])
@pytest.mark.parametrize("cut", [1, 3, 20])
@pytest.mark.parametrize("shards", [1, 2, 5])
@pytest.mark.parametrize("name", STRATEGIES)
def test_an_epoch_uses_every_row_exactly_once(name, shards, cut, batch_size):
    blocks, task = setup(batch_size=batch_size, shards=shards, rounds=cut, optimizer=SGD(1e-3))
    engine, sums = LocalEngine(blocks, shards), np.zeros(task.objective.size)
    for number in range(cut):
        ready = STRATEGIES[name].ready(replace(task, round=number), engine.blocks)
        if ready is not None:
            sums += total(STRATEGIES[name].work(), ready, blocks).sums
    assert sums[2] == ROWS and sums[1] == pytest.approx(W.sum(), rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 128, 129, 429, 430, 431])
def test_batches_cross_block_borders_and_the_short_last_one_is_kept(batch_size):
    blocks, task = setup(batch_size=batch_size)
    assert len(blocks) > 5
    partial = average(task, blocks, map)
    assert partial.steps == -(-ROWS // batch_size) and partial.sums[2] == ROWS


@pytest.mark.parametrize("cut", [1, 2, 5, 30])
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_rounds_of_an_epoch_share_out_the_blocks(cut, shuffle):
    _, task = setup(rounds=cut, shards=3, shuffle=shuffle)
    ids = list(range(1, 40, 3))
    parts = [round_blocks(replace(task, round=number), reversed(ids)) for number in range(cut)]
    assert sorted(sum(parts, [])) == ids and (sum(parts, []) == ids) is not shuffle
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_order_of_blocks_and_rows_changes_with_epoch_and_seed_and_nothing_else():
    blocks, task = setup(optimizer=SGD(0.1))
    ids = [block.id for block in blocks]
    changes = [{"epoch": 1}, {"seed": 1}]
    orders = [tuple(round_blocks(replace(task, **change), ids)) for change in [{}, *changes]]
    assert len(set(orders)) == 3
    results = [average(replace(task, **change), blocks, map).vectors.tobytes() for change in [{}, {}, *changes]]
    assert results[0] == results[1] and len(set(results)) == 3
    assert average(task, blocks[::-1], map).vectors.tobytes() == results[0]


# The gradient


def direct(task, x, y, w):
    """The gradient and sums of all rows in one go."""
    network = task.objective.network
    g = np.zeros_like(task.theta)
    sums = task.objective.learn(network.layout.views(task.theta), x, y, w, 1.0, None, network.layout.views(g))
    return g, sums


def test_the_summed_gradient_is_that_of_all_rows_at_once():
    blocks, task = setup()
    partial, (g, sums) = total(gradient, task, blocks), direct(task, X, Y, W)
    close(partial.vectors[0], g)
    close(partial.sums, sums)


@pytest.mark.parametrize("layers", [PLAIN, DROPPING], ids=["plain", "dropout"])
@pytest.mark.parametrize("shards", [2, 3, 5, 13])
@pytest.mark.parametrize("cut, number", [(1, 0), (4, 2)])
def test_the_summed_gradient_does_not_depend_on_how_blocks_are_split_into_shards(layers, shards, cut, number):
    blocks, task = setup(layers=layers, rounds=cut, round=number)
    one, many = total(gradient, task, blocks), total(gradient, replace(task, shards=shards), blocks)
    assert one.vectors.any()
    close(many.vectors, one.vectors)
    close(many.sums, one.sums)


def test_weight_2_is_the_row_twice_under_gradient():
    double = np.arange(ROWS) % 3 == 0
    weighted, task = setup(w=np.where(double, 2.0, 1.0))
    x, y = np.concatenate([X, X[double]]), np.concatenate([Y, Y[double]])
    repeated, _ = setup(x=x, y=y, w=np.ones(len(x)))
    a, b = total(gradient, task, weighted), total(gradient, task, repeated)
    close(a.vectors, b.vectors)
    close(np.delete(a.sums, 2), np.delete(b.sums, 2))
    assert b.sums[2] - a.sums[2] == double.sum()


def test_a_sample_without_rows_gives_a_gradient_of_zero():
    blocks, task = setup(x=X[:5], y=Y[:5], w=W[:5], rounds=50, round=3)
    partial = gradient(task, blocks, map)
    assert not partial.vectors.any() and not partial.sums.any() and partial.vectors.shape == (1, len(task.theta))


# Evaluation and prediction


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_evaluation_is_direct_computation_whatever_the_shards(shards):
    blocks, task = setup(shards=shards)
    views = task.objective.network.layout.views(task.theta)
    partial = total(evaluate, task, blocks)
    close(partial.sums, task.objective.score(views, X, Y, W))
    assert partial.vectors.shape == (0, len(task.theta))


@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 430])
@pytest.mark.parametrize("kind", ["f4", "f8", "i2", "u1"])
def test_prediction_is_the_forward_pass_row_by_row_in_order(rows, kind):
    _, task = setup(layers=DROPPING)
    network = task.objective.network
    x = np.abs(X[:rows] * 10).astype(kind)
    views = network.layout.views(task.theta)
    outputs = predict(network, task.theta, x, map)
    assert outputs.shape == (rows, 3) and outputs.dtype == np.float64
    np.testing.assert_allclose(outputs, network.output(views, x.astype("f8")), rtol=1e-12)
    logits = predict(network, task.theta, x, map, last=task.objective.last)
    np.testing.assert_allclose(logits, network.output(views, x.astype("f8"), last=-1), rtol=1e-12, atol=1e-14)


# The same bits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("work", [average, gradient, evaluate], ids=lambda work: work.__name__)
def test_threads_and_any_order_of_computing_leave_the_bits_alone(work, dtype, monkeypatch):
    monkeypatch.setattr(step, "THREAD", 0)
    x, y, w = np.tile(X, (8, 1)) + RNG.normal(size=(8 * ROWS, 4)), np.tile(Y, (8, 1)), np.tile(W, 8)
    blocks, task = setup(dtype, DROPPING, x, y, w, batch_size=1000)
    calls = []

    def counted(function, items):
        calls.append(len(items := list(items)))
        return backwards(function, items)

    serial = work(task, blocks, map)
    with ThreadPoolExecutor(4) as pool:
        same_bits(work(task, blocks, pool.map), serial)
    same_bits(work(task, blocks, counted), serial)
    assert work is gradient or max(calls) >= 3


def test_threads_leave_the_bits_of_predictions_alone():
    _, task = setup("float32")
    x = RNG.normal(size=(1000, 4)).astype("f4")
    serial = predict(task.objective.network, task.theta, x, map)
    np.testing.assert_array_equal(predict(task.objective.network, task.theta, x, backwards), serial)


def test_a_large_block_is_summed_over_sub_batches_in_one_order(monkeypatch):
    monkeypatch.setattr(step, "THREAD", 0)
    x, y, w = np.tile(X, (3, 1)), np.tile(Y, (3, 1)), np.tile(W, 3)
    _, task = setup("float32", DROPPING, x, y, w)
    block = Block(0, x.astype("f4"), None, y.astype("f4"), w.astype("f4"), 0)
    assert len(block) > 5 * SUB_BATCH
    same_bits(gradient(task, [block], backwards), gradient(task, [block], map))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("work", [average, gradient, evaluate], ids=lambda work: work.__name__)
def test_a_retried_task_gives_the_same_bits_here_or_elsewhere(work, dtype):
    blocks, task = setup(dtype, DROPPING, batch_size=50, shards=2, round=1, rounds=2, epoch=3, step=17)
    shard = shards_of(blocks, 2)[1]
    first = work(task, shard, map)
    same_bits(work(task, shard, map), first)
    shipped = [Block.from_bytes(np.frombuffer(block.to_bytes(), np.uint8)) for block in shard]
    same_bits(work(pickle.loads(pickle.dumps(task)), shipped, map), first)


@pytest.mark.parametrize("work", [average, gradient, evaluate], ids=lambda work: work.__name__)
def test_a_task_and_its_blocks_are_read_and_never_written(work):
    blocks, task = setup(layers=DROPPING, batch_size=50)
    arrays = [task.theta, task.slots, *(array for block in blocks for array in (block.x, block.y, block.w))]
    for array in arrays:
        array.flags.writeable = False
    before = [array.tobytes() for array in arrays]
    work(task, blocks, map)
    assert [array.tobytes() for array in arrays] == before


# The plain loop


def by_hand(task, blocks, shard=0):
    """Mini-batch training as anyone would write it, over the shard's rows in the epoch's order."""
    objective, layout = task.objective, task.objective.network.layout
    theta, slots = task.theta.copy(), task.slots.copy()
    order = np.arange(len(blocks))
    if task.shuffle:
        order = rng_for(task.seed, "blocks", task.epoch, shard).permutation(len(blocks))
    parts, rng = [], rng_for(task.seed, "rows", task.epoch, shard, task.round)
    for block in (blocks[number] for number in order):
        rows = np.arange(len(block))
        if task.shuffle:
            rows = rng.permutation(len(block))
        parts.append((features(block, rows), block.y[rows], block.w[rows].astype("f8")))
    x, y, w = (np.concatenate(column) for column in zip(*parts, strict=True))
    step = task.step
    for at in range(0, len(x), task.batch_size):
        batch = slice(at, at + task.batch_size)

        def random(op, step=step):
            return stream_for(task.seed, "op", op, task.epoch, shard, step, 0)

        g = np.zeros_like(theta)
        scale = 1.0 / float(w[batch].sum())
        objective.learn(layout.views(theta), x[batch], y[batch], w[batch], scale, random, layout.views(g))
        step += 1
        task.optimizer.step(theta, g, slots, step)
    return np.vstack([theta, *slots])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 32, 100])
@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01)], ids=["sgd", "adam"])
def test_average_with_one_shard_is_the_plain_mini_batch_loop_bit_for_bit(optimizer, batch_size, shuffle, dtype):
    pack = pack_arrays if shuffle else pack_in_order
    blocks, task = setup(dtype, DROPPING, optimizer=optimizer, pack=pack, batch_size=batch_size, shuffle=shuffle)
    task = replace(task, seed=5, epoch=2, step=40, weight=sum(block.weight for block in blocks))
    task = STRATEGIES["average"].ready(task, LocalEngine(blocks).blocks)
    partial = average(task, blocks, map)
    assert partial.vectors.tobytes() == by_hand(task, blocks).tobytes()


def test_a_loop_written_in_numpy_alone_arrives_at_the_same_weights():
    blocks, task = setup(layers=(Dense(3, "softmax"),), optimizer=SGD(0.5), pack=pack_in_order, shuffle=False)
    w, b = task.theta[:12].reshape(4, 3).copy(), np.zeros(3)
    for at in range(0, ROWS, 32):
        x, k, weight = X[at : at + 32], Y[at : at + 32, 0].astype(int), W[at : at + 32]
        p = np.exp(x @ w + b)
        p /= p.sum(axis=1, keepdims=True)
        error = (p - np.eye(3)[k]) * (weight / weight.sum())[:, None]
        w, b = w - 0.5 * x.T @ error, b - 0.5 * error.sum(axis=0)
    np.testing.assert_allclose(average(task, blocks, map).vectors[0], np.concatenate([w.ravel(), b]), rtol=1e-10)


def test_a_batch_of_many_sub_batches_has_the_gradient_of_the_whole_batch():
    blocks, task = setup(batch_size=ROWS, optimizer=SGD(1.0))
    g, sums = direct(task, X, Y, W)
    partial = average(task, blocks, map)
    close(task.theta - partial.vectors[0], g / W.sum())
    close(partial.sums, sums)


def test_shards_are_averaged_by_their_weight():
    blocks, task = setup(shards=3, batch_size=20, layers=DROPPING)
    shards = shards_of(blocks, 3)
    weights = [sum(block.weight for block in shard) for shard in shards]
    assert sum(weights) == pytest.approx(task.weight)
    expected = sum(
        weight / sum(weights) * by_hand(task, shard, s)
        for s, (shard, weight) in enumerate(zip(shards, weights, strict=True))
    )
    close(total(average, task, blocks).vectors, expected)


@pytest.mark.parametrize("shards", [1, 3])
def test_a_sample_is_the_share_of_each_block_s_rows_that_was_asked_for(shards):
    blocks, task = setup(shards=shards, w=np.ones(ROWS))
    work = Gradient(sample=0.7).work()
    sizes = sum(int(np.ceil(0.7 * len(block))) for block in blocks)
    draws = [total(work, replace(task, epoch=epoch), blocks) for epoch in range(3)]
    assert [draw.sums[2] for draw in draws] == [sizes] * 3 and 0.69 * ROWS < sizes < 0.75 * ROWS
    assert len({draw.vectors.tobytes() for draw in draws}) == 3
    same_bits(total(work, task, blocks), draws[0])
    assert len({total(work, replace(task, seed=seed), blocks).sums[0] for seed in (0, 1)}) == 2


def test_samples_over_many_epochs_see_every_row_alike():
    x = np.eye(40, dtype="f4")
    blocks, task = setup("float32", layers=(Dense(3, "softmax"),), x=x, y=np.zeros((40, 1)), w=np.ones(40))
    seen = np.zeros(40)
    for epoch in range(100):
        g = gradient(replace(task, epoch=epoch), blocks, map, sample=0.5).vectors[0][: 40 * 3].reshape(40, 3)
        seen += (g != 0).any(axis=1)  # a row touches only the weights of its own input
    assert seen.sum() == 100 * sum(-(-len(block) // 2) for block in blocks)
    assert 30 < seen.min() and seen.max() < 70


def test_the_rounds_of_the_gradient_are_of_a_size():
    x = np.random.default_rng(0).normal(size=(1440, 4)).astype("f4")
    blocks, task = setup("float32", x=x, y=np.zeros((1440, 1)), w=np.ones(1440))
    sizes = [gradient(replace(task, rounds=45, round=number), blocks, map).sums[2] for number in range(45)]
    assert sum(sizes) == 1440 and min(sizes) >= 16 and max(sizes) <= 50
