"""One measurement, one process: what a benchmark compares runs in turn, each in a fresh interpreter of its own."""

import json
import os
import resource
import subprocess
import sys
from typing import Any

__all__ = ["child", "peak", "reply"]


def child(module: str, *arguments: object, **environment: str) -> Any:
    """Run `python -m module arguments` and return what it replied.  Raises RuntimeError with its last words."""
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[3:])}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def reply(value: Any) -> None:
    """Print what `child` is to return."""
    print(json.dumps(value))


def peak() -> float:
    """Return the most memory that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
