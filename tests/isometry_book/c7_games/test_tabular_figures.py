"""The drawings of chapter 7 show the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from isometry.rl.tabular.gridworld import gridworld, landmarks
from isometry.rl.tabular.improvement import improve, state_shift
from isometry_book.c7_games import tabular_figures as drawing

WORLD = gridworld()
IMPROVEMENT = improve(WORLD.mdp, 12)


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


def test_map_shows_the_states_and_only_them(ax):
    states = IMPROVEMENT.states[0]
    assert drawing.draw_map(ax, WORLD, states, 0.1, "here") is ax
    shown = np.ma.filled(ax.images[0].get_array(), 0)
    assert shown.shape == WORLD.shape
    assert np.nansum(shown) == pytest.approx(1)
    assert sorted(text.get_text() for text in ax.texts) == ["B", "S", "a"]


def test_values_are_one_curve_a_place(ax):
    places = landmarks(WORLD)
    drawing.draw_values(ax, IMPROVEMENT, places)
    assert [line.get_label() for line in ax.lines] == list(places)
    np.testing.assert_array_equal(
        ax.lines[0].get_ydata(), IMPROVEMENT.values[:, places["start"]]
    )


def test_changes_start_where_two_policies_can_be_compared(ax):
    drawing.draw_changes(ax, IMPROVEMENT, lag=5)
    assert all(line.get_xdata()[0] == 5 for line in ax.lines)
    assert all(len(line.get_xdata()) == 8 for line in ax.lines)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), state_shift(IMPROVEMENT, 5))
    assert len({line.get_linestyle() for line in ax.lines}) in (1, 3)
