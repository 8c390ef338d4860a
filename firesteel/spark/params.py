"""The estimator's parameters, in Spark's spelling; those that Spark has already are taken from it."""

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasBatchSize, HasLearningRate, HasMaxIter, HasSeed, HasWeightCol

__all__ = ["NetworkParams"]


class NetworkParams(HasMaxIter, HasSeed, HasWeightCol, HasBatchSize, HasLearningRate):
    """What shapes and trains a network."""

    hiddenLayers: Param[list[int]] = Param(
        Params._dummy(),
        "hiddenLayers",
        "numbers of units of the hidden layers, from the inputs on; an empty list makes a linear model",
        TypeConverters.toListInt,
    )
    activation: Param[str] = Param(
        Params._dummy(),
        "activation",
        "activation of the hidden layers: relu, tanh or sigmoid",
        TypeConverters.toString,
    )

    def getHiddenLayers(self) -> list[int]:
        """Return the numbers of units of the hidden layers."""
        return self.getOrDefault(self.hiddenLayers)

    def getActivation(self) -> str:
        """Return the activation of the hidden layers."""
        return self.getOrDefault(self.activation)
