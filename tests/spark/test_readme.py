"""The README's block runs as it stands and prints what stands under it; every link leads somewhere."""

import re

import pytest

from tests.spark.documents import ROOT, blocks, check

README = (ROOT / "README.md").read_text()


def test_the_python_block_prints_what_stands_under_it(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(blocks(README)) == 1
    # a path without a scheme is relative to where Spark was started, not to this test's folder
    check(README.replace('"penguins"', repr(str(tmp_path / "penguins"))))


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_link_leads_somewhere(name):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / name).read_text()):
        assert (ROOT / target).exists(), target
