"""Copies of the package, and changes to its compiled modules."""

import shutil
from pathlib import Path

import firesteel

EDITS = {
    "dense.py": ("z[i] = z[i] if z[i] > 0", "z[i] = z[i] if z[i] > 0.125"),
    "optimizers.py": ("math.sqrt(v[i]) + epsilon", "math.sqrt(v[i]) + epsilon + epsilon"),
    "team.py": ("x[b, i] = codes[i] / d", "x[b, i] = codes[i] / d + d"),
}


def upgraded(folder, edit):
    """Change one of the compiled modules of the package in a folder."""
    file = Path(folder, "firesteel", "fast", "kernels", edit)
    before, after = EDITS[edit]
    source = file.read_text()
    assert source.count(before) == 1
    file.write_text(source.replace(before, after))


def copied(folder):
    """Copy the package to a folder and return it."""
    shutil.copytree(
        Path(firesteel.__file__).parent, folder / "firesteel", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder
