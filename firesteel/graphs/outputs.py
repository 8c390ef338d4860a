"""Losses and metrics of models with several outputs, whose values are columns of one row."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import numpy as np

from firesteel.core import losses
from firesteel.core.layer import Layer
from firesteel.core.layers.activation import ACTIVATIONS
from firesteel.core.layers.heads import Heads, Links
from firesteel.core.losses import Loss
from firesteel.core.metrics import MeanLoss, Metric, Ranking, by_name, named_metric
from firesteel.core.spec import finite
from firesteel.core.types import Array, cached_property
from firesteel.errors import ConfigError, DataError
from firesteel.tables.targets import OutputRule
from firesteel.train.checks import MOST_CLASSES, Rule


class OutputsLoss(Loss):
    """The weighted sum of the losses of several outputs, L = sum_i weight_i L_i.

    Args:
        names: The names of the outputs.
        losses: The loss of each output.
        weights: The weight of each loss.
        ends: The layer that joins the outputs, with their sizes and activations.
    """

    names: tuple[str, ...]
    losses: tuple[Loss, ...]
    weights: tuple[float, ...]
    ends: Links

    @property
    def link(self) -> type[Layer]:
        return Links

    @property
    def differences(self) -> bool:  # type: ignore[override]
        """Whether all outputs are linear and every loss depends only on output minus target."""
        return all(one.differences for one in self.losses) and set(self.ends.links) == {"linear"}

    @cached_property
    def targets_at(self) -> list[slice]:
        """The slice of each output's targets in a row of targets."""
        counts = [one.columns(size) for one, size in zip(self.losses, self.ends.sizes, strict=True)]
        ends = np.cumsum(counts).tolist()
        return [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]

    @property
    def rules(self) -> tuple[OutputRule, ...]:
        """For each output, the rule that its targets must satisfy, such as being class indices."""
        parts = zip(self.names, self.targets_at, self.losses, self.ends.sizes, strict=True)
        return tuple(
            [OutputRule(name, at.start, at.stop, Rule(loss.targets, size)) for name, at, loss, size in parts]
        )

    def check(self, end: Layer | str, outputs: int) -> None:
        super().check(end, outputs)
        for name, loss, size, link in zip(self.names, self.losses, self.ends.sizes, self.ends.links, strict=True):
            try:
                loss.check(ACTIVATIONS[link] or "a layer without softmax or sigmoid", size)
            except ConfigError as error:
                raise ConfigError(f"output {name!r}: {error.args[0]}", code=error.code) from None

    def columns(self, outputs: int) -> int:
        return self.targets_at[-1].stop

    def lowered(self, centre: Sequence[float]) -> "Loss":
        if not centre:
            return self
        parts = zip(self.losses, self.ends.slices, strict=True)
        return replace(self, losses=tuple([loss.lowered(centre[where]) for loss, where in parts]))

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        losses, outputs, d = np.zeros(len(z), z.dtype), np.empty_like(z), np.empty_like(z)
        given = zip(self.losses, self.weights, self.ends.slices, self.targets_at, strict=True)
        for number, (loss, weight, where, at) in enumerate(given):
            own, pull = np.ascontiguousarray(z[:, where]), None
            if loss.link is None:
                own, pull = self.ends.ended(number, own)
            value, outputs[:, where], slope = loss.rows(own, self._checked(number, y[:, at]))
            d[:, where] = slope if pull is None else pull(slope, {}, True)
            d[:, where] *= z.dtype.type(weight)
            losses += value * z.dtype.type(weight)
        return losses, outputs, d

    def _checked(self, number: int, y: Array) -> Array:
        """Return the targets of an output; raise DataError if they must be class indices and are not."""
        loss, size = self.losses[number], self.ends.sizes[number]
        if loss.targets == "class" and not ((y >= 0) & (y < size) & (y == np.trunc(y))).all():
            wrong = y[~((y >= 0) & (y < size) & (y == np.trunc(y)))][0]
            raise DataError(
                f"a target of output {self.names[number]!r} is {wrong:g}, but its {size} classes are "
                f"integers from 0 to {min(size, MOST_CLASSES) - 1}",
                code="data-label-range",
            )
        return np.ascontiguousarray(y)

    def to_config(self) -> dict[str, Any]:
        parts = zip(self.names, self.losses, self.weights, strict=True)
        return {"type": "OutputsLoss", "losses": [[name, one.to_config(), weight] for name, one, weight in parts]}


class OutputMetric(Metric):
    """A metric that is applied to one of several outputs.

    Args:
        metric: The metric.
        loss: The loss of the output.
        outputs: The start and end of the output in a row of outputs.
        targets: The start and end of its targets in a row of targets.
        asked: The metric as passed to `compile`; None for the output's own loss.
    """

    metric: Metric
    loss: Loss
    outputs: tuple[int, int]
    targets: tuple[int, int]
    asked: Any = field(default=None, compare=False)

    def to_config(self) -> dict[str, Any]:
        return {"type": "OutputMetric", "metric": self.metric.to_config(), "outputs": self.outputs}

    @property
    def larger_is_better(self) -> bool | None:  # type: ignore[override]
        """Whether larger values are better."""
        return self.metric.larger_is_better

    @property
    def differences(self) -> bool:  # type: ignore[override]
        """Whether the metric depends only on the difference of output and target."""
        return self.metric.differences

    def suited(self, loss: Loss, outputs: int) -> "OutputMetric":
        return replace(self, metric=self.metric.suited(self.loss, self.outputs[1] - self.outputs[0]))

    def size(self, outputs: int) -> int:
        return self.metric.size(self.outputs[1] - self.outputs[0])

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        own, wanted = (a[:, slice(*at)] for a, at in ((p, self.outputs), (y, self.targets)))
        return self.metric.sums(np.ascontiguousarray(own), np.ascontiguousarray(wanted), w)

    def result(self, sums: Array, weight: np.float64) -> Any:
        return self.metric.result(sums, weight)


