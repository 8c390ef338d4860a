"""The session helper: which Java will do, what a failed start says, and that a good one is silent."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firesteel.errors import SparkSetupError
from firesteel.spark.session import java_problem, session
from tests.spark.conftest import JAVA

module = sys.modules[session.__module__]  # `firesteel.spark.session` may be the function

VERSIONS = {
    "1.8": 'java version "1.8.0_392"',
    "11": 'openjdk version "11.0.22" 2024-01-16',
    "17": 'openjdk version "17.0.15" 2025-04-15',
    "17 with options": 'Picked up JAVA_TOOL_OPTIONS: -Xss4m\nopenjdk version "17.0.15" 2025-04-15',
    "21": 'openjdk version "21" 2023-09-19',
    "25": 'openjdk version "25.0.2" 2026-01-20 LTS',
    "26-ea": 'openjdk version "26-ea" 2026-03-17',
}


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a script in the place of Java: first on the PATH, or below JAVA_HOME."""

    def install(body: str, home: bool = False) -> Path:
        script = tmp_path / "bin" / "java"
        script.parent.mkdir()
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        if home:
            monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        else:
            monkeypatch.delenv("JAVA_HOME", raising=False)
            monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
        return script

    return install


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch):
    """Hides whatever session other tests have made, so that `session` goes on to look for Java."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    monkeypatch.setattr(SparkSession, "getActiveSession", classmethod(lambda cls: None))
    monkeypatch.setattr(SparkContext, "_active_spark_context", None)
    for name in module.STARTED_OUTSIDE:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", VERSIONS)
def test_java_is_judged_by_its_version(name, fake_java):
    fake_java(f"cat >&2 <<'END'\n{VERSIONS[name]}\nEND")
    problem = java_problem()
    if name in ("1.8", "11"):
        assert f"is Java {name.removeprefix('1.')}:" in problem
        assert "needs Java 17 or 21" in problem and "JAVA_HOME" in problem
    else:
        assert problem is None


def test_no_java_at_all(tmp_path, monkeypatch, no_session):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert "none was found: install one (apt install openjdk-17" in java_problem()
    with pytest.raises(SparkSetupError, match="none was found") as caught:
        session()
    assert caught.value.code == "spark-java"


def test_java_home_comes_before_the_path(fake_java, tmp_path, monkeypatch):
    fake_java("echo 'openjdk version \"11.0.1\"'", home=True)
    assert str(tmp_path) in java_problem()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    assert "gone/bin/java (from JAVA_HOME) cannot be run" in java_problem()


def test_java_that_does_not_run(fake_java):
    script = fake_java("echo Unable to locate a Java Runtime. >&2; exit 1")
    assert "it says: Unable to locate a Java Runtime." in java_problem()
    script.write_text("\x00 not a program")
    assert "cannot be run" in java_problem()


def test_java_that_hangs_is_not_waited_for(fake_java, monkeypatch):
    monkeypatch.setattr(module, "JAVA_SECONDS", 0.3)
    fake_java("sleep 5")
    started = time.monotonic()
    assert "did not print its version within 0.3 s" in java_problem()
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("name", ["pyspark", "pandas", "pyarrow"])
def test_missing_package_names_the_remedy(name, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda wanted: None if wanted == name else True)
    with pytest.raises(SparkSetupError, match=rf'needs {name}, .* pip install "firesteel\[spark\]"') as caught:
        session()
    assert caught.value.code == "spark-missing"


def test_module_imports_without_pyspark():
    code = "import sys; sys.modules['pyspark'] = None; import firesteel.spark.session"
    subprocess.run([sys.executable, "-c", code], check=True)


CHILD = """
import json, os, sys
from firesteel.errors import SparkSetupError
from firesteel.spark.session import session

def refused(master="local[1]", **conf):
    try:
        session(master, conf={"spark.driver." + key: value for key, value in conf.items()})
    except SparkSetupError as error:
        return error.code, str(error)

def where(batches):
    import pyarrow as pa
    for _ in batches:
        yield pa.RecordBatch.from_pydict({"python": [sys.executable]})

refusals = [refused(memory="plenty"), refused(extraJavaOptions="-agentlib:nowhere")]
before = dict(os.environ)
spark = session("local[1]", conf={"spark.driver.memory": "1g", "spark.driver.extraJavaOptions": sys.argv[1]})
changed = [k for k, v in os.environ.items() if before.get(k) != v and ("PYTHON" in k or "_IP" in k)]
python = spark.range(1).mapInArrow(where, "python string").first().python
conf = dict(spark.sparkContext.getConf().getAll())
again = session("local[7]", "other", {"spark.sql.shuffle.partitions": "3"})
same = again is spark, again.sparkContext.appName, again.conf.get("spark.sql.shuffle.partitions")
spark.stop()
third = session("local[1]", "third")
name = third.sparkContext.appName
third.stop()
os.write(2, b"now an error:")
refusals.append(refused("local[0]"))
print(json.dumps({"refusals": refusals, "changed": changed, "python": python, "conf": conf, "same": same,
                  "third": name, "files": os.listdir(".")}))
