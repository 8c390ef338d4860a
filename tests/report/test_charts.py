"""Charts are small, take the page's colours and letters, and are the same again; images hold their pixels."""

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import matplotlib.image
import numpy as np
import pytest

from firesteel.report import charts

LOSS = [2.0 / (k + 1) ** 2 for k in range(12)]
MADE = {
    "curves": lambda: charts.curves("c", list(range(12)), LOSS, [1.1 * y for y in LOSS], 9, loss=True),
    "one epoch": lambda: charts.curves("c", [0], [0.5], [None], 0, loss=True),
    "gaps": lambda: charts.curves("c", [3, 4, 5], [0.5, math.nan, None], [math.inf, 0.4, 0.4], None, loss=True),
    "calibration": lambda: charts.calibration("c", [0.5, 0.9], [0.4, 1.0], [3, 40]),
    "predicted": lambda: charts.predicted("c", [(0.0, 0.1), (1.0, 0.8)]),
    "one point": lambda: charts.predicted("c", [(2.0, 2.0)]),
    "residuals": lambda: charts.residuals("c", [-1.0, 0.0, 1.0], [3, 4]),
    "bars": lambda: charts.bars("c", [1.5, 2.5], "shard", "seconds"),
}


@pytest.mark.parametrize("name", MADE)
def test_a_chart_stands_in_a_page(name):
    svg = MADE[name]()
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img" and len(root.get("aria-label")) > 20 and root.get("viewBox")
    assert "http" not in svg and "<style" not in svg and "<script" not in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg), "a colour that does not follow the page's"
    assert not re.search(r"DejaVu|font-family: (?!var)", svg)
    names = re.findall(r'id="([^"]*)"', svg)
    assert len(names) == len(set(names)) and all(each.startswith("c-") for each in names)
    assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg))
    assert {one or other for one, other in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)} <= set(names)
    assert len(svg) < 20_000
    assert svg == MADE[name]()


def test_lines_differ_without_colour():
    svg = MADE["curves"]()
    assert ">training<" in svg and ">validation<" in svg and ">best: 10<" in svg and ">log scale<" in svg
    assert "stroke-dasharray" in svg
    assert "training ends at 0.01389; validation ends at 0.01528" in svg


@pytest.mark.parametrize("other", [0.0139, 0.3, 2.0])
def test_names_of_lines_do_not_lie_on_each_other(other):
    svg = charts.curves("c", list(range(12)), LOSS, [*LOSS[:-1], other], None, loss=False)
    places = [float(y) for y in re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>(?:training|validation)<', svg)]
    assert abs(places[0] - places[1]) >= 15


def test_a_users_own_settings_do_not_count_and_stay():
    plain = MADE["curves"]()
    with matplotlib.rc_context({"lines.linewidth": 9.0, "xtick.direction": "in", "text.usetex": True}):
        assert MADE["curves"]() == plain
        assert matplotlib.rcParams["lines.linewidth"] == 9.0


def test_a_thousand_points_are_small():
    points = np.random.default_rng(0).normal(size=(1000, 2)).tolist()
    assert len(charts.predicted("c", points)) < 45_000


@pytest.mark.parametrize("ramp", charts.RAMPS)
def test_an_image_holds_its_pixels_and_grows_lighter(ramp):
    uri = charts.png(np.array([[0.0, 1.0, 2.0], [3.0, 4.0, math.nan]]), ramp, 0.0, 4.0)
    kind, data = uri.split(",")
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)))[..., :3]
    assert kind == "data:image/png;base64" and pixels.shape == (2, 3, 3)
    lightness = (pixels @ [0.2126, 0.7152, 0.0722]).ravel()
    assert (np.diff(lightness[:5]) > 0).all() and lightness[5] == lightness[0]


def test_an_image_of_one_value_is_an_image():
    assert charts.png(np.zeros((2, 2)), "grey", 0.0, 0.0).startswith("data:image/png")
