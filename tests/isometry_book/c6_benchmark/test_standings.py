"""Who enters the standings, where each stands, and how all of them are drawn."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from isometry_book.c6_benchmark import comparison_figures as comparison
from isometry_book.c6_benchmark.streams_tables import (
    beside_level,
    bought,
    gained,
    numbers,
    places,
)
from isometry_book.evidence.protocol import finished
from isometry_book.evidence.streams import streams_of

LEVELS = {"adam": 0.5, "adamo": 0.6, "redo": 0.55, "fresh": 0.7}


@pytest.fixture
def stream(together):
    """Return the one stream of some files."""

    def of(*files):
        (found,) = streams_of(*together(*files)).values()
        return found

    return of


def test_a_method_with_too_few_seeds_or_an_open_search_does_not_enter(made, stream):
    files = made.stream({"adam": 0.5, "adamo": 0.6}, ends={"adamo": {"lr": "open"}})
    few = {"online_accuracy": made.curve(0.7, 0, seeds=7)}
    files.append(made.run("redo", few, choice=made.choice()))
    whole = {"online_accuracy": made.curve(0.7, 0, seeds=8)}
    files.append(made.run("l2", whole, choice=made.choice(lr="limit")))
    found = stream(*files)
    assert set(found.runs) == {"adam", "adamo", "redo", "l2"}
    assert set(finished(found).runs) == {"adam", "l2"}
    assert finished(found).control == found.control


def test_a_place_is_among_the_methods_of_the_same_stream(made, stream):
    one = stream(*made.stream(LEVELS))
    two = stream(*made.stream({"adam": 0.4, "redo": 0.3}))
    table = places({"one": one, "two": two}).droplevel("family")
    assert table["one"].to_dict() == {
        "adam": "3 of 3",
        "adamo": "1 of 3",
        "redo": "2 of 3",
    }
    assert table["two"].to_dict() == {"adam": "1 of 2", "adamo": "", "redo": "2 of 2"}


def test_places_are_listed_by_family(made, stream):
    table = places({"one": stream(*made.stream(LEVELS))})
    assert table.index.tolist() == [
        ("optimisers", "adam"),
        ("pulls to isometry", "adamo"),
        ("resets", "redo"),
    ]


def test_equal_levels_share_the_better_place(made, stream):
    found = stream(*made.stream({"adam": 0.5, "redo": 0.5, "l2": 0.4}))
    table = places({"one": found}).droplevel("family")
    assert table["one"].to_dict() == {
        "adam": "1 of 3",
        "redo": "1 of 3",
        "l2": "3 of 3",
    }


def test_methods_are_drawn_under_their_family_the_best_on_top(made, stream):
    levels = {**LEVELS, "cbp": 0.65, "adam, first fifth": 0.45}
    files = made.stream({n: v for n, v in levels.items() if "," not in n})
    table = numbers(stream(*files), "level")
    table.loc["adam, first fifth"] = table.loc["adam"] - 0.05
    labels = {"level": "online accuracy", "slope": "change"}
    found = {"a_stream": {"level": table, "slope": table - 0.6}}
    fig = comparison.streams_by_family(found, labels)
    left, right = fig.axes
    texts = [label.get_text() for label in reversed(left.get_yticklabels())]
    assert texts == [
        *("optimisers", "fresh network", "Adam", "Adam, first fifth"),
        *("pulls to isometry", "AdamO", "resets", "continual backprop", "ReDo"),
    ]
    style = {one.get_text(): one for one in left.get_yticklabels()}
    assert style["AdamO"].get_fontweight() == "bold"
    assert style["resets"].get_fontstyle() == "italic"
    points = [round(c.lines[0].get_xdata()[0], 2) for c in left.containers]
    assert points == [0.55, 0.65, 0.6, 0.45, 0.5, 0.7]  # from the lowest row up
    lines = [
        round(line.get_xdata()[0], 2)
        for line in right.lines
        if len(line.get_xdata()) == 2 and line.get_linestyle() != "None"
    ]
    assert sorted(lines) == [-0.1, 0.0, 0.1]  # Adam, zero, fresh networks
    titles = {left.get_title(loc=place) for place in ("left", "center")}
    assert titles == {"A stream", ""}  # where the book's style puts it, or not
    assert [one.get_xlabel() for one in fig.axes] == list(labels.values())
    plt.close("all")


def test_a_stream_is_drawn_as_high_as_it_has_rows():
    def table(*methods):
        rows = dict.fromkeys(methods, 0.5)
        return {"level": pd.DataFrame({"mean": rows, "low": rows, "high": rows})}

    few, many = ["adam", "adamo"], ["adam", "adamo", "redo", "cbp", "snr", "l2"]
    fig = comparison.streams_by_family(
        {"few": table(*few), "many": table(*many)}, {"level": "level"}
    )
    heights = [ax.get_position().height for ax in fig.axes]
    assert heights[1] / heights[0] == pytest.approx((6 + 4) / (2 + 2), rel=0.01)
    plt.close("all")


def test_what_is_bought_is_the_gain_over_the_control_of_methods_on_all_streams(
    made, stream
):
    one = stream(*made.stream(LEVELS))
    two = stream(*made.stream({"adam": 0.4, "adamo": 0.45, "l2": 0.7}))
    gain = gained(one)["mean"]
    assert gain.to_dict() == pytest.approx({"adamo": 0.1, "redo": 0.05})
    costs = pd.Series({"adamo": 2.0, "redo": 1.0, "l2": 1.1})
    table = bought({"one": one, "two": two}, {"step": costs})
    assert list(table.index) == ["adamo"]
    assert table.loc["adamo", "step"] == 2.0
    assert table.filter(like="gains").loc["adamo"].str[:6].tolist() == [
        "+0.100",
        "+0.050",
    ]


def test_levels_stand_beside_diagnostics(made, stream):
    both = {"online_accuracy": made.curve(0.5, 0, 8)}
    both["gram_deviation"] = made.curve(2, 0, 8)
    both["dormant_fraction"] = made.curve(0.1, 0, 8)
    files = made.stream({"adam": 0.4, "adamo": 0.3})
    files.append(made.run("redo", both, choice=made.choice()))
    table = beside_level(stream(*files), ["adam", "redo"])
    assert table.index.tolist() == ["redo", "adam"]
    near = pytest.approx([2, 0.1])
    assert table.loc["redo", ["Gram deviation", "dormant"]].tolist() == near
    assert table.loc["adam", ["Gram deviation", "dormant"]].isna().all()
