"""PPO's loss against an independent form, and clips that keep members apart."""

import pytest
import torch
from torch.distributions import Categorical
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.rl.ppo.loss import (
    Minibatch,
    clip_gradients_,
    gradient_groups,
    normalised,
    ppo_losses,
)
from isometry.rl.ppo.settings import PPOSettings

MEMBERS, BATCH, ACTIONS = 3, 20, 4
pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def case():
    """Logits, values and a minibatch whose ratios lie on both sides of the clip."""
    draw = generator(0, "minibatch")

    def normal(*size):
        return torch.randn(*size, generator=draw)

    logits = normal(MEMBERS, BATCH, ACTIONS)
    actions = torch.randint(ACTIONS, (MEMBERS, BATCH), generator=draw)
    old = Categorical(logits=logits + 0.3 * normal(*logits.shape)).log_prob(actions)
    values = normal(MEMBERS, BATCH)
    batch = Minibatch(
        actions=actions,
        log_probabilities=old,
        advantages=3 * normal(MEMBERS, BATCH) + 1,
        values=values + 0.3 * normal(MEMBERS, BATCH),
        targets=normal(MEMBERS, BATCH),
    )
    return logits.requires_grad_(), values.requires_grad_(), batch


def plain(logits, values, batch, settings, member):
    """PPO's loss of one member, sample by sample."""
    A = batch.advantages[member]
    if settings.normalise_advantages:
        A = (A - A.mean()) / (A.std(correction=0) + 1e-8)
    eps, bound, total = settings.ratio_clip, settings.value_clip, 0.0
    for i in range(BATCH):
        pi = Categorical(logits=logits[member, i])
        log_pi = pi.log_prob(batch.actions[member, i])
        r = torch.exp(log_pi - batch.log_probabilities[member, i])
        inside = max(min(r.item(), 1 + eps), 1 - eps)
        surrogate = min(r * A[i], inside * A[i])
        V, R = values[member, i], batch.targets[member, i]
        error = (V - R) ** 2
        if bound is not None:
            old = batch.values[member, i]
            moved = (V - old).clip(-bound, bound)
            error = max(error, (old + moved - R) ** 2)
        total += -surrogate + settings.value_coefficient * error / 2
        total -= settings.entropy_coefficient * pi.entropy()
    return total / BATCH


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"normalise_advantages": False},
        {"value_clip": None, "ratio_clip": 0.05},
        {"entropy_coefficient": 0.3, "value_coefficient": 2.0},
    ],
)
def test_loss_and_gradient_are_those_of_the_plain_form(case, changes):
    logits, values, batch = case
    settings = PPOSettings(**changes)
    total = ppo_losses(logits, values, batch, settings).total
    expected = torch.stack([plain(*case, settings, m) for m in range(MEMBERS)])
    assert_close(total, expected)
    gradients = torch.autograd.grad(total.sum(), (logits, values))
    assert_close(gradients, torch.autograd.grad(expected.sum(), (logits, values)))
    (own,) = torch.autograd.grad(
        ppo_losses(logits, values, batch, settings).total[1], logits
    )
    assert (own[[0, 2]] == 0).all()
    assert (own[1] != 0).any()


def test_before_the_first_step_the_gradient_is_that_of_the_policy_gradient(case):
    logits, values, batch = case
    pi = Categorical(logits=logits)
    fresh = Minibatch(
        actions=batch.actions,
        log_probabilities=pi.log_prob(batch.actions).detach(),
        advantages=batch.advantages,
        values=values.detach(),
        targets=batch.targets,
    )
    losses = ppo_losses(logits, values, fresh, PPOSettings())
    assert_close(losses.policy, torch.zeros(MEMBERS))
    assert_close(losses.divergence, torch.zeros(MEMBERS))
    assert (losses.clipped == 0).all()
    assert_close(losses.entropy, pi.entropy().mean(1))
    expected = -(normalised(batch.advantages) * pi.log_prob(batch.actions)).mean(1)
    found = torch.autograd.grad(losses.policy.sum(), logits, retain_graph=True)
    assert_close(found, torch.autograd.grad(expected.sum(), logits))


def test_a_ratio_beyond_the_clip_in_its_own_direction_has_no_gradient(case):
    logits, values, batch = case
    settings = PPOSettings(normalise_advantages=False, entropy_coefficient=0.0)
    losses = ppo_losses(logits, values, batch, settings)
    (gradient,) = torch.autograd.grad(losses.policy.sum(), logits)
    log_ratio = Categorical(logits=logits).log_prob(batch.actions)
    ratio = (log_ratio - batch.log_probabilities).exp()
    A = batch.advantages
    beyond = ((ratio > 1.2) & (A > 0)) | ((ratio < 0.8) & (A < 0))
    assert beyond.any()
    assert (beyond == (gradient == 0).all(-1)).all()
    assert_close(losses.clipped, ((ratio > 1.2) | (ratio < 0.8)).double().mean(1))


