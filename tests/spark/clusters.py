"""A standalone cluster on this machine, and a Python for its executors that has nothing but NumPy and pyarrow."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyspark


@contextlib.contextmanager
def standalone(folder: Path, second: Mapping[str, str] = {}, **variables: str) -> Iterator[str]:
    """Give the address of a standalone master with two workers, on hosts of their own.

    second: variables that only the second one's executors have.
    """
    home = Path(pyspark.__file__).parent
    environment = os.environ | {"SPARK_HOME": str(home)} | variables
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start(kind: str, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        program = [str(home / "bin/spark-class"), f"org.apache.spark.deploy.{kind}", *arguments]
        return subprocess.Popen(program, env=environment | more, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    master = f"spark://127.0.0.1:{port}"
    started = [start("master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")]
    for number, more in ((1, {}), (2, second)):
        place = ["--host", f"127.0.0.{number}", "--webui-port", "0", "--work-dir", str(folder / str(number))]
        started.append(start("worker.Worker", *place, "--cores", "1", "--memory", "1g", master, **more))
    try:
        _until_it_answers(port)
        yield master
    finally:
        for process in started:
            process.kill()
            process.wait()


def _until_it_answers(port: int, seconds: int = 60) -> None:
    for _ in range(10 * seconds):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise TimeoutError("the master does not answer")


def bare_python(folder: Path) -> Path:
    """Make a Python that has NumPy and pyarrow and nothing else: no pandas, no firesteel, no pyspark of its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    for name in ("numpy", "pyarrow"):
        home = Path(__import__(name).__file__).parent
        for part in (home, home.parent / f"{name}.libs"):
            if part.exists():
                (site / part.name).symlink_to(part)
    return folder / "bin/python"
