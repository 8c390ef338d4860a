"""The stages' parameters, in Spark's spelling.

Each Param brings its own `getX` and `setX`, and the constructor takes each by keyword: `with_params` writes them all
from the Params themselves, so that none can be forgotten; a misspelt one is refused with the name that was meant.
What the values mean for a network is decided in `estimator.py`.
"""

import inspect
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasSeed, HasStandardization, HasWeightCol

from firesteel.core import layers
from firesteel.core.elsewhere import nearest
from firesteel.core.layers import Layer
from firesteel.core.layers.heads import Heads
from firesteel.core.network import Network
from firesteel.errors import ConfigError
from firesteel.models import Model, model_from_config
from firesteel.tables import policy
from firesteel.tables.policy import AUTOMATIC
from firesteel.tables.weights import class_number

OTHER_NAMES = {
    "hiddenLayers": ("hidden_layer_sizes", "units"),
    "solver": ("optimizer",),
    "learningRate": ("learning_rate_init",),
    "maxIter": ("epochs", "n_epochs", "max_iter"),
    "regParam": ("alpha", "l2", "kernel_regularizer"),
    "validationFraction": ("validation_split",),
    "earlyStoppingRounds": ("early_stopping", "n_iter_no_change", "patience"),
    "seed": ("random_state",),
    "shards": ("num_workers", "numTrainWorkers"),
    "classWeights": ("class_weight",),
    "evalMetric": ("metrics",),
}
"""What other libraries call a Param."""
ELSEWHERE = {other: name for name, others in OTHER_NAMES.items() for other in others}
ARCHITECTURES = (AUTOMATIC, "dense", "cnn")
MOST = 100
"""Letters of a value that a message shows."""


# Converters: each returns the value in its own type, and raises TypeError for one that no fit can take


def number(high: float = math.inf, closed: bool = False) -> Any:
    """Return the converter of numbers from 0 on and below `high`, or up to it where the interval is closed."""
    words = "a number of at least 0" if high == math.inf else f"in [0, {high:g}" + ("]" if closed else ")")

    def convert(value: Any) -> float:
        found = TypeConverters.toFloat(value)
        if not (0.0 <= found < high or (closed and found == high)):
            raise TypeError(f"it must be {words}")
        return found

    return convert


def whole(low: int) -> Any:
    """Return the converter of whole numbers of at least `low`."""

    def convert(value: Any) -> int:
        found = TypeConverters.toInt(value)
        if found < low:
            raise TypeError(f"it must be an integer of at least {low}")
        return found

    return convert


def or_automatic(convert: Any) -> Any:
    """Return the converter that takes "auto" as well."""
    return lambda value: value if isinstance(value, str) and value == AUTOMATIC else convert(value)


def to_sizes(value: Any) -> list[int]:
    """Return sizes of layers as integers."""
    found = TypeConverters.toListInt(value)
    if min(found, default=1) < 1:
        raise TypeError("each layer must have at least 1 unit")
    return found


def to_shape(value: Any) -> list[int]:
    """Return the shape of a row as integers."""
    found = TypeConverters.toListInt(value)
    if min(found, default=0) < 1:
        raise TypeError("it takes the shape of a row, such as [28, 28, 1]: height, width and channels of a picture")
    return found


def to_architecture(value: Any) -> str:
    """Return the name of an architecture."""
    if value not in ARCHITECTURES:
        raise TypeError(f"it must be one of {', '.join(ARCHITECTURES)}")
    return str(value)


def to_layers(value: Any) -> Any:
    """Return layer sizes as integers, layers as their configurations, or a model as its own if it is no chain."""
    if isinstance(value, Model):
        if value._inputs is None and any(isinstance(one, Model) for one in value.layers):
            raise TypeError("the inputs of this model are unknown: begin it with an Input, or give input_dim=")
        value = value.get_config()
    if isinstance(value, Mapping):
        network = value.get("network", value)
        return to_layers(network["layers"]) if "layers" in network else to_graph(value)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise TypeError(
            "it takes a list of sizes, from the inputs to the outputs, a list of firesteel's layers, or a model"
        )
    if all(isinstance(item, Layer | Mapping) for item in value):
        return [layers.get(item).to_config() for item in value]
    if len(value) < 2:
        raise TypeError("sizes go from the inputs to the outputs, so there must be two at least")
    return to_sizes(value)


