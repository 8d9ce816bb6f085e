"""Ranks: each against its definition, written as a loop over sorted numbers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.plasticity import effective_rank
from isometry.plasticity.ranks import (
    feature_effective_rank,
    srank,
    stable_rank,
    threshold_rank,
)

spectra = st.lists(st.floats(1e-3, 10), min_size=1, max_size=8)
RANKS = (stable_rank, srank, threshold_rank, effective_rank)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@given(spectra)
def test_stable_rank_is_the_squared_ratio_of_two_norms(values):
    matrix = torch.diag(tensor(values))
    norms = torch.linalg.matrix_norm(matrix) / torch.linalg.matrix_norm(matrix, 2)
    assert_close(stable_rank(tensor(values)), norms.square())


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1e-20, 1.0, 1e20, 3e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stable_rank_does_not_hang_on_the_scale(scale, dtype):
    exact = scale if dtype == torch.float32 else scale**7  # 1e-315 to 2e269
    values = torch.tensor([exact, exact, 0.0], dtype=dtype)
    assert stable_rank(values) == 2
    assert stable_rank(torch.zeros(3, dtype=dtype)) == 0


@given(spectra, st.floats(0.005, 0.5))
def test_srank_is_the_fewest_values_that_hold_their_share(values, delta):
    total, held, count = math.fsum(values), 0.0, 0
    for value in sorted(values, reverse=True):
        if held >= (1 - delta) * total * (1 + 1e-12):
            break
        held, count = held + value, count + 1
    assert abs(srank(tensor(values), delta).item() - count) <= (
        # a share that is met to rounding may count either way
        1 if abs(held - (1 - delta) * total) < 1e-9 * total else 0
    )


@given(spectra, st.floats(0.0, 0.9))
def test_threshold_rank_counts_what_exceeds_a_share_of_the_largest(values, relative):
    values = tensor(values).float()
    limit = relative * values.max()
    count = sum(bool(value > limit) for value in values)
    assert threshold_rank(values, relative).item() == count


@given(spectra, st.floats(0.1, 10))
def test_no_rank_sees_the_scale(values, factor):
    values = tensor(values)
    for rank in RANKS[:2] + RANKS[3:]:
        assert_close(rank(factor * values).double(), rank(values).double())


@pytest.mark.parametrize("size", [1, 2, 5])
def test_equal_singular_values_have_full_rank_by_every_definition(size):
    for rank in RANKS:
        assert rank(torch.full((size,), 3.0)).item() == pytest.approx(size)


def test_one_singular_value_has_rank_one_by_every_definition():
    for rank in RANKS:
        assert rank(tensor([2.0, 0.0, 0.0])).item() == pytest.approx(1)


@pytest.mark.parametrize("rank", RANKS)
def test_a_zero_matrix_has_rank_zero(rank):
    assert rank(torch.zeros(3)).item() == 0


def test_ranks_keep_leading_dimensions():
    values = torch.rand(2, 3, 4, generator=generator(0, "spectra"))
    for rank in RANKS:
        found = rank(values)
        assert found.shape == (2, 3)
        assert_close(found[1, 2], rank(values[1, 2]))


def test_a_common_mean_hides_the_rank_of_features_until_it_is_removed():
    draw = generator(1, "features")
    features = torch.randn(200, 6, generator=draw, dtype=torch.float64)
    shifted = features + 1000.0
    assert feature_effective_rank(shifted, centred=False).item() < 1.2
    assert_close(
        feature_effective_rank(shifted),
        feature_effective_rank(features),
        rtol=1e-9,
        atol=0,
    )
    assert feature_effective_rank(shifted).item() > 5.5


def test_constant_features_have_rank_zero_once_centred():
    assert feature_effective_rank(torch.full((4, 3), 2.0)).item() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stable_rank(tensor([])), "needed finite, non-negative singular"),
        (lambda: stable_rank(tensor(1.0)), r"shape \(..., k\), found \(\)"),
        (lambda: srank(tensor([1.0, -0.1])), "needed finite, non-negative"),
        (lambda: threshold_rank(tensor([math.nan])), "needed finite, non-negative"),
        (lambda: srank(tensor([math.inf])), "needed finite, non-negative"),
        (lambda: srank(tensor([1.0]), 0.0), "needed 0 < delta < 1, found 0.0"),
        (lambda: srank(tensor([1.0]), 1.0), "needed 0 < delta < 1, found 1.0"),
        (lambda: threshold_rank(tensor([1.0]), 1.0), "needed 0 <= relative < 1"),
        (lambda: threshold_rank(tensor([1.0]), -0.1), "found -0.1; pass e.g. 0.01"),
        (lambda: feature_effective_rank(torch.ones(3)), r"\(..., inputs, units\)"),
        (lambda: feature_effective_rank(torch.full((2, 2), math.nan)), "finite"),
    ],
)
def test_what_is_no_spectrum_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
