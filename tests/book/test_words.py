"""The book's words: tics that its pages had, and are not to have again."""

import re

import pytest
from press import ROOT, chapter_files

PAGES = [
    *chapter_files(ROOT),
    *sorted((ROOT / "book").glob("*.md")),
    ROOT / "README.md",
]
NO_PROSE = re.compile(
    r"^(`{3,})\{(?:code-cell|math)\}.*?^\1\s*$|^```\w*\n.*?^```\s*$|\$\$.*?\$\$"
    r"|\{[\w:-]+\}`[^`]*`|`[^`]*`|\$[^$]*\$|<!--.*?-->",
    re.S | re.M,
)
PER = "row|column|method|stream|task|seed|member|panel|unit|line|chapter|visit|cycle"
WHO = "wants|uses|cares|needs|has|trusts|reads|compares"
COUNTED = "one|steps|images|epochs|seeds|lines|visits|runs|numbers"
TICS = {  # what is not written -> what is
    rf"\b(?:{COUNTED}) an? (?:{PER})\b": "one for each row, steps per visit",
    rf"(?:^|(?<=[.:;] ))Who (?:{WHO})\b(?![^.?!]*\?)": ("if you want, whoever wants"),
    r"\bfor who\b": "for those who",
    r"\b(?:is|are|becomes?) (?:another(?: one)?|others)(?=[.,;:])": "differs, is new",
    r"\bbecome others\b": "change",
    r"(?:^|(?<=[.,;:] ))[Oo]urs (?:above|leaves|says?|agree|is|are|has|have)\b": (
        "our run, our code, our numbers"
    ),
    r"\b(?:edges|tasks|machine|Kubernetes) of ours\b": "our edges",
    r"\bby itself\b(?=[.,;])": "alone, on its own",
    r"\b(?:utilize|leverage|delve|showcase|crucial|seamless(?:ly)?)\b": "a plain word",
}


def prose(text):
    """Return a page without code and mathematics, line by line in place."""
    return NO_PROSE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


@pytest.mark.parametrize("tic", TICS, ids=TICS.values())
def test_a_tic_stands_on_no_page(tic):
    found = [
        f"{page.name}:{text[: hit.start()].count(chr(10)) + 1}: {hit[0]}"
        for page in PAGES
        if (text := prose(page.read_text()))
        for hit in re.finditer(tic, text, re.M)
    ]
    assert found == [], TICS[tic]


@pytest.mark.parametrize(
    ("sentence", "is_found"),
    [
        ("Inputs stand in rows, one a row.", True),
        ("Who wants more should read on.", True),
        ("Who cares?", False),
        ("Under Adam the kernel is another one.", True),
        ("It is another matter.", False),
        ("It takes 500 steps a visit.", True),
        ("It takes `steps a visit`.", False),
        ("The code differs from ours in details.", False),
        ("One thing varies; ours leaves biases alone.", True),
    ],
)
def test_what_is_a_tic(sentence, is_found):
    hits = [tic for tic in TICS if re.search(tic, prose(sentence), re.M)]
    assert bool(hits) == is_found, hits
