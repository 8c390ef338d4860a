"""`firesteel doctor`: each trap, set on purpose, is named with what to do; and where there is none it says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from firesteel.cli import diagnosis
from firesteel.cli.diagnosis import Diagnosis, of_rows, of_session
from firesteel.cli.rows import FileRows
from firesteel.spark.probe import Probe

FIRESTEEL = [sys.executable, "-m", "firesteel", "doctor"]
ROOT = str(Path(__file__).parents[2])


def doctor(*argv, timeout=200, **changes):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK", "PYSPARK"))}
    environment = kept | {"PYTHONPATH": ROOT} | changes
    environment = {name: value for name, value in environment.items() if value is not None}
    done = subprocess.run([*FIRESTEEL, *argv], capture_output=True, text=True, timeout=timeout, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    if "--json" not in argv:
        return done.returncode, done.stdout
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def script(place, body):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n{body}\n")
    place.chmod(0o755)
    return place


def stops(found):
    return [finding["what"] for finding in found if finding["stops"]]


@pytest.mark.slow
def test_a_sound_installation_runs_a_job_and_reports_it():
    code, out = doctor()
    assert code == 0 and "stop" not in out
    assert (
        "Java is suitable" in out
        and "ran a job; a worker is Python" in out
        and "the driver's memory is 4.0 GiB" in out
    )


def test_no_java(tmp_path):
    code, found = doctor("--json", PATH=str(tmp_path), JAVA_HOME=None)
    assert code == 4 and stops(found) == ["Spark needs Java 17 or 21 and none was found"]
    assert any("apt install openjdk-17" in (finding["todo"] or "") for finding in found)


def test_a_java_that_is_too_old(tmp_path):
    script(tmp_path / "java", "echo 'openjdk version \"11.0.22\" 2024-01-16' >&2")
    code, found = doctor("--json", PATH=f"{tmp_path}:{os.environ['PATH']}", JAVA_HOME=None)
    assert code == 4 and "is Java 11" in stops(found)[0]


def test_a_java_home_that_is_none():
    code, out = doctor(JAVA_HOME="/nowhere")
    assert code == 4
    assert "stop  Spark needs Java 17 or 21 and /nowhere/bin/java (from JAVA_HOME) cannot be run\n" in out
    assert "\n      to do: install one" in out and "no Spark job was run" in out


@pytest.mark.parametrize(
    "body, said",
    [
        ('echo \'{"python": "%s", "missing": ["pyarrow"]}\'', "pyarrow not installed there"),
        (
            'echo \'{"python": "%s", "missing": ["numpy", "pyarrow"]}\'',
            "numpy and pyarrow not installed there",
        ),
        ('echo \'{"python": "2.7", "missing": []}\' # %s', "is Python 2.7, but the driver is "),
        ("exit 3 # %s", "workers cannot run it (exit code 3)"),
    ],
)
def test_workers_that_would_run_another_python(tmp_path, body, said):
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    python = script(tmp_path / "python", body % here)
    code, found = doctor("--json", PYSPARK_PYTHON=str(python))
    assert code == 4 and said in stops(found)[0] and str(python) in stops(found)[0]
    assert any("unset PYSPARK_PYTHON" in (finding["todo"] or "") for finding in found)


def test_a_python_that_is_not_there():
    code, found = doctor("--json", PYSPARK_PYTHON="/nowhere/python")
    assert code == 4 and "workers cannot run it (No such file" in stops(found)[0]


def test_the_python_that_others_sessions_would_run(tmp_path, monkeypatch):
    script(tmp_path / "python3", 'echo \'{"python": "3.11", "missing": ["pyarrow"]}\'')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    (finding,) = diagnosis._plain_python()
    assert "python3, which has no pyarrow" in finding.what and f"PYSPARK_PYTHON={sys.executable}" in finding.todo
    monkeypatch.setenv("PYSPARK_PYTHON", "python3")
    assert not list(diagnosis._plain_python())


@pytest.mark.parametrize("name", ["pyspark", "pandas", "pyarrow"])
def test_a_package_that_is_missing(monkeypatch, name):
    monkeypatch.setattr(diagnosis, "find_spec", lambda wanted: None if wanted == name else True)
    (finding,) = diagnosis._packages()
    assert finding == Diagnosis(f"{name} not installed", 'pip install "firesteel[spark]"', stops=True)


def test_a_pandas_that_is_too_new(monkeypatch):
    monkeypatch.setattr(diagnosis, "_version", lambda name: "3.0.1")
    finding = list(diagnosis._packages())[-1]
    assert "pandas 3.0.1 is newer" in finding.what and "pandas>=2.2.2,<3" in finding.todo


def test_a_disk_that_is_full_or_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    monkeypatch.setattr(diagnosis, "LEAST_DISK", 2**62)
    full = diagnosis._disk()
    assert "GiB of free space" in full.what and "SPARK_LOCAL_DIRS" in full.todo and not full.stops
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/nowhere,/tmp")
    gone = diagnosis._disk()
    assert gone.stops and gone.what == "/nowhere, Spark's local folder, cannot be used: No such file or directory"


WORKER = {"executable": "python", "python": "3.11.1", "numpy": "2.0.0", "pyarrow": "20.0.0"}


@pytest.mark.parametrize(
    "found, said, todo",
    [
        (Probe("4.0.0", 2**30, "ERROR", False, WORKER), "the driver's memory is 1.0 GiB", "--driver-memory 4g"),
        (Probe("4.0.0", 2**32, "WARN", False, WORKER), "Spark's log level is WARN", "setLogLevel"),
        (
            Probe("4.0.0", 2**32, "ERROR", True, WORKER),
            "progress bar overwrites firesteel's",
            "showConsoleProgress=false",
        ),
    ],
)
def test_findings_about_a_session(found, said, todo):
    (finding,) = (one for one in of_session(found) if one.todo)
    assert said in finding.what and todo in finding.todo and not finding.stops


def test_a_sound_or_remote_session_has_no_findings():
    for found in (Probe("4.0.0", 2**32, "ERROR", False, WORKER), Probe("4.0.0", None, None, False, WORKER)):
        assert not [one for one in of_session(found) if one.todo]


@pytest.mark.slow
def test_a_session_of_spark_submit_with_every_trap():
    import pyspark

    import firesteel

    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    program = Path(firesteel.__file__).with_name("__main__.py")
    settings = ["--master", "local[1]", "--driver-memory", "1g", "--conf", "spark.ui.showConsoleProgress=true"]
    done = subprocess.run(
        [submit, *settings, program, "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable},
    )
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    todo = " ".join(finding["todo"] or "" for finding in found)
    assert done.returncode == 0
    assert "--driver-memory 4g" in todo and "showConsoleProgress=false" in todo and "setLogLevel" in todo


def test_rows_are_checked(run, tmp_path, monkeypatch):
    monkeypatch.setattr("firesteel.cli.doctor._all", lambda *_: iter([]))
    (tmp_path / "rows.csv").write_text("area,label\n1000,1\n2000,2\n3000,3\n")
    code, out, err = run("doctor", "--data", tmp_path / "rows.csv")
    assert (code, err) == (0, "")
    assert "inputs are not scaled: 1 of 1 have large values, 'area' up to 2e+03" in out
    assert "labels are not 0 to 2: label holds 1, 2, 3" in out and "start with Normalization()" in out
    code, _, err = run("doctor", "--data", tmp_path / "none.csv")
    assert code == 3 and "No such file" in err


def test_sound_rows_have_no_findings():
    x = np.array([[0.5, np.nan], [1.0, 2.0]])
    told = list(of_rows(FileRows("x", x, np.array([0, 1]))))
    assert [one.todo is None for one in told] == [True, False] and "1 rows hold NaN" in told[1].what
    assert not [one for one in of_rows(FileRows("x", np.ones((2, 2)), np.array([0.5, 1.5]))) if one.todo]
