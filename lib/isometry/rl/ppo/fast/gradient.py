"""PPO's loss with its gradient written out, one compiled pass over a minibatch.

It is the loss of :func:`isometry.rl.ppo.loss.ppo_losses`, which is the form to read and
which tests hold against it. Torch takes some forty small calls for it and autograd as
many again; here actor and critic take one each. Sums are in float64 whatever the
networks' type is.
"""

from collections.abc import Sequence
from math import exp, log, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from isometry.core.code_cache import kept_on_disk
from isometry.rl.ppo.loss import NORMALISER_EPS, clip_together_
from isometry.rl.ppo.settings import PPOSettings

# Columns of the numbers that a sample has, see isometry.rl.ppo.update.Samples.
LOG_PROBABILITY, ADVANTAGE, VALUE, TARGET = range(4)


@kept_on_disk
@njit(nogil=True)
def _moments(numbers: NDArray, rows: NDArray, normalise: bool) -> tuple[float, float]:
    """Return what is taken from a minibatch's advantages, and what divides them.

    Source: :func:`isometry.rl.ppo.loss.normalised`.
    """
    if not normalise:
        return 0.0, 1.0
    mean = square = 0.0
    for row in rows:
        mean += numbers[row, ADVANTAGE]
    mean /= len(rows)
    for row in rows:
        square += (numbers[row, ADVANTAGE] - mean) ** 2
    return mean, sqrt(square / len(rows)) + NORMALISER_EPS


@kept_on_disk
@njit(nogil=True)
def policy_gradient(
    logits: NDArray,  # (batch, actions)
    numbers: NDArray,  # (n, 4)
    actions: NDArray,  # int64 (n,)
    rows: NDArray,  # int64 (batch,), which samples
    clip: float,
    entropy_coefficient: float,
    normalise: bool,
    gradient: NDArray,  # (batch, actions), overwritten
) -> tuple[float, float, float, float]:
    """Return a member's means of policy loss, entropy, divergence and clipped ratios.

    Args:
        logits: Of the actor now.
        numbers: Of all samples.
        actions: Of all samples.
        rows: The minibatch.
        clip: Of the ratio around 1.
        entropy_coefficient: Weight of the entropy in the loss.
        normalise: Whether advantages are normalised.
        gradient: Of the loss by the logits.

    Source: Schulman et al. 2017, Eq. 7 and 9; the softmax's derivative.
    """
    batch, count = logits.shape
    mean, deviation = _moments(numbers, rows, normalise)
    log_policy, probabilities = np.empty(count), np.empty(count)
    policy = entropies = divergence = clipped = 0.0
    for i in range(batch):
        row = rows[i]
        highest, total, entropy = logits[i].max(), 0.0, 0.0
        for j in range(count):
            probabilities[j] = exp(logits[i, j] - highest)
            total += probabilities[j]
        log_total = highest + log(total)
        for j in range(count):
            probabilities[j] /= total
            log_policy[j] = logits[i, j] - log_total
            entropy -= probabilities[j] * log_policy[j]
        log_ratio = log_policy[actions[row]] - numbers[row, LOG_PROBABILITY]
        ratio = exp(log_ratio)
        advantage = (numbers[row, ADVANTAGE] - mean) / deviation
        surrogate = slope = ratio * advantage  # slope: by the action's log-probability
        if advantage > 0 and ratio > 1 + clip:
            surrogate, slope = (1 + clip) * advantage, 0.0
        elif advantage < 0 and ratio < 1 - clip:
            surrogate, slope = (1 - clip) * advantage, 0.0
        for j in range(count):
            of_entropy = entropy_coefficient * (log_policy[j] + entropy)
            gradient[i, j] = probabilities[j] * (slope + of_entropy) / batch
        gradient[i, actions[row]] -= slope / batch
        policy -= surrogate
        entropies += entropy
        divergence += ratio - 1 - log_ratio
        clipped += abs(ratio - 1) > clip
    return policy / batch, entropies / batch, divergence / batch, clipped / batch


@kept_on_disk
@njit(nogil=True)
def value_gradient(
    values: NDArray,  # (batch,)
    numbers: NDArray,  # (n, 4)
    rows: NDArray,  # int64 (batch,), which samples
    bound: float,
    coefficient: float,
    gradient: NDArray,  # (batch,), overwritten
) -> float:
    """Return a member's critic loss, before its coefficient.

    Args:
        values: Of the critic now.
        numbers: Of all samples.
        rows: The minibatch.
        bound: Clip of a value's change; infinite: none.
        coefficient: Weight in the loss.
        gradient: Of the loss by the values.

    Source: Huang et al. 2022, detail 9.
    """
    total = 0.0
    for i in range(len(rows)):
        old, target = numbers[rows[i], VALUE], numbers[rows[i], TARGET]
        error = slope = values[i] - target
        held = max(min(values[i] - old, bound), -bound)
        if abs(values[i] - old) > bound and abs(old + held - target) > abs(error):
            error, slope = old + held - target, 0.0
        total += error * error
        gradient[i] = coefficient * slope / len(rows)
    return 0.5 * total / len(rows)


@kept_on_disk
@njit(nogil=True, fastmath={"reassoc", "contract"})  # in any order, not a number as is
def _squares(rows: NDArray, total: NDArray) -> None:
    """Add the sum of squares of each row of ``(members, n)``."""
    for member in range(len(rows)):
        own = 0.0
        for i in range(rows.shape[1]):
            own += np.float64(rows[member, i]) * np.float64(rows[member, i])
        total[member] += own


@kept_on_disk
@njit(nogil=True)
def _scale_down(rows: NDArray, total: NDArray, bound: float) -> None:
    """Multiply rows whose norm, the root of ``total``, is beyond the bound.

    Source: Huang et al. 2022, detail 11.
    """
    for member in range(len(rows)):
        norm = sqrt(total[member])
        if norm < bound:
            continue
        factor = rows.dtype.type(bound / norm)
        for i in range(rows.shape[1]):
            rows[member, i] *= factor


def clip_rows_(gradients: Sequence[Tensor], settings: PPOSettings) -> None:
    """Do what :func:`isometry.rl.ppo.loss.clip_together_` does, in two passes.

    Args:
        gradients: ``(members, n)`` each, on a CPU, changed.
        settings: Which clip, and its bound.

    Source: as of :func:`isometry.rl.ppo.loss.clip_gradients_`.
    """
    if settings.gradient_clip != "norm":
        clip_together_(gradients, settings)
        return
    total = np.zeros(len(gradients[0]))
    for gradient in gradients:
        _squares(gradient.numpy(), total)
    for gradient in gradients:
        _scale_down(gradient.numpy(), total, settings.gradient_bound)
