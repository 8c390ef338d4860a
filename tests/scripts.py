"""Opens the examples' scripts, which are no package, as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.glob("*/*.py") if not path.with_suffix(".ipynb").exists())
"""Those that are no notebooks."""


def example(name: str) -> ModuleType:
    """Return the script of this name, newly run up to its `main`."""
    (path,) = (path for path in SCRIPTS if path.stem == name)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
