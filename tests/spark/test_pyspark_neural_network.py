"""PySpark-Neural-Network's three commands: what they write has its formats, and what cannot be is refused whole."""

import ast
import json
import os
import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
import pytest

from examples.notebook import cells
from firesteel import cli
from firesteel.datasets import load_digits
from firesteel.errors import ConfigError, DataError
from firesteel.models import load_model
from tests.spark.clusters import bare_python, standalone
from tests.support.scripts import EXAMPLES, example

ROOT = Path(__file__).parents[2]
(X, Y), (X_TEST, Y_TEST) = load_digits()
FLAT = (X_TEST.reshape(len(X_TEST), -1) / 16).astype("f4")
FILES = ("images_train", "labels_train", "images_test", "labels_test")
FORMATS = {
    "cost_history": r"\d+\.\d+(e-\d+)?",
    "accuracy_history": r"[01]\.\d+(e-\d+)?",
    "metrics": r"\((\d\.\d+(e-\d+)?, ){2}\d\.\d+(e-\d+)?\)",
    "tests": r"\(\d, \d\)",
}
"""The lines of the original's files."""
FEW = ["--epochs", "6"]


@pytest.fixture(scope="module")
def main():
    return example("main_task").main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the digits of the package, as text and as Parquet."""
    folder = tmp_path_factory.mktemp("digits")
    for form in ("text", "parquet"):
        assert example("generate_data").main(["--data", "digits", "--to", form, "--folder", str(folder)]) == 0
    return folder


@pytest.fixture
def data(made, tmp_path):
    """A folder of one's own with the same files."""
    folder = tmp_path / "data"
    folder.mkdir()
    for path in made.iterdir():
        os.link(path, folder / path.name)
    return folder


def text(folder):
    return [str(folder / f"digits_{name}.csv") for name in FILES]


def parquet(folder):
    return [str(folder / f"digits_{part}.parquet") for part in ("train", "train", "test", "test")]


def lines(output, name):
    assert (output / name / "_SUCCESS").read_bytes() == b""
    return (output / name / "part-00000").read_text().splitlines()


@pytest.fixture(scope="module")
def done(spark, main, made, tmp_path_factory):
    """OUTPUT of the default training, of which six epochs are enough for digits this small."""
    output = tmp_path_factory.mktemp("done") / "OUTPUT"
    assert main([*text(made), str(output), *FEW]) == 0
    return output


def kept(output):
    """The model's file in what a training has written."""
    return (output / "run" / "model.firesteel").read_bytes()


# What is written


def test_the_files_have_the_original_s_formats(done):
    assert {path.name for path in done.iterdir() if path.name[0] != "."} == {*FORMATS, "summary", "run"}
    assert os.listdir(done.parent) == ["OUTPUT"]
    for name, form in FORMATS.items():
        assert all(re.fullmatch(form, line) for line in lines(done, name)), name
    assert [len(lines(done, name)) for name in FORMATS] == [6, 6, 10, 15]


def test_the_metrics_are_those_of_the_saved_model_s_choices(done):
    model = load_model(done / "run" / "model.firesteel")
    chosen = model.predict(FLAT).argmax(axis=1)
    for digit, line in enumerate(lines(done, "metrics")):
        both, said, there = (
            float(np.sum(c)) for c in ((chosen == digit) & (Y_TEST == digit), chosen == digit, Y_TEST == digit)
        )
        assert ast.literal_eval(line) == pytest.approx((both / said, both / there, 2 * both / (said + there)))
    accuracy = np.mean(chosen == Y_TEST)
    assert accuracy > 0.9
    assert lines(done, "summary")[-1] == f"test accuracy {accuracy:.4f}: {np.sum(chosen == Y_TEST)} of 359"
    counts = np.array([line.split()[1:5] for line in lines(done, "summary")[1:11]], int)
    assert (counts.sum(axis=1) == 359).all() and counts[:, 0].sum() == np.sum(chosen == Y_TEST)


