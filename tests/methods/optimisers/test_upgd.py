"""UPGD against its equations, entry by entry; noise that no stack changes."""

from dataclasses import replace
from math import exp

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.settings import as_dict
from isometry.methods import METHODS
from isometry.methods.optimisers.upgd import UPGD

LR = 1e-2  # of the toy


def noise_of(own, step):
    """Return the noise of a step by name, ``(members, ...)``, drawn once more."""
    found = {name: [] for name in own.parameters}
    for draw in own.training.generators("upgd", step):
        sizes = [p[0].numel() for p in own.parameters.values()]
        row = torch.randn(sum(sizes), generator=draw).double().split(sizes)
        for (name, p), part in zip(own.parameters.items(), row, strict=True):
            found[name].append(part.view(p.shape[1:]).numpy())
    return {name: np.stack(parts) for name, parts in found.items()}


def by_hand(weights, utilities, gradients, noise, beta, sigma, decay):
    """Return one member's weights and utilities after a step, from dictionaries."""
    after, new = {}, {}
    for name, weight in weights.items():
        new[name] = beta * utilities[name] - (1 - beta) * gradients[name] * weight
    most = max(u.max() for u in new.values())
    for name, weight in weights.items():
        after[name] = np.empty_like(weight)
        for place in np.ndindex(weight.shape):
            scaled = new[name][place] / most if most > 0 else 0.0
            gate = 1 - 1 / (1 + exp(-scaled))
            push = gradients[name][place] + sigma * noise[name][place]
            kept = (1 - LR * decay) * weight[place]
            after[name][place] = kept - 2 * LR * push * gate
    return after, new


@pytest.mark.parametrize(
    ("beta", "sigma", "decay"), [(0.999, 1e-3, 1e-3), (0.5, 0.3, 0.0), (0.0, 0.0, 0.7)]
)
def test_it_is_the_rule_entry_by_entry_over_some_steps(toy, beta, sigma, decay):
    changes = {"upgd_beta": beta, "upgd_noise": sigma, "upgd_weight_decay": decay}
    own = toy("upgd", **changes)
    utilities = {n: np.zeros_like(a) for n, a in own.copy().items()}
    for step in range(4):
        before, noise = own.copy(), noise_of(own, step)
        gradients = {n: g.numpy() for n, g in own.draw("gradient", step).items()}
        own.adam_step(step)
        for i in range(3):
            parts = [
                {n: a[i] for n, a in arrays.items()}
                for arrays in (before, utilities, gradients, noise)
            ]
            after, new = by_hand(*parts, beta, sigma, decay)
            for name in after:
                found = own.parameters[name][i].detach()
                assert_close(found, torch.from_numpy(after[name]))
                utilities[name][i] = new[name]


def test_a_weight_without_utility_takes_the_step_of_gradient_descent(toy):
    """And none is protected where no utility is above zero."""
    own = toy("upgd", upgd_noise=0.0, upgd_weight_decay=0.0)
    before = own.copy()
    with torch.no_grad():  # u = -(1 - beta) g theta: all below zero
        for parameter in own.parameters.values():
            parameter.grad = parameter.detach().clone()
    own.optimizer.step()
    for name, array in before.items():
        assert_close(own.parameters[name].detach(), torch.tensor((1 - LR) * array))


def test_the_most_useful_weight_moves_at_least(toy):
    own = toy("upgd", upgd_noise=0.0, upgd_weight_decay=0.0)
    before = own.copy()
    own.adam_step(0)
    gradients = own.draw("gradient", 0)
    for i in range(3):
        useful, shares = [], []
        for name, array in before.items():
            gradient = gradients[name][i].numpy()
            moved = array[i] - own.parameters[name][i].detach().numpy()
            useful.append((-gradient * array[i]).ravel())
            shares.append((moved / (LR * gradient)).ravel())
        useful, shares = np.concatenate(useful), np.concatenate(shares)
        assert shares.min() == pytest.approx(2 / (1 + exp(1)))
        assert shares.argmin() == useful.argmax()
        assert (np.diff(shares[useful.argsort()]) <= 1e-12).all()


def test_a_member_of_a_stack_steps_as_it_does_alone_bit_for_bit(toy):
    together, alone = toy("upgd"), toy("upgd", seeds=(8,))
    torch.rand(3)
    for step in range(3):
        gradients = together.draw("gradient", step)
        for own, rows in ((together, slice(None)), (alone, slice(1, 2))):
            for name, parameter in own.parameters.items():
                parameter.grad = gradients[name][rows].clone()
            own.optimizer.step()
    for name, parameter in alone.parameters.items():
        assert torch.equal(parameter[0], together.parameters[name][1])


def test_noise_goes_on_where_it_was_after_a_restart_and_is_never_drawn_twice(toy):
    whole, resumed = toy("upgd", upgd_noise=0.1), toy("upgd", upgd_noise=0.1)
    for step in range(2):
        whole.adam_step(step)
        resumed.adam_step(step)
    state = resumed.optimizer.state_dict()
    resumed.optimizer = resumed.method.optimizer(resumed.training)
    resumed.optimizer.load_state_dict(state)
    whole.adam_step(2)
    resumed.adam_step(2)
    for name, parameter in whole.parameters.items():
        assert torch.equal(parameter, resumed.parameters[name])
    new = whole.method.optimizer(replace(whole.training, step=3))
    assert new.param_groups[0]["taken"] == whole.optimizer.param_groups[0]["taken"] == 3


def test_what_methods_leave_alone_takes_gradient_descent(toy):
    own = toy("upgd", upgd_noise=1.0)
    own.structure.roles["out.w"] = "spared"
    own.optimizer = own.method.optimizer(own.training)
    before = own.copy()
    own.adam_step(0)
    plain = before["out.w"] - LR * own.draw("gradient", 0)["out.w"].numpy()
    assert_close(own.parameters["out.w"].detach(), torch.from_numpy(plain))
    assert not own.optimizer.state.get(own.parameters["out.w"])
    assert isinstance(own.optimizer, UPGD)


def test_a_closure_gives_loss_and_gradients(toy):
    own = toy("upgd")

    def closure():
        own.optimizer.zero_grad()
        loss = sum(p.square().sum() for p in own.parameters.values())
        loss.backward()
        return loss

    before = own.copy()["h0.w"]
    assert own.optimizer.step(closure).item() > 0
    assert (own.copy()["h0.w"] != before).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"upgd_beta": 1}, "needed 0 <= upgd_beta < 1"),
        ({"upgd_noise": -1}, "needed upgd_noise >= 0"),
        ({"upgd_weight_decay": -1}, "needed upgd_weight_decay >= 0"),
    ],
)
def test_settings_out_of_range_are_refused(toy, values, message):
    with pytest.raises(ValueError, match=message):
        toy("upgd", **values)


def test_it_has_no_settings_of_adam():
    assert set(as_dict(METHODS.get("upgd").settings)) == {
        "upgd_beta",
        "upgd_noise",
        "upgd_weight_decay",
    }
