"""Classes of users' own: registered by name, named in files, and refused where a name would lead nowhere."""

import subprocess
import sys
import textwrap
import warnings
from dataclasses import fields

import numpy as np
import pytest

import firesteel
from firesteel.core import layers, losses, metrics
from firesteel.core.layers.activation import Relu
from firesteel.core.layers.dense import Linear
from firesteel.errors import ConfigError, StoreError
from firesteel.extending import FAMILIES, OURS, read_weights
from firesteel.fast import compiling
from firesteel.initializers import Initializer
from firesteel.layers import Dense, Layer
from firesteel.losses import Loss, MeanSquaredError, Standardized
from firesteel.metrics import RowMetric
from firesteel.models import Sequential, clone_model, load_model, model_from_json
from firesteel.optimizers import Adam
from firesteel.report import RunFolder
from tests.support import own


@pytest.fixture(autouse=True)
def registries():
    """What a test registers is forgotten after it."""
    before = {name: family.types for name, family in FAMILIES.items()}
    yield
    for name, types in before.items():
        FAMILIES[name].types = types


@pytest.fixture
def registered():
    for kind in own.ALL:
        assert firesteel.register(kind) is kind


def refused(make, *words, kind=ConfigError, code="config-class"):
    with pytest.raises(kind) as caught:
        make()
    assert caught.value.code == code and all(word in str(caught.value) for word in words), caught.value


def printed(*command):
    """What another Python prints."""
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=True).stdout


# Registering


@pytest.mark.parametrize("kind", own.ALL, ids=lambda kind: kind.__name__)
def test_a_registered_class_is_found_by_its_name_in_every_spelling_and_by_its_config(kind):
    family = next(family for family in FAMILIES.values() if issubclass(kind, family.base))
    spec = kind()
    refused(lambda: family(kind.__name__), kind.__name__, code="config-unknown")
    refused(lambda: family(spec.to_config()), f"firesteel.register({kind.__name__})", code="config-unknown")
    for one in (own.Halves, kind):  # a Scale has one inside
        firesteel.register(one)
    assert family(kind.__name__) == family(kind.__name__.lower()) == family(spec.to_config()) == family(kind) == spec


def test_the_same_class_again_takes_the_place_of_the_one_before():
    firesteel.register(own.FourthPower)
    again = type("FourthPower", (Loss,), {"rows": MeanSquaredError.rows, "__module__": own.__name__})
    firesteel.register(again)
    assert type(losses.get("fourth_power")) is again


def test_a_model_of_the_class_before_goes_on_when_a_cell_of_a_notebook_is_run_again(tmp_path):
    cell = """
    class Tripled(Layer):
        def apply(self, p, x, rng=None):
            return 3 * x, lambda d_y, g, wants_x: 3 * d_y
    """
    names = {"Layer": Layer, "__name__": "__main__"}
    exec(textwrap.dedent(cell), names)
    model = Sequential([firesteel.register(names["Tripled"])(), Dense(1)])
    exec(textwrap.dedent(cell), names)
    firesteel.register(names["Tripled"])
    model.compile("sgd", "mse")
    model.fit(own.X, own.Y, verbose=0, checkpoint=tmp_path / "c")
    assert Sequential.from_bytes(model.to_bytes()).fingerprint() == model.fingerprint()


def test_a_name_that_is_taken_is_refused():
    methods = {"apply": own.Scale.apply, "rows": MeanSquaredError.rows, "draw": own.Halves.draw}
    for name, base in [("Dense", Layer), ("MSE", Loss), ("hE_NorMal", Initializer)]:
        kind = type(name, (base,), methods)
        refused(lambda kind=kind: firesteel.register(kind), name, "already has this name")
    firesteel.register(own.Scale)
    other = type("SCALE", (Layer,), {"apply": own.Scale.apply})
    refused(lambda: firesteel.register(other), "SCALE", "tests.support.own.Scale")
    firesteel.register(type("Dense", (Loss,), {"rows": MeanSquaredError.rows}))  # a family of its own
    assert type(layers.get("Dense")) is Dense


