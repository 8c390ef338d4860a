"""Hooks of MkDocs: pages of the reference made from the package, formulas as MathML, links into the repository.

Everything is made while the site is built, so that the reference cannot differ from the code.  No page needs
JavaScript to show a formula, and nothing is loaded from another site.
"""

import functools
import html
import importlib
import inspect
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
TITLES = {
    "models": "Models",
    "losses": "Losses",
    "metrics": "Metrics",
    "optimizers": "Optimizers",
    "optimizers.schedules": "Learning-rate schedules",
    "callbacks": "Callbacks",
    "activations": "Activations",
    "initializers": "Initializers",
    "regularizers": "Regularizers",
    "constraints": "Constraints",
    "utils": "Utilities",
    "datasets": "Data sets and readers",
    "spark": "Spark ML stages",
    "sklearn": "scikit-learn estimators",
    "report": "Reports of runs",
    "extending": "Base classes of your own parts",
    "testing": "Testing your own parts",
    "mlflow": "MLflow",
    "tensorboard": "TensorBoard",
    "errors": "Exceptions",
}
"""Modules of the public face, and the titles of their pages; `layers` has a page for each kind of layer."""
LAYERS = {
    "Core layers": ("dense", "embedding", "calling", "table", "wrapper", "heads", "layer"),
    "Activation layers": ("activation",),
    "Convolution layers": ("convolution", "depthwise", "enlarging"),
    "Pooling layers": ("pooling",),
    "Normalization and preprocessing": ("normalization", "preprocessing"),
    "Regularization layers": ("regularization",),
    "Augmentation layers": ("augmentation", "sampling", "recolouring"),
    "Merging layers": ("merge", "layers"),
    "Reshaping layers": ("reshaping",),
}
"""Pages of layers, and the modules of `firesteel.core.layers` whose classes each shows."""
PROPERTIES = (property, functools.cached_property)
METHODS = (types.FunctionType, classmethod, staticmethod, *PROPERTIES)
CALLED = ("models", "callbacks", "spark", "report", "sklearn", "extending", "mlflow")
"""Modules whose classes have methods for users; those of the others are used by training."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from the package."""
    for name, text in pages():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links to files outside docs/ into links to the repository's web page; drop empty outputs of examples."""
    markdown = markdown.replace("\n```text\n```\n", "")
    here = Path(config.docs_dir, page.file.src_uri).parent

    def elsewhere(link: re.Match[str]) -> str:
        place, _, anchor = link[1].partition("#")
        path = (here / place).resolve()
        if not place or "://" in place or path.is_relative_to(config.docs_dir) or not path.exists():
            return link[0]
        kind = "tree" if path.is_dir() else "blob"
        return f"]({config.repo_url}/{kind}/main/{path.relative_to(ROOT)}{anchor and '#' + anchor})"

    return re.sub(r"\]\(([^)\s]+)\)", elsewhere, markdown)


def on_page_content(content: str, page: Any, config: Any, files: Any) -> str:
    """Turn formulas into MathML, which browsers show by themselves."""

    def formula(found: re.Match[str]) -> str:
        text = html.unescape(found[2]).strip()
        return str(convert(text[2:-2], display="block" if found[1] == "div" else "inline"))

    return re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', formula, content, flags=re.DOTALL)


