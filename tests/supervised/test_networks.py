"""Stacked networks are ordinary networks, member by member."""

from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.core.stacking import member
from isometry.maxmin import MaxMin
from isometry.methods import ACTIVATIONS, Architecture
from isometry.methods.activations import (
    AID,
    CReLU,
    Fourier,
    Sine,
    SmoothLeaky,
    activate,
)
from isometry.supervised.networks.mlp import MLP, as_module
from isometry.supervised.settings import SupervisedSettings

MODULES = {
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.2),
    "tanh": nn.Tanh(),
    "gelu": nn.GELU(),
    "maxmin": MaxMin(),
    "crelu": CReLU(),
    "identity": nn.Identity(),
    "sine": Sine(),
    "smooth_leaky": SmoothLeaky(0.2),
    "fourier": Fourier(),
    "aid": AID(0.2).eval(),
}


def mlp(activation="relu", **changes):
    settings = {
        "network": "mlp",
        "width": 6,
        "depth": 3,
        "activation": activation,
        "negative_slope": 0.2,
        "init": "orthogonal",
        "init_gain": 1.0,
    }
    architecture = Architecture(**{**settings, **changes})
    return MLP(architecture=architecture, in_features=5, num_classes=4)


def sequential(network, parameters):
    """Build one member from torch's own layers, by hand."""
    layers = []
    for i in range(network.architecture.depth):
        weight = parameters[f"hidden.{i}.weight"]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = weight, parameters[f"hidden.{i}.bias"]
        layers += [linear, MODULES[network.architecture.activation]]
    head = nn.Linear(network.architecture.width, network.num_classes)
    head.weight.data, head.bias.data = (
        parameters["head.weight"],
        parameters["head.bias"],
    )
    return nn.Sequential(*layers, head)


def with_biases(network, seeds):
    """Return a stack whose biases are drawn too: zero ones would hide a mistake."""
    parameters = network.stacked(seeds)
    for name, tensor in parameters.items():
        if name.endswith("bias"):
            tensor.normal_(generator=generator(0, "bias", name))
    return {name: tensor.double() for name, tensor in parameters.items()}


def batch(members):
    return torch.randn(members, 7, 5, generator=generator(1, "x"), dtype=torch.float64)


