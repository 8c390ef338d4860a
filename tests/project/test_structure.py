"""Checks the imports between packages, the public names, ARCHITECTURE.md and the size of the code."""

import ast
import functools
import importlib
import inspect
import io
import itertools
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import firesteel

PACKAGE = Path(firesteel.__file__).parent
TESTS = Path(__file__).parents[1]
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOT_MODULES = [
    "_advice",
    "activations",
    "callbacks",
    "_checkpoints",
    "_console",
    "constraints",
    "_files",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "_model",
    "models",
    "optimizers",
    "_printing",
    "regularizers",
    "_store",
    "utils",
]
BASE = ["__init__", "_drawing", "_notebook", "errors", "extending", "testing"]
INTEGRATIONS = {"mlflow": "mlflow", "sklearn": "sklearn", "tensorboard": "tensorboardX"}
"""Integrations with other libraries, and the package that each imports when it is used."""
LIMITS = {"core": 900, "train": 2500, "fast": 700, "graphs": 1100, "root": 1300, "extending": 150}
"""The most lines of code in each package, without registries."""
REGISTRIES = [
    *["core.constraints", "core.elsewhere", "core.initializers"],
    *[
        "core.focal",
        "core.loss",
        "core.losses",
        "core.measuring",
        "core.metrics",
        "core.optimizers",
        "core.ordering",
        "core.regularizers",
        "core.schedules",
        "train.callbacks",
    ],
    "train.observers",
    "train.savers",
    *[
        name
        for name in ROOT_MODULES
        if name
        not in (
            *("_checkpoints", "_console", "_files", "_model", "models", "_printing", "_store"),
            "utils",
        )
    ],
]
"""Registries: modules that list many independent classes, which nobody reads from beginning to end."""


@functools.cache
def parsed(path):
    """The syntax tree of a file; do not modify it."""
    return ast.parse(path.read_text())


def name_of(path):
    """The module's dotted name, without `firesteel.` and `.__init__`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def package(path):
    """The subpackage of a file, or its own name at the root."""
    return name_of(path).split(".")[0]


def imports(path, typing=True):
    """Every module that a file imports, inside functions too; `from a import b` is `a.b` where that is a module.

    typing: whether to include imports that only type checkers see.
    """
    tree = parsed(path) if typing else ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not typing and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                inside = PACKAGE.parent / whole.replace(".", "/")
                yield whole if inside.is_dir() or inside.with_suffix(".py").exists() else node.module


def outside(path, typing=True):
    """Imported modules that are neither ours nor the standard library's."""
    tops = {name.split(".")[0] for name in imports(path, typing)}
    return tops - set(sys.stdlib_module_names) - {"firesteel"}


def ours(path):
    return {name.removeprefix("firesteel.") for name in imports(path) if name.split(".")[0] == "firesteel"}


def under(*packages):
    return [path for path in MODULES if package(path) in packages]


def ids(paths):
    return {"argvalues": paths, "ids": [name_of(path) or "firesteel" for path in paths]}


def outside_of(names, *allowed):
    """The names that are outside the allowed packages."""
    return {name for name in names if not any(name == a or name.startswith(a + ".") for a in allowed)}


# Imports between packages


@pytest.mark.parametrize("path", **ids(under("core")))
def test_core_imports_numpy_and_the_standard_library_only(path):
    assert outside(path) <= {"numpy"} and "ctypes" not in imports(path)
    assert not outside_of(ours(path), "core", "errors")


@pytest.mark.parametrize("path", **ids(under("fast")))
def test_fast_imports_core_only(path):
    assert outside(path) <= {"numpy"} | ({"numba", "llvmlite"} if path.stem == "compiling" else set())
    assert not outside_of(ours(path), "core", "fast", "errors")


@pytest.mark.parametrize("path", **ids(under("train")))
def test_train_imports_core_and_fast_only(path):
    assert outside(path) <= {"numpy"}
    assert not outside_of(
        ours(path), "core", "fast", "train", "errors", "_files", "_notebook", "_printing", "firesteel"
    )


@pytest.mark.parametrize("path", **ids(under("tables")))
def test_tables_imports_core_fast_and_train_only(path):
    assert outside(path) <= {"numpy"}
    assert not outside_of(ours(path), "core", "fast", "train", "tables", "errors")


