"""The flat vector and its views, building a network, the build check, and predictions."""

import json
from dataclasses import replace

import numpy as np
import pytest

from firesteel.core import losses
from firesteel.core.layers import LAYERS, Activation, Dense, Dropout, Rescaling
from firesteel.core.layout import Layout, read_only
from firesteel.core.network import Network, Objective, alone
from firesteel.core.seeds import rng_for, stream_for
from firesteel.errors import ConfigError
from tests.support.parts import looks_up, suiting, woven

LAYOUT = Layout(((("w", (2, 3)), ("b", (3,))), (), (("w", (3, 1)),)))


def network(*layers, inputs=3, dtype="float64"):
    return Network.chain(tuple(layers), inputs, dtype)


def masks(seed=0):
    return lambda op: stream_for(seed, "op", op)


def test_views_share_the_memory_of_the_vector_and_cover_it_once():
    vector = np.zeros(LAYOUT.size)
    views = LAYOUT.views(vector)
    for op in views:
        for view in op.values():
            assert np.shares_memory(view, vector)
            view += 1
    assert LAYOUT.size == 12 and vector.tolist() == [1] * 12
    vector[6:9] = [7, 8, 9]
    assert views[0]["b"].tolist() == [7, 8, 9] and views[1] == {}


def test_slices_lie_one_after_another_in_order():
    slices = list(LAYOUT.slices)
    assert [(number, name, shape) for number, name, shape, _ in slices] == [
        (0, "w", (2, 3)),
        (0, "b", (3,)),
        (2, "w", (3, 1)),
    ]
    assert [(where.start, where.stop) for *_, where in slices] == [(0, 6), (6, 9), (9, 12)]


def test_a_read_only_view_cannot_be_written_through_and_follows_the_vector():
    vector = np.zeros(12)
    view = read_only(vector)
    for array in (view, LAYOUT.views(view)[0]["w"]):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
    vector[0] = 5
    assert view[0] == 5 and vector.flags.writeable


def test_a_network_knows_its_shapes_and_its_layout():
    net = network(Rescaling(0.5), Dense(4, "relu"), Dropout(0.5), Dense(2, "softmax", use_bias=False), inputs=3)
    assert net.shapes == ((3,), (3,), (4,), (4,), (4,), (2,), (2,)) and net.outputs == 2
    assert net.layout.size == 3 * 4 + 4 + 4 * 2
    assert [type(part).__name__ for part in net.parts] == "Rescaling Linear Relu Dropout Linear Softmax".split()


def test_each_array_is_drawn_from_its_own_stream_so_later_layers_change_no_earlier_draw():
    short, long = network(Dense(4)), network(Dense(4), Dense(5), Dense(2))
    np.testing.assert_array_equal(long.init(3)[: short.layout.size], short.init(3))
    assert (long.init(3) != long.init(4)).sum() == 12 + 20 + 10  # every weight; biases start at 0
    expected = rng_for(3, "init", 0, "w").uniform(-np.sqrt(6 / 7), np.sqrt(6 / 7), (3, 4))
    np.testing.assert_allclose(short.init(3)[:12].reshape(3, 4), expected, rtol=1e-15)


def test_float32_weights_are_the_float64_ones_rounded():
    layers = (Dense(50, kernel_initializer="he_normal"), Dense(5))
    wide, narrow = network(*layers).init(0), network(*layers, dtype="float32").init(0)
    assert narrow.dtype == np.float32
    np.testing.assert_array_equal(wide.astype(np.float32), narrow)


# The second gate


def test_shapes_that_do_not_compose_are_refused():
    with pytest.raises(ConfigError, match=r"layer 1, Dense.*takes 5 inputs, but receives 4 values") as caught:
        network(Dense(4), Dense(2, input_dim=5))
    assert caught.value.code == "config-shape"
    network(Dense(4), Dense(2, input_dim=4))


def test_the_first_layer_must_take_the_inputs_of_the_network():
    with pytest.raises(ConfigError, match="takes 7 inputs, but receives 3 values"):
        network(Dense(4, input_dim=7), inputs=3)


