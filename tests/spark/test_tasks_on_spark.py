"""What is there besides classification, on Spark: the examples' pipelines and frames."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.support.scripts import example

HEADER = '"carat","cut","color","clarity","depth","table","price","x","y","z"\n'
WORDS = {
    "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
    "color": list("JIHGFED"),
    "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
}


def table(path: Path, rows: int = 1_500) -> Path:
    """Write a made-up table like that of the diamonds, whose prices are products and not sums."""
    rng = np.random.default_rng(0)
    carat = rng.uniform(0.2, 2.5, rows).round(2)
    grades = {name: rng.integers(0, len(words), rows) for name, words in WORDS.items()}
    grades["clarity"][:8], grades["color"][:7], grades["cut"][:5] = range(8), range(7), range(5)
    better = np.exp(0.05 * grades["cut"] + 0.08 * grades["color"] + 0.12 * grades["clarity"])
    price = (1_500 * carat**1.8 * better * np.exp(rng.normal(0, 0.05, rows))).round()
    lines = []
    for at in range(rows):
        side = 6.5 * carat[at] ** (1 / 3)
        said = [f'"{WORDS[name][grades[name][at]]}"' for name in WORDS]
        sizes = [f"{size:.2f}" for size in (side, side * 1.01, side * 0.62)]
        numbers = [f"{rng.normal(61.7, 1.4):.1f}", f"{rng.normal(57.5, 2.2):.0f}", f"{price[at]:.0f}"]
        lines.append(",".join([f"{carat[at]}", *said, *numbers, *sizes]))
    path.write_text(HEADER + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def diamonds():
    return example("diamonds")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return table(tmp_path_factory.mktemp("diamonds") / "diamonds.csv")


# Diamonds


def test_a_pipeline_of_words_and_numbers_beats_a_straight_line(spark, diamonds, path):
    train, test = diamonds.read(spark, path)
    found = diamonds.run(train, test, epochs=30)
    assert found["model"].numFeatures == 6 + 5 + 7 + 8
    assert found["model"].network.count_params() == 26 * 30 + 30 + 30 * 20 + 20 + 20 + 1
    assert found["all"]["network"] < 0.5 * found["all"]["linear"]
    assert found["sound"] == found["all"]


def test_rows_of_no_possible_size_are_distinguished(spark, diamonds, path):
    columns = diamonds.read(spark, path)[0].columns
    sizes = [(4.0, 4.0, 2.5), (0.0, 4.0, 2.5), (4.0, 58.9, 2.5), (4.0, 4.0, 0.0), (20.0, 20.0, 20.0)]
    rows = spark.createDataFrame([(1.0, "Ideal", "E", "IF", 61.0, 57.0, 900.0, *size) for size in sizes], columns)
    assert [tuple(row)[-3:] for row in diamonds.sound(rows).collect()] == [sizes[0], sizes[4]]


def test_which_rows_are_for_the_test_is_theirs_alone(spark, diamonds, path, tmp_path):
    header, *lines = path.read_text().splitlines(keepends=True)
    (tmp_path / "turned.csv").write_text(header + "".join(reversed(lines)))
    sides = [
        [sorted(map(tuple, side.collect())) for side in diamonds.read(spark, file)]
        for file in (path, tmp_path / "turned.csv")
    ]
    assert sides[0] == sides[1]
    train, test = sides[0]
    assert len(train) + len(test) == 1_500 and 200 < len(test) < 400
    assert not set(train) & set(test)


def test_the_table_is_taken_out_of_a_wheel_or_an_installed_plotnine(diamonds, path, tmp_path, monkeypatch):
    wheel = tmp_path / "plotnine-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.write(path, diamonds.INSIDE)
    assert diamonds.from_plotnine(str(wheel), str(tmp_path / "out")).read_text() == path.read_text()

    installed = tmp_path / "site" / diamonds.INSIDE
    installed.parent.mkdir(parents=True)
    (installed.parents[1] / "__init__.py").write_text("raise ImportError('looked for, never imported')")
    installed.write_text(path.read_text())
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert diamonds.from_plotnine("", str(tmp_path)) == installed


@pytest.mark.parametrize("arguments", [["none.csv"], ["--from-plotnine", "none.whl"], []])
def test_a_table_that_is_not_there_is_reported_in_a_line(diamonds, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        diamonds.main(arguments)
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in last and (arguments[-1] if arguments else "--from-plotnine") in last


@pytest.mark.diamonds
@pytest.mark.timeout(900)
def test_the_real_diamonds_reach_the_lesson(spark, diamonds):
    train, test = diamonds.read(spark, Path(os.environ["FIRESTEEL_DATA"]) / "diamonds" / "diamonds.csv")
    assert train.count() + test.count() == 53_940
    found = diamonds.run(train, test, epochs=100)
    assert max(found["all"]["network"], found["sound"]["network"]) < 560
    assert found["sound"]["linear"] > 1_000


# Several labels


def test_several_labels_in_an_array_column_train_to_the_bits_of_the_arrays(spark):
    labels = example("multi_label")
    x, y = (part[:1_000] for part in labels.rows())
    frame = labels.frame_of(spark, x, y)
    there = labels.on_spark(frame)
    assert there.fingerprint() == labels.on_arrays(x, y).fingerprint()
    assert there.fingerprint() != labels.on_arrays(x, y[:, ::-1]).fingerprint()
    scored = there.predict(frame).select("features", "prediction").limit(50).collect()
    predicted = np.array([row.prediction for row in scored])
    assert predicted.shape == (50, 5) and (0 < predicted).all() and (predicted < 1).all()
    np.testing.assert_allclose(predicted, there.predict(np.array([row.features for row in scored])), atol=1e-6)