@pytest.mark.parametrize("path", **ids(under("graphs")))
def test_graphs_imports_what_is_below_it(path):
    assert outside(path) <= {"numpy"}
    assert not outside_of(ours(path), "core", "fast", "train", "tables", "graphs", "errors", "_drawing")


@pytest.mark.parametrize("path", **ids(under("search")))
def test_search_imports_the_root_modules_and_what_is_below(path):
    assert outside(path) <= {"numpy"}
    assert not outside_of(ours(path), "core", "train", "tables", "graphs", "search", "errors", *ROOT_MODULES)


@pytest.mark.parametrize("path", **ids(under(*ROOT_MODULES, "extending", "testing")))
def test_root_modules_import_one_another_and_what_is_below(path):
    assert outside(path) <= {"numpy", "safetensors"} | ({"fsspec"} if path.stem == "_checkpoints" else set())
    assert not outside_of(
        ours(path),
        "core",
        "fast",
        "train",
        "tables",
        "graphs",
        "errors",
        "extending",
        "_drawing",
        "_notebook",
        *ROOT_MODULES,
        *INTEGRATIONS,
    )


@pytest.mark.parametrize("path", **ids(under(*INTEGRATIONS)))
def test_an_integration_imports_root_modules_and_one_library(path):
    assert outside(path) <= {"numpy", INTEGRATIONS[package(path)]}
    assert not outside_of(ours(path), "core", "train", "tables", "search", "errors", "firesteel", *ROOT_MODULES)


@pytest.mark.parametrize("path", **ids(under(*(name for name in ROOT_MODULES if name != "callbacks"))))
def test_only_callbacks_imports_integrations(path):
    assert outside_of(set(INTEGRATIONS), *ours(path)) == set(INTEGRATIONS)


@pytest.mark.parametrize("path", **ids(under("__init__", "errors", "_drawing", "_files", "_notebook", "_printing")))
def test_basic_modules_import_almost_nothing(path):
    known = {"_files": {"errors"}, "_drawing": {"errors", "_files"}}
    assert not outside(path) and ours(path) <= known.get(path.stem, set())


@pytest.mark.parametrize("path", **ids([path for path in MODULES if package(path) != "spark"]))
def test_only_the_spark_folder_imports_spark_pandas_or_arrow(path):
    assert not outside(path, typing=False) & {"pyspark", "pandas", "pyarrow", "py4j", "grpc"}


@pytest.mark.parametrize("path", **ids([path for path in MODULES if package(path) not in ("cli", "report")]))
def test_only_cli_and_report_import_packages_for_display(path):
    assert not outside(path) & {"rich", "cyclopts", "jinja2", "matplotlib", "PIL"}


@pytest.mark.parametrize("path", **ids(under("datasets", *INTEGRATIONS, *ROOT_MODULES, *BASE)))
def test_nothing_below_imports_spark_cli_or_report(path):
    assert outside_of({"spark", "cli", "report"}, *ours(path)) == {"spark", "cli", "report"}


@pytest.mark.parametrize("path", **ids(under("core")))
def test_the_core_has_no_files_clock_or_print(path):
    tree = parsed(path)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"open", "print", "input", "eval", "exec", "__import__"}
    tops = {name.split(".")[0] for name in imports(path)}
    assert not tops & {"time", "datetime", "os", "io", "pathlib", "sys", "logging", "random", "threading", "warnings"}


@pytest.mark.parametrize("path", **ids(MODULES))
def test_the_global_generator_is_used_nowhere(path):
    allowed = {"Generator", "SeedSequence", "PCG64", "default_rng"}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            assert node.attr in allowed, f"np.random.{node.attr} at line {node.lineno}"
            assert node.attr == "Generator" or name_of(path) == "core.seeds", "streams come from core/seeds.py alone"


def test_the_import_checks_see_imports():
    assert "numpy" in outside(PACKAGE / "train" / "engine.py")
    assert ours(PACKAGE / "_model.py") >= {
        "_checkpoints",
        "core.network",
        "train.fit",
        "train.recipe",
    }
    assert outside(PACKAGE / "spark" / "frames.py") & {"pyspark", "pandas", "pyarrow"}


# Import time


