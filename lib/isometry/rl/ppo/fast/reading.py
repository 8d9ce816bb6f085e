"""What actor and critic say of boards, without autograd where the network is known."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from isometry.core.stacking import Parameters
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.ppo.fast.written_chain import chain_of, forward_, is_known, turn_
from isometry.rl.sparse_boards import listed

VALUE_CHUNK = 4096  # boards of a member at a time; bounds memory
WRITTEN_CHUNK = 1024  # the same for written chains, whose buffers stay in the cache


def fastest_actor(
    network: ActorCritic, parameters: Parameters, games: int
) -> Callable[[Tensor], Tensor]:
    """Return the actor for one rollout: a function from boards to logits.

    It takes ``(members, games, features)`` and returns ``(members, games, actions)``,
    which its next call may overwrite.

    Args:
        network: Actor and critic.
        parameters: name -> ``(members, ...)``, placed; they do not change meanwhile.
        games: Of a member.
    """
    if not is_known(network, parameters):
        return partial(network.logits, parameters)
    actor = chain_of(network, parameters, "actor", games, learns=False)
    turn_(actor)  # once: the parameters stay as they are for the whole rollout
    rows = np.arange(len(actor.output) * games).reshape(-1, games)

    def logits(boards: Tensor) -> Tensor:
        forward_(actor, listed(boards), rows)
        return actor.output

    return logits


@torch.no_grad()
def fastest_values(
    network: ActorCritic, parameters: Parameters, boards: Tensor
) -> Tensor:
    """Return the critic's values of many boards, a chunk at a time.

    Args:
        network: Actor and critic.
        parameters: name -> ``(members, ...)``, placed.
        boards: ``(members, n, features)``.

    Returns:
        ``(members, n)``, in units of return.
    """
    if boards.dtype != torch.bool or not is_known(network, parameters):
        parts = boards.split(VALUE_CHUNK, dim=1)
        return torch.cat([network.values(parameters, part) for part in parts], 1)
    members, count, _ = boards.shape
    chunk = min(count, WRITTEN_CHUNK)
    critic = chain_of(network, parameters, "critic", chunk, learns=False)
    on = listed(boards)
    turn_(critic)
    values = critic.output.new_empty(members, count)
    for begin in range(0, count, chunk):
        # A chain's buffers have one size: the last chunk repeats its last board.
        rows = np.arange(begin, begin + chunk).clip(max=count - 1)
        forward_(critic, on, rows + count * np.arange(members)[:, None])
        values[:, begin : begin + chunk] = critic.output[:, : count - begin, 0]
    return values
