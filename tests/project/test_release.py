"""The files of a release agree with one another, and the workflows name what exists."""

import re
from pathlib import Path

import pytest

import firesteel
from tests.project import release

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HEADINGS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def test_every_file_names_the_same_version():
    assert set(release.versions().values()) == {firesteel.__version__}


def test_the_changelog_has_its_sections_in_order_and_fits_in_300_lines():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 300
    listed = [match[1] for match in release.HEADING.finditer(text)]
    numbers = [[int(part) for part in name.split(".")] for name in listed if name != "Unreleased"]
    assert numbers == sorted(numbers, reverse=True) and "Unreleased" not in listed[1:]
    for version in listed:
        found = re.findall(r"^### (.+)", release.notes(version), re.MULTILINE)
        assert found == [heading for heading in HEADINGS if heading in found]


def test_a_tag_of_another_version_is_refused():
    with pytest.raises(SystemExit, match=r"the tag is v9\.9, but firesteel/__init__\.py has"):
        release.print_notes("v9.9")
    with pytest.raises(SystemExit, match="no section on version 9.9"):
        release.notes("9.9")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_names_targets_modules_and_files_that_exist(path):
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:run: |^ +)make ([\w-]+)", text, re.MULTILINE)) <= targets | {"docs"}
    for module in re.findall(r"python -m (tests[\w.]+)", text):
        assert (ROOT / (module.replace(".", "/") + ".py")).exists()
    for name in re.findall(r"(?<![\w./-])(?:\./\.github|firesteel|tests)/[\w./-]+", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")), ids=lambda path: path.stem)
def test_links_of_the_pages_at_the_root_lead_somewhere(path):
    for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link


def test_there_are_workflows():
    assert [path.stem for path in WORKFLOWS] == ["ci", "release", "weekly"]