def test_the_divergence_is_never_negative_and_near_the_true_one():
    draw = generator(1, "divergence")
    old = torch.randn(1, 1, ACTIONS, generator=draw).expand(1, 100_000, ACTIONS)
    new = old + 0.1 * torch.randn(1, 1, ACTIONS, generator=draw)
    before, after = Categorical(logits=old), Categorical(logits=new)
    actions = torch.multinomial(before.probs[0, 0], 100_000, True, generator=draw)
    zeros = torch.zeros(1, 100_000)
    batch = Minibatch(
        actions=actions[None],
        log_probabilities=before.log_prob(actions[None]),
        advantages=zeros,
        values=zeros,
        targets=zeros,
    )
    losses = ppo_losses(new, zeros, batch, PPOSettings())
    true = torch.distributions.kl_divergence(before, after)[:, 0]
    # a mean of 10^5 draws
    assert_close(losses.divergence, true, rtol=0.05, atol=0)


def test_each_members_advantages_get_mean_zero_and_variance_one(case):
    found = normalised(case[2].advantages)
    assert_close(found.mean(1), torch.zeros(MEMBERS))
    assert_close(found.var(1, correction=0), torch.ones(MEMBERS))


# --- clips ----------------------------------------------------------------------------


def stack_with_gradients(*names):
    draw = generator(2, "gradients")
    parameters = {}
    for name in names:
        parameter = torch.zeros(3, 3, 5, requires_grad=True)
        parameter.grad = torch.randn(3, 3, 5, generator=draw)
        parameter.grad[1] *= 1e-3  # a member with small gradients
        parameter.grad[2] *= 3
        parameters[name] = parameter
    return parameters


def norms(parameters, names):
    gradients = [parameters[name].grad.flatten(1) for name in names]
    return torch.cat(gradients, 1).norm(dim=1)


def test_actor_and_critic_of_each_member_are_clipped_by_their_own_norm():
    names = ("hidden.actor.0.weight", "head.actor.bias", "hidden.critic.0.weight")
    parameters = stack_with_gradients(*names)
    groups = gradient_groups(parameters)
    assert groups == [list(names[:2]), [names[2]]]
    before = {n: p.grad.clone() for n, p in parameters.items()}
    old = [norms(parameters, group) for group in groups]
    clip_gradients_(parameters, groups, PPOSettings(gradient_bound=0.5))
    for group, norm in zip(groups, old, strict=True):
        assert (norm > 0.5).tolist() == [True, False, True]
        assert_close(norms(parameters, group)[[0, 2]], torch.full((2,), 0.5))
        for name in group:
            for i in (0, 2):
                expected = before[name][i] * 0.5 / norm[i]
                assert_close(parameters[name].grad[i], expected)
            assert (parameters[name].grad[1] == before[name][1]).all()


def test_networks_that_share_layers_have_one_norm():
    names = ("hidden.shared.0.weight", "hidden.actor.0.weight", "head.critic.weight")
    parameters = stack_with_gradients(*names)
    groups = gradient_groups(parameters)
    assert groups == [list(names)]
    clip_gradients_(parameters, groups, PPOSettings())
    assert_close(norms(parameters, names)[0], torch.tensor(0.5))


def test_an_element_wise_clip_cuts_entries_and_none_leaves_them():
    parameters = stack_with_gradients("hidden.actor.0.weight")
    before = parameters["hidden.actor.0.weight"].grad.clone()
    groups = gradient_groups(parameters)
    clip_gradients_(parameters, groups, PPOSettings(gradient_clip="none"))
    assert (parameters["hidden.actor.0.weight"].grad == before).all()
    clip_gradients_(parameters, groups, PPOSettings(gradient_clip="element"))
    found = parameters["hidden.actor.0.weight"].grad
    assert (found == before.clip(-0.5, 0.5)).all()
    assert (found != before).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_envs": 0}, "num_envs >= 1"),
        ({"lr": 0.0}, "lr > 0"),
        ({"discount": 1.1}, "0 <= discount <= 1"),
        ({"value_clip": 0.0}, "value_clip > 0 or none"),
        ({"entropy_coefficient": -0.1}, "entropy_coefficient >= 0"),
        ({"minibatches": 7}, "minibatches that divide num_envs"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PPOSettings(**changes)
