"""The games by name, each as three compiled functions over a row of integers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from isometry.core.extras import extra
from isometry.core.registry import Registry
from isometry.rl.games import (
    minatar_asterix,
    minatar_breakout,
    minatar_freeway,
    minatar_seaquest,
    minatar_space_invaders,
    octax_rules,
)
from isometry.rl.games.chip8 import COLUMNS, FRAMES, NO_KEY, ROWS
from isometry.rl.games.octax_games import OCTAX_GAMES, Rules
from isometry.rl.games.octax_roms import rom
from isometry.rl.games.octax_rules import MOST_STEPS, STEPS_A_SECOND
from isometry.rl.games.pictures import coloured_channels

with extra("rl"):
    import numpy as np
    from numpy.typing import NDArray

SIZE = 10  # rows and columns of a board of MinAtar
FULL_ACTIONS = tuple(range(6))  # of MinAtar: none, left, up, right, down, fire
ALL_KEYS = tuple(range(NO_KEY + 1))  # of CHIP-8: sixteen keys, then none


@dataclass(frozen=True, kw_only=True)
class Game:
    """What it takes to play a game.

    Attributes:
        name: ``suite/game``.
        summary: One line for a list of games.
        shape: Of an observation, which is an array of bool.
        minimal_actions: Codes of the actions that do something, and of doing nothing.
        full_actions: Codes of the actions of all games of the suite.
        settings: What may be set, with the value that it has if nothing is said.
        rule: Name of the setting, true or false, that ``step`` is given.
        start: Returns what a state is before its reset.
        reset: ``(state, source)`` starts a game.
        step: ``(state, source, action, rule)`` plays a step and returns the reward and
            whether the game is over.
        observe: ``(state, board)`` draws the game over whatever the board shows.
        channels: Names of what a cell of a picture can show, the uppermost first.
        cells: Turns boards ``(n, *shape)`` into bool ``(n, rows, columns, channels)``.
        steps_a_second: How fast pictures should follow each other.
    """

    name: str
    summary: str
    shape: tuple[int, ...]
    minimal_actions: tuple[int, ...]
    full_actions: tuple[int, ...]
    settings: Mapping[str, Any]
    rule: str
    start: Callable[[], NDArray[np.integer]]
    reset: Callable
    step: Callable
    observe: Callable
    channels: tuple[str, ...]
    cells: Callable[[NDArray[np.bool_]], NDArray[np.bool_]]
    steps_a_second: int

    @property
    def channels_last(self) -> bool:
        """Whether an observation is ``(row, column, channel)``."""
        return self.shape[-1] == len(self.channels)

    def picture(self, boards: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return pictures of boards ``(n, *shape)``, uint8 ``(n, h, w, 3)``."""
        return coloured_channels(self.cells(boards), self.channels)


GAMES: Registry[Game] = Registry("game")


def _minatar_game(name: str, rules: ModuleType) -> Game:
    """Return a game of MinAtar.

    Source: Young & Tian, arXiv 1903.03176.
    """
    return Game(
        name=name,
        summary=f"shows {', '.join(rules.CHANNELS)}",
        shape=(SIZE, SIZE, len(rules.CHANNELS)),
        minimal_actions=rules.MINIMAL_ACTIONS,
        full_actions=FULL_ACTIONS,
        settings={
            "sticky": 0.0,
            "actions": "minimal",
            "ramping": True,
            "max_steps": None,
        },
        rule="ramping",
        start=lambda: np.zeros(rules.STATE_SIZE, dtype=np.int32),
        reset=rules.reset,
        step=rules.step,
        observe=rules.observe,
        channels=rules.CHANNELS,
        cells=lambda boards: boards,  # a board is its own picture
        steps_a_second=10,
    )


def _chip8_game(name: str, program: Callable[[], bytes], rules: Rules) -> Game:
    """Return a game that a CHIP-8 program plays, as octax plays it.

    Source: Radji et al., arXiv 2510.01764.
    """
    keys = ", ".join(map(str, rules.keys))
    return Game(
        name=name,
        summary=f"CHIP-8, played with key{'s'[: len(rules.keys) > 1]} {keys}",
        shape=(FRAMES, ROWS, COLUMNS),
        minimal_actions=(*rules.keys, NO_KEY),
        full_actions=ALL_KEYS,
        settings={"actions": "minimal", "timer_wrap": True, "max_steps": MOST_STEPS},
        rule="timer_wrap",
        start=lambda: octax_rules.start_state(program(), rules),
        reset=octax_rules.reset,
        step=octax_rules.step,
        observe=octax_rules.observe,
        channels=("screen",),
        cells=lambda frames: frames[:, -1, :, :, None],  # the newest, as one channel
        steps_a_second=STEPS_A_SECOND,
    )


for _name, _module in {
    "minatar/breakout": minatar_breakout,
    "minatar/asterix": minatar_asterix,
    "minatar/space_invaders": minatar_space_invaders,
    "minatar/freeway": minatar_freeway,
    "minatar/seaquest": minatar_seaquest,
}.items():
    GAMES.register(_name, _minatar_game(_name, _module))
for _name, (_file, _rules) in OCTAX_GAMES.items():
    _full = f"octax/{_name}"
    GAMES.register(_full, _chip8_game(_full, partial(rom, _file), _rules))
