"""The built site: its links, the names in its reference, and that it loads nothing from elsewhere."""

import functools
import importlib
import pkgutil
import re
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import pytest

import firesteel

SITE = Path(__file__).parents[2] / "site"
pytestmark = pytest.mark.docs
LOADED = {("link", "href"), ("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src")}
"""What a browser fetches by itself."""


class Page(HTMLParser):
    """The anchors of a page, where it leads, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, given):
        attributes = dict(given)
        self.anchors |= {attributes.get("id"), attributes.get("name")}
        for name in ("href", "src"):
            if name in attributes and attributes.get("rel") not in ("canonical", "edit"):
                (self.loaded if (tag, name) in LOADED else self.links).add(attributes[name])


@functools.cache
def page(path):
    return Page(path)


PAGES = sorted(SITE.rglob("*.html"))


def test_the_site_is_built():
    assert len(PAGES) > 50


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(SITE)))
def test_every_link_within_the_site_leads_somewhere_and_nothing_is_loaded_from_elsewhere(path):
    found, wrong = page(path), []
    for link in found.links | found.loaded:
        parts = urllib.parse.urlsplit(link)
        if parts.scheme or parts.netloc:
            if link in found.loaded and parts.scheme != "data":
                wrong.append(link)
            continue
        if path.name == "404.html":  # its links begin at the root of the host
            continue
        place = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
        place = place / "index.html" if place.is_dir() else place
        if not place.exists() or (parts.fragment and urllib.parse.unquote(parts.fragment) not in page(place).anchors):
            wrong.append(link)
    assert not wrong


INTERNAL = r"\._|^firesteel\.(core|train|fast|graphs|search|tables|cli)\b|^firesteel\.(spark|report|datasets)\."
FACE = [
    one.name for one in pkgutil.walk_packages(firesteel.__path__, "firesteel.") if not re.search(INTERNAL, one.name)
]
"""The modules that users import from."""


def test_every_public_name_has_a_place_in_the_reference():
    anchors = set().union(*(page(path).anchors for path in PAGES if SITE / "reference" in path.parents))
    names = [f"{name}.{one}" for name in FACE for one in getattr(importlib.import_module(name), "__all__", ())]
    assert len(names) > 300 and not [name for name in names if name not in anchors]
