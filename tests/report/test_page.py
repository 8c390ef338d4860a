"""The page of a run: its figures are those of metrics.json, it needs nothing else and survives what it is given."""

import html
import json
import os
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from firesteel.errors import StoreError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.report.evidence import DisplayNames
from firesteel.report.page import render
from tests.report import runs

X = np.random.default_rng(0).random((40, 4))
HOSTILE = ["<script>alert(1)</script>", '" onload="x', "$\\frac{1}$ & <b>"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    made = {
        "digits": runs.digits(root / "digits", shard_seconds=[0.5, 0.7, 0.6]),
        "numbers": runs.numbers(root / "numbers"),
        "labels": runs.labels(root / "labels", DisplayNames(classes=HOSTILE)),
    }
    return root, made


@pytest.fixture
def run(folders, tmp_path):
    """A copy of the digits' run that a test may damage."""
    shutil.copytree(folders[0] / "digits", tmp_path / "run")
    return tmp_path / "run"


def edit(folder, **changes):
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class Page(HTMLParser):
    """The tags of a page with their attributes, its text, and whether all that is opened is closed."""

    EMPTY = {"meta", "img", "link", "br", "input", "hr"}

    def __init__(self, source):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"[ \n]+", " ", " ".join(self.words))


def cells(source, start):
    """The rows of the table that follows `start` in the page, as lists of texts."""
    table = source[source.index(start) :]
    table = table[: table.index("</table>")]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [[html.unescape(re.sub(r"<[^>]*>", "", c)) for c in re.findall(r"<t[hd].*?</t[hd]>", r)] for r in rows]


# What it says


def test_the_figures_are_those_of_metrics_json(folders):
    root, made = folders
    metrics = made["digits"]
    evidence, source = metrics["evidence"], render(root / "digits")
    text = Page(source).text
    assert f"{100 * evidence['score']:.1f}\u00a0% of 359 test rows" in text.split("Results")[0]
    scores = {row[0]: row[1:] for row in cells(source, 'aria-label="Scores"')}
    assert scores["rows"] == ["loss", "accuracy"]
    assert scores["test"] == [f"{metrics['scores']['test'][name]:.4g}" for name in ("loss", "accuracy")]
    answers = dict(cells(source, "predictor"))
    for name, score in (
        ("the network", evidence["score"]),
        ("a linear model", evidence["linear"]["score"]),
        ("always “1”", evidence["baseline"]["score"]),
    ):
        assert answers[name] == f"{100 * score:.1f}\u00a0%"
    matrix = cells(source, '<table class="matrix">')
    shown = [[0 if cell == "·" else int(cell) for cell in row[1:]] for row in matrix[1:]]
    assert shown == evidence["confusion"]
    assert matrix[0][1:] == [row[0] for row in matrix[1:]] == list("0123456789")
    classes = cells(source, "Metrics per class")[1:]
    for row, expected in zip(classes, evidence["per_class"], strict=True):
        figures = [f"{100 * expected[key]:.1f}\u00a0%" for key in ("precision", "recall", "f1")]
        assert row == [expected["class"], str(expected["rows"]), *figures]
    assert f"off by {100 * evidence['calibration']['error']:.1f}\u00a0% (expected" in text
    layers = cells(source, 'aria-label="Layers"')[1:]
    assert [row[0] for row in layers] == [layer["name"] for layer in evidence["layers"]]
    assert [row[2] for row in layers] == [f"{layer['weight_norm']:.4g}" for layer in evidence["layers"]]
    assert layers[0][5] == str(evidence["layers"][0]["dead"])
    assert metrics["fingerprint"] in text and runs.CONFIG.strip().splitlines()[0] in text and np.__version__ in text


def test_each_section_has_its_pictures(folders):
    root, made = folders
    evidence, page = made["digits"]["evidence"], Page(render(root / "digits"))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == len(evidence["mistakes"]) + 1 + len(evidence["first_layer"])
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    kinds = [label.split(":")[0].split(",")[0] for label in labels]
    assert kinds == ["Line chart over 12 epochs"] * 2 + ["Calibration curve", "Bar chart"]
    for mistake in evidence["mistakes"]:
        assert f"true value {mistake['truth']} and prediction {mistake['predicted']}" in str(images)


