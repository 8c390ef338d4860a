"""Windows that slide over pictures: where they lie, the numbers in them as columns of a matrix, and the way back.

Sequences, (T, C), are pictures of height 1.  A batch is worked on in pieces of whole pictures whose columns fill at
most `COLUMNS` numbers, so that they stay in the cache; the pieces are part of the result.
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
from firesteel.core.layers.reshaping import UNSAID
from firesteel.core.spec import whole
from firesteel.core.types import Array, Shape
from firesteel.errors import ConfigError

__all__ = ["Sliding", "Windows", "as_pictures", "channels_last", "check_axes", "planned", "sides"]

COLUMNS = 1 << 18
"""Numbers of a piece's columns: 1 MiB in float32.  Changing it changes bits."""
ACTIVATIONS = 1 << 24
"""Numbers in the values of pictures that meet the mathematics together: 64 MiB in float32.  Likewise."""
ROWS = 128
"""The most pictures that do.  Likewise."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Where the windows of a kernel lie on pictures.

    Args:
        shape: The pictures' height, width and channels.
        kernel: The windows' height and width.
        strides: How far it is from one window to the next, down and to the right.
        dilation: How far apart the pixels of a window are.
        pads: How many lines of zeros are around a picture: above and below, left and right.
    """

    shape: Shape
    kernel: Pair
    strides: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: tuple[Pair, Pair] = ((0, 0), (0, 0))
    places: Pair = field(init=False)
    """How many windows there are, one below the other and side by side: (h, w)."""

    def __post_init__(self) -> None:
        spans = [(side - 1) * apart + 1 for side, apart in zip(self.kernel, self.dilation, strict=True)]
        rooms = [side + sum(pads) - span for side, pads, span in zip(self.shape, self.pads, spans, strict=False)]
        places = tuple(
            [room // stride + 1 if room >= 0 else 0 for room, stride in zip(rooms, self.strides, strict=True)]
        )
        vars(self).update(places=places)

    @property
    def size(self) -> int:
        """Numbers in a window, K = k l C."""
        return math.prod(self.kernel) * self.shape[2]

    @property
    def is_padded(self) -> bool:
        """Whether there are zeros around a picture."""
        return any(map(any, self.pads))

    def pieces(self, pictures: int) -> Iterator[slice]:
        """Yield the pieces of so many pictures."""
        most = max(1, COLUMNS // max(1, math.prod(self.places) * self.size))
        for first in range(0, pictures, most):
            yield slice(first, min(first + most, pictures))

    def padded(self, x: Array, value: float = 0.0) -> Array:
        """Return pictures, (B, H, W, C), with lines of a value around them."""
        if not self.is_padded:
            return x
        (top, bottom), (left, right) = self.pads
        _, height, width, _ = x.shape
        y = np.full((len(x), height + top + bottom, width + left + right, x.shape[3]), value, x.dtype)
        y[:, top : top + height, left : left + width] = x
        return y

    def cropped(self, y: Array) -> Array:
        """Return pictures without the lines around them, as a contiguous array."""
        (top, _), (left, _) = self.pads
        return np.ascontiguousarray(y[:, top : top + self.shape[0], left : left + self.shape[1]])

    def pixels(self, x: Array) -> Iterator[Array]:
        """Yield of padded pictures each pixel of all windows, (B, h, w, C): views, in the order of the kernel."""
        (h, w), (down, right) = self.places, self.strides
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                top, left = i * self.dilation[0], j * self.dilation[1]
                yield x[:, top : top + (h - 1) * down + 1 : down, left : left + (w - 1) * right + 1 : right]

    def columns(self, x: Array) -> Array:
        """Return the windows of padded pictures as the rows of a matrix, (B h w, K); each has (k, l, C) in order.

        Where there is one channel the matrix lies column by column, for lines of windows are longer than of kernels.
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
        """Add columns, (B h w, K), to the pixels of padded pictures that they came from, in a kernel's order."""
        parts = columns.reshape(len(into), *self.places, math.prod(self.kernel), into.shape[3])
        for at, pixel in enumerate(self.pixels(into)):
            pixel += parts[:, :, :, at]


class Sliding(Layer):
    """Base of layers whose windows slide over pictures or sequences."""

    axes: ClassVar[int] = 2
    """2 for pictures, (H, W, C), 1 for sequences, (T, C)."""

    @property
    def inputs(self) -> int | None:
        """Numbers in a picture, where this is the first layer and says so."""
        given: Shape | None = getattr(self, "input_shape", None)
        return None if given is None else math.prod(given)

    @property
    def shown(self) -> str:
        """What messages call the layer."""
        return type(self).__name__

    def place(self, shape: Shape) -> Windows:
        """Return where the windows lie on values of a shape.  Raises ConfigError where they do not fit."""
        raise NotImplementedError

    def work(self, shape: Shape) -> int:
        """Return the multiplications for one picture."""
        at = self.place(shape)
        return math.prod(at.places) * at.size

    def windows(
        self, shape: Shape, kernel: Shape, strides: Shape, padding: str = "valid", dilation: Shape = ()
    ) -> Windows:
        """Return `place` for a kernel.  padding: "valid", "same", or "causal": all of it before the first pixel."""
        check_axes(self.shown, shape, self.axes)
        at = _windows(shape, kernel, strides, padding, dilation or (1,) * self.axes)
        if min(at.places) < 1:
            raise ConfigError(
                f"{self.shown}: windows of {' x '.join(map(str, kernel))} are larger than a value of shape "
                f"{shape}: take a smaller kernel, padding='same', or fewer poolings before it",
                code="config-shape",
            )
        return at

    def shaped(self, at: Windows, channels: int) -> Shape:
        """Return the shape of values of so many channels, one for each window."""
        return (*at.places, channels)[-1 - self.axes :]


TAKEN: dict[int, tuple[str, Shape]] = {
    1: ("sequences of shape (steps, features)", (100, 8)),
    2: ("pictures of shape (height, width, channels)", (28, 28, 1)),
}
"""What layers of so many axes take, with an example."""


def check_axes(name: str, shape: Shape, axes: int = 2) -> None:
    """Raise ConfigError for values that are no pictures, or no sequences where `axes` is 1; name: of the layer."""
    if len(shape) != axes + 1:
        of, example = TAKEN[axes]
        raise ConfigError(
            f"{name} takes {of}, and a value of shape {shape} reaches it: begin with "
            f"Input({(*shape, 1) if len(shape) == axes == 2 else example}), or put a Reshape before it",
            code="config-shape",
        )


def as_pictures(x: Array) -> Array:
    """Return pictures as they are, and sequences, (B, T, C), as pictures of height 1."""
    return x if x.ndim == 4 else x[:, None]


@functools.lru_cache(maxsize=1024)
def _windows(shape: Shape, kernel: Shape, strides: Shape, padding: str, dilation: Shape) -> Windows:
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
    """Return how many pictures meet the mathematics together, by the memory of their values, and the work for one.

    A batch is cut into pieces there, and layers that need sums over it are replaced by those that add up all pieces.

    Args:
        plan: The parts of a network.
        shapes: The shape of every value.
        params: What each owner learns.

    Returns:
        The pictures, and the multiplications for one; both 0 where no window slides.
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
    """Raise ConfigError where what a network makes of pictures, and its derivatives, cannot be in memory.

    Args:
        network: The network; only one that sums over a batch has all of it in memory at once.
        rows: Of the batch.
        memory: Bytes of the machine's.
    """
    pictures = rows if network.joint else min(rows, network.rows)
    each = 2 * sum(map(math.prod, network.shapes)) * np.dtype(network.dtype).itemsize
    if each * pictures > memory:
        fits = f"batch_size={int(memory // each)} fits" if each <= memory else "not even one fits"
        raise ConfigError(
            f"{pictures:,} pictures that are learned from together take {each * pictures / 2**30:,.0f} GiB, and this "
            f"machine has {memory / 2**30:,.0f}: {fits}; smaller pictures or fewer filters take less",
            code="config-memory",
        )


def sides(axes: int, why: str, least: int = 1, default: Any = MISSING) -> Any:
    """Declare a field that is a whole number for each axis, or one for all; None is taken where it is the default."""

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
    """Declare the field `data_format`, of which there is one."""

    def check(owner: str, name: str, got: object) -> object:
        if got not in (None, "channels_last"):
            raise ConfigError(
                f"{owner}(data_format={got!r}): channels are the last axis here, (height, width, channels): leave "
                "data_format out, and turn the pictures with np.moveaxis(x, 1, -1)",
                code="config-value",
            )
        return None

    return field(default=None, metadata={"check": check, **UNSAID}, repr=False)
