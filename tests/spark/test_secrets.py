"""A secret in Spark's settings, in the environment and in an address turns up in nothing that is written or said."""

import json
import os
import warnings

import pytest

from firesteel.callbacks import BackupAndRestore
from firesteel.cli import main
from firesteel.errors import HIDDEN, without_secrets
from firesteel.report import RunFolder
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkClassifierModel
from firesteel.spark.engine import described
from firesteel.spark.storage import read_bytes
from tests.spark.conftest import NAMED, network
from tests.support.secret_kinds import ADDRESSES

TOKEN = "tOkEn0f6e9c4b"
ADDRESS = f"s3a://reader:{TOKEN}@bucket/rows.parquet"


@pytest.fixture
def planted(spark, monkeypatch):
    """The secret, wherever a program may have one."""
    settings = ("spark.hadoop.fs.s3a.secret.key", "spark.my.password", "spark.firesteel.token")
    for name in settings:
        spark.conf.set(name, TOKEN)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", TOKEN)
    monkeypatch.setenv("FIRESTEEL_TOKEN", TOKEN)
    monkeypatch.setenv("https_proxy", f"http://me:{TOKEN}@127.0.0.1:9")
    yield spark
    for name in settings:
        spark.conf.unset(name)


def titles(spark):
    """What Spark's pages call its jobs and stages."""
    store = spark.sparkContext._jsc.sc().statusStore()
    jobs = store.jobsList(None)
    return " ".join(f"{jobs.apply(at).name()} {jobs.apply(at).description()}" for at in range(jobs.size()))


def written(folder):
    """Every byte of every file below a folder, and their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return b"\n".join([b"\n".join(str(path).encode() + b"\n" + path.read_bytes() for path in files)])


@pytest.mark.slow
def test_r46_secrets_are_in_no_file_log_or_title(planted, rows, tmp_path, capfd):
    frame, spark = rows.frame(planted), planted
    known = {"data": {"train": ADDRESS, "test": ADDRESS}, "run": {"folder": f"file://me:{TOKEN}@host/x"}}
    keep = [RunFolder(tmp_path / "run", config=known), BackupAndRestore(tmp_path / "kept", delete_checkpoint=False)]
    model = network()
    model.fit(frame, epochs=2, shards=4, seed=1, callbacks=keep)
    model.save(tmp_path / "m.firesteel")
    stage = NeuralNetworkClassifier(hiddenLayers=[3], maxIter=1, **NAMED, runDir=str(tmp_path / "runs")).fit(frame)
    stage.write().overwrite().save(str(tmp_path / "stage"))
    unused = NeuralNetworkClassifier(checkpointDir=f"s3a://me:{TOKEN}@bucket/kept")
    unused.write().save(str(tmp_path / "unused"))
    out, err = capfd.readouterr()
    assert TOKEN not in out + err + titles(spark)
    assert TOKEN.encode() not in written(tmp_path)
    assert TOKEN.encode() not in read_bytes(spark, str(tmp_path / "stage" / "data"))
    assert NeuralNetworkClassifier.load(str(tmp_path / "unused")).getCheckpointDir() == "s3a://bucket/kept"
    assert NeuralNetworkClassifierModel.load(str(tmp_path / "stage")).network.fingerprint()
    assert 'train = "s3a://bucket/rows.parquet"' in (tmp_path / "run" / "config.toml").read_text()
    assert {path.name for path in tmp_path.iterdir()} >= {"run", "kept", "m.firesteel", "runs", "stage", "unused"}
    assert os.listdir(tmp_path / "kept")
    planted_there = json.dumps(dict(os.environ)) + spark.conf.get("spark.my.password")
    assert planted_there.count(TOKEN) == 4


@pytest.mark.parametrize(
    "kind", ["Amazon's keys", "slashes and signs", "hdfs", "Azure's signature", "a token alone behind"]
)
def test_r46_a_stage_is_saved_without_secrets_and_leads_nowhere_else(spark, tmp_path, kind):
    address, stage = (
        ADDRESSES[kind],
        NeuralNetworkClassifier(hiddenLayers=[3], **NAMED, checkpointDir=ADDRESSES[kind]),
    )
    clean = without_secrets(address)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        stage.write().save(str(tmp_path / "stage"))
    assert stage.getCheckpointDir() == address
    assert b"0f6e9c4b" not in written(tmp_path)
    loaded = NeuralNetworkClassifier.load(str(tmp_path / "stage"))
    assert loaded.getHiddenLayers() == [3]
    if HIDDEN in clean:
        assert not loaded.isSet("checkpointDir")
        assert [str(one.message) for one in said] == [
            "checkpointDir contains a secret and is not saved: set it again after loading"
        ]
    else:
        assert loaded.getCheckpointDir() == clean and not said


def test_r46_a_place_without_a_secret_is_saved_as_it_is(spark, tmp_path):
    place = "abfss://rows@account.dfs.core.windows.net/kept"
    NeuralNetworkClassifier(checkpointDir=place, runDir=place).write().save(str(tmp_path / "stage"))
    loaded = NeuralNetworkClassifier.load(str(tmp_path / "stage"))
    assert loaded.getCheckpointDir() == loaded.getRunDir() == place


@pytest.mark.parametrize("kind", ["password", "Amazon's keys", "Azure's signature"])
def test_r46_jobs_are_called_without_secrets(spark, kind):
    with described(spark, f"firesteel: saving {ADDRESSES[kind]}"):
        spark.range(1).count()
        assert "0f6e9c4b" not in spark.sparkContext.getLocalProperty("spark.job.description")
    assert "0f6e9c4b" not in titles(spark)


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "--data", ADDRESS],
        ["train", "--data", ADDRESS, "--engine", "spark"],
        ["train", "--data", ADDRESS, "--print-config"],
        ["train", "--data", ADDRESS.replace(".parquet", ""), "--engine", "spark"],
        ["predict", "m", "--data", "digits", "--out", ADDRESS, "--engine", "spark"],
        ["predict", f"http://me:{TOKEN}@host/m", "--data", "digits", "--out", "p.csv"],
        ["evaluate", "m", "--data", ADDRESS],
        ["report", f"http://me:{TOKEN}@host/run"],
        ["inspect", f"http://me:{TOKEN}@host/m"],
        ["data", "convert", ADDRESS, "x", "--to", "csv"],
    ],
    ids=lambda argv: " ".join(argv).replace(TOKEN, "..."),
)
def test_r46_commands_say_addresses_without_their_secrets(planted, tmp_path, monkeypatch, capfd, argv):
    monkeypatch.chdir(tmp_path)
    model = network()
    model.build((None, 64))
    model.save("m")
    with pytest.raises(SystemExit):
        main(argv)
    out, err = capfd.readouterr()
    assert (out or err) and TOKEN not in out + err and "Traceback" not in err


@pytest.mark.parametrize("command", [["train"], ["evaluate", "m"], ["doctor"]])
def test_r46_a_master_beside_a_session_in_use_is_refused_without_its_secret(
    spark, tmp_path, monkeypatch, capfd, command
):
    monkeypatch.chdir(tmp_path)
    model = network()
    model.build((None, 64))
    model.save("m")
    more = [] if command == ["doctor"] else ["--data", "digits", "--engine", "spark"]
    with pytest.raises(SystemExit) as end:
        main([*command, *more, "--master", ADDRESS])
    out, err = capfd.readouterr()
    said = " ".join((out + err).split())
    assert end.value.code == (4 if command == ["doctor"] else 2), said
    assert "[engine] master='s3a://bucket/rows.parquet': Spark is already running with master local[2]" in said
    assert TOKEN not in said and "Traceback" not in said
