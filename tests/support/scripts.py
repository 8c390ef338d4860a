"""Opens the examples' scripts, which are no package, as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.glob("*/*.py") if not list(path.parent.glob("*.ipynb")))
"""Those that stand for themselves; a folder with a notebook has a README."""


def example(name: str) -> ModuleType:
    """Return the script of this name, newly run up to its `main`."""
    (path,) = EXAMPLES.glob(f"*/{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
