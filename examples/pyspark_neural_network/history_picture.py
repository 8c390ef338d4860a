"""Take a picture of a finished run in Spark's history server: the page with its jobs.

    python history_picture.py EVENTS PICTURE.png

EVENTS is the folder that spark-submit wrote with --conf spark.eventLog.enabled=true --conf
spark.eventLog.dir=EVENTS; the picture shows the latest run in it.  The script needs Chromium.  It starts the server
locally and stops it again.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pyspark

MIDDLE = "completedJob.page=2&completedJob.sort=Job+Id&completedJob.desc=true&completedJob.pageSize=20"
"""The jobs to show: the last 20 score, the 20 before them train."""
SECONDS = 120.0
"""How long to wait for the server to read the run."""


def applications(address: str) -> list[str]:
    """Return the runs that the server has read, the latest first; none while it starts."""
    try:
        with urllib.request.urlopen(f"{address}/api/v1/applications", timeout=5) as answer:
            return [one["id"] for one in json.load(answer)]
    except OSError:
        return []


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 success, 1 failure, 2 usage."""
    parser = argparse.ArgumentParser(
        prog="history_picture.py", description="Take a picture of a run in Spark's history server."
    )
    parser.add_argument("events", metavar="EVENTS", type=Path)
    parser.add_argument("picture", metavar="PICTURE", type=Path)
    given = parser.parse_args(argv)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None or not given.events.is_dir():
        parser.error("no Chromium on the PATH" if browser is None else f"{given.events}: folder not found")
    home = Path(pyspark.__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"fs.logDirectory": given.events.absolute().as_uri(), "ui.port": port}
    options = " ".join(f"-Dspark.history.{name}={value}" for name, value in settings.items())
    here = {"SPARK_HOME": str(home), "SPARK_HISTORY_OPTS": options, "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [home / "bin/spark-class", "org.apache.spark.deploy.history.HistoryServer"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=os.environ | here, **quiet)
    try:
        address, end = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
        while not (runs := applications(address)):
            if time.monotonic() > end or server.poll() is not None:
                print("history_picture.py: the server found no finished run", file=sys.stderr)
                return 1
            time.sleep(0.5)
        with tempfile.TemporaryDirectory() as profile:
            shot = [
                f"--screenshot={given.picture.absolute()}",
                "--window-size=1280,1000",
                f"--user-data-dir={profile}",
            ]
            page = f"{address}/history/{runs[0]}/jobs/?{MIDDLE}"
            how = ["--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=15000"]
            subprocess.run([browser, *how, *shot, page], check=True, timeout=SECONDS, **quiet)
    finally:
        server.terminate()
        server.wait()
    print(given.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
