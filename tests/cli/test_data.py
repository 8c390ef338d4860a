"""`firesteel data convert`: two files that other programs read, or one line and an exit code."""

import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_svmlight_file

from firesteel.cli import main
from firesteel.cli.rows import load
from firesteel.datasets import load_mnist, sets

RNG = np.random.default_rng(0)
PARTS = [(RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8), np.arange(n, dtype=np.uint8)) for n in (9, 4)]


@pytest.fixture
def convert(capsys, monkeypatch, request):
    """Runs `firesteel data convert mnist` in this process; gives exit code, stdout and stderr."""
    if not request.node.get_closest_marker("mnist"):
        monkeypatch.setitem(sets.SETS, "mnist", replace(sets.SETS["mnist"], load=lambda: PARTS))

    def call(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["data", "convert", "mnist", *argv])
        return end.value.code, *capsys.readouterr()

    return call


def check(folder, parts):
    assert sorted(os.listdir(folder)) == ["mnist-digits-test.txt", "mnist-digits-train.txt"]
    for name, (x, y) in zip(("train", "test"), parts, strict=True):
        found, labels = load_svmlight_file(str(folder / f"mnist-digits-{name}.txt"), n_features=784)
        np.testing.assert_array_equal(found.toarray(), x.reshape(-1, 784))
        np.testing.assert_array_equal(labels, y)


def test_it_makes_the_folder_and_says_what_it_wrote(convert, tmp_path):
    folder = tmp_path / "a" / "b"
    code, out, err = convert(str(folder), "--to", "libsvm")
    assert (code, err) == (0, "")
    assert out == f"{folder}/mnist-digits-train.txt  9 rows\n{folder}/mnist-digits-test.txt  4 rows\n"
    check(folder, PARTS)


@pytest.mark.parametrize("name", ["mnist-digits-train.txt", "mnist-digits-test.txt"])
def test_it_overwrites_nothing_and_then_writes_nothing(convert, tmp_path, name):
    (tmp_path / name).write_text("mine")
    code, out, err = convert(str(tmp_path), "--to", "libsvm")
    assert (code, out) == (3, "")
    assert err.startswith(f"firesteel: {tmp_path / name}: already exists") and err.count("\n") == 1
    assert os.listdir(tmp_path) == [name] and (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    "argv, code, said",
    [
        (["file", "--to", "libsvm"], 3, "firesteel: file: cannot be created: File exists"),
        (["folder"], 2, "--to"),
        (["folder", "--to", "libsmv"], 2, 'Did you mean "libsvm"?'),
        (["--to", "libsvm"], 2, "FOLDER"),
    ],
)
def test_what_cannot_work_writes_nothing(convert, tmp_path, monkeypatch, argv, code, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "file").write_text("")
    ended, out, err = convert(*argv)
    assert (ended, out) == (code, "")
    assert said in err and "Traceback" not in err
    assert os.listdir(tmp_path) == ["file"]


def test_without_the_data_set_no_folder_is_made(convert, tmp_path, monkeypatch):
    monkeypatch.setitem(sets.SETS, "mnist", replace(sets.SETS["mnist"], load=load_mnist))
    monkeypatch.setenv("FIRESTEEL_DATA", str(tmp_path / "nothing"))
    code, out, err = convert(str(tmp_path / "folder"), "--to", "libsvm")
    assert (code, out) == (3, "")
    assert "no such folder" in err and err.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.mnist
def test_the_real_one(convert, tmp_path):
    started = time.perf_counter()
    assert convert(str(tmp_path), "--to", "libsvm")[0] == 0
    assert time.perf_counter() - started < 20
    check(tmp_path, load_mnist())


# The other commands


@pytest.mark.parametrize("to", ["idx", "libsvm", "text"])
def test_what_a_format_cannot_hold_leaves_nothing(run, pets, tmp_path, to):
    code, out, err = run("data", "convert", pets, tmp_path / "made", "--label", "kind", "--to", to)
    assert (code, out) == (3, "") and "has text labels, such as 'fish'" in err and err.count("\n") == 1
    assert os.listdir(tmp_path) == ["pets.csv"]


def test_a_writer_that_fails_halfway_leaves_nothing(convert, tmp_path, monkeypatch):
    monkeypatch.setattr("firesteel.cli.data.write_idx", lambda path, array: path.write_bytes(b"x") and 1 / 0)
    code, out, err = convert(str(tmp_path / "made" / "deep"), "--to", "idx")
    assert (code, out) == (1, "") and os.listdir(tmp_path) == []
    assert err.startswith("firesteel: ZeroDivisionError: division by zero (") and "test_data.py, line " in err
    assert err.endswith("): please report this bug\n") and err.count("\n") == 1


def test_sets_and_formats_are_listed(run):
    code, out, err = run("data", "list")
    assert (code, err) == (0, "")
    assert all(word in out for word in ("fashion-mnist", "CC BY-SA 3.0", "MIT", "UCI", "parquet", "npz"))
    found = json.loads(run("data", "list", "--json")[1])
    assert [one["name"] for one in found["sets"]] == ["digits", "fashion-mnist", "mnist"]
    assert set(found["formats"]) == {"csv", "idx", "libsvm", "npz", "parquet", "text"}


def test_a_set_is_fetched(run):
    code, out, _ = run("data", "fetch", "digits")
    assert (code, out.splitlines()[0]) == (0, "digits train  1,438 rows of 8 x 8, checked")


def test_r38_a_file_that_came_meanwhile_is_left_alone(run, tmp_path, monkeypatch):
    def slow(wanted):
        (tmp_path / "digits-test.csv").write_text("mine")
        return load(wanted)

    monkeypatch.setattr("firesteel.cli.data.load", slow)
    code, out, err = run("data", "convert", "digits", tmp_path, "--to", "csv")
    assert (code, out) == (3, "") and "digits-test.csv: already exists" in err
    assert (tmp_path / "digits-test.csv").read_text() == "mine"
