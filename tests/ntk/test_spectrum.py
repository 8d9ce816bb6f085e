"""Conditioning of matrices whose spectrum is known."""

import math

import pytest
import torch

from isometry.ntk import conditioning

DOUBLE = torch.float64


def with_spectrum(values, dtype=DOUBLE):
    values = torch.tensor(values, dtype=DOUBLE)
    draw = torch.Generator().manual_seed(0)
    basis = torch.empty(len(values), len(values), dtype=DOUBLE)
    torch.nn.init.orthogonal_(basis, generator=draw)
    return (basis * values @ basis.T).to(dtype)


def test_summaries_of_a_known_spectrum():
    found = conditioning(with_spectrum([8.0, 4.0, 2.0, 2.0]))
    assert found.condition_number == pytest.approx(4)
    assert found.trace == pytest.approx(16)
    shares = [1 / 2, 1 / 4, 1 / 8, 1 / 8]
    entropy = -sum(p * math.log(p) for p in shares)
    assert found.effective_rank == pytest.approx(math.exp(entropy))
    expected = torch.tensor([2.0, 2.0, 4.0, 8.0], dtype=DOUBLE)
    torch.testing.assert_close(found.eigenvalues, expected)


def test_condition_number_does_not_see_the_scale():
    matrix = with_spectrum([5.0, 3.0, 1.0])
    first, second = conditioning(matrix), conditioning(1e-6 * matrix)
    assert second.condition_number == pytest.approx(first.condition_number)
    assert second.effective_rank == pytest.approx(first.effective_rank)


def test_robust_condition_number_ignores_a_single_small_eigenvalue():
    values = [1.0] * 40 + [1e-9]
    found = conditioning(with_spectrum(values))
    assert found.robust_condition_number == pytest.approx(1, abs=1e-6)
    assert found.condition_number == pytest.approx(1e9, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_singular_matrix_stops_at_the_precision_of_its_dtype(dtype):
    found = conditioning(with_spectrum([1.0, 1.0, 0.0], dtype))
    limit = 1 / (3 * torch.finfo(dtype).eps)
    assert found.condition_number == pytest.approx(limit, rel=1e-6)
    assert found.floor == pytest.approx(1 / limit, rel=1e-6)


def test_zero_matrix_has_no_direction_at_all():
    found = conditioning(torch.zeros(3, 3))
    assert found.condition_number == math.inf
    assert found.robust_condition_number == math.inf
    assert (found.effective_rank, found.trace) == (0, 0)


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        (torch.zeros(2, 3), ValueError, "square"),
        (torch.zeros(2, 2, 1, 1), ValueError, "square"),
        (torch.zeros(0, 0), ValueError, "non-empty"),
        (torch.eye(2).long(), TypeError, "floating-point"),
        (torch.full((2, 2), math.nan), ValueError, "finite"),
        (torch.tensor([[1.0, 1.0], [0.0, 1.0]]), ValueError, "symmetric"),
        (torch.diag(torch.tensor([1.0, -1.0])), ValueError, "semi-definite"),
    ],
)
def test_what_is_no_kernel_matrix_is_refused(matrix, error, message):
    with pytest.raises(error, match=message):
        conditioning(matrix)
