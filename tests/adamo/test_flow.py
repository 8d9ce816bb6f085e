import math

import pytest
import torch
from torch.testing import assert_close

from isometry.adamo import (
    amortised_every,
    isometry_step_,
    max_stable_rate,
    relaxation_steps,
    singular_value_flow,
    strength_for_relaxation,
)
from isometry.adamo.arithmetic import isometry_gradient
from isometry.adamo.flow import amortised_error
from isometry.core.matrices import singular_values
from isometry.core.seeding import generator

SIGMA = torch.tensor([0.0, 1e-3, 0.3, 0.9, 1.0, 1.2, 3.0, 20.0], dtype=torch.float64)


def discrete(sigma, rate, steps):
    for _ in range(steps):
        sigma = sigma - 4 * rate * sigma * (sigma.square() - 1)
    return sigma


def test_flow_solves_its_differential_equation():
    time = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    for start in SIGMA[1:]:
        sigma = singular_value_flow(start, 0.01, time)
        (slope,) = torch.autograd.grad(sigma, time)
        expected = -4 * 0.01 * sigma * (sigma**2 - 1)
        assert_close(slope, expected.detach())


def test_flow_starts_where_it_is_told_and_composes():
    half = singular_value_flow(SIGMA, 0.02, 5)
    assert_close(singular_value_flow(SIGMA, 0.02, 0), SIGMA)
    assert_close(
        singular_value_flow(half, 0.02, 5), singular_value_flow(SIGMA, 0.02, 10)
    )


def test_flow_ends_at_one_but_for_zero():
    end = singular_value_flow(SIGMA, 1.0, 1e6)
    assert_close(end, (SIGMA > 0).double(), rtol=0, atol=0)


def test_flow_is_the_limit_of_small_discrete_steps():
    start, errors = SIGMA[:-1], []
    for halvings in (0, 1, 2):
        steps = 500 * 2**halvings
        rate = 1e-3 / 2**halvings
        flow = singular_value_flow(start, rate, steps)
        error = discrete(start, rate, steps) - flow
        errors.append(error.abs().max().item())
    # explicit Euler is of first order: half the step, half the error
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.1)
    assert errors[2] / errors[1] == pytest.approx(0.5, abs=0.05)


