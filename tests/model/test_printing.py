"""Nothing that is printed ends anything, wherever it goes; what a model and a history say of themselves is short."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from firesteel.callbacks import EarlyStopping, LearningRateScheduler, ModelCheckpoint, ReduceLROnPlateau
from firesteel.errors import ConfigError
from firesteel.layers import Dense, Dropout, Input
from firesteel.models import Sequential
from firesteel.train.history import History

ROOT = Path(__file__).parents[2]
X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


class Raises(io.TextIOBase):
    """A stream that refuses everything."""

    def write(self, text):
        raise RuntimeError("no")

    def flush(self):
        raise RuntimeError("no")

    def isatty(self):
        raise RuntimeError("no")


class Bare:
    """What loggers put in the place of stdout: it has nothing but `write`."""

    def __init__(self):
        self.told = ""

    def write(self, text):
        self.told += text


class Broken(Bare):
    """A pipe that nobody reads."""

    def flush(self):
        raise BrokenPipeError(32, "Broken pipe")

    def isatty(self):
        return True


class Full(Bare):
    def write(self, text):
        raise OSError(28, "No space left on device")


class Deaf(Bare):
    def isatty(self):
        raise ValueError("I/O operation on closed file")


class Empty:
    """It has nothing at all."""


def encoded(encoding):
    return lambda: io.TextIOWrapper(io.BytesIO(), encoding)


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


STREAMS = {
    **{encoding: encoded(encoding) for encoding in ("ascii", "cp1252", "cp037", "latin-1", "utf-8", "utf-16")},
    "nothing": lambda: None,
    "closed": closed,
    "raises": Raises,
    "bare": Bare,
    "broken": Broken,
    "full": Full,
    "deaf": Deaf,
    "empty": Empty,
    "bytes": io.BytesIO,
    "read": lambda: io.TextIOWrapper(io.BufferedReader(io.BytesIO())),
}


def build():
    model = Sequential([Dense(4, "relu", input_dim=3), Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def said(model, folder, verbose=1):
    """Have everything print that does."""
    callbacks = [
        EarlyStopping("loss", patience=1, min_delta=9.0, restore_best_weights=True, verbose=1),
        LearningRateScheduler(lambda epoch: 0.1, verbose=1),
        ReduceLROnPlateau("loss", patience=0, min_delta=9.0, verbose=1),
        ModelCheckpoint(folder / "m", verbose=1),
    ]
    model.fit(X, Y, epochs=3, verbose=verbose, callbacks=callbacks, validation_split=0.25)
    model.evaluate(X, Y, verbose=verbose)
    model.summary()


@pytest.mark.parametrize("verbose", ["auto", 0, 1, 2])
@pytest.mark.parametrize("stream", STREAMS)
def test_nothing_printed_ends_a_fit(stream, verbose, tmp_path, monkeypatch):
    plain, model = build(), build()
    said(plain, tmp_path)
    monkeypatch.setattr(sys, "stdout", STREAMS[stream]())
    said(model, tmp_path, verbose)
    monkeypatch.undo()
    assert model.fingerprint() == plain.fingerprint()


def test_ascii_has_signs_in_the_place_of_lines(tmp_path, monkeypatch):
    narrow, wide = encoded("ascii")(), encoded("utf-8")()
    for stream in (narrow, wide):
        monkeypatch.setattr(sys, "stdout", stream)
        said(build(), tmp_path)
    monkeypatch.undo()
    plain, whole = (stream.buffer.getvalue().decode() for stream in (narrow, wide))
    assert "====================" in plain and "| dense (Dense)" in plain and "Epoch 2: early stopping" in plain
    assert "━━━━━━━━━━━━━━━━━━━━" in whole and "│ dense (Dense)" in whole
    assert len(plain.splitlines()) == len(whole.splitlines()) and "?" not in plain


def test_a_stream_that_is_broken_gets_what_it_takes(tmp_path, monkeypatch):
    stream = Broken()
    monkeypatch.setattr(sys, "stdout", stream)
    said(build(), tmp_path)
    monkeypatch.undo()
    assert "Epoch 1/3" in stream.told and "loss: " in stream.told and "Total params: 26" in stream.told


def test_an_interrupt_is_not_passed_over(monkeypatch):
    class Interrupted(Bare):
        def write(self, text):
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        build().fit(X, Y)


FIT = """
import sys
import numpy as np
from firesteel.layers import Dense
from firesteel.models import Sequential
exec(sys.argv[1])
model = Sequential([Dense(2, "softmax", input_dim=3)])
model.compile("sgd", "sparse_categorical_crossentropy")
x = np.ones((50, 3))
model.summary()
for verbose in (1, 2):
    model.fit(x, np.arange(50) % 2, epochs=3, verbose=verbose)
    model.evaluate(x, np.arange(50) % 2)
