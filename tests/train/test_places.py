"""Callbacks that write: a folder that is not there is made, one that cannot be written is refused at the start."""

import csv

import numpy as np
import pytest

from firesteel.callbacks import BackupAndRestore, Callback, CSVLogger, ModelCheckpoint, TensorBoard
from firesteel.errors import ConfigError, StoreError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.report import RunFolder

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
WRITERS = {
    "ModelCheckpoint": lambda place: {"callbacks": ModelCheckpoint(place / "m.firesteel")},
    "ModelCheckpoint of epochs": lambda place: {"callbacks": ModelCheckpoint(place / "{epoch}" / "{loss:.2f}")},
    "CSVLogger": lambda place: {"callbacks": CSVLogger(place / "log.csv")},
    "CSVLogger that appends": lambda place: {"callbacks": CSVLogger(place / "log.csv", append=True)},
    "BackupAndRestore": lambda place: {"callbacks": BackupAndRestore(place, delete_checkpoint=False)},
    "TensorBoard": lambda place: {"callbacks": TensorBoard(place)},
    "RunFolder": lambda place: {"callbacks": RunFolder(place)},
    "checkpoint": lambda place: {"checkpoint": place / "progress"},
    "checkpoint at a URL": lambda place: {"checkpoint": f"file://{place}/progress"},
}


class Count(Callback):
    def __init__(self):
        self.epochs = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs += 1


def build():
    model = Sequential([Dense(2, "softmax", input_dim=3)])
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(settings, epochs=2, more=()):
    callbacks = [*more, *[one for one in [settings.get("callbacks")] if one is not None]]
    return build().fit(X, Y, epochs=epochs, verbose=0, **settings | {"callbacks": callbacks})


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_that_is_not_there_is_made(writer, tmp_path):
    fit(WRITERS[writer](tmp_path / "a" / "b c"))
    assert [path for path in (tmp_path / "a" / "b c").rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.parametrize(
    "bad", ["a file is in the way", pytest.param("nobody may write", marks=pytest.mark.posix), "it is a folder"]
)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_place_that_cannot_be_written_is_refused_before_the_first_epoch(writer, bad, tmp_path):
    place, count = tmp_path / "place", Count()
    if bad == "a file is in the way":
        place.write_bytes(b"")
    elif bad == "nobody may write":
        place = "/proc/firesteel"
    else:
        for name in ("m.firesteel", "log.csv", "checkpoint", "progress"):
            (place / name).mkdir(parents=True)
        if writer in ("TensorBoard", "RunFolder", "ModelCheckpoint of epochs", "checkpoint at a URL"):
            return  # which write no file of these names
    with pytest.raises((StoreError, ConfigError)) as caught:
        fit(WRITERS[writer](type(tmp_path)(place)), more=[count])
    assert count.epochs == 0 and "\n" not in str(caught.value) and str(place) in str(caught.value)


@pytest.mark.parametrize("name", ["{loss_}", "{0}", "{", "{loss:d}", "{val_loss}", "{epoch.nothing}", "{loss[0]}"])
def test_a_name_that_cannot_be_filled_in_is_refused_before_the_first_epoch(name, tmp_path):
    count = Count()
    with pytest.raises(ConfigError, match="filepath="):
        fit({"callbacks": ModelCheckpoint(tmp_path / name)}, more=[count])
    assert count.epochs == 0 and not list(tmp_path.iterdir())


def test_what_is_no_path_is_refused_before_the_first_epoch():
    for wrong in (5, None, ["m"]):
        with pytest.raises(ConfigError, match="filepath="):
            fit({"callbacks": ModelCheckpoint(wrong)})


def test_the_rate_may_be_in_a_name(tmp_path):
    fit({"callbacks": ModelCheckpoint(tmp_path / "{epoch:03d} {learning_rate:g} {accuracy:.1f}")})
    assert {path.name[:8] for path in tmp_path.iterdir()} == {"001 0.01", "002 0.01"}


@pytest.mark.parametrize("separator", ["", ";;", "\n", "\r", '"', None, 5])
def test_a_separator_that_separates_nothing_is_refused(separator):
    with pytest.raises(ConfigError, match="separator="):
        CSVLogger("log.csv", separator=separator)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_log_keeps_its_columns_whatever_is_measured_later(tmp_path):
    class Late(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.learning_rate = 0.5

    path = tmp_path / "log.csv"
    fit({"callbacks": CSVLogger(path)}, epochs=3, more=[Late()])
    assert [list(row) for row in rows(path)] == [["epoch", "accuracy", "loss"]] * 3 and None not in rows(path)[2]
    path.write_text("loss,epoch,val_loss\n0.5,0,0.25\n")
    fit({"callbacks": CSVLogger(path, append=True)})
    assert [row["epoch"] for row in rows(path)] == ["0", "0", "1"]
    assert [row["val_loss"] for row in rows(path)] == ["0.25", "NA", "NA"]
    assert path.read_text().count("epoch") == 1