"""


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory):
    """What CHILD found in a process and an empty folder of its own, and what stood on its stderr."""
    env = {k: v for k, v in os.environ.items() if "SPARK" not in k}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-W", "always::FutureWarning", "-c", CHILD, JAVA],
        cwd=tmp_path_factory.mktemp("empty"),
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_start_and_use_are_silent_but_errors_are_seen(child):
    quiet, _, errors = child[1].partition("now an error:")
    assert quiet == ""
    assert "ERROR SparkContext: Error initializing SparkContext" in errors


def test_workers_run_this_python_and_the_environment_is_as_it_was(child):
    assert child[0]["python"] == sys.executable
    assert child[0]["changed"] == []


def test_new_session_has_laptop_settings_and_leaves_no_files(child):
    conf = child[0]["conf"]
    assert conf["spark.driver.memory"] == "1g"  # the caller's
    assert conf["spark.driver.host"] == conf["spark.driver.bindAddress"] == "127.0.0.1"
    assert conf["spark.ui.showConsoleProgress"] == "false"
    assert conf["spark.sql.execution.arrow.maxRecordsPerBatch"] == "2000"
    assert "firesteel-spark-" in conf["spark.sql.warehouse.dir"]
    assert "spark.sql.session.timeZone" not in conf
    assert child[0]["files"] == []
    assert not Path(conf["spark.sql.warehouse.dir"].removeprefix("file://")).parent.exists()


def test_active_session_is_handed_back_as_found_and_a_stopped_one_is_not(child):
    assert child[0]["same"] == [True, "firesteel", "200"]
    assert child[0]["third"] == "third"


def test_failed_start_is_one_sentence_with_its_cause(child):
    memory, agent, cores = child[0]["refusals"]
    assert memory == ["spark-start", "Spark did not start: Invalid maximum heap size: -Xmxplenty [spark-start]"]
    for (code, text), cause in [(agent, "nowhere"), (cores, "0 threads")]:
        assert code == "spark-start" and text.startswith("Spark did not start: ")
        assert cause in text and "\n" not in text


def test_memory_default_holds_unless_the_caller_says_otherwise(tmp_path):
    settings = module._settings("local[2]", "firesteel", tmp_path)
    assert settings["spark.driver.memory"] == "4g"
    assert "spark.driver.host" not in module._settings("yarn", "firesteel", tmp_path)


NOBODY = {
    "spark://127.0.0.1:1": "its master at 127.0.0.1:1 cannot be reached (Connection refused)",
    "spark://127.0.0.1:1,127.0.0.1:2": "its master at 127.0.0.1:2 cannot be reached (Connection refused)",
    "spark://nobody.invalid": "its master at nobody.invalid:7077 cannot be reached (",
    "spark://[::1]:1": "its master at ::1:1 cannot be reached (",
}


@pytest.mark.parametrize("master", NOBODY)
def test_a_master_that_cannot_be_reached_is_said_to_be_at_once(master, no_session):
    began = time.monotonic()
    with pytest.raises(SparkSetupError) as caught:
        session(master)
    assert NOBODY[master] in str(caught.value) and caught.value.code == "spark-start"
    assert "\n" not in str(caught.value) and time.monotonic() - began < 10


@pytest.mark.parametrize(
    "remote, said",
    [
        ("sc://127.0.0.1:1", "its server at 127.0.0.1:1 cannot be reached (Connection refused)"),
        ("sc://127.0.0.1:1/;token=secret", "its server at 127.0.0.1:1 cannot be reached (Connection refused)"),
        ("sc://nobody.invalid", "its server at nobody.invalid:15002 cannot be reached ("),
        ("nonsense://127.0.0.1", "Spark did not start: ["),  # in its own words
    ],
)
def test_a_server_that_cannot_be_reached_is_said_to_be_at_once(remote, said, no_session, monkeypatch):
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPARK_REMOTE", remote)
    monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")  # as Spark sets it for good
    began = time.monotonic()
    with pytest.raises(SparkSetupError) as caught:
        session()
    assert said in str(caught.value) and caught.value.code == "spark-start" and "secret" not in str(caught.value)
    assert "\n" not in str(caught.value) and time.monotonic() - began < 10


def test_a_jvm_that_goes_prints_no_traceback_here(spark, capfd):
    server = spark.sparkContext._accumulatorServer
    for error, quiet in ((EOFError(), True), (ConnectionResetError(), True), (LookupError("of a counter"), False)):
        try:
            raise error
        except Exception:
            server.handle_error(None, None)
        assert (capfd.readouterr().err == "") == quiet
