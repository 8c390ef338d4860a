"""Pages with code in them: the blocks run as they stand, and print what stands under them."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from firesteel.cli import main

__all__ = ["ROOT", "blocks", "check"]

ROOT = Path(__file__).parents[2]
CLOSED = r"((?:(?!```).)*)```"
PAIR = re.compile(rf"```python\n{CLOSED}\n\n```text\n{CLOSED}", re.DOTALL)
STEP = re.compile(rf"{PAIR.pattern}|```console\n{CLOSED}", re.DOTALL)
NORUN = "```python {.norun}\n"
NUMBER = re.compile(r"\d+\.\d+")


def blocks(page: str) -> list[tuple[str, str]]:
    """Return each python block of a page with the text block that must follow it.

    Blocks that begin with "```python {.norun}" need what a test does not have, such as a cluster: they are left out.
    """
    found = PAIR.findall(page)
    assert len(found) == page.count("```python") - page.count(NORUN), "a python block is not followed by its output"
    return found


def run(command: str) -> None:
    """Run a command of firesteel in this process; it must succeed."""
    with pytest.raises(SystemExit) as done:
        main(shlex.split(command, comments=True))
    assert not done.value.code, command


def check(page: str) -> None:
    """Run a page's python blocks and `firesteel` commands in order, and compare what the blocks print with the page.

    A block of commands that begins with "```console {.norun}" is left out.

    The blocks share a namespace.  Numbers with a point may differ by 0.05, everything else not at all.
    """
    names: dict[str, object] = {}
    for step in STEP.finditer(page):
        code, expected, console = step.groups()
        for command in re.findall(r"^\$ firesteel (.*)$", console or "", re.MULTILINE):
            run(command)
        if console is not None:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        found = printed.getvalue().strip()
        assert NUMBER.sub("#", found) == NUMBER.sub("#", expected.strip())
        numbers = [[float(number) for number in NUMBER.findall(text)] for text in (found, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.05)
