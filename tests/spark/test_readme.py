"""The README's blocks run as they stand and print what stands under them; its commands do what they say."""

import re
import shlex

import pytest

from firesteel.cli import main
from tests.spark.documents import ROOT, blocks, check

README = (ROOT / "README.md").read_text()


def test_every_python_block_has_its_output():
    assert len(blocks(README)) == 4


def test_the_python_blocks_print_what_stands_under_them(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # a path without a scheme is relative to where Spark was started, not to this test's folder
    check(README.replace('"wide-or-high"', repr(str(tmp_path / "wide-or-high"))))


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
