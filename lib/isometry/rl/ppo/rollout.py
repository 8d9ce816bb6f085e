"""Rollouts: a stack plays its games for a while, and all is kept in place."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from isometry.core.seeding import Label, generator
from isometry.core.stacking import Parameters
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.ppo.advantage import generalised_advantages, next_values
from isometry.rl.ppo.fast import fastest_actor, fastest_values
from isometry.rl.ppo.players import Players, last_boards, step_
from isometry.rl.ppo.settings import PPOSettings


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    """What a stack saw and did, preallocated and overwritten by every rollout.

    Attributes:
        boards: bool ``(members, steps + 1, games, features)``; the last one is where
            the next rollout begins.
        actions: int64 ``(members, steps, games)``, as the next ones.
        log_probabilities: Of the actions taken.
        rewards: Of each step.
        values: Of each board but the last.
        advantages: Estimates, in units of return.
        terminated: Bool, the game's own end.
        truncated: Bool, the limit of steps.
        returned: ``(members,)``: sum of the returns of episodes that ended in training
            since it was last set to zero.
        episodes: ``(members,)``: their number.
    """

    boards: Tensor
    actions: Tensor
    log_probabilities: Tensor
    rewards: Tensor
    values: Tensor
    advantages: Tensor
    terminated: Tensor
    truncated: Tensor
    returned: Tensor
    episodes: Tensor


def empty_rollout(players: Players, settings: PPOSettings) -> Rollout:
    """Return the memory of rollouts.

    Args:
        players: Say how many members and games there are.
        settings: Says how many steps.
    """
    members, games, features = players.staged.shape
    size, device = (members, settings.rollout_length, games), players.device
    numbers = {
        f.name: torch.zeros(size, device=device)
        for f in fields(Rollout)
        if f.name in ("log_probabilities", "rewards", "values", "advantages")
    }
    ends = {
        name: torch.zeros(size, dtype=torch.bool, device=device)
        for name in ("terminated", "truncated")
    }
    shape = (members, settings.rollout_length + 1, games, features)
    return Rollout(
        boards=torch.zeros(shape, dtype=torch.bool, device=device),
        actions=torch.zeros(size, dtype=torch.int64, device=device),
        returned=torch.zeros(members, dtype=torch.float64),
        episodes=torch.zeros(members, dtype=torch.int64),
        **numbers,
        **ends,
    )


def gumbel_noise(
    seeds: list[int], size: tuple[int, ...], *labels: Label, device: torch.device
) -> Tensor:
    """Return standard Gumbel noise for every member, ``(members, *size)``.

    Args:
        seeds: One a member.
        size: Of a member's noise.
        *labels: What is drawn.
        device: Where it is drawn; streams differ between devices.

    Source: definition: minus the logarithm of an exponential draw.
    """
    noise = torch.empty(len(seeds), *size, device=device)
    for i, seed in enumerate(seeds):
        draw = generator(seed, *labels, device=device)
        noise[i].exponential_(generator=draw)
    return noise.log_().neg_()


def sampled(logits: Tensor, noise: Tensor) -> Tensor:
    """Return one action a game, drawn from the softmax of the logits.

    Args:
        logits: ``(..., actions)``.
        noise: Standard Gumbel noise of the same shape.

    Returns:
        int64 ``(...)``.

    Source: Gumbel 1954: the place of the largest sum has the law of the softmax.
    """
    return (logits + noise).argmax(-1)


@torch.no_grad()
def collect_(
    network: ActorCritic,
    parameters: Parameters,  # placed
    players: Players,
    rollout: Rollout,
    noise: Tensor,  # (members, steps, games, actions)
    settings: PPOSettings,
) -> None:
    """Play for a rollout and estimate its advantages.

    While the games are played only the actor runs. The critic reads all boards
    afterwards, in large batches.

    Args:
        network: Actor and critic.
        parameters: name -> ``(members, ...)``, placed for the games' channels.
        players: The games; the first boards stand in the rollout already.
        rollout: Overwritten.
        noise: Standard Gumbel noise.
        settings: Discount, lambda, what a cut episode ends with.

    Source: Schulman et al. 2017, Algorithm 1.
    """
    act = fastest_actor(network, parameters, players.num_envs)
    rewards, terminated, truncated = (
        torch.empty(t.shape, dtype=t.dtype)
        for t in (rollout.rewards, rollout.terminated, rollout.truncated)
    )
    told = rewards.numpy(), terminated.numpy(), truncated.numpy()
    logits = torch.empty(noise.shape, dtype=noise.dtype, device=noise.device)
    returned, episodes = rollout.returned.numpy(), rollout.episodes.numpy()
    cut: list[tuple[int, int, Tensor]] = []  # member, step, last boards
    for step in range(rollout.actions.shape[1]):
        now = act(rollout.boards[:, step])
        logits[:, step] = now
        actions = sampled(now, noise[:, step])
        rollout.actions[:, step] = actions
        outcome = step_(players, actions, rollout.boards[:, step + 1])
        given = outcome.rewards, outcome.terminated, outcome.truncated
        for to, found in zip(told, given, strict=True):
            to[:, step] = found
        for member, infos in enumerate(outcome.infos):
            if "episodic_return" in infos:
                done = infos["_episodic_return"]
                returned[member] += infos["episodic_return"][done].sum()
                episodes[member] += done.sum()
            if settings.truncation_bootstrap and outcome.truncated[member].any():
                cut.append((member, step, last_boards(players, outcome, member)))
    rollout.rewards.copy_(rewards)
    rollout.terminated.copy_(terminated)
    rollout.truncated.copy_(truncated)
    log_policy = logits.log_softmax(-1)
    taken = log_policy.gather(-1, rollout.actions.unsqueeze(-1))
    rollout.log_probabilities.copy_(taken.squeeze(-1))
    _estimate_(network, parameters, rollout, cut, settings)


def _estimate_(
    network: ActorCritic,
    parameters: Parameters,
    rollout: Rollout,
    cut: list[tuple[int, int, Tensor]],
    settings: PPOSettings,
) -> None:
    """Write values and advantages of a rollout.

    Source: Schulman et al., ICLR 2016.
    """
    members, steps, games = rollout.actions.shape
    flat = rollout.boards.flatten(1, 2)
    values = fastest_values(network, parameters, flat).view(members, steps + 1, games)
    final = None
    if settings.truncation_bootstrap:
        final = torch.zeros_like(rollout.rewards)
        for member, step, boards in cut:
            own = {n: p[member : member + 1] for n, p in parameters.items()}
            last = fastest_values(network, own, boards.to(final.device).unsqueeze(0))
            final[member, step, rollout.truncated[member, step]] = last[0]
    ended = rollout.terminated | rollout.truncated
    following = next_values(values, rollout.terminated, rollout.truncated, final)
    rollout.values.copy_(values[:, :-1])
    rollout.advantages.copy_(
        generalised_advantages(
            rollout.rewards,
            rollout.values,
            following,
            ended,
            settings.discount,
            settings.gae_lambda,
        )
    )
