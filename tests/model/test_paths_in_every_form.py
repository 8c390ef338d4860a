"""Whatever takes a path takes text, pathlib's paths and all others that Python knows."""

import warnings

import numpy as np
import pytest

from firesteel import callbacks, datasets, mlflow
from firesteel.errors import FiresteelError
from firesteel.layers import Dense, Input
from firesteel.models import Model, Sequential, load_model, read_weights
from firesteel.report import RunFolder, next_folder
from firesteel.report.page import render
from tests.support.places import FORMS, asking

X, Y = np.arange(24.0).reshape(12, 2) / 24, np.arange(12) % 2


def model():
    made = Sequential([Dense(1, "sigmoid", input_dim=2)])
    made.compile("sgd", "binary_crossentropy")
    return made


def fitted(made=None, **settings):
    made = made or model()
    made.fit(X, Y, epochs=1, verbose=0, seed=1, **settings)
    return made


def called(make):
    """Return what trains with a callback that is given a path."""
    return lambda path: fitted(callbacks=[make(path)])


def run(path):
    fitted(callbacks=[RunFolder(path)])


def saved(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about its own type hints
        mlflow.save_model(fitted(), path)


def graph():
    x = Input((2,))
    made = Model(x, Dense(1, "sigmoid")(x))
    made.compile("sgd", "binary_crossentropy")
    return made


WRITERS = {
    **{
        f"{kind}.{name}(path)": lambda path, make=make, name=name: getattr(make(), name)(path)
        for kind, make in (("Model", graph), ("Sequential", model))
        for name in ("save", "save_weights")
    },
    "Sequential.fit(checkpoint)": lambda path: fitted(checkpoint=path),
    "Model.fit(checkpoint)": lambda path: fitted(graph(), checkpoint=path),
    "ModelCheckpoint(filepath)": called(callbacks.ModelCheckpoint),
    "BackupAndRestore(backup_dir)": called(lambda path: callbacks.BackupAndRestore(path, delete_checkpoint=False)),
    "CSVLogger(filename)": called(callbacks.CSVLogger),
    "TensorBoard(log_dir)": called(callbacks.TensorBoard),
    "RunFolder(folder)": run,
    "next_folder(parent)": next_folder,
    "save_model(path)": saved,
    "write_csv(path)": lambda path: datasets.write_csv(path, {"a": Y}),
    "write_idx(path)": lambda path: datasets.write_idx(path, Y.astype("u1")),
    "write_libsvm(path)": lambda path: datasets.write_libsvm(path, X, Y),
    "write_npz(path)": lambda path: datasets.write_npz(path, {"x": X}),
    "write_text(path)": lambda path: datasets.write_text(path, [X]),
}
READERS = {
    "load_model(path)": (WRITERS["Sequential.save(path)"], load_model),
    "read_weights(path)": (WRITERS["Sequential.save(path)"], read_weights),
    "Sequential.load_weights(path)": (WRITERS["Sequential.save(path)"], lambda path: model().load_weights(path)),
    "Model.load_weights(path)": (WRITERS["Model.save(path)"], lambda path: graph().load_weights(path)),
    "load_model(model_uri)": (saved, mlflow.load_model),
    "render(folder)": (run, render),
    "read_csv(path)": (WRITERS["write_csv(path)"], lambda path: datasets.read_csv(path, ["a"])),
    "read_idx(path)": (WRITERS["write_idx(path)"], datasets.read_idx),
    "read_libsvm(path)": (WRITERS["write_libsvm(path)"], datasets.read_libsvm),
    "read_npy(path)": (lambda path: np.save(open(path, "wb"), X), datasets.read_npy),
    "read_npz(path)": (WRITERS["write_npz(path)"], datasets.read_npz),
    "read_numbers(path)": (WRITERS["write_text(path)"], datasets.read_numbers),
}
PUBLIC = ("models", "callbacks", "datasets", "report", "report.page", "mlflow", "tensorboard")


def test_every_public_name_that_takes_a_path_is_here():
    drawn = {"Model.plot(path)", "Sequential.plot(path)"}
    assert asking(*(f"firesteel.{name}" for name in PUBLIC)) == WRITERS.keys() | READERS.keys() | drawn


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", [graph, model])
def test_a_picture_is_written_to(tmp_path, make, form):
    make().plot(FORMS[form](tmp_path / "there.svg"))
    assert (tmp_path / "there.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", WRITERS)
def test_it_is_written_to(tmp_path, name, form):
    WRITERS[name](FORMS[form](tmp_path / "there"))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("name", READERS)
def test_it_is_read_from(tmp_path, name):
    write, read = READERS[name]
    write(tmp_path / "there")
    for form in FORMS.values():
        read(form(tmp_path / "there"))
        with pytest.raises(Exception, match="none") as caught:
            read(form(tmp_path / "none"))
        assert isinstance(caught.value, FiresteelError) or "mlflow" in type(caught.value).__module__
