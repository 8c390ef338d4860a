"""Models of the functional API: gradients, bits, files, names, rows in every form, callbacks and reports."""

import copy
import json
import pickle
import threading

import numpy as np
import pytest
from scipy import sparse

from firesteel.callbacks import Callback, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from firesteel.errors import ConfigError
from firesteel.fast import compiling
from firesteel.layers import Dense, Flatten, Input
from firesteel.models import Model, Sequential, load_model
from firesteel.optimizers import Adam
from firesteel.report import RunFolder
from firesteel.report.evidence import SampledRows, examine
from firesteel.testing import check_gradient, check_same_bits
from tests.support.functional import CASES, CLASS, ROWS, SUM, A, B, built, fitted, part, same
from tests.support.graphs import Stop

FIRST, LAST = slice(0, 160), slice(160, None)
every = pytest.mark.parametrize("name", CASES)


def rows(model, case, count=8):
    """Return features and targets as the network takes them."""
    x, y = model._flat(part(case.x, slice(count))), model._targets(part(case.y, slice(count)))
    return x, np.asarray(y).reshape(count, -1)


def text(model):
    """Return what `summary` prints."""
    lines = []
    model.summary(print_fn=lines.append)
    return lines


def state(model):
    """Return all that decides how training goes on."""
    kept = model.state
    return kept.counts, *(array.tobytes() for array in (model.theta, kept.theta, kept.slots, kept.outer))


# Gradients and bits


@every
def test_the_gradient_is_the_finite_difference(name):
    model, case = built(name, "float64"), CASES[name]
    assert check_gradient(model._objective(), *rows(model, case)) < 1e-6
    assert model.state.theta.any()
    assert check_gradient(model.trains(model._objective()), *rows(model, case)) < 1e-6


@every
def test_it_learns(name):
    model, case = built(name, optimizer=Adam(0.01)), CASES[name]
    fitted(name, model, epochs=1)
    before = model.evaluate(case.x, case.y, verbose=0, return_dict=True)["loss"]
    fitted(name, model, epochs=25)
    assert model.evaluate(case.x, case.y, verbose=0, return_dict=True)["loss"] < 0.9 * before


@pytest.mark.parametrize("shards", [1, 3])
@every
def test_the_bits_are_the_same_in_a_thread_and_without_compiled_code(name, shards, monkeypatch):
    def run():
        return fitted(name, shards=shards).fingerprint()

    def in_a_thread():
        found = []
        thread = threading.Thread(target=lambda: found.append(run()))
        thread.start()
        thread.join()
        return found[0]

    def plain():
        monkeypatch.setattr(compiling, "ON", False)
        return run()

    check_same_bits([run, run, in_a_thread, plain])


WAYS = [(name, "average") for name in CASES] + [(name, "gradient") for name in CASES if not CASES[name].joint]


@pytest.mark.parametrize("name, strategy", WAYS)
def test_what_was_interrupted_goes_on_to_the_bit(tmp_path, name, strategy):
    def halves():
        settings = {"checkpoint": tmp_path / "kept", "strategy": strategy, "epochs": 4}
        with pytest.raises(ZeroDivisionError):
            fitted(name, callbacks=[Stop()], **settings)
        return fitted(name, callbacks=[Stop(False)], **settings).fingerprint()

    check_same_bits([lambda: fitted(name, strategy=strategy, epochs=4).fingerprint(), halves])


@every
def test_float64_is_the_same_network(name):
    wide, narrow = fitted(name, built(name, "float64")), fitted(name)
    assert wide.theta.dtype == np.float64 and wide.count_params() == narrow.count_params()
    np.testing.assert_allclose(wide.theta, narrow.theta, rtol=0, atol=2e-3)


# Files and copies


def stored(model, tmp_path):
    model.save(tmp_path / "model")
    return load_model(tmp_path / "model")


