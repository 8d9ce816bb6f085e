"""Many games at a time: the loop around a game's rules, compiled once for these.

The loops hold no lock of Python's, so that threads can play at the same time.
"""

from collections.abc import Callable
from functools import cache

from isometry.core.code_cache import kept_on_disk
from isometry.core.extras import extra
from isometry.rl.games.draws import uniform
from isometry.rl.games.registry import GAMES

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray


def compiled(name: str) -> tuple[Callable, Callable, Callable]:
    """Return ``reset_all``, ``step_all`` and ``observe_all`` of a game.

    Args:
        name: A registered game.

    Returns:
        Three functions over arrays with one row a game; see their docstrings. Games
        with the same rules share them. Their code is kept on disk, see
        :mod:`isometry.core.code_cache`.

    Raises:
        KeyError: If the game is unknown.

    Source: ours. Sticky actions: Machado et al., JAIR 61 (2018).
    """
    game = GAMES.get(name)
    return _loops(game.reset, game.step, game.observe, "sticky" in game.settings)


@cache
def _loops(
    reset: Callable, step: Callable, observe: Callable, may_stick: bool
) -> tuple[Callable, Callable, Callable]:
    @njit(nogil=True)
    def reset_all(
        states: NDArray,  # (n, state size), changed
        sources: NDArray,  # (n, k), changed
        start: NDArray,  # (state size,), what a state is before its reset
        chosen: NDArray[np.bool_],  # (n,), which games
        boards: NDArray[np.bool_],  # (n, ...), overwritten for those
    ) -> None:
        """Start the chosen games and draw them."""
        for i in range(len(states)):
            if chosen[i]:
                states[i] = start
                reset(states[i], sources[i])
                observe(states[i], boards[i])

    @njit(nogil=True)
    def observe_all(states: NDArray, boards: NDArray[np.bool_]) -> None:
        """Draw every game."""
        for i in range(len(states)):
            observe(states[i], boards[i])

    @njit(nogil=True)
    def step_all(
        states: NDArray,  # (n, state size), changed
        sources: NDArray,  # (n, k), changed
        executed: NDArray,  # int64 (n,), the last action executed, changed
        elapsed: NDArray,  # int64 (n,), steps of this episode, changed
        waiting: NDArray[np.bool_],  # (n,), which games are drawn and not played
        actions: NDArray,  # int64 (n,), codes of the actions asked for
        sticky: float,
        rule: bool,  # the game's own setting, e.g. ramping
        max_steps: int,  # 0: none
        boards: NDArray,  # bool (n, ...), overwritten
        rewards: NDArray,  # float32 (n,)
        terminated: NDArray,  # bool (n,)
        truncated: NDArray,  # bool (n,)
    ) -> int:
        """Play one step of every game and draw it; return how many have ended."""
        ended = 0
        for i in range(len(states)):
            if waiting[i]:
                rewards[i], terminated[i], truncated[i] = 0, False, False
                observe(states[i], boards[i])
                continue
            action = actions[i]
            if may_stick and uniform(sources[i]) < sticky:
                action = executed[i]
            executed[i] = action
            reward, over = step(states[i], sources[i], action, rule)
            elapsed[i] += 1
            rewards[i] = reward
            terminated[i] = over
            truncated[i] = not over and elapsed[i] == max_steps
            ended += terminated[i] or truncated[i]
            observe(states[i], boards[i])
        return ended

    what = step.__module__.rpartition(".")[-1]  # all games of Octax are one
    return (
        kept_on_disk(reset_all, what),
        kept_on_disk(step_all, what),
        kept_on_disk(observe_all, what),
    )


@kept_on_disk
@njit(nogil=True)
def keep_ends(
    done: NDArray[np.bool_],  # (n,), which games have ended
    boards: NDArray[np.bool_],  # (n, features)
    last_boards: NDArray[np.bool_],  # (n, features), overwritten for those
    returns: NDArray,  # float64 (n,), zeroed for those
    elapsed: NDArray,  # int64 (n,), zeroed for those
    last_returns: NDArray,  # float64 (n,), overwritten for those
    lengths: NDArray,  # int64 (n,), overwritten for those
) -> None:
    """Write down what ended games end with, before they start anew."""
    for i in range(len(done)):
        if done[i]:
            for feature in range(boards.shape[1]):
                last_boards[i, feature] = boards[i, feature]
            last_returns[i], lengths[i] = returns[i], elapsed[i]
            returns[i] = elapsed[i] = 0
