"""TRAC against its equations, and against its authors' package where it is there."""

from math import sqrt

import numpy as np
import pytest
import torch
from scipy import special
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.optimisers.trac import DISCOUNTS, TRAC, erfi
from isometry.methods.resets.units import replace_units_

LR = 1e-2  # of the toy


def adam_updates(moments, gradients, step):
    """Return Adam's updates of a member, and its new moments."""
    found, new = {}, {}
    for name, g in gradients.items():
        one, two = moments.get(name, (0.0, 0.0))
        one, two = 0.9 * one + 0.1 * g, 0.999 * two + 0.001 * g**2
        size = np.sqrt(two / (1 - 0.999 ** (step + 1))) + 1e-8
        found[name] = -LR * one / (1 - 0.9 ** (step + 1)) / size
        new[name] = (one, two)
    return found, new


def by_hand(own, member, steps, start):
    """Return a member's weights after some steps, from the published equations."""
    weights = {n: a[member] for n, a in own.copy().items()}
    reference, path = dict(weights), dict.fromkeys(weights, 0.0)
    betas, scale, moments = np.array(DISCOUNTS), 0.0, {}
    variance, sigma = np.zeros(6), np.full(6, 1e-8)
    for step in range(steps):
        drawn = {n: g.numpy()[member] for n, g in own.draw("gradient", step).items()}
        updates, moments = adam_updates(moments, drawn, step)
        path = {n: (weights[n] - reference[n]) / (scale + 1e-8) for n in weights}
        slope = sum((path[n] * drawn[n]).sum() for n in weights)
        variance = betas**2 * variance + slope**2
        sigma = betas * sigma - slope
        tuners = special.erfi(sigma / (sqrt(2) * np.sqrt(variance) + 1e-8))
        scale = (start / special.erfi(1 / sqrt(2)) * tuners).sum()
        for name in weights:
            moved = path[name] + updates[name]
            weights[name] = reference[name] + max(scale, 0.0) * moved
    return weights


@pytest.mark.parametrize("start", [1e-8, 1e-2, 1.0])
def test_it_is_the_published_rule_for_every_member(toy, start):
    own = toy("trac", trac_scale=start)
    wanted = [by_hand(own, member, 12, start) for member in range(3)]
    for step in range(12):
        own.adam_step(step)
    for member, weights in enumerate(wanted):
        for name, array in weights.items():
            found = own.parameters[name][member].detach()
            assert_close(found, torch.from_numpy(array), rtol=1e-6, atol=1e-12)


def test_erfi_is_scipys_as_far_as_it_is_finite():
    x = torch.linspace(-12, 12, 241, dtype=torch.float64)
    assert_close(erfi(x), torch.from_numpy(special.erfi(x.numpy())))
    x = torch.linspace(-9, 9, 181)
    assert_close(erfi(x), erfi(x.double()).float(), rtol=2e-5, atol=0)
    assert erfi(torch.tensor([30.0])).isinf()


def test_it_matches_the_authors_package(monkeypatch):
    """Whose own erfi is 1 % low near zero; with an exact one both are the same."""
    package = pytest.importorskip("trac_optimizer.trac")

    def exact(x):
        return torch.from_numpy(np.asarray(special.erfi(x.double().numpy())))

    near = torch.tensor([0.01])
    assert float(package.erfi(near) / exact(near)) == pytest.approx(0.9895, abs=1e-3)
    monkeypatch.setattr(package, "erfi", exact)
    theirs = [torch.randn(4, 3, generator=generator(0)).double(), torch.zeros(4)]
    theirs = [p.double().requires_grad_() for p in theirs]
    ours = [p.detach().clone()[None].requires_grad_() for p in theirs]
    wrapped = package.start_trac("/dev/null", torch.optim.Adam, s_prev=1e-2)
    optimizers = wrapped(theirs, lr=0.01), TRAC(ours, 0.01, scale=1e-2)
    for step in range(40):
        for p, q in zip(theirs, ours, strict=True):
            p.grad = p.detach() + torch.randn(
                p.shape, generator=generator(step), dtype=torch.float64
            )
            q.grad = p.grad.clone()[None]
        for optimizer in optimizers:
            optimizer.step()
    moved = float((theirs[0] - ours[0][0]).detach().abs().max())
    assert float(theirs[1].detach().abs().max()) > 0.01
    assert moved < 1e-5  # the package keeps its tuners in float32


def test_a_reset_unit_begins_where_it_was_put(toy):
    """It stays there while the scale falls; another would go back to its old place."""
    own = toy("trac", trac_scale=1.0)
    for step in range(6):
        own.adam_step(step)
    chosen = torch.zeros(3, 5, dtype=torch.bool)
    chosen[:, 2] = True
    with torch.no_grad():
        replace_units_(own.training, 0, chosen, labels=("test",))
    for name in ("h0.w", "h0.b"):
        state, parameter = (
            own.optimizer.state[own.parameters[name]],
            own.parameters[name],
        )
        assert torch.equal(state["reference"][:, 2], parameter[:, 2])
        assert not torch.equal(state["reference"][:, 1], parameter[:, 1])
        assert not state["exp_avg"][:, 2].any()
    outgoing = own.optimizer.state[own.parameters["h1.w"]]
    assert not outgoing["reference"][:, :, 2].any()


def test_an_optimiser_that_forgets_begins_where_the_weights_are(toy):
    own = toy("trac", trac_scale=1.0)
    for step in range(3):
        own.adam_step(step)
    own.optimizer.state.clear()
    before = own.copy()
    own.adam_step(3)
    for name, array in before.items():
        state = own.optimizer.state[own.parameters[name]]
        assert_close(state["reference"], torch.from_numpy(array))
