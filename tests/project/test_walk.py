"""A small fit is a short walk: the calls, files and moves of one do not grow."""

import json
import subprocess
import sys

from tests.walk import MOST


def test_a_small_fit_stays_a_short_walk():
    code = "import json; from tests.walk import counted, measured; print(json.dumps(counted(measured())))"
    found = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert {name: found[name] for name, most in MOST.items() if found[name] > most} == {}
    assert found["calls"] > 0.9 * MOST["calls"], "lower MOST in walk.py"
