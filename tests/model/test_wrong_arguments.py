"""What is given for an argument and cannot be one is refused in our words: paths, lists, numbers and words."""

import contextlib
import inspect
from decimal import Decimal

import numpy as np
import pytest

from firesteel import callbacks, datasets, optimizers
from firesteel.errors import ConfigError, DataError, FiresteelError
from firesteel.layers import Dense, ReLU
from firesteel.models import Sequential, load_model
from firesteel.utils import to_categorical
from tests.model.test_paths_in_every_form import READERS, WRITERS

X, Y = np.arange(24.0).reshape(12, 2) / 24, np.arange(12) % 2
NO_PATHS = (5, 0, True, None, 1.5, b"there", [], ["there"], {}, np.array(3), "a\0b", "\ud800", object(), 10**400)
WEIRD = (
    *(None, 5, -1, 0.5, float("nan"), float("inf"), 10**400, "x", "", b"x", True, [], [1], {}, {"a": 1}, object()),
    *(int, np.array(3), np.float32(2), np.int64(3), [None], set(), 1j, Decimal(2), iter([1]), np.datetime64("2020")),
)
"""Values that each argument is given in turn: most are wrong for any, and some are right."""


def model(fresh=False):
    made = Sequential([Dense(2, "softmax", input_dim=2)])
    if not fresh:
        made.compile("sgd", "sparse_categorical_crossentropy", ["acc"])
    return made


OURS = [name for name in (*WRITERS, *READERS) if name not in ("load_model(model_uri)", "save_model(path)")]


@pytest.mark.parametrize("name", OURS)
def test_what_is_no_path_is_refused_where_one_is_wanted(name):
    call = WRITERS.get(name) or READERS[name][1]
    for wrong in NO_PATHS:
        if wrong is None and "checkpoint" in name:
            continue  # which means none
        with pytest.raises(ConfigError, match="path"):
            call(wrong)


def test_the_number_of_an_open_file_is_no_path(tmp_path):
    model().save(tmp_path / "m")
    with open(tmp_path / "m", "rb") as file, pytest.raises(ConfigError, match="^path="):
        load_model(file.fileno())


SETTINGS = {
    "fit": lambda name, value: model().fit(**{"x": X, "y": Y, "verbose": 0} | {name: value}),
    "evaluate": lambda name, value: model().evaluate(**{"x": X, "y": Y, "verbose": 0} | {name: value}),
    "predict": lambda name, value: model().predict(**{"x": X} | {name: value}),
    "advise": lambda name, value: model().advise(**{"x": X, "y": Y} | {name: value}),
    "build": lambda name, value: Sequential([Dense(2)]).build(value),
    "add": lambda name, value: model(fresh=True).add(value),
    "compile": lambda name, value: model(fresh=True).compile(**{"loss": "mse"} | {name: value}),
    "from_bytes": lambda name, value: Sequential.from_bytes(value) if name == "data" else None,
    "__init__": lambda name, value: Sequential(**{name: value}),
}


@pytest.mark.parametrize("method", SETTINGS)
def test_any_value_of_any_argument_of_a_model_works_or_is_refused(tmp_path, monkeypatch, capsys, method):
    monkeypatch.chdir(tmp_path)
    asked = [name for name in inspect.signature(getattr(Sequential, method)).parameters if name != "self"]
    assert asked
    for name in asked:
        for value in WEIRD:
            with contextlib.suppress(FiresteelError):
                SETTINGS[method](name, value)


REQUIRED = {"filepath": "m", "backup_dir": "b", "filename": "log", "schedule": lambda epoch: 0.1}


