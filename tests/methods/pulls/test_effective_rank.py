"""L2-ER: the rank that is climbed, its gradient, and the step of its own."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.pulls.effective_rank import differentiable_rank
from isometry.plasticity import feature_effective_rank


def images(step, size=6):
    draw = generator(5, "images", step)
    return torch.randn(3, size, 3, generator=draw).double()


def mean_rank(own, inputs):
    _, seen = own.structure.function(own.parameters, inputs)
    return torch.stack([differentiable_rank(phi) for phi in seen]).mean(0)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (5, 5)])
def test_it_is_the_effective_rank_of_the_diagnostics(shape):
    features = torch.randn(2, *shape, generator=generator(0, *shape)).double()
    found = differentiable_rank(features)
    for i in range(2):
        expected = feature_effective_rank(features[i], centred=False)
        assert found[i].item() == pytest.approx(float(expected), rel=1e-5)


def test_dead_units_and_members_that_are_not_finite_have_finite_ranks():
    features = torch.randn(3, 6, 4, generator=generator(0, "f")).double()
    features[0, :, 1:] = 0
    features[1, 2, 2] = torch.nan
    features.requires_grad_()
    found = differentiable_rank(features)
    assert found[0].item() == pytest.approx(1, abs=1e-5)
    found.sum().backward()
    assert features.grad[[0, 2]].isfinite().all()
    assert found.isfinite().all()


def test_a_step_of_its_own_climbs_the_rank_of_all_kept_images(toy):
    own = toy("l2_er", er_every=3, er_lr=1e-2)
    for step in range(3):
        before = own.copy()
        own.after(step, inputs=images(step, size=6 - step))
        moved = {n for n, a in own.copy().items() if not np.array_equal(a, before[n])}
        assert moved == (set() if step < 2 else {"h0.w", "h0.b", "h1.w", "h1.b"}), (
            "the head has no features"
        )
    twin = toy("l2_er")
    together = torch.cat([images(step, size=6 - step) for step in range(3)], 1)
    value = mean_rank(twin, together)
    parts = [twin.parameters[n] for n in sorted(moved)]
    gradients = torch.autograd.grad(value.sum(), parts)
    for name, gradient in zip(sorted(moved), gradients, strict=True):
        expected = twin.parameters[name].detach() + 1e-2 * gradient
        assert_close(own.parameters[name].detach(), expected)
    assert (mean_rank(own, together) > value).all()
    assert not own.state["images"].numel()


def test_its_gradient_is_that_of_finite_differences():
    features = torch.randn(1, 6, 4, generator=generator(1, "f")).double()
    assert torch.autograd.gradcheck(differentiable_rank, features.requires_grad_())


def test_its_penalty_is_l2s(toy):
    own, other = toy("l2_er", l2_strength=0.3), toy("l2", l2_strength=0.3)
    assert torch.equal(own.penalty(), other.penalty())


@pytest.mark.parametrize(("key", "value"), [("er_lr", -1.0), ("er_every", 0)])
def test_a_setting_out_of_range_is_refused(toy, key, value):
    with pytest.raises(ValueError, match=f"needed {key} >= ., found {value}"):
        toy("l2_er", **{key: value})
