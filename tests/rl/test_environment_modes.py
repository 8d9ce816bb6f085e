"""gymnasium's other modes, masks, lists of seeds, types, and its own wrappers."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers

from isometry.rl import make_vec
from isometry.rl.games.registry import GAMES

MINATAR = [name for name in GAMES.names() if name.startswith("minatar")]
COUNT = 40


def actions_of(steps, last, seed=0):
    return np.random.default_rng(seed).integers(last, size=(steps, COUNT))


def episodes(name, mode, steps=120):
    """Play each game with actions of its own; return what each saw, in its order.

    For each game a list of (observation, action, reward, terminated, truncated), from
    which the steps that only start a game anew are left out.
    """
    envs = make_vec(name, COUNT, seed=0, autoreset_mode=mode, sticky=0.1, max_steps=37)
    boards, _ = envs.reset()
    tape = actions_of(steps, envs.single_action_space.n)
    at, seen, returns = np.zeros(COUNT, int), [[] for _ in range(COUNT)], []
    rows, waiting = np.arange(COUNT), np.zeros(COUNT, bool)
    for _ in range(steps):
        actions = tape[at, rows]
        after, rewards, terminated, truncated, infos = envs.step(actions)
        done = terminated | truncated
        for i in np.flatnonzero(~waiting):
            seen[i].append((boards[i].copy(), actions[i], rewards[i], *map(
                bool, (terminated[i], truncated[i]))))  # fmt: skip
            last = infos["final_obs"][i] if done[i] and mode == "same_step" else None
            if done[i]:
                seen[i].append(after[i] if last is None else last)
                returns.append((i, infos["episodic_return"][i]))
        assert not rewards[waiting].any()
        assert not done[waiting].any()
        at[~waiting] += 1
        waiting = done if mode == "next_step" else waiting
        if mode == "disabled" and done.any():
            ours = after.copy()
            after, _ = envs.reset(options={"reset_mask": done})
            np.testing.assert_array_equal(after[~done], ours[~done])
        boards = after
    return seen, sorted(returns, key=lambda pair: pair[0])


@pytest.mark.parametrize("name", MINATAR)
@pytest.mark.parametrize("mode", ["next_step", "disabled"])
def test_a_game_plays_the_same_whenever_ended_ones_start_anew(name, mode):
    (usual, _), (other, returns) = episodes(name, "same_step"), episodes(name, mode)
    ends = 0
    for left, right in zip(usual, other, strict=True):
        assert len(right) > 60
        for one, two in zip(left, right, strict=False):
            if isinstance(one, tuple):
                np.testing.assert_array_equal(one[0], two[0])
                assert one[1:] == two[1:]
            else:
                np.testing.assert_array_equal(one, two)  # the last of an episode
                ends += 1
    assert ends >= COUNT
    for number, moments in enumerate(other):  # returns are sums of rewards
        sums, total = [], 0.0
        for moment in moments:
            if isinstance(moment, tuple):
                total += moment[2]
            else:
                sums.append(total)
                total = 0.0
        assert sums == [value for i, value in returns if i == number]


def test_an_ended_game_is_not_stepped_where_nothing_starts_it():
    envs = make_vec(
        "minatar/breakout", 2, seed=0, max_steps=2, autoreset_mode="DISABLED"
    )
    envs.reset()
    for _ in range(2):
        *_, truncated, infos = envs.step([0, 0])
    assert truncated.all()
    assert "final_obs" not in infos
    with pytest.raises(RuntimeError, match=r"found games \[0, 1\] that have ended"):
        envs.step([0, 0])
    envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(RuntimeError, match=r"found games \[1\] that have ended"):
        envs.step([0, 0])


@pytest.mark.parametrize("mode", ["next_step", "disabled"])
def test_gymnasiums_wrappers_of_observations_work(mode):
    def made():
        return make_vec("minatar/breakout", 8, seed=0, autoreset_mode=mode)

    boards, _ = made().reset()
    flat, _ = wrappers.FlattenObservation(made()).reset()
    np.testing.assert_array_equal(flat, boards.reshape(8, -1))
    numbers, _ = wrappers.DtypeObservation(made(), np.float32).reset()
    np.testing.assert_array_equal(numbers, boards.astype(np.float32))
    shaped, _ = wrappers.ReshapeObservation(made(), (400,)).reset()
    np.testing.assert_array_equal(shaped, boards.reshape(8, 400))
    floats = make_vec("minatar/breakout", 8, seed=0, autoreset_mode=mode, dtype="f4")
    scaled = wrappers.RescaleObservation(floats, np.float32(-1), np.float32(1))
    np.testing.assert_array_equal(scaled.reset()[0], 2.0 * boards - 1)
    if mode == "next_step":  # gymnasium has it for no other
        normal, _ = wrappers.NormalizeObservation(floats).reset(seed=0)
        spread = boards.std(0)
        right = (boards - boards.mean(0)) / np.where(spread, spread, 1)
        varies = np.broadcast_to(spread > 0, right.shape)
        np.testing.assert_allclose(normal[varies], right[varies], atol=1e-3)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_gymnasiums_statistics_agree_in_each_mode(mode):
    envs = make_vec("minatar/breakout", 32, seed=0, autoreset_mode=mode)
    assert envs.metadata["autoreset_mode"] is envs.autoreset_mode is mode
    wrapped = wrappers.RecordEpisodeStatistics(envs)
    wrapped.reset()
    seen = 0
    for actions in np.random.default_rng(0).integers(3, size=(60, 32)):
        *_, terminated, _, infos = wrapped.step(actions)
        if "episode" in infos:
            ended = infos["_episodic_return"]
            seen += ended.sum()
            theirs = infos["episode"]["r"][ended], infos["episode"]["l"][ended]
            np.testing.assert_array_equal(theirs[0], infos["episodic_return"][ended])
            np.testing.assert_array_equal(theirs[1], infos["episode_length"][ended])
        if mode is AutoresetMode.DISABLED and terminated.any():
            wrapped.reset(options={"reset_mask": terminated})
    assert seen > 32


def test_a_list_of_seeds_plays_each_game_as_the_only_one_of_its_seed():
    envs = make_vec("minatar/freeway", 3, seed=0, sticky=0.3)
    alone = [make_vec("minatar/freeway", 1, seed=s, sticky=0.3) for s in (7, 5, 7)]
    boards, _ = envs.reset(seed=[7, 5, 7])
    for board, one in zip(boards, alone, strict=True):
        np.testing.assert_array_equal(board, one.reset()[0][0])
    for actions in np.random.default_rng(0).integers(3, size=(80, 3)):
        boards = envs.step(actions)[0]
        for board, one, action in zip(boards, alone, actions, strict=True):
            np.testing.assert_array_equal(board, one.step([action])[0][0])


def test_a_mask_with_a_seed_starts_these_games_and_leaves_the_others():
    envs, twin = (make_vec("minatar/freeway", 3, seed=0) for _ in range(2))
    first, _ = envs.reset()
    twin.reset()
    for _ in range(20):
        before = envs.step([1, 1, 1])[0]
        twin.step([1, 1, 1])
    mask = np.array([False, True, False])
    boards, infos = envs.reset(seed=0, options={"reset_mask": mask})
    assert infos == {}
    np.testing.assert_array_equal(boards[1], first[1])
    np.testing.assert_array_equal(boards[~mask], before[~mask])
    for _ in range(20):
        ours, theirs = envs.step([2, 2, 2])[0], twin.step([2, 2, 2])[0]
        np.testing.assert_array_equal(ours[~mask], theirs[~mask])


@pytest.mark.parametrize("dtype", [np.uint8, "float32", np.int64])
@pytest.mark.parametrize("name", MINATAR)
def test_channels_may_stand_first_and_be_numbers(name, dtype):
    usual = make_vec(name, 20, seed=0)
    envs = make_vec(name, 20, seed=0, dtype=dtype, channels_first=True)
    assert envs.single_observation_space.dtype == np.dtype(dtype)
    one, other = usual.reset()[0], envs.reset()[0]
    for actions in np.random.default_rng(0).integers(3, size=(60, 20)):
        assert other in envs.observation_space
        assert other.flags.c_contiguous
        np.testing.assert_array_equal(one.transpose(0, 3, 1, 2), other)
        one, *_, left = usual.step(actions)
        other, *_, right = envs.step(actions)
        if left:
            final = left["final_obs"].transpose(0, 3, 1, 2)
            np.testing.assert_array_equal(final, right["final_obs"])


def test_attributes_come_once_for_each_game():
    envs = make_vec("minatar/breakout", 2, seed=3, sticky=0.1, render_mode="rgb_array")
    assert envs.np_random_seed == 3
    envs.reset(seed=5)
    assert envs.np_random_seed == 5
    assert envs.get_attr("sticky") == (0.1, 0.1)
    assert envs.get_attr("action_space") == (gymnasium.spaces.Discrete(3),) * 2
    assert envs.call("observation_space")[0].shape == (10, 10, 4)
    pictures = envs.call("render")
    assert len(pictures) == 2
    assert pictures[0].shape == (80, 80, 3)
    with pytest.raises(AttributeError, match="lives"):
        envs.get_attr("lives")


def started(**settings):
    envs = make_vec("minatar/freeway", 2, seed=0, **settings)
    envs.reset()
    return envs


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: started(autoreset_mode="later"), ValueError, "found later; choose"),
        (lambda: started(dtype="colour"), TypeError, "a numpy dtype, found colour"),
        (lambda: started(dtype="U3"), ValueError, "bool, integers or floats"),
        (lambda: started().reset(seed=[1]), ValueError, "for each game, 2, found 1"),
        (lambda: started().reset(seed=[1, 0.5]), TypeError, "whole number for seed"),
        (
            lambda: started().reset(options={"reset_mask": np.zeros(2, bool)}),
            ValueError,
            "a game to reset",
        ),
        (
            lambda: started().reset(options={"reset_mask": [1, 0]}),
            ValueError,
            r"reset_mask bool \(2,\), found int64 \(2,\)",
        ),
        (
            lambda: make_vec("minatar/freeway", 2, seed=0).reset(
                options={"reset_mask": np.ones(2, bool)}
            ),
            RuntimeError,
            "a reset of all games first",
        ),
    ],
)
def test_what_no_mode_or_mask_is_is_refused(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
