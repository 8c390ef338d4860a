"""docs/reference/errors.md lists every error code that the source raises, under its class, and no other."""

import ast
import re

import pytest

from firesteel import errors
from firesteel.datasets.files import PACKED
from firesteel.train.checks import KINDS
from tests.spark.documents import ROOT

PAGE = (ROOT / "docs/reference/errors.md").read_text()
CLASSES = [name for name in errors.__all__ if name.endswith("Error") and name != "FiresteelError"]
CODE = re.compile(r"(?:config|data|spark|store)-[a-z_-]+")
COMPUTED = {
    "f'data-{code}'": {f"data-{kind}" for kind in KINDS},
    "f'data-{self.kind}'": {f"data-{packer}" for packer, _ in PACKED.values()},
    "f'config-{name}'": {f"config-{name}" for name in ("callbacks", "custom", "layers", "metrics")},
    "f'config-{part}'": {"config-inputs", "config-outputs"},
    "f'config-{what}'": {"config-loss", "config-loss_weights", "config-metrics"},
}
"""Codes that the source puts together, by the expression that does."""
OTHERWISE = {"spark-output"}
"""Texts that look like codes: the name of a thread."""
FAMILIES = {
    "config": {"ConfigError"},
    "data": {"DataError"},
    "diverged": {"DivergenceError"},
    "spark": {"SparkJobError", "SparkSetupError"},
    "store": {"StoreError"},
}
"""Which classes have the codes that begin with a word."""


def texts():
    """Yield the trees of all modules."""
    for path in sorted((ROOT / "firesteel").rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text()))


NODES = list(texts())
CONSTANTS = {node.value for node in NODES if isinstance(node, ast.Constant) and isinstance(node.value, str)}
JOINED = {ast.unparse(node) for node in NODES if isinstance(node, ast.JoinedStr)}


def raised():
    """Return every code that the source raises."""
    plain = {text for text in CONSTANTS if CODE.fullmatch(text)} - OTHERWISE
    usual = {getattr(errors, name).default_code for name in CLASSES}
    return plain | usual | set().union(*COMPUTED.values())


def sections():
    """Return the codes under each class of the page."""
    parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    return {
        part.partition("\n")[0]: re.findall(r'^\| <a id="([^"]+)"></a>`\1` \|', part, re.MULTILINE) for part in parts
    }


def classes_by_code():
    """Return the classes that the source raises with each code, where a call names both."""
    found = {}
    for node in NODES:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
            for word in node.keywords:
                if word.arg == "code" and isinstance(word.value, ast.Constant):
                    found.setdefault(word.value.value, set()).add(node.func.id)
    return found


RAISED_BY = classes_by_code()


def test_the_page_lists_every_code_that_the_source_raises_and_no_other():
    listed = [code for codes in sections().values() for code in codes]
    assert len(listed) == len(set(listed)), "a code is listed twice"
    assert set(listed) - raised() == set(), "no source raises these"
    assert raised() - set(listed) == set(), "these are not on the page"


def test_every_class_has_a_section_whose_codes_are_in_order():
    found = sections()
    assert list(found) == CLASSES or set(found) == set(CLASSES)
    assert all(codes == sorted(codes) for codes in found.values())


@pytest.mark.parametrize("name, code", [(name, code) for name, codes in sections().items() for code in codes])
def test_a_code_stands_under_the_class_that_is_raised(name, code):
    assert name in FAMILIES[code.partition("-")[0]]
    assert RAISED_BY.get(code, {name}) == {name}


def test_every_row_says_what_it_means_and_what_to_do():
    rows = [line for line in PAGE.splitlines() if line.startswith("| <a id=")]
    assert all(len(re.split(r" \| ", line.strip("| "))) == 3 for line in rows)


def test_codes_that_are_put_together_are_known():
    found = {text for text in JOINED if re.match(r"f'(config|data|spark|store)-\{", text)}
    assert found == set(COMPUTED)
