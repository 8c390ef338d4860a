"""An extension of griffe: `Example:` in a docstring is a section of code, as `Examples:` is."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Give sections of examples the name that griffe's parser knows."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
