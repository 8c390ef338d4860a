"""The pages in docs: their blocks run as they stand and print what stands under them."""

import re

import pytest
from pyspark.ml.classification import MultilayerPerceptronClassifier

from firesteel.spark import NeuralNetworkClassifier
from tests.spark.documents import ROOT, blocks, check

DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).as_posix(): path.read_text()
    for path in sorted(DOCS.rglob("*.md"))
    if DOCS / "design" not in path.parents
}


@pytest.mark.parametrize("name", PAGES)
def test_every_python_block_has_its_output(name):
    blocks(PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_the_python_blocks_print_what_stands_under_them(name, spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_every_link_to_a_file_leads_to_one(name):
    links = re.findall(r"\]\(([^)#\s]+)", re.sub(r"```.*?```", "", PAGES[name], flags=re.DOTALL))
    places = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert not [place for place in places if not (DOCS / name).parent.joinpath(place).exists()]


@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_a_page_leads_to_a_heading(name):
    headings = re.findall(r"^#+ (.*)$", PAGES[name], re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGES[name])) <= anchors


def test_moving_from_spark_s_own_perceptron_names_every_param_of_both(spark):
    page = PAGES["coming-from/spark-perceptron.md"]
    params = {
        param.name
        for stage in (MultilayerPerceptronClassifier(), NeuralNetworkClassifier())
        for param in stage.params
    }
    assert not {name for name in params if f"`{name}`" not in page}
