"""Exact policy improvement, and how far it moves the problems that it poses."""

import pytest
import torch
from torch.testing import assert_close

from isometry.rl.tabular import improvement as improving
from isometry.rl.tabular.gridworld import gridworld
from isometry.rl.tabular.improvement import Improvement, improve
from isometry.rl.tabular.mdp import _action_value, policy_value

WORLD = gridworld()


@pytest.fixture(scope="module")
def steps():
    return improve(WORLD.mdp, 80)


def optimal_value(mdp):
    value = torch.zeros_like(mdp.start)
    for _ in range(1000):
        value = _action_value(mdp, value).max(-1).values
    return value


@pytest.mark.parametrize("step_size", [0.1, 1.0, 30.0])
def test_no_step_lowers_any_value(step_size):
    values = improve(WORLD.mdp, 30, step_size).values
    assert float(values.diff(dim=0).min()) > -1e-13


def test_improvement_ends_at_the_optimal_value():
    values = improve(WORLD.mdp, 400, 10.0).values
    assert_close(values[-1], optimal_value(WORLD.mdp), rtol=1e-3, atol=0)


def test_a_step_is_the_natural_gradient_of_the_start_value():
    # F(logits)^+ grad J = A / (1 - gamma) up to a constant in each state (Kakade 2001).
    mdp = gridworld("#####\n#S.a#\n#####", {"a": 1.0}).mdp
    policy = improve(mdp, 3).policies[-1]
    logits = policy.log().requires_grad_()
    visits = torch.linalg.solve(
        torch.eye(2, dtype=torch.float64)
        - mdp.discount * torch.einsum("sa,sat->st", policy, mdp.transition).T,
        mdp.start,
    )
    (gradient,) = torch.autograd.grad(
        mdp.start @ policy_value(mdp, logits.softmax(-1)), logits
    )
    fisher = torch.block_diag(
        *(
            visits[s] * (policy[s].diag() - torch.outer(policy[s], policy[s]))
            for s in (0, 1)
        )
    )
    direction = (torch.linalg.pinv(fisher) @ gradient.flatten()).view_as(policy)
    step = (improve(mdp, 4).policies[-1] / policy).log()
    assert_close(
        step - step.mean(-1, keepdim=True),
        direction - direction.mean(-1, keepdim=True),
    )


def test_an_unchanged_problem_has_no_change():
    one = improve(WORLD.mdp, 1)
    same = Improvement(
        policies=one.policies[:1].repeat(4, 1, 1),
        values=one.values[:1].repeat(4, 1),
        states=one.states[:1].repeat(4, 1),
        advantages=one.advantages[:1].repeat(4, 1, 1),
    )
    zero = torch.zeros(2, dtype=torch.float64)
    assert_close(improving.critic_error(same, 2), zero)
    assert_close(improving.state_shift(same, 2), zero)
    assert_close(improving.advantage_correlation(same, 2), zero + 1)


def test_changes_are_the_ones_written_by_hand(steps):
    t, lag = 12, 5
    error = improving.critic_error(steps, lag)[t - lag]
    weight, now, then = steps.states[t], steps.values[t], steps.values[t - lag]
    by_hand = (weight @ (now - then) ** 2).sqrt() / (weight @ now**2).sqrt()
    assert_close(error, by_hand)
    shift = improving.state_shift(steps, lag)[t - lag]
    assert_close(shift, (weight - steps.states[t - lag]).clamp(min=0).sum())
    a, b = steps.advantages[t], steps.advantages[t - lag]
    cosine = (weight[:, None] * a * b).sum()
    cosine /= ((weight[:, None] * a * a).sum() * (weight[:, None] * b * b).sum()).sqrt()
    assert_close(improving.advantage_correlation(steps, lag)[t - lag], cosine)


def test_the_sequence_is_consistent(steps):
    assert_close(steps.values, policy_value(WORLD.mdp, steps.policies))
    assert_close(steps.states.sum(-1), torch.ones(81, dtype=torch.float64))
    assert_close(steps.policies[0], torch.full((66, 4), 0.25, dtype=torch.float64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: improve(WORLD.mdp, 0), "num_steps >= 1"),
        (lambda: improve(WORLD.mdp, 3, 0.0), "step_size > 0"),
        (lambda: improve(WORLD.mdp, 3, float("nan")), "step_size > 0"),
        (lambda: improving.state_shift(improve(WORLD.mdp, 3), 4), "lag <= 3"),
        (lambda: improving.critic_error(improve(WORLD.mdp, 3), 0), "1 <= lag"),
        (lambda: improving.advantage_correlation(improve(WORLD.mdp, 3), -1), "1 <= la"),
    ],
)
def test_settings_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