@pytest.mark.parametrize("given", [own.Scale(), "Scale", None, lambda y, p: 0, int, firesteel.errors.ConfigError])
def test_what_is_no_class_of_a_family_is_refused(given):
    refused(lambda: firesteel.register(given), "cannot be registered: it must be a subclass of Layer, Loss")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_class_without_its_method_is_refused(family):
    before = family.types
    refused(lambda: firesteel.register(type("Empty", (family.base,), {})), "Empty has no method")
    assert family.types is before


def test_a_metric_of_rows_needs_its_rows():
    refused(lambda: firesteel.register(type("Empty", (RowMetric,), {})), "Empty has no method rows")


def test_a_class_in_kerass_form_is_answered_with_how_it_is_written_here():
    def keras():
        class Scale(Layer):
            def __init__(self, factor):
                self.factor = factor

    refused(keras, "Scale defines __init__: declare its arguments as fields")


@pytest.mark.filterwarnings("ignore:Held is not registered")
@pytest.mark.parametrize("value, word", [(np.ones(3), "ndarray"), ((1.0, 2.0), "comes back as"), (len, "builtin")])
def test_fields_that_no_file_can_hold_are_warned_of_and_refused_where_a_file_is_written(value, word, tmp_path):
    def apply(self, p, x, rng=None):
        return x, lambda d_y, g, wants_x: d_y

    held = type("Held", (Layer,), {"apply": apply, "__annotations__": {"by": object}, "by": None})
    model = Sequential([Dense(2), held(value), Dense(1)])
    with pytest.warns(UserWarning, match=rf"Held cannot be saved to a file: .*{word}.* numbers\(\.\.\.\)"):
        model.compile("adam", "mse")
    model.fit(own.X, own.Y, verbose=0)
    refused(lambda: model.save(tmp_path / "m"), "Held cannot be saved to a file")
    firesteel.register(held)
    refused(lambda: model.fit(own.X, own.Y, verbose=0, checkpoint=tmp_path / "c"), "Held cannot be saved to a file")


@pytest.mark.parametrize("kind", own.ALL, ids=lambda kind: kind.__name__)
def test_a_class_has_no_fields_but_its_arguments(kind):
    """So that `replace` works on executors of Spark 3.5, where what marks other fields is not what it was here."""
    assert kind.__dataclass_fields__.keys() == {one.name for one in fields(kind)} == kind.arguments.keys()


def test_the_registries_of_firesteel_are_as_they_were(registered):
    assert len(layers.LAYERS) == len(OURS["Layer"]) and not set(metrics.METRICS) & {kind.__name__ for kind in own.ALL}


def test_register_is_imported_when_it_is_asked_for():
    code = "import sys, firesteel; assert 'firesteel.extending' not in sys.modules; print(firesteel.register)"
    assert "register" in printed("-c", code)
    assert "register" in dir(firesteel)
    with pytest.raises(AttributeError, match="no attribute 'registr'"):
        firesteel.registr  # noqa: B018


def test_public_modules_can_be_imported_after_a_class_was_registered():
    names = ["layers", "losses", "metrics", "initializers", "regularizers", "constraints", "optimizers", "callbacks"]
    later = "; ".join(f"import firesteel.{name}" for name in names)
    code = "import sys, firesteel; from tests.support import own; [firesteel.register(kind) for kind in own.ALL]; "
    code += f"[sys.modules.pop('firesteel.' + name, None) for name in {names}]; {later}"
    assert printed("-c", code + "; print(own.Scale())") == "Scale()\n"


# Training and files


