"""Who sets the learning rate, and how functions are called: the rules of docs/how-to/callbacks.md."""

import functools

import numpy as np
import pytest

from firesteel.callbacks import BoldDriver, Callback, LambdaCallback, LearningRateScheduler, ReduceLROnPlateau
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.core.schedules import SCHEDULES, ExponentialDecay
from firesteel.errors import ConfigError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.optimizers import LBFGS, SGD
from firesteel.train.callbacks import HOOKS

X = np.random.default_rng(0).normal(size=(120, 4))
Y = (X[:, 0] > 0).astype(int)
ENGINES = {"steps": {}, "rounds": {"shards": 2}, "exact": {"strategy": "gradient", "batch_size": 30}}


def build(optimizer):
    model = Sequential([Dense(4, "tanh", input_dim=4), Dense(2, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def fit(model, callbacks, **settings):
    return model.fit(X, Y, verbose=0, callbacks=callbacks, **{"epochs": 3, "validation_split": 0.25} | settings)


# What sets it


SETTERS = {
    "BoldDriver": BoldDriver,
    "LearningRateScheduler": lambda: LearningRateScheduler(lambda epoch: 0.5),
    "ReduceLROnPlateau": lambda: ReduceLROnPlateau("loss"),
}


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_and_a_callback_cannot_both_set_it(schedule, setter):
    model = build(SGD(SCHEDULES[schedule]))
    with pytest.raises(
        ConfigError, match=f"{setter} and the optimizer's schedule {type(SCHEDULES[schedule]).__name__} both set the"
    ):
        fit(model, SETTERS[setter]())
    assert model.history is None and not model.state.step


@pytest.mark.parametrize("setter", SETTERS)
def test_a_number_that_is_set_takes_the_place_of_a_schedule_for_good(setter):
    model = build(SGD(ExponentialDecay(0.5, 4, 0.5)))
    fit(model, None)
    assert model.learning_rate < 0.2 and "learning_rate" not in model.history.history
    model.learning_rate = 0.25
    assert fit(model, SETTERS[setter]()).history["learning_rate"]
    plain, by_hand = build(SGD(ExponentialDecay(0.5, 4, 0.5))), build(SGD(0.25))
    plain.learning_rate = 0.25
    fit(plain, None, seed=1)
    fit(by_hand, None, seed=1)
    assert plain.fingerprint() == by_hand.fingerprint() and plain.learning_rate == 0.25


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_end"])
def test_what_any_other_hook_sets_acts_from_the_next_step_on(hook, engine):
    class Set(Callback):
        pass

    def act(self, *given):
        self.model.learning_rate = 0.125
        self.model.set_weights([np.full_like(w, 0.25) for w in self.model.get_weights()])

    setattr(Set, hook, act)
    model = build(SGD(0.5))
    rates = [row.get("learning_rate") for row in fit(model, Set(), **ENGINES[engine]).rows]
    first = 0.125 if hook in ("on_train_begin", "on_epoch_begin") else None
    assert rates == [first, 0.125, 0.125]
    late = hook in ("on_epoch_end", "on_test_begin", "on_test_end")
    assert all((w == 0.25).all() for w in model.get_weights()) == late


def test_callbacks_act_on_the_rate_in_their_order_and_the_last_one_wins():
    double, fixed = LearningRateScheduler(lambda epoch, rate: 2 * rate), LearningRateScheduler(lambda epoch: 0.125)
    assert fit(build(SGD(0.25)), [double, fixed]).history["learning_rate"] == [0.125] * 3
    assert fit(build(SGD(0.25)), [fixed, double]).history["learning_rate"] == [0.25] * 3
    assert fit(build(SGD(0.25)), [double, BoldDriver(up=1.5, tolerance=9.0)]).history["learning_rate"] == [
        0.5,
        1.5,
        4.5,
    ]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rate_that_an_optimizer_cannot_have_is_refused_where_it_is_set(name):
    model = build(name)
    for wrong in (-0.5, float("nan"), float("inf"), 10**400, "0.1", True, None, [0.1], ExponentialDecay(0.1, 9, 0.5)):
        with pytest.raises(ConfigError, match="learning_rate="):
            model.learning_rate = wrong
    model.learning_rate = np.float32(0.5)
    assert model.learning_rate == 0.5 and type(model.state.learning_rate) is float
    if name == "lbfgs":
        with pytest.raises(ConfigError, match="learning_rate=0"):
            model.learning_rate = 0
    else:
        model.learning_rate = 0
        assert model.learning_rate == 0.0


def test_searches_take_what_callbacks_set():
    model = build(LBFGS())
    rates = fit(model, LearningRateScheduler(lambda epoch: 0.5), strategy="gradient").history["learning_rate"]
    assert rates == [0.5] * 3
    with pytest.raises(ConfigError, match="BoldDriver needs an optimizer without a line search"):
        fit(model, BoldDriver(), strategy="gradient")


# Batch hooks


SETS = {
    "the rate": lambda model: setattr(model, "learning_rate", 0.01),
    "the weights": lambda model: model.set_weights([0 * w for w in model.get_weights()]),
    "all of it": lambda model: model.compile("sgd", "sparse_categorical_crossentropy"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"])
@pytest.mark.parametrize("what", SETS)
def test_a_batch_hook_that_sets_something_is_refused_aloud(what, hook, engine):
    class Set(Callback):
        def act(self, batch, logs=None):
            if batch == 1 or engine == "rounds":
                SETS[what](self.model)

    setattr(Set, hook, Set.act)
    model, plain = build(SGD(0.5)), build(SGD(0.5))
    fit(plain, None, epochs=1)
    fit(model, None, epochs=1)
    with pytest.raises(ConfigError, match="Set set the learning rate or the weights in a batch hook"):
        fit(model, [LambdaCallback(on_batch_end=lambda batch, logs: None), Set()], **ENGINES[engine])
    assert model.fingerprint() == plain.fingerprint()
    assert model.learning_rate == (0.01 if what == "all of it" else 0.5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_hook_that_observes_sees_and_changes_nothing(engine):
    seen, model, plain = [], build(SGD(0.5)), build(SGD(0.5))

    class See(Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append((batch, logs["loss"], self.model.learning_rate, len(self.model.get_weights())))
            self.model.learning_rate = self.model.learning_rate if self.model.state.learning_rate else 0.5

    fit(plain, LearningRateScheduler(lambda epoch: 0.5), **ENGINES[engine])
    fit(model, [LearningRateScheduler(lambda epoch: 0.5), See()], **ENGINES[engine])
    assert seen and model.fingerprint() == plain.fingerprint()


def test_the_older_names_of_batch_hooks_are_called_unless_the_newer_ones_are_there():
    told = []

    class Old(Callback):
        def on_batch_begin(self, batch, logs=None):
            told.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            told.append(("end", batch))

    class Both(Old):
        def on_train_batch_end(self, batch, logs=None):
            told.append(("train end", batch))

    fit(build("sgd"), Old(), epochs=1, batch_size=45)
    assert told == [("begin", 0), ("end", 0), ("begin", 1), ("end", 1)]
    told.clear()
    fit(build("sgd"), Both(), epochs=1, batch_size=90)
    assert told == [("begin", 0), ("train end", 0)]
    told.clear()
    fit(build("sgd"), LambdaCallback(on_batch_end=lambda batch, logs: told.append(batch)), epochs=2, batch_size=90)
    assert told == [0, 0]


# What a function looks like


class Object:
    def __call__(self, epoch, rate):
        return 0.5

    def one(self, epoch):
        return 0.5

    def two(self, epoch, rate):
        return 0.5

    def none(self):
        return 0.5

    @staticmethod
    def still(epoch):
        return 0.5

    @classmethod
    def of(cls, epoch, rate, more=1):
        return 0.5


class One(Object):
    def __call__(self, epoch):
        return 0.5


class Silent(One):
    __signature__ = "unknown"


class SilentTwo(Object):
    __signature__ = "unknown"


def three(scale, epoch, rate):
    return scale


def decorated(function):
    @functools.wraps(function)
    def wrapped(*given, **named):
        return function(*given, **named)

    return wrapped


def hidden(function):
    return lambda *given, **named: function(*given, **named)


GOOD = {
    "one": lambda epoch: 0.5,
    "two": lambda epoch, rate: 0.5,
    "two of other names": lambda a, b: 0.5,
    "a second that has a default is the rate": lambda epoch, other=None: 0.5 if other == 0.25 else 9.0,
    "one and a keyword": lambda epoch, *, scale=0.5: scale,
    "any": lambda *given: 0.5,
    "any of either": lambda *given, **named: 0.5,
    "one and any by name": lambda epoch, **named: 0.5,
    "by position alone": lambda epoch, rate, /: 0.5,
    "an object": Object(),
    "an object of one": One(),
    "a method of one": Object().one,
    "a method of two": Object().two,
    "a static method": Object.still,
    "a class method": Object.of,
    "a partial": functools.partial(three, 0.5),
    "a partial by name": functools.partial(lambda epoch, scale: scale, scale=0.5),
    "a decorated one": decorated(lambda epoch: 0.5),
    "a decorated one of which nothing is known": hidden(lambda epoch: 0.5),
    "a decorated two of which nothing is known": hidden(lambda epoch, rate: 0.5),
    "a dictionary": {0: 0.5}.get,
    "a list": [0.5].__getitem__,
    "one that does not say what it takes": Silent(),
    "two that do not say what they take": SilentTwo(),
}


@pytest.mark.parametrize("function", GOOD.values(), ids=GOOD)
def test_a_schedule_is_called_as_in_keras_whatever_it_looks_like(function):
    rates = fit(build(SGD(0.25)), LearningRateScheduler(function), epochs=1).history["learning_rate"]
    assert rates == [0.5]


BAD = {
    "none": lambda: 0.5,
    "three": lambda epoch, rate, more: 0.5,
    "by name alone": lambda *, epoch, rate: 0.5,
    "one and a keyword that must be": lambda epoch, *, rate: 0.5,
    "a method of none": Object().none,
    "a class that is made of none": Object,
    "a partial of too few": functools.partial(three),
    "a partial of too many": functools.partial(three, 1, 2, 3),
    "a number": 0.5,
    "letters": "0.5",
    "a schedule": ExponentialDecay(0.1, 9, 0.5),
    "nothing": None,
}


@pytest.mark.parametrize("function", BAD.values(), ids=BAD)
def test_a_schedule_that_cannot_be_called_is_refused_where_it_is_given(function):
    with pytest.raises(ConfigError, match=r"it must be a function of \(epoch, rate\) or of \(epoch\)"):
        LearningRateScheduler(function)


def test_what_a_schedule_raises_or_gives_is_not_swallowed():
    def broken(epoch, rate):
        raise TypeError("of its own")

    with pytest.raises(TypeError, match="of its own"):
        fit(build("sgd"), LearningRateScheduler(broken))
    for wrong in (None, "0.1", -1.0, float("nan"), [0.1]):
        with pytest.raises(ConfigError, match="learning_rate="):
            fit(build("sgd"), LearningRateScheduler({0: wrong}.get))


def noted(told, count):
    """A function of so many arguments, of each kind, by name."""
    if count == 1:
        return {
            "plain": lambda logs: told.append(1),
            "any": lambda *given: told.append(len(given)),
            "a default": lambda logs=None: told.append(1),
            "partial": functools.partial(lambda more, logs: told.append(1), 0),
        }
    return {
        "plain": lambda epoch, logs: told.append(2),
        "any": lambda *given: told.append(len(given)),
        "defaults": lambda epoch=0, logs=None: told.append(2),
        "partial": functools.partial(lambda more, epoch, logs: told.append(2), 0),
        "a keyword": lambda epoch, logs, *, more=1: told.append(2),
    }


LAMBDAS = [hook for hook in HOOKS if hook != "on_train_error"]


@pytest.mark.parametrize("hook", LAMBDAS)
def test_functions_in_place_of_hooks_are_called_by_position_or_refused_where_they_are_given(hook):
    count = len(HOOKS[hook])
    for name, function in noted(told := [], count).items():
        told.clear()
        model, callback = build("sgd"), LambdaCallback(**{hook: function})
        fit(model, callback, epochs=1)
        model.predict(X, callbacks=callback)
        assert told and set(told) == {count}, name
    wrong = [lambda: None, lambda a, b, c: None, lambda *, epoch, logs: None, 1, "print", Object().none]
    wrong += [lambda logs: None] if count == 2 else [lambda epoch, logs: None]
    for function in wrong:
        with pytest.raises(ConfigError, match=rf"LambdaCallback\({hook}=\.\.\.\) is called with \(.*logs\)"):
            LambdaCallback(**{hook: function})


def test_every_hook_can_be_a_function():
    assert set(LAMBDAS) == {name for name in vars(Callback) if name.startswith("on_")} - {"on_train_error"}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_cannot_be_called_is_refused_before_training(hook):
    class Wrong(Callback):
        pass

    setattr(Wrong, hook, lambda self: None)
    model = build("sgd")
    with pytest.raises(ConfigError, match=rf"Wrong\.{hook} is called with"):
        fit(model, Wrong())
    assert model.history is None
