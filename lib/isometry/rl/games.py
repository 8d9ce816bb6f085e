"""The games by name, each as three compiled functions over a row of integers."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from isometry.core.registry import Registry
from isometry.rl import (
    minatar_asterix,
    minatar_breakout,
    minatar_freeway,
    minatar_seaquest,
    minatar_space_invaders,
)

SIZE = 10  # rows and columns of a board
FULL_ACTIONS = tuple(range(6))  # none, left, up, right, down, fire


@dataclass(frozen=True, kw_only=True)
class Game:
    """What it takes to play a game.

    Attributes:
        name: ``suite/game``.
        channels: What each channel of the board shows.
        minimal_actions: Codes of the actions that do something, the first nothing.
        state_size: Integers of a game.
        reset: ``(state, source)`` starts a game.
        step: ``(state, source, action, ramping)`` plays a step and returns the reward
            and whether the game is over.
        observe: ``(state, board)`` draws the game on an empty board.

    Source: ours.
    """

    name: str
    channels: tuple[str, ...]
    minimal_actions: tuple[int, ...]
    state_size: int
    reset: Callable
    step: Callable
    observe: Callable


GAMES: Registry[Game] = Registry("game")


def _register(name: str, rules: ModuleType) -> None:
    GAMES.register(
        name,
        Game(
            name=name,
            channels=rules.CHANNELS,
            minimal_actions=rules.MINIMAL_ACTIONS,
            state_size=rules.STATE_SIZE,
            reset=rules.reset,
            step=rules.step,
            observe=rules.observe,
        ),
    )


_register("minatar/breakout", minatar_breakout)
_register("minatar/asterix", minatar_asterix)
_register("minatar/space_invaders", minatar_space_invaders)
_register("minatar/freeway", minatar_freeway)
_register("minatar/seaquest", minatar_seaquest)
