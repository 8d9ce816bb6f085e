"""Fresh parameters of somebody's model, and how widely they are drawn."""

from math import sqrt

import pytest
import torch
from torch import nn

from isometry.attachment.building import wire


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.full((1, 6), 0.5))
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.attn = nn.MultiheadAttention(6, 2, batch_first=True)
        self.fc = nn.Linear(6, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x))).flatten(2).mT + self.token
        x = self.attn(x, x, x, need_weights=False)[0].mean(1)
        return self.head(torch.relu(self.fc(x)))


EXAMPLE = torch.ones(2, 3, 6, 6)


def test_a_draw_is_a_function_of_seed_and_labels():
    structure = wire(Model(), EXAMPLE).structure
    first, again = structure.fresh(0, "task", 1), structure.fresh(0, "task", 1)
    other, seed = structure.fresh(0, "task", 2), structure.fresh(1, "task", 1)
    for name, value in first.items():
        assert torch.equal(value, again[name])
    for weight in ("conv.weight", "fc.weight", "attn.in_proj_weight[1]"):
        assert not torch.equal(first[weight], other[weight])
        assert not torch.equal(first[weight], seed[weight])


def test_a_draw_is_the_constructors_law_in_the_shape_of_the_views():
    model = Model()
    wiring = wire(model, EXAMPLE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(7)
    drawn = wiring.structure.fresh(0)
    assert drawn.keys() == wiring.views.keys()
    owned = dict(model.named_parameters())
    for name, view in wiring.views.items():
        assert drawn[name].shape == view.of(owned[view.parameter])[0].shape
    bound = 1 / sqrt(27)
    assert 0.8 * bound < drawn["conv.weight"].abs().max() <= bound
    assert torch.equal(drawn["norm.weight"], torch.ones(6))
    assert torch.equal(drawn["attn.out_proj.bias"], torch.zeros(6))
    assert torch.equal(drawn["token"], torch.full((1, 6), 0.5))  # nobody draws it


def test_torchs_own_law_has_its_spread_exactly():
    spread = wire(Model(), EXAMPLE).structure.spread
    assert spread["conv.weight"] == 1 / sqrt(3 * 27)
    assert spread["fc.weight"] == 1 / sqrt(3 * 6)
    drawn = wire(nn.Linear(50, 400), torch.ones(1, 50), head=()).structure
    assert drawn.fresh(0)["weight"].std().item() == pytest.approx(
        drawn.spread["weight"], rel=0.02
    )


def test_another_law_is_measured():
    # Xavier's, for the whole packed matrix: variance 2 / (6 + 18).
    spread = wire(Model(), EXAMPLE).structure.spread
    assert spread["attn.in_proj_weight[0]"] == pytest.approx(sqrt(2 / 24), rel=0.3)


def orthogonal(model, generator):
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.orthogonal_(parameter, generator=generator)


def test_a_users_own_initialisation_draws_and_is_measured():
    structure = wire(Model(), EXAMPLE, initialise=orthogonal).structure
    weight = structure.fresh(0)["fc.weight"]
    torch.testing.assert_close(weight.T @ weight, torch.eye(6))
    assert structure.spread["fc.weight"] == pytest.approx(1 / sqrt(8))
    assert structure.spread["conv.weight"] == pytest.approx(1 / sqrt(27))


def test_a_models_own_law_for_all_its_modules_is_used_and_measured():
    class Own(Model):
        def __init__(self):
            super().__init__()
            self.apply(self._init_weights)

        def _init_weights(self, module):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.5)

    model = nn.Sequential(Own())
    structure = wire(model, EXAMPLE).structure
    with torch.no_grad():
        model[0].token.zero_()
    drawn = structure.fresh(0)
    assert drawn["0.fc.weight"].std().item() == pytest.approx(0.5, rel=0.3)
    assert structure.spread["0.fc.weight"] == pytest.approx(0.5, rel=0.3)
    assert drawn["0.conv.weight"].abs().max() <= 1 / sqrt(27)
    assert torch.equal(drawn["0.token"], torch.full((1, 6), 0.5))


def test_a_weight_that_starts_at_zero_has_torchs_spread():
    def zero(model, generator):
        for parameter in model.parameters():
            nn.init.zeros_(parameter)

    spread = wire(Model(), EXAMPLE, initialise=zero).structure.spread
    assert spread["fc.weight"] == 1 / sqrt(3 * 6)


def test_an_initialisation_may_draw_from_the_global_generator():
    def normal(model, generator):
        for parameter in model.parameters():
            nn.init.normal_(parameter)

    model = Model()
    drawn = torch.get_rng_state()
    structure = wire(model, EXAMPLE, initialise=normal).structure
    first, again = structure.fresh(3, "task", 1), structure.fresh(3, "task", 1)
    assert torch.equal(first["fc.weight"], again["fc.weight"])
    assert torch.equal(torch.get_rng_state(), drawn)


def test_a_model_that_cannot_be_copied_is_refused_where_a_draw_is_needed():
    model = Model()
    model.stream = (i for i in range(3))  # generators cannot be copied
    structure = wire(model, EXAMPLE).structure
    present = model.attn.in_proj_weight[:6].square().mean().sqrt().item()
    assert structure.spread["attn.in_proj_weight[0]"] == pytest.approx(present)
    with pytest.raises(ValueError, match="needed a model that can be copied"):
        structure.fresh(0)
