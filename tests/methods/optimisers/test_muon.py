"""Muon against its polynomial on singular values, and against torch's own."""

from math import sqrt

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.optimisers.muon import QUINTIC, Muon, _orthogonalised

SHAPES = [(4, 4), (3, 7), (7, 3), (1, 5)]


def polynomial(sigma, norm):
    """Return what five quintic steps make of singular values."""
    s = sigma / max(norm, 1e-7)
    a, b, c = QUINTIC
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    return s


def draw(shape, *labels):
    return torch.randn(shape, generator=generator(0, *labels)).double()


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalising_maps_singular_values_by_the_polynomial(shape):
    update = draw((3, *shape), "g")
    found = _orthogonalised(update)
    for i in range(3):
        u, sigma, v = np.linalg.svd(update[i].numpy(), full_matrices=False)
        norm = np.linalg.norm(update[i].numpy())
        assert_close(found[i], torch.tensor(u * polynomial(sigma, norm) @ v))


def test_singular_values_come_near_one_but_not_to_it():
    found = torch.linalg.svdvals(_orthogonalised(draw((20, 30, 50), "g")))
    assert found.min() > 0.5
    assert found.max() < 1.5
    assert (found - 1).abs().max() > 0.05


def test_a_zero_update_stays_zero():
    assert (_orthogonalised(torch.zeros(2, 3, 4)) == 0).all()


@pytest.mark.parametrize("rate", [0.02, None])
def test_hidden_weights_move_by_muon_and_all_else_by_adam(toy, rate):
    own, plain = toy("muon", muon_lr=rate, muon_momentum=0.8), toy("adam")
    momentum = {name: np.zeros_like(a) for name, a in own.copy().items()}
    for step in range(4):
        before = own.copy()
        gradients = own.draw("gradient", step)
        own.adam_step(step)
        plain.adam_step(step)
        for name in ("out.w", "out.b", "h0.b", "h1.b"):
            assert_close(own.parameters[name], plain.parameters[name])
        for name in ("h0.w", "h1.w"):
            g = gradients[name].numpy()
            momentum[name] = 0.8 * momentum[name] + 0.2 * g
            nesterov = 0.2 * g + 0.8 * momentum[name]
            out, fan_in = g.shape[1:]
            for i in range(3):
                u, sigma, v = np.linalg.svd(nesterov[i], full_matrices=False)
                x = u * polynomial(sigma, np.linalg.norm(sigma)) @ v
                eta = (rate or 1e-2) * sqrt(max(1, out / fan_in))
                expected = torch.tensor(before[name][i] - eta * x)
                assert_close(own.parameters[name][i].detach(), expected)
    for name in ("h0.w", "h1.w"):
        state = own.optimizer.state[own.parameters[name]]
        assert_close(state["momentum_buffer"], torch.tensor(momentum[name]))
        assert torch.equal(own.parameters[name].grad, own.draw("gradient", 3)[name])


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8)])
def test_it_is_torchs_muon_up_to_its_half_precision(shape):
    weight = draw((1, *shape), "w").requires_grad_()
    theirs = weight.detach()[0].clone().requires_grad_()
    groups = [{"params": [weight], "muon": True}]
    own = Muon(groups, lr=1.0, muon_lr=0.02, momentum=0.95)
    trusted = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.0, momentum=0.95)
    for step in range(3):
        gradient = draw(shape, "g", step)
        before = theirs.detach().clone()
        weight.data[0] = before
        weight.grad, theirs.grad = gradient[None].clone(), gradient.clone()
        own.step()
        trusted.step()
        moved, expected = weight.detach()[0] - before, theirs.detach() - before
        # torch iterates in bfloat16, which has 8 bits, where the map has slope 400.
        assert torch.linalg.norm(moved - expected) < 0.1 * torch.linalg.norm(expected)


def test_a_kernel_moves_as_its_matrix():
    kernel = draw((2, 4, 3, 2, 2), "k").requires_grad_()
    matrix = kernel.detach().clone().view(2, 4, 12).requires_grad_()
    for weight in (kernel, matrix):
        weight.grad = draw((2, 4, 12), "g").view(weight.shape)
        Muon([{"params": [weight], "muon": True}], lr=0.1).step()
    assert_close(kernel.detach().view(2, 4, 12), matrix.detach())


def test_a_saved_state_goes_on_bit_for_bit(toy):
    whole, stopped, resumed = toy("muon"), toy("muon"), toy("muon")
    for step in range(3):
        whole.adam_step(step)
        stopped.adam_step(step)
    for name, p in stopped.parameters.items():
        resumed.parameters[name].data.copy_(p.data)
    resumed.optimizer.load_state_dict(stopped.optimizer.state_dict())
    for step in range(3, 5):
        whole.adam_step(step)
        resumed.adam_step(step)
    for name, p in whole.parameters.items():
        assert torch.equal(p, resumed.parameters[name])


def test_a_closure_is_called_with_gradients():
    weight = draw((1, 2, 2), "w").requires_grad_()
    optimizer = Muon([{"params": [weight], "muon": True}], lr=0.1)

    def closure():
        loss = weight.square().sum()
        loss.backward()
        return loss

    before = weight.detach().clone()
    assert optimizer.step(closure).item() == pytest.approx(before.square().sum().item())
    assert not torch.equal(weight.detach(), before)


def test_hooks_of_a_step_run_once():
    torch.optim.Adam([torch.zeros(1)])  # torch wraps the class's step with its hooks
    weight = draw((1, 2, 2), "w").requires_grad_()
    weight.grad = torch.ones_like(weight)
    optimizer, seen = Muon([{"params": [weight], "muon": True}], lr=0.1), []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.step()
    assert seen == ["before", "after"]
