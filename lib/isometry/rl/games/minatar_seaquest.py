"""MinAtar's Seaquest: one game is one row of integers.

Written from a description of the game's behaviour; see ``tests/rl`` for the comparison
with the original, step by step. Source of the game: Young & Tian, arXiv 1903.03176.
"""

from isometry.core.extras import extra
from isometry.rl.games.draws import integer, uniform

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

CHANNELS = (
    "front",
    "back",
    "own bullet",
    "trail",
    "enemy bullet",
    "fish",
    "enemy submarine",
    "oxygen",
    "divers aboard",
    "diver",
)
MINIMAL_ACTIONS = (0, 1, 2, 3, 4, 5)

# What the entries of the row mean; a direction is +1 (right) or -1.
ROW, COLUMN, FACING, OXYGEN, ABOARD, SURFACED = range(6)
SPAWN_PERIOD, SPAWN_COUNTDOWN, DIVER_COUNTDOWN, PACE, COOLDOWN, LEVEL = range(6, 12)
# Five lists follow, each in the order of creation: its length, then entries of five
# numbers. A full list takes no more; play never comes near that.
ENTRY = 5
AT_ROW, AT_COLUMN, DIRECTION, TIMER, GUN = range(5)
OWN = 12
SHOTS = OWN + 1 + 4 * ENTRY
FISH = SHOTS + 1 + 64 * ENTRY
SUBS = FISH + 1 + 64 * ENTRY
DIVERS = SUBS + 1 + 64 * ENTRY
STATE_SIZE = DIVERS + 1 + 16 * ENTRY

FULL_OXYGEN, FULL_CREW = 200, 6
DIVER_STEPS, DIVER_PACE, GUN_STEPS, COOLDOWN_STEPS = 30, 5, 10, 5


@njit
def _capacity(first: int) -> int:
    """Return how many entries the list that starts at ``first`` can hold."""
    if first == OWN:
        return 4
    return 16 if first == DIVERS else 64


@njit
def _append(
    state: NDArray[np.int32],
    first: int,
    row: int,
    column: int,
    direction: int,
    timer: int,
    gun: int,
) -> None:
    """Add an entry to the list that starts at ``first``."""
    count = state[first]
    if count == _capacity(first):
        return
    at = first + 1 + count * ENTRY
    state[at + AT_ROW], state[at + AT_COLUMN] = row, column
    state[at + DIRECTION], state[at + TIMER], state[at + GUN] = direction, timer, gun
    state[first] = count + 1


@njit
def _remove(state: NDArray[np.int32], first: int, k: int) -> None:
    """Take entry ``k`` out; the younger ones move up."""
    state[first] -= 1
    end = first + 1 + state[first] * ENTRY
    for at in range(first + 1 + k * ENTRY, end):
        state[at] = state[at + ENTRY]


@njit
def _oldest(state: NDArray[np.int32], first: int, row: int, column: int) -> int:
    """Return the first entry in a cell, or -1."""
    for k in range(state[first]):
        at = first + 1 + k * ENTRY
        if state[at + AT_ROW] == row and state[at + AT_COLUMN] == column:
            return k
    return -1


@njit
def _with_player(state: NDArray[np.int32], at: int) -> bool:
    """Return whether the entry at ``at`` is in the player's cell."""
    return state[at + AT_ROW] == state[ROW] and state[at + AT_COLUMN] == state[COLUMN]


@njit
def reset(state: NDArray[np.int32], source: NDArray) -> None:
    """Start a game; no draws.

    Args:
        state: int32 ``(STATE_SIZE,)``, overwritten.
        source: Not used.
    """
    state[:] = 0
    state[COLUMN] = 5
    state[FACING] = -1
    state[SURFACED] = 1
    state[OXYGEN] = FULL_OXYGEN
    state[SPAWN_PERIOD] = state[SPAWN_COUNTDOWN] = 20
    state[DIVER_COUNTDOWN] = DIVER_STEPS
    state[PACE] = 5