@pytest.mark.parametrize("name", sorted(set(callbacks.__all__) - {"Callback"}))
def test_any_value_of_any_argument_of_a_callback_works_or_is_refused_at_the_start(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    kind = getattr(callbacks, name)
    asked = inspect.signature(kind.__init__).parameters
    begun = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    for argument in [one for one in asked if one != "self"]:
        for value in [one for one in WEIRD if one is not int or name != "LambdaCallback"]:
            given = {key: made for key, made in REQUIRED.items() if key in asked} | {argument: value}
            if "monitor" in asked:
                given = {"monitor": "loss"} | given
            epochs = []
            with contextlib.suppress(FiresteelError):
                model().fit(X, Y, epochs=2, verbose=0, callbacks=[kind(**given), begun])
                continue
            assert not epochs, (argument, value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: callbacks.EarlyStopping(
            "loss", patience=np.int64(3), min_delta=np.float32(0.5), start_from_epoch=np.int8(1)
        ),
        lambda: callbacks.ReduceLROnPlateau(
            "loss", factor=np.float32(0.5), patience=np.int64(1), cooldown=np.int32(0)
        ),
        lambda: callbacks.BoldDriver(up=np.float64(1.1), down=np.float32(0.5)),
    ],
)
def test_numbers_of_numpys_are_numbers_to_a_callback(tmp_path, make):
    model().fit(X, Y, epochs=3, verbose=0, callbacks=[make()], checkpoint=tmp_path / "progress")


@pytest.mark.parametrize("wrong", ["acc", b"acc", {"output": "acc"}, 5, callbacks.EarlyStopping()])
def test_a_list_that_is_none_is_refused_with_one(wrong):
    with pytest.raises(ConfigError, match="give a list, ") as caught:
        model(fresh=True).compile("sgd", "mse", wrong)
    assert caught.value.code == "config-metrics"
    with pytest.raises(ConfigError, match="give a list, ") as caught:
        Sequential(wrong)
    assert caught.value.code == "config-layers"


def test_a_message_is_no_longer_than_can_be_read():
    for wrong in (10**4000, "x" * 10_000, np.ones((600, 600)).tolist()):
        with pytest.raises(ConfigError, match=r"^batch_size=.* \.\.\. .*: it must be an integer") as caught:
            model().fit(X, Y, batch_size=wrong)
        assert len(str(caught.value)) < 3_100


def test_other_wrong_values():
    for call in (
        lambda: optimizers.AdamW(exclude_from_weight_decay={}),
        lambda: ReLU(max_value=10**400),
        lambda: to_categorical([0, 1], "2"),
        lambda: to_categorical([0, 1], 2.5),
        lambda: datasets.read_libsvm("none", "2"),
    ):
        with pytest.raises(ConfigError):
            call()
    with pytest.raises(DataError):
        to_categorical(10**400)


def test_a_class_of_its_own_for_each_row_takes_rows_times_classes():
    assert np.array_equal(to_categorical([40_000_000 // 8]).nonzero()[1], [5_000_000])


def test_a_summary_goes_to_print_where_no_function_is_given(capsys):
    model().summary(print_fn=None)
    assert "Dense" in capsys.readouterr().out


WRITTEN = {
    "columns of two lengths": lambda path: datasets.write_csv(path, {"a": [1, 2], "b": [1]}),
    "no columns": lambda path: datasets.write_csv(path, {}),
    "objects": lambda path: datasets.write_csv(path, {"a": ["x", None]}),
    "times": lambda path: datasets.write_csv(path, {"a": np.array(["2020"], "M8[D]")}),
    "complex": lambda path: datasets.write_csv(path, {"a": [1j]}),
    "objects in an archive": lambda path: datasets.write_npz(path, {"x": [None, 1]}),
    "ragged": lambda path: datasets.write_libsvm(path, [[1, 2], [3]], [1, 2]),
    "not finite": lambda path: datasets.write_libsvm(path, [[1, float("nan")]], [1]),
    "text as bytes of pictures": lambda path: datasets.write_idx(path, ["a"]),
    "text as numbers": lambda path: datasets.write_text(path, [[["a"]]]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_could_not_be_read_again_is_not_written(tmp_path, name):
    with pytest.raises(DataError, match="must|cannot|holds") as caught:
        WRITTEN[name](tmp_path / "there")
    assert caught.value.code == "data-shape" and not list(tmp_path.iterdir())


def test_a_column_that_a_file_lacks_is_named_with_those_it_has(tmp_path):
    datasets.write_csv(tmp_path / "a.csv", {"size": [1, 2], "kind": ["a", "b"]})
    with pytest.raises(DataError, match="there is no column 'age': the columns are size, kind"):
        datasets.read_csv(tmp_path / "a.csv", ["size", "age"])
