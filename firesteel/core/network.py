"""Networks: layers connected over one flat vector of parameters; and objectives: a network with its loss and metrics.

This is the build check: shapes must fit together and the loss must suit the last layer, or building raises.  After it
`learn` and `score` trust their arguments.  Both return plain sums, which add up over batches, blocks and shards;
`firesteel/train` decides who divides them, and when.
"""

import functools
import hashlib
import itertools
import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from firesteel.core import layers
from firesteel.core.centre import UNCENTRED, Centre
from firesteel.core.constraints import Constraint
from firesteel.core.csr import CSR, Features
from firesteel.core.layer import Joint, Layer, Param
from firesteel.core.layers.dense import Linear
from firesteel.core.layers.preprocessing import Rescaling, Standardize
from firesteel.core.layout import Layout
from firesteel.core.losses import Loss
from firesteel.core.measuring import Value
from firesteel.core.metrics import Metric, Ranking
from firesteel.core.regularizers import Regularizer
from firesteel.core.seeds import rng_for
from firesteel.core.spec import whole
from firesteel.core.types import Array, Piecewise, Pull, Random, Shape, Weights, cached_property
from firesteel.errors import ConfigError

__all__ = ["DTYPES", "Network", "Node", "Objective", "Part", "alone"]

LAYER, JOINT, SHAPE = map(operator.attrgetter, ("layer", "layer.joint", "shape"))
DTYPES = ("float32", "float64")
T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """A layer of a network, with the numbers of the values that it reads.

    Args:
        layer: The layer.
        args: The numbers of the values that it reads.
        owner: The number of the parameters that it uses; nodes with the same owner share them.
        scope: The path of the models that contain it, such as "base/"; empty for none.
    """

    layer: Layer
    args: tuple[int, ...]
    owner: int
    scope: str = ""


class Part(NamedTuple):
    """One step of the forward pass: a layer, or one of the layers it consists of (`Dense`: product, activation).

    Args:
        layer: The layer to apply.
        reads: The numbers of the values that it reads.
        makes: The numbers of the values that it returns.
        owner: The number of the parameters that it uses.
        number: Its number in the plan, which addresses its random stream.
        learns: Whether the derivative by its output is needed, because it or a part before it has parameters.
        wants: Whether the derivative by its input is needed.
        node: The number of its node.
        frees: The numbers of the values that no later part reads.
    """

    layer: Any
    reads: tuple[int, ...]
    makes: range
    owner: int
    number: int
    learns: bool
    wants: bool
    node: int
    frees: tuple[int, ...] = ()


def derived() -> Any:
    """Declare a dataclass field that is computed from the other fields."""
    return field(init=False, repr=False, compare=False)


