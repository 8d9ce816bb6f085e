"""Many games at a time: the loop around a game's rules, compiled once for each game."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from isometry.rl.draws import uniform
from isometry.rl.games import GAMES


@cache
def compiled(name: str) -> tuple[Callable, Callable, Callable]:
    """Return ``reset_all``, ``step_all`` and ``observe_all`` of a game.

    Args:
        name: A registered game.

    Returns:
        Three functions over arrays with one row a game; see their docstrings.

    Raises:
        KeyError: If the game is unknown.

    Source: ours. Sticky actions: Machado et al., JAIR 61 (2018).
    """
    game = GAMES.get(name)
    reset, step, observe = game.reset, game.step, game.observe

    @njit
    def reset_all(states: NDArray, sources: NDArray) -> None:
        """Start every game."""
        for i in range(len(states)):
            reset(states[i], sources[i])

    @njit
    def observe_all(states: NDArray, boards: NDArray[np.bool_]) -> None:
        """Draw every game on boards that are empty before."""
        for i in range(len(states)):
            observe(states[i], boards[i])

    @njit
    def step_all(
        states: NDArray,  # int32 (n, state size), changed
        sources: NDArray,  # (n, k), changed
        executed: NDArray,  # int64 (n,), the last action executed, changed
        elapsed: NDArray,  # int64 (n,), steps of this episode, changed
        actions: NDArray,  # int64 (n,), codes of the actions asked for
        sticky: float,
        ramping: bool,
        max_steps: int,  # 0: none
        boards: NDArray,  # bool (n, 10, 10, channels), all False before
        final_boards: NDArray,  # the same
        rewards: NDArray,  # float32 (n,)
        terminated: NDArray,  # bool (n,)
        truncated: NDArray,  # bool (n,)
    ) -> int:
        """Play one step of every game, start those anew that end; return how many."""
        ended = 0
        for i in range(len(states)):
            action = actions[i]
            if uniform(sources[i]) < sticky:
                action = executed[i]
            executed[i] = action
            reward, over = step(states[i], sources[i], action, ramping)
            elapsed[i] += 1
            rewards[i] = reward
            terminated[i] = over
            truncated[i] = not over and elapsed[i] == max_steps
            if over or truncated[i]:
                ended += 1
                observe(states[i], final_boards[i])
                reset(states[i], sources[i])
                elapsed[i] = 0
            observe(states[i], boards[i])
        return ended

    return reset_all, step_all, observe_all
