"""The page of remedies has every method, and what the results and reports say today."""

import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from isometry.methods import METHODS, Method
from isometry_book.style import FAMILIES, OTHERS

BOOK = Path(__file__).parents[2] / "book"
sys.path.insert(0, str(BOOK))
import remedies  # noqa: E402

WORDS = tomllib.loads(remedies.WORDS.read_text(encoding="utf-8"))
FACTS = remedies.Known(
    network="a network",
    costs={"redo": {"time_ratio": 1.234, "kept_ratio": 2.0, "switch_steps": 0.4}},
    measured={"redo": ["a stream: place 2 of 3, change -0.010 [-0.020, +0.000]"]},
    short={"redo": 4},
    choices={"ReDo": ("a window", "a minibatch is small"), "shared row": ("so", "as")},
)


def test_the_page_is_current():
    page = remedies.PAGE.read_text(encoding="utf-8")
    assert page == remedies.current(), "run: python book/remedies.py"


@pytest.mark.parametrize("method", list(METHODS), ids=lambda one: one.name)
def test_every_method_has_one_sentence_and_a_formula(method):
    words = WORDS["methods"].get(method.name)
    assert words, f"write [methods.{method.name}] in book/remedies.toml"
    assert re.fullmatch(r"[^.]+\.", words["does"])
    assert words["rule"]
    assert words.get("cite") or method.source


def test_every_family_has_two_sentences_of_its_idea():
    assert set(WORDS["families"]) == {*FAMILIES, OTHERS}
    for family in FAMILIES:
        idea = " ".join(WORDS["families"][family]["idea"].split())
        assert 2 <= len(re.findall(r"[.!?](?: |$)", idea)) <= 3, family


def test_no_words_are_left_of_a_method_that_is_gone():
    assert set(WORDS["methods"]) <= set(METHODS.names())


def test_what_is_cited_is_in_the_bibliography():
    keys = set(
        re.findall(r"^@\w+\{(\w+),", (BOOK / "references.bib").read_text(), re.M)
    )
    cited = {key for one in WORDS["methods"].values() for key in one.get("cite", ())}
    assert cited <= keys


def test_no_number_of_ours_is_typed():
    text = " ".join(one["does"] for one in WORDS["methods"].values())
    text += " ".join(one["idea"] for one in WORDS["families"].values())
    assert not re.search(r"\d\.\d|\d ?%|\d x", text)


def test_an_entry_says_costs_places_and_choices():
    words = {"does": "It does.", "rule": "a, \\quad b", "choices": ["ReDo"]}
    text = remedies.entry(METHODS.get("redo"), words, FACTS)
    assert text.splitlines() == [
        "(remedy-redo)=",
        "### ReDo",
        "",
        "`redo`. It does.",
        "",
        "$$",
        r"\begin{gathered} a \\ b \end{gathered}",
        "$$",
        "",
        "* **Costs**: 1.23 x the time, 2.00 x the memory",
        "* **Measured**: a stream: place 2 of 3, change -0.010 [-0.020, +0.000] "
        "({numref}`fig-slopes`); 4 short streams of the first protocol "
        "({numref}`fig-standings`)",
        "* **Source**: Sokar et al., ICML 2023",
        "* **Our choices**: a window; *why*: a minibatch is small",
    ]


def test_what_a_method_does_between_tasks_is_said_in_steps_of_adam():
    costs = {"redo": {**FACTS.costs["redo"], "switch_steps": 24.7}}
    text = remedies.entry(METHODS.get("redo"), {}, replace(FACTS, costs=costs))
    assert "2.00 x the memory, and at a new task as much as 25 steps\n" in text


def test_a_method_without_words_stands_with_its_summary_among_the_others():
    mine = Method(name="mine", summary="Adam, and more", source="ours")
    text = remedies.page(FACTS, WORDS, {"mine": mine})
    assert "(#remedies-others)" in text
    assert "`mine`. Adam, and more." in text
    assert "* **Costs**: not timed yet\n* **Measured**: not yet" in text


def test_a_choice_that_is_not_in_the_table_is_refused():
    with pytest.raises(KeyError, match="gone"):
        remedies.entry(METHODS.get("redo"), {"choices": ["gone"]}, FACTS)


def test_rows_of_choices_are_found_by_their_first_cell():
    text = "| method | our choice | why |\n|---|---|---|\n"
    text += "| FIRE {cite:p}`han2026fire` | ten | half |\n| a | b |\n"
    assert remedies.choice_rows(text)["FIRE"] == ("ten", "half")
    assert "a" not in remedies.choice_rows(text)


def test_other_results_make_another_page():
    methods = {"redo": METHODS.get("redo")}
    words = {**WORDS, "methods": {}}
    one = remedies.page(FACTS, words, methods)
    assert one != remedies.page(replace(FACTS, measured={}), words, methods)
    assert one != remedies.page(replace(FACTS, costs={}), words, methods)
