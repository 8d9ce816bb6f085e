"""Stacked networks are ordinary networks, member by member."""

import pytest
import torch
from isometry.core.seeding import generator
from isometry.core.stacking import member
from isometry.maxmin import MaxMin
from isometry.methods import ACTIVATIONS, Architecture
from isometry.supervised.networks import MLP, CReLU, as_module
from torch import nn
from torch.testing import assert_close

MODULES = {
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.2),
    "tanh": nn.Tanh(),
    "gelu": nn.GELU(),
    "maxmin": MaxMin(),
    "crelu": CReLU(),
    "identity": nn.Identity(),
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


def test_hidden_activations_are_those_of_every_hidden_layer():
    network = mlp("tanh")
    parameters, inputs = with_biases(network, [0]), batch(1)
    found = network.hidden_activations(parameters, inputs)
    own = sequential(network, member(parameters, 0)).double()
    assert [a.shape for a in found] == [(1, 7, 6)] * 3
    for layer, activations in enumerate(found):
        assert_close(activations[0], own[: 2 * layer + 2](inputs[0]))


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
