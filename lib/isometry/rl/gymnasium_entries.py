"""The games in gymnasium's own list: ``gymnasium.make("MinAtar/Breakout-isometry")``.

Importing this fills the list, as importing ``isometry.rl`` after gymnasium does; so
does ``gymnasium.make("isometry.rl.gymnasium_entries:MinAtar/Breakout-isometry")``.
Nothing here needs numba.
"""

import copy
from typing import TYPE_CHECKING, Any

from isometry.core.extras import extra
from isometry.rl.games.octax_games import OCTAX_GAMES

with extra("rl"):
    import gymnasium
    import numpy as np
    from gymnasium.envs.registration import EnvSpec

if TYPE_CHECKING:
    from isometry.rl.environments import GameVectorEnv

_SUITES = {
    "minatar": (
        "MinAtar",
        ("breakout", "asterix", "space_invaders", "freeway", "seaquest"),
    ),
    "octax": ("Octax", tuple(OCTAX_GAMES)),
}
# What gymnasium calls a game; Young and Tian's package has names without the ending.
GYMNASIUM_NAMES = {
    f"{suite}/{game}": f"{shown}/{game.title().replace('_', '')}-isometry"
    for suite, (shown, games) in _SUITES.items()
    for game in games
}


def many_games(
    name: str, num_envs: int, *, seed: int | None = None, **settings: Any
) -> "GameVectorEnv":
    """Return games side by side as ``gymnasium.make_vec`` makes them.

    Args:
        name: A registered game, e.g. ``"minatar/breakout"``.
        num_envs: How many.
        seed: Of the first reset; None: what the machine calls random.
        **settings: Those of :class:`isometry.rl.environments.GameVectorEnv`; its
            ``autoreset_mode`` is ``"next_step"`` if none is said, as it is for all
            that gymnasium makes.
    """
    from isometry.rl.environments import GameVectorEnv

    chosen = int(np.random.default_rng().integers(2**63)) if seed is None else seed
    settings = {"autoreset_mode": "next_step", **settings}
    return GameVectorEnv(name, num_envs, seed=chosen, **settings)


def recipe(
    name: str, num_envs: int, seed: int, settings: dict[str, Any]
) -> EnvSpec | None:
    """Return what ``gymnasium.make_vec`` makes the same games of; None: not listed."""
    if name not in GYMNASIUM_NAMES:
        return None
    spec = copy.deepcopy(gymnasium.spec(GYMNASIUM_NAMES[name]))
    mode = settings.get("autoreset_mode", "same_step")
    spec.kwargs = {
        "name": name,
        "num_envs": num_envs,
        "seed": seed,
        **settings,
        "autoreset_mode": getattr(mode, "name", mode),
        "vectorization_mode": "vector_entry_point",
    }
    return spec


for _name, _shown in GYMNASIUM_NAMES.items():
    gymnasium.register(
        _shown,
        entry_point="isometry.rl.single_environment:GameEnv",
        vector_entry_point="isometry.rl.gymnasium_entries:many_games",
        kwargs={"name": _name},
    )
