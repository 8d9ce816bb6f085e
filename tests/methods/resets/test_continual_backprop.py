"""Continual backprop against loops in the paper's symbols; Adam entry by entry."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.optimisers.entry_adam import _EntryAdam
from isometry.methods.resets.continual_backprop import _lowest

UNITS = (5, 4)
NEXT = ("h1", "out")


def activity(step):
    seen = []
    for units in UNITS:
        draw = generator(3, "h", step, units)
        seen.append(torch.randn(3, 6, units, generator=draw).double().relu())
    return seen


class Reference:
    """One member of continual backprop, layer by layer and unit by unit."""

    def __init__(self, eta, rho, m, utility="contribution"):
        self.eta, self.rho, self.m = eta, rho, m
        self.adaptable = utility == "adaptable"
        self.u = [np.zeros(n) for n in UNITS]
        self.f = [np.zeros(n) for n in UNITS]
        self.a = [np.zeros(n) for n in UNITS]
        self.c = [0.0, 0.0]

    def step(self, arrays, h):
        """Update all; return the units replaced as (layer, unit, mean activation)."""
        replaced = []
        for k in (0, 1):
            w_out = arrays[f"{NEXT[k]}.w"]
            for i in range(UNITS[k]):
                self.a[k][i] += 1
                mean = h[k][:, i].mean()
                self.f[k][i] = self.eta * self.f[k][i] + (1 - self.eta) * mean
                y = np.abs(h[k][:, i]).mean() * np.abs(w_out[:, i]).sum()
                if self.adaptable:
                    f_hat = self.f[k][i] / (1 - self.eta ** self.a[k][i])
                    w_in = arrays[f"h{k}.w"][i]
                    y = np.abs(h[k][:, i] - f_hat).mean() * np.abs(w_out[:, i]).sum()
                    y /= np.abs(w_in).sum()
                self.u[k][i] = self.eta * self.u[k][i] + (1 - self.eta) * y
            mature = [i for i in range(UNITS[k]) if self.a[k][i] > self.m]
            self.c[k] += self.rho * len(mature)
            for _ in range(int(np.floor(self.c[k]))):
                self.c[k] -= 1
                correct = 1 - self.eta ** self.a[k]
                r = min(mature, key=lambda i: self.u[k][i] / correct[i])
                mature.remove(r)
                replaced.append((k, r, self.f[k][r] / correct[r]))
        for k, r, _ in replaced:
            self.u[k][r] = self.f[k][r] = self.a[k][r] = 0
        return replaced


@pytest.mark.parametrize("compensation", [True, False])
@pytest.mark.parametrize("utility", ["contribution", "adaptable"])
@pytest.mark.parametrize(("rho", "maturity"), [(0.06, 3), (0.3, 0), (1.0, 1)])
def test_it_replaces_what_the_paper_replaces_when_it_does(
    toy, rho, maturity, utility, compensation
):
    settings = {"utility_decay": 0.8, "replacement_rate": rho, "maturity": maturity}
    settings |= {"cbp_utility": utility, "cbp_compensation": compensation}
    own = toy("cbp", **settings)
    references = [Reference(0.8, rho, maturity, utility) for _ in range(3)]
    count = 0
    for step in range(25):
        own.adam_step(step)
        before, seen = own.copy(), activity(step)
        own.after(step, seen)
        after = own.copy()
        for i, reference in enumerate(references):
            arrays = {name: a[i] for name, a in before.items()}
            replaced = reference.step(arrays, [h[i].numpy() for h in seen])
            count += len(replaced)
            places = {(k, r) for k, r, _ in replaced}
            expected = {name: a.copy() for name, a in arrays.items()}
            for k, r, mean in replaced:
                w_out = expected[f"{NEXT[k]}.w"]
                if compensation:
                    expected[f"{NEXT[k]}.b"] += w_out[:, r] * mean
                w_out[:, r] = 0
            for k in (0, 1):
                new = (after[f"h{k}.w"][i] != arrays[f"h{k}.w"]).any(1)
                zeroed = {r for layer, r in places if layer == k - 1}
                for r in range(UNITS[k]):
                    assert new[r] == ((k, r) in places or bool(zeroed))
            for name in ("out.w", "out.b"):
                assert_close(torch.tensor(after[name][i]), torch.tensor(expected[name]))
            for r in range(UNITS[0]):
                if (0, r) not in places:
                    kept = torch.tensor(after["h0.w"][i][r])
                    assert torch.equal(kept, torch.tensor(arrays["h0.w"][r]))
            ages = own.state["age"][i].numpy()
            assert np.array_equal(ages, np.concatenate(reference.a))
            utility = torch.tensor(np.concatenate(reference.u))
            assert_close(own.state["utility"][i], utility)
            assert_close(own.state["owed"][i], torch.tensor(reference.c).double())
    assert count > 5


def test_the_two_utilities_choose_other_units(toy):
    chosen = {}
    for utility in ("contribution", "adaptable"):
        own = toy("cbp", replacement_rate=0.06, maturity=3, cbp_utility=utility)
        before = own.copy()["h0.w"]
        for step in range(8):
            own.after(step, activity(step))
        chosen[utility] = (own.copy()["h0.w"] != before).any(-1).tolist()
    assert chosen["contribution"] != chosen["adaptable"]


def test_a_unit_without_incoming_weights_is_the_most_useful_and_no_fault(toy):
    own = toy("cbp", replacement_rate=0.5, maturity=0, cbp_utility="adaptable")
    own.parameters["h0.w"].data[:, 2] = 0
    own.after(0, activity(0))
    assert own.state["utility"].isfinite().all()
    assert (own.state["age"][:, 2] == 1).all(), "it was not replaced"


def test_fractions_add_up_to_units(toy):
    own = toy("cbp", replacement_rate=0.07, maturity=0)
    total = 0
    for step in range(40):
        before = own.state["age"].clone() + 1
        own.after(step, activity(step))
        total += (own.state["age"] != before)[0, :5].sum().item()
    # 5 units, 40 steps, 0.07; new ones are mature one step later.
    assert 12 <= total <= 14


def test_the_lowest_are_chosen_among_the_mature():
    utility = torch.tensor([[3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    mature = torch.tensor([[True, True, True, False], [False, True, True, True]])
    found = _lowest(utility, mature, torch.tensor([2.0, 1.0]))
    assert found.tolist() == [[False, True, True, False], [False, True, False, False]]
    none = _lowest(utility, mature, torch.tensor([0.0, 0.0]))
    assert not none.any()


# --- Adam, entry by entry -------------------------------------------------------------


def test_without_resets_it_is_torchs_adam():
    draw = generator(0, "g")
    start = torch.randn(2, 3, 4, generator=draw).double()
    own, trusted = start.clone().requires_grad_(), start.clone().requires_grad_()
    keywords = {"lr": 1e-2, "betas": (0.8, 0.99), "eps": 1e-6}
    ours = _EntryAdam([own], **keywords)
    theirs = torch.optim.Adam([trusted], **keywords)
    for _ in range(200):
        gradient = torch.randn(2, 3, 4, generator=draw).double()
        own.grad, trusted.grad = gradient.clone(), gradient.clone()
        ours.step()
        theirs.step()
    assert_close(own, trusted)


def test_an_entry_whose_memory_is_zero_is_torchs_adam_from_its_first_step():
    draw = generator(0, "g")
    own = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    ours = _EntryAdam([own], lr=1e-2)
    for _ in range(50):
        own.grad = torch.randn(2, 3, generator=draw).double()
        ours.step()
    for memory in ours.state[own].values():
        memory[1, 2] = 0
    new = own.detach()[1, 2].clone().requires_grad_()
    theirs = torch.optim.Adam([new], lr=1e-2)
    for _ in range(20):
        own.grad = torch.randn(2, 3, generator=draw).double()
        new.grad = own.grad[1, 2].clone()
        ours.step()
        theirs.step()
        assert_close(own.detach()[1, 2], new.detach())


def test_a_parameter_without_gradient_is_left_alone_and_a_closure_is_called():
    own = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = _EntryAdam([own], lr=1.0)
    optimizer.step()
    assert own.tolist() == [1.0, 1.0]

    def closure():
        loss = own.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert_close(own.detach(), torch.zeros(2, dtype=torch.float64), atol=1e-7, rtol=0)
