# %% [markdown]
# # A neural network for pictures, on Spark
#
# The notebook of the project PySpark-Neural-Network, on firesteel: MNIST's zeros and ones, a network of 784-64-2
# units with sigmoid in both layers, half the sum of squares as loss, and 50 steps of gradient descent with a fixed
# learning rate of 0.1, each on a new random sample of 0.7 of the rows.

# %% [markdown]
# ## Imports

# %%
import contextlib
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from pyspark.sql import functions as F

from firesteel.datasets import load_fashion_mnist, load_mnist, write_text  # noqa: F401
from firesteel.initializers import RandomUniform
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.optimizers import SGD
from firesteel.spark import session
from firesteel.spark.lines import paired
from firesteel.train.strategies import Gradient

spark = session("local[2]")
print("Spark", spark.version)

# %% [markdown]
# ## Download the data
#
# The data set is downloaded once and verified. For pictures of clothing, use `load_fashion_mnist` instead of
# `load_mnist`.

# %%
load = load_mnist  # or load_fashion_mnist
(x_train, y_train), (x_test, y_test) = load()
CHOSEN = (0, 1)


def some(x, y):
    """Return the rows of the chosen classes, with pixels in [0, 1] and labels 0, 1, ... in their order."""
    those = np.isin(y, CHOSEN)
    return x[those].reshape(-1, 784) / 255, np.searchsorted(CHOSEN, y[those])


kept = contextlib.ExitStack()
folder = Path(kept.enter_context(tempfile.TemporaryDirectory()))
for part, (x, y) in {"train": some(x_train, y_train), "test": some(x_test, y_test)}.items():
    write_text(folder / f"images_{part}.csv", [x])
    write_text(folder / f"labels_{part}.csv", [np.eye(len(CHOSEN))[y]])
    print(f"{part}: {len(x):,} images")

# %% [markdown]
# ## Load the data
#
# Two text files become one DataFrame: line 1 of the images belongs to line 1 of the labels, and so on.

# %%
train, test = (
    kept.enter_context(paired(spark, str(folder / f"images_{part}.csv"), str(folder / f"labels_{part}.csv")))
    for part in ("train", "test")
)
train.frame.printSchema()
print(f"{train.rows:,} rows of {train.inputs} values, {train.classes} classes")

# %% [markdown]
# ## The network and its training
#
# As in the original, all weights and biases are drawn uniformly from -0.5 to 0.5. Cost and accuracy are measured on
# the rows of each step, before the step.

# %%
drawn = {"kernel_initializer": RandomUniform(-0.5, 0.5), "bias_initializer": RandomUniform(-0.5, 0.5)}
model = Sequential([Dense(64, "sigmoid", input_dim=784, **drawn), Dense(len(CHOSEN), "sigmoid", **drawn)])
model.compile(SGD(0.1), loss="half_sse", metrics=["categorical_accuracy"])
model.summary()

one_hot = F.transform(F.sequence(F.lit(0), F.lit(train.classes - 1)), lambda k: (k == F.col("label")).cast("double"))
rows = train.frame.withColumn("label", one_hot)
history = model.fit(rows, epochs=50, strategy=Gradient(sample=0.7), verbose=0)
for epoch, row in enumerate(history.rows, 1):
    if epoch in (1, 10, 20, 30, 40, 50):
        print(f"epoch {epoch:2}  cost {row['loss']:.4f}  accuracy {row['categorical_accuracy']:.4f}")

# %% [markdown]
# ## Cost and accuracy

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4))
for ax, name, title in zip(axes, ("loss", "categorical_accuracy"), ("Cost", "Accuracy"), strict=True):
    ax.plot(history.history[name], color="#2a6f97", linewidth=2)
    ax.set(title=f"{title} per epoch", xlabel="epoch", ylabel=title.lower())
    ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## The test
#
# The prediction for an image is its most likely digit.

# %%
best = F.expr("array_position(prediction, array_max(prediction)) - 1")
counted = model.predict(test.frame).groupBy("label", best.alias("predicted")).count().collect()
table = np.zeros((2, 2), int)
for truth, predicted, count in counted:
    table[truth, predicted] = count
for number, digit in enumerate(CHOSEN):
    tp, fp, fn = table[number, number], table[:, number].sum(), table[number].sum()
    precision, recall = tp / max(1, fp), tp / max(1, fn)
    print(f"digit {digit}: precision {precision:.4f}, recall {recall:.4f}, F1 {2 * tp / (fp + fn):.4f}")
print(f"test accuracy {np.trace(table) / table.sum():.4f}")

# %% [markdown]
# ## Some test images
#
# MNIST: Y. LeCun and C. Cortes, CC BY-SA 3.0.

# %%
few = test.frame.orderBy(F.xxhash64("features")).limit(15)
found = model.predict(few).select("features", "label", "prediction").collect()
fig, axes = plt.subplots(3, 5, figsize=(7, 4.8), layout="constrained")
for ax, (pixels, label, outputs) in zip(axes.flat, found, strict=True):
    number = int(np.argmax(outputs))
    ax.imshow(np.reshape(pixels, (28, 28)), cmap="gray_r")
    ax.set_title(f"said {CHOSEN[number]} ({outputs[number]:.2f}), is {CHOSEN[label]}", fontsize=8)
    ax.set(xticks=[], yticks=[])
plt.show()

# %%
kept.close()
