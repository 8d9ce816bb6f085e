"""The games in gymnasium's list, one at a time and many."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from isometry.rl import make_vec
from isometry.rl.games.registry import GAMES
from isometry.rl.gymnasium_entries import GYMNASIUM_NAMES
from isometry.rl.single_environment import GameEnv

BREAKOUT = "MinAtar/Breakout-isometry"
MINATAR = [shown for shown in GYMNASIUM_NAMES.values() if shown.startswith("MinAtar")]


def test_every_game_is_in_gymnasiums_list_and_no_other():
    assert sorted(GYMNASIUM_NAMES) == sorted(GAMES.names())
    assert set(GYMNASIUM_NAMES.values()) <= set(gymnasium.registry)
    assert GYMNASIUM_NAMES["minatar/space_invaders"] == "MinAtar/SpaceInvaders-isometry"
    assert GYMNASIUM_NAMES["octax/space_flight10"] == "Octax/SpaceFlight10-isometry"


AFTER = "import gymnasium, isometry.rl as rl"
BEFORE = "import isometry.rl as rl, sys; assert 'gymnasium' not in sys.modules"
NAMED = f"import gymnasium as g; g.make('isometry.rl.gymnasium_entries:{BREAKOUT}')"


@pytest.mark.parametrize(
    ("imports", "listed"),
    [
        (AFTER, True),
        (f"{BEFORE}; import gymnasium", False),
        (f"{BEFORE}; rl.make_vec('minatar/breakout', 1, seed=0)", True),
        (NAMED, True),
    ],
)
def test_the_list_is_filled_once_gymnasium_is_there(imports, listed):
    lines = f"{imports}\nimport gymnasium\nassert ({BREAKOUT!r} in gymnasium.registry)"
    subprocess.run([sys.executable, "-c", f"{lines} is {listed}"], check=True)


@pytest.mark.parametrize("shown", MINATAR)
def test_gymnasiums_checker_finds_nothing_in_one_game(shown):
    check_env(gymnasium.make(shown).unwrapped)


def test_one_game_plays_as_the_only_one_of_its_seed():
    settings = {"sticky": 0.2, "channels_first": True, "dtype": "float32"}
    one = gymnasium.make(BREAKOUT, render_mode="rgb_array", **settings)
    many = make_vec("minatar/breakout", 1, seed=11, **settings)
    board, infos = one.reset(seed=11)
    assert infos == {}
    np.testing.assert_array_equal(board, many.reset()[0][0])
    assert one.unwrapped.np_random_seed == 11
    assert one.render().shape == (80, 80, 3)
    ends = 0
    for action in np.random.default_rng(0).integers(3, size=100):
        board, reward, terminated, truncated, infos = one.step(action)
        boards, rewards, over, _, theirs = many.step([action])
        assert (reward, terminated, truncated) == (rewards[0], over[0], False)
        assert set(infos) == (
            {"episodic_return", "episode_length"} if over[0] else set()
        )
        if terminated:
            np.testing.assert_array_equal(board, theirs["final_obs"][0])
            assert infos["episodic_return"] == theirs["episodic_return"][0]
            board, _ = one.reset()
            ends += 1
        np.testing.assert_array_equal(board, boards[0])
    assert ends > 3


def test_many_games_are_made_by_gymnasium_as_it_makes_others():
    envs = gymnasium.make_vec(BREAKOUT, 3, seed=2, sticky=0.1)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert envs.spec.id == BREAKOUT
    np.testing.assert_array_equal(
        envs.reset()[0], make_vec("minatar/breakout", 3, seed=2).reset()[0]
    )
    apart = gymnasium.make_vec(BREAKOUT, 3, vectorization_mode="sync")
    seeds = [5, 6, 7]  # gymnasium's own games side by side count from the seed
    np.testing.assert_array_equal(apart.reset(seed=5)[0], envs.reset(seed=seeds)[0])


def test_side_by_side_and_one_by_one_are_the_same_games():
    envs = gymnasium.make_vec(BREAKOUT, 4)
    apart = gymnasium.make_vec(BREAKOUT, 4, vectorization_mode="sync")
    one, other = envs.reset(seed=[5, 6, 7, 8])[0], apart.reset(seed=5)[0]
    np.testing.assert_array_equal(one, other)
    ended = 0
    for actions in np.random.default_rng(0).integers(3, size=(200, 4)):
        ours, theirs = envs.step(actions), apart.step(actions)
        for left, right in zip(ours[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(left, right)
        ended += ours[2].sum()
    assert ended > 20


def test_the_recipe_of_games_makes_them_again():
    envs = make_vec("minatar/freeway", 3, seed=4, sticky=0.1, dtype="uint8")
    again = gymnasium.make_vec(envs.spec)
    assert again.metadata == envs.metadata
    np.testing.assert_array_equal(envs.reset()[0], again.reset()[0])
    assert again.settings == envs.settings
    assert again.single_observation_space == envs.single_observation_space


def test_games_without_a_seed_differ():
    boards = [GameEnv("minatar/freeway").reset()[0].tobytes() for _ in range(5)]
    many = [gymnasium.make_vec("MinAtar/Freeway-isometry", 4) for _ in range(2)]
    assert len(set(boards)) > 1
    assert (many[0].reset()[0] != many[1].reset()[0]).any()


def played():
    env = GameEnv("minatar/breakout", max_steps=1)
    env.reset(seed=0)
    env.step(0)
    return env


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: GameEnv("minatar/freeway").step(0), RuntimeError, "is not reset"),
        (lambda: played().step(0), RuntimeError, "has ended; call reset"),
        (lambda: played().reset(options={"x": 1}), ValueError, "no options"),
        (lambda: GameEnv("minatar/freewy"), KeyError, "minatar/freeway"),
        (lambda: GameEnv("minatar/freeway", lives=3), ValueError, "found lives"),
    ],
)
def test_what_one_game_cannot_do_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
