"""The Params of the stages.

`with_params` generates the getter, the setter and the constructor keyword of every Param; an unknown keyword raises
ConfigError with the closest name.  `planning.py` turns the values into a network and a training recipe.
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
"""The names of a Param in other libraries."""
ELSEWHERE = {other: name for name, others in OTHER_NAMES.items() for other in others}
ARCHITECTURES = (AUTOMATIC, "dense", "cnn")
MOST = 100
"""Maximum length of a value in a message."""


# Converters: each returns the value in the Param's type, and raises TypeError for an invalid one


def number(high: float = math.inf, closed: bool = False) -> Any:
    """Return a converter to a float in [0, high), or in [0, high] if `closed`."""
    words = "a number of at least 0" if high == math.inf else f"in [0, {high:g}" + ("]" if closed else ")")

    def convert(value: Any) -> float:
        found = TypeConverters.toFloat(value)
        if not (0.0 <= found < high or (closed and found == high)):
            raise TypeError(f"it must be {words}")
        return found

    return convert


def whole(low: int) -> Any:
    """Return a converter to an integer of at least `low`."""

    def convert(value: Any) -> int:
        found = TypeConverters.toInt(value)
        if found < low:
            raise TypeError(f"it must be an integer of at least {low}")
        return found

    return convert


def or_automatic(convert: Any) -> Any:
    """Return a converter that also accepts "auto"."""
    return lambda value: value if isinstance(value, str) and value == AUTOMATIC else convert(value)


def to_sizes(value: Any) -> list[int]:
    """Convert layer sizes to integers."""
    found = TypeConverters.toListInt(value)
    if min(found, default=1) < 1:
        raise TypeError("each layer must have at least 1 unit")
    return found


def to_shape(value: Any) -> list[int]:
    """Convert the shape of a row to integers."""
    found = TypeConverters.toListInt(value)
    if min(found, default=0) < 1:
        raise TypeError("it must be the shape of a row, such as [28, 28, 1] (height, width, channels of a picture)")
    return found


def to_architecture(value: Any) -> str:
    """Validate the name of an architecture: auto, dense or cnn."""
    if value not in ARCHITECTURES:
        raise TypeError(f"it must be one of {', '.join(ARCHITECTURES)}")
    return str(value)


def to_layers(value: Any) -> Any:
    """Convert the Param `layers`: sizes to integers, layers to a list of configurations, a model to its own.

    A model that is a chain of layers becomes the list of its layers.
    """
    if isinstance(value, Model):
        if value._inputs is None and any(isinstance(one, Model) for one in value.layers):
            raise TypeError(
                "the number of inputs of this model is unknown: start it with an Input, or set input_dim="
            )
        value = value.get_config()
    if isinstance(value, Mapping):
        network = value.get("network", value)
        return to_layers(network["layers"]) if "layers" in network else to_graph(value)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise TypeError("it must be a list of sizes from inputs to outputs, a list of firesteel layers, or a model")
    if all(isinstance(item, Layer | Mapping) for item in value):
        return [layers.get(item).to_config() for item in value]
    if len(value) < 2:
        raise TypeError("it needs at least two sizes: the number of inputs and the number of outputs")
    return to_sizes(value)


def to_graph(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a model that is not a chain of layers, with one input and one output."""
    model = model_from_config(value)
    check_ports(model.network, "fit")
    if model.network.dtype != "float32":
        raise TypeError(f"this model is {model.network.dtype}, but stages train in float32")
    found: dict[str, Any] = json.loads(model.to_json())
    return found


def check_ports(network: Network, verb: str) -> None:
    """Raise ConfigError unless a network has one input and one output.

    Args:
        network: The network.
        verb: The method of the model to recommend instead: "fit" or "predict".
    """
    last, inputs = network.layers[-1], len(network.entries)
    outputs = len(last.sizes) if isinstance(last, Heads) else 1
    if (inputs, outputs) != (1, 1):
        raise ConfigError(
            f"this model has {inputs} inputs and {outputs} outputs, and a stage takes one of each: call the model "
            f"itself on the DataFrame, model.{verb}(df, features={{...}}{', label={...}' if verb == 'fit' else ''})",
            code="config-layers",
        )


