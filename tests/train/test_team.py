"""A team is for speed alone: it has the bits of NumPy's steps, whoever helps, and lets everyone go in the end."""

import threading

import numpy as np
import pytest

from firesteel.core import losses
from firesteel.core.layers import Activation, BatchNormalization, Dense, Dropout, Embedding, Normalization, Rescaling
from firesteel.core.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    HalfSumOfSquares,
    Huber,
    LogCosh,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    Standardized,
)
from firesteel.core.metrics import CategoricalAccuracy, MeanAbsoluteError, SparseCategoricalAccuracy
from firesteel.core.network import Network, Objective
from firesteel.core.optimizers import OPTIMIZERS, SGD, Adam, AdamW, RMSprop
from firesteel.core.regularizers import L2
from firesteel.errors import DivergenceError
from firesteel.fast import chain, compiling, team, threads
from firesteel.fast.blas import one_blas_thread
from firesteel.fast.kernels import dense, functions, optimizers
from firesteel.fast.kernels import losses as kernels
from firesteel.fast.threads import Threads
from firesteel.models import Sequential
from firesteel.train import fused, rounds, step
from firesteel.train.blocks import pack_arrays
from firesteel.train.partial import Task

RNG = np.random.default_rng(0)
ROWS, INPUTS, CLASSES = 700, 12, 4
HAS_TEAMS = bool(functions.blas("float32") and team.system())


