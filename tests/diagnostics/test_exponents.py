"""Lyapunov exponents: zero for isometries, Newman's for products at random."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from isometry import diagnose
from isometry.core.seeding import generator
from isometry.diagnostics.call import Call, itself
from isometry.diagnostics.jacobians import jacobian_spectra, spectrum
from isometry.diagnostics.records import Spread, spread
from isometry.maxmin import isometric_mlp
from isometry.ntk.arguments import arguments_of

pytestmark = pytest.mark.usefixtures("double")


def inputs_of(*shape):
    return torch.randn(shape, generator=generator(0, "inputs"))


def ends(record):
    """Return all numbers of the exponents of a Jacobian."""
    spreads = record.largest_exponent, record.smallest_exponent, record.mean_exponent
    return [end for s in spreads for end in (s.minimum, s.median, s.maximum)]


def digamma_exponents(width):
    """Return the exponents of products of Gaussian matrices with variance 1/width.

    Newman 1986: half the mean logarithm of a chi-squared variable of width - k degrees
    of freedom, over the width, for k = 0, 1, ...
    """
    freedom = torch.arange(width, 0, -1).double()
    return (torch.digamma(freedom / 2) + math.log(2 / width)) / 2


def test_all_exponents_of_an_isometric_network_are_zero():
    found = diagnose(isometric_mlp(6, 6, 3, 6), inputs_of(5, 6), ntk=False)
    assert found.end_to_end.depth == 4
    for record in (*found.layer_jacobians, found.end_to_end):
        assert ends(record) == pytest.approx([0] * 9, abs=1e-12)


def test_exponents_are_logarithms_over_the_depth():
    values = torch.tensor([[4.0, 2.0, 1.0], [16.0, 2.0, 0.5]])
    found = spectrum("outputs", "inputs", torch.diag_embed(values), depth=2)
    log = math.log(2) / 2
    largest, smallest = found.largest_exponent, found.smallest_exponent
    assert_close(
        [*vars(largest).values(), *vars(smallest).values()],
        [2 * log, 3 * log, 4 * log, -log, -log / 2, 0.0],
    )
    assert found.mean_exponent.median == pytest.approx((1 + 4 / 3) / 2 * log)


def test_exponent_of_a_lost_direction_is_minus_infinity_and_null_in_json():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].weight.data[0] = model[0].weight.data[1]
    found = diagnose(model, inputs_of(4, 3), ntk=False)
    assert found.end_to_end.smallest_exponent == Spread(-math.inf, -math.inf, -math.inf)
    assert found.end_to_end.largest_exponent.median > -math.inf
    shown = found.to_dict()["end_to_end"]
    assert shown["smallest_exponent"]["median"] is None
    assert "-inf to" in str(found)


def test_median_of_infinities_is_no_nan():
    half = spread(torch.tensor([-math.inf, 1.0, 2.0, -math.inf]))
    assert half == Spread(-math.inf, -math.inf, 2.0)
    draw = torch.randn(8, generator=generator(0, "spread"))
    assert spread(draw).median == pytest.approx(torch.quantile(draw, 0.5).item())


class Block(nn.Module):
    """Three maps in a row, one beside them; a weight that a map makes."""

    def __init__(self):
        super().__init__()
        self.row = nn.ModuleList(nn.Linear(3, 3) for _ in range(3))
        self.beside, self.maker = nn.Linear(3, 3), nn.Linear(9, 9)
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        long = x
        for layer in self.row:
            long = torch.tanh(layer(long))
        weight = self.row[0].weight.flatten()
        for _ in range(9):
            weight = self.maker(weight)
        return self.head(long + self.beside(x) @ weight.view(3, 3))


def test_depth_is_the_longest_way_from_inputs_to_outputs():
    found = diagnose(Block(), inputs_of(4, 3), ntk=False)
    assert found.end_to_end.depth == 4
    assert {record.depth for record in found.layer_jacobians} == {1}


def test_exponents_of_gaussian_products_are_those_of_newman():
    width, short, long, draws = 3, 8, 16, 150
    draw = generator(0, "products")
    shape = draws, long, width, width
    layers = torch.randn(shape, generator=draw) / width**0.5
    model = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(long)))
    logarithms = {}
    inputs = torch.ones(1, width)
    for depth in (short, long):
        found, arguments = [], arguments_of(inputs)
        call = Call(model=model[:depth], arguments=arguments, pick=itself)
        for one in layers:
            for layer, weight in zip(model, one, strict=True):
                layer.weight.data = weight
            record = jacobian_spectra(call, inputs, width, 1)[1]
            assert record.depth == depth
            found.append([depth * end for end in ends(record)[::3]])
        logarithms[depth] = torch.tensor(found)
    largest, smallest, mean = (logarithms[long] - logarithms[short]).T / (long - short)
    expected = digamma_exponents(width)
    for values, exponent in (
        (largest, expected[0]),
        (smallest, expected[-1]),
        (mean, expected.mean()),  # at any depth: the logarithm of a determinant
    ):
        error = values.std() / draws**0.5
        assert abs(values.mean() - exponent) < 4 * error
        assert error < 0.05 * (expected[0] - expected[-1])
