"""Actor and critic against torch's own layers, and boards without empty channels."""

from dataclasses import replace
from math import sqrt

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.core.stacking import member
from isometry.methods import Architecture, get
from isometry.rl.actor_critic import ActorCritic
from isometry.rl.screen_cnn import CONVOLUTIONS, _arranged, features_of
from isometry.rl.sparse_boards import board_linear

SEEDS = [3, 4]
ARCHITECTURE = Architecture(
    network="mlp",
    width=8,
    depth=3,
    activation="relu",
    negative_slope=0.01,
    init="orthogonal",
    init_gain=sqrt(2),
)
MLP = ActorCritic(architecture=ARCHITECTURE, observation=(4, 5, 6), num_actions=3)
CNN = replace(MLP, observation=(4, 32, 64), shared="columns")
pytestmark = pytest.mark.usefixtures("double")


def in_double(network, seeds=SEEDS):
    return {name: p.double() for name, p in network.stacked(seeds).items()}


def boards(network, batch=7, members=2):
    draw = generator(0, "boards")
    return torch.rand(members, batch, *network.observation, generator=draw) < 0.3


def chain(own, part, depth, normalised=False):
    """One part of one member, out of torch's own layers."""
    layers = []
    for name in [*(f"hidden.{part}.{i}" for i in range(depth)), f"head.{part}"]:
        weight = own[f"{name}.weight"]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        bias = own.get(f"{name}.bias", torch.zeros(len(weight)))
        linear.load_state_dict({"weight": weight, "bias": bias})
        norm = nn.LayerNorm(len(weight), elementwise_affine=False)
        layers += [linear, norm, nn.ReLU()] if normalised else [linear, nn.ReLU()]
    return nn.Sequential(*layers[: -2 if normalised else -1])


@pytest.mark.parametrize("hidden_bias", [True, False])
def test_each_member_is_two_plain_networks(hidden_bias):
    architecture = replace(ARCHITECTURE, hidden_bias=hidden_bias)
    network = replace(MLP, architecture=architecture)
    parameters = in_double(network)
    for parameter in parameters.values():
        parameter += 0.1  # biases too
    inputs = boards(network).flatten(2)
    logits, values, activations = network.watched(parameters, inputs)
    assert len(activations) == len(network.structure().layers) == 6
    for i in range(2):
        own = member(parameters, i)
        actor, critic = chain(own, "actor", 3), chain(own, "critic", 3)
        assert_close(logits[i], actor(inputs[i].double()))
        assert_close(values[i], critic(inputs[i].double()).squeeze(-1))
        assert_close(activations[1][i], actor[:4](inputs[i].double()))
        assert_close(activations[5][i], critic[:6](inputs[i].double()))
    assert_close(network.logits(parameters, inputs), logits)
    assert_close(network.values(parameters, inputs), values)


