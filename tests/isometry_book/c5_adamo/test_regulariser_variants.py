import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.adamo import relaxation_steps
from isometry.core.matrices import singular_values
from isometry.core.seeding import generator
from isometry_book.c5_adamo.drifted_network import LAYERS, drifted_network
from isometry_book.c5_adamo.regulariser_variants import (
    VARIANTS,
    _measured_relaxation,
    _variant_relaxation,
    pulled_weights,
    variant,
    variant_table,
)

SHAPES = [(6, 4), (4, 6), (5, 5), (1, 7), (7, 1)]
DECOUPLED = [name for name in VARIANTS if name != "coupled"]


def drawn(shape, seed=0):
    draw = generator(seed, "weight")
    return torch.randn(shape, dtype=torch.float64, generator=draw)


def written_penalty(weight, form):
    """Eq. 16 with another factor and target, on the smaller Gram matrix."""
    out, fan_in = weight.shape
    gram = weight.mT @ weight if out > fan_in else weight @ weight.mT
    deviation = gram - form.target(out, fan_in) * torch.eye(len(gram)).double()
    return form.factor / 4 * deviation.square().sum()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", DECOUPLED)
def test_one_step_is_the_gradient_of_the_penalty(name, shape):
    weight = (drawn(shape) / 3).requires_grad_()
    written_penalty(weight, variant(name)).backward()
    moved, _ = pulled_weights([weight, weight], name, 0.5, 1e-2, 1)
    assert_close(moved, weight.detach() - 5e-3 * weight.grad)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_pull_leaves_the_weights_that_it_is_given_as_they_are(name):
    weight = drawn((4, 4))
    kept = weight.clone()
    pulled_weights([weight, weight], name, 0.5, 1e-2, 3)
    assert torch.equal(weight, kept)


@settings(max_examples=20)
@given(
    out=st.integers(2, 7),
    fan_in=st.integers(2, 7),
    name=st.sampled_from(DECOUPLED),
    seed=st.integers(0, 99),
)
def test_every_singular_value_goes_to_the_root_of_the_target(out, fan_in, name, seed):
    left, _, right = torch.linalg.svd(drawn((out, fan_in), seed), full_matrices=False)
    draw = generator(seed, "sigma")
    sigma = 0.2 + 1.8 * torch.rand(min(out, fan_in), generator=draw).double()
    weight = (left * sigma) @ right
    (moved, head) = pulled_weights([weight, weight], name, 1.0, 0.02, 400)
    goal = math.sqrt(variant(name).target(out, fan_in))
    assert_close(singular_values(moved), torch.full_like(sigma, goal))
    assert torch.equal(head, weight) == (not variant(name).head)


@pytest.mark.parametrize("name", DECOUPLED)
def test_a_small_deviation_decays_within_the_stated_time(name):
    expected = _variant_relaxation(name, 0.1, 1e-2)
    measured = _measured_relaxation(name, 0.1, 1e-2, width=8, start=1.001)
    assert measured == pytest.approx(expected, rel=0.02)


def test_half_takes_twice_and_relu_gain_half_the_time():
    times = {name: _variant_relaxation(name, 0.5, 1e-3) for name in DECOUPLED}
    assert times["equation"] == relaxation_steps(0.5, 1e-3)
    assert times["half"] == 2 * times["equation"] == 4 * times["relu_gain"]


def test_the_pace_of_the_coupled_form_does_not_depend_on_the_strength():
    paces = {_measured_relaxation("coupled", s, 1e-3) for s in (1e-2, 1.0, 100.0)}
    assert len(paces) == 1
    assert math.isnan(_variant_relaxation("coupled", 1.0, 1e-3))


def test_the_table_has_a_row_for_every_variant_and_agrees_with_its_measurement():
    table = variant_table(100, 3e-3).set_index("variant")
    assert len(table) == len(VARIANTS)
    assert table.loc["rectangular scaling", "goal_widening"] == math.sqrt(1.5)
    steps = table.drop(index="coupled")
    ratio = steps["measured_steps"] / steps["relaxation_steps"]
    assert ratio.between(0.9, 1.1).all()


def test_a_drifted_network_began_orthogonal_and_has_a_layer_of_every_shape():
    network = drifted_network(2, 30)
    shapes = [weight.shape[1:] for weight in network.weights]
    assert [(o > i) - (o < i) for o, i in shapes] == [1, -1, 0, -1]
    assert len(shapes) == len(LAYERS)
    for start, end in zip(network.initial, network.weights, strict=True):
        values = singular_values(start)
        assert_close(values, torch.ones_like(values), atol=1e-6, rtol=0)  # float32
        assert (singular_values(end) - 1).abs().max() > 0.01
    assert [a.shape[-1] for a in network.activations()] == [96, 64, 64]


def test_a_member_of_a_drifted_stack_is_the_seed_alone():
    both, one = drifted_network(2, 5), drifted_network(1, 5)
    # float32 sums of another order
    assert_close(both.weights[0][0], one.weights[0][0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: variant("hlaf"), KeyError, "did you mean 'half'"),
        (lambda: pulled_weights([], "half", 1, 1, 1), ValueError, "at least one"),
        (lambda: drifted_network(0, 5), ValueError, "found 0 seeds, 5 steps"),
    ],
)
def test_bad_variants_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
