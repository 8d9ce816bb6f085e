"""A film is an episode: played again with its actions, it shows the same boards."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import derived_seed
from isometry.lab.plans import plan
from isometry.rl import make_vec
from isometry.rl.agent import network_of
from isometry.rl.continual_settings import channels_of
from isometry.rl.film import Film, film
from isometry.rl.games.octax_roms import INSTALL, _rom_path
from isometry.rl.games.pictures import CHANNEL_COLOURS, coloured_channels, first_channel
from isometry.rl.games.registry import GAMES

needs_roms = pytest.mark.skipif(
    _rom_path("Filter.ch8") is None, reason=f"needs the ROMs of octax: {INSTALL}"
)


def agent(suite="minatar", **changes):
    changes = {"games": "breakout" if suite == "minatar" else "filter", **changes}
    planned = plan(f"continual_{suite}", "adam", changes, "smoke")
    network = network_of(
        planned.benchmark, planned.method, planned.method_settings, planned.settings
    )
    return network, planned.benchmark, planned.settings


def filmed(suite="minatar", game="breakout", seed=0, stack=(0,), more=None, **changes):
    network, benchmark, settings = agent(suite, **changes)
    parameters = network.stacked(list(stack))
    return film(network, parameters, benchmark, settings, game, seed, **(more or {}))


@pytest.mark.parametrize(
    ("suite", "game"),
    [
        ("minatar", "breakout"),
        ("minatar", "seaquest"),
        pytest.param("octax", "filter", marks=needs_roms),
    ],
)
def test_playing_the_actions_again_shows_the_same_boards(suite, game):
    found = filmed(suite, game)
    assert (found.boards.dtype, found.boards.shape[0]) == (np.bool_, found.steps + 1)
    own = {"max_steps": 40}  # of the profile
    seed = derived_seed(0, "games", 0, "film")
    envs = make_vec(f"{suite}/{game}", 1, seed=seed, **own)
    boards, _ = envs.reset()
    np.testing.assert_array_equal(found.boards[0], boards[0])
    for step, action in enumerate(found.actions):
        boards, rewards, terminated, truncated, infos = envs.step(action[None])
        last = step == found.steps - 1
        assert rewards[0] == found.rewards[step]
        assert terminated[0] == (last and found.terminated)
        assert truncated[0] == (last and found.truncated)
        shown = infos["final_obs"] if last else boards
        np.testing.assert_array_equal(found.boards[step + 1], shown[0])
    assert infos["episodic_return"][0] == found.returns[-1] == found.rewards.sum()


def test_the_return_so_far_is_the_sum_of_the_rewards_before():
    found = filmed(seed=1)
    assert found.ended
    assert found.returns[0] == 0
    np.testing.assert_array_equal(np.diff(found.returns), found.rewards)


def test_values_are_those_of_the_critic_with_the_channels_where_they_belong():
    network, _, settings = agent()
    found = filmed(seed=5)
    whole = np.zeros((found.steps + 1, *network.observation), dtype=np.bool_)
    whole[..., channels_of(settings, 5, 0, "breakout")[:4]] = found.boards
    inputs = torch.from_numpy(whole).flatten(1).unsqueeze(0)
    expected = network.values(network.stacked([0]), inputs)[0]
    assert_close(torch.from_numpy(found.values), expected, rtol=0, atol=1e-6)


def test_the_same_seed_is_the_same_film_and_other_draws_do_not_matter():
    torch.manual_seed(0)
    first = filmed()
    torch.rand(7), np.random.default_rng(0).random(7)
    again = filmed(stack=(3, 0), more={"member": 1})
    np.testing.assert_array_equal(first.boards, again.boards)
    np.testing.assert_array_equal(first.actions, again.actions)
    np.testing.assert_allclose(first.values, again.values, atol=1e-6)
    other = filmed(seed=2)
    assert not np.array_equal(first.actions, other.actions)


def test_a_film_that_is_cut_is_the_beginning_of_the_whole_one():
    whole, cut = filmed(), filmed(more={"max_frames": 4})
    assert (cut.steps, cut.ended) == (3, False)
    np.testing.assert_array_equal(cut.boards, whole.boards[:4])
    np.testing.assert_array_equal(cut.actions, whole.actions[:3])


def toy(rewards, values, terminated):
    steps = len(rewards)
    return Film(
        game="minatar/breakout",
        boards=np.zeros((steps + 1, 10, 10, 4), dtype=np.bool_),
        actions=np.zeros(steps, dtype=np.int64),
        rewards=np.array(rewards, dtype=np.float32),
        values=np.array(values, dtype=np.float32),
        terminated=terminated,
        truncated=False,
    )


def test_what_followed_is_the_discounted_sum_and_a_cut_film_counts_on():
    over = toy([1, 0, 2], [9, 9, 9, 9], True)
    np.testing.assert_allclose(over.following(0.5), [1.5, 1, 2, 0])
    cut = toy([1, 0, 2], [9, 9, 9, 8], False)
    np.testing.assert_allclose(cut.following(0.5), [2.5, 3, 6, 8])
    np.testing.assert_allclose(
        replace(cut, truncated=True).following(1.0), [3, 2, 2, 0]
    )


@pytest.mark.parametrize("name", GAMES.names())
def test_every_channel_of_a_game_has_a_colour_of_its_own(name):
    channels = GAMES.get(name).channels
    colours = [CHANNEL_COLOURS[channel] for channel in channels]
    assert len(set(colours)) == len(colours)
    assert "#000000" not in colours


def test_a_cell_shows_the_first_channel_that_is_on():
    cells = np.zeros((1, 2, 2, 4), dtype=np.bool_)
    cells[0, 0, 1, 1:3] = cells[0, 1, 0, 3] = True
    assert first_channel(cells).tolist() == [[[4, 1], [3, 4]]]
    drawn = coloured_channels(cells, GAMES.get("minatar/breakout").channels)
    assert drawn[0, ::8, ::8].tolist() == [
        [[0, 0, 0], [255, 255, 255]],
        [[230, 159, 0], [0, 0, 0]],
    ]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: filmed(game="brekout"), KeyError, "did you mean 'minatar/breakout'"),
        (lambda: filmed(more={"member": 1}), IndexError, "0 to 0, found 1"),
        (lambda: filmed(more={"member": -1}), IndexError, "found -1"),
        (lambda: filmed(more={"max_frames": 1}), ValueError, "max_frames >= 2"),
        (
            lambda: filmed(
                game="seaquest", pad_channels=4, permute_channels=False, max_steps=5
            ),
            ValueError,
            "boards that the network reads",
        ),
        (
            lambda: film(
                agent()[0],
                agent()[0].stacked([0]),
                *agent(num_actions=4)[1:],
                "breakout",
                0,
            ),
            ValueError,
            "num_actions=6",
        ),
    ],
)
def test_what_cannot_be_filmed_is_refused(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
