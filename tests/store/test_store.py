"""A saved model predicts bit for bit; a file that is anything else is refused, and nothing in it is ever run."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import load, save

from firesteel import _store as store
from firesteel._model import Model
from firesteel.core.initializers import INITIALIZERS
from firesteel.core.layers import ACTIVATIONS, LAYERS
from firesteel.core.losses import LOSSES
from firesteel.core.metrics import METRICS
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.errors import StoreError
from firesteel.layers import Activation, Dense, Dropout, Rescaling
from firesteel.models import Sequential, load_model
from tests.support.parts import looks_up, woven

X = np.random.default_rng(0).normal(size=(50, 4))


def build(dtype="float32"):
    layers = [
        Rescaling(0.5, 0.1, input_dim=4),
        Dense(5, "relu", kernel_initializer="he_normal"),
        Dropout(0.25),
        Dense(3, use_bias=False),
        Activation("softmax"),
    ]
    model = Sequential(layers, dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(X, np.arange(50) % 3, verbose=0)
    return model


MODEL = Sequential.from_bytes(build().to_bytes(include_optimizer=False))
DATA = MODEL.to_bytes()
HEADER_SIZE = int.from_bytes(DATA[:8], "little")
OUTER = json.loads(DATA[8 : 8 + HEADER_SIZE])
INNER = json.loads(OUTER["__metadata__"]["firesteel"])


def opened(data):
    return Sequential.from_bytes(bytes(data), "m.firesteel")


def refusal(data, match="m.firesteel"):
    """The one-line message with which these bytes are refused."""
    with pytest.raises(StoreError, match=match) as caught:
        opened(data)
    message = str(caught.value)
    assert message.startswith("m.firesteel ") and "\n" not in message and caught.value.code.startswith("store-")
    return message


def sealed(header, tensors=None):
    """A file of this description and these tensors, with the right checksum: only its content is wrong."""
    tensors = load(DATA) if tensors is None else tensors
    order = store.tensor_names(MODEL.network)
    theta = np.concatenate([np.empty(0, "f4"), *(tensors[name].ravel() for name in order if name in tensors)])
    header = {**header, "sha256": store.checksum(header, theta)}
    return save(tensors, {"firesteel": json.dumps(header)})


def edited(**changes):
    """The description with some top-level values replaced."""
    return {key: value for key, value in INNER.items() if key != "sha256"} | changes


def network(**changes):
    return edited(network=INNER["network"] | changes)


def layer(number, **changes):
    layers = json.loads(json.dumps(INNER["network"]["layers"]))
    layers[number] |= changes
    return network(layers=layers)


# Whole files


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_saved_model_predicts_bit_for_bit(tmp_path, dtype):
    model = build(dtype)
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.theta.tobytes() == model.theta.tobytes() and again.theta.dtype == dtype
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert again.to_bytes() == model.to_bytes() == (tmp_path / "m").read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("example", LAYERS.values(), ids=repr)
def test_every_layer_can_be_saved(example, dtype):
    first = looks_up(example) or example.inputs
    layers = [*([] if first else [Dense(3, "tanh")]), example, Dense(2)]
    model = Model(woven(layers, example.inputs or 4, dtype))
    x = np.zeros((3, model.network.inputs)) if first else X
    again = opened(model.to_bytes())
    assert again.layers == model.layers and again.predict(x).tobytes() == model.predict(x).tobytes()


def test_every_activation_and_initializer_can_be_saved():
    layers = [Dense(2, name, kernel_initializer=how) for name in ACTIVATIONS for how in INITIALIZERS]
    model = Sequential([Dense(2, input_dim=4), *layers])
    assert opened(model.to_bytes()).layers == model.layers


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_what_it_was_compiled_with_is_saved(loss, optimizer):
    model = Sequential([Dense(2, LOSSES[loss].natural, input_dim=4)])
    model.compile(optimizer, loss, list(METRICS) + ["accuracy"])
    again = opened(model.to_bytes())
    assert again.to_bytes() == model.to_bytes() and again.metrics_names == model.metrics_names


def test_a_network_without_weights_can_be_saved():
    model = Sequential([Activation("tanh", input_dim=4)])
    assert opened(model.to_bytes()).predict(X).tobytes() == model.predict(X).tobytes()


def test_the_same_model_makes_the_same_bytes_every_time():
    assert {MODEL.to_bytes() for _ in range(20)} == {DATA}


def test_sealing_what_is_right_gives_a_model_so_the_refusals_below_are_for_what_is_wrong():
    tensors = load(DATA)
    assert sorted(tensors) == sorted(store.tensor_names(MODEL.network))
    assert opened(sealed(edited())).to_bytes() == DATA


# Damaged files


def accepted(data):
    """Whether the bytes make a model; it must then be the one that was saved."""
    try:
        model = opened(data)
    except StoreError as error:
        assert "\n" not in str(error)
        return False
    assert model.to_bytes() == DATA
    return True


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_is_noticed_wherever_it_is(seed):
    rng = np.random.default_rng(seed)
    taken = 0
    for _ in range(150):
        data = bytearray(DATA)
        at = int(rng.integers(8 * len(data) if seed % 2 else 8 * (8 + HEADER_SIZE)))
        data[at // 8] ^= 1 << at % 8
        taken += accepted(data)
    assert taken < 20


def test_every_bit_of_the_weights_counts():
    for at in range(8 * (8 + HEADER_SIZE), 8 * len(DATA), 11):
        data = bytearray(DATA)
        data[at // 8] ^= 1 << at % 8
        assert "checksum" in refusal(data)


def test_a_file_that_was_cut_short_or_made_longer_is_refused():
    cuts = {*range(16), *range(16, len(DATA), 13), len(DATA) - 1}
    for at in cuts:
        refusal(DATA[:at])
    for more in (b"\0", b"\0" * 8, DATA, b"{}"):
        refusal(DATA + more)
        refusal(more + DATA)


@pytest.mark.parametrize("seed", range(3))
def test_pieces_moved_doubled_or_overwritten_are_noticed(seed):
    rng = np.random.default_rng(seed)
    for _ in range(80):
        a, b = sorted(int(at) for at in rng.integers(0, len(DATA), 2))
        piece = DATA[a : min(b, a + 64)]
        at = int(rng.integers(len(DATA)))
        for data in (
            DATA[:at] + piece + DATA[at:],
            DATA[:at] + piece + DATA[at + len(piece) :],
            DATA[:a] + DATA[b:],
            DATA[:at] + rng.bytes(len(piece)) + DATA[at + len(piece) :],
        ):
            accepted(data)


@pytest.mark.parametrize("seed", range(3))
def test_numbers_changed_in_the_header_are_noticed(seed):
    rng = np.random.default_rng(seed)
    digits = [at for at in range(8, 8 + HEADER_SIZE) if chr(DATA[at]).isdigit()]
    for at in rng.choice(digits, 60, replace=False):
        data = bytearray(DATA)
        data[at] = ord("0") + (data[at] - ord("0") + int(rng.integers(1, 10))) % 10
        assert not accepted(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 8,
        b"\0" * 100,
        b"\xff" * 100,
        b"PK\x03\x04 not a model",
        (2**62).to_bytes(8, "little") + b"{}",
        (2**64 - 1).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"null",
        (20000).to_bytes(8, "little") + b"[" * 20000,
        (20000).to_bytes(8, "little") + b'{"a":' * 4000,
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
        save({"a": np.zeros(3)}),
        save({}, {"firesteel": "not json"}),
        save({}, {"firesteel": "[1, 2]"}),
        save({}, {"firesteel": "{}"}),
        save({}, {"firesteel": "null"}),
        save({}, {"firesteel": "[" * 50_000}),
        save({}, {"firesteel": '{"a":' * 900 + "1" + "}" * 900}),
        save({}, {"other": "{}"}),
    ],
    ids=range(21),
)
def test_r40_what_was_never_a_model_is_refused(data):
    refusal(data, "is not a firesteel model|is damaged|has format")


def test_another_format_is_named():
    assert "has format 3, but this version of firesteel reads 1 and 2" in refusal(sealed(edited(format=3)))
    for wrong in (None, "1", 0, -1, [], {}):
        refusal(sealed(edited(format=wrong)), "has format")


WRONG = {
    "units 2^62": layer(1, units=2**62),
    "units 10^30": layer(1, units=10**30),
    "units 0": layer(1, units=0),
    "units -5": layer(1, units=-5),
    "units NaN": layer(1, units=float("nan")),
    "units infinite": layer(1, units=float("inf")),
    "units true": layer(1, units=True),
    "units text": layer(1, units="5"),
    "units fraction": layer(1, units=5.5),
    "units a list": layer(1, units=[5]),
    "other units": layer(1, units=6),
    "rate NaN": layer(2, rate=float("nan")),
    "rate 2": layer(2, rate=2.0),
    "scale 10^400": layer(0, scale=10**400),
    "a field too many": layer(1, color="red"),
    "activation": layer(1, activation="os.system"),
    "activation a list": layer(1, activation=["relu"]),
    "layer os.system": layer(1, type="os.system"),
    "layer builtins.eval": layer(1, type="builtins.eval"),
    "layer __class__": layer(1, type="__class__"),
    "layer null": layer(1, type=None),
    "initializer of another family": layer(1, kernel_initializer={"type": "Dense", "units": 1}),
    "initializer a path": layer(1, kernel_initializer="../../etc/passwd"),
    "no layers": network(layers=[]),
    "layers null": network(layers=None),
    "layers a word": network(layers="Dense"),
    "layers nested": network(layers=[[INNER["network"]["layers"]]]),
    "layers missing": network(layers=INNER["network"]["layers"][:-3]),
    "layers twice": network(layers=INNER["network"]["layers"] * 2),
    "many layers": network(layers=INNER["network"]["layers"] * 300),
    "inputs 2^62": network(inputs=2**62),
    "inputs -1": network(inputs=-1),
    "inputs 0": network(inputs=0),
    "inputs NaN": network(inputs=float("nan")),
    "inputs text": network(inputs="4"),
    "inputs 5": network(inputs=5),
    "dtype": network(dtype="float64"),
    "dtype object": network(dtype="object"),
    "dtype a dictionary": network(dtype={}),
    "network null": edited(network=None),
    "network a list": edited(network=[]),
    "network a word": edited(network="Dense"),
    "compiled a list": edited(compiled=[]),
    "compiled a word": edited(compiled="adam"),
    "compiled 1": edited(compiled=1),
    "compiled empty": edited(compiled={}),
    "loss os.system": edited(compiled=INNER["compiled"] | {"loss": {"type": "os.system"}}),
    "loss that does not fit": edited(compiled=INNER["compiled"] | {"loss": "binary_crossentropy"}),
    "loss null": edited(compiled=INNER["compiled"] | {"loss": None}),
    "optimizer os.system": edited(compiled=INNER["compiled"] | {"optimizer": "os.system"}),
    "optimizer of another family": edited(compiled=INNER["compiled"] | {"optimizer": {"type": "Dense", "units": 1}}),
    "rate of the optimizer 10^400": edited(
        compiled=INNER["compiled"] | {"optimizer": {"type": "Adam", "learning_rate": 10**400}}
    ),
    "metrics null": edited(compiled=INNER["compiled"] | {"metrics": None}),
    "metrics a number": edited(compiled=INNER["compiled"] | {"metrics": 3}),
    "metrics a word": edited(compiled=INNER["compiled"] | {"metrics": "accuracy"}),
    "metric os.system": edited(compiled=INNER["compiled"] | {"metrics": ["os.system"]}),
    "metric null": edited(compiled=INNER["compiled"] | {"metrics": [None]}),
    "metric a list": edited(compiled=INNER["compiled"] | {"metrics": [["mse"]]}),
}


@pytest.mark.parametrize("name", WRONG)
def test_r40_an_absurd_description_is_refused_even_under_the_right_checksum(name):
    refusal(sealed(WRONG[name]), "is damaged")


FIRST, *_, LAST = sorted(load(DATA))
TENSORS = {
    "one missing": lambda t: {name: array for name, array in t.items() if name != FIRST},
    "all missing": lambda t: {},
    "one too many": lambda t: t | {"9.w": np.zeros(3, "f4")},
    "one renamed": lambda t: {name.replace("w", "v"): array for name, array in t.items()},
    "wider type": lambda t: {name: array.astype("f8") for name, array in t.items()},
    "whole numbers": lambda t: {name: array.astype("i4") for name, array in t.items()},
    "half precision": lambda t: {name: array.astype("f2") for name, array in t.items()},
    "turned": lambda t: t | {LAST: np.ascontiguousarray(t[LAST].T)},
    "flat": lambda t: {name: array.ravel() for name, array in t.items()},
    "one row less": lambda t: t | {LAST: t[LAST][1:]},
    "empty": lambda t: t | {LAST: np.zeros((0, 3), "f4")},
}


@pytest.mark.parametrize("name", TENSORS)
def test_r40_tensors_that_the_description_does_not_imply_are_refused(name):
    refusal(sealed(edited(), TENSORS[name](load(DATA))), "is damaged")


def raw(outer, payload=DATA[8 + HEADER_SIZE :]):
    """A file of this outer header, given as text."""
    text = outer if isinstance(outer, str) else json.dumps(outer)
    return len(text).to_bytes(8, "little") + text.encode() + payload


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2**62, 2**62]},
        {"shape": [-1, 5]},
        {"shape": [4, float("nan")]},
        {"shape": "4, 5"},
        {"shape": []},
        {"dtype": "BF16"},
        {"dtype": "F8_E4M3"},
        {"dtype": "F4"},
        {"dtype": "F64"},
        {"dtype": "I32"},
        {"dtype": "object"},
        {"dtype": None},
        {"data_offsets": [0, 2**62]},
        {"data_offsets": [-8, 8]},
        {"data_offsets": [8, 0]},
        {"data_offsets": [0]},
        {"data_offsets": None},
    ],
    ids=repr,
)
def test_r40_an_absurd_tensor_header_is_refused(change):
    assert opened(raw(OUTER)).to_bytes() == DATA
    refusal(raw(OUTER | {FIRST: OUTER[FIRST] | change}), "is damaged")


def test_r40_arrays_that_share_their_bytes_are_refused_even_under_the_right_checksum():
    model = Sequential([Dense(4, use_bias=False, input_dim=4), Dense(4, use_bias=False)])
    data = model.to_bytes()
    size = int.from_bytes(data[:8], "little")
    outer, numbers = json.loads(data[8 : 8 + size]), data[8 + size :]
    header = json.loads(outer["__metadata__"]["firesteel"])
    twice = np.frombuffer(numbers[: len(numbers) // 2] * 2, "f4")
    outer["__metadata__"]["firesteel"] = json.dumps(header | {"sha256": store.checksum(header, twice)})
    assert opened(raw(outer, twice.tobytes())).theta.tobytes() == twice.tobytes()
    outer["1.w"] = outer["0.w"]
    refusal(raw(outer, twice.tobytes()), "overlap or leave gaps")


def test_r40_a_key_given_twice_makes_the_same_model_or_none():
    text, (name, entry) = json.dumps(OUTER), next((k, v) for k, v in OUTER.items() if k != "__metadata__")
    other = {"__metadata__": {"firesteel": json.dumps(layer(1, units=6))}}
    doubled = [
        text[:-1] + f', "{name}": {json.dumps(entry)}}}',
        f'{{"{name}": {json.dumps(entry | {"shape": [1]})}, ' + text[1:],
        text[:-1] + ", " + json.dumps(other)[1:],
        json.dumps(other)[:-1] + ", " + text[1:],
    ]
    for outer in doubled:
        accepted(raw(outer))
    twice = OUTER["__metadata__"]["firesteel"][:-1] + ', "format": 7}'
    refusal(raw(OUTER | {"__metadata__": {"firesteel": twice}}), "has format 7")


@pytest.mark.parametrize(
    "metadata", [None, [], "firesteel", {}, {"firesteel": 3}, {"firesteel": None}, {"firesteel": []}]
)
def test_a_description_of_the_wrong_kind_is_refused(metadata):
    refusal(raw(OUTER | {"__metadata__": metadata}))


# Writing


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_save_replaces_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    MODEL.save(path)
    assert path.read_bytes() == DATA and files(tmp_path) == ["m"]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_r37_a_save_that_fails_midway_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path, monkeypatch, call):
    path = tmp_path / "m"
    path.write_bytes(b"old")

    def broken(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, broken)
    with pytest.raises(StoreError, match="m cannot be written: No space left on device") as caught:
        MODEL.save(path)
    monkeypatch.undo()
    assert caught.value.code == "store-write" and "\n" not in str(caught.value)
    assert path.read_bytes() == b"old" and files(tmp_path) == ["m"]


def test_r36_an_interrupted_save_keeps_the_old_file_too(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        MODEL.save(path)
    assert path.read_bytes() == b"old" and files(tmp_path) == ["m"]


def test_r36_the_data_are_on_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))[1])
    MODEL.save(tmp_path / "m")
    assert calls[:2] == ["fsync", "replace"]


def test_r37_a_place_that_cannot_be_written_is_named_in_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"here")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "missing" / "m", tmp_path / "file" / "m", tmp_path / "folder", tmp_path / ("m" * 300)):
        with pytest.raises(StoreError) as caught:
            MODEL.save(path)
        assert str(path) in str(caught.value) and "cannot be written" in str(caught.value)
        assert "\n" not in str(caught.value) and caught.value.code == "store-write"
    assert files(tmp_path) == ["file", "folder"] and files(tmp_path / "folder") == []


def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path):
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(StoreError, match="cannot be read") as caught:
            load_model(path)
        assert str(path) in str(caught.value) and caught.value.code == "store-read" and "\n" not in str(caught.value)
