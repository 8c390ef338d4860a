"""The checks for users' own classes: all of firesteel's pass them, and each kind of mistake is named."""

import numpy as np
import pytest

from firesteel.core.layers import LAYERS, Embedding, Table
from firesteel.core.losses import LOSSES
from firesteel.core.metrics import METRICS, Ranking
from firesteel.errors import ConfigError
from firesteel.extending import Param
from firesteel.layers import Dense, Layer
from firesteel.losses import Loss, MeanSquaredError
from firesteel.metrics import AUC, Metric, RowMetric
from firesteel.testing import check_layer, check_loss, check_metric
from tests.core.test_gradients import LAYER_SAMPLES, LOSS_SAMPLES, SHAPED
from tests.support import own
from tests.support.parts import MERGES, shape_for, suiting

ALONE = [layer for samples in LAYER_SAMPLES.values() for layer in samples if not isinstance(layer, MERGES)]
CLASSES = "sparse_categorical_crossentropy"


@pytest.mark.parametrize("layer", ALONE, ids=repr)
def test_every_layer_of_firesteel_passes(layer):
    width = layer.inputs or 4
    given = None
    if isinstance(layer, Embedding | Table):
        given = [suiting(layer, np.random.default_rng(0).normal(size=(5, width)))]
        given = [given[0].astype(int)] if isinstance(layer, Embedding) else given
        if isinstance(layer, Table):
            return check_layer(layer, (width,), given=[given[0].astype(int)])
    return check_layer(layer, shape_for(layer, (width,)), given=given)


@pytest.mark.parametrize("layer, shapes", SHAPED, ids=repr)
def test_every_layer_of_other_shapes_passes(layer, shapes):
    if type(layer).__name__ in LAYERS:
        check_layer(layer, *shapes)


@pytest.mark.parametrize("name", LOSS_SAMPLES)
@pytest.mark.parametrize("outputs", [2, 4])
def test_every_loss_of_firesteel_passes(name, outputs):
    check_loss(LOSS_SAMPLES[name], outputs)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if not isinstance(metric, Ranking)])
def test_every_metric_of_firesteel_passes(name):
    check_metric(METRICS[name], loss=CLASSES)
    with pytest.raises(ConfigError, match="not a sum over rows"):
        check_metric(AUC())


def test_the_classes_of_these_tests_pass():
    check_layer(own.Scale(3.0), (4,))
    check_layer(own.Scale(start="ones"), (1,))
    check_loss(own.FourthPower(), 1)
    check_metric(own.Within(0.7))


# Mistakes


def layer(**methods):
    """A layer y = s x^2 with something else in it."""

    def params(self, *inputs):
        return {"s": Param(inputs[0])}

    def apply(self, p, x, rng=None):
        def pull(d_y, g, wants_x):
            np.sum(x * x * d_y, axis=0, out=g["s"])
            return 2 * x * p["s"] * d_y if wants_x else None

        return p["s"] * x * x, pull

    return type("Square", (Layer,), {"params": params, "apply": apply} | methods)


def applied(forward=None, by_s=None, by_x=None):
    """The method `apply` of that layer, with one part of it exchanged."""

    def apply(self, p, x, rng=None):
        def pull(d_y, g, wants_x):
            (by_s or (lambda: np.sum(x * x * d_y, axis=0, out=g["s"])))(*([x, d_y, g] if by_s else []))
            if by_x:
                return by_x(p, x, d_y, wants_x)
            return 2 * x * p["s"] * d_y if wants_x else None

        return (forward(p, x) if forward else p["s"] * x * x), pull

    return apply


def added(x, d_y, g):
    g["s"] += np.sum(x * x * d_y, axis=0)


def half(x, d_y, g):
    g["s"][:1] = 0


def forgot(x, d_y, g):
    np.sum(x * d_y, axis=0, out=g["s"])


def overwriting(p, x):
    x *= x
    return p["s"] * x


def scaling(p, x):
    p["s"] += 1
    return p["s"] * x * x


COUNTS = iter(range(10**6))


def counting(p, x):
    return p["s"] * x * x * x.dtype.type(1 + 1e-5 * next(COUNTS))


