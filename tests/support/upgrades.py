"""Copies of the package, and changes to what it compiles."""

import shutil
from pathlib import Path

import firesteel

EDITS = {
    "dense.py": ("z[i] = z[i] if z[i] > 0", "z[i] = z[i] if z[i] > 0.125"),
    "optimizers.py": ("math.sqrt(v[i]) + epsilon", "math.sqrt(v[i]) + epsilon + epsilon"),
    "team.py": ("x[b, i] = codes[i] / d", "x[b, i] = codes[i] / d + d"),
}


def upgraded(folder, edit):
    """Change one of the modules that are compiled, of the package in this folder."""
    file = Path(folder, "firesteel", "fast", "kernels", edit)
    before, after = EDITS[edit]
    source = file.read_text()
    assert source.count(before) == 1
    file.write_text(source.replace(before, after))


def copied(folder):
    """Copy the package there; return the folder."""
    shutil.copytree(
        Path(firesteel.__file__).parent, folder / "firesteel", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder
