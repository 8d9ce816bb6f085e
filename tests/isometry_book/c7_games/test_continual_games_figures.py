"""The drawings of games in turn show the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from isometry_book.c7_games import figures as draw
from isometry_book.style import METHOD_STYLES


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


def texts(labels):
    return [label.get_text() for label in labels]


def curves(methods=("adam",)):
    rows = [
        (method, game, cycle, steps, cycle + steps / 1000)
        for method in methods
        for game in ("breakout", "space_invaders")
        for cycle in range(3)
        for steps in (0, 1000)
    ]
    columns = ["method", "game", "cycle", "env_steps", "episodic_return"]
    return pd.DataFrame(rows, columns=columns)


def intervals(keys, means):
    table = pd.DataFrame(keys)
    return table.assign(mean=means, low=np.subtract(means, 0.1), high=9.0)


def test_the_first_visit_stands_beside_the_late_ones(ax):
    assert draw.learning_curves(ax, curves(), "adam", "breakout") is ax
    assert [list(line.get_ydata()) for line in ax.lines] == [[0, 1], [2, 3]]
    assert [line.get_linestyle() for line in ax.lines] == [":", "-"]
    names = [line.get_label() for line in ax.lines]
    assert names == ["first visit", "last quarter of the visits"]


def test_late_visits_are_a_quarter_of_them(ax):
    late = pd.concat(
        curves().assign(cycle=lambda t, n=n: t["cycle"] + n) for n in (0, 3, 6)
    )
    late["episodic_return"] = late["cycle"] * 1.0
    draw.learning_curves(ax, late, "adam", "breakout")
    assert list(ax.lines[1].get_ydata()) == [7.5, 7.5]  # of nine cycles the last two


def test_panels_have_a_method_each_and_name_the_game():
    _, axes = plt.subplots(1, 2)
    both = curves(("adam", "fresh"))
    draw.learning_panels(axes, both, ("fresh", "adam"), "space_invaders")
    titles = [ax.get_title() or ax.get_title(loc="left") for ax in axes]
    assert titles == ["fresh network", "Adam"]
    assert axes[0].get_ylabel() == "return, Space Invaders"
    assert [len(ax.lines) for ax in axes] == [2, 2]
    plt.close("all")


def test_the_main_methods_are_drawn_with_bands(ax):
    keys = [{"method": m, "cycle": c} for m in ("adam", "nap") for c in (0, 1)]
    draw.score_over_cycles(ax, intervals(keys, [1.0, 0.5, 0.8, 0.7]))
    assert len(ax.collections) == 1
    (curve,) = [line for line in ax.lines if len(line.get_xdata()) == 2][2:]
    assert list(curve.get_ydata()) == [1.0, 0.5]
    assert list(curve.get_xdata()) == [1, 2]
    assert {line.get_ydata()[0] for line in ax.lines[:2]} == {0, 1}
    assert texts(ax.texts) == ["random policy"]
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(0.4)


def test_one_legend_names_each_method_once(ax):
    keys = [{"method": m, "cycle": c} for m in ("adam", "adamo") for c in (0, 1)]
    table = intervals(keys, [1.0, 0.5, 0.8, 0.7])
    other = ax.figure.add_subplot()
    for one in (ax, other):
        draw.score_over_cycles(one, table)
    draw.legend_above([ax, other])
    (legend,) = ax.figure.legends
    assert texts(legend.get_texts()) == ["Adam", "AdamO"]


def test_dots_stand_in_the_order_of_the_table_and_changed_runs_are_hollow(ax):
    means = {"adamo": 0.9, "fresh": 1.0, "adam": 0.5, "adam(hidden_bias=False)": 0.4}
    table = intervals({}, list(means.values()))
    table.index = pd.Index(means)
    draw.score_dots(ax, table, "all games")
    assert texts(ax.get_yticklabels()) == ["no biases", "Adam", "AdamO"]
    points = [bars.lines[0] for bars in ax.containers]
    assert [point.get_xdata()[0] for point in points] == [0.4, 0.5, 0.9]
    assert [p.get_fillstyle() for p in points] == ["none", "full", "full"]
    assert points[0].get_color() == METHOD_STYLES["adam"].color
    vertical = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2]
    assert vertical == [0.5, 1.0]


def test_panels_share_the_rows_of_the_first_and_its_names(ax):
    first = intervals({}, [0.9, 0.5])
    first.index = pd.Index(["adamo", "adam"])
    second = intervals({}, [0.7, 0.6])
    second.index = pd.Index(["adam", "adamo"])
    _, axes = plt.subplots(1, 2)
    draw.score_panels(axes, {"all games": first, "Breakout": second})
    assert texts(axes[0].get_yticklabels()) == ["Adam", "AdamO"]
    points = [bars.lines[0].get_xdata()[0] for bars in axes[1].containers]
    assert points == [0.7, 0.6]
    assert not axes[1].yaxis.get_tick_params()["labelleft"]


def test_actor_and_critic_drift_in_a_panel_each():
    keys = [
        {"part": part, "diagnostic": name, "method": method, "cycle": cycle}
        for part in ("actor", "critic")
        for name in ("gram_deviation", "ntk_trace")
        for method in ("adam", "nap")
        for cycle in (0, 1)
    ]
    _, axes = plt.subplots(1, 2)
    draw.drift_panels(axes, intervals(keys, np.arange(len(keys)) + 1.0))
    drawn = [[list(line.get_ydata()) for line in ax.lines] for ax in axes]
    assert drawn == [[[1, 2]], [[9, 10]]]
    assert [ax.get_yscale() for ax in axes] == ["log", "log"]
    plt.close("all")


def test_depths_are_doublings_and_methods_stand_beside_each_other(ax):
    keys = [{"method": m, "depth": d} for m in ("adam", "adamo") for d in (4, 16)]
    draw.return_over_depth(ax, intervals(keys, [1.0, 2.0, 3.0, 4.0]), "breakout")
    assert texts(ax.get_xticklabels()) == ["4", "16"]
    first, second = (bars.lines[0] for bars in ax.containers)
    assert list(second.get_ydata()) == [3.0, 4.0]
    assert first.get_xdata()[0] < 4 < second.get_xdata()[0]
    assert ax.get_ylabel() == "return, Breakout"
