"""A table of columns of any kind from the command line: trained, scored and looked at as it is, CSV or Parquet."""

import csv
import json
import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from firesteel.cli.progress import EachMember
from firesteel.cli.rows import Ask, load
from firesteel.datasets.cells import read_cells
from firesteel.layers import Dense, Dropout, Table
from firesteel.models import Sequential, load_model
from firesteel.report.folder import FILES
from firesteel.sklearn import NeuralNetworkClassifier
from firesteel.tables.policy import optimizer_for

QUICK = ("--hidden", "8", "--epochs", "3", "--members", "1")


def flights(rows=300, seed=0):
    """Columns of every kind: a word, a word of many, a moment, a number with gaps; and what came of it."""
    rng = np.random.default_rng(seed)
    carrier, departs = rng.choice(["AA", "DL", "WN"], rows), rng.integers(0, 525_600, rows)
    temp = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(12, 9, rows).round(1))
    risk = (carrier == "WN") + departs % 1440 / 720 + np.nan_to_num(temp) / 20
    return {
        "carrier": carrier,
        "tail, number": [f"N{number}" for number in rng.integers(0, 40, rows)],
        "departs": np.datetime64("2024-01-01T00:00", "s") + departs * 60,
        "temp": pa.array(temp, from_pandas=True),
        "early": departs % 1440 < 720,
        "delay": (60 * risk).round(1),
        "late": np.where(risk > 1.7, "yes", "no"),
    }


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    """The same table as a file of either format, and as Arrow's."""
    return write(tmp_path / f"flights.{request.param}", flights()), pa.table(flights())


def fingerprint(out):
    return out.splitlines()[-1].removeprefix("fingerprint ")


def write(path, columns):
    made = pa.table(columns)
    (pa.csv.write_csv if path.suffix == ".csv" else pa.parquet.write_table)(made, path)
    return path


def test_a_table_trains_the_network_that_python_trains(run, table):
    path, made = table
    argv = ("--label", "late", "--ignore-cols", "delay", "--validation-split", "0")
    code, out, err = run("train", "--data", path, *QUICK, *argv)
    assert (code, err) == (0, "")
    decided, columns, *_ = out.splitlines()
    assert decided == "late: 2 texts in 300 rows: classification"
    assert columns == "features: 2 texts (carrier, tail, number), 1 time (departs), 2 numbers (temp, early)"
    model = Sequential([Table(), Dense(8, "silu"), Dropout(0.15), Dense(2, "softmax")])
    model.compile(optimizer_for(300, 64, 3), "sparse_categorical_crossentropy", ["accuracy"])
    y = np.array(made["late"].to_pylist()) == "yes"
    model.fit(made.drop_columns(["late", "delay"]), y, epochs=3, batch_size=64, verbose=0)
    assert fingerprint(out) == model.fingerprint()


LABELS = {  # what else is left out, task, classes
    "late": ("delay", "classification", ["no", "yes"]),
    "early": ("departs,delay,late", "classification", ["false", "true"]),
    "carrier": ("delay", "classification", ["AA", "DL", "WN"]),
    "delay": ("late", "regression", []),
}


