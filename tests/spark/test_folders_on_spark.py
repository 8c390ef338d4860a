"""From a folder of PNG files to a stage that is saved, by the lines of docs/how-to/images-on-spark.md."""

import numpy as np
import pytest
from PIL import Image

from firesteel.spark import NeuralNetworkClassifierModel
from tests.spark.documents import ROOT, blocks

BROKEN = 20
"""Files, one of each of the first classes."""


def draw(folder):
    """Draw 2,000 files of 100 classes: where a bright square lies.  Every third is in colours, some are broken."""
    rng = np.random.default_rng(0)
    for number in range(2_000):
        row, column = divmod(number % 100, 10)
        picture = rng.integers(0, 60, (24, 24), dtype=np.uint8)
        picture[2 * row + 1 : 2 * row + 5, 2 * column + 1 : 2 * column + 5] += 180
        if number % 3 == 0:
            picture = np.stack([picture, picture // 2, picture // 3], axis=2)
        path = folder / f"at {row}, {column}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        if number < BROKEN:
            path.write_bytes(path.read_bytes()[: 8 * number])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_folder_of_2000_files_becomes_a_stage_by_the_lines_of_the_page(spark, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    _, (convert, _), (train, _), *_ = blocks((ROOT / "docs/how-to/images-on-spark.md").read_text())
    names = {"here": tmp_path}
    exec(convert.replace("8x8", "24x24"), names)
    assert capsys.readouterr().out.strip() == (
        "pictures.parquet  1,980 pictures of 100 classes, [24, 24, 3], 20 files left out"
    )
    exec(train.replace("[8, 8, 1]", "[24, 24, 3]"), names)
    frame = spark.read.parquet(str(tmp_path / "pictures.parquet"))
    stage = NeuralNetworkClassifierModel.load(str(tmp_path / "digits"))
    assert stage.getHiddenLayers() == [128] and frame.count() == 2_000 - BROKEN
    scored = stage.transform(frame)
    assert scored.filter("predictedLabel = label").count() > 0.95 * frame.count()
