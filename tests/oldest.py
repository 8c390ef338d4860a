"""Print what `make test-oldest` installs: the oldest versions that pyproject.toml allows, and tools."""

import re
import tomllib
from pathlib import Path

EXTRAS = ("spark", "cli", "fast", "mlflow", "tensorboard", "sklearn", "remote")
"""Packages that arrays, files and commands may meet."""


def pins() -> list[str]:
    """Return `name==version` for every dependency, at its lower bound, and the tools as they are asked for."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needs = project["dependencies"] + [need for name in EXTRAS for need in extras[name]]
    tools = [need for need in extras["dev"] if not need.startswith("firesteel[")]
    return sorted({re.sub(r">=([^,]+).*", r"==\1", need) for need in needs}) + tools


if __name__ == "__main__":
    print(*pins())
