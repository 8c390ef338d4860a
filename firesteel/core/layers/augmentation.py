"""Pictures that are moved, turned, enlarged, sheared, bent and mirrored at random while training.

Each layer draws a map for each picture, from a place of the output to the place of the input that is seen there.
Maps of layers in a row are multiplied, so that a picture is interpolated once (`composed`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY
from typing import Any, ClassVar

import numpy as np

from firesteel.core.layer import Layer, Param
from firesteel.core.layers import windows
from firesteel.core.layers.recolouring import two_numbers, uniform, value_range, within
from firesteel.core.layers.regularization import _Drawn
from firesteel.core.layers.sampling import Sampling, pieces
from firesteel.core.layers.windows import channels_last, check_axes
from firesteel.core.spec import number, word
from firesteel.core.types import Array, Pull, Shape, Stream, Views

__all__ = [
    "RandomElasticTransform",
    "RandomFlip",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Unchanged",
    "Warp",
    "planned",
]


class Warping(_Drawn):
    """Base of layers that change where the pixels of a picture are."""

    bends: ClassVar[bool] = False
    """Whether pixels are moved one by one, too, as `bent` says."""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_axes(type(self).__name__, inputs[0])
        return inputs[0]

    @property
    def sampling(self) -> Sampling | None:
        """How pictures are read between and beyond their pixels; None where no place is there."""
        given: Any = self
        value = given.fill_value if given.fill_mode == "constant" else 0.0
        return Sampling(given.fill_mode, given.interpolation, value)

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        """Draw the map of each picture, (rows, 3, 3), which takes the place (x, y, 1) to that of the input."""
        raise NotImplementedError

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        return (x, lambda d_y, g, wants_x: d_y) if rng is None else warped(x, [self], [rng])


def warped(x: Array, layers: Sequence[Warping], streams: Sequence[Stream]) -> tuple[Array, Pull]:
    """Return pictures, (B, H, W, C), as layers in a row move them, and the pull-back."""
    n, height, width, _ = x.shape
    maps = np.broadcast_to(np.eye(3), (n, 3, 3))
    for layer, stream in zip(layers, streams, strict=True):
        maps = np.matmul(maps, layer.maps(stream, n, height, width))
    maps, how = maps.astype(x.dtype), next((one.sampling for one in layers if one.sampling), Sampling())
    down, right = np.arange(height, dtype=x.dtype)[:, None], np.arange(width, dtype=x.dtype)
    last: Any = layers[-1]
    moved = last.bent(streams[-1], n, height, width).astype(x.dtype) if last.bends else None

    def places(piece: slice) -> list[Array]:
        """Return where the pixels of a piece of the outputs lie in its inputs: rows and columns."""
        i, j = (down, right) if moved is None else (down + moved[piece, 0], right + moved[piece, 1])
        found = []
        for a, b, c in (maps[piece, at, :, None, None].swapaxes(0, 1) for at in (1, 0)):
            found.append((b * i + c) + a * j)
        return found

    y = np.empty_like(x, order="C")
    for piece in pieces(n, height * width):
        y[piece] = how.read(x[piece], *places(piece))
    inside = within(y, last.value_range) if last.bends else None

    def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
        if not wants_x:
            return None
        d, d_y = np.empty_like(y), d_y if inside is None else d_y * inside
        for piece in pieces(n, height * width):
            d[piece] = how.pull(d_y[piece], x[piece].shape, *places(piece))
        return d

    return y, pull


class Warp(Warping):
    """Layers in a row that move the pixels of pictures, as one: all their maps are drawn, and pictures read once."""

    layers: tuple[Warping, ...]

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None:
            return x, lambda d_y, g, wants_x: d_y
        return warped(x, self.layers, [rng.inside("warp", number) for number in range(len(self.layers))])


class Unchanged(Layer):
    """y = x: what stands for a layer whose work is done before it."""

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        return x, lambda d_y, g, wants_x: d_y


def composed(plan: list[Any]) -> None:
    """Put one `Warp` into the plan of a network for layers in a row that move pixels alike.

    The first of them does the work of all, and the others pass it on: values and parts stay what they were.  A
    `RandomElasticTransform` is the last of a row, for what is behind it would have to be read between its places.
    """
    readers = [read for part in plan for read in part.reads]
    at = 0
    while at < len(plan):
        row = [plan[at].layer] if isinstance(plan[at].layer, Warping) else []
        end = at + 1
        while row and end < len(plan) and isinstance(plan[end].layer, Warping) and not row[-1].bends:
            reads, made = plan[end].reads, plan[end - 1].makes[0]
            ways = {one.sampling for one in (*row, plan[end].layer)} - {None}
            if reads != (made,) or readers.count(made) > 1 or len(ways) > 1:
                break
            row.append(plan[end].layer)
            plan[end] = plan[end]._replace(layer=Unchanged())
            end += 1
        if len(row) > 1:
            plan[at] = plan[at]._replace(layer=Warp(tuple(row)))
        at = end


def planned(plan: list[Any], shapes: Sequence[Shape], params: Sequence[Mapping[str, Param]]) -> tuple[int, int]:
    """Compose the plan of a network that has values of several axes; the rest as `windows.planned`."""
    composed(plan)
    return windows.planned(plan, shapes, params)


def turned(rows: int, *entries: Array | float) -> Array:
    """Return maps, (rows, 3, 3), of the six entries of their upper lines."""
    found = np.zeros((rows, 3, 3))
    for at, entry in enumerate(entries):
        found[:, at // 3, at % 3] = entry
    found[:, 2, 2] = 1.0
    return found


FILLS: Any = "reflect", "wrap", "constant", "nearest"
KINDS: Any = "bilinear", "nearest"


def symmetric(why: str, **rest: Any) -> Any:
    """Declare a factor: two numbers, of which one is drawn for each picture, or one for both signs."""
    return two_numbers(low=-1.0, high=1.0, signs=(-1, 1), why=why, **rest)


def fill_value() -> Any:
    """Declare the field `fill_value`."""
    return number(0.0, why="it is the value beyond the edges for fill_mode='constant'")


class RandomTranslation(Warping):
    """Moves each picture by a random distance while training; in use y = x.

    In training y_ij = x at (i - h H, j - w W), with h and w from U(low, high) of their factors.    x, y: (B, H, W, C)

    Args:
        height_factor: (low, high), the shares of the height that pictures move down by, from -1 to 1; one number f
            is (-f, f).
        width_factor: The same to the right.
        fill_mode: What lies beyond the edges: "reflect": d c b a | a b c d | d c b a;  "wrap": a b c d | a b c d;
            "nearest": a a a a | a b c d | d d d d;  "constant": fill_value.
        interpolation: What lies between pixels: "bilinear", or "nearest".
        fill_value: The value beyond the edges for "constant".
        data_format: None or "channels_last"; there is no other.

    Raises:
        ConfigError: For factors that are none, and for `seed`: draws follow from `fit(seed=...)`.

    >>> RandomTranslation(0.1, 0.2).width_factor
    (-0.2, 0.2)
    """

    height_factor: Any = symmetric("it is the share of the height that pictures move by")
    width_factor: Any = symmetric("it is the share of the width that pictures move by")
    fill_mode: str = word(*FILLS)
    interpolation: str = word(*KINDS)
    _: KW_ONLY
    fill_value: float = fill_value()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        down, right = uniform(rng, rows, self.height_factor, self.width_factor)
        return turned(rows, 1, 0, -right * width, 0, 1, -down * height)


class RandomRotation(Warping):
    """Turns each picture around its centre by a random angle while training; in use y = x.

    Args:
        factor: (low, high), the shares of a turn, from -1 to 1, of which one is drawn; above 0 pictures turn
            counter-clockwise.  One number f is (-f, f).
        fill_mode, interpolation, fill_value, data_format: As in `RandomTranslation`.

    Raises:
        ConfigError: As `RandomTranslation` does.

    >>> RandomRotation(0.05).apply({}, np.ones((1, 2, 2, 1)))[0].ravel()
    array([1., 1., 1., 1.])
    """

    factor: Any = symmetric("it is the share of a turn")
    fill_mode: str = word(*FILLS)
    interpolation: str = word(*KINDS)
    _: KW_ONLY
    fill_value: float = fill_value()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        angles = (2 * math.pi * uniform(rng, rows, self.factor)[0]).tolist()
        cos, sin = (np.array([function(angle) for angle in angles]) for function in (math.cos, math.sin))
        x, y = (width - 1) / 2, (height - 1) / 2
        return turned(rows, cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos)


class RandomZoom(Warping):
    """Makes what is on each picture smaller or larger around its centre, by a random factor, while training.

    In use y = x.

    Args:
        height_factor: (low, high), above -1 and up to 1, of which one is drawn: with 0.2 a picture shows 1.2 times
            its height, so that things become smaller, and with -0.2 they become larger.  One number f is (-f, f).
        width_factor: The same of the width; None for the draw of the height.
        fill_mode, interpolation, fill_value, data_format: As in `RandomTranslation`.

    Raises:
        ConfigError: As `RandomTranslation` does.

    >>> RandomZoom((0.1, 0.2)).height_factor
    (0.1, 0.2)
    """

    height_factor: Any = symmetric("a picture shows its height times 1 and this", more=True)
    width_factor: Any = symmetric("a picture shows its width times 1 and this", more=True, default=None)
    fill_mode: str = word(*FILLS)
    interpolation: str = word(*KINDS)
    _: KW_ONLY
    fill_value: float = fill_value()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        down, right = 1 + uniform(rng, rows, self.height_factor, self.width_factor or self.height_factor)
        right = down if self.width_factor is None else right
        x, y = (width - 1) / 2, (height - 1) / 2
        return turned(rows, right, 0, x - x * right, 0, down, y - y * down)


class RandomShear(Warping):
    """Shears each picture from its upper left corner by random factors while training; in use y = x.

    In training y_ij = x at (i + s t j, j + s r i), with r and t from U(low, high) of the factors and s = 1 or -1.

    Args:
        x_factor: (low, high), from -1 to 1: how far a line is moved to the side for each line that is above it; one
            number f is (-f, f).
        y_factor: The same of columns, downwards.
        interpolation, fill_mode, fill_value, data_format: As in `RandomTranslation`.

    Raises:
        ConfigError: As `RandomTranslation` does.

    >>> RandomShear(0.2).x_factor, RandomShear(0.2).y_factor
    ((-0.2, 0.2), (0.0, 0.0))
    """

    x_factor: Any = symmetric("a line is moved by this share of the lines above it", default=(0.0, 0.0))
    y_factor: Any = symmetric("a column is moved by this share of the columns left of it", default=(0.0, 0.0))
    interpolation: str = word(*KINDS)
    fill_mode: str = word(*FILLS)
    fill_value: float = fill_value()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        across, down, side = uniform(rng, rows, self.x_factor, self.y_factor, (-1.0, 1.0))
        sign = np.where(side > 0, -1.0, 1.0)
        return turned(rows, 1, sign * across, 0, sign * down, 1, 0)


class RandomFlip(Warping):
    """Mirrors each picture with probability 1/2 while training; in use y = x.

    Args:
        mode: "horizontal": left and right change places;  "vertical": top and bottom do;
            "horizontal_and_vertical": both, together, as in Keras 3.
        data_format: None or "channels_last"; there is no other.

    Raises:
        ConfigError: For another mode, and for `seed`: draws follow from `fit(seed=...)`.

    >>> RandomFlip("horizontal").apply({}, np.ones((1, 1, 2, 1)))[0].ravel()
    array([1., 1.])
    """

    mode: str = word("horizontal_and_vertical", "horizontal", "vertical")
    data_format: str | None = channels_last()

    @property
    def sampling(self) -> Sampling | None:
        return None

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        sign = np.where(uniform(rng, rows, (0.0, 1.0))[0] <= 0.5, -1.0, 1.0)
        x = sign if self.mode != "vertical" else np.ones(rows)
        y = sign if self.mode != "horizontal" else np.ones(rows)
        return turned(rows, x, 0, (1 - x) / 2 * (width - 1), 0, y, (1 - y) / 2 * (height - 1))


class RandomElasticTransform(Warping):
    """Bends pictures at random, as if they were drawn on rubber, while training; in use y = x.

    In training y(q) = x(q + D(q)), clipped, where D = a G(n) at each pixel q: noise n from N(0, s^2) for both axes,
    smoothed by a Gaussian G of standard deviation s, with zeros around.  s = scale min(H, W) / 20 and
    a = scale max(H, W) / 10.

    Args:
        factor: (low, high), from 0 to 1, of which the probability is drawn that a picture is bent; one number f is
            (0, f), as in Keras, so that 1 bends half of them and (1, 1) all.
        scale: (low, high), from 0 to 1, of which the strength is drawn for each picture; one number f is (0, f).
            (Keras 3.15 draws it once for a batch.)
        interpolation, fill_mode, fill_value, data_format: As in `RandomTranslation`.
        value_range: The smallest and the largest value of a pixel, to which y is clipped.

    Raises:
        ConfigError: As `RandomTranslation` does.

    >>> RandomElasticTransform((1, 1), 0.5).scale
    (0.0, 0.5)

    Source: Simard, Steinkraus and Platt 2003, section 2.
    """

    bends = True

    factor: Any = two_numbers((0.0, 1.0), low=0.0, high=1.0, signs=(0, 1), why="it is the probability to be bent")
    scale: Any = two_numbers((0.0, 1.0), low=0.0, high=1.0, signs=(0, 1), why="it is the strength")
    interpolation: str = word(*KINDS)
    fill_mode: str = word(*FILLS)
    fill_value: float = fill_value()
    value_range: Any = value_range()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        return turned(rows, 1, 0, 0, 0, 1, 0)

    def bent(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        """Return how far below and to the right of itself each pixel is read, (rows, 2, H, W), float32."""
        chance, threshold, scale = uniform(rng, rows, self.factor, (0.0, 1.0), self.scale)
        deviation = scale * (0.05 * min(height, width))
        far = np.arange(max(height, width))
        weights = np.exp(-0.5 * (far / np.maximum(deviation, 1e-9)[:, None]) ** 2)
        weights[far > (6 * deviation[:, None]).astype(int) // 2] = 0  # in windows of 6 deviations, an odd number
        weights /= (2 * np.add.reduce(weights, axis=1) - weights[:, 0])[:, None]
        strength = np.where(threshold < chance, deviation * scale * (0.1 * max(height, width)), 0.0)
        noise = rng.inside("noise", 0).normal((rows, 2, height, width))
        down, right = (
            weights[:, None, np.abs(np.subtract.outer(far[:side], far[:side]))] for side in (height, width)
        )
        down = (down * strength[:, None, None, None]).astype(np.float32)
        found: Array = np.matmul(np.matmul(down, noise), right.astype(np.float32))
        return found
