"""The design report: every section, what is missing or stale said in words, safe with any name, valid, the same bytes every time."""

import re
import shutil
from html.parser import HTMLParser

import pytest

from lstm_mpc.report.dossier import read
from lstm_mpc.report.page import render_report

TITLES = ("Data and split", "Fit and residuals", "Training", "Certificates", "Reachable outputs", "Scenario evidence", "Closed loop",
          "Controller", "Release", "Provenance")  # fmt: skip


@pytest.fixture(scope="module")
def shipped(pytestconfig):
    return pytestconfig.rootpath / "models" / "ph"


@pytest.fixture(scope="module")
def page(shipped):
    return render_report(read(shipped))


class Outline(HTMLParser):
    """What a page holds: ids, targets of links, addresses, levels of headings, pictures without words, scripts."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.addresses, self.levels, self.wordless, self.tags, self.columns = [], [], [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        self.tags.append(tag)
        if "id" in own:
            self.ids.append(own["id"])
        if tag == "a":
            self.links.append(own["href"])
        self.addresses += [own[key] for key in ("src", "href", "action", "data") if key in own]
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if (tag == "img" and not own.get("alt")) or (tag == "svg" and (own.get("role") != "img" or "aria-labelledby" not in own)):
            self.wordless.append(own)
        if tag == "th":
            self.columns.append(own.get("scope"))

    handle_startendtag = handle_starttag


def valid(text):
    """The outline of a page that a browser and a screen reader can use and that asks nothing of a network."""
    seen = Outline(text)
    assert len(seen.ids) == len(set(seen.ids))
    assert all(link.startswith("#") and link[1:] in seen.ids for link in seen.links)
    assert all(address.startswith(("#", "data:image/svg+xml;base64,")) for address in seen.addresses)
    assert "url(http" not in text
    assert "@import" not in text
    assert seen.levels[0] == 1
    assert seen.levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(seen.levels, seen.levels[1:], strict=False))
    assert not seen.wordless
    assert "script" not in seen.tags
    assert set(seen.columns) <= {"row", "col"}
    assert '<html lang="en">' in text
    return seen


def test_every_section_is_there_and_the_page_is_valid(page):
    seen = valid(page)
    for title in TITLES:
        assert f"</span> {title}</h2>" in page
    assert seen.tags.count("svg") == 12
    assert len(page) < 1_000_000


def test_the_same_artefacts_give_the_same_bytes(shipped, page, tmp_path):
    other = shutil.copytree(shipped, tmp_path / "elsewhere")
    assert render_report(read(other)) == page
