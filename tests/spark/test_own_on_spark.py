"""Classes of users' own on executors: they travel by value, and give the bits that they give in process."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import firesteel
from firesteel.core.network import Network
from firesteel.errors import ConfigError, SparkJobError, StoreError
from firesteel.extending import FAMILIES
from firesteel.spark import NeuralNetworkRegressor, NeuralNetworkRegressorModel, parcel
from tests.spark.clusters import bare_python, standalone
from tests.spark.conftest import JAVA_TOOL_OPTIONS, LAYERED, executors
from tests.support import own

ROOT = Path(__file__).parents[2]

HIDDEN = "own_layers"
"""A module that this process alone has: a copy of `tests.support.own`."""


@pytest.fixture(scope="module")
def there(spark, tmp_path_factory):
    """The module, where no executor finds it, but one of the same name that raises."""
    folder = tmp_path_factory.mktemp("hidden")
    shutil.copy(own.__file__, folder / f"{HIDDEN}.py")
    decoy = tmp_path_factory.mktemp("decoy") / f"{HIDDEN}.py"
    decoy.write_text('raise RuntimeError("the module of an executor is not the one that was meant")\n')
    sys.path.insert(0, str(folder))
    try:
        found = importlib.import_module(HIDDEN)
        spark.addArtifacts(str(decoy), pyfile=True)
        yield found
    finally:
        sys.path.remove(str(folder))
        del sys.modules[HIDDEN]


@pytest.fixture(autouse=True)
def registries(there):
    before = {name: family.types for name, family in FAMILIES.items()}
    for kind in there.ALL:
        firesteel.register(kind)
    yield
    for name, types in before.items():
        FAMILIES[name].types = types


@pytest.fixture(scope="module")
def frame(spark, there):
    rows = [(x, y) for x, (y,) in zip(there.X.tolist(), there.Y.tolist(), strict=True)]
    return spark.createDataFrame(rows, "features array<float>, label double")


def test_executors_that_lack_a_class_and_have_another_of_its_name_train_to_the_same_bits(there, frame):
    alone = there.model()
    alone.fit(there.X, there.Y, epochs=2, shards=2, verbose=0)
    for partitions in (1, 5):
        model = there.model()
        with executors():
            model.fit(frame.repartition(partitions), epochs=2, shards=2, verbose=0)
            assert model.fingerprint() == alone.fingerprint()
            scored = model.predict(frame).toPandas()
            means = model.evaluate(frame, verbose=0)
        np.testing.assert_allclose(np.stack(scored.prediction), alone.predict(there.X), rtol=1e-5, atol=1e-6)
        assert means == pytest.approx(alone.evaluate(there.X, there.Y, verbose=0), rel=1e-6)


def stage(there, **params):
    layers = [there.Scale(3.0), there.Dense(4, "tanh", kernel_initializer=there.Halves(0.25)), there.Dense(1)]
    given = {"layers": layers, "loss": "FourthPower", "maxIter": 2, "batchSize": 32, "solver": "adam", "members": 1}
    return NeuralNetworkRegressor(**LAYERED | given | {"validationFraction": 0.0, "standardization": False} | params)


def test_a_stage_of_own_layers_fits_scores_and_is_saved_and_loaded(there, frame, tmp_path):
    with executors():
        model = stage(there).fit(frame)
    place = str(tmp_path / "stage")
    model.save(place)
    again = NeuralNetworkRegressorModel.load(place)
    assert again.network.fingerprint() == model.network.fingerprint()
    scored = again.transform(frame).select("prediction").toPandas().prediction
    np.testing.assert_allclose(scored, model.network.predict(there.X)[:, 0], rtol=1e-5, atol=1e-6)
    FAMILIES["Layer"].types = {name: one for name, one in FAMILIES["Layer"].types.items() if name != "Scale"}
    with pytest.raises(StoreError, match=r"needs the class Scale.*firesteel\.register\(Scale\)") as caught:
        NeuralNetworkRegressorModel.load(place)
    assert caught.value.code == "store-class"


def test_an_average_of_members_with_own_layers_scores_on_executors(there, frame):
    with executors():
        model = stage(there, members=2, maxIter=1, validationFraction=None).fit(frame)
    scored = model.transform(frame).select("prediction").toPandas().prediction
    np.testing.assert_allclose(scored, model.network.predict(there.X)[:, 0], rtol=1e-5, atol=1e-6)
    assert len(model.network.members) == 2


def test_a_stage_refuses_at_fit_what_is_not_registered(there, frame, monkeypatch):
    monkeypatch.setattr(FAMILIES["Layer"], "types", {})
    with pytest.raises(ConfigError, match=r"firesteel\.register\(Scale\)"):
        stage(there).fit(frame)


def test_a_class_that_cannot_be_sent_is_named(there, frame, monkeypatch):
    monkeypatch.setattr(there, "HALF", frame)
    with executors(), pytest.raises(ConfigError, match="Scale.* cannot be sent to executors") as caught:
        there.model().fit(frame, verbose=0)
    assert caught.value.code == "config-class"
    assert not parcel.BY_VALUE()


def test_what_a_class_needs_of_another_package_is_named_where_executors_lack_it(there, frame, monkeypatch, tmp_path):
    (tmp_path / "elsewhere_alone.py").write_text("def double(x):\n    return x + x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(there, "halved", importlib.import_module("elsewhere_alone").double)
    with (
        executors(),
        pytest.raises(SparkJobError, match="have no module 'elsewhere_alone', which a class of your own uses"),
    ):
        there.model().fit(frame, verbose=0)


PACKAGE = {
    "__init__": "",
    "helpers": """
