"""How a network processes pictures: its first filters, feature maps of a few rows, and saliency maps.

Pictures are (H, W, C), channels last, as the network's `Input` says; large ones are averaged over blocks.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.centre import less
from firesteel.core.layers.convolution import Convolve
from firesteel.core.layers.depthwise import DepthwiseConvolve
from firesteel.core.layers.windows import Sliding
from firesteel.core.network import Network, Objective, Part, alone
from firesteel.core.types import Array, Shape
from firesteel.report.reading import Reading, short, sub_batches
from firesteel.tables.importance import Places

SIDE, FILTERS, EXAMPLES = 64, 16, 5
"""Greatest numbers of pixels on a side of a picture, of filters, and of rows with feature maps."""
KERNELS = Convolve | DepthwiseConvolve


def picture_of(network: Network) -> Shape | None:
    """Return the shape (H, W, C) of a network's pictures, or None if its input is not one picture."""
    return network.entries[0] if len(network.entries) == 1 and len(network.entries[0]) == 3 else None


def smaller(x: Array, side: int = SIDE) -> Array:
    """Shrink pictures, (n, H, W, C), to at most `side` pixels per side by averaging blocks of pixels.

    >>> smaller(np.arange(9.0).reshape(1, 3, 3, 1), 2)[0, ..., 0]
    array([[2. , 3.5],
           [6.5, 8. ]])
    """
    block = -(-max(x.shape[1:3]) // side)
    for axis in (1, 2):
        starts = np.arange(0, x.shape[axis], block)
        counts = np.diff(starts, append=x.shape[axis])
        x = np.add.reduceat(x, starts, axis) / counts.reshape([-1, *[1] * (3 - axis)])
    return x


def visible(x: Array) -> Array:
    """Return pictures, (n, H, W, C), for display: small, in grey or RGB, (n, h, w, 1 or 3)."""
    x = smaller(x.astype(np.float64))
    return x if x.shape[3] in (1, 3) else x.mean(axis=3, keepdims=True)


def blocks(shape: Shape, most: int) -> tuple[Places, list[int]]:
    """Divide pixels into at most `most` blocks; return the inputs of each, and the number [down, across].

    Blocks are as small as possible and contain all channels of their pixels.

    >>> places, grid = blocks((3, 4, 1), 4)
    >>> grid, {name: at.tolist() for name, at in places.items()}
    ([2, 2], {'0,0': [0, 1, 4, 5], '0,1': [2, 3, 6, 7], '1,0': [8, 9], '1,1': [10, 11]})
    """
    inputs = np.arange(np.prod(shape)).reshape(shape)
    for side in itertools.count(1):
        down, across = (range(0, length, side) for length in shape[:2])
        if len(down) * len(across) <= most or side > max(shape):
            break
    places = {
        f"{i // side},{j // side}": inputs[i : i + side, j : j + side].ravel()
        for i, j in itertools.product(down, across)
    }
    return places, [len(down), len(across)]


def saliency(objective: Objective, theta: Array, x: Array, outputs: npt.NDArray[np.intp]) -> Array:
    """Return the saliency of each pixel, (n, H, W): |dz/dx x|, summed over channels.

    Args:
        objective: The network and its loss.
        theta: The weights.
        x: The rows, (n, I).
        outputs: The number of an output for each row, (n,); z is that value as the loss reads it, such as a logit.

    Source: Shrikumar et al. 2016, "gradient times input".
    """
    network, value = objective.network, objective.network.read_by(objective.last)
    views, unused = network.layout.views(theta), network.layout.views(np.zeros_like(theta))
    found = np.zeros((len(x), *network.entries[0]))
    for rows in sub_batches(network, len(x)):
        given = less(x[rows], network.centre.features, theta.dtype).astype(theta.dtype)
        values, pulls = alone(network.forward(views, given, None, objective.plan, keep=True))
        d = np.zeros_like(values[value])
        d[np.arange(len(d)), outputs[rows]] = 1
        (by,) = alone(network.backward(pulls, value, d, unused, entries=True))
        if by is not None:
            found[rows] = by * x[rows].reshape(by.shape)
    return np.abs(found).sum(axis=3)


def draw(
    mistakes: Sequence[dict[str, Any]],
    objective: Objective,
    theta: Array,
    x: Array,
    made: Array,
    outputs: Sequence[int],
) -> None:
    """Add to each mistake its picture, and its saliency or the picture that the network returned.

    Args:
        mistakes: The mistakes.
        objective: The network and its loss.
        theta: The weights.
        x: The inputs of all rows, (n, I).
        made: The outputs of all rows, (n, O).
        outputs: The number of an output for each mistake.
    """
    at, shape = [mistake["row"] for mistake in mistakes], objective.network.entries[0]
    if not at:
        return
    if made.shape == x.shape:
        name, more = "made", visible(made[at].reshape(-1, *shape))
    else:
        name, more = "looked", smaller(saliency(objective, theta, x[at], np.array(outputs))[..., None])
    for mistake, picture, other in zip(mistakes, visible(x[at].reshape(-1, *shape)), more, strict=True):
        mistake |= {"input": short(picture.ravel()), name: short(other.ravel(), 3)}


def seen(objective: Objective, theta: Array, x: Array, rows: Sequence[int]) -> dict[str, Any]:
    """Return the filters of the first convolution, and its feature maps of some rows.

    Maps are the values after the convolution and after all channel-wise layers that follow, up to the first pooling.

    Args:
        objective: The network and its loss.
        theta: The weights.
        x: All rows, (n, I).
        rows: The numbers of the rows to show.
    """
    network, views = objective.network, objective.network.layout.views(theta)
    shown = visible(x[rows].reshape(-1, *network.entries[0]))
    found: dict[str, Any] = {
        "shape": shown.shape[1:],
        "range": [float(x.min()), float(x.max())],
        "examples": [short(one.ravel()) for one in shown],
    }
    first = next((part for part in network.plan if isinstance(part.layer, KERNELS)), None)
    if first is None or len(network.shapes[first.makes[0]]) != 3:
        return found
    w, last = views[first.owner]["w"], _behind(network, first)
    filters = visible(np.moveaxis(w.reshape(*w.shape[:2], -1, network.shapes[first.makes[0]][2]), 3, 0))
    given = less(x[rows], network.centre.features, theta.dtype).astype(theta.dtype)
    values, _ = alone(network.forward(views, given, None, network.plan[: last.number + 1], keep=True))
    maps = np.moveaxis(smaller(values[last.makes[0]].astype(np.float64), SIDE // 2)[..., :FILTERS], 3, 1)
    return found | {
        "convolution": _named(network, first),
        "count": len(filters),
        "kernel": filters.shape[1:],
        "filters": [short(one.ravel()) for one in filters[:FILTERS]],
        "behind": _named(network, last),
        "map": maps.shape[2:],
        "maps": [[short(one.ravel(), 3) for one in row] for row in maps],
    }


def _behind(network: Network, first: Part) -> Part:
    """Find the last layer after a convolution that acts on each channel, such as its normalization or pooling."""
    last = first
    while last is first or not isinstance(last.layer, Sliding):
        readers = [part for part in network.plan if last.makes[0] in part.reads]
        if len(readers) != 1 or len(readers[0].reads) > 1 or "w" in network.params[readers[0].owner]:
            break
        if len(network.shapes[readers[0].makes[0]]) != 3:
            break
        (last,) = readers
    return last


def _named(network: Network, part: Part) -> str:
    return f"layer {part.node} ({type(network.nodes[part.node].layer).__name__})"


def examples(reading: Reading, truth: Array, predicted: Array, w: Array) -> list[int]:
    """Choose one row per class, a correctly predicted one if possible; for other tasks the first rows."""
    rows = np.flatnonzero(w > 0)
    if reading.task != "classification":
        return rows[:EXAMPLES].tolist()
    found = list[int]()
    for k in range(reading.classes):
        of = rows[truth[rows] == k]
        if len(of) and len(found) < EXAMPLES:
            found.append(int(of[(predicted[of] == k).argmax()]))
    return found
