"""The callback for TensorBoard: event files with the folders and names of Keras's, and the history's numbers."""

import gc
import struct
import sys
import warnings

import numpy as np
import pytest

from firesteel.callbacks import LambdaCallback, TensorBoard
from firesteel.errors import ConfigError
from firesteel.layers import Dense
from firesteel.models import Sequential

X = np.random.default_rng(0).normal(size=(90, 3))
Y = X @ [1.0, -2.0, 0.5]


def fit(*callbacks, **settings):
    model = Sequential([Dense(4, "tanh"), Dense(1)])
    model.compile("adam", "mse", ["mae"])
    return model.fit(X, Y, verbose=0, callbacks=list(callbacks), **{"epochs": 3} | settings)


def events(folder):
    """{name: {epoch: value}} of all event files in a folder, in the order written."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:  # length, its checksum, the event, its checksum
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
            data = data[16 + size :]
    return found


def rows_of(history, name):
    return pytest.approx({row["epoch"]: row[name] for row in history.rows}, rel=1e-6)


def test_training_and_validation_share_the_names_of_their_values(tmp_path):
    history = fit(TensorBoard(tmp_path / "logs"), validation_split=0.3)
    train, validation = events(tmp_path / "logs" / "train"), events(tmp_path / "logs" / "validation")
    assert set(train) == set(validation) == {"epoch_loss", "epoch_mae"}
    for name in ("loss", "mae"):
        assert train[f"epoch_{name}"] == rows_of(history, name)
        assert validation[f"epoch_{name}"] == rows_of(history, f"val_{name}")


def test_without_validation_there_is_one_folder_and_a_rate_that_is_set_is_written(tmp_path):
    def halve(epoch, logs):
        writer.model.learning_rate = 0.1 / (epoch + 1)

    writer = TensorBoard(tmp_path)
    history = fit(LambdaCallback(on_epoch_begin=halve), writer)
    assert [path.name for path in tmp_path.iterdir()] == ["train"]
    assert events(tmp_path / "train")["epoch_learning_rate"] == rows_of(history, "learning_rate")


def test_what_is_written_can_be_read_while_training_goes_on_and_after_an_interrupt(tmp_path):
    def stop(epoch, logs):
        assert len(events(tmp_path / "train")["epoch_loss"]) == epoch + 1
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(TensorBoard(tmp_path), LambdaCallback(on_epoch_end=stop))
    assert list(events(tmp_path / "train")["epoch_loss"]) == [0, 1]


def test_a_second_training_goes_on_in_the_same_folder(tmp_path):
    writer = TensorBoard(tmp_path)
    fit(writer, epochs=2)
    fit(writer, epochs=4, initial_epoch=2)
    assert sorted(events(tmp_path / "train")["epoch_loss"]) == [0, 1, 2, 3]


def test_without_the_package_it_says_how_to_install_it(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tensorboardX")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r'needs tensorboardX.*pip install "firesteel\[tensorboard\]"'):
        TensorBoard()


def test_the_file_of_an_interrupted_training_is_closed_with_its_callback(tmp_path):
    def stop(epoch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(TensorBoard(tmp_path), LambdaCallback(on_epoch_end=stop))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gc.collect()
    assert not [one for one in said if str(tmp_path) in str(one.message)]
