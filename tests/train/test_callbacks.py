"""Callbacks: what they are told and when, what they may change, and that an interrupted training forgets nothing."""

import csv
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from firesteel import callbacks as face
from firesteel.callbacks import (
    BackupAndRestore,
    BoldDriver,
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from firesteel.errors import ConfigError, DivergenceError, StoreError
from firesteel.layers import Dense
from firesteel.models import Sequential, load_model
from firesteel.optimizers import SGD
from firesteel.train.callbacks import HOOKS
from firesteel.train.strategies import Gradient

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 4))
Y = (X[:, 0] + 0.5 * RNG.normal(size=320) > 0).astype(int)
GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("callbacks.json").read_text())
EVERY = {
    "BackupAndRestore": lambda folder: BackupAndRestore(folder / "backup"),
    "BoldDriver": lambda folder: BoldDriver(),
    "CSVLogger": lambda folder: CSVLogger(folder / "log.csv"),
    "EarlyStopping": lambda folder: EarlyStopping(patience=5, restore_best_weights=True),
    "History": lambda folder: face.History(),
    "LambdaCallback": lambda folder: LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "LearningRateScheduler": lambda folder: LearningRateScheduler(lambda epoch, rate: 0.9 * rate),
    "ModelCheckpoint": lambda folder: ModelCheckpoint(folder / "best.firesteel", save_best_only=True),
    "ProgbarLogger": lambda folder: face.ProgbarLogger(),
    "Recorder": lambda folder: face.Recorder(),
    "ReduceLROnPlateau": lambda folder: ReduceLROnPlateau(patience=1, factor=0.5),
    "TensorBoard": lambda folder: TensorBoard(folder / "logs"),
    "TerminateOnNaN": lambda folder: TerminateOnNaN(),
}


