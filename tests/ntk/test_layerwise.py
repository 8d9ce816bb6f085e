"""The sum over layers is the kernel, for every kind of layer and every shape."""

import os
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from isometry.maxmin import GroupSort, MaxMin
from isometry.ntk import empirical_ntk, kernel, layerwise, ntk_matrix
from isometry.ntk.reference import _mlp_ntk

DOUBLE = torch.float64
fast = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31)


def assert_same_kernel(model, inputs, other=None):
    """Layerwise equals the Jacobian product to 1e-10 of the kernel's size."""
    exact = empirical_ntk(model, inputs, other, method="jacobian")
    kernel = empirical_ntk(model, inputs, other, method="layerwise")
    tolerance = 1e-10 * exact.abs().max().item()
    torch.testing.assert_close(kernel, exact, rtol=0, atol=tolerance)


def normal(*shape, seed=0):
    return torch.randn(
        *shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)
    )


def mlp(sizes, bias, activation, seed):
    torch.manual_seed(seed)
    layers = []
    for fan_in, out in pairwise(sizes):
        layers += [nn.Linear(fan_in, out, bias=bias, dtype=DOUBLE), activation]
    return nn.Sequential(*layers[:-1])


class Residual(nn.Module):
    def __init__(self, width, bias, norm):
        super().__init__()
        self.first = nn.Linear(5, width, bias=bias)
        self.norm = norm(width)
        self.inner = nn.Linear(width, width, bias=bias)
        self.head = nn.Linear(width, 3, bias=bias)

    def forward(self, inputs):
        hidden = torch.relu_(self.first(inputs))
        hidden = hidden + torch.tanh(self.inner(self.norm(hidden)))
        return self.head(hidden)


@fast
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    bias=st.booleans(),
    activation=st.sampled_from([nn.ReLU(inplace=True), nn.Tanh(), nn.GELU()]),
    count=st.integers(1, 6),
    seed=seeds,
)
def test_ntk_of_mlp_is_sum_of_layer_terms(sizes, bias, activation, count, seed):
    model = mlp(sizes, bias, activation, seed)
    assert_same_kernel(model, normal(count, sizes[0], seed=seed))


@fast
@given(groups=st.sampled_from([2, 4]), bias=st.booleans(), seed=seeds)
def test_ntk_of_sorting_network_is_sum_of_layer_terms(groups, bias, seed):
    model = mlp([4, 8, 8, 2], bias, GroupSort(groups), seed)
    assert_same_kernel(model, normal(4, 4, seed=seed), normal(3, 4, seed=seed + 1))


@fast
@given(
    width=st.integers(2, 8),
    bias=st.booleans(),
    norm=st.sampled_from([nn.LayerNorm, nn.RMSNorm]),
    seed=seeds,
)
def test_ntk_of_residual_network_is_sum_of_layer_terms(width, bias, norm, seed):
    torch.manual_seed(seed)
    model = Residual(width, bias, norm).to(DOUBLE)
    with torch.no_grad():
        for parameter in model.norm.parameters():
            parameter.add_(torch.randn_like(parameter))
    assert_same_kernel(model, normal(4, 5, seed=seed))


@fast
@given(
    groups=st.sampled_from([1, 2]),
    kernel=st.sampled_from([1, 2, 3, (3, 1)]),
    stride=st.integers(1, 2),
    padding=st.sampled_from([0, 1]),
    mode=st.sampled_from(["zeros", "circular"]),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    seed=seeds,
)
def test_ntk_of_convolutional_network_is_sum_of_layer_terms(
    groups, kernel, stride, padding, mode, dilation, bias, seed
):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(
            2,
            4,
            kernel,
            stride,
            padding,
            dilation,
            groups=groups,
            bias=bias,
            padding_mode=mode,
        ),
        nn.GroupNorm(2, 4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 3, 3, padding="same", bias=bias),
        nn.BatchNorm2d(3),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Flatten(),
        nn.LazyLinear(2, bias=bias),
    ).to(DOUBLE)
    inputs = normal(3, 2, 6, 5, seed=seed)
    model(inputs)  # shapes the lazy head, moves the batch statistics
    assert_same_kernel(model.eval(), inputs)


