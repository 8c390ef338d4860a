"""The command line on Spark: the bits that every format gives in process, and Spark's errors in one line."""

import gzip
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from firesteel.cli import main
from firesteel.datasets import load_digits, write_libsvm, write_text
from firesteel.errors import DataError, FiresteelError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark.files import array_frame, explained, label_kind, named_predictions, read_files, write_files
from firesteel.spark.parquet import read_parquet, write_parquet


@pytest.fixture
def run(spark, capsys):
    """Runs the command line in this process, on the session that is there; gives exit code, stdout and stderr."""

    def call(*argv):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in argv])
        return end.value.code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("rows")
    (x, y), _ = load_digits()
    x, y = x[:400].reshape(400, 64), y[:400]
    write_libsvm(place / "digits.libsvm", x, y)
    write_parquet(place / "digits.parquet", {"features": x, "label": y})
    np.savez(place / "digits.npz", x=x, y=y)
    write_text(place / "x.txt", [x / 16])
    write_text(place / "y.txt", [(y[:, None] == np.arange(10)).astype(int)])
    write_text(place / "wide.txt", [(y[:, None] == np.arange(1, 12) % 11).astype(int)])
    rng = np.random.default_rng(0)
    write_text(place / "z.txt", [rng.normal(size=(400, 1))])
    numbers = rng.normal(size=(4096, 2))
    (place / "numbers.csv").write_text("a,b\n" + "".join(f"{a:.3f},{b:.3f}\n" for a, b in numbers))
    kind = rng.integers(3, size=300)
    weight, age = rng.normal(np.array([4, 15, 1])[kind]), rng.integers(1, 9, 300)
    words = (("true", "cat"), ("true", "dog"), ("false", "fish"))
    rows = [f"{w:.3f},{a},{','.join(words[k])}" for w, a, k in zip(weight, age, kind, strict=True)]
    (place / "pets.csv").write_text("\n".join(["weight,age,tail,kind", *rows]) + "\n")
    return place


def placed(argv, folder):
    """The words with files in the folder: Spark's own folder was decided when it started."""
    return [folder / word if "." in word and not word.startswith(("0", "nowhere:", "gs:")) else word for word in argv]


FORMATS = {
    "csv": ["pets.csv", "--label", "kind", "--validation-split", "0.25", "--test", "pets.csv"],
    "regression": ["pets.csv", "--label", "weight", "--features", "age,tail"],
    "regression in many blocks": ["numbers.csv", "--label", "b"],
    "libsvm": ["digits.libsvm", "--test", "digits.libsvm"],
    "parquet": ["digits.parquet"],
    "npz": ["digits.npz", "--validation-split", "0.25"],
    "text": ["x.txt", "--label", "y.txt"],
    "text with a class that has no row": ["x.txt", "--label", "wide.txt"],
    "text of numbers": ["x.txt", "--label", "z.txt"],
}


IN_SHORT = ("csv", "regression in many blocks", "text with a class that has no row")
"""The kinds of labels; `test_readers_give_the_same_bits.py` reads every format on both engines."""


@pytest.mark.parametrize(
    "name", [name if name in IN_SHORT else pytest.param(name, marks=pytest.mark.slow) for name in FORMATS]
)
def test_both_engines_give_the_same_network_and_scores(run, folder, name):
    argv = ["train", "--epochs", "1", "--shards", "2", "--hidden", "8", "--json"]
    argv += ["--data", *placed(FORMATS[name], folder)]
    results = []
    for engine in ("local", "spark"):
        code, out, err = run(*argv, "--engine", engine)
        assert code == 0, err
        row, result = (json.loads(line) for line in out.splitlines())
        scores = {key: value for key, value in row.items() if "loss" in key or "acc" in key}
        results.append((scores, {key: value for key, value in result.items() if key != "seconds"}))
    assert results[0] == results[1]


