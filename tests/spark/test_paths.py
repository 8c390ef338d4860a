"""What Spark can write it can read again, whatever the path is called: Spark reads a path as a pattern."""

import inspect
from pathlib import Path

import pytest

from firesteel.errors import ConfigError, StoreError
from firesteel.spark import (
    NeuralNetworkClassifier,
    NeuralNetworkClassifierModel,
    NeuralNetworkRegressor,
    NeuralNetworkRegressorModel,
    load_pack,
    pack,
)
from firesteel.spark.checkpoints import SparkCheckpoints
from firesteel.spark.files import read_files, write_files
from firesteel.spark.lines import paired
from firesteel.spark.parquet import parquet_columns, read_parquet, read_table, write_parquet, write_pictures
from firesteel.spark.storage import literal, write_bytes
from tests.spark.conftest import NAMED
from tests.spark.contract import ODD
from tests.support.places import FORMS, Place, asking

NAMES = {
    "[b]": ["b"],
    "[": [],
    "a]": [],
    "{c,d}": ["c", "d"],
    "{": [],
    "*": ["e"],
    "f?": ["fg"],
    "back\\slash": ["backslash"],
    "\\[h": ["[h"],
    "s p ace ": [],
    "100%25": ["100%"],
    "i#j": [],
    "k:l": [],
    "m=n": [],
    "o,p": ["o", "p"],
    "é漢": [],
    "_q": [],
    ".r": [],
    "'s\"$`;": [],
    "PATH_NOT_FOUND": [],
}
"""Names, and what their patterns would find in their place."""


QUICK = ("[b]", "[", "{c,d}", "*", "back\\slash", "\\[h", "100%25", "k:l", "_q", "PATH_NOT_FOUND")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_a_checkpoint_is_found_where_it_was_written_and_nowhere_else(spark, tmp_path, name):
    for other in NAMES[name]:
        write_bytes(spark, f"{tmp_path}/{other}/a", b"of another")
    kept = SparkCheckpoints(spark, f"{tmp_path}/{name}")
    assert kept.read(f"{kept.path}/a") is None
    kept.write(f"{kept.path}/a", b"progress")
    assert (tmp_path / name / "a").is_dir() and kept.read(f"{kept.path}/a") == b"progress"


def test_what_cannot_be_read_is_not_taken_for_nothing(spark, tmp_path):
    kept = SparkCheckpoints(spark, f"{tmp_path}/PATH_NOT_FOUND")
    (tmp_path / "PATH_NOT_FOUND" / "a").mkdir(parents=True)
    (tmp_path / "PATH_NOT_FOUND" / "a" / "part.parquet").write_bytes(b"no parquet")
    with pytest.raises(StoreError) as caught:
        kept.read(f"{kept.path}/a")
    assert caught.value.code == "store-damaged"


@pytest.fixture(scope="module")
def frame(spark):
    rows = [([float(n), n % 3.0], float(n % 5)) for n in range(40)]
    return spark.createDataFrame(rows, "features array<double>, label double")


def test_stages_packs_runs_and_rows_come_back_from_an_odd_place(spark, frame, tmp_path):
    place = tmp_path / ODD
    write_bytes(spark, f"{tmp_path}/a b%20#cf__é漢", b"what the pattern would find")
    runs = place / "runs"
    kept = Place(place / "kept")
    stage = NeuralNetworkRegressor(
        maxIter=1, hiddenLayers=[2], seed=1, **NAMED, runDir=Place(runs), checkpointDir=kept
    )
    model = stage.fit(frame)
    assert (runs / "001" / "report.html").exists() and not list((place / "kept").iterdir())
    for _ in range(2):
        model.write().overwrite().save(Place(place / "model"))
    again = NeuralNetworkRegressorModel.load(Place(place / "model"))
    assert again.network.fingerprint() == model.network.fingerprint() and again.getRunDir() == str(runs)
    with pack(frame, path=Place(place / "pack")), load_pack(Place(place / "pack")) as rows:
        assert stage.fit(rows).network.fingerprint() == model.network.fingerprint()
    scored = model.transform(frame).select("label", "prediction")
    write_files(scored, Place(place / "scores"), "csv")
    assert read_files(spark, Place(place / "scores"), "csv").count() == 40
    (place / "x.txt").write_text("1 2\n3 4\n")
    (place / "y.txt").write_text("0 1\n1 0\n")
    with paired(spark, Place(place / "x.txt"), Place(place / "y.txt")) as both:
        assert both.rows == 2