def to_graph(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a model of one input and one output that is no chain."""
    model = model_from_config(value)
    check_ports(model.network, "fit")
    if model.network.dtype != "float32":
        raise TypeError(f"stages train in float32, and this model is {model.network.dtype}")
    found: dict[str, Any] = json.loads(model.to_json())
    return found


def check_ports(network: Network, verb: str) -> None:
    """Raise ConfigError for a network of several inputs or outputs.

    Args:
        network: The network.
        verb: What the model itself can do with a DataFrame of them.
    """
    last, inputs = network.layers[-1], len(network.entries)
    outputs = len(last.sizes) if isinstance(last, Heads) else 1
    if (inputs, outputs) != (1, 1):
        raise ConfigError(
            f"a stage takes a model of one input and one output, and this one has {inputs} and {outputs}: call it "
            f"on the frame by itself, model.{verb}(df, features={{...}}{', label={...}' if verb == 'fit' else ''})",
            code="config-layers",
        )


def to_class_weights(value: Any) -> Any:
    """Return "balanced", a list with a weight for each class, or a mapping with text keys, as JSON has them."""
    if isinstance(value, str) and value == "balanced":
        return value
    named = hasattr(value, "items")  # a pandas Series is no Mapping
    listed = isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1
    pairs = list(value.items() if named else enumerate(value) if listed else ())
    if not pairs:
        raise TypeError('it takes a map such as {0: 1.0, 1: 5.0}, or "balanced"')
    numbers = [class_number(key) for key, _ in pairs]
    classes = [
        to_word(key) if isinstance(key, bool | np.bool_) else key if isinstance(key, str) and number < 0 else number
        for (key, _), number in zip(pairs, numbers, strict=True)
    ]
    if wrong := [key for key in classes if key == "" or (not isinstance(key, str) and key < 0)]:
        raise TypeError(f"it names classes by their numbers 0, 1, 2, ..., or labels by their words, and not {wrong}")
    weights = [TypeConverters.toFloat(weight) for _, weight in pairs]
    if not all(0.0 <= weight < math.inf for weight in weights):
        raise TypeError("weights are 0 or more")
    return dict(zip(map(str, classes), weights, strict=True)) if named else weights


def to_word(value: Any) -> str:
    """Return a word of a label; of booleans as Spark writes them."""
    return str(value).lower() if isinstance(value, bool | np.bool_) else TypeConverters.toString(value)


def to_thresholds(value: Any) -> Any:
    """Return a list with a threshold for each class, or a map of words to thresholds."""
    if not isinstance(value, Mapping):
        return TypeConverters.toListFloat(value)
    return {to_word(word): TypeConverters.toFloat(threshold) for word, threshold in value.items()}


def check_words(name: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Raise ConfigError for words that are none of a label's, with the nearest that is one."""
    if unknown := [word for word in given if word not in known]:
        shown = ", ".join(known[:20]) + (f", ... ({len(known):,} words)" if len(known) > 20 else "")
        raise ConfigError(
            f"{name}: there is no class {unknown[0]!r}: {nearest(unknown[0], known)}the label has the words {shown}",
            code="config-class",
        )


def to_columns(value: Any) -> Any:
    """Return a column's name, or a list of names."""
    return TypeConverters.toString(value) if isinstance(value, str) else TypeConverters.toListString(value)


def to_kinds(value: Any) -> dict[str, str]:
    """Return what columns hold whose type does not say it."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TypeError('it takes a map such as {"zip": "category"}')
    if wrong := [kind for kind in value.values() if kind != "category"]:
        raise TypeError(f"a column's kind is category, and not {wrong[0]!r}: leave out those whose type says it")
    return dict(value)


def to_path(value: Any) -> str:
    """Return a path as text."""
    return TypeConverters.toString(os.fspath(value) if isinstance(value, os.PathLike) else value)


class Declared(Param[Any]):
    """A Param of ours, which is called what its class calls it, and is what the docstring of its class says it is.

    default: None where it has none.
    """

    def __init__(self, default: Any = None, converter: Any = TypeConverters.toString) -> None:
        super().__init__(Params._dummy(), "", "", converter)
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        said = re.search(rf"^    {name}: (.+(?:\n {{8}}.+)*)", inspect.cleandoc(owner.__doc__ or ""), re.MULTILINE)
        self.name, self.doc = name, re.sub(r"\n +", " ", said[1]) if said else ""


# Params


class NetworkParams(HasSeed, HasStandardization, HasWeightCol):
    """What shapes and trains a network.

    Params:
        featuresCol: features: a column of vectors, of arrays, in one another too, of bytes (one value each), of
            Spark's image structs or of numbers; or a list of columns of numbers.
        inputCols: features of any type, in place of featuresCol: text, numbers, booleans, dates and times, arrays and
            vectors, nulls too.  Where neither is set, and there is no column `features`, all columns are taken but
            those of other Params, ignoreCols, and what Spark's tuning and other stages have made; the model has the
            list.
        ignoreCols: columns that are no features where inputCols is not set, such as the foldCol of a CrossValidator:
            a stage inside it cannot know that one.
        columnKinds: columns of numbers that are names for something, such as {"zip": "category"}.
        timeZone: where the days of timestamps begin, such as Europe/Berlin; if it is not set, the session's zone when
            training.  The model keeps it.
        inputShape: shape of a row, such as [28, 28, 1], the height, width and channels of pictures: the network
            begins with it, and image structs must have it.  If it is not set, an Input at the beginning of layers
            says it.
        architecture: auto: dense layers, behind a table's own first layer where columns are of any type; dense:
            dense layers alone; cnn, for pictures of inputShape: three convolutions of 32, 64 and 128 filters,
            batch-normalized, in front of the dense layers, and pictures are standardized by channel.  With cnn the
            activation is relu if none is set, hiddenLayers are the dense layers behind the convolutions, and where
            nothing else is set 128 units, one network and not several members, batches of 64 and at most 60 passes,
            which 12 without a better evalMetric end; from 20,000 rows on batches of 128, 30 passes and 4.
        hiddenLayers: numbers of units of the hidden layers, from the inputs on; an empty list makes a linear
            model.  If it is not set, the rows decide: 64 and 64 below 2,000 rows, else 256 and 256, the first of
            them fewer where it would have more than 2^24 weights, and 64 at least.
        layers: the whole network, in place of hiddenLayers: sizes from inputs to outputs, such as [784, 64, 10],
            or a list of firesteel's layers, such as [Dense(64, "relu"), Dense(10, "softmax")], or a model of one
            input and one output, such as Model(inputs, outputs): its layers are taken, and not its weights, which
            each fit draws anew; one network is trained of a model that is no chain, not several members.
        activation: activation of the hidden layers, by firesteel's name for it, such as relu, gelu or tanh.
        dropout: share of the units of each hidden layer that is dropped at random in training, in [0, 1); none is
            with l-bfgs, unless this is set.
        solver: the optimiser: adam, adamw, rmsprop, sgd and so on, by Keras's names; l-bfgs takes all rows at
            once.  If it is not set, adamw's weights are also averaged over its steps, and the averages are what is
            validated and kept.
        learningRate: size of a step of the optimiser, > 0; stepSize is another word for it.  0 for the usual one:
            0.002 where solver is not set, or up to ten times as much where a fit has fewer than 1,000 steps; else
            one from the number of steps in a pass: 0.001 (sgd: 0.01) from 30 steps on, up to ten times as much with
            fewer.
        stepSize: another word for learningRate, which it sets; set one of them.
        batchSize: rows in a step of the optimiser, in each shard, > 0.  If it is not set, strategy gradient takes
            all rows, and otherwise the rows decide: 64 below 2,000 rows, 256 below 200,000, else 1,024; fewer, down
            to 16, where shards is set and a shard would take fewer than 20 steps in a pass.
        blockSize: taken for programs written for MultilayerPerceptronClassifier, and without effect: firesteel
            sizes its blocks of rows by itself.
        maxIter: passes over the training rows, at most, > 0.  If it is not set, the rows decide: 256 below 200,000
            rows, else 64.
        tol: training ends when its loss changes by no more than this share of itself from one pass to the next; 0
            for never.
        regParam: penalty r on the weights, >= 0: the loss grows by r (e |w| + (1 - e) / 2 w^2), e being
            elasticNetParam.
        elasticNetParam: how much of the penalty is L1, in [0, 1]; the rest is L2.
        loss: what training makes small, by firesteel's name for it; auto takes the one that goes with the last
            layer.
        validationFraction: share of the rows held out for validation, chosen by their key, in [0, 1); 0 for
            none.  auto lets the rows decide, unless validationIndicatorCol is set or each of several members holds
            out a part of its own: 0 below 50 rows, 0.2 below 20,000, else 0.1, without the last 5 rows of each
            class; the model has the share that was used.
        members: so many networks are trained, each without another part of the rows, which chooses its pass; their
            outputs are averaged, and the average is the network of the model.  If it is not set, the rows decide: 8
            below 2,000 rows, 4 below 20,000, else 1; and 1 below 50 rows, where earlyStoppingRounds is 0,
            validationFraction or validationIndicatorCol is set, or rows were packed before.
        validationIndicatorCol: column of booleans, true for the rows held out for validation.
        earlyStoppingRounds: training ends after so many passes without a better evalMetric, and the best pass's
            weights are kept; 0 for never.  It is measured on the rows held out, or on the training rows if there are
            none.  auto is 0 where no rows are held out, and otherwise the rows decide: 32 below 2,000 rows, 16 below
            200,000, else 4; the model has the number that was used.
        evalMetric: what earlyStoppingRounds watches: loss; or accuracy, of a classifier; or mse or mae, of a
            regressor.
        handleInvalid: what to do with rows whose features or label hold null, NaN or infinite values: error
            refuses them; skip leaves them out, of training and of what is scored; keep leaves them out of training
            and scores them as null, which Spark's evaluators fail on: filter("prediction is not null") before them,
            or take skip.  Of raw columns (inputCols) it is about labels in training, as nulls and NaN of features
            are "missing" there; and about words in what is scored which training did not have, and nulls in columns
            of words that had none: error refuses them, skip leaves their rows out, keep scores them as unseen, and so
            they are where it is not set.
        idCol: column that identifies a row, of any type: it decides which rows are held out and where they are
            packed, in place of their values, so that both stay the same when the features change.
        embeddingCol: column of vectors that the model adds: what a hidden layer makes of a row, to compare rows by;
            if it is not set, there is none.
        embeddingLayer: the name of that layer, as in model.network.summary(); if it is not set, the last hidden one,
            of each of several members.
        tta: pictures are scored as the mean over each and over the four that are shifted by so many pixels, with
            zeros beyond the edges; 0 for each alone.
        runDir: folder on the driver in which each fit writes a run of its own, 001, 002, ...: its settings,
            history, scores, model, and a report to look at.
        checkpointDir: folder, on any path of Spark's, in which progress is kept until training ends: the same
            fit, interrupted and called again, goes on from there with the same bits.  Each save is a small Spark job.
        strategy: average: shards train on their own for a while and are averaged; gradient: one step of the
            optimiser a round, along the exact gradient.
        shards: how many parts of the rows train on their own; 0 for a number from the rows alone, never from the
            cluster.
    """

    featuresCol: Param[Any] = Declared("features", to_columns)
    inputCols = Declared(None, TypeConverters.toListString)
    ignoreCols = Declared(None, TypeConverters.toListString)
    columnKinds = Declared(None, to_kinds)
    timeZone = Declared()
    inputShape = Declared(None, to_shape)
    architecture = Declared(AUTOMATIC, to_architecture)
    hiddenLayers = Declared(None, to_sizes)
    layers = Declared(None, to_layers)
    activation = Declared(policy.ACTIVATION)
    dropout = Declared(policy.DROPOUT, number(1.0))
    solver = Declared("adamw")
    learningRate = Declared(0.0, number())
    stepSize = Declared(None, number())
    batchSize = Declared(None, whole(1))
    blockSize = Declared(None, whole(1))
    maxIter = Declared(None, whole(1))
    tol = Declared(1e-6, number())
    regParam = Declared(0.0, number())
    elasticNetParam = Declared(0.0, number(1.0, closed=True))
    loss = Declared("auto")
    members = Declared(None, whole(1))
    validationFraction = Declared(AUTOMATIC, or_automatic(number(1.0)))
    validationIndicatorCol = Declared()
    earlyStoppingRounds = Declared(AUTOMATIC, or_automatic(whole(0)))
    evalMetric = Declared("loss")
    handleInvalid = Declared("error")
    idCol = Declared()
    embeddingCol = Declared()
    embeddingLayer = Declared()
    tta = Declared(0, whole(0))
    runDir = Declared(None, to_path)
    checkpointDir = Declared(None, to_path)
    strategy = Declared("average")
    shards = Declared(0, whole(0))

    DEFAULTS = {"labelCol": "label", "predictionCol": "prediction", "seed": 0, "standardization": True}
    """Those of Spark's own Params."""

    def _start(self, given: Mapping[str, Any]) -> None:
        """Set the defaults, then what the constructor was given."""
        self._setDefault(**{name: value for name, value in defaults_of(type(self)).items() if self.hasParam(name)})
        self._given(given)

    def _given(self, given: Mapping[str, Any]) -> Self:
        """Set each Param that was given; None leaves one alone.  Raises ConfigError for what is no Param."""
        known = {p.name for p in self.params}
        for name in given:
            if name not in known:
                camel = name.split("_")[0] + "".join(word.title() for word in name.split("_")[1:])
                hint = nearest(name if name in ELSEWHERE else camel, known, ELSEWHERE)
                raise ConfigError(
                    f"{type(self).__name__} has no parameter {name!r}: {hint}it has {', '.join(sorted(known))}",
                    code="config-param",
                )
        return self._set(**{name: value for name, value in given.items() if value is not None})

    def set(self, param: Param[Any], value: Any) -> None:
        """Set a Param.  Raises ConfigError for a value that no fit can take."""
        self._shouldOwn(param)
        self._set(**{param.name: value})

    def _set(self, **values: Any) -> Self:
        """Set Params: constructor, setters, `copy` and maps of Params all end here."""
        for name, value in values.items():
            try:
                self._paramMap[self.getParam(name)] = self.getParam(name).typeConverter(value)
            except (TypeError, OverflowError) as error:
                raise ConfigError(
                    f"{name}={repr(value)[:MOST]}: {' '.join(str(error).split())}", code="config-param"
                ) from None
        return self

    OUTPUTS: tuple[str, ...] = ("predictionCol",)
    """The Params that name the columns to be made."""

    def check_outputs(self) -> tuple[str, ...]:
        """Return the names of the columns to be made.

        Raises:
            ConfigError: If two of them are one name.
        """
        given = {name: value for name in (*self.OUTPUTS, "embeddingCol") if (value := self._if_set(name))}
        if len({value.lower() for value in given.values()}) < len(given):
            *others, last = given
            raise ConfigError(
                f"{', '.join(others)} and {last} are {', '.join(given.values())}: they must differ",
                code="config-param",
            )
        return tuple(given.values())

    def _columns(self) -> tuple[str, ...] | str:
        """Return the features' column, or columns."""
        found = self.getOrDefault("featuresCol")
        return found if isinstance(found, str) else tuple(found)

    def _number(self, name: str) -> Any:
        """Return a Param's value, 0 where the rows are to decide it."""
        value = self.getOrDefault(name)
        return 0 if value == AUTOMATIC else value

    def _named(self, name: str) -> bool:
        """Return whether a Param is set, or was saved with a default that is none of ours."""
        known = self.hasDefault(name) and self._defaultParamMap[self.getParam(name)]
        return self.isSet(name) or (self.hasDefault(name) and known != defaults_of(type(self)).get(name))

    def _if_set(self, name: str) -> Any:
        """Return the Param's value, or None where it has none or an empty one."""
        return (self.getOrDefault(name) or None) if self.isDefined(name) else None


class ClassifierParams(NetworkParams):
    """What a classifier has besides.

    Params:
        classWeights: what the weight of a row is multiplied by in training, by its class: a map such as {0: 1.0,
            1: 5.0}, or {"yes": 5.0} where the label is text, or "balanced" for rows / (classes x rows of the class).
        thresholds: a number t for each class; the class of the largest p / t is predicted, p being its probability.
            They are a list in the order of the classes, or a map such as {"late": 0.3, "on time": 0.7} where classes
            have words.
        positiveLabel: which of two words of the label is class 1, so that Spark's evaluators, the second
            probability, and a network's only output are about it; if it is not set, the last by UTF-8, which of
            booleans is true.
        predictedLabelCol: column of the predicted word, where the label is text, or boolean; empty for none.
        labelIndexCol: column of the label's number, where the label is text or boolean and among the rows that are
            scored: what Spark's evaluators take; empty for none.
    """

    classWeights = Declared(None, to_class_weights)
    thresholds: Param[Any] = Declared(None, to_thresholds)
    positiveLabel = Declared(None, to_word)
    predictedLabelCol = Declared("predictedLabel")
    labelIndexCol = Declared("label_index")

    DEFAULTS = {**NetworkParams.DEFAULTS, "probabilityCol": "probability", "rawPredictionCol": "rawPrediction"}

    OUTPUTS = ("rawPredictionCol", "probabilityCol", "predictionCol")

    def check_thresholds(
        self, classes: int | None = None, names: Sequence[str] | None = None
    ) -> tuple[float, ...] | None:
        """Return the thresholds in the order of the classes, or None.

        Args:
            classes: How many the network has; None where that is not known yet.
            names: What they are called.

        Raises:
            ConfigError: If there is not one for each class, or they are not all above 0 but at most one.
        """
        if not self.isDefined("thresholds"):
            return None
        given = self.getOrDefault("thresholds")
        if isinstance(given, Mapping):
            if classes is not None:
                if names is None:
                    raise ConfigError(
                        f"thresholds={given}: the classes have no words here: give a list, with one for each class",
                        code="config-thresholds",
                    )
                check_words("thresholds", given, names)
            if left := [name for name in names or () if name not in given]:
                raise ConfigError(
                    f"thresholds={given}: there is none for {left[0]!r}: give one for each class",
                    code="config-thresholds",
                )
            given = [given[name] for name in names or given]
        if len(given) != (classes or len(given)) or not all(t >= 0 for t in given) or given.count(0.0) > 1:
            many = "one a class" if classes is None else f"{classes}, one a class"
            raise ConfigError(
                f"thresholds={given}: there must be {many}, all above 0 but at most one", code="config-thresholds"
            )
        return tuple(given)


# Accessors


def defaults_of(stage: Any) -> dict[str, Any]:
    """Return the default of each Param of a stage that has one."""
    ours = {name: one.default for name, one in inspect.getmembers(stage) if isinstance(one, Declared)}
    return {name: value for name, value in {**stage.DEFAULTS, **ours}.items() if value is not None}


def with_params(stage: Any) -> Any:
    """Give a stage `getX` and `setX` for each of its Params, and a constructor whose signature shows them all."""
    found = {name: value for name, value in inspect.getmembers(stage) if isinstance(value, Param)}
    for name, about in found.items():
        capital = name[0].upper() + name[1:]
        for accessor in (_getter(name, about), _setter(name, about)):
            accessor.__name__ = accessor.__name__[:3] + capital
            accessor.__qualname__ = f"{stage.__qualname__}.{accessor.__name__}"
            setattr(stage, accessor.__name__, accessor)
    defaults = defaults_of(stage)
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name)) for name in sorted(found)
    ]
    if hasattr(stage, "setParams"):
        stage.__signature__ = inspect.Signature(keywords)
    return stage


def _getter(name: str, about: Param[Any]) -> Any:
    def get(self: Any) -> Any:
        return self.getOrDefault(name)

    get.__doc__ = f"Return {name}: {about.doc}"
    return get


def _setter(name: str, about: Param[Any]) -> Any:
    def set(self: Any, value: Any) -> Any:
        return self._given({name: value})

    set.__doc__ = f"Set {name}: {about.doc}"
    return set
