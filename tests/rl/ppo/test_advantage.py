"""Generalised advantages against the sum that defines them, and at both ends."""

import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.rl.ppo.advantage import generalised_advantages, next_values

MEMBERS, T, N = 2, 9, 4
gamma, lam = 0.9, 0.7
pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def played():
    """Rewards, values and both kinds of ends, drawn at random."""
    draw = generator(0, "played")
    size = (MEMBERS, T, N)
    ends = torch.rand(size, generator=draw)
    return {
        "r": torch.randn(size, generator=draw),
        "V": torch.randn(MEMBERS, T + 1, N, generator=draw),
        "final": torch.randn(size, generator=draw),
        "terminated": ends < 0.2,
        "truncated": ends > 0.8,
    }


def fast(played, discount=gamma, gae_lambda=lam, bootstrap=True):
    final = played["final"] if bootstrap else None
    ends = played["terminated"], played["truncated"]
    following = next_values(played["V"], *ends, final)
    values, ended = played["V"][:, :-1], ends[0] | ends[1]
    return generalised_advantages(
        played["r"], values, following, ended, discount, gae_lambda
    )


def slow(played, bootstrap=True):
    """Eq. 16 of Schulman et al. 2016 as it stands: a sum over the steps that follow."""
    A = torch.zeros(MEMBERS, T, N)
    for m, t, n in torch.cartesian_prod(*map(torch.arange, (MEMBERS, T, N))).tolist():
        l = 0  # noqa: E741
        while t + l < T:
            at = (m, t + l, n)
            V_next = played["V"][m, t + l + 1, n]
            if played["terminated"][at]:
                V_next = 0.0
            if played["truncated"][at]:
                V_next = played["final"][at] if bootstrap else 0.0
            delta = played["r"][at] + gamma * V_next - played["V"][at]
            A[m, t, n] += (gamma * lam) ** l * delta
            if played["terminated"][at] or played["truncated"][at]:
                break
            l += 1  # noqa: E741
    return A


@pytest.mark.parametrize("bootstrap", [True, False])
def test_the_recursion_is_the_sum_of_discounted_deltas(played, bootstrap):
    assert_close(fast(played, bootstrap=bootstrap), slow(played, bootstrap))


def test_lambda_zero_is_the_one_step_error_and_one_is_the_return(played):
    played["terminated"][:], played["truncated"][:] = False, False
    values = played["V"]
    one_step = played["r"] + gamma * values[:, 1:] - values[:, :-1]
    assert_close(fast(played, gae_lambda=0.0), one_step)
    powers = gamma ** torch.arange(T + 1)
    rewards = torch.cat([played["r"], values[:, -1:]], 1)
    first = (powers[:, None] * rewards).sum(1) - values[:, 0]
    assert_close(fast(played, gae_lambda=1.0)[:, 0], first)


def test_a_cut_episode_ends_with_its_value_only_if_asked(played):
    at = played["truncated"]
    with_value, without = fast(played, gae_lambda=0.0), fast(played, gamma, 0.0, False)
    assert_close((with_value - without)[at], gamma * played["final"][at])
    assert (with_value == without)[~at].all()


def test_nothing_flows_back_over_an_end(played):
    before = fast(played)
    played["r"][:, 5:] += 100.0
    changed = (fast(played) != before)[:, :5]
    ended = (played["terminated"] | played["truncated"])[:, :5]
    goes_on = ended.flip(1).cumsum(1).flip(1) == 0
    assert (changed == goes_on).all()


def test_shapes_that_do_not_fit_are_refused(played):
    rewards, ended = played["r"], played["terminated"]
    with pytest.raises(ValueError, match="leave out the last value"):
        generalised_advantages(rewards, played["V"], rewards, ended, gamma, lam)