def test_rows_of_a_user_are_a_pattern_where_no_such_file_is(spark, frame, tmp_path):
    for name in ("day1", "day2"):
        write_files(frame, str(tmp_path / name), "parquet")
    assert read_files(spark, f"{tmp_path}/day[12]", "parquet").count() == 80
    write_files(frame, str(tmp_path / "day[12]"), "parquet")
    assert read_files(spark, f"{tmp_path}/day[12]", "parquet").count() == 40


def test_half_a_pack_goes_and_what_was_there_before_it_stays(frame, tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("of the user")

    def fail(frame):
        raise OSError("in the middle")

    monkeypatch.setattr("firesteel.spark.packed.known_blocks", fail)
    with pytest.raises(OSError, match="in the middle"):
        pack(frame, path=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("wrong", [5, "", None, b"bytes"])
def test_what_is_no_path_is_refused(frame, wrong):
    for call in (load_pack, NeuralNetworkRegressor.load, NeuralNetworkRegressor().save):
        with pytest.raises(ConfigError, match="it must be a path"):
            call(wrong)


def test_a_stage_that_is_not_there_is_said_to_be_missing(spark, tmp_path):
    with pytest.raises(StoreError, match=r"nothing\]: no NeuralNetworkRegressor is saved there") as caught:
        NeuralNetworkRegressor.load(f"{tmp_path}/[nothing]")
    assert "\n" not in str(caught.value)


def test_a_path_without_signs_is_left_as_it_is():
    for path in ("s3a://bucket/a-b_c.d/e=1", "file:///tmp/a%20b", str(Path("/tmp/é"))):
        assert literal(path) == path


def scored(spark, place, form):
    """Everything in `firesteel.spark` that takes a path is given one, in a form."""

    def at(name):
        return form(place / name)

    rows = [([float(n), n % 3.0], float(n % 2)) for n in range(12)]
    frame = spark.createDataFrame(rows, "features array<double>, label double").coalesce(1)
    write_files(frame, at("rows"), "parquet")
    assert read_files(spark, at("rows"), "parquet").count() == len(read_parquet(at("rows"), ["label"])["label"]) == 12
    names = parquet_columns(at("rows"))
    assert names == ["features", "label"] == read_table(at("rows"), names).column_names
    write_parquet(at("column"), {"a": read_parquet(at("rows"), ["label"])["label"]})
    assert write_pictures(at("pictures"), [{"features": [b"a"], "label": ["x"], "origin": ["y"]}]) == 1
    for name in ("x", "y"):
        (place / name).write_text("0 1\n1 0\n")
    with paired(spark, at("x"), at("y")) as both:
        assert both.rows == 2
    with pack(frame, path=at("pack")), load_pack(at("pack")) as packed:
        assert packed.profile().rows == 12
    for kind, model in (
        (NeuralNetworkClassifier, NeuralNetworkClassifierModel),
        (NeuralNetworkRegressor, NeuralNetworkRegressorModel),
    ):
        stage = kind(maxIter=1, hiddenLayers=[2], seed=1, checkpointDir=at("kept"), runDir=at("runs"))
        assert (stage.getCheckpointDir(), stage.getRunDir()) == (str(place / "kept"), str(place / "runs"))
        again = stage.copy({stage.runDir: at("others")}).setCheckpointDir(at("more")).setRunDir(at("runs"))
        assert (again.getCheckpointDir(), again.getRunDir()) == (str(place / "more"), str(place / "runs"))
        fitted = stage.clear(stage.runDir) or stage.fit(frame)
        for one, name in ((stage, f"{kind.__name__}"), (fitted, model.__name__)):
            one.save(at(name))
            one.write().overwrite().save(at(name))
            assert type(one).load(at(name)).uid == type(one).read().load(at(name)).uid == one.uid


def test_every_public_name_that_takes_a_path_is_tried():
    words = {"explained(path)", "count_sound(path)", "arrays_of(path)"}  # what messages call the rows
    found = asking(*(f"firesteel.spark{module}" for module in ("", ".files", ".lines", ".parquet"))) - words
    source = inspect.getsource(scored)
    assert found
    for name in found:
        public, _, parameter = name.removesuffix(")").partition("(")
        assert public.partition(".")[0] in source and (not parameter.endswith("Dir") or parameter in source), name


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_paths_in_every_form(spark, tmp_path, form):
    scored(spark, tmp_path, FORMS[form])