class EvenPad(nn.Conv1d):
    """Pads by itself, on one side."""

    def forward(self, inputs):
        padded = functional.pad(inputs, (self.kernel_size[0] - 1, 0))
        return functional.conv1d(padded, self.weight, self.bias, groups=self.groups)


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect"])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_over_sequences_are_layers_on_patches(mode, groups, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(
            2, 4, 3, stride=2, padding=1, dilation=2, groups=groups, padding_mode=mode
        ),
        nn.GroupNorm(2, 4),
        nn.Tanh(),
        EvenPad(4, 6, 2, groups=groups, bias=False),
        nn.Flatten(),
        nn.LazyLinear(2),
    ).to(DOUBLE)
    inputs = normal(5, 2, 11)
    model(inputs)  # shapes the lazy head
    # Nothing but the structure: the comparison with a gradient is switched off.
    monkeypatch.setattr(kernel, "contradiction", lambda *arguments: 0.0)
    assert_same_kernel(model, inputs)


@pytest.mark.parametrize("tile", [2**22, 2**8])
def test_both_forms_of_a_layer_on_a_sequence_agree(tile, monkeypatch):
    monkeypatch.setattr(layerwise, "TILE_ENTRIES", tile)
    torch.manual_seed(0)
    # Few positions and wide features sum over pairs; many and narrow take gradients.
    for positions, width in ((2, 24), (9, 2)):
        model = nn.Sequential(
            nn.Linear(width, width),
            nn.LayerNorm((positions, width)),
            nn.Tanh(),
            nn.Linear(width, width, bias=False),
            nn.Flatten(),
            nn.Linear(positions * width, 2),
        ).to(DOUBLE)
        assert_same_kernel(model, normal(5, positions, width))


@pytest.mark.parametrize("trained", ["weight", "bias", "both"])
@pytest.mark.parametrize("chunk", [None, 2, 3])
def test_gradients_in_parts_of_units_give_the_kernel(trained, chunk, monkeypatch):
    monkeypatch.setattr(layerwise, "TILE_ENTRIES", 2**6)  # some units at a time
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(3, 7), nn.Tanh(), nn.Linear(7, 5), nn.Flatten(), nn.Linear(60, 2)
    ).to(DOUBLE)
    for layer in (model[0], model[2]):
        layer.weight.requires_grad_(trained != "bias")
        layer.bias.requires_grad_(trained != "weight")
    inputs = normal(5, 12, 3)  # chunks of unequal sizes
    for other in (None, normal(3, 12, 3, seed=1)):
        summed = empirical_ntk(
            model, inputs, other, method="layerwise", chunk_size=chunk
        )
        formed = empirical_ntk(model, inputs, other, method="jacobian")
        torch.testing.assert_close(summed, formed)


@fast
@given(bias=st.booleans(), seed=seeds)
def test_fast_form_equals_the_papers_letters(bias, seed):
    model = mlp([4, 7, 3, 2], bias, nn.Tanh(), seed)
    inputs, other = normal(3, 4, seed=seed), normal(2, 4, seed=seed + 1)
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    reference = _mlp_ntk(
        [layer.weight.detach() for layer in linear],
        [layer.bias.detach() for layer in linear] if bias else None,
        torch.tanh,
        lambda z: 1 - torch.tanh(z) ** 2,
        inputs,
        other,
    )
    kernel = empirical_ntk(model, inputs, other, method="layerwise")
    torch.testing.assert_close(kernel, reference)


def test_kernel_is_symmetric_and_positive_semidefinite():
    matrix = ntk_matrix(empirical_ntk(mlp([6, 8, 3], True, MaxMin(), 0), normal(9, 6)))
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix)[0] > -1e-12 * matrix.abs().max()


