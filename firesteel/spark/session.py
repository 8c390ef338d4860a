"""Starts a quiet local Spark session for laptops, demos and tests, or explains why Spark cannot start.

Spark's defaults start workers with whatever `python3` is on the PATH, give the driver 1 GB and print warnings over
the progress bar.  Only this module changes Spark settings.  The stages work in any session, created here or not.
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
JAVA_SECONDS = 10.0  # timeout of `java -version`, which usually takes 0.05 s
REMEDY = "install one (apt install openjdk-17-jre-headless, brew install openjdk@17) or point JAVA_HOME at one"
STARTED_OUTSIDE = {
    "PYSPARK_GATEWAY_PORT",
    "SPARK_REMOTE",
}  # environment variables of spark-submit and of Spark Connect
PORTS = {"spark": 7077, "sc": 15002}
"""Default port of each scheme of a Spark address."""
ANSWER_SECONDS = 10.0
"""Timeout for a connection to the master or server; Spark itself tries for one or ten minutes."""
LOCAL = "127.0.0.1"
# start-up messages of the JVM that no option turns off, and the line before the cause of an error
JVM_NOISE = (b"WARNING: ", b"Picked up ", b"Error occurred during initialization")


def session(
    master: str = "local[2]", app_name: str = "firesteel", conf: Mapping[str, str] | None = None
) -> "SparkSession":
    """Return the active Spark session unchanged, or start a quiet one that suits a laptop.

    A new session logs errors only, shows no console progress bar, has 4 GB of driver memory, passes 2,000 rows to
    Python at a time and keeps tables in a folder that is deleted when Python exits.  With a `local...` master it
    listens on this machine only and runs its workers with the current Python, unless PYSPARK_PYTHON is set.  Under
    `spark-submit` and with SPARK_REMOTE set, only `conf` is applied, as master and other settings come from there.

    Args:
        master: Spark master of a new session.
        app_name: Name of a new session in Spark's web UI.
        conf: Spark settings of a new session; they override those above.

    Returns:
        The Spark session.

    Raises:
        SparkSetupError: `spark-missing`, without pyspark, pandas or pyarrow; `spark-java`, without a suitable Java;
            `spark-start`, if Spark does not start, or its master or server does not answer.

    Example:
        ```python
        spark = session("local[4]", conf={"spark.driver.memory": "8g"})
        spark.range(3).count()  # 3
        ```
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
    if SparkContext._active_spark_context is not None:  # created in another thread, or without a session
        return SparkSession.builder.getOrCreate()
    if STARTED_OUTSIDE & os.environ.keys():
        _must_answer(os.environ.get("SPARK_REMOTE", ""))
        try:
            return _quiet_at_its_end(SparkSession.builder.config(map=dict(conf or {})).getOrCreate())
        except Exception as error:  # from pyspark, Py4J, gRPC or the operating system
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
    """Return why Spark cannot run on the installed Java, in one sentence, or None if it can.

    Like Spark, it runs JAVA_HOME/bin/java, or else `java` on the PATH; it asks for the version.

    Example:
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
        # a file, not a pipe: a process that a wrapper script leaves running would keep a pipe open
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
        return f"Spark needs Java 17 or 21 and {java} did not print its version within {JAVA_SECONDS:g} s: {REMEDY}"
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
        "spark.sql.execution.arrow.pythonUDF.columnarInput.enabled": "false",  # Spark 4.3 fails on vectors with it
        "spark.sql.warehouse.dir": (scratch / "warehouse").as_uri(),
    }


def _local(master: str) -> bool:
    return master.startswith("local")


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Context manager: set environment variables that Spark reads at its start."""
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
    gateway = SparkContext._gateway  # set if an earlier session was stopped: its JVM still runs
    relays = [] if gateway else [_Relay(2), _Relay(1)]
    try:
        SparkContext(conf=conf, gateway=gateway or _launch(conf, *relays))
        spark = _quiet_at_its_end(SparkSession.builder.getOrCreate())
    except (Py4JError, PySparkException) as error:
        said = [line for relay in relays for line in relay.release(wait=0.5)]
        cause = _cause(error, said)
        if "on a stopped SparkContext" in cause:
            cause = f"its master {settings['spark.master']} did not answer: check that it runs this version of Spark"
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
        os.close(err.inlet)  # now only the JVM holds the writing ends
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
    """Raise SparkSetupError if no host of an address, spark://... or sc://..., accepts a connection."""
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
            return  # not an address; Spark reports it
        except OSError as error:
            found = error.strerror or str(error)
    what = "server" if scheme == "sc" else "master"
    raise SparkSetupError(
        f"Spark did not start: its {what} at {parts.hostname}:{parts.port or PORTS[scheme]} cannot be reached "
        f"({found}): check that it runs, and that its address is right",
        code="spark-start",
    )


def _quiet_at_its_end(spark: "SparkSession") -> "SparkSession":
    """Suppress the traceback that PySpark's accumulator server prints when the JVM exits."""
    server: Any = getattr(getattr(spark, "_sc", None), "_accumulatorServer", None)
    if server is not None:
        loud = server.handle_error

        def handle(request: Any, address: Any) -> None:
            if not isinstance(sys.exception(), EOFError | ConnectionError):
                loud(request, address)

        server.handle_error = handle
    return spark


class _Relay:
    """An output stream of the JVM: buffered while Spark starts, then passed on to file descriptor `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.outlet, self.inlet = os.pipe()
        self.held: bytes | None = b""
        self.lock = threading.Lock()
        self.pump = threading.Thread(target=self._pump, name="spark-output", daemon=True)
        self.pump.start()

    def release(self, wait: float = 0.0) -> list[bytes]:
        """Return the buffered lines without the JVM's start-up messages, and pass on all later output.

        Args:
            wait: Seconds to wait for the last output of a JVM that is exiting.
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
