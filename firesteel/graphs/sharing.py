"""Weights shared by several models that contain the same layers.

A layer that has been called holds a cell.  Each model that contains it writes its weights there, and reads those that
another model wrote.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from firesteel.core.layer import Layer
from firesteel.core.layers.calling import Tensor
from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import ConfigError


class Cell:
    """The weights of one layer, shared by all models that contain it.

    Attributes:
        values: An array for each parameter; None before the first are written.
        chosen: Whether the weights were trained, loaded or set, so that a fit does not draw them.
        version: How often they were written.
        shapes: The shapes of the arrays, once a model contains the layer.
    """

    def __init__(self) -> None:
        self.values: list[Array] | None = None
        self.chosen, self.version = False, 0
        self.shapes: list[tuple[int, ...]] | None = None


def slices_of(network: Network, owner: int) -> list[tuple[slice, tuple[int, ...]]]:
    """Return the slices of theta, with their shapes, that hold the parameters of layer number `owner`."""
    parts = {part.owner for part in network.plan if network.nodes[part.node].owner == owner}
    return [(where, shape) for number, _, shape, where in network.layout.slices if number in parts]


class SharedWeights:
    """The weights of a model's layers, in cells that other models may share.

    Args:
        network: The model's network.
        owners: The layer that holds the weights of each owner of nodes.

    Raises:
        ConfigError: If a layer has weights of other shapes in another model (`config-shape`).
    """

    def __init__(self, network: Network, owners: Mapping[int, Layer]) -> None:
        self.cells = list[tuple[Cell, list[slice]]]()
        for owner, layer in owners.items():
            if found := slices_of(network, owner):
                cell, shapes = vars(layer).setdefault("_cell", Cell()), [shape for _, shape in found]
                if cell.shapes not in (None, shapes):
                    raise ConfigError(
                        f"{layer} has weights of shapes {cell.shapes} in another model, but needs {shapes} here: "
                        "models can share a layer only for inputs of one shape; create one layer for each",
                        code="config-shape",
                    )
                cell.shapes = shapes
                self.cells.append((cell, [where for where, _ in found]))
        self.seen = [-1] * len(self.cells)

    @property
    def changed(self) -> bool:
        """Whether another model has changed shared weights since this model last wrote them."""
        return any(cell.values is not None and cell.version != seen for (cell, _), seen in self._both())

    @property
    def all_chosen(self) -> bool:
        """Whether all weights were trained, loaded or set."""
        return all(cell.chosen for cell, _ in self.cells)

    @property
    def any_chosen(self) -> bool:
        """Whether some weights were trained, loaded or set."""
        return any(cell.chosen for cell, _ in self.cells)

    def _both(self) -> Any:
        return zip(self.cells, self.seen, strict=True)

    def write(self, theta: Array, chosen: bool) -> None:
        """Write the weights of theta, (P,), to the cells."""
        for cell, slices in self.cells:
            cell.values = [theta[where] for where in slices]
            cell.chosen, cell.version = chosen or cell.chosen, cell.version + 1
        self.seen = [cell.version for cell, _ in self.cells]

    def read(self, theta: Array, chosen: bool = False) -> Array:
        """Return theta, (P,), updated with the weights that are now in the cells.

        Args:
            theta: The model's weights.
            chosen: Whether to read only weights that were trained, loaded or set.
        """
        found = theta.copy()
        for cell, slices in self.cells:
            if cell.values is not None and (cell.chosen or not chosen):
                for where, array in zip(slices, cell.values, strict=True):
                    found[where] = array
        return found


class LayerPlace(NamedTuple):
    """Access to a layer's weights, input and output in the model that it belongs to.

    Args:
        model: A function that returns the model, or None once it has been deleted.
        layer: The layer.
    """

    model: Callable[[], Any]
    layer: Layer | None = None

    def of(self, layer: Layer) -> "LayerPlace":
        """Return the `LayerPlace` of another layer of the same model."""
        return LayerPlace(self.model, layer)

    def _found(self) -> tuple[Any, int]:
        model = self.model()
        if model is None:
            raise ConfigError(f"the model of {self.layer} was deleted: keep a reference to it", code="config-layer")
        return model, next(owner for owner, layer in model.owned.items() if layer is self.layer)

    @property
    def weights(self) -> list[Array]:
        """A copy of each array of weights."""
        return self.get_weights()

    def get_weights(self) -> list[Array]:
        """Return a copy of each array of weights."""
        model, owner = self._found()
        return [model.theta[where].reshape(shape).copy() for where, shape in slices_of(model.network, owner)]

    def set_weights(self, weights: Any) -> None:
        """Set every array of weights; raise ConfigError if a shape differs."""
        model, owner = self._found()
        model._set(weights, slices_of(model.network, owner))

    def count_params(self) -> int:
        """Return the number of parameters."""
        return sum(array.size for array in self.get_weights())

    @property
    def kernel(self) -> Array:
        """The first array of weights, the kernel."""
        return self.get_weights()[0]

    @property
    def bias(self) -> Array | None:
        """The second array of weights, the bias, or None."""
        return dict(enumerate(self.get_weights())).get(1)

    @property
    def output(self) -> Any:
        """The layer's output as a symbolic tensor; raises ConfigError if the layer was called several times."""
        return self._made()[-1]

    @property
    def input(self) -> Any:
        """The layer's input as a symbolic tensor, or a list of several."""
        args = self._made()[0].args
        return args[0] if len(args) == 1 else list(args)

    def _made(self) -> list[Tensor]:
        model, _ = self._found()
        found, waiting = dict[int, Tensor](), list(model.outputs)
        while waiting:
            one = waiting.pop()
            if id(one) not in found:
                found[id(one)] = one
                waiting += one.args
        own = sorted((one for one in found.values() if one.owner is self.layer), key=lambda one: one.number)
        if len({one.number for one in own}) != 1:
            raise ConfigError(
                f"{self.layer} has {len(own)} outputs in {model.name}: keep the value that its call returned",
                code="config-layer",
            )
        model._share()
        return own
