"""Gram matrices and summaries of a spectrum, over shapes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.core.matrices import (
    as_matrix,
    check_matrix,
    effective_rank,
    long_product,
    singular_values,
    singular_values_by_gram,
    smaller_gram,
)
from isometry.core.seeding import generator

shapes = st.tuples(
    st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(0, 1000)
)
spectra = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8)


def weight_of(shape):
    *sizes, seed = shape
    return torch.randn(sizes, generator=generator(seed, "weight"), dtype=torch.float64)


def orthogonal(n, label):
    draw = torch.randn(n, n, generator=generator(0, label), dtype=torch.float64)
    return torch.linalg.qr(draw).Q


@given(shapes)
def test_smaller_gram_is_the_smaller_and_symmetric_and_has_squared_values(shape):
    weight = weight_of(shape)
    gram = smaller_gram(weight)
    size = min(weight.shape[-2:])
    assert gram.shape == (weight.shape[0], size, size)
    assert_close(gram, gram.mT)
    squared = torch.linalg.eigvalsh(gram).flip(-1)
    # Squaring loses the small values: an absolute tolerance of the largest.
    assert_close(
        singular_values(weight).square(), squared, rtol=1e-7, atol=1e-12 * 7 * 50
    )


@given(shapes)
def test_each_member_is_treated_by_itself(shape):
    weight = weight_of(shape)
    for i in range(len(weight)):
        assert_close(smaller_gram(weight)[i], smaller_gram(weight[i]))
        assert_close(singular_values(weight)[i], singular_values(weight[i]))


@given(shapes)
def test_singular_values_are_those_of_numpy_in_descending_order(shape):
    weight = weight_of(shape)
    values = singular_values(weight)
    expected = np.linalg.svd(weight.numpy(), compute_uv=False)
    assert_close(values, torch.from_numpy(expected))
    assert (values[..., :-1] >= values[..., 1:]).all()


@pytest.mark.parametrize(("out", "inputs"), [(5, 3), (3, 5), (4, 4), (1, 6), (6, 1)])
def test_the_gram_matrix_of_an_isometry_is_the_identity(out, inputs):
    weight = torch.empty(out, inputs, dtype=torch.float64)
    torch.nn.init.orthogonal_(weight, generator=generator(0, "isometry"))
    size = min(out, inputs)
    assert_close(smaller_gram(weight), torch.eye(size, dtype=torch.float64))
    assert_close(singular_values(weight), torch.ones(size, dtype=torch.float64))
    assert effective_rank(singular_values(weight)).item() == pytest.approx(size)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (20, 20), (1, 5), (3, 2, 30, 9)])
def test_values_by_the_gram_matrix_are_nearer_than_those_in_single_precision(shape):
    weight = torch.randn(shape, generator=generator(0, "gram"), dtype=torch.float64)
    weight[..., -1] = 1e-3 * weight[..., 0]  # some are small
    single = weight.float()
    expected = singular_values(single.double())
    found = singular_values_by_gram(single)
    assert found.dtype == torch.float32
    size = expected[..., :1]
    assert ((found - expected).abs() / size).max() < 1e-7
    assert_close(singular_values_by_gram(weight), singular_values(weight))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_have_single_precision_singular_values(dtype):
    weight = torch.diag(torch.tensor([1.0, 3.0])).to(dtype)
    assert singular_values(weight).dtype == torch.float32
    assert singular_values(weight).tolist() == [3.0, 1.0]


@pytest.mark.parametrize(
    ("shape", "member_dims", "expected"),
    [
        ((5, 3), 0, (5, 3)),
        ((8, 3, 5, 5), 0, (8, 75)),
        ((2, 5, 3), 1, (2, 5, 3)),
        ((2, 8, 3, 5, 5), 1, (2, 8, 75)),
        ((2, 4, 8, 3, 5), 2, (2, 4, 8, 15)),
    ],
)
def test_a_kernel_is_a_matrix_of_its_outputs(shape, member_dims, expected):
    weight = torch.randn(shape, generator=generator(0, "kernel"))
    matrix = as_matrix(weight, member_dims)
    assert matrix.shape == expected
    assert matrix.data_ptr() == weight.data_ptr()
    assert torch.equal(matrix.flatten(), weight.flatten())


def test_a_kernel_as_a_matrix_acts_as_its_convolution():
    kernel = weight_of((4, 3, 2, 0)).unsqueeze(-1).repeat(1, 1, 1, 2)  # (4, 3, 2, 2)
    patch = torch.randn(1, 3, 2, 2, generator=generator(1, "p"), dtype=torch.float64)
    convolved = torch.nn.functional.conv2d(patch, kernel).flatten()
    assert_close(as_matrix(kernel) @ patch.flatten(), convolved)


@given(spectra)
def test_effective_rank_lies_between_one_and_the_number_of_values(values):
    found = effective_rank(torch.tensor(values, dtype=torch.float64)).item()
    assert 1 - 1e-9 <= found <= len(values) + 1e-9


@given(spectra, st.floats(1e-3, 1e3))
def test_effective_rank_does_not_see_scale_order_or_added_zeros(values, factor):
    values = torch.tensor(values, dtype=torch.float64)
    found = effective_rank(values)
    assert_close(effective_rank(values * factor), found)
    assert_close(effective_rank(values.flip(0)), found)
    assert_close(effective_rank(torch.cat([values, torch.zeros(3)])), found)


@given(spectra)
def test_effective_rank_is_the_exponential_of_shannons_entropy(values):
    share = np.array(values) / np.sum(values)
    entropy = -(share * np.log(share)).sum()
    found = effective_rank(torch.tensor(values, dtype=torch.float64)).item()
    assert found == pytest.approx(math.exp(entropy), rel=1e-10)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_k_equal_values_have_effective_rank_k(k):
    values = torch.cat([torch.full((k,), 0.3), torch.zeros(4)]).double()
    assert effective_rank(values).item() == pytest.approx(k)


def test_nothing_has_effective_rank_zero_and_members_are_separate():
    values = torch.tensor([[0.0, 0.0], [2.0, 2.0], [1.0, 0.0]], dtype=torch.float64)
    assert_close(effective_rank(values), torch.tensor([0.0, 2.0, 1.0]).double())


def test_rotations_do_not_change_the_spectrum():
    weight = weight_of((1, 4, 6, 3))[0]
    turned = orthogonal(4, "left") @ weight @ orthogonal(6, "right")
    assert_close(singular_values(turned), singular_values(weight))


nan = float("nan")
REFUSALS = [
    (lambda: check_matrix([[1.0]]), TypeError, "needed a floating-point tensor as wei"),
    (lambda: check_matrix(torch.ones(2, 2, dtype=torch.int64)), TypeError, "int64"),
    (lambda: check_matrix(torch.ones(3)), ValueError, r"found \(3,\); reshape it"),
    (lambda: check_matrix(torch.ones(3, 0)), ValueError, r"found \(3, 0\)"),
    (lambda: check_matrix(torch.ones(3), "kernel"), ValueError, "non-empty kernel"),
    (lambda: smaller_gram(torch.ones(3)), ValueError, r"found \(3,\)"),
    (lambda: singular_values(torch.ones(3)), ValueError, r"found \(3,\)"),
    (
        lambda: as_matrix(torch.ones(3, 2), member_dims=1),
        ValueError,
        r"at least 3 dimensions, found \(3, 2\); lower member_dims",
    ),
    (lambda: effective_rank(torch.ones(0)), ValueError, "needed at least one value"),
    (lambda: effective_rank(torch.tensor(1.0)), ValueError, "at least one value"),
    (lambda: effective_rank(torch.tensor([-1.0])), ValueError, "minimum -1;"),
    (lambda: effective_rank(torch.tensor([nan])), ValueError, "needed finite, non-n"),
    (lambda: effective_rank(torch.tensor([math.inf])), ValueError, "needed finite"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSALS)
def test_what_is_no_matrix_or_spectrum_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- sums of many terms ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["all alike", "few large"])
def test_a_product_of_long_rows_is_right_in_single_precision(kind):
    rows = torch.randn(4, 2**21 + 7, generator=generator(0, "long rows"))
    rows = rows**3 if kind == "few large" else rows
    exact = rows.double() @ rows.double().mT
    assert (long_product(rows, rows) - exact).abs().max() < 1e-5 * exact.max()
    place = torch.full((6, 6), torch.nan)[1:5, 1:5]
    long_product(rows, rows, out=place)
    assert torch.equal(place, long_product(rows, rows))


def test_a_product_of_short_rows_has_the_bits_of_the_plain_one():
    rows = torch.randn(5, 3000, generator=generator(0, "short rows"))
    assert torch.equal(long_product(rows, rows[:2]), rows @ rows[:2].mT)
