"""Text that users see has the words of the field, and figures in README are those that a benchmark printed."""

import re

from tests.project.language import ROOT, findings, read_by_users

ALLOWED = 10
"""Listed words that may stand in their ordinary sense."""
README = (ROOT / "README.md").read_text()
RESULTS = {
    part.partition("\n")[0]: part for part in (ROOT / "benchmarks" / "RESULTS.md").read_text().split("\n## ")[1:]
} | {"tables FOLDER": (ROOT / "benchmarks" / "RESULTS-TABLES.md").read_text()}


def test_the_words_of_the_list_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("It is told so.\nThe price of `told`.\n```\ntold\n```\nA gate, and what is held.\n")
    assert [line.split(":")[1] for line in findings(page, tmp_path)] == ["1", "2", "6", "6"]


def test_text_for_users_has_the_words_of_the_field():
    found = [line for path in read_by_users() for line in findings(path)]
    assert len(found) <= ALLOWED, "\n".join(found)


def test_figures_of_speed_and_quality_in_the_readme_were_printed_by_the_benchmark_that_they_name():
    bullets = re.findall(r"- `python -m benchmarks ([^`]+)`: (.*?)(?=\n- |\n\n)", README, re.DOTALL)
    assert len(bullets) >= 3
    for name, text in bullets:
        printed = [float(number) for number in re.findall(r"\d+\.\d+", RESULTS[name])]
        figures = re.findall(r"\d+(?:\.\d+)?(?= s\b| %|\))", text)
        assert figures
        for figure in figures:
            digits = len(figure.partition(".")[2])
            assert float(figure) in {round(number, digits) for number in printed}, f"{name}: {figure}"
