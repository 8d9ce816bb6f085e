import pytest
import torch
from torch.nn import functional

from isometry.core.matrices import singular_values, smaller_gram
from isometry.core.seeding import generator
from isometry.maxmin import convolution_singular_values, orthogonal_kernel


def operator(kernel: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Apply the convolution to every basis feature map."""
    fan_in = kernel.shape[1]
    basis = torch.eye(fan_in * height * width, dtype=kernel.dtype)
    maps = basis.view(-1, fan_in, height, width)
    top, left = kernel.shape[2] - 1, kernel.shape[3] - 1
    padded = functional.pad(maps, (left, 0, top, 0), mode="circular")
    return functional.conv2d(padded, kernel).flatten(1).T


@pytest.mark.parametrize("shape", [(2, 2, 3, 3), (4, 1, 2, 3), (1, 3, 3, 1)])
def test_singular_values_by_fourier_equal_those_of_the_operator(shape):
    kernel = torch.randn(shape, generator=generator(0, *shape), dtype=torch.float64)
    found = convolution_singular_values(kernel, 4, 5)
    expected = singular_values(operator(kernel, 4, 5))[: len(found)]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("out", "fan_in", "size"), [(2, 2, 3), (8, 2, 3), (1, 4, 2)])
def test_flattened_orthogonal_kernel_bounds_the_convolution(out, fan_in, size):
    kernel = orthogonal_kernel(out, fan_in, size, generator=generator(1))
    gram = smaller_gram(kernel.flatten(1))
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64))
    values = convolution_singular_values(kernel, 8, 8)
    assert values.max() <= size * (1 + 1e-12)
    assert values.min() < 0.9 * size


@pytest.mark.parametrize(("fan_in", "size"), [(1, 3), (2, 2), (3, 1)])
def test_enough_output_channels_make_a_multiple_of_an_isometry(fan_in, size):
    out = fan_in * size**2
    kernel = orthogonal_kernel(out, fan_in, size, generator=generator(2))
    values = convolution_singular_values(kernel, 6, 5)
    torch.testing.assert_close(values, torch.full_like(values, size))


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 5, 3), (2, 2, 3, 5)])
def test_bad_kernels_are_refused(shape):
    with pytest.raises(ValueError, match="a kernel"):
        convolution_singular_values(torch.ones(shape), 4, 4)