def to_class_weights(value: Any) -> Any:
    """Validate class weights: "balanced", a list with one weight per class, or a dict whose keys become text."""
    if isinstance(value, str) and value == "balanced":
        return value
    named = hasattr(value, "items")  # a pandas Series is no Mapping
    listed = isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1
    pairs = list(value.items() if named else enumerate(value) if listed else ())
    if not pairs:
        raise TypeError('it must be a map such as {0: 1.0, 1: 5.0}, a list, or "balanced"')
    numbers = [class_number(key) for key, _ in pairs]
    classes = [
        to_word(key) if isinstance(key, bool | np.bool_) else key if isinstance(key, str) and number < 0 else number
        for (key, _), number in zip(pairs, numbers, strict=True)
    ]
    if wrong := [key for key in classes if key == "" or (not isinstance(key, str) and key < 0)]:
        raise TypeError(f"its keys must be class numbers 0, 1, 2, ... or words of the label, not {wrong}")
    weights = [TypeConverters.toFloat(weight) for _, weight in pairs]
    if not all(0.0 <= weight < math.inf for weight in weights):
        raise TypeError("weights must be at least 0")
    return dict(zip(map(str, classes), weights, strict=True)) if named else weights


def to_word(value: Any) -> str:
    """Convert a label value to text; Booleans as Spark writes them, true and false."""
    return str(value).lower() if isinstance(value, bool | np.bool_) else TypeConverters.toString(value)


def to_thresholds(value: Any) -> Any:
    """Convert thresholds to a list with one per class, or to a map from words of the label."""
    if not isinstance(value, Mapping):
        return TypeConverters.toListFloat(value)
    return {to_word(word): TypeConverters.toFloat(threshold) for word, threshold in value.items()}