def test_the_cost_falls_and_the_samples_are_of_the_test(done):
    cost, accuracy = ([float(line) for line in lines(done, name)] for name in ("cost_history", "accuracy_history"))
    assert cost[-1] < 0.4 * cost[0] and accuracy[-1] > accuracy[0] + 0.3
    right = [predicted == truth for predicted, truth in map(ast.literal_eval, lines(done, "tests"))]
    assert sum(right) >= 12


def test_convolutions_learn_the_same_files(spark, main, made, tmp_path):
    output = tmp_path / "OUTPUT"
    assert main([*text(made), str(output), "--network", "cnn", "--epochs", "12"]) == 0
    model = load_model(output / "run" / "model.firesteel")
    assert [type(layer).__name__ for layer in model.layers][1:3] == ["Conv2D", "Conv2D"]
    accuracy = np.mean(model.predict(FLAT).argmax(axis=1) == Y_TEST)
    assert accuracy > 0.9 and lines(output, "summary")[-1].startswith(f"test accuracy {accuracy:.4f}")


def test_images_that_are_not_square_have_no_convolutions():
    with pytest.raises(ConfigError, match="square images of at least 8 x 8 pixels, and these have 60 values"):
        example("main_task").convolutional(60, 10)


@pytest.mark.slow
def test_parquet_gives_the_same_model(spark, main, made, done, tmp_path):
    assert main([*parquet(made), str(tmp_path / "OUTPUT"), *FEW]) == 0
    assert (tmp_path / "OUTPUT" / "run" / "model.firesteel").read_bytes() == (
        done / "run" / "model.firesteel"
    ).read_bytes()
    for name in FORMATS:
        assert lines(tmp_path / "OUTPUT", name) == lines(done, name)


@pytest.mark.slow
def test_the_run_s_settings_train_it_again(spark, done, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", str(done / "run" / "config.toml")])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"fingerprint {load_model(done / 'run' / 'model.firesteel').fingerprint()}"


@pytest.mark.filterwarnings("error")
def test_like_the_original_is_the_same_training_as_on_arrays(spark, main, made, tmp_path, capsys):
    options = ["--like-the-original", "--epochs", "5", "--shards", "2", "--seed", "3"]
    assert main([*text(made), str(tmp_path / "OUTPUT"), *options]) == 0
    recipe = example("main_task").original(64, 10)
    assert recipe.model.count_params() == 64 * 64 + 64 + 640 + 10
    settings = recipe.settings | {"epochs": 5, "shards": 2, "seed": 3, "verbose": 0}
    x = (X.reshape(len(X), -1) / 16).astype("f4")
    history = recipe.model.fit(x, np.eye(10)[Y], **settings)
    costs = [float(line) for line in lines(tmp_path / "OUTPUT", "cost_history")]
    assert costs == history.history["loss"]
    assert (
        recipe.model.to_bytes(include_optimizer=False)
        == (tmp_path / "OUTPUT" / "run" / "model.firesteel").read_bytes()
    )
    assert {row["rows"] for row in history.rows} == {history.rows[0]["rows"]} and 1006 <= history.rows[0][
        "rows"
    ] < 1060
    rates = history.history["learning_rate"]
    factors = {round(after / before, 4) for before, after in zip(rates, rates[1:], strict=False)}
    assert rates[0] == 0.1 and factors <= {1.05, 0.5}
    drawn = recipe.model.network.init(3)
    assert -0.5 <= drawn.min() < -0.49 and 0.49 < drawn.max() <= 0.5
    assert "rate 0.1000" in capsys.readouterr().out


# What is said


def test_pixels_of_0_to_255_are_scaled_and_a_test_on_training_files_is_called_that(
    spark, main, made, tmp_path, capsys
):
    frame = spark.read.parquet(str(made / "digits_train.parquet")).limit(300)
    bytes_of = "transform(features, value -> float(round(value * 255)))"
    frame.selectExpr(f"{bytes_of} features", "label").write.parquet(str(tmp_path / "pixels"))
    assert main([*[str(tmp_path / "pixels")] * 4, str(tmp_path / "OUTPUT"), "--epochs", "2"]) == 0
    out = capsys.readouterr().out
    assert "note: pixels go up to 255, and they are divided by it" in out
    assert "note: the test files are the training files" in out
    assert load_model(tmp_path / "OUTPUT" / "run" / "model.firesteel").layers[0].scale == 1 / 255


def test_an_interrupted_training_says_how_to_go_on_and_does(spark, main, made, done, tmp_path, monkeypatch, capsys):
    module, ended = example("main_task"), []

    def interrupt(self, epoch, logs=None):
        ended.append(epoch)
        if len(ended) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module.Lines, "on_epoch_end", interrupt)
    command = [*parquet(made), str(tmp_path / "OUTPUT"), *FEW, "--checkpoint", str(tmp_path / "progress")]
    assert module.main(command) == 130
    assert "interrupted; the same command goes on from there" in capsys.readouterr().err
    assert not (tmp_path / "OUTPUT").exists()
    assert module.main(command) == 0 and len(ended) < 9
    assert kept(tmp_path / "OUTPUT") == kept(done)


