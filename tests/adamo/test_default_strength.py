"""The default strength holds in every loop, and the pages say what it is."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from isometry.adamo import AdamO, isometry_gradient, isometry_step_, relaxation_steps
from isometry.adamo.optimizer import DEFAULT_STEPS, STRONGEST_DEFAULT

ROOT = Path(__file__).parents[2]
PAPER = 1e-3


def weight():
    draw = torch.Generator().manual_seed(0)
    return nn.Parameter(torch.randn(4, 3, dtype=torch.float64, generator=draw))


def pulled(parameter, optimizer, steps=1):
    """Let the pull act alone: the task's gradient is zero."""
    for _ in range(steps):
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("lr", [1e-4, 3e-4, 1e-3, 3e-2, torch.tensor(1e-3)])
def test_who_says_nothing_gets_the_time_of_the_default(lr):
    parameter = weight()
    before = parameter.detach().clone()
    optimizer = AdamO([parameter], lr=lr)
    strength = optimizer.param_groups[0]["isometry_strength"]
    assert relaxation_steps(strength, float(lr)) == pytest.approx(DEFAULT_STEPS)
    pulled(parameter, optimizer)
    rate = 1 / (8 * DEFAULT_STEPS)
    assert_close(parameter.detach(), before - rate * isometry_gradient(before))


def test_the_time_is_that_of_the_pulls_own_rate():
    [group] = AdamO([weight()], lr=1e-2, isometry_lr=1e-3).param_groups
    assert relaxation_steps(group["isometry_strength"], 1e-3) == pytest.approx(12_500)


@pytest.mark.parametrize("lr", [0.0, 1e-12, 1e-5, torch.tensor(0.0)])
def test_at_rates_without_results_the_default_is_no_stronger(lr):
    [group] = AdamO([weight()], lr=lr).param_groups
    assert group["isometry_strength"] == STRONGEST_DEFAULT


def test_the_papers_strength_is_one_argument_away():
    parameter = weight()
    before = parameter.detach().clone()
    pulled(parameter, AdamO([parameter], lr=1e-3, isometry_strength=PAPER))
    assert_close(parameter.detach(), isometry_step_(before, 1e-3 * PAPER))


@pytest.mark.parametrize("first", [0.0, 1e-9])
def test_a_warm_up_by_hand_never_lifts_the_pull_past_stability(first):
    parameter = weight()
    optimizer = AdamO([parameter], lr=first)
    for lr in (first, 1e-3, 1e-2, 1.0):  # no warning, which would be an error
        optimizer.param_groups[0]["lr"] = lr
        pulled(parameter, optimizer)
    assert torch.isfinite(parameter).all()


def test_the_pull_follows_a_schedule():
    parameter = weight()
    expected = parameter.detach().clone()
    optimizer = AdamO([parameter], lr=1e-2)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for step in range(3):
        pulled(parameter, optimizer)
        schedule.step()
        isometry_step_(expected, 0.5**step / (8 * DEFAULT_STEPS))
    assert_close(parameter.detach(), expected)


def test_a_rate_that_is_a_tensor_may_change_in_place():
    parameter, lr = weight(), torch.tensor(0.0)
    before = parameter.detach().clone()
    optimizer = AdamO([parameter], lr=lr)
    assert torch.equal(pulled(parameter, optimizer), before)
    lr.fill_(1e-2)
    pulled(parameter, optimizer)
    assert_close(parameter.detach(), isometry_step_(before, 1e-2 * STRONGEST_DEFAULT))


@pytest.mark.parametrize("saved", [PAPER, 0.0, 2.0])
def test_a_checkpoint_keeps_the_strength_it_was_made_with(saved):
    old = AdamO([weight()], isometry_strength=saved)
    new = AdamO([weight()])
    new.load_state_dict(old.state_dict())
    assert new.param_groups[0]["isometry_strength"] == saved


def test_a_checkpoint_of_adamw_leaves_the_strength():
    new = AdamO([weight()], lr=1e-3)
    strength = new.param_groups[0]["isometry_strength"]
    new.load_state_dict(torch.optim.AdamW([weight()], lr=0.1).state_dict())
    assert new.param_groups[0]["isometry_strength"] == strength


def test_all_groups_have_one_strength_unless_they_say_otherwise():
    groups = [{"params": [weight()]}, {"params": [weight()], "isometry_strength": 0.0}]
    optimizer = AdamO(groups, lr=1e-3)
    optimizer.add_param_group({"params": [weight()], "lr": 1e-4})
    strengths = [group["isometry_strength"] for group in optimizer.param_groups]
    assert strengths == pytest.approx([0.01, 0.0, 0.01])


HARDEST = {1, 4}  # a pull of 1/8 in every step, and in every fourth


@pytest.mark.parametrize(
    "page", ["README.md", "book/use-adamo.md", "chapters/05_adamo.md"]
)
def test_pages_give_one_rule(page):
    """The numbers of the rule are those of the code, or read from chapter 5's run."""
    said = " ".join((ROOT / page).read_text().replace("$", "").split())
    assert "a tenth of" not in said
    times = re.findall(r"relaxation_steps=([\d_]+)", said)
    found = {int(time.replace("_", "")) for time in times}
    assert found - HARDEST == {1000}
    if found & HARDEST:
        assert "Long streams of images often liked that best." in said
    if page == "README.md":
        assert f"relaxation time of {DEFAULT_STEPS:,} steps" in said
    else:
        assert "{number}`05_adamo.default_steps:,.0f`" in said
        assert f"strength stays at {STRONGEST_DEFAULT}" in said
