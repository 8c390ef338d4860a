"""How the Spark stages train: from Params and rows to a fitted network, for one fit or several candidates.

`NetworkEstimator` fits on a DataFrame or on packed rows; `SharedFits` packs rows once for all candidates that read
the same columns.  `planning.py` interprets the Params, and `estimator.py` builds the network for classes or targets.
"""

import contextlib
import copy
import importlib
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from pyspark.ml.base import Estimator
from pyspark.ml.util import MLReadable, MLWritable, MLWriter

from firesteel.callbacks import Callback
from firesteel.core.layers import Input, Layer, Normalization
from firesteel.core.layers.calling import row_of
from firesteel.core.layers.dense import Linear
from firesteel.core.losses import Loss, Standardized
from firesteel.core.network import Network, Objective
from firesteel.core.types import Array
from firesteel.errors import ConfigError, SparkJobError
from firesteel.models import Model, Sequential, clone_model
from firesteel.search.linear import Comparison, compare
from firesteel.search.members import fit_members
from firesteel.search.shifts import picture_of
from firesteel.spark.checkpoints import SparkCheckpoints
from firesteel.spark.collected import Collected, is_small
from firesteel.spark.columns import Columns
from firesteel.spark.embedding import hidden_of
from firesteel.spark.failures import session_of
from firesteel.spark.frames import Frame
from firesteel.spark.model import NetworkModel
from firesteel.spark.packed import Packed, packed
from firesteel.spark.planning import FitPlan, PlannedStage, wrong
from firesteel.spark.storage import StageReader, StageWriter, reach
from firesteel.spark.summary import TrainingSummary
from firesteel.tables.importance import MOST_ROWS, ScoredRows
from firesteel.tables.policy import AUTOMATIC
from firesteel.train.callbacks import Logs
from firesteel.train.engine import Engine
from firesteel.train.fit import fit
from firesteel.train.history import History
from firesteel.train.partial import Task, tree_sum
from firesteel.train.rounds import evaluate
from firesteel.train.source import RowProfile, check_targets


@dataclass(frozen=True)
class Design:
    """The network to train, with its loss and the names of its classes.

    Args:
        layers: The layers, without scaling of inputs and targets.
        network: The network of these layers.
        loss: The loss.
        names: Names of the classes, if they have any.
        class_weight: Weight of each class.
    """

    layers: tuple[Layer | Model, ...]
    network: Network
    loss: Loss
    names: list[str] | None = None
    class_weight: tuple[float, ...] | None = None


def network_of(layers: Sequence[Layer | Model], inputs: int) -> Network:
    """Build a network from a chain of layers and models.

    Args:
        layers: The layers, which may include models.
        inputs: Number of values in a row.

    Raises:
        ConfigError: If the layers do not fit each other or the rows.
    """
    if not any(isinstance(one, Model) for one in layers) and row_of(layers, inputs) is None:  # type: ignore[arg-type]
        return Network.chain(layers, inputs)  # type: ignore[arg-type]
    made = Sequential(list(map(_anew, layers)))
    if made._inputs not in (None, inputs):
        what = f"the model takes {made._inputs} features, but the rows have {inputs}"
        raise wrong("layers", "...", what)
    return made._network_for(inputs)


def _anew(layer: Layer | Model) -> Layer | Model:
    """Copy a layer or model, so that two networks do not share its weights."""
    return clone_model(layer) if isinstance(layer, Model) else copy.copy(layer)


