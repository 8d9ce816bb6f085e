import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.adamo import isometry_gradient
from isometry.adamo.parting import _linear_parting, parting_bound, parting_factor
from isometry.adamo.revival import revival_steps
from isometry.core.matrices import singular_values
from isometry.core.seeding import generator

RATE = 0.02  # 6.25 steps are one relaxation time
shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))


def normal(*shape, seed=0):
    draw = generator(seed, "parting")
    return torch.randn(shape, generator=draw, dtype=torch.float64)


def isometric(*shape, seed=0):
    left, _, right = torch.linalg.svd(normal(*shape, seed=seed), full_matrices=False)
    return left @ right


def adversary(start, rate, drift, steps, first):
    """Return the distances under a drift that always points away from the other."""
    free, pushed, apart = start.clone(), start.clone(), [0.0]
    for _ in range(steps):
        away = pushed - free if apart[-1] else first
        push = drift * away / away.norm()
        free = free - rate * isometry_gradient(free)
        pushed = pushed - rate * isometry_gradient(pushed) + push
        apart.append(float((pushed - free).norm()))
    return torch.tensor(apart, dtype=torch.float64)


@given(
    shape=shapes,
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.3, 1.0, 3.0]),
    apart=st.sampled_from([0.01, 0.3, 1.0, 3.0]),
)
def test_the_pull_drives_layers_apart_no_more_than_the_smallest_value_lets(
    shape, seed, scale, apart
):
    layer, difference = scale * normal(*shape, seed=seed), normal(*shape, seed=seed + 1)
    difference *= apart / difference.norm()
    force = isometry_gradient(layer + difference) - isometry_gradient(layer)
    smallest = float(singular_values(layer)[-1])
    least = 4 * (smallest**2 - 1) * apart**2 - apart**4 / 2
    assert (difference * force).sum() >= least - 1e-9


@pytest.mark.parametrize("shape", [(5, 5), (6, 4), (4, 6)])
def test_no_smaller_constant_would_do_near_isometry(shape):
    # an isometry turned a little: neither drawn together nor driven apart
    layer, turn = isometric(*shape), normal(min(shape), min(shape), seed=3)
    turn = 1e-4 * (turn - turn.mT)
    other = layer @ turn if shape[0] >= shape[1] else turn @ layer
    force = isometry_gradient(layer + other) - isometry_gradient(layer)
    assert (other * force).sum() / other.square().sum() == pytest.approx(0, abs=1e-6)


@given(
    shape=shapes,
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.0, 0.3, 0.9]),
    drift=st.sampled_from([1e-4, 1e-2]),
)
def test_no_adversary_leads_a_layer_further_than_the_bound(shape, seed, spread, drift):
    left, sigma, right = torch.linalg.svd(normal(*shape, seed=seed), False)
    sigma = 1 + spread * (2 * torch.rand(sigma.shape, generator=generator(seed)) - 1)
    sigma = sigma.double()
    start, first = (left * sigma) @ right, normal(*shape, seed=seed + 1)
    found = adversary(start, RATE, drift, 60, first)
    bound = parting_bound(sigma, RATE, drift, 60)
    assert (found <= bound * (1 + 1e-9)).all()
    plain = parting_bound(sigma, RATE, drift, 60, near=False)
    assert (bound <= plain * (1 + 1e-12)).all()


@pytest.mark.parametrize("shape", [(6, 6), (8, 5), (5, 8)])
def test_near_isometry_the_worst_drift_adds_up_and_the_bound_is_as_linear(shape):
    layer, turn = isometric(*shape), normal(min(shape), min(shape), seed=4)
    turn = turn - turn.mT
    first = layer @ turn if shape[0] >= shape[1] else turn @ layer
    drift, steps = 1e-3, torch.tensor([6, 31, 62])  # 1, 5 and 10 relaxation times
    found = adversary(layer, RATE, drift, 62, first)[steps]
    bound = parting_bound(torch.ones(5), RATE, drift, 62)[steps]
    gronwall = parting_bound(torch.ones(5), RATE, drift, 62, near=False)[steps]
    assert_close(found, drift * steps.double(), rtol=0.05, atol=0)
    assert (bound < 1.3 * drift * steps).all()
    assert (gronwall / (drift * steps)).tolist() == pytest.approx([1.2, 4, 24], rel=0.1)


def test_without_knowledge_of_the_smallest_value_the_bound_is_gronwalls():
    steps = torch.arange(31, dtype=torch.float64)
    expected = 1e-3 * ((1 + 4 * RATE) ** steps - 1) / (4 * RATE)
    assert_close(parting_bound(torch.ones(3), RATE, 1e-3, 30, near=False), expected)
    with_zero = torch.tensor([1.0, 0.0])
    assert_close(parting_bound(with_zero, RATE, 1e-3, 30), expected)


@pytest.mark.parametrize("smallest", [0.2, 0.6, 1.0, 1.3])
@pytest.mark.parametrize("drift", [1e-6, 1e-4])
def test_in_the_flow_no_adversary_passes_the_linear_bound(smallest, drift):
    rate, steps = 2e-4, 6000  # small steps: nearly the flow
    left, right = isometric(5, 5), isometric(5, 5, seed=1)
    layer = (left * torch.linspace(smallest, 1.4, 5, dtype=torch.float64)) @ right
    for seed in (2, 3):
        found = adversary(layer, rate, drift, steps, normal(5, 5, seed=seed))
        for time in (100, 1000, 3000, 6000):
            bound = _linear_parting(smallest, rate, drift, time)
            assert found[time] <= bound
    if drift == 1e-6:
        assert bound < math.inf


def test_the_linear_bound_solves_its_equation_up_to_the_end_of_its_region():
    # z' = a + rate z^3 / 2: below 1.5 a t until rate a^2 t^3 = 1, above soon after
    rate, a = 0.01, 1e-3
    end = (1 / (rate * a**2)) ** (1 / 3)
    z, step = 0.0, end / 20_000
    for index in range(20_000):
        z += step * (a + rate * z**3 / 2)
        assert z <= _linear_parting(1.0, rate, a, (index + 1) * step * (1 - 1e-9))
    assert z > 1.1 * a * end
    assert _linear_parting(1.0, rate, a, 1.01 * end) == math.inf


def test_the_parting_promises_returns_where_gronwall_promised_none():
    weight = torch.tensor([[0.9, 0.0], [-0.6, 0.2]], dtype=torch.float64)
    layer = weight, torch.zeros(2), torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    until = revival_steps(*layer, RATE, drift=4e-3)[1]
    assert until == 25
    assert revival_steps(*layer, RATE, drift=4e-3, near=False)[1] == math.inf
    # without drift there is nothing to part
    free = [revival_steps(*layer, RATE, near=near)[1] for near in (True, False)]
    assert free[0] == free[1] < until


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parting_bound(torch.ones(2), 0.0, 1e-3, 5), "rate > 0"),
        (lambda: parting_bound(torch.ones(2, 2), 0.1, 1e-3, 5), r"sigma \(d,\)"),
        (lambda: parting_bound(torch.ones(2), 0.1, -1.0, 5), "drift >= 0"),
        (lambda: _linear_parting(-1.0, 0.1, 1.0, 5), "smallest >= 0"),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_is_shown_of_steps_that_may_overshoot():
    assert parting_factor(1.0, 5.0, 0.0, RATE) == math.inf
    assert parting_bound(torch.tensor([5.0]), RATE, 1e-3, 2)[1:].isinf().all()
    assert _linear_parting(0.0, RATE, 1e-3, 1) == math.inf
    assert _linear_parting(0.0, RATE, 0.0, 1) == 0
