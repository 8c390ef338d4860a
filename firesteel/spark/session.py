"""A quiet local Spark session for laptops, demos and tests, and the reason why there cannot be one.

Spark's defaults start workers with whatever `python3` is on the PATH, give the driver 1 GB and write warnings
over a progress bar; all of that is put right here, once, so that no other module touches a Spark setting.
Next: the estimators in this folder, which take any session, built here or not.
"""

import atexit
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from firesteel.errors import SparkSetupError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


OLDEST_JAVA = 17
JAVA_SECONDS = 10.0  # how long `java -version` may take; 0.05 s is usual
REMEDY = "install one (apt install openjdk-17-jre-headless, brew install openjdk@17) or point JAVA_HOME at one"
STARTED_OUTSIDE = {"PYSPARK_GATEWAY_PORT", "SPARK_REMOTE"}  # by spark-submit; a Connect server
PORTS = {"spark": 7077, "sc": 15002}
"""Schemes of addresses at which Spark answers, and the port of each where none is named."""
ANSWER_SECONDS = 10.0
"""How long a machine may take to answer; Spark itself tries for one minute, or ten."""
LOCAL = "127.0.0.1"
# the JVM's own start-up notes, which no option turns off, and the line before the one that names the cause
JVM_NOISE = (b"WARNING: ", b"Picked up ", b"Error occurred during initialization")


