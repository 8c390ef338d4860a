"""Compare the speed of this tree with another commit: nine runs of each, in turn, and the ratios of the pairs.

    python -m benchmarks.against REF [--write] [--turns 9] [WORD ...]

For each row, each tree has a process that stays warm.  They run alternately (A B, B A, A B), then two new processes
take over.  A row shows the median of the nine ratios new / old, and an interval that contains the true median with
at least 80 %: from the third to the seventh of nine (Thompson 1936).  A row with a median above 1.05 and an interval
above 1 is a regression, and the command ends with 1.  --write writes the table to RESULTS-AGAINST.md.
"""

import argparse
import datetime
import importlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "RESULTS-AGAINST.md"
WORK: dict[str, Callable[[], Callable[[], Any]]] = {}
"""Name: a function that prepares a measurement and returns the function to time."""


def work(name: str) -> Callable[[Callable[[], Callable[[], Any]]], Callable[[], Callable[[], Any]]]:
    """Add a measurement to the table."""

    def put(prepare: Callable[[], Callable[[], Any]]) -> Callable[[], Callable[[], Any]]:
        WORK[name] = prepare
        return prepare

    return put


def pixels(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes like MNIST's, four fifths of them 0, and classes."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 256, (rows, 784), dtype=np.uint8)
    x[rng.random((rows, 784), np.float32) < 0.8] = 0
    return x, rng.integers(0, 10, rows)


def training(widths: tuple[int, ...], batch: int, rows: int, **more: Any) -> Callable[[], Any]:
    """Return a function that trains for one epoch on pixels.

    more: activation, between (a function that returns a layer to follow each hidden one), dtype, loss.
    """
    from firesteel.layers import Dense, Rescaling
    from firesteel.models import Sequential

    x, y = pixels(rows)
    loss = more.get("loss", "sparse_categorical_crossentropy")
    targets = np.eye(10)[y] if loss == "categorical_crossentropy" else y
    layers: list[Any] = [Rescaling(1 / 255, input_dim=784)]
    for units in widths:
        layers += [Dense(units, more.get("activation", "relu")), *(make() for make in more.get("between", []))]
    model = Sequential([*layers, Dense(10, "softmax")], dtype=more.get("dtype", "float32"))
    model.compile(more.get("optimizer", "adam"), loss, ["accuracy"])

    def seconds() -> float:
        history = model.fit(x, targets, batch_size=batch, epochs=3, seed=1, verbose=0)
        return statistics.median(row["seconds"] for row in history.rows)

    return seconds


def networks() -> None:
    from firesteel import layers as L

    table: dict[str, tuple[tuple[int, ...], int, int, dict[str, Any]]] = {
        "784-20-15-10, batches of 100": ((20, 15), 100, 20_000, {}),
        "784-256-128-10, batches of 128": ((256, 128), 128, 10_000, {}),
        "784-512-512-10, batches of 256": ((512, 512), 256, 5_000, {}),
        "one-hot targets": ((20, 15), 100, 20_000, {"loss": "categorical_crossentropy"}),
        "float64": ((64,), 100, 10_000, {"dtype": "float64"}),
        "tanh": ((128, 64), 128, 10_000, {"activation": "tanh"}),
        "gelu": ((128, 64), 128, 10_000, {"activation": "gelu"}),
        "softplus": ((128, 64), 128, 10_000, {"activation": "softplus"}),
        "elu": ((128, 64), 128, 10_000, {"activation": "elu"}),
        "sigmoid": ((128, 64), 128, 10_000, {"activation": "sigmoid"}),
        "silu": ((128, 64), 128, 10_000, {"activation": "silu"}),
        "dropout": ((128, 64), 128, 10_000, {"between": [lambda: L.Dropout(0.2)]}),
        "noise": ((128, 64), 128, 10_000, {"between": [lambda: L.GaussianNoise(0.1)]}),
        "batch normalization": ((128, 64), 128, 10_000, {"between": [L.BatchNormalization]}),
        "layer normalization": ((128, 64), 128, 10_000, {"between": [L.LayerNormalization]}),
        "rmsprop": ((128, 64), 128, 10_000, {"optimizer": "rmsprop"}),
        "sgd": ((128, 64), 128, 10_000, {"optimizer": "sgd"}),
    }
    for name, (widths, batch, rows, more) in table.items():
        WORK[f"fit: {name}"] = lambda w=widths, b=batch, r=rows, m=more: training(w, b, r, **m)


@work("fit: a table of 2,000 rows and 10 columns")
def _table() -> Callable[[], Any]:
    from firesteel.layers import Dense
    from firesteel.models import Sequential

    x = np.random.default_rng(0).normal(size=(2000, 10))

    def run() -> None:
        model = Sequential([Dense(32, "relu"), Dense(1)])
        model.compile("adam", "mse")
        model.fit(x, x[:, :3].sum(axis=1), epochs=5, verbose=0)

    return run


@work("fit: sparse rows of 20,000 columns")
def _sparse() -> Callable[[], Any]:
    from firesteel.layers import Dense
    from firesteel.models import Sequential

    rng = np.random.default_rng(0)
    rows, width, each = 3000, 20_000, 40
    indices = np.sort(rng.integers(0, width // each, (rows, each)) * each + np.arange(each), axis=1)

    class Rows:
        shape, dtype = (rows, width), np.dtype(float)
        indptr, data = np.arange(0, rows * each + 1, each), rng.normal(size=rows * each)

        def tocsr(self) -> Any:
            return self

    x = Rows()
    x.indices = indices.reshape(-1).astype(np.int32)  # type: ignore[attr-defined]
    y = rng.integers(0, 2, rows)

    def run() -> None:
        model = Sequential([Dense(32, "relu"), Dense(2, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=1, verbose=0)

    return run


@work("fit: embeddings of 100,000 categories, sparse steps")
def _tables() -> Callable[[], Any]:
    from firesteel.layers import Dense, Embedding
    from firesteel.models import Sequential

    x = np.random.default_rng(0).integers(0, 100_000, (20_000, 3))

    def run() -> None:
        model = Sequential([Embedding(100_000, 16, sparse_steps=True), Dense(64, "relu"), Dense(1)])
        model.compile("adam", "mse")
        model.fit(x, x[:, 0] / 100_000, batch_size=128, epochs=2, seed=1, verbose=0)

    return run


def arrays() -> Any:
    """Return the class of rows in arrays, wherever a commit defines it."""
    try:
        return importlib.import_module("firesteel.tables.arrays").Arrays
    except ImportError:
        return importlib.import_module("firesteel.train.source").Arrays


@work("pack: 60,000 rows of 784 bytes")
def _pack_bytes() -> Callable[[], Any]:
    x, y = pixels(60_000)

    def run() -> None:
        with arrays()(x, y, None, "float32").engine(1):
            pass

    return run


@work("pack: 60,000 rows of 784 bytes over 255")
def _pack_scaled() -> Callable[[], Any]:
    x, y = pixels(60_000)
    scaled = x / 255

    def run() -> None:
        with arrays()(scaled, y, None, "float32").engine(1):
            pass

    return run


@work("pack: 60,000 rows of 100 numbers")
def _pack_numbers() -> Callable[[], Any]:
    x = np.random.default_rng(0).normal(size=(60_000, 100))

    def run() -> None:
        with arrays()(x, x[:, 0], None, "float32").engine(1):
            pass

    return run


def _model() -> Any:
    from firesteel.layers import Dense, Rescaling
    from firesteel.models import Sequential

    model = Sequential([Rescaling(1 / 255, input_dim=784), Dense(128, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


@work("predict: 10,000 rows, 10 times")
def _predict() -> Callable[[], Any]:
    model, (x, _) = _model(), pixels(10_000)
    return lambda: [model.predict(x) for _ in range(10)]


@work("predict: one row, 200 times")
def _predict_one() -> Callable[[], Any]:
    model, (x, _) = _model(), pixels(1)
    return lambda: [model.predict(x) for _ in range(200)]


@work("evaluate: 10,000 rows, 10 times")
def _evaluate() -> Callable[[], Any]:
    model, (x, y) = _model(), pixels(10_000)
    return lambda: [model.evaluate(x, y, verbose=0) for _ in range(10)]


@work("save and load, 50 times")
def _save() -> Callable[[], Any]:
    from firesteel.models import load_model

    model = _model()
    path = Path(tempfile.mkdtemp(), "model.firesteel")

    def run() -> None:
        for _ in range(50):
            model.save(path)
            load_model(path)

    return run


@work("import firesteel.models")
def _import() -> Callable[[], Any]:
    return lambda: subprocess.run([sys.executable, "-c", "import firesteel.models"], check=True)


def _frame() -> Any:
    from pyspark.ml.functions import array_to_vector

    from firesteel.spark import session

    spark = session("local[2]")
    spark.sparkContext.setLogLevel("ERROR")
    x = np.random.default_rng(0).normal(size=(20_000, 20))
    data = [(row.tolist(), int(row[0] > row[1])) for row in x]
    frame = spark.createDataFrame(data, "features array<double>, label int")
    frame = frame.withColumn("features", array_to_vector("features")).cache()
    frame.count()
    return frame


STAGE: dict[str, Any] = {
    "hiddenLayers": [32],
    "activation": "relu",
    "dropout": 0.0,
    "solver": "adam",
    "batchSize": 32,
    "members": 1,
}
"""Settings for both trees, whose defaults may differ."""


@work("Spark: fit of a stage, without its linear baseline")
def _stage() -> Callable[[], Any]:
    from firesteel.spark import NeuralNetworkClassifier, fitting

    frame = _frame()
    stage = NeuralNetworkClassifier(**STAGE, maxIter=3, validationFraction=0.0, earlyStoppingRounds=0)
    compare, apart = getattr(fitting, "compare", None), []

    def timed(*given: Any) -> Any:
        start = time.perf_counter()
        try:
            return compare(*given)  # type: ignore[misc]
        finally:
            apart.append(time.perf_counter() - start)

    if compare:
        fitting.compare = timed

    def seconds() -> float:
        apart.clear()
        start = time.perf_counter()
        stage.fit(frame)
        return time.perf_counter() - start - sum(apart)

    return seconds


@work("Spark: two text files of 5,000 images")
def _text() -> Callable[[], Any]:
    from firesteel.layers import Dense, Rescaling
    from firesteel.models import Sequential
    from firesteel.spark import session
    from firesteel.spark.lines import paired

    x, y = pixels(5_000)
    folder = Path(tempfile.mkdtemp())
    np.savetxt(folder / "x.txt", x, "%d")
    np.savetxt(folder / "y.txt", np.eye(10)[y], "%d")
    spark = session("local[2]")
    spark.sparkContext.setLogLevel("ERROR")

    def run() -> None:
        model = Sequential([Rescaling(1 / 255), Dense(32, "relu"), Dense(10, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        with paired(spark, str(folder / "x.txt"), str(folder / "y.txt")) as given:
            model.fit(given.frame, epochs=1, verbose=0, shards=1)

    return run


@work("Spark: transform")
def _transform() -> Callable[[], Any]:
    from firesteel.spark import NeuralNetworkClassifier

    frame = _frame()
    model = NeuralNetworkClassifier(**STAGE, maxIter=1).fit(frame)
    return lambda: model.transform(frame).selectExpr("sum(prediction)").collect()


# Two trees


class Tree:
    """A process that measures the firesteel of one folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--serve"],
            env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(folder)},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, name: str) -> float:
        """Return the seconds of one measurement; NaN if this tree cannot run it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return float(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    """For each name on standard input, run the measurement, once more the first time, and write its seconds."""
    ready: dict[str, Callable[[], Any]] = {}
    networks()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name = line.strip()
        try:
            if name not in ready:
                ready[name] = WORK[name]()
                ready[name]()
            start = time.perf_counter()
            measured = ready[name]()
            seconds = measured if isinstance(measured, float) else time.perf_counter() - start
        except Exception:
            seconds = math.nan
        answers.write(json.dumps(seconds) + "\n")
        answers.flush()


def interval(ratios: list[float]) -> tuple[float, float]:
    """Return an interval that contains the true median with at least 80 %, from order statistics.

    >>> interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    (3.0, 7.0)
    """
    ordered, n = sorted(ratios), len(ratios)
    out = 0  # the number to omit on each side, so that the median is outside with at most 20 %
    while 2 * sum(math.comb(n, k) for k in range(out + 2)) <= 0.2 * 2**n:
        out += 1
    return ordered[out], ordered[n - 1 - out]


TURNS = 3
"""Turns of two processes before new ones take over: the place of a process in memory influences its times."""


def _turns(before: Path, name: str, count: int) -> list[tuple[float, float]]:
    """Return the seconds of both trees for `count` turns, after one that does not count."""
    old, new, pairs = Tree(before), Tree(ROOT), []
    for turn in range(count + 1):
        first, second = (old, new) if turn % 2 else (new, old)
        a, b = first.ask(name), second.ask(name)
        pairs.append((a, b) if turn % 2 else (b, a))
    old.close()
    new.close()
    return pairs[1:]


def compare(ref: str, turns: int, words: list[str]) -> tuple[list[str], int]:
    """Return the lines of the table, and the number of regressions."""
    from tests.against import unpack

    networks()
    lines, slower = [], 0
    with tempfile.TemporaryDirectory(prefix="firesteel-") as folder:
        before = unpack(ref, Path(folder))
        for name in WORK:
            if words and not any(word in name for word in words):
                continue
            pairs = [
                pair for number in range(0, turns, TURNS) for pair in _turns(before, name, min(TURNS, turns - number))
            ]
            ratios = [after / before for before, after in pairs]
            low, high = interval(ratios)
            middle = statistics.median(ratios)
            bad = middle > 1.05 and low > 1.0
            slower += bad
            seconds = statistics.median(before for before, _ in pairs)
            lines.append(
                f"| {name} | {seconds:.4f} | {middle:.3f} | {low:.3f} to {high:.3f} |{' slower |' if bad else ''}"
            )
            print(lines[-1], flush=True)
    return lines, slower


def main() -> int:
    if "--serve" in sys.argv:
        serve()
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ref")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    lines, slower = compare(given.ref, given.turns, given.words)
    if given.write:
        sha = subprocess.run(["git", "rev-parse", "--short", given.ref], cwd=ROOT, capture_output=True, text=True)
        ref, today = sha.stdout.strip(), datetime.date.today()
        head = [
            f"# Speed compared with commit {ref}",
            "",
            f"Output of `python -m benchmarks.against {ref} --write` on {today}: {given.turns} turns of each",
            "tree, in turn, on two cores.  A ratio below 1 means faster than before.",
            "",
            "| what | seconds before | median ratio | 80 % interval |",
            "|---|---|---|---|",
        ]
        RESULTS.write_text("\n".join([*head, *lines, ""]), encoding="utf-8")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
