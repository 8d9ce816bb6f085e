"""Lanczos' nodes and weights integrate what a matrix does to a vector."""

import pytest
import torch
from torch.testing import assert_close

from isometry.core.lanczos import lanczos, mass_beyond
from isometry.core.seeding import generator

pytestmark = pytest.mark.usefixtures("double")


def drawn(*shape):
    return torch.randn(shape, generator=generator(0, "lanczos"))


def symmetric(values):
    """Return a matrix with these eigenvalues, and its eigenvectors as columns."""
    vectors = torch.linalg.qr(drawn(len(values), len(values))).Q
    return vectors @ torch.diag(values) @ vectors.T, vectors


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_polynomials_below_twice_the_steps_are_integrated_exactly(steps):
    matrix, _ = symmetric(torch.linspace(-1, 1.5, 12))
    start = drawn(12)
    nodes, weights, _ = lanczos(matrix.mv, start, steps)
    assert len(nodes) == steps
    unit = power = start / start.norm()
    for degree in range(2 * steps):
        assert_close((weights * nodes**degree).sum(), unit @ power)
        power = matrix @ power


def test_all_steps_give_all_eigenvalues_and_the_parts_of_the_start():
    values = torch.linspace(-1, 1.5, 12) ** 3
    matrix, vectors = symmetric(values)
    start = drawn(12)
    nodes, weights, _ = lanczos(matrix.mv, start, 20)
    assert_close(nodes, values)
    assert_close(weights, (vectors.T @ start / start.norm()) ** 2)


def test_it_ends_where_the_start_reaches_no_further():
    values = torch.tensor([0.0] * 7 + [1.0] * 4 + [3.0])
    matrix, vectors = symmetric(values)
    nodes, weights, left = lanczos(matrix.mv, drawn(12), 12)
    assert left == 0 < lanczos(matrix.mv, drawn(12), 2)[2]
    assert_close(nodes, torch.tensor([0.0, 1.0, 3.0]))
    assert weights.sum().item() == pytest.approx(1)
    nodes, weights, _ = lanczos(matrix.mv, 5 * vectors[:, 9], 12)
    assert (nodes.tolist(), weights.tolist()) == ([pytest.approx(1)], [1])


def test_no_eigenvalue_comes_twice_by_rounding():
    values = torch.cat([torch.linspace(0, 0.01, 190), torch.tensor([50.0, 100.0])])
    matrix = symmetric(values)[0].float()
    nodes, _, _ = lanczos(matrix.mv, drawn(192).float(), 100)
    assert ((nodes - 100).abs() < 1).sum() == 1
    assert ((nodes - 50).abs() < 1).sum() == 1


def test_no_more_nodes_than_eigenvalues_lie_beyond_a_threshold():
    values = torch.linspace(-1, 1, 41)
    matrix, _ = symmetric(values)
    for steps in (3, 10, 25, 41):
        nodes, _, _ = lanczos(matrix.mv, drawn(41), steps)
        for eps in (0.01, 0.31, 0.77):
            assert (nodes.abs() > eps).sum() <= (values.abs() > eps).sum()


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 12, 25])
def test_mass_beyond_a_threshold_is_wrong_by_no_more_than_its_blur(steps):
    values = torch.cat([1e-3 * drawn(20), torch.linspace(-0.4, 2, 12)])
    matrix, vectors = symmetric(values)
    blurs = []
    for _ in range(20):
        start = torch.randn(32, generator=generator(len(blurs), "start"))
        parts = (vectors.T @ start / start.norm()).square()
        nodes, weights, _ = lanczos(matrix.mv, start, steps)
        for eps in (5e-4, 5e-3, 0.1, 0.7, 1.9, 3.0):
            mass, blur = mass_beyond(nodes, weights, eps)
            assert abs(mass - float(parts[values.abs() > eps].sum())) <= blur + 1e-12
            blurs.append(blur)
    assert steps < 25 or sum(blurs) / len(blurs) < 0.1
