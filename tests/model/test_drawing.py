"""Pictures of models: each layer once, each arrow, and well-formed whatever names are."""

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from firesteel.errors import ConfigError, StoreError
from firesteel.layers import Add, Dense, Dropout, Input
from firesteel.models import Model, Sequential, load_model
from firesteel.utils import plot_model
from tests.support.functional import CASES

SVG = "{http://www.w3.org/2000/svg}"
every = pytest.mark.parametrize("name", CASES)


def boxes(svg):
    """The lines of each box."""
    return [[text.text for text in box.iter(f"{SVG}text")] for box in ET.fromstring(svg).iter(f"{SVG}g")]


def arrows(svg):
    """What each arrow comes from and leads to."""
    return {tuple(path.find(f"{SVG}title").text.split(" → ")) for path in ET.fromstring(svg).iter(f"{SVG}path")}


def rectangles(svg):
    """The corners of each box: left, top, right, bottom."""
    found = [
        {side: float(one.get(side)) for side in ("x", "y", "width", "height")}
        for one in ET.fromstring(svg).iter(f"{SVG}rect")
    ]
    return [(one["x"], one["y"], one["x"] + one["width"], one["y"] + one["height"]) for one in found]


@every
def test_each_input_layer_and_output_is_there_once(name):
    model = CASES[name].make("float32")
    found = boxes(model.plot())
    words = [lines[1].split(",")[0] for lines in found]
    assert [lines[0] for lines, word in zip(found, words, strict=True) if word not in ("input", "output")] == [
        layer.name for layer in model.layers
    ]
    assert words.count("input") == len(model.inputs) and words.count("output") == len(model.outputs)
    assert [one[-1].split(" · ")[0] for one in found[: len(model.inputs)]] == [str(one.shape) for one in model.inputs]


@every
def test_each_arrow_is_there(name):
    """What a graph's values are made of, by the boxes that make them."""
    model = CASES[name].make("float32")
    inputs = {id(one): box[0] for one, box in zip(model.inputs, boxes(model.plot()), strict=False)}
    names = {id(layer): layer.name for layer in model.layers}
    wanted, waiting = set(), list(model.outputs)
    while waiting:
        one = waiting.pop()
        for arg in one.args if id(one) not in inputs else ():
            waiting.append(arg)
            wanted.add((inputs.get(id(arg)) or names[id(arg.owner)], names[id(one.owner)]))
    ends = [box[0] for box in boxes(model.plot()) if box[1] == "output"]
    for one, end in zip(model.outputs, ends, strict=True):
        makers = [names[id(one.owner)], *(["reshape"] if len(one.row) > 1 else []), end]
        wanted |= set(itertools.pairwise(makers))
    assert arrows(model.plot()) == wanted


@every
def test_no_boxes_overlap_and_all_lie_in_the_picture(name):
    svg = CASES[name].make("float32").plot()
    left, top, width, height = map(float, ET.fromstring(svg).get("viewBox").split())
    found = rectangles(svg)
    for number, one in enumerate(found):
        assert left <= one[0] and one[2] <= left + width and top <= one[1] and one[3] <= top + height
        for other in found[:number]:
            assert one[0] >= other[2] or one[2] <= other[0] or one[1] >= other[3] or one[3] <= other[1]


def test_what_is_frozen_called_twice_or_has_parameters_says_so():
    lines = [line for box in boxes(CASES["frozen"].make("float32").plot()) for line in box]
    assert "Dense, frozen" in lines and "BatchNormalization, frozen" in lines
    assert "(None, 5) · 35 parameters" in lines
    assert ["again", "Dense, called 3 times", "(None, 6) · 42 parameters"] in boxes(
        CASES["shared"].make("float32").plot()
    )


def test_ranks_follow_the_longest_path():
    x = Input((4,), name="x")
    far = Dense(4, name="c")(Dense(4, name="b")(Dense(4, name="a")(x)))
    svg = Model(x, {"end": Add(name="sum")([x, far])}).plot()
    tops = {box[0]: where[1] for box, where in zip(boxes(svg), rectangles(svg), strict=True)}
    ranks = [tops[name] for name in ("x", "a", "b", "c")]
    assert ranks == sorted(set(ranks)) and tops["sum"] == 2 * ranks[3] - ranks[2]
    assert ("x", "sum") in arrows(svg)


def test_layers_that_read_each_other_in_turn_are_drawn():
    x, one, other = Input((3,), name="x"), Dense(3, name="one"), Dense(3, name="other")
    svg = Model(x, one(other(one(x)))).plot()
    assert arrows(svg) == {("x", "one"), ("one", "other"), ("other", "one"), ("one", "one")}


def test_a_chain_of_200_layers_is_a_straight_line():
    svg = Sequential([Input((3,)), *(Dropout(0.1) for _ in range(200))]).plot()
    found = rectangles(svg)
    assert len(found) == 202 and all(abs(left + right) < 0.2 for left, _, right, _ in found)
    assert [one[1] for one in found] == sorted({one[1] for one in found})


@pytest.mark.parametrize("name", ["<script>alert(1)", "'\"&<>]]>", "a\0b\n\x1b", "\ud800", "‮x", "層" * 99, "→ x"])
def test_names_are_text(name):
    x = Input((3,), name=name)
    svg = Model({"row": x}, {name: Dense(2, name=name)(x)}, name=name).plot()
    svg.encode()
    ET.fromstring(svg)
    assert "<script" not in svg and len(boxes(svg)) == 3


def test_a_notebook_shows_it_and_a_file_holds_it(tmp_path):
    model = Sequential([Dense(2, input_dim=3)])
    svg = model.plot(tmp_path / "model.svg")
    assert svg._repr_html_() == svg == (tmp_path / "model.svg").read_text(encoding="utf-8")
    assert plot_model(model, tmp_path / "again.SVG", show_shapes=True) == svg
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").plot() == svg
    assert not re.search("http(?!://www.w3.org/2000/svg)", svg)


def test_what_cannot_be_drawn_or_written_is_refused(tmp_path):
    model = Sequential([Dense(2, input_dim=3)])
    with pytest.raises(ConfigError, match="SVG.*choose a name"):
        plot_model(model, tmp_path / "model.png")
    with pytest.raises(ConfigError, match="give a path"):
        model.plot(5)
    with pytest.raises(StoreError, match="cannot be written"):
        model.plot(tmp_path / "no" / "model.svg")
    with pytest.raises(ConfigError, match="number of inputs is unknown"):
        Sequential([Dense(2)]).plot()
