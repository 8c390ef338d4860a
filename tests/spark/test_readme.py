"""The README's blocks run as they stand and print what stands under them; its commands do what they say."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from firesteel.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)
NUMBER = re.compile(r"\d+\.\d+")


def test_every_python_block_has_its_output():
    assert len(BLOCKS) == README.count("```python") == 3


def test_the_python_blocks_print_what_stands_under_them(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code, expected in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # a path without a scheme is relative to where Spark was started, not to this test's folder
            exec(code.replace('"wide-or-high"', repr(str(tmp_path / "wide-or-high"))), names)
        found = printed.getvalue().strip()
        assert NUMBER.sub("#", found) == NUMBER.sub("#", expected.strip())
        numbers = [[float(number) for number in NUMBER.findall(text)] for text in (found, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.05)


def test_the_command_on_digits_ends_with_a_fingerprint(capsys):
    command = next(line for line in README.splitlines() if line.startswith("$ firesteel train --data digits"))
    with pytest.raises(SystemExit) as done:
        main(shlex.split(command)[2:])
    assert not done.value.code
    assert re.fullmatch(r"fingerprint [0-9a-f]{64}", capsys.readouterr().out.splitlines()[-1])


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_page_of_the_house_is_linked_right():
    for page in [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
