"""Many games at a time: gymnasium's interface, draws, limits, and refusals."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from isometry.rl import make_vec
from isometry.rl.games import draws
from isometry.rl.games.kernels import compiled
from isometry.rl.games.octax_roms import INSTALL, _rom_path
from isometry.rl.games.registry import GAMES

MINATAR = [name for name in GAMES.names() if name.startswith("minatar")]
OCTAX = [name for name in GAMES.names() if name.startswith("octax")]
needs_roms = pytest.mark.skipif(
    _rom_path("Filter.ch8") is None, reason=f"needs the ROMs of octax: {INSTALL}"
)
GAME_NAMES = MINATAR + [pytest.param(name, marks=needs_roms) for name in OCTAX]


def roll(envs, steps, seed=0):
    """Play at random; return everything that was returned, step by step."""
    draw = np.random.default_rng(seed)
    last = envs.single_action_space.n
    return [envs.step(draw.integers(last, size=envs.num_envs)) for _ in range(steps)]


@pytest.mark.parametrize("name", GAME_NAMES)
def test_what_is_returned_lies_in_the_declared_spaces(name):
    envs = make_vec(name, 5, seed=0)
    assert isinstance(envs, gymnasium.vector.VectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    boards, infos = envs.reset()
    assert boards in envs.observation_space
    assert infos == {}
    actions = envs.action_space.sample()
    for boards, rewards, terminated, truncated, _ in [envs.step(actions)]:
        assert boards in envs.observation_space
        assert rewards.shape == terminated.shape == truncated.shape == (5,)
        assert rewards.dtype == np.float32
        assert terminated.dtype == truncated.dtype == np.bool_


@pytest.mark.parametrize("name", GAME_NAMES)
def test_the_same_seed_plays_the_same_games(name):
    first, second = make_vec(name, 4, seed=3), make_vec(name, 4, seed=9)
    (one, _), (other, _) = first.reset(), second.reset(seed=3)
    np.testing.assert_array_equal(one, other)
    for left, right in zip(roll(first, 300), roll(second, 300), strict=True):
        for a, b in zip(left[:4], right[:4], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", GAME_NAMES)
def test_a_game_does_not_depend_on_what_is_played_beside_it(name):
    stick = {"sticky": 0.2} if "sticky" in GAMES.get(name).settings else {}
    few, many = (make_vec(name, count, seed=1, **stick) for count in (2, 7))
    few.reset(), many.reset()
    draw = np.random.default_rng(0)
    for _ in range(200):
        actions = draw.integers(few.single_action_space.n, size=7)
        a, b = few.step(actions[:2]), many.step(actions)
        np.testing.assert_array_equal(a[0], b[0][:2])
        np.testing.assert_array_equal(a[1], b[1][:2])


def test_games_side_by_side_are_different_and_so_are_seeds():
    boards, _ = make_vec("minatar/freeway", 8, seed=0).reset()
    assert len({board.tobytes() for board in boards}) == 8
    other, _ = make_vec("minatar/freeway", 8, seed=1).reset()
    assert not {b.tobytes() for b in boards} & {b.tobytes() for b in other}


def test_reset_without_a_seed_goes_on_drawing():
    envs = make_vec("minatar/freeway", 2, seed=0)
    first, _ = envs.reset()
    second, _ = envs.reset()
    again, _ = envs.reset(seed=0)
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)


def test_a_seed_forgets_the_action_that_a_sticky_step_would_repeat():
    fresh = make_vec("minatar/breakout", 50, seed=0, sticky=0.9)
    played = make_vec("minatar/breakout", 50, seed=0, sticky=0.9)
    fresh.reset(), played.reset()
    for _ in range(20):
        played.step(np.full(50, 2))
    played.reset(seed=0)
    for _ in range(3):
        one, other = (envs.step(np.zeros(50, dtype=int)) for envs in (fresh, played))
        np.testing.assert_array_equal(one[0], other[0])


def test_a_game_that_ends_starts_anew_in_the_same_step():
    envs = make_vec("minatar/breakout", 64, seed=0)
    envs.reset()
    returns, lengths, seen = np.zeros(64), np.zeros(64, dtype=int), 0
    for boards, rewards, terminated, truncated, infos in roll(envs, 60):
        returns += rewards
        lengths += 1
        assert not truncated.any()
        if not terminated.any():
            assert infos == {}
            continue
        ended = terminated
        seen += ended.sum()
        for key in ("final_obs", "episodic_return", "episode_length"):
            np.testing.assert_array_equal(infos[f"_{key}"], ended)
        final = infos["final_obs"][ended]
        assert final[:, 9, :, 1].any(-1).all()  # the ball is on the last row
        assert not infos["final_obs"][~ended].any()
        assert (boards[ended][..., 3].sum((1, 2)) == 30).all()  # a new game
        assert boards[ended][:, 3, :, 1].any(-1).all()
        np.testing.assert_array_equal(infos["episodic_return"][ended], returns[ended])
        np.testing.assert_array_equal(infos["episode_length"][ended], lengths[ended])
        returns[ended] = lengths[ended] = 0
    assert seen > 64


def test_the_limit_of_steps_truncates_and_the_end_of_the_game_terminates():
    envs = make_vec("minatar/breakout", 2, seed=4, max_steps=6)
    boards, _ = envs.reset()
    side = boards[:, 3, 0, 1]
    while side.all() or not side.any():
        boards, _ = envs.reset()
        side = boards[:, 3, 0, 1]
    *before, (_, _, terminated, truncated, infos) = [
        envs.step(np.zeros(2, dtype=int)) for _ in range(6)
    ]
    assert not any(step[2].any() or step[3].any() for step in before)
    # An idle player loses the ball from the left on step six, from the right later.
    np.testing.assert_array_equal(terminated, side)
    np.testing.assert_array_equal(truncated, ~side)
    assert infos["_final_obs"].all()
    assert infos["episode_length"].tolist() == [6, 6]


def test_sticky_actions_repeat_the_last_executed_one():
    _, step_all, _ = compiled("minatar/breakout")
    game = GAMES.get("minatar/breakout")
    state = game.start()[None]
    # Uniform draws decide: 0.05 and 0.09 repeat at 0.1, the others do not. The memory
    # is of what was executed, so a repeated action can be repeated again.
    source = draws.tape(0, 0.5, 0.05, 0.09, 0.1, 0.9)[None]
    game.reset(state[0], source[0])
    executed, elapsed = np.zeros((2, 1), dtype=np.int64)
    done, columns = [], []
    for action in (3, 1, 1, 1, 0):
        board = np.empty((1, *game.shape), dtype=np.bool_)
        step_all(
            state, source, executed, elapsed, np.zeros(1, dtype=np.bool_),
            np.array([action]), 0.1, True, 0, board, np.zeros(1, dtype=np.float32),
            *np.zeros((2, 1), dtype=np.bool_),
        )  # fmt: skip
        done.append(int(executed[0]))
        columns.append(int(board[0, 9, :, 0].argmax()))
    assert done == [3, 3, 3, 1, 0]
    assert columns == [5, 6, 7, 6, 6]


def test_arrays_returned_are_never_written_to_again():
    envs = make_vec("minatar/breakout", 3, seed=0)
    boards, _ = envs.reset()
    kept = [(boards, boards.copy())]
    for boards, rewards, *_ in roll(envs, 30):
        kept += [(boards, boards.copy()), (rewards, rewards.copy())]
    assert all(np.array_equal(now, then) for now, then in kept)


def test_pictures_show_what_is_on_the_board():
    envs = make_vec("minatar/breakout", 2, seed=0, render_mode="rgb_array")
    boards, _ = envs.reset()
    pictures = envs.render()
    assert len(pictures) == 2
    assert pictures[0].shape == (80, 80, 3)
    assert pictures[0].dtype == np.uint8
    cells = pictures[0][::8, ::8]
    empty = ~boards[0].any(-1)
    assert (cells[empty] == 0).all()
    assert (cells[~empty].sum(-1) > 0).all()
    assert (pictures[0][:8, :8] == cells[0, 0]).all()
    assert make_vec("minatar/breakout", 2, seed=0).render() is None


def test_uniform_draws_are_uniform_and_independent_of_neighbours():
    numbers = np.empty((2, 50_000))
    for row, source in zip(numbers, draws.sources(0, 2, "x"), strict=True):
        draws._draw_many(source, row)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram(numbers[0], bins=20, range=(0, 1))[0]
    assert ((counts - 2500) ** 2 / 2500).sum() < 43.8  # chi-squared, 19 df, p = 0.001
    for a, b in ((numbers[0], numbers[1]), (numbers[0][1:], numbers[0][:-1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(50_000)


def test_a_tape_serves_its_draws_and_then_fails():
    out = np.empty(2)
    source = draws.tape(0.25, 0.5)
    draws._draw_many(source, out)
    assert out.tolist() == [0.25, 0.5]
    with pytest.raises(IndexError, match="no more draws"):
        draws._draw_many(source, out)


MEASURED = [  # mean, standard error, of 3,000 random episodes of minatar 1.0.15
    ("minatar/breakout", "full", 0.0, (0.5210, 0.0137), (11.315, 0.142)),
    ("minatar/breakout", "minimal", 0.0, (0.4050, 0.0123), (10.136, 0.128)),
    ("minatar/breakout", "minimal", 0.1, (0.3557, 0.0113), (9.625, 0.117)),
    ("minatar/asterix", "full", 0.0, (0.4967, 0.0158), (70.093, 0.805)),
    ("minatar/asterix", "minimal", 0.0, (0.5117, 0.0163), (66.679, 0.750)),
    ("minatar/asterix", "minimal", 0.1, (0.5180, 0.0160), (67.434, 0.762)),
    ("minatar/space_invaders", "full", 0.0, (2.9777, 0.0442), (50.175, 0.697)),
    ("minatar/space_invaders", "minimal", 0.0, (4.0943, 0.0598), (56.583, 0.812)),
    ("minatar/space_invaders", "minimal", 0.1, (4.0610, 0.0576), (58.106, 0.787)),
    ("minatar/freeway", "full", 0.0, (0.1500, 0.0070), (2501.0, 0.0)),
    ("minatar/freeway", "minimal", 0.0, (0.4020, 0.0115), (2501.0, 0.0)),
    ("minatar/freeway", "minimal", 0.1, (0.3863, 0.0113), (2501.0, 0.0)),
    ("minatar/seaquest", "full", 0.0, (0.0947, 0.0066), (28.479, 0.662)),
    ("minatar/seaquest", "minimal", 0.0, (0.0970, 0.0071), (27.763, 0.652)),
    ("minatar/seaquest", "minimal", 0.1, (0.0963, 0.0066), (30.241, 0.670)),
]


@pytest.mark.parametrize(
    ("name", "actions", "sticky", "mean_return", "length"), MEASURED
)
def test_random_play_returns_what_the_original_returns(
    name, actions, sticky, mean_return, length
):
    num_envs = 400 if "freeway" in name else 3000
    envs = make_vec(name, num_envs, seed=0, actions=actions, sticky=sticky)
    envs.reset()
    # The first episode of each game: a fixed number of steps would favour short ones.
    returns, lengths = np.full((2, num_envs), np.nan)
    draw = np.random.default_rng(0)
    while np.isnan(lengths).any():
        infos = envs.step(draw.integers(envs.single_action_space.n, size=num_envs))[-1]
        if infos:
            first = infos["_episode_length"] & np.isnan(lengths)
            returns[first] = infos["episodic_return"][first]
            lengths[first] = infos["episode_length"][first]
    for values, (mean, error) in ((returns, mean_return), (lengths, length)):
        own_error = values.std() / np.sqrt(num_envs)
        assert abs(values.mean() - mean) <= 4 * np.hypot(own_error, error)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make_vec("minatar/brekout", 1, seed=0), KeyError, "minatar/breakout"),
        (lambda: make_vec("breakout", 1, seed=0), KeyError, "did you mean"),
        (lambda: make_vec(None, 1, seed=0), TypeError, "the name of a game, found No"),
        (lambda: make_vec("minatar/freeway", 0, seed=0), ValueError, "num_envs >= 1"),
        (lambda: make_vec("minatar/freeway", -2, seed=0), ValueError, "found -2"),
        (lambda: make_vec("minatar/freeway", 2.0, seed=0), TypeError, "num_envs"),
        (lambda: make_vec("minatar/freeway", "2", seed=0), TypeError, "found 2;"),
        (lambda: make_vec("minatar/freeway", True, seed=0), TypeError, "found True"),
        (lambda: make_vec("minatar/freeway", 1, seed=0.5), TypeError, "for seed"),
        (lambda: make_vec("minatar/freeway", 1, seed=None), TypeError, "for seed"),
        (lambda: started().reset(seed="a"), TypeError, "whole number for seed"),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, max_steps=2.5),
            TypeError,
            "whole number for max_steps",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, max_steps=-1),
            ValueError,
            "found -1",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, max_steps=2**63),
            ValueError,
            "max_steps >= 1 and below",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, sticky="often"),
            TypeError,
            "a number for sticky",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, sticky=float("nan")),
            ValueError,
            "found nan",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, stiky=0.1),
            ValueError,
            "sticky, actions, ramping, max_steps",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, ramping="no"),
            ValueError,
            "ramping True or False",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, ramping=np.ones(2, int)),
            ValueError,
            "ramping True or False",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, sticky=1.1),
            ValueError,
            "sticky <= 1",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, actions="some"),
            ValueError,
            "minimal or full",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, actions=np.array([0, 2])),
            ValueError,
            "minimal or full",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, max_steps=0),
            ValueError,
            "max_steps >= 1",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0, render_mode="human"),
            ValueError,
            "rgb_array",
        ),
        (
            lambda: make_vec("minatar/freeway", 1, seed=0).step(np.zeros(1, int)),
            RuntimeError,
            "a reset before the first step",
        ),
        (
            lambda: make_vec(
                "minatar/freeway", 1, seed=0, render_mode="rgb_array"
            ).render(),
            RuntimeError,
            "a reset before",
        ),
        (lambda: started().step(np.zeros(3, int)), ValueError, r"shape \(2,\)"),
        (lambda: started().step(np.zeros((2, 1), int)), ValueError, r"shape \(2,\)"),
        (lambda: started().step(np.array([0, 3])), ValueError, "actions 0 to 2"),
        (lambda: started().step(np.array([-1, 0])), ValueError, "found -1 to 0"),
        (lambda: started().step(np.zeros(2)), TypeError, "found float64"),
        (lambda: started().step([True, False]), TypeError, "found bool"),
        (lambda: started().step([None, 0]), TypeError, "found object"),
        (lambda: started().step([[0], [0, 1]]), TypeError, "found what numpy refuses"),
        (lambda: started().step(0), ValueError, r"shape \(2,\), found \(\)"),
        (lambda: started().step([]), TypeError, "found float64"),
        (
            lambda: started().reset(options={"x": 1}),
            ValueError,
            "no options but reset_mask",
        ),
    ],
)
def test_what_cannot_be_played_is_refused(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_refused_step_plays_nothing():
    refusing, playing = started(), started()
    for wrong in ([0, 3], [0.0, 1.0], [[0], [0]]):
        with pytest.raises((TypeError, ValueError)):
            refusing.step(np.array(wrong))
    for one, other in zip(roll(refusing, 30), roll(playing, 30), strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def started():
    envs = make_vec("minatar/freeway", 2, seed=0)
    envs.reset()
    return envs


@pytest.mark.parametrize("package", ["numba", "gymnasium"])
def test_a_missing_extra_is_named(package):
    lines = f"import sys; sys.modules[{package!r}] = None\n"
    lines += "from isometry.rl import make_vec\n"
    lines += "make_vec('minatar/breakout', 1, seed=0)"
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: needed the extra rl, found no {package}; "
        "pip install 'plasticity-by-isometry[rl]'"
    )


def test_solvable_processes_and_settings_of_runs_do_not_need_the_extra():
    lines = "import sys; sys.modules['numba'] = sys.modules['gymnasium'] = None"
    lines += "\nimport isometry.rl.tabular.gridworld, isometry.rl.tabular.improvement"
    lines += "\nimport isometry.rl.continual_benchmarks"
    lines += "\nimport isometry.rl.protocols, isometry_book.c7_games.tabular_figures"
    subprocess.run([sys.executable, "-c", lines], check=True)


FUZZ = """
import numpy as np
from isometry.rl import make_vec
for name in {names!r}:
    for change in ({{"actions": "full"}}, {{"max_steps": 97}}):
        envs = make_vec(name, {count}, seed=0, **change, **{more})
        envs.reset()
        draw = np.random.default_rng(0)
        for _ in range({steps}):
            last = envs.single_action_space.n
            boards, *_ = envs.step(draw.integers(last, size={count}))
            {check}