def test_there_are_teams_to_test_with():
    assert HAS_TEAMS == bool(team.served("float32")) == bool(team.served("float64")) == bool(chain.loops("float32"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Networks of any size are worth a team, and their sub-batches worth a thread."""
    monkeypatch.setattr(compiling, "WORTH", 0)
    monkeypatch.setattr(step, "SHARED", 0)
    monkeypatch.setattr(step, "THREAD", 0)


KINDS = {
    "bytes": RNG.integers(0, 256, (ROWS, INPUTS)).astype(np.uint8),
    "pixels": RNG.integers(0, 256, (ROWS, INPUTS)) / 255,
    "sixteenths": RNG.integers(0, 17, (ROWS, INPUTS)) / 16,
    "numbers": RNG.normal(size=(ROWS, INPUTS)),
    "few numbers": RNG.choice([-1.5, 0.0, 0.3], (ROWS, INPUTS)),
}
FRONTS = {
    "nothing": (),
    "scale": (Rescaling(1 / 8),),
    "scale and offset": (Rescaling(-0.125, 1.0),),
    "one mean": (Normalization((0.5,), (2.0,)),),
    "means": (Normalization(tuple(range(INPUTS)), tuple(range(1, INPUTS + 1))),),
}
LAYERS = (Dense(9, "relu"), Dense(7), Dense(5, "relu", use_bias=False), Dense(CLASSES, "softmax"))
Y = RNG.integers(0, CLASSES, (ROWS, 1))
SHARES = RNG.dirichlet(np.ones(CLASSES), ROWS)
W = RNG.random(ROWS) + 0.1


def task_and_blocks(kind="numbers", front="nothing", dtype="float32", layers=LAYERS, w=None, shares=False, **fields):
    """Return a task of average training, and its rows.  shares: whether targets are a share for each class.

    loss: another one, of as many targets as there are outputs.
    """
    network = Network.chain((*FRONTS[front], *layers), INPUTS, dtype)
    loss, metric = SparseCategoricalCrossentropy(), SparseCategoricalAccuracy()
    if shares:
        loss, metric = CategoricalCrossentropy(), CategoricalAccuracy()
    if other := fields.pop("loss", None):
        loss, metric, shares = other, MeanAbsoluteError(), True
    objective = Objective(network, loss, (("accuracy", metric),), fields.pop("class_weight", None))
    fields = {"optimizer": Adam(0.01), "batch_size": 100} | fields
    theta = network.init(3)
    slots = np.zeros((len(fields["optimizer"].slots), len(theta)), theta.dtype)
    of = np.dtype(dtype)
    y = SHARES[:, : network.outputs] if shares else Y
    blocks = pack_arrays(KINDS[kind], y.astype(of), (np.ones(ROWS) if w is None else w).astype(of), of)
    return Task(objective, theta, slots, weight=sum(block.weight for block in blocks), **fields), blocks


def trained(task, blocks, helpers=0, work=rounds.average):
    """Return what comes of a round, as bytes; and whether a team has learned."""
    run, met, learn = Threads(helpers) if helpers else map, [], team.Team.learn
    with pytest.MonkeyPatch.context() as patch, one_blas_thread(), np.errstate(all="ignore"):
        patch.setattr(team.Team, "learn", lambda self, *given: met.append(self.members) or learn(self, *given))
        try:
            found = work(task, blocks, run)
        finally:
            if helpers:
                run.close()
    return found.vectors.tobytes() + found.sums.tobytes(), met


def alike(task, blocks, monkeypatch, work=rounds.average):
    """Assert that a round has the same bits without a team and with ones of one to three; return who learned."""
    found = [trained(task, blocks, helpers, work) for helpers in (0, 1, 2)]
    with monkeypatch.context() as patch:
        patch.setattr(fused, "served", lambda dtype: None)
        plain, nobody = trained(task, blocks, 0, work)
    assert not nobody and {bits for bits, _ in found} == {plain}
    return [met for _, met in found]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_reach_a_team_as_they_reach_numpy(kind, front, dtype, monkeypatch):
    met = alike(*task_and_blocks(kind, front, dtype), monkeypatch)
    expected = [] if kind == "few numbers" else [[1] * 7, [2] * 7, [2] * 7]
    assert not HAS_TEAMS or met == (expected or [[], [], []])


@pytest.mark.parametrize("work", [rounds.average, rounds.gradient], ids=["average", "gradient"])
@pytest.mark.parametrize("shares", [False, True], ids=["classes", "shares"])
@pytest.mark.parametrize("batch_size", [1, 2, 31, 63, 64, 101, 128, 129, 257, 258, 700])
def test_batches_of_every_size_are_cut_as_numpy_cuts_them(batch_size, shares, work, monkeypatch):
    weights = None if shares else (1.0, 2.0, 0.5, 0.0)
    task, blocks = task_and_blocks(w=W, shares=shares, batch_size=batch_size, class_weight=weights)
    met = alike(task, blocks, monkeypatch, work)
    if HAS_TEAMS and work is rounds.average:
        size = batch_size if batch_size < 64 else -(-batch_size // 2) if batch_size <= 128 else 128
        whole = (batch_size - 1) % size > 0  # else its last row is alone, and only the last batch may be for a team
        assert len(met[0]) >= whole * (ROWS // batch_size)
        assert set(met[2]) <= {min(3, -(-batch_size // size))}


def test_gradients_of_many_sub_batches_are_added_as_a_tree(monkeypatch):
    monkeypatch.setattr(step, "SUB_BATCH", 43)
    for batch_size in (700, 644, 473, 215, 172):
        task, blocks = task_and_blocks(w=W, batch_size=batch_size)
        met = alike(task, blocks, monkeypatch)
        assert not HAS_TEAMS or 3 in met[2] or batch_size == 700, "700 is 17 sub-batches, which is too many"


class Own(Adam):
    """A user's optimiser."""

    def step(self, theta, g, s, t):
        theta -= 0.1 * g


STEPS = {name: one for name, one in OPTIMIZERS.items() if not one.searches} | {
    "own": Own(),
    "excluding": AdamW(0.01, exclude_from_weight_decay="bias"),
    "clipped": Adam(0.01, clipnorm=0.01),
    "amsgrad": Adam(0.01, amsgrad=True),
    "momentum": SGD(0.1, momentum=0.9),
    "averaged": AdamW(0.01, use_ema=True, ema_momentum=0.5),
    "nesterov": SGD(0.1, momentum=0.9, nesterov=True, clipvalue=0.1),
    "centered": RMSprop(0.01, centered=True, momentum=0.5, weight_decay=0.01),
}


@pytest.mark.parametrize("optimizer", STEPS.values(), ids=STEPS)
def test_whatever_takes_the_step(optimizer, monkeypatch):
    alike(*task_and_blocks(optimizer=optimizer), monkeypatch)
    priced = (Dense(9, "relu", kernel_regularizer=L2(0.1), kernel_constraint="non_neg"), *LAYERS[1:])
    alike(*task_and_blocks(layers=priced, optimizer=optimizer), monkeypatch)
    monkeypatch.setattr("firesteel.core.update.LONG", 0)  # other optimisers map a step over all threads
    alike(*task_and_blocks(optimizer=optimizer), monkeypatch)


LOSSES = {
    "mse": MeanSquaredError(),
    "half_sse": HalfSumOfSquares(),
    "mae": losses.MeanAbsoluteError(),
    "huber": Huber(0.3),
    "standardized": Standardized("mse", 0.4, 0.1),
    "standardized huber": Standardized("huber", 0.1, 2.0),
    "bce": BinaryCrossentropy(),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_whatever_is_made_small(loss, outputs, dtype, monkeypatch):
    for layers in ((Dense(9, "relu"), Dense(7, "relu")), (Dense(9),), ()):
        layers = (*layers, Dense(outputs, loss.natural))
        for size in (100, 129, 300):
            task, blocks = task_and_blocks("pixels", "scale", dtype, layers, W, loss=loss, batch_size=size)
            met = alike(task, blocks, monkeypatch)
            assert not HAS_TEAMS or all(met)


OTHERS = {
    "another loss": LogCosh(),
    "smoothed": BinaryCrossentropy(label_smoothing=0.1),
    "logits": BinaryCrossentropy(from_logits=True),
    "standardized": Standardized("log_cosh"),
}


@pytest.mark.parametrize("loss", OTHERS.values(), ids=OTHERS)
def test_what_is_not_compiled_is_numpys(loss, monkeypatch):
    end = Dense(2, "sigmoid" if loss.targets == "unit" and not loss.from_logits else None)
    task, blocks = task_and_blocks(layers=(Dense(9, "relu"), end), loss=loss)
    assert alike(task, blocks, monkeypatch) == [[]] * 3


def test_many_outputs_are_numpys(monkeypatch):
    task, blocks = task_and_blocks(layers=(Dense(9, "relu"), Dense(4)), loss=MeanSquaredError())
    monkeypatch.setattr(kernels, "FEW", 4)
    assert alike(task, blocks, monkeypatch) == [[]] * 3


def test_which_batches_are_cut_for_two_cores():
    def first(*layers, loss=None):
        return step.begins(Objective(Network.chain(layers, 6), loss or SparseCategoricalCrossentropy()))

    end = Dense(3, "softmax")
    assert first(end) == first(Dense(4, "relu"), Dense(5), end) == first(Dense(4), Activation("relu"), end) == 0
    assert first(Rescaling(0.5), end) == first(Normalization((0.0,), (1.0,)), Dense(4, "relu"), end) == 1
    others = (Dense(4, "tanh"), Dropout(0.5), BatchNormalization(), Dense(1), Activation("relu"), Rescaling(0.5))
    assert [first(Dense(4, "relu"), layer, end) for layer in others] == [None] * len(others)
    assert first(Rescaling(0.5), Rescaling(0.5), end) is None
    assert first(Dense(3), loss=MeanSquaredError()) is None
    assert first(end, loss=CategoricalCrossentropy()) == 0
    assert first(end, loss=SparseCategoricalCrossentropy(label_smoothing=0.1)) is None
    assert first(end, loss=CategoricalCrossentropy(label_smoothing=0.1)) is None
    assert first(Dense(3), loss=SparseCategoricalCrossentropy(from_logits=True)) is None


@pytest.mark.parametrize(
    ("kind", "front", "shares"),
    [("pixels", "scale and offset", False), ("numbers", "means", True)] if HAS_TEAMS else [],
)
def test_its_loops_mean_the_same_as_python(kind, front, shares, monkeypatch):
    known = functions.blas("float32") | functions.ufuncs("float32")
    known = chain.wired(compiling.bound, known)._asdict() | optimizers.LOOPS
    as_python = team.wired(compiling.bound, team.system() | known)
    task, blocks = task_and_blocks(kind, front, w=W, shares=shares, batch_size=300)
    expected, _ = trained(task, blocks, 1)
    monkeypatch.setattr(team, "served", lambda dtype: as_python)
    assert trained(task, blocks, 1) == (expected, [2] * 3)


# Who helps


def model():
    made = Sequential([Dense(30, "relu"), Dense(CLASSES, "softmax")])
    made.compile(Adam(0.01), "sparse_categorical_crossentropy", ["accuracy"])
    return made


@pytest.fixture
def three_cores(monkeypatch):
    monkeypatch.setattr(threads, "worker_threads", lambda: 3)


def test_helpers_leave_a_team_for_a_map_and_come_back(three_cores):
    task, blocks = task_and_blocks()
    expected, _ = trained(task, blocks)
    run = Threads(2)
    for _ in range(3):
        assert rounds.average(task, blocks, run).vectors.tobytes() in expected
        assert run(lambda n: n * n, range(50)) == [n * n for n in range(50)]
    run.close()
    assert not any(helper.is_alive() for helper in run.helpers)


def test_helpers_that_have_gone_to_sleep_are_woken(monkeypatch):
    task, blocks = task_and_blocks(batch_size=300)
    expected, met = trained(task, blocks, 1)
    slept = threading.Event()
    watched = trained(Task(**(vars(task) | {"watch": lambda number, sums: slept.wait(0.05)})), blocks, 1)
    assert watched == (expected, met)


def test_a_fit_that_breaks_off_lets_its_helpers_go(three_cores):
    before = threading.active_count()

    def stop(*given):
        raise KeyboardInterrupt

    task, blocks = task_and_blocks()
    with pytest.raises(KeyboardInterrupt):
        trained(Task(**(vars(task) | {"watch": stop})), blocks, 2)
    diverging = model()
    diverging.compile(SGD(1e30), "sparse_categorical_crossentropy")
    with pytest.raises(DivergenceError):
        diverging.fit(KINDS["numbers"], Y, epochs=3, batch_size=100, verbose=0)
    assert threading.active_count() == before


def test_fits_in_several_threads_at_a_time_have_teams_of_their_own(three_cores):
    def fit():
        made = model()
        made.fit(KINDS["pixels"], Y, epochs=4, batch_size=100, seed=1, verbose=0)
        return made.fingerprint()

    expected, found = fit(), []
    fits = [threading.Thread(target=lambda: found.append(fit())) for _ in range(4)]
    for one in fits:
        one.start()
    for one in fits:
        one.join()
    assert found == [expected] * 4


def test_batches_that_are_heard_of_change_nothing(monkeypatch):
    task, blocks = task_and_blocks(w=W)
    heard = []
    watching = Task(**(vars(task) | {"watch": lambda number, sums: heard.append((number, sums))}))
    assert trained(watching, blocks, 1)[0] == trained(task, blocks, 1)[0]
    sums = [sums for _, sums in heard if sums is not None]
    assert [number for number, _ in heard] == [n for n in range(7) for _ in range(2)]
    np.testing.assert_allclose(sum(sums), rounds.average(task, blocks, map).sums, rtol=1e-12)


# Layers whose products are shared

WIDE = {
    "rectified": Dense(100, "relu"),
    "plain": Dense(100),
    "no bias": Dense(64, "relu", use_bias=False),
    "few columns": Dense(20, "relu"),
    "one column": Dense(1),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WIDE)
def test_a_layer_that_is_shared_has_the_bits_of_one_that_is_not(name, dtype, monkeypatch):
    layers = (Dense(70, "relu"), BatchNormalization(), WIDE[name], BatchNormalization(), LAYERS[-1])
    task, blocks = task_and_blocks(dtype=dtype, layers=layers, batch_size=150)
    compiling.RUNS.clear()
    found = [trained(task, blocks, helpers)[0] for helpers in (0, 1, 2)]
    counted = {"behind", "behind_back", "serve"} & set(compiling.RUNS)
    monkeypatch.setattr(dense.Wide, "_keeps_bits", lambda self, x: False)
    monkeypatch.setattr(dense.Wide, "tried", {})
    compiling.RUNS.clear()
    found.append(trained(task, blocks, 2)[0])
    assert not HAS_TEAMS or (len(counted) == 3 and "behind" not in compiling.RUNS)
    monkeypatch.setattr(compiling, "ON", False)
    found.append(trained(task, blocks, 2)[0])
    assert len(set(found)) == 1


def test_a_layer_behind_a_table_that_moves_row_by_row_is_shared_too():
    layers = (Embedding(256, 4, sparse_steps=True), Dense(70, "relu"), BatchNormalization(), LAYERS[-1])
    task, blocks = task_and_blocks("bytes", layers=layers, batch_size=150)
    compiling.RUNS.clear()
    found = {trained(task, blocks, helpers)[0] for helpers in (0, 1, 2)}
    assert len(found) == 1 and (not HAS_TEAMS or "behind" in compiling.RUNS)


def test_a_trial_shows_where_columns_cannot_be_shared(monkeypatch):
    made = chain.compiled_parts(Network.chain((Dense(40), *LAYERS[-1:]), INPUTS), 1)
    layer = dense.Wide(made[0], map, 2)
    x = KINDS["numbers"][:50].astype("f4")
    assert layer._keeps_bits(x)
    monkeypatch.setattr(layer, "_cuts", lambda size: [(0, size // 2), (size // 2, size // 2 - 1)])
    assert not layer._keeps_bits(x)
