"""Data augmentation of images in training: random translation, rotation, zoom, shear, flips and elastic distortion.

Each layer draws an affine map per image, from output positions to the input positions that appear there.  The maps of
consecutive layers are multiplied, so an image is interpolated only once (`fuse_warps`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY
from typing import Any, ClassVar

import numpy as np

from firesteel.core.layer import Layer, Param
from firesteel.core.layers import windows
from firesteel.core.layers.recolouring import clip_in_place, two_numbers, uniform, value_range
from firesteel.core.layers.regularization import _RandomLayer
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


class Warping(_RandomLayer):
    """Base class of layers that transform images geometrically, such as rotation and zoom."""

    displaces: ClassVar[bool] = False
    """Whether pixels are also displaced one by one, by `displacements`."""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_axes(type(self).__name__, inputs[0])
        return inputs[0]

    @property
    def sampling(self) -> Sampling | None:
        """Interpolation between pixels and fill mode beyond the edges; None if neither is needed."""
        given: Any = self
        value = given.fill_value if given.fill_mode == "constant" else 0.0
        return Sampling(given.fill_mode, given.interpolation, value)

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        """Draw a random affine map for each image, (rows, 3, 3), from output to input positions (x, y, 1)."""
        raise NotImplementedError

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        return (x, lambda d_y, g, wants_x: d_y) if rng is None else warp(x, [self], [rng])


def warp(x: Array, layers: Sequence[Warping], streams: Sequence[Stream]) -> tuple[Array, Pull]:
    """Transform images (B, H, W, C) by several geometric layers; return them and a backpropagation function.

    The maps of the layers are multiplied, so pixels are interpolated only once.
    """
    n, height, width, _ = x.shape
    maps = np.broadcast_to(np.eye(3), (n, 3, 3))
    for layer, stream in zip(layers, streams, strict=True):
        maps = np.matmul(maps, layer.maps(stream, n, height, width))
    maps, how = maps.astype(x.dtype), next((one.sampling for one in layers if one.sampling), Sampling())
    down, right = np.arange(height, dtype=x.dtype)[:, None], np.arange(width, dtype=x.dtype)
    last: Any = layers[-1]
    moved = last.displacements(streams[-1], n, height, width).astype(x.dtype) if last.displaces else None

    def sources(piece: slice) -> list[Array]:
        """Return the input row and the input column that each output pixel reads, for a slice of the images."""
        i, j = (down, right) if moved is None else (down + moved[piece, 0], right + moved[piece, 1])
        found = []
        for a, b, c in (maps[piece, at, :, None, None].swapaxes(0, 1) for at in (1, 0)):
            found.append((b * i + c) + a * j)
        return found

    y = np.empty_like(x, order="C")
    for piece in pieces(n, height * width):
        y[piece] = how.read(x[piece], *sources(piece))
    inside = clip_in_place(y, last.value_range) if last.displaces else None

    def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
        if not wants_x:
            return None
        d, d_y = np.empty_like(y), d_y if inside is None else d_y * inside
        for piece in pieces(n, height * width):
            d[piece] = how.pull(d_y[piece], x[piece].shape, *sources(piece))
        return d

    return y, pull


class Warp(Warping):
    """Several consecutive geometric augmentation layers, merged into one that interpolates only once."""

    layers: tuple[Warping, ...]

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None:
            return x, lambda d_y, g, wants_x: d_y
        return warp(x, self.layers, [rng.inside("warp", number) for number in range(len(self.layers))])


class Unchanged(Layer):
    """Identity layer, `y = x`, in place of an augmentation layer that was merged into a `Warp`."""

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        return x, lambda d_y, g, wants_x: d_y


def fuse_warps(plan: list[Any]) -> None:
    """Merge consecutive geometric augmentation layers of a network into one `Warp`, in place.

    The first layer does the work of all, and the others become the identity, so values and parts keep their numbers.
    A `RandomElasticTransform` ends such a sequence, because layers after it would read between its positions.
    """
    readers = [read for part in plan for read in part.reads]
    at = 0
    while at < len(plan):
        row = [plan[at].layer] if isinstance(plan[at].layer, Warping) else []
        end = at + 1
        while row and end < len(plan) and isinstance(plan[end].layer, Warping) and not row[-1].displaces:
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
    """Merge augmentation layers; return the number of images processed together and multiplications per image.

    See `windows.planned` for the arguments and the result.
    """
    fuse_warps(plan)
    return windows.planned(plan, shapes, params)


def affine_maps(rows: int, *entries: Array | float) -> Array:
    """Return matrices of affine maps, (rows, 3, 3), given the six entries of their first two lines."""
    found = np.zeros((rows, 3, 3))
    for at, entry in enumerate(entries):
        found[:, at // 3, at % 3] = entry
    found[:, 2, 2] = 1.0
    return found


FILLS: Any = "reflect", "wrap", "constant", "nearest"
KINDS: Any = "bilinear", "nearest"


def symmetric(why: str, **rest: Any) -> Any:
    """Declare a dataclass field for a range within [-1, 1], given as two numbers or as one number f for (-f, f)."""
    return two_numbers(low=-1.0, high=1.0, signs=(-1, 1), why=why, **rest)


def fill_value() -> Any:
    """Declare the dataclass field `fill_value`: the pixel value beyond the edges for fill_mode="constant"."""
    return number(0.0, why="fill_value is the pixel value beyond the edges for fill_mode='constant'")


class RandomTranslation(Warping):
    """Random translation of images in training.

    Training: `y_ij = x` at (i - h H, j - w W), with h and w drawn from U(low, high) of their factors for each image.
    Inference: `y = x`.  Input and output shape (B, H, W, C).

    Args:
        height_factor: (low, high), the shift down as a fraction of the height, from -1 to 1; one number f means (-f,
            f).
        width_factor: (low, high), the shift to the right as a fraction of the width; one number f means (-f, f).
        fill_mode: Values beyond the edges: `"reflect"` (d c b a | a b c d | d c b a), `"wrap"` (a b c d | a b c d | a
            b c d), `"nearest"` (a a a a | a b c d | d d d d) or `"constant"` (`fill_value`).
        interpolation: Values between pixels: `"bilinear"` or `"nearest"`.
        fill_value: Value beyond the edges for `fill_mode="constant"`.
        data_format: None or `"channels_last"`, the only supported layout.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`), the inputs are not images (`config-shape`), or
            `seed` was passed (`config-argument`): random numbers follow from `fit(seed=...)`.

    Example:
        >>> from firesteel.layers import RandomTranslation
        >>> RandomTranslation(0.1, 0.2).width_factor
        (-0.2, 0.2)
    """

    height_factor: Any = symmetric("height_factor is the range of the vertical shift as a fraction of the height")
    width_factor: Any = symmetric("width_factor is the range of the horizontal shift as a fraction of the width")
    fill_mode: str = word(*FILLS)
    interpolation: str = word(*KINDS)
    _: KW_ONLY
    fill_value: float = fill_value()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        down, right = uniform(rng, rows, self.height_factor, self.width_factor)
        return affine_maps(rows, 1, 0, -right * width, 0, 1, -down * height)


class RandomRotation(Warping):
    """Random rotation of images around their center in training.

    Inference: `y = x`.  Input and output shape (B, H, W, C).

    Args:
        factor: (low, high), the angle as a fraction of a full turn, from -1 to 1, drawn from U(low, high) for each
            image; positive angles turn counterclockwise.  One number f means (-f, f).
        fill_mode: Values beyond the edges: `"reflect"` (d c b a | a b c d | d c b a), `"wrap"` (a b c d | a b c d | a
            b c d), `"nearest"` (a a a a | a b c d | d d d d) or `"constant"` (`fill_value`).
        interpolation: Values between pixels: `"bilinear"` or `"nearest"`.
        fill_value: Value beyond the edges for `fill_mode="constant"`.
        data_format: None or `"channels_last"`, the only supported layout.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`), the inputs are not images (`config-shape`), or
            `seed` was passed (`config-argument`): random numbers follow from `fit(seed=...)`.

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import RandomRotation
        >>> RandomRotation(0.05)(np.ones((1, 2, 2, 1))).ravel()  # unchanged at inference
        array([1., 1., 1., 1.])
    """

    factor: Any = symmetric("factor is the range of the angle as a fraction of a full turn")
    fill_mode: str = word(*FILLS)
    interpolation: str = word(*KINDS)
    _: KW_ONLY
    fill_value: float = fill_value()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        angles = (2 * math.pi * uniform(rng, rows, self.factor)[0]).tolist()
        cos, sin = (np.array([function(angle) for angle in angles]) for function in (math.cos, math.sin))
        x, y = (width - 1) / 2, (height - 1) / 2
        return affine_maps(rows, cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos)


class RandomZoom(Warping):
    """Random zoom of images around their center in training.

    Inference: `y = x`.  Input and output shape (B, H, W, C).

    Args:
        height_factor: (low, high), above -1 and up to 1, drawn from U(low, high) for each image.  A factor of 0.2
            shows 1.2 times the height, so objects become smaller; -0.2 makes them larger.  One number f means (-f,
            f).
        width_factor: The same for the width; None uses the draw of the height.
        fill_mode: Values beyond the edges: `"reflect"` (d c b a | a b c d | d c b a), `"wrap"` (a b c d | a b c d | a
            b c d), `"nearest"` (a a a a | a b c d | d d d d) or `"constant"` (`fill_value`).
        interpolation: Values between pixels: `"bilinear"` or `"nearest"`.
        fill_value: Value beyond the edges for `fill_mode="constant"`.
        data_format: None or `"channels_last"`, the only supported layout.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`), the inputs are not images (`config-shape`), or
            `seed` was passed (`config-argument`): random numbers follow from `fit(seed=...)`.

    Example:
        >>> from firesteel.layers import RandomZoom
        >>> RandomZoom((0.1, 0.2)).height_factor
        (0.1, 0.2)
    """

    height_factor: Any = symmetric("the output shows 1 + height_factor times the image's height", exclusive=True)
    width_factor: Any = symmetric(
        "the output shows 1 + width_factor times the image's width", exclusive=True, default=None
    )
    fill_mode: str = word(*FILLS)
    interpolation: str = word(*KINDS)
    _: KW_ONLY
    fill_value: float = fill_value()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        down, right = 1 + uniform(rng, rows, self.height_factor, self.width_factor or self.height_factor)
        right = down if self.width_factor is None else right
        x, y = (width - 1) / 2, (height - 1) / 2
        return affine_maps(rows, right, 0, x - x * right, 0, down, y - y * down)


class RandomShear(Warping):
    """Random shear of images from their upper left corner in training.

    Training: `y_ij = x` at (i + s t j, j + s r i), with r and t drawn from U(low, high) of `x_factor` and `y_factor`
    and s = 1 or -1 at random, for each image.  Inference: `y = x`.  Input and output shape (B, H, W, C).

    Args:
        x_factor: (low, high), the horizontal shift per line, from -1 to 1; one number f means (-f, f).
        y_factor: (low, high), the vertical shift per column, from -1 to 1; one number f means (-f, f).
        interpolation: Values between pixels: `"bilinear"` or `"nearest"`.
        fill_mode: Values beyond the edges: `"reflect"` (d c b a | a b c d | d c b a), `"wrap"` (a b c d | a b c d | a
            b c d), `"nearest"` (a a a a | a b c d | d d d d) or `"constant"` (`fill_value`).
        fill_value: Value beyond the edges for `fill_mode="constant"`.
        data_format: None or `"channels_last"`, the only supported layout.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`), the inputs are not images (`config-shape`), or
            `seed` was passed (`config-argument`): random numbers follow from `fit(seed=...)`.

    Example:
        >>> from firesteel.layers import RandomShear
        >>> RandomShear(0.2).x_factor, RandomShear(0.2).y_factor
        ((-0.2, 0.2), (0.0, 0.0))
    """

    x_factor: Any = symmetric("x_factor is the range of the horizontal shift per row of pixels", default=(0.0, 0.0))
    y_factor: Any = symmetric("y_factor is the range of the vertical shift per column of pixels", default=(0.0, 0.0))
    interpolation: str = word(*KINDS)
    fill_mode: str = word(*FILLS)
    fill_value: float = fill_value()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        across, down, side = uniform(rng, rows, self.x_factor, self.y_factor, (-1.0, 1.0))
        sign = np.where(side > 0, -1.0, 1.0)
        return affine_maps(rows, 1, sign * across, 0, sign * down, 1, 0)


class RandomFlip(Warping):
    """Random flip of images in training: mirror each image with probability 1/2.

    Inference: `y = x`.  Input and output shape (B, H, W, C).

    Args:
        mode: `"horizontal"` exchanges left and right, `"vertical"` exchanges top and bottom, and
            `"horizontal_and_vertical"` does both at once, as in Keras 3.
        data_format: None or `"channels_last"`, the only supported layout.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `mode` is unknown (`config-value`), the inputs are not images (`config-shape`), or `seed` was
            passed (`config-argument`): random numbers follow from `fit(seed=...)`.

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import RandomFlip
        >>> RandomFlip("horizontal")(np.ones((1, 1, 2, 1))).ravel()  # unchanged at inference
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
        return affine_maps(rows, x, 0, (1 - x) / 2 * (width - 1), 0, y, (1 - y) / 2 * (height - 1))


