"""What the two estimators share: from Params and rows to a network that is trained, once or for many candidates.

`FitPlan` is what the Params mean; `NetworkEstimator` opens the DataFrame as a source, or takes rows
packed already, and has a `Sequential` fitted; `SharedFits` packs once what several candidates read.  What classes and
targets decide is in `estimator.py`, the Params in `params.py`, the fitted stages in `model.py`.
"""

import contextlib
import importlib
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Self

from pyspark.ml.base import Estimator
from pyspark.ml.util import MLReadable, MLWritable, MLWriter

from firesteel.callbacks import Callback
from firesteel.core import layers as layer_words
from firesteel.core import losses, optimizers
from firesteel.core.layers import Dense, Dropout, Layer, Normalization, Table
from firesteel.core.layers.dense import Linear
from firesteel.core.losses import Loss, Standardized
from firesteel.core.network import Network, Objective
from firesteel.core.optimizers import Optimizer
from firesteel.core.regularizers import L1L2
from firesteel.core.types import Array
from firesteel.errors import ConfigError, SparkJobError
from firesteel.models import Sequential
from firesteel.search.linear import Comparison, compare
from firesteel.search.members import fit_members
from firesteel.spark import tables
from firesteel.spark.checkpoints import SparkCheckpoints
from firesteel.spark.collected import Collected, is_small
from firesteel.spark.columns import Columns, NamedColumns
from firesteel.spark.failures import alive, session_of
from firesteel.spark.frames import Frame
from firesteel.spark.model import NetworkModel
from firesteel.spark.packed import Packed, packed
from firesteel.spark.params import NetworkParams
from firesteel.spark.storage import StageReader, StageWriter, reach
from firesteel.spark.summary import TrainingSummary
from firesteel.tables import policy
from firesteel.tables.importance import MOST_ROWS, ScoredRows, whole
from firesteel.tables.policy import AUTOMATIC, PATIENCE
from firesteel.train.callbacks import Logs
from firesteel.train.engine import Engine
from firesteel.train.fit import fit
from firesteel.train.history import History
from firesteel.train.partial import Task, tree_sum
from firesteel.train.recipe import Recipe, strategy_of
from firesteel.train.rounds import evaluate
from firesteel.train.source import Survey, check_targets
from firesteel.train.stopping import Stopping
from firesteel.train.strategies import Average, Gradient


@dataclass(frozen=True)
class FitPlan:
    """The Params as the objects they mean; whoever makes it checks them.

    automatic: whether the rows decide what is held out and when to stop.
    sizes: of layers, from the inputs to the outputs, if those were given.  whole: all layers, if those were.
    front: what comes before the hidden layers, of raw columns.  paces: whether the rate depends on the rows.
    patience: where the rows decide it.  bounds: of what is predicted from raw columns.
    members: how many networks are trained.
    """

    columns: Columns
    hidden: tuple[Layer, ...]
    sizes: tuple[int, ...] | None
    whole: tuple[Layer, ...] | None
    penalty: L1L2 | None
    optimizer: Optimizer
    rate: float
    loss: Loss | None
    automatic: bool
    recipe: Recipe
    front: tuple[Layer, ...] = ()
    paces: bool = True
    patience: int = PATIENCE
    bounds: tuple[float, float] | None = None
    members: int = 1

    def paced(self, rows: int) -> Optimizer:
        """Return the optimiser with its learning rate; where none was given, more the fewer steps a pass has."""
        steps = max(1.0, rows / (self.recipe.batch_size or rows))
        if self.rate or self.optimizer.searches:
            return self.optimizer.at_rate(self.rate) if self.rate else self.optimizer
        if not self.paces:
            return self.optimizer
        return self.optimizer.scaled(min(max(30 / steps, 1.0), 10.0))


@dataclass(frozen=True)
class Design:
    """What is trained: `layers`, as a network without scaling, with a loss.  names: of the classes."""

    layers: tuple[Layer, ...]
    network: Network
    loss: Loss
    names: list[str] | None = None
    class_weight: tuple[float, ...] | None = None


