"""Kinds of secrets, times the places where something is written or said: a table of zeros."""

import json
import os
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

from firesteel import mlflow
from firesteel._checkpoints import UrlCheckpoints
from firesteel.cli import main
from firesteel.cli.config import Config, DataSettings, EngineSettings, RunSettings, to_toml
from firesteel.errors import HIDDEN, DataError, SparkJobError, without_secrets
from firesteel.report import RunFolder
from firesteel.report.page import render
from tests.support.files import model
from tests.support.secret_kinds import ADDRESSES, HARMLESS, SETTINGS, TOKEN

ALL = ADDRESSES | SETTINGS


def secret(text):
    """Whether something of the secret is left, in any spelling."""
    return TOKEN in text or "0f6e9c4b" in text


@pytest.mark.parametrize("kind", ALL)
def test_r46_a_secret_is_removed_alone_and_in_sentences_and_once(kind):
    text = ALL[kind]
    for said in (text, f"{text}: cannot be read", f"no such file: {text!r}.", f"({text})", f"<{text}>, [{text}]"):
        clean = without_secrets(said)
        assert secret(said) and not secret(clean), clean
        assert without_secrets(clean) == clean
        for error in (DataError, SparkJobError):
            assert not secret(str(error(said)))
    assert not secret(repr(without_secrets({"a": [text, {text: (text,)}]})))


@pytest.mark.parametrize("text", HARMLESS)
def test_r46_what_is_no_secret_is_kept(text):
    for said in (text, f"{text}: cannot be read", f"no such file: {text!r}"):
        assert without_secrets(said) == said
    assert str(DataError(text)) == f"{text} [data]"


@pytest.mark.parametrize(
    "address, clean",
    [
        (f"s3a://me:{TOKEN}@bucket/x", "s3a://bucket/x"),
        (f"sftp://me:{TOKEN}@host/x", "sftp://me@host/x"),
        (f"hdfs://me:{TOKEN}@node:8020/user=a@b/x", "hdfs://node:8020/user=a@b/x"),
        (f"wasbs://rows@account/x?sv=1&sig={TOKEN}&se=2", f"wasbs://rows@account/x?sv=1&sig={HIDDEN}&se=2"),
        (
            f"jdbc:sqlserver://host;password={TOKEN};encrypt=true",
            f"jdbc:sqlserver://host;password={HIDDEN};encrypt=true",
        ),
    ],
)
def test_r46_what_is_left_names_the_same_place(address, clean):
    assert without_secrets(address) == clean


def test_r46_settings_are_secret_by_their_names():
    kept = {"key": "age", "features": ["token", "key"], "token": 0.3}
    given = {"fs.s3a.secret.key": TOKEN, "passwords": [TOKEN]}
    assert without_secrets(given | kept) == dict.fromkeys(given, HIDDEN) | kept