def test_steps_on_a_matrix_move_its_singular_values_along_the_flow():
    weight = torch.randn(9, 6, generator=generator(0, "weight"), dtype=torch.float64)
    before = singular_values(weight)
    rate = 1e-5
    for _ in range(20_000):
        isometry_step_(weight, rate)
    expected = singular_value_flow(before, rate, 20_000)
    # the Euler error is of the order of the first step's relative size
    assert_close(singular_values(weight), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize(("strength", "lr"), [(1.0, 1e-3), (20.0, 1e-4)])
def test_deviations_shrink_by_e_in_the_relaxation_time(strength, lr):
    start = torch.tensor([1 - 1e-6, 1 + 1e-6], dtype=torch.float64)
    steps = round(relaxation_steps(strength, lr))
    left = (discrete(start, strength * lr, steps) - 1) / (start - 1)
    # (1 - 1/n)^n differs from 1/e by a relative 1/(2n)
    assert_close(left, torch.full_like(left, math.exp(-1)), rtol=1 / steps, atol=0)


def test_the_literal_default_relaxes_in_a_million_and_a_quarter_steps():
    assert relaxation_steps(1e-3, 1e-4) == pytest.approx(1.25e6)


def test_strength_for_relaxation_inverts_relaxation_steps():
    strength = strength_for_relaxation(777.0, 3e-4)
    assert relaxation_steps(strength, 3e-4) == pytest.approx(777.0)


def test_no_pull_never_relaxes():
    assert relaxation_steps(0.0, 1e-3) == math.inf


@pytest.mark.parametrize("sigma_max", [0.5, 1.0, 1.5, 2.0, 5.0, 30.0])
def test_below_the_limit_every_start_ends_at_one(sigma_max):
    starts = torch.linspace(1e-3, sigma_max, 4001, dtype=torch.float64)
    end = discrete(starts, 0.97 * max_stable_rate(sigma_max), 20_000).abs()
    assert_close(end, torch.ones_like(end))


@pytest.mark.parametrize("sigma_max", [1.0, 1.5, 2.0, 5.0, 30.0])
def test_above_the_limit_the_largest_value_does_not_end_at_one(sigma_max):
    start = torch.tensor([sigma_max - 1e-9], dtype=torch.float64)
    if sigma_max == 1.0:
        start = start - 1e-3
    end = discrete(start, 1.05 * max_stable_rate(sigma_max), 2000).abs()
    assert not bool(((end - 1).abs() < 1e-3).any())


@pytest.mark.parametrize("sigma_max", [0.5, 1.0, 2.0, 30.0])
def test_below_the_monotone_limit_no_value_crosses_one(sigma_max):
    sigma = torch.linspace(1e-3, sigma_max, 4001, dtype=torch.float64)
    rate = max_stable_rate(sigma_max, monotone=True)
    for _ in range(200):
        moved = discrete(sigma, rate, 1)
        assert bool(((moved - 1).abs() <= (sigma - 1).abs() + 1e-15).all())
        assert bool(((moved - 1) * (sigma - 1) >= -1e-15).all())
        sigma = moved
    crossing = discrete(torch.tensor(sigma_max), 1.1 * rate, 1)
    assert sigma_max <= 1 or crossing < 1


def test_rate_one_eighth_is_the_newton_schulz_iteration():
    weight = torch.randn(6, 4, generator=generator(1, "w"), dtype=torch.float64) / 4
    step = weight - isometry_gradient(weight) / 8
    assert_close(step, 1.5 * weight - 0.5 * weight @ weight.mT @ weight)


@pytest.mark.parametrize(("tolerance", "strength"), [(0.01, 1.0), (0.002, 0.2)])
def test_amortised_steps_stay_within_the_tolerance(tolerance, strength):
    lr = 1e-4
    every = amortised_every(strength, lr, tolerance)
    assert every > 1
    start = torch.linspace(0.1, 1.5, 500, dtype=torch.float64)
    sigma, worst, near = start, 0.0, 0.0
    small = torch.tensor(1 - 1e-6, dtype=torch.float64)
    steps = round(5 * relaxation_steps(strength, lr) / every)
    for n in range(1, steps + 1):
        sigma = discrete(sigma, lr * strength * every, 1)
        small = discrete(small, lr * strength * every, 1)
        flow = singular_value_flow(start, lr * strength, n * every)
        worst = max(worst, (sigma - flow).abs().max().item())
        exact = math.exp(-8 * lr * strength * n * every)
        near = max(near, abs((1 - small.item()) / 1e-6 - exact))
    assert worst < tolerance
    assert near <= tolerance
    assert near > 0.8 * tolerance


@pytest.mark.parametrize(
    ("share", "ratio"), [(0.01, 1.004), (0.054, 1.023), (0.1, 1.044), (0.5, 1.30)]
)
def test_error_of_long_steps_is_their_largest_departure_from_the_flow(share, ratio):
    time = torch.linspace(1e-3, 8, 400_001, dtype=torch.float64)  # n x
    apart = torch.exp(-time) - (1 - share) ** (time / share)
    bound = amortised_error(share)
    assert_close(torch.tensor(bound), apart.max().float(), rtol=1e-6, atol=0)
    whole = max(math.exp(-n * share) - (1 - share) ** n for n in range(1, 2000))
    assert 0.98 * bound < whole <= bound
    # the first order alone is too small, by the ratios; the chapter's bound is not
    first = share / (2 * math.e)
    assert bound / first == pytest.approx(ratio, abs=2e-3)
    assert bound < first / (1 - share)


def test_error_of_tiny_steps_is_continuous():
    below, above = amortised_error(0.99e-8), amortised_error(1.01e-8)
    assert below / above == pytest.approx(0.99 / 1.01, rel=1e-6)
    assert amortised_error(0.0) == 0


def test_the_period_is_the_longest_within_the_tolerance():
    for steps in (10.0, 125.0, 300.0):
        strength = strength_for_relaxation(steps, 1e-3)
        every = amortised_every(strength, 1e-3, 0.05)
        assert amortised_error((every + 1) / steps) > 0.05
        assert every == 1 or amortised_error(every / steps) <= 0.05
    assert amortised_every(100.0, 1e-3, 0.5) == 1  # no step takes away more than all


def test_amortisation_has_limits():
    assert amortised_every(1e-3, 1e-4) == 100
    assert amortised_every(0.0, 1e-4) == 100
    assert amortised_every(100.0, 1e-3) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relaxation_steps(-1.0, 1e-3), "isometry_strength >= 0, found -1.0"),
        (lambda: relaxation_steps(1.0, math.nan), "isometry_lr >= 0, found nan"),
        (lambda: relaxation_steps("1", 1.0), "isometry_strength >= 0, found 1"),
        (lambda: strength_for_relaxation(0, 1e-3), "steps > 0 and isometry_lr > 0"),
        (lambda: amortised_every(1.0, 1e-3, 0.0), "tolerance > 0"),
        (lambda: amortised_error(1.0), "share < 1, found 1.0"),
        (lambda: amortised_error(-0.1), "share >= 0"),
        (lambda: amortised_every(1.0, -1e-3), "isometry_lr >= 0"),
        (lambda: singular_value_flow(SIGMA, -1e-3, 1), "rate >= 0, found -0.001"),
        (lambda: singular_value_flow(-SIGMA, 1e-3, 1), "sigma >= 0, found minimum -20"),
        (lambda: singular_value_flow(SIGMA, 1e-3, -1), "steps >= 0"),
        (lambda: max_stable_rate(0.0), "sigma_max > 0"),
        (lambda: max_stable_rate(math.inf), "sigma_max >= 0, found inf"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