# What is refused


def wrong(folder, name, line, put):
    """Put a text in the place of a line of a file, numbered from 1; None takes the line away."""
    path = folder / f"digits_{name}.csv"
    every = path.read_text().splitlines(keepends=True)
    every[line - 1 : line] = [] if put is None else [put + "\n"]
    path.unlink()  # the linked file stays as it is
    path.write_text("".join(every))


def exist(output):
    output.mkdir(parents=True)
    (output / "mine").write_text("mine")


MISUSE = {
    "mismatched lengths": (lambda d, o: wrong(d, "labels_train", 7, None), "lines without a partner: 1.  To do: "),
    "ragged line": (
        lambda d, o: wrong(d, "images_test", 300, "0 1"),
        "images_test.csv, line 300: 2 values, where most lines have 64; 1 of 359 lines have this error.  To do: ",
    ),
    "not a number": (
        lambda d, o: wrong(d, "images_train", 2, "0 zero"),
        "images_train.csv, line 2: 'zero' is not a finite number; 1 of 1,438 lines have this error.  To do: ",
    ),
    "not one-hot": (
        lambda d, o: wrong(d, "labels_test", 359, "0 1 1 0 0 0 0 0 0 0"),
        "labels_test.csv, line 359: '0 1 1 0 0 0 0 0 0 0' is not a one-hot label; 1 of 359 lines have this error.",
    ),
    "missing file": (lambda d, o: (d / "digits_labels_test.csv").unlink(), "labels_test.csv: cannot be read: "),
    "existing output": (lambda d, o: exist(o), "already exists; delete it, or choose another folder"),
}


@pytest.mark.parametrize("spoil, said", MISUSE.values(), ids=MISUSE)
def test_what_cannot_be_is_reported_before_training_and_leaves_nothing(
    spark, main, data, tmp_path, capsys, spoil, said
):
    output = tmp_path / "out" / "OUTPUT"
    spoil(data, output)
    there = {path: path.read_bytes() for path in tmp_path.glob("out/**/*") if path.is_file()}
    assert main([*text(data), str(output)]) == 3
    out, err = capsys.readouterr()
    assert err.startswith("main_task.py: ") and said in err and "epoch" not in out
    assert len(err.splitlines()) == 1 and "Traceback" not in err and "java." not in err
    assert {path: path.read_bytes() for path in tmp_path.glob("out/**/*") if path.is_file()} == there
    assert not list(tmp_path.glob("**/.*.part"))


