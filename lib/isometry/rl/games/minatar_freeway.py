"""MinAtar's Freeway: one game is one row of integers.

Written from a description of the game's behaviour; see ``tests/rl`` for the comparison
with the original, step by step. Source of the game: Young & Tian, arXiv 1903.03176.
"""

from isometry.core.extras import extra
from isometry.rl.games.draws import integer, uniform

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

CHANNELS = ("chicken", "car", *(f"trail of speed {k}" for k in range(1, 6)))
MINIMAL_ACTIONS = (0, 2, 4)  # none, up, down

# What the entries of the row mean. A car is three numbers in each row from 1 to 8: its
# column, the steps until it moves, and its speed class, 1 (fast) to 5, negative to the
# left.
CHICKEN, COOLDOWN, TIME, COLUMNS, COUNTDOWNS, SPEEDS = 0, 1, 2, 3, 11, 19
STATE_SIZE = 27
CHICKEN_COLUMN = 4
COOLDOWN_STEPS = 3
TIME_STEPS = 2500


@njit
def _draw_speeds(state: NDArray[np.int32], source: NDArray) -> None:
    """Give every car a new speed and direction: eight integers, then eight reals."""
    for k in range(8):
        state[SPEEDS + k] = integer(source, 1, 5)
        state[COUNTDOWNS + k] = state[SPEEDS + k]
    for k in range(8):
        if uniform(source) <= 0.5:
            state[SPEEDS + k] = -state[SPEEDS + k]


@njit
def reset(state: NDArray[np.int32], source: NDArray) -> None:
    """Start a game; all cars stand in column 0.

    Args:
        state: int32 ``(STATE_SIZE,)``, overwritten.
        source: Where draws come from.
    """
    state[CHICKEN] = 9
    state[COOLDOWN] = COOLDOWN_STEPS
    state[TIME] = TIME_STEPS
    state[COLUMNS : COLUMNS + 8] = 0
    _draw_speeds(state, source)


@njit
def step(
    state: NDArray[np.int32], source: NDArray, action: int, ramping: bool
) -> tuple[int, bool]:
    """Play one step.

    Args:
        state: int32 ``(STATE_SIZE,)``, changed.
        source: Where draws come from; sixteen when the chicken arrives, else none.
        action: 2 up, 4 down; any other does nothing.
        ramping: Not used; the game does not become harder.

    Returns:
        Reward (1 for an arrival, else 0) and whether the time is over.
    """
    if state[COOLDOWN] == 0 and (action == 2 or action == 4):
        state[COOLDOWN] = COOLDOWN_STEPS
        state[CHICKEN] = min(max(state[CHICKEN] + action - 3, 0), 9)
    reward = 0
    if state[CHICKEN] == 0:
        reward = 1
        _draw_speeds(state, source)
        state[CHICKEN] = 9
    for k in range(8):
        hit = state[CHICKEN] == k + 1 and state[COLUMNS + k] == CHICKEN_COLUMN
        if hit:
            state[CHICKEN] = 9
        if state[COUNTDOWNS + k] == 0:
            speed = state[SPEEDS + k]
            state[COUNTDOWNS + k] = abs(speed)
            state[COLUMNS + k] = (state[COLUMNS + k] + (1 if speed > 0 else 9)) % 10
            if state[CHICKEN] == k + 1 and state[COLUMNS + k] == CHICKEN_COLUMN:
                state[CHICKEN] = 9
        else:
            state[COUNTDOWNS + k] -= 1
    state[COOLDOWN] = max(state[COOLDOWN] - 1, 0)
    state[TIME] -= 1
    return reward, state[TIME] < 0


@njit
def observe(state: NDArray[np.int32], board: NDArray[np.bool_]) -> None:
    """Draw a game.

    Args:
        state: int32 ``(STATE_SIZE,)``.
        board: bool ``(10, 10, 7)``, overwritten; row, column, channel.
    """
    board[:] = False
    board[state[CHICKEN], CHICKEN_COLUMN, 0] = True
    for k in range(8):
        column, speed = state[COLUMNS + k], state[SPEEDS + k]
        board[k + 1, column, 1] = True
        behind = (column + (9 if speed > 0 else 1)) % 10
        board[k + 1, behind, 1 + abs(speed)] = True
