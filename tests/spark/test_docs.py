"""The pages in docs: their blocks run as they stand and print what stands under them."""

import re

import pytest
from pyspark.ml.classification import MultilayerPerceptronClassifier

from firesteel.spark import NeuralNetworkClassifier
from tests.spark.documents import ROOT, blocks, check

DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
WITH_CODE = [name for name in PAGES if re.search(r"```python\n|^\$ firesteel ", PAGES[name], re.MULTILINE)]
LONG = 300
"""The most lines of a page."""


@pytest.mark.parametrize("name", PAGES)
def test_every_python_block_has_its_output(name):
    blocks(PAGES[name])


@pytest.mark.docs
@pytest.mark.parametrize("name", WITH_CODE)
def test_the_blocks_print_what_stands_under_them_and_the_commands_succeed(name, spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_long(name):
    assert PAGES[name].count("\n") <= LONG


@pytest.mark.parametrize("name", PAGES)
def test_every_table_begins_with_its_heading(name):
    lines = ["", *re.sub(r"^```.*?^```$", "", PAGES[name], flags=re.MULTILINE | re.DOTALL).splitlines(), ""]
    starts = [at for at, line in enumerate(lines) if line.startswith("|") and not lines[at - 1].startswith("|")]
    assert not [lines[at] for at in starts if not re.fullmatch(r"\|[ :|-]+", lines[at + 1])]


def anchors(page):
    """Return what a link may name in a page: its headings, and the anchors that it declares."""
    text = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    named = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    return named | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file_and_to_a_heading(name):
    text = re.sub(r"```.*?```", "", PAGES[name], flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        path = (DOCS / name).parent / target if target else DOCS / name
        assert path.exists() or path.parent.resolve() == DOCS / "reference", target  # those are made for the site
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path.read_text()), f"{target}#{anchor}"


def test_moving_from_spark_s_own_perceptron_names_every_param_of_both(spark):
    page = PAGES["coming-from/spark-perceptron.md"]
    params = {
        param.name
        for stage in (MultilayerPerceptronClassifier(), NeuralNetworkClassifier())
        for param in stage.params
    }
    assert not {name for name in params if f"`{name}`" not in page}
