"""Import the examples' scripts, which are not a package, as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.glob("*/*.py") if not list(path.parent.glob("*.ipynb")))
"""Scripts on their own; folders with a notebook have a README."""


def example(name: str) -> ModuleType:
    """Import the script of this name again."""
    (path,) = EXAMPLES.glob(f"*/{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