class NetworkEstimator(PlannedStage, Estimator[Any], MLWritable, MLReadable[Any]):
    """Base class of the two estimators."""

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self._start(params)

    def setParams(self, **params: Any) -> Self:
        """Set Params by keyword.

        Args:
            params: Values by Param name; None leaves a Param unchanged.

        Returns:
            This stage.

        Raises:
            ConfigError: `config-param`, for an unknown Param or an invalid value.
        """
        return self._given(params)

    def write(self) -> MLWriter:
        """Return the writer of this stage."""
        return StageWriter(self)

    @classmethod
    def read(cls) -> StageReader:
        """Return the reader of such stages."""
        return StageReader(cls)

    def fitMultiple(self, dataset: Any, paramMaps: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Fit one model per param map; rows are validated and packed once for maps that read the same columns.

        Args:
            dataset: The rows.
            paramMaps: A param map for each model.

        Returns:
            A thread-safe iterator of (index, model).  It releases the packed rows after the last model.
        """
        return SharedFits(self.copy(), dataset, paramMaps)

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
        """Open a DataFrame as a source.  Raises DataError if an output column has the name of an input column."""
        if folder := self._if_set("checkpointDir"):
            reach(session_of(dataset), folder, "checkpointDir")
        source = Frame(dataset, plan.columns, "float32")
        source.table.check_free(self._check_outputs(), plan.columns)
        if plan.columns.split == AUTOMATIC and self._members(source) > 1:
            source.columns = replace(plan.columns, split=0.0)  # each member holds out its own part
        return source

    def _fitted(self, source: Frame | Packed, plan: FitPlan) -> Any:
        profile = source.profile()
        plan = self._suited(plan, source, profile)
        members, design = plan.members, self._design(source, profile, plan)
        recipe = replace(plan.recipe, class_weight=design.class_weight)
        if isinstance(source, Packed):
            near = source.near
        else:
            near = Collected(source, profile) if is_small(source, profile) else None
        places = list[SparkCheckpoints]()
        results = [Results(self, MOST_ROWS // members) for _ in range(members)]
        runs, folder = self._if_set("runDir"), self._if_set("checkpointDir")
        names = design.names or (None if self._classifies or profile.targets > 1 else [str(source.columns.label)])
        page = _run_folder(runs, source.feature_names, names, members) if runs else None

        def build(number: int = 0) -> Model:
            network = self._network(design, plan, profile.rows)
            network.schema = source.schema
            return network

        def given(number: int = 0) -> dict[str, Any]:
            checkpoints, callbacks = None, [*([] if page is None else [page]), results[number]]
            if folder:
                checkpoints = SparkCheckpoints(session_of(source), folder, members > 1, 0.0 if near is None else REST)
                places.append(checkpoints)
            named: dict[str, Any] = {"callbacks": callbacks, "checkpoints": checkpoints, "run": self.uid}
            if members > 1:
                extra = {"member": number, "members": members}
                named |= {"run": f"{self.uid}: member {number}", "extra": extra}
            return named

        if members > 1:
            with source.cached() if near is None else contextlib.nullcontext(near) as rows:  # type: ignore[union-attr]
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
            summary = replace(summary, comparison=_compared(ended, profile.rows))
        else:
            network = build()
            history = fit(network, near or source, recipe, **given())
            summary = results[0].summary
        model = self._model()
        names = source.feature_names if source.schema is None else source.schema.names
        about = {"features": names, "classes": design.names, "few": profile.few, "label": source.label_kind}
        model._set_network(network, about)
        said = self._said(source, plan, history)
        model._summary = replace(summary, heldOut=profile.held, automatic=said)
        model._validation_rows = [one.validation_rows for one in results if one.validation_rows is not None]
        model._resetUid(self.uid)
        used = plan.used() | {"validationFraction": source.split, "evalMetric": self.getOrDefault("evalMetric")}
        return self._copyValues(model)._set(**used)

    def _network(self, design: Design, plan: FitPlan, rows: int) -> Model:
        """Build and compile the network, with layers that standardize inputs and targets if `standardization` is set.

        Targets are standardized only if the loss accepts any real number and the last layer is linear.
        """
        layers, loss, parts = design.layers, design.loss, design.network.parts
        if self.getOrDefault("standardization"):
            at = int(len(design.network.entries[0]) > 1 and isinstance(layers[0], Input))
            layers = layers if plan.front else (*layers[:at], Normalization(), *layers[at:])
            if loss.targets == "real" and parts and isinstance(parts[-1], Linear):
                layers, loss = (*layers, Normalization(invert=True, bounds=plan.bounds)), Standardized(loss)
        network = Sequential(list(map(_anew, layers)))
        network.build((None, design.network.inputs))
        network.compile(plan.paced(rows), loss, list(self.METRICS))
        return network

    def _design(self, source: Frame | Packed, profile: RowProfile, plan: FitPlan) -> Design:
        """Build the network from Params and profile.  Raises ConfigError or DataError if they do not match."""
        raise NotImplementedError

    def _check(self, design: Design, plan: FitPlan, profile: RowProfile, names: Mapping[str, str]) -> Design:
        """Check that a network fits its loss, the Params and the targets; return the design."""
        network, loss = design.network, design.loss
        Objective(network, loss)
        if plan.sizes and plan.sizes[0] != profile.width:
            what = f"{names['features']} has {profile.width} features, so the first size must be {profile.width}"
            raise wrong("layers", list(plan.sizes), what)
        plan.recipe.strategy.check(network, plan.optimizer, plan.recipe.batch_size)
        check_targets(profile.targets, loss.columns(network.outputs), network.outputs, names["label"])
        if self._if_set("embeddingCol"):
            hidden_of(network, self._if_set("embeddingLayer"))
        if pixels := self._if_set("tta"):
            picture_of(network, pixels)
        return design

    def _summarized(self, history: History, network: Model, engine: Engine) -> TrainingSummary:
        """Compute the summary of a fit in one more round over the packed rows."""
        raise NotImplementedError

    def _model(self) -> NetworkModel[Any]:
        raise NotImplementedError

    def _sums(self, engine: Engine, objective: Objective, network: Model) -> Array:
        """Evaluate an objective over the packed rows in one round; return its sums."""
        task = Task(objective, network.theta, shards=engine.shards, title=f"{self.uid}: summary")
        total = tree_sum(engine.map(evaluate, task))
        assert total is not None, "an engine holds at least one block"
        return total.sums


class Results(Callback):
    """Callback that computes summary and validation scores at the end of training, while the rows are packed.

    Args:
        stage: The estimator.
        most: Maximum number of validation rows to keep for importances.
    """

    observes, ended = True, False
    summary: TrainingSummary
    validation_rows: ScoredRows | None = None

    def __init__(self, stage: NetworkEstimator, most: int) -> None:
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
            with contextlib.suppress(SparkJobError):  # the fit has its network and must not fail here
                self.validation_rows = ScoredRows.of(
                    self.model._objective(), self.scored, self.model.theta, self.most
                )


def _compared(found: Sequence[TrainingSummary], rows: int) -> Comparison | None:
    """Average the members' comparisons with a linear model, each on rows the member was not trained on."""
    each = [one.comparison for one in found if one.comparison is not None]
    if not each:
        return None
    scores = [[getattr(one, name) for one in each] for name in ("network", "linear")]
    network, linear = [None if None in some else sum(some) / len(some) for some in scores]
    return replace(
        each[0], rows=f"{rows:,} rows, each scored by the member not trained on it", network=network, linear=linear
    )


def _run_folder(parent: str, features: list[str] | None, classes: list[str] | None, members: int) -> Any:
    """Return the callback that writes the run to a new folder below `parent`."""
    report = importlib.import_module("firesteel.report")
    config = {"training": {"members": members}} if members > 1 else None
    return report.RunFolder(report.next_folder(parent), class_names=classes, feature_names=features, config=config)


REST = 9.0
"""Minimum time between two checkpoints of a training in this process, as a multiple of the time that a save takes."""


def _check_packed(rows: Packed, columns: Columns) -> None:
    """Raise ConfigError if rows were packed from columns other than those that the Params name.

    handleInvalid may differ, as packed rows contain no invalid values.
    """
    if rows.dtype != "float32":
        raise ConfigError(
            f"the rows were packed as {rows.dtype}, but stages train in float32: call pack(...) without dtype",
            code="config-packed",
        )
    if rows.columns != replace(columns, skip=rows.columns.skip):
        raise ConfigError(
            f"the rows were packed from {rows.columns}, but the Params name {columns}: set the Params accordingly",
            code="config-packed",
        )


Shared = tuple[Columns, bool, int]
"""Key of packed rows: candidates with equal columns and equal settings of members share them."""


class SharedFits(Iterator[tuple[int, Any]]):
    """Thread-safe iterator over the models of several param maps, which packs rows once for maps that share them."""

    def __init__(self, estimator: NetworkEstimator, dataset: Any, maps: Sequence[Any]) -> None:
        self.candidates = [estimator.copy(one) for one in maps]
        self.dataset, self.next, self.busy_fits = dataset, 0, 0
        self.failed: str | None = None
        self.lock = threading.Lock()
        self.packs: dict[Shared, Packed | None] = {}
        self.busy: dict[Shared, threading.Lock] = {}
        self.finalizer = weakref.finalize(self, _release, self.packs)
        self.finalizer.atexit = False  # the session may have ended by then

    def __next__(self) -> tuple[int, Any]:
        with self.lock:
            if self.failed is not None:  # StopIteration would look like success to a thread pool
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
        """Return the packed rows of a param map; the first map that needs them packs them."""
        plan = candidate._plan(self.dataset)
        if isinstance(self.dataset, Packed):
            return self.dataset
        key = plan.columns, candidate._alone(plan.columns) is None, candidate._if_set("members") or 0
        with self.lock:
            busy = self.busy.setdefault(key, threading.Lock())
        with busy:
            if key not in self.packs:
                source = candidate._frame(self.dataset, plan)
                apart = candidate._members(source) > 1 and not is_small(source, source.profile())
                self.packs[key] = None if apart else packed(source, source.shards_of(plan.recipe))
        return self.packs[key] or self.dataset


def _release(packs: dict[Shared, Packed | None]) -> None:
    for rows in filter(None, packs.values()):
        rows.unpersist()
    packs.clear()
