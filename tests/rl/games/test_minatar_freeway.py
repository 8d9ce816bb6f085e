"""Freeway by scenarios: what each rule does, step by step."""

import numpy as np
import pytest

from isometry.rl.games import minatar_freeway as freeway
from isometry.rl.games.draws import tape

NONE, UP, DOWN = 0, 2, 4
COLUMNS = slice(freeway.COLUMNS, freeway.COLUMNS + 8)
COUNTDOWNS = slice(freeway.COUNTDOWNS, freeway.COUNTDOWNS + 8)
SPEEDS = slice(freeway.SPEEDS, freeway.SPEEDS + 8)
START = tape(1, 2, 3, 4, 5, 1, 2, 3, *[0.9] * 4, *[0.1] * 4)


def fresh(source=None):
    state = np.zeros(freeway.STATE_SIZE, dtype=np.int32)
    freeway.reset(state, START.copy() if source is None else source)
    return state


def parked():
    """No car will move for very long."""
    state = fresh()
    state[COUNTDOWNS] = 10_000
    return state


def play(state, action, steps=1, source=None):
    source = tape() if source is None else source
    return [freeway.step(state, source, action, True) for _ in range(steps)]


def board_of(state):
    board = np.zeros((10, 10, 7), dtype=np.bool_)
    freeway.observe(state, board)
    return board


def test_cars_move_at_their_speed_and_wrap_around():
    state = fresh()
    seen = {}
    for step in range(1, 15):
        play(state, NONE)
        seen[step] = state[COLUMNS].tolist()
    assert seen[1] == [0] * 8
    assert seen[2] == [1, 0, 0, 0, 0, 9, 0, 0]
    assert seen[6] == [3, 2, 1, 1, 9, 7, 8, 9]
    assert seen[12] == [6, 4, 3, 2, 8, 4, 6, 7]
    assert seen[14] == [7, 4, 3, 2, 8, 3, 6, 7]
    board = board_of(state)
    trails = {
        2: [(1, 6), (6, 4)],
        3: [(2, 3), (7, 7)],
        4: [(3, 2), (8, 8)],
        5: [(4, 1)],
        6: [(5, 9)],
    }
    for channel, cells in trails.items():
        assert np.argwhere(board[..., channel]).tolist() == [list(c) for c in cells]
    assert np.argwhere(board[..., 0]).tolist() == [[9, 4]]
    assert board[..., 1].sum() == 8


def test_a_chicken_that_nothing_hits_arrives_on_step_28():
    state = parked()
    rows = []
    for _ in range(27):
        play(state, UP)
        rows.append(int(state[freeway.CHICKEN]))
    assert rows[:3] == [9, 9, 9]
    assert [rows[step - 1] for step in range(4, 28, 3)] == list(range(8, 0, -1))
    assert play(state, UP, source=START.copy()) == [(1, False)]
    assert state[freeway.CHICKEN] == 9


@pytest.mark.parametrize(
    ("column", "countdown", "speed", "row", "ends_in"),
    [
        (4, 0, 1, 9, 5),
        (4, 3, 3, 9, 4),
        (3, 0, 2, 9, 4),
        (5, 0, -2, 9, 4),
        (5, 0, 2, 8, 6),
        (3, 0, -2, 8, 2),
    ],
)
def test_a_car_sends_the_chicken_back(column, countdown, speed, row, ends_in):
    state = parked()
    state[freeway.COOLDOWN] = 0
    state[freeway.COLUMNS + 7] = column
    state[freeway.COUNTDOWNS + 7] = countdown
    state[freeway.SPEEDS + 7] = speed
    play(state, UP)
    assert state[freeway.CHICKEN] == row
    assert state[freeway.COLUMNS + 7] == ends_in
    assert state[freeway.COOLDOWN] == 2  # being hit does not touch it


def test_an_arrival_draws_new_speeds_and_keeps_the_columns():
    state = fresh()
    state[freeway.CHICKEN], state[freeway.COOLDOWN] = 1, 0
    state[freeway.COLUMNS] = 4
    before = state[COLUMNS].copy()
    draws = tape(*[2] * 8, *[0.1] * 8)
    assert play(state, UP, source=draws) == [(1, False)]
    assert draws[0] == 17  # sixteen draws were taken
    assert state[freeway.CHICKEN] == 9
    assert state[SPEEDS].tolist() == [-2] * 8
    assert state[COUNTDOWNS].tolist() == [1] * 8
    np.testing.assert_array_equal(state[COLUMNS], before)


def test_time_is_over_on_step_2501_exactly():
    ends = [over for _, over in play(fresh(), NONE, 2501)]
    assert ends == [False] * 2500 + [True]


def test_the_chicken_stays_on_the_board_and_pays_for_the_attempt():
    state = parked()
    state[freeway.COOLDOWN] = 0
    play(state, DOWN)
    assert state[freeway.CHICKEN] == 9
    assert state[freeway.COOLDOWN] == 2


@pytest.mark.parametrize("action", [0, 1, 3, 5])
def test_other_actions_do_nothing(action):
    state = parked()
    play(state, action, 10)
    assert state[freeway.CHICKEN] == 9
    assert state[freeway.COOLDOWN] == 0
