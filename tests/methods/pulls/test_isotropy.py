"""SPHERE: the variance of eigenvalues, and a penalty that is a share of the loss."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.pulls.isotropy import anisotropy


def drawn(*shape):
    return torch.randn(shape, generator=generator(0, "sphere", *shape)).double()


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (5, 5), (1, 3)])
def test_it_is_d_times_the_variance_of_the_eigenvalues(shape):
    features = drawn(2, *shape)
    found = anisotropy(features)
    for i in range(2):
        values = np.linalg.svd(features[i].numpy(), compute_uv=False) ** 2 / shape[0]
        assert found[i].item() == pytest.approx(len(values) * values.var(), rel=1e-9)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_isotropic_features_of_any_size_have_none(scale):
    features = scale * torch.linalg.qr(drawn(2, 9, 4))[0]
    assert_close(anisotropy(features), torch.zeros(2).double(), rtol=0, atol=1e-8)


def test_the_penalty_is_a_share_of_the_loss_and_its_gradient_that_of_the_logarithm(toy):
    own = toy("sphere", sphere_ratio=0.2)
    _, seen = own.structure.function(own.parameters, drawn(3, 8, 3))
    losses = torch.tensor([1.0, -2.0, 0.0]).double()
    found = own.penalty(activations=seen, losses=losses)
    assert_close(found.detach(), 0.2 * losses.abs())
    names = ["h0.w", "h1.w", "h1.b"]
    parts = [own.parameters[name] for name in names]
    written = torch.autograd.grad(found.sum(), parts, retain_graph=True)
    logarithm = (anisotropy(seen[1]) + 1e-8).log() * 0.2 * losses.abs()
    for one, other in zip(
        written, torch.autograd.grad(logarithm.sum(), parts), strict=True
    ):
        assert_close(one, other)


def test_a_negative_ratio_is_refused(toy):
    with pytest.raises(ValueError, match="needed sphere_ratio >= 0, found -1"):
        toy("sphere", sphere_ratio=-1.0)
