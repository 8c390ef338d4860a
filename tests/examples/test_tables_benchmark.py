"""The benchmark of mixed tables: its scores and gaps, what is kept, and which tables no choice may look at."""

import json
import math
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss as their_log_loss
from sklearn.metrics import roc_auc_score

from benchmarks.tables import SET_ASIDE, TABLES, Split, Table, score, splits, tables
from benchmarks.tables.command import main
from benchmarks.tables.models import MODELS
from benchmarks.tables.peers import TREES, Model, categories, columns, constant
from benchmarks.tables.results import Results, report
from benchmarks.tables.runs import finished, kept, path, perform, plan
from benchmarks.tables.scores import auc, behind, gap, log_loss, mean_and_error, measure

RNG = np.random.default_rng(0)
WORDS = pd.DataFrame({"x": np.arange(100.0), "target": ["no"] * 80 + ["yes"] * 20})
NUMBERS = pd.DataFrame({"x": np.arange(100.0), "target": np.arange(100.0)})


@pytest.fixture
def folder(tmp_path):
    for name in TABLES:
        (WORDS if name in ("churn", "credit") else NUMBERS).to_parquet(tmp_path / f"{name}.parquet")
    return tmp_path


# Scores


def test_the_area_under_the_curve_is_scikit_learns_with_ties_too():
    positive, scores = RNG.random(500) < 0.3, RNG.integers(0, 20, 500) / 20
    assert auc(positive, scores) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert auc(np.array([True, False]), np.array([0.5, 0.5])) == 0.5


def test_the_log_loss_is_scikit_learns():
    classes, probabilities = RNG.integers(0, 3, 200), RNG.dirichlet(np.ones(3), 200)
    assert log_loss(classes, probabilities) == pytest.approx(their_log_loss(classes, probabilities), abs=1e-12)
    assert log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-math.log(1e-15))


def test_each_kind_has_its_metric():
    assert measure("regression", np.array([1.0, 2.0]), np.array([1.0, 4.0])) == {"rmse": pytest.approx(2**0.5)}
    half = np.array([[0.5, 0.5], [0.2, 0.8]])
    assert measure("binary", np.array([0, 1]), half) == {"auc": 1.0, "log_loss": pytest.approx(-math.log(0.4) / 2)}
    found = measure("multiclass", np.array([2, 1]), np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]))
    assert found == {"accuracy": 0.5, "log_loss": pytest.approx(-math.log(0.21) / 2)}


@pytest.mark.parametrize("found", [np.zeros((2, 1)), np.zeros(3), np.array([0.0, np.nan])])
def test_predictions_of_another_shape_or_not_finite_have_no_score(found):
    with pytest.raises(ValueError, match="predictions of shape"):
        measure("regression", np.zeros(2), found)


def test_a_gap_is_how_much_worse_in_percent_of_the_best():
    assert gap("auc", 0.8357, 0.8451) == pytest.approx(1.112, abs=1e-3)
    assert gap("rmse", 22.0, 20.0) == pytest.approx(10) and gap("log_loss", 0.9, 1.0) == pytest.approx(-10)


def test_a_standard_error_is_of_the_mean():
    assert mean_and_error([1.0, 2.0, 3.0]) == (2.0, pytest.approx(1 / 3**0.5))
    assert math.isnan(mean_and_error([1.0])[1])


def test_behind_is_more_than_a_standard_error_of_the_difference_split_by_split():
    linear = {"0": 1.0, "1": 2.0, "2": 3.0}
    assert behind("rmse", {name: value * 1.01 + 0.001 for name, value in linear.items()}, linear)
    assert not behind("rmse", {"0": 1.1, "1": 1.8, "2": 3.0}, linear)
    assert not behind("rmse", {"0": 2.0}, linear), "one split has no standard error"


def test_a_model_gets_no_label_of_the_rows_that_it_is_scored_on():
    seen = {}

    def fit_predict(train, target, test, kind):
        seen.update(train=list(train), target=target, test=list(test), kind=kind)
        return constant(train, target, test, kind)

    found = score(fit_predict, Table("t", "binary", WORDS), next(splits(Table("t", "binary", WORDS))))
    assert seen == {"train": ["x", "target"], "target": "target", "test": ["x"], "kind": "binary"}
    assert found["auc"] == 0.5 and found["log_loss"] == pytest.approx(-0.8 * math.log(0.8) - 0.2 * math.log(0.2))
    assert found["seconds"] > 0 and found["processor_seconds"] >= 0


# Tables and splits


def test_every_fourth_table_by_name_is_set_aside_and_there_are_some_of_both_kinds():
    assert tuple(sorted(TABLES)) == TABLES and TABLES[2::4] == SET_ASIDE


