"""An agent is filmed before, during and after its training."""

import numpy as np
import pytest

from isometry.core.profile import PROFILES
from isometry.rl.film import Film
from isometry_book.c7_games.filming import (
    MAX_FRAMES,
    TAKES,
    _film_plan,
    filmed_learning,
    nearest_to_mean,
)


@pytest.fixture(scope="module")
def learning():
    return filmed_learning("smoke")


def test_films_show_one_agent_whose_critic_learns(learning):
    assert len(learning.films) == len(learning.mean_returns) == 3
    first, *others = learning.films.values()
    for film in others:
        assert (film.values != 0).any()
        assert abs(film.values[0] - first.values[0]) > 1e-3, "the critic has learned"


def film_of(total, *, ended=True):
    return Film(
        game="minatar/breakout",
        boards=np.zeros((2, 10, 10, 4), dtype=np.bool_),
        actions=np.zeros(1, dtype=np.int64),
        rewards=np.array([total], dtype=np.float32),
        values=np.zeros(2, dtype=np.float32),
        terminated=ended,
        truncated=False,
    )


@pytest.mark.parametrize(("mean", "total"), [(0.4, 0), (5.2, 6), (20.0, 9), (7.5, 6)])
def test_shown_is_the_first_of_the_episodes_nearest_to_the_mean(mean, total):
    takes = [film_of(0), film_of(6), film_of(9), film_of(5.3, ended=False)]
    shown = nearest_to_mean(takes, mean)
    assert shown.returns[-1] == total
    assert nearest_to_mean(takes[3:], mean) is takes[3], "cut, but the only one"


def test_returns_are_those_of_all_takes(learning):
    for name, film in learning.films.items():
        assert len(learning.returns[name]) == TAKES
        mean = learning.mean_returns[name]
        nearest = min(abs(total - mean) for total in learning.returns[name])
        assert nearest == abs(film.returns[-1] - mean)


def test_no_film_is_further_from_its_mean_than_a_brick(learning):
    for film, mean in zip(
        learning.films.values(), learning.mean_returns.values(), strict=True
    ):
        assert abs(film.returns[-1] - mean) <= 1


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
