"""Dormant, dead, duplicate and cloned units, held by counting them one by one."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.plasticity import (
    cloned_fraction,
    dead_fraction,
    dormancy_scores,
    dormant_fraction,
    duplicate_fraction,
    units,
)
from isometry.plasticity.units import relative_activity

sizes = st.tuples(
    st.integers(1, 3), st.integers(1, 6), st.integers(1, 7), st.integers(0, 1000)
)


def activations_of(size):
    """Return rectified activations; whole units and single entries are silent."""
    *shape, seed = size
    draw = generator(seed, "activations")
    active = torch.randn(shape, generator=draw, dtype=torch.float64).relu()
    alive = torch.rand(shape[0], 1, shape[-1], generator=draw) > 0.4
    return active * alive


def brute_scores(layer):
    """Definition 3.1, unit by unit: layer ``(inputs, units)`` as lists."""
    size = [
        sum(abs(row[j]) for row in layer) / len(layer) for j in range(len(layer[0]))
    ]
    mean = sum(size) / len(size)
    return [s / mean if mean > 0 else 0.0 for s in size]


@given(sizes, st.sampled_from([0.0, 0.025, 0.1, 0.5, 1.0]))
def test_dormant_units_are_those_that_counting_finds(size, threshold):
    activations = activations_of(size)
    found = dormant_fraction(activations, threshold)
    assert found.shape == (size[0],)
    for i, layer in enumerate(activations.tolist()):
        scores = brute_scores(layer)
        assert_close(dormancy_scores(activations)[i], torch.tensor(scores).double())
        # A score at the threshold to rounding may fall on either side.
        if all(abs(score - threshold) > 1e-9 or score == 0 for score in scores):
            share = sum(score <= threshold for score in scores) / len(scores)
            assert found[i].item() == pytest.approx(share)


@given(sizes)
def test_dead_units_are_those_that_counting_finds(size):
    activations = activations_of(size)
    found = dead_fraction(activations)
    for i, layer in enumerate(activations.tolist()):
        units = range(len(layer[0]))
        dead = sum(all(row[j] == 0 for row in layer) for j in units)
        assert found[i].item() == pytest.approx(dead / len(units))


@given(sizes)
def test_dead_units_are_the_dormant_units_at_threshold_zero(size):
    activations = activations_of(size)
    assert_close(dead_fraction(activations), dormant_fraction(activations, 0.0))


@given(sizes)
def test_dormancy_scores_have_mean_one_unless_the_layer_is_silent(size):
    activations = activations_of(size)
    mean = dormancy_scores(activations).mean(-1)
    silent = (activations == 0).flatten(1).all(1)
    assert_close(mean, (~silent).double())


def test_a_layer_that_is_not_a_number_has_no_dormant_unit():
    activity = torch.tensor([[0.0, math.nan], [0.0, 3.0]])
    dormant = relative_activity(activity) <= 0.1
    assert dormant.tolist() == [[False, False], [True, False]]


def test_dormancy_does_not_see_the_scale_of_a_layer():
    activations = activations_of((2, 5, 6, 3))
    assert_close(dormancy_scores(1e-6 * activations), dormancy_scores(activations))


def test_a_sign_does_not_matter_for_dormancy():
    activations = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    assert dormancy_scores(activations).tolist() == [1.0, 1.0]


def test_every_unit_of_a_silent_layer_is_dormant_and_dead():
    silent = torch.zeros(4, 3)
    assert dormant_fraction(silent).item() == dead_fraction(silent).item() == 1.0


def test_a_unit_that_is_small_but_not_silent_is_dormant_and_not_dead():
    activations = torch.tensor([[1.0, 1e-3], [1.0, 0.0]])
    assert dormant_fraction(activations).item() == 0.5
    assert dead_fraction(activations).item() == 0.0


# --- units that say the same ---------------------------------------------------------


def with_copies(size, copies):
    """Return generic activations of which the last ``copies`` repeat some other's."""
    members, inputs, count, seed = size
    draw = generator(seed, "copies")
    shape = members, inputs + 3, count
    own = torch.randn(shape, generator=draw, dtype=torch.float64)
    chosen = torch.randint(count, (copies,), generator=draw)
    factors = torch.rand(copies, generator=draw, dtype=torch.float64) * 5 - 2.5
    return torch.cat([own, factors * own[..., chosen]], dim=-1)


@given(sizes, st.integers(0, 5))
def test_k_copied_units_are_k_duplicates_whatever_their_factor_and_order(size, copies):
    activations = with_copies(size, copies)
    total = activations.shape[-1]
    order = torch.randperm(total, generator=generator(size[-1], "order"))
    for one in (activations, activations[..., order], -1e-6 * activations):
        found = duplicate_fraction(one, 1e-5)
        assert_close(found, torch.full_like(found, copies / total))


def test_a_duplicate_is_told_by_the_angle():
    for sine, share in ((0.09, 0.5), (0.11, 0.0)):
        other = [math.sqrt(1 - sine**2), sine]
        activations = torch.tensor([[1.0, other[0]], [0.0, other[1]]])
        assert duplicate_fraction(activations).item() == share