def test_a_network_without_layers_is_refused():
    with pytest.raises(ConfigError, match="at least one layer"):
        network()


def test_an_unknown_dtype_is_refused():
    for dtype in ("float16", "f4", "int32", "", "float 64"):
        with pytest.raises(ConfigError, match="dtype") as caught:
            network(Dense(1), dtype=dtype)
        assert caught.value.code == "config-dtype"


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "sigmoid", "softmax"])
def test_a_loss_with_a_link_refuses_every_other_last_activation(name, activation):
    loss = losses.get(name)
    for layers in ((Dense(3, activation),), (Dense(3), Activation(activation))):
        if loss.link is None or loss.natural == activation:
            Objective(network(*layers), loss)
            continue
        with pytest.raises(ConfigError) as caught:
            Objective(network(*layers), loss)
        assert caught.value.code == "config-loss"
        assert type(loss).__name__ in str(caught.value) and repr(loss.natural) in str(caught.value)


def test_a_dropout_after_the_link_is_refused():
    with pytest.raises(ConfigError, match="ends in Dropout"):
        Objective(network(Dense(3, "softmax"), Dropout(0.5)), losses.get("categorical_crossentropy"))


def test_a_network_of_no_parts_at_all_ends_in_nothing():
    with pytest.raises(ConfigError, match="ends in nothing"):
        Objective(network(Activation("linear")), losses.get("binary_crossentropy"))


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("logits", [False, True])
def test_classes_need_two_outputs(name, logits):
    loss, last = replace(losses.get(name), from_logits=logits), None if logits else "softmax"
    with pytest.raises(ConfigError, match="needs at least 2 outputs.*this network has 1.*binary_crossentropy"):
        Objective(network(Dense(1, last)), loss)
    Objective(network(Dense(2, last)), loss)


# In use


def in_training(net, p, x, random):
    """Return the outputs while training, when layers that draw random numbers do."""
    return alone(net.forward(p, x, random, net.plan))[0][net.read_by()]


def test_dropout_is_off_in_use_and_on_in_training():
    x = np.random.default_rng(0).normal(size=(50, 3))
    plain, dropped = network(Dense(40), Dense(2)), network(Dense(40), Dropout(0.5), Dense(2))
    theta = plain.init(0)
    use = [net.output(net.layout.views(theta), x) for net in (plain, dropped)]
    np.testing.assert_array_equal(*use)
    training = in_training(dropped, dropped.layout.views(theta), x, masks())
    assert (training != use[0]).all()


def test_a_mask_drops_the_share_that_it_says_and_scales_up_the_rest():
    net = network(Dropout(0.3), inputs=200)
    y = in_training(net, [{}], np.ones((500, 200)), masks())
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.005)
    assert set(np.unique(y)) == {0.0, 1 / 0.7}
    np.testing.assert_array_equal(y, in_training(net, [{}], np.ones((500, 200)), masks()))
    assert (y != in_training(net, [{}], np.ones((500, 200)), masks(1))).any()


def test_two_dropouts_of_a_network_draw_different_masks():
    net = network(Dropout(0.5), Dropout(0.5), inputs=1000)
    y = in_training(net, [{}, {}], np.ones((1, 1000)), masks())
    assert (y == 0).mean() == pytest.approx(0.75, abs=0.05)


def test_a_mask_is_the_same_in_both_dtypes():
    one, other = (
        in_training(network(Dropout(0.3), inputs=100, dtype=dtype), [{}], np.ones((9, 100), dtype), masks())
        for dtype in ("float32", "float64")
    )
    np.testing.assert_array_equal(one == 0, other == 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=repr)
def test_every_layer_keeps_dtype_and_composes_on_one_row(layer, dtype):
    before = [] if looks_up(layer) or layer.inputs else [Dense(4, "tanh")]
    net = woven((*before, layer, Dense(2)), 3 if layer.inputs is None else layer.inputs, dtype)
    views = net.layout.views(net.init(0))
    for rows in (1, 5):
        x = suiting(layer, np.zeros((rows, net.inputs), dtype))
        y = in_training(net, views, x, masks())
        assert y.shape == (rows, 2) and y.dtype == dtype


