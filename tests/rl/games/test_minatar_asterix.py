"""Asterix by scenarios: what each rule does, step by step."""

import numpy as np
import pytest

from isometry.rl.games import minatar_asterix as asterix
from isometry.rl.games.draws import tape

NONE, LEFT, UP, RIGHT, DOWN = range(5)
PLAYER, ENEMY, TRAIL, GOLD = range(4)


def fresh():
    state = np.zeros(asterix.STATE_SIZE, dtype=np.int32)
    asterix.reset(state, tape())
    return state


def creature(row, column, direction, gold=False, state=None):
    state = fresh() if state is None else state
    state[asterix.COLUMNS + row - 1] = column
    state[asterix.DIRECTIONS + row - 1] = direction
    state[asterix.GOLD + row - 1] = gold
    return state


def play(state, action, source=None, ramping=True):
    return asterix.step(state, tape() if source is None else source, action, ramping)


def cells(state, channel):
    board = np.zeros((10, 10, 4), dtype=np.bool_)
    asterix.observe(state, board)
    return [tuple(cell) for cell in np.argwhere(board[..., channel]).tolist()]


def creatures(state):
    return int((state[asterix.DIRECTIONS : asterix.DIRECTIONS + 8] != 0).sum())


def test_creatures_enter_the_empty_lanes_in_order():
    state, source = fresh(), tape(0.2, 0.9, 3, 0.7, 0.1, 3)
    seen = {}
    for step in range(1, 23):
        assert play(state, NONE, source) == (0, False)
        seen[step] = [cells(state, c) for c in (ENEMY, TRAIL, GOLD)]
    assert seen[10] == [[], [], []]
    assert seen[11] == [[(4, 1)], [(4, 0)], []]
    assert seen[16][0] == [(4, 2)]
    assert seen[21] == [[(4, 3)], [(4, 2), (5, 9)], [(5, 8)]]


@pytest.mark.parametrize(
    ("enemy", "countdown", "action", "end", "player", "enemy_at"),
    [
        ((5, 6, -1), 0, RIGHT, True, (5, 6), [(5, 5)]),
        ((5, 6, -1), 0, LEFT, False, (5, 4), [(5, 5)]),
        ((5, 6, -1), 0, NONE, True, (5, 5), [(5, 5)]),
        ((5, 6, -1), 3, NONE, False, (5, 5), [(5, 6)]),
        ((4, 5, 1), 3, UP, True, (4, 5), [(4, 5)]),
        ((6, 5, 1), 0, DOWN, True, (6, 5), [(6, 6)]),
        ((6, 4, 1), 0, DOWN, True, (6, 5), [(6, 5)]),
    ],
)
def test_an_enemy_that_is_met_ends_the_game(
    enemy, countdown, action, end, player, enemy_at
):
    state = creature(*enemy)
    state[asterix.MOVE_COUNTDOWN] = countdown
    assert play(state, action) == (0, end)
    assert cells(state, PLAYER) == [player]
    assert cells(state, ENEMY) == enemy_at


@pytest.mark.parametrize(("column", "countdown"), [(4, 0), (5, 3)])
def test_gold_that_is_met_is_taken(column, countdown):
    state = creature(5, column, 1, gold=True)
    state[asterix.MOVE_COUNTDOWN] = countdown
    assert play(state, NONE) == (1, False)
    assert creatures(state) == 0


@pytest.mark.parametrize(("column", "direction"), [(9, 1), (0, -1)])
def test_a_creature_leaves_at_the_edge(column, direction):
    state = creature(2, column, direction)
    state[asterix.MOVE_COUNTDOWN] = 0
    assert play(state, NONE) == (0, False)
    assert creatures(state) == 0
    assert cells(state, TRAIL) == []


def test_on_a_full_board_nothing_enters_but_two_draws_are_taken():
    state = fresh()
    for row in range(1, 9):
        creature(row, 0, 1, state=state)
    state[asterix.SPAWN_COUNTDOWN] = 0
    source = tape(0.1, 0.1, 0.5)
    play(state, NONE, source)
    assert source[0] == 3
    assert creatures(state) == 8
    assert state[asterix.SPAWN_COUNTDOWN] == 9


def test_one_empty_lane_is_found_with_a_third_draw():
    state = fresh()
    for row in (1, 2, 3, 4, 5, 7, 8):
        creature(row, 0, 1, state=state)
    state[asterix.SPAWN_COUNTDOWN] = 0
    source = tape(0.7, 0.5, 0)
    play(state, NONE, source)
    assert source[0] == source.size
    assert (6, 9) in cells(state, ENEMY)
    assert len(cells(state, TRAIL)) == 0, "behind each creature the board ends"


def test_the_rest_of_a_step_runs_after_the_game_is_over():
    state = creature(5, 5, 1)
    creature(7, 3, 1, gold=True, state=state)
    state[asterix.MOVE_COUNTDOWN] = state[asterix.SPAWN_COUNTDOWN] = 0
    source = tape(0.2, 0.9, 0)
    assert play(state, NONE, source) == (0, True)
    assert cells(state, ENEMY) == [(1, 1), (5, 6)]
    assert cells(state, GOLD) == [(7, 4)]


@pytest.mark.parametrize("ramping", [True, False])
def test_the_game_becomes_harder_every_102_steps(ramping):
    state, periods = fresh(), {}
    source = tape(*[0.9] * 5000)  # lane 0 is asked for, always an enemy to the left
    for step in range(1, 1100):
        play(state, NONE, source, ramping)
        now = (int(state[asterix.SPAWN_PERIOD]), int(state[asterix.MOVE_PERIOD]))
        if now not in periods.values():
            periods[step] = now
    schedule = [(9, 5), (8, 4), (7, 4), (6, 3), (5, 3), (4, 2), (3, 2), (2, 1), (1, 1)]
    expected = {1: (10, 5)}
    if ramping:
        expected |= dict(zip(range(102, 919, 102), schedule, strict=True))
    assert periods == expected


@pytest.mark.parametrize(
    ("action", "end"),
    [(LEFT, (5, 0)), (RIGHT, (5, 9)), (UP, (1, 5)), (DOWN, (8, 5)), (5, (5, 5))],
)
def test_the_player_stays_between_the_edges(action, end):
    state = fresh()
    for _ in range(10):
        play(state, action)
    assert cells(state, PLAYER) == [end]