def test_no_choice_sees_a_table_that_is_set_aside(folder):
    assert {table.name for table in tables(folder)} == set(TABLES)
    assert {table.name for table in tables(folder, choose=True)} == set(TABLES) - set(SET_ASIDE)
    runs = plan(["firesteel", "constant"], TABLES, choose=True, confirm=True)
    assert len(runs) == 2 * 8 * 3 and not {name for _, name, _ in runs} & set(SET_ASIDE)


def test_firesteel_is_scored_on_tables_set_aside_only_to_confirm():
    runs = plan(["firesteel", "firesteel-4", "constant"], TABLES, choose=False, confirm=False)
    assert {model for model, name, _ in runs if name in SET_ASIDE} == {"constant"} and len(runs) == 33 + 2 * 24
    assert len(plan(["firesteel", "constant"], TABLES, choose=False, confirm=True)) == 66


def test_a_table_is_split_four_to_one_with_the_classes_in_their_shares():
    found = list(splits(Table("t", "binary", WORDS)))
    assert [split.name for split in found] == ["0", "1", "2"]
    for split in found:
        assert len(split.train) == 80 and sorted([*split.train.x, *split.test.x]) == list(WORDS.x)
        assert (split.test.target == "yes").sum() == 4
    assert len({tuple(split.test.x) for split in found}) == 3


def test_choices_are_made_on_rows_of_the_first_training_part():
    table = Table("t", "regression", NUMBERS)
    first, found = next(splits(table)), list(splits(table, choose=True))
    assert [split.name for split in found] == ["choose-0", "choose-1", "choose-2"]
    for split in found:
        assert len(split.test) == 16 and sorted([*split.train.x, *split.test.x]) == sorted(first.train.x)


def test_what_is_predicted_follows_from_the_label(folder):
    kinds = {table.name: table.kind for table in tables(folder)}
    assert kinds["churn"] == "binary" and kinds["ames"] == "regression"
    WORDS.assign(target=["a", "b", "c", "d"] * 25).to_parquet(folder / "churn.parquet")
    assert {table.name: table.kind for table in tables(folder)}["churn"] == "multiclass"


# What peers are given


def test_times_become_numbers_and_what_does_not_vary_is_left_out():
    when = pd.to_datetime(["1970-01-02 06:00", "1970-02-01 12:00", "1970-02-03 12:00"], utc=True)
    train = pd.DataFrame({"when": when[:2], "flag": [True, False], "target": ["b", "a"]})
    x, test, y = columns(train, "target", pd.DataFrame({"when": when[2:], "flag": [True]}))
    assert list(x) == ["flag", "when_days", "when_month", "when_day", "when_weekday", "when_hour"]
    assert list(x.when_days) == [1.25, 31.5] and list(test.when_days) == [33.5] and list(x.flag) == [1, 0]
    assert list(y) == [1, 0] and list(test.index) == [0]
    assert "when_hour" not in columns(train.assign(when=train.when.dt.normalize()), "target", train.iloc[:0])[0]


def test_a_word_that_training_had_not_is_missing():
    x, test = categories(pd.DataFrame({"w": ["b", "a", None]}), pd.DataFrame({"w": ["c", "b"]}))
    assert list(x.w.cat.categories) == ["a", "b"] and list(test.w.cat.codes) == [-1, 1]


# What is kept


def test_a_score_is_kept_and_its_run_is_finished(folder):
    run = ("constant", "ames", "0")
    assert kept(folder, run) is None and not finished(None, 1.0)
    record = perform(folder, run, threads=1, limit=60.0)
    assert kept(folder, run) == record and finished(record, 60.0)
    assert record["rmse"] > 0 and record["threads"] == 1 and "pandas" in record["versions"]
    assert {"seconds", "processor_seconds", "model", "table", "split"} <= set(record)


def test_what_took_too_long_is_recorded_and_tried_again_with_more_time(folder):
    record = perform(folder, ("constant", "ames", "0"), threads=1, limit=0.01)
    assert record["failed"] == "no result within 0 s" and finished(record, 0.01) and not finished(record, 1.0)


def test_what_failed_says_why_and_is_tried_again(folder):
    (folder / "ames.parquet").unlink()
    record = perform(folder, ("constant", "ames", "0"), threads=1, limit=60.0)
    assert "FileNotFoundError" in record["failed"] and not finished(record, 60.0)


