"""R34 and R35: a training that was interrupted, killed or cut off anywhere goes on to the very same bits."""

import hashlib
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest

from firesteel._checkpoints import FileCheckpoints, UrlCheckpoints, from_bytes, to_bytes
from firesteel.callbacks import BackupAndRestore, EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from firesteel.errors import ConfigError, StoreError
from firesteel.layers import Dense, Dropout
from firesteel.models import Sequential
from firesteel.optimizers import SGD, Adam
from firesteel.optimizers.schedules import ExponentialDecay
from firesteel.train import loop
from firesteel.train.checkpoints import Identity
from firesteel.train.engine import LocalEngine
from firesteel.train.history import UNMEASURED
from firesteel.train.state import Progress, TrainState

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1200, 6)).astype("f4")
Y = (X @ RNG.normal(size=(6, 3)) + RNG.normal(size=(1200, 3))).argmax(axis=1)
HOW = {
    "one shard": {"shards": 1},
    "averages of three shards": {"shards": 3, "batch_size": 1},
    "exact steps": {"strategy": "gradient", "batch_size": 100, "shards": 2},
    "a rate that callbacks lower": {"shards": 2, "batch_size": 1, "rate": 0.05},
    "a rate that a callback sets by what it was": {
        "strategy": "gradient",
        "batch_size": 200,
        "rate": 0.05,
        "by": 0.8,
    },
    "l-bfgs": {"optimizer": "lbfgs"},
    "averaged weights": {"optimizer": Adam(0.01, use_ema=True), "shards": 2, "batch_size": 1},
}