def test_a_run_on_spark_is_trained_again_evaluated_and_predicts(run, folder, tmp_path, spark):
    argv = ["--data", folder / "pets.csv", "--label", "kind", "--epochs", "2", "--engine", "spark"]
    code, out, err = run("train", *argv, "--test", folder / "pets.csv", "--run", tmp_path / "run")
    assert code == 0, err
    last = out.splitlines()[-1]
    assert run("train", tmp_path / "run" / "config.toml")[1].splitlines()[-1] == last
    local = run("evaluate", tmp_path / "run", "--json")[1]
    assert run("evaluate", tmp_path / "run", "--json", "--engine", "spark")[1] == local
    place = tmp_path / "predicted.parquet"
    code, out, err = run(
        "predict", tmp_path / "run", "--data", folder / "pets.csv", "--out", place, "--engine", "spark"
    )
    assert (code, out.splitlines()[-1]) == (0, f"{place}  300 rows"), err
    table = pq.read_table(place)
    assert table.column_names[4:] == ["prediction", "probability_cat", "probability_dog", "probability_fish"]
    assert set(table["prediction"].to_pylist()) <= {"cat", "dog", "fish"}
    assert spark.range(1).count() == 1  # the session is left as it was found


@pytest.mark.parametrize(
    "argv, code, said",
    [
        (["--data", "none.parquet"], 3, "none.parquet: the file does not exist"),
        (["--data", "none.csv", "--label", "a"], 3, "none.csv: the file does not exist"),
        (["--data", "pets.csv", "--label", "kidn"], 3, "there is no column 'kidn': did you mean 'kind'?"),
        (["--data", "ragged.csv"], 3, "a line does not have the format of the others"),
        (["--data", "broken.libsvm"], 3, "broken.libsvm: Spark cannot read a line as LIBSVM"),
        (["--data", "empty.csv"], 3, "empty.csv: contains no rows below the header: give at least one"),
        (["--data", "empty.libsvm"], 3, "empty.libsvm: contains no rows: give at least one"),
        (["--data", "cut.csv.gz"], 3, "cut.csv.gz cannot be read: "),
        (["--data", "no.parquet"], 3, "no.parquet cannot be read: "),
        (["--data", "nowhere://a/b.parquet"], 4, "no connector for nowhere:// paths"),
        (["--data", "gs://a/b.parquet"], 4, "gs://a/b.parquet: this Spark has no connector for gs:// paths"),
        (
            ["--data", "pets.csv", "--label", "kind", "--test", "birds.csv"],
            3,
            "birds.csv: kind holds 'bird', a class that the training rows",
        ),
        (["--data", "gap.csv", "--label", "a"], 3, "column 'a' has no value (null) in 1 of 4 rows"),
    ],
)
def test_what_spark_cannot_read_is_one_line_without_java(run, folder, argv, code, said):
    (folder / "ragged.csv").write_text("a,label\n1,0\n2,1,5\n3,1\n")
    (folder / "broken.libsvm").write_text("1 1:2\n0 0:3\n")
    (folder / "empty.csv").write_text("a,label\n")
    (folder / "empty.libsvm").touch()
    (folder / "cut.csv.gz").write_bytes(gzip.compress(b"a,label\n1,0\n2,1\n")[:-9])
    (folder / "no.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    (folder / "birds.csv").write_text("weight,age,tail,kind\n1,2,true,bird\n")
    (folder / "gap.csv").write_text("a,label\n1,0\n2,1\n,0\n4,1\n")
    ended, out, err = run("train", *placed(argv, folder), "--engine", "spark", "--epochs", "1")
    reported = [line for line in err.splitlines() if line.startswith("firesteel: ")]
    assert ended == code, err
    assert len(reported) == 1 and said in reported[0], err
    assert (
        "Traceback" not in err
        and "py4j" not in reported[0]
        and "\tat " not in reported[0]
        and "fingerprint" not in out
    )


@pytest.mark.parametrize(
    "data, argv, said",
    [
        ("gap.csv", [], "features are missing or not finite in 2 of 3 rows, such as [nan, 3.0]: drop those rows"),
        ("pets.csv", ["--features", "weight"], "pets.csv has 1 values per row, but the network takes 2"),
        ("short.parquet", ["--features", "f"], "short.parquet has 1 values per row, but the network takes 2"),
        ("pets.csv", ["--out", "nowhere://bucket/p.csv"], "nowhere://bucket/p.csv: this Spark has no connector"),
    ],
)
def test_predictions_that_cannot_be_leave_nothing(run, folder, tmp_path, spark, data, argv, said):
    model = Sequential([Dense(3, "softmax", input_dim=2)])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "m.firesteel")
    (tmp_path / "gap.csv").write_text("weight,age\n1,2\nNaN,3\n3,\n")
    (tmp_path / "pets.csv").write_text("weight,age\n1,2\n")
    spark.sql("select array(1D) f").write.parquet(str(tmp_path / "short.parquet"))
    before = sorted(tmp_path.iterdir())
    argv = [*argv, *([] if "--out" in argv else ["--out", tmp_path / "p.csv"])]
    code, out, err = run("predict", tmp_path / "m.firesteel", "--data", tmp_path / data, "--engine", "spark", *argv)
    assert (code, out) == (4 if "nowhere" in said else 3, "") and said in err, err
    assert sorted(tmp_path.iterdir()) == before


