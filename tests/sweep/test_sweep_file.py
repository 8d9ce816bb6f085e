"""Sweep files: what a grid means, and one line for each that cannot be."""

import tomllib
from pathlib import Path

import pytest

from isometry.core.settings import as_dict
from isometry.sweep.file import parsed_file, read_sweep
from isometry.sweep.grid import grid

EXAMPLES = sorted((Path(__file__).parents[2] / "sweeps").glob("*.toml"))
CAMPAIGN = [
    path
    for path in sorted((Path(__file__).parents[2] / "sweeps/campaign").glob("*.toml"))
    if "control" in tomllib.loads(path.read_text())
]
BASE = {
    "report_seeds": "0:2",
    "settings": {"data": "digits"},
    "benchmarks": {"permuted_mnist": {}},
    "methods": {"adam": {"lr": [1e-3, 1e-2]}},
}


def content(**changes):
    return {k: v for k, v in {**BASE, **changes}.items() if v is not None}


# --- what a file means ----------------------------------------------------------------


def test_lists_are_all_combined_and_other_values_stay():
    assert grid({"a": [1, 2], "b": 3, "c": ["x", "y"]}, "") == [
        {"a": 1, "b": 3, "c": "x"},
        {"a": 1, "b": 3, "c": "y"},
        {"a": 2, "b": 3, "c": "x"},
        {"a": 2, "b": 3, "c": "y"},
    ]
    assert grid({}, "") == [{}], "nothing to vary is one point"


def test_every_benchmark_case_and_method_is_searched_on_its_own():
    asked = read_sweep(
        content(
            settings={"data": "digits", "width": [8, 16]},
            benchmarks={
                "permuted_mnist": {"tasks": [2, 3]},
                "random_label_mnist": {"epochs": 2},
            },
            methods={"adam": {"lr": [0.1, 0.2]}, "fresh": {"lr": [0.1, 0.2]}},
        )
    )
    found = [
        (s.benchmark, s.method, s.case["width"], s.case.get("tasks"), len(s.plans))
        for s in asked.searches
    ]
    assert len(found) == len(set(found)) == (2 * 2 + 2) * 2
    assert {size for *_, size in found} == {2}
    assert ("permuted_mnist", "fresh", 16, 3, 2) in found
    assert ("random_label_mnist", "adam", 8, None, 2) in found


def test_a_more_special_table_overrides_a_more_general_one():
    asked = read_sweep(
        content(
            profile="smoke",
            settings={"data": "digits", "width": 8, "depth": 1, "lr": 0.5},
            benchmarks={"permuted_mnist": {"width": 16, "depth": 2}},
            methods={"adam": {"depth": 3}},
        )
    )
    (search,) = asked.searches
    settings = as_dict(search.plans[0].settings)
    assert (settings["lr"], settings["width"], settings["depth"]) == (0.5, 16, 3)
    assert settings["tasks"] == 4, "the profile's"
    assert search.changes(0) == {"data": "digits", "lr": 0.5, "width": 16, "depth": 3}