@njit
def _spawn(state: NDArray[np.int32], source: NDArray) -> None:
    """Let a fish or a submarine enter, unless its row is swum the other way."""
    direction = 1 if uniform(source) < 0.5 else -1
    first = SUBS if uniform(source) < 1 / 3 else FISH
    row = integer(source, 1, 8)
    for other in (FISH, SUBS):
        for k in range(state[other]):
            at = other + 1 + k * ENTRY
            if state[at + AT_ROW] == row and state[at + DIRECTION] != direction:
                return
    column = 0 if direction > 0 else 9
    _append(state, first, row, column, direction, state[PACE], GUN_STEPS)


@njit
def _move_own_bullets(state: NDArray[np.int32]) -> int:
    """Move the player's bullets, newest first; return how many hit."""
    hits = 0
    for k in range(state[OWN] - 1, -1, -1):
        at = OWN + 1 + k * ENTRY
        state[at + AT_COLUMN] += state[at + DIRECTION]
        row, column = state[at + AT_ROW], state[at + AT_COLUMN]
        if column < 0 or column > 9:
            _remove(state, OWN, k)
            continue
        for first in (FISH, SUBS):
            victim = _oldest(state, first, row, column)
            if victim >= 0:
                _remove(state, first, victim)
                _remove(state, OWN, k)
                hits += 1
                break
    return hits


@njit
def _move_divers(state: NDArray[np.int32]) -> None:
    """Move the divers, newest first, and take aboard those that are reached."""
    for k in range(state[DIVERS] - 1, -1, -1):
        at = DIVERS + 1 + k * ENTRY
        gone = False
        if _with_player(state, at) and state[ABOARD] < FULL_CREW:
            state[ABOARD] += 1
            gone = True
        elif state[at + TIMER] == 0:
            state[at + TIMER] = DIVER_PACE
            state[at + AT_COLUMN] += state[at + DIRECTION]
            if state[at + AT_COLUMN] < 0 or state[at + AT_COLUMN] > 9:
                gone = True
            elif _with_player(state, at) and state[ABOARD] < FULL_CREW:
                state[ABOARD] += 1
                gone = True
        else:
            state[at + TIMER] -= 1
        if gone:
            _remove(state, DIVERS, k)


@njit
def _move_enemies(state: NDArray[np.int32], first: int) -> tuple[int, bool]:
    """Move fish or submarines, newest first."""
    hits, met = 0, False
    for k in range(state[first] - 1, -1, -1):
        at = first + 1 + k * ENTRY
        gone = False
        met = met or _with_player(state, at)
        if state[at + TIMER] == 0:
            state[at + TIMER] = state[PACE]
            state[at + AT_COLUMN] += state[at + DIRECTION]
            if state[at + AT_COLUMN] < 0 or state[at + AT_COLUMN] > 9:
                gone = True
            elif _with_player(state, at):
                met = True
            else:
                bullet = _oldest(state, OWN, state[at + AT_ROW], state[at + AT_COLUMN])
                if bullet >= 0:
                    _remove(state, OWN, bullet)
                    hits += 1
                    gone = True
        else:
            state[at + TIMER] -= 1
        if first == SUBS:  # it shoots even if it is gone
            if state[at + GUN] == 0:
                state[at + GUN] = GUN_STEPS
                row, column = state[at + AT_ROW], state[at + AT_COLUMN]
                _append(state, SHOTS, row, column, state[at + DIRECTION], 0, 0)
            else:
                state[at + GUN] -= 1
        if gone:
            _remove(state, first, k)
    return hits, met


@njit
def _move_shots(state: NDArray[np.int32]) -> bool:
    """Move the enemy's bullets, newest first; return whether one met the player."""
    met = False
    for k in range(state[SHOTS] - 1, -1, -1):
        at = SHOTS + 1 + k * ENTRY
        met = met or _with_player(state, at)
        state[at + AT_COLUMN] += state[at + DIRECTION]
        if state[at + AT_COLUMN] < 0 or state[at + AT_COLUMN] > 9:
            _remove(state, SHOTS, k)
        else:
            met = met or _with_player(state, at)
    return met


@njit
def _gauge(state: NDArray[np.int32]) -> int:
    """Return the oxygen in tenths, 0 to 10."""
    return max(state[OXYGEN], 0) * 10 // FULL_OXYGEN


