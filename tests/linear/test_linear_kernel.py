from itertools import product
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import jacrev, vmap

from isometry.core.seeding import generator
from isometry.linear import (
    condition_number,
    condition_number_bound,
    deep_linear_ntk,
    draw_chain,
    end_to_end,
    hidden_anisotropy,
    isotropic_chain,
    isotropic_without_isometry,
    kernel_eigenvalues,
    kernel_matrix,
    layer_grams,
)
from isometry.linear.counterexamples import ISOTROPIC_SQUARES


def inputs_of(count: int, size: int, label: str = "inputs") -> torch.Tensor:
    draws = generator(0, label, count, size)
    return torch.randn(count, size, generator=draws, dtype=torch.float64)


def jacobian_kernel(weights, inputs, other):
    """Contract the parameter Jacobians of automatic differentiation."""

    def network(parameters, x):
        for weight in parameters:
            x = weight @ x
        return x

    def jacobian(batch):
        parts = vmap(jacrev(network), in_dims=(None, 0))(tuple(weights), batch)
        return torch.cat([part.flatten(start_dim=2) for part in parts], -1)

    return torch.einsum("iap,jbp->ijab", jacobian(inputs), jacobian(other))


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=6),
    draw=st.sampled_from(["orthogonal", "gaussian", "drifted"]),
    counts=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 99),
)
def test_kernel_equals_the_product_of_jacobians(sizes, draw, counts, seed):
    weights = draw_chain(sizes, draw, generator=generator(seed))
    inputs, other = inputs_of(counts[0], sizes[0]), inputs_of(counts[1], sizes[0], "2")
    found = deep_linear_ntk(weights, inputs, other)
    expected = jacobian_kernel(weights, inputs, other)
    scale = expected.abs().max().clamp(min=1e-30)
    assert ((found - expected).abs().max() / scale).item() < 1e-13