COPIES = {
    "saved": stored,
    "pickled": lambda model, _: pickle.loads(pickle.dumps(model)),
    "deep-copied": lambda model, _: copy.deepcopy(model),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("optimizer", ["adam", {"type": "SGD", "momentum": 0.9, "use_ema": True}], ids=str)
@every
def test_a_copy_is_the_model(tmp_path, name, optimizer, way):
    case = CASES[name]
    model = fitted(name, built(name, optimizer=optimizer))
    before = model.fingerprint()
    again = COPIES[way](model, tmp_path)
    assert again.fingerprint() == before and text(again) == text(model)
    assert again.metrics_names == model.metrics_names
    assert again.get_compile_config() == model.get_compile_config()
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert [layer.trainable for layer in again.layers] == [layer.trainable for layer in model.layers]
    assert (again.name, again.input_shape, again.output_shape) == (model.name, model.input_shape, model.output_shape)
    assert same(again.predict(case.x), model.predict(case.x))
    assert again.evaluate(case.x, case.y, verbose=0) == model.evaluate(case.x, case.y, verbose=0)
    fitted(name, again, seed=6)
    assert model.fingerprint() == before, "training a copy moved the model"
    fitted(name, model, seed=6)
    assert state(again) == state(model)


@every
def test_a_model_that_was_not_fitted_is_kept_too(tmp_path, name):
    model = built(name)
    for way in COPIES.values():
        again = way(model, tmp_path)
        assert again.fingerprint() == model.fingerprint()
        assert text(again) == text(model)


@every
def test_layers_of_a_loaded_model_have_its_weights(tmp_path, name):
    model = fitted(name)
    again = stored(model, tmp_path)
    for layer, other in zip(model.layers, again.layers, strict=True):
        assert all(map(np.array_equal, layer.get_weights(), again.get_layer(other.name).get_weights()))


# Names and rows


def test_the_history_has_each_output_by_its_name():
    history = fitted("two outputs", validation_split=0.2).history.history
    names = ["loss", "cls_loss", "cls_accuracy", "reg_loss", "reg_mae"]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    total = np.add(history["cls_loss"], history["reg_loss"])
    np.testing.assert_allclose(history["loss"], total, rtol=1e-6)
    np.testing.assert_allclose(history["val_loss"], np.add(history["val_cls_loss"], history["val_reg_loss"]))


def test_losses_are_weighted():
    model = CASES["two outputs"].make("float64")
    model.compile("sgd", CASES["two outputs"].loss, loss_weights={"reg": 0.25})
    found = model.evaluate([A, B], CASES["two outputs"].y, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(found["cls_loss"] + 0.25 * found["reg_loss"])


def test_each_output_measures_as_a_model_of_it_alone():
    model = fitted("two outputs")
    a, b = model.inputs
    for name, output, loss, y in zip(
        ("cls", "reg"), model.outputs, ("sparse_categorical_crossentropy", "mse"), (CLASS, SUM), strict=True
    ):
        alone = Model([a, b], output)
        alone.compile("sgd", loss)
        np.testing.assert_allclose(alone.predict([A, B]), model.predict([A, B])[name], rtol=1e-6, atol=1e-7)
        found = model.evaluate([A, B], {"cls": CLASS, "reg": SUM}, verbose=0, return_dict=True)
        assert alone.evaluate([A, B], y, verbose=0)[0] == pytest.approx(found[f"{name}_loss"], rel=1e-6)


FORMS = {
    "lists": ([A, B], [CLASS, SUM]),
    "tuples": ((A, B), (CLASS, SUM)),
    "dictionaries": ({"b": B, "a": A}, {"reg": SUM, "cls": CLASS}),
    "columns": ([A.tolist(), B], [CLASS[:, None], SUM[:, None]]),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_every_form_give_the_same_bits(form):
    def run(x, y, held):
        model = built("two outputs")
        more = {"validation_data": (part(x, LAST), part(y, LAST))} if held == "data" else {"validation_split": 1 / 3}
        x, y = (part(x, FIRST), part(y, FIRST)) if held == "data" else (x, y)
        history = model.fit(x, y, epochs=2, batch_size=20, verbose=0, **more)
        return json.dumps([model.fingerprint(), history.history])

    x, y = FORMS[form]
    x, y = (tuple(map(np.asarray, x)) if isinstance(x, tuple | list) else x), y
    x, y = (list(x) if isinstance(x, tuple) else x), (list(y) if isinstance(y, tuple) else y)
    check_same_bits([lambda: run([A, B], {"cls": CLASS, "reg": SUM}, "data"), lambda: run(x, y, "data")])
    check_same_bits([lambda: run(x, y, "data"), lambda: run(x, y, "split")])
    model = fitted("two outputs")
    assert same(model.predict(FORMS[form][0]), model.predict([A, B]))
    assert model.evaluate(*FORMS[form], verbose=0) == model.evaluate([A, B], [CLASS, SUM], verbose=0)


def test_rows_that_weigh_nothing_count_for_nothing():
    weights = (np.arange(ROWS) < 160).astype(float)
    model = built("two outputs")
    few = model.evaluate(part([A, B], FIRST), part([CLASS, SUM], FIRST), verbose=0)
    np.testing.assert_allclose(model.evaluate([A, B], [CLASS, SUM], sample_weight=weights, verbose=0), few, rtol=1e-6)


def test_classes_weigh_where_one_output_has_them_and_are_refused_where_several_outputs_are():
    weigh = {0: 2.0, 2: 0.5}
    by_row = np.array([2.0, 1.0, 0.5])[CLASS]
    plain = fitted("two inputs", sample_weight=by_row).theta
    assert np.array_equal(fitted("two inputs", class_weight=weigh).theta, plain)
    for given in (weigh, "balanced", {"cls": weigh}):
        with pytest.raises(ConfigError, match="sample_weight"):
            fitted("two outputs", class_weight=given)


# Callbacks, runs, advice


def test_callbacks_watch_an_output(tmp_path):
    class Seen(Callback):
        def on_epoch_end(self, epoch, logs=None):
            found.append((self.model.fingerprint(), logs["val_cls_loss"]))

    found = []
    stopping = EarlyStopping("val_cls_loss", patience=2, min_delta=0.05, restore_best_weights=True)
    saving = ModelCheckpoint(tmp_path / "best", "val_cls_loss", save_best_only=True)
    model = fitted("two outputs", epochs=60, validation_split=0.3, callbacks=[Seen(), stopping, saving])
    assert len(found) < 60
    best = min(found, key=lambda one: one[1])[0]
    assert load_model(tmp_path / "best").fingerprint() == best
    assert model.fingerprint() in [print_ for print_, _ in found]
    lowering = ReduceLROnPlateau("reg_mae", patience=1, min_delta=10.0)
    assert fitted("two outputs", epochs=6, callbacks=[lowering]).learning_rate < 0.001


def test_a_callback_that_watches_what_nobody_measures_is_refused():
    with pytest.raises(ConfigError, match="cls_accuracy"):
        fitted("two outputs", callbacks=[EarlyStopping("val_accuracy")], validation_split=0.2)


@every
def test_advice_is_given(name):
    case = CASES[name]
    assert isinstance(built(name).advise(case.x, case.y), list)
    assert isinstance(fitted(name).advise(case.x, case.y), list)


@every
def test_importances_are_measured(name):
    model, case = fitted(name), CASES[name]
    found = model.importances(case.x, case.y)
    assert len(found.rows) == model.network.inputs and all(np.isfinite(row["importance"]) for row in found.rows)


@every
def test_it_is_its_only_member(name):
    model = fitted(name)
    assert model.members == [model]


@every
def test_a_notebook_shows_it(name):
    assert "<table" in built(name)._repr_html_()


# Values


def test_a_model_is_called_on_arrays_as_it_predicts():
    model = fitted("two outputs")
    assert same(model([A, B]), model.predict([A, B])) and same(model({"a": A, "b": B}), model.predict([A, B]))


def test_arithmetic_of_values():
    x = Input((6,))
    y = 2 * (x + 1.0) - x / 2 - (1 - x) * x + (-x)
    model = Model(x, y)
    np.testing.assert_allclose(model.predict(A), 2 * (A + 1) - A / 2 - (1 - A) * A - A, rtol=1e-5, atol=1e-5)


@every
def test_a_run_folder_is_written(tmp_path, name):
    case = CASES[name]
    run = RunFolder(tmp_path / "run", test=(case.x, case.y))
    model = fitted(name, callbacks=[run], validation_split=0.2)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    scores = model.evaluate(case.x, case.y, verbose=0, return_dict=True)
    found = metrics["scores"]["test"]
    assert {key: found[key] for key in scores} == pytest.approx(scores)
    assert set(metrics["scores"]["validation"]) == set(scores)
    assert load_model(tmp_path / "run" / "model.firesteel").fingerprint() == model.fingerprint()
    page = (tmp_path / "run" / "report.html").read_text()
    several = len(model.outputs) > 1
    assert ("evidence" in metrics) is not several and ("several outputs" in page) is several
    assert fitted(name, validation_split=0.2).fingerprint() == model.fingerprint()


def test_a_model_of_several_outputs_is_not_examined():
    model = fitted("two outputs")
    rows = SampledRows("test", np.hstack([A, B]), np.stack([CLASS, SUM], axis=1), np.ones(ROWS), ROWS)
    with pytest.raises(ConfigError, match="several outputs"):
        examine(model, rows, rows)


def test_a_model_that_is_called_by_names_takes_values_by_name():
    a, b = Input((6,), name="a"), Input((6,), name="b")
    model = Model([a, b], Dense(2)(a) - 2 * Dense(2)(b))
    c, d = Input((6,)), Input((6,))
    other = Model([c, d], model({"b": d, "a": c}))
    np.testing.assert_allclose(other.predict([A, -A]), model.predict({"a": A, "b": -A}), rtol=1e-5, atol=1e-6)


def test_a_chain_that_is_called_on_pictures_flattens_them():
    x, chain = Input((2, 3)), Sequential([Flatten(), Dense(3)])
    model = Model(x, chain(x))
    assert chain.input_shape == (None, 2, 3) and model.predict(A.reshape(-1, 2, 3)).shape == (ROWS, 3)


@pytest.mark.parametrize("name", ["skip", "shared", "frozen"])
def test_sparse_rows_are_what_dense_ones_are(name):
    rows = sparse.csr_matrix(A)
    model = built(name)
    model.fit(rows, SUM, epochs=2, batch_size=40, seed=5, verbose=0)
    np.testing.assert_allclose(model.predict(rows), model.predict(A), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.evaluate(rows, SUM, verbose=0), model.evaluate(A, SUM, verbose=0), rtol=1e-5)