def test_every_known_activation_is_held_against_torchs_module():
    assert set(MODULES) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_member_is_the_sequence_of_its_layers(activation):
    network = mlp(activation)
    parameters, inputs = with_biases(network, [3, 4]), batch(2)
    logits = network.forward(parameters, inputs)
    assert logits.shape == (2, 7, 4)
    for i in range(2):
        own = sequential(network, member(parameters, i)).double()
        assert_close(logits[i], own(inputs[i]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_member_as_a_module_of_its_own_computes_the_same(activation):
    network = mlp(activation)
    parameters = {n: p.float() for n, p in with_biases(network, [3, 4]).items()}
    inputs = batch(2).float()
    before = torch.get_rng_state()
    module = as_module(network, parameters, 1)
    assert torch.equal(before, torch.get_rng_state())
    # float32, one product against a batched one
    assert_close(module(inputs[1]), network.forward(parameters, inputs)[1])
    with torch.no_grad():
        next(module.parameters()).zero_()
    assert (parameters["hidden.0.weight"][1] != 0).any(), "parameters are copies"


def test_layers_taper_by_a_share_each():
    network = mlp(width=300, depth=4, taper=0.5)
    shapes = network.shapes()
    widths = [shapes[f"hidden.{i}.bias"][0] for i in range(4)]
    assert widths == [300, 150, 75, 38]  # 37.5 is rounded to the even number
    assert [shapes[f"hidden.{i}.weight"][1] for i in range(4)] == [5, 300, 150, 75]
    assert shapes["head.weight"] == (4, 38)
    parameters = network.stacked([3, 4])
    module = as_module(network, parameters, 1)
    inputs = batch(2).float()
    assert_close(module(inputs[1]), network.forward(parameters, inputs)[1])
    assert mlp(width=3, depth=5, taper=0.1).shapes()["head.weight"] == (4, 1)


@pytest.mark.parametrize("activation", ["crelu", "fourier"])
def test_doubled_units_taper_too(activation):
    shapes = mlp(activation, width=20, depth=2, taper=0.5, units="half").shapes()
    assert shapes["hidden.1.weight"] == (5, 20)
    assert shapes["head.weight"] == (4, 10)


def test_pairs_need_every_width_even():
    mlp("maxmin", width=8, depth=2, taper=0.5)
    with pytest.raises(ValueError, match="needed an even width for maxmin, found 3"):
        mlp("maxmin", width=6, depth=2, taper=0.5)


def test_without_hidden_layers_it_is_torchs_linear_layer():
    network = mlp(depth=0)
    parameters, inputs = with_biases(network, [3, 4]), batch(2)
    assert list(network.shapes()) == ["head.weight", "head.bias"]
    logits, activations = network.watched(parameters, inputs)
    assert activations == []
    for i in range(2):
        own = member(parameters, i)
        expected = nn.functional.linear(inputs[i], own["head.weight"], own["head.bias"])
        assert_close(logits[i], expected)
        (layer,) = as_module(network, parameters, i)
        assert_close(layer.weight.detach(), own["head.weight"].float())
    structure = network.structure()
    assert structure.layers == ()
    assert [head.weight for head in structure.heads] == ["head.weight"]


def test_hidden_activations_are_those_of_every_hidden_layer():
    network = mlp("tanh")
    parameters, inputs = with_biases(network, [0]), batch(1)
    found = network.hidden_activations(parameters, inputs)
    own = sequential(network, member(parameters, 0)).double()
    assert [a.shape for a in found] == [(1, 7, 6)] * 3
    for layer, activations in enumerate(found):
        assert_close(activations[0], own[: 2 * layer + 2](inputs[0]))


# --- normalisation, biases, sizes -----------------------------------------------------


def normalised(**changes):
    """Return a network with LayerNorm and its stack, gains and offsets drawn."""
    network = mlp(normalisation="layer", **changes)
    parameters = with_biases(network, [3, 4])
    for name, tensor in parameters.items():
        if name.endswith(("gain", "offset")):
            tensor.normal_(generator=generator(0, name))
    return network, parameters


@pytest.mark.parametrize("hidden_bias", [True, False])
def test_layernorm_stands_before_every_nonlinearity_and_not_before_the_head(
    hidden_bias,
):
    network, parameters = normalised(hidden_bias=hidden_bias)
    inputs = batch(2)
    found = network.hidden_activations(parameters, inputs)
    logits = network.forward(parameters, inputs)
    for i in range(2):
        own, hidden = member(parameters, i), inputs[i]
        for layer in range(3):
            hidden = hidden @ own[f"hidden.{layer}.weight"].T
            hidden = hidden + own.get(f"hidden.{layer}.bias", 0)
            mean = hidden.mean(1, keepdim=True)
            variance = ((hidden - mean) ** 2).mean(1, keepdim=True)
            hidden = (hidden - mean) / (variance + 1e-5).sqrt()
            hidden = hidden * own[f"hidden.{layer}.gain"]
            hidden = (hidden + own[f"hidden.{layer}.offset"]).clamp(min=0)
            assert_close(found[layer][i], hidden)
        assert_close(logits[i], hidden @ own["head.weight"].T + own["head.bias"])
    assert ("hidden.0.bias" in parameters) is hidden_bias


@pytest.mark.parametrize("activation", ["relu", "crelu"])
@pytest.mark.parametrize("hidden_bias", [True, False])
def test_a_normalised_member_as_a_module_computes_the_same(activation, hidden_bias):
    network, parameters = normalised(activation=activation, hidden_bias=hidden_bias)
    parameters = {name: tensor.float() for name, tensor in parameters.items()}
    inputs = batch(2).float()
    found = as_module(network, parameters, 1)(inputs[1])
    assert_close(found, network.forward(parameters, inputs)[1])


def test_a_bare_layernorm_is_torchs_own_without_gain_and_offset():
    network = mlp("tanh", normalisation="bare_layer", hidden_bias=False)
    parameters, inputs = with_biases(network, [3, 4]), batch(2)
    assert all(name.endswith(("weight", "head.bias")) for name in parameters)
    logits = network.forward(parameters, inputs)
    for i in range(2):
        own, hidden = member(parameters, i), inputs[i]
        norm = nn.LayerNorm(6, elementwise_affine=False)
        for layer in range(3):
            hidden = norm(hidden @ own[f"hidden.{layer}.weight"].T).tanh()
        assert_close(logits[i], hidden @ own["head.weight"].T + own["head.bias"])
        module = as_module(network, parameters, i)
        assert_close(module.double()(inputs[i]), logits[i])
        numbers = sum(p.numel() for p in module.parameters())
        assert numbers == sum(tensor.numel() for tensor in own.values())


def test_a_normalisation_starts_with_gains_one_and_offsets_zero():
    for init in get_args(get_type_hints(SupervisedSettings)["init"]):
        parameters = mlp(normalisation="layer", init=init).initial(0)
        for layer in range(3):
            assert (parameters[f"hidden.{layer}.gain"] == 1).all()
            assert (parameters[f"hidden.{layer}.offset"] == 0).all()
    plain = mlp().initial(0)
    for name, tensor in plain.items():
        added = mlp(normalisation="layer").initial(0)
        assert torch.equal(added[name], tensor), "the weights start as they did"


def test_crelu_keeps_the_length_of_what_it_is_given():
    inputs = batch(2)
    both = activate(inputs, mlp("crelu").architecture)
    assert both.shape == (2, 7, 10)
    assert (both >= 0).all()
    assert_close(both.norm(dim=-1), inputs.norm(dim=-1))
    assert_close(both[..., :5] - both[..., 5:], inputs)


def number_of_parameters(network):
    return sum(tensor.numel() for tensor in network.initial(0).values())


@pytest.mark.parametrize(("width", "in_features", "units"), [(100, 784, 90), (6, 5, 3)])
def test_crelu_has_at_most_the_parameters_of_the_relu_network(
    width, in_features, units
):
    sizes = {"in_features": in_features, "num_classes": 10}
    plain = MLP(architecture=mlp(width=width, depth=2).architecture, **sizes)
    held = MLP(
        architecture=mlp(
            "crelu", width=width, depth=2, units="parameters"
        ).architecture,
        **sizes,
    )
    assert held.units == units  # 784-100-100-10: 9 to 10 % fewer, as published
    assert number_of_parameters(held) <= number_of_parameters(plain)
    one_more = mlp("crelu", width=units + 1, depth=2).architecture
    more = MLP(architecture=one_more, **sizes)
    assert number_of_parameters(more) > number_of_parameters(plain)


def test_half_the_units_of_crelu_have_as_many_features():
    network = mlp("crelu", width=8, units="half")
    assert network.units == 4
    assert network.shapes()["hidden.1.weight"] == (4, 8)
    assert network.shapes()["head.weight"] == (4, 8)


def test_methods_see_names_roles_and_the_spread_of_a_fresh_draw():
    network = MLP(
        architecture=mlp(normalisation="layer", width=60, init_gain=2.0).architecture,
        in_features=50,
        num_classes=40,
    )
    structure = network.structure()
    assert [layer.weight for layer in structure.layers] == [
        f"hidden.{i}.weight" for i in range(3)
    ]
    assert structure.layers[0].outgoing == ("hidden.1.weight",)
    assert structure.layers[2].outgoing == ("head.weight",)
    assert structure.layers[1].vectors() == [
        f"hidden.1.{kind}" for kind in ("bias", "gain", "offset")
    ]
    assert [head.weight for head in structure.heads] == ["head.weight"]
    assert structure.bias_of("head.weight") == "head.bias"
    assert structure.bias_of("hidden.1.weight") == "hidden.1.bias"
    assert structure.roles["hidden.0.gain"] == "gain"
    assert structure.roles["hidden.0.offset"] == "offset"
    for init in get_args(get_type_hints(SupervisedSettings)["init"]):
        changed = mlp(width=60, init_gain=2.0, init=init).architecture
        other = MLP(architecture=changed, in_features=50, num_classes=40)
        fresh, spread = other.structure().fresh(3, "x"), other.structure().spread
        for name, deviation in spread.items():
            assert fresh[name].std().item() == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_shapes_and_roles_name_every_parameter_once(depth):
    network = mlp(depth=depth)
    shapes, roles = network.shapes(), network.roles()
    parameters = network.stacked([0, 1, 2])
    assert list(shapes) == list(roles) == list(parameters)
    assert len(shapes) == 2 * (depth + 1)
    for name, tensor in parameters.items():
        assert tensor.shape == (3, *shapes[name])
        assert tensor.dtype == torch.float32
        expected = "head" if name == "head.weight" else "hidden"
        assert roles[name] == ("vector" if name.endswith("bias") else expected)


@pytest.mark.parametrize("gain", [1.0, 2.0**0.5, 0.3])
def test_orthogonal_weights_have_all_singular_values_at_the_gain(gain):
    parameters = mlp(init_gain=gain).initial(0)
    for name, tensor in parameters.items():
        if name.endswith("bias"):
            assert (tensor == 0).all()
        else:
            expected = gain if name.startswith("hidden") else 1.0
            values = torch.linalg.svdvals(tensor)
            assert_close(values, torch.full_like(values, expected))


def test_kaiming_weights_have_the_moments_that_torch_draws():
    network = MLP(
        architecture=mlp(init="kaiming", width=300, depth=2).architecture,
        in_features=200,
        num_classes=250,
    )
    parameters = network.initial(0)
    for name, tensor in parameters.items():
        if name.endswith("bias"):
            assert (tensor == 0).all()
            continue
        kind = "relu" if name.startswith("hidden") else "linear"  # gains sqrt 2 and 1
        theirs = nn.init.kaiming_normal_(
            torch.empty(tensor.shape), nonlinearity=kind, generator=generator(0, name)
        )
        n, spread = tensor.numel(), network.structure().spread[name]
        for drawn in (tensor, theirs):
            scaled = drawn.double() / spread
            # A normal law: five standard errors of mean, variance and kurtosis.
            assert abs(scaled.mean().item()) < 5 / n**0.5
            square, fourth = scaled.square().mean().item(), (scaled**4).mean().item()
            assert square == pytest.approx(1, abs=5 * (2 / n) ** 0.5)
            assert fourth == pytest.approx(3, abs=5 * (96 / n) ** 0.5)


def test_kaiming_uniform_weights_have_the_bounds_and_the_law_that_torch_draws():
    network = MLP(
        architecture=mlp(init="kaiming_uniform", width=300, depth=2).architecture,
        in_features=200,
        num_classes=250,
    )
    for name, tensor in network.initial(0).items():
        if name.endswith("bias"):
            assert (tensor == 0).all()
            continue
        hidden = name.startswith("hidden")
        theirs = nn.init.kaiming_uniform_(
            torch.empty(tensor.shape),
            nonlinearity="relu" if hidden else "linear",
            generator=generator(0, name),
        )
        n, bound = tensor.numel(), ((6 if hidden else 3) / tensor.shape[1]) ** 0.5
        for drawn in (tensor, theirs):
            scaled = drawn.double() / bound
            # Of n uniform numbers the largest is 1 - 1/n on average.
            assert 1 - 20 / n < scaled.abs().max().item() <= 1 + 1e-6
            # Five standard errors of mean, variance and kurtosis on [-1, 1].
            assert abs(scaled.mean().item()) < 5 / (3 * n) ** 0.5
            square, fourth = scaled.square().mean().item(), (scaled**4).mean().item()
            assert square == pytest.approx(1 / 3, abs=5 * (4 / 45 / n) ** 0.5)
            assert fourth == pytest.approx(1 / 5, abs=5 * (16 / 225 / n) ** 0.5)


@pytest.mark.parametrize("init", ["kaiming", "kaiming_uniform"])
def test_kaiming_keeps_the_size_of_what_relus_pass_on(init):
    network = MLP(
        architecture=mlp(init=init, width=512, depth=6).architecture,
        in_features=512,
        num_classes=512,
    )
    parameters = network.stacked([0, 1])
    inputs = torch.randn(2, 400, 512, generator=generator(0, "inputs"))
    for hidden in network.hidden_activations(parameters, inputs):
        # E relu(z)^2 = Var(z) / 2; the widths' own fluctuations add up over layers.
        assert hidden.square().mean().item() == pytest.approx(1, rel=0.15)
    logits = network.forward(parameters, inputs)
    assert logits.square().mean().item() == pytest.approx(1, rel=0.15)


def test_default_weights_are_uniform_as_torch_draws_them():
    network = MLP(
        architecture=mlp(init="default", width=400, depth=1).architecture,
        in_features=100,
        num_classes=400,
    )
    reference = nn.Linear(100, 400)  # its bounds, not its numbers
    parameters = network.initial(0)
    for name, bound in {
        "hidden.0.weight": 100**-0.5,
        "hidden.0.bias": 100**-0.5,
        "head.weight": 400**-0.5,
        "head.bias": 400**-0.5,
    }.items():
        tensor = parameters[name]
        assert tensor.abs().max() <= bound
        # Mean and variance of a uniform distribution, five standard errors.
        n = tensor.numel()
        assert tensor.mean().abs() < 5 * bound / (3 * n) ** 0.5
        assert tensor.var().item() == pytest.approx(bound**2 / 3, rel=5 * n**-0.5)
    for own, theirs in zip(
        (parameters["hidden.0.weight"], parameters["hidden.0.bias"]),
        (reference.weight, reference.bias),
        strict=True,
    ):
        assert own.abs().max().item() == pytest.approx(
            theirs.abs().max().item(), rel=0.05
        )


def test_a_member_starts_the_same_in_every_stack_and_each_seed_and_task_differently():
    network = mlp()
    together, alone = network.stacked([5, 6], 0), network.stacked([6], 0)
    later = network.stacked([6], 1)
    for name in together:
        assert torch.equal(together[name][1], alone[name][0])
        if name.endswith("weight"):
            assert not torch.equal(together[name][0], together[name][1])
            assert not torch.equal(later[name], alone[name])


def test_layers_of_one_shape_start_differently():
    parameters = mlp(depth=3).initial(0)
    first, second = parameters["hidden.1.weight"], parameters["hidden.2.weight"]
    assert not torch.equal(first, second)


def test_a_deeper_network_starts_with_the_shallower_ones_layers():
    shallow, deep = mlp(depth=2).initial(0), mlp(depth=4).initial(0)
    for name in shallow:
        assert torch.equal(shallow[name], deep[name])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: mlp("maxmin", width=5),
            ValueError,
            "needed an even width for maxmin, found 5; change width or activation",
        ),
        (
            lambda: mlp("rellu").forward(mlp().stacked([0]), batch(1).float()),
            KeyError,
            "unknown activation 'rellu'; did you mean 'relu'",
        ),
    ],
)
def test_networks_that_cannot_be_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
