"""How octax makes an environment of a CHIP-8 program: steps, timers, scores, ends.

A step is 44 instructions with one key held; the four frames of its observation show the
screen after 11, 22, 33 and 44 of them. Score and end are read from registers. A game
always starts from the same state, the one that its start-up leads to; episodes differ
by their random bytes and actions alone.

Source: a description of octax 0.1.1 (Radji et al., arXiv 2510.01764) in our own words.
"""

from isometry.core.code_cache import kept_on_disk
from isometry.core.extras import extra
from isometry.rl.games import chip8
from isometry.rl.games.chip8 import COLUMNS, FRAMES, MACHINE_SIZE, NO_KEY, ROWS, Integer
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
    Rules,
)

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray

INSTRUCTIONS = 11  # a frame: 700 a second, 60 frames a second, rounded down
MOST_STEPS = 4500  # five minutes of play
STEPS_A_SECOND = 15

# What is stored behind the machine: the last score, then the game's rules.
SCORE, ZEROED, SCORE_KIND, SCORE_REGISTER, TESTS = range(MACHINE_SIZE, MACHINE_SIZE + 5)
MOST_TESTS = 2
EXTRA = TESTS + 1 + 3 * MOST_TESTS - MACHINE_SIZE

# The eight pixels that a byte stands for, each a byte of 0 or 1.
PIXELS_OF = np.unpackbits(np.arange(256, dtype=np.uint8)).view(np.uint64)

# The random bytes of octax's start-up: those of JAX's PRNGKey(0), from JAX 0.5 on.
STARTUP_BYTES = bytes.fromhex(
    "0e24011dc6057fe314eea06046d87407eb4aadab5abae7b4fccf0de222a60aa2"
    "15915120a8063c3e081c74cd06326d0ceb8215dd"
)


def start_state(program: bytes, rules: Rules) -> NDArray[np.int64]:
    """Return the state in which every episode of a game starts.

    Args:
        program: What stands in memory from 200 (hexadecimal) on.
        rules: Of the game.

    Returns:
        int64 ``(MACHINE_SIZE + EXTRA,)``. Frames 0 to 2 are empty.

    Raises:
        ValueError: If the program does not fit.
    """
    state = chip8.power_on(program, EXTRA)
    held = NO_KEY if rules.held is None else rules.held
    chip8.run(state, _pressed(held), rules.startup, tape(*STARTUP_BYTES))
    state[ZEROED] = rules.zeroed
    state[SCORE_KIND], state[SCORE_REGISTER] = rules.score, rules.score_register
    state[TESTS] = len(rules.ends)
    ends = np.array(rules.ends, dtype=np.int64).ravel()
    state[TESTS + 1 : TESTS + 1 + ends.size] = ends
    state[SCORE] = _score(state)
    return state


@kept_on_disk
@njit
def _pressed(action: int) -> int:
    """Return the keys that an action holds down, one bit each."""
    return 0 if action == NO_KEY else 1 << action


@njit
def reset(state: NDArray[np.int64], source: NDArray) -> None:
    """Start a game: nothing is left to do, the start state is always the same."""


@kept_on_disk
@njit
def _score(state: NDArray[np.int64]) -> Integer:
    """Return the score that the registers show; those of one register wrap at 256."""
    v, kind, register = chip8.registers(state), state[SCORE_KIND], state[SCORE_REGISTER]
    value = np.int64(v[register])
    if kind == NEGATIVE_SUM:
        return (-value - np.int64(v[register + 1])) & 0xFF
    if kind == TENS_MINUS_UNITS:
        return value // 10 - value % 10
    if kind == UP_TO_128 and value > 128:
        return 0
    return value


@njit
def _over(state: NDArray[np.int64]) -> bool:
    """Return whether one of the game's ends has come."""
    v = chip8.registers(state)
    for k in range(state[TESTS]):
        first = TESTS + 1 + 3 * k
        found, value = np.int64(v[state[first]]), state[first + 2]
        comparison = state[first + 1]
        if (
            (comparison == EQUAL and found == value)
            or (comparison == DIFFERENT and found != value)
            or (comparison == AT_LEAST and found >= value)
            or (comparison == TENS_EQUAL and found // 10 == value)
            or (comparison == UNITS_EQUAL and found % 10 == value)
        ):
            return True
    return False


@njit
def step(
    state: NDArray[np.int64], source: NDArray, action: int, timer_wrap: bool
) -> tuple[Integer, bool]:
    """Play one step.

    Args:
        state: A row of :func:`start_state`'s size, changed.
        source: Where random bytes come from.
        action: Number of the key that is held, 16 for none.
        timer_wrap: Whether a timer that ticks goes on from 0 to 255, as octax's do;
            else it rests at 0.

    Returns:
        The change of the score and whether the game is over.
    """
    keys = _pressed(action)
    screen = chip8.frame(state, FRAMES - 1)
    for number in range(FRAMES):
        chip8.run(state, keys, INSTRUCTIONS, source)
        if number < FRAMES - 1:
            chip8.frame(state, number)[:] = screen
    for timer in (chip8.DELAY, chip8.SOUND):
        if state[ZEROED]:
            state[timer] = 0
        elif state[timer] > 0 or timer_wrap:
            state[timer] = (state[timer] - 1) & 0xFF
    before = state[SCORE]
    state[SCORE] = _score(state)
    return state[SCORE] - before, _over(state)


@njit
def observe(state: NDArray[np.int64], board: NDArray[np.bool_]) -> None:
    """Draw the four frames.

    Args:
        state: A row of :func:`start_state`'s size.
        board: bool ``(4, 32, 64)``, overwritten: frame (oldest first), row, column.
    """
    eight = board.reshape(FRAMES * ROWS * COLUMNS).view(np.uint64)
    rows = state[chip8.SCREENS : chip8.REGISTERS].view(np.uint64)
    for r in range(FRAMES * ROWS):
        for k in range(8):
            bits = rows[r] >> np.uint64(56 - 8 * k) & np.uint64(0xFF)
            eight[8 * r + k] = PIXELS_OF[bits]
