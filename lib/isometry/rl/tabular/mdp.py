"""Small Markov decision processes in which every quantity has a closed form.

Ending an episode is missing mass: a row of the transition matrix sums to one minus the
probability that the episode ends there. All is float64; a leading dimension of policies
is a batch, so a whole sequence of policies is evaluated in one call.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.messages import refusal


@dataclass(frozen=True, kw_only=True, eq=False)
class MarkovDecisionProcess:
    """States, actions, what follows, what it pays.

    Attributes:
        transition: ``(S, A, S)``, probability of the next state; a row sums to at most
            one, and what is missing is the probability that the episode ends.
        reward: ``(S, A)``, expected reward of the action, in units of reward.
        start: ``(S,)``, distribution of the first state; sums to one.
        discount: gamma, dimensionless, in [0, 1).

    Raises:
        ValueError: If shapes, probabilities or the discount are none.

    Source: Sutton & Barto, Reinforcement Learning, 2nd ed. (2018), ch. 3.
    """

    transition: Tensor
    reward: Tensor
    start: Tensor
    discount: float

    def __post_init__(self) -> None:
        states, actions = self.reward.shape
        shapes = (tuple(self.transition.shape), tuple(self.start.shape))
        if shapes != ((states, actions, states), (states,)):
            needed = f"transition ({states}, {actions}, {states}), start ({states},)"
            raise ValueError(refusal(needed, f"{shapes[0]}, {shapes[1]}", "reshape"))
        rows = self.transition.sum(-1)
        if bool((self.transition < 0).any()) or bool((rows > 1 + 1e-12).any()):
            found = f"a row that sums to {rows.max().item():.6g}"
            raise ValueError(refusal("transition probabilities", found, "normalise"))
        if bool((self.start < 0).any()) or abs(self.start.sum().item() - 1) > 1e-12:
            found = f"a sum of {self.start.sum().item():.6g}"
            raise ValueError(refusal("a start distribution", found, "normalise"))
        if not 0 <= self.discount < 1:
            raise ValueError(refusal("0 <= discount < 1", self.discount, "lower it"))


def _policy_transition(mdp: MarkovDecisionProcess, policy: Tensor) -> Tensor:
    """Return the transition matrix of the states under a policy.

    Source: Sutton & Barto (2018), Sec. 3.5.
    """
    return torch.einsum("...sa,sat->...st", policy, mdp.transition)


def policy_value(mdp: MarkovDecisionProcess, policy: Tensor) -> Tensor:
    """Return the value of each state, ``V = (I - gamma P)^-1 r``.

    This is what a critic is trained to predict while this policy acts.

    Args:
        mdp: The process.
        policy: ``(..., S, A)``.

    Returns:
        ``(..., S)``, expected discounted return, in units of reward.

    Source: Sutton & Barto (2018), Eq. 3.14, solved.

    Example:
        >>> one = torch.ones(1, 1, 1, dtype=torch.float64)  # it pays 1 for ever
        >>> mdp = MarkovDecisionProcess(
        ...     transition=one, reward=one[0], start=one[0, 0], discount=0.75
        ... )
        >>> policy_value(mdp, torch.ones(1, 1, dtype=torch.float64)).item()
        4.0
    """
    transition = _policy_transition(mdp, policy)
    identity = torch.eye(transition.shape[-1], dtype=transition.dtype)
    reward = (policy * mdp.reward).sum(-1)
    return torch.linalg.solve(identity - mdp.discount * transition, reward)


def _bellman_backup(
    mdp: MarkovDecisionProcess, policy: Tensor, value: Tensor
) -> Tensor:
    """Return ``r + gamma P value``: one step of looking ahead.

    Source: Sutton & Barto (2018), Eq. 4.5.
    """
    return (policy * _action_value(mdp, value)).sum(-1)


def iterated_value(mdp: MarkovDecisionProcess, policy: Tensor, backups: int) -> Tensor:
    """Return the value after a number of backups from zero, the slow form.

    Args:
        mdp: The process.
        policy: ``(..., S, A)``.
        backups: How many; the error is at most ``gamma^backups`` of the largest value.

    Returns:
        ``(..., S)``, in units of reward.

    Source: Sutton & Barto (2018), Sec. 4.1, iterative policy evaluation.
    """
    value = torch.zeros_like(policy[..., 0])
    for _ in range(backups):
        value = _bellman_backup(mdp, policy, value)
    return value


def _action_value(mdp: MarkovDecisionProcess, value: Tensor) -> Tensor:
    """Return the value of each action, if ``value`` is what follows it.

    Source: Sutton & Barto (2018), Eq. 4.6.
    """
    ahead = torch.einsum("sat,...t->...sa", mdp.transition, value)
    return mdp.reward + mdp.discount * ahead


def advantage(mdp: MarkovDecisionProcess, policy: Tensor) -> Tensor:
    """Return how much better an action is than what the policy does on average.

    Args:
        mdp: The process.
        policy: ``(..., S, A)``.

    Returns:
        ``(..., S, A)``, in units of reward; its mean under the policy is zero.

    Source: Baird (1993); Schulman et al., arXiv 1506.02438.
    """
    value = policy_value(mdp, policy)
    return _action_value(mdp, value) - value.unsqueeze(-1)


def state_distribution(mdp: MarkovDecisionProcess, policy: Tensor) -> Tensor:
    """Return where the agent is: the discounted share of time in each state.

    This is the distribution of the inputs on which actor and critic are trained.

    Args:
        mdp: The process.
        policy: ``(..., S, A)``.

    Returns:
        ``(..., S)``; sums to one.

    Source: Sutton et al., NeurIPS 1999, Theorem 1, normalised to sum to one.
    """
    visits = _visits(mdp, policy, mdp.discount)
    return visits / visits.sum(-1, keepdim=True)


def expected_visits(mdp: MarkovDecisionProcess, policy: Tensor) -> Tensor:
    """Return how often an episode visits each state, without discount.

    Args:
        mdp: The process.
        policy: ``(..., S, A)``; must end every episode with probability one.

    Returns:
        ``(..., S)``, visits an episode; the sum is the mean length of an episode.

    Source: Kemeny & Snell, Finite Markov Chains (1960), the fundamental matrix.
    """
    return _visits(mdp, policy, 1.0)


def _visits(mdp: MarkovDecisionProcess, policy: Tensor, discount: float) -> Tensor:
    transition = _policy_transition(mdp, policy)
    identity = torch.eye(transition.shape[-1], dtype=transition.dtype)
    start = mdp.start.expand(transition.shape[:-1])
    return torch.linalg.solve((identity - discount * transition).mT, start)


def sampled_return(
    mdp: MarkovDecisionProcess,
    policy: Tensor,  # (S, A)
    state: int,
    episodes: int,
    horizon: int,
    generator: torch.Generator,
) -> Tensor:
    """Return discounted returns of episodes that were played, from one first state.

    What an agent has instead of the closed form. Expected rewards are paid.

    Args:
        mdp: The process.
        policy: One policy.
        state: Where every episode starts.
        episodes: How many, at least 1.
        horizon: Steps after which an episode is cut; what is lost is at most
            ``gamma^horizon`` of the largest value.
        generator: Where actions and transitions come from.

    Returns:
        ``(episodes,)``, in units of reward.

    Source: Sutton & Barto (2018), Sec. 5.1.
    """
    num_states = len(mdp.start)
    ends = 1 - mdp.transition.sum(-1, keepdim=True)
    outcomes = torch.cat([mdp.transition, ends.clamp(min=0)], -1)
    here = torch.full((episodes,), state)
    total = torch.zeros(episodes, dtype=mdp.reward.dtype)
    for step in range(horizon):
        alive = here < num_states
        if not bool(alive.any()):
            break
        now = here[alive]
        action = torch.multinomial(policy[now], 1, generator=generator)[:, 0]
        total[alive] += mdp.discount**step * mdp.reward[now, action]
        drawn = torch.multinomial(outcomes[now, action], 1, generator=generator)
        here[alive] = drawn[:, 0]
    return total
