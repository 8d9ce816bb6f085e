"""MinAtar's Space Invaders: one game is one row of integers.

Written from a description of the game's behaviour; see ``tests/rl`` for the comparison
with the original, step by step. Source of the game: Young & Tian, arXiv 1903.03176.
"""

from isometry.core.extras import extra

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

CHANNELS = (
    "cannon",
    "alien",
    "alien heading left",
    "alien heading right",
    "own bullet",
    "enemy bullet",
)
MINIMAL_ACTIONS = (0, 1, 3, 5)  # none, left, right, fire

# What the entries of the row mean. Aliens and bullets are three boards of ten rows;
# a row is ten bits, the lowest bit for column 0.
CANNON, HEADING, INTERVAL, FLEET_COUNTDOWN, GUN_COUNTDOWN, COOLDOWN, LEVEL = range(7)
ALIENS, OWN, ENEMY = 7, 17, 27
STATE_SIZE = 37
LONGEST_INTERVAL, SHORTEST_INTERVAL = 12, 6
GUN_STEPS, COOLDOWN_STEPS = 10, 5
WAVE = 0b0011111100  # columns 2 to 7
LAST = 1 << 9  # column 9


@njit
def _fill_wave(state: NDArray[np.int32]) -> None:
    """Put twenty-four aliens in place."""
    state[ALIENS : ALIENS + 4] = WAVE


@njit
def _count_aliens(state: NDArray[np.int32]) -> int:
    """Return how many aliens there are."""
    total = 0
    for row in range(10):
        bits = state[ALIENS + row]
        while bits:
            bits &= bits - 1
            total += 1
    return total


@njit
def reset(state: NDArray[np.int32], source: NDArray) -> None:
    """Start a game; no draws.

    Args:
        state: int32 ``(STATE_SIZE,)``, overwritten.
        source: Not used.
    """
    state[:] = 0
    state[CANNON] = 5
    state[HEADING] = -1
    state[INTERVAL] = state[FLEET_COUNTDOWN] = LONGEST_INTERVAL
    state[GUN_COUNTDOWN] = GUN_STEPS
    _fill_wave(state)


@njit
def _move_fleet(state: NDArray[np.int32]) -> bool:
    """Move all aliens once; return whether one had to descend from the last row."""
    columns = 0
    for row in range(10):
        columns |= state[ALIENS + row]
    edge = 1 if state[HEADING] < 0 else LAST
    if columns & edge:
        state[HEADING] = -state[HEADING]
        lowest = state[ALIENS + 9]
        for row in range(9, 0, -1):
            state[ALIENS + row] = state[ALIENS + row - 1]
        state[ALIENS] = lowest
        return lowest != 0
    for row in range(10):
        bits = state[ALIENS + row]
        state[ALIENS + row] = bits >> 1 if state[HEADING] < 0 else bits << 1
    return False


@njit
def _shoot(state: NDArray[np.int32]) -> None:
    """Let the lowest alien of the column nearest to the cannon fire."""
    for distance in range(10):
        for side in (-1, 1):  # the lower column wins a tie
            column = state[CANNON] + side * distance
            if 0 <= column <= 9:
                for row in range(9, -1, -1):
                    if state[ALIENS + row] >> column & 1:
                        state[ENEMY + row] |= 1 << column
                        return


@njit
def step(
    state: NDArray[np.int32], source: NDArray, action: int, ramping: bool
) -> tuple[int, bool]:
    """Play one step.

    Args:
        state: int32 ``(STATE_SIZE,)``, changed.
        source: Not used; there are no draws in this game.
        action: 1 left, 3 right, 5 fire; any other does nothing.
        ramping: Whether each wave is faster than the one before, up to the seventh.

    Returns:
        Reward (1 for each alien hit) and whether the cannon was hit or met.
    """
    if action == 5 and state[COOLDOWN] == 0:
        state[OWN + 9] |= 1 << state[CANNON]
        state[COOLDOWN] = COOLDOWN_STEPS
    elif action == 1 or action == 3:
        state[CANNON] = min(max(state[CANNON] + action - 2, 0), 9)
    cannon = 1 << state[CANNON]
    for row in range(9):
        state[OWN + row] = state[OWN + row + 1]
        state[ENEMY + 9 - row] = state[ENEMY + 8 - row]
    state[OWN + 9] = state[ENEMY] = 0
    over = state[ENEMY + 9] & cannon != 0 or state[ALIENS + 9] & cannon != 0
    if state[FLEET_COUNTDOWN] == 0:
        state[FLEET_COUNTDOWN] = min(_count_aliens(state), state[INTERVAL])
        landed = _move_fleet(state)
        over = over or landed or state[ALIENS + 9] & cannon != 0
    if state[GUN_COUNTDOWN] == 0:
        state[GUN_COUNTDOWN] = GUN_STEPS
        _shoot(state)
    before = _count_aliens(state)
    for row in range(10):
        hits = state[ALIENS + row] & state[OWN + row]
        state[ALIENS + row] ^= hits
        state[OWN + row] ^= hits
    left = _count_aliens(state)
    state[COOLDOWN] = max(state[COOLDOWN] - 1, 0)
    state[FLEET_COUNTDOWN] -= 1
    state[GUN_COUNTDOWN] -= 1
    if left == 0:
        if ramping and state[INTERVAL] > SHORTEST_INTERVAL:
            state[INTERVAL] -= 1
            state[LEVEL] += 1
        _fill_wave(state)
    return before - left, over


@njit
def observe(state: NDArray[np.int32], board: NDArray[np.bool_]) -> None:
    """Draw a game.

    Args:
        state: int32 ``(STATE_SIZE,)``.
        board: bool ``(10, 10, 6)``, overwritten; row, column, channel.
    """
    board[:] = False
    board[9, state[CANNON], 0] = True
    heading = 2 if state[HEADING] < 0 else 3
    for row in range(10):
        for column in range(10):
            alien = state[ALIENS + row] >> column & 1 == 1
            board[row, column, 1] = alien
            board[row, column, heading] = alien
            board[row, column, 4] = state[OWN + row] >> column & 1 == 1
            board[row, column, 5] = state[ENEMY + row] >> column & 1 == 1
