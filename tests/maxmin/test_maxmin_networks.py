import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from isometry.core.matrices import singular_values, smaller_gram
from isometry.core.seeding import generator
from isometry.maxmin import (
    GroupSort,
    isometric_mlp,
    jacobian_singular_values,
    orthogonal_linear,
)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0, *shape), dtype=torch.float64)


@pytest.mark.parametrize("parametrized", [True, False])
@pytest.mark.parametrize(("fan_in", "fan_out"), [(6, 6), (9, 4), (4, 9), (1, 5)])
def test_orthogonal_linear_has_unit_singular_values(fan_in, fan_out, parametrized):
    layer = orthogonal_linear(
        fan_in,
        fan_out,
        parametrized=parametrized,
        generator=generator(1),
        dtype=torch.float64,
    )
    gram = smaller_gram(layer.weight)
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64))
    assert layer.weight.shape == (fan_out, fan_in)
    assert is_parametrized(layer) == parametrized
    assert torch.equal(layer.bias, torch.zeros(fan_out, dtype=torch.float64))


@pytest.mark.parametrize(("fan_in", "fan_out"), [(6, 6), (9, 4), (4, 9)])
def test_parametrized_layer_stays_orthogonal_in_training(fan_in, fan_out):
    layer = orthogonal_linear(
        fan_in, fan_out, generator=generator(2), dtype=torch.float64
    )
    start = layer.weight.detach().clone()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        (layer(draw(8, fan_in)) - draw(8, fan_out)).square().mean().backward()
        optimizer.step()
    gram = smaller_gram(layer.weight.detach())
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64))
    assert (layer.weight - start).norm() > 0.5


def test_the_generator_alone_decides_and_the_global_one_is_left():
    before = torch.get_rng_state()
    first, second = (orthogonal_linear(7, 3, generator=generator(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(
        first.state_dict().values(), second.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("sizes", [(8, 8, 8), (12, 8, 4), (4, 8, 12)])
@pytest.mark.parametrize("group_size", [1, 2, 4])
def test_orthogonal_maxmin_jacobian_has_unit_singular_values(sizes, group_size):
    fan_in, width, fan_out = sizes
    network = isometric_mlp(
        fan_in,
        width,
        5,
        fan_out,
        group_size=group_size,
        generator=generator(4),
        dtype=torch.float64,
    )
    values = jacobian_singular_values(network, draw(6, fan_in))
    assert values.shape == (6, min(sizes))
    torch.testing.assert_close(values, torch.ones_like(values))


def test_orthogonal_maxmin_is_isometric_at_depth_1000():
    network = isometric_mlp(
        8, 8, 1000, 8, parametrized=False, generator=generator(5), dtype=torch.float64
    )
    values = jacobian_singular_values(network, draw(2, 8))
    torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-10)


def test_sizes_that_grow_then_shrink_only_bound_the_jacobian():
    network = isometric_mlp(2, 16, 3, 2, generator=generator(6), dtype=torch.float64)
    values = jacobian_singular_values(network, draw(16, 2))
    assert values.max() <= 1 + 1e-12
    assert values.min() < 0.9


@pytest.mark.parametrize("group_size", [2, 4])
def test_ties_at_every_input_leave_widening_networks_isometric(group_size):
    # all columns of the first layer are equal units: every group ties everywhere
    first = nn.Linear(1, 4, bias=False, dtype=torch.float64)
    last = orthogonal_linear(4, 6, generator=generator(7), dtype=torch.float64)
    with torch.no_grad():
        first.weight.fill_(0.5)
    network = nn.Sequential(first, GroupSort(group_size), last)
    inputs = draw(7, 1)
    assert torch.equal(first(inputs)[:, :1].expand(-1, 4), first(inputs))
    values = jacobian_singular_values(network, inputs)
    torch.testing.assert_close(values, torch.ones_like(values))
    # what is computed there is the derivative of the function itself
    step = 1e-6
    moved = (network(inputs + step) - network(inputs - step)) / (2 * step)
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(7, dtype=torch.float64))


def test_halved_gradients_at_ties_would_not_be_isometric():
    first = nn.Linear(1, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[0.6], [0.8]]))  # no tie but at zero
    network = nn.Sequential(first, GroupSort(2))
    values = jacobian_singular_values(network, torch.zeros(1, 1, dtype=torch.float64))
    torch.testing.assert_close(values, torch.ones_like(values))


def test_jacobian_singular_values_of_a_linear_map_are_its_own():
    layer = nn.Linear(5, 3, dtype=torch.float64)
    values = jacobian_singular_values(layer, draw(4, 5))
    expected = singular_values(layer.weight.detach()).expand(4, -1)
    torch.testing.assert_close(values, expected)
    assert layer.weight.grad is None


def test_isometric_mlp_counts_hidden_layers():
    network = isometric_mlp(6, 4, 3, 2, group_size=4, bias=False)
    assert sum(isinstance(layer, GroupSort) for layer in network) == 3
    assert sum(isinstance(layer, nn.Linear) for layer in network) == 4
    assert network[0].bias is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: orthogonal_linear(0, 3), "in_features >= 1"),
        (lambda: orthogonal_linear(3, 0), "out_features >= 1"),
        (lambda: isometric_mlp(4, 5, 2, 4), "width divisible by group_size 2"),
        (lambda: isometric_mlp(4, 4, 0, 4), "depth >= 1"),
        (lambda: isometric_mlp(4, 4, 1, 4, group_size=0), "group_size >= 1"),
        (lambda: jacobian_singular_values(nn.Identity(), torch.ones(3)), "n >= 1"),
        (lambda: jacobian_singular_values(nn.Identity(), torch.ones(0, 3)), "n >= 1"),
    ],
)
def test_bad_network_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