def test_importing_firesteel_loads_no_heavy_package():
    names = [
        f"firesteel.{name}" for name in [*ROOT_MODULES, *INTEGRATIONS, "extending", "testing", "datasets", "errors"]
    ]
    code = f"import sys, firesteel, {', '.join(names)}; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert {"firesteel", *names} <= loaded
    heavy = {
        "pyspark",
        "pandas",
        "pyarrow",
        "py4j",
        "grpc",
        "rich",
        "cyclopts",
        "matplotlib",
        "PIL",
        "scipy",
        "sklearn",
        "numba",
        *INTEGRATIONS.values(),
    }
    assert not loaded & heavy


# Public names


def exported(path):
    return importlib.import_module(f"firesteel.{name_of(path)}".removesuffix(".__init__").removesuffix("."))


SURFACE = [path for path in MODULES if package(path) in ("core", "train", *BASE[1:], *INTEGRATIONS, *ROOT_MODULES)]
PUBLIC = [*(path for path in PACKAGE.glob("*.py") if path.name[0] != "_"), *PACKAGE.glob("optimizers/*.py")]
PUBLIC += [PACKAGE / folder / "__init__.py" for folder in ("datasets", "report", "spark")]


@pytest.mark.parametrize("path", **ids(MODULES))
def test_every_module_opens_with_a_docstring(path):
    assert ast.get_docstring(parsed(path))


@pytest.mark.parametrize("path", **ids(SURFACE))
def test_every_public_name_exists_and_is_documented(path):
    module = exported(path)
    if path.name == "__init__.py" or path.name[0] == "_":
        return
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        if (
            callable(value)
            and not hasattr(value, "family")
            and type(value).__module__ in ("builtins", "abc", "typing")
        ):
            assert value.__doc__ and value.__doc__.strip(), name


def listing(path):
    """Whether a module lists its names in `__all__`."""
    return any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in parsed(path).body
    )


@pytest.mark.parametrize("path", **ids(MODULES))
def test_a_public_module_lists_its_names_and_a_private_one_begins_with_an_underscore(path):
    private = package(path)[0] == "_" or package(path) in (
        "spark",
        "cli",
        "report",
        "datasets",
        "tables",
        "graphs",
        "search",
    )
    assert listing(path) if path in PUBLIC else not (private and listing(path))


