"""firesteel imported from a zip, as by PYTHONPATH and --py-files, does all that it does installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from firesteel.spark.parcel import archive

FIT = """
import sys
import firesteel
from firesteel.datasets import sets
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.report import RunFolder

def fitted(x, y=None, **settings):
    model = Sequential([Dense(5, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x, y, epochs=2, shards=2, batch_size=16, verbose=0, seed=1, **settings)
    return model

if __name__ == "__main__":
    assert ".zip" in firesteel.__file__, firesteel.__file__
    (x, y), _ = sets.load_digits()
    x, y = x[:200].reshape(200, -1).astype("float32"), y[:200].astype("int64")
    local = fitted(x, y, callbacks=[RunFolder("run")])
"""
SPARK = (
    FIT
    + """
    from multiprocessing import get_context
    from firesteel.spark import NeuralNetworkClassifier, session

    spark = session()
    frame = spark.createDataFrame(list(zip(x.tolist(), y.tolist())), "features array<float>, label long")
    on_spark = fitted(frame)
    assert on_spark.fingerprint() == local.fingerprint()
    assert on_spark.predict(frame).count() == len(x)
    scored = NeuralNetworkClassifier(maxIter=1, hiddenLayers=[4], members=1).fit(frame).transform(frame)
    assert scored.select("prediction").distinct().count() > 0
    path = next(path for path in sys.path if "firesteel-" in path and path.endswith(".zip"))
    sys.path.remove(path)
    sys.path.insert(0, path)  # as in a process whose own firesteel comes after what addPyFile has brought
    import child
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(child.everything).startswith(path)
    print("done")
"""
)
CHILD = """
def everything():
    import firesteel.cli, firesteel.datasets, firesteel.report, firesteel.spark
    from firesteel.report import page
    firesteel.datasets.load_digits()
    page._template()
    return firesteel.report.__file__
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a zip of the package, and the programs that use it."""
    shutil.copy(archive(), tmp_path / "firesteel.zip")
    for name, text in {"fit.py": FIT, "on_spark.py": SPARK, "child.py": CHILD}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_zip_fits_and_reports_in_process(folder):
    environment = os.environ | {"PYTHONPATH": "firesteel.zip"}
    subprocess.run([sys.executable, "fit.py"], cwd=folder, env=environment, check=True)
    command = [sys.executable, "-m", "firesteel", "report", "run"]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    assert "accuracy" in (folder / "run" / "report.html").read_text()


@pytest.mark.slow
def test_a_zip_fits_and_scores_on_spark(folder):
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    command = [submit, "--master", "local[2]", "--py-files", "firesteel.zip", "on_spark.py"]
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.stdout.endswith("done\n"), done.stdout + done.stderr[-3000:]


def test_a_zip_gives_the_same_archive(folder):
    program = "from firesteel.spark.parcel import archive; print(archive())"
    environment = os.environ | {"PYTHONPATH": "firesteel.zip"}
    path = subprocess.check_output([sys.executable, "-c", program], cwd=folder, env=environment, text=True)
    assert path.strip().rpartition("/")[2] == archive().rpartition("/")[2]
