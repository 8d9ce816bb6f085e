"""The drawings of chapter 6 show the numbers they are given."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from isometry.core.statistics import Interval
from isometry_book.c6_benchmark import comparison_figures as comparison
from isometry_book.c6_benchmark import figures as draw


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


def texts(labels):
    return [label.get_text() for label in labels]


def test_standings_have_the_best_method_on_top_and_the_ceiling_as_a_line(ax):
    rows = {"fresh": 0.9, "adamo": 0.8, "redo+l2": 0.7, "adam": 0.5}
    table = pd.DataFrame(
        {
            "mean": rows,
            "low": {k: v - 0.1 for k, v in rows.items()},
            "high": {k: v + 0.2 for k, v in rows.items()},
        }
    )
    assert comparison.standings_dots(ax, table, "stream") is ax
    assert texts(ax.get_yticklabels()) == ["Adam", "redo+l2", "AdamO"]
    points = [container.lines[0].get_xdata()[0] for container in ax.containers]
    assert points == [0.5, 0.7, 0.8]
    (bar,) = ax.containers[2].lines[2]
    assert [float(x) for x in bar.get_segments()[0][:, 0]] == pytest.approx([0.7, 1.0])
    vertical = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2]
    assert vertical == [0.5, 0.9]


def test_performance_profiles_are_drawn_against_the_gain(ax):
    rows = [
        (method, x, 1 - x, 0.9 - x, 1.0)
        for method in ("adamo", "l2")
        for x in (0.0, 0.5)
    ]
    columns = ["method", "threshold", "fraction", "fraction_low", "fraction_high"]
    comparison.performance_profile_lines(ax, pd.DataFrame(rows, columns=columns))
    assert texts(ax.get_legend().get_texts()) == ["AdamO", "L2"]
    assert list(ax.lines[0].get_ydata()) == [1.0, 0.5]


def test_the_stream_has_a_line_a_case_over_the_tasks_learned(ax):
    rows = [
        (case, seed, task, "trunk_spread", task + place)
        for place, case in enumerate(draw.STREAMS)
        for seed in range(4)
        for task in (0, 1, 4)
    ]
    frame = pd.DataFrame(rows, columns=["method", "seed", "task", "metric", "value"])
    draw.stream_spread(ax, frame, "trunk_spread", "spread")
    assert [list(line.get_xdata()) for line in ax.lines] == [[0, 1, 4]] * 3
    assert list(ax.lines[2].get_ydata()) == [2, 3, 6]


def test_strengths_are_placed_by_their_pull_and_measured_from_the_best(ax):
    table = pd.DataFrame(
        {
            "method": ["adam", *(f"adamo(isometry_strength={s})" for s in (1.0, 0.1))],
            "mean": [0.9, 0.7, 0.75],
        }
    )
    draw.pull_sensitivity(ax, {"stream": (table, 20.0)}, close=0.02)
    assert list(ax.lines[0].get_xdata()) == pytest.approx([2.0, 20.0])
    assert list(ax.lines[0].get_ydata()) == pytest.approx([0.0, -0.05])


def test_names_are_given_to_methods_that_none_beats_in_time_and_score(ax):
    scores = pd.Series({"adam": 0.5, "adamo": 0.6, "l2": 0.7, "redo": 0.4, "nap": 0.8})
    ratios = pd.Series({"adam": 1.0, "l2": 1.1, "redo": 1.2, "nap": 1.5, "adamo": 2.0})
    comparison.cost_dots(ax, scores, ratios, "stream")
    assert texts(ax.texts) == ["Adam", "L2", "Normalize-and-Project", "AdamO"]
    assert list(ax.lines[0].get_xdata()) == [1.0, 1.1, 1.5]


def test_predictions_stand_in_the_order_of_their_names_from_the_top(ax):
    def interval(estimate):
        return Interval(estimate, estimate - 0.1, estimate + 0.1, 0.95, 8)

    found = {
        "one": {"a": interval(-0.5), "b": interval(0.2)},
        "two": {"b": interval(0.4)},
    }
    comparison.prediction_dots(ax, found, {"a": "first", "b": "second"})
    assert texts(ax.get_yticklabels()) == ["first", "second"]
    assert ax.yaxis_inverted()
    assert list(ax.containers[0].lines[0].get_xdata()) == [-0.5, 0.2]
    (place,) = ax.containers[1].lines[0].get_ydata()
    assert round(place) == 1
    assert texts(ax.get_legend().get_texts()) == ["One", "Two"]