def session(
    master: str = "local[2]", app_name: str = "firesteel", conf: Mapping[str, str] | None = None
) -> "SparkSession":
    """The Spark session in use, exactly as found, or else a new one that is quiet and fit for a laptop.

    A new one logs errors only, shows no console progress bar, has 4 GB of driver memory, hands Python 2,000 rows
    at a time, keeps tables in a folder that goes when Python ends and, on a `local...` master, listens on this
    machine only and runs its workers with this very Python unless PYSPARK_PYTHON says otherwise.  Under
    `spark-submit` and with SPARK_REMOTE set, only `conf` is applied: master and all else are decided there.

    master: Spark master of a new session.
    app_name: name of a new session in Spark's web page.
    conf: Spark settings of a new session; they win over the ones above.

    Raises SparkSetupError: `spark-missing` without pyspark, pandas or pyarrow, `spark-java` without a Java that
    fits, `spark-start` when Spark does not start, or nothing answers at its master or server.

    For example `spark = session("local[4]", conf={"spark.driver.memory": "8g"})`.
    """
    missing = [name for name in ("pyspark", "pandas", "pyarrow") if find_spec(name) is None]
    if missing:
        raise SparkSetupError(
            f'Spark needs {" and ".join(missing)}, not installed here: pip install "firesteel[spark]"',
            code="spark-missing",
        )
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if active := SparkSession.getActiveSession():
        return active
    if SparkContext._active_spark_context is not None:  # made in another thread, or without a session
        return SparkSession.builder.getOrCreate()
    if STARTED_OUTSIDE & os.environ.keys():
        _must_answer(os.environ.get("SPARK_REMOTE", ""))
        try:
            return _quiet_at_its_end(SparkSession.builder.config(map=dict(conf or {})).getOrCreate())
        except Exception as error:  # of pyspark, Py4J, gRPC or the system
            raise SparkSetupError(f"Spark did not start: {_cause(error, [])}", code="spark-start") from None
    if problem := java_problem():
        raise SparkSetupError(problem, code="spark-java")
    _must_answer(master)
    scratch = Path(tempfile.mkdtemp(prefix="firesteel-spark-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    settings = _settings(master, app_name, scratch) | dict(conf or {})
    with _environment(settings):
        return _start(settings)


def java_problem() -> str | None:
    """Why Spark cannot run on the Java found here, in one sentence, or None if it can.

    Looks where Spark looks: JAVA_HOME/bin/java, else `java` on the PATH; asks it once for its version.

    >>> java_problem() is None or "Java 17" in java_problem()
    True
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    path = shutil.which(java)
    if path is None:
        where = f"{java} (from JAVA_HOME) cannot be run" if home else "none was found"
        return f"Spark needs Java 17 or 21 and {where}: {REMEDY}"
    try:
        # a file, not a pipe: what a wrapper script leaves running would keep a pipe open
        with tempfile.TemporaryFile() as output:
            subprocess.run(
                [path, "-version"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=JAVA_SECONDS,
            )
            output.seek(0)
            answer = output.read().decode(errors="replace")
    except subprocess.TimeoutExpired:
        return f"Spark needs Java 17 or 21 and {java} gave no version within {JAVA_SECONDS:g} s: {REMEDY}"
    except OSError as error:
        return f"Spark needs Java 17 or 21 and {java} cannot be run ({error.strerror}): {REMEDY}"
    found = re.search(r'version "(?:1\.)?(\d+)[^"]*"', answer)
    if found is None:
        said = next((line.strip() for line in answer.splitlines() if line.strip()), "nothing")
        return f"Spark needs Java 17 or 21 and {java} does not run (it says: {said}): {REMEDY}"
    if int(found[1]) < OLDEST_JAVA:
        return f"Spark needs Java 17 or 21 and {java} is Java {found[1]}: {REMEDY}"
    return None


def _settings(master: str, app_name: str, scratch: Path) -> dict[str, str]:
    log4j = scratch / "log4j2.properties"
    log4j.write_bytes((files("firesteel.spark") / "log4j2.properties").read_bytes())
    here = {"spark.driver.host": LOCAL, "spark.driver.bindAddress": LOCAL} if _local(master) else {}
    return here | {
        "spark.master": master,
        "spark.app.name": app_name,
        "spark.driver.memory": "4g",
        "spark.driver.defaultJavaOptions": f"-Dlog4j2.configurationFile={log4j.as_uri()}",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "2000",
        "spark.sql.execution.arrow.pythonUDF.columnarInput.enabled": "false",  # of Spark 4.3, which fails on vectors
        "spark.sql.warehouse.dir": (scratch / "warehouse").as_uri(),
    }


def _local(master: str) -> bool:
    return master.startswith("local")


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """The variables that Spark reads when it starts and for which no setting works; as found afterwards."""
    python = settings.get("spark.pyspark.python", sys.executable)
    wanted: dict[str, str] = {}
    if _local(settings["spark.master"]):
        if "PYSPARK_PYTHON" not in os.environ:
            wanted |= {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
        if "SPARK_LOCAL_IP" not in os.environ:
            wanted["SPARK_LOCAL_IP"] = LOCAL
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in wanted:
            del os.environ[name]
            if name in before:
                os.environ[name] = before[name]


def _start(settings: dict[str, str]) -> "SparkSession":
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    conf = SparkConf().setAll(list(settings.items()))
    gateway = SparkContext._gateway  # there if an earlier session was stopped: its JVM lives on
    relays = [] if gateway else [_Relay(2), _Relay(1)]
    try:
        SparkContext(conf=conf, gateway=gateway or _launch(conf, *relays))
        spark = _quiet_at_its_end(SparkSession.builder.getOrCreate())
    except (Py4JError, PySparkException) as error:
        said = [line for relay in relays for line in relay.release(wait=0.5)]
        cause = _cause(error, said)
        if "on a stopped SparkContext" in cause:
            cause = f"its master, {settings['spark.master']}, gave no answer: see that it is one, and of this Spark"
        raise SparkSetupError(f"Spark did not start: {cause}", code="spark-start") from None
    for relay in relays:
        with suppress(OSError):
            os.write(relay.target, b"".join(relay.release()))
    return spark


def _launch(conf: Any, err: "_Relay", out: "_Relay") -> Any:
    from pyspark.java_gateway import launch_gateway

    try:
        streams = {"stderr": err.inlet, "stdout": out.inlet}
        return launch_gateway(conf, streams)  # type: ignore[no-untyped-call]
    finally:
        os.close(err.inlet)  # from here on the JVM alone holds the writing ends
        os.close(out.inlet)


def _cause(error: Exception, said: list[bytes]) -> str:
    thrown = getattr(error, "java_exception", None)
    texts = [thrown.toString() if thrown else said[0].decode(errors="replace") if said else str(error)]
    while thrown and (thrown := thrown.getCause()):
        texts[1:] = [thrown.toString()]
    firsts = [str(text).strip().partition("\n")[0] for text in texts]
    prefix = r'^(Error: |Exception in thread "\S+" )?([\w.$]+(Exception|Error): )?'
    return ": ".join(dict.fromkeys(re.sub(prefix, "", first).removesuffix(".") for first in firsts))


def _must_answer(address: str) -> None:
    """Raise SparkSetupError where nothing answers at any machine of an address, spark://... or sc://..."""
    scheme, _, rest = address.partition("://")
    proxies = ("grpc_proxy", "https_proxy", "http_proxy")
    if scheme not in PORTS or (scheme == "sc" and any(os.environ.get(name) for name in proxies)):
        return
    for place in rest.partition("/")[0].split(","):
        parts = urlsplit(f"//{place}")
        try:
            socket.create_connection((parts.hostname, parts.port or PORTS[scheme]), ANSWER_SECONDS).close()
            return
        except ValueError:
            return  # that is no address, as Spark will say
        except OSError as error:
            found = error.strerror or str(error)
    what = "server" if scheme == "sc" else "master"
    raise SparkSetupError(
        f"Spark did not start: its {what} at {parts.hostname}:{parts.port or PORTS[scheme]} cannot be reached "
        f"({found}): see that it runs, and that this is its address",
        code="spark-start",
    )


def _quiet_at_its_end(spark: "SparkSession") -> "SparkSession":
    """Return a session whose server of counters, in this process, prints no traceback when the JVM goes."""
    server: Any = getattr(getattr(spark, "_sc", None), "_accumulatorServer", None)
    if server is not None:
        loud = server.handle_error

        def handle(request: Any, address: Any) -> None:
            if not isinstance(sys.exception(), EOFError | ConnectionError):
                loud(request, address)

        server.handle_error = handle
    return spark


class _Relay:
    """One output of the JVM: held back while Spark starts, then passed on to our own `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.outlet, self.inlet = os.pipe()
        self.held: bytes | None = b""
        self.lock = threading.Lock()
        self.pump = threading.Thread(target=self._pump, name="spark-output", daemon=True)
        self.pump.start()

    def release(self, wait: float = 0.0) -> list[bytes]:
        """The lines held back, without the JVM's own notes; what follows is passed on as it comes.

        wait: seconds to give a JVM that is ending to finish its last words.
        """
        self.pump.join(wait)
        with self.lock:
            held, self.held = self.held or b"", None
        return [line for line in held.splitlines(keepends=True) if not line.startswith(JVM_NOISE)]

    def _pump(self) -> None:
        while chunk := os.read(self.outlet, 65536):
            with self.lock, suppress(OSError):
                if self.held is None:
                    os.write(self.target, chunk)
                else:
                    self.held += chunk
