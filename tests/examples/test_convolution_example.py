"""The recipe of the convolution example trains what it says, on rows held out or on those of the test."""

import numpy as np
import pytest

from tests.support.scripts import example


@pytest.fixture
def script(monkeypatch):
    made = example("mnist")
    rng = np.random.default_rng(0)
    y = np.arange(260) % 10
    x = rng.integers(0, 40, (260, 28, 28))
    x[np.arange(260), 2 * y + 4] = 255  # a line whose height is the class
    rows = (x[:200].astype(np.uint8), y[:200]), (x[200:].astype(np.uint8), y[200:])
    monkeypatch.setattr(made, "load_mnist", lambda: rows)
    monkeypatch.setattr(made, "load_fashion_mnist", lambda: rows)
    monkeypatch.setattr(made, "HELD", 50)
    return made


def test_the_network_has_the_parameters_that_are_said(script):
    averages = 2 * (16 + 32 + 32 + 64)
    assert script.network("mnist").count_params() - averages == 38_714
    assert "38,714 parameters that train" in script.__doc__


@pytest.mark.parametrize("data", ["mnist", "fashion_mnist"])
def test_seeds_are_scored_alone_and_together(script, data, capsys):
    found = script.main(["--data", data, "--epochs", "2", "--seeds", "3", "4", "--filters", "4", "4", "4", "8"])
    lines = capsys.readouterr().out.splitlines()
    assert len(found) == 3 and [line.split(":")[0] for line in lines] == ["seed 3", "seed 4", "all 2 together"]
    assert found == script.main(
        ["--data", data, "--epochs", "2", "--seeds", "3", "4", "--filters", "4", "4", "4", "8"]
    )


def test_the_test_rows_are_those_of_the_test(script, capsys):
    (accuracy,) = script.main(["--epochs", "12", "--test", "--filters", "8", "8", "8", "16"])
    assert accuracy * 60 == pytest.approx(round(accuracy * 60))
