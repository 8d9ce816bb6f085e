"""The settings of a continual run: which games, in which order, for how long."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from isometry.core.extras import extra
from isometry.core.settings import require, setting
from isometry.rl.ppo.settings import PPOSettings

with extra("rl"):
    import numpy as np

# Their places in the draws of the paper's channel orders.
PLACES = ("breakout", "asterix", "space_invaders", "freeway", "seaquest")


@dataclass(frozen=True, kw_only=True)
class ContinualSettings(PPOSettings):
    """What a continual run does, apart from the method.

    A *visit* is the time with one game, a *cycle* one visit of each.

    Source: :data:`isometry.rl.protocols.AUTHORS_CODE`; what departs from it can be set.
    """

    games: str = setting(
        "breakout,asterix,space_invaders,freeway", "Games of a cycle, with commas."
    )
    order: Literal["shuffled", "fixed"] = setting(
        "shuffled", "shuffled: a new order for each seed and cycle; fixed: as named."
    )
    cycles: int = setting(20, "How often each game is visited, >= 1.")
    env_steps: int = setting(
        15_000_000, "Environment steps of a visit, >= 1; the last update is completed."
    )
    num_actions: int = setting(6, "Actions of the agent, the same in all games, >= 1.")
    action_set: Literal["minimal", "full"] = setting(
        "minimal", "A game's actions: minimal: its own; full: the same in all games."
    )
    invalid_action: Literal["first", "last"] = setting(
        "first",
        "What actions do that a game does not have: as its first one, in MinAtar "
        "nothing, or its last, in Octax nothing.",
    )
    pad_channels: int = setting(
        10, "Channels of the boards that agents see, empty ones included; 0: their own."
    )
    permute_channels: bool = setting(
        True, "Whether the channels stand in a new order at each visit."
    )
    sticky: float = setting(0.0, "MinAtar: probability that an action is repeated.")
    ramping: bool = setting(True, "MinAtar: whether games become harder.")
    timer_wrap: bool = setting(True, "Octax: whether timers go on from 0 to 255.")
    max_steps: int = setting(1000, "Steps after which an episode is cut, >= 1.")
    freeway_max_steps: int = setting(2500, "The same for Freeway, >= 1.")
    reset_optimizer: bool = setting(True, "Whether each visit resets the optimiser.")
    protect_heads: bool = setting(
        True, "Whether methods leave the heads alone and act on hidden layers only."
    )
    protect_value_head: bool = setting(
        True,
        "False: while the policy's head is left alone, methods act on the value's "
        "as on hidden layers.",
        later=True,
    )
    protect_shared: bool = setting(
        True, "Whether they leave shared convolutions alone as well."
    )
    eval_every: int = setting(
        524_288, "Environment steps between evaluations, >= 0; 0: visits' ends only."
    )
    eval_episodes: int = setting(128, "Episodes of an evaluation, >= 1.")
    eval_all_games: bool = setting(
        True, "Whether all games are evaluated at the end of a visit."
    )
    diagnose_every: int = setting(1, "Diagnose after every n-th visit; 0: never.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in (
            "cycles",
            "env_steps",
            "num_actions",
            "max_steps",
            "freeway_max_steps",
            "eval_episodes",
        ):
            require(getattr(self, key) >= 1, key, f"{key} >= 1", getattr(self, key))
        for key in ("pad_channels", "eval_every", "diagnose_every"):
            require(getattr(self, key) >= 0, key, f"{key} >= 0", getattr(self, key))
        require(0 <= self.sticky <= 1, "sticky", "0 <= sticky <= 1", self.sticky)
        heads, value_head = self.protect_heads, self.protect_value_head
        needed = "protect_value_head=true while protect_heads=false"
        require(heads or value_head, "one of the two", needed, value_head)
        names = self.names
        distinct = bool(names) and len(set(names)) == len(names) and all(names)
        require(distinct, "games", "distinct games, with commas", repr(self.games))

    @property
    def names(self) -> tuple[str, ...]:
        """The games of a cycle as named."""
        return tuple(name.strip() for name in self.games.split(","))

    @property
    def tasks(self) -> int:
        """Visits: what a task is to the results store."""
        return len(self.names) * self.cycles

    @property
    def updates(self) -> int:
        """Updates of a visit."""
        return ceil(self.env_steps / self.update_steps)

    @property
    def steps_per_task(self) -> int:
        """Gradient steps of a visit."""
        return self.updates * self.gradient_steps

    @property
    def updates_between_evaluations(self) -> int:
        """Updates between two evaluations of a visit."""
        if not self.eval_every:
            return self.updates
        return max(1, round(self.eval_every / self.update_steps))


def game_of(settings: ContinualSettings, seed: int, visit: int) -> str:
    """Return which game a seed plays at a visit.

    Args:
        settings: Games and their order.
        seed: The member's seed.
        visit: Number of the visit, from 0.

    Source: the draw is that of :data:`isometry.rl.protocols.AUTHORS_CODE`.

    Example:
        >>> settings = ContinualSettings()
        >>> [game_of(settings, 26, visit) for visit in range(4)]
        ['space_invaders', 'freeway', 'asterix', 'breakout']
    """
    cycle, place = divmod(visit, len(settings.names))
    if settings.order == "fixed":
        return settings.names[place]
    draw = np.random.default_rng(abs(seed + cycle * 7919))
    return settings.names[draw.permutation(len(settings.names))[place]]


def channels_of(
    settings: ContinualSettings, seed: int, visit: int, game: str
) -> list[int]:
    """Return where each channel of a game's boards stands among those the agent sees.

    The agent's channel j shows channel ``order[j]`` of the padded board; this is the
    inverse. Channels that a game does not have are at its end.

    Args:
        settings: How many channels, and whether they are permuted.
        seed: The member's seed.
        visit: Number of the visit; one order for each seed, game and cycle.
        game: Which game.

    Source: the draw is that of :data:`isometry.rl.protocols.AUTHORS_CODE`; a game
        that it does not have takes the places after.
    """
    if not settings.permute_channels:
        return list(range(settings.pad_channels))
    known = (*PLACES, *(name for name in settings.names if name not in PLACES))
    cycle = visit // len(settings.names)
    draw = np.random.default_rng(abs(seed * 10_000 + known.index(game) * 100 + cycle))
    return [int(place) for place in draw.permutation(settings.pad_channels).argsort()]