def test_documentation_and_examples_import_public_modules_only():
    root = PACKAGE.parent
    pages = [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.py")]
    text = "\n".join(path.read_text() for path in pages)
    assert "from firesteel.models import" in text
    assert not re.findall(r"(?:from|import) firesteel(?:\._| import _)\w+", text)


@pytest.mark.parametrize("path", **ids(SURFACE))
def test_every_function_and_class_says_what_it_does(path):
    for node in parsed(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("path", **ids(under(*ROOT_MODULES, *INTEGRATIONS)))
def test_every_public_method_of_root_modules_is_documented(path):
    for node in parsed(path).body:
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    made = getattr(getattr(exported(path), node.name), method.name)
                    assert inspect.getdoc(made), (
                        f"{node.name}.{method.name} has no docstring, and neither has its base"
                    )


@pytest.mark.parametrize(
    "family", ["constraints", "initializers", "layers", "losses", "metrics", "optimizers", "regularizers"]
)
def test_root_modules_export_every_class_of_their_registry_and_the_base(family):
    core, public = (importlib.import_module(f"firesteel.{where}{family}") for where in ("core.", ""))
    registry = getattr(core, family.upper())
    losses = [*importlib.import_module("firesteel.losses").get.types, "LogCoshError"] if family == "metrics" else []
    merges = {"add", "average", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract"}
    words = {
        *registry,
        *losses,
        *(merges if family == "layers" else ()),
        "Identity",
        "schedules",
        "deserialize",
        "get",
        "serialize",
    }
    assert {type(spec).__name__ for spec in registry.values()} <= set(core.__all__) <= set(public.__all__)
    assert set(public.__all__) <= {*core.__all__, *words} and all(hasattr(public, name) for name in public.__all__)


def nouns(path):
    """The classes and type aliases of a module: names in CamelCase."""
    found = set()
    for node in parsed(path).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        found |= {node.name} if isinstance(node, ast.ClassDef) else {getattr(target, "id", "") for target in targets}
    return {name for name in found if re.match("[A-Z].*[a-z]", name)}


def test_a_noun_has_one_meaning():
    meanings = {}
    for path in MODULES:
        for noun in nouns(path):
            meanings.setdefault(noun, []).append(name_of(path))
    several = {noun: where for noun, where in meanings.items() if len(where) > 1}
    assert several == {  # standard names of losses, metrics and layers
        "Average": ["core.layers.merge", "train.strategies"],
        "CosineSimilarity": ["core.losses", "core.metrics"],
        "MeanAbsoluteError": ["core.losses", "core.metrics"],
        "MeanSquaredError": ["core.losses", "core.metrics"],
    }


# ARCHITECTURE.md


def drawn_tree():
    """The modules in the tree of ARCHITECTURE.md, as paths in the package."""
    tree = (PACKAGE.parent / "ARCHITECTURE.md").read_text().split("```")[1]
    folders, found = {0: ""}, {"__init__.py"}
    for line in tree.splitlines()[2:]:
        indent = len(line) - len(line.lstrip())
        folder = folders[max(at for at in folders if at < indent)]
        for word in itertools.takewhile(re.compile(r"\w+(\.py|/)").fullmatch, line.split()):
            found.add(folder + (word + "__init__.py" if word.endswith("/") else word))
            if word.endswith("/"):
                folders = {at: path for at, path in folders.items() if at < indent} | {indent: folder + word}
    return found


def test_architecture_lists_every_module_and_no_other():
    assert drawn_tree() == {str(path.relative_to(PACKAGE)) for path in MODULES}


def test_architecture_links_every_design_decision():
    text = (PACKAGE.parent / "ARCHITECTURE.md").read_text()
    notes = sorted((PACKAGE.parent / "docs" / "design").glob("*.md"))
    assert notes and all(f"(docs/design/{note.name})" in text for note in notes)


# Size


def code_lines(path):
    """The number of lines with code: without blank lines, comments and docstrings."""
    source = path.read_text()
    documentation = set()
    for node in ast.walk(parsed(path)):
        for child in getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []:
            if (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            ):
                documentation.update(range(child.lineno, child.end_lineno + 1))
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in empty:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documentation)


def counted_in(name):
    """The package whose limit includes a module."""
    return "root" if name.split(".")[0] in ROOT_MODULES else name.split(".")[0]


def test_every_package_stays_within_its_limit():
    counted = {name_of(path): code_lines(path) for path in MODULES}
    listed = [name for name in counted if name in REGISTRIES or name.startswith(("core.layers", "optimizers."))]
    assert all(counted.pop(name) < 400 for name in listed)
    assert all(counted.pop(name) < 250 for name in list(counted) if name.startswith("fast.kernels"))
    for limited, most in LIMITS.items():
        inside = {name: lines for name, lines in counted.items() if counted_in(name) == limited}
        for name, lines in inside.items():
            print(f"{lines:6,}  {name}")
        print(f"{sum(inside.values()):6,}  of {most:,} in {limited}")
        assert most / 10 < sum(inside.values()) <= most


def length(function):
    """The number of lines of a function without its docstring."""
    first = function.body[0]
    documented = first.end_lineno - first.lineno + 1 if ast.get_docstring(function) else 0
    return function.end_lineno - function.lineno + 1 - documented


@pytest.mark.parametrize("path", **ids(under("core", "train")))
def test_a_function_fits_a_screen(path):
    functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)]
    assert all(length(function) <= 60 for function in functions), [one.name for one in functions if length(one) > 60]


def test_length_excludes_the_docstring():
    tree = ast.parse('def f(\n    a,\n):\n    """Two\n    lines."""\n    return a')
    assert length(tree.body[0]) == 6 - 2


def test_code_lines_exclude_docstrings_comments_and_blank_lines(tmp_path):
    path = tmp_path / "m.py"
    documented = '"""Two\nlines."""\n\n# a comment\n'
    path.write_text(documented + 'x = """a\nb"""\n\n\ndef f():\n    """Doc."""\n    return (\n        1\n    )\n')
    assert code_lines(path) == 2 + 1 + 3


# Tests


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_is_skipped_and_no_comment_says_to_do(path):
    source = path.read_text()
    shelved = {"skip", "skip" + "if", "x" + "fail", "import" + "orskip", "skip" + "Test"}
    for node in ast.walk(parsed(path)):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        assert name not in shelved, f"{name} at line {node.lineno}"
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            assert not {"TO" + "DO", "FIX" + "ME", "XX" + "X"} & set(token.string.replace(":", " ").split()), (
                token.string
            )


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_names_of_test_files_are_unique(path):
    assert [other for other in TESTS.rglob(path.name)] == [path]
