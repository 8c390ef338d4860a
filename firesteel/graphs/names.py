"""Automatic and user-given names of the layers of a network."""

import re
from collections.abc import Iterable, Sequence

from firesteel.core.layer import Automatic
from firesteel.core.layers.wrapper import InUse
from firesteel.core.network import Node
from firesteel.errors import ConfigError


def kind_of(layer: object) -> str:
    """Return the name of a layer's class; for an `InUse` wrapper, that of the wrapped layer."""
    return type(layer.layer if isinstance(layer, InUse) else layer).__name__


def kind_name(layer: object) -> str:
    """Return the default name of a layer or model, without a number.

    Example:
        >>> from firesteel.core.layers import BatchNormalization, Conv2D
        >>> kind_name(BatchNormalization()), kind_name(Conv2D(8, 3))
        ('batch_normalization', 'conv2d')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9]D)(?=[A-Z])", "_", kind_of(layer)).lower()


def numbered(name: str, taken: Iterable[str]) -> str:
    """Return a name that is not taken, by appending the first free number if necessary.

    Example:
        >>> numbered("dense", ["dense", "dense_1"])
        'dense_2'
    """
    known, found, number = set(taken), name, 0
    while found in known:
        number += 1
        found = f"{name}_{number}"
    return found


def names_of(nodes: Sequence[Node]) -> list[str]:
    """Return the name of each node's layer, prefixed by those of the models that contain it, as in "base/dense_1".

    A layer that is called several times has one name.

    Raises:
        ConfigError: If two layers were given the same name (`config-name`).
    """
    found = dict[int, str]()
    own = {node.owner: node for node in reversed(nodes)}
    for owner, node in sorted(own.items()):
        if node.layer.name and not isinstance(node.layer.name, Automatic):
            name = f"{node.scope}{node.layer.name}"
            if name in found.values():
                raise ConfigError(f"two layers are named {name!r}: names must be unique", code="config-name")
            found[owner] = name
    taken = set(found.values())
    for owner, node in sorted(own.items()):
        if owner not in found:
            found[owner] = numbered(node.scope + kind_name(node.layer), taken)
            taken.add(found[owner])
    return [found[node.owner] for node in nodes]
