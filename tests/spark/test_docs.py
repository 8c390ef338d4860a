"""The pages in docs: their blocks run as they stand and print what stands under them."""

import re

import pytest
from pyspark.ml.classification import MultilayerPerceptronClassifier

from firesteel.spark import NeuralNetworkClassifier
from tests.spark.documents import ROOT, blocks, check

PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}


@pytest.mark.parametrize("name", PAGES)
def test_every_python_block_has_its_output(name):
    blocks(PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_the_python_blocks_print_what_stands_under_them(name, spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_a_page_leads_to_a_heading(name):
    headings = re.findall(r"^#+ (.*)$", PAGES[name], re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGES[name])) <= anchors


def test_moving_from_spark_s_own_perceptron_names_every_param_of_both(spark):
    page = PAGES["from-multilayer-perceptron.md"]
    params = {
        param.name
        for stage in (MultilayerPerceptronClassifier(), NeuralNetworkClassifier())
        for param in stage.params
    }
    assert not {name for name in params if f"`{name}`" not in page}