def check_words(name: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Raise ConfigError for a word that the label does not have, with the closest one that it has."""
    if unknown := [word for word in given if word not in known]:
        shown = ", ".join(known[:20]) + (f", ... ({len(known):,} words)" if len(known) > 20 else "")
        raise ConfigError(
            f"{name}: there is no class {unknown[0]!r}: {nearest(unknown[0], known)}the label has the words {shown}",
            code="config-class",
        )


def to_columns(value: Any) -> Any:
    """Validate a column name, or a list of names."""
    return TypeConverters.toString(value) if isinstance(value, str) else TypeConverters.toListString(value)


def to_kinds(value: Any) -> dict[str, str]:
    """Validate a map from column names to kinds, such as {"zip": "category"}."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TypeError('it must be a map such as {"zip": "category"}')
    if wrong := [kind for kind in value.values() if kind != "category"]:
        raise TypeError(f"the only kind is 'category', not {wrong[0]!r}: leave the other columns out of the map")
    return dict(value)


def to_path(value: Any) -> str:
    """Convert a path to text."""
    return TypeConverters.toString(os.fspath(value) if isinstance(value, os.PathLike) else value)


class Declared(Param[Any]):
    """A Param named after its class attribute and documented under `Attributes:` in the docstring of its class.

    Args:
        default: The default; None for none.
        converter: Converts and checks a value.
    """

    def __init__(self, default: Any = None, converter: Any = TypeConverters.toString) -> None:
        super().__init__(Params._dummy(), "", "", converter)
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        described = re.search(
            rf"^    {name}: (.+(?:\n {{8}}.+)*)", inspect.cleandoc(owner.__doc__ or ""), re.MULTILINE
        )
        self.name, self.doc = name, " ".join(described[1].split()) if described else ""


# Params


class NetworkParams(HasSeed, HasStandardization, HasWeightCol):
    """Params of the classifier and the regressor.

    Attributes:
        featuresCol: features column: vectors, arrays (nested arrays too), bytes (one value per byte), Spark's image
            structs or numbers; or a list of numeric columns.
        inputCols: feature columns of any type, instead of featuresCol: text, numbers, Booleans, dates, timestamps,
            arrays and vectors, with or without nulls.  If neither is set and there is no column `features`, every
            column is a feature except those that other Params name and those that Spark's tuning or another stage
            added; the model stores the list.
        ignoreCols: columns that are not features when inputCols is not set, such as the foldCol of a CrossValidator
            around this stage.
        columnKinds: numeric columns that hold categories, such as {"zip": "category"}.
        timeZone: time zone in which the days of timestamps begin, such as Europe/Berlin.  If not set, the time zone
            of the session that trains; the model stores it.
        inputShape: shape of one row, such as [28, 28, 1] for the height, width and channels of a picture; image
            structs must match it.  If not set, an Input at the start of layers defines it.
        architecture: type of the network.  auto: dense layers, after an encoding layer if inputCols are the features;
            dense: dense layers only; cnn: for pictures of inputShape, standardized per channel, three convolutions
            with 32, 64 and 128 filters and batch normalization before the dense layers.  cnn changes the defaults of
            other Params: activation relu, hiddenLayers [128], members 1, batchSize 64, maxIter 60 and
            earlyStoppingRounds 12; from 20,000 rows on batchSize 128, maxIter 30 and earlyStoppingRounds 4.
        hiddenLayers: numbers of units of the hidden layers, from the inputs to the outputs; an empty list makes a
            linear model.  If not set, [64, 64] below 2,000 rows, otherwise [256, 256], with a smaller first layer (at
            least 64) if it would have more than 2^24 weights.
        layers: the whole network, instead of hiddenLayers: sizes from inputs to outputs, such as [784, 64, 10]; a
            list of firesteel layers, such as [Dense(64, "relu"), Dense(10, "softmax")]; or a model with one input
            and one output, such as Model(inputs, outputs).  A model's weights are not used: every fit draws new ones.
            Only a chain of layers can have several members.
        activation: activation of the hidden layers, by its firesteel name, such as relu, gelu or tanh.
        dropout: fraction of the units of each hidden layer that is dropped at random in training, in [0, 1).  l-bfgs
            uses no dropout unless this is set.
        solver: optimizer, by its Keras name, such as adam, adamw, rmsprop or sgd; or l-bfgs, which uses all rows in
            every step.  If not set, adamw with weight averaging: the weights averaged over the steps are validated
            and stored.
        learningRate: learning rate of the optimizer, >= 0; 0 selects the default.  The default is 0.002 if solver is
            not set, and up to ten times as much if the fit has fewer than 1,000 steps; for another solver it is 0.001
            (sgd: 0.01) from 30 steps per pass on, and up to ten times as much with fewer.
        stepSize: alias of learningRate, as Spark calls it; set only one of the two.
        batchSize: number of rows per optimizer step in each shard, >= 1.  If not set, all rows with strategy
            gradient; otherwise 64 below 2,000 rows, 256 below 200,000 and 1,024 from there on, but as few as 16 if
            shards is set and a shard would take fewer than 20 steps per pass.
        blockSize: accepted for compatibility with MultilayerPerceptronClassifier and ignored: firesteel chooses the
            size of its blocks of rows.
        maxIter: maximum number of passes over the training rows (epochs), >= 1.  If not set, 256 below 200,000 rows,
            otherwise 64.
        tol: convergence tolerance, >= 0: training ends when the loss changes by no more than this fraction of itself
            from one pass to the next.  0 turns this off.
        regParam: regularization parameter r, >= 0: the loss grows by r (e |w| + (1 - e) / 2 w^2), where e is
            elasticNetParam.
        elasticNetParam: fraction of the penalty that is L1, in [0, 1]; the rest is L2.
        loss: loss function, by its firesteel name; auto selects the one that suits the last layer.
        validationFraction: fraction of the rows held out for validation, chosen by row key, in [0, 1).  auto holds
            out 0 below 50 rows, 0.2 below 20,000 and 0.1 from there on, and leaves at least 5 rows of each class for
            training; it does not apply if validationIndicatorCol is set or several members each hold out their own
            rows.  The model stores the fraction that was used.
        members: number of networks whose outputs the model averages, >= 1; each is validated on its own part of the
            rows and trained on the rest.  If not set, 8 below 2,000 rows, 4 below 20,000 and 1 from there on; also 1
            below 50 rows, for rows that were packed before, and if earlyStoppingRounds is 0 or validationFraction or
            validationIndicatorCol is set.
        validationIndicatorCol: Boolean column that is true for the rows held out for validation.
        earlyStoppingRounds: number of passes without a better evalMetric after which training ends, >= 0; 0 turns
            this off.  The model gets the weights of the best pass, measured on the validation rows, or on the
            training rows without any.  auto is 0 without validation rows; with them 32 below 2,000 rows, 16 below
            200,000 and 4 from there on.  The model stores the number that was used.
        evalMetric: metric that earlyStoppingRounds monitors: loss; for a classifier also accuracy, for a regressor
            also mse and mae.
        handleInvalid: how to treat rows with null, NaN or infinite values in features or label.  error: raise an
            error; skip: leave them out of training and of the scored rows; keep: leave them out of training and score
            them as null.  Spark's evaluators fail on null: use filter("prediction is not null") before them, or skip.
            With inputCols, nulls and NaN in features are values ("missing") and only labels are checked in training;
            in scoring, the Param is about categories that training did not have, and about nulls in columns that had
            none: if not set, and with keep, they are scored as unseen; error, if set, raises an error; skip leaves
            the rows out.
        idCol: column of any type that identifies a row.  It decides, in place of the row's values, which rows are
            held out and where they are packed, so that both stay the same when features change.
        embeddingCol: output column with the embedding of each row, the output of a hidden layer as a vector.  If not
            set, no such column is made.
        embeddingLayer: name of the layer for embeddingCol, as model.network.summary() shows it.  If not set, the last
            hidden layer, of every member.
        tta: test-time augmentation of pictures: predictions are averaged over the picture and its four shifts by
            this number of pixels, padded with zeros, >= 0.  0 scores the picture alone.
        runDir: folder on the driver in which every fit writes its own run, 001, 002, ...: settings, history, scores,
            model and an HTML report.
        checkpointDir: folder for checkpoints, on any path that Spark can write.  An interrupted fit that is called
            again resumes there and ends with the same bits; the checkpoint is deleted when training ends.  Each save
            is a small Spark job.
        strategy: how the shards train.  average: independently, with their weights averaged regularly; gradient: each
            round is one optimizer step along the exact gradient over all shards.
        shards: number of parts of the rows that train independently, >= 0.  0 chooses it from the rows alone, never
            from the cluster.
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
    """Defaults of the Params that Spark declares."""

    def _start(self, given: Mapping[str, Any]) -> None:
        """Set the default Params, then those passed to the constructor."""
        self._setDefault(**{name: value for name, value in defaults_of(type(self)).items() if self.hasParam(name)})
        self._given(given)

    def _given(self, given: Mapping[str, Any]) -> Self:
        """Set Params by name, ignoring None.  Raises ConfigError for an unknown name."""
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
        """Set a Param.

        Args:
            param: A Param of this stage.
            value: Its value.

        Raises:
            ConfigError: `config-param`, for an invalid value.
        """
        self._shouldOwn(param)
        self._set(**{param.name: value})

    def _set(self, **values: Any) -> Self:
        """Convert and set Params; the constructor, setters, `copy` and param maps all call this."""
        for name, value in values.items():
            try:
                self._paramMap[self.getParam(name)] = self.getParam(name).typeConverter(value)
            except (TypeError, OverflowError) as error:
                raise ConfigError(
                    f"{name}={repr(value)[:MOST]}: {' '.join(str(error).split())}", code="config-param"
                ) from None
        return self

    OUTPUTS: tuple[str, ...] = ("predictionCol",)
    """The Params that name the output columns."""

    def _check_outputs(self) -> tuple[str, ...]:
        """Check that the output columns have different names; return the names.

        Raises:
            ConfigError: `config-param`, if two of them have the same name.
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
        """Return the name of the features column, or those of the input columns."""
        found = self.getOrDefault("featuresCol")
        return found if isinstance(found, str) else tuple(found)

    def _number(self, name: str) -> Any:
        """Return the value of a numeric Param; 0 for "auto"."""
        value = self.getOrDefault(name)
        return 0 if value == AUTOMATIC else value

    def _named(self, name: str) -> bool:
        """Return whether a Param was set by the user, or loaded with a default that has changed since."""
        known = self.hasDefault(name) and self._defaultParamMap[self.getParam(name)]
        return self.isSet(name) or (self.hasDefault(name) and known != defaults_of(type(self)).get(name))

    def _if_set(self, name: str) -> Any:
        """Return the value of a Param, or None if it is unset or empty."""
        return (self.getOrDefault(name) or None) if self.isDefined(name) else None


class ClassifierParams(NetworkParams):
    """Additional Params of the classifier.

    Attributes:
        classWeights: factor for the weight of each training row, by class: a map such as {0: 1.0, 1: 5.0}, or
            {"yes": 5.0} for a text label; a list with one factor per class; or "balanced", for rows / (classes x rows
            of the class).
        thresholds: threshold t of each class, > 0 except that one may be 0: the class with the largest p / t is
            predicted, where p is its probability.  A list in the order of the classes, or a map such as {"late": 0.3,
            "on time": 0.7} for a text or Boolean label.
        positiveLabel: which of the two words of a text or Boolean label is class 1, the class that Spark's
            evaluators, the second probability and a network's only output refer to.  If not set, the last word in
            the order of UTF-8, which is true for Booleans.
        predictedLabelCol: output column with the predicted word, for a text or Boolean label; empty for none.
        labelIndexCol: output column with the class number of the label, for Spark's evaluators, if the scored rows
            have a text or Boolean label; empty for none.
    """

    classWeights = Declared(None, to_class_weights)
    thresholds: Param[Any] = Declared(None, to_thresholds)
    positiveLabel = Declared(None, to_word)
    predictedLabelCol = Declared("predictedLabel")
    labelIndexCol = Declared("label_index")

    DEFAULTS = {**NetworkParams.DEFAULTS, "probabilityCol": "probability", "rawPredictionCol": "rawPrediction"}

    OUTPUTS = ("rawPredictionCol", "probabilityCol", "predictionCol")

    def _check_thresholds(
        self, classes: int | None = None, names: Sequence[str] | None = None
    ) -> tuple[float, ...] | None:
        """Return the thresholds in the order of the classes, or None.

        Args:
            classes: Number of classes of the network; None if it is not known yet.
            names: Names of the classes, if they have any.

        Raises:
            ConfigError: `config-thresholds`, unless there is one per class, all above 0 except at most one.
        """
        if not self.isDefined("thresholds"):
            return None
        given = self.getOrDefault("thresholds")
        if isinstance(given, Mapping):
            if classes is not None:
                if names is None:
                    raise ConfigError(
                        f"thresholds={given}: the classes have no names: give a list with one threshold per class",
                        code="config-thresholds",
                    )
                check_words("thresholds", given, names)
            if left := [name for name in names or () if name not in given]:
                raise ConfigError(
                    f"thresholds={given}: class {left[0]!r} has no threshold: give one per class",
                    code="config-thresholds",
                )
            given = [given[name] for name in names or given]
        if len(given) != (classes or len(given)) or not all(t >= 0 for t in given) or given.count(0.0) > 1:
            many = "one per class" if classes is None else f"{classes}, one per class"
            raise ConfigError(
                f"thresholds={given}: there must be {many}, all above 0 except at most one", code="config-thresholds"
            )
        return tuple(given)


# Accessors


def defaults_of(stage: Any) -> dict[str, Any]:
    """Return the defaults of a stage by Param name."""
    ours = {name: one.default for name, one in inspect.getmembers(stage) if isinstance(one, Declared)}
    return {name: value for name, value in {**stage.DEFAULTS, **ours}.items() if value is not None}


def with_params(stage: Any) -> Any:
    """Class decorator: add a getter, a setter and a constructor keyword for each Param of a stage.

    In the docstring of the stage, all Params replace a line `params: ...` under `Args:`.
    """
    found = {name: value for name, value in inspect.getmembers(stage) if isinstance(value, Param)}
    for name, about in found.items():
        capital = name[0].upper() + name[1:]
        for accessor in (_getter(name, about), _setter(name, about)):
            accessor.__name__ = accessor.__name__[:3] + capital
            accessor.__qualname__ = f"{stage.__qualname__}.{accessor.__name__}"
            setattr(stage, accessor.__name__, accessor)
    described = "\n".join(f"    {name}: {_sentence(about.doc)}" for name, about in sorted(found.items()))
    stage.__doc__ = re.sub(r"^    params: .+$", lambda _: described, inspect.getdoc(stage) or "", flags=re.MULTILINE)
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

    get.__doc__ = f"Return `{name}`.\n\n{_sentence(about.doc)}"
    return get


def _setter(name: str, about: Param[Any]) -> Any:
    def set(self: Any, value: Any) -> Any:
        return self._given({name: value})

    set.__doc__ = f"Set `{name}` and return this stage.\n\nArgs:\n    value: {_sentence(about.doc)}"
    return set


def _sentence(doc: str) -> str:
    """Format the text of a Param as a sentence."""
    return f"{doc[:1].upper()}{doc[1:].rstrip('.')}."
