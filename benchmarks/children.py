"""Measurements in child processes: a benchmark runs each of its variants in turn, in a fresh interpreter."""

import json
import os
import resource
import subprocess
import sys
from typing import Any

__all__ = ["child", "peak", "reply"]


def child(module: str, *arguments: object, **environment: str) -> Any:
    """Run `python -m module arguments` and return its reply.  Raises RuntimeError with the end of its errors."""
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[3:])}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def reply(value: Any) -> None:
    """Print the value that `child` returns."""
    print(json.dumps(value))


def peak() -> float:
    """Return the peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