@dataclass(frozen=True)
class Network:
    """A network without weights: its layers, their connections, and the dtype.

    Values 0 to k - 1 are the inputs, which lie one after another in a row.  Nodes compute the other values, in order;
    the last one is the output.  A chain is a network in which each node reads the value before it.

    Args:
        nodes: The layers and what they read.
        entries: The shape of each input.
        dtype: "float32" or "float64".
        sparse: Whether the first Dense layer of a chain multiplies non-zeros only; set when training meets sparse
        rows.
        centre: What is subtracted from features and targets before the network sees them.

    Example:
        >>> from firesteel.core.layers import Dense
        >>> network = Network.chain((Dense(2, activation="softmax"),), inputs=3)
        >>> network.layout.size, network.outputs
        (8, 2)
    """

    nodes: tuple[Node, ...]
    entries: tuple[Shape, ...]
    dtype: str = "float32"
    sparse: bool = False
    centre: Centre = UNCENTRED
    inputs: int = derived()
    """Number of inputs, I: how many numbers a row has."""
    outputs: int = derived()
    """Number of outputs, O."""
    chained: bool = derived()
    """Whether each node reads the value before it, and the first one a row of numbers."""
    plan: tuple[Part, ...] = derived()
    """The parts, in order; those that hold means of columns hold them relative to the centre."""
    parts: tuple[Layer, ...] = derived()
    """The layers of the plan, in order."""
    shapes: tuple[Shape, ...] = derived()
    """The shape of every value of a row: the inputs, then the outputs of the parts."""
    params: tuple[dict[str, Param], ...] = derived()
    """The parameters of each owner; the first kernel of a sparse network is updated row by row."""
    layout: Layout = derived()
    """Where each parameter lies in theta."""
    rows: int = derived()
    """Number of pictures that convolutions process together; 0 without such layers."""
    work: int = derived()
    """Number of multiplications for one picture, or 0."""
    joint: bool = derived()
    """Whether a part sums over all rows of a batch, so that the pieces of a batch must run in step."""
    straight: bool = derived()
    """Whether each part reads the output of the part before it, and each row is independent of the others."""
    front: int | None = derived()
    """The number of a chain's first linear part, if zeros stay zeros before it and its rows can be updated alone."""
    rowwise: bool = derived()
    """Whether some parameters are updated row by row."""
    ahead: tuple[Part, ...] = derived()
    """The parts that say which rows of such parameters a batch uses."""

    @staticmethod
    def chain(layers: Sequence[Layer], inputs: int, *rest: Any, **more: Any) -> "Network":
        """Create a network that applies layers one after another.

        Args:
            layers: The layers.
            inputs: How many numbers a row has.
            *rest: Further arguments of `Network`, from `dtype` on.
            **more: Further arguments of `Network`.
        """
        nodes = tuple([Node(layer, (number,), number) for number, layer in enumerate(layers)])
        return Network(nodes, ((inputs,),), *rest, **more)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype={self.dtype!r}: dtype must be one of {', '.join(DTYPES)}", code="config-dtype")
        known, inputs = vars(self), sum(map(math.prod, self.entries))
        if not (self.nodes and inputs):
            raise ConfigError("a network needs inputs and at least one layer: add a layer", code="config-empty")
        read = [(*node.args, node.owner) for node in self.nodes]
        chained = len(self.entries) == len(self.entries[0]) == 1 and read == [(n, n) for n in range(len(read))]
        plan, shapes, params = self._planned()
        rows, work = layers.augmentation.planned(plan, shapes, params) if max(map(len, shapes)) > 1 else (0, 0)
        sizes, outputs = (len(self.centre.features), len(self.centre.targets)), shapes[-1][-1]
        if sizes[0] not in (0, inputs) or sizes[1] not in (0, outputs) or (self.sparse and sizes[0]):
            raise ConfigError(f"a centre of {sizes} numbers does not match the network", code="config-shape")
        if plan and chained and any(sizes):
            plan[0] = plan[0]._replace(layer=plan[0].layer.moved(self.centre.features))
            plan[-1] = plan[-1]._replace(layer=plan[-1].layer.lowered(self.centre.targets))
        known |= {"inputs": inputs, "outputs": outputs, "chained": chained, "plan": tuple(plan), "shapes": shapes}
        known |= {"parts": tuple(map(LAYER, plan)), "joint": any(map(JOINT, plan)), "rows": rows, "work": work}
        known |= {"front": self._front(), "straight": chained and not self.joint}
        if self.sparse and self.front is None:
            why = "sparse rows need a Dense layer without kernel_constraint after layers that keep zeros"
            raise ConfigError(why, code="config-sparse")
        if self.sparse:
            owned = params[plan[self.front or 0].owner]
            owned["w"] = replace(owned["w"], by_row=True)
        layout = Layout(tuple([tuple(zip(owned, map(SHAPE, owned.values()), strict=True)) for owned in params]))
        rowwise = any([one.by_row for owned in params for one in owned.values()])
        ahead = layers.embedding.ahead(plan, params) if rowwise else ()
        known |= {"params": params, "layout": layout, "rowwise": rowwise, "ahead": ahead}
        for _, shape, constraint in self.constrained:
            constraint.check(shape)
        for n, name, penalty in self.penalized:
            penalty.check(params[n][name].shape)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in order, one for each node."""
        return tuple(map(LAYER, self.nodes))

    def _planned(self) -> tuple[list[Part], tuple[Shape, ...], tuple[dict[str, Param], ...]]:
        """Compute the steps of the forward pass, the shapes of all values, and the parameters of each layer."""
        plan, params, owners = list[Part](), list[dict[str, Param]](), dict[tuple[int, int], int]()
        shapes, wanted, numbers = list(self.entries), [False] * len(self.entries), list(range(len(self.entries)))
        for number, node in enumerate(self.nodes):
            if not node.args or min(node.args) < 0 or max(node.args) >= len(numbers):
                raise _wrong(number, node, "reads values that no layer before it returns")
            reads = tuple(map(numbers.__getitem__, node.args))
            needed, width = node.layer.inputs, shapes[reads[0]][-1]
            if needed not in (None, width, math.prod(shapes[reads[0]])):
                raise _wrong(number, node, f"takes {needed} inputs, but receives {width} values")
            for at, layer in enumerate(node.layer.parts()):
                given = [*map(shapes.__getitem__, reads)]
                made = layer.output_shape(*given)
                results = [made] if layer.results == 1 else list(made)
                owner, learned = owners.setdefault((node.owner, at), len(owners)), layer.params(*given)
                if owner == len(params):
                    params.append(learned)
                elif params[owner] != learned:
                    raise _wrong(number, node, "shares parameters with a layer of another shape")
                wants, makes = any(map(wanted.__getitem__, reads)), range(len(shapes), len(shapes) + len(results))
                plan.append(Part(layer, reads, makes, owner, len(plan), wants or bool(learned), wants, number))
                shapes += results
                wanted += [plan[-1].learns] * len(results)
                reads = tuple(makes)
            if max(itertools.chain(*map(shapes.__getitem__, reads))) >= 2**63:
                raise _wrong(number, node, "has more than 2^63 - 1 outputs")
            numbers += reads
        last = {read: part.number for part in plan for read in part.reads}
        for read, at in last.items():
            plan[at] = plan[at]._replace(frees=(*plan[at].frees, read))
        return plan, tuple(shapes), tuple(params)

    def _front(self) -> int | None:
        """Return the number of the dense layer that can read sparse rows directly; None if it cannot.

        Example:
            >>> from firesteel.core.layers import Dense
            >>> [Network.chain((Rescaling(2.0, offset), Dense(3)), 5).front for offset in (0, 1)]
            [1, None]
        """
        for number, part in enumerate(self.parts if self.chained else ()):
            if isinstance(part, Linear):
                alone = part.kernel_constraint is None and not getattr(part.kernel_regularizer, "joint", False)
                return number if alone else None
            keeps = isinstance(part, Rescaling) and not part.offset
            if not keeps and not (isinstance(part, Standardize) and not any(part.mean)):
                return None
        return None

    def layer_of(self, owner: int) -> str:
        """Return a name of layer number `owner` for messages, such as "layer 2 (Dense)"."""
        number = next(part.node for part in self.plan if part.owner == owner)
        return f"layer {number} ({type(self.nodes[number].layer).__name__})"

    def init(self, seed: int) -> Array:
        """Draw the initial parameters, (P,): each array from a random stream of its own, in float64, then rounded."""
        theta = np.zeros(self.layout.size, self.dtype)
        for owner, name, shape, at in self.layout.slices:
            theta[at] = self.params[owner][name].initializer.draw(rng_for(seed, "init", owner, name), shape).ravel()
        return theta

    # Forward and backward

    def read_by(self, last: int | None = None) -> int:
        """Return the number of the value that part number `last` reads.

        Args:
            last: The number of the part; None for the number of the output.
        """
        return len(self.shapes) - 1 if last in (None, len(self.plan)) else self.plan[last].reads[0]

    def output(self, p: Weights, x: Any, last: int | None = None) -> Array:
        """Return the outputs, (B, O), in inference mode.

        Args:
            p: The parameters of each owner.
            x: The rows, as in `forward`.
            last: The number of a part, to return what it reads instead.
        """
        if not self.straight:
            y: Array = alone(self.forward(p, x, None, self.plan[:last]))[0][self.read_by(last)]
            return y
        for part in self.plan[self.front if isinstance(x, CSR) else 0 : last]:
            x, _ = part.layer.apply(p[part.owner], x)
        return x

    def forward(
        self, p: Weights, x: Features, random: Random, plan: Sequence[Part], keep: bool = False
    ) -> Piecewise[tuple[dict[int, Any], list[tuple[Part, Pull]]]]:
        """Run the forward pass of some parts on some rows of a batch.

        Args:
            p: The parameters of each owner.
            x: The rows, (B, I); sparse rows are the input of the first linear part.
            random: Gives the random stream of each part, in training; None otherwise.
            plan: The parts to run.
            keep: Whether to keep values that no later part reads.

        Returns:
            The values, by number, and the pull-back of each part, in order.
        """
        at = self.front or 0 if isinstance(x, CSR) else 0
        plan, pulls = plan[at:], []
        values: dict[int, Any] = {at: x} if self.chained else self._entered(x)
        for part in plan:
            rng = random(part.number) if random is not None and part.layer.random else None
            given = [values[read] for read in part.reads]
            if part.layer.joint and random is not None:
                given.append((yield part.layer.batch_sums(*given)))
            made, pull = part.layer.apply(p[part.owner], *given, rng=rng)
            values |= zip(part.makes, made if len(part.makes) > 1 else [made], strict=True)
            pulls.append((part, pull))
            for read in () if keep else part.frees:
                del values[read]
        return values, pulls

    def columns(self, entry: int) -> slice:
        """Return the columns of a packed row that hold input number `entry`."""
        start = sum(map(math.prod, self.entries[:entry]))
        return slice(start, start + math.prod(self.entries[entry]))

    def _entered(self, x: Any) -> dict[int, Any]:
        """Split packed rows x, (B, I), into the network's inputs, (B, *shape) each."""
        return {n: x[:, self.columns(n)].reshape(len(x), *shape) for n, shape in enumerate(self.entries)}

    def backward(
        self, pulls: Sequence[tuple[Part, Pull]], value: int, d: Array, g: Weights, entries: bool = False
    ) -> Piecewise[list[Array | None]]:
        """Run the backward pass, starting from one value, and write the gradients of all parameters.

        Where several derivatives reach one value, or shared parameters, they are added from the last node on.

        Args:
            pulls: What `forward` returned.
            value: The number of the value.
            d: The derivative of the loss by it.
            g: Where the derivatives by the parameters are written.
            entries: Whether to compute the derivatives by the inputs.

        Returns:
            The derivatives by the inputs, if `entries`.
        """
        found, written = {value: d}, set[int]()
        for part, pull in reversed(pulls):
            met = [found.pop(made, None) for made in part.makes]
            if not (part.learns or entries) or all(one is None for one in met):
                continue
            d_y: Any = met[0]
            if len(met) > 1:
                none = [np.zeros((len(d), *self.shapes[made]), d.dtype) for made in part.makes]
                d_y = tuple(zero if one is None else one for one, zero in zip(met, none, strict=True))
            own, again, wants = g[part.owner], part.owner in written, part.wants or entries
            into = {name: np.empty_like(array) for name, array in own.items()} if again else own
            if isinstance(pull, Joint):
                pull = functools.partial(pull.pull, total=(yield pull.batch_sums(d_y)))
            back = pull(d_y, into, wants)
            for name in own if again else ():
                own[name] += into[name]
            written.add(part.owner)
            for read, d_x in zip(part.reads, back if len(part.reads) > 1 else [back], strict=True) if wants else ():
                if d_x is not None:
                    found[read] = found[read] + d_x if read in found else d_x
        for owner in {part.owner for part, _ in pulls} - written:
            for array in g[owner].values():
                array.fill(0)
        return [found.get(entry) for entry in range(len(self.entries))]

    @cached_property
    def penalized(self) -> tuple[tuple[int, str, Regularizer], ...]:
        """Parameters with a regularizer, as tuples (layer number, name, regularizer)."""
        slices, of = self.layout.slices, self.params
        return tuple([(n, name, one) for n, name, _, _ in slices if (one := of[n][name].regularizer) is not None])

    @cached_property
    def constrained(self) -> tuple[tuple[slice, Shape, Constraint], ...]:
        """Parameters with a constraint, as tuples (slice of theta, shape, constraint)."""
        slices, of = self.layout.slices, self.params
        return tuple(
            [(at, shape, one) for n, name, shape, at in slices if (one := of[n][name].constraint) is not None]
        )

    @cached_property
    def statistics(self) -> tuple[tuple[slice, float], ...]:
        """Running averages, as tuples (slice of theta, momentum)."""
        slices, of = self.layout.slices, self.params
        return tuple([(at, one) for n, name, _, at in slices if (one := of[n][name].average) is not None])

    def penalty(self, p: Weights, g: Weights | None = None) -> float:
        """Return the penalty on the weights p, and add its derivative to the gradient g, if given."""
        parts = ((penalty, p[n][name], None if g is None else g[n][name]) for n, name, penalty in self.penalized)
        return sum((penalty.add(weights, slope) for penalty, weights, slope in parts), 0.0)

    def to_config(self) -> dict[str, Any]:
        """Return the configuration, which JSON can hold."""
        nodes = [
            {"layer": n.layer.to_config(), "from": n.args, "owner": n.owner} | ({"in": n.scope} if n.scope else {})
            for n in self.nodes
        ]
        rest = {"sparse": self.sparse, "centre": self.centre.to_config()}
        described = {"dtype": self.dtype} | {name: value for name, value in rest.items() if value}
        if self.chained and not any([node.scope for node in self.nodes]):
            return {"layers": [node["layer"] for node in nodes], "inputs": self.inputs} | described
        return {"nodes": nodes, "entries": self.entries} | described

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> "Network":
        """Return the network that `to_config` described.  Raises ConfigError for anything else."""
        given, inputs, dtype = config.get("layers"), whole(config.get("inputs")), str(config.get("dtype"))
        centre = Centre.from_config(config.get("centre", {}))
        if "nodes" in config:
            return Network(*_linked(config), dtype, centre=centre)
        if not isinstance(given, list) or inputs is None or inputs < 1:
            raise ConfigError("this config describes no network: layers or inputs are missing", code="config-field")
        return Network.chain([layers.get(one) for one in given], inputs, dtype, bool(config.get("sparse")), centre)

    def fingerprint(self, theta: Array) -> str:
        """Return the SHA-256 (64 hex digits) of the architecture and the weights."""
        digest = hashlib.sha256(json.dumps(self.to_config(), sort_keys=True).encode())
        digest.update(np.ascontiguousarray(theta, theta.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


def _wrong(number: int, node: Node, why: str) -> ConfigError:
    return ConfigError(f"layer {number}, {node.layer}, {why}", code="config-shape")


def alone(work: Piecewise[T]) -> T:
    """Run work on a whole batch, which needs no sums from other pieces, and return its result."""
    total = None
    try:
        while True:
            total = work.send(total)
    except StopIteration as ended:
        result: T = ended.value
        return result


def _linked(config: Mapping[str, Any]) -> tuple[tuple[Node, ...], tuple[Shape, ...]]:
    """Return the nodes and input shapes in a config; raise ConfigError if it is not one of `to_config`."""
    try:
        numbers = [_numbers((*n["from"], n["owner"])) for n in config["nodes"]]
        scopes = [str(n.get("in", "")) for n in config["nodes"]]
        given = zip([layers.get(n["layer"]) for n in config["nodes"]], numbers, scopes, strict=True)
        return tuple(Node(layer, n[:-1], n[-1], s) for layer, n, s in given), tuple(map(_numbers, config["entries"]))
    except (KeyError, TypeError):
        raise ConfigError("this config describes no network: its nodes are damaged", code="config-field") from None


def _numbers(given: Any) -> tuple[int, ...]:
    if not all(type(n) is int and 0 <= n < 2**31 for n in given):
        raise TypeError
    return tuple(given)


@dataclass(frozen=True)
class Objective:
    """Training objective: a network, its loss, and its metrics.

    Its results are sums over rows: of the loss, of the weights, of ones, and of each metric.  The penalty on the
    weights is not included, because it belongs to the update and not to the rows.

    Args:
        network: The network.
        loss: The loss.
        metrics: Pairs of a name and a metric.  A `Ranking` has no sums; `train/ranking.py` measures it.
        class_weight: The factor of a row's weight in training, for each class; None for 1.

    Example:
        >>> from firesteel.core import losses
        >>> from firesteel.core.layers import Dense
        >>> network = Network.chain((Dense(2, activation="softmax"),), inputs=3)
        >>> Objective(network, losses.get("sparse_categorical_crossentropy")).last
        1
        >>> try:
        ...     Objective(network, losses.get("binary_crossentropy"))
        ... except ConfigError as error:
        ...     print(error.code)
        config-loss
    """

    network: Network
    loss: Loss
    metrics: tuple[tuple[str, Metric], ...] = ()
    class_weight: tuple[float, ...] | None = None
    last: int = derived()
    """Number of parts that run before the loss, which may include the last one, its link."""
    summed: tuple[tuple[str, Metric, slice], ...] = derived()
    """The metrics that are sums over rows, adapted to the loss, and the places of their sums."""
    size: int = derived()
    """Number of sums."""
    centred: Loss = derived()
    """The loss for outputs and targets from which the centre has been subtracted."""

    def __post_init__(self) -> None:
        parts, outputs = self.network.parts, self.network.outputs
        self.loss.check(parts[-1] if parts else "nothing", outputs)
        at, summed = 3, []
        for name, metric in self.metrics:
            if not isinstance(metric, Ranking):
                metric = metric.suited(self.loss, outputs)
                summed.append((name, metric, slice(at, at := at + metric.size(outputs))))
        last = len(parts) - (self.loss.link is not None)
        centred = self.loss.lowered(self.network.centre.targets)
        vars(self).update(last=last, summed=tuple(summed), size=at, centred=centred)

    @cached_property
    def plan(self) -> tuple[Part, ...]:
        """The steps of the forward pass before the loss, which computes a last softmax or sigmoid itself."""
        return self.network.plan[: self.last]

    @property
    def ranked(self) -> list[tuple[str, Ranking]]:
        """Metrics that depend on the ranking of all rows, such as AUC."""
        return [(name, metric) for name, metric in self.metrics if isinstance(metric, Ranking)]

    @property
    def names(self) -> list[str]:
        """Names of the loss and the metrics: "loss" first."""
        return ["loss", *(name for name, _ in self.metrics)]

    def means(self, sums: Array) -> dict[str, Any]:
        """Return {name: value} of the mean loss and of the metrics that are computed from sums."""
        values: dict[str, Value] = {"loss": float(sums[0] / sums[1])}
        return values | {name: metric.result(sums[where], sums[1]) for name, metric, where in self.summed}

    def weighted(self, y: Array, w: Array) -> Array:
        """Return the row weights for training, (B,): w times the weights of the rows' classes.

        Args:
            y: The targets, (B, T): class numbers or one-hot rows if there are class weights.
            w: The weights of the rows, (B,).
        """
        if self.class_weight is None:
            return w
        number = y[:, 0].astype(np.intp) if y.shape[1] == 1 else y.argmax(axis=1)
        return w * np.array(self.class_weight).take(number)

    def score(self, p: Weights, x: Features, y: Array, w: Array) -> Array:
        """Return the sums of loss, weights and metrics over rows, (size,), float64, in inference mode.

        Args:
            p: The parameters of each owner.
            x: The rows, (B, I).
            y: The targets, (B, T).
            w: The weights of the rows, (B,), float64.
        """
        losses, outputs, _ = self.centred.rows(self.network.output(p, x, last=self.last), y)
        return self.sums(losses, outputs, y, w)

    def learn(self, p: Weights, x: Features, y: Array, w: Array, scale: float, random: Random, g: Weights) -> Array:
        """Compute the gradient of the weighted loss over rows.

        Args:
            p: The parameters of each owner.
            x: The rows, (B, I).
            y: The targets, (B, T).
            w: The weights of the rows, (B,), float64.
            scale: The factor of the gradient.
            random: Gives the random stream of each part.
            g: The views into which scale x d(sum of w L)/d(theta) is written.

        Returns:
            The same sums as `score`.
        """
        return self.sums(*alone(self.rows(p, x, y, w * scale, random, g)), y, w)

    def rows(
        self, p: Weights, x: Features, y: Array, weights: Array, random: Random, g: Weights
    ) -> Piecewise[tuple[Array, Array]]:
        """Compute the gradient of the loss over some rows of a batch.

        Where a part sums over the whole batch, it yields the sums over these rows and is sent those over all rows.

        Args:
            p: The parameters of each owner.
            x: The rows, (B, I).
            y: The targets, (B, T).
            weights: The weights of the rows times the factor of the gradient, (B,).
            random: Gives the random stream of each part.
            g: The views into which d(sum of weights L)/d(theta) is written.

        Returns:
            The loss of each row, (B,), and the outputs, (B, O).
        """
        if self.network.straight:
            return self.straight(p, x, y, weights, random, g)
        values, pulls = yield from self.network.forward(p, x, random, self.plan)
        at = self.network.read_by(self.last)
        losses, outputs, d = self.slopes(z := values[at], y, weights.astype(z.dtype, copy=False))
        yield from self.network.backward(pulls, at, d, g)
        return losses, outputs

    def straight(self, p: Weights, x: Any, y: Array, w: Array, random: Random, g: Weights) -> tuple[Array, Array]:
        """Compute what `rows` computes, faster, for a network that is a chain of layers (`straight`)."""
        pulls = []
        for part in self.plan[self.network.front if isinstance(x, CSR) else 0 :]:
            rng = random(part.number) if random is not None and part.layer.random else None
            x, pull = part.layer.apply(p[part.owner], x, rng=rng)
            pulls.append((part, pull))
        losses, outputs, d = self.slopes(x, y, w.astype(x.dtype, copy=False))
        for part, pull in reversed(pulls):
            d = pull(d, g[part.owner], part.wants) if part.learns else d
        return losses, outputs

    def slopes(self, z: Array, y: Array, weights: Array) -> tuple[Array, Array, Array]:
        """Compute each row's loss, outputs and weighted derivative by z, the loss's input.

        Args:
            z: The loss's input, (B, O).
            y: The targets, (B, T).
            weights: The weights of the rows, (B,).

        Returns:
            The losses (B,), the outputs (B, O) and the weighted derivatives by z (B, O).
        """
        losses, outputs, d = self.centred.rows(z, y)
        d *= weights[:, None]
        return losses, outputs, d

    def sums(self, losses: Array, outputs: Array, y: Array, w: Array) -> Array:
        """Return the sums that `score` returns, from the rows' losses, (B,), and outputs, (B, O)."""
        sums = np.empty(self.size)
        sums[:3] = np.dot(losses, w), np.add.reduce(w), len(w)
        centre = self.network.centre.targets
        for _, metric, where in self.summed:
            by = np.array(centre) if centre and not metric.differences else None
            sums[where] = metric.sums(outputs, y, w) if by is None else metric.sums(outputs + by, y + by, w)
        return sums
