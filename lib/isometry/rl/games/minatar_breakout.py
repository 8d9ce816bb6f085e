"""MinAtar's Breakout: one game is one row of integers.

Written from a description of the game's behaviour; see ``tests/rl`` for the comparison
with the original, step by step. Source of the game: Young & Tian, arXiv 1903.03176.
"""

from isometry.core.extras import extra
from isometry.rl.games.draws import integer

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

CHANNELS = ("paddle", "ball", "trail", "brick")
MINIMAL_ACTIONS = (0, 1, 3)  # none, left, right

# What the entries of the row mean; the heading is +1 or -1 in each direction.
PADDLE, ROW, COLUMN, DOWN, RIGHT, OLD_ROW, OLD_COLUMN, LATCH, LEFT_OVER, BRICKS = range(
    10
)
STATE_SIZE = BRICKS + 30  # the bricks of rows 1, 2, 3


@njit
def _fill_bricks(state: NDArray[np.int32]) -> None:
    """Put all thirty bricks back."""
    state[BRICKS:] = 1
    state[LEFT_OVER] = 30


@njit
def reset(state: NDArray[np.int32], source: NDArray) -> None:
    """Start a game; one draw decides from which side the ball comes.

    Args:
        state: int32 ``(STATE_SIZE,)``, overwritten.
        source: Where draws come from.
    """
    side = integer(source, 0, 1)
    state[PADDLE] = 4
    state[ROW] = state[OLD_ROW] = 3
    state[COLUMN] = state[OLD_COLUMN] = 9 * side
    state[DOWN] = 1
    state[RIGHT] = 1 - 2 * side
    state[LATCH] = 0
    _fill_bricks(state)


@njit
def step(
    state: NDArray[np.int32], source: NDArray, action: int, ramping: bool
) -> tuple[int, bool]:
    """Play one step.

    Args:
        state: int32 ``(STATE_SIZE,)``, changed.
        source: Not used; no draws after the start.
        action: 1 left, 3 right; any other does nothing.
        ramping: Not used; the game does not become harder.

    Returns:
        Reward (1 for a brick, else 0) and whether the ball was missed.
    """
    if action == 1:
        state[PADDLE] = max(state[PADDLE] - 1, 0)
    elif action == 3:
        state[PADDLE] = min(state[PADDLE] + 1, 9)
    row, column = state[ROW], state[COLUMN]
    state[OLD_ROW], state[OLD_COLUMN] = row, column
    aim_row, aim_column = row + state[DOWN], column + state[RIGHT]
    if aim_column < 0 or aim_column > 9:
        aim_column = column
        state[RIGHT] = -state[RIGHT]
    reward, missed, met_brick = 0, False, False
    brick = BRICKS + 10 * (aim_row - 1) + aim_column
    if aim_row < 0:
        aim_row = 0
        state[DOWN] = -state[DOWN]
    elif 1 <= aim_row <= 3 and state[brick] == 1:
        met_brick = True
        if state[LATCH] == 0:  # while it is on, the ball flies through bricks
            reward = 1
            state[brick] = 0
            state[LEFT_OVER] -= 1
            state[LATCH] = 1
            state[DOWN] = -state[DOWN]
            aim_row = row
    elif aim_row == 9:
        if state[LEFT_OVER] == 0:
            _fill_bricks(state)
        if column == state[PADDLE]:
            state[DOWN] = -state[DOWN]
            aim_row = row
        elif aim_column == state[PADDLE]:
            state[DOWN], state[RIGHT] = -state[DOWN], -state[RIGHT]
            aim_row = row
        else:
            missed = True
    if not met_brick:
        state[LATCH] = 0
    state[ROW], state[COLUMN] = aim_row, aim_column
    return reward, missed


@njit
def observe(state: NDArray[np.int32], board: NDArray[np.bool_]) -> None:
    """Draw a game.

    Args:
        state: int32 ``(STATE_SIZE,)``.
        board: bool ``(10, 10, 4)``, overwritten; row, column, channel.
    """
    board[:] = False
    board[9, state[PADDLE], 0] = True
    board[state[ROW], state[COLUMN], 1] = True
    board[state[OLD_ROW], state[OLD_COLUMN], 2] = True
    for row in range(3):
        for column in range(10):
            brick = state[BRICKS + 10 * row + column]
            board[1 + row, column, 3] = brick == 1
