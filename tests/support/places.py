"""Paths in every form of Python, and all public parameters that accept one."""

import importlib
import inspect
import os
import re
from pathlib import Path
from types import FunctionType

__all__ = ["FORMS", "Place", "asking"]

WORDS = re.compile(r"(file|folder|path|filepath|filename|images|labels|(\w+_)?(dir|uri)|\w+Dir)")
"""Names of parameters that accept a path."""


class Place:
    """An `os.PathLike` without the methods of `pathlib`."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return os.fspath(self.path)


FORMS = {"text": str, "pathlib": Path, "any other": Place}


def asking(*modules):
    """Return "name(parameter)" for every public parameter that accepts a path."""
    found = set()
    for module in map(importlib.import_module, modules):
        defined = [name for name, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__]
        for name in getattr(module, "__all__", [name for name in defined if not name.startswith("_")]):
            public = getattr(module, name)
            named = [(name, public)] if callable(public) else []
            if inspect.isclass(public):
                inside = {key: inspect.getattr_static(public, key) for key in dir(public) if not key.startswith("_")}
                functions = {key: getattr(one, "__func__", one) for key, one in inside.items()}
                named += [(f"{name}.{key}", one) for key, one in functions.items() if isinstance(one, FunctionType)]
            for name, one in named:
                for parameter in inspect.signature(one).parameters.values():
                    typed = "PathLike" in str(parameter.annotation) or "pathlib" in str(parameter.annotation)
                    if typed or (WORDS.fullmatch(parameter.name) and name != "write_libsvm(labels)"):
                        found.add(f"{name}({parameter.name})")
    return found
