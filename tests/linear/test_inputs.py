import pytest
import torch

from isometry.core.seeding import generator
from isometry.linear import gram_eigenvalues, isotropic_condition_number, whiten


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0, *shape), dtype=torch.float64)


def test_gram_eigenvalues_are_squared_singular_values():
    inputs = draw(5, 12)
    expected = torch.linalg.svdvals(inputs).square() / 12
    torch.testing.assert_close(gram_eigenvalues(inputs), expected)
    assert gram_eigenvalues(draw(7, 3)).min() >= 0


@pytest.mark.parametrize(("count", "size"), [(64, 784), (128, 512)])
def test_isotropic_inputs_have_the_condition_number_of_the_law(count, size):
    values = gram_eigenvalues(draw(count, size))
    expected = isotropic_condition_number(count, size)
    assert (values[0] / values[-1]).item() == pytest.approx(expected, rel=0.1)


def test_condition_number_of_the_law_falls_to_one_with_the_dimension():
    numbers = [isotropic_condition_number(8, size) for size in (9, 64, 784, 10**9)]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == pytest.approx(1, abs=1e-3)


def test_whitened_reference_has_identity_covariance():
    reference = draw(400, 6) @ draw(6, 9) + 3
    white = whiten(reference, reference)
    assert white.shape == (400, 6)
    covariance = white.T @ white / 400
    torch.testing.assert_close(covariance, torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(white.mean(0), torch.zeros(6, dtype=torch.float64))


def test_whitening_is_the_same_affine_map_for_every_batch():
    reference = draw(100, 4)
    together = whiten(draw(8, 4), reference)
    torch.testing.assert_close(whiten(draw(8, 4)[:3], reference), together[:3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gram_eigenvalues(torch.ones(0, 3)), "not empty"),
        (lambda: gram_eigenvalues(torch.ones(3)), r"inputs \(n, d\)"),
        (lambda: isotropic_condition_number(5, 5), "singular"),
        (lambda: isotropic_condition_number(0, 5), "1 <= number"),
        (lambda: whiten(torch.ones(2, 3), torch.ones(2, 4)), "flatten both"),
        (lambda: whiten(torch.ones(2, 3), torch.ones(4, 3)), "that varies"),
    ],
)
def test_bad_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