@settings(max_examples=30, deadline=None)
@given(
    depth=st.integers(1, 40),
    width=st.integers(1, 9),
    less=st.tuples(st.integers(0, 8), st.integers(0, 8)),
    count=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_orthogonal_layers_give_depth_times_input_gram(depth, width, less, count, seed):
    first, last = (max(1, width - missing) for missing in less)
    sizes = [first, last] if depth == 1 else [first, *([width] * (depth - 1)), last]
    weights = draw_chain(sizes, generator=generator(seed))
    inputs = inputs_of(count, first)
    gram = inputs @ inputs.T
    expected = depth * torch.kron(gram, torch.eye(last, dtype=torch.float64))
    found = kernel_matrix(deep_linear_ntk(weights, inputs))
    assert ((found - expected).norm() / expected.norm()).item() < 1e-12


def test_condition_number_is_that_of_the_inputs_for_orthogonal_layers():
    inputs = inputs_of(5, 16)
    expected = torch.linalg.cond(inputs @ inputs.T)
    for depth in (1, 2, 64):
        weights = draw_chain([16] * (depth + 1), generator=generator(1))
        values = kernel_eigenvalues(weights, inputs)
        assert values.shape == (80,)
        torch.testing.assert_close(condition_number(values), expected)
        torch.testing.assert_close(condition_number_bound(weights, inputs), expected)


def test_kernel_is_the_sum_of_kronecker_products_of_layer_grams():
    weights = draw_chain([3, 5, 4, 2], "gaussian", generator=generator(2))
    inputs, other = inputs_of(3, 3), inputs_of(2, 3, "2")
    forward, backward = layer_grams(weights, inputs, other)
    expected = sum(torch.kron(f, b) for f, b in zip(forward, backward, strict=True))
    found = kernel_matrix(deep_linear_ntk(weights, inputs, other))
    torch.testing.assert_close(found, expected)


def test_members_of_a_stack_have_their_own_kernels():
    weights = draw_chain([4, 3, 2], "drifted", members=(3,), generator=generator(3))
    inputs = inputs_of(2, 4)
    stacked = deep_linear_ntk(weights, inputs)
    assert stacked.shape == (3, 2, 2, 2, 2)
    for member in range(3):
        alone = deep_linear_ntk([weight[member] for weight in weights], inputs)
        torch.testing.assert_close(stacked[member], alone)


@settings(max_examples=30, deadline=None)
@given(depth=st.integers(1, 8), size=st.integers(1, 6), seed=st.integers(0, 999))
def test_bound_from_layer_spectra_holds(depth, size, seed):
    weights = draw_chain([size] * (depth + 1), "gaussian", generator=generator(seed))
    inputs = inputs_of(size, size)
    bound = condition_number_bound(weights, inputs)
    found = condition_number(kernel_eigenvalues(weights, inputs))
    assert found <= bound * (1 + 1e-6)


def test_bound_of_one_layer_is_the_inputs_condition_number():
    weights = draw_chain([4, 4], "gaussian", generator=generator(4))
    inputs = inputs_of(3, 4)
    expected = torch.linalg.cond(inputs @ inputs.T)
    torch.testing.assert_close(condition_number_bound(weights, inputs), expected)


@pytest.mark.parametrize("condition", [1.0, 4.0, 10.0])
def test_an_orthogonal_product_hides_an_anisotropic_kernel(condition):
    rotation = draw_chain([8, 8], generator=generator(5))[0]
    weights = hidden_anisotropy(rotation, condition)
    torch.testing.assert_close(end_to_end(weights), rotation)
    values = kernel_eigenvalues(weights, torch.eye(8, dtype=torch.float64))
    found = condition_number(values).item()
    assert found == pytest.approx(condition**2, rel=1e-10)
    scales = weights[0].diagonal().square()
    expected = (scales[:, None] + 1 / scales).flatten().sort(descending=True).values
    torch.testing.assert_close(values, expected)


def test_four_layers_can_be_isotropic_without_any_isometry():
    weights = isotropic_without_isometry()
    inputs = inputs_of(5, 2)
    found = kernel_matrix(deep_linear_ntk(weights, inputs))
    expected = 32 * torch.kron(inputs @ inputs.T, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(found, expected)
    for weight in [*weights, end_to_end(weights)]:
        scales = weight.diagonal()
        assert scales.max() / scales.min() > 1.1


@pytest.mark.parametrize("depth", [*range(4, 20), 47])
def test_every_depth_from_four_on_has_isotropic_chains_without_an_isometry(depth):
    weights = isotropic_chain(depth)
    assert len(weights) == depth
    matrix = kernel_matrix(deep_linear_ntk(weights, torch.eye(2, dtype=torch.float64)))
    scale = matrix[0, 0]
    torch.testing.assert_close(matrix / scale, torch.eye(4, dtype=torch.float64))
    for weight in weights:
        scales = weight.diagonal()
        assert scales.max() / scales.min() > 1.1
    product = end_to_end(weights).diagonal()
    torch.testing.assert_close(product[0], product[1])  # the whole is an isometry


def test_isotropic_chains_of_integers_are_isotropic_exactly():
    for squares in ISOTROPIC_SQUARES.values():
        sums = set()
        for i, j in product((0, 1), repeat=2):
            before = [prod(w[i] for w in squares[:k]) for k in range(len(squares))]
            after = [prod(w[j] for w in squares[k + 1 :]) for k in range(len(squares))]
            sums.add(sum(x * y for x, y in zip(before, after, strict=True)))
        assert len(sums) == 1
        assert len({prod(w[i] for w in squares) for i in (0, 1)}) == 1


def test_an_isotropic_chain_without_an_isometric_product_does_not_extend():
    weights = [*isotropic_without_isometry(), torch.eye(2, dtype=torch.float64)]
    values = kernel_eigenvalues(weights, torch.eye(2, dtype=torch.float64))
    assert condition_number(values) > 1.01


def test_singular_kernels_have_infinite_condition():
    weights = draw_chain([2, 2], generator=generator(6))
    values = kernel_eigenvalues(weights, inputs_of(3, 2))
    assert condition_number(values).isinf()
    assert condition_number(torch.zeros(3)).isinf()
    assert condition_number(torch.tensor([1.0, 1e-8])).isinf()
    assert condition_number(torch.tensor([1.0, 1e-5])).isfinite()


EYE = torch.eye(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: deep_linear_ntk([EYE], torch.ones(2)), ValueError, r"shape \(n, 2\)"),
        (lambda: deep_linear_ntk([EYE], torch.ones(0, 2)), ValueError, "n >= 1"),
        (lambda: deep_linear_ntk([EYE], torch.ones(3, 4)), ValueError, "flatten"),
        (lambda: deep_linear_ntk([EYE], EYE.int()), TypeError, "floating-point inputs"),
        (lambda: deep_linear_ntk([EYE], EYE, EYE[0]), ValueError, "other of shape"),
        (
            lambda: condition_number_bound([torch.ones(2, 3)], torch.ones(1, 3)),
            ValueError,
            "square layers",
        ),
        (lambda: hidden_anisotropy(torch.ones(2, 3), 2.0), ValueError, "rotation"),
        (lambda: hidden_anisotropy(EYE, 0.5), ValueError, "condition >= 1"),
        (lambda: isotropic_chain(3), ValueError, "depth >= 4, found 3"),
    ],
)
def test_bad_kernel_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
