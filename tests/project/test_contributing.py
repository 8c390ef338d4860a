"""The layer in CONTRIBUTING.md is right: its code runs where the page puts it, and passes `check_layer`."""

import doctest
import importlib
import re
from pathlib import Path

from firesteel.testing import check_layer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_first_layer_passes_the_check_of_layers():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = dict(vars(importlib.import_module("firesteel.core.layers.normalization")))
    exec(code, names)
    kind = names["LayerScale"]
    for layer in (kind(), kind(0.5)):
        check_layer(layer, (4,))
        check_layer(layer, (3, 4))
    (example,) = doctest.DocTestFinder().find(kind, "LayerScale", module=False, globs=names)
    assert doctest.DocTestRunner().run(example) == (0, 1)


def test_the_page_names_files_and_targets_that_exist():
    for name in re.findall(r"`((?:tests|firesteel|docs|benchmarks)/[\w./-]+)`", PAGE):
        assert (ROOT / name).exists(), name
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([\w-]+)", PAGE)) <= targets
