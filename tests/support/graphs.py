"""Networks built from nodes, with special layers, for tests of the core."""

from typing import ClassVar

import numpy as np

from firesteel import register
from firesteel._model import Model
from firesteel.callbacks import Callback
from firesteel.core import layers
from firesteel.core.layer import Joint, Layer, Param
from firesteel.core.layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    Normalization,
    RandomContrast,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    ReLU,
    Rescaling,
    Reshape,
    SpatialDropout2D,
)
from firesteel.core.layers.wrapper import Wrapper
from firesteel.core.network import Network, Node
from firesteel.core.seeds import stream_for
from firesteel.core.spec import choice


@register
class Plus(Layer):
    """y = x_1 + x_2."""

    def apply(self, p, *x, rng=None):
        return x[0] + x[1], lambda d_y, g, wants_x: (d_y, d_y.copy())


@register
class Join(Layer):
    """y = [x_1, x_2, ...], along the last axis."""

    def output_shape(self, *inputs):
        return (sum(shape[-1] for shape in inputs),)

    def apply(self, p, *x, rng=None):
        ends = np.cumsum([part.shape[1] for part in x])[:-1]

        def pull(d_y, g, wants_x):
            return tuple(np.ascontiguousarray(part) for part in np.split(d_y, ends, axis=1))

        return np.concatenate(x, axis=1), pull


@register
class Halves(Layer):
    """The first and the second half of x: a layer with two outputs."""

    results: ClassVar[int] = 2

    def output_shape(self, *inputs):
        half = inputs[0][0] // 2
        return (half,), (inputs[0][0] - half,)

    def apply(self, p, x, rng=None):
        half = x.shape[1] // 2
        return (x[:, :half].copy(), x[:, half:].copy()), lambda d_y, g, wants_x: np.hstack(d_y)


@register
class Positive(Layer):
    """A mask, without derivative: whether each input is above 0."""

    def apply(self, p, x, rng=None):
        return x > 0, lambda d_y, g, wants_x: None


@register
class MaskedMean(Layer):
    """The mean of the values of x, (B, I), that a mask, (B, I), selects."""

    def output_shape(self, *inputs):
        return (1,)

    def apply(self, p, x, mask, rng=None):
        count = np.maximum(mask.sum(axis=1, keepdims=True), 1).astype(x.dtype)
        y = np.where(mask, x, x.dtype.type(0)).sum(axis=1, keepdims=True) / count
        return y, lambda d_y, g, wants_x: (mask * (d_y / count), None)


@register
class Residual(Wrapper):
    """y = x + f(x), with an inner layer f."""

    layer: Layer = choice(Dense(4, "tanh"), layers.get)

    @property
    def inner(self):
        return {"layer": self.layer}

    def apply(self, p, x, rng=None):
        y, pull = self.run("layer", p, x, rng=rng)
        return x + y, lambda d_y, g, wants_x: d_y.copy() + pull(d_y, g, True)


@register
class Centred(Layer):
    """y = x - mean + b, with the mean over the whole batch: a layer that needs sums over all pieces of a batch."""

    joint: ClassVar[bool] = True

    def params(self, *inputs):
        return {"b": Param(inputs[0]), "mean": Param(inputs[0], average=0.9)}

    def batch_sums(self, x):
        return np.append(x.sum(axis=0, dtype=np.float64), len(x))

    def apply(self, p, x, total=None, rng=None):
        if total is None:
            return x - p["mean"] + p["b"], None
        n, mean = total[-1], (total[:-1] / total[-1]).astype(x.dtype)

        def pull(d_y, g, wants_x, total):
            g["b"][:] = d_y.sum(axis=0)
            g["mean"][:] = mean * x.dtype.type(len(x) / n)  # the pieces' shares add up to the mean
            return d_y - (total / n).astype(x.dtype)

        return x - mean + p["b"], Joint(lambda d_y: d_y.sum(axis=0, dtype=np.float64), pull)


def _nodes(*given):
    return tuple(Node(layer, args, owner) for layer, args, owner in given)


def two_inputs(end):
    """Inputs of 3 and 5 numbers, each with its own layer, then concatenated."""
    nodes = _nodes((Dense(6, "tanh"), (0,), 0), (Dense(4, "relu"), (1,), 1), (Join(), (2, 3), 2), (end, (4,), 3))
    return nodes, ((3,), (5,))


def beside(end):
    """A skip connection."""
    nodes = _nodes(
        (Dense(8, "tanh"), (0,), 0),
        (Dense(8, "relu"), (1,), 1),
        (Plus(), (1, 2), 2),
        (Dropout(0.3), (3,), 3),
        (end, (4,), 4),
    )
    return nodes, ((8,),)


