"""Runs: a file of settings trains the same network every time, and so does what a run leaves behind."""

import json
import shutil
import tomllib

import pytest
from conftest import write_pets

from firesteel.cli import main
from firesteel.layers import Dense
from firesteel.models import Sequential, load_model
from tests.support import graphs

SETTINGS = """
[data]
train = "digits"
[model]
hidden = [20, 12]
activation = "tanh"
dropout = 0.1
[training]
epochs = 4
batch_size = 50
shards = 2
validation_split = 0.2
seed = 9
optimizer = {type = "SGD", learning_rate = 0.1, momentum = 0.9}
callbacks = [{type = "EarlyStopping", patience = 1, min_delta = 5.0, restore_best_weights = true}]
"""


def last(out):
    return out.splitlines()[-1]


@pytest.fixture
def toml(tmp_path):
    (tmp_path / "run.toml").write_text(SETTINGS)
    return tmp_path / "run.toml"


def test_a_file_twice_gives_one_fingerprint(run, toml):
    outs = [run("train", toml) for _ in range(2)]
    assert [code for code, _, _ in outs] == [0, 0]
    assert last(outs[0][1]) == last(outs[1][1]) != last(run("train", toml, "--seed", "1")[1])
    assert outs[0][1].count("epoch ") == 2  # the callback ends it


def test_what_is_printed_trains_the_same(run, toml, tmp_path):
    code, printed, err = run("train", toml, "--print-config", "--epochs", "3")
    assert (code, err) == (0, "") and tomllib.loads(printed)["training"]["epochs"] == 3
    (tmp_path / "again.toml").write_text(printed)
    assert last(run("train", tmp_path / "again.toml")[1]) == last(run("train", toml, "--epochs", "3")[1])


@pytest.mark.parametrize("argv", [[], ["--engine", "local", "--loss", "sparse_categorical_crossentropy"]])
def test_the_settings_in_a_run_folder_train_the_same_network_again(run, toml, tmp_path, argv):
    folder = tmp_path / "runs" / "a"
    code, out, err = run("train", toml, "--run", folder, *argv)
    assert (code, err) == (0, "")
    assert load_model(folder / "model.firesteel").fingerprint() == last(out).removeprefix("fingerprint ")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"config.toml", "metrics.json", "report.html"} <= before.keys()
    assert last(run("train", folder / "config.toml")[1]) == last(out)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before  # a repetition leaves it alone
    _, other, _ = run("train", folder / "config.toml", "--run", tmp_path / "b")
    assert last(other) == last(out)
    code, out, err = run("train", toml, "--run", folder)
    assert (code, out) == (2, "") and "contains a complete run" in err


def test_tables_and_numbers_to_predict_are_trained_again_too(run, pets, houses, tmp_path):
    for number, argv in enumerate(
        (["--data", pets, "--label", "kind", "--validation-split", "0.2"], ["--data", houses, "--label", "price"])
    ):
        folder = tmp_path / f"run{number}"
        _, out, _ = run("train", *argv, "--epochs", "3", "--run", folder)
        assert last(run("train", folder / "config.toml")[1]) == last(out)
    settings = tomllib.loads((tmp_path / "run0" / "config.toml").read_text())
    assert settings["data"]["class_names"] == ["cat", "dog", "fish"]
    assert settings["data"]["features"] == ["weight", "age", "tail"]


def test_initial_weights_are_in_the_folder_of_the_file(run, tmp_path, toml):
    layers = [Dense(5, "relu", input_dim=64), Dense(10, "softmax")]
    model = Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "start.firesteel")
    text = '[model]\ninitial = "start.firesteel"\nhidden = [5]\nscale = 1\n[training]\nepochs = 1\n'
    (tmp_path / "more.toml").write_text(text)
    _, out, _ = run("train", tmp_path / "more.toml")
    (tmp_path / "more.toml").write_text(text.replace('initial = "start.firesteel"\n', ""))
    assert last(run("train", tmp_path / "more.toml", "--seed", "0")[1]) == last(out)  # seed 0 drew those weights
    assert last(run("train", tmp_path / "more.toml", "--seed", "1")[1]) != last(out)
    (tmp_path / "more.toml").write_text(text.replace("start", "none"))
    code, _, err = run("train", tmp_path / "more.toml")
    assert code == 3 and "none.firesteel cannot be read" in err


