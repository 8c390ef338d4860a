"""The table of fits that holds a rebuild to today's bits covers what there is, and would see a change."""

import importlib

import pytest

from firesteel import callbacks, layers
from tests import gate, walk
from tests.against import ROOT, differences, fits


@pytest.mark.parametrize("family", [name for name in gate.REGISTRIES if name != "layers"])
def test_every_member_of_a_registry_is_trained(family):
    module = "layers" if family == "activations" else family
    registry = getattr(importlib.import_module(f"firesteel.core.{module}"), family.upper())
    trained = {"/".join(name.split("/")[:2]) for name in gate.FITS}
    assert registry and {f"{family}/{name}" for name in registry} <= trained


def test_every_layer_and_every_callback_that_acts_is_trained():
    kinds = {name for name in layers.__all__ if isinstance(getattr(layers, name), type)} - {"Layer"}
    assert {f"layers/{name}" for name in kinds} <= set(gate.FITS)
    watching = {"BackupAndRestore", "CSVLogger", "Callback", "LambdaCallback", "MlflowCallback", "ModelCheckpoint"}
    watching |= {"History", "ProgbarLogger", "Recorder", "TensorBoard"}
    acting = set(callbacks.__all__) - watching
    assert acting and all(f"callbacks/{name}/{shards}" in gate.FITS for name in acting for shards in (1, 3))


def test_the_table_is_large():
    assert len(gate.FITS) + len(gate.FRAMES) >= 150


def test_each_fit_trains_to_the_same_bits_twice_and_a_change_is_seen():
    words = ["layers/Dropout", "optimizers/adam/", "resume/adam", "saved"]
    first, second = gate.run(words), gate.run(words)
    assert len(first) > 10 and not any("error" in result for result in first.values())
    assert differences(first, second) == {}
    name = next(iter(first))
    changed = first | {name: first[name] | {"weights": "0" * 64}}
    assert differences(first, changed) == {name: "weights"}
    assert differences(first, {name: first[name]}).keys() == first.keys() - {name}
    assert differences({}, first) == {}


def test_a_resumed_fit_is_the_uninterrupted_one():
    resumed = gate.FITS["resume/adam/3"]()
    plain = gate.train(gate.softmax_net(12)(), "sparse_categorical_crossentropy", "adam", shards=3, epochs=4,
                       y=gate.CLASSES["y"]())  # fmt: skip
    assert resumed == plain


def test_the_walk_counts_calls_files_and_moves():
    found = walk.counted(walk.walked(lambda: walk.fit(32)))
    assert found["calls"] > found["moves"] > found["files"] > 10


@pytest.mark.slow
def test_every_fit_has_the_same_bits_without_compiled_code():
    compiled, plain = fits(ROOT), fits(ROOT, "--plain")
    assert len(compiled) > 350 and not any("error" in result for result in compiled.values())
    assert differences(compiled, plain) == {}
