"""Sliding windows over images: their positions, the im2col matrix of their values, and its adjoint (col2im).

Sequences, (T, C), are images of height 1.  A batch is processed in pieces of whole images whose columns hold at most
`COLUMNS` numbers, so that they stay in the cache; the size of the pieces affects the bits of the result.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import as_strided

from firesteel.core.layer import Layer, Param
from firesteel.core.layers.normalization import BatchNormalization, JointNormalization
from firesteel.core.layers.reshaping import OMITTED
from firesteel.core.spec import whole
from firesteel.core.types import Array, Shape
from firesteel.errors import ConfigError

__all__ = ["Sliding", "Windows", "as_pictures", "channels_last", "check_axes", "planned", "sides"]

COLUMNS = 1 << 18
"""Numbers in the columns of one piece: 1 MiB in float32.  Changing it changes bits."""
ACTIVATIONS = 1 << 24
"""Numbers in all values of the images processed together: 64 MiB in float32.  Changing it changes bits."""
ROWS = 128
"""Largest number of images processed together.  Changing it changes bits."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Positions of sliding windows on images, given the size of the kernel, strides, dilation and padding.

    Args:
        shape: Height, width and channels of the images.
        kernel: Height and width of a window.
        strides: Distance between adjacent windows, down and to the right.
        dilation: Distance between adjacent pixels of a window.
        pads: Lines of zeros around an image: (above, below), (left, right).
    """

    shape: Shape
    kernel: Pair
    strides: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: tuple[Pair, Pair] = ((0, 0), (0, 0))
    places: Pair = field(init=False)
    """Number of windows, vertically and horizontally: (h, w)."""

    def __post_init__(self) -> None:
        spans = [(side - 1) * apart + 1 for side, apart in zip(self.kernel, self.dilation, strict=True)]
        rooms = [side + sum(pads) - span for side, pads, span in zip(self.shape, self.pads, spans, strict=False)]
        places = tuple(
            [room // stride + 1 if room >= 0 else 0 for room, stride in zip(rooms, self.strides, strict=True)]
        )
        vars(self).update(places=places)

    @property
    def size(self) -> int:
        """Number of values in a window, K = kernel height x kernel width x channels."""
        return math.prod(self.kernel) * self.shape[2]

    @property
    def is_padded(self) -> bool:
        """Whether the images are padded."""
        return any(map(any, self.pads))

    def pieces(self, pictures: int) -> Iterator[slice]:
        """Yield slices that divide a batch of images into groups small enough for the processor's cache."""
        most = max(1, COLUMNS // max(1, math.prod(self.places) * self.size))
        for first in range(0, pictures, most):
            yield slice(first, min(first + most, pictures))

    def padded(self, x: Array, value: float = 0.0) -> Array:
        """Return images (B, H, W, C) padded with a constant value."""
        if not self.is_padded:
            return x
        (top, bottom), (left, right) = self.pads
        _, height, width, _ = x.shape
        y = np.full((len(x), height + top + bottom, width + left + right, x.shape[3]), value, x.dtype)
        y[:, top : top + height, left : left + width] = x
        return y

    def cropped(self, y: Array) -> Array:
        """Return padded images without their padding, as a contiguous array."""
        (top, _), (left, _) = self.pads
        return np.ascontiguousarray(y[:, top : top + self.shape[0], left : left + self.shape[1]])

    def pixels(self, x: Array) -> Iterator[Array]:
        """Yield, for each position in the kernel, the pixels of all windows there: a view (B, h, w, C) of x.

        The images x are padded.  Positions are in the kernel's order, row by row.
        """
        (h, w), (down, right) = self.places, self.strides
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                top, left = i * self.dilation[0], j * self.dilation[1]
                yield x[:, top : top + (h - 1) * down + 1 : down, left : left + (w - 1) * right + 1 : right]

    def columns(self, x: Array) -> Array:
        """Return the im2col matrix of padded images: one window per row, (B h w, K), with values in (k, l, C) order.

        With one channel the matrix is stored by columns, because rows of windows are longer than rows of a kernel.
        """
        (picture, down, right, channel), places, kernel = x.strides, self.places, self.kernel
        steps, apart = ((down * a, right * b) for a, b in (self.strides, self.dilation))
        if x.shape[3] == 1:
            lines = as_strided(x, (*kernel, len(x), *places), (*apart, picture, *steps), writeable=False)
            return np.ascontiguousarray(lines).reshape(math.prod(kernel), -1).T
        shape, strides = (len(x), *places, *kernel, x.shape[3]), (picture, *steps, *apart, channel)
        seen = as_strided(x, shape, strides, writeable=False)
        return np.ascontiguousarray(seen).reshape(len(x) * math.prod(places), -1)

    def add_back(self, columns: Array, into: Array) -> None:
        """Add the rows of an im2col matrix to the pixels of their windows in the padded images `into` (col2im).

        The matrix has shape (B h w, K); its values are added in the kernel's order.
        """
        parts = columns.reshape(len(into), *self.places, math.prod(self.kernel), into.shape[3])
        for at, pixel in enumerate(self.pixels(into)):
            pixel += parts[:, :, :, at]


class Sliding(Layer):
    """Base class of layers with windows that slide over images or sequences."""

    axes: ClassVar[int] = 2
    """2 for images (H, W, C), 1 for sequences (T, C)."""

    @property
    def inputs(self) -> int | None:
        """Number of values in one input image or sequence; None to infer it from the data."""
        given: Shape | None = getattr(self, "input_shape", None)
        return None if given is None else math.prod(given)

    @property
    def display_name(self) -> str:
        """Name of the layer's class in messages."""
        return type(self).__name__

    def place(self, shape: Shape) -> Windows:
        """Return the positions of the layer's windows on an image or sequence of this shape.

        Raises:
            ConfigError: The windows do not fit (`config-shape`).
        """
        raise NotImplementedError

    def work(self, shape: Shape) -> int:
        """Return the number of multiplications that the layer needs for one image or sequence of this shape."""
        at = self.place(shape)
        return math.prod(at.places) * at.size

    def windows(
        self, shape: Shape, kernel: Shape, strides: Shape, padding: str = "valid", dilation: Shape = ()
    ) -> Windows:
        """Return the positions of windows; raise ConfigError if windows are larger than the input.

        Args:
            shape: Shape of an image or sequence.
            kernel: Lengths of a window.
            strides: Distances between adjacent windows.
            padding: "valid", "same", or "causal", which puts all padding before the first step.
            dilation: Distances between adjacent pixels of a window.
        """
        check_axes(self.display_name, shape, self.axes)
        at = _windows(shape, kernel, strides, padding, dilation or (1,) * self.axes)
        if min(at.places) < 1:
            raise ConfigError(
                f"{self.display_name}: windows of {' x '.join(map(str, kernel))} are larger than an input of shape "
                f"{shape}: use a smaller kernel, padding='same', or fewer pooling layers before it",
                code="config-shape",
            )
        return at

    def shaped(self, at: Windows, channels: int) -> Shape:
        """Return the shape of an output row with one vector of `channels` values per window."""
        return (*at.places, channels)[-1 - self.axes :]


EXPECTED: dict[int, tuple[str, Shape]] = {
    1: ("sequences of shape (steps, features)", (100, 8)),
    2: ("images of shape (height, width, channels)", (28, 28, 1)),
}
"""What layers read by their number of axes, with an example."""


def check_axes(name: str, shape: Shape, axes: int = 2) -> None:
    """Raise ConfigError unless `shape` has the axes of an image or, with `axes` = 1, of a sequence.

    Args:
        name: The layer's name.
        shape: The shape of a row.
        axes: 2 for images, 1 for sequences.
    """
    if len(shape) != axes + 1:
        of, example = EXPECTED[axes]
        raise ConfigError(
            f"{name} takes {of}, but its input has shape {shape}: begin with "
            f"Input({(*shape, 1) if len(shape) == axes == 2 else example}), or put a Reshape before it",
            code="config-shape",
        )


def as_pictures(x: Array) -> Array:
    """Return images unchanged, and sequences (B, T, C) as images of height 1."""
    return x if x.ndim == 4 else x[:, None]


@functools.lru_cache(maxsize=1024)
def _windows(shape: Shape, kernel: Shape, strides: Shape, padding: str, dilation: Shape) -> Windows:
    """Compute the padding and return the positions of windows; sequences count as images of height 1."""
    missing = (1,) * (3 - len(shape))
    shape, kernel, strides, dilation = (missing + one for one in (shape, kernel, strides, dilation))
    pads = []
    for side, k, stride, apart in zip(shape, kernel, strides, dilation, strict=False):
        span = (k - 1) * apart + 1
        needed = max((-(-side // stride) - 1) * stride + span - side, 0) if padding == "same" else 0
        needed = span - 1 if padding == "causal" else needed
        before = needed if padding == "causal" else needed // 2
        pads.append((before, needed - before))
    return Windows(shape, kernel, strides, dilation, tuple(pads))  # type: ignore[arg-type]


def planned(plan: list[Any], shapes: Sequence[Shape], params: Sequence[Mapping[str, Param]]) -> Pair:
    """Return the number of images that a network processes together, and its multiplications per image.

    The number follows from the memory of the images' values.  In `plan`, batch normalization is replaced by
    `JointNormalization`, which adds up sums over these groups of images.

    Args:
        plan: The layer calls of a network, in order.
        shapes: The shape of every value.
        params: The parameters of each owner.

    Returns:
        The number of images and the multiplications per image; both 0 if no layer has sliding windows.
    """
    sliding = [part.layer.work(shapes[part.reads[0]]) for part in plan if isinstance(part.layer, Sliding)]
    if not sliding:
        return 0, 0
    for at, part in enumerate(plan):
        if type(part.layer) is BatchNormalization:
            plan[at] = part._replace(layer=JointNormalization(part.layer))
    most = max(1, min(ROWS, ACTIVATIONS // sum(map(math.prod, shapes))))
    size = sum(math.prod(one.shape) for owned in params for one in owned.values())
    return 1 << (most.bit_length() - 1), sum(sliding) + size


def check_memory(network: Any, rows: int, memory: float) -> None:
    """Raise ConfigError if training on a batch of images needs more memory than the machine has.

    Args:
        network: The network; only one with sums over the batch holds the whole batch in memory at once.
        rows: Number of rows in a batch.
        memory: The machine's memory in bytes.
    """
    pictures = rows if network.joint else min(rows, network.rows)
    each = 2 * sum(map(math.prod, network.shapes)) * np.dtype(network.dtype).itemsize
    if each * pictures > memory:
        fits = f"batch_size={int(memory // each)} fits" if each <= memory else "not even one image fits"
        raise ConfigError(
            f"training on {pictures:,} images at once takes {each * pictures / 2**30:,.0f} GiB, but this machine has "
            f"{memory / 2**30:,.0f} GiB: {fits}; smaller images or fewer filters need less memory",
            code="config-memory",
        )


def sides(axes: int, why: str, least: int = 1, default: Any = MISSING) -> Any:
    """Declare a dataclass field of one integer per spatial axis, such as `strides`; one integer stands for all axes.

    None is accepted if it is the default.
    """

    def check(owner: str, argument: str, got: Any) -> Shape | None:
        if got is None and default is None:
            return None
        given = [whole(one) for one in (got if isinstance(got, tuple | list) else [got] * axes)]
        if len(given) != axes or not all(one is not None and one >= least for one in given):
            each = f"{axes} integers" if axes > 1 else "an integer"
            raise ConfigError(
                f"{owner}({argument}={got!r}): {argument} must be {each} of at least {least}"
                + (", or one for both" if axes > 1 else "")
                + f": {why}",
                code="config-value",
            )
        return tuple(one for one in given if one is not None)

    default = (default,) * axes if isinstance(default, int) else default
    return field(default=default, metadata={"check": check})


def channels_last() -> Any:
    """Declare the dataclass field `data_format`, which accepts only None and "channels_last"."""

    def check(owner: str, name: str, got: object) -> object:
        if got not in (None, "channels_last"):
            raise ConfigError(
                f"{owner}(data_format={got!r}): channels must be the last axis, (height, width, channels): leave "
                "data_format out, and convert the images with np.moveaxis(x, 1, -1)",
                code="config-value",
            )
        return None

    return field(default=None, metadata={"check": check, **OMITTED}, repr=False)