@njit
def _surface(state: NDArray[np.int32], ramping: bool) -> int:
    """Take air and put divers ashore; return the reward.

    With a full crew all are put ashore, and one more is counted off than there were:
    -1 aboard, as in the original. Only with exactly none aboard is surfacing fatal.
    """
    reward = 0
    state[SURFACED] = 1
    if state[ABOARD] == FULL_CREW:
        reward = _gauge(state)
        state[ABOARD] = 0
    state[OXYGEN] = FULL_OXYGEN
    state[ABOARD] -= 1
    if ramping and (state[SPAWN_PERIOD] > 1 or state[PACE] > 2):
        if state[PACE] > 2 and state[LEVEL] % 2 == 1:
            state[PACE] -= 1
        if state[SPAWN_PERIOD] > 1:
            state[SPAWN_PERIOD] -= 1
        state[LEVEL] += 1
    return reward


@njit
def step(
    state: NDArray[np.int32], source: NDArray, action: int, ramping: bool
) -> tuple[int, bool]:
    """Play one step.

    Args:
        state: int32 ``(STATE_SIZE,)``, changed.
        source: Where draws come from; three when an enemy, two when a diver may enter.
        action: 1 left, 2 up, 3 right, 4 down, 5 fire; any other does nothing.
        ramping: Whether each surfacing makes the game harder.

    Returns:
        Reward (1 for each hit; the oxygen left in tenths for a full crew) and whether
        the submarine was lost.
    """
    if state[SPAWN_COUNTDOWN] == 0:
        _spawn(state, source)
        state[SPAWN_COUNTDOWN] = state[SPAWN_PERIOD]
    if state[DIVER_COUNTDOWN] == 0:
        direction = 1 if uniform(source) < 0.5 else -1
        column = 0 if direction > 0 else 9
        _append(state, DIVERS, integer(source, 1, 8), column, direction, DIVER_PACE, 0)
        state[DIVER_COUNTDOWN] = DIVER_STEPS
    if action == 5 and state[COOLDOWN] == 0:
        _append(state, OWN, state[ROW], state[COLUMN], state[FACING], 0, 0)
        state[COOLDOWN] = COOLDOWN_STEPS
    elif action == 1 or action == 3:
        state[FACING] = action - 2
        state[COLUMN] = min(max(state[COLUMN] + state[FACING], 0), 9)
    elif action == 2 or action == 4:
        state[ROW] = min(max(state[ROW] + action - 3, 0), 8)
    reward = _move_own_bullets(state)
    _move_divers(state)
    hits, lost = _move_enemies(state, SUBS)
    lost = _move_shots(state) or lost
    more_hits, met = _move_enemies(state, FISH)
    reward += hits + more_hits
    lost = lost or met
    for countdown in (SPAWN_COUNTDOWN, DIVER_COUNTDOWN, COOLDOWN):
        state[countdown] = max(state[countdown] - 1, 0)
    lost = lost or state[OXYGEN] <= 0
    if state[ROW] > 0:
        state[OXYGEN] -= 1
        state[SURFACED] = 0
    elif state[SURFACED] == 0:
        if state[ABOARD] == 0:
            lost = True
        else:
            reward += _surface(state, ramping)
    return reward, lost


@njit
def observe(state: NDArray[np.int32], board: NDArray[np.bool_]) -> None:
    """Draw a game.

    Args:
        state: int32 ``(STATE_SIZE,)``.
        board: bool ``(10, 10, 10)``, overwritten; row, column, channel.
    """
    board[:] = False
    board[state[ROW], state[COLUMN], 0] = True
    board[state[ROW], state[COLUMN] - state[FACING], 1] = True
    for first, channel in ((OWN, 2), (SHOTS, 4), (FISH, 5), (SUBS, 6), (DIVERS, 9)):
        for k in range(state[first]):
            at = first + 1 + k * ENTRY
            row, column = state[at + AT_ROW], state[at + AT_COLUMN]
            board[row, column, channel] = True
            behind = column - state[at + DIRECTION]
            if channel >= 5 and 0 <= behind <= 9:
                board[row, behind, 3] = True
    board[9, : _gauge(state), 7] = True
    board[9, 9 - max(state[ABOARD], 0) : 9, 8] = True
