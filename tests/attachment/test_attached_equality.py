"""On the benchmark's networks, attach is the registry's form of every method."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from streams import attached_form, exported_member, planned, registry_form

from isometry.methods import METHODS, get
from isometry.methods.method import adam

SEED = 5
COMBINED = ("redo+l2_init", "layernorm+adamo")
NAMES = (*METHODS.names(), *COMBINED)
# The order in which a parameter's gradients are added up, and torch's own LayerNorm:
# each a rounding a step, of parameters near one, over the 18 steps here.
ROUNDING = 1e-6


def largest_gap(run, found):
    """Return the largest difference of a parameter."""
    return max(float((run[n][0].detach() - found[n]).abs().max()) for n in found)


def by_autograd(plan):
    """Return the plan with a penalty that is differentiated, as a user's loop does."""
    return replace(plan, method=replace(plan.method, penalty_gradient_=None))


@pytest.mark.parametrize("network", ["mlp", "cnn"])
@pytest.mark.parametrize("name", NAMES)
def test_attach_is_the_registry_s_form_bit_for_bit(name, network, digits):
    """With the stack's kernels; a penalty's gradient is added in another order."""
    plan = by_autograd(planned(name, network))
    if plan.method.watches_gradients:
        pytest.skip("the stack's kernels hide the gradients by activations")
    run = registry_form(plan, digits, [SEED])
    found, _ = attached_form(plan, digits, SEED)
    gap = largest_gap(run, found)
    assert gap <= (0 if plan.method.penalty is None else ROUNDING)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "aid"])
def test_attach_on_torch_s_layers_is_the_registry_s_form(name, digits):
    """Without aid, whose module draws by torch's global generator."""
    plan = by_autograd(planned(name, "cnn"))
    run = registry_form(plan, digits, [SEED])
    found, _ = attached_form(plan, digits, SEED, exported_member)
    assert largest_gap(run, found) <= ROUNDING


@pytest.mark.parametrize(
    "name", [n for n in NAMES if get(n).optimizer is adam and not get(n).restarts]
)
def test_a_user_s_own_adam_is_the_registry_s(name, digits):
    def fused(parameters, lr):
        return torch.optim.Adam(parameters, lr=lr, fused=True)

    plan = by_autograd(planned(name))
    run = registry_form(plan, digits, [SEED])
    found, _ = attached_form(plan, digits, SEED, exported_member, fused)
    if name != "aid":
        assert largest_gap(run, found) <= ROUNDING


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("utility", ["contribution", "adaptable"])
@pytest.mark.parametrize("compensation", [True, False])
def test_continual_backprop_beside_a_user_s_own_sgd_is_the_registry_s(
    utility, compensation, momentum, digits
):
    def sgd(parameters, lr):
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum)

    changes = {"cbp_utility": utility, "cbp_compensation": compensation}
    changes |= {"optimizer": "sgd", "momentum": momentum, "lr": 0.05}
    plan = planned("cbp", **changes)
    run = registry_form(plan, digits, [SEED])
    found, plastic = attached_form(plan, digits, SEED, exported_member, sgd)
    assert largest_gap(run, found) <= ROUNDING
    assert sum(row.replaced for row in plastic.report().layers) > 0


@pytest.mark.parametrize("name", ["redo", "cbp", "snr", "regrama"])
def test_units_are_replaced_in_these_runs(name, digits):
    _, plastic = attached_form(planned(name), digits, SEED, exported_member)
    assert sum(row.replaced for row in plastic.report().layers) > 0


def test_another_seed_draws_otherwise(digits):
    plan = planned("redo")
    run = registry_form(plan, digits, [SEED])
    found, _ = attached_form(plan, digits, SEED + 1, exported_member)
    assert largest_gap(run, found) > ROUNDING
