"""Print the requirements of `make test-oldest`: the oldest versions that pyproject.toml allows, and test tools."""

import re
import tomllib
from pathlib import Path

EXTRAS = ("spark", "cli", "fast", "mlflow", "tensorboard", "sklearn", "remote")
"""Extras that tests of arrays, files and commands need."""


def pins() -> list[str]:
    """Return `name==version` with the lower bound of every dependency, and the requirements of the tools."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needs = project["dependencies"] + [need for name in EXTRAS for need in extras[name]]
    tools = [need for need in extras["dev"] if not need.startswith("firesteel[")]
    return sorted({re.sub(r">=([^,]+).*", r"==\1", need) for need in needs}) + tools


if __name__ == "__main__":
    print(*pins())
