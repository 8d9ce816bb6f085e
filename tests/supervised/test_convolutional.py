"""Stacked convolutional networks are ordinary ones, member by member."""

from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.matrices import as_matrix, singular_values
from isometry.core.seeding import generator
from isometry.core.stacking import member
from isometry.lab.run import plan
from isometry.methods import ACTIVATIONS, METHODS, Architecture
from isometry.methods.activations import ACTIVATION_MODULES, as_samples
from isometry.supervised import SupervisedSettings
from isometry.supervised.diagnostics import stack_diagnostics
from isometry.supervised.networks.convolutional import (
    CNN,
    _stacked_convolution,
)
from isometry.supervised.networks.kinds import network_of
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.streams import Pixels


def cnn(activation="relu", image_shape=(3, 8, 6), **changes):
    settings = {
        "network": "cnn",
        "width": 16,
        "depth": 3,
        "activation": activation,
        "negative_slope": 0.2,
        "init": "orthogonal",
        "init_gain": 1.0,
    }
    architecture = Architecture(**{**settings, **changes})
    return CNN(architecture=architecture, image_shape=image_shape, num_classes=5)


def drawn(network, seeds=(3, 4)):
    """Return a stack whose vectors are drawn too: zero ones would hide a mistake."""
    parameters = network.stacked(list(seeds))
    for name, tensor in parameters.items():
        if name.endswith(("bias", "gain", "offset")):
            tensor.normal_(generator=generator(0, "vector", name))
    return {name: tensor.double() for name, tensor in parameters.items()}


def images(network, members=2, count=7):
    shape = (members, count, prod(network.image_shape))
    return torch.randn(shape, generator=generator(1, "x"), dtype=torch.float64)


def by_hand(network, own, inputs):
    """Return activations and logits of one member, from torch's functions."""
    hidden, found = inputs.unflatten(1, network.image_shape), []
    make = ACTIVATION_MODULES[network.architecture.activation]
    for i in range(3):
        weight, bias = own[f"hidden.{i}.weight"], own.get(f"hidden.{i}.bias")
        if i < 2:
            hidden = functional.conv2d(hidden, weight, bias, [2, 2], padding=1)
        else:
            hidden = functional.linear(hidden.flatten(1), weight, bias)
        if f"hidden.{i}.gain" in own:
            gain, offset = own[f"hidden.{i}.gain"], own[f"hidden.{i}.offset"]
            hidden = functional.group_norm(hidden, 1, gain, offset)
        elif network.architecture.normalisation == "bare_layer":
            norm = nn.LayerNorm(hidden.shape[1:], elementwise_affine=False)
            hidden = norm(hidden)
        hidden = make(network.architecture.negative_slope, 1)(hidden)
        found.append(hidden)
    return found, functional.linear(hidden, own["head.weight"], own["head.bias"])


every_form = pytest.mark.parametrize(
    ("activation", "changes"),
    [
        *((name, {}) for name in ACTIVATIONS),
        ("relu", {"normalisation": "layer"}),
        ("relu", {"normalisation": "layer", "hidden_bias": False}),
        ("crelu", {"normalisation": "layer", "units": "parameters"}),
        ("gelu", {"normalisation": "bare_layer", "hidden_bias": False}),
    ],
)


@every_form
def test_each_member_is_the_sequence_of_its_layers(activation, changes):
    # Sides 16 and 12, so that two convolutions have stride 2.
    network = cnn(activation, (3, 16, 12), **changes)
    parameters, inputs = drawn(network), images(network)
    logits = network.forward(parameters, inputs)
    assert logits.shape == (2, 7, 5)
    again, seen = network.watched(parameters, inputs)
    assert torch.equal(again, logits)
    for one, other in zip(
        network.hidden_activations(parameters, inputs), seen, strict=True
    ):
        assert torch.equal(one, as_samples(other))
    for i in range(2):
        found, expected = by_hand(network, member(parameters, i), inputs[i])
        assert_close(logits[i], expected)
        for hidden, samples in zip(found, seen, strict=True):
            units = hidden.movedim(1, -1).flatten(0, -2)
            assert_close(as_samples(samples)[i], units)


@every_form
def test_a_member_as_a_module_of_its_own_computes_the_same(activation, changes):
    network = cnn(activation, **changes)
    parameters = {name: tensor.float() for name, tensor in drawn(network).items()}
    inputs = images(network).float()
    before = torch.get_rng_state()
    module = as_module(network, parameters, 1)
    assert torch.equal(before, torch.get_rng_state())
    assert_close(module(inputs[1]), network.forward(parameters, inputs)[1])
    numbers = sum(p.numel() for p in module.parameters())
    assert numbers == sum(tensor[1].numel() for tensor in parameters.values())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert all((tensor[1] != 0).any() for tensor in parameters.values()), "copies"


