"""Breakout by scenarios: what each rule does, step by step."""

import numpy as np
import pytest

from isometry.rl.games import minatar_breakout as breakout
from isometry.rl.games.draws import tape
from isometry.rl.games.registry import GAMES

NONE, LEFT, RIGHT = 0, 1, 3
HEADINGS = {"UL": (-1, -1), "UR": (-1, 1), "DR": (1, 1), "DL": (1, -1)}


def fresh(side):
    state = np.zeros(breakout.STATE_SIZE, dtype=np.int32)
    breakout.reset(state, tape(side))
    return state


def placed(ball, heading, paddle=4, bricks=True, latch=False):
    state = fresh(0)
    state[breakout.ROW], state[breakout.COLUMN] = ball
    state[breakout.DOWN], state[breakout.RIGHT] = HEADINGS[heading]
    state[breakout.PADDLE] = paddle
    state[breakout.LATCH] = latch
    if not bricks:
        state[breakout.BRICKS :] = 0
        state[breakout.LEFT_OVER] = 0
    return state


def play(state, *actions):
    return [breakout.step(state, tape(), action, True) for action in actions]


def ball(state):
    return int(state[breakout.ROW]), int(state[breakout.COLUMN])


def heading(state):
    found = (state[breakout.DOWN], state[breakout.RIGHT])
    return next(name for name, value in HEADINGS.items() if value == found)


def board_of(state):
    board = np.zeros((10, 10, 4), dtype=np.bool_)
    breakout.observe(state, board)
    return board


def test_a_game_starts_on_either_side():
    left, right = board_of(fresh(0)), board_of(fresh(1))
    assert left[3, 0, 1]
    assert right[3, 9, 1]
    for board in (left, right):
        assert board[9, 4, 0]
        assert board[..., 3].sum() == 30
        assert board[1:4, :, 3].all()
        np.testing.assert_array_equal(board[..., 1], board[..., 2])
        assert board[..., :3].sum() == 3


def test_an_idle_player_loses_the_ball_from_the_left_on_step_six():
    state = fresh(0)
    cells, ends = [], []
    for _ in range(6):
        ends += play(state, NONE)
        cells.append(ball(state))
    assert cells == [(4, 1), (5, 2), (6, 3), (7, 4), (8, 5), (9, 6)]
    assert ends == [(0, False)] * 5 + [(0, True)]


def test_an_idle_player_scores_once_with_the_ball_from_the_right():
    state = fresh(1)
    seen = {}
    for step in range(1, 17):
        seen[step] = (*play(state, NONE), ball(state), heading(state))
    assert seen[5][1] == (8, 4)
    assert seen[6][1:] == ((8, 3), "UL")
    assert seen[9][1] == (5, 0)
    assert seen[10][1:] == ((4, 0), "UR")
    assert seen[11] == ((1, False), (4, 1), "DR")
    assert seen[16][:2] == ((0, True), (9, 6))
    assert sum(entry[0][0] for entry in seen.values()) == 1
    assert not any(seen[step][0][1] for step in range(1, 16))


@pytest.mark.parametrize(
    ("paddle", "action", "end", "where", "to"),
    [
        (3, NONE, False, (8, 4), "UR"),
        (4, NONE, False, (8, 4), "UL"),
        (5, NONE, True, (9, 4), "DR"),
        (2, RIGHT, False, (8, 4), "UR"),
        (3, RIGHT, False, (8, 4), "UL"),
        (4, LEFT, False, (8, 4), "UR"),
    ],
)
def test_the_paddle_returns_the_ball_by_where_it_stands(paddle, action, end, where, to):
    state = placed((8, 3), "DR", paddle)
    assert play(state, action) == [(0, end)]
    assert (ball(state), heading(state)) == (where, to)


def test_a_brick_breaks_and_sends_the_ball_back():
    state = placed((4, 0), "UL")
    assert play(state, NONE) == [(1, False)]
    assert (ball(state), heading(state)) == ((4, 0), "DR")
    board = board_of(state)
    assert not board[3, 0, 3]
    assert board[..., 3].sum() == 29
    assert state[breakout.LATCH] == 1
    assert play(state, NONE) == [(0, False)]
    assert ball(state) == (5, 1)
    assert state[breakout.LATCH] == 0


def test_after_a_hit_the_ball_flies_through_bricks():
    state = placed((4, 4), "UL", latch=True)
    rewards, cells = [], []
    for _ in range(9):
        rewards.append(play(state, NONE)[0][0])
        cells.append(ball(state))
    assert cells[:5] == [(3, 3), (2, 2), (1, 1), (0, 0), (0, 0)]
    assert cells[5:] == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert rewards == [0, 0, 0, 0, 0, 1, 0, 1, 0]
    assert board_of(state)[..., 3].sum() == 28
    assert state[breakout.LEFT_OVER] == 28


def test_bricks_come_back_when_the_ball_comes_down_even_if_it_is_missed():
    state = placed((8, 3), "DR", paddle=9, bricks=False)
    assert play(state, NONE) == [(0, True)]
    assert ball(state) == (9, 4)
    assert board_of(state)[..., 3].sum() == 30


def test_bricks_come_back_and_the_ball_goes_on_if_it_is_met():
    state = placed((8, 3), "DR", paddle=3, bricks=False)
    assert play(state, NONE) == [(0, False)]
    assert (ball(state), heading(state)) == ((8, 4), "UR")
    assert board_of(state)[..., 3].sum() == 30


def test_a_ball_that_rises_to_an_empty_board_finds_no_bricks():
    state = placed((4, 4), "UL", bricks=False)
    assert play(state, *[NONE] * 4) == [(0, False)] * 4
    assert board_of(state)[..., 3].sum() == 0


def test_side_wall_and_paddle_in_one_step():
    state = placed((8, 9), "DR", paddle=9)
    assert play(state, NONE) == [(0, False)]
    assert (ball(state), heading(state)) == ((8, 9), "UL")


@pytest.mark.parametrize(("action", "column"), [(LEFT, 0), (RIGHT, 9), (2, 4), (5, 4)])
def test_the_paddle_stays_on_the_board(action, column):
    state = placed((5, 5), "UR")
    play(state, *[action] * 3)
    expected = column if column == 4 else 4 + 3 * (1 if column else -1)
    assert state[breakout.PADDLE] == expected
    state[breakout.PADDLE] = column
    play(state, action)
    assert state[breakout.PADDLE] == column


def test_the_trail_is_where_the_ball_was():
    state = placed((5, 5), "UR")
    play(state, NONE)
    board = board_of(state)
    assert board[5, 5, 2]
    assert board[4, 6, 1]
    assert board.shape[-1] == GAMES.get("minatar/breakout").shape[-1]
