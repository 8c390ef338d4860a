"""Test-time augmentation: a model that averages its outputs for an image and four shifted copies.

It is a network too, with five branches that share their weights, so that it is scored, saved and deployed like any
other.
"""

import math

from firesteel._model import Model
from firesteel.core.centre import UNCENTRED
from firesteel.core.layers import Average, Cropping2D, Input, Reshape, ZeroPadding2D
from firesteel.core.layers.calling import Tensor
from firesteel.core.network import Network
from firesteel.core.spec import whole
from firesteel.core.types import Shape
from firesteel.errors import ConfigError
from firesteel.search.members import endings


def averaged_over_shifts(model: Model, pixels: int) -> Model:
    """Return the averaging model; see `firesteel.utils.averaged_over_shifts` for the arguments."""
    by, row, picture = whole(pixels) or 0, model.network.entries[0], picture_of(model.network, pixels)
    start = Input(picture)
    around, seen = ZeroPadding2D(by)(start), [start]
    for down, right in ((by, 0), (-by, 0), (0, by), (0, -by)):
        seen.append(Cropping2D(((by - down, by + down), (by - right, by + right)))(around))
    outputs = [model(one if row == picture else Reshape(row)(one)) for one in seen]
    if not isinstance(outputs[0], Tensor):
        raise ConfigError("averaging over shifts needs a model with one output", code="config-outputs")
    end = Average()(outputs)
    for layer in endings(type(model.network.parts[-1])):
        end = layer(end)
    together = Model(start, end, dtype=model.network.dtype)
    if (how := model.get_compile_config()) is not None:
        together.compile(how["optimizer"], how["loss"], how["metrics"])
    return together


def picture_of(network: Network, pixels: int) -> Shape:
    """Return the shape (H, W, C) of a network's input images.

    Raises:
        ConfigError: If the input is not an image (`config-shape`), or too small for the shift (`config-value`).
    """
    row = network.entries[0]
    first = next((layer for layer in network.layers if isinstance(layer, Input)), network.layers[0])
    named = getattr(first, "shape" if isinstance(first, Input) else "input_shape", None)
    known: Shape = row if len(row) > 1 else named or ()
    picture = (*known, 1) if len(known) == 2 else known
    fits = len(picture) == 3 and math.prod(picture) == math.prod(row)
    if len(network.entries) > 1 or network.centre != UNCENTRED or not fits:
        raise ConfigError(
            f"averaging over shifts needs a model with one image as input, but this one takes {network.entries}: "
            "declare the shape, as in Sequential([Input((28, 28, 1)), ...])",
            code="config-shape",
        )
    if not 0 < (whole(pixels) or 0) < min(picture[:2]):
        raise ConfigError(
            f"pixels={pixels!r}: it must be an integer of at least 1 and less than the sides of an image, {picture}",
            code="config-value",
        )
    return picture
