import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.adamo import (
    isometry_gradient,
    isometry_step_,
    max_stable_rate,
    singular_value_flow,
)
from isometry.adamo.step import (
    _half_gram_,
    _largest_excess,
    isometry_steps_,
)
from isometry.core.matrices import singular_values
from isometry.core.seeding import generator
from isometry.weights import has_matrix

SHAPES = [(5, 3), (3, 5), (4, 4), (1, 6), (6, 1), (200, 300), (300, 200), (257, 257)]
STACKS = [(3, 5, 4), (2, 4, 5), (2, 200, 260), (2, 260, 200), (1, 7, 3)]


def drawn(*shape, seed=0):
    draw = generator(seed, "weight")
    values = torch.randn(shape, generator=draw, dtype=torch.float64)
    return values / max(shape[-2:]) ** 0.5


@pytest.mark.parametrize("shape", SHAPES)
def test_step_is_the_rate_times_the_gradient(shape):
    weight = drawn(*shape)
    expected = weight - 1e-3 * isometry_gradient(weight)
    assert_close(isometry_step_(weight, 1e-3), expected)


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(st.integers(1, 3), max_size=2),
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    scale=st.floats(0.05, 3.0),
    share=st.floats(0.01, 1.0),
)
def test_below_the_monotone_limit_every_singular_value_comes_closer(
    members, rows, columns, scale, share
):
    weight = scale * drawn(*members, rows, columns)
    before = singular_values(weight)
    rate = share * max_stable_rate(before.max().item(), monotone=True)
    expected = before - 4 * rate * before * (before.square() - 1)
    isometry_step_(weight, rate, member_dims=len(members))
    after = singular_values(weight)
    norm = torch.linalg.vector_norm(before.square() - 1, dim=-1)
    if bool((4 * rate * norm <= 2).all()):  # no member is shortened
        assert_close(after, expected.sort(descending=True).values)
    assert bool(((after - 1).abs() <= (before - 1).abs() + 1e-12).all())


@pytest.mark.parametrize("shape", STACKS)
def test_step_of_a_stack_is_that_of_each_member(shape):
    stack = drawn(*shape)
    expected = stack - 1e-3 * isometry_gradient(stack)
    assert_close(isometry_step_(stack, 1e-3, member_dims=1), expected)


@pytest.mark.parametrize("shape", [(8, 4), (300, 200), (200, 300)])
@pytest.mark.parametrize("layout", ["transposed", "strided"])
def test_step_does_not_depend_on_the_layout(shape, layout):
    weight = drawn(*shape)
    expected = weight - 1e-3 * isometry_gradient(weight)
    if layout == "transposed":
        other = weight.mT.contiguous().mT
    else:
        other = weight.new_zeros(shape[0], 2 * shape[1])[:, ::2].copy_(weight)
    assert_close(isometry_step_(other, 1e-3), expected)


@pytest.mark.parametrize("taken", [0.0, 1.0])
def test_the_device_decides_as_the_host_would(taken):
    weights = [drawn(6, 4), drawn(6, 4, seed=1), drawn(300, 200)]
    expected = [w - taken * 1e-3 * isometry_gradient(w) for w in weights]
    isometry_steps_(weights, 1e-3, taken=torch.tensor(taken))
    assert_close(weights, expected)


def test_a_rate_on_the_device_is_the_same_rate():
    weight = drawn(6, 4)
    expected = weight - 1e-3 * isometry_gradient(weight)
    rate = torch.tensor(1e-3, dtype=torch.float64)
    assert_close(isometry_step_(weight, rate), expected)


def test_members_are_shortened_one_by_one():
    # the second member is far beyond the bound, the first is not
    stack = torch.stack([drawn(4, 4), 100 * torch.eye(4, dtype=torch.float64)])
    expected = stack[0] - 1e-2 * isometry_gradient(stack[0])
    isometry_step_(stack, 1e-2, member_dims=1)
    assert_close(stack[0], expected)
    assert bool((singular_values(stack[1]) >= 50).all())
    assert bool((singular_values(stack[1]) < 100).all())


