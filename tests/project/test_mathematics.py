"""docs/mathematics: its pages name everything there is, their links lead to what they name, and their blocks run."""

import ast
import re

import pytest

from firesteel.core.constraints import CONSTRAINTS
from firesteel.core.layers import ACTIVATIONS, LAYERS
from firesteel.core.losses import LOSSES
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.core.regularizers import REGULARIZERS
from firesteel.train.strategies import STRATEGIES
from tests.spark.documents import ROOT, blocks
from tests.support.parts import PARTS

PAGES = {path.stem: path.read_text() for path in sorted((ROOT / "docs" / "mathematics").glob("*.md"))}
PAGE = "\n".join(PAGES.values())
LINK = re.compile(r"\[(firesteel/[\w/]+\.py)(?:, ([\w.]+))?\]\(([^)]*)\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PROSE = CODE.sub("", PAGE)
MATH = [a or b for a, b in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", PROSE)]
REGISTRIES = {
    "Activations": ACTIVATIONS,
    "Losses": LOSSES,
    "Penalties on weights": REGULARIZERS,
    "One update": OPTIMIZERS | CONSTRAINTS,
    "Shards": STRATEGIES,
}
"""Which chapter is about which registry."""


def chapter(title):
    """The text under a heading, smaller headings included."""
    level, text = re.search(rf"^(##?) {title}\n(.*)", f"{PAGE}\n", re.MULTILINE | re.DOTALL).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", text, flags=re.MULTILINE)[0]


def defined(path):
    """Names of the functions and classes of a file, and of what is in its classes, as "Class.method" or field."""
    names = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
            fields = (inner.target for inner in node.body if isinstance(inner, ast.AnnAssign))
            names |= {f"{node.name}.{ast.unparse(target)}" for target in fields}
    return names


@pytest.mark.parametrize("path, name, target", sorted(set(LINK.findall(PAGE))))
def test_every_link_leads_to_a_file_that_has_what_it_names(path, name, target):
    assert target == f"../../{path}" and (ROOT / path).is_file()
    assert not name or name in defined(path)


def test_every_link_to_code_has_the_form_that_is_checked():
    assert len(LINK.findall(PAGE)) == PAGE.count("](../../firesteel")


@pytest.mark.parametrize(
    "title, name", [(title, name) for title, registry in REGISTRIES.items() for name in registry]
)
def test_everything_in_the_registries_stands_in_its_chapter_beside_its_class(title, name):
    entry, lines = REGISTRIES[title][name], chapter(title).splitlines()
    near = [" ".join(lines[at : at + 2]) for at, line in enumerate(lines) if f"`{name}`" in line]
    assert near, f"{name} is not in the chapter {title}"
    assert entry is None or title == "Shards" or any(type(entry).__name__ in text for text in near)


@pytest.mark.parametrize("name", [*LAYERS, *PARTS])
def test_every_layer_and_every_part_is_named(name):
    assert f"`{name}`" in PAGE or f", {name}]" in PAGE


@pytest.mark.parametrize("name", PAGES)
def test_the_blocks_run_and_print_what_stands_under_them(name, capsys):
    names = {}
    for code, expected in blocks(PAGES[name]):
        exec(code, names)
        assert capsys.readouterr().out == expected


@pytest.mark.parametrize("formula", MATH)
def test_formulas_hold_nothing_that_markdown_takes_for_its_own(formula):
    assert not re.search(r"\\[^A-Za-z]", formula), "Markdown eats a backslash before punctuation"
    assert not re.search(r"(?<![A-Za-z0-9])_", formula), "an underscore behind punctuation may begin emphasis"
    assert not re.search(r"[*<>|`]", formula), "a star, an angle, a bar or a tick means something else to Markdown"
    assert formula.count("{") == formula.count("}") and "operatorname" not in formula


def test_dollars_stand_where_markdown_takes_them_for_mathematics():
    for line in PROSE.splitlines():
        parts = re.sub(r"\$\$.+?\$\$", "", line).split("$")
        assert len(parts) % 2, f"a dollar has no partner: {line}"
        assert all(formula == formula.strip() for formula in parts[1::2]), line
        assert all(text[-1:] in ("", " ", "(") for text in parts[:-1:2]), line
        assert all(text[:1] in ("", *" ,.;:)") for text in parts[2::2]), line


def test_the_finite_differences_that_the_page_promises_are_there():
    assert (ROOT / "tests/core/test_gradients.py").is_file() and "tests/core/test_gradients.py" in PAGE
