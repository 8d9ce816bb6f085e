"""Random draws inside compiled games: one small generator a game.

A source of draws is one row of an array. A row of ``uint64`` is a generator whose state
it holds, so that a game plays the same whatever is played beside it. A row of
``float64`` is a tape: its first entry says where the next draw stands. Tapes let a test
choose every draw.
"""

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.core.seeding import derived_seed

with extra("rl"):
    import numpy as np
    from numba import njit, types
    from numba.extending import overload
    from numpy.typing import NDArray

FROM_PYTHON = "a call from compiled code", "one from Python", "call it under numba.njit"


def sources(seed: int, count: int, name: str) -> NDArray[np.uint64]:
    """Return generators for ``count`` games, all different.

    Args:
        seed: Any integer.
        count: How many games.
        name: What is played; another name gives other draws.

    Returns:
        uint64 ``(count, 1)``.
    """
    states = [derived_seed(seed, name, index) for index in range(count)]
    return np.array(states, dtype=np.uint64).reshape(count, 1)


def tape(*draws: float) -> NDArray[np.float64]:
    """Return a source that serves the given numbers and then fails.

    Args:
        *draws: Uniform numbers and integers, in the order in which they are asked for.

    Returns:
        float64 ``(1 + len(draws),)``.
    """
    return np.array([1.0, *draws])


def uniform(source):
    """Return one number, uniform in [0, 1), inside compiled code.

    Args:
        source: A row of :func:`sources`, or a :func:`tape`.

    Raises:
        RuntimeError: If it is called from Python.

    Source: splitmix64, Steele, Lea & Flood, OOPSLA 2014; the upper 53 bits.
    """
    raise RuntimeError(refusal(*FROM_PYTHON))


@overload(uniform)
def _uniform(source):
    if isinstance(source.dtype, types.Float):

        def from_tape(source):
            position = int(source[0])
            if position >= source.size:
                raise IndexError("the tape has no more draws")
            source[0] += 1
            return source[position]

        return from_tape

    def from_state(source):
        state = source[0] + np.uint64(0x9E3779B97F4A7C15)
        source[0] = state
        mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
        return np.float64(mixed >> np.uint64(11)) * 2.0**-53

    return from_state


def integer(source, low, high):
    """Return one integer from ``low`` to ``high``, both included, in compiled code.

    Args:
        source: A row of :func:`sources`, or a :func:`tape` that holds the integer.
        low: Least value.
        high: Largest value.

    Raises:
        RuntimeError: If it is called from Python.

    Source: ours; at these small ranges the bias is below 2^-50.
    """
    raise RuntimeError(refusal(*FROM_PYTHON))


@overload(integer)
def _integer(source, low, high):
    if isinstance(source.dtype, types.Float):
        return lambda source, low, high: int(uniform(source))
    return lambda source, low, high: low + int(uniform(source) * (high - low + 1))


@njit
def _draw_many(source: NDArray, out: NDArray[np.float64]) -> None:
    """Fill ``out`` with uniform numbers, for tests of the generator."""
    for i in range(out.size):
        out[i] = uniform(source)
