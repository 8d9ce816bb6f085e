import math

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.adamo import AdamO, isometry_gradient, singular_value_flow
from isometry.adamo.revival import (
    _isometric_limit,
    _thin_svd,
    dead_units,
    never_fires,
    revival_margin,
    revival_steps,
    revival_time,
)
from isometry.core.matrices import singular_values
from isometry.core.seeding import generator

RATE = 0.01
layers = st.fixed_dictionaries(
    {
        "out": st.integers(2, 7),
        "fan_in": st.integers(2, 7),
        "count": st.integers(1, 4),
        "killed": st.integers(1, 4),
        "seed": st.integers(0, 10**6),
    }
)


def drawn(out, fan_in, count, killed, seed):
    """Return a layer whose first units point away from inputs >= 0, and the inputs."""
    draw = generator(seed, "layer")

    def normal(*shape):
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    inputs = normal(count, fan_in).abs()
    weight = normal(out, fan_in) * 0.7
    weight[:killed] = -weight[:killed].abs()
    bias = 0.2 * normal(out)
    bias[:killed] = -0.05 * normal(min(out, killed)).abs()
    return weight, bias, inputs


def flowed(weight, time):
    left, sigma, right = _thin_svd(weight)
    return (left * singular_value_flow(sigma, RATE, time)) @ right


def fires(weight, bias, inputs):
    return (inputs @ weight.mT + bias).amax(0) > 0


@settings(max_examples=100)
@given(layer=layers)
def test_a_unit_with_a_positive_margin_fires_by_the_stated_time_of_the_flow(layer):
    weight, bias, inputs = drawn(**layer)
    until = revival_time(weight, bias, inputs, RATE)
    for unit in dead_units(weight, bias, inputs).nonzero().flatten().tolist():
        time = float(until[unit])
        if math.isfinite(time):
            for later in (1 + 1e-6, 2.0, 10.0):
                moved = flowed(weight, later * time + 1e-6)
                assert fires(moved, bias, inputs)[unit]


@settings(max_examples=100)
@given(layer=layers)
def test_a_unit_with_a_positive_margin_fires_within_the_stated_discrete_steps(layer):
    weight, bias, inputs = drawn(**layer)
    dead = dead_units(weight, bias, inputs)
    until = revival_steps(weight, bias, inputs, RATE, longest=3000)
    assume(bool((dead & until.isfinite()).any()))
    moved, first = weight.clone(), torch.full_like(bias, math.inf)
    for step in range(int(until[until.isfinite()].max()) + 1):
        first[fires(moved, bias, inputs) & first.isinf()] = step
        moved -= RATE * isometry_gradient(moved)
    assert (first <= until)[dead].all()


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(layer=layers, drift=st.sampled_from([1e-4, 1e-3, 5e-3]))
def test_units_fire_within_the_bound_whatever_the_other_rows_do(layer, drift):
    weight, bias, inputs = drawn(**layer)
    dead = dead_units(weight, bias, inputs)
    until = revival_steps(weight, bias, inputs, RATE, drift=drift, longest=3000)
    chosen = dead & until.isfinite()
    assume(bool(chosen.any()))
    unit = int(chosen.nonzero()[0])
    draw = generator(layer["seed"], "task")
    still = weight.clone()
    for _ in range(int(until[unit]) + 1):
        if fires(still, bias, inputs)[unit]:
            break
        # The worst of the task's motions: all of it against the unit, by way of the
        # other rows, or none of it aimed.
        push = torch.randn(weight.shape, generator=draw, dtype=torch.float64)
        if layer["seed"] % 2:
            push = still[unit].expand_as(still).clone()
        push[unit] = 0
        still += drift * push / push.norm() - RATE * isometry_gradient(still)
    else:
        raise AssertionError("the unit did not fire")


def test_the_margin_decides_where_the_flow_ends():
    seen = set()
    for seed in range(60):
        weight, bias, inputs = drawn(5, 4, 2, 3, seed)
        margin = revival_margin(weight, bias, inputs)
        clear = margin.abs() > 1e-3
        end = fires(flowed(weight, 1e4), bias, inputs)
        assert torch.equal(end[clear], (margin > 0)[clear])
        dead = dead_units(weight, bias, inputs).tolist()
        seen |= set(zip(dead, end.tolist(), strict=True))
    assert {(True, True), (True, False)} <= seen


