"""Turns an estimator's Params and the number of rows into a `FitPlan`, with which `fitting.py` trains.

Defaults that depend on the number of rows are in `firesteel/tables/policy.py`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from firesteel.core import layers as layer_words
from firesteel.core import losses, optimizers
from firesteel.core.elsewhere import meant
from firesteel.core.layers import Activation, Dense, Dropout, Input, Layer, Reshape, Table
from firesteel.core.losses import Loss, Standardized
from firesteel.core.optimizers import Optimizer
from firesteel.core.regularizers import L1L2
from firesteel.core.types import Shape
from firesteel.errors import ConfigError
from firesteel.models import Model, model_from_config
from firesteel.spark import tables
from firesteel.spark.columns import Columns, NamedColumns
from firesteel.spark.failures import alive, session_of
from firesteel.spark.frames import Frame
from firesteel.spark.packed import Packed
from firesteel.spark.params import NetworkParams
from firesteel.tables import policy
from firesteel.tables.importance import whole
from firesteel.tables.policy import AUTOMATIC
from firesteel.train.history import History
from firesteel.train.recipe import Recipe, strategy_of
from firesteel.train.source import RowProfile
from firesteel.train.stopping import Stopping
from firesteel.train.strategies import Average, Gradient


@dataclass(frozen=True)
class FitPlan:
    """Everything that a fit needs, as objects: validated Params with the defaults for the rows.

    Args:
        columns: The columns to read.
        hidden: The hidden layers.
        sizes: The Param `layers` as sizes from inputs to outputs, if it is a list of sizes.
        whole: The Param `layers` as layers, if it is a list of layers or a model.
        penalty: The penalty on the weights.
        optimizer: The optimizer.
        rate: Its learning rate; 0 for the default.
        loss: The loss; None for the one that suits the network.
        automatic: Whether the rows decide which of them are held out.
        recipe: The training recipe.
        paces: Whether the default learning rate depends on the number of steps per pass.
        patience: Early-stopping rounds if there are validation rows; None for never.
        front: Layers before the hidden ones that encode raw columns.
        bounds: Bounds of the predictions from raw columns.
        members: Number of networks.
    """

    columns: Columns
    hidden: tuple[Layer, ...]
    sizes: tuple[int, ...] | None
    whole: tuple[Layer | Model, ...] | None
    penalty: L1L2 | None
    optimizer: Optimizer
    rate: float
    loss: Loss | None
    automatic: bool
    recipe: Recipe
    paces: bool
    patience: int | None
    front: tuple[Layer, ...] = ()
    bounds: tuple[float, float] | None = None
    members: int = 1

    def paced(self, rows: int) -> Optimizer:
        """Return the optimizer with its learning rate; the default rate is higher for fits of few steps."""
        steps = max(1.0, rows / (self.recipe.batch_size or rows))
        if self.rate or self.optimizer.searches:
            return self.optimizer.at_rate(self.rate) if self.rate else self.optimizer
        return self.optimizer.scaled(min(max(30 / steps, 1.0), 10.0)) if self.paces else self.optimizer

    def used(self) -> dict[str, Any]:
        """Return the settings that were derived from the training rows, as {Param: value}."""
        recipe, dense = self.recipe, [layer for layer in self.hidden if isinstance(layer, Dense)]
        used: dict[str, Any] = {"members": self.members, "maxIter": recipe.epochs, "batchSize": recipe.batch_size}
        used["earlyStoppingRounds"] = recipe.stopping and recipe.stopping.patience or 0
        if not self.sizes and not self.whole:
            used["hiddenLayers"] = [layer.units for layer in dense]
        if behind := [layer.activation for layer in self.hidden if isinstance(layer, Activation)]:
            used["activation"] = behind[0]
        if not self.paces:
            used["learningRate"] = self.rate or self.optimizer.learning_rate
        if self.columns.raw:
            used |= {"inputCols": list(dict.fromkeys(whole(name) for name in self.columns.features))}
            used["timeZone"] = self.columns.zone
        return {name: value for name, value in used.items() if value is not None}


class PlannedStage(NetworkParams):
    """Turns the Params of an estimator into a FitPlan.

    METRICS maps the metrics that training computes to whether larger values are better.
    """

    METRICS: dict[str, bool] = {}

    def _plan(self, dataset: Any, rows: int = 0, width: int = 1) -> FitPlan:
        """Return the plan for fitting a DataFrame with a number of rows.

        Args:
            dataset: The rows, or their columns.
            rows: Number of rows; 0 if it is not known yet.
            width: Number of features; 1 if it is not known yet.

        Raises:
            ConfigError: For invalid Params, before any job.
        """
        get, found = self.getOrDefault, self._defaults(rows, self.getOrDefault("shards"))
        self._check_outputs()
        if get("handleInvalid") not in ("error", "skip", "keep"):
            raise wrong("handleInvalid", get("handleInvalid"), "it must be error, skip or keep")
        solver = get("solver").replace("l-bfgs", "lbfgs")
        if meant(solver, optimizers.OPTIMIZERS) is None:
            words = ", ".join(optimizers.OPTIMIZERS)
            raise wrong("solver", get("solver"), f"it must be one of {words} (only Spark's perceptron has gd)")
        optimizer: Optimizer = optimizers.get(solver)
        strategy = strategy_of(get("strategy") if self.isSet("strategy") else None, optimizer)
        paces = self._named("solver") or isinstance(strategy, Gradient)
        batch_size = self._if_set("batchSize") or (None if isinstance(strategy, Gradient) else found.batch_size)
        epochs = self._if_set("maxIter") or found.epochs
        if not paces:
            optimizer = policy.optimizer_for(rows, batch_size, epochs)
            strategy = policy.STRATEGY if isinstance(strategy, Average) else strategy
        sizes, whole = self._layers()
        r, e = get("regParam"), get("elasticNetParam")
        penalty = L1L2(l1=r * e, l2=r * (1 - e) / 2) if r else None
        dropout = 0.0 if optimizer.searches and not self._named("dropout") else get("dropout")
        usual = get("hiddenLayers") if self._named("hiddenLayers") else policy.narrowed(found.hidden, width)
        activation = policy.RELU if self._convolves and not self._named("activation") else get("activation")
        hidden = [] if whole else self._front(activation, penalty, dropout)
        for units in sizes[1:-1] if sizes else usual:
            hidden += [Dense(units, activation, kernel_regularizer=penalty)]
            hidden += [Dropout(dropout)] if dropout else []
        loss = None if get("loss") == "auto" else losses.get(get("loss"))
        if isinstance(loss, Standardized):
            raise wrong("loss", get("loss"), "name the loss without Standardized, which `standardization` adds")
        rounds = get("earlyStoppingRounds")
        return FitPlan(
            columns=dataset if isinstance(dataset, Columns) else self._source_columns(dataset),
            automatic=get("validationFraction") == AUTOMATIC and self._if_set("validationIndicatorCol") is None,
            hidden=tuple(hidden),
            sizes=sizes,
            whole=whole,
            penalty=penalty,
            optimizer=optimizer,
            rate=self._rate(),
            loss=loss,
            recipe=Recipe(
                epochs=epochs,
                batch_size=batch_size,
                strategy=strategy,
                shards=get("shards") or None,
                seed=get("seed") % 2**63,
                stopping=self._stopping(),
            ),
            paces=paces,
            patience=(found.patience if rounds == AUTOMATIC else rounds) or None,
        )

    def _suited(self, plan: FitPlan, source: Frame | Packed, profile: RowProfile) -> FitPlan:
        """Complete a plan with the defaults for the number of rows, once that is known."""
        rows, schema, shape = profile.rows + profile.held, source.schema, self._if_set("inputShape")
        if shape and math.prod(shape) != profile.width:
            what = f"it has {math.prod(shape):,} values, and {source.names['features']} has {profile.width:,} per row"
            raise wrong("inputShape", shape, what)
        members = self._members(source)
        made = self._plan(plan.columns, rows, 1 if schema else profile.width)
        stopping = made.recipe.stopping
        assert stopping is not None
        if profile.held or members > 1:
            stopping = replace(stopping, monitor=f"val_{self.getOrDefault('evalMetric')}", patience=made.patience)
        recipe = replace(made.recipe, stopping=stopping)
        made = replace(made, automatic=plan.automatic, members=members, recipe=recipe)
        if schema is None:
            return made
        front, layers = Table(output_dim=policy.defaults_for(rows).output_dim), made.whole
        if layers and isinstance(layers[0], Table):
            front, layers = layers[0], layers[1:]
        front = front if front.inputs else schema.layer(front)
        return replace(made, whole=layers, front=(front,), bounds=source.ends if profile.targets == 1 else None)

    def _layers(self) -> tuple[tuple[int, ...] | None, tuple[Layer | Model, ...] | None]:
        """Split the Param `layers` into (sizes, None) or (None, layers and models)."""
        given, shape = self._if_set("layers"), self._if_set("inputShape")
        if given is None:
            return None, None
        if self._convolves:
            raise wrong("architecture", "cnn", "layers are set too: set one of them")
        both = [name for name in ("hiddenLayers", "dropout") if self.isSet(name)]
        if isinstance(given, list) and isinstance(given[0], int):
            if "hiddenLayers" in both:
                raise wrong("layers", given, "hiddenLayers is set too: set one of them")
            return tuple(given), None
        both += [name for name in ("activation", "regParam") if self.isSet(name)]
        if both:
            raise wrong(
                "layers", "...", f"layers define the whole network, and {', '.join(both)} is set too: set one of them"
            )
        known = picture_shape(given)
        if shape and known and shape != list(known):
            raise wrong("inputShape", shape, f"layers start with the shape {list(known)}: set one of them")
        if isinstance(given, list):
            front = [Input(shape)] if shape and not known else []
            return None, (*front, *(layer_words.get(item) for item in given))
        model = model_from_config(given)
        shape = model.network.entries[0]
        return None, (model,) if len(shape) == 1 else (Reshape(shape), model)

    @property
    def _convolves(self) -> bool:
        return bool(self.getOrDefault("architecture") == "cnn")

    def _defaults(self, rows: int, shards: int | None = None) -> policy.Defaults:
        return policy.defaults_for(rows, shards, self._convolves)

    def _front(self, activation: str, penalty: L1L2 | None, dropout: float) -> list[Layer]:
        """Return the layers before the dense ones: the input shape of pictures, and convolutions with cnn."""
        shape = self._if_set("inputShape")
        if not self._convolves:
            return [Input(shape)] if shape else []
        if shape is None or len(shape) != 3:
            what = "it is for pictures: set inputShape to their height, width and channels, such as [28, 28, 1]"
            raise wrong("architecture", "cnn", what)
        dropped = [Dropout(dropout)] if dropout else []
        return [*policy.convolutions(tuple(shape), activation, penalty), *dropped]

    def _rate(self) -> float:
        rate, step = self.getOrDefault("learningRate"), self._if_set("stepSize")
        if step is None:
            return float(rate)
        if self.isSet("learningRate") and rate != step:
            raise wrong(
                "stepSize", step, f"learningRate is set too, to {rate:g}, and means the same: set one of them"
            )
        return float(step)

    def _stopping(self) -> Stopping:
        watched, known = self.getOrDefault("evalMetric"), {"loss": False} | self.METRICS
        if watched not in known:
            raise wrong("evalMetric", watched, f"it must be one of {', '.join(known)}")
        has_validation = self._number("validationFraction") > 0 or self._if_set("validationIndicatorCol") is not None
        rounds, tol = self._number("earlyStoppingRounds"), self.getOrDefault("tol")
        return Stopping(f"val_{watched}" if has_validation else watched, known[watched], rounds or None, tol)

    def _source_columns(self, dataset: Any) -> Columns:
        indicator = self._if_set("validationIndicatorCol")
        split, members = self.getOrDefault("validationFraction"), self._if_set("members") or 1
        if indicator is not None or members > 1:
            split = self._number("validationFraction")
        if indicator is not None and split:
            raise wrong("validationFraction", split, "validationIndicatorCol is set too: set one of them")
        if members > 1 and isinstance(self._if_set("layers"), Mapping):
            raise wrong("members", members, "layers are not a chain, and only chains of layers can be averaged")
        if members > 1 and (indicator is not None or split):
            raise wrong(
                "members",
                members,
                "each member holds out its own rows: leave validationFraction and validationIndicatorCol out",
            )
        columns = Columns(
            self._columns(),
            self.getOrDefault("labelCol"),
            self._if_set("weightCol"),
            split,
            indicator,
            self._if_set("idCol"),
            self.getOrDefault("handleInvalid") != "error",
            stage=True,
            classes=self._classifies,
            positive=self._if_set("positiveLabel") if self._classifies else None,
            shape=tuple(self._if_set("inputShape") or ()) or picture_shape(self._if_set("layers")),
        )
        names = self._raw(dataset, columns)
        if members > 1 and isinstance(dataset, Packed) and dataset.near is None:
            raise wrong("members", members, "each member holds out its own rows, and these were packed before")
        if names is None:
            return columns
        for name in ("architecture", "inputShape"):
            if self._if_set(name) not in (None, AUTOMATIC):
                what = "it needs one column of numbers or pictures: set featuresCol"
                raise wrong(name, self._if_set(name), what)
        if columns.label in names:
            raise wrong("inputCols", list(names[:20]), f"{columns.label!r} is the label, not a feature")
        kinds = tuple(sorted((self._if_set("columnKinds") or {}).items()))
        if unknown := [name for name, _ in kinds if name not in names]:
            what = f"{unknown[0]!r} is not a feature column; they are {', '.join(names[:20])}"
            raise wrong("columnKinds", dict(kinds), what)
        if isinstance(dataset, Packed):
            zone = dataset.columns.zone
        else:
            zone = dataset.sparkSession.conf.get("spark.sql.session.timeZone")
        return replace(columns, features=names, raw=True, kinds=kinds, zone=self._if_set("timeZone") or zone)

    def _raw(self, dataset: Any, columns: Columns) -> tuple[str, ...] | None:
        """Return the feature columns of any type; None if featuresCol names the features."""
        given = self._if_set("inputCols")
        if given and self.isSet("featuresCol"):
            raise wrong("inputCols", given, "featuresCol is set too: set one of them")
        if self.isSet("featuresCol"):
            return None
        if isinstance(dataset, Packed):
            return tuple(dataset.columns.features) if dataset.columns.raw else given and tuple(given)
        with alive(session_of(dataset)):
            table = NamedColumns(dataset)
            if not given and table.called(self.getOrDefault("featuresCol")):
                return None
            given = given or tables.chosen(table, columns, self._if_set("ignoreCols") or (), self.uid)
            return tables.expanded(table, given, "inputCols")

    @property
    def _classifies(self) -> bool:
        return "accuracy" in self.METRICS

    def _alone(self, columns: Columns) -> str | None:
        """Explain why `members` is 1 by default here; return None if the default depends on the number of rows."""
        if isinstance(self._if_set("layers"), Mapping):
            return "layers are not a chain"
        if self.getOrDefault("validationFraction") != AUTOMATIC or columns.held is not None:
            return "validation rows are set"
        return "earlyStoppingRounds is 0" if self.getOrDefault("earlyStoppingRounds") == 0 else None

    def _members(self, source: Frame | Packed) -> int:
        """Return the number of networks to train."""
        fixed = isinstance(source, Packed) and (source.near is None or source.split > 0)
        given = self._if_set("members")
        if given or fixed or self._alone(source.columns):
            return given or 1
        rows = source.count()
        return self._defaults(rows).members if rows >= policy.FEW else 1

    def _said(self, source: Frame | Packed, plan: FitPlan, history: History) -> str | None:
        """Describe the settings derived from the rows; None if the Params set everything."""
        profile = source.profile()
        if plan.members > 1:
            lines = [f"member {number} is left out: {why}" for number, why in history.left_out.items()]
            averaged = f"{plan.members - len(lines)} members, each validated on its own part of {profile.rows:,} rows"
            return "\n".join([averaged, *lines])
        said = []
        if plan.automatic:
            said.append(_automatic_text(source.said or PACKED, history, plan))
        usual = self._defaults(profile.rows + profile.held).members
        if not self._if_set("members") and usual > 1 and profile.rows >= policy.FEW:
            why = self._alone(source.columns) or "the rows were packed before"
            said.append(f"one network is trained instead of {usual} members: {why}")
        return "\n".join(said) or None


PACKED = "no rows are held out, because they were packed before; pack(..., validation_split=0.1) holds some out"


def _automatic_text(said: str, history: History, plan: FitPlan) -> str:
    """Describe validation rows and early stopping, and how the training ended."""
    if history.best is None or plan.recipe.stopping is None:
        return said
    made, epochs, monitor = len(history.rows), plan.recipe.epochs, plan.recipe.stopping.monitor
    weights, watched = (
        f"and the model has the weights of pass {history.best + 1}",
        monitor.replace("val_", "validation "),
    )
    waited = made - 1 - history.best == plan.patience
    why = (
        f"{plan.patience} of them without a better {watched}"
        if waited
        else "as the loss hardly changed any more (tol)"
    )
    early = f"training ended after {made} of {epochs} passes, {why}"
    return f"{said}; {f'all {made} passes were made' if made == epochs else early}, {weights}"


def wrong(name: str, value: Any, why: str) -> ConfigError:
    """Return the error for a Param with a value that cannot work."""
    return ConfigError(f"{name}={value!r}: {why}", code="config-param")


def picture_shape(given: Any) -> Shape | None:
    """Return the input shape that the Param `layers` defines, if it defines one."""
    if isinstance(given, Mapping):
        entries = given.get("network", given).get("entries")
        return tuple(entries[0]) if entries else None
    first = given[0] if isinstance(given, Sequence) and given else None
    return tuple(first["shape"]) if isinstance(first, Mapping) and first.get("type") == "Input" else None
