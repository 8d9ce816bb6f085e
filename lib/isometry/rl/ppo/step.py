"""A gradient step of every member on a minibatch of its own, by autograd."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.stacking import Parameters
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.ppo.loss import (
    Losses,
    Minibatch,
    clip_gradients_,
    gradient_groups,
    ppo_losses,
)
from isometry.rl.ppo.settings import PPOSettings
from isometry.stream.binding import Hooks

# What each gradient step leaves behind, in this order.
STATISTICS = (
    "total",
    "policy",
    "value",
    "entropy",
    "divergence",
    "clipped",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Learner:
    """A stack in training and where its method intervenes.

    Attributes:
        network: Actor and critic.
        parameters: name -> ``(members, ...)``, leaf tensors that the optimiser holds.
        optimizer: Takes the steps.
        settings: PPO's.
        seeds: One a member.
        channels: Where a board's channels stand, see :meth:`ActorCritic.placed`.
        hooks: Where its method intervenes.
        layers: Hidden layers that the method sees, the last ones of all.
    """

    network: ActorCritic
    parameters: Parameters
    optimizer: torch.optim.Optimizer
    settings: PPOSettings
    seeds: list[int]
    channels: Tensor | None
    hooks: Hooks
    layers: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """A rollout as samples in one row, members one after the other.

    Attributes:
        boards: bool ``(members * (steps + 1) * games, features)``, a view.
        actions: int64 ``(members * n,)``, a view, n = steps * games.
        numbers: ``(members * n, 4)``: log-probabilities, advantages, values, targets.
        members: How many.
    """

    boards: Tensor
    actions: Tensor
    numbers: Tensor
    members: int


# learner, samples, which of them -> statistics, activations
Step = Callable[[Learner, Samples, Tensor], tuple[Tensor, list[Tensor]]]


def _minibatch_of(samples: Samples, chosen: Tensor) -> tuple[Tensor, Minibatch]:
    """Return boards ``(members, batch, features)`` and what was done there."""
    members, batch = chosen.shape
    count = len(samples.actions) // members
    rows = len(samples.boards) // members
    own = torch.arange(members, device=chosen.device).unsqueeze(1)
    boards = samples.boards.index_select(0, (chosen + rows * own).flatten())
    index = (chosen + count * own).flatten()
    numbers = samples.numbers.index_select(0, index).view(members, batch, 4)
    log_probabilities, advantages, values, targets = numbers.unbind(-1)
    return boards.view(members, batch, -1), Minibatch(
        actions=samples.actions.index_select(0, index).view(members, batch),
        log_probabilities=log_probabilities,
        advantages=advantages,
        values=values,
        targets=targets,
    )


def gradient_step(
    learner: Learner, samples: Samples, chosen: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Take one gradient step of every member on its own minibatch.

    Args:
        learner: Its parameters and its optimiser's state are changed.
        samples: Of a rollout.
        chosen: int64 ``(members, batch)``.

    Returns:
        :data:`STATISTICS` before the step, ``(6, members)``, and every hidden layer's
        activations, maps as maps.

    Source: Schulman et al. 2017.
    """
    network, hooks = learner.network, learner.hooks
    boards, batch = _minibatch_of(samples, chosen)
    if hooks.see is not None:
        hooks.see(network.whole(boards, learner.channels), None)
    placed = network.placed(learner.parameters, learner.channels)
    logits, values, activations = network.watched(placed, boards)
    losses = ppo_losses(logits, values, batch, learner.settings)
    objective = losses.total
    if hooks.penalty is not None:
        seen = activations[-learner.layers :]
        objective = objective + hooks.penalty(seen, losses.policy.detach())
    hooks.look(activations)
    learner.optimizer.zero_grad(set_to_none=True)
    objective.sum().backward()
    if hooks.add_gradient is not None:
        hooks.add_gradient()
    groups = gradient_groups(learner.parameters)
    clip_gradients_(learner.parameters, groups, learner.settings)
    learner.optimizer.step()
    return _statistics_of(losses), activations


def _statistics_of(losses: Losses) -> Tensor:
    """Return :data:`STATISTICS`, ``(6, members)``, without their history."""
    return torch.stack([getattr(losses, name).detach() for name in STATISTICS])