def test_a_regression_shows_its_errors(folders):
    root, made = folders
    evidence, source = made["numbers"]["evidence"], render(root / "numbers")
    rows = cells(source, "Errors of each output")[1:]
    for row, output in zip(rows, evidence["outputs"], strict=True):
        assert row[0] == output["name"]
        assert row[1:] == [f"{output[key]:.4g}".replace("-", "−") for key in ("rmse", "mae", "r2")]
    assert (
        source.count("Predicted over true values, 100 rows") == 2 == source.count("Histogram of predicted minus true")
    )
    mistakes = cells(source, 'aria-label="Mistakes"')
    order = [item["name"] for item in evidence["importance"]["inputs"]]
    assert mistakes[0] == ["row", "output", "true", "predicted", *order]
    assert mistakes[1][0] == str(evidence["mistakes"][0]["row"])
    drops = cells(source, "Feature importance")
    assert [row[0] for row in drops[1:]] == order
    assert "Confusion" not in source and "confidence be trusted" not in source


def test_labels_are_listed_one_by_one(folders):
    root, made = folders
    source = render(root / "labels")
    rows = cells(source, "Metrics per class")[1:]
    assert [row[0] for row in rows] == HOSTILE
    assert [row[1] for row in rows] == [str(row["rows"]) for row in made["labels"]["evidence"]["per_class"]]
    assert "Confusion" not in source


def test_time_is_split_into_parts_that_add_up(folders):
    root, _ = folders
    source = render(root / "digits")
    shares = [row[2] for row in cells(source, 'class="split"')[1:]]
    assert sum(float(share.split("\u00a0")[0]) for share in shares) == pytest.approx(100, abs=0.2)
    history = [json.loads(line) for line in (root / "digits" / "history.jsonl").read_text().splitlines()]
    computing = sum(row["shard_seconds"] for row in history) / sum(row["seconds"] for row in history)
    assert float(shares[0].split("\u00a0")[0]) == pytest.approx(100 * computing, abs=0.06)


# What it is


@pytest.mark.parametrize("name", ["digits", "numbers", "labels"])
def test_the_page_is_whole_small_and_alone(folders, name):
    source = render(folders[0] / name)
    page = Page(source)
    assert not page.open and len(source.encode()) < 300_000
    assert source.startswith("<!DOCTYPE html>") and ("html", {"lang": "en"}) in page.tags
    assert "http:" not in source and "https:" not in source and "//" not in re.sub(r"base64,[^\"]*", "", source)
    tags = [tag for tag, _ in page.tags]
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "a"} & set(tags)
    assert tags.count("h1") == 1 and tags.count("title") == 1
    for tag, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,") and attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    for table in re.findall(r"<table.*?</table>", source, re.DOTALL):
        assert 'scope="row"' in table or 'scope="col"' in table
    assert 'http-equiv="refresh"' not in source and "As of" not in source
    assert source == render(folders[0] / name)


def test_hostile_names_are_only_text(folders):
    source = render(folders[0] / "labels")
    for name in HOSTILE:
        assert name not in source and str(html.escape(name)).replace("&quot;", "&#34;") in source


def test_hostile_config_and_environment_are_only_text(run):
    (run / "config.toml").write_text("</code></pre><script>1</script>")
    (run / "env.json").write_text(json.dumps({"<i>": "<img src=x>", "empty": None, "list": [1]}))
    source = render(run)
    assert "<script" not in source and "<i>" not in source and "<img src=x" not in source
    assert ["&lt;i&gt;" in source, "[1]" in source, "empty" in Page(source).text] == [True, True, False]


