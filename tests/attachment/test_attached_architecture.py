"""Methods that change the network, on a network that is there."""

import pytest
import torch
from torch import nn

import isometry
from isometry.maxmin import GroupSort, MaxMin
from isometry.methods import get

INPUTS = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(1))


def model_of(*norms):
    """Return a small convolutional network, with norms before its nonlinearities."""
    torch.manual_seed(0)
    first, second = norms or (nn.Identity(), nn.Identity())
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 6, 3), first, nn.ReLU()),
        nn.Flatten(),
        nn.Linear(6 * 36, 8),
        second,
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def attached(model, method, **settings):
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    return isometry.attach(model, sgd, method, inputs=INPUTS, **settings)


@pytest.mark.parametrize(
    ("method", "kind"), [("leaky_relu", nn.LeakyReLU), ("maxmin", MaxMin)]
)
def test_nonlinearities_are_replaced_where_they_are_modules(method, kind):
    model, wanted = model_of(), model_of()
    slope = get("leaky_relu").settings.leak
    for holder, place, dim in ((wanted[0], 2, 1), (wanted, 4, -1)):
        holder[place] = kind(slope) if method == "leaky_relu" else kind(dim)
    attached(model, method)
    assert torch.equal(model(INPUTS), wanted(INPUTS))


@pytest.mark.parametrize("method", ["layernorm", "layernorm_l2", "nap"])
def test_norms_come_before_nonlinearities_and_join_the_optimiser(method):
    model = model_of()
    wanted = model_of(nn.GroupNorm(1, 6), nn.LayerNorm(8))
    plastic = attached(model, method)
    assert torch.equal(model(INPUTS), wanted(INPUTS))
    assert len(plastic.optimizer.param_groups) == 2
    held = [p for g in plastic.optimizer.param_groups for p in g["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}
    roles = [row.role for row in plastic.report().parameters]
    assert (roles.count("gain"), roles.count("offset")) == (2, 2)


def test_a_norm_without_gain_and_offset_adds_no_group():
    model = model_of()
    plastic = attached(model, "nap", nap_affine=False)
    assert len(plastic.optimizer.param_groups) == 1
    wanted = model_of(nn.GroupNorm(1, 6), nn.LayerNorm(8))
    torch.testing.assert_close(model(INPUTS), wanted(INPUTS))


def test_a_network_that_has_norms_keeps_them():
    model = model_of(nn.BatchNorm2d(6), nn.LayerNorm(8))
    plastic = attached(model, "layernorm+leaky_relu")
    assert len(plastic.optimizer.param_groups) == 1
    assert isinstance(model[4], nn.LeakyReLU)


def test_the_mode_of_a_new_layer_is_that_of_the_old():
    model = model_of().eval()
    attached(model, "aid")
    assert not model[4].training


def test_an_odd_width_has_no_pairs():
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 7), nn.ReLU(), nn.Linear(7, 2))
    with pytest.raises(ValueError, match="an even number of units for maxmin, found 7"):
        attached(model, "maxmin")


def test_one_module_of_two_layers_is_refused():
    act = nn.ReLU()
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(128, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 2)
    )
    with pytest.raises(ValueError, match="each of one layer, for layernorm"):
        attached(model, "layernorm")
    assert model[2] is act


def test_detach_leaves_new_layers_where_they_are():
    model = model_of()
    plastic = attached(model, "maxmin")
    plastic.detach()
    assert isinstance(model[4], GroupSort)