def narrower(folder):
    """Take the first value of each test image away."""
    path = folder / "digits_images_test.csv"
    every = [line.partition(" ")[2] for line in path.read_text().splitlines(keepends=True)]
    path.unlink()
    path.write_text("".join(every))


def test_a_test_set_of_another_width(spark, main, data, tmp_path, capsys):
    narrower(data)
    assert main([*text(data), str(tmp_path / "OUTPUT")]) == 3
    assert "images_test.csv: 63 values an image, where " in capsys.readouterr().err
    assert not (tmp_path / "OUTPUT").exists()


@pytest.mark.parametrize("form", [text, parquet])
def test_a_test_set_with_more_classes(spark, main, data, tmp_path, capsys, form):
    few = example("main_task").Paired(spark.createDataFrame([], "a int"), 5, 64, 9)
    given = example("main_task").arguments().parse_args([*form(data), "out"])
    with pytest.raises(DataError, match="10 classes, where .* has 9; all 7 rows"):
        example("main_task").must_suit(few, example("main_task").Paired(few.frame, 7, 64, 10), given)


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["a", "b", "c", "d"], [*"abcdef"], [*"abcde", "--epochs", "0"], [*"abcde", "--like"]),
        *([*"abcde", "--network", "rnn"], [*"abcde", "--network", "cnn", "--like-the-original"]),
    ],
)
def test_usage(main, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: main_task.py" in capsys.readouterr().err


def test_what_is_no_parquet(spark, main, data, tmp_path, capsys):
    assert main([*text(data)[:1] * 2, *parquet(data)[2:], str(tmp_path / "OUTPUT")]) == 3
    err = capsys.readouterr().err
    assert "images_train.csv: cannot be read as Parquet" in err and len(err.splitlines()) == 1


def test_parquet_without_the_columns(spark, main, data, tmp_path, capsys):
    spark.range(3).write.parquet(str(tmp_path / "other"))
    assert main([str(tmp_path / "other")] * 4 + [str(tmp_path / "OUTPUT")]) == 3
    assert "`features` cannot be resolved" in capsys.readouterr().err


@pytest.mark.slow
def test_a_failure_after_training_leaves_nothing(spark, data, tmp_path, monkeypatch, capsys):
    module = example("main_task")

    def lost(*_):
        raise DataError("lost", code="data-lost")

    monkeypatch.setattr(module, "samples", lost)
    assert module.main([*text(data), str(tmp_path / "out" / "OUTPUT"), "--epochs", "1"]) == 3
    assert "lost" in capsys.readouterr().err and not list(tmp_path.glob("out/*"))


def test_a_scheme_that_this_spark_does_not_know(spark, main, data, tmp_path, capsys):
    assert main([*text(data), "nowhere://bucket/OUTPUT"]) == 4
    err = capsys.readouterr().err
    assert "nowhere" in err and len(err.splitlines()) == 1


# The data


def test_text_and_parquet_hold_the_digits(made):
    images, labels = (np.loadtxt(made / f"digits_{name}.csv") for name in FILES[2:])
    np.testing.assert_array_equal(images, X_TEST.reshape(len(X_TEST), -1) / 16)
    np.testing.assert_array_equal(labels, np.eye(10)[Y_TEST])
    table = pq.read_table(made / "digits_test.parquet")
    np.testing.assert_array_equal(np.array(table["features"].to_pylist(), "f4"), FLAT)
    assert table["label"].to_pylist() == Y_TEST.tolist()


def idx(values):
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def test_any_pair_of_idx_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example("generate_data"), "PIECE", 3)
    x, y = np.arange(80, dtype=np.uint8).reshape(5, 4, 4), np.array([2, 0, 1, 2, 0], np.uint8)
    (tmp_path / "x").write_bytes(idx(x))
    (tmp_path / "y").write_bytes(idx(y))
    command = ["--idx", str(tmp_path / "x"), str(tmp_path / "y"), "--name", "two", "--folder", str(tmp_path / "out")]
    assert example("generate_data").main(command) == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["two_images.csv", "two_labels.csv"]
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "out" / "two_images.csv"), x.reshape(5, 16) / 255)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "out" / "two_labels.csv"), np.eye(3)[y])
    assert "two_images.csv  5 rows" in capsys.readouterr().out

    assert example("generate_data").main(command) == 3
    assert "already exists" in capsys.readouterr().err
    assert example("generate_data").main(["--idx", str(tmp_path / "y"), str(tmp_path / "y")]) == 3
    assert "expected images of bytes" in capsys.readouterr().err