def test_what_a_worker_raises_is_reported_and_leaves_nothing(spark, tmp_path):
    def ours(batches):
        for _ in batches:
            raise DataError("a row is bad", code="data-bad")
        yield

    def other(batches):
        for _ in batches:
            raise LookupError("no such thing")
        yield

    for work, kind, said in (
        (ours, DataError, "a row is bad"),
        (other, FiresteelError, "LookupError: no such thing"),
    ):
        with pytest.raises(kind, match=said):
            write_files(spark.range(2).mapInArrow(work, "id long"), str(tmp_path / "out"), "parquet")
    assert not list(tmp_path.iterdir())


def test_the_whole_demo(run):
    code, out, err = run("demo")
    fingerprints = re.findall("^fingerprint ([0-9a-f]{64})$", out, re.MULTILINE)
    assert (code, err) == (0, "") and len(fingerprints) == 2 and len(set(fingerprints)) == 1
    assert [float(found) >= 0.96 for found in re.findall(r"^test accuracy (\S+)", out, re.MULTILINE)] == [True, True]
    assert "fingerprints are equal" in out


def test_the_doctor_runs_a_job_where_all_is_well(run):
    code, out, _ = run("doctor")
    assert code == 0 and "stop" not in out
    assert "Java is suitable" in out and "ran a job; a worker is Python" in out and "the driver's memory is" in out


def test_labels_are_seen_as_in_process(spark):
    frame = spark.createDataFrame(
        [(1, 0.5, "b", True, 1.0, 0.0), (3, 1.5, "a", False, 0.0, 1.0)],
        "i int, f double, s string, b boolean, p double, q double",
    )
    assert label_kind(frame, ["i"], 9) == ("whole", (1, 3), 2)
    assert label_kind(frame, ["f"], 9) == ("number", None, 2)
    assert label_kind(frame, ["s"], 9) == ("text", ("a", "b"), 2)
    assert label_kind(frame, ["b"], 9) == ("flag", (False, True), 2)
    assert label_kind(frame, ["i"], 1) == ("whole", None, 2)
    assert label_kind(frame, ["p", "q"], 9) == ("one-hot", None, 0)
    assert label_kind(frame, ["p", "p"], 9) == ("marks", None, 0)
    assert label_kind(frame, ["f", "p"], 9) == ("numbers", None, 0)
    with pytest.raises(DataError, match="column 'a' is array<int>: give a column for each target"):
        label_kind(spark.sql("select array(1) a"), ["a"], 9)
    with pytest.raises(DataError, match="no value .null. in 2 of 3 rows"):
        label_kind(spark.createDataFrame([(1,), (None,), (None,)], "i int"), ["i"], 9)


def test_predictions_are_kept_apart(spark):
    frame = spark.sql("select array(0.2D, 0.8D) prediction")
    first = named_predictions(frame, "classification", ["a", "b"], 0.5, 2, "probability").head().asDict()
    assert first == {"prediction": "b", "probability_a": 0.2, "probability_b": 0.8}
    marks = named_predictions(frame, "multilabel", ["a", "b"], 0.5, 2, "probability").head().asDict()
    assert marks["prediction_a"] is False and marks["prediction_b"] is True
    assert named_predictions(frame, "regression", ["a", "b"], 0, 2, "").columns == ["prediction_a", "prediction_b"]
    one = spark.sql("select array(0.8D) prediction")
    assert named_predictions(one, "classification", ["no", "yes"], 0.5, 1, "score").head().asDict() == {
        "prediction": "yes",
        "score_yes": 0.8,
    }
    assert named_predictions(one, "regression", ["0"], 0, 1, "").head().prediction == 0.8


