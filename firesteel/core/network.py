"""A network is its layers strung together over one flat vector; an objective is a network with its loss and metrics.

This is the second gate: shapes must compose and the loss must suit the last layer, or building raises.  After it,
`learn` and `score` trust what they are given.  Both return plain sums, so that batches, blocks and shards add up;
who divides, and when, is decided in `firesteel/train`.
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
    """A layer that is applied to values of a network.

    Args:
        layer: What is applied.
        args: The numbers of the values that it reads.
        owner: Whose parameters it uses: nodes of one owner share them.
        scope: The models that it lies in, if it does, as "base/".
    """

    layer: Layer
    args: tuple[int, ...]
    owner: int
    scope: str = ""


class Part(NamedTuple):
    """A layer that runs: a node's, or a part of it.

    Args:
        layer: What runs.
        reads: The numbers of the values that it is given.
        makes: The numbers of the values that it makes.
        owner: Whose parameters it uses.
        number: Its number among the parts, which names its random stream.
        learns: Whether the derivative by what it makes is wanted, because it or something before it has parameters.
        wants: Whether the derivative by what it reads is.
        node: The number of its node.
        frees: The numbers of the values that nothing reads after it.
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
    """Declare a field that follows from the others."""
    return field(init=False, repr=False, compare=False)


