"""`firesteel doctor --data` lists every column that cannot be trained on, with kind and count; it starts no Spark."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

BAD = {
    "name": (["cat", "dog", "cat", "dog"], "column 'name' holds 'cat', and 4 of 4 rows hold text"),
    "mixed": (["1", "2", "x", "4"], "column 'mixed' holds 'x', and 1 of 4 rows hold text"),
    "gap": (["1", "", "3", ""], "column 'gap' is empty; 2 of 4 rows"),
    "na": (["1", "NA", "3", "4"], "column 'na' holds 'NA', and 1 of 4 rows hold text"),
    "nan": (["1", "2", "nan", "4"], "column 'nan' holds 'nan', and 1 of 4 rows hold text"),
    "flags": (["true", "1", "0", "1"], "column 'flags' holds 'true', and 1 of 4 rows hold text"),
    "long": (["x" * 300, "1", "2", "3"], "column 'long' holds 300 letters"),
}
GOOD = {"a": ["1", "2", "3", "4"], "b": ["0.5", "1e3", "2", ".5"], "c": ["true", "false", "true", "true"]}


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


def test_all_bad_columns_of_a_csv_are_listed_with_kinds_and_counts(run, tmp_path):
    columns = {name: cells for name, (cells, _) in BAD.items()} | GOOD | {"label": ["0", "1", "0", "1"]}
    code, told, err = found(run, "--data", table(tmp_path / "rows.csv", columns))
    assert (code, err) == (3, "")
    assert told[0]["what"].endswith("rows.csv: 7 of 11 columns cannot be trained on")
    stops = [finding["what"] for finding in told[1:] if finding["stops"]]
    assert len(stops) == len(BAD)
    for said in (said for _, said in BAD.values()):
        assert sum(said in what for what in stops) == 1, said
    advice = next(finding for finding in told if "sound features: 3" in finding["what"])
    assert advice["todo"] == "to train on those alone: --features a,b,c"
    assert any("4 rows of 3 inputs" in finding["what"] for finding in told)
    assert run("train", "--data", tmp_path / "rows.csv", "--features", "a,b,c", "--dry-run")[0] == 0


def test_all_bad_columns_of_parquet_are_listed(run, tmp_path):
    columns = {
        "text": pa.array(["a", "b", "c", "d"]),
        "null": pa.array([1.0, None, 2.0, None]),
        "nan": pa.array([1.0, np.nan, 2.0, 3.0]),
        "when": pa.array(np.arange(4).astype("M8[D]")),
        "ragged": pa.array([[1.0], [1.0, 2.0], [1.0], [1.0]]),
        "pixels": pa.array([[1.0], [2.0], [3.0], [4.0]]),
        "good": pa.array([1.0, 2.0, 3.0, 4.0]),
        "label": pa.array(["cat", "?", "dog", "cat"]),
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    code, told, _ = found(run, "--data", tmp_path / "rows.parquet")
    stops = [finding["what"] for finding in told[1:] if finding["stops"]]
    assert code == 3 and len(stops) == 7
    for said in (
        "column 'text' holds text",
        "column 'null' holds no value (null) at row 1; 2 of 4 rows",
        "column 'nan' holds NaN at row 1; 1 of 4 rows",
        "column 'when' is date32",
        "column 'ragged' holds 2 values at row 1",
        "column 'pixels' holds arrays: it must be the only feature",
        "column 'label' holds '?' at row 1, which stands for no value; 1 of 4 rows",
    ):
        assert sum(said in what for what in stops) == 1, said


def test_the_list_is_bounded(run, tmp_path):
    columns = {f"t{number}": ["a", "b"] for number in range(500)} | {"x": ["1", "2"], "label": ["0", "1"]}
    code, told, _ = found(run, "--data", table(tmp_path / "rows.csv", columns))
    assert code == 3 and len(told) < 30
    assert "500 of 502 columns" in told[0]["what"]
    assert any("and 480 more, such as 't20'" in finding["what"] for finding in told)


def test_arrays_that_are_the_only_feature_are_sound(run, tmp_path):
    table = pa.table({"pixels": [[1.0, 2.0], [2.0, 0.0]], "label": [0, 1]})
    pa.parquet.write_table(table, tmp_path / "rows.parquet")
    code, told, _ = found(run, "--data", tmp_path / "rows.parquet")
    assert code == 0 and "2 rows of 2 inputs" in told[0]["what"]


def test_a_path_that_only_spark_reads_is_said_to_be_one(run):
    code, _, err = run("doctor", "--data", "s3://bucket/rows.csv")
    assert code == 2 and "only Spark reads from there" in err


def test_a_bad_label_is_listed_beside_bad_features(run, tmp_path):
    columns = GOOD | {"name": ["u", "v", "u", "v"], "label": ["1", "NA", "", "2"]}
    code, told, _ = found(run, "--data", table(tmp_path / "rows.csv", columns))
    stops = [finding["what"] for finding in told[1:] if finding["stops"]]
    assert code == 3 and len(stops) == 2 and "column 'label' is empty; 1 of 4 rows" in stops[0]


def test_rows_without_a_label_are_looked_at_too(run, tmp_path):
    code, told, _ = found(run, "--data", table(tmp_path / "rows.csv", GOOD))
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
    assert (code, out) == (3, "") and "cells stand between ';'" in err and err.count("\n") == 1