# The plots


def test_the_plots(done, tmp_path, capsys):
    files = [str(done / f"{what}_history" / "part-00000") for what in ("cost", "accuracy")]
    plots = example("generate_plots").main
    assert plots([*files, str(tmp_path)]) == 0
    assert sorted(os.listdir(tmp_path)) == ["accuracy_history.png", "cost_history.png"]
    assert min(plt.imread(tmp_path / "cost_history.png").shape[:2]) >= 200
    (tmp_path / "accuracy_history.png").unlink()
    assert plots([files[0], "None", str(tmp_path)]) == 0
    assert os.listdir(tmp_path) == ["cost_history.png"]


def test_what_cannot_be_drawn(done, tmp_path, capsys):
    (tmp_path / "bad").write_text("0.5\nhalf\n")
    (tmp_path / "empty").touch()
    plots, good = example("generate_plots").main, str(done / "cost_history" / "part-00000")
    for arguments, said in (
        ([good, str(tmp_path / "bad"), str(tmp_path)], "line 2: 'half' is not a number"),
        ([str(tmp_path / "none"), "None", str(tmp_path)], "none: cannot be read"),
        ([str(tmp_path / "empty"), "None", str(tmp_path)], "the file is empty"),
        ([good, "None", str(tmp_path / "nowhere")], "cannot be written"),
    ):
        assert plots(arguments) == 3
        assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


# The notebook, and what is measured


def like_mnist(part):
    """Images of 8 x 8 as images of 28 x 28."""
    x, y = part
    return np.pad(np.kron(x * np.uint8(15), np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2))), y


def test_the_notebook_is_its_script_and_runs_on_other_digits(spark, tmp_path, monkeypatch, capsys):
    script = EXAMPLES / "pyspark_neural_network" / "neural_network.py"
    book = json.loads(script.with_suffix(".ipynb").read_text())
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in book["cells"]] == cells(script.read_text())

    source = script.read_text()
    for said, put in (("load = load_mnist  #", "load = lambda: other  #"), ("epochs=50", "epochs=3")):
        assert source.count(said) == 1
        source = source.replace(said, put)
    names = {"__name__": "__main__", "other": tuple(map(like_mnist, load_digits()))}
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.chdir(tmp_path)
    before = plt.get_backend()
    plt.switch_backend("Agg")
    exec(compile(source, str(script), "exec"), names)
    plt.close("all")
    plt.switch_backend(before)
    assert names["table"].sum() == np.isin(Y_TEST, (0, 1)).sum() and not list(tmp_path.iterdir())
    cost = names["history"].history["loss"]
    assert len(cost) == 3 and cost[-1] < cost[0]
    assert "test accuracy" in capsys.readouterr().out


def test_the_collapse_is_there_on_the_rows_learnt_from_too(capsys):
    found = example("collapse").main(["--data", "digits", "--seeds", "2"])[1]  # seed 0 is still learning at the end
    accuracy = {which: seen.accuracy for which, seen in found["seen"].items()}
    assert accuracy["learnt", "tanh"] > 0.8 and accuracy["test", "tanh"] > 0.8
    assert accuracy["learnt", "sigmoid"] < 0.5 and accuracy["test", "sigmoid"] < 0.5
    assert found["correlation"] > 0.85
    assert (found["seen"]["test", "sigmoid"].recall == 0).any()
    assert "| 1 | 0.8" in capsys.readouterr().out


