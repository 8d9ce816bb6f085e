"""Environments around a program of our own: steps, timers, scores, ends, settings."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from isometry.rl import make_vec
from isometry.rl.games import chip8
from isometry.rl.games.draws import tape
from isometry.rl.games.octax_games import (
    AT_LEAST,
    DIFFERENT,
    EQUAL,
    NEGATIVE_SUM,
    TENS_EQUAL,
    TENS_MINUS_UNITS,
    UNITS_EQUAL,
    UP_TO_128,
    VALUE,
    Rules,
)
from isometry.rl.games.octax_rules import (
    _over,
    _score,
    observe,
    reset,
    start_state,
    step,
)
from isometry.rl.games.registry import GAMES, _chip8_game

NAME = "own/copy"
COPY = bytes.fromhex(
    # Show a digit from 0 to 3, wait for two steps, look whether its key is down.
    "6a00 6b03"  # 200: the score is 0, there are three lives
    "c003 00e0 f029 d125"  # 204: draw the digit in the corner
    "6e02 fe15 fe07 3e00 1210"  # 20c: wait until the delay timer is 0
    "e0a1 7a01 e09e 7bff 1204"  # 216: score, or lose a life, and again
)
RULES = Rules(keys=(0, 1, 2, 3), score_register=0xA, ends=((0xB, EQUAL, 0),), startup=2)
GLYPHS = {bytes(chip8.FONT[5 * d : 5 * d + 5]): d for d in range(4)}


@pytest.fixture(autouse=True)
def own_game():
    GAMES.register(NAME, _chip8_game(NAME, lambda: COPY, RULES))
    yield
    GAMES.remove(NAME)


def digits(boards):
    """Return the digits that the last frames show."""
    rows = np.packbits(boards[:, 3, :5, :8], axis=-1)[..., 0]
    return np.array([GLYPHS[row.tobytes()] for row in rows])


def test_a_player_who_reads_the_screen_scores_in_every_round():
    envs = make_vec(NAME, 6, seed=0, max_steps=41)
    assert isinstance(envs, gymnasium.vector.VectorEnv)
    boards, infos = envs.reset()
    assert infos == {}
    assert not boards.any()  # the digit comes in the first step
    actions, shown = np.full(6, 4), set()
    for number in range(1, 42):
        boards, rewards, terminated, truncated, infos = envs.step(actions)
        assert boards in envs.observation_space
        # Two steps of waiting; the third looks at the keys, and shows the next digit.
        assert (rewards == (number > 1 and number % 2 == 1)).all()
        assert not terminated.any()
        assert (truncated == (number == 41)).all()
        if number < 41:
            actions = digits(boards)
            shown.add(tuple(actions))
            assert infos == {}
    assert len(shown) > 10
    assert len({row for digit in shown for row in digit}) == 4
    assert not boards.any()  # the new episode's first
    assert infos["final_obs"].any((1, 2, 3)).all()
    assert infos["episodic_return"].tolist() == [20] * 6
    assert infos["episode_length"].tolist() == [41] * 6


def test_a_player_who_presses_nothing_loses_three_lives():
    envs = make_vec(NAME, 3, seed=1)
    envs.reset()
    for number in range(1, 15):
        _, rewards, terminated, truncated, infos = envs.step(np.full(3, 4))
        assert not rewards.any()
        assert not truncated.any()
        assert (terminated == (number % 7 == 0)).all()
        if number % 7 == 0:
            assert infos["_final_obs"].all()
            assert infos["episode_length"].tolist() == [7, 7, 7]


def test_games_draw_bytes_of_their_own_and_seeds_repeat_them():
    envs, again = make_vec(NAME, 8, seed=0), make_vec(NAME, 3, seed=5)
    envs.reset()
    again.reset(seed=0)
    seen = []
    for number in range(30):
        boards = envs.step(np.full(8, number % 5))[0]
        np.testing.assert_array_equal(
            boards[:3], again.step(np.full(3, number % 5))[0]
        )  # whatever is played beside it
        seen.append(boards.reshape(8, -1))
    assert len(np.unique(np.concatenate(seen, axis=1), axis=0)) == 8


def test_octaxs_limit_of_steps_is_five_minutes():
    idle = Rules(keys=(1,), score_register=0, ends=())
    GAMES.register("own/idle", _chip8_game("own/idle", lambda: b"\x12\x00", idle))
    envs = make_vec("own/idle", 1, seed=0)
    envs.reset()
    ends = [envs.step(np.zeros(1, int))[2:4] for _ in range(4500)]
    endless = make_vec("own/idle", 1, seed=0, max_steps=None)
    endless.reset()
    assert not any(endless.step(np.zeros(1, int))[3] for _ in range(4501))
    GAMES.remove("own/idle")
    assert not any(terminated for terminated, _ in ends)
    assert [k + 1 for k, (_, cut) in enumerate(ends) if cut] == [4500]


def one_step(program, action=16, timer_wrap=True, **rules):
    """Return the state after a step of a program, the board and what step returned."""
    settings = {"keys": (1,), "score_register": 0, "ends": (), **rules}
    state = start_state(bytes.fromhex(program), Rules(**settings))
    returned = step(state, tape(1, 2, 3), action, timer_wrap)
    board = np.ones((4, 32, 64), dtype=np.bool_)
    observe(state, board)
    return state, board, returned


def test_a_step_is_44_instructions_and_its_frames_follow_each_eleventh():
    state, board, (reward, _) = one_step("7001 d021" * 50, startup=0)
    assert state[chip8.PC] == 0x200 + 2 * 44
    assert reward == 22
    state = start_state(
        bytes.fromhex("a208 7001 d021 1202 80"),
        Rules(keys=(1,), score_register=0, ends=()),
    )
    step(state, tape(), 16, True)
    observe(state, board)
    # Every third instruction has drawn one pixel more, from column 1 on.
    for frame, count in enumerate((11, 22, 33, 44)):
        columns = np.argwhere(board[frame])
        assert (columns[:, 0] == 0).all()
        assert columns[:, 1].tolist() == list(range(1, 1 + count // 3))


def test_keys_are_held_for_the_whole_step():
    # V[1] counts how often key 5 was found down.
    counting = "6305 e39e 1202 7101 1202"
    assert one_step(counting, action=5)[0][chip8.REGISTERS] >> 8 & 0xFF == 14
    assert one_step(counting, action=4)[0][chip8.REGISTERS] >> 8 & 0xFF == 0
    assert one_step(counting, action=16)[0][chip8.REGISTERS] >> 8 & 0xFF == 0


@pytest.mark.parametrize(
    ("value", "zeroed", "wrap", "after"),
    [(9, False, True, 8), (1, False, True, 0), (0, False, True, 255),
     (0, False, False, 0), (9, False, False, 8), (9, True, True, 0),
     (0, True, True, 0)],
)  # fmt: skip
def test_timers_tick_once_a_step_and_wrap_if_asked_to(value, zeroed, wrap, after):
    program = f"60{value:02x} f015 f018 1206"
    state, _, _ = one_step(program, timer_wrap=wrap, zeroed=zeroed)
    assert (state[chip8.DELAY], state[chip8.SOUND]) == (after, after)


def test_timers_do_not_tick_during_the_start_up_and_stay_for_the_first_step():
    rules = Rules(keys=(1,), score_register=0, ends=(), startup=500, zeroed=True)
    state = start_state(bytes.fromhex("6009 f015 f107 1204"), rules)
    assert state[chip8.DELAY] == 9
    step(state, tape(), 16, True)
    assert state[chip8.DELAY] == 0
    assert chip8.registers(state)[1] == 9


def test_a_key_may_be_held_during_the_start_up_only():
    rules = {"keys": (1,), "score_register": 0, "ends": (), "startup": 30}
    program = bytes.fromhex("f00a 1202")
    assert start_state(program, Rules(**rules))[chip8.PC] == 0x200
    held = start_state(program, Rules(**rules, held=7))
    assert (held[chip8.PC], chip8.registers(held)[0]) == (0x202, 7)
    assert not chip8.frame(held, 0).any()


def test_start_up_draws_the_same_bytes_each_time_and_octaxs():
    rules = Rules(keys=(1,), score_register=0, ends=(), startup=4)
    state = start_state(bytes.fromhex("c0ff c1ff c2ff c3ff"), rules)
    assert chip8.registers(state)[:4].tolist() == [14, 36, 1, 29]


@pytest.mark.parametrize(
    ("kind", "value", "second", "expected"),
    [(VALUE, 255, 9, 255), (NEGATIVE_SUM, 5, 0, 251), (NEGATIVE_SUM, 3, 4, 249),
     (NEGATIVE_SUM, 0, 0, 0), (TENS_MINUS_UNITS, 27, 0, -5), (UP_TO_128, 128, 0, 128),
     (TENS_MINUS_UNITS, 90, 0, 9), (UP_TO_128, 129, 0, 0)],
)  # fmt: skip
def test_scores_are_read_from_registers(kind, value, second, expected):
    rules = Rules(keys=(1,), score=kind, score_register=3, ends=(), startup=2)
    state = start_state(bytes.fromhex(f"63{value:02x} 64{second:02x}"), rules)
    assert _score(state) == expected
    assert step(state, tape(), 16, True) == (0, False)  # the start's score counts


def test_a_score_that_wraps_costs_what_it_gave():
    assert one_step("60ff 7001 1204", startup=1)[2] == (-255, False)


@pytest.mark.parametrize(
    ("comparison", "limit", "yes", "no"),
    [(EQUAL, 4, (4,), (3, 5)), (DIFFERENT, 1, (0, 2), (1,)),
     (AT_LEAST, 62, (62, 255), (61,)), (TENS_EQUAL, 9, (90, 99), (89, 9, 100)),
     (UNITS_EQUAL, 9, (9, 29), (90, 0))],
)  # fmt: skip
def test_games_end_by_comparisons_of_registers(comparison, limit, yes, no):
    never, test = (7, EQUAL, 9), (3, comparison, limit)
    for value in (*yes, *no):
        for ends in ((test,), (test, never), (never, test)):
            rules = Rules(keys=(1,), score_register=0, ends=ends, startup=1)
            state = start_state(bytes.fromhex(f"63{value:02x}"), rules)
            assert _over(state) == (value in yes)


def test_a_reset_draws_nothing_and_restores_what_a_program_overwrote():
    envs = make_vec(NAME, 2, seed=0)
    first, _ = envs.reset()
    envs.step(np.zeros(2, int))
    envs._states[:, :512] = -1
    second, _ = envs.reset()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(envs._states[1], envs._start)
    reset(envs._states[0], tape())


def test_full_actions_are_all_sixteen_keys_and_none():
    few, full = make_vec(NAME, 1, seed=0), make_vec(NAME, 1, seed=0, actions="full")
    assert (few.single_action_space.n, full.single_action_space.n) == (5, 17)
    few.reset(), full.reset()
    for number in range(40):
        key = number % 4
        one, other = few.step(np.array([key])), full.step(np.array([key]))
        assert one[1] == other[1]
        np.testing.assert_array_equal(one[0], other[0])
    assert few._codes.tolist() == [0, 1, 2, 3, 16]


def test_pictures_show_the_last_frame_white_on_black():
    envs = make_vec(NAME, 2, seed=0, render_mode="rgb_array")
    envs.reset()
    boards = envs.step(np.full(2, 4))[0]
    pictures = envs.render()
    assert (len(pictures), pictures[0].shape) == (2, (256, 512, 3))
    np.testing.assert_array_equal(pictures[1][::8, ::8, 1], 255 * boards[1, 3])
    assert envs.metadata["render_fps"] == 15


def test_arrays_returned_are_never_written_to_again():
    envs = make_vec(NAME, 3, seed=0)
    kept = [(envs.reset()[0], np.zeros((3, 4, 32, 64), dtype=np.bool_))]
    for _ in range(20):
        boards, rewards, *_ = envs.step(np.full(3, 4))
        kept += [(boards, boards.copy()), (rewards, rewards.copy())]
    assert all(np.array_equal(now, then) for now, then in kept)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_vec(NAME, 1, seed=0, sticky=0.1), "found sticky; leave it out"),
        (lambda: make_vec(NAME, 1, seed=0, ramping=True), "actions, timer_wrap, max"),
        (lambda: make_vec(NAME, 1, seed=0, timer_wrap="no"), "timer_wrap True or"),
        (lambda: make_vec(NAME, 1, seed=0, actions="all"), "minimal or full"),
        (lambda: make_vec(NAME, 1, seed=0, max_steps=0), "max_steps >= 1"),
        (
            lambda: make_vec("minatar/breakout", 1, seed=0, timer_wrap=False),
            "sticky, actions, ramping, max_steps",
        ),
    ],
)
def test_settings_that_a_game_does_not_have_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


NOISE = """
import numpy as np
from isometry.rl import chip8
from isometry.rl.games.draws import sources
draw = np.random.default_rng(0)
for index, source in enumerate(sources(0, {programs}, "noise")):
    state = chip8.power_on(draw.bytes(3584))
    chip8.memory(state)[:0x200] = draw.integers(256, size=0x200)
    chip8.registers(state)[:] = draw.integers(256, size=16)
    state[chip8.POINTER] = draw.integers(-40, 40)
    state[chip8.PC] = draw.integers(0x10000)
    state[chip8.INDEX] = draw.integers(0x1000)
    for keys in draw.integers(0x10000, size=20):
        chip8.run(state, keys, {instructions} // 20, source)
        assert 0 <= state[chip8.PC] <= 0xFFFF
        assert 0 <= state[chip8.INDEX] <= 0xFFF
        assert 0 <= state[chip8.DELAY] <= 255
"""


@pytest.mark.slow
def test_programs_of_noise_stay_inside_every_array(monkeypatch):
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    source = NOISE.format(programs=3000, instructions=4000)
    subprocess.run([sys.executable, "-c", source], check=True)