@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 7),
    equal=st.booleans(),
)
def test_excess_bounds_the_largest_eigenvalue_and_is_reached(seed, size, equal):
    draw = generator(seed, "spectrum")
    values = torch.randn(size, generator=draw, dtype=torch.float64)
    if equal:
        values = values[-1:].expand(size).clone()
        values[0] += 1
    bound = _largest_excess(values.norm(), values.sum(), size)
    assert bound >= values.max() - 1e-7
    if equal:
        assert_close(bound, values.max(), rtol=0, atol=1e-7)  # root of a difference


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 6), (200, 300)])
def test_pieces_leave_a_step_near_isometry_whole(shape):
    weight = torch.linalg.qr(drawn(max(shape), min(shape))).Q * 1.1
    weight = weight if shape[0] >= shape[1] else weight.mT.contiguous()
    expected = isometry_step_(weight.clone(), 1e-2)
    assert_close(isometry_step_(weight, 1e-2, pieces=20), expected, rtol=0, atol=0)


@pytest.mark.parametrize("taken", [None, torch.tensor(1.0)])
def test_pieces_of_a_member_do_not_depend_on_the_others(taken):
    near, far = drawn(5, 4), 9 * drawn(5, 4, seed=1)
    stack = torch.stack([near, far])
    isometry_step_(stack, 1e-2, member_dims=1, taken=taken, pieces=30)
    for member, alone in zip(stack, (near, far), strict=True):
        assert_close(member, isometry_step_(alone, 1e-2, pieces=30))


def test_pieces_follow_the_flow_where_one_step_does_not():
    weight, whole = (8 * torch.eye(3, dtype=torch.float64) for _ in range(2))
    flow = singular_value_flow(weight.diagonal(), 0.0066, 1)
    isometry_step_(whole, 0.0066)
    isometry_step_(weight, 0.0066, pieces=10_000)
    assert (weight.diagonal() / flow - 1).abs().max() < 0.1
    assert (whole.diagonal() / flow - 1).abs().max() > 0.4


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("taken", [None, torch.tensor(1.0)])
def test_pieces_end_also_without_finite_weights(value, taken):
    weight = torch.full((2, 2), value)
    isometry_step_(weight, 1e-2, taken=taken, pieces=5)
    assert not weight.isfinite().any()


@pytest.mark.parametrize("members", [(), (2,)])
def test_no_start_diverges_at_the_largest_rate(members):
    weight = 30 * drawn(*members, 12, 8)
    for _ in range(200):
        isometry_step_(weight, 0.2, member_dims=len(members))
    sigma = singular_values(weight)
    assert_close(sigma, torch.ones_like(sigma))


@pytest.mark.parametrize("size", [1, 127, 128, 129, 300])
def test_half_gram_is_the_whole_product(size):
    wide = drawn(size, size + 3)
    assert_close(_half_gram_(wide, wide.new_empty(size, size)), wide @ wide.mT)


def test_autocast_does_not_reach_large_matrices():
    weight = drawn(300, 200).float()
    expected = isometry_step_(weight.clone(), 1e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        isometry_step_(weight, 1e-2)
    assert_close(weight, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("parameter", "dims", "expected"),
    [
        (torch.ones(3), 0, False),
        (torch.ones(2, 3), 0, True),
        (torch.ones(2, 3), 1, False),
        (torch.ones(2, 3, 4), 1, True),
        (torch.ones(0, 3), 0, False),
        (torch.ones(2, 3, dtype=torch.complex64), 0, False),
    ],
)
def test_a_matrix_is_real_and_has_two_dimensions_beside_the_members(
    parameter, dims, expected
):
    assert has_matrix(parameter, dims) is expected


@pytest.mark.parametrize(
    ("weight", "dims", "error"),
    [
        (torch.ones(3), 0, ValueError),
        (torch.ones(3, 4), 1, ValueError),
        (torch.ones(3, 3, dtype=torch.int32), 0, TypeError),
    ],
)
def test_what_is_no_matrix_is_refused(weight, dims, error):
    with pytest.raises(error, match="needed"):
        isometry_step_(weight, 1e-3, member_dims=dims)