def test_what_collapses_is_what_like_the_original_trains():
    ours, theirs = example("collapse").network(784, "tanh"), example("main_task").original(784, 10).model
    assert ours.network == theirs.network and ours.to_bytes() == theirs.to_bytes()
    first = example("wish_list").WISHES[0].model(784)
    assert [layer.to_config() for layer in first.layers] == [layer.to_config() for layer in ours.layers]


@pytest.mark.parametrize("number", range(11))
def test_every_wish_trains(number):
    wishes = example("wish_list")
    wish = wishes.WISHES[number]
    parts = [(x.reshape(len(x), -1).astype("f4") / 16, np.eye(10)[y]) for x, y in load_digits()]
    found = wishes.score(replace(wish, epochs=3), *parts, 0)
    assert 0 < found.accuracy < 1 and found.steps == 3 * (23 if wish.batch else 1)


def test_sums_are_the_same_however_they_are_added_up_and_a_tree_loses_least():
    wishes = example("wish_list")
    x, t = X[:300].reshape(300, -1) / 16, np.eye(10)[Y[:300]]
    weights = wishes.Wish("").model(64).get_weights()
    whole = wishes.block_gradient(weights, x, t)
    np.testing.assert_allclose(wishes.chain(wishes.row_gradients(weights, x, t)), whole, atol=1e-12)
    np.testing.assert_allclose(wishes.tree(wishes.row_gradients(weights, x, t)), whole, atol=1e-12)
    errors = wishes.adding(x, t)
    assert errors["tree"] < errors["chain"] < 1e-5 and errors["times"] > 1


@pytest.mark.mnist
@pytest.mark.timeout(900)
def test_on_mnist_the_original_collapses_when_asked_with_the_sigmoid():
    (found,) = example("collapse").main(["--seeds", "1"])
    accuracy = {which: seen.accuracy for which, seen in found["seen"].items()}
    assert 0.80 <= found["sample"] <= 0.86 and accuracy["test", "tanh"] > 0.8
    assert abs(accuracy["learnt", "sigmoid"] - accuracy["test", "sigmoid"]) < 0.02
    assert accuracy["test", "sigmoid"] < 0.6


@pytest.mark.mnist
@pytest.mark.timeout(900)
def test_on_mnist_the_default_reaches_97_per_cent(spark, main, tmp_path):
    assert example("generate_data").main(["--to", "parquet", "--folder", str(tmp_path)]) == 0
    paths = [str(tmp_path / f"mnist_{part}.parquet") for part in ("train", "train", "test", "test")]
    assert main([*paths, str(tmp_path / "OUTPUT")]) == 0
    assert float(lines(tmp_path / "OUTPUT", "summary")[-1].split()[2].rstrip(":")) >= 0.97


# On a cluster


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_spark_submit_on_a_standalone_cluster_whose_executors_have_numpy_and_pyarrow_alone(made, done, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    submit = Path(sys.executable).with_name("spark-submit")
    with standalone(tmp_path) as master:
        environment |= {
            "PYSPARK_PYTHON": str(bare_python(tmp_path / "bare")),
            "PYSPARK_DRIVER_PYTHON": sys.executable,
        }
        environment |= {"PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"}
        app = str(EXAMPLES / "pyspark_neural_network" / "main_task.py")

        def run(*arguments):
            command = [submit, "--master", master, "--conf", "spark.driver.host=127.0.0.1", app, *arguments]
            return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)

        good = run(*text(made), "OUTPUT", *FEW)
        assert good.returncode == 0, good.stderr[-3000:]
        assert run(*text(made), "OUTPUT").returncode == 3
        assert run(*text(made)).returncode == 2
    assert (tmp_path / "OUTPUT" / "run" / "model.firesteel").read_bytes() == (
        done / "run" / "model.firesteel"
    ).read_bytes()
