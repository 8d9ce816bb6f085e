"""What every game of both suites has in common: gymnasium's checker, and options."""

import copy
import pickle
import subprocess
import sys
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from isometry.rl import make_vec
from isometry.rl.games import minatar_asterix, minatar_seaquest
from isometry.rl.games import minatar_space_invaders as minatar_invaders
from isometry.rl.games.octax_roms import INSTALL, _rom_path
from isometry.rl.games.registry import GAMES

MINATAR = [name for name in GAMES.names() if name.startswith("minatar")]
needs_roms = pytest.mark.skipif(
    _rom_path("Filter.ch8") is None, reason=f"needs the ROMs of octax: {INSTALL}"
)
GAME_NAMES = [
    name if name in MINATAR else pytest.param(name, marks=needs_roms)
    for name in GAMES.names()
]
# What a game's own actions are among the six of all games, as specified.
MINIMAL = {
    "minatar/breakout": (0, 1, 3),
    "minatar/asterix": (0, 1, 2, 3, 4),
    "minatar/space_invaders": (0, 1, 3, 5),
    "minatar/freeway": (0, 2, 4),
    "minatar/seaquest": (0, 1, 2, 3, 4, 5),
}


class OneGame(gymnasium.Env):
    """The first of one game side by side: what gymnasium's checker can look at."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, name, render_mode=None):
        self.envs = make_vec(name, 1, seed=0, render_mode=render_mode)
        self.render_mode = render_mode
        self.observation_space = self.envs.single_observation_space
        self.action_space = self.envs.single_action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        boards, infos = self.envs.reset(seed=seed, options=options)
        return boards[0], infos

    def step(self, action):
        boards, rewards, terminated, truncated, infos = self.envs.step([action])
        ends = bool(terminated[0]), bool(truncated[0])
        return boards[0], float(rewards[0]), *ends, infos

    def render(self):
        return self.envs.render()[0]

    def close(self):
        self.envs.close()


@pytest.mark.parametrize("name", GAME_NAMES)
def test_gymnasiums_checker_finds_nothing(name):
    identity = f"checked/{name.replace('/', '_')}-v0"
    gymnasium.register(identity, entry_point=OneGame, kwargs={"name": name})
    try:
        check_env(gymnasium.make(identity).unwrapped)
    finally:
        del gymnasium.registry[identity]


@pytest.mark.parametrize("name", GAME_NAMES)
def test_a_limit_of_steps_cuts_every_game(name):
    envs = make_vec(name, 3, seed=0, max_steps=3)
    envs.reset()
    last = envs.single_action_space.n - 1
    nothing = 0 if name in MINATAR else last
    for step in (1, 2, 3):
        *_, terminated, truncated, infos = envs.step(np.full(3, nothing))
        assert not terminated.any()
        assert truncated.all() == truncated.any() == (step == 3)
    assert infos["_final_obs"].all()
    assert infos["episode_length"].tolist() == [3, 3, 3]
    envs.close()
    assert envs.closed


@pytest.mark.parametrize("name", MINATAR)
def test_minimal_actions_are_those_of_the_six_that_do_something(name):
    codes = MINIMAL[name]
    few, full = (
        make_vec(name, 20, seed=0, actions=which, sticky=0.1)
        for which in ("minimal", "full")
    )
    idle = make_vec(name, 20, seed=0, actions="full", sticky=0.1)
    useless = [code for code in range(6) if code not in codes] or [0]
    assert (few.single_action_space.n, full.single_action_space.n) == (len(codes), 6)
    draw = np.random.default_rng(0)
    for envs in (few, full, idle):
        envs.reset()
    for _ in range(150):
        actions = draw.integers(len(codes), size=20)
        ours, theirs = few.step(actions), full.step(np.array(codes)[actions])
        for one, other in zip(ours[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(one, other)
    full.reset(seed=1), idle.reset(seed=1)
    for _ in range(50):
        ours, theirs = full.step(np.zeros(20, int)), idle.step(draw.choice(useless, 20))
        for one, other in zip(ours[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "entry", "start"),
    [
        ("minatar/asterix", minatar_asterix.SPAWN_PERIOD, 10),
        ("minatar/space_invaders", minatar_invaders.INTERVAL, 12),
        ("minatar/seaquest", minatar_seaquest.SPAWN_PERIOD, 20),
    ],
)
def test_games_become_harder_only_with_ramping(name, entry, start):
    for ramping in (True, False):
        envs = make_vec(name, 400, seed=0, ramping=ramping)
        envs.reset()
        if name.endswith("invaders"):  # the last alien, a bullet below it
            aliens = slice(minatar_invaders.ALIENS, minatar_invaders.ALIENS + 10)
            envs._states[:, aliens] = 0
            envs._states[:, minatar_invaders.ALIENS + 4] = 1
            envs._states[:, minatar_invaders.OWN + 5] = 1
        draw, least = np.random.default_rng(0), start
        for _ in range(400):
            actions = draw.integers(envs.single_action_space.n, size=400)
            envs.step(actions)
            least = min(least, int(envs._states[:, entry].min()))
        assert (least < start) is ramping


def pickled(envs):
    return pickle.loads(pickle.dumps(envs))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
@pytest.mark.parametrize(
    "name", [*MINATAR, pytest.param("octax/brix", marks=needs_roms)]
)
def test_a_copy_goes_on_as_the_original(name, copied):
    more = {"sticky": 0.1} if name in MINATAR else {}
    envs = make_vec(name, 30, seed=0, max_steps=90, **more)
    twin, ended = copied(envs), 0
    draw = np.random.default_rng(0)
    for number, chosen in enumerate(draw.integers(3, size=(300, 30))):
        if number in (0, 200):  # the first draws from the seed, the second goes on
            np.testing.assert_array_equal(envs.reset()[0], twin.reset()[0])
        if number in (60, 250):
            twin = copied(envs)
        for one, other in zip(
            envs.step(chosen)[:4], twin.step(chosen)[:4], strict=True
        ):
            np.testing.assert_array_equal(one, other)
        ended += int((envs._elapsed == 0).sum())
    np.testing.assert_array_equal(envs._sources, twin._sources)
    assert ended > 30
    assert twin.settings == envs.settings


ELSEWHERE = """
import pickle, sys
envs = pickle.load(sys.stdin.buffer)
pickle.dump([envs.step([1, 2])[0] for _ in range(40)], sys.stdout.buffer)
"""


def test_another_process_goes_on_as_this_one():
    envs = make_vec("minatar/freeway", 2, seed=0)
    envs.reset()
    sent = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=pickle.dumps(envs), capture_output=True, check=True,
    )  # fmt: skip
    boards = [envs.step([1, 2])[0] for _ in range(40)]
    np.testing.assert_array_equal(pickle.loads(sent.stdout), boards)
