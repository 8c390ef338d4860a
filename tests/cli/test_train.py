"""`firesteel train`: the options are the API's, the lines are as promised, and the last one is the fingerprint."""

import json
import os
import re
import subprocess
import sys

import pytest

from firesteel.callbacks import EarlyStopping
from firesteel.datasets import load_digits
from firesteel.layers import Dense, Rescaling
from firesteel.models import Sequential
from firesteel.optimizers import RMSprop
from firesteel.tables.holdout import HoldOut
from firesteel.train.blocks import row_keys

NUMBERS = r"  loss \d+\.\d{4}  accuracy [01]\.\d{4}  val_loss \d+\.\d{4}  val_accuracy [01]\.\d{4}"
EPOCH = re.compile(rf"epoch (\d+)/(\d+){NUMBERS}  [\d,]+ rows/s  \d+\.\d s")
FIRESTEEL = [sys.executable, "-c", "from firesteel.cli import main; main()"]


def by_hand(*layers: Dense, optimizer="adam", **fit) -> tuple[str, float, float]:
    """Fingerprint, test loss and test accuracy of the same training, without the command line.

    It holds out 10 % by key, stops after 5 epochs without a better loss there, and keeps the best one.
    """
    (x, y), (x_test, y_test) = load_digits()
    model = Sequential([Rescaling(1 / 16, input_dim=64), *layers, Dense(10, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    x = x.reshape(-1, 64)
    held = HoldOut(0.1).rows(row_keys(x, y[:, None].astype(float)), y)
    stop = EarlyStopping(patience=5, restore_best_weights=True)
    model.fit(x[~held], y[~held], verbose=0, validation_data=(x[held], y[held]), callbacks=[stop], **fit)
    loss, accuracy = model.evaluate(x_test.reshape(-1, 64), y_test, verbose=0)
    return model.fingerprint(), loss, accuracy


def test_the_defaults_train_the_promised_network(run):
    code, out, err = run("train")
    fingerprint, loss, accuracy = by_hand(Dense(64, "relu"), epochs=10, batch_size=32)
    *epochs, test, last = out.splitlines()
    assert (code, err) == (0, "")
    assert [EPOCH.fullmatch(line).groups() for line in epochs] == [(str(n), "10") for n in range(1, 11)]
    assert test == f"test accuracy {accuracy:.4f}  loss {loss:.4f}"
    assert last == f"fingerprint {fingerprint}"


def test_every_option_reaches_the_training(run):
    _, out, _ = run(
        *("train", "--hidden", "20,12", "--activation", "tanh", "--epochs", "2", "--batch-size", "50"),
        *("--learning-rate", "0.004", "--optimizer", "rmsprop", "--shards", "3", "--seed", "9"),
    )
    layers, optimizer = (Dense(20, "tanh"), Dense(12, "tanh")), RMSprop(0.004)
    expected = by_hand(*layers, optimizer=optimizer, epochs=2, batch_size=50, shards=3, seed=9)[0]
    assert out.splitlines()[-1] == f"fingerprint {expected}"


@pytest.mark.parametrize("spelling", [["--hidden", ""], ["--hidden="]])
def test_empty_hidden_means_no_hidden_layer(run, spelling):
    _, out, _ = run("train", "--epochs", "1", *spelling)
    assert out.splitlines()[-1] == f"fingerprint {by_hand(epochs=1, batch_size=32)[0]}"


def test_json_is_all_there_is_on_stdout(run):
    code, out, err = run("train", "--epochs", "3", "--json")
    *rows, result = map(json.loads, out.splitlines())
    fingerprint, loss, accuracy = by_hand(Dense(64, "relu"), epochs=3, batch_size=32)
    assert code == 0
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert all({"loss", "accuracy", "rows", "seconds"} <= row.keys() for row in rows)
    assert result.pop("seconds") > 0
    assert result == {"test_loss": loss, "test_accuracy": accuracy, "fingerprint": fingerprint}
    assert len([line for line in err.splitlines() if EPOCH.fullmatch(line)]) == 3


@pytest.mark.parametrize(
    "argv, code, said",
    [
        (["--hidden", "64,x"], 2, "--hidden '64,x'"),
        (["--hidden", "64,-3"], 2, "--hidden '64,-3': it must be whole numbers of at least 1"),
        (["--hidden", "0"], 2, "--hidden '0'"),
        (["--hidden", ","], 2, "--hidden ','"),
        (["--activation", "rel"], 2, "did you mean 'relu'?"),
        (["--optimizer", "adm"], 2, "did you mean 'adam'?"),
        (["--learning-rate", "nan"], 2, "--learning-rate nan: it must be a number above 0"),
        (["--shards", "9999"], 2, "shards=9999"),
        (["--data", "mnist"], 3, "no such folder"),
    ],
)
def test_what_cannot_work_is_one_line_and_an_exit_code(run, monkeypatch, tmp_path, argv, code, said):
    monkeypatch.setenv("FIRESTEEL_DATA", str(tmp_path / "nothing"))
    ended, out, err = run("train", *argv)
    assert ended == code
    assert said in err and err.startswith("firesteel: ") and err.count("\n") == 1
    assert out == ""


def mnist(*argv: str) -> list[str]:
    done = subprocess.run(
        [*FIRESTEEL, "train", "--data", "mnist", *argv], capture_output=True, text=True, timeout=220
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.mnist
def test_mnist_is_learned_in_process(run):
    assert "FIRESTEEL_DATA" in os.environ
    code, out, _ = run("train", "--data", "mnist", "--hidden", "64", "--epochs", "12", "--seed", "1", "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["test_accuracy"] >= 0.970


@pytest.mark.mnist
def test_both_engines_print_the_same_fingerprint():
    argv = ["--epochs", "2", "--shards", "2"]
    here, other = mnist(*argv)[-1], mnist(*argv, "--seed", "5")[-1]
    assert re.fullmatch("fingerprint [0-9a-f]{64}", here)
    assert here != other
    assert mnist(*argv, "--engine", "spark")[-1] == here