def test_colours_can_be_read():
    def luminance(colour):
        linear = [(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in np.array(colour) / 255]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    shape = (runs.Path(render.__code__.co_filename).parent / "page.html.j2").read_text()
    light, dark = (
        dict(re.findall(r"--(\w+): #(\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", shape, re.S)[:2]
    )
    for colours in (light, dark):
        lit = {name: luminance([int(code[k : k + 2], 16) for k in (0, 2, 4)]) for name, code in colours.items()}
        for text, ground in (
            *[(text, ground) for text in ("ink", "soft", "first", "second") for ground in ("page", "card")],
            ("ink", "tint"),
        ):
            bright, dim = sorted((lit[text], lit[ground]), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, ground)


# Unfinished, partial and damaged runs


def test_while_training_it_refreshes_and_shows_what_there_is(tmp_path):
    runs.digits(tmp_path / "full")
    metrics = json.loads((tmp_path / "full" / "metrics.json").read_text())
    for key in ("evidence", "scores"):
        del metrics[key]
    (tmp_path / "full" / "metrics.json").write_text(json.dumps(metrics | {"status": "training", "epochs": 40}))
    with open(tmp_path / "full" / "history.jsonl", "a") as file:
        file.write('{"epoch": 12, "lo')
    os.utime(tmp_path / "full" / "metrics.json", (1e9, 1e9))
    source = render(tmp_path / "full")
    assert '<meta http-equiv="refresh" content="5">' in source and "Last updated 2001-09-09 01:46:40 UTC" in source
    assert "epoch 12 of 40 is complete" in source and "Line chart over 12 epochs" in source
    assert "Results" not in source and "Confusion" not in source


def test_before_the_first_epoch_there_is_a_page(run):
    (run / "history.jsonl").unlink()
    edit(run, status="training", evidence=None, scores={}, shard_seconds=None)
    assert "no epoch is complete yet" in render(run)


def test_importance_as_earlier_runs_have_it_is_shown(folders, tmp_path):
    shutil.copytree(folders[0] / "numbers", tmp_path / "run")
    evidence = json.loads((tmp_path / "run" / "metrics.json").read_text())["evidence"]
    inputs = [{"index": 0, "name": "a", "drop": 0.25}, {"index": 1, "name": "b", "drop": -0.5}]
    importance = {"metric": "r2", "rows": 100, "repeats": 5, "tried": 2, "inputs": inputs}
    edit(tmp_path / "run", evidence=evidence | {"importance": importance})
    source = render(tmp_path / "run")
    assert "Drop of r² when" in source and "±" not in source
    assert [row[-1] for row in cells(source, "Feature importance")] == ["drop", "0.2500", "−0.5000"]


def test_what_is_missing_is_left_out(run):
    for name in ("history.jsonl", "config.toml", "env.json"):
        (run / name).unlink()
    evidence = json.loads((run / "metrics.json").read_text())["evidence"]
    for key in ("confusion", "calibration", "first_layer"):
        del evidence[key]
    edit(run, evidence=evidence | {"linear": None, "mistakes": []}, shard_seconds=None, fingerprint=None)
    source = render(run)
    for words in (
        "Confusion",
        "Training",
        "config.toml",
        "Fingerprint",
        "Calibration",
        "first layer",
        "linear model",
    ):
        assert words not in source
    assert "There are none among these 359 rows" in source


def test_many_classes_are_a_picture_and_their_worst_pairs(run):
    evidence = json.loads((run / "metrics.json").read_text())["evidence"]
    many = 40
    confusion = (np.eye(many, dtype=int) * 9).tolist()
    confusion[3][7] = 5
    per_class = [
        {"class": f"kind {k}", "rows": 9, "precision": 1.0, "recall": 1.0, "f1": 1 - k / 100} for k in range(many)
    ]
    edit(run, evidence=evidence | {"confusion": confusion, "per_class": per_class})
    source = render(run)
    assert cells(source, "Most frequent mistakes")[1:] == [["kind 3", "kind 7", "5", "35.7\u00a0%"]]
    classes = cells(source, "Metrics per class")[1:]
    assert len(classes) == 30 and classes[0][0] == "kind 39" and "The 30 weakest of 40" in source


def test_numbers_that_are_not_finite_leave_gaps(run):
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    rows[3]["loss"] = rows[5]["val_loss"] = float("nan")
    rows[4]["confusion_matrix"] = [[1, 2], [3, 4]]
    (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evidence = json.loads((run / "metrics.json").read_text())["evidence"]
    edit(run, status="diverged", evidence=evidence | {"score": None})
    source = render(run)
    assert "training diverged" in source and "Line chart over 12 epochs" in source


def test_the_largest_page_stays_under_its_size(run):
    rng = np.random.default_rng(0)
    evidence = json.loads((run / "metrics.json").read_text())["evidence"]
    pixels = rng.random(784).round(4).tolist()
    mistake = evidence["mistakes"][0] | {"input": pixels}
    inputs = [{"index": k, "drop": value} for k, value in enumerate(pixels)]
    points = rng.normal(size=(1000, 2)).tolist()
    histogram = {"edges": np.linspace(-1, 1, 31).tolist(), "counts": list(range(30))}
    output = {"name": "y", "rmse": 1.0, "mae": 1.0, "r2": 0.5, "points": points, "histogram": histogram}
    bare = {"name": "y", "rmse": 1.0, "mae": 1.0, "r2": 0.5}
    evidence |= {"mistakes": [mistake] * 24, "first_layer": [pixels] * 24, "outputs": [output] * 4 + [bare] * 780}
    evidence["importance"] |= {"inputs": inputs}
    epochs = [{"epoch": k, **{f"{v}m{n}": rng.random() for v in ("", "val_") for n in range(9)}} for k in range(2000)]
    (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in epochs))
    edit(run, picture=[28, 28], evidence=evidence, shard_seconds=rng.random(500).tolist())
    assert len(render(run).encode()) < 1_500_000


@pytest.mark.parametrize(
    "loss, activation, outputs, y",
    [
        ("sparse_categorical_crossentropy", "softmax", 3, np.zeros(40)),
        ("bce", "sigmoid", 1, np.ones(40)),
        ("mse", "linear", 1, np.full(40, 3.0)),
        ("bce", "sigmoid", 4, X > 0),
        ("mse", "sigmoid", 4, X),
        ("hinge", "linear", 1, np.sign(X[:, 0] - 0.5)),
        ("categorical_crossentropy", "softmax", 2, np.eye(2)[(X[:, 0] > 0.5).astype(int)]),
    ],
    ids=lambda value: str(value)[:12],
)
@pytest.mark.parametrize("count, picture", [(1, None), (40, (2, 2))])
def test_whatever_was_learned_has_a_page(tmp_path, loss, activation, outputs, y, count, picture):
    model = Sequential([Dense(3, activation="relu"), Dense(outputs, activation=activation)])
    model.compile("adam", loss)
    history = model.fit(X, y, epochs=1, verbose=0)
    test, training = runs.rows("test", X[:count], y[:count]), runs.rows("training", X, y)
    runs.write(tmp_path, model, history, training, test, DisplayNames(picture=picture))
    assert not Page(render(tmp_path)).open


def test_an_output_picture_is_shown_with_its_input(tmp_path):
    model = Sequential([Dense(3, activation="relu"), Dense(4, activation="sigmoid")])
    model.compile("adam", "mse")
    history = model.fit(X, X, epochs=1, verbose=0)
    runs.write(
        tmp_path, model, history, runs.rows("training", X, X), runs.rows("test", X, X), DisplayNames(picture=(2, 2))
    )
    images = [tag[1] for tag in Page(render(tmp_path)).tags if tag[0] == "img"]
    made = [at for at, image in enumerate(images) if image["alt"] == "Output of the network"]
    assert len(made) == 24 and all(images[at]["src"] != images[at - 1]["src"] for at in made)


def test_a_matrix_has_room_for_long_names(run):
    evidence = json.loads((run / "metrics.json").read_text())["evidence"]
    for row in evidence["per_class"]:
        row["class"] = f"a class with a long name and number {row['class']}"
    edit(run, evidence=evidence)
    source = render(run)
    assert 'class="upright">a class w…number 3<' in source
    assert cells(source, "Metrics per class")[4][0] == "a class with a long name and number 3"


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("metrics.json", None, "metrics.json cannot be read: No such file or directory: is this a run folder?"),
        ("metrics.json", "{", "metrics.json is damaged: it is not JSON"),
        ("metrics.json", "[1]", "it is not a JSON object"),
        ("metrics.json", '{"format": 2, "status": "finished"}', "has format 2"),
        ("metrics.json", '{"format": 1, "status": "finished"}', "damaged"),
        ("metrics.json", '{"format": 1, "status": [1]}', "has format 1 and status"),
        ("metrics.json", b"\xff\xfe", "it is not UTF-8 at byte 0"),
        ("history.jsonl", '{"epoch": 0}\nnonsense\n', "history.jsonl is damaged: line 2 of 3"),
        ("history.jsonl", '{"loss": 1}\n', "line 1"),
        ("env.json", "nope", "env.json is damaged"),
        ("config.toml", b"\xff", "config.toml is damaged"),
    ],
)
def test_damage_is_reported_with_the_file(run, name, content, words):
    path = run / name
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError) as caught:
        render(run)
    assert words in str(caught.value) and str(run) in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"evidence": 3}, {"evidence": {}}, {"scores": [1]}, {"picture": [3, 3]}, {"shard_seconds": ["a", "b"]}],
    ids=str,
)
def test_wrong_kinds_of_values_are_damage_and_no_crash(run, changes):
    edit(run, **changes)
    with pytest.raises(StoreError, match="damaged"):
        render(run)
