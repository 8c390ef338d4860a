"""What is there besides classification: the examples on arrays come to what they say."""

import ast
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from firesteel.errors import DataError
from tests.support.scripts import EXAMPLES, SCRIPTS, example

# All of them


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_it_says_what_it_does_how_to_run_it_and_what_to_expect(path):
    about = ast.get_docstring(ast.parse(path.read_text()))
    assert f"python {path.relative_to(EXAMPLES.parent)}" in about
    assert re.search(r"^Expect .*\d", about, re.MULTILINE)


def test_every_example_has_its_line():
    listed = set(re.findall(r"^\| \[.*?\]\((.*?)\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    scripts = {str(path.relative_to(EXAMPLES)) for path in SCRIPTS}
    notebooks = {path.parent.name for path in EXAMPLES.glob("*/*.ipynb")}
    assert listed == scripts | notebooks


# Regression


def test_diabetes_ties_with_a_straight_line(capsys):
    (r2, rmse), (straight_r2, straight_rmse) = example("diabetes").main().values()
    assert len(r2) == 10
    assert abs(r2.mean() - straight_r2.mean()) < 0.04 and straight_r2.mean() == pytest.approx(0.446, abs=0.001)
    assert abs(rmse.mean() - straight_rmse.mean()) < 2 and straight_rmse.mean() == pytest.approx(56.4, abs=0.1)
    assert f"{r2.mean():.3f} ({r2.min():.3f} to {r2.max():.3f})" in capsys.readouterr().out


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_student_finds_its_teacher(seed):
    assert example("teacher").learn(seed) >= 0.999


def test_a_student_needs_its_lessons():
    assert 0.5 < example("teacher").learn(0, epochs=1) < 0.999


# Autoencoder


def test_sixteen_numbers_hold_most_of_a_small_digit(tmp_path, capsys):
    picture = tmp_path / "digits.png"
    errors = example("autoencoder").main(["--data", "digits", "--picture", str(picture)])
    assert errors["the network"] < errors["the mean picture"] / 6
    assert errors["the network"] < errors["16 principal components"] < errors["the mean picture"] / 5
    assert "digits, 64-16-64" in capsys.readouterr().out
    pixels = plt.imread(picture)
    assert pixels.shape[1] > 4 * pixels.shape[0] > 400
    assert len(np.unique(pixels[..., 0])) > 10


def test_without_mnist_it_says_that_it_takes_the_small_digits(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FIRESTEEL_DATA", str(tmp_path))
    example("autoencoder").main(["--epochs", "1"])
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert "MNIST cannot be loaded" in first and str(tmp_path) in first and second.startswith("digits")


def test_a_damaged_mnist_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("FIRESTEEL_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(b"no pictures")
    with pytest.raises(DataError):
        example("autoencoder").main(["--epochs", "1"])


@pytest.mark.mnist
def test_thirty_two_numbers_hold_most_of_a_digit(capsys):
    errors = example("autoencoder").main(["--data", "mnist"])
    assert errors["the network"] < 0.011 < errors["32 principal components"] < errors["the mean picture"] / 3.5
    assert float(re.search(r"test loss ([\d.]+)", capsys.readouterr().out)[1]) < 0.095


def test_the_picture_that_is_kept_is_small():
    (kept,) = (EXAMPLES / "autoencoder" / "docs").iterdir()
    assert kept.stat().st_size < 60_000


# Several labels


def test_several_labels_beat_the_base_rates_and_straight_lines():
    figures = example("multi_label").main([])
    accuracy, auc, f1 = figures["the network"]
    assert accuracy > figures["the more frequent side"][0] + 0.17
    assert auc > 0.87
    assert f1 > figures["every label"][2] + 0.17
    assert all(np.array(figures["the network"]) > figures["logistic regressions"])
