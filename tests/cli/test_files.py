"""Training on files: every format gives the same network, and each mistake is one line with its place."""

import json
import sys

import numpy as np
import pytest
from conftest import write_pets

from firesteel.cli import main
from firesteel.datasets import load_digits


def fingerprint(out):
    return out.splitlines()[-1].removeprefix("fingerprint ")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The digits in every format, under the names that `data convert` gives."""
    folder = tmp_path_factory.mktemp("digits")
    for to in ("csv", "idx", "libsvm", "npz", "parquet"):
        with pytest.raises(SystemExit, match="0"):
            main(["data", "convert", "digits", str(folder), "--to", to])
    (x, y), _ = load_digits()
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    return folder


FORMATS = {
    "csv": ["digits-train.csv", "--test", "digits-test.csv"],
    "idx": ["digits-train-images.idx", "--label", "digits-train-labels.idx"],
    "libsvm": ["digits-train.txt"],
    "npy": ["x.npy", "--label", "y.npy"],
    "npz": ["digits-train.npz"],
    "parquet": ["digits-train.parquet", "--test", "digits-test.parquet"],
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_network(run, digits, monkeypatch, name):
    monkeypatch.chdir(digits)
    code, out, err = run("train", "--epochs", "2", "--scale", 1 / 16, "--data", *FORMATS[name])
    assert (code, err) == (0, "")
    assert fingerprint(out) == fingerprint(run("train", "--epochs", "2")[1])
    assert ("test accuracy" in out) == (name in ("csv", "parquet"))


@pytest.mark.parametrize("name", ["csv", "idx", "libsvm", "npz", "parquet", "text"])
def test_one_format_becomes_another_and_is_the_same_rows(run, digits, tmp_path, monkeypatch, name):
    monkeypatch.chdir(digits)
    code, out, err = run("data", "convert", "digits-train.csv", tmp_path, "--to", name)
    assert (code, err) == (0, "") and out.count("  1,438 rows\n") == len(list(tmp_path.iterdir()))
    files = sorted(str(path) for path in tmp_path.iterdir())
    told = [files[0], *(["--label", files[1]] if len(files) > 1 else [])]
    _, out, _ = run("train", "--epochs", "1", "--scale", "1", "--data", *told)
    assert fingerprint(out) == fingerprint(
        run("train", "--epochs", "1", "--scale", "1", "--data", "digits-train.csv")[1]
    )


def test_text_numbers_and_switches_are_learned_from_a_table(run, pets):
    code, out, err = run("train", "--data", pets, "--label", "kind", "--epochs", "30", "--validation-split", "0.2")
    assert (code, err) == (0, "")
    assert float(out.split("val_accuracy ")[-1].split()[0]) > 0.9


def test_numbers_are_learned_in_their_own_units(run, houses):
    code, out, err = run("train", "--data", houses, "--label", "price", "--test", houses, "--epochs", "60", "--json")
    found = json.loads(out.splitlines()[-1])
    assert code == 0 and found["test_r2_score"] > 0.95 and found["test_mae"] > 100


def test_features_and_weights_are_columns(run, pets):
    _, plain, _ = run("train", "--data", pets, "--label", "kind", "--epochs", "2")
    _, fewer, _ = run("train", "--data", pets, "--label", "kind", "--epochs", "2", "--features", "weight,tail")
    _, weighted, _ = run("train", "--data", pets, "--label", "kind", "--epochs", "2", "--weight", "age")
    assert len({fingerprint(out) for out in (plain, fewer, weighted)}) == 3


def test_held_out_rows_are_chosen_by_their_values_and_not_their_order(run, pets, tmp_path):
    lines = pets.read_text().splitlines()
    (tmp_path / "other.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    argv = ("--label", "kind", "--epochs", "2", "--validation-split", "0.3")
    first, second = (run("train", "--data", path, *argv)[1] for path in (pets, tmp_path / "other.csv"))
    assert fingerprint(first) == fingerprint(second)


def test_a_dry_run_trains_nothing_and_tells_what_would_be(run, pets):
    code, out, err = run("train", "--data", pets, "--label", "kind", "--dry-run", "--shards", "2")
    assert (code, err) == (0, "") and "epoch 1" not in out and "fingerprint" not in out
    assert "240 rows, 3 inputs" in out and "weight, age, tail" in out and "cat, dog, fish" in out
    assert "classification, 3 outputs" in out and "10 epochs of 4 steps, 2 shards" in out
    code, out, err = run(
        "train", "--data", pets, "--label", "kind", "--dry-run", "--json", "--validation-split", "0.25"
    )
    facts = json.loads(out)
    assert facts["rows"] + facts["held"] == 240 and 40 < facts["held"] < 80
    assert facts["parameters"] == 3 * 64 + 64 + 64 * 3 + 3 and facts["jobs"] is None


@pytest.mark.parametrize(
    "argv, code, said",
    [
        (["--data", "none.csv"], 3, "none.csv: cannot be read: No such file"),
        (["--data", "none.parquet"], 3, "none.parquet: cannot be read: No such file"),
        (["--data", "rows.xyz"], 2, "'rows.xyz' is not a data set, and its extension shows no format"),
        (["--data", "rows.xyz", "--format", "cvs"], 2, "--format 'cvs': it must be one of csv, "),
        (["--data", "pets.csv"], 2, "choose the column to predict with --label: weight, age, tail, kind"),
        (["--data", "pets.csv", "--label", "kidn"], 3, "there is no column 'kidn': did you mean 'kind'?"),
        (
            ["--data", "pets.csv", "--label", "kind", "--features", "kind"],
            2,
            "cannot be both a feature and",
        ),
        (["--data", "pets.csv", "--label", "kind", "--weight", "agr"], 3, "no column 'agr': did you mean 'age'?"),
        (
            ["--data", "pets.csv", "--label", "kind", "--test", "new.csv"],
            3,
            "kind is 'bird' at row 1, and 1 of 2",
        ),
        (["--data", "pets.csv", "--label", "kind", "--test", "thin.csv"], 3, "thin.csv: there is no column 'weight'"),
        (["--data", "pets.csv", "--label", "kind", "--loss", "mse"], 2, "kind holds text, such as 'cat'"),
        (["--data", "pets.csv", "--label", "kind", "--loss", "msee"], 2, "did you mean 'mse'?"),
        (["--data", "pets.csv", "--label", "kind", "--metrics", "acuracy"], 2, "'acuracy' is not a metric"),
        (["--data", "pets.csv", "--label", "kind", "--validation-split", "0.999"], 3, "leaves no rows to train on"),
        (["--data", "s3a://pets/pets.csv", "--label", "kind"], 2, "only Spark reads URLs: add --engine spark"),
        (["--data", "x.npy"], 2, "give the file of its labels with --label"),
        (["--data", "x.npy", "--label", "y.npy"], 3, "x.npy has 5 rows, but y.npy has 4 labels"),
        (["--data", "x.npy", "--label", "y.npy", "--features", "a"], 2, "features names columns, but numpy files"),
        (["--data", "x.npy", "--label", "y.npy", "--test", "x.npy"], 2, "with --test-label"),
        (["--data", "y.npy", "--label", "y.npy"], 3, "it must be numbers, (rows, inputs)"),
        (["--data", "ragged.csv"], 3, "ragged.csv, line 3: 3 cells, but the header has 2 columns"),
        (["--data", "gap.csv"], 3, "gap.csv, line 3: column 'label' is empty; 1 of 2 rows"),
        (["--data", "pets.csv", "--format", "parquet"], 3, "is not Parquet, or is damaged"),
        (["--data", "pets.csv", "--format", "libsvm"], 3, "pets.csv, line 1: 'weight,age,tail,kind' is not a label"),
        (["--data", "mnits"], 2, "did you mean 'mnist'?"),
        (["pets.csv"], 2, "pets.csv is not TOML"),
        (["none.toml"], 2, "none.toml cannot be read: No such file"),
        (["digits"], 2, "digits is a data set: use --data"),
    ],
)
def test_r47_what_cannot_work_is_one_line_with_its_place(run, tmp_path, monkeypatch, argv, code, said):
    monkeypatch.chdir(tmp_path)
    write_pets(tmp_path / "pets.csv", 40)
    (tmp_path / "new.csv").write_text("weight,age,tail,kind\n1,2,true,cat\n1,2,true,bird\n")
    (tmp_path / "thin.csv").write_text("age,tail,kind\n2,true,cat\n")
    (tmp_path / "ragged.csv").write_text("a,label\n1,0\n2,1,5\n")
    (tmp_path / "gap.csv").write_text("a,label\n1,0\n3,\n")
    np.save(tmp_path / "x.npy", np.zeros((5, 2)))
    np.save(tmp_path / "y.npy", np.arange(4))
    before = sorted(tmp_path.iterdir())
    ended, out, err = run("train", *argv, "--run", "left")
    assert (ended, out) == (code, ""), err
    assert said in err and err.startswith("firesteel: ") and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_parquet_without_pyarrow_says_what_to_install(run, digits, monkeypatch):
    monkeypatch.delitem(sys.modules, "firesteel.spark.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, err = run("train", "--data", digits / "digits-train.parquet")
    assert (code, out) == (4, "")
    assert "pyarrow" in err and 'pip install "firesteel[spark]"' in err and err.count("\n") == 1
