"""Settings: which source goes before which, and what each mistake is told."""

import tomllib
from dataclasses import fields

import pytest

from firesteel.cli.config import SECTIONS, Config, resolve, to_toml
from firesteel.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "run.toml").write_text(text)
        return tmp_path / "run.toml"

    return write


def test_a_flag_goes_before_the_environment_and_that_before_the_file(file):
    path = file("[training]\nepochs = 1\nseed = 1\nbatch_size = 1\n")
    environment = {"FIRESTEEL_TRAINING_EPOCHS": "2", "FIRESTEEL_TRAINING_SEED": "2", "FIRESTEEL_DATA": "/elsewhere"}
    flags = {"--epochs": ("training.epochs", 3), "--seed": ("training.seed", None)}
    found = resolve(path, flags, environment).training
    assert (found.epochs, found.seed, found.batch_size, found.optimizer) == (3, 2, 1, "adam")


def test_what_a_text_from_the_shell_means():
    environment = {
        "FIRESTEEL_MODEL_HIDDEN": "64, 32",
        "FIRESTEEL_MODEL_SCALE": "0.5",
        "FIRESTEEL_DATA_LABEL": "1,b",
        "FIRESTEEL_TRAINING_SHUFFLE": "false",
        "FIRESTEEL_TRAINING_OPTIMIZER": '{type = "SGD", learning_rate = 0.1}',
        "FIRESTEEL_TRAINING_CALLBACKS": '[{type = "EarlyStopping", patience = 3}]',
        "FIRESTEEL_TRAINING_CLASS_WEIGHT": "{0 = 1, 1 = 2.5}",
    }
    found = resolve(None, {"--loss": ("training.loss", "mse")}, environment)
    assert (found.model.hidden, found.model.scale, found.data.label) == ((64, 32), 0.5, ("1", "b"))
    assert found.training.shuffle is False and found.training.loss == "mse"
    assert found.training.optimizer == {"type": "SGD", "learning_rate": 0.1}
    assert found.training.callbacks == ({"type": "EarlyStopping", "patience": 3},)
    assert found.training.class_weight == {0: 1, 1: 2.5}


@pytest.mark.parametrize("hidden", ["", []])
def test_no_hidden_layer(hidden):
    assert resolve(None, {"--hidden": ("model.hidden", hidden)}, {}).model.hidden == ()


@pytest.mark.parametrize(
    "text, said",
    [
        ("[training]\n\nepocs = 3\n", "line 3: [training]: key 'epocs' is unknown: did you mean 'epochs'?"),
        ("[trianing]\nepochs = 3\n", "line 1: section 'trianing' is unknown: did you mean 'training'?"),
        ("epochs = 3\n", "line 1: section 'epochs' is unknown: "),
        ("data = 3\n", "line 1: data must be a [table]"),
        ("[data]\n[training]\nepochs = 'ten'\n", "line 3: [training] epochs = 'ten': it must be a whole number"),
        ("[training]\nepochs = true\n", "epochs = True: it must be a whole number of at least 1"),
        ("[training]\nepochs = 0\n", "epochs = 0: "),
        ("[training]\nlearning_rate = -1\n", "it must be a number above 0"),
        ("[training]\nvalidation_split = 1.0\n", "it must be a number in [0, 1)"),
        ("[training]\nshuffle = 'yes'\n", "it must be true or false"),
        ("[training]\noptimizer = 3\n", "it must be a name, or a table with a type"),
        ("[training]\nclass_weight = 'balnced'\n", 'it must be "balanced", or a table'),
        ("[model]\nhidden = [64, 0]\n", "it must be whole numbers of at least 1"),
        ("[model]\ndtype = 'float23'\n", "it must be one of float32, float64; did you mean 'float32'?"),
        ("[model]\nscale = 'stadnard'\n", 'it must be "standard", or the number'),
        ("[engine]\nname = 'sprak'\n", "it must be one of local, spark; did you mean 'spark'?"),
        ("[data]\nformat = 'xml'\n", "it must be one of csv, idx, libsvm, numpy, parquet, text"),
        ("[model]\nhidden = [3]\n[[model.layers]]\ntype = 'Dense'\n", "leave out one of them"),
        ("[[model.layers]]\ntype = 'Dense'\n[model.scale]\n", "scale is part of the short form"),
        ("[data\n", "is not TOML: "),
    ],
)
def test_a_mistake_in_the_file_is_reported_with_its_place(file, text, said):
    with pytest.raises(ConfigError) as caught:
        resolve(file(text), {}, {})
    assert said in str(caught.value) and "run.toml" in str(caught.value)


def test_lines_are_found_in_dotted_headers_and_after_others(file):
    path = file('[model]\ndtype = "float32"\n\n[training]\nseed = 1\n[training.optimizr]\ntype = "SGD"\n')
    with pytest.raises(ConfigError, match="line 6: .training.: key 'optimizr'"):
        resolve(path, {}, {})


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        resolve(tmp_path / "none.toml", {}, {})
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="byte 0 is not UTF-8"):
        resolve(tmp_path / "bytes.toml", {}, {})


@pytest.mark.parametrize(
    "environment, said",
    [
        ({"FIRESTEEL_TRAINING_EPOCS": "3"}, "did you mean 'FIRESTEEL_TRAINING_EPOCHS'?"),
        ({"FIRESTEEL_TRAINING_EPOCHS": "x"}, "FIRESTEEL_TRAINING_EPOCHS: [training] epochs = 'x'"),
    ],
)
def test_a_mistake_in_the_environment_is_reported_with_its_name(environment, said):
    with pytest.raises(ConfigError) as caught:
        resolve(None, {}, environment)
    assert said in str(caught.value)


def test_a_flag_for_the_short_form_goes_before_the_layers_of_a_file(file):
    path = file("[[model.layers]]\ntype = 'Dense'\nunits = 2\n")
    assert resolve(path, {}, {}).model.layers is not None
    changed = resolve(path, {"--hidden": ("model.hidden", "8")}, {}).model
    assert changed.layers is None and changed.hidden == (8,)
    with pytest.raises(ConfigError, match="--dropout: dropout is part of the short form"):
        resolve(path, {"--dropout": ("model.dropout", 0.5)}, {})


@pytest.mark.parametrize("model", ["hidden = []\nscale = 'standard'", "[[model.layers]]\ntype = 'Dense'\nunits = 2"])
def test_printed_settings_are_the_same_when_they_are_read(file, model):
    text = (
        f"[data]\ntrain = 'x.csv'\nlabel = ['a', 'b']\npicture = [2, 3]\n[model]\n{model}\n"
        "[training]\noptimizer = {type = 'SGD', momentum = 0.9}\nclass_weight = {0 = 2.0}\n"
        "callbacks = [{type = 'EarlyStopping', patience = 2}]\n[run]\nfolder = 'runs/a'\n"
    )
    first = resolve(file(text), {}, {})
    again = resolve(file(to_toml(first)), {}, {})
    assert again == first and tomllib.loads(to_toml(first))["run"]["folder"] == "runs/a"


def test_every_section_is_a_field_and_every_key_has_a_kind():
    assert {"file", "named", *SECTIONS} == {known.name for known in fields(Config)}
    assert all("kind" in known.metadata for section in SECTIONS.values() for known in fields(section))
