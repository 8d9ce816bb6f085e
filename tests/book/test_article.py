"""The article says what the ledger and the store say today."""

import re
import runpy
from collections import defaultdict
from types import SimpleNamespace

import pytest

pytest.importorskip("pybtex", reason="needs the extra book")

import pandas as pd
import yaml
from press import ROOT
from press.pdf import sheets
from press.site import chromium

from isometry_book.interventions.layers import ASKED

PAPER = ROOT / "paper"


@pytest.fixture(scope="module")
def article():
    """Return the script's names."""
    return SimpleNamespace(**runpy.run_path(str(PAPER / "article.py")))


@pytest.fixture(scope="module")
def written(article):
    """Return what the script would write, by file name."""
    return {path.name: text for path, text in article.made().items()}


def test_the_article_is_current(written):
    for name, text in written.items():
        assert (PAPER / name).read_text() == text, "run: python paper/article.py"


def test_no_number_of_the_templates_is_measured():
    text = (PAPER / "article.template.md").read_text()
    text += (PAPER / "abstract.template.txt").read_text()
    settings = {"0.001", "0.0001", "95 %", "4.0", "2606.09762"}
    found = re.findall(r"\d+\.\d+(?:\.\d+)?|\d+(?:\.\d+)? ?%", text)
    sections = set(re.findall(r"^## (\d\. )", text, re.M))
    assert sections
    assert set(found) - settings == set()


def test_a_changed_result_refuses_the_prose(article):
    facts = article.Facts.__new__(article.Facts)
    facts.verdicts = defaultdict(lambda: SimpleNamespace(verdict="partly", reason=""))
    rows = pd.DataFrame({key: [0.5, 0.9, 0.5] for key in ("mean", "low", "high")})
    facts.back = facts.third_back = None
    facts.layers = {"one": dict.fromkeys(ASKED, ("yes", None))}
    facts.level = facts.slope = rows.set_axis(["adamo", "adam", "adam_isometry"])
    facts.second_level = facts.second_slope = facts.level
    facts.fourth_level = facts.fourth_slope = facts.level
    facts.fifth_level = rows.set_axis(["adamo", "maxmin", "adamo_maxmin"])
    facts.fifth_early = SimpleNamespace(early=SimpleNamespace(high=0.0))
    facts.streams, facts.widest = 4, 100
    facts.third_level = rows.set_axis(["adamo", "maxmin", "head_decay"])
    facts.third = facts.third_level.assign(**{"dormant": 0.0, "Gram deviation": 1.0})
    facts.third_share = 0.0
    with pytest.raises(ValueError, match="what is not so: Adam loses; AdamO stands"):
        facts.check()


def test_the_metadata_has_what_the_journal_asks_for(written):
    text = yaml.safe_load(written["metadata.yaml"])
    assert text["title"].startswith("[Re] ")
    assert text["authors"][0]["name"] == "The Plasticity by Isometry contributors"
    asked = {"code", "data", "replication", "abstract", "domain", "language", "type"}
    assert asked <= set(text)
    assert {"url", "doi", "swh"} == {key for part in text["code"] for key in part}
    assert "{" not in text["abstract"]
    assert (PAPER / text["bibliography"]).exists()


def test_every_work_of_the_list_is_linked(written):
    _, _, listed = written["article.md"].partition("## References")
    lines = [line for line in listed.splitlines() if line.startswith("* ")]
    assert len(lines) > 10
    assert [line for line in lines if not re.search(r"<https://\S+>$", line)] == []


@pytest.mark.browser
def test_the_article_has_about_four_pages(article, tmp_path):
    if chromium() is None:
        pytest.skip("needs Chromium")
    out = tmp_path / "article.pdf"
    article.pdf(out)
    assert 3 <= len(sheets(out.read_bytes().decode("latin-1"))) <= 6