@pytest.mark.parametrize(
    "unit",
    ["a.", "http://", "?key='", "?key={", "x://#aA1", "%25", "eyJ", "s3a://a:", "passwd:  ", "--token ", "fs.a "],
)
def test_r46_long_texts_are_cleaned_in_time(unit):
    without_secrets(unit * (60_000 // len(unit)))  # pytest's time limit, if it were more than linear


def test_r46_a_run_holds_no_secret_and_its_settings_can_be_read(tmp_path):
    address = ADDRESSES["Azure's signature"]
    config = {
        "data": {"train": address, "options": {"fs.s3a.secret.key": TOKEN}},
        "engine": ADDRESSES,
        "run": {"folder": address, "texts": list(ALL.values())},
    }
    x, y = np.arange(40.0).reshape(10, 4) / 40, np.arange(10) % 3
    folder = RunFolder(tmp_path / "run", class_names=list(ADDRESSES.values())[:3], config=config)
    model(1).fit(x, y, epochs=1, verbose=0, callbacks=[folder])
    for path in (tmp_path / "run").iterdir():
        assert not secret(path.read_bytes().decode("latin-1")), path
    text = (tmp_path / "run" / "config.toml").read_text()
    read = tomllib.loads(text)
    assert read["data"]["train"] == without_secrets(address)
    assert read["engine"].items() >= without_secrets(ADDRESSES).items()
    assert "# A secret is left out of [data] train:" in text and "FIRESTEEL_DATA_TRAIN" in text


def test_r46_a_run_without_secrets_says_nothing_of_them_and_keeps_its_places(tmp_path):
    kept = {"data": {"train": "abfss://rows@account.dfs.core.windows.net/x"}}
    x, y = np.arange(40.0).reshape(10, 4) / 40, np.arange(10) % 3
    model(1).fit(x, y, epochs=1, verbose=0, callbacks=[RunFolder(tmp_path / "run", config=kept)])
    text = (tmp_path / "run" / "config.toml").read_text()
    assert tomllib.loads(text)["data"]["train"] == kept["data"]["train"] and "secret" not in text


def test_r46_a_page_of_a_run_that_holds_a_secret_shows_none(tmp_path):
    x, y = np.arange(40.0).reshape(10, 4) / 40, np.arange(10) % 3
    model(1).fit(x, y, epochs=1, verbose=0, callbacks=[RunFolder(tmp_path / "run")])
    (tmp_path / "run" / "config.toml").write_text("".join(f"{text}\n" for text in ADDRESSES.values()))
    assert not secret(render(tmp_path / "run"))


@pytest.mark.parametrize("kind", ADDRESSES)
def test_r46_settings_are_printed_without_secrets(kind):
    address = ADDRESSES[kind]
    text = to_toml(
        Config(DataSettings(train=address), engine=EngineSettings(master=address), run=RunSettings(address))
    )
    assert not secret(text) and tomllib.loads(text)["engine"]["master"] == without_secrets(address)


COMMANDS = (
    *(
        ["train", "--data", "..."],
        ["train", "..."],
        ["train", "a", "..."],
        ["train", "--data", "...", "--print-config"],
    ),
    *(["train", "--epochs", "..."], ["train", "--data", "digits", "--run", "..."], ["train", "--resume", "..."]),
    *(["evaluate", "m", "--data", "..."], ["evaluate", "..."], ["predict", "m", "--data", "digits", "--out", "..."]),
    *(["report", "..."], ["inspect", "..."], ["data", "convert", "...", "x", "--to", "csv"], ["..."]),
    ["data", "fetch", "..."],
)


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_r46_commands_say_nothing_secret(tmp_path, monkeypatch, capfd, argv):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")
    model(1).save("m")
    for kind in ("Amazon's keys", "Azure's signature", "slashes and signs", "JDBC's properties"):
        with pytest.raises(SystemExit) as end:
            main([word.replace("...", ADDRESSES[kind]) for word in argv])
        out, err = capfd.readouterr()
        assert (out or err) and not secret(out + err) and "Traceback" not in err, (kind, out, err)
        assert end.value.code or "--print-config" in argv


@pytest.mark.slow  # it starts a Java of its own
def test_r46_a_master_that_spark_refuses_is_named_without_its_secret(tmp_path):
    argv = ["train", "--data", "digits", "--engine", "spark", "--master", ADDRESSES["Amazon's keys"]]
    env = {**os.environ, "COLUMNS": "500", "PYTHONPATH": str(Path(__file__).parents[2])}
    run = [sys.executable, "-c", f"from firesteel.cli import main\nmain({argv})"]  # no session is in use there
    done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 4 and "[spark-start]" in done.stderr, done.stderr
    assert not secret(done.stdout + done.stderr) and "Traceback" not in done.stderr


def test_r46_settings_that_lack_their_secret_are_refused_with_what_to_do(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for section, key, value in (
        ("data", "train", f"x?sig={HIDDEN}"),
        ("engine", "master", f"sc://h/;token={HIDDEN}"),
    ):
        more = 'name = "spark"\n' if section == "engine" else ""
        (tmp_path / "c.toml").write_text(f'[{section}]\n{more}{key} = "{value}"\n')
        with pytest.raises(SystemExit) as end:
            main(["train", "c.toml"])
        said = capfd.readouterr().err
        assert end.value.code == 2 and f"[{section}] {key} was saved with" in said
        assert f"FIRESTEEL_{section}_{key}".upper() in said


def test_r46_an_interrupted_command_says_no_secret(tmp_path, monkeypatch, capfd):
    def stop(argv):
        raise KeyboardInterrupt(f"resume with: firesteel train --resume s3a://me:{TOKEN}@bucket/run")

    monkeypatch.setattr("firesteel.cli.app.run", stop)
    with pytest.raises(SystemExit):
        main([])
    assert "--resume s3a://bucket/run" in capfd.readouterr().err


def test_r46_findings_of_doctor_hold_no_secret(capsys):
    from rich.console import Console

    from firesteel.cli.diagnosis import Diagnosis
    from firesteel.cli.doctor import _show

    for text in ADDRESSES.values():
        for as_json in (False, True):
            _show(Diagnosis(f"{text}: 10 rows", f"look at {text}"), Console(soft_wrap=True), as_json)
    said = capsys.readouterr().out
    assert not secret(said) and "look at" in said


def test_r46_mlflow_gets_no_secret():
    logged = {}

    class Client:
        def log_params(self, settings):
            logged.update(settings)
            raise RuntimeError(f"cannot reach https://me:{TOKEN}@host/api")

        def log_text(self, *what):
            pass

    callback = mlflow.MlflowCallback.__new__(mlflow.MlflowCallback)
    callback.mlflow, callback.warned, callback.model = Client(), False, model(1)
    callback.params = {"source": ADDRESSES["Azure's signature"], "epochs": 3}
    with pytest.warns(UserWarning, match="training continues: cannot reach https://host/api") as caught:
        callback.on_train_begin()
    assert not secret(json.dumps(logged)) and logged["epochs"] == 3 and not secret(str(caught[0].message))


def test_r46_a_checkpoint_that_stays_is_warned_of_without_secrets():
    class Files:
        def rm(self, path, recursive):
            raise OSError(f"denied for {ADDRESSES['Azure´s signature'.replace('´', chr(39))]}")

    place = UrlCheckpoints.__new__(UrlCheckpoints)
    place.files = Files()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        place._remove(f"s3://me:{TOKEN}@bucket/kept")
    assert "s3://bucket/kept is no longer needed" in str(caught[0].message) and not secret(str(caught[0].message))