def shared(end):
    """One layer with one set of parameters, used three times."""
    nodes = _nodes(
        (Dense(8, "tanh", kernel_regularizer="l2"), (0,), 0),
        (Dense(8, "tanh", kernel_regularizer="l2"), (1,), 0),
        (Dense(8, "tanh", kernel_regularizer="l2"), (2,), 0),
        (end, (3,), 1),
    )
    return nodes, ((8,),)


def masked(end):
    """A mask computed from the inputs, as the second input of a layer."""
    nodes = _nodes(
        (Dense(8, "tanh"), (0,), 0),
        (Positive(), (0,), 1),
        (MaskedMean(), (1, 2), 2),
        (Join(), (1, 3), 3),
        (end, (4,), 4),
    )
    return nodes, ((8,),)


def halves(end):
    """A layer with two outputs, one of them followed by a layer; and one with an unused second output."""
    nodes = _nodes(
        (Dense(8, "tanh"), (0,), 0),
        (Halves(), (1,), 1),
        (Dense(4, "tanh"), (2,), 2),
        (Plus(), (4, 3), 3),
        (Halves(), (5,), 4),
        (end, (6,), 5),
    )
    return nodes, ((8,),)


def inside(end):
    """Layers that contain layers, one of them random."""
    nodes = _nodes(
        (Residual(Dense(8, "tanh", kernel_regularizer="l2")), (0,), 0),
        (Residual(Dropout(0.4)), (1,), 1),
        (end, (2,), 2),
    )
    return nodes, ((8,),)


def joint(end):
    """A layer that subtracts the mean over the batch."""
    return _nodes((Dense(8, "tanh"), (0,), 0), (Centred(), (1,), 1), (end, (2,), 2)), ((8,),)


def unread(end):
    """A layer without readers: its derivatives are 0."""
    return _nodes((Dense(5, "tanh"), (0,), 0), (Dense(8, "tanh"), (0,), 1), (end, (2,), 2)), ((8,),)


def looked_up(end):
    """A category and some numbers: an embedding, concatenated with the numbers."""
    nodes = _nodes((Embedding(3, 4), (0,), 0), (Join(), (2, 1), 1), (BatchNormalization(), (3,), 2), (end, (4,), 3))
    return nodes, ((1,), (7,))


def tables(end):
    """Two categories and some numbers: embeddings with sparse steps, one read twice, once after a scaling."""
    both = Embedding(9, 2, "normal", sparse_steps=True)
    nodes = _nodes(
        (Rescaling(1.0), (2,), 0),
        (Embedding(3, 4, embeddings_regularizer="l2", sparse_steps=True), (0,), 1),
        (both, (0,), 2),
        (both, (3,), 2),
        (Join(), (4, 5, 1, 6), 3),
        (Dense(8, "tanh"), (7,), 4),
        (end, (8,), 5),
    )
    return nodes, ((1,), (6,), (1,))


def pictures(end):
    """Small pictures: convolutions and related layers; batches are processed in pieces."""
    nodes = _nodes(
        (RandomRotation(0.1), (0,), 0),
        (RandomTranslation(0.2, 0.2), (1,), 1),
        (Conv2D(6, 2, padding="same", use_bias=False), (2,), 2),
        (BatchNormalization(0.9), (3,), 3),
        (ReLU(), (4,), 4),
        (SpatialDropout2D(0.2), (5,), 5),
        (MaxPooling2D((2, 1)), (6,), 6),
        (DepthwiseConv2D((1, 2), activation="tanh"), (7,), 7),
        (Reshape((-1,)), (8,), 8),
        (BatchNormalization(), (9,), 9),
        (end, (10,), 10),
    )
    return nodes, ((4, 2, 1),)


MADE = (two_inputs, beside, shared, masked, halves, inside, joint, unread, looked_up, tables, pictures)
GRAPHS = {graph.__name__: graph for graph in MADE}


def network(name, end=None, dtype="float32"):
    """Return one of the graphs, for rows of 8 numbers and 3 classes."""
    nodes, entries = GRAPHS[name](end or Dense(3, "softmax"))
    return Network(nodes, entries, dtype)


def model(name, dtype="float32", optimizer="adam"):
    """Return a model whose network is one of the graphs."""
    made = Model(network(name, dtype=dtype))
    made.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return made


# Networks of the functional API, with inputs of 3 and 5 numbers and 3 classes


def _entered():
    return Input((3,), name="a"), Input((5,), name="b")


