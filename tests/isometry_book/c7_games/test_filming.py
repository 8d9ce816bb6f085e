"""An agent is filmed before, during and after its training."""

import numpy as np
import pytest

from isometry.core.profile import PROFILES
from isometry_book.c7_games.filming import (
    MAX_FRAMES,
    _film_plan,
    filmed_learning,
)


@pytest.fixture(scope="module")
def learning():
    return filmed_learning("smoke")


def test_films_of_one_agent_start_from_one_board(learning):
    assert len(learning.films) == len(learning.mean_returns) == 3
    first, *others = learning.films.values()
    for film in others:
        np.testing.assert_array_equal(film.boards[0], first.boards[0])
        assert (film.values != 0).any()
        assert abs(film.values[0] - first.values[0]) > 1e-3, "the critic has learned"


def test_training_again_is_the_same_films(learning):
    again = filmed_learning("smoke")
    assert list(again.films) == list(learning.films)
    for name, film in learning.films.items():
        np.testing.assert_array_equal(film.boards, again.films[name].boards)
        np.testing.assert_array_equal(film.values, again.films[name].values)
    assert again.mean_returns == learning.mean_returns


@pytest.mark.parametrize("profile", PROFILES)
def test_a_third_is_whole_updates_so_that_labels_say_what_was_done(profile):
    settings = _film_plan(profile).settings
    assert settings.env_steps % settings.update_steps == 0
    assert not settings.permute_channels
    assert not settings.reset_optimizer


@pytest.mark.slow
def test_the_trained_agent_plays_longer_and_returns_more():
    learning = filmed_learning("laptop")
    untrained, _, trained = learning.mean_returns.values()
    assert untrained < 1
    assert trained > 5  # see tests/rl/test_learning.py
    assert all(len(film.boards) <= MAX_FRAMES for film in learning.films.values())
