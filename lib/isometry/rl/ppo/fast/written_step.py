"""A gradient step of PPO's perceptrons, written out, on a CPU.

Most of what a step by autograd takes are not its products, but small calls, and memory
that is taken and given back. Here actor and critic go forward and back one after the
other, through buffers that stay. What is found is what autograd finds, up to round-off.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isometry.core.bare_step import bare_step
from isometry.core.stacking import Parameters
from isometry.rl.actor_critic import PARTS, ActorCritic, Part
from isometry.rl.ppo.fast.gradient import clip_rows_, policy_gradient, value_gradient
from isometry.rl.ppo.fast.written_chain import (
    Chain,
    backward_,
    chain_of,
    forward_,
    is_known,
    turn_,
)
from isometry.rl.ppo.loss import gradient_groups
from isometry.rl.ppo.settings import PPOSettings
from isometry.rl.ppo.step import Learner, Samples, Step
from isometry.rl.sparse_boards import Listed, listed


def is_written(learner: Learner) -> bool:
    """Return whether :func:`written_step` knows how to take a learner's steps.

    It knows the networks of :func:`isometry.rl.ppo.fast.written_chain.is_known`, and
    methods whose penalty, if there is one, has its gradient written out.

    Args:
        learner: The stack in training.
    """
    own = learner.network.architecture
    return (
        is_known(learner.network, learner.parameters)
        and (own.activation != "leaky_relu" or own.negative_slope > 0)
        and learner.hooks.penalty is None
        and not learner.hooks.watch_gradients
        and learner.hooks.see is None
    )


def _gradients_in_rows(parameters: Parameters, names: list[str]) -> list[Tensor]:
    """Make gradients that stand in one row, and return them for a common norm."""
    # A stack of one has them all in one row, so that the clip is one pass. With more
    # members the parts of a tensor would not lie together: each has rows of its own.
    own = [parameters[name] for name in names]
    members, sizes = len(own[0]), [p.numel() for p in own]
    row = own[0].new_zeros(sum(sizes))
    parts = row.split(sizes)
    for parameter, part in zip(own, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    return [row.view(1, -1)] if members == 1 else [p.view(members, -1) for p in parts]


def _columns_of(network: ActorCritic, channels: Tensor | None) -> Tensor | None:
    """Return which of the first weight's columns read a board, see :func:`listed`."""
    if channels is None:
        return None
    # Instead of gathering the weight's columns, as `placed` does for autograd, the
    # places in the list of what is on are renamed: the weight stays where it is.
    *places, count = network.observation
    starts = count * torch.arange(int(np.prod(places)))
    return (starts[:, None] + channels[:, None, :]).flatten(1)


def _losses_and_gradients_(
    chains: dict[Part, Chain],
    samples: Samples,
    on: Listed,
    chosen: NDArray[np.int64],
    settings: PPOSettings,
) -> Tensor:
    """Write all gradients of a minibatch and return its statistics.

    Source: Schulman et al. 2017.
    """
    members = samples.members
    rows = chosen + len(samples.boards) // members * np.arange(members)[:, None]
    numbers = samples.numbers.view(members, -1, 4).numpy()
    actions = samples.actions.view(members, -1).numpy()
    found = np.empty((6, members))
    # The actor is done, forward and back, before the critic begins: what a chain has
    # written is still in the cache when its way back reads it.
    actor, critic = chains["actor"], chains["critic"]
    turn_(actor)  # at every step, for the last one changed the weights
    turn_(critic)
    forward_(actor, on, rows)
    logits, by_logits = actor.output.numpy(), actor.by_output.numpy()
    for i in range(members):
        found[[1, 3, 4, 5], i] = policy_gradient(
            logits[i],
            numbers[i],
            actions[i],
            chosen[i],
            settings.ratio_clip,
            settings.entropy_coefficient,
            settings.normalise_advantages,
            by_logits[i],
        )
    backward_(actor, on, rows)
    forward_(critic, on, rows)
    values, by_values = critic.output.numpy(), critic.by_output.numpy()
    bound = np.inf if settings.value_clip is None else settings.value_clip
    for i in range(members):
        found[2, i] = value_gradient(
            values[i, :, 0],
            numbers[i],
            chosen[i],
            bound,
            settings.value_coefficient,
            by_values[i, :, 0],
        )
    backward_(critic, on, rows)
    found[0] = found[1] + settings.value_coefficient * found[2]
    found[0] -= settings.entropy_coefficient * found[3]
    return torch.from_numpy(found)


def written_step(learner: Learner) -> Step:
    """Return a gradient step without autograd, see :func:`gradient_step`.

    The activations that it returns are overwritten by the next step.

    Args:
        learner: The stack in training, for which :func:`is_written` holds. The
            gradients of its parameters are made, and keep their memory.

    Source: Schulman et al. 2017; the chain rule.
    """
    network, parameters, settings = (
        learner.network,
        learner.parameters,
        learner.settings,
    )
    together = [
        _gradients_in_rows(parameters, names) for names in gradient_groups(parameters)
    ]
    batch = settings.update_steps // settings.minibatches
    chains = {part: chain_of(network, parameters, part, batch) for part in PARTS}
    activations = [hidden for part in PARTS for hidden in chains[part].hidden]
    add_gradient = learner.hooks.add_gradient
    columns = _columns_of(network, learner.channels)
    held: dict[str, Any] = {"update": learner.optimizer.step}

    @torch.no_grad()
    def step(
        learner: Learner, samples: Samples, chosen: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        # A rollout's boards are listed once for all its passes and minibatches.
        if held.get("samples") is not samples:
            boards = samples.boards.unflatten(0, (samples.members, -1))
            held["samples"], held["on"] = samples, listed(boards, columns)
        statistics = _losses_and_gradients_(
            chains, samples, held["on"], chosen.numpy(), settings
        )
        if add_gradient is not None:
            add_gradient()
        for gradients in together:
            clip_rows_(gradients, settings)
        # The first step is the optimiser's own: it makes the state that a bare one,
        # without hooks and checks, then finds there.
        held["update"]()
        if held["update"] == learner.optimizer.step:
            held["update"] = bare_step(learner.optimizer) or learner.optimizer.step
        return statistics, activations

    return step
