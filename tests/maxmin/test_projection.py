import math

import pytest
import torch

from isometry.core.matrices import singular_values
from isometry.core.seeding import generator
from isometry.maxmin import CONVERGENCE_LIMIT, newton_schulz

SHAPES = [(5, 5), (9, 4), (4, 9), (1, 6), (6, 1), (3, 7, 5), (2, 3, 5, 7)]


def with_singular_values(values: torch.Tensor, out: int, fan_in: int) -> torch.Tensor:
    draws = generator(0, "factors", out, fan_in)
    left = torch.linalg.qr(torch.randn(out, out, generator=draws, dtype=values.dtype)).Q
    right = torch.linalg.qr(
        torch.randn(fan_in, fan_in, generator=draws, dtype=values.dtype)
    ).Q
    k = len(values)
    return left[:, :k] @ torch.diag(values) @ right[:, :k].T


@pytest.mark.parametrize("shape", SHAPES)
def test_newton_schulz_equals_the_polar_factor(shape):
    weight = torch.randn(*shape, generator=generator(1, *shape), dtype=torch.float64)
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    weight = weight / values[..., :1, None]
    projected = newton_schulz(weight, 60)
    torch.testing.assert_close(projected, left @ right)


def test_singular_values_follow_the_cubic_map():
    values = torch.tensor([1.7, 1.3, 0.8, 0.1], dtype=torch.float64)
    for out, fan_in in ((4, 4), (7, 5), (5, 7)):
        weight = with_singular_values(values, out, fan_in)
        expected = values
        for iterations in range(4):
            found = singular_values(newton_schulz(weight, iterations))[:4]
            torch.testing.assert_close(found, expected.sort(descending=True).values)
            expected = 1.5 * expected - 0.5 * expected**3


def test_error_near_one_is_squared_by_a_step():
    weight = torch.tensor([[1.001]], dtype=torch.float64)
    error = 1 - newton_schulz(weight, 1).item()
    assert error == pytest.approx(1.5e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("sigma", "limit"),
    [
        (0.0, 0.0),
        (1e-3, 1.0),
        (CONVERGENCE_LIMIT - 1e-6, 1.0),
        (CONVERGENCE_LIMIT + 1e-6, -1.0),
    ],
)
def test_convergence_region_ends_at_zero_and_root_three(sigma, limit):
    found = newton_schulz(torch.tensor([[sigma]], dtype=torch.float64), 80).item()
    assert found == pytest.approx(limit, abs=1e-12)


def test_beyond_root_five_the_iteration_diverges():
    found = newton_schulz(torch.tensor([[math.sqrt(5) + 0.01]]).double(), 9)
    assert found.abs().item() > 1e3


def test_safe_scaling_brings_large_members_in_and_leaves_the_others():
    draws = generator(2, "members")
    weight = torch.randn(3, 6, 4, generator=draws, dtype=torch.float64)
    weight = weight / singular_values(weight)[:, :1, None]
    weight = weight * torch.tensor([1.5, 2.0, 1e3]).double()[:, None, None]
    projected = newton_schulz(weight, 60, safe_scaling=True)
    left, _, right = torch.linalg.svd(weight, full_matrices=False)
    torch.testing.assert_close(projected, left @ right)
    once = newton_schulz(weight, 1, safe_scaling=True)
    torch.testing.assert_close(once[0], newton_schulz(weight[0], 1))


def test_zero_iterations_return_the_weight_and_its_type():
    weight = torch.randn(4, 3, generator=generator(3)).to(torch.bfloat16)
    assert torch.equal(newton_schulz(weight, 0), weight)
    assert newton_schulz(weight, 3).dtype == torch.bfloat16


def test_half_precision_is_iterated_in_single_precision():
    weight = torch.randn(32, 32, generator=generator(4)).to(torch.bfloat16) / 16
    expected = newton_schulz(weight.float(), 20).to(torch.bfloat16)
    assert torch.equal(newton_schulz(weight, 20), expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: newton_schulz(torch.ones(3), 1), ValueError, "non-empty weight"),
        (lambda: newton_schulz(torch.ones(2, 2).int(), 1), TypeError, "floating"),
        (lambda: newton_schulz(torch.ones(2, 2), -1), ValueError, "iterations >= 0"),
        (lambda: newton_schulz(torch.ones(2, 2), 1.5), TypeError, "an int"),
    ],
)
def test_bad_arguments_of_the_projection_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
