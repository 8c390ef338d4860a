"""What notebooks show: well-formed, escaped, small, and with the numbers of what is shown."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from firesteel import _notebook as notebook
from firesteel.layers import BatchNormalization, Dense, Input
from firesteel.models import Sequential
from firesteel.train.history import History

X = np.random.default_rng(0).normal(size=(90, 3))
Y = (X[:, 0] > 0).astype(int)


def read(html):
    """The HTML as a tree; it is written so that XML's stricter rules hold for it."""
    assert "<script" not in html and "http" not in html and "background" not in html
    return ET.fromstring(html.replace("&ensp;", " "))


def cells(html):
    return [["".join(cell.itertext()) for cell in row] for row in read(html).iter("tr")]


def made():
    model = Sequential([Input((3,)), Dense(4, "relu"), BatchNormalization(), Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def test_a_model_shows_the_table_of_its_summary(capsys):
    model = made()
    html = model._repr_html_()
    assert cells(html) == [
        ["layer (type)", "output shape", "parameters"],
        ["dense (Dense)", "(None, 4)", "16"],
        ["batch_normalization (BatchNormalization)", "(None, 4)", "16"],
        ["dense_1 (Dense)", "(None, 2)", "10"],
    ]
    assert "42 parameters, 8 of them do not train" in html
    model.summary()
    printed = capsys.readouterr().out
    assert all(word in printed for row in cells(html)[1:] for word in row)


def test_looking_at_a_model_decides_nothing():
    model = Sequential([Dense(4), Dense(2)])
    html = model._repr_html_()
    assert cells(html) == [["layer"], ["Dense"], ["Dense"]] and "inputs is unknown" in html
    assert Sequential()._repr_html_()
    drawn = made()
    drawn._repr_html_()
    drawn.fit(X, Y, epochs=1, seed=3, verbose=0)
    other = made()
    other.fit(X, Y, epochs=1, seed=3, verbose=0)
    assert drawn.fingerprint() == other.fingerprint()


def test_a_history_shows_its_lines_and_its_first_best_and_last_values():
    values = [(2.0, 2.5), (1.0, 1.25), (0.5, 1.5)]
    rows = [{"epoch": n + 4, "loss": a, "val_loss": b, "confusion": [[1]]} for n, (a, b) in enumerate(values)]
    html = History(rows, best=5)._repr_html_()
    assert cells(html) == [
        ["", "first", "best: 6", "last"],
        ["loss", "2", "1", "0.5"],
        ["val_loss", "2.5", "1.25", "1.5"],
    ]
    tree = read(html)
    picture = next(tree.iter("svg"))
    assert "loss and val_loss by epoch, from 0.5 to 2.5" in picture.get("aria-label")
    lines = [[tuple(map(float, point.split(","))) for point in line.get("points").split()] for line in picture[::2]]
    assert [len(line) for line in lines] == [3, 3]
    assert min(y for line in lines for _, y in line) == 6 and max(y for line in lines for _, y in line) == 90
    assert [(float(dot.get("cx")), float(dot.get("cy"))) for dot in picture[1::2]] == [lines[0][1], lines[1][1]]
    assert picture[2].get("stroke-dasharray") and not picture[0].get("stroke-dasharray")


@pytest.mark.parametrize("rows", [[], [{"epoch": 0, "loss": 1.0}], [{"epoch": n, "loss": math.nan} for n in (0, 1)]])
def test_a_history_without_a_line_is_shown_without_one(rows):
    assert not list(read(History(rows)._repr_html_()).iter("svg"))


def test_a_long_history_stays_small():
    rows = [{"epoch": n, "loss": math.exp(-n / 900), "val_loss": math.inf if n == 5 else 1.0} for n in range(5000)]
    assert len(History(rows, best=4999)._repr_html_()) < 10_000


def test_names_are_text_and_not_markup():
    bad = '<b onclick="x">&'
    html = notebook.box(bad, notebook.table([bad], [[bad]], bad), notebook.curves({bad: [1.0, 2.0]}))
    tree = read(html)
    assert not [node for node in tree.iter() if node.get("onclick")]
    assert sum(text == bad for text in tree.itertext()) == 4
    assert f"{bad} by epoch" in next(tree.iter("svg")).get("aria-label")
