"""Other kinds of CPU give other last bits: how far apart the weights are, which the loop's warning tells."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from firesteel.train.loop import APART
from tests.support.kinds import rows, trained

ROOT = Path(__file__).parents[2]


def test_r29_two_kinds_differ_after_an_epoch_by_at_most_what_is_reported():
    environment = os.environ | {"OPENBLAS_CORETYPE": "Nehalem"}
    program = [sys.executable, "-m", "tests.support.kinds"]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    other = json.loads(done.stdout)
    for dtype, told in APART.items():
        here = trained(dtype, *rows())
        theta, theirs = np.array(here["theta"]), np.array(other[dtype]["theta"])
        apart = np.abs(theta - theirs).max() / np.abs(theta).max()
        print(f"{dtype}: {apart:.1e} of the largest weight apart, {here['machines']} and {other[dtype]['machines']}")
        assert apart <= told
        assert (apart > 0) == (here["machines"] != other[dtype]["machines"])