WRONG_LAYERS = {
    "fine": (layer(), None),
    "wrong by x": (
        layer(apply=applied(by_x=lambda p, x, d, w: x * p["s"] * d)),
        "the derivative with respect to the inputs is",
    ),
    "wrong by s": (layer(apply=applied(by_s=forgot)), "the derivative with respect to s is"),
    "adds": (layer(apply=applied(by_s=added)), r"must write all of g\['s'\], and never add"),
    "half": (layer(apply=applied(by_s=half)), r"must write all of g\['s'\]"),
    "dtype": (layer(apply=applied(lambda p, x: p["s"] * x * x * np.float64(1) * np.ones(1))), "give float64 outputs"),
    "dtype of derivatives": (
        layer(apply=applied(by_x=lambda p, x, d, w: 2 * x * p["s"] * d * np.ones(1))),
        "for float32 inputs the derivatives are float64",
    ),
    "writes x": (layer(apply=applied(overwriting)), "writes to its inputs or parameters"),
    "writes p": (layer(apply=applied(scaling)), "writes to its inputs or parameters"),
    "shape": (layer(output_shape=lambda self, *shapes: (5,)), r"output_shape is \(5,\), but apply returns \(4,\)"),
    "other rows": (
        layer(apply=applied(lambda p, x: p["s"] * x * x - x.mean(axis=0))),
        "a row's output depends on the batch",
    ),
    "bits": (
        layer(apply=applied(lambda p, x: p["s"] * x * x * x.dtype.type(1 + 1e-5 * next(COUNTS)))),
        "two calls give different bits",
    ),
    "other axes": (
        layer(apply=applied(lambda p, x: p["s"].reshape(3, 3) * x)),
        r"fails for inputs of shape \(\(4,\),\): cannot reshape",
    ),
    "not finite": (layer(apply=applied(lambda p, x: np.log(p["s"] * x * 0))), "outputs are not finite"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", WRONG_LAYERS)
def test_a_mistake_in_a_layer_is_named(name):
    kind, message = WRONG_LAYERS[name]
    if message is None:
        return check_layer(kind(), (4,))
    with pytest.raises(AssertionError, match=message):
        check_layer(kind(), (4,))
    return None


def test_fields_that_no_file_can_hold_are_named():
    array = type("Held", (Layer,), {"__annotations__": {"by": object}, "by": None, "apply": own.Scale.apply})
    with pytest.raises(AssertionError, match=r"Held cannot be saved to a file: .*ndarray"):
        check_layer(array(np.ones(3)), (3,))
    with pytest.raises(AssertionError, match="Held cannot be saved to a file: it comes back as"):
        check_layer(array((1.0, 2.0)), (3,))


def test_shapes_are_tuples():
    for shapes in ((), (3,), ([3],)):
        with pytest.raises(ConfigError, match="give the shape of each input"):
            check_layer(Dense(2), *shapes)


def loss(rows, **more):
    return type("Wrong", (Loss,), {"rows": rows} | more)()


def squares(change):
    """The squared error, with one part of it changed."""

    def rows(self, z, y):
        return change(*MeanSquaredError().rows(z, y))

    return rows


def spoiling(self, z, y):
    found = MeanSquaredError().rows(z, y)
    z[:] = 0
    return found


WRONG_LOSSES = {
    "derivative": (loss(squares(lambda of, z, d: (of, z, 2 * d))), "the derivative with respect to output 0 for z="),
    "two things": (loss(squares(lambda of, z, d: (of, d))), "rows must return losses, outputs and derivatives"),
    "shape": (
        loss(squares(lambda of, z, d: (of[:, None], z, d))),
        r"losses have shape \(7, 1\), but must have \(7,\)",
    ),
    "mean": (loss(squares(lambda of, z, d: (of * 0 + of.mean(), z, d))), "depends on the other rows"),
    "dtype": (loss(squares(lambda of, z, d: (of, z, d * np.ones(1)))), "derivatives are float64: keep z.dtype"),
    "writes": (loss(spoiling), "rows writes to z or y"),
    "not finite": (loss(squares(lambda of, z, d: (of / 0, z, d))), "losses are not finite"),
    "kind": (loss(MeanSquaredError.rows, targets="number"), "must be one of real, unit, class, count, sign"),
    "differences": (
        loss(lambda self, z, y: ((z**2).mean(axis=1), z, z * z.dtype.type(2 / 3)), differences=True),
        "differences=True, but adding 2",
    ),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", WRONG_LOSSES)
def test_a_mistake_in_a_loss_is_named(name):
    wrong, message = WRONG_LOSSES[name]
    with pytest.raises(AssertionError, match=message):
        check_loss(wrong)


def metric(**methods):
    given = {
        "size": lambda self, outputs: 1,
        "sums": lambda self, p, y, w: np.array([np.dot((p - y).sum(axis=1, dtype=np.float64), w)]),
        "result": lambda self, sums, weight: float(sums[0] / weight),
    }
    return type("Wrong", (Metric,), given | methods)()


def zeroing(self, p, y):
    p[:] = 0
    return p.sum(axis=1)


WRONG_METRICS = {
    "mean": (metric(sums=lambda self, p, y, w: np.array([(p - y).mean()], np.float64)), "do not add up"),
    "weights": (
        metric(sums=lambda self, p, y, w: np.array([(p - y).sum()], np.float64)),
        "a row of weight 2 does not count",
    ),
    "size": (metric(size=lambda self, outputs: 2), r"sums have shape \(1,\), but size\(\) says \(2,\)"),
    "dtype": (metric(sums=lambda self, p, y, w: np.array([1.0], np.float32)), "sums are float32"),
    "result": (metric(result=lambda self, sums, weight: sums), "result returns ndarray"),
    "writes": (type("Wrong", (RowMetric,), {"rows": zeroing})(), "sums writes to p, y or w"),
}


@pytest.mark.parametrize("name", WRONG_METRICS)
def test_a_mistake_in_a_metric_is_named(name):
    wrong, message = WRONG_METRICS[name]
    with pytest.raises(AssertionError, match=message):
        check_metric(wrong)


def test_every_loss_has_a_sample():
    assert set(LOSSES) <= set(LOSS_SAMPLES)
