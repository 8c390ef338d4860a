"""The one loop: what it reports, how it goes on, where it stops, and what strategies decide."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from firesteel._checkpoints import from_bytes, to_bytes
from firesteel.callbacks import BoldDriver, CSVLogger
from firesteel.core import losses, metrics
from firesteel.core.layers import Dense, Dropout, Normalization
from firesteel.core.network import Network, Objective
from firesteel.core.optimizers import LBFGS, OPTIMIZERS, SGD, Adam
from firesteel.core.regularizers import L1L2
from firesteel.errors import ConfigError, DivergenceError
from firesteel.fast import threads
from firesteel.tables.moments import measure
from firesteel.train import engine as engines
from firesteel.train import loop, rounds
from firesteel.train.blocks import pack_arrays, pack_in_order
from firesteel.train.checkpoints import Identity
from firesteel.train.engine import LocalEngine, check_shards
from firesteel.train.epoch import Watcher, score
from firesteel.train.history import UNMEASURED
from firesteel.train.partial import Partial, Task
from firesteel.train.recipe import Recipe
from firesteel.train.state import Progress, TrainState
from firesteel.train.stopping import Stopping
from firesteel.train.strategies import OUTER_MOMENTUM, STRATEGIES, Average, Gradient, get, shard_steps

RNG = np.random.default_rng(0)
ROWS = 500
X = RNG.normal(size=(ROWS, 4))
Y = (X[:, :1] + X[:, 1:2] > 0).astype(float)
W = RNG.uniform(0.5, 2, ROWS)
OBJECTIVE = Objective(
    Network.chain((Dense(6, "tanh"), Dropout(0.2), Dense(2, "softmax")), 4),
    losses.get("sparse_categorical_crossentropy"),
    (("accuracy", metrics.get("sparse_categorical_accuracy")),),
)


PLAIN = Network.chain((Dense(1, use_bias=False),), 1)


def engine(shards=1, x=X, y=Y, w=W, pack=pack_arrays):
    return LocalEngine(pack(x, y, w, np.dtype("f4")), shards)


def start(optimizer):
    return TrainState.start(OBJECTIVE.network.init(0), optimizer)


def train(strategy="average", epochs=3, shards=1, optimizer=None, state=None, **settings):
    optimizer = Adam(0.01) if optimizer is None else optimizer
    settings = {"batch_size": 32, "seed": 0} | settings
    where = settings.pop("engine", None) or engine(shards)
    strategy = STRATEGIES[strategy] if isinstance(strategy, str) else strategy
    begun = settings.pop("begun", None) or Progress(state or start(optimizer))
    around = {name: settings.pop(name) for name in ("validation", "watcher", "keep", "origin") if name in settings}
    return loop.train(where, OBJECTIVE, optimizer, begun, Recipe(epochs, strategy=strategy, **settings), **around)


def bits(state):
    return state.theta.tobytes(), state.slots.tobytes(), state.outer.tobytes(), state.step, state.epoch


class Seen(Watcher):
    """Calls a function after each epoch."""

    def __init__(self, hear):
        self.hear = hear

    def end(self, row, state):
        self.hear(row, state)
        return state


# What is reported


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_epoch_makes_one_row_that_survives_json(strategy, shards):
    state, history = train(strategy, shards=shards, validation=engine())
    assert state.epoch == 3 and history.epoch == [0, 1, 2]
    for row in history.rows:
        assert json.loads(json.dumps(row)) == row and row["rows"] == ROWS
        assert set(row) == {"loss", "accuracy", "val_loss", "val_accuracy", *UNMEASURED}
        assert 0 <= row["slowest_seconds"] <= row["seconds"] and 0 <= row["wait_seconds"] <= row["seconds"]
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history.machines == {engines.machine()}


def test_shards_that_wait_for_a_core_are_not_the_engines_time():
    class TwoCores(LocalEngine):
        lanes = 2

        def map(self, work, task):
            return [replace(part, seconds=1e-4, slowest=1e-4) for part in super().map(work, task)]

    shared, cores = TwoCores(pack_arrays(X, Y, W, np.dtype("f4")), 4), threads.worker_threads()
    (row,) = train(epochs=1, engine=shared)[1].rows
    rounds = row["slowest_seconds"] / 1e-4
    assert row["shard_seconds"] == pytest.approx(4e-4 * rounds)
    assert row["wait_seconds"] == pytest.approx(row["seconds"] - 2e-4 * rounds)
    assert [LocalEngine([], shards).lanes for shards in (1, 99)] == [1, min(99, cores)]


def test_what_validation_reports_belongs_to_the_weights_after_the_epoch():
    held, seen = engine(), []
    _, history = train(validation=held, watcher=Seen(lambda row, state: seen.append((row, state))))
    assert [row for row, _ in seen] == history.rows and [state.epoch for _, state in seen] == [1, 2, 3]
    for row, state in seen:
        means = score(held, OBJECTIVE, state.theta)
        assert means == {"loss": row["val_loss"], "accuracy": row["val_accuracy"]}


def test_the_loss_of_a_round_without_steps_in_between_is_that_of_the_weights_before_it():
    objective = Objective(Network.chain((Dense(2, "softmax"),), 4), OBJECTIVE.loss)
    state = TrainState.start(objective.network.init(0), SGD())
    before = score(engine(), objective, state.theta)
    _, history = loop.train(engine(), objective, SGD(), Progress(state), Recipe(strategy=Gradient()))
    assert history.rows[0]["loss"] == pytest.approx(before["loss"], rel=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", [name for name, optimizer in OPTIMIZERS.items() if not optimizer.searches])
def test_every_strategy_learns_with_every_optimizer(strategy, name):
    optimizer = replace(
        OPTIMIZERS[name], learning_rate={"sgd": 0.1, "adagrad": 0.1, "adadelta": 30.0}.get(name, 0.02)
    )
    _, history = train(strategy, epochs=10, optimizer=optimizer)
    assert history.rows[-1]["loss"] < 0.9 * history.rows[0]["loss"]


# How it goes on


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_five_epochs_and_five_more_are_ten_bit_for_bit(strategy, shards):
    ten, _ = train(strategy, 10, shards)
    five, _ = train(strategy, 5, shards)
    again, history = train(strategy, 5, shards, state=five)
    assert bits(again) == bits(ten) and history.epoch == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_state_that_went_in_is_not_written_to(strategy):
    state = start(Adam(0.01))
    for array in (state.theta, state.slots, state.outer):
        array.flags.writeable = False
    before = bits(state)
    after, _ = train(strategy, state=state, shards=2)
    assert bits(state) == before != bits(after)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_number_of_threads_leaves_the_bits_alone(strategy, shards, monkeypatch):
    found = set()
    for count in (1, 2, 7):
        monkeypatch.setattr(threads, "worker_threads", lambda count=count: count)
        found.add(bits(train(strategy, 2, shards, batch_size=300)[0]))
    assert len(found) == 1


def test_the_seed_and_the_number_of_shards_are_part_of_the_result():
    results = [bits(train(**kind)[0]) for kind in ({}, {"seed": 1}, {"shards": 2}, {"shards": 3}, {"batch_size": 31})]
    assert len(set(results)) == 5


def test_what_is_random_in_an_epoch_is_new_in_the_next():
    optimizer = SGD(0.0)
    _, history = train(epochs=3, optimizer=optimizer)
    assert len({row["loss"] for row in history.rows}) == 3  # the masks differ, the weights do not move


def test_a_second_kind_of_machine_is_reported():
    class Mixed(LocalEngine):
        def map(self, work, task):
            partials = super().map(work, task)
            return [replace(partial, machines=frozenset([str(n)])) for n, partial in enumerate(partials)]

    blocks = pack_arrays(X, Y, W, np.dtype("f4"))
    with pytest.warns(UserWarning, match="several kinds of CPU or BLAS"):
        _, history = train(engine=Mixed(blocks, 2))
    assert history.machines == {"0", "1"}
    train(engine=Mixed(blocks, 1))


def test_each_task_says_which_epoch_round_and_step_it_is_and_cannot_be_written_to():
    class Listening(LocalEngine):
        def map(self, work, task):
            tasks.append(task)
            return super().map(work, task)

    tasks, blocks = [], pack_arrays(X, Y, W, np.dtype("f4"))
    state, _ = train(InTwo(), 2, engine=Listening(blocks), batch_size=1)
    first = sum(len(block) for block in blocks if block.id in rounds.round_blocks(tasks[0], range(len(blocks))))
    assert [(task.epoch, task.round, task.rounds) for task in tasks] == [(0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2)]
    assert [task.step for task in tasks][:3] == [0, first, ROWS] and state.step == 2 * ROWS
    assert not any(task.theta.flags.writeable for task in tasks)
    assert [round(task.weight, 2) for task in tasks[:2]] != [round(W.sum(), 2)] * 2
    assert sum(task.weight for task in tasks) == pytest.approx(2 * W.sum())


# Where it stops


def test_a_diverged_training_raises_with_the_state_of_the_last_good_epoch():
    network = Network.chain((Dense(4), Dense(1)), 4)
    objective = Objective(network, losses.get("mse"))
    seen, optimizer = [], SGD(0.9)
    with pytest.raises(DivergenceError, match="Lower the learning rate") as caught:
        loop.train(
            engine(),
            objective,
            optimizer,
            Progress(TrainState.start(network.init(0), optimizer)),
            Recipe(50, 250),
            watcher=Seen(lambda row, state: seen.append(state)),
        )
    assert caught.value.code == "diverged" and "now 0.9" in str(caught.value)
    assert caught.value.state.epoch <= 1
    assert np.abs(seen[-1].theta).max() > 100 > np.abs(caught.value.state.theta).max(), "finite is not good enough"


class InTwo(Average):
    """Two rounds an epoch."""

    def rounds(self, rows, batch_size, shards, blocks):
        return 2


def test_a_round_of_rows_without_weight_moves_nothing():
    weights = np.where(np.arange(ROWS) < ROWS // 2, 0.0, 1.0)
    blocks = pack_in_order(X, Y, weights, np.dtype("f4"))[:14]
    assert [block.weight > 0 for block in blocks] == [False] * 7 + [True] * 7
    state, history = train(InTwo(), 1, engine=LocalEngine(blocks), shuffle=False)
    expected, _ = train(Average(), 1, engine=LocalEngine(blocks[7:]), shuffle=False)
    assert history.rows[0]["rows"] == sum(map(len, blocks[7:]))
    np.testing.assert_array_equal(state.theta, expected.theta)


def test_shards_must_be_a_number_between_1_and_the_number_of_blocks():
    for bad in (0, -1, 6, 1.0, True, "2", None):
        with pytest.raises(ConfigError, match="the rows make 5 block") as caught:
            check_shards(bad, 5)
        assert caught.value.code == "config-shards"
    for good in (1, 5, np.int64(3)):
        check_shards(good, 5)


def test_an_engine_knows_its_blocks_and_gives_each_shard_its_own():
    blocks = pack_arrays(X, Y, W, np.dtype("f4"))
    local = LocalEngine(blocks, 4)
    assert local.shards == 4
    assert [(b.id, b.rows, b.weight, b.fingerprint) for b in local.blocks] == [
        (b.id, len(b), b.weight, b.fingerprint) for b in blocks
    ]
    seen = []
    local.map(lambda task, blocks, run: seen.append([b.id for b in blocks]) or replace(EMPTY), NOTHING)
    assert sorted(seen) == [[b.id for b in blocks if b.id % 4 == s] for s in range(4)]
    assert engine(1, X[:3], Y[:3], W[:3]).shards == 1


EMPTY = Partial(np.zeros((0, 0)), np.zeros(3))
NOTHING = Task(None, np.zeros(0))


def test_a_shard_without_blocks_sends_nothing():
    blocks = [b for b in pack_arrays(X, Y, W, np.dtype("f4")) if b.id % 3 != 1]
    partials = LocalEngine(blocks, 3).map(lambda task, blocks, run: EMPTY, NOTHING)
    assert [partial is None for partial in partials] == [False, True, False]


# What strategies decide


@pytest.mark.parametrize(
    "rows, batch_size, blocks, shards",
    [
        (100, 32, 100, 1),
        (31_999, 32, 1000, 1),
        (32_000, 32, 1000, 2),
        (63_999, 32, 1000, 2),
        (64_000, 32, 1000, 4),
        (60_000, 128, 10**6, 1),
        (600_000, 128, 10**6, 8),
        (60_000_000, 128, 10**6, 64),
        (60_000_000, 128, 5, 4),
        (60_000_000, 128, 1, 1),
        (32_000, None, 1000, 2),
    ],
)
def test_average_has_one_shard_below_1000_steps_and_then_leaves_each_500_or_more(rows, batch_size, blocks, shards):
    assert Average().default_shards(rows, batch_size, blocks) == shards


@pytest.mark.parametrize("blocks, shards", [(1, 1), (15, 1), (16, 2), (31, 2), (32, 4), (90, 8), (10_000, 64)])
def test_gradient_leaves_each_shard_8_blocks_or_more(blocks, shards):
    assert Gradient().default_shards(0, None, blocks) == shards


def test_defaults_of_the_batch_size_are_32_and_all_rows():
    assert Average().default_batch_size() == 32 and Gradient().default_batch_size() is None


@pytest.mark.parametrize(
    "rows, batch_size, shards, blocks, rounds",
    [
        (10**6, 32, 1, 1000, 1),
        (1000, 32, 2, 30, 1),
        (64_000, 32, 4, 1000, 1),
        (128_000, 32, 4, 1000, 2),
        (10**6, 32, 4, 1000, 16),
        (10**6, 32, 4, 20, 5),
        (10**6, 32, 4, 4, 1),
    ],
)
def test_average_makes_a_round_of_every_500_steps_of_a_shard(rows, batch_size, shards, blocks, rounds):
    assert Average().rounds(rows, batch_size, shards, blocks) == rounds


def test_gradient_makes_a_round_of_every_batch():
    cases = [(1000, None), (1000, 1000), (1000, 100), (1000, 300), (10, 10_000)]
    assert [Gradient().rounds(*case, 1, 10) for case in cases] == [1, 1, 10, 3, 1]


@pytest.mark.parametrize(
    "rows, batch_size, shards, factor",
    [
        (1000, 32, 1, 1),
        (1000, 32, 4, 4),
        (10**5, 32, 32, 16),
        (64_000, 32, 2, 2),
        (128_000, 32, 4, 2),
        (10**7, 32, 4, 1),
    ],
)
def test_the_local_rate_grows_with_the_shards_the_fewer_steps_they_take(rows, batch_size, shards, factor):
    local = Average().local(SGD(0.1), rows, batch_size, shards)
    assert local.learning_rate == pytest.approx(0.1 * factor)
    assert Gradient().local(SGD(0.1), rows, batch_size, shards) == SGD(0.1)
    assert Average(patient=True).local(SGD(0.1), rows, batch_size, shards) == SGD(0.1)


@pytest.mark.parametrize("rows, shards, times", [(1000, 1, 1), (1000, 8, 5.12), (100, 8, 8), (10**5, 8, 1)])
def test_patient_shards_of_few_steps_have_averages_that_forget_faster(rows, shards, times):
    averaged = SGD(0.1, use_ema=True, ema_momentum=0.9)
    local = Average(patient=True).local(averaged, rows, 32, shards)
    assert local == replace(averaged, ema_momentum=0.9**times)
    assert Average().local(averaged, rows, 32, shards).ema_momentum == 0.9


def test_patience_stays_out_of_the_description_where_there_is_none():
    assert Average().to_config() == {"type": "Average"}
    assert get(Average(patient=True).to_config()) == Average(patient=True)


def test_a_shard_takes_one_step_at_least():
    assert shard_steps(10, 32, 4) == 1.0 and shard_steps(10, None, 1) == 1.0 and shard_steps(6400, 32, 2) == 100.0


def test_gradient_takes_one_step_along_the_mean_and_average_one_shard_takes_what_comes_back():
    state = TrainState(np.array([1.0, 2.0]), np.zeros((1, 2)), np.zeros(2))
    partial = Partial(np.array([[4.0, 8.0]]), np.array([0.0, 2.0, 2.0]), 1)
    after = Gradient().advance(state, partial, SGD(0.5), 3, PLAIN)
    assert after.theta.tolist() == [0.0, 0.0] and (after.step, after.epoch) == (1, 0)
    partial = Partial(np.array([[4.0, 8.0], [1.0, 1.0]]), np.zeros(3), 7)
    after = Average().advance(state, partial, SGD(0.5), 1, PLAIN)
    assert after.theta.tolist() == [4.0, 8.0] and after.slots.tolist() == [[1.0, 1.0]] and after.step == 7
    assert after.outer.tolist() == [0.0, 0.0]


def test_average_over_shards_steps_beyond_the_mean_with_nesterov_momentum():
    state = TrainState(np.array([1.0]), np.zeros((1, 1)), np.array([0.5]))
    after = Average().advance(state, Partial(np.array([[3.0], [0.0]]), np.zeros(3), 7), SGD(0.5), 2, PLAIN)
    velocity = OUTER_MOMENTUM * 0.5 + 2.0
    assert after.outer.tolist() == [velocity] and after.theta.tolist() == [1.0 + 2.0 + OUTER_MOMENTUM * velocity]


# Several epochs in one job


class FarAway(LocalEngine):
    """An engine on which a job costs far more than what it computes; it remembers the jobs."""

    def __init__(self, blocks, shards=1):
        super().__init__(blocks, shards)
        self.jobs = 0

    def map(self, work, task):
        self.jobs += 1
        time.sleep(0.02)
        return super().map(work, task)


def far_away(shards=1, dtype="f4"):
    return FarAway(pack_arrays(X, Y, W, np.dtype(dtype)), shards)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("validated", [True, False])
def test_epochs_that_share_a_job_have_the_same_bits_and_the_same_history(validated, dtype, monkeypatch):
    network = replace(OBJECTIVE.network, dtype=dtype)
    objective, optimizer = replace(OBJECTIVE, network=network), Adam(0.01)
    found = []
    for most in (loop.AHEAD, 1):
        monkeypatch.setattr(loop, "AHEAD", most)
        where, held = far_away(dtype=dtype), engine(pack=lambda *rows: pack_arrays(*rows[:3], np.dtype(dtype)))
        seen = []
        state, history = loop.train(
            where,
            objective,
            optimizer,
            Progress(TrainState.start(network.init(0), optimizer)),
            Recipe(13, 32),
            validation=held if validated else None,
            watcher=Seen(lambda row, state, seen=seen: seen.append(bits(state))),
        )
        measured = [{k: v for k, v in row.items() if k not in UNMEASURED[2:]} for row in history.rows]
        found.append((bits(state), seen, measured, where.jobs))
    assert found[0][:3] == found[1][:3]
    assert found[0][3] < found[1][3] == 13


def test_epochs_after_the_one_that_stopped_training_do_not_count(monkeypatch):
    found = []
    for most in (loop.AHEAD, 1):
        monkeypatch.setattr(loop, "AHEAD", most)
        stopping = Stopping("val_loss", False, 3)
        settings = {"optimizer": Adam(0.2), "epochs": 40, "validation": engine(), "stopping": stopping}
        state, history = train(engine=far_away(), **settings)
        found.append((bits(state), len(history.rows), history.best))
    assert found[0] == found[1] and found[0][1] < 40 and found[0][1] == found[0][2] + 4


def test_a_divergence_among_shared_epochs_keeps_the_last_good_one():
    objective, optimizer, seen = Objective(Network.chain((Dense(1),), 4), losses.get("mse")), SGD(1.0), []
    state, where = TrainState.start(objective.network.init(0), optimizer), far_away()
    with pytest.raises(DivergenceError, match="training diverged in epoch 53") as caught:
        loop.train(
            where,
            objective,
            optimizer,
            Progress(state),
            Recipe(60, 100),
            watcher=Seen(lambda row, state: seen.append(state)),
        )
    assert where.jobs < len(seen) == 52 and bits(caught.value.state) in [bits(one) for one in (state, *seen)]
    assert np.abs(seen[-1].theta).max() > 100 > np.abs(caught.value.state.theta).max(), "finite is not good enough"


def test_shards_that_must_meet_each_epoch_share_no_job():
    where = far_away(shards=2)
    train(engine=where, epochs=6)
    assert where.jobs == 6


# Stopping


ROW = [{"loss": 5.0 - n, "val_accuracy": a} for n, a in enumerate((0.5, 0.7, 0.7, 0.6, 0.8))]


def test_the_best_row_is_the_first_of_the_best():
    assert Stopping("val_accuracy", True, 2).best(ROW[:4]) == 1
    assert Stopping("loss").best(ROW) == 4
    assert Stopping("loss", patience=1).best([{"loss": float("nan")}, {"loss": 1.0}]) == 1


def test_training_ends_when_patience_does():
    watch = Stopping("val_accuracy", True, 2)
    assert [watch.ended(ROW[:n]) for n in range(1, 6)] == [False, False, False, True, False]
    assert not any(Stopping("val_accuracy", True).ended(ROW[:n]) for n in range(1, 6))


def test_training_ends_when_the_loss_has_settled():
    rows = [{"loss": value} for value in (1.0, 0.5, 0.4999)]
    assert [Stopping(tolerance=1e-3).ended(rows[:n]) for n in (1, 2, 3)] == [False, False, True]
    assert not Stopping(tolerance=0.0).ended([{"loss": 1.0}, {"loss": 1.0}])


# Penalties and class weights


PRICED = replace(OBJECTIVE, network=Network.chain((Dense(2, "softmax", kernel_regularizer=L1L2(0.01, 0.1)),), 4))


def test_a_penalty_is_in_the_loss_and_in_the_step_once_whatever_the_shards():
    optimizer, losses_, thetas = SGD(0.1), [], []
    for shards in (1, 3):
        state = TrainState.start(PRICED.network.init(0), optimizer)
        state, history = loop.train(
            engine(shards), PRICED, optimizer, Progress(state), Recipe(2, strategy=Gradient())
        )
        losses_.append(history.history["loss"])
        thetas.append(state.theta)
    np.testing.assert_allclose(thetas[0], thetas[1], rtol=1e-5)
    np.testing.assert_allclose(losses_[0], losses_[1], rtol=1e-6)
    first = PRICED.network.init(0)
    plain = replace(PRICED, network=Network.chain((Dense(2, "softmax"),), 4))
    price = PRICED.network.penalty(PRICED.network.layout.views(first))
    assert losses_[0][0] == pytest.approx(score(engine(), plain, first)["loss"] + price, rel=1e-6)
    assert score(engine(), PRICED, first)["loss"] == pytest.approx(losses_[0][0], rel=1e-6)


@pytest.mark.parametrize("sample", [0.0, -0.5, 1.5, float("nan"), "0.7", True])
def test_a_sample_is_a_share(sample):
    with pytest.raises(ConfigError, match="sample"):
        Gradient(sample=sample)


def test_a_sample_is_one_step_of_an_optimizer_that_does_not_search():
    for optimizer, batch in ((LBFGS(), None), (SGD(), 10)):
        with pytest.raises(ConfigError, match="leave out batch_size"):
            Gradient(sample=0.7).check(PLAIN, optimizer, batch)
    Gradient(sample=0.7).check(PLAIN, SGD(), None)
    assert Gradient.from_config(Gradient(sample=0.7).to_config()) == Gradient(sample=0.7) != Gradient()


def test_one_batch_of_averaging_is_one_step_along_the_priced_gradient():
    optimizer = SGD(0.1)
    found = []
    for strategy, batch in ((Average(), ROWS), (Gradient(), None)):
        state = TrainState.start(PRICED.network.init(0), optimizer)
        state, history = loop.train(
            engine(), PRICED, optimizer, Progress(state), Recipe(1, batch, strategy, shuffle=False)
        )
        found.append((state.theta, history.rows[0]["loss"]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4, atol=1e-6)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_class_weights_are_weights_of_rows(strategy):
    weights = np.where(Y[:, 0] == 1, 3.0, 0.5)
    optimizer = SGD(0.1)
    found = []
    for objective, w in ((replace(PRICED, class_weight=(0.5, 3.0)), np.ones(ROWS)), (PRICED, weights)):
        state = TrainState.start(objective.network.init(0), optimizer)
        state, history = loop.train(
            engine(w=w, pack=pack_in_order),
            objective,
            optimizer,
            Progress(state),
            Recipe(2, 50, STRATEGIES[strategy], shuffle=False),
        )
        found.append((state.theta, history.history["loss"]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-6)


# Means and variances


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_moments_are_those_of_the_weighted_rows_whatever_the_order(dtype):
    rng = np.random.default_rng(1)
    x = np.hstack([X * 1e-3 + 1e3, np.full((ROWS, 1), 0.1), rng.integers(0, 2, (ROWS, 1))])
    kept, w = x.astype(dtype).astype(float), W.astype(dtype).astype(float)
    found = []
    for order in (np.arange(ROWS), rng.permutation(ROWS)):
        blocks = pack_arrays(x[order], Y[order] * 1e5, W[order], np.dtype(dtype))
        found.append(measure(LocalEngine(blocks, 2), 6, 1, np.dtype(dtype).name))
    features, targets = found[0]
    for one, other in zip(*found, strict=True):
        assert one.mean.tobytes() == other.mean.tobytes() and one.variance.tobytes() == other.variance.tobytes()
    mean = np.average(kept, axis=0, weights=w)
    np.testing.assert_allclose(features.mean, mean, rtol=1e-12)
    variance = np.average((kept - mean) ** 2, axis=0, weights=w)
    np.testing.assert_allclose(np.delete(features.variance, 4), np.delete(variance, 4), rtol=1e-9)
    assert features.variance[4] == 0.0
    assert targets.mean[0] == pytest.approx(1e5 * np.average(Y[:, 0], weights=w), rel=1e-6)
    scaled = features.normalization().parts()[0].apply({}, kept)[0]
    np.testing.assert_allclose(np.average(scaled, axis=0, weights=w), 0, atol=1e-6)
    back = features.normalization(Normalization(invert=True)).parts()[0].apply({}, scaled)[0]
    np.testing.assert_allclose(back, kept, rtol=1e-9, atol=1e-9)


# Going on

ME = Identity({"seed": "0"})


def run(most, seen, begun=None, shards=1, **settings):
    """Train for so many epochs with dropout, validation and a watch for the best; remember all progress."""
    settings = {"validation": engine(), "stopping": Stopping("val_loss", False, 4)} | settings
    return train(shards=shards, epochs=most, begun=begun, keep=seen.append, **settings)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("optimizer", [Adam(0.1), SGD(0.5, momentum=0.9)], ids=repr)
def test_a_training_that_goes_on_from_any_progress_ends_as_if_never_interrupted(shards, optimizer, monkeypatch):
    monkeypatch.setattr(loop, "AHEAD", 1)
    seen = []
    whole, history = run(30, seen, shards=shards, optimizer=optimizer)
    assert history.best is not None and len(seen) == len(history.rows) > 4
    measured = [{k: v for k, v in row.items() if k not in UNMEASURED[2:]} for row in history.rows]
    for progress in seen:
        data = to_bytes(replace(progress, rows=list(progress.rows[: progress.state.epoch]), finished=False), ME)
        back = from_bytes(data, ME, start(optimizer), "x")
        again, more = run(30, [], begun=back, shards=shards, optimizer=optimizer)
        assert bits(again) == bits(whole) and more.best == history.best
        assert [{k: v for k, v in row.items() if k not in UNMEASURED[2:]} for row in more.rows] == measured


def test_a_training_is_known_by_all_that_decides_its_bits_and_by_nothing_else():
    def name(**other):
        parts = {"objective": OBJECTIVE, "optimizer": Adam(), "recipe": Recipe(), "engines": [engine()]}
        parts |= {"start": start(Adam()), "callbacks": []} | other
        return Identity.of(**parts).name

    others = [
        {"objective": replace(OBJECTIVE, class_weight=(1.0, 2.0))},
        {"objective": PRICED},
        {"optimizer": Adam(0.1)},
        {"recipe": Recipe(strategy=Gradient(), batch_size=32)},
        {"engines": [engine(2)]},
        {"engines": [engine(), engine()]},
        {"engines": [engine(w=W + 1)]},
        {"start": replace(start(Adam()), step=1)},
        {"start": start(Adam()).with_theta(start(Adam()).theta + 1)},
        {"recipe": Recipe(seed=1)},
        {"recipe": Recipe(stopping=Stopping("val_loss", patience=4))},
        {"callbacks": [BoldDriver()]},
        {"callbacks": [BoldDriver(up=1.1)]},
    ]
    assert len({name(), *(name(**other) for other in others)}) == len(others) + 1
    assert name() == name(engines=[engine(x=X[::-1], y=Y[::-1], w=W[::-1])]) == name(callbacks=[CSVLogger("a")])
