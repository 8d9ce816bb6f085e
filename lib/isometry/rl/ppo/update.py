"""An update: some passes of gradient steps over a rollout, every member on its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isometry.core.seeding import generator
from isometry.core.stacking import Parameters
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.ppo.loss import (
    Losses,
    Minibatch,
    clip_gradients_,
    gradient_groups,
    ppo_losses,
)
from isometry.rl.ppo.rollout import Rollout
from isometry.rl.ppo.settings import PPOSettings

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
        intervene: From :func:`isometry.methods.binding.hooks`.
        layers: Hidden layers that the method sees, the last ones of all.
    """

    network: ActorCritic
    parameters: Parameters
    optimizer: torch.optim.Optimizer
    settings: PPOSettings
    seeds: list[int]
    channels: Tensor | None
    intervene: dict[str, Any]
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


def _samples_of(rollout: Rollout) -> Samples:
    """Return a rollout as samples.

    Source: Schulman et al. 2017: what the critic should say is value plus advantage.
    """
    targets = rollout.values + rollout.advantages
    parts = (rollout.log_probabilities, rollout.advantages, rollout.values, targets)
    return Samples(
        boards=rollout.boards.flatten(0, 2),
        actions=rollout.actions.flatten(),
        numbers=torch.stack(parts, -1).flatten(0, 2),
        members=len(rollout.actions),
    )


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
        activations.

    Source: Schulman et al. 2017.
    """
    network, intervene = learner.network, learner.intervene
    boards, batch = _minibatch_of(samples, chosen)
    placed = network.placed(learner.parameters, learner.channels)
    logits, values, activations = network.watched(placed, boards)
    losses = ppo_losses(logits, values, batch, learner.settings)
    objective = losses.total
    if intervene["penalty"] is not None:
        objective = objective + intervene["penalty"]()
    learner.optimizer.zero_grad(set_to_none=True)
    objective.sum().backward()
    if "add_gradient" in intervene:
        intervene["add_gradient"]()
    groups = gradient_groups(learner.parameters)
    clip_gradients_(learner.parameters, groups, learner.settings)
    learner.optimizer.step()
    return _statistics_of(losses), activations


def _statistics_of(losses: Losses) -> Tensor:
    """Return :data:`STATISTICS`, ``(6, members)``, without their history."""
    return torch.stack([getattr(losses, name).detach() for name in STATISTICS])


def orders(
    seeds: list[int], count: int, *labels: str | int, device: torch.device
) -> Tensor:
    """Return each member's order of samples in a pass, int64 ``(members, count)``.

    Args:
        seeds: One a member.
        count: Samples of a member.
        *labels: Which pass.
        device: Where the samples are.
    """
    own = [
        torch.randperm(count, generator=generator(seed, "samples", *labels))
        for seed in seeds
    ]
    return torch.stack(own).to(device)


def update_(
    learner: Learner,
    rollout: Rollout,
    visit: int,
    update: int,
    step: Step = gradient_step,
) -> Tensor:
    """Learn from a rollout and return what each step saw.

    Args:
        learner: Changed.
        rollout: Played, with its advantages.
        visit: Number of the visit.
        update: Number of the update in this visit.
        step: Takes a gradient step.

    Returns:
        ``(steps, 6, members)``, see :data:`STATISTICS`.

    Source: Schulman et al. 2017, Algorithm 1.
    """
    settings, samples = learner.settings, _samples_of(rollout)
    count = len(samples.actions) // samples.members
    seen = torch.empty(
        settings.gradient_steps,
        len(STATISTICS),
        samples.members,
        device=samples.numbers.device,
    )
    after = learner.intervene.get("after_step")
    watch = learner.intervene["watch"]
    taken = 0
    for epoch in range(settings.epochs):
        labels = (visit, update, epoch)
        order = orders(learner.seeds, count, *labels, device=seen.device)
        for chosen in order.split(count // settings.minibatches, 1):
            seen[taken], activations = step(learner, samples, chosen)
            if after is not None:
                own = [a.detach() for a in activations[-learner.layers :]]
                with torch.no_grad():
                    done = update * settings.gradient_steps + taken
                    after(done, own if watch else None)
            taken += 1
    return seen
