"""The lesson runs with three imports and two paths changed, learns, and is the notebook's code."""

import hashlib
import json
import os
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from examples.notebook import cells, notebook
from firesteel.datasets import load_digits, load_mnist, write_libsvm

SCRIPT = Path(__file__).parents[2] / "examples" / "hands_on_mnist_mlp" / "hands_on_mnist_mlp.py"
BOOK = SCRIPT.with_suffix(".ipynb")
LESSON = "85a3f177b453c1a5de9a11b48e7e54f1318ede7d4702e05de2619fd9f20691df"
EPOCH = re.compile(r"^Epoch (\d+)/\d+\n\d+/\d+ - \d+s - \w+/step - (.*)$", re.MULTILINE)
VALUE = re.compile(r"\d\.\d{4}\b")


@pytest.fixture(autouse=True)
def no_window():
    before = plt.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
    """Runs the lesson on these parts, for so many epochs; gives its names and what it printed."""

    def run(parts, epochs):
        folder = tmp_path / "mnist-digits"
        folder.mkdir()
        for name, (x, y) in zip(("train", "test"), parts, strict=True):
            write_libsvm(folder / f"mnist-digits-{name}.txt", x, y)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(plt, "show", lambda: None)
        source = SCRIPT.read_text()
        assert source.count("epochs=40") == 1
        names = {"__name__": "__main__"}
        exec(compile(source.replace("epochs=40", f"epochs={epochs}"), str(SCRIPT), "exec"), names)
        assert os.listdir(tmp_path) == ["mnist-digits"]
        return names, capsys.readouterr().out

    return run


def like_mnist(part):
    """Images of 8 x 8 as images of 28 x 28, with more ink."""
    x, y = part
    return np.pad(np.kron(x * np.uint8(15), np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2))), y


def check(names, printed, epochs):
    """What must hold of every run."""
    model, history = names["model"], names["history"].history
    assert model.count_params() == 16_175
    assert [number for number, _ in EPOCH.findall(printed)] == [str(number) for number in range(1, epochs + 1)]
    assert all("val_categorical_accuracy: " in line for _, line in EPOCH.findall(printed))
    assert len(history["loss"]) == len(history["val_loss"]) == epochs
    assert history["loss"][-1] < history["loss"][0] / 2
    loss, accuracy = names["scores"]
    assert f"\nloss: {loss:f}\ncategorical_accuracy: {accuracy:f}\nStart: " in printed
    assert re.search(r"^Elapse: 0:0\d:\d\d\.\d+$", printed, re.MULTILINE)
    lines = [line.get_ydata().tolist() for line in plt.gcf().axes[0].lines]
    assert lines == [history["loss"], history["val_loss"]]


def test_only_imports_paths_and_display_differ_from_the_lesson():
    source = SCRIPT.read_text()
    for ours, theirs, count in (
        ("from firesteel.", "from keras.", 3),
        ("mnist-digits/mnist", "/dbfs/databricks-datasets/mnist-digits/data-001/mnist", 2),
        ("plt.show()", "display(fig)", 1),
    ):
        code = "\n".join(text for kind, text in cells(source) if kind == "code")
        assert code.count(ours) == count
        source = source.replace(ours, theirs)
    lines = [line for kind, text in cells(source) if kind == "code" for line in text.splitlines() if line.strip()]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == LESSON


def test_it_learns_the_small_digits(play):
    parts = [like_mnist(part) for part in load_digits()]
    assert parts[0][0].shape == (1438, 28, 28) and parts[0][0].max() == 240
    names, printed = play(parts, 40)
    check(names, printed, 40)
    assert names["scores"][1] >= 0.90


@pytest.mark.mnist
def test_it_learns_mnist_as_the_notebook_shows(play):
    names, printed = play(load_mnist(), 5)
    check(names, printed, 5)
    assert names["scores"][1] >= 0.94
    saved = "".join(line for cell in json.loads(BOOK.read_text())["cells"] for line in texts(cell))
    for (_, now), (_, then) in zip(EPOCH.findall(printed), EPOCH.findall(saved), strict=False):
        np.testing.assert_allclose(*([float(v) for v in VALUE.findall(line)] for line in (now, then)), atol=0.05)


def texts(cell):
    return [line for output in cell.get("outputs", ()) for line in output.get("text", ())]


def test_the_notebook_is_made_of_the_script_and_ran_to_the_end():
    book = json.loads(BOOK.read_text())
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in book["cells"]] == cells(SCRIPT.read_text())
    printed = "".join(line for cell in book["cells"] for line in texts(cell))
    assert len(EPOCH.findall(printed)) == 40
    assert float(re.search(r"^categorical_accuracy: (\S+)", printed, re.MULTILINE)[1]) >= 0.95


def test_a_script_becomes_a_notebook():
    script = (
        "import os\n\n# %% [markdown]\n# # Two\n#\n# cells\n\n# %%\nimport matplotlib.pyplot as plt\nx = 2\n"
        "print(x)\nprint()\n\n# %%\nplt.plot([x])\nplt.show()\n"
    )
    text, first, second = notebook(script)["cells"]
    assert (text["cell_type"], "".join(text["source"])) == ("markdown", "# Two\n\ncells")
    assert "outputs" not in text
    assert first["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["2\n", "\n"]}]
    assert [output["output_type"] for output in second["outputs"]] == ["display_data"]
    assert [first["execution_count"], second["execution_count"]] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        notebook("# %%\n1 / 0\n")
