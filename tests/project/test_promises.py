"""docs/reliability.md says where each row of its table is tested, and the tests are there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent.joinpath("docs", "reliability.md").read_text()
IDS = [f"R{number:02d}" for number in range(1, 54)]
ROWS = dict(re.findall(r"^\| (R\d\d) \| .+ \| .+ \| (.+) \| .+ \|$", PAGE, re.MULTILINE))


def proved(path):
    """The rows that the names of a file's tests say they prove."""
    names = re.findall(r"def (test_\w+)\(", path.read_text())
    return {row.upper() for name in names for row in re.findall(r"r\d\d(?=_)", name)}


WHERE = {path.relative_to(TESTS).as_posix(): proved(path) for path in TESTS.rglob("test_*.py")}


def test_every_row_is_there_once():
    assert list(ROWS) == IDS and PAGE.count("\n| R") == len(IDS)


@pytest.mark.parametrize("row", IDS)
def test_a_row_names_the_files_that_hold_its_tests(row):
    found = sorted(name for name, rows in WHERE.items() if row in rows)
    assert found and ROWS[row] == ", ".join(f"`{name}`" for name in found)


def test_promises_name_rows_that_there_are():
    promises = re.findall(r"^\| P(\d+) \|.*\| (.*) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in promises] == list(range(1, 15))
    named = {row for _, rows in promises for row in re.findall(r"R\d\d", rows)}
    assert named and named <= set(IDS)