@pytest.mark.parametrize("x", [np.arange(6, dtype=np.uint8), np.arange(6) / 4, np.arange(6)])
def test_arrays_become_frames(spark, x):
    x = x.reshape(3, 2)
    frame = array_frame(spark, x, np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]))
    rows = sorted(frame.collect(), key=lambda row: row.label)
    assert [list(row.features) for row in rows] == x.tolist() and [row.weight for row in rows] == [1, 1, 2]


def test_parquet_is_read_as_spark_writes_it(spark, tmp_path):
    from pyspark.ml.linalg import Vectors

    rows = [
        (Vectors.dense([1.0, 0.0]), [1.0, 2.0], bytearray(b"ab"), "x"),
        (Vectors.sparse(2, {1: 3.0}), [3.0, 4.0], bytearray(b"cd"), "y"),
    ]
    frame = spark.createDataFrame(rows, ["vector", "array", "bytes", "text"])
    frame.coalesce(1).write.parquet(str(tmp_path / "p.parquet"))
    found = read_parquet(tmp_path / "p.parquet", frame.columns)
    assert found["vector"].tolist() == [[1, 0], [0, 3]] and found["array"].tolist() == [[1, 2], [3, 4]]
    assert found["bytes"].tolist() == [[97, 98], [99, 100]] and found["text"].tolist() == ["x", "y"]
    assert read_files(spark, str(tmp_path / "p.parquet"), "parquet").count() == 2


@pytest.mark.parametrize(
    "columns, said",
    [
        ("null as a", "'a' is"),
        ("cast(null as int) as a", "column 'a' holds no value .null. at row 0; 1 of 1 rows"),
        ("array('x') as a", "holds arrays of string"),
        ("array(1, null) as a", "holds nulls inside its arrays"),
        ("date'2020-01-01' as a", "column 'a' is date32"),
    ],
)
def test_parquet_that_no_network_takes_is_refused(spark, tmp_path, columns, said):
    if columns == "null as a":
        columns, said = "map('k', 1) as a", "column 'a' is map"
    spark.sql(f"select {columns}").write.parquet(str(tmp_path / "p"))
    with pytest.raises(DataError, match=said):
        read_parquet(tmp_path / "p", ["a"])


def test_arrays_of_different_lengths_are_refused(spark, tmp_path):
    frame = spark.createDataFrame([([1.0, 2.0],), ([1.0],), ([3.0, 4.0],)], "a array<double>").coalesce(1)
    frame.write.parquet(str(tmp_path / "p"))
    with pytest.raises(DataError, match="'a' holds 1 values at row 1, where most have 2; 1 of 3 rows"):
        read_parquet(tmp_path / "p", ["a"])


def test_an_error_of_ours_goes_through_and_any_other_job_failure_is_a_line(spark):
    with pytest.raises(DataError, match="ours"), explained():
        raise DataError("ours")
    with (
        pytest.raises(FiresteelError, match="the rows: the job failed on Spark: .*zero") as caught,
        explained("the rows"),
    ):
        spark.sql("select raise_error('zero') a").collect()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gap", ["", "word"])
def test_a_table_gives_the_same_bits_on_both_engines(run, tmp_path, gap):
    """Of columns of numbers that only have gaps Spark says so when it validates the rows, of words at once."""
    words = [gap if number % 7 == 0 else f"{number % 13}" for number in range(120)]
    rows = [f"{word},{number / 8},{'no' if number % 3 else 'yes'}" for number, word in enumerate(words)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,label", *rows]))
    argv = ("train", "--data", tmp_path / "rows.csv", "--epochs", "1", "--hidden", "4", "--shards", "1")
    here, there = run(*argv), run(*argv, "--engine", "spark")
    assert there[0] == 0 and there[1].splitlines()[-1] == here[1].splitlines()[-1]
    assert [line for line in there[1].splitlines() if line.startswith("features: ")] == here[1].splitlines()[1:2]
    elsewhere = (tmp_path / "rows.csv").as_uri()
    code, _, err = run("train", "--data", elsewhere, "--epochs", "1", "--engine", "spark")
    assert code == 2 and "NeuralNetworkClassifier(labelCol='label').fit(df)" in err