def test_each_member_is_two_networks_with_torchs_layernorms_without_parameters():
    changes = {"normalisation": "bare_layer", "hidden_bias": False}
    network = replace(MLP, architecture=replace(ARCHITECTURE, **changes))
    parameters = in_double(network)
    assert sum("bias" in name for name in parameters) == 2
    assert all(name.endswith(("weight", "bias")) for name in parameters)
    inputs = boards(network).flatten(2)
    logits, values, _ = network.watched(parameters, inputs)
    for i in range(2):
        own, seen = member(parameters, i), inputs[i].double()
        assert_close(logits[i], chain(own, "actor", 3, True)(seen))
        assert_close(values[i], chain(own, "critic", 3, True)(seen).squeeze(-1))


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("layout", ["columns", "frames"])
def test_the_convolutions_are_torchs_own_on_padded_maps(layout, normalised):
    kind = "bare_layer" if normalised else "none"
    architecture = replace(ARCHITECTURE, normalisation=kind)
    network = replace(CNN, shared=layout, architecture=architecture)
    parameters = in_double(network)
    screens = boards(network)
    logits, values, activations = network.watched(parameters, screens.flatten(2))
    for i in range(2):
        own, maps = member(parameters, i), _arranged(screens[i].double(), layout)
        for layer, (channels, kernel, stride) in enumerate(CONVOLUTIONS):
            name = f"hidden.shared.{layer}"
            pads = []
            for axis in (1, 0):
                size, k, s = maps.shape[2 + axis], kernel[axis], stride[axis]
                total = max(0, (-(-size // s) - 1) * s + k - size)
                pads += [total // 2, -(-total // 2)]
            convolution = nn.Conv2d(maps.shape[1], channels, kernel, stride)
            state = {"weight": own[f"{name}.weight"], "bias": own[f"{name}.bias"]}
            convolution.load_state_dict(state)
            maps = convolution(functional.pad(maps, pads))
            if normalised:
                maps = nn.LayerNorm(maps.shape[1:], elementwise_affine=False)(maps)
            maps = maps.relu()
            assert_close(activations[layer][i], maps)
            assert maps.shape[1:] == features_of((4, 32, 64), layout)[layer]
        actor, critic = (chain(own, p, 3, normalised) for p in ("actor", "critic"))
        assert_close(logits[i], actor(maps.flatten(1)))
        assert_close(values[i], critic(maps.flatten(1)).squeeze(-1))


def test_the_paper_layout_has_512_features():
    assert CNN.shapes()["hidden.actor.0.weight"] == (8, 512)
    first = CNN.shapes()["hidden.shared.0.weight"]
    assert first == (32, 64, 8, 4), "each of the 64 columns is a channel"


# --- boards without empty channels ----------------------------------------------------


def test_a_placed_network_reads_what_it_would_read_on_the_padded_permuted_board():
    draw = generator(1, "permutations")
    parameters = in_double(MLP)
    for parameter in parameters.values():
        parameter.requires_grad_()
    small = boards(MLP)[..., :4]
    orders = torch.stack([torch.randperm(6, generator=draw) for _ in SEEDS])
    padded = functional.pad(small.double(), (0, 2))
    permuted = torch.stack([padded[i][..., orders[i]] for i in range(2)])
    channels = orders.argsort(1)[:, :4]
    placed = MLP.placed(parameters, channels)
    assert placed["hidden.actor.0.weight"].shape == (2, 8, 4 * 5 * 4)
    whole = MLP.watched(parameters, permuted.flatten(2))
    less = MLP.watched(placed, small.flatten(2))
    assert_close(less, whole)
    leaves = list(parameters.values())
    expected = torch.autograd.grad(whole[0].square().sum() + whole[1].sum(), leaves)
    found = torch.autograd.grad(less[0].square().sum() + less[1].sum(), leaves)
    assert_close(found, expected)
    assert MLP.placed(parameters, None) is parameters
    assert torch.equal(MLP.whole(small.flatten(2), channels), permuted.flatten(2))
    assert MLP.whole(small, None) is small


@pytest.mark.parametrize("biased", [True, False])
def test_a_sum_over_what_is_on_is_the_product_with_zeros_and_ones(biased):
    draw = generator(2, "sparse")
    inputs = torch.rand(2, 9, 30, generator=draw) < 0.2
    inputs[0, 0], inputs[0, 1] = False, True
    weight = torch.randn(2, 5, 30, generator=draw, requires_grad=True)
    bias = torch.randn(2, 5, generator=draw, requires_grad=True) if biased else None
    found = board_linear(inputs, weight, bias)
    expected = inputs.double() @ weight.mT + (0 if bias is None else bias[:, None])
    assert_close(found, expected)
    leaves = [weight] if bias is None else [weight, bias]
    factor = torch.randn(2, 9, 5, generator=draw)
    ours = torch.autograd.grad((found * factor).sum(), leaves)
    assert_close(ours, torch.autograd.grad((expected * factor).sum(), leaves))


def test_boards_and_the_same_numbers_as_floats_give_the_same():
    parameters = in_double(MLP)
    inputs = boards(MLP).flatten(2)
    assert inputs.dtype == torch.bool
    sums, products = (MLP.watched(parameters, x) for x in (inputs, inputs.double()))
    assert_close(sums, products)


# --- initialisation and structure -----------------------------------------------------


def test_hidden_weights_are_orthogonal_and_heads_have_gains_of_their_own():
    own = in_double(MLP, [0])
    for name, gain in [
        ("hidden.actor.0", sqrt(2)),
        ("hidden.critic.2", sqrt(2)),
        ("head.actor", 0.01),
        ("head.critic", 1.0),
    ]:
        weight = own[f"{name}.weight"][0]
        values = torch.linalg.svdvals(weight)
        # drawn in float32
        assert_close(values, torch.full_like(values, gain), rtol=1e-5, atol=0)
        assert (own[f"{name}.bias"] == 0).all()


def test_actor_and_critic_differ_and_a_seed_is_the_same_in_every_stack():
    alone, stacked = MLP.stacked([4]), MLP.stacked(SEEDS)
    first = MLP.stacked([4])
    for name, parameter in stacked.items():
        assert (parameter[1] == alone[name][0]).all()
        assert (first[name] == alone[name]).all()
    actor, critic = (alone[f"hidden.{p}.1.weight"] for p in ("actor", "critic"))
    assert (actor != critic).any()
    assert (MLP.stacked([4], 1)["hidden.actor.1.weight"] != actor).any()


@pytest.mark.parametrize("network", [MLP, CNN])
def test_methods_see_which_weights_read_which_units(network):
    structure, shapes = network.structure(), network.shapes()
    assert set(structure.roles) == set(shapes)
    for layer in structure.layers:
        units = shapes[layer.weight][0]
        assert shapes[layer.bias] == (units,)
        assert layer.outgoing
        for name in layer.outgoing:
            fan_in = shapes[name][1] if len(shapes[name]) > 1 else 0
            assert fan_in % units == 0
    shared = [la for la in structure.layers if "shared" in la.weight]
    if shared:
        assert set(shared[-1].outgoing) == {
            "hidden.actor.0.weight",
            "hidden.critic.0.weight",
        }
        assert [layer.places for layer in shared] == [16, 8, 8]
    assert {head.weight for head in structure.heads} == {
        "head.actor.weight",
        "head.critic.weight",
    }
    assert structure.spread["head.actor.weight"] == pytest.approx(0.01 / sqrt(8))


@pytest.mark.parametrize("network", [MLP, CNN])
def test_a_unit_without_outgoing_weights_is_not_heard(network):
    parameters = in_double(network)
    inputs = boards(network).flatten(2)
    before = network.watched(parameters, inputs)
    for layer in network.structure().layers:
        moved = {n: p.clone() for n, p in parameters.items()}
        units = moved[layer.weight].shape[1]
        for name in layer.outgoing:
            moved[name].view(*moved[name].shape[:2], units, -1)[:, :, 1] = 0
        silent = network.watched(moved, inputs)
        moved[layer.weight][:, 1] += 1
        again = network.watched(moved, inputs)
        assert_close(again[:2], silent[:2])
        assert (silent[0] != before[0]).any() or (silent[1] != before[1]).any()


@pytest.mark.parametrize("name", ["crelu", "layernorm", "nap", "maxmin", "leaky_relu"])
@pytest.mark.parametrize("network", [MLP, CNN])
def test_methods_that_change_the_network_change_this_one(network, name):
    method = get(name)
    architecture = method.architecture(ARCHITECTURE, method.settings)
    changed = replace(network, architecture=architecture)
    inputs = boards(changed).flatten(2)
    logits, values, seen = changed.watched(in_double(changed), inputs)
    assert logits.isfinite().all()
    assert values.isfinite().all()
    assert len(seen) == len(changed.structure().layers)
    if name in ("layernorm", "nap"):
        assert "hidden.critic.0.gain" in changed.shapes()
        assert ("hidden.critic.0.bias" in changed.shapes()) is (name == "layernorm")