def test_code_that_a_file_cannot_hold_is_named(run, tmp_path):
    (tmp_path / "code.toml").write_text('[training]\nepochs = 1\ncode = ["MyCallback"]\nwent_on = true\n')
    code, out, err = run("train", tmp_path / "code.toml")
    assert code == 0 and last(out).startswith("fingerprint ")
    assert err.splitlines()[0].startswith("firesteel: warning: MyCallback is Python code") and "continued" in err


@pytest.mark.parametrize(
    "text, said",
    [
        ('[data]\ntrain = "arrays"\nrows = 5\n', "were arrays in memory, not in a file"),
        ('[training]\ncallbacks = [{type = "EarlyStoping"}]\n', "did you mean 'EarlyStopping'?"),
        ('[training]\ncallbacks = [{type = "EarlyStopping", patients = 3}]\n', "did you mean 'patience'?"),
        ('[training]\noptimizer = {type = "Adam", learningrate = 3}\n', "did you mean 'learning_rate'?"),
        ('[[model.layers]]\ntype = "Dens"\n', "did you mean 'Dense'?"),
        ("[model]\nlayers = []\n", "it must be a list of tables with a type, one at least"),
        ("[data]\npicture = [8]\n", "picture = [8]: it must be two whole numbers of at least 1, height and width"),
        ("[training]\noptimizer = {}\n", "optimizer = {}: it must be a name, or a table with a type"),
        ("[training]\nclass_weight = {cat = 2.0}\n", 'it must be "balanced", or a table of class numbers and their'),
        ('[training]\ncallbacks = [{monitor = "loss"}]\n', "it must be a list of tables with a type"),
        (
            '[training]\ncallbacks = [{type = "EarlyStopping", min_delta = "y"}]\n',
            "EarlyStopping: min_delta = 'y': it must be a number",
        ),
        (
            '[training]\ncallbacks = [{type = "EarlyStopping", restore_best_weights = 1}]\n',
            "it must be true or false",
        ),
    ],
)
def test_what_a_file_says_wrongly_is_one_line(run, tmp_path, text, said):
    (tmp_path / "run.toml").write_text(text)
    code, out, err = run("train", tmp_path / "run.toml")
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1


def test_no_metrics_are_no_metrics_when_printed_too(run, tmp_path):
    (tmp_path / "run.toml").write_text("[training]\nmetrics = []\n")
    assert tomllib.loads(run("train", tmp_path / "run.toml", "--print-config")[1])["training"]["metrics"] == []


def test_rows_that_were_in_memory_can_be_named(run, tmp_path):
    (tmp_path / "run.toml").write_text('[data]\ntrain = "arrays"\nrows = 5\n[training]\nepochs = 1\n')
    code, out, _ = run("train", tmp_path / "run.toml", "--data", "digits")
    assert code == 0 and last(out) == last(run("train", "--epochs", "1")[1])


# Using a run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    write_pets(folder / "pets.csv")
    argv = ["--label", "kind", "--epochs", "20", "--test", folder / "pets.csv", "--run", folder / "r"]
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--data", *map(str, [folder / "pets.csv", *argv])])
    return folder / "r"


@pytest.fixture
def kept(trained, pets, tmp_path):
    """A copy of a run that was trained on the pets."""
    return shutil.copytree(trained, tmp_path / "r")


def test_a_model_is_scored_on_any_rows(run, kept, pets):
    scores = json.loads((kept / "metrics.json").read_text())["scores"]["test"]
    code, out, err = run("evaluate", kept, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"rows": 240, "loss": scores["loss"], "accuracy": scores["accuracy"]}
    shuffled = pets.with_name("other.csv")
    rows = [line.split(",") for line in pets.read_text().splitlines()]
    shuffled.write_text("\n".join(",".join([c, d, a, b]) for a, b, c, d in rows if c != "false") + "\n")
    code, out, _ = run("evaluate", kept / "model.firesteel", "--data", shuffled)
    assert code == 0 and out.startswith("1") and "accuracy 0.9" in out or "accuracy 1.0" in out


def test_predictions_are_the_classes_by_name(run, kept, pets, tmp_path):
    code, out, err = run("predict", kept, "--data", pets, "--out", tmp_path / "p.csv")
    assert (code, out, err) == (0, f"{tmp_path / 'p.csv'}  240 rows\n", "")
    header, *rows = (line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines())
    assert header == ["prediction", "probability_cat", "probability_dog", "probability_fish"]
    truth = [line.split(",")[3] for line in pets.read_text().splitlines()[1:]]
    assert sum(row[0] == kind for row, kind in zip(rows, truth, strict=True)) > 220
    assert all(abs(sum(map(float, row[1:])) - 1) < 1e-5 for row in rows)
    code, _, err = run("predict", kept, "--data", pets, "--out", tmp_path / "p.csv")
    assert code == 3 and "already exists" in err


