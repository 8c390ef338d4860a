"""The notebooks of the examples run from start to end, give the outputs that they show, and name no machine."""

import base64
import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(path for path in EXAMPLES.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
PIPELINE = EXAMPLES / "spark_pipeline" / "spark_pipeline.ipynb"
LESSON = EXAMPLES / "hands_on_mnist_mlp" / "hands_on_mnist_mlp.ipynb"
NETWORK = EXAMPLES / "pyspark_neural_network" / "neural_network.ipynb"
NUMBER = re.compile(r"\d+(?:\.\d+)?")
PLACE = re.compile(r"(?<![\w.)])(?:file:/*)?/(?:work|tmp|root|home|Users|var|usr|opt|mnt|private)\b|[A-Z]:\\\\")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
self_contained = [path for path in NOTEBOOKS if path not in (LESSON, NETWORK)]
"""Those that need no MNIST; the others are in test_lesson.py and test_pyspark_neural_network.py."""

Played = tuple[dict[str, Any], list[str]]


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def saved_text(cell: dict[str, Any]) -> str:
    return "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")


def pictures(cell: dict[str, Any]) -> list[bytes]:
    found = (output.get("data", {}).get("image/png") for output in cell["outputs"])
    return [base64.b64decode("".join(data)) for data in found if data]


@pytest.fixture(scope="module")
def play(spark, tmp_path_factory) -> Iterator[Callable[[Path], Played]]:
    """Runs a notebook, once, next to the tests' own session; gives its names and what each code cell printed."""
    done: dict[Path, Played] = {}

    def run(path: Path) -> Played:
        if path not in done:
            folder = tmp_path_factory.mktemp(path.stem)
            names: dict[str, Any] = {"__name__": path.stem}
            printed = []
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.setenv("MPLBACKEND", "Agg")
                patch.setattr(plt, "show", lambda *args, **kwargs: None)
                for number, cell in enumerate(cells(path), 1):
                    with contextlib.redirect_stdout(io.StringIO()) as output:
                        exec(compile(source(cell), f"{path.name}, code cell {number}", "exec"), names)
                    printed.append(output.getvalue())
            assert not list(folder.iterdir()), "it writes next to itself"
            done[path] = names, printed
        return done[path]

    before = matplotlib.get_backend()
    plt.switch_backend("Agg")
    yield run
    plt.close("all")
    plt.switch_backend(before)


def close(found: str, saved: str) -> bool:
    """Whether two numbers may stand for one: the last bits of a network differ from one type of CPU to the next."""
    loose = 0.05 if "." in saved else max(3.0, 0.1 * float(saved))
    return abs(float(found) - float(saved)) <= loose


def test_there_are_examples():
    assert {PIPELINE, LESSON, NETWORK} <= set(NOTEBOOKS)


# What is saved


@each_notebook
def test_it_was_saved_after_running_from_top_to_bottom(path):
    assert json.loads(path.read_text())["nbformat"] == 4
    assert [cell["execution_count"] for cell in cells(path)] == list(range(1, len(cells(path)) + 1))
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert {output["name"] for output in outputs if output["output_type"] == "stream"} == {"stdout"}


@each_notebook
def test_it_names_no_place_on_the_machine_it_ran_on(path):
    book = json.loads(path.read_text())
    for cell in book["cells"]:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("image/png", None)  # base64 may spell anything
    assert not PLACE.findall(json.dumps(book))


@pytest.mark.parametrize("place", ["/mnt/jobs", "at /tmp/x", '"/root/.cache', "file:///home/me", "C:\\\\Users"])
def test_a_place_would_be_found(place):
    assert PLACE.search(place)


@each_notebook
def test_its_pictures_show_something(path):
    assert any(pictures(cell) for cell in cells(path))
    for cell in cells(path):
        assert len(pictures(cell)) == source(cell).count("plt.show()")
        for data in pictures(cell):
            picture = plt.imread(io.BytesIO(data), format="png")
            assert min(picture.shape[:2]) >= 200
            assert len(np.unique(picture[..., :3].round(1).reshape(-1, 3), axis=0)) > 5


@each_notebook
def test_it_uses_plain_python(path):
    assert cells(path, "markdown")
    for cell in cells(path):
        assert not re.search(r"^\s*[%!]", source(cell), re.MULTILINE)


# What running comes to


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", self_contained, ids=lambda path: path.stem)
def test_it_runs_and_prints_what_is_saved(play, path):
    _, printed = play(path)
    for cell, found in zip(cells(path), printed, strict=True):
        saved = saved_text(cell)
        shapes = [re.sub(r"[\s#+-]+", " ", NUMBER.sub("#", text)).strip() for text in (found, saved)]
        assert shapes[0] == shapes[1]
        numbers = [NUMBER.findall(text) for text in (found, saved)]
        far = [pair for pair in zip(*numbers, strict=True) if not close(*pair)]
        assert not far, f"(now, saved): {far}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_pipeline_learns_what_a_straight_line_cannot(play):
    names, _ = play(PIPELINE)
    network, straight = names["network_figures"], names["straight_figures"]
    assert network["AUC"] > 0.8 and network["accuracy"] > 0.72 and network["leavers found"] > 0.6
    assert network["AUC"] > straight["AUC"] + 0.1 and network["accuracy"] > straight["accuracy"] + 0.1
    linear, *deeper = names["found"].avgMetrics
    assert min(deeper) > linear + 0.08


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_pipeline_stopped_where_the_rows_held_out_said(play):
    history = play(PIPELINE)[0]["history"]
    losses = history.history["val_loss"]
    assert history.best == int(np.argmin(losses)) > 0
    assert len(losses) == history.best + 1 + 5 < 40
    assert losses[history.best] < 0.8 * losses[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_stream_is_scored_like_a_table(play):
    names, _ = play(PIPELINE)
    stream, batch = names["in_stream"], names["in_batch"]
    assert sorted(stream) == sorted(batch) == list(range(3001, 3201))
    assert stream == batch
    assert {expected for _, expected in stream.values()} == {"leaves", "stays"}
    assert all((probability[1] > 0.5) == (expected == "leaves") for probability, expected in stream.values())
    assert len({probability[1] for probability, _ in stream.values()}) > 150


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_loaded_network_alone_is_the_fitted_one(play):
    names, _ = play(PIPELINE)
    fitted = names["model"].stages[-1].network.fingerprint()
    assert names["loaded"].stages[-1].network.fingerprint() == names["network"].fingerprint() == fitted
    assert len(names["alone"]) == names["scored"].count() > 500
    np.testing.assert_allclose(names["alone"], names["on_spark"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_pipeline_leaves_nothing_behind(play, spark):
    names, _ = play(PIPELINE)
    assert not names["folder"].exists()
    assert not spark.streams.active
    assert "scores" not in [table.name for table in spark.catalog.listTables()]
    assert names["spark"] is spark and spark.range(3).count() == 3
