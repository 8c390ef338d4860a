"""Pages with code in them: the blocks run as they stand, and print what stands under them."""

import contextlib
import io
import re
from pathlib import Path

import pytest

__all__ = ["ROOT", "blocks", "check"]

ROOT = Path(__file__).parents[2]
CLOSED = r"((?:(?!```).)*)```"
PAIR = re.compile(rf"```python\n{CLOSED}\n\n```text\n{CLOSED}", re.DOTALL)
NORUN = "```python {.norun}\n"
NUMBER = re.compile(r"\d+\.\d+")


def blocks(page: str) -> list[tuple[str, str]]:
    """Return each python block of a page with the text block that must follow it.

    Blocks that begin with "```python {.norun}" need what a test does not have, such as a cluster: they are left out.
    """
    found = PAIR.findall(page)
    assert len(found) == page.count("```python") - page.count(NORUN), "a python block is not followed by its output"
    return found


def check(page: str) -> None:
    """Run a page's python blocks in order, in one namespace, and compare what they print with what the page says.

    Numbers with a point may differ by 0.05, everything else not at all.
    """
    names: dict[str, object] = {}
    for code, expected in blocks(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        found = printed.getvalue().strip()
        assert NUMBER.sub("#", found) == NUMBER.sub("#", expected.strip())
        numbers = [[float(number) for number in NUMBER.findall(text)] for text in (found, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.05)