def test_the_command_runs_what_has_no_score_and_prints_what_there_is(folder, monkeypatch, capsys):
    done = []

    def performed(folder, run, threads, limit):
        done.append(run)
        record = dict(zip(("model", "table", "split"), run, strict=True)) | {"rmse": 1.0, "seconds": 2.0}
        record |= {"processor_seconds": 1.0, "threads": threads, "versions": {"pandas": "2"}}
        path(folder, run).parent.mkdir(parents=True, exist_ok=True)
        path(folder, run).write_text(json.dumps(record))
        return record

    monkeypatch.setattr("benchmarks.tables.command.perform", performed)
    monkeypatch.setitem(MODELS, "absent", Model(constant, ("nosuchmodule",)))
    words = [str(folder), "--models", "constant,absent", "--tables", "ames,bikes", "--splits", "0,1"]
    main(words)
    out, err = capsys.readouterr()
    assert done == [("constant", name, split) for split in "01" for name in ("ames", "bikes")]
    assert "absent is omitted: nosuchmodule is not installed" in err and "constant ames 0: rmse 1" in err
    assert "| ames | rmse | 1 ± 0.0000 (2) |" in out
    main(words)
    assert len(done) == 4, "finished runs are not run again"
    main([*words, "--again"])
    assert len(done) == 8
    main([*words, "--choose"])
    assert done[8:] == [("constant", name, f"choose-{split}") for split in "01" for name in ("ames", "bikes")]


# What is printed


def record(model, table, split, **values):
    return (
        {"model": model, "table": table, "split": split, "threads": 2, "versions": {"a": "1"}}
        | values
        | {
            "seconds": 1.0,
            "processor_seconds": 2.0,
        }
    )


RECORDS = [
    *(record("lightgbm", "credit", s, auc=a, log_loss=0.5) for s, a in zip("012", (0.80, 0.84, 0.82), strict=True)),
    *(record("xgboost", "credit", s, auc=a, log_loss=0.6) for s, a in zip("01", (0.9, 0.9), strict=True)),
    *(record("linear", "credit", s, auc=a, log_loss=0.4) for s, a in zip("012", (0.82, 0.83, 0.84), strict=True)),
    record("linear", "ames", "0", rmse=2000.0),
    record("catboost", "ames", "0", rmse=1600.0),
    {"model": "mlp", "table": "ames", "split": "0", "threads": 2, "failed": "a\nno result within 900 s"},
]


def test_a_gap_is_to_the_tree_with_the_best_mean_on_the_same_splits():
    results = Results(RECORDS)
    assert results.best("credit", "012") == ("lightgbm", pytest.approx(0.82)), "xgboost has no third split"
    assert results.best("credit", "01") == ("xgboost", pytest.approx(0.9))
    assert results.gap("linear", "credit") == pytest.approx(100 * (0.82 - 0.83) / 0.82)
    assert results.gap("linear", "ames") == pytest.approx(25)
    assert math.isnan(results.gap("lightgbm", "ames"))


def test_where_a_model_is_behind_a_baseline_is_said():
    assert Results(RECORDS).behind("lightgbm") == ["credit (log_loss, linear)"]
    assert Results(RECORDS).behind("linear") == []


def test_the_report_is_markdown_and_hides_nothing():
    text = "\n".join(report(RECORDS))
    assert "| credit | auc | 0.8200 ± 0.0115 | 0.9000 ± 0.0000 (2) | – | 0.8300 ± 0.0058 |" in text
    assert "| ames | rmse | – | – | 1,600 (1) | 2,000 (1) |" in text
    assert "| ames | catboost | – | – | +0.0 | +25.0 |" in text
    assert "- mlp, ames, split 0: no result within 900 s" in text
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 4 and all(len({line.count("|") for line in lines}) == 1 for lines in tables)


def test_a_table_that_is_set_aside_has_a_star():
    assert "| churn* | auc |" in "\n".join(report([record("constant", "churn", "0", auc=0.5, log_loss=0.6)]))


def test_the_benchmarks_command_has_the_tables(monkeypatch, capsys):
    from benchmarks.__main__ import main as benchmarks

    monkeypatch.setattr(sys, "argv", ["benchmarks", "tables", "--help"])
    with pytest.raises(SystemExit):
        benchmarks()
    assert "python -m benchmarks tables" in capsys.readouterr().out
    assert isinstance(next(splits(Table("t", "regression", NUMBERS))), Split)


def test_sparks_models_are_run_where_they_are_asked_for(monkeypatch, folder, capsys):
    done = []
    monkeypatch.setattr("benchmarks.tables.command.perform", lambda folder, run, *_: done.append(run) or {})
    monkeypatch.setattr(Model, "missing", lambda model: [])
    main([str(folder), "--tables", "ames", "--splits", "0"])
    usual = {model for model, _, _ in done}
    assert {"constant", "linear", "mlp", "realmlp", *TREES} <= usual
    main([str(folder), "--tables", "ames", "--splits", "0", "--spark"])
    assert {model for model, _, _ in done} - usual == {"spark-linear", "spark-forest", "spark-gbt"}


def test_firesteel_comes_first_in_the_report():
    found = [
        record(name, "ames", "0", rmse=1.0) for name in ("linear", "catboost", "mlp", "firesteel-1", "firesteel")
    ]
    assert Results(found).models == ["firesteel", "firesteel-1", "catboost", "linear", "mlp"]