def test_a_file_and_its_contents_mean_the_same(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(
        'report_seeds = "0:2"\n[settings]\ndata = "digits"\n'
        "[benchmarks.permuted_mnist]\n[methods.adam]\nlr = [1e-3, 1e-2]\n"
    )
    assert read_sweep(file) == read_sweep(str(file)) == read_sweep(content())


def test_what_is_not_said_has_defaults():
    asked = read_sweep(content())
    assert asked.profile == "laptop"
    assert asked.metric == "online_accuracy"
    assert (asked.tune_seeds, asked.report_seeds) == ((), (0, 1))
    assert asked.members == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_can_be_read_and_search_all_methods_alike(path):
    asked = read_sweep(path)
    budgets = set(asked.budgets().values())
    assert asked.report_seeds
    if asked.tune_seeds:
        assert len(budgets) == 1
        assert budgets != {1}
    else:  # nothing is chosen: what a list holds is reported value by value
        assert "Nothing is searched" in " ".join(path.read_text().split("\n# "))


def test_there_is_an_example():
    assert EXAMPLES


def test_unequal_budgets_are_allowed_where_the_file_says_so_or_nothing_is_chosen():
    methods = {"adam": {"lr": [0.1, 0.2]}, "fresh": {}}
    stopping = {"tune_seeds": "5:7", "continued": False}
    unequal = content(methods=methods, **stopping, equal_budgets=False)
    assert read_sweep(unequal).budgets() == {"adam": 2, "fresh": 1}
    assert len(read_sweep(content(methods=methods)).searches) == 2


# --- refusals -------------------------------------------------------------------------

REFUSALS = [
    # keys and kinds
    ({"tune_seed": "3:5"}, KeyError, "file 'tune_seed'; did you mean 'tune_seeds'?"),
    ({"profile": 3}, ValueError, "needed a text for profile, found 3; change profile"),
    ({"members": "2"}, ValueError, "needed a whole number for members, found 2"),
    ({"members": True}, ValueError, "needed a whole number for members, found True"),
    ({"members": -1}, ValueError, "needed members >= 0"),
    ({"equal_budgets": 1}, ValueError, "needed true or false for equal_budgets"),
    ({"settings": [1]}, ValueError, "needed a table for settings, found [1]"),
    ({"methods": {"adam": 3}}, ValueError, "needed a table [methods.adam], found 3"),
    ({"methods": ["adam"]}, ValueError, "needed a table for methods, found ['adam']"),
    ({"benchmarks": {}}, ValueError, "needed a table [benchmarks.NAME]"),
    ({"methods": None}, ValueError, "needed a table [methods.NAME], one for each"),
    ({"metric": "final_loss"}, KeyError, "unknown metric to choose settings by"),
    ({"profile": "large"}, ValueError, "needed a profile of smoke, laptop, paper"),
    # names
    (
        {"methods": {"adamoo": {}}},
        KeyError,
        "unknown method 'adamoo'; did you mean 'adamo'?",
    ),
    (
        {"benchmarks": {"permuted_mnst": {}}},
        KeyError,
        "unknown benchmark 'permuted_mnst'; did you mean 'permuted_mnist'?",
    ),
    ({"settings": {"widht": 3}}, KeyError, "did you mean 'width'?"),
    (
        {"methods": {"adam": {"isometry_strength": [1.0]}}},
        KeyError,
        "unknown setting of permuted_mnist with adam 'isometry_strength'",
    ),
    # values
    ({"settings": {"width": "wide"}}, ValueError, "needed a whole number for width"),
    ({"settings": {"width": 2.5}}, ValueError, "needed a whole number for width"),
    ({"methods": {"adam": {"lr": [0.1, -1]}}}, ValueError, "needed lr > 0, found -1.0"),
    ({"methods": {"adam": {"lr": {"low": 1}}}}, ValueError, "a value or a list of val"),
    ({"methods": {"adam": {"lr": [[0.1]]}}}, ValueError, "a value or a list of values"),
    # grids
    (
        {"methods": {"adam": {"lr": []}}},
        ValueError,
        "needed at least one value for lr in [methods.adam], found an empty list",
    ),
    ({"settings": {"width": []}}, ValueError, "for width in [settings], found an empt"),
    (
        {"methods": {"adam": {"lr": [1, 1.0]}}},
        ValueError,
        "needed different values in each list, found permuted_mnist adam",
    ),
    (
        {"settings": {"lr": [0.1, 0.2]}},
        ValueError,
        "needed lr as a list for all methods or in [methods.adam], found both",
    ),
    # seeds
    ({"report_seeds": None}, ValueError, "needed report_seeds in the sweep file"),
    ({"report_seeds": [0, 1]}, ValueError, "needed a text for report_seeds"),
    ({"report_seeds": "3:3"}, ValueError, "different seeds, a:b or a,b,c"),
    (
        {"tune_seeds": "1:4", "continued": False},
        ValueError,
        "needed report_seeds on which nothing was chosen, found 1 in tune_seeds too",
    ),
    (
        {
            "tune_seeds": "5:7",
            "continued": False,
            "methods": {"adam": {"lr": [0.1, 0.2]}, "fresh": {}},
        },
        ValueError,
        "needed the same number of settings for each method, found 2 for adam, 1 for f",
    ),
]


LADDERS = {"lr": [1e-3, 1e-2, 1e-1], "beta2": [0.9, 0.99, 0.999]}
CONTINUED = {
    "tune_seeds": "5:7",
    "search": {"lr": [1e-3, 1e-2]},
    "ladders": LADDERS,
    "methods": {"adam": {"beta2": [0.9, 0.99]}, "fresh": {"beta2": [0.99, 0.999]}},
}
CONTINUED_REFUSALS = [
    (
        {"methods": {"adam": {"beta2": [0.9, 0.99]}, "fresh": {}}},
        ValueError,
        "needed the same number of settings for each method, found 4 for adam, 2 for f",
    ),
    (
        {"ladders": {"lr": LADDERS["lr"]}},
        ValueError,
        "needed a ladder for beta2 of [methods.adam] or [search], on which its search",
    ),
    (
        {"search": {"lr": [1e-3, 3e-3]}},
        ValueError,
        "that are rungs of its ladder, found 0.003; add them to [ladders]",
    ),
    (
        {"search": {}, "methods": {"adam": {"lr": [1e-3, 1e-2]}}},
        ValueError,
        "needed the learning rates that are searched in [search], the same for all, "
        "found a list in [methods.adam]; move it there, or set continued = false",
    ),
    (
        {"methods": {"adam": {"lr": 1e-3}}},
        ValueError,
        "needed lr in [search], for all methods alike, found it in [methods.adam] as",
    ),
    (
        {"settings": {"data": "digits", "lr": [1e-3, 1e-2]}},
        ValueError,
        "needed lr as a list for all methods or in [search], found both; leave one out",
    ),
    ({"control": "adma"}, KeyError, "unknown method of this sweep 'adma'; did you me"),
    ({"control": "l2"}, KeyError, "unknown method of this sweep 'l2'"),
    (
        {"control": "adam", "tune_seeds": None},
        ValueError,
        "needed tune_seeds, on which the control's settings are chosen, found none",
    ),
    ({"control": True}, ValueError, "needed a text for control, found True"),
    ({"continued": "no"}, ValueError, "needed true or false for continued, found no"),
    ({"ladders": [1]}, ValueError, "needed a table for ladders, found [1]"),
    ({"search": 3}, ValueError, "needed a table for search, found 3"),
    (
        {"ladders": {**LADDERS, "lr": [1e-2, 1e-3]}},
        ValueError,
        "needed two or more rising numbers for lr in [ladders], found [0.01, 0.001]",
    ),
    ({"ladders": {**LADDERS, "lr": ["1e-3", "1e-2"]}}, ValueError, "rising numbers"),
    ({"ladders": {**LADDERS, "lr": [1e-3]}}, ValueError, "two or more rising numbers"),
    ({"ladders": {**LADDERS, "lr": [-1, 1e-3, 1e-2]}}, ValueError, "needed lr > 0"),
    (
        {"methods": {"adam": {"isometry_pull": [0.1, 0.2]}}},
        KeyError,
        "unknown setting of permuted_mnist with adam 'isometry_pull'",
    ),
]


@pytest.mark.parametrize(("changes", "error", "message"), CONTINUED_REFUSALS)
def test_a_continued_search_that_cannot_be_is_refused_in_a_line(
    changes, error, message
):
    read_sweep(content(**CONTINUED))
    with pytest.raises(error) as refused:
        read_sweep(content(**{**CONTINUED, **changes}))
    said = str(refused.value.args[0])
    assert message in said
    assert "\n" not in said


def test_the_control_alone_is_chosen_for_the_first_fifth_as_well():
    asked = read_sweep(content(**CONTINUED, control="adam"))
    parts = {search.method: search.parts for search in asked.searches}
    assert parts == {"adam": ("all", "first"), "fresh": ("all",)}
    without = read_sweep(content(**CONTINUED))
    assert {search.parts for search in without.searches} == {("all",)}


def test_ladders_hold_for_searches_that_go_on_and_for_no_other():
    on = {key: tuple(values) for key, values in LADDERS.items()}
    for changes, expected in (
        ({}, on),
        ({"continued": False}, {}),
        ({"tune_seeds": None}, {}),  # nothing is chosen
    ):
        asked = read_sweep(content(**{**CONTINUED, **changes}))
        assert [dict(search.ladders) for search in asked.searches] == [expected] * 2
        assert asked.budgets() == {"adam": 4, "fresh": 4}
    off = {"search": {"lr": [3e-3, 5e-3]}, "continued": False}
    assert read_sweep(content(**{**CONTINUED, **off})).budgets()["adam"] == 4


@pytest.mark.parametrize("path", CAMPAIGN, ids=lambda path: path.name)
def test_streams_of_the_campaign_search_equally_and_have_a_control(path):
    asked = read_sweep(path)
    assert len(set(asked.budgets().values())) == 1
    assert len(asked.report_seeds) >= 8
    assert not set(asked.tune_seeds) & set(asked.report_seeds)
    learning_rates = set()
    for search in asked.searches:
        assert ("first" in search.parts) == (search.method == "adam")
        learning_rates.add(frozenset(values["lr"] for values in search.candidates))
        if "adamo" in search.method:
            pulls = {values["isometry_pull"] for values in search.candidates}
            assert len(pulls) > 1
            assert search.ladders["isometry_pull"][-1] == 0.125
    assert len(learning_rates) == 1


def test_there_is_a_campaign():
    assert len(CAMPAIGN) >= 5


@pytest.mark.parametrize(("changes", "error", "message"), REFUSALS)
def test_every_file_that_cannot_be_is_refused_in_a_line(changes, error, message):
    with pytest.raises(error) as refused:
        read_sweep(content(**changes))
    said = str(refused.value.args[0])
    assert message in said
    assert "\n" not in said


def test_a_byte_order_mark_before_a_file_is_no_part_of_it(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_bytes(b"\xef\xbb\xbf" + b'report_seeds = "0:2"\n')
    assert parsed_file(file) == {"report_seeds": "0:2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"report_seeds = ", "needed a sweep file in TOML at "),
        (b"[settings\n", "needed a sweep file in TOML at "),
        (b"profile = '\xff'", "needed a sweep file in TOML at "),
        (b"", "needed a table [benchmarks.NAME]"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path, text, message):
    file = tmp_path / "sweep.toml"
    file.write_bytes(text)
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        read_sweep(file)
    assert message in str(refused.value)
    with pytest.raises(FileNotFoundError):
        read_sweep(tmp_path / "nowhere.toml")