class RandomElasticTransform(Warping):
    """Random elastic distortion of images in training, as if they were drawn on rubber.

    Training: `y(q) = x(q + D(q))`, clipped to `value_range`, with displacements `D = a G(n)` for each pixel q: noise
    n from N(0, s^2) for both axes, smoothed with a Gaussian filter G of standard deviation s and zeros beyond the
    edges, where `s = scale min(H, W) / 20` and `a = scale max(H, W) / 10`.  Inference: `y = x`. Input and output
    shape (B, H, W, C).

    Args:
        factor: (low, high), from 0 to 1, the probability of a distortion, drawn for each image.  One number f means
            (0, f), as in Keras, so 1 distorts half of the images and (1, 1) distorts all.
        scale: (low, high), from 0 to 1, the strength, drawn for each image; one number f means (0, f).  (Keras 3.15
            draws it once per batch.)
        interpolation: Values between pixels: `"bilinear"` or `"nearest"`.
        fill_mode: Values beyond the edges: `"reflect"` (d c b a | a b c d | d c b a), `"wrap"` (a b c d | a b c d | a
            b c d), `"nearest"` (a a a a | a b c d | d d d d) or `"constant"` (`fill_value`).
        fill_value: Value beyond the edges for `fill_mode="constant"`.
        value_range: Smallest and largest pixel value, to which y is clipped.
        data_format: None or `"channels_last"`, the only supported layout.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`), the inputs are not images (`config-shape`), or
            `seed` was passed (`config-argument`): random numbers follow from `fit(seed=...)`.

    Example:
        >>> from firesteel.layers import RandomElasticTransform
        >>> RandomElasticTransform((1, 1), 0.5).scale
        (0.0, 0.5)

    Source: Simard, Steinkraus and Platt 2003, section 2.
    """

    displaces = True

    factor: Any = two_numbers(
        (0.0, 1.0), low=0.0, high=1.0, signs=(0, 1), why="factor is the range of probabilities of a distortion"
    )
    scale: Any = two_numbers(
        (0.0, 1.0), low=0.0, high=1.0, signs=(0, 1), why="scale is the range of distortion strengths"
    )
    interpolation: str = word(*KINDS)
    fill_mode: str = word(*FILLS)
    fill_value: float = fill_value()
    value_range: Any = value_range()
    data_format: str | None = channels_last()

    def maps(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        return affine_maps(rows, 1, 0, 0, 0, 1, 0)

    def displacements(self, rng: Stream, rows: int, height: int, width: int) -> Array:
        """Draw each pixel's random displacement, down and to the right, in pixels: (rows, 2, H, W), float32."""
        chance, threshold, scale = uniform(rng, rows, self.factor, (0.0, 1.0), self.scale)
        deviation = scale * (0.05 * min(height, width))
        far = np.arange(max(height, width))
        weights = np.exp(-0.5 * (far / np.maximum(deviation, 1e-9)[:, None]) ** 2)
        weights[far > (6 * deviation[:, None]).astype(int) // 2] = 0  # an odd window of 6 standard deviations
        weights /= (2 * np.add.reduce(weights, axis=1) - weights[:, 0])[:, None]
        strength = np.where(threshold < chance, deviation * scale * (0.1 * max(height, width)), 0.0)
        noise = rng.inside("noise", 0).normal((rows, 2, height, width))
        down, right = (
            weights[:, None, np.abs(np.subtract.outer(far[:side], far[:side]))] for side in (height, width)
        )
        down = (down * strength[:, None, None, None]).astype(np.float32)
        found: Array = np.matmul(np.matmul(down, noise), right.astype(np.float32))
        return found