@pytest.mark.parametrize("ending", [".parquet", ".npy"])
def test_predictions_go_to_other_formats_and_need_no_labels(run, kept, pets, tmp_path, ending):
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(line.rsplit(",", 1)[0] for line in pets.read_text().splitlines()) + "\n")
    assert run("predict", kept, "--data", bare, "--out", tmp_path / f"p{ending}")[0] == 0
    assert (tmp_path / f"p{ending}").stat().st_size > 240 * 4


def test_numbers_are_predicted_in_their_units(run, houses, tmp_path):
    run("train", "--data", houses, "--label", "price", "--epochs", "60", "--run", tmp_path / "r")
    run("predict", tmp_path / "r", "--data", houses, "--out", tmp_path / "p.csv")
    header, *rows = (tmp_path / "p.csv").read_text().splitlines()
    truth = [float(line.split(",")[2]) for line in houses.read_text().splitlines()[1:]]
    error = sum(abs(float(row) - price) for row, price in zip(rows, truth, strict=True)) / len(rows)
    assert header == "prediction" and error < 40_000


def test_a_model_is_shown(run, kept):
    code, out, err = run("inspect", kept)
    model = load_model(kept / "model.firesteel")
    assert (code, err) == (0, "")
    assert "dense_1 (Dense)" in out and "cat, dog, fish" in out and "Adam(learning_rate=0.001" in out
    assert last(out) == f"fingerprint {model.fingerprint()}"
    facts = json.loads(run("inspect", kept / "model.firesteel", "--json")[1])
    assert facts["fingerprint"] == model.fingerprint() and len(facts["checksum"]) == 64
    assert facts["layers"][1]["units"] == 64 and facts["compiled"]["loss"]["type"].startswith("Sparse")


def test_a_report_is_drawn_again(run, kept):
    (kept / "report.html").unlink()
    code, out, err = run("report", kept)
    assert (code, err) == (0, "") and out.startswith(f"{kept / 'report.html'}  ")
    assert "<html" in (kept / "report.html").read_text()


@pytest.mark.parametrize(
    "argv, code, said",
    [
        (["evaluate", "none"], 3, "none cannot be read: No such file"),
        (["evaluate", "."], 3, "this folder has no model.firesteel"),
        (["evaluate", "pets.csv"], 3, "pets.csv is not a firesteel model"),
        (["inspect", "pets.csv"], 3, "pets.csv is not a firesteel model"),
        (["report", "."], 3, "metrics.json"),
        (["evaluate", "lone.firesteel"], 2, "choose the rows with --data"),
        (
            ["evaluate", "lone.firesteel", "--data", "pets.csv", "--label", "kind"],
            2,
            "does not contain the names of the classes",
        ),
        (["evaluate", "r", "--data", "houses.csv"], 3, "houses.csv: there is no column 'weight'"),
        (
            ["predict", "r", "--data", "pets.csv", "--out", "p.txt"],
            2,
            "--out p.txt: the extension must be one of .csv",
        ),
        (["evaluate", "r", "--data", "digits"], 3, "digits has 64 values per row, but the network takes 3"),
    ],
)
def test_misuse_is_one_line(run, kept, houses, tmp_path, monkeypatch, argv, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lone.firesteel").write_bytes((kept / "model.firesteel").read_bytes())
    ended, out, err = run(*argv)
    assert (ended, out) == (code, ""), err
    assert said in err and err.startswith("firesteel: ") and err.count("\n") == 1


def test_a_model_of_several_inputs_and_outputs_is_shown_and_not_scored(run, pets, tmp_path):
    path = tmp_path / "two.firesteel"
    graphs.called("kind_and_size").save(path)
    code, out, err = run("inspect", path)
    assert (code, err) == (0, "") and "loss        kind=SparseCategoricalCrossentropy(" in out
    for argv in (("evaluate", path, "--data", pets), ("predict", path, "--data", pets, "--out", tmp_path / "p.csv")):
        code, _, err = run(*argv)
        assert code == 2 and "has the inputs a, b and the outputs kind, size, but the command line" in err