def side_by_side():
    """Two inputs, each with its own layer; one is a normalization that adapts."""
    a, b = _entered()
    hidden = Concatenate()([Dense(6, "tanh")(Normalization()(a)), Dense(4, "relu")(b)])
    return Model([a, b], Dense(3, "softmax", name="kind")(Dropout(0.2)(hidden)))


def kind_and_size():
    """Two inputs and two outputs, for classification and regression."""
    a, b = _entered()
    hidden = Dense(8, "tanh")(Concatenate()([a, b]))
    return Model({"a": a, "b": b}, {"kind": Dense(3, "softmax")(hidden), "size": Dense(1)(hidden)})


def twice():
    """A layer, called on both inputs."""
    a, b = _entered()
    same = Dense(6, "tanh", kernel_regularizer="l2")
    hidden = same(Dense(4)(a)) + same(Dense(4)(b))
    return Model([a, b], Dense(3, "softmax", name="kind")(hidden))


def model_in_model():
    """A named model, called as a layer on each input."""
    a, b = _entered()
    x = Input((4,))
    base = Model(x, BatchNormalization()(x + Dense(4, "tanh")(x)), name="base")
    hidden = Concatenate()([base(Dense(4)(a)), base(Dense(4)(b))])
    return Model([a, b], Dense(3, "softmax", name="kind")(hidden))


def still():
    """Two outputs after layers, some of them frozen."""
    a, b = _entered()
    base = Dense(8, "tanh", name="base")
    base.trainable = False
    hidden = BatchNormalization(name="norm")(base(Concatenate()([a, b])))
    return Model([a, b], [Dense(3, "softmax", name="kind")(hidden), Dense(1, name="size")(hidden)])


def seen():
    """Both inputs as one small picture, for two convolutions and global pooling."""
    a, b = _entered()
    picture = Reshape((4, 2, 1))(Concatenate()([a, b]))
    picture = RandomContrast(0.3)(RandomFlip("vertical")(RandomZoom(0.2)(picture)))
    first = MaxPooling2D((2, 1))(ReLU()(BatchNormalization()(Conv2D(8, 2, padding="same")(picture))))
    second = SpatialDropout2D(0.2)(Conv2D(6, 2, padding="same", activation="relu")(first))
    return Model([a, b], Dense(3, "softmax", name="kind")(GlobalAveragePooling2D()(second + Conv2D(6, 1)(first))))


CALLED = {made.__name__: made for made in (side_by_side, kind_and_size, twice, model_in_model, still, seen)}
COLUMNS = {
    "features": {"a": "a", "b": [f"b{number}" for number in range(5)]},
    "label": {"kind": "kind", "size": "size"},
}
"""Of `frame`."""


def called(name):
    """Return one of the models, compiled."""
    made = CALLED[name]()
    if len(made.outputs) == 1:
        made.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    else:
        losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
        made.compile("adam", losses, {"kind": ["accuracy"]}, {"size": 0.5})
    return made


def parted(model, count=400):
    """Return the inputs and the targets of one of the models, as `fit` takes them."""
    x, y = rows(count)
    return {"a": x[:, :3], "b": x[:, 3:]}, {"kind": y, "size": x[:, 3]} if len(model.outputs) > 1 else y


def framed(spark, count=400):
    """Return the same rows as a DataFrame."""
    x, y = rows(count)
    made = [
        (a.tolist(), *b.tolist(), int(kind), float(b[0])) for a, b, kind in zip(x[:, :3], x[:, 3:], y, strict=True)
    ]
    parts = ", ".join(f"b{number} double" for number in range(5))
    return spark.createDataFrame(made, f"a array<double>, {parts}, kind int, size double")


def columns(model):
    """Return the arguments of `fit` for `framed`."""
    return COLUMNS if len(model.outputs) > 1 else COLUMNS | {"label": "kind"}


def stream():
    """Return a stream of random numbers."""
    return stream_for(0, "check")


class Stop(Callback):
    """End a fit with an error after its second epoch, or do nothing."""

    def __init__(self, ends=True):
        super().__init__()
        self.ends = ends

    def on_epoch_end(self, epoch, logs=None):
        if self.ends and epoch == 1:
            raise ZeroDivisionError


def rows(count=400, seed=0):
    """Return x (n, 8), whose first and last columns are categories, and classes (n,)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 8))
    x[:, 0], x[:, 7] = rng.integers(0, 3, count), rng.integers(0, 5, count)
    return x, np.argmax(x[:, 1:4] + x[:, [0]], axis=1)