class NetworkEstimator(NetworkParams, Estimator[Any], MLWritable, MLReadable[Any]):
    """What the estimators have in common.  METRICS: what is counted in training, and whether more of it is better."""

    METRICS: dict[str, bool] = {}

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self._start(params)

    def setParams(self, **params: Any) -> Self:
        """Set any of the Params by keyword; None leaves one as it is.  Raises ConfigError for what is no Param."""
        return self._given(params)

    def write(self) -> MLWriter:
        """Return the writer of this stage."""
        return StageWriter(self)

    @classmethod
    def read(cls) -> StageReader:
        """Return the reader of such stages."""
        return StageReader(cls)

    def fitMultiple(self, dataset: Any, paramMaps: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Fit a model for each map of Params; rows that they share are looked at and packed once.

        Returns a thread-safe iterator of (index, model).  The packed rows go when the last model is there.
        """
        return SharedFits(self.copy(), dataset, paramMaps)

    # What the Params mean

    def _plan(self, dataset: Any, known: Mapping[str, Any] = MappingProxyType({})) -> FitPlan:
        """Return what the Params mean for rows.  Raises ConfigError for values that cannot work, before any job.

        dataset: rows, or which of their columns are what.
        known: what Params are that nobody has set, once the rows have decided it.
        """

        def get(name: str) -> Any:
            return known[name] if name in known and not self.isSet(name) else self.getOrDefault(name)

        self.check_outputs()
        if get("handleInvalid") not in ("error", "skip", "keep"):
            raise wrong("handleInvalid", get("handleInvalid"), "it must be error, skip or keep")
        solver = get("solver").replace("l-bfgs", "lbfgs")
        if solver not in optimizers.OPTIMIZERS:
            words = ", ".join(optimizers.OPTIMIZERS)
            raise wrong("solver", get("solver"), f"it must be one of {words} (gd is Spark's perceptron's)")
        optimizer: Optimizer = optimizers.get(solver)
        sizes, whole = self._layers()
        r, e = get("regParam"), get("elasticNetParam")
        penalty = L1L2(l1=r * e, l2=r * (1 - e) / 2) if r else None
        hidden: list[Layer] = []
        for units in sizes[1:-1] if sizes else get("hiddenLayers"):
            hidden += [Dense(units, get("activation"), kernel_regularizer=penalty)]
            hidden += [Dropout(get("dropout"))] if get("dropout") else []
        loss = None if get("loss") == "auto" else losses.get(get("loss"))
        if isinstance(loss, Standardized):
            raise wrong("loss", get("loss"), "it is what `standardization` makes of a loss: name the loss itself")
        strategy = strategy_of(get("strategy") if self.isSet("strategy") else None, optimizer)
        return FitPlan(
            columns=dataset if isinstance(dataset, Columns) else self._source_columns(dataset),
            automatic=self._automatic(),
            hidden=tuple(hidden),
            sizes=sizes,
            whole=whole,
            penalty=penalty,
            optimizer=optimizer,
            rate=self._rate(),
            loss=loss,
            recipe=Recipe(
                epochs=get("maxIter"),
                batch_size=get("batchSize") if self.isSet("batchSize") or "batchSize" in known else None,
                strategy=strategy,
                shards=get("shards") or None,
                seed=get("seed") % 2**63,
                stopping=self._stopping(),
            ),
        )

    def _layers(self) -> tuple[tuple[int, ...] | None, tuple[Layer, ...] | None]:
        """Return the Param `layers` as sizes, or as layers."""
        given = self._if_set("layers")
        if given is None:
            return None, None
        both = [name for name in ("hiddenLayers", "dropout") if self.isSet(name)]
        if isinstance(given[0], int):
            if "hiddenLayers" in both:
                raise wrong("layers", given, "hiddenLayers is set too: set one of them")
            return tuple(given), None
        both += [name for name in ("activation", "regParam") if self.isSet(name)]
        if both:
            raise wrong(
                "layers", "...", f"layers decide everything, and {', '.join(both)} is set too: set one of them"
            )
        return None, tuple(layer_words.get(item) for item in given)

    def _rate(self) -> float:
        rate, step = self.getOrDefault("learningRate"), self._if_set("stepSize")
        if step is None:
            return float(rate)
        if self.isSet("learningRate") and rate != step:
            raise wrong(
                "stepSize", step, f"learningRate is set too, to {rate:g}: they are one thing, set one of them"
            )
        return float(step)

    def _automatic(self) -> bool:
        """Return whether the rows decide what is held out and when to stop: where none of that is set."""
        undecided = all(
            self.getOrDefault(name) == AUTOMATIC for name in ("validationFraction", "earlyStoppingRounds")
        )
        return undecided and not self.isSet("evalMetric") and self._if_set("validationIndicatorCol") is None

    def _stopping(self) -> Stopping:
        watched, known = self.getOrDefault("evalMetric"), {"loss": False} | self.METRICS
        if watched not in known:
            raise wrong("evalMetric", watched, f"it must be one of {', '.join(known)}")
        held = self._number("validationFraction") > 0 or self._if_set("validationIndicatorCol") is not None
        rounds, tol = self._number("earlyStoppingRounds"), self.getOrDefault("tol")
        return Stopping(f"val_{watched}" if held else watched, known[watched], rounds or None, tol)

    def _source_columns(self, dataset: Any) -> Columns:
        held = self._if_set("validationIndicatorCol")
        split = AUTOMATIC if self._automatic() else self._number("validationFraction")
        if held is not None and split:
            raise wrong("validationFraction", split, "validationIndicatorCol is set too: set one of them")
        members = self._if_set("members") or 1
        if members > 1 and (held is not None or self._number("validationFraction")):
            raise wrong(
                "members",
                members,
                "each holds out a part of its own: leave validationFraction and validationIndicatorCol out",
            )
        columns = Columns(
            self._columns(),
            self.getOrDefault("labelCol"),
            self._if_set("weightCol"),
            split,
            held,
            self._if_set("idCol"),
            self.getOrDefault("handleInvalid") != "error",
            stage=True,
            classes=self._classifies,
            positive=self._if_set("positiveLabel") if self._classifies else None,
        )
        names = self._raw(dataset, columns)
        if members > 1 and (names is None or (isinstance(dataset, Packed) and dataset.near is None)):
            what = "the rows were packed before" if isinstance(dataset, Packed) else "features are vectors or numbers"
            raise wrong("members", members, f"it is for DataFrames of raw columns (inputCols), and {what}")
        if names is None:
            return columns
        if columns.label in names:
            raise wrong(
                "inputCols", list(names[:20]), f"{columns.label!r} is the label, which is not known of new rows"
            )
        kinds = tuple(sorted((self._if_set("columnKinds") or {}).items()))
        if unknown := [name for name, _ in kinds if name not in names]:
            what = f"{unknown[0]!r} is none of the columns that are taken: {', '.join(names[:20])}"
            raise wrong("columnKinds", dict(kinds), what)
        if held is None and self.getOrDefault("validationFraction") == AUTOMATIC:
            split = AUTOMATIC if members == 1 else 0.0
        if isinstance(dataset, Packed):
            zone = dataset.columns.zone
        else:
            zone = dataset.sparkSession.conf.get("spark.sql.session.timeZone")
        return replace(
            columns, features=names, raw=True, kinds=kinds, zone=self._if_set("timeZone") or zone, split=split
        )

    def _raw(self, dataset: Any, columns: Columns) -> tuple[str, ...] | None:
        """Return the columns to take as they are, of any type; None where features are a column, or of numbers."""
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

    # Fitting

    def _fit(self, dataset: Any) -> Any:
        plan = self._plan(dataset)
        if isinstance(dataset, Packed):
            if plan.columns.split == AUTOMATIC and dataset.columns.split != AUTOMATIC:
                plan = replace(plan, columns=replace(plan.columns, split=0.0))
            _check_packed(dataset, plan.columns)
            return self._fitted(dataset, plan)
        return self._fitted(self._frame(dataset, plan), plan)

    def _frame(self, dataset: Any, plan: FitPlan) -> Frame:
        """Return a DataFrame as a source; raise DataError where `transform` is to make a column that it reads."""
        if folder := self._if_set("checkpointDir"):
            reach(session_of(dataset), folder, "checkpointDir")
        source = Frame(dataset, plan.columns, "float32")
        source.table.check_free(self.check_outputs(), plan.columns)
        if plan.columns.raw and plan.columns.split == AUTOMATIC and self._members(source, source.count()) > 1:
            source.columns = replace(plan.columns, split=0.0)  # each member holds out its own part
        return source

    def _alone(self, columns: Columns) -> str | None:
        """Return why one network is trained where nobody says how many; None where the rows decide it."""
        if not columns.raw:
            return "features are vectors or numbers"
        if self.getOrDefault("validationFraction") != AUTOMATIC or columns.held is not None:
            return "rows are held out for all"
        return "earlyStoppingRounds is 0" if self.getOrDefault("earlyStoppingRounds") == 0 else None

    def _members(self, source: Frame | Packed, rows: int) -> int:
        """Return how many networks are trained on so many rows."""
        fixed = isinstance(source, Packed) and (source.near is None or source.split > 0)
        given = self._if_set("members")
        if given or fixed or self._alone(source.columns) or rows < policy.FEW:
            return given or 1
        return policy.defaults_for(rows).members

    def _fitted(self, source: Frame | Packed, plan: FitPlan) -> Any:
        survey = source.survey()
        members = self._members(source, survey.rows + survey.held)
        plan = replace(plan, members=members)
        if source.schema is not None:
            plan = self._suited(plan, source, survey)
        stopping = plan.recipe.stopping
        assert stopping is not None
        if plan.automatic and (survey.held or members > 1):
            stopping = replace(stopping, monitor="val_loss", patience=plan.patience)
        design = self._design(source, survey, plan)
        recipe = replace(plan.recipe, stopping=stopping, class_weight=design.class_weight)
        if isinstance(source, Packed):
            near = source.near
        else:
            near = Collected(source, survey) if is_small(source, survey) else None
        places = list[SparkCheckpoints]()
        results = [Results(self, MOST_ROWS // members) for _ in range(members)]
        runs, folder = self._if_set("runDir"), self._if_set("checkpointDir")
        names = design.names or (None if self._classifies or survey.targets > 1 else [str(source.columns.label)])
        page = _run_folder(runs, source.feature_names, names, members) if runs else None

        def build(number: int = 0) -> Sequential:
            network = self._network(design, plan, survey.rows)
            network.schema = source.schema
            return network

        def given(number: int = 0) -> dict[str, Any]:
            kept, callbacks = None, [*([] if page is None else [page]), results[number]]
            if folder:
                kept = SparkCheckpoints(session_of(source), folder, members > 1, 0.0 if near is None else REST)
                places.append(kept)
            if members == 1:
                return {"callbacks": callbacks, "checkpoints": kept, "run": self.uid}
            extra = {"member": number, "members": members}
            return {
                "callbacks": callbacks,
                "checkpoints": kept,
                "run": f"{self.uid}: member {number}",
                "extra": extra,
            }

        if members > 1:
            with source.kept() if near is None else contextlib.nullcontext(near) as rows:  # type: ignore[union-attr]
                average, history = fit_members(build, rows, recipe, members, given)
                network = Sequential.from_bytes(average.to_bytes(include_optimizer=False))
                with rows.engine(rows.shards_of(recipe), centre=network.network.centre) as engine:
                    summary = self._summarized(history, network, engine)
                    network.history = history
                    if page is not None:
                        page.end_members(network, engine)
            for place in places:
                place.forget()
            ended = [one.summary for one in results if one.ended]
            summary = replace(summary, comparison=_compared(ended, survey.rows))
        else:
            network = build()
            history = fit(network, near or source, recipe, **given())
            summary = results[0].summary
        model = self._model()
        names = source.feature_names if source.schema is None else source.schema.names
        about = {"features": names, "classes": design.names, "few": survey.few, "label": source.label_kind}
        model.hold(network, about)
        said = self._said(source, plan, recipe, history)
        model._summary = replace(summary, heldOut=survey.held, automatic=said)
        model._kept = [one.kept for one in results if one.kept is not None]
        model._resetUid(self.uid)
        used = {"members": members, "validationFraction": source.split, "earlyStoppingRounds": stopping.patience or 0}
        if source.schema is not None:
            used |= self._used(plan, source.columns)
        return self._copyValues(model)._set(**used, evalMetric=self.getOrDefault("evalMetric"))

    def _said(self, source: Frame | Packed, plan: FitPlan, recipe: Recipe, history: History) -> str | None:
        """Return what the rows have decided, in words; None where Params say all of it."""
        survey = source.survey()
        if plan.members > 1:
            lines = [f"member {number} is left out: {why}" for number, why in history.left_out.items()]
            averaged = (
                f"{plan.members - len(lines)} members, each trained without another part of {survey.rows:,} rows"
            )
            return "\n".join([averaged, *lines])
        said = []
        if plan.automatic:
            said.append(_automatic_text(source.said or PACKED, history, recipe.epochs, plan.patience))
        usual = policy.defaults_for(survey.rows + survey.held).members
        if source.columns.raw and not self._if_set("members") and usual > 1 and survey.rows >= policy.FEW:
            why = self._alone(source.columns) or "the rows were packed before"
            said.append(f"one network is trained, and not {usual} members: {why}")
        return "\n".join(said) or None

    def _suited(self, plan: FitPlan, source: Frame | Packed, survey: Survey) -> FitPlan:
        """Return the plan for a table of raw columns, whose rows decide what nobody has said."""
        rows, schema = survey.rows + survey.held, source.schema
        assert schema is not None
        found = policy.defaults_for(rows)
        known: dict[str, Any] = {
            "hiddenLayers": list(found.hidden),
            "activation": policy.ACTIVATION,
            "dropout": policy.DROPOUT,
        }
        known |= {"solver": "adamw", "maxIter": found.epochs}
        if not isinstance(plan.recipe.strategy, Gradient):
            known["batchSize"] = found.batch_size
        made = self._plan(plan.columns, known)
        optimizer, paces, recipe = made.optimizer, self.isSet("solver"), made.recipe
        if not paces:
            optimizer = policy.OPTIMIZER
            if isinstance(recipe.strategy, Average):
                recipe = replace(recipe, strategy=policy.STRATEGY)
        whole, front = made.whole, Table(output_dim=found.output_dim)
        if whole and isinstance(whole[0], Table):
            front, whole = whole[0], whole[1:]
        stopping = recipe.stopping
        assert stopping is not None
        if survey.held or plan.members > 1:
            patience = found.patience if self.getOrDefault("earlyStoppingRounds") == AUTOMATIC else stopping.patience
            monitor = f"val_{self.getOrDefault('evalMetric')}"
            stopping = replace(stopping, monitor=monitor, patience=patience)
        return replace(
            made,
            automatic=plan.automatic,
            members=plan.members,
            optimizer=optimizer,
            paces=paces,
            whole=whole,
            front=(schema.layer(front) if not front.inputs else front,),
            recipe=replace(recipe, stopping=stopping),
            patience=found.patience,
            bounds=source.ends if survey.targets == 1 else None,
        )

    def _used(self, plan: FitPlan, columns: Columns) -> dict[str, Any]:
        """Return what a table's rows have decided, as Params."""
        names = dict.fromkeys(whole(name) for name in columns.features)
        used: dict[str, Any] = {"inputCols": list(names), "timeZone": columns.zone}
        used |= {"maxIter": plan.recipe.epochs, "batchSize": plan.recipe.batch_size}
        if not plan.sizes and not plan.whole:
            dense = [layer for layer in plan.hidden if isinstance(layer, Dense)]
            dropped = [layer.rate for layer in plan.hidden if isinstance(layer, Dropout)]
            used |= {"hiddenLayers": [layer.units for layer in dense], "dropout": max(dropped, default=0.0)}
            used |= {"activation": self.getOrDefault("activation") if self.isSet("activation") else policy.ACTIVATION}
        if not plan.paces:
            used |= {"solver": "adamw", "learningRate": plan.rate or policy.RATE}
        return {name: value for name, value in used.items() if value is not None}

    def _network(self, design: Design, plan: FitPlan, rows: int) -> Sequential:
        """Return the network to train, compiled: one that standardizes inputs and targets by the rows, if it shall.

        Only sums reach any number, and only a loss of any number has units: other targets stay as they are.
        """
        layers, loss, parts = design.layers, design.loss, design.network.parts
        if self.getOrDefault("standardization"):
            layers = layers if plan.front else (Normalization(), *layers)
            if loss.targets == "real" and parts and isinstance(parts[-1], Linear):
                layers, loss = (*layers, Normalization(invert=True, bounds=plan.bounds)), Standardized(loss)
        network = Sequential(layers)
        network.build((None, design.network.inputs))
        network.compile(plan.paced(rows), loss, list(self.METRICS))
        return network

    def _design(self, source: Frame | Packed, survey: Survey, plan: FitPlan) -> Design:
        """Return the network that the Params and the rows make together; raise where they do not go together."""
        raise NotImplementedError

    def _check(self, design: Design, plan: FitPlan, survey: Survey, names: Mapping[str, str]) -> Design:
        """Return the design; raise where its network does not go with the loss, the Params or the targets."""
        network, loss = design.network, design.loss
        Objective(network, loss)
        if plan.sizes and plan.sizes[0] != survey.width:
            what = f"{names['features']} has {survey.width} features, so it must start with that"
            raise wrong("layers", list(plan.sizes), what)
        plan.recipe.strategy.check(network, plan.optimizer, plan.recipe.batch_size)
        check_targets(survey.targets, loss.columns(network.outputs), network.outputs, names["label"])
        return design

    def _summarized(self, history: History, network: Sequential, engine: Engine) -> TrainingSummary:
        """Return the summary of a fit, by one more round over the packed rows."""
        raise NotImplementedError

    def _model(self) -> NetworkModel[Any]:
        raise NotImplementedError

    def _sums(self, engine: Engine, objective: Objective, network: Sequential) -> Array:
        """Return an objective's sums over packed rows, for a summary."""
        task = Task(objective, network.theta, shards=engine.shards, title=f"{self.uid}: summary")
        total = tree_sum(engine.map(evaluate, task))
        assert total is not None, "an engine holds at least one block"
        return total.sums


class Results(Callback):
    """Takes the results of a stage's fit from the packed rows when it has ended, while they are there."""

    observes, ended = True, False
    summary: TrainingSummary
    kept: ScoredRows | None = None

    def __init__(self, stage: NetworkEstimator, most: int) -> None:
        """most: how many of the rows held out are kept."""
        self.stage, self.most = stage, most

    def set_rows(self, objective: Objective, training: Engine, validation: Engine | None) -> None:
        self.training, self.scored = training, validation or training

    def on_train_end(self, logs: Logs = None) -> None:
        kind = "classification" if self.stage._classifies else "regression"
        rows = "training" if self.scored is self.training else "validation"
        found = self.stage._summarized(self.model.history, self.model, self.training)
        compared = compare(kind, self.model, self.training, self.scored, rows, f"{self.stage.uid}: summary")
        self.summary, self.ended = replace(found, comparison=compared), True
        if self.scored is not self.training and not self.scored.sparse:
            with contextlib.suppress(SparkJobError):  # which ends no fit that has its network
                self.kept = ScoredRows.of(self.model._objective(), self.scored, self.model.theta, self.most)


def _compared(found: Sequence[TrainingSummary], rows: int) -> Comparison | None:
    """Return the mean of the members' comparisons, each of which is over rows that the member was not trained on."""
    each = [one.comparison for one in found if one.comparison is not None]
    if not each:
        return None
    scores = [[getattr(one, name) for one in each] for name in ("network", "linear")]
    network, linear = [None if None in some else sum(some) / len(some) for some in scores]
    return replace(each[0], rows=f"{rows:,} rows, each by the member without it", network=network, linear=linear)


def _run_folder(parent: str, features: list[str] | None, classes: list[str] | None, members: int) -> Any:
    """Return what writes a fit's run, into a new folder; the edge is looked for by name where it is asked for."""
    report = importlib.import_module("firesteel.report")
    config = {"training": {"members": members}} if members > 1 else None
    return report.RunFolder(report.next_folder(parent), class_names=classes, feature_names=features, config=config)


REST = 9.0
"""Of a training in this process, the time that goes by between two saves of progress, in saves: they are jobs."""
PACKED = "nothing is held out of rows that were packed before; pack(..., validation_split=0.1) holds some out"


def _automatic_text(said: str, history: History, epochs: int, patience: int) -> str:
    """Return what came of the rows' own decision."""
    if history.best is None:
        return said
    made, kept = len(history.rows), f"and the weights of pass {history.best + 1} are kept"
    early = f"training ended after {made} of {epochs} passes, {patience} of them without a better validation loss"
    return f"{said}; {f'all {made} passes were made' if made == epochs else early}, {kept}"


def wrong(name: str, value: Any, why: str) -> ConfigError:
    return ConfigError(f"{name}={value!r}: {why}", code="config-param")


def _check_packed(rows: Packed, columns: Columns) -> None:
    """Raise ConfigError where rows were packed from other columns than the Params name.

    What `handleInvalid` says of rows with gaps does not matter: packed rows have none.
    """
    if rows.dtype != "float32":
        raise ConfigError(
            f"the rows were packed as {rows.dtype}, and stages train in float32: pack(...) without dtype",
            code="config-packed",
        )
    if rows.columns != replace(columns, skip=rows.columns.skip):
        raise ConfigError(
            f"the rows were packed as {rows.columns}, and the Params say {columns}: set them to what was packed",
            code="config-packed",
        )


Shared = tuple[Columns, bool, int]
"""What candidates have in common that train on the same packed rows: columns, and what decides on members."""


class SharedFits(Iterator[tuple[int, Any]]):
    """Models for several maps of Params, with the rows of candidates that read the same columns packed once."""

    def __init__(self, estimator: NetworkEstimator, dataset: Any, maps: Sequence[Any]) -> None:
        self.candidates = [estimator.copy(one) for one in maps]
        self.dataset, self.next, self.busy_fits = dataset, 0, 0
        self.failed: str | None = None
        self.lock = threading.Lock()
        self.packs: dict[Shared, Packed | None] = {}
        self.busy: dict[Shared, threading.Lock] = {}
        self.finalizer = weakref.finalize(self, _let_go, self.packs)
        self.finalizer.atexit = False  # then there may be no session left

    def __next__(self) -> tuple[int, Any]:
        with self.lock:
            if self.failed is not None:  # and not StopIteration, which a pool of threads would take for the end
                raise ConfigError(f"another candidate failed: {self.failed}", code="config-candidate")
            number = self.next
            if number >= len(self.candidates):
                raise StopIteration
            self.next += 1
            self.busy_fits += 1
        candidate = self.candidates[number]
        try:
            return number, candidate.fit(self._packed(candidate))
        except BaseException as error:
            with self.lock:
                self.failed = self.failed or str(error) or type(error).__name__
            raise
        finally:
            with self.lock:
                self.busy_fits -= 1
                ended = self.next >= len(self.candidates) or self.failed is not None
                if not self.busy_fits and ended:
                    self.finalizer()

    def _packed(self, candidate: NetworkEstimator) -> Any:
        """Return the rows that a candidate trains on, packed by whoever wants them first."""
        plan = candidate._plan(self.dataset)
        if isinstance(self.dataset, Packed):
            return self.dataset
        key = plan.columns, candidate._alone(plan.columns) is None, candidate._if_set("members") or 0
        with self.lock:
            busy = self.busy.setdefault(key, threading.Lock())
        with busy:
            if key not in self.packs:
                source = candidate._frame(self.dataset, plan)
                survey = source.survey()
                several = candidate._members(source, survey.rows + survey.held) > 1
                apart = several and not is_small(source, survey)
                self.packs[key] = None if apart else packed(source, source.shards_of(plan.recipe))
        return self.packs[key] or self.dataset


def _let_go(packs: dict[Shared, Packed | None]) -> None:
    for rows in filter(None, packs.values()):
        rows.unpersist()
    packs.clear()
