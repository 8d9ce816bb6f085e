"""PPO's loss on a minibatch, for every member by itself, and the clip of gradients."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.stacking import Parameters
from isometry.methods.structure import per_member
from isometry.rl.ppo.settings import PPOSettings

NORMALISER_EPS = 1e-8  # added to the standard deviation of advantages


@dataclass(frozen=True, kw_only=True, eq=False)
class Minibatch:
    """What the loss is taken on; every tensor ``(members, batch)``.

    Attributes:
        actions: int64, the actions taken.
        log_probabilities: Of these, under the policy that took them.
        advantages: Estimates, in units of return.
        values: The critic's, at that time.
        targets: What the critic should say: value plus advantage.

    Source: Schulman et al. 2017.
    """

    actions: Tensor
    log_probabilities: Tensor
    advantages: Tensor
    values: Tensor
    targets: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Losses:
    """The loss of each member and its parts, each ``(members,)``.

    Attributes:
        total: What is minimised.
        policy: The clipped surrogate, with the sign of a loss.
        value: The critic's loss before its coefficient.
        entropy: Of the policy, in nats.
        divergence: Estimate of KL(old, new), in nats.
        clipped: Fraction of ratios beyond the clip.

    Source: Schulman et al. 2017, Eq. 7 and 9; the estimate of the divergence is
        Schulman's k3, "Approximating KL divergence" (2020).
    """

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    divergence: Tensor
    clipped: Tensor


def normalised(advantages: Tensor) -> Tensor:
    """Return each member's advantages with mean zero and variance one.

    Args:
        advantages: ``(members, batch)``.

    Source: Huang et al. 2022, detail 7; the variance is that of the minibatch itself.
    """
    centred = advantages - advantages.mean(1, keepdim=True)
    deviation = centred.square().mean(1, keepdim=True).sqrt()
    return centred / (deviation + NORMALISER_EPS)


def ppo_losses(
    logits: Tensor,  # (members, batch, actions)
    values: Tensor,  # (members, batch)
    batch: Minibatch,
    settings: PPOSettings,
) -> Losses:
    """Return PPO's loss of every member on its own minibatch.

    ``L = L_policy + c_v L_value - c_e H``. The critic's loss is half the squared error;
    with a clip, the larger one of value and value held within the clip of the old one.

    Args:
        logits: Of the actor now.
        values: Of the critic now.
        batch: What was seen and done.
        settings: Clips and coefficients.

    Source: Schulman et al. 2017, Eq. 7 and 9; value clip: Huang et al. 2022, detail 9.
    """
    log_policy = logits.log_softmax(-1)
    taken = log_policy.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
    log_ratio = taken - batch.log_probabilities
    ratio, clip = log_ratio.exp(), settings.ratio_clip
    advantages = batch.advantages
    if settings.normalise_advantages:
        advantages = normalised(advantages)
    held = ratio.clamp(1 - clip, 1 + clip)
    policy = -torch.minimum(ratio * advantages, held * advantages).mean(1)
    error = (values - batch.targets).square()
    if settings.value_clip is not None:
        bound = settings.value_clip
        near = batch.values + (values - batch.values).clamp(-bound, bound)
        error = torch.maximum(error, (near - batch.targets).square())
    value = 0.5 * error.mean(1)
    entropy = -(log_policy.exp() * log_policy).sum(-1).mean(1)
    total = policy + settings.value_coefficient * value
    with torch.no_grad():
        divergence = (ratio - 1 - log_ratio).mean(1)
        clipped = ((ratio - 1).abs() > clip).to(ratio.dtype).mean(1)
    return Losses(
        total=total - settings.entropy_coefficient * entropy,
        policy=policy,
        value=value,
        entropy=entropy,
        divergence=divergence,
        clipped=clipped,
    )


def gradient_groups(parameters: Parameters) -> list[list[str]]:
    """Return the names whose gradients have one norm: actor, critic, or all.

    Args:
        parameters: Of an :class:`isometry.rl.actor_critic.ActorCritic`.

    Source: :data:`isometry.rl.protocols.AUTHORS_CODE`: one optimiser a network.
    """
    names = list(parameters)
    if any(name.startswith("hidden.shared") for name in names):
        return [names]
    parts = (".actor.", ".critic.")
    return [[name for name in names if part in name] for part in parts]


@torch.no_grad()
def clip_gradients_(
    parameters: Parameters, groups: Sequence[Sequence[str]], settings: PPOSettings
) -> None:
    """Clip the gradients of every member by itself.

    Args:
        parameters: name -> ``(members, ...)``, with gradients, which are changed.
        groups: Names whose gradients have one norm.
        settings: Which clip, and its bound.

    Source: Huang et al. 2022, detail 11, for the norm; element-wise as in the reference
        agent of Octax.
    """
    for group in groups:
        gradients = [parameters[name].grad for name in group]
        clip_together_([g for g in gradients if g is not None], settings)


def clip_together_(gradients: Sequence[Tensor], settings: PPOSettings) -> None:
    """Clip gradients that have one norm, of every member by itself.

    Args:
        gradients: ``(members, ...)`` each, changed.
        settings: Which clip, and its bound.

    Source: as of :func:`clip_gradients_`.
    """
    bound = settings.gradient_bound
    if settings.gradient_clip == "none":
        return
    if settings.gradient_clip == "element":
        for gradient in gradients:
            gradient.clamp_(-bound, bound)
        return
    norms = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]
    norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    factor = torch.where(norm < bound, 1.0, bound / norm)
    for gradient in gradients:
        gradient.mul_(per_member(factor, gradient))