@dataclass(frozen=True)
class Network:
    """Layers, what each of them reads, and the dtype: everything about a network but its weights.

    Values 0 to k - 1 are the inputs, which lie one after another in a row; nodes make the others, in order, and the
    last one is the output.  A chain is the network in which each node reads the value before it.

    Args:
        nodes: The layers and what they read.
        entries: The shape of each input.
        dtype: "float32" or "float64".
        sparse: Whether the first layer of a chain multiplies non-zeros only, as it does once it has met sparse rows.
        centre: What inputs and outputs are less than the features and targets that the network is for.

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
    """Number of inputs, I: of the numbers in a row."""
    outputs: int = derived()
    """Number of outputs, O."""
    chained: bool = derived()
    """Whether each node reads the value before it, and the first one a row of numbers."""
    plan: tuple[Part, ...] = derived()
    """What runs, in order; parts that know the means of columns count from the centre."""
    parts: tuple[Layer, ...] = derived()
    """The layers that run, in order."""
    shapes: tuple[Shape, ...] = derived()
    """The shape of every value of a row: of the inputs, and of what the parts make."""
    params: tuple[dict[str, Param], ...] = derived()
    """What each owner learns; the first kernel of a sparse network moves row by row."""
    layout: Layout = derived()
    """Where each parameter lies in theta."""
    rows: int = derived()
    """How many pictures meet the mathematics together, where windows slide over pictures; else 0."""
    work: int = derived()
    """The multiplications for one, or 0."""
    joint: bool = derived()
    """Whether a part sums over all rows of a batch, so that its pieces have to be learned from side by side."""
    straight: bool = derived()
    """Whether each part reads what the one before it makes, and no rows but its own."""
    front: int | None = derived()
    """The number of a chain's first linear part, if zeros stay zeros before it and its kernel moves row by row."""
    rowwise: bool = derived()
    """Whether parameters move row by row."""
    ahead: tuple[Part, ...] = derived()
    """What says which rows a batch touches of the parameters that move row by row."""

    @staticmethod
    def chain(layers: Sequence[Layer], inputs: int, *rest: Any, **more: Any) -> "Network":
        """Return the network of layers one after another, for rows of so many numbers; the rest as in `Network`."""
        nodes = tuple([Node(layer, (number,), number) for number, layer in enumerate(layers)])
        return Network(nodes, ((inputs,),), *rest, **more)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype={self.dtype!r}: it must be one of {DTYPES}", code="config-dtype")
        known, inputs = vars(self), sum(map(math.prod, self.entries))
        if not (self.nodes and inputs):
            raise ConfigError("a network needs inputs and at least one layer, and this has none", code="config-empty")
        read = [(*node.args, node.owner) for node in self.nodes]
        chained = len(self.entries) == len(self.entries[0]) == 1 and read == [(n, n) for n in range(len(read))]
        plan, shapes, params = self._planned()
        rows, work = layers.augmentation.planned(plan, shapes, params) if max(map(len, shapes)) > 1 else (0, 0)
        sizes, outputs = (len(self.centre.features), len(self.centre.targets)), shapes[-1][-1]
        if sizes[0] not in (0, inputs) or sizes[1] not in (0, outputs) or (self.sparse and sizes[0]):
            raise ConfigError(f"a centre of {sizes} numbers does not fit the network", code="config-shape")
        if plan and chained and any(sizes):
            plan[0] = plan[0]._replace(layer=plan[0].layer.moved(self.centre.features))
            plan[-1] = plan[-1]._replace(layer=plan[-1].layer.lowered(self.centre.targets))
        known |= {"inputs": inputs, "outputs": outputs, "chained": chained, "plan": tuple(plan), "shapes": shapes}
        known |= {"parts": tuple(map(LAYER, plan)), "joint": any(map(JOINT, plan)), "rows": rows, "work": work}
        known |= {"front": self._front(), "straight": chained and not self.joint}
        if self.sparse and self.front is None:
            why = "sparse rows are taken where zeros stay zeros up to a Dense layer without a rule for whole columns"
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
        """The layers, in order."""
        return tuple(map(LAYER, self.nodes))

    def _planned(self) -> tuple[list[Part], tuple[Shape, ...], tuple[dict[str, Param], ...]]:
        """Return the parts, the shape of every value, and what each owner learns."""
        plan, params, owners = list[Part](), list[dict[str, Param]](), dict[tuple[int, int], int]()
        shapes, wanted, numbers = list(self.entries), [False] * len(self.entries), list(range(len(self.entries)))
        for number, node in enumerate(self.nodes):
            if not node.args or min(node.args) < 0 or max(node.args) >= len(numbers):
                raise _wrong(number, node, "reads values that nothing makes")
            reads = tuple(map(numbers.__getitem__, node.args))
            needed, width = node.layer.inputs, shapes[reads[0]][-1]
            if needed not in (None, width, math.prod(shapes[reads[0]])):
                raise _wrong(number, node, f"is for {needed} inputs, but {width} values reach it")
            for at, layer in enumerate(node.layer.parts()):
                given = [*map(shapes.__getitem__, reads)]
                made = layer.output_shape(*given)
                results = [made] if layer.results == 1 else list(made)
                owner, learned = owners.setdefault((node.owner, at), len(owners)), layer.params(*given)
                if owner == len(params):
                    params.append(learned)
                elif params[owner] != learned:
                    raise _wrong(number, node, "shares its parameters with another shape")
                wants, makes = any(map(wanted.__getitem__, reads)), range(len(shapes), len(shapes) + len(results))
                plan.append(Part(layer, reads, makes, owner, len(plan), wants or bool(learned), wants, number))
                shapes += results
                wanted += [plan[-1].learns] * len(results)
                reads = tuple(makes)
            if max(itertools.chain(*map(shapes.__getitem__, reads))) >= 2**63:
                raise _wrong(number, node, "has more outputs than can be")
            numbers += reads
        last = {read: part.number for part in plan for read in part.reads}
        for read, at in last.items():
            plan[at] = plan[at]._replace(frees=(*plan[at].frees, read))
        return plan, tuple(shapes), tuple(params)

    def _front(self) -> int | None:
        """Return `front`.

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
        """Return in words whose parameters an owner's are, as "layer 2 (Dense)"."""
        number = next(part.node for part in self.plan if part.owner == owner)
        return f"layer {number} ({type(self.nodes[number].layer).__name__})"

    def init(self, seed: int) -> Array:
        """Draw the first theta, (P,); each array from its own stream, in float64, then rounded to the dtype."""
        theta = np.zeros(self.layout.size, self.dtype)
        for owner, name, shape, at in self.layout.slices:
            theta[at] = self.params[owner][name].initializer.draw(rng_for(seed, "init", owner, name), shape).ravel()
        return theta

    # Forward and backward

    def read_by(self, last: int | None = None) -> int:
        """Return the number of the value that part `last` reads, or that of the output."""
        return len(self.shapes) - 1 if last in (None, len(self.plan)) else self.plan[last].reads[0]

    def output(self, p: Weights, x: Any, last: int | None = None) -> Array:
        """Return the output in use, (B, O), or what part `last` reads; p and x are those of `forward`."""
        if not self.straight:
            y: Array = alone(self.forward(p, x, None, self.plan[:last]))[0][self.read_by(last)]
            return y
        for part in self.plan[self.front if isinstance(x, CSR) else 0 : last]:
            x, _ = part.layer.apply(p[part.owner], x)
        return x

    def forward(
        self, p: Weights, x: Features, random: Random, plan: Sequence[Part], keep: bool = False
    ) -> Piecewise[tuple[dict[int, Any], list[tuple[Part, Pull]]]]:
        """Run the parts on the rows of a piece of a batch.

        Args:
            p: The parameters of each owner.
            x: The rows, (B, I); sparse ones are what reaches the first linear part.
            random: Gives each random part its stream, in training; None in use.
            plan: The parts that run.
            keep: Whether values that nothing else reads are kept.

        Returns:
            The values that are kept, by number, and the pull-back of each part, in order.
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
        """Return where an input lies in a row."""
        start = sum(map(math.prod, self.entries[:entry]))
        return slice(start, start + math.prod(self.entries[entry]))

    def _entered(self, x: Any) -> dict[int, Any]:
        """Return the inputs, (B, *shape) each, out of rows x, (B, I)."""
        return {n: x[:, self.columns(n)].reshape(len(x), *shape) for n, shape in enumerate(self.entries)}

    def backward(
        self, pulls: Sequence[tuple[Part, Pull]], value: int, d: Array, g: Weights, entries: bool = False
    ) -> Piecewise[list[Array | None]]:
        """Pull d, the derivative of the loss by a value, back, and write the derivatives by all parameters into g.

        Derivatives that meet, at a value or at parameters that are shared, add up from the last node on.

        Returns:
            The derivatives by the inputs, if `entries`; else they are not computed.
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
        """The parameters that have a regulariser: (owner, name, regulariser)."""
        slices, of = self.layout.slices, self.params
        return tuple([(n, name, one) for n, name, _, _ in slices if (one := of[n][name].regularizer) is not None])

    @cached_property
    def constrained(self) -> tuple[tuple[slice, Shape, Constraint], ...]:
        """The parameters that must satisfy something: (slice of theta, shape, constraint)."""
        slices, of = self.layout.slices, self.params
        return tuple(
            [(at, shape, one) for n, name, shape, at in slices if (one := of[n][name].constraint) is not None]
        )

    @cached_property
    def statistics(self) -> tuple[tuple[slice, float], ...]:
        """The running averages: (slice of theta, the share of the old one that stays at an update)."""
        slices, of = self.layout.slices, self.params
        return tuple([(at, one) for n, name, _, at in slices if (one := of[n][name].average) is not None])

    def penalty(self, p: Weights, g: Weights | None = None) -> float:
        """Return the penalty on the weights, and add its derivative into the views g if given."""
        parts = ((penalty, p[n][name], None if g is None else g[n][name]) for n, name, penalty in self.penalized)
        return sum((penalty.add(weights, slope) for penalty, weights, slope in parts), 0.0)

    def to_config(self) -> dict[str, Any]:
        """Return the JSON-able description."""
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
        """Make the network that `to_config` described.  Raises ConfigError if it does not describe one."""
        given, inputs, dtype = config.get("layers"), whole(config.get("inputs")), str(config.get("dtype"))
        centre = Centre.from_config(config.get("centre", {}))
        if "nodes" in config:
            return Network(*_linked(config), dtype, centre=centre)
        if not isinstance(given, list) or inputs is None or inputs < 1:
            raise ConfigError("not the description of a network: layers or inputs are missing", code="config-field")
        return Network.chain([layers.get(one) for one in given], inputs, dtype, bool(config.get("sparse")), centre)

    def fingerprint(self, theta: Array) -> str:
        """Return the SHA-256 (64 hex digits) of the architecture and the weights."""
        digest = hashlib.sha256(json.dumps(self.to_config(), sort_keys=True).encode())
        digest.update(np.ascontiguousarray(theta, theta.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


def _wrong(number: int, node: Node, why: str) -> ConfigError:
    return ConfigError(f"layer {number}, {node.layer}, {why}", code="config-shape")


def alone(work: Piecewise[T]) -> T:
    """Return what work on a batch of a single piece comes to: its sums are those of the batch."""
    total = None
    try:
        while True:
            total = work.send(total)
    except StopIteration as ended:
        result: T = ended.value
        return result


def _linked(config: Mapping[str, Any]) -> tuple[tuple[Node, ...], tuple[Shape, ...]]:
    """Return the nodes and entries that `to_config` described.  Raises ConfigError for what describes none."""
    try:
        numbers = [_numbers((*n["from"], n["owner"])) for n in config["nodes"]]
        scopes = [str(n.get("in", "")) for n in config["nodes"]]
        given = zip([layers.get(n["layer"]) for n in config["nodes"]], numbers, scopes, strict=True)
        return tuple(Node(layer, n[:-1], n[-1], s) for layer, n, s in given), tuple(map(_numbers, config["entries"]))
    except (KeyError, TypeError):
        raise ConfigError("not the description of a network: its nodes are damaged", code="config-field") from None


def _numbers(given: Any) -> tuple[int, ...]:
    if not all(type(n) is int and 0 <= n < 2**31 for n in given):
        raise TypeError
    return tuple(given)


@dataclass(frozen=True)
class Objective:
    """What training makes small, and what it counts on the way: sums of (loss, weight, rows, metrics...).

    metrics: (name, metric) each; a `Ranking` has no sums and is measured by `train/ranking.py`.
    class_weight: what a row's weight is multiplied by in training, by its class; None for 1.
    The penalty on the weights is not in the sums: it belongs to the update, not to the rows.

    >>> from firesteel.core import losses
    >>> from firesteel.core.layers import Dense
    >>> network = Network.chain((Dense(2, activation="softmax"),), inputs=3)
    >>> Objective(network, losses.get("sparse_categorical_crossentropy")).last
    1
    >>> Objective(network, losses.get("binary_crossentropy"))
    Traceback (most recent call last):
    firesteel.errors.ConfigError: BinaryCrossentropy needs a last layer with activation 'sigmoid', but this \
network ends in Softmax() [config-loss]
    """

    network: Network
    loss: Loss
    metrics: tuple[tuple[str, Metric], ...] = ()
    class_weight: tuple[float, ...] | None = None
    last: int = derived()
    """Number of parts that run before the loss: a link is fused into the loss."""
    summed: tuple[tuple[str, Metric, slice], ...] = derived()
    """The metrics that are sums over rows, adapted to the loss, and where their sums lie."""
    size: int = derived()
    """Number of sums."""
    centred: Loss = derived()
    """The loss of outputs and targets that the centre has been subtracted from."""

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
        """The parts that run before the loss."""
        return self.network.plan[: self.last]

    @property
    def ranked(self) -> list[tuple[str, Ranking]]:
        """The metrics that need the order of all rows."""
        return [(name, metric) for name, metric in self.metrics if isinstance(metric, Ranking)]

    @property
    def names(self) -> list[str]:
        """What is measured: "loss", then the metrics."""
        return ["loss", *(name for name, _ in self.metrics)]

    def means(self, sums: Array) -> dict[str, Any]:
        """Return the weighted mean of the loss and the values of the metrics that are sums, by name."""
        values: dict[str, Value] = {"loss": float(sums[0] / sums[1])}
        return values | {name: metric.result(sums[where], sums[1]) for name, metric, where in self.summed}

    def weighted(self, y: Array, w: Array) -> Array:
        """Return the rows' weights in training, (B,).  y: (B, T), class numbers or one-hot rows if classes weigh."""
        if self.class_weight is None:
            return w
        number = y[:, 0].astype(np.intp) if y.shape[1] == 1 else y.argmax(axis=1)
        return w * np.array(self.class_weight).take(number)

    def score(self, p: Weights, x: Features, y: Array, w: Array) -> Array:
        """Return the sums over the rows, float64.  x: (B, I)  y: (B, T)  w: (B,), float64"""
        losses, outputs, _ = self.centred.rows(self.network.output(p, x, last=self.last), y)
        return self.sums(losses, outputs, y, w)

    def learn(self, p: Weights, x: Features, y: Array, w: Array, scale: float, random: Random, g: Weights) -> Array:
        """Write scale x d(sum of w L)/d(theta) into the views g; return the sums, as `score` does."""
        return self.sums(*alone(self.rows(p, x, y, w * scale, random, g)), y, w)

    def rows(
        self, p: Weights, x: Features, y: Array, weights: Array, random: Random, g: Weights
    ) -> Piecewise[tuple[Array, Array]]:
        """Write d(sum of weights L)/d(theta) into the views g; return each row's loss (B,) and outputs (B, O).

        Where a part sums over a whole batch, it yields the sums of these rows, and is sent those of all.
        """
        if self.network.straight:
            return self.straight(p, x, y, weights, random, g)
        values, pulls = yield from self.network.forward(p, x, random, self.plan)
        at = self.network.read_by(self.last)
        losses, outputs, d = self.slopes(z := values[at], y, weights.astype(z.dtype, copy=False))
        yield from self.network.backward(pulls, at, d, g)
        return losses, outputs

    def straight(self, p: Weights, x: Any, y: Array, w: Array, random: Random, g: Weights) -> tuple[Array, Array]:
        """Do what `rows` does where the network is straight."""
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
        """Return the losses (B,), the outputs and the weighted derivatives by z, what the loss reads, all (B, O)."""
        losses, outputs, d = self.centred.rows(z, y)
        d *= weights[:, None]
        return losses, outputs, d

    def sums(self, losses: Array, outputs: Array, y: Array, w: Array) -> Array:
        """Return what `score` does, of rows whose losses (B,) and outputs (B, O) are known."""
        sums = np.empty(self.size)
        sums[:3] = np.dot(losses, w), np.add.reduce(w), len(w)
        centre = self.network.centre.targets
        for _, metric, where in self.summed:
            by = np.array(centre) if centre and not metric.differences else None
            sums[where] = metric.sums(outputs, y, w) if by is None else metric.sums(outputs + by, y + by, w)
        return sums
