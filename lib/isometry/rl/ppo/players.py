"""The games that a stack plays: one set of side-by-side games a member.

Members may play different games, as they do where each seed has its own order. Boards
of all members stand in one buffer, flat, with as many channels as the richest game has;
a member whose game has fewer leaves the others empty.

Where there are many games and cores, members play at the same time, each in a thread:
every member's games draw from sources of their own, so that the order does not matter.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor

from isometry.core.extras import extra
from isometry.core.processors import processors

with extra("rl"):
    import numpy as np
    from gymnasium.vector import VectorEnv
    from numpy.typing import NDArray

InvalidAction = Literal["first", "last"]
# Games of a member from which it gets a thread of its own. Speed over playing in turn,
# eight members of Space Invaders on two cores: 0.8 with 1,024 games, 1.0 with 2,048 and
# 1.3 with 8,192. More cores were not measured.
GAMES_FOR_A_THREAD = 2048


@dataclass(frozen=True, kw_only=True, eq=False)
class Players:
    """Games of all members, and where their numbers go.

    Attributes:
        envs: One a member, each with as many games.
        shape: Of a board in the buffer: that of the game, its last axis as long as the
            longest of all members.
        device: Where the networks are.
        staged: bool ``(members, games, features)`` on the CPU.
        codes: ``(members, actions)``: the game's action for each action of the agent.
    """

    envs: Sequence[VectorEnv]
    shape: tuple[int, ...]
    device: torch.device
    staged: Tensor
    codes: NDArray[np.int64]

    @property
    def num_envs(self) -> int:
        """Games of a member."""
        return self.envs[0].num_envs

    @property
    def features(self) -> int:
        """Length of a flat board."""
        return prod(self.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a step of all games gave; arrays ``(members, games)``.

    Attributes:
        rewards: float32.
        terminated: Bool, the game's own end.
        truncated: Bool, the limit of steps.
        infos: One dictionary a member, as gymnasium's.

    Source: gymnasium.
    """

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    infos: list[dict[str, Any]]


def _action_codes(
    native: int, num_actions: int, invalid: InvalidAction
) -> NDArray[np.int64]:
    """Return which of a game's actions each of the agent's is.

    Source: :data:`isometry.rl.protocols.AUTHORS_CODE` (``first``).

    Example:
        >>> _action_codes(3, 6, "first").tolist()
        [0, 1, 2, 0, 0, 0]
    """
    codes = np.arange(num_actions)
    codes[native:] = 0 if invalid == "first" else native - 1
    return codes


def players_of(
    envs: Sequence[VectorEnv],
    num_actions: int,
    invalid: InvalidAction,
    device: torch.device,
) -> Players:
    """Return the players of a stack, their games not started yet.

    Args:
        envs: One a member.
        num_actions: Actions of the agent.
        invalid: See :func:`_action_codes`.
        device: Where the networks are.
    """
    shapes = [env.single_observation_space.shape or () for env in envs]
    shape = (*shapes[0][:-1], max(own[-1] for own in shapes))
    staged = torch.zeros(len(envs), envs[0].num_envs, prod(shape), dtype=torch.bool)
    if device.type == "cuda":
        staged = staged.pin_memory()
    codes = [
        _action_codes(int(env.single_action_space.n), num_actions, invalid)  # type: ignore[attr-defined]
        for env in envs
    ]
    return Players(
        envs=envs, shape=shape, device=device, staged=staged, codes=np.stack(codes)
    )


def _placed_(players: Players, member: int, boards: NDArray) -> None:
    """Write a member's boards into the buffer on the CPU."""
    whole = players.staged[member].numpy().reshape(-1, *players.shape)
    whole[..., : boards.shape[-1]] = boards


def reset_(players: Players, boards: Tensor) -> None:
    """Start all games.

    Args:
        players: The games.
        boards: bool ``(members, games, features)``, overwritten.
    """
    for member, env in enumerate(players.envs):
        _placed_(players, member, env.reset()[0])
    boards.copy_(players.staged)


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that play, one a core that this process may use."""
    return ThreadPoolExecutor(processors(), "games")


def _in_threads(players: Players) -> bool:
    """Return whether members play at the same time."""
    several = len(players.envs) > 1 and players.num_envs >= GAMES_FOR_A_THREAD
    return several and processors() > 1


def step_(players: Players, actions: Tensor, boards: Tensor) -> Outcome:
    """Play one step of all games: the one place where a GPU waits for the games.

    Args:
        players: The games.
        actions: int64 ``(members, games)``, of the agent.
        boards: bool ``(members, games, features)``, overwritten.
    """
    asked = actions.cpu().numpy()

    def played(member: int) -> tuple[Any, ...]:
        codes = players.codes[member][asked[member]]
        boards, *rest = players.envs[member].step(codes)
        _placed_(players, member, boards)
        return tuple(rest)

    members = range(len(players.envs))
    in_turn = _threads().map if _in_threads(players) else map
    found = list(in_turn(played, members))
    # The buffer is not written to before the next actions have come from the GPU.
    boards.copy_(players.staged, non_blocking=True)
    rewards, terminated, truncated, infos = zip(*found, strict=True)
    return Outcome(
        rewards=np.stack(rewards),
        terminated=np.stack(terminated),
        truncated=np.stack(truncated),
        infos=list(infos),
    )


def last_boards(players: Players, outcome: Outcome, member: int) -> Tensor:
    """Return the last boards of a member's games that were cut, flat.

    Args:
        players: The games.
        outcome: Of a step.
        member: Which one.

    Returns:
        bool ``(cut games, features)``, in the order of the games.
    """
    cut = outcome.truncated[member]
    boards = outcome.infos[member]["final_obs"][cut]
    whole = np.zeros((len(boards), *players.shape), dtype=np.bool_)
    whole[..., : boards.shape[-1]] = boards
    return torch.from_numpy(whole.reshape(len(boards), players.features))