@pytest.mark.parametrize("stride", [1, 2])
def test_a_grouped_convolution_is_that_of_each_member(monkeypatch, stride):
    draw = generator(0, "groups")
    inputs = torch.randn(3, 4, 2, 7, 5, generator=draw, dtype=torch.float64)
    weight = torch.randn(3, 6, 2, 3, 3, generator=draw, dtype=torch.float64)
    bias = torch.randn(3, 6, generator=draw, dtype=torch.float64)
    apart = _stacked_convolution(inputs, weight, bias, stride)
    monkeypatch.setattr(torch.Tensor, "device", torch.device("cuda"))
    assert_close(_stacked_convolution(inputs, weight, bias, stride), apart)
    without = _stacked_convolution(inputs, weight, None, stride)
    assert_close(without + bias[:, None, :, None, None], apart)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_stack_on_a_gpu_is_the_stack_on_a_cpu():
    network = cnn(normalisation="layer")
    parameters, inputs = drawn(network), images(network)
    there = {name: tensor.cuda() for name, tensor in parameters.items()}
    assert_close(
        network.forward(there, inputs.cuda()).cpu(), network.forward(parameters, inputs)
    )


@pytest.mark.parametrize(
    ("image_shape", "sides"),
    [
        ((1, 8, 8), [(4, 4), (4, 4), (4, 4)]),
        ((1, 28, 28), [(14, 14), (7, 7), (4, 4)]),
        ((3, 32, 32), [(16, 16), (8, 8), (4, 4)]),
        ((2, 9, 1), [(5, 1), (3, 1), (3, 1)]),
    ],
)
def test_maps_are_halved_until_they_are_small(image_shape, sides):
    network = cnn(image_shape=image_shape, depth=4, width=100)
    assert [found[1:] for found in network.maps] == sides
    shapes = network.shapes()
    assert shapes["hidden.0.weight"] == (24, image_shape[0], 3, 3)
    assert shapes["hidden.2.weight"] == (24, 24, 3, 3)
    assert shapes["hidden.3.weight"] == (100, 24 * sides[-1][0] * sides[-1][1])
    assert shapes["head.weight"] == (5, 100)
    logits = network.forward(network.stacked([0]), images(network, 1, 2).float())
    assert logits.shape == (1, 2, 5)


def test_its_layers_say_what_reads_them_and_at_how_many_places_they_act():
    network = cnn()
    structure = network.structure()
    assert [layer.places for layer in structure.layers] == [12, 12, 1]
    assert [layer.outgoing for layer in structure.layers] == [
        ("hidden.1.weight",),
        ("hidden.2.weight",),
        ("head.weight",),
    ]
    seen = network.hidden_activations(network.stacked([0]), images(network, 1).float())
    for layer, hidden in zip(structure.layers, seen, strict=True):
        assert hidden.shape[1] == 7 * layer.places


@pytest.mark.usefixtures("double")
def test_a_channel_without_outgoing_entries_says_nothing():
    """Of the dense layer, a channel has as many neighbouring entries as places."""
    network = cnn()
    parameters, inputs = drawn(network, [0]), images(network, 1)
    for index, name in ((0, "hidden.1.weight"), (1, "hidden.2.weight")):
        changed = {key: tensor.clone() for key, tensor in parameters.items()}
        weight = changed[name].view(*changed[name].shape[:2], 4, -1)
        weight[:, :, 2] = 0
        silent = network.forward(changed, inputs)
        changed[f"hidden.{index}.bias"][:, 2] += 1e3
        assert_close(network.forward(changed, inputs), silent)
        changed[f"hidden.{index}.bias"][:, 1] += 1e3
        assert not torch.allclose(network.forward(changed, inputs), silent)


@pytest.mark.parametrize("gain", [1.0, 2.0**0.5])
def test_kernels_start_orthogonal_as_matrices_with_a_row_a_channel(gain):
    network = cnn(init_gain=gain)
    spread = network.structure().spread
    for name, tensor in network.initial(0).items():
        if name.endswith("bias"):
            assert (tensor == 0).all()
            continue
        values = singular_values(as_matrix(tensor))
        expected = gain if name.startswith("hidden") else 1.0
        assert_close(values, torch.full_like(values, expected))
        root = tensor.square().mean().sqrt().item()
        assert root == pytest.approx(spread[name])


