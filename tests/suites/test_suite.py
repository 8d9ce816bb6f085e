"""Suites: what a file means, one line for each that cannot be, and all of ours."""

import re
from pathlib import Path

import pytest

from isometry.core.settings import as_dict
from isometry.lab.plans import plan
from isometry.suites.suite import names, read_suite

ROOT = Path(__file__).parents[2]


# --- the package's own ----------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_every_row_of_every_suite_is_planned_and_none_is_run(name):
    suite = read_suite(name)
    assert suite.rows
    for row in suite.runs:
        again = plan(row.benchmark, row.method, row.settings, row.profile)
        assert row.planned.hash() == again.hash()
        assert row.seeds


@pytest.mark.parametrize("name", names())
def test_the_source_of_a_suite_is_in_the_bibliography(name):
    source = read_suite(name).source
    known = re.findall(
        r"^@\w+\{(\S+),", (ROOT / "book/references.bib").read_text(), re.M
    )
    assert not source or source in known


@pytest.mark.parametrize("name", names())
def test_a_reduction_differs_from_its_box_in_what_it_declares_alone(name):
    suite = read_suite(name)
    if not suite.reduced:
        return
    whole = read_suite(name.removesuffix("-reduced"))
    assert [row.label for row in suite.runs] == [row.label for row in whole.runs]
    smaller = {k for k, v in suite.settings.items() if whole.settings.get(k) != v}
    for row, other in zip(suite.runs, whole.runs, strict=True):
        own, theirs = as_dict(row.planned.settings), as_dict(other.planned.settings)
        changed = {key for key in own | theirs if own.get(key) != theirs.get(key)}
        assert changed <= smaller
        assert row.planned.method_settings == other.planned.method_settings


# --- what a file means ----------------------------------------------------------------


def test_settings_of_a_row_override_those_of_all_and_changes_override_both(small):
    suite = small("small")
    adam, slower = suite.rows
    (wider,) = suite.changes
    assert (adam.planned.settings.width, adam.planned.settings.lr) == (8, 1e-2)
    assert (slower.planned.settings.width, slower.planned.settings.lr) == (9, 1e-3)
    assert (wider.planned.settings.width, wider.planned.settings.lr) == (10, 1e-2)
    assert (adam.seeds, slower.seeds, wider.seeds) == ((0, 1, 2), (0, 1), (0, 1, 2))
    assert (wider.of, wider.why) == ("Adam", "Does the width matter?")
    assert slower.note == "Nothing of it is known."
    assert suite.runs == (adam, slower, wider)


def test_a_reduction_is_a_suite_of_its_own(small, folder):
    assert names() == ("small", "small-reduced")
    suite = small("small-reduced")
    assert suite.reduced == "One task less."
    assert {row.planned.settings.tasks for row in suite.runs} == {2}
    assert {row.seeds for row in suite.runs} == {(5, 6)}
    assert small("small").reduced == ""
    assert {row.planned.settings.tasks for row in small("small").runs} == {3}


def test_runs_are_chosen_by_their_labels(small):
    suite = small("small")
    assert suite.only([]) == suite.runs
    assert [run.label for run in suite.only(["wider", "Adam"])] == ["Adam", "wider"]
    with pytest.raises(KeyError, match=r"small 'Adm'; did you mean 'Adam'\?"):
        suite.only(["Adm"])


# --- refusals -------------------------------------------------------------------------

REFUSALS = [
    ('title = "A small table"', "titel = 'x'", "key of suite small 'titel'; did you m"),
    ('box = "Two tasks of the digits."', "", "needed box in suite small, found none"),
    ('"A small table"', "3", "needed a text for title, found 3; change title"),
    ("[[measures]]", "[[measure]]", "unknown key of suite small 'measure'"),
    ("last = 2", "last = 4", "needed 0 <= last <= 3 for measure last 2 of suite small"),
    ("last = 2", "last = true", "needed a whole number for last, found True"),
    ('seeds = "0:3"', "", "needed seeds for suite small or its row Adam, found none"),
    ('seeds = "0:3"', 'seeds = "0:0"', "suite small, row Adam: needed 1 to 10000 diff"),
    ('"permuted_mnist"', '"permuted_mnst"', "row Adam: unknown benchmark 'permuted_mn"),
    (
        'method = "adam"',
        'method = "adm"',
        "suite small, row Adam: unknown method 'adm'",
    ),
    ('method = "adam"', "", "needed method in suite small, [[rows]], found none"),
    ("lr = 1e-2 }", "lrr = 1 }", "row Adam: unknown setting of permuted_mnist with ad"),
    ("lr = 1e-2 }", "lr = -1 }", "suite small, row Adam: needed lr > 0, found -1.0"),
    ('label = "wider"', 'label = "Adam"', "found Adam and Adam, which are the same"),
    ("width = 10", "width = 8", "found Adam and wider, which are the same; change or"),
    ('of = "Adam"', 'of = "Adma"', "row of suite small 'Adma'; did you mean 'Adam'?"),
    ('why = "Does the width matter?"', "", "needed why in suite small, [[changes]]"),
    ('how = "One task less."', "", "needed how in suite small, [reduced], found none"),
    ("[reduced]", "[reduced", "needed a suite in TOML at "),
]


@pytest.mark.parametrize(("line", "instead", "message"), REFUSALS)
def test_every_refusal_is_one_line(small, folder, line, instead, message):
    text = (folder / "small.toml").read_text()
    assert line in text
    (folder / "small.toml").write_text(text.replace(line, instead, 1))
    with pytest.raises((KeyError, ValueError)) as refused:
        small("small")
    assert message in refused.value.args[0]
    assert "\n" not in refused.value.args[0]


def test_an_unknown_suite_is_answered_with_the_nearest_one(small):
    with pytest.raises(KeyError, match=r"unknown suite 'smal'; did you mean 'small'\?"):
        small("smal")
