"""An update: some passes of gradient steps over a rollout, every member on its own."""

import torch
from torch import Tensor

from isometry.core.seeding import generator
from isometry.rl.ppo.rollout import Rollout
from isometry.rl.ppo.step import STATISTICS, Learner, Samples, Step, gradient_step


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


def _orders(
    seeds: list[int], count: int, *labels: str | int, device: torch.device
) -> Tensor:
    """Return each member's order of samples in a pass, int64 ``(members, count)``."""
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
    taken = 0
    for epoch in range(settings.epochs):
        labels = (visit, update, epoch)
        order = _orders(learner.seeds, count, *labels, device=seen.device)
        for chosen in order.split(count // settings.minibatches, 1):
            seen[taken], activations = step(learner, samples, chosen)
            done = update * settings.gradient_steps + taken
            learner.hooks.act(done, activations[-learner.layers :])
            taken += 1
    return seen