# The reference


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each page of the reference that is made from the package."""
    listed = []
    for name, title in TITLES.items():
        module = importlib.import_module(f"firesteel.{name}")
        page = {"errors": "exceptions"}.get(name, name.replace(".", "-"))
        listed.append((title, page, module.__name__, exported(module)))
        yield page, members(title, module, exported(module))
    module = importlib.import_module("firesteel.layers")
    left = dict(exported(module))
    for title, files in LAYERS.items():
        names = {n: o for n, o in left.items() if o.__module__.rpartition(".")[2] in files}
        left = {n: o for n, o in left.items() if n not in names}
        page = f"layers-{files[0]}"
        listed.append((title, page, module.__name__, names))
        yield page, members(title, module, names)
    assert not left, f"layers that no page of the reference shows: {sorted(left)}"
    yield "index", index(listed)
    yield "params", params()
    yield "command-line", command_line()


def exported(module: Any) -> dict[str, Any]:
    """Return the classes and functions that a module exports, by name."""
    found = {name: getattr(module, name) for name in module.__all__}
    for name, what in found.items():
        if inspect.isfunction(what) and what.__qualname__ == name and not lies_where_it_says(what):
            what.__module__ = module.__name__  # made by code
    return {name: what for name, what in found.items() if inspect.getdoc(what)}


def lies_where_it_says(what: Any) -> bool:
    """Return whether an object is found by its module and name, as mkdocstrings looks for it."""
    module = sys.modules.get(getattr(what, "__module__", None) or "")
    return module is not None and getattr(module, getattr(what, "__qualname__", ""), None) is what


def members(title: str, module: Any, names: dict[str, Any]) -> str:
    """Return a page that documents the names of a module; further names of one object stand under its first."""
    first: dict[int, list[str]] = {}
    for name, what in names.items():
        first.setdefault(id(what), []).append(name)
    parts = [f"# {title}", f"`{module.__name__}`: {summary(module)}"]
    for name, *others in first.values():
        what, place = names[name], f"{module.__name__}.{name}"
        if isinstance(what, str):
            parts.append(f"## {name} {{ #{place} }}\n\nThe text `{what!r}`.")
        elif not lies_where_it_says(what):
            parts.append(f"## {name} {{ #{place} }}\n\n{inspect.getdoc(what)}")
        else:
            known = name in vars(module)  # others are imported when they are asked for
            known = known and place not in sys.modules  # a function may have the name of its module
            anchor = "" if known else f'<span id="{place}"></span>\n\n'
            shown = place if known else f"{what.__module__}.{what.__qualname__}"
            own = methods(what, module) or "false"
            parts.append(f"{anchor}::: {shown}\n    options:\n      members: {own}\n      inherited_members: {own}")
        if others:
            anchors = ", ".join(f'<code id="{module.__name__}.{other}">{other}</code>' for other in others)
            parts.append(f"Also called {anchors}.")
    return "\n\n".join(parts) + "\n"


def methods(what: Any, module: Any) -> list[str]:
    """Return the methods and properties of a class that its section shows: those that users call."""
    if not inspect.isclass(what) or module.__name__.rpartition(".")[2] not in CALLED:
        return []
    shown = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind is not what]
    own = [kind for kind in what.__mro__ if kind.__module__.startswith("firesteel.") and kind not in shown]
    names = dict.fromkeys(name for kind in own for name in vars(kind) if not re.match("_|get[A-Z]|set[A-Z]", name))
    found = {name: inspect.getattr_static(what, name) for name in names}
    listed = [name for name, one in found.items() if isinstance(one, METHODS) and inspect.getdoc(one)]
    return sorted(listed, key=lambda name: isinstance(found[name], PROPERTIES))  # methods, then properties


def summary(what: Any) -> str:
    """Return the first sentence of a docstring."""
    text = " ".join((inspect.getdoc(what) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.:])  ?(?=[A-Z])|    ", text)[0]


def index(listed: list[tuple[str, str, str, dict[str, Any]]]) -> str:
    """Return the first page of the reference: every public name in one table."""
    parts = [
        "# Reference",
        "Every public name. The stages' settings are on the page of [Params](params.md), the commands on that of the"
        " [command line](command-line.md), and what each error code means under [error codes](errors.md).",
    ]
    for title, page, module, names in listed:
        rows = [f"| [`{name}`]({page}.md#{module}.{name}) | {summary(what)} |" for name, what in names.items()]
        parts.append(f"## {title}\n\n| `{module}` | |\n|---|---|\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def params() -> str:
    """Return the page of the stages' Params: text, default and what each stage that has it is."""
    from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkRegressor

    stages = {"classifier": NeuralNetworkClassifier(), "regressor": NeuralNetworkRegressor()}
    known: dict[str, dict[str, Any]] = {}
    for word, stage in stages.items():
        for param in stage.params:
            known.setdefault(param.name, {})[word] = (stage, param)
    parts = [
        "# Params",
        "Set a Param in the constructor (`NeuralNetworkClassifier(maxIter=20)`) or by its setter (`setMaxIter(20)`)."
        " A Param without a default is chosen by the data, as its text says.",
    ]
    for name in sorted(known, key=str.lower):
        stage, param = next(iter(known[name].values()))
        default = repr(stage.getOrDefault(param)) if stage.hasDefault(param) else "none"
        only = "" if len(known[name]) == 2 else f" Only of the {next(iter(known[name]))}."
        parts.append(f"## `{name}` {{ #{name} }}\n\n{param.doc}{only}\n\nDefault: `{default}`")
    return "\n\n".join(parts) + "\n"


def command_line() -> str:
    """Return the page of the commands, which says what `--help` prints."""
    from firesteel.cli.app import app

    text = re.sub(r"## Table of Contents.*?(?=\*\*Commands)", "", app.generate_docs(), flags=re.DOTALL)
    return re.sub(r"^# firesteel$", "# Command line", text, count=1, flags=re.MULTILINE)