import logging
import circles.layers

LOG = logging.getLogger(__name__)


def doubled(x):
    return 2 * x
""",
    "layers": """
import circles.helpers
from circles import helpers
from firesteel.layers import Layer


class Base(Layer):
    def apply(self, p, x, rng=None):
        return helpers.doubled(x), lambda d_y, g, wants_x: circles.helpers.doubled(d_y)


class Twice(Base):
    def output_shape(self, *inputs):
        return super().output_shape(*inputs)
""",
}


def test_a_class_travels_with_what_it_uses_of_its_package(tmp_path, monkeypatch):
    """And is there in a process that has no such package."""
    (tmp_path / "circles").mkdir()
    for name, text in PACKAGE.items():
        (tmp_path / "circles" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    network = Network.chain((importlib.import_module("circles.layers").Twice(),), 3)
    kinds = parcel.classes_of(network)
    (tmp_path / "bytes").write_bytes(parcel.pickled(network, kinds))
    program = "import pickle, sys; network = pickle.load(open(sys.argv[1], 'rb')); "
    program += "print(network.fingerprint(network.init(0)), network.output([{}], 1.5))"
    command = [sys.executable, "-c", program, str(tmp_path / "bytes")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{network.fingerprint(network.init(0))} 3.0\n"


def ran(environment, *arguments):
    """What the script with a class of its own prints of a session."""
    begin = "import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv = sys.argv[2:]; "
    program = begin + "runpy.run_path(sys.argv[0], run_name='__main__')"
    script = ROOT / "tests" / "spark" / "owner.py"
    command = [sys.executable, "-W", "error::UserWarning", "-c", program, ROOT, script, *arguments]
    done = subprocess.run(
        [*map(str, command)], env=os.environ | environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def agreed(found):
    assert found["there"] == found["here"] and found["scored"] < 1e-6 and found["outputs"] < 1e-5


def test_a_class_of_a_script_is_there_on_connect_and_its_stage_is_loaded_where_it_is_registered(tmp_path):
    environment = {"PYSPARK_PYTHON": sys.executable, "JAVA_TOOL_OPTIONS": JAVA_TOOL_OPTIONS}
    found = ran(environment, "local[2]", "connect", tmp_path / "stage")
    agreed(found)
    with pytest.raises(StoreError, match="needs the class Gain"):
        NeuralNetworkRegressorModel.load(str(tmp_path / "stage"))
    firesteel.register(importlib.import_module("tests.spark.owner").Gain)
    assert NeuralNetworkRegressorModel.load(str(tmp_path / "stage")).network.fingerprint() == found["stage"]


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_executors_of_a_cluster_that_have_a_bare_python_train_and_score_it(tmp_path):
    environment = {"PYSPARK_PYTHON": str(bare_python(tmp_path / "bare")), "PYTHONPATH": ""}
    with standalone(tmp_path) as master:
        agreed(ran(environment, master, "classic", tmp_path / "stage"))