def test_a_model_of_own_classes_trains_is_saved_and_goes_on_to_the_bit(registered, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = own.model()
    model.fit(own.X, own.Y, epochs=2, verbose=0, shards=2)
    model.save(tmp_path / "m.firesteel")
    again = load_model(tmp_path / "m.firesteel")
    assert again.fingerprint() == model.fingerprint() and again.layers == model.layers
    assert again.get_compile_config() == model.get_compile_config()
    for one in (model, again):
        one.fit(own.X, own.Y, epochs=2, verbose=0)
    assert again.fingerprint() == model.fingerprint()
    assert again.evaluate(own.X, own.Y, verbose=0) == model.evaluate(own.X, own.Y, verbose=0)
    assert list(read_weights(tmp_path / "m.firesteel")) == ["0.s", "1.b", "1.w", "3.s", "4.b", "4.w"]


def test_what_is_registered_by_name_can_be_compiled_by_name(registered):
    model = Sequential([Dense(2, kernel_initializer="halves", kernel_regularizer="Quartic"), Dense(1)])
    model.compile("signs", "FourthPower", ["within"])
    model.fit(own.X, own.Y, verbose=0)
    assert model.metrics_names == ["loss", "within"]


def test_compile_warns_of_what_is_not_registered_and_load_model_takes_it(tmp_path):
    names = "Scale, Halves, Signs, Halving, FourthPower, Within"
    with pytest.warns(UserWarning, match=f"^{names} are not registered") as caught:
        model = own.model()
    assert [one.filename for one in caught] == [own.__file__]
    model.fit(own.X, own.Y, verbose=0)
    model.save(tmp_path / "m")
    unknown = {"kind": StoreError, "code": "store-class"}
    ways = "needs the class Scale", "firesteel.register(Scale)", "read_weights"
    ways = *ways, "custom=[FourthPower, Halves, Halving, Scale, Signs, Within])"
    refused(lambda: load_model(tmp_path / "m"), *ways, **unknown)
    again = load_model(tmp_path / "m", custom=own.ALL)
    assert again.fingerprint() == model.fingerprint()
    refused(lambda: load_model(tmp_path / "m"), "Scale", **unknown)
    refused(lambda: load_model(tmp_path / "m", custom=[own.Scale, own.Halves]), "needs the class", **unknown)
    others = [kind for kind in own.ALL if kind is not own.Within]
    refused(lambda: load_model(tmp_path / "m", custom=others), "needs the class Within", **unknown)
    refused(lambda: load_model(tmp_path / "m", custom=[3]), "cannot be registered")
    refused(lambda: load_model(tmp_path / "m", custom=own.Scale), "give a list", code="config-custom")
    arrays = read_weights(tmp_path / "m")
    assert sorted(array.tobytes() for array in arrays.values()) == sorted(
        one.tobytes() for one in model.get_weights()
    )
    assert all(array.flags.writeable for array in arrays.values())
    with pytest.raises(StoreError):
        read_weights(own.__file__)


@pytest.mark.filterwarnings("ignore:.* not registered")
def test_a_model_is_cloned_and_described_with_classes_that_are_not_registered():
    model = own.model()
    model.build((None, 3))
    refused(lambda: model_from_json(model.to_json()), "firesteel.register(Scale)", code="config-unknown")
    named = {kind.__name__: kind for kind in own.ALL}
    for again in (clone_model(model), model_from_json(model.to_json(), named)):
        assert again.layers == model.layers


def test_a_class_of_the_load_goes_before_a_registered_one(tmp_path, registered):
    model = own.model()
    model.build((None, 3))
    model.save(tmp_path / "m")
    methods = {"rows": lambda self, p, y: p[:, 0], "distance": 0.5, "__annotations__": {"distance": float}}
    other = type("Within", (RowMetric,), methods)
    load_model(tmp_path / "m", custom=[other])
    assert type(metrics.get("within")) is own.Within


@pytest.mark.filterwarnings("ignore:.* not registered")
@pytest.mark.parametrize("how", ["checkpoint", "folder"])
def test_what_could_not_be_read_again_is_refused_before_training(how, tmp_path):
    model = own.model()
    more = {"checkpoint": tmp_path / "c"} if how == "checkpoint" else {"callbacks": [RunFolder(tmp_path / "run")]}
    refused(lambda: model.fit(own.X, own.Y, verbose=0, **more), "Scale, Halves", "firesteel.register(Scale)")
    assert not (model.history and model.history.rows) and not list(tmp_path.iterdir())
    for kind in own.ALL:
        firesteel.register(kind)
    model.fit(own.X, own.Y, verbose=0, **more)


SCRIPT = """
import sys
import numpy as np
import firesteel
from firesteel.extending import Param
from firesteel.initializers import Ones
from firesteel.layers import Dense, Layer
from firesteel.models import Sequential, load_model, read_weights

class Gain(Layer):
    power: int = 1

    def params(self, *inputs):
        return {"gain": Param(inputs[0], Ones())}

    def apply(self, p, x, rng=None):
        def pull(d_y, g, wants_x):
            np.sum(x * d_y, axis=0, out=g["gain"])
            return d_y * p["gain"] if wants_x else None
        return x * p["gain"], pull

what, path = sys.argv[1:]
if what == "save":
    firesteel.register(Gain)
    model = Sequential([Gain(2), Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(64, 3))
    model.fit(x, x[:, :1], verbose=0)
    model.save(path)
elif what == "registered":
    model = load_model(firesteel.register(Gain) and path)
elif what == "custom":
    model = load_model(path, custom=[Gain])
print(model.fingerprint())
"""


def test_a_class_of_a_script_is_loaded_in_another_process_that_has_it(tmp_path):
    script, path = tmp_path / "script.py", tmp_path / "m.firesteel"
    script.write_text(SCRIPT)
    assert len({printed(script, what, path) for what in ("save", "registered", "custom")}) == 1
    refused(lambda: load_model(path), "m.firesteel needs the class Gain", kind=StoreError, code="store-class")
    shapes = {name: array.shape for name, array in read_weights(path).items()}
    assert shapes == {"0.gain": (3,), "1.w": (3, 1), "1.b": (1,)}


# Compiled code


class Doubled(Relu):
    """2 max(x, 0), as a subclass of a layer that is compiled."""

    def apply(self, p, x, rng=None):
        y, pull = super().apply(p, x)
        return 2 * y, lambda d_y, g, wants_x: pull(2 * d_y, g, wants_x)


class Shifted(Linear):
    """A linear part, and 1."""

    def apply(self, p, x, rng=None):
        y, pull = super().apply(p, x)
        return y + y.dtype.type(1), pull


class DoubledError(MeanSquaredError):
    """Twice the squared error."""

    def rows(self, z, y):
        losses, z, d = super().rows(z, y)
        return 2 * losses, z, 2 * d


class Inside(Standardized):
    """A standardized loss, less 1."""

    def rows(self, z, y):
        losses, z, d = super().rows(z, y)
        return losses - losses.dtype.type(1), z, d


class Slower(Adam, kw_only=True):
    """Half of Adam's step."""

    def step(self, theta, g, s, t):
        before = theta.copy()
        super().step(theta, g, s, t)
        theta += (before - theta) / 2


@pytest.mark.filterwarnings("ignore:.*(not registered|cannot be saved to a file)")
@pytest.mark.parametrize(
    "layer, loss, optimizer",
    [
        (Doubled(), "mse", "adam"),
        (Shifted(128), "mse", "adam"),
        (Dense(128), DoubledError(), "adam"),
        (Dense(128), Inside(), "adam"),
        (Dense(128), "mse", Slower()),
        (own.Scale(), own.FourthPower(), own.Signs()),
    ],
    ids=repr,
)
def test_a_subclass_of_what_is_compiled_is_not_taken_for_it(layer, loss, optimizer, monkeypatch):
    x, y = np.random.default_rng(0).normal(size=(256, 128)), np.random.default_rng(1).normal(size=(256, 2))

    def fitted():
        model = Sequential([Dense(128), layer, Dense(2)])
        model.compile(optimizer, loss)
        history = model.fit(x, y, epochs=2, batch_size=64, verbose=0)
        return model.fingerprint() + str(history.history["loss"])

    compiling.RUNS.clear()
    found = fitted()
    assert compiling.RUNS, "something is compiled here"
    monkeypatch.setattr(compiling, "ON", False)
    assert fitted() == found
