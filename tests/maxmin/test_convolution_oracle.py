"""Convolutions against an independent library of orthogonal layers.

Runs where that is installed: ``pip install --no-deps orthogonium==0.0.4``.
"""

import warnings

import pytest
import torch

from isometry.core.seeding import generator
from isometry.maxmin import convolution_singular_values, orthogonal_kernel

pytest.importorskip("orthogonium", reason="pip install --no-deps orthogonium==0.0.4")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its docstrings' escapes, when first compiled
    from orthogonium.layers.conv.AOC import AdaptiveOrthoConv2d
    from orthogonium.layers.conv.singular_values import get_conv_sv

SHAPES = [(4, 4, 3), (8, 2, 3), (2, 6, 3), (3, 3, 5)]


def layer_of(kernel):
    """Return a plain convolution with circular padding."""
    out, fan_in, size, _ = kernel.shape
    layer = torch.nn.Conv2d(
        fan_in, out, size, padding="same", padding_mode="circular", bias=False
    )
    layer.weight = torch.nn.Parameter(kernel)
    return layer


@pytest.mark.parametrize(("out", "fan_in", "size"), SHAPES)
@pytest.mark.parametrize("flattened", ["orthogonal", "random"])
def test_the_largest_singular_value_is_the_one_of_gram_iteration(
    out, fan_in, size, flattened
):
    draws = generator(0, "kernel", out, fan_in)
    kernel = orthogonal_kernel(out, fan_in, size, generator=draws)
    if flattened == "random":
        kernel = torch.randn(kernel.shape, generator=draws, dtype=torch.float64)
    expected = get_conv_sv(
        layer_of(kernel), n_iter=14, return_stab_rank=False, imsize=9
    )
    largest = convolution_singular_values(kernel, 9, 9)[0]
    # 2^-14 of the logarithm of the rank is left of the iteration's bound
    torch.testing.assert_close(largest, expected, rtol=2e-4, atol=0)
    assert largest <= expected * (1 + 1e-12)


@pytest.mark.parametrize(("out", "fan_in", "size"), SHAPES)
def test_an_orthogonal_convolution_has_unit_singular_values(out, fan_in, size):
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    layer = AdaptiveOrthoConv2d(fan_in, out, size, bias=False)
    torch.random.set_rng_state(torch_state)
    with torch.no_grad():
        values = convolution_singular_values(layer.weight.double(), 9, 9)
    # the layer is orthogonal to the tolerance of its own tests
    torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-3)