def test_inputs_are_never_written_to():
    net = network(Rescaling(2.0, 1.0), Dense(4, "relu"), Dropout(0.5), Activation("sigmoid"), Dense(2, "softmax"))
    objective = Objective(net, losses.get("sparse_categorical_crossentropy"))
    theta = read_only(net.init(0))
    x, y, w = read_only(np.ones((5, 3))), read_only(np.ones((5, 1))), read_only(np.ones(5))
    g = np.zeros(net.layout.size)
    objective.learn(net.layout.views(theta), x, y, w, 0.5, masks(), net.layout.views(g))
    objective.score(net.layout.views(theta), x, y, w)
    assert g.any()


def test_learning_and_scoring_count_the_same_where_nothing_is_random():
    net = network(Dense(4, "relu"), Dense(3, "softmax"))
    objective = Objective(net, losses.get("sparse_categorical_crossentropy"))
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(20, 3)), rng.integers(0, 3, (20, 1)).astype(float), rng.uniform(size=20)
    views, g = net.layout.views(net.init(0)), np.zeros(net.layout.size)
    learned = objective.learn(views, x, y, w, 1.0, None, net.layout.views(g))
    np.testing.assert_array_equal(learned, objective.score(views, x, y, w))


def test_a_gradient_is_multiplied_by_the_scale():
    net = network(Dense(4, "tanh"), Dense(2))
    objective, views = Objective(net, losses.get("mse")), net.layout.views(net.init(0))
    one, half = np.zeros((2, net.layout.size))
    for g, scale in ((one, 1.0), (half, 0.5)):
        objective.learn(views, np.ones((4, 3)), np.ones((4, 2)), np.ones(4), scale, None, net.layout.views(g))
    np.testing.assert_allclose(one, 2 * half, rtol=1e-15)


# Description


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_survives_json(dtype):
    net = woven((*LAYERS.values(), Dense(3, "softmax", kernel_initializer="normal")), 5, dtype)
    again = Network.from_config(json.loads(json.dumps(net.to_config())))
    assert again == net and again.layout == net.layout


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"layers": [], "inputs": 3, "dtype": "float32"},
        {"layers": [{"type": "Dense", "units": 1}], "inputs": 0, "dtype": "float32"},
        {"layers": [{"type": "Dense", "units": 1}], "inputs": True, "dtype": "float32"},
        {"layers": [{"type": "Dense", "units": 1}], "inputs": 1.5, "dtype": "float32"},
        {"layers": [{"type": "Dense", "units": 1}], "inputs": 3},
        {"layers": {"type": "Dense", "units": 1}, "inputs": 3, "dtype": "float32"},
        {"layers": [{"type": "os.system", "units": 1}], "inputs": 3, "dtype": "float32"},
        {"layers": [None], "inputs": 3, "dtype": "float32"},
        {"layers": [{"type": "Dense", "units": 1, "input_dim": 4}], "inputs": 3, "dtype": "float32"},
    ],
    ids=repr,
)
def test_what_does_not_describe_a_network_is_refused(config):
    with pytest.raises(ConfigError):
        Network.from_config(config)


def test_a_fingerprint_is_that_of_architecture_weights_and_dtype_alone():
    net = network(Dense(2))
    theta = net.init(0)
    first = net.fingerprint(theta)
    assert len(first) == 64 and int(first, 16) >= 0
    assert network(Dense(2)).fingerprint(theta.copy()) == first
    assert network(Dense(2)).fingerprint(theta.astype(">f8")) == first
    moved = theta.copy()
    moved[0] = np.nextafter(moved[0], 1)
    others = [
        net.fingerprint(moved),
        network(Dense(2, "tanh")).fingerprint(theta),
        replace(net, dtype="float32").fingerprint(theta),
        replace(net, dtype="float32").fingerprint(theta.astype("f4")),
    ]
    assert len({first, *others}) == 5
