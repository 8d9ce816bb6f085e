"""Continual reinforcement learning (chapter 7).

The games need the extra ``rl`` (numba, gymnasium); the exactly solvable processes of
``isometry.rl.tabular.mdp`` do not. Imported after gymnasium, this puts the games into
its list: ``gymnasium.make_vec("MinAtar/Breakout-isometry", 128)``.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isometry.rl.environments import GameVectorEnv

__all__ = ["make_vec"]

if sys.modules.get("gymnasium"):  # whoever only wants a list of methods has it not
    import_module("isometry.rl.gymnasium_entries")


def make_vec(
    name: str, num_envs: int, *, seed: int, **settings: Any
) -> "GameVectorEnv":
    """Return many games of one kind behind gymnasium's vector interface.

    Args:
        name: ``suite/game``, e.g. ``"minatar/breakout"`` or ``"octax/brix"``.
        num_envs: How many are played side by side, at least 1.
        seed: Of all draws.
        **settings: ``actions``, ``max_steps``, ``render_mode``, ``autoreset_mode``,
            ``dtype``, ``channels_first`` and those that only one suite has; see
            :class:`isometry.rl.environments.GameVectorEnv`.

    Raises:
        ImportError: If the extra ``rl``, or the ROM of a game of Octax, is not there.
        KeyError: If the game is unknown, with the nearest known name.
        TypeError: If a count, ``sticky`` or the seed is no number of its kind.
        ValueError: If a setting is unknown or out of range.

    Source: ours; the signature follows ``gymnasium.make_vec``.

    Example:
        >>> envs = make_vec("minatar/breakout", 3, seed=0)
        >>> boards, _ = envs.reset()
        >>> boards.shape, envs.single_action_space.n.item()
        ((3, 10, 10, 4), 3)
    """
    from isometry.rl.environments import GameVectorEnv
    from isometry.rl.gymnasium_entries import recipe

    games = GameVectorEnv(name, num_envs, seed=seed, **settings)
    games.spec = recipe(name, num_envs, seed, settings)
    return games
