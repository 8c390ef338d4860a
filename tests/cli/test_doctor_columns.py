"""`firesteel doctor --data` says what each column is, and which cannot be trained on; it starts no Spark."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

FEW = [f"{number / 8}" for number in range(40)]
BAD = {
    "mixed": (["x", *FEW[1:]], "column 'mixed' holds 'x', which is not a number; 1 of 40 rows"),
    "flags": (["true", *FEW[1:]], "column 'flags' holds 'true', which is not a number; 1 of 40 rows"),
    "commas": (
        [f'"1,{number}"' for number in range(40)],
        "column 'commas' holds '1,0', which is not a number; 40",
    ),
}
GOOD = {
    "name": (["cat", "dog", "", "dog"] * 10, "name: text, 2 values, such as 'cat', 'dog', 25.0% missing"),
    "gap": (["1", "", "3", "NA"] * 10, "gap: number, 1 to 3, 50.0% missing"),
    "when": (["2024-01-31", "2024-02-01"] * 20, "when: date, 2024-01-31 to 2024-02-01"),
    "c": (["true", "false"] * 20, "c: number, 0 to 1"),
    "id": ([f"n{number}" for number in range(40)], "id: left out: nearly every row has a word of its own"),
    "one": (["1"] * 40, "one: left out: one value in all rows"),
    "none": (["?"] * 40, "none: left out: every value is missing"),
}
NUMBERS = {"a": ["1", "2", "3", "4"], "b": ["0.5", "1e3", "2", ".5"], "c": ["true", "false", "true", "true"]}


@pytest.fixture(autouse=True)
def no_spark(monkeypatch):
    """Whatever would start Spark fails."""

    def started(*given, **named):
        raise AssertionError("Spark was started")

    monkeypatch.setattr("firesteel.cli.doctor._all", started)
    monkeypatch.setattr("firesteel.cli.common.spark_session", started)


def table(path, columns):
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *map(",".join, rows)]) + "\n")
    return path


def found(run, *argv):
    code, out, err = run("doctor", *argv, "--json")
    return code, [json.loads(line) for line in out.splitlines()], err


def test_every_column_of_a_csv_is_described(run, tmp_path):
    columns = {name: cells for name, (cells, _) in GOOD.items()} | {"label": ["no", "yes", "no", "no"] * 10}
    code, told, err = found(run, "--data", table(tmp_path / "rows.csv", columns))
    assert (code, err) == (0, "")
    assert told[0]["what"].endswith("rows.csv: 40 rows, 4 features of 7 columns")
    assert [finding["what"] for finding in told[1:-1]] == [said for _, said in GOOD.values()]
    assert told[-1]["what"] == "label: 2 texts in 40 rows: classification: no 75.0%, yes 25.0%"
    assert all(finding["todo"] is None for finding in told)
    code, told, _ = found(run, "--data", tmp_path / "rows.csv", "--label", "gap")
    assert code == 3 and "column 'gap' is empty; 10 of 40 rows" in told[1]["what"]


def test_columns_are_checked_as_train_would_use_them(run, tmp_path):
    columns = {"zip": ["8001", "8002", "8003", "8001"] * 10, "mixed": BAD["mixed"][0]}
    columns["when"] = ["2024-01-31 23:30Z", "2024-02-02 10:00Z"] * 20
    argv = "--data", table(tmp_path / "rows.csv", columns), "--ignore-cols", "mixed", "--column-kinds", "zip=category"
    code, findings, err = found(run, *argv, "--time-zone", "Asia/Tokyo")
    assert (code, err) == (0, "")
    said = ["zip: name, 3 values, such as '8001', '8002', '8003'", "when: time, 2024-02-01 to 2024-02-02"]
    assert [finding["what"] for finding in findings[1:3]] == said
    code, _, err = found(run, *argv[:2], "--ignore-cols", "nope")
    assert code == 3 and "there is no column 'nope'" in err


def test_without_a_label_columns_of_few_values_are_named(run, tmp_path):
    code, told, _ = found(
        run, "--data", table(tmp_path / "rows.csv", {name: cells for name, (cells, _) in GOOD.items()})
    )
    assert code == 0 and told[-1]["what"] == "no label given; columns with few values: name"
    assert "--label" in told[-1]["todo"]


def test_all_bad_columns_of_a_csv_are_listed_with_counts(run, tmp_path):
    good = {name: cells for name, (cells, _) in GOOD.items()}
    columns = {name: cells for name, (cells, _) in BAD.items()} | good | {"label": ["0", "1"] * 20}
    code, told, err = found(run, "--data", table(tmp_path / "rows.csv", columns))
    assert (code, err) == (3, "")
    assert told[0]["what"].endswith("rows.csv: 3 of 11 columns cannot be trained on")
    stops = [finding["what"] for finding in told[1:] if finding["stops"]]
    assert len(stops) == len(BAD)
    for said in (said for _, said in BAD.values()):
        assert sum(said in what for what in stops) == 1, said
    advice = next(finding for finding in told if "valid features: 7" in finding["what"])
    sound = advice["todo"].removeprefix("to train on those only: ")
    assert sound == "--features name,gap,when,c,id,one,none"
    assert run("train", "--data", tmp_path / "rows.csv", *sound.split(), "--dry-run")[0] == 0


def test_all_bad_columns_of_parquet_are_listed(run, tmp_path):
    columns = {
        "text": pa.array(["a", "b", "a", "b"]),
        "null": pa.array([1.0, None, 2.0, None]),
        "nan": pa.array([1.0, np.nan, 2.0, 3.0]),
        "when": pa.array(np.arange(4).astype("M8[D]")),
        "ragged": pa.array([[1.0], [1.0, 2.0], [1.0], [1.0]]),
        "pixels": pa.array([[1.0], [2.0], [3.0], [4.0]]),
        "bytes": pa.array([b"a", b"b", b"c", b"d"]),
        "good": pa.array([1.0, 2.0, 3.0, 4.0]),
        "label": pa.array(["cat", "?", "dog", "cat"]),
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    code, told, _ = found(run, "--data", tmp_path / "rows.parquet")
    stops = [finding["what"] for finding in told[1:] if finding["stops"]]
    assert code == 3 and len(stops) == 4 and "4 of 9 columns" in told[0]["what"]
    for said in (
        "column 'ragged' holds values of type list",
        "column 'pixels' holds values of type list",
        "column 'bytes' holds values of type binary",
        "column 'label' holds '?' at row 1, which is a missing value; 1 of 4 rows",
    ):
        assert sum(said in what for what in stops) == 1, said


@pytest.mark.parametrize(
    "cells, most", [(["x", *FEW[1:]], "500 of 502 columns"), (["a", "b"] * 20, "501 features of 501")]
)
def test_the_list_is_bounded(run, tmp_path, cells, most):
    columns = {f"t{number}": cells for number in range(500)} | {"x": FEW, "label": ["0", "1"] * 20}
    code, told, _ = found(run, "--data", table(tmp_path / "rows.csv", columns))
    assert code == (3 if "of 502" in most else 0) and len(told) < 30
    assert most in told[0]["what"]
    assert any("and 48" in finding["what"] for finding in told)


def test_arrays_that_are_the_only_feature_are_sound(run, tmp_path):
    table = pa.table({"pixels": [[1.0, 2.0], [2.0, 0.0]], "label": [0, 1]})
    pa.parquet.write_table(table, tmp_path / "rows.parquet")
    code, told, _ = found(run, "--data", tmp_path / "rows.parquet")
    assert code == 0 and "2 rows of 2 inputs" in told[0]["what"]


def test_a_path_that_only_spark_reads_is_refused(run):
    code, _, err = run("doctor", "--data", "s3://bucket/rows.csv")
    assert code == 2 and "only Spark reads URLs" in err


def test_a_bad_label_is_listed_with_bad_features(run, tmp_path):
    columns = {"mixed": BAD["mixed"][0], "a": FEW, "label": ["1", "NA", "", "2"] * 10}
    code, told, _ = found(run, "--data", table(tmp_path / "rows.csv", columns))
    stops = [finding["what"] for finding in told[1:] if finding["stops"]]
    assert code == 3 and len(stops) == 2 and "column 'label' is empty; 10 of 40 rows" in stops[0]


def test_rows_without_a_label_are_checked_too(run, tmp_path):
    code, told, _ = found(run, "--data", table(tmp_path / "rows.csv", NUMBERS))
    assert code == 0 and "4 rows of 3 inputs" in told[0]["what"]


def test_arrays_list_the_inputs_that_are_not_finite(run, tmp_path):
    x = np.ones((6, 40))
    x[1, :30], x[2, 3] = np.nan, np.inf
    np.save(tmp_path / "x.npy", x)
    code, told, _ = found(run, "--data", tmp_path / "x.npy")
    said = next(finding["what"] for finding in told if finding["stops"])
    assert code == 3 and "2 rows hold NaN or infinite values, the first in row 1 (input 0: 1" in said
    assert "input 3: 2" in said and "and 10 more" in said


def test_what_is_no_table_is_refused_in_a_line(run, tmp_path):
    (tmp_path / "rows.csv").write_text("a;b\n1;2\n")
    code, out, err = run("doctor", "--data", tmp_path / "rows.csv")
    assert (code, out) == (3, "") and "cells are separated by ';'" in err and err.count("\n") == 1
