"""Stacked transformers are ordinary ones, member by member."""

from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.matrices import singular_values
from isometry.core.seeding import generator
from isometry.core.stacking import member
from isometry.methods import ACTIVATIONS, Architecture, Training, get
from isometry.supervised.diagnostics import stack_diagnostics
from isometry.supervised.networks.kinds import Transformer
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.networks.transformer import HEADS, attention, patches


def transformer(activation="relu", image_shape=(2, 8, 4), **changes):
    settings = {
        "network": "transformer",
        "width": 32,
        "depth": 2,
        "activation": activation,
        "negative_slope": 0.2,
        "init": "orthogonal",
        "init_gain": 1.0,
    }
    architecture = Architecture(**{**settings, **changes})
    return Transformer(
        architecture=architecture, image_shape=image_shape, num_classes=5
    )


def drawn(network, seeds=(3, 4)):
    """Return a stack whose vectors are drawn too: zero ones would hide a mistake."""
    parameters = network.stacked(list(seeds))
    for name, tensor in parameters.items():
        if name.endswith(("bias", "gain", "offset", "positions")):
            tensor.normal_(generator=generator(0, "vector", name))
    return {name: tensor.double() for name, tensor in parameters.items()}


def images(network, members=2, count=7):
    shape = (members, count, prod(network.image_shape))
    return torch.randn(shape, generator=generator(1, "x"), dtype=torch.float64)


def normal(*shape):
    return torch.randn(shape, generator=generator(2, "y"), dtype=torch.float64)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_a_patch_holds_the_pixels_that_torchs_unfold_gives_it(side):
    maps = normal(3, 2, 8, 12)
    expected = functional.unfold(maps, side, stride=side).mT
    assert_close(patches(maps, side), expected)


def test_attention_is_torchs_own():
    parts = normal(3, 2, 7, 5, 8)
    heads = [t.unflatten(-1, (HEADS, 2)).transpose(-3, -2) for t in parts]
    expected = functional.scaled_dot_product_attention(*heads)
    assert_close(attention(*parts), expected.transpose(-3, -2).flatten(-2))


def test_a_block_is_torchs_pre_ln_encoder_layer():
    network = transformer("gelu", depth=1)
    parameters = drawn(network, [0])
    own = member(parameters, 0)
    length = own["embed.bias"].shape[0]
    theirs = nn.TransformerEncoderLayer(
        length,
        HEADS,
        32,
        0.0,
        "gelu",
        batch_first=True,
        norm_first=True,
        dtype=torch.float64,
    )
    projections = [
        own[f"attention.0.{k}.weight"] for k in ("query", "key", "value", "output")
    ]
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat(projections[:3]),
            "self_attn.in_proj_bias": torch.zeros(3 * length),
            "self_attn.out_proj.weight": projections[3],
            "self_attn.out_proj.bias": torch.zeros(length),
            "linear1.weight": own["hidden.0.weight"],
            "linear1.bias": own["hidden.0.bias"],
            "linear2.weight": own["perceptron.0.weight"],
            "linear2.bias": own["perceptron.0.bias"],
            "norm1.weight": own["attention.0.norm.gain"],
            "norm1.bias": own["attention.0.norm.offset"],
            "norm2.weight": own["perceptron.0.norm.gain"],
            "norm2.bias": own["perceptron.0.norm.offset"],
        }
    )
    stream = normal(7, network.tokens, length)
    block = as_module(network, parameters, 0)[1].double()
    assert_close(block(stream), theirs(stream))


@pytest.mark.parametrize(
    ("activation", "changes"),
    [
        *((name, {}) for name in ACTIVATIONS),
        ("gelu", {"normalisation": "layer"}),
        ("relu", {"normalisation": "layer", "hidden_bias": False}),
        ("relu", {"normalisation": "bare_layer", "hidden_bias": False}),
        ("crelu", {"units": "parameters"}),
    ],
)
def test_a_member_as_a_module_of_its_own_computes_the_same(activation, changes):
    network = transformer(activation, **changes)
    parameters, inputs = drawn(network), images(network)
    before = torch.get_rng_state()
    module = as_module(network, parameters, 1).double()
    assert torch.equal(before, torch.get_rng_state())
    assert_close(module(inputs[1]), network.forward(parameters, inputs)[1])
    numbers = sum(p.numel() for p in module.parameters())
    assert numbers == sum(tensor[1].numel() for tensor in parameters.values())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert all((tensor[1] != 0).any() for tensor in parameters.values()), "copies"


def test_a_bare_layernorm_of_a_perceptron_leaves_the_blocks_own_as_they_are():
    network = transformer(depth=1, normalisation="bare_layer", hidden_bias=False)
    affine = transformer(depth=1, normalisation="layer", hidden_bias=False)
    assert set(affine.shapes()) - set(network.shapes()) == {
        "hidden.0.gain",
        "hidden.0.offset",
    }
    parameters = drawn(network, [0])
    own, block = member(parameters, 0), as_module(network, parameters, 0)[1].double()
    stream = normal(7, network.tokens, own["embed.bias"].shape[0])
    attended = stream.clone()
    query, key, value, output = block.projections
    seen = block.first(stream)
    attended += output(attention(query(seen), key(seen), value(seen)))
    gain, offset = own["perceptron.0.norm.gain"], own["perceptron.0.norm.offset"]
    hidden = functional.layer_norm(attended, gain.shape, gain, offset)
    norm = nn.LayerNorm(32, elementwise_affine=False)
    hidden = norm(hidden @ own["hidden.0.weight"].T).relu()
    added = hidden @ own["perceptron.0.weight"].T + own["perceptron.0.bias"]
    assert_close(block(stream), attended + added)


