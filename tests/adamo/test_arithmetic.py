import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.adamo import (
    as_matrix,
    gram_deviation,
    isometry_gradient,
    isometry_penalty,
)
from isometry.adamo.reference import _isometry_residual
from isometry.core.matrices import singular_values
from isometry.core.seeding import generator

SHAPES = [(7, 3), (3, 7), (5, 5), (1, 6), (6, 1), (1, 1), (4, 6, 3), (2, 3, 3, 8)]


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=generator(seed, "weight"), dtype=dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_equals_autograd_of_the_penalty(shape):
    weight = drawn(*shape).requires_grad_()
    (expected,) = torch.autograd.grad(isometry_penalty(weight).sum(), weight)
    assert_close(isometry_gradient(weight.detach()), expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 3), max_size=2), st.integers(1, 9), st.integers(1, 9))
def test_gradient_equals_autograd_for_every_shape(members, rows, columns):
    weight = drawn(*members, rows, columns).requires_grad_()
    (expected,) = torch.autograd.grad(isometry_penalty(weight).sum(), weight)
    assert_close(isometry_gradient(weight.detach()), expected)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (5, 5), (1, 6)])
def test_penalty_passes_gradcheck_twice(shape):
    weight = drawn(*shape).requires_grad_()
    assert torch.autograd.gradcheck(isometry_penalty, weight)
    assert torch.autograd.gradgradcheck(isometry_penalty, weight)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (5, 5), (1, 6)])
def test_gradient_equals_the_paper_letter_by_letter(shape):
    weight = drawn(*shape)
    assert_close(isometry_gradient(weight), _isometry_residual(weight))


@pytest.mark.parametrize("shape", SHAPES)
def test_penalty_is_the_sum_of_squared_sigma_deviations(shape):
    weight = drawn(*shape)
    deviation = singular_values(weight).square() - 1
    assert_close(isometry_penalty(weight), deviation.square().sum(-1))


@pytest.mark.parametrize("shape", SHAPES)
def test_deviation_is_the_root_of_the_penalty(shape):
    weight = drawn(*shape)
    assert_close(gram_deviation(weight).square(), isometry_penalty(weight))


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (5, 5), (4, 6, 3)])
def test_gradient_keeps_the_singular_vectors(shape):
    weight = drawn(*shape)
    left, sigma, right = torch.linalg.svd(weight, full_matrices=False)
    pulled = 4 * sigma * (sigma.square() - 1)
    assert_close(isometry_gradient(weight), left @ torch.diag_embed(pulled) @ right)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (5, 5)])
def test_isometries_are_the_zeros_of_the_penalty(shape):
    weight = torch.empty(shape, dtype=torch.float64)
    torch.nn.init.orthogonal_(weight, generator=generator(0, "orthogonal"))
    zero = torch.zeros((), dtype=torch.float64)
    assert_close(gram_deviation(weight), zero)
    assert_close(isometry_gradient(weight), torch.zeros_like(weight))


def test_penalty_does_not_see_rotations():
    weight = drawn(6, 4)
    turn = torch.linalg.qr(drawn(6, 6, seed=1)).Q
    assert_close(isometry_penalty(turn @ weight), isometry_penalty(weight))


@pytest.mark.parametrize("function", [gram_deviation, isometry_penalty])
def test_members_of_a_stack_are_taken_by_themselves(function):
    stack = drawn(3, 5, 4)
    assert_close(function(stack), torch.stack([function(w) for w in stack]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_have_a_float32_gram_matrix(dtype):
    weight = drawn(32, 16, dtype=torch.float32).to(dtype)
    assert isometry_penalty(weight).dtype == torch.float32
    assert_close(isometry_penalty(weight), isometry_penalty(weight.float()))
    expected = isometry_gradient(weight.float()).to(dtype)
    assert isometry_gradient(weight).dtype == dtype
    assert_close(isometry_gradient(weight), expected, rtol=0, atol=0)


def test_a_kernel_is_the_matrix_of_its_rows():
    kernel = drawn(8, 3, 5, 5)
    assert_close(as_matrix(kernel)[2], kernel[2].reshape(-1), rtol=0, atol=0)


def test_arguments_are_not_changed():
    weight = drawn(5, 3)
    before = weight.clone()
    isometry_gradient(weight)
    isometry_penalty(weight)
    assert torch.equal(weight, before)


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        (torch.ones(3), ValueError, r"non-empty weight of shape \(\.\.\., out, in\)"),
        (torch.ones(0, 3), ValueError, "non-empty weight"),
        (torch.ones(3, 3, dtype=torch.int64), TypeError, "floating-point"),
        ([[1.0]], TypeError, "floating-point tensor as weight, found list"),
    ],
)
@pytest.mark.parametrize(
    "function", [gram_deviation, isometry_penalty, isometry_gradient]
)
def test_what_is_no_matrix_is_refused(function, argument, error, message):
    with pytest.raises(error, match=message):
        function(argument)