def build(optimizer="adam"):
    model = Sequential([Dense(8, "tanh", input_dim=4), Dense(2, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(model, callbacks, epochs=4, **settings):
    settings = {"verbose": 0, "validation_split": 0.25, "batch_size": 32} | settings
    return model.fit(X, Y, epochs=epochs, callbacks=callbacks, **settings)


class Diary(Callback):
    """Writes down what it is told."""

    def __init__(self):
        self.told = []

    def on_train_begin(self, logs=None):
        self.told.append(("train begins", self.params["epochs"], self.params["steps"]))

    def on_train_end(self, logs=None):
        self.told.append(("train ends", sorted(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(("epoch begins", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.told.append(("epoch ends", epoch, sorted(logs)))

    def on_test_begin(self, logs=None):
        self.told.append(("test begins",))

    def on_test_end(self, logs=None):
        self.told.append(("test ends", sorted(logs)))


class Called(Callback):
    """Writes down each hook with what it was called with."""

    def __init__(self):
        self.told = []
        for hook in HOOKS:
            setattr(self, hook, lambda *given, hook=hook: self.told.append((hook, *given)))


class Steps(Callback):
    """Writes down the steps."""

    def __init__(self):
        self.begun, self.ended = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append((batch, logs["loss"]))


# What is told


def test_hooks_are_called_in_order_with_what_was_measured():
    diary, names = Diary(), ["accuracy", "loss", "val_accuracy", "val_loss"]
    fit(build(), diary, epochs=2)
    one = [("test begins",), ("test ends", names[:2])]
    assert diary.told == [
        ("train begins", 2, 8),
        *[("epoch begins", 0), *one, ("epoch ends", 0, names)],
        *[("epoch begins", 1), *one, ("epoch ends", 1, names)],
        ("train ends", names),
    ]


def test_epochs_are_counted_from_the_initial_one():
    diary, model = Diary(), build()
    history = fit(model, [diary], epochs=5, initial_epoch=3)
    assert history.epoch == [3, 4] and [event[1] for event in diary.told if event[0] == "epoch begins"] == [3, 4]
    plain = build()
    fit(plain, None, epochs=2)
    assert plain.fingerprint() == model.fingerprint()


def test_the_model_has_the_epochs_weights_and_history_when_it_ends():
    model, seen = build(), []
    fit(model, LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((len(model.history.rows), logs))))
    assert [count for count, _ in seen] == [1, 2, 3, 4]
    values = []
    fit(
        model,
        LambdaCallback(
            on_epoch_end=lambda e, logs: values.append((logs, model.evaluate(X[240:], Y[240:], verbose=0)))
        ),
    )
    for logs, (loss, accuracy) in values:
        assert (logs["val_loss"], logs["val_accuracy"]) == (loss, accuracy)


@pytest.mark.parametrize("strategy, shards, steps", [("average", 1, 8), ("average", 2, 1), (Gradient(), 1, 8)])
def test_batch_hooks_see_each_step_of_a_shard_that_is_alone_and_each_round_of_others(strategy, shards, steps):
    seen, model, plain = Steps(), build("sgd"), build("sgd")
    history = fit(model, seen, epochs=3, strategy=strategy, shards=shards)
    assert seen.begun == list(range(steps)) * 3 and [number for number, _ in seen.ended] == seen.begun
    last = [loss for number, loss in seen.ended if number == steps - 1]
    assert last == pytest.approx(history.history["loss"], rel=1e-12)
    fit(plain, None, epochs=3, strategy=strategy, shards=shards)
    assert plain.fingerprint() == model.fingerprint()


def test_an_evaluation_and_a_prediction_call_their_hooks_as_one_batch():
    model, seen = build(), Called()
    means = model.evaluate(X, Y, verbose=0, return_dict=True, callbacks=[seen])
    assert seen.told == [
        ("on_test_begin", {}),
        ("on_test_batch_begin", 0, {}),
        ("on_test_batch_end", 0, means),
        ("on_test_end", means),
    ]
    seen.told.clear()
    outputs = model.predict(X, callbacks=seen)
    assert [hook for hook, *_ in seen.told] == [
        f"on_predict_{part}" for part in ("begin", "batch_begin", "batch_end", "end")
    ]
    assert seen.told[2][1] == 0 and seen.told[2][2]["outputs"] is outputs and seen.model is model
    seen.told.clear()
    fit(model, seen, epochs=1)
    tested = [told for told in seen.told if "test" in told[0]]
    assert [hook for hook, *_ in tested] == [
        f"on_test_{part}" for part in ("begin", "batch_begin", "batch_end", "end")
    ]
    assert tested[2][1:] == (0, tested[3][1]) and not any("predict" in hook for hook, *_ in seen.told)
    for wrong in (lambda: model.evaluate(X, Y, callbacks=[print]), lambda: model.predict(X, callbacks=[print])):
        with pytest.raises(ConfigError, match="is not a callback"):
            wrong()


@pytest.mark.parametrize(
    "hook, meant",
    [("on_epoch_ended", "on_epoch_end"), ("on_validation_end", "on_test_end"), ("on_fit_start", "on_train_begin")],
)
def test_a_hook_that_is_never_called_is_refused_with_the_one_that_is(hook, meant):
    model, wrong = build(), type("Mine", (Callback,), {hook: lambda self, *given: None})
    with pytest.raises(ConfigError, match=rf"Mine\.{hook} is never called: did you mean '{meant}'\?") as caught:
        fit(model, wrong())
    assert caught.value.code == "config-callback" and model.history is None
    fit(model, type("Mine", (Callback,), {"on_gpu": False})(), epochs=1)


def test_what_is_no_callback_is_refused():
    for wrong in ([lambda epoch, logs: None], ["csv"], [Diary]):
        with pytest.raises(ConfigError, match="is not a callback"):
            fit(build(), wrong)


@pytest.mark.parametrize(
    "make", [EarlyStopping, ReduceLROnPlateau, lambda: ModelCheckpoint("x", save_best_only=True)]
)
def test_what_watches_something_that_is_not_measured_is_refused_before_training(make):
    model = build()
    with pytest.raises(ConfigError, match=r"monitors 'val_loss'.*give validation_split or validation_data"):
        fit(model, make(), validation_split=0.0)
    assert model.history is None


def test_settings_that_cannot_work_are_refused():
    for make in (
        lambda: EarlyStopping(mode="least"),
        lambda: EarlyStopping(patience=-1),
        lambda: EarlyStopping(patience=1.5),
        lambda: ReduceLROnPlateau(factor=1.0),
        lambda: ReduceLROnPlateau(cooldown=-1),
    ):
        with pytest.raises(ConfigError):
            make()
    two = [EarlyStopping(restore_best_weights=True), EarlyStopping("loss", restore_best_weights=True)]
    with pytest.raises(ConfigError, match="only one EarlyStopping"):
        fit(build(), two)


# What they may change


def test_a_callback_may_stop_training():
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model = build()
    assert len(fit(model, [Stop()], epochs=9).rows) == 2
    assert len(fit(model, [], epochs=3).rows) == 3


def test_a_callback_may_set_the_learning_rate_and_a_second_fit_goes_on_with_it():
    class Halve(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.learning_rate /= 2

    model = build(SGD(0.4))
    fit(model, [Halve()], epochs=3)
    assert model.learning_rate == 0.05 and model.optimizer == SGD(0.05) and model.settings.optimizer == SGD(0.4)
    by_hand = build(SGD(0.4))
    for rate in (0.4, 0.2, 0.1):
        by_hand.learning_rate = rate
        fit(by_hand, [], epochs=1)
    assert by_hand.fingerprint() == model.fingerprint()
    for wrong in (-1, math.nan, math.inf, "0.1", True, None):
        with pytest.raises(ConfigError, match="learning_rate="):
            model.learning_rate = wrong


def test_a_callback_may_set_the_weights():
    class Zero(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.set_weights([0 * w for w in self.model.get_weights()])

    model = build(SGD(0.1))
    losses = fit(model, Zero(), epochs=3).history["loss"]
    first = build(SGD(0.1))
    first.set_weights([0 * w for w in first.get_weights()])
    assert losses[0] == fit(first, None, epochs=1).history["loss"][0]
    assert all(loss == pytest.approx(losses[0], rel=1e-3) for loss in losses)


def test_a_rate_read_before_the_first_fit_does_not_move_a_bit():
    one, other = build(), build()
    assert one.learning_rate == 0.001
    fit(one, None, seed=3)
    fit(other, None, seed=3)
    assert one.fingerprint() == other.fingerprint()


# Each of them


def test_every_callback_of_the_face_is_tried_here():
    assert set(EVERY) == set(face.__all__) - {"Callback", "MlflowCallback"}  # which test_mlflow_flavor.py tries


@pytest.mark.parametrize("case", [case for case in GOLDEN if case["callback"] == "EarlyStopping"])
def test_early_stopping_ends_when_that_of_keras_does(case):
    rule = EarlyStopping(monitor="loss", **case["settings"]).rule()
    rows = [{"epoch": epoch, "loss": value} for epoch, value in enumerate(case["values"])]
    ended = [rule.ended(rows[:count]) for count in range(1, len(rows) + 1)]
    epochs = ended.index(True) + 1 if any(ended) else len(rows)
    assert epochs == case["epochs"] and (rule.best(rows[:epochs]) or 0) == case["best"]


@pytest.mark.parametrize("case", [case for case in GOLDEN if case["callback"] == "ReduceLROnPlateau"])
def test_the_rate_falls_on_a_plateau_when_that_of_keras_does(case):
    class Model:
        learning_rate = 0.1
        history = type("History", (), {"rows": []})()

    model, callback, rates = Model(), ReduceLROnPlateau(monitor="loss", **case["settings"]), []
    callback.set_model(model)
    for epoch, value in enumerate(case["values"]):
        rates.append(model.learning_rate)
        model.history.rows.append({"epoch": epoch, "loss": value, "learning_rate": model.learning_rate})
        callback.on_epoch_end(epoch)
    assert rates == pytest.approx(case["rates"], rel=1e-6)


def followed(values, larger, min_delta=0.0, patience=0, cooldown=0, baseline=None, **_):
    """What watches these values knows after each: the best one, since when, and how long it waits and rests."""
    best, at, wait, cooling = (-math.inf if larger else math.inf), 0, 0, 0

    def beats(now, than):
        return now - min_delta > than if larger else now + min_delta < than

    for number, now in enumerate(values):
        cooling, wait = (cooling - 1, 0) if cooling else (0, wait)
        if beats(now, best):
            best, at, wait = now, number, 0 if baseline is None or beats(now, baseline) else wait + 1
        elif not cooling:
            wait += 1
            cooling, wait = (cooldown, 0) if cooldown and wait >= patience else (cooling, wait)
        yield best, at, wait, cooling


@pytest.mark.parametrize("larger", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"min_delta": 0.05},
        {"baseline": 0.4},
        {"patience": 2, "cooldown": 3},
        {"patience": 1, "min_delta": 0.1, "cooldown": 1},
    ],
    ids=str,
)
def test_what_keras_keeps_on_a_callback_is_there_after_each_epoch(settings, larger):
    values = [0.5, 0.7, 0.45, 0.45, 0.3, 0.6, 0.31, 0.2, 0.8, 0.81, 0.1, 0.9]
    kind = ReduceLROnPlateau if "cooldown" in settings else EarlyStopping
    callback = kind(monitor="it", mode="max" if larger else "min", **{"min_delta": 0.0} | settings)
    rows = []
    callback.set_model(type("Model", (), {"learning_rate": 0.1, "history": type("History", (), {"rows": rows})()})())
    callback.on_train_begin()
    assert callback.best == (-math.inf if larger else math.inf) and callback.wait == 0
    for epoch, expected in enumerate(followed(values, larger, **settings)):
        rows.append({"epoch": epoch, "it": values[epoch], "learning_rate": 0.1})
        callback.on_epoch_end(epoch)
        best, at, wait, cooling = expected
        assert (callback.best, callback.wait) == (best, wait), epoch
        assert (callback.cooldown_counter == cooling) if kind is ReduceLROnPlateau else (callback.best_epoch == at)


def test_a_callback_used_again_begins_again():
    watch = EarlyStopping("loss", patience=1, min_delta=9.0, restore_best_weights=True)
    model = build()
    fit(model, watch, epochs=5)
    assert watch.stopped_epoch == 1 and watch.wait == 1 and watch.best == model.history.rows[0]["loss"]
    assert all(np.array_equal(*pair) for pair in zip(watch.best_weights, model.get_weights(), strict=True))
    fit(model, watch, epochs=1)
    assert watch.stopped_epoch == 0 and watch.wait == 0 and watch.best == model.history.rows[0]["loss"]


def test_a_history_knows_what_the_training_was_given():
    history = fit(build(), None, epochs=3, batch_size=50)
    assert (history.params["epochs"], history.params["steps"], history.params["batch_size"]) == (3, 5, 50)
    assert pickle.loads(pickle.dumps(history)) == history


def test_a_history_is_a_callback_and_bars_are_drawn_once(capsys):
    model, record = build(), face.History()
    fit(model, [record, face.ProgbarLogger()], verbose=1, epochs=2)
    assert record.history == model.history.history and record.epoch == [0, 1]
    assert capsys.readouterr().out.count("Epoch 2/2") == 1
    fit(model, face.ProgbarLogger(), verbose=0, epochs=1)
    assert capsys.readouterr().out.count("Epoch 1/1") == 1 and record.epoch == [0, 1]


@pytest.mark.parametrize("restore", [True, False])
def test_early_stopping_ends_training_and_restores_the_best_weights_if_asked(restore, capsys):
    watch = EarlyStopping(patience=3, restore_best_weights=restore, verbose=1)
    model = build(SGD(3.0))
    history = fit(model, watch, epochs=60)
    losses = history.history["val_loss"]
    best = int(np.argmin(losses))
    assert watch.best_epoch == best and watch.stopped_epoch == len(losses) - 1 == best + 3 < 59
    assert history.best == (best if restore else None)
    assert model.evaluate(X[240:], Y[240:], verbose=0)[0] == losses[best if restore else -1]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"Epoch {len(losses)}: early stopping" and len(said) == 1 + restore


def test_a_scheduler_sets_each_epochs_rate_which_the_history_tells():
    for schedule in (lambda epoch: 0.5 / (epoch + 1), lambda epoch, rate: 0.5 / (epoch + 1)):
        model = build(SGD(9.0))
        assert fit(model, LearningRateScheduler(schedule)).history["learning_rate"] == [0.5, 0.25, 0.5 / 3, 0.125]
    with pytest.raises(ConfigError, match="learning_rate=-1"):
        fit(build(), LearningRateScheduler(lambda epoch: -1))


def test_checkpoints_are_saved_each_epoch_or_when_better(tmp_path):
    model = build(SGD(2.0))
    every = ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.3f}.firesteel")
    best = ModelCheckpoint(tmp_path / "best.firesteel", save_best_only=True)
    losses = fit(model, [every, best], epochs=6).history["val_loss"]
    assert sorted(path.name for path in tmp_path.glob("0*")) == [
        f"{number:02d}-{loss:.3f}.firesteel" for number, loss in enumerate(losses, 1)
    ]
    kept = load_model(tmp_path / "best.firesteel")
    assert kept.evaluate(X[240:], Y[240:], verbose=0)[0] == min(losses)
    never = tmp_path / "never.firesteel"
    fit(model, ModelCheckpoint(never, save_best_only=True, initial_value_threshold=-1.0))
    assert not never.exists()
    with pytest.raises(ConfigError, match="unknown name or format, 'loss_'"):
        fit(model, ModelCheckpoint(tmp_path / "{loss_}"))
    with pytest.raises(StoreError, match="cannot be written"):
        fit(model, ModelCheckpoint(tmp_path / "best.firesteel" / "no folder"))


@pytest.mark.parametrize(
    "batches, epochs", [(1, [1, 2, 3, 4, 5, 6]), (8, [1, 2, 3, 4, 5, 6]), (9, [2, 4, 6]), (24, [3, 6])]
)
def test_checkpoints_are_saved_after_a_number_of_batches(tmp_path, batches, epochs):
    saves = ModelCheckpoint(tmp_path / "{epoch}", save_freq=batches)
    best = ModelCheckpoint(tmp_path / "best", save_freq=batches, save_best_only=True)
    losses = fit(build(), [saves, best], epochs=6).history["val_loss"]
    assert sorted(int(path.name) for path in tmp_path.glob("?")) == epochs
    assert best.best == min(losses[epoch - 1] for epoch in epochs)
    for wrong in (0, -1, 1.5, "batch", None, True):
        with pytest.raises(ConfigError, match="save_freq="):
            ModelCheckpoint("m", save_freq=wrong)


def test_checkpoints_may_be_of_the_weights_alone(tmp_path):
    model = build()
    fit(model, ModelCheckpoint(tmp_path / "{epoch}.weights", save_weights_only=True), epochs=2)
    other = build()
    for epoch, same in ((1, False), (2, True)):
        other.load_weights(tmp_path / f"{epoch}.weights")
        pairs = zip(other.get_weights(), model.get_weights(), strict=True)
        assert all(np.array_equal(*pair) for pair in pairs) == same


@pytest.mark.parametrize("make", [BackupAndRestore, CSVLogger, ModelCheckpoint])
def test_an_empty_path_is_refused(make):
    with pytest.raises(ConfigError, match="='': give a path"):
        make("")


def test_the_log_holds_every_epoch(tmp_path):
    path, model = tmp_path / "log.csv", build()
    fit(model, CSVLogger(path, separator=";"))
    history = fit(model, CSVLogger(path, separator=";", append=True)).history
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert list(rows[0]) == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert [row["epoch"] for row in rows] == list("01230123")
    assert [float(row["val_loss"]) for row in rows[4:]] == history["val_loss"]
    fit(model, CSVLogger(path), epochs=1)
    assert len(path.read_text().splitlines()) == 2


def test_a_loss_that_is_nan_is_found_at_its_step():
    model = Sequential([Dense(4, input_dim=4), Dense(1)])
    model.compile(SGD(1e6), "mse")
    with pytest.raises(DivergenceError, match=r"in step \d of the epoch"):
        model.fit(X, X[:, 0], epochs=3, verbose=0, batch_size=8, callbacks=TerminateOnNaN())


# Going on


class Interrupt(Callback):
    """Ends a fit as Ctrl-C would."""

    def __init__(self, after):
        self.after = after

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("after", [1, 4, 9])
def test_an_interrupted_fit_called_again_ends_as_if_never_interrupted(after, shards, tmp_path):
    def run(name, *more):
        folder, model = tmp_path / name, build(SGD(2.0, momentum=0.5))
        folder.mkdir(exist_ok=True)
        kinds = [make(folder) for kind, make in EVERY.items() if kind != "TerminateOnNaN"]
        history = fit(model, [*more, *kinds], epochs=12, shards=shards)
        assert not list((folder / "backup").iterdir())
        return model.fingerprint(), history.history, (folder / "best.firesteel").read_bytes(), history.best

    whole = run("whole", Interrupt(99))
    assert len(set(whole[1]["learning_rate"])) > 3
    with pytest.raises(KeyboardInterrupt):
        run("cut", Interrupt(after))
    assert len(list((tmp_path / "cut" / "backup").iterdir())) == 1
    assert run("cut", Interrupt(99)) == whole


def test_progress_of_another_training_is_left_alone(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(build(), [Interrupt(2), BackupAndRestore(tmp_path)])
    [path] = tmp_path.iterdir()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="seed is 0 there and 1 here"):
        fit(build(), [Interrupt(99), BackupAndRestore(tmp_path)], seed=1)
    assert path.read_bytes() == before
    path.write_bytes(before[:-9])
    with pytest.raises(StoreError, match="damaged"):
        fit(build(), [Interrupt(99), BackupAndRestore(tmp_path)])


def test_progress_may_be_kept_after_the_end(tmp_path):
    keep = BackupAndRestore(tmp_path, delete_checkpoint=False)
    first, again = build(), build()
    fit(first, keep)
    assert len(list(tmp_path.iterdir())) == 1
    diary = Diary()
    fit(again, [keep, diary])
    assert first.fingerprint() != again.fingerprint() or diary.told


# Class weights


def test_class_weights_are_weights_of_rows():
    weights = {0: 2.0, 1: 0.5}
    rows = np.where(Y == 0, 2.0, 0.5)
    for settings in ({}, {"strategy": "gradient"}):
        one, other = build(), build()
        fit(one, None, class_weight=weights, validation_split=0.0, shuffle=False, **settings)
        fit(other, None, sample_weight=rows, validation_split=0.0, shuffle=False, **settings)
        np.testing.assert_allclose(one.theta, other.theta, rtol=1e-5, atol=1e-6)


def test_balanced_classes_weigh_alike():
    y = (np.arange(320) % 10 == 0).astype(int)
    one, other = build(), build()
    one.fit(X, y, verbose=0, class_weight="balanced")
    other.fit(X, y, verbose=0, class_weight={0: 320 / (2 * 288), 1: 320 / (2 * 32)})
    assert one.fingerprint() == other.fingerprint()


def test_one_hot_rows_have_classes_too():
    sparse, dense = build(), build()
    dense.compile("adam", "categorical_crossentropy", ["accuracy"])
    settings = {"epochs": 4, "verbose": 0, "shuffle": False, "class_weight": {1: 3.0}}
    sparse.fit(X, Y, **settings)
    dense.fit(X, np.eye(2)[Y], **settings)
    assert dense.history.history["loss"] == pytest.approx(sparse.history.history["loss"], rel=1e-5)
    with pytest.raises(ConfigError, match="needs class numbers"):
        dense.fit(X, np.eye(2)[Y], class_weight="balanced")


@pytest.mark.parametrize(
    "wrong", [{2: 1.0}, {-1: 1.0}, {0: -1.0}, {0: 0, 1: 0}, {0: "a"}, {"a": 1.0}, "balance", [1, 2, 3]]
)
def test_weights_of_no_class_or_no_weights_are_refused(wrong):
    with pytest.raises(ConfigError, match="class_weight") as caught:
        fit(build(), None, class_weight=wrong)
    assert caught.value.code == "config-class-weight"


def test_numbers_to_predict_have_no_classes():
    model = Sequential([Dense(1, input_dim=4)])
    model.compile("adam", "mse")
    with pytest.raises(ConfigError, match="needs one class per row as the target"):
        model.fit(X, Y, class_weight={0: 1.0})


def test_a_callback_knows_what_it_was_made_with_and_what_the_training_was_given():
    stop = EarlyStopping("loss", patience=3)
    assert stop.given == {"monitor": "loss", "patience": 3}
    fit(build(), [stop], epochs=1, batch_size=50, seed=4, validation_split=0.5)
    known = {"epochs": 1, "steps": 4, "rows": 160, "batch_size": 50, "shards": 1, "seed": 4, "initial_epoch": 0}
    assert known.items() <= stop.params.items() and stop.params["validation_split"] == 0.5 and stop.params["drawn"]


def test_a_callback_is_given_the_rows_while_training_goes_on():
    seen = []

    class Look(Callback):
        def set_rows(self, objective, training, validation):
            seen.append([sum(block.rows for block in engine.blocks) for engine in (training, validation)])
            assert objective.names[0] == "loss"

    fit(build(), [Look()], epochs=1, validation_split=0.25)
    assert seen == [[240, 80]]


@pytest.mark.parametrize("error", [SystemExit, ZeroDivisionError])
def test_on_train_error_is_called_with_the_error_that_ended_the_training(error):
    heard = []

    class Hear(Callback):
        def on_train_error(self, error):
            heard.append((type(error), len(self.model.history.rows)))

        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise error

    with pytest.raises(error):
        fit(build(), [Hear()], epochs=5)
    assert heard == [(error, 2)]
    with pytest.raises(DivergenceError):
        fit(build(SGD(3e38)), [Hear()], epochs=1)
    assert heard[1][0] is DivergenceError