def test_a_chain_of_duplicates_is_one_group_in_any_order():
    angles = torch.tensor([0.0, 0.08, 0.16, 0.24, 1.2])
    chain = torch.stack([angles.cos(), angles.sin()])
    for order in ([0, 1, 2, 3, 4], [3, 0, 4, 2, 1]):
        assert duplicate_fraction(chain[:, order]).item() == pytest.approx(3 / 5)


def test_silent_units_are_no_duplicates():
    activations = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    assert duplicate_fraction(activations).item() == 0
    assert dead_fraction(activations).item() == pytest.approx(2 / 3)


def test_duplicates_in_chunks_are_the_duplicates(monkeypatch):
    activations = with_copies((2, 6, 7, 3), 4)
    expected = duplicate_fraction(activations)
    monkeypatch.setattr(units, "CHUNK_ENTRIES", 1)
    assert_close(duplicate_fraction(activations), expected)


def test_clones_need_equal_rows_and_equal_columns():
    draw = generator(0, "clones")
    rows = torch.randn(6, 4, generator=draw)
    columns = torch.randn(3, 6, generator=draw)
    rows[[4, 5]] = rows[[0, 1]]
    columns[:, 4] = columns[:, 0]
    assert cloned_fraction(rows, columns).item() == pytest.approx(1 / 6)
    columns[:, 5] = columns[:, 1]
    assert cloned_fraction(rows, columns).item() == pytest.approx(2 / 6)
    order = torch.randperm(6, generator=draw)
    shuffled = cloned_fraction(rows[order], columns[:, order])
    assert shuffled.item() == pytest.approx(2 / 6)
    rows[5] *= 1.001
    assert cloned_fraction(rows, columns).item() == pytest.approx(1 / 6)
    assert cloned_fraction(rows, columns, tolerance=0.01).item() == pytest.approx(2 / 6)


def cloned_network(copied):
    """Return a perceptron of 9 and 8 units, of which some of the first are copied."""
    layers = [nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)]
    model = nn.Sequential(*layers).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            draw = generator(0, name)
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.5)
        for unit in range(copied):
            model[0].weight[-1 - unit] = model[0].weight[unit]
            model[0].bias[-1 - unit] = model[0].bias[unit]
            model[2].weight[:, -1 - unit] = model[2].weight[:, unit]
    return model


def clones_of(model, tolerance=0.0):
    rows = torch.cat([model[0].weight, model[0].bias.unsqueeze(1)], 1).detach()
    return cloned_fraction(rows, model[2].weight.detach(), tolerance).item()


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.SGD, lr=0.05),
        partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.01),
        partial(torch.optim.Adam, lr=0.01),
    ],
)
def test_clones_stay_clones_under_gradient_steps_and_mere_duplicates_do_not(optimizer):
    draw = generator(0, "task")
    inputs = torch.randn(20, 5, generator=draw, dtype=torch.float64)
    targets = torch.randn(20, 3, generator=draw, dtype=torch.float64)
    for same_columns in (True, False):
        model = cloned_network(3)
        if not same_columns:
            model[2].weight.data[:, -3:] += 0.3
        assert clones_of(model) == (pytest.approx(3 / 9) if same_columns else 0)
        assert duplicate_fraction(model[:2](inputs).detach()).item() == 3 / 9
        steps = optimizer(model.parameters())
        for _ in range(100):
            steps.zero_grad()
            (model(inputs) - targets).square().mean().backward()
            steps.step()
        duplicates = duplicate_fraction(model[:2](inputs).detach(), 1e-6).item()
        assert clones_of(model, 1e-13) == (pytest.approx(3 / 9) if same_columns else 0)
        assert duplicates == (pytest.approx(3 / 9) if same_columns else 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dormancy_scores(torch.ones(3)), r"\(..., inputs, units\), found \(3,"),
        (lambda: dead_fraction(torch.ones(3, 0)), r"found \(3, 0\); flatten a conv"),
        (lambda: dead_fraction(torch.full((2, 2), math.nan)), "needed finite activat"),
        (lambda: dormant_fraction(torch.full((2, 2), math.inf)), "look for divergence"),
        (lambda: duplicate_fraction(torch.ones(3)), r"\(..., inputs, units\), found"),
        (
            lambda: duplicate_fraction(torch.ones(2, 2), 0.0),
            "1e-06 <= tolerance < 1, found 0.0; pass e.g. 0.1",
        ),
        (
            lambda: cloned_fraction(torch.ones(3, 2), torch.ones(3, 2)),
            r"outgoing \(..., out, units\), found \(3, 2\) and \(3, 2\)",
        ),
        (lambda: cloned_fraction(torch.ones(3), torch.ones(3)), r"found \(3,\) and"),
        (
            lambda: cloned_fraction(torch.ones(3, 2), torch.ones(2, 3), -1),
            "0 <= tolerance < 1, found -1",
        ),
        (
            lambda: cloned_fraction(torch.ones(3, 2) / 0, torch.ones(2, 3)),
            "needed finite activations",
        ),
        (
            lambda: dormant_fraction(torch.ones(2, 2), -0.1),
            "threshold >= 0, found -0.1",
        ),
        (lambda: dormant_fraction(torch.ones(2, 2), math.nan), "needed threshold >= 0"),
    ],
)
def test_what_are_no_activations_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