@given(layer=layers, push=st.sampled_from([0.0, 0.01, 0.1]))
def test_a_dead_row_never_grows_beyond_one_or_its_start(layer, push):
    weight, _, _ = drawn(**layer)
    weight /= max(1.0, float(singular_values(weight)[0]) / 2)
    draw = generator(layer["seed"], "others")
    bound = max(1.0, float(weight[0].norm()))
    for _ in range(100):
        largest = float(singular_values(weight)[0])
        assert 6 * RATE * largest**2 <= 1 + 4 * RATE
        weight -= RATE * isometry_gradient(weight)
        others = torch.randn(weight[1:].shape, generator=draw, dtype=torch.float64)
        weight[1:] += push * others
        weight[1:] /= max(1.0, float(singular_values(weight)[0]) / 4)
        assert weight[0].norm() <= bound + 1e-12


def test_a_strong_negative_bias_is_never_overcome_in_training():
    inputs = torch.rand(20, 6, generator=generator(0, "x"))
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
    )
    first = model[0]
    with torch.no_grad():
        first.bias[:4] = -2 * inputs.norm(dim=1).max() * first.weight[:4].norm(dim=1)
        first.bias[:4] -= inputs.norm(dim=1).max()
    assert (
        never_fires(first.weight, first.bias, inputs).tolist()
        == [True] * 4 + [False] * 4
    )
    optimizer = AdamO(model.parameters(), lr=0.01, isometry_strength=2.0)
    start = first.weight[0].detach().clone()
    for _ in range(150):
        optimizer.zero_grad()
        model(inputs).square().sum().backward()
        optimizer.step()
        assert dead_units(first.weight, first.bias, inputs)[:4].all()
    assert (first.weight[0] - start).norm() > 0.05, "the row moves, in vain"


def test_a_row_of_zeros_stays_and_its_unit_has_no_bound():
    weight, bias, inputs = drawn(4, 6, 3, 1, 0)
    weight[0], bias[0] = 0, -0.1
    assert_close(_isometric_limit(weight)[0], torch.zeros(6, dtype=torch.float64))
    assert revival_margin(weight, bias, inputs)[0] < 0
    assert revival_steps(weight, bias, inputs, RATE)[0] == math.inf
    assert revival_time(weight, bias, inputs, RATE)[0] == math.inf
    assert isometry_gradient(weight)[0].abs().max() == 0


def test_limit_is_the_polar_factor_also_without_full_rank():
    weight, _, _ = drawn(5, 7, 1, 1, 3)
    weight[1] = 2 * weight[0]  # rank 4
    limit = _isometric_limit(weight)
    values = singular_values(limit)
    assert_close(values, torch.tensor([1, 1, 1, 1, 0]).double(), atol=1e-12, rtol=0)
    symmetric = limit.mT @ weight
    assert_close(symmetric, symmetric.mT)
    assert torch.linalg.eigvalsh(symmetric).min() > -1e-12


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.1, 1.0, 3.0]))
def test_two_layers_part_no_faster_than_the_theorem_says(seed, scale):
    draw = generator(seed, "pair")
    one, other = scale * torch.randn(2, 4, 5, generator=draw, dtype=torch.float64)
    apart = one - other
    parting = -(apart * (isometry_gradient(one) - isometry_gradient(other))).sum()
    assert parting <= 4 * apart.square().sum() + 1e-9


def test_drift_only_makes_the_bound_longer_and_too_much_of_it_ends_it():
    weight = torch.tensor([[1.0, 0.0], [-0.9, 0.3]])
    inputs = torch.tensor([[0.6, 0.8]])
    free, some, much = (
        revival_steps(weight, torch.zeros(2), inputs, RATE, drift=drift)[1]
        for drift in (0.0, 1e-3, 1.0)
    )
    assert free < some < math.inf
    assert much == math.inf


LAYER = torch.eye(2), torch.zeros(2), torch.ones(1, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dead_units(*LAYER[:2], torch.ones(1, 3)), "needed weight"),
        (lambda: dead_units(LAYER[0] * math.nan, *LAYER[1:]), "NaN or infinity"),
        (lambda: revival_margin(*LAYER[:2], torch.zeros(1, 2)), "not zero"),
        (lambda: revival_time(*LAYER, 0.0), "rate > 0"),
        (lambda: revival_steps(*LAYER, -1.0), "rate >= 0"),
        (lambda: revival_steps(*LAYER, 0.1, drift=-1.0), "drift >= 0"),
    ],
)
def test_layers_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
