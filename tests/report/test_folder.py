"""A run's folder: what is in it while training goes on, when it has ended, and when it ended badly."""

import json
import resource

import numpy as np
import pytest

from firesteel.callbacks import Callback, EarlyStopping
from firesteel.datasets import load_digits
from firesteel.errors import ConfigError, DivergenceError, StoreError
from firesteel.layers import Dense, Rescaling
from firesteel.models import Sequential, load_model
from firesteel.optimizers import SGD
from firesteel.report import RunFolder, folder, next_folder, page
from firesteel.search.members import fit_members
from firesteel.tables.arrays import Arrays
from firesteel.tables.sampling import sample
from firesteel.train.recipe import Recipe
from tests.support import graphs

(X, Y), (X_TEST, Y_TEST) = ((x.reshape(len(x), -1)[:300], y[:300]) for x, y in load_digits())


def build(optimizer="adam"):
    model = Sequential([Rescaling(1 / 16, input_dim=64), Dense(16, "relu"), Dense(10, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(callbacks, model=None, **settings):
    model = model or build()
    model.fit(X, Y, **{"epochs": 3, "verbose": 0, "seed": 1} | settings, callbacks=callbacks)
    return model


def read(place, name):
    return json.loads((place / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["twice", "kind_and_size"])
def test_a_functional_model_is_saved_and_named_as_code(tmp_path, name):
    model = graphs.called(name)
    model.fit(*graphs.parted(model), epochs=2, verbose=0, validation_split=0.2, callbacks=[RunFolder(tmp_path / "r")])
    assert load_model(tmp_path / "r/model.firesteel").fingerprint() == model.fingerprint()
    metrics, text = read(tmp_path / "r", "metrics.json"), (tmp_path / "r/config.toml").read_text()
    assert metrics["scores"]["validation"].keys() == set(model.metrics_names)
    assert 'code = [\n    "Model",\n]' in text and "model.layers" not in text


def test_a_finished_run_holds_the_model_its_history_and_its_scores(tmp_path):
    place = tmp_path / "runs" / "one"
    model = fit([RunFolder(place, (X_TEST, Y_TEST), picture=(8, 8))], validation_split=0.1)
    assert sorted(path.name for path in place.iterdir()) == sorted(folder.FILES)
    assert load_model(place / "model.firesteel").fingerprint() == model.fingerprint()
    rows = [json.loads(line) for line in (place / "history.jsonl").read_text().splitlines()]
    assert rows == model.history.rows
    metrics = read(place, "metrics.json")
    loss, accuracy = model.evaluate(X_TEST, Y_TEST, verbose=0)
    assert metrics["scores"]["test"] == {"rows": 300, "loss": loss, "accuracy": accuracy}
    assert metrics["scores"]["validation"] == {name: rows[-1][f"val_{name}"] for name in ("loss", "accuracy")}
    assert metrics["scores"]["training"] == {name: rows[-1][name] for name in ("loss", "accuracy")}
    assert metrics["status"] == "finished" and metrics["task"] == "classification" and metrics["picture"] == [8, 8]
    assert metrics["fingerprint"] == model.fingerprint() == read(place, "env.json")["fingerprint"]
    assert metrics["evidence"]["set"] == "test" and metrics["evidence"]["score"] == pytest.approx(accuracy)
    assert metrics["shard_seconds"] == [pytest.approx(sum(row["by_shard"][0] for row in rows))]
    assert f"{accuracy:.3f}"[:4] in (place / "report.html").read_text(encoding="utf-8")


def test_writing_a_run_leaves_the_bits_alone(tmp_path):
    assert fit([RunFolder(tmp_path / "run")]).fingerprint() == fit([]).fingerprint()


def test_the_report_uses_validation_rows_or_else_training_rows(tmp_path):
    fit([RunFolder(tmp_path / "held")], validation_split=0.2)
    fit([RunFolder(tmp_path / "all")])
    assert read(tmp_path / "held", "metrics.json")["evidence"]["set"] == "validation"
    assert read(tmp_path / "all", "metrics.json")["evidence"]["of"] == 300


def test_scores_are_those_of_the_best_epoch(tmp_path):
    keep = EarlyStopping("val_accuracy", patience=1, restore_best_weights=True)
    model = fit([keep, RunFolder(tmp_path / "run")], build(SGD(0.5)), epochs=20, validation_split=0.2)
    metrics, best = read(tmp_path / "run", "metrics.json"), model.history.best
    assert metrics["best_epoch"] == best < len(model.history.rows) - 1
    assert metrics["scores"]["validation"]["accuracy"] == model.history.rows[best]["val_accuracy"]


class Peek(Callback):
    """Keeps what the folder shows after each epoch."""

    def __init__(self, place):
        self.place, self.seen = place, []

    def on_epoch_end(self, epoch, logs=None):
        page = (self.place / "report.html").read_text(encoding="utf-8")
        lines = (self.place / "history.jsonl").read_text().count("\n")
        self.seen.append((read(self.place, "metrics.json")["status"], lines, "http-equiv" in page))


def test_a_run_can_be_watched(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "PAUSE", 0.0)
    peek = Peek(tmp_path / "run")
    fit([RunFolder(tmp_path / "run"), peek])
    assert peek.seen == [("training", 1, True), ("training", 2, True), ("training", 3, True)]
    assert 'http-equiv="refresh"' not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_members_make_one_run_of_their_average_on_the_rows_that_each_was_trained_without(tmp_path):
    run, source = RunFolder(tmp_path / "run"), Arrays(X, Y[:, None], None, "float32")
    made = []

    def member(number):
        made.append(build(SGD(1e30) if number == 1 else "adam"))
        return made[-1]

    def given(number):
        return {"callbacks": [run], "extra": {"member": number, "members": 3}}

    average, history = fit_members(member, source, Recipe(epochs=3), 3, given)
    model = Sequential.from_bytes(average.to_bytes(include_optimizer=False))
    model.history = history
    with source.engine(1) as engine:
        run.end_members(model, engine)
    metrics, found = read(tmp_path / "run", "metrics.json"), read(tmp_path / "run", "metrics.json")["evidence"]
    assert metrics["fingerprint"] == model.fingerprint() and metrics["status"] == "finished"
    kept = [0, 2]
    assert [one["member"] for one in metrics["members"]] == [0, 2, 1] and "infinite" in metrics["members"][2][
        "left_out"
    ]
    hits = rows = 0
    for number, model in zip(kept, average.members, strict=True):
        with source.folded(number, 3).engine(held=True) as held:
            x, y, _ = sample(held, made[number]._objective(), made[number].theta)
        hits, rows = hits + (model.predict(x).argmax(1) == y[:, 0]).sum(), rows + len(x)
    assert found["members"] == 2 and found["rows"] == found["of"] == rows < 300 == metrics["rows"]
    assert found["score"] == pytest.approx(hits / rows) == metrics["scores"]["validation"]["accuracy"]
    assert sum(map(sum, found["confusion"])) == rows and found["importance"]["rows"] == pytest.approx(rows, abs=2)
    shown = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"{rows} held-out rows, each predicted by the one of 2 members that was trained without it" in shown
    assert "Line chart over 6 epochs of 2 trainings" in shown and "Points to check: member 2 was left out" in shown


class Break(Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_run_says_so_and_may_be_run_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit([RunFolder(tmp_path / "run"), Break()])
    metrics = read(tmp_path / "run", "metrics.json")
    assert metrics["status"] == "interrupted" and "evidence" not in metrics
    load_model(tmp_path / "run" / "model.firesteel")
    fit([RunFolder(tmp_path / "run")])
    assert read(tmp_path / "run", "metrics.json")["status"] == "finished"


def test_r46_what_is_secret_in_addresses_and_the_environment_stays_out_of_a_run(tmp_path, monkeypatch):
    token = "tOkEn0f6e9c4b"
    address = f"s3a://reader:{token}@bucket/rows.parquet"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", token)
    model = fit([RunFolder(tmp_path / "run", config={"data": {"train": address, "test": address}})])
    model.save(tmp_path / "m")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(folder.FILES) + 1
    assert not [path for path in files if token.encode() in path.read_bytes()]
    assert 'train = "s3a://bucket/rows.parquet"' in (tmp_path / "run" / "config.toml").read_text()


class Fill(Callback):
    """Lets files grow by ten bytes more than the history has after the first epoch."""

    def __init__(self, place):
        self.place = place

    def on_epoch_end(self, epoch, logs=None):
        size = (self.place / "history.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))


def test_r37_an_epoch_that_cannot_be_written_ends_the_run_and_leaves_whole_lines(tmp_path):
    place = tmp_path / "run"
    try:
        with pytest.raises(StoreError, match=r"history.jsonl cannot be written: File too large") as caught:
            fit([RunFolder(place), Fill(place)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert caught.value.code == "store-write"
    assert [json.loads(line)["epoch"] for line in (place / "history.jsonl").read_text().splitlines()] == [0]
    assert not [path for path in place.iterdir() if path.name not in folder.FILES]
    page.render(place)
    fit([RunFolder(place)])


def test_a_folder_that_was_written_once_is_not_touched_again(tmp_path):
    run = RunFolder(tmp_path / "run")
    fit([run])
    with pytest.raises(ConfigError, match="contains a complete run"):
        fit([run])
    assert read(tmp_path / "run", "metrics.json")["status"] == "finished"


def test_r36_what_a_killed_run_left_half_written_is_removed_by_the_next(tmp_path):
    place = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit([RunFolder(place), Break()])
    for name in (".report.html.k3x_2q", ".model.firesteel.abc", ".checkpoint.1"):
        (place / name).write_bytes(b"half")
    fit([RunFolder(place)])
    assert sorted(path.name for path in place.iterdir()) == sorted(folder.FILES)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".reports").write_text("")
    with pytest.raises(ConfigError, match=r"contains '.reports'"):
        fit([RunFolder(tmp_path / "mine")])


def test_a_diverged_run_keeps_the_last_good_weights(tmp_path):
    with pytest.raises(DivergenceError) as caught:
        fit([RunFolder(tmp_path / "run")], build(SGD(1e38)))
    metrics = read(tmp_path / "run", "metrics.json")
    assert metrics["status"] == "diverged"
    kept = load_model(tmp_path / "run" / "model.firesteel")
    np.testing.assert_array_equal(kept.theta, caught.value.state.theta)


def test_what_is_there_is_never_lost(tmp_path):
    fit([RunFolder(tmp_path / "run")])
    before = (tmp_path / "run" / "model.firesteel").read_bytes()
    with pytest.raises(ConfigError, match="contains a complete run") as caught:
        fit([RunFolder(tmp_path / "run")], epochs=1)
    assert caught.value.code == "config-folder"
    assert (tmp_path / "run" / "model.firesteel").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"contains 'thesis.txt'"):
        fit([RunFolder(tmp_path / "mine")])
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        fit([RunFolder(tmp_path / "file" / "run")])


def test_weights_that_were_not_initialized_are_saved_with_the_settings(tmp_path):
    model = build()
    model.set_weights([0.01 * np.ones_like(array) for array in model.get_weights()])
    start = model.fingerprint()
    fit([RunFolder(tmp_path / "run")], model)
    assert 'initial = "start.firesteel"' in (tmp_path / "run" / "config.toml").read_text()
    assert load_model(tmp_path / "run" / "start.firesteel").fingerprint() == start


def test_names_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    for names in ({"class_names": "ab"}, {"feature_names": ["a"]}, {"picture": (8, 9)}):
        with pytest.raises(ConfigError) as caught:
            fit([RunFolder(tmp_path / "run", **names)])
        assert caught.value.code == "config-names"
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_named_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "find_spec", lambda name: None if name == "jinja2" else name)
    with pytest.raises(ConfigError, match=r'needs jinja2: pip install "firesteel\[cli\]"'):
        RunFolder(tmp_path / "run")


def test_numbered_folders_are_taken_once(tmp_path):
    assert [next_folder(tmp_path / "runs").name for _ in range(3)] == ["001", "002", "003"]
