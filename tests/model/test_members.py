"""Members of an average: each a fit of its own without a part of the rows, together one network."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from firesteel._model import Model
from firesteel.core.network import Network, Node
from firesteel.errors import ConfigError
from firesteel.layers import Average, Dense, Dropout, Input, Normalization, Rescaling
from firesteel.losses import Standardized
from firesteel.models import Sequential, load_model
from firesteel.optimizers import Adam
from firesteel.search.members import averaged, fit_members, members_of
from firesteel.tables.arrays import Arrays
from firesteel.train.recipe import Recipe
from firesteel.train.stopping import Stopping

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 5))
KINDS = {
    "softmax": ("sparse_categorical_crossentropy", 3, np.argmax(X[:, :3], axis=1).astype(float)),
    "sigmoid": ("binary_crossentropy", 1, (X[:, 0] > 0).astype(float)),
    "linear": ("mse", 1, X[:, 0] * 3 + 7),
}


def build(kind):
    loss, outputs, _ = KINDS[kind]
    ends = [Dense(outputs, kind)] + ([Normalization(invert=True)] if kind == "linear" else [])
    model = Sequential([Dense(16, "silu"), Dropout(0.1), *ends])
    model.compile("adam", loss, ["mae"] if kind == "linear" else ["accuracy"])
    return model


def fitted(kind, members=3, epochs=3):
    source = Arrays(X, KINDS[kind][2], None, "float32")
    recipe = Recipe(epochs=epochs, stopping=Stopping("val_loss", patience=9))
    return fit_members(lambda number: build(kind), source, recipe, members)[0], source, recipe


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_the_means_of_the_members(kind):
    model, _, _ = fitted(kind)
    members = members_of(model)
    mean = np.mean([one.predict(X) for one in members], axis=0)
    np.testing.assert_allclose(model.predict(X), mean, rtol=2e-6, atol=1e-7)
    assert len({one.fingerprint() for one in members}) == 3
    assert np.isfinite(model.evaluate(X, KINDS[kind][2], verbose=0)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_is_the_fit_that_it_would_be_alone(kind):
    from firesteel.train.fit import fit

    model, source, _ = fitted(kind)
    for number, member in enumerate(model.members):
        alone = build(kind)
        recipe = Recipe(epochs=3, stopping=Stopping("val_loss", patience=9), seed=number)
        fit(alone, source.folded(number, 3), recipe)
        assert alone.fingerprint() == member.fingerprint() and alone.members == [alone]
        assert alone.predict(X).tobytes() == member.predict(X).tobytes()


def test_members_that_are_made_of_one_list_of_layers_have_weights_of_their_own():
    layers, source = [Dense(4, "tanh"), Dense(1)], Arrays(X, KINDS["linear"][2], None, "float32")

    def build(number):
        model = Sequential(layers)
        model.compile("adam", "mse")
        return model

    model, _ = fit_members(build, source, Recipe(epochs=1), 2)
    theta = model.theta.copy()
    model(Input((5,)))  # from here on its layers have their weights in common with other models
    one, other = model.members
    assert model.theta.tobytes() == theta.tobytes() and not np.allclose(one.theta, other.theta)


def test_after_the_largest_seed_comes_the_smallest():
    _, source, recipe = fitted("linear", members=2, epochs=1)
    last, first = (
        fit_members(lambda number: build("linear"), source, replace(recipe, seed=seed), 2)[0].members
        for seed in (2**63 - 1, 0)
    )
    assert last[0].fingerprint() != first[0].fingerprint() and np.isfinite(last[1].predict(X)).all()


def test_every_row_is_held_out_by_one_member():
    source = Arrays(X, KINDS["linear"][2], None, "float32")
    held = [part.x[part.out] for part in (source.folded(n, 7) for n in range(7))]
    assert sorted(map(bytes, np.vstack(held))) == sorted(map(bytes, X))
    assert all(30 < len(one) < 90 for one in held)


@pytest.mark.parametrize("kind", KINDS)
def test_an_average_is_saved_and_loaded(kind, tmp_path):
    model, _, _ = fitted(kind, epochs=1)
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.fingerprint() == model.fingerprint()
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert [one.fingerprint() for one in members_of(again)] == [one.fingerprint() for one in members_of(model)]


def test_the_history_names_the_member_of_each_epoch():
    model, _, _ = fitted("softmax")
    assert [row["member"] for row in model.history.rows] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert {"val_loss", "val_accuracy"} <= model.history.rows[0].keys()


def test_a_member_that_diverges_is_left_out_and_all_of_them_are_an_error():
    from firesteel.errors import DivergenceError
    from firesteel.optimizers import SGD

    def some(bad):
        def made(number):
            model = build("linear")
            model.compile(SGD(1e30 if number in bad else 0.01), "mse")
            return model

        return made

    source, recipe = Arrays(X, KINDS["linear"][2], None, "float32"), Recipe(epochs=2)
    model, history = fit_members(some({1}), source, recipe, 3)
    assert len(model.members) == 2 and {row["member"] for row in history.rows} == {0, 2}
    assert list(history.left_out) == [1] and "infinite or NaN" in history.left_out[1]
    each = [weights for member in model.members for weights in member.get_weights()]
    assert [one.tobytes() for one in model.get_weights()] == [one.tobytes() for one in each]
    with pytest.raises(DivergenceError):
        fit_members(some({0, 1, 2}), source, recipe, 3)


def test_models_that_differ_are_not_averaged():
    one, other = build("softmax"), build("sigmoid")
    for model in (one, other):
        model.build((None, 5))
    with pytest.raises(ConfigError, match="same inputs and outputs"):
        averaged([one, other])


@pytest.mark.parametrize("ends", ["numbers", "scaled numbers", "bounded numbers"])
def test_targets_far_from_zero_are_averaged_from_the_centres_of_the_members(ends, tmp_path):
    from firesteel.train.fit import fit

    y = 1e9 + X[:, 0]
    last = {"numbers": [], "scaled numbers": [{}], "bounded numbers": [{"bounds": (y.min(), y.max())}]}[ends]

    def made(number=0):
        model = Sequential([Dense(8, "silu"), Dense(1), *(Normalization(invert=True, **how) for how in last)])
        model.compile("adam", Standardized("mse") if last else "mse", ["mae"])
        return model

    source, recipe = Arrays(X, y, None, "float32"), Recipe(epochs=30)
    model = fit_members(made, source, recipe, 3)[0]
    model.save(tmp_path / "m")
    again, members = load_model(tmp_path / "m"), members_of(model)
    assert len({one.network.centre.targets for one in members}) > 1
    for number, member in enumerate(members_of(again)):
        alone = made()
        fit(alone, source.folded(number, 3), Recipe(epochs=30, seed=number))
        assert alone.fingerprint() == member.fingerprint() == members[number].fingerprint()
        assert alone.predict(X).tobytes() == member.predict(X).tobytes()
    mean = np.mean([one.predict(X) for one in members], axis=0)
    np.testing.assert_allclose(again.predict(X), mean, rtol=0, atol=1e-5)
    assert np.corrcoef(again.predict(X)[:, 0] - 1e9, X[:, 0])[0, 1] > 0.9
    _, error = again.evaluate(X, y, verbose=0)
    assert abs(error - np.abs(again.predict(X)[:, 0] - y).mean()) < 1e-5


@pytest.mark.parametrize(
    "nodes",
    [
        [(Dense(2), 0), (Dense(2), 0), (Average(), 1, 2), (Dense(3), 3)],
        [(Dense(2), 0), (Dense(2), 1), (Average(), 1, 2)],
        [(Dense(2), 0), (Dense(2), 1), (Average(), 2, 2)],
        [(Dense(2), 0), (Dense(2), 0), (Average(), 2, 1)],
    ],
    ids=["a layer behind it", "one behind the other", "one twice", "another order"],
)
def test_a_network_with_an_average_in_it_is_no_average_of_members(nodes):
    made = tuple(Node(layer, tuple(args), number) for number, (layer, *args) in enumerate(nodes))
    model = Model(Network(made, ((5,),)))
    assert model.members == [model]


def test_an_average_is_of_as_many_centres_as_it_has_inputs():
    assert Average([1.0, 2.0, 3.0, 4.0]).output_shape((2,), (2,)) == (2,)
    with pytest.raises(ConfigError, match="3 centres, which do not fit 2 inputs"):
        Average([1.0, 2.0, 3.0]).output_shape((2,), (2,))


@pytest.mark.parametrize("first", [[], [Normalization()]], ids=["plain", "scaled"])
def test_features_far_from_zero_are_counted_from_one_centre_by_all_members(first, tmp_path):
    from firesteel.train.fit import fit

    def made(number=0):
        model = Sequential([*map(copy.copy, first), Dense(8, "silu"), Dense(1)])
        model.compile(Adam(0.01), "mse")
        return model

    source, recipe = Arrays(X + 1e9, X[:, 0], None, "float32"), Recipe(epochs=30)
    model = fit_members(made, source, recipe, 2)[0]
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    for number, member in enumerate(members_of(again)):
        alone = made()
        fit(alone, source.folded(number, 2), Recipe(epochs=30, seed=number))
        assert alone.network.centre == again.network.centre and alone.network.centre.features
        assert alone.fingerprint() == member.fingerprint()
        assert alone.predict(X + 1e9).tobytes() == member.predict(X + 1e9).tobytes()
    mean = np.mean([one.predict(X + 1e9) for one in again.members], axis=0)
    np.testing.assert_allclose(again.predict(X + 1e9), mean, rtol=0, atol=1e-5)
    assert np.corrcoef(mean[:, 0], X[:, 0])[0, 1] > 0.9


def test_a_first_layer_that_cannot_count_from_a_centre_is_refused():
    def made(number):
        model = Sequential([Rescaling(0.5, offset=-5e8), Dense(1)])
        model.compile("adam", "mse")
        return model

    with pytest.raises(ConfigError, match="features this far from zero"):
        fit_members(made, Arrays(X + 1e9, X[:, 0], None, "float32"), Recipe(epochs=1), 2)