def test_default_kernels_and_biases_have_the_bounds_of_torch():
    network = cnn(init="default", width=256)
    parameters, spread = network.initial(0), network.structure().spread
    reference = nn.Conv2d(64, 64, 3)  # its bounds, not its numbers
    for kind, theirs in (("weight", reference.weight), ("bias", reference.bias)):
        own = parameters[f"hidden.1.{kind}"]
        assert own.shape == theirs.shape
        assert own.abs().max() <= (64 * 9) ** -0.5
        assert own.abs().max().item() == pytest.approx(
            theirs.abs().max().item(), rel=0.1
        )
    for name, deviation in spread.items():
        assert parameters[name].std().item() == pytest.approx(deviation, rel=0.05)


def test_kaiming_kernels_have_the_spread_that_torch_draws():
    network = cnn(init="kaiming", width=256)
    parameters, spread = network.initial(0), network.structure().spread
    theirs = nn.init.kaiming_normal_(
        torch.empty(64, 64, 3, 3), nonlinearity="relu", generator=generator(0, "x")
    )
    own = parameters["hidden.1.weight"]
    assert own.shape == theirs.shape
    assert own.std().item() == pytest.approx(theirs.std().item(), rel=0.02)
    assert spread["hidden.1.weight"] == pytest.approx((2 / (64 * 9)) ** 0.5)
    for name, deviation in spread.items():
        assert parameters[name].std().item() == pytest.approx(deviation, rel=0.05)
        assert (parameters[name.replace("weight", "bias")] == 0).all()


def test_crelu_at_held_parameters_has_at_most_those_of_relu():
    plain = sum(map(prod, cnn(width=64).shapes().values()))
    held = cnn("crelu", width=64, units="parameters")
    assert 0.5 * plain < sum(map(prod, held.shapes().values())) <= plain
    assert held.shapes()["hidden.1.weight"][1] == 2 * held.shapes()["hidden.0.bias"][0]


def test_places_of_a_map_become_samples_of_a_channel():
    maps = torch.arange(2 * 3 * 4 * 5 * 6).view(2, 3, 4, 5, 6)
    samples = as_samples(maps)
    assert samples.shape == (2, 90, 4)
    assert torch.equal(samples[1, 30:60, 3], maps[1, 1, 3].flatten())


# --- diagnostics ----------------------------------------------------------------------


def test_diagnostics_of_a_stack_are_finite_and_see_dead_channels():
    network = cnn()
    parameters = {name: tensor.float() for name, tensor in drawn(network).items()}
    parameters["hidden.0.bias"][1] = -100.0
    found = stack_diagnostics(network, parameters, images(network).float())
    assert set(found) == {
        "dead_fraction",
        "dormant_fraction",
        "feature_effective_rank",
        "gram_deviation",
        "weight_condition_number",
        "ntk_robust_condition_number",
        "ntk_effective_rank",
        "ntk_trace",
        "jacobian_condition_number",
    }
    assert all(bool(values[0].isfinite()) for values in found.values())
    assert found["dead_fraction"][1] >= found["dead_fraction"][0] + 1 / 3 - 1e-6
    assert (found["gram_deviation"] < 1e-4).all()


# --- what is refused ------------------------------------------------------------------


def flat_pixels():
    inputs, labels = torch.zeros(4, 6), torch.zeros(4, dtype=torch.long)
    return Pixels(
        train_inputs=inputs,
        train_labels=labels,
        test_inputs=inputs,
        test_labels=labels,
        num_classes=2,
    )


def network_on(pixels, **changes):
    method = METHODS.get("adam")
    settings = SupervisedSettings(network="cnn", **changes)
    return network_of(method, method.settings, settings, pixels)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: cnn("maxmin", width=15),
            ValueError,
            "needed an even width for maxmin, found 15; change width or activation",
        ),
        (
            lambda: network_on(flat_pixels()),
            ValueError,
            "needed images for network=cnn, found flat vectors; pass Pixels with an",
        ),
        (
            lambda: plan("permuted_mnist", "adam", {"network": "cnn", "depth": 1}),
            ValueError,
            "needed depth >= 2 for a cnn: convolutions and a dense layer, found 1",
        ),
        (
            lambda: as_module(nn.Linear(2, 2), {}, 0),
            TypeError,
            "needed a stacked network, found Linear; pass what network_of returns",
        ),
    ],
)
def test_networks_that_cannot_be_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
