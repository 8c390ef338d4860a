"""An extension of griffe: `Example:` in a docstring is a section of code, and arrays are `ndarray` in signatures."""

import dataclasses
import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Give sections of examples the name that griffe's parser knows, and shorten the types of arrays."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        func.returns = shortened(func.returns)
        for parameter in func.parameters:
            parameter.annotation = shortened(parameter.annotation)
            if "_MISSING_TYPE" in str(parameter.default):
                parameter.default = None

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        attr.annotation = shortened(attr.annotation)


def shortened(annotation: Any) -> Any:
    """Return an annotation with `ndarray` in place of `ndarray[tuple[Any, ...], dtype[Any]]`."""
    if isinstance(annotation, griffe.ExprSubscript) and str(annotation.left).endswith("ndarray"):
        return annotation.left
    if isinstance(annotation, list):
        return [shortened(part) for part in annotation]
    if isinstance(annotation, griffe.Expr):
        for field in dataclasses.fields(annotation):
            setattr(annotation, field.name, shortened(getattr(annotation, field.name)))
    return annotation