@pytest.mark.parametrize("method", ["layerwise", "jacobian"])
@pytest.mark.parametrize("shared", [True, False])
def test_kernel_does_not_depend_on_the_chunk(method, shared):
    model = mlp([6, 8, 8, 3], True, nn.ReLU(), 0)
    inputs, other = normal(7, 6), None if shared else normal(4, 6, seed=1)
    whole = empirical_ntk(model, inputs, other, method=method)
    for chunk_size in (1, 3, 5):
        parts = empirical_ntk(
            model, inputs, other, method=method, chunk_size=chunk_size
        )
        torch.testing.assert_close(parts, whole)


def test_tiles_of_a_large_symmetric_kernel_agree_with_other():
    model = mlp([6, 16, 10], True, nn.ReLU(), 0)
    inputs = normal(40, 6)  # 400 rows: worked out in tiles, mirrored
    torch.testing.assert_close(
        empirical_ntk(model, inputs), empirical_ntk(model, inputs, inputs.clone())
    )


def test_frozen_parameters_do_not_count():
    model = mlp([5, 6, 4, 3], True, nn.Tanh(), 0)
    model[0].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    model[4].requires_grad_(False)
    assert_same_kernel(model, normal(4, 5))


def test_float32_agrees_with_float64_to_its_precision():
    model, inputs = mlp([8, 16, 3], True, nn.ReLU(), 0), normal(6, 8)
    exact = empirical_ntk(model, inputs)
    single = empirical_ntk(model.float(), inputs.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernel_on_cuda_equals_the_kernel_on_cpu(dtype):
    model, inputs = mlp([6, 8, 8, 3], True, nn.ReLU(), 0).to(dtype), normal(7, 6)
    expected = empirical_ntk(model, inputs.to(dtype))
    found = empirical_ntk(model.cuda(), inputs.to(dtype).cuda())
    torch.testing.assert_close(found.cpu(), expected)


def test_the_order_of_strings_in_a_set_does_not_reach_the_bits_of_a_kernel():
    """Python orders sets of names anew in each process; sums must not follow it."""
    script = (
        "import torch; from isometry.ntk import empirical_ntk; from torch import nn;"
        "torch.manual_seed(0); sizes = [7, 9, 9, 9, 9, 9, 9, 3];"
        "layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])];"
        "model = nn.Sequential(*layers).double();"
        "inputs = torch.randn(5, 7, dtype=torch.float64);"
        "print([x.hex() for x in empirical_ntk(model, inputs).flatten().tolist()])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(found) == 1


class Conv1D(nn.Module):
    """As transformers': a linear layer whose weight is (in, out)."""

    def __init__(self, out, fan_in):
        super().__init__()
        self.weight, self.bias = nn.Parameter(normal(fan_in, out)), normal(out)
        self.bias = nn.Parameter(self.bias)

    def forward(self, x):
        flat = torch.addmm(self.bias, x.flatten(0, -2), self.weight)
        return flat.view(*x.shape[:-1], -1)


@pytest.mark.parametrize("places", [2, 40])
def test_transformers_conv1d_is_a_linear_layer(monkeypatch, places):
    library = SimpleNamespace(Conv1D=Conv1D)
    monkeypatch.setitem(sys.modules, "transformers.pytorch_utils", library)
    model = nn.Sequential(Conv1D(6, 3), nn.GELU(), Conv1D(2, 6), nn.Flatten())
    model.append(nn.Linear(2 * places, 3, dtype=DOUBLE))
    assert_same_kernel(model, normal(4, places, 3), normal(2, places, 3, seed=1))
    model[2].bias.requires_grad_(False)
    assert_same_kernel(model, normal(4, places, 3))


@pytest.mark.parametrize("method", ["layerwise", "jacobian"])
def test_a_wide_layer_on_long_sequences_is_right_in_single_precision(method):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(700, 1500), nn.Tanh(), nn.Linear(1500, 2))
    tokens = torch.randn(2, 64, 700)

    def last(said):
        return said[:, -1] + said.mean(1)

    found = empirical_ntk(model, tokens, outputs=last, method=method)
    exact = empirical_ntk(model.double(), tokens.double(), outputs=last)
    assert (found - exact).abs().max() < 1e-5 * exact.max()