"""
ONE_PLAYER = "assert (boards[..., 0].sum((1, 2)) == 1).all()"
SMALL = "assert np.abs(envs._states).max() <= 2500"
FUZZED = [
    *(
        pytest.param([n], 256, 4000, {"sticky": 0.1}, f"{ONE_PLAYER}; {SMALL}", id=n)
        for n in MINATAR
    ),
    pytest.param(OCTAX, 64, 1000, {}, "pass", id="octax", marks=needs_roms),
]


@pytest.mark.slow
@pytest.mark.parametrize(("names", "count", "steps", "more", "check"), FUZZED)
def test_millions_of_random_steps_stay_inside_every_array(
    names, count, steps, more, check, monkeypatch
):
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    source = FUZZ.format(names=names, count=count, steps=steps, more=more, check=check)
    subprocess.run([sys.executable, "-c", source], check=True)


def test_gymnasiums_own_statistics_agree():
    envs = make_vec("minatar/breakout", 32, seed=0)
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)
    wrapped.reset()
    seen = 0
    for *_, infos in roll(wrapped, 60):
        if "episode" in infos:
            ended = infos["_episodic_return"]
            seen += ended.sum()
            theirs = infos["episode"]["r"][ended], infos["episode"]["l"][ended]
            np.testing.assert_array_equal(theirs[0], infos["episodic_return"][ended])
            np.testing.assert_array_equal(theirs[1], infos["episode_length"][ended])
    assert seen > 32


@pytest.mark.parametrize(
    "draw", [lambda s: draws.uniform(s), lambda s: draws.integer(s, 0, 3)]
)
def test_draws_are_taken_by_compiled_code_alone(draw):
    with pytest.raises(RuntimeError, match=r"compiled code, found one from Python"):
        draw(draws.sources(0, 1, "game")[0])