open(sys.argv[2], "w").write("to the end")
"""
ENDS = {
    "ascii": ("", {"PYTHONIOENCODING": "ascii"}),
    "cp1252": ("", {"PYTHONIOENCODING": "cp1252"}),
    "the C locale": ("", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "a closed descriptor": ("import os; os.close(1)", {}),
    "a closed stream": ("sys.stdout.close()", {}),
    "no stream": ("sys.stdout = sys.stderr = None", {}),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_program_ends_well_whatever_its_output_is(how, tmp_path):
    code, environment = ENDS[how]
    words = [sys.executable, "-c", FIT, code, str(tmp_path / "end")]
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    run = subprocess.run(words, capture_output=True, timeout=100, env=env, cwd=tmp_path)
    assert (tmp_path / "end").read_text() == "to the end", run.stderr


def test_a_program_ends_well_where_nobody_reads_its_output(tmp_path):
    words = [sys.executable, "-c", FIT, "", str(tmp_path / "end")]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    ours, theirs = os.pipe()
    os.close(ours)
    with subprocess.Popen(words, stdout=theirs, stderr=subprocess.DEVNULL, env=env, cwd=tmp_path) as child:
        os.close(theirs)
        child.wait(100)
    assert (tmp_path / "end").read_text() == "to the end"


# summary


def test_a_summary_goes_line_by_line_where_it_is_wanted(capsys):
    lines, model = [], build()
    model.summary(print_fn=lines.append)
    assert not capsys.readouterr().out
    model.summary()
    assert capsys.readouterr().out.splitlines() == lines
    narrow = io.TextIOWrapper(io.BytesIO(), "ascii")
    model.summary(print_fn=lambda line: print(line, file=narrow))
    narrow.flush()
    assert len(narrow.buffer.getvalue().decode().splitlines()) == len(lines)
    with pytest.raises(ConfigError, match="did you mean 'print_fn'"):
        model.summary(printfn=print)


# repr


def test_a_model_says_its_layers_and_parameters_in_a_line():
    assert repr(build()) == "<Sequential of 2 layers, 26 parameters: Dense, Dense>"
    one = Sequential([Input((3,)), Dense(1)])
    assert repr(one) == "<Sequential of 1 layer, 4 parameters: Dense>"
    assert repr(Sequential([Dense(4), Dropout(0.5)])) == "<Sequential of 2 layers, not built: Dense, Dropout>"
    assert repr(Sequential()) == "<Sequential of 0 layers, not built>"
    deep = repr(Sequential([Dense(50, input_dim=50)] * 300))
    assert (
        deep == "<Sequential of 300 layers, 765,000 parameters: Dense, Dense, Dense, Dense, Dense, Dense, ..., Dense>"
    )


def test_a_history_says_its_epochs_and_last_values_in_a_line():
    model = build()
    history = model.fit(X, Y, epochs=100, verbose=0, validation_split=0.25)
    last = {name: values[-1] for name, values in history.history.items()}
    assert repr(history) == "<History of 100 epochs: " + ", ".join(f"{k} {v:.4g}" for k, v in last.items()) + ">"
    assert "val_loss" in repr(history) and len(repr(history)) < 120
    assert (
        repr(History([{"epoch": 4, "loss": 0.5, "matrix": [[1.0]]}], best=4))
        == "<History of 1 epoch: best 5, loss 0.5>"
    )
    assert repr(History()) == "<History of 0 epochs>"