@pytest.mark.parametrize(
    ("image_shape", "tokens", "pixels"),
    [
        ((1, 8, 8), 16, 4),
        ((1, 28, 28), 49, 16),
        ((3, 32, 32), 16, 192),
        ((2, 3, 3), 9, 2),
    ],
)
def test_a_token_is_a_patch_and_a_vector_of_a_quarter_of_the_width(
    image_shape, tokens, pixels
):
    shapes = transformer(image_shape=image_shape, width=100).shapes()
    assert shapes["embed.weight"] == (24, pixels)
    assert shapes["embed.positions"] == (tokens, 24)
    assert shapes["attention.1.query.weight"] == (24, 24)
    assert shapes["hidden.1.weight"] == (100, 24)
    assert shapes["perceptron.1.weight"] == (24, 100)


def test_patches_exchanged_with_their_positions_change_nothing():
    """Only positions tell tokens apart."""
    network = transformer()
    parameters, inputs = drawn(network), images(network)
    tokens = patches(inputs.unflatten(2, network.image_shape), network.side)
    order = torch.randperm(network.tokens, generator=generator(0, "order"))
    assert network.side == 1
    exchanged = tokens[:, :, order].mT.flatten(2)
    moved = dict(parameters)
    moved["embed.positions"] = parameters["embed.positions"][:, order]
    logits = network.forward(parameters, inputs)
    assert_close(network.forward(moved, exchanged), logits)
    assert not torch.allclose(network.forward(parameters, exchanged), logits)


def test_units_are_those_of_the_perceptrons_and_all_weights_have_a_role():
    network = transformer()
    structure = network.structure()
    assert [layer.weight for layer in structure.layers] == [
        "hidden.0.weight",
        "hidden.1.weight",
    ]
    assert structure.layers[1].outgoing == ("perceptron.1.weight",)
    assert structure.layers[1].places == network.tokens
    assert structure.bias_of("perceptron.1.weight") == "perceptron.1.bias"
    assert structure.bias_of("attention.1.key.weight") is None
    hidden = structure.named("hidden")
    assert len(hidden) == 2 * (4 + 2)
    assert {layer.weight for layer in (*structure.layers, *structure.inner)} == set(
        hidden
    )
    assert structure.named("embedding") == ["embed.weight", "embed.positions"]
    assert structure.named("head") == ["head.weight"]
    seen = network.hidden_activations(network.stacked([0]), images(network, 1).float())
    assert [h.shape for h in seen] == [(1, 7 * network.tokens, 32)] * 2


def test_the_isometry_step_spares_embeddings_and_norms():
    network, method = transformer(), get("adamo")
    parameters = network.stacked([0])
    training = Training(
        structure=network.structure(),
        parameters=parameters,
        seeds=[0],
        settings=method.settings,
        lr=1e-3,
    )
    optimizer = method.optimizer(training)
    pulled = {id(p) for p in optimizer.param_groups[0]["params"]}
    names = {name for name, p in parameters.items() if id(p) in pulled}
    assert names == {*network.structure().named("hidden"), "head.weight"}


@pytest.mark.parametrize(
    "init", ["orthogonal", "default", "kaiming", "kaiming_uniform"]
)
def test_weights_start_with_the_spread_that_methods_are_told(init):
    network = transformer(width=256, init=init, image_shape=(3, 16, 16))
    parameters, spread = network.initial(0), network.structure().spread
    assert set(spread) == {n for n in parameters if n.endswith("weight")}
    for name, deviation in spread.items():
        root = parameters[name].square().mean().sqrt().item()
        assert root == pytest.approx(deviation, rel=0.1)
        if init == "orthogonal":
            values = singular_values(parameters[name])
            assert_close(values, torch.ones_like(values))
        if init.startswith("kaiming"):
            fan_in = parameters[name].shape[1]
            gain = 2.0 if network.roles()[name] == "hidden" else 1.0
            assert deviation == pytest.approx((gain / fan_in) ** 0.5)
    assert parameters["embed.positions"].std().item() == pytest.approx(0.02, rel=0.1)


def test_diagnostics_of_a_stack_are_finite():
    network = transformer()
    parameters = {name: tensor.float() for name, tensor in drawn(network).items()}
    found = stack_diagnostics(network, parameters, images(network).float())
    assert len(found) == 9
    assert all(bool(values.isfinite().all()) for values in found.values())
    assert (found["gram_deviation"] < 1e-4).all()


def test_an_odd_width_is_refused_for_maxmin():
    with pytest.raises(ValueError, match="needed an even width for maxmin, found 15"):
        transformer("maxmin", width=15)
