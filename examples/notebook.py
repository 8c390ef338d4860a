"""Convert a script to a notebook: `python examples/notebook.py SCRIPT` runs its cells and writes SCRIPT's .ipynb.

`# %%` begins a code cell and `# %% [markdown]` a text cell (in comments), as in the percent format of editors and
Jupytext. The notebook contains what the cells print, and each figure at `plt.show()`.
"""

import base64
import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any
from unittest import mock

MARK = re.compile(r"^# %%(?P<text> \[markdown\])?\n", re.MULTILINE)


def cells(script: str) -> list[tuple[str, str]]:
    """Return (kind, source) of each cell: kind is "markdown" or "code".  Text before the first cell is omitted."""
    marks = list(MARK.finditer(script))
    ends = [mark.start() for mark in marks[1:]] + [len(script)]
    found = []
    for mark, end in zip(marks, ends, strict=True):
        source = script[mark.end() : end].strip("\n")
        if mark["text"]:
            found.append(("markdown", re.sub("^# ?", "", source, flags=re.MULTILINE)))
        else:
            found.append(("code", source))
    return found


def ran(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell and return its outputs in the notebook format."""
    import matplotlib.pyplot as plt

    pictures = []

    def show() -> None:
        picture = io.BytesIO()
        plt.gcf().savefig(picture, format="png", bbox_inches="tight")
        plt.close()
        pictures.append(base64.b64encode(picture.getvalue()).decode())

    with contextlib.redirect_stdout(io.StringIO()) as printed, mock.patch.object(plt, "show", show):
        exec(source, names)
    text = printed.getvalue()
    outputs: list[dict[str, Any]] = []
    if text:
        outputs.append({"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)})
    for picture in pictures:
        outputs.append({"data": {"image/png": picture}, "metadata": {}, "output_type": "display_data"})
    return outputs


def notebook(script: str) -> dict[str, Any]:
    """Run a script from top to bottom and return it as a notebook."""
    made, names, count = [], {"__name__": "__main__"}, 0
    for number, (kind, source) in enumerate(cells(script)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number:02}", "metadata": {}}
        if kind == "code":
            count += 1
            cell |= {"execution_count": count, "outputs": ran(source, names)}
        made.append(cell | {"source": source.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    book = json.dumps(notebook(path.read_text()), indent=1, sort_keys=True, ensure_ascii=False)
    path.with_suffix(".ipynb").write_text(book + "\n")
