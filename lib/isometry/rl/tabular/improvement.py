"""What an agent is trained on while it improves: a sequence of different problems.

The policy takes exact natural policy-gradient steps, the idealised form of what PPO
does from samples. After each step the critic's target, the distribution of its inputs
and the actor's targets are other functions, though the game is the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.rl.tabular.mdp import (
    MarkovDecisionProcess,
    advantage,
    policy_value,
    state_distribution,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Improvement:
    """Policies in the order in which an agent has them, and what each one implies.

    Attributes:
        policies: ``(T + 1, S, A)``, the first uniform, then after each step.
        values: ``(T + 1, S)``, the critic's targets, in units of reward.
        states: ``(T + 1, S)``, the distribution of the inputs; rows sum to one.
        advantages: ``(T + 1, S, A)``, the actor's targets, in units of reward.
    """

    policies: Tensor
    values: Tensor
    states: Tensor
    advantages: Tensor


def improve(
    mdp: MarkovDecisionProcess, num_steps: int, step_size: float = 1.0
) -> Improvement:
    """Improve a uniform policy by exact natural policy-gradient steps.

    One step multiplies the probability of each action by ``exp(step_size *
    advantage)`` and normalises. No state's value ever falls.

    Args:
        mdp: The process.
        num_steps: T, at least 1.
        step_size: Positive, in 1 / units of reward.

    Raises:
        ValueError: If a number is out of range.

    Source: Kakade, NeurIPS 2001; in this form Agarwal et al., JMLR 22 (2021), with
        their factor 1 / (1 - gamma) taken into the step size.
    """
    if num_steps < 1:
        raise ValueError(refusal("num_steps >= 1", num_steps, "take a step"))
    if not step_size > 0:
        raise ValueError(refusal("step_size > 0", step_size, "pass e.g. 1.0"))
    logits = torch.zeros_like(mdp.reward)
    policies = [logits.softmax(-1)]
    for _ in range(num_steps):
        logits = logits + step_size * advantage(mdp, policies[-1])
        policies.append(logits.softmax(-1))
    stacked = torch.stack(policies)
    return Improvement(
        policies=stacked,
        values=policy_value(mdp, stacked),
        states=state_distribution(mdp, stacked),
        advantages=advantage(mdp, stacked),
    )


def _check_lag(targets: Tensor, lag: int) -> None:
    if not 1 <= lag < len(targets):
        needed = f"1 <= lag <= {len(targets) - 1}"
        raise ValueError(refusal(needed, lag, "compare policies that are there"))


def critic_error(improvement: Improvement, lag: int) -> Tensor:
    """Return the relative error of a critic that was perfect ``lag`` steps ago.

    ``|V_t - V_(t-lag)| / |V_t|`` with root mean squares over the states where the agent
    is now: 0 for a problem that has not changed, 1 for a critic that knows no more than
    one that predicts zero.

    Args:
        improvement: The sequence.
        lag: Steps between the two policies.

    Returns:
        ``(T + 1 - lag,)``, dimensionless; entry i compares policies i + lag and i.

    Raises:
        ValueError: If there are no two policies so far apart.
    """
    values, weights = improvement.values, improvement.states
    _check_lag(values, lag)
    now, then, weight = values[lag:], values[:-lag], weights[lag:]
    squared_error = (weight * (now - then) ** 2).sum(-1)
    return (squared_error / (weight * now**2).sum(-1)).sqrt()


def state_shift(improvement: Improvement, lag: int) -> Tensor:
    """Return the share of the agent's time that it now spends elsewhere.

    The total variation distance between the distributions of states, ``lag`` steps
    apart.

    Args:
        improvement: The sequence.
        lag: Steps between the two policies.

    Returns:
        ``(T + 1 - lag,)``, dimensionless, in [0, 1].

    Raises:
        ValueError: If there are no two policies so far apart.

    Source: definition.
    """
    states = improvement.states
    _check_lag(states, lag)
    return (states[lag:] - states[:-lag]).abs().sum(-1) / 2


def advantage_correlation(improvement: Improvement, lag: int) -> Tensor:
    """Return how much the actor's targets resemble those of ``lag`` steps ago.

    The cosine between the two advantage functions, with the states weighted by where
    the agent is now and the actions uniformly.

    Args:
        improvement: The sequence.
        lag: Steps between the two policies.

    Returns:
        ``(T + 1 - lag,)``, dimensionless, in [-1, 1].

    Raises:
        ValueError: If there are no two policies so far apart.
    """
    _check_lag(improvement.advantages, lag)
    weight = improvement.states[lag:, :, None].sqrt()
    now = (weight * improvement.advantages[lag:]).flatten(1)
    then = (weight * improvement.advantages[:-lag]).flatten(1)
    return torch.nn.functional.cosine_similarity(now, then, dim=1, eps=0.0)
