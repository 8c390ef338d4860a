"""A cluster of two kinds of CPU: a fit says so, and how far apart they are; one of another kind than the driver's is
as good as any.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firesteel.train.loop import APART
from tests.spark.clusters import standalone

ROOT = Path(__file__).parents[2]
OTHER = {"OPENBLAS_CORETYPE": "Nehalem"}


def run(folder: Path, both: bool) -> dict[str, Any]:
    """Run kinds.py on a cluster whose second worker, or both, is of the other kind."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    with standalone(folder, OTHER, **(OTHER if both else {})) as master:
        program = [sys.executable, "-m", "tests.support.kinds", master]
        done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=190)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_r29_a_fit_on_two_kinds_says_so_and_how_far_apart_they_are(tmp_path):
    for both in (False, True):
        found = run(tmp_path / str(both), both)
        for dtype, limit in APART.items():
            here, there = found[dtype], found[f"{dtype} there"]
            theta, theirs = np.array(here["theta"]), np.array(there["theta"])
            apart = np.abs(theta - theirs).max() / np.abs(theta).max()
            print(f"{dtype}, {' and '.join(there['machines'])}: {apart:.1e} of the largest weight apart from here")
            assert 0 < apart <= limit
            assert (len(there["machines"]) == 2) == (not both) == bool(there["warnings"])
            for text in there["warnings"]:
                assert re.search(rf"several kinds of CPU or BLAS.* in {dtype} by up to {limit:g} of the", text)
                assert all(machine in text for machine in there["machines"])
