"""`firesteel demo`: equal fingerprints where Spark runs, a sentence where it cannot, and the truth if they differ."""

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest

from firesteel.cli import main
from firesteel.cli import train as command
from firesteel.cli.training import Result, TrainingPlan, planned

FIRESTEEL = [sys.executable, "-c", "from firesteel.cli import main; main()"]
ACCURACY = re.compile(r"^test accuracy (\S+)", re.MULTILINE)
FINGERPRINT = re.compile("^fingerprint ([0-9a-f]{64})$", re.MULTILINE)


def demo(**changes: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in (os.environ | changes).items() if value is not None}
    return subprocess.run([*FIRESTEEL, "demo"], capture_output=True, text=True, timeout=200, env=environment)


def test_without_java_the_first_half_runs_and_a_sentence_says_what_is_missing():
    done = demo(PATH="", JAVA_HOME=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(FINGERPRINT.findall(done.stdout)) == 1
    assert float(ACCURACY.findall(done.stdout)[0]) >= 0.96
    assert "\nSpark needs Java 17 or 21 and none was found" in done.stdout
    assert "fingerprints" not in done.stdout


def test_without_pyspark_it_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(SystemExit) as end:
        main(["demo"])
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert len(FINGERPRINT.findall(out)) == 1
    assert 'Spark needs pyspark, not installed here: pip install "firesteel[spark]"\n' in out


def test_fingerprints_that_differ_are_a_failure(monkeypatch, capsys):
    scores = {"loss": 0.1, "accuracy": 0.97}
    results = iter([Result(scores, "a" * 64, 1.0), Result(scores, "b" * 64, 1.0)])
    monkeypatch.setattr(TrainingPlan, "run", lambda *_: next(results))
    monkeypatch.setattr(sys.modules["firesteel.cli.train"], "spark_session", lambda master: nullcontext())
    with pytest.raises(SystemExit) as end:
        main(["demo"])
    out = capsys.readouterr().out
    assert end.value.code == 1
    assert "differ" in out and "equal" not in out


@pytest.mark.parametrize("seed", range(1, 5))
def test_its_accuracy_is_no_luck(seed):
    settings = replace(command.DEMO, training=replace(command.DEMO.training, seed=seed))
    with planned(settings, None) as plan:
        assert plan.run().test["accuracy"] >= 0.96