def build(optimizer="adam"):
    model = Sequential([Dense(12, "tanh", input_dim=6), Dropout(0.2), Dense(3, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(model=None, optimizer=None, rate=None, by=None, **settings):
    """Train with dropout, momentum, decay and early stopping; return the model."""
    rates = ExponentialDecay(0.05, 20, 0.9) if rate is None else rate
    model = model or build(optimizer or SGD(rates, momentum=0.9))
    callbacks = [EarlyStopping(patience=2, restore_best_weights=True)]
    callbacks += [] if rate is None else [ReduceLROnPlateau(patience=1, factor=0.5)]
    callbacks += [] if by is None else [LearningRateScheduler(lambda epoch, before: by * before)]
    settings = {"epochs": 4, "validation_split": 0.25, "seed": 3, "verbose": 0, "callbacks": callbacks} | settings
    model.fit(X, Y, **settings)
    return model


def bits(model):
    """Return what "the same bits" means: of weights, of the optimiser's state, and of the history."""
    digest = hashlib.sha256(model.theta.tobytes() + model.state.slots.tobytes() + model.state.outer.tobytes())
    rows = [{name: value for name, value in row.items() if name not in UNMEASURED[2:]} for row in model.history.rows]
    return digest.hexdigest(), model.state.step, repr(rows), model.history.best


@pytest.fixture
def cut(monkeypatch):
    """Gives a function that runs a call and interrupts it in its n-th round."""
    original = LocalEngine.map

    def run(call, at):
        left = [at]

        def counted(self, work, task):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return original(self, work, task)

        monkeypatch.setattr(LocalEngine, "map", counted)
        try:
            call()
        except KeyboardInterrupt:
            return True
        finally:
            monkeypatch.setattr(LocalEngine, "map", original)
        return False

    return run


@pytest.mark.parametrize("how", HOW)
def test_r34_stopped_in_any_round_it_goes_on_to_the_same_bits(how, tmp_path, monkeypatch, cut):
    monkeypatch.setattr(loop, "AHEAD", 1)
    monkeypatch.setattr(loop, "KEEP_SECONDS", 0.0)
    whole, path, stops = bits(fit(**HOW[how])), tmp_path / "kept", 0
    # one fit, cut again and again, each time some rounds further on
    while cut(lambda: fit(checkpoint=path, **HOW[how]), 3 + stops):
        stops += 1
    assert stops >= 2 and bits(fit(checkpoint=path, **HOW[how])) == whole


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_r34_stopped_once_at_every_point(how, tmp_path, monkeypatch, cut):
    monkeypatch.setattr(loop, "AHEAD", 1)
    monkeypatch.setattr(loop, "KEEP_SECONDS", 0.0)
    whole, at = bits(fit(**HOW[how])), 1
    call = partial(fit, checkpoint=tmp_path / "kept", **HOW[how])
    while cut(call, at):
        assert bits(call()) == whole, at
        (tmp_path / "kept").unlink()
        at += 1
    assert at > 4
    print(f"{how}: {at - 1} of {at - 1} stops")


def test_r34_an_epoch_is_kept_between_its_rounds_only_where_it_is_long(tmp_path, monkeypatch):
    kept, original = [], FileCheckpoints.save
    monkeypatch.setattr(FileCheckpoints, "save", lambda self, who, p: (kept.append(p), original(self, who, p)))
    settings = HOW["exact steps"] | {"checkpoint": tmp_path / "kept", "epochs": 2}
    fit(**settings)
    assert [p.round for p in kept] == [0, 0] and [p.finished for p in kept] == [False, True]
    kept.clear()
    monkeypatch.setattr(loop, "KEEP_SECONDS", 0.0)
    (tmp_path / "kept").unlink()
    fit(**settings)
    assert [p.round for p in kept] == [*range(1, 9), 0] * 2


OTHERS = {
    "shards is 1 there and 2 here": {"shards": 2},
    "seed is 3 there and 4 here": {"seed": 4},
    "epochs is 4 there and 5 here": {"epochs": 5},
    "batch_size is 32 there and 64 here": {"batch_size": 64},
    "optimizer differs": {"rate": 0.1},
    "validation set differs": {"validation_split": 0.5},
    "callbacks is": {"callbacks": []},
    "class_weight is null there": {"class_weight": "balanced"},
}


@pytest.mark.parametrize("said", OTHERS)
def test_what_another_training_has_left_unfinished_is_refused_and_what_differs_is_named(said, tmp_path, cut):
    path = tmp_path / "kept"
    assert cut(lambda: fit(checkpoint=path), 4)
    before, model = path.read_bytes(), build(SGD(OTHERS[said].get("rate", 0.05), momentum=0.9))
    with pytest.raises(StoreError, match=re.escape(said)) as refused:
        fit(model, checkpoint=path, **OTHERS[said])
    assert str(path) in str(refused.value) and refused.value.code == "store-checkpoint"
    assert path.read_bytes() == before and model.history is None


def test_who_only_looks_on_may_come_and_go(tmp_path, cut):
    whole, path = bits(fit()), tmp_path / "kept"
    assert cut(lambda: fit(checkpoint=path, verbose=0), 4)
    assert bits(fit(checkpoint=path, verbose=2)) == whole


def test_a_fit_that_had_ended_returns_at_once_and_another_one_takes_its_place(tmp_path, cut):
    first = fit(checkpoint=tmp_path / "kept")
    assert not cut(lambda: fit(checkpoint=tmp_path / "kept"), 1), "there was something left to compute"
    assert bits(fit(checkpoint=tmp_path / "kept")) == bits(first)
    other = fit(checkpoint=tmp_path / "kept", seed=4)
    assert bits(other) == bits(fit(seed=4)) != bits(first)
    before = first.state.step
    fit(first, checkpoint=tmp_path / "kept")  # a second fit of the same model, which goes on from the first
    assert first.state.step > before


def test_a_callback_that_had_ended_it_ends_it_for_good(tmp_path):
    def stop(model):
        class Stop(LearningRateScheduler):
            def on_epoch_end(self, epoch, logs=None):
                self.model.stop_training = True

        return fit(model, checkpoint=tmp_path / "kept", callbacks=[Stop(lambda epoch, rate: rate)])

    assert bits(stop(build())) == bits(stop(build()))


def test_progress_lies_in_one_place(tmp_path):
    with pytest.raises(ConfigError, match="several checkpoints are given"):
        fit(checkpoint=tmp_path / "kept", callbacks=[BackupAndRestore(tmp_path)])
    for wrong in ("", 3, b"kept"):
        with pytest.raises(ConfigError, match="path or a URL"):
            fit(checkpoint=wrong)


def test_it_is_the_same_file_as_keras_s_callback_keeps(tmp_path, cut):
    whole = bits(fit(callbacks=[]))
    assert cut(lambda: fit(callbacks=[BackupAndRestore(tmp_path)]), 4)
    assert bits(fit(callbacks=[], checkpoint=tmp_path / "checkpoint")) == whole
    fit(callbacks=[BackupAndRestore(tmp_path)])
    assert not list(tmp_path.iterdir()), "it goes when training has ended"


# Other storage


def test_progress_at_a_url_is_kept_by_turns(tmp_path, cut, monkeypatch):
    monkeypatch.setattr(loop, "AHEAD", 1)
    whole, url, files = bits(fit()), "memory://runs/kept", fsspec.filesystem("memory")
    assert cut(lambda: fit(checkpoint=url), 6)
    assert sorted(path.split("/")[-1] for path in files.find("/runs")) == ["a", "b"]
    newest = max(("/runs/kept/a", "/runs/kept/b"), key=lambda path: files.created(path))
    files.pipe_file(newest, files.cat_file(newest)[:100])
    with pytest.warns(UserWarning, match=r"ignored: .*damaged"):
        assert bits(fit(checkpoint=url)) == whole
    assert cut(lambda: fit(checkpoint=url, seed=4), 4)
    for name in ("a", "b"):
        files.pipe_file(f"/runs/kept/{name}", b"x")
    with pytest.raises(StoreError, match="Delete it to start over|not a firesteel model"):
        fit(checkpoint=url)
    UrlCheckpoints(url, delete=True).__exit__(None)
    assert not files.exists("/runs/kept")


def test_what_storage_says_is_passed_on_in_one_line(monkeypatch):
    with pytest.raises(ConfigError, match=r"checkpoint='nowhere://x': Protocol not known"):
        fit(checkpoint="nowhere://x")
    with pytest.raises(ConfigError, match=r"pip install .*firesteel\[remote\]"):
        monkeypatch.setitem(sys.modules, "fsspec", None)
        fit(checkpoint="memory://x")


@pytest.mark.parametrize("call", ["cat_file", "pipe_file"])
def test_storage_that_fails_stops_the_fit_with_its_path(call, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError("access denied")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), call, refuse)
    with pytest.raises(StoreError, match=r"the checkpoint at .*/there/a cannot be (read|written): access denied"):
        fit(checkpoint="memory://there")


# Bytes

ME = Identity({"seed": "0"})


def start(width=3):
    vector = np.arange(width, dtype="f4")
    return TrainState(vector, np.stack([vector, vector]), vector)


def test_progress_survives_its_bytes_and_nothing_else_passes_for_it():
    state = replace(start(), step=9, epoch=2, learning_rate=0.25, cost=1.5)
    rows = [{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": 0.25}]
    whole = Progress(state, rows, start(), frozenset({"cpu"}), 2, np.array([1.0, 2.0]), False)
    data = to_bytes(whole, ME)
    back = from_bytes(data, ME, start(), "x")
    assert to_bytes(back, ME) == data and back.rows == rows and back.sums.tolist() == [1.0, 2.0]
    with pytest.raises(StoreError, match="other shapes"):
        from_bytes(data, ME, start(4), "x")
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 300):
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(8))
        try:  # another last digit, or E for e, may be the same number
            same = from_bytes(bytes(damaged), ME, start(), "x")
        except StoreError:
            continue
        assert to_bytes(same, ME) == data
    for at in range(len(data)):
        with pytest.raises(StoreError):
            from_bytes(data[:at], ME, start(), "x")


@pytest.mark.parametrize(
    "wrong",
    [
        *(replace(start(), **{name: "7"}) for name in ("step", "epoch", "learning_rate", "cost")),
        replace(start(), step=-1),
        *({name: value} for name, value in {"round": -1, "finished": 1, "machines": [7]}.items()),
        *({"rows": [row]} for row in ({"epoch": 0}, {"epoch": "0", "loss": 0.5}, {"epoch": 0, "loss": None})),
    ],
    ids=lambda wrong: str(wrong)[-60:],
)
def test_what_has_a_checksum_and_describes_no_training_is_refused(wrong):
    progress = Progress(wrong) if isinstance(wrong, TrainState) else replace(Progress(start()), **wrong)
    with pytest.raises(StoreError, match="x is damaged: .*Delete it to start over"):
        from_bytes(to_bytes(progress, ME), ME, start(), "x")


def test_a_long_history_is_kept_in_the_order_of_its_names():
    rows = [{"epoch": n, "loss": n / 7, "seconds": 0.1, "by_shard": [0.1, 0.2]} for n in range(20_000)]
    rows += [{"loss": n / 7, "epoch": n, "learning_rate": 0.1} for n in range(3)] + rows[:3]
    back = from_bytes(to_bytes(Progress(start(), rows), ME), ME, start(), "x")
    assert repr(back.rows) == repr(rows)


# R35: killed

CHILD = """
import sys
from tests.store.test_checkpoints_in_files import X, Y, bits, fit
from firesteel.train import loop
loop.AHEAD, loop.KEEP_SECONDS = 1, 0.0
print("begun", flush=True)
model = fit(checkpoint=sys.argv[1], epochs=20, callbacks=[], shards=3, batch_size=2)
print(repr(bits(model)))
"""


def child(path: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    return subprocess.Popen([sys.executable, "-c", CHILD, path], stdout=subprocess.PIPE, text=True, env=environment)


def killed_until_it_ends(path: Path, dice: random.Random) -> tuple[str, int]:
    """Kill the training at random times until one of them ends by itself; return what that prints."""
    kills = 0
    while True:
        with child(path) as process:
            assert process.stdout.readline() == "begun\n"
            time.sleep(dice.uniform(0.0, 0.6))
            if kills < 2 and process.poll() is None:
                process.kill()
                kills += 1
                continue
            said = process.stdout.read()
            if process.wait(60) == 0:
                return said.strip(), kills


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 10))])
def test_r35_killed_at_random_times_it_goes_on_to_the_same_bits(seed, tmp_path):
    said, kills = killed_until_it_ends(tmp_path / "kept", random.Random(seed))
    assert kills and said == repr(bits(fit(epochs=20, callbacks=[], shards=3, batch_size=2)))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["kept"]