@pytest.mark.parametrize(
    "table, label",
    [("csv", "late"), ("parquet", "late"), ("csv", "early"), ("parquet", "carrier"), ("csv", "delay")],
    indirect=["table"],
)
def test_every_kind_of_label_is_trained_scored_and_predicted(run, table, tmp_path, monkeypatch, label):
    monkeypatch.chdir(tmp_path)
    (path, made), (left, task, classes) = table, LABELS[label]
    code, out, err = run("train", "--data", path, *QUICK, "--label", label, "--ignore-cols", left, "--run", "run")
    assert (code, err) == (0, "") and f": {task}" in out.splitlines()[0]
    dry = run("train", "--data", path, *QUICK, "--label", label, "--ignore-cols", left, "--dry-run")[1]
    assert out.splitlines()[1] in dry and "Table >" in dry and "hint" not in dry
    assert fingerprint(run("train", "run/config.toml")[1]) == fingerprint(out)

    names = [name for name in made.column_names if name not in (label, *left.split(","))]
    others = flights(40, seed=1) | {"unknown": ["x"] * 40}
    others["tail, number"][0] = "N-never-seen"
    others["temp"] = pa.array([None, *others["temp"].to_pylist()[1:]])
    new = write(tmp_path / f"new{path.suffix}", dict(reversed(others.items())))
    code, out, err = run("evaluate", "run", "--data", new, "--json")
    scores = json.loads(out)
    assert (code, err, scores["rows"]) == (0, "", 40) and np.isfinite(scores["loss"])
    assert run("predict", "run", "--data", new, "--out", "made.csv")[::2] == (0, "")
    outputs = load_model("run/model.firesteel").predict({name: pa.array(others[name]) for name in names})
    with open("made.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    if task == "regression":
        assert [np.float32(row["prediction"]) for row in rows] == outputs[:, 0].tolist()
    else:
        assert [row["prediction"] for row in rows] == [classes[number] for number in outputs.argmax(axis=1)]
        assert list(rows[0]) == ["prediction", *(f"probability_{name}" for name in classes)]

    code, out, err = run("predict", "run", "--data", new, "--out", "none.csv", "--engine", "spark")
    assert (code, out) == (2, "") and "leave out --engine spark" in err
    lacking = write(tmp_path / f"lacking{path.suffix}", {name: others[name] for name in others if name != names[0]})
    code, out, err = run("predict", "run", "--data", lacking, "--out", "none.csv")
    assert (code, out) == (3, "") and f"there is no column {names[0]!r}" in err and "lacking" in err
    assert (
        names[0] in run("inspect", "run")[1]
        and str(names[0]) in json.loads(run("inspect", "run", "--json")[1])["columns"]
    )


def test_rows_of_a_test_part_are_encoded_as_those_of_training(run, table, tmp_path):
    path, _ = table
    others = write(tmp_path / f"others{path.suffix}", dict(reversed(flights(80, seed=2).items())))
    argv = ("--label", "late", "--ignore-cols", "delay", *QUICK[:4], "--members", "2", "--run", tmp_path / "run")
    code, out, err = run("train", "--data", path, "--test", others, *argv, "--json")
    assert code == 0, err
    scores, found = json.loads(out.splitlines()[-1]), run("evaluate", tmp_path / "run", "--data", others, "--json")[1]
    assert json.loads(found) == {"rows": 80, "loss": scores["test_loss"], "accuracy": scores["test_accuracy"]}
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["scores"]["test"]["rows"] == 80


def test_formats_of_numbers_name_the_column_that_is_not_numeric(run, table, tmp_path):
    path, _ = table
    code, out, err = run("data", "convert", path, tmp_path / "made", "--to", "npz", "--label", "late")
    assert (code, out) == (3, "") and "column 'carrier' holds text, times" in err and not (tmp_path / "made").exists()


def rows(word="w", most=5):
    lines = [f"{number / 8},{word}{number % most},{'no' if number % 3 else 'yes'}" for number in range(60)]
    return "\n".join(lines)


HOSTILE = {
    "a byte order mark": ("\ufeffa,b,late\n" + rows(), "1 number (a), 1 text (b)"),
    "quoted newlines": (
        '"a\nb","c""d",late\n' + rows('"w\n').replace(",no", '",no').replace(",yes", '",yes'),
        '1 number (a\\nb), 1 text (c"d)',
    ),
    "NUL": ("a,b,late\n" + rows("\0"), "1 number (a), 1 text (b)"),
    "names like options": ("--data,-h,late\n" + rows(), "1 number (--data), 1 text (-h)"),
    "names of ours": ("features,member,late\n" + rows(), "1 number (features), 1 text (member)"),
    "emoji": ("gr\u00f6\u00dfe,\U0001f600,late\n" + rows(), "1 number (gr\u00f6\u00dfe), 1 text (\U0001f600)"),
    "marks": ("a,b,late\n" + rows().replace("w0", "n/a").replace("w1", " "), "1 number (a), 1 text (b)"),
    "marks among numbers": ("a,late\n" + "12,yes\nn/a,no\n13,no\n" * 20, "1 number (a)"),
    "a long text": ("a,b,late\n" + rows("w" * 500), "1 number (a), 1 text (b)"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_odd_files_are_read(run, tmp_path, name):
    content, columns = HOSTILE[name]
    path = tmp_path / "rows.csv"
    path.write_text(content)
    code, out, err = run("train", "--data", path, "--label", "late", "--epochs", "1", "--members", "1")
    assert (code, err, out.splitlines()[1]) == (0, "", f"features: {columns}")


def test_many_columns_take_a_line(run, tmp_path):
    names = [f"c{number}" for number in range(600)]
    lines = [[f"{row * at % 17}" if at % 2 else f"w{row * at % 5}" for at in range(600)] for row in range(30)]
    text = [",".join([*names, "late"]), *(",".join([*line, "yn"[at % 3 > 0]]) for at, line in enumerate(lines))]
    (tmp_path / "rows.csv").write_text("\n".join(text))
    code, out, err = run("train", "--data", tmp_path / "rows.csv", "--label", "late", "--dry-run")
    assert (code, err) == (0, "") and len(out) < 2000
    assert re.search(r"features: 282 numbers \(.*, \.\.\. \(282\)\), 240 texts \(.*; left out: one value in all", out)


@pytest.mark.parametrize("wrong, said", [("text", "holds text values"), ("late", "did you mean 'late'?")])
def test_what_a_model_was_not_trained_on_is_refused(run, table, tmp_path, monkeypatch, wrong, said):
    monkeypatch.chdir(tmp_path)
    path, _ = table
    label = "lat" if wrong == "late" else "late"
    code, _, err = run("train", "--data", path, *QUICK, "--label", label, "--ignore-cols", "delay", "--run", "run")
    if wrong == "text" and path.suffix == ".csv":
        new = write(tmp_path / "stray.csv", flights(40) | {"temp": ["12 C", *["7"] * 39]})
        code, _, err = run("predict", "run", "--data", new, "--out", "made.csv")
        assert code == 3 and "stray.csv, line 2: column 'temp' holds '12 C'" in err and "--ignore-cols" not in err
    if wrong == "text":
        new = write(tmp_path / f"new{path.suffix}", flights(40) | {"departs": ["soon", "later"] * 20})
        code, _, err = run("predict", "run", "--data", new, "--out", "made.csv")
    assert code == 3 and said in err and err.count("\n") == 1 and str(path.suffix) in err


def test_numbers_alone_stay_what_they_were_unless_a_kind_is_named(run, tmp_path):
    rng = np.random.default_rng(0)
    columns = {"zip": rng.integers(8000, 8020, 200), "size": rng.normal(size=200).round(3), "label": [0, 1] * 100}
    path = write(tmp_path / "rows.csv", columns)
    _, plain, _ = run("train", "--data", path, "--epochs", "1")
    _, kinds, _ = run("train", "--data", path, "--epochs", "1", "--column-kinds", "zip=category")
    assert "features:" not in plain
    assert kinds.splitlines()[1] == "features: 1 name (zip), 1 number (size)"
    _, without, _ = run("train", "--data", path, "--epochs", "1", "--ignore-cols", "zip")
    assert fingerprint(without) == fingerprint(run("train", "--data", path, "--epochs", "1", "--features", "size")[1])
    for given, said in (("zip=categry", "such as zip=category"), ("zpi=category", "did you mean 'zip'?")):
        code, _, err = run("train", "--data", path, "--column-kinds", given)
        assert code == 2 and said in err and err.count("\n") == 1


def test_numbers_of_any_type_of_parquet_are_numbers(tmp_path):
    numbers = np.array([1, 2, 1, 4])
    kinds = ("int8", "uint64", "float16", "float32", "float64", "bool")
    made = {kind: pa.array(numbers.astype(kind)) for kind in kinds}
    made |= {"decimal": made["float64"].cast(pa.decimal128(9, 2)), "chosen": pa.array(numbers).dictionary_encode()}
    made["label"] = pa.array([0, 1, 0, 1])
    assert load(Ask(str(write(tmp_path / "rows.parquet", made)), "parquet")).table is None
    made["chosen"] = pa.array(["a", "b", "a", "b"]).dictionary_encode()
    assert load(Ask(str(write(tmp_path / "words.parquet", made)), "parquet")).table is not None


def test_moments_have_their_hours_in_a_zone(run, tmp_path):
    days = [f"2024-03-{day:02d}T{hour:02d}:30:00" for day in range(1, 29) for hour in (0, 23)]
    moments = [day + zone for zone in ("Z", "+02:00") for day in days]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["when,label", *(f"{one},{number % 2}" for number, one in enumerate(moments))]))
    (values,) = read_cells(path, ["when"]).values()
    assert values.kind == "timestamp"
    assert values.data.astype("M8[us]")[[0, -1]].tolist() == [
        datetime(2024, 3, 1, 0, 30),
        datetime(2024, 3, 28, 21, 30),
    ]
    argv = ("--data", path, "--epochs", "1", "--time-zone")
    assert fingerprint(run("train", *argv, "UTC")[1]) != fingerprint(run("train", *argv, "Asia/Tokyo")[1])
    code, _, err = run("train", *argv, "Mars/Base")
    assert code == 2 and "unknown time zone 'Mars/Base'" in err


def test_members_are_those_of_scikit_learns_words(run, table):
    path, made = table
    code, out, err = run("train", "--data", path, "--label", "late", "--ignore-cols", "delay", "--epochs", "3")
    assert (code, err) == (0, "")
    assert out.splitlines()[2] == "8 members, each holding out a different part of the rows"
    assert [line.split("  ")[0] for line in out.splitlines()[3:-2]] == [f"member {n}/8" for n in range(1, 9)]
    assert re.fullmatch(r"held out accuracy 0\.\d{4}  loss 0\.\d{4}", out.splitlines()[-2])
    model = NeuralNetworkClassifier(max_iter=3).fit(made.drop_columns(["late", "delay"]), made["late"].to_pylist())
    assert fingerprint(out) == model.network_.fingerprint()


def test_printed_settings_leave_open_what_the_rows_decide(run, tmp_path):
    path = write(tmp_path / "flights.csv", flights(60))
    argv = ("train", "--data", path, "--label", "late", "--epochs", "1")
    (tmp_path / "settings.toml").write_text(run(*argv, "--print-config")[1])
    assert fingerprint(run("train", tmp_path / "settings.toml")[1]) == fingerprint(run(*argv)[1])


def test_members_in_a_run_folder_go_on_to_the_same_bits(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "flights.csv", flights())
    argv = ("train", "--data", path, "--label", "delay", "--ignore-cols", "late", *QUICK[:4], "--members", "3")
    _, whole, _ = run(*argv, "--json")
    *epochs, result = map(json.loads, whole.splitlines())
    assert [row["member"] for row in epochs] == [*[0] * 3, *[1] * 3, *[2] * 3]
    kept = [min(epochs[at : at + 3], key=lambda row: row["val_loss"]) for at in (0, 3, 6)]
    held = sum((300 - row["rows"]) * row["val_mae"] for row in kept) / sum(300 - row["rows"] for row in kept)
    assert result["held_mae"] == pytest.approx(held) and sum(300 - row["rows"] for row in kept) == 300

    def interrupted(self, epoch, logs=None):
        if (self.params["member"], epoch) == (1, 1):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EachMember, "on_epoch_end", interrupted)
        assert run(*argv, "--run", "run")[0] == 130
    assert {"checkpoint-0", "checkpoint-1", "config.toml"} <= {path.name for path in Path("run").iterdir()}
    code, out, err = run("train", "--resume", "run")
    assert (code, err) == (0, ""), err
    assert fingerprint(out) == result["fingerprint"]
    assert sorted(path.name for path in Path("run").iterdir()) == sorted(FILES)
    assert "average (Average)" in run("inspect", "run")[1]
    rows = [json.loads(line) for line in Path("run/history.jsonl").read_text().splitlines()]
    assert [row["member"] for row in rows] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["scores"]["validation"]["mae"] == pytest.approx(held) and metrics["evidence"]["rows"] == 300
    assert [one["best_epoch"] for one in metrics["members"]] == [row["epoch"] for row in kept]
    assert metrics["evidence"]["effects"]["of"] == "delay"
    assert fingerprint(run("train", "run/config.toml")[1]) == fingerprint(out)
    assert json.loads(run("evaluate", "run", "--data", path, "--json")[1])["rows"] == 300


