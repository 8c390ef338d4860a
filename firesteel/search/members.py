"""Ensembles: several trainings of one network, each without a different fold of the rows, with averaged outputs.

The ensemble is a network too, with the members' layers in parallel, so that it is scored, saved, loaded and deployed
like any other.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from firesteel._model import Model
from firesteel.core.centre import Centre
from firesteel.core.layers import Activation, Average, Dense, Layer, Logarithm, Normalization
from firesteel.core.layers.activation import Sigmoid, Softmax
from firesteel.core.network import Network, Node
from firesteel.errors import ConfigError, DataError, DivergenceError
from firesteel.graphs.describing import in_line
from firesteel.models import Sequential
from firesteel.train.fit import fit
from firesteel.train.history import History
from firesteel.train.recipe import Recipe
from firesteel.train.source import Source


class Foldable(Source, Protocol):
    """Protocol of row sources that can hold out one of several equal folds."""

    def folded(self, fold: int, folds: int) -> Source:
        """Return the rows with one of `folds` equal folds held out for validation."""
        ...


def fit_members(
    build: Callable[[int], Model],
    source: Foldable,
    recipe: Recipe,
    members: int,
    given: Callable[[int], Mapping[str, Any]] = lambda number: {},
) -> tuple[Model, History]:
    """Train the members of an ensemble, each without a different fold of the rows, and return their average.

    A member is left out if it diverges or no row of its fold counts; `History.left_out` gives the reason.

    Args:
        build: Creates the untrained model of a member, given its number.
        source: The rows.
        recipe: The settings of training; a member's number is added to the seed.
        members: The number of members.
        given: Returns further arguments of `train.fit`, given a member's number.

    Returns:
        The averaged model, and the history of all members, with a `member` entry in each row.

    Raises:
        ConfigError: If the outputs cannot be averaged (`config-members`).
        DataError: If one fold has all rows.
        DivergenceError: If every member diverges.
    """
    made, kept = list[Model](), History()
    for number in range(members):
        model = build(number)
        try:
            seed = (recipe.seed + number) % 2**63
            fit(model, source.folded(number, members), replace(recipe, seed=seed), **given(number))
            made.append(model)
        except (DataError, DivergenceError) as error:
            if isinstance(error, DataError) and error.code not in ("data-empty", "data-zero-weight"):
                raise
            kept.left_out[number] = str(error)
            if len(kept.left_out) == members:
                raise
        made_of = model.history or History()
        kept.machines |= made_of.machines
        kept.rows += [{"member": number, **row} for row in made_of.rows]
    together = averaged(made)
    together.history = kept
    return together, kept


def averaged(members: Sequence[Model]) -> Model:
    """Return a model whose outputs are the means of several models' outputs (probabilities or numbers).

    Raises:
        ConfigError: If a network is not a chain, or inputs, outputs or last layers differ (`config-members`).
    """
    first = members[0].network
    kinds = {
        (in_line(net), net.entries, net.outputs, net.dtype, net.centre.features)
        for net in (one.network for one in members)
    }
    ends = {type(one.network.parts[-1]) for one in members}
    if len(kinds) > 1 or len(ends) > 1 or not in_line(first):
        raise ConfigError("averaged members must be chains with the same inputs and outputs", code="config-members")
    nodes, last, centres = list[Node](), list[int](), list[tuple[float, ...]]()
    for model in members:
        network = model.network
        for number, node in enumerate(network.nodes):
            layer = copy.copy(node.layer)  # members built from the same layers do not share weights
            layer = layer if number else _moved(layer, first.centre.features)
            nodes.append(Node(layer, (len(nodes) if number else 0,), len(nodes)))
        if network.centre.targets and isinstance(nodes[-1].layer, Normalization):
            nodes[-1] = replace(nodes[-1], layer=replace(nodes[-1].layer, centre=network.centre.targets))
        centres.append(network.centre.targets or (0.0,) * network.outputs)
        last.append(len(nodes))
    mean = np.mean(centres, axis=0)
    nodes.append(Node(Average(np.ravel(centres) if mean.any() else None), tuple(last), len(nodes)))  # type: ignore[arg-type]
    for layer in endings(ends.pop()):
        nodes.append(Node(layer, (len(nodes),), len(nodes)))
    centre = Centre(first.centre.features, tuple(mean.tolist()) if mean.any() else ())
    together = Model(Network(tuple(nodes), first.entries, first.dtype, centre=centre))
    together.schema = members[0].schema
    if (how := members[0].get_compile_config()) is not None:
        together.compile(how["optimizer"], how["loss"], how["metrics"])
    together._choose(np.concatenate([one.theta for one in members]))
    return together


def _moved(layer: Layer, features: tuple[float, ...]) -> Layer:
    """Return a member's first layer adapted to centred inputs, for a network that is not a chain."""
    if features and isinstance(layer, Normalization):
        return replace(layer, centre=features)
    if features and not isinstance(layer, Dense):
        raise ConfigError(
            "members cannot be averaged for features this far from zero: subtract their means first, or begin the "
            "network with Normalization()",
            code="config-members",
        )
    return layer


def endings(kind: type) -> list[Layer]:
    """Return the layers that turn averaged probabilities into outputs that a loss accepts."""
    if kind is Softmax:
        return [Logarithm(), Activation("softmax")]
    return [Logarithm(odds=True), Activation("sigmoid")] if kind is Sigmoid else []


def _joined(nodes: Sequence[Node]) -> int | None:
    """Return the number of the node that averages an ensemble's members; None for any other network."""
    at = next((number for number, node in enumerate(nodes) if isinstance(node.layer, Average)), None)
    if at is None:
        return None
    starts = (0, *nodes[at].args[:-1])
    chains = [Node(node.layer, (0 if n in starts else n,), n) for n, node in enumerate(nodes[:at])]
    behind = [node.layer for node in nodes[at + 1 :]]
    ordered = all(start < end for start, end in zip(starts, nodes[at].args, strict=True))
    joined = ordered and nodes[at].args[-1] == at and chains == list(nodes[:at])
    return at if joined and behind in ([], endings(Softmax), endings(Sigmoid)) else None


def members_of(model: Model) -> list[Model]:
    """Return the members of an ensemble; for any other model, a list with the model alone."""
    nodes = model.network.nodes
    at = _joined(nodes)
    if at is None:
        return [model]
    found, start, used = list[Model](), 0, 0
    average = nodes[at]
    centres = np.split(np.array(average.layer.centres or (), np.float64), len(average.args))
    for end, centre in zip(average.args, centres, strict=True):
        layers = [node.layer for node in nodes[start:end]]
        plain = [replace(one, centre=None) if isinstance(one, Normalization) else copy.copy(one) for one in layers]
        member = Sequential(plain, dtype=model.network.dtype)
        member._network = member._network_for(model.network.inputs, model.network.entries[0])
        whole = Centre(model.network.centre.features, tuple(centre.tolist()) if centre.any() else ())
        member._network = replace(member.network, centre=whole)
        size = member.network.layout.size
        member.schema = model.schema
        member._choose(model.theta[used : used + size].copy())
        found.append(member)
        start, used = end, used + size
    return found