def rules_of(loss: Loss) -> tuple[OutputRule, ...]:
    """Return, for each output, the rule that its targets must satisfy; empty for a model with one output."""
    return loss.rules if isinstance(loss, OutputsLoss) else ()


def by_output(names: Sequence[str], given: Any, what: str, usual: Any = None) -> list[Any]:
    """Return a setting for each output; given is a dictionary by name, a list, or one setting for all.

    Raises:
        ConfigError: If a name is unknown or the length of the list differs.
    """
    if isinstance(given, Mapping) and "type" not in given:
        if unknown := [str(name) for name in given if name not in names]:
            raise ConfigError(
                f"{what} names {', '.join(unknown)}, but the outputs are {', '.join(names)}",
                code=f"config-{what}",
            )
        return [given.get(name, usual) for name in names]
    if isinstance(given, list | tuple):
        if len(given) != len(names):
            raise ConfigError(
                f"{what} has {len(given)} entries, but there are {len(names)} outputs: {', '.join(names)}",
                code=f"config-{what}",
            )
        return list(given)
    return [usual if given is None else given for _ in names]


def loss_of(names: Sequence[str], heads: Heads, given: Any, weights: Any) -> OutputsLoss:
    """Return the loss of several outputs from the arguments of `compile`.

    Raises:
        ConfigError: If a loss is unknown, missing or unsuitable for its output, or a weight is not a number of at
            least 0 (`config-loss`, `config-loss_weights`).
    """
    chosen = by_output(names, given, "loss")
    if None in chosen:
        raise ConfigError(
            f"output {names[chosen.index(None)]!r} has no loss: give one for each output", code="config-loss"
        )
    numbers = [finite(weight) for weight in by_output(names, weights, "loss_weights", 1.0)]
    if not all(0.0 <= weight < math.inf for weight in numbers):
        raise ConfigError(f"loss_weights={weights!r}: they must be numbers of at least 0", code="config-loss_weights")
    ends = Links(heads.sizes, heads.links)
    found = OutputsLoss(tuple(names), tuple([losses.get(one) for one in chosen]), tuple(numbers), ends)
    found.check(ends, sum(ends.sizes))
    return found


def metrics_of(loss: OutputsLoss, given: Any) -> dict[str, Metric]:
    """Return the metrics of several outputs by their names in the history: the loss of each, then the given metrics.

    Args:
        loss: The loss of the outputs.
        given: The `metrics` passed to `compile`.

    Raises:
        ConfigError: If a metric is unknown, or ranks rows (`config-metric`).
    """
    found = dict[str, Metric]()
    several = len(loss.names) > 1
    asked = given if several or isinstance(given, Mapping) else [given]
    for number, metrics in enumerate(by_output(loss.names, asked, "metrics")):
        own, outputs, targets = loss.losses[number], loss.ends.slices[number], loss.targets_at[number]
        size = loss.ends.sizes[number]
        listed = _listed(metrics)
        wanted: dict[str, tuple[Any, Metric]] = {"loss": (None, MeanLoss(own).suited(own, size))} if several else {}
        wanted |= {name: (one, named_metric(one, own, size)) for name, one in by_name(listed, own).items()}
        for name, (one, metric) in wanted.items():
            if isinstance(metric, Ranking):
                raise ConfigError(
                    f"{type(metric).__name__} cannot be measured for one of several outputs: evaluate it separately",
                    code="config-metric",
                )
            place = ((outputs.start, outputs.stop), (targets.start, targets.stop))
            found[f"{loss.names[number]}_{name}" if several else name] = OutputMetric(metric, own, *place, one)
    return found


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [] if given is None else [given]


def both_metrics(names: Sequence[str], first: Any, more: Any) -> list[Any]:
    """Merge the arguments `metrics` and `weighted_metrics` of `compile`: one list, or one list per output."""
    names = list(names) or ["output"]
    if len(names) < 2 and not isinstance(first, Mapping) and not isinstance(more, Mapping):
        return [*_listed(first), *_listed(more)]
    pairs = zip(by_output(names, first, "metrics"), by_output(names, more, "weighted_metrics"), strict=True)
    both = [[*_listed(one), *_listed(other)] for one, other in pairs]
    return both if len(names) > 1 else both[0]


def described(loss: OutputsLoss, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the losses, loss weights and metrics of several outputs as a JSON-able dictionary."""
    asked: dict[str, list[Any]] = {name: [] for name in loss.names}
    for one in metrics.values():
        if one.asked is not None:
            name = loss.names[[where.start for where in loss.ends.slices].index(one.outputs[0])]
            asked[name].append(one.asked if isinstance(one.asked, str) else one.metric.to_config())
    return {
        "loss": {name: one.to_config() for name, one in zip(loss.names, loss.losses, strict=True)},
        "loss_weights": dict(zip(loss.names, loss.weights, strict=True)),
        "metrics": asked,
    }


def only(ports: Any, given: Any, what: str) -> Any:
    """Return the setting of a model's only output; given is the setting, or a dictionary with the output's name."""
    if what == "loss" and isinstance(given, list | tuple) and len(given) == 1:
        return given[0]
    if ports is None or not isinstance(given, Mapping) or "type" in given:
        return given
    return by_output([name for name, _ in ports.outputs], given, what)[0]