def test_members_are_centred_for_a_label_far_from_zero(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = flights()
    path = write(tmp_path / "flights.parquet", {**columns, "delay": columns["delay"] + 1e9})
    argv = ("train", "--data", path, "--label", "delay", "--ignore-cols", "late", *QUICK[:4], "--members", "2")
    code, out, err = run(*argv, "--run", "run")
    assert (code, err) == (0, ""), err
    scores = json.loads(Path("run/metrics.json").read_text())["scores"]
    found = json.loads(run("evaluate", "run", "--data", path, "--json")[1])
    assert scores["training"]["mae"] == pytest.approx(found["mae"], abs=0.01) and 1 < found["mae"] < 500


@pytest.mark.parametrize(
    "data, argv, said",
    [
        ("flights.csv", ["--validation-split", "0.2"], "leave out validation_split=0.2"),
        ("digits", [], "only tables can have members"),
    ],
)
def test_members_that_cannot_be_are_refused(run, tmp_path, monkeypatch, data, argv, said):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "flights.csv", flights(60))
    code, _, err = run("train", "--data", data, "--label", "late", "--members", "2", *argv)
    assert code == 2 and said in err


def test_the_page_on_tables_shows_what_the_command_line_prints(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
    names: dict[str, list] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    with open("flights.csv", "w", newline="") as file:
        csv.writer(file).writerows([("carrier", "tail", "departs", "temp", "late"), *names["rows"]])
    commands = page.split("```console\n$ firesteel ")[1].split("```")[0].split("$ firesteel ")
    doctor, train, predict = ((lines[0].split(), lines[1:]) for lines in map(str.splitlines, commands))
    capsys.readouterr()
    assert run(*doctor[0])[1].splitlines() == doctor[1]
    printed = run(*train[0], "--epochs", "1", "--hidden", "2")[1].splitlines()
    assert printed[:3] == train[1][:3]
    heads = [
        [re.sub(r"[.\d]{4,}|  epoch.*|[0-9a-f]{64}", "", line) for line in lines] for lines in (printed, train[1])
    ]
    assert heads[0] == heads[1]
    assert run(*predict[0])[1].splitlines() == predict[1]
