"""MinAtar's Asterix: one game is one row of integers.

Written from a description of the game's behaviour; see ``tests/rl`` for the comparison
with the original, step by step. Source of the game: Young & Tian, arXiv 1903.03176.
"""

from isometry.core.extras import extra
from isometry.rl.games.draws import integer, uniform

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

CHANNELS = ("player", "enemy", "trail", "gold")
MINIMAL_ACTIONS = (0, 1, 2, 3, 4)  # none, left, up, right, down

# What the entries of the row mean. A lane is three numbers in each row from 1 to 8: the
# column of its creature, its direction (+1, -1; 0: the lane is empty), if it is gold.
ROW, COLUMN = 0, 1
SPAWN_PERIOD, SPAWN_COUNTDOWN = 2, 3
MOVE_PERIOD, MOVE_COUNTDOWN = 4, 5
RAMP_COUNTDOWN, LEVEL = 6, 7
COLUMNS, DIRECTIONS, GOLD = 8, 16, 24
STATE_SIZE = 32
RAMP_STEPS = 100


@njit
def reset(state: NDArray[np.int32], source: NDArray) -> None:
    """Start a game; no draws.

    Args:
        state: int32 ``(STATE_SIZE,)``, overwritten.
        source: Not used.
    """
    state[:] = 0
    state[ROW] = state[COLUMN] = 5
    state[SPAWN_PERIOD] = state[SPAWN_COUNTDOWN] = 10
    state[MOVE_PERIOD] = state[MOVE_COUNTDOWN] = 5
    state[RAMP_COUNTDOWN] = RAMP_STEPS


@njit
def _spawn(state: NDArray[np.int32], source: NDArray) -> None:
    """Let a creature enter one of the empty lanes; none is replaced."""
    to_right = uniform(source) < 0.5
    gold = uniform(source) < 1 / 3
    empty = 0
    for k in range(8):
        empty += state[DIRECTIONS + k] == 0
    if empty == 0:
        return
    wanted = integer(source, 0, empty - 1)
    for k in range(8):
        if state[DIRECTIONS + k] == 0:
            if wanted == 0:
                state[COLUMNS + k] = 0 if to_right else 9
                state[DIRECTIONS + k] = 1 if to_right else -1
                state[GOLD + k] = gold
                return
            wanted -= 1


@njit
def _touch(state: NDArray[np.int32], k: int) -> tuple[int, bool]:
    """Return reward and end if the creature of a lane is in the player's cell."""
    if (
        state[DIRECTIONS + k] == 0
        or state[ROW] != k + 1
        or state[COLUMN] != state[COLUMNS + k]
    ):
        return 0, False
    if state[GOLD + k] == 0:
        return 0, True
    state[DIRECTIONS + k] = 0
    return 1, False


@njit
def _ramp(state: NDArray[np.int32]) -> None:
    """Make the game harder, in nine steps."""
    if state[SPAWN_PERIOD] == 1 and state[MOVE_PERIOD] == 1:
        return
    if state[RAMP_COUNTDOWN] >= 0:
        state[RAMP_COUNTDOWN] -= 1
        return
    if state[LEVEL] % 2 == 1 and state[MOVE_PERIOD] > 1:
        state[MOVE_PERIOD] -= 1
    if state[SPAWN_PERIOD] > 1:
        state[SPAWN_PERIOD] -= 1
    state[LEVEL] += 1
    state[RAMP_COUNTDOWN] = RAMP_STEPS


@njit
def step(
    state: NDArray[np.int32], source: NDArray, action: int, ramping: bool
) -> tuple[int, bool]:
    """Play one step.

    Args:
        state: int32 ``(STATE_SIZE,)``, changed.
        source: Where draws come from; two or three when a creature may enter.
        action: 1 left, 2 up, 3 right, 4 down; any other does nothing.
        ramping: Whether the game becomes harder.

    Returns:
        Reward (1 for each gold taken) and whether an enemy met the player.
    """
    if state[SPAWN_COUNTDOWN] == 0:
        _spawn(state, source)
        state[SPAWN_COUNTDOWN] = state[SPAWN_PERIOD]
    if action == 1 or action == 3:
        state[COLUMN] = min(max(state[COLUMN] + action - 2, 0), 9)
    elif action == 2 or action == 4:
        state[ROW] = min(max(state[ROW] + action - 3, 1), 8)
    reward, caught = 0, False
    for k in range(8):
        gain, met = _touch(state, k)
        reward += gain
        caught = caught or met
    if state[MOVE_COUNTDOWN] == 0:
        state[MOVE_COUNTDOWN] = state[MOVE_PERIOD]
        for k in range(8):
            state[COLUMNS + k] += state[DIRECTIONS + k]
            if state[COLUMNS + k] < 0 or state[COLUMNS + k] > 9:
                state[DIRECTIONS + k] = 0
                state[COLUMNS + k] = 0
            gain, met = _touch(state, k)
            reward += gain
            caught = caught or met
    state[SPAWN_COUNTDOWN] -= 1
    state[MOVE_COUNTDOWN] -= 1
    if ramping:
        _ramp(state)
    return reward, caught


@njit
def observe(state: NDArray[np.int32], board: NDArray[np.bool_]) -> None:
    """Draw a game.

    Args:
        state: int32 ``(STATE_SIZE,)``.
        board: bool ``(10, 10, 4)``, overwritten; row, column, channel.
    """
    board[:] = False
    board[state[ROW], state[COLUMN], 0] = True
    for k in range(8):
        direction, column = state[DIRECTIONS + k], state[COLUMNS + k]
        if direction != 0:
            board[k + 1, column, 3 if state[GOLD + k] == 1 else 1] = True
            if 0 <= column - direction <= 9:
                board[k + 1, column - direction, 2] = True
